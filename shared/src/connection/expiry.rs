//! Works out when credentials expire from what the provider states, in every spelling that providers use.
//!
//! | statement | spellings |
//! |---|---|
//! | a lifetime in seconds | `expires_in`, `expiresIn`, `expire_in`, `access_token_expires_in`, `accessTokenExpiresIn` |
//! | a time | `expires_at`, `expiresAt`, `expires_on`, `expiresOn`, `.expires`, `expire_time`, `expireTime`, `expiry_date`, `access_token_expires_at`, `accessTokenExpiresAt` |
//! | either: a number below ten years is a lifetime | `expires`, `expiry`, `expiration` |
//! | last resort | `exp` of an access token that is a JSON Web Token (RFC 7519 §4.1.4), unverified |
//!
//! Times are milliseconds or seconds since 1970, RFC 3339 (UTC if there is no zone), HTTP dates (RFC 9110 §5.6.7), or
//! `06/20/2026 02:57:58 +00:00`. They follow the provider's clock, which the response's `Date` header shows.
//!
//! **A first `expires_in: 0` means "does not expire".** Mailchimp and others use it that way. After a positive lifetime, it
//! means that the token has expired. A negative lifetime is unreadable.
//!
//! **The last stated lifetime still applies.** Many providers state it once, when the code is exchanged, and never again.
//! Without this rule, expired tokens would be served for up to 24 hours. A time that equals the stored one was copied by a
//! connector's function and says nothing about a new token.
//!
//! **Some providers reissue the same token until it expires.** PayPal and Marketo answer a refresh with the current
//! token and its remaining lifetime. Such a token is served until it expires and refreshed only then, because the
//! provider has no other before. For the next five seconds, attempts may be two seconds apart, since both sides round.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::format_description::well_known::{Rfc2822, Rfc3339};
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};

use super::Lease;
use crate::clock::{as_milliseconds, earlier, later};

/// Longer lifetimes are cut to this one, so that no arithmetic overflows.
const MAX_LIFETIME: Duration = Duration::from_hours(24 * 365 * 10);
/// The largest plausible offset of a provider's clock. A `Date` further off is ignored.
const MAX_CLOCK_OFFSET: Duration = Duration::from_hours(1);
/// A token this close to its expiry is not served: it would expire on its way to the provider.
const LEEWAY: Duration = Duration::from_secs(5);
/// How far two statements about one token may differ: seconds are rounded, and responses take time.
const ROUNDING: Duration = Duration::from_secs(2);

const LIFETIMES: [&str; 5] =
    ["expires_in", "expiresIn", "expire_in", "access_token_expires_in", "accessTokenExpiresIn"];
const TIMES: [&str; 10] = [
    "expires_at",
    "expiresAt",
    "expires_on",
    "expiresOn",
    ".expires",
    "expire_time",
    "expireTime",
    "expiry_date",
    "access_token_expires_at",
    "accessTokenExpiresAt",
];
const EITHER: [&str; 3] = ["expires", "expiry", "expiration"];

/// The lifetime of an access token, by our own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expiry {
    /// When the token was first requested: before the request was sent, so that a slow response cannot make it seem
    /// younger.
    #[serde(with = "as_milliseconds")]
    pub from: OffsetDateTime,
    /// When the token expires.
    #[serde(with = "as_milliseconds")]
    pub at: OffsetDateTime,
    /// Whether the last refresh returned the current token with its remaining lifetime. Such a provider issues a new token
    /// only when the old one expires.
    pub is_rest: bool,
}

impl Expiry {
    /// How long attempts may follow each other faster after the expiry of a token that was reissued until then.
    pub const LAST_MOMENTS: Duration = Duration::from_secs(5);

    /// The expiry of a token that was requested at `from` and expires at `at`.
    pub fn new(from: OffsetDateTime, at: OffsetDateTime) -> Self {
        Self { from, at, is_rest: false }
    }

