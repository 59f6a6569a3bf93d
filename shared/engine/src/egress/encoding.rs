//! `Content-Encoding` (RFC 9110 §8.4): no request asks for one, and some servers encode all the same.
//!
//! Only gzip and deflate are decoded: they are what such servers send. `flate2` is in the binaries anyway, for MySQL.

use std::io::Read;

use bytes::Bytes;
use flate2::read::{DeflateDecoder, GzDecoder, MultiGzDecoder, ZlibDecoder};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};

use super::Response;

/// The reason why nothing is decoded that grows beyond the limit.
pub(super) const TOO_LARGE: &str = "it is too large";
const DAMAGED: &str = "it is damaged";
/// Encodings upon each other; servers send one.
const LAYERS: usize = 2;

/// Decodes the body of a response, to at most `limit` bytes. Where that fails, the response is as it was.
pub(super) fn decode(response: &mut Response, limit: usize) -> Result<(), &'static str> {
    let encodings = encodings(response);
    if encodings.is_empty() || response.body.is_empty() {
        return Ok(());
    }
    if encodings.len() > LAYERS {
        return Err("it is encoded several times");
    }
    let mut whole = response.body.clone();
    // The encoding that was applied last comes off first.
    for encoding in encodings.iter().rev() {
        let body: &[u8] = &whole;
        let decoded = match encoding.as_str() {
            // Some servers only say that they encode.
            "gzip" | "x-gzip" if !body.starts_with(b"\x1f\x8b") => continue,
            // Some servers pad what they encode.
            "gzip" | "x-gzip" => match read(MultiGzDecoder::new(body), limit) {
                Err(DAMAGED) => read(GzDecoder::new(body), limit)?,
                result => result?,
            },
            // RFC 9110 §8.4.1.2: a zlib stream, which some servers leave the frame of.
            "deflate" if is_zlib(body) => read(ZlibDecoder::new(body), limit)?,
            "deflate" => read(DeflateDecoder::new(body), limit)?,
            _ => return Err("its encoding is neither gzip nor deflate"),
        };
        whole = decoded;
    }
    response.body = whole;
    response.headers.remove(CONTENT_ENCODING);
    response.headers.remove(CONTENT_LENGTH);
    Ok(())
}

/// In the order in which they were applied.
fn encodings(response: &Response) -> Vec<String> {
    let values = response.headers.get_all(CONTENT_ENCODING).iter();
    let encodings = values.flat_map(|value| value.to_str().unwrap_or("unreadable").split(','));
    let encodings = encodings.map(|encoding| encoding.trim().to_ascii_lowercase());
    encodings.filter(|encoding| !encoding.is_empty() && encoding != "identity").collect()
}

fn read(decoder: impl Read, limit: usize) -> Result<Bytes, &'static str> {
    let mut decoded = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(most).read_to_end(&mut decoded).map_err(|_| DAMAGED)?;
    if decoded.len() > limit { Err(TOO_LARGE) } else { Ok(decoded.into()) }
}

/// RFC 1950 §2.2: the method is 8, and the first two bytes are a multiple of 31.
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
        let is_left = decoded.is_err() || response.body.is_empty() || encoding == "identity";
        assert_eq!(response.headers.contains_key(CONTENT_ENCODING), is_left);
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
    fn bodies_that_servers_encode_unasked_are_decoded() {
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
        assert_eq!(decoded("br", Vec::new()).as_deref(), Ok(&b""[..]), "there is nothing to decode");
    }

    #[test]
    fn decoded_bytes_count_and_damage_is_reported() {
        assert_eq!(decoded("gzip", gzip(&[b'a'; 1000])).map(|body| body.len()), Ok(1000));
        assert_eq!(decoded("gzip", gzip(&[b'a'; 1001])), Err(TOO_LARGE));
        assert_eq!(decoded("gzip", gzip(&vec![0; 100_000_000])), Err(TOO_LARGE));
        assert_eq!(decoded("gzip", gzip(b"abcdef")[..12].to_vec()), Err("it is damaged"));
        assert_eq!(decoded("br", b"x".to_vec()), Err("its encoding is neither gzip nor deflate"));
        assert_eq!(decoded("gzip, gzip, gzip", gzip(b"x")), Err("it is encoded several times"));
    }
}
