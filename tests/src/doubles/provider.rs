//! A provider that answers what it is told to, and remembers what it was asked.

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

/// What the token endpoint was sent.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The names of all headers.
    pub headers: Vec<String>,
    /// The form, in order.
    pub form: Vec<(String, String)>,
}

impl TokenRequest {
    /// A field of the form.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What the API was sent: any path but the token endpoint.
#[derive(Debug, Clone)]
pub struct ApiCall {
    /// Method and path with query, such as `GET /me`.
    pub what: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl ApiCall {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A provider on a loopback port. Unless it is told otherwise, it gives numbered tokens that live an hour, with a new
/// refresh token each time.
#[derive(Clone)]
pub struct MockProvider {
    base: String,
    state: Arc<Mutex<State>>,
}

/// Status, body and headers.
type Scripted = (u16, String, Vec<(String, String)>);

struct State {
    /// What the next token requests are answered, before the usual answers.
    scripted: VecDeque<Scripted>,
    requests: Vec<TokenRequest>,
    issued: u64,
    expires_in: Value,
    delay: Duration,
    /// Without permits, the token endpoint answers nobody.
    gate: Option<Arc<Semaphore>>,
    test_status: u16,
    api_calls: Vec<ApiCall>,
    /// What the next API calls are answered, by the beginning of [`ApiCall::what`].
    api_answers: VecDeque<(String, u16, String)>,
}

impl MockProvider {
    /// Starts a provider; it ends with the test.
    pub async fn start() -> Self {
        let (listener, address) = listen().await;
        let base = format!("http://{address}");
        let state = State {
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

    /// A URL of the provider.
    pub fn uri(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The parameters of an integration of the bundled `oauth2` connector that leads here.
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

    /// What the end user's approval of an authorize URL leads to.
    pub fn approve(&self, authorize_url: &str) -> String {
        self.come_back(authorize_url, &[("code", "the-code")])
    }

    /// The redirect from an authorize URL back to Larder, with these parameters and the state.
    pub fn come_back(&self, authorize_url: &str, parameters: &[(&str, &str)]) -> String {
        let url = Url::parse(authorize_url).expect("a URL");
        let get = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let mut back = Url::parse(&get("redirect_uri").expect("a redirect_uri")).expect("a URL");
        back.query_pairs_mut().extend_pairs(parameters).append_pair("state", &get("state").expect("a state"));
        back.into()
    }

    /// Answers the next token request with this status and JSON.
    pub fn script(&self, status: u16, body: &Value) {
        self.script_raw(status, &body.to_string(), &[("content-type", "application/json")]);
    }

    /// Answers the next token request with this status, body and headers.
    pub fn script_raw(&self, status: u16, body: &str, headers: &[(&str, &str)]) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.state().scripted.push_back((status, body.to_owned(), headers));
    }

    /// How many scripted answers are still to be given.
    pub fn pending_answers(&self) -> usize {
        self.state().scripted.len()
    }

    /// What the usual answers say of the tokens' life; null leaves it out.
    pub fn set_expires_in(&self, expires_in: Value) {
        self.state().expires_in = expires_in;
    }

    /// How long the token endpoint thinks.
    pub fn set_delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// Has the token endpoint hold its answers back: there is one for each permit that is added.
    pub fn hold(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.state().gate = Some(Arc::clone(&gate));
        gate
    }

    /// What the test endpoint `/me` answers.
    pub fn set_test_status(&self, status: u16) {
        self.state().test_status = status;
    }

    /// The token requests so far.
    pub fn token_requests(&self) -> Vec<TokenRequest> {
        self.state().requests.clone()
    }

    /// The refresh requests so far.
    pub fn refreshes(&self) -> Vec<TokenRequest> {
        let requests = self.token_requests().into_iter();
        requests.filter(|request| request.get("grant_type") == Some("refresh_token")).collect()
    }

    /// Waits until it has been asked for a refresh.
    pub async fn until_asked(&self) {
        while self.refreshes().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The `Authorization` headers that the test endpoint got.
    pub fn tests(&self) -> Vec<Option<String>> {
        let calls = self.api_calls();
        let tests = calls.iter().filter(|call| call.what.split(' ').nth(1) == Some("/me"));
        tests.map(|call| call.header("authorization").map(ToOwned::to_owned)).collect()
    }

    /// Everything that came but for token requests.
    pub fn api_calls(&self) -> Vec<ApiCall> {
        self.state().api_calls.clone()
    }

    /// Answers the next API call that begins so, such as `POST /revoke`, with this status and JSON.
    pub fn script_api(&self, what: &str, status: u16, body: &Value) {
        self.state().api_answers.push_back((what.to_owned(), status, body.to_string()));
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic holds it")
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
            gate.acquire().await.expect("nobody closes it").forget();
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
