//! Alarm clocks for refreshes. Whatever they lose, the sweeper finds.

use async_trait::async_trait;

use crate::connection::Connection;

/// Wakes the `refresh` function when a connection is due.
#[async_trait]
pub trait Scheduler: Send + Sync {
    /// Arms the alarm of a connection at its version. Arming twice is the same as once.
    ///
    /// # Errors
    /// When there may be no alarm.
    async fn arm(&self, connection: &Connection) -> Result<(), SchedulerError>;

    /// Removes the alarm of a connection at its version; removing nothing succeeds.
    ///
    /// # Errors
    /// When the alarm may still be there.
    async fn disarm(&self, connection: &Connection) -> Result<(), SchedulerError>;
}

/// A schedule could not be made or removed. The sweeper does its work instead.
#[derive(Debug, thiserror::Error)]
#[error("EventBridge Scheduler failed")]
pub struct SchedulerError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl SchedulerError {
    /// Why.
    pub fn new(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }
}

/// No alarms: the sweeper finds what is due.
#[derive(Debug, Clone, Copy)]
pub struct SweepOnly;

#[async_trait]
impl Scheduler for SweepOnly {
    async fn arm(&self, _: &Connection) -> Result<(), SchedulerError> {
        Ok(())
    }

    async fn disarm(&self, _: &Connection) -> Result<(), SchedulerError> {
        Ok(())
    }
}
