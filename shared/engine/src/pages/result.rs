//! The page of a flow's result, and pages that lead on.

use std::time::Duration;

use askama::Template;
use http::{StatusCode, header};
use larder::error::Error;
use larder::http::{Response, noted, status_of};
use serde_json::{Value, json};

use super::words::{self, Words};
use super::{ForPeople, Language, Origin, PagePolicy, html, sentence};

const SCRIPT: &str = include_str!("../../templates/result.js");

#[derive(Template)]
#[template(path = "result.html")]
pub(super) struct ResultPage<'a> {
    pub(super) language: Language,
    pub(super) title: &'a str,
    pub(super) detail: &'a str,
    pub(super) is_success: bool,
    /// Whether the detail is in English, whatever the language.
    pub(super) is_english: bool,
    /// The words for developers, if the page shows others.
    pub(super) developer: Option<&'a str>,
    /// A way on: its name and its address.
    pub(super) link: Option<(&'static str, &'a str)>,
    /// The message as JSON that is safe inside a script element.
    pub(super) message: Option<String>,
    /// Whether the page has a button that closes the frame around it.
    pub(super) can_close: bool,
    /// The data of the script for frames.
    pub(super) screen: Option<String>,
}

#[derive(Template)]
#[template(path = "onward.html")]
struct OnwardPage<'a> {
    language: Language,
    title: &'a str,
    detail: &'a str,
    seconds: u64,
    url: &'a str,
}

/// Renders a page that leads to a URL, automatically after a while and with a link. An empty URL reloads the page itself.
///
/// It is used after a form that ends at another origin, because browsers would apply the form page's `form-action` policy to
/// a redirect. It also starts a navigation from our own site, which sends the cookies that a form on another site does not.
pub fn onward(
    status: StatusCode,
    language: Language,
    title: &str,
    detail: &str,
    after: Duration,
    url: &str,
) -> Response {
    let page = OnwardPage { language, title, detail, seconds: after.as_secs(), url };
    html(status, page.render(), PagePolicy::default())
}

/// Renders the page with a connect flow's result. A message is posted to the opener, and then the window closes.
pub fn result(
    status: StatusCode,
    language: Language,
    title: &str,
    detail: &str,
    message: Option<&Value>,
    origins: &[Origin],
) -> Response {
    let message = message.map(|message| script_json(&json!({"message": message, "origins": origins})));
    // Only the origins that may receive the message may embed the page that sends it.
    let embedders = if message.is_some() { origins } else { &[] };
    let page = ResultPage {
        language,
        title,
        detail: &sentence(detail),
        is_success: status.is_success(),
        is_english: false,
        developer: None,
        link: None,
        message,
        can_close: false,
        screen: None,
    };
    html(status, page.render(), PagePolicy { embedders, script: Some(SCRIPT), ..PagePolicy::default() })
}

/// Renders the page of an error, in words for people. Those for developers are in the page's head, and in the log. As in
/// [`result`], a message is posted to the opener.
pub fn failed(
    error: &Error,
    language: Language,
    title: Words,
    shown: &ForPeople,
    message: Option<&Value>,
    origins: &[Origin],
) -> Response {
    let link = shown.retry.as_deref().map(|address| (words::TRY_AGAIN, address));
    failure(error, language, title, shown, link, message.map(|message| (message, origins)))
}

/// Renders the page of an error, as [`failed`] does, with a way on: its name and its address.
pub fn failed_with_link(
    error: &Error,
    language: Language,
    title: Words,
    shown: &ForPeople,
    link: Option<(Words, &str)>,
) -> Response {
    failure(error, language, title, shown, link, None)
}

fn failure(
    error: &Error,
    language: Language,
    title: Words,
    shown: &ForPeople,
    link: Option<(Words, &str)>,
    message: Option<(&Value, &[Origin])>,
) -> Response {
    let embedders = message.map_or(&[][..], |(_, origins)| origins);
    let page = ResultPage {
        language,
        title: title.say(language),
        detail: &shown.text,
        is_success: false,
        is_english: shown.is_english,
        developer: developer(error, shown),
        link: link.map(|(name, address)| (name.say(language), address)),
        message: message.map(|(message, origins)| script_json(&json!({"message": message, "origins": origins}))),
        can_close: false,
        screen: None,
    };
    let policy = PagePolicy { embedders, script: Some(SCRIPT), ..PagePolicy::default() };
    noted(html(status_of(error), page.render(), policy), error)
}

