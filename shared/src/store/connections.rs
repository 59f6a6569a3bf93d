//! The table of connections.

use std::collections::HashMap;
use std::time::Duration;

use aws_lc_rs::digest;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use time::OffsetDateTime;

use super::item::{Item, present};
use super::schema::{BY_DUE, BY_WORKSPACE};
use super::{Integration, StoreError};
use crate::clock::{Clock, milliseconds};
use crate::connection::{Connection, Expiry, IntegrationRef, Lease, Problem, State};
use crate::invocation;

/// The partitions of the index of what is due. More would only matter above some 8,000 refreshes a second.
pub const DUE_SHARDS: u8 = 8;

const TABLE: &str = "connections";
const UNLEASED: &str = "version = :version AND (attribute_not_exists(lease_until) OR lease_until <= :now)";
/// API Gateway ends a request after 30 seconds.
const MAX_WAIT: Duration = Duration::from_secs(20);

/// Reads and writes connections.
#[derive(Debug, Clone)]
pub struct Connections {
    client: Client,
    table: String,
}

/// What a write expects to find.
#[derive(Debug, Clone, Copy)]
pub enum Expect<'a> {
    /// No such connection.
    Absent,
    /// The connection at this version.
    Version(u64),
    /// The connection at this version, leased to nobody at this time.
    Unleased(u64, OffsetDateTime),
    /// The connection, leased to this holder.
    Lease(&'a Lease),
}

/// One page of connections.
#[derive(Debug)]
pub struct Page {
    /// The connections, oldest first.
    pub items: Vec<Connection>,
    /// Where the next page begins, if there is one.
    pub cursor: Option<String>,
}

/// A connection that is due for a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Its workspace.
    pub workspace: String,
    /// Its id.
    pub id: String,
    /// Since when, in milliseconds since 1970.
    pub at: i64,
}

impl Connections {
    /// The most that a page holds: what BatchGetItem returns at once.
    pub const MAX_PAGE: usize = 100;

    /// The longest id of a connection; with its workspace it is a key of DynamoDB, which has at most 2048 bytes.
    pub const MAX_ID_BYTES: usize = 512;

    /// Connections in `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Reads a connection with strong consistency.
    ///
    /// # Errors
    /// When DynamoDB fails or the item is damaged.
    pub async fn get(&self, workspace: &str, id: &str) -> Result<Option<Connection>, StoreError> {
        if id.len() > Self::MAX_ID_BYTES {
            return Ok(None);
        }
        invocation::note(|record| record.connection(workspace, id));
        let output = self
            .client
            .get_item()
            .table_name(&self.table)
            .key("id", key(workspace, id))
            .consistent_read(true)
            .send()
            .await
            .map_err(StoreError::dynamodb)?;
        let connection = output.item.map(read).transpose()?;
        if let Some(integration) = connection.as_ref().and_then(|connection| connection.integration.as_ref()) {
            invocation::note(|record| record.connector = Some(integration.connector_key.clone()));
        }
        Ok(connection)
    }

