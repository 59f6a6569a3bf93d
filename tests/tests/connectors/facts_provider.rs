//! A mock of all providers, made from the facts: it accepts a request only at the address, and with the secrets in the place,
//! that the facts state for the provider whose turn it is. Intended differences change the facts before. Only if the facts
//! are silent does it take the preset's word.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use larder_tests::World;
use larder_tests::loopback::{listen, serve};
use serde_json::{Map, Value, json};
use url::{Url, form_urlencoded};

use crate::asked::Asked;
use crate::fact_sheets::fits;
use crate::subject::Subject;

/// The lifetime of tokens in seconds.
pub(crate) const LIFETIME: u64 = 3600;

/// The providers, on a loopback port. One at a time is asked.
#[derive(Clone)]
pub(crate) struct FactsProvider {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

/// The requests that were accepted, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Codes that were exchanged, or logins.
    pub(crate) exchanges: u32,
    pub(crate) tests: u32,
    pub(crate) refreshes: u32,
    pub(crate) revocations: u32,
}

impl Counts {
    /// Adds others.
    pub(crate) fn add(&mut self, others: Self) {
        self.exchanges += others.exchanges;
        self.tests += others.tests;
        self.refreshes += others.refreshes;
        self.revocations += others.revocations;
    }
}

/// The step of a connection's lifetime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Step {
    #[default]
    Connect,
    Refresh,
    Disconnect,
}

#[derive(Default)]
struct State {
    subject: Option<Arc<Subject>>,
    step: Step,
    counts: Counts,
    challenge: Option<String>,
    redirect_uri: Option<String>,
    issued: u64,
    logins: usize,
    problems: Vec<String>,
}

