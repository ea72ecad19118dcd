//! Exchanges, and what each of them proves.

use std::time::Duration;

use crate::error::Error;
use crate::http::ResponseHead;
use crate::server::{HeadMarks, Lag, Response};
use crate::stamp::{Stamp, StampFault};
use crate::time::{CrossTimestamp, Interval, LocalInstant, Offset, Timestamp};

/// One HTTP request and the head of its response, with the times at which the driver sent and
/// received them.
///
/// Create it with [`from_head`](Self::from_head) from a head that [`http`](crate::http) has read,
/// or with [`from_headers`](Self::from_headers) from the header fields of another HTTP library.
/// Both check everything that makes a `Date` unusable: an `Age`, a second `Date`, the status.
///
/// ```
/// use httptime::{Error, Exchange, LocalInstant};
///
/// # let (sent, received) = (LocalInstant::from_nanos(0), LocalInstant::from_nanos(1));
/// // With the `http` crate:
/// // response.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
/// let headers = [("server", &b"nginx/1.22.1"[..]), ("date", b"Mon, 23 Nov 2026 09:37:12 GMT")];
/// let exchange = Exchange::from_headers(sent, received, 200, headers)?;
/// assert_eq!(exchange.server(), Some("nginx/1.22.1"));
///
/// let first = ("Date", &b"Mon, 23 Nov 2026 09:37:12 GMT"[..]);
/// let two = [first, ("Date", b"Mon, 23 Nov 2026 09:37:13 GMT")];
/// let error = Exchange::from_headers(sent, received, 200, two).unwrap_err();
/// assert_eq!(error.kind(), "conflicting_dates");
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    sent: LocalInstant,
    received: LocalInstant,
    date: Timestamp,
    /// The status of a response without a `Date`, whose stamp stands in for it.
    dateless_status: Option<u16>,
    stamp: Result<Option<Stamp>, StampFault>,
    response: Response<'a>,
    lag: Option<Lag>,
    handed_over: LocalInstant,
    opening_began: Option<LocalInstant>,
    sent_by_kernel: bool,
    received_by_kernel: bool,
}

impl<'a> Exchange<'a> {
    /// The request's first byte left no earlier than `sent`, and the complete `head` had been
    /// received by `received`.
    ///
    /// A stamp stands in for a missing `Date`.
    ///
    /// # Errors
    /// The errors of [`ResponseHead::date`]. An `Age` is not an error here: [`Observation::new`]
    /// refuses it.
    pub fn from_head(
        sent: LocalInstant,
        received: LocalInstant,
        head: &ResponseHead<'a>,
    ) -> Result<Self, Error> {
        let dated = |date| Self::from_parts_unchecked(sent, received, date);
        let exchange = match (head.date(), head.stamp()) {
            (Err(Error::NoDate { status }), Ok(Some(stamp))) => {
                dated(stamp.transmit()).with_stamp(stamp).without_date(status)
            }
            (date, stamp) => Self { stamp, ..dated(date?) },
        };
        Ok(exchange.with_age(head.age()).with_server(head.server()).with_marks(head.marks()))
    }

