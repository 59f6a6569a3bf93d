//! The whole life of refreshes, in one thread, by one seed: the functions themselves and the SDKs under them, in front of a
//! network, a cloud, applications and a time that are all made here.
//!
//! A [`plan`] says what goes wrong; a `Life` lets it happen. Invocations run in a `Sandbox`, which is killed or stands still
//! before or after any of their calls. The clock is tokio's, which jumps to the next thing that happens, so that hours take
//! milliseconds. Nothing else is there: no thread, no socket, no clock of the machine. So the same seed is the same life.
//!
//! What must hold is checked all along and at the end, see `PROMISES`.
//!
//! `tests/run --lives 1000000` lives more of them, `LARDER_SIMULATION_SEED=42` tells the story of one.
//!
//! # Decisions
//!
//! The simulation is our own. Faults between a lease and a save occur once in a million refreshes, so a test has to
//! cause them. `turmoil` simulates hosts and sockets, but the SDK and reqwest would have to be brought to its sockets,
//! and a host's crash is not a crash between two calls. A simulated run takes about 110 ms of a processor in a debug
//! build, nearly all of it in the SDK. On its first day the simulation found: sweeps that ended each other's refreshes,
//! leases of forced refreshes that nothing followed up for a day, results dropped while another held the lease, a queue that took
//! "busy" and "not yet" for "done", and `expires_at` read by the wrong clock.
//!
//! An answer counts as lost, without blaming Larder, if the network or its process lost it before the save, or if its
//! process stood still with it for more than 30 seconds. Nothing can fix a strict provider's reaction to that; the
//! simulation checks that the connection reports it.

mod application;
mod chance;
mod cloud;
mod instance;
mod internet;
mod life;
mod lives;
mod network;
mod plan;
mod sandbox;

use std::time::Duration;

use application::{Application, Manner, Says};
use larder_tests::say;
use lives::{PROMISES, Report, interrupt_everywhere, live, live_with, story};
use plan::Plan;

/// The lives of one ordinary run.
const LIVES: u64 = 1_500;
/// Seeds of lives that once failed.
const KEPT: [u64; 4] = [
    330,  // A shard that could not be read ended the refreshes of the others.
    943,  // A refresh by hand died, and nobody came for a day.
    2766, // An application handed out the rest of a lifetime without stating it, and the first answer was lost.
    5165, // A message of the queue was done because our clock was behind.
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
fn the_same_seed_is_the_same_life_whatever_went_before() {
    let stories = || [0, 1, 2, 3, 1910].map(story);
    let before = stories();
    conclude(live(10..40));
    assert_eq!(before, stories());
}

/// How often something happened in a life with this application, in which no promise was broken.
fn counts_with(application: Application) -> impl Fn(&str) -> u64 {
    let report = live_with(application);
    let counts = report.counts.clone();
    conclude(report);
    move |what| counts.get(what).copied().unwrap_or_default()
}

/// If the lifetime were forgotten at the first refresh that states none, the next refresh would be due a day later, and a
/// reader would be served a token that has expired.
#[test]
fn a_lifetime_stated_once_counts_for_every_token() {
    let application = Application::new(Manner::Keeps, Duration::from_mins(20));
    let count = counts_with(Application { says: Says::Once, ..application });
    assert!((4..=6).contains(&count("refreshes")), "{} refreshes", count("refreshes"));
    assert_eq!(count("read: 503"), 0);
}

/// If the rest of a lifetime were taken for the lifetime of a new token, refreshes would come at half of each rest and then a
/// minute apart, and for most of the minute after the end readers would get a 503.
#[test]
fn a_token_handed_out_to_its_end_is_served_until_then_and_replaced_at_once() {
    let application = Application::new(Manner::RotatesStrictly, Duration::from_mins(20));
    for says in [Says::ExpiresIn, Says::Once] {
        let count = counts_with(Application { gives_rest: true, says, ..application.clone() });
        let (all, rests) = (count("refreshes"), count("refreshes that returned the rest of a lifetime"));
        assert!(rests >= 3 && all <= 4 * 4, "{rests} of {all} refreshes returned the rest");
        assert!(count("read: 503") <= 2 * 4, "{} reads at the end of 4 tokens", count("read: 503"));
    }
}

/// If a 200 counted as success, a token that comes with an error would be stored and served. If the code in it were not read,
/// the second connection would be tried with its dead refresh token for a week.
#[test]
fn an_error_with_a_200_means_what_its_code_says() {
    let application = Application::new(Manner::RotatesStrictly, Duration::from_mins(20));
    let count = counts_with(Application { errs: 400, ..application.clone() });
    assert!(count("errors with a 200") >= 1 && count("refreshes") >= 3, "{} errors", count("errors with a 200"));
    assert_eq!(count("connections that wait for their end user in the end"), 0);

    let count = counts_with(Application { errs: 1, loses: 1000, ..application });
    assert_eq!(count("connections that wait for their end user in the end"), 1, "its answer was lost");
    assert_eq!(count("refreshes"), 2, "nobody asks again with a dead token");
}

/// If a lost answer were not asked for again at once, the next refresh would come after a minute, when the application does
/// not take the old refresh token any more, and the connection would need its end user.
#[test]
fn a_lost_answer_is_asked_for_again_in_time() {
    let application = Application::new(Manner::RotatesWithGrace(Plan::GRACE), Duration::from_mins(20));
    let count = counts_with(Application { loses: 500, ..application });
    assert!(count("second tries") >= 2, "{} second tries", count("second tries"));
    assert_eq!(count("second tries"), count("answers lost by an application"));
}