    /// Writes the whole connection, without a lease, if what is there is what `expect` says. `false` if it is not.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn put(&self, connection: &Connection, expect: Expect<'_>) -> Result<bool, StoreError> {
        let put = self.client.put_item().table_name(&self.table).set_item(Some(write(connection).0));
        let put = match expect {
            Expect::Absent => put.condition_expression("attribute_not_exists(id)"),
            Expect::Version(version) => put
                .condition_expression("version = :version")
                .expression_attribute_values(":version", AttributeValue::N(version.to_string())),
            Expect::Unleased(version, now) => put
                .condition_expression(UNLEASED)
                .expression_attribute_values(":version", AttributeValue::N(version.to_string()))
                .expression_attribute_values(":now", AttributeValue::N(milliseconds(now).to_string())),
            Expect::Lease(lease) => put
                .condition_expression("lease_token = :token")
                .expression_attribute_values(":token", AttributeValue::S(lease.token.clone())),
        };
        is_done(put.send().await, PutItemError::is_conditional_check_failed_exception)
    }

    /// Writes a connection that is not there yet, leased from the beginning. `false` if there is one.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn reserve(&self, connection: &Connection, lease: &Lease) -> Result<bool, StoreError> {
        let item = write(connection).string("lease_token", &lease.token).time("lease_until", lease.until);
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item.0))
            .condition_expression("attribute_not_exists(id) OR lease_token = :token")
            .expression_attribute_values(":token", AttributeValue::S(lease.token.clone()));
        is_done(put.send().await, PutItemError::is_conditional_check_failed_exception)
    }

    /// Takes the lease of a connection that is still at this version and not leased to another. `false` if it is. A
    /// connection that would be due later is due when the lease ends: so it is not forgotten if its holder dies.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn lease(&self, connection: &Connection, lease: &Lease, now: OffsetDateTime) -> Result<bool, StoreError> {
        let is_due_later = connection.next_refresh_at.is_some_and(|due| due > lease.until);
        let due = if is_due_later { ", next_refresh_at = :until" } else { "" };
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", key(&connection.workspace, &connection.id))
            .condition_expression(format!("{UNLEASED} OR lease_token = :token"))
            .update_expression(format!("SET lease_token = :token, lease_until = :until, last_attempt_at = :now{due}"))
            .expression_attribute_values(":version", AttributeValue::N(connection.version.to_string()))
            .expression_attribute_values(":token", AttributeValue::S(lease.token.clone()))
            .expression_attribute_values(":until", AttributeValue::N(milliseconds(lease.until).to_string()))
            .expression_attribute_values(":now", AttributeValue::N(milliseconds(now).to_string()));
        is_done(update.send().await, UpdateItemError::is_conditional_check_failed_exception)
    }

    /// Gives a lease that is still held a new end. `false` if it is not: another has it, or the connection was written.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn prolong(&self, connection: &Connection, lease: &Lease) -> Result<bool, StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", key(&connection.workspace, &connection.id))
            .condition_expression("lease_token = :token")
            .update_expression("SET lease_until = :until")
            .expression_attribute_values(":token", AttributeValue::S(lease.token.clone()))
            .expression_attribute_values(":until", AttributeValue::N(milliseconds(lease.until).to_string()));
        is_done(update.send().await, UpdateItemError::is_conditional_check_failed_exception)
    }

    /// Gives back a lease; one that is not held any more is left to whoever has it.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn release(&self, connection: &Connection, lease: &Lease) -> Result<(), StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", key(&connection.workspace, &connection.id))
            .condition_expression("lease_token = :token")
            .update_expression("REMOVE lease_token, lease_until")
            .expression_attribute_values(":token", AttributeValue::S(lease.token.clone()));
        is_done(update.send().await, UpdateItemError::is_conditional_check_failed_exception).map(drop)
    }

    /// Moves a connection that was due at `now` to the back of the queue.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn postpone(
        &self,
        workspace: &str,
        id: &str,
        now: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key("id", key(workspace, id))
            .condition_expression("next_refresh_at <= :now")
            .update_expression("SET next_refresh_at = :until")
            .expression_attribute_values(":now", AttributeValue::N(milliseconds(now).to_string()))
            .expression_attribute_values(":until", AttributeValue::N(milliseconds(until).to_string()));
        is_done(update.send().await, UpdateItemError::is_conditional_check_failed_exception).map(drop)
    }

    /// Waits until nobody refreshes a connection that was seen at `version`, or it has changed, or 20 seconds have passed;
    /// gives what is there then.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn settled(
        &self,
        workspace: &str,
        id: &str,
        version: u64,
        clock: &dyn Clock,
    ) -> Result<Option<Connection>, StoreError> {
        let mut pause = Duration::from_millis(40);
        let mut waited = Duration::ZERO;
        loop {
            let connection = self.get(workspace, id).await?;
            let in_progress = |it: &Connection| it.version == version && it.is_leased(clock.now());
            if waited >= MAX_WAIT || !connection.as_ref().is_some_and(in_progress) {
                return Ok(connection);
            }
            tokio::time::sleep(pause).await;
            waited += pause;
            pause = pause.mul_f64(1.5).min(Duration::from_millis(500));
        }
    }

    /// Removes a connection; removing nothing succeeds.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn remove(&self, workspace: &str, id: &str) -> Result<(), StoreError> {
        let delete = self.client.delete_item().table_name(&self.table).key("id", key(workspace, id));
        delete.send().await.map(drop).map_err(StoreError::dynamodb)
    }

    /// Removes a connection whose lease is held. `false` if it is not, or there is nothing.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn remove_leased(&self, connection: &Connection, lease: &Lease) -> Result<bool, StoreError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key("id", key(&connection.workspace, &connection.id))
            .condition_expression("lease_token = :token")
            .expression_attribute_values(":token", AttributeValue::S(lease.token.clone()));
        is_done(delete.send().await, DeleteItemError::is_conditional_check_failed_exception)
    }

    /// A page of a workspace's connections, of one tenant or of all, oldest first. Index reads may lag by a moment.
    ///
    /// # Errors
    /// When DynamoDB fails. A cursor that is not ours begins at the beginning.
    pub async fn list(
        &self,
        workspace: &str,
        tenant: Option<&str>,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page, StoreError> {
        let limit = limit.clamp(1, Self::MAX_PAGE);
        let mut start = cursor.and_then(|cursor| cursor_key(workspace, cursor));
        let mut ids = Vec::new();
        loop {
            let wanted = i32::try_from(limit - ids.len()).unwrap_or(i32::MAX);
            let query = self
                .client
                .query()
                .table_name(&self.table)
                .index_name(BY_WORKSPACE)
                .key_condition_expression("workspace = :workspace")
                .expression_attribute_values(":workspace", AttributeValue::S(workspace.to_owned()))
                .projection_expression("id")
                .limit(wanted)
                .set_exclusive_start_key(start.take());
            let query = match tenant {
                Some(tenant) => query
                    .filter_expression("tenant = :tenant")
                    .expression_attribute_values(":tenant", AttributeValue::S(tenant.to_owned())),
                None => query,
            };
            let output = query.send().await.map_err(StoreError::dynamodb)?;
            ids.extend(output.items.unwrap_or_default().into_iter().filter_map(|item| Item(item).get_string("id")));
            start = output.last_evaluated_key;
            if start.is_none() || ids.len() >= limit {
                break;
            }
        }
        let mut items = self.get_many(&ids).await?;
        // The index may still have what was deleted and then made anew by somebody else.
        items.retain(|connection| tenant.is_none() || connection.tenant.as_deref() == tenant);
        Ok(Page { items, cursor: start.and_then(|key| write_cursor(&Item(key))) })
    }

    /// How many connections of a workspace there are for each value of an attribute: `connector_key` or
    /// `integration_key`.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn count(&self, workspace: &str, attribute: &str) -> Result<HashMap<String, u64>, StoreError> {
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(BY_WORKSPACE)
            .key_condition_expression("workspace = :workspace")
            .expression_attribute_values(":workspace", AttributeValue::S(workspace.to_owned()))
            .projection_expression(attribute)
            .into_paginator()
            .items()
            .send();
        let mut counts = HashMap::new();
        while let Some(item) = pages.next().await {
            if let Some(value) = Item(item.map_err(StoreError::dynamodb)?).get_string(attribute) {
                *counts.entry(value).or_default() += 1;
            }
        }
        Ok(counts)
    }

    /// Up to `limit` connections of one shard that were due at `now`, the longest due first, behind the one that is
    /// `after`. What is given may have changed meanwhile.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn due(
        &self,
        shard: u8,
        now: OffsetDateTime,
        limit: i32,
        after: Option<&Due>,
    ) -> Result<Vec<Due>, StoreError> {
        let after = after.map(|due| {
            let key = Item::default().string("id", format!("{}#{}", due.workspace, due.id));
            key.number("due_shard", shard).number("next_refresh_at", due.at).0
        });
        let output = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(BY_DUE)
            .key_condition_expression("due_shard = :shard AND next_refresh_at <= :now")
            .expression_attribute_values(":shard", AttributeValue::N(shard.to_string()))
            .expression_attribute_values(":now", AttributeValue::N(milliseconds(now).to_string()))
            .limit(limit)
            .set_exclusive_start_key(after)
            .send()
            .await
            .map_err(StoreError::dynamodb)?;
        let items = output.items.unwrap_or_default().into_iter().map(Item);
        Ok(items
            .filter_map(|item| {
                let (key, at) = item.get_string("id").zip(item.get_number("next_refresh_at"))?;
                let (workspace, id) = key.split_once('#')?;
                Some(Due { workspace: workspace.to_owned(), id: id.to_owned(), at })
            })
            .collect())
    }

    /// Reads up to [`Self::MAX_PAGE`] connections, in the order of their keys.
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Connection>, StoreError> {
        let mut found = HashMap::new();
        let mut wanted: Vec<_> =
            keys.iter().map(|key| HashMap::from([("id".to_owned(), AttributeValue::S(key.clone()))])).collect();
        while !wanted.is_empty() {
            let keys = KeysAndAttributes::builder().set_keys(Some(wanted)).consistent_read(true);
            let output = self
                .client
                .batch_get_item()
                .request_items(&self.table, keys.build().map_err(StoreError::dynamodb)?)
                .send()
                .await
                .map_err(StoreError::dynamodb)?;
            for item in output.responses.into_iter().flat_map(HashMap::into_values).flatten() {
                let key = Item(item.clone()).get_string("id");
                found.insert(present(key, TABLE, "id")?, read(item)?);
            }
            let unread = output.unprocessed_keys.and_then(|mut tables| tables.remove(&self.table));
            wanted = unread.map(|unread| unread.keys).unwrap_or_default();
        }
        Ok(keys.iter().filter_map(|key| found.remove(key)).collect())
    }
}

