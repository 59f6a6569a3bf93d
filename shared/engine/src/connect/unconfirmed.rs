//! Connecting with a confirmation: the tested credentials wait, and the application confirms or discards them.
//!
//! [`larder::connection::Confirmation`] says why, and how they are kept.
//!
//! # Decisions
//!
//! Credentials of a new connection that nobody confirms are revoked at the provider, as after a disconnect. Those of a
//! reconnect are only erased: many providers end the whole grant with one token, and the connection would die with it. The
//! same is true if the end user has connected in another way meanwhile, or if a later request replaced them.
//!
//! Confirming twice has the effect of confirming once: the connection's next series of versions is chosen when the
//! credentials come. If the connection is in that series, it has them, and writing them again would bring a used refresh
//! token back. A confirmation that failed in the middle can be repeated until its time is up.

use larder::connection::{Confirmation, Connection, ConnectionKey, IntegrationRef, State, new_series};
use larder::dynamodb::{AttemptKind, Begun, Unconfirmed, Write};
use larder::error::{Error, ErrorClass, ErrorType, log_cause};
use larder::seal::SealContext;
use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::connection_writer::by_others;
use super::{Candidate, ConnectionWriter, NewConnection};
use crate::connector_setup::ConnectorSetup;

/// Everything that is needed to store the credentials once they are confirmed. It is sealed.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Held {
    new: NewConnection,
    integration: IntegrationRef,
    candidate: Candidate,
}

impl ConnectionWriter {
    /// Keeps tested credentials until they are confirmed, instead of those of an earlier request. Returns the connection that
    /// they are for, in the state `BUILDING`.
    pub(super) async fn hold(
        &self,
        new: &NewConnection,
        integration: IntegrationRef,
        mut candidate: Candidate,
        confirmation: &Confirmation,
    ) -> Result<Connection, Error> {
        let (key, now) = (new.key(), self.clock.now());
        let stored = self.connections.get(&key).await?;
        if let Some(stored) = &stored {
            new.check_owner(stored)?;
        }
        // A confirmation must not fail because of their size.
        drop(self.vault.prepare(Connection::new(key.clone(), now), &candidate.contents).await?);
        let series = new_series(&*self.rng);
        candidate.series = Some(series);
        let connection = stored.clone().unwrap_or_else(|| Connection {
            tenant: new.tenant.clone(),
            integration: Some(integration.clone()),
            details: new.details(),
            ..Connection::new(key.clone(), now)
        });
        // The candidate has these values, too.
        let new = NewConnection { input: Map::new(), connector_parameters: Map::new(), ..new.clone() };
        let held = serde_json::to_vec(&Held { new, integration, candidate }).map_err(Error::internal)?;
        let unconfirmed = Unconfirmed {
            confirmation: confirmation.clone(),
            series,
            replaces: stored.map(|stored| stored.version),
            is_ended: false,
            sealed: self.vault.sealer().seal(place(&key, series), &held).await?,
            key,
        };
        if self.connections.put_unconfirmed(&unconfirmed, now).await? == Write::Conflict {
            return Err(Error::conflict("an earlier attempt to connect is being confirmed; start over"));
        }
        Ok(Connection { state: State::Building, ..connection })
    }

    /// Stores the credentials that wait for a connection, as a connect without a confirmation does. `recorded` runs once they
    /// are stored, before what waited is erased: if it fails, confirming again comes to it.
    ///
    /// # Errors
    /// 404 if none of this request wait, because they were confirmed, discarded or replaced, or their time is up; 409 if the
    /// connection got other credentials meanwhile or keeps changing; and as [`Self::create_or_renew`].
    pub async fn confirm(
        &self,
        connector_setup: &ConnectorSetup,
        key: &ConnectionKey,
        request_id: &str,
        recorded: impl Future<Output = Result<(), Error>>,
    ) -> Result<Connection, Error> {
        let (now, begun) = (self.clock.now(), Begun::now(AttemptKind::Connect));
        let found = self.connections.unconfirmed(key).await?.filter(|it| it.is_open(now));
        let unconfirmed = found.ok_or_else(nothing_waits)?;
        check_request(&unconfirmed, request_id)?;
        // From here on, nobody else ends or replaces them.
        if self.connections.mark_confirmed(&unconfirmed, now).await? == Write::Conflict {
            return Err(nothing_waits());
        }
        let stored = self.store_held(connector_setup, &unconfirmed).await;
        if stored.as_ref().is_err_and(|error| !error.is_transient()) {
            self.connections.unmark_confirmed(&unconfirmed).await.map(drop)?;
        }
        let connection = stored?;
        recorded.await?;
        if let Err(error) = self.connections.erase_unconfirmed(&unconfirmed).await {
            log_cause("the database; confirmed credentials will be erased when their time is up", &error);
        }
        self.attempts.add(&connection.key, begun, None).await;
        Ok(connection)
    }

