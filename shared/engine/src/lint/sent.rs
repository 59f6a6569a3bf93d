//! Finds presets that don't send the end user's secrets anywhere.

use larder::credentials::is_secret_name;
use serde_json::{Map, Value, json};

use super::{Findings, LintedFile, Severity};
use crate::connector::preset::ways::Way;
use crate::connector::secrecy::is_hidden;
use crate::connector::{AuthOption, Function, FunctionName};

/// Reports credentials that are entered, but that the API client's and the test's requests don't depend on.
pub(super) fn check(way: &Way, option: &AuthOption, file: &LintedFile<'_>, findings: &mut Findings) {
    let inputs = properties(option.input_schema.as_ref());
    if !way.generic.is_entered() || inputs.is_empty() {
        return;
    }
    let is_secret = |name: &str, property: &Value| is_secret_name(name) || is_hidden(property);
    let has_secret = inputs.iter().any(|(name, property)| is_secret(name, property));
    let entered = |secret: &str| {
        let values = inputs.iter().map(|(name, property)| {
            let varies = !has_secret || is_secret(name, property);
            (name.clone(), Value::from(if varies { secret } else { "same" }))
        });
        values.collect::<Map<_, _>>()
    };
    if let (Some(one), Some(other)) = (requests(option, entered("one")), requests(option, entered("other")))
        && one == other
    {
        let message = "the end user's input is not sent to the API".to_owned();
        let first = inputs.keys().next().map(String::as_str).unwrap_or_default();
        let help = format!("use it, as in `headers: {{ X-Api-Key: \"{{{first}}}\" }}` in `parameters`");
        file.report(findings, Severity::Error, "/parameters", message, help);
    }
}

/// The API client and the test's request with these credentials, or `None` if only a script knows.
fn requests(option: &AuthOption, credentials: Map<String, Value>) -> Option<[Option<Value>; 2]> {
    let parameters = properties(option.parameters_schema.as_ref()).into_iter().map(|(name, property)| {
        let listed = || property.get("enum")?.get(0);
        let value = property.get("default").or_else(listed).cloned();
        (name, value.unwrap_or_else(|| "x".into()))
    });
    let variables = json!({
        "connectorParameters": parameters.collect::<Map<_, _>>(),
        "connectionParameters": credentials,
        "connectionInput": credentials,
        "credentials": credentials,
    });
    let made = |name: FunctionName| match option.function(name) {
        None => Some(None),
        Some(Function::Mapping(mapping)) => Some(mapping.evaluate(&variables)),
        Some(Function::Rest(rest)) => Some(rest.request_mapping.as_ref().and_then(|it| it.evaluate(&variables))),
        Some(Function::JavaScript(_) | Function::Database(_)) => None,
    };
    Some([made(FunctionName::MakeApiClient)?, made(FunctionName::Test)?])
}

fn properties(schema: Option<&Value>) -> Map<String, Value> {
    let properties = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object);
    properties.cloned().unwrap_or_default()
}
