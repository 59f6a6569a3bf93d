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
    /// The fate of one refresh that is due, instead of one that chance draws.
    pub(super) interruption: Option<Fate>,
    /// How many refreshes that are due go before that one.
    pub(super) before_it: u64,
}

impl Plan {
    /// How far the clock of a process is off at most, in milliseconds: two of them are apart by twice that.
    const SKEW: i64 = 15_000;
    /// How long applications that forgive a lost answer take a refresh token that was used: less than the minute between
    /// two refreshes.
    pub(super) const GRACE: Duration = Duration::from_secs(30);

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
        let mut plan = Self {
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
            interruption: None,
            before_it: 0,
        };
        plan.add_quirks();
        plan
    }

    /// Makes some lives calm and gives some applications a quirk. The draws come from a generator of their own, so that a seed
    /// without quirks means the life that it meant before there were any. The seeds that are kept get none by this number.
    fn add_quirks(&mut self) {
        const QUIRKS: u64 = 0x5e7;
        let chance = Chance::new(self.seed ^ QUIRKS);
        let is_calm = chance.per_mille(80);
        if is_calm {
            (self.outages, self.background, self.kills, self.stalls) = (Vec::new(), 0, 0, 0);
            self.readers = 300;
        }
        for application in &mut self.applications {
            if is_calm {
                (application.slow, application.fails) = (0, 0);
            }
            let loses = chance.pick(&[50, 300]);
            match chance.number(0..=11) {
                0 => application.says = Says::Once,
                1 | 2 => {
                    application.gives_rest = true;
                    application.says = chance.pick(&[Says::ExpiresIn, Says::ExpiresAt, Says::Once]);
                }
                3 => application.errs = chance.pick(&[50, 300]),
                4 => application.loses = loses,
                5 | 6 => (application.loses, application.manner) = (loses, Manner::RotatesWithGrace(Self::GRACE)),
                7 => {
                    // All at once.
                    (application.gives_rest, application.says) = (true, Says::Once);
                    (application.errs, application.loses) = (50, loses);
                }
                _ => {}
            }
        }
    }

    /// Whether nothing goes wrong but what applications do.
    pub(super) fn is_calm(&self) -> bool {
        self.outages.is_empty() && self.background + self.kills + self.stalls == 0 && self.interruption.is_none()
    }

    /// A life with one connection in which nothing goes wrong but what its application does, for this many lifetimes of its
    /// tokens.
    pub(super) fn of_one(application: Application, lifetimes: u32) -> Self {
        let trouble = application.life * lifetimes;
        Self {
            seed: 0,
            applications: vec![application],
            trouble,
            outages: Vec::new(),
            background: 0,
            kills: 0,
            stalls: 0,
            skew: 0,
            deployment: Deployment { mode: Mode::Sweeper, has_recovery: true, is_outside: false },
            deploys: None,
            readers: 300,
            interruption: None,
            before_it: 0,
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
        says: chance.pick(&[Says::ExpiresIn, Says::ExpiresIn, Says::ExpiresAt, Says::Nothing]),
        ahead: chance.pick(&[0, 0, -300, 300]),
        slow: chance.pick(&[0, 0, 100]),
        fails: chance.pick(&[0, 0, 0, 100, 1000]),
        ..Application::new(Manner::Keeps, life)
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
