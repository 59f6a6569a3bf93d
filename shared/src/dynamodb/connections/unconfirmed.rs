//! Credentials that wait for a confirmation, in items of their own.
//!
//! The item's id is `#unconfirmed#{hash of the connection's id}`. It has no workspace, tenant or integration, so no index
//! of these has it, and it is due in `by_due` when its time is up. `series` names one such item: a later request replaces
//! it by one of another series.
//!
//! ```text
//!            ┌── replaced by a later request ──┐
//!            ▼                                 │
//!   put ── waiting ── mark_confirmed ──► confirmed ── erase
//!            │                                 │
//!            └───────── mark_ended ─────► ended ── erase
//! ```
//!
//! A confirmed item is neither replaced nor ended for as long as its confirmation may take, and an ended one is never
//! confirmed. Erasing leaves an item without credentials, which TTL removes.
//!
//! # Decisions
//!
//! Versions before this one would find the item in `by_due` if they are deployed again. To them it looks like an archived
//! row, so they skip it.

use std::time::Duration;

use time::OffsetDateTime;

use super::super::item::{Item, present};
use super::super::{StoreError, Write};
use super::table::{Assignment, Condition};
use super::{Connections, row};
use crate::clock::{earlier, later};
use crate::connection::{ARCHIVE, Confirmation, Connection, ConnectionKey, State};
use crate::digest::sha256_base64url;

const TABLE: &str = "connections";

/// The attributes that erasing removes.
const ERASED: [&str; 3] = ["sealed", "next_refresh_at", "due_shard"];

/// Credentials that wait for a confirmation, still sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unconfirmed {
    /// The connection that they are for.
    pub key: ConnectionKey,
    /// The confirmation that they need.
    pub confirmation: Confirmation,
    /// The series of versions that the connection starts when they are stored. The seal is bound to it.
    pub series: u64,
    /// The version of the connection when they came; `None` if there was none.
    pub replaces: Option<u64>,
    /// Whether they can no longer be confirmed.
    pub is_ended: bool,
    /// The sealed credentials, with everything that is stored with them.
    pub sealed: Vec<u8>,
}

impl Unconfirmed {
    /// The beginning of the ids of items. No workspace's key is empty, so no row has such an id.
    const ID: &str = "unconfirmed#";

    /// Whether a key that was due is that of such an item, not of a connection.
    pub fn is_item(key: &ConnectionKey) -> bool {
        key.workspace.is_empty() && key.id.starts_with(Self::ID)
    }

    /// Returns the key of the item for a connection.
    fn item(key: &ConnectionKey) -> ConnectionKey {
        ConnectionKey::new("", format!("{}{}", Self::ID, sha256_base64url(key.to_string())))
    }

    /// Whether they can still be confirmed.
    pub fn is_open(&self, now: OffsetDateTime) -> bool {
        !self.is_ended && self.confirmation.expires_at > now
    }

    /// Whether a connection has them already: it has only been refreshed since they were stored.
    pub fn are_those_of(&self, stored: &Connection) -> bool {
        stored.version > self.series && stored.has_only_been_refreshed_since(self.series)
    }

    /// Whether a connection is still the one that they were meant for, and got no other credentials.
    pub fn fit(&self, stored: Option<&Connection>) -> bool {
        match (self.replaces, stored) {
            (None, None) => true,
            (Some(version), Some(stored)) => stored.has_only_been_refreshed_since(version),
            _ => false,
        }
    }
}

impl Connections {
    /// How long a confirmation may take: longer than any function runs.
    const CONFIRMING: Duration = Duration::from_mins(5);

    /// Reads the credentials that wait for a connection.
    ///
    /// # Errors
    /// When DynamoDB fails or the item is damaged.
    pub async fn unconfirmed(&self, key: &ConnectionKey) -> Result<Option<Unconfirmed>, StoreError> {
        if key.is_too_long() {
            return Ok(None);
        }
        self.unconfirmed_in(&Unconfirmed::item(key)).await
    }

    /// Reads an item that was due. `None` if it was erased.
    ///
    /// # Errors
    /// When DynamoDB fails or the item is damaged.
    pub async fn unconfirmed_in(&self, item: &ConnectionKey) -> Result<Option<Unconfirmed>, StoreError> {
        let item = self.table.get(item).await?.filter(|item| item.get_bytes("sealed").is_some());
        item.as_ref().map(read).transpose()
    }

    /// Keeps credentials until they are confirmed, instead of those of an earlier request. It conflicts while those are being
    /// confirmed.
    ///
    /// # Errors
    /// When DynamoDB fails or they are too large.
    pub async fn put_unconfirmed(&self, unconfirmed: &Unconfirmed, now: OffsetDateTime) -> Result<Write, StoreError> {
        self.table.put(write(unconfirmed, now), Condition::NotConfirmed(earlier(now, Self::CONFIRMING))).await
    }

    /// Reserves credentials for their confirmation. It conflicts if they have ended or were replaced.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn mark_confirmed(&self, unconfirmed: &Unconfirmed, now: OffsetDateTime) -> Result<Write, StoreError> {
        let assignment = Assignment::new(Item::default().time("confirmed_at", now), &[]);
        let condition = Condition::NotEnded(unconfirmed.series);
        self.table.assign(&Unconfirmed::item(&unconfirmed.key), condition, assignment).await
    }

    /// Ends the wait, so that they cannot be confirmed any more. It conflicts if they are being confirmed or were replaced.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn mark_ended(&self, unconfirmed: &Unconfirmed, now: OffsetDateTime) -> Result<Write, StoreError> {
        // If this process dies before it erases them, a sweep does.
        let set = Item::default().time("ended_at", now).time("next_refresh_at", later(now, Self::CONFIRMING));
        let condition = Condition::NotConfirmedSince(unconfirmed.series, earlier(now, Self::CONFIRMING));
        self.table.assign(&Unconfirmed::item(&unconfirmed.key), condition, Assignment::new(set, &[])).await
    }

    /// Erases credentials that were stored or have ended. It conflicts if they were replaced, which leaves nothing to do.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn erase_unconfirmed(&self, unconfirmed: &Unconfirmed) -> Result<Write, StoreError> {
        let assignment = Assignment::new(Item::default(), &ERASED);
        let condition = Condition::Series(unconfirmed.series);
        self.table.assign(&Unconfirmed::item(&unconfirmed.key), condition, assignment).await
    }
}

