//! Answers and callbacks of providers that speak OAuth 1.0a.

use larder::secret::Secret;
use larder_engine::oauth1::{
    OAuth1CallbackError, OAuth1Config, OAuth1Token, check_callback, parse_access_token, parse_request_token,
};
use larder_engine::oauth2::{TokenError, parse_callback};
use serde_json::{Value, json};

use super::{assert_untold, with_secrets};

/// The first line is a status, the rest is the body, and also the query of a callback.
pub fn oauth1(data: &[u8]) {
    let text = with_secrets(&String::from_utf8_lossy(data));
    let (head, body) = text.split_once('\n').unwrap_or((&text, ""));
    let Ok(status) = head.split(' ').next().unwrap_or_default().parse() else { return };

    let [strict, lax] = [false, true].map(config);
    let confirmed = parse_request_token(&strict, status, body.as_bytes());
    let any = parse_request_token(&lax, status, body.as_bytes());
    assert!(any.is_ok() || confirmed.is_err(), "the stricter one allows more");
    match parse_access_token(status, body.as_bytes()) {
        Ok(credentials) => {
            assert!((200..300).contains(&status) && any.is_ok());
            let text = Value::Object(credentials.clone()).to_string();
            assert_eq!(parse_access_token(200, text.as_bytes()), Ok(credentials));
        }
        Err(error) => check_failure(&error),
    }
    for result in [confirmed, any] {
        match result {
            Ok(token) => {
                assert!(!token.token.expose().is_empty());
                assert_untold(&format!("{token:?}"));
            }
            Err(error) => check_failure(&error),
        }
    }
    check_callbacks(&[strict, lax], body);
}

fn check_failure(error: &TokenError) {
    let text = format!("{error:?} {error}");
    assert_untold(&text);
    assert!(text.chars().count() < 1200, "more is told than a code and a description: {text}");
}

/// Only a callback with the flow's own token, a verifier and no refusal is accepted.
fn check_callbacks([strict, lax]: &[OAuth1Config; 2], query: &str) {
    let Ok(callback) = parse_callback(query) else { return };
    let token = OAuth1Token { token: Secret::new("hh5s93j4hdidpola"), secret: Secret::new("s") };
    let get = |name: &str| callback.parameters.get(name).and_then(Value::as_str).unwrap_or_default();
    let is_ours = get("oauth_token") == token.token.expose();
    let is_refused = ["denied", "oauth_problem", "error"].iter().any(|name| !get(name).is_empty());
    let verifier = Some(get("oauth_verifier")).filter(|verifier| !verifier.is_empty());
    let given = check_callback(strict, &token, &callback.parameters);
    assert_eq!(given.is_ok(), is_ours && !is_refused && verifier.is_some(), "{query}");
    let lax = check_callback(lax, &token, &callback.parameters);
    match &lax {
        Ok(found) => assert_eq!(found.as_ref().map(Secret::expose), verifier),
        Err(error) => assert_eq!(*error == OAuth1CallbackError::Denied, is_refused),
    }
    assert_eq!(lax.is_ok(), is_ours && !is_refused, "{query}");
}

fn config(allows_unconfirmed: bool) -> OAuth1Config {
    let config = json!({
        "consumerKey": "c", "consumerSecret": "s", "requestTokenUri": "https://h/r", "authorizeUri": "https://h/a",
        "tokenUri": "https://h/t", "allowUnconfirmedCallback": allows_unconfirmed,
    });
    OAuth1Config::from_value(&config).expect("a connector_setup")
}
