//! Requests to `/connect`.

use http::StatusCode;
use larder::http::Response;
use larder_engine::oauth2::{OAuthState, PROTECTED_PARAMETERS};
use url::Url;

use super::assert_no_secret;
use super::test_bed::{TestBed, header, on_test_bed};

/// Takes `GET` or `POST` and a query on the first line, followed by a form. `ALICE` is a placeholder for a token.
pub fn connect(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (head, body) = text.split_once('\n').unwrap_or((&text, ""));
    let (method, query) = head.split_once(' ').unwrap_or((head, ""));
    if !matches!(method, "GET" | "POST") {
        return;
    }
    on_test_bed(async |bed| {
        let fill = |text: &str| text.replace("ALICE", &bed.world.alice);
        let form = Some(("content-type", "application/x-www-form-urlencoded"));
        let response = bed.request(method, ("/connect", &fill(query)), form, &fill(body)).await;
        assert_no_secret(&format!("{:?} {}", response.headers(), response.body()));
        if response.status() == StatusCode::FOUND {
            check_redirect(&response);
        }
    });
}

fn check_redirect(response: &Response) {
    let location = header(response.headers(), "location");
    let Some(url) = location.strip_prefix("https://auth.example/") else { return check_delivery(location) };
    // The query of the provider's URL is kept, except for Larder's own parameters.
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

/// Checks that a result goes to one of the integration's redirect URIs, character for character, with Larder's parameters
/// appended.
fn check_delivery(location: &str) {
    let begins = ["https://app.example/done?from=larder&", "https://other.example/?"];
    let rest = begins.iter().find_map(|begin| location.strip_prefix(begin));
    let rest = rest.unwrap_or_else(|| panic!("a redirect to {location}, which is not one of {:?}", TestBed::REDIRECTS));
    let names: Vec<_> = url::form_urlencoded::parse(rest.as_bytes()).map(|(name, _)| name.into_owned()).collect();
    assert!(names == ["connectionId"] || names == ["error", "errorData"], "{location}");
}
