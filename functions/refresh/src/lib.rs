//! The `refresh` function: refreshes one connection when its schedule fires or a reader needs it, and sweeps overdue
//! ones. It also tests credentials for `put-credentials`, which has no engine, and stores those that pass.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use larder::connection::RefreshOutcome;
use larder::environment::{RefreshesBy, SettingError};
use larder::error::{Error, log_cause};
use larder::isolation::isolated;
use larder::record::{Batch, SweepReport, note, recorded};
use larder::refresh::{RefreshEvent, ReplaceCredentials as _, ReplaceEvent, Replaced};
use larder_engine::connector::Catalog;
use larder_engine::environment::Environment;
use larder_engine::refresh::{Message, Recovery, Refresher, Trigger};
use serde::{Deserialize, Serialize};

/// An event that the function is invoked with.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Event {
    /// Messages from a queue.
    Queue {
        /// The messages.
        #[serde(rename = "Records")]
        records: Vec<SqsRecord>,
    },
    /// An event from `put-credentials`. It must be tried before the next one, which has fewer members.
    Replace(ReplaceEvent),
    /// An event from a one-time schedule or from `get-credentials`.
    Refresh(RefreshEvent),
    /// An event from the rule that fires every minute: any event from EventBridge.
    Sweep {
        /// `Scheduled Event`.
        #[serde(rename = "detail-type")]
        detail_type: String,
    },
}

/// A message from SQS; see [the event](https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SqsRecord {
    message_id: String,
    receipt_handle: String,
    /// A [`Message`] as JSON.
    body: String,
}

/// The result of an event.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum EventResult {
    /// The result of a refresh.
    Refresh(RefreshOutcome),
    /// The result of testing and storing credentials.
    Replace(Replaced),
    /// The result of a sweep.
    Sweep(SweepReport),
    /// The messages that the queue must deliver again.
    Queue {
        /// Their ids.
        #[serde(rename = "batchItemFailures")]
        failures: Vec<BatchItemFailure>,
    },
}

/// A message that must be delivered again.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchItemFailure {
    item_identifier: String,
}

/// Handles refresh events.
pub struct Refresh {
    refresher: Arc<Refresher>,
    /// How long the sweeper waits for a schedule to fire.
    grace: Duration,
}

impl Refresh {
    /// The events that the function accepts, as an error message for other events.
    pub const TAKES: &str = "this function accepts refresh events, scheduled events, and messages from Larder's queues; over \
                             HTTP, request a refresh with POST /connections/{id}/refresh-credentials";
    /// EventBridge Scheduler fires within a minute of the set time, and a refresh takes seconds.
    const SCHEDULE_GRACE: Duration = Duration::from_secs(90);

    /// Creates the function from its environment.
    ///
    /// # Errors
    /// When a setting is invalid.
    pub fn new(environment: &Environment) -> Result<Self, SettingError> {
        let grace = match environment.settings.refreshes {
            RefreshesBy::Schedules(_) => Self::SCHEDULE_GRACE,
            RefreshesBy::Sweeper | RefreshesBy::Queue(_) => Duration::ZERO,
        };
        let refresher = environment.refresher(environment.connector_setup(Catalog::default()))?;
        Ok(Self { refresher: Arc::new(refresher), grace })
    }

    /// Handles one event.
    ///
    /// # Errors
    /// When a service that Larder depends on fails. Lambda then retries the event.
    pub async fn handle(&self, event: Event) -> Result<EventResult, Error> {
        // The longer ones are boxed: in a debug build, all of them together would need too much of the stack.
        match event {
            Event::Queue { records } => {
                let messages = records.len();
                let handled = join_all(records.into_iter().map(|record| self.handle_record(record))).await;
                let failures: Vec<_> = handled.into_iter().flatten().collect();
                note(|record| record.batch = Some(Batch { messages, returned: failures.len() }));
                Ok(EventResult::Queue { failures })
            }
            Event::Replace(event) => Ok(EventResult::Replace(Box::pin(self.refresher.replace(&event)).await?)),
            Event::Refresh(event) => Ok(EventResult::Refresh(Box::pin(refresh(&self.refresher, &event)).await?)),
            Event::Sweep { .. } => Ok(EventResult::Sweep(Box::pin(self.refresher.sweep(self.grace, None)).await?)),
        }
    }

    /// Handles one message in isolation from the others. Returns it if it must be delivered again.
    async fn handle_record(&self, record: SqsRecord) -> Option<BatchItemFailure> {
        let (refresher, item_identifier) = (Arc::clone(&self.refresher), record.message_id.clone());
        let handled = isolated(async move { recorded(is_done(&refresher, record)).await.0 }).await;
        let is_done = handled.unwrap_or_else(|panicked| {
            tracing::error!(message_id = item_identifier, error = %panicked, "a message was not handled");
            false
        });
        (!is_done).then_some(BatchItemFailure { item_identifier })
    }
}

async fn refresh(refresher: &Refresher, event: &RefreshEvent) -> Result<RefreshOutcome, Error> {
    refresher.refresh(&event.key, event.version, Trigger::Due).await
}

/// Handles a message. Returns `false` if it must be delivered again.
async fn is_done(refresher: &Refresher, record: SqsRecord) -> bool {
    let Refresher { queue, recovery, .. } = refresher;
    let retried = match serde_json::from_str(&record.body) {
        Ok(Message::Refresh(event)) => match (refresh(refresher, &event).await, queue) {
            // Another invocation is refreshing it, or our clock is behind the sweeper's. Neither means that it is done.
            (Ok(RefreshOutcome::Busy | RefreshOutcome::TooSoon), Some(queue)) => {
                queue.retry_soon(&record.receipt_handle).await
            }
            (Ok(_), _) => return true,
            (Err(_), _) => Ok(()),
        },
        Ok(Message::Recover(unsaved)) => match (refresher.recover(&unsaved).await, recovery) {
            (Ok(Recovery::Saved | Recovery::Superseded), _) => return true,
            (Ok(Recovery::Busy) | Err(_), Some(queue)) => queue.retry_soon(&record.receipt_handle).await,
            (Ok(Recovery::Busy) | Err(_), None) => Ok(()),
        },
        Err(error) => {
            tracing::error!(message_id = record.message_id, %error, "a message is not from Larder");
            Ok(())
        }
    };
    if let Err(error) = retried {
        log_cause("SQS; a message will be delivered again later than it should", &error);
    }
    false
}
