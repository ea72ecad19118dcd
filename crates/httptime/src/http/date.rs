//! Parses the value of a `Date` field.

use std::time::SystemTime;

use crate::error::Error;
use crate::time::Timestamp;

/// Parses an HTTP date in any of the three formats of RFC 9110, section 5.6.7.
///
/// ```
/// use httptime::http::parse_date;
///
/// let date = parse_date(b"Sun, 06 Nov 1994 08:49:37 GMT")?;
/// assert_eq!(parse_date(b"Sunday, 06-Nov-94 08:49:37 GMT")?, date);
/// assert_eq!(parse_date(b"Sun Nov  6 08:49:37 1994")?, date);
/// # Ok::<(), httptime::Error>(())
/// ```
///
/// White space around the value is ignored, and a folded value is joined with a space (RFC 9112,
/// section 5.2). Two deviations from the standard are accepted, because servers make them and the
/// instant is unambiguous: the zones `+0000`, `-0000` and `UTC` instead of `GMT`, and a wrong day
/// of the week.
///
/// Everything else must match exactly: upper and lower case, no other zone, no ISO 8601. A second
/// of 60 is refused, because a POSIX clock never shows it.
///
/// A year of two digits means 1970–2069. (RFC 9110 refers to the current date, within fifty years
/// of it. This function does not know the current date, and for a server that stamps its own time
/// the result is the same.)
///
/// # Errors
/// [`Error::MalformedDate`]. [`Error::DateOutOfRange`] for a well-formed date before 1970 or after
/// the range of [`Timestamp`], which ends in 2262.
pub fn parse_date(value: &[u8]) -> Result<Timestamp, Error> {
    let mut room = [0; MAX_DATE_BYTES];
    let date = unfold(value, &mut room).ok_or_else(|| malformed(value))?;
    match httpdate::parse_http_date(date).ok().or_else(|| parse_with_candidates(date)) {
        Some(time) => Timestamp::from_system_time(time).ok_or_else(|| out_of_range(value)),
        None if candidate_dates(date).any(|date| is_before_1970(date.text())) => {
            Err(out_of_range(value))
        }
        None => Err(malformed(value)),
    }
}

/// A field's value for an error message: its first characters, without control characters.
pub(super) fn excerpt(value: &[u8]) -> String {
    let mut shown = String::new();
    for c in String::from_utf8_lossy(value).chars().take(MAX_EXCERPT_CHARS) {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The value on one line, or `None` if it cannot be a date.
fn unfold<'r>(value: &[u8], room: &'r mut [u8; MAX_DATE_BYTES]) -> Option<&'r str> {
    let mut len = 0;
    let mut put = |text: &[u8]| {
        room.get_mut(len..len + text.len())?.copy_from_slice(text);
        len += text.len();
        Some(())
    };
    for (number, line) in value.trim_ascii().split(|byte| *byte == b'\n').enumerate() {
        if number > 0 {
            if !line.starts_with(b" ") && !line.starts_with(b"\t") {
                return None;
            }
            put(b" ")?;
        }
        put(line.trim_ascii())?;
    }
    std::str::from_utf8(&room[..len]).ok()
}

/// Parses a date with `GMT` for another name of the same zone, or with the correct day of the week.
fn parse_with_candidates(date: &str) -> Option<SystemTime> {
    candidate_dates(date).find_map(|date| httpdate::parse_http_date(date.text()).ok())
}

/// The date with `GMT` for other names of that zone: first unchanged, then with each day of the
/// week instead of its own.
fn candidate_dates(date: &str) -> impl Iterator<Item = CandidateDate> {
    let other_zone = ZONES.iter().find_map(|zone| date.strip_suffix(zone));
    let (date, zone) = other_zone.map_or((date, ""), |date| (date, " GMT"));
    let named = DAYS.iter().flat_map(|day| [*day, &day[..3]]).find_map(|day| {
        let rest = date.strip_prefix(day)?;
        rest.starts_with([',', ' ']).then_some((day.len() == 3, rest))
    });
    let days = named.into_iter().flat_map(move |(is_short, rest)| {
        let day = move |day: &'static str| if is_short { &day[..3] } else { day };
        DAYS.iter().map(move |name| CandidateDate::of([day(name), rest, zone]))
    });
    std::iter::once(CandidateDate::of(["", date, zone])).chain(days).flatten()
}

