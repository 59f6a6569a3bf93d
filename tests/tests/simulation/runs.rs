//! Simulates many runs and collects their results.

use std::collections::BTreeMap;
use std::time::Duration;

use super::instance::{Deployment, Mode};
use super::plan::Plan;
use super::provider::{LifetimeStatement, RefreshTokenPolicy, SimulatedProvider};
use super::run::{Edit, RunResult, SimulatedRun};
use super::sandbox::{Interruption, InterruptionKind};

/// The promises that every run must keep, by the names under which their checks are counted.
pub(super) const PROMISES: [&str; 16] = [
    "no refresh token is sent twice",
    "every answer is saved or queued",
    "the newest tokens are stored, or an error explains why not",
    "no expired token is served",
    "no reader gets another connection's token",
    "every connection is due, leased or flagged",
    "no refresh is forgotten",
    "at most one call a minute",
    "at most five calls at the end of a token",
    "no request is sent more than twice",
    "one lost answer ends no connection",
    "readers get a token while nothing goes wrong",
    "no acknowledged connection is lost",
    "no read fails without a reason",
    "no connection is changed unconditionally",
    "no unconfirmed credentials are served",
];

/// The results of many runs.
#[derive(Debug, Default)]
pub(super) struct SimulationReport {
    /// How often each event happened and each promise was checked.
    pub(super) counts: BTreeMap<String, u64>,
    /// The runs that broke a promise.
    pub(super) failures: Vec<FailedRun>,
}

/// A run that broke a promise.
#[derive(Debug)]
pub(super) struct FailedRun {
    /// The seed or plan that reproduces it.
    pub(super) name: String,
    /// The broken promises.
    pub(super) violations: Vec<String>,
    /// The events, one per line.
    pub(super) log: Vec<String>,
}

impl SimulationReport {
    fn add(&mut self, name: String, result: RunResult) {
        *self.counts.entry("runs".into()).or_default() += 1;
        for (what, count) in result.counts {
            *self.counts.entry(what).or_default() += count;
        }
        if !result.violations.is_empty() {
            self.failures.push(FailedRun { name, violations: result.violations, log: result.log });
        }
    }

    /// Merges another report into this one.
    #[must_use]
    pub(super) fn and(mut self, other: Self) -> Self {
        for (what, count) in other.counts {
            *self.counts.entry(what).or_default() += count;
        }
        self.failures.extend(other.failures);
        self
    }
}

/// Simulates a run for each seed, until one breaks a promise.
pub(super) fn simulate_seeds(seeds: impl Iterator<Item = u64>) -> SimulationReport {
    let mut report = SimulationReport::default();
    for seed in seeds {
        report.add(format!("seed {seed}"), simulate(Plan::of(seed)));
        if !report.failures.is_empty() {
            break;
        }
    }
    report
}

/// The log of a seed's run.
pub(super) fn log_of(seed: u64) -> Vec<String> {
    simulate(Plan::of(seed)).log
}

/// Simulates a run with one connection, read every one or two seconds, in which only its provider misbehaves.
pub(super) fn simulate_provider(provider: SimulatedProvider) -> SimulationReport {
    let mut report = SimulationReport::default();
    report.add(format!("{provider:?}"), simulate(Plan { read_interval: 1, ..Plan::of_one(provider, 4) }));
    report
}

/// Simulates runs in which nothing goes wrong except that a refresh's process is killed or stalled: before and after each of
/// its calls, with every kind of provider and deployment.
pub(super) fn interrupt_everywhere() -> SimulationReport {
    let provider = |policy| SimulatedProvider::new(policy, Duration::from_mins(20));
    let policies = [
        RefreshTokenPolicy::Keeps,
        RefreshTokenPolicy::RotatesStrictly,
        RefreshTokenPolicy::RotatesQuietly,
        RefreshTokenPolicy::RotatesWithGrace(Duration::from_mins(10)),
    ];
    let mut report = SimulationReport::default();
    for policy in policies {
        for (has_recovery, is_outside) in [(true, false), (false, false), (true, true)] {
            let deployment = Deployment { mode: Mode::Sweeper, has_recovery, is_outside };
            interrupt(&mut report, &Plan { deployment, ..Plan::of_one(provider(policy), 1) });
        }
    }
    let strictly = provider(RefreshTokenPolicy::RotatesStrictly);
    let reissuing = SimulatedProvider { reissues: true, ..strictly.clone() };
    let forgiving = RefreshTokenPolicy::RotatesWithGrace(Plan::GRACE);
    for quirky in [
        SimulatedProvider { statement: LifetimeStatement::Once, ..strictly },
        SimulatedProvider { loses_answers: 1000, ..provider(forgiving) },
    ] {
        interrupt(&mut report, &Plan::of_one(quirky, 1));
    }
    // The first refresh returns the existing token, the second one comes at its end.
    for refreshes_before in [0, 1] {
        interrupt(&mut report, &Plan { refreshes_before, ..Plan::of_one(reissuing.clone(), 1) });
    }
    report
}

/// Simulates a plan undisturbed, and then with each possible interruption of one refresh.
fn interrupt(report: &mut SimulationReport, plan: &Plan) {
    let Plan { providers, deployment, refreshes_before, .. } = plan;
    let name = format!("{providers:?}, {deployment:?}, after {refreshes_before} refreshes");
    let result = simulate(plan.clone());
    let interruption_points = result.interruption_points;
    assert!(interruption_points > 0, "there was no refresh");
    report.add(format!("{name}, undisturbed"), result);
    for at in 1..=interruption_points {
        for kind in [InterruptionKind::Killed, InterruptionKind::Stalled(Duration::from_secs(120))] {
            let interruption = Interruption { at, kind };
            report.add(
                format!("{name}, {interruption:?}"),
                simulate(Plan { interruption: Some(interruption), ..plan.clone() }),
            );
        }
    }
}

/// Simulates runs in which nothing goes wrong, but a person edits the connection during a refresh: before and after each of its
/// calls, with every kind of deployment.
pub(super) fn edit_everywhere() -> SimulationReport {
    let mut report = SimulationReport::default();
    let provider = SimulatedProvider::new(RefreshTokenPolicy::RotatesStrictly, Duration::from_mins(20));
    for (has_recovery, is_outside) in [(true, false), (false, false), (true, true)] {
        let deployment = Deployment { mode: Mode::Sweeper, has_recovery, is_outside };
        let plan = Plan { deployment, ..Plan::of_one(provider.clone(), 1) };
        let points = simulate(plan.clone()).interruption_points;
        assert!(points > 0, "there was no refresh");
        for at in 1..=points {
            for edit in Edit::ALL {
                let plan = Plan { edit: Some((at, edit)), ..plan.clone() };
                report.add(format!("{:?}, {edit:?} at {at}", plan.deployment), simulate(plan));
            }
        }
    }
    report
}

fn simulate(plan: Plan) -> RunResult {
    // The SDK draws its retry delays from this generator.
    fastrand::seed(plan.seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(SimulatedRun::execute(plan))
}
