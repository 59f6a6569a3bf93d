//! The signature methods (RFC 5849 §3.4).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use larder::random::Rng;

use super::encoding::encode;
use crate::rsa_sha1::PrivateKey;

/// A connector's `signatureMethod`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SignatureMethod {
    /// HMAC with SHA-1 (RFC 5849 §3.4.2).
    #[default]
    HmacSha1,
    /// Like HMAC-SHA1, with SHA-256.
    HmacSha256,
    /// The secrets themselves, protected only by TLS (RFC 5849 §3.4.4).
    Plaintext,
    /// RSA with SHA-1 (RFC 5849 §3.4.3).
    RsaSha1,
}

impl SignatureMethod {
    pub(super) const NAMES: [(&'static str, Self); 4] = [
        ("HMAC-SHA1", Self::HmacSha1),
        ("HMAC-SHA256", Self::HmacSha256),
        ("PLAINTEXT", Self::Plaintext),
        ("RSA-SHA1", Self::RsaSha1),
    ];

    /// Returns the value of `oauth_signature_method`.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.into_iter().find(|(_, method)| *method == self).map_or("", |(name, _)| name)
    }
}

/// The signature method and the secrets that it needs.
pub(super) struct Keys<'a> {
    pub(super) method: SignatureMethod,
    pub(super) consumer_secret: &'a str,
    pub(super) token_secret: &'a str,
    pub(super) private_key: Option<&'a PrivateKey>,
}

impl Keys<'_> {
    /// Returns the `oauth_signature` of a base string, not yet encoded, or `None` if the RSA key is missing or cannot
    /// sign.
    pub(super) fn sign(&self, base_string: &str, rng: &dyn Rng) -> Option<String> {
        let shared = format!("{}&{}", encode(self.consumer_secret), encode(self.token_secret));
        let hmac = |algorithm| {
            let key = hmac::Key::new(algorithm, shared.as_bytes());
            STANDARD.encode(hmac::sign(&key, base_string.as_bytes()))
        };
        match self.method {
            SignatureMethod::HmacSha1 => Some(hmac(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY)),
            SignatureMethod::HmacSha256 => Some(hmac(hmac::HMAC_SHA256)),
            SignatureMethod::RsaSha1 => Some(STANDARD.encode(self.private_key?.sign(base_string.as_bytes(), rng)?)),
            SignatureMethod::Plaintext => Some(shared),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use larder::random::SystemRng;

    use super::super::base_string::base_string;
    use super::super::encoding::pairs;
    use super::*;

    /// The requests of RFC 5849 §1.2: method, URI, protocol parameters, token secret and signature.
    const EXAMPLES: [(&str, &str, &str, &str, &str); 3] = [
        (
            "POST",
            "https://photos.example.net/initiate",
            "oauth_consumer_key=dpf43f3p2l4k3l03&oauth_signature_method=HMAC-SHA1&oauth_timestamp=137131200\
             &oauth_nonce=wIjqoS&oauth_callback=http%3A%2F%2Fprinter.example.com%2Fready",
            "",
            "74KNZJeDHnMBp0EMJ9ZHt/XKycU=",
        ),
        (
            "POST",
            "https://photos.example.net/token",
            "oauth_consumer_key=dpf43f3p2l4k3l03&oauth_token=hh5s93j4hdidpola&oauth_signature_method=HMAC-SHA1\
             &oauth_timestamp=137131201&oauth_nonce=walatlh&oauth_verifier=hfdp7dh39dks9884",
            "hdhd0244k9j7ao03",
            "gKgrFCywp7rO0OXSjdot/IHF7IU=",
        ),
        (
            "GET",
            "http://photos.example.net/photos?file=vacation.jpg&size=original",
            "oauth_consumer_key=dpf43f3p2l4k3l03&oauth_token=nnch734d00sl2jdk&oauth_signature_method=HMAC-SHA1\
             &oauth_timestamp=137131202&oauth_nonce=chapoH",
            "pfkkdhi9sl3r4s00",
            "MdpQcU8iPSUjWoN/UDMsK2sui9I=",
        ),
    ];

    #[test]
    fn rfc_5849_section_1_2_signatures() {
        for (method, uri, protocol, token_secret, signature) in EXAMPLES {
            let uri: http::Uri = uri.parse().unwrap();
            let query = uri.query().unwrap_or_default().as_bytes();
            let parameters: Vec<_> = pairs(query).chain(pairs(protocol.as_bytes())).collect();
            let base = base_string(&Method::from_bytes(method.as_bytes()).unwrap(), &uri, &parameters).unwrap();
            let keys = Keys {
                method: SignatureMethod::HmacSha1,
                consumer_secret: "kd94hf93k423kf44",
                token_secret,
                private_key: None,
            };
            assert_eq!(keys.sign(&base, &SystemRng).unwrap(), signature, "{uri}");
        }
    }

    #[test]
    fn plaintext_signatures_are_the_two_secrets() {
        // RFC 5849 §3.4.4, and §2.1's example of a request without a token.
        let keys = |token_secret| Keys {
            method: SignatureMethod::Plaintext,
            consumer_secret: "ja893SD9",
            token_secret,
            private_key: None,
        };
        assert_eq!(keys("").sign("", &SystemRng).unwrap(), "ja893SD9&");
        assert_eq!(keys("a&b").sign("", &SystemRng).unwrap(), "ja893SD9&a%26b");
    }

    #[test]
    fn pkcs1_and_pkcs8_keys_are_accepted() {
        let pkcs8 = include_str!("vectors/test-key.pkcs8.pem");
        let pkcs1 = include_str!("vectors/test-key.pkcs1.pem");
        let sign = |pem: &str| PrivateKey::from_pem(pem).unwrap().sign(b"text", &SystemRng).unwrap();
        assert_eq!(sign(pkcs8), sign(&format!("\n{pkcs1}\n")));
        assert_eq!(format!("{:?}", PrivateKey::from_pem(pkcs8).unwrap()), "PrivateKey(…)");
        assert!(PrivateKey::from_pem("hunter2").is_none());
        assert!(PrivateKey::from_pem(&pkcs8[..pkcs8.len() / 2]).is_none());
    }
}
