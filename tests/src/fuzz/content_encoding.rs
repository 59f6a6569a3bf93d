//! Bodies that a server encoded without being asked to.

use larder_engine::egress::{EgressError, Limits};

use super::answer::CannedAnswer;
use super::assert_no_secret;

/// Takes a response: a status, headers, an empty line and a body. Three headers, which are not sent, control how the body is
/// encoded: `pack` is a list of `gzip`, `zlib` and `deflate`; then `flip` flips bits of a byte (`flip: 12 255`), and `cut`
/// truncates the body at a byte.
pub fn content_encoding(data: &[u8]) {
    let Some(answer) = CannedAnswer::read(data) else { return };
    let mut answer = answer.planted();
    let mut take =
        |name: &str| answer.headers.remove(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let (packs, flip, cut) = (take("pack"), take("flip"), take("cut"));
    let text = answer.body.clone();
    let mut layers = vec![text.len()];
    let packs: Vec<String> =
        packs.iter().flat_map(|packs| packs.split(',')).map(|pack| pack.trim().to_owned()).collect();
    for pack in &packs {
        answer.body = match pack.as_str() {
            "gzip" => gzip(&answer.body),
            "zlib" => zlib(&answer.body),
            "deflate" => stored(&answer.body),
            _ => return,
        };
        layers.push(answer.body.len());
    }
    let packed = answer.body.clone();
    damage(&mut answer.body, flip.as_deref(), cut.as_deref());
    let is_whole = answer.body == packed;
    let stated = stated_encodings(&answer);
    let done: Vec<&str> = packs.iter().map(|pack| if pack == "gzip" { "gzip" } else { "deflate" }).collect();
    let is_true = stated == done;

    let limits = Limits { max_body_bytes: LIMIT, ..Limits::TOKEN };
    match answer.receive(limits) {
        Ok(response) => {
            let is_decoded = !stated.is_empty() && !answer.body.is_empty();
            assert!(!is_decoded || !response.headers.contains_key("content-encoding"), "{:?}", response.headers);
            assert!(response.body.len() <= LIMIT || response.body == answer.body, "{} bytes", response.body.len());
            if stated.is_empty() {
                assert_eq!(response.body, answer.body);
            } else if is_true && is_whole {
                assert_eq!(response.body, text);
            } else if is_true && done == ["gzip"] {
                // The checksum rules anything else out.
                assert!(response.body == text || response.body == answer.body, "{:?}", response.body);
            }
        }
        // `api_response` covers this error.
        Err(EgressError::TooManyValues { .. }) => {}
        Err(error) => {
            assert_no_secret(&format!("{error:?} {error}"));
            assert!(error.to_string().contains("api.example") && error.to_string().len() < 200, "{error}");
            assert!(!stated.is_empty(), "{error}");
            let is_too_large = matches!(error, EgressError::TooLarge { limit: LIMIT, .. });
            assert!(is_too_large || matches!(error, EgressError::Undecodable { .. }), "{error}");
            if is_true && is_whole && done.len() <= 2 {
                let largest = layers[..done.len()].iter().max().expect("there is a body");
                assert!(is_too_large && *largest > LIMIT, "{error}");
            }
        }
    }
}

/// The limit of a decoded body, in bytes.
const LIMIT: usize = 1000;

/// Returns the encodings in the headers, by their usual names.
fn stated_encodings(answer: &CannedAnswer) -> Vec<String> {
    let values = answer.headers.get_all("content-encoding").iter();
    let names = values.flat_map(|value| value.to_str().unwrap_or("unreadable").split(','));
    let names =
        names.map(|name| name.trim().to_ascii_lowercase()).filter(|name| !matches!(name.as_str(), "" | "identity"));
    names.map(|name| if name == "x-gzip" { "gzip".to_owned() } else { name }).collect()
}

fn damage(body: &mut Vec<u8>, flip: Option<&str>, cut: Option<&str>) {
    if let Some((at, bits)) = flip.and_then(|flip| flip.split_once(' ')) {
        let at = at.parse().ok().and_then(|at: usize| body.get_mut(at));
        if let (Some(byte), Ok(bits)) = (at, bits.trim().parse::<u8>()) {
            *byte ^= bits;
        }
    }
    if let Some(at) = cut.and_then(|at| at.trim().parse().ok()) {
        body.truncate(at);
    }
}

/// RFC 1951 §3.2.4: blocks that are not compressed.
fn stored(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut blocks = text.chunks(usize::from(u16::MAX)).peekable();
    if blocks.peek().is_none() {
        out.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).expect("a block is not longer");
        out.push(u8::from(blocks.peek().is_none()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    out
}

/// RFC 1952 §2.3.
fn gzip(text: &[u8]) -> Vec<u8> {
    let crc = !text.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    });
    let length = u32::try_from(text.len()).expect("bodies are small");
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    [&header[..], &stored(text), &crc.to_le_bytes(), &length.to_le_bytes()].concat()
}

/// RFC 1950 §2.2.
fn zlib(text: &[u8]) -> Vec<u8> {
    let (a, b) = text.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    [&[0x78, 0x01][..], &stored(text), &((b << 16) | a).to_be_bytes()].concat()
}
