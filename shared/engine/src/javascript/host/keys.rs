//! Signing and verifying with RSA and ECDSA keys.

use std::sync::Arc;

use aws_lc_rs::digest::digest;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeyPairComponents, PublicKey, PublicKeyComponents};
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, KeyPair as _, RsaParameters,
    RsaSignatureEncoding, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use larder::random::Rng;
use rquickjs::{ArrayBuffer, Ctx, Exception, Object, Result};
use serde::Deserialize;

use super::Functions;
use super::bytes::{Bytes, Text};
use super::crypto::hash_named;
use crate::javascript::limits::KEY_BYTES;
use crate::rsa_sha1;

/// Adds `readKey(type, der)` and `readJwk(json)`, which return `{type, kind, bits, der}`: `type` is `private` or
/// `public`, `kind` is `RSA` or a curve's name, and `der` is the key for the next two functions. Also adds
/// `sign(scheme, hash, key, bytes)`, which returns an ArrayBuffer, and `verify(scheme, hash, key, signature, bytes)`,
/// which returns whether the signature is valid. The schemes are `rsa-pkcs1`, `rsa-pss` (with a salt as long as the
/// hash), `ecdsa-der` and `ecdsa-fixed`.
pub(super) fn add<'js>(functions: &Functions<'_, 'js>) -> Result<()> {
    functions.add("readKey", |ctx: Ctx<'js>, kind: String, der: Bytes<KEY_BYTES>| match kind.as_str() {
        "private" => describe(&ctx, "private", PrivateKey::read(&der.0).map(|key| key.kind()), &der.0),
        _ => {
            let der = public_part(&der.0);
            describe(&ctx, "public", public_kind(&der), &der)
        }
    })?;
    functions.add("readJwk", |ctx: Ctx<'js>, json: Text<KEY_BYTES>| match Jwk::read(&json.0) {
        Ok((der, true)) => describe(&ctx, "private", PrivateKey::read(&der).map(|key| key.kind()), &der),
        Ok((der, false)) => describe(&ctx, "public", public_kind(&der), &der),
        Err(error) => describe(&ctx, "", Err(error), &[]),
    })?;
    let rng = Arc::clone(&functions.host.settings.rng);
    functions.add(
        "sign",
        move |ctx: Ctx<'js>, scheme: String, hash: String, key: Bytes<KEY_BYTES>, bytes: Bytes| match sign(
            &scheme, &hash, &key.0, &bytes.0, &*rng,
        ) {
            Ok(signature) => ArrayBuffer::new_copy(ctx, signature),
            Err(error) => Err(Exception::throw_message(&ctx, &error)),
        },
    )?;
    functions.add(
        "verify",
        |ctx: Ctx<'js>,
         scheme: String,
         hash: String,
         key: Bytes<KEY_BYTES>,
         signature: Bytes<KEY_BYTES>,
         bytes: Bytes| {
            verify(&scheme, &hash, &key.0, &signature.0, &bytes.0)
                .map_err(|error| Exception::throw_message(&ctx, &error))
        },
    )
}

/// The reason why a key cannot be used.
type KeyError = String;

/// A key's kind and its size in bits.
type KeyKind = (&'static str, usize);

fn describe<'js>(
    ctx: &Ctx<'js>,
    key_type: &str,
    kind: std::result::Result<KeyKind, KeyError>,
    der: &[u8],
) -> Result<Object<'js>> {
    let (kind, bits) = kind.map_err(|error| Exception::throw_message(ctx, &error))?;
    let object = Object::new(ctx.clone())?;
    object.set("type", key_type)?;
    object.set("kind", kind)?;
    object.set("bits", bits)?;
    object.set("der", STANDARD.encode(der))?;
    Ok(object)
}

/// A curve and its hash. ECDSA signatures are ASN.1 or two numbers of fixed size.
struct Curve {
    name: &'static str,
    bits: usize,
    hash: &'static str,
    sign_der: &'static EcdsaSigningAlgorithm,
    sign_fixed: &'static EcdsaSigningAlgorithm,
    verify_der: &'static EcdsaVerificationAlgorithm,
    verify_fixed: &'static EcdsaVerificationAlgorithm,
}

