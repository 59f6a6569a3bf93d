//! A mock of all providers, on a loopback port: it expects the requests of a script, and answers as the script says.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use larder_engine::egress::ORIGIN;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use url::{Url, form_urlencoded};

use crate::suites::scenario::{Authorize, Exchange, Request, Response};

/// The providers, for a [`World::rerouted`](crate::World::rerouted). Requests that differ from the script are answered with
/// 500 and recorded as mismatches.
#[derive(Clone)]
pub struct Script {
    /// The port they listen on.
    pub port: u16,
    state: Arc<Mutex<ScriptState>>,
}

#[derive(Default)]
struct ScriptState {
    step: &'static str,
    expected: VecDeque<Exchange>,
    answered: usize,
    challenge: Option<String>,
    oauth_callback: Option<String>,
    mismatches: Vec<String>,
}

impl Script {
    /// Starts the providers, which stop with the test.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let script = Self { port, state: Arc::default() };
        let serving = script.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let script = serving.clone();
                let service = service_fn(move |request: hyper::Request<Incoming>| {
                    let script = script.clone();
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                        Ok::<_, Infallible>(script.answer(&parts, &body))
                    }
                });
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        script
    }

    /// Starts a step, and sets the exchanges that are expected in it.
    pub fn expect(&self, step: &'static str, exchanges: &[Exchange]) {
        let mut state = self.state();
        state.step = step;
        state.expected = exchanges.iter().cloned().collect();
        state.answered = 0;
    }

    /// Ends a step. Missing requests are mismatches, too.
    pub fn end(&self) {
        let mut state = self.state();
        for exchange in std::mem::take(&mut state.expected) {
            let Request { method, uri, .. } = exchange.request;
            state.mismatch(format!("expected {method} {uri}, but no request came"));
        }
    }

    /// Compares two values, and records differences as mismatches of this step.
    pub fn check(&self, what: &str, expected: &Value, actual: &Value) {
        let mut state = self.state();
        let found = state.differences(what, expected, actual, false);
        found.into_iter().for_each(|difference| state.mismatch(difference));
    }

    /// Checks the browser's redirect to the provider, and returns the callback URL: with OAuth 1 the request token's callback,
    /// with OAuth 2 the redirect URI with the state.
    pub fn authorized(&self, expected: &Authorize, location: &str) -> Url {
        let mut state = self.state();
        let url = Url::parse(location).unwrap_or_else(|error| panic!("{error}: {location}"));
        let query = pairs(url.query().unwrap_or_default().as_bytes());
        state.challenge = query["code_challenge"].as_str().map(ToOwned::to_owned);
        let mut found = state.differences("authorize.uri", &json!(expected.uri), &json!(without_query(&url)), true);
        found.extend(state.differences("authorize.query", &expected.query, &query, true));
        found.into_iter().for_each(|difference| state.mismatch(difference));
        let text = |name: &str| query[name].as_str().unwrap_or_default();
        let back = state.oauth_callback.take().map(|callback| Url::parse(&callback));
        back.unwrap_or_else(|| Url::parse_with_params(text("redirect_uri"), [("state", text("state"))])).expect("a URL")
    }

    /// All differences from the script.
    pub fn mismatches(&self) -> Vec<String> {
        self.state().mismatches.clone()
    }

    fn state(&self) -> MutexGuard<'_, ScriptState> {
        self.state.lock().expect("the lock is not poisoned")
    }

    fn answer(&self, parts: &Parts, body: &[u8]) -> hyper::Response<Full<Bytes>> {
        let mut state = self.state();
        let Some(exchange) = state.expected.pop_front() else {
            let origin = parts.headers.get(ORIGIN).and_then(|origin| origin.to_str().ok()).unwrap_or_default();
            let body = String::from_utf8_lossy(body);
            state.mismatch(format!("unexpected request: {} {origin}{}; body: {body}", parts.method, parts.uri));
            return mismatch_response();
        };
        state.answered += 1;
        state.oauth_callback = oauth_callback(parts).or(state.oauth_callback.take());
        let found = state.request_differences(&exchange.request, parts, body);
        if found.is_empty() {
            return answer(&exchange.response);
        }
        let head =
            format!("request {} differs from {} {}", state.answered, exchange.request.method, exchange.request.uri);
        let found: String = found.iter().map(|difference| format!("\n    {difference}")).collect();
        state.mismatch(head + &found);
        mismatch_response()
    }
}

impl ScriptState {
    fn mismatch(&mut self, text: String) {
        self.mismatches.push(format!("{}: {text}", self.step));
    }

