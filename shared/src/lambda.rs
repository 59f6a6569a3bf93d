//! How a function meets the Lambda runtime: logging, and the adapter for HTTP functions.

use std::sync::Arc;

use bytes::Bytes;
use http::Uri;
use http::uri::PathAndQuery;
use lambda_http::{Body, RequestExt as _, service_fn};
use tracing_subscriber::EnvFilter;

use crate::http::Handler;

/// Starts JSON logging to stdout at the level that `RUST_LOG` gives, `info` by default.
///
/// Lambda stamps every line itself, so ours carry no time.
pub fn init_logging() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).without_time().init();
}

/// Serves API Gateway (payload 2.0) events with a handler until the runtime ends.
///
/// # Errors
/// When the Lambda Runtime API cannot be reached.
pub async fn serve(handler: Arc<dyn Handler>) -> Result<(), lambda_http::Error> {
    lambda_http::run(service_fn(move |request: lambda_http::Request| {
        let handler = Arc::clone(&handler);
        async move {
            let request = with_whole_path(request).map(|body| match body {
                Body::Text(text) => Bytes::from(text),
                Body::Binary(bytes) => Bytes::from(bytes),
                _ => Bytes::new(),
            });
            Ok::<_, std::convert::Infallible>(handler.handle(request).await)
        }
    }))
    .await
}

/// HTTP APIs decode the path, and in a URI a decoded `#` or `?` is the end of it: `/connections/a%23b` would be the
/// connection `a`. Nothing that has such a path has a query.
fn with_whole_path(mut request: lambda_http::Request) -> lambda_http::Request {
    let path = request.raw_http_path();
    if path.contains(['#', '?']) {
        let encoded = path.bytes().map(|byte| match byte {
            b'/' | b'%' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        });
        let path = PathAndQuery::try_from(encoded.collect::<String>()).expect("nothing but what a path may have");
        *request.uri_mut() = Uri::from(path);
    }
    request
}

#[cfg(test)]
mod tests {
    use super::with_whole_path;

    fn path_of(raw: &str) -> String {
        let event = serde_json::json!({
            "version": "2.0", "routeKey": "GET /connections/{id}", "rawPath": raw, "rawQueryString": "", "isBase64Encoded": false,
            "headers": {"host": "larder.example"},
            "requestContext": {"stage": "$default", "http": {"method": "GET", "path": raw}},
        });
        let request = lambda_http::request::from_str(&event.to_string()).expect("an event");
        with_whole_path(request).uri().path().to_owned()
    }

    #[test]
    fn a_decoded_path_does_not_end_early() {
        assert_eq!(path_of("/connections/a#b"), "/connections/a%23b");
        assert_eq!(path_of("/connections/ä b?c%25d/test"), "/connections/%C3%A4%20b%3Fc%25d/test");
        assert_eq!(path_of("/connections/a%23b"), "/connections/a%23b");
        assert_eq!(path_of("/connections/ä b"), "/connections/%C3%A4%20b");
    }
}
