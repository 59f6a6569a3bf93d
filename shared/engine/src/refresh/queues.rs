//! The queues of refreshes that are due, and of results that could not be saved.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::{StreamExt as _, TryStreamExt as _};
use larder::dynamodb::Due;
use larder::queue::{BATCH, GroupedMessage, Queue, QueueError};
use larder::refresh::RefreshEvent;
use serde::{Deserialize, Serialize};

use super::Unsaved;

/// The content of a message. The one with more members comes first: serde takes the first that fits.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Message {
    /// A result to save.
    Recover(Unsaved),
    /// A connection to refresh.
    Refresh(RefreshEvent),
}

/// Connections that are due, for `REFRESH_SCHEDULER=sweep`: a FIFO queue (`REFRESH_QUEUE_URL`).
///
/// Each connection is a message group, so that no two consumers work on one; and what is added twice within five minutes is
/// delivered once, so that the sweeper may add what is still waiting.
#[derive(Clone)]
pub struct RefreshQueue(Arc<dyn Queue>);

impl RefreshQueue {
    /// How many batches are on their way at once.
    const CONCURRENCY: usize = 8;
    /// How soon a connection comes again that could not be refreshed yet. For five minutes the sweeper's next messages are
    /// repetitions of this one.
    const RETRY: Duration = Duration::from_secs(30);

    /// Refreshes on this queue.
    pub fn new(queue: Arc<dyn Queue>) -> Self {
        Self(queue)
    }

    /// Adds connections, in no order.
    ///
    /// # Errors
    /// When the queue does not take all of them; some may be in it then.
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

    /// Has a connection that could not be refreshed yet delivered again soon.
    ///
    /// # Errors
    /// When the queue fails; then the message comes later.
    pub async fn retry_soon(&self, receipt_handle: &str) -> Result<(), QueueError> {
        self.0.hide(receipt_handle, Self::RETRY).await
    }
}

/// Results that could not be saved (`RECOVERY_QUEUE_URL`).
#[derive(Clone)]
pub struct RecoveryQueue(Arc<dyn Queue>);

impl RecoveryQueue {
    /// How soon a result that could not be saved is tried again: several times within [`Unsaved::GRACE`].
    const RETRY: Duration = Duration::from_secs(15);

    /// Results on this queue.
    pub fn new(queue: Arc<dyn Queue>) -> Self {
        Self(queue)
    }

    /// Adds a result. A message holds more than the largest one.
    ///
    /// # Errors
    /// When the queue does not take it.
    pub async fn add(&self, unsaved: Unsaved) -> Result<(), QueueError> {
        let body = serde_json::to_string(&Message::Recover(unsaved)).map_err(QueueError::sqs)?;
        self.0.send(body).await
    }

    /// Has a message that could not be handled delivered again soon, not only when its consumer would have timed out.
    ///
    /// # Errors
    /// When the queue fails; then the message comes later.
    pub async fn retry_soon(&self, receipt_handle: &str) -> Result<(), QueueError> {
        self.0.hide(receipt_handle, Self::RETRY).await
    }
}

fn group_id(due: &Due) -> String {
    digest_of(&due.key.to_string())
}

/// One for each time that a connection is due.
fn deduplication_id(due: &Due) -> String {
    digest_of(&format!("{}#{}", due.key, due.at))
}

/// SQS allows few characters and 128 of them in ids, connections have any.
fn digest_of(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

#[cfg(all(test, feature = "aws"))]
mod tests {
    use aws_sdk_sqs::Client;
    use aws_sdk_sqs::operation::send_message_batch::SendMessageBatchOutput;
    use aws_sdk_sqs::types::{BatchResultErrorEntry, SendMessageBatchRequestEntry};
    use aws_smithy_mocks::{RuleMode, mock, mock_client};
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
    async fn what_is_due_is_added_ten_at_a_time_each_connection_in_its_group() {
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
        queue.add(&due(23)).await.expect("is added");
        assert_eq!(send.num_calls(), 3);
    }

    #[tokio::test]
    async fn a_message_that_is_refused_is_an_error() {
        let send = mock!(Client::send_message_batch).then_output(|| {
            let failed = BatchResultErrorEntry::builder().id("0").code("InternalError").sender_fault(false).build();
            output().failed(failed.expect("an entry")).build().expect("an output")
        });
        let client = mock_client!(aws_sdk_sqs, [&send]);
        let queue = RefreshQueue::new(Arc::new(SqsQueue::new(client, "queue.fifo")));
        assert!(matches!(queue.add(&due(1)).await, Err(QueueError::Refused(1))));
    }

    #[test]
    fn the_same_due_time_is_the_same_message_and_a_later_one_is_not() {
        let (first, again) = (&due(1)[0], &due(2)[0]);
        let later = &Due { at: first.at + 1, ..first.clone() };
        assert_eq!(deduplication_id(first), deduplication_id(again));
        assert_ne!(deduplication_id(first), deduplication_id(later));
        assert_eq!(group_id(first), group_id(later));
    }
}
