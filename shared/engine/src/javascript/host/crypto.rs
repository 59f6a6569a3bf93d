//! Hashes, HMAC and random bytes for `crypto`. Signatures are in [`super::keys`].

use std::sync::Arc;

use aws_lc_rs::{constant_time, digest, hmac};
use md5::{Digest as _, Md5};
use rquickjs::{ArrayBuffer, Ctx, Exception, Result};

use super::Functions;
use super::bytes::Bytes;

/// The maximum number of random bytes at once, enough for any nonce or key.
const MAX_RANDOM_BYTES: usize = 1 << 16;

/// Adds `digest(hash, bytes)`, `hmac(hash, key, bytes)` and `random(length)`, which return an ArrayBuffer, and
/// `equal(a, b)`, which compares in constant time. The hashes are md5, sha1, sha256, sha384 and sha512.
pub(super) fn add<'js>(functions: &Functions<'_, 'js>) -> Result<()> {
    functions.add("digest", |ctx: Ctx<'js>, hash: String, bytes: Bytes| match hash_named(&hash) {
        Some(algorithm) => ArrayBuffer::new_copy(ctx, digest::digest(algorithm, &bytes.0)),
        None if hash == "md5" => ArrayBuffer::new_copy(ctx, Md5::digest(&bytes.0)),
        None => Err(Exception::throw_message(&ctx, "Digest method not supported")),
    })?;
    functions.add("hmac", |ctx: Ctx<'js>, hash: String, key: Bytes, bytes: Bytes| match hash.as_str() {
        "md5" => ArrayBuffer::new_copy(ctx, hmac_md5(&key.0, &bytes.0)),
        _ => match hmac_named(&hash) {
            Some(algorithm) => ArrayBuffer::new_copy(ctx, hmac::sign(&hmac::Key::new(algorithm, &key.0), &bytes.0)),
            None => Err(Exception::throw_message(&ctx, "Invalid digest")),
        },
    })?;
    functions.add("equal", |a: Bytes, b: Bytes| constant_time::verify_slices_are_equal(&a.0, &b.0).is_ok())?;
    let rng = Arc::clone(&functions.host.settings.rng);
    functions.add("random", move |ctx: Ctx<'js>, length: usize| {
        if length > MAX_RANDOM_BYTES {
            let message = format!("more than {MAX_RANDOM_BYTES} random bytes at once");
            return Err(Exception::throw_range(&ctx, &message));
        }
        let mut bytes = vec![0; length];
        rng.fill(&mut bytes);
        ArrayBuffer::new_copy(ctx, bytes)
    })
}

/// Returns the hash with that name, except MD5, which AWS-LC does not support.
pub(super) fn hash_named(name: &str) -> Option<&'static digest::Algorithm> {
    Some(match name {
        "sha1" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        "sha256" => &digest::SHA256,
        "sha384" => &digest::SHA384,
        "sha512" => &digest::SHA512,
        _ => return None,
    })
}

fn hmac_named(name: &str) -> Option<hmac::Algorithm> {
    Some(match name {
        "sha1" => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        "sha256" => hmac::HMAC_SHA256,
        "sha384" => hmac::HMAC_SHA384,
        "sha512" => hmac::HMAC_SHA512,
        _ => return None,
    })
}

/// Computes an HMAC with MD5 (RFC 2104).
fn hmac_md5(key: &[u8], bytes: &[u8]) -> [u8; 16] {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..16].copy_from_slice(&Md5::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Md5::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(bytes).finalize();
    Md5::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}
