//! Finds likely mistakes in a preset: in its own keys, and in the connector that it expands to.

use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::{Files, Finding, Findings, LintedFile, Severity, check_loaded, check_spec};
use crate::connector::folder::{self, Problems};
use crate::connector::preset::ways::{self, OPTION_KEYS, Way};
use crate::connector::preset::{self, FindGeneric};
use crate::connector::{pointer, schema};

/// Lints a preset. `file` is its name. Findings are ordered by line.
pub fn lint_preset(key: &str, file: &str, text: &str, find: FindGeneric<'_>) -> Vec<Finding> {
    let mut findings = Findings::default();
    match folder::parse_preset(key, file, text, find) {
        Ok(connector) => check_loaded(&connector, &mut findings),
        Err(problems) => {
            findings.0.extend(problems.into_iter().map(|problem| Finding { problem, severity: Severity::Error }));
        }
    }
    if let Ok(document) = preset::parse_file(file, text) {
        check_keys(&LintedFile { path: file, document: &document }, &mut findings);
        // Problems were reported above.
        for way in ways::all(&document, file, find, &mut Problems::default()) {
            let reason = document.value.get("testReason").and_then(Value::as_str);
            check_test(&way, file, reason, &mut findings);
            check_values(&way, file, &mut findings);
        }
    }
    if let Ok(expanded) = preset::expand(key, file, text, find) {
        check_spec(&Rc::new(expanded.spec), &Files::new(), &mut findings);
    }
    for Finding { problem, .. } in &mut findings.0 {
        file.clone_into(&mut problem.file);
    }
    findings.sorted()
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

fn check_test(way: &Way, file: &str, reason: Option<&str>, findings: &mut Findings) {
    let is_none = way.document.value.get("test").is_some_and(|test| test == "none");
    if is_none && reason.is_none_or(|reason| reason.trim().is_empty()) {
        let message = "there is no `test`, so any credentials are accepted".to_owned();
        let help = "say why in `testReason`, or add a request that changes and costs nothing".to_owned();
        let file = LintedFile { path: file, document: &way.document };
        file.report(findings, Severity::Error, "/test", message, help);
    }
}

/// Checks fixed values that are written out against the generic connector's schema. Formulas and templates have no value yet.
fn check_values(way: &Way, file: &str, findings: &mut Findings) {
    let Way { generic, document, .. } = way;
    let file = LintedFile { path: file, document };
    for (name, value) in document.value.get("parameters").and_then(Value::as_object).into_iter().flatten() {
        let Some(property) = generic.parameter(name).filter(|_| is_literal(value)) else { continue };
        let schema = json!({ "properties": { name: property } });
        let object = Map::from_iter([(name.clone(), value.clone())]);
        let errors = schema::validate(Some(&schema), &object).unwrap_or_default();
        if !errors.is_empty() {
            let at = pointer::child("/parameters", name);
            let help = format!("see the parameters of `{}`", generic.key());
            file.report(findings, Severity::Error, &at, schema::summary(&errors), help);
        }
    }
}

fn is_literal(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.contains('{'),
        Value::Object(object) => object.keys().next().is_none_or(|key| !key.starts_with('$')),
        _ => true,
    }
}
