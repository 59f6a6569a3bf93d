//! Times as people read them.

use larder::clock::rfc3339;
use time::OffsetDateTime;
use time::macros::format_description;

use super::super::Language;
use super::super::words::{self, Words};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A few words with a time in their middle.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) before: &'static str,
    pub(super) time: Option<Time>,
    pub(super) after: &'static str,
}

/// A time, ready for a template.
#[derive(Clone, Debug)]
pub(super) struct Time {
    /// For programs.
    pub(super) iso: String,
    /// For people.
    pub(super) text: String,
    /// The attribute by which the script knows what to do with it.
    pub(super) kind: &'static str,
}

impl Line {
    /// Words without a time.
    pub(super) fn plain(words: Words, language: Language) -> Self {
        Self { before: words.say(language), time: None, after: "" }
    }

    /// Words with a time in place of `{}`.
    pub(super) fn with(words: Words, language: Language, time: Time) -> Self {
        let (before, after) = words.say(language).split_once("{}").unwrap_or((words.say(language), ""));
        Self { before, time: Some(time), after }
    }
}

impl Time {
    /// The time that is left until `at`, which the script counts down.
    pub(super) fn until(at: OffsetDateTime, now: OffsetDateTime, language: Language) -> Self {
        let left = (at - now).whole_seconds().max(0);
        let text = match left {
            _ if left < HOUR => format!("{}:{:02}", left / MINUTE, left % MINUTE),
            _ if left < 2 * DAY => format!("{}:{:02}:{:02}", left / HOUR, left % HOUR / MINUTE, left % MINUTE),
            _ => words::DAYS.with(language, &(left / DAY).to_string()),
        };
        Self { iso: iso(at), text, kind: "data-until" }
    }

    /// The time since `at`, roughly.
    pub(super) fn since(at: OffsetDateTime, now: OffsetDateTime, language: Language) -> Self {
        let gone = (now - at).whole_seconds().max(0);
        let text = match gone {
            _ if gone < MINUTE => words::MOMENT.say(language).to_owned(),
            _ if gone < HOUR => format!("{} min", gone / MINUTE),
            _ if gone < 2 * DAY => format!("{} h", gone / HOUR),
            _ => words::DAYS.with(language, &(gone / DAY).to_string()),
        };
        Self { iso: iso(at), text, kind: "" }
    }

    /// A date and a time of day, in UTC until the script translates it to the visitor's zone.
    pub(super) fn date(at: OffsetDateTime) -> Self {
        const FORMAT: &[time::format_description::FormatItem<'_>] =
            format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
        let utc = at.to_offset(time::UtcOffset::UTC);
        Self { iso: iso(at), text: utc.format(FORMAT).unwrap_or_default(), kind: "data-date" }
    }
}

fn iso(at: OffsetDateTime) -> String {
    rfc3339(at).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_in_every_language() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let at = |seconds: i64| now + time::Duration::seconds(seconds);
        for (seconds, until, since) in [
            (0, "0:00", "a moment"),
            (59, "0:59", "a moment"),
            (1_448, "24:08", "24 min"),
            (3_599, "59:59", "59 min"),
            (3_600, "1:00:00", "1 h"),
            (172_799, "47:59:59", "47 h"),
            (172_800, "2 days", "2 days"),
        ] {
            assert_eq!(Time::until(at(seconds), now, Language::En).text, until);
            assert_eq!(Time::since(now, at(seconds), Language::En).text, since);
        }
        assert_eq!(Time::until(at(-5), now, Language::En).text, "0:00");
        assert_eq!(Time::since(at(5), now, Language::De).text, "einem Moment");
        assert_eq!(Time::date(at(3_661)).text, "1970-01-01 01:01:01 UTC");
        let line = Line::with(words::REFRESHES_IN, Language::De, Time::until(at(60), now, Language::De));
        assert_eq!((line.before, line.after), ("wird in ", " erneuert"));
    }
}
