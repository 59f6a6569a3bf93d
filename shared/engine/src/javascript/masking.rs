//! Keeping credentials out of messages and logs.
//!
//! The script controls the text and the caller the number of secrets, so the work is bounded: only the part of a text
//! that is kept is searched, once for all secrets together. If there are too many secrets, none of the text is shown.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use serde_json::{Map, Number, Value};

use crate::connector::mapping::js;

/// The minimum length of a secret. Shorter strings are hardly secrets and would match everywhere.
const MIN_LENGTH: usize = 6;

/// The minimum number of digits of a numeric secret: a PIN has four digits, an HTTP status three.
const MIN_DIGITS: usize = 4;

/// The maximum number of distinct secrets in a call's arguments. With more, none of the script's text is shown.
const MAX_SECRETS: usize = 500;

/// The maximum number of bytes to search for. After the beginning of a longer secret, nothing is shown.
const MAX_PATTERN_BYTES: usize = 512;

/// Replaces a secret, or text that was cut off.
const MASK: &str = "…";

/// Replaces a text if there are too many secrets.
const HIDDEN: &str = "… (not shown: the function's arguments have too many values to mask)";

/// The function arguments that contain secrets.
const SECRET_ARGUMENTS: [&str; 6] =
    ["codeVerifier", "connectionParameters", "connectorParameters", "credentials", "queryParameters", "tokenResponse"];

/// Returns how many bytes of a text [`Masking::text`] needs at most.
pub(super) const fn deciding_bytes(max_chars: usize) -> usize {
    max_chars * char::MAX_LEN_UTF8 + MAX_PATTERN_BYTES
}

/// The secrets of a call: all strings and numbers in the arguments that contain secrets.
pub(super) struct Masking {
    arguments: Arc<Map<String, Value>>,
    /// Collected on first use, on the engine's thread: most calls neither fail nor log anything.
    secrets: OnceLock<Secrets>,
    #[cfg(test)]
    searched: std::sync::atomic::AtomicUsize,
}

enum Secrets {
    None,
    Some(Patterns),
    TooMany,
}

struct Patterns {
    /// Finds all secrets in one pass.
    finder: AhoCorasick,
    /// For each pattern, whether it is only the beginning of its secret.
    is_beginning: Vec<bool>,
}

impl Masking {
    /// Creates a masking; collects no secrets yet.
    pub(super) fn new(arguments: Arc<Map<String, Value>>) -> Self {
        Self {
            arguments,
            secrets: OnceLock::new(),
            #[cfg(test)]
            searched: std::sync::atomic::AtomicUsize::new(0),
        }
    }

    /// Returns the first `max_chars` characters of a text, with `…` for each secret and for the rest. A secret that
    /// starts before the cut is masked like any other.
    pub(super) fn text(&self, text: &str, max_chars: usize) -> String {
        let kept = text.char_indices().nth(max_chars).map_or(text.len(), |(end, _)| end);
        let found = match self.secrets.get_or_init(|| Secrets::of(&self.arguments)) {
            Secrets::None => Vec::new(),
            Secrets::Some(patterns) => {
                let seen = &text.as_bytes()[..text.len().min(kept + MAX_PATTERN_BYTES)];
                #[cfg(test)]
                self.searched.fetch_add(seen.len(), std::sync::atomic::Ordering::Relaxed);
                patterns.find(seen)
            }
            Secrets::TooMany => return HIDDEN.to_owned(),
        };
        let (mut masked, mut at) = (String::with_capacity(kept), 0);
        for Range { start, end } in found.into_iter().take_while(|range| range.start < kept) {
            masked.push_str(&text[at..start]);
            masked.push_str(MASK);
            at = end;
        }
        if at < kept {
            masked.push_str(&text[at..kept]);
            if kept < text.len() {
                masked.push_str(MASK);
            }
        }
        masked
    }
}

