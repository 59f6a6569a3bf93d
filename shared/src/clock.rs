//! Time as a parameter, so that a test can jump two months ahead.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A source of the current time.
pub trait Clock: Send + Sync {
    /// Returns the current time, in UTC.
    fn now(&self) -> OffsetDateTime;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        #[expect(clippy::disallowed_methods, reason = "the only place that reads the machine's clock")]
        OffsetDateTime::now_utc()
    }
}

/// Converts a time to milliseconds since 1970, the form in which times are stored.
pub fn milliseconds(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// Converts milliseconds since 1970 to a time; `None` beyond the year 9999.
pub fn from_milliseconds(milliseconds: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).ok()
}

/// Serializes times as milliseconds since 1970, for `#[serde(with)]`.
pub mod as_milliseconds {
    use serde::{Deserialize as _, Deserializer, Serializer, de};
    use time::OffsetDateTime;

    /// Serializes a time.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(time: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(super::milliseconds(*time))
    }

    /// Deserializes a time.
    ///
    /// # Errors
    /// Those of the deserializer, and for a time beyond the year 9999.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OffsetDateTime, D::Error> {
        super::from_milliseconds(i64::deserialize(deserializer)?).ok_or_else(|| de::Error::custom("not a time"))
    }
}

/// Formats a time as the API shows it, in RFC 3339 with milliseconds; `None` beyond the year 9999.
pub fn rfc3339(time: OffsetDateTime) -> Option<String> {
    time.replace_nanosecond(u32::from(time.millisecond()) * 1_000_000).ok()?.format(&Rfc3339).ok()
}

/// Adds to a time. Saturates at the largest time, where the operator `+` would panic; many durations come from outside.
pub fn later(time: OffsetDateTime, by: Duration) -> OffsetDateTime {
    time.saturating_add(by.try_into().unwrap_or(time::Duration::MAX))
}

/// Subtracts from a time. Saturates at the smallest time.
pub fn earlier(time: OffsetDateTime, by: Duration) -> OffsetDateTime {
    time.saturating_sub(by.try_into().unwrap_or(time::Duration::MAX))
}

/// A clock that stands still until it is advanced.
#[derive(Debug)]
pub struct ManualClock(std::sync::Mutex<OffsetDateTime>);

impl ManualClock {
    /// Creates a clock that shows `seconds` since 1970.
    pub fn at(seconds: i64) -> Self {
        Self(std::sync::Mutex::new(OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds)))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        *self.0.lock().expect("the lock is not poisoned") += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        *self.0.lock().expect("the lock is not poisoned")
    }
}
