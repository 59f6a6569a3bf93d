//! Cleans up pasted strings: keys with a trailing line break or invisible characters.

use serde_json::{Map, Value};

/// Trims all strings in an object, because pasted keys often come with spaces, line breaks, or invisible characters. A
/// password may start or end with a space, so it loses only line breaks. Blank strings are kept.
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

/// Zero-width characters, often copied from web pages and word processors.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// Returns why a string does not fit into a header (RFC 9110 §5.5), worded to follow the string's name. Letters beyond
/// ASCII are allowed, because some servers accept them. Typographic dashes and quotation marks are not: word processors
/// insert them, and no server expects them.
pub fn flaw(text: &str) -> Option<&'static str> {
    text.chars().find_map(|c| match c {
        _ if is_line_break(c) => Some("contains a line break"),
        _ if is_invisible(c) => Some("contains an invisible character"),
        '\t' => None,
        _ if c.is_control() => Some("contains a control character"),
        _ if c != ' ' && c.is_whitespace() => Some("contains a non-standard space"),
        '\u{2010}'..='\u{2015}' => Some("contains a typographic dash"),
        '\u{2018}'..='\u{201f}' => Some("contains a typographic quotation mark"),
        _ => None,
    })
}

/// Like [`flaw`], for HTTP Basic credentials (RFC 7617 §2): passwords may contain any letters and spaces.
pub fn flaw_of_basic(text: &str) -> Option<&'static str> {
    text.chars().find_map(|c| match c {
        _ if is_line_break(c) => Some("contains a line break"),
        _ if is_invisible(c) => Some("contains an invisible character"),
        _ if c.is_control() => Some("contains a control character"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pasted_strings_lose_invisible_characters_at_both_ends() {
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
    fn characters_not_allowed_in_headers_are_named() {
        for (text, expected) in [
            ("a\nb", Some("contains a line break")),
            ("a\u{200b}b", Some("contains an invisible character")),
            ("a\u{a0}b", Some("contains a non-standard space")),
            ("a\u{7f}b", Some("contains a control character")),
            ("\u{201c}a\u{201d}", Some("contains a typographic quotation mark")),
            ("a\u{2013}b", Some("contains a typographic dash")),
            ("Jos\u{e9} a\tb", None),
        ] {
            assert_eq!(flaw(text), expected, "{text:?}");
        }
        assert_eq!(flaw_of_basic("p\u{a0}\u{201c}"), None);
        assert_eq!(flaw_of_basic("p\u{200b}"), Some("contains an invisible character"));
    }
}
