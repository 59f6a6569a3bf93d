//! The token endpoints of applications, each with its own idea of OAuth 2, and the book that is kept of what they issued.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use larder::egress::{EgressError, Limits, Response, Transport};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::network::{Fault, Network, Service};
use super::sandbox::{START, Sandbox};

/// An application that one connection leads to.
#[derive(Debug, Clone)]
pub(super) struct Application {
    pub(super) manner: Manner,
    /// How long access tokens live.
    pub(super) life: Duration,
    pub(super) says: Says,
    /// How far its clock is ahead, in seconds.
    pub(super) ahead: i64,
    /// How many answers in a thousand come after 10 to 40 seconds.
    pub(super) slow: u64,
    /// How many calls in a thousand it fails, whatever the network does.
    pub(super) fails: u64,
}

/// What it does with refresh tokens.
#[derive(Debug, Clone, Copy)]
pub(super) enum Manner {
    /// They stay.
    Keeps,
    /// Each is good for one refresh. One that comes again ends the grant (RFC 9700 §4.14.2).
    RotatesStrictly,
    /// Each is good for one refresh. One that comes again is refused.
    RotatesQuietly,
    /// The same, but for so long one that comes again is answered again.
    RotatesWithGrace(Duration),
}

/// What it says of the life of an access token.
#[derive(Debug, Clone, Copy)]
pub(super) enum Says {
    /// `expires_in`.
    ExpiresIn,
    /// `expires_at`, by its own clock.
    ExpiresAt,
    /// Nothing.
    Nothing,
}

/// All applications.
pub(super) struct Applications {
    network: Arc<Network>,
    all: Vec<Application>,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    grants: Vec<Grant>,
    refresh_tokens: HashMap<String, RefreshToken>,
    access_tokens: HashMap<String, AccessToken>,
    answers: Vec<Answer>,
    /// The processes that have got a grant, for which application, and have not stored it yet.
    connecting: HashMap<usize, usize>,
    /// When each application was asked for a refresh.
    calls: HashMap<usize, Vec<Duration>>,
}

struct Grant {
    application: usize,
    refresh_token: String,
    access_token: String,
    issued: u64,
    is_over: bool,
}

struct RefreshToken {
    grant: usize,
    /// When it was first used, and the answer to that.
    used: Option<(Duration, usize)>,
}

struct AccessToken {
    grant: usize,
    dies_at: Option<Duration>,
}

/// An answer with new tokens, from the application to the table.
struct Answer {
    application: usize,
    sandbox: usize,
    delivered_at: Duration,
    standing: Standing,
    /// Why it may have been lost since.
    excuse: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    UnderWay,
    Lost,
    Delivered,
    Queued,
    Saved,
}

struct Reply {
    status: StatusCode,
    body: String,
    answer: Option<usize>,
}

