//! Lists connections. An index yields candidates; the rows decide.
//!
//! # Decisions
//!
//! An integration's connections are counted in the index when somebody asks, which reads some 7,000 entries per call. Counters
//! would cost a second write per connection, could drift, and would need a regular scan to correct them.
//!
//! The index `by_state` has all connections that need attention under `CLIENT_ACTION_REQUIRED`, also those that are `READY` but
//! whose test or refresh failed. So people find and count them by one query, without another index, and a version that knows
//! nothing of it takes them for connections that must be reconnected. The list of all that are `READY` is therefore that of the
//! workspace, of which they are most.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Included, Unbounded};

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::query::QueryError;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Select};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::super::StoreError;
use super::super::item::Item;
use super::super::schema::{BY_INTEGRATION, BY_STATE, BY_TENANT, BY_WORKSPACE, MAX_TENANT_BYTES};
use super::{Connections, row};
use crate::clock::milliseconds;
use crate::connection::{Connection, ConnectionKey, State};
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
    /// Only those with these ids, which are read without an index.
    pub ids: Option<&'a BTreeSet<String>>,
    /// Only those of these integrations. Found by an index for one integration after the other, unless a tenant is given.
    pub integrations: Option<&'a BTreeSet<String>>,
    /// Only those in this state. Found by an index if it is `CLIENT_ACTION_REQUIRED`, unless a tenant is given.
    pub state: Option<State>,
    /// Only those that need attention, or only the others. Found by an index, unless a tenant is given, or an integration whose
    /// connections need none.
    pub needs_attention: Option<bool>,
    /// Archived ones, too.
    pub with_archived: bool,
    /// Only those for which this is true.
    pub filter: Option<&'a (dyn Fn(&Connection) -> bool + Sync)>,
}

/// One page of connections.
#[derive(Debug)]
pub struct Page {
    /// The connections: oldest first; or by id if they are of one tenant or one integration, need attention or none, or have given ids;
    /// or by integration and id, if they are of several integrations.
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
    /// In the list of a tenant, an integration, or given ids: the id.
    ById(String),
    /// In the list of several integrations: the integration, and the id, which is empty at its start.
    OfIntegration(String, String),
}

