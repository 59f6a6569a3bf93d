//! Paths and methods.

use http::Method;
use larder::error::Error;
use larder::http::Request;
use percent_encoding::percent_decode_str;

/// What a request wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    ListConnections,
    GetConnection(String),
    DeleteConnection(String),
    TestConnection(String),
    RefreshConnection(String),
    ListIntegrations,
    GetIntegration(String),
    PutIntegration(String),
    DeleteIntegration(String),
    ListConnectors,
}

impl Route {
    /// The route of a request. Whatever comes before the collection in the path is ignored.
    pub(crate) fn of(request: &Request) -> Result<Self, Error> {
        let segments: Vec<&str> = request.uri().path().split('/').filter(|segment| !segment.is_empty()).collect();
        let start = segments.iter().position(|it| matches!(*it, "connections" | "integrations" | "connectors"));
        let segments = start.and_then(|start| segments.get(start..)).unwrap_or_default();
        let method = request.method();
        let (route, allowed) = match *segments {
            ["connections"] => (select(method, [(Method::GET, Self::ListConnections)]), "GET"),
            ["connections", id] => {
                let id = decode(id)?;
                let routes =
                    [(Method::GET, Self::GetConnection(id.clone())), (Method::DELETE, Self::DeleteConnection(id))];
                (select(method, routes), "GET, DELETE")
            }
            ["connections", id, "test"] => {
                (select(method, [(Method::POST, Self::TestConnection(decode(id)?))]), "POST")
            }
            ["connections", id, "refresh-credentials"] => {
                (select(method, [(Method::POST, Self::RefreshConnection(decode(id)?))]), "POST")
            }
            ["integrations"] => (select(method, [(Method::GET, Self::ListIntegrations)]), "GET"),
            ["integrations", key] => {
                let key = decode(key)?;
                let routes = [
                    (Method::GET, Self::GetIntegration(key.clone())),
                    (Method::PUT, Self::PutIntegration(key.clone())),
                    (Method::DELETE, Self::DeleteIntegration(key)),
                ];
                (select(method, routes), "GET, PUT, DELETE")
            }
            ["connectors"] => (select(method, [(Method::GET, Self::ListConnectors)]), "GET"),
            _ => return Err(Error::not_found(format!("there is no route {}", request.uri().path()))),
        };
        route.ok_or_else(|| Error::method_not_allowed(allowed))
    }

    /// Whether tenants are turned away.
    pub(crate) fn is_for_admins(&self) -> bool {
        match self {
            Self::ListConnections
            | Self::GetConnection(_)
            | Self::DeleteConnection(_)
            | Self::TestConnection(_)
            | Self::RefreshConnection(_) => false,
            Self::ListIntegrations
            | Self::GetIntegration(_)
            | Self::PutIntegration(_)
            | Self::DeleteIntegration(_)
            | Self::ListConnectors => true,
        }
    }
}

fn select<const N: usize>(method: &Method, routes: [(Method, Route); N]) -> Option<Route> {
    routes.into_iter().find_map(|(allowed, route)| (allowed == *method).then_some(route))
}

fn decode(segment: &str) -> Result<String, Error> {
    let text = percent_decode_str(segment).decode_utf8();
    text.map(Into::into).map_err(|_| Error::bad_request("the path is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use larder::http::status_of;

    use super::*;

    fn route(method: Method, path: &str) -> Result<Route, StatusCode> {
        let request = http::Request::builder().method(method).uri(path).body(Default::default()).expect("a request");
        Route::of(&request).map_err(|error| status_of(&error))
    }

    #[test]
    fn a_prefix_such_as_a_stage_is_ignored() {
        assert_eq!(route(Method::GET, "/prod/connections/a%2Fb"), Ok(Route::GetConnection("a/b".into())));
    }

    #[test]
    fn a_wrong_method_is_405_and_a_wrong_path_404() {
        assert_eq!(route(Method::POST, "/connections"), Err(StatusCode::METHOD_NOT_ALLOWED));
        assert_eq!(route(Method::GET, "/connections/a/b"), Err(StatusCode::NOT_FOUND));
        assert_eq!(route(Method::GET, "/"), Err(StatusCode::NOT_FOUND));
        assert_eq!(route(Method::GET, "/connections/%ff"), Err(StatusCode::BAD_REQUEST));
    }
}
