//! Simulated providers, whose token endpoints differ in their OAuth 2 behavior, and a ledger of everything they issued.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use larder::connection::Expiry;
use serde_json::{Value, json};

use super::network::Network;
use super::sandbox::START;

/// The provider of one connection.
#[derive(Debug, Clone)]
pub(super) struct SimulatedProvider {
    pub(super) policy: RefreshTokenPolicy,
    /// The lifetime of access tokens.
    pub(super) lifetime: Duration,
    pub(super) statement: LifetimeStatement,
    /// How far its clock is ahead of ours, in seconds.
    pub(super) ahead: i64,
    /// How many answers in a thousand take 10 to 40 seconds.
    pub(super) slow: u64,
    /// How many calls in a thousand fail, independently of the network.
    pub(super) fails: u64,
    /// Whether refreshes return the existing tokens until the access token expires, as PayPal and Marketo do.
    pub(super) reissues: bool,
    /// How many calls in a thousand get a 200 that reports a temporary error. If there are any, dead grants get a 200 too, as
    /// GitHub does.
    pub(super) errors_with_200: u64,
    /// How many refreshes in a thousand it performs without delivering an answer, independently of the network. An immediate
    /// retry always gets an answer.
    pub(super) loses_answers: u64,
}

impl SimulatedProvider {
    /// A provider without quirks, which states `expires_in`.
    pub(super) fn new(policy: RefreshTokenPolicy, lifetime: Duration) -> Self {
        let statement = LifetimeStatement::ExpiresIn;
        Self {
            policy,
            lifetime,
            statement,
            ahead: 0,
            slow: 0,
            fails: 0,
            reissues: false,
            errors_with_200: 0,
            loses_answers: 0,
        }
    }

    /// Converts a time of our clock to the provider's clock.
    fn by_its_clock(&self, time: Duration) -> i64 {
        START + i64::try_from(time.as_secs()).expect("fits") + self.ahead
    }

    /// Whether it answers every call correctly and in time, apart from lost answers.
    pub(super) fn is_reliable(&self) -> bool {
        self.slow == 0 && self.fails == 0 && self.errors_with_200 == 0
    }

    /// Whether an immediate retry makes up for a lost answer.
    pub(super) fn tolerates_retries(&self) -> bool {
        self.loses_answers == 0
            || matches!(self.policy, RefreshTokenPolicy::Keeps | RefreshTokenPolicy::RotatesWithGrace(_))
    }
}

/// How a provider treats refresh tokens.
#[derive(Debug, Clone, Copy)]
pub(super) enum RefreshTokenPolicy {
    /// A refresh token never changes.
    Keeps,
    /// Each is good for one refresh. Reuse ends the grant (RFC 9700 §4.14.2).
    RotatesStrictly,
    /// Each is good for one refresh. Reuse is rejected.
    RotatesQuietly,
    /// Each is good for one refresh, and for this long reuse gets an answer again.
    RotatesWithGrace(Duration),
}

/// How a provider states the lifetime of access tokens.
#[derive(Debug, Clone, Copy)]
pub(super) enum LifetimeStatement {
    /// `expires_in`.
    ExpiresIn,
    /// `expires_at`, by its own clock.
    ExpiresAt,
    /// `expires_in` at connect, but not at refreshes, although those tokens expire too.
    Once,
    /// Not at all.
    Never,
}

/// How much of a stated lifetime gets lost: Larder counts from before the request arrives, and lifetimes are whole seconds.
const LIFETIME_LOSS: Duration = Duration::from_secs(2);

/// Why the answers of an older grant are no longer needed.
const RECONNECTED: &str = "the end user has reconnected";

