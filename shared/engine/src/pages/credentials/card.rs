//! One connection, as the list and its own page show it.

use std::sync::Arc;

use larder::caller::Caller;
use larder::connection::{Connection, Problem, Standing, State};
use larder::scope::Scope;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use time::OffsetDateTime;

use super::super::words::{self, Words};
use super::super::{ForPeople, Language, Mark, Tone};
use super::times::{Line, Time};
use crate::connector::Connector;

/// The most flows whose names are in a list.
const MAX_FLOWS: usize = 3;

/// An integration, as pages show it.
#[derive(Clone, Debug)]
pub struct Component {
    /// Its key.
    pub key: String,
    /// Its name.
    pub name: String,
    /// Its mark.
    pub mark: Mark,
    connector: Option<Arc<Connector>>,
}

/// A visitor's point of view.
#[derive(Clone, Copy)]
pub struct Viewer<'a> {
    /// The language.
    pub language: Language,
    /// The time.
    pub now: OffsetDateTime,
    /// The visitor.
    pub caller: &'a Caller,
    /// The integrations that exist for the visitor.
    pub components: &'a [Component],
}

/// A connection, ready for a template.
#[derive(Clone, Debug)]
pub(super) struct Card {
    pub(super) anchor: String,
    /// The address of its page, relative to the first one.
    pub(super) href: String,
    pub(super) mark: Mark,
    pub(super) title: String,
    pub(super) account: Option<String>,
    /// The end user, for admins.
    pub(super) tenant: Option<String>,
    /// The flows that use it, in words.
    pub(super) used_by: String,
    pub(super) tone: Tone,
    pub(super) state: &'static str,
    pub(super) when: Vec<Line>,
    /// The token's lifetime and the part of it that has passed, in seconds.
    pub(super) progress: Option<(i64, i64)>,
    pub(super) note: Option<Note>,
    pub(super) buttons: Vec<Button>,
    /// The outcome of what the visitor just did with it.
    pub(super) outcome: Option<(&'static str, Tone)>,
}

/// The reason of a state.
#[derive(Clone, Debug)]
pub(super) struct Note {
    pub(super) title: String,
    /// The provider's words, in English.
    pub(super) words: Option<String>,
    pub(super) more: String,
}

/// A button of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Button {
    /// The value of `do` in the form.
    pub(super) action: &'static str,
    pub(super) label: &'static str,
    pub(super) is_primary: bool,
}

impl Component {
    /// Creates it from an integration's key, name and logo, and its connector.
    pub fn new(key: &str, name: Option<&str>, logo: Option<&str>, connector: Option<Arc<Connector>>) -> Self {
        let name = name.or_else(|| connector.as_ref().map(|it| it.name.as_str())).unwrap_or(key);
        Self { key: key.to_owned(), name: name.to_owned(), mark: Mark::new(key, name, logo), connector }
    }

    /// Whether its users enter secrets, instead of approving access at the provider.
    fn is_entered(&self, option: &str) -> bool {
        let option = self.connector.as_ref().and_then(|connector| connector.option(option));
        option.is_some_and(|option| option.kind.is_immediate())
    }
}

impl Viewer<'_> {
    pub(super) fn component(&self, connection: &Connection) -> Option<&Component> {
        let key = &connection.integration.as_ref()?.key;
        self.components.iter().find(|component| component.key == *key)
    }

    pub(super) fn may(&self, scope: Scope) -> bool {
        self.caller.scopes.include(scope)
    }
}

impl Card {
    pub(super) fn new(connection: &Connection, viewer: Viewer<'_>) -> Self {
        let Viewer { language, now, .. } = viewer;
        let component = viewer.component(connection);
        let id = &connection.key.id;
        let key = connection.integration.as_ref().map(|integration| integration.key.as_str());
        let origin = component.map(|component| component.name.as_str()).or(key);
        let own = connection.details.name.as_deref().filter(|name| Some(*name) != origin && Some(*name) != key);
        let account = connection.account.as_ref().map(|account| account.label.as_ref().unwrap_or(&account.id).clone());
        let title = match (origin, own) {
            (Some(origin), Some(own)) => format!("{origin} · {own}"),
            (Some(one), None) | (None, Some(one)) => one.to_owned(),
            (None, None) => id.clone(),
        };
        let title = in_order(&title);
        let mark = component.map_or_else(|| Mark::new(key.unwrap_or(id), &title, None), |it| it.mark.clone());
        let (tone, state) = badge(connection.standing());
        let passed = connection.expiry.filter(|_| connection.state == State::Ready).map(|expiry| {
            let all = (expiry.at - expiry.from).whole_seconds().max(1);
            (all, (now - expiry.from).whole_seconds().clamp(0, all))
        });
        Self {
            anchor: format!("c-{}", path_segment(id)),
            href: format!("c/{}", path_segment(id)),
            mark,
            account: account.as_deref().map(in_order),
            tenant: connection.tenant.as_deref().filter(|_| viewer.caller.admin).map(in_order),
            used_by: in_order(&used_by(connection, language)),
            tone,
            state: state.say(language),
            when: when(connection, viewer),
            progress: passed.filter(|_| connection.can_refresh()),
            note: Note::new(connection, &title, viewer),
            buttons: buttons(connection, viewer),
            outcome: None,
            title,
        }
    }
}

