//! Connectors and their options, as callers see them: the ways to connect, and the values that each of them needs.

use std::collections::HashMap;
use std::sync::Arc;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use larder::caller::Caller;
use larder::dynamodb::IntegrationParameters;
use larder::error::Error;
use larder::scope::Scope;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::connector_filters::{ConnectorFilters, ConnectorList};
use super::filters::one_of;
use super::{Management, without_nulls};
use crate::connector::index::IndexEntry;
use crate::connector::{AuthOption, AuthType, Connector};
use crate::connector_setup::{logo, open_options};
use crate::provider::callback_uri;

/// How many integrations are counted at once.
const COUNTS_AT_ONCE: usize = 16;

/// The body of `POST /connection-options` and `POST /connectors/{key}/generate-options`. Unknown members are ignored.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OptionsBody {
    integration_key: Option<String>,
    integration_id: Option<String>,
    connection_id: Option<String>,
    connector_key: Option<String>,
    connector_id: Option<String>,
    connector_parameters: Option<Map<String, Value>>,
}

impl Management {
    /// Lists the ways to connect through an integration, or through that of a connection, or with a connector.
    ///
    /// # Errors
    /// 400 if the body names none; 403 if it names a connection and the token may not read any; 404 if it does not exist, or the connection belongs to another tenant.
    pub async fn connection_options(&self, caller: &Caller, body: OptionsBody) -> Result<Value, Error> {
        let filled = |value: Option<String>| value.filter(|value| !value.is_empty());
        let (key, id) = (filled(body.integration_key), filled(body.integration_id));
        let named = one_of(["integrationKey", "integrationId"], key, id)?;
        let integration_key = match (named, body.connection_id) {
            (Some(key), _) => key,
            (None, Some(id)) => {
                caller.require(Scope::ConnectionsRead)?;
                let connection = self.find(caller, &id, None).await?;
                let none = || Error::bad_request(format!("the connection `{id}` has no integration"));
                connection.integration.ok_or_else(none)?.key
            }
            (None, None) => {
                let (key, id) = (filled(body.connector_key), filled(body.connector_id));
                let connector = one_of(["connectorKey", "connectorId"], key, id)?;
                let missing = || {
                    Error::bad_request("`integrationKey` is missing; send it, or a `connectionId` or `connectorKey`")
                };
                let parameters = body.connector_parameters.unwrap_or_default();
                return self.options_of_connector(caller, &connector.ok_or_else(missing)?, parameters);
            }
        };
        let integration = self.connector_setup.integration_for(caller, &integration_key).await?;
        let connector = self.connector_setup.connector(&integration.connector_key)?;
        let mut parameters = self.connector_setup.integrations.parameters(&integration).await?;
        // As when connecting, only admins can override parameters.
        if caller.admin {
            parameters.parameters.extend(body.connector_parameters.unwrap_or_default());
        }
        let callback_uri = callback_uri(&self.connector_setup.base_uri, integration.oauth_callback_uri.as_deref());
        Ok(view_ways(caller, &connector, &parameters, &callback_uri))
    }

    /// Lists the ways to connect with a connector, with these parameters.
    ///
    /// # Errors
    /// 404 if there is no such connector.
    pub fn generate_options(&self, caller: &Caller, key: &str, body: OptionsBody) -> Result<Value, Error> {
        self.options_of_connector(caller, key, body.connector_parameters.unwrap_or_default())
    }

    fn options_of_connector(&self, caller: &Caller, key: &str, parameters: Map<String, Value>) -> Result<Value, Error> {
        let connector = self.known_connector(key)?;
        let parameters = IntegrationParameters { parameters, ..IntegrationParameters::default() };
        Ok(view_ways(caller, &connector, &parameters, &callback_uri(&self.connector_setup.base_uri, None)))
    }

    /// Returns the part of a connector that connecting needs, in the format of its `spec.yml`, with the open options of an
    /// integration.
    ///
    /// # Errors
    /// 404 if there is no such integration.
    pub async fn connector_spec(&self, caller: &Caller, integration_key: &str) -> Result<Value, Error> {
        let integration = self.connector_setup.integration_for(caller, integration_key).await?;
        let connector = self.connector_setup.connector(&integration.connector_key)?;
        let parameters = self.connector_setup.integrations.parameters(&integration).await?;
        let options = open_options(&connector, &parameters);
        let mut auth = options.first().map(|option| view_option(option)).unwrap_or_else(|| json!({}));
        let named = options.iter().filter(|option| !option.key.is_empty());
        let named: Map<_, _> = named.map(|option| (option.key.clone(), view_option(option))).collect();
        if !named.is_empty() {
            auth["options"] = named.into();
        }
        Ok(without_nulls(json!({
            "key": connector.key,
            "name": connector.name,
            "logoUri": logo(&integration, Some(&connector)),
            "parametersSchema": connector.parameters_schema.as_ref().filter(|_| caller.admin),
            "auth": auth,
        })))
    }

