//! `$firstName` and `$lastName`: parses a person's name as the npm package humanparser does.

use serde_json::Value;

use super::FormulaCall;
use crate::connector::mapping::js;

/// The first name, if there is a last name too.
pub(super) fn first_name(call: &FormulaCall<'_>) -> Option<Value> {
    let name = PersonName::of(call);
    if name.last.is_empty() { None } else { name.first.map(Value::from) }
}

/// The last name, or the only word of a name.
pub(super) fn last_name(call: &FormulaCall<'_>) -> Option<Value> {
    let name = PersonName::of(call);
    let last = Some(name.last).filter(|last| !last.is_empty());
    last.or(name.first.filter(|first| !first.is_empty())).map(Value::from)
}

const SALUTATIONS: [&str; 20] = [
    "mr",
    "master",
    "mister",
    "mrs",
    "miss",
    "ms",
    "dr",
    "prof",
    "rev",
    "fr",
    "judge",
    "honorable",
    "hon",
    "tuan",
    "sr",
    "srta",
    "br",
    "pr",
    "mx",
    "sra",
];

const SUFFIXES: [&str; 19] = [
    "i", "ii", "iii", "iv", "v", "senior", "junior", "jr", "sr", "phd", "apr", "rph", "pe", "md", "ma", "dmd", "cme",
    "qc", "kc",
];

/// Particles that belong to the last name that follows them.
const PARTICLES: [&str; 25] = [
    "vere", "von", "van", "de", "del", "della", "der", "den", "di", "da", "pietro", "vanden", "du", "st.", "st", "la",
    "lo", "ter", "bin", "ibn", "te", "ten", "op", "ben", "al",
];

#[derive(Default)]
struct PersonName {
    first: Option<String>,
    last: String,
}

impl PersonName {
    fn of(call: &FormulaCall<'_>) -> Self {
        let value = call.value().filter(|value| !value.is_null());
        let name = Self::parse(&value.map_or_else(String::new, |value| js::string(Some(&value))));
        Self { first: name.first.map(|first| js::trim(&first).to_owned()), last: js::trim(&name.last).to_owned() }
    }

    fn parse(text: &str) -> Self {
        let mut parts = parts(&spaced(js::trim(text)));
        if parts.is_empty() {
            return Self::default();
        }
        let only = (parts.len() == 1).then(|| parts[0].clone());
        if parts.len() > 1 && parts.last().is_some_and(|last| is_one_of(last, &SUFFIXES)) {
            parts.pop();
            if let Some(last) = parts.last_mut() {
                *last = last.replacen(',', "", 1);
            }
        }
        match parts.iter().position(|part| part.contains(',')) {
            Some(comma) => Self::last_name_first(&parts, comma, only),
            None => Self::first_name_first(parts),
        }
    }

    fn last_name_first(parts: &[String], comma: usize, only: Option<String>) -> Self {
        let before_comma = parts[comma].replacen(',', "", 1);
        let mut last = parts[..comma].to_vec();
        if !is_one_of(&before_comma, &SUFFIXES) {
            last.push(before_comma);
        }
        Self { first: parts.get(comma + 1).cloned().or(only), last: last.join(" ") }
    }

    fn first_name_first(mut parts: Vec<String>) -> Self {
        let is_greeted = parts.len() > 1 && is_one_of(&parts[0], &SALUTATIONS);
        if is_greeted {
            parts.remove(0);
        }
        let first = (!is_greeted || parts.len() > 1).then(|| parts.remove(0));
        let Some(mut last) = parts.pop() else { return Self { first, last: String::new() } };
        while let Some(particle) = parts.pop_if(|part| is_one_of(part, &PARTICLES)) {
            last = format!("{particle} {last}");
        }
        Self { first, last }
    }
}

fn is_one_of(part: &str, words: &[&str]) -> bool {
    words.contains(&part.to_lowercase().replace('.', "").as_str())
}

