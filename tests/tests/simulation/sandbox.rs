//! What one instance of a function runs in. It can be killed, or stand still for a while, wherever it waits for a call.

use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use larder::clock::Clock;
use time::OffsetDateTime;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::application::Applications;
use super::network::{Fault, Network, Service};

/// The second in which every life begins, 2026-01-01T00:00:00Z.
pub(super) const START: i64 = 1_767_225_600;

/// How late a call may be for its timer's sake.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// A process, which runs one invocation after the other.
pub(super) struct Sandbox {
    pub(super) id: usize,
    /// How far its clock is ahead, in milliseconds.
    ahead: i64,
    pub(super) network: Arc<Network>,
    applications: Arc<Applications>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    calls: u64,
    fate: Option<Fate>,
    is_killed: bool,
    frozen_until: Option<Instant>,
}

/// What happens to an invocation before or after one of its calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    /// Twice the number of the call, less one if it happens before it.
    pub(super) at: u64,
    pub(super) mishap: Mishap,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Mishap {
    /// The process is gone.
    Killed,
    /// The process stands still for so long.
    Stalled(Duration),
}

/// How an invocation ended.
pub(super) enum Ended<T> {
    Done(T),
    /// By its fate, or because it took too long.
    Killed,
}

impl Sandbox {
    pub(super) fn new(id: usize, ahead: i64, network: Arc<Network>, applications: Arc<Applications>) -> Self {
        Self { id, ahead, network, applications, state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic holds it")
    }

    /// How many moments of the last invocation there were at which its fate could have come.
    pub(super) fn moments(&self) -> u64 {
        self.state().calls
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.state().is_killed
    }

    /// Runs an invocation for at most `limit`, and then never again if it was killed.
    pub(super) async fn run<T>(&self, limit: Duration, fate: Option<Fate>, work: impl Future<Output = T>) -> Ended<T> {
        *self.state() = State { fate, ..State::default() };
        let mut work = Box::pin(work);
        let mut end = pin!(sleep(limit));
        let mut thaw: Option<Pin<Box<Sleep>>> = None;
        poll_fn(move |context| {
            loop {
                if end.as_mut().poll(context).is_ready() {
                    self.network.tell(|| format!("process {} took too long", self.id));
                    self.kill();
                    return Poll::Ready(Ended::Killed);
                }
                let frozen_until = self.state().frozen_until;
                if let Some(until) = frozen_until {
                    let sleep = thaw.get_or_insert_with(|| Box::pin(sleep_until(until)));
                    if sleep.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    thaw = None;
                    self.state().frozen_until = None;
                }
                if let Poll::Ready(result) = work.as_mut().poll(context) {
                    return Poll::Ready(Ended::Done(result));
                }
                if self.state().is_killed {
                    return Poll::Ready(Ended::Killed);
                }
                if self.state().frozen_until.is_none() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Makes a call that takes its time, unless something is in its way.
    pub(super) async fn call<T>(&self, service: Service, carry_out: impl FnOnce() -> T) -> Result<T, Fault> {
        let chance = Arc::clone(&self.network.chance);
        self.call_slowly(service, chance.milliseconds(1..=25), chance.milliseconds(1..=25), carry_out).await
    }

    /// The same, with the time until it is carried out, and until the answer is there.
    pub(super) async fn call_slowly<T>(
        &self,
        service: Service,
        there: Duration,
        back: Duration,
        carry_out: impl FnOnce() -> T,
    ) -> Result<T, Fault> {
        self.network.count("calls");
        self.moment().await;
        let begun = Instant::now();
        sleep(there).await;
        if begun.elapsed() > there + ON_ITS_WAY {
            // Another call of the process met its fate meanwhile. A request leaves at once or not at all, never this late.
            self.network.count("requests kept back by a standstill");
            return Err(Fault::Refused);
        }
        let fault = self.network.fault(service);
        match fault {
            Some(Fault::Refused) => {
                sleep(back).await;
                return Err(Fault::Refused);
            }
            Some(Fault::NoAnswer) => return pending().await,
            Some(Fault::AnswerLost) | None => {}
        }
        let answer = carry_out();
        sleep(back).await;
        if fault.is_some() {
            return Err(Fault::AnswerLost);
        }
        self.moment().await;
        Ok(answer)
    }

    /// Where its fate may come.
    async fn moment(&self) {
        let fate = {
            let mut state = self.state();
            state.calls += 1;
            let calls = state.calls;
            state.fate.take_if(|fate| fate.at == calls)
        };
        match fate.map(|fate| fate.mishap) {
            None => {}
            Some(Mishap::Killed) => {
                self.network.count("killed");
                self.kill();
                pending().await
            }
            Some(Mishap::Stalled(time)) => {
                self.network.count("stalled");
                self.network.tell(|| format!("process {} stands still for {} s", self.id, time.as_secs()));
                self.applications.stalled(self.id, time);
                self.state().frozen_until = Some(Instant::now() + time);
                tokio::task::yield_now().await;
            }
        }
    }

    fn kill(&self) {
        self.network.tell(|| format!("process {} is killed", self.id));
        self.state().is_killed = true;
        self.applications.killed(self.id);
    }
}

impl Clock for Sandbox {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH
            + Duration::from_secs(START.unsigned_abs())
            + self.network.now()
            + time::Duration::milliseconds(self.ahead)
    }
}
