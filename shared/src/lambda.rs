//! Connects functions to the Lambda runtime: logging, and the adapters for HTTP functions and for event functions.
//!
//! # Decisions
//!
//! Events of HTTP APIs are read here rather than by `lambda_http`, which builds a URL from headers of the caller's
//! choice and panics if that fails, ending the process.

mod foreign;

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use foreign::EventResponse;
use http::uri::PathAndQuery;
use http::{HeaderValue, Uri, header};
use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use lambda_http::{Body, Context, LambdaEvent, lambda_runtime, service_fn};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::error::Error;
use crate::http::{Handler, Request, Response};
use crate::invocation::Invocation;
use crate::logging::subscriber;

/// Starts logging to stdout, one JSON object per line.
///
/// `RUST_LOG` selects what is logged. Without it, `AWS_LAMBDA_LOG_LEVEL` does, which Lambda sets if the function is
/// configured with a log level; the default is `info`. Lines have the `timestamp` and `level` that Lambda's
/// [filter](https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html) expects.
pub fn init_logging() {
    let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
    subscriber(&directives(set("RUST_LOG"), set("AWS_LAMBDA_LOG_LEVEL")), std::io::stdout).init();
}

/// The error message for an event that does not come from an HTTP API.
const HTTP_EVENTS: &str = "this function accepts events from HTTP APIs (payload format 2.0) and function URLs; put an HTTP \
                           API in front of it, as infra/template.yaml does";

/// Serves API Gateway (payload 2.0) events with a handler until the runtime ends. Each event is logged in one line.
///
/// # Errors
/// When the Lambda Runtime API cannot be reached.
pub async fn serve(handler: Arc<dyn Handler>) -> Result<(), lambda_http::Error> {
    let (handler, start) = (&handler, &ColdStart::default());
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Box<RawValue>>| {
        answer_http(handler.as_ref(), event.payload.get(), invocation(Some(&event.context), start))
            .await
            .map_err(lambda_http::Error::from)
    }))
    .await
}

async fn answer_http(
    handler: &dyn Handler,
    event: &str,
    invocation: Invocation,
) -> Result<EventResponse<ApiGatewayV2httpResponse>, Error> {
    let Ok(event) = serde_json::from_str::<ApiGatewayV2httpRequest>(event) else {
        return foreign::answer(event, HTTP_EVENTS, invocation).await.map(EventResponse::Foreign);
    };
    let invocation = Invocation { method: Some(event.request_context.http.method.clone()), ..invocation };
    let answer = async {
        match read_request(event) {
            Ok(request) => handler.handle(request).await,
            Err(error) => error.into(),
        }
    };
    Ok(EventResponse::Expected(write_response(invocation.answer(answer).await)))
}

/// Characters that must be encoded in a URI's path. A decoded `#` or `?` would end it: `/connections/a%23b` would be the
/// connection `a`.
const NOT_IN_DECODED_PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const NOT_IN_PATH: &AsciiSet = &NOT_IN_DECODED_PATH.remove(b'%');
const NOT_IN_QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');