/// Fixes the first comma that follows a space, and the first one that is not followed by a space.
fn spaced(name: &str) -> String {
    let mut name = name.to_owned();
    let stray = name.match_indices(',').find_map(|(comma, _)| {
        let before = name[..comma].trim_end_matches(js::is_space);
        let after = name[comma + 1..].trim_start_matches(js::is_space);
        let has_spaces = before.len() < comma && after.len() < name.len() - comma - 1;
        (has_spaces && ends_in_word(before) && starts_with_word(after)).then_some((before.len(), comma))
    });
    if let Some((from, comma)) = stray {
        name.replace_range(from..comma, "");
    }
    let tight = name
        .match_indices(',')
        .find(|(comma, _)| ends_in_word(&name[..*comma]) && starts_with_word(&name[comma + 1..]))
        .map(|(comma, _)| comma);
    if let Some(comma) = tight {
        name.insert(comma + 1, ' ');
    }
    name
}

fn ends_in_word(text: &str) -> bool {
    text.ends_with(is_word)
}

fn starts_with_word(text: &str) -> bool {
    text.starts_with(is_word)
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

/// The words of a name; a quoted phrase is one word. Unmatched quotes are dropped.
fn parts(name: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = name;
    while let Some(char) = rest.chars().next() {
        let length = if let Some(quoted) = rest.strip_prefix('"') {
            let inner = quoted.find('"').filter(|&length| length > 0);
            if let Some(inner) = inner {
                parts.push(unquoted(&rest[..inner + 2]).to_owned());
            }
            inner.map_or(1, |inner| inner + 2)
        } else if js::is_space(char) {
            char.len_utf8()
        } else {
            let length = rest.find(|char| char == '"' || js::is_space(char)).unwrap_or(rest.len());
            parts.push(rest[..length].to_owned());
            length
        };
        rest = &rest[length..];
    }
    if parts.is_empty() {
        parts.extend(name.split(js::is_space).filter(|part| !part.is_empty()).map(|part| unquoted(part).to_owned()));
    }
    parts
}

/// Strips the quotes, unless the part contains a line break.
fn unquoted(part: &str) -> &str {
    let inner = part.strip_prefix('"').and_then(|part| part.strip_suffix('"'));
    inner.filter(|inner| !inner.contains(['\n', '\r', '\u{2028}', '\u{2029}'])).unwrap_or(part)
}

#[cfg(test)]
mod tests {
    use super::PersonName;

    #[track_caller]
    fn parsed(text: &str, first: Option<&str>, last: &str) {
        let name = PersonName::parse(text);
        assert_eq!((name.first.as_deref(), name.last.as_str()), (first, last), "{text}");
    }

    #[test]
    fn first_and_last_name_are_at_the_ends() {
        parsed("Ada Lovelace", Some("Ada"), "Lovelace");
        parsed("John Fitzgerald Kennedy", Some("John"), "Kennedy");
        parsed("Plato", Some("Plato"), "");
        parsed("", None, "");
    }

    #[test]
    fn particles_belong_to_the_last_name() {
        parsed("Ludwig van Beethoven", Some("Ludwig"), "van Beethoven");
        parsed("Juan Carlos de la Vega", Some("Juan"), "de la Vega");
    }

    #[test]
    fn titles_and_suffixes_are_dropped() {
        parsed("Dr. Ada Lovelace", Some("Ada"), "Lovelace");
        parsed("Mrs. Lovelace", None, "Lovelace");
        parsed("Sammy Davis, Jr.", Some("Sammy"), "Davis");
        parsed("Hearst Jr., William Randolph", Some("William"), "Hearst");
    }

    #[test]
    fn a_comma_puts_the_last_name_first() {
        parsed("Lovelace, Ada", Some("Ada"), "Lovelace");
        parsed("Lovelace,Ada", Some("Ada"), "Lovelace");
        parsed("Lovelace , Ada", Some("Ada"), "Lovelace");
        parsed("Doe,", Some("Doe,"), "Doe");
    }

    #[test]
    fn a_quoted_name_is_one_word() {
        parsed(r#"Jon "Bon Jovi""#, Some("Jon"), "Bon Jovi");
        parsed(r#"""#, Some(r#"""#), "");
    }
}
