//! Everything a connection needs: an integration, its parameters, a connector, and one of its auth options.
//!
//! # Decisions
//!
//! Auth proxies are the operator's secrets. In Membrane's format a `proxyKey` names one of Membrane's own clients; here
//! it names a secret `proxies/KEY`, with a connector and its parameters. They are lent to `getOAuthConfig` and to every
//! function that obtains, refreshes or revokes credentials. `makeApiClient` and `test` are the connector's own and
//! never receive them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use larder::caller::{Caller, Claims, sign};
use larder::clock::Clock;
use larder::connection::{Connection, Contents, Given};
use larder::dynamodb::{Integration, IntegrationParameters, Integrations, OptionConfig};
use larder::error::Error;
use larder::record;
use larder::secret::Secret;
use larder::secret_store::{Proxies, Proxy, Workspaces};
use serde_json::{Map, Value, json};

use crate::connector::schema::{self, FieldError};
use crate::connector::search::{Rank, Search};
use crate::connector::{AuthOption, AuthType, Catalog, Connector};
use crate::pasted::trimmed;
use crate::provider::{ConnectorContext, SignedToken, callback_uri};

/// The integrations of all workspaces and the connectors of this deployment.
pub struct ConnectorSetup {
    /// The integrations.
    pub integrations: Integrations,
    /// The connectors.
    pub catalog: Catalog,
    /// The base URI of this Larder, without a trailing slash (`BASE_URI`).
    pub base_uri: String,
    /// The workspaces, whose secrets sign the tokens that membrane-token connectors send.
    pub workspaces: Arc<Workspaces>,
    /// The operator's own OAuth clients.
    pub proxies: Proxies,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// One connection's inputs: its end user, its auth option, and the values the end user entered.
pub struct ConnectInputs<'a> {
    /// The auth option's key; empty if the connector has only one.
    pub option_key: &'a str,
    /// The end user.
    pub tenant: Option<&'a str>,
    /// Overrides of the integration's parameters.
    pub connector_parameters: &'a Map<String, Value>,
    /// The values the end user entered.
    pub input: &'a Map<String, Value>,
    /// The identifiers that the provider returned, if the credentials have been replaced since.
    pub given: Option<&'a Given>,
}

impl ConnectorSetup {
    /// The lifetime of a signed token for a provider.
    const TOKEN_LIFETIME: Duration = Duration::from_hours(1);

    /// Loads an integration of a workspace.
    ///
    /// # Errors
    /// 404 if there is none; 503 when the table fails.
    pub async fn integration(&self, workspace: &str, key: &str) -> Result<Integration, Error> {
        self.integrations.get(workspace, key).await?.ok_or_else(|| unknown_integration(key))
    }

    /// Loads an integration for a caller.
    ///
    /// # Errors
    /// 404 if there is none, or it does not exist for the caller's token; 503 when the table fails.
    pub async fn integration_for(&self, caller: &Caller, key: &str) -> Result<Integration, Error> {
        if !caller.may_use(key) {
            return Err(unknown_integration(key));
        }
        self.integration(&caller.workspace, key).await
    }

    /// Returns a connector of this deployment.
    ///
    /// # Errors
    /// 400 (configuration); the message says whether the connector is missing or broken.
    pub fn connector(&self, key: &str) -> Result<Arc<Connector>, Error> {
        if let Some(connector) = self.catalog.get(key) {
            return Ok(connector);
        }
        Err(Error::configuration(match self.catalog.broken_folder(key) {
            Some(broken) => {
                let problems: Vec<_> = broken.problems.iter().map(ToString::to_string).collect();
                format!("the connector `{key}` is broken: {}", problems.join("; "))
            }
            None => {
                format!(
                    "there is no connector `{key}`{}; GET /connectors lists the available ones",
                    self.suggestion(key)
                )
            }
        }))
    }

    /// Returns the connector that was meant by an unknown key, to be put behind it; empty if no name is similar.
    pub fn suggestion(&self, key: &str) -> String {
        let (search, entries) = (Search::new(key), self.catalog.entries());
        let of_that_name = entries.iter().find(|entry| search.rank(entry) == Some(Rank::Name));
        let meant = of_that_name.or_else(|| search.nearest(&entries).first().copied());
        meant.map(|entry| format!(" (did you mean `{}`?)", entry.key)).unwrap_or_default()
    }

