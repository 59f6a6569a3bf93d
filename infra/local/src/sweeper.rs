//! Refreshes due connections every second. Locally, nothing else triggers refreshes.

use std::sync::Arc;
use std::time::Duration;

use larder_engine::refresh::Refresher;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

/// Sweeps until the process ends. The next sweep starts once the previous one has started all of its refreshes, so a slow
/// provider does not delay other connections.
pub async fn run(refresher: Arc<Refresher>) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (beginning, mut begun) = mpsc::channel(1);
        tokio::spawn(sweep(Arc::clone(&refresher), beginning));
        // Nothing is ever sent: this waits until the sweep drops its sender.
        begun.recv().await;
    }
}

async fn sweep(refresher: Arc<Refresher>, beginning: mpsc::Sender<()>) {
    match refresher.sweep(Duration::ZERO, Some(beginning)).await {
        Ok(report) if report.due > 0 => tracing::info!(report.due, report.refreshed, report.failed, "swept"),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "a sweep failed"),
    }
}
