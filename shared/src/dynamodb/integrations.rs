//! A workspace's integrations: rows in the table of workspaces, with their parameters in the secret store.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::conditional::outcome;
use super::item::{Item, present};
use super::workspace_items::WorkspaceItems;
use super::{StoreError, Write};
use crate::clock::milliseconds;
use crate::error::Error;
use crate::random::{self, Rng};
use crate::secret::Secret;
use crate::secret_store::{SecretStore, is_key};

const PREFIX: &str = "integration/";
const TABLE: &str = "workspaces";

/// A connector as configured by a workspace, without its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integration {
    /// The workspace's key.
    pub workspace: String,
    /// The integration's key in the workspace.
    pub key: String,
    /// The connector's key.
    pub connector_key: String,
    /// The name that people see.
    pub name: Option<String>,
    /// The URI that the provider sends the browser to, instead of `{BASE_URI}/oauth-callback`.
    pub oauth_callback_uri: Option<String>,
    /// The exact URIs that a browser may be sent to after the flow. Their origins get the postMessage results.
    pub redirect_uris: Vec<String>,
    /// The URL of a logo, instead of the connector's.
    pub logo_uri: Option<String>,
    /// A description for people.
    pub description: Option<String>,
    /// Any JSON of the workspace's own.
    pub meta: Option<Map<String, Value>>,
    /// A random string that changes whenever the parameters change.
    pub parameters_version: String,
    /// When it was created.
    pub created_at: OffsetDateTime,
    /// When it last changed.
    pub updated_at: OffsetDateTime,
}

/// An integration's parameters, such as client id and secret. Connector functions get them as `connectorParameters`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IntegrationParameters {
    /// The parameters for all options.
    pub parameters: Map<String, Value>,
    /// The differences for single options, by the option's key.
    pub options: BTreeMap<String, OptionConfig>,
}

/// A workspace's configuration of one connector option.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct OptionConfig {
    /// Whether the option is hidden from end users.
    pub disabled: bool,
    /// Overrides of the integration's parameters.
    pub parameters: Map<String, Value>,
}

/// Changes to an integration's parameters. A `None` leaves the stored value as it is.
#[derive(Default)]
pub struct ParameterChanges {
    /// The new value of all parameters.
    pub parameters: Option<Map<String, Value>>,
    /// The new configuration of all options.
    pub options: Option<BTreeMap<String, OptionConfig>>,
}

impl Integration {
    /// An integration without parameters, not yet stored.
    pub fn new(workspace: impl Into<String>, key: impl Into<String>, now: OffsetDateTime) -> Self {
        Self {
            workspace: workspace.into(),
            key: key.into(),
            connector_key: String::new(),
            name: None,
            oauth_callback_uri: None,
            redirect_uris: Vec::new(),
            logo_uri: None,
            description: None,
            meta: None,
            parameters_version: String::new(),
            created_at: now,
            updated_at: now,
        }
    }
}

/// Reads and writes integrations. Parameters never enter DynamoDB.
pub struct Integrations {
    items: WorkspaceItems,
    secrets: Arc<dyn SecretStore>,
    rng: Arc<dyn Rng>,
    /// The parameters last read, with their version, by workspace and key.
    cache: Mutex<HashMap<(String, String), StoredParameters>>,
}

#[derive(Clone, Serialize, Deserialize)]
struct StoredParameters {
    version: String,
    #[serde(flatten)]
    parameters: IntegrationParameters,
}

impl Integrations {
    /// The largest secret in Secrets Manager, in bytes; rows have room for more.
    const MAX_BYTES: usize = 64 * 1024;

    /// The integrations in the table of workspaces, with their parameters in `secrets`.
    pub fn new(client: Client, table: impl Into<String>, secrets: Arc<dyn SecretStore>, rng: Arc<dyn Rng>) -> Self {
        Self { items: WorkspaceItems::new(client, table), secrets, rng, cache: Mutex::default() }
    }

    /// Reads an integration with strong consistency.
    ///
    /// # Errors
    /// When DynamoDB fails or the item is damaged.
    pub async fn get(&self, workspace: &str, key: &str) -> Result<Option<Integration>, StoreError> {
        if !is_key(key) {
            return Ok(None);
        }
        self.items.get(workspace, &item_name(key)).await?.as_ref().map(read).transpose()
    }

