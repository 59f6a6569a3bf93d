//! Lists connections. An index yields candidates; the rows decide.
//!
//! # Decisions
//!
//! An integration's connections are counted in the index when somebody asks, which reads some 7,000 entries per call. Counters
//! would cost a second write per connection, could drift, and would need a regular scan to correct them.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::query::QueryError;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Select};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::super::StoreError;
use super::super::item::Item;
use super::super::schema::{BY_INTEGRATION, BY_TENANT, BY_WORKSPACE, MAX_TENANT_BYTES};
use super::{Connections, row};
use crate::clock::milliseconds;
use crate::connection::{Connection, ConnectionKey};
use crate::digest::sha256_base64url;
use crate::error::Error;
use crate::secret_store::is_key;

/// Which connections of a workspace to list.
#[derive(Clone, Copy, Default)]
pub struct Selection<'a> {
    /// Only those of this tenant. Found by an index.
    pub tenant: Option<&'a str>,
    /// Only those of this integration. Found by an index, unless a tenant is given.
    pub integration: Option<&'a str>,
    /// Archived ones, too.
    pub with_archived: bool,
    /// Only those for which this is true.
    pub filter: Option<&'a (dyn Fn(&Connection) -> bool + Sync)>,
}

/// One page of connections.
#[derive(Debug)]
pub struct Page {
    /// The connections: oldest first, or by id if they are of one tenant or one integration.
    pub items: Vec<Connection>,
    /// The start of the next page, if there is one.
    pub cursor: Option<String>,
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

/// The position after which a page starts. Workspace, tenant and integration are always the request's own.
enum Cursor {
    /// In the list of a workspace: creation time and id.
    OfWorkspace(i64, String),
    /// In the list of a tenant or an integration: a digest of which it is, and the id.
    ById(String, String),
}

/// The index that yields the candidates.
#[derive(Clone, Copy, PartialEq)]
enum Index<'a> {
    Workspace,
    Tenant(&'a str),
    Integration(&'a str),
}

impl Connections {
    /// The most index entries that are read for one page.
    const MAX_ENTRIES: usize = 1000;
    /// The most bytes of rows on one page, give or take one row. A row is larger than its view, and a function's response has
    /// at most 6 MB.
    const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

    /// Lists a page of a workspace's connections. Indexes may lag by a moment.
    ///
    /// A page may be short, even empty, and still have a cursor: it ends after 1,000 index entries or 4 MB. While an index is
    /// missing or being filled, as after an upgrade, the connections are searched among all those of the workspace.
    ///
    /// # Errors
    /// When the cursor belongs to another list, or DynamoDB fails.
    pub async fn list(
        &self,
        workspace: &str,
        selection: Selection<'_>,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page, ListError> {
        if selection.is_impossible() {
            return Ok(Page { items: Vec::new(), cursor: None });
        }
        let limit = limit.clamp(1, Self::MAX_PAGE);
        let cursor = cursor.filter(|cursor| !matches!(*cursor, "" | "0"));
        let cursor = cursor.map(|text| Cursor::read(text).ok_or(ListError::Cursor)).transpose()?;
        let index = match (&cursor, selection.index()) {
            (Some(Cursor::ById(list, _)), index) if *list != index.digest() => return Err(ListError::Cursor),
            // The pages before were searched in the workspace if the index was missing. Otherwise, it is another list's.
            (Some(Cursor::OfWorkspace(..)), index) if index != Index::Workspace => {
                match self.candidates(workspace, selection, index).limit(1).send().await.map_err(query_error) {
                    Err(StoreError::NoIndex) => Index::Workspace,
                    Err(error) => return Err(error.into()),
                    Ok(_) => return Err(ListError::Cursor),
                }
            }
            (_, index) => index,
        };
        let is_missing = |error: &StoreError| matches!(error, StoreError::NoIndex);
        match self.page(workspace, selection, index, limit, cursor.as_ref()).await {
            Err(error) if is_missing(&error) && index != Index::Workspace && cursor.is_none() => {
                tracing::warn!("an index is missing or still being filled; listing connections is slow");
                Ok(self.page(workspace, selection, Index::Workspace, limit, None).await?)
            }
            Err(error) if is_missing(&error) && cursor.is_some() => Err(ListError::Cursor),
            page => Ok(page?),
        }
    }

    async fn page(
        &self,
        workspace: &str,
        selection: Selection<'_>,
        index: Index<'_>,
        limit: usize,
        cursor: Option<&Cursor>,
    ) -> Result<Page, StoreError> {
        let query = self.candidates(workspace, selection, index);
        let mut start = cursor.map(|cursor| cursor.position(workspace, index));
        let (mut items, mut entries, mut bytes) = (Vec::new(), 0, 0);
        loop {
            // With a filter, nobody knows how many entries will fill the page; without one, it takes as many as are missing.
            let is_filtered = selection.filter.is_some() || selection.tenant.and(selection.integration).is_some();
            let wanted = if is_filtered { Self::BATCH } else { limit - items.len() };
            let chunk = wanted.min(Self::BATCH).min(Self::MAX_ENTRIES - entries);
            let query = query.clone().projection_expression("id").limit(i32::try_from(chunk).unwrap_or(i32::MAX));
            let output = query.set_exclusive_start_key(start.take()).send().await.map_err(query_error)?;
            entries += usize::try_from(output.scanned_count).unwrap_or_default();
            let keys = output.items.unwrap_or_default().into_iter().filter_map(|item| Item(item).get_string("id"));
            let mut rows = self.get_many(&keys.collect::<Vec<_>>()).await?.into_iter();
            while let Some((connection, size)) = rows.next() {
                bytes += size;
                let cursor = Cursor::behind(&connection, index);
                if selection.selects(&connection) {
                    items.push(connection);
                }
                let is_full = items.len() == limit || bytes >= Self::MAX_PAGE_BYTES;
                if is_full && (rows.len() > 0 || output.last_evaluated_key.is_some()) {
                    return Ok(Page { items, cursor: Some(cursor.write()) });
                }
            }
            match output.last_evaluated_key {
                None => return Ok(Page { items, cursor: None }),
                Some(last) if entries >= Self::MAX_ENTRIES => {
                    let cursor = Cursor::at(&Item(last), index).map(|cursor| cursor.write());
                    return Ok(Page { items, cursor });
                }
                last => start = last,
            }
        }
    }

    /// Starts the query of an index. It leaves out entries of other tenants and integrations, but the rows are what counts.
    fn candidates(&self, workspace: &str, selection: Selection<'_>, index: Index<'_>) -> QueryFluentBuilder {
        let prefix = ConnectionKey::new(workspace, "").to_string();
        let string = |text: &str| AttributeValue::S(text.to_owned());
        let query = match index {
            Index::Workspace => self.by_workspace(workspace),
            Index::Tenant(tenant) => self
                .table
                .query(BY_TENANT)
                .key_condition_expression("tenant = :key AND begins_with(id, :prefix)")
                .expression_attribute_values(":key", string(tenant))
                .expression_attribute_values(":prefix", string(&prefix)),
            Index::Integration(integration) => self
                .table
                .query(BY_INTEGRATION)
                .key_condition_expression("integration_key = :key AND begins_with(id, :prefix)")
                .expression_attribute_values(":key", string(integration))
                .expression_attribute_values(":prefix", string(&prefix)),
        };
        let tenant = selection.tenant.filter(|_| index == Index::Workspace).map(|it| ("tenant", it));
        // Archived rows have another attribute.
        let integration = selection.integration.filter(|_| !selection.with_archived);
        let integration = integration.filter(|it| index != Index::Integration(it));
        let filters: Vec<_> = tenant.into_iter().chain(integration.map(|it| ("integration_key", it))).collect();
        let expression = filters.iter().map(|(name, _)| format!("{name} = :{name}")).collect::<Vec<_>>().join(" AND ");
        let query = query.set_filter_expression((!filters.is_empty()).then_some(expression));
        filters
            .iter()
            .fold(query, |query, (name, value)| query.expression_attribute_values(format!(":{name}"), string(value)))
    }

    /// Returns the connection of a selection if there is exactly one.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn only(&self, workspace: &str, selection: Selection<'_>) -> Result<Option<Connection>, ListError> {
        let (mut found, mut cursor) = (None, None);
        loop {
            // A page may be short, or even empty.
            let page = self.list(workspace, selection, 2, cursor.as_deref()).await?;
            let mut items = page.items.into_iter();
            match (found.take(), items.next(), items.next()) {
                (Some(_), Some(_), _) | (None, Some(_), Some(_)) => return Ok(None),
                (first, second, _) => found = first.or(second),
            }
            match page.cursor {
                None => return Ok(found),
                next => cursor = next,
            }
        }
    }

    /// Counts an integration's connections. Archived ones don't count.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn count(&self, workspace: &str, integration: &str) -> Result<u64, StoreError> {
        let selection = Selection { integration: Some(integration), ..Selection::default() };
        if selection.is_impossible() {
            return Ok(0);
        }
        match self.count_in(workspace, selection, selection.index()).await {
            Err(StoreError::NoIndex) => self.count_in(workspace, selection, Index::Workspace).await,
            counted => counted,
        }
    }

