//! Finds hosts that others can choose: an end user whose input is part of a host can send requests, and the secrets in
//! them, anywhere.

use serde_json::{Map, Value, json};

use super::context::OptionContext;
use super::flow::{self, Origin, Part, Shape, shapes};
use super::sources::{FunctionSource, SourceKind};
use super::{Findings, LintedFile, Severity};
use crate::connector::{FunctionName, schema};

/// The keys of `getOAuthConfig` with addresses, for both OAuth versions.
const ENDPOINTS: [&str; 5] = ["authorizeUri", "tokenUri", "refreshUri", "revocationUri", "requestTokenUri"];

pub(super) fn check(source: &FunctionSource<'_>, context: &OptionContext<'_>, findings: &mut Findings) {
    let Some((whole, _)) = source.yaml() else { return };
    match (source.kind, source.name) {
        (SourceKind::Mapping, FunctionName::GetOAuthConfig) => {
            for key in ENDPOINTS {
                check_members(source, context, &[key], Address { is_url: true, takes_secrets: true }, findings);
            }
        }
        (SourceKind::Mapping, FunctionName::MakeApiClient) => {
            let address = Address { is_url: true, takes_secrets: context.leads_secrets() };
            for keys in [&["baseUri"][..], &["baseUrl"], &["args", "baseUri"], &["args", "baseUrl"]] {
                check_members(source, context, keys, address, findings);
            }
        }
        (SourceKind::Rest, _) => {
            for (request, at) in source.requests() {
                check_request(source, context, request, &at, findings);
            }
        }
        (SourceKind::Login, _) => {
            let address = Address { is_url: false, takes_secrets: context.uses_secret(whole) };
            check_members(source, context, &["host"], address, findings);
        }
        _ => {}
    }
}

/// Checks the address of a request: its path if it is absolute, and a base URI of its own.
fn check_request(
    source: &FunctionSource<'_>,
    context: &OptionContext<'_>,
    request: &Value,
    at: &str,
    findings: &mut Findings,
) {
    let parameters = request.get("requestMapping");
    let takes_secrets = context.leads_secrets() || parameters.is_some_and(|it| context.uses_secret(it));
    let check = AddressCheck { context, address: Address { is_url: true, takes_secrets } };
    let of_request = format!("{at}/requestMapping");
    let bases = parameters.map(|it| flow::members(it, &of_request, "baseUri")).unwrap_or_default();
    for (base, at) in bases {
        check.report(source, &at, &shapes(&base, parameters.unwrap_or(&base)), findings);
    }
    // Values in a relative path are encoded, so they cannot change the host.
    let path = request.get("path").and_then(Value::as_str).filter(|path| path.contains("://"));
    let Some(path) = path else { return };
    let value_of = |name: &str| {
        let of_path = parameters.map(|it| flow::members(it, "", "pathParameters")).unwrap_or_default();
        let values = of_path.into_iter().flat_map(|(value, _)| flow::members(&value, "", name));
        Some(values.flat_map(|(value, _)| shapes(&value, &value)).collect())
    };
    let anywhere = || vec![vec![Part::From(parameters.map(flow::origins).unwrap_or_default())]];
    let urls = flow::fill(path, value_of).unwrap_or_else(anywhere);
    check.report(source, &format!("{at}/path"), &urls, findings);
}

/// The address that a request or login goes to.
#[derive(Clone, Copy)]
struct Address {
    /// Whether it is a URL, rather than a bare host.
    is_url: bool,
    /// Whether one of the integration's secrets may be sent there.
    takes_secrets: bool,
}

struct AddressCheck<'a> {
    context: &'a OptionContext<'a>,
    address: Address,
}

fn check_members(
    source: &FunctionSource<'_>,
    context: &OptionContext<'_>,
    keys: &[&str],
    address: Address,
    findings: &mut Findings,
) {
    let Some((whole, at)) = source.yaml() else { return };
    let mut values = vec![(whole.clone(), at.to_owned())];
    for key in keys {
        values = values.iter().flat_map(|(value, at)| flow::members(value, at, key)).collect();
    }
    for (value, at) in values {
        AddressCheck { context, address }.report(source, &at, &shapes(&value, whole), findings);
    }
}

