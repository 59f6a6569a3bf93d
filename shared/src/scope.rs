//! The scopes of access tokens: the kinds of work that a token allows, out of those that its caller may do.

use serde::{Deserialize, Serialize};

/// A kind of work that a token's claim `scope` can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Reading connections, without their credentials.
    ConnectionsRead,
    /// Creating, changing, testing, refreshing and deleting connections, and storing their credentials.
    ConnectionsWrite,
    /// Connecting accounts in a browser.
    ConnectionsConnect,
    /// Reading credentials.
    CredentialsRead,
    /// Reading the secrets among them that only a refresh needs.
    CredentialsRefreshToken,
    /// Reading integrations and connectors.
    IntegrationsRead,
    /// Changing integrations, and overriding their parameters for one connection.
    IntegrationsWrite,
}

impl Scope {
    /// All scopes. `proxy` is reserved for later, and grants nothing yet, like any unknown scope.
    pub const ALL: [Self; 7] = [
        Self::ConnectionsRead,
        Self::ConnectionsWrite,
        Self::ConnectionsConnect,
        Self::CredentialsRead,
        Self::CredentialsRefreshToken,
        Self::IntegrationsRead,
        Self::IntegrationsWrite,
    ];

    /// Returns its name in tokens.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConnectionsRead => "connections:read",
            Self::ConnectionsWrite => "connections:write",
            Self::ConnectionsConnect => "connections:connect",
            Self::CredentialsRead => "credentials:read",
            Self::CredentialsRefreshToken => "credentials:refresh-token",
            Self::IntegrationsRead => "integrations:read",
            Self::IntegrationsWrite => "integrations:write",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The scopes that a token grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(u8);

impl Scopes {
    /// The scopes of a token without the claim.
    pub const EVERY: Self = Self(u8::MAX);

    /// Reads the claim `scope`, whose names are separated by spaces. Unknown ones grant nothing.
    pub fn parse(claim: &str) -> Self {
        let known = claim.split(' ').filter_map(|name| Scope::ALL.into_iter().find(|scope| scope.name() == name));
        Self(known.fold(0, |bits, scope| bits | scope.bit()))
    }

    /// Whether they include a scope.
    pub fn include(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(claim: &str) -> Vec<&'static str> {
        let scopes = Scopes::parse(claim);
        Scope::ALL.into_iter().filter(|scope| scopes.include(*scope)).map(Scope::name).collect()
    }

    #[test]
    fn a_claim_grants_exactly_the_scopes_it_names() {
        for scope in Scope::ALL {
            assert_eq!(granted(scope.name()), [scope.name()]);
        }
        assert_eq!(granted("integrations:read  credentials:read "), ["credentials:read", "integrations:read"]);
        assert!(Scope::ALL.into_iter().all(|scope| Scopes::EVERY.include(scope)));
    }

    #[test]
    fn unknown_scopes_grant_nothing() {
        for claim in ["", " ", "proxy", "openid profile", "connections", "connections:*", "*", "CONNECTIONS:READ"] {
            assert!(granted(claim).is_empty(), "{claim}");
        }
        assert!(granted("connections:read,connections:write").is_empty());
        assert!(granted("connections:read\tconnections:write").is_empty());
    }
}
