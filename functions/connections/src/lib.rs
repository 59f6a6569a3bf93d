//! Manages connections, integrations and connectors.
//!
//! | route | who | answers |
//! |---|---|---|
//! | `GET /connections?limit&cursor` | all | `{items, cursor?}` |
//! | `GET /connections/{id}` | all | the connection |
//! | `DELETE /connections/{id}` | all | 204 |
//! | `POST /connections/{id}/test` | all | `{success, error?}` |
//! | `POST /connections/{id}/refresh-credentials` | all | the connection |
//! | `GET /integrations` | admin | `{items}` |
//! | `GET`, `PUT`, `DELETE /integrations/{key}` | admin | the integration; 204 |
//! | `GET /connectors` | admin | `{items, broken}` |
//!
//! A tenant sees its own connections, an admin all of the workspace. No secret is ever in an answer.

mod connections;
mod integrations;
mod route;

use std::sync::Arc;

use async_trait::async_trait;
use larder::caller::Authenticator;
use larder::clock::Clock;
use larder::environment::SettingError;
use larder::error::Error;
use larder::http::{Handler, Request, Response};
use larder::signals::Signals;
use larder::store::Connections;
use larder::vault::Vault;
use larder_engine::configuration::Configuration;
use larder_engine::environment::Environment;
use larder_engine::provider::Provider;
use larder_engine::refresh::Refresher;
use route::Route;

/// Serves `/connections`, `/integrations` and `/connectors`.
pub struct Management {
    authenticator: Authenticator,
    configuration: Arc<Configuration>,
    connections: Connections,
    vault: Vault,
    provider: Provider,
    refresher: Arc<Refresher>,
    signals: Signals,
    clock: Arc<dyn Clock>,
}

impl Management {
    /// Wires the function.
    ///
    /// # Errors
    /// When a setting is wrong.
    pub fn new(environment: &Environment, configuration: Arc<Configuration>) -> Result<Self, SettingError> {
        let refresher = environment.refresher(Arc::clone(&configuration))?;
        Ok(Self {
            authenticator: environment.authenticator(),
            connections: refresher.connections.clone(),
            vault: refresher.vault.clone(),
            provider: refresher.provider.clone(),
            signals: refresher.signals.clone(),
            refresher: Arc::new(refresher),
            clock: Arc::clone(&environment.clock),
            configuration,
        })
    }

    async fn respond(&self, request: &Request) -> Result<Response, Error> {
        let caller = self.authenticator.authenticate(request.headers()).await?;
        let route = Route::of(request)?;
        if route.is_for_admins() {
            caller.require_admin()?;
        }
        match route {
            Route::ListConnections => self.list_connections(&caller, request).await,
            Route::GetConnection(id) => self.get_connection(&caller, &id).await,
            Route::DeleteConnection(id) => self.delete_connection(&caller, &id).await,
            Route::TestConnection(id) => self.test_connection(&caller, &id).await,
            Route::RefreshConnection(id) => self.refresh_connection(&caller, &id).await,
            Route::ListIntegrations => self.list_integrations(&caller).await,
            Route::GetIntegration(key) => self.get_integration(&caller, &key).await,
            Route::PutIntegration(key) => self.put_integration(&caller, &key, request).await,
            Route::DeleteIntegration(key) => self.delete_integration(&caller, &key).await,
            Route::ListConnectors => self.list_connectors(&caller).await,
        }
    }
}

#[async_trait]
impl Handler for Management {
    async fn handle(&self, request: Request) -> Response {
        self.respond(&request).await.unwrap_or_else(Into::into)
    }
}
