//! One client of the load test: it stores and connects, remembers each acknowledged change, and checks that it still holds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, StatusCode, header};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use url::Url;

use super::provider::FlakyProvider;
use crate::seeded::Seeded;

/// The redirect at the end of a flow, which is not followed.
pub(crate) const DONE: &str = "https://app.example/done";
/// How many stored and connected connections a client has.
const OWN: usize = 4;
const LINKED: usize = 4;
/// How long readers may get the previous token while a refresh is under way.
const SETTLED: Duration = Duration::from_secs(20);
/// The limit for any request, whatever the provider does.
const REQUEST_LIMIT: Duration = Duration::from_secs(90);

/// State that all clients share.
pub(crate) struct Shared {
    pub(crate) base_uri: String,
    pub(crate) provider: FlakyProvider,
    /// The number of the program's current run, and whether it accepts requests.
    pub(crate) phase: watch::Receiver<(usize, bool)>,
    pub(crate) tally: Mutex<Tally>,
}

/// Everything the clients have seen.
#[derive(Default)]
pub(crate) struct Tally {
    /// Counts by operation and status, with the error's type; `lost` if a kill cut off the response.
    pub(crate) answers: HashMap<(&'static str, String), u64>,
    pub(crate) latencies: Vec<Duration>,
    pub(crate) violations: Vec<String>,
}

/// A client.
pub(crate) struct LoadClient {
    name: String,
    token: String,
    shared: Arc<Shared>,
    rng: Seeded,
    http: reqwest::Client,
    written: u64,
    /// The values each connection may hold: one, or more after a write whose response was lost. `None` means no value.
    own: Vec<Vec<Option<String>>>,
    linked: Vec<Linked>,
}

/// A connection to the provider.
struct Linked {
    id: String,
    /// The grants that it may hold.
    grants: Vec<usize>,
    /// The grant and number of the last token seen.
    seen: Option<(usize, usize)>,
}

/// A response that arrived.
struct LoadResponse {
    status: StatusCode,
    location: Option<String>,
    cookie: Option<String>,
    has_retry_after: bool,
    body: String,
}

impl LoadResponse {
    fn error_type(&self) -> String {
        let error: Value = serde_json::from_str(&self.body).unwrap_or_default();
        error["type"].as_str().unwrap_or_default().to_owned()
    }

    /// Whether Larder reports that the provider cannot be used at the moment.
    fn is_the_providers_fault(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE && self.error_type() == "connection" && self.has_retry_after
    }
}

impl LoadClient {
    pub(crate) fn new(number: usize, seed: u64, token: String, shared: Arc<Shared>) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test's own client")]
        let http =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().timeout(REQUEST_LIMIT);
        Self {
            name: format!("client-{number}"),
            token,
            shared,
            rng: Seeded::new(seed ^ ((number as u64 + 1) << 32)),
            http: http.build().expect("an HTTP client"),
            written: 0,
            own: vec![vec![None]; OWN],
            linked: Vec::new(),
        }
    }

    /// Performs random operations until `end`, each at least once, then checks all of its connections.
    pub(crate) async fn run(mut self, end: Instant) {
        let mut first = [40, 0, 58, 64, 70, 88, 94, 98].into_iter();
        loop {
            let next = first.next().or_else(|| (Instant::now() < end).then(|| self.rng.below(100)));
            match next {
                Some(0..40) => self.read_own().await,
                Some(40..58) => self.write_own().await,
                Some(58..64) => self.delete_own().await,
                Some(64..70) => self.connect().await,
                Some(70..88) => self.read_linked().await,
                Some(88..94) => self.refresh().await,
                Some(94..98) => self.show().await,
                Some(_) => self.disconnect().await,
                None => break,
            }
            let pause = self.rng.below(60) as u64;
            sleep(Duration::from_millis(pause)).await;
        }
        for slot in 0..OWN {
            self.read_slot(slot).await;
        }
        for slot in 0..self.linked.len() {
            self.read_link(slot).await;
        }
    }

    async fn read_own(&mut self) {
        let slot = self.rng.below(OWN);
        self.read_slot(slot).await;
    }

    async fn read_slot(&mut self, slot: usize) {
        let path = self.own_path(slot);
        let Some(answer) = self.send("read", Method::GET, &path, "").await else { return };
        let value = match answer.status {
            StatusCode::OK => {
                let value = answer.body.strip_prefix("{\"credentials\":").and_then(|rest| rest.strip_suffix('}'));
                Some(value.unwrap_or_default().to_owned())
            }
            StatusCode::NOT_FOUND => None,
            _ => return self.unexpected(&path, &answer),
        };
        if !self.own[slot].contains(&value) {
            let expected = &self.own[slot];
            return self.violation(format!("{path} holds {value:?}, expected one of {expected:?}"));
        }
        self.own[slot] = vec![value];
    }

