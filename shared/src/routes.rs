//! The routes of the API. The functions and `cargo run` route requests by this table, and tests compare all other lists of
//! routes with it.
//!
//! A new route needs a row here, and:
//!
//! | edit | test that fails without it |
//! |---|---|
//! | the function's handler | `documents::sample_events` |
//! | the route in infra/template.yaml | `deploy::template` |
//! | the route in `router` of Cargo.toml, for `cargo lambda watch` | `documents::routes` |
//! | a sample in events/ | `documents::sample_events` |
//! | a row in functions/README.md, "Routes" | `documents::routes` |
//! | a row in SECURITY.md, "Who can do what" | `api::callers` |

use http::Method;

/// A method on a path.
#[derive(Debug)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path in the syntax of API Gateway and `matchit`.
    pub path: &'static str,
    /// The function that handles it.
    pub function: Function,
    /// The callers that may use it.
    pub audience: Audience,
    /// A short description.
    pub summary: &'static str,
}

/// The functions that handle HTTP requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// `connect`
    Connect,
    /// `oauth-callback`
    OAuthCallback,
    /// `get-credentials`
    GetCredentials,
    /// `put-credentials`
    PutCredentials,
    /// `connections`
    Connections,
}

/// The callers that may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// An end user's browser, without a token.
    Browser,
    /// Tenants and admins.
    All,
    /// Only admins.
    Admins,
}

use Audience::{Admins, All, Browser};
use Function::{Connect, Connections, GetCredentials, OAuthCallback, PutCredentials};

/// All routes.
#[rustfmt::skip]
pub const ROUTES: &[Route] = &[
    route(Method::GET, "/connect", Connect, All, "starts connecting an account"),
    route(Method::POST, "/connect", Connect, All, "starts connecting an account, with parameters in a form"),
    route(Method::GET, "/connection-popup", Connect, All, "starts connecting an account, for older SDKs"),
    route(Method::POST, "/connection-popup", Connect, All, "starts connecting an account, for older SDKs, with a form"),
    route(Method::GET, "/oauth-callback", OAuthCallback, Browser, "finishes connecting an account"),
    route(Method::POST, "/oauth-callback", OAuthCallback, Browser, "finishes connecting an account, with parameters in a form"),
    route(Method::GET, "/credentials", GetCredentials, All, "serves credentials"),
    route(Method::PUT, "/credentials", PutCredentials, All, "stores credentials"),
    route(Method::DELETE, "/credentials", PutCredentials, All, "removes credentials"),
    route(Method::GET, "/connections", Connections, All, "lists connections"),
    route(Method::POST, "/connections", Connections, All, "creates a connection"),
    route(Method::GET, "/connections/{id}", Connections, All, "shows a connection"),
    route(Method::PATCH, "/connections/{id}", Connections, All, "changes a connection"),
    route(Method::PUT, "/connections/{id}", Connections, All, "changes a connection, like PATCH"),
    route(Method::DELETE, "/connections/{id}", Connections, All, "deletes a connection"),
    route(Method::POST, "/connections/{id}/restore", Connections, All, "restores a deleted connection"),
    route(Method::POST, "/connections/{id}/disconnect", Connections, All, "revokes and erases a connection's credentials"),
    route(Method::GET, "/connections/{id}/attempts", Connections, All, "lists what was attempted with a connection"),
    route(Method::GET, "/connections/{id}/dependencies", Connections, All, "lists the flows that use a connection"),
    route(Method::PUT, "/connections/{id}/flows/{flow}", Connections, All, "marks a connection as used by a flow"),
    route(Method::DELETE, "/connections/{id}/flows/{flow}", Connections, All, "removes the mark of a flow"),
    route(Method::POST, "/connections/{id}/test", Connections, All, "tests a connection"),
    route(Method::POST, "/connections/{id}/refresh-credentials", Connections, All, "refreshes a connection"),
    route(Method::POST, "/connection-requests", Connections, All, "creates a link that lets an end user connect"),
    route(Method::GET, "/connection-requests/{id}", Connections, All, "shows how a connection request ended"),
    route(Method::DELETE, "/connection-requests/{id}", Connections, All, "cancels a connection request"),
    route(Method::POST, "/connection-requests/{id}/confirm", Connections, All, "confirms a requested connection"),
    route(Method::GET, "/integrations", Connections, All, "lists integrations"),
    route(Method::POST, "/integrations", Connections, Admins, "creates an integration"),
    route(Method::GET, "/integrations/{key}", Connections, All, "shows an integration"),
    route(Method::PATCH, "/integrations/{key}", Connections, Admins, "changes an integration"),
    route(Method::PUT, "/integrations/{key}", Connections, Admins, "creates or replaces an integration"),
    route(Method::DELETE, "/integrations/{key}", Connections, Admins, "deletes an integration"),
    route(Method::GET, "/integrations/{key}/connector-spec", Connections, All, "shows an integration's connector"),
    route(Method::POST, "/connection-options", Connections, All, "lists the ways to connect"),
    route(Method::GET, "/connectors", Connections, Admins, "lists connectors"),
    route(Method::GET, "/connectors/{key}", Connections, Admins, "shows a connector"),
    route(Method::POST, "/connectors/{key}/generate-options", Connections, All, "lists a connector's ways to connect"),
    route(Method::GET, "/self", Connections, All, "shows the caller"),
    route(Method::PATCH, "/self", Connections, All, "shows the caller, and changes nothing"),
    route(Method::OPTIONS, "/{path+}", Connections, Browser, "answers preflight requests for all paths"),
];

const fn route(
    method: Method,
    path: &'static str,
    function: Function,
    audience: Audience,
    summary: &'static str,
) -> Route {
    Route { method, path, function, audience, summary }
}

impl Route {
    /// Whether it answers preflight requests, for all paths.
    pub fn is_preflight(&self) -> bool {
        self.method == Method::OPTIONS
    }

    /// Returns the first segment of the path.
    pub fn root(&self) -> &'static str {
        self.path.split('/').nth(1).unwrap_or_default()
    }
}

impl Function {
    /// Returns the name of its binary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::OAuthCallback => "oauth-callback",
            Self::GetCredentials => "get-credentials",
            Self::PutCredentials => "put-credentials",
            Self::Connections => "connections",
        }
    }

    /// Returns its routes.
    pub fn routes(self) -> impl Iterator<Item = &'static Route> + Clone {
        ROUTES.iter().filter(move |route| route.function == self)
    }
}
