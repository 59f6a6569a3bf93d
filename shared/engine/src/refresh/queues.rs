//! The queue of due refreshes, and the recovery queue for results that could not be saved.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use larder::digest::sha256_base64url;
use larder::dynamodb::Due;
use larder::queue::{BATCH, GroupedMessage, Queue, QueueError};
use larder::refresh::RefreshEvent;
use serde::{Deserialize, Serialize};

use super::Unsaved;

/// The body of a message. The variant with more members comes first because serde takes the first that matches.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Message {
    /// Save a result.
    Recover(Unsaved),
    /// Refresh a connection.
    Refresh(RefreshEvent),
}

/// The FIFO queue of due connections, for `REFRESH_SCHEDULER=sweep` (`REFRESH_QUEUE_URL`).
///
/// Each connection is a message group, so two consumers never work on the same one. SQS drops duplicates for five minutes,
/// so the sweep may add connections that are still waiting.
#[derive(Clone)]
pub struct RefreshQueue(Arc<dyn Queue>);

impl RefreshQueue {
    /// How many batches are sent at once.
    const CONCURRENCY: usize = 8;
    /// How soon a connection that could not be refreshed yet is redelivered. The sweep cannot do it sooner: for five minutes
    /// its messages are dropped as duplicates of this one.
    const RETRY: Duration = Duration::from_secs(30);

    /// Uses `queue` for due connections.
    pub fn new(queue: Arc<dyn Queue>) -> Self {
        Self(queue)
    }

    /// Adds connections in no particular order.
    ///
    /// # Errors
    /// When the queue does not accept all of them; some may have been added.
    pub async fn add(&self, due: &[Due]) -> Result<(), QueueError> {
        let batches: Vec<_> = due.chunks(BATCH).map(|batch| self.add_batch(batch)).collect();
        futures::stream::iter(batches).buffer_unordered(Self::CONCURRENCY).try_collect().await
    }

    async fn add_batch(&self, batch: &[Due]) -> Result<(), QueueError> {
        let messages = batch.iter().map(|due| {
            let event = RefreshEvent { key: due.key.clone(), version: None };
            Ok(GroupedMessage {
                body: serde_json::to_string(&Message::Refresh(event)).map_err(QueueError::sqs)?,
                group_id: group_id(due),
                deduplication_id: deduplication_id(due),
            })
        });
        self.0.send_batch(messages.collect::<Result<_, _>>()?).await
    }

    /// Has a connection that could not be refreshed yet redelivered soon.
    ///
    /// # Errors
    /// When the queue fails; the message is then redelivered later.
    pub async fn retry_soon(&self, receipt_handle: &str) -> Result<(), QueueError> {
        self.0.hide(receipt_handle, Self::RETRY).await
    }
}

/// The queue of results that could not be saved (`RECOVERY_QUEUE_URL`).
#[derive(Clone)]
pub struct RecoveryQueue(Arc<dyn Queue>);

impl RecoveryQueue {
    /// How soon saving a result is retried: several times within [`Unsaved::GRACE`].
    const RETRY: Duration = Duration::from_secs(15);

    /// Uses `queue` for unsaved results.
    pub fn new(queue: Arc<dyn Queue>) -> Self {
        Self(queue)
    }

    /// Adds a result. Even the largest one fits into a message.
    ///
    /// # Errors
    /// When the queue does not accept it.
    pub async fn add(&self, unsaved: Unsaved) -> Result<(), QueueError> {
        let body = serde_json::to_string(&Message::Recover(unsaved)).map_err(QueueError::sqs)?;
        self.0.send(body).await
    }

    /// Has a message that could not be handled redelivered soon instead of after the visibility timeout.
    ///
    /// # Errors
    /// When the queue fails; the message is then redelivered later.
    pub async fn retry_soon(&self, receipt_handle: &str) -> Result<(), QueueError> {
        self.0.hide(receipt_handle, Self::RETRY).await
    }
}

/// Returns the message group of a connection. It is a digest because SQS limits the characters and the length of ids, and
/// connection ids may hold anything.
fn group_id(due: &Due) -> String {
    sha256_base64url(due.key.to_string())
}

