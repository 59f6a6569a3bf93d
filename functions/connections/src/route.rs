//! Finds a request's route, and the id in its path.

use std::sync::LazyLock;

use http::Method;
use larder::error::Error;
use larder::routes::{Function, Route};
use matchit::Router;
use percent_encoding::percent_decode_str;

/// The paths of this function.
static PATHS: LazyLock<Router<Path>> = LazyLock::new(|| {
    let mut paths = Router::new();
    for route in routes() {
        let methods = || routes().filter(|it| it.path == route.path);
        let allow = methods().map(|route| route.method.as_str()).collect::<Vec<_>>().join(", ");
        // A path with several methods was inserted with its first one.
        drop(paths.insert(route.path, Path { methods: methods().collect(), allow }));
    }
    paths
});

/// A path and its routes.
struct Path {
    methods: Vec<&'static Route>,
    allow: String,
}

/// A request's route, and the parameters of its path, empty if there are none.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) route: &'static Route,
    /// The id or key.
    pub(crate) id: String,
    /// The id of the flow.
    pub(crate) flow: String,
}

/// The routes, except the one for preflight requests, which is for all paths.
fn routes() -> impl Iterator<Item = &'static Route> {
    Function::Connections.routes().filter(|route| !route.is_preflight())
}

/// Whether a path within Larder leads to a page that browsers open. Scripts of other origins must not read its answers.
pub(crate) fn is_for_browsers(path: &str) -> bool {
    let mut pages = Function::Connect.routes().chain(Function::OAuthCallback.routes());
    let path = normalized(path);
    pages.any(|route| route.path == path)
}

/// A path without empty segments.
fn normalized(path: &str) -> String {
    path.split('/').filter(|segment| !segment.is_empty()).flat_map(|segment| ["/", segment]).collect()
}

/// Returns the route of a method on a path within Larder, and the parameters of the path.
///
/// # Errors
/// 404 and 405; 400 for an id that is not UTF-8.
pub(crate) fn find(method: &Method, path: &str) -> Result<Found, Error> {
    let normalized = normalized(path);
    let found = PATHS.at(&normalized).map_err(|_| Error::not_found(format!("there is no route {path}")))?;
    let mut parameters = Vec::new();
    for (_, encoded) in found.params.iter() {
        let decoded = percent_decode_str(encoded).decode_utf8();
        parameters.push(decoded.map_err(|_| Error::bad_request("the path is not valid UTF-8"))?.into_owned());
    }
    let mut parameters = parameters.into_iter();
    let route = found.value.methods.iter().find(|route| route.method == method);
    let route = route.ok_or_else(|| Error::method_not_allowed(&found.value.allow))?;
    let (id, flow) = (parameters.next().unwrap_or_default(), parameters.next().unwrap_or_default());
    Ok(Found { route, id, flow })
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use larder::http::status_of;

    use super::*;

    fn route(method: Method, path: &str) -> Result<(&str, String), StatusCode> {
        find(&method, path).map(|found| (found.route.path, found.id)).map_err(|error| status_of(&error))
    }

    #[test]
    fn ids_are_decoded_and_prefixes_are_not_ignored() {
        assert_eq!(route(Method::GET, "/connections/a%2Fb"), Ok(("/connections/{id}", "a/b".into())));
        assert_eq!(route(Method::GET, "/prod/connections/a"), Err(StatusCode::NOT_FOUND));
    }

    #[test]
    fn a_wrong_method_is_405_and_a_wrong_path_404() {
        assert_eq!(route(Method::DELETE, "/connections"), Err(StatusCode::METHOD_NOT_ALLOWED));
        assert_eq!(route(Method::GET, "/connections/a/b"), Err(StatusCode::NOT_FOUND));
        assert_eq!(route(Method::GET, "/"), Err(StatusCode::NOT_FOUND));
        assert_eq!(route(Method::GET, "/connections/%ff"), Err(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn only_pages_are_for_browsers() {
        for (path, expected) in [
            ("/connect", true),
            ("/oauth-callback/", true),
            ("/prod/oauth-callback", false),
            ("/integrations/connect", false),
            ("/connections/connect", false),
            ("/credentials", false),
            ("/nowhere", false),
            ("/", false),
        ] {
            assert_eq!(is_for_browsers(path), expected, "{path}");
        }
    }

    #[test]
    fn empty_path_segments_are_ignored() {
        assert_eq!(route(Method::GET, "//connectors/"), Ok(("/connectors", String::new())));
        assert_eq!(route(Method::GET, "/connections//a"), Ok(("/connections/{id}", "a".into())));
    }

    #[test]
    fn a_405_lists_the_allowed_methods() {
        let error = find(&Method::POST, "/integrations/crm").expect_err("an error");
        assert_eq!(error.allow, Some("GET, PATCH, PUT, DELETE"));
    }
}
