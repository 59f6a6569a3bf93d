//! Saves the result of a refresh: the new credentials, or the failure.
//!
//! The new credentials are the only copy, and the provider may no longer accept the old ones. So saving them is retried, and
//! a result that the table does not accept goes to the recovery queue.

use std::time::Duration;

use larder::connection::{
    Connection, Contents, Failure, Lease, Problem, RefreshOutcome, is_statement, states_lifetime,
};
use larder::credentials::Credentials;
use larder::dynamodb::{Expect, Write};
use larder::error::{Error, log_cause};
use larder::{random, record};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::recovery::{Recovery, Renewed, Unsaved};
use super::{LEASE, Refresher};
use crate::provider::ObtainedCredentials;

/// How long a write to the table is retried before falling back to something else.
const WRITE_PATIENCE: Duration = Duration::from_secs(2);
/// The pause between attempts to save a result whose lease someone else has taken over, or that neither the table nor the
/// queue takes.
const LATE_RETRY: Duration = Duration::from_secs(1);

impl Refresher {
    /// Replaces the refreshed credentials with those the provider returned.
    pub(super) async fn save(
        &self,
        seen: Connection,
        contents: Contents,
        replaced: Credentials,
        obtained: ObtainedCredentials,
        lease: &Lease,
    ) -> Result<RefreshOutcome, Error> {
        let Some(fresh) = self.merged(&contents, &replaced, &obtained.credentials) else {
            let message = "the refresh returned too much data to store; the connector should return less";
            let failure = Failure::of_set_up(message, None);
            return self.save_failure(seen, &failure, Expect::Lease(lease)).await;
        };
        let renewed = Renewed::new(fresh, &replaced, &obtained, self.clock.now());
        let is_dead = obtained.is_dead;
        // Free the answer before the save, which may wait: many refreshes run at once, and answers can be large.
        drop((replaced, obtained));
        let outcome = self.save_renewed(&seen, contents, &renewed, lease).await?;
        if outcome == RefreshOutcome::Refreshed && is_dead {
            return self.save_still_expired(&seen).await;
        }
        Ok(outcome)
    }

    /// Merges the changes into the credentials, or only the new tokens if all of the changes are too large to store.
    /// Returns `None` if the tokens alone are too large, too.
    fn merged(
        &self,
        contents: &Contents,
        credentials: &Credentials,
        changes: &Map<String, Value>,
    ) -> Option<Credentials> {
        let fits = |merged: &Credentials| self.vault.fits(contents, merged);
        let credentials = &credentials.without(|name| is_outdated(name, changes));
        let all = credentials.merged(changes);
        if fits(&all) {
            return Some(all);
        }
        Some(credentials.merged(&only_tokens(changes))).filter(fits)
    }

    /// Records a failure after a refresh whose result was worth saving although its access token has expired.
    async fn save_still_expired(&self, seen: &Connection) -> Result<RefreshOutcome, Error> {
        let stored = self.connections.get(&seen.key).await?;
        let Some(mut connection) = stored else { return Ok(RefreshOutcome::Gone) };
        connection.failing_since = seen.failing_since;
        let failure = Failure::Transient { problem: Problem::new(None, ObtainedCredentials::DEAD), retry_after: None };
        let expect = Expect::Unleased(connection.version, self.clock.now());
        self.save_failure(connection, &failure, expect).await
    }

    /// Records a failed attempt, which decides when the next one is due or that the end user must reconnect.
    pub(super) async fn save_failure(
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
        if persist(WRITE_PATIENCE, || self.vault.write(&prepared, expect)).await? == Write::Conflict {
            return Ok(RefreshOutcome::Stale);
        }
        record::note(|record| record.problem.clone_from(&connection.problem));
        self.follow_up.written(Some(before), &connection).await;
        Ok(RefreshOutcome::Failed)
    }

    /// Saves new credentials, of which this is the only copy, in the table or on the recovery queue, whichever takes them
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
        // Seal before writing, so that a retry of the write needs only the table.
        let prepared = persist(LEASE, || self.vault.prepare(connection.clone(), &contents)).await?;
        // Give up early if the recovery queue can take over.
        let patience = if self.recovery.is_some() { WRITE_PATIENCE } else { LEASE };
        let written = persist(patience, || self.vault.write(&prepared, Expect::Lease(lease))).await;
        if let Ok(Write::Done) = written {
            self.follow_up.written(Some(seen.state), &connection).await;
            return Ok(RefreshOutcome::Refreshed);
        }
        let unsaved = Unsaved::seal(self.vault.sealer(), seen, lease, renewed).await?;
        let tried = match written {
            // Someone else has taken over the lease. If they saved newer credentials, theirs win; otherwise ours are the
            // newest.
            Ok(Write::Done | Write::Conflict) => self.recover(&unsaved).await,
            Err(error) => Err(error),
        };
        self.save_late(&unsaved, tried).await
    }

    /// Keeps trying to save a result that could not be saved at once. `tried` is the outcome of the first attempt.
    async fn save_late(&self, unsaved: &Unsaved, mut tried: Result<Recovery, Error>) -> Result<RefreshOutcome, Error> {
        let begun = Instant::now();
        loop {
            match &tried {
                Ok(Recovery::Saved) => return Ok(RefreshOutcome::Refreshed),
                Ok(Recovery::Superseded) => return Ok(RefreshOutcome::Stale),
                // This is the only copy, so keep it whatever the error: even a row that is too large can shrink.
                Ok(Recovery::Busy) | Err(_) => {}
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

    /// Puts a result on the recovery queue. Returns whether the queue took it.
    async fn leave_to_recovery(&self, unsaved: &Unsaved) -> bool {
        let Some(queue) = &self.recovery else { return false };
        queue.add(unsaved.clone()).await.inspect_err(|error| log_cause("the recovery queue", error)).is_ok()
    }
}

/// Retries `work` with a growing pause while a dependency fails, until `patience` has passed.
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
        tracing::warn!(%error, "a connection could not be saved; retrying");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(3));
    }
}

/// Whether a stored member states the expiry of the token before: an imported `expires_at` would outlive its token.
fn is_outdated(name: &str, changes: &Map<String, Value>) -> bool {
    is_statement(name) && !changes.contains_key(name) && states_lifetime(changes)
}

/// Returns the members that a connection cannot do without: the tokens, and those that state their lifetime.
fn only_tokens(changes: &Map<String, Value>) -> Map<String, Value> {
    let tokens = ["access_token", "accessToken", "refresh_token", "refreshToken", "token_type", "tokenType"];
    let is_kept = |name: &str| tokens.contains(&name) || is_statement(name);
    changes.iter().filter(|(name, _)| is_kept(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test]
    async fn only_outages_are_retried_slower_and_slower_for_a_while() {
        let calls_until = async |error: fn() -> Error| {
            let mut calls = 0;
            let work = persist(Duration::from_millis(500), || {
                calls += 1;
                ready(Err::<(), _>(error()))
            });
            let result = tokio::time::timeout(Duration::from_secs(30), work).await.expect("an end");
            assert!(result.is_err());
            calls
        };
        assert_eq!(calls_until(|| Error::bad_request("too large")).await, 1);
        // After 0, 100, 300 and 700 milliseconds.
        let calls = calls_until(|| Error::unready("down")).await;
        assert!((2..=4).contains(&calls), "{calls}");
    }
}
