//! Finds connections that are due for a refresh.

use aws_sdk_dynamodb::types::AttributeValue;
use time::OffsetDateTime;

use super::super::StoreError;
use super::super::item::Item;
use super::super::schema::BY_DUE;
use super::Connections;
use crate::clock::milliseconds;
use crate::connection::ConnectionKey;

/// A connection that is due for a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Its key.
    pub key: ConnectionKey,
    /// The time it became due, in milliseconds since 1970.
    pub at: i64,
}

impl Connections {
    /// Returns up to `limit` connections of one shard that were due at `now`, those due longest first, starting behind
    /// `after`. They may have changed meanwhile.
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
            let key = Item::default().string("id", due.key.to_string());
            key.number("due_shard", shard).number("next_refresh_at", due.at).0
        });
        let output = self
            .table
            .query(BY_DUE)
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
                Some(Due { key: key.parse().ok()?, at })
            })
            .collect())
    }
}
