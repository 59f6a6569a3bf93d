//! How a function meets the Lambda runtime: logging, and the adapters for HTTP functions and for those that take events.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::Uri;
use http::uri::PathAndQuery;
use lambda_http::{Body, Context, LambdaEvent, RequestExt as _, lambda_runtime, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::error::Error;
use crate::http::Handler;
use crate::invocation::Invocation;

/// Starts logging to stdout, one JSON object in a line.
///
/// `RUST_LOG` says what is logged; without it, `AWS_LAMBDA_LOG_LEVEL`, which Lambda sets where the function is configured
/// with a level for its log; else it is `info`. Lines have `timestamp` and `level` as Lambda's
/// [filter](https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html) wants them.
pub fn init_logging() {
    let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
    subscriber(&directives(set("RUST_LOG"), set("AWS_LAMBDA_LOG_LEVEL")), std::io::stdout).init();
}

/// Serves API Gateway (payload 2.0) events with a handler until the runtime ends. Each leaves a line in the log.
///
/// # Errors
/// When the Lambda Runtime API cannot be reached.
pub async fn serve(handler: Arc<dyn Handler>) -> Result<(), lambda_http::Error> {
    let start = ColdStart::default();
    lambda_http::run(service_fn(move |request: lambda_http::Request| {
        let handler = Arc::clone(&handler);
        let method = Some(request.method().clone());
        let invocation = Invocation { method, ..invocation(request.lambda_context_ref(), &start) };
        async move {
            let request = with_whole_path(request).map(|body| match body {
                Body::Text(text) => Bytes::from(text),
                Body::Binary(bytes) => Bytes::from(bytes),
                _ => Bytes::new(),
            });
            Ok::<_, std::convert::Infallible>(invocation.answer(handler.handle(request)).await)
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

/// Serves events until the runtime ends. Each leaves a line in the log.
///
/// # Errors
/// When the Lambda Runtime API cannot be reached.
pub async fn serve_events<E, A>(handle: impl AsyncFn(E) -> Result<A, Error>) -> Result<(), lambda_http::Error>
where
    E: DeserializeOwned,
    A: Serialize,
{
    let (handle, start) = (&handle, &ColdStart::default());
    lambda_runtime::run(service_fn(async |event: LambdaEvent<E>| {
        let invocation = invocation(Some(&event.context), start);
        // Boxed, so that the types of futures do not nest deeper than the compiler looks.
        invocation.handle(Box::pin(handle(event.payload))).await.map_err(lambda_http::Error::from)
    }))
    .await
}

/// Whether an invocation is yet to come.
struct ColdStart(AtomicBool);

impl Default for ColdStart {
    fn default() -> Self {
        Self(AtomicBool::new(true))
    }
}

fn invocation(context: Option<&Context>, start: &ColdStart) -> Invocation {
    let is_cold_start = Some(start.0.swap(false, Ordering::Relaxed));
    let Some(context) = context else { return Invocation { is_cold_start, ..Invocation::default() } };
    Invocation {
        function: context.env_config.function_name.clone(),
        request_id: Some(context.request_id.clone()),
        trace_header: context.xray_trace_id.clone(),
        method: None,
        is_cold_start,
    }
}

/// What writes JSON: the members of the event, and the spans around it. The runtime's own holds `requestId` and
/// `xrayTraceId`, so that they are in every line.
pub(crate) fn subscriber<W>(directives: &str, writer: W) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_env_filter(EnvFilter::new(directives))
        .with_writer(writer)
        .finish()
}

/// Lambda knows a level more than `tracing` does.
fn directives(rust_log: Option<String>, lambda_level: Option<String>) -> String {
    rust_log.or_else(|| lambda_level.map(|level| level.replace("FATAL", "ERROR"))).unwrap_or_else(|| "info".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;
    use tracing::Instrument as _;

    use super::*;
    use crate::testing::Lines;

    #[tokio::test]
    async fn a_line_has_what_lambda_filters_by_and_the_ids_of_the_invocation() {
        let work = async {
            let span = tracing::info_span!("Lambda runtime invoke", requestId = "r1", xrayTraceId = "Root=1-a-b");
            async { tracing::warn!(answer = 42, "a line") }.instrument(span).await;
        };
        let lines = Lines::of("info", work).await;
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert!(OffsetDateTime::parse(line["timestamp"].as_str().unwrap(), &Rfc3339).is_ok(), "{line}");
        assert_eq!((&line["level"], &line["message"], &line["answer"]), (&json!("WARN"), &json!("a line"), &json!(42)));
        assert_eq!((&line["spans"][0]["requestId"], line.get("span")), (&json!("r1"), None), "{line}");
    }

    #[test]
    fn the_level_is_ours_then_lambdas_then_info() {
        let of = |ours: Option<&str>, lambdas: Option<&str>| directives(ours.map(Into::into), lambdas.map(Into::into));
        assert_eq!(of(Some("larder=debug"), Some("WARN")), "larder=debug");
        assert_eq!(of(None, Some("WARN")), "WARN");
        assert_eq!(of(None, Some("FATAL")), "ERROR");
        assert_eq!(of(None, None), "info");
    }

    #[test]
    fn the_first_invocation_of_a_process_is_its_cold_start() {
        let start = ColdStart::default();
        let cold = [(); 3].map(|()| invocation(Some(&Context::default()), &start).is_cold_start);
        assert_eq!(cold, [Some(true), Some(false), Some(false)]);
    }

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
