//! The stamps of simulated servers, as the text that real ones send.

use std::time::Duration;

use httptime::{Offset, Timestamp};

/// How a server stamps its responses: a header field `X-HTTPSTIME` with its clock, finer than the
/// second of the `Date`.
///
/// ```
/// use httptime::Config;
/// use httptime_sim::{Path, SimClock, SimServer, SimStamp, StampDigits, World};
///
/// // Apache with `%t %D`.
/// let stamp = SimStamp::integer(StampDigits::Micros).prefixed().with_duration();
/// let server = SimServer::exact().stamped(stamp);
/// let world = World::new(SimClock::new(5), Path::symmetric_ms(20.0, 2.0), server);
/// let outcome = world.measure(&Config::default(), 1);
/// assert!(outcome.result?.bounds().contains(outcome.truth));
/// # Ok::<(), httptime::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimStamp {
    digits: StampDigits,
    notation: Notation,
    is_prefixed: bool,
    has_duration: bool,
    is_rounded: bool,
    reading: Reading,
    trap: Option<StampTrap>,
}

/// The resolution of a stamp.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StampDigits {
    /// 3 decimals of a second.
    Millis,
    /// 6 decimals of a second.
    Micros,
    /// 9 decimals of a second.
    Nanos,
}

/// A way to make a stamp that is wrong. Servers have been seen to do each of these.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StampTrap {
    /// A cache keeps the field for this long, and the `Date` beside it advances.
    Cached(Duration),
    /// The time at which the connection was accepted, as `HAProxy`'s `%Ts.%ms`: it stands still on
    /// a connection that stays open.
    Accepted,
    /// A second field, whose value is later by this much: another proxy has added it.
    Conflicting(Duration),
    /// The decimals have lost their leading zeros, as with `HAProxy`'s `%[date].%[date_us]`. The
    /// same as a correct stamp if there are none.
    Unpadded,
    /// The clock of the stamp is ahead of the clock of the `Date` by this much.
    Ahead(Offset),
}

/// How the time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notation {
    /// `1558915632.285965`
    Seconds,
    /// `1558915632285965`
    Integer,
    /// `S1558915632.285965,VS0,VE12`
    Timer,
}

/// When the server reads the clock for a stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// When the request arrives.
    Arrival,
    /// When the response leaves.
    Departure,
    /// When it reads the clock for the `Date`, so that the stamp has the same lag.
    Date,
}

/// The times of one response, according to the server's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StampTimes {
    /// The connection was accepted.
    pub(crate) accepted: Timestamp,
    /// The request arrived.
    pub(crate) arrived: Timestamp,
    /// The reading for the `Date`, with its lag.
    pub(crate) date: Timestamp,
    /// The response left.
    pub(crate) left: Timestamp,
}

impl SimStamp {
    /// Seconds with decimals, `1558915632.285965`: the clock when the request arrived, truncated.
    #[must_use]
    pub const fn seconds(digits: StampDigits) -> Self {
        Self {
            digits,
            notation: Notation::Seconds,
            is_prefixed: false,
            has_duration: false,
            is_rounded: false,
            reading: Reading::Arrival,
            trap: None,
        }
    }

    /// The same as an integer, `1558915632285965`.
    #[must_use]
    pub const fn integer(digits: StampDigits) -> Self {
        Self { notation: Notation::Integer, ..Self::seconds(digits) }
    }

    /// As Fastly's `X-Timer`, `S1558915632.285965,VS0,VE12`: two server times, the second one in
    /// whole milliseconds.
    #[must_use]
    pub const fn timer() -> Self {
        Self { notation: Notation::Timer, ..Self::seconds(StampDigits::Micros) }
    }

    /// Writes `t=` before the time, as Apache's `%t`.
    #[must_use]
    pub const fn prefixed(self) -> Self {
        Self { is_prefixed: true, ..self }
    }

    /// Adds the duration from the arrival of the request to the departure of the response, as
    /// Apache's `%D`: the stamp has two server times.
    #[must_use]
    pub const fn with_duration(self) -> Self {
        Self { has_duration: true, ..self }
    }

    /// Rounds to the nearest digit, as Varnish does [default: truncates].
    #[must_use]
    pub const fn rounded(self) -> Self {
        Self { is_rounded: true, ..self }
    }

