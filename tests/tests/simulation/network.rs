//! The network between Larder and the services it calls, with its faults.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::chance::Chance;

/// A service that Larder calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    DynamoDb,
    Kms,
    SecretsManager,
    Scheduler,
    Sqs,
    /// AWS Lambda, which invokes `refresh`.
    Lambda,
    /// A provider's token endpoint.
    Provider,
}

impl Service {
    pub(super) const ALL: [Self; 7] =
        [Self::DynamoDb, Self::Kms, Self::SecretsManager, Self::Scheduler, Self::Sqs, Self::Lambda, Self::Provider];
}

/// A fault of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The call is not performed, and the response says so: throttled or unavailable.
    Refused,
    /// The call is not performed, and no response ever arrives.
    NoAnswer,
    /// The call is performed, and the response is lost.
    AnswerLost,
}

impl Fault {
    pub(super) const ALL: [Self; 3] = [Self::Refused, Self::NoAnswer, Self::AnswerLost];
}

/// A period in which calls to a service fail.
#[derive(Debug, Clone)]
pub(super) struct Outage {
    pub(super) service: Service,
    /// Times since the start of the run.
    pub(super) from: Duration,
    pub(super) to: Duration,
    /// How many calls in a thousand fail.
    pub(super) per_mille: u64,
    pub(super) fault: Fault,
}

/// The network, the time since the start, and the log so far.
pub(super) struct Network {
    began: Instant,
    pub(super) chance: Arc<Chance>,
    outages: Vec<Outage>,
    /// How many calls in a thousand fail outside outages.
    background: u64,
    is_quiet: AtomicBool,
    counts: Mutex<BTreeMap<String, u64>>,
    log: Mutex<Vec<String>>,
    violations: Mutex<Vec<String>>,
}

impl Network {
    pub(super) fn new(chance: Arc<Chance>, outages: Vec<Outage>, background: u64) -> Self {
        Self {
            began: Instant::now(),
            chance,
            outages,
            background,
            // Until the setup is done.
            is_quiet: AtomicBool::new(true),
            counts: Mutex::default(),
            log: Mutex::default(),
            violations: Mutex::default(),
        }
    }

    /// The time since the start of the run.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Turns all faults off, or on.
    pub(super) fn set_quiet(&self, is_quiet: bool) {
        self.is_quiet.store(is_quiet, Ordering::Relaxed);
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.is_quiet.load(Ordering::Relaxed)
    }

    /// Draws the fault of a call made now, if any.
    pub(super) fn fault(&self, service: Service) -> Option<Fault> {
        if self.is_quiet() {
            return None;
        }
        let now = self.now();
        let outage = self.outages.iter().find(|it| it.service == service && (it.from..it.to).contains(&now));
        let fault = match outage {
            Some(outage) => self.chance.per_mille(outage.per_mille).then_some(outage.fault),
            None => self.chance.per_mille(self.background).then(|| self.chance.pick(&Fault::ALL)),
        };
        if let Some(fault) = fault {
            self.count(format!("{service:?} {fault:?}"));
            self.log(|| format!("{service:?}: {fault:?}"));
        }
        fault
    }

    /// Whether an outage of a service overlaps the time since then.
    pub(super) fn was_out(&self, service: Service, since: Duration) -> bool {
        let now = self.now();
        self.outages.iter().any(|it| it.service == service && it.from < now && it.to > since)
    }

    /// Counts an event.
    pub(super) fn count(&self, what: impl Into<String>) {
        *self.counts.lock().expect("the lock is not poisoned").entry(what.into()).or_default() += 1;
    }

    /// Adds a line to the log.
    pub(super) fn log(&self, line: impl FnOnce() -> String) {
        let now = self.now();
        let line = format!("{:>9.3} {}", now.as_secs_f64(), line());
        self.log.lock().expect("the lock is not poisoned").push(line);
    }

    /// Records a broken promise.
    pub(super) fn violated(&self, promise: &str, how: &str) {
        let line = format!("VIOLATED: {promise}: {how}");
        self.log(|| line.clone());
        self.violations.lock().expect("the lock is not poisoned").push(line);
    }

    /// Counts the check of a promise, and records a violation if it does not hold.
    pub(super) fn check(&self, promise: &str, holds: bool, how: impl FnOnce() -> String) {
        self.count(format!("checked: {promise}"));
        if !holds {
            self.violated(promise, &how());
        }
    }

    pub(super) fn take_counts(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.counts.lock().expect("the lock is not poisoned"))
    }

    pub(super) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().expect("the lock is not poisoned"))
    }

    pub(super) fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.violations.lock().expect("the lock is not poisoned"))
    }
}
