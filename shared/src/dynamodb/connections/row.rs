//! Converts connections to and from rows of the table.
//!
//! | attribute | meaning |
//! |---|---|
//! | `id` | the key: `{workspace}#{connection id}` |
//! | `workspace`, `tenant`, `name`, `integration_key`, `connector_key`, `auth_option` | its owner, its origin and its option |
//! | `version` | starts at a random number with credentials from outside, and counts the refreshes since; schedules are bound to it |
//! | `sealed`, `sealed_version` | the envelope, and the version it was sealed for |
//! | `state`, `problem`, `problem_key` | its state, and the last failure |
//! | `obtained_at`, `expires_at`, `expiry_is_rest`, `refreshable` | the access token's lifetime, and whether its provider hands it out until its end |
//! | `refresh_margin` | seconds before the expiry when it is due, if the connector says so |
//! | `renews_itself` | whether it can be refreshed without a refresh token: by `refreshCredentials`, or with the access token |
//! | `next_refresh_at`, `due_shard` | when it is due; absent if never |
//! | `last_refreshed_at`, `last_attempt_at`, `failing_since`, `retry_attempts` | its history |
//! | `lease_token`, `lease_until` | the refresh in progress |
//! | `lease_holder` | `refresher`, or `recovery` while the connection is left to the recovery queue; absent in rows of earlier versions, where a token that begins with `grace.` means the latter |
//! | `created_at`, `updated_at` | times |
//!
//! Times are milliseconds since 1970.

use std::time::Duration;

use aws_lc_rs::digest;

use super::super::StoreError;
use super::super::item::{Item, present};
use super::DUE_SHARDS;
use crate::connection::{Connection, ConnectionKey, Expiry, IntegrationRef, Lease, LeaseHolder, Problem, State};

const TABLE: &str = "connections";

fn due_shard(key: &ConnectionKey) -> u8 {
    let digest = digest::digest(&digest::SHA256, key.to_string().as_bytes());
    digest.as_ref().first().copied().unwrap_or_default() % DUE_SHARDS
}

pub(super) fn write(connection: &Connection) -> Item {
    let key = &connection.key;
    Item::default()
        .string("id", key.to_string())
        .string("workspace", &key.workspace)
        .number("version", connection.version)
        .number("sealed_version", connection.sealed_version)
        .bytes("sealed", connection.sealed.clone())
        .maybe("name", connection.name.as_ref(), Item::string)
        .maybe("tenant", connection.tenant.as_ref(), Item::string)
        .maybe("integration_key", connection.integration.as_ref().map(|it| &it.key), Item::string)
        .maybe("connector_key", connection.integration.as_ref().map(|it| &it.connector_key), Item::string)
        .maybe("auth_option", connection.integration.as_ref().map(|it| &it.option_key), Item::string)
        .string("state", state_name(connection.state))
        .maybe("problem", connection.problem.as_ref().map(|it| &it.message), Item::string)
        .maybe("problem_key", connection.problem.as_ref().and_then(|it| it.key.as_ref()), Item::string)
        .maybe("obtained_at", connection.expiry.map(|it| it.from), Item::time)
        .maybe("expires_at", connection.expiry.map(|it| it.at), Item::time)
        .number("refreshable", u8::from(connection.refreshable))
        .maybe("expiry_is_rest", connection.expiry.filter(|it| it.is_rest).map(|_| 1_u8), Item::number)
        .number("renews_itself", u8::from(connection.renews_itself))
        .maybe("refresh_margin", connection.refresh_margin.map(|it| it.as_secs()), Item::number)
        .maybe("next_refresh_at", connection.next_refresh_at, Item::time)
        .maybe("due_shard", connection.next_refresh_at.map(|_| due_shard(key)), Item::number)
        .maybe("last_refreshed_at", connection.last_refreshed_at, Item::time)
        .maybe("last_attempt_at", connection.last_attempt_at, Item::time)
        .maybe("failing_since", connection.failing_since, Item::time)
        .number("retry_attempts", connection.retry_attempts)
        .time("created_at", connection.created_at)
        .time("updated_at", connection.updated_at)
}

