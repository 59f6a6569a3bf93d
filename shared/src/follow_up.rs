//! The follow-up of a write: the next refresh is scheduled, and an event is published.

use std::sync::Arc;

use crate::connection::{Connection, State};
use crate::error::log_cause;
use crate::events::{ConnectionEvent, Events};
use crate::scheduler::Scheduler;

/// Follows up on writes. A failure here does not undo the write; it is only logged.
#[derive(Clone)]
pub struct FollowUp {
    scheduler: Arc<dyn Scheduler>,
    events: Arc<dyn Events>,
}

impl FollowUp {
    /// Creates a follow-up with this scheduler and these events.
    pub fn new(scheduler: Arc<dyn Scheduler>, events: Arc<dyn Events>) -> Self {
        Self { scheduler, events }
    }

    /// Follows up on writing a connection that was in the state `before`, or did not exist.
    pub async fn written(&self, before: Option<State>, connection: &Connection) {
        tokio::join!(self.arm(connection), async {
            if let Some(event) = ConnectionEvent::between(before, connection.state) {
                self.events.publish(event, connection).await;
            }
        });
    }

    /// Follows up on removing a connection.
    pub async fn removed(&self, connection: &Connection) {
        tokio::join!(self.disarm(connection), self.events.publish(ConnectionEvent::Deleted, connection));
    }

    async fn arm(&self, connection: &Connection) {
        if let Err(error) = self.scheduler.arm(connection).await {
            log_cause("EventBridge Scheduler; the sweeper will refresh the connection", &error);
        }
    }

    async fn disarm(&self, connection: &Connection) {
        if let Err(error) = self.scheduler.disarm(connection).await {
            // It will fire once and find nothing.
            log_cause("EventBridge Scheduler; a schedule was not deleted", &error);
        }
    }
}