    /// Reads the clock when the response leaves [default: when the request arrives].
    #[must_use]
    pub const fn at_departure(self) -> Self {
        Self { reading: Reading::Departure, ..self }
    }

    /// One time: the same reading of the clock as for the `Date`, with its lag. The stamps of a
    /// [`ticking`](crate::SimServer::ticking) server then advance with its timer, as those of nginx
    /// with `timer_resolution` do.
    #[must_use]
    pub const fn with_date(self) -> Self {
        let notation = match self.notation {
            Notation::Timer => Notation::Seconds,
            notation => notation,
        };
        Self { reading: Reading::Date, has_duration: false, notation, ..self }
    }

    /// Makes the stamp wrong.
    #[must_use]
    pub const fn trapped(self, trap: StampTrap) -> Self {
        Self { trap: Some(trap), ..self }
    }

    /// Every form of a correct stamp, each taken at the arrival of the request and, if it has one
    /// time, at the departure of the response.
    pub fn forms() -> impl Iterator<Item = Self> {
        let digits = [StampDigits::Millis, StampDigits::Micros, StampDigits::Nanos].into_iter();
        let times = digits.flat_map(|digits| [Self::seconds(digits), Self::integer(digits)]);
        let prefixed = times.flat_map(|form| [form, form.prefixed()]);
        let rounded = prefixed.flat_map(|form| [form, form.rounded()]);
        let taken = rounded.flat_map(|form| [form, form.at_departure(), form.with_duration()]);
        taken.chain([Self::timer()])
    }

    /// The value of the field.
    fn value(&self, times: &StampTimes) -> String {
        let time = match (self.trap, self.reading) {
            (Some(StampTrap::Accepted), _) => times.accepted,
            (_, Reading::Arrival) => times.arrived,
            (_, Reading::Departure) => times.left,
            (_, Reading::Date) => times.date,
        };
        let time = match self.trap {
            Some(StampTrap::Ahead(ahead)) => time.saturating_add(ahead),
            _ => time,
        };
        let (digits, unit) = match self.digits {
            StampDigits::Millis => (3, 1_000_000),
            StampDigits::Micros => (6, 1_000),
            StampDigits::Nanos => (9, 1),
        };
        let half = if self.is_rounded { unit / 2 } else { 0 };
        let count = time.as_unix_nanos().saturating_add(half).div_euclid(unit);
        let in_second = 1_000_000_000 / unit;
        let (seconds, fraction) = (count.div_euclid(in_second), count.rem_euclid(in_second));
        let prefix = if self.is_prefixed { "t=" } else { "" };
        let whole = |unit: i64| {
            let count = |time: Timestamp| time.as_unix_nanos().div_euclid(unit);
            count(times.left) - count(times.arrived)
        };
        let duration =
            if self.has_duration { format!(" D={}", whole(1_000)) } else { String::new() };
        match self.notation {
            Notation::Timer => {
                let elapsed = Offset::between(times.arrived, times.left).as_nanos() / 1_000_000;
                format!("S{seconds}.{fraction:0digits$},VS0,VE{elapsed}")
            }
            Notation::Integer => format!("{prefix}{count}{duration}"),
            Notation::Seconds if self.trap == Some(StampTrap::Unpadded) => {
                format!("{prefix}{seconds}.{fraction}{duration}")
            }
            Notation::Seconds => format!("{prefix}{seconds}.{fraction:0digits$}{duration}"),
        }
    }
}

/// Writes the stamps of one server.
#[derive(Debug, Clone)]
pub(crate) struct StampWriter {
    stamp: SimStamp,
    /// The value in the cache, and when the request arrived that stored it.
    stored: Option<(Timestamp, String)>,
}

impl StampWriter {
    pub(crate) const fn new(stamp: SimStamp) -> Self {
        Self { stamp, stored: None }
    }

