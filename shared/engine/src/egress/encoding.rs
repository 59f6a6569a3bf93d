//! Decoding `Content-Encoding` (RFC 9110 §8.4): no request asks for it, but some servers encode anyway.
//!
//! Only gzip and deflate are supported: these servers send nothing else. `flate2` is in the binaries anyway, for MySQL.

use std::io::Read;

use bytes::Bytes;
use flate2::read::{DeflateDecoder, GzDecoder, MultiGzDecoder, ZlibDecoder};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};

use super::Response;

/// The error for bodies that exceed the limit when decoded.
pub(super) const TOO_LARGE: &str = "the body is too large";
const CORRUPT: &str = "the body is corrupt";
/// The maximum number of encodings on top of each other. Servers send one.
const MAX_LAYERS: usize = 2;

/// Decodes a response's body, to at most `limit` bytes. If that fails, the response remains unchanged.
pub(super) fn decode(response: &mut Response, limit: usize) -> Result<(), &'static str> {
    let encodings = encodings(response);
    if encodings.is_empty() || response.body.is_empty() {
        return Ok(());
    }
    if encodings.len() > MAX_LAYERS {
        return Err("the body is encoded several times");
    }
    let mut whole = response.body.clone();
    // The encoding that is listed last was applied last, so undo it first.
    for encoding in encodings.iter().rev() {
        let body: &[u8] = &whole;
        let decoded = match encoding.as_str() {
            // Some servers claim to encode but don't.
            "gzip" | "x-gzip" if !body.starts_with(b"\x1f\x8b") => continue,
            // Some servers add padding.
            "gzip" | "x-gzip" => match read(MultiGzDecoder::new(body), limit) {
                Err(CORRUPT) => read(GzDecoder::new(body), limit)?,
                result => result?,
            },
            // A zlib stream (RFC 9110 §8.4.1.2), but some servers omit the zlib header.
            "deflate" if is_zlib(body) => read(ZlibDecoder::new(body), limit)?,
            "deflate" => read(DeflateDecoder::new(body), limit)?,
            _ => return Err("the encoding is neither gzip nor deflate"),
        };
        whole = decoded;
    }
    response.body = whole;
    response.headers.remove(CONTENT_ENCODING);
    response.headers.remove(CONTENT_LENGTH);
    Ok(())
}

/// Returns a response's encodings in the order they were applied.
fn encodings(response: &Response) -> Vec<String> {
    let values = response.headers.get_all(CONTENT_ENCODING).iter();
    let encodings = values.flat_map(|value| value.to_str().unwrap_or("unreadable").split(','));
    let encodings = encodings.map(|encoding| encoding.trim().to_ascii_lowercase());
    encodings.filter(|encoding| !encoding.is_empty() && encoding != "identity").collect()
}

fn read(decoder: impl Read, limit: usize) -> Result<Bytes, &'static str> {
    let mut decoded = Vec::new();
    let just_over = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(just_over).read_to_end(&mut decoded).map_err(|_| CORRUPT)?;
    if decoded.len() > limit { Err(TOO_LARGE) } else { Ok(decoded.into()) }
}

/// Checks for a zlib header: the method is 8, and the first two bytes are a multiple of 31 (RFC 1950 §2.2).
fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [first, second, ..] if first & 0x0f == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;

    fn decoded(encoding: &str, body: Vec<u8>) -> Result<Vec<u8>, &'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_str(encoding).expect("a value"));
        let mut response = Response::new(StatusCode::OK, headers, body);
        let decoded = decode(&mut response, 1000);
        let is_kept = decoded.is_err() || response.body.is_empty() || encoding == "identity";
        assert_eq!(response.headers.contains_key(CONTENT_ENCODING), is_kept);
        decoded.map(|()| response.body.to_vec())
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("memory");
        encoder.finish().expect("memory")
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("memory");
        encoder.finish().expect("memory")
    }

    fn deflate(text: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn unrequested_encodings_are_decoded() {
        let text = b"{\"access_token\":\"a\"}";
        for (encoding, body) in [
            ("gzip", gzip(text)),
            ("X-GZIP", [gzip(&text[..5]), gzip(&text[5..])].concat()),
            ("gzip", [gzip(text), vec![0; 7]].concat()),
            ("deflate", zlib(text)),
            ("deflate", deflate(text)),
            ("deflate, gzip", gzip(&zlib(text))),
            ("gzip", text.to_vec()),
            ("identity", text.to_vec()),
        ] {
            assert_eq!(decoded(encoding, body).as_deref(), Ok(&text[..]), "{encoding}");
        }
        assert_eq!(decoded("br", Vec::new()).as_deref(), Ok(&b""[..]), "an empty body needs no decoding");
    }

    #[test]
    fn decoded_bytes_count_and_corruption_is_reported() {
        assert_eq!(decoded("gzip", gzip(&[b'a'; 1000])).map(|body| body.len()), Ok(1000));
        assert_eq!(decoded("gzip", gzip(&[b'a'; 1001])), Err(TOO_LARGE));
        assert_eq!(decoded("gzip", gzip(&vec![0; 100_000_000])), Err(TOO_LARGE));
        assert_eq!(decoded("gzip", gzip(b"abcdef")[..12].to_vec()), Err("the body is corrupt"));
        assert_eq!(decoded("br", b"x".to_vec()), Err("the encoding is neither gzip nor deflate"));
        assert_eq!(decoded("gzip, gzip, gzip", gzip(b"x")), Err("the body is encoded several times"));
    }
}
