//! Finds likely mistakes in a preset: in its own keys, and in the connector that it expands to.

use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::{Files, Findings, Linted, LintedFile, Severity, about, chain, check_spec, sent};
use crate::connector::preset::ways::{OPTION_KEYS, Way};
use crate::connector::preset::{self, FindGeneric, TEST_URI};
use crate::connector::yaml::Document;
use crate::connector::{Connector, folder, pointer, schema};

/// The keys with addresses of the provider.
const WITH_ADDRESSES: [&str; 5] = ["baseUri", "disconnect", "parameters", "steps", "test"];

/// Lints a preset. `file` is its name.
pub fn lint_preset(key: &str, file: &str, text: &str, find: FindGeneric<'_>) -> Linted {
    let mut findings = Findings::default();
    let connector = match preset::parse_file(file, text) {
        Ok(document) => lint_document(key, file, &document, find, &mut findings),
        Err(problems) => findings.loaded(Err(problems)),
    };
    for finding in &mut findings.0 {
        file.clone_into(&mut finding.problem.file);
    }
    Linted { connector, findings: findings.sorted() }
}

fn lint_document(
    key: &str,
    path: &str,
    document: &Document,
    find: FindGeneric<'_>,
    findings: &mut Findings,
) -> Option<Connector> {
    check_keys(&LintedFile { path, document }, findings);
    let (ways, expanded) = preset::expand_document(key, path, document, find);
    let reason = document.value.get("testReason").and_then(Value::as_str);
    for way in &ways {
        let file = LintedFile { path, document: &way.document };
        check_test(way, &file, reason, findings);
        check_account(&file, findings);
        check_values(way, &file, findings);
        check_addresses(&file, findings);
        chain::check(&file, findings);
    }
    let expanded = match expanded {
        Ok(expanded) => expanded,
        Err(problems) => return findings.loaded(Err(problems)),
    };
    let connector = findings.loaded(folder::parse_expanded(key, path, &expanded));
    for (way, option) in ways.iter().zip(connector.iter().flat_map(|connector| &connector.options)) {
        sent::check(way, option, &LintedFile { path, document: &way.document }, findings);
    }
    check_spec(&Rc::new(expanded.spec), &Files::new(), findings);
    connector
}

fn check_keys(file: &LintedFile<'_>, findings: &mut Findings) {
    const ACCOUNT: [&str; 2] = ["id", "label"];
    findings.check_keys(file, "", &preset::KEYS, "the preset");
    findings.check_keys(file, "/account", &ACCOUNT, "`account`");
    let options = file.document.value.get("options").and_then(Value::as_object);
    for key in options.into_iter().flat_map(Map::keys) {
        let at = pointer::child("/options", key);
        findings.check_keys(file, &at, &OPTION_KEYS, &format!("the option `{key}`"));
        findings.check_keys(file, &format!("{at}/account"), &ACCOUNT, "`account`");
    }
}

fn check_test(way: &Way, file: &LintedFile<'_>, reason: Option<&str>, findings: &mut Findings) {
    let (message, help) = match way.document.value.get("test") {
        Some(test) if test == "none" && reason.is_none_or(|reason| reason.trim().is_empty()) => (
            "there is no `test`, so any credentials are accepted",
            "say why in `testReason`, or add a request that changes and costs nothing",
        ),
        None if way.generic.parameter(TEST_URI).is_some() => (
            "`test` is missing, so `baseUri` itself is requested to test credentials",
            "add a request that changes and costs nothing, such as `test: /me`; `test: \"\"` stands for `baseUri`",
        ),
        _ => return,
    };
    file.report(findings, Severity::Error, "/test", message.to_owned(), help.to_owned());
}

fn check_account(file: &LintedFile<'_>, findings: &mut Findings) {
    let account = file.document.value.get("account");
    if account.is_some_and(|account| !account.is_object() && !account.is_null()) {
        let help = "write `account: { id: response.data.id, label: response.data.email }`".to_owned();
        file.report(findings, Severity::Error, "/account", "`account` must be an object".to_owned(), help);
    }
}

/// Checks fixed values that are written out against the generic connector's schema. Formulas and templates have no value yet.
fn check_values(way: &Way, file: &LintedFile<'_>, findings: &mut Findings) {
    let Way { generic, document, .. } = way;
    let given = document.value.get("parameters").and_then(Value::as_object).into_iter().flatten();
    let given = given.filter(|(_, value)| is_literal(value));
    let given: Map<_, _> = given.map(|(name, value)| (name.clone(), value.clone())).collect();
    let properties = given.keys().filter_map(|name| Some((name.clone(), generic.parameter(name)?.clone())));
    let schema = json!({ "properties": properties.collect::<Map<_, _>>() });
    for error in schema::validate(Some(&schema), &given).unwrap_or_default() {
        let at = pointer::child("/parameters", error.path.first().map(String::as_str).unwrap_or_default());
        let help = format!("see the parameters of `{}`", generic.key());
        file.report(findings, Severity::Error, &at, schema::summary(&[error]), help);
    }
}

fn is_literal(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.contains('{'),
        Value::Object(object) => object.keys().next().is_none_or(|key| !key.starts_with('$')),
        _ => true,
    }
}

/// Reports addresses that `connector new` wrote, or that were copied from documentation.
fn check_addresses(file: &LintedFile<'_>, findings: &mut Findings) {
    for key in WITH_ADDRESSES {
        if let Some(value) = file.document.value.get(key) {
            check_address(value, &format!("/{key}"), file, findings);
        }
    }
}

fn check_address(value: &Value, at: &str, file: &LintedFile<'_>, findings: &mut Findings) {
    match value {
        Value::String(text) => {
            let host = text.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#', ':']).next());
            let Some(host) = host.filter(|host| about::is_within(host, &["example", "example.com"])) else { return };
            let message = format!("{host} is a placeholder");
            file.report(findings, Severity::Warning, at, message, "write the provider's address".to_owned());
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                check_address(item, &format!("{at}/{index}"), file, findings);
            }
        }
        Value::Object(object) => {
            for (key, value) in object {
                check_address(value, &pointer::child(at, key), file, findings);
            }
        }
        _ => {}
    }
}
