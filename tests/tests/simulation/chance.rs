//! All that is random in a life, from one seed.

use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::time::Duration;

use larder::random::Rng;

/// A generator whose numbers are decided by its seed.
pub(super) struct Chance(Mutex<fastrand::Rng>);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }

    fn with<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.0.lock().expect("no panic holds it"))
    }

    /// A number of the range.
    pub(super) fn number(&self, range: RangeInclusive<u64>) -> u64 {
        self.with(|rng| rng.u64(range))
    }

    /// A time of the range, in milliseconds.
    pub(super) fn milliseconds(&self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(range))
    }

    /// A time of the range, in seconds, to the millisecond.
    pub(super) fn seconds(&self, range: RangeInclusive<u64>) -> Duration {
        self.milliseconds(range.start() * 1000..=range.end() * 1000)
    }

    /// Whether something happens that happens so many times in a thousand.
    pub(super) fn per_mille(&self, often: u64) -> bool {
        self.number(0..=999) < often
    }

    /// One of them.
    pub(super) fn pick<T: Copy>(&self, of: &[T]) -> T {
        self.with(|rng| of[rng.usize(..of.len())])
    }
}

impl Rng for Chance {
    fn fill(&self, bytes: &mut [u8]) {
        self.with(|rng| rng.fill(bytes));
    }
}
