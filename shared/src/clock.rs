//! Time as a parameter, so that a test can be two months later at once.

use std::time::Duration;

use time::OffsetDateTime;

/// What time it is.
pub trait Clock: Send + Sync {
    /// The current time, in UTC.
    fn now(&self) -> OffsetDateTime;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        #[expect(clippy::disallowed_methods, reason = "the one place where time enters")]
        OffsetDateTime::now_utc()
    }
}

/// Milliseconds since 1970: how times are stored.
pub fn milliseconds(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// The time that is so many milliseconds after 1970; `None` beyond the year 9999.
pub fn from_milliseconds(milliseconds: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).ok()
}

/// The time that is so much later. Where it would be beyond what a time can be, that is the last one: the operator `+` panics
/// there, and many durations come from outside.
pub fn later(time: OffsetDateTime, by: Duration) -> OffsetDateTime {
    time.saturating_add(by.try_into().unwrap_or(time::Duration::MAX))
}

/// The time that is so much earlier, or the first one.
pub fn earlier(time: OffsetDateTime, by: Duration) -> OffsetDateTime {
    time.saturating_sub(by.try_into().unwrap_or(time::Duration::MAX))
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(std::sync::Mutex<OffsetDateTime>);

impl ManualClock {
    /// A clock that shows `seconds` since 1970.
    pub fn at(seconds: i64) -> Self {
        Self(std::sync::Mutex::new(OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds)))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        *self.0.lock().expect("no panic holds it") += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        *self.0.lock().expect("no panic holds it")
    }
}
