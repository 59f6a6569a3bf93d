//! How a function meets the Lambda runtime: logging, and the adapter for HTTP functions.

use std::sync::Arc;

use bytes::Bytes;
use lambda_http::{Body, service_fn};
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
            let request = request.map(|body| match body {
                Body::Text(text) => Bytes::from(text),
                Body::Binary(bytes) => Bytes::from(bytes),
                _ => Bytes::new(),
            });
            Ok::<_, std::convert::Infallible>(handler.handle(request).await)
        }
    }))
    .await
}