impl Applications {
    pub(super) fn new(network: Arc<Network>, all: Vec<Application>) -> Self {
        Self { network, all, book: Mutex::default() }
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().expect("no panic holds it")
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The token endpoint of an application.
    pub(super) fn token_uri(application: usize) -> String {
        format!("https://application-{application}.example/token")
    }

    fn by_host(host: &str) -> usize {
        let number = host.strip_prefix("application-").and_then(|host| host.strip_suffix(".example"));
        number.and_then(|number| number.parse().ok()).expect("the host of an application")
    }

    fn answer(&self, sandbox: usize, application: usize, body: &[u8]) -> Reply {
        let form: HashMap<_, _> = form_urlencoded::parse(body).into_owned().collect();
        match form["grant_type"].as_str() {
            "refresh_token" => self.refresh(sandbox, application, &form["refresh_token"]),
            _ => self.grant(sandbox, application),
        }
    }

    fn grant(&self, sandbox: usize, application: usize) -> Reply {
        let mut book = self.book();
        let grant = book.grants.len();
        let (refresh_token, access_token) = (String::new(), String::new());
        book.grants.push(Grant { application, refresh_token, access_token, issued: 0, is_over: false });
        book.connecting.insert(sandbox, application);
        drop(book);
        self.network.count("grants");
        self.network.tell(|| format!("application {application} makes grant {grant}"));
        Reply { status: StatusCode::OK, body: self.issue(grant, true).to_string(), answer: None }
    }

    /// Issues tokens; gives what it says of them.
    fn issue(&self, number: usize, rotates: bool) -> Value {
        let now = self.network.now();
        let mut book = self.book();
        let grant = &mut book.grants[number];
        let application = &self.all[grant.application];
        grant.issued += 1;
        let version = grant.issued;
        grant.access_token = format!("access-{number}-{version}");
        let access_token = grant.access_token.clone();
        let mut body = json!({ "access_token": access_token, "token_type": "Bearer" });
        if rotates {
            grant.refresh_token = format!("refresh-{number}-{version}");
            let refresh_token = grant.refresh_token.clone();
            book.refresh_tokens.insert(refresh_token, RefreshToken { grant: number, used: None });
        }
        body["refresh_token"] = json!(book.grants[number].refresh_token);
        let dies_at = now + application.life;
        match application.says {
            Says::ExpiresIn => body["expires_in"] = json!(application.life.as_secs()),
            Says::ExpiresAt => {
                let by_its_clock = START + i64::try_from(dies_at.as_secs()).expect("fits") + application.ahead;
                body["expires_at"] = json!(by_its_clock);
            }
            Says::Nothing => {}
        }
        let dies_at = (!matches!(application.says, Says::Nothing)).then_some(dies_at);
        book.access_tokens.insert(access_token, AccessToken { grant: number, dies_at });
        body
    }

    fn refresh(&self, sandbox: usize, application: usize, token: &str) -> Reply {
        let now = self.network.now();
        self.network.count("refreshes");
        self.network.tell(|| format!("process {sandbox} asks application {application} with {token}"));
        let Application { manner, .. } = self.all[application];
        let mut book = self.book();
        book.calls.entry(application).or_default().push(now);
        let RefreshToken { grant, used } = book.refresh_tokens.get(token).expect("a refresh token that was issued");
        let (grant, used) = (*grant, *used);
        if book.grants[grant].is_over {
            return refused("the grant is over");
        }
        let mut rotates = !matches!(manner, Manner::Keeps);
        if let Some((first, answer)) = used {
            match manner {
                Manner::RotatesWithGrace(grace) if now <= first + grace => rotates = false,
                _ => {
                    let lost = book.answers[answer].loss();
                    book.grants[grant].is_over = matches!(manner, Manner::RotatesStrictly);
                    drop(book);
                    self.network.check("no refresh token is sent twice", lost.is_some(), || {
                        format!("{token}, whose answer {answer} was not lost")
                    });
                    self.network.count("refresh tokens lost with their process, or by the network");
                    return refused("the refresh token was used before");
                }
            }
        }
        let answer = book.answers.len();
        let standing = Standing::UnderWay;
        book.answers.push(Answer { application, sandbox, delivered_at: now, standing, excuse: None });
        if rotates && used.is_none() {
            book.refresh_tokens.get_mut(token).expect("it is there").used = Some((now, answer));
        }
        drop(book);
        Reply { status: StatusCode::OK, body: self.issue(grant, rotates).to_string(), answer: Some(answer) }
    }

    fn stand(&self, answer: usize, standing: Standing) {
        let now = self.network.now();
        let mut book = self.book();
        let answer = &mut book.answers[answer];
        (answer.standing, answer.delivered_at) = (standing, now);
    }

    /// Answers that a process holds, or waits for, and nobody else has.
    fn held(&self, sandbox: usize, with: impl FnMut(&mut Answer)) {
        let mut book = self.book();
        let is_held = |answer: &&mut Answer| {
            answer.sandbox == sandbox && matches!(answer.standing, Standing::UnderWay | Standing::Delivered)
        };
        book.answers.iter_mut().filter(is_held).for_each(with);
    }

    /// A process is gone, with what it held.
    pub(super) fn killed(&self, sandbox: usize) {
        self.held(sandbox, |answer| answer.excuse = Some("its process was killed"));
    }

    /// A process stands still, with what it holds. Leases bear a little of that.
    pub(super) fn stalled(&self, sandbox: usize, time: Duration) {
        const BORNE: Duration = Duration::from_secs(30);
        if time > BORNE {
            self.held(sandbox, |answer| answer.excuse = Some("its process stood still"));
        }
    }

    /// A process wrote the connection of an application.
    pub(super) fn saved(&self, sandbox: usize, application: usize) {
        let mut book = self.book();
        let is_connected = book.connecting.get(&sandbox) == Some(&application);
        if is_connected {
            book.connecting.remove(&sandbox);
        }
        for answer in book.answers.iter_mut().filter(|answer| answer.application == application) {
            let is_ours = answer.sandbox == sandbox && answer.standing == Standing::Delivered;
            if is_connected {
                answer.excuse = Some("the end user has connected again");
            } else if is_ours || answer.standing == Standing::Queued {
                answer.standing = Standing::Saved;
            }
        }
    }

    /// A process put what it held on the recovery queue.
    pub(super) fn queued(&self, sandbox: usize, application: usize) {
        self.held(sandbox, |answer| {
            if answer.application == application {
                answer.standing = Standing::Queued;
            }
        });
    }

    /// What is on the recovery queue is late by no fault of Larder's.
    pub(super) fn delayed(&self, application: usize) {
        let mut book = self.book();
        let answers = book.answers.iter_mut().filter(|answer| answer.application == application);
        for answer in answers.filter(|answer| answer.standing == Standing::Queued) {
            answer.excuse = Some("the recovery queue was held up");
        }
    }

    /// An invocation is over. Whatever it held, it had to save or to queue, if anybody took it.
    pub(super) fn ended(&self, sandbox: usize, nobody_took_it: impl Fn(Duration) -> bool) {
        self.book().connecting.remove(&sandbox);
        let mut abandoned = Vec::new();
        self.held(sandbox, |answer| {
            if answer.excuse.is_none() {
                answer.excuse = Some("nobody took it");
                abandoned.push((answer.application, answer.delivered_at));
            }
        });
        for (application, delivered_at) in abandoned {
            if !nobody_took_it(delivered_at) {
                let how = format!("that of application {application}, by process {sandbox}");
                self.network.violated("what an application gave is saved or queued", &how);
            }
        }
    }

    /// The grant that an access token belongs to.
    pub(super) fn grant_of(&self, access_token: &str) -> Option<usize> {
        self.book().access_tokens.get(access_token).map(|token| token.grant)
    }

    /// Whether an application has given nothing newer than this access token in its grant.
    pub(super) fn is_newest(&self, access_token: &str) -> bool {
        let book = self.book();
        book.access_tokens.get(access_token).is_some_and(|it| book.grants[it.grant].access_token == access_token)
    }

    /// A reader got an access token, whose clock may be off and who may have been slow: by so much altogether.
    pub(super) fn served(&self, application: usize, access_token: &str, allowance: Duration) {
        let now = self.network.now();
        let book = self.book();
        let token = book.access_tokens.get(access_token).expect("an access token that was issued");
        let (is_own, dies_at) = (book.grants[token.grant].application == application, token.dies_at);
        drop(book);
        self.network.check("nobody gets another's token", is_own, || access_token.to_owned());
        self.network.check("nothing expired is served", dies_at.is_none_or(|at| now < at + allowance), || {
            format!("{access_token}, dead since {dies_at:?}")
        });
    }

    /// Looks at how often each application was asked. Clocks that disagree may shorten one interval, and the next is
    /// longer then.
    pub(super) fn check_spacing(&self) {
        const APART: f64 = 60.0;
        const CLOCKS_AND_DELAYS: f64 = 90.0;
        let book = self.book();
        for (application, calls) in &book.calls {
            let mut latest = f64::MIN;
            for (number, at) in calls.iter().enumerate() {
                #[expect(clippy::cast_precision_loss, reason = "these are few")]
                let early = at.as_secs_f64() - APART * number as f64;
                self.network.check("at most one call a minute", early >= latest - CLOCKS_AND_DELAYS, || {
                    format!("call {number} of application {application} at {at:?}")
                });
                latest = latest.max(early);
            }
        }
    }
}

impl Answer {
    /// Why nobody may have it any more.
    fn loss(&self) -> Option<&'static str> {
        match self.standing {
            Standing::Lost => Some("the answer did not arrive"),
            Standing::UnderWay | Standing::Delivered | Standing::Queued => self.excuse,
            Standing::Saved => None,
        }
    }
}

