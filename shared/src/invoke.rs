//! Asking the `refresh` function to refresh one connection.

use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::invocation;

/// What a schedule, or a reader of an expired token, sends to the `refresh` function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefreshEvent {
    /// The key of the workspace.
    pub workspace: String,
    /// The id of the connection in it.
    pub connection_id: String,
    /// The version that was seen; if it has changed since, nothing is done.
    #[serde(default)]
    pub version: Option<u64>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// There are new credentials.
    Refreshed,
    /// There are new credentials, but they could not be saved yet: they wait on the recovery queue.
    Recovering,
    /// The provider refused or did not answer; the connection says why.
    Failed,
    /// The connection has changed since the refresh was asked for.
    Stale,
    /// Somebody else is refreshing it.
    Busy,
    /// The last attempt is too recent.
    TooSoon,
    /// There is nothing to refresh with.
    NotRefreshable,
    /// There is no such connection.
    Gone,
}

/// Refreshes one connection, here or elsewhere.
#[async_trait]
pub trait RefreshConnection: Send + Sync {
    /// Waits for the outcome.
    async fn refresh(&self, event: &RefreshEvent) -> Result<Outcome, Error>;
}

/// The `refresh` function, invoked by its name and waited for.
///
/// See [Invoke](https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html).
#[derive(Debug, Clone)]
pub struct RefreshFunction {
    sdk: SdkConfig,
    /// Made when it is first needed: few processes meet an expired token.
    client: OnceLock<Client>,
    name: String,
}

impl RefreshFunction {
    /// The function of that name or ARN.
    pub fn new(sdk: SdkConfig, name: impl Into<String>) -> Self {
        Self { sdk, client: OnceLock::new(), name: name.into() }
    }

    /// A refresh takes as long as the provider, and API Gateway waits for 30 seconds.
    fn timeouts() -> TimeoutConfig {
        let most = Duration::from_secs(25);
        TimeoutConfig::builder().operation_attempt_timeout(most).operation_timeout(most).build()
    }
}

#[async_trait]
impl RefreshConnection for RefreshFunction {
    async fn refresh(&self, event: &RefreshEvent) -> Result<Outcome, Error> {
        let payload = Blob::new(serde_json::to_vec(event).map_err(Error::internal)?);
        let client = self.client.get_or_init(|| {
            let config = aws_sdk_lambda::config::Builder::from(&self.sdk).timeout_config(Self::timeouts());
            Client::from_conf(config.build())
        });
        let output = client.invoke().function_name(&self.name).payload(payload).send().await;
        let output = output.map_err(|error| Error::unavailable("the refresh function", &error))?;
        if let Some(kind) = output.function_error {
            let failure = std::io::Error::other(kind);
            return Err(Error::unavailable("the refresh function", &failure));
        }
        let answer = output.payload.map(Blob::into_inner).unwrap_or_default();
        let outcome = serde_json::from_slice(&answer).map_err(Error::internal)?;
        invocation::note(|record| record.outcome = Some(outcome));
        Ok(outcome)
    }
}
