//! Addresses that somebody else chooses: an end user whose input is part of a host may lead requests, and the secrets in
//! them, anywhere.

use serde_json::{Map, Value, json};

use super::flow::{self, Origin, Part, Shape, shapes};
use super::reach::Reach;
use super::sources::{Kind, Source};
use super::{Place, Report, Severity};
use crate::connector::{FunctionName, schema};

/// The keys of `getOAuthConfig` that hold addresses, of both versions.
const ENDPOINTS: [&str; 5] = ["authorizeUri", "tokenUri", "refreshUri", "revocationUri", "requestTokenUri"];

pub(super) fn check(source: &Source<'_>, reach: &Reach<'_>, report: &mut Report) {
    let Some((whole, at)) = source.yaml() else { return };
    match (source.kind, source.name) {
        (Kind::Mapping, FunctionName::GetOAuthConfig) => {
            for key in ENDPOINTS {
                check_members(source, reach, &[key], Target { is_url: true, takes_secrets: true }, report);
            }
        }
        (Kind::Mapping, FunctionName::MakeApiClient) => {
            let target = Target { is_url: true, takes_secrets: reach.leads_secrets() };
            for keys in [&["baseUri"][..], &["baseUrl"], &["args", "baseUri"], &["args", "baseUrl"]] {
                check_members(source, reach, keys, target, report);
            }
        }
        (Kind::Rest, _) => {
            // A value in a path that is relative is encoded, and cannot make another URL of it.
            let path = whole.get("path").and_then(Value::as_str).filter(|path| path.contains("://"));
            let Some(path) = path else { return };
            let parameters = whole.get("requestMapping");
            let value_of = |name: &str| {
                let of_path = parameters.map(|it| flow::members(it, "", "pathParameters")).unwrap_or_default();
                let values = of_path.into_iter().flat_map(|(value, _)| flow::members(&value, "", name));
                Some(values.flat_map(|(value, _)| shapes(&value, &value)).collect())
            };
            let takes_secrets = reach.leads_secrets() || parameters.is_some_and(|it| reach.uses_secret(it));
            let anywhere = || vec![vec![Part::From(parameters.map(flow::origins).unwrap_or_default())]];
            let urls = flow::fill(path, value_of).unwrap_or_else(anywhere);
            let found = Found { reach, target: Target { is_url: true, takes_secrets } };
            found.report(source, &format!("{at}/path"), &urls, report);
        }
        (Kind::Login, _) => {
            let target = Target { is_url: false, takes_secrets: reach.uses_secret(whole) };
            check_members(source, reach, &["host"], target, report);
        }
        _ => {}
    }
}

/// An address.
#[derive(Clone, Copy)]
struct Target {
    /// A URL, or else a host alone.
    is_url: bool,
    /// Whether a secret of the integration may go there.
    takes_secrets: bool,
}

struct Found<'a> {
    reach: &'a Reach<'a>,
    target: Target,
}

fn check_members(source: &Source<'_>, reach: &Reach<'_>, keys: &[&str], target: Target, report: &mut Report) {
    let Some((whole, at)) = source.yaml() else { return };
    let mut values = vec![(whole.clone(), at.to_owned())];
    for key in keys {
        values = values.iter().flat_map(|(value, at)| flow::members(value, at, key)).collect();
    }
    for (value, at) in values {
        Found { reach, target }.report(source, &at, &shapes(&value, whole), report);
    }
}

impl Found<'_> {
    fn report(&self, source: &Source<'_>, at: &str, shapes: &[Shape], report: &mut Report) {
        let Some(place) = source.place() else { return };
        let mut seen = Vec::new();
        for (origin, is_whole) in shapes.iter().flat_map(|shape| in_host(shape, self.target.is_url)) {
            let origin = self.reach.source_of(origin);
            if !seen.contains(&origin) {
                seen.push(origin.clone());
                self.judge(&place, at, origin, is_whole, report);
            }
        }
    }

    fn judge(&self, place: &Place<'_>, at: &str, origin: Origin, is_whole: bool, report: &mut Report) {
        match origin {
            Origin::Parameter(_) => {}
            // Where everything is the end user's own, the host may be, too.
            Origin::Input(_)
                if is_whole && !self.target.takes_secrets && self.reach.kind == Some("client-credentials") => {}
            Origin::Input(name) => {
                if let Some((message, help)) = open_host(&name, self.reach.input(&name), is_whole) {
                    place.report(report, Severity::Error, at, message, help);
                }
            }
            Origin::Callback(name) => {
                let message = format!(
                    "{} goes into a host: whoever opens the callback says where requests go",
                    of("`", &name, "` of the callback")
                );
                let help = "choose among known hosts with $map".to_owned();
                place.report(report, Severity::Error, at, message, help);
            }
            Origin::Credential(name) => {
                if self.target.takes_secrets && !self.reach.is_read_only(&name) {
                    let message = format!(
                        "{} goes into a host that a secret of the integration is sent to",
                        of("`credentials.", &name, "`")
                    );
                    place.report(report, Severity::Warning, at, message, READ_ONLY.to_owned());
                }
            }
        }
    }
}

