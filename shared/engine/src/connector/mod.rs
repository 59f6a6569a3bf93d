//! Connectors: everything Larder knows about a provider, as data.
//!
//! A connector is a folder in the format of Membrane's connectors:
//!
//! ```text
//! hubspot/
//!   spec.yml                      name, logo, parameters, and the list of functions
//!   auth/
//!     get-oauth-config.map.yml    a mapping: YAML with formulas, see `mapping`
//!     make-api-client.map.yml
//!     test.rest.yml               a REST mapping: one HTTP request, see `rest`
//! ```
//!
//! ```text
//! folder ----folder----------> Connector --catalog--> by key
//! preset --preset-> spec --^
//! ```
//!
//! A [`preset`] is one file that fixes the parameters of a generic connector.
//!
//! Nothing here makes network calls or reads the clock; only [`folder`], [`index`] and [`catalog`] read files, when a connector is first
//! needed. Features that the format allows but Larder cannot run are reported as a [`FolderProblem`] when the folder is
//! loaded, and affect only that connector.

mod about;
mod address;
pub mod api_client;
pub mod api_request;
pub mod api_response;
pub mod catalog;
pub mod database_login;
pub mod folder;
mod functions;
pub mod index;
pub mod mapping;
pub(crate) mod pointer;
pub mod preset;
mod refresh_rules;
pub mod rest;
pub mod schema;
pub mod script;
pub mod search;
pub(crate) mod secrecy;
pub(crate) mod spelling;
pub(crate) mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use about::About;
pub use api_client::{ApiClient, BasicAuth};
pub use api_request::{ApiBody, ApiRequest, RestError};
pub use api_response::{ApiResponse, ErrorKey, NOT_ACCEPTED, Reading, Refused, ResponseError};
pub use catalog::{BrokenConnector, Catalog, Folder};
pub use database_login::{DatabaseLogin, Login};
pub use folder::{Files, FolderProblem};
pub use mapping::{MalformedValue, Mapping};
pub use refresh_rules::RefreshRules;
pub use rest::{RestMapping, test_passed};
pub use script::Script;
use serde_json::{Map, Value};

/// A provider that tenants can connect to.
#[derive(Clone, Debug, PartialEq)]
pub struct Connector {
    /// The unique key: at most 100 letters, digits, `_`, `.`, and `-`.
    pub key: String,
    /// The display name; the key if the folder has none.
    pub name: String,
    /// The provider's logo.
    pub logo_uri: Option<String>,
    /// The schema of the integration's parameters, such as `clientId`.
    pub parameters_schema: Option<Value>,
    /// The auth options, in file order; never empty. A connector without `options` has one, with an empty key.
    pub options: Vec<Arc<AuthOption>>,
    /// Its description for the catalog.
    pub about: About,
    /// The parameters of the generic connectors it extends which integrations cannot set.
    pub fixed: BTreeSet<String>,
}

impl Connector {
    /// The auth option with this key. `""` is the connector itself, or the first of its options: the connections that were
    /// made before it had options are of that one.
    pub fn option(&self, key: &str) -> Option<&Arc<AuthOption>> {
        let first = || self.options.first().filter(|_| key.is_empty());
        self.options.iter().find(|option| option.key == key).or_else(first)
    }

    /// The generic connector that its first way to connect extends, if it is a preset.
    pub fn extends(&self) -> Option<&str> {
        self.options.first()?.extends.as_deref()
    }
}

