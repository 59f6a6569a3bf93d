//! What lies between Larder and all that it calls, and everything that goes wrong there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::chance::Chance;

/// Who is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    DynamoDb,
    Kms,
    SecretsManager,
    Scheduler,
    Sqs,
    /// Lambda, to invoke `refresh`.
    Lambda,
    /// The token endpoint of an application.
    Application,
}

impl Service {
    pub(super) const ALL: [Self; 7] =
        [Self::DynamoDb, Self::Kms, Self::SecretsManager, Self::Scheduler, Self::Sqs, Self::Lambda, Self::Application];
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not carried out, and the answer says so: throttled, or out of order.
    Refused,
    /// It is not carried out, and nothing ever answers.
    NoAnswer,
    /// It is carried out, and the answer is lost.
    AnswerLost,
}

impl Fault {
    pub(super) const ALL: [Self; 3] = [Self::Refused, Self::NoAnswer, Self::AnswerLost];
}

/// A time in which calls of a service fail.
#[derive(Debug, Clone)]
pub(super) struct Outage {
    pub(super) service: Service,
    /// Since the beginning.
    pub(super) from: Duration,
    pub(super) to: Duration,
    /// How many calls in a thousand.
    pub(super) per_mille: u64,
    pub(super) fault: Fault,
}

/// The network, the time, and the story so far.
pub(super) struct Network {
    began: Instant,
    pub(super) chance: Arc<Chance>,
    outages: Vec<Outage>,
    /// How many calls in a thousand fail outside of outages.
    background: u64,
    is_quiet: AtomicBool,
    counts: Mutex<BTreeMap<String, u64>>,
    story: Mutex<Vec<String>>,
    violations: Mutex<Vec<String>>,
}

impl Network {
    pub(super) fn new(chance: Arc<Chance>, outages: Vec<Outage>, background: u64) -> Self {
        Self {
            began: Instant::now(),
            chance,
            outages,
            background,
            // Until everything stands.
            is_quiet: AtomicBool::new(true),
            counts: Mutex::default(),
            story: Mutex::default(),
            violations: Mutex::default(),
        }
    }

    /// How long this life has been.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// From now on, nothing goes wrong, or everything may.
    pub(super) fn set_quiet(&self, is_quiet: bool) {
        self.is_quiet.store(is_quiet, Ordering::Relaxed);
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.is_quiet.load(Ordering::Relaxed)
    }

    /// What becomes of a call that is made now.
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
            self.tell(|| format!("{service:?}: {fault:?}"));
        }
        fault
    }

    /// Whether a service may have failed every call since then.
    pub(super) fn was_out(&self, service: Service, since: Duration) -> bool {
        let now = self.now();
        self.outages.iter().any(|it| it.service == service && it.from < now && it.to > since)
    }

    pub(super) fn count(&self, what: impl Into<String>) {
        *self.counts.lock().expect("no panic holds it").entry(what.into()).or_default() += 1;
    }

    /// Adds a line to the story.
    pub(super) fn tell(&self, line: impl FnOnce() -> String) {
        let now = self.now();
        let line = format!("{:>9.3} {}", now.as_secs_f64(), line());
        self.story.lock().expect("no panic holds it").push(line);
    }

    /// A promise is broken.
    pub(super) fn violated(&self, promise: &str, how: &str) {
        let line = format!("VIOLATED: {promise}: {how}");
        self.tell(|| line.clone());
        self.violations.lock().expect("no panic holds it").push(line);
    }

    /// A promise is looked at.
    pub(super) fn check(&self, promise: &str, holds: bool, how: impl FnOnce() -> String) {
        self.count(format!("checked: {promise}"));
        if !holds {
            self.violated(promise, &how());
        }
    }

    pub(super) fn take_counts(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.counts.lock().expect("no panic holds it"))
    }

    pub(super) fn take_story(&self) -> Vec<String> {
        std::mem::take(&mut self.story.lock().expect("no panic holds it"))
    }

    pub(super) fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.violations.lock().expect("no panic holds it"))
    }
}