/// Returns an id as a segment of a path. It is also part of the HTML id of its card, where percent signs do no harm.
pub fn path_segment(id: &str) -> String {
    const SEGMENT: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');
    utf8_percent_encode(id, SEGMENT).to_string()
}

/// Returns a text without the characters that turn the text around it (Unicode Standard Annex #9 §2). A tenant's name could
/// otherwise reverse a warning.
fn in_order(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|c| !turns(*c)).collect()
}

/// The badges of those that need attention are red, and no others.
fn badge(standing: Standing) -> (Tone, Words) {
    match standing {
        Standing::MustReconnect => (Tone::Bad, words::RECONNECT_NEEDED),
        Standing::TestFailed => (Tone::Bad, words::ATTEMPT_TEST_FAILED),
        Standing::CannotRefresh => (Tone::Bad, words::CANNOT_REFRESH),
        Standing::RefreshFailing => (Tone::Warn, words::REFRESH_FAILING),
        Standing::Fresh => (Tone::Good, words::FRESH),
        Standing::Works => (Tone::Good, words::WORKS),
        Standing::Deleted => (Tone::None, words::DELETED),
        Standing::Deactivated => (Tone::None, words::DEACTIVATED),
        Standing::Stored => (Tone::None, words::STORED),
    }
}

/// Says since when it has its state, and what happens next.
fn when(connection: &Connection, viewer: Viewer<'_>) -> Vec<Line> {
    let Viewer { language, now, .. } = viewer;
    let since = |words, at| Line::with(words, language, Time::since(at, now, language));
    let until = |words, at| Line::with(words, language, Time::until(at, now, language));
    if let Some(at) = connection.archived_at {
        return vec![since(words::AGO, at)];
    }
    let mut lines = Vec::new();
    if connection.state != State::Ready {
        lines.push(since(words::AGO, connection.updated_at));
        lines.extend(connection.last_refreshed_at.map(|at| since(words::LAST_REFRESHED, at)));
        return lines;
    }
    let next = connection.next_refresh_at.filter(|_| connection.can_refresh());
    let expires = connection.expiry.map(|expiry| expiry.at);
    if connection.problem.is_some() {
        lines.push(match expires {
            Some(at) if at > now => until(words::VALID_FOR, at),
            Some(at) => since(words::EXPIRED_AGO, at),
            None => Line::plain(words::NEVER_EXPIRES, language),
        });
        lines.extend(next.map(|at| until(words::NEXT_TRY, at)));
        return lines;
    }
    lines.push(match (next, expires) {
        (Some(at), _) if at > now => until(words::REFRESHES_IN, at),
        (Some(_), _) => Line::plain(words::REFRESHES_NOW, language),
        (None, Some(at)) => until(words::EXPIRES_IN, at),
        (None, None) => Line::plain(words::NEVER_EXPIRES, language),
    });
    lines.extend(connection.last_refreshed_at.map(|at| since(words::LAST_REFRESHED, at)));
    lines
}

fn used_by(connection: &Connection, language: Language) -> String {
    let names: Vec<_> =
        connection.details.active_flows().map(|(id, flow)| flow.name.as_ref().unwrap_or(id).as_str()).collect();
    match names.len() {
        0 => words::NOT_USED.say(language).to_owned(),
        many => {
            let more = if many > MAX_FLOWS { format!(" + {}", many - MAX_FLOWS) } else { String::new() };
            let shown = names.into_iter().take(MAX_FLOWS).collect::<Vec<_>>().join(", ");
            words::USED_BY.with(language, &format!("{shown}{more}"))
        }
    }
}

