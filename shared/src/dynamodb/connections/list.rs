//! Lists connections. An index yields candidates; the rows decide.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::query::{QueryError, QueryOutput};
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use time::OffsetDateTime;

use super::super::StoreError;
use super::super::item::Item;
use super::super::schema::{BY_DUE, BY_TENANT, BY_WORKSPACE};
use super::{Connections, row};
use crate::clock::milliseconds;
use crate::connection::{Connection, ConnectionKey};
use crate::error::Error;

/// One page of connections.
#[derive(Debug)]
pub struct Page {
    /// The connections: of all tenants, oldest first; or of one tenant, by id.
    pub items: Vec<Connection>,
    /// The start of the next page, if there is one.
    pub cursor: Option<String>,
}

/// A connection that is due for a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Its key.
    pub key: ConnectionKey,
    /// The time it became due, in milliseconds since 1970.
    pub at: i64,
}

/// Why a page could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The cursor belongs to another list.
    #[error("the cursor does not belong to this list")]
    Cursor,
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ListError> for Error {
    fn from(error: ListError) -> Self {
        match error {
            ListError::Cursor => {
                Error::bad_request("`cursor` does not belong to this list; omit it to start at the first page")
            }
            ListError::Store(error) => error.into(),
        }
    }
}

/// The position after which a page starts. Workspace and tenant are always the caller's own.
enum Cursor {
    /// In the list of a workspace: creation time and id.
    OfWorkspace(i64, String),
    /// In the list of a tenant: the id.
    OfTenant(String),
}

/// The keys of the rows that an index yields for a page, and its last position.
struct Candidates {
    keys: Vec<String>,
    last: Option<Item>,
}

impl Connections {
    /// Returns a page of a workspace's connections, of all tenants or of one. Index reads may lag by a moment.
    ///
    /// While the tenant index is missing or being filled (after an upgrade), a tenant's connections are searched among
    /// all those of the workspace, oldest first.
    ///
    /// # Errors
    /// When the cursor belongs to another list, or DynamoDB fails.
    pub async fn list(
        &self,
        workspace: &str,
        tenant: Option<&str>,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page, ListError> {
        let limit = limit.clamp(1, Self::MAX_PAGE);
        let cursor = cursor.filter(|cursor| !matches!(*cursor, "" | "0"));
        let cursor = cursor.map(|text| Cursor::read(text).ok_or(ListError::Cursor)).transpose()?;
        let of_tenant = match tenant {
            Some(tenant) => self.of_tenant(workspace, tenant, limit, cursor.as_ref()).await?,
            None => None,
        };
        let Candidates { keys, last } = match (of_tenant, &cursor) {
            (Some(_), Some(Cursor::OfWorkspace(..))) | (None, Some(Cursor::OfTenant(_))) => {
                return Err(ListError::Cursor);
            }
            (Some(candidates), _) => candidates,
            (None, cursor) => self.of_workspace(workspace, tenant, limit, cursor.as_ref()).await?,
        };
        let mut items = self.get_many(&keys).await?;
        // The index may still have a deleted connection whose id another tenant has reused.
        items.retain(|connection| tenant.is_none() || connection.tenant.as_deref() == tenant);
        Ok(Page { items, cursor: last.and_then(|key| Some(Cursor::behind(&key)?.write())) })
    }

    /// Returns candidates of one tenant, ordered by id. `None` if the index cannot be read yet.
    async fn of_tenant(
        &self,
        workspace: &str,
        tenant: &str,
        limit: usize,
        cursor: Option<&Cursor>,
    ) -> Result<Option<Candidates>, StoreError> {
        let query = self
            .table
            .query(BY_TENANT)
            .key_condition_expression("tenant = :tenant AND begins_with(id, :prefix)")
            .expression_attribute_values(":tenant", AttributeValue::S(tenant.to_owned()))
            .expression_attribute_values(":prefix", AttributeValue::S(ConnectionKey::new(workspace, "").to_string()));
        let start = match cursor {
            Some(Cursor::OfTenant(id)) => Some(key(&ConnectionKey::new(workspace, id)).string("tenant", tenant).0),
            _ => None,
        };
        match collect(query, limit, start).await {
            Ok(candidates) => Ok(Some(candidates)),
            Err(error) if is_without_index(&error) => {
                tracing::warn!(
                    "the index {BY_TENANT} is missing or still being filled; listing a tenant's connections is slow"
                );
                Ok(None)
            }
            Err(error) => Err(StoreError::dynamodb(error)),
        }
    }

    /// Returns candidates of the workspace, of all tenants or of one, oldest first.
    async fn of_workspace(
        &self,
        workspace: &str,
        tenant: Option<&str>,
        limit: usize,
        cursor: Option<&Cursor>,
    ) -> Result<Candidates, StoreError> {
        let query = self.by_workspace(workspace).projection_expression("id");
        let query = match tenant {
            Some(tenant) => query
                .filter_expression("tenant = :tenant")
                .expression_attribute_values(":tenant", AttributeValue::S(tenant.to_owned())),
            None => query,
        };
        let start = match cursor {
            Some(Cursor::OfWorkspace(created_at, id)) => {
                let key = key(&ConnectionKey::new(workspace, id));
                Some(key.string("workspace", workspace).number("created_at", created_at).0)
            }
            _ => None,
        };
        collect(query, limit, start).await.map_err(StoreError::dynamodb)
    }

    /// Counts a workspace's connections by the value of an attribute: `connector_key` or `integration_key`.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn count(&self, workspace: &str, attribute: &str) -> Result<HashMap<String, u64>, StoreError> {
        let mut pages = self.by_workspace(workspace).projection_expression(attribute).into_paginator().items().send();
        let mut counts = HashMap::new();
        while let Some(item) = pages.next().await {
            if let Some(value) = Item(item.map_err(StoreError::dynamodb)?).get_string(attribute) {
                *counts.entry(value).or_default() += 1;
            }
        }
        Ok(counts)
    }

