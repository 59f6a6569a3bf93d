//! Requests to `/connect`: query parameters, or a JSON object with the same members, as the body or as the form field
//! `payload`.
//!
//! # Decisions
//!
//! Only admins can send `connectorParameters`. They override the integration's own, including `tokenUri`, and an end
//! user who could set that could have the client secret sent anywhere.

use std::collections::BTreeMap;

use http::Method;
use larder::connection::Details;
use larder::error::Error;
use larder::http::{Parameters, Request, bad_json, is_form, is_json, read_json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

/// The longest `customState`.
const MAX_CUSTOM_STATE_BYTES: usize = 1024;

/// A request to connect. Unknown members are ignored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Clone, Default)]
pub struct ConnectRequest {
    #[serde(skip_serializing)]
    pub(crate) token: Option<String>,
    pub(crate) integration_key: Option<String>,
    pub(crate) connection_id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) auth_option_key: Option<String>,
    #[serde(alias = "connectionParameters", alias = "parameters")]
    pub(crate) input: Map<String, Value>,
    pub(crate) connector_parameters: Map<String, Value>,
    pub(crate) redirect_uri: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) custom_state: Option<String>,
    pub(crate) allow_multiple_connections: bool,
    /// `none` if the end user must not be asked for anything.
    pub(crate) interaction: Option<String>,
    /// Whether the end user filled in the form, so that an empty input means what it says.
    #[serde(skip)]
    pub(crate) is_filled_in: bool,
    /// The id of a new connection, so that submitting a form twice does not create two.
    #[serde(skip)]
    pub(crate) new_id: Option<String>,
    /// The part that only a connection request sets.
    #[serde(skip)]
    pub(crate) requested: Requested,
}

/// The part of a request to connect that only a connection request sets.
#[derive(Clone, Default)]
pub(crate) struct Requested {
    pub(crate) key: Option<String>,
    pub(crate) tags: Option<BTreeMap<String, String>>,
    pub(crate) meta: Option<Map<String, Value>>,
    /// The only way to connect that the end user may use.
    pub(crate) option_key: Option<String>,
    /// Values that win over all others.
    pub(crate) locked_input: Map<String, Value>,
    /// When the flow must have ended, if that is before its usual end.
    pub(crate) ends_at: Option<OffsetDateTime>,
}

impl ConnectRequest {
    /// Reads the request. Old clients send some parameters in the query and the rest in `payload`, which takes precedence.
    ///
    /// # Errors
    /// 400 with the name of the parameter.
    pub fn read(request: &Request) -> Result<Self, Error> {
        let mut members = members_of(&Parameters::of_query(request))?;
        if *request.method() == Method::POST {
            if is_form(request.headers()) {
                members.extend(members_of(&Parameters::parse(request.body()))?);
            } else if is_json(request.headers()) {
                members.extend(read_json::<Map<String, Value>>(request)?);
            } else {
                let wanted = "application/json, or as application/x-www-form-urlencoded with a field `payload`";
                return Err(Error::bad_request(format!("send the body of POST /connect as {wanted}")));
            }
        }
        if let Some(Value::String(payload)) = members.remove("payload") {
            let payload: Map<String, Value> =
                serde_json::from_str(&payload).map_err(|error| bad_json("`payload` is not a JSON object", &error))?;
            members.extend(payload);
        }
        members.retain(|_, value| !value.is_null() && value != "");
        // An integration's id is its key.
        if let Some(id) = members.remove("integrationId")
            && *members.entry("integrationKey").or_insert_with(|| id.clone()) != id
        {
            let message = "`integrationKey` and `integrationId` must be the same; give only one";
            return Err(Error::bad_request(message));
        }
        let request: Self = serde_json::from_value(Value::Object(members))
            .map_err(|error| bad_json("a parameter of /connect has the wrong type", &error))?;
        for (name, text, most) in [
            ("name", &request.name, Details::MAX_NAME_BYTES),
            ("customState", &request.custom_state, MAX_CUSTOM_STATE_BYTES),
        ] {
            if text.as_ref().is_some_and(|text| text.len() > most) {
                return Err(Error::bad_request(format!("`{name}` must be at most {most} bytes long")));
            }
        }
        Ok(request)
    }
}