fn buttons(connection: &Connection, viewer: Viewer<'_>) -> Vec<Button> {
    let mut buttons = Vec::new();
    let mut add = |action, label: Words, is_primary| {
        buttons.push(Button { action, label: label.say(viewer.language), is_primary });
    };
    if connection.archived_at.is_some() {
        if viewer.may(Scope::ConnectionsWrite) {
            add("restore", words::RESTORE, true);
        }
        return buttons;
    }
    let Some(integration) = &connection.integration else { return buttons };
    let component = viewer.component(connection);
    let is_entered = component.is_some_and(|component| component.is_entered(&integration.option_key));
    let (is_over, standing) = (connection.state != State::Ready, connection.standing());
    let has_failed_test = standing == Standing::TestFailed;
    if viewer.may(Scope::ConnectionsWrite) && !is_over {
        let is_failing = connection.problem.is_some();
        if !is_failing || has_failed_test {
            add("test", if has_failed_test { words::TEST_AGAIN } else { words::TEST }, false);
        }
        if connection.can_refresh() {
            add("refresh", if is_failing { words::TRY_NOW } else { words::REFRESH }, false);
        }
    }
    if viewer.may(Scope::ConnectionsConnect) && component.is_some() && (standing.needs_attention() || is_entered) {
        add("reconnect", words::RECONNECT, is_over || has_failed_test);
    }
    buttons
}

impl Note {
    fn new(connection: &Connection, title: &str, viewer: Viewer<'_>) -> Option<Self> {
        let language = viewer.language;
        if let (Standing::TestFailed, Some(problem)) = (connection.standing(), &connection.test_problem) {
            let shown = ForPeople::of_message(&problem.message, language);
            let title = words::LAST_TEST_FAILED.say(language).to_owned();
            return Some(Self::quoting(title, shown, ""));
        }
        let problem = connection.problem.as_ref()?;
        let is_over = connection.state != State::Ready;
        let (title, more) = match (is_over, problem.is_set_up()) {
            (true, _) => (words::MUST_RECONNECT.with(language, title), who_reconnects(connection, viewer)),
            (false, true) => {
                (words::SET_UP_FAULT.say(language).to_owned(), words::KEEPS_TRYING.say(language).to_owned())
            }
            (false, false) => {
                (words::REFRESH_FAILED_WHY.say(language).to_owned(), words::KEEPS_TRYING.say(language).to_owned())
            }
        };
        let times = Some(connection.retry_attempts).filter(|times| *times > 1 && !is_over);
        let times = times.map(|times| words::FAILED_TIMES.with(language, &times.to_string()) + " ");
        let own = match problem.message.as_str() {
            // The title says it.
            Problem::DISCONNECTED | Problem::RESTORED => String::new(),
            Problem::NO_REFRESH_TOKEN => words::ACCESS_EXPIRED.say(language).to_owned() + " ",
            message => {
                let more = times.unwrap_or_default() + &more;
                return Some(Self::quoting(title, ForPeople::of_message(message, language), &more));
            }
        };
        Some(Self { title, words: None, more: own + &times.unwrap_or_default() + &more })
    }

    /// Quotes the provider's words, but not ours.
    fn quoting(title: String, words: ForPeople, more: &str) -> Self {
        let more = more.to_owned();
        match words.is_english {
            true => Self { title, words: Some(words.text), more },
            false => Self { title, words: None, more: words.text + " " + &more },
        }
    }
}

/// Says who has to do what, so that the connection works again.
fn who_reconnects(connection: &Connection, viewer: Viewer<'_>) -> String {
    let language = viewer.language;
    let (Some(integration), Some(component)) = (&connection.integration, viewer.component(connection)) else {
        return String::new();
    };
    let may_connect = viewer.may(Scope::ConnectionsConnect);
    match (component.is_entered(&integration.option_key), may_connect) {
        (true, true) => words::ENTER_KEY_AGAIN.say(language).to_owned(),
        (true, false) => words::OWNER_ENTERS_KEY.say(language).to_owned(),
        // An admin has the button beside it, and knows whose account it is.
        (false, true) if viewer.caller.admin => String::new(),
        (false, true) => words::SIGN_IN_THERE.with(language, &component.name),
        (false, false) => words::OWNER_SIGNS_IN.with(language, &component.name),
    }
}
