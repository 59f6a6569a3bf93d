//! Proof Key for Code Exchange (RFC 7636).

use larder::digest::sha256_base64url;
use larder::random::{Rng, token};
use larder::secret::Secret;

/// A code verifier, generated for each flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pkce {
    verifier: Secret,
}

impl Pkce {
    /// Generates a verifier: 32 random bytes as 43 characters (RFC 7636 §4.1).
    pub fn generate(rng: &dyn Rng) -> Self {
        Self { verifier: Secret::new(token::<32>(rng)) }
    }

    /// Restores the verifier of a flow from its session.
    pub fn from_verifier(verifier: Secret) -> Self {
        Self { verifier }
    }

    /// Returns the `code_verifier`, for the session and the token request (RFC 7636 §4.5).
    pub fn verifier(&self) -> &Secret {
        &self.verifier
    }

    /// Returns the `code_challenge` with the method S256, for the authorization request (RFC 7636 §4.2).
    pub fn challenge(&self) -> String {
        sha256_base64url(self.verifier.expose())
    }
}

#[cfg(test)]
mod tests {
    use larder::random::SystemRng;

    use super::*;

    #[test]
    fn the_challenge_matches_rfc_7636_appendix_b() {
        let pkce = Pkce::from_verifier(Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        assert_eq!(pkce.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn verifiers_are_unique_and_have_43_unreserved_characters() {
        let (one, other) = (Pkce::generate(&SystemRng), Pkce::generate(&SystemRng));
        assert_eq!(one.verifier().expose().len(), 43);
        assert!(one.verifier().expose().bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)));
        assert_ne!(one, other);
    }
}