/// A date that was assembled from parts.
struct CandidateDate {
    bytes: [u8; MAX_DATE_BYTES],
    len: usize,
}

impl CandidateDate {
    /// `None` if it would be longer than any date.
    fn of(parts: [&str; 3]) -> Option<Self> {
        let mut whole = Self { bytes: [0; MAX_DATE_BYTES], len: 0 };
        for part in parts {
            let end = whole.len + part.len();
            whole.bytes.get_mut(whole.len..end)?.copy_from_slice(part.as_bytes());
            whole.len = end;
        }
        Some(whole)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

/// Whether `httpdate` refuses this date only because of its year. A clock that was never set can
/// show such a date: the zero time of Go and .NET is `Mon, 01 Jan 0001 00:00:00 GMT`.
fn is_before_1970(date: &str) -> bool {
    let year_at = match date.len() {
        29 => 12,
        24 => 20,
        _ => return false,
    };
    let (Some(before), Some(year), Some(after)) =
        (date.get(..year_at), date.get(year_at..year_at + 4), date.get(year_at + 4..))
    else {
        return false;
    };
    // The calendar repeats every 400 years, including the days of the week.
    year.bytes().all(|byte| byte.is_ascii_digit())
        && year.parse().is_ok_and(|year: u32| {
            year < 1970
                && httpdate::parse_http_date(&format!("{before}{}{after}", year + 2000)).is_ok()
        })
}

fn malformed(value: &[u8]) -> Error {
    Error::MalformedDate { value: excerpt(value) }
}

fn out_of_range(value: &[u8]) -> Error {
    Error::DateOutOfRange { value: excerpt(value) }
}

/// Twice the size of the longest format, `Wednesday, 09-Nov-94 08:49:37 GMT`.
const MAX_DATE_BYTES: usize = 64;
/// Other names of `GMT` that servers use (RFC 5322, section 3.3, defines the first two).
const ZONES: &[&str] = &[" +0000", " -0000", " UTC"];
const DAYS: &[&str] =
    &["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
/// Characters of a value that an error message shows.
const MAX_EXCERPT_CHARS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_name_the_same_second() {
        for form in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse_date(form.as_bytes()), Ok(seconds(784_111_777)), "{form}");
        }
    }