impl AddressCheck<'_> {
    fn report(&self, source: &FunctionSource<'_>, at: &str, shapes: &[Shape], findings: &mut Findings) {
        let Some(file) = source.linted_file() else { return };
        let mut seen = Vec::new();
        for (origin, is_whole) in shapes.iter().flat_map(|shape| in_host(shape, self.address.is_url)) {
            let origin = self.context.source_of(origin);
            if !seen.contains(&origin) {
                seen.push(origin.clone());
                self.judge(&file, at, origin, is_whole, findings);
            }
        }
    }

    fn judge(&self, file: &LintedFile<'_>, at: &str, origin: Origin, is_whole: bool, findings: &mut Findings) {
        match origin {
            Origin::Parameter(_) => {}
            // If everything belongs to the end user, so may the host.
            Origin::Input(_)
                if is_whole && !self.address.takes_secrets && self.context.kind == Some("client-credentials") => {}
            Origin::Input(name) => {
                if let Some((message, help)) = open_host(&name, self.context.input(&name), is_whole) {
                    file.report(findings, Severity::Error, at, message, help);
                }
            }
            Origin::Callback(name) => {
                let message = format!(
                    "{} goes into a host: anyone who opens the callback chooses where requests go",
                    of("`", &name, "` from the callback")
                );
                let help = "choose among known hosts with $map".to_owned();
                file.report(findings, Severity::Error, at, message, help);
            }
            Origin::Credential(name) => {
                if self.address.takes_secrets && !self.context.is_read_only(&name) {
                    let message = format!(
                        "{} goes into a host that an integration's secret is sent to",
                        of("`credentials.", &name, "`")
                    );
                    file.report(findings, Severity::Warning, at, message, READ_ONLY.to_owned());
                }
            }
        }
    }
}

/// The advice on identifiers that come from the provider.
pub(super) const READ_ONLY: &str = "if the provider itself returns it, mark it `readOnly: true` in `customCredentialsSchema`; otherwise don't use it here";

/// A name for a message, or a phrase for all members at once.
pub(super) fn of(before: &str, name: &str, after: &str) -> String {
    if name.is_empty() { "the whole object".to_owned() } else { format!("{before}{name}{after}") }
}

/// The origins in the host of a URL (or bare host) of this shape, and whether nothing comes before them.
fn in_host(shape: &Shape, is_url: bool) -> Vec<(Origin, bool)> {
    let mut found = Vec::new();
    // The part before the host; `None` once the host starts.
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

/// The message and help for an input in a host, if it allows any host.
fn open_host(input: &str, property: Option<&Value>, is_whole: bool) -> Option<(String, String)> {
    let has = |key: &str| property.is_some_and(|property| property.get(key).is_some());
    let is_number = property
        .and_then(|property| property.get("type"))
        .is_some_and(|kind| ["integer", "number", "boolean"].iter().any(|number| kind == number));
    let choices = property.and_then(|property| property.get("oneOf")).and_then(Value::as_array);
    let is_listed = choices.is_some_and(|choices| choices.iter().all(|choice| choice.get("const").is_some()));
    let pattern = property.and_then(|property| property.get("pattern")).and_then(Value::as_str);
    let named = of("the input `", input, "`");
    let message = match pattern {
        _ if has("enum") || has("const") || is_listed || is_number => return None,
        Some(pattern) if !pattern.starts_with('^') || !pattern.ends_with('$') => {
            format!("the `pattern` of {named}, which goes into a host, is not anchored at both ends")
        }
        Some(pattern) if allows_any_host(pattern) => {
            format!("the `pattern` of {named}, which goes into a host, allows any host")
        }
        Some(_) => return None,
        None => format!("{named} goes into a host and can be anything"),
    };
    let example = if is_whole {
        "such as ^https://[a-z0-9-]+\\.acme\\.example$ for known hosts"
    } else {
        "such as ^[a-z0-9-]+$ for a single label"
    };
    let help = format!("give {} a `pattern` in the input schema, {example}", of("`", input, "`"));
    Some((message, help))
}

/// Whether a pattern accepts an arbitrary host, possibly followed by the rest of a URL.
fn allows_any_host(pattern: &str) -> bool {
    let schema = json!({"properties": {"host": {"pattern": pattern}}});
    let hosts = ["evil.example/", "https://evil.example", "https://evil.example/", "a@evil.example", "evil.example#"];
    hosts.into_iter().any(|host| {
        let object = Map::from_iter([("host".to_owned(), host.into())]);
        schema::validate(Some(&schema), &object).is_ok_and(|errors| errors.is_empty())
    })
}
