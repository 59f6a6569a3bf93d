//! Refreshing everything that is overdue, here or through a queue.

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

/// How many connections are read at once from a shard.
const PAGE: i32 = 100;
/// A sweep begins nothing after this time: the next one begins after a minute.
const TIME: Duration = Duration::from_secs(50);
/// What could not even be tried must not stand in the way of the others.
const POSTPONE: Duration = Duration::from_mins(5);

/// A sweep holds it until it has begun everything that is due.
pub type Beginning = mpsc::Sender<()>;

/// Shared by the sweeps of a process: each of their refreshes holds a slot.
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
    /// Refreshes everything that has been overdue for longer than `grace`, which leaves schedules the time to fire; or puts
    /// it on the queue of refreshes, if there is one.
    ///
    /// When all of it has begun, `beginning` is dropped: only slow ones are waited for then, and another sweep may start.
    ///
    /// # Errors
    /// When the table cannot be queried, or the queue does not take what is due. What happens to single connections is
    /// counted in the report.
    pub async fn sweep(self: &Arc<Self>, grace: Duration, beginning: Option<Beginning>) -> Result<SweepReport, Error> {
        let now = self.clock.now();
        let shards: Vec<_> =
            (0..DUE_SHARDS).map(|shard| self.sweep_shard(shard, now, grace, beginning.clone())).collect();
        drop(beginning);
        // One that cannot be read must not end the refreshes of the others, which may hold what nobody else has.
        let shards = futures::future::join_all(shards).await;
        let report = shards.into_iter().try_fold(SweepReport::default(), |sum, shard| Ok::<_, Error>(sum + shard?))?;
        self.metrics.sweep(now, Duration::from_millis(report.lag_ms));
        note(|record| record.sweep = Some(report));
        Ok(report)
    }

    /// Waits until no sweep of this process refreshes anything any more.
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

    /// Pages of what is overdue in a shard, the longest overdue first.
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

    /// Gives also when the first of them was due.
    async fn refresh_all(
        self: &Arc<Self>,
        pages: BoxStream<'_, Result<Vec<Due>, Error>>,
        end: OffsetDateTime,
        beginning: Option<Beginning>,
    ) -> Result<(SweepReport, Option<i64>), Error> {
        let overdue = pages.map_ok(|page| stream::iter(page).map(Ok::<_, Error>)).try_flatten().boxed();
        let slots = stream::unfold((overdue, beginning), |(mut overdue, beginning)| async move {
            // The last has its slot: this ends the stream, and `beginning` with it.
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
                // Others go on, and hold what nobody else has.
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

    /// Refreshes a connection if it is not too late to begin.
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
            // None of the many belongs into the line of the sweep; the metrics tell of each.
            let (outcome, _) = recorded(refresher.refresh(&key, None, Trigger::Due)).await;
            if outcome.is_err() {
                let now = refresher.clock.now();
                if let Err(error) = refresher.connections.postpone(&key, now, now + POSTPONE).await {
                    log_cause("the database; a connection that cannot be refreshed was not postponed", &error);
                }
            }
            outcome
        };
        Some(isolated(refreshing).await.unwrap_or_else(|panicked| Err(Error::internal(panicked))))
    }
}

/// Puts everything on the queue of refreshes. Gives also when the first of it was due.
async fn add_all(
    queue: &RefreshQueue,
    mut pages: BoxStream<'_, Result<Vec<Due>, Error>>,
) -> Result<(SweepReport, Option<i64>), Error> {
    let (mut report, mut first_at) = (SweepReport::default(), None);
    while let Some(page) = pages.try_next().await? {
        queue.add(&page).await.map_err(|error| Error::unavailable("the queue of refreshes", &error))?;
        report = report + SweepReport { due: page.len(), queued: page.len(), ..SweepReport::default() };
        first_at = first_at.or(page.first().map(|due| due.at));
    }
    Ok((report, first_at))
}