    async fn store_held(&self, connector_setup: &ConnectorSetup, confirmed: &Unconfirmed) -> Result<Connection, Error> {
        let key = &confirmed.key;
        let Held { new, integration, candidate } = &self.open_held(confirmed).await?;
        // The integration may have been deleted since.
        connector_setup.integration(&key.workspace, &integration.key).await?;
        let established = self.connections.change(key, |stored| async move {
            match stored {
                // An earlier confirmation stored them, and its answer was lost.
                Some(stored) if confirmed.are_those_of(&stored) => Ok(Some(stored)),
                stored if confirmed.fit(stored.as_ref()) => self.establish(new, stored, integration, candidate).await,
                _ => {
                    let message = "the connection was changed or connected in another way since; start over";
                    Err(Error::conflict(message))
                }
            }
        });
        established.await?.ok_or_else(by_others)
    }

    /// Ends the wait of a request's credentials, and erases them. Those of a new connection are revoked first. Discarding ones
    /// that no longer wait succeeds. Returns whether the connection has them already, because a confirmation was interrupted
    /// after it had stored them; they are left to it.
    ///
    /// # Errors
    /// 409 while they are being confirmed; 503 when the table or the key service fails.
    pub async fn discard(
        &self,
        connector_setup: &ConnectorSetup,
        key: &ConnectionKey,
        request_id: &str,
    ) -> Result<bool, Error> {
        let found = self.connections.unconfirmed(key).await?;
        let Some(unconfirmed) = found.filter(|it| it.confirmation.request_id == request_id) else { return Ok(false) };
        let stored = self.connections.get(key).await?;
        if stored.is_some_and(|stored| unconfirmed.are_those_of(&stored)) {
            return Ok(true);
        }
        match self.end(connector_setup, &unconfirmed).await? {
            Write::Done => Ok(false),
            Write::Conflict => Err(Error::conflict("the connection is being confirmed; delete it instead")),
        }
    }

    /// Ends the wait of all credentials for a connection, and erases them, because the connection ends. Ones that are being
    /// confirmed are left: they change the connection, so that it does not end.
    ///
    /// # Errors
    /// 503 when the table or the key service fails.
    pub async fn discard_all(&self, connector_setup: &ConnectorSetup, key: &ConnectionKey) -> Result<(), Error> {
        match self.connections.unconfirmed(key).await? {
            Some(unconfirmed) => self.end(connector_setup, &unconfirmed).await.map(drop),
            None => Ok(()),
        }
    }

    /// Ends the wait of credentials whose time is up, or that were discarded, and erases them. It conflicts if they are being
    /// confirmed or were replaced.
    ///
    /// # Errors
    /// 503 when the table or the key service fails.
    pub async fn end(&self, connector_setup: &ConnectorSetup, unconfirmed: &Unconfirmed) -> Result<Write, Error> {
        // Nobody can confirm them after this, so they can be revoked.
        if self.connections.mark_ended(unconfirmed, self.clock.now()).await? == Write::Conflict {
            return Ok(Write::Conflict);
        }
        let is_new = unconfirmed.replaces.is_none() && self.connections.get(&unconfirmed.key).await?.is_none();
        if is_new && let Err(error) = self.revoke_held(connector_setup, unconfirmed).await {
            // A service that Larder depends on, not the provider: the sweeper tries again.
            if (error.class, error.kind) == (ErrorClass::Unavailable, ErrorType::Internal) {
                return Err(error);
            }
            let ConnectionKey { workspace, id: connection } = &unconfirmed.key;
            tracing::warn!(workspace, connection, %error, "the provider was not notified of an unconfirmed connection");
        }
        // A conflict means that a later request has replaced them.
        self.connections.erase_unconfirmed(unconfirmed).await.map(|_| Write::Done).map_err(Into::into)
    }

    async fn revoke_held(&self, connector_setup: &ConnectorSetup, unconfirmed: &Unconfirmed) -> Result<(), Error> {
        let Held { new, integration, candidate } = self.open_held(unconfirmed).await?;
        let Some(credentials) = &candidate.contents.credentials else { return Ok(()) };
        let connection = Connection {
            tenant: new.tenant,
            integration: Some(integration),
            ..Connection::new(unconfirmed.key.clone(), self.clock.now())
        };
        let auth = connector_setup.auth_of(&connection, &candidate.contents).await?;
        Ok(self.provider.disconnect(&auth, &credentials.to_value(), None).await?)
    }

    async fn open_held(&self, unconfirmed: &Unconfirmed) -> Result<Held, Error> {
        let place = place(&unconfirmed.key, unconfirmed.series);
        let bytes = self.vault.sealer().open(place, &unconfirmed.sealed).await?;
        serde_json::from_slice(&bytes).map_err(|_| Error::internal("unconfirmed credentials are damaged"))
    }
}

fn check_request(unconfirmed: &Unconfirmed, request_id: &str) -> Result<(), Error> {
    if unconfirmed.confirmation.request_id == request_id {
        return Ok(());
    }
    Err(Error::conflict("a later connection request replaced this one; confirm that one, or start over"))
}

fn nothing_waits() -> Error {
    Error::not_found("nothing waits to be confirmed: the request was confirmed, canceled or replaced, or has expired")
}

fn place(key: &ConnectionKey, series: u64) -> SealContext<'_> {
    SealContext::of("unconfirmed", key, series)
}
