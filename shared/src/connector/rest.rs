//! REST mappings: one HTTP request described in YAML, and what is read from its response.

use super::api_client::{ApiClient, texts};
use super::mapping::{Malformed, Mapping, js};
use base64::Engine as _;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use std::time::Duration;
use url::Url;

/// A `.rest.yml` file.
#[derive(Clone, Debug, PartialEq)]
pub struct RestMapping {
    /// Appended to the API client's base URI, unless it is absolute; may contain `{placeholders}`.
    pub path: String,
    /// GET, POST, PUT, PATCH or DELETE.
    pub method: Method,
    /// Gives `pathParameters`, `query`, `headers` and `data`.
    pub request_mapping: Option<Mapping>,
    /// Gives the result out of `response`; without one the result is the body.
    pub response_mapping: Option<Mapping>,
}

/// Why a request cannot be built. Carries names, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestError {
    /// The path is relative, and the API client has no base URI.
    #[error("the path is relative, and the API client has no `baseUri`")]
    NoBaseUri,
    /// Base URI and path make no `http` or `https` URL, or one with a user in it.
    #[error("`baseUri` and `path` must make an http or https URL without a user")]
    InvalidUrl,
    /// A placeholder of the path has no value.
    #[error("the path parameter `{0}` has no value")]
    MissingPathParameter(String),
    /// A placeholder's value would make a `.` or `..` of a whole segment of the path, and so change which path it is.
    #[error("the path parameter `{0}` must not be `.` or `..`")]
    UnsafePathParameter(String),
    /// A header's name is malformed, or its value would break the header, for instance by a line break.
    #[error("the header {0:?} has a malformed name or value")]
    InvalidHeader(String),
    /// A part of the request mapping has the wrong type.
    #[error("`{0}` of the request mapping must be an object")]
    NotAnObject(&'static str),
}

/// A response, its body read.
#[derive(Clone, PartialEq)]
pub struct ApiResponse {
    /// The HTTP status.
    pub status: u16,
    /// The headers, in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body: JSON, or a string if it is none.
    pub data: Value,
}

/// A response that is no success, by the status. Carries nothing of the body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// 401: the credentials need a refresh.
    #[error("the application answered 401: the access token has expired or was revoked")]
    AccessTokenExpired,
    /// 429: too many requests.
    #[error("the application answered 429: too many requests")]
    RateLimitExceeded {
        /// `Retry-After` where it is given in seconds; its form as a date is not read, for there is no clock here.
        retry_after: Option<Duration>,
    },
    /// Any other status outside 200 to 299.
    #[error("the application answered {status}")]
    Connection {
        /// The HTTP status.
        status: u16,
    },
}

impl ResponseError {
    /// The error's key on the wire, if it has one.
    pub fn key(&self) -> Option<&'static str> {
        match self {
            Self::AccessTokenExpired => Some("access_token_expired"),
            Self::RateLimitExceeded { .. } => Some("rate_limit_exceeded"),
            Self::Connection { .. } => None,
        }
    }
}

impl RestMapping {
    /// Reads `{path, method, requestMapping, responseMapping}`.
    ///
    /// # Errors
    ///
    /// Everything that is malformed, in one text.
    pub fn parse(value: &Value) -> Result<Self, String> {
        Self::check(value).map_err(|malformed| {
            let lines: Vec<String> = malformed.iter().map(ToString::to_string).collect();
            lines.join("\n")
        })
    }

    /// Like [`RestMapping::parse`], with each mistake by itself.
    ///
    /// # Errors
    ///
    /// Everything that is malformed.
    pub fn check(value: &Value) -> Result<Self, Vec<Malformed>> {
        let mut malformed = Vec::new();
        let mut wrong = |pointer: &str, message: &str, help: &str| {
            malformed.push(Malformed {
                pointer: pointer.to_owned(),
                message: message.to_owned(),
                help: help.to_owned(),
            });
        };
        let path = value.get("path").and_then(Value::as_str);
        if path.is_none() {
            wrong("/path", "`path` must be a text", "write the path of the request, such as `path: /me`");
        }
        let method = value.get("method").and_then(Value::as_str).and_then(method);
        if method.is_none() {
            let help = "write one of get, post, put, patch and delete";
            wrong("/method", "`method` must be an HTTP method", help);
        }
        let mut mapping = |key: &str| {
            let expression = value.get(key).filter(|expression| !expression.is_null())?;
            match Mapping::parse(expression.clone()) {
                Ok(mapping) => Some(mapping),
                Err(inside) => {
                    malformed.extend(
                        inside.into_iter().map(|each| Malformed { pointer: format!("/{key}{}", each.pointer), ..each }),
                    );
                    None
                }
            }
        };
        let (request_mapping, response_mapping) = (mapping("requestMapping"), mapping("responseMapping"));
        match (path, method) {
            (Some(path), Some(method)) if malformed.is_empty() => {
                Ok(Self { path: path.to_owned(), method, request_mapping, response_mapping })
            }
            _ => Err(malformed),
        }
    }