impl ConnectRequest {
    /// Returns a request for a frame: through the integration with this key, or to reconnect a connection. Its page reports the
    /// result, so the channels that the request names are dropped.
    #[must_use]
    pub fn in_frame(self, integration_key: Option<String>, connection_id: Option<String>) -> Self {
        let (redirect_uri, request_id, interaction) = (None, None, None);
        Self { integration_key, connection_id, redirect_uri, request_id, interaction, ..self }
    }

    /// Sets the id of a new connection, so that submitting a form twice does not create two.
    #[must_use]
    pub fn with_new_id(self, id: String) -> Self {
        Self { new_id: Some(id), ..self }
    }

    /// The key of the integration, if the request names one.
    pub fn integration_key(&self) -> Option<&str> {
        self.integration_key.as_deref()
    }

    /// The id of the connection to reconnect.
    pub fn connection_id(&self) -> Option<&str> {
        self.connection_id.as_deref()
    }
}

/// Returns the parameters as JSON members. Objects are encoded as JSON, and `true` as `1` or `true`.
fn members_of(parameters: &Parameters) -> Result<Map<String, Value>, Error> {
    let mut members = Map::new();
    for (name, text) in parameters.iter() {
        let value = match name {
            "input" | "connectionParameters" | "parameters" | "connectorParameters" if !text.is_empty() => {
                serde_json::from_str(text)
                    .map_err(|error| bad_json(&format!("`{name}` is not a JSON object"), &error))?
            }
            "allowMultipleConnections" => Value::Bool(matches!(text, "1" | "true")),
            _ => Value::String(text.to_owned()),
        };
        if members.insert(name.to_owned(), value).is_some() {
            return Err(Error::bad_request(format!("the parameter `{name}` is given more than once; send it once")));
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: Method, query: &str, body: &str) -> Result<ConnectRequest, Error> {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/connect?{query}"))
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(body.to_owned().into())
            .expect("a request");
        ConnectRequest::read(&request)
    }

    #[test]
    fn a_query_and_a_payload_are_equivalent() {
        let query = r#"token=t&integrationKey=crm&input=%7B%22shop%22%3A%22a%22%7D&allowMultipleConnections=1&new=x"#;
        let payload =
            r#"payload={"token":"t","integrationKey":"crm","input":{"shop":"a"},"allowMultipleConnections":true}"#;
        for request in [read(Method::GET, query, ""), read(Method::POST, "", payload)] {
            let request = request.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((request.token.as_deref(), request.integration_key.as_deref()), (Some("t"), Some("crm")));
            assert_eq!(request.input["shop"], "a");
            assert!(request.allow_multiple_connections);
        }
    }

    #[test]
    fn a_json_body_is_equivalent_to_a_payload() {
        let read = |body: &str| {
            let request =
                http::Request::post("/connection-popup?integrationId=crm").header("content-type", "Application/JSON");
            ConnectRequest::read(&request.body(body.to_owned().into()).expect("a request"))
        };
        let body = r#"{"input":{"shop":"a"},"allowMultipleConnections":true,"redirectUri":null,"name":""}"#;
        let request = read(body).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((request.integration_key.as_deref(), &request.input["shop"]), (Some("crm"), &"a".into()));
        assert!(request.allow_multiple_connections && request.redirect_uri.is_none() && request.name.is_none());
        for wrong in ["", "[]", "null", "{"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn unreadable_parameters_are_rejected_by_name() {
        for (query, body, name) in [
            ("input=%7B", "", "input"),
            ("token=a&token=b", "", "token"),
            ("", "payload=nonsense", "payload"),
            ("", "payload=[]", "payload"),
        ] {
            let error = read(Method::POST, query, body).err().expect("is rejected");
            assert!(error.message.contains(name), "{}", error.message);
        }
        assert!(read(Method::POST, "", r#"payload={"name":7}"#).is_err());
    }

    #[test]
    fn long_names_and_states_are_rejected() {
        for name in ["name", "customState"] {
            let of = |length: usize| read(Method::GET, &format!("{name}={}", "a".repeat(length)), "");
            assert!(of(1024).is_ok());
            assert!(of(1025).err().expect("is rejected").message.contains(name));
        }
    }
}
