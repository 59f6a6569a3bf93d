//! The form of an integration: what it shows, and what a submitted one changes.
//!
//! # Decisions
//!
//! Stored secrets stay here. The form learns which of its fields are set, and a field that was left empty keeps its secret.
//!
//! A submitted form is compared with what is stored when it is saved, like any other change: of the parameters, it changes those
//! that have a field.

use std::collections::BTreeSet;
use std::sync::Arc;

use larder::caller::Caller;
use larder::dynamodb::{Integration, IntegrationParameters, ParameterChanges};
use larder::error::Error;
use larder::http::Parameters;
use larder::scope::Scope;
use serde_json::{Map, Value, json};

use super::Management;
use crate::connector::index::IndexEntry;
use crate::connector::schema::{self, FieldError};
use crate::connector::{AuthOption, Connector};
use crate::connector_setup::open_options;
use crate::pages::{FormOption, IntegrationForm, SchemaForm};
use crate::provider::callback_uri;

/// The ways into the catalog, for an admin who chooses a connector.
#[derive(Debug)]
pub struct CatalogGuide {
    /// The categories of all connectors.
    pub categories: Vec<String>,
    /// The connectors that others extend, which suit any service.
    pub generic: Vec<IndexEntry>,
}

impl Management {
    /// Returns the categories and the generic connectors of the catalog.
    pub fn catalog_guide(&self) -> CatalogGuide {
        let entries = self.connector_setup.catalog.entries();
        let categories: BTreeSet<_> = entries.iter().flat_map(|entry| entry.categories.iter().cloned()).collect();
        let extended: BTreeSet<_> = entries.iter().filter_map(|entry| entry.extends.clone()).collect();
        let generic = entries.into_iter().filter(|entry| extended.contains(&entry.key)).collect();
        CatalogGuide { categories: categories.into_iter().collect(), generic }
    }

    /// Returns the form of a new integration with a connector.
    ///
    /// # Errors
    /// 404 if there is no such connector; 400 (configuration) if it does not load; 403 unless the caller is an admin.
    pub fn new_integration_form(&self, caller: &Caller, connector_key: &str) -> Result<IntegrationForm, Error> {
        require_reader(caller)?;
        let connector = self.known_connector(connector_key)?;
        let stored = IntegrationParameters::default();
        Ok(IntegrationForm {
            view: Value::Null,
            details: Map::new(),
            options: options(&connector, &stored),
            fields: fields(&connector),
            parameters: fields(&connector).shown(&stored.parameters),
            connector: Some(connector),
            problem: None,
            callback_uri: callback_uri(&self.connector_setup.base_uri, None),
        })
    }

    /// Returns the form of an integration, without its secrets.
    ///
    /// # Errors
    /// 404 if there is none; 403 unless the caller is an admin; 503 when the table or the secret store fails.
    pub async fn integration_form(&self, caller: &Caller, key: &str) -> Result<IntegrationForm, Error> {
        require_reader(caller)?;
        let integration = self.connector_setup.integration_for(caller, key).await?;
        let stored = self.connector_setup.integrations.parameters(&integration).await?;
        let (connector, problem) = match self.connector_setup.connector(&integration.connector_key) {
            Ok(connector) => (Some(connector), None),
            Err(error) => (None, Some(error.message)),
        };
        let fields = connector.as_deref().map(fields).unwrap_or_default();
        let Integration { name, description, logo_uri, redirect_uris, oauth_callback_uri, .. } = &integration;
        let details = json!({"name": name, "description": description, "logoUri": logo_uri,
                             "redirectUris": redirect_uris, "oAuthCallbackUri": oauth_callback_uri});
        Ok(IntegrationForm {
            view: self.show(caller, &integration).await?,
            details: details.as_object().cloned().unwrap_or_default(),
            options: connector.as_deref().map(|connector| options(connector, &stored)).unwrap_or_default(),
            parameters: fields.shown(&stored.parameters),
            fields,
            connector,
            problem,
            callback_uri: callback_uri(&self.connector_setup.base_uri, oauth_callback_uri.as_deref()),
        })
    }

    /// Returns the parameters of a submitted form that don't match the connector's schema, of an integration or of a new one.
    ///
    /// # Errors
    /// 404 if there is no such integration or connector; 503 when the secret store fails.
    pub async fn check_integration_form(
        &self,
        caller: &Caller,
        integration: Option<&str>,
        connector_key: &str,
        submitted: &Parameters,
    ) -> Result<Vec<FieldError>, Error> {
        let stored = match integration {
            Some(key) => {
                let integration = self.connector_setup.integration_for(caller, key).await?;
                self.connector_setup.integrations.parameters(&integration).await?
            }
            None => IntegrationParameters::default(),
        };
        let connector = self.known_connector(connector_key)?;
        let changes = submitted_changes(&connector, stored, submitted);
        let unusable = |error: schema::Unusable| Error::configuration(error.to_string());
        schema::validate(connector.parameters_schema.as_ref(), &changes.parameters.unwrap_or_default())
            .map_err(unusable)
    }
}

/// Returns the changes that a submitted form makes to the stored parameters.
pub(super) fn submitted_changes(
    connector: &Connector,
    stored: IntegrationParameters,
    submitted: &Parameters,
) -> ParameterChanges {
    let mut parameters = stored.parameters;
    // An integration may have been stored before the connector became a preset.
    parameters.retain(|name, _| !connector.fixed.contains(name));
    let parameters = connector.tidied(fields(connector).read(submitted, &parameters));
    let mut options = stored.options;
    if connector.options.len() > 1 {
        for option in &connector.options {
            let is_enabled = submitted.iter().any(|(name, key)| name == "option" && key == option.key);
            if is_enabled && !options.contains_key(&option.key) {
                continue;
            }
            options.entry(option.key.clone()).or_default().disabled = !is_enabled;
        }
    }
    // Those that the connector no longer has would be rejected.
    options.retain(|key, _| connector.option(key).is_some());
    ParameterChanges { parameters: Some(parameters), options: Some(options) }
}

/// Returns the fields of a connector's parameters, and of those that only some of its options have.
fn fields(connector: &Connector) -> SchemaForm {
    let of_options = connector.options.iter().filter_map(|option| option.parameters_schema.as_ref());
    let mut schema = connector.parameters_schema.clone().unwrap_or_else(|| json!({ "type": "object" }));
    let mut properties = schema["properties"].as_object().cloned().unwrap_or_default();
    for (name, property) in of_options.filter_map(|schema| schema["properties"].as_object()).flatten() {
        properties.entry(name).or_insert_with(|| property.clone());
    }
    schema["properties"] = properties.into();
    SchemaForm::new(Some(&schema))
}

/// Returns the ways to connect, if there are several.
fn options(connector: &Connector, stored: &IntegrationParameters) -> Vec<FormOption> {
    if connector.options.len() < 2 {
        return Vec::new();
    }
    let open = open_options(connector, stored);
    let option = |option: &Arc<AuthOption>| FormOption {
        key: option.key.clone(),
        title: option.title.clone().unwrap_or_else(|| option.key.clone()),
        is_enabled: !stored.options.get(&option.key).is_some_and(|config| config.disabled),
        is_open: open.iter().any(|it| it.key == option.key),
    };
    connector.options.iter().map(option).collect()
}

/// Checks that the caller may see an integration's parameters.
fn require_reader(caller: &Caller) -> Result<(), Error> {
    caller.require_admin()?;
    caller.require(Scope::IntegrationsRead)
}
