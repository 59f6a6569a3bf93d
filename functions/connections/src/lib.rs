//! Manages connections, integrations, and connectors. Its routes are those of
//! [`Function::Connections`](larder::routes::Function) in [`larder::routes`].
//!
//! A tenant sees its own connections; an admin sees all of the workspace. Responses never contain secrets.

mod connections;
mod integrations;
mod route;

use std::sync::Arc;

use async_trait::async_trait;
use larder::caller::Authenticator;
use larder::clock::Clock;
use larder::dynamodb::Connections;
use larder::environment::SettingError;
use larder::error::Error;
use larder::follow_up::FollowUp;
use larder::http::{Handler, Request, Response};
use larder::routes::Audience;
use larder::vault::Vault;
use larder_engine::connector_setup::ConnectorSetup;
use larder_engine::environment::Environment;
use larder_engine::provider::Provider;
use larder_engine::refresh::Refresher;

/// Serves `/connections`, `/integrations`, and `/connectors`.
pub struct Management {
    authenticator: Authenticator,
    connector_setup: Arc<ConnectorSetup>,
    connections: Connections,
    vault: Vault,
    provider: Provider,
    refresher: Arc<Refresher>,
    follow_up: FollowUp,
    clock: Arc<dyn Clock>,
}

impl Management {
    /// Creates the function from its environment.
    ///
    /// # Errors
    /// When a setting is invalid.
    pub fn new(environment: &Environment, connector_setup: Arc<ConnectorSetup>) -> Result<Self, SettingError> {
        let refresher = environment.refresher(Arc::clone(&connector_setup))?;
        Ok(Self {
            authenticator: environment.authenticator(),
            connections: refresher.connections.clone(),
            vault: refresher.vault.clone(),
            provider: refresher.provider.clone(),
            follow_up: refresher.follow_up.clone(),
            refresher: Arc::new(refresher),
            clock: Arc::clone(&environment.clock),
            connector_setup,
        })
    }

    async fn respond(&self, request: &Request) -> Result<Response, Error> {
        let caller = self.authenticator.authenticate(request.headers()).await?;
        let (route, id) = route::find(request)?;
        if route.audience == Audience::Admins {
            caller.require_admin()?;
        }
        match (route.method.as_str(), route.path) {
            ("GET", "/connections") => self.list_connections(&caller, request).await,
            ("GET", "/connections/{id}") => self.get_connection(&caller, &id).await,
            ("DELETE", "/connections/{id}") => self.delete_connection(&caller, &id).await,
            ("POST", "/connections/{id}/test") => self.test_connection(&caller, &id).await,
            ("POST", "/connections/{id}/refresh-credentials") => self.refresh_connection(&caller, &id).await,
            ("GET", "/integrations") => self.list_integrations(&caller).await,
            ("GET", "/integrations/{key}") => self.get_integration(&caller, &id).await,
            ("PUT", "/integrations/{key}") => self.put_integration(&caller, &id, request).await,
            ("DELETE", "/integrations/{key}") => self.delete_integration(&caller, &id).await,
            ("GET", "/connectors") => self.list_connectors(&caller).await,
            (method, path) => Err(Error::internal(format!("there is no handler for {method} {path}"))),
        }
    }
}

#[async_trait]
impl Handler for Management {
    async fn handle(&self, request: Request) -> Response {
        self.respond(&request).await.unwrap_or_else(Into::into)
    }
}
