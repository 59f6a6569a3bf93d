//! Refreshing a connection: never twice, never lost.
//!
//! 1. Take the lease, which also checks that the connection is still as it was seen.
//! 2. Ask the provider, under a deadline that is shorter than the lease.
//! 3. Save, only while the lease is still ours: credentials, expiry, new version, no lease, in one write. What cannot be
//!    saved goes to the recovery queue.
//! 4. Arm the next schedule. If that fails, the sweeper finds the connection.
//!
//! Every step may be repeated, and a crash between any two of them leaves a connection that the sweeper takes up again.

mod queues;
mod recovery;
mod replace;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use time::OffsetDateTime;
use tokio::time::Instant;

pub use queues::{Message, RecoveryQueue, RefreshQueue};
pub use recovery::{Recovery, Unsaved};
pub use sweep::{Beginning, Slots};

use crate::clock::Clock;
use crate::configuration::Configuration;
use crate::connection::RefreshOutcome;
use crate::connection::{Connection, Contents, Failure, Lease, Problem, is_statement};
use crate::error::{Error, log_cause};
use crate::invoke::{RefreshConnection, RefreshEvent};
use crate::isolation::caught;
use crate::metrics::{Metrics, RefreshMetrics};
use crate::provider::{Auth, Obtained, Provider, ProviderError, Renewal};
use crate::random::{self, Rng};
use crate::record;
use crate::signals::Signals;
use crate::store::{Connections, Expect};
use crate::vault::Vault;
use recovery::Renewed;

/// From taking the lease to sending the request. Whoever is slower gives the lease up unused.
const PREPARATION: Duration = Duration::from_secs(10);
/// Longer than preparation, deadline and skew together: nobody takes a lease whose holder may still send.
pub const LEASE: Duration = PREPARATION.saturating_add(Provider::DEADLINE).saturating_add(Lease::CLOCK_SKEW);
/// How long the table is waited for before something else is done.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two tries to save a result whose lease has gone to another, or that neither the table nor the queue takes.
const LATE_RETRY: Duration = Duration::from_secs(1);

/// Why a refresh is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// It is due: a schedule, the sweeper, or a reader of an expired token. Back-off is kept.
    Due,
    /// Somebody asked for it by hand. Only the shortest interval between attempts is kept.
    Forced,
}

/// Refreshes connections.
pub struct Refresher {
    /// The connections.
    pub connections: Connections,
    /// Opens and seals them.
    pub vault: Vault,
    /// Their integrations and connectors.
    pub configuration: Arc<Configuration>,
    /// Speaks to the providers.
    pub provider: Provider,
    /// Arms the next refresh, and tells of connections that end or come back.
    pub signals: Signals,
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

impl Refresher {
    /// Refreshes one connection, if nobody else does and it is time. `version` is the version that was seen when the
    /// refresh was asked for; if the connection has changed since, nothing is done.
    ///
    /// # Errors
    /// When something that Larder stands on fails. What the provider answers is no error but an [`RefreshOutcome`].
    pub async fn refresh(
        &self,
        workspace: &str,
        id: &str,
        version: Option<u64>,
        trigger: Trigger,
    ) -> Result<RefreshOutcome, Error> {
        let started_at = self.clock.now();
        // Boxed: it is large, and the stack of a thread is not.
        let attempt = Box::pin(self.attempt(workspace, id, version, trigger));
        let (outcome, record) = record::recorded(attempt).await;
        let measured = RefreshMetrics {
            workspace,
            connection: id,
            connector: record.connector.as_deref(),
            outcome: &outcome,
            to_expiry: record.expires_at.map(|expires_at| expires_at - started_at),
            provider: record.provider,
        };
        self.metrics.refresh(self.clock.now(), &measured);
        record::note(|around| {
            around.connection(workspace, id);
            around.connector = record.connector.or(around.connector.take());
            around.outcome = outcome.as_ref().ok().copied();
        });
        outcome
    }