    /// The token's whole lifetime, counted from when it was first requested.
    pub fn lifetime(&self) -> Duration {
        (self.at - self.from).try_into().unwrap_or_default()
    }

    /// Whether the token must no longer be served: it is in its last five seconds, or in the last tenth of its lifetime if
    /// that is shorter. A token that the provider reissues is served until it expires, since nothing can replace it.
    pub fn is_over(&self, now: OffsetDateTime) -> bool {
        let leeway = if self.is_rest { Duration::ZERO } else { LEEWAY.min(self.lifetime() / 10) };
        now >= earlier(self.at, leeway)
    }

    /// Whether the token expired long enough ago that a provider that issues a new one at expiry should have done so.
    pub fn is_long_over(&self, now: OffsetDateTime) -> bool {
        now >= later(self.at, Self::LAST_MOMENTS)
    }

    /// Whether an expiry stated for the same token is its remaining lifetime. Otherwise it is a whole new one: a
    /// provider may extend the token, or issue the same one twice in a second. Our processes' clocks differ, so the
    /// stated expiry may be a little later than the known one; short lifetimes tolerate less.
    fn is_continued_by(&self, at: OffsetDateTime, asked_at: OffsetDateTime) -> bool {
        let tolerance = Lease::CLOCK_SKEW.min(self.lifetime() / 10).max(Self::LAST_MOMENTS);
        let is_whole = at - asked_at >= self.lifetime().saturating_sub(ROUNDING);
        at <= later(self.at, tolerance) && (!is_whole || self.is_rest)
    }

    fn lasting(lifetime: Duration, asked_at: OffsetDateTime) -> Self {
        Self::new(asked_at, later(asked_at, lifetime))
    }
}

/// When a response was requested, and which clock its times follow.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// When the request was sent, by our clock.
    pub at: OffsetDateTime,
    /// The response's `Date` (RFC 9110 §6.6.1), if known: the clock that the times were written by.
    pub date: Option<OffsetDateTime>,
}

impl Asked {
    /// A response requested at `at`, whose times are assumed to follow our own clock.
    pub fn at(at: OffsetDateTime) -> Self {
        Self { at, date: None }
    }

    fn to_our_clock(self, time: OffsetDateTime) -> OffsetDateTime {
        let date = self.date.filter(|date| (*date - self.at).abs() < MAX_CLOCK_OFFSET);
        let time = self.at.saturating_add(time - date.unwrap_or(self.at));
        time.clamp(self.at, later(self.at, MAX_LIFETIME))
    }
}

/// Returns when a connection's first credentials expire. `None` if nothing readable is stated, or a lifetime of 0 seconds,
/// which to Mailchimp and others means "never".
pub fn expiry_of(credentials: &Map<String, Value>, asked: Asked) -> Option<Expiry> {
    match stated(credentials, asked, |_, _| true) {
        Stated::At(at) => Some(Expiry::new(asked.at, at)),
        Stated::Past => Some(Expiry::new(asked.at, asked.at)),
        Stated::Zero | Stated::Nothing => None,
    }
}

/// Returns when credentials expire after a refresh that merged `changes` into `stored`.
///
/// A new token without a stated lifetime gets the lifetime of the one before it. A time that the connector merely
/// copied from the old credentials doesn't count as stated. An unchanged token keeps its expiry; if a lifetime of 0 is
/// stated, it has expired.
pub fn refreshed_expiry(
    before: Option<Expiry>,
    stored: &Value,
    changes: &Map<String, Value>,
    asked: Asked,
) -> Option<Expiry> {
    let is_new = brings_new_token(stored, changes);
    let is_copied = |key: &str, value: &Value| is_new && stored.get(key) == Some(value);
    let stated = stated(changes, asked, |key, value| LIFETIMES.contains(&key) || !is_copied(key, value));
    let at = match stated {
        Stated::At(at) => Some(at),
        // No provider issues a new token that has already expired.
        Stated::Past => Some(asked.at).filter(|_| !is_new || before.is_none()),
        Stated::Zero | Stated::Nothing => None,
    };
    match (at, before) {
        (Some(at), Some(before)) if !is_new && before.is_continued_by(at, asked.at) => {
            // Never later than stated before: otherwise a provider that rounds up would move the expiry with each refresh.
            let agrees = at >= earlier(before.at, ROUNDING);
            Some(Expiry { from: before.from, at: if agrees { before.at } else { at }, is_rest: true })
        }
        (Some(at), _) => Some(Expiry::new(asked.at, at)),
        (None, Some(before)) if is_new => Some(Expiry::lasting(before.lifetime(), asked.at)),
        (None, Some(before)) => {
            let at = if stated == Stated::Zero { before.at.min(asked.at) } else { before.at };
            Some(Expiry { at, is_rest: true, ..before })
        }
        (None, None) => None,
    }
}

