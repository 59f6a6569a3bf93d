//! A request to a provider's API, before its connection's settings are applied.

use base64::Engine as _;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request};
use serde_json::Value;
use url::Url;

use super::api_client::{ApiClient, BasicAuth, basic_auth, string_entries};

/// A request to an API. The [`ApiClient`] supplies everything it leaves out.
#[derive(Clone, Default)]
pub struct ApiRequest {
    /// The method.
    pub method: Method,
    /// The path, appended to the base URI unless it is absolute. May include a query.
    pub path: String,
    /// Query parameters; they override the client's.
    pub query: Vec<(String, String)>,
    /// Headers; they override the client's.
    pub headers: Vec<(String, String)>,
    /// The client's headers that are not sent.
    pub omitted_headers: Vec<String>,
    /// The body.
    pub body: Option<ApiBody>,
    /// A base URI that overrides the client's.
    pub base_uri: Option<String>,
    /// Basic credentials that override the client's.
    pub auth: Option<BasicAuth>,
}

/// A request body.
#[derive(Clone)]
pub enum ApiBody {
    /// Data, sent as JSON, or as a form if the content type says so.
    Data(Value),
    /// Raw bytes.
    Bytes(Vec<u8>),
}

/// The maximum number of headers. Servers accept about a hundred, and `HeaderMap` panics if there are too many.
const MAX_HEADERS: usize = 1000;

/// An error that prevents a request from being built. Contains names, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestError {
    /// The path is relative, but the API client has no base URI.
    #[error("the path is relative, but the API client has no `baseUri`")]
    NoBaseUri,
    /// A variable in the API client's base URI has no value.
    #[error("`{0}` has no value, but the `baseUri` of the API client needs it")]
    MissingInBaseUri(String),
    /// The base URI and path don't form an `http` or `https` URL with a complete host, or it contains a user name.
    #[error("`baseUri` and `path` must form an http or https URL without a user name")]
    InvalidUrl,
    /// A placeholder in the path has no value.
    #[error("the path parameter `{0}` has no value")]
    MissingPathParameter(String),
    /// A placeholder's value would turn a path segment into `.` or `..`, and so lead to a different path.
    #[error("the path parameter `{0}` must not be `.` or `..`")]
    UnsafePathParameter(String),
    /// The base URI's path contains a segment that would lead to a different path.
    #[error("the path of `baseUri` must not contain `.` or `..` segments")]
    UnsafeBaseUri,
    /// The `Host` header would override the URL's host.
    #[error("the `Host` header is derived from the URL and cannot be set")]
    HostHeader,
    /// A header's name is invalid, or its value contains a line break or another invalid character.
    #[error("the header {0:?} has an invalid name or value")]
    InvalidHeader(String),
    /// The request and the API client together have too many headers.
    #[error("the request has more than {MAX_HEADERS} headers")]
    TooManyHeaders,
    /// A part of the request has the wrong type.
    #[error("`{0}` of the request must be an object")]
    NotAnObject(&'static str),
    /// The method is not one of GET, POST, PUT, PATCH, DELETE, HEAD and OPTIONS.
    #[error("the method must be one of GET, POST, PUT, PATCH, DELETE, HEAD and OPTIONS")]
    InvalidMethod,
}

