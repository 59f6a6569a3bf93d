//! `GET /connect.js`: the JavaScript module with which applications connect accounts from their own pages.
//!
//! # Decisions
//!
//! The URL has no version, so that applications can write it down. Browsers ask again after an hour, and get the module only if
//! it has changed (`ETag`).

use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use larder::digest::sha256_base64url;
use larder::http::{Response, empty, respond};

const MODULE: &str = include_str!("connect.js");
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=3600");
static ETAG: LazyLock<String> = LazyLock::new(|| format!("\"{}\"", sha256_base64url(MODULE)));

/// Returns the module, or 304 if the browser has it already.
pub(crate) fn response(request: &HeaderMap) -> Response {
    let mut response = match is_known(request) {
        true => empty(StatusCode::NOT_MODIFIED),
        false => respond(StatusCode::OK, "text/javascript; charset=utf-8", MODULE.to_owned()),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, CACHE_CONTROL);
    if let Ok(etag) = HeaderValue::from_str(&ETAG) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// Whether `If-None-Match` names this module. Proxies that compress it weaken its tag (RFC 9110 §13.1.2).
fn is_known(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim).any(|tag| tag.trim_start_matches("W/") == *ETAG)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn the_module_is_small_and_loads_nothing() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(MODULE.as_bytes()).expect("it is in memory");
        let size = gzip.finish().expect("it is in memory").len();
        assert!(size <= 4096, "{size} bytes");
        assert!(!MODULE.contains("\nimport "), "it has no dependencies");
    }

    #[test]
    fn browsers_that_have_the_module_get_no_body() {
        let get = |tags: &str| {
            let headers =
                HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_str(tags).expect("visible"))]);
            response(&headers)
        };
        let known = [ETAG.clone(), format!("W/{}", *ETAG), format!("\"other\", {}", *ETAG)];
        for (tags, status) in known.iter().map(|it| (it.as_str(), 304)).chain([("\"other\"", 200), ("", 200)]) {
            let response = get(tags);
            assert_eq!((response.status().as_u16(), response.body().is_empty()), (status, status == 304), "{tags}");
            assert_eq!(response.headers()[header::CACHE_CONTROL], "public, max-age=3600");
            assert_eq!(response.headers()[header::ETAG], ETAG.as_str());
        }
    }
}
