//! How well a connection is, in one word. Badges, filters and counts all come from here.

use super::{Connection, State};

/// How well a connection is, from its row alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is archived.
    Deleted,
    /// Its end user must reconnect.
    MustReconnect,
    /// The last test of its credentials failed. They are still served.
    TestFailed,
    /// Refreshes fail, and its access token expires before the next attempt, or the integration is at fault.
    CannotRefresh,
    /// Reading it is turned off.
    Deactivated,
    /// Refreshes fail, but its access token is valid until the next attempt.
    RefreshFailing,
    /// Its access token is valid and will be refreshed in time, or its owner reconnects in time.
    Fresh,
    /// Its credentials do not expire.
    Works,
    /// It was stored without an integration, so nobody knows how to test it.
    Stored,
}

impl Standing {
    /// Whether somebody has to do something about it.
    pub fn needs_attention(self) -> bool {
        matches!(self, Self::MustReconnect | Self::TestFailed | Self::CannotRefresh)
    }
}

impl Connection {
    /// Returns how well it is.
    pub fn standing(&self) -> Standing {
        match self.state {
            _ if self.archived_at.is_some() => Standing::Deleted,
            State::ClientActionRequired | State::Building => Standing::MustReconnect,
            State::Ready if self.test_problem.is_some() => Standing::TestFailed,
            State::Ready if self.is_lapsing => Standing::CannotRefresh,
            State::Ready if self.details.is_deactivated => Standing::Deactivated,
            State::Ready if self.problem.is_some() => Standing::RefreshFailing,
            State::Ready if self.integration.is_none() => Standing::Stored,
            State::Ready if self.expiry.is_some() => Standing::Fresh,
            State::Ready => Standing::Works,
        }
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::super::{ConnectionKey, Details, Expiry, IntegrationRef, Problem};
    use super::*;

    type Change = fn(&mut Connection, Option<Problem>);

    #[test]
    fn the_worst_of_a_connection_is_its_standing() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let mut connection = Connection::new(ConnectionKey::new("acme", "c1"), now);
        let problem = || Some(Problem::new(None, "no"));
        assert_eq!(connection.standing(), Standing::Stored);
        connection.integration =
            Some(IntegrationRef { key: "crm".into(), connector_key: "crm".into(), option_key: String::new() });
        // Each is worse than those before.
        let changes: [(Change, Standing, bool); 8] = [
            (|_, _| {}, Standing::Works, false),
            (|it, _| it.expiry = Some(Expiry::new(it.created_at, it.created_at)), Standing::Fresh, false),
            (|it, problem| it.problem = problem, Standing::RefreshFailing, false),
            (|it, _| it.details = Details { is_deactivated: true, ..Details::default() }, Standing::Deactivated, false),
            (|it, _| it.is_lapsing = true, Standing::CannotRefresh, true),
            (|it, problem| it.test_problem = problem, Standing::TestFailed, true),
            (|it, _| it.state = State::ClientActionRequired, Standing::MustReconnect, true),
            (|it, _| it.archived_at = Some(it.created_at), Standing::Deleted, false),
        ];
        for (change, standing, needs_attention) in changes {
            change(&mut connection, problem());
            assert_eq!((connection.standing(), standing.needs_attention()), (standing, needs_attention));
        }
    }
}
