//! `GET /openapi.json`: the HTTP interface for programs, as an [OpenAPI](https://spec.openapis.org/oas/v3.1.1.html) document.
//!
//! # Decisions
//!
//! People write the document as JSON, the form in which it is served, so nothing converts it, neither here nor in a build.

use http::{HeaderValue, StatusCode, header};
use larder::http::{Response, raw_json};

const DOCUMENT: &str = include_str!("../openapi.json");
/// The base URI in the document.
const BASE_URI: &str = "http://127.0.0.1:9000";
/// A new version of Larder is seen within five minutes.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// Returns the document with this Larder's own base URI.
pub(crate) fn response(base_uri: &str) -> Response {
    let mut response = raw_json(StatusCode::OK, DOCUMENT.replace(BASE_URI, base_uri));
    response.headers_mut().insert(header::CACHE_CONTROL, CACHE_CONTROL);
    response
}
