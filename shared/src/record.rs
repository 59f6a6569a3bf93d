//! The record of an invocation or of a part of it, and how it is found by what adds to it.
//!
//! # Decisions
//!
//! The members of a log line are known in many places: the workspace in `caller`, the connection in `dynamodb`, the
//! connector in `connector_setup`, the provider's time in `egress`. They `note` it in a task-local record, so no
//! signature carries it. `recorded` opens a nested record: a refresh has one, from which its metrics are made, so the
//! many refreshes of a sweep do not mix. Only the provider's time counts in all surrounding records. Work in another
//! task takes the record along.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

use crate::connection::{ConnectionKey, RefreshOutcome};

tokio::task_local! {
    static CURRENT: Arc<Scope>;
}

/// What was learned in the course of an invocation, or of a part of it. Nothing here may be secret.
#[derive(Debug, Default)]
pub struct Record {
    /// The workspace, once the caller is known to belong to it.
    pub workspace: Option<String>,
    /// The id of the connection.
    pub connection: Option<String>,
    /// The key of its connector.
    pub connector: Option<String>,
    /// When the access token that was found expires.
    pub expires_at: Option<OffsetDateTime>,
    /// What came of a refresh.
    pub outcome: Option<RefreshOutcome>,
    /// What came of a sweep.
    pub sweep: Option<SweepReport>,
    /// What came of messages of a queue.
    pub batch: Option<Batch>,
    /// Why an access token of ours was refused, which callers are not told.
    pub refusal: Option<&'static str>,
    /// How long applications were waited for, all requests added up; `None` without any.
    pub provider: Option<Duration>,
}

/// The result of one sweep.
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

/// What became of messages that came together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// How many there were.
    pub messages: usize,
    /// Of these, given back to be delivered again.
    pub returned: usize,
}

impl Record {
    /// Notes which connection it is about.
    pub fn connection(&mut self, key: &ConnectionKey) {
        self.workspace = Some(key.workspace.clone());
        self.connection = Some(key.id.clone());
    }
}

/// Runs a piece of work with a record of its own, and gives that. What goes in is not in the record around it, but for the
/// time that the provider took, which counts in both.
pub async fn recorded<T>(work: impl Future<Output = T>) -> (T, Record) {
    let around = CURRENT.try_with(Arc::clone).ok();
    let scope = Arc::new(Scope { record: Mutex::default(), around });
    let output = CURRENT.scope(Arc::clone(&scope), work).await;
    let record = std::mem::take(&mut *scope.record.lock().expect("no panic holds it"));
    (output, record)
}

/// Adds to the record of what runs here.
pub fn note(add: impl FnOnce(&mut Record)) {
    // Outside of an invocation there is nothing to add to.
    let _ = CURRENT.try_with(|scope| add(&mut scope.record.lock().expect("no panic holds it")));
}

/// Waits for a connected application. The time counts also if the wait is given up.
pub async fn waiting_for_provider<T>(exchange: impl Future<Output = T>) -> T {
    let _wait = Wait { scope: CURRENT.try_with(Arc::clone).ok(), since: Instant::now() };
    exchange.await
}

/// The record and the span of what runs here, to be taken along to another task.
#[derive(Clone)]
pub struct TaskContext {
    scope: Option<Arc<Scope>>,
    span: Span,
}

impl TaskContext {
    /// Those of this place.
    pub fn current() -> Self {
        Self { scope: CURRENT.try_with(Arc::clone).ok(), span: Span::current() }
    }

    /// Runs a piece of work as if it ran where this was made.
    pub async fn run<T>(self, work: impl Future<Output = T>) -> T {
        let work = work.instrument(self.span);
        match self.scope {
            Some(scope) => CURRENT.scope(scope, work).await,
            None => work.await,
        }
    }
}

#[derive(Default)]
struct Scope {
    record: Mutex<Record>,
    around: Option<Arc<Self>>,
}

struct Wait {
    scope: Option<Arc<Scope>>,
    since: Instant,
}

impl Drop for Wait {
    fn drop(&mut self) {
        let waited = self.since.elapsed();
        let mut next = self.scope.as_ref();
        while let Some(scope) = next {
            *scope.record.lock().expect("no panic holds it").provider.get_or_insert_default() += waited;
            next = scope.around.as_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_keeps_its_notes_but_its_waits_count_for_the_whole() {
        let wait = |millis| waiting_for_provider(tokio::time::sleep(Duration::from_millis(millis)));
        let whole = async {
            note(|record| record.workspace = Some("w".into()));
            let part = recorded(async {
                note(|record| record.connection(&ConnectionKey::new("w", "c")));
                wait(5).await;
                // Given up.
                drop(tokio::time::timeout(Duration::from_millis(2), wait(100)).await);
            });
            let (part, other) = tokio::join!(part, recorded(wait(20)));
            (part.1, other.1)
        };
        let ((part, other), whole) = recorded(whole).await;
        assert_eq!((part.connection.as_deref(), other.connection.as_deref()), (Some("c"), None));
        assert_eq!((whole.workspace.as_deref(), whole.connection.as_deref()), (Some("w"), None));
        let [part, other, whole] = [part, other, whole].map(|record| record.provider.unwrap());
        assert!(part >= Duration::from_millis(7) && part < Duration::from_millis(100), "{part:?}");
        assert!(other >= Duration::from_millis(20), "{other:?}");
        assert_eq!(whole, part + other);
    }

    #[tokio::test]
    async fn a_note_in_another_task_arrives_if_it_takes_the_record_along() {
        let work = async {
            let here = TaskContext::current();
            let along = here.run(async { note(|record| record.connector = Some("crm".into())) });
            tokio::spawn(along).await.unwrap();
            tokio::spawn(async { note(|record| record.connection(&ConnectionKey::new("w", "c"))) }).await.unwrap();
        };
        let ((), record) = recorded(work).await;
        assert_eq!((record.connector.as_deref(), record.connection), (Some("crm"), None));
    }

    #[tokio::test]
    async fn outside_of_an_invocation_a_note_goes_nowhere() {
        note(|_| panic!("there is nothing to add to"));
        TaskContext::current().run(async { note(|_| panic!("nor here")) }).await;
    }
}
