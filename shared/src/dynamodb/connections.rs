//! The table of connections.

mod change;
mod details;
mod due;
mod list;
mod row;
mod table;
mod unconfirmed;

use std::time::Duration;

use aws_sdk_dynamodb::Client;
pub use due::Due;
pub use list::{Count, ListError, Page, Selection};
use table::{Assignment, Condition, Table};
use time::OffsetDateTime;
pub use unconfirmed::Unconfirmed;

use super::item::Item;
use super::{Integration, StoreError, Write};
use crate::clock::Clock;
use crate::connection::{Connection, ConnectionKey, IntegrationRef, Lease};
use crate::record;

/// The number of partitions of the index of due connections. More would only matter above some 8,000 refreshes a second.
pub const DUE_SHARDS: u8 = 8;

/// The longest wait for another invocation's refresh. API Gateway ends requests after 30 seconds.
const MAX_WAIT: Duration = Duration::from_secs(20);

/// Reads and writes connections.
#[derive(Debug, Clone)]
pub struct Connections {
    table: Table,
}

/// The stored row that a write expects.
#[derive(Debug, Clone, Copy)]
pub enum Expect<'a> {
    /// No such connection, or an archived one, which it replaces.
    Absent,
    /// The connection at this version.
    Version(u64),
    /// The connection at this version, not leased at this time.
    Unleased(u64, OffsetDateTime),
    /// The connection under this lease.
    Lease(&'a Lease),
}

impl Connections {
    /// The largest page.
    pub const MAX_PAGE: usize = 1000;
    /// The most rows that BatchGetItem returns at once.
    const BATCH: usize = 100;

    /// The connections in `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { table: Table::new(client, table) }
    }

    /// Reads a connection with strong consistency. Archived ones count as absent.
    ///
    /// # Errors
    /// When DynamoDB fails or the item is damaged.
    pub async fn get(&self, key: &ConnectionKey) -> Result<Option<Connection>, StoreError> {
        Ok(self.get_with_archived(key).await?.filter(|connection| connection.archived_at.is_none()))
    }

    /// Reads a connection with strong consistency, even if it is archived.
    ///
    /// # Errors
    /// When DynamoDB fails or the item is damaged.
    pub async fn get_with_archived(&self, key: &ConnectionKey) -> Result<Option<Connection>, StoreError> {
        if key.is_too_long() {
            return Ok(None);
        }
        record::note(|record| record.connection(key));
        let row = self.table.get(key).await?;
        let connection = row.as_ref().map(row::read).transpose()?;
        if let Some(integration) = connection.as_ref().and_then(|connection| connection.integration.as_ref()) {
            record::note(|record| record.connector = Some(integration.connector_key.clone()));
        }
        Ok(connection)
    }

    /// Writes a connection, without a lease, if the stored one matches `expect`. Of one that is stored already, the attributes
    /// that people own stay as they are, except that archiving frees its key.
    ///
    /// # Errors
    /// When DynamoDB fails, or another connection has the key of a new one.
    pub async fn put(&self, connection: &Connection, expect: Expect<'_>) -> Result<Write, StoreError> {
        match expect {
            Expect::Absent => self.create(connection, row::write(connection), Condition::Absent).await,
            expect => {
                let mut owned = row::OF_REFRESHES.to_vec();
                if connection.archived_at.is_some() {
                    owned.extend(row::REMOVED_BY_ARCHIVING);
                }
                let assignment = Assignment::new(row::of_refreshes(connection), &owned);
                self.table.assign(&connection.key, expect.into(), assignment).await
            }
        }
    }

    /// Writes a new connection that is leased from the start.
    ///
    /// # Errors
    /// When DynamoDB fails, or another connection has its key.
    pub async fn reserve(&self, connection: &Connection, lease: &Lease) -> Result<Write, StoreError> {
        let row = row::write(connection)
            .string("lease_token", &lease.token)
            .string("lease_holder", row::holder_name(lease.holder))
            .time("lease_until", lease.until);
        self.create(connection, row, Condition::AbsentOrLeased(lease)).await
    }

    /// Takes the lease of a connection that is still at this version and not leased to another invocation. The
    /// connection is due when the lease ends, if not before, so that it is not forgotten if the holder dies.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn lease(
        &self,
        connection: &Connection,
        lease: &Lease,
        now: OffsetDateTime,
    ) -> Result<Write, StoreError> {
        let is_due_later = connection.next_refresh_at.is_some_and(|due| due > lease.until);
        let due = if is_due_later { ", next_refresh_at = :until" } else { "" };
        let change = format!(
            "SET lease_token = :token, lease_holder = :holder, lease_until = :until, last_attempt_at = :now{due}"
        );
        let values = Item::default()
            .string(":token", &lease.token)
            .string(":holder", row::holder_name(lease.holder))
            .time(":until", lease.until)
            .time(":now", now);
        let condition = Condition::UnleasedOrLeased(connection.version, now, lease);
        self.table.update(&connection.key, condition, &change, values).await
    }

    /// Extends a lease. Conflicts if another invocation has taken it or the connection was written.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn prolong(&self, connection: &Connection, lease: &Lease) -> Result<Write, StoreError> {
        let values = Item::default().time(":until", lease.until);
        let change = "SET lease_until = :until";
        self.table.update(&connection.key, Condition::Leased(lease), change, values).await
    }

    /// Releases a lease. Does nothing if it is no longer held.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn release(&self, connection: &Connection, lease: &Lease) -> Result<(), StoreError> {
        let change = "REMOVE lease_token, lease_holder, lease_until";
        self.table.update(&connection.key, Condition::Leased(lease), change, Item::default()).await.map(drop)
    }

    /// Postpones a connection that was due at `now`, so that others come first.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn postpone(
        &self,
        key: &ConnectionKey,
        now: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let values = Item::default().time(":until", until);
        let change = "SET next_refresh_at = :until";
        self.table.update(key, Condition::Due(now), change, values).await.map(drop)
    }

    /// Waits until a connection that was seen at `version` is no longer being refreshed or has changed, but at most 20
    /// seconds. Returns the stored connection.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn settled(
        &self,
        key: &ConnectionKey,
        version: u64,
        clock: &dyn Clock,
    ) -> Result<Option<Connection>, StoreError> {
        let mut pause = Duration::from_millis(40);
        let mut waited = Duration::ZERO;
        loop {
            let connection = self.get(key).await?;
            let in_progress = |it: &Connection| it.version == version && it.is_leased(clock.now());
            if waited >= MAX_WAIT || !connection.as_ref().is_some_and(in_progress) {
                return Ok(connection);
            }
            tokio::time::sleep(pause).await;
            waited += pause;
            pause = pause.mul_f64(1.5).min(Duration::from_millis(500));
        }
    }

    /// Removes a connection that matches `expect`. Conflicts if there is none.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn remove(&self, connection: &Connection, expect: Expect<'_>) -> Result<Write, StoreError> {
        self.table.delete(&connection.key, expect.into()).await
    }
}

