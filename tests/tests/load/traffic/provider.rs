//! A provider that fails one call in ten and tracks every token it issues.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::stream;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use larder_tests::loopback::{listen, serve};
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

use crate::seeded::Seeded;

/// The lifetimes of access tokens, in seconds. Each grant has one of them.
const LIFETIMES: [u64; 6] = [4, 8, 20, 90, 600, 3600];
/// A process that is killed this soon after it got an answer may not have saved it.
const UNSAVED: Duration = Duration::from_secs(10);
/// The minimum time between refreshes of a grant. Larder decides on them a minute apart, and may then take ten seconds to
/// prepare the request.
const MIN_INTERVAL: Duration = Duration::from_secs(50);

type ResponseBody = BoxBody<Bytes, io::Error>;

/// A provider on a loopback port. It rotates refresh tokens, and accepts an old one until its successor has been used.
#[derive(Clone)]
pub(crate) struct FlakyProvider {
    base: String,
    state: Arc<Mutex<ProviderState>>,
}

struct ProviderState {
    rng: Seeded,
    grants: Vec<Grant>,
    /// When each run of the program ended.
    kills: Vec<Instant>,
    calls: HashMap<&'static str, u64>,
    faults: HashMap<&'static str, u64>,
    violations: Vec<String>,
}

struct Grant {
    lifetime: Duration,
    tokens: Vec<IssuedToken>,
    /// When each attempt at a refresh began. An attempt is two calls if the first one was cut off.
    refreshes: Vec<Instant>,
    was_cut: bool,
    has_failed: bool,
}

/// An access token and the refresh token that came with it.
#[derive(Clone, Copy)]
struct IssuedToken {
    expires_at: Instant,
    /// The program's run that got it, and when; `None` if the response was cut off.
    delivered: Option<(usize, Instant)>,
    is_refreshed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    ServerError,
    TooManyRequests,
    /// Closes the connection before doing anything.
    Cut,
    /// Issues tokens, then closes the connection in the middle of the response.
    CutAnswer,
    Slow,
}

/// The facts about a token that Larder served.
pub(crate) struct Served {
    /// Its index among its grant's tokens.
    pub(crate) number: usize,
    pub(crate) expires_at: Instant,
    pub(crate) lifetime: Duration,
}

impl FlakyProvider {
    pub(crate) async fn start(seed: u64) -> Self {
        let (listener, address) = listen().await;
        let base = format!("http://{address}");
        let state = ProviderState {
            rng: Seeded::new(seed),
            grants: Vec::new(),
            kills: Vec::new(),
            calls: HashMap::new(),
            faults: HashMap::new(),
            violations: Vec::new(),
        };
        let provider = Self { base, state: Arc::new(Mutex::new(state)) };
        let serving = provider.clone();
        serve(listener, move |request| {
            let provider = serving.clone();
            async move { provider.answer(request).await }
        });
        provider
    }

    /// The parameters of an `oauth2` integration that uses this provider.
    pub(crate) fn parameters(&self) -> Value {
        json!({
            "clientId": "load", "clientSecret": "load-secret",
            "authorizeUri": format!("{}/authorize", self.base),
            "tokenUri": format!("{}/token", self.base),
            "testUri": format!("{}/me", self.base),
        })
    }

    /// Approves as the end user. Returns the grant and the callback URL.
    pub(crate) fn approve(&self, authorize_url: &str) -> (usize, String) {
        let mut state = self.state();
        let grant = state.grants.len();
        let lifetime = Duration::from_secs(LIFETIMES[state.rng.below(LIFETIMES.len())]);
        state.grants.push(Grant {
            lifetime,
            tokens: Vec::new(),
            refreshes: Vec::new(),
            was_cut: false,
            has_failed: false,
        });
        let url = Url::parse(authorize_url).expect("a URL");
        let get = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let mut back = Url::parse(&get("redirect_uri").expect("a redirect_uri")).expect("a URL");
        let state_of_flow = get("state").expect("a state");
        back.query_pairs_mut().append_pair("code", &format!("code-{grant}")).append_pair("state", &state_of_flow);
        (grant, back.into())
    }

