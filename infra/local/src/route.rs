//! Which function a path belongs to. The router of `cargo lambda watch` and the template say the same.

use http::Method;

/// The functions that answer HTTP requests.
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

impl Function {
    /// The function of a path, whatever comes before it there.
    pub fn of(method: &Method, path: &str) -> Option<Self> {
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        if segments.clone().any(|segment| matches!(segment, "connections" | "integrations" | "connectors")) {
            return Some(Self::Connections);
        }
        match (segments.next_back()?, method) {
            ("connect", _) => Some(Self::Connect),
            ("oauth-callback", _) => Some(Self::OAuthCallback),
            ("credentials", &Method::GET | &Method::HEAD) => Some(Self::GetCredentials),
            ("credentials", _) => Some(Self::PutCredentials),
            _ => None,
        }
    }

    /// The name of the binary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::OAuthCallback => "oauth-callback",
            Self::GetCredentials => "get-credentials",
            Self::PutCredentials => "put-credentials",
            Self::Connections => "connections",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_its_function_behind_any_prefix() {
        for (method, path, function) in [
            (Method::GET, "/credentials", Some(Function::GetCredentials)),
            (Method::PUT, "/prod/credentials", Some(Function::PutCredentials)),
            (Method::DELETE, "/credentials/", Some(Function::PutCredentials)),
            (Method::POST, "/connect", Some(Function::Connect)),
            (Method::GET, "/oauth-callback", Some(Function::OAuthCallback)),
            (Method::POST, "/prod/oauth-callback", Some(Function::OAuthCallback)),
            (Method::GET, "/connections/credentials", Some(Function::Connections)),
            (Method::PUT, "/integrations/connect", Some(Function::Connections)),
            (Method::GET, "/", None),
            (Method::GET, "/elsewhere", None),
        ] {
            assert_eq!(Function::of(&method, path), function, "{method} {path}");
        }
    }
}
