//! Many lives, and what they come to.

use std::collections::BTreeMap;
use std::time::Duration;

use super::application::{Application, Manner, Says};
use super::instance::{Deployment, Mode};
use super::life::{Life, Told};
use super::plan::Plan;
use super::sandbox::{Fate, Mishap};

/// What must hold in every life; the names under which it is counted how often it was checked.
pub(super) const PROMISES: [&str; 15] = [
    "no refresh token is sent twice",
    "what an application gave is saved or queued",
    "the newest tokens are stored, or it is said why not",
    "nothing expired is served",
    "nobody gets another's token",
    "every connection has a future",
    "nothing is forgotten",
    "at most one call a minute",
    "at most a handful of calls at the end of a token",
    "no request is sent more than twice",
    "an answer that is lost once ends no connection",
    "while nothing goes wrong, readers get a token",
    "no connect that was acknowledged is lost",
    "no read fails without a reason",
    "no connection is changed unconditionally",
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

/// A life with one connection in which nothing goes wrong but what its application does, with a reader every one or two seconds.
pub(super) fn live_with(application: Application) -> Report {
    let mut report = Report::default();
    report.add(format!("{application:?}"), run(Plan { readers: 1, ..Plan::of_one(application, 4) }));
    report
}

/// Lives where nothing goes wrong, but that the process of the first refresh is killed or stands still: before and after
/// each of its calls, with every kind of application and deployment.
pub(super) fn interrupt_everywhere() -> Report {
    let application = |manner| Application::new(manner, Duration::from_mins(20));
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
            interrupt(&mut report, &Plan { deployment, ..Plan::of_one(application(manner), 1) });
        }
    }
    let strictly = application(Manner::RotatesStrictly);
    let rest = Application { gives_rest: true, ..strictly.clone() };
    let forgives = Manner::RotatesWithGrace(Plan::GRACE);
    for quirky in [Application { says: Says::Once, ..strictly }, Application { loses: 1000, ..application(forgives) }] {
        interrupt(&mut report, &Plan::of_one(quirky, 1));
    }
    // The first refresh returns the rest of a lifetime, the second one comes at its end.
    for before_it in [0, 1] {
        interrupt(&mut report, &Plan { before_it, ..Plan::of_one(rest.clone(), 1) });
    }
    report
}

/// Lives a plan undisturbed, and then with each interruption of one refresh.
fn interrupt(report: &mut Report, plan: &Plan) {
    let Plan { applications, deployment, before_it, .. } = plan;
    let name = format!("{applications:?}, {deployment:?}, after {before_it} refreshes");
    let told = run(plan.clone());
    let moments = told.moments;
    assert!(moments > 0, "there was no refresh");
    report.add(format!("{name}, undisturbed"), told);
    for at in 1..=moments {
        for mishap in [Mishap::Killed, Mishap::Stalled(Duration::from_secs(120))] {
            let fate = Fate { at, mishap };
            report.add(format!("{name}, {fate:?}"), run(Plan { interruption: Some(fate), ..plan.clone() }));
        }
    }
}

fn run(plan: Plan) -> Told {
    // The SDK draws the pauses between its tries from here.
    fastrand::seed(plan.seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(Life::of(plan))
}
