//! Splits a date into tokens: numbers, known words, symbols.

use crate::connector::mapping::js;

/// A token of a date.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum DateToken {
    Number {
        value: i64,
        digits: usize,
    },
    Symbol(char),
    Month(i64),
    /// The hours that `am` or `pm` adds to a 12-hour clock.
    HalfDay(i64),
    /// Hours ahead of UTC.
    Zone(i64),
    /// `Z` for UTC, which may directly follow the time.
    Zulu,
    /// `T` between date and time.
    Separator,
    Word,
    Space,
    Other,
}

impl DateToken {
    /// 1 or -1 if the token is a sign.
    pub(super) fn sign(self) -> Option<i64> {
        match self {
            Self::Symbol('+') => Some(1),
            Self::Symbol('-') => Some(-1),
            _ => None,
        }
    }
}

/// Splits a string into tokens.
pub(super) fn tokens(text: &str) -> Vec<DateToken> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let length = match char {
            '0'..='9' => run(rest, |char| char.is_ascii_digit()),
            '(' => parentheses(rest),
            'A'.. if !js::is_space(char) => run(rest, |char| char >= 'A' && !js::is_space(char)),
            _ => char.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        tokens.push(match char {
            '0'..='9' => number(token),
            ':' | '-' | '+' | '.' | ')' => DateToken::Symbol(char),
            '(' => DateToken::Other,
            char if js::is_space(char) => DateToken::Space,
            'A'.. => word(token),
            _ => DateToken::Other,
        });
        rest = after;
    }
    tokens
}

fn run(text: &str, belongs: fn(char) -> bool) -> usize {
    text.find(|char| !belongs(char)).unwrap_or(text.len())
}

/// The length of the parenthesized group that `text` starts with.
fn parentheses(text: &str) -> usize {
    let mut open = 0;
    for (at, char) in text.char_indices() {
        match char {
            '(' => open += 1,
            ')' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return at + 1;
        }
    }
    text.len()
}

/// A number; only nine digits after leading zeros count.
fn number(text: &str) -> DateToken {
    let significant = text.trim_start_matches('0');
    DateToken::Number { value: significant[..significant.len().min(9)].parse().unwrap_or(0), digits: text.len() }
}

fn word(text: &str) -> DateToken {
    let text = text.to_ascii_lowercase();
    let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    if let Some(month) = (1..).zip(months).find(|(_, name)| text.starts_with(name)) {
        return DateToken::Month(month.0);
    }
    match text.as_str() {
        "am" => DateToken::HalfDay(0),
        "pm" => DateToken::HalfDay(12),
        "z" => DateToken::Zulu,
        "ut" | "utc" | "gmt" => DateToken::Zone(0),
        "edt" => DateToken::Zone(-4),
        "est" | "cdt" => DateToken::Zone(-5),
        "cst" | "mdt" => DateToken::Zone(-6),
        "mst" | "pdt" => DateToken::Zone(-7),
        "pst" => DateToken::Zone(-8),
        "t" => DateToken::Separator,
        _ => DateToken::Word,
    }
}
