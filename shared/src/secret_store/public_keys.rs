//! Public keys that verify callers' tokens, so that your application can sign tokens with a key that only it has.
//!
//! # Decisions
//!
//! Keys are read from the workspace's secret and never fetched: `get-credentials` may call nothing outside of AWS, and a URL
//! would let its owner sign as any caller.
//!
//! Each key is for one algorithm, which follows from its type: RS256, ES256 or EdDSA. A token's `alg` only says which keys
//! are tried. A key of a JWKS that has another purpose or another algorithm is skipped, as RFC 7517 §5 recommends, because
//! a provider's list may have such keys. A key that could be forged, or a secret key, makes the whole list unusable.

use std::sync::Arc;

use aws_lc_rs::rsa;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RsaPublicKeyComponents};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A key, and the algorithm that it is for.
pub struct PublicKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// The public keys of a workspace: a JWKS, or an array of PEM strings, JWKs and JWKSs.
#[derive(Clone, Default)]
pub struct PublicKeys(Option<Arc<Parsed>>);

struct Parsed {
    source: Value,
    keys: Result<Vec<PublicKey>, String>,
}

impl PublicKey {
    /// Returns the key that verifies, if it may verify a token with these header parameters (RFC 7515 §4.1.4). A key without
    /// an id, and a token without one, go with any.
    pub fn for_token(&self, algorithm: Algorithm, id: Option<&str>) -> Option<&DecodingKey> {
        let is_named = match (&self.id, id) {
            (Some(own), Some(id)) => own == id,
            _ => true,
        };
        (self.algorithm == algorithm && is_named).then_some(&self.key)
    }

    /// Reads a JSON Web Key. Returns `None` if it is for something else.
    fn of_jwk(jwk: &Value) -> Result<Option<Self>, String> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &'static str| {
            let decoded = text(name).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
            decoded.ok_or_else(|| format!("has no `{name}`, or one that is not base64url"))
        };
        if text("kty") == Some("oct") || jwk.get("k").is_some() {
            return Err("is a secret key; paste only public ones".to_owned());
        }
        if jwk.get("d").is_some() {
            return Err("is a private key; paste only its public part".to_owned());
        }
        let (algorithm, key) = match (text("kty"), text("crv")) {
            (Some("RSA"), _) => (Algorithm::RS256, of_rsa(&bytes("n")?, &bytes("e")?)),
            (Some("EC"), Some("P-256")) => (Algorithm::ES256, of_p256(&[&[4], &*bytes("x")?, &*bytes("y")?].concat())),
            (Some("OKP"), Some("Ed25519")) => (Algorithm::EdDSA, of_ed25519(&bytes("x")?)),
            (Some(_), _) => return Ok(None),
            (None, _) => return Err("has no `kty`".to_owned()),
        };
        let is_for_tokens = text("use").is_none_or(|usage| usage == "sig")
            && text("alg").is_none_or(|name| name.parse() == Ok(algorithm));
        let id = text("kid").map(str::to_owned);
        if is_for_tokens { Ok(Some(Self { id, algorithm, key: key? })) } else { Ok(None) }
    }

    /// Reads a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) in PEM.
    fn of_pem(text: &str) -> Result<Self, String> {
        // The encodings of these two have a fixed length (RFC 5480 §2, RFC 8410 §4).
        const P256: [u8; 26] = *b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
        const ED25519: [u8; 12] = *b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
        let inner = text.trim().strip_prefix("-----BEGIN PUBLIC KEY-----");
        let inner = inner.and_then(|text| text.strip_suffix("-----END PUBLIC KEY-----"));
        let base64 = inner.map(|text| text.split_ascii_whitespace().collect::<String>());
        let der = base64.and_then(|text| STANDARD.decode(text).ok());
        let der = der.ok_or("is not one `BEGIN PUBLIC KEY` in PEM")?;
        let (algorithm, key) = if let Some(point) = der.strip_prefix(&P256) {
            (Algorithm::ES256, of_p256(point)?)
        } else if let Some(key) = der.strip_prefix(&ED25519) {
            (Algorithm::EdDSA, of_ed25519(key)?)
        } else {
            let key = rsa::PublicKey::from_der(&der);
            let key = key.map_err(|_| "is neither an RSA nor a P-256 nor an Ed25519 key")?;
            let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(&key);
            (Algorithm::RS256, of_rsa(&n, &e)?)
        };
        Ok(Self { id: None, algorithm, key })
    }
}

fn of_rsa(n: &[u8], e: &[u8]) -> Result<DecodingKey, String> {
    let [n, e] = [n, e].map(|number| &number[number.iter().take_while(|byte| **byte == 0).count()..]);
    let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if bits < 2048 {
        return Err(format!("is an RSA key of {bits} bits; use at least 2048"));
    }
    if bits > 8192 {
        return Err(format!("is an RSA key of {bits} bits; use at most 8192"));
    }
    // With an exponent of 1, a signature would be no secret.
    let is_odd = e.last().is_some_and(|byte| byte % 2 == 1);
    if !is_odd || e == [1] || e.len() > 4 {
        return Err("is an RSA key with an unusable exponent".to_owned());
    }
    Ok(DecodingKey::from_rsa_raw_components(n, e))
}

fn of_p256(point: &[u8]) -> Result<DecodingKey, String> {
    if point.len() != 65 || ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).is_err() {
        return Err("is not a point of P-256".to_owned());
    }
    Ok(DecodingKey::from_ec_der(point))
}

fn of_ed25519(key: &[u8]) -> Result<DecodingKey, String> {
    if key.len() != 32 {
        return Err("is not an Ed25519 key of 32 bytes".to_owned());
    }
    Ok(DecodingKey::from_ed_der(key))
}

impl PublicKeys {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Iterates over the keys.
    pub fn iter(&self) -> impl Iterator<Item = &PublicKey> {
        self.0.iter().flat_map(|parsed| parsed.keys.iter().flatten())
    }

    /// Returns why they must not be used.
    pub(super) fn problem(&self) -> Option<&str> {
        self.0.as_ref()?.keys.as_ref().err().map(String::as_str)
    }
}

/// Reads all keys. An empty list is one too: all keys are withdrawn.
fn read(source: &Value) -> Result<Vec<PublicKey>, String> {
    let listed = match source {
        Value::Array(items) => items.iter().flat_map(members).collect(),
        other => members(other),
    };
    let mut keys = Vec::new();
    for (number, item) in (1..).zip(&listed) {
        let key = match item {
            Value::String(pem) => PublicKey::of_pem(pem).map(Some),
            jwk => PublicKey::of_jwk(jwk),
        };
        keys.extend(key.map_err(|problem| format!("key {number} {problem}"))?);
    }
    if keys.is_empty() && !listed.is_empty() {
        return Err("none of the keys is for RS256, ES256 or EdDSA".to_owned());
    }
    Ok(keys)
}

/// Returns the keys of a JWKS, or the value itself.
fn members(value: &Value) -> Vec<&Value> {
    match value.get("keys") {
        Some(Value::Array(keys)) => keys.iter().collect(),
        _ => vec![value],
    }
}

impl From<Value> for PublicKeys {
    fn from(source: Value) -> Self {
        let keys = read(&source);
        Self(Some(Arc::new(Parsed { source, keys })))
    }
}

impl<'de> Deserialize<'de> for PublicKeys {
    /// Keys that cannot be read are not an error here, but the key's problem.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}

impl Serialize for PublicKeys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().map(|parsed| &parsed.source).serialize(serializer)
    }
}
