//! Lets scripts of web pages on other origins call the JSON routes ([CORS](https://fetch.spec.whatwg.org/#http-cors-protocol)).
//!
//! # Decisions
//!
//! Every origin is allowed by default, without credentials: these routes take tokens and never cookies, so a page can do
//! nothing here that its token does not allow it anyway. The functions answer, not API Gateway (`CorsConfiguration`): it would
//! also answer for the routes that browsers open, which have cookies.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use url::Url;

use crate::error::Error;
use crate::http::{Request, Response, empty};

/// The origins whose scripts may call the JSON routes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// Every origin.
    #[default]
    Any,
    /// These, as browsers write them in `Origin`.
    Only(Vec<HeaderValue>),
}

impl AllowedOrigins {
    /// The headers of a preflight response: the methods of all routes, the headers that callers and their SDKs send, and how
    /// many seconds a browser may remember the response.
    const PREFLIGHT: [(HeaderName, HeaderValue); 3] = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE")),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("authorization, content-type, membrane-api-version, x-membrane-token"),
        ),
        (header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200")),
    ];

    /// Parses `*`, or a list of origins such as `https://app.example`, separated by commas or spaces.
    pub fn parse(text: &str) -> Option<Self> {
        let listed = || text.split([',', ' ']).filter(|origin| !origin.is_empty());
        if listed().eq(["*"]) {
            return Some(Self::Any);
        }
        let origin = |text: &str| {
            let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
            let origin = url.origin().ascii_serialization();
            // Anything more would never match what browsers send.
            let is_origin = text.trim_end_matches('/').eq_ignore_ascii_case(&origin);
            HeaderValue::try_from(origin).ok().filter(|_| is_origin)
        };
        let origins: Option<Vec<_>> = listed().map(origin).collect();
        origins.filter(|origins| !origins.is_empty()).map(Self::Only)
    }

    /// Answers a request to a JSON route: a preflight request at once, before anyone is authenticated, and any other with the
    /// result of `work`.
    pub async fn answer(&self, request: &Request, work: impl Future<Output = Result<Response, Error>>) -> Response {
        let mut response = match *request.method() {
            Method::OPTIONS => {
                let mut response = empty(StatusCode::NO_CONTENT);
                response.headers_mut().extend(Self::PREFLIGHT);
                response
            }
            _ => work.await.unwrap_or_else(Into::into),
        };
        self.allow(request.headers(), response.headers_mut());
        response
    }

    fn allow(&self, request: &HeaderMap, response: &mut HeaderMap) {
        let allowed = match self {
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::Only(origins) => {
                response.insert(header::VARY, HeaderValue::from_static("origin"));
                request.get(header::ORIGIN).filter(|origin| origins.contains(origin)).cloned()
            }
        };
        if let Some(allowed) = allowed {
            response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn request(method: Method, origin: Option<&'static str>) -> Request {
        let mut request = Request::default();
        *request.method_mut() = method;
        request.headers_mut().extend(origin.map(|origin| (header::ORIGIN, HeaderValue::from_static(origin))));
        request
    }

    async fn answered(allowed: &str, method: Method, origin: Option<&'static str>) -> Response {
        let allowed = AllowedOrigins::parse(allowed).expect("is valid");
        let unavailable = async { Err(Error::connection_unavailable("later", Duration::from_secs(7))) };
        allowed.answer(&request(method, origin), unavailable).await
    }

    fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
        response.headers().get(name).map(|value| value.to_str().expect("visible ASCII"))
    }

    #[test]
    fn a_list_has_origins_as_browsers_write_them() {
        assert_eq!(AllowedOrigins::parse("*"), Some(AllowedOrigins::Any));
        let two =
            AllowedOrigins::Only(["https://app.example", "http://localhost:3000"].map(HeaderValue::from_static).into());
        for text in ["https://app.example,http://localhost:3000", " https://APP.example/ , http://localhost:3000"] {
            assert_eq!(AllowedOrigins::parse(text), Some(two.clone()), "{text}");
        }
        for text in ["", ",", "app.example", "https://app.example/a", "https://a.example, *", "null", "ftp://a.example"]
        {
            assert_eq!(AllowedOrigins::parse(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn a_preflight_request_is_answered_without_any_work() {
        for (allowed, origin, expected) in [
            ("*", Some("https://app.example"), Some("*")),
            ("*", None, Some("*")),
            ("https://app.example", Some("https://app.example"), Some("https://app.example")),
            ("https://app.example", Some("https://evil.example"), None),
            ("https://app.example", None, None),
        ] {
            let response = answered(allowed, Method::OPTIONS, origin).await;
            assert_eq!((response.status(), response.body().as_str()), (StatusCode::NO_CONTENT, ""));
            assert_eq!(header(&response, "access-control-allow-origin"), expected, "{allowed} {origin:?}");
            let headers = header(&response, "access-control-allow-headers").expect("a list");
            assert!(headers.contains("authorization") && headers.contains("membrane-api-version"), "{headers}");
            assert!(header(&response, "access-control-allow-methods").is_some_and(|it| it.contains("PATCH")));
            assert!(header(&response, "access-control-allow-credentials").is_none());
        }
    }

    #[tokio::test]
    async fn scripts_of_allowed_origins_can_read_errors_and_when_to_retry() {
        let response = answered("*", Method::GET, Some("https://app.example")).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        let read = ["access-control-allow-origin", "access-control-expose-headers", "retry-after", "vary"];
        assert_eq!(read.map(|name| header(&response, name)), [Some("*"), Some("retry-after"), Some("7"), None]);
        let response = answered("https://app.example", Method::GET, Some("https://evil.example")).await;
        assert_eq!(read.map(|name| header(&response, name)), [None, None, Some("7"), Some("origin")]);
    }
}
