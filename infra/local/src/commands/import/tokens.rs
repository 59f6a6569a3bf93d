//! The lifetime of tokens that are imported.

use larder::connection::{Asked, expiry_of};
use serde_json::{Map, Value};
use time::OffsetDateTime;

/// The condition of an OAuth 2.0 connection's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// The access token can be tested.
    Valid,
    /// The access token has expired. Larder refreshes it about a minute after the import.
    Expired,
    /// The access token will expire, and there is no refresh token.
    Ends,
}

impl Lifetime {
    /// The remark about a connection that is imported.
    pub(super) fn note(self) -> Option<String> {
        let note = "it has no refresh token: unless the connector does without, its user must reconnect when the access \
                    token expires";
        (self == Self::Ends).then(|| note.to_owned())
    }
}

/// Returns the condition of these tokens.
///
/// # Errors
/// The reason why they are of no use any more.
pub(super) fn lifetime(credentials: &Map<String, Value>, now: OffsetDateTime) -> Result<Lifetime, String> {
    let has_refresh_token = ["refresh_token", "refreshToken"]
        .iter()
        .any(|name| credentials.get(*name).and_then(Value::as_str).is_some_and(|token| !token.is_empty()));
    match expiry_of(credentials, Asked::at(now)) {
        Some(expiry) if expiry.is_over(now) && has_refresh_token => Ok(Lifetime::Expired),
        Some(expiry) if expiry.is_over(now) => {
            Err("its access token has expired, and there is no refresh token; its user must connect again".to_owned())
        }
        Some(_) if !has_refresh_token => Ok(Lifetime::Ends),
        _ => Ok(Lifetime::Valid),
    }
}
