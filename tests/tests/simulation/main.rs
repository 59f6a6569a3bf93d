//! Simulates refreshes over many token lifetimes, in one thread and from one seed. It runs the real functions with their AWS
//! SDKs against a simulated network, cloud, providers and clock.
//!
//! A [`plan`] decides what goes wrong, and a `SimulatedRun` carries it out. Invocations run in a `Sandbox`, which can be killed
//! or stalled before or after any of their calls. The clock is tokio's, which jumps to the next event, so hours take
//! milliseconds. There are no other threads, no sockets and no system clock, so the same seed always gives the same run.
//!
//! Each run checks the `PROMISES` throughout and at its end.
//!
//! `tests/run --lives 1000000` simulates more runs, and `LARDER_SIMULATION_SEED=42` prints the log of one.
//!
//! # Decisions
//!
//! The simulation is our own. Faults between a lease and a save occur once in a million refreshes, so a test has to
//! cause them. `turmoil` simulates hosts and sockets, but the SDK and reqwest would have to be ported to its sockets,
//! and a host's crash is not a crash between two calls. A simulated run takes about 110 ms of a processor in a debug
//! build, nearly all of it in the SDK. On its first day the simulation found: sweeps that ended each other's refreshes,
//! leases of forced refreshes that nothing followed up for a day, results dropped while another held the lease, a queue that took
//! "busy" and "not yet" for "done", and `expires_at` read by the wrong clock.
//!
//! An answer counts as lost, without blaming Larder, if the network or its process lost it before the save, or if its
//! process stalled with it for more than 30 seconds. Nothing can fix a strict provider's reaction to that; the
//! simulation checks that the connection reports it.

mod chance;
mod cloud;
mod instance;
mod internet;
mod network;
mod plan;
mod provider;
mod run;
mod runs;
mod sandbox;

use std::time::Duration;

use larder_tests::say;
use plan::Plan;
use provider::{LifetimeStatement, RefreshTokenPolicy, SimulatedProvider};
use runs::{
    PROMISES, SimulationReport, edit_everywhere, interrupt_everywhere, log_of, simulate_provider, simulate_seeds,
};

/// The number of simulated runs in an ordinary test.
const RUNS: u64 = 500;
/// Seeds that once failed, and the faults they found.
const REGRESSIONS: [u64; 4] = [
    330,  // An unreadable shard stopped the refreshes of all other shards.
    943,  // A manual refresh died, and no refresh followed for a day.
    2766, // A provider returned the existing token without a lifetime after the first answer was lost.
    5165, // A queue message was dropped because our clock was slow.
];

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

/// Prints the counts, and panics with the log of the first run that broke a promise.
fn conclude(report: SimulationReport) {
    for (what, count) in &report.counts {
        say(&format!("{count:>12} {what}"));
    }
    if let Some(failure) = report.failures.first() {
        say(&failure.log.join("\n"));
        panic!("{}: {}", failure.name, failure.violations.join("\n"));
    }
}

#[test]
fn the_promises_hold_over_hundreds_of_runs() {
    if let Some(seed) = setting("LARDER_SIMULATION_SEED") {
        say(&log_of(seed).join("\n"));
        return conclude(simulate_seeds(std::iter::once(seed)));
    }
    let runs = setting("LARDER_SIMULATION_LIVES").unwrap_or(RUNS);
    let threads = std::thread::available_parallelism().map_or(2, |it| u64::try_from(it.get()).unwrap_or(2));
    let report = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|first| {
                scope.spawn(move || simulate_seeds((first..runs).step_by(usize::try_from(threads).unwrap_or(2))))
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("no panic"))
            .fold(SimulationReport::default(), SimulationReport::and)
    });
    for promise in PROMISES {
        assert!(report.counts.contains_key(&format!("checked: {promise}")), "never checked: {promise}");
    }
    conclude(report);
}

#[test]
fn seeds_that_once_failed_keep_every_promise() {
    conclude(simulate_seeds(REGRESSIONS.into_iter()));
}

