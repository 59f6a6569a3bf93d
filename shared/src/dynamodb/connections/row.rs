//! Converts connections to and from rows of the table.
//!
//! | attribute | meaning |
//! |---|---|
//! | `id` | the key: `{workspace}#{connection id}` |
//! | `workspace`, `tenant`, `name`, `integration_key`, `connector_key`, `auth_option` | its owner, its origin and its option |
//! | `version` | starts at a random number with credentials from outside, and counts the refreshes since; schedules are bound to it |
//! | `sealed`, `sealed_version` | the envelope, and the version it was sealed for |
//! | `state` | its state, or `CLIENT_ACTION_REQUIRED` if it needs attention for another reason: the key of the index `by_state` |
//! | `still_ready` | whether it is `READY` although `state` has the other value |
//! | `problem`, `problem_key`, `lapsing` | why the last refresh failed, and whether that will not recover in time |
//! | `test_problem`, `test_problem_key` | why the last test failed |
//! | `obtained_at`, `expires_at`, `expiry_is_rest`, `refreshable` | the access token's lifetime, and whether its provider hands it out until its end |
//! | `refresh_margin` | seconds before the expiry when it is due, if the connector says so |
//! | `renews_itself` | whether it can be refreshed without a refresh token: by `refreshCredentials`, or with the access token |
//! | `next_refresh_at`, `due_shard` | when it is due; absent if never |
//! | `last_refreshed_at`, `last_attempt_at`, `failing_since`, `retry_attempts` | its history |
//! | `scopes`, `account` | the granted scopes, and the account at the provider, as JSON |
//! | `lease_token`, `lease_until` | the refresh in progress |
//! | `lease_holder` | `refresher`, or `recovery` while the connection is left to the recovery queue; absent in rows of earlier versions, where a token that begins with `grace.` means the latter |
//! | `created_at`, `updated_at` | times |
//! | `archived_at`, `remove_at` | when it was archived, and when DynamoDB may remove it (TTL, in seconds) |
//! | `archived_integration_key`, `archived_connector_key` | its origin while it is archived: the indexes of integrations do not have it then |
//!
//! Times are milliseconds since 1970.

use std::time::Duration;

use aws_lc_rs::digest;
use serde_json::json;

use super::super::StoreError;
use super::super::item::{Item, present};
use super::DUE_SHARDS;
use crate::clock::later;
use crate::connection::{
    ARCHIVE, Connection, ConnectionKey, Details, Expiry, Flow, IntegrationRef, Lease, LeaseHolder, Problem, State,
};

const TABLE: &str = "connections";

pub(super) fn due_shard(key: &ConnectionKey) -> u8 {
    let digest = digest::digest(&digest::SHA256, key.to_string().as_bytes());
    digest.as_ref().first().copied().unwrap_or_default() % DUE_SHARDS
}

/// The attributes that refreshes own. Writes of theirs set those that have a value, remove the others, and leave all
/// attributes of people alone.
pub(super) const OF_REFRESHES: [&str; 35] = [
    "account",
    "archived_at",
    "archived_connector_key",
    "archived_integration_key",
    "auth_option",
    "connector_key",
    "due_shard",
    "expires_at",
    "expiry_is_rest",
    "failing_since",
    "integration_key",
    "lapsing",
    "last_attempt_at",
    "last_refreshed_at",
    "lease_holder",
    "lease_token",
    "lease_until",
    "next_refresh_at",
    "obtained_at",
    "problem",
    "problem_key",
    "refresh_margin",
    "refreshable",
    "remove_at",
    "renews_itself",
    "retry_attempts",
    "scopes",
    "sealed",
    "sealed_version",
    "state",
    "still_ready",
    "test_problem",
    "test_problem_key",
    "updated_at",
    "version",
];

/// The attributes of people that archiving removes: the key is free then, and nobody deletes it any more.
pub(super) const REMOVED_BY_ARCHIVING: [&str; 2] = ["own_key", "removing_until"];

/// The row of a new connection.
pub(super) fn write(connection: &Connection) -> Item {
    let fixed = Item::default()
        .string("id", connection.key.to_string())
        .string("workspace", &connection.key.workspace)
        .maybe("tenant", connection.tenant.as_ref(), Item::string)
        .time("created_at", connection.created_at);
    fixed.with(of_refreshes(connection)).with(of_people(&connection.details))
}

/// The attributes in [`OF_REFRESHES`] that have a value.
pub(super) fn of_refreshes(connection: &Connection) -> Item {
    let key = &connection.key;
    let (integration_key, connector_key) = origin(connection.archived_at.is_some());
    let scopes = connection.scopes.as_ref().map(|scopes| json!(scopes).to_string());
    let account = connection.account.as_ref().map(|account| json!(account).to_string());
    Item::default()
        .number("version", connection.version)
        .number("sealed_version", connection.sealed_version)
        .bytes("sealed", connection.sealed.clone())
        .maybe(integration_key, connection.integration.as_ref().map(|it| &it.key), Item::string)
        .maybe(connector_key, connection.integration.as_ref().map(|it| &it.connector_key), Item::string)
        .maybe("auth_option", connection.integration.as_ref().map(|it| &it.option_key), Item::string)
        .with(of_attention(connection))
        .maybe("lapsing", connection.is_lapsing.then_some(1_u8), Item::number)
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
        .maybe("scopes", scopes, Item::string)
        .maybe("account", account, Item::string)
        .maybe("archived_at", connection.archived_at, Item::time)
        // DynamoDB's TTL counts seconds. The margin keeps it from being early.
        .maybe("remove_at", connection.archived_at.map(|at| later(at, ARCHIVE + MARGIN).unix_timestamp()), Item::number)
        .time("updated_at", connection.updated_at)
}

