//! A connection's lifecycle, as a state machine without I/O.
//!
//! ```text
//!               connect, test passed
//!                        │
//!                        ▼            refreshed
//!   ┌───────────────── READY ◄──────────────────────┐
//!   │                    │                          │
//!   │ deleted            │ transient failure:       │ back-off: 1 min … 6 h
//!   ▼                    ▼ READY, with `error`      │
//!  gone ◄────────── next attempt ───────────────────┘
//!   ▲                    │
//!   │                    │ permanent failure, or expired for longer than the give-up time
//!   │                    ▼
//!   └──────── CLIENT_ACTION_REQUIRED ── reconnect, or new credentials ──► READY
//! ```
//!
//! A connection is served while its access token is valid, even if its last refresh failed.

mod confirmation;
mod details;
mod expiry;
mod given;
mod key;
mod next_step;
mod outcome;
mod own_id;
mod schedule;
mod scopes;
mod standing;
mod view;

use std::time::Duration;

pub use confirmation::Confirmation;
pub use details::{Details, DetailsPatch, Flow};
pub use expiry::{
    Asked, Expiry, access_token, brings_new_token, expiry_of, is_statement, refreshed_expiry, states_lifetime,
    unreadable_lifetime,
};
pub use given::Given;
pub use key::{ConnectionKey, InvalidConnectionKey};
pub use next_step::{NextStep, Trigger};
pub use outcome::RefreshOutcome;
pub use own_id::{former_own_ids, is_own_id, own_id};
use schedule::LAST_MOMENTS_INTERVAL;
pub use schedule::{MAX_RETRY_AFTER, MIN_INTERVAL, back_off, next_refresh};
pub use scopes::{granted_scopes, within_limits};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
pub use standing::Standing;
use time::OffsetDateTime;

use crate::clock::later;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::random::{self, Rng};

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// It works, or is expected to recover without help.
    Ready,
    /// The end user must reconnect.
    ClientActionRequired,
    /// Its new credentials wait for the application's [`Confirmation`]. No row is in this state.
    Building,
}

/// Why the last attempt failed, in words that a person can act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// One of the documented keys, such as `access_token_expired`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// An explanation of what happened and what to do.
    pub message: String,
}

/// The right of one invocation to refresh a connection, or to write its credentials to a store, until a deadline.
///
/// Its token is a fencing token: writes are accepted only from the latest holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The random fencing token, different for every lease.
    pub token: String,
    /// The kind of holder.
    pub holder: LeaseHolder,
    /// When another invocation may take it.
    pub until: OffsetDateTime,
}

/// The holder of a [`Lease`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseHolder {
    /// An invocation that refreshes the connection, or writes its credentials.
    Refresher,
    /// The recovery queue, which may have a result that has not been saved yet.
    RecoveryQueue,
}

impl Lease {
    /// How far apart the clocks of two invocations may be.
    pub const CLOCK_SKEW: Duration = Duration::from_secs(30);

    /// A new lease with a new token.
    pub fn new(holder: LeaseHolder, until: OffsetDateTime, rng: &dyn Rng) -> Self {
        Self { token: random::token::<16>(rng), holder, until }
    }
}

/// How long archived connections can be restored.
pub const ARCHIVE: Duration = Duration::from_hours(24 * 30);