    /// The request's first byte left no earlier than `sent`, and all header fields had been
    /// received by `received`. Pass the names and values of the fields in the order of the
    /// response: the order shows which server made the `Date` ([`server`](crate::server)). Fields
    /// that the HTTP library has sorted by name cost accuracy. Fields in an arbitrary order can
    /// make the bounds wrong.
    ///
    /// # Errors
    /// The errors of [`ResponseHead::from_fields`] and of [`from_head`](Self::from_head).
    pub fn from_headers(
        sent: LocalInstant,
        received: LocalInstant,
        status: u16,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, Error> {
        Self::from_head(sent, received, &ResponseHead::from_fields(status, headers)?)
    }

    /// The request's first byte left no earlier than `sent`, and the `Date` had been received by
    /// `received` and was `date`. Nothing else in the response is checked. The caller must ensure
    /// that there is one `Date`, no status 408, and no `Age` that is not passed on
    /// ([`with_age`](Self::with_age)). For simulations, and for sources without a response.
    #[must_use]
    pub const fn from_parts_unchecked(
        sent: LocalInstant,
        received: LocalInstant,
        date: Timestamp,
    ) -> Self {
        Self {
            sent,
            received,
            date,
            dateless_status: None,
            stamp: Ok(None),
            response: Response::UNKNOWN,
            lag: None,
            handed_over: sent,
            opening_began: None,
            sent_by_kernel: false,
            received_by_kernel: false,
        }
    }

    /// Sets the stamp of the response ([`stamp`](crate::stamp)).
    #[must_use]
    pub const fn with_stamp(mut self, stamp: Stamp) -> Self {
        self.stamp = Ok(Some(stamp));
        self
    }

    /// The response has stamps that cannot be read.
    #[must_use]
    pub const fn with_stamp_fault(mut self, fault: StampFault) -> Self {
        self.stamp = Err(fault);
        self
    }

    /// The response, which has this status, has no `Date`. The second of its stamp stands in for
    /// it.
    #[must_use]
    pub const fn without_date(mut self, status: u16) -> Self {
        if let Ok(Some(stamp)) = self.stamp {
            self.date = stamp.transmit().floor_to_second();
        }
        self.dateless_status = Some(status);
        self
    }

    /// The same exchange without its stamp.
    #[must_use]
    pub const fn without_stamp(mut self) -> Self {
        self.stamp = Ok(None);
        self
    }

    /// Sets the `Age` of the response.
    #[must_use]
    pub const fn with_age(mut self, age: Option<Duration>) -> Self {
        self.response.age = age;
        self
    }

    /// Sets the `Server` of the response. The name of a front server alone does not show whether it
    /// made the `Date`: see [`with_marks`](Self::with_marks) and [`with_lag`](Self::with_lag).
    #[must_use]
    pub fn with_server(mut self, server: impl Into<Option<&'a str>>) -> Self {
        self.response.server = server.into();
        self
    }

    /// Sets the marks of the response's head.
    #[must_use]
    pub const fn with_marks(mut self, marks: HeadMarks) -> Self {
        self.response.marks = marks;
        self
    }

    /// Sets the limit of the server's lag, whatever the response shows.
    #[must_use]
    pub const fn with_lag(mut self, lag: Lag) -> Self {
        self.lag = Some(lag);
        self
    }

    /// The response was not the first one on its connection, and the connection goes to the server
    /// and not to a proxy [default: it was the first].
    #[must_use]
    pub const fn on_reused_connection(mut self) -> Self {
        self.response.is_reused = true;
        self
    }

    /// The connection began to open at this time [default: unknown]. A stamp may have the time at
    /// which the connection was accepted: if every connection has only one stamp, the bounds allow
    /// for that.
    #[must_use]
    pub const fn on_connection_opened_at(mut self, began: LocalInstant) -> Self {
        self.opening_began = Some(began);
        self
    }

    /// The path of the request has no file name extension [default: it has one]. From an extension
    /// Apache guesses the type of a response that it passes on, which then looks as if Apache had
    /// made the `Date`.
    #[must_use]
    pub const fn without_file_extension(mut self) -> Self {
        self.response.is_without_extension = true;
        self
    }

    /// A front server answers the request by itself (`OPTIONS *`), so it made the `Date` [default:
    /// it may have passed the request on].
    #[must_use]
    pub const fn answered_by_front(mut self) -> Self {
        self.response.is_by_front = true;
        self
    }

    /// Sets kernel timestamps: the request left at `sent` and the response arrived at `received`,
    /// if given. The earlier times are those of the process. For the request the later time counts,
    /// for the response the earlier one.
    #[must_use]
    pub fn with_kernel_timestamps(
        mut self,
        sent: Option<LocalInstant>,
        received: Option<LocalInstant>,
    ) -> Self {
        self.sent_by_kernel = sent.is_some();
        self.received_by_kernel = received.is_some();
        self.sent = sent.map_or(self.sent, |sent| sent.max(self.sent));
        self.received = received.map_or(self.received, |received| received.min(self.received));
        self
    }

    /// The time at which the request's first byte left, or a little before.
    #[must_use]
    pub const fn sent(&self) -> LocalInstant {
        self.sent
    }

    /// The time at which the process passed the request to the system: [`sent`](Self::sent), or
    /// earlier if there is a kernel timestamp.
    #[must_use]
    pub const fn handed_over(&self) -> LocalInstant {
        self.handed_over
    }

    /// The time by which the `Date` had been received, or a little after.
    #[must_use]
    pub const fn received(&self) -> LocalInstant {
        self.received
    }

    /// The `Date`; without one, the second of the stamp.
    #[must_use]
    pub const fn date(&self) -> Timestamp {
        self.date
    }

    /// When its connection began to open.
    pub(crate) const fn opening_began(&self) -> Option<LocalInstant> {
        self.opening_began
    }

    /// Whether the response was not the first one on its connection.
    pub(crate) const fn is_on_reused_connection(&self) -> bool {
        self.response.is_reused
    }

    /// The status of a response without a `Date`.
    pub(crate) const fn dateless_status(&self) -> Option<u16> {
        self.dateless_status
    }

    /// The stamp, if there is one.
    ///
    /// # Errors
    /// The reason why it has no certain meaning.
    pub const fn stamp(&self) -> Result<Option<Stamp>, StampFault> {
        self.stamp
    }

    /// The `Age`, if there is one.
    #[must_use]
    pub const fn age(&self) -> Option<Duration> {
        self.response.age
    }

    /// The `Server`, if there is one.
    #[must_use]
    pub const fn server(&self) -> Option<&'a str> {
        self.response.server
    }