    /// Builds the request: the path with its parameters, the client's base URI, headers, query and credentials, and
    /// over them those of the request mapping. `data` goes as JSON, or as a form if a header says so.
    ///
    /// # Errors
    ///
    /// See [`RestError`].
    pub fn build_request(&self, client: &ApiClient, variables: &Value) -> Result<Request<Vec<u8>>, RestError> {
        let parts = self.request_mapping.as_ref().and_then(|mapping| mapping.evaluate(variables));
        let part = |name: &'static str| {
            texts(parts.as_ref().and_then(|parts| parts.get(name))).ok_or(RestError::NotAnObject(name))
        };
        let path = fill(&self.path, &part("pathParameters")?)?;
        let url = address(client, &path, part("query")?)?;
        let mut headers = header_map(client, part("headers")?)?;
        let data = parts.as_ref().and_then(|parts| parts.get("data"));
        let body = data.map(|data| encode(data, &mut headers)).unwrap_or_default();
        let mut request =
            Request::builder().method(&self.method).uri(url.as_str()).body(body).map_err(|_| RestError::InvalidUrl)?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// The result of the request; `None` is undefined. The response mapping sees `response.data`, `.headers`
    /// (names in lower case), `.statusCode` and `.status` besides the variables.
    ///
    /// # Errors
    ///
    /// A status outside 200 to 299, see [`ResponseError`].
    pub fn read_response(&self, variables: &Value, response: &ApiResponse) -> Result<Option<Value>, ResponseError> {
        response.success()?;
        let Some(mapping) = &self.response_mapping else { return Ok(Some(response.data.clone())) };
        let mut variables = variables.as_object().cloned().unwrap_or_default();
        variables.insert("response".to_owned(), response.variables());
        Ok(mapping.evaluate(&Value::Object(variables)))
    }
}

/// Whether a `test` passed: any 2xx does, unless a response mapping says otherwise by a falsy result.
pub fn test_passed(result: Option<&Value>, has_response_mapping: bool) -> bool {
    !has_response_mapping || js::truthy(result)
}

impl ApiResponse {
    /// Reads a body: JSON if it parses, else text.
    pub fn new(status: u16, headers: Vec<(String, String)>, body: &[u8]) -> Self {
        let data =
            serde_json::from_slice(body).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(body).into_owned()));
        Self { status, headers, data }
    }

    /// The status policy that every call shares.
    ///
    /// # Errors
    ///
    /// A status outside 200 to 299.
    pub fn success(&self) -> Result<(), ResponseError> {
        match self.status {
            200..=299 => Ok(()),
            401 => Err(ResponseError::AccessTokenExpired),
            429 => Err(ResponseError::RateLimitExceeded { retry_after: self.retry_after() }),
            status => Err(ResponseError::Connection { status }),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        let (_, value) = self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after"))?;
        value.trim().parse().ok().map(Duration::from_secs)
    }

    fn variables(&self) -> Value {
        let mut headers: Map<String, Value> = Map::new();
        for (name, value) in &self.headers {
            match headers.entry(name.to_ascii_lowercase()).or_insert(Value::Null) {
                Value::String(earlier) => *earlier = format!("{earlier}, {value}"),
                first => *first = Value::from(value.as_str()),
            }
        }
        serde_json::json!({"data": self.data, "headers": headers, "statusCode": self.status, "status": self.status})
    }
}

impl std::fmt::Debug for ApiResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiResponse").field("status", &self.status).finish_non_exhaustive()
    }
}

fn method(name: &str) -> Option<Method> {
    let method = Method::from_bytes(name.to_ascii_uppercase().as_bytes()).ok()?;
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(&method).then_some(method)
}

