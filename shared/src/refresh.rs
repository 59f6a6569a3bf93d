//! Refreshing a connection: never twice, never lost.
//!
//! 1. Take the lease, which also checks that the connection is still as it was seen.
//! 2. Ask the provider, under a deadline that is shorter than the lease.
//! 3. Save, only while the lease is still ours: credentials, expiry, new version, no lease, in one write.
//! 4. Arm the next schedule. If that fails, the sweeper finds the connection.
//!
//! Every step may be repeated, and a crash between any two of them leaves a connection that the sweeper takes up again.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::clock::Clock;
use crate::configuration::Configuration;
use crate::connection::{Connection, Contents, Failure, Lease, Problem};
use crate::credentials::{Credentials, refresh_token};
use crate::error::Error;
use crate::invoke::{Outcome, RefreshConnection, RefreshEvent};
use crate::provider::{Auth, Provider, Renewal};
use crate::random::{self, Rng};
use crate::scheduler::{Scheduler, arm_or_leave_to_sweeper};
use crate::store::{Connections, DUE_SHARDS, Expect};
use crate::vault::Vault;

/// How far the clocks of two invocations may be apart.
const SKEW: Duration = Duration::from_secs(30);
/// From taking the lease to sending the request. Whoever is slower gives the lease up unused.
const PREPARATION: Duration = Duration::from_secs(10);
/// Longer than preparation, deadline and skew together: nobody takes a lease whose holder may still send.
const LEASE: Duration = PREPARATION.saturating_add(Provider::DEADLINE).saturating_add(SKEW);
/// How many connections one sweep refreshes at once, and how many it takes from each shard.
const SWEEP_CONCURRENCY: usize = 64;
const SWEEP_BATCH: i32 = 100;
/// What could not even be tried must not stand in the way of the others.
const POSTPONE: Duration = Duration::from_mins(5);

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
    /// Arms the next refresh.
    pub scheduler: Arc<dyn Scheduler>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Lease tokens and jitter.
    pub rng: Arc<dyn Rng>,
    /// How long a dead credential is still tried (`REFRESH_GIVE_UP`).
    pub give_up: Duration,
}

/// What one sweep did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepReport {
    /// Connections that were due.
    pub due: usize,
    /// Of these, refreshed.
    pub refreshed: usize,
    /// Of these, failed; they are tried again later.
    pub failed: usize,
}

impl Refresher {
    /// Refreshes one connection, if nobody else does and it is time. `version` is the version that was seen when the
    /// refresh was asked for; if the connection has changed since, nothing is done.
    ///
    /// # Errors
    /// When something that Larder stands on fails. What the provider answers is no error but an [`Outcome`].
    pub async fn refresh(
        &self,
        workspace: &str,
        id: &str,
        version: Option<u64>,
        trigger: Trigger,
    ) -> Result<Outcome, Error> {
        let Some(mut connection) = self.connections.get(workspace, id).await? else { return Ok(Outcome::Gone) };
        let now = self.clock.now();
        if version.is_some_and(|version| version != connection.version) {
            return Ok(Outcome::Stale);
        }
        if !connection.can_refresh() {
            return self.flag_if_dead(connection, now).await;
        }
        if connection.is_leased(now) {
            return Ok(Outcome::Busy);
        }
        let not_before = match trigger {
            Trigger::Due => connection.attempt_allowed_at(),
            Trigger::Forced => connection.spaced_at(),
        };
        if not_before.is_some_and(|time| time > now) {
            return Ok(Outcome::TooSoon);
        }

        let contents = self.vault.open(&connection).await?;
        let (auth, renewal) = match self.prepare(&connection, &contents).await? {
            Ok(prepared) => prepared,
            Err(failure) => {
                let expect = Expect::Unleased(connection.version, now);
                return self.save_failure(connection, contents, &failure, expect).await;
            }
        };
        let Some(credentials) = &contents.credentials else { return Ok(Outcome::NotRefreshable) };
        let credentials_value = credentials.to_value();

        let lease = Lease { token: random::token::<16>(&*self.rng), until: now + LEASE };
        if !self.connections.lease(&connection, &lease, now).await? {
            return Ok(Outcome::Busy);
        }
        connection.last_attempt_at = Some(now);
        if self.clock.now() > now + PREPARATION {
            return Ok(Outcome::Busy);
        }
        match self.provider.refresh(&auth, &renewal, &credentials_value).await {
            Ok(obtained) => {
                let mut fresh = credentials.merged(&obtained.credentials);
                if fresh.as_json().len() > Credentials::MAX_BYTES {
                    // Better the tokens alone than nothing.
                    fresh = credentials.merged(&only_tokens(obtained.credentials));
                }
                let now = self.clock.now();
                connection.renews_itself = obtained.renews_itself;
                connection.renewed(obtained.expiry, refresh_token(&fresh.to_value()).is_some(), now);
                connection.last_refreshed_at = Some(now);
                let contents = Contents { credentials: Some(fresh), ..contents };
                self.save(connection, &contents, Expect::Lease(&lease), Outcome::Refreshed).await
            }
            Err(error) => self.save_failure(connection, contents, &error.into_failure(), Expect::Lease(&lease)).await,
        }
    }

