//! Connectors: what Larder knows about one application, as data.
//!
//! A connector is a folder in the format of Membrane's connectors:
//!
//! ```text
//! hubspot/
//!   spec.yml                      name, logo, parameters, and which functions there are
//!   auth/
//!     get-oauth-config.map.yml    a mapping: YAML with formulas, see `mapping`
//!     make-api-client.map.yml
//!     test.rest.yml               a REST mapping: one HTTP request, see `rest`
//! ```
//!
//! ```text
//! files --folder--> Connector --catalog--> by key
//! ```
//!
//! Nothing here calls out or tells the time; only [`folder`] and [`catalog`] read files, when a connector is first asked for. What the
//! format allows and Larder cannot run yet is a [`Problem`] when the folder is loaded, and concerns that connector alone.

pub mod api_client;
pub mod api_request;
pub mod api_response;
pub mod catalog;
pub mod database_login;
pub mod folder;
mod functions;
pub mod mapping;
pub(crate) mod pointer;
mod refresh_rules;
pub mod rest;
pub mod schema;
pub mod script;
pub(crate) mod secrecy;
pub(crate) mod spelling;
pub(crate) mod yaml;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use api_client::{ApiClient, BasicAuth};
pub use api_request::{ApiBody, ApiRequest, RestError};
pub use api_response::{ApiResponse, ErrorKey, Reading, Refused, ResponseError};
pub use catalog::{BrokenConnector, Catalog, Folder};
pub use database_login::{DatabaseLogin, Login};
pub use folder::{Files, Problem};
pub use mapping::{Malformed, Mapping};
pub use refresh_rules::RefreshRules;
pub use rest::{RestMapping, test_passed};
pub use script::Script;
use serde_json::{Map, Value};

/// One application that tenants can connect to.
#[derive(Clone, Debug, PartialEq)]
pub struct Connector {
    /// Unique; letters, digits, `_`, `.` and `-`, at most 100.
    pub key: String,
    /// For people; the key if the folder gives none.
    pub name: String,
    /// The application's logo.
    pub logo_uri: Option<String>,
    /// The schema of the parameters that whoever runs Larder sets, such as `clientId`.
    pub parameters_schema: Option<Value>,
    /// The ways to connect, in the order of the file; never empty. A connector without `options` has one, whose key is
    /// empty.
    pub options: Vec<Arc<AuthOption>>,
}

impl Connector {
    /// The way to connect with a key; `""` is the connector itself.
    pub fn option(&self, key: &str) -> Option<&Arc<AuthOption>> {
        self.options.iter().find(|option| option.key == key)
    }
}

/// One way to connect to an application: what `auth` says, and over it what the option says.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthOption {
    /// Its key in `auth.options`; empty for the connector itself.
    pub key: String,
    /// The kind of authentication.
    pub kind: AuthType,
    /// For people.
    pub title: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Where whoever connects finds help.
    pub help_uri: Option<String>,
    /// Over `connectorParameters`; where it is there and its value is falsy, nobody can connect this way.
    pub enabled: Option<Mapping>,
    /// The schema of what is asked from whoever connects: `inputSchema`, else `ui.schema`, else the connector's own.
    pub input_schema: Option<Value>,
    /// The schema of the parameters that this way needs, the connector's own included.
    pub parameters_schema: Option<Value>,
    /// The schema of the credentials: `customCredentialsSchema`, else `credentialsSchema`.
    pub credentials_schema: Option<Value>,
    /// The functions that are implemented.
    pub functions: BTreeMap<FunctionName, Function>,
    /// How the answers to `refreshCredentials` are read.
    pub refresh_rules: RefreshRules,
}

impl AuthOption {
    /// The connector's own implementation of a function, if it has one.
    pub fn function(&self, name: FunctionName) -> Option<&Function> {
        self.functions.get(&name)
    }

    /// Whether one can connect this way with these parameters.
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
    /// What whoever connects enters, such as an API key or a login.
    ClientCredentials,
    /// An OAuth client that belongs to the operator of Larder, by its key.
    Proxy(String),
    /// No credentials: requests carry a token that the workspace has signed.
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
    /// Their names in `spec.yml`.
    pub const NAMES: [&'static str; 6] =
        ["oauth2", "oauth1", "client-credentials", "proxy", "membrane-token", "integration-app-token"];

    /// Its name in `spec.yml`.
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

    /// Whether a connection is made in one step, without sending the browser elsewhere.
    pub fn is_immediate(&self) -> bool {
        matches!(self, Self::ClientCredentials | Self::MembraneToken(_))
    }
}

/// The functions a connector may implement.
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
    /// Turns what was asked from whoever connects into credentials.
    GetCredentialsFromConnectionParameters,
    /// Renews the credentials.
    RefreshCredentials,
    /// Returns an [`ApiClient`].
    MakeApiClient,
    /// Tells whether a connection works.
    Test,
    /// Revokes the credentials.
    Disconnect,
}

impl FunctionName {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::GetOAuthConfig,
        Self::GetTokenData,
        Self::GetCredentialsFromAccessTokenResponse,
        Self::GetCredentialsFromRefreshTokenResponse,
        Self::GetCredentialsFromConnectionParameters,
        Self::RefreshCredentials,
        Self::MakeApiClient,
        Self::Test,
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
            Self::Disconnect => "disconnect",
        }
    }

    /// The key that older connectors use.
    pub fn old_spec_key(self) -> Option<&'static str> {
        match self {
            Self::GetOAuthConfig => Some("oAuthConfig"),
            Self::GetCredentialsFromAccessTokenResponse => Some("getCredentialsFromTokenResponse"),
            _ => None,
        }
    }

    /// The base names of the function's file under `auth/`, in the order they are looked up.
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
            Self::Disconnect => &["disconnect"],
        }
    }

    /// The authentication types whose connectors may implement the function, by their names in `spec.yml`.
    pub fn types(self) -> &'static [&'static str] {
        match self {
            Self::GetOAuthConfig => &["oauth2", "oauth1"],
            Self::GetTokenData
            | Self::GetCredentialsFromAccessTokenResponse
            | Self::GetCredentialsFromRefreshTokenResponse => &["oauth2"],
            Self::GetCredentialsFromConnectionParameters => &["client-credentials", "oauth2"],
            Self::RefreshCredentials | Self::Disconnect => &["oauth2", "oauth1", "client-credentials"],
            Self::MakeApiClient | Self::Test => &AuthType::NAMES,
        }
    }

    /// Whether its result becomes credentials, and so what answers it is held to the rules of token responses.
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

    /// Whether it asks for new tokens, which the answer may hold the only copy of.
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
    /// Its result is a mapping over its arguments.
    Mapping(Mapping),
    /// It makes an HTTP request.
    Rest(RestMapping),
    /// It is JavaScript.
    JavaScript(Script),
    /// It logs in to a database.
    Database(DatabaseLogin),
}