    /// Whether a call for a grant was made to fail.
    pub(crate) fn has_failed(&self, grant: usize) -> bool {
        self.state().grants[grant].has_failed
    }

    /// The grant of an access token, and the facts about the token; `None` if it was never issued.
    pub(crate) fn find(&self, access_token: &str) -> Option<(usize, Served)> {
        let (grant, number) = parse(access_token, "access")?;
        let state = self.state();
        let issuer = state.grants.get(grant)?;
        let token = issuer.tokens.get(number)?;
        Some((grant, Served { number, expires_at: token.expires_at, lifetime: issuer.lifetime }))
    }

    /// The newest token of a grant that the program's current run has received; earlier runs may have lost theirs.
    pub(crate) fn newest_delivered(&self, grant: usize) -> Option<usize> {
        let state = self.state();
        let run = state.kills.len();
        state.grants[grant].tokens.iter().rposition(|token| token.delivered.is_some_and(|(to, _)| to == run))
    }

    /// Records that the program is about to be killed.
    pub(crate) fn note_kill(&self) {
        self.state().kills.push(Instant::now());
    }

    /// The number of faults, and a summary of calls by endpoint and faults by kind.
    pub(crate) fn counts(&self) -> (u64, String) {
        let state = self.state();
        let list = |counts: &HashMap<&str, u64>| {
            let mut list: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            list.sort();
            list.join(", ")
        };
        let faults = state.faults.values().sum();
        (faults, format!("provider calls: {}; failed on purpose: {}", list(&state.calls), list(&state.faults)))
    }

    /// The requests that should not have been made.
    pub(crate) fn violations(&self) -> Vec<String> {
        let state = self.state();
        let mut violations = state.violations.clone();
        for (grant, Grant { refreshes, .. }) in state.grants.iter().enumerate() {
            for pair in refreshes.windows(2).filter(|pair| pair[1] - pair[0] < MIN_INTERVAL) {
                violations.push(format!("grant {grant} was refreshed again after {:?}", pair[1] - pair[0]));
            }
        }
        violations
    }

    fn state(&self) -> MutexGuard<'_, ProviderState> {
        self.state.lock().expect("the lock is not poisoned")
    }

    async fn answer(&self, request: hyper::Request<Incoming>) -> Result<hyper::Response<ResponseBody>, io::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let form: HashMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
        let (kind, fault) = {
            let mut state = self.state();
            let bearer = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
            let bearer = bearer.and_then(|value| value.strip_prefix("Bearer "));
            let (kind, grant) = match (parts.uri.path(), form.get("code"), form.get("refresh_token")) {
                ("/token", Some(code), _) => ("codes", code.strip_prefix("code-").and_then(|grant| grant.parse().ok())),
                ("/token", _, Some(token)) => ("refreshes", parse(token, "refresh").map(|(grant, _)| grant)),
                _ => ("tests", bearer.and_then(|token| parse(token, "access")).map(|(grant, _)| grant)),
            };
            *state.calls.entry(kind).or_default() += 1;
            let grant: usize = grant.expect("an issued token");
            let is_second = kind == "refreshes" && std::mem::take(&mut state.grants[grant].was_cut);
            if kind == "refreshes" && !is_second {
                state.grants[grant].refreshes.push(Instant::now());
            }
            let fault = state.fault(grant);
            state.grants[grant].was_cut =
                kind == "refreshes" && matches!(fault, Some(Fault::Cut | Fault::CutAnswer)) && !is_second;
            (kind, fault)
        };
        match fault {
            Some(Fault::ServerError) => return Ok(text(503, "down for maintenance", &[])),
            Some(Fault::TooManyRequests) => return Ok(text(429, "{}", &[("retry-after", "2")])),
            Some(Fault::Cut) => return Err(io::ErrorKind::ConnectionReset.into()),
            Some(Fault::Slow) => {
                let milliseconds = 200 + self.state().rng.below(2000) as u64;
                tokio::time::sleep(Duration::from_millis(milliseconds)).await;
            }
            Some(Fault::CutAnswer) | None => {}
        }
        let is_cut = fault == Some(Fault::CutAnswer);
        let body = match kind {
            "codes" => {
                let grant = form["code"].strip_prefix("code-").and_then(|grant| grant.parse().ok());
                self.state().issue(grant.expect("a grant"), !is_cut)
            }
            "refreshes" => {
                let (grant, number) = parse(&form["refresh_token"], "refresh").expect("an issued token");
                let mut state = self.state();
                state.refresh(grant, number);
                state.issue(grant, !is_cut)
            }
            _ => json!({}),
        };
        let body = body.to_string();
        if is_cut {
            let half = Bytes::copy_from_slice(&body.as_bytes()[..body.len() / 2]);
            let frames = stream::iter([Ok(Frame::data(half)), Err(io::ErrorKind::ConnectionReset.into())]);
            return Ok(hyper::Response::new(StreamBody::new(frames).boxed()));
        }
        Ok(text(200, &body, &[("content-type", "application/json")]))
    }
}

