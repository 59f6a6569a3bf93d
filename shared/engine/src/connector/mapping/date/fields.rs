//! The parsed fields of a date, and the time they represent.

use time::{Date, Duration, Month, PrimitiveDateTime};

/// The fields parsed so far.
#[derive(Default)]
pub(super) struct DateFields {
    pub(super) day: Vec<i64>,
    pub(super) month: Option<i64>,
    pub(super) is_iso: bool,
    pub(super) time: Vec<i64>,
    pub(super) half_day: Option<i64>,
    pub(super) zone_sign: i64,
    pub(super) zone_hour: Option<i64>,
    pub(super) zone_minute: Option<i64>,
}

impl DateFields {
    /// Adds a number of the date, which has three.
    pub(super) fn add_day(&mut self, number: i64) -> Option<()> {
        (self.day.len() < 3).then(|| self.day.push(number))
    }

    /// Adds a number of the time, which has four: hour, minute, second, millisecond.
    pub(super) fn add_time(&mut self, number: i64) -> Option<()> {
        (self.time.len() < 4).then(|| self.time.push(number))
    }

    pub(super) fn end_time(&mut self, number: i64) {
        self.time.push(number);
        self.time.resize(4, 0);
    }

    pub(super) fn time_expects(&self, number: i64) -> bool {
        match self.time.len() {
            1 | 2 => (0..60).contains(&number),
            3 => (0..1000).contains(&number),
            _ => false,
        }
    }

    pub(super) fn set_zone(&mut self, sign: i64, hour: i64, minute: Option<i64>) {
        (self.zone_sign, self.zone_hour, self.zone_minute) = (sign, Some(hour), minute);
    }

    pub(super) fn is_utc(&self) -> bool {
        (self.zone_hour, self.zone_minute) == (Some(0), Some(0))
    }

    pub(super) fn moment(&self) -> Option<PrimitiveDateTime> {
        let (year, month, day) = self.date()?;
        let month = u8::try_from(month).ok().and_then(|month| Month::try_from(month).ok())?;
        if !(1..=31).contains(&day) {
            return None;
        }
        let first = Date::from_calendar_date(i32::try_from(year).ok()?, month, 1).ok()?;
        let since_midnight = self.since_midnight()?;
        let zone = 60 * self.zone_hour.unwrap_or(0) + self.zone_minute.unwrap_or(0);
        let moment = PrimitiveDateTime::new(first, time::Time::MIDNIGHT)
            .checked_add(Duration::days(day - 1) + since_midnight - Duration::minutes(self.zone_sign * zone))?;
        (0..=9999).contains(&moment.year()).then_some(moment)
    }

    fn date(&self) -> Option<(i64, i64, i64)> {
        // Missing numbers are 1, even the year, which becomes 2001.
        let given = |index| self.day.get(index).copied().unwrap_or(1);
        let first = *self.day.first()?;
        let first_is_day = (1..=31).contains(&first);
        let (year, month, day) = match self.month {
            None if self.is_iso || !first_is_day => (first, given(1), given(2)),
            None => (given(2), first, given(1)),
            Some(month) if first_is_day => (given(1), month, first),
            Some(month) => (first, month, given(1)),
        };
        let century = match year {
            0..=49 if !self.is_iso => 2000,
            50..=99 if !self.is_iso => 1900,
            _ => 0,
        };
        Some((century + year, month, day))
    }

    fn since_midnight(&self) -> Option<Duration> {
        let given = |index| self.time.get(index).copied().unwrap_or(0);
        let (mut hour, minute, second, millisecond) = (given(0), given(1), given(2), given(3));
        if let Some(half_day) = self.half_day {
            if !(0..=12).contains(&hour) {
                return None;
            }
            hour = hour % 12 + half_day;
        }
        let exists = (0..24).contains(&hour) && minute < 60 && second < 60 && millisecond < 1000;
        let is_midnight = (hour, minute, second, millisecond) == (24, 0, 0, 0);
        (exists || is_midnight).then(|| {
            Duration::hours(hour)
                + Duration::minutes(minute)
                + Duration::seconds(second)
                + Duration::milliseconds(millisecond)
        })
    }
}
