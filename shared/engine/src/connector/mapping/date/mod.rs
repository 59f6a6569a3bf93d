//! `Date.parse` in UTC, compatible with V8: it tries ISO 8601 first, then nearly any format that names a day.
//!
//! The lenient parser knows numbers, month names, and American time zones, and skips other words before the first number.
//! A day beyond the end of its month (`2024-02-30`) rolls over into the next month.

mod fields;
mod tokens;

use fields::DateFields;
use time::PrimitiveDateTime;
use tokens::{DateToken, tokens};

/// Parses a date to a time in UTC; years have at most four digits.
pub(super) fn parse(text: &str) -> Option<PrimitiveDateTime> {
    let mut reader = DateReader { tokens: tokens(text), at: 0, fields: DateFields::default() };
    if !reader.iso()? {
        reader.lenient()?;
    }
    reader.fields.moment()
}

struct DateReader {
    tokens: Vec<DateToken>,
    at: usize,
    fields: DateFields,
}

impl DateReader {
    fn peek(&self) -> Option<DateToken> {
        self.tokens.get(self.at).copied()
    }

    fn next(&mut self) -> Option<DateToken> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn skip(&mut self, token: DateToken) -> bool {
        let is_next = self.peek() == Some(token);
        self.at += usize::from(is_next);
        is_next
    }

    /// Reads a number with exactly `length` digits and a value of at most `max`.
    fn fixed(&mut self, length: usize, max: i64) -> Option<i64> {
        match self.peek() {
            Some(DateToken::Number { value, digits }) if digits == length && value <= max => {
                self.at += 1;
                Some(value)
            }
            _ => None,
        }
    }

    /// Reads ISO 8601. False means the string is in another format; `None` means it is invalid after the `T`.
    fn iso(&mut self) -> Option<bool> {
        if let Some(sign) = self.peek().and_then(DateToken::sign) {
            self.at += 1;
            let Some(year) = self.fixed(6, 999_999).filter(|&year| sign > 0 || year > 0) else {
                self.at = 0;
                return Some(false);
            };
            self.fields.day.push(sign * year);
        } else if let Some(year) = self.fixed(4, 9999) {
            self.fields.day.push(year);
        } else {
            return Some(false);
        }
        for max in [12, 31] {
            if !self.skip(DateToken::Symbol('-')) {
                break;
            }
            let Some(number) = self.fixed(2, max).filter(|&number| number > 0) else { return Some(false) };
            self.fields.day.push(number);
        }
        match self.peek() {
            None => {}
            Some(DateToken::Separator) => {
                self.at += 1;
                self.iso_time()?;
            }
            Some(_) => return Some(false),
        }
        self.fields.is_iso = true;
        Some(true)
    }

    fn iso_time(&mut self) -> Option<()> {
        let hour = self.fixed(2, 24)?;
        let max = if hour == 24 { 0 } else { 59 };
        self.skip(DateToken::Symbol(':')).then_some(())?;
        let minute = self.fixed(2, max)?;
        self.fields.time = vec![hour, minute];
        if self.skip(DateToken::Symbol(':')) {
            let second = self.fixed(2, max)?;
            self.fields.time.push(second);
            if self.skip(DateToken::Symbol('.')) {
                let millisecond = self.milliseconds()?;
                self.fields.time.push(millisecond);
            }
        }
        match self.next() {
            None => return Some(()),
            Some(DateToken::Zulu) if self.tokens.len() == self.at => self.fields.set_zone(1, 0, Some(0)),
            Some(token) => {
                let sign = token.sign()?;
                let (hour, minute) = if let Some(both) = self.fixed(4, 2359) {
                    (both / 100, both % 100)
                } else {
                    let hour = self.fixed(2, 23)?;
                    self.skip(DateToken::Symbol(':')).then_some(())?;
                    (hour, self.fixed(2, 59)?)
                };
                self.fields.set_zone(sign, hour, Some(minute).filter(|&minute| minute < 60));
                self.fields.zone_minute?;
            }
        }
        self.peek().is_none().then_some(())
    }

    /// The first three digits of a fraction.
    fn milliseconds(&mut self) -> Option<i64> {
        let Some(DateToken::Number { value, digits }) = self.next() else { return None };
        Some(match digits {
            1 => value * 100,
            2 => value * 10,
            _ => value / 10_i64.pow(u32::try_from(digits.min(9) - 3).unwrap_or_default()),
        })
    }

