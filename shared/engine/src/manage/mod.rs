//! Manages connections, connection requests and integrations: what the JSON routes and the pages both do, with the same rights.
//!
//! A tenant sees its own connections; an admin sees all of the workspace. A token may be limited to some of them. No result
//! contains a secret.

mod confirm;
mod connections;
mod connector_filters;
mod create;
mod delete;
mod disconnect;
mod filters;
mod integration_form;
mod integrations;
mod options;
mod overview;
mod page_links;
mod refresh_once;
mod requests;
mod secrets;

use std::sync::Arc;

pub use connector_filters::ConnectorFilters;
pub use create::Creation;
pub use delete::Deletion;
pub use filters::{Filters, flag, one_of};
pub use integration_form::CatalogGuide;
pub use integrations::{IntegrationBody, IntegrationFilters};
use larder::caller::Caller;
use larder::clock::Clock;
use larder::connection::{Connection, ConnectionKey};
use larder::dynamodb::{Attempt, Attempts, ConnectionRequests, Connections, PageSessions, Selection};
use larder::error::Error;
use larder::follow_up::FollowUp;
use larder::vault::Vault;
pub use options::OptionsBody;
pub use overview::Overview;
pub use page_links::{SESSION_LIFETIME, Visitor};
pub use requests::{ConfirmationProof, NewRequest};
pub use secrets::NewSecrets;
use serde_json::Value;

use crate::connect::ConnectionWriter;
use crate::connector_setup::ConnectorSetup;
use crate::provider::Provider;
use crate::refresh::Refresher;

/// Manages the connections of all workspaces.
pub struct Management {
    /// Integrations and connectors.
    pub connector_setup: Arc<ConnectorSetup>,
    /// The connections.
    pub connections: Connections,
    /// The connection requests.
    pub requests: ConnectionRequests,
    /// The sessions of the pages.
    pub page_sessions: PageSessions,
    /// The sealed contents of connections.
    pub vault: Vault,
    /// Tests and revokes credentials.
    pub provider: Provider,
    /// Stores new credentials.
    pub writer: ConnectionWriter,
    /// Refreshes on request.
    pub refresher: Arc<Refresher>,
    /// Reports changes.
    pub follow_up: FollowUp,
    /// Their history.
    pub attempts: Attempts,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl Management {
    /// Finds the connection that a caller means: by its id, by its key, or by the key of an integration through which the
    /// caller has exactly one connection. Admins name the tenant of a key.
    ///
    /// # Errors
    /// 404 if there is none, or it belongs to another tenant.
    pub async fn find(&self, caller: &Caller, selector: &str, tenant: Option<&str>) -> Result<Connection, Error> {
        let workspace = &caller.workspace;
        let is_visible = |connection: &Connection| caller.may_see(connection);
        let by_id = self.connections.get(&ConnectionKey::new(workspace, selector)).await?;
        if let Some(connection) = by_id.filter(is_visible) {
            return Ok(connection);
        }
        let tenant = if caller.admin { tenant } else { caller.tenant.as_deref() };
        if let Some(connection) = self.connections.by_key(workspace, tenant, selector).await?.filter(is_visible) {
            return Ok(connection);
        }
        let selection = Selection { tenant, integration: Some(selector), ..caller.selection() };
        self.connections.only(workspace, selection).await?.ok_or_else(|| unknown(selector))
    }

    /// Lists what was attempted with a connection, newest first.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn attempts(&self, caller: &Caller, selector: &str, tenant: Option<&str>) -> Result<Vec<Attempt>, Error> {
        let connection = self.find(caller, selector, tenant).await?;
        Ok(self.attempts.list(&connection).await?)
    }

    /// Finds a connection as [`Self::find`] does, or an archived one by its id.
    ///
    /// # Errors
    /// 404 as for [`Self::find`], and for one that was archived too long ago.
    pub async fn find_with_archived(
        &self,
        caller: &Caller,
        selector: &str,
        tenant: Option<&str>,
    ) -> Result<Connection, Error> {
        let by_id = self.connections.get_with_archived(&ConnectionKey::new(&caller.workspace, selector)).await?;
        let visible = by_id.filter(|it| caller.may_see(it) && !it.is_past_archive(self.clock.now()));
        match visible {
            Some(connection) => Ok(connection),
            None => self.find(caller, selector, tenant).await,
        }
    }
}

/// Removes the members of an object that have no value.
fn without_nulls(mut object: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    object
}

fn unknown(selector: &str) -> Error {
    Error::not_found(format!("there is no connection `{selector}`"))
}