#[test]
fn a_refresh_interrupted_at_any_call_is_recovered_or_flagged() {
    conclude(interrupt_everywhere());
}

#[test]
fn an_edit_at_any_call_of_a_refresh_loses_no_token_and_is_kept() {
    let report = edit_everywhere();
    for promise in ["no edit is lost", "edits are answered"] {
        assert!(report.counts.contains_key(&format!("checked: {promise}")), "never checked: {promise}");
    }
    conclude(report);
}

#[test]
fn the_same_seed_gives_the_same_run_whatever_ran_before() {
    let logs = || [0, 1, 2, 3, 1910].map(log_of);
    let before = logs();
    conclude(simulate_seeds(10..40));
    assert_eq!(before, logs());
}

/// Simulates a run with this provider, which must keep every promise. Returns a function that looks up a count.
fn counts_with(provider: SimulatedProvider) -> impl Fn(&str) -> u64 {
    let report = simulate_provider(provider);
    let counts = report.counts.clone();
    conclude(report);
    move |what| counts.get(what).copied().unwrap_or_default()
}

/// If the first refresh without a stated lifetime lost it, the next refresh would be due a day later, and readers would get an
/// expired token.
#[test]
fn a_lifetime_stated_once_counts_for_every_token() {
    let provider = SimulatedProvider::new(RefreshTokenPolicy::Keeps, Duration::from_mins(20));
    let count = counts_with(SimulatedProvider { statement: LifetimeStatement::Once, ..provider });
    assert!((4..=6).contains(&count("refreshes")), "{} refreshes", count("refreshes"));
    assert_eq!(count("read: 503"), 0);
}

/// If the remaining lifetime of an existing token counted as the lifetime of a new one, refreshes would come at half of each
/// remainder and then once a minute, and readers would get a 503 for most of the minute after the token expires.
#[test]
fn a_reissued_token_is_served_to_its_end_then_replaced_at_once() {
    let provider = SimulatedProvider::new(RefreshTokenPolicy::RotatesStrictly, Duration::from_mins(20));
    for statement in [LifetimeStatement::ExpiresIn, LifetimeStatement::Once] {
        let count = counts_with(SimulatedProvider { reissues: true, statement, ..provider.clone() });
        let (all, reissues) = (count("refreshes"), count("refreshes that returned the existing token"));
        assert!(reissues >= 3 && all <= 4 * 4, "{reissues} of {all} refreshes returned the existing token");
        assert!(count("read: 503") <= 2 * 4, "{} failed reads at the end of 4 tokens", count("read: 503"));
    }
}

/// If every 200 counted as success, a token that comes with an error would be stored and served. If the error's code were
/// ignored, the second connection would retry its dead refresh token for a week.
#[test]
fn an_error_with_a_200_means_what_its_code_says() {
    let provider = SimulatedProvider::new(RefreshTokenPolicy::RotatesStrictly, Duration::from_mins(20));
    let count = counts_with(SimulatedProvider { errors_with_200: 400, ..provider.clone() });
    assert!(count("errors with a 200") >= 1 && count("refreshes") >= 3, "{} errors", count("errors with a 200"));
    assert_eq!(count("connections that need a reconnect at the end"), 0);

    let count = counts_with(SimulatedProvider { errors_with_200: 1, loses_answers: 1000, ..provider });
    assert_eq!(count("connections that need a reconnect at the end"), 1, "its answer was lost");
    assert_eq!(count("refreshes"), 2, "a dead refresh token is not sent again");
}

/// Without an immediate retry, the next refresh would come a minute later, when the provider no longer accepts the old refresh
/// token, and the end user would have to reconnect.
#[test]
fn a_refresh_whose_answer_is_lost_is_retried_in_time() {
    let provider = SimulatedProvider::new(RefreshTokenPolicy::RotatesWithGrace(Plan::GRACE), Duration::from_mins(20));
    let count = counts_with(SimulatedProvider { loses_answers: 500, ..provider });
    assert!(count("retries") >= 2, "{} retries", count("retries"));
    assert_eq!(count("retries"), count("answers lost by a provider"));
}