    /// Returns an integration's connector, and the auth options that end users may choose from with these overrides of the
    /// integration's parameters.
    ///
    /// # Errors
    /// As [`Self::connector`]; 503 when the secret store fails.
    pub async fn options(
        &self,
        integration: &Integration,
        overrides: &Map<String, Value>,
    ) -> Result<(Arc<Connector>, Vec<Arc<AuthOption>>), Error> {
        let connector = self.connector(&integration.connector_key)?;
        let mut stored = self.integrations.parameters(integration).await?;
        stored.parameters.extend(overrides.clone());
        let options = open_options(&connector, &stored);
        Ok((connector, options))
    }

    /// Returns the key of the auth option that a connection of an integration was made with, as its connector has it today.
    pub fn option_key(&self, integration: &Integration, stored: &str) -> String {
        let connector = self.catalog.get(&integration.connector_key);
        let option = connector.as_ref().and_then(|connector| connector.option(stored));
        option.map_or(stored, |option| &option.key).to_owned()
    }

    /// The context in which a connector's functions run for a new connection. Everything is validated against the
    /// connector's schemas before the provider is called; missing inputs get the defaults of the input schema.
    ///
    /// # Errors
    /// 400 with a message for each field, or when the connector or the auth option is missing, broken, or disabled;
    /// 503 when the secret store fails.
    pub async fn auth_for(
        &self,
        integration: &Integration,
        choice: &ConnectInputs<'_>,
    ) -> Result<Arc<ConnectorContext>, Error> {
        let connector = self.connector(&integration.connector_key)?;
        let stored = self.integrations.parameters(integration).await?;
        check_open(&connector, choice.connector_parameters)?;
        let option = choose(&connector, choice, &stored)?;
        let input = schema::with_defaults(option.input_schema.as_ref(), option.tidied(choice.input.clone()));
        let choice = ConnectInputs { input: &input, ..*choice };
        let auth = self.assemble(integration, connector, option, stored, &choice).await?;
        check(&auth)?;
        Ok(auth)
    }

    /// The context in which a connector's functions run for a stored connection.
    ///
    /// # Errors
    /// As [`Self::integration`] and [`Self::connector`]; 400 when the connection's auth option no longer exists.
    pub async fn auth_of(&self, connection: &Connection, contents: &Contents) -> Result<Arc<ConnectorContext>, Error> {
        let Some(reference) = &connection.integration else {
            return Err(Error::bad_request(
                "these credentials were stored manually and don't belong to an integration",
            ));
        };
        let integration = self.integration(&connection.key.workspace, &reference.key).await?;
        let connector = self.connector(&integration.connector_key)?;
        let stored = self.integrations.parameters(&integration).await?;
        let Some(option) = connector.option(&reference.option_key) else {
            let message = format!(
                "the connector `{}` no longer has the auth option `{}`; the end user must reconnect",
                connector.key, reference.option_key
            );
            return Err(Error::configuration(message));
        };
        let choice = ConnectInputs {
            option_key: &reference.option_key,
            tenant: connection.tenant.as_deref(),
            connector_parameters: &contents.connector_parameters,
            input: &contents.input,
            given: contents.given.as_ref(),
        };
        self.assemble(&integration, Arc::clone(&connector), Arc::clone(option), stored, &choice).await
    }

    async fn assemble(
        &self,
        integration: &Integration,
        connector: Arc<Connector>,
        option: Arc<AuthOption>,
        stored: IntegrationParameters,
        choice: &ConnectInputs<'_>,
    ) -> Result<Arc<ConnectorContext>, Error> {
        record::note(|record| record.connector = Some(connector.key.clone()));
        let connector_parameters = parameters_of(&connector, &option.key, stored, choice.connector_parameters);
        let callback_uri = callback_uri(&self.base_uri, integration.oauth_callback_uri.as_deref());
        let lender = match &option.kind {
            AuthType::Proxy(key) => Some(Arc::new(self.lender(key, choice, &callback_uri).await?)),
            _ => None,
        };
        let token = match &option.kind {
            AuthType::MembraneToken(headers) => {
                let token = self.sign(&integration.workspace, choice.tenant).await?;
                Some(SignedToken { token, headers: *headers })
            }
            _ => None,
        };
        Ok(Arc::new(ConnectorContext {
            connector,
            option,
            connector_parameters,
            connection_parameters: choice.input.clone(),
            callback_uri,
            lender,
            given: choice.given.cloned(),
            token,
        }))
    }

