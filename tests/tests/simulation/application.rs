//! The token endpoints of applications, each with its own idea of OAuth 2, and the book that is kept of what they issued.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use larder::connection::Expiry;
use serde_json::{Value, json};

use super::network::Network;
use super::sandbox::START;

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
    /// Whether a refresh returns the tokens that are there while the access token lives, as PayPal and Marketo do.
    pub(super) gives_rest: bool,
    /// How many calls in a thousand it answers with a 200 that reports an error which passes. If there are any, it reports
    /// dead grants with a 200 too, as GitHub does.
    pub(super) errs: u64,
    /// How many refreshes in a thousand it carries out without an answer ever arriving, whatever the network does. The second
    /// try at once is always answered.
    pub(super) loses: u64,
}

impl Application {
    /// An application that states the lifetime of its tokens and has no quirks.
    pub(super) fn new(manner: Manner, life: Duration) -> Self {
        let says = Says::ExpiresIn;
        Self { manner, life, says, ahead: 0, slow: 0, fails: 0, gives_rest: false, errs: 0, loses: 0 }
    }

    /// A time of our clock, by its own.
    fn by_its_clock(&self, time: Duration) -> i64 {
        START + i64::try_from(time.as_secs()).expect("fits") + self.ahead
    }

    /// Whether it answers every call well and in time, except for answers that it loses.
    pub(super) fn is_reliable(&self) -> bool {
        self.slow == 0 && self.fails == 0 && self.errs == 0
    }

    /// Whether a second try at once makes up for a lost answer.
    pub(super) fn tolerates_second_tries(&self) -> bool {
        self.loses == 0 || matches!(self.manner, Manner::Keeps | Manner::RotatesWithGrace(_))
    }
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
    /// `expires_in` when the connection is made, and nothing at refreshes. The tokens expire all the same.
    Once,
    /// Nothing.
    Nothing,
}

/// Of what an application says of a lifetime, so much is lost: it is asked later than the lifetime is counted from, and says
/// whole seconds.
const SKIPPED: Duration = Duration::from_secs(2);

/// Why nobody needs the answers of an older grant.
const CONNECTED_AGAIN: &str = "the end user has connected again";

/// All applications.
pub(super) struct Applications {
    pub(super) network: Arc<Network>,
    all: Vec<Application>,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    grants: Vec<Grant>,
    refresh_tokens: HashMap<String, RefreshToken>,
    access_tokens: HashMap<String, AccessToken>,
    answers: Vec<Answer>,
    /// The processes that have got a grant and have not stored it yet: of which application, and which one.
    connecting: HashMap<usize, (usize, usize)>,
    /// The grant of each application that was stored last.
    connected: HashMap<usize, usize>,
    /// When each application was asked for a refresh. Second tries after a lost answer are not among them.
    calls: HashMap<usize, Vec<Call>>,
    /// For each process and application: when the last answer was lost, and whether it was that of a second try.
    lost: HashMap<(usize, usize), (Duration, bool)>,
}

struct Call {
    at: Duration,
    /// If the call before it returned the rest of a lifetime: when that ends.
    after_rest_until: Option<Duration>,
}

struct Grant {
    application: usize,
    refresh_token: String,
    access_token: String,
    issued: u64,
    is_over: bool,
    /// When the access token dies, if the last refresh returned the rest of its lifetime.
    rest_until: Option<Duration>,
}

struct RefreshToken {
    grant: usize,
    /// When it was first used, and the answer to that.
    used: Option<(Duration, usize)>,
}

struct AccessToken {
    grant: usize,
    dies_at: Option<Duration>,
    /// The answer that brought it, unless it came when the connection was made.
    answer: Option<usize>,
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
pub(super) enum Standing {
    UnderWay,
    Lost,
    Delivered,
    Queued,
    Saved,
}

pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: String,
    pub(super) answer: Option<usize>,
}

impl Applications {
    pub(super) fn new(network: Arc<Network>, all: Vec<Application>) -> Self {
        Self { network, all, book: Mutex::default() }
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.book.lock().expect("no panic holds it")
    }