/// All providers of a run.
pub(super) struct SimulatedProviders {
    pub(super) network: Arc<Network>,
    all: Vec<SimulatedProvider>,
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
struct Ledger {
    grants: Vec<Grant>,
    refresh_tokens: HashMap<String, RefreshToken>,
    access_tokens: HashMap<String, AccessToken>,
    answers: Vec<TokenAnswer>,
    /// Processes that have a grant but have not stored it yet, with the provider and the grant.
    connecting: HashMap<usize, (usize, usize)>,
    /// The last stored grant of each provider.
    connected: HashMap<usize, usize>,
    /// The refresh calls to each provider, without retries after a lost answer.
    calls: HashMap<usize, Vec<RefreshCall>>,
    /// For each process and provider: when the last answer was lost, and whether that call was a retry.
    lost: HashMap<(usize, usize), (Duration, bool)>,
}

struct RefreshCall {
    at: Duration,
    /// When the token expires, if the previous call returned the existing one.
    after_reissue_until: Option<Duration>,
}

struct Grant {
    provider: usize,
    refresh_token: String,
    access_token: String,
    issued: u64,
    is_over: bool,
    /// When the access token expires, if the last refresh returned it again.
    reissued_until: Option<Duration>,
}

struct RefreshToken {
    grant: usize,
    /// When it was first used, and the answer to that call.
    used: Option<(Duration, usize)>,
}

struct AccessToken {
    grant: usize,
    expires_at: Option<Duration>,
    /// The answer that contained it, unless it was issued at connect.
    answer: Option<usize>,
}

/// An answer with new tokens, on its way from the provider to the table.
struct TokenAnswer {
    provider: usize,
    sandbox: usize,
    delivered_at: Duration,
    status: AnswerStatus,
    /// Why Larder may lose it.
    excuse: Option<&'static str>,
}

/// How far an answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerStatus {
    UnderWay,
    Lost,
    Delivered,
    Queued,
    Saved,
}

/// A provider's HTTP response.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: String,
    /// The index of the answer in the ledger, if a refresh returned tokens.
    pub(super) answer: Option<usize>,
}

impl SimulatedProviders {
    pub(super) fn new(network: Arc<Network>, all: Vec<SimulatedProvider>) -> Self {
        Self { network, all, ledger: Mutex::default() }
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("the lock is not poisoned")
    }