/// The index that yields the candidates.
#[derive(Clone, Copy, PartialEq)]
enum Index<'a> {
    Workspace,
    Tenant(&'a str),
    Integration(&'a str),
    /// The same index, for one integration after the other.
    Integrations(&'a BTreeSet<String>),
    /// Those that need attention, or the others.
    Attention(bool),
    /// None: the ids are known.
    Ids(&'a BTreeSet<String>),
}

/// A number of connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Those that were counted.
    pub number: u64,
    /// Whether there may be more.
    pub has_more: bool,
}

/// A page while it is being filled.
struct Draft {
    limit: usize,
    items: Vec<Connection>,
    entries: usize,
    bytes: usize,
}

impl Draft {
    fn new(limit: usize) -> Self {
        Self { limit, items: Vec::new(), entries: 0, bytes: 0 }
    }

    fn add(&mut self, connection: Connection, size: usize, selection: &Selection<'_>) {
        self.bytes += size;
        if selection.selects(&connection) {
            self.items.push(connection);
        }
    }

    /// Whether no further row fits.
    fn is_full(&self) -> bool {
        self.items.len() == self.limit || self.bytes >= Connections::MAX_PAGE_BYTES
    }

    fn end(self, cursor: Option<&Cursor>, index: Index<'_>) -> Page {
        Page { items: self.items, cursor: cursor.map(|cursor| cursor.write(index)) }
    }
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
        let read = |text| Cursor::read(text, selection.index()).ok_or(ListError::Cursor);
        let cursor = cursor.map(read).transpose()?;
        let index = match (&cursor, selection.index()) {
            (None, index)
            | (Some(Cursor::OfWorkspace(..)), index @ Index::Workspace)
            | (
                Some(Cursor::ById(_)),
                index @ (Index::Tenant(_) | Index::Integration(_) | Index::Attention(_) | Index::Ids(_)),
            )
            | (Some(Cursor::OfIntegration(..)), index @ Index::Integrations(_)) => index,
            // The pages before were searched in the workspace if the index was missing. Otherwise, it is another list's.
            (
                Some(Cursor::OfWorkspace(..)),
                index @ (Index::Tenant(_) | Index::Integration(_) | Index::Integrations(_) | Index::Attention(_)),
            ) => match self.candidates(workspace, selection, index).limit(1).send().await.map_err(query_error) {
                Err(StoreError::NoIndex) => Index::Workspace,
                Err(error) => return Err(error.into()),
                Ok(_) => return Err(ListError::Cursor),
            },
            (Some(_), _) => return Err(ListError::Cursor),
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
        let mut draft = Draft::new(limit);
        let next = match index {
            Index::Ids(ids) => self.fill_from_ids(&mut draft, workspace, selection, ids, cursor).await?,
            Index::Integrations(keys) => {
                self.fill_from_integrations(&mut draft, workspace, selection, keys, cursor).await?
            }
            index => {
                let start = cursor.map(|cursor| cursor.position(workspace, index));
                self.fill_from_index(&mut draft, workspace, selection, index, start).await?
            }
        };
        Ok(draft.end(next.as_ref(), index))
    }

    /// Adds rows of an index to a page. Returns where the next one starts, if there are more.
    async fn fill_from_index(
        &self,
        draft: &mut Draft,
        workspace: &str,
        selection: Selection<'_>,
        index: Index<'_>,
        mut start: Option<HashMap<String, AttributeValue>>,
    ) -> Result<Option<Cursor>, StoreError> {
        let query = self.candidates(workspace, selection, index);
        loop {
            // With a filter, nobody knows how many entries will fill the page; without one, it takes as many as are missing.
            let wanted = if selection.filters(index) { Self::BATCH } else { draft.limit - draft.items.len() };
            let chunk = wanted.min(Self::BATCH).min(Self::MAX_ENTRIES - draft.entries);
            let query = query.clone().projection_expression("id").limit(i32::try_from(chunk).unwrap_or(i32::MAX));
            let output = query.set_exclusive_start_key(start.take()).send().await.map_err(query_error)?;
            draft.entries += usize::try_from(output.scanned_count).unwrap_or_default();
            let keys = output.items.unwrap_or_default().into_iter().filter_map(|item| Item(item).get_string("id"));
            let mut rows = self.get_many(&keys.collect::<Vec<_>>()).await?.into_iter();
            while let Some((connection, size)) = rows.next() {
                let cursor = Cursor::behind(&connection, index);
                draft.add(connection, size, &selection);
                if draft.is_full() && (rows.len() > 0 || output.last_evaluated_key.is_some()) {
                    return Ok(Some(cursor));
                }
            }
            match output.last_evaluated_key {
                None => return Ok(None),
                Some(last) if draft.entries >= Self::MAX_ENTRIES => return Ok(Cursor::at(&Item(last))),
                last => start = last,
            }
        }
    }

    /// Adds rows of several integrations to a page, in the order of their keys.
    async fn fill_from_integrations(
        &self,
        draft: &mut Draft,
        workspace: &str,
        selection: Selection<'_>,
        keys: &BTreeSet<String>,
        cursor: Option<&Cursor>,
    ) -> Result<Option<Cursor>, StoreError> {
        let (first, begun) = match cursor {
            Some(Cursor::OfIntegration(key, id)) => (Included(&**key), Some((key, id)).filter(|_| !id.is_empty())),
            _ => (Unbounded, None),
        };
        for key in keys.range::<str, _>((first, Unbounded)).filter(|key| is_key(key)) {
            if draft.is_full() || draft.entries >= Self::MAX_ENTRIES {
                return Ok(Some(Cursor::OfIntegration(key.clone(), String::new())));
            }
            let index = Index::Integration(key);
            let start = begun.filter(|(begun, _)| *begun == key);
            let start = start.map(|(_, id)| Cursor::ById(id.clone()).position(workspace, index));
            match self.fill_from_index(draft, workspace, selection, index, start).await? {
                Some(Cursor::ById(id)) => return Ok(Some(Cursor::OfIntegration(key.clone(), id))),
                // An integration without connections takes a query, too.
                _ => draft.entries += 1,
            }
        }
        Ok(None)
    }

    /// Adds rows with these ids to a page.
    async fn fill_from_ids(
        &self,
        draft: &mut Draft,
        workspace: &str,
        selection: Selection<'_>,
        ids: &BTreeSet<String>,
        cursor: Option<&Cursor>,
    ) -> Result<Option<Cursor>, StoreError> {
        let after = match cursor {
            Some(Cursor::ById(id)) => Excluded(&**id),
            _ => Unbounded,
        };
        let keys = ids.range::<str, _>((after, Unbounded)).map(|id| ConnectionKey::new(workspace, id));
        let keys: Vec<_> = keys.filter(|key| !key.is_too_long()).collect();
        for chunk in keys.chunks(Self::BATCH) {
            let names: Vec<_> = chunk.iter().map(ToString::to_string).collect();
            for (connection, size) in self.get_many(&names).await? {
                let id = connection.key.id.clone();
                draft.add(connection, size, &selection);
                if draft.is_full() {
                    let is_last = keys.last().is_some_and(|last| last.id == id);
                    return Ok((!is_last).then_some(Cursor::ById(id)));
                }
            }
            draft.entries += chunk.len();
            if let Some(last) = chunk.last().filter(|_| draft.entries >= Self::MAX_ENTRIES) {
                let is_last = keys.last() == Some(last);
                return Ok((!is_last).then(|| Cursor::ById(last.id.clone())));
            }
        }
        Ok(None)
    }

    /// Starts the query of an index. It leaves out entries of other tenants and integrations, but the rows are what counts.
    fn candidates(&self, workspace: &str, selection: Selection<'_>, index: Index<'_>) -> QueryFluentBuilder {
        let prefix = ConnectionKey::new(workspace, "").to_string();
        let string = |text: &str| AttributeValue::S(text.to_owned());
        let index = match index {
            Index::Integrations(keys) => keys.first().map_or(index, |key| Index::Integration(key)),
            index => index,
        };
        let query = match index {
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
            Index::Attention(is_needed) => self
                .table
                .query(BY_STATE)
                .key_condition_expression("#state = :key AND begins_with(id, :prefix)")
                .expression_attribute_names("#state", "state")
                .expression_attribute_values(":key", string(row::index_state(is_needed)))
                .expression_attribute_values(":prefix", string(&prefix)),
            Index::Workspace | Index::Integrations(_) | Index::Ids(_) => self.by_workspace(workspace),
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

    /// Counts the connections of a workspace, or of one of its tenants, by integration. Archived ones don't count, nor do those
    /// without an integration. It reads at most a million index entries.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn count_by_integration(
        &self,
        workspace: &str,
        tenant: Option<&str>,
    ) -> Result<(BTreeMap<String, u64>, bool), StoreError> {
        let selection = Selection { tenant, ..Selection::default() };
        match self.count_by_integration_in(workspace, selection, selection.index()).await {
            Err(StoreError::NoIndex) => self.count_by_integration_in(workspace, selection, Index::Workspace).await,
            counted => counted,
        }
    }

    async fn count_by_integration_in(
        &self,
        workspace: &str,
        selection: Selection<'_>,
        index: Index<'_>,
    ) -> Result<(BTreeMap<String, u64>, bool), StoreError> {
        const MOST: i32 = 1_000_000;
        let query = self.candidates(workspace, selection, index).projection_expression("integration_key");
        let (mut pages, mut counts, mut entries) = (query.into_paginator().send(), BTreeMap::new(), 0);
        while let Some(page) = pages.next().await {
            let page = page.map_err(query_error)?;
            entries += page.scanned_count;
            for item in page.items.unwrap_or_default() {
                if let Some(integration) = Item(item).get_string("integration_key") {
                    *counts.entry(integration).or_default() += 1;
                }
            }
            if entries >= MOST {
                return Ok((counts, page.last_evaluated_key.is_some()));
            }
        }
        Ok((counts, false))
    }

    /// Counts the connections of a workspace, or of one of its tenants, that need attention, up to 1,000. `None` while the index
    /// is missing or being filled.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn count_attention(&self, workspace: &str, tenant: Option<&str>) -> Result<Option<Count>, StoreError> {
        const MOST: u64 = 1000;
        // Each reads up to 1 MB, which is thousands of entries.
        const QUERIES: usize = 8;
        let selection = Selection { needs_attention: Some(true), ..Selection::default() };
        // Archived ones, too, are in the index, but have another attribute for their integration.
        let filter = if tenant.is_some() { " AND tenant = :tenant" } else { "" };
        let query = self.candidates(workspace, selection, selection.index()).select(Select::Count);
        let query = query.filter_expression(format!("attribute_exists(integration_key){filter}"));
        let query = match tenant {
            Some(tenant) => query.expression_attribute_values(":tenant", AttributeValue::S(tenant.to_owned())),
            // Nobody needs all of them.
            None => query.limit(1001),
        };
        let (mut pages, mut count) = (query.into_paginator().send(), Count::default());
        for _ in 0..QUERIES {
            let Some(page) = pages.next().await else { break };
            let page = match page.map_err(query_error) {
                Err(StoreError::NoIndex) => return Ok(None),
                page => page?,
            };
            count.number += u64::try_from(page.count).unwrap_or_default();
            count.has_more = page.last_evaluated_key.is_some();
            if count.number >= MOST {
                let has_more = count.has_more || count.number > MOST;
                return Ok(Some(Count { number: MOST, has_more }));
            }
        }
        Ok(Some(count))
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
        if let Some(ids) = self.ids {
            return Index::Ids(ids);
        }
        match (self.tenant, self.integration, self.integrations) {
            (Some(tenant), ..) => Index::Tenant(tenant),
            // Most connections need none, so this is narrower than an integration.
            _ if self.needs_attention == Some(true) || self.state == Some(State::ClientActionRequired) => {
                Index::Attention(true)
            }
            // The index of integrations does not have archived ones.
            (None, Some(integration), _) if !self.with_archived => Index::Integration(integration),
            (None, None, Some(integrations)) if !self.with_archived => Index::Integrations(integrations),
            (None, ..) => self.needs_attention.map_or(Index::Workspace, Index::Attention),
        }
    }

    /// Whether it leaves out rows that the index yields.
    fn filters(&self, index: Index<'_>) -> bool {
        let is_of_integration = matches!(index, Index::Integration(_));
        let is_by_attention = matches!(index, Index::Attention(_));
        let is_of_few =
            self.integrations.is_some() || (self.integration.is_some() && (self.tenant.is_some() || is_by_attention));
        self.filter.is_some()
            || self.state.is_some()
            || (self.needs_attention.is_some() && !is_by_attention)
            || (is_of_few && !is_of_integration)
    }

    /// Whether no connection can have these values. Indexes reject long ones.
    fn is_impossible(&self) -> bool {
        self.tenant.is_some_and(|tenant| tenant.is_empty() || tenant.len() > MAX_TENANT_BYTES)
            || self.integration.is_some_and(|key| !is_key(key))
            || self.integrations.is_some_and(|keys| match self.integration {
                Some(key) => !keys.contains(key),
                None => keys.is_empty(),
            })
    }

    /// Whether a row is one of those to list. The index may still have a connection that was removed, and whose id another
    /// tenant has used since.
    pub fn selects(&self, connection: &Connection) -> bool {
        let integration = connection.integration.as_ref().map(|integration| &*integration.key);
        (self.tenant.is_none() || self.tenant == connection.tenant.as_deref())
            && (self.integration.is_none() || self.integration == integration)
            && self.ids.is_none_or(|ids| ids.contains(&connection.key.id))
            && self.integrations.is_none_or(|keys| integration.is_some_and(|key| keys.contains(key)))
            && self.state.is_none_or(|state| connection.state == state)
            && self.needs_attention.is_none_or(|needs| connection.standing().needs_attention() == needs)
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
            Self::Integrations(keys) => json!(["integrations", keys]),
            Self::Attention(is_needed) => json!(["attention", is_needed]),
            Self::Ids(ids) => json!(["ids", ids]),
        };
        sha256_base64url(list.to_string()).chars().take(8).collect()
    }
}

impl Cursor {
    /// Reads a cursor of the list that this index yields, or of a whole workspace.
    fn read(text: &str, index: Index<'_>) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (place, id) = text.split_once('#').filter(|(_, id)| id.len() <= ConnectionKey::MAX_ID_BYTES)?;
        let id = id.to_owned();
        let rest = place.strip_prefix(&index.digest()).filter(|_| index != Index::Workspace);
        match (rest, rest.and_then(|rest| rest.strip_prefix('='))) {
            (Some(""), _) => Some(Self::ById(id)),
            (_, Some(integration)) => Some(Self::OfIntegration(integration.to_owned(), id)),
            _ => Some(Self::OfWorkspace(place.parse().ok()?, id)),
        }
    }

    /// The position behind a connection.
    fn behind(connection: &Connection, index: Index<'_>) -> Self {
        let id = connection.key.id.clone();
        match index {
            Index::Workspace => Self::OfWorkspace(milliseconds(connection.created_at), id),
            Index::Tenant(_) | Index::Integration(_) | Index::Integrations(_) | Index::Attention(_) | Index::Ids(_) => {
                Self::ById(id)
            }
        }
    }

    /// The position of an index entry.
    fn at(key: &Item) -> Option<Self> {
        let ConnectionKey { id, .. } = key.get_string("id")?.parse().ok()?;
        match key.get_number("created_at") {
            Some(created_at) => Some(Self::OfWorkspace(created_at, id)),
            None => Some(Self::ById(id)),
        }
    }

    /// The same as the key of an index entry.
    fn position(&self, workspace: &str, index: Index<'_>) -> HashMap<String, AttributeValue> {
        let (Self::OfWorkspace(_, id) | Self::ById(id) | Self::OfIntegration(_, id)) = self;
        let key = Item::default().string("id", ConnectionKey::new(workspace, id).to_string());
        let key = match (self, index) {
            (Self::OfWorkspace(created_at, _), _) => {
                key.string("workspace", workspace).number("created_at", created_at)
            }
            (Self::ById(_), Index::Tenant(tenant)) => key.string("tenant", tenant),
            (Self::ById(_), Index::Integration(integration)) => key.string("integration_key", integration),
            (Self::ById(_), Index::Attention(is_needed)) => key.string("state", row::index_state(is_needed)),
            _ => key,
        };
        key.0
    }

    fn write(&self, index: Index<'_>) -> String {
        let list = index.digest();
        let text = match self {
            Self::OfWorkspace(created_at, id) => format!("{created_at}#{id}"),
            Self::ById(id) => format!("{list}#{id}"),
            Self::OfIntegration(integration, id) => format!("{list}={integration}#{id}"),
        };
        URL_SAFE_NO_PAD.encode(text)
    }
}
