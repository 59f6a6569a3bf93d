//! Refreshing a connection: never twice, never lost.
//!
//! 1. Load the row, and decide the next step by it ([`Connection::next_step`]).
//! 2. Prepare what is needed to ask the provider.
//! 3. Take the lease, which also checks that the connection is still as it was seen.
//! 4. Ask the provider, under a deadline that is shorter than the lease.
//! 5. Save, only while the lease is still ours: credentials, expiry, new version, no lease, in one write. A result that cannot be
//!    saved goes to the recovery queue.
//! 6. Arm the next schedule. If that fails, the sweeper finds the connection.
//!
//! Every step may be repeated, and a crash between any two of them leaves a connection that the sweeper takes up again.
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
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use larder::clock::Clock;
pub use larder::connection::Trigger;
use larder::connection::{
    Connection, ConnectionKey, Contents, Failure, Lease, LeaseHolder, NextStep, Problem, RefreshOutcome, is_statement,
};
use larder::credentials::Credentials;
use larder::dynamodb::{Connections, Expect, Write};
use larder::error::{Error, log_cause};
use larder::follow_up::FollowUp;
use larder::isolation::caught;
use larder::metrics::{Metrics, RefreshMetrics};
use larder::random::{self, Rng};
use larder::record;
use larder::refresh::{RefreshConnection, RefreshEvent};
use larder::vault::Vault;
pub use queues::{Message, RecoveryQueue, RefreshQueue};
use recovery::Renewed;
pub use recovery::{Recovery, Unsaved};
use serde_json::{Map, Value};
pub use sweep::{Beginning, Slots};
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::connector_setup::ConnectorSetup;
use crate::provider::{ConnectorContext, ObtainedCredentials, Provider, ProviderError, Renewal};

/// From taking the lease to sending the request. Whoever is slower gives the lease up unused.
const PREPARATION: Duration = Duration::from_secs(10);
/// Longer than preparation, deadline and skew together: nobody takes a lease whose holder may still send.
pub const LEASE: Duration = PREPARATION.saturating_add(Provider::DEADLINE).saturating_add(Lease::CLOCK_SKEW);
/// How long the table is waited for before something else is done.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two tries to save a result whose lease has gone to another, or that neither the table nor the queue takes.
const LATE_RETRY: Duration = Duration::from_secs(1);

/// Refreshes connections.
pub struct Refresher {
    /// The connections.
    pub connections: Connections,
    /// Opens and seals them.
    pub vault: Vault,
    /// Their integrations and connectors.
    pub connector_setup: Arc<ConnectorSetup>,
    /// Speaks to the providers.
    pub provider: Provider,
    /// Arms the next refresh, and tells of connections that end or come back.
    pub follow_up: FollowUp,
    /// Where the sweeper puts what is due, if it does not refresh by itself.
    pub queue: Option<RefreshQueue>,
    /// Where results go that cannot be saved, if there is such a queue.
    pub recovery: Option<RecoveryQueue>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Lease tokens and jitter.
    pub rng: Arc<dyn Rng>,
    /// How long a dead credential is still tried (`REFRESH_GIVE_UP`).
    pub give_up: Duration,
    /// Hear of every refresh and every sweep.
    pub metrics: Metrics,
    /// How many refreshes the sweeps have at once.
    pub slots: Slots,
}

/// What is needed to ask a provider.
struct Prepared {
    auth: Arc<ConnectorContext>,
    renewal: Renewal,
    credentials: Credentials,
}

impl Refresher {
    /// Refreshes one connection, if nobody else does and it is time. `version` is the version that was seen when the
    /// refresh was asked for; if the connection has changed since, nothing is done.
    ///
    /// # Errors
    /// When something that Larder stands on fails. An answer of the provider is not an error but a [`RefreshOutcome`].
    pub async fn refresh(
        &self,
        key: &ConnectionKey,
        version: Option<u64>,
        trigger: Trigger,
    ) -> Result<RefreshOutcome, Error> {
        let started_at = self.clock.now();
        // Boxed: it is large, and the stack of a thread is not.
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
        record::note(|around| {
            around.connection(key);
            around.connector = record.connector.or(around.connector.take());
            around.outcome = outcome.as_ref().ok().copied();
        });
        outcome
    }

