//! `fetch`: sends requests through [`Egress`], which checks the addresses, and follows redirects.

use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, LOCATION, PROXY_AUTHORIZATION};
use http::{Method, StatusCode};
use rquickjs::{Array, ArrayBuffer, Ctx, Exception, FromJs, Object, Result, Value};
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

use super::bytes::{Bytes, Text, each_pair};
use super::{Functions, Host, MakeValue, OperationError, OperationResult};
use crate::egress::{Egress, EgressError, Limits as Exchange, Permit};
use crate::javascript::JavaScriptError;
use crate::javascript::limits::{CONCURRENT_REQUESTS, HEADER_BYTES, HEADERS, Limits, REDIRECTS, URL_BYTES};

/// The traffic of a call: counts its requests and their bytes.
pub(super) struct Traffic {
    limits: Limits,
    turns: Semaphore,
    requests: AtomicUsize,
    waiting_bytes: AtomicUsize,
    response_bytes: AtomicUsize,
    /// Held from the first large response to the end of the call, because the script may keep the response.
    permit: OnceLock<Permit>,
}

impl Traffic {
    pub(super) fn new(limits: &Limits) -> Self {
        let turns = Semaphore::new(CONCURRENT_REQUESTS);
        Self {
            limits: *limits,
            turns,
            requests: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
            response_bytes: AtomicUsize::new(0),
            permit: OnceLock::new(),
        }
    }

    /// Waits for a free slot among the concurrent requests.
    pub(super) async fn turn(&self) -> std::result::Result<SemaphorePermit<'_>, OperationError> {
        self.turns.acquire().await.map_err(|error| OperationError::Rejected(error.to_string()))
    }

    /// Counts a request when the script creates it, even if it has to wait for its turn, since it takes up memory.
    pub(super) fn begin(self: &Arc<Self>, bytes: usize) -> std::result::Result<Waiting, JavaScriptError> {
        self.count_request()?;
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let waiting = Waiting { traffic: Arc::clone(self), bytes };
        let max = self.limits.waiting_bytes;
        if before + bytes > max {
            return Err(limit(format!("pending requests of more than {max} bytes in total")));
        }
        Ok(waiting)
    }

    fn count_request(&self) -> std::result::Result<(), JavaScriptError> {
        if self.requests.fetch_add(1, Ordering::Relaxed) >= self.limits.requests {
            return Err(limit(format!("more than {} requests", self.limits.requests)));
        }
        Ok(())
    }

    pub(super) fn count_response(&self, bytes: usize) -> std::result::Result<(), OperationError> {
        let before = self.response_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.limits.response_bytes { Err(self.too_much()) } else { Ok(()) }
    }

    fn remaining_bytes(&self) -> usize {
        self.limits.response_bytes.saturating_sub(self.response_bytes.load(Ordering::Relaxed))
    }

    fn too_much(&self) -> OperationError {
        OperationError::Fatal(limit(format!("responses of more than {} bytes in total", self.limits.response_bytes)))
    }
}

fn limit(what: String) -> JavaScriptError {
    JavaScriptError::Limit { what }
}

/// A pending request, until this is dropped.
pub(super) struct Waiting {
    traffic: Arc<Traffic>,
    bytes: usize,
}

impl Waiting {
    /// Returns the call's traffic.
    pub(super) fn traffic(&self) -> &Traffic {
        &self.traffic
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.traffic.waiting_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A request as in the fetch standard, before redirects.
struct Request {
    url: Url,
    method: Method,
    headers: HeaderMap,
    body: Vec<u8>,
    redirect: Redirect,
}

#[derive(Clone, Copy, PartialEq)]
enum Redirect {
    Follow,
    Error,
    Manual,
}

/// Adds `fetch({url, method, headers: [[name, value]], body?: Uint8Array, redirect})`, which returns `{id, promise}`,
/// and `abortFetch(id)`. The promise resolves to `{url, redirected, status, statusText, headers, body: ArrayBuffer}` or
/// is rejected with a `TypeError`.
pub(super) fn add<'js>(functions: &Functions<'_, 'js>) -> Result<()> {
    let host = Rc::clone(functions.host);
    functions.add("fetch", move |ctx: Ctx<'js>, request: Object<'js>| {
        let request = read(&ctx, &host, &request)?;
        let network = host.network(&ctx)?;
        let egress = network.egress.clone();
        let waiting = host.traffic.begin(request.bytes()).map_err(|error| host.stop(&ctx, error))?;
        let exchange = Exchange { deadline: host.remaining(), ..network.exchange };
        let (id, promise) = host.start(&ctx, fetch(egress, waiting, request, exchange))?;
        let started = Object::new(ctx)?;
        started.set("id", id as f64)?;
        started.set("promise", promise)?;
        Ok::<_, rquickjs::Error>(started)
    })?;
    let host = Rc::clone(functions.host);
    functions.add("abortFetch", move |id: f64| host.abort(id as u64))
}

fn read<'js>(ctx: &Ctx<'js>, host: &Host, request: &Object<'js>) -> Result<Request> {
    let invalid = |message: &str| Exception::throw_type(ctx, message);
    let url: Text<URL_BYTES> = request.get("url")?;
    let mut url = Url::parse(&url.0).map_err(|_| invalid("fetch: the URL is malformed"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid(&format!("fetch: the scheme {} is not supported", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("fetch: the URL must not contain credentials"));
    }
    url.set_fragment(None);
    let method: String = request.get("method")?;
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| invalid("fetch: the method is malformed"))?;
    let mut headers = HeaderMap::new();
    each_pair(ctx, request.get::<_, Array<'js>>("headers")?, HEADER_BYTES, |name, value| {
        let name =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("fetch: a header's name is malformed"))?;
        if headers.len() >= HEADERS {
            return Err(invalid(&format!("fetch: more than {HEADERS} headers")));
        }
        if !is_forbidden(&name) {
            let value = latin1(&value).and_then(|bytes| HeaderValue::from_bytes(&bytes).ok());
            let mut value = value.ok_or_else(|| invalid(&format!("fetch: the header {name} is malformed")))?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        Ok(())
    })?;
    let max = host.settings.limits.request_bytes;
    let body = request.get::<_, Option<Object<'js>>>("body")?;
    if body.as_ref().map_or(Ok(0), |body| body.get::<_, usize>("length"))? > max {
        return Err(host.stop_at(ctx, format!("a request body of more than {max} bytes")));
    }
    let body =
        body.map_or_else(|| Ok(Vec::new()), |body| <Bytes>::from_js(ctx, body.into_value()).map(|bytes| bytes.0))?;
    let redirect = match request.get::<_, Option<String>>("redirect")?.as_deref() {
        None | Some("follow") => Redirect::Follow,
        Some("error") => Redirect::Error,
        Some("manual") => Redirect::Manual,
        Some(_) => return Err(invalid("fetch: redirect must be follow, error or manual")),
    };
    Ok(Request { url, method, headers, body, redirect })
}

