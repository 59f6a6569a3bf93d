//! When a credential dies, and when it is renewed.

use std::time::Duration;

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Attempts at refreshing one connection are at least this far apart.
pub const MIN_INTERVAL: Duration = Duration::from_mins(1);
/// A refresh is due this long before the expiry, or at half of the life if that is shorter.
const MARGIN: Duration = Duration::from_mins(5);
/// The interval where the provider does not say how long its tokens live.
const UNKNOWN_LIFE: Duration = Duration::from_hours(24);
/// The longest wait between two failing attempts.
const MAX_BACK_OFF: Duration = Duration::from_hours(6);
/// Longer lives are taken for this, so that no arithmetic overflows.
const MAX_LIFE: Duration = Duration::from_hours(24 * 365 * 10);
/// Clocks are not further apart: a date that is says nothing of a clock.
const MOST_APART: Duration = Duration::from_hours(1);
/// A token this close to its end is not handed out: it would die on its way to the provider.
const LEEWAY: Duration = Duration::from_secs(5);

/// The life of an access token, by our own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// When it was asked for: before the request was sent, so that a slow answer cannot make it seem younger.
    pub from: OffsetDateTime,
    /// When it dies.
    pub at: OffsetDateTime,
}

impl Expiry {
    /// How long it lives.
    pub fn life(&self) -> Duration {
        (self.at - self.from).try_into().unwrap_or_default()
    }

    /// Whether it is not to be handed out any more: its last five seconds, or last tenth if that is shorter, have begun.
    pub fn is_over(&self, now: OffsetDateTime) -> bool {
        now >= self.at - LEEWAY.min(self.life() / 10)
    }
}

/// When credentials that were asked for at `asked_at` die, by what they say of themselves.
///
/// `expires_in` or `expiresIn` (seconds) come first; `expires_at` or `expiresAt` are read as milliseconds or seconds
/// since 1970, or as RFC 3339, by the clock of whoever issued them: `date` is what that one said when it answered (`Date`,
/// RFC 9110 §6.6.1), if it is known and within an hour of ours. A life of 0 seconds is none: so Mailchimp and others say that a token does not expire.
/// `None` if nothing readable is there.
pub fn expiry_of(
    credentials: &Map<String, Value>,
    asked_at: OffsetDateTime,
    date: Option<OffsetDateTime>,
) -> Option<Expiry> {
    let from_now = ["expires_in", "expiresIn"].iter().find_map(|key| seconds(credentials.get(*key)?));
    let at = match from_now {
        Some(life) => asked_at + life,
        None => {
            let at = ["expires_at", "expiresAt"].iter().find_map(|key| instant(credentials.get(*key)?))?;
            let date = date.filter(|date| (*date - asked_at).abs() < MOST_APART);
            asked_at.saturating_add(at - date.unwrap_or(asked_at))
        }
    };
    Some(Expiry { from: asked_at, at: at.clamp(asked_at, asked_at + MAX_LIFE) })
}

/// When credentials with this expiry are due for a refresh.
pub fn next_refresh(expiry: Option<Expiry>, now: OffsetDateTime) -> OffsetDateTime {
    match expiry {
        Some(expiry) => (expiry.at - MARGIN.min(expiry.life() / 2)).max(now + MIN_INTERVAL),
        None => now + UNKNOWN_LIFE,
    }
}

/// How long to wait after the `attempts`th failure in a row: doubling from one minute to six hours, with up to a
/// quarter more by `jitter` (in `0.0..1.0`), so that what failed together does not come back together.
pub fn back_off(attempts: u32, jitter: f64) -> Duration {
    let doubled = MIN_INTERVAL.saturating_mul(1 << attempts.saturating_sub(1).min(16));
    doubled.min(MAX_BACK_OFF.mul_f64(0.8)).mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0)
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
    .filter(|number: &f64| number.is_finite())
}

fn seconds(value: &Value) -> Option<Duration> {
    let seconds = number(value).filter(|seconds| *seconds != 0.0)?.clamp(0.0, MAX_LIFE.as_secs_f64());
    Some(Duration::from_secs_f64(seconds))
}

