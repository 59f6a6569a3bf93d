//! One request to an application's API, before its connection's settings are put to it.

use base64::Engine as _;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request};
use serde_json::Value;
use url::Url;

use super::api_client::{ApiClient, BasicAuth, basic_auth, texts};

/// A request to an API. What it leaves open comes from the [`ApiClient`].
#[derive(Clone, Default)]
pub struct ApiRequest {
    /// The method.
    pub method: Method,
    /// Appended to the base URI, unless it is absolute. May have a query.
    pub path: String,
    /// Query parameters; of the same name they count instead of the client's.
    pub query: Vec<(String, String)>,
    /// Headers; of the same name they count instead of the client's.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<ApiBody>,
    /// Instead of the client's.
    pub base_uri: Option<String>,
    /// Instead of the client's.
    pub auth: Option<BasicAuth>,
}

/// What is sent.
#[derive(Clone)]
pub enum ApiBody {
    /// As JSON, or as a form if the content type says so.
    Data(Value),
    /// As it is.
    Bytes(Vec<u8>),
}

/// Headers of one request. A server takes some hundred, and `HeaderMap` panics with too many.
const MAX_HEADERS: usize = 1000;

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
    /// The path of the base URI has a segment that changes which path it is.
    #[error("the path of `baseUri` must not have a segment `.` or `..`")]
    UnsafeBaseUri,
    /// Another host than that of the URL would be asked for.
    #[error("the header `Host` follows from the URL and cannot be set")]
    HostHeader,
    /// A header's name is malformed, or its value would break the header, for instance by a line break.
    #[error("the header {0:?} has a malformed name or value")]
    InvalidHeader(String),
    /// It and the API client have too many headers.
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
    /// Reads `{path | url, method, query | params, headers, data | dataBase64, baseUri, auth}`.
    ///
    /// # Errors
    ///
    /// What has the wrong type.
    pub fn from_value(value: &Value) -> Result<Self, RestError> {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let pairs = |name: &'static str, keys: [&str; 2]| {
            let given = keys.iter().find_map(|key| value.get(key).filter(|value| !value.is_null()));
            texts(given).ok_or(RestError::NotAnObject(name))
        };
        let bytes = text("dataBase64").and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
        let data = value.get("data").filter(|data| !data.is_null());
        Ok(Self {
            method: text("method").map_or(Some(Method::GET), any_method).ok_or(RestError::InvalidMethod)?,
            path: text("path").or(text("url")).unwrap_or_default().to_owned(),
            query: pairs("query", ["query", "params"])?,
            headers: pairs("headers", ["headers", "headers"])?,
            body: bytes.map(ApiBody::Bytes).or_else(|| data.cloned().map(ApiBody::Data)),
            base_uri: text("baseUri").or(text("baseUrl")).map(str::to_owned),
            auth: basic_auth(value).map_err(|_| RestError::NotAnObject("auth"))?,
        })
    }

    /// The request, with the client's base URI, headers, query and credentials under its own.
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

    /// The URL: an absolute path as it is, any other under the base URI; then the queries of both, the client's and the
    /// request's. Where the last two share a name, the request's counts.
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

    /// The client's headers, over them the request's, and over both the client's Basic credentials.
    fn header_map(&self, client: &ApiClient) -> Result<HeaderMap, RestError> {
        if client.headers.len() + self.headers.len() > MAX_HEADERS {
            return Err(RestError::TooManyHeaders);
        }
        let mut map = HeaderMap::new();
        for (name, value) in client.headers.iter().chain(&self.headers) {
            let invalid = || RestError::InvalidHeader(name.clone());
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
            if header == HOST {
                return Err(RestError::HostHeader);
            }
            map.insert(header, secret_value(value).ok_or_else(invalid)?);
        }
        if let Some(auth) = self.auth.as_ref().or(client.auth.as_ref()) {
            let pair = format!("{}:{}", auth.username, auth.password);
            let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
            let value = secret_value(&basic).ok_or_else(|| RestError::InvalidHeader(AUTHORIZATION.to_string()))?;
            map.insert(AUTHORIZATION, value);
        }
        Ok(map)
    }
}

/// Its method and path only: everything else may hold a secret.
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
        .ok_or(RestError::InvalidUrl)
}

/// Whether parsing the URL would drop segments of its path, and so lead elsewhere than its beginning says: what is in it may
/// have been entered.
fn has_dot_segment(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let segments = path.split(['/', '\\']).map(|segment| segment.to_ascii_lowercase().replace("%2e", "."));
    segments.into_iter().any(|segment| matches!(segment.trim(), "." | ".."))
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
