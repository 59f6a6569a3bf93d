//! The routes of integrations and connectors.

use std::collections::BTreeMap;

use http::StatusCode;
use larder::caller::Caller;
use larder::dynamodb::{Integration, OptionConfig, ParameterChanges};
use larder::error::Error;
use larder::http::{Request, Response, empty, json, read_json};
use larder::secret_store::is_key;
use larder_engine::connect::Origin;
use larder_engine::connector::{AuthOption, Connector, schema};
use larder_engine::connector_setup::check_fields;
use larder_engine::pasted::trimmed;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Connections;

/// The body of `PUT /integrations/{key}`. It replaces the integration, but omitted parameters stay.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IntegrationBody {
    connector_key: String,
    name: Option<String>,
    parameters: Option<Map<String, Value>>,
    options_config: Option<BTreeMap<String, OptionConfig>>,
    #[serde(rename = "oAuthCallbackUri")]
    oauth_callback_uri: Option<String>,
    #[serde(default)]
    redirect_uris: Vec<String>,
}

impl Connections {
    pub(crate) async fn list_integrations(&self, caller: &Caller) -> Result<Response, Error> {
        let integrations = self.management.connector_setup.integrations.list(&caller.workspace).await?;
        let items: Vec<_> = integrations.iter().map(|integration| self.view(integration)).collect();
        Ok(json(StatusCode::OK, &json!({ "items": items })))
    }

    pub(crate) async fn get_integration(&self, caller: &Caller, key: &str) -> Result<Response, Error> {
        let integration = self.management.connector_setup.integration(&caller.workspace, key).await?;
        Ok(json(StatusCode::OK, &self.view(&integration)))
    }

    pub(crate) async fn put_integration(
        &self,
        caller: &Caller,
        key: &str,
        request: &Request,
    ) -> Result<Response, Error> {
        let mut wanted: IntegrationBody = read_json(request)?;
        wanted.parameters = wanted.parameters.map(trimmed);
        if !is_key(key) {
            return Err(Error::bad_request("an integration's key must be 1 to 100 characters of [A-Za-z0-9_.-]"));
        }
        let connector = self.management.connector_setup.connector(&wanted.connector_key)?;
        if let Some(parameters) = &wanted.parameters {
            check_fields(connector.parameters_schema.as_ref(), parameters, |errors| {
                Error::bad_request(format!("`parameters` is invalid: {}", schema::summary(errors)))
            })?;
        }
        let options = wanted.options_config.iter().flat_map(BTreeMap::keys);
        if let Some(unknown) = options.into_iter().find(|key| connector.option(key).is_none()) {
            let keys: Vec<&str> = connector.options.iter().map(|option| option.key.as_str()).collect();
            let message =
                format!("unknown option `{unknown}` in `optionsConfig`; the connector has {}", keys.join(", "));
            return Err(Error::bad_request(message));
        }
        for (name, uri) in wanted.redirect_uris.iter().map(|uri| ("redirectUris", uri)) {
            check_uri(name, uri)?;
        }
        if let Some(uri) = wanted.oauth_callback_uri.as_ref().filter(|uri| !uri.is_empty()) {
            check_uri("oAuthCallbackUri", uri)?;
        }
        let now = self.management.clock.now();
        let stored = self.management.connector_setup.integrations.get(&caller.workspace, key).await?;
        let status = if stored.is_some() { StatusCode::OK } else { StatusCode::CREATED };
        let integration = Integration {
            workspace: caller.workspace.clone(),
            key: key.to_owned(),
            connector_key: wanted.connector_key,
            name: wanted.name,
            oauth_callback_uri: wanted.oauth_callback_uri.filter(|uri| !uri.is_empty()),
            redirect_uris: wanted.redirect_uris,
            parameters_version: stored.as_ref().map(|it| it.parameters_version.clone()).unwrap_or_default(),
            created_at: stored.map_or(now, |it| it.created_at),
            updated_at: now,
        };
        let changes = ParameterChanges { parameters: wanted.parameters, options: wanted.options_config };
        let integration = self.management.connector_setup.integrations.put(integration, changes).await?;
        Ok(json(status, &self.view(&integration)))
    }