fn instant(value: &Value) -> Option<OffsetDateTime> {
    // The year 5138 in seconds is 1973 in milliseconds: no token of either kind is meant.
    const FIRST_MILLISECONDS: f64 = 1e11;
    if let Some(number) = number(value) {
        let seconds = if number.abs() < FIRST_MILLISECONDS { number } else { number / 1000.0 };
        return OffsetDateTime::from_unix_timestamp(seconds as i64).ok();
    }
    OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_700_000_000 + seconds).expect("a time")
    }

    fn dies_in(credentials: &Value) -> Option<i64> {
        let credentials = credentials.as_object().expect("an object");
        expiry_of(credentials, at(0), None).map(|expiry| (expiry.at - at(0)).whole_seconds())
    }

    #[test]
    fn a_time_of_death_is_read_by_the_clock_that_wrote_it() {
        let credentials = json!({ "expires_at": at(300 + 3600).unix_timestamp() });
        let dies_in = |date: Option<OffsetDateTime>| {
            let expiry = expiry_of(credentials.as_object().expect("an object"), at(0), date);
            (expiry.expect("an expiry").at - at(0)).whole_seconds()
        };
        assert_eq!(dies_in(Some(at(300))), 3600, "a clock that is five minutes ahead");
        assert_eq!(dies_in(Some(at(-300))), 4200, "a clock that is five minutes behind");
        assert_eq!(dies_in(None), 3900);
        assert_eq!(dies_in(Some(at(7200))), 3900, "a date that was not meant");
    }

    #[test]
    fn the_hint_is_read_in_all_its_spellings() {
        assert_eq!(dies_in(&json!({"expires_in": 3600})), Some(3600));
        assert_eq!(dies_in(&json!({"expiresIn": "7200"})), Some(7200));
        assert_eq!(dies_in(&json!({"expires_in": 3600, "expires_at": 0})), Some(3600));
        assert_eq!(dies_in(&json!({"expires_at": 1_700_000_060_000_i64})), Some(60));
        assert_eq!(dies_in(&json!({"expires_at": 1_700_000_060})), Some(60));
        assert_eq!(dies_in(&json!({"expiresAt": "2023-11-14T22:14:20Z"})), Some(60));
        assert_eq!(dies_in(&json!({"access_token": "x"})), None);
        assert_eq!(dies_in(&json!({"expires_in": "soon"})), None);
        assert_eq!(dies_in(&json!({"expires_in": 0})), None);
        assert_eq!(dies_in(&json!({"expires_in": -5})), Some(0));
        assert_eq!(dies_in(&json!({"expires_in": 1e300})), Some(315_360_000));
    }

    #[test]
    fn a_refresh_is_due_five_minutes_before_expiry_or_at_half_of_a_short_life() {
        let due = |life: i64| (next_refresh(Some(Expiry { from: at(0), at: at(life) }), at(0)) - at(0)).whole_seconds();
        assert_eq!(due(3600), 3300);
        assert_eq!(due(600), 300);
        assert_eq!(due(300), 150);
        assert_eq!(due(90), 60);
        assert_eq!(due(1), 60);
    }

    #[test]
    fn without_a_hint_a_refresh_is_due_in_a_day() {
        assert_eq!(next_refresh(None, at(0)), at(86_400));
    }

    #[test]
    fn a_token_is_not_handed_out_in_its_last_seconds() {
        let hour = Expiry { from: at(0), at: at(3600) };
        assert!(!hour.is_over(at(3594)) && hour.is_over(at(3595)));
        let second = Expiry { from: at(0), at: at(1) };
        assert!(!second.is_over(at(0)) && second.is_over(at(1)));
    }

    proptest! {
        #[test]
        fn the_back_off_stays_between_a_minute_and_six_hours(attempts in 0_u32.., jitter in 0.0..1.0) {
            let wait = back_off(attempts, jitter);
            prop_assert!(wait >= MIN_INTERVAL && wait <= MAX_BACK_OFF);
            prop_assert!(back_off(attempts.saturating_add(1), 0.0) >= back_off(attempts, 0.0));
        }

        #[test]
        fn a_refresh_is_never_due_within_a_minute_nor_after_the_expiry_of_a_longer_life(life in 0_i64..400_000_000) {
            let due = next_refresh(Some(Expiry { from: at(0), at: at(life) }), at(0));
            prop_assert!(due >= at(60));
            prop_assert!(life < 60 || due <= at(life));
        }
    }
}
