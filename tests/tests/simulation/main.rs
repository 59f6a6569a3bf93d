//! The whole life of refreshes, in one thread, by one seed: the functions themselves and the SDKs under them, in front of a
//! network, a cloud, applications and a time that are all made here.
//!
//! A [`plan`] says what goes wrong; a `Life` lets it happen. Invocations run in a `Sandbox`, which is killed or stands still
//! before or after any of their calls. The clock is tokio's, which jumps to the next thing that happens, so that hours take
//! milliseconds. Nothing else is there: no thread, no socket, no clock of the machine. So the same seed is the same life.
//!
//! What must hold is checked all along and at the end, see `PROMISES`.
//!
//! `LARDER_SIMULATION_LIVES=1000000` lives more of them, `LARDER_SIMULATION_SEED=42` tells the story of one.

mod application;
mod chance;
mod cloud;
mod instance;
mod life;
mod lives;
mod network;
mod plan;
mod sandbox;

use larder_tests::say;
use lives::{PROMISES, Report, interrupt_everywhere, live, story};

/// The lives of one ordinary run.
const LIVES: u64 = 10_000;
/// Seeds of lives in which a promise was broken.
const KEPT: [u64; 3] = [
    // A shard that could not be read ended the refreshes of the others.
    330, // A refresh by hand died, and nobody came for a day.
    943, // A message of the queue was done because our clock was behind.
    5165,
];

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Shows what happened, and fails with the story of the first life that broke a promise.
fn conclude(report: Report) {
    for (what, count) in &report.counts {
        say(&format!("{count:>12} {what}"));
    }
    if let Some(failure) = report.failures.first() {
        say(&failure.story.join("\n"));
        panic!("{}: {}", failure.name, failure.violations.join("\n"));
    }
}

#[test]
fn the_promises_hold_over_thousands_of_lives() {
    if let Some(seed) = setting("LARDER_SIMULATION_SEED") {
        say(&story(seed).join("\n"));
        return conclude(live(std::iter::once(seed)));
    }
    let lives = setting("LARDER_SIMULATION_LIVES").unwrap_or(LIVES);
    let threads = std::thread::available_parallelism().map_or(2, |it| u64::try_from(it.get()).unwrap_or(2));
    let report = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || live((first..lives).step_by(usize::try_from(threads).unwrap_or(2)))))
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("no panic")).fold(Report::default(), Report::and)
    });
    for promise in PROMISES {
        assert!(report.counts.contains_key(&format!("checked: {promise}")), "nobody looked whether {promise}");
    }
    conclude(report);
}

#[test]
fn lives_that_broke_a_promise_once_keep_them_all() {
    conclude(live(KEPT.into_iter()));
}

#[test]
fn an_interruption_at_any_call_of_a_refresh_is_recovered_or_flagged() {
    conclude(interrupt_everywhere());
}

#[test]
fn the_same_seed_is_the_same_life() {
    for seed in 0..5 {
        assert_eq!(story(seed), story(seed), "seed {seed}");
    }
}