    async fn count_in(&self, workspace: &str, selection: Selection<'_>, index: Index<'_>) -> Result<u64, StoreError> {
        let mut pages = self.candidates(workspace, selection, index).select(Select::Count).into_paginator().send();
        let mut count = 0;
        while let Some(page) = pages.next().await {
            count += u64::try_from(page.map_err(query_error)?.count).unwrap_or_default();
        }
        Ok(count)
    }

    fn by_workspace(&self, workspace: &str) -> QueryFluentBuilder {
        self.table
            .query(BY_WORKSPACE)
            .key_condition_expression("workspace = :workspace")
            .expression_attribute_values(":workspace", AttributeValue::S(workspace.to_owned()))
    }

    /// Reads up to [`Self::BATCH`] connections with the sizes of their rows, in the order of `keys`.
    async fn get_many(&self, keys: &[String]) -> Result<Vec<(Connection, usize)>, StoreError> {
        let mut found = HashMap::new();
        for item in self.table.get_many(keys).await? {
            found.insert(item.get_string("id").unwrap_or_default(), (row::read(&item)?, item.size()));
        }
        Ok(keys.iter().filter_map(|key| found.remove(key)).collect())
    }
}

impl<'a> Selection<'a> {
    /// Returns the narrowest index.
    fn index(&self) -> Index<'a> {
        match (self.tenant, self.integration) {
            (Some(tenant), _) => Index::Tenant(tenant),
            // The index of integrations does not have archived ones.
            (None, Some(integration)) if !self.with_archived => Index::Integration(integration),
            (None, _) => Index::Workspace,
        }
    }

    /// Whether no connection can have these values. Indexes reject long ones.
    fn is_impossible(&self) -> bool {
        self.tenant.is_some_and(|tenant| tenant.is_empty() || tenant.len() > MAX_TENANT_BYTES)
            || self.integration.is_some_and(|key| !is_key(key))
    }

    /// Whether a row is one of those to list. The index may still have a connection that was removed, and whose id another
    /// tenant has used since.
    pub fn selects(&self, connection: &Connection) -> bool {
        let integration = connection.integration.as_ref().map(|integration| &*integration.key);
        (self.tenant.is_none() || self.tenant == connection.tenant.as_deref())
            && (self.integration.is_none() || self.integration == integration)
            && (self.with_archived || connection.archived_at.is_none())
            && self.filter.is_none_or(|filter| filter(connection))
    }
}

