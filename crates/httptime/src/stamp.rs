//! Stamps: a server's clock in a header field of its own, finer than the second of the `Date`.
//!
//! The field is [`DEFAULT_HEADER`], registered with IANA together with the well-known URI `time`
//! (P.-H. Kamp, 2015), or another one that the user names. One exchange with a stamp proves
//!
//! ```text
//! transmit − received  ≤  θ  ≤  receive + quantum + Λ − sent
//! ```
//!
//! where `receive` and `transmit` are the receive timestamp and the transmit timestamp of RFC 5905,
//! section 8. They are equal in a stamp of one time.
//!
//! A stamp is used only while it agrees with the `Date` beside it and with the other responses. At
//! the first [`StampFault`] the measurement goes on with the `Date`s alone, and the result names
//! the fault.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::time::{NANOS_PER_SECOND, Offset, Span, Timestamp};

/// The header field that is read if the user names no other.
pub const DEFAULT_HEADER: &str = "X-HTTPSTIME";

/// The server's clock in one response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    receive: Timestamp,
    transmit: Timestamp,
    quantum: Duration,
    processing_resolution: Duration,
    is_rounded: bool,
    /// Two times, which may be equal.
    has_transmit: bool,
}

impl Stamp {
    /// A stamp of one time with this resolution. The server's clock showed `receive` or up to
    /// `quantum` more.
    #[must_use]
    pub const fn new(receive: Timestamp, quantum: Duration) -> Self {
        let processing_resolution = Duration::ZERO;
        Self {
            receive,
            transmit: receive,
            quantum,
            processing_resolution,
            is_rounded: false,
            has_transmit: false,
        }
    }

    /// Adds the time at which the response left.
    #[must_use]
    pub const fn with_transmit(self, transmit: Timestamp) -> Self {
        Self { transmit, has_transmit: true, ..self }
    }

    /// The server rounds to the nearest quantum [default: it truncates]. The bounds always allow
    /// both; the estimate depends on it.
    #[must_use]
    pub const fn rounded(self) -> Self {
        Self { is_rounded: true, ..self }
    }

    /// Parses the value of a stamp's field. These forms are accepted, and no other:
    ///
    /// | form | meaning |
    /// |---|---|
    /// | `1558915632.285`, `.285965`, `.285965123` | 10 digits of seconds since 1970, and exactly 3, 6 or 9 decimals |
    /// | `1558915632285`, 16 or 19 digits | milliseconds, microseconds or nanoseconds since 1970 |
    /// | `t=` before any of these | the same (Apache's `%t`) |
    /// | ` D=1234` after any of these | the response left so many microseconds later (Apache's `%D`) |
    /// | `S1558915632.285965,VS0,VE12` | the response left 12 ms later (Fastly's `X-Timer`) |
    ///
    /// ```
    /// use httptime::{Stamp, StampFault};
    ///
    /// let stamp = Stamp::parse(b"1558915632.285965")?;
    /// assert_eq!(stamp.receive().as_unix_nanos(), 1_558_915_632_285_965_000);
    /// assert_eq!(stamp.quantum().as_micros(), 1);
    /// assert_eq!(Stamp::parse(b"t=1558915632285965 D=40")?.processing().as_micros(), 40);
    /// // A fraction whose zeros were lost: .027411.
    /// assert_eq!(Stamp::parse(b"1558915632.27411"), Err(StampFault::Malformed));
    /// # Ok::<(), StampFault>(())
    /// ```
    ///
    /// # Errors
    /// [`StampFault::Malformed`]
    pub fn parse(value: &[u8]) -> Result<Self, StampFault> {
        Self::read(value).ok_or(StampFault::Malformed)
    }