/// A connection as stored, with its secrets still sealed.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// Its workspace, and its id there.
    pub key: ConnectionKey,
    /// A count of the writes that changed its credentials or its state. Schedules and seals are bound to it.
    pub version: u64,
    /// The version under which [`Connection::sealed`] was sealed.
    pub sealed_version: u64,
    /// The sealed [`Contents`].
    pub sealed: Vec<u8>,
    /// The attributes that people own. No refresh writes them.
    pub details: Details,
    /// The tenant it belongs to.
    pub tenant: Option<String>,
    /// The integration it was created through. Credentials stored only by `PUT /credentials` have none and are not
    /// refreshed.
    pub integration: Option<IntegrationRef>,
    /// Its state.
    pub state: State,
    /// Why the last refresh failed, until one succeeds.
    pub problem: Option<Problem>,
    /// Whether refreshes fail and will not recover in time: the access token expires before the next attempt, or the integration
    /// is at fault.
    pub is_lapsing: bool,
    /// Why the last test of these credentials failed, until one passes or there are new credentials.
    pub test_problem: Option<Problem>,
    /// When the access token was requested, and when it expires. `None` if the provider did not say.
    pub expiry: Option<Expiry>,
    /// Whether there is anything to refresh with.
    pub refreshable: bool,
    /// Whether its connector can refresh the credentials without a refresh token.
    pub renews_itself: bool,
    /// How long before its expiry a refresh is due, if its connector sets that.
    pub refresh_margin: Option<Duration>,
    /// When the next refresh is due; `None` if there will be none.
    pub next_refresh_at: Option<OffsetDateTime>,
    /// When a refresh last succeeded.
    pub last_refreshed_at: Option<OffsetDateTime>,
    /// When a refresh was last attempted.
    pub last_attempt_at: Option<OffsetDateTime>,
    /// When refreshes started to fail.
    pub failing_since: Option<OffsetDateTime>,
    /// The number of refreshes that have failed in a row.
    pub retry_attempts: u32,
    /// The lease of the invocation that is refreshing it.
    pub lease: Option<Lease>,
    /// The scopes that the provider granted: those it stated, or else the requested ones.
    pub scopes: Option<Vec<String>>,
    /// The account at the provider, if its connector can tell.
    pub account: Option<Account>,
    /// When it was archived: its credentials are erased, and it counts as absent everywhere but where archived connections
    /// are asked for.
    pub archived_at: Option<OffsetDateTime>,
    /// When it was created.
    pub created_at: OffsetDateTime,
    /// When its credentials or its state last changed.
    pub updated_at: OffsetDateTime,
}

/// An account at a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id at the provider.
    pub id: String,
    /// The name that its owner knows, such as an email address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl Account {
    /// The longest id and the longest label, in characters.
    const MAX_CHARS: usize = 255;

    /// An account with this id and label, cut to the longest that is kept. `None` without an id.
    pub fn new(id: &str, label: Option<&str>) -> Option<Self> {
        let cut = |text: &str| text.trim().chars().take(Self::MAX_CHARS).collect::<String>();
        let id = Some(cut(id)).filter(|id| !id.is_empty())?;
        Some(Self { id, label: label.map(cut).filter(|label| !label.is_empty()) })
    }
}

/// A connection's integration and connector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IntegrationRef {
    /// The integration's key in the workspace.
    pub key: String,
    /// The connector's key.
    pub connector_key: String,
    /// The key of the connector's option that was used to connect; empty for the connector itself.
    pub option_key: String,
}

/// The sealed contents of a connection.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// The credentials; `None` after they were deleted. JSON `null` is a credential like any other.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// The values that the end user entered when connecting (`connectionParameters`).
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub input: Map<String, Value>,
    /// Overrides of the integration's parameters for this connection.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub connector_parameters: Map<String, Value>,
    /// The provider's identifiers from before `PUT /credentials` first replaced the credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<Given>,
}

impl Contents {
    /// Returns the contents without their credentials, which a caller is about to replace with its own, but with the
    /// identifiers that the provider gave.
    #[must_use]
    pub fn without_credentials(self) -> Self {
        let given = self.given.unwrap_or_else(|| self.credentials.as_ref().map(Given::of).unwrap_or_default());
        Self { credentials: None, given: Some(given), ..self }
    }
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Credentials>, D::Error> {
    Credentials::deserialize(deserializer).map(Some)
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        Self::new(error.key, error.message.clone())
    }
}

/// How a refresh failed, which decides what happens to the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// A retry cannot help; the end user must reconnect.
    Permanent(Problem),
    /// The provider may recover, or the integration may be fixed. Retries wait at least `retry_after`.
    Transient {
        /// The reason.
        problem: Problem,
        /// The wait that the provider requested (`Retry-After`).
        retry_after: Option<Duration>,
    },
}

impl Failure {
    /// A fault of the integration or the connector. Attempts continue until it is fixed.
    pub fn of_set_up(message: impl Into<String>, retry_after: Option<Duration>) -> Self {
        Self::Transient { problem: Problem::new(Some(Problem::SET_UP), message), retry_after }
    }

    /// Returns the reason.
    pub fn problem(&self) -> &Problem {
        match self {
            Self::Permanent(problem) | Self::Transient { problem, .. } => problem,
        }
    }

    /// Returns this failure for an attempt that follows interrupted ones. One of those may have used up the refresh
    /// token, so the message must not suggest that it was revoked.
    #[must_use]
    pub fn after_others(self) -> Self {
        match self {
            Self::Permanent(Problem { key, message }) => Self::Permanent(Problem {
                key,
                message: format!(
                    "an earlier refresh was interrupted and may have used up the refresh token, which the provider no \
                     longer accepts; the end user must reconnect ({message})"
                ),
            }),
            transient => transient,
        }
    }
}

