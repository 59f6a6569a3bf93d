//! Refreshes what is due, every second: locally, the sweeper is all there is.

use std::sync::Arc;
use std::time::Duration;

use larder::refresh::Refresher;
use tokio::time::{MissedTickBehavior, interval};

/// Sweeps until the process ends.
pub async fn run(refresher: Arc<Refresher>) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match refresher.sweep(Duration::ZERO).await {
            Ok(report) if report.due > 0 => tracing::info!(report.due, report.refreshed, report.failed, "swept"),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "a sweep failed"),
        }
    }
}
