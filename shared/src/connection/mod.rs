//! One connection's life, as a state machine without I/O.
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
//!   │                    │ permanent failure, or dead for longer than the give-up time
//!   │                    ▼
//!   └──────── CLIENT_ACTION_REQUIRED ── reconnect, or new credentials ──► READY
//! ```
//!
//! A connection whose access token is still valid is served whatever its last refresh did.

mod expiry;
mod given;
mod key;
mod next_step;
mod outcome;
mod own_id;
mod schedule;
mod view;

use std::time::Duration;

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
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::clock::later;
use crate::credentials::Credentials;
use crate::random::{self, Rng};

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// It works, or is expected to again without anybody's help.
    Ready,
    /// The end user must connect again.
    ClientActionRequired,
}

/// Why the last attempt at something failed, in words that a person can act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Of the documented keys, such as `access_token_expired`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What happened and what to do.
    pub message: String,
}

/// The right to refresh a connection, or to write its credentials outside the row, held by one invocation for a while.
///
/// The token is the fence: a write is accepted only from the latest holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Random, and different for every lease.
    pub token: String,
    /// Its holder.
    pub holder: LeaseHolder,
    /// When another may take it.
    pub until: OffsetDateTime,
}

/// The holder of a [`Lease`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseHolder {
    /// An invocation that refreshes the connection, or writes its credentials.
    Refresher,
    /// The recovery queue, which may have a result that was not saved yet.
    RecoveryQueue,
}

impl Lease {
    /// How far the clocks of two invocations may be apart.
    pub const CLOCK_SKEW: Duration = Duration::from_secs(30);

    /// A lease that nobody had before.
    pub fn new(holder: LeaseHolder, until: OffsetDateTime, rng: &dyn Rng) -> Self {
        Self { token: random::token::<16>(rng), holder, until }
    }
}

/// A connection as it is stored, its secrets still sealed.
#[derive(Debug, Clone, PartialEq)]
pub struct Connection {
    /// Its workspace, and its id there.
    pub key: ConnectionKey,
    /// Counts the writes that change its credentials or its state. Schedules and seals are bound to it.
    pub version: u64,
    /// The version under which [`Connection::sealed`] was sealed.
    pub sealed_version: u64,
    /// The sealed [`Contents`].
    pub sealed: Vec<u8>,
    /// What the end user calls it.
    pub name: Option<String>,
    /// The end user it belongs to.
    pub tenant: Option<String>,
    /// The integration it was made through. Credentials stored by `PUT /credentials` alone have none, and no refresh.
    pub integration: Option<IntegrationRef>,
    /// Where it stands.
    pub state: State,
    /// Why the last refresh failed, until one succeeds.
    pub problem: Option<Problem>,
    /// When the access token was asked for, and when it dies. Unknown where the provider did not say.
    pub expiry: Option<Expiry>,
    /// Whether there is anything to refresh with.
    pub refreshable: bool,
    /// Whether its connector can renew credentials without a refresh token among them.
    pub renews_itself: bool,
    /// How long before its expiry it is due for a refresh, where its connector says so.
    pub refresh_margin: Option<Duration>,
    /// When it is due for a refresh; `None` where there will be none.
    pub next_refresh_at: Option<OffsetDateTime>,
    /// When a refresh last succeeded.
    pub last_refreshed_at: Option<OffsetDateTime>,
    /// When a refresh was last tried.
    pub last_attempt_at: Option<OffsetDateTime>,
    /// Since when refreshes have been failing.
    pub failing_since: Option<OffsetDateTime>,
    /// How many have failed in a row.
    pub retry_attempts: u32,
    /// Who is refreshing it now.
    pub lease: Option<Lease>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it last changed.
    pub updated_at: OffsetDateTime,
}

/// The integration and the connector of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegrationRef {
    /// The key of the integration in the workspace.
    pub key: String,
    /// The key of its connector.
    pub connector_key: String,
    /// The way it was connected: a key of the connector's options, empty for the connector itself.
    pub option_key: String,
}

/// What is sealed in a connection.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// `None` after they were deleted; JSON `null` is a credential like any other.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// What the end user entered when connecting (`connectionParameters`).
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub input: Map<String, Value>,
    /// Overrides of the integration's parameters, for this connection alone.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub connector_parameters: Map<String, Value>,
    /// The identifiers that the application had given before `PUT /credentials` first replaced the credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<Given>,
}

