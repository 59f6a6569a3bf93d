//! Finds a request's route among those of one function, and the parameters in its path.

use http::Method;
use larder::error::Error;
use larder::routes::{Function, Route};
use percent_encoding::percent_decode_str;

/// The paths of a function.
pub struct Router(matchit::Router<Path>);

/// A path and its routes.
struct Path {
    methods: Vec<&'static Route>,
    allow: String,
}

/// A request's route, and the parameters of its path.
#[derive(Debug)]
pub struct Found {
    /// The route.
    pub route: &'static Route,
    parameters: Vec<String>,
}

impl Found {
    /// Returns a parameter of the path by its position from 0, empty if the route has fewer.
    pub fn parameter(&self, position: usize) -> &str {
        self.parameters.get(position).map_or("", String::as_str)
    }
}

impl Router {
    /// Creates the router of a function. It leaves out the route for preflight requests, which is for all paths.
    pub fn of(function: Function) -> Self {
        let routes = || function.routes().filter(|route| !route.is_preflight());
        let mut paths = matchit::Router::new();
        for route in routes() {
            let methods = || routes().filter(|it| it.path == route.path);
            let allow = methods().map(|route| route.method.as_str()).collect::<Vec<_>>().join(", ");
            // A path with several methods was inserted with its first one.
            drop(paths.insert(route.path, Path { methods: methods().collect(), allow }));
        }
        Self(paths)
    }

    /// Whether a path within Larder is one of this function's.
    pub fn has(&self, path: &str) -> bool {
        self.0.at(&normalized(path)).is_ok()
    }

    /// Returns the route of a method on a path within Larder.
    ///
    /// # Errors
    /// 404 and 405; 400 for a parameter that is not UTF-8.
    pub fn find(&'static self, method: &Method, path: &str) -> Result<Found, Error> {
        let normalized = normalized(path);
        let found = self.0.at(&normalized).map_err(|_| Error::not_found(format!("there is no route {path}")))?;
        let mut parameters = Vec::new();
        for (_, encoded) in found.params.iter() {
            let decoded = percent_decode_str(encoded).decode_utf8();
            parameters.push(decoded.map_err(|_| Error::bad_request("the path is not valid UTF-8"))?.into_owned());
        }
        let route = found.value.methods.iter().find(|route| route.method == method);
        let route = route.ok_or_else(|| Error::method_not_allowed(&found.value.allow))?;
        Ok(Found { route, parameters })
    }
}

/// A path without empty segments.
fn normalized(path: &str) -> String {
    let path: String = path.split('/').filter(|segment| !segment.is_empty()).flat_map(|it| ["/", it]).collect();
    if path.is_empty() { "/".to_owned() } else { path }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use larder::http::status_of;

    use super::*;

    fn router(function: Function) -> &'static Router {
        Box::leak(Box::new(Router::of(function)))
    }

    fn route(function: Function, method: Method, path: &str) -> Result<(&'static str, String), StatusCode> {
        let found = router(function).find(&method, path);
        found.map(|found| (found.route.path, found.parameter(0).to_owned())).map_err(|error| status_of(&error))
    }

    fn connections(method: Method, path: &str) -> Result<(&'static str, String), StatusCode> {
        route(Function::Connections, method, path)
    }

    #[test]
    fn ids_are_decoded_and_prefixes_are_not_ignored() {
        assert_eq!(connections(Method::GET, "/connections/a%2Fb"), Ok(("/connections/{id}", "a/b".into())));
        assert_eq!(connections(Method::GET, "/prod/connections/a"), Err(StatusCode::NOT_FOUND));
    }

    #[test]
    fn a_wrong_method_is_405_and_a_wrong_path_404() {
        assert_eq!(connections(Method::DELETE, "/connections"), Err(StatusCode::METHOD_NOT_ALLOWED));
        assert_eq!(connections(Method::GET, "/connections/a/b"), Err(StatusCode::NOT_FOUND));
        assert_eq!(connections(Method::GET, "/"), Err(StatusCode::NOT_FOUND));
        assert_eq!(connections(Method::GET, "/connections/%ff"), Err(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn empty_path_segments_are_ignored() {
        assert_eq!(connections(Method::GET, "//connectors/"), Ok(("/connectors", String::new())));
        assert_eq!(connections(Method::GET, "/connections//a"), Ok(("/connections/{id}", "a".into())));
        for path in ["", "/", "//"] {
            assert_eq!(route(Function::Pages, Method::GET, path), Ok(("/", String::new())), "{path:?}");
        }
    }

    #[test]
    fn a_405_lists_the_allowed_methods() {
        let error = router(Function::Connections).find(&Method::POST, "/integrations/crm").expect_err("an error");
        assert_eq!(error.allow, Some("GET, PATCH, PUT, DELETE"));
    }
}
