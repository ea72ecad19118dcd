//! One exchange, reduced to what it proves.

use std::time::Duration;

use crate::error::Error;
use crate::http::ResponseHead;
use crate::server::{HeadMarks, Lag, Response};
use crate::time::{CrossTimestamp, Interval, LocalInstant, NANOS_PER_SECOND, Offset, Timestamp};

/// One HTTP request and the head of its response, as whoever moved the bytes saw them.
///
/// Made by [`from_head`](Self::from_head) from a head that [`http`](crate::http) has read, or [from the header fields](Self::from_headers) that another
/// HTTP library gives, so that no `Age`, second `Date` or status is forgotten that makes the `Date` worthless:
///
/// ```
/// use httptime::{Error, Exchange, LocalInstant};
///
/// # let (sent, received) = (LocalInstant::from_nanos(0), LocalInstant::from_nanos(1));
/// // With the `http` crate: response.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
/// let headers = [("server", &b"nginx/1.22.1"[..]), ("date", b"Mon, 23 Nov 2026 09:37:12 GMT")];
/// let exchange = Exchange::from_headers(sent, received, 200, headers)?;
/// assert_eq!(exchange.server(), Some("nginx/1.22.1"));
///
/// let two = [("Date", &b"Mon, 23 Nov 2026 09:37:12 GMT"[..]), ("Date", b"Mon, 23 Nov 2026 09:37:13 GMT")];
/// let error = Exchange::from_headers(sent, received, 200, two).unwrap_err();
/// assert_eq!(error.kind(), "conflicting_dates");
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    sent: LocalInstant,
    received: LocalInstant,
    date: Timestamp,
    response: Response<'a>,
    lag: Option<Lag>,
    handed_over: LocalInstant,
    sent_by_kernel: bool,
    received_by_kernel: bool,
}

impl<'a> Exchange<'a> {
    /// The request's first byte left no earlier than `sent`, and the whole `head` had come by `received`.
    ///
    /// # Errors
    /// Those of [`ResponseHead::date`]. An `Age` is no error here: what takes the exchange in refuses it.
    pub fn from_head(
        sent: LocalInstant,
        received: LocalInstant,
        head: &ResponseHead<'a>,
    ) -> Result<Self, Error> {
        let exchange = Self::from_parts_unchecked(sent, received, head.date()?);
        Ok(exchange.with_age(head.age()).with_server(head.server()).with_marks(head.marks()))
    }

    /// The request's first byte left no earlier than `sent`, and all of the header fields, given by name and value in the order in
    /// which they came, had come by `received`. The order shows who made the `Date` ([`server`](crate::server)): fields that the HTTP
    /// library has sorted by name cost accuracy, fields in an arbitrary order can make the bounds wrong.
    ///
    /// # Errors
    /// Those of [`ResponseHead::from_fields`] and of [`from_head`](Self::from_head).
    pub fn from_headers(
        sent: LocalInstant,
        received: LocalInstant,
        status: u16,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, Error> {
        Self::from_head(sent, received, &ResponseHead::from_fields(status, headers)?)
    }

    /// The request's first byte left no earlier than `sent`, the `Date` had come by `received`, and it said `date`. Of nothing else in
    /// the response: whoever calls this has seen to it that there is one `Date`, no status 408, and no `Age` that is not passed
    /// on ([`with_age`](Self::with_age)). For simulations, and for what has no response.
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
            response: Response::UNKNOWN,
            lag: None,
            handed_over: sent,
            sent_by_kernel: false,
            received_by_kernel: false,
        }
    }

    /// The response carried this `Age`.
    #[must_use]
    pub const fn with_age(mut self, age: Option<Duration>) -> Self {
        self.response.age = age;
        self
    }

    /// The response carried this `Server`. Of a front server's name alone it is not known whether it made the `Date`:
    /// see [`with_marks`](Self::with_marks) and [`with_lag`](Self::with_lag).
    #[must_use]
    pub fn with_server(mut self, server: impl Into<Option<&'a str>>) -> Self {
        self.response.server = server.into();
        self
    }

    /// The head of the response had these marks.
    #[must_use]
    pub const fn with_marks(mut self, marks: HeadMarks) -> Self {
        self.response.marks = marks;
        self
    }

    /// The server's lag is known, whatever the response shows.
    #[must_use]
    pub const fn with_lag(mut self, lag: Lag) -> Self {
        self.lag = Some(lag);
        self
    }

    /// The response was not the first one on its connection, and the connection goes to the server and not to a proxy. Otherwise it is
    /// taken for the first.
    #[must_use]
    pub const fn on_reused_connection(mut self) -> Self {
        self.response.is_kept = true;
        self
    }

    /// The path of the request ends without a file name extension, from which Apache guesses the type of a response that it passes on
    /// (and looks then as if it had made the `Date`). Otherwise it is taken for one with such an extension.
    #[must_use]
    pub const fn without_file_extension(mut self) -> Self {
        self.response.is_without_extension = true;
        self
    }

    /// The request was one that a front server answers by itself (`OPTIONS *`), so that the `Date` is its own. Otherwise it is taken
    /// for one that the front server can pass on.
    #[must_use]
    pub const fn answered_by_front(mut self) -> Self {
        self.response.is_by_front = true;
        self
    }

    /// The kernel saw the request leave at `sent` and the response come at `received`, where it says so; the times before
    /// were those of the process. What is later and what is earlier counts.
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

    /// When the request's first byte left, or a little before.
    #[must_use]
    pub const fn sent(&self) -> LocalInstant {
        self.sent
    }

    /// When the process handed the request to the system: at [`sent`](Self::sent), or before if the kernel saw it leave.
    #[must_use]
    pub const fn handed_over(&self) -> LocalInstant {
        self.handed_over
    }

    /// When the `Date` had come, or a little after.
    #[must_use]
    pub const fn received(&self) -> LocalInstant {
        self.received
    }

    /// The `Date`.
    #[must_use]
    pub const fn date(&self) -> Timestamp {
        self.date
    }

    /// The `Age`, if any.
    #[must_use]
    pub const fn age(&self) -> Option<Duration> {
        self.response.age
    }

    /// The `Server`, if any.
    #[must_use]
    pub const fn server(&self) -> Option<&'a str> {
        self.response.server
    }

    /// How late the `Date` may be: stated [`with_lag`](Self::with_lag), or [derived from the response](crate::server).
    #[must_use]
    pub fn lag(&self) -> Lag {
        self.lag.unwrap_or_else(|| Lag::of_response(&self.response))
    }

    /// Fails if the response was stored for longer than [`lag`](Self::lag) allows for.
    fn must_be_fresh(&self) -> Result<(), Error> {
        let age = self.age().filter(|age| !age.is_zero());
        if age.is_some() || self.response.is_stored() { Err(Error::Cached { age }) } else { Ok(()) }
    }

    /// Whether [`sent`](Self::sent) is the kernel's.
    #[must_use]
    pub const fn is_sent_by_kernel(&self) -> bool {
        self.sent_by_kernel
    }

    /// Whether [`received`](Self::received) is the kernel's.
    #[must_use]
    pub const fn is_received_by_kernel(&self) -> bool {
        self.received_by_kernel
    }
}

