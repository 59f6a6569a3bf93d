//! The result of `makeApiClient`: how requests to a provider's API are addressed and authenticated.

use serde_json::Value;

use super::mapping::{MalformedValue, Mapping, js};

/// The settings of all requests of a connection.
#[derive(Clone, Default, PartialEq)]
pub struct ApiClient {
    /// The base of relative paths.
    pub base_uri: Option<String>,
    /// Headers of every request.
    pub headers: Vec<(String, String)>,
    /// Query parameters of every request.
    pub query: Vec<(String, String)>,
    /// HTTP Basic credentials.
    pub auth: Option<BasicAuth>,
    /// Handlers that judge responses by more than their status; the first match decides.
    pub handlers: Vec<ResponseHandler>,
}

/// An entry of `responseHandlers`: formulas over `response`, evaluated for each response.
#[derive(Clone, PartialEq)]
pub struct ResponseHandler {
    /// Whether the handler applies to a response; without a mapping, it always does.
    matches: Option<Mapping>,
    /// `isSuccess`; defaults to true unless the handler has an `error`.
    pub(super) is_success: bool,
    /// The value that replaces the body.
    pub(super) data: Option<Mapping>,
    /// The error, as `{message, key, data}`.
    pub(super) error: Option<Mapping>,
}

/// HTTP Basic credentials (RFC 7617).
#[derive(Clone, PartialEq, Eq)]
pub struct BasicAuth {
    /// The user name.
    pub username: String,
    /// The password; may be empty.
    pub password: String,
}

impl ApiClient {
    /// Parses `{baseUri, headers, query, auth}`, at the top level or under `args`. `baseUrl` and `defaultQueryParameters`
    /// are older names. Values become strings as in JavaScript; entries that are null are dropped. Other keys are ignored.
    ///
    /// # Errors
    ///
    /// When a value has the wrong type; the message names its key.
    pub fn from_value(value: &Value) -> Result<Self, String> {
        let settings = value.get("args").filter(|args| args.is_object()).unwrap_or(value);
        if !settings.is_object() {
            return Err("the API client must be an object with `baseUri`, `headers`, `query` or `auth`".to_owned());
        }
        Ok(Self {
            base_uri: base_uri(settings)?,
            headers: entries(settings, &["headers"])?,
            query: entries(settings, &["query", "defaultQueryParameters"])?,
            auth: basic_auth(settings)?,
            handlers: handlers(settings)?,
        })
    }
}

impl ResponseHandler {
    fn read(value: &Value) -> Result<Self, Vec<MalformedValue>> {
        if !value.is_object() {
            let help = "write `match`, `isSuccess`, `data` and `error` under it".to_owned();
            let message = "a response handler must be an object".to_owned();
            return Err(vec![MalformedValue { pointer: String::new(), message, help }]);
        }
        let mut malformed = Vec::new();
        let mut mapping = |key: &str| {
            let expression = value.get(key).filter(|expression| !expression.is_null())?;
            let put_under =
                |each: MalformedValue| MalformedValue { pointer: format!("/{key}{}", each.pointer), ..each };
            Mapping::parse(expression.clone())
                .map_err(|inside| malformed.extend(inside.into_iter().map(put_under)))
                .ok()
        };
        let (matches, data, error) = (mapping("match"), mapping("data"), mapping("error"));
        let is_success = value.get("isSuccess").and_then(Value::as_bool).unwrap_or(error.is_none());
        if malformed.is_empty() { Ok(Self { matches, is_success, data, error }) } else { Err(malformed) }
    }

    pub(super) fn matches(&self, variables: &Value) -> bool {
        self.matches.as_ref().is_none_or(|matches| js::truthy(matches.evaluate(variables).as_ref()))
    }
}

/// Prints only header names: even a base URI may contain a token.
impl std::fmt::Debug for ApiClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("ApiClient").field("headers", &names).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BasicAuth(…)")
    }
}

/// An object's entries as strings, without nulls. A missing or null object is empty.
pub(super) fn string_entries(value: Option<&Value>) -> Option<Vec<(String, String)>> {
    match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Object(object)) => Some(
            object
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), js::string(Some(value))))
                .collect(),
        ),
        Some(_) => None,
    }
}

fn first<'a>(settings: &'a Value, keys: &[&'static str]) -> Option<(&'static str, &'a Value)> {
    keys.iter().find_map(|&key| settings.get(key).filter(|value| !value.is_null()).map(|value| (key, value)))
}