static CURVES: [Curve; 3] = [
    Curve {
        name: "P-256",
        bits: 256,
        hash: "sha256",
        sign_der: &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        sign_fixed: &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        verify_der: &signature::ECDSA_P256_SHA256_ASN1,
        verify_fixed: &signature::ECDSA_P256_SHA256_FIXED,
    },
    Curve {
        name: "P-384",
        bits: 384,
        hash: "sha384",
        sign_der: &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
        sign_fixed: &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        verify_der: &signature::ECDSA_P384_SHA384_ASN1,
        verify_fixed: &signature::ECDSA_P384_SHA384_FIXED,
    },
    Curve {
        name: "P-521",
        bits: 521,
        hash: "sha512",
        sign_der: &signature::ECDSA_P521_SHA512_ASN1_SIGNING,
        sign_fixed: &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
        verify_der: &signature::ECDSA_P521_SHA512_ASN1,
        verify_fixed: &signature::ECDSA_P521_SHA512_FIXED,
    },
];

enum PrivateKey {
    Rsa(KeyPair),
    Ec(&'static Curve, EcdsaKeyPair),
}

impl PrivateKey {
    /// Parses PKCS#8, PKCS#1 (RSA) or SEC 1 (EC).
    fn read(der: &[u8]) -> std::result::Result<Self, KeyError> {
        if let Ok(pair) = KeyPair::from_pkcs8(der).or_else(|_| KeyPair::from_der(der)) {
            return Ok(Self::Rsa(pair));
        }
        let pair = |curve: &'static Curve| {
            let pair = EcdsaKeyPair::from_private_key_der(curve.sign_der, der).ok()?;
            Some(Self::Ec(curve, pair))
        };
        CURVES.iter().find_map(pair).ok_or_else(|| {
            "unsupported private key: use an unencrypted RSA key of 2048 to 8192 bits, or EC key on P-256, P-384 or P-521"
                .to_owned()
        })
    }

    fn kind(&self) -> KeyKind {
        match self {
            Self::Rsa(pair) => ("RSA", pair.public_modulus_len() * 8),
            Self::Ec(curve, _) => (curve.name, curve.bits),
        }
    }
}

/// Returns the public key of a private key.
fn public_part(der: &[u8]) -> Vec<u8> {
    match PrivateKey::read(der) {
        Ok(PrivateKey::Rsa(pair)) => pair.public_key().as_ref().to_vec(),
        Ok(PrivateKey::Ec(_, pair)) => pair.public_key().as_ref().to_vec(),
        Err(_) => der.to_vec(),
    }
}

fn public_kind(der: &[u8]) -> std::result::Result<KeyKind, KeyError> {
    if let Ok(key) = PublicKey::from_der(der) {
        let bits = RsaParameters::public_modulus_len(key.as_ref()).map_err(|_| "not an RSA key")?;
        return Ok(("RSA", bits as usize));
    }
    let is_on = |curve: &&Curve| UnparsedPublicKey::new(curve.verify_der, der).parse().is_ok();
    let curve = CURVES
        .iter()
        .find(is_on)
        .ok_or("unsupported public key: use an RSA key, or an EC key on P-256, P-384 or P-521")?;
    Ok((curve.name, curve.bits))
}

fn sign(scheme: &str, hash: &str, key: &[u8], bytes: &[u8], rng: &dyn Rng) -> std::result::Result<Vec<u8>, KeyError> {
    let digest = digest(hash_named(hash).ok_or("Invalid digest")?, bytes);
    match PrivateKey::read(key)? {
        PrivateKey::Rsa(_) if (scheme, hash) == ("rsa-pkcs1", "sha1") => {
            let signature = rsa_sha1::PrivateKey::from_der(key).and_then(|key| key.sign(bytes, rng));
            signature.ok_or_else(|| "the key cannot sign".to_owned())
        }
        PrivateKey::Rsa(pair) => {
            let padding = rsa_padding(scheme, hash).ok_or_else(|| unsupported(scheme, hash, "RSA"))?;
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign_digest(padding, &digest, &mut signature).map_err(|_| "the key cannot sign")?;
            Ok(signature)
        }
        PrivateKey::Ec(curve, pair) if curve.hash == hash && scheme.starts_with("ecdsa") => {
            let fixed;
            let pair = if scheme == "ecdsa-fixed" {
                fixed = EcdsaKeyPair::from_private_key_der(curve.sign_fixed, key).map_err(|error| error.to_string())?;
                &fixed
            } else {
                &pair
            };
            Ok(pair.sign_digest(&digest).map_err(|_| "the key cannot sign")?.as_ref().to_vec())
        }
        PrivateKey::Ec(curve, _) => Err(unsupported(scheme, hash, curve.name)),
    }
}