/// Reads the request from an event of an HTTP API
/// ([payload 2.0](https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html)).
///
/// The URI consists of path and query only. A named stage, with which HTTP APIs begin the path, is stripped. Characters that are not allowed there are percent-encoded. HTTP APIs decode
/// the path (all but `%25`, according to some reports); function URLs and `cargo lambda watch` don't, and have no
/// routes (`$default`). So if there is a route, every `%` is literal; otherwise it starts an escape. `lambda_http`
/// would build a whole URL from headers that the caller controls, and panic if it is invalid.
///
/// # Errors
/// 400 if the path and the query are too long for a URI, or the body is not valid base64 although it is declared as such.
pub fn read_request(event: ApiGatewayV2httpRequest) -> Result<Request, Error> {
    let is_decoded = event.route_key.as_deref().is_some_and(|route| route != "$default");
    let path = event.raw_path.unwrap_or_default();
    let stage = event.request_context.stage.as_deref().and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage));
    let path = stage.filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(&path);
    let mut target = match is_decoded {
        true => utf8_percent_encode(&path.replace("%25", "%"), NOT_IN_DECODED_PATH).to_string(),
        false => utf8_percent_encode(path, NOT_IN_PATH).to_string(),
    };
    if !target.starts_with('/') {
        target.insert(0, '/');
    }
    if let Some(query) = event.raw_query_string.filter(|query| !query.is_empty()) {
        target.push('?');
        target.extend(utf8_percent_encode(&query, NOT_IN_QUERY));
    }
    let target = PathAndQuery::try_from(target).map_err(|_| Error::bad_request("the URI is too long"))?;
    let body = match event.body {
        Some(text) if event.is_base64_encoded => {
            let bytes = STANDARD.decode(text).map_err(|_| Error::bad_request("the body is not valid base64"))?;
            Bytes::from(bytes)
        }
        Some(text) => Bytes::from(text),
        None => Bytes::new(),
    };
    let mut request = Request::new(body);
    *request.uri_mut() = Uri::from(target);
    *request.method_mut() = event.request_context.http.method;
    *request.headers_mut() = event.headers;
    // HTTP APIs move cookies out of the headers.
    let cookies = event.cookies.and_then(|cookies| HeaderValue::try_from(cookies.join("; ")).ok());
    if let Some(cookies) = cookies {
        request.headers_mut().insert(header::COOKIE, cookies);
    }
    Ok(request)
}

fn write_response(response: Response) -> ApiGatewayV2httpResponse {
    let (mut parts, body) = response.into_parts();
    let mut answer = ApiGatewayV2httpResponse::default();
    answer.status_code = parts.status.as_u16().into();
    // HTTP APIs join repeated headers with commas, which breaks cookies.
    let cookies = parts.headers.get_all(header::SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
    answer.cookies = cookies.map(ToOwned::to_owned).collect();
    parts.headers.remove(header::SET_COOKIE);
    answer.headers = parts.headers;
    answer.body = Some(Body::Text(body));
    answer
}

/// Serves events until the runtime ends. Each is logged in one line. `takes` is the error message for unexpected events; it
/// says which ones are accepted.
///
/// # Errors
/// When the Lambda Runtime API cannot be reached.
pub async fn serve_events<E, A>(
    takes: &'static str,
    handle: impl AsyncFn(E) -> Result<A, Error>,
) -> Result<(), lambda_http::Error>
where
    E: DeserializeOwned,
    A: Serialize,
{
    let (handle, start) = (&handle, &ColdStart::default());
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Box<RawValue>>| {
        let invocation = invocation(Some(&event.context), start);
        let answer = match serde_json::from_str(event.payload.get()) {
            // Boxed, so that nested future types stay within the compiler's recursion limit.
            Ok(payload) => invocation.handle(Box::pin(handle(payload))).await.map(EventResponse::Expected),
            Err(_) => foreign::answer(event.payload.get(), takes, invocation).await.map(EventResponse::Foreign),
        };
        answer.map_err(lambda_http::Error::from)
    }))
    .await
}

/// Whether the process has not been invoked yet.
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