    /// The limit of the server's lag: set [`with_lag`](Self::with_lag), that of a stamp if there is
    /// one, or [derived from the response](crate::server).
    #[must_use]
    pub fn lag(&self) -> Lag {
        self.lag.unwrap_or_else(|| match self.stamp {
            Ok(Some(_)) => Lag::of_stamp(),
            _ => Lag::from_response(&self.response),
        })
    }

    /// Fails if the response was stored for longer than [`lag`](Self::lag) covers.
    fn check_not_stale(&self) -> Result<(), Error> {
        let age = self.age().filter(|age| !age.is_zero());
        if age.is_some() || self.response.is_stored() { Err(Error::Cached { age }) } else { Ok(()) }
    }

    /// Whether [`sent`](Self::sent) is a kernel timestamp.
    #[must_use]
    pub const fn is_sent_by_kernel(&self) -> bool {
        self.sent_by_kernel
    }

    /// Whether [`received`](Self::received) is a kernel timestamp.
    #[must_use]
    pub const fn is_received_by_kernel(&self) -> bool {
        self.received_by_kernel
    }
}

/// What one exchange proves about the offset θ.
///
/// At a local time between `sent` and `received` the server's clock showed `s`, and the server
/// stamped `date = ⌊s − λ⌋`, where λ ∈ [0, Λ] is its lag. Therefore
///
/// ```text
/// date − received  ≤  θ  <  date + 1 s + Λ − sent
/// ```
///
/// The left side holds for any lag. This is Marzullo's interval (RFC 5905, section 11.2.1) for a
/// clock that is read in whole seconds. With a stamp it is the interval for a clock that is read to
/// a quantum ([`stamp`](crate::stamp)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    sent: LocalInstant,
    received: LocalInstant,
    handover: Duration,
    date: Timestamp,
    /// The time for which the server processed the request, according to its stamp.
    processing: Duration,
    quantum: Duration,
    lower: Offset,
    upper: Offset,
    /// How much further the bounds reach, because it is not certain whether the server truncates or
    /// rounds its stamp.
    below: Duration,
    above: Duration,
    lag: Lag,
}

impl Observation {
    /// Computes what an exchange proves. `cross_timestamp`: the local clocks; `lag`: the limit of
    /// the server's lag.
    ///
    /// # Errors
    /// [`Error::Cached`] for a stored response: an `Age` above zero, or a cache that reports that
    /// it had the response, but not for how long. [`Error::ReceivedBeforeSent`] if the exchange was
    /// received before it was sent.
    pub fn new(
        cross_timestamp: CrossTimestamp,
        exchange: &Exchange<'_>,
        lag: Lag,
    ) -> Result<Self, Error> {
        exchange.check_not_stale()?;
        let Exchange { sent, received, date, .. } = *exchange;
        if received < sent {
            return Err(Error::ReceivedBeforeSent { by: sent.saturating_since(received) });
        }
        let stamp = exchange.stamp.ok().flatten();
        let elapsed = received.saturating_since(sent);
        let clock = ClockReading::from_response(date, stamp, elapsed);
        let ClockReading { receive, transmit, quantum, below, above } = clock;
        Ok(Self {
            sent,
            received,
            handover: sent.saturating_since(exchange.handed_over),
            date,
            processing: Offset::between(receive, transmit).abs(),
            quantum,
            lower: Offset::between(cross_timestamp.wall_at(received), transmit),
            upper: Offset::between(cross_timestamp.wall_at(sent), receive)
                .saturating_add(quantum.into()),
            below,
            above,
            lag,
        })
    }

    /// The time at which the request's first byte left.
    #[must_use]
    pub const fn sent(&self) -> LocalInstant {
        self.sent
    }

    /// The time by which the `Date` had been received.
    #[must_use]
    pub const fn received(&self) -> LocalInstant {
        self.received
    }

    /// The `Date`.
    #[must_use]
    pub const fn date(&self) -> Timestamp {
        self.date
    }

    /// The limit of the lag.
    #[must_use]
    pub const fn lag(&self) -> Lag {
        self.lag
    }

    /// The resolution of the server's clock: one second, or that of the stamp.
    #[must_use]
    pub const fn quantum(&self) -> Duration {
        self.quantum
    }

    /// Whether the server's clock was read from a stamp.
    #[must_use]
    pub fn is_stamped(&self) -> bool {
        self.quantum < ONE_SECOND
    }

    pub(crate) const fn with_lag(self, lag: Lag) -> Self {
        Self { lag, ..self }
    }

