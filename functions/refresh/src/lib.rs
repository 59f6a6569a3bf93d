//! The `refresh` function: renews one connection when its schedule fires or a reader needs it, and sweeps what is overdue.

use std::time::Duration;

use larder::environment::{Environment, SettingError};
use larder::error::Error;
use larder::invoke::{Outcome, RefreshEvent};
use larder::refresh::{Refresher, SweepReport, Trigger};
use serde::{Deserialize, Serialize};

/// What the function is invoked with.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Event {
    /// From a one-time schedule, or from `get-credentials`.
    Refresh(RefreshEvent),
    /// From the rule that fires every minute: any event of EventBridge.
    Sweep {
        /// `Scheduled Event`.
        #[serde(rename = "detail-type")]
        detail_type: String,
    },
}

/// What it answers.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// To a refresh.
    Refresh(Outcome),
    /// To a sweep.
    Sweep(SweepReport),
}

/// Handles refresh events.
pub struct Refresh {
    refresher: Refresher,
    /// How long the sweeper leaves the schedules the time to fire.
    grace: Duration,
}

impl Refresh {
    /// EventBridge Scheduler fires within a minute of the time; a refresh takes seconds.
    const SCHEDULE_GRACE: Duration = Duration::from_secs(90);

    /// Wires the function.
    ///
    /// # Errors
    /// When a setting is wrong.
    pub fn new(environment: &Environment) -> Result<Self, SettingError> {
        let grace = if environment.settings.schedules.is_some() { Self::SCHEDULE_GRACE } else { Duration::ZERO };
        Ok(Self { refresher: environment.refresher(environment.configuration(Vec::new()))?, grace })
    }

    /// Handles one event.
    ///
    /// # Errors
    /// When something that Larder stands on fails; Lambda then tries again.
    pub async fn handle(&self, event: Event) -> Result<Answer, Error> {
        match event {
            Event::Refresh(event) => {
                let RefreshEvent { workspace, connection_id, version } = event;
                let outcome = self.refresher.refresh(&workspace, &connection_id, version, Trigger::Due).await?;
                tracing::info!(workspace, connection = connection_id, ?outcome, "refresh");
                Ok(Answer::Refresh(outcome))
            }
            Event::Sweep { detail_type } => {
                let report = self.refresher.sweep(self.grace).await?;
                tracing::info!(detail_type, report.due, report.refreshed, report.failed, "sweep");
                Ok(Answer::Sweep(report))
            }
        }
    }
}
