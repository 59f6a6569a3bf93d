//! A fake of Nango's API, as far as an import reads it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::loopback::{listen, serve};

/// Nango on a loopback port, with one environment. It stops with the test.
#[derive(Clone)]
pub struct Nango {
    base: String,
    state: Arc<Mutex<NangoState>>,
}

struct NangoState {
    connections: Vec<Value>,
    /// When each connection was read with its credentials.
    reads: Vec<Instant>,
    /// How many reads are answered before the next 429.
    until_busy: Option<usize>,
    busy_at: Option<Instant>,
}

impl Nango {
    /// The environment's secret key.
    pub const SECRET_KEY: &str = "nango-secret-key-of-the-environment";
    /// Starts a Nango with these connections, as `GET /connections/{id}` returns them.
    pub async fn start(connections: Vec<Value>) -> Self {
        let (listener, address) = listen().await;
        let state = NangoState { connections, reads: Vec::new(), until_busy: None, busy_at: None };
        let nango = Self { base: format!("http://{address}"), state: Arc::new(Mutex::new(state)) };
        let serving = nango.clone();
        serve(listener, move |request| {
            let answer = serving.answer(&request);
            async move { Ok::<_, Infallible>(answer) }
        });
        nango
    }

    /// Its URL.
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Answers 429 once, after `reads` more reads of credentials. It asks to wait for a second.
    pub fn be_busy_after(&self, reads: usize) {
        self.state().until_busy = Some(reads);
    }

    /// When it answered 429.
    pub fn busy_at(&self) -> Option<Instant> {
        self.state().busy_at
    }

    /// When credentials were read.
    pub fn reads(&self) -> Vec<Instant> {
        self.state().reads.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, NangoState> {
        self.state.lock().expect("the lock is not poisoned")
    }

    fn answer(&self, request: &hyper::Request<Incoming>) -> hyper::Response<Full<Bytes>> {
        let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if authorization != Some(&format!("Bearer {}", Self::SECRET_KEY)) {
            return respond(401, &json!({"error": {"code": "unknown_account", "message": "Unknown secret key"}}));
        }
        let query = request.uri().query().unwrap_or_default();
        let get = |name: &str| form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, it)| it);
        match request.uri().path().strip_prefix("/connections") {
            Some("") => {
                let number = |name: &str| get(name).and_then(|text| text.parse::<usize>().ok());
                let limit = number("limit").unwrap_or(usize::MAX);
                let state = self.state();
                let page = state.connections.iter().skip(number("page").unwrap_or(0).saturating_mul(limit)).take(limit);
                respond(200, &json!({ "connections": page.map(listed).collect::<Vec<_>>() }))
            }
            Some(path) => {
                let id = percent_decode_str(&path[1..]).decode_utf8_lossy();
                let key = get("provider_config_key").unwrap_or_default();
                let with_refresh_token = get("refresh_token").as_deref() == Some("true");
                self.read(&id, &key, with_refresh_token)
            }
            None => respond(404, &json!({"error": {"code": "not_found"}})),
        }
    }

    fn read(&self, id: &str, key: &str, with_refresh_token: bool) -> hyper::Response<Full<Bytes>> {
        let mut state = self.state();
        if state.until_busy == Some(0) {
            (state.until_busy, state.busy_at) = (None, Some(Instant::now()));
            let mut busy = respond(429, &json!({"error": {"code": "too_many_request"}}));
            busy.headers_mut().insert("retry-after", 1_u64.into());
            return busy;
        }
        state.until_busy = state.until_busy.map(|reads| reads - 1);
        state.reads.push(Instant::now());
        let is_wanted = |it: &&Value| it["connection_id"] == id && it["provider_config_key"] == key;
        let Some(connection) = state.connections.iter().find(is_wanted) else {
            return respond(404, &json!({"error": {"code": "not_found", "message": "Connection not found"}}));
        };
        let mut connection = connection.clone();
        if let Some(credentials) = connection["credentials"].as_object_mut().filter(|_| !with_refresh_token) {
            credentials.remove("refresh_token");
        }
        respond(200, &connection)
    }
}

/// A connection without its credentials and configuration.
fn listed(connection: &Value) -> Value {
    let hidden = ["credentials", "connection_config"];
    let members = connection.as_object().into_iter().flatten().filter(|(name, _)| !hidden.contains(&name.as_str()));
    Value::Object(members.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>())
}

fn respond(status: u16, body: &Value) -> hyper::Response<Full<Bytes>> {
    let response = hyper::Response::builder().status(status).header("content-type", "application/json");
    response.body(Full::from(body.to_string())).expect("a response")
}