    pub(super) fn get(&self, provider: usize) -> &SimulatedProvider {
        &self.all[provider]
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The token endpoint of a provider.
    pub(super) fn token_uri(provider: usize) -> String {
        format!("https://provider-{provider}.example/token")
    }

    pub(super) fn by_host(host: &str) -> usize {
        let number = host.strip_prefix("provider-").and_then(|host| host.strip_suffix(".example"));
        number.and_then(|number| number.parse().ok()).expect("a provider's host")
    }

    /// Handles a token request.
    pub(super) fn answer(&self, sandbox: usize, provider: usize, body: &[u8], is_retry: bool) -> Reply {
        let form: HashMap<_, _> = form_urlencoded::parse(body).into_owned().collect();
        match form["grant_type"].as_str() {
            "refresh_token" => self.refresh(sandbox, provider, &form["refresh_token"], is_retry),
            _ => self.grant(sandbox, provider),
        }
    }

    fn grant(&self, sandbox: usize, provider: usize) -> Reply {
        let mut ledger = self.ledger();
        let grant = ledger.grants.len();
        let (refresh_token, access_token) = (String::new(), String::new());
        ledger.grants.push(Grant {
            provider,
            refresh_token,
            access_token,
            issued: 0,
            is_over: false,
            reissued_until: None,
        });
        ledger.connecting.insert(sandbox, (provider, grant));
        drop(ledger);
        self.network.count("grants");
        self.network.log(|| format!("provider {provider} creates grant {grant}"));
        Reply { status: StatusCode::OK, body: self.issue(grant, true, None).to_string(), answer: None }
    }

    /// Issues tokens. Returns the response body.
    fn issue(&self, number: usize, rotates: bool, answer: Option<usize>) -> Value {
        let now = self.network.now();
        let mut ledger = self.ledger();
        let grant = &mut ledger.grants[number];
        let provider = &self.all[grant.provider];
        grant.issued += 1;
        grant.reissued_until = None;
        let version = grant.issued;
        grant.access_token = format!("access-{number}-{version}");
        let access_token = grant.access_token.clone();
        let mut body = json!({ "access_token": access_token, "token_type": "Bearer" });
        if rotates {
            grant.refresh_token = format!("refresh-{number}-{version}");
            let refresh_token = grant.refresh_token.clone();
            ledger.refresh_tokens.insert(refresh_token, RefreshToken { grant: number, used: None });
        }
        body["refresh_token"] = json!(ledger.grants[number].refresh_token);
        let expires_at = now + provider.lifetime;
        match provider.statement {
            LifetimeStatement::ExpiresIn => body["expires_in"] = json!(provider.lifetime.as_secs()),
            LifetimeStatement::ExpiresAt => body["expires_at"] = json!(provider.by_its_clock(expires_at)),
            LifetimeStatement::Once if answer.is_none() => body["expires_in"] = json!(provider.lifetime.as_secs()),
            LifetimeStatement::Once | LifetimeStatement::Never => {}
        }
        let expires_at = (!matches!(provider.statement, LifetimeStatement::Never)).then_some(expires_at);
        ledger.access_tokens.insert(access_token, AccessToken { grant: number, expires_at, answer });
        body
    }

    /// Returns the existing tokens with the remaining lifetime in whole seconds. `None` once the access token has expired.
    fn reissue(&self, number: usize) -> Option<Value> {
        let now = self.network.now();
        let mut ledger = self.ledger();
        let expires_at =
            ledger.access_tokens.get(&ledger.grants[number].access_token)?.expires_at.filter(|at| *at > now)?;
        let grant = &mut ledger.grants[number];
        grant.reissued_until = Some(expires_at);
        let mut body = json!({
            "access_token": grant.access_token,
            "refresh_token": grant.refresh_token,
            "token_type": "Bearer",
        });
        let it = &self.all[grant.provider];
        match it.statement {
            LifetimeStatement::ExpiresIn => body["expires_in"] = json!((expires_at - now).as_secs()),
            LifetimeStatement::ExpiresAt => body["expires_at"] = json!(it.by_its_clock(expires_at)),
            LifetimeStatement::Once | LifetimeStatement::Never => {}
        }
        self.network.count("refreshes that returned the existing token");
        Some(body)
    }

    fn refresh(&self, sandbox: usize, provider: usize, token: &str, is_retry: bool) -> Reply {
        let now = self.network.now();
        self.network.count("refreshes");
        let again = if is_retry { " again" } else { "" };
        self.network.log(|| format!("process {sandbox} sends {token} to provider {provider}{again}"));
        let SimulatedProvider { policy, reissues, .. } = self.all[provider];
        let mut ledger = self.ledger();
        let RefreshToken { grant, used } = ledger.refresh_tokens.get(token).expect("an issued refresh token");
        let (grant, used) = (*grant, *used);
        if !is_retry {
            let after_reissue_until = ledger.grants[grant].reissued_until;
            ledger.calls.entry(provider).or_default().push(RefreshCall { at: now, after_reissue_until });
        }
        if ledger.grants[grant].is_over {
            return self.rejected(provider, "the grant is over");
        }
        let mut rotates = !matches!(policy, RefreshTokenPolicy::Keeps);
        if let Some((first, answer)) = used {
            match policy {
                RefreshTokenPolicy::RotatesWithGrace(grace) if now <= first + grace => rotates = false,
                _ => {
                    let lost = ledger.answers[answer].loss();
                    ledger.grants[grant].is_over = matches!(policy, RefreshTokenPolicy::RotatesStrictly);
                    drop(ledger);
                    self.network.check("no refresh token is sent twice", lost.is_some(), || {
                        format!("{token}, whose answer {answer} was not lost")
                    });
                    self.network.count("refresh tokens lost with their process, or by the network");
                    return self.rejected(provider, "the refresh token was already used");
                }
            }
        }
        let answer = ledger.answers.len();
        let status = AnswerStatus::UnderWay;
        // The request may have been on its way when the end user reconnected.
        let excuse = ledger.connected.get(&provider).filter(|newest| **newest > grant).map(|_| RECONNECTED);
        ledger.answers.push(TokenAnswer { provider, sandbox, delivered_at: now, status, excuse });
        drop(ledger);
        let body = reissues.then(|| self.reissue(grant)).flatten().unwrap_or_else(|| {
            if rotates {
                self.ledger()
                    .refresh_tokens
                    .get_mut(token)
                    .expect("the same refresh token")
                    .used
                    .get_or_insert((now, answer));
            }
            self.issue(grant, rotates, Some(answer))
        });
        Reply { status: StatusCode::OK, body: body.to_string(), answer: Some(answer) }
    }

    /// The reply to a refresh token that is no longer valid.
    fn rejected(&self, provider: usize, why: &str) -> Reply {
        let status = if self.all[provider].errors_with_200 > 0 { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        let body = json!({ "error": "invalid_grant", "error_description": why }).to_string();
        Reply { status, body, answer: None }
    }

    /// Whether a process that calls a provider retries a request whose answer was lost: no time has passed since then.
    pub(super) fn is_retry(&self, sandbox: usize, provider: usize) -> bool {
        let now = self.network.now();
        let lost = self.ledger().lost.remove(&(sandbox, provider));
        let Some((_, was_retry)) = lost.filter(|(at, _)| *at == now) else { return false };
        self.network.count("retries");
        self.network.check("no request is sent more than twice", !was_retry, || {
            format!("process {sandbox} calls provider {provider} a third time")
        });
        true
    }

    /// Records that a process learned that its request's answer was lost.
    pub(super) fn lost(&self, sandbox: usize, provider: usize, is_retry: bool) {
        let now = self.network.now();
        self.ledger().lost.insert((sandbox, provider), (now, is_retry));
    }

    pub(super) fn set_answer_status(&self, answer: usize, status: AnswerStatus) {
        let now = self.network.now();
        let mut ledger = self.ledger();
        let answer = &mut ledger.answers[answer];
        (answer.status, answer.delivered_at) = (status, now);
    }

    /// Visits the answers that only this process holds or waits for.
    fn for_each_held(&self, sandbox: usize, visit: impl FnMut(&mut TokenAnswer)) {
        let mut ledger = self.ledger();
        let is_held = |answer: &&mut TokenAnswer| {
            answer.sandbox == sandbox && matches!(answer.status, AnswerStatus::UnderWay | AnswerStatus::Delivered)
        };
        ledger.answers.iter_mut().filter(is_held).for_each(visit);
    }

    /// Records that a process was killed, with the answers it held.
    pub(super) fn killed(&self, sandbox: usize) {
        self.for_each_held(sandbox, |answer| answer.excuse = Some("its process was killed"));
    }

    /// Records that a process stalls, with the answers it holds. Leases tolerate a short stall.
    pub(super) fn stalled(&self, sandbox: usize, time: Duration) {
        const TOLERATED: Duration = Duration::from_secs(30);
        if time > TOLERATED {
            self.for_each_held(sandbox, |answer| answer.excuse = Some("its process stalled"));
        }
    }

    /// Records that a process is about to store a grant that another process got.
    pub(super) fn confirms(&self, sandbox: usize, grant: usize) {
        let mut ledger = self.ledger();
        let provider = ledger.grants[grant].provider;
        ledger.connecting.insert(sandbox, (provider, grant));
    }

    /// Records that a process wrote a provider's connection.
    pub(super) fn saved(&self, sandbox: usize, provider: usize) {
        let mut ledger = self.ledger();
        let connecting = ledger.connecting.get(&sandbox).copied().filter(|(to, _)| *to == provider);
        if let Some((_, grant)) = connecting {
            ledger.connecting.remove(&sandbox);
            ledger.connected.insert(provider, grant);
        }
        for answer in ledger.answers.iter_mut().filter(|answer| answer.provider == provider) {
            let is_ours = answer.sandbox == sandbox && answer.status == AnswerStatus::Delivered;
            if connecting.is_some() {
                answer.excuse = Some(RECONNECTED);
            } else if is_ours || answer.status == AnswerStatus::Queued {
                answer.status = AnswerStatus::Saved;
            }
        }
    }

    /// Records that a process put its answer on the recovery queue.
    pub(super) fn queued(&self, sandbox: usize, provider: usize) {
        self.for_each_held(sandbox, |answer| {
            if answer.provider == provider {
                answer.status = AnswerStatus::Queued;
            }
        });
    }

    /// Records that the recovery queue is late, which is not Larder's fault.
    pub(super) fn delayed(&self, provider: usize) {
        let mut ledger = self.ledger();
        let answers = ledger.answers.iter_mut().filter(|answer| answer.provider == provider);
        for answer in answers.filter(|answer| answer.status == AnswerStatus::Queued) {
            answer.excuse = Some("the recovery queue was held up");
        }
    }

    /// Checks, at the end of an invocation, that it saved or queued every answer it held, if a service accepted it.
    pub(super) fn ended(&self, sandbox: usize, all_were_out: impl Fn(Duration) -> bool) {
        self.ledger().connecting.remove(&sandbox);
        let mut abandoned = Vec::new();
        self.for_each_held(sandbox, |answer| {
            if answer.excuse.is_none() {
                answer.excuse = Some("no service accepted it");
                abandoned.push((answer.provider, answer.delivered_at));
            }
        });
        for (provider, delivered_at) in abandoned {
            if !all_were_out(delivered_at) {
                let how = format!("process {sandbox} lost an answer of provider {provider}");
                self.network.violated("every answer is saved or queued", &how);
            }
        }
    }

    /// The grant that an access token belongs to.
    pub(super) fn grant_of(&self, access_token: &str) -> Option<usize> {
        self.ledger().access_tokens.get(access_token).map(|token| token.grant)
    }

    /// Whether this access token is the newest of its grant.
    pub(super) fn is_newest(&self, access_token: &str) -> bool {
        let ledger = self.ledger();
        ledger.access_tokens.get(access_token).is_some_and(|it| ledger.grants[it.grant].access_token == access_token)
    }

    /// Checks an access token that a reader got. `allowance` covers clock skew and the duration of the read.
    pub(super) fn served(&self, provider: usize, access_token: &str, allowance: Duration) {
        let now = self.network.now();
        let ledger = self.ledger();
        let token = ledger.access_tokens.get(access_token);
        let is_own = token.is_some_and(|token| ledger.grants[token.grant].provider == provider);
        // If the provider states lifetimes only at connect and returns an existing token whose first answer was lost, Larder
        // cannot know the token's age.
        let SimulatedProvider { statement, reissues, .. } = self.all[provider];
        let is_of_unknown_age = reissues
            && matches!(statement, LifetimeStatement::Once)
            && token.and_then(|token| token.answer).is_some_and(|answer| ledger.answers[answer].loss().is_some());
        let expires_at = token.and_then(|token| token.expires_at).filter(|_| !is_of_unknown_age);
        drop(ledger);
        if is_of_unknown_age {
            self.network.count("read: a token of unknown age");
        }
        self.network.check("no reader gets another connection's token", is_own, || access_token.to_owned());
        self.network.check("no expired token is served", expires_at.is_none_or(|at| now < at + allowance), || {
            format!("{access_token}, which expired at {expires_at:?}")
        });
    }

    /// Whether one of a provider's tokens expired since then, or so shortly before that its successor may still be missing.
    pub(super) fn has_just_ended(&self, provider: usize, since: Duration) -> bool {
        let now = self.network.now();
        let ledger = self.ledger();
        let own = ledger.access_tokens.values().filter(|token| ledger.grants[token.grant].provider == provider);
        own.filter_map(|token| token.expires_at)
            .any(|end| since <= end + Expiry::LAST_MOMENTS && end <= now + LIFETIME_LOSS)
    }

    /// Checks how often each provider was called. Clock skew may shorten one interval, but then the next one is longer. A
    /// provider that returned an existing token may be called again when that expires, by clocks that differ by up to `clocks`.
    pub(super) fn check_spacing(&self, clocks: Duration) {
        const INTERVAL: f64 = 60.0;
        const CLOCKS_AND_DELAYS: f64 = 90.0;
        const AT_THE_END: usize = 5;
        let ledger = self.ledger();
        for (provider, calls) in &ledger.calls {
            let (mut latest, mut slots) = (f64::MIN, 0.0);
            let mut at_end_of = HashMap::<Duration, usize>::new();
            for (number, call) in calls.iter().enumerate() {
                let at = call.at;
                if let Some(end) = call.after_reissue_until.filter(|end| at + clocks + LIFETIME_LOSS >= *end) {
                    let count = at_end_of.entry(end).or_default();
                    *count += 1;
                    self.network.check("at most five calls at the end of a token", *count <= AT_THE_END, || {
                        format!("call {number} of provider {provider} at {at:?} for the token that expires at {end:?}")
                    });
                    continue;
                }
                let early = at.as_secs_f64() - slots;
                self.network.check("at most one call a minute", early >= latest - CLOCKS_AND_DELAYS, || {
                    format!("call {number} of provider {provider} at {at:?}")
                });
                latest = latest.max(early);
                slots += INTERVAL;
            }
        }
    }
}

impl TokenAnswer {
    /// Why Larder may no longer have it.
    fn loss(&self) -> Option<&'static str> {
        match self.status {
            AnswerStatus::Lost => Some("the answer did not arrive"),
            AnswerStatus::UnderWay | AnswerStatus::Delivered | AnswerStatus::Queued => self.excuse,
            AnswerStatus::Saved => None,
        }
    }
}
