//! The last step of every way to connect: tests the credentials and stores the connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use larder::clock::Clock;
use larder::connection::{
    Account, Confirmation, Connection, ConnectionKey, Contents, Details, DetailsPatch, Expiry, Given, IntegrationRef,
    Problem, State, new_series,
};
use larder::credentials::{Credentials, refresh_token};
use larder::dynamodb::{AttemptKind, Attempts, Begun, Connections, Expect, Integration, Integrations, Write};
use larder::error::{Error, ErrorType};
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
    /// The connection's key, if one was given. A connection that has another keeps it.
    #[serde(default)]
    pub own_key: Option<String>,
    /// The connection's tags, if any were given.
    #[serde(default)]
    pub tags: Option<BTreeMap<String, String>>,
    /// The connection's JSON of the caller's own, if any was given.
    #[serde(default)]
    pub meta: Option<Map<String, Value>>,
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

    /// Returns the details that it starts with.
    pub(super) fn details(&self) -> Details {
        Details {
            name: self.name.clone(),
            key: self.own_key.clone(),
            tags: self.tags.clone().unwrap_or_default(),
            meta: self.meta.clone(),
            ..Details::default()
        }
    }

    /// Returns the change to the details of the stored connection.
    fn patch(&self, stored: &Details) -> DetailsPatch {
        let name = self.name.clone().filter(|name| stored.name.as_ref() != Some(name));
        let key = self.own_key.clone().filter(|_| stored.key.is_none());
        DetailsPatch {
            name: name.map(Some),
            key: key.map(Some),
            tags: self.tags.clone().filter(|tags| stored.tags != *tags),
            meta: self.meta.clone().filter(|meta| stored.meta.as_ref() != Some(meta)).map(Some),
            is_deactivated: None,
        }
    }

    /// Checks the owner of the stored connection, because another end user may have taken this id since the flow began.
    pub(super) fn check_owner(&self, stored: &Connection) -> Result<(), Error> {
        if stored.tenant == self.tenant {
            return Ok(());
        }
        Err(Error::conflict("the connection belongs to another user; start over"))
    }
}

pub(super) fn by_others() -> Error {
    Error::conflict("other requests are changing the connection; start over")
}

/// New credentials, with everything that is stored with them.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    pub(super) contents: Contents,
    expiry: Option<Expiry>,
    has_refresh_token: bool,
    renews_itself: bool,
    refresh_margin: Option<Duration>,
    scopes: Option<Vec<String>>,
    account: Option<Account>,
    /// The series of versions that they start, if it was chosen earlier.
    pub(super) series: Option<u64>,
}

impl Candidate {
    /// Puts credentials together with the values that they were obtained with.
    pub fn new(
        obtained: ObtainedCredentials,
        input: Map<String, Value>,
        connector_parameters: Map<String, Value>,
    ) -> Self {
        let ObtainedCredentials { credentials, expiry, renews_itself, refresh_margin, scopes, account, .. } = obtained;
        let credentials = Value::Object(credentials);
        let has_refresh_token = refresh_token(&credentials).is_some();
        let credentials = Some(Credentials::from(&credentials));
        let contents = Contents { credentials, input, connector_parameters, given: None };
        Self { contents, expiry, has_refresh_token, renews_itself, refresh_margin, scopes, account, series: None }
    }

    /// Limits functions that use the integration's secrets to these identifiers, because a caller supplied the credentials.
    #[must_use]
    pub fn with_given(mut self, given: Option<Given>) -> Self {
        self.contents.given = given;
        self
    }

    /// Keeps the expiry, the scopes and the account of a connection, because the credentials are its own.
    #[must_use]
    pub fn of_same_tokens(self, stored: &Connection) -> Self {
        let Connection { expiry, scopes, account, .. } = stored;
        Self { expiry: *expiry, scopes: scopes.clone(), account: account.clone(), ..self }
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
    /// Records connects.
    pub attempts: Attempts,
    /// The integrations, which may be deleted meanwhile.
    pub integrations: Integrations,
    /// The time source.
    pub clock: Arc<dyn Clock>,
    /// The source of versions.
    pub rng: Arc<dyn Rng>,
}

impl ConnectionWriter {
    /// Tests the credentials, and stores them in a new connection or in place of an existing connection's credentials. If they
    /// need a confirmation, they wait for [`Self::confirm`] instead, and the returned connection is [`State::Building`].
    ///
    /// # Errors
    /// When the test fails; 409 when the connection belongs to another end user or keeps changing.
    pub async fn create_or_renew(
        &self,
        new: &NewConnection,
        integration: &Integration,
        auth: &Arc<ConnectorContext>,
        obtained: ObtainedCredentials,
        confirmation: Option<&Confirmation>,
    ) -> Result<Connection, Error> {
        let candidate = Candidate::new(obtained, new.input.clone(), new.connector_parameters.clone());
        // Test before storing anything, so that bad credentials never replace working ones.
        let candidate = self.tested(auth, candidate).await?;
        let integration = IntegrationRef::new(integration, &new.option_key);
        if let Some(confirmation) = confirmation {
            return self.hold(new, integration, candidate, confirmation).await;
        }
        let (key, integration, candidate) = (&new.key(), &integration, &candidate);
        // Retry if the row changes in between, because otherwise the end user would have to start over.
        let establish = |stored| async move { self.establish(new, stored, integration, candidate).await };
        self.connections.change(key, establish).await?.ok_or_else(by_others)
    }

