//! Integrations, as callers see and change them. A tenant sees what it needs to connect; only admins see the settings. No view has
//! the parameters; [`integration_form`](super::integration_form) shows those that are not secret.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use larder::caller::Caller;
use larder::clock::rfc3339;
use larder::connection::{Connection, Details};
use larder::dynamodb::{Connections, Integration, IntegrationParameters, OptionConfig, ParameterChanges, Selection};
use larder::error::Error;
use larder::http::{Parameters, present};
use larder::scope::Scope;
use larder::secret_store::is_key;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::filters::{key_after, key_cursor, one_of, page_size};
use super::integration_form::submitted_changes;
use super::options::view_option;
use super::{Management, without_nulls};
use crate::connector::{Connector, schema};
use crate::connector_setup::{check_fields, check_open, logo, open_options};
use crate::pages::Origin;
use crate::provider::callback_uri;

/// The parameters of `GET /integrations`.
#[derive(Debug)]
pub struct IntegrationFilters {
    limit: usize,
    after: Option<String>,
    search: Option<String>,
}

impl IntegrationFilters {
    /// The name of the list in a cursor.
    const LIST: &str = "integration";

    /// Reads the query of a request. Unknown parameters are ignored, as the SDKs send some.
    ///
    /// # Errors
    /// 400 with the name of the parameter.
    pub fn read(parameters: &Parameters) -> Result<Self, Error> {
        let text = |name: &str| Ok::<_, Error>(parameters.optional(name)?.filter(|value| !value.is_empty()));
        let limit = page_size(parameters, Connections::MAX_PAGE)?;
        let after = key_after(parameters, Self::LIST)?;
        Ok(Self { limit, after, search: text("search")?.map(str::to_lowercase) })
    }

    fn cursor(key: &str) -> String {
        key_cursor(Self::LIST, key)
    }

    fn matches(&self, integration: &Integration) -> bool {
        let shown = [Some(&integration.key), integration.name.as_ref(), Some(&integration.connector_key)];
        let contains = |search: &str| shown.into_iter().flatten().any(|text| text.to_lowercase().contains(search));
        self.after.as_ref().is_none_or(|after| integration.key > *after) && self.search.as_deref().is_none_or(contains)
    }
}

/// The body of `POST`, `PUT` and `PATCH /integrations`, with the SDKs' members and our own.
#[derive(Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct IntegrationBody {
    key: Option<String>,
    connector_key: Option<String>,
    connector_id: Option<String>,
    parameters: Option<Map<String, Value>>,
    options_config: Option<BTreeMap<String, OptionConfig>>,
    #[serde(deserialize_with = "present")]
    name: Option<Option<String>>,
    #[serde(rename = "oAuthCallbackUri", deserialize_with = "present")]
    oauth_callback_uri: Option<Option<String>>,
    #[serde(deserialize_with = "present")]
    redirect_uris: Option<Option<Vec<String>>>,
    #[serde(deserialize_with = "present")]
    logo_uri: Option<Option<String>>,
    #[serde(deserialize_with = "present")]
    description: Option<Option<String>>,
    #[serde(deserialize_with = "present")]
    meta: Option<Option<Map<String, Value>>>,
    /// The fields of a form, instead of `parameters` and `optionsConfig`: secrets that were left empty stay.
    #[serde(skip)]
    submitted: Option<Arc<Parameters>>,
}

impl IntegrationBody {
    /// Creates a body from the fields of an integration's form, and its details by their names in JSON.
    ///
    /// # Errors
    /// 400 for details of another type.
    pub fn of_form(details: Map<String, Value>, submitted: &Parameters) -> Result<Self, Error> {
        let body: Self =
            serde_json::from_value(details.into()).map_err(|error| Error::bad_request(error.to_string()))?;
        Ok(Self { submitted: Some(Arc::new(submitted.clone())), ..body })
    }

    fn connector(&self) -> Result<Option<&String>, Error> {
        one_of(["connectorKey", "connectorId"], self.connector_key.as_ref(), self.connector_id.as_ref())
    }