fn refused(why: &str) -> Reply {
    let body = json!({ "error": "invalid_grant", "error_description": why }).to_string();
    Reply { status: StatusCode::BAD_REQUEST, body, answer: None }
}

/// The way of one process to all applications.
pub(super) struct Internet {
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) applications: Arc<Applications>,
}

/// Nobody waits any more for an answer that is dropped before it is delivered.
struct UnderWay<'a> {
    applications: &'a Applications,
    answer: Option<usize>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(answer) = self.answer {
            self.applications.network.tell(|| format!("answer {answer} is lost"));
            self.applications.stand(answer, Standing::Lost);
        }
    }
}

#[async_trait::async_trait]
impl Transport for Internet {
    async fn exchange(&self, request: http::Request<Vec<u8>>, _: Limits) -> Result<Response, EgressError> {
        let Self { sandbox, applications } = self;
        let host = request.uri().host().expect("a host").to_owned();
        let number = Applications::by_host(&host);
        let (application, chance) = (&applications.all[number], &sandbox.network.chance);
        let there = chance.milliseconds(5..=400);
        let may = |per_mille| !sandbox.network.is_quiet() && chance.per_mille(per_mille);
        let back = if may(application.slow) { chance.seconds(10..=40) } else { chance.milliseconds(5..=400) };
        let is_failing = may(application.fails);
        let mut under_way = UnderWay { applications, answer: None };
        let mut asked_at = Duration::ZERO;
        let answering = sandbox.call_slowly(Service::Application, there, back, || {
            asked_at = sandbox.network.now();
            if is_failing {
                return None;
            }
            let reply = applications.answer(sandbox.id, number, request.body());
            under_way.answer = reply.answer;
            Some(reply)
        });
        let (status, body) = match answering.await {
            Ok(Some(Reply { status, body, answer })) => {
                under_way.answer = None;
                if let Some(answer) = answer {
                    applications.stand(answer, Standing::Delivered);
                }
                (status, body)
            }
            Ok(None) | Err(Fault::Refused) => out_of_order(chance.number(0..=4)),
            Err(Fault::AnswerLost) => match chance.number(0..=2) {
                0 => (StatusCode::OK, r#"{"access_token": "acc"#.to_owned()),
                1 => (StatusCode::BAD_GATEWAY, "<html>".to_owned()),
                _ => return Err(EgressError::AnswerLost { host, reason: "the connection was reset".into() }),
            },
            Err(Fault::NoAnswer) => unreachable!("it never comes"),
        };
        let mut headers = HeaderMap::new();
        let kind = if body.starts_with('{') { "application/json" } else { "text/html" };
        headers.insert("content-type", HeaderValue::from_static(kind));
        let date = OffsetDateTime::UNIX_EPOCH
            + Duration::from_secs(START.unsigned_abs())
            + asked_at
            + time::Duration::seconds(application.ahead);
        let date = date.format(&Rfc2822).expect("a date").replace("+0000", "GMT");
        headers.insert("date", date.parse().expect("a header"));
        if status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert("retry-after", HeaderValue::from_static("120"));
        }
        Ok(Response::new(status, headers, body))
    }
}

/// Answers that mean nothing but "later".
fn out_of_order(kind: u64) -> (StatusCode, String) {
    match kind {
        0 => (StatusCode::SERVICE_UNAVAILABLE, "<html>".to_owned()),
        1 => (StatusCode::TOO_MANY_REQUESTS, r#"{"error": "rate_limited"}"#.to_owned()),
        2 => (StatusCode::BAD_REQUEST, "<html>Bad Request</html>".to_owned()),
        3 => (StatusCode::OK, "{}".to_owned()),
        _ => (StatusCode::BAD_REQUEST, r#"{"error": "temporarily_unavailable"}"#.to_owned()),
    }
}
