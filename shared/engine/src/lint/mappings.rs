//! Checks the content of mappings and REST mappings.

use serde_json::{Map, Value};

use super::sources::{AuthScope, Content, FunctionSource, SourceKind};
use super::{Findings, LintedFile, Severity};
use crate::connector::mapping::{names_in_locator, unknown_formulas};
use crate::connector::{FunctionName, MalformedValue, pointer, preset, spelling};
use crate::oauth1::OAuth1Config;
use crate::oauth2::OAuthConfig;

const REST: [&str; 5] = ["before", "method", "path", "requestMapping", "responseMapping"];

const REQUEST: [&str; 6] = ["auth", "baseUri", "data", "headers", "pathParameters", "query"];

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

/// The variables of mappings: those of the functions, and those inside `$iterate`.
const VARIABLES: [&str; 14] = [
    "before",
    "codeVerifier",
    "connectionInput",
    "connectionParameters",
    "connectorParameters",
    "credentials",
    "index",
    "item",
    "parent",
    "queryParameters",
    "redirectUri",
    "response",
    "state",
    "tokenResponse",
];

/// The members of `response`, which are easily taken for variables.
const OF_RESPONSE: [&str; 4] = ["data", "headers", "status", "statusCode"];

pub(super) fn check(source: &FunctionSource<'_>, scope: &AuthScope<'_>, findings: &mut Findings) {
    let Content::Yaml(document, at) = &source.content else { return };
    let file = LintedFile { path: source.file.unwrap_or("spec.yml"), document };
    match (source.kind, source.name) {
        (SourceKind::Rest, _) => {
            for (_, at) in source.requests() {
                findings.check_keys(&file, &at, &REST, "the REST mapping");
                findings.check_keys(&file, &format!("{at}/requestMapping"), &REQUEST, "the request mapping");
            }
        }
        (SourceKind::Mapping, FunctionName::GetOAuthConfig) => {
            let known = if scope.kind == Some("oauth1") { OAuth1Config::KEYS } else { OAuthConfig::KEYS };
            let known: Vec<&str> = known.iter().map(|(key, _)| *key).collect();
            findings.check_keys(&file, at, &known, "the result of `getOAuthConfig`");
        }
        (SourceKind::Mapping, FunctionName::MakeApiClient) => {
            findings.check_keys(&file, at, &API_CLIENT, "the API client");
            findings.check_keys(&file, &format!("{at}/args"), &API_CLIENT, "the API client");
        }
        _ => {}
    }
    let Some(value) = document.value.pointer(at) else { return };
    for MalformedValue { pointer, message, help } in unknown_formulas(value) {
        file.report(findings, Severity::Error, &format!("{at}{pointer}"), message, help);
    }
    each_object(value, at, &mut |object, at| {
        if let Some(map) = object.get("$map").filter(|map| map.get("mappings").is_some()) {
            let at = format!("{at}/$map/mappings");
            let help = if map.get("mapping").is_some() { "remove it" } else { "write `mapping`" };
            file.report(findings, Severity::Error, &at, "`mappings` in $map is ignored".to_owned(), help.to_owned());
        }
        if let Some(Value::String(locator)) = object.get("$var") {
            check_variable(locator, &file, at, findings);
        }
    });
}

/// Reports locators that lead nowhere, because no function has such a variable.
fn check_variable(locator: &str, file: &LintedFile<'_>, at: &str, findings: &mut Findings) {
    let names = names_in_locator(locator).unwrap_or_default();
    let Some(name) = names.first().map(String::as_str).filter(|name| !is_variable(name)) else { return };
    let (severity, help) = match spelling::nearest(name, VARIABLES) {
        _ if OF_RESPONSE.contains(&name) => (Severity::Error, format!("did you mean `response.{locator}`?")),
        Some(meant) => (Severity::Error, format!("did you mean `{meant}`?")),
        None => (Severity::Warning, format!("the variables are {}", VARIABLES.join(", "))),
    };
    file.report(findings, severity, at, format!("there is no variable `{name}`"), help);
}

fn is_variable(name: &str) -> bool {
    // A preset's closed parameters have no value.
    VARIABLES.contains(&name) || name == preset::CLOSED
}

/// Visits all objects of an expression, except inside $plain.
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