    #[test]
    fn the_ends_of_the_range_are_where_they_are_said_to_be() {
        for (value, unix) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Thu, 29 Feb 2024 12:00:00 GMT", 1_709_208_000),
            ("Fri, 11 Apr 2262 23:47:16 GMT", 9_223_372_036),
        ] {
            assert_eq!(parse_date(value.as_bytes()), Ok(seconds(unix)), "{value}");
        }
        for value in [
            "Fri, 11 Apr 2262 23:47:17 GMT",
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "Wed, 31 Dec 1969 23:59:59 GMT",
            "Tue, 31 Dec 1969 23:59:59 GMT",
            "Wed, 31 Dec 1969 23:59:59 +0000",
            "Wed Dec 31 23:59:59 1969",
            "Mon, 01 Jan 0001 00:00:00 GMT",
        ] {
            let error = Error::DateOutOfRange { value: value.to_owned() };
            assert_eq!(parse_date(value.as_bytes()), Err(error), "{value}");
        }
    }

    #[test]
    fn a_two_digit_year_is_one_of_1970_to_2069() {
        for (value, unix) in [
            ("Thursday, 01-Jan-70 00:00:00 GMT", 0),
            ("Monday, 23-Nov-26 09:37:12 GMT", 1_795_426_632),
            ("Tuesday, 31-Dec-69 23:59:59 GMT", 3_155_759_999),
        ] {
            assert_eq!(parse_date(value.as_bytes()), Ok(seconds(unix)), "{value}");
        }
    }

    #[test]
    fn other_names_of_gmt_name_the_same_second() {
        for value in [
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 06 Nov 1994 08:49:37 -0000",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sunday, 06-Nov-94 08:49:37 UTC",
            "Sun,\r\n 06 Nov 1994 08:49:37 +0000",
        ] {
            assert_eq!(parse_date(value.as_bytes()), Ok(seconds(784_111_777)), "{value}");
        }
    }

    #[test]
    fn a_day_of_the_week_that_does_not_fit_is_no_obstacle() {
        for day in DAYS {
            for value in [
                format!("{}, 06 Nov 1994 08:49:37 GMT", &day[..3]),
                format!("{}, 06 Nov 1994 08:49:37 +0000", &day[..3]),
                format!("{day}, 06-Nov-94 08:49:37 GMT"),
                format!("{} Nov  6 08:49:37 1994", &day[..3]),
            ] {
                assert_eq!(parse_date(value.as_bytes()), Ok(seconds(784_111_777)), "{value}");
            }
        }
    }

    #[test]
    fn what_is_not_a_date_to_the_letter_is_malformed() {
        for value in [
            "",
            "0",
            "now",
            "1994-11-06T08:49:37Z",
            "Sun, 06 Nov 1994 08:49:37 EST",
            "Sun, 06 Nov 1994 08:49:37 +00",
            "Sun, 06 Nov 1994 08:49:37 +0100",
            "Sun, 06 Nov 1994 08:49:37 +00:00",
            "Sun, 06 Nov 1994 08:49:37 Z",
            "Sun, 06 Nov 1994 08:49:37 utc",
            "Sun, 06 Nov 1994 08:49:37  UTC",
            "Sun, 06 Nov 1994 08:49:37 GMT UTC",
            "Sun, 06 Nov 1994 08:49:37 gmt",
            "Sun, 06 Nov 1994 08:49:37",
            "Sunday, 06-Nov-94 08:49:37 PST",
            "Sun Nov  6 08:49:37 1994 GMT",
            "Sun Nov  6 08:49:37 1994 UTC",
            "sun, 06 nov 1994 08:49:37 GMT",
            "Foo, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Tue, 30 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sat, 31 Dec 2016 23:59:60 GMT",
            "Thu, 06 Nov +994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun,  06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994\n08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:3é GMT",
        ] {
            let error = parse_date(value.as_bytes()).expect_err(value);
            assert_eq!(error.kind(), "malformed_date", "{value}");
        }
    }

    #[test]
    fn folds_count_as_one_space() {
        for value in [
            "Sun, 06 Nov 1994\r\n 08:49:37 GMT",
            "Sun,\n\t06 Nov 1994 \t\r\n   08:49:37 GMT",
            " \r\n\tSun, 06 Nov 1994 08:49:37 GMT \r\n ",
        ] {
            assert_eq!(parse_date(value.as_bytes()), Ok(seconds(784_111_777)), "{value:?}");
        }
    }

    #[test]
    fn an_error_shows_a_bounded_part_without_control_characters() {
        let mut value = b"\x1b[2J\0\xff".to_vec();
        value.resize(100_000, b'x');
        let Err(Error::MalformedDate { value }) = parse_date(&value) else {
            panic!("it was taken for a date");
        };
        let expected = format!("\\u{{1b}}[2J\\u{{0}}\u{fffd}{}", "x".repeat(58));
        assert_eq!(value, expected);
    }

    fn seconds(unix: i64) -> Timestamp {
        Timestamp::from_unix_seconds(unix).expect("within the range")
    }
}
