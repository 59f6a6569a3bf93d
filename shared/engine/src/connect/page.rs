//! The pages that browsers show. They load nothing from elsewhere, and run only the script that is part of them.

use std::sync::LazyLock;
use std::time::Duration;

use askama::Template;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, StatusCode, header};
use larder::error::Error;
use larder::http::{Response, respond};
use serde_json::{Value, json};

use super::Origin;

/// The style sheet of every page.
pub const STYLE: &str = include_str!("../../templates/page.css");
const RESULT_SCRIPT: &str = include_str!("../../templates/result.js");

#[derive(Template)]
#[template(path = "result.html")]
struct ResultPage<'a> {
    title: &'a str,
    detail: &'a str,
    is_success: bool,
    /// The message as JSON that is safe inside a script element.
    message: String,
    style: &'a str,
    script: &'a str,
}

#[derive(Template)]
#[template(path = "onward.html")]
struct OnwardPage<'a> {
    title: &'a str,
    detail: &'a str,
    seconds: u64,
    url: &'a str,
    style: &'a str,
}

#[derive(Template)]
#[template(path = "link.html")]
struct LinkPage<'a> {
    title: &'a str,
    detail: &'a str,
    link: &'a str,
    integrations: &'a [(String, String)],
    style: &'a str,
}

/// Renders the page of a connection request's link: with a button that continues, or with one for each integration that the
/// end user can choose, given by its key and its name. Its form leads back to the same path, and ends on a page of our own.
pub fn link(title: &str, detail: &str, link: &str, integrations: &[(String, String)]) -> Response {
    let page = LinkPage { title, detail, link, integrations, style: STYLE };
    html(StatusCode::OK, page.render(), &[], "form-action 'self'")
}

/// Renders a page that leads to a URL, automatically after a while and with a link. An empty URL reloads the page itself.
///
/// It is used after a form that ends at another origin, because browsers would apply the form page's `form-action` policy to
/// a redirect. It also starts a navigation from our own site, which sends the cookies that a form on another site does not.
pub fn onward(status: StatusCode, title: &str, detail: &str, after: Duration, url: &str) -> Response {
    let page = OnwardPage { title, detail, seconds: after.as_secs(), url, style: STYLE };
    html(status, page.render(), &[], "form-action 'none'")
}

/// Renders the page with a connect flow's result. A message is posted to the opener, and then the window closes.
pub fn result(status: StatusCode, title: &str, detail: &str, message: Option<&Value>, origins: &[Origin]) -> Response {
    let data = message.map(|message| script_json(&json!({"message": message, "origins": origins})));
    let page = ResultPage {
        title,
        detail: &sentence(detail),
        is_success: status.is_success(),
        message: data.unwrap_or_default(),
        style: STYLE,
        script: RESULT_SCRIPT,
    };
    static SCRIPT_HASH: LazyLock<String> = LazyLock::new(|| hash(RESULT_SCRIPT));
    // Only the origins that may receive the message may embed the page that sends it.
    let embedders = if message.is_some() { origins } else { &[] };
    html(status, page.render(), embedders, &format!("script-src '{}'; form-action 'none'", *SCRIPT_HASH))
}

/// Responds with a rendered page and the headers that all our pages have. The origins `embedders` may show it in a frame, and
/// `policy` is added to its Content-Security-Policy.
pub fn html(status: StatusCode, rendered: askama::Result<String>, embedders: &[Origin], policy: &str) -> Response {
    static STYLE_HASH: LazyLock<String> = LazyLock::new(|| hash(STYLE));
    let body = match rendered {
        Ok(body) => body,
        Err(error) => return Error::internal(error).into(),
    };
    let embedders: Vec<_> = embedders.iter().map(Origin::to_string).collect();
    let embedders = if embedders.is_empty() { "'none'".to_owned() } else { embedders.join(" ") };
    let policy = format!(
        "default-src 'none'; style-src '{}'; base-uri 'none'; frame-ancestors {embedders}; {policy}",
        *STYLE_HASH
    );
    let mut response = respond(status, "text/html; charset=utf-8", body);
    let headers = response.headers_mut();
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Capitalizes the first letter: error messages start in lowercase, but on a page they stand alone.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Returns the source expression that allows one inline script or style (CSP Level 3 §2.3.1).
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes())))
}

/// Returns JSON that cannot close the script element around it.
fn script_json(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins() -> [Origin; 1] {
        [Origin::of_redirect_uri("https://app.example").expect("an origin")]
    }

    #[test]
    fn an_onward_page_escapes_its_url_and_needs_no_script() {
        let evil = "?a=1&b=\"><script>alert(1)</script>";
        let page = onward(StatusCode::OK, "Connecting", "One moment.", Duration::ZERO, evil);
        assert!(!page.body().contains("<script") && !page.body().contains("\">?"), "{}", page.body());
        assert_eq!(page.body().matches("?a=1&#38;b=&#34;&#62;&#60;script").count(), 2, "{}", page.body());
        let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("visible ASCII");
        assert!(
            policy.ends_with("frame-ancestors 'none'; form-action 'none'") && !policy.contains("script"),
            "{policy}"
        );
        assert_eq!(page.headers()[header::REFERRER_POLICY], "no-referrer");
        let page = onward(StatusCode::ACCEPTED, "Connecting", "One moment.", Duration::from_secs(2), "");
        assert!(page.body().contains("content=\"2\">") && page.body().contains("href=\"\""), "{}", page.body());
    }

    #[test]
    fn provider_text_cannot_break_out_of_its_place_on_a_page() {
        let evil = "</script><script>alert(1)</script><img src=x>";
        let page = result(StatusCode::BAD_REQUEST, "Not connected", evil, Some(&json!({"error": evil})), &origins());
        assert_eq!(page.body().matches("</script>").count(), 2);
        assert!(!page.body().contains("<img"));
        let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("visible ASCII");
        assert!(
            policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors https://app.example;"),
            "{policy}"
        );
        let page = result(StatusCode::BAD_REQUEST, "Not connected", evil, None, &origins());
        let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("visible ASCII");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    }

    #[test]
    fn a_page_runs_only_its_own_script_and_loads_nothing() {
        let page = result(StatusCode::OK, "Connected", "done", Some(&json!({"a": 1})), &origins());
        let headers = page.headers();
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().expect("visible ASCII");
        let inside = |from: &str, to: &str| {
            let (_, rest) = page.body().split_once(from).expect("an element");
            hash(rest.split_once(to).expect("its end").0)
        };
        assert!(policy.contains(&format!("style-src '{}';", inside("<style>", "</style>"))), "{policy}");
        assert!(policy.contains(&format!("script-src '{}';", inside("<script>", "</script>"))), "{policy}");
        for word in ["unsafe-", "http:", " *", "data:"] {
            assert!(!policy.contains(word), "{policy}");
        }
        for word in ["src=", "href=", "url(", "@import", "<link", "<img", "<iframe", "import("] {
            assert!(!page.body().contains(word), "{word}");
        }
    }
}