    /// Returns the key of a new integration: the one given, or else one that is made from the name.
    fn new_key(&self) -> Result<String, Error> {
        if let Some(key) = &self.key {
            return Ok(key.clone());
        }
        let connector = self.connector()?.ok_or_else(no_connector)?;
        let named = self.name.iter().flatten().map(|name| slug(name)).find(|key| !key.is_empty());
        let key = named.unwrap_or_else(|| slug(connector));
        if key.is_empty() {
            return Err(no_connector());
        }
        Ok(key)
    }
}

impl Management {
    /// How many integrations' parameters are read at once.
    const READS: usize = 8;

    /// Lists a page of integrations, as `{items, cursor?}`, ordered by key.
    ///
    /// # Errors
    /// 503 when the table or the secret store fails.
    pub async fn list_integrations(&self, caller: &Caller, filters: &IntegrationFilters) -> Result<Value, Error> {
        let all = self.connector_setup.integrations.list(&caller.workspace).await?;
        let is_listed = |it: &Integration| caller.may_use(&it.key) && filters.matches(it);
        let mut page: Vec<_> = all.into_iter().filter(is_listed).collect();
        let has_more = page.len() > filters.limit;
        page.truncate(filters.limit);
        let connections = if page.is_empty() { HashMap::new() } else { self.own_connections(caller, None).await? };
        let views = page.iter().map(|it| self.view_integration(caller, it, connections.get(&it.key)));
        let views: Vec<_> = views.collect();
        let items: Vec<_> = stream::iter(views).buffered(Self::READS).try_collect().await?;
        let mut body = json!({ "items": items });
        if let Some(last) = page.last().filter(|_| has_more) {
            body["cursor"] = IntegrationFilters::cursor(&last.key).into();
        }
        Ok(body)
    }

    /// Shows an integration.
    ///
    /// # Errors
    /// 404 if there is none; 503 when the table or the secret store fails.
    pub async fn get_integration(&self, caller: &Caller, key: &str) -> Result<Value, Error> {
        let integration = self.connector_setup.integration_for(caller, key).await?;
        self.show(caller, &integration).await
    }

    /// Creates an integration.
    ///
    /// # Errors
    /// 400 for an invalid body; 403 if the token is limited to others; 409 if the workspace has an integration with this key.
    pub async fn create_integration(&self, caller: &Caller, body: IntegrationBody) -> Result<Value, Error> {
        let key = checked_key(&body.new_key()?)?.to_owned();
        caller.require_integration(&key)?;
        let blank = Integration::new(&caller.workspace, &key, self.clock.now());
        let (integration, changes) = self.revised(blank, body).await?;
        let taken = || {
            Error::already_exists(format!(
                "`key`: there is already an integration `{key}`; change that one, or choose another key"
            ))
        };
        let created = self.connector_setup.integrations.create(integration, changes).await?.ok_or_else(taken)?;
        self.show(caller, &created).await
    }

    /// Creates or replaces an integration. Its parameters and options stay as they are if the body has none. Returns whether it
    /// is new.
    ///
    /// # Errors
    /// 400 for an invalid body; 403 if the token is limited to others.
    pub async fn put_integration(
        &self,
        caller: &Caller,
        key: &str,
        body: IntegrationBody,
    ) -> Result<(bool, Value), Error> {
        caller.require_integration(checked_key(key)?)?;
        let stored = self.connector_setup.integrations.get(&caller.workspace, key).await?;
        let is_new = stored.is_none();
        let mut base = Integration::new(&caller.workspace, key, self.clock.now());
        if let Some(Integration { connector_key, parameters_version, created_at, .. }) = stored {
            base = Integration { connector_key, parameters_version, created_at, ..base };
        }
        let (integration, changes) = self.revised(base, body).await?;
        let integration = self.connector_setup.integrations.put(integration, changes).await?;
        Ok((is_new, self.show(caller, &integration).await?))
    }

