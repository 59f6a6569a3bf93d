//! The contract of the `refresh` function, which refreshes a connection, or tests and stores credentials for it.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::connection::{ConnectionKey, RefreshOutcome};
use crate::error::{Error, ErrorClass, ErrorType, documented_key};

/// The event that a schedule, or a reader of an expired token, sends to the `refresh` function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefreshEvent {
    /// The connection.
    #[serde(flatten)]
    pub key: ConnectionKey,
    /// The version that the sender saw. If it has changed since, nothing is done.
    #[serde(default)]
    pub version: Option<u64>,
}

/// Refreshes one connection, in this process or in the `refresh` function.
#[async_trait]
pub trait RefreshConnection: Send + Sync {
    /// Refreshes the connection and waits for the outcome.
    ///
    /// # Errors
    /// When a service that Larder depends on fails. Any answer of the provider is an outcome, not an error.
    async fn refresh(&self, event: &RefreshEvent) -> Result<RefreshOutcome, Error>;
}

/// The event that `put-credentials` sends to the `refresh` function: credentials for a connection with an integration,
/// to be tested before they replace anything. Its member `sealed` distinguishes it from a [`RefreshEvent`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplaceEvent {
    /// The connection.
    #[serde(flatten)]
    pub key: ConnectionKey,
    /// The version that the sender saw. If it has changed since, nothing is done.
    pub version: u64,
    /// The credentials, sealed for this connection and version, in URL-safe base64.
    pub sealed: String,
}

/// The outcome of a [`ReplaceEvent`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Replaced {
    /// The credentials are stored.
    Stored,
    /// The connection has changed since the sender saw it. Nothing is stored.
    Stale,
    /// The test failed or was not possible. Nothing is stored.
    Refused(ForwardedError),
}

/// An [`Error`] that one function passes to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwardedError {
    status: u16,
    #[serde(rename = "type")]
    kind: ErrorType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    message: String,
    /// The wait in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

impl From<Error> for ForwardedError {
    fn from(error: Error) -> Self {
        Self {
            status: error.class.code(),
            kind: error.kind,
            key: error.key.map(ToOwned::to_owned),
            message: error.message,
            retry_after: error.retry_after.map(|wait| wait.as_secs()),
        }
    }
}

impl From<ForwardedError> for Error {
    fn from(error: ForwardedError) -> Self {
        Self {
            class: ErrorClass::of_code(error.status),
            kind: error.kind,
            key: error.key.as_deref().and_then(documented_key),
            message: error.message,
            data: None,
            allow: None,
            retry_after: error.retry_after.map(Duration::from_secs),
            is_for_people: false,
        }
    }
}

/// Tests credentials and stores those that pass, in this process or in the `refresh` function.
#[async_trait]
pub trait ReplaceCredentials: Send + Sync {
    /// Tests and stores the credentials and waits for the outcome.
    ///
    /// # Errors
    /// When a service that Larder depends on fails. A failed test is an outcome, not an error.
    async fn replace(&self, event: &ReplaceEvent) -> Result<Replaced, Error>;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_forwarded_error_round_trips() {
        let unavailable = Error::connection_unavailable("the provider is down", Duration::from_secs(7));
        for error in [unavailable, Error::connection(Some("rate_limit_exceeded"), "no"), Error::configuration("x")] {
            let sent = serde_json::to_string(&Replaced::Refused(error.clone().into())).expect("JSON");
            let Ok(Replaced::Refused(forwarded)) = serde_json::from_str(&sent) else { panic!("{sent}") };
            let got = Error::from(forwarded);
            assert_eq!(
                (got.class, got.kind, got.key, got.message, got.retry_after),
                (error.class, error.kind, error.key, error.message, error.retry_after)
            );
        }
        assert_eq!(json!(Replaced::Stored), "stored");
    }
}
