//! The `state` parameter: it names a flow, and nobody can guess it.

use larder::digest::sha256_base64url;
use larder::random::{Rng, token};
use larder::secret::Secret;

/// Our half of the `state` parameter; the caller's `customState` may follow it after a colon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State(Secret);

impl State {
    /// 256 random bits as 43 characters of base64url (RFC 6749 §10.10 asks for 128 at the least).
    pub fn generate(rng: &dyn Rng) -> Self {
        Self(Secret::new(token::<32>(rng)))
    }

    /// Splits what came back (RFC 6749 §4.1.2) at its first colon: ours before it, the `customState` after it.
    pub fn parse(state: &str) -> (Self, Option<&str>) {
        let (ours, custom) = match state.split_once(':') {
            Some((ours, custom)) => (ours, Some(custom).filter(|custom| !custom.is_empty())),
            None => (state, None),
        };
        (Self(Secret::new(ours)), custom)
    }

    /// What goes to the provider (RFC 6749 §4.1.1): `<state>`, or `<state>:<customState>`.
    pub fn with_custom(&self, custom: Option<&str>) -> String {
        match custom {
            Some(custom) if !custom.is_empty() => format!("{}:{custom}", self.0.expose()),
            _ => self.0.expose().to_owned(),
        }
    }

    /// SHA-256 as base64url: the key of the flow's session, so that reading the store gives nobody a usable state.
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
    fn a_state_carries_256_bits_and_is_fresh() {
        let state = State::generate(&SystemRng);
        assert_eq!(URL_SAFE_NO_PAD.decode(state.with_custom(None)).unwrap().len(), 32);
        assert_ne!(state, State::generate(&SystemRng));
    }

    #[test]
    fn a_custom_state_comes_back_whole() {
        let state = State::generate(&SystemRng);
        for custom in [None, Some("shop-7"), Some("a:b::c"), Some(":")] {
            assert_eq!(State::parse(&state.with_custom(custom)), (state.clone(), custom));
        }
        assert_eq!(State::parse(&state.with_custom(Some(""))), (state.clone(), None));
        assert_eq!(State::parse("xyz:").1, None);
    }

    #[test]
    fn the_session_key_depends_on_our_half_only() {
        let key = State::parse("abc").0.digest();
        assert_eq!(key, "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
        assert_eq!(State::parse("abc:custom").0.digest(), key);
    }

    #[test]
    fn debug_says_nothing() {
        assert_eq!(format!("{:?}", State::parse("xyz").0), "State(Secret(…))");
    }
}
