//! What can go wrong, each with a name and the values seen.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::time::{Interval, Offset, Timestamp};

/// Where an exchange was when something ended it.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Turning a name into addresses.
    Resolve,
    /// Opening the TCP connection.
    Connect,
    /// Asking a proxy for a tunnel.
    Tunnel,
    /// Sending the request.
    Send,
    /// Waiting for the response head.
    Response,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolving the name",
            Self::Connect => "connecting",
            Self::Tunnel => "waiting for the proxy's tunnel",
            Self::Send => "sending the request",
            Self::Response => "waiting for the response",
        })
    }
}

/// Everything that keeps a measurement from succeeding.
///
/// [`kind`](Self::kind) gives each a stable name for machines; the message is for people and carries the values. What the
/// system reported is kept as it is: [`io`](Self::io) and [`source`](std::error::Error::source) give it. The message
/// contains its text already.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The URL of a server or proxy cannot be used.
    #[error("cannot use URL {url:?}: {reason}")]
    InvalidUrl {
        /// The URL as given, without any password.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A setting is out of its range, or two contradict each other.
    #[error("invalid configuration: {reason}")]
    InvalidConfig {
        /// What is wrong, with the value.
        reason: String,
    },
    /// The name of the server or proxy has no address.
    #[error("cannot resolve {host:?}: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// The resolver's error; [`NotFound`](io::ErrorKind::NotFound) if no address is of the family.
        source: IoError,
    },
    /// No address of the server or proxy took the connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// The address tried last; one to which there was no way only if there was a way to none.
        address: SocketAddr,
        /// The system's error.
        source: IoError,
    },
    /// Nothing happened for too long.
    #[error("timed out after {:?} while {phase}", readable(*after))]
    Timeout {
        /// What was waited for.
        phase: Phase,
        /// How long.
        after: Duration,
    },
    /// The connection was closed before a whole response head had come.
    #[error("the server closed the connection after {received} bytes of a response")]
    Closed {
        /// Bytes of the unfinished head.
        received: usize,
    },
    /// The connection broke (a reset, for instance).
    #[error("connection broke while {phase}: {source}")]
    Io {
        /// What was going on.
        phase: Phase,
        /// The system's error.
        source: IoError,
    },
    /// What came back is not HTTP/1.
    #[error("the answer is not HTTP/1: it {looks_like}")]
    NotHttp {
        /// What it looks like instead.
        looks_like: &'static str,
    },
    /// The response head breaks the grammar of HTTP/1.
    #[error("malformed response head: {reason}")]
    MalformedHead {
        /// What the parser objected to.
        reason: &'static str,
    },
    /// The response head is larger than [`http::MAX_HEAD_BYTES`](crate::http::MAX_HEAD_BYTES) or has more than
    /// [`http::MAX_HEADERS`](crate::http::MAX_HEADERS) fields.
    #[error("response head too large: more than {limit} {what}")]
    HeadTooLarge {
        /// The limit that was passed.
        limit: usize,
        /// What it counts.
        what: &'static str,
    },
    /// Interim (1xx) responses came without end.
    #[error("more than {limit} interim (1xx) responses")]
    EndlessInterim {
        /// How many are put up with.
        limit: u32,
    },
    /// The response has no `Date`.
    #[error("the response (status {status}) has no Date")]
    NoDate {
        /// Its status code.
        status: u16,
    },
    /// The response has two `Date`s that differ.
    #[error("the response has two different Dates: {first:?} and {second:?}")]
    ConflictingDates {
        /// The first one.
        first: String,
        /// One that differs from it.
        second: String,
    },
    /// The `Date` is in none of the three forms of RFC 9110, section 5.6.7.
    #[error("malformed Date: {value:?}")]
    MalformedDate {
        /// The field's value.
        value: String,
    },
    /// The `Date` is outside 1678–2262.
    #[error("Date out of range: {value:?}")]
    DateOutOfRange {
        /// The field's value.
        value: String,
    },
    /// The `Date` is before the floor: no correct clock shows it.
    #[error("implausible Date: {date} is before {floor}")]
    DateBeforeFloor {
        /// The date.
        date: Timestamp,
        /// The earliest one taken for possible.
        floor: Timestamp,
    },
    /// The response came out of a cache, which stamped nothing.
    #[error("the response comes from a cache ({}), so its Date is old", said(*age))]
    Cached {
        /// How old the cache says it is; `None` when it only says that it had the response (`X-Cache: HIT` and the like).
        age: Option<Duration>,
    },
    /// The `Date` stands still while the local clock goes on: a cached response, or a stopped clock.
    #[error("the server's Date stands still at {date}: {:?} have passed", readable(*elapsed))]
    DateFrozen {
        /// The date in every response.
        date: Timestamp,
        /// Local time passed since it was first seen.
        elapsed: Duration,
    },
    /// The `Date` of a later response is before that of an earlier one.
    #[error("the server's Date went back from {from} to {to}")]
    DateWentBack {
        /// The later date, seen earlier.
        from: Timestamp,
        /// The earlier date, seen later.
        to: Timestamp,
    },
    /// The responses contradict each other under the stated assumptions about lag and drift.
    #[error("the server's Dates contradict each other by {:?}", readable(*gap))]
    Inconsistent {
        /// By how much the lower bound lies above the upper one.
        gap: Duration,
    },
    /// The local clock was set during the measurement, or jumped when the machine woke.
    #[error(
        "the local clock was stepped by {by} s during the measurement: it was set, or the machine slept"
    )]
    ClockStepped {
        /// By how much, forward positive.
        by: Offset,
    },
    /// Cross-timestamps and instants, or the cross-timestamps of several measurements, are not readings of one clock.
    #[error("not one clock: {what} by {:?}; take all instants and cross-timestamps from one clock", readable(*by))]
    ClockMismatch {
        /// What shows it.
        what: &'static str,
        /// By how much.
        by: Duration,
    },
    /// The proxy did not open the tunnel, or did not get through to the server.
    #[error("the proxy refused or failed with status {status}")]
    ProxyRefused {
        /// Its status code.
        status: u16,
    },
    /// The proxy wants other credentials, or some at all (407).
    #[error("the proxy asks for credentials (status 407)")]
    ProxyCredentials,
    /// Too few of the servers agree: no more than half of those that answered, or fewer than `min_servers`.
    #[error(
        "no majority: {answered} of {configured} configured servers answered and {agreeing} {}",
        lacking(*agreeing, *min_servers)
    )]
    NoMajority {
        /// How many were to be asked.
        configured: usize,
        /// How many gave an answer.
        answered: usize,
        /// The most whose bounds have a point in common.
        agreeing: usize,
        /// How many must answer and agree.
        min_servers: usize,
    },
    /// Two majorities agree on different times; which of them is right cannot be told.
    #[error("two majorities disagree: one within {first}, one within {second}")]
    AmbiguousMajority {
        /// Common bounds of one.
        first: Interval,
        /// Common bounds of another.
        second: Interval,
    },
    /// None of several servers could be measured.
    #[error("none of {servers} servers could be measured; the last error: {last}")]
    AllFailed {
        /// How many were asked.
        servers: usize,
        /// What the last one failed with.
        last: Box<Error>,
    },
    /// An exchange was handed in whose times run backwards.
    #[error("the response was received {by:?} before the request was sent")]
    ReceivedBeforeSent {
        /// By how much.
        by: Duration,
    },
    /// The caller ended the measurement.
    #[error("cancelled")]
    Cancelled,
    /// Only the kernel's times were wanted ([`Timestamping::Kernel`](crate::Timestamping::Kernel)), and it did not give both of
    /// a response's.
    #[error("the kernel did not say when the request left and the response came")]
    NoKernelTimestamps,
    /// The measurement was finished before any exchange had succeeded, or its time was over before the first request was due.
    #[error("nothing was measured")]
    NothingMeasured,
}

