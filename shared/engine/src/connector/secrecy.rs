//! Decides which of an integration's parameters are secret, and which functions use one.
//!
//! Functions are searched as plain strings, so no formula or script can hide a use: a function that may use a secret
//! counts as using it.

use larder::credentials::is_secret_name;
use serde_json::Value;

use super::{AuthOption, Function, FunctionName, Script};

const PARAMETERS: &str = "connectorParameters";

impl AuthOption {
    /// Whether a function, or the API client that sends its requests, uses one of the integration's secrets.
    pub fn uses_secrets(&self, name: FunctionName) -> bool {
        let functions = [name, FunctionName::MakeApiClient].into_iter().filter_map(|name| self.function(name));
        functions
            .into_iter()
            .any(|function| strings_of(function).iter().any(|text| uses_secret(text, self.parameters_schema.as_ref())))
    }

    /// Whether the credentials schema marks a member as secret.
    pub fn is_secret_credential(&self, name: &str) -> bool {
        property(self.credentials_schema.as_ref(), name).is_some_and(is_hidden)
    }
}

/// Whether a parameter is secret, by its schema or its name. A parameter missing from the schema counts as secret.
pub(crate) fn is_secret_parameter(schema: Option<&Value>, name: &str) -> bool {
    is_secret_name(name) || property(schema, name).is_none_or(is_hidden)
}

/// Whether a form hides the value as it is typed.
pub(crate) fn is_hidden(property: &Value) -> bool {
    property.get("isSensitive") == Some(&Value::Bool(true))
        || property.get("format").is_some_and(|format| format == "password")
}

fn property<'a>(schema: Option<&'a Value>, name: &str) -> Option<&'a Value> {
    schema?.get("properties")?.get(name)
}

/// Whether a locator, a JSONata expression, or a script names a secret parameter, or all parameters at once.
pub(crate) fn uses_secret(text: &str, schema: Option<&Value>) -> bool {
    let all_variables = text == "$" || text.contains("$$");
    all_variables
        || text
            .split(PARAMETERS)
            .skip(1)
            .any(|rest| parameter(rest).is_none_or(|name| is_secret_parameter(schema, name)))
}

/// The name after `connectorParameters`, as in `connectorParameters?.clientId`.
fn parameter(rest: &str) -> Option<&str> {
    let rest = rest.strip_prefix('?').unwrap_or(rest).strip_prefix('.')?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    Some(&rest[..end]).filter(|name| !name.is_empty())
}

fn strings_of(function: &Function) -> Vec<&str> {
    let mut strings = Vec::new();
    match function {
        Function::Mapping(mapping) => collect(mapping.expression(), &mut strings),
        Function::Rest(rest) => rest.mappings().for_each(|mapping| collect(mapping.expression(), &mut strings)),
        Function::Database(login) => collect(login.expression(), &mut strings),
        Function::JavaScript(script) => strings.extend(sources_of(script)),
    }
    strings
}

/// The function's own file, and all files that don't belong to another function.
fn sources_of(script: &Script) -> impl Iterator<Item = &str> {
    let is_other = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        let stem = name.split('.').next().unwrap_or_default();
        FunctionName::ALL.into_iter().any(|function| function.file_names().contains(&stem))
    };
    script.paths().filter(move |path| *path == script.entry() || !is_other(path)).filter_map(|path| script.file(path))
}

fn collect<'a>(value: &'a Value, strings: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => strings.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, strings)),
        Value::Object(object) => object.values().for_each(|value| collect(value, strings)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_use_of_a_secret_parameter_is_found() {
        let schema = json!({"properties": {
            "clientId": {"type": "string"}, "clientSecret": {}, "pin": {"isSensitive": true}, "region": {"enum": ["eu"]},
        }});
        let uses = |text: &str| uses_secret(text, Some(&schema));
        for text in [
            "connectorParameters.clientSecret",
            "$.connectorParameters.pin",
            "connectorParameters.unknown",
            "connectorParameters",
            "connectorParameters[0]",
            "$",
            r#""Basic " & $base64encode(connectorParameters.clientId & ":" & connectorParameters.pin)"#,
            "export default ({ connectorParameters }) => 1",
            "$$.*",
        ] {
            assert!(uses(text), "{text}");
        }
        for text in ["connectorParameters.clientId", "$.connectorParameters.region", "credentials.pin", "a?.b"] {
            assert!(!uses(text), "{text}");
        }
        assert!(uses_secret("connectorParameters.clientId", None), "a parameter without a schema counts as secret");
    }
}