    /// Stores tested credentials in a new connection, or in the stored one. Returns `None` if the row has changed.
    pub(super) async fn establish(
        &self,
        new: &NewConnection,
        stored: Option<Connection>,
        integration: &IntegrationRef,
        candidate: &Candidate,
    ) -> Result<Option<Connection>, Error> {
        let Some(stored) = stored else {
            return self.create(new.key(), new.tenant.clone(), new.details(), integration, candidate).await;
        };
        new.check_owner(&stored)?;
        let patch = new.patch(&stored.details);
        let expect = Expect::Version(stored.version);
        self.renew(stored, integration, candidate, &patch, expect).await
    }

    /// Tests new credentials.
    ///
    /// # Errors
    /// When the test fails.
    pub async fn tested(&self, auth: &Arc<ConnectorContext>, mut candidate: Candidate) -> Result<Candidate, Error> {
        if let Some(credentials) = &candidate.contents.credentials {
            let account = self.provider.examine(auth, credentials).await?;
            candidate.account = account.or(candidate.account);
        }
        Ok(candidate)
    }

    /// Carries out a connect and records its outcome in the connection's history.
    ///
    /// # Errors
    /// Those of `connecting`.
    pub async fn recorded(
        &self,
        new: &NewConnection,
        connecting: impl Future<Output = Result<Connection, Error>>,
    ) -> Result<Connection, Error> {
        let begun = Begun::now(AttemptKind::Connect);
        let connected = connecting.await;
        match &connected {
            // Confirming it adds it to the history.
            Ok(connection) if connection.state == State::Building => {}
            Ok(connection) => self.attempts.add(&connection.key, begun, None).await,
            Err(error) if error.kind == ErrorType::Internal => {}
            Err(error) => {
                // Only the history of an existing connection is shown, and only its own end user may add to it.
                let stored = self.connections.get(&new.key()).await.ok().flatten();
                if stored.is_some_and(|stored| stored.tenant == new.tenant) {
                    self.attempts.add(&new.key(), begun, Some(&Problem::from(error))).await;
                }
            }
        }
        connected
    }

    /// Stores a new connection. Returns `None` if there is one with this key.
    ///
    /// # Errors
    /// 404 when the integration is gone; 409 when another connection of the tenant has the same key in its details; 413 when it
    /// is too large.
    pub async fn create(
        &self,
        key: ConnectionKey,
        tenant: Option<String>,
        details: Details,
        integration: &IntegrationRef,
        candidate: &Candidate,
    ) -> Result<Option<Connection>, Error> {
        let connection = Connection { tenant, details, ..Connection::new(key, self.clock.now()) };
        let created = self.save(connection, None, integration, candidate, Expect::Absent).await?;
        let Some(created) = created else { return Ok(None) };
        // A deletion of the integration counts its connections after it has removed it, and sees this one. If it counted
        // earlier, the integration is gone by now. A table that fails must not hide the connection.
        let found = self.integrations.get(&created.key.workspace, &integration.key).await;
        if matches!(found, Ok(None)) {
            if self.vault.remove(&created).await? == Write::Done {
                self.follow_up.removed(&created).await;
            }
            let message = format!("the integration `{}` was deleted meanwhile", integration.key);
            return Err(Error::not_found(message));
        }
        Ok(Some(created))
    }

    /// Changes an existing connection instead of replacing it, so that it keeps its identity and history. Returns `None` if
    /// the stored row does not match `expect`.
    ///
    /// # Errors
    /// 409 when another connection of the tenant has the key of the patch; 413 when it is too large.
    pub async fn renew(
        &self,
        mut stored: Connection,
        integration: &IntegrationRef,
        candidate: &Candidate,
        patch: &DetailsPatch,
        expect: Expect<'_>,
    ) -> Result<Option<Connection>, Error> {
        let (before, now) = (Some(stored.state), self.clock.now());
        if patch.is_empty() {
            return self.save(stored, before, integration, candidate, expect).await;
        }
        // The attributes that people own are not part of the save. They follow it: if the row has changed, or is too large,
        // nothing of the patch takes effect.
        let seen = stored.clone();
        patch.apply(&mut stored.details, now);
        let saved = self.save(stored, before, integration, candidate, expect).await?;
        if saved.is_some() && self.connections.patch(&seen, patch, now).await? == Write::Conflict {
            return Err(Error::conflict("the connection was deleted meanwhile; start over"));
        }
        Ok(saved)
    }

    async fn save(
        &self,
        mut connection: Connection,
        before: Option<State>,
        integration: &IntegrationRef,
        candidate: &Candidate,
        expect: Expect<'_>,
    ) -> Result<Option<Connection>, Error> {
        let &Candidate { ref contents, expiry, has_refresh_token, renews_itself, refresh_margin, .. } = candidate;
        connection.integration = Some(integration.clone());
        connection.renews_itself = renews_itself;
        connection.refresh_margin = refresh_margin;
        connection.scopes.clone_from(&candidate.scopes);
        connection.account.clone_from(&candidate.account);
        let series = candidate.series.unwrap_or_else(|| new_series(&*self.rng));
        connection.apply_series(series, expiry, has_refresh_token, self.clock.now());
        // Save only over the row that was read, so that a change made meanwhile is not lost.
        if self.vault.save(&connection, contents, expect).await? == Write::Conflict {
            return Ok(None);
        }
        // Follow up after the save: nothing may be scheduled or published for a connection that is not stored.
        self.follow_up.written(before, &connection).await;
        Ok(Some(connection))
    }
}
