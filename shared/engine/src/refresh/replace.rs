//! Replaces the credentials of an integration's connection with ones that a caller supplies, after testing them.

use std::time::Duration;

use async_trait::async_trait;
use larder::connection::{ConnectionKey, Problem};
use larder::dynamodb::{AttemptKind, Begun, Expect};
use larder::error::{Error, ErrorType};
use larder::refresh::{ReplaceCredentials, ReplaceEvent, Replaced};

use super::Refresher;

/// How long the test may take; API Gateway gives up on any request after 30 seconds.
const TEST: Duration = Duration::from_secs(20);

#[async_trait]
impl ReplaceCredentials for Refresher {
    async fn replace(&self, event: &ReplaceEvent) -> Result<Replaced, Error> {
        let begun = Begun::now(AttemptKind::Replace);
        match self.test_and_store(event).await {
            Err(error) if error.kind == ErrorType::Internal => Err(error),
            Err(error) => {
                self.attempts.add(&event.key, begun, Some(&Problem::from(&error))).await;
                let ConnectionKey { workspace, id: connection } = &event.key;
                tracing::warn!(workspace, connection, problem = error.message, "new credentials were not stored");
                let message = format!("nothing was stored: {}", error.message);
                Ok(Replaced::Refused(Error { message, ..error }.into()))
            }
            Ok(Replaced::Stored) => {
                self.attempts.add(&event.key, begun, None).await;
                Ok(Replaced::Stored)
            }
            other => other,
        }
    }
}

impl Refresher {
    async fn test_and_store(&self, event: &ReplaceEvent) -> Result<Replaced, Error> {
        // Replace only the version that the caller saw.
        let stored = self.connections.get(&event.key).await?;
        let Some(mut connection) = stored.filter(|stored| stored.version == event.version) else {
            return Ok(Replaced::Stale);
        };
        let credentials = self.vault.open_candidate(&connection, event).await?;
        // Run the connector's own test, as when connecting.
        let entered = self.vault.open_to_replace(&connection).await?;
        let auth = self.connector_setup.auth_of(&connection, &entered).await?;
        match tokio::time::timeout(TEST, self.provider.examine(&auth, &credentials)).await {
            Ok(passed) => connection.account = passed?,
            Err(_) => {
                let message = format!("testing the credentials took longer than {} s", TEST.as_secs());
                return Err(Error::connection_unavailable(message, Duration::from_secs(60)));
            }
        }
        // Store only if the version is still the same, because the test took time.
        let (before, expect) = (connection.state, Expect::Version(connection.version));
        let now = self.clock.now();
        match self.vault.replace(connection, entered, Some(credentials), expect, now, &*self.rng).await? {
            Some(connection) => {
                self.follow_up.written(Some(before), &connection).await;
                Ok(Replaced::Stored)
            }
            None => Ok(Replaced::Stale),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_ends_before_api_gateway_gives_up() {
        assert_eq!(TEST, Duration::from_secs(20));
    }
}