    pub(super) fn get(&self, application: usize) -> &Application {
        &self.all[application]
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The token endpoint of an application.
    pub(super) fn token_uri(application: usize) -> String {
        format!("https://application-{application}.example/token")
    }

    pub(super) fn by_host(host: &str) -> usize {
        let number = host.strip_prefix("application-").and_then(|host| host.strip_suffix(".example"));
        number.and_then(|number| number.parse().ok()).expect("the host of an application")
    }

    /// Carries out a request.
    pub(super) fn answer(&self, sandbox: usize, application: usize, body: &[u8], is_second: bool) -> Reply {
        let form: HashMap<_, _> = form_urlencoded::parse(body).into_owned().collect();
        match form["grant_type"].as_str() {
            "refresh_token" => self.refresh(sandbox, application, &form["refresh_token"], is_second),
            _ => self.grant(sandbox, application),
        }
    }

    fn grant(&self, sandbox: usize, application: usize) -> Reply {
        let mut book = self.book();
        let grant = book.grants.len();
        let (refresh_token, access_token) = (String::new(), String::new());
        book.grants.push(Grant {
            application,
            refresh_token,
            access_token,
            issued: 0,
            is_over: false,
            rest_until: None,
        });
        book.connecting.insert(sandbox, (application, grant));
        drop(book);
        self.network.count("grants");
        self.network.tell(|| format!("application {application} makes grant {grant}"));
        Reply { status: StatusCode::OK, body: self.issue(grant, true, None).to_string(), answer: None }
    }

    /// Issues tokens; gives what it says of them.
    fn issue(&self, number: usize, rotates: bool, answer: Option<usize>) -> Value {
        let now = self.network.now();
        let mut book = self.book();
        let grant = &mut book.grants[number];
        let application = &self.all[grant.application];
        grant.issued += 1;
        grant.rest_until = None;
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
            Says::ExpiresAt => body["expires_at"] = json!(application.by_its_clock(dies_at)),
            Says::Once if answer.is_none() => body["expires_in"] = json!(application.life.as_secs()),
            Says::Once | Says::Nothing => {}
        }
        let dies_at = (!matches!(application.says, Says::Nothing)).then_some(dies_at);
        book.access_tokens.insert(access_token, AccessToken { grant: number, dies_at, answer });
        body
    }

    /// The tokens that are there, with the rest of the lifetime in whole seconds. `None` once the access token is dead.
    fn rest(&self, number: usize) -> Option<Value> {
        let now = self.network.now();
        let mut book = self.book();
        let dies_at = book.access_tokens.get(&book.grants[number].access_token)?.dies_at.filter(|at| *at > now)?;
        let grant = &mut book.grants[number];
        grant.rest_until = Some(dies_at);
        let mut body = json!({
            "access_token": grant.access_token,
            "refresh_token": grant.refresh_token,
            "token_type": "Bearer",
        });
        let it = &self.all[grant.application];
        match it.says {
            Says::ExpiresIn => body["expires_in"] = json!((dies_at - now).as_secs()),
            Says::ExpiresAt => body["expires_at"] = json!(it.by_its_clock(dies_at)),
            Says::Once | Says::Nothing => {}
        }
        self.network.count("refreshes that returned the rest of a lifetime");
        Some(body)
    }

