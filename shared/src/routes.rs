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
//! | its scope in functions/README.md, "Scopes" | `documents::routes` |
//! | the operation in functions/connections/openapi.json | `documents::openapi` |
//! | a row in SECURITY.md, "Who can do what", and one in "Limited tokens" if it differs from the rule there | `api::callers`, `api::limited_tokens` |

use http::Method;

use crate::scope::Scope;

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
    /// The scope that it requires of tokens with the claim `scope`. `None` if it takes no token.
    pub scope: Option<Scope>,
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
    /// `pages`
    Pages,
}

/// The callers that may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// An end user's browser, without a token.
    Browser,
    /// Everyone, without a token.
    Anyone,
    /// Tenants and admins.
    All,
    /// Only admins.
    Admins,
}

use Audience::{Admins, All, Anyone, Browser};
use Function::{Connect, Connections, GetCredentials, OAuthCallback, Pages, PutCredentials};

const READ: Option<Scope> = Some(Scope::ConnectionsRead);
const WRITE: Option<Scope> = Some(Scope::ConnectionsWrite);
const CONNECT: Option<Scope> = Some(Scope::ConnectionsConnect);
const CREDENTIALS: Option<Scope> = Some(Scope::CredentialsRead);
const INTEGRATIONS: Option<Scope> = Some(Scope::IntegrationsRead);
const CHANGE_INTEGRATIONS: Option<Scope> = Some(Scope::IntegrationsWrite);

/// All routes.
#[rustfmt::skip]
pub const ROUTES: &[Route] = &[
    route(Method::GET, "/connect", Connect, All, CONNECT, "starts connecting an account"),
    route(Method::POST, "/connect", Connect, All, CONNECT, "starts connecting an account, with parameters in a form"),
    route(Method::GET, "/connection-popup", Connect, All, CONNECT, "starts connecting an account, for older SDKs"),
    route(Method::POST, "/connection-popup", Connect, All, CONNECT, "starts connecting an account, for older SDKs, with a form"),
    route(Method::GET, "/oauth-callback", OAuthCallback, Browser, None, "finishes connecting an account"),
    route(Method::POST, "/oauth-callback", OAuthCallback, Browser, None, "finishes connecting an account, with parameters in a form"),
    route(Method::GET, "/credentials", GetCredentials, All, CREDENTIALS, "serves credentials"),
    route(Method::PUT, "/credentials", PutCredentials, All, WRITE, "stores credentials"),
    route(Method::DELETE, "/credentials", PutCredentials, All, WRITE, "removes credentials"),
    route(Method::GET, "/connections", Connections, All, READ, "lists connections"),
    route(Method::POST, "/connections", Connections, All, WRITE, "creates a connection"),
    route(Method::GET, "/connections/{id}", Connections, All, READ, "shows a connection"),
    route(Method::PATCH, "/connections/{id}", Connections, All, WRITE, "changes a connection"),
    route(Method::PUT, "/connections/{id}", Connections, All, WRITE, "changes a connection, like PATCH"),
    route(Method::DELETE, "/connections/{id}", Connections, All, WRITE, "deletes a connection"),
    route(Method::POST, "/connections/{id}/restore", Connections, All, WRITE, "restores a deleted connection"),
    route(Method::POST, "/connections/{id}/disconnect", Connections, All, WRITE, "revokes and erases a connection's credentials"),
    route(Method::GET, "/connections/{id}/attempts", Connections, All, READ, "lists what was attempted with a connection"),
    route(Method::GET, "/connections/{id}/dependencies", Connections, All, READ, "lists the flows that use a connection"),
    route(Method::PUT, "/connections/{id}/flows/{flow}", Connections, All, WRITE, "marks a connection as used by a flow"),
    route(Method::DELETE, "/connections/{id}/flows/{flow}", Connections, All, WRITE, "removes the mark of a flow"),
    route(Method::POST, "/connections/{id}/test", Connections, All, WRITE, "tests a connection"),
    route(Method::POST, "/connections/{id}/refresh-credentials", Connections, All, WRITE, "refreshes a connection"),
    route(Method::POST, "/connection-requests", Connections, All, CONNECT, "creates a link that lets an end user connect"),
    route(Method::GET, "/connection-requests/{id}", Connections, All, CONNECT, "shows how a connection request ended"),
    route(Method::DELETE, "/connection-requests/{id}", Connections, All, CONNECT, "cancels a connection request"),
    route(Method::POST, "/connection-requests/{id}/confirm", Connections, All, CONNECT, "confirms a requested connection"),
    route(Method::GET, "/integrations", Connections, All, INTEGRATIONS, "lists integrations"),
    route(Method::POST, "/integrations", Connections, Admins, CHANGE_INTEGRATIONS, "creates an integration"),
    route(Method::GET, "/integrations/{key}", Connections, All, INTEGRATIONS, "shows an integration"),
    route(Method::PATCH, "/integrations/{key}", Connections, Admins, CHANGE_INTEGRATIONS, "changes an integration"),
    route(Method::PUT, "/integrations/{key}", Connections, Admins, CHANGE_INTEGRATIONS, "creates or replaces an integration"),
    route(Method::DELETE, "/integrations/{key}", Connections, Admins, CHANGE_INTEGRATIONS, "deletes an integration"),
    route(Method::GET, "/integrations/{key}/connector-spec", Connections, All, INTEGRATIONS, "shows an integration's connector"),
    route(Method::POST, "/connection-options", Connections, All, INTEGRATIONS, "lists the ways to connect"),
    route(Method::GET, "/connectors", Connections, Admins, INTEGRATIONS, "lists connectors"),
    route(Method::GET, "/connectors/{key}", Connections, Admins, INTEGRATIONS, "shows a connector"),
    route(Method::POST, "/connectors/{key}/generate-options", Connections, All, INTEGRATIONS, "lists a connector's ways to connect"),
    route(Method::GET, "/self", Connections, All, READ, "shows the caller"),
    route(Method::PATCH, "/self", Connections, All, READ, "shows the caller, and changes nothing"),
    route(Method::POST, "/page-links", Connections, Admins, READ, "creates a link that signs a browser in to the pages"),
    route(Method::DELETE, "/page-links/{id}", Connections, Admins, READ, "revokes a page link, and the session that began with it"),
    route(Method::GET, "/openapi.json", Connections, Anyone, None, "describes these routes for programs"),
    route(Method::GET, "/", Pages, Browser, None, "shows the credentials; without `text/html` in `Accept`, a health check"),
    route(Method::GET, "/c/{id}", Pages, Browser, None, "shows a credential"),
    route(Method::POST, "/c/{id}", Pages, Browser, None, "changes a credential, by the buttons of its page"),
    route(Method::GET, "/add", Pages, Browser, None, "shows the integrations to add a credential for"),
    route(Method::POST, "/add", Pages, Browser, None, "leads to the form that adds a credential"),
    route(Method::GET, "/i", Pages, Browser, None, "shows the integrations to an admin"),
    route(Method::GET, "/i/{key}", Pages, Browser, None, "shows an integration and its settings to an admin"),
    route(Method::POST, "/i/{key}", Pages, Browser, None, "changes, tries or deletes an integration, by the buttons of its page"),
    route(Method::GET, "/new", Pages, Browser, None, "shows an admin the connectors to set up an integration with"),
    route(Method::GET, "/new/{connector}", Pages, Browser, None, "shows the form of a new integration"),
    route(Method::POST, "/new/{connector}", Pages, Browser, None, "creates an integration, by that form"),
    route(Method::GET, "/pick", Pages, Browser, None, "shows the credentials that an application's user can choose from"),
    route(Method::POST, "/pick", Pages, Browser, None, "returns the chosen credential to the application, or adds one"),
    route(Method::GET, "/sign-in", Pages, Browser, None, "signs a browser in with a page link"),
    route(Method::POST, "/sign-in", Pages, Browser, None, "signs a browser in, by the button of that page"),
    route(Method::POST, "/sign-out", Pages, Browser, None, "ends the browser's session"),
    route(Method::GET, "/embed/integrations/{key}/connect", Pages, All, CONNECT, "connects an account in a frame of the application"),
    route(Method::GET, "/embed/connections/{id}/refresh", Pages, All, CONNECT, "reconnects an account in a frame"),
    route(Method::POST, "/screens/integrations/{key}/connect", Pages, All, CONNECT, "connects an account in a frame, with parameters in a form"),
    route(Method::POST, "/screens/connect", Pages, All, CONNECT, "connects or reconnects an account in a frame"),
    route(Method::POST, "/screens/connection", Pages, All, CONNECT, "shows a connection in a frame"),
    route(Method::GET, "/connect.js", Pages, Browser, None, "serves the module that connects accounts from applications' pages"),
    route(Method::OPTIONS, "/{path+}", Connections, Browser, None, "answers preflight requests for all paths"),
];

