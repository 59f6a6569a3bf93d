//! Refreshes connections: never twice at once, and never losing a result.
//!
//! 1. Load the row and decide the next step from it ([`Connection::next_step`]).
//! 2. Prepare everything that the request to the provider needs.
//! 3. Take the lease, which also checks that the connection has not changed since it was loaded.
//! 4. Call the provider, with a deadline shorter than the lease.
//! 5. Save credentials, expiry and version, and drop the lease, in one write that succeeds only while the lease is still
//!    ours. A result that cannot be saved goes to the recovery queue.
//! 6. Schedule the next refresh. If that fails, the sweep finds the connection.
//!
//! Every step can be repeated, and a crash between any two steps leaves a connection that the sweep picks up again.
//!
//! # Decisions
//!
//! A failure, `invalid_grant` included, is saved under the fencing token like a success. If the row has moved on, the
//! write fails and the newer row stands, so no second read is needed.
//!
//! If a refresh ends before the provider is called (a seal that doesn't open, a key service that is down), the sweeper
//! retries after five minutes, so such rows do not block others at the head of the index.
//!
//! If a provider's answer would make the credentials larger than an item, only its tokens are merged.
//!
//! A refresh requested within a minute of the last attempt returns the present state, so simultaneous requests share
//! the result of one call.

mod queues;
mod recovery;
mod replace;
mod save;
mod sweep;
mod unconfirmed;

use std::sync::Arc;
use std::time::Duration;

use larder::clock::Clock;
pub use larder::connection::Trigger;
use larder::connection::{
    Connection, ConnectionKey, Contents, Failure, Lease, LeaseHolder, NextStep, Problem, RefreshOutcome,
};
use larder::credentials::Credentials;
use larder::dynamodb::{AttemptKind, Attempts, Begun, Connections, Expect, Unconfirmed, Write};
use larder::error::{Error, log_cause};
use larder::follow_up::FollowUp;
use larder::isolation::caught;
use larder::metrics::{Metrics, RefreshMetrics};
use larder::random::Rng;
use larder::record;
use larder::refresh::{RefreshConnection, RefreshEvent};
use larder::vault::Vault;
pub use queues::{Message, RecoveryQueue, RefreshQueue};
pub use recovery::{Recovery, Unsaved};
pub use sweep::{Beginning, Slots};
use time::OffsetDateTime;

use crate::connect::ConnectionWriter;
use crate::connector_setup::ConnectorSetup;
use crate::provider::{ConnectorContext, ObtainedCredentials, Provider, ProviderError, Renewal};

/// The time from taking the lease to sending the request. A slower refresh gives its lease up unused.
const PREPARATION: Duration = Duration::from_secs(10);
/// The duration of a lease. It covers preparation, deadline and clock skew, so a lease cannot be taken over while its holder
/// may still send a request.
pub const LEASE: Duration = PREPARATION.saturating_add(Provider::DEADLINE).saturating_add(Lease::CLOCK_SKEW);

/// How long the sealing key must stay in memory: until the result is saved, or is on the recovery queue.
const KEY_LASTS: Duration = LEASE.saturating_mul(2);

/// Refreshes connections.
pub struct Refresher {
    /// The connections.
    pub connections: Connections,
    /// Opens and seals their contents.
    pub vault: Vault,
    /// Loads their integrations and connectors.
    pub connector_setup: Arc<ConnectorSetup>,
    /// Calls the providers.
    pub provider: Provider,
    /// Ends the wait of credentials that nobody confirms.
    pub writer: ConnectionWriter,
    /// Schedules the next refresh and publishes events.
    pub follow_up: FollowUp,
    /// Records refreshes that were forced or failed, and the first that succeeds after those.
    pub attempts: Attempts,
    /// The queue for due connections; without one, the sweep refreshes them itself.
    pub queue: Option<RefreshQueue>,
    /// The queue for results that cannot be saved, if there is one.
    pub recovery: Option<RecoveryQueue>,
    /// The time source.
    pub clock: Arc<dyn Clock>,
    /// The source of lease tokens and jitter.
    pub rng: Arc<dyn Rng>,
    /// How long to keep trying after the credentials have expired (`REFRESH_GIVE_UP`).
    pub give_up: Duration,
    /// Measures every refresh and every sweep.
    pub metrics: Metrics,
    /// Limits how many refreshes the sweeps run at once.
    pub slots: Slots,
}

/// Everything that a request to the provider needs.
struct PreparedRefresh {
    auth: Arc<ConnectorContext>,
    renewal: Renewal,
    credentials: Credentials,
}