fn write(unconfirmed: &Unconfirmed, now: OffsetDateTime) -> Item {
    let Unconfirmed { key, confirmation, series, replaces, sealed, .. } = unconfirmed;
    let Confirmation { request_id, expires_at } = confirmation;
    // The archive's time is longer than anything waits, and long enough for the sweeper.
    let remove_at = later(*expires_at, ARCHIVE + row::MARGIN).unix_timestamp();
    let item = Item::default()
        .string("id", Unconfirmed::item(key).to_string())
        .string("target", key.to_string())
        .string("request", request_id)
        .time("confirm_by", *expires_at)
        .number("series", series)
        .maybe("replaces", *replaces, Item::number)
        .bytes("sealed", sealed.clone())
        .time("next_refresh_at", *expires_at)
        .number("due_shard", row::due_shard(key))
        .number("remove_at", remove_at);
    // For versions before this one.
    item.number("version", 0)
        .number("sealed_version", 0)
        .string("state", row::state_name(State::ClientActionRequired))
        .time("archived_at", now)
        .time("created_at", now)
        .time("updated_at", now)
}

fn read(item: &Item) -> Result<Unconfirmed, StoreError> {
    Ok(Unconfirmed {
        key: present(item.get_string("target").and_then(|key| key.parse().ok()), TABLE, "target")?,
        confirmation: Confirmation {
            request_id: present(item.get_string("request"), TABLE, "request")?,
            expires_at: present(item.get_time("confirm_by"), TABLE, "confirm_by")?,
        },
        series: present(item.get_number("series"), TABLE, "series")?,
        replaces: item.get_number("replaces"),
        is_ended: item.get_time("ended_at").is_some(),
        sealed: present(item.get_bytes("sealed"), TABLE, "sealed")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRng;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_700_000_000 + seconds).expect("a time")
    }

    fn unconfirmed() -> Unconfirmed {
        Unconfirmed {
            key: ConnectionKey::new("acme", "c#1"),
            confirmation: Confirmation { request_id: "r1".into(), expires_at: at(1800) },
            series: 7_000_000,
            replaces: Some(70),
            is_ended: false,
            sealed: b"sealed".to_vec(),
        }
    }

    #[test]
    fn an_item_reads_as_it_was_written() {
        for expected in [unconfirmed(), Unconfirmed { replaces: None, ..unconfirmed() }] {
            assert_eq!(read(&write(&expected, at(0))).expect("an item"), expected);
        }
        let ended = write(&unconfirmed(), at(0)).time("ended_at", at(60));
        assert!(read(&ended).expect("an item").is_ended);
    }

    #[test]
    fn earlier_versions_take_an_item_for_an_archived_row() {
        let item = write(&unconfirmed(), at(0));
        let connection = row::read(&item).expect("a connection");
        assert_eq!((connection.archived_at, connection.tenant, connection.integration), (Some(at(0)), None, None));
        assert!(Unconfirmed::is_item(&connection.key));
        for index_key in ["workspace", "tenant", "integration_key", "connector_key"] {
            assert!(!item.0.contains_key(index_key), "{index_key}");
        }
    }

    #[test]
    fn no_connection_has_the_id_of_an_item() {
        assert!(!Unconfirmed::is_item(&ConnectionKey::new("acme", "unconfirmed#x")));
        let items = ["c1", "c2"].map(|id| Unconfirmed::item(&ConnectionKey::new("acme", id)));
        assert!(items.iter().all(|item| Unconfirmed::is_item(item) && !item.is_too_long()));
        assert_ne!(items[0], items[1]);
    }

    #[test]
    fn credentials_can_be_confirmed_until_their_time_is_up() {
        let waiting = unconfirmed();
        assert_eq!([at(0), at(1799), at(1800)].map(|now| waiting.is_open(now)), [true, true, false]);
        assert!(!Unconfirmed { is_ended: true, ..waiting }.is_open(at(0)));
    }

    #[test]
    fn only_the_connection_they_were_meant_for_gets_credentials() {
        let stored = |version| Connection { version, ..Connection::new(ConnectionKey::new("acme", "c1"), at(0)) };
        let waiting = unconfirmed();
        assert!(waiting.fit(Some(&stored(70))) && waiting.fit(Some(&stored(75))));
        assert!(!waiting.fit(Some(&stored(69))) && !waiting.fit(None));
        let new = Unconfirmed { replaces: None, ..waiting };
        assert!(new.fit(None) && !new.fit(Some(&stored(70))));

        let mut confirmed = stored(75);
        confirmed.apply_series(new.series, None, true, at(0));
        assert!(new.are_those_of(&confirmed) && !new.are_those_of(&stored(new.series)));
        confirmed.apply_renewal(None, true, at(60));
        assert!(new.are_those_of(&confirmed));
        confirmed.apply_replacement(None, true, at(120), &SystemRng);
        assert!(!new.are_those_of(&confirmed));
    }
}
