//! What a connection is made with: an integration, its parameters, and a connector.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::connection::{Connection, Contents};
use crate::connector::{Catalog, Connector};
use crate::error::Error;
use crate::provider::{Auth, callback_uri};
use crate::store::{Integration, Integrations};

/// The integrations of all workspaces and the connectors of this deployment.
pub struct Configuration {
    /// The integrations.
    pub integrations: Integrations,
    /// The connectors.
    pub catalog: Catalog,
    /// Where this Larder answers, without a slash at the end (`BASE_URI`).
    pub base_uri: String,
}

impl Configuration {
    /// An integration of a workspace.
    ///
    /// # Errors
    /// 404 if there is none; 503 when the table fails.
    pub async fn integration(&self, workspace: &str, key: &str) -> Result<Integration, Error> {
        self.integrations.get(workspace, key).await?.ok_or_else(|| {
            Error::not_found(format!("there is no integration `{key}`; create it with PUT /integrations/{key}"))
        })
    }

    /// A connector of this deployment.
    ///
    /// # Errors
    /// 400 (configuration) that says whether it is missing or broken.
    pub fn connector(&self, key: &str) -> Result<Arc<Connector>, Error> {
        if let Some(connector) = self.catalog.get(key) {
            return Ok(Arc::clone(connector));
        }
        let broken = self.catalog.broken().iter().find(|broken| broken.folder == key);
        Err(Error::configuration(match broken {
            Some(broken) => {
                let problems: Vec<_> = broken.problems.iter().map(ToString::to_string).collect();
                format!("the connector `{key}` is broken: {}", problems.join("; "))
            }
            None => format!("there is no connector `{key}`; GET /connectors lists those that there are"),
        }))
    }

    /// What the functions of a connector get for a new connection through an integration.
    ///
    /// # Errors
    /// 400 when the connector is missing or broken; 503 when the secret store fails.
    pub async fn auth(
        &self,
        integration: &Integration,
        connector_parameters: &Map<String, Value>,
        input: &Map<String, Value>,
    ) -> Result<Auth, Error> {
        let connector = self.connector(&integration.connector_key)?;
        let mut parameters = self.integrations.parameters(integration).await?;
        parameters.extend(connector_parameters.clone());
        Ok(Auth {
            connector,
            connector_parameters: parameters,
            connection_parameters: input.clone(),
            callback_uri: callback_uri(&self.base_uri, integration.oauth_callback_uri.as_deref()),
        })
    }

    /// What the functions of a connector get for a stored connection.
    ///
    /// # Errors
    /// As [`Self::integration`] and [`Self::auth`].
    pub async fn auth_of(&self, connection: &Connection, contents: &Contents) -> Result<Auth, Error> {
        let Some(reference) = &connection.integration else {
            return Err(Error::bad_request("these credentials were stored by hand; no integration belongs to them"));
        };
        let integration = self.integration(&connection.workspace, &reference.key).await?;
        self.auth(&integration, &contents.connector_parameters, &contents.input).await
    }
}
