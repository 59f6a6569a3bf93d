//! A token and its secret.

use larder::secret::Secret;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Temporary credentials, which a flow begins with, or token credentials, which it ends with (RFC 5849 §1.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// `oauth_token`.
    pub token: Secret,
    /// `oauth_token_secret`.
    pub secret: Secret,
}

impl Token {
    /// The token of a connection's credentials: `oauth_token` and `oauth_token_secret`. `None` if one is missing.
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
    fn a_token_needs_both_halves_and_its_secret_may_be_empty() {
        let token = Token::of(&json!({ "oauth_token": "t", "oauth_token_secret": "" })).unwrap();
        assert_eq!(format!("{token:?}"), "Token { token: Secret(…), secret: Secret(…) }");
        for credentials in
            [json!({ "oauth_token": "t" }), json!({ "oauth_token": "", "oauth_token_secret": "s" }), json!(1)]
        {
            assert_eq!(Token::of(&credentials), None);
        }
    }
}
