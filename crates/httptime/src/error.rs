//! The errors. Each has a name and the observed values.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::time::{Interval, Offset, Timestamp};

/// The phase of an exchange in which it failed.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Resolving the name.
    Resolve,
    /// Opening the TCP connection.
    Connect,
    /// Asking the proxy for a tunnel.
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

/// The reasons for which a measurement fails.
///
/// [`kind`](Self::kind) returns a stable name for programs. The message is for people and contains
/// the observed values. An error of the system is kept: [`io`](Self::io) and
/// [`source`](std::error::Error::source) return it. The message already contains its text.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The URL of a server or proxy is not valid.
    #[error("cannot use URL {url:?}: {reason}")]
    InvalidUrl {
        /// The URL without credentials.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A setting is out of range, or two settings contradict each other.
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
        /// The resolver's error. [`NotFound`](io::ErrorKind::NotFound) if no address has the
        /// requested family.
        source: IoError,
    },
    /// No address of the server or proxy accepted the connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// The last address that was tried. An address without a route is named only if none of
        /// them has one.
        address: SocketAddr,
        /// The system's error.
        source: IoError,
    },
    /// A deadline passed.
    #[error("timed out after {:?} while {phase}", rounded_for_display(*after))]
    Timeout {
        /// The operation that took too long.
        phase: Phase,
        /// The time limit.
        after: Duration,
    },
    /// The connection was closed before a complete response head was received.
    #[error("the server closed the connection after {received} bytes of a response")]
    Closed {
        /// The number of received bytes of the incomplete head.
        received: usize,
    },
    /// The connection broke, for example by a reset.
    #[error("connection broke while {phase}: {source}")]
    Io {
        /// The operation at that time.
        phase: Phase,
        /// The system's error.
        source: IoError,
    },
    /// The received data is not HTTP/1.
    #[error("the answer is not HTTP/1: it {looks_like}")]
    NotHttp {
        /// What the data looks like.
        looks_like: &'static str,
    },
    /// The response head violates the grammar of HTTP/1.
    #[error("malformed response head: {reason}")]
    MalformedHead {
        /// The parser's reason.
        reason: &'static str,
    },
    /// The response head is larger than [`http::MAX_HEAD_BYTES`](crate::http::MAX_HEAD_BYTES), or
    /// has more than [`http::MAX_HEADERS`](crate::http::MAX_HEADERS) fields.
    #[error("response head too large: more than {limit} {what}")]
    HeadTooLarge {
        /// The limit that was exceeded.
        limit: usize,
        /// The unit of the limit.
        what: &'static str,
    },
    /// There were too many interim (1xx) responses.
    #[error("more than {limit} interim (1xx) responses")]
    EndlessInterim {
        /// The number of interim responses that are accepted.
        limit: u32,
    },
    /// The response has no `Date`.
    #[error("the response (status {status}) has no Date")]
    NoDate {
        /// Its status code.
        status: u16,
    },
    /// The response has two different `Date` fields.
    #[error("the response has two different Dates: {first:?} and {second:?}")]
    ConflictingDates {
        /// The first one.
        first: String,
        /// A different one.
        second: String,
    },
    /// The `Date` has none of the three formats of RFC 9110, section 5.6.7.
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
    /// The `Date` is before the floor: the server's clock is wrong.
    #[error("implausible Date: {date} is before {floor}")]
    DateBeforeFloor {
        /// The date.
        date: Timestamp,
        /// The earliest date that is accepted.
        floor: Timestamp,
    },
    /// The response comes from a cache, so its `Date` is old.
    #[error("the response comes from a cache ({}), so its Date is old", age_text(*age))]
    Cached {
        /// The age according to the cache. `None` if the cache only reports that it had the
        /// response (`X-Cache: HIT` and similar).
        age: Option<Duration>,
    },
    /// The `Date` does not advance while the local clock does: a cached response, or a stopped
    /// clock.
    #[error("the server's Date stands still at {date}: {:?} have passed", rounded_for_display(*elapsed))]
    DateFrozen {
        /// The date in every response.
        date: Timestamp,
        /// The local time since the date was first received.
        elapsed: Duration,
    },
    /// The `Date` of a later response is before that of an earlier one.
    #[error("the server's Date went back from {from} to {to}")]
    DateWentBack {
        /// The later date, which was received first.
        from: Timestamp,
        /// The earlier date, which was received afterwards.
        to: Timestamp,
    },
    /// The responses contradict each other under the assumptions about lag and drift.
    #[error("the server's Dates contradict each other by {:?}", rounded_for_display(*gap))]
    Inconsistent {
        /// By how much the lower bound exceeds the upper one.
        gap: Duration,
    },
    /// The local wall clock was set during the measurement, or jumped when the machine woke.
    #[error(
        "the local clock was stepped by {by} s during the measurement: it was set, or the machine slept"
    )]
    ClockStepped {
        /// The step. Positive: forward.
        by: Offset,
    },
    /// Cross-timestamps and instants, or the cross-timestamps of several measurements, are not
    /// readings of the same clock.
    #[error("not one clock: {what} by {:?}; take all instants and cross-timestamps from one clock", rounded_for_display(*by))]
    ClockMismatch {
        /// The observation that shows it.
        what: &'static str,
        /// The difference.
        by: Duration,
    },
    /// The proxy did not open the tunnel, or did not reach the server.
    #[error("the proxy refused or failed with status {status}")]
    ProxyRefused {
        /// Its status code.
        status: u16,
    },
    /// The proxy requires credentials, or rejected the given ones (status 407).
    #[error("the proxy asks for credentials (status 407)")]
    ProxyCredentials,
    /// Too few servers agree: no more than half of those that answered, or fewer than
    /// `min_servers`.
    #[error(
        "no majority: {answered} of {configured} configured servers answered and {agreeing} {}",
        majority_shortfall(*agreeing, *min_servers)
    )]
    NoMajority {
        /// The number of configured servers.
        configured: usize,
        /// The number of servers that answered.
        answered: usize,
        /// The largest number of servers whose bounds have a common point.
        agreeing: usize,
        /// How many servers must answer and agree.
        min_servers: usize,
    },
    /// Two majorities agree on different times, and nothing shows which of them is right.
    #[error("two majorities disagree: one within {first}, one within {second}")]
    AmbiguousMajority {
        /// The common bounds of one of them.
        first: Interval,
        /// The common bounds of the other.
        second: Interval,
    },
    /// None of several servers could be measured.
    #[error("none of {servers} servers could be measured; the last error: {last}")]
    AllFailed {
        /// The number of servers.
        servers: usize,
        /// The error of the last one.
        last: Box<Error>,
    },
    /// The driver reported an exchange that was received before it was sent.
    #[error("the response was received {by:?} before the request was sent")]
    ReceivedBeforeSent {
        /// The difference.
        by: Duration,
    },
    /// The caller cancelled the measurement.
    #[error("cancelled")]
    Cancelled,
    /// Kernel timestamps were required ([`Timestamping::Kernel`](crate::Timestamping::Kernel)), and
    /// the kernel did not provide both timestamps of a response.
    #[error("the kernel did not say when the request left and the response came")]
    NoKernelTimestamps,
    /// The measurement was finished before any exchange had succeeded, or the time was over before
    /// the first request was due.
    #[error("nothing was measured")]
    NothingMeasured,
}

