//! The plan of a run, decided before it starts.

use std::time::Duration;

use super::chance::Chance;
use super::instance::{Deployment, Mode};
use super::network::{Fault, Outage, Service};
use super::provider::{LifetimeStatement, RefreshTokenPolicy, SimulatedProvider};
use super::run::Edit;
use super::sandbox::Interruption;

/// A run's plan. The same plan gives the same run, call by call.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) providers: Vec<SimulatedProvider>,
    /// How long things go wrong.
    pub(super) trouble: Duration,
    pub(super) outages: Vec<Outage>,
    /// How many calls in a thousand fail outside outages.
    pub(super) background: u64,
    /// How many invocations in a thousand are killed.
    pub(super) kills: u64,
    /// How many invocations in a thousand stall.
    pub(super) stalls: u64,
    /// The maximum clock error of a process, in milliseconds.
    pub(super) skew: i64,
    pub(super) deployment: Deployment,
    /// When all processes are replaced, and what triggers refreshes from then on.
    pub(super) redeployment: Option<(Duration, Mode)>,
    /// The average time between two reads of a connection, in seconds.
    pub(super) read_interval: u64,
    /// An interruption of one due refresh, instead of random ones.
    pub(super) interruption: Option<Interruption>,
    /// An edit by a person before or after one of the calls of one due refresh.
    pub(super) edit: Option<(u64, Edit)>,
    /// The number of due refreshes before the interrupted one.
    pub(super) refreshes_before: u64,
    /// How many reconnects in a thousand need a confirmation. Half of those get it.
    pub(super) bound: u64,
}

impl Plan {
    /// The maximum clock error of a process, in milliseconds. Two processes may differ by twice that.
    const SKEW: i64 = 15_000;
    /// How long providers that forgive a lost answer accept a used refresh token: less than the minute between two refreshes.
    pub(super) const GRACE: Duration = Duration::from_secs(30);

    /// The plan of a seed.
    pub(super) fn of(seed: u64) -> Self {
        let chance = Chance::new(seed);
        // Most runs are short, so that there can be many.
        let is_long = chance.per_mille(100);
        let lifetimes = [1, 120, 600, 1200, 1800, 3600];
        let lifetime = Duration::from_secs(chance.pick(&lifetimes));
        let refreshes = if is_long { 12 } else { 3 };
        let trouble =
            (lifetime / 2).max(lifetime.saturating_sub(Duration::from_mins(5))).max(Duration::from_mins(1)) * refreshes;
        let trouble = trouble + chance.seconds(0..=300);
        let count = if is_long { chance.number(1..=3) } else { 1 };
        let providers = (0..count).map(|_| provider(&chance, lifetime)).collect();
        let mode = || chance.pick(&[Mode::Sweeper, Mode::Queue, Mode::Schedules]);
        let rate = |rates: &[u64]| chance.pick(rates);
        let mut plan = Self {
            seed,
            providers,
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
            redeployment: chance.per_mille(300).then(|| (part(&chance, trouble), mode())),
            read_interval: rate(&[300, 900, 1800]),
            interruption: None,
            edit: None,
            refreshes_before: 0,
            bound: 0,
        };
        plan.add_quirks();
        plan.add_confirmations();
        plan
    }

    /// Lets reconnects of some runs need a confirmation. As with quirks, the regression seeds have none.
    fn add_confirmations(&mut self) {
        const CONFIRMATIONS: u64 = 0xcb;
        self.bound = Chance::new(self.seed ^ CONFIRMATIONS).pick(&[0, 0, 500]);
    }

