//! Many lives, and what they come to.

use std::collections::BTreeMap;
use std::time::Duration;

use super::application::Manner;
use super::instance::{Deployment, Mode};
use super::life::{Life, Told};
use super::plan::Plan;
use super::sandbox::{Fate, Mishap};

/// What must hold in every life; the names under which it is counted how often it was checked.
pub(super) const PROMISES: [&str; 10] = [
    "no refresh token is sent twice",
    "what an application gave is saved or queued",
    "the newest tokens are stored, or it is said why not",
    "nothing expired is served",
    "nobody gets another's token",
    "every connection has a future",
    "nothing is forgotten",
    "at most one call a minute",
    "no connect that was acknowledged is lost",
    "no read fails without a reason",
];

/// What many lives came to.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// How often everything happened, and how often each promise was checked.
    pub(super) counts: BTreeMap<String, u64>,
    /// The lives in which a promise was broken: how they are called, what was broken, and their stories.
    pub(super) failures: Vec<Failure>,
}

/// A life in which a promise was broken.
#[derive(Debug)]
pub(super) struct Failure {
    /// What to run to see it again.
    pub(super) name: String,
    /// The promises.
    pub(super) violations: Vec<String>,
    /// Line by line what happened.
    pub(super) story: Vec<String>,
}

impl Report {
    fn add(&mut self, name: String, told: Told) {
        *self.counts.entry("lives".into()).or_default() += 1;
        for (what, count) in told.counts {
            *self.counts.entry(what).or_default() += count;
        }
        if !told.violations.is_empty() {
            self.failures.push(Failure { name, violations: told.violations, story: told.story });
        }
    }

    /// Adds another report.
    #[must_use]
    pub(super) fn and(mut self, other: Self) -> Self {
        for (what, count) in other.counts {
            *self.counts.entry(what).or_default() += count;
        }
        self.failures.extend(other.failures);
        self
    }
}

/// Lives a life of each seed, until one breaks a promise.
pub(super) fn live(seeds: impl Iterator<Item = u64>) -> Report {
    let mut report = Report::default();
    for seed in seeds {
        report.add(format!("seed {seed}"), run(Plan::of(seed)));
        if !report.failures.is_empty() {
            break;
        }
    }
    report
}

/// The story of a seed.
pub(super) fn story(seed: u64) -> Vec<String> {
    run(Plan::of(seed)).story
}

/// Lives where nothing goes wrong, but that the process of the first refresh is killed or stands still: before and after
/// each of its calls, with every kind of application and deployment.
pub(super) fn interrupt_everywhere() -> Report {
    let manners = [
        Manner::Keeps,
        Manner::RotatesStrictly,
        Manner::RotatesQuietly,
        Manner::RotatesWithGrace(Duration::from_mins(10)),
    ];
    let mut report = Report::default();
    for manner in manners {
        for (has_recovery, is_outside) in [(true, false), (false, false), (true, true)] {
            let deployment = Deployment { mode: Mode::Sweeper, has_recovery, is_outside };
            let plan = |fate| Plan::with_first_refresh(manner, deployment.clone(), fate);
            let told = run(plan(None));
            let moments = told.moments;
            assert!(moments > 0, "there was no refresh");
            report.add(format!("{manner:?}, {deployment:?}, undisturbed"), told);
            for at in 1..=moments {
                for mishap in [Mishap::Killed, Mishap::Stalled(Duration::from_secs(120))] {
                    let fate = Fate { at, mishap };
                    report.add(format!("{manner:?}, {deployment:?}, {fate:?}"), run(plan(Some(fate))));
                }
            }
        }
    }
    report
}

fn run(plan: Plan) -> Told {
    // The SDK draws the pauses between its tries from here.
    fastrand::seed(plan.seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(Life::of(plan))
}