/// Whether `changes` bring another token than the stored one. If neither has an access token, any member that differs
/// counts as one.
pub fn brings_new_token(stored: &Value, changes: &Map<String, Value>) -> bool {
    match (stored.as_object().and_then(access_token), access_token(changes)) {
        (Some(old), Some(new)) => old != new,
        (Some(_), None) => false,
        (None, _) => changes.iter().any(|(key, value)| !is_statement(key) && stored.get(key) != Some(value)),
    }
}

/// Returns the access token among credentials.
pub fn access_token(credentials: &Map<String, Value>) -> Option<&str> {
    let named = ["access_token", "accessToken"].iter().find_map(|key| credentials.get(*key)?.as_str());
    named.filter(|token| !token.is_empty())
}

/// Whether credentials state a lifetime above 0, even if only in the token itself.
pub fn states_lifetime(credentials: &Map<String, Value>) -> bool {
    let asked = Asked::at(OffsetDateTime::UNIX_EPOCH);
    matches!(stated(credentials, asked, |_, _| true), Stated::At(_) | Stated::Past)
}

/// Returns the key of an unreadable lifetime, if no readable one is stated.
pub fn unreadable_lifetime(credentials: &Map<String, Value>, asked: Asked) -> Option<&'static str> {
    if stated(credentials, asked, |_, _| true) != Stated::Nothing {
        return None;
    }
    spellings().find(|key| credentials.get(*key).is_some_and(is_given))
}

/// The lifetime that credentials state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stated {
    Nothing,
    /// A lifetime of 0 seconds, which has two meanings.
    Zero,
    /// A time by our clock, at most ten years in the future.
    At(OffsetDateTime),
    /// A time that had passed when the response came: it belongs to the previous token, or to a slow clock.
    Past,
}

fn stated(credentials: &Map<String, Value>, asked: Asked, counts: impl Fn(&str, &Value) -> bool) -> Stated {
    let mut statements = spellings().filter_map(|key| {
        let value = credentials.get(key).filter(|value| is_given(value) && counts(key, value))?;
        read(key, value, asked)
    });
    // A zero counts only if nothing else is stated.
    let mut zero = None;
    let explicit = statements.find(|stated| {
        zero = zero.or((*stated == Stated::Zero).then_some(Stated::Zero));
        *stated != Stated::Zero
    });
    if let Some(stated) = explicit {
        return stated;
    }
    // A new token whose own claim says that it has expired was more likely misread than dead on arrival.
    let of_token = access_token(credentials).and_then(jwt_expiry).map(|at| asked.to_our_clock(at));
    let of_token = of_token.filter(|at| *at > asked.at).map(Stated::At);
    of_token.or(zero).unwrap_or(Stated::Nothing)
}

/// All spellings, in order of precedence.
fn spellings() -> impl Iterator<Item = &'static str> {
    LIFETIMES.into_iter().chain(TIMES).chain(EITHER)
}

/// Whether a member of credentials states their lifetime.
pub fn is_statement(key: &str) -> bool {
    spellings().any(|spelling| spelling == key)
}