impl Patterns {
    /// Returns the ranges of all secrets in order. Secrets that overlap or touch form one range.
    fn find(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = Vec::new();
        // Matches are ordered by their ends, so one may start before earlier matches.
        for each in self.finder.find_overlapping_iter(text) {
            let is_beginning = self.is_beginning[each.pattern().as_usize()];
            let (mut start, end) = (each.start(), if is_beginning { usize::MAX } else { each.end() });
            let mut last_end = end;
            while let Some(last) = found.pop_if(|last| last.end >= start) {
                start = start.min(last.start);
                last_end = last_end.max(last.end);
            }
            found.push(start..last_end);
        }
        found
    }
}

impl Secrets {
    fn of(arguments: &Map<String, Value>) -> Self {
        let mut texts = BTreeSet::new();
        let all = SECRET_ARGUMENTS.iter().filter_map(|name| arguments.get(*name));
        if all.map(|value| collect(value, &mut texts)).any(|is_complete| !is_complete) {
            return Self::TooMany;
        }
        if texts.is_empty() {
            return Self::None;
        }
        // Objects are shown as JSON, where a line break is two characters.
        let escaped: Vec<Cow<'_, str>> = texts.iter().filter_map(|text| escaped(text)).collect();
        texts.extend(escaped);
        let cut = |text: &str| text.as_bytes()[..text.len().min(MAX_PATTERN_BYTES)].to_vec();
        let is_beginning = texts.iter().map(|text| text.len() > MAX_PATTERN_BYTES).collect();
        let finder = AhoCorasick::builder()
            // The other kinds are faster but need more memory.
            .kind(Some(AhoCorasickKind::NoncontiguousNFA))
            .build(texts.iter().map(|text| cut(text)));
        // Building only fails with more patterns or bytes than possible here.
        finder.map_or(Self::TooMany, |finder| Self::Some(Patterns { finder, is_beginning }))
    }
}

/// Collects the secrets in a value. Returns `false` if there are too many.
fn collect<'a>(value: &'a Value, texts: &mut BTreeSet<Cow<'a, str>>) -> bool {
    match value {
        Value::String(text) => {
            let is_number = text.len() >= MIN_DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
            if is_number || text.chars().nth(MIN_LENGTH - 1).is_some() {
                texts.insert(text.as_str().into());
            }
        }
        Value::Number(number) => texts.extend(spellings(number).into_iter().map(Cow::Owned)),
        Value::Array(items) => return items.iter().all(|item| collect(item, texts)),
        Value::Object(members) => return members.values().all(|value| collect(value, texts)),
        Value::Null | Value::Bool(_) => {}
    }
    texts.len() <= MAX_SECRETS
}

/// Returns a number as its sender wrote it and as JavaScript writes it, without the sign.
fn spellings(number: &Number) -> Vec<String> {
    let rounded = number.as_f64().and_then(Number::from_f64).map(|number| js::string(Some(&Value::Number(number))));
    let texts = [Some(number.to_string()), rounded].into_iter().flatten();
    let has_digits = |text: &String| text.bytes().filter(u8::is_ascii_digit).count() >= MIN_DIGITS;
    texts.map(|text| text.trim_start_matches('-').to_owned()).filter(has_digits).collect()
}

