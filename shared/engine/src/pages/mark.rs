//! The mark of an integration: its logo, on its initials in a color of its own.

use aws_lc_rs::digest::{SHA256, digest};
use url::Url;

use super::Origin;

/// The number of colors in the style sheet, `m0` and up.
const COLORS: u8 = 12;

/// A mark, ready for a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Two letters of the name.
    pub initials: String,
    /// The class of the color. It follows from the key, so that it is the same on all pages.
    pub color: String,
    /// The logo, if it has a URL that pages may load.
    pub logo: Option<Logo>,
}

/// A logo and the origin that it is loaded from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logo {
    /// Its URL.
    pub uri: String,
    /// Its origin.
    pub origin: Origin,
}

impl Mark {
    /// Creates the mark of something with a key, a name and perhaps a logo.
    pub fn new(key: &str, name: &str, logo_uri: Option<&str>) -> Self {
        let color = digest(&SHA256, key.as_bytes()).as_ref().first().map_or(0, |byte| byte % COLORS);
        Self { initials: initials(name), color: format!("m{color}"), logo: logo_uri.and_then(Logo::new) }
    }
}

impl Logo {
    /// Returns `None` for a URL that pages may not load. A policy can only name origins.
    fn new(uri: &str) -> Option<Self> {
        let url = Url::parse(uri).ok()?;
        Some(Self { origin: Origin::of_redirect_uri(uri).ok()?, uri: url.into() })
    }
}

/// Returns the first letters of the first two words, or of the only one.
fn initials(name: &str) -> String {
    let mut words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let (first, second) = (words.next().unwrap_or("?"), words.next());
    let mut letters = first.chars();
    let start = letters.next().into_iter().flat_map(char::to_uppercase);
    let next = second.map_or_else(|| letters.next(), |word| word.chars().next());
    start.chain(next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::STYLE;

    #[test]
    fn initials_are_two_letters_of_any_name() {
        for (name, expected) in [
            ("SendGrid", "Se"),
            ("Our CRM", "OC"),
            ("x", "X"),
            ("(my) database", "Md"),
            ("Überweisung", "Üb"),
            ("ßtraße", "SSt"),
            ("日本", "日本"),
            ("", "?"),
            ("--", "?"),
            ("<b>", "B"),
        ] {
            assert_eq!(initials(name), expected, "{name}");
        }
    }

    #[test]
    fn colors_are_stable_and_follow_the_key() {
        let color = |key: &str, name: &str| Mark::new(key, name, None).color;
        assert_eq!(color("hubspot", "HubSpot"), color("hubspot", "Our CRM"));
        let all: std::collections::BTreeSet<_> = (0..200).map(|number| color(&number.to_string(), "")).collect();
        assert_eq!(all.len(), usize::from(COLORS));
        for color in all {
            assert!(STYLE.contains(&format!(".{color} {{")), "{color}");
        }
    }

    #[test]
    fn only_plain_urls_are_logos() {
        let logo = |uri: &str| Mark::new("a", "A", Some(uri)).logo.map(|logo| (logo.uri, logo.origin.to_string()));
        let expected = ("https://cdn.example/a.svg?v=1".to_owned(), "https://cdn.example".to_owned());
        assert_eq!(logo("https://cdn.example/a.svg?v=1"), Some(expected));
        for uri in
            ["javascript:alert(1)", "data:image/svg+xml,<svg/>", "//a.example/", "https://*.example/", "a.png", ""]
        {
            assert_eq!(logo(uri), None, "{uri}");
        }
    }
}