impl Problem {
    /// The key of a fault of the integration or the connector.
    const SET_UP: &str = "configuration";

    /// The message after a disconnect.
    pub const DISCONNECTED: &str = "the connection was disconnected; its end user must reconnect";

    /// The message after a restore.
    pub const RESTORED: &str = "the connection was restored without its credentials; its end user must reconnect";

    /// The message when nothing can renew the access.
    pub const NO_REFRESH_TOKEN: &str =
        "the access token has expired and there is no refresh token; the end user must reconnect";

    /// Whether the integration or the connector is at fault.
    pub fn is_set_up(&self) -> bool {
        self.key.as_deref() == Some(Self::SET_UP)
    }

    /// A problem with one of the documented keys, or without a key.
    pub fn new(key: Option<&str>, message: impl Into<String>) -> Self {
        Self { key: key.map(ToOwned::to_owned), message: message.into() }
    }
}

/// Returns the number at which a new series of versions starts, for credentials that were not refreshed from the stored ones.
pub fn new_series(rng: &dyn Rng) -> u64 {
    let mut bytes = [0; 8];
    rng.fill(&mut bytes);
    // 52 bits: every JSON parser reads integers of this size exactly.
    u64::from_be_bytes(bytes) >> 12
}

impl Connection {
    /// A connection without credentials, not yet stored.
    pub fn new(key: ConnectionKey, now: OffsetDateTime) -> Self {
        Self {
            key,
            version: 0,
            sealed_version: 0,
            sealed: Vec::new(),
            details: Details::default(),
            tenant: None,
            integration: None,
            state: State::Ready,
            problem: None,
            is_lapsing: false,
            test_problem: None,
            expiry: None,
            refreshable: false,
            renews_itself: false,
            refresh_margin: None,
            next_refresh_at: None,
            last_refreshed_at: None,
            last_attempt_at: None,
            failing_since: None,
            retry_attempts: 0,
            lease: None,
            scopes: None,
            account: None,
            archived_at: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// Whether an invocation holds its lease.
    pub fn is_leased(&self, now: OffsetDateTime) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.until > now)
    }

    /// Whether its access token has expired, as far as we know.
    pub fn is_expired(&self, now: OffsetDateTime) -> bool {
        self.expiry.is_some_and(|expiry| expiry.is_over(now))
    }

    /// Whether it can be refreshed: there is something to refresh with, and the end user need not reconnect.
    pub fn can_refresh(&self) -> bool {
        self.integration.is_some() && self.refreshable && self.state == State::Ready
    }

    /// Whether it can be chosen for a flow: it needs no attention, and nobody has turned it off.
    pub fn is_usable(&self) -> bool {
        let standing = self.standing();
        !standing.needs_attention() && !matches!(standing, Standing::Deleted | Standing::Deactivated)
    }

    /// Returns when the next attempt is allowed at all: attempts are at least [`MIN_INTERVAL`] apart. If the last one
    /// returned the current token again, attempts are also allowed when that token expires, and for some seconds after.
    pub fn spaced_at(&self) -> Option<OffsetDateTime> {
        let last = self.last_attempt_at?;
        let spaced = later(last, MIN_INTERVAL);
        let rest =
            self.expiry.filter(|expiry| expiry.is_rest && self.retry_attempts == 0 && !expiry.is_long_over(last));
        let soon = rest.map(|expiry| expiry.at.max(later(last, LAST_MOMENTS_INTERVAL)));
        Some(soon.map_or(spaced, |soon| soon.min(spaced)))
    }

    /// Returns when the next attempt is allowed unless a caller forces it: after a failure, the back-off must pass.
    pub fn attempt_allowed_at(&self) -> Option<OffsetDateTime> {
        let backed_off = if self.retry_attempts > 0 { self.next_refresh_at } else { None };
        self.spaced_at().max(backed_off)
    }

    /// Records that the credentials were replaced, by connecting or by `PUT /credentials`. This starts a new series of
    /// versions, so an earlier version, of this row or of a former one with the same id, never recurs.
    pub fn apply_replacement(
        &mut self,
        expiry: Option<Expiry>,
        has_refresh_token: bool,
        now: OffsetDateTime,
        rng: &dyn Rng,
    ) {
        self.apply_series(new_series(rng), expiry, has_refresh_token, now);
    }

