//! Signing requests (RFC 5849 §3).

use http::Request;
use http::header::AUTHORIZATION;
use larder::http::is_form;
use larder::random::Rng;
use larder::secret::Secret;
use time::OffsetDateTime;

use super::authorization::authorization;
use super::base_string::base_string;
use super::encoding::pairs;
use super::signature::Keys;
use super::{OAuth1Config, OAuth1Token};

/// The values that make each signed request unique (RFC 5849 §3.3).
pub struct Stamp<'a> {
    /// Seconds since 1970.
    pub timestamp: i64,
    /// A string that is never used twice within a second.
    pub nonce: String,
    /// The randomness that blinds RSA signatures.
    pub rng: &'a dyn Rng,
}

impl<'a> Stamp<'a> {
    /// Returns a stamp with the time and a nonce of 128 random bits, written in letters and digits, which every
    /// provider accepts.
    pub fn new(now: OffsetDateTime, rng: &'a dyn Rng) -> Self {
        let mut bytes = [0; 16];
        rng.fill(&mut bytes);
        Self { timestamp: now.unix_timestamp(), nonce: format!("{:032x}", u128::from_le_bytes(bytes)), rng }
    }
}

/// The reason why a request cannot be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The request's URI has no scheme or no host.
    #[error("only a request with an absolute URL can be signed")]
    NotAbsolute,
    /// The RSA key is too short for a signature.
    #[error("the private key cannot sign")]
    Key,
}

/// Signs an API call: sets its `Authorization` header, replacing any other (RFC 5849 §3.1 and §3.5.1).
///
/// The signature covers the query and a body whose `Content-Type` is `application/x-www-form-urlencoded`, but no other
/// bodies (RFC 5849 §3.4.1.3.1). Do not change the request after signing it.
///
/// # Errors
///
/// [`SignError`].
pub fn sign(
    request: &mut Request<Vec<u8>>,
    config: &OAuth1Config,
    token: &OAuth1Token,
    stamp: &Stamp<'_>,
) -> Result<(), SignError> {
    sign_with(request, config, Some(token), &[], stamp)
}