/// Whether a conditional write was done. `false` if what is stored is not what it expects, which `is_condition` tells.
fn is_done<T, E>(result: Result<T, SdkError<E>>, is_condition: fn(&E) -> bool) -> Result<bool, StoreError>
where
    E: std::error::Error + Send + Sync + 'static,
{
    match result {
        Ok(_) => Ok(true),
        Err(SdkError::ServiceError(error)) if is_condition(error.err()) => Ok(false),
        Err(error) => Err(StoreError::dynamodb(error)),
    }
}

fn key(workspace: &str, id: &str) -> AttributeValue {
    AttributeValue::S(format!("{workspace}#{id}"))
}

fn due_shard(workspace: &str, id: &str) -> u8 {
    let digest = digest::digest(&digest::SHA256, format!("{workspace}#{id}").as_bytes());
    digest.as_ref().first().copied().unwrap_or_default() % DUE_SHARDS
}

fn write(connection: &Connection) -> Item {
    let Connection { workspace, id, .. } = connection;
    Item::default()
        .string("id", format!("{workspace}#{id}"))
        .string("workspace", workspace)
        .number("version", connection.version)
        .number("sealed_version", connection.sealed_version)
        .bytes("sealed", connection.sealed.clone())
        .maybe("name", connection.name.as_ref(), Item::string)
        .maybe("tenant", connection.tenant.as_ref(), Item::string)
        .maybe("integration_key", connection.integration.as_ref().map(|it| &it.key), Item::string)
        .maybe("connector_key", connection.integration.as_ref().map(|it| &it.connector_key), Item::string)
        .maybe("auth_option", connection.integration.as_ref().map(|it| &it.option_key), Item::string)
        .string("state", state_text(connection.state))
        .maybe("problem", connection.problem.as_ref().map(|it| &it.message), Item::string)
        .maybe("problem_key", connection.problem.as_ref().and_then(|it| it.key.as_ref()), Item::string)
        .maybe("obtained_at", connection.expiry.map(|it| it.from), Item::time)
        .maybe("expires_at", connection.expiry.map(|it| it.at), Item::time)
        .number("refreshable", u8::from(connection.refreshable))
        .maybe("expiry_is_rest", connection.expiry.filter(|it| it.is_rest).map(|_| 1_u8), Item::number)
        .number("renews_itself", u8::from(connection.renews_itself))
        .maybe("refresh_margin", connection.refresh_margin.map(|it| it.as_secs()), Item::number)
        .maybe("next_refresh_at", connection.next_refresh_at, Item::time)
        .maybe("due_shard", connection.next_refresh_at.map(|_| due_shard(workspace, id)), Item::number)
        .maybe("last_refreshed_at", connection.last_refreshed_at, Item::time)
        .maybe("last_attempt_at", connection.last_attempt_at, Item::time)
        .maybe("failing_since", connection.failing_since, Item::time)
        .number("retry_attempts", connection.retry_attempts)
        .time("created_at", connection.created_at)
        .time("updated_at", connection.updated_at)
}