    async fn attempt(
        &self,
        key: &ConnectionKey,
        version: Option<u64>,
        trigger: Trigger,
    ) -> Result<RefreshOutcome, Error> {
        // Load the row as it is: an event or an index says only what was so when it was written.
        let Some(connection) = self.connections.get(key).await? else { return Ok(RefreshOutcome::Gone) };
        record::note(|record| record.expires_at = connection.expiry.map(|expiry| expiry.at));
        // Decide the next step before anything is opened, since many ask and one is to refresh.
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
        // Prepare all that can fail before the lease, so that the time of the lease is the provider's.
        let mut contents = self.vault.open(&connection).await?;
        let prepared = match self.prepare(&connection, &mut contents).await? {
            Ok(prepared) => prepared,
            Err(failure) => {
                let expect = Expect::Unleased(connection.version, now);
                return self.save_failure(connection, &failure, expect).await;
            }
        };
        // Take the lease, for only one may spend the refresh token.
        let Some((connection, lease)) = self.take_lease(connection, now).await? else {
            return Ok(RefreshOutcome::Busy);
        };
        // Ask once: a second request may find the token used up.
        let obtained = match self.ask(&connection, &prepared).await {
            Ok(obtained) => obtained,
            Err(failure) => return self.save_failure(connection, &failure, Expect::Lease(&lease)).await,
        };
        // Save the answer under the lease, at once: this is the only copy.
        self.save(connection, contents, prepared.credentials, obtained, &lease).await
    }

    /// Credentials that cannot be refreshed need a reconnect once they are dead.
    async fn flag_as_dead(&self, connection: Connection, now: OffsetDateTime) -> Result<RefreshOutcome, Error> {
        let message = "the access token has expired and there is no refresh token; the end user must connect again";
        let failure = Failure::Permanent(Problem::new(Some("access_token_expired"), message));
        let expect = Expect::Unleased(connection.version, now);
        self.save_failure(connection, &failure, expect).await
    }

    /// Leaves a connection to the recovery queue, unless another was first, who has it or has left it to the queue.
    async fn wait_for_recovery(&self, connection: &Connection, now: OffsetDateTime) -> Result<RefreshOutcome, Error> {
        let grace = recovery::grace(now, &*self.rng);
        self.connections.lease(connection, &grace, now).await.map(drop)?;
        Ok(RefreshOutcome::Busy)
    }

    /// What is needed to ask the provider, with the credentials out of the contents. The inner error is a fault in the
    /// set-up, which counts as a failed attempt.
    async fn prepare(
        &self,
        connection: &Connection,
        contents: &mut Contents,
    ) -> Result<Result<Prepared, Failure>, Error> {
        let set_up = caught(self.set_up(connection, contents)).await;
        let set_up = set_up.unwrap_or_else(|panicked| Ok(Err(Failure::of_set_up(panicked.to_string(), None))));
        let (auth, renewal) = match set_up? {
            Ok(set_up) => set_up,
            Err(failure) => return Ok(Err(failure)),
        };
        let id = &connection.key.id;
        let Some(credentials) = contents.credentials.take() else {
            return Err(Error::not_found(format!("the credential store has none of the connection `{id}`")));
        };
        if credentials.as_json().len() > self.vault.max_bytes() {
            return Err(Error::too_large(format!(
                "the credentials of the connection `{id}` are too large for the store"
            )));
        }
        Ok(Ok(Prepared { auth, renewal, credentials }))
    }

    async fn set_up(
        &self,
        connection: &Connection,
        contents: &Contents,
    ) -> Result<Result<(Arc<ConnectorContext>, Renewal), Failure>, Error> {
        // Nothing but the table is to be needed between the provider's answer and the save.
        self.vault.sealer().prepare(&connection.key.workspace).await?;
        let auth = match self.connector_setup.auth_of(connection, contents).await {
            Ok(auth) => auth,
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => return Ok(Err(Failure::of_set_up(error.message, None))),
        };
        Ok(match self.provider.renewal(&auth).await {
            Ok(Some(renewal)) => Ok((auth, renewal)),
            Ok(None) => {
                let message = "the connector has no way to refresh these credentials any more; check the integration";
                Err(Failure::of_set_up(message, None))
            }
            Err(error) => Err(error.into_failure()),
        })
    }