/// The attributes that a test changes.
pub(super) const OF_TESTS: [&str; 4] = ["state", "still_ready", "test_problem", "test_problem_key"];

/// The attributes in [`OF_TESTS`] that have a value.
pub(super) fn of_attention(connection: &Connection) -> Item {
    let needs_attention = connection.standing().needs_attention();
    let is_still_ready = needs_attention && connection.state == State::Ready;
    let state = if is_still_ready { index_state(true) } else { state_name(connection.state) };
    let problem = connection.test_problem.as_ref();
    Item::default()
        .string("state", state)
        .maybe("still_ready", is_still_ready.then_some(1_u8), Item::number)
        .maybe("test_problem", problem.map(|it| &it.message), Item::string)
        .maybe("test_problem_key", problem.and_then(|it| it.key.as_ref()), Item::string)
}

/// The attributes of the integration and the connector. Archived rows have others, so that the indexes and counts of
/// integrations do not have them.
fn origin(is_archived: bool) -> (&'static str, &'static str) {
    if is_archived {
        ("archived_integration_key", "archived_connector_key")
    } else {
        ("integration_key", "connector_key")
    }
}

/// The time that TTL adds to the last moment at which a row counts.
pub(super) const MARGIN: Duration = Duration::from_hours(24);

/// The attributes of people that have a value.
pub(super) fn of_people(details: &Details) -> Item {
    let tags = (!details.tags.is_empty()).then(|| json!(details.tags).to_string());
    let meta = details.meta.as_ref().map(|meta| json!(meta).to_string());
    let item = Item::default()
        .maybe("name", details.name.as_ref(), Item::string)
        .maybe("own_key", details.key.as_ref(), Item::string)
        .maybe("tags", tags, Item::string)
        .maybe("meta", meta, Item::string)
        .maybe("deactivated", details.is_deactivated.then_some(1_u8), Item::number)
        .maybe("last_used_at", details.last_used_at, Item::time)
        .maybe("changed_at", details.changed_at, Item::time);
    let active: Vec<_> = details.active_flows().map(|(id, _)| id.clone()).collect();
    let item = details.flows.iter().fold(item, |item, (id, flow)| item.string(&flow_attribute(id), flow_text(flow)));
    item.maybe("active_flows", (!active.is_empty()).then_some(active), Item::strings)
}

/// The attribute of one flow: each has its own, so that flows can be marked at the same time.
pub(super) fn flow_attribute(id: &str) -> String {
    format!("{FLOW}{id}")
}

const FLOW: &str = "flow#";

pub(super) fn flow_text(flow: &Flow) -> String {
    json!(flow).to_string()
}

/// Reads the attributes of people. Damaged ones are skipped: people can enter them again, and a refresh must not fail.
fn details(item: &Item) -> Details {
    let flows = item.0.keys().filter_map(|name| {
        let id = name.strip_prefix(FLOW)?;
        Some((id.to_owned(), item.get_json(name)?))
    });
    Details {
        name: item.get_string("name"),
        key: item.get_string("own_key"),
        tags: item.get_json("tags").unwrap_or_default(),
        meta: item.get_json("meta"),
        flows: flows.collect(),
        is_deactivated: item.get_number("deactivated") == Some(1_u8),
        last_used_at: item.get_time("last_used_at"),
        changed_at: item.get_time("changed_at"),
    }
}