fn read(item: HashMap<String, AttributeValue>) -> Result<Connection, StoreError> {
    let item = Item(item);
    let key = present(item.get_string("id"), TABLE, "id")?;
    let (workspace, id) = present(key.split_once('#'), TABLE, "id")?;
    let integration = item.get_string("integration_key").zip(item.get_string("connector_key"));
    let lease = item.get_string("lease_token").zip(item.get_time("lease_until"));
    Ok(Connection {
        workspace: workspace.to_owned(),
        id: id.to_owned(),
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
        lease: lease.map(|(token, until)| Lease { token, until }),
        created_at: present(item.get_time("created_at"), TABLE, "created_at")?,
        updated_at: present(item.get_time("updated_at"), TABLE, "updated_at")?,
    })
}

fn state_text(state: State) -> &'static str {
    match state {
        State::Ready => "READY",
        State::ClientActionRequired => "CLIENT_ACTION_REQUIRED",
    }
}

fn state_of(text: &str) -> Option<State> {
    [State::Ready, State::ClientActionRequired].into_iter().find(|state| state_text(*state) == text)
}

/// The place in the index after which a page begins: creation time and id. The workspace is always the caller's own.
fn write_cursor(key: &Item) -> Option<String> {
    let created_at: i64 = key.get_number("created_at")?;
    let id = key.get_string("id")?;
    let (_, id) = id.split_once('#')?;
    Some(URL_SAFE_NO_PAD.encode(format!("{created_at}#{id}")))
}

