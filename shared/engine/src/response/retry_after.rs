//! Parsing `Retry-After`: how long a provider wants us to wait.

use std::time::Duration;

use larder::connection::MAX_RETRY_AFTER;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// Parses a `Retry-After` header (RFC 9110 §10.2.3): seconds or an HTTP date, at most a day. Since some APIs send a
/// Unix time in seconds or milliseconds, a number that is too large for a delay is parsed as one. Garbage yields
/// `None`.
pub fn parse_retry_after(header: &str, now: OffsetDateTime) -> Option<Duration> {
    // More than thirty years cannot be a delay.
    const FIRST_SECONDS: u64 = 1_000_000_000;
    const FIRST_MILLISECONDS: u64 = 100_000_000_000;
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = header.parse().unwrap_or(u64::MAX);
        let since_1970 = match number {
            FIRST_MILLISECONDS.. => number / 1000,
            FIRST_SECONDS.. => number,
            seconds => return Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER)),
        };
        let now = u64::try_from(now.unix_timestamp()).unwrap_or_default();
        return Some(Duration::from_secs(since_1970.saturating_sub(now)).min(MAX_RETRY_AFTER));
    }
    let Some(date) = parse_http_date(header) else {
        // The header was sent twice and joined with a comma (RFC 9110 §5.3).
        let (first, _) = header.split_once(',')?;
        return if first.bytes().all(|byte| byte.is_ascii_digit()) { parse_retry_after(first, now) } else { None };
    };
    Some(Duration::try_from(date - now).unwrap_or(Duration::ZERO).min(MAX_RETRY_AFTER))
}

/// Parses an HTTP date in today's format (IMF-fixdate, RFC 9110 §5.6.7).
pub fn parse_http_date(header: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(header.trim(), &Rfc2822).ok()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_at_most_a_day() {
        let now = datetime!(2015-10-21 07:27:00 UTC);
        let seconds = |header: &str| parse_retry_after(header, now).map(|wait| wait.as_secs());
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds(" 0 "), Some(0));
        assert_eq!(seconds("Wed, 21 Oct 2015 07:28:00 GMT"), Some(60));
        assert_eq!(seconds("Wed, 21 Oct 2015 07:00:00 GMT"), Some(0));
        assert_eq!(seconds("1445412480"), Some(60), "seconds since 1970");
        assert_eq!(seconds("1445412480000"), Some(60), "milliseconds since 1970");
        assert_eq!(seconds("1445412000"), Some(0));
        assert_eq!(seconds("60, 120"), Some(60));
        assert_eq!(seconds("18446744073709551615"), Some(86_400));
        assert_eq!(seconds("99999999999999999999999"), Some(86_400));
        assert_eq!(seconds("Fri, 21 Oct 2095 07:28:00 GMT"), Some(86_400));
        for garbage in ["", "-1", "soon", "1.5", "NaN"] {
            assert_eq!(seconds(garbage), None, "{garbage}");
        }
    }
}
