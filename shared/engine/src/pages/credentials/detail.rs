//! The page of one connection.

use askama::Template;
use http::StatusCode;
use larder::connection::{Connection, Flow, Problem};
use larder::dynamodb::{Attempt, AttemptKind};
use larder::http::Response;
use larder::scope::Scope;

use super::super::schema_form::is_web_address;
use super::super::words::{self, Words};
use super::super::{ForPeople, Frame, Language, Tone, framed};
use super::LIVE;
use super::card::{Card, Viewer};
use super::times::Time;

/// A connection with its history.
#[derive(Clone, Copy)]
pub struct Detail<'a> {
    /// The visitor's point of view.
    pub viewer: Viewer<'a>,
    /// The connection.
    pub connection: &'a Connection,
    /// Its history, newest first.
    pub attempts: &'a [Attempt],
}

/// The actions that end what a connection does for others, so that the page asks before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether to delete it.
    Delete,
    /// Whether to disconnect it.
    Disconnect,
}

/// The parts of the page that depend on the visitor's last action.
#[derive(Clone, Debug, Default)]
pub struct DetailPage {
    /// The question to answer first.
    pub asks: Option<Question>,
    /// Whether an admin may delete it although flows use it.
    pub offers_force: bool,
    /// A link for the end user, who reconnects with it.
    pub link: Option<String>,
    /// The name that was entered, if it is not accepted.
    pub entered_name: Option<String>,
}

#[derive(Template)]
#[template(path = "credential.html")]
struct CredentialPage<'a> {
    frame: Frame<'a>,
    language: Language,
    page: DetailPage,
    /// The consequences of deleting it.
    deleting: Words,
    card: Card,
    facts: Vec<Fact>,
    scopes: &'a [String],
    tags: Vec<(&'a str, &'a str)>,
    flows: Vec<FlowView<'a>>,
    /// Whether one of the flows is active.
    is_used: bool,
    attempts: Vec<AttemptView>,
    name: String,
    is_deactivated: bool,
    is_archived: bool,
    can_disconnect: bool,
    may_change: bool,
    may_connect: bool,
    may_send_link: bool,
    /// Whether the summary has no button that reconnects.
    lacks_reconnect: bool,
}

struct Fact {
    name: &'static str,
    text: String,
    time: Option<Time>,
}

struct FlowView<'a> {
    name: &'a str,
    uri: Option<&'a str>,
    is_active: bool,
}

struct AttemptView {
    time: Time,
    tone: Tone,
    outcome: &'static str,
    words: Option<ForPeople>,
    milliseconds: u128,
}

/// Renders the page of a connection.
pub fn credential(status: StatusCode, frame: Frame<'_>, detail: Detail<'_>, page: DetailPage) -> Response {
    let Detail { viewer, connection, attempts } = detail;
    let language = frame.language;
    let card = Card::new(connection, viewer);
    let mark = card.mark.clone();
    let has_integration = viewer.component(connection).is_some();
    let is_disconnected = |it: &Problem| [Problem::DISCONNECTED, Problem::RESTORED].contains(&it.message.as_str());
    let is_disconnected = connection.problem.as_ref().is_some_and(is_disconnected);
    let may_connect = viewer.may(Scope::ConnectionsConnect) && has_integration;
    let page = CredentialPage {
        language,
        deleting: if connection.integration.is_some() { words::DELETE_MEANS } else { words::DELETE_STORED_MEANS },
        facts: facts(connection, viewer),
        scopes: connection.scopes.as_deref().unwrap_or_default(),
        tags: connection.details.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
        flows: connection.details.flows.iter().map(|(id, flow)| FlowView::new(id, flow)).collect(),
        is_used: connection.details.active_flows().next().is_some(),
        attempts: attempts.iter().map(|attempt| AttemptView::new(attempt, language)).collect(),
        name: page.entered_name.clone().or_else(|| connection.details.name.clone()).unwrap_or_default(),
        is_deactivated: connection.details.is_deactivated,
        is_archived: connection.archived_at.is_some(),
        can_disconnect: has_integration && !is_disconnected,
        may_change: viewer.may(Scope::ConnectionsWrite),
        may_connect,
        may_send_link: may_connect && viewer.caller.admin,
        lacks_reconnect: card.buttons.iter().all(|button| button.action != "reconnect"),
        card,
        page,
        frame,
    };
    framed(status, page.render(), [&mark], Some(LIVE))
}

fn facts(connection: &Connection, viewer: Viewer<'_>) -> Vec<Fact> {
    let language = viewer.language;
    let mut facts = Vec::new();
    let mut text = |name: Words, text: Option<&str>| {
        let text = text.filter(|text| !text.is_empty());
        facts.extend(text.map(|text| Fact { name: name.say(language), text: text.to_owned(), time: None }));
    };
    let account = connection.account.as_ref();
    text(words::ACCOUNT, account.and_then(|account| account.label.as_deref()).or(account.map(|it| it.id.as_str())));
    if viewer.caller.admin {
        text(words::END_USER, connection.tenant.as_deref());
        text(words::KEY, connection.details.key.as_deref());
        text(words::ID, Some(&connection.key.id));
    }
    let mut time = |name: Words, at: Option<time::OffsetDateTime>| {
        let fact = |at| Fact { name: name.say(language), text: String::new(), time: Some(Time::date(at)) };
        facts.extend(at.map(fact));
    };
    time(words::CREATED, Some(connection.created_at));
    time(words::LAST_REFRESH, connection.last_refreshed_at);
    time(words::NEXT_REFRESH, connection.next_refresh_at.filter(|_| connection.can_refresh()));
    time(words::EXPIRES, connection.expiry.map(|expiry| expiry.at));
    time(words::LAST_USED, connection.details.last_used_at);
    facts
}

impl<'a> FlowView<'a> {
    fn new(id: &'a str, flow: &'a Flow) -> Self {
        let uri = flow.uri.as_deref().filter(|uri| is_web_address(uri));
        Self { name: flow.name.as_deref().unwrap_or(id), uri, is_active: flow.active }
    }
}

impl AttemptView {
    fn new(attempt: &Attempt, language: Language) -> Self {
        let (done, failed) = match attempt.kind {
            AttemptKind::Connect => (words::ATTEMPT_CONNECTED, words::ATTEMPT_NOT_CONNECTED),
            AttemptKind::Replace => (words::ATTEMPT_REPLACED, words::ATTEMPT_NOT_REPLACED),
            AttemptKind::Test => (words::ATTEMPT_TESTED, words::ATTEMPT_TEST_FAILED),
            AttemptKind::Refresh => (words::ATTEMPT_REFRESHED, words::ATTEMPT_NOT_REFRESHED),
            AttemptKind::Disconnect => (words::ATTEMPT_DISCONNECTED, words::ATTEMPT_NOT_REVOKED),
        };
        let problem = attempt.problem.as_ref();
        Self {
            time: Time::date(attempt.at),
            tone: match (problem, attempt.kind) {
                (Some(_), _) => Tone::Bad,
                (None, AttemptKind::Disconnect) => Tone::None,
                (None, _) => Tone::Good,
            },
            outcome: if problem.is_none() { done } else { failed }.say(language),
            words: problem.map(|problem| ForPeople::of_message(&problem.message, language)),
            milliseconds: attempt.duration.as_millis(),
        }
    }
}
