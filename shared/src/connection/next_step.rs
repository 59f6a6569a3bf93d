//! Decides, from the row alone, what a requested refresh does next.

use time::OffsetDateTime;

use super::{Connection, LeaseHolder};

/// Why a refresh is requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// It is due: by a schedule, the sweeper, or a reader of an expired token. Back-off is respected.
    Due,
    /// A caller requested it. Only the minimum interval between attempts is respected.
    Forced,
}

/// The next step of a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// Stop: the connection has changed since the refresh was requested.
    Stale,
    /// Stop: there is nothing to refresh with.
    NotRefreshable,
    /// Mark the connection as expired: its token has expired, and there is nothing to refresh with.
    FlagAsDead,
    /// Stop: another invocation is refreshing it.
    Busy,
    /// Stop: the last attempt is too recent.
    TooSoon,
    /// Leave it to the recovery queue for a while. The last lease was not released, so the provider's answer may still
    /// be in the queue.
    WaitForRecovery,
    /// Call the provider.
    Ask,
}

impl Connection {
    /// Returns the next step of a refresh requested by `trigger`. `version` is the one that the request saw; `recovers`
    /// says whether unsaved results wait in a recovery queue. The first reason not to call the provider wins.
    pub fn next_step(&self, version: Option<u64>, trigger: Trigger, recovers: bool, now: OffsetDateTime) -> NextStep {
        // A schedule for another version is out of date: the connection has been refreshed or reconnected since.
        if version.is_some_and(|version| version != self.version) {
            return NextStep::Stale;
        }
        // There is nothing to refresh it with. If it has expired, the end user should be notified.
        if !self.can_refresh() {
            let is_due = self.next_refresh_at.is_some_and(|due| due <= now);
            return if self.integration.is_some() && is_due { NextStep::FlagAsDead } else { NextStep::NotRefreshable };
        }
        // To the provider, using one refresh token twice may look like theft.
        if self.is_leased(now) {
            return NextStep::Busy;
        }
        // A caller may skip the back-off after failures, but not the interval that spares the provider.
        let not_before = match trigger {
            Trigger::Due => self.attempt_allowed_at(),
            Trigger::Forced => self.spaced_at(),
        };
        if not_before.is_some_and(|time| time > now) {
            return NextStep::TooSoon;
        }
        // A lapsed lease is still in the row only if its holder never released it. Wait for the queue, but only once.
        let was_refresher = self.lease.as_ref().is_some_and(|lease| lease.holder == LeaseHolder::Refresher);
        if recovers && was_refresher { NextStep::WaitForRecovery } else { NextStep::Ask }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{ConnectionKey, Expiry, Failure, IntegrationRef, Lease, Problem};
    use super::*;

    /// When the tests' connection is due.
    const NOW: i64 = 3300;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_700_000_000 + seconds).expect("a time")
    }

    struct Question {
        connection: Connection,
        version: Option<u64>,
        trigger: Trigger,
        recovers: bool,
        now: OffsetDateTime,
    }

    impl Question {
        /// A connection that is due and can be refreshed.
        fn new() -> Self {
            let mut connection = Connection::new(ConnectionKey::new("acme", "c1"), at(0));
            let (key, connector_key) = ("crm".to_owned(), "crm".to_owned());
            connection.integration = Some(IntegrationRef { key, connector_key, option_key: String::new() });
            connection.apply_renewal(Some(Expiry::new(at(0), at(3600))), true, at(0));
            let version = Some(connection.version);
            Self { connection, version, trigger: Trigger::Due, recovers: true, now: at(NOW) }
        }

        fn answer(&self) -> NextStep {
            self.connection.next_step(self.version, self.trigger, self.recovers, self.now)
        }

        fn lease(&mut self, holder: LeaseHolder, until: i64) {
            self.connection.lease = Some(Lease { token: "t".into(), holder, until: at(until) });
        }

        fn fail(&mut self, failure: &Failure) {
            self.connection.apply_failure(failure, self.now, 0.0, Duration::MAX);
            self.version = None;
        }

        fn without_refresh_token(&mut self) {
            self.connection.apply_renewal(self.connection.expiry, false, at(0));
            self.version = None;
        }
    }

    fn down() -> Failure {
        Failure::Transient { problem: Problem::new(None, "the provider is down"), retry_after: None }
    }

    type Case = (&'static str, fn(&mut Question), NextStep);

    #[test]
    fn each_state_of_a_connection_has_its_next_step() {
        use LeaseHolder::{RecoveryQueue, Refresher};
        let cases: &[Case] = &[
            ("it is due", |_| {}, NextStep::Ask),
            ("it is due at any version", |it| it.version = None, NextStep::Ask),
            ("it is not due yet", |it| it.now = at(10), NextStep::Ask),
            ("it has another version", |it| it.version = Some(7), NextStep::Stale),
            ("it has no integration", |it| it.connection.integration = None, NextStep::NotRefreshable),
            ("it has no refresh token", Question::without_refresh_token, NextStep::NotRefreshable),
            (
                "it has expired and has no refresh token",
                |it| {
                    it.without_refresh_token();
                    it.now = at(3600);
                },
                NextStep::FlagAsDead,
            ),
            (
                "its end user must act",
                |it| it.fail(&Failure::Permanent(Problem::new(None, "revoked"))),
                NextStep::NotRefreshable,
            ),
            ("it is leased", |it| it.lease(Refresher, NOW + 1), NextStep::Busy),
            ("it is left to the queue", |it| it.lease(RecoveryQueue, NOW + 1), NextStep::Busy),
            ("its lease was not released", |it| it.lease(Refresher, NOW), NextStep::WaitForRecovery),
            ("it was left to the queue before", |it| it.lease(RecoveryQueue, NOW), NextStep::Ask),
            (
                "its lease was not released, and there is no queue",
                |it| {
                    it.lease(Refresher, NOW);
                    it.recovers = false;
                },
                NextStep::Ask,
            ),
            ("it was just tried", |it| it.connection.last_attempt_at = Some(at(NOW - 59)), NextStep::TooSoon),
            ("it was tried a minute ago", |it| it.connection.last_attempt_at = Some(at(NOW - 60)), NextStep::Ask),
            (
                "it was just tried, and is forced",
                |it| {
                    it.connection.last_attempt_at = Some(at(NOW - 59));
                    it.trigger = Trigger::Forced;
                },
                NextStep::TooSoon,
            ),
            ("it backs off", |it| it.fail(&down()), NextStep::TooSoon),
            (
                "it backs off, and is forced",
                |it| {
                    it.fail(&down());
                    it.trigger = Trigger::Forced;
                },
                NextStep::Ask,
            ),
        ];
        for (name, change, expected) in cases {
            let mut question = Question::new();
            change(&mut question);
            assert_eq!(question.answer(), *expected, "{name}");
        }
    }

    #[test]
    fn the_first_reason_not_to_call_the_provider_wins() {
        let reasons: &[Case] = &[
            ("a lapsed lease", |it| it.lease(LeaseHolder::Refresher, NOW), NextStep::WaitForRecovery),
            ("an attempt just now", |it| it.connection.last_attempt_at = Some(it.now), NextStep::TooSoon),
            ("a lease", |it| it.lease(LeaseHolder::Refresher, NOW + 1), NextStep::Busy),
            ("no refresh token", |it| it.connection.refreshable = false, NextStep::FlagAsDead),
            ("no integration", |it| it.connection.integration = None, NextStep::NotRefreshable),
            ("another version", |it| it.version = Some(7), NextStep::Stale),
        ];
        let mut question = Question::new();
        for (name, add, expected) in reasons {
            add(&mut question);
            assert_eq!(question.answer(), *expected, "{name}");
        }
    }
}