impl Contents {
    /// These contents for whoever replaces the credentials by others than the application's: without them, but with what
    /// the application gave.
    #[must_use]
    pub fn without_credentials(self) -> Self {
        let given = self.given.unwrap_or_else(|| self.credentials.as_ref().map(Given::of).unwrap_or_default());
        Self { credentials: None, given: Some(given), ..self }
    }
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Credentials>, D::Error> {
    Credentials::deserialize(deserializer).map(Some)
}

/// What a failed refresh means for the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Asking again cannot help; the end user must reconnect.
    Permanent(Problem),
    /// It may heal by itself, or by mending the integration; no earlier than `retry_after` from now.
    Transient {
        /// What happened.
        problem: Problem,
        /// What the provider asked for (`Retry-After`).
        retry_after: Option<Duration>,
    },
}

impl Failure {
    /// A fault of the integration or the connector. Attempts go on until it is fixed.
    pub fn of_set_up(message: impl Into<String>, retry_after: Option<Duration>) -> Self {
        Self::Transient { problem: Problem::new(Some(Problem::SET_UP), message), retry_after }
    }

    /// What happened.
    pub fn problem(&self) -> &Problem {
        match self {
            Self::Permanent(problem) | Self::Transient { problem, .. } => problem,
        }
    }

    /// The same failure of an attempt after others that brought nothing. One of them may have used up the refresh token,
    /// and whoever sees the connection flagged should know that perhaps nobody revoked it.
    #[must_use]
    pub fn after_others(self) -> Self {
        match self {
            Self::Permanent(Problem { key, message }) => Self::Permanent(Problem {
                key,
                message: format!(
                    "a refresh before this one did not come to its end and may have used up the refresh token, which the \
                     provider no longer takes; the end user must connect again ({message})"
                ),
            }),
            transient => transient,
        }
    }
}

impl Problem {
    /// The key of a fault of the integration or the connector.
    const SET_UP: &str = "configuration";

    /// Whether the integration or the connector is at fault.
    fn is_set_up(&self) -> bool {
        self.key.as_deref() == Some(Self::SET_UP)
    }

    /// A problem of a documented kind, or of none.
    pub fn new(key: Option<&str>, message: impl Into<String>) -> Self {
        Self { key: key.map(ToOwned::to_owned), message: message.into() }
    }
}

impl Connection {
    /// A connection without credentials, not yet stored.
    pub fn new(key: ConnectionKey, now: OffsetDateTime) -> Self {
        Self {
            key,
            version: 0,
            sealed_version: 0,
            sealed: Vec::new(),
            name: None,
            tenant: None,
            integration: None,
            state: State::Ready,
            problem: None,
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
            created_at: now,
            updated_at: now,
        }
    }

    /// Whether somebody holds the right to refresh it.
    pub fn is_leased(&self, now: OffsetDateTime) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.until > now)
    }

    /// Whether its access token is past its life, so far as we know.
    pub fn is_expired(&self, now: OffsetDateTime) -> bool {
        self.expiry.is_some_and(|expiry| expiry.is_over(now))
    }

    /// Whether refreshing is possible at all: there is something to refresh with, and nobody's action is awaited.
    pub fn can_refresh(&self) -> bool {
        self.integration.is_some() && self.refreshable && self.state == State::Ready
    }

    /// When the next attempt is allowed at all: attempts are at least [`MIN_INTERVAL`] apart. Where the last one returned
    /// the token that was there already, one is allowed when that token ends, and for some seconds from then on.
    pub fn spaced_at(&self) -> Option<OffsetDateTime> {
        let last = self.last_attempt_at?;
        let spaced = later(last, MIN_INTERVAL);
        let rest =
            self.expiry.filter(|expiry| expiry.is_rest && self.retry_attempts == 0 && !expiry.is_long_over(last));
        let soon = rest.map(|expiry| expiry.at.max(later(last, LAST_MOMENTS_INTERVAL)));
        Some(soon.map_or(spaced, |soon| soon.min(spaced)))
    }

    /// When the next attempt is allowed unless somebody insists: after a failure, the back-off is kept.
    pub fn attempt_allowed_at(&self) -> Option<OffsetDateTime> {
        let backed_off = if self.retry_attempts > 0 { self.next_refresh_at } else { None };
        self.spaced_at().max(backed_off)
    }

    /// Credentials from outside are in place: by connecting, or by `PUT /credentials`. They begin a new series of versions,
    /// so a version that was seen before, of this row or of an earlier one under the same id, is never met again.
    pub fn apply_replacement(
        &mut self,
        expiry: Option<Expiry>,
        has_refresh_token: bool,
        now: OffsetDateTime,
        rng: &dyn Rng,
    ) {
        let mut bytes = [0; 8];
        rng.fill(&mut bytes);
        // 52 bits: JSON has no larger numbers that every reader knows exactly.
        self.version = u64::from_be_bytes(bytes) >> 12;
        self.apply_renewal(expiry, has_refresh_token, now);
    }

    /// New credentials are in place: by a refresh, or as [`Self::apply_replacement`]. Ends every failure.
    ///
    /// What cannot be refreshed is looked at again when it dies, so that its end user hears of it.
    pub fn apply_renewal(&mut self, expiry: Option<Expiry>, has_refresh_token: bool, now: OffsetDateTime) {
        let refreshable = has_refresh_token || self.renews_itself;
        self.version += 1;
        self.state = State::Ready;
        self.problem = None;
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

    /// A refresh failed. `jitter` is in `0.0..1.0`; `give_up` is how long a dead credential is still tried.
    pub fn apply_failure(&mut self, failure: &Failure, now: OffsetDateTime, jitter: f64, give_up: Duration) {
        self.version += 1;
        self.lease = None;
        self.updated_at = now;
        self.retry_attempts += 1;
        self.problem = Some(failure.problem().clone());
        let failing_since = *self.failing_since.get_or_insert(now);
        let dead_since = self.expiry.map_or(failing_since, |expiry| expiry.at.max(failing_since));
        match failure {
            // Connecting again would not help against a fault of the set-up, and fixing that does.
            Failure::Transient { retry_after, problem } if problem.is_set_up() || later(dead_since, give_up) > now => {
                let asked_for = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
                let wait = back_off(self.retry_attempts, jitter).max(asked_for);
                self.next_refresh_at = Some(later(now, wait));
            }
            Failure::Transient { .. } | Failure::Permanent(_) => self.require_action(),
        }
    }

    /// Whether no write since `version` brought other credentials: each was a refresh that failed.
    pub fn has_only_failed_since(&self, version: u64) -> bool {
        self.version.checked_sub(version).is_some_and(|writes| writes <= u64::from(self.retry_attempts))
    }

    /// Whether all writes since `version` were refreshes, successful or not.
    pub fn has_only_been_refreshed_since(&self, version: u64) -> bool {
        /// More than anybody makes while a request is answered.
        const SERIES: u64 = 1000;
        self.version.checked_sub(version).is_some_and(|writes| writes <= SERIES)
    }

    /// The credentials are gone; only the end user can bring new ones.
    pub fn require_action(&mut self) {
        self.state = State::ClientActionRequired;
        self.next_refresh_at = None;
    }
}

