//! The pages that browsers show: the kit that they are made of, the page of a result, the form to connect with, in a window
//! or in a frame, and the credentials.
//!
//! Templates are in `templates`. They work without JavaScript, and load nothing but an integration's logo.
//!
//! # Decisions
//!
//! Each page contains its style sheet and script, which its Content-Security-Policy allows by their hashes. Several functions
//! serve pages, and a result is shown again for a minute even if another version has been deployed in between. Without
//! assets, no page depends on another function or version. The style sheet is 2 KB compressed, and an end user rarely sees
//! more than three pages.
//!
//! Pages with a form send the referrer to our own origin only (`same-origin`): with `no-referrer`, browsers send
//! `Origin: null` with a form, and its origin could not be checked.

mod browser;
mod credentials;
mod fields;
mod form;
mod frame;
mod home;
mod integrations;
mod language;
mod link;
mod mark;
mod origin;
mod people;
mod result;
mod schema_form;
mod screen;
pub mod words;

use std::sync::LazyLock;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
pub use browser::{is_navigation, is_own_origin};
use credentials::LIVE;
pub use credentials::{
    AddPage, Component, Detail, DetailPage, ListPage, ListQuery, PickPage, Question, Viewer, add, credential,
    credentials, path_segment, pick,
};
pub use fields::{FormBanner, FormRetry};
pub use form::{FormHead, WayToConnect, choice, form};
pub use frame::{Count, FRAME_STYLE, Frame, NavItem, Notice, Tone, framed};
pub use home::{SignedOut, failure, sign_in, signed_out};
use http::{HeaderValue, StatusCode, header};
pub use integrations::{
    ConnectorsPage, EditorPage, FormOption, IntegrationDetails, IntegrationForm, IntegrationPage, IntegrationsPage,
    Submitted, connectors, integration, integrations,
};
pub use language::Language;
use larder::error::Error;
use larder::http::{Response, respond};
pub use link::link;
pub use mark::{Logo, Mark};
pub use origin::{Origin, RedirectUriError};
pub use people::ForPeople;
pub use result::{back_to_application, failed, failed_with_link, onward, result, without_redirect};
pub use schema_form::{SchemaForm, ShownValues, is_web_address};
use screen::SCREEN;
pub use screen::{Departure, ScreenEnd, ScreenFrame, Theme, connection, departure, screen_end};

/// The style sheet of every page.
pub const STYLE: &str = include_str!("../../templates/style.css");

/// The style sheet of each theme, in their order, and its hash.
static THEMES: LazyLock<[(String, String); 3]> = LazyLock::new(|| {
    const QUERY: &str = "@media (prefers-color-scheme: dark)";
    const SCHEME: &str = "color-scheme: light dark;";
    let themes = [(QUERY, SCHEME), ("@media not all", "color-scheme: light;"), ("@media all", "color-scheme: dark;")];
    themes.map(|(query, scheme)| {
        let style = STYLE.replacen(QUERY, query, 1).replacen(SCHEME, scheme, 1);
        let hash = hash(&style);
        (style, hash)
    })
});

/// The part of a Content-Security-Policy that depends on the page.
#[derive(Clone, Copy, Debug, Default)]
pub struct PagePolicy<'a> {
    /// The origins that may show the page in a frame.
    pub embedders: &'a [Origin],
    /// The page's script.
    pub script: Option<&'a str>,
    /// The origins of the page's images.
    pub images: &'a [Origin],
    /// Whether it has the frame of the pages behind sign-in, with its style sheet.
    pub is_framed: bool,
    /// Whether the page has a form, which leads to our own origin.
    pub has_form: bool,
    /// Whether the page's script calls our own origin.
    pub connects: bool,
    /// The color scheme.
    pub theme: Theme,
}

/// Responds with a rendered page and the headers that all our pages have.
pub fn html(status: StatusCode, rendered: askama::Result<String>, policy: PagePolicy<'_>) -> Response {
    static FRAME_STYLE_HASH: LazyLock<String> = LazyLock::new(|| hash(FRAME_STYLE));
    let (style, style_hash) = &THEMES[policy.theme as usize];
    let body = match rendered {
        Ok(body) if policy.theme == Theme::Auto => body,
        Ok(body) => body.replacen(STYLE, style, 1),
        Err(error) => return Error::internal(error).into(),
    };
    let embedders: Vec<_> = policy.embedders.iter().map(Origin::to_string).collect();
    let embedders = if embedders.is_empty() { "'none'".to_owned() } else { embedders.join(" ") };
    let mut directives = vec![
        "default-src 'none'".to_owned(),
        if policy.is_framed {
            format!("style-src '{style_hash}' '{}'", *FRAME_STYLE_HASH)
        } else {
            format!("style-src '{style_hash}'")
        },
        "base-uri 'none'".to_owned(),
        format!("frame-ancestors {embedders}"),
    ];
    directives.extend(policy.script.map(|script| format!("script-src '{}'", hash(script))));
    directives.extend(policy.connects.then(|| "connect-src 'self'".to_owned()));
    if !policy.images.is_empty() {
        let images: Vec<_> = policy.images.iter().map(Origin::to_string).collect();
        directives.push(format!("img-src {}", images.join(" ")));
    }
    directives.push(format!("form-action {}", if policy.has_form { "'self'" } else { "'none'" }));
    let mut response = respond(status, "text/html; charset=utf-8", body);
    let headers = response.headers_mut();
    let referrer = if policy.has_form { "same-origin" } else { "no-referrer" };
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static(referrer));
    if let Ok(policy) = HeaderValue::from_str(&directives.join("; ")) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Returns an error message as a sentence: it starts in lowercase and has no full stop, but on a page it stands alone. Hosts
