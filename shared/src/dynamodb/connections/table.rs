//! The table itself. All writes are made here, and each takes a condition on the stored row.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use time::OffsetDateTime;

use super::super::item::Item;
use super::super::{StoreError, Write};
use crate::connection::{ConnectionKey, Lease};

/// Rows by key, and conditional writes.
#[derive(Debug, Clone)]
pub(super) struct Table {
    client: Client,
    name: String,
}

/// The stored row that a write requires. A row that was removed and created again has another version.
#[derive(Debug, Clone, Copy)]
pub(super) enum Condition<'a> {
    /// No row.
    Absent,
    /// No row, or one under this lease.
    AbsentOrLeased(&'a Lease),
    /// The row at this version.
    Version(u64),
    /// The row at this version, not leased at this time.
    Unleased(u64, OffsetDateTime),
    /// As [`Self::Unleased`], or under this lease at any version.
    UnleasedOrLeased(u64, OffsetDateTime, &'a Lease),
    /// The row under this lease.
    Leased(&'a Lease),
    /// A row that was due at this time.
    Due(OffsetDateTime),
}

/// The values of an expression, by their placeholders.
type Values = HashMap<String, AttributeValue>;

impl Table {
    pub(super) fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// Reads a row with strong consistency.
    pub(super) async fn get(&self, key: &ConnectionKey) -> Result<Option<Item>, StoreError> {
        let get = self.client.get_item().table_name(&self.name).key("id", attribute(key)).consistent_read(true);
        Ok(get.send().await.map_err(StoreError::dynamodb)?.item.map(Item))
    }

    /// Reads rows by their keys with strong consistency, in no particular order.
    pub(super) async fn get_many(&self, keys: &[String]) -> Result<Vec<Item>, StoreError> {
        let mut found = Vec::new();
        let mut wanted: Vec<_> =
            keys.iter().map(|key| HashMap::from([("id".to_owned(), AttributeValue::S(key.clone()))])).collect();
        while !wanted.is_empty() {
            let keys = KeysAndAttributes::builder().set_keys(Some(wanted)).consistent_read(true);
            let keys = keys.build().map_err(StoreError::dynamodb)?;
            let batch = self.client.batch_get_item().request_items(&self.name, keys);
            let output = batch.send().await.map_err(StoreError::dynamodb)?;
            found.extend(output.responses.into_iter().flat_map(HashMap::into_values).flatten().map(Item));
            let unread = output.unprocessed_keys.and_then(|mut tables| tables.remove(&self.name));
            wanted = unread.map(|unread| unread.keys).unwrap_or_default();
        }
        Ok(found)
    }

    /// Starts a query of an index.
    pub(super) fn query(&self, index: &str) -> QueryFluentBuilder {
        self.client.query().table_name(&self.name).index_name(index)
    }

    /// Writes a whole row.
    pub(super) async fn put(&self, row: Item, condition: Condition<'_>) -> Result<Write, StoreError> {
        let (expression, values) = condition.expression();
        let put = self.client.put_item().table_name(&self.name).set_item(Some(row.0)).condition_expression(expression);
        let put = put.set_expression_attribute_values(some(values));
        outcome(put.send().await, PutItemError::is_conditional_check_failed_exception)
    }

    /// Changes attributes of a row.
    pub(super) async fn update(
        &self,
        key: &ConnectionKey,
        condition: Condition<'_>,
        change: &str,
        values: Item,
    ) -> Result<Write, StoreError> {
        let (expression, mut all) = condition.expression();
        all.extend(values.0);
        let update = self.client.update_item().table_name(&self.name).key("id", attribute(key));
        let update = update.condition_expression(expression).update_expression(change);
        let update = update.set_expression_attribute_values(some(all));
        outcome(update.send().await, UpdateItemError::is_conditional_check_failed_exception)
    }

    /// Removes a row.
    pub(super) async fn delete(&self, key: &ConnectionKey, condition: Condition<'_>) -> Result<Write, StoreError> {
        let (expression, values) = condition.expression();
        let delete = self.client.delete_item().table_name(&self.name).key("id", attribute(key));
        let delete = delete.condition_expression(expression).set_expression_attribute_values(some(values));
        outcome(delete.send().await, DeleteItemError::is_conditional_check_failed_exception)
    }
}

impl Condition<'_> {
    fn expression(self) -> (String, Values) {
        const VERSION: &str = "version = :version";
        const UNLEASED: &str = "version = :version AND (attribute_not_exists(lease_until) OR lease_until <= :now)";
        const LEASED: &str = "lease_token = :token";
        let at = |version: u64| Item::default().number(":version", version);
        let by = |values: Item, lease: &Lease| values.string(":token", &lease.token);
        let (expression, values) = match self {
            Self::Absent => ("attribute_not_exists(id)".to_owned(), Item::default()),
            Self::AbsentOrLeased(lease) => {
                (format!("attribute_not_exists(id) OR {LEASED}"), by(Item::default(), lease))
            }
            Self::Version(version) => (VERSION.to_owned(), at(version)),
            Self::Unleased(version, now) => (UNLEASED.to_owned(), at(version).time(":now", now)),
            Self::UnleasedOrLeased(version, now, lease) => {
                (format!("{UNLEASED} OR {LEASED}"), by(at(version).time(":now", now), lease))
            }
            Self::Leased(lease) => (LEASED.to_owned(), by(Item::default(), lease)),
            Self::Due(now) => ("next_refresh_at <= :now".to_owned(), Item::default().time(":now", now)),
        };
        (expression, values.0)
    }
}

fn attribute(key: &ConnectionKey) -> AttributeValue {
    AttributeValue::S(key.to_string())
}

/// Returns `None` for no values: DynamoDB does not accept an empty map.
fn some(values: Values) -> Option<Values> {
    (!values.is_empty()).then_some(values)
}

/// Returns a write's outcome. `is_condition` recognizes the error of a failed condition.
fn outcome<T, E>(result: Result<T, SdkError<E>>, is_condition: fn(&E) -> bool) -> Result<Write, StoreError>
where
    E: std::error::Error + Send + Sync + 'static,
{
    match result {
        Ok(_) => Ok(Write::Done),
        Err(SdkError::ServiceError(error)) if is_condition(error.err()) => Ok(Write::Conflict),
        Err(error) => Err(StoreError::dynamodb(error)),
    }
}
