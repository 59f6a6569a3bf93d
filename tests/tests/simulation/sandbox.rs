//! The process of one function instance. It can be killed or stalled before and after each call.

use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures::future::BoxFuture;
use larder::clock::Clock;
use time::OffsetDateTime;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::network::{Fault, Network, Service};
use super::provider::SimulatedProviders;

/// The Unix time at which every run starts, 2026-01-01T00:00:00Z.
pub(super) const START: i64 = 1_767_225_600;

/// How late a request may leave because of the timer's precision.
const MAX_DELAY: Duration = Duration::from_secs(1);

/// A process, which runs one invocation at a time.
pub(super) struct Sandbox {
    pub(super) id: usize,
    /// How far its clock is ahead, in milliseconds.
    ahead: i64,
    pub(super) network: Arc<Network>,
    providers: Arc<SimulatedProviders>,
    state: Mutex<SandboxState>,
}

#[derive(Default)]
struct SandboxState {
    points: u64,
    interruption: Option<Interruption>,
    meanwhile: Option<(u64, BoxFuture<'static, ()>)>,
    is_killed: bool,
    frozen_until: Option<Instant>,
}

/// An interruption of an invocation before or after one of its calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interruption {
    /// Twice the call's number, minus one if it comes before the call.
    pub(super) at: u64,
    pub(super) kind: InterruptionKind,
}

/// How an invocation is interrupted.
#[derive(Debug, Clone, Copy)]
pub(super) enum InterruptionKind {
    /// The process dies.
    Killed,
    /// The process stops for this long.
    Stalled(Duration),
}

/// How an invocation ended.
pub(super) enum Ended<T> {
    Done(T),
    /// Interrupted, or timed out.
    Killed,
}

impl Sandbox {
    pub(super) fn new(id: usize, ahead: i64, network: Arc<Network>, providers: Arc<SimulatedProviders>) -> Self {
        Self { id, ahead, network, providers, state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, SandboxState> {
        self.state.lock().expect("the lock is not poisoned")
    }

    /// The number of points at which the last invocation could have been interrupted.
    pub(super) fn interruption_points(&self) -> u64 {
        self.state().points
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.state().is_killed
    }

    /// Runs an invocation for at most `limit`. A killed invocation is never polled again.
    pub(super) async fn run<T>(
        &self,
        limit: Duration,
        interruption: Option<Interruption>,
        work: impl Future<Output = T>,
    ) -> Ended<T> {
        *self.state() = SandboxState { interruption, ..SandboxState::default() };
        let mut work = Box::pin(work);
        let mut end = pin!(sleep(limit));
        let mut thaw: Option<Pin<Box<Sleep>>> = None;
        poll_fn(move |context| {
            loop {
                if end.as_mut().poll(context).is_ready() {
                    self.network.log(|| format!("process {} timed out", self.id));
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

    /// Makes a call with a random latency, unless the network fails it.
    pub(super) async fn call<T>(&self, service: Service, perform: impl FnOnce() -> T) -> Result<T, Fault> {
        let chance = Arc::clone(&self.network.chance);
        self.call_slowly(service, chance.milliseconds(1..=25), chance.milliseconds(1..=25), perform).await
    }

    /// Makes a call with the given times until it is performed and until its answer arrives.
    pub(super) async fn call_slowly<T>(
        &self,
        service: Service,
        there: Duration,
        back: Duration,
        perform: impl FnOnce() -> T,
    ) -> Result<T, Fault> {
        self.network.count("calls");
        self.interruption_point().await;
        let begun = Instant::now();
        sleep(there).await;
        if begun.elapsed() > there + MAX_DELAY {
            // Another call of the process was interrupted meanwhile. A request leaves at once or not at all, never this late.
            self.network.count("requests held back by a stall");
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
        let answer = perform();
        sleep(back).await;
        if fault.is_some() {
            return Err(Fault::AnswerLost);
        }
        self.interruption_point().await;
        Ok(answer)
    }

    /// Makes the current invocation wait for something else at its interruption point of this number.
    pub(super) fn meanwhile(&self, at: u64, work: BoxFuture<'static, ()>) {
        self.state().meanwhile = Some((at, work));
    }

    /// Interrupts the invocation if its interruption is due here.
    async fn interruption_point(&self) {
        let (interruption, meanwhile) = {
            let mut state = self.state();
            state.points += 1;
            let point = state.points;
            let interruption = state.interruption.take_if(|interruption| interruption.at == point);
            (interruption, state.meanwhile.take_if(|(at, _)| *at == point))
        };
        if let Some((_, work)) = meanwhile {
            work.await;
        }
        match interruption.map(|interruption| interruption.kind) {
            None => {}
            Some(InterruptionKind::Killed) => {
                self.network.count("killed");
                self.kill();
                pending().await
            }
            Some(InterruptionKind::Stalled(time)) => {
                self.network.count("stalled");
                self.network.log(|| format!("process {} stalls for {} s", self.id, time.as_secs()));
                self.providers.stalled(self.id, time);
                self.state().frozen_until = Some(Instant::now() + time);
                tokio::task::yield_now().await;
            }
        }
    }

    fn kill(&self) {
        self.network.log(|| format!("process {} is killed", self.id));
        self.state().is_killed = true;
        self.providers.killed(self.id);
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
