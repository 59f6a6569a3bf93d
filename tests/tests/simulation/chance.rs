//! The randomness of a run, from one seed.

use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::time::Duration;

use larder::random::Rng;

/// A seeded random number generator.
pub(super) struct Chance(Mutex<fastrand::Rng>);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }

    fn with<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.0.lock().expect("the lock is not poisoned"))
    }

    /// A number from the range.
    pub(super) fn number(&self, range: RangeInclusive<u64>) -> u64 {
        self.with(|rng| rng.u64(range))
    }

    /// A duration from the range, in milliseconds.
    pub(super) fn milliseconds(&self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(range))
    }

    /// A duration from the range, in seconds with millisecond precision.
    pub(super) fn seconds(&self, range: RangeInclusive<u64>) -> Duration {
        self.milliseconds(range.start() * 1000..=range.end() * 1000)
    }

    /// `true` this many times in a thousand.
    pub(super) fn per_mille(&self, often: u64) -> bool {
        self.number(0..=999) < often
    }

    /// One of the values.
    pub(super) fn pick<T: Copy>(&self, of: &[T]) -> T {
        self.with(|rng| of[rng.usize(..of.len())])
    }
}

impl Rng for Chance {
    fn fill(&self, bytes: &mut [u8]) {
        self.with(|rng| rng.fill(bytes));
    }
}