    /// Deletes an integration unless connections use it: without it, they could not be refreshed.
    pub(crate) async fn delete_integration(&self, caller: &Caller, key: &str) -> Result<Response, Error> {
        let counts = self.management.connections.count(&caller.workspace, "integration_key").await?;
        if let Some(count) = counts.get(key) {
            let message = format!("{count} connections use the integration `{key}`; delete them first");
            return Err(Error::conflict(message).with_data(json!({ "connections": count })));
        }
        self.management.connector_setup.integrations.remove(&caller.workspace, key).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    pub(crate) async fn list_connectors(&self, caller: &Caller) -> Result<Response, Error> {
        let counts = self.management.connections.count(&caller.workspace, "connector_key").await?;
        let item = |connector: &Connector| {
            // The first option is shown as the connector's own, for clients that know only one.
            let first = connector.options.first();
            json!({
                "key": connector.key,
                "name": connector.name,
                "logoUri": connector.logo_uri,
                "authType": first.map(|option| option.kind.spec_name()),
                "parametersSchema": connector.parameters_schema,
                "inputSchema": first.and_then(|option| option.input_schema.as_ref()),
                "authOptions": connector.options.iter().map(|option| view_option(option)).collect::<Vec<_>>(),
                "connectionCount": counts.get(&connector.key).copied().unwrap_or_default(),
            })
        };
        let catalog = &self.management.connector_setup.catalog;
        let items: Vec<_> = catalog.iter().map(|connector| item(connector)).collect();
        let broken: Vec<_> = catalog
            .broken()
            .map(|broken| {
                let problems: Vec<_> = broken.problems.iter().map(ToString::to_string).collect();
                json!({ "folder": broken.folder, "problems": problems })
            })
            .collect();
        Ok(json(StatusCode::OK, &json!({ "items": items, "broken": broken })))
    }

    /// Returns an integration as the API shows it. Parameters are write-only.
    fn view(&self, integration: &Integration) -> Value {
        json!({
            "key": integration.key,
            "name": integration.name,
            "connectorKey": integration.connector_key,
            "oAuthCallbackUri": integration.oauth_callback_uri,
            "effectiveOAuthCallbackUri":
                larder_engine::provider::callback_uri(&self.management.connector_setup.base_uri, integration.oauth_callback_uri.as_deref()),
            "redirectUris": integration.redirect_uris,
            "hasParameters": !integration.parameters_version.is_empty(),
        })
    }
}

/// Returns a connector option as the API shows it, with the names of the connector format.
fn view_option(option: &AuthOption) -> Value {
    json!({
        "key": option.key,
        "type": option.kind.spec_name(),
        "title": option.title,
        "description": option.description,
        "inputSchema": option.input_schema,
        "connectorParametersSchema": option.parameters_schema,
        "ui": {"schema": option.input_schema, "helpUri": option.help_uri},
    })
}

fn check_uri(name: &str, uri: &str) -> Result<(), Error> {
    let checked = Origin::of_redirect_uri(uri).map(drop);
    checked.map_err(|error| Error::bad_request(format!("`{name}`: {uri:?} {error}")))
}

#[cfg(test)]
mod tests {
    use super::check_uri;

    #[test]
    fn redirect_uris_must_be_plain_absolute_urls() {
        assert!(check_uri("redirectUris", "https://app.example/done?from=larder").is_ok());
        for uri in [
            "//evil.example",
            "/done",
            "https://good@evil.example/",
            "https://app.example\\@evil.example",
            "https://app.example/\r\nSet-Cookie:a",
            "javascript:alert(1)",
            "https://app.example/#done",
            "",
        ] {
            assert!(check_uri("redirectUris", uri).is_err(), "{uri}");
        }
        let error = check_uri("redirectUris", "https://*.example/").expect_err("a wildcard");
        assert!(error.message.contains("`redirectUris`") && error.message.contains("no wildcards"), "{error}");
    }
}