    /// As [`Self::apply_replacement`], with a [`new_series`] that was chosen earlier.
    pub fn apply_series(&mut self, series: u64, expiry: Option<Expiry>, has_refresh_token: bool, now: OffsetDateTime) {
        self.version = series;
        self.apply_renewal(expiry, has_refresh_token, now);
    }

    /// Records new credentials, from a refresh or through [`Self::apply_replacement`], and clears any failure.
    ///
    /// A connection that cannot be refreshed is checked again when it expires, so that its end user is notified.
    pub fn apply_renewal(&mut self, expiry: Option<Expiry>, has_refresh_token: bool, now: OffsetDateTime) {
        let refreshable = has_refresh_token || self.renews_itself;
        self.version += 1;
        self.state = State::Ready;
        self.problem = None;
        self.is_lapsing = false;
        self.test_problem = None;
        self.failing_since = None;
        self.retry_attempts = 0;
        self.lease = None;
        self.expiry = expiry;
        self.refreshable = refreshable && self.integration.is_some();
        self.next_refresh_at = match (&self.integration, refreshable) {
            (None, _) => None,
            (Some(_), true) => Some(next_refresh(expiry, self.refresh_margin, now)),
            (Some(_), false) => expiry.map(|expiry| expiry.at),
        };
        self.updated_at = now;
    }

    /// Records a failed refresh. `jitter` is in `0.0..1.0`; `give_up` is how long attempts continue after the expiry.
    pub fn apply_failure(&mut self, failure: &Failure, now: OffsetDateTime, jitter: f64, give_up: Duration) {
        self.version += 1;
        self.lease = None;
        self.updated_at = now;
        self.retry_attempts += 1;
        self.problem = Some(failure.problem().clone());
        let failing_since = *self.failing_since.get_or_insert(now);
        let dead_since = self.expiry.map_or(failing_since, |expiry| expiry.at.max(failing_since));
        match failure {
            // Reconnecting would not help against a faulty configuration; attempts continue until it is fixed.
            Failure::Transient { retry_after, problem } if problem.is_set_up() || later(dead_since, give_up) > now => {
                let asked_for = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
                let wait = back_off(self.retry_attempts, jitter).max(asked_for);
                self.next_refresh_at = Some(later(now, wait));
                self.is_lapsing = problem.is_set_up() || self.is_expired(later(now, wait));
            }
            Failure::Transient { .. } | Failure::Permanent(_) => self.require_action(),
        }
    }

    /// Whether the credentials are those of `version`: every write since was a failed refresh.
    pub fn has_only_failed_since(&self, version: u64) -> bool {
        self.version.checked_sub(version).is_some_and(|writes| writes <= u64::from(self.retry_attempts))
    }

    /// Whether all writes since `version` were refreshes, successful or not.
    pub fn has_only_been_refreshed_since(&self, version: u64) -> bool {
        /// More than can happen during one request, or while credentials wait for a confirmation.
        const SERIES: u64 = 10_000;
        self.version.checked_sub(version).is_some_and(|writes| writes <= SERIES)
    }

    /// Archives it, without its credentials: it counts as absent, its key is free, and nothing refreshes it.
    pub fn apply_archive(&mut self, now: OffsetDateTime) {
        self.version += 1;
        self.lease = None;
        self.problem = None;
        self.expiry = None;
        self.refreshable = false;
        self.failing_since = None;
        self.retry_attempts = 0;
        self.scopes = None;
        self.account = None;
        self.details.key = None;
        self.require_action();
        self.archived_at = Some(now);
        self.updated_at = now;
    }

    /// Whether it was archived so long ago that it counts as gone.
    pub fn is_past_archive(&self, now: OffsetDateTime) -> bool {
        self.archived_at.is_some_and(|at| later(at, ARCHIVE) <= now)
    }

    /// Brings it back from the archive. Its end user must reconnect.
    pub fn apply_restore(&mut self, now: OffsetDateTime) {
        self.version += 1;
        self.problem = Some(Problem::new(None, Problem::RESTORED));
        self.archived_at = None;
        self.updated_at = now;
    }