    /// Changes the members of an integration that the body has.
    ///
    /// # Errors
    /// 400 for an invalid body; 403 if the token is limited to connections; 404 if there is no such integration.
    pub async fn patch_integration(&self, caller: &Caller, key: &str, body: IntegrationBody) -> Result<Value, Error> {
        // Each attempt fails only if another request has changed the integration.
        const ATTEMPTS: usize = 5;
        for _ in 0..ATTEMPTS {
            let seen = self.connector_setup.integration_for(caller, key).await?;
            caller.require_integration(key)?;
            let (integration, changes) = self.revised(seen.clone(), body.clone()).await?;
            if let Some(integration) = self.connector_setup.integrations.change(&seen, integration, changes).await? {
                return self.show(caller, &integration).await;
            }
        }
        Err(Error::conflict(format!("other requests are changing the integration `{key}`; try again")))
    }

    /// Deletes an integration unless connections use it: without it, they could not be refreshed.
    ///
    /// # Errors
    /// 403 if the token is limited to connections; 409 if connections use it.
    pub async fn delete_integration(&self, caller: &Caller, key: &str) -> Result<(), Error> {
        if !caller.may_use(key) {
            return Ok(());
        }
        caller.require_integration(key)?;
        let mut count = self.connections.count(&caller.workspace, key).await?;
        if count == 0 {
            let uses = self.connections.count(&caller.workspace, key);
            count = self.connector_setup.integrations.remove(&caller.workspace, key, uses).await?;
        }
        if count > 0 {
            let use_it = if count == 1 { "1 connection uses".into() } else { format!("{count} connections use") };
            let message = format!("{use_it} the integration `{key}`; delete the connections first");
            return Err(Error::conflict(message).with_data(json!({ "connections": count })));
        }
        Ok(())
    }

    /// Returns an integration with the changes of a body, and the changes of its parameters.
    async fn revised(
        &self,
        stored: Integration,
        body: IntegrationBody,
    ) -> Result<(Integration, ParameterChanges), Error> {
        if body.key.as_ref().is_some_and(|key| *key != stored.key) {
            return Err(Error::bad_request("`key` must be the key in the path; an integration's key cannot change"));
        }
        let connector_key = body.connector()?.unwrap_or(&stored.connector_key).clone();
        if connector_key.is_empty() {
            return Err(no_connector());
        }
        let connector = self.connector_setup.connector(&connector_key)?;
        let changes = match &body.submitted {
            Some(submitted) => {
                let parameters = self.connector_setup.integrations.parameters(&stored).await?;
                submitted_changes(&connector, parameters, submitted)
            }
            None => ParameterChanges {
                parameters: body.parameters.map(|it| connector.tidied(it)),
                options: body.options_config,
            },
        };
        check_changes(&connector, &changes)?;
        if connector_key != stored.connector_key {
            self.check_stored(&connector, &stored, &changes).await?;
        }
        let text =
            |value: Option<Option<String>>, before| value.map_or(before, |text| text.filter(|text| !text.is_empty()));
        let integration = Integration {
            connector_key,
            name: text(body.name, stored.name),
            oauth_callback_uri: text(body.oauth_callback_uri, stored.oauth_callback_uri),
            redirect_uris: body.redirect_uris.map_or(stored.redirect_uris, Option::unwrap_or_default),
            logo_uri: text(body.logo_uri, stored.logo_uri),
            description: text(body.description, stored.description),
            meta: body.meta.unwrap_or(stored.meta),
            updated_at: self.clock.now(),
            ..stored
        };
        check_details(&integration)?;
        Ok((integration, changes))
    }

    /// Checks that the parameters and options that an integration keeps fit its new connector.
    async fn check_stored(
        &self,
        connector: &Connector,
        stored: &Integration,
        changes: &ParameterChanges,
    ) -> Result<(), Error> {
        if stored.parameters_version.is_empty() {
            return Ok(());
        }
        let IntegrationParameters { parameters, options } =
            self.connector_setup.integrations.parameters(stored).await?;
        let kept = ParameterChanges {
            parameters: changes.parameters.is_none().then_some(parameters),
            options: changes.options.is_none().then_some(options),
        };
        check_changes(connector, &kept).map_err(|error| {
            let message = format!(
                "what the integration keeps does not fit the connector `{}`, so send `parameters` and `optionsConfig` with \
                 `connectorKey`: {}",
                connector.key, error.message
            );
            Error { message, ..error }
        })
    }

