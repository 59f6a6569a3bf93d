//! The query that a browser brings back from a provider.

use http::StatusCode;
use larder_engine::oauth2::{CallbackOutcome, OAuthConfig, OAuthState, parse_callback};
use serde_json::json;
use url::form_urlencoded;

use super::stand::{Begun, Stand, on_stand};
use super::{assert_untold, with_secrets};

/// A query, in which `STATE` stands for the state of a flow that has begun in this browser.
pub fn callback(data: &[u8]) {
    let query = with_secrets(&String::from_utf8_lossy(data));
    check_parsed(&query);
    if query.contains("STATE") {
        on_stand(async |stand| check_finished(stand, &query).await);
    }
}

/// Names and values by the book (WHATWG URL), those without a value left out (RFC 6749 §3.1).
fn values(query: &str, name: &str) -> Vec<String> {
    let pairs = form_urlencoded::parse(query.as_bytes()).filter(|(key, value)| key == name && !value.is_empty());
    pairs.map(|(_, value)| value.into_owned()).collect()
}

fn check_parsed(query: &str) {
    let config =
        json!({"clientId": "c", "clientSecret": "s", "authorizeUri": "https://h/a", "tokenUri": "https://h/t"});
    let config = OAuthConfig::from_value(&config).expect("a connector_setup");
    let callback = match parse_callback(query) {
        Ok(callback) => callback,
        Err(error) => return assert_untold(&format!("{error:?} {error}")),
    };
    let outcome = callback.outcome(&config);
    assert_untold(&format!("{callback:?} {outcome:?}"));
    if let Ok(CallbackOutcome::Code(code)) = &outcome {
        assert_eq!(values(query, "code"), [code.expose()]);
        assert_eq!(values(query, "error"), [""; 0]);
    }
    assert_eq!(values(query, "state"), callback.state.iter().cloned().collect::<Vec<_>>());
    assert_eq!(callback.check_issuer(Some("https://h")).is_ok(), values(query, "iss") == ["https://h"]);
    // What was understood once is understood the same again.
    let pairs = callback.parameters.iter().map(|(name, value)| (name, value.as_str().expect("a text")));
    let again = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    assert_eq!(parse_callback(&again).map(|again| again.parameters), Ok(callback.parameters));
}

async fn check_finished(stand: &Stand, query: &str) {
    let Begun { state, cookie } = stand.begin().await;
    let query = query.replace("STATE", &state);
    let path = "/oauth-callback";
    let before = stand.provider.token_requests().len();
    let stranger = stand.request("GET", (path, &query), None, "").await;
    assert_eq!(stranger.status(), StatusCode::BAD_REQUEST, "without the cookie: {query}");
    let response = stand.request("GET", (path, &query), Some(("cookie", &cookie)), "").await;
    let again = stand.request("GET", (path, &query), Some(("cookie", &cookie)), "").await;
    assert_eq!((again.status(), again.body()), (response.status(), response.body()), "a second time: {query}");

    let requests = stand.provider.token_requests();
    let codes: Vec<_> = requests[before..].iter().map(|request| request.get("code").unwrap_or_default()).collect();
    let ours = |state: &str| OAuthState::parse(state).0;
    let is_ours = matches!(&values(&query, "state")[..], [only] if ours(only) == ours(&state));
    let is_wanted = is_ours && values(&query, "error").is_empty() && !has_twice(&query);
    match &values(&query, "code")[..] {
        [code] if is_wanted => {
            assert_eq!((codes, response.status()), (vec![code.as_str()], StatusCode::OK), "{query}");
        }
        _ => assert_eq!((codes, response.status()), (vec![], StatusCode::BAD_REQUEST), "{query}"),
    }
}

fn has_twice(query: &str) -> bool {
    let mut names: Vec<_> = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name.into_owned()).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    names.len() < all
}
