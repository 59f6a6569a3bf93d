//! Responses of token endpoints.

use larder::connection::{Asked, expiry_of};
use larder_engine::oauth2::{OAuthConfig, TokenError, TokenResponse, parse_revocation, parse_token_response};
use larder_engine::response::object;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::answer::{assert_brief, is_permanent_somewhere};
use super::{assert_no_secret, planted};

/// Takes a status on the first line, followed by the body.
pub fn token_response(data: &[u8]) {
    let head = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (head, body) = data.split_at(head);
    let head = String::from_utf8_lossy(head);
    let Ok(status) = head.split(' ').next().unwrap_or_default().parse() else { return };
    let body = planted(body.get(1..).unwrap_or_default());

    for config in configs() {
        match parse_token_response(&config, status, &body) {
            Ok(response) => check_success(&config, status, response),
            Err(error) => check_failure(status, &body, &error),
        }
    }
    if let Err(error) = parse_revocation(status, &body) {
        check_failure(status, &body, &error);
    }
}

fn check_success(config: &OAuthConfig, status: u16, response: TokenResponse) {
    assert!((200..300).contains(&status));
    let members = response.into_map();
    assert!(members["access_token"].as_str().is_some_and(|token| !token.is_empty()));
    let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
    let ten_years = Duration::days(3650);
    if let Some(expiry) = expiry_of(&members, Asked::at(now)) {
        assert!(expiry.from == now && (now..=now + ten_years).contains(&expiry.at), "{expiry:?}");
    }
    // Parsing is stable.
    let text = Value::Object(members.clone()).to_string();
    let again = parse_token_response(config, 200, text.as_bytes());
    assert_eq!(again.map(TokenResponse::into_map), Ok(members));
}

fn check_failure(status: u16, body: &[u8], error: &TokenError) {
    let text = format!("{error:?} {error}");
    assert_no_secret(&text);
    assert_brief(&text);
    if error.is_permanent() {
        assert!(status < 500 && status != 429 && error.code().is_some(), "{error:?}");
        let members = object(body).map(Value::Object).expect("a permanent error is in JSON or in a form");
        assert!(is_permanent_somewhere(&members, &LISTED.map(ToOwned::to_owned)), "{error:?}");
    }
}

/// The error codes that the second configuration adds.
const LISTED: [&str; 4] = ["temporarily_unavailable", "gone", "190", "is over"];

/// The usual configuration, and one with all settings that change how responses are read.
fn configs() -> [OAuthConfig; 2] {
    let usual = json!({"clientId": "c", "clientSecret": "s", "authorizeUri": "https://h/a", "tokenUri": "https://h/t"});
    let mut other = usual.clone();
    other["tokenResponsePath"] = json!("data.token");
    other["tokenResponseNames"] = json!({"access_token": "token"});
    other["defaultExpiresIn"] = json!(7200);
    other["permanentErrors"] = json!(LISTED);
    [usual, other].map(|config| OAuthConfig::from_value(&config).expect("a configuration"))
}