    async fn attempt(
        &self,
        workspace: &str,
        id: &str,
        version: Option<u64>,
        trigger: Trigger,
    ) -> Result<RefreshOutcome, Error> {
        let Some(mut connection) = self.connections.get(workspace, id).await? else { return Ok(RefreshOutcome::Gone) };
        record::note(|record| record.expires_at = connection.expiry.map(|expiry| expiry.at));
        let now = self.clock.now();
        if version.is_some_and(|version| version != connection.version) {
            return Ok(RefreshOutcome::Stale);
        }
        if !connection.can_refresh() {
            return self.flag_if_dead(connection, now).await;
        }
        if connection.is_leased(now) {
            return Ok(RefreshOutcome::Busy);
        }
        let not_before = match trigger {
            Trigger::Due => connection.attempt_allowed_at(),
            Trigger::Forced => connection.spaced_at(),
        };
        if not_before.is_some_and(|time| time > now) {
            return Ok(RefreshOutcome::TooSoon);
        }
        // Whoever held the last lease did not end it. What the provider gave may be on its way.
        if self.recovery.is_some() && connection.lease.as_ref().is_some_and(|lease| !recovery::is_grace(lease)) {
            self.connections.lease(&connection, &recovery::grace(&*self.rng, now), now).await?;
            return Ok(RefreshOutcome::Busy);
        }

        let contents = self.vault.open(&connection).await?;
        let prepared = caught(self.prepare(&connection, &contents)).await;
        let prepared = prepared.unwrap_or_else(|panicked| Ok(Err(Failure::of_set_up(panicked.to_string(), None))));
        let (auth, renewal) = match prepared? {
            Ok(prepared) => prepared,
            Err(failure) => {
                let expect = Expect::Unleased(connection.version, now);
                return self.save_failure(connection, &failure, expect).await;
            }
        };
        let Some(credentials) = &contents.credentials else {
            return Err(Error::not_found(format!("the credential store has none of the connection `{id}`")));
        };
        if credentials.as_json().len() > self.vault.max_bytes() {
            return Err(Error::too_large(format!(
                "the credentials of the connection `{id}` are too large for the store"
            )));
        }
        let credentials_value = credentials.to_value();

        let lease = Lease { token: random::token::<16>(&*self.rng), until: now + LEASE };
        if !self.connections.lease(&connection, &lease, now).await? {
            return Ok(RefreshOutcome::Busy);
        }
        connection.last_attempt_at = Some(now);
        if self.clock.now() > now + PREPARATION {
            // Nothing was sent: the next attempt need not wait for the end of this lease, nor explain it.
            if let Err(error) = self.connections.release(&connection, &lease).await {
                log_cause("the database; a lease was not given back, and ends by itself", &error);
            }
            return Ok(RefreshOutcome::Busy);
        }
        let asking = caught(self.provider.refresh(&auth, &renewal, &credentials_value, connection.expiry));
        let obtained = asking.await.unwrap_or_else(|panicked| Err(ProviderError::configuration(panicked.to_string())));
        let obtained = match obtained {
            Ok(obtained) => obtained,
            Err(error) => {
                let mut failure = error.into_failure();
                // A lease that is over was not ended by its holder.
                if connection.lease.is_some() || connection.retry_attempts > 0 {
                    failure = failure.after_others();
                }
                return self.save_failure(connection, &failure, Expect::Lease(&lease)).await;
            }
        };
        drop(credentials_value);
        // What is too large is stored without all that is not needed to go on: better the tokens alone than nothing.
        let all = credentials.merged(&obtained.credentials);
        let fresh = match self.vault.fits(&contents, &all) {
            true => all,
            false => credentials.merged(&only_tokens(&obtained.credentials)),
        };
        if !self.vault.fits(&contents, &fresh) {
            let message = "what the refresh returned is too large to be stored; the connector should return less";
            let failure = Failure::of_set_up(message, None);
            return self.save_failure(connection, &failure, Expect::Lease(&lease)).await;
        }
        let renewed = Renewed::new(fresh, credentials, &obtained, self.clock.now());
        let (failing_since, is_dead) = (connection.failing_since, obtained.is_dead);
        drop(obtained);
        let outcome = self.save_renewed(connection, contents, &renewed, &lease).await?;
        if outcome == RefreshOutcome::Refreshed && is_dead {
            return self.note_dead(workspace, id, failing_since).await;
        }
        Ok(outcome)
    }