    fn read(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value.trim_ascii()).ok()?;
        if let Some(timer) = text.strip_prefix('S') {
            let (start, elapsed) = timer.split_once(",VS")?;
            let (before, elapsed) = elapsed.split_once(",VE")?;
            let _ = number(before)?;
            let micros = number(elapsed)?.checked_mul(1000)?;
            return Self::read_time(start)?.processed_for(micros, Duration::from_millis(1));
        }
        let text = text.strip_prefix("t=").unwrap_or(text);
        match text.split_once(" D=") {
            Some((time, micros)) => {
                Self::read_time(time)?.processed_for(number(micros)?, Duration::from_micros(1))
            }
            None => Self::read_time(text),
        }
    }

    fn read_time(text: &str) -> Option<Self> {
        let (seconds, fraction) = match text.split_once('.') {
            Some((seconds, fraction)) => (seconds, fraction),
            None => text.split_at_checked(SECONDS_DIGITS)?,
        };
        if seconds.len() != SECONDS_DIGITS {
            return None;
        }
        let quantum = match fraction.len() {
            3 => 1_000_000,
            6 => 1_000,
            9 => 1,
            _ => return None,
        };
        let nanos = number(fraction)?.checked_mul(quantum)?;
        let nanos = number(seconds)?.checked_mul(NANOS_PER_SECOND.unsigned_abs())? + nanos;
        let receive = Timestamp::from_unix_nanos(i64::try_from(nanos).ok()?);
        Some(Self::new(receive, Duration::from_nanos(quantum)))
    }

    fn processed_for(self, micros: u64, resolution: Duration) -> Option<Self> {
        let processing = Duration::from_micros(micros);
        let transmit = self.receive.saturating_add(processing.into());
        let stamp = Self { processing_resolution: resolution, ..self.with_transmit(transmit) };
        (processing <= MAX_PROCESSING).then_some(stamp)
    }

    /// The server's clock when the request arrived (RFC 5905's receive timestamp), or when the
    /// server read it for this stamp.
    #[must_use]
    pub const fn receive(self) -> Timestamp {
        self.receive
    }

    /// The server's clock when the response left (RFC 5905's transmit timestamp). The same as
    /// [`receive`](Self::receive) if the stamp has one time.
    #[must_use]
    pub const fn transmit(self) -> Timestamp {
        self.transmit
    }

    /// The time between the two, for which the server processed the request.
    #[must_use]
    pub fn processing(self) -> Duration {
        Offset::between(self.receive, self.transmit).max(Offset::ZERO).abs()
    }

    /// For how long the server processed the request, at least: the digits may be rounded, and its
    /// clock may be too fast.
    pub(crate) fn least_processing(self) -> Duration {
        let processing = self.processing();
        let excess = self.processing_resolution.saturating_add(processing / MAX_CLOCK_RATE_ERROR);
        processing.saturating_sub(excess)
    }

    /// The resolution: how much more the server's clock may have shown.
    #[must_use]
    pub const fn quantum(self) -> Duration {
        self.quantum
    }

    /// Whether the server rounds to the nearest quantum.
    #[must_use]
    pub const fn is_rounded(self) -> bool {
        self.is_rounded
    }

    /// Whether both have the same number of digits, and the same number of times.
    pub(crate) fn has_form_of(self, other: Self) -> bool {
        self.quantum == other.quantum && self.has_transmit == other.has_transmit
    }

    /// Checks the stamp against the `Date` of the same response, whose lag is at most `lag`. The
    /// server may make the one when the request arrives and the other when the response leaves, so
    /// they can differ by a round trip.
    pub(crate) fn check_against_date(
        self,
        date: Timestamp,
        lag: Duration,
        round_trip: Duration,
    ) -> Result<(), StampFault> {
        if self.least_processing() > round_trip {
            let by = self.processing().saturating_sub(round_trip);
            return Err(StampFault::LongerThanRoundTrip { by });
        }
        let second = Duration::from_nanos(NANOS_PER_SECOND.unsigned_abs());
        let ahead = Offset::between(date, self.receive);
        let behind = Offset::between(self.transmit, date);
        let most_ahead = second.saturating_add(lag).saturating_add(round_trip);
        let most_behind = round_trip.saturating_add(self.quantum);
        if ahead > most_ahead.into() {
            return Err(StampFault::NewerThanDate { by: ahead.abs() });
        }
        if behind > most_behind.into() {
            return Err(StampFault::OlderThanDate { by: behind.abs() });
        }
        Ok(())
    }
}

/// A number without sign or space.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// The reason why the stamps of a server are not used.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StampFault {
    /// The digits have no meaning that is certain: see [`Stamp::parse`].
    Malformed,
    /// One response has two stamps with different values.
    Conflicting,
    /// The responses have stamps of different forms.
    FormChanged,
    /// The stamp is older than the `Date` of its response.
    OlderThanDate {
        /// By so much.
        by: Duration,
    },
    /// The stamp is newer than the `Date` of its response allows.
    NewerThanDate {
        /// By so much, from the beginning of the `Date`'s second.
        by: Duration,
    },
    /// The stamp reports that the server processed the request for longer than the round trip took.
    LongerThanRoundTrip {
        /// By so much.
        by: Duration,
    },
    /// A later response has the same stamp: it is from a cache, or it is the time at which the
    /// connection was accepted.
    Frozen {
        /// The time between the two responses.
        elapsed: Duration,
    },
    /// The stamps contradict each other.
    Inconsistent {
        /// By so much.
        gap: Duration,
    },
    /// There were too few responses to show a stamp that stands still: fewer than three, or none
    /// over a second connection.
    Untested,
}

