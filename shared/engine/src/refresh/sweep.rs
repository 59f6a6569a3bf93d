//! The sweep: refreshes everything that is overdue, in this process or through the refresh queue.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use larder::clock::milliseconds;
use larder::connection::RefreshOutcome;
use larder::dynamodb::{DUE_SHARDS, Due};
use larder::error::{Error, log_cause};
use larder::isolation::isolated;
use larder::record::{SweepReport, note, recorded};
use time::OffsetDateTime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{RefreshQueue, Refresher, Trigger};

/// How many connections a query reads from a shard.
const PAGE: i32 = 100;
/// How long a sweep starts refreshes. The next sweep starts after a minute.
const TIME: Duration = Duration::from_secs(50);
/// How long to postpone a connection that could not even be tried, so that it does not hold up the others.
const POSTPONE: Duration = Duration::from_mins(5);

/// A guard that a sweep holds until it has started everything that is due.
pub type Beginning = mpsc::Sender<()>;

/// The refresh slots that the sweeps of a process share. Each refresh holds one.
pub struct Slots(Arc<Semaphore>);

type Slot = OwnedSemaphorePermit;

impl Slots {
    const COUNT: usize = 64;

    async fn take(&self) -> Slot {
        Arc::clone(&self.0).acquire_owned().await.expect("the semaphore is never closed")
    }
}

impl Default for Slots {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(Self::COUNT)))
    }
}

impl Refresher {
    /// Refreshes everything that has been overdue for longer than `grace`, which gives schedules time to fire, or puts it on
    /// the refresh queue if there is one.
    ///
    /// `beginning` is dropped once every refresh has started. From then on the sweep only waits for slow ones, and another
    /// sweep may start.
    ///
    /// # Errors
    /// When the table cannot be queried or the queue does not accept the connections. Failures of single connections are
    /// counted in the report instead.
    pub async fn sweep(self: &Arc<Self>, grace: Duration, beginning: Option<Beginning>) -> Result<SweepReport, Error> {
        let now = self.clock.now();
        let shards: Vec<_> =
            (0..DUE_SHARDS).map(|shard| self.sweep_shard(shard, now, grace, beginning.clone())).collect();
        drop(beginning);
        // Join all: a shard that cannot be read must not cancel the others' refreshes, which may hold the only copy of a
        // result.
        let shards = futures::future::join_all(shards).await;
        let report = shards.into_iter().try_fold(SweepReport::default(), |sum, shard| Ok::<_, Error>(sum + shard?))?;
        self.metrics.sweep(now, Duration::from_millis(report.lag_ms));
        note(|record| record.sweep = Some(report));
        Ok(report)
    }

    /// Waits until no sweep of this process is refreshing anything.
    pub async fn idle(&self) {
        drop(self.slots.0.acquire_many(Slots::COUNT as u32).await);
    }

    async fn sweep_shard(
        self: &Arc<Self>,
        shard: u8,
        now: OffsetDateTime,
        grace: Duration,
        beginning: Option<Beginning>,
    ) -> Result<SweepReport, Error> {
        let end = now + TIME;
        let pages = self.overdue(shard, now - grace, end);
        let (report, first_at) = match &self.queue {
            Some(queue) => add_all(queue, pages).await?,
            None => self.refresh_all(pages, end, beginning).await?,
        };
        let lag = first_at.map_or(0, |at| milliseconds(now) - at);
        Ok(SweepReport { lag_ms: u64::try_from(lag).unwrap_or_default(), ..report })
    }

