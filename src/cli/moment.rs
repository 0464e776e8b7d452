//! A timestamp as people read it: UTC, ISO 8601, milliseconds.

use std::fmt;
use std::str::FromStr;

use crate::id::Timestamp;

const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;
const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;
const SECONDS_PER_DAY: u64 = 86_400;
const MILLISECONDS_PER_DAY: u64 = 86_400_000;

/// Shows a [`Timestamp`] as `2026-01-31T12:00:00.000Z`. Read from such text, with up to nine digits behind
/// the point, it is the last nanosecond that is shown so: what a listing shows lies before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) Timestamp);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.0 / NANOSECONDS_PER_MILLISECOND;
        let (year, month, day) = date(milliseconds / MILLISECONDS_PER_DAY);
        let in_day = milliseconds % MILLISECONDS_PER_DAY;
        let (seconds, fraction) = (in_day / 1000, in_day % 1000);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{fraction:03}Z"
        )
    }
}

/// Text that is no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a time in UTC after 1970 such as 2026-01-31T12:00:00Z or 2026-01-31T12:00:00.500Z"
)]
pub(crate) struct NoMoment;

impl FromStr for Moment {
    type Err = NoMoment;

    fn from_str(text: &str) -> Result<Moment, NoMoment> {
        let whole = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u64>().ok()).flatten()
        };
        let parsed = || {
            let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
            let (time, fraction) = time
                .split_once('.')
                .map_or((time, None), |(time, fraction)| (time, Some(fraction)));
            let number = |text: &str, width: usize| whole(text).filter(|_| text.len() == width);
            let mut of_day = day.split('-');
            let year = number(of_day.next()?, 4)?;
            let month = number(of_day.next()?, 2)?;
            let day_of_month = number(of_day.next()?, 2)?;
            let mut of_time = time.split(':');
            let hours = number(of_time.next()?, 2)?;
            let minutes = number(of_time.next()?, 2)?;
            let seconds = number(of_time.next()?, 2)?;
            if of_day.next().is_some() || of_time.next().is_some() {
                return None;
            }
            let days = day_number(year, month, day_of_month)?;
            let in_range = hours < 24 && minutes < 60 && seconds < 60;
            let in_day = in_range.then_some((hours * 60 + minutes) * 60 + seconds)?;
            // The digits that were not written are nines.
            let within = format!("{:9<9}", fraction.unwrap_or(""));
            let within = match fraction {
                Some("") => None,
                _ => number(&within, 9),
            }?;
            let seconds = days.checked_mul(SECONDS_PER_DAY)?.checked_add(in_day)?;
            seconds.checked_mul(NANOSECONDS_PER_SECOND)?.checked_add(within)
        };
        parsed().map(|nanoseconds| Moment(Timestamp(nanoseconds))).ok_or(NoMoment)
    }
}

/// The day counted from 1970-01-01, if there is such a day: the inverse of [`date`].
fn day_number(year: u64, month: u64, day: u64) -> Option<u64> {
    let from_march = if month > 2 { month.checked_sub(3)? } else { month.checked_add(9)? };
    let year_from_march = year.checked_sub(u64::from(month <= 2))?;
    let in_year = (153 * from_march + 2) / 5 + day.checked_sub(1)?;
    let leap_days = year_from_march / 4 - year_from_march / 100 + year_from_march / 400;
    let days = (365 * year_from_march + leap_days + in_year).checked_sub(719_468)?;
    (date(days) == (year, month, day)).then_some(days)
}

/// Year, month and day of a day counted from 1970-01-01. The year is taken to begin in March, so
/// that the leap day is its last; 146,097 days make 400 years.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, in_era) = (days / 146_097, days % 146_097);
    let year = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_shown_as_every_calendar_has_them() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (1_700_000_000, "2023-11-14T22:13:20.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Moment(Timestamp(seconds * 1_000_000_000)).to_string(), expected);
        }
        assert_eq!(Moment(Timestamp(1_999_999)).to_string(), "1970-01-01T00:00:00.001Z");
        assert!(!Moment(Timestamp(u64::MAX)).to_string().is_empty());
    }

    #[test]
    fn what_is_shown_is_read_as_the_last_moment_that_is_shown_so() {
        for day in (0..200_000).step_by(13) {
            let shown = Moment(Timestamp(day * 86_400_000_000_000 + 1_234_567_890)).to_string();
            let read: Moment = shown.parse().unwrap();
            assert_eq!(read.to_string(), shown);
            assert!(Moment(Timestamp(read.0.0 + 1)).to_string() > shown);
        }
        let read = |text: &str| text.parse::<Moment>().map(|moment| moment.0.0);
        assert_eq!(read("1970-01-01T00:00:00Z"), Ok(999_999_999));
        assert_eq!(read("1970-01-01T00:00:00.5Z"), Ok(599_999_999));
        assert_eq!(read("1970-01-01T00:00:01.000000001Z"), Ok(1_000_000_001));
        for text in [
            "",
            "noon",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-10T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.0000000001Z",
            "1969-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
            "2026-01-01T00:00Z",
            "2026-01-01-01T00:00:00Z",
            "+026-01-01T00:00:00Z",
            "9999-01-01T00:00:00Z",
        ] {
            assert_eq!(read(text), Err(NoMoment), "{text}");
        }
    }
}