/// How a connector says that an identifier is the application's.
pub(super) const READ_ONLY: &str = "if the application itself gives it, say `readOnly: true` of it in `customCredentialsSchema`; else do without it here";

/// A name in words, or all of them.
pub(super) fn of(before: &str, name: &str, after: &str) -> String {
    if name.is_empty() { "what is there as a whole".to_owned() } else { format!("{before}{name}{after}") }
}

/// The origins in the host of a URL of this shape, or in a host alone, and whether nothing stands before them.
fn in_host(shape: &Shape, is_url: bool) -> Vec<(Origin, bool)> {
    let mut found = Vec::new();
    // The text before the host, until there is one.
    let mut before = is_url.then(String::new);
    let parts = shape.iter().filter(|part| !matches!(part, Part::Text(text) if text.is_empty()));
    for (index, part) in parts.enumerate() {
        match (part, &mut before) {
            (Part::From(origins), _) => {
                found.extend(origins.iter().map(|origin| (origin.clone(), index == 0)));
                before = None;
            }
            (Part::Text(text), Some(scheme)) => {
                scheme.push_str(text);
                match scheme.split_once("://") {
                    Some((_, host)) if ends_host(host) => break,
                    Some(_) => before = None,
                    None if ["https://", "http://"].iter().any(|known| known.starts_with(scheme.as_str())) => {}
                    // A path.
                    None => break,
                }
            }
            (Part::Text(text), None) if ends_host(text) => break,
            (Part::Text(_), None) => {}
        }
    }
    found
}

fn ends_host(text: &str) -> bool {
    text.contains(['/', '?', '#', '\\'])
}

/// The fault of an input in a host, if it may lead anywhere.
fn open_host(input: &str, property: Option<&Value>, is_whole: bool) -> Option<(String, String)> {
    let has = |key: &str| property.is_some_and(|property| property.get(key).is_some());
    let is_number = property
        .and_then(|property| property.get("type"))
        .is_some_and(|kind| ["integer", "number", "boolean"].iter().any(|number| kind == number));
    let pattern = property.and_then(|property| property.get("pattern")).and_then(Value::as_str);
    let named = of("the input `", input, "`");
    let message = match pattern {
        _ if has("enum") || has("const") || is_number => return None,
        Some(pattern) if !pattern.starts_with('^') || !pattern.ends_with('$') => {
            format!("the `pattern` of {named}, which goes into a host, allows more around it")
        }
        Some(pattern) if allows_any_host(pattern) => {
            format!("the `pattern` of {named}, which goes into a host, allows any host")
        }
        Some(_) => return None,
        None => format!("{named} goes into a host and may be anything"),
    };
    let example = if is_whole {
        "for known hosts, such as ^https://[a-z0-9-]+\\.acme\\.example$"
    } else {
        "for one label, such as ^[a-z0-9-]+$"
    };
    let help = format!("give {} in the input schema a `pattern` {example}", of("`", input, "`"));
    Some((message, help))
}

/// Whether a pattern lets a host through that nobody knows, with the end of a URL behind it.
fn allows_any_host(pattern: &str) -> bool {
    let schema = json!({"properties": {"host": {"pattern": pattern}}});
    let hosts = ["evil.example/", "https://evil.example", "https://evil.example/", "a@evil.example", "evil.example#"];
    hosts.into_iter().any(|host| {
        let object = Map::from_iter([("host".to_owned(), host.into())]);
        schema::validate(Some(&schema), &object).is_ok_and(|errors| errors.is_empty())
    })
}
