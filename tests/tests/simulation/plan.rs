//! What is to happen in a life, decided before it begins.

use std::time::Duration;

use super::application::{Application, Manner, Says};
use super::chance::Chance;
use super::instance::{Deployment, Mode};
use super::network::{Fault, Outage, Service};
use super::sandbox::Fate;

/// A life. The same plan is the same life, call by call.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) applications: Vec<Application>,
    /// How long things go wrong.
    pub(super) trouble: Duration,
    pub(super) outages: Vec<Outage>,
    /// How many calls in a thousand fail besides.
    pub(super) background: u64,
    /// How many invocations in a thousand are killed, and how many stand still.
    pub(super) kills: u64,
    pub(super) stalls: u64,
    /// How far the clocks of processes are ahead or behind at most, in milliseconds.
    pub(super) skew: i64,
    pub(super) deployment: Deployment,
    /// When all processes are replaced, and what wakes refreshes from then on.
    pub(super) deploys: Option<(Duration, Mode)>,
    /// How many seconds pass between two readers of a connection, on the average.
    pub(super) readers: u64,
    /// What happens to the first refresh that asks an application, instead of what chance would do.
    pub(super) first_refresh: Option<Fate>,
}

impl Plan {
    /// How far the clock of a process is off at most, in milliseconds: two of them are apart by twice that.
    const SKEW: i64 = 15_000;

    /// The plan that a seed means.
    pub(super) fn of(seed: u64) -> Self {
        let chance = Chance::new(seed);
        // Most lives are short, so that there can be many.
        let is_long = chance.per_mille(100);
        let lives = [1, 120, 600, 1200, 1800, 3600];
        let life = Duration::from_secs(chance.pick(&lives));
        let refreshes = if is_long { 12 } else { 3 };
        let trouble =
            (life / 2).max(life.saturating_sub(Duration::from_mins(5))).max(Duration::from_mins(1)) * refreshes;
        let trouble = trouble + chance.seconds(0..=300);
        let count = if is_long { chance.number(1..=3) } else { 1 };
        let applications = (0..count).map(|_| application(&chance, life)).collect();
        let mode = || chance.pick(&[Mode::Sweeper, Mode::Queue, Mode::Schedules]);
        let rate = |rates: &[u64]| chance.pick(rates);
        Self {
            seed,
            applications,
            trouble,
            outages: (0..chance.number(0..=4)).map(|_| outage(&chance, trouble)).collect(),
            background: rate(&[0, 0, 5, 20]),
            kills: rate(&[0, 0, 50, 150]),
            stalls: rate(&[0, 0, 30, 100]),
            skew: chance.pick(&[0, Self::SKEW]),
            deployment: Deployment {
                mode: mode(),
                has_recovery: !chance.per_mille(250),
                is_outside: chance.per_mille(200),
            },
            deploys: chance.per_mille(300).then(|| (part(&chance, trouble), mode())),
            readers: rate(&[300, 900, 1800]),
            first_refresh: None,
        }
    }

    /// A life with one connection in which nothing goes wrong but this, at its first refresh.
    pub(super) fn with_first_refresh(manner: Manner, deployment: Deployment, fate: Option<Fate>) -> Self {
        let life = Duration::from_mins(20);
        let says = Says::ExpiresIn;
        Self {
            seed: 0,
            applications: vec![Application { manner, life, says, ahead: 0, slow: 0, fails: 0 }],
            trouble: life,
            outages: Vec::new(),
            background: 0,
            kills: 0,
            stalls: 0,
            skew: 0,
            deployment,
            deploys: None,
            readers: 300,
            first_refresh: fate,
        }
    }
}

fn application(chance: &Chance, life: Duration) -> Application {
    let grace = chance.seconds(300..=1800);
    let manners = [
        Manner::Keeps,
        Manner::RotatesStrictly,
        Manner::RotatesStrictly,
        Manner::RotatesQuietly,
        Manner::RotatesWithGrace(grace),
    ];
    Application {
        manner: chance.pick(&manners),
        life,
        says: chance.pick(&[Says::ExpiresIn, Says::ExpiresIn, Says::ExpiresAt, Says::Nothing]),
        ahead: chance.pick(&[0, 0, -300, 300]),
        slow: chance.pick(&[0, 0, 100]),
        fails: chance.pick(&[0, 0, 0, 100, 1000]),
    }
}

fn part(chance: &Chance, whole: Duration) -> Duration {
    chance.milliseconds(0..=u64::try_from(whole.as_millis()).expect("fits"))
}

fn outage(chance: &Chance, trouble: Duration) -> Outage {
    let from = part(chance, trouble);
    // From a hiccup to hours.
    let most = chance.pick(&[10, 120, 600, 7200]);
    Outage {
        service: chance.pick(&Service::ALL),
        from,
        to: from + chance.seconds(1..=most),
        per_mille: chance.pick(&[300, 900, 1000]),
        fault: chance.pick(&Fault::ALL),
    }
}
