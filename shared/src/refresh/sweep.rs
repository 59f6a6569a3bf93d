//! Refreshing everything that is overdue, here or through a queue.

use std::time::Duration;

use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Refresher, Trigger};
use crate::clock::milliseconds;
use crate::error::{Error, log_cause};
use crate::invocation::{Sweep, note, recorded};
use crate::invoke::Outcome;
use crate::store::{DUE_SHARDS, Due};

/// How many connections one sweep refreshes at once in each shard.
const CONCURRENCY: usize = 8;
/// How many connections are read at once from a shard.
const PAGE: i32 = 100;
/// A sweep begins nothing after this time: the next one begins after a minute.
const TIME: Duration = Duration::from_secs(50);
/// What could not even be tried must not stand in the way of the others.
const POSTPONE: Duration = Duration::from_mins(5);

/// What one sweep did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepReport {
    /// Connections that were due.
    pub due: usize,
    /// Of these, put on the queue.
    pub queued: usize,
    /// Of these, refreshed.
    pub refreshed: usize,
    /// Of these, failed; they are tried again later.
    pub failed: usize,
    /// For how long the first of them had been due, in milliseconds.
    pub lag_ms: u64,
}

impl std::ops::Add for SweepReport {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            due: self.due + other.due,
            queued: self.queued + other.queued,
            refreshed: self.refreshed + other.refreshed,
            failed: self.failed + other.failed,
            lag_ms: self.lag_ms.max(other.lag_ms),
        }
    }
}

impl Refresher {
    /// Refreshes everything that has been overdue for longer than `grace`, which leaves schedules the time to fire; or puts
    /// it on the queue of refreshes, if there is one.
    ///
    /// # Errors
    /// When the table cannot be queried, or the queue does not take what is due. What happens to single connections is
    /// counted in the report.
    pub async fn sweep(&self, grace: Duration) -> Result<SweepReport, Error> {
        let now = self.clock.now();
        let shards = (0..DUE_SHARDS).map(|shard| self.sweep_shard(shard, now, grace));
        // One that cannot be read must not end the refreshes of the others, which may hold what nobody else has.
        let shards = futures::future::join_all(shards).await;
        let report = shards.into_iter().try_fold(SweepReport::default(), |sum, shard| Ok::<_, Error>(sum + shard?))?;
        let SweepReport { due, queued, refreshed, failed, lag_ms } = report;
        let lag = Duration::from_millis(lag_ms);
        self.metrics.sweep(now, lag);
        note(|record| record.sweep = Some(Sweep { due, queued, refreshed, failed, lag }));
        Ok(report)
    }

    async fn sweep_shard(&self, shard: u8, now: OffsetDateTime, grace: Duration) -> Result<SweepReport, Error> {
        let (before, end) = (now - grace, now + TIME);
        let mut report = SweepReport::default();
        let mut page: Vec<Due> = Vec::new();
        loop {
            page = self.connections.due(shard, before, PAGE, page.last()).await?;
            let first = page.first().map_or(0, |first| milliseconds(now) - first.at);
            report.lag_ms = report.lag_ms.max(u64::try_from(first).unwrap_or_default());
            report = report
                + match &self.queue {
                    Some(queue) => {
                        queue.add(&page).await.map_err(|error| Error::unavailable("the queue of refreshes", &error))?;
                        SweepReport { due: page.len(), queued: page.len(), ..SweepReport::default() }
                    }
                    None => self.refresh_all(&page, end).await,
                };
            if page.len() < PAGE as usize || self.clock.now() >= end {
                return Ok(report);
            }
        }
    }

    async fn refresh_all(&self, page: &[Due], end: OffsetDateTime) -> SweepReport {
        let refreshes: Vec<_> = page.iter().map(|due| self.refresh_until(due, end)).collect();
        let mut outcomes = futures::stream::iter(refreshes).buffer_unordered(CONCURRENCY);
        let mut report = SweepReport { due: page.len(), ..SweepReport::default() };
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Some(Ok(Outcome::Refreshed)) => report.refreshed += 1,
                Some(Ok(Outcome::Failed) | Err(_)) => report.failed += 1,
                Some(Ok(_)) | None => {}
            }
        }
        report
    }

    /// Refreshes a connection if it is not too late to begin.
    async fn refresh_until(&self, due: &Due, end: OffsetDateTime) -> Option<Result<Outcome, Error>> {
        if self.clock.now() >= end {
            return None;
        }
        // None of the many belongs into the line of the sweep; the metrics tell of each.
        let (outcome, _) = recorded(self.refresh(&due.workspace, &due.id, None, Trigger::Due)).await;
        if outcome.is_err() {
            let now = self.clock.now();
            if let Err(error) = self.connections.postpone(&due.workspace, &due.id, now, now + POSTPONE).await {
                log_cause("the database; a connection that cannot be refreshed was not postponed", &error);
            }
        }
        Some(outcome)
    }
}