impl StampFault {
    /// The name of the kind, as in JSON.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Conflicting => "conflicting",
            Self::FormChanged => "form_changed",
            Self::OlderThanDate { .. } => "older_than_date",
            Self::NewerThanDate { .. } => "newer_than_date",
            Self::LongerThanRoundTrip { .. } => "longer_than_round_trip",
            Self::Frozen { .. } => "frozen",
            Self::Inconsistent { .. } => "inconsistent",
            Self::Untested => "untested",
        }
    }
}

impl fmt::Display for StampFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("its digits have no certain meaning"),
            Self::Conflicting => f.write_str("a response has two with different values"),
            Self::FormChanged => f.write_str("its number of digits changes"),
            Self::OlderThanDate { by } => {
                write!(f, "it is {} older than the Date beside it", Span::new(*by))
            }
            Self::NewerThanDate { by } => {
                write!(f, "it is {} newer than the Date beside it", Span::new(*by))
            }
            Self::LongerThanRoundTrip { by } => {
                let by = Span::new(*by);
                write!(f, "it reports a processing time that exceeds the round trip by {by}")
            }
            Self::Frozen { elapsed } => {
                write!(f, "it did not advance in {}", Span::new(*elapsed))
            }
            Self::Inconsistent { gap } => {
                write!(f, "successive ones contradict each other by {}", Span::new(*gap))
            }
            Self::Untested => {
                f.write_str("fewer than three requests cannot show whether it advances")
            }
        }
    }
}

/// What a measurement did with the stamps that it received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StampUse {
    pub(crate) header: Arc<str>,
    pub(crate) quantum: Option<Duration>,
    pub(crate) rejected: Option<StampFault>,
}

impl StampUse {
    /// The header field.
    #[must_use]
    pub fn header(&self) -> &str {
        &self.header
    }

    /// The resolution of the stamps; `None` if none could be read.
    #[must_use]
    pub const fn quantum(&self) -> Option<Duration> {
        self.quantum
    }

    /// The reason why the stamps were not used. `None`: the result is from stamps.
    #[must_use]
    pub const fn rejected(&self) -> Option<StampFault> {
        self.rejected
    }
}

impl fmt::Display for StampUse {
    /// `X-HTTPSTIME, 1 µs`, or `X-HTTPSTIME, not used: it did not advance in 23 ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.header)?;
        match (self.rejected, self.quantum) {
            (Some(fault), _) => write!(f, ", not used: {fault}"),
            (None, Some(quantum)) => write!(f, ", {}", Span::new(quantum)),
            (None, None) => Ok(()),
        }
    }
}