/// What JavaScript's `encodeURIComponent` leaves alone.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// Puts the encoded parameters into the placeholders of a path.
fn fill(path: &str, parameters: &[(String, String)]) -> Result<String, RestError> {
    let mut filled = String::new();
    let mut rest = path;
    // The last placeholder in the segment that is being written.
    let mut last: Option<&str> = None;
    while let Some(at) = rest.find(['{', '/', '?']) {
        filled.push_str(&rest[..at]);
        let from = &rest[at..];
        let placeholder = from.strip_prefix('{').and_then(|inside| inside.split_once('}'));
        if let Some((name, after)) = placeholder {
            let (_, value) = parameters
                .iter()
                .find(|(key, _)| key == name)
                .ok_or_else(|| RestError::MissingPathParameter(name.to_owned()))?;
            filled.extend(utf8_percent_encode(value, COMPONENT));
            last = Some(name);
            rest = after;
        } else {
            if !from.starts_with('{') {
                check_segment(&filled, last.take())?;
            }
            filled.push_str(&from[..1]);
            rest = &from[1..];
        }
    }
    filled.push_str(rest);
    check_segment(&filled, last)?;
    Ok(filled)
}

/// The URL parser takes `.` and `..` for steps within the path, encoded or not, so that encoding is no help here.
fn check_segment(filled: &str, placeholder: Option<&str>) -> Result<(), RestError> {
    let segment = filled.rsplit('/').next().unwrap_or_default();
    let decoded = segment.to_ascii_lowercase().replace("%2e", ".");
    match placeholder {
        Some(name) if decoded == "." || decoded == ".." => Err(RestError::UnsafePathParameter(name.to_owned())),
        _ => Ok(()),
    }
}

/// The URL: an absolute path as it is, any other under the base URI; then the queries of both, the client's and the
/// request's. Where the last two share a name, the request's counts.
fn address(client: &ApiClient, path: &str, query: Vec<(String, String)>) -> Result<Url, RestError> {
    let is_absolute = ["http://", "https://"]
        .iter()
        .any(|scheme| path.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let mut url = if is_absolute {
        parse_url(path)?
    } else {
        let base = parse_url(client.base_uri.as_deref().ok_or(RestError::NoBaseUri)?)?;
        let (path, path_query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let base_query = base.query().map(str::to_owned);
        let mut url = base;
        if !path.is_empty() {
            let joined = format!("{}/{}", url.path().trim_end_matches('/'), path.trim_start_matches('/'));
            url.set_path(&joined);
        }
        let queries: Vec<&str> =
            base_query.as_deref().into_iter().chain(path_query).filter(|query| !query.is_empty()).collect();
        url.set_query((!queries.is_empty()).then(|| queries.join("&")).as_deref());
        url
    };
    url.set_fragment(None);
    let of_client = client.query.iter().filter(|(name, _)| !query.iter().any(|(other, _)| other == name));
    let added: Vec<&(String, String)> = of_client.chain(&query).collect();
    if !added.is_empty() {
        url.query_pairs_mut().extend_pairs(added.into_iter().map(|(name, value)| (name, value)));
    }
    Ok(url)
}

fn parse_url(text: &str) -> Result<Url, RestError> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none())
        .ok_or(RestError::InvalidUrl)
}

/// The client's headers, over them the request's, and over both the client's Basic credentials.
fn header_map(client: &ApiClient, headers: Vec<(String, String)>) -> Result<HeaderMap, RestError> {
    let mut map = HeaderMap::new();
    for (name, value) in client.headers.iter().chain(&headers) {
        let invalid = || RestError::InvalidHeader(name.clone());
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        map.insert(header, secret_value(value).ok_or_else(invalid)?);
    }
    if let Some(auth) = &client.auth {
        let pair = format!("{}:{}", auth.username, auth.password);
        let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        let value = secret_value(&basic).ok_or_else(|| RestError::InvalidHeader(AUTHORIZATION.to_string()))?;
        map.insert(AUTHORIZATION, value);
    }
    Ok(map)
}

/// A header value that `Debug` does not print; `None` if it has a line break or another control character.
fn secret_value(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The body as the content type asks for it. A text under a type that is not JSON is sent as it is.
fn encode(data: &Value, headers: &mut HeaderMap) -> Vec<u8> {
    let declared =
        headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase());
    let is_form = declared.as_deref().is_some_and(|given| given.starts_with("application/x-www-form-urlencoded"));
    let is_json = declared.as_deref().is_none_or(|given| given.contains("json"));
    match data {
        Value::String(text) if !is_json => text.clone().into_bytes(),
        Value::Object(_) if is_form => form_urlencoded::Serializer::new(String::new())
            .extend_pairs(texts(Some(data)).unwrap_or_default())
            .finish()
            .into_bytes(),
        _ => {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
            data.to_string().into_bytes()
        }
    }
}

#[cfg(test)]
mod tests;
