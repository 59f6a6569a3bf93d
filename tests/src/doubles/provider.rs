//! A mock provider that answers as the test says and records the requests.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use url::Url;

use super::loopback::{listen, serve};

use crate::eventually;

/// A request to the token endpoint.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The names of all headers.
    pub headers: Vec<String>,
    /// The form's fields, in order.
    pub form: Vec<(String, String)>,
}

impl TokenRequest {
    /// Returns a field of the form.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A request to the provider's API: any path except the token endpoint.
#[derive(Debug, Clone)]
pub struct ApiCall {
    /// The method, and the path with its query, for example `GET /me`.
    pub what: String,
    /// The headers, with lowercase names.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl ApiCall {
    /// Returns a header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A provider on a loopback port. By default, it issues numbered access tokens with a lifetime of an hour, each with a new
/// refresh token.
#[derive(Clone)]
pub struct MockProvider {
    base: String,
    state: Arc<Mutex<MockProviderState>>,
}

/// A status, a body and headers.
type Scripted = (u16, String, Vec<(String, String)>);

struct MockProviderState {
    /// The answers to the next token requests. After these, the provider answers as usual.
    scripted: VecDeque<Scripted>,
    requests: Vec<TokenRequest>,
    issued: u64,
    expires_in: Value,
    delay: Duration,
    /// If set, the token endpoint waits for a permit before each answer.
    gate: Option<Arc<Semaphore>>,
    test_status: u16,
    api_calls: Vec<ApiCall>,
    /// The answers to the next API calls, by the start of [`ApiCall::what`].
    api_answers: VecDeque<(String, u16, String)>,
}

impl MockProvider {
    /// Starts a provider, which stops with the test.
    pub async fn start() -> Self {
        let (listener, address) = listen().await;
        let base = format!("http://{address}");
        let state = MockProviderState {
            scripted: VecDeque::new(),
            requests: Vec::new(),
            issued: 0,
            expires_in: json!(3600),
            delay: Duration::ZERO,
            gate: None,
            test_status: 200,
            api_calls: Vec::new(),
            api_answers: VecDeque::new(),
        };
        let provider = Self { base, state: Arc::new(Mutex::new(state)) };
        let serving = provider.clone();
        serve(listener, move |request| {
            let provider = serving.clone();
            async move { Ok::<_, Infallible>(provider.answer(request).await) }
        });
        provider
    }

    /// Returns a URL of the provider.
    pub fn uri(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The parameters of an integration of the bundled `oauth2` connector with this provider.
    pub fn parameters(&self) -> Value {
        json!({
            "clientId": "the-client",
            "clientSecret": "the-client-secret",
            "authorizeUri": self.uri("/authorize"),
            "tokenUri": self.uri("/token"),
            "testUri": self.uri("/me"),
            "scopes": ["read", "write"],
        })
    }

    /// Approves an authorize URL as the end user, and returns the callback URL.
    pub fn approve(&self, authorize_url: &str) -> String {
        self.come_back(authorize_url, &[("code", "the-code")])
    }

    /// Returns the callback URL for an authorize URL, with these parameters and the state.
    pub fn come_back(&self, authorize_url: &str, parameters: &[(&str, &str)]) -> String {
        let url = Url::parse(authorize_url).expect("a URL");
        let get = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let mut back = Url::parse(&get("redirect_uri").expect("a redirect_uri")).expect("a URL");
        back.query_pairs_mut().extend_pairs(parameters).append_pair("state", &get("state").expect("a state"));
        back.into()
    }

    /// Scripts the answer to the next token request: a status and JSON.
    pub fn script(&self, status: u16, body: &Value) {
        self.script_raw(status, &body.to_string(), &[("content-type", "application/json")]);
    }

    /// Scripts the answer to the next token request: a status, a body and headers.
    pub fn script_raw(&self, status: u16, body: &str, headers: &[(&str, &str)]) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.state().scripted.push_back((status, body.to_owned(), headers));
    }

    /// The number of scripted answers that have not been sent yet.
    pub fn pending_answers(&self) -> usize {
        self.state().scripted.len()
    }

    /// Sets `expires_in` of the usual answers; null leaves it out.
    pub fn set_expires_in(&self, expires_in: Value) {
        self.state().expires_in = expires_in;
    }

