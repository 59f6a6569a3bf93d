//! Maps a path to its function, with the same routes as the template and the router of `cargo lambda watch`.

use http::Method;
use larder::routes::{Function, ROUTES};

/// The function behind a path within Larder. Any prefix of `/credentials` is ignored, so that the route also suits systems that
/// keep their credentials behind an external URL.
pub fn function_of(method: &Method, path: &str) -> Option<Function> {
    if *method == Method::OPTIONS {
        return Some(Function::Connections);
    }
    let segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    // These functions come first: ids follow their roots, and an id may look like another route.
    let first = segments.first().copied().unwrap_or_default();
    let owner =
        [Function::Connections, Function::Pages].into_iter().find(|it| it.routes().any(|it| it.root() == first));
    if owner.is_some() {
        return owner;
    }
    let root = match *segments {
        [root] | [.., root @ "credentials"] => root,
        _ => return None,
    };
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let mut routes = ROUTES.iter().filter(|route| route.root() == root);
    // If no method matches, the last route's function answers 405.
    routes.clone().find(|route| route.method == method).or_else(|| routes.next_back()).map(|route| route.function)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_map_to_functions() {
        for (method, path, function) in [
            (Method::GET, "/credentials", Some(Function::GetCredentials)),
            (Method::HEAD, "/credentials", Some(Function::GetCredentials)),
            (Method::PUT, "/prod/credentials", Some(Function::PutCredentials)),
            (Method::DELETE, "/credentials/", Some(Function::PutCredentials)),
            (Method::PATCH, "/credentials", Some(Function::PutCredentials)),
            (Method::POST, "/connect", Some(Function::Connect)),
            (Method::HEAD, "/connect", Some(Function::Connect)),
            (Method::GET, "/oauth-callback", Some(Function::OAuthCallback)),
            (Method::POST, "/oauth-callback/", Some(Function::OAuthCallback)),
            (Method::POST, "/screens/connect", Some(Function::Pages)),
            (Method::GET, "/embed/integrations/crm/connect", Some(Function::Pages)),
            (Method::GET, "/prod/connections", None),
            (Method::GET, "/connections/credentials", Some(Function::Connections)),
            (Method::GET, "/connections/a/b", Some(Function::Connections)),
            (Method::PUT, "/integrations/connect", Some(Function::Connections)),
            (Method::OPTIONS, "/credentials", Some(Function::Connections)),
            (Method::OPTIONS, "/connect", Some(Function::Connections)),
            (Method::GET, "/", Some(Function::Pages)),
            (Method::HEAD, "//", Some(Function::Pages)),
            (Method::POST, "/sign-in/", Some(Function::Pages)),
            (Method::GET, "/elsewhere", None),
        ] {
            assert_eq!(function_of(&method, path), function, "{method} {path}");
        }
    }
}