pub(super) fn read(item: &Item) -> Result<Connection, StoreError> {
    let key = present(item.get_string("id").and_then(|key| key.parse().ok()), TABLE, "id")?;
    let archived_at = item.get_time("archived_at");
    let (integration_key, connector_key) = origin(archived_at.is_some());
    let integration = item.get_string(integration_key).zip(item.get_string(connector_key));
    let lease = item.get_string("lease_token").zip(item.get_time("lease_until"));
    let state = item.get_string("state").and_then(|text| state_of(&text));
    let is_still_ready = item.get_number("still_ready") == Some(1_u8);
    let problem = |message: &str, key: &str| {
        item.get_string(message).map(|message| Problem { key: item.get_string(key), message })
    };
    Ok(Connection {
        key,
        version: present(item.get_number("version"), TABLE, "version")?,
        sealed_version: present(item.get_number("sealed_version"), TABLE, "sealed_version")?,
        sealed: present(item.get_bytes("sealed"), TABLE, "sealed")?,
        details: details(item),
        tenant: item.get_string("tenant"),
        integration: integration.map(|(key, connector_key)| IntegrationRef {
            key,
            connector_key,
            option_key: item.get_string("auth_option").unwrap_or_default(),
        }),
        state: present(state.map(|state| if is_still_ready { State::Ready } else { state }), TABLE, "state")?,
        problem: problem("problem", "problem_key"),
        is_lapsing: item.get_number("lapsing") == Some(1_u8),
        test_problem: problem("test_problem", "test_problem_key"),
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
        scopes: item.get_json("scopes"),
        account: item.get_json("account"),
        archived_at,
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
    let holders = [LeaseHolder::Refresher, LeaseHolder::RecoveryQueue];
    match item.get_string("lease_holder") {
        Some(name) => holders.into_iter().find(|it| holder_name(*it) == name).unwrap_or(LeaseHolder::Refresher),
        None if token.starts_with(FORMER_RECOVERY_TOKEN) => LeaseHolder::RecoveryQueue,
        None => LeaseHolder::Refresher,
    }
}

/// The attribute `state` of the connections that need attention, and of the others.
pub(super) fn index_state(needs_attention: bool) -> &'static str {
    state_name(if needs_attention { State::ClientActionRequired } else { State::Ready })
}

pub(super) fn state_name(state: State) -> &'static str {
    match state {
        State::Ready => "READY",
        State::ClientActionRequired => "CLIENT_ACTION_REQUIRED",
        State::Building => "BUILDING",
    }
}

fn state_of(text: &str) -> Option<State> {
    [State::Ready, State::ClientActionRequired].into_iter().find(|state| state_name(*state) == text)
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::connection::Account;

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

    fn full() -> Connection {
        let now = OffsetDateTime::UNIX_EPOCH;
        let flow = Flow { name: Some("Sync".into()), uri: Some("https://app.example/7".into()), active: true };
        let details = Details {
            name: Some("Mine".into()),
            key: Some("crm".into()),
            tags: [("team".to_owned(), "red".to_owned())].into(),
            meta: json!({"a": [1, null]}).as_object().cloned(),
            flows: [("7".to_owned(), flow.clone()), ("8#".to_owned(), Flow { active: false, ..flow })].into(),
            is_deactivated: true,
            last_used_at: Some(now),
            changed_at: Some(now),
        };
        Connection {
            details,
            tenant: Some("alice".into()),
            integration: Some(IntegrationRef {
                key: "crm".into(),
                connector_key: "oauth2".into(),
                option_key: "a".into(),
            }),
            problem: Some(Problem::new(Some("configuration"), "wrong")),
            is_lapsing: true,
            test_problem: Some(Problem::new(Some("access_token_expired"), "unauthorized")),
            expiry: Some(Expiry { is_rest: true, ..Expiry::new(now, now) }),
            refresh_margin: Some(Duration::from_secs(7)),
            next_refresh_at: Some(now),
            last_refreshed_at: Some(now),
            last_attempt_at: Some(now),
            failing_since: Some(now),
            scopes: Some(vec!["read".into()]),
            account: Some(Account { id: "1".into(), label: Some("a@example.com".into()) }),
            archived_at: Some(now),
            ..Connection::new(ConnectionKey::new("acme", "c1"), now)
        }
    }

    #[test]
    fn a_row_reads_as_the_connection_that_was_written() {
        let restored = Connection { archived_at: None, ..full() };
        let revoked = Connection { state: State::ClientActionRequired, ..restored.clone() };
        for connection in [full(), restored, revoked] {
            assert_eq!(read(&write(&connection)).expect("a connection"), connection);
        }
    }

    #[test]
    fn all_that_need_attention_have_one_state_in_the_index() {
        let index_key = |connection: &Connection| write(connection).get_string("state").expect("a state");
        let well = Connection { is_lapsing: false, test_problem: None, archived_at: None, ..full() };
        assert_eq!(index_key(&well), "READY");
        for unwell in [
            Connection { is_lapsing: true, ..well.clone() },
            Connection { test_problem: full().test_problem, ..well.clone() },
            Connection { state: State::ClientActionRequired, ..well },
        ] {
            assert_eq!(index_key(&unwell), "CLIENT_ACTION_REQUIRED");
        }
    }

    #[test]
    fn every_attribute_has_one_owner() {
        let lease = ["lease_holder", "lease_token", "lease_until"];
        let restored = Connection { archived_at: None, ..full() };
        let mut written: Vec<_> = [full(), restored].iter().flat_map(|it| of_refreshes(it).0.into_keys()).collect();
        written.extend(lease.map(ToOwned::to_owned));
        written.sort_unstable();
        written.dedup();
        assert_eq!(written, OF_REFRESHES);

        let of_people = of_people(&full().details).0;
        let fixed = ["id", "workspace", "tenant", "created_at"];
        for name in write(&full()).0.keys() {
            let owners = [of_people.contains_key(name), OF_REFRESHES.contains(&&**name), fixed.contains(&&**name)];
            assert_eq!(owners.iter().filter(|owns| **owns).count(), 1, "{name}");
        }
    }
}
