//! Schedules refreshes. The sweeper finds connections whose schedules are lost.

use async_trait::async_trait;

use crate::connection::Connection;

/// Invokes the `refresh` function when a connection is due.
#[async_trait]
pub trait Scheduler: Send + Sync {
    /// Creates the schedule for a connection's current version. Creating it twice has no further effect.
    ///
    /// # Errors
    /// When the schedule may not exist.
    async fn arm(&self, connection: &Connection) -> Result<(), SchedulerError>;

    /// Deletes the schedule for a connection's current version. Deleting one that does not exist succeeds.
    ///
    /// # Errors
    /// When the schedule may still exist.
    async fn disarm(&self, connection: &Connection) -> Result<(), SchedulerError>;
}

/// A failure to create or delete a schedule. The sweeper does its work instead.
#[derive(Debug, thiserror::Error)]
#[error("EventBridge Scheduler failed")]
pub struct SchedulerError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl SchedulerError {
    /// Wraps the cause.
    pub fn new(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }
}

/// Creates no schedules: the sweeper finds all due connections.
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
