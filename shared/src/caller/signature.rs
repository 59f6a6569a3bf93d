//! The signatures of access tokens.
//!
//! # Decisions
//!
//! A token's `alg` chooses between kinds of keys, and a key of one kind is never tried as another: secrets verify HS256, HS384
//! and HS512, and a public key its own algorithm. Otherwise everyone who knows a public key could use it as a secret.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};

use super::Claims;
use crate::secret::Secret;
use crate::secret_store::WorkspaceSecret;

/// The kind of key that signed a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignedBy {
    /// One that callers' tokens are signed with.
    Caller,
    /// The application secret, which Larder signs with.
    Larder,
}

/// Returns the claims of a token, if one of a workspace's keys signed it.
pub(super) fn verified(token: &str, workspace: &WorkspaceSecret) -> Option<(Claims, SignedBy)> {
    let header = jsonwebtoken::decode_header(token).ok()?;
    let claims = |key: &DecodingKey| signed_claims(token, header.alg, key);
    match header.alg {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
            let claims = |secret: &Secret| claims(&DecodingKey::from_secret(secret.expose().as_bytes()));
            let by_caller = workspace.verifying().find_map(claims).map(|claims| (claims, SignedBy::Caller));
            let by_larder = || workspace.verifying_applications().find_map(claims);
            by_caller.or_else(|| by_larder().map(|claims| (claims, SignedBy::Larder)))
        }
        algorithm => {
            let id = header.kid.as_deref();
            let mut keys = workspace.verifying_keys().filter_map(|key| key.for_token(algorithm, id));
            keys.find_map(claims).map(|claims| (claims, SignedBy::Caller))
        }
    }
}

fn signed_claims(token: &str, algorithm: Algorithm, key: &DecodingKey) -> Option<Claims> {
    let mut rules = Validation::new(algorithm);
    // We check times ourselves: the library uses the machine's clock.
    rules.validate_exp = false;
    rules.validate_aud = false;
    rules.required_spec_claims.clear();
    jsonwebtoken::decode::<Claims>(token, key, &rules).ok().map(|data| data.claims)
}

/// Whether a token requires extensions that Larder does not support: any `crit` (RFC 7515 §4.1.11), or an unencoded payload
/// (which RFC 7797 forbids for tokens). Also true if the header isn't an object.
pub(super) fn asks_for_extensions(token: &str) -> bool {
    let header = token.split('.').next().and_then(|header| URL_SAFE_NO_PAD.decode(header).ok());
    let header = header.and_then(|header| serde_json::from_slice::<Map<String, Value>>(&header).ok());
    header.is_none_or(|header| header.contains_key("crit") || header.get("b64").is_some_and(|b64| *b64 != true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_headers_that_require_extensions_are_recognized() {
        let asks = |header: &str| asks_for_extensions(&format!("{}.e30.", URL_SAFE_NO_PAD.encode(header)));
        for header in [r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","b64":true,"kid":"crit"}"#] {
            assert!(!asks(header), "{header}");
        }
        for header in
            [r#"{"crit":["exp"]}"#, r#"{"crit":[]}"#, r#"{"crit":null}"#, r#"{"b64":false}"#, r#"{"b64":"true"}"#, "[]"]
        {
            assert!(asks(header), "{header}");
        }
    }
}
