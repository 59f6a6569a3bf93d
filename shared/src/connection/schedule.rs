//! When credentials are refreshed, and how long to wait after a failure.
//!
//! # Decisions
//!
//! A connection without a refresh token stays `READY` until its access token expires, and is then flagged so that its
//! end user learns of it. Without an expiry it is never due. Credentials stored through `PUT /credentials` without an
//! integration are not interpreted: they are never due and never expire.

use std::time::Duration;

use time::OffsetDateTime;

use super::Expiry;
use crate::clock::{earlier, later};

/// The minimum interval between refreshes of one connection.
pub const MIN_INTERVAL: Duration = Duration::from_mins(1);
/// The minimum interval in the moments after the expiry of a token that the provider reissued until then.
pub(super) const LAST_MOMENTS_INTERVAL: Duration = Duration::from_secs(2);
/// The longest wait that a provider can request (`Retry-After`).
pub const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);
/// How long before the expiry a refresh is due; half of the lifetime if that is shorter.
const MARGIN: Duration = Duration::from_mins(5);
/// The interval between refreshes if the provider does not state a lifetime.
const UNKNOWN_LIFETIME: Duration = Duration::from_hours(24);
/// The longest wait between two failing attempts.
const MAX_BACK_OFF: Duration = Duration::from_hours(6);

/// Returns when credentials with this expiry are due for a refresh. `margin` is the connector's own, if it sets one.
pub fn next_refresh(expiry: Option<Expiry>, margin: Option<Duration>, now: OffsetDateTime) -> OffsetDateTime {
    match expiry {
        // The provider issues no other token before this one expires.
        Some(expiry) if expiry.is_rest && !expiry.is_long_over(now) => expiry.at.max(later(now, LAST_MOMENTS_INTERVAL)),
        Some(expiry) => {
            let lifetime = expiry.lifetime();
            let margin = margin.map_or_else(|| MARGIN.min(lifetime / 2), |margin| margin.min(lifetime));
            earlier(expiry.at, margin).max(later(now, MIN_INTERVAL))
        }
        None => later(now, UNKNOWN_LIFETIME),
    }
}

/// Returns how long to wait after the `attempts`th failure in a row. The wait doubles from one minute to six hours;
/// `jitter` (in `0.0..1.0`) adds up to a quarter, so that connections that failed together are not retried together.
pub fn back_off(attempts: u32, jitter: f64) -> Duration {
    let doubled = MIN_INTERVAL.saturating_mul(1 << attempts.saturating_sub(1).min(16));
    doubled.min(MAX_BACK_OFF.mul_f64(0.8)).mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_700_000_000 + seconds).expect("a time")
    }

    fn due(lifetime: i64, margin: Option<u64>) -> i64 {
        let expiry = Some(Expiry::new(at(0), at(lifetime)));
        (next_refresh(expiry, margin.map(Duration::from_secs), at(0)) - at(0)).whole_seconds()
    }

    #[test]
    fn a_refresh_is_due_five_minutes_early_or_at_half_the_lifetime() {
        assert_eq!(due(3600, None), 3300);
        assert_eq!(due(600, None), 300);
        assert_eq!(due(300, None), 150);
        assert_eq!(due(90, None), 60);
        assert_eq!(due(1, None), 60);
    }

    #[test]
    fn a_connector_may_set_another_margin() {
        assert_eq!(due(600, Some(25)), 575);
        assert_eq!(due(3600, Some(1800)), 1800);
        assert_eq!(due(600, Some(600)), 60);
        assert_eq!(due(600, Some(u64::MAX)), 60);
    }

    #[test]
    fn a_reissued_token_is_due_when_it_expires() {
        let due = |end: i64, now: i64| {
            let expiry = Expiry { is_rest: true, ..Expiry::new(at(0), at(end)) };
            (next_refresh(Some(expiry), None, at(now)) - at(0)).whole_seconds()
        };
        assert_eq!(due(3600, 3300), 3600);
        assert_eq!(due(3600, 3599), 3601);
        assert_eq!(due(3600, 3602), 3604);
    }

    #[test]
    fn without_a_stated_lifetime_a_refresh_is_due_in_a_day() {
        assert_eq!(next_refresh(None, None, at(0)), at(86_400));
    }

    #[test]
    fn the_back_off_doubles_from_one_minute_to_six_hours() {
        let seconds = |attempts, jitter| back_off(attempts, jitter).as_secs_f64();
        assert_eq!([1, 2, 3, 9].map(|attempts| seconds(attempts, 0.0)), [60.0, 120.0, 240.0, 15_360.0]);
        // Leaves room for a quarter of jitter below six hours.
        assert_eq!([10, 17, u32::MAX].map(|attempts| seconds(attempts, 0.0)), [17_280.0; 3]);
        assert_eq!([0.5, 1.0].map(|jitter| seconds(1, jitter)), [67.5, 75.0]);
        assert_eq!(seconds(10, 1.0), 21_600.0);
    }

    proptest! {
        #[test]
        fn the_back_off_stays_between_a_minute_and_six_hours(attempts in 0_u32.., jitter in 0.0..1.0) {
            let wait = back_off(attempts, jitter);
            prop_assert!(wait >= Duration::from_mins(1) && wait <= Duration::from_hours(6));
            prop_assert!(back_off(attempts.saturating_add(1), 0.0) >= back_off(attempts, 0.0));
        }

        #[test]
        fn a_refresh_is_due_after_a_minute_and_before_the_expiry(
            lifetime in 0_i64..400_000_000,
            margin in prop::option::of(any::<u64>()),
        ) {
            let due = due(lifetime, margin);
            prop_assert!(due >= 60);
            prop_assert!(lifetime < 60 || due <= lifetime);
        }
    }
}
