//! The language of a page.

use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};

/// A language that pages are available in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// German.
    De,
    /// French.
    Fr,
}

impl Language {
    /// All languages.
    pub const ALL: [Self; 3] = [Self::En, Self::De, Self::Fr];

    /// Returns the language that the browser prefers (`Accept-Language`, RFC 9110 §12.5.4); English if it names no other
    /// that pages have.
    pub fn of(headers: &HeaderMap) -> Self {
        let ranges = headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|value| value.to_str().ok());
        let mut best = (Self::En, 0.0);
        for range in ranges.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let tag = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |weight| weight.parse().ok());
            let primary = tag.split('-').next().unwrap_or_default();
            let language = Self::ALL.into_iter().find(|language| language.tag().eq_ignore_ascii_case(primary));
            // Of equal weights, the first counts.
            if let (Some(language), Some(weight)) = (language, weight)
                && weight > best.1
            {
                best = (language, weight);
            }
        }
        best.0
    }

    /// Returns its tag, for the attribute `lang`.
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::De => "de",
            Self::Fr => "fr",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_known_language_wins() {
        for (header, expected) in [
            ("de", Language::De),
            ("de-CH, fr;q=0.8", Language::De),
            ("FR-ca", Language::Fr),
            ("en;q=0.5, fr;q=0.9, de;q=0.7", Language::Fr),
            ("ja, de;q=0.1", Language::De),
            ("de;q=0, fr;q=0", Language::En),
            ("de;q=nonsense", Language::En),
            ("deutsch", Language::En),
            ("*", Language::En),
            ("", Language::En),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_LANGUAGE, header.parse().expect("a header"))]);
            assert_eq!(Language::of(&headers), expected, "{header}");
        }
        assert_eq!(Language::of(&HeaderMap::new()), Language::En);
    }
}
