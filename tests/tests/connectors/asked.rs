//! A request to a mock provider, with its parameters, however they were sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use larder_engine::egress::ORIGIN;
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use crate::fact_sheets::{Basic, Placement, fits};

/// A request with its parameters, however they were sent.
pub(crate) struct Asked<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) url: Url,
    pub(crate) body: String,
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) basic: Option<Basic>,
    pub(crate) format: &'static str,
}

impl<'a> Asked<'a> {
    pub(crate) fn of(parts: &'a Parts, body: &[u8]) -> Self {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let origin = header(ORIGIN).unwrap_or("http://direct");
        let url = Url::parse(&format!("{origin}{}", parts.uri)).expect("a URL");
        let body = String::from_utf8_lossy(body).into_owned();
        let (format, mut parameters) = match serde_json::from_str::<Map<String, Value>>(&body) {
            Ok(object) => {
                let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                ("json", object.iter().map(|(name, value)| (name.clone(), text(value))).collect())
            }
            Err(_) if body.is_empty() => ("query", Vec::new()),
            Err(_) => ("form", form_urlencoded::parse(body.as_bytes()).into_owned().collect::<Vec<_>>()),
        };
        if format == "query" {
            parameters.extend(url.query_pairs().into_owned());
        }
        let basic = header("authorization").and_then(|header| header.strip_prefix("Basic ")).and_then(decoded);
        Self { parts, url, body, parameters, basic, format }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn is_at(&self, template: &str) -> bool {
        fits(template, self.url.as_str())
    }

    /// Whether a secret is in its place.
    pub(crate) fn has(&self, place: &Placement, secret: &str) -> bool {
        let prefixed = |value: &str| match &place.prefix {
            None => value.contains(secret),
            Some(prefix) => value.split_once(secret).is_some_and(|(before, _)| is_prefix(prefix, before.trim_end())),
        };
        match place.place.as_str() {
            "header" => self.header(&place.name).is_some_and(prefixed),
            "query" => self.url.query_pairs().any(|(name, value)| name == place.name.as_str() && prefixed(&value)),
            "path" => self.url.path().contains(secret),
            "body" => self.body.contains(secret),
            _ => false,
        }
    }
}

fn decoded(basic: &str) -> Option<Basic> {
    let text = String::from_utf8(STANDARD.decode(basic).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some(Basic { username: username.to_owned(), password: password.to_owned() })
}

/// Whether a secret has this prefix, in which `{name}` stands for a value that the end user enters.
fn is_prefix(template: &str, prefix: &str) -> bool {
    let Some((before, rest)) = template.split_once('{') else { return prefix.eq_ignore_ascii_case(template) };
    let after = rest.split_once('}').map_or("", |(_, after)| after);
    prefix.len() > before.len() + after.len() && prefix.starts_with(before) && prefix.ends_with(after)
}