/// What keeps servers that agree from being a majority.
fn lacking(agreeing: usize, min_servers: usize) -> String {
    let agree = if agreeing == 1 { "agrees" } else { "agree" };
    if agreeing < min_servers {
        format!("{agree}; min_servers is {min_servers}")
    } else {
        format!("{agree}; more than half of those that answered must")
    }
}

/// A duration to show to people: milliseconds, or less if that is all there is.
fn readable(duration: Duration) -> Duration {
    let millis = Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    if millis.is_zero() { duration } else { millis }
}

/// What a cache says of the age of a response.
fn said(age: Option<Duration>) -> String {
    age.map_or("it says so, without an Age".to_owned(), |age| format!("Age: {} s", age.as_secs()))
}

impl Error {
    /// The stable name of the error: lower case, words joined by `_`. Names are never reused for something else.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::InvalidUrl { .. } => "invalid_url",
            Self::InvalidConfig { .. } => "invalid_config",
            Self::Resolve { .. } => "resolve",
            Self::Connect { .. } if self.is_refused() => "connection_refused",
            Self::Connect { .. } => "connect",
            Self::Timeout { phase: Phase::Resolve, .. } => "timeout_resolve",
            Self::Timeout { phase: Phase::Connect, .. } => "timeout_connect",
            Self::Timeout { phase: Phase::Tunnel, .. } => "timeout_tunnel",
            Self::Timeout { phase: Phase::Send, .. } => "timeout_send",
            Self::Timeout { phase: Phase::Response, .. } => "timeout_response",
            Self::Closed { received: 0 } => "empty_reply",
            Self::Closed { .. } => "closed_early",
            Self::Io { .. } => "connection_broke",
            Self::NotHttp { .. } => "not_http",
            Self::MalformedHead { .. } => "malformed_head",
            Self::HeadTooLarge { .. } => "head_too_large",
            Self::EndlessInterim { .. } => "endless_interim",
            Self::NoDate { .. } => "no_date",
            Self::ConflictingDates { .. } => "conflicting_dates",
            Self::MalformedDate { .. } => "malformed_date",
            Self::DateOutOfRange { .. } => "date_out_of_range",
            Self::DateBeforeFloor { .. } => "date_before_floor",
            Self::Cached { .. } => "cached",
            Self::DateFrozen { .. } => "date_frozen",
            Self::DateWentBack { .. } => "date_went_back",
            Self::Inconsistent { .. } => "inconsistent",
            Self::ClockStepped { .. } => "clock_stepped",
            Self::ClockMismatch { .. } => "clock_mismatch",
            Self::ProxyRefused { .. } => "proxy_refused",
            Self::ProxyCredentials => "proxy_credentials",
            Self::NoMajority { .. } => "no_majority",
            Self::AmbiguousMajority { .. } => "ambiguous_majority",
            Self::AllFailed { .. } => "all_failed",
            Self::ReceivedBeforeSent { .. } => "received_before_sent",
            Self::Cancelled => "cancelled",
            Self::NoKernelTimestamps => "no_kernel_timestamps",
            Self::NothingMeasured => "nothing_measured",
        }
    }

    /// The system's error, where one is behind this.
    #[must_use]
    pub fn io(&self) -> Option<&IoError> {
        match self {
            Self::Resolve { source, .. }
            | Self::Connect { source, .. }
            | Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }

    /// Whether the address refused the connection: the machine answers, and no server listens on the port.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Connect { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused)
    }

    /// Whether a deadline passed, whatever was waited for.
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }

    /// Whether the caller cancelled.
    #[must_use]
    pub const fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }
}

