//! Helpers that the tests of this module share.

use http::Request;
use serde_json::{Value, json};

use super::OAuthConfig;

/// Returns the client of RFC 6749's examples with these changes.
pub(crate) fn config(changes: Value) -> OAuthConfig {
    let mut value = json!({
        "clientId": "s6BhdRkqt3",
        "clientSecret": "7Fjfp0ZBr1KtDRbnfVdmIw",
        "authorizeUri": "https://server.example.com/authorize",
        "tokenUri": "https://server.example.com/token?tenant=1",
    });
    for (key, change) in changes.as_object().unwrap() {
        value[key] = change.clone();
    }
    OAuthConfig::from_value(&value).unwrap()
}

/// Returns a whole request as a string.
pub(crate) fn whole(request: &Request<Vec<u8>>) -> String {
    let mut text = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
    }
    text + "\n" + std::str::from_utf8(request.body()).unwrap()
}