impl ApiRequest {
    /// Parses `{path | url, method, query | params, headers, data | dataBase64, baseUri, auth}`.
    ///
    /// # Errors
    ///
    /// When a part has the wrong type.
    pub fn from_value(value: &Value) -> Result<Self, RestError> {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let pairs = |name: &'static str, keys: [&str; 2]| {
            let given = keys.iter().find_map(|key| value.get(key).filter(|value| !value.is_null()));
            string_entries(given).ok_or(RestError::NotAnObject(name))
        };
        let bytes = text("dataBase64").and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
        let data = value.get("data").filter(|data| !data.is_null());
        Ok(Self {
            method: text("method").map_or(Some(Method::GET), any_method).ok_or(RestError::InvalidMethod)?,
            path: text("path").or(text("url")).unwrap_or_default().to_owned(),
            query: pairs("query", ["query", "params"])?,
            headers: pairs("headers", ["headers", "headers"])?,
            omitted_headers: Vec::new(),
            body: bytes.map(ApiBody::Bytes).or_else(|| data.cloned().map(ApiBody::Data)),
            base_uri: text("baseUri").or(text("baseUrl")).map(str::to_owned),
            auth: basic_auth(value).map_err(|_| RestError::NotAnObject("auth"))?,
        })
    }

    /// Builds the request, filling in the client's base URI, headers, query, and credentials.
    ///
    /// # Errors
    ///
    /// See [`RestError`].
    pub fn build(&self, client: &ApiClient) -> Result<Request<Vec<u8>>, RestError> {
        let url = self.address(client)?;
        let mut headers = self.header_map(client)?;
        let body = match &self.body {
            Some(ApiBody::Data(data)) => encode(data, &mut headers),
            Some(ApiBody::Bytes(bytes)) => bytes.clone(),
            None => Vec::new(),
        };
        let request = Request::builder().method(&self.method).uri(url.as_str()).body(body);
        let mut request = request.map_err(|_| RestError::InvalidUrl)?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// The URL: the path (under the base URI unless it is absolute) with the queries of the base URI, the path, the
    /// client, and the request. The request's parameters override the client's.
    fn address(&self, client: &ApiClient) -> Result<Url, RestError> {
        let Self { path, query, .. } = self;
        let is_absolute = ["http://", "https://"]
            .iter()
            .any(|scheme| path.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
        let mut url = if is_absolute {
            parse_url(path)?
        } else {
            let base = self.base_uri.as_ref().or(client.base_uri.as_ref()).ok_or(RestError::NoBaseUri)?;
            if has_dot_segment(base) {
                return Err(RestError::UnsafeBaseUri);
            }
            let base = parse_url(base)?;
            let (path, path_query) =
                path.split_once('?').map_or((path.as_str(), None), |(path, query)| (path, Some(query)));
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
        let added: Vec<&(String, String)> = of_client.chain(query).collect();
        if !added.is_empty() {
            url.query_pairs_mut().extend_pairs(added.into_iter().map(|(name, value)| (name, value)));
        }
        Ok(url)
    }

    /// The client's headers, overridden by the request's, overridden by the Basic credentials.
    fn header_map(&self, client: &ApiClient) -> Result<HeaderMap, RestError> {
        if client.headers.len() + self.headers.len() > MAX_HEADERS {
            return Err(RestError::TooManyHeaders);
        }
        let mut map = HeaderMap::new();
        let is_omitted = |name: &str| self.omitted_headers.iter().any(|omitted| omitted.eq_ignore_ascii_case(name));
        let of_client = client.headers.iter().filter(|(name, _)| !is_omitted(name));
        for (name, value) in of_client.chain(&self.headers) {
            let invalid = || RestError::InvalidHeader(name.clone());
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
            if header == HOST {
                return Err(RestError::HostHeader);
            }
            map.insert(header, secret_value(value).ok_or_else(invalid)?);
        }
        let of_client = client.auth.as_ref().filter(|_| !is_omitted(AUTHORIZATION.as_str()));
        if let Some(auth) = self.auth.as_ref().or(of_client) {
            let pair = format!("{}:{}", auth.username, auth.password);
            let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
            let value = secret_value(&basic).ok_or_else(|| RestError::InvalidHeader(AUTHORIZATION.to_string()))?;
            map.insert(AUTHORIZATION, value);
        }
        Ok(map)
    }
}

/// Prints only the method: everything else may contain a secret.
impl std::fmt::Debug for ApiRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiRequest").field("method", &self.method).finish_non_exhaustive()
    }
}

fn any_method(name: &str) -> Option<Method> {
    let method = Method::from_bytes(name.to_ascii_uppercase().as_bytes()).ok()?;
    let known = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD, Method::OPTIONS];
    known.contains(&method).then_some(method)
}

fn parse_url(text: &str) -> Result<Url, RestError> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none())
        // A label of the host is empty if its value is missing.
        .filter(|url| url.host_str().is_some_and(|host| !host.starts_with('.') && !host.contains("..")))
        .ok_or(RestError::InvalidUrl)
}

/// Whether parsing the URL would drop segments of its path. Parts of it may be user input, which must not lead to a path
/// other than the one the URL starts with.
fn has_dot_segment(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let segments = path.split(['/', '\\']).map(|segment| segment.to_ascii_lowercase().replace("%2e", "."));
    segments.into_iter().any(|segment| matches!(segment.trim(), "." | ".."))
}

/// A header value that `Debug` does not print; `None` if it contains a line break or another control character.
fn secret_value(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(value.as_bytes()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Encodes the body for its content type. A string whose type is not JSON is sent as is.
fn encode(data: &Value, headers: &mut HeaderMap) -> Vec<u8> {
    let declared =
        headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase());
    let is_form = declared.as_deref().is_some_and(|given| given.starts_with("application/x-www-form-urlencoded"));
    let is_json = declared.as_deref().is_none_or(|given| given.contains("json"));
    match data {
        Value::String(text) if !is_json => text.clone().into_bytes(),
        Value::Object(_) if is_form => form_urlencoded::Serializer::new(String::new())
            .extend_pairs(string_entries(Some(data)).unwrap_or_default())
            .finish()
            .into_bytes(),
        _ => {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
            data.to_string().into_bytes()
        }
    }
}