/// An [`io::Error`] that can be cloned and compared.
///
/// Two are equal if kind, number and text are. The text is the system's, without Rust's "(os error 111)".
///
/// ```
/// use std::io::{Error, ErrorKind};
///
/// use httptime::IoError;
///
/// let reset = IoError::from(Error::from_raw_os_error(104));
/// assert_eq!(reset.raw_os_error(), Some(104));
/// # #[cfg(target_os = "linux")]
/// assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
/// # #[cfg(target_os = "linux")]
/// assert_eq!(reset.to_string(), "connection reset by peer");
/// ```
#[derive(Debug, Clone)]
pub struct IoError(Arc<io::Error>);

impl IoError {
    /// The portable kind.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.0.kind()
    }

    /// The system's number (`errno`), if the system reported it.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        self.0.raw_os_error()
    }
}

// `Error::source` shall give the `io::Error` itself, which callers downcast to. For that thiserror wants a type that
// derefs to the source and is no error by itself.
impl Deref for IoError {
    type Target = io::Error;

    fn deref(&self) -> &io::Error {
        &self.0
    }
}

impl From<io::Error> for IoError {
    fn from(error: io::Error) -> Self {
        Self(Arc::new(error))
    }
}

impl From<io::ErrorKind> for IoError {
    fn from(kind: io::ErrorKind) -> Self {
        io::Error::from(kind).into()
    }
}

impl PartialEq for IoError {
    fn eq(&self, other: &Self) -> bool {
        let key = |error: &Self| (error.kind(), error.raw_os_error(), error.to_string());
        Arc::ptr_eq(&self.0, &other.0) || key(self) == key(other)
    }
}

impl Eq for IoError {}

impl fmt::Display for IoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let system = self.raw_os_error().map(|number| format!(" (os error {number})"));
        match system.and_then(|suffix| text.strip_suffix(&suffix)) {
            Some(words) => f.write_str(&words.to_lowercase()),
            None => f.write_str(&text),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn refused() -> io::Error {
        let errno = if cfg!(target_os = "linux") { 111 } else { 61 };
        io::Error::from_raw_os_error(errno)
    }

    #[test]
    fn an_io_error_keeps_kind_number_and_text() {
        let error =
            Error::Connect { address: ([192, 0, 2, 1], 80).into(), source: refused().into() };
        assert_eq!(error.to_string(), "cannot connect to 192.0.2.1:80: connection refused");
        assert_eq!((error.kind(), error.is_refused()), ("connection_refused", true));
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.and_then(io::Error::raw_os_error), refused().raw_os_error());
        assert_eq!(error.io().map(|io| io.kind()), Some(io::ErrorKind::ConnectionRefused));
        assert_eq!(error.clone(), error);
    }

    #[test]
    fn io_errors_differ_by_kind_number_or_text() {
        let of = |text: &str| IoError::from(io::Error::other(text));
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
        assert_ne!(IoError::from(refused()), IoError::from(io::ErrorKind::ConnectionRefused));
        // The words "(os error" in a message that is not the system's stay.
        assert_eq!(of("A (os error 5)").to_string(), "A (os error 5)");
    }

    #[test]
    fn messages_show_no_nanoseconds_where_milliseconds_matter() {
        let after = Duration::from_nanos(1_000_045_614);
        let error = Error::Timeout { phase: Phase::Connect, after };
        assert!(error.to_string().starts_with("timed out after 1s while "), "{error}");
        let gap = Error::Inconsistent { gap: Duration::from_nanos(250) };
        assert!(gap.to_string().ends_with(" by 250ns"), "{gap}");
    }

    #[test]
    fn only_a_refused_connection_is_refused() {
        let source = IoError::from(io::ErrorKind::ConnectionRefused);
        let broke = Error::Io { phase: Phase::Send, source };
        assert_eq!((broke.kind(), broke.is_refused()), ("connection_broke", false));
    }
}