fn cursor_key(workspace: &str, cursor: &str) -> Option<HashMap<String, AttributeValue>> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let (created_at, id) = text.split_once('#')?;
    let created_at: i64 = created_at.parse().ok()?;
    let key = Item::default()
        .string("id", format!("{workspace}#{id}"))
        .string("workspace", workspace)
        .number("created_at", created_at);
    Some(key.0)
}

impl IntegrationRef {
    /// A reference to an integration and one of its connector's ways to connect.
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
    use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemOutput;
    use aws_sdk_dynamodb::operation::query::QueryOutput;
    use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
    use aws_smithy_mocks::{RuleMode, mock, mock_client};

    use super::*;
    use crate::testing::Lines;

    fn connection(tenant: &str) -> Connection {
        let now = OffsetDateTime::UNIX_EPOCH;
        Connection { tenant: Some(tenant.to_owned()), ..Connection::new("acme", "c1", now) }
    }

    #[tokio::test]
    async fn a_condition_that_does_not_hold_is_an_answer_and_nothing_to_log() {
        let failed = || ConditionalCheckFailedException::builder().message("The conditional request failed").build();
        let put = mock!(Client::put_item).then_error(move || PutItemError::ConditionalCheckFailedException(failed()));
        let update =
            mock!(Client::update_item).then_error(move || UpdateItemError::ConditionalCheckFailedException(failed()));
        let delete =
            mock!(Client::delete_item).then_error(move || DeleteItemError::ConditionalCheckFailedException(failed()));
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&put, &update, &delete]);
        let lines = Lines::of("info", async {
            let (connections, connection) = (Connections::new(client, "connections"), connection("alice"));
            let lease = Lease { token: "token".into(), until: OffsetDateTime::UNIX_EPOCH };
            let now = OffsetDateTime::UNIX_EPOCH;
            for expect in [Expect::Absent, Expect::Version(1), Expect::Unleased(1, now), Expect::Lease(&lease)] {
                assert!(!connections.put(&connection, expect).await.unwrap(), "{expect:?}");
            }
            assert!(!connections.reserve(&connection, &lease).await.unwrap());
            assert!(!connections.lease(&connection, &lease, now).await.unwrap());
            assert!(!connections.prolong(&connection, &lease).await.unwrap());
            assert!(!connections.remove_leased(&connection, &lease).await.unwrap());
            connections.release(&connection, &lease).await.unwrap();
            connections.postpone("acme", "c1", now, now).await.unwrap();
        });
        let lines = lines.await;
        assert!(lines.is_empty(), "{lines:?}");
        assert_eq!((put.num_calls(), update.num_calls(), delete.num_calls()), (5, 4, 1));
    }

    #[tokio::test]
    async fn what_an_index_says_of_before_is_not_shown() {
        let of_index = HashMap::from([("id".to_owned(), AttributeValue::S("acme#c1".to_owned()))]);
        let query = mock!(Client::query)
            .match_requests(|request| request.consistent_read().is_none())
            .then_output(move || QueryOutput::builder().items(of_index.clone()).build());
        // It was alice's, then it was deleted, and bob has made one of that id.
        let row = write(&connection("bob")).0;
        let get = mock!(Client::batch_get_item)
            .match_requests(|request| {
                let keys = request.request_items().and_then(|tables| tables.get("connections"));
                keys.and_then(KeysAndAttributes::consistent_read) == Some(true)
            })
            .then_output(move || BatchGetItemOutput::builder().responses("connections", vec![row.clone()]).build());
        let connections =
            Connections::new(mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, [&query, &get]), "connections");
        let listed = async |tenant| connections.list("acme", tenant, 10, None).await.unwrap().items.len();
        assert_eq!(listed(Some("alice")).await, 0);
        assert_eq!(listed(Some("bob")).await, 1);
        assert_eq!(listed(None).await, 1);
    }
}
