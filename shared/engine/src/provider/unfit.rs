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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::context;
    use super::*;
    use crate::connector::BasicAuth;

    /// Checks a request of `test`, which gets these arguments.
    fn checked(arguments: &Value, request: &ApiRequest, client: &ApiClient) -> Result<(), ProviderError> {
        let object = |name: &str| arguments[name].as_object().cloned().unwrap_or_default();
        let auth = ConnectorContext {
            connector_parameters: object("connectorParameters"),
            connection_parameters: object("connectionParameters"),
            ..context([])
        };
        check(&auth, FunctionName::Test, &Value::Object(object("credentials")), request, client)
    }

    fn with_header(name: &str, value: &str) -> ApiRequest {
        ApiRequest { headers: vec![(name.to_owned(), value.to_owned())], ..ApiRequest::default() }
    }

    #[test]
    fn a_value_that_does_not_fit_is_named_and_fixed_at_its_source() {
        let request = with_header("X-Key", "Bearer a\nb");
        let error = |arguments: Value| checked(&arguments, &request, &ApiClient::default()).unwrap_err();
        let problem = "contains a line break, which the header `X-Key` cannot contain";
        let in_credentials = json!({"fine": "Bearer", "other": "c\nd", "keys": ["fine", {"second": "a\nb"}]});
        assert_eq!(
            error(json!({"credentials": in_credentials, "connectionParameters": {"key": "a\nb"}})),
            ProviderError::refused(format!("`credentials.keys.1.second` {problem}; reconnect, or store them again"))
        );
        assert_eq!(
            error(json!({"connectionParameters": {"key": "a\nb"}, "connectorParameters": {"key": "a\nb"}})),
            ProviderError::refused(format!(
                "`connectionParameters.key` {problem}; reconnect and paste it without that"
            ))
        );
        assert_eq!(
            error(json!({"connectorParameters": {"key": "a\nb"}})),
            ProviderError::configuration(format!("`connectorParameters.key` {problem}; correct the integration"))
        );
        assert_eq!(
            error(json!({})),
            ProviderError::configuration("the connector's value for the header `X-Key` contains a line break")
        );
    }

    #[test]
    fn only_values_from_fields_and_control_characters_are_rejected() {
        let checked = |value: &str| checked(&json!({}), &with_header("X-Key", value), &ApiClient::default());
        for value in ["a", "a\tb", "a\u{2013}b", "a\u{200b}\tb"] {
            assert_eq!(checked(value), Ok(()), "{value:?}");
        }
        assert!(checked("a\u{7f}b").is_err());
    }

    #[test]
    fn headers_of_the_request_replace_those_of_the_client() {
        let client = ApiClient { headers: with_header("X-Key", "a\nb").headers, ..ApiClient::default() };
        assert_eq!(checked(&json!({}), &with_header("x-key", "a"), &client), Ok(()));
        assert!(checked(&json!({}), &with_header("x-other", "a"), &client).is_err());
    }

    #[test]
    fn basic_credentials_are_checked_too() {
        let basic = BasicAuth { username: "a".into(), password: "b\u{200b}".into() };
        let client = ApiClient { auth: Some(basic), ..ApiClient::default() };
        let arguments = json!({"credentials": {"password": "b\u{200b}"}});
        let error = checked(&arguments, &ApiRequest::default(), &client).unwrap_err();
        let message = "`credentials.password` contains an invisible character, which the header `Authorization` cannot \
                       contain; reconnect, or store them again";
        assert_eq!(error, ProviderError::refused(message));
    }
}
