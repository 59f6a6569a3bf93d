//! What `/connect` is asked.

use http::StatusCode;
use larder::http::Response;
use larder_engine::oauth2::{OAuthState, PROTECTED_PARAMETERS};
use url::Url;

use super::assert_untold;
use super::stand::{Stand, header, on_stand};

/// `GET` or `POST` and a query in the first line, the rest is a form; `ALICE` stands for a token.
pub fn connect(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (head, body) = text.split_once('\n').unwrap_or((&text, ""));
    let (method, query) = head.split_once(' ').unwrap_or((head, ""));
    if !matches!(method, "GET" | "POST") {
        return;
    }
    on_stand(async |stand| {
        let fill = |text: &str| text.replace("ALICE", &stand.world.alice);
        let form = Some(("content-type", "application/x-www-form-urlencoded"));
        let response = stand.request(method, ("/connect", &fill(query)), form, &fill(body)).await;
        assert_untold(&format!("{:?} {}", response.headers(), response.body()));
        if response.status() == StatusCode::FOUND {
            check_redirect(&response);
        }
    });
}

fn check_redirect(response: &Response) {
    let location = header(response.headers(), "location");
    let Some(url) = location.strip_prefix("https://auth.example/") else { return check_delivery(location) };
    // What the URL of the provider has in its query stays as it is, but for what is ours.
    assert!(url.starts_with("authorize?tenant=a%20b&prompt=consent&client_id=the-client&"), "{location}");
    let url = Url::parse(location).expect("a URL");
    let values = |name: &str| -> Vec<String> {
        url.query_pairs().filter(|(key, _)| key == name).map(|(_, value)| value.into_owned()).collect()
    };
    for name in PROTECTED_PARAMETERS {
        assert_eq!(values(name).len(), 1, "{name} in {location}");
    }
    assert_eq!(values("redirect_uri"), ["https://larder.example/oauth-callback"]);
    let ours = OAuthState::parse(&values("state")[0]).0.with_custom(None);
    assert_eq!(ours.len(), 43, "{location}");
    let cookie = header(response.headers(), "set-cookie");
    assert!(cookie.starts_with("__Host-larder-") && cookie.contains("; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
}

/// A result goes to a redirect of the integration, to the letter, with parameters of ours behind it.
fn check_delivery(location: &str) {
    let begins = ["https://app.example/done?from=larder&", "https://other.example/?"];
    let rest = begins.iter().find_map(|begin| location.strip_prefix(begin));
    let rest = rest.unwrap_or_else(|| panic!("a redirect to {location}, which is none of {:?}", Stand::REDIRECTS));
    let names: Vec<_> = url::form_urlencoded::parse(rest.as_bytes()).map(|(name, _)| name.into_owned()).collect();
    assert!(names == ["connectionId"] || names == ["error", "errorData"], "{location}");
}