/// Returns the log directives. Lambda's level `FATAL` is mapped to `ERROR`, since `tracing` has no such level.
fn directives(rust_log: Option<String>, lambda_level: Option<String>) -> String {
    rust_log.or_else(|| lambda_level.map(|level| level.replace("FATAL", "ERROR"))).unwrap_or_else(|| "info".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;
    use tracing::Instrument as _;

    use super::*;
    use crate::error::ErrorClass;
    use crate::testing::Lines;

    #[tokio::test]
    async fn log_lines_have_level_timestamp_and_invocation_ids() {
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
    fn the_log_level_is_rust_log_then_lambdas_then_info() {
        let of = |ours: Option<&str>, lambdas: Option<&str>| directives(ours.map(Into::into), lambdas.map(Into::into));
        assert_eq!(of(Some("larder=debug"), Some("WARN")), "larder=debug");
        assert_eq!(of(None, Some("WARN")), "WARN");
        assert_eq!(of(None, Some("FATAL")), "ERROR");
        assert_eq!(of(None, None), "info");
    }

    #[test]
    fn only_the_first_invocation_of_a_process_is_a_cold_start() {
        let start = ColdStart::default();
        let cold = [(); 3].map(|()| invocation(Some(&Context::default()), &start).is_cold_start);
        assert_eq!(cold, [Some(true), Some(false), Some(false)]);
    }

    fn event(changes: Value) -> ApiGatewayV2httpRequest {
        let mut event = json!({
            "version": "2.0", "rawPath": "/connections", "rawQueryString": "", "isBase64Encoded": false,
            "headers": {"host": "larder.example"},
            "requestContext": {"stage": "$default", "http": {"method": "GET", "path": "/connections"}},
        });
        for (name, value) in changes.as_object().expect("an object") {
            event[name] = value.clone();
        }
        serde_json::from_value(event).expect("an event")
    }

    fn uri_of(path: &str, query: &str) -> String {
        read_request(event(json!({"rawPath": path, "rawQueryString": query}))).expect("a request").uri().to_string()
    }

    #[test]
    fn decoded_characters_do_not_truncate_the_path() {
        assert_eq!(uri_of("/connections/a#b", ""), "/connections/a%23b");
        assert_eq!(uri_of("/connections/ä b?c%25d/test", ""), "/connections/%C3%A4%20b%3Fc%25d/test");
        assert_eq!(uri_of("/connections/a%23b", ""), "/connections/a%23b");
        assert_eq!(uri_of("/connections/ä b", ""), "/connections/%C3%A4%20b");
    }

    #[test]
    fn the_path_of_an_event_with_a_route_is_already_decoded() {
        let uri_of = |route: &str, path: &str| {
            let event = event(json!({"routeKey": route, "rawPath": path}));
            read_request(event).expect("a request").uri().to_string()
        };
        let route = "GET /connections/{id}";
        assert_eq!(uri_of(route, "/connections/in%2Fpath"), "/connections/in%252Fpath");
        assert_eq!(uri_of(route, "/connections/in%252Fpath"), "/connections/in%252Fpath", "`%25` was left");
        assert_eq!(uri_of(route, "/connections/50% ä#b"), "/connections/50%25%20%C3%A4%23b");
        assert_eq!(uri_of("$default", "/connections/in%2Fpath"), "/connections/in%2Fpath");
    }

    #[test]
    fn a_named_stage_is_stripped() {
        let uri_of = |stage: &str, path: &str| {
            let context = json!({"stage": stage, "http": {"method": "GET", "path": path}});
            read_request(event(json!({"rawPath": path, "requestContext": context})))
                .expect("a request")
                .uri()
                .to_string()
        };
        assert_eq!(uri_of("prod", "/prod/connections"), "/connections");
        assert_eq!(uri_of("prod", "/prod"), "/");
        assert_eq!(uri_of("prod", "/production/connections"), "/production/connections");
        assert_eq!(uri_of("$default", "/connections"), "/connections");
    }

    struct EchoHandler;

    #[async_trait::async_trait]
    impl Handler for EchoHandler {
        async fn handle(&self, request: Request) -> Response {
            Response::new(request.uri().to_string())
        }
    }

    #[tokio::test]
    async fn http_api_events_are_handled_and_others_are_foreign() {
        let answer = async |event: Value| {
            let answer = answer_http(&EchoHandler, &event.to_string(), Invocation::default()).await.expect("an answer");
            serde_json::to_value(answer).expect("JSON")
        };
        let own = json!({"version": "2.0", "rawPath": "/a", "requestContext": {"http": {"method": "GET"}}});
        assert_eq!(answer(own).await["body"], "/a");
        let rest = json!({"version": "1.0", "path": "/a", "httpMethod": "GET", "headers": {}, "requestContext": {"stage": "a"}});
        let balancer = json!({"path": "/a", "httpMethod": "GET", "headers": {}, "requestContext": {"elb": {}}});
        for event in [rest, balancer] {
            let answer = answer(event).await;
            assert_eq!(answer["statusCode"], 501);
            assert!(answer["body"].as_str().unwrap().contains("payload format 2.0"), "{answer}");
        }
        assert_eq!(answer(json!({})).await, Value::Null);
    }

    #[test]
    fn uri_characters_are_encoded_and_long_uris_are_rejected() {
        assert_eq!(uri_of("", "a=<b>&c=\"ä\"#&d=%zz"), "/?a=%3Cb%3E&c=%22%C3%A4%22%23&d=%zz");
        assert_eq!(uri_of("//evil.example/a", ""), "//evil.example/a");
        let error = read_request(event(json!({"rawQueryString": "a".repeat(70_000)}))).expect_err("is rejected");
        assert_eq!(error.class, ErrorClass::Invalid);
    }

    #[test]
    fn headers_do_not_affect_the_uri() {
        for headers in [json!({"host": "a b"}), json!({"host": "a", "x-forwarded-proto": "https, https"})] {
            let request = read_request(event(json!({"headers": headers}))).expect("a request");
            assert_eq!(request.uri(), "/connections");
        }
    }

    #[test]
    fn cookies_become_a_header_and_the_body_is_decoded() {
        let changes = json!({"cookies": ["a=1", "b=2"], "body": "w6Q=", "isBase64Encoded": true});
        let request = read_request(event(changes)).expect("a request");
        assert_eq!(
            (request.headers()["cookie"].to_str().expect("text"), &request.body()[..]),
            ("a=1; b=2", "ä".as_bytes())
        );
        let error = read_request(event(json!({"body": "%", "isBase64Encoded": true}))).expect_err("is rejected");
        assert_eq!(error.class, ErrorClass::Invalid);
    }

    #[test]
    fn a_body_may_be_encoded_plain_or_missing() {
        let body = |changes| read_request(event(changes)).expect("a request").into_body();
        assert_eq!(body(json!({"body": "{\"a\":\"é\"}"})), "{\"a\":\"é\"}");
        assert_eq!(body(json!({"body": "eyJhIjoiw6kifQ==", "isBase64Encoded": true})), "{\"a\":\"é\"}");
        assert_eq!(body(json!({"body": "//79", "isBase64Encoded": true})), [0xff, 0xfe, 0xfd].as_slice());
        assert_eq!(body(json!({"body": "", "isBase64Encoded": true})), "");
        assert_eq!(body(json!({})), "");
    }

    #[test]
    fn headers_may_be_repeated_or_missing() {
        // API Gateway joins repeated headers with commas.
        let headers = json!({"x-twice": "a,b", "authorization": "Bearer a,Bearer b"});
        let request = read_request(event(json!({"headers": headers}))).expect("a request");
        assert_eq!(request.headers()["x-twice"], "a,b");
        assert_eq!(request.headers()["authorization"], "Bearer a,Bearer b");
        let request = read_request(event(json!({"headers": {}}))).expect("a request");
        assert!(request.headers().get("authorization").is_none());
    }

    #[test]
    fn response_cookies_are_separate_from_headers() {
        let mut response = Response::new("text".to_owned());
        for cookie in ["a=1", "b=2"] {
            response.headers_mut().append("set-cookie", HeaderValue::from_static(cookie));
        }
        let answer = serde_json::to_value(write_response(response)).expect("JSON");
        let expected = json!({"statusCode": 200, "headers": {}, "multiValueHeaders": {}, "body": "text",
                              "isBase64Encoded": false, "cookies": ["a=1", "b=2"]});
        assert_eq!(answer, expected);
    }
}
