//! A fake of the external credential API, which follows `seeds/credentials-storage.txt` and fails on demand.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use larder::credentials::Credentials;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::loopback::{listen, serve};
use crate::ApiCall;

/// A fault in place of the usual response.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Answers this status and does nothing.
    Status(StatusCode),
    /// Does the usual work but answers this status.
    DoneBut(StatusCode),
    /// Answers 200 with this body.
    Body(String),
    /// Redirects to the same URL.
    Redirect,
    /// Cuts the usual response off in the middle.
    Cut,
    /// Never answers.
    Hang,
}

/// The API's behavior on `DELETE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delete {
    /// It removes the credentials.
    Works,
    /// It answers this status and removes nothing.
    Unknown(StatusCode),
}

/// An external credential API on a loopback port. It stops with the test.
#[derive(Clone)]
pub struct CredentialApi {
    url: Url,
    state: Arc<Mutex<CredentialApiState>>,
}

struct CredentialApiState {
    /// Credentials by workspace and connection id.
    stored: HashMap<(String, String), Credentials>,
    calls: Vec<ApiCall>,
    /// The next faults, each for one method or for any.
    faults: VecDeque<(Option<Method>, Fault)>,
    delete: Delete,
}

type BoxedResponse = hyper::Response<BoxBody<Bytes, io::Error>>;

impl CredentialApi {
    /// Starts an empty API.
    pub async fn start() -> Self {
        let (listener, address) = listen().await;
        let url = Url::parse(&format!("http://{address}/a/path?key=marker-of+its+owner&x=%20")).expect("a URL");
        let state = CredentialApiState {
            stored: HashMap::new(),
            calls: Vec::new(),
            faults: VecDeque::new(),
            delete: Delete::Works,
        };
        let api = Self { url, state: Arc::new(Mutex::new(state)) };
        let serving = api.clone();
        serve(listener, move |request| {
            let api = serving.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        api
    }

    /// The API's URL, which has a path and a query.
    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// Makes the next requests fail.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults.into_iter().map(|fault| (None, fault)));
    }

    /// Makes the next requests with a method fail.
    pub fn fail_on(&self, method: &Method, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults.into_iter().map(|fault| (Some(method.clone()), fault)));
    }

    /// Removes all remaining faults.
    pub fn restore(&self) {
        self.state().faults.clear();
    }

    /// The number of faults that have not happened yet.
    pub fn faults_left(&self) -> usize {
        self.state().faults.len()
    }

    /// Sets the behavior on `DELETE`.
    pub fn set_delete(&self, delete: Delete) {
        self.state().delete = delete;
    }

    /// The JSON stored for a connection of the workspace `local`.
    pub fn stored(&self, id: &str) -> Option<String> {
        self.state()
            .stored
            .get(&("local".to_owned(), id.to_owned()))
            .map(|credentials| credentials.as_json().to_owned())
    }

    /// Stores JSON directly, as the API's owner could.
    pub fn store(&self, id: &str, json: &str) {
        self.state().stored.insert(("local".to_owned(), id.to_owned()), serde_json::from_str(json).expect("JSON"));
    }

    /// The recorded requests.
    pub fn calls(&self) -> Vec<ApiCall> {
        self.state().calls.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, CredentialApiState> {
        self.state.lock().expect("the lock is not poisoned")
    }

    async fn answer(&self, request: hyper::Request<Incoming>) -> BoxedResponse {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let call = ApiCall {
            what: format!("{} {}", parts.method, parts.uri),
            headers: parts.headers.iter().map(header).collect(),
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        let fault = {
            let mut state = self.state();
            state.calls.push(call);
            let next = state.faults.iter().position(|(method, _)| method.as_ref().is_none_or(|it| *it == parts.method));
            next.and_then(|at| state.faults.remove(at)).map(|(_, fault)| fault)
        };
        let workspace = parts.headers.get("x-membrane-token").and_then(|token| workspace(token.to_str().ok()?));
        let usual = || self.usual(&parts.method, parts.uri.query().unwrap_or_default(), workspace.as_deref(), &body);
        match fault {
            None => {
                let (status, text) = usual();
                respond(status, Full::from(text))
            }
            Some(Fault::Status(status)) => respond(status, Full::from("marker-in-an-answer")),
            Some(Fault::DoneBut(status)) => {
                usual();
                respond(status, Full::default())
            }
            Some(Fault::Body(text)) => respond(StatusCode::OK, Full::from(text)),
            Some(Fault::Redirect) => {
                let mut response = respond(StatusCode::TEMPORARY_REDIRECT, Full::default());
                let there = parts.uri.to_string().parse().expect("a header");
                response.headers_mut().insert(http::header::LOCATION, there);
                response
            }
            Some(Fault::Cut) => {
                let (status, text) = usual();
                let half = Bytes::from(text).slice(..10);
                hyper::Response::builder().status(status).body(Cut(Some(half)).boxed()).expect("a response")
            }
            Some(Fault::Hang) => std::future::pending().await,
        }
    }

    fn usual(&self, method: &Method, query: &str, workspace: Option<&str>, body: &[u8]) -> (StatusCode, String) {
        #[derive(Deserialize)]
        struct PutBody {
            credentials: Credentials,
        }
        let ids: Vec<_> = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "connectionId").collect();
        let [(_, id)] = &ids[..] else { return (StatusCode::BAD_REQUEST, String::new()) };
        let Some(workspace) = workspace else { return (StatusCode::UNAUTHORIZED, String::new()) };
        let key = (workspace.to_owned(), id.clone().into_owned());
        let mut state = self.state();
        match *method {
            Method::PUT => match serde_json::from_slice::<PutBody>(body) {
                Ok(PutBody { credentials }) => {
                    state.stored.insert(key, credentials);
                    (StatusCode::CREATED, String::new())
                }
                Err(_) => (StatusCode::BAD_REQUEST, String::new()),
            },
            Method::GET => match state.stored.get(&key) {
                Some(credentials) => {
                    (StatusCode::OK, format!(r#"{{ "credentials": {}, "other": 1 }}"#, credentials.as_json()))
                }
                None => (StatusCode::NOT_FOUND, String::new()),
            },
            Method::DELETE => match state.delete {
                Delete::Works => {
                    let removed = state.stored.remove(&key);
                    (if removed.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND }, String::new())
                }
                Delete::Unknown(status) => (status, String::new()),
            },
            _ => (StatusCode::METHOD_NOT_ALLOWED, String::new()),
        }
    }
}

/// The workspace in a token's claims.
fn workspace(token: &str) -> Option<String> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Value>(&claims).ok()?.get("iss")?.as_str().map(ToOwned::to_owned)
}

fn respond(status: StatusCode, body: Full<Bytes>) -> BoxedResponse {
    let body = body.map_err(|never| match never {}).boxed();
    hyper::Response::builder().status(status).header("content-type", "application/json").body(body).expect("a response")
}

/// A body that is cut off.
struct Cut(Option<Bytes>);

impl Body for Cut {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let frame = self.0.take().map(Frame::data).ok_or_else(|| io::ErrorKind::BrokenPipe.into());
        Poll::Ready(Some(frame))
    }
}
