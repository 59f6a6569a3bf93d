//! Checks the schemas of parameters and inputs.

use larder::credentials::is_secret_name;
use serde_json::Value;

use super::sources::AuthScope;
use super::{Findings, LintedFile, Severity};
use crate::connector::secrecy::is_hidden;
use crate::connector::{pointer, spelling};

/// The keywords of JSON Schema and of the format. Others are allowed but ignored.
const KEYWORDS: [&str; 61] = [
    "$anchor",
    "$comment",
    "$defs",
    "$id",
    "$ref",
    "$schema",
    "additionalProperties",
    "allOf",
    "allowCustom",
    "anyOf",
    "const",
    "contains",
    "contentEncoding",
    "contentMediaType",
    "default",
    "definitions",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "deprecated",
    "description",
    "else",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "if",
    "isImplied",
    "isRichText",
    "isSensitive",
    "items",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "readOnly",
    "referenceCollection",
    "referenceCollectionPath",
    "referenceCollectionUri",
    "referenceRecords",
    "referenceUdm",
    "required",
    "then",
    "title",
    "type",
    "uniqueItems",
];

pub(super) fn check_spec(file: &LintedFile<'_>, scopes: &[AuthScope<'_>], findings: &mut Findings) {
    let mut places = vec!["/parametersSchema".to_owned(), "/inputSchema".to_owned(), "/ui/schema".to_owned()];
    for scope in scopes {
        for schema in ["parametersSchema", "inputSchema", "ui/schema", "credentialsSchema", "customCredentialsSchema"] {
            places.push(format!("{}/{schema}", scope.at));
        }
    }
    places.sort();
    places.dedup();
    for at in places {
        if let Some(schema) = file.document.value.pointer(&at) {
            check_schema(file, &at, schema, findings);
            if !at.ends_with("redentialsSchema") {
                check_secrets(file, &at, schema, findings);
            }
        }
    }
}

/// The schemas that may describe the inputs, nearest first.
pub(super) fn inputs<'a>(scope: &AuthScope<'a>, spec: &'a Value) -> Vec<&'a Value> {
    let schemas = |value: &'a Value| [value.get("inputSchema"), value.pointer("/ui/schema")].into_iter().flatten();
    [Some(scope.value), scope.parent, Some(spec)].into_iter().flatten().flat_map(schemas).collect()
}

fn check_schema(file: &LintedFile<'_>, at: &str, schema: &Value, findings: &mut Findings) {
    let Some(object) = schema.as_object() else { return };
    let is_formula = |key: &String| key.starts_with('$') && !KEYWORDS.contains(&key.as_str());
    if object.keys().next().is_some_and(is_formula) {
        return;
    }
    for (key, value) in object {
        let at = pointer::child(at, key);
        let children = |value: &Value, findings: &mut Findings| {
            for (name, child) in value.as_object().into_iter().flatten() {
                check_schema(file, &pointer::child(&at, name), child, findings);
            }
        };
        match key.as_str() {
            "properties" | "patternProperties" | "$defs" | "definitions" => children(value, findings),
            "items" | "additionalProperties" | "not" => check_schema(file, &at, value, findings),
            "anyOf" | "oneOf" | "allOf" => {
                for (index, child) in value.as_array().into_iter().flatten().enumerate() {
                    check_schema(file, &pointer::child(&at, &index.to_string()), child, findings);
                }
            }
            known if KEYWORDS.contains(&known) => {}
            unknown => {
                if let Some(meant) = spelling::nearest(unknown, KEYWORDS) {
                    let message = format!("unknown schema keyword `{unknown}`");
                    file.report(findings, Severity::Error, &at, message, format!("did you mean `{meant}`?"));
                }
            }
        }
    }
}

fn check_secrets(file: &LintedFile<'_>, at: &str, schema: &Value, findings: &mut Findings) {
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let is_text = property.get("type").is_none_or(|kind| kind == "string");
        if is_text && !is_hidden(property) && is_secret_name(name) {
            let at = pointer::child(&format!("{at}/properties"), name);
            let message = format!("`{name}` looks like a secret, but the form shows it");
            let help = "add `format: password` or `isSensitive: true`".to_owned();
            file.report(findings, Severity::Warning, &at, message, help);
        }
    }
}