    /// Refreshes everything that has been overdue for longer than `grace`, which leaves schedules the time to fire.
    ///
    /// # Errors
    /// When the table cannot be queried. What happens to single connections is counted in the report.
    pub async fn sweep(&self, grace: Duration) -> Result<SweepReport, Error> {
        let before = self.clock.now() - grace;
        let shards = (0..DUE_SHARDS).map(|shard| self.connections.due(shard, before, SWEEP_BATCH));
        let due: Vec<_> = futures::future::try_join_all(shards).await?.into_iter().flatten().collect();
        let mut report = SweepReport { due: due.len(), ..SweepReport::default() };
        let mut outcomes = futures::stream::iter(due)
            .map(|(workspace, id)| async move {
                let outcome = self.refresh(&workspace, &id, None, Trigger::Due).await;
                if outcome.is_err() {
                    let now = self.clock.now();
                    self.connections.postpone(&workspace, &id, now, now + POSTPONE).await?;
                }
                outcome
            })
            .buffer_unordered(SWEEP_CONCURRENCY);
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Ok(Outcome::Refreshed) => report.refreshed += 1,
                Ok(Outcome::Failed) | Err(_) => report.failed += 1,
                Ok(_) => {}
            }
        }
        Ok(report)
    }

    /// What is needed to ask the provider. The inner error is a fault in the set-up, which counts as a failed attempt.
    async fn prepare(
        &self,
        connection: &Connection,
        contents: &Contents,
    ) -> Result<Result<(Arc<Auth>, Renewal), Failure>, Error> {
        let auth = match self.configuration.auth_of(connection, contents).await {
            Ok(auth) => auth,
            Err(error) if error.status.is_server_error() => return Err(error),
            Err(error) => {
                let problem = Problem::new(Some("configuration"), error.message);
                return Ok(Err(Failure::Transient { problem, retry_after: None }));
            }
        };
        Ok(match self.provider.renewal(&auth).await {
            Ok(Some(renewal)) => Ok((auth, renewal)),
            Ok(None) => {
                let message = "the connector cannot renew these credentials any more; the end user must connect again";
                Err(Failure::Permanent(Problem::new(Some("access_token_expired"), message)))
            }
            Err(error) => Err(error.into_failure()),
        })
    }

    /// What cannot be refreshed must be connected again once it is dead.
    async fn flag_if_dead(&self, connection: Connection, now: OffsetDateTime) -> Result<Outcome, Error> {
        let is_due = connection.next_refresh_at.is_some_and(|due| due <= now);
        if connection.integration.is_none() || !is_due {
            return Ok(Outcome::NotRefreshable);
        }
        let message = "the access token has expired and there is no refresh token; the end user must connect again";
        let failure = Failure::Permanent(Problem::new(Some("access_token_expired"), message));
        let contents = self.vault.open(&connection).await?;
        let expect = Expect::Unleased(connection.version, now);
        self.save_failure(connection, contents, &failure, expect).await
    }

    async fn save_failure(
        &self,
        mut connection: Connection,
        contents: Contents,
        failure: &Failure,
        expect: Expect<'_>,
    ) -> Result<Outcome, Error> {
        let now = self.clock.now();
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
        self.save(connection, &contents, expect, Outcome::Failed).await
    }

    /// Seals and saves, again and again until the lease would be over: what the provider gave is the only copy.
    async fn save(
        &self,
        mut connection: Connection,
        contents: &Contents,
        expect: Expect<'_>,
        outcome: Outcome,
    ) -> Result<Outcome, Error> {
        let mut pause = Duration::from_millis(100);
        let mut waited = Duration::ZERO;
        let mut is_sealed = false;
        loop {
            // Sealed once, so that a write whose answer was lost can be recognised by its bytes.
            let saved = async {
                if !is_sealed {
                    self.vault.seal(&mut connection, contents).await?;
                    is_sealed = true;
                }
                Ok::<_, Error>(self.connections.put(&connection, expect).await?)
            };
            let error = match saved.await {
                Ok(true) => break,
                Ok(false) if self.is_saved(&connection).await? => break,
                // Somebody put other credentials there meanwhile: theirs are newer.
                Ok(false) => return Ok(Outcome::Stale),
                Err(error) => error,
            };
            if waited >= LEASE || !error.status.is_server_error() {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            waited += pause;
            pause = (pause * 2).min(Duration::from_secs(3));
        }
        arm_or_leave_to_sweeper(&*self.scheduler, &connection).await;
        Ok(outcome)
    }

    /// Whether a write whose answer was lost has arrived all the same.
    async fn is_saved(&self, connection: &Connection) -> Result<bool, Error> {
        let stored = self.connections.get(&connection.workspace, &connection.id).await?;
        Ok(stored.is_some_and(|stored| stored.sealed == connection.sealed))
    }
}

fn only_tokens(mut changes: Map<String, Value>) -> Map<String, Value> {
    changes.retain(|name, _| matches!(name.as_str(), "access_token" | "refresh_token" | "expires_in" | "token_type"));
    changes
}

#[async_trait::async_trait]
impl RefreshConnection for Refresher {
    async fn refresh(&self, event: &RefreshEvent) -> Result<Outcome, Error> {
        self.refresh(&event.workspace, &event.connection_id, event.version, Trigger::Due).await
    }
}
