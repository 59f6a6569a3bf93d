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
use larder::environment::SettingError;
use larder::error::Error;
use larder::http::{Handler, Request, Response};
use larder::routes::Audience;
use larder_engine::connector_setup::ConnectorSetup;
use larder_engine::environment::Environment;
use larder_engine::manage::Management;

/// Serves `/connections`, `/integrations`, and `/connectors`.
pub struct Connections {
    authenticator: Authenticator,
    management: Management,
}

impl Connections {
    /// Creates the function from its environment.
    ///
    /// # Errors
    /// When a setting is invalid.
    pub fn new(environment: &Environment, connector_setup: Arc<ConnectorSetup>) -> Result<Self, SettingError> {
        Ok(Self { authenticator: environment.authenticator(), management: environment.management(connector_setup)? })
    }

    async fn respond(&self, request: &Request) -> Result<Response, Error> {
        let caller = self.authenticator.authenticate(request.headers()).await?;
        let found = route::find(request)?;
        if found.route.audience == Audience::Admins {
            caller.require_admin()?;
        }
        let (id, flow) = (&found.id, &found.flow);
        match (found.route.method.as_str(), found.route.path) {
            ("GET", "/connections") => self.list_connections(&caller, request).await,
            ("POST", "/connections") => self.create_connection(&caller, request).await,
            ("GET", "/connections/{id}") => self.get_connection(&caller, id, request).await,
            ("PATCH" | "PUT", "/connections/{id}") => self.patch_connection(&caller, id, request).await,
            ("DELETE", "/connections/{id}") => self.delete_connection(&caller, id, request).await,
            ("POST", "/connections/{id}/restore") => self.restore_connection(&caller, id).await,
            ("POST", "/connections/{id}/disconnect") => self.disconnect_connection(&caller, id, request).await,
            ("GET", "/connections/{id}/attempts") => self.list_attempts(&caller, id, request).await,
            ("POST", "/connections/{id}/test") => self.test_connection(&caller, id, request).await,
            ("POST", "/connections/{id}/refresh-credentials") => self.refresh_connection(&caller, id, request).await,
            ("GET", "/connections/{id}/dependencies") => self.list_dependencies(&caller, id, request).await,
            ("PUT", "/connections/{id}/flows/{flow}") => self.put_flow(&caller, id, flow, request).await,
            ("DELETE", "/connections/{id}/flows/{flow}") => self.delete_flow(&caller, id, flow, request).await,
            ("GET", "/integrations") => self.list_integrations(&caller).await,
            ("GET", "/integrations/{key}") => self.get_integration(&caller, id).await,
            ("PUT", "/integrations/{key}") => self.put_integration(&caller, id, request).await,
            ("DELETE", "/integrations/{key}") => self.delete_integration(&caller, id).await,
            ("GET", "/connectors") => self.list_connectors(&caller).await,
            (method, path) => Err(Error::internal(format!("there is no handler for {method} {path}"))),
        }
    }
}

#[async_trait]
impl Handler for Connections {
    async fn handle(&self, request: Request) -> Response {
        self.respond(&request).await.unwrap_or_else(Into::into)
    }
}