type Answer = Result<(&'static str, String), String>;

impl FactsProvider {
    /// Starts the providers, which stop with the test.
    pub(crate) async fn start() -> Self {
        let (listener, address) = listen().await;
        let provider = Self { port: address.port(), state: Arc::default() };
        let serving = provider.clone();
        serve(listener, move |request: hyper::Request<Incoming>| {
            let provider = serving.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                Ok::<_, Infallible>(provider.answer(&parts, &body))
            }
        });
        provider
    }

    /// Gives the next provider its turn.
    pub(crate) fn next(&self, subject: Subject) {
        *self.state() = State { subject: Some(Arc::new(subject)), ..State::default() };
    }

    /// Begins the next step.
    pub(crate) fn step(&self, step: Step) {
        let mut state = self.state();
        state.step = step;
        state.logins = 0;
    }

    /// The accepted requests.
    pub(crate) fn counts(&self) -> Counts {
        self.state().counts
    }

    /// The reasons for rejections.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.state().problems.clone()
    }

    /// The token that was issued last.
    pub(crate) fn access_token(&self) -> String {
        access_token(self.state().issued)
    }

    /// Checks the browser's redirect, approves, and returns the callback URL; `None` after a problem.
    pub(crate) fn approve(&self, location: &str) -> Option<String> {
        let mut state = self.state();
        let subject = Arc::clone(state.subject.as_ref()?);
        match state.authorized(&subject, location) {
            Ok(callback) => Some(callback),
            Err(problem) => {
                state.problems.push(format!("the authorize URL: {problem}: {location}"));
                None
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the lock is not poisoned")
    }

    fn answer(&self, parts: &Parts, body: &[u8]) -> hyper::Response<Full<Bytes>> {
        let mut state = self.state();
        let asked = Asked::of(parts, body);
        let answer = match state.subject.clone() {
            Some(subject) => state.answered(&subject, &asked),
            None => Err("nobody's turn".to_owned()),
        };
        let (status, kind, body) = match answer {
            Ok((kind, body)) => (200, kind, body),
            Err(problem) => {
                state.problems.push(format!("{} {}: {problem}", parts.method, asked.url));
                (401, "application/json", json!({"error": "rejected", "error_description": problem}).to_string())
            }
        };
        let mut builder = hyper::Response::builder().status(status).header("content-type", kind);
        for name in state.subject.iter().flat_map(|subject| &subject.headers) {
            builder = builder.header(name, "sample");
        }
        builder.body(Full::from(body)).expect("a response")
    }
}

impl State {
    fn authorized(&mut self, subject: &Subject, location: &str) -> Result<String, String> {
        let url = Url::parse(location).map_err(|error| error.to_string())?;
        let route = url.fragment().and_then(|fragment| fragment.split_once('?')).map(|(_, query)| query);
        let parsed = |query: &str| form_urlencoded::parse(query.as_bytes()).into_owned().collect::<Vec<_>>();
        let query: Vec<(String, String)> = url.query().into_iter().chain(route).flat_map(parsed).collect();
        let get = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let claims = &subject.agreed.claims;
        check_uri(subject.uri("authorizeUri", |facts| &facts.authorize_uri), location)?;
        if let Some(token) = get("oauth_token") {
            let back = self.redirect_uri.clone().ok_or("there is no callback")?;
            let mut back = Url::parse(&back).map_err(|error| error.to_string())?;
            back.query_pairs_mut().append_pair("oauth_token", token).append_pair("oauth_verifier", "the-verifier");
            return Ok(back.into());
        }
        let facts = subject.agreed.facts.as_ref();
        let id = name(facts.map(|it| &it.authorize_names), claims.config.get("authorizeParameterNames"), "client_id");
        require(id.is_none_or(|id| get(&id) == subject.parameter("clientId")), "no client id")?;
        let scopes = claims.scopes();
        let separators = facts.map(|facts| facts.scope_separators.clone()).unwrap_or_default();
        if let (Some(scope), true) = (get("scope"), scopes.len() > 1 && !separators.is_empty()) {
            let fit = separators.iter().any(|separator| scope == scopes.join(&separator.replace('+', " ")));
            require(fit, "the scopes are joined in another way")?;
        }
        if let Some(facts) = facts {
            self.challenge = get("code_challenge").map(str::to_owned);
            require(!facts.pkce || self.challenge.is_some(), "no PKCE")?;
            for (name, value) in &facts.extra {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                require(get(name) == Some(&value), &format!("`{name}` is not {value}"))?;
            }
        }
        self.challenge = get("code_challenge").map(str::to_owned);
        self.redirect_uri = get("redirect_uri").map(str::to_owned);
        let code = claims.uri("codeParameter").unwrap_or("code");
        let mut back = Url::parse(&format!("{}/oauth-callback", World::BASE_URI)).expect("a URL");
        back.query_pairs_mut().append_pair(code, "the-code").append_pair("state", get("state").ok_or("no state")?);
        for field in claims.config.get("callbackFields").and_then(Value::as_array).into_iter().flatten() {
            let name = field.as_str().unwrap_or_default();
            let value = subject.credentials.get(name).and_then(Value::as_str).unwrap_or("sample");
            back.query_pairs_mut().append_pair(name, value);
        }
        Ok(back.into())
    }

    fn answered(&mut self, subject: &Subject, asked: &Asked<'_>) -> Answer {
        let check = |uri: Option<String>| check_uri(uri, asked.url.as_str());
        let token_uri = subject.uri("tokenUri", |facts| &facts.token_uri);
        match (self.step, subject.agreed.claims.kind) {
            (Step::Disconnect, _) => self.disconnected(subject, asked),
            _ if self.logins < subject.logins.len() => self.logged_in(subject, asked),
            (Step::Connect, "oauth1") if self.redirect_uri.is_none() => {
                check(subject.uri("requestTokenUri", |facts| &facts.request_token_uri))?;
                self.request_token(subject, asked)
            }
            (Step::Connect, "oauth1") if self.counts.exchanges == 0 => {
                check(token_uri)?;
                self.access_token_of_oauth1(subject, asked)
            }
            (Step::Connect, "oauth2") if self.counts.exchanges == 0 => {
                check(token_uri)?;
                self.tokens(subject, asked)
            }
            (Step::Refresh, "oauth2") if self.counts.refreshes == 0 => {
                check(subject.uri("refreshUri", |facts| &facts.refresh_uri).or(token_uri))?;
                self.tokens(subject, asked)
            }
            _ => self.tested(subject, asked),
        }
    }

    /// A request to the API.
    fn tested(&mut self, subject: &Subject, asked: &Asked<'_>) -> Answer {
        subject.check_host(asked)?;
        let facts = subject.agreed.facts.as_ref();
        let claims = &subject.agreed.claims;
        let token = access_token(self.issued);
        match claims.kind {
            "oauth1" => {
                let header = asked.header("authorization").unwrap_or_default();
                let is_signed =
                    header.contains(&format!("oauth_token=\"{token}\"")) && header.contains("oauth_signature=");
                require(is_signed, "the request is not signed with the token")?;
            }
            "basic" => {
                let basic = asked.basic.as_ref().ok_or("there is no HTTP Basic")?;
                let expected = facts.and_then(|facts| facts.basic.as_ref()).or(claims.basic.as_ref());
                let expected = expected.ok_or("the facts have no HTTP Basic")?;
                require(subject.is_entered(&expected.username, &basic.username), "the user name is wrong")?;
                require(subject.is_entered(&expected.password, &basic.password), "the password is wrong")?;
            }
            "api-key" => {
                let place = facts.and_then(|facts| facts.key.as_ref()).or(claims.placements.first());
                let place = place.ok_or("the facts have no place for the key")?;
                let is_there = subject.entered().any(|secret| asked.has(place, secret));
                require(is_there, &format!("there is no key in {place:?}"))?;
            }
            _ => {
                let place = facts.and_then(|facts| facts.token.as_ref()).or(claims.placements.first());
                let place = place.ok_or("there is no place for the token")?;
                require(asked.has(place, &token), &format!("there is no token in {place:?}"))?;
            }
        }
        self.counts.tests += 1;
        Ok(("application/json", subject.test.to_string()))
    }

    /// A request for tokens: with a code, or with a refresh token.
    fn tokens(&mut self, subject: &Subject, asked: &Asked<'_>) -> Answer {
        let has = |value: &str| asked.parameters.iter().any(|(_, it)| it == value);
        subject.check_client(asked, self.step)?;
        let facts = subject.agreed.facts.as_ref();
        if let Some(format) = facts.and_then(|facts| facts.token_request_format.as_deref()) {
            require(format == asked.format, &format!("the request is not in the format {format}"))?;
        }
        if self.step == Step::Refresh {
            let token = if subject.agreed.claims.flag("refreshWithAccessToken") { access_token } else { refresh_token };
            require(has(&token(self.issued)), "there is no refresh token")?;
            self.counts.refreshes += 1;
        } else {
            require(has("the-code"), "there is no code")?;
            let names = subject.agreed.claims.config.get("tokenParameterNames");
            let is_omitted = names.is_some_and(|names| names.get("redirect_uri") == Some(&Value::Null));
            let is_same = self.redirect_uri.as_ref().is_none_or(|uri| has(uri));
            require(is_same || is_omitted, "there is another redirect URI")?;
            let verified = |challenge: &String| asked.parameters.iter().any(|(_, it)| challenge_of(it) == *challenge);
            require(self.challenge.as_ref().is_none_or(verified), "there is no verifier")?;
            self.counts.exchanges += 1;
        }
        self.issued += 1;
        Ok(("application/json", subject.token_response(self.issued).to_string()))
    }

    /// A request of a login without a browser.
    fn logged_in(&mut self, subject: &Subject, asked: &Asked<'_>) -> Answer {
        let facts = subject.agreed.facts.as_ref();
        let is_only = subject.logins.len() == 1;
        match facts.and_then(|facts| facts.token_uri.as_deref()).filter(|_| is_only) {
            Some(uri) => require(asked.is_at(uri), &format!("the facts have {uri}"))?,
            None => subject.check_domain(asked)?,
        }
        if is_only {
            let text = format!("{} {}", asked.body, asked.url);
            let basic = asked.basic.as_ref();
            let sent = |secret: &str| {
                let in_basic = basic.is_some_and(|it| it.username == secret || it.password == secret);
                in_basic || text.contains(secret) || asked.parameters.iter().any(|(_, value)| value == secret)
            };
            require(subject.secrets().all(sent), "a secret is missing")?;
        }
        let body = &subject.logins[self.logins];
        self.logins += 1;
        if self.logins < subject.logins.len() {
            return Ok(("application/json", body.to_string()));
        }
        self.issued += 1;
        match self.step {
            Step::Refresh => self.counts.refreshes += 1,
            _ => self.counts.exchanges += 1,
        }
        let token = access_token(self.issued);
        Ok(("application/json", body.to_string().replace(TOKEN, &token)))
    }

    fn request_token(&mut self, subject: &Subject, asked: &Asked<'_>) -> Answer {
        let header = asked.header("authorization").unwrap_or_default();
        let key = subject.parameter("consumerKey").unwrap_or_default();
        require(header.contains(&format!("oauth_consumer_key=\"{key}\"")), "there is no consumer key")?;
        let callback = header.split_once("oauth_callback=\"").and_then(|(_, rest)| rest.split_once('"'));
        let callback = callback.and_then(|(encoded, _)| form_urlencoded::parse(encoded.as_bytes()).next());
        self.redirect_uri = callback.map(|(callback, _)| callback.into_owned());
        let body = "oauth_token=the-request&oauth_token_secret=request-secret&oauth_callback_confirmed=true";
        Ok(("application/x-www-form-urlencoded", body.to_owned()))
    }

    fn access_token_of_oauth1(&mut self, subject: &Subject, asked: &Asked<'_>) -> Answer {
        let header = asked.header("authorization").unwrap_or_default();
        require(header.contains("oauth_token=\"the-request\""), "there is no request token")?;
        require(header.contains("oauth_verifier=\"the-verifier\""), "there is no verifier")?;
        self.issued += 1;
        self.counts.exchanges += 1;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("oauth_token", &access_token(self.issued)).append_pair("oauth_token_secret", "token-secret");
        for (name, value) in &subject.credentials {
            form.append_pair(name, value.as_str().unwrap_or_default());
        }
        Ok(("application/x-www-form-urlencoded", form.finish()))
    }

    /// The last request of a connection, which must name its token.
    fn disconnected(&mut self, subject: &Subject, asked: &Asked<'_>) -> Answer {
        let claims = &subject.agreed.claims;
        let fact = subject.agreed.facts.as_ref().and_then(|facts| facts.revocation_uri.as_deref());
        match fact.or(claims.uri("revocationUri")) {
            Some(uri) => require(asked.is_at(uri), &format!("the facts have {uri}"))?,
            None => subject.check_domain(asked)?,
        }
        let tokens = [access_token(self.issued), refresh_token(self.issued)];
        let text = format!("{} {} {:?}", asked.body, asked.url, asked.parts.headers);
        require(tokens.iter().any(|token| text.contains(token.as_str())), "there is no token")?;
        self.counts.revocations += 1;
        Ok(("application/json", "{}".to_owned()))
    }
}

/// Stands for the token in the answer to a login.
pub(crate) const TOKEN: &str = "<the token>";

pub(crate) fn access_token(number: u64) -> String {
    format!("access-{number}")
}

pub(crate) fn refresh_token(number: u64) -> String {
    format!("refresh-{number}")
}

fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

/// The name of a parameter in the facts, or else in the preset; `None` if it is not sent.
fn name(facts: Option<&Map<String, Value>>, claims: Option<&Value>, standard: &str) -> Option<String> {
    let stated = facts.and_then(|names| names.get(standard)).or_else(|| claims?.get(standard));
    match stated {
        None => Some(standard.to_owned()),
        Some(name) => name.as_str().map(str::to_owned),
    }
}

fn check_uri(expected: Option<String>, uri: &str) -> Result<(), String> {
    let expected = expected.ok_or("the facts have no address")?;
    require(fits(&expected, uri), &format!("the facts have {expected}"))
}

pub(crate) fn require(condition: bool, problem: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(problem.to_owned()) }
}