#[cfg(test)]
mod tests {
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
    fn a_renewed_connection_is_due_five_minutes_before_its_expiry() {
        assert_eq!(ready().next_refresh_at, Some(at(3300)));
    }

    #[test]
    fn without_a_refresh_token_a_connection_is_looked_at_when_it_dies_and_never_if_it_does_not() {
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
    fn failures_leave_the_credentials_as_they_were_and_anything_else_does_not() {
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
    fn the_providers_retry_after_is_kept() {
        let mut connection = ready();
        connection.apply_failure(&transient(Some(Duration::from_mins(20))), at(3300), 0.5, GIVE_UP);
        assert!(connection.next_refresh_at >= Some(at(3300 + 1200)));
    }

    #[test]
    fn no_wait_is_longer_than_a_day() {
        for wait in [Duration::from_secs(u64::MAX), Duration::MAX, Duration::from_hours(25)] {
            let mut connection = ready();
            connection.apply_failure(&transient(Some(wait)), at(3300), 0.5, Duration::MAX);
            assert_eq!(connection.next_refresh_at, Some(at(3300 + 86_400)));
        }
    }

    #[test]
    fn where_a_token_is_handed_out_until_its_end_the_next_attempt_is_allowed_then() {
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
    fn a_permanent_failure_ends_all_attempts_until_new_credentials_come() {
        let mut connection = ready();
        connection.apply_failure(&Failure::Permanent(Problem::new(None, "revoked")), at(3300), 0.0, GIVE_UP);
        assert_eq!((connection.state, connection.next_refresh_at), (State::ClientActionRequired, None));
        connection.apply_renewal(None, true, at(4000));
        assert_eq!((connection.state, connection.retry_attempts), (State::Ready, 0));
        assert!(connection.problem.is_none());
    }

    #[test]
    fn a_credential_that_has_been_dead_for_a_week_is_given_up() {
        let mut connection = ready();
        connection.apply_failure(&transient(None), at(3300), 0.0, GIVE_UP);
        let week = i64::try_from(GIVE_UP.as_secs()).expect("fits");
        connection.apply_failure(&transient(None), at(3600 + week - 1), 0.0, GIVE_UP);
        assert_eq!(connection.state, State::Ready);
        connection.apply_failure(&transient(None), at(3600 + week), 0.0, GIVE_UP);
        assert_eq!(connection.state, State::ClientActionRequired);
    }

    #[test]
    fn credentials_from_outside_begin_new_versions() {
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
    fn every_change_is_a_new_version() {
        let mut connection = ready();
        let before = connection.version;
        connection.apply_failure(&transient(None), at(3300), 0.0, GIVE_UP);
        connection.apply_renewal(None, true, at(3400));
        assert_eq!(connection.version, before + 2);
    }
}
