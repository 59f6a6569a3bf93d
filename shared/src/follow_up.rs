//! What follows a write: the next refresh is armed, and whoever listens is told.

use std::sync::Arc;

use crate::connection::{Connection, State};
use crate::error::log_cause;
use crate::events::{Change, Events};
use crate::scheduler::Scheduler;

/// Sends what follows a write. The write is done: nothing that fails here undoes it, it is only logged.
#[derive(Clone)]
pub struct FollowUp {
    scheduler: Arc<dyn Scheduler>,
    events: Arc<dyn Events>,
}

impl FollowUp {
    /// FollowUp by these two.
    pub fn new(scheduler: Arc<dyn Scheduler>, events: Arc<dyn Events>) -> Self {
        Self { scheduler, events }
    }

    /// A connection was written, which was in the state `before`, or was not there.
    pub async fn written(&self, before: Option<State>, connection: &Connection) {
        tokio::join!(self.arm(connection), async {
            if let Some(change) = Change::between(before, connection.state) {
                self.events.publish(change, connection).await;
            }
        });
    }

    /// A connection was removed.
    pub async fn removed(&self, connection: &Connection) {
        tokio::join!(self.disarm(connection), self.events.publish(Change::Deleted, connection));
    }

    async fn arm(&self, connection: &Connection) {
        if let Err(error) = self.scheduler.arm(connection).await {
            log_cause("EventBridge Scheduler; the sweeper will do", &error);
        }
    }

    async fn disarm(&self, connection: &Connection) {
        if let Err(error) = self.scheduler.disarm(connection).await {
            // It fires once more and finds nothing.
            log_cause("EventBridge Scheduler; a schedule is left", &error);
        }
    }
}