/// Returns the string as it appears in JSON, if that is different.
fn escaped(text: &str) -> Option<Cow<'static, str>> {
    let json = serde_json::to_string(text).ok()?;
    let inner = json.get(1..json.len() - 1).filter(|inner| *inner != text)?;
    Some(inner.to_owned().into())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use serde_json::json;

    use super::*;

    fn masking(arguments: Value) -> Masking {
        let Value::Object(arguments) = arguments else { panic!() };
        Masking::new(Arc::new(arguments))
    }

    fn of_credentials(credentials: Value) -> Masking {
        masking(json!({ "credentials": credentials }))
    }

    #[test]
    fn secrets_are_masked_everywhere_but_short_strings_are_not() {
        let masking = masking(json!({
            "credentials": {"token": "hunter2-long", "nested": [{"a": "hunter2"}], "short": "abc"},
            "connectorParameters": {"clientSecret": "s3cret!"},
            "connectionParameters": {"shop": "acme-shop"},
            "redirectUri": "https://a.example"
        }));
        let text = "hunter2-long, hunter2 and s3cret! of acme-shop abc at https://a.example";
        assert_eq!(masking.text(text, 100), "…, … and … of … abc at https://a.example");
    }

    #[test]
    fn numbers_with_four_digits_are_masked() {
        let masking = of_credentials(json!({"pin": 4711, "text": "0815", "port": 443, "id": -123_456, "big": 1.25e30,
            "exact": 12_345_678_901_234_567_890_u64, "rate": 1234.5}));
        for secret in ["4711", "0815", "123456", "1.25e+30", "12345678901234567890", "1234.5"] {
            assert_eq!(masking.text(&format!("a{secret}b"), 100), "a…b", "{secret}");
        }
        // Rounded like JavaScript does.
        assert_eq!(masking.text("12345678901234567000", 100), "…");
        assert_eq!(masking.text("port 443", 100), "port 443");
    }

    #[test]
    fn overlapping_and_nested_secrets_are_masked_whole() {
        let masking = of_credentials(json!(["abcdefgh", "fghijklm", "cdefgh", "klmnopqr", "ababababab", "bababa"]));
        assert_eq!(masking.text("<abcdefghijklmnopqr>", 100), "<…>");
        assert_eq!(masking.text("<cdefghi>", 100), "<…i>");
        assert_eq!(masking.text("<abababababab>", 100), "<…>");
    }

    #[test]
    fn no_part_of_a_secret_is_shown_at_the_cut() {
        let masking = of_credentials(json!(["s3cret-of-twenty-char", "é".repeat(MAX_PATTERN_BYTES)]));
        for before in 0..60 {
            for secret in ["s3cret-of-twenty-char".to_owned(), "é".repeat(MAX_PATTERN_BYTES)] {
                let masked = masking.text(&format!("{}{secret}{}", "ü".repeat(before), "y".repeat(60)), 50);
                assert!(!masked.contains("s3") && !masked.contains('é'), "{before}: {masked}");
                assert!(masked.starts_with(&"ü".repeat(before.min(50))) && masked.contains(MASK), "{before}: {masked}");
            }
        }
        assert_eq!(masking.text("abcdef", 6), "abcdef");
        assert_eq!(masking.text("abcdefg", 6), "abcdef…");
    }

    #[test]
    fn the_beginning_of_a_long_secret_hides_the_rest() {
        let masking = of_credentials(json!("x1".repeat(MAX_PATTERN_BYTES)));
        assert_eq!(masking.text(&format!("a {} b", "x1".repeat(MAX_PATTERN_BYTES)), 9999), "a …");
    }

    #[test]
    fn secrets_are_masked_in_json_too() {
        let key = "-----BEGIN KEY-----\nMIIE\"\n";
        let masking = of_credentials(json!({ "key": key }));
        assert_eq!(masking.text(&json!([key]).to_string(), 100), "[\"…\"]");
    }

    #[test]
    fn text_is_searched_once_regardless_of_the_number_of_secrets() {
        let searched = |secrets: usize, text: &str| {
            let secrets: Vec<String> = (0..secrets).map(|number| format!("secret{number:04}")).collect();
            let masking = of_credentials(json!(secrets));
            masking.text(text, 2000);
            masking.searched.load(Ordering::Relaxed)
        };
        let long = "secret".repeat(50_000);
        for text in ["a short text", &long] {
            let once = searched(1, text);
            assert_eq!(searched(MAX_SECRETS, text), once);
            assert!(once <= text.len().min(deciding_bytes(2000)), "{once}");
        }
    }

    #[test]
    fn nothing_is_shown_with_too_many_secrets() {
        let secrets: Vec<String> = (0..=MAX_SECRETS).map(|number| format!("secret{number:04}")).collect();
        let repeated: Vec<&str> = secrets[1..].iter().chain(&secrets[1..]).map(String::as_str).collect();
        assert_eq!(of_credentials(json!(repeated)).text("a secret0001", 100), "a …");
        assert_eq!(of_credentials(json!(secrets)).text("a secret0001", 100), HIDDEN);
    }
}