    fn lenient(&mut self) -> Option<()> {
        let mut number_seen = !self.fields.day.is_empty();
        while let Some(token) = self.next() {
            match token {
                DateToken::Number { value, .. } => {
                    number_seen = true;
                    self.lenient_number(value)?;
                }
                DateToken::HalfDay(hours) if !self.fields.time.is_empty() => self.fields.half_day = Some(hours),
                DateToken::Month(month) => {
                    self.fields.month = Some(month);
                    self.skip(DateToken::Symbol('-'));
                }
                DateToken::Zone(hours) if number_seen => {
                    self.fields.set_zone(if hours < 0 { -1 } else { 1 }, hours.abs(), Some(0));
                }
                DateToken::Zulu if number_seen => self.fields.set_zone(1, 0, Some(0)),
                DateToken::Word
                | DateToken::Separator
                | DateToken::HalfDay(_)
                | DateToken::Zone(_)
                | DateToken::Zulu => {
                    let touches_number = matches!(self.peek(), Some(DateToken::Number { .. }));
                    (!number_seen && !touches_number).then_some(())?;
                }
                DateToken::Symbol(_) => match token.sign() {
                    Some(sign) if self.fields.is_utc() || !self.fields.time.is_empty() => {
                        number_seen = true;
                        self.lenient_zone(sign)?;
                    }
                    Some(_) if number_seen => return None,
                    None if token == DateToken::Symbol(')') && number_seen => return None,
                    _ => {}
                },
                DateToken::Space | DateToken::Other => {}
            }
        }
        Some(())
    }

    fn lenient_number(&mut self, value: i64) -> Option<()> {
        if self.skip(DateToken::Symbol(':')) {
            if self.skip(DateToken::Symbol(':')) {
                self.fields.time.is_empty().then_some(())?;
                self.fields.time = vec![value, 0];
            } else {
                self.fields.add_time(value)?;
                self.skip(DateToken::Symbol('.'));
            }
        } else if self.skip(DateToken::Symbol('.')) && self.fields.time_expects(value) {
            self.fields.time.push(value);
            let millisecond = self.milliseconds()?;
            self.fields.end_time(millisecond);
        } else if self.fields.zone_hour.is_some() && self.fields.zone_minute.is_none() && (0..60).contains(&value) {
            self.fields.zone_minute = Some(value);
        } else if self.fields.time_expects(value) {
            self.fields.end_time(value);
            let ends =
                matches!(self.peek(), None | Some(DateToken::Space | DateToken::Zulu | DateToken::Symbol('+' | '-')));
            ends.then_some(())?;
        } else {
            self.fields.add_day(value)?;
            self.skip(DateToken::Symbol('-'));
        }
        Some(())
    }

    fn lenient_zone(&mut self, sign: i64) -> Option<()> {
        let (value, digits) = match self.peek() {
            Some(DateToken::Number { value, digits }) => {
                self.at += 1;
                (value, digits)
            }
            _ => (0, 0),
        };
        let (hour, minute) = match digits {
            _ if self.peek() == Some(DateToken::Symbol(':')) => (value, None),
            1 | 2 => (value, Some(0)),
            3 | 4 => (value / 100, Some(value % 100)),
            _ => return None,
        };
        self.fields.set_zone(sign, hour, minute);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[track_caller]
    fn reads(text: &str, expected: &str) {
        let printed = parse(text).map_or_else(String::new, |moment| moment.to_string());
        assert_eq!(printed, expected, "{text}");
    }

    #[test]
    fn iso_dates_are_read() {
        reads("2024", "2024-01-01 0:00:00.0");
        reads("2024-05", "2024-05-01 0:00:00.0");
        reads("2024-01-02T10:11", "2024-01-02 10:11:00.0");
        reads("2024-01-02T10:11:12.123456Z", "2024-01-02 10:11:12.123");
        reads("2024-01-02T10:11:12+02:00", "2024-01-02 8:11:12.0");
        reads("2024-01-02T24:00", "2024-01-03 0:00:00.0");
        reads("2024-02-31", "2024-03-02 0:00:00.0");
    }

    #[test]
    fn an_invalid_iso_time_is_not_a_date() {
        for broken in [
            "2024-01-02T10",
            "2024-01-02T10:11:12 PST",
            "2024-01-02T10:11UTC",
            "2024-01-02T24:01",
            "2024-01-02T10:11:12+2570",
        ] {
            reads(broken, "");
        }
    }

    #[test]
    fn email_and_american_dates_are_read() {
        reads("Tue, 02 Jan 2024 10:11:12 +0200", "2024-01-02 8:11:12.0");
        reads("Mon Jan 01 2024 00:00:00 GMT+0100 (CET)", "2023-12-31 23:00:00.0");
        reads("Jan 2, 2024", "2024-01-02 0:00:00.0");
        reads("2 January 2024 10:11 PM EST", "2024-01-03 3:11:00.0");
        reads("2024/01/02", "2024-01-02 0:00:00.0");
        reads("01/02/2024", "2024-01-02 0:00:00.0");
        reads("Feb 2023", "2023-02-01 0:00:00.0");
        reads("Feb 5", "2001-02-05 0:00:00.0");
        reads("12/25/95", "1995-12-25 0:00:00.0");
        reads("2024-01-02 10:11:12.5", "2024-01-02 10:11:12.5");
    }

    #[test]
    fn a_string_without_a_day_is_not_a_date() {
        for text in ["", "null", "10:11", "13/02/2024", "September 5th 2024", "1700000000", "+012024-01-01", "1)"] {
            reads(text, "");
        }
    }
}
