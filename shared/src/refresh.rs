//! Asking the `refresh` function to refresh one connection, or to test and store credentials for it.

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
    /// The version that was seen; if it has changed since, nothing is done.
    #[serde(default)]
    pub version: Option<u64>,
}

/// Refreshes one connection, here or elsewhere.
#[async_trait]
pub trait RefreshConnection: Send + Sync {
    /// Waits for the outcome.
    ///
    /// # Errors
    /// When something that Larder depends on fails. Anything that the provider answers is an outcome.
    async fn refresh(&self, event: &RefreshEvent) -> Result<RefreshOutcome, Error>;
}

/// An event of `put-credentials` for the `refresh` function: credentials for a connection of an integration, which are to be
/// tested before they replace anything. `sealed` tells it apart from a [`RefreshEvent`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplaceEvent {
    /// The connection.
    #[serde(flatten)]
    pub key: ConnectionKey,
    /// The version that was seen; if it has changed since, nothing is done.
    pub version: u64,
    /// The credentials, sealed for this connection and version, in URL-safe base64.
    pub sealed: String,
}

/// The outcome for new credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Replaced {
    /// The credentials are stored.
    Stored,
    /// The connection has changed since it was seen. Nothing is stored.
    Stale,
    /// The test failed or could not be made. Nothing is stored.
    Refused(Refusal),
}

/// An [`Error`] on its way from one function to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    status: u16,
    #[serde(rename = "type")]
    kind: ErrorType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    message: String,
    /// In seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

impl From<Error> for Refusal {
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

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self {
            class: ErrorClass::of_code(refusal.status),
            kind: refusal.kind,
            key: refusal.key.as_deref().and_then(documented_key),
            message: refusal.message,
            data: None,
            allow: None,
            retry_after: refusal.retry_after.map(Duration::from_secs),
        }
    }
}

/// Tests credentials and stores those that pass, here or elsewhere.
#[async_trait]
pub trait ReplaceCredentials: Send + Sync {
    /// Waits for what comes of it.
    ///
    /// # Errors
    /// When something that Larder depends on fails. Credentials that do not pass the test are an answer.
    async fn replace(&self, event: &ReplaceEvent) -> Result<Replaced, Error>;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_is_the_same_error_at_the_other_end() {
        let unavailable = Error::connection_unavailable("the provider is down", Duration::from_secs(7));
        for error in [unavailable, Error::connection(Some("rate_limit_exceeded"), "no"), Error::configuration("x")] {
            let sent = serde_json::to_string(&Replaced::Refused(error.clone().into())).expect("JSON");
            let Ok(Replaced::Refused(refusal)) = serde_json::from_str(&sent) else { panic!("{sent}") };
            let got = Error::from(refusal);
            assert_eq!(
                (got.class, got.kind, got.key, got.message, got.retry_after),
                (error.class, error.kind, error.key, error.message, error.retry_after)
            );
        }
        assert_eq!(json!(Replaced::Stored), "stored");
    }
}
