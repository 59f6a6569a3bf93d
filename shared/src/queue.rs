//! Queues whose consumer is the `refresh` function.
//!
//! A message is delivered at least once, so whoever handles one must bear its repetition.

use std::time::Duration;

use async_trait::async_trait;

/// A queue of messages.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Adds a message of at most 1 MiB.
    ///
    /// # Errors
    /// When the queue does not take it.
    async fn send(&self, body: String) -> Result<(), QueueError>;

    /// Adds at most [`BATCH`] messages.
    ///
    /// # Errors
    /// When the queue does not take all of them; some may be in it then.
    async fn send_batch(&self, messages: Vec<GroupedMessage>) -> Result<(), QueueError>;

    /// Delivers a message that was received again after this time, and not when its consumer would have timed out.
    ///
    /// # Errors
    /// When the queue fails; then the message comes later.
    async fn hide(&self, receipt_handle: &str, time: Duration) -> Result<(), QueueError>;
}

/// The most messages that a queue takes at once.
pub const BATCH: usize = 10;

/// A message of a FIFO queue.
#[derive(Debug, Clone)]
pub struct GroupedMessage {
    /// The message.
    pub body: String,
    /// No two messages of a group are handled at once.
    pub group_id: String,
    /// Messages of the same id within five minutes are delivered once.
    pub deduplication_id: String,
}

/// A queue did not take what was given to it.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// SQS did not answer, or refused.
    #[error("SQS failed")]
    Sqs(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// SQS took a batch of messages, but not all of them.
    #[error("SQS refused {0} messages of a batch")]
    Refused(usize),
}

impl QueueError {
    /// Why.
    pub fn sqs(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Sqs(Box::new(error))
    }
}
