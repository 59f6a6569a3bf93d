//! How a refresh ended, for its caller, the log, and the metrics.

use serde::{Deserialize, Serialize};

/// The outcome of a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RefreshOutcome {
    /// There are new credentials.
    Refreshed,
    /// There are new credentials, but they could not be saved yet; they are in the recovery queue.
    Recovering,
    /// The provider rejected the request or did not answer; the connection says why.
    Failed,
    /// The connection has changed since the refresh was requested.
    Stale,
    /// Another invocation is refreshing it.
    Busy,
    /// The last attempt is too recent.
    TooSoon,
    /// There is nothing to refresh with.
    NotRefreshable,
    /// The connection does not exist.
    Gone,
}