    fn by_workspace(&self, workspace: &str) -> QueryFluentBuilder {
        self.table
            .query(BY_WORKSPACE)
            .key_condition_expression("workspace = :workspace")
            .expression_attribute_values(":workspace", AttributeValue::S(workspace.to_owned()))
    }

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
            let key = key(&due.key);
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

    /// Reads up to [`Self::MAX_PAGE`] connections, in the order of `keys`.
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Connection>, StoreError> {
        let mut found = HashMap::new();
        for item in self.table.get_many(keys).await? {
            found.insert(item.get_string("id").unwrap_or_default(), row::read(&item)?);
        }
        Ok(keys.iter().filter_map(|key| found.remove(key)).collect())
    }
}

fn key(key: &ConnectionKey) -> Item {
    Item::default().string("id", key.to_string())
}

/// Queries until the page is full or nothing is left.
async fn collect(
    query: QueryFluentBuilder,
    limit: usize,
    mut start: Option<HashMap<String, AttributeValue>>,
) -> Result<Candidates, SdkError<QueryError>> {
    let mut keys = Vec::new();
    loop {
        let wanted = i32::try_from(limit - keys.len()).unwrap_or(i32::MAX);
        let QueryOutput { items, last_evaluated_key, .. } =
            query.clone().limit(wanted).set_exclusive_start_key(start.take()).send().await?;
        keys.extend(items.unwrap_or_default().into_iter().filter_map(|item| Item(item).get_string("id")));
        start = last_evaluated_key;
        if start.is_none() || keys.len() >= limit {
            return Ok(Candidates { keys, last: start.map(Item) });
        }
    }
}

/// Whether the table has no such index, or one that is still being filled.
fn is_without_index(error: &SdkError<QueryError>) -> bool {
    let Some(error) = error.as_service_error().filter(|error| error.code() == Some("ValidationException")) else {
        return false;
    };
    let message = error.message().unwrap_or_default();
    message.contains("does not have the specified index") || message.contains("backfilling global secondary index")
}

impl Cursor {
    fn read(text: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (created_at, id) = text.split_once('#').filter(|(_, id)| id.len() <= ConnectionKey::MAX_ID_BYTES)?;
        match created_at {
            "" => Some(Self::OfTenant(id.to_owned())),
            created_at => Some(Self::OfWorkspace(created_at.parse().ok()?, id.to_owned())),
        }
    }

    /// The position behind an index entry.
    fn behind(key: &Item) -> Option<Self> {
        let ConnectionKey { id, .. } = key.get_string("id")?.parse().ok()?;
        match key.get_number("created_at") {
            Some(created_at) => Some(Self::OfWorkspace(created_at, id)),
            None => Some(Self::OfTenant(id)),
        }
    }

    fn write(&self) -> String {
        let text = match self {
            Self::OfWorkspace(created_at, id) => format!("{created_at}#{id}"),
            Self::OfTenant(id) => format!("#{id}"),
        };
        URL_SAFE_NO_PAD.encode(text)
    }
}
