//! The integrations, and the numbers of connections, that the credentials page shows beside its list.
//!
//! # Decisions
//!
//! The numbers come from indexes, which takes a query for some thousands of connections, and a hundred for a million. A page keeps
//! them for a while, longer the more they cost. They may therefore lag, except for lists that fit on one page, which are counted
//! from their rows.

use std::collections::BTreeMap;
use std::time::Duration;

use larder::caller::Caller;
use larder::connection::Connection;
use larder::dynamodb::{Connections, Count, Integration, Page, Selection};
use larder::error::Error;
use larder::scope::Scope;

use super::Management;
use crate::connector_setup::logo;
use crate::pages::Component;

/// How long the numbers of a workspace are kept.
const KEPT: Duration = Duration::from_secs(10);
/// How long those of a large one are kept.
const KEPT_IF_LARGE: Duration = Duration::from_mins(10);
/// More connections than that make a large one: counting them takes several queries.
const LARGE: u64 = 5000;

/// The numbers of a caller's connections.
#[derive(Debug, Clone, Default)]
pub struct Overview {
    /// By integration, and whether there may be more.
    pub by_integration: (BTreeMap<String, u64>, bool),
    /// Those that need attention. `None` while their index is missing or being filled.
    pub attention: Option<Count>,
}

impl Overview {
    /// Counts a complete list.
    pub fn of(connections: &[Connection]) -> Self {
        let mut by_integration = BTreeMap::new();
        for integration in connections.iter().filter_map(|connection| connection.integration.as_ref()) {
            *by_integration.entry(integration.key.clone()).or_default() += 1;
        }
        let attention = connections.iter().filter(|it| it.standing().needs_attention()).count();
        let attention = Count { number: u64::try_from(attention).unwrap_or(u64::MAX), has_more: false };
        Self { by_integration: (by_integration, false), attention: Some(attention) }
    }

    /// How long it may be shown.
    pub fn lifetime(&self) -> Duration {
        if self.by_integration.0.values().sum::<u64>() > LARGE { KEPT_IF_LARGE } else { KEPT }
    }
}

impl Management {
    /// Returns the integrations that exist for a caller, ordered by key. None if the token may not read integrations.
    ///
    /// # Errors
    /// 503 when the table fails.
    pub async fn components(&self, caller: &Caller) -> Result<Vec<Component>, Error> {
        if !caller.scopes.include(Scope::IntegrationsRead) {
            return Ok(Vec::new());
        }
        let setup = &self.connector_setup;
        let integrations = setup.integrations.list(&caller.workspace).await?;
        let visible = integrations.iter().filter(|integration| caller.may_use(&integration.key));
        Ok(visible.map(|integration| self.component(integration)).collect())
    }

    /// Returns an integration as pages show it.
    pub fn component(&self, integration: &Integration) -> Component {
        let Integration { key, name, connector_key, .. } = integration;
        let connector = self.connector_setup.catalog.get(connector_key);
        let logo = logo(integration, connector.as_deref());
        Component::new(key, name.as_deref(), logo, connector.clone())
    }

    /// Counts the connections that a caller may see.
    ///
    /// # Errors
    /// 503 when the table fails.
    pub async fn overview(&self, caller: &Caller) -> Result<Overview, Error> {
        let (workspace, tenant) = (&caller.workspace, caller.tenant.as_deref().filter(|_| !caller.admin));
        if caller.is_limited() || (tenant.is_none() && !caller.admin) {
            // Few connections exist for such a token, and no index has just these.
            let filter = |connection: &Connection| caller.may_see(connection);
            let selection = Selection { tenant, filter: Some(&filter), ..caller.selection() };
            let Page { items, cursor } =
                self.connections.list(workspace, selection, Connections::MAX_PAGE, None).await?;
            let mut overview = Overview::of(&items);
            overview.by_integration.1 = cursor.is_some();
            if let Some(attention) = &mut overview.attention {
                attention.has_more = cursor.is_some();
            }
            return Ok(overview);
        }
        let by_integration = self.connections.count_by_integration(workspace, tenant).await?;
        let attention = self.connections.count_attention(workspace, tenant).await?;
        Ok(Overview { by_integration, attention })
    }
}