    /// Returns pages of a shard's overdue connections, the longest overdue first.
    fn overdue(
        &self,
        shard: u8,
        before: OffsetDateTime,
        end: OffsetDateTime,
    ) -> BoxStream<'_, Result<Vec<Due>, Error>> {
        let pages = stream::try_unfold(Some(None), move |next: Option<Option<Due>>| async move {
            let Some(after) = next else { return Ok(None) };
            let page = self.connections.due(shard, before, PAGE, after.as_ref()).await?;
            let is_last = page.len() < PAGE as usize || self.clock.now() >= end;
            let next = if is_last { None } else { Some(page.last().cloned()) };
            Ok(Some((page, next)))
        });
        pages.boxed()
    }

    /// Refreshes the connections in `pages`. Also returns when the first of them was due.
    async fn refresh_all(
        self: &Arc<Self>,
        pages: BoxStream<'_, Result<Vec<Due>, Error>>,
        end: OffsetDateTime,
        beginning: Option<Beginning>,
    ) -> Result<(SweepReport, Option<i64>), Error> {
        let overdue = pages.map_ok(|page| stream::iter(page).map(Ok::<_, Error>)).try_flatten().boxed();
        let slots = stream::unfold((overdue, beginning), |(mut overdue, beginning)| async move {
            // After the last connection has its slot, this ends the stream and drops `beginning`.
            let due = overdue.next().await?;
            Some(((due, self.slots.take().await), (overdue, beginning)))
        });
        let refreshes = slots.map(|(due, slot)| async move {
            let due = due?;
            Ok((due.at, self.refresh_until(due, slot, end).await))
        });
        let mut refreshes = refreshes.buffer_unordered(Slots::COUNT).boxed();
        let (mut report, mut first_at, mut unread) = (SweepReport::default(), None, None);
        while let Some(refresh) = refreshes.next().await {
            let (at, outcome) = match refresh {
                Ok(refresh) => refresh,
                // Let the other refreshes finish: they may hold the only copy of a result.
                Err(error) => {
                    unread = Some(error);
                    continue;
                }
            };
            first_at = Some(first_at.map_or(at, |first: i64| first.min(at)));
            report.due += 1;
            match outcome {
                Some(Ok(RefreshOutcome::Refreshed)) => report.refreshed += 1,
                Some(Ok(RefreshOutcome::Failed) | Err(_)) => report.failed += 1,
                Some(Ok(_)) | None => {}
            }
        }
        unread.map_or(Ok((report, first_at)), Err)
    }

    /// Refreshes a connection unless the sweep's time is over.
    async fn refresh_until(
        self: &Arc<Self>,
        due: Due,
        slot: Slot,
        end: OffsetDateTime,
    ) -> Option<Result<RefreshOutcome, Error>> {
        if self.clock.now() >= end {
            return None;
        }
        let (refresher, key) = (Arc::clone(self), due.key);
        let refreshing = async move {
            let _slot = slot;
            // Keep single refreshes out of the sweep's own log record; the metrics have them.
            let (outcome, _) = recorded(refresher.refresh(&key, None, Trigger::Due)).await;
            if outcome.is_err() {
                let now = refresher.clock.now();
                if let Err(error) = refresher.connections.postpone(&key, now, now + POSTPONE).await {
                    log_cause("the database; a connection that could not be refreshed was not postponed", &error);
                }
            }
            outcome
        };
        Some(isolated(refreshing).await.unwrap_or_else(|panicked| Err(Error::internal(panicked))))
    }
}

/// Puts everything on the refresh queue. Also returns when the first connection was due.
async fn add_all(
    queue: &RefreshQueue,
    mut pages: BoxStream<'_, Result<Vec<Due>, Error>>,
) -> Result<(SweepReport, Option<i64>), Error> {
    let (mut report, mut first_at) = (SweepReport::default(), None);
    while let Some(page) = pages.try_next().await? {
        queue.add(&page).await.map_err(|error| Error::unavailable("the refresh queue", &error))?;
        report = report + SweepReport { due: page.len(), queued: page.len(), ..SweepReport::default() };
        first_at = first_at.or(page.first().map(|due| due.at));
    }
    Ok((report, first_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sweeps_of_a_process_refresh_64_connections_at_once() {
        assert_eq!(Slots::default().0.available_permits(), 64);
    }
}