    /// Returns the context of the OAuth client that an auth proxy lends.
    async fn lender(
        &self,
        key: &str,
        choice: &ConnectInputs<'_>,
        callback_uri: &str,
    ) -> Result<ConnectorContext, Error> {
        let missing = || {
            Error::configuration(format!(
                "there is no auth proxy `{key}`; the operator can add it as the secret `proxies/{key}`"
            ))
        };
        let Proxy { connector_key, option_key, parameters } = self.proxies.get(key).await?.ok_or_else(missing)?;
        let connector = self.connector(&connector_key)?;
        let option =
            connector.option(&option_key).filter(|option| matches!(option.kind, AuthType::OAuth2 | AuthType::OAuth1));
        let option = option.ok_or_else(|| {
            Error::configuration(format!("the auth proxy `{key}` must name a connector of type oauth2 or oauth1"))
        })?;
        Ok(ConnectorContext {
            option: Arc::clone(option),
            connector_parameters: open_only(&connector, trimmed(parameters)),
            connection_parameters: schema::with_defaults(option.input_schema.as_ref(), choice.input.clone()),
            connector,
            callback_uri: callback_uri.to_owned(),
            lender: None,
            given: choice.given.cloned(),
            token: None,
        })
    }

    /// Signs a token that identifies the workspace and the end user to the provider.
    async fn sign(&self, workspace: &str, tenant: Option<&str>) -> Result<Secret, Error> {
        let secret = self.workspaces.secret(workspace).await?;
        let secret = secret.ok_or_else(|| Error::not_found(format!("there is no workspace `{workspace}`")))?;
        let claims = Claims {
            iss: Some(workspace.to_owned()),
            sub: tenant.map(str::to_owned),
            for_application: true,
            exp: Some((self.clock.now() + Self::TOKEN_LIFETIME).unix_timestamp()),
            ..Claims::default()
        };
        sign(&claims, secret.signing()).map(Secret::new)
    }
}

fn unknown_integration(key: &str) -> Error {
    Error::not_found(format!("there is no integration `{key}`; GET /integrations lists those that exist"))
}

/// Merges the integration's parameters, the option's, and the connection's own; later ones win.
fn parameters_of(
    connector: &Connector,
    option_key: &str,
    stored: IntegrationParameters,
    own: &Map<String, Value>,
) -> Map<String, Value> {
    let IntegrationParameters { mut parameters, mut options } = stored;
    let of_option = config_key(connector, option_key, &options).and_then(|key| options.remove(key));
    parameters.extend(of_option.unwrap_or_default().parameters);
    parameters.extend(own.clone());
    open_only(connector, trimmed(parameters))
}

/// Finds what an integration says about an option. Before a connector had options, the key was empty, and meant the first.
fn config_key<'a>(
    connector: &Connector,
    option_key: &'a str,
    options: &BTreeMap<String, OptionConfig>,
) -> Option<&'a str> {
    let is_first = connector.options.first().is_some_and(|first| first.key == option_key);
    [option_key, ""].into_iter().take(if is_first { 2 } else { 1 }).find(|key| options.contains_key(*key))
}

/// Drops the parameters that a preset has fixed. An integration may have been stored before the connector became a preset.
fn open_only(connector: &Connector, mut parameters: Map<String, Value>) -> Map<String, Value> {
    parameters.retain(|name, _| !connector.fixed.contains(name));
    parameters
}

/// Rejects parameters that a preset has fixed.
///
/// # Errors
/// 400 with the parameter's name.
pub fn check_open(connector: &Connector, parameters: &Map<String, Value>) -> Result<(), Error> {
    let Some(name) = parameters.keys().find(|name| connector.fixed.contains(*name)) else { return Ok(()) };
    let key = &connector.key;
    let generic = connector.extends().unwrap_or_default();
    let message = format!(
        "`{name}` is fixed by the connector `{key}` and cannot be set; remove it, or use the connector `{generic}`"
    );
    Err(Error::bad_request(message))
}

