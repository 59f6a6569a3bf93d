//! Manages connections, connection requests, integrations, and connectors. Its routes are those of
//! [`Function::Connections`](larder::routes::Function) in [`larder::routes`].
//!
//! A tenant sees its own connections; an admin sees all of the workspace. Responses never contain secrets.

mod connections;
mod integrations;
mod openapi;
mod page_links;
mod requests;

use std::future::ready;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
pub use connections::check_creation;
use http::Method;
use larder::caller::{Authenticator, Caller};
use larder::cors::AllowedOrigins;
use larder::environment::SettingError;
use larder::error::Error;
use larder::http::{Handler, Request, Response};
use larder::routes::{Audience, Function, Route, path_within};
use larder_engine::connector_setup::ConnectorSetup;
use larder_engine::environment::Environment;
use larder_engine::manage::Management;
use larder_engine::router::{Found, Router};

/// The work of a route.
type Work<'a> = Pin<Box<dyn Future<Output = Result<Response, Error>> + Send + 'a>>;

static ROUTER: LazyLock<Router> = LazyLock::new(|| Router::of(Function::Connections));
/// The functions whose answers are pages that browsers open. Scripts of other origins must not read them.
static PAGES: LazyLock<[Router; 3]> =
    LazyLock::new(|| [Function::Connect, Function::OAuthCallback, Function::Pages].map(Router::of));

/// Serves `/connections`, `/connection-requests`, `/integrations`, `/connectors`, and the routes beside them.
pub struct Connections {
    authenticator: Authenticator,
    management: Management,
    base_uri: String,
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
            base_uri: environment.settings.base_uri.clone(),
            cors_origins: environment.settings.cors_origins.clone(),
        })
    }

    async fn respond(&self, request: &Request, path: &str) -> Result<Response, Error> {
        let found = ROUTER.find(request.method(), path);
        if let Ok(Found { route, .. }) = &found
            && route.audience == Audience::Anyone
        {
            return self.answer_anyone(route);
        }
        if let Some(response) = Box::pin(self.get_request_by_token(&found, request)).await {
            return response;
        }
        let caller = self.authenticator.authenticate(request.headers()).await?;
        let found = found?;
        caller.authorize(found.route)?;
        self.handler(&caller, &found, request).await
    }

    /// Answers a route that needs no token.
    fn answer_anyone(&self, route: &Route) -> Result<Response, Error> {
        match (route.method.as_str(), route.path) {
            ("GET", "/openapi.json") => Ok(openapi::response(&self.base_uri)),
            (method, path) => Err(no_handler(method, path)),
        }
    }

    /// Returns the work of a route. The futures are created here, since in a debug build `respond` would need space on the
    /// stack for all of them.
    fn handler<'a>(&'a self, caller: &'a Caller, found: &'a Found, request: &'a Request) -> Work<'a> {
        let (id, flow) = (found.parameter(0), found.parameter(1));
        match (found.route.method.as_str(), found.route.path) {
            ("GET", "/connections") => Box::pin(self.list_connections(caller, request)),
            ("POST", "/connections") => Box::pin(self.create_connection(caller, request)),
            ("GET", "/connections/{id}") => Box::pin(self.get_connection(caller, id, request)),
            ("PATCH" | "PUT", "/connections/{id}") => Box::pin(self.patch_connection(caller, id, request)),
            ("DELETE", "/connections/{id}") => Box::pin(self.delete_connection(caller, id, request)),
            ("POST", "/connections/{id}/restore") => Box::pin(self.restore_connection(caller, id)),
            ("POST", "/connections/{id}/disconnect") => Box::pin(self.disconnect_connection(caller, id, request)),
            ("GET", "/connections/{id}/attempts") => Box::pin(self.list_attempts(caller, id, request)),
            ("POST", "/connections/{id}/test") => Box::pin(self.test_connection(caller, id, request)),
            ("POST", "/connections/{id}/refresh-credentials") => Box::pin(self.refresh_connection(caller, id, request)),
            ("GET", "/connections/{id}/dependencies") => Box::pin(self.list_dependencies(caller, id, request)),
            ("PUT", "/connections/{id}/flows/{flow}") => Box::pin(self.put_flow(caller, id, flow, request)),
            ("DELETE", "/connections/{id}/flows/{flow}") => Box::pin(self.delete_flow(caller, id, flow, request)),
            ("POST", "/connection-requests") => Box::pin(self.create_request(caller, request)),
            ("GET", "/connection-requests/{id}") => Box::pin(self.get_request(caller, id)),
            ("DELETE", "/connection-requests/{id}") => Box::pin(self.cancel_request(caller, id)),
            ("POST", "/connection-requests/{id}/confirm") => Box::pin(self.confirm_request(caller, id, request)),
            ("POST", "/page-links") => Box::pin(self.create_page_link(caller, request)),
            ("DELETE", "/page-links/{id}") => Box::pin(self.revoke_page_link(caller, id)),
            ("GET", "/integrations") => Box::pin(self.list_integrations(caller, request)),
            ("POST", "/integrations") => Box::pin(self.create_integration(caller, request)),
            ("GET", "/integrations/{key}") => Box::pin(self.get_integration(caller, id)),
            ("PUT", "/integrations/{key}") => Box::pin(self.put_integration(caller, id, request)),
            ("PATCH", "/integrations/{key}") => Box::pin(self.patch_integration(caller, id, request)),
            ("DELETE", "/integrations/{key}") => Box::pin(self.delete_integration(caller, id)),
            ("GET", "/integrations/{key}/connector-spec") => Box::pin(self.connector_spec(caller, id)),
            ("POST", "/connection-options") => Box::pin(self.connection_options(caller, request)),
            ("GET", "/connectors") => Box::pin(self.list_connectors(caller, request)),
            ("GET", "/connectors/{key}") => Box::pin(ready(self.get_connector(id))),
            ("POST", "/connectors/{key}/generate-options") => {
                Box::pin(ready(self.generate_options(caller, id, request)))
            }
            ("GET" | "PATCH", "/self") => Box::pin(ready(Ok(Self::get_self(caller)))),
            (method, path) => Box::pin(ready(Err(no_handler(method, path)))),
        }
    }
}

fn no_handler(method: &str, path: &str) -> Error {
    Error::internal(format!("there is no handler for {method} {path}"))
}

#[async_trait]
impl Handler for Connections {
    async fn handle(&self, request: Request) -> Response {
        let path = path_within(&self.base_uri, request.uri().path());
        if *request.method() == Method::OPTIONS && PAGES.iter().any(|router| router.has(path)) {
            return Error::not_found(format!("there is no route OPTIONS {path}")).into();
        }
        self.cors_origins.answer(&request, self.respond(&request, path)).await
    }
}
