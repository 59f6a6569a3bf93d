//! Requests and responses as the functions see them, independent of the transport.

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, ErrorClass};

/// A request with its whole body.
pub type Request = http::Request<Bytes>;

/// A response. Larder's bodies are always text.
pub type Response = http::Response<String>;

/// One function of the bundle. It turns errors into responses itself.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Handles one request.
    async fn handle(&self, request: Request) -> Response;
}

/// Returns the status code of an error.
pub fn status_of(error: &Error) -> StatusCode {
    StatusCode::from_u16(error.class.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Adds an error to a response, for the log.
pub fn noted(mut response: Response, error: &Error) -> Response {
    response.extensions_mut().insert(error.summary());
    response
}

impl From<Error> for Response {
    fn from(error: Error) -> Self {
        let mut response = noted(json(status_of(&error), &error), &error);
        let headers = response.headers_mut();
        if let Some(wait) = error.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        if let Some(methods) = error.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(methods));
        }
        if error.class == ErrorClass::NotAuthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Returns a response with a JSON body that is not cached.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let body = serde_json::to_string(body).expect("our response types serialize");
    raw_json(status, body)
}

/// Returns a response whose body is already JSON.
pub fn raw_json(status: StatusCode, body: String) -> Response {
    respond(status, "application/json", body)
}

/// Returns a response without a body.
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(String::new());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Redirects the browser without a `Referer` header.
pub fn redirect(location: &str) -> Response {
    let mut response = empty(StatusCode::FOUND);
    let Ok(location) = HeaderValue::from_str(location) else {
        return Error::internal("a redirect target is not a valid header value").into();
    };
    response.headers_mut().insert(header::LOCATION, location);
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Returns a response with a body of the given type that is neither cached nor sniffed.
pub fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut response = empty(status);
    *response.body_mut() = body;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Parses a request's body, which must be a JSON object.
///
/// # Errors
/// 400 with the position of the mistake.
pub fn read_json<T: DeserializeOwned>(request: &Request) -> Result<T, Error> {
    // Serde also accepts a struct's members as an array.
    if !request.body().trim_ascii_start().starts_with(b"{") {
        return Err(Error::bad_request("the request body is not a JSON object"));
    }
    serde_json::from_slice(request.body())
        .map_err(|error| bad_json("the request body does not have the expected form", &error))
}

/// Reads a member whose `null` is a value, unlike serde's own `Option`, so that it is not taken for a missing one.
///
/// # Errors
/// Those of the value.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// 400: `what`, and the position of the mistake in the JSON.
pub fn bad_json(what: &str, error: &serde_json::Error) -> Error {
    Error::bad_request(format!("{what}: {}", json_problem(error)))
}

/// Describes what is wrong with JSON, but omits the wrong value: it may be a secret in the wrong place.
fn json_problem(error: &serde_json::Error) -> String {
    let problem = error.to_string();
    match problem.rsplit_once(", expected ") {
        Some((found, expected)) if found.starts_with("invalid ") => format!("expected {expected}"),
        _ => problem,
    }
}

/// Whether `Content-Type` declares the body to be a form.
pub fn is_form(headers: &HeaderMap) -> bool {
    has_media_type(headers, "application/x-www-form-urlencoded")
}

/// Whether `Content-Type` declares the body to be JSON.
pub fn is_json(headers: &HeaderMap) -> bool {
    has_media_type(headers, "application/json")
}

/// Whether `Content-Type` has this media type; its case does not matter (RFC 9110 §8.3.1).
fn has_media_type(headers: &HeaderMap, media_type: &str) -> bool {
    let declared = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let name = declared.and_then(|declared| declared.split(';').next());
    name.is_some_and(|name| name.trim().eq_ignore_ascii_case(media_type))
}

/// The parameters of a query string or a form, in order (WHATWG URL, `application/x-www-form-urlencoded`).
#[derive(Debug, Default, Clone)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Parses a request's query string.
    pub fn of_query(request: &Request) -> Self {
        Self::parse(request.uri().query().unwrap_or_default().as_bytes())
    }

    /// Parses form-encoded bytes. Invalid percent-encodings become U+FFFD, as in a browser.
    pub fn parse(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// Returns the value of a parameter that may occur once.
    ///
    /// # Errors
    /// 400 if it occurs more than once.
    pub fn optional(&self, name: &str) -> Result<Option<&str>, Error> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() {
            return Err(Error::bad_request(format!("the parameter `{name}` is given more than once; send it once")));
        }
        Ok(first)
    }

    /// Returns the value of a parameter that must occur exactly once and not be empty.
    ///
    /// # Errors
    /// 400 if it is missing or empty, or occurs more than once.
    pub fn required(&self, name: &str) -> Result<&str, Error> {
        self.optional(name)?
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Error::bad_request(format!("the query parameter `{name}` is missing; add `?{name}=…`")))
    }

    /// Iterates over all names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Whether a browser fetches the page speculatively, before anyone opens it.
///
/// `Sec-Purpose` comes from the Fetch standard, `Purpose` from older Chromium, `X-Purpose` from Safari, `X-Moz` from
/// Firefox.
pub fn is_prefetch(headers: &HeaderMap) -> bool {
    let purposes = ["sec-purpose", "purpose", "x-purpose", "x-moz"].into_iter().filter_map(|name| headers.get(name));
    let words = purposes.filter_map(|purpose| purpose.to_str().ok()).flat_map(|purpose| purpose.split([';', ',']));
    words
        .map(|word| word.trim().to_ascii_lowercase())
        .any(|word| matches!(&*word, "prefetch" | "prerender" | "preview"))
}

/// Returns the requested host, with its port if there is one.
pub fn host(request: &Request) -> Option<&str> {
    let header = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    header.or_else(|| request.uri().authority().map(http::uri::Authority::as_str))
}

/// Returns the value of the first cookie with this name (RFC 6265 §4.2.1).
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::{Parameters, cookie, is_prefetch, json_problem};

    #[test]
    fn a_repeated_parameter_is_rejected_only_if_it_is_read() {
        let parameters = Parameters::parse(b"x=1&connectionId=a&x=2");
        assert_eq!(parameters.required("connectionId").expect("given once"), "a");
        assert!(parameters.optional("x").is_err());
        assert!(parameters.required("y").is_err());
    }

    #[test]
    fn invalid_percent_encodings_do_not_panic() {
        assert_eq!(Parameters::parse(b"a=%zz%ff%").optional("a").expect("once"), Some("%zz\u{fffd}%"));
    }

    #[test]
    fn json_errors_do_not_repeat_the_wrong_value() {
        let problem = |json: &str| json_problem(&serde_json::from_str::<Vec<u8>>(json).expect_err("is invalid"));
        assert_eq!(problem("\"a, expected secret\""), "expected a sequence at line 1 column 20");
        assert_eq!(problem("[-7]"), "expected u8 at line 1 column 3");
        assert_eq!(problem("[1"), "EOF while parsing a list at line 1 column 2");
    }

    #[test]
    fn prefetches_of_every_browser_are_recognized() {
        let is_prefetch = |name: &'static str, value: &str| {
            is_prefetch(&[(name.parse().expect("a name"), value.parse().expect("a value"))].into_iter().collect())
        };
        assert!(is_prefetch("sec-purpose", "prefetch"));
        assert!(is_prefetch("sec-purpose", "prefetch;prerender"));
        assert!(is_prefetch("sec-purpose", "prefetch; anonymous-client-ip"));
        assert!(is_prefetch("purpose", "Prefetch"));
        assert!(is_prefetch("x-purpose", "preview"));
        assert!(is_prefetch("x-moz", "prefetch"));
        assert!(!is_prefetch("sec-purpose", "navigate"));
        assert!(!is_prefetch("sec-fetch-mode", "prefetch"));
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = http::HeaderMap::new();
        headers.insert("cookie", "a=1; b=two; c=3".parse().expect("a header"));
        assert_eq!(cookie(&headers, "b"), Some("two"));
        assert_eq!(cookie(&headers, "d"), None);
    }
}
