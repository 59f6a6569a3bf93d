//! What is written in the files of mappings and of REST mappings.

use serde_json::{Map, Value};

use super::sources::{Content, Kind, Scope, Source};
use super::{Place, Report, Severity, schemas};
use crate::connector::mapping::unknown_formulas;
use crate::connector::{FunctionName, Malformed, pointer};
use crate::oauth1::OAuth1Config;
use crate::oauth2::OAuthConfig;

const REST: [&str; 4] = ["method", "path", "requestMapping", "responseMapping"];

const REQUEST: [&str; 4] = ["data", "headers", "pathParameters", "query"];

const API_CLIENT: [&str; 14] = [
    "args",
    "auth",
    "baseUri",
    "baseUrl",
    "binary",
    "defaultQueryParameters",
    "dynamicOptions",
    "headers",
    "overrides",
    "proxyUri",
    "query",
    "responseHandlers",
    "returnFullResponse",
    "stream",
];

pub(super) fn check(source: &Source<'_>, scope: &Scope<'_>, spec: &Value, report: &mut Report) {
    let Content::Yaml(document, at) = &source.content else { return };
    let place = Place { file: source.file.unwrap_or("spec.yml"), document };
    match (source.kind, source.name) {
        (Kind::Rest, _) => {
            report.check_keys(&place, at, &REST, "a REST mapping");
            report.check_keys(&place, &format!("{at}/requestMapping"), &REQUEST, "a request mapping");
        }
        (Kind::Mapping, FunctionName::GetOAuthConfig) => {
            let known = if scope.kind == Some("oauth1") { OAuth1Config::KEYS } else { OAuthConfig::KEYS };
            let known: Vec<&str> = known.iter().map(|(key, _)| *key).collect();
            report.check_keys(&place, at, &known, "the result of `getOAuthConfig`");
        }
        (Kind::Mapping, FunctionName::MakeApiClient) => {
            report.check_keys(&place, at, &API_CLIENT, "an API client");
            report.check_keys(&place, &format!("{at}/args"), &API_CLIENT, "an API client");
        }
        _ => {}
    }
    let Some(value) = document.value.pointer(at) else { return };
    for Malformed { pointer, message, help } in unknown_formulas(value) {
        place.report(report, Severity::Error, &format!("{at}{pointer}"), message, help);
    }
    let inputs = schemas::inputs(scope, spec);
    each_object(value, at, &mut |object, at| {
        if let Some(map) = object.get("$map").filter(|map| map.get("mappings").is_some()) {
            let at = format!("{at}/$map/mappings");
            let help = if map.get("mapping").is_some() { "remove it" } else { "write `mapping`" };
            place.report(report, Severity::Error, &at, "`mappings` of $map is ignored".to_owned(), help.to_owned());
        }
        for input in inputs_in_host(object) {
            if let Some((message, help)) = open_host(&input, &inputs) {
                place.report(report, Severity::Error, at, message, help);
            }
        }
    });
}

/// Visits the objects of an expression, but for what $plain keeps as it is.
fn each_object(value: &Value, at: &str, visit: &mut dyn FnMut(&Map<String, Value>, &str)) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                each_object(item, &pointer::child(at, &index.to_string()), visit);
            }
        }
        Value::Object(object) => {
            visit(object, at);
            if object.keys().next().is_some_and(|key| key == "$plain") {
                return;
            }
            for (key, value) in object {
                each_object(value, &pointer::child(at, key), visit);
            }
        }
        _ => {}
    }
}

/// The inputs that a formula puts into the host of a URL whose scheme it writes out.
fn inputs_in_host(object: &Map<String, Value>) -> Vec<String> {
    let Some((key, argument)) = object.iter().next() else { return Vec::new() };
    match key.as_str() {
        "$tpl" => {
            let template = argument.get("template").and_then(Value::as_str).unwrap_or_default();
            let values = argument.get("values").and_then(Value::as_object);
            let host = host_of(template).map_or("", |(host, _)| host);
            let in_host = |name: &str| host.contains(&format!("{{{name}}}"));
            values
                .into_iter()
                .flatten()
                .filter(|(name, _)| in_host(name))
                .filter_map(|(_, value)| input(value))
                .collect()
        }
        "$concat" => {
            let items = if argument.is_array() { Some(argument) } else { argument.get("values") };
            let mut items = items.and_then(Value::as_array).into_iter().flatten();
            let starts = items.next().and_then(Value::as_str).and_then(host_of);
            if starts.is_none_or(|(_, is_over)| is_over) {
                return Vec::new();
            }
            let is_in_host = |item: &&Value| item.as_str().is_none_or(|text| !text.contains(['/', '?', '#']));
            items.take_while(is_in_host).filter_map(input).collect()
        }
        _ => Vec::new(),
    }
}

/// The host with which a URL begins, and whether something comes after it.
fn host_of(url: &str) -> Option<(&str, bool)> {
    let rest = ["https://", "http://"].iter().find_map(|scheme| url.strip_prefix(scheme))?;
    Some(rest.find(['/', '?', '#']).map_or((rest, false), |end| (&rest[..end], true)))
}

/// The name of the input that a value is.
fn input(value: &Value) -> Option<String> {
    let locator = value.get("$var")?.as_str()?;
    let path = locator.strip_prefix("$.").unwrap_or(locator);
    let (arguments, name) = path.split_once('.')?;
    matches!(arguments, "connectionParameters" | "connectionInput").then(|| name.to_owned())
}

/// What is wrong with an input in a host: whoever connects could lead requests, and the client secret, anywhere.
fn open_host(input: &str, schemas: &[&Value]) -> Option<(String, String)> {
    let property = schemas.iter().find_map(|schema| schema.get("properties")?.get(input));
    let is_listed = property.is_some_and(|property| ["enum", "const"].iter().any(|key| property.get(key).is_some()));
    let pattern = property.and_then(|property| property.get("pattern")).and_then(Value::as_str);
    let message = match pattern {
        _ if is_listed => return None,
        Some(pattern) if pattern.starts_with('^') && pattern.ends_with('$') => return None,
        Some(_) => format!("the `pattern` of the input `{input}`, which goes into a host, allows more around it"),
        None => format!("the input `{input}` goes into a host and may be anything"),
    };
    let help = format!("give `{input}` in the input schema a `pattern` for one label, such as ^[a-z0-9-]+$");
    Some((message, help))
}
