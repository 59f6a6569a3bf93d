//! RSASSA-PKCS1-v1_5 with SHA-1, which OAuth 1.0 calls RSA-SHA1 (RFC 5849 §3.4.3). AWS-LC verifies these signatures but
//! cannot create them.

use std::fmt;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use larder::random::Rng;
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::{Pkcs1v15Sign, RsaPrivateKey};

/// The DER encoding of SHA-1's `DigestInfo`, up to the hash (RFC 8017 §9.2, note 1).
const DIGEST_INFO: [u8; 15] =
    [0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14];

/// An RSA signing key. Its `Debug` output reveals nothing.
#[derive(Clone)]
pub struct PrivateKey(RsaPrivateKey);

impl PrivateKey {
    /// Parses a PEM key: PKCS#8 (`BEGIN PRIVATE KEY`) or PKCS#1 (`BEGIN RSA PRIVATE KEY`). Returns `None` if it is
    /// neither.
    pub fn from_pem(pem: &str) -> Option<Self> {
        let pem = pem.trim();
        RsaPrivateKey::from_pkcs8_pem(pem).ok().or_else(|| RsaPrivateKey::from_pkcs1_pem(pem).ok()).map(Self)
    }

    /// Parses a DER key, PKCS#8 or PKCS#1. Returns `None` if it is neither.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        RsaPrivateKey::from_pkcs8_der(der).ok().or_else(|| RsaPrivateKey::from_pkcs1_der(der).ok()).map(Self)
    }

    /// Signs a message, blinded with `rng` so that the timing does not leak the key. Returns `None` if the key is too
    /// short.
    pub fn sign(&self, message: &[u8], rng: &dyn Rng) -> Option<Vec<u8>> {
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, message);
        let scheme = Pkcs1v15Sign { hash_len: Some(hash.as_ref().len()), prefix: DIGEST_INFO.into() };
        self.0.sign_with_rng(&mut Blinding(rng), scheme, hash.as_ref()).ok()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

/// Adapts our [`Rng`] to the `rsa` crate.
struct Blinding<'a>(&'a dyn Rng);

impl rsa::rand_core::RngCore for Blinding<'_> {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rsa::rand_core::Error> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl rsa::rand_core::CryptoRng for Blinding<'_> {}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};
    use larder::random::SystemRng;

    use super::*;

    #[test]
    fn aws_lc_verifies_our_signatures() {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let key = PrivateKey::from_der(pair.as_der().unwrap().as_ref()).unwrap();
        let signature = key.sign(b"a base string", &SystemRng).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, pair.public_key());
        assert!(public.verify(b"a base string", &signature).is_ok());
        assert!(public.verify(b"another", &signature).is_err());
    }
}
