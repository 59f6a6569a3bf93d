//! Names the field whose pasted value has characters that no header can contain, so that a request cannot be sent.

use serde_json::Value;

use super::{ConnectorContext, ProviderError};
use crate::connector::{ApiClient, ApiRequest, FunctionName};
use crate::pasted::{flaw, flaw_of_basic};

/// Checks the headers of a request. Values from the connector's own files may contain any letters.
///
/// # Errors
/// When a header has such a value.
pub(super) fn check(
    auth: &ConnectorContext,
    name: FunctionName,
    credentials: &Value,
    request: &ApiRequest,
    client: &ApiClient,
) -> Result<(), ProviderError> {
    let is_own = |name: &str| request.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    let of_client = client.headers.iter().filter(|(name, _)| !is_own(name));
    let headers = of_client.chain(&request.headers);
    let headers = headers.map(|(name, value)| (name.as_str(), value.as_str(), flaw(value)));
    let basic = request.auth.as_ref().or(client.auth.as_ref());
    let basic = basic.into_iter().flat_map(|basic| [&basic.username, &basic.password]);
    let basic = basic.map(|text| ("Authorization", text.as_str(), flaw_of_basic(text)));
    for (header, value, flaw) in headers.chain(basic) {
        let Some(flaw) = flaw else { continue };
        let owner = auth.arguments(name, super::auth::with_credentials(credentials.clone()));
        for (argument, again) in [
            ("credentials", "reconnect, or store them again"),
            ("connectionParameters", "reconnect and paste it without that"),
            ("connectorParameters", "correct the integration"),
        ] {
            if let Some(field) = owner.get(argument).and_then(|value_of| field_in(value_of, value, flaw)) {
                let message =
                    format!("`{argument}.{field}` {flaw}, which the header `{header}` cannot contain; {again}");
                return Err(match argument {
                    "connectorParameters" => ProviderError::configuration(message),
                    _ => ProviderError::refused(message),
                });
            }
        }
        if value.contains(|c: char| c.is_control() && c != '\t') {
            let message = format!("the connector's value for the header `{header}` {flaw}");
            return Err(ProviderError::configuration(message));
        }
    }
    Ok(())
}

/// Returns the path of a string that is part of `value` and has the same flaw.
fn field_in(object: &Value, value: &str, wanted: &str) -> Option<String> {
    let members: Vec<(String, &Value)> = match object {
        Value::Object(members) => members.iter().map(|(name, member)| (name.clone(), member)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, item)| (at.to_string(), item)).collect(),
        _ => return None,
    };
    members.into_iter().find_map(|(name, member)| match member {
        Value::String(text) => {
            let is_it = flaw(text) == Some(wanted) && value.contains(text.as_str());
            is_it.then_some(name)
        }
        member => field_in(member, value, wanted).map(|path| format!("{name}.{path}")),
    })
}