    /// Lists a page of connectors with the number of their connections, unless the token is limited to some. The first page
    /// also has the connectors that don't load, and a search that finds nothing has suggestions. Connectors of directories
    /// with an index are not read.
    ///
    /// # Errors
    /// 400 for an unknown category or auth type; 503 when the table fails.
    pub async fn list_connectors(&self, caller: &Caller, filters: &ConnectorFilters) -> Result<Value, Error> {
        let catalog = &self.connector_setup.catalog;
        let ConnectorList { page, cursor, suggestions } = filters.apply(catalog.entries())?;
        // The index cannot count only some of the connections.
        let counts = match page.is_empty() || caller.is_limited() {
            false => Some(self.connection_counts(&caller.workspace, &page).await?),
            true => None,
        };
        let count = |key: &str| counts.as_ref().map(|counts| counts.get(key).copied().unwrap_or_default());
        let items: Vec<_> = page.iter().map(|entry| view_entry(entry, count(&entry.key))).collect();
        let mut body = json!({ "items": items });
        if let Some(cursor) = cursor {
            body["cursor"] = cursor.into();
        }
        if !suggestions.is_empty() {
            body["suggestions"] = suggestions.iter().map(|entry| view_entry(entry, None)).collect();
        }
        if filters.is_first() {
            let broken = catalog.broken().into_iter().map(|broken| {
                let problems: Vec<_> = broken.problems.iter().map(ToString::to_string).collect();
                json!({ "folder": broken.folder, "problems": problems })
            });
            body["broken"] = broken.collect();
        }
        Ok(body)
    }

    /// Counts a workspace's connections by the connector of their integration, for these connectors.
    async fn connection_counts(
        &self,
        workspace: &str,
        connectors: &[IndexEntry],
    ) -> Result<HashMap<String, u64>, Error> {
        let mut integrations = self.connector_setup.integrations.list(workspace).await?;
        integrations.retain(|integration| connectors.iter().any(|entry| entry.key == integration.connector_key));
        let counted = integrations.into_iter().map(|integration| async move {
            Ok::<_, Error>((self.connections.count(workspace, &integration.key).await?, integration.connector_key))
        });
        let mut counts = HashMap::new();
        let mut counted = stream::iter(counted).buffer_unordered(COUNTS_AT_ONCE);
        while let Some((count, connector)) = counted.try_next().await? {
            *counts.entry(connector).or_default() += count;
        }
        Ok(counts)
    }

    /// Shows a connector.
    ///
    /// # Errors
    /// 404 if there is none; 400 (configuration) if it does not load.
    pub fn get_connector(&self, key: &str) -> Result<Value, Error> {
        self.known_connector(key).map(|connector| view_connector(&connector))
    }

    pub(super) fn known_connector(&self, key: &str) -> Result<Arc<Connector>, Error> {
        let catalog = &self.connector_setup.catalog;
        if let Some(connector) = catalog.get(key) {
            return Ok(connector);
        }
        Err(match catalog.broken_folder(key) {
            Some(_) => self.connector_setup.connector(key).err().unwrap_or_else(|| self.unknown_connector(key)),
            None => self.unknown_connector(key),
        })
    }

    fn unknown_connector(&self, key: &str) -> Error {
        Error::not_found(format!("there is no connector `{key}`{}", self.connector_setup.suggestion(key)))
    }
}

/// Returns the members of a connector that its directory's index has.
fn view_entry(entry: &IndexEntry, connections: Option<u64>) -> Value {
    without_nulls(json!({
        "id": entry.key,
        "key": entry.key,
        "name": entry.name,
        "logoUri": entry.logo_uri,
        "authType": entry.auth_type,
        "authTypes": entry.auth_types(),
        "extends": entry.extends,
        "categories": entry.categories,
        "aliases": entry.aliases,
        "connectionCount": connections,
    }))
}

fn view_connector(connector: &Connector) -> Value {
    // The first option is shown as the connector's own, for clients that know only one.
    let first = connector.options.first();
    let option = |option: &AuthOption| {
        let mut view = view_option(option);
        view["extends"] = json!(option.extends);
        view["connectorParametersSchema"] = json!(option.parameters_schema);
        without_nulls(view)
    };
    let mut view = without_nulls(json!({
        "id": connector.key,
        "key": connector.key,
        "name": connector.name,
        "logoUri": connector.logo_uri,
        "extends": connector.extends(),
        "categories": connector.about.categories,
        "aliases": connector.about.aliases,
        "authType": first.map(|option| option.kind.spec_name()),
        "authTypes": IndexEntry::of(connector, "").auth_types(),
        "parametersSchema": connector.parameters_schema,
        "inputSchema": first.and_then(|option| option.input_schema.as_ref()),
        "authOptions": connector.options.iter().map(|it| option(it)).collect::<Vec<_>>(),
    }));
    for (key, value) in &connector.about.details {
        view[key] = value.clone();
    }
    view
}

/// Returns an option with the names of the connector format. The connector itself has no key.
pub(super) fn view_option(option: &AuthOption) -> Value {
    let ui = without_nulls(json!({ "schema": option.input_schema, "helpUri": option.help_uri }));
    without_nulls(json!({
        "key": Some(&option.key).filter(|key| !key.is_empty()),
        "type": option.kind.spec_name(),
        "title": option.title,
        "description": option.description,
        "inputSchema": option.input_schema,
        "ui": Some(ui).filter(|ui| *ui != json!({})),
    }))
}

/// Returns the open options as an array, each with the values that it needs.
fn view_ways(caller: &Caller, connector: &Connector, parameters: &IntegrationParameters, callback_uri: &str) -> Value {
    let view = |option: &AuthOption| {
        let mut view = view_option(option);
        let has_callback = matches!(option.kind, AuthType::OAuth2 | AuthType::OAuth1 | AuthType::Proxy(_));
        view["oAuthCallbackUri"] = json!(Some(callback_uri).filter(|_| has_callback));
        view["connectorParametersSchema"] = json!(option.parameters_schema.as_ref().filter(|_| caller.admin));
        without_nulls(view)
    };
    open_options(connector, parameters).iter().map(|option| view(option)).collect()
}