/// What one exchange proves about the offset.
///
/// The server stamped `date = ⌊s − λ⌋` when its clock showed `s`, late by its lag λ ∈ [0, Λ], at a local time
/// between `sent` and `received`. So
///
/// ```text
/// date − received  ≤  θ  <  date + 1 s + Λ − sent
/// ```
///
/// The left side holds whatever the lag is. (Marzullo's interval, as in RFC 5905, section 11.2.1, for a clock that
/// reads in whole seconds.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    sent: LocalInstant,
    received: LocalInstant,
    handover: Duration,
    date: Timestamp,
    lower: Offset,
    upper: Offset,
    lag: Lag,
}

impl Observation {
    /// Reduces an exchange, with the local wall clock as `cross_timestamp` has it and a server late by no more than `lag`.
    ///
    /// # Errors
    /// [`Error::Cached`] for a stored response (an `Age` above zero, or a cache that says that it had the response and does not say
    /// for how long); [`Error::ReceivedBeforeSent`] when the times run backwards.
    pub fn new(
        cross_timestamp: CrossTimestamp,
        exchange: &Exchange<'_>,
        lag: Lag,
    ) -> Result<Self, Error> {
        exchange.must_be_fresh()?;
        let Exchange { sent, received, date, .. } = *exchange;
        if received < sent {
            return Err(Error::ReceivedBeforeSent { by: sent.saturating_since(received) });
        }
        Ok(Self {
            sent,
            received,
            handover: sent.saturating_since(exchange.handed_over),
            date,
            lower: Offset::between(cross_timestamp.wall_at(received), date),
            upper: Offset::between(cross_timestamp.wall_at(sent), date)
                .saturating_add(Offset::from_nanos(NANOS_PER_SECOND)),
            lag,
        })
    }

    /// When the request's first byte left.
    #[must_use]
    pub const fn sent(&self) -> LocalInstant {
        self.sent
    }

    /// When the `Date` had come.
    #[must_use]
    pub const fn received(&self) -> LocalInstant {
        self.received
    }

    /// The `Date`.
    #[must_use]
    pub const fn date(&self) -> Timestamp {
        self.date
    }

    /// The lag allowed for.
    #[must_use]
    pub const fn lag(&self) -> Lag {
        self.lag
    }

    /// From `sent` to `received`.
    #[must_use]
    pub const fn round_trip(&self) -> Duration {
        self.received.saturating_since(self.sent)
    }

    /// From the request's being handed to the system to `sent`, where the kernel saw it leave; else nothing.
    #[must_use]
    pub const fn handover(&self) -> Duration {
        self.handover
    }

    /// `date − received`: the offset is no less, whatever the server's lag.
    #[must_use]
    pub const fn lower(&self) -> Offset {
        self.lower
    }

    /// `date + 1 s − sent`: the offset is less if the server has no lag.
    #[must_use]
    pub const fn upper_without_lag(&self) -> Offset {
        self.upper
    }

    /// `date + 1 s + Λ − sent`: the offset is less.
    #[must_use]
    pub fn upper(&self) -> Offset {
        self.upper.saturating_add(self.lag.allowance().into())
    }

    /// What the exchange proves: from [`lower`](Self::lower) to [`upper`](Self::upper).
    #[must_use]
    pub fn bounds(&self) -> Interval {
        Interval::between(self.lower, self.upper())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