    fn refresh(&self, sandbox: usize, application: usize, token: &str, is_second: bool) -> Reply {
        let now = self.network.now();
        self.network.count("refreshes");
        let again = if is_second { " once more" } else { "" };
        self.network.tell(|| format!("process {sandbox} asks application {application} with {token}{again}"));
        let Application { manner, gives_rest, .. } = self.all[application];
        let mut book = self.book();
        let RefreshToken { grant, used } = book.refresh_tokens.get(token).expect("a refresh token that was issued");
        let (grant, used) = (*grant, *used);
        if !is_second {
            let after_rest_until = book.grants[grant].rest_until;
            book.calls.entry(application).or_default().push(Call { at: now, after_rest_until });
        }
        if book.grants[grant].is_over {
            return self.refused(application, "the grant is over");
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
                    return self.refused(application, "the refresh token was used before");
                }
            }
        }
        let answer = book.answers.len();
        let standing = Standing::UnderWay;
        // It may have been on its way when the end user connected again.
        let excuse = book.connected.get(&application).filter(|newest| **newest > grant).map(|_| CONNECTED_AGAIN);
        book.answers.push(Answer { application, sandbox, delivered_at: now, standing, excuse });
        drop(book);
        let body = gives_rest.then(|| self.rest(grant)).flatten().unwrap_or_else(|| {
            if rotates {
                self.book().refresh_tokens.get_mut(token).expect("it is there").used.get_or_insert((now, answer));
            }
            self.issue(grant, rotates, Some(answer))
        });
        Reply { status: StatusCode::OK, body: body.to_string(), answer: Some(answer) }
    }

    /// The answer to a refresh token that is good for nothing any more.
    fn refused(&self, application: usize, why: &str) -> Reply {
        let status = if self.all[application].errs > 0 { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        let body = json!({ "error": "invalid_grant", "error_description": why }).to_string();
        Reply { status, body, answer: None }
    }

    /// A process begins to call an application. Gives whether it does so because the answer to the same request was lost:
    /// then no time has passed since.
    pub(super) fn is_second_try(&self, sandbox: usize, application: usize) -> bool {
        let now = self.network.now();
        let lost = self.book().lost.remove(&(sandbox, application));
        let Some((_, was_second)) = lost.filter(|(at, _)| *at == now) else { return false };
        self.network.count("second tries");
        self.network.check("no request is sent more than twice", !was_second, || {
            format!("process {sandbox} asks application {application} a third time")
        });
        true
    }

    /// A process learns that there will be no answer to what it sent to an application.
    pub(super) fn lost(&self, sandbox: usize, application: usize, is_second: bool) {
        let now = self.network.now();
        self.book().lost.insert((sandbox, application), (now, is_second));
    }

    pub(super) fn stand(&self, answer: usize, standing: Standing) {
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
        let connecting = book.connecting.get(&sandbox).copied().filter(|(to, _)| *to == application);
        if let Some((_, grant)) = connecting {
            book.connecting.remove(&sandbox);
            book.connected.insert(application, grant);
        }
        for answer in book.answers.iter_mut().filter(|answer| answer.application == application) {
            let is_ours = answer.sandbox == sandbox && answer.standing == Standing::Delivered;
            if connecting.is_some() {
                answer.excuse = Some(CONNECTED_AGAIN);
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
        let token = book.access_tokens.get(access_token);
        let is_own = token.is_some_and(|token| book.grants[token.grant].application == application);
        // An application that states a lifetime only once, and hands out the rest of a token whose first answer was lost: nobody
        // can know when that token was made.
        let Application { says, gives_rest, .. } = self.all[application];
        let is_of_unknown_age = gives_rest
            && matches!(says, Says::Once)
            && token.and_then(|token| token.answer).is_some_and(|answer| book.answers[answer].loss().is_some());
        let dies_at = token.and_then(|token| token.dies_at).filter(|_| !is_of_unknown_age);
        drop(book);
        if is_of_unknown_age {
            self.network.count("read: a token whose age nobody can know");
        }
        self.network.check("nobody gets another's token", is_own, || access_token.to_owned());
        self.network.check("nothing expired is served", dies_at.is_none_or(|at| now < at + allowance), || {
            format!("{access_token}, dead since {dies_at:?}")
        });
    }

    /// Whether a token of an application ended since then, or so shortly before that the next one may not be there yet.
    pub(super) fn has_just_ended(&self, application: usize, since: Duration) -> bool {
        let now = self.network.now();
        let book = self.book();
        let own = book.access_tokens.values().filter(|token| book.grants[token.grant].application == application);
        own.filter_map(|token| token.dies_at).any(|end| since <= end + Expiry::LAST_MOMENTS && end <= now + SKIPPED)
    }

    /// Looks at how often each application was asked. Clocks that disagree may shorten one interval, and the next is
    /// longer then. One that returned the rest of a lifetime may be asked again when that ends, by clocks which are
    /// apart by so much.
    pub(super) fn check_spacing(&self, clocks: Duration) {
        const APART: f64 = 60.0;
        const CLOCKS_AND_DELAYS: f64 = 90.0;
        const HANDFUL: usize = 5;
        let book = self.book();
        for (application, calls) in &book.calls {
            let (mut latest, mut slots) = (f64::MIN, 0.0);
            let mut at_end_of = HashMap::<Duration, usize>::new();
            for (number, call) in calls.iter().enumerate() {
                let at = call.at;
                if let Some(end) = call.after_rest_until.filter(|end| at + clocks + SKIPPED >= *end) {
                    let count = at_end_of.entry(end).or_default();
                    *count += 1;
                    self.network.check("at most a handful of calls at the end of a token", *count <= HANDFUL, || {
                        format!(
                            "call {number} of application {application} at {at:?} for the token that ends at {end:?}"
                        )
                    });
                    continue;
                }
                let early = at.as_secs_f64() - slots;
                self.network.check("at most one call a minute", early >= latest - CLOCKS_AND_DELAYS, || {
                    format!("call {number} of application {application} at {at:?}")
                });
                latest = latest.max(early);
                slots += APART;
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
