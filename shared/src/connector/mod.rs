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
//! Nothing here calls out or tells the time; only [`folder::read`] and [`catalog::read_dirs`] touch a disk. What the
//! format allows and Larder cannot run yet is a [`Problem`] when the folder is loaded, and concerns that connector alone.

pub mod api_client;
pub mod catalog;
pub mod folder;
mod functions;
pub mod mapping;
mod pointer;
pub mod rest;
mod yaml;

pub use api_client::{ApiClient, BasicAuth};
pub use catalog::{BrokenConnector, Catalog};
pub use folder::{Files, Problem};
pub use mapping::{Malformed, Mapping};
pub use rest::{ApiResponse, ResponseError, RestError, RestMapping, test_passed};

use serde_json::Value;
use std::collections::BTreeMap;

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
    /// How a connection is made and kept.
    pub auth: Auth,
}

impl Connector {
    /// The connector's own implementation of a function, if it has one.
    pub fn function(&self, name: FunctionName) -> Option<&Function> {
        self.auth.functions.get(&name)
    }
}

/// How connections to an application are made and kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    /// The kind of authentication.
    pub kind: AuthType,
    /// For people.
    pub title: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// The schema of what is asked from whoever connects: `inputSchema`, else `ui.schema`, else the connector's own.
    pub input_schema: Option<Value>,
    /// Where whoever connects finds help.
    pub help_uri: Option<String>,
    /// The functions that the connector implements.
    pub functions: BTreeMap<FunctionName, Function>,
}

/// The kinds of authentication that run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthType {
    /// OAuth 2.0 with the authorization code grant.
    OAuth2,
}

impl AuthType {
    /// Its name in `spec.yml`.
    pub fn spec_name(self) -> &'static str {
        match self {
            Self::OAuth2 => "oauth2",
        }
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

    /// Whether an OAuth 2.0 connector must implement the function.
    pub fn is_required(self) -> bool {
        matches!(self, Self::GetOAuthConfig | Self::MakeApiClient)
    }
}

/// A function's implementation.
#[derive(Clone, Debug, PartialEq)]
pub enum Function {
    /// Its result is a mapping over its arguments.
    Mapping(Mapping),
    /// It makes an HTTP request.
    Rest(RestMapping),
}