fn base_uri(settings: &Value) -> Result<Option<String>, String> {
    match first(settings, &["baseUri", "baseUrl"]) {
        None => Ok(None),
        Some((_, Value::String(uri))) => Ok(Some(uri.clone())),
        Some((key, _)) => Err(format!("`{key}` of the API client must be a string")),
    }
}

fn entries(settings: &Value, keys: &[&'static str]) -> Result<Vec<(String, String)>, String> {
    let Some((key, value)) = first(settings, keys) else { return Ok(Vec::new()) };
    string_entries(Some(value)).ok_or_else(|| format!("`{key}` of the API client must be an object"))
}

fn handlers(settings: &Value) -> Result<Vec<ResponseHandler>, String> {
    let Some((_, handlers)) = first(settings, &["responseHandlers"]) else { return Ok(Vec::new()) };
    let Some(handlers) = handlers.as_array() else {
        return Err("`responseHandlers` of the API client must be a list".to_owned());
    };
    let (mut read, mut malformed) = (Vec::new(), Vec::new());
    for (index, handler) in handlers.iter().enumerate() {
        match ResponseHandler::read(handler) {
            Ok(handler) => read.push(handler),
            Err(found) => malformed.extend(found.into_iter().map(|each| {
                let pointer = format!("/{index}{}", each.pointer);
                format!("responseHandlers{}", MalformedValue { pointer, ..each })
            })),
        }
    }
    if malformed.is_empty() { Ok(read) } else { Err(malformed.join("; ")) }
}

pub(super) fn basic_auth(settings: &Value) -> Result<Option<BasicAuth>, String> {
    let Some((_, auth)) = first(settings, &["auth"]) else { return Ok(None) };
    if !auth.is_object() {
        return Err("`auth` of the API client must be an object with `username` and `password`".to_owned());
    }
    let text = |key| auth.get(key).filter(|value| !value.is_null()).map(|value| js::string(Some(value)));
    let username = text("username").unwrap_or_default();
    if username.contains(':') {
        return Err("`auth.username` of the API client must not contain a colon (RFC 7617)".to_owned());
    }
    Ok(Some(BasicAuth { username, password: text("password").unwrap_or_default() }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_may_be_at_the_top_level_or_under_args() {
        let bare = json!({
            "baseUri": "https://api.example.com",
            "headers": {"Authorization": "Bearer T", "X-Version": 2.0, "X-None": null},
            "query": {"limit": 5},
            "auth": {"username": "u", "password": "p"}
        });
        let client = ApiClient::from_value(&bare).unwrap();
        assert_eq!(client.base_uri.as_deref(), Some("https://api.example.com"));
        assert_eq!(
            client.headers,
            [("Authorization".to_owned(), "Bearer T".to_owned()), ("X-Version".to_owned(), "2".to_owned())]
        );
        assert_eq!(client.query, [("limit".to_owned(), "5".to_owned())]);
        assert_eq!(client.auth, Some(BasicAuth { username: "u".to_owned(), password: "p".to_owned() }));
        assert_eq!(ApiClient::from_value(&json!({"args": bare})).unwrap(), client);
    }

    #[test]
    fn older_names_work() {
        let client =
            ApiClient::from_value(&json!({"baseUrl": "https://a.example", "defaultQueryParameters": {"k": "v"}}))
                .unwrap();
        assert_eq!(client.base_uri.as_deref(), Some("https://a.example"));
        assert_eq!(client.query, [("k".to_owned(), "v".to_owned())]);
    }

    #[test]
    fn errors_name_the_key_but_not_the_value() {
        for wrong in ["baseUri", "baseUrl", "headers", "query", "defaultQueryParameters", "auth"] {
            let error = ApiClient::from_value(&json!({wrong: ["hunter2"]})).unwrap_err();
            assert!(error.contains(&format!("`{wrong}`")) && !error.contains("hunter2"), "{error}");
        }
        assert!(ApiClient::from_value(&json!("hunter2")).is_err());
    }

    #[test]
    fn debug_output_contains_no_secrets() {
        let client = ApiClient::from_value(&json!({
            "baseUri": "https://a.example/hunter2", "headers": {"Authorization": "hunter2"}, "query": {"key": "hunter2"},
            "auth": {"username": "hunter2", "password": "hunter2"}
        }))
        .unwrap();
        let debug = format!("{client:?} {:?}", client.auth);
        assert!(debug.contains("Authorization") && !debug.contains("hunter2"), "{debug}");
    }
}
