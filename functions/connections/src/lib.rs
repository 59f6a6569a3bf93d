//! Manages connections, integrations, and connectors. Its routes are those of
//! [`Function::Connections`](larder::routes::Function) in [`larder::routes`].
//!
//! A tenant sees its own connections; an admin sees all of the workspace. Responses never contain secrets.

mod connections;
mod integrations;
mod route;

use std::sync::Arc;

use async_trait::async_trait;
use http::Method;
use larder::caller::Authenticator;
use larder::cors::AllowedOrigins;
use larder::environment::SettingError;
use larder::error::Error;
use larder::http::{Handler, Request, Response};
use larder::routes::Audience;
use larder_engine::connector_setup::ConnectorSetup;
use larder_engine::environment::Environment;
use larder_engine::manage::Management;

/// Serves `/connections`, `/integrations`, `/connectors`, and the routes beside them.
pub struct Connections {
    authenticator: Authenticator,
    management: Management,
    cors_origins: AllowedOrigins,
}

impl Connections {
    /// Creates the function from its environment.
    ///
    /// # Errors
    /// When a setting is invalid.
    pub fn new(environment: &Environment, connector_setup: Arc<ConnectorSetup>) -> Result<Self, SettingError> {
        Ok(Self {
            authenticator: environment.authenticator(),
            management: environment.management(connector_setup)?,
            cors_origins: environment.settings.cors_origins.clone(),
        })
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
            ("GET", "/integrations") => self.list_integrations(&caller, request).await,
            ("POST", "/integrations") => self.create_integration(&caller, request).await,
            ("GET", "/integrations/{key}") => self.get_integration(&caller, id).await,
            ("PUT", "/integrations/{key}") => self.put_integration(&caller, id, request).await,
            ("PATCH", "/integrations/{key}") => self.patch_integration(&caller, id, request).await,
            ("DELETE", "/integrations/{key}") => self.delete_integration(&caller, id).await,
            ("GET", "/integrations/{key}/connector-spec") => self.connector_spec(&caller, id).await,
            ("POST", "/connection-options") => self.connection_options(&caller, request).await,
            ("GET", "/connectors") => self.list_connectors(&caller).await,
            ("GET", "/connectors/{key}") => self.get_connector(id),
            ("POST", "/connectors/{key}/generate-options") => self.generate_options(&caller, id, request),
            ("GET" | "PATCH", "/self") => Ok(Self::get_self(&caller)),
            (method, path) => Err(Error::internal(format!("there is no handler for {method} {path}"))),
        }
    }
}

#[async_trait]
impl Handler for Connections {
    async fn handle(&self, request: Request) -> Response {
        let path = request.uri().path();
        if *request.method() == Method::OPTIONS && route::is_for_browsers(path) {
            return Error::not_found(format!("there is no route OPTIONS {path}")).into();
        }
        self.cors_origins.answer(&request, self.respond(&request)).await
    }
}