/// Returns whether the header belongs to the connection rather than the script.
fn is_forbidden(name: &HeaderName) -> bool {
    ["connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect"]
        .contains(&name.as_str())
}

/// Converts a header value to bytes: one byte for each of the first 256 characters.
fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| u8::try_from(character).ok()).collect()
}

async fn fetch(egress: Egress, waiting: Waiting, mut request: Request, limits: Exchange) -> OperationResult {
    let started = std::time::Instant::now();
    let traffic = waiting.traffic();
    let _turn = traffic.turn().await?;
    for hop in 0..=REDIRECTS {
        if hop > 0 {
            traffic.count_request().map_err(OperationError::Fatal)?;
        }
        let exchange = Exchange {
            deadline: limits.deadline.saturating_sub(started.elapsed()),
            max_body_bytes: traffic.remaining_bytes().min(limits.max_body_bytes),
            has_permit: traffic.permit.get().is_some(),
            ..limits
        };
        let mut sent = http::Request::builder().method(request.method.clone()).uri(request.url.as_str());
        if let Some(headers) = sent.headers_mut() {
            headers.clone_from(&request.headers);
        }
        let sent = sent.body(request.body.clone()).map_err(|error| rejected(&error))?;
        let mut response = egress.send(sent, exchange).await.map_err(|error| match error {
            EgressError::TooLarge { limit: bytes, .. } if bytes == limits.max_body_bytes => {
                OperationError::Fatal(limit(format!("a response of more than {bytes} bytes")))
            }
            EgressError::TooLarge { .. } => traffic.too_much(),
            other => rejected(&other),
        })?;
        if let Some(permit) = response.permit.take() {
            drop(traffic.permit.set(permit));
        }
        traffic.count_response(response.body.len())?;
        let location = response.headers.get(LOCATION).filter(|_| is_redirect(response.status)).cloned();
        match (location, request.redirect) {
            (Some(_), Redirect::Error) => {
                return Err(OperationError::Rejected("fetch: the response is a redirect".to_owned()));
            }
            (Some(location), Redirect::Follow) => request.follow(response.status, &location)?,
            _ => return Ok(make_response(request.url, hop > 0, response)),
        }
    }
    Err(OperationError::Rejected(format!("fetch: more than {REDIRECTS} redirects")))
}

fn rejected(error: &dyn std::error::Error) -> OperationError {
    OperationError::Rejected(format!("fetch failed: {error}"))
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

impl Request {
    /// Returns the memory that the request takes up while it waits.
    fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
        self.url.as_str().len() + headers.sum::<usize>() + self.body.len()
    }

    /// Follows a redirect according to the fetch standard (HTTP-redirect fetch).
    fn follow(&mut self, status: StatusCode, location: &HeaderValue) -> std::result::Result<(), OperationError> {
        let location = String::from_utf8_lossy(location.as_bytes());
        let url = self.url.join(&location).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let mut url =
            url.ok_or_else(|| OperationError::Rejected("fetch: the redirect's URL is not an HTTP URL".to_owned()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OperationError::Rejected("fetch: the redirect's URL contains credentials".to_owned()));
        }
        url.set_fragment(None);
        let becomes_get = match status.as_u16() {
            301 | 302 => self.method == Method::POST,
            303 => self.method != Method::GET && self.method != Method::HEAD,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.body.clear();
            for name in ["content-type", "content-encoding", "content-language", "content-location"] {
                self.headers.remove(name);
            }
        }
        if url.origin() != self.url.origin() {
            for name in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
                self.headers.remove(name);
            }
        }
        self.url = url;
        Ok(())
    }
}

fn make_response(url: Url, is_redirected: bool, response: crate::egress::Response) -> MakeValue {
    Box::new(move |ctx: &Ctx<'_>| -> Result<Value<'_>> {
        let object = Object::new(ctx.clone())?;
        object.set("url", url.as_str())?;
        object.set("redirected", is_redirected)?;
        object.set("status", response.status.as_u16())?;
        object.set("statusText", response.status.canonical_reason().unwrap_or_default())?;
        let headers: Vec<Vec<String>> = response
            .headers
            .iter()
            .map(|(name, value)| {
                vec![name.to_string(), value.as_bytes().iter().map(|&byte| char::from(byte)).collect()]
            })
            .collect();
        object.set("headers", headers)?;
        // Copy the body, since the copy counts toward the engine's memory.
        object.set("body", ArrayBuffer::new_copy(ctx.clone(), &response.body)?)?;
        Ok(object.into_value())
    })
}
