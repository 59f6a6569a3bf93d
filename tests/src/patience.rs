//! Waiting for what must happen, however busy the machine is.

use std::time::Duration;

use tokio::time::{Timeout, sleep, timeout};

/// How long tests wait for what must happen. Only failing tests wait this long, so it suits a machine that is several times
/// slower than usual.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// Waits for a future, for [`PATIENCE`].
pub fn in_time<F: Future>(future: F) -> Timeout<F> {
    timeout(PATIENCE, future)
}

/// Returns whether a condition holds within [`PATIENCE`], looking every 20 milliseconds.
pub async fn eventually<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) -> bool {
    let waiting = async {
        while !holds().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    in_time(waiting).await.is_ok()
}