/// Returns an error's words for developers, if they are not those for people.
pub(super) fn developer<'a>(error: &'a Error, shown: &ForPeople) -> Option<&'a str> {
    Some(error.message.as_str()).filter(|message| !error.is_for_people && sentence(message) != shown.text)
}

/// Replaces a redirect by a page that leads on, because the request was a form of ours; see [`onward`].
pub fn without_redirect(response: Response, language: Language) -> Response {
    replaced(response, language, words::CONNECTING.say(language), words::ONE_MOMENT.say(language))
}

/// Replaces a redirect to the application, as [`without_redirect`] does.
pub fn back_to_application(response: Response, language: Language) -> Response {
    replaced(response, language, words::CONTINUE.say(language), words::GOING_BACK.say(language))
}

fn replaced(response: Response, language: Language, title: &str, detail: &str) -> Response {
    let location = response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
    let Some(location) = location else { return response };
    let mut page = onward(StatusCode::OK, language, title, detail, Duration::ZERO, location);
    for cookie in response.headers().get_all(header::SET_COOKIE) {
        page.headers_mut().append(header::SET_COOKIE, cookie.clone());
    }
    page.extensions_mut().extend(response.extensions().clone());
    page
}

/// Returns JSON that cannot close the script element around it.
pub(super) fn script_json(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::super::hash;
    use super::*;

    fn origins() -> [Origin; 1] {
        [Origin::of_redirect_uri("https://app.example").expect("an origin")]
    }

    fn policy(page: &Response) -> &str {
        page.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("visible ASCII")
    }

    #[test]
    fn an_onward_page_escapes_its_url_and_needs_no_script() {
        let evil = "?a=1&b=\"><script>alert(1)</script>";
        let onward = |status, seconds, url| {
            onward(status, Language::En, "Connecting", "One moment.", Duration::from_secs(seconds), url)
        };
        let page = onward(StatusCode::OK, 0, evil);
        assert!(!page.body().contains("<script") && !page.body().contains("\">?"), "{}", page.body());
        assert_eq!(page.body().matches("?a=1&#38;b=&#34;&#62;&#60;script").count(), 2, "{}", page.body());
        let policy = policy(&page);
        assert!(
            policy.ends_with("frame-ancestors 'none'; form-action 'none'") && !policy.contains("script"),
            "{policy}"
        );
        assert_eq!(page.headers()[header::REFERRER_POLICY], "no-referrer");
        let page = onward(StatusCode::ACCEPTED, 2, "");
        assert!(page.body().contains("content=\"2\">") && page.body().contains("href=\"\""), "{}", page.body());
    }

    #[test]
    fn provider_text_cannot_break_out_of_its_place_on_a_page() {
        let evil = "</script><script>alert(1)</script><img src=x>";
        let result = |message: Option<&Value>| {
            result(StatusCode::BAD_REQUEST, Language::En, "Not connected", evil, message, &origins())
        };
        let page = result(Some(&json!({"error": evil})));
        assert_eq!(page.body().matches("</script>").count(), 2);
        assert!(!page.body().contains("<img"));
        let of_page = policy(&page);
        assert!(
            of_page.starts_with("default-src 'none';") && of_page.contains("frame-ancestors https://app.example;"),
            "{of_page}"
        );
        let page = result(None);
        assert!(policy(&page).contains("frame-ancestors 'none'"), "{}", policy(&page));
    }

    #[test]
    fn a_page_runs_only_its_own_script_and_loads_nothing() {
        let page = result(StatusCode::OK, Language::En, "Connected", "done", Some(&json!({"a": 1})), &origins());
        let headers = page.headers();
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let policy = policy(&page);
        let inside = |from: &str, to: &str| {
            let (_, rest) = page.body().split_once(from).expect("an element");
            hash(rest.split_once(to).expect("its end").0)
        };
        assert!(policy.contains(&format!("style-src '{}';", inside("<style>", "</style>"))), "{policy}");
        assert!(policy.contains(&format!("script-src '{}';", inside("<script>", "</script>"))), "{policy}");
        for word in ["unsafe-", "http:", " *", "data:"] {
            assert!(!policy.contains(word), "{policy}");
        }
        for word in ["src=", "href=", "url(", "@import", "<link", "<img", "<iframe", "import(", "style="] {
            assert!(!page.body().contains(word), "{word}");
        }
    }
}
