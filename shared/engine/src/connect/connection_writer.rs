//! The last step of every way to connect: tests the credentials and stores the connection.

use std::sync::Arc;

use larder::clock::Clock;
use larder::connection::{Connection, ConnectionKey, Contents, DetailsPatch, IntegrationRef};
use larder::credentials::{Credentials, refresh_token};
use larder::dynamodb::{Connections, Expect, Integration, Write};
use larder::error::Error;
use larder::follow_up::FollowUp;
use larder::random::Rng;
use larder::vault::Vault;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::provider::{ConnectorContext, ObtainedCredentials, Provider};

/// A connection that is being created or reconnected.
#[derive(Clone, Serialize, Deserialize)]
pub struct NewConnection {
    /// The workspace of the caller.
    pub workspace: String,
    /// The end user that owns the connection, or will own it. A connection of another end user is never overwritten.
    pub tenant: Option<String>,
    /// The integration to connect through.
    pub integration_key: String,
    /// The way to connect.
    pub option_key: String,
    /// The connection's id.
    pub connection_id: String,
    /// The connection's name, if one was given.
    pub name: Option<String>,
    /// The values that the end user entered.
    pub input: Map<String, Value>,
    /// The overrides of the integration's parameters.
    pub connector_parameters: Map<String, Value>,
}

impl NewConnection {
    /// Returns the connection's key.
    pub fn key(&self) -> ConnectionKey {
        ConnectionKey::new(&self.workspace, &self.connection_id)
    }
}

/// Tests and stores connections.
pub struct ConnectionWriter {
    /// The connections.
    pub connections: Connections,
    /// Seals their contents.
    pub vault: Vault,
    /// Tests the credentials.
    pub provider: Provider,
    /// Schedules the first refresh and publishes events.
    pub follow_up: FollowUp,
    /// The time source.
    pub clock: Arc<dyn Clock>,
    /// The source of versions.
    pub rng: Arc<dyn Rng>,
}

impl ConnectionWriter {
    /// Tests the credentials, and stores them in a new connection or in place of an existing connection's credentials.
    ///
    /// # Errors
    /// When the test fails; 409 when the connection belongs to another end user or keeps changing.
    pub async fn create_or_renew(
        &self,
        new: &NewConnection,
        integration: &Integration,
        auth: &Arc<ConnectorContext>,
        obtained: ObtainedCredentials,
    ) -> Result<Connection, Error> {
        let ObtainedCredentials { credentials, expiry, renews_itself, refresh_margin, .. } = obtained;
        let credentials = Value::Object(credentials);
        let has_refresh_token = refresh_token(&credentials).is_some();
        let credentials = Credentials::from(&credentials);
        // Test before storing anything, so that bad credentials never replace working ones.
        self.provider.test(auth, &credentials, None).await?;
        let contents = Contents {
            credentials: Some(credentials),
            input: new.input.clone(),
            connector_parameters: new.connector_parameters.clone(),
            given: None,
        };
        let (key, contents) = (new.key(), &contents);
        // Retry if the row changes in between, because otherwise the end user would have to start over.
        let established = self.connections.change(&key, |stored| async move {
            let now = self.clock.now();
            // Check the owner, because another end user may have taken this id since the flow began.
            if stored.as_ref().is_some_and(|stored| stored.tenant != new.tenant) {
                return Err(Error::conflict("the connection belongs to another user; start over"));
            }
            // Change an existing connection instead of replacing it, so that it keeps its identity and history.
            let before = stored.as_ref().map(|stored| stored.state);
            let expect = stored.as_ref().map_or(Expect::Absent, |stored| Expect::Version(stored.version));
            // Names belong to people, so that a save does not write them.
            let rename = DetailsPatch { name: new.name.clone().map(Some), ..DetailsPatch::default() };
            if let Some(stored) = stored.as_ref().filter(|it| new.name.is_some() && it.details.name != new.name)
                && self.connections.patch(stored, &rename, now).await? == Write::Conflict
            {
                return Ok(None);
            }
            let mut connection =
                stored.unwrap_or_else(|| Connection { tenant: new.tenant.clone(), ..Connection::new(new.key(), now) });
            let patch = DetailsPatch { name: new.name.clone().map(Some), ..DetailsPatch::default() };
            if before.is_none() {
                connection.details.name = new.name.clone();
            }
            connection.integration = Some(IntegrationRef::new(integration, &new.option_key));
            connection.renews_itself = renews_itself;
            connection.refresh_margin = refresh_margin;
            connection.apply_replacement(expiry, has_refresh_token, now, &*self.rng);
            // Save only over the version that was read, so that a change made meanwhile is not lost.
            if self.vault.save(&connection, contents, expect).await? == Write::Conflict {
                return Ok(None);
            }
            // A name belongs to people, so it is not part of that write.
            if before.is_some() && !patch.is_empty() {
                let _ = self.connections.patch(&connection, &patch, now).await?;
                patch.apply(&mut connection.details, now);
            }
            // Follow up after the save: nothing may be scheduled or published for a connection that is not stored.
            self.follow_up.written(before, &connection).await;
            Ok(Some(connection))
        });
        let by_others = || Error::conflict("other requests are changing the connection; start over");
        established.await?.ok_or_else(by_others)
    }
}