/// Like [`sign`], with an optional token and additional protocol parameters.
pub(super) fn sign_with(
    request: &mut Request<Vec<u8>>,
    config: &OAuth1Config,
    token: Option<&OAuth1Token>,
    further: &[(&'static str, &str)],
    stamp: &Stamp<'_>,
) -> Result<(), SignError> {
    let mut protocol = vec![
        ("oauth_consumer_key", config.consumer_key.clone()),
        ("oauth_signature_method", config.signature_method.as_str().to_owned()),
        ("oauth_timestamp", stamp.timestamp.to_string()),
        ("oauth_nonce", stamp.nonce.clone()),
        ("oauth_version", "1.0".to_owned()),
    ];
    protocol.extend(token.map(|token| ("oauth_token", token.token.expose().to_owned())));
    protocol.extend(further.iter().map(|(name, value)| (*name, (*value).to_owned())));

    let query = request.uri().query().unwrap_or_default().as_bytes();
    let body = if is_form(request.headers()) { request.body().as_slice() } else { &[] };
    let ours = protocol.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    let signed: Vec<_> = pairs(query).chain(pairs(body)).chain(ours).collect();
    let base = base_string(request.method(), request.uri(), &signed).ok_or(SignError::NotAbsolute)?;

    let keys = Keys {
        method: config.signature_method,
        consumer_secret: config.consumer_secret.as_ref().map_or("", Secret::expose),
        token_secret: token.map_or("", |token| token.secret.expose()),
        private_key: config.private_key.as_ref(),
    };
    protocol.push(("oauth_signature", keys.sign(&base, stamp.rng).ok_or(SignError::Key)?));
    let header = authorization(config.realm.as_deref(), &protocol).ok_or(SignError::Key)?;
    request.headers_mut().insert(AUTHORIZATION, header);
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;
    use larder::random::SystemRng;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use time::macros::datetime;

    use super::super::config::tests::config;
    use super::*;

    fn token() -> OAuth1Token {
        OAuth1Token { token: Secret::new("nnch734d00sl2jdk"), secret: Secret::new("pfkkdhi9sl3r4s00") }
    }

    fn stamp() -> Stamp<'static> {
        Stamp { timestamp: 137_131_202, nonce: "chapoH".into(), rng: &SystemRng }
    }

    fn parameter(request: &Request<Vec<u8>>, name: &str) -> String {
        let header = request.headers()[AUTHORIZATION].to_str().unwrap();
        let (_, rest) = header.split_once(&format!("{name}=\"")).unwrap();
        percent_encoding::percent_decode_str(rest.split_once('"').unwrap().0).decode_utf8().unwrap().into_owned()
    }

    /// Python's oauthlib 4.0.1 generated `vectors/oauthlib.json`; see `vectors/README.md`.
    #[test]
    fn signatures_match_oauthlib() {
        let vectors: Vec<Value> = serde_json::from_str(include_str!("vectors/oauthlib.json")).unwrap();
        assert_eq!(vectors.len(), 20);
        for vector in vectors {
            let config = config(json!({
                "consumerSecret": "kd94/hf93k423kf44=",
                "signatureMethod": vector["signatureMethod"],
                "privateKey": include_str!("vectors/test-key.pkcs8.pem"),
            }));
            let mut request = Request::builder()
                .method(vector["method"].as_str().unwrap())
                .uri(vector["uri"].as_str().unwrap())
                .body(vector["form"].as_str().unwrap_or_default().as_bytes().to_vec())
                .unwrap();
            if vector["form"].is_string() {
                let form = "application/x-www-form-urlencoded; charset=utf-8".parse().unwrap();
                request.headers_mut().insert(CONTENT_TYPE, form);
            }
            let text = |key: &str| vector[key].as_str().map(Secret::new);
            let token = text("token").map(|token| OAuth1Token { token, secret: text("tokenSecret").unwrap() });
            let stamp = Stamp {
                timestamp: vector["timestamp"].as_i64().unwrap(),
                nonce: vector["nonce"].as_str().unwrap().into(),
                rng: &SystemRng,
            };
            sign_with(&mut request, &config, token.as_ref(), &[], &stamp).unwrap();
            assert_eq!(parameter(&request, "oauth_signature"), vector["signature"], "{vector}");
        }
    }

    #[test]
    fn signing_changes_only_the_authorization_header() {
        let uri = "http://photos.example.net/photos?file=vacation.jpg&size=original";
        let mut request = Request::builder().uri(uri).header(AUTHORIZATION, "Bearer x").body(b"{}".to_vec()).unwrap();
        sign(&mut request, &config(json!({ "realm": "Photos" })), &token(), &stamp()).unwrap();
        assert_eq!((request.uri().to_string().as_str(), request.body().as_slice()), (uri, b"{}".as_slice()));
        let header = request.headers()[AUTHORIZATION].to_str().unwrap();
        assert!(header.starts_with(
            "OAuth realm=\"Photos\", oauth_consumer_key=\"dpf43f3p2l4k3l03\", oauth_signature_method=\"HMAC-SHA1\", \
             oauth_timestamp=\"137131202\", oauth_nonce=\"chapoH\", oauth_version=\"1.0\", \
             oauth_token=\"nnch734d00sl2jdk\", oauth_signature=\""
        ));
    }

    #[test]
    fn only_form_bodies_are_signed() {
        let signature = |content_type: &str, body: &str| {
            let request = Request::builder().uri("https://h/").header(CONTENT_TYPE, content_type);
            let mut request = request.body(body.as_bytes().to_vec()).unwrap();
            sign(&mut request, &config(json!({})), &token(), &stamp()).unwrap();
            parameter(&request, "oauth_signature")
        };
        let form = "Application/x-www-form-urlencoded;charset=UTF-8";
        assert_ne!(signature(form, "a=1"), signature(form, "a=2"));
        assert_eq!(signature("application/json", "a=1"), signature("application/json", "a=2"));
    }

    #[test]
    fn a_relative_uri_cannot_be_signed() {
        let mut request = Request::builder().uri("/photos").body(Vec::new()).unwrap();
        assert_eq!(sign(&mut request, &config(json!({})), &token(), &stamp()), Err(SignError::NotAbsolute));
    }

    #[test]
    fn a_stamp_has_the_time_and_a_fresh_nonce() {
        let now = datetime!(2013-06-15 16:00:20 UTC);
        let (one, other) = (Stamp::new(now, &SystemRng), Stamp::new(now, &SystemRng));
        assert_eq!(one.timestamp, 1_371_312_020);
        assert_ne!(one.nonce, other.nonce);
        assert!(one.nonce.len() == 32 && one.nonce.bytes().all(|b| b.is_ascii_alphanumeric()));
    }

    proptest! {
        #[test]
        fn parameter_order_is_irrelevant_and_no_bytes_cause_a_panic(
            body in prop::collection::vec(any::<u8>(), 0..60),
            mut pairs in prop::collection::vec("[a-c%=+]{0,6}", 0..5),
        ) {
            let signature = |query: &str| {
                let request = Request::builder().uri(format!("https://h/p?{query}"));
                let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
                let mut request = request.body(body.clone()).unwrap();
                sign(&mut request, &config(json!({})), &token(), &stamp()).unwrap();
                parameter(&request, "oauth_signature")
            };
            let forth = signature(&pairs.join("&"));
            pairs.reverse();
            prop_assert_eq!(forth, signature(&pairs.join("&")));
        }
    }
}
