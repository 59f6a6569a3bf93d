//! The record of an invocation or a part of it, to which any code that runs inside can add.
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

use crate::connection::{ConnectionKey, Problem, RefreshOutcome};

tokio::task_local! {
    static CURRENT: Arc<RecordScope>;
}

/// Facts about an invocation, or a part of it. None of them may be secret.
#[derive(Debug, Default)]
pub struct Record {
    /// Lambda's id of the invocation.
    pub request_id: Option<String>,
    /// The workspace, once the caller is known to belong to it.
    pub workspace: Option<String>,
    /// The connection's id.
    pub connection: Option<String>,
    /// Its connector's key.
    pub connector: Option<String>,
    /// When the stored access token expires.
    pub expires_at: Option<OffsetDateTime>,
    /// The outcome of a refresh.
    pub outcome: Option<RefreshOutcome>,
    /// Why the refresh before it had failed.
    pub problem_before: Option<Problem>,
    /// Why it failed.
    pub problem: Option<Problem>,
    /// The result of a sweep.
    pub sweep: Option<SweepReport>,
    /// The result of a batch of queue messages.
    pub batch: Option<Batch>,
    /// Why the caller's access token was rejected. Callers do not see this.
    pub refusal: Option<&'static str>,
    /// The total time spent waiting for providers; `None` if no request was made.
    pub provider: Option<Duration>,
}

/// The result of one sweep.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SweepReport {
    /// The number of connections that were due.
    pub due: usize,
    /// The number of these that were sent to the queue.
    pub queued: usize,
    /// The number of these that were refreshed.
    pub refreshed: usize,
    /// The number of these that failed and will be retried.
    pub failed: usize,
    /// How long the first of them had been due, in milliseconds.
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

/// The result of a batch of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// The number of messages.
    pub messages: usize,
    /// The number of these that were returned to be delivered again.
    pub returned: usize,
}

impl Record {
    /// Records the connection's key.
    pub fn connection(&mut self, key: &ConnectionKey) {
        self.workspace = Some(key.workspace.clone());
        self.connection = Some(key.id.clone());
    }
}

/// Runs work with its own record, and returns both results. Notes go only into this record, not into the surrounding
/// one; the time spent waiting for providers counts in both.
pub async fn recorded<T>(work: impl Future<Output = T>) -> (T, Record) {
    let around = CURRENT.try_with(Arc::clone).ok();
    let scope = Arc::new(RecordScope { record: Mutex::default(), around });
    let output = CURRENT.scope(Arc::clone(&scope), work).await;
    let record = std::mem::take(&mut *scope.record.lock().expect("the lock is not poisoned"));
    (output, record)
}

/// Adds to the current record, if there is one.
pub fn note(add: impl FnOnce(&mut Record)) {
    // There is no record outside of an invocation.
    let _ = CURRENT.try_with(|scope| add(&mut scope.record.lock().expect("the lock is not poisoned")));
}

/// Returns the id of the current invocation, if there is one.
pub fn request_id() -> Option<String> {
    let scope = CURRENT.try_with(Arc::clone).ok();
    let mut next = scope.as_ref();
    while let Some(scope) = next {
        if let Some(id) = &scope.record.lock().expect("the lock is not poisoned").request_id {
            return Some(id.clone());
        }
        next = scope.around.as_ref();
    }
    None
}

/// Waits for a provider and records the time, even if the wait is canceled.
pub async fn waiting_for_provider<T>(exchange: impl Future<Output = T>) -> T {
    let _wait = Wait { scope: CURRENT.try_with(Arc::clone).ok(), since: Instant::now() };
    exchange.await
}

/// The current record and span, to be carried over to another task.
#[derive(Clone)]
pub struct TaskContext {
    scope: Option<Arc<RecordScope>>,
    span: Span,
}

impl TaskContext {
    /// Captures the current record and span.
    pub fn current() -> Self {
        Self { scope: CURRENT.try_with(Arc::clone).ok(), span: Span::current() }
    }

    /// Runs work with the captured record and span.
    pub async fn run<T>(self, work: impl Future<Output = T>) -> T {
        let work = work.instrument(self.span);
        match self.scope {
            Some(scope) => CURRENT.scope(scope, work).await,
            None => work.await,
        }
    }
}

#[derive(Default)]
struct RecordScope {
    record: Mutex<Record>,
    around: Option<Arc<Self>>,
}

struct Wait {
    scope: Option<Arc<RecordScope>>,
    since: Instant,
}

impl Drop for Wait {
    fn drop(&mut self) {
        let waited = self.since.elapsed();
        let mut next = self.scope.as_ref();
        while let Some(scope) = next {
            *scope.record.lock().expect("the lock is not poisoned").provider.get_or_insert_default() += waited;
            next = scope.around.as_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nested_notes_stay_separate_but_waits_count_for_the_whole() {
        let wait = |millis| waiting_for_provider(tokio::time::sleep(Duration::from_millis(millis)));
        let whole = async {
            note(|record| record.workspace = Some("w".into()));
            let part = recorded(async {
                note(|record| record.connection(&ConnectionKey::new("w", "c")));
                wait(5).await;
                // The wait is canceled.
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
    async fn notes_in_another_task_need_the_task_context() {
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
    async fn notes_outside_of_an_invocation_have_no_effect() {
        note(|_| panic!("there is no record"));
        TaskContext::current().run(async { note(|_| panic!("there is no record here either")) }).await;
    }
}
