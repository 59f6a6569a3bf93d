//! All calls to providers: getting, refreshing, testing and revoking credentials. Runs a connector's functions, or the
//! documented defaults if it has none.
//!
//! | module | purpose |
//! |---|---|
//! | `auth` | a connector with the parameters of one connection |
//! | `functions` | running a function, however it is implemented |
//! | `session` | the API client that functions use |
//! | `unfit` | naming the field whose value does not fit into a header |
//! | `oauth2`, `oauth1` | the flows |
//! | `account` | finding out whose account was connected |
//! | `lifecycle` | the operations that all types of authentication share: enter, refresh, test, disconnect |
//! | `lifetime` | the rules for all credentials that a provider returns: their lifetime, and which members are kept |

mod account;
mod auth;
mod error;
mod functions;
mod lifecycle;
mod lifetime;
mod oauth1;
mod oauth2;
mod session;
#[cfg(test)]
mod testing;
mod unfit;

use std::sync::Arc;
use std::time::Duration;

pub use auth::{ConnectorContext, SignedToken, callback_uri};
pub use error::ProviderError;
use larder::clock::Clock;
use larder::connection::{Account, Expiry};
use larder::random::Rng;
pub use lifecycle::Renewal;
pub use oauth2::Authorization;
use serde_json::{Map, Value};
pub use session::Reauthorize;

use crate::egress::{Egress, Limits};
use crate::javascript::JavaScript;

/// Calls providers.
#[derive(Clone)]
pub struct Provider {
    egress: Egress,
    javascript: JavaScript,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

/// New credentials, or changes to credentials.
pub struct ObtainedCredentials {
    /// The members.
    pub credentials: Map<String, Value>,
    /// When the credentials expire, if the provider stated it.
    pub expiry: Option<Expiry>,
    /// Whether the credentials can be refreshed without a refresh token.
    pub renews_itself: bool,
    /// How long before the expiry a refresh is due, if the connector sets it.
    pub refresh_margin: Option<Duration>,
    /// The granted scopes, if known.
    pub scopes: Option<Vec<String>>,
    /// The account, if the token response names it.
    pub account: Option<Account>,
    /// Whether the credentials are worth keeping although their access token has expired.
    pub is_dead: bool,
}

impl ObtainedCredentials {
    /// The error of a refresh that returned the same, expired access token.
    pub const DEAD: &str = "the refresh returned the same access token as before, which has expired";
}

impl Provider {
    /// How long a function may take to turn the provider's tokens into credentials.
    const EXTRACTION: Duration = Duration::from_secs(10);

    /// The maximum duration of a refresh.
    pub const DEADLINE: Duration = Limits::TOKEN.deadline.saturating_add(Self::EXTRACTION);

    /// How long connecting waits for `getAccount`.
    const ACCOUNT: Duration = Duration::from_secs(5);

    /// How long removing a connection waits for the provider.
    pub const DISCONNECT: Duration = Duration::from_secs(10);

    /// Creates a provider client that sends its requests through `egress`.
    pub fn new(egress: Egress, javascript: JavaScript, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { egress, javascript, clock, rng }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_takes_at_most_30_seconds_and_a_disconnect_ten() {
        let limits = [Provider::DEADLINE, Provider::EXTRACTION, Provider::DISCONNECT];
        assert_eq!(limits.map(|limit| limit.as_secs()), [30, 10, 10]);
    }
}