fn query_error(error: SdkError<QueryError>) -> StoreError {
    if is_without_index(&error) { StoreError::NoIndex } else { StoreError::dynamodb(error) }
}

/// Whether the table has no such index, or one that is still being filled.
fn is_without_index(error: &SdkError<QueryError>) -> bool {
    let Some(error) = error.as_service_error().filter(|error| error.code() == Some("ValidationException")) else {
        return false;
    };
    let message = error.message().unwrap_or_default();
    message.contains("does not have the specified index") || message.contains("backfilling global secondary index")
}

impl Index<'_> {
    /// Returns a few characters that tell lists apart, so that nobody continues one where another ended.
    fn digest(self) -> String {
        let list = match self {
            Self::Workspace => return String::new(),
            Self::Tenant(tenant) => json!(["tenant", tenant]),
            Self::Integration(integration) => json!(["integration", integration]),
        };
        sha256_base64url(list.to_string()).chars().take(8).collect()
    }
}

impl Cursor {
    /// Precedes the digest of a list.
    const LIST: char = '/';

    fn read(text: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (created_at, id) = text.split_once('#').filter(|(_, id)| id.len() <= ConnectionKey::MAX_ID_BYTES)?;
        match created_at.strip_prefix(Self::LIST) {
            Some(list) => Some(Self::ById(list.to_owned(), id.to_owned())),
            None => Some(Self::OfWorkspace(created_at.parse().ok()?, id.to_owned())),
        }
    }

    /// The position behind a connection.
    fn behind(connection: &Connection, index: Index<'_>) -> Self {
        let id = connection.key.id.clone();
        match index {
            Index::Workspace => Self::OfWorkspace(milliseconds(connection.created_at), id),
            Index::Tenant(_) | Index::Integration(_) => Self::ById(index.digest(), id),
        }
    }

    /// The position of an index entry.
    fn at(key: &Item, index: Index<'_>) -> Option<Self> {
        let ConnectionKey { id, .. } = key.get_string("id")?.parse().ok()?;
        match key.get_number("created_at") {
            Some(created_at) => Some(Self::OfWorkspace(created_at, id)),
            None => Some(Self::ById(index.digest(), id)),
        }
    }

    /// The same as the key of an index entry.
    fn position(&self, workspace: &str, index: Index<'_>) -> HashMap<String, AttributeValue> {
        let (Self::OfWorkspace(_, id) | Self::ById(_, id)) = self;
        let key = Item::default().string("id", ConnectionKey::new(workspace, id).to_string());
        let key = match (self, index) {
            (Self::OfWorkspace(created_at, _), _) => {
                key.string("workspace", workspace).number("created_at", created_at)
            }
            (Self::ById(..), Index::Tenant(tenant)) => key.string("tenant", tenant),
            (Self::ById(..), Index::Integration(integration)) => key.string("integration_key", integration),
            (Self::ById(..), Index::Workspace) => key,
        };
        key.0
    }

    fn write(&self) -> String {
        let text = match self {
            Self::OfWorkspace(created_at, id) => format!("{created_at}#{id}"),
            Self::ById(list, id) => format!("{}{list}#{id}", Self::LIST),
        };
        URL_SAFE_NO_PAD.encode(text)
    }
}
