//! A connector with the parameters of one connection.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::connector::{AuthOption, AuthType, Connector, Function, FunctionName, RefreshRules, TokenHeaders};
use crate::response::ErrorRules;
use crate::secret::Secret;

/// A connector with the parameters of one connection: what its functions get as arguments.
pub struct Auth {
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
    /// Whose OAuth client is used instead, for the auth type proxy.
    pub via: Option<Via>,
    /// What requests carry, for the auth type membrane-token.
    pub token: Option<SignedToken>,
}

/// The operator's own OAuth client, which an auth proxy lends to connectors.
pub struct Via {
    /// How it connects.
    pub option: Arc<AuthOption>,
    /// Its parameters. No caller ever sees them.
    pub connector_parameters: Map<String, Value>,
}

/// A token that the workspace has signed, and the headers that it goes into.
pub struct SignedToken {
    /// A JWT.
    pub token: Secret,
    /// Both names, or the older one.
    pub headers: TokenHeaders,
}

impl Auth {
    /// The kind of authentication, that of the proxied client where there is one.
    pub fn kind(&self) -> &AuthType {
        self.via.as_ref().map_or(&self.option.kind, |via| &via.option.kind)
    }

    /// The redirect URI of the authorize request and, to the letter, of the token request.
    pub fn redirect_uri<'a>(&'a self, configured: Option<&'a String>) -> &'a str {
        configured.map_or(&self.callback_uri, String::as_str)
    }

    /// What is implemented of a function. An auth proxy has its own ways to get credentials; how they are used is the
    /// connector's affair.
    pub(super) fn function(&self, name: FunctionName) -> Option<&Function> {
        self.owner(name).function(name)
    }

    /// Whether the connector renews credentials itself (`refreshCredentials`).
    pub(super) fn renews_itself(&self) -> bool {
        self.function(FunctionName::RefreshCredentials).is_some()
    }

    /// How the answers to `refreshCredentials` are read.
    pub(super) fn refresh_rules(&self) -> &RefreshRules {
        &self.owner(FunctionName::RefreshCredentials).refresh_rules
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
        let parameters = match &self.via {
            Some(via) if Self::is_lent(name) => &via.connector_parameters,
            _ => &self.connector_parameters,
        };
        let mut arguments = Map::new();
        arguments.insert("connectorParameters".into(), Value::Object(parameters.clone()));
        arguments.insert("connectionParameters".into(), Value::Object(self.connection_parameters.clone()));
        arguments.insert("connectionInput".into(), Value::Object(self.connection_parameters.clone()));
        arguments.extend(own);
        arguments
    }

    fn owner(&self, name: FunctionName) -> &AuthOption {
        match &self.via {
            Some(via) if Self::is_lent(name) => &via.option,
            _ => &self.option,
        }
    }

    fn is_lent(name: FunctionName) -> bool {
        !matches!(name, FunctionName::MakeApiClient | FunctionName::Test)
    }
}

/// The arguments of functions that get nothing of their own but credentials.
pub(super) fn with_credentials(credentials: Value) -> Map<String, Value> {
    Map::from_iter([("credentials".to_owned(), credentials)])
}

/// Where a provider sends the browser: the integration's own address, or ours.
pub fn callback_uri(base_uri: &str, oauth_callback_uri: Option<&str>) -> String {
    oauth_callback_uri.map_or_else(|| format!("{base_uri}/oauth-callback"), ToOwned::to_owned)
}
