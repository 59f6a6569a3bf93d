//! OAuth 1.0's percent-encoding, which is stricter than that of forms (RFC 5849 §3.6).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Percent-encodes everything but letters, digits, `-`, `.`, `_` and `~`, with uppercase hex digits (RFC 5849 §3.6).
pub(super) fn encode(text: impl AsRef<[u8]>) -> String {
    percent_encode(text.as_ref(), &RESERVED).to_string()
}

/// Decodes the pairs of a query or a form (RFC 5849 §3.4.1.3.1), as bytes: they are not guaranteed to be UTF-8.
pub(super) fn pairs(form: &[u8]) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    let decode = |part: &[u8]| {
        let spaced: Vec<u8> = part.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
        percent_decode(&spaced).collect::<Vec<u8>>()
    };
    form.split(|&b| b == b'&').filter(|pair| !pair.is_empty()).map(move |pair| {
        let mut parts = pair.splitn(2, |&b| b == b'=');
        (decode(parts.next().unwrap_or_default()), decode(parts.next().unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unreserved_characters_are_kept() {
        assert_eq!(encode("Ladies + Gentlemen"), "Ladies%20%2B%20Gentlemen");
        assert_eq!(encode("-._~azAZ09"), "-._~azAZ09");
        assert_eq!(encode("☃!*'()"), "%E2%98%83%21%2A%27%28%29");
        assert_eq!(encode([0xff, b'/']), "%FF%2F");
    }

    #[test]
    fn pairs_parse_like_a_form() {
        let read: Vec<_> = pairs(b"a=1&&b5=%3D%253D&c%40=&c2&a3=2+q&=x&d=e=f&g=%FF%zz").collect();
        let expected: [(&[u8], &[u8]); 8] = [
            (b"a", b"1"),
            (b"b5", b"=%3D"),
            (b"c@", b""),
            (b"c2", b""),
            (b"a3", b"2 q"),
            (b"", b"x"),
            (b"d", b"e=f"),
            (b"g", b"\xff%zz"),
        ];
        assert_eq!(read.iter().map(|(k, v)| (&**k, &**v)).collect::<Vec<_>>(), expected);
    }
}