pub(super) fn read(item: &Item) -> Result<Connection, StoreError> {
    let key = present(item.get_string("id").and_then(|key| key.parse().ok()), TABLE, "id")?;
    let integration = item.get_string("integration_key").zip(item.get_string("connector_key"));
    let lease = item.get_string("lease_token").zip(item.get_time("lease_until"));
    Ok(Connection {
        key,
        version: present(item.get_number("version"), TABLE, "version")?,
        sealed_version: present(item.get_number("sealed_version"), TABLE, "sealed_version")?,
        sealed: present(item.get_bytes("sealed"), TABLE, "sealed")?,
        name: item.get_string("name"),
        tenant: item.get_string("tenant"),
        integration: integration.map(|(key, connector_key)| IntegrationRef {
            key,
            connector_key,
            option_key: item.get_string("auth_option").unwrap_or_default(),
        }),
        state: present(item.get_string("state").and_then(|text| state_of(&text)), TABLE, "state")?,
        problem: item.get_string("problem").map(|message| Problem { key: item.get_string("problem_key"), message }),
        expiry: item.get_time("obtained_at").zip(item.get_time("expires_at")).map(|(from, at)| Expiry {
            from,
            at,
            is_rest: item.get_number("expiry_is_rest") == Some(1_u8),
        }),
        refreshable: item.get_number("refreshable") == Some(1_u8),
        renews_itself: item.get_number("renews_itself") == Some(1_u8),
        refresh_margin: item.get_number("refresh_margin").map(Duration::from_secs),
        next_refresh_at: item.get_time("next_refresh_at"),
        last_refreshed_at: item.get_time("last_refreshed_at"),
        last_attempt_at: item.get_time("last_attempt_at"),
        failing_since: item.get_time("failing_since"),
        retry_attempts: item.get_number("retry_attempts").unwrap_or_default(),
        lease: lease.map(|(token, until)| Lease { holder: holder_of(item, &token), token, until }),
        created_at: present(item.get_time("created_at"), TABLE, "created_at")?,
        updated_at: present(item.get_time("updated_at"), TABLE, "updated_at")?,
    })
}

/// The attribute `lease_holder`.
pub(super) fn holder_name(holder: LeaseHolder) -> &'static str {
    match holder {
        LeaseHolder::Refresher => "refresher",
        LeaseHolder::RecoveryQueue => "recovery",
    }
}

fn holder_of(item: &Item, token: &str) -> LeaseHolder {
    /// The prefix of the recovery queue's tokens in rows of earlier versions, which have no `lease_holder`.
    const FORMER_RECOVERY_TOKEN: &str = "grace.";
    let holder = item.get_string("lease_holder");
    let is_recovery = match &holder {
        Some(text) => text == holder_name(LeaseHolder::RecoveryQueue),
        None => token.starts_with(FORMER_RECOVERY_TOKEN),
    };
    if is_recovery { LeaseHolder::RecoveryQueue } else { LeaseHolder::Refresher }
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Ready => "READY",
        State::ClientActionRequired => "CLIENT_ACTION_REQUIRED",
    }
}

fn state_of(text: &str) -> Option<State> {
    [State::Ready, State::ClientActionRequired].into_iter().find(|state| state_name(*state) == text)
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    fn holder(add: impl FnOnce(Item) -> Item) -> Option<LeaseHolder> {
        let row = write(&Connection::new(ConnectionKey::new("acme", "c1"), OffsetDateTime::UNIX_EPOCH));
        let row = row.time("lease_until", OffsetDateTime::UNIX_EPOCH);
        read(&add(row)).expect("a connection").lease.map(|lease| lease.holder)
    }

    #[test]
    fn a_lease_keeps_its_holder() {
        for expected in [LeaseHolder::Refresher, LeaseHolder::RecoveryQueue] {
            let found = holder(|row| row.string("lease_token", "t").string("lease_holder", holder_name(expected)));
            assert_eq!(found, Some(expected));
        }
    }

    #[test]
    fn leases_from_earlier_versions_keep_their_holders() {
        let holder = |token: &str| holder(|row| row.string("lease_token", token));
        assert_eq!(holder("grace.AAAA"), Some(LeaseHolder::RecoveryQueue));
        assert_eq!(holder("AAAA"), Some(LeaseHolder::Refresher));
    }
}
