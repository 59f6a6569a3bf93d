//! Reads the headers in which browsers, and no scripts, say where a request comes from.

use http::{HeaderMap, HeaderValue, header};
use larder::http::{Request, host};

use super::Origin;

/// Whether a browser names an origin of ours.
pub fn is_own_origin(request: &Request, base_uri: &str) -> bool {
    let origin = request.headers().get(header::ORIGIN).and_then(|value| value.to_str().ok());
    let Some(origin) = origin else { return false };
    let is_ours = Origin::of_redirect_uri(base_uri).is_ok_and(|ours| ours.to_string() == origin);
    // The browser may know us by another name, such as `localhost`.
    let is_host = origin.split_once("://").is_some_and(|(_, authority)| host(request) == Some(authority));
    is_ours || is_host
}

/// Whether a browser opens the page in a window of its own, because of its user.
pub fn is_navigation(headers: &HeaderMap) -> bool {
    let is = |name, value: &str| headers.get(name).is_some_and(|it: &HeaderValue| it == value);
    is("sec-fetch-mode", "navigate") && (headers.get("sec-fetch-dest").is_none() || is("sec-fetch-dest", "document"))
}
