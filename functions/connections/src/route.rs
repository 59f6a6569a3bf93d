//! Finds a request's route, and the id in its path.

use std::sync::LazyLock;

use larder::error::Error;
use larder::http::Request;
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

fn is_root(segment: &str) -> bool {
    routes().any(|route| route.root() == segment)
}

/// Whether a path leads to a page that browsers open. Scripts of other origins must not read its answers.
pub(crate) fn is_for_browsers(path: &str) -> bool {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let is_managed = segments.clone().any(is_root);
    let is_page = |last| {
        let pages = Function::Connect.routes().chain(Function::OAuthCallback.routes());
        pages.into_iter().any(|route| route.root() == last)
    };
    !is_managed && segments.next_back().is_some_and(is_page)
}

/// Returns a request's route, and the parameters of its path. A prefix of the path, such as a
/// stage, is ignored.
///
/// # Errors
/// 404 and 405; 400 for an id that is not UTF-8.
pub(crate) fn find(request: &Request) -> Result<Found, Error> {
    let not_found = || Error::not_found(format!("there is no route {}", request.uri().path()));
    let segments = request.uri().path().split('/').filter(|segment| !segment.is_empty());
    let path: String = segments.skip_while(|segment| !is_root(segment)).flat_map(|segment| ["/", segment]).collect();
    let found = PATHS.at(&path).map_err(|_| not_found())?;
    let mut parameters = Vec::new();
    for (_, encoded) in found.params.iter() {
        let decoded = percent_decode_str(encoded).decode_utf8();
        parameters.push(decoded.map_err(|_| Error::bad_request("the path is not valid UTF-8"))?.into_owned());
    }
    let mut parameters = parameters.into_iter();
    let route = found.value.methods.iter().find(|route| route.method == request.method());
    let route = route.ok_or_else(|| Error::method_not_allowed(&found.value.allow))?;
    let (id, flow) = (parameters.next().unwrap_or_default(), parameters.next().unwrap_or_default());
    Ok(Found { route, id, flow })
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};
    use larder::http::status_of;

    use super::*;

    fn route(method: Method, path: &str) -> Result<(&str, String), StatusCode> {
        let request = http::Request::builder().method(method).uri(path).body(Default::default()).expect("a request");
        find(&request).map(|found| (found.route.path, found.id)).map_err(|error| status_of(&error))
    }

    #[test]
    fn a_prefix_such_as_a_stage_is_ignored() {
        assert_eq!(route(Method::GET, "/prod/connections/a%2Fb"), Ok(("/connections/{id}", "a/b".into())));
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
            ("/prod/oauth-callback/", true),
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
        let request = http::Request::builder().method("POST").uri("/integrations/crm").body(Default::default());
        let error = find(&request.expect("a request")).expect_err("an error");
        assert_eq!(error.allow, Some("GET, PATCH, PUT, DELETE"));
    }
}