    /// Records that only the end user can provide new credentials.
    pub fn require_action(&mut self) {
        self.state = State::ClientActionRequired;
        self.is_lapsing = false;
        self.test_problem = None;
        self.next_refresh_at = None;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::random::SystemRng;

    const GIVE_UP: Duration = Duration::from_hours(24 * 7);

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_700_000_000 + seconds).expect("a time")
    }

    fn ready() -> Connection {
        let mut connection = Connection::new(ConnectionKey::new("acme", "c1"), at(0));
        connection.integration =
            Some(IntegrationRef { key: "crm".into(), connector_key: "crm".into(), option_key: String::new() });
        connection.apply_renewal(Some(Expiry::new(at(0), at(3600))), true, at(0));
        connection
    }

    fn transient(retry_after: Option<Duration>) -> Failure {
        Failure::Transient { problem: Problem::new(None, "the provider is down"), retry_after }
    }

    #[test]
    fn a_refreshed_connection_is_due_five_minutes_before_expiry() {
        assert_eq!(ready().next_refresh_at, Some(at(3300)));
    }

    #[test]
    fn without_a_refresh_token_the_next_check_is_at_expiry() {
        let mut connection = ready();
        connection.apply_renewal(connection.expiry, false, at(0));
        assert_eq!((connection.next_refresh_at, connection.can_refresh()), (Some(at(3600)), false));
        connection.apply_renewal(None, false, at(0));
        assert_eq!(connection.next_refresh_at, None);
    }

    #[test]
    fn transient_failures_back_off_and_leave_the_connection_ready() {
        let mut connection = ready();
        connection.apply_failure(&transient(None), at(3300), 0.0, GIVE_UP);
        let first = connection.next_refresh_at.expect("is due");
        connection.apply_failure(&transient(None), first, 0.0, GIVE_UP);
        let second = connection.next_refresh_at.expect("is due");
        assert_eq!(connection.state, State::Ready);
        assert!(first >= at(3360) && second - first > first - at(3300), "{first} {second}");
    }

    #[test]
    fn a_token_that_expires_before_the_next_attempt_needs_attention() {
        let mut connection = ready();
        connection.test_problem = Some(Problem::new(None, "no"));
        let mut now = at(3300);
        connection.apply_failure(&transient(None), now, 0.0, GIVE_UP);
        assert!(!connection.is_lapsing);
        while !connection.is_lapsing {
            now = connection.next_refresh_at.expect("is due");
            connection.apply_failure(&transient(None), now, 0.0, GIVE_UP);
        }
        assert!(now < at(3600) && connection.next_refresh_at >= Some(at(3600)), "{now}");
        connection.apply_renewal(connection.expiry, true, now);
        assert_eq!((connection.is_lapsing, &connection.test_problem), (false, &None));
        // A fault of the set-up does not go away by itself.
        connection.apply_failure(&Failure::of_set_up("no client id", None), at(10), 0.0, GIVE_UP);
        assert!(connection.is_lapsing);
    }

    #[test]
    fn only_failures_leave_the_credentials_unchanged() {
        let mut connection = ready();
        connection.apply_failure(&transient(None), at(3300), 0.0, GIVE_UP);
        let seen = connection.version;
        assert!(connection.has_only_failed_since(seen));
        connection.apply_failure(&transient(None), at(3400), 0.0, GIVE_UP);
        assert!(connection.has_only_failed_since(seen) && !connection.has_only_failed_since(connection.version + 1));
        connection.apply_renewal(None, true, at(3500));
        connection.apply_failure(&transient(None), at(3600), 0.0, GIVE_UP);
        assert!(!connection.has_only_failed_since(seen));
    }

    #[test]
    fn the_providers_retry_after_is_honored() {
        let mut connection = ready();
        connection.apply_failure(&transient(Some(Duration::from_mins(20))), at(3300), 0.5, GIVE_UP);
        assert!(connection.next_refresh_at >= Some(at(3300 + 1200)));
    }

    #[test]
    fn retry_after_is_capped_at_a_day() {
        for wait in [Duration::from_secs(u64::MAX), Duration::MAX, Duration::from_hours(25)] {
            let mut connection = ready();
            connection.apply_failure(&transient(Some(wait)), at(3300), 0.5, Duration::MAX);
            assert_eq!(connection.next_refresh_at, Some(at(3300 + 86_400)));
        }
    }

    #[test]
    fn a_reissued_token_may_be_refreshed_when_it_expires() {
        let rest = Some(Expiry { is_rest: true, ..Expiry::new(at(0), at(3600)) });
        let allowed_after = |last: i64| {
            let mut connection = ready();
            connection.last_attempt_at = Some(at(last));
            connection.apply_renewal(rest, true, at(last));
            (connection.next_refresh_at, connection.attempt_allowed_at())
        };
        assert_eq!(allowed_after(3300), (Some(at(3600)), Some(at(3360))));
        assert_eq!(allowed_after(3590), (Some(at(3600)), Some(at(3600))));
        assert_eq!(allowed_after(3600), (Some(at(3602)), Some(at(3602))));
        assert_eq!(allowed_after(3604), (Some(at(3606)), Some(at(3606))));
        assert_eq!(allowed_after(3605).1, Some(at(3665)));
    }

    #[test]
    fn an_ordinary_token_near_its_expiry_gets_no_early_attempt() {
        let mut connection = ready();
        connection.last_attempt_at = Some(at(3590));
        assert_eq!(connection.spaced_at(), Some(at(3650)));
        // Nor does a reissued one while refreshes fail.
        connection.expiry = Some(Expiry { is_rest: true, ..Expiry::new(at(0), at(3600)) });
        assert_eq!(connection.spaced_at(), Some(at(3600)));
        connection.retry_attempts = 1;
        assert_eq!(connection.spaced_at(), Some(at(3650)));
    }

    #[test]
    fn a_fault_of_the_setup_never_ends_a_connection() {
        let (mut connection, year) = (ready(), 365 * 86_400);
        connection.apply_failure(&Failure::of_set_up("no client id", None), at(year), 0.0, GIVE_UP);
        connection.apply_failure(&Failure::of_set_up("no client id", None), at(2 * year), 0.0, GIVE_UP);
        assert_eq!((connection.state, connection.next_refresh_at), (State::Ready, Some(at(2 * year + 120))));
    }

    #[test]
    fn credentials_leave_only_identifiers_when_they_are_replaced() {
        let contents = Contents {
            credentials: Some(Credentials::from(&json!({"access_token": "hunter2", "account": "a1"}))),
            input: Map::from_iter([("subdomain".to_owned(), json!("acme"))]),
            ..Contents::default()
        };
        let left = serde_json::to_value(contents.without_credentials()).expect("JSON");
        assert_eq!(left, json!({"input": {"subdomain": "acme"}, "given": {"account": "a1"}}));
    }

    #[test]
    fn ten_thousand_writes_may_be_refreshes() {
        let connection = Connection { version: 50_000, ..ready() };
        let refreshed_since = [40_000, 39_999, 50_001].map(|version| connection.has_only_been_refreshed_since(version));
        assert_eq!(refreshed_since, [true, false, false]);
    }

    #[test]
    fn a_permanent_failure_stops_attempts_until_reconnected() {
        let mut connection = ready();
        connection.apply_failure(&Failure::Permanent(Problem::new(None, "revoked")), at(3300), 0.0, GIVE_UP);
        assert_eq!((connection.state, connection.next_refresh_at), (State::ClientActionRequired, None));
        connection.apply_renewal(None, true, at(4000));
        assert_eq!((connection.state, connection.retry_attempts), (State::Ready, 0));
        assert!(connection.problem.is_none());
    }

    #[test]
    fn a_connection_is_given_up_a_week_after_expiry() {
        let mut connection = ready();
        connection.apply_failure(&transient(None), at(3300), 0.0, GIVE_UP);
        let week = i64::try_from(GIVE_UP.as_secs()).expect("fits");
        connection.apply_failure(&transient(None), at(3600 + week - 1), 0.0, GIVE_UP);
        assert_eq!(connection.state, State::Ready);
        connection.apply_failure(&transient(None), at(3600 + week), 0.0, GIVE_UP);
        assert_eq!(connection.state, State::ClientActionRequired);
    }

    #[test]
    fn replaced_credentials_start_a_new_version_series() {
        let (mut connection, mut seen) = (ready(), Vec::new());
        for _ in 0..100 {
            connection.apply_replacement(None, true, at(0), &SystemRng);
            assert!(connection.version <= 1 << 52 && !seen.contains(&connection.version));
            assert!(seen.iter().all(|version| !connection.has_only_been_refreshed_since(*version)));
            seen.push(connection.version);
            connection.apply_renewal(None, true, at(3300));
            connection.apply_failure(&transient(None), at(6600), 0.0, GIVE_UP);
            assert!(connection.has_only_been_refreshed_since(connection.version - 2));
        }
    }

    #[test]
    fn every_change_increments_the_version() {
        let mut connection = ready();
        let before = connection.version;
        connection.apply_failure(&transient(None), at(3300), 0.0, GIVE_UP);
        connection.apply_renewal(None, true, at(3400));
        assert_eq!(connection.version, before + 2);
    }
}
