//! A provider's error codes and descriptions, cleaned for logs and pages.

use std::fmt;

/// An `error` code (RFC 6749 §4.1.2.1 and §5.2): 1 to 64 characters of that section's charset.
///
/// Anything else, and anything that looks like a token, becomes `unknown`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorCode(String);

impl ErrorCode {
    /// Cleans a provider's code.
    pub fn new(text: &str) -> Self {
        let allowed = |b: u8| matches!(b, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        let fit = (1..=64).contains(&text.len()) && text.bytes().all(allowed);
        let is_plain = |word: &str| !looks_secret(word) || word.split(['.', '_', '-', ':', '/']).all(is_plain_part);
        if fit && text.split(' ').all(is_plain) { Self(text.to_owned()) } else { Self::unknown() }
    }

    /// Returns the code of errors that have none.
    pub fn unknown() -> Self {
        Self("unknown".to_owned())
    }

    /// Returns the code.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the code is one of `codes`, ignoring ASCII case.
    pub(crate) fn is_one_of(&self, codes: &[&str]) -> bool {
        codes.iter().any(|code| self.0.eq_ignore_ascii_case(code))
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Cleans an `error_description` for a log: like [`clean_text`], but every word that looks like a token becomes `…`.
pub(crate) fn clean_description(text: &str, max_chars: usize) -> Option<String> {
    // Remove control characters first: one of them could hide half a token.
    let text = without_controls(text);
    let words: Vec<_> = text.split_whitespace().map(|word| if looks_secret(word) { "…" } else { word }).collect();
    clean_text(&words.join(" "), max_chars)
}

/// Cleans a provider's text: removes control characters, collapses whitespace, and cuts it to `max_chars`.
pub(crate) fn clean_text(text: &str, max_chars: usize) -> Option<String> {
    let text = without_controls(text);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text: String = text.chars().take(max_chars).collect();
    Some(text.trim_end().to_owned()).filter(|text| !text.is_empty())
}

/// Removes control characters, invisible characters, and those that change the direction of the text.
fn without_controls(text: &str) -> String {
    let is_hidden =
        |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    text.chars().filter(|&c| (c.is_whitespace() || !c.is_control()) && !is_hidden(c)).collect()
}

/// Returns whether a word may be a token: at least 16 bytes with a digit, or at least 32 of anything. Only runs of
/// ASCII count: tokens are ASCII (RFC 6749 appendix A), languages without spaces are not.
pub(super) fn looks_secret(word: &str) -> bool {
    let is_long = |run: &str| run.len() >= 32 || (run.len() >= 16 && run.bytes().any(|byte| byte.is_ascii_digit()));
    word.split(|c: char| !c.is_ascii()).any(is_long)
}

/// Returns whether this is a harmless part of a code like `oauth.v2.InvalidRefreshToken`: letters, perhaps followed by
/// a short number.
fn is_plain_part(part: &str) -> bool {
    let letters = part.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = part.len() - letters.len();
    letters.bytes().all(|byte| byte.is_ascii_alphabetic()) && letters.len() < 32 && digits <= 6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_a_charset_and_a_maximum_length() {
        for code in
            ["invalid_grant", "unsupported_grant_type", "AADSTS70008", "server error", "oauth.v2.InvalidRefreshToken"]
        {
            assert_eq!(ErrorCode::new(code).as_str(), code);
        }
        for text in ["", "a\"b", "a\\b", "a\nb", "é", "ya29.a0AfH6SMBx7Gq", &"x".repeat(32), &"x ".repeat(40)] {
            assert_eq!(ErrorCode::new(text).as_str(), "unknown", "{text}");
        }
    }

    #[test]
    fn descriptions_are_cut_and_lose_controls_and_tokens() {
        let clean = |text: &str| clean_description(text, 200);
        assert_eq!(
            clean("Token has been\r\n expired\u{1b} or revoked.").unwrap(),
            "Token has been expired or revoked."
        );
        assert_eq!(clean("the code SplxlOBeZQQYbYS6WxSbIA is used").unwrap(), "the code … is used");
        assert_eq!(clean("(token=tGzv3JO\u{0}kF0XG5Qx2TlKWIA)").unwrap(), "…");
        assert_eq!(clean("（token=tGzv3JOkF0XG5Qx2TlKWIA）").unwrap(), "…");
        assert_eq!(
            clean("刷新令牌已过期或已被撤销，请重新授权后再试。").unwrap(),
            "刷新令牌已过期或已被撤销，请重新授权后再试。"
        );
        assert_eq!(clean("a\u{202e}b").unwrap(), "ab");
        assert_eq!(clean(&"ä ".repeat(500)).unwrap().chars().count(), 199);
        assert_eq!(clean(" \n"), None);
    }
}
