//! Decoding bodies as text, JSON and forms.

use std::borrow::Cow;

use serde_json::{Map, Value};
use url::form_urlencoded;

/// Decodes a body as text: without a byte order mark, and with U+FFFD for bytes that are not UTF-8.
pub fn text(body: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(without_mark(body))
}

/// Parses a JSON body. Returns `None` if it is something else. Bytes that are not UTF-8 and lone surrogates (as in a
/// string that was cut inside an emoji) become U+FFFD and do not affect the rest.
pub fn json(body: &[u8]) -> Option<Value> {
    let body = without_mark(body);
    serde_json::from_slice(body).ok().or_else(|| {
        let text = String::from_utf8_lossy(body);
        serde_json::from_str(&text).or_else(|_| serde_json::from_str(&without_lone_surrogates(&text))).ok()
    })
}

/// Replaces each escaped lone surrogate with `\ufffd` (RFC 8259 §8.2).
fn without_lone_surrogates(json: &str) -> String {
    let surrogate = |at: usize, digits: &[char]| {
        let escape = json.get(at..at + 6)?.strip_prefix("\\u")?;
        let is_hex = escape.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_surrogate = is_hex && escape.starts_with(['d', 'D']) && escape[1..].starts_with(digits);
        is_surrogate.then_some(())
    };
    let (mut whole, mut at) = (String::with_capacity(json.len()), 0);
    while let Some(next) = json[at..].find('\\').map(|found| at + found) {
        whole.push_str(&json[at..next]);
        const HIGH: &[char] = &['8', '9', 'a', 'b', 'A', 'B'];
        const LOW: &[char] = &['c', 'd', 'e', 'f', 'C', 'D', 'E', 'F'];
        let (high, low) = (surrogate(next, HIGH).is_some(), surrogate(next, LOW).is_some());
        let length = match high {
            true if surrogate(next + 6, LOW).is_some() => 12,
            _ if high || low => 6,
            // An escape of one character, perhaps a backslash.
            _ => 1 + json[next + 1..].chars().next().map_or(0, char::len_utf8),
        };
        let is_lone = length == 6;
        whole.push_str(if is_lone { "\\ufffd" } else { &json[next..next + length] });
        at = next + length;
    }
    whole.push_str(&json[at..]);
    whole
}

/// Parses a JSON object or a form. Providers send forms with every content type, even HTML; but an HTML page starts
/// with `<` and is neither.
pub fn object(body: &[u8]) -> Option<Map<String, Value>> {
    let body = without_mark(body).trim_ascii();
    match body.first() {
        Some(b'{') => match json(body) {
            Some(Value::Object(map)) => Some(map),
            _ => None,
        },
        // A sentence with a link in it is not a form either: only a name precedes the first `=` of a form.
        _ if body.split(|byte| *byte == b'=').next().is_some_and(|name| !name.iter().all(u8::is_ascii_graphic)) => None,
        Some(b'<') => None,
        _ => {
            let members =
                form_urlencoded::parse(body).map(|(key, value)| (key.into_owned(), value.into_owned().into()));
            Some(members.collect())
        }
    }
}

/// Parses a body with a member of a token response: `access_token` or `error` (RFC 6749 §5.1 and §5.2).
pub fn token_form(body: &[u8]) -> Option<Map<String, Value>> {
    object(body).filter(|members| members.contains_key("access_token") || members.contains_key("error"))
}

fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_survives_a_byte_order_mark_and_a_stray_byte() {
        assert_eq!(json(b"\xef\xbb\xbf{\"a\":1}"), Some(json!({"a": 1})));
        assert_eq!(json(b"{\"name\":\"Jos\xe9\",\"a\":1}"), Some(json!({"name": "Jos\u{fffd}", "a": 1})));
        assert_eq!(text(b"\xef\xbb\xbfok"), "ok");
        assert_eq!(json(b"{\"a\":"), None);
    }

    #[test]
    fn json_survives_a_lone_surrogate() {
        for (text, expected) in [
            (r#"{"a":"cut \ud83d"}"#, "cut \u{fffd}"),
            (r#"{"a":"\ude00 cut"}"#, "\u{fffd} cut"),
            (r#"{"a":"\uD83D\uDE00 \uD83D"}"#, "\u{1f600} \u{fffd}"),
            (r#"{"a":"\\ud83d \ud83d\ud83d\ude00"}"#, "\\ud83d \u{fffd}\u{1f600}"),
        ] {
            assert_eq!(json(text.as_bytes()), Some(json!({ "a": expected })), "{text}");
        }
        assert_eq!(json(br#"{"a":"\ud83"}"#), None);
        assert_eq!(json("{\"a\":\"\\".as_bytes()), None);
    }

    #[test]
    fn an_object_is_json_or_a_form_but_never_a_page() {
        assert_eq!(object(b" \xef\xbb\xbf{}"), None, "a mark in the middle is a regular character");
        assert_eq!(object(b"\xef\xbb\xbf {\"a\":1}"), json!({"a": 1}).as_object().cloned());
        assert_eq!(object(b"a=1&b=%20"), json!({"a": "1", "b": " "}).as_object().cloned());
        assert_eq!(object(b"go to /login?error=invalid_grant"), None);
        assert_eq!(object(b"\r\n<!doctype html><a href=\"?access_token=x\">"), None);
        assert_eq!(object(b"{\"a\":1"), None);
    }
}
