//! Spreads calls to one provider over time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::commands::client::CommandError;
use crate::terminal;

/// How often a request is repeated if the server is overloaded or does not answer.
const RETRIES: u32 = 5;
/// Longer waits are announced.
const NOTICEABLE: Duration = Duration::from_secs(5);

/// Gives out turns at a steady rate.
pub(super) struct Pacer {
    interval: Duration,
    state: Mutex<PacerState>,
}

struct PacerState {
    next: Instant,
    paused_until: Instant,
}

impl Pacer {
    /// Creates a pacer with at least `interval` between two turns.
    pub(super) fn new(interval: Duration) -> Self {
        let now = Instant::now();
        Self { interval, state: Mutex::new(PacerState { next: now, paused_until: now }) }
    }

    /// Waits for the next turn.
    pub(super) async fn turn(&self) {
        loop {
            sleep_until(self.reserve()).await;
            // A pause may have begun meanwhile.
            if self.state().paused_until <= Instant::now() {
                return;
            }
        }
    }

    fn reserve(&self) -> Instant {
        let mut state = self.state();
        let turn = state.next.max(state.paused_until).max(Instant::now());
        state.next = turn + self.interval;
        turn
    }

    /// Gives out no turns for this long. Returns `false` if a pause that lasts as long has begun before.
    fn pause(&self, wait: Duration) -> bool {
        let mut state = self.state();
        let until = Instant::now() + wait;
        let is_longer = until > state.paused_until + NOTICEABLE;
        state.paused_until = state.paused_until.max(until);
        is_longer
    }

    fn state(&self) -> std::sync::MutexGuard<'_, PacerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a request in turn, and repeats it if the server is overloaded or does not answer. Meanwhile nobody else gets a turn.
pub(super) async fn persistently<T, F: Future<Output = Result<T, CommandError>>>(
    pacer: &Pacer,
    request: impl Fn() -> F,
) -> Result<T, CommandError> {
    let mut failed = 0;
    loop {
        pacer.turn().await;
        match request().await {
            Err(error) if error.is_transient() && failed < RETRIES => {
                let wait = error.retry_after().unwrap_or(Duration::from_secs(1 << failed));
                failed += 1;
                if pacer.pause(wait) {
                    terminal::say(&format!("Waiting {} s: {error}", wait.as_secs()));
                }
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const INTERVAL: Duration = Duration::from_millis(100);

    #[tokio::test(start_paused = true)]
    async fn turns_are_an_interval_apart_for_all_that_wait() {
        let (pacer, begin) = (Arc::new(Pacer::new(INTERVAL)), Instant::now());
        let waiting: Vec<_> = (0..10)
            .map(|_| {
                let pacer = Arc::clone(&pacer);
                tokio::spawn(async move {
                    pacer.turn().await;
                    begin.elapsed()
                })
            })
            .collect();
        let mut turns = Vec::new();
        for turn in waiting {
            turns.push(turn.await.expect("it does not panic"));
        }
        turns.sort();
        assert_eq!(turns, (0..10).map(|turn| INTERVAL * turn).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_also_holds_back_those_who_already_wait() {
        let (pacer, begin) = (Arc::new(Pacer::new(INTERVAL)), Instant::now());
        pacer.turn().await;
        let waiting = tokio::spawn({
            let pacer = Arc::clone(&pacer);
            async move { pacer.turn().await }
        });
        tokio::task::yield_now().await;
        assert!(pacer.pause(Duration::from_secs(60)));
        assert!(!pacer.pause(Duration::from_secs(60)), "the same pause is announced once");
        waiting.await.expect("it does not panic");
        assert!(begin.elapsed() >= Duration::from_secs(60), "{:?}", begin.elapsed());
        let first = Instant::now();
        pacer.turn().await;
        assert!(first.elapsed() >= INTERVAL, "after a pause, turns are spread as before");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_repeated_while_the_server_does_not_answer() {
        let pacer = Pacer::new(Duration::ZERO);
        let (attempts, begin) = (Mutex::new(0), Instant::now());
        let result = persistently(&pacer, || async {
            *attempts.lock().expect("the lock is not poisoned") += 1;
            Err::<(), _>(CommandError::Unreachable { url: "http://larder.example".into(), reason: "refused".into() })
        });
        assert!(result.await.is_err());
        assert_eq!(*attempts.lock().expect("the lock is not poisoned"), RETRIES + 1);
        assert_eq!(begin.elapsed().as_secs(), 1 + 2 + 4 + 8 + 16);
    }
}