/// What the agreeing servers lack for a majority.
fn majority_shortfall(agreeing: usize, min_servers: usize) -> String {
    let agree = if agreeing == 1 { "agrees" } else { "agree" };
    if agreeing < min_servers {
        format!("{agree}; min_servers is {min_servers}")
    } else {
        format!("{agree}; more than half of those that answered must")
    }
}

/// A duration for people: in milliseconds, or finer if it is shorter.
fn rounded_for_display(duration: Duration) -> Duration {
    let millis = Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    if millis.is_zero() { duration } else { millis }
}

/// The age of a response according to its cache.
fn age_text(age: Option<Duration>) -> String {
    age.map_or("it says so, without an Age".to_owned(), |age| format!("Age: {} s", age.as_secs()))
}

impl Error {
    /// The stable name of the error: lower case, words joined by `_`. A name is never reused for
    /// another error.
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

    /// The underlying error of the system, if there is one.
    #[must_use]
    pub fn io(&self) -> Option<&IoError> {
        match self {
            Self::Resolve { source, .. }
            | Self::Connect { source, .. }
            | Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }

    /// Whether the address refused the connection: the machine answers, but no server listens on
    /// the port.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        match self {
            Self::Connect { source, .. } => source.kind() == io::ErrorKind::ConnectionRefused,
            _ => false,
        }
    }

    /// Whether a deadline passed, in any phase.
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
/// Two errors are equal if kind, number and text are equal. The text is the system's, without
/// Rust's "(os error 111)".
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

    /// The system's error number (`errno`), if the error comes from the system.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        self.0.raw_os_error()
    }
}

// `Error::source` must return the `io::Error` itself, to which callers downcast. For that,
// thiserror requires a type that dereferences to the source and is not an error itself.
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
        // The words "(os error" remain in a message that is not the system's.
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