/// Returns the logo of an integration: its own, or else its connector's.
pub fn logo<'a>(integration: &'a Integration, connector: Option<&'a Connector>) -> Option<&'a str> {
    let own = integration.logo_uri.as_ref();
    own.or_else(|| connector.and_then(|connector| connector.logo_uri.as_ref())).map(String::as_str)
}

/// The auth options that end users may choose from.
pub fn open_options(connector: &Connector, stored: &IntegrationParameters) -> Vec<Arc<AuthOption>> {
    let own = Map::new();
    let config = |option: &AuthOption| stored.options.get(config_key(connector, &option.key, &stored.options)?);
    let is_open = |option: &&Arc<AuthOption>| {
        !config(option).is_some_and(|config| config.disabled)
            && option.is_enabled(&parameters_of(connector, &option.key, stored.clone(), &own))
    };
    let mut open: Vec<_> = connector.options.iter().filter(is_open).cloned().collect();
    // An integration that was set up for one way keeps it as the only one when its connector gets alternatives.
    if open.iter().any(|option| !option.is_alternative) {
        open.retain(|option| !option.is_alternative || config(option).is_some());
    }
    open
}

fn choose(
    connector: &Connector,
    choice: &ConnectInputs<'_>,
    stored: &IntegrationParameters,
) -> Result<Arc<AuthOption>, Error> {
    let mut overridden = stored.clone();
    overridden.parameters.extend(choice.connector_parameters.clone());
    let open = open_options(connector, &overridden);
    if let Some(option) = open.iter().find(|option| option.key == choice.option_key) {
        return Ok(Arc::clone(option));
    }
    match open.as_slice() {
        [only] if choice.option_key.is_empty() => Ok(Arc::clone(only)),
        [] => Err(Error::configuration(format!(
            "the connector `{}` has no enabled auth option; check the integration's parameters",
            connector.key
        ))),
        _ => {
            let keys: Vec<&str> = open.iter().map(|option| option.key.as_str()).collect();
            let wanted = choice.option_key;
            let message = match (wanted, keys.as_slice()) {
                (_, [""]) => {
                    format!(
                        "there is no auth option `{wanted}`; this connector has only one way to connect, so omit \
                             `authOptionKey`"
                    )
                }
                ("", _) => format!("`authOptionKey` is missing; send one of {}", keys.join(", ")),
                _ => format!("there is no auth option `{wanted}`; `authOptionKey` must be one of {}", keys.join(", ")),
            };
            let keys: Vec<&str> = keys.into_iter().filter(|key| !key.is_empty()).collect();
            Err(Error::bad_request(message).with_data(json!({ "authOptionKeys": keys })))
        }
    }
}

/// Validates the parameters and the input against their schemas.
fn check(auth: &ConnectorContext) -> Result<(), Error> {
    let option = &auth.option;
    check_fields(option.parameters_schema.as_ref(), &auth.connector_parameters, |errors| {
        let message = format!("the integration's parameters are invalid: {}", schema::summary(errors));
        Error::configuration(message)
    })?;
    let of_input =
        |errors: &[FieldError]| Error::bad_request(format!("the input is invalid: {}", schema::summary(errors)));
    report(option.check_input(&auth.connection_parameters), of_input)?;
    match &auth.lender {
        // The lender's patterns keep user input from choosing the hosts that receive its secret.
        Some(lender) => check_fields(lender.option.input_schema.as_ref(), &lender.connection_parameters, of_input),
        None => Ok(()),
    }
}

/// Validates an object against its schema.
///
/// # Errors
/// The error that `error` builds from the invalid fields, with each field in its `data`; 400 (configuration) when the
/// schema itself is malformed.
pub fn check_fields(
    schema: Option<&Value>,
    object: &Map<String, Value>,
    error: impl FnOnce(&[FieldError]) -> Error,
) -> Result<(), Error> {
    report(schema::validate(schema, object), error)
}

fn report(
    checked: Result<Vec<FieldError>, schema::Unusable>,
    error: impl FnOnce(&[FieldError]) -> Error,
) -> Result<(), Error> {
    match checked {
        Ok(errors) if errors.is_empty() => Ok(()),
        Ok(errors) => Err(error(&errors).with_data(json!({ "fields": errors }))),
        Err(unusable) => Err(Error::configuration(unusable.to_string())),
    }
}