const fn route(
    method: Method,
    path: &'static str,
    function: Function,
    audience: Audience,
    scope: Option<Scope>,
    summary: &'static str,
) -> Route {
    Route { method, path, function, audience, scope, summary }
}

/// Returns the path of a request within Larder: without the path of `base_uri`, which has no slash at its end. The stage of an
/// HTTP API is gone already (`lambda::read_request`). Any other prefix is part of the path.
pub fn path_within<'a>(base_uri: &str, path: &'a str) -> &'a str {
    let host = base_uri.find("://").map_or(0, |scheme| scheme + 3);
    let base = base_uri[host..].find('/').map_or("", |slash| &base_uri[host + slash..]);
    path.strip_prefix(base).filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(path)
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
            Self::Pages => "pages",
        }
    }

    /// Returns its routes.
    pub fn routes(self) -> impl Iterator<Item = &'static Route> + Clone {
        ROUTES.iter().filter(move |route| route.function == self)
    }

    /// Returns its route for a method, if all its paths do the same.
    pub fn route(self, method: &Method) -> Option<&'static Route> {
        self.routes().find(|route| route.method == *method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_path_of_the_base_uri_is_stripped() {
        for (base_uri, path, expected) in [
            ("https://larder.example", "/connections", "/connections"),
            ("https://larder.example", "/prod/connections", "/prod/connections"),
            ("https://larder.example/v1/larder", "/v1/larder/connections/a", "/connections/a"),
            ("https://larder.example/v1/larder", "/v1/larder", ""),
            ("https://larder.example/v1/larder", "/v1/larders/connections", "/v1/larders/connections"),
            ("https://larder.example/v1/larder", "/v1/connections", "/v1/connections"),
            ("https://larder.example/v1/larder", "/connections", "/connections"),
        ] {
            assert_eq!(path_within(base_uri, path), expected, "{base_uri} {path}");
        }
    }
}