fn rsa_padding(scheme: &str, hash: &str) -> Option<&'static RsaSignatureEncoding> {
    Some(match (scheme, hash) {
        ("rsa-pkcs1", "sha256") => &signature::RSA_PKCS1_SHA256,
        ("rsa-pkcs1", "sha384") => &signature::RSA_PKCS1_SHA384,
        ("rsa-pkcs1", "sha512") => &signature::RSA_PKCS1_SHA512,
        ("rsa-pss", "sha256") => &signature::RSA_PSS_SHA256,
        ("rsa-pss", "sha384") => &signature::RSA_PSS_SHA384,
        ("rsa-pss", "sha512") => &signature::RSA_PSS_SHA512,
        _ => return None,
    })
}

fn unsupported(scheme: &str, hash: &str, key: &str) -> KeyError {
    format!(
        "{scheme} with {hash} and a key of type {key} is not supported; use rsa-pkcs1 with sha1, sha256, sha384 or sha512, \
         rsa-pss with sha256, sha384 or sha512, or ecdsa on P-256 with sha256, on P-384 with sha384, or on P-521 with sha512"
    )
}

fn verify(scheme: &str, hash: &str, key: &[u8], signature: &[u8], bytes: &[u8]) -> std::result::Result<bool, KeyError> {
    let key = &public_part(key);
    let (kind, _) = public_kind(key)?;
    let algorithm = verification(scheme, hash, kind).ok_or_else(|| unsupported(scheme, hash, kind))?;
    Ok(UnparsedPublicKey::new(algorithm, key).verify(bytes, signature).is_ok())
}

fn verification(scheme: &str, hash: &str, kind: &str) -> Option<&'static dyn VerificationAlgorithm> {
    if kind != "RSA" {
        let curve = CURVES.iter().find(|curve| curve.name == kind && curve.hash == hash)?;
        return match scheme {
            "ecdsa-der" => Some(curve.verify_der),
            "ecdsa-fixed" => Some(curve.verify_fixed),
            _ => None,
        };
    }
    Some(match (scheme, hash) {
        ("rsa-pkcs1", "sha1") => &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        ("rsa-pkcs1", "sha256") => &signature::RSA_PKCS1_2048_8192_SHA256,
        ("rsa-pkcs1", "sha384") => &signature::RSA_PKCS1_2048_8192_SHA384,
        ("rsa-pkcs1", "sha512") => &signature::RSA_PKCS1_2048_8192_SHA512,
        ("rsa-pss", "sha256") => &signature::RSA_PSS_2048_8192_SHA256,
        ("rsa-pss", "sha384") => &signature::RSA_PSS_2048_8192_SHA384,
        ("rsa-pss", "sha512") => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

/// A JSON Web Key (RFC 7517 and RFC 7518 §6).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    d: Option<String>,
    p: Option<String>,
    q: Option<String>,
    dp: Option<String>,
    dq: Option<String>,
    qi: Option<String>,
}

impl Jwk {
    /// Parses a JWK. Returns the key as DER, or as a point if it is a public EC key, and whether it is private.
    fn read(json: &str) -> std::result::Result<(Vec<u8>, bool), KeyError> {
        let jwk: Self = serde_json::from_str(json).map_err(|error| format!("invalid JWK: {error}"))?;
        let is_private = jwk.d.is_some();
        let der = match jwk.kty.as_str() {
            "RSA" => jwk.rsa(),
            "EC" => jwk.ec(),
            _ => None,
        };
        Ok((der.ok_or("the JWK is not a complete RSA or EC key")?, is_private))
    }

    fn rsa(&self) -> Option<Vec<u8>> {
        let public_key = PublicKeyComponents { n: bytes(&self.n)?, e: bytes(&self.e)? };
        if self.d.is_none() {
            return Some(public_key.as_der().ok()?.as_ref().to_vec());
        }
        let components = KeyPairComponents {
            public_key,
            d: bytes(&self.d)?,
            p: bytes(&self.p)?,
            q: bytes(&self.q)?,
            dP: bytes(&self.dp)?,
            dQ: bytes(&self.dq)?,
            qInv: bytes(&self.qi)?,
        };
        Some(KeyPair::from_components(&components).ok()?.as_der().ok()?.as_ref().to_vec())
    }

    fn ec(&self) -> Option<Vec<u8>> {
        let curve = CURVES.iter().find(|curve| Some(curve.name) == self.crv.as_deref())?;
        let point = [vec![4], bytes(&self.x)?, bytes(&self.y)?].concat();
        if self.d.is_none() {
            return Some(point);
        }
        let pair = EcdsaKeyPair::from_private_key_and_public_key(curve.sign_der, &bytes(&self.d)?, &point).ok()?;
        Some(pair.to_pkcs8v1().ok()?.as_ref().to_vec())
    }
}

fn bytes(member: &Option<String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(member.as_ref()?.trim_end_matches('=')).ok()
}
