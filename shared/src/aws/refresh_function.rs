//! Invokes the `refresh` function from other functions.

use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::connection::RefreshOutcome;
use crate::error::Error;
use crate::record;
use crate::refresh::{RefreshConnection, RefreshEvent, ReplaceCredentials, ReplaceEvent, Replaced};

/// A client of the `refresh` function, which it invokes synchronously.
///
/// See [Invoke](https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html).
#[derive(Debug, Clone)]
pub struct RefreshFunction {
    sdk: SdkConfig,
    /// The Lambda client, created on first use: few processes encounter an expired token.
    client: OnceLock<Client>,
    name: String,
}

impl RefreshFunction {
    /// Creates a client of the function with this name or ARN.
    pub fn new(sdk: SdkConfig, name: impl Into<String>) -> Self {
        Self { sdk, client: OnceLock::new(), name: name.into() }
    }

    /// Returns the timeouts: a refresh or a test takes as long as the provider does, and API Gateway waits for 30 seconds.
    fn timeouts() -> TimeoutConfig {
        let most = Duration::from_secs(25);
        TimeoutConfig::builder().operation_attempt_timeout(most).operation_timeout(most).build()
    }

    async fn invoke<A: DeserializeOwned>(&self, event: &(impl Serialize + Sync)) -> Result<A, Error> {
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
        serde_json::from_slice(&answer).map_err(Error::internal)
    }
}

#[async_trait]
impl RefreshConnection for RefreshFunction {
    async fn refresh(&self, event: &RefreshEvent) -> Result<RefreshOutcome, Error> {
        let outcome = self.invoke(event).await?;
        record::note(|record| record.outcome = Some(outcome));
        Ok(outcome)
    }
}

#[async_trait]
impl ReplaceCredentials for RefreshFunction {
    async fn replace(&self, event: &ReplaceEvent) -> Result<Replaced, Error> {
        self.invoke(event).await
    }
}