/// Returns an id that changes each time the connection becomes due again.
fn deduplication_id(due: &Due) -> String {
    sha256_base64url(format!("{}#{}", due.key, due.at))
}

#[cfg(all(test, feature = "aws"))]
mod tests {
    use aws_sdk_sqs::Client;
    use aws_sdk_sqs::operation::change_message_visibility::ChangeMessageVisibilityOutput;
    use aws_sdk_sqs::operation::send_message_batch::SendMessageBatchOutput;
    use aws_sdk_sqs::types::{BatchResultErrorEntry, SendMessageBatchRequestEntry};
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
    use larder::aws::SqsQueue;
    use larder::connection::ConnectionKey;

    use super::*;

    fn due(count: i64) -> Vec<Due> {
        (0..count)
            .map(|n| Due { key: ConnectionKey::new("acme", format!("c/{n} ü")), at: 1_700_000_000_000 + n })
            .collect()
    }

    fn output() -> aws_sdk_sqs::operation::send_message_batch::builders::SendMessageBatchOutputBuilder {
        SendMessageBatchOutput::builder().set_successful(Some(Vec::new())).set_failed(Some(Vec::new()))
    }

    #[tokio::test]
    async fn due_connections_go_in_batches_of_ten_each_in_its_own_group() {
        let send = mock!(Client::send_message_batch)
            .match_requests(|request| {
                let entries = request.entries();
                let groups: std::collections::HashSet<_> =
                    entries.iter().map(|entry| entry.message_group_id()).collect();
                let bodies = entries.iter().map(SendMessageBatchRequestEntry::message_body);
                groups.len() == entries.len()
                    && entries.len() <= 10
                    && bodies.into_iter().all(|body| {
                        matches!(serde_json::from_str(body), Ok(Message::Refresh(event)) if event.key.workspace == "acme")
                    })
            })
            .then_output(|| output().build().expect("an output"));
        let client = mock_client!(aws_sdk_sqs, RuleMode::MatchAny, [&send]);
        let queue = RefreshQueue::new(Arc::new(SqsQueue::new(client, "queue.fifo")));
        queue.add(&due(23)).await.expect("the queue accepts them");
        assert_eq!(send.num_calls(), 3);
    }

    #[tokio::test]
    async fn a_rejected_message_is_an_error() {
        let send = mock!(Client::send_message_batch).then_output(|| {
            let failed = BatchResultErrorEntry::builder().id("0").code("InternalError").sender_fault(false).build();
            output().failed(failed.expect("an entry")).build().expect("an output")
        });
        let client = mock_client!(aws_sdk_sqs, [&send]);
        let queue = RefreshQueue::new(Arc::new(SqsQueue::new(client, "queue.fifo")));
        assert!(matches!(queue.add(&due(1)).await, Err(QueueError::Refused(1))));
    }

    #[tokio::test]
    async fn refreshes_are_retried_after_30_seconds_and_results_after_15() {
        let retry_after = |seconds| {
            mock!(Client::change_message_visibility)
                .match_requests(move |request| {
                    request.receipt_handle() == Some("handle") && request.visibility_timeout() == Some(seconds)
                })
                .then_output(|| ChangeMessageVisibilityOutput::builder().build())
        };
        let queue = |retry: &Rule| {
            let client = mock_client!(aws_sdk_sqs, [retry]);
            Arc::new(SqsQueue::new(client, "queue"))
        };
        let (refresh, result) = (retry_after(30), retry_after(15));
        RefreshQueue::new(queue(&refresh)).retry_soon("handle").await.expect("the queue accepts it");
        RecoveryQueue::new(queue(&result)).retry_soon("handle").await.expect("the queue accepts it");
        assert_eq!((refresh.num_calls(), result.num_calls()), (1, 1));
    }

    #[test]
    fn only_a_later_due_time_makes_a_new_message() {
        let (first, again) = (&due(1)[0], &due(2)[0]);
        let later = &Due { at: first.at + 1, ..first.clone() };
        assert_eq!(deduplication_id(first), deduplication_id(again));
        assert_ne!(deduplication_id(first), deduplication_id(later));
        assert_eq!(group_id(first), group_id(later));
    }
}
