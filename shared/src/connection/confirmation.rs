//! Connections that the application must confirm before they count.
//!
//! A connect link that is bound to an application (`codeChallenge`) may be opened by anyone it is forwarded to. So the
//! credentials that it brings wait until the application has seen its own signed-in user come back. Until then nothing
//! else changes: an existing connection keeps its credentials, which are served and refreshed, and a new one does not
//! exist yet.
//!
//! # Decisions
//!
//! Credentials wait in an item of their own, one per connection id, and not in the connection's row. No refresh, patch or
//! list can touch or show them, the row of a reconnect does not double in size, and a forwarded link takes neither the id
//! nor the `key` of a connection: both are claimed when the application confirms. A later request replaces the
//! credentials of an earlier one, as a later reconnect replaces an earlier one; many providers end the earlier tokens
//! anyway. Credentials that were stored without waiting, because the end user connected in another way meanwhile, are
//! never replaced by older ones that waited: their confirmation is a conflict.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::clock::as_milliseconds;

/// The confirmation that new credentials need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Confirmation {
    /// The id of the connection request that brought them.
    pub request_id: String,
    /// When they are discarded unless they are confirmed.
    #[serde(with = "as_milliseconds")]
    pub expires_at: OffsetDateTime,
}
