//! The `state` parameter, an unguessable name for a flow.

use larder::digest::sha256_base64url;
use larder::random::{Rng, token};
use larder::secret::Secret;

/// Our half of the `state` parameter. The caller's `customState` may follow it after a colon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthState(Secret);

impl OAuthState {
    /// Generates a state: 256 random bits as 43 characters of base64url (RFC 6749 §10.10 requires at least 128 bits).
    pub fn generate(rng: &dyn Rng) -> Self {
        Self(Secret::new(token::<32>(rng)))
    }

    /// Splits the state of a callback (RFC 6749 §4.1.2) at its first colon into our half and the `customState`.
    pub fn parse(state: &str) -> (Self, Option<&str>) {
        let (ours, custom) = match state.split_once(':') {
            Some((ours, custom)) => (ours, Some(custom).filter(|custom| !custom.is_empty())),
            None => (state, None),
        };
        (Self(Secret::new(ours)), custom)
    }

    /// Returns the state to send to the provider (RFC 6749 §4.1.1): `<state>` or `<state>:<customState>`.
    pub fn with_custom(&self, custom: Option<&str>) -> String {
        match custom {
            Some(custom) if !custom.is_empty() => format!("{}:{custom}", self.0.expose()),
            _ => self.0.expose().to_owned(),
        }
    }

    /// Returns the SHA-256 as base64url. It is the key of the flow's session, so the database never contains a usable state.
    pub fn digest(&self) -> String {
        sha256_base64url(self.0.expose())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use larder::random::SystemRng;

    use super::*;

    #[test]
    fn states_are_unique_and_have_256_bits() {
        let state = OAuthState::generate(&SystemRng);
        assert_eq!(URL_SAFE_NO_PAD.decode(state.with_custom(None)).unwrap().len(), 32);
        assert_ne!(state, OAuthState::generate(&SystemRng));
    }

    #[test]
    fn a_custom_state_comes_back_unchanged() {
        let state = OAuthState::generate(&SystemRng);
        for custom in [None, Some("shop-7"), Some("a:b::c"), Some(":")] {
            assert_eq!(OAuthState::parse(&state.with_custom(custom)), (state.clone(), custom));
        }
        assert_eq!(state.with_custom(Some("")), state.with_custom(None));
        assert_eq!(OAuthState::parse("xyz:").1, None);
    }

    #[test]
    fn the_session_key_depends_only_on_our_half() {
        let key = OAuthState::parse("abc").0.digest();
        assert_eq!(key, "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
        assert_eq!(OAuthState::parse("abc:custom").0.digest(), key);
    }

    #[test]
    fn debug_reveals_nothing() {
        assert_eq!(format!("{:?}", OAuthState::parse("xyz").0), "OAuthState(Secret(…))");
    }
}