impl Refresher {
    /// Refreshes one connection if it is due and no other refresh is running. `version` is the version that the caller
    /// saw; if the connection has changed since, nothing happens. Unconfirmed credentials that are due are erased instead.
    ///
    /// # Errors
    /// When one of Larder's own dependencies fails. A provider's failure is not an error but a [`RefreshOutcome`].
    pub async fn refresh(
        &self,
        key: &ConnectionKey,
        version: Option<u64>,
        trigger: Trigger,
    ) -> Result<RefreshOutcome, Error> {
        if Unconfirmed::is_item(key) {
            return Box::pin(self.end_unconfirmed(key)).await;
        }
        let (started_at, begun) = (self.clock.now(), Begun::now(AttemptKind::Refresh));
        // Boxed because the future is large and a thread's stack is small.
        let attempt = Box::pin(self.attempt(key, version, trigger));
        let (outcome, record) = record::recorded(attempt).await;
        let measured = RefreshMetrics {
            workspace: &key.workspace,
            connection: &key.id,
            connector: record.connector.as_deref(),
            outcome: &outcome,
            to_expiry: record.expires_at.map(|expires_at| expires_at - started_at),
            provider: record.provider,
        };
        self.metrics.refresh(self.clock.now(), &measured);
        let is_news = match &outcome {
            Ok(RefreshOutcome::Refreshed) => trigger == Trigger::Forced || record.problem_before.is_some(),
            Ok(RefreshOutcome::Failed) => true,
            _ => false,
        };
        if is_news {
            self.attempts.add(key, begun, record.problem.as_ref()).await;
        }
        record::note(|around| {
            around.connection(key);
            around.connector = record.connector.or(around.connector.take());
            around.outcome = outcome.as_ref().ok().copied();
        });
        outcome
    }

    /// Makes one attempt: load, next step, prepare, lease, call, save.
    async fn attempt(
        &self,
        key: &ConnectionKey,
        version: Option<u64>,
        trigger: Trigger,
    ) -> Result<RefreshOutcome, Error> {
        // Load the row, because an event or an index entry may be out of date.
        let Some(connection) = self.connections.get(key).await? else { return Ok(RefreshOutcome::Gone) };
        record::note(|record| {
            record.expires_at = connection.expiry.map(|expiry| expiry.at);
            record.problem_before.clone_from(&connection.problem);
        });
        // Decide the next step before doing anything costly: of many callers, only one gets to refresh.
        let now = self.clock.now();
        match connection.next_step(version, trigger, self.recovery.is_some(), now) {
            NextStep::Ask => {}
            NextStep::Stale => return Ok(RefreshOutcome::Stale),
            NextStep::NotRefreshable => return Ok(RefreshOutcome::NotRefreshable),
            NextStep::FlagAsDead => return self.flag_as_dead(connection, now).await,
            NextStep::Busy => return Ok(RefreshOutcome::Busy),
            NextStep::TooSoon => return Ok(RefreshOutcome::TooSoon),
            NextStep::WaitForRecovery => return self.wait_for_recovery(&connection, now).await,
        }
        // Prepare before taking the lease: a failure here leaves nothing to release, and the lease's time is left for the
        // provider.
        let mut contents = self.vault.open(&connection).await?;
        let prepared = match self.prepare(&connection, &mut contents).await? {
            Ok(prepared) => prepared,
            Err(failure) => {
                let expect = Expect::Unleased(connection.version, now);
                return self.save_failure(connection, &failure, expect).await;
            }
        };
        // Take the lease, because many providers accept a refresh token only once.
        let Some((connection, lease)) = self.take_lease(connection, now).await? else {
            return Ok(RefreshOutcome::Busy);
        };
        // Call without retrying, because the first request may have used up the refresh token.
        let obtained = match self.ask(&connection, &prepared).await {
            Ok(obtained) => obtained,
            Err(failure) => return self.save_failure(connection, &failure, Expect::Lease(&lease)).await,
        };
        // Save at once, while holding the lease: the old token may be dead, and this is the only copy of the new one.
        self.save(connection, contents, prepared.credentials, obtained, &lease).await
    }

    /// Flags a connection for a reconnect because its credentials have expired and cannot be refreshed.
    async fn flag_as_dead(&self, connection: Connection, now: OffsetDateTime) -> Result<RefreshOutcome, Error> {
        let failure = Failure::Permanent(Problem::new(Some("access_token_expired"), Problem::NO_REFRESH_TOKEN));
        let expect = Expect::Unleased(connection.version, now);
        self.save_failure(connection, &failure, expect).await
    }