impl ProviderState {
    /// Draws a fault for one call in ten.
    fn fault(&mut self, grant: usize) -> Option<Fault> {
        if self.rng.below(10) != 0 {
            return None;
        }
        let (fault, name) = [
            (Fault::ServerError, "503"),
            (Fault::TooManyRequests, "429"),
            (Fault::Cut, "cut"),
            (Fault::CutAnswer, "cut answer"),
            (Fault::Slow, "slow"),
        ][self.rng.below(5)];
        *self.faults.entry(name).or_default() += 1;
        self.grants[grant].has_failed |= fault != Fault::Slow;
        Some(fault)
    }

    fn issue(&mut self, grant: usize, is_delivered: bool) -> Value {
        let now = Instant::now();
        let run = self.kills.len();
        let Grant { lifetime, tokens, .. } = &mut self.grants[grant];
        let number = tokens.len();
        let delivered = is_delivered.then_some((run, now));
        tokens.push(IssuedToken { expires_at: now + *lifetime, delivered, is_refreshed: false });
        json!({
            "access_token": format!("access-{grant}-{number}"), "refresh_token": format!("refresh-{grant}-{number}"),
            "token_type": "Bearer", "expires_in": lifetime.as_secs(),
        })
    }

    /// Records the use of a refresh token, and a violation if a newer one should have been used.
    fn refresh(&mut self, grant: usize, number: usize) {
        let since = self.grants[grant].tokens.split_off(number + 1);
        for (after, token) in since.iter().enumerate() {
            let may_be_lost = token.delivered.is_none_or(|(run, at)| {
                self.kills.get(run).is_some_and(|killed_at| killed_at.duration_since(at) < UNSAVED)
            });
            if token.is_refreshed || !may_be_lost {
                let newer = number + 1 + after;
                self.violations
                    .push(format!("grant {grant} was refreshed with token {number}, but already has {newer}"));
            }
        }
        self.grants[grant].tokens[number].is_refreshed = true;
        self.grants[grant].tokens.extend(since);
    }
}

/// Parses the grant and the number in a token.
fn parse(token: &str, kind: &str) -> Option<(usize, usize)> {
    let (grant, number) = token.strip_prefix(kind)?.strip_prefix('-')?.split_once('-')?;
    Some((grant.parse().ok()?, number.parse().ok()?))
}

fn text(status: u16, body: &str, headers: &[(&str, &str)]) -> hyper::Response<ResponseBody> {
    let mut response = hyper::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    let body = Full::from(body.to_owned()).map_err(|never: Infallible| match never {});
    response.body(body.boxed()).expect("a response")
}