/// The digits of the seconds since 1970, from 2001 to 2286.
const SECONDS_DIGITS: usize = 10;
/// A longer processing time is a mistake.
const MAX_PROCESSING: Duration = Duration::from_secs(3600);
/// A server's clock is too fast by at most 1 part in so many: twice the 500 ppm by which Linux
/// steers a clock (adjtimex(2), `ADJ_FREQUENCY`).
const MAX_CLOCK_RATE_ERROR: u32 = 1_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    #[test]
    fn each_form_gives_its_time_and_its_resolution() {
        let base = 1_558_915_632;
        for (value, nanos, quantum) in [
            ("1558915632.285", 285_000_000, 1_000_000),
            ("1558915632.285965", 285_965_000, 1_000),
            ("1558915632.285965123", 285_965_123, 1),
            ("1558915632285", 285_000_000, 1_000_000),
            ("1558915632000001", 1_000, 1_000),
            ("1558915632285965123", 285_965_123, 1),
            ("t=1558915632285965", 285_965_000, 1_000),
            (" 1558915632.000001 ", 1_000, 1_000),
        ] {
            let stamp = Stamp::parse(value.as_bytes()).expect(value);
            assert_eq!(stamp.receive().as_unix_nanos(), base * NANOS_PER_SECOND + nanos, "{value}");
            assert_eq!(stamp.quantum(), Duration::from_nanos(quantum), "{value}");
            assert_eq!(stamp.transmit(), stamp.receive(), "{value}");
        }
        for (value, micros) in [
            ("t=1558915632285965 D=1234", 1_234),
            ("1558915632.285965 D=0", 0),
            ("S1558915632.285965,VS0,VE12", 12_000),
        ] {
            let stamp = Stamp::parse(value.as_bytes()).expect(value);
            assert_eq!(stamp.processing(), Duration::from_micros(micros), "{value}");
        }
    }

    #[test]
    fn digits_without_a_certain_meaning_are_refused() {
        for value in [
            "",
            "0",
            "-1558915632.285965",
            "+1558915632.285965",
            "1558915632",
            "1558915632.",
            "1558915632.27411",
            "1558915632.2",
            "1558915632.28",
            "1558915632.2859651234",
            "155891563.285965",
            "15589156320.285965",
            "1558915632,285965",
            "1558915632.285965, 1558915632.285965",
            "1558915632.285965 1558915632.285966",
            "1558915632.28596a",
            "1558915632.28 965",
            "15589156322859",
            "155891563228596",
            "15589156322859651",
            "t=",
            "t=1558915632285965 D=",
            "t=1558915632285965 D=-1",
            "t=1558915632285965 D=3600000001",
            "t=1558915632285965  D=1",
            "t=t=1558915632285965",
            "9999999999.000",
            "S1558915632.285965",
            "S1558915632.285965,VS0",
            "S1558915632.285965,VS,VE1",
            "1558915632.285965,VS0,VE1",
            "Mon, 23 Nov 2026 09:37:12 GMT",
            "1558915632.٣٣٣",
        ] {
            assert_eq!(Stamp::parse(value.as_bytes()), Err(StampFault::Malformed), "{value}");
        }
        assert_eq!(Stamp::parse(b"\xff558915632.285965"), Err(StampFault::Malformed));
    }

    #[test]
    fn a_stamp_agrees_with_its_date_or_is_refused() {
        let at = |nanos: i64| Timestamp::from_unix_nanos(1_558_915_632 * NANOS_PER_SECOND + nanos);
        let millis = Duration::from_millis;
        let check = |nanos, lag, trip| {
            let stamp = Stamp::new(at(nanos), Duration::from_micros(1));
            stamp.check_against_date(at(0), millis(lag), millis(trip))
        };
        for (nanos, lag, trip) in
            [(0, 0, 0), (999_999_999, 0, 0), (-5_000_000, 0, 6), (1_999_000_000, 1_000, 0)]
        {
            assert_eq!(check(nanos, lag, trip), Ok(()), "{nanos}");
        }
        let kind = |nanos, lag, trip| check(nanos, lag, trip).map_err(|fault| fault.kind());
        assert_eq!(kind(-2_000_000, 0, 1), Err("older_than_date"));
        assert_eq!(kind(1_002_000_000, 1, 0), Err("newer_than_date"));
        assert_eq!(kind(86_400 * NANOS_PER_SECOND, 2_020, 1), Err("newer_than_date"));
        let apache = Stamp::parse(b"1558915632.000000 D=20001").expect("a stamp");
        assert_eq!(apache.check_against_date(at(0), millis(1), millis(20)), Ok(()), "resolution");
        let apache = Stamp::parse(b"1558915632.000000 D=20900").expect("a stamp");
        let fault = apache.check_against_date(at(0), millis(1), millis(20));
        assert_eq!(fault.map_err(|fault| fault.kind()), Err("longer_than_round_trip"));
        let slow = Stamp::new(at(0), millis(1)).with_transmit(at(50_000_000));
        let fault = slow.check_against_date(at(0), millis(1), millis(20));
        assert_eq!(fault, Err(StampFault::LongerThanRoundTrip { by: millis(30) }));
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            rng_seed: RngSeed::Fixed(0x7374_616d),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// Every time is read back from every form that can represent it.
        #[test]
        fn what_a_server_writes_is_read(
            seconds in 1_000_000_000_i64..9_223_372_036,
            nanos in 0_i64..1_000_000_000,
            processing in 0_u64..1_000_000,
        ) {
            for (digits, unit) in [(3, 1_000_000), (6, 1_000), (9, 1)] {
                let fraction = nanos / unit;
                let wanted = seconds * NANOS_PER_SECOND + fraction * unit;
                for value in [
                    format!("{seconds}.{fraction:0digits$}"),
                    format!("{seconds}{fraction:0digits$}"),
                    format!("t={seconds}{fraction:0digits$} D={processing}"),
                ] {
                    let stamp = Stamp::parse(value.as_bytes()).expect("a form of the table");
                    prop_assert_eq!(stamp.receive().as_unix_nanos(), wanted, "{}", value);
                    prop_assert_eq!(stamp.quantum().as_nanos(), u128::from(unit.unsigned_abs()));
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(value in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Stamp::parse(&value);
        }
    }
}