    /// Sets how long the token endpoint waits before it answers.
    pub fn set_delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// Makes the token endpoint hold back its answers: each permit added releases one.
    pub fn hold(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.state().gate = Some(Arc::clone(&gate));
        gate
    }

    /// Sets the status of the test endpoint `/me`.
    pub fn set_test_status(&self, status: u16) {
        self.state().test_status = status;
    }

    /// The recorded token requests.
    pub fn token_requests(&self) -> Vec<TokenRequest> {
        self.state().requests.clone()
    }

    /// The recorded refresh requests.
    pub fn refreshes(&self) -> Vec<TokenRequest> {
        let requests = self.token_requests().into_iter();
        requests.filter(|request| request.get("grant_type") == Some("refresh_token")).collect()
    }

    /// Waits for the first refresh request.
    pub async fn until_refresh_requested(&self) {
        assert!(eventually(async || !self.refreshes().is_empty()).await, "no refresh is requested");
    }

    /// The `Authorization` headers of the requests to the test endpoint.
    pub fn tests(&self) -> Vec<Option<String>> {
        let calls = self.api_calls();
        let tests = calls.iter().filter(|call| call.what.split(' ').nth(1) == Some("/me"));
        tests.map(|call| call.header("authorization").map(ToOwned::to_owned)).collect()
    }

    /// All recorded requests except token requests.
    pub fn api_calls(&self) -> Vec<ApiCall> {
        self.state().api_calls.clone()
    }

    /// Scripts the answer to the next API call that starts with `what`, for example `POST /revoke`.
    pub fn script_api(&self, what: &str, status: u16, body: &Value) {
        self.state().api_answers.push_back((what.to_owned(), status, body.to_string()));
    }

    fn state(&self) -> std::sync::MutexGuard<'_, MockProviderState> {
        self.state.lock().expect("the lock is not poisoned")
    }

    async fn answer(&self, request: hyper::Request<Incoming>) -> hyper::Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let authorization = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
        let authorization = authorization.map(ToOwned::to_owned);
        let (delay, (status, body, headers)) = match parts.uri.path() {
            "/token" => {
                let delay = self.state().delay;
                let headers = parts.headers.keys().map(ToString::to_string).collect();
                (delay, self.tokens(authorization, headers, &body))
            }
            path => {
                let mut state = self.state();
                let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
                let call = ApiCall {
                    what: format!("{} {}", parts.method, parts.uri),
                    headers: parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
                    body: String::from_utf8_lossy(&body).into_owned(),
                };
                let scripted = state.api_answers.iter().position(|(what, ..)| call.what.starts_with(what));
                let (status, body) = match scripted.and_then(|at| state.api_answers.remove(at)) {
                    Some((_, status, body)) => (status, body),
                    None if path == "/me" => (state.test_status, "{}".to_owned()),
                    None => (404, String::new()),
                };
                state.api_calls.push(call);
                (Duration::ZERO, (status, body, vec![("content-type".to_owned(), "application/json".to_owned())]))
            }
        };
        let gate = self.state().gate.clone();
        if let Some(gate) = gate.filter(|_| parts.uri.path() == "/token") {
            gate.acquire().await.expect("the gate stays open").forget();
        }
        tokio::time::sleep(delay).await;
        let mut response = hyper::Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        response.body(Full::from(body)).expect("a response")
    }

    fn tokens(&self, authorization: Option<String>, headers: Vec<String>, body: &[u8]) -> Scripted {
        let form = form_urlencoded::parse(body).into_owned().collect();
        let mut state = self.state();
        state.requests.push(TokenRequest { authorization, headers, form });
        if let Some(scripted) = state.scripted.pop_front() {
            return scripted;
        }
        state.issued += 1;
        let number = state.issued;
        let mut tokens = json!({
            "access_token": format!("access-{number}"),
            "token_type": "Bearer",
            "refresh_token": format!("refresh-{number}"),
        });
        if !state.expires_in.is_null() {
            tokens["expires_in"] = state.expires_in.clone();
        }
        (200, tokens.to_string(), vec![("content-type".to_owned(), "application/json".to_owned())])
    }
}