    /// Makes some runs calm and gives some providers a quirk. The draws come from a separate generator, so that seeds without
    /// quirks give the same run as before quirks existed. With this constant, the regression seeds have none.
    fn add_quirks(&mut self) {
        const QUIRKS: u64 = 0x5e7;
        let chance = Chance::new(self.seed ^ QUIRKS);
        let is_calm = chance.per_mille(80);
        if is_calm {
            (self.outages, self.background, self.kills, self.stalls) = (Vec::new(), 0, 0, 0);
            self.read_interval = 300;
        }
        for provider in &mut self.providers {
            if is_calm {
                (provider.slow, provider.fails) = (0, 0);
            }
            let loses_answers = chance.pick(&[50, 300]);
            match chance.number(0..=11) {
                0 => provider.statement = LifetimeStatement::Once,
                1 | 2 => {
                    provider.reissues = true;
                    provider.statement = chance.pick(&[
                        LifetimeStatement::ExpiresIn,
                        LifetimeStatement::ExpiresAt,
                        LifetimeStatement::Once,
                    ]);
                }
                3 => provider.errors_with_200 = chance.pick(&[50, 300]),
                4 => provider.loses_answers = loses_answers,
                5 | 6 => {
                    (provider.loses_answers, provider.policy) =
                        (loses_answers, RefreshTokenPolicy::RotatesWithGrace(Self::GRACE))
                }
                7 => {
                    // All quirks at once.
                    (provider.reissues, provider.statement) = (true, LifetimeStatement::Once);
                    (provider.errors_with_200, provider.loses_answers) = (50, loses_answers);
                }
                _ => {}
            }
        }
    }

    /// Whether only the providers misbehave.
    pub(super) fn is_calm(&self) -> bool {
        self.outages.is_empty()
            && self.background + self.kills + self.stalls == 0
            && self.interruption.is_none()
            && self.edit.is_none()
    }

    /// A plan with one connection in which only the provider misbehaves, for this many token lifetimes.
    pub(super) fn of_one(provider: SimulatedProvider, lifetimes: u32) -> Self {
        let trouble = provider.lifetime * lifetimes;
        Self {
            seed: 0,
            providers: vec![provider],
            trouble,
            outages: Vec::new(),
            background: 0,
            kills: 0,
            stalls: 0,
            skew: 0,
            deployment: Deployment { mode: Mode::Sweeper, has_recovery: true, is_outside: false },
            redeployment: None,
            read_interval: 300,
            interruption: None,
            edit: None,
            refreshes_before: 0,
            bound: 0,
        }
    }
}

fn provider(chance: &Chance, lifetime: Duration) -> SimulatedProvider {
    let grace = chance.seconds(300..=1800);
    let policies = [
        RefreshTokenPolicy::Keeps,
        RefreshTokenPolicy::RotatesStrictly,
        RefreshTokenPolicy::RotatesStrictly,
        RefreshTokenPolicy::RotatesQuietly,
        RefreshTokenPolicy::RotatesWithGrace(grace),
    ];
    SimulatedProvider {
        policy: chance.pick(&policies),
        statement: chance.pick(&[
            LifetimeStatement::ExpiresIn,
            LifetimeStatement::ExpiresIn,
            LifetimeStatement::ExpiresAt,
            LifetimeStatement::Never,
        ]),
        ahead: chance.pick(&[0, 0, -300, 300]),
        slow: chance.pick(&[0, 0, 100]),
        fails: chance.pick(&[0, 0, 0, 100, 1000]),
        ..SimulatedProvider::new(RefreshTokenPolicy::Keeps, lifetime)
    }
}

fn part(chance: &Chance, whole: Duration) -> Duration {
    chance.milliseconds(0..=u64::try_from(whole.as_millis()).expect("fits"))
}

fn outage(chance: &Chance, trouble: Duration) -> Outage {
    let from = part(chance, trouble);
    // From seconds to hours.
    let most = chance.pick(&[10, 120, 600, 7200]);
    Outage {
        service: chance.pick(&Service::ALL),
        from,
        to: from + chance.seconds(1..=most),
        per_mille: chance.pick(&[300, 900, 1000]),
        fault: chance.pick(&Fault::ALL),
    }
}
