//! A token and its secret.

use larder::secret::Secret;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The temporary credentials that start a flow, or the token credentials that it yields (RFC 5849 §1.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OAuth1Token {
    /// The `oauth_token`.
    pub token: Secret,
    /// The `oauth_token_secret`.
    pub secret: Secret,
}

impl OAuth1Token {
    /// Reads `oauth_token` and `oauth_token_secret` from a connection's credentials. Returns `None` if either is
    /// missing.
    pub fn of(credentials: &Value) -> Option<Self> {
        let text = |key: &str| credentials.get(key)?.as_str();
        let token = text("oauth_token").filter(|token| !token.is_empty())?;
        Some(Self { token: Secret::new(token), secret: Secret::new(text("oauth_token_secret")?) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_needs_a_secret_but_the_secret_may_be_empty() {
        let token = OAuth1Token::of(&json!({ "oauth_token": "t", "oauth_token_secret": "" })).unwrap();
        assert_eq!(format!("{token:?}"), "OAuth1Token { token: Secret(…), secret: Secret(…) }");
        for credentials in
            [json!({ "oauth_token": "t" }), json!({ "oauth_token": "", "oauth_token_secret": "s" }), json!(1)]
        {
            assert_eq!(OAuth1Token::of(&credentials), None);
        }
    }
}