    /// The values of the fields in a response: one for each field.
    pub(crate) fn values(&mut self, times: &StampTimes) -> Vec<String> {
        let value = self.stamp.value(times);
        match self.stamp.trap {
            Some(StampTrap::Conflicting(by)) => {
                let later = self.stamp.trapped(StampTrap::Ahead(by.into()));
                vec![value, later.value(times)]
            }
            Some(StampTrap::Cached(ttl)) => {
                let is_fresh = |(since, _): &&(Timestamp, String)| {
                    let age = Offset::between(*since, times.arrived);
                    age >= Offset::ZERO && age < ttl.into()
                };
                if let Some((_, stored)) = self.stored.as_ref().filter(is_fresh) {
                    return vec![stored.clone()];
                }
                self.stored = Some((times.arrived, value.clone()));
                vec![value]
            }
            _ => vec![value],
        }
    }
}

/// The header field: registered with IANA together with the well-known URI `time`.
pub(crate) const HEADER: &str = "X-HTTPSTIME";

#[cfg(test)]
mod tests {
    use httptime::Stamp;

    use super::*;

    const SECOND: i64 = 1_558_915_632;

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_unix_nanos(SECOND * 1_000_000_000 + nanos)
    }

    /// A request that arrived 27.411888 ms after the second and was processed for 12.5 ms.
    fn times() -> StampTimes {
        StampTimes {
            accepted: at(-1_500_000_000),
            arrived: at(27_411_888),
            date: at(20_000_000),
            left: at(39_911_888),
        }
    }

    #[test]
    fn each_form_is_the_text_of_a_real_server() {
        let (millis, micros) = (StampDigits::Millis, StampDigits::Micros);
        for (stamp, text) in [
            (SimStamp::seconds(millis), "1558915632.027"),
            (SimStamp::seconds(micros), "1558915632.027411"),
            (SimStamp::seconds(StampDigits::Nanos), "1558915632.027411888"),
            (SimStamp::integer(millis), "1558915632027"),
            (SimStamp::integer(micros).prefixed(), "t=1558915632027411"),
            (SimStamp::integer(micros).prefixed().with_duration(), "t=1558915632027411 D=12500"),
            (SimStamp::seconds(millis).at_departure(), "1558915632.039"),
            (SimStamp::seconds(millis).at_departure().rounded(), "1558915632.040"),
            (SimStamp::seconds(micros).with_date(), "1558915632.020000"),
            (SimStamp::timer(), "S1558915632.027411,VS0,VE12"),
        ] {
            assert_eq!(stamp.value(&times()), text);
        }
    }

    #[test]
    fn each_trap_is_the_text_of_a_real_server() {
        let micros = SimStamp::seconds(StampDigits::Micros);
        let ahead = |seconds: i64| StampTrap::Ahead(Offset::from_nanos(seconds * 1_000_000_000));
        for (trap, text) in [
            (StampTrap::Accepted, "1558915630.500000"),
            (StampTrap::Unpadded, "1558915632.27411"),
            (ahead(86_400), "1559002032.027411"),
            (ahead(-2), "1558915630.027411"),
        ] {
            assert_eq!(micros.trapped(trap).value(&times()), text, "{trap:?}");
        }
        let conflicting = StampTrap::Conflicting(Duration::from_millis(1));
        let values = StampWriter::new(micros.trapped(conflicting)).values(&times());
        assert_eq!(values, ["1558915632.027411", "1558915632.028411"]);
    }

    #[test]
    fn a_cache_keeps_a_stamp_until_it_is_too_old() {
        let stamp = SimStamp::seconds(StampDigits::Millis);
        let cached = stamp.trapped(StampTrap::Cached(Duration::from_secs(1)));
        let mut writer = StampWriter::new(cached);
        let mut ask = |nanos| writer.values(&StampTimes { arrived: at(nanos), ..times() });
        assert_eq!(ask(0), ["1558915632.000"]);
        assert_eq!(ask(999_999_999), ["1558915632.000"]);
        assert_eq!(ask(1_000_000_000), ["1558915633.000"]);
    }

    #[test]
    fn a_client_reads_every_form_back_to_within_its_resolution() {
        for form in SimStamp::forms() {
            let text = form.value(&times());
            let stamp = Stamp::parse(text.as_bytes()).unwrap_or_else(|_| panic!("{text}"));
            let quantum = Offset::from(stamp.quantum());
            let early = Offset::between(stamp.receive(), times().arrived);
            let late = Offset::between(times().left, stamp.transmit());
            assert!(early < quantum && late < quantum, "{text}: {early} early, {late} late");
        }
        assert_eq!(SimStamp::forms().count(), 73);
    }
}
