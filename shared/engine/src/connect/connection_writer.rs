//! The last step of every way to connect: test the credentials, and store what passed.

use std::sync::Arc;

use larder::clock::Clock;
use larder::connection::{Connection, ConnectionKey, Contents, IntegrationRef};
use larder::credentials::{Credentials, refresh_token};
use larder::dynamodb::{Connections, Expect, Integration, Write};
use larder::error::Error;
use larder::follow_up::FollowUp;
use larder::random::Rng;
use larder::vault::Vault;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::provider::{ConnectorContext, ObtainedCredentials, Provider};

/// A connection that is being made or renewed.
#[derive(Clone, Serialize, Deserialize)]
pub struct NewConnection {
    /// The workspace of the caller.
    pub workspace: String,
    /// The end user whom the connection belongs to, now or when it is made. Nobody else's is written to.
    pub tenant: Option<String>,
    /// The integration to connect through.
    pub integration_key: String,
    /// The way to connect.
    pub option_key: String,
    /// The id of the connection.
    pub connection_id: String,
    /// Its name, if one was given.
    pub name: Option<String>,
    /// What the end user entered.
    pub input: Map<String, Value>,
    /// Overrides of the integration's parameters.
    pub connector_parameters: Map<String, Value>,
}

impl NewConnection {
    /// The key of the connection.
    pub fn key(&self) -> ConnectionKey {
        ConnectionKey::new(&self.workspace, &self.connection_id)
    }
}

/// Tests and stores connections.
pub struct ConnectionWriter {
    /// The connections.
    pub connections: Connections,
    /// Seals them.
    pub vault: Vault,
    /// Tests them.
    pub provider: Provider,
    /// Arms the first refresh, and tells of the connection.
    pub follow_up: FollowUp,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The versions of what is stored.
    pub rng: Arc<dyn Rng>,
}

impl ConnectionWriter {
    /// Tests the credentials and stores the new connection, or the new credentials of the one that is there.
    ///
    /// # Errors
    /// When the test fails; 409 when the connection has become somebody else's.
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
        self.provider.test(auth, &credentials, None).await?;
        let contents = Contents {
            credentials: Some(credentials),
            input: new.input.clone(),
            connector_parameters: new.connector_parameters.clone(),
            given: None,
        };
        let (key, contents) = (new.key(), &contents);
        let established = self.connections.change(&key, |stored| async move {
            let now = self.clock.now();
            // Since the flow began, somebody may have stored credentials under this id.
            if stored.as_ref().is_some_and(|stored| stored.tenant != new.tenant) {
                return Err(Error::conflict("the connection belongs to somebody else; connect again"));
            }
            let before = stored.as_ref().map(|stored| stored.state);
            let expect = stored.as_ref().map_or(Expect::Absent, |stored| Expect::Version(stored.version));
            let mut connection =
                stored.unwrap_or_else(|| Connection { tenant: new.tenant.clone(), ..Connection::new(new.key(), now) });
            connection.name = new.name.clone().or(connection.name);
            connection.integration = Some(IntegrationRef::new(integration, &new.option_key));
            connection.renews_itself = renews_itself;
            connection.refresh_margin = refresh_margin;
            connection.apply_replacement(expiry, has_refresh_token, now, &*self.rng);
            if self.vault.save(&connection, contents, expect).await? == Write::Conflict {
                return Ok(None);
            }
            self.follow_up.written(before, &connection).await;
            Ok(Some(connection))
        });
        let by_others = || Error::conflict("the connection is being changed by others; connect again");
        established.await?.ok_or_else(by_others)
    }
}
