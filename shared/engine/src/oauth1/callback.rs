//! The callback: the parameters that the browser brings back from the provider.

use larder::secret::Secret;
use serde_json::{Map, Value};

use super::{OAuth1Config, OAuth1Token};

/// The reason for rejecting a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OAuth1CallbackError {
    /// The end user or the provider said no: there is a `denied`, `oauth_problem` or `error` parameter.
    #[error("the provider did not grant access")]
    Denied,
    /// `oauth_token` is missing, or not the request token that this flow started with.
    #[error("the callback belongs to another request token")]
    OtherToken,
    /// `oauth_verifier` is missing, although the provider confirmed the callback.
    #[error("the callback has no oauth_verifier")]
    MissingVerifier,
}

/// Checks the callback's parameters (RFC 5849 §2.2) and returns the verifier. It may be missing only if the connector
/// allows OAuth 1.0.
///
/// # Errors
///
/// [`OAuth1CallbackError`].
pub fn check_callback(
    config: &OAuth1Config,
    request_token: &OAuth1Token,
    parameters: &Map<String, Value>,
) -> Result<Option<Secret>, OAuth1CallbackError> {
    let text = |key: &str| parameters.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if ["denied", "oauth_problem", "error"].into_iter().any(|key| text(key).is_some()) {
        return Err(OAuth1CallbackError::Denied);
    }
    if text("oauth_token").map(Secret::new).as_ref() != Some(&request_token.token) {
        return Err(OAuth1CallbackError::OtherToken);
    }
    match text("oauth_verifier") {
        None if !config.allow_unconfirmed_callback => Err(OAuth1CallbackError::MissingVerifier),
        verifier => Ok(verifier.map(Secret::new)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::config::tests::config;
    use super::*;

    #[test]
    fn a_callback_needs_its_flows_token_and_a_verifier() {
        let token = OAuth1Token { token: Secret::new("hh5s93j4hdidpola"), secret: Secret::new("") };
        let check = |lax: bool, parameters: Value| {
            let config = config(json!({ "allowUnconfirmedCallback": lax }));
            check_callback(&config, &token, parameters.as_object().unwrap())
        };
        let ours = json!({ "oauth_token": "hh5s93j4hdidpola", "oauth_verifier": "hfdp7dh39dks9884", "state": "x" });
        assert_eq!(check(false, ours), Ok(Some(Secret::new("hfdp7dh39dks9884"))));
        let without = json!({ "oauth_token": "hh5s93j4hdidpola", "oauth_verifier": "" });
        assert_eq!(check(false, without.clone()), Err(OAuth1CallbackError::MissingVerifier));
        assert_eq!(check(true, without), Ok(None));
        for other in [json!({ "oauth_token": "other", "oauth_verifier": "v" }), json!({ "oauth_verifier": "v" })] {
            assert_eq!(check(true, other), Err(OAuth1CallbackError::OtherToken));
        }
        assert_eq!(check(false, json!({ "denied": "hh5s93j4hdidpola" })), Err(OAuth1CallbackError::Denied));
    }
}