    /// Returns all integrations of a workspace, ordered by key.
    ///
    /// # Errors
    /// When DynamoDB fails or an item is damaged.
    pub async fn list(&self, workspace: &str) -> Result<Vec<Integration>, StoreError> {
        self.items.list(workspace, PREFIX).await?.iter().map(read).collect()
    }

    /// Creates or replaces an integration. Parameters without changes stay as they are.
    ///
    /// # Errors
    /// 413 when its name and URIs, or its parameters, are larger than 64 KiB; 503 when DynamoDB or the secret store fails.
    pub async fn put(&self, integration: Integration, changes: ParameterChanges) -> Result<Integration, Error> {
        check_size(&integration)?;
        let changed = self.changed(&integration, changes).await?;
        self.save(integration, changed, None)
            .await?
            .ok_or_else(|| Error::internal("a write without a condition failed it"))
    }

    /// Replaces an integration that is still as it was `seen`. `None` if it has changed or is gone.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub async fn change(
        &self,
        seen: &Integration,
        integration: Integration,
        changes: ParameterChanges,
    ) -> Result<Option<Integration>, Error> {
        check_size(&integration)?;
        let changed = self.changed(&integration, changes).await?;
        self.save(integration, changed, Some(seen)).await
    }

    /// Creates an integration. `None` if the workspace has one with this key.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub async fn create(
        &self,
        integration: Integration,
        changes: ParameterChanges,
    ) -> Result<Option<Integration>, Error> {
        check_size(&integration)?;
        let changed = self.changed(&integration, changes).await?;
        // The row comes first here, so that the parameters of another one are not overwritten.
        let put = self.items.client.put_item().table_name(&self.items.table).set_item(Some(write(&integration).0));
        let put = put.condition_expression("attribute_not_exists(#item)").expression_attribute_names("#item", "item");
        match outcome(put.send().await, PutItemError::is_conditional_check_failed_exception)? {
            Write::Done => self.save(integration, changed, None).await,
            Write::Conflict => Ok(None),
        }
    }

    /// Returns the parameters to store, with a new version; `None` if they don't change.
    async fn changed(
        &self,
        integration: &Integration,
        changes: ParameterChanges,
    ) -> Result<Option<(String, Secret)>, Error> {
        if changes.parameters.is_none() && changes.options.is_none() {
            return Ok(None);
        }
        let mut parameters = self.parameters(integration).await?;
        parameters.parameters = changes.parameters.unwrap_or(parameters.parameters);
        parameters.options = changes.options.unwrap_or(parameters.options);
        let version = random::token::<12>(&*self.rng);
        let stored = StoredParameters { version: version.clone(), parameters };
        let text = serde_json::to_string(&stored).map_err(Error::internal)?;
        if text.len() > Self::MAX_BYTES {
            return Err(too_large("the parameters"));
        }
        Ok(Some((version, Secret::new(text))))
    }

    async fn save(
        &self,
        mut integration: Integration,
        changed: Option<(String, Secret)>,
        seen: Option<&Integration>,
    ) -> Result<Option<Integration>, Error> {
        if let Some((version, text)) = changed {
            // The parameters are written first, so that a row never names a version that does not exist.
            self.secrets.put(&secret_name(&integration.workspace, &integration.key), &text).await?;
            integration.parameters_version = version;
        }
        let put = self.items.client.put_item().table_name(&self.items.table).set_item(Some(write(&integration).0));
        let put = match seen {
            None => put,
            Some(seen) => put
                .condition_expression("updated_at = :updated_at AND parameters_version = :parameters_version")
                .expression_attribute_values(
                    ":updated_at",
                    AttributeValue::N(milliseconds(seen.updated_at).to_string()),
                )
                .expression_attribute_values(":parameters_version", AttributeValue::S(seen.parameters_version.clone())),
        };
        let written = outcome(put.send().await, PutItemError::is_conditional_check_failed_exception)?;
        Ok(written.then_some(integration))
    }

    /// Removes an integration and its parameters. Removing one that does not exist succeeds.
    ///
    /// # Errors
    /// 503 when DynamoDB or the secret store fails.
    pub async fn remove(&self, workspace: &str, key: &str) -> Result<(), Error> {
        if !is_key(key) {
            return Ok(());
        }
        let item = WorkspaceItems::key(workspace, &item_name(key));
        let delete = self.items.client.delete_item().table_name(&self.items.table).set_key(Some(item.0));
        delete.send().await.map_err(StoreError::dynamodb)?;
        self.secrets.remove(&secret_name(workspace, key)).await?;
        self.cache.lock().expect("the lock is not poisoned").remove(&(workspace.to_owned(), key.to_owned()));
        Ok(())
    }

    /// Returns an integration's parameters. They are cached until they change.
    ///
    /// # Errors
    /// 503 when the secret store fails.
    pub async fn parameters(&self, integration: &Integration) -> Result<IntegrationParameters, Error> {
        if integration.parameters_version.is_empty() {
            return Ok(IntegrationParameters::default());
        }
        let place = (integration.workspace.clone(), integration.key.clone());
        if let Some(cached) = self.cache.lock().expect("the lock is not poisoned").get(&place)
            && cached.version == integration.parameters_version
        {
            return Ok(cached.parameters.clone());
        }
        let Some(text) = self.secrets.get(&secret_name(&place.0, &place.1)).await? else {
            return Ok(IntegrationParameters::default());
        };
        let stored: StoredParameters = serde_json::from_str(text.expose())
            .map_err(|_| Error::internal(format!("the stored parameters of {} are damaged", integration.key)))?;
        self.cache.lock().expect("the lock is not poisoned").insert(place, stored.clone());
        Ok(stored.parameters)
    }
}