    pub(super) async fn show(&self, caller: &Caller, integration: &Integration) -> Result<Value, Error> {
        let connections = self.own_connections(caller, Some(&integration.key)).await?;
        self.view_integration(caller, integration, connections.get(&integration.key)).await
    }

    /// Returns a tenant's first connection of each integration, or of one. None if the token may not read connections.
    async fn own_connections(
        &self,
        caller: &Caller,
        integration: Option<&str>,
    ) -> Result<HashMap<String, Connection>, Error> {
        let tenant = caller.tenant.as_ref().filter(|_| caller.scopes.include(Scope::ConnectionsRead));
        let Some(tenant) = tenant else { return Ok(HashMap::new()) };
        let selection = Selection { tenant: Some(tenant), integration, ..caller.selection() };
        let limit = if integration.is_some() { 1 } else { Connections::MAX_PAGE };
        let (mut first, mut cursor) = (HashMap::new(), None);
        loop {
            let page = self.connections.list(&caller.workspace, selection, limit, cursor.as_deref()).await?;
            for connection in page.items {
                if let Some(reference) = &connection.integration {
                    first.entry(reference.key.clone()).or_insert(connection);
                }
            }
            let is_found = integration.is_some_and(|key| first.contains_key(key));
            match page.cursor {
                Some(next) if !is_found => cursor = Some(next),
                _ => return Ok(first),
            }
        }
    }

    /// Returns an integration as a caller sees it. Parameters are write-only: they are read only to find the open options.
    async fn view_integration(
        &self,
        caller: &Caller,
        integration: &Integration,
        connection: Option<&Connection>,
    ) -> Result<Value, Error> {
        let setup = &self.connector_setup;
        let connector = setup.catalog.get(&integration.connector_key);
        let options = match &connector {
            Some(connector) => open_options(connector, &setup.integrations.parameters(integration).await?),
            None => Vec::new(),
        };
        let first = options.first().or_else(|| connector.as_ref().and_then(|connector| connector.options.first()));
        // The SDKs' schema requires their keys. A connector that has only one way to connect has none.
        let named = options.iter().filter(|option| !option.key.is_empty()).map(|option| view_option(option));
        let mut view = json!({
            "id": integration.key,
            "key": integration.key,
            // The SDKs require a name and a logo.
            "name": integration.name.as_ref().unwrap_or(&integration.key),
            "logoUri": logo(integration, connector.as_deref()).unwrap_or_default(),
            "connectorId": integration.connector_key,
            "connectorKey": integration.connector_key,
            "authType": first.map(|option| option.kind.spec_name()),
            "authOptions": named.collect::<Vec<_>>(),
            // The only fault that can be seen without connecting.
            "state": if connector.is_some() { "READY" } else { "CONFIGURATION_ERROR" },
            "connection": connection.map(Connection::view),
            "createdAt": rfc3339(integration.created_at),
            "updatedAt": rfc3339(integration.updated_at),
        });
        if caller.admin {
            let own = integration.oauth_callback_uri.as_deref();
            view["description"] = json!(integration.description);
            view["meta"] = json!(integration.meta);
            view["oAuthCallbackUri"] = json!(own);
            view["effectiveOAuthCallbackUri"] = callback_uri(&setup.base_uri, own).into();
            view["redirectUris"] = json!(integration.redirect_uris);
            view["hasParameters"] = (!integration.parameters_version.is_empty()).into();
        }
        Ok(without_nulls(view))
    }
}

fn no_connector() -> Error {
    Error::bad_request("`connectorKey` is missing; GET /connectors lists the available ones")
}

/// Returns the letters and digits of a text as a key: `our-crm` for "Our CRM".
fn slug(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let key = words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-");
    key.chars().take(100).collect()
}

