//! Converting between strings and bytes, for `TextDecoder`, `TextEncoder` and `Buffer`.
//!
//! <https://encoding.spec.whatwg.org/>,
//! <https://nodejs.org/docs/latest-v20.x/api/buffer.html#buffers-and-character-encodings>

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rquickjs::{ArrayBuffer, Ctx, Exception, Object, Result};

use super::Functions;
use super::bytes::{Bytes, Text};

/// Adds `encode(text, encoding)`, which returns an ArrayBuffer, and `text(bytes, encoding)`, which returns a string,
/// both with Node's encodings, and `decode(encoding, bytes, fatal, keepMark, stream)`, which returns `{text, rest}` for
/// a `TextDecoder`, where `rest` is the number of bytes at the end that form an incomplete character.
pub(super) fn add<'js>(functions: &Functions<'_, 'js>) -> Result<()> {
    functions.add("encode", |ctx: Ctx<'js>, text: Text, encoding: String| {
        ArrayBuffer::new_copy(ctx, encode(text.0, &encoding))
    })?;
    functions.add("text", |bytes: Bytes, encoding: String| text(&bytes.0, &encoding))?;
    functions.add(
        "decode",
        |ctx: Ctx<'js>, encoding: String, bytes: Bytes, is_fatal: bool, keep_mark: bool, is_stream: bool| {
            let decoded = decode(&encoding, &bytes.0, keep_mark, is_stream);
            if is_fatal && decoded.is_faulty {
                let message = format!("The encoded data was not valid for encoding {encoding}");
                return Err(Exception::throw_type(&ctx, &message));
            }
            let object = Object::new(ctx)?;
            object.set("text", decoded.text)?;
            object.set("rest", decoded.rest)?;
            Ok(object)
        },
    )
}

/// Base64 as Node decodes it: either alphabet, with or without padding, and with superfluous bits.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

fn encode(text: String, encoding: &str) -> Vec<u8> {
    match encoding {
        "hex" => text.as_bytes().chunks_exact(2).map_while(|pair| Some(hex(pair[0])? << 4 | hex(pair[1])?)).collect(),
        "base64" | "base64url" => base64(&text),
        "latin1" | "ascii" => text.encode_utf16().map(|unit| unit.to_le_bytes()[0]).collect(),
        _ => text.into_bytes(),
    }
}

fn hex(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

fn base64(text: &str) -> Vec<u8> {
    let mut digits: Vec<u8> = text
        .bytes()
        .take_while(|&byte| byte != b'=')
        .filter_map(|byte| match byte {
            b'-' => Some(b'+'),
            b'_' => Some(b'/'),
            b'+' | b'/' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => Some(byte),
            _ => None,
        })
        .collect();
    if digits.len() % 4 == 1 {
        digits.pop();
    }
    LENIENT.decode(digits).unwrap_or_default()
}

fn text(bytes: &[u8], encoding: &str) -> String {
    match encoding {
        "hex" => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        "base64" => STANDARD.encode(bytes),
        "base64url" => URL_SAFE_NO_PAD.encode(bytes),
        "latin1" => bytes.iter().map(|&byte| char::from(byte)).collect(),
        "ascii" => bytes.iter().map(|&byte| char::from(byte & 0x7f)).collect(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// The result of decoding bytes.
#[derive(Debug, Default, PartialEq)]
struct Decoded {
    text: String,
    /// The number of bytes at the end of a stream that are the start of a character.
    rest: usize,
    is_faulty: bool,
}

fn decode(encoding: &str, bytes: &[u8], keep_mark: bool, is_stream: bool) -> Decoded {
    let mark: &[u8] = match encoding {
        "utf-8" => b"\xef\xbb\xbf",
        "utf-16le" => b"\xff\xfe",
        _ => b"",
    };
    let bytes = if keep_mark { bytes } else { bytes.strip_prefix(mark).unwrap_or(bytes) };
    match encoding {
        "utf-8" => utf8(bytes, is_stream),
        "utf-16le" => utf16(bytes, is_stream),
        _ => Decoded { text: bytes.iter().map(|&byte| windows_1252(byte)).collect(), ..Decoded::default() },
    }
}

fn utf8(bytes: &[u8], is_stream: bool) -> Decoded {
    let mut decoded = Decoded { text: String::with_capacity(bytes.len()), ..Decoded::default() };
    let mut read = 0;
    for chunk in bytes.utf8_chunks() {
        decoded.text.push_str(chunk.valid());
        read += chunk.valid().len() + chunk.invalid().len();
        if chunk.invalid().is_empty() {
            continue;
        }
        let is_unfinished = str::from_utf8(chunk.invalid()).is_err_and(|error| error.error_len().is_none());
        if is_stream && is_unfinished && read == bytes.len() {
            decoded.rest = chunk.invalid().len();
        } else {
            decoded.text.push(char::REPLACEMENT_CHARACTER);
            decoded.is_faulty = true;
        }
    }
    decoded
}

fn utf16(bytes: &[u8], is_stream: bool) -> Decoded {
    let is_high = |unit: &u16| (0xd800..0xdc00).contains(unit);
    let (pairs, odd) = bytes.as_chunks::<2>();
    let mut units: Vec<u16> = pairs.iter().map(|&pair| u16::from_le_bytes(pair)).collect();
    let mut decoded = Decoded::default();
    if is_stream {
        decoded.rest = odd.len();
        if units.pop_if(|unit| is_high(unit)).is_some() {
            decoded.rest += 2;
        }
    }
    let is_cut = units.last().is_some_and(is_high);
    for character in char::decode_utf16(units) {
        decoded.is_faulty |= character.is_err();
        decoded.text.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    if !is_stream && !odd.is_empty() {
        decoded.is_faulty = true;
        // Together with half a surrogate pair before it, this is a single error.
        if !is_cut {
            decoded.text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    decoded
}

/// Decodes a byte: see <https://encoding.spec.whatwg.org/index-windows-1252.txt>.
fn windows_1252(byte: u8) -> char {
    const FROM_80: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘',
        '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => FROM_80[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latin1_is_windows_1252_as_in_the_standard() {
        assert_eq!(decode("windows-1252", b"\x80\x99\xe9", false, false).text, "€™é");
    }
}