/// and identifiers stay as they are.
pub fn sentence(text: &str) -> String {
    let word = text.split_whitespace().next().unwrap_or_default();
    let is_plain = |c: char| c.is_lowercase() || c == '-' || c == '\'' || c == '’';
    let is_word = word.trim_end_matches([',', ':', ';', '.', '!', '?']).chars().all(is_plain);
    let (first, rest) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
    let first = if is_word { first.to_uppercase() } else { first.to_owned() };
    let end = text.ends_with(|c: char| c.is_alphanumeric() || matches!(c, ')' | '`' | '/')).then_some(".");
    format!("{first}{rest}{}", end.unwrap_or_default())
}

/// Returns the source expression that allows one inline script or style (CSP Level 3 §2.3.1).
pub fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tokens of a scheme as `--name` and color.
    fn tokens(css: &str) -> Vec<(&str, [f64; 3])> {
        let declarations = css.split([';', '{', '}']).filter_map(|part| part.trim().split_once(':'));
        let color = |value: &str| -> Option<[f64; 3]> {
            let hex = value.trim().strip_prefix('#').filter(|hex| hex.len() == 6)?;
            let part = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok().map(f64::from);
            Some([part(0)?, part(2)?, part(4)?])
        };
        declarations.filter_map(|(name, value)| Some((name.trim(), color(value)?))).collect()
    }

    /// The contrast of two colors (WCAG 2.2, "contrast ratio").
    fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
        let luminance = |color: [f64; 3]| {
            let linear = |part: f64| {
                let part = part / 255.0;
                if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
            };
            let [red, green, blue] = color.map(linear);
            0.2126 * red + 0.7152 * green + 0.0722 * blue
        };
        let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
        if one > other { one / other } else { other / one }
    }

    #[test]
    fn colors_have_enough_contrast_in_both_schemes() {
        let (light, rest) = STYLE.split_once("@media (prefers-color-scheme: dark)").expect("two schemes");
        let (dark, rest) = rest.split_once("\n}").expect("an end");
        for scheme in [light, dark] {
            let tokens = tokens(scheme);
            let color = |name: &str| tokens.iter().find(|(it, _)| *it == name).unwrap_or_else(|| panic!("{name}")).1;
            for (text, ground, least) in [
                ("--ink", "--paper", 7.0),
                ("--ink", "--card", 7.0),
                ("--ink", "--raise", 7.0),
                ("--soft", "--paper", 4.5),
                ("--soft", "--card", 4.5),
                ("--soft", "--raise", 4.5),
                ("--accent", "--card", 4.5),
                ("--accent", "--paper", 4.5),
                ("--on-accent", "--accent", 4.5),
                ("--good", "--card", 4.5),
                ("--good", "--good-bg", 4.5),
                ("--warn", "--warn-bg", 4.5),
                ("--warn", "--card", 4.5),
                ("--ink", "--warn-bg", 7.0),
                ("--bad", "--card", 4.5),
                ("--bad", "--bad-bg", 4.5),
                ("--ink", "--bad-bg", 7.0),
                // Borders of controls and the focus ring (WCAG 2.2, 1.4.11).
                ("--edge", "--card", 3.0),
                ("--bad", "--paper", 3.0),
                ("--focus", "--card", 3.0),
                ("--focus", "--paper", 3.0),
            ] {
                let found = contrast(color(text), color(ground));
                assert!(found >= least, "{text} on {ground}: {found:.2}");
            }
        }
        let monograms: Vec<_> = tokens(rest).into_iter().filter(|(name, _)| *name == "--tone").collect();
        assert_eq!(monograms.len(), 12);
        for (_, ground) in monograms {
            assert!(contrast([255.0; 3], ground) >= 4.5, "{ground:?}");
        }
    }

    #[test]
    fn sentences_capitalize_words_but_no_hosts_or_identifiers() {
        for (text, expected) in [
            ("the link has expired", "The link has expired."),
            ("wait: the provider's page is busy!", "Wait: the provider's page is busy!"),
            ("api.openai.com could not be reached", "api.openai.com could not be reached."),
            ("access_denied: no", "access_denied: no."),
            ("apiKey must be a string", "apiKey must be a string."),
            ("OAuth failed", "OAuth failed."),
            ("", ""),
        ] {
            assert_eq!(sentence(text), expected);
        }
    }

    #[test]
    fn the_style_sheet_and_templates_load_nothing() {
        for word in ["url(", "@import", "@font-face", "http:", "https:"] {
            assert!(!STYLE.contains(word), "{word}");
        }
    }
}
