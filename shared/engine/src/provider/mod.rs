//! What Larder asks of a connected application: tokens, new ones, whether a connection works, to forget it. Runs a
//! connector's functions, or the documented defaults where it has none.
//!
//! | module | what it does |
//! |---|---|
//! | `auth` | a connector with the parameters of one connection |
//! | `functions` | runs a function, however it is implemented |
//! | `session` | the API client that functions call |
//! | `unfit` | names the field that does not fit into a header |
//! | `oauth2`, `oauth1` | the flows |
//! | `life` | what is the same for every kind of authentication: enter, refresh, test, disconnect |
//! | `lifetime` | what is the same for all credentials that a provider gave: how long they live, what of them is kept |

mod auth;
mod error;
mod functions;
mod lifecycle;
mod lifetime;
mod oauth1;
mod oauth2;
mod session;
mod unfit;

use std::sync::Arc;
use std::time::Duration;

pub use auth::{ConnectorContext, SignedToken, callback_uri};
pub use error::ProviderError;
use larder::clock::Clock;
use larder::connection::Expiry;
use larder::random::Rng;
pub use lifecycle::Renewal;
pub use oauth2::Authorization;
use serde_json::{Map, Value};
pub use session::Reauthorize;

use crate::egress::{Egress, Limits};
use crate::javascript::JavaScript;

/// Speaks to providers.
#[derive(Clone)]
pub struct Provider {
    egress: Egress,
    javascript: JavaScript,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

/// Fresh credentials, or changes of credentials.
pub struct ObtainedCredentials {
    /// The members.
    pub credentials: Map<String, Value>,
    /// When they expire, if the provider said so.
    pub expiry: Option<Expiry>,
    /// Whether they can be renewed without a refresh token among them.
    pub renews_itself: bool,
    /// How long before their expiry they are due for a refresh, where the connector says so.
    pub refresh_margin: Option<Duration>,
    /// Whether they are worth keeping although the access token among them has expired.
    pub is_dead: bool,
}

impl ObtainedCredentials {
    /// Why a refresh failed that returned the token that was there.
    pub const DEAD: &str = "the refresh returned no other access token than the one that was there, which has expired";
}

impl Provider {
    /// How long a function that only turns tokens into credentials may take, after the tokens came.
    const EXTRACTION: Duration = Duration::from_secs(10);

    /// How long a refresh takes at most.
    pub const DEADLINE: Duration = Limits::TOKEN.deadline.saturating_add(Self::EXTRACTION);

    /// How long the end of a connection waits for the provider.
    pub const DISCONNECT: Duration = Duration::from_secs(10);

    /// A provider reached through `egress`.
    pub fn new(egress: Egress, javascript: JavaScript, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { egress, javascript, clock, rng }
    }
}