    async fn write_own(&mut self) {
        let slot = self.rng.below(OWN);
        self.written += 1;
        let padding = "x".repeat(self.rng.below(2000));
        let value = format!("{{\"of\": \"{}\", \"number\": {}, \"padding\": \"{padding}\"}}", self.name, self.written);
        let path = self.own_path(slot);
        let answer = self.send("write", Method::PUT, &path, &format!("{{\"credentials\": {value}}}")).await;
        self.written_to(slot, Some(value), answer, StatusCode::CREATED);
    }

    async fn delete_own(&mut self) {
        let slot = self.rng.below(OWN);
        let path = self.own_path(slot);
        let answer = self.send("delete", Method::DELETE, &path, "").await;
        self.written_to(slot, None, answer, StatusCode::NO_CONTENT);
    }

    fn written_to(&mut self, slot: usize, value: Option<String>, answer: Option<LoadResponse>, success: StatusCode) {
        match answer {
            None => self.own[slot].push(value),
            Some(answer) if answer.status == success => self.own[slot] = vec![value],
            Some(answer) => self.unexpected("a write", &answer),
        }
    }

    /// Runs the whole code flow, for a new connection or an existing one.
    async fn connect(&mut self) {
        let reconnected = if self.linked.len() < LINKED { None } else { Some(self.rng.below(LINKED)) };
        let target = match reconnected {
            Some(slot) => format!("connectionId={}", self.linked[slot].id),
            None => "allowMultipleConnections=1".to_owned(),
        };
        let path = format!("/connect?integrationKey=load&redirectUri={DONE}&token={}&{target}", self.token);
        let Some(departure) = self.send("connect", Method::GET, &path, "").await else { return };
        let (Some(authorize), Some(cookie)) = (&departure.location, &departure.cookie) else {
            return self.unexpected("/connect", &departure);
        };
        if !authorize.contains("/authorize?") {
            return self.unexpected(&format!("/connect led to {authorize}, and"), &departure);
        }
        let (grant, callback) = self.shared.provider.approve(authorize);
        let path = callback.strip_prefix(&self.shared.base_uri).expect("a callback to Larder").to_owned();
        let arrival = self.send_as("callback", Method::GET, &path, "", Some(cookie)).await;
        let Some(arrival) = arrival else {
            if let Some(slot) = reconnected {
                self.linked[slot].grants.push(grant);
            }
            return;
        };
        let Some(result) = arrival.location.as_deref().and_then(|location| Url::parse(location).ok()) else {
            return self.unexpected("/oauth-callback", &arrival);
        };
        let get = |name: &str| result.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        match (get("connectionId"), get("errorData"), reconnected) {
            (Some(id), _, None) => self.linked.push(Linked { id, grants: vec![grant], seen: None }),
            (Some(_), _, Some(slot)) => self.linked[slot].grants = vec![grant],
            (None, Some(error), _) => {
                let error: Value = serde_json::from_str(&error).unwrap_or_default();
                if error["type"] != "connection" || !self.shared.provider.has_failed(grant) {
                    self.violation(format!("connecting failed, though no provider call did: {error}"));
                }
            }
            (None, None, _) => self.unexpected("/oauth-callback", &arrival),
        }
    }

    async fn read_linked(&mut self) {
        if let Some(slot) = self.any_link() {
            self.read_link(slot).await;
        }
    }