fn check_size(integration: &Integration) -> Result<(), Error> {
    let Integration { name, oauth_callback_uri, redirect_uris, logo_uri, description, .. } = integration;
    let texts = redirect_uris.iter().chain(name).chain(oauth_callback_uri).chain(logo_uri).chain(description);
    if texts.map(String::len).sum::<usize>() > Integrations::MAX_BYTES {
        return Err(too_large("the name, the description and the URIs"));
    }
    Ok(())
}

fn too_large(what: &str) -> Error {
    let most = Integrations::MAX_BYTES / 1024;
    Error::too_large(format!("{what} of an integration must be at most {most} KiB in total"))
}

fn secret_name(workspace: &str, key: &str) -> String {
    format!("integrations/{workspace}/{key}")
}

fn item_name(key: &str) -> String {
    format!("{PREFIX}{key}")
}

fn write(integration: &Integration) -> Item {
    let redirect_uris = Value::from(integration.redirect_uris.clone());
    let meta = integration.meta.clone().map(|meta| Value::Object(meta).to_string());
    WorkspaceItems::key(&integration.workspace, &item_name(&integration.key))
        .string("connector_key", &integration.connector_key)
        .maybe("name", integration.name.as_ref(), Item::string)
        .maybe("oauth_callback_uri", integration.oauth_callback_uri.as_ref(), Item::string)
        .string("redirect_uris", redirect_uris.to_string())
        .maybe("logo_uri", integration.logo_uri.as_ref(), Item::string)
        .maybe("description", integration.description.as_ref(), Item::string)
        .maybe("meta", meta, Item::string)
        .string("parameters_version", &integration.parameters_version)
        .time("created_at", integration.created_at)
        .time("updated_at", integration.updated_at)
}

fn read(item: &Item) -> Result<Integration, StoreError> {
    let key = item.get_string("item").and_then(|item| item.strip_prefix(PREFIX).map(str::to_owned));
    let redirect_uris = item.get_string("redirect_uris").and_then(|text| serde_json::from_str(&text).ok());
    Ok(Integration {
        workspace: present(item.get_string("workspace"), TABLE, "workspace")?,
        key: present(key, TABLE, "item")?,
        connector_key: present(item.get_string("connector_key"), TABLE, "connector_key")?,
        name: item.get_string("name"),
        oauth_callback_uri: item.get_string("oauth_callback_uri"),
        redirect_uris: present(redirect_uris, TABLE, "redirect_uris")?,
        logo_uri: item.get_string("logo_uri"),
        description: item.get_string("description"),
        meta: item.get_string("meta").and_then(|text| serde_json::from_str(&text).ok()),
        parameters_version: present(item.get_string("parameters_version"), TABLE, "parameters_version")?,
        created_at: present(item.get_time("created_at"), TABLE, "created_at")?,
        updated_at: present(item.get_time("updated_at"), TABLE, "updated_at")?,
    })
}