    /// The time from `sent` to `received`, less the time for which the server processed the request
    /// if its stamp has two times: the round-trip delay δ of RFC 5905, section 8.
    #[must_use]
    pub const fn round_trip(&self) -> Duration {
        self.received.saturating_since(self.sent).saturating_sub(self.processing)
    }

    /// The time from passing the request to the system until `sent`, if that is a kernel timestamp;
    /// otherwise zero.
    #[must_use]
    pub const fn handover(&self) -> Duration {
        self.handover
    }

    /// `date − received` (with a stamp, `transmit − received`): a lower bound of the offset for any
    /// lag of the server.
    #[must_use]
    pub const fn lower(&self) -> Offset {
        self.lower
    }

    /// `date + 1 s − sent` (with a stamp, `receive + quantum − sent`): an upper bound of the offset
    /// if the server has no lag.
    #[must_use]
    pub const fn upper_without_lag(&self) -> Offset {
        self.upper
    }

    /// `date + 1 s + Λ − sent`: an upper bound of the offset.
    #[must_use]
    pub fn upper(&self) -> Offset {
        self.upper.saturating_add(self.lag.allowance().into())
    }

    /// The interval from [`lower`](Self::lower) to [`upper`](Self::upper). With a stamp it is half
    /// a quantum wider, because the server may truncate the stamp or round it.
    #[must_use]
    pub fn bounds(&self) -> Interval {
        let lower = self.lower.saturating_sub(self.below.into());
        Interval::between(lower, self.upper().saturating_add(self.above.into()))
    }
}

/// The times that a server's clock showed, as far as the response determines them.
#[derive(Debug, Clone, Copy)]
struct ClockReading {
    /// The clock showed this when the request arrived, or up to `quantum` more.
    receive: Timestamp,
    /// The clock showed at least this when the response left.
    transmit: Timestamp,
    quantum: Duration,
    below: Duration,
    above: Duration,
}

impl ClockReading {
    /// `elapsed`: the time between request and response. The server did not process the request for
    /// longer.
    fn from_response(date: Timestamp, stamp: Option<Stamp>, elapsed: Duration) -> Self {
        let Some(stamp) = stamp else {
            let (below, above) = (Duration::ZERO, Duration::ZERO);
            return Self { receive: date, transmit: date, quantum: ONE_SECOND, below, above };
        };
        let quantum = stamp.quantum();
        let half = quantum / 2;
        let (shift, below, above) = if stamp.is_rounded() {
            (half, Duration::ZERO, half)
        } else {
            (Duration::ZERO, half, Duration::ZERO)
        };
        let receive = stamp.receive().saturating_add(Offset::ZERO.saturating_sub(shift.into()));
        let transmit = receive.saturating_add(stamp.least_processing().min(elapsed).into());
        Self { receive, transmit, quantum, below, above }
    }
}

const ONE_SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::NANOS_PER_SECOND;

    #[test]
    fn a_stored_response_proves_nothing_to_an_estimator_either() {
        let at = LocalInstant::from_nanos;
        let wall = Timestamp::from_unix_nanos(1_795_392_000 * NANOS_PER_SECOND);
        let cross_timestamp = CrossTimestamp::new(at(0), wall, Duration::ZERO);
        let age = Duration::from_secs(3599);
        let exchange = Exchange::from_parts_unchecked(at(0), at(10), wall).with_age(Some(age));
        let observed = Observation::new(cross_timestamp, &exchange, exchange.lag());
        assert_eq!(observed, Err(Error::Cached { age: Some(age) }));
    }

    #[test]
    fn no_header_that_makes_a_date_worthless_is_forgotten() {
        let at = LocalInstant::from_nanos;
        let of = |status, headers: &[(&'static str, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
            Exchange::from_headers(at(0), at(10), status, headers)
        };
        let (date, next) =
            (("Date", "Mon, 23 Nov 2026 09:37:12 GMT"), ("DATE", "Mon, 23 Nov 2026 09:37:13 GMT"));
        let kind = |status, headers: &[(&'static str, &'static str)]| {
            of(status, headers).map(drop).map_err(|error| error.kind())
        };
        assert_eq!(kind(404, &[date, ("Via", "x"), date]), Ok(()));
        assert_eq!(kind(200, &[]), Err("no_date"));
        assert_eq!(kind(200, &[date, next]), Err("conflicting_dates"));
        assert_eq!(kind(200, &[("Date", "today")]), Err("malformed_date"));
        for status in [0, 100, 103, 408, 1000] {
            assert_eq!(kind(status, &[date]), Err("malformed_head"), "{status}");
        }
        let stored = [("age", " 3599 "), date];
        let age = of(200, &stored).map(|exchange| exchange.age());
        assert_eq!(age, Ok(Some(Duration::from_secs(3599))));
    }
}