/// One way to connect to a provider: the settings of `auth`, overridden by the option's own.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthOption {
    /// The key in `auth.options`; empty for the connector itself.
    pub key: String,
    /// The kind of authentication.
    pub kind: AuthType,
    /// The title shown to end users.
    pub title: Option<String>,
    /// The description shown to end users.
    pub description: Option<String>,
    /// The help page for end users.
    pub help_uri: Option<String>,
    /// A mapping over `connectorParameters`; if its value is falsy, the option is disabled.
    pub enabled: Option<Mapping>,
    /// Whether it is open only if an integration names it, or if no other option is open.
    pub is_alternative: bool,
    /// The generic connector that it extends, if it is one of a preset.
    pub extends: Option<String>,
    /// The schema of the end user's input: `inputSchema`, else `ui.schema`, else the connector's own.
    pub input_schema: Option<Value>,
    /// The schema of the parameters that this option needs, including the connector's own.
    pub parameters_schema: Option<Value>,
    /// The schema of the credentials: `customCredentialsSchema`, else `credentialsSchema`.
    pub credentials_schema: Option<Value>,
    /// The implemented functions.
    pub functions: BTreeMap<FunctionName, Function>,
    /// The rules for reading responses to `refreshCredentials`.
    pub refresh_rules: RefreshRules,
}

impl AuthOption {
    /// The connector's implementation of a function, if it has one.
    pub fn function(&self, name: FunctionName) -> Option<&Function> {
        self.functions.get(&name)
    }

    /// Whether the option is enabled with these parameters.
    pub fn is_enabled(&self, connector_parameters: &Map<String, Value>) -> bool {
        let Some(enabled) = &self.enabled else { return true };
        let variables = serde_json::json!({ "connectorParameters": connector_parameters });
        mapping::js::truthy(enabled.evaluate(&variables).as_ref())
    }
}

/// The kinds of authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthType {
    /// OAuth 2.0 with the authorization code grant (RFC 6749 §4.1).
    OAuth2,
    /// OAuth 1.0a (RFC 5849).
    OAuth1,
    /// Credentials that the end user enters: an API key or a login.
    ClientCredentials,
    /// An OAuth client that belongs to Larder's operator, by its key.
    Proxy(String),
    /// No credentials: requests carry a token signed by the workspace.
    MembraneToken(TokenHeaders),
}

/// The headers that carry a workspace-signed token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenHeaders {
    /// `X-Membrane-Token` and `X-Integration-App-Token`.
    Both,
    /// `X-Integration-App-Token` alone: the type `integration-app-token`.
    Legacy,
}

impl AuthType {
    /// All names in `spec.yml`.
    pub const NAMES: [&'static str; 6] =
        ["oauth2", "oauth1", "client-credentials", "proxy", "membrane-token", "integration-app-token"];

    /// The name in `spec.yml`.
    pub fn spec_name(&self) -> &'static str {
        match self {
            Self::OAuth2 => "oauth2",
            Self::OAuth1 => "oauth1",
            Self::ClientCredentials => "client-credentials",
            Self::Proxy(_) => "proxy",
            Self::MembraneToken(TokenHeaders::Both) => "membrane-token",
            Self::MembraneToken(TokenHeaders::Legacy) => "integration-app-token",
        }
    }

    /// Whether connecting takes one step, without a redirect to the provider.
    pub fn is_immediate(&self) -> bool {
        matches!(self, Self::ClientCredentials | Self::MembraneToken(_))
    }
}

/// The functions that a connector may implement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FunctionName {
    /// Returns the client, the endpoints and the scopes.
    GetOAuthConfig,
    /// Exchanges the authorization code.
    GetTokenData,
    /// Turns the response to the code into credentials.
    GetCredentialsFromAccessTokenResponse,
    /// Turns the response to the refresh token into credentials.
    GetCredentialsFromRefreshTokenResponse,
    /// Turns the end user's input into credentials.
    GetCredentialsFromConnectionParameters,
    /// Refreshes the credentials.
    RefreshCredentials,
    /// Returns an [`ApiClient`].
    MakeApiClient,
    /// Checks whether a connection works.
    Test,
    /// Tells whose account was connected.
    GetAccount,
    /// Revokes the credentials.
    Disconnect,
}

