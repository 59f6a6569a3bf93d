//! Pasted texts: keys with a line break behind them, or with characters that cannot be seen.

use serde_json::{Map, Value};

/// An object whose texts begin and end with something that can be seen: whoever pastes a key brings spaces and line breaks
/// along. A password may begin or end with a space, so that it only loses line breaks. A text that is blank as a whole stays.
pub fn trimmed(object: Map<String, Value>) -> Map<String, Value> {
    let trim = |(name, value): (String, Value)| {
        let value = trim(&name, value);
        (name, value)
    };
    object.into_iter().map(trim).collect()
}

fn trim(name: &str, value: Value) -> Value {
    match value {
        Value::String(text) => {
            let kept = if is_password(name) { text.trim_matches(is_line_break) } else { text.trim_matches(is_blank) };
            if kept.is_empty() || kept.len() == text.len() { text.into() } else { kept.into() }
        }
        Value::Array(items) => items.into_iter().map(|item| trim(name, item)).collect(),
        Value::Object(object) => trimmed(object).into(),
        other => other,
    }
}

fn is_password(name: &str) -> bool {
    let name = name.to_lowercase();
    ["password", "passphrase", "passwd", "pwd"].iter().any(|end| name.ends_with(end))
}

fn is_line_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || is_invisible(c)
}

/// Characters of no width, as they come along from web pages and word processors.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// The reason why a text does not fit into a header (RFC 9110 §5.5), in words that follow the name of the text. Letters beyond ASCII are let
/// be: some servers read them. Those that a word processor makes of ASCII are not, for no server means them.
pub fn flaw(text: &str) -> Option<&'static str> {
    text.chars().find_map(|c| match c {
        _ if is_line_break(c) => Some("has a line break in it"),
        _ if is_invisible(c) => Some("has an invisible character in it"),
        '\t' => None,
        _ if c.is_control() => Some("has a control character in it"),
        _ if c != ' ' && c.is_whitespace() => Some("has a space in it that is not a plain one"),
        '\u{2010}'..='\u{2015}' => Some("has a typographic dash in it"),
        '\u{2018}'..='\u{201f}' => Some("has a typographic quotation mark in it"),
        _ => None,
    })
}

/// The same for the credentials of HTTP Basic (RFC 7617 §2): passwords may have any letters and spaces.
pub fn flaw_of_basic(text: &str) -> Option<&'static str> {
    text.chars().find_map(|c| match c {
        _ if is_line_break(c) => Some("has a line break in it"),
        _ if is_invisible(c) => Some("has an invisible character in it"),
        _ if c.is_control() => Some("has a control character in it"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pasted_texts_lose_what_cannot_be_seen_at_their_ends() {
        let pasted = json!({
            "apiKey": " \u{feff}key\u{200b}\r\n", "password": " pass word \n", "list": ["a\n"], "nested": {"key": "\u{a0}k"},
            "pem": "-----BEGIN\nX\n-----END\n", "blank": " ", "number": 5, "inner": "a b",
        });
        let kept = json!({
            "apiKey": "key", "password": " pass word ", "list": ["a"], "nested": {"key": "k"},
            "pem": "-----BEGIN\nX\n-----END", "blank": " ", "number": 5, "inner": "a b",
        });
        let Value::Object(pasted) = pasted else { unreachable!() };
        assert_eq!(Value::Object(trimmed(pasted)), kept);
    }

    #[test]
    fn characters_that_no_header_should_hold_are_named() {
        for (text, expected) in [
            ("a\nb", Some("has a line break in it")),
            ("a\u{200b}b", Some("has an invisible character in it")),
            ("a\u{a0}b", Some("has a space in it that is not a plain one")),
            ("a\u{7f}b", Some("has a control character in it")),
            ("\u{201c}a\u{201d}", Some("has a typographic quotation mark in it")),
            ("a\u{2013}b", Some("has a typographic dash in it")),
            ("Jos\u{e9} a\tb", None),
        ] {
            assert_eq!(flaw(text), expected, "{text:?}");
        }
        assert_eq!(flaw_of_basic("p\u{a0}\u{201c}"), None);
        assert_eq!(flaw_of_basic("p\u{200b}"), Some("has an invisible character in it"));
    }
}