    async fn read_link(&mut self, slot: usize) {
        let id = self.linked[slot].id.clone();
        let path = format!("/credentials?connectionId={id}");
        let deadline = Instant::now() + SETTLED;
        loop {
            let begun = Instant::now();
            let provider = self.shared.provider.clone();
            let newest: HashMap<usize, Option<usize>> =
                self.linked[slot].grants.iter().map(|grant| (*grant, provider.newest_delivered(*grant))).collect();
            let Some(answer) = self.send("read token", Method::GET, &path, "").await else { return };
            if answer.status != StatusCode::OK {
                // By contract, only an expired token that could not be refreshed is withheld.
                if !answer.is_the_providers_fault() {
                    self.unexpected(&path, &answer);
                }
                return;
            }
            let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
            let token = body["credentials"]["access_token"].as_str().unwrap_or_default();
            let Some((grant, served)) = provider.find(token) else {
                return self.violation(format!("served {token:?}, which was never issued"));
            };
            let Some(newest) = newest.get(&grant) else {
                return self.violation(format!("served {token}, which belongs to another connection"));
            };
            // A served token must still be valid on arrival: Larder leaves a tenth of its lifetime, at most five seconds.
            let margin = (served.lifetime / 10).min(Duration::from_secs(5));
            let now = Instant::now();
            if served.expires_at <= if now - begun < margin { now } else { begun } {
                return self.violation(format!("served {token}, which expired {:?} ago", now - served.expires_at));
            }
            let link = &mut self.linked[slot];
            if link.seen.is_some_and(|(of, number)| of == grant && number > served.number) {
                let seen = link.seen;
                return self.violation(format!("served {token} after {seen:?}"));
            }
            link.grants = vec![grant];
            link.seen = Some((grant, served.number));
            if newest.is_none_or(|newest| newest <= served.number) {
                return;
            }
            if Instant::now() > deadline {
                return self.violation(format!("still serves {token}, though {newest:?} was delivered long ago"));
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    async fn refresh(&mut self) {
        let Some(slot) = self.any_link() else { return };
        let path = format!("/connections/{}/refresh-credentials", self.linked[slot].id);
        let Some(answer) = self.send("refresh", Method::POST, &path, "").await else { return };
        if answer.status != StatusCode::OK && !answer.is_the_providers_fault() {
            self.unexpected(&path, &answer);
        }
    }

    async fn show(&mut self) {
        let Some(slot) = self.any_link() else { return };
        let path = format!("/connections/{}", self.linked[slot].id);
        let Some(answer) = self.send("show", Method::GET, &path, "").await else { return };
        let connection: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        if answer.status != StatusCode::OK || connection["state"] != "READY" {
            self.unexpected(&path, &answer);
        }
    }

    async fn disconnect(&mut self) {
        let Some(slot) = self.any_link() else { return };
        let Linked { id, .. } = self.linked.swap_remove(slot);
        let Some(answer) = self.send("disconnect", Method::DELETE, &format!("/connections/{id}"), "").await else {
            return;
        };
        if answer.status != StatusCode::NO_CONTENT {
            return self.unexpected("disconnecting", &answer);
        }
        let path = format!("/credentials?connectionId={id}");
        let Some(answer) = self.send("read token", Method::GET, &path, "").await else { return };
        if answer.status != StatusCode::NOT_FOUND {
            self.unexpected(&format!("{path}, which was removed,"), &answer);
        }
    }

    fn any_link(&mut self) -> Option<usize> {
        if self.linked.is_empty() { None } else { Some(self.rng.below(self.linked.len())) }
    }

    fn own_path(&self, slot: usize) -> String {
        format!("/credentials?connectionId={}-{slot}", self.name)
    }

    async fn send(&self, what: &'static str, method: Method, path: &str, body: &str) -> Option<LoadResponse> {
        self.send_as(what, method, path, body, None).await
    }

    /// Sends a request once the program accepts them. `None` if a kill cut off the response.
    async fn send_as(
        &self,
        what: &'static str,
        method: Method,
        path: &str,
        body: &str,
        cookie: Option<&str>,
    ) -> Option<LoadResponse> {
        let mut phase = self.shared.phase.clone();
        let (run, _) = *phase.wait_for(|(_, is_up)| *is_up).await.expect("the program restarts");
        let uri = format!("{}{path}", self.shared.base_uri);
        let mut request = self.http.request(method, uri).bearer_auth(&self.token).body(body.to_owned());
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let begun = Instant::now();
        let answer = match receive(request).await {
            Ok(answer) => answer,
            Err(error) => {
                if *phase.borrow() == (run, true) {
                    self.violation(format!("{what} got no response, though nothing was killed: {error:?}"));
                }
                self.count(what, "lost".into());
                return None;
            }
        };
        let kind = if answer.status.is_client_error() || answer.status.is_server_error() {
            format!("{} {}", answer.status.as_u16(), answer.error_type())
        } else {
            answer.status.as_u16().to_string()
        };
        self.count(what, kind);
        self.shared.tally.lock().expect("the lock is not poisoned").latencies.push(begun.elapsed());
        Some(answer)
    }

    fn count(&self, what: &'static str, kind: String) {
        *self.shared.tally.lock().expect("the lock is not poisoned").answers.entry((what, kind)).or_default() += 1;
    }

    fn unexpected(&self, what: &str, answer: &LoadResponse) {
        self.violation(format!("{what} answered {}: {}", answer.status, answer.body));
    }

    fn violation(&self, what: String) {
        let violation = format!("{}: {what}", self.name);
        self.shared.tally.lock().expect("the lock is not poisoned").violations.push(violation);
    }
}

async fn receive(request: reqwest::RequestBuilder) -> Result<LoadResponse, reqwest::Error> {
    let response = request.send().await?;
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let cookie = header(header::SET_COOKIE).and_then(|line| Some(line.split(';').next()?.to_owned()));
    let (location, has_retry_after) = (header(header::LOCATION), header(header::RETRY_AFTER).is_some());
    Ok(LoadResponse { status: response.status(), location, cookie, has_retry_after, body: response.text().await? })
}