fn checked_key(key: &str) -> Result<&str, Error> {
    let wrong =
        || Error::bad_request("an integration's key must be 1 to 100 characters of [A-Za-z0-9_.-], not only dots");
    Some(key).filter(|key| is_key(key)).ok_or_else(wrong)
}

fn check_changes(connector: &Connector, changes: &ParameterChanges) -> Result<(), Error> {
    let of_options = changes.options.iter().flat_map(BTreeMap::values).map(|config| &config.parameters);
    changes.parameters.iter().chain(of_options).try_for_each(|parameters| check_open(connector, parameters))?;
    if let Some(parameters) = &changes.parameters {
        check_fields(connector.parameters_schema.as_ref(), parameters, |errors| {
            Error::bad_request(format!("`parameters` is invalid: {}", schema::summary(errors)))
        })?;
    }
    let keys = changes.options.iter().flat_map(BTreeMap::keys);
    if let Some(unknown) = keys.into_iter().find(|key| connector.option(key).is_none()) {
        let keys: Vec<&str> = connector.options.iter().map(|option| option.key.as_str()).collect();
        let has = if keys == [""] { "no options".to_owned() } else { keys.join(", ") };
        let message = format!("unknown option `{unknown}` in `optionsConfig`; the connector has {has}");
        return Err(Error::bad_request(message));
    }
    Ok(())
}

fn check_details(integration: &Integration) -> Result<(), Error> {
    for uri in &integration.redirect_uris {
        check_uri("redirectUris", uri)?;
    }
    for (name, uri) in [("oAuthCallbackUri", &integration.oauth_callback_uri), ("logoUri", &integration.logo_uri)] {
        if let Some(uri) = uri {
            check_uri(name, uri)?;
        }
    }
    let size = integration.meta.as_ref().map_or(0, |meta| json!(meta).to_string().len());
    if size > Details::MAX_META_BYTES {
        let most = Details::MAX_META_BYTES / 1024;
        return Err(Error::bad_request(format!("`meta` is {size} bytes of JSON; the limit is {most} KiB")));
    }
    Ok(())
}

fn check_uri(name: &str, uri: &str) -> Result<(), Error> {
    let checked = Origin::of_redirect_uri(uri).map(drop);
    checked.map_err(|error| Error::bad_request(format!("`{name}`: {uri:?} {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_missing_key_is_made_from_the_name() {
        let key = |body: Value| serde_json::from_value::<IntegrationBody>(body).expect("is valid").new_key();
        for (body, expected) in [
            (json!({"key": "crm", "name": "Our CRM"}), "crm"),
            (json!({"name": "Our CRM (2)", "connectorKey": "hubspot"}), "our-crm-2"),
            (json!({"name": "客户", "connectorKey": "hubspot"}), "hubspot"),
            (json!({"connectorKey": "hubspot"}), "hubspot"),
            (json!({"connectorId": "google-drive", "name": null}), "google-drive"),
            (json!({"name": "x".repeat(200), "connectorKey": "hubspot"}), &"x".repeat(100)),
        ] {
            assert_eq!(key(body).expect("a key"), expected);
        }
        for body in [json!({"name": "Our CRM"}), json!({})] {
            assert!(key(body).expect_err("none").message.contains("`connectorKey` is missing"));
        }
    }

    #[test]
    fn a_cursor_leads_behind_an_integration() {
        let read = |query: String| IntegrationFilters::read(&Parameters::parse(query.as_bytes()));
        let cursor = IntegrationFilters::cursor("crm");
        assert_eq!(read(format!("cursor={cursor}")).expect("is valid").after.as_deref(), Some("crm"));
        for first in ["", "cursor=", "cursor=0", "limit=1000&includeArchived=true"] {
            assert_eq!(read(first.to_owned()).expect("is valid").after, None, "{first}");
        }
        for wrong in ["cursor=zzz", "cursor=I2Nybg", "limit=0", "limit=1001", "limit=x", "search=a&search=b"] {
            assert!(read(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