impl FunctionName {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::GetOAuthConfig,
        Self::GetTokenData,
        Self::GetCredentialsFromAccessTokenResponse,
        Self::GetCredentialsFromRefreshTokenResponse,
        Self::GetCredentialsFromConnectionParameters,
        Self::RefreshCredentials,
        Self::MakeApiClient,
        Self::Test,
        Self::GetAccount,
        Self::Disconnect,
    ];

    /// The function's key in `spec.yml`.
    pub fn spec_key(self) -> &'static str {
        match self {
            Self::GetOAuthConfig => "getOAuthConfig",
            Self::GetTokenData => "getTokenData",
            Self::GetCredentialsFromAccessTokenResponse => "getCredentialsFromAccessTokenResponse",
            Self::GetCredentialsFromRefreshTokenResponse => "getCredentialsFromRefreshTokenResponse",
            Self::GetCredentialsFromConnectionParameters => "getCredentialsFromConnectionParameters",
            Self::RefreshCredentials => "refreshCredentials",
            Self::MakeApiClient => "makeApiClient",
            Self::Test => "test",
            Self::GetAccount => "getAccount",
            Self::Disconnect => "disconnect",
        }
    }

    /// The key in older connectors.
    pub fn old_spec_key(self) -> Option<&'static str> {
        match self {
            Self::GetOAuthConfig => Some("oAuthConfig"),
            Self::GetCredentialsFromAccessTokenResponse => Some("getCredentialsFromTokenResponse"),
            _ => None,
        }
    }

    /// The base names of the function's file under `auth/`, in lookup order.
    pub fn file_names(self) -> &'static [&'static str] {
        match self {
            Self::GetOAuthConfig => &["get-oauth-config", "oauth-config"],
            Self::GetTokenData => &["get-token-data"],
            Self::GetCredentialsFromAccessTokenResponse => {
                &["get-credentials-from-access-token-response", "get-credentials-from-token-response"]
            }
            Self::GetCredentialsFromRefreshTokenResponse => &["get-credentials-from-refresh-token-response"],
            Self::GetCredentialsFromConnectionParameters => &["get-credentials-from-connection-parameters"],
            Self::RefreshCredentials => &["refresh-credentials"],
            Self::MakeApiClient => &["make-api-client"],
            Self::Test => &["test"],
            Self::GetAccount => &["get-account"],
            Self::Disconnect => &["disconnect"],
        }
    }

    /// The `spec.yml` names of the auth types whose connectors may implement the function.
    pub fn types(self) -> &'static [&'static str] {
        match self {
            Self::GetOAuthConfig => &["oauth2", "oauth1"],
            Self::GetTokenData
            | Self::GetCredentialsFromAccessTokenResponse
            | Self::GetCredentialsFromRefreshTokenResponse => &["oauth2"],
            Self::GetCredentialsFromConnectionParameters => &["client-credentials", "oauth2"],
            Self::RefreshCredentials | Self::Disconnect => &["oauth2", "oauth1", "client-credentials"],
            Self::MakeApiClient | Self::Test | Self::GetAccount => &AuthType::NAMES,
        }
    }

    /// Whether its result becomes credentials. If so, responses to it follow the rules of token responses.
    pub fn gives_credentials(self) -> bool {
        matches!(
            self,
            Self::GetTokenData
                | Self::GetCredentialsFromAccessTokenResponse
                | Self::GetCredentialsFromRefreshTokenResponse
                | Self::GetCredentialsFromConnectionParameters
                | Self::RefreshCredentials
        )
    }

    /// Whether it requests new tokens, so that the response may hold the only copy of them.
    pub fn asks_for_tokens(self) -> bool {
        matches!(self, Self::GetTokenData | Self::GetCredentialsFromConnectionParameters | Self::RefreshCredentials)
    }

    /// Whether connectors of a type may implement the function.
    pub fn belongs_to(self, kind: &AuthType) -> bool {
        self.types().contains(&kind.spec_name())
    }

    /// Whether connectors of a type must implement the function.
    pub fn is_required(self, kind: &AuthType) -> bool {
        self == Self::MakeApiClient || (self == Self::GetOAuthConfig && self.belongs_to(kind))
    }
}

/// A function's implementation.
#[derive(Clone, Debug, PartialEq)]
pub enum Function {
    /// A mapping over the arguments.
    Mapping(Mapping),
    /// An HTTP request.
    Rest(RestMapping),
    /// A script.
    JavaScript(Script),
    /// A database login.
    Database(DatabaseLogin),
}