    /// Takes the lease of a connection that was read at `now`. `None` if another has it, or if it might end before the
    /// provider has answered.
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
            // Nothing was sent: the next attempt need not wait for the end of this lease, nor explain it.
            if let Err(error) = self.connections.release(&connection, &lease).await {
                log_cause("the database; a lease was not given back, and ends by itself", &error);
            }
            return Ok(None);
        }
        Ok(Some((connection, lease)))
    }

    /// Asks the provider. The error is what its failure means for the connection.
    async fn ask(&self, connection: &Connection, prepared: &Prepared) -> Result<ObtainedCredentials, Failure> {
        let Prepared { auth, renewal, credentials } = prepared;
        let credentials = credentials.to_value();
        let asking = caught(self.provider.refresh(auth, renewal, &credentials, connection.expiry));
        let obtained = asking.await.unwrap_or_else(|panicked| Err(ProviderError::configuration(panicked.to_string())));
        obtained.map_err(|error| {
            let failure = error.into_failure();
            // A lease that is over was not ended by its holder.
            let follows_others = connection.lease.is_some() || connection.retry_attempts > 0;
            if follows_others { failure.after_others() } else { failure }
        })
    }

    /// Saves what the provider gave instead of the credentials that were refreshed.
    async fn save(
        &self,
        seen: Connection,
        contents: Contents,
        replaced: Credentials,
        obtained: ObtainedCredentials,
        lease: &Lease,
    ) -> Result<RefreshOutcome, Error> {
        let Some(fresh) = self.merged(&contents, &replaced, &obtained.credentials) else {
            let message = "what the refresh returned is too large to be stored; the connector should return less";
            let failure = Failure::of_set_up(message, None);
            return self.save_failure(seen, &failure, Expect::Lease(lease)).await;
        };
        let renewed = Renewed::new(fresh, &replaced, &obtained, self.clock.now());
        let is_dead = obtained.is_dead;
        // Many refreshes run at once, and the largest answers are large.
        drop((replaced, obtained));
        let outcome = self.save_renewed(&seen, contents, &renewed, lease).await?;
        if outcome == RefreshOutcome::Refreshed && is_dead {
            return self.note_dead(&seen).await;
        }
        Ok(outcome)
    }

    /// The credentials with their changes, or with the new tokens alone if all of it is too large to be stored: better
    /// these than nothing. `None` if the tokens are too large, too.
    fn merged(
        &self,
        contents: &Contents,
        credentials: &Credentials,
        changes: &Map<String, Value>,
    ) -> Option<Credentials> {
        let fits = |merged: &Credentials| self.vault.fits(contents, merged);
        let all = credentials.merged(changes);
        if fits(&all) {
            return Some(all);
        }
        Some(credentials.merged(&only_tokens(changes))).filter(fits)
    }

    /// Notes a refresh that failed although what it brought is saved.
    async fn note_dead(&self, seen: &Connection) -> Result<RefreshOutcome, Error> {
        let stored = self.connections.get(&seen.key).await?;
        let Some(mut connection) = stored else { return Ok(RefreshOutcome::Gone) };
        connection.failing_since = seen.failing_since;
        let failure = Failure::Transient { problem: Problem::new(None, ObtainedCredentials::DEAD), retry_after: None };
        let expect = Expect::Unleased(connection.version, self.clock.now());
        self.save_failure(connection, &failure, expect).await
    }

    async fn save_failure(
        &self,
        mut connection: Connection,
        failure: &Failure,
        expect: Expect<'_>,
    ) -> Result<RefreshOutcome, Error> {
        let (now, before) = (self.clock.now(), connection.state);
        connection.last_attempt_at = Some(now);
        connection.apply_failure(failure, now, random::fraction(&*self.rng), self.give_up);
        tracing::warn!(
            workspace = connection.key.workspace,
            connection = connection.key.id,
            state = ?connection.state,
            attempts = connection.retry_attempts,
            problem = failure.problem().message,
            "a refresh failed"
        );
        let prepared = self.vault.prepare_unchanged(connection.clone());
        if persist(PATIENCE, || self.vault.write(&prepared, expect)).await? == Write::Conflict {
            return Ok(RefreshOutcome::Stale);
        }
        self.follow_up.written(Some(before), &connection).await;
        Ok(RefreshOutcome::Failed)
    }

    /// Saves what the provider gave, which is the only copy: in the table, or else on the recovery queue, whichever takes it
    /// first.
    async fn save_renewed(
        &self,
        seen: &Connection,
        mut contents: Contents,
        renewed: &Renewed,
        lease: &Lease,
    ) -> Result<RefreshOutcome, Error> {
        let mut connection = seen.clone();
        renewed.apply(&mut connection, &mut contents);
        let prepared = persist(LEASE, || self.vault.prepare(connection.clone(), &contents)).await?;
        let patience = if self.recovery.is_some() { PATIENCE } else { LEASE };
        let written = persist(patience, || self.vault.write(&prepared, Expect::Lease(lease))).await;
        if let Ok(Write::Done) = written {
            self.follow_up.written(Some(seen.state), &connection).await;
            return Ok(RefreshOutcome::Refreshed);
        }
        let unsaved = Unsaved::seal(self.vault.sealer(), seen, lease, renewed).await?;
        let tried = match written {
            // The lease has gone to another. Whoever saved newer credentials wins; where nobody did, ours are the newest.
            Ok(Write::Done | Write::Conflict) => self.recover(&unsaved).await,
            Err(error) => Err(error),
        };
        self.save_late(&unsaved, tried).await
    }

    /// Saves what could not be saved at once. `tried` is what came of that.
    async fn save_late(&self, unsaved: &Unsaved, mut tried: Result<Recovery, Error>) -> Result<RefreshOutcome, Error> {
        let begun = Instant::now();
        loop {
            match &tried {
                Ok(Recovery::Saved) => return Ok(RefreshOutcome::Refreshed),
                Ok(Recovery::Superseded) => return Ok(RefreshOutcome::Stale),
                Ok(Recovery::Busy) => {}
                Err(error) if error.is_transient() => {}
                Err(_) => return tried.map(|_| RefreshOutcome::Stale),
            }
            if self.leave_to_recovery(unsaved).await {
                return Ok(RefreshOutcome::Recovering);
            }
            if begun.elapsed() >= LEASE {
                return tried.map(|_| RefreshOutcome::Stale);
            }
            tokio::time::sleep(LATE_RETRY).await;
            tried = self.recover(unsaved).await;
        }
    }

    async fn leave_to_recovery(&self, unsaved: &Unsaved) -> bool {
        let Some(queue) = &self.recovery else { return false };
        queue.add(unsaved.clone()).await.inspect_err(|error| log_cause("the recovery queue", error)).is_ok()
    }
}

/// Does it again and again for a while, so long as something that Larder stands on fails.
async fn persist<T, F: Future<Output = Result<T, Error>>>(
    patience: Duration,
    mut work: impl FnMut() -> F,
) -> Result<T, Error> {
    let (begun, mut pause) = (Instant::now(), Duration::from_millis(100));
    loop {
        let error = match work().await {
            Err(error) if error.is_transient() && begun.elapsed() < patience => error,
            result => return result,
        };
        tracing::warn!(%error, "a connection could not be saved yet");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(3));
    }
}

/// The members without which a connection could not go on.
fn only_tokens(changes: &Map<String, Value>) -> Map<String, Value> {
    let tokens = ["access_token", "accessToken", "refresh_token", "refreshToken", "token_type", "tokenType"];
    let is_kept = |name: &str| tokens.contains(&name) || is_statement(name);
    changes.iter().filter(|(name, _)| is_kept(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[async_trait::async_trait]
impl RefreshConnection for Refresher {
    async fn refresh(&self, event: &RefreshEvent) -> Result<RefreshOutcome, Error> {
        self.refresh(&event.key, event.version, Trigger::Due).await
    }
}