    /// Notes a refresh that failed although what it brought is saved.
    async fn note_dead(
        &self,
        workspace: &str,
        id: &str,
        failing_since: Option<OffsetDateTime>,
    ) -> Result<RefreshOutcome, Error> {
        let Some(mut connection) = self.connections.get(workspace, id).await? else { return Ok(RefreshOutcome::Gone) };
        connection.failing_since = failing_since;
        let failure = Failure::Transient { problem: Problem::new(None, Obtained::DEAD), retry_after: None };
        let expect = Expect::Unleased(connection.version, self.clock.now());
        self.save_failure(connection, &failure, expect).await
    }

    /// What is needed to ask the provider. The inner error is a fault in the set-up, which counts as a failed attempt.
    async fn prepare(
        &self,
        connection: &Connection,
        contents: &Contents,
    ) -> Result<Result<(Arc<Auth>, Renewal), Failure>, Error> {
        // Nothing but the table is to be needed between the provider's answer and the save.
        self.vault.sealer().prepare(&connection.workspace).await?;
        let auth = match self.configuration.auth_of(connection, contents).await {
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

    /// What cannot be refreshed must be connected again once it is dead.
    async fn flag_if_dead(&self, connection: Connection, now: OffsetDateTime) -> Result<RefreshOutcome, Error> {
        let is_due = connection.next_refresh_at.is_some_and(|due| due <= now);
        if connection.integration.is_none() || !is_due {
            return Ok(RefreshOutcome::NotRefreshable);
        }
        let message = "the access token has expired and there is no refresh token; the end user must connect again";
        let failure = Failure::Permanent(Problem::new(Some("access_token_expired"), message));
        let expect = Expect::Unleased(connection.version, now);
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
        connection.failed(failure, now, random::fraction(&*self.rng), self.give_up);
        tracing::warn!(
            workspace = connection.workspace,
            connection = connection.id,
            state = ?connection.state,
            attempts = connection.retry_attempts,
            problem = failure.problem().message,
            "a refresh failed"
        );
        let prepared = self.vault.prepare_unchanged(connection.clone());
        if !persist(PATIENCE, || self.vault.write(&prepared, expect)).await? {
            return Ok(RefreshOutcome::Stale);
        }
        self.signals.written(Some(before), &connection).await;
        Ok(RefreshOutcome::Failed)
    }

    /// Saves what the provider gave, which is the only copy: in the table, or else on the recovery queue, whichever takes it
    /// first.
    async fn save_renewed(
        &self,
        seen: Connection,
        mut contents: Contents,
        renewed: &Renewed,
        lease: &Lease,
    ) -> Result<RefreshOutcome, Error> {
        let mut connection = seen.clone();
        renewed.apply(&mut connection, &mut contents);
        let prepared = persist(LEASE, || self.vault.prepare(connection.clone(), &contents)).await?;
        let patience = if self.recovery.is_some() { PATIENCE } else { LEASE };
        let written = persist(patience, || self.vault.write(&prepared, Expect::Lease(lease))).await;
        if let Ok(true) = written {
            self.signals.written(Some(seen.state), &connection).await;
            return Ok(RefreshOutcome::Refreshed);
        }
        let unsaved = Unsaved::seal(self.vault.sealer(), &seen, lease, renewed).await?;
        let tried = match written {
            // The lease has gone to another. Whoever saved newer credentials wins; where nobody did, ours are the newest.
            Ok(_) => self.recover(&unsaved).await,
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
        self.refresh(&event.workspace, &event.connection_id, event.version, Trigger::Due).await
    }
}