    /// Leases a connection on behalf of the recovery queue, which may hold the result of a refresh whose lease ended. If
    /// the lease is already taken, someone else is refreshing or waiting, so the outcome is the same.
    async fn wait_for_recovery(&self, connection: &Connection, now: OffsetDateTime) -> Result<RefreshOutcome, Error> {
        let grace = recovery::grace(now, &*self.rng);
        self.connections.lease(connection, &grace, now).await.map(drop)?;
        Ok(RefreshOutcome::Busy)
    }

    /// Prepares the request to the provider, taking the credentials out of the contents. The inner error is a fault in the
    /// setup, which counts as a failed attempt.
    async fn prepare(
        &self,
        connection: &Connection,
        contents: &mut Contents,
    ) -> Result<Result<PreparedRefresh, Failure>, Error> {
        let set_up = caught(self.set_up(connection, contents)).await;
        let set_up = set_up.unwrap_or_else(|panicked| Ok(Err(Failure::of_set_up(panicked.to_string(), None))));
        let (auth, renewal) = match set_up? {
            Ok(set_up) => set_up,
            Err(failure) => return Ok(Err(failure)),
        };
        let id = &connection.key.id;
        let Some(credentials) = contents.credentials.take() else {
            return Err(Error::not_found(format!("the credential store has no credentials for the connection `{id}`")));
        };
        if credentials.as_json().len() > self.vault.max_bytes() {
            return Err(Error::too_large(format!(
                "the credentials of the connection `{id}` are too large for the store"
            )));
        }
        Ok(Ok(PreparedRefresh { auth, renewal, credentials }))
    }

    /// Loads the connector and decides how it refreshes. The inner error is a fault in the setup.
    async fn set_up(
        &self,
        connection: &Connection,
        contents: &Contents,
    ) -> Result<Result<(Arc<ConnectorContext>, Renewal), Failure>, Error> {
        // Fetch the sealing key now, so that the save after the provider's answer needs nothing but the table.
        self.vault.sealer().prepare(&connection.key.workspace, KEY_LASTS).await?;
        let auth = match self.connector_setup.auth_of(connection, contents).await {
            Ok(auth) => auth,
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => return Ok(Err(Failure::of_set_up(error.message, None))),
        };
        Ok(match self.provider.renewal(&auth).await {
            Ok(Some(renewal)) => Ok((auth, renewal)),
            Ok(None) => {
                let message = "the connector can no longer refresh these credentials; check the integration";
                Err(Failure::of_set_up(message, None))
            }
            Err(error) => Err(error.into_failure()),
        })
    }

    /// Takes the lease of a connection that was loaded at `now`. Returns `None` if someone else holds it, or if so much time
    /// has passed that it might expire before the provider answers.
    async fn take_lease(
        &self,
        mut connection: Connection,
        now: OffsetDateTime,
    ) -> Result<Option<(Connection, Lease)>, Error> {
        let lease = Lease::new(LeaseHolder::Refresher, now + LEASE, &*self.rng);
        if self.connections.lease(&connection, &lease, now).await? == Write::Conflict {
            return Ok(None);
        }
        connection.last_attempt_at = Some(now);
        if self.clock.now() > now + PREPARATION {
            // Nothing was sent, so the next attempt need not wait for this lease or suspect a lost answer.
            if let Err(error) = self.connections.release(&connection, &lease).await {
                log_cause("the database; a lease was not released and will expire", &error);
            }
            return Ok(None);
        }
        Ok(Some((connection, lease)))
    }

    /// Requests new credentials from the provider. The error says what its failure means for the connection.
    async fn ask(&self, connection: &Connection, prepared: &PreparedRefresh) -> Result<ObtainedCredentials, Failure> {
        let PreparedRefresh { auth, renewal, credentials } = prepared;
        let credentials = credentials.to_value();
        let asking = caught(self.provider.refresh(auth, renewal, &credentials, connection.expiry));
        let obtained = asking.await.unwrap_or_else(|panicked| Err(ProviderError::configuration(panicked.to_string())));
        obtained.map_err(|error| {
            let failure = error.into_failure();
            // Earlier attempts that failed, or whose lease expired unreleased, may have used up the refresh token.
            let follows_others = connection.lease.is_some() || connection.retry_attempts > 0;
            if follows_others { failure.after_others() } else { failure }
        })
    }
}

#[async_trait::async_trait]
impl RefreshConnection for Refresher {
    async fn refresh(&self, event: &RefreshEvent) -> Result<RefreshOutcome, Error> {
        self.refresh(&event.key, event.version, Trigger::Due).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_covers_preparation_the_deadline_and_clock_skew() {
        assert_eq!(LEASE, Duration::from_secs(10 + 30 + 30));
    }
}
