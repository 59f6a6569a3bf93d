//! A connector with the parameters of one connection.
//!
//! **A secret serves nobody against somebody else.** A workspace's secret acts for all of its end users, the operator's client
//! for all workspaces. So neither is led by a person whom it does not belong to:
//!
//! - A function that uses a secret of the integration sees the identifiers that the application gave, not those that
//!   `PUT /credentials` put in their place ([`Given`]). That keeps `disconnect` and `refreshCredentials` at work after a `PUT`,
//!   whose tokens they do see: not running them would leave tokens unrevoked, and connections unrenewed.
//! - A function that an auth proxy lends runs with the parameters *and* the API client of the lender. A relative path under the
//!   borrower's `baseUri` would lead the lender's secret to a host that the borrower chose.

use std::sync::Arc;

use larder::connection::Given;
use larder::secret::Secret;
use serde_json::{Map, Value};

use crate::connector::{AuthOption, AuthType, Connector, Function, FunctionName, RefreshRules, TokenHeaders};
use crate::response::ErrorRules;

/// A connector with the parameters of one connection: what its functions get as arguments.
pub struct ConnectorContext {
    /// The connector.
    pub connector: Arc<Connector>,
    /// The way to connect.
    pub option: Arc<AuthOption>,
    /// The integration's parameters, overridden by the connection's own.
    pub connector_parameters: Map<String, Value>,
    /// What the end user entered.
    pub connection_parameters: Map<String, Value>,
    /// Where the provider sends the browser back to.
    pub callback_uri: String,
    /// The operator's own OAuth client, which an auth proxy lends to this connector: its connector with its parameters, which
    /// no caller ever sees, and what the end user entered here.
    pub lender: Option<Arc<ConnectorContext>>,
    /// The identifiers that the application gave, if `PUT /credentials` has replaced the credentials since.
    pub given: Option<Given>,
    /// What requests carry, for the auth type membrane-token.
    pub token: Option<SignedToken>,
}

/// A token that the workspace has signed, and the headers that it goes into.
pub struct SignedToken {
    /// A JWT.
    pub token: Secret,
    /// Both names, or the older one.
    pub headers: TokenHeaders,
}

impl ConnectorContext {
    /// The kind of authentication, that of the proxied client where there is one.
    pub fn kind(&self) -> &AuthType {
        &self.lender.as_deref().unwrap_or(self).option.kind
    }

    /// The redirect URI of the authorize request and, to the letter, of the token request.
    pub fn redirect_uri<'a>(&'a self, configured: Option<&'a String>) -> &'a str {
        configured.map_or(&self.callback_uri, String::as_str)
    }

    /// What is implemented of a function. An auth proxy has its own ways to get credentials; how they are used is the
    /// connector's affair.
    pub(super) fn function(&self, name: FunctionName) -> Option<&Function> {
        self.owner(name).option.function(name)
    }

    /// Whether the connector renews credentials itself (`refreshCredentials`).
    pub(super) fn renews_itself(&self) -> bool {
        self.function(FunctionName::RefreshCredentials).is_some()
    }

    /// How the answers to `refreshCredentials` are read.
    pub(super) fn refresh_rules(&self) -> &RefreshRules {
        &self.owner(FunctionName::RefreshCredentials).option.refresh_rules
    }

    /// The rules of error codes by which the answers to a function are read, if they are held to any.
    pub(super) fn error_rules(&self, name: FunctionName) -> Option<ErrorRules<'_>> {
        match name {
            FunctionName::RefreshCredentials => Some(self.refresh_rules().errors()),
            name => name.gives_credentials().then(ErrorRules::default),
        }
    }

    /// The arguments of a function: those that every function gets, and `own`.
    pub(super) fn arguments(&self, name: FunctionName, own: Map<String, Value>) -> Map<String, Value> {
        let Self { connector_parameters, connection_parameters, .. } = self.owner(name);
        let mut arguments = Map::new();
        arguments.insert("connectorParameters".into(), Value::Object(connector_parameters.clone()));
        arguments.insert("connectionParameters".into(), Value::Object(connection_parameters.clone()));
        arguments.insert("connectionInput".into(), Value::Object(connection_parameters.clone()));
        arguments.extend(own);
        if let Some(credentials) = arguments.get_mut("credentials") {
            *credentials = self.shown_to(name, credentials.take());
        }
        arguments
    }

    /// Stored credentials as a function may see them, and the API client of its requests.
    pub(super) fn shown_to(&self, name: FunctionName, credentials: Value) -> Value {
        match &self.given {
            Some(given) if self.owner(name).option.uses_secrets(name) => {
                given.over(&credentials, |member| self.owner(name).option.is_secret_credential(member))
            }
            _ => credentials,
        }
    }

    /// Whose function it is, and whose API client its requests go through: that of an auth proxy, or the connector itself.
    pub(super) fn owner_of(self: &Arc<Self>, name: FunctionName) -> Arc<Self> {
        match &self.lender {
            Some(lender) if is_lent(name) => Arc::clone(lender),
            _ => Arc::clone(self),
        }
    }

    fn owner(&self, name: FunctionName) -> &Self {
        self.lender.as_deref().filter(|_| is_lent(name)).unwrap_or(self)
    }
}

/// Whether an auth proxy lends its own function. How credentials are used is the borrower's affair.
fn is_lent(name: FunctionName) -> bool {
    !matches!(name, FunctionName::MakeApiClient | FunctionName::Test)
}

/// The arguments of functions that get nothing of their own but credentials.
pub(super) fn with_credentials(credentials: Value) -> Map<String, Value> {
    Map::from_iter([("credentials".to_owned(), credentials)])
}

/// Where a provider sends the browser: the integration's own address, or ours.
pub fn callback_uri(base_uri: &str, oauth_callback_uri: Option<&str>) -> String {
    oauth_callback_uri.map_or_else(|| format!("{base_uri}/oauth-callback"), ToOwned::to_owned)
}