    fn request_differences(&self, expected: &Request, parts: &Parts, body: &[u8]) -> Vec<String> {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let wanted = Url::parse(&expected.uri).unwrap_or_else(|error| panic!("{error}: {}", expected.uri));
        let came = Url::parse(&format!("{}{}", header(ORIGIN).unwrap_or("http://direct"), parts.uri)).expect("a URL");
        let query = |url: &Url| pairs(url.query().unwrap_or_default().as_bytes());
        let mut found = self.differences("method", &json!(expected.method), &json!(parts.method.as_str()), true);
        found.extend(self.differences("uri", &json!(without_query(&wanted)), &json!(without_query(&came)), true));
        found.extend(self.differences("query", &query(&wanted), &query(&came), true));
        for (name, value) in &expected.headers {
            let actual = header(name).map_or(Value::Null, Value::from);
            found.extend(self.differences(&format!("headers.{name}"), value, &actual, true));
        }
        let text = String::from_utf8_lossy(body);
        let is_json = serde_json::from_slice(body).unwrap_or(Value::Null);
        found.extend(match expected {
            Request { form: Some(form), .. } => self.differences("form", form, &pairs(body), true),
            Request { json: Some(json), .. } => self.differences("json", json, &is_json, true),
            Request { text, .. } if text.as_deref() == Some("<any>") => Vec::new(),
            Request { text: wanted, .. } => {
                self.differences("body", &json!(wanted.as_deref().unwrap_or_default()), &json!(text), true)
            }
        });
        found
    }

    /// Lists the differences by path. If not `exact`, the actual objects may have more members, and an expected null means
    /// that the member must be absent.
    fn differences(&self, at: &str, expected: &Value, actual: &Value, exact: bool) -> Vec<String> {
        match (expected, actual) {
            (Value::String(pattern), _) if pattern == "<any>" => Vec::new(),
            (Value::Object(expected), Value::Object(actual)) => {
                let missing = Value::Null;
                let more = actual.keys().filter(|key| exact && !expected.contains_key(*key));
                let keys = expected.keys().chain(more);
                keys.flat_map(|key| {
                    let value = |object: &Map<String, Value>| object.get(key).unwrap_or(&missing).clone();
                    self.differences(&format!("{at}.{key}"), &value(expected), &value(actual), exact)
                })
                .collect()
            }
            (Value::String(pattern), Value::String(text)) if self.matches(pattern, text) => Vec::new(),
            _ if expected == actual => Vec::new(),
            _ => vec![format!("expected {at} to be {}, found {}", shown(expected), shown(actual))],
        }
    }

    fn matches(&self, pattern: &str, text: &str) -> bool {
        match pattern {
            "<state>" | "<challenge>" => text.len() >= 43,
            "<verifier>" => Some(URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))) == self.challenge,
            _ => matches(pattern, text),
        }
    }
}

/// Whether a string matches a pattern, in which `<any>` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once("<any>") {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            let mut ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            ends.any(|at| matches(after, &rest[at..]))
        }),
    }
}

/// The callback in a request for a request token (RFC 5849 §2.1).
fn oauth_callback(parts: &Parts) -> Option<String> {
    let header = parts.headers.get("authorization")?.to_str().ok()?;
    let (encoded, _) = header.split_once("oauth_callback=\"")?.1.split_once('"')?;
    let (callback, _) = form_urlencoded::parse(encoded.as_bytes()).next()?;
    Some(callback.into_owned())
}

fn shown(value: &Value) -> String {
    if value.is_null() { "absent".to_owned() } else { value.to_string() }
}

fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.into()
}

/// Parses a form or a query. A repeated name gets a list of values.
fn pairs(form: &[u8]) -> Value {
    let mut object = Map::new();
    for (name, value) in form_urlencoded::parse(form) {
        let value = Value::from(value.into_owned());
        match object.get_mut(name.as_ref()) {
            None => drop(object.insert(name.into_owned(), value)),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    Value::Object(object)
}

fn answer(response: &Response) -> hyper::Response<Full<Bytes>> {
    let (content_type, body) = match response {
        Response { json: Some(json), .. } => ("application/json", json.to_string()),
        Response { text, .. } => ("text/plain", text.clone().unwrap_or_default()),
    };
    let mut builder = hyper::Response::builder().status(response.status);
    if !response.headers.contains_key("content-type") {
        builder = builder.header("content-type", content_type);
    }
    builder = response.headers.iter().fold(builder, |builder, (name, value)| builder.header(name, value));
    builder.body(Full::from(body)).expect("a response")
}

fn mismatch_response() -> hyper::Response<Full<Bytes>> {
    let body = Full::from("this request differs from the script");
    hyper::Response::builder().status(500).body(body).expect("a response")
}
