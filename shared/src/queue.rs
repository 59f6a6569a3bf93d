//! Queues that the `refresh` function consumes.
//!
//! A message is delivered at least once, so handling it must be idempotent.

use std::time::Duration;

use async_trait::async_trait;

/// A queue of messages.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Adds a message of at most 1 MiB.
    ///
    /// # Errors
    /// When the queue does not accept it.
    async fn send(&self, body: String) -> Result<(), QueueError>;

    /// Adds at most [`BATCH`] messages.
    ///
    /// # Errors
    /// When the queue does not accept all of them; it may have accepted some.
    async fn send_batch(&self, messages: Vec<GroupedMessage>) -> Result<(), QueueError>;

    /// Makes the queue deliver a received message again after `time`, instead of after its visibility timeout.
    ///
    /// # Errors
    /// When the queue fails; the message is then delivered later.
    async fn hide(&self, receipt_handle: &str, time: Duration) -> Result<(), QueueError>;
}

/// The largest number of messages that a queue accepts at once.
pub const BATCH: usize = 10;

/// A message of a FIFO queue.
#[derive(Debug, Clone)]
pub struct GroupedMessage {
    /// The message.
    pub body: String,
    /// The id of its group. Only one message of a group is handled at a time.
    pub group_id: String,
    /// The id for deduplication. Of messages with the same id, only one is delivered within five minutes.
    pub deduplication_id: String,
}

/// A failed request to a queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// SQS did not answer, or rejected the request.
    #[error("SQS failed")]
    Sqs(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// SQS rejected this many messages of a batch.
    #[error("SQS rejected {0} messages of a batch")]
    Refused(usize),
}

impl QueueError {
    /// An error of SQS with its cause.
    pub fn sqs(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Sqs(Box::new(error))
    }
}
