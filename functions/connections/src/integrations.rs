//! The routes of integrations and connectors, and of the caller itself.

use http::StatusCode;
use larder::caller::Caller;
use larder::error::Error;
use larder::http::{Parameters, Request, Response, empty, json, read_json};
use larder_engine::manage::{ConnectorFilters, IntegrationFilters};
use serde_json::json;

use crate::Connections;

impl Connections {
    pub(crate) async fn list_integrations(&self, caller: &Caller, request: &Request) -> Result<Response, Error> {
        let filters = IntegrationFilters::read(&Parameters::of_query(request))?;
        Ok(json(StatusCode::OK, &self.management.list_integrations(caller, &filters).await?))
    }

    pub(crate) async fn get_integration(&self, caller: &Caller, key: &str) -> Result<Response, Error> {
        Ok(json(StatusCode::OK, &self.management.get_integration(caller, key).await?))
    }

    pub(crate) async fn create_integration(&self, caller: &Caller, request: &Request) -> Result<Response, Error> {
        Ok(json(StatusCode::CREATED, &self.management.create_integration(caller, read_json(request)?).await?))
    }

    pub(crate) async fn put_integration(
        &self,
        caller: &Caller,
        key: &str,
        request: &Request,
    ) -> Result<Response, Error> {
        let (is_new, view) = self.management.put_integration(caller, key, read_json(request)?).await?;
        Ok(json(if is_new { StatusCode::CREATED } else { StatusCode::OK }, &view))
    }

    pub(crate) async fn patch_integration(
        &self,
        caller: &Caller,
        key: &str,
        request: &Request,
    ) -> Result<Response, Error> {
        Ok(json(StatusCode::OK, &self.management.patch_integration(caller, key, read_json(request)?).await?))
    }

    pub(crate) async fn delete_integration(&self, caller: &Caller, key: &str) -> Result<Response, Error> {
        self.management.delete_integration(caller, key).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    pub(crate) async fn connector_spec(&self, caller: &Caller, key: &str) -> Result<Response, Error> {
        Ok(json(StatusCode::OK, &self.management.connector_spec(caller, key).await?))
    }

    pub(crate) async fn connection_options(&self, caller: &Caller, request: &Request) -> Result<Response, Error> {
        Ok(json(StatusCode::OK, &self.management.connection_options(caller, read_json(request)?).await?))
    }

    pub(crate) async fn list_connectors(&self, caller: &Caller, request: &Request) -> Result<Response, Error> {
        let filters = ConnectorFilters::read(&Parameters::of_query(request))?;
        Ok(json(StatusCode::OK, &self.management.list_connectors(caller, &filters).await?))
    }

    pub(crate) fn get_connector(&self, key: &str) -> Result<Response, Error> {
        Ok(json(StatusCode::OK, &self.management.get_connector(key)?))
    }

    pub(crate) fn generate_options(&self, caller: &Caller, key: &str, request: &Request) -> Result<Response, Error> {
        Ok(json(StatusCode::OK, &self.management.generate_options(caller, key, read_json(request)?)?))
    }

    /// Shows the caller. Nothing about it is stored, so a change is ignored: the SDKs send one when they start.
    pub(crate) fn get_self(caller: &Caller) -> Response {
        let mut view = json!({ "workspaceKey": caller.workspace, "isAdmin": caller.admin });
        if let Some(tenant) = &caller.tenant {
            for name in ["id", "name", "internalId"] {
                view[name] = tenant.as_str().into();
            }
        }
        json(StatusCode::OK, &view)
    }
}