fn is_given(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false)) && value.as_str() != Some("")
}

fn read(key: &str, value: &Value, asked: Asked) -> Option<Stated> {
    let number = number(value);
    if number == Some(0.0) {
        return Some(Stated::Zero);
    }
    let is_lifetime = LIFETIMES.contains(&key)
        || EITHER.contains(&key) && number.is_some_and(|number| number < MAX_LIFETIME.as_secs_f64());
    if is_lifetime {
        // To some providers -1 means "never", to others that something is wrong. None issues an expired token.
        let seconds = number.filter(|number| *number > 0.0)?.min(MAX_LIFETIME.as_secs_f64());
        return Some(Stated::At(asked.at.saturating_add(time::Duration::seconds_f64(seconds))));
    }
    let time = match number {
        Some(number) => since_1970(number)?,
        None => time(value.as_str()?)?,
    };
    let at = asked.to_our_clock(time);
    Some(if at > asked.at { Stated::At(at) } else { Stated::Past })
}

/// Reads a number, or a string that holds one, perhaps with the unit `s`.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().trim_end_matches('s').parse().ok(),
        _ => None,
    }
    .filter(|number: &f64| number.is_finite())
}

/// Reads seconds or milliseconds since 1970.
fn since_1970(number: f64) -> Option<OffsetDateTime> {
    // In seconds this is the year 5138, in milliseconds 1973: no token expires in either.
    const FIRST_MILLISECONDS: f64 = 1e11;
    let seconds = if number.abs() < FIRST_MILLISECONDS { number } else { number / 1000.0 };
    OffsetDateTime::from_unix_timestamp(seconds as i64).ok()
}

/// Parses a written time; without a zone, it is in UTC.
fn time(text: &str) -> Option<OffsetDateTime> {
    const ISO: &[time::format_description::BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day] [hour]:[minute]:[second][optional [.[subsecond]]]");
    const AMERICAN: &[time::format_description::BorrowedFormatItem<'_>] =
        format_description!("[month]/[day]/[year] [hour]:[minute]:[second]");
    let text = text.trim();
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339).or_else(|_| OffsetDateTime::parse(text, &Rfc2822)) {
        return Some(time);
    }
    let (date_and_time, offset) = split_zone(text)?;
    let date_and_time = date_and_time.trim_end().replacen('T', " ", 1);
    let local = [ISO, AMERICAN].into_iter().find_map(|form| PrimitiveDateTime::parse(&date_and_time, form).ok())?;
    Some(local.assume_offset(offset))
}

/// Splits `Z`, `UTC`, `GMT`, `+00:00`, or `+0000` off a time.
fn split_zone(text: &str) -> Option<(&str, UtcOffset)> {
    for zone in ["Z", "UTC", "GMT"] {
        if let Some(rest) = text.strip_suffix(zone) {
            return Some((rest, UtcOffset::UTC));
        }
    }
    // A hyphen before this position belongs to the date.
    const DATE: usize = 10;
    let at = text.get(DATE..)?.rfind(['+', '-']).map(|at| DATE + at);
    let Some(at) = at else { return Some((text, UtcOffset::UTC)) };
    let (date_and_time, zone) = text.split_at_checked(at)?;
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits = zone.get(1..)?.replace(':', "");
    let hours: i8 = digits.get(..2)?.parse().ok()?;
    let minutes: i8 = digits.get(2..).filter(|rest| !rest.is_empty()).map_or(Some(0), |rest| rest.parse().ok())?;
    Some((date_and_time, UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()?))
}

/// Reads the `exp` claim of a JSON Web Token.
fn jwt_expiry(token: &str) -> Option<OffsetDateTime> {
    const LONGEST_CLAIMS: usize = 16 * 1024;
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let is_jwt = parts.next().is_none() && claims.len() <= LONGEST_CLAIMS;
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok().filter(|_| is_jwt)?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    since_1970(number(claims.get("exp")?)?)
}

#[cfg(test)]
mod tests;
