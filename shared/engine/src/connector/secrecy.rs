//! Decides which of an integration's parameters are secret, which functions use one, and whose client a function names.
//!
//! Functions are searched as plain strings, so no formula or script can hide a use: a function that may use a secret
//! counts as using it.

use larder::credentials::is_secret_name;
use serde_json::{Map, Value};

use super::{AuthOption, Function, FunctionName, Script};

const PARAMETERS: &str = "connectorParameters";

impl AuthOption {
    /// Whether a function, or the API client that sends its requests, uses one of the integration's secrets.
    pub fn uses_secrets(&self, name: FunctionName) -> bool {
        self.texts(name).any(|text| uses_secret(text, self.parameters_schema.as_ref()))
    }

    /// Whether the client that a function's requests name is the end user's own: they enter a secret, and the function uses
    /// no secret and no client's ID among these parameters of the integration.
    pub(crate) fn uses_entered_client(&self, name: FunctionName, parameters: &Map<String, Value>) -> bool {
        let properties = self.input_schema.as_ref().and_then(|schema| schema.get("properties")?.as_object());
        let is_secret = |(name, property): (&String, &Value)| is_secret_name(name) || is_hidden(property);
        let of_integration = || {
            let clients = parameters.iter().filter(|(name, value)| self.names_client(name, value));
            clients.into_iter().any(|(parameter, _)| self.texts(name).any(|text| uses(text, |used| used == parameter)))
        };
        properties.into_iter().flatten().any(is_secret) && !of_integration()
    }

    /// Whether a parameter, or a member of an object such as `tokenExtra`, may name a client.
    fn names_client(&self, name: &str, value: &Value) -> bool {
        let is_id = |name: &str| name.to_lowercase().replace(['_', '-'], "").ends_with("clientid");
        match value {
            Value::Null => false,
            Value::Object(members) => members
                .keys()
                .any(|name| is_secret_name(name) || is_id(name) || name.eq_ignore_ascii_case("authorization")),
            _ => is_secret_parameter(self.parameters_schema.as_ref(), name) || is_id(name),
        }
    }

    /// The strings of a function, and of the API client that sends its requests.
    fn texts(&self, name: FunctionName) -> impl Iterator<Item = &str> {
        let functions = [name, FunctionName::MakeApiClient].into_iter().filter_map(|name| self.function(name));
        functions.flat_map(strings_of)
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
    uses(text, |name| is_secret_parameter(schema, name))
}

/// Whether a locator, a JSONata expression, or a script names such a parameter, or all parameters at once.
fn uses(text: &str, is_one: impl Fn(&str) -> bool) -> bool {
    let all_variables = text == "$" || text.contains("$$");
    all_variables || text.split(PARAMETERS).skip(1).any(|rest| parameter(rest).is_none_or(&is_one))
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
    use crate::connector::folder::{self, Files};

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

    #[test]
    fn a_client_is_the_end_users_unless_the_integration_names_one() {
        let spec = |request: &str| {
            let text = format!(
                "name: App\nparametersSchema: {{properties: {{clientId: {{}}, extra: {{}}, scope: {{}}, pin: {{isSensitive: true}}}}}}\n\
                 auth:\n  type: client-credentials\n  inputSchema: {{properties: {{clientSecret: {{}}}}}}\n  \
                 getCredentialsFromConnectionParameters: {{mapping: {{a: {request}}}}}\n  \
                 makeApiClient: {{mapping: {{baseUri: https://a.example}}}}\n"
            );
            let files = Files::from_iter([("spec.yml".to_owned(), text)]);
            folder::parse("app", &files).unwrap_or_else(|problems| panic!("{problems:?}")).options[0].clone()
        };
        let is_theirs = |request: &str, parameters: Value| {
            let parameters = parameters.as_object().cloned().expect("an object");
            spec(request).uses_entered_client(FunctionName::GetCredentialsFromConnectionParameters, &parameters)
        };
        let all = json!({"clientId": "c", "extra": {"audience": "a"}, "scope": "s", "pin": "1"});
        for used in ["scope", "extra"] {
            assert!(is_theirs(&format!("{{$var: connectorParameters.{used}}}"), all.clone()), "{used}");
        }
        for used in ["connectorParameters.clientId", "connectorParameters.pin", "connectorParameters"] {
            assert!(!is_theirs(&format!("{{$var: {used}}}"), all.clone()), "{used}");
            assert!(is_theirs(&format!("{{$var: {used}}}"), json!({"scope": "s", "pin": null})), "{used}");
        }
        for member in ["client_secret", "client_id", "Authorization"] {
            assert!(!is_theirs("{$var: connectorParameters.extra}", json!({ "extra": { member: "x" } })), "{member}");
        }
    }
}
