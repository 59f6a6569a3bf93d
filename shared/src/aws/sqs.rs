//! Amazon SQS queues.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;

use crate::queue::{GroupedMessage, Queue, QueueError};

/// An Amazon SQS queue.
///
/// See [SendMessage](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html),
/// [SendMessageBatch](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html) and
/// [ChangeMessageVisibility](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html).
#[derive(Debug, Clone)]
pub struct SqsQueue {
    client: Client,
    url: String,
}

impl SqsQueue {
    /// The queue with this URL.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }
}

#[async_trait]
impl Queue for SqsQueue {
    async fn send(&self, body: String) -> Result<(), QueueError> {
        let send = self.client.send_message().queue_url(&self.url).message_body(body);
        send.send().await.map(drop).map_err(QueueError::sqs)
    }

    async fn send_batch(&self, messages: Vec<GroupedMessage>) -> Result<(), QueueError> {
        let entries = messages.into_iter().enumerate().map(|(index, message)| {
            SendMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .message_body(message.body)
                .message_group_id(message.group_id)
                .message_deduplication_id(message.deduplication_id)
                .build()
                .map_err(QueueError::sqs)
        });
        let entries = entries.collect::<Result<_, _>>()?;
        let send = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        match send.send().await.map_err(QueueError::sqs)?.failed.len() {
            0 => Ok(()),
            failed => Err(QueueError::Refused(failed)),
        }
    }

    async fn hide(&self, receipt_handle: &str, time: Duration) -> Result<(), QueueError> {
        let seconds = i32::try_from(time.as_secs()).unwrap_or(i32::MAX);
        let change = self.client.change_message_visibility().queue_url(&self.url).receipt_handle(receipt_handle);
        change.visibility_timeout(seconds).send().await.map(drop).map_err(QueueError::sqs)
    }
}
