//! The `refresh` function: renews one connection when its schedule fires or a reader needs it, and sweeps what is overdue.
//! It also tests credentials for `put-credentials`, which has no engine, and stores what passed.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use larder::connection::RefreshOutcome;
use larder::environment::{RefreshesBy, SettingError};
use larder::error::{Error, log_cause};
use larder::isolation::isolated;
use larder::record::{Batch, SweepReport, note, recorded};
use larder::refresh::{RefreshEvent, ReplaceCredentials as _, ReplaceEvent, Replaced};
use larder_engine::environment::Environment;
use larder_engine::refresh::{Message, Recovery, Refresher, Trigger};
use serde::{Deserialize, Serialize};

/// What the function is invoked with.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Event {
    /// From a queue.
    Queue {
        /// The messages.
        #[serde(rename = "Records")]
        records: Vec<Record>,
    },
    /// From `put-credentials`. Before the next, which has fewer members.
    Replace(ReplaceEvent),
    /// From a one-time schedule, or from `get-credentials`.
    Refresh(RefreshEvent),
    /// From the rule that fires every minute: any event of EventBridge.
    Sweep {
        /// `Scheduled Event`.
        #[serde(rename = "detail-type")]
        detail_type: String,
    },
}

/// A message of SQS, see [the event](https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    message_id: String,
    receipt_handle: String,
    /// A [`Message`] as JSON.
    body: String,
}

/// What it answers.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To a refresh.
    Refresh(RefreshOutcome),
    /// To credentials that were to be tested and stored.
    Replace(Replaced),
    /// To a sweep.
    Sweep(SweepReport),
    /// To a queue: the messages that must be delivered again.
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
    /// How long the sweeper leaves the schedules the time to fire.
    grace: Duration,
}

impl Refresh {
    /// Which events the function takes, for whoever sends others.
    pub const TAKES: &str = "this function takes refresh events, scheduled events and messages of Larder's queues; over HTTP, \
                             ask for a refresh by POST /connections/{id}/refresh-credentials";
    /// EventBridge Scheduler fires within a minute of the time; a refresh takes seconds.
    const SCHEDULE_GRACE: Duration = Duration::from_secs(90);

    /// Wires the function.
    ///
    /// # Errors
    /// When a setting is wrong.
    pub fn new(environment: &Environment) -> Result<Self, SettingError> {
        let grace = match environment.settings.refreshes {
            RefreshesBy::Schedules(_) => Self::SCHEDULE_GRACE,
            RefreshesBy::Sweeper | RefreshesBy::Queue(_) => Duration::ZERO,
        };
        let refresher = environment.refresher(environment.connector_setup(Vec::new()))?;
        Ok(Self { refresher: Arc::new(refresher), grace })
    }

    /// Handles one event.
    ///
    /// # Errors
    /// When something that Larder stands on fails; Lambda then tries again.
    pub async fn handle(&self, event: Event) -> Result<Answer, Error> {
        match event {
            Event::Queue { records } => {
                let messages = records.len();
                let handled = join_all(records.into_iter().map(|record| self.handle_record(record))).await;
                let failures: Vec<_> = handled.into_iter().flatten().collect();
                note(|record| record.batch = Some(Batch { messages, returned: failures.len() }));
                Ok(Answer::Queue { failures })
            }
            Event::Replace(event) => Ok(Answer::Replace(self.refresher.replace(&event).await?)),
            Event::Refresh(event) => Ok(Answer::Refresh(refresh(&self.refresher, &event).await?)),
            Event::Sweep { .. } => Ok(Answer::Sweep(self.refresher.sweep(self.grace, None).await?)),
        }
    }

    /// Handles a message apart from the others; gives it back where it must come again.
    async fn handle_record(&self, record: Record) -> Option<BatchItemFailure> {
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

/// Handles a message; `false` where it must come again.
async fn is_done(refresher: &Refresher, record: Record) -> bool {
    let Refresher { queue, recovery, .. } = refresher;
    let retried = match serde_json::from_str(&record.body) {
        Ok(Message::Refresh(event)) => match (refresh(refresher, &event).await, queue) {
            // Another is at it, or our clock is behind the sweeper's: neither means that it is done.
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
            tracing::error!(message_id = record.message_id, %error, "a message is none of ours");
            Ok(())
        }
    };
    if let Err(error) = retried {
        log_cause("SQS; a message comes again later than it should", &error);
    }
    false
}