impl<'a> From<Expect<'a>> for Condition<'a> {
    fn from(expect: Expect<'a>) -> Self {
        match expect {
            Expect::Absent => Self::Absent,
            Expect::Version(version) => Self::Version(version),
            Expect::Unleased(version, now) => Self::Unleased(version, now),
            Expect::Lease(lease) => Self::Leased(lease),
        }
    }
}

impl IntegrationRef {
    /// A reference to an integration and one of its connector's options.
    pub fn new(integration: &Integration, option_key: &str) -> Self {
        Self {
            key: integration.key.clone(),
            connector_key: integration.connector_key.clone(),
            option_key: option_key.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use aws_sdk_dynamodb::error::ErrorMetadata;
    use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemOutput;
    use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
    use aws_sdk_dynamodb::operation::put_item::PutItemError;
    use aws_sdk_dynamodb::operation::query::{QueryError, QueryOutput};
    use aws_sdk_dynamodb::operation::transact_write_items::{TransactWriteItemsError, TransactWriteItemsOutput};
    use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
    use aws_sdk_dynamodb::types::error::{ConditionalCheckFailedException, TransactionCanceledException};
    use aws_sdk_dynamodb::types::{AttributeValue, CancellationReason, KeysAndAttributes};
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};

    use super::*;
    use crate::connection::LeaseHolder;
    use crate::testing::Lines;

    fn connection(tenant: &str) -> Connection {
        let now = OffsetDateTime::UNIX_EPOCH;
        Connection { tenant: Some(tenant.to_owned()), ..Connection::new(ConnectionKey::new("acme", "c1"), now) }
    }

    #[tokio::test]
    async fn a_failed_condition_is_a_conflict_and_is_not_logged() {
        let failed = || ConditionalCheckFailedException::builder().message("The conditional request failed").build();
        let put = mock!(Client::put_item).then_error(move || PutItemError::ConditionalCheckFailedException(failed()));
        let update =
            mock!(Client::update_item).then_error(move || UpdateItemError::ConditionalCheckFailedException(failed()));
        let delete =
            mock!(Client::delete_item).then_error(move || DeleteItemError::ConditionalCheckFailedException(failed()));
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&put, &update, &delete]);
        let lines = Lines::of("info", async {
            let (connections, connection) = (Connections::new(client, "connections"), connection("alice"));
            let (holder, until) = (LeaseHolder::Refresher, OffsetDateTime::UNIX_EPOCH);
            let lease = Lease { token: "token".into(), holder, until };
            let now = OffsetDateTime::UNIX_EPOCH;
            for expect in [Expect::Absent, Expect::Version(1), Expect::Unleased(1, now), Expect::Lease(&lease)] {
                assert_eq!(connections.put(&connection, expect).await.unwrap(), Write::Conflict, "{expect:?}");
            }
            assert_eq!(connections.reserve(&connection, &lease).await.unwrap(), Write::Conflict);
            assert_eq!(connections.lease(&connection, &lease, now).await.unwrap(), Write::Conflict);
            assert_eq!(connections.prolong(&connection, &lease).await.unwrap(), Write::Conflict);
            assert_eq!(connections.remove(&connection, Expect::Version(1)).await.unwrap(), Write::Conflict);
            connections.release(&connection, &lease).await.unwrap();
            connections.postpone(&connection.key, now, now).await.unwrap();
        });
        let lines = lines.await;
        assert!(lines.is_empty(), "{lines:?}");
        assert_eq!((put.num_calls(), update.num_calls(), delete.num_calls()), (2, 7, 1));
    }

    #[tokio::test]
    async fn stale_index_entries_are_not_listed() {
        let of_index = HashMap::from([("id".to_owned(), AttributeValue::S("acme#c1".to_owned()))]);
        let query = mock!(Client::query)
            .match_requests(|request| request.consistent_read().is_none())
            .then_output(move || QueryOutput::builder().items(of_index.clone()).build());
        // It was alice's and was deleted; then bob created one with the same id.
        let row = row::write(&connection("bob")).0;
        let get = mock!(Client::batch_get_item)
            .match_requests(|request| {
                let keys = request.request_items().and_then(|tables| tables.get("connections"));
                keys.and_then(KeysAndAttributes::consistent_read) == Some(true)
            })
            .then_output(move || BatchGetItemOutput::builder().responses("connections", vec![row.clone()]).build());
        let connections =
            Connections::new(mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&query, &get]), "connections");
        let listed = async |tenant| {
            connections.list("acme", Selection { tenant, ..Selection::default() }, 10, None).await.unwrap().items.len()
        };
        assert_eq!(listed(Some("alice")).await, 0);
        assert_eq!(listed(Some("bob")).await, 1);
        assert_eq!(listed(None).await, 1);
    }

    #[tokio::test]
    async fn listing_works_without_the_tenant_index() {
        for (message, is_listed) in [
            ("The table does not have the specified index: by_tenant", true),
            ("Cannot read from backfilling global secondary index: by_tenant", true),
            ("The provided starting key is invalid", false),
        ] {
            let of_tenant = mock!(Client::query)
                .match_requests(|request| request.index_name() == Some("by_tenant"))
                .then_error(move || {
                    let metadata = ErrorMetadata::builder().code("ValidationException").message(message);
                    QueryError::generic(metadata.build())
                });
            let index = HashMap::from([("id".to_owned(), AttributeValue::S("acme#c1".to_owned()))]);
            let of_workspace = mock!(Client::query)
                .match_requests(|request| request.index_name() == Some("by_workspace"))
                .then_output(move || QueryOutput::builder().items(index.clone()).build());
            let row = row::write(&connection("alice")).0;
            let get = mock!(Client::batch_get_item)
                .then_output(move || BatchGetItemOutput::builder().responses("connections", vec![row.clone()]).build());
            let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&of_tenant, &of_workspace, &get]);
            let listed = Connections::new(client, "connections")
                .list("acme", Selection { tenant: Some("alice"), ..Selection::default() }, 10, None)
                .await;
            assert_eq!(listed.is_ok_and(|page| page.items.len() == 1), is_listed, "{message}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_that_another_one_canceled_is_repeated() {
        let canceled = |code: &str| {
            let reason = CancellationReason::builder().code(code).build();
            let none = CancellationReason::builder().code("None").build();
            let error = TransactionCanceledException::builder().cancellation_reasons(none).cancellation_reasons(reason);
            TransactWriteItemsError::TransactionCanceledException(error.build())
        };
        let mut connection = connection("alice");
        connection.details.key = Some("main".into());
        let put = async |rule: Rule| {
            let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&rule]);
            let written = Connections::new(client, "connections").put(&connection, Expect::Absent).await;
            (written.ok(), rule.num_calls())
        };
        let once = mock!(Client::transact_write_items).sequence();
        let once = once.error(move || canceled("TransactionConflict"));
        let once = once.output(|| TransactWriteItemsOutput::builder().build()).build();
        assert_eq!(put(once).await, (Some(Write::Done), 2));
        let always = mock!(Client::transact_write_items).then_error(move || canceled("TransactionConflict"));
        assert_eq!(put(always).await, (None, 4));
    }
}
