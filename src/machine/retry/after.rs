//! `Retry-After`: how long a server wants to be left alone.

use core::time::Duration;

/// Reads the value of a `Retry-After` header (RFC 9110, section 10.2.3): seconds, or a date in any of the three forms
/// that HTTP knows (section 5.6.7). A date is compared with `today`, the time since the Unix epoch; one that is past
/// asks for no wait. `None` is neither.
///
/// ```
/// use std::time::Duration;
/// use tidegate::machine::retry::retry_after;
///
/// let today = Duration::from_secs(784_111_777);
/// assert_eq!(retry_after("120", today), Some(Duration::from_secs(120)));
/// assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:57 GMT", today), Some(Duration::from_secs(20)));
/// assert_eq!(retry_after("soon", today), None);
/// ```
pub fn retry_after(value: &str, today: Duration) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than a number holds are for ever.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = Duration::from_secs(date(value, today)?);
    Some(date.saturating_sub(today))
}

/// Seconds since the epoch; dates before it are the epoch.
fn date(value: &str, today: Duration) -> Option<u64> {
    let mut parts = [""; 8];
    let separated = value.split([' ', ',', '-', ':']).filter(|part| !part.is_empty());
    for (index, part) in separated.enumerate() {
        *parts.get_mut(index)? = part;
    }
    let (day, month, year, time) = match parts {
        // `Sun, 06 Nov 1994 08:49:37 GMT` and `Sunday, 06-Nov-94 08:49:37 GMT`
        [_, day, month, year, h, m, s, "GMT"] => (day, month, year, [h, m, s]),
        // `Sun Nov  6 08:49:37 1994`
        [_, month, day, h, m, s, year, ""] => (day, month, year, [h, m, s]),
        _ => return None,
    };
    let year = match year.len() {
        4 => number(year, 9999)?,
        2 => full_year(number(year, 99)?, today),
        _ => return None,
    };
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let day = number(day, 31).filter(|day| *day > 0)?;
    let [hours, minutes, seconds] = [number(time[0], 23)?, number(time[1], 59)?, number(time[2], 60)?];
    let days = days(year, month, day).saturating_sub(days(1970, 1, 1));
    Some(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

fn number(digits: &str, most: u64) -> Option<u64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| plain && *number <= most)
}

/// Two digits are the year of this century, or of the last one if that is more than 50 years ahead.
fn full_year(two_digits: u64, today: Duration) -> u64 {
    let this_year = 1970 + today.as_secs() / (86_400 * 36_525 / 100);
    let year = this_year / 100 * 100 + two_digits;
    if year > this_year + 50 { year - 100 } else { year }
}

/// Days of the Gregorian calendar since the first of March of the year 0 (Howard Hinnant, "chrono-Compatible Low-Level
/// Date Algorithms": years that begin in March have the leap day at their end).
const fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year.saturating_sub(1), month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Six in the morning of the sixth of November 1994, in seconds.
    const SIX: u64 = 784_101_600;

    #[test]
    fn seconds_are_seconds() {
        assert_eq!(retry_after("0", s(SIX)), Some(s(0)));
        assert_eq!(retry_after(" 3600 ", s(SIX)), Some(s(3600)));
        assert_eq!(retry_after("99999999999999999999999", s(SIX)), Some(s(u64::MAX)));
    }

    #[test]
    fn all_three_forms_of_a_date_are_read() {
        for date in [
            "Sun, 06 Nov 1994 06:00:37 GMT",
            "Sunday, 06-Nov-94 06:00:37 GMT",
            "Sun Nov  6 06:00:37 1994",
        ] {
            assert_eq!(retry_after(date, s(SIX)), Some(s(37)), "{date}");
        }
    }

    #[test]
    fn a_date_that_is_past_asks_for_no_wait() {
        assert_eq!(retry_after("Sun, 06 Nov 1994 05:59:59 GMT", s(SIX)), Some(s(0)));
        assert_eq!(retry_after("Thu, 01 Jan 1903 00:00:00 GMT", s(SIX)), Some(s(0)));
    }

    #[test]
    fn two_digits_of_a_year_are_the_nearest_within_fifty_years() {
        let in_2026 = s(1_780_000_000);
        let day = |year: u64| s((days(year, 1, 1) - days(1970, 1, 1)) * 86_400);
        let wait = retry_after("Friday, 01-Jan-27 00:00:00 GMT", in_2026).unwrap();
        assert_eq!(wait, day(2027) - in_2026);
        let wait = retry_after("Wednesday, 01-Jan-76 00:00:00 GMT", in_2026).unwrap();
        assert_eq!(wait, day(2076) - in_2026);
        assert_eq!(
            retry_after("Saturday, 01-Jan-77 00:00:00 GMT", in_2026),
            Some(s(0))
        );
    }

    #[test]
    fn more_than_fifty_years_ahead_is_the_last_century() {
        let in_2026 = s(1_780_000_000);
        assert_eq!(full_year(76, in_2026), 2076);
        assert_eq!(full_year(77, in_2026), 1977);
        assert_eq!(full_year(99, in_2026), 1999);
        assert_eq!(full_year(0, in_2026), 2000);
    }

    #[test]
    fn leap_days_count() {
        let wait = |from: &str, to: &str| retry_after(to, retry_after(from, s(0)).unwrap()).unwrap();
        let (february, march) = ("Mon, 28 Feb 2028 00:00:00 GMT", "Wed, 01 Mar 2028 00:00:00 GMT");
        assert_eq!(wait(february, march), s(2 * 86_400));
        let (february, march) = ("Sun, 28 Feb 2100 00:00:00 GMT", "Mon, 01 Mar 2100 00:00:00 GMT");
        assert_eq!(wait(february, march), s(86_400));
        assert_eq!(
            retry_after("Sat, 01 Jan 2000 00:00:00 GMT", s(0)),
            Some(s(946_684_800))
        );
        assert_eq!(
            retry_after("Tue, 31 Dec 2024 23:59:60 GMT", s(0)),
            Some(s(1_735_689_600))
        );
    }

    #[test]
    fn what_is_neither_is_nothing() {
        for value in [
            "",
            "soon",
            "-5",
            "+5",
            "1.5",
            "Sun, 06 Nov 1994 06:00:37",
            "Sun, 06 Nov 1994 06:00:37 CET",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 06:60:00 GMT",
            "Sun, 06 Nov 1994 06:00:61 GMT",
            "Sun, 00 Nov 1994 06:00:37 GMT",
            "Sun, 32 Nov 1994 06:00:37 GMT",
            "Sun, 06 Nuv 1994 06:00:37 GMT",
            "Sun, 06 Nov 194 06:00:37 GMT",
            "Sun, 06 Nov +994 06:00:37 GMT",
            "Sun, 06 Nov 1994 06:00:37 GMT and more",
        ] {
            assert_eq!(retry_after(value, s(SIX)), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(value in ".*", today: u64) {
            retry_after(&value, s(today));
        }

        #[test]
        fn no_date_makes_it_panic(
            day in 0u32..40, month in 0usize..12, year in 0u32..10_000, hour in 0u32..30, today: u64,
        ) {
            let month = MONTHS[month];
            retry_after(&format!("Mon, {day:02} {month} {year:04} {hour:02}:00:00 GMT"), s(today));
            retry_after(&format!("Monday, {day:02}-{month}-{:02} {hour:02}:00:00 GMT", year % 100), s(today));
        }
    }
}
