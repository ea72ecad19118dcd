//! The errors. Each has a name and the observed values.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::stamp::StampFault;
use crate::time::{Interval, Offset, Span, Timestamp};
use crate::tls::{Peer, TlsFault};

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
    /// The TLS handshake with the server or proxy.
    Handshake,
    /// Sending the request.
    Send,
    /// Waiting for the response head.
    Response,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "looking up the name",
            Self::Connect => "connecting",
            Self::Tunnel => "opening a tunnel through the proxy",
            Self::Handshake => "in the TLS handshake",
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
    #[error("invalid setting: {reason}")]
    InvalidConfig {
        /// What is wrong, with the value.
        reason: String,
    },
    /// The name of the server or proxy has no address.
    #[error("cannot resolve the name {host:?}: {source}{}", after_lookup(source))]
    Resolve {
        /// The name.
        host: String,
        /// The resolver's error. [`NotFound`](io::ErrorKind::NotFound) if no address has the
        /// requested family.
        source: IoError,
    },
    /// No address of the server or proxy accepted the connection.
    #[error("cannot connect to {address}: {source}{}", after_connect(source))]
    Connect {
        /// The last address that was tried. An address without a route is named only if none of
        /// them has one.
        address: SocketAddr,
        /// The system's error.
        source: IoError,
    },
    /// A deadline passed.
    #[error("timed out after {} while {phase}{}", Span::new(waited(*after)), after_timeout(*phase))]
    Timeout {
        /// The operation that took too long.
        phase: Phase,
        /// The time limit.
        after: Duration,
    },
    /// The connection was closed before a complete response head was received.
    #[error("{}", closed(*received))]
    Closed {
        /// The number of received bytes of the incomplete head.
        received: usize,
    },
    /// The connection broke, for example by a reset.
    #[error(
        "the connection broke while {phase}: {source}; if it happens again, a firewall on the \
         path or the server resets connections"
    )]
    Io {
        /// The operation at that time.
        phase: Phase,
        /// The system's error.
        source: IoError,
    },
    /// The URL of a server or proxy begins with `https`, but nothing provides TLS.
    #[error(
        "cannot use {url}: built without HTTPS; use http://, or a build (in a library: a client) \
         that has TLS"
    )]
    NoHttps {
        /// The URL without credentials.
        url: String,
    },
    /// The TLS connection to the server or proxy was refused.
    #[error("{}", fault.message(*peer))]
    Tls {
        /// The other end.
        peer: Peer,
        /// The reason.
        fault: TlsFault,
    },
    /// The received data is not HTTP/1.
    #[error(
        "the answer is not HTTP/1: it {looks_like}; check the scheme (http or https) and the port \
         of the URL"
    )]
    NotHttp {
        /// What the data looks like.
        looks_like: &'static str,
    },
    /// The response head violates the grammar of HTTP/1.
    #[error("the response head is malformed: {reason}; check the port, or use another server")]
    MalformedHead {
        /// The parser's reason.
        reason: &'static str,
    },
    /// The response head is larger than [`http::MAX_HEAD_BYTES`](crate::http::MAX_HEAD_BYTES), or
    /// has more than [`http::MAX_HEADERS`](crate::http::MAX_HEADERS) fields.
    #[error("the response head has more than {limit} {what}; use another path or another server")]
    HeadTooLarge {
        /// The limit that was exceeded.
        limit: usize,
        /// The unit of the limit.
        what: &'static str,
    },
    /// There were too many interim (1xx) responses.
    #[error(
        "the server sent more than {limit} interim (1xx) responses and no final one; use another \
         server"
    )]
    EndlessInterim {
        /// The number of interim responses that are accepted.
        limit: u32,
    },
    /// The response has no `Date`.
    #[error(
        "the response (status {status}) has no Date header; use another path, method or server"
    )]
    NoDate {
        /// Its status code.
        status: u16,
    },
    /// The response has two different `Date` fields.
    #[error(
        "the response has two Date headers that differ: {first:?} and {second:?}; use another \
         server, or none of the proxies on the path"
    )]
    ConflictingDates {
        /// The first one.
        first: String,
        /// A different one.
        second: String,
    },
    /// The `Date` has none of the three formats of RFC 9110, section 5.6.7.
    #[error("the Date header is not an HTTP date: {value:?}; use another server")]
    MalformedDate {
        /// The field's value.
        value: String,
    },
    /// The `Date` is outside 1678–2262.
    #[error(
        "the Date header is outside the years 1678 to 2262: {value:?}; correct the server's clock \
         or use another server"
    )]
    DateOutOfRange {
        /// The field's value.
        value: String,
    },
    /// The `Date` is before the floor: the server's clock is wrong.
    #[error(
        "the server's Date is {date}, but no date before {floor} is accepted; correct the \
         server's clock or use another server"
    )]
    DateBeforeFloor {
        /// The date.
        date: Timestamp,
        /// The earliest date that is accepted.
        floor: Timestamp,
    },
    /// The response comes from a cache, so its `Date` is old.
    #[error(
        "the response comes from a cache ({}), so its Date is old; use a path that is not cached, \
         or a tunnel through the proxy",
        age_text(*age)
    )]
    Cached {
        /// The age according to the cache. `None` if the cache only reports that it had the
        /// response (`X-Cache: HIT` and similar).
        age: Option<Duration>,
    },
    /// The `Date` does not advance while the local clock does: a cached response, or a stopped
    /// clock.
    #[error(
        "the server's Date stays at {date} although {} passed here: the server's clock stands \
         still, or a cache answers; use another path or another server",
        Span::new(*elapsed)
    )]
    DateFrozen {
        /// The date in every response.
        date: Timestamp,
        /// The local time since the date was first received.
        elapsed: Duration,
    },
    /// The `Date` of a later response is before that of an earlier one.
    #[error(
        "the server's Date went back from {from} to {to}: its clock was set, or several \
         servers share the name; use the address of one server"
    )]
    DateWentBack {
        /// The later date, which was received first.
        from: Timestamp,
        /// The earlier date, which was received afterwards.
        to: Timestamp,
    },
    /// The server's stamps cannot be used, and there are no `Date`s to use instead: a response had
    /// none, or the stamps contradicted each other late in the measurement.
    #[error(
        "the server's stamp cannot be used: {fault}; correct the line in the server's \
         configuration, or measure without stamps"
    )]
    StampRejected {
        /// The reason.
        fault: StampFault,
    },
    /// The responses contradict each other under the assumptions about lag and drift.
    #[error(
        "the server's Dates contradict each other by {}: its lag or drift is larger than assumed, \
         or several servers share the name; allow more lag, or use another server",
        Span::new(*gap)
    )]
    Inconsistent {
        /// By how much the lower bound exceeds the upper one.
        gap: Duration,
    },
    /// The local wall clock was set during the measurement, or jumped when the machine woke.
    #[error(
        "the local clock was stepped by {by:.3} s during the measurement: it was set, or the \
         machine slept; measure again"
    )]
    ClockStepped {
        /// The step. Positive: forward.
        by: Offset,
    },
    /// Cross-timestamps and instants, or the cross-timestamps of several measurements, are not
    /// readings of the same clock.
    #[error(
        "the times come from different clocks: {what} by {}; take all instants and \
         cross-timestamps from one clock",
        Span::new(*by)
    )]
    ClockMismatch {
        /// The observation that shows it.
        what: &'static str,
        /// The difference.
        by: Duration,
    },
    /// The proxy did not open the tunnel, or did not reach the server.
    #[error("the proxy answered with status {status}: {}", proxy_trouble(*status))]
    ProxyRefused {
        /// Its status code.
        status: u16,
    },
    /// The proxy requires credentials, or rejected the given ones (status 407).
    #[error(
        "the proxy wants a valid user name and password (status 407); give them in its URL: \
         http://user:password@host:port"
    )]
    ProxyCredentials,
    /// The proxy requires a scheme of authentication that this library does not have (status 407).
    #[error(
        "the proxy wants {scheme} (status 407), and only Basic is supported; use a local proxy \
         that has {scheme}, such as px or cntlm, or another proxy"
    )]
    ProxyScheme {
        /// The first scheme that it offers.
        scheme: &'static str,
    },
    /// The SOCKS5 proxy did not open the connection to the server.
    #[error("the SOCKS5 proxy {reason}")]
    Socks {
        /// What it answered, and what to do.
        reason: &'static str,
    },
    /// The server, or someone on the path, refuses `HEAD`, and `GET` gave no result
    /// ([`Method::Auto`](crate::Method::Auto)).
    #[error(
        "HEAD is refused with status {status}; set the method to get, or use another path of the \
         server"
    )]
    MethodRefused {
        /// The status code: 405 or 501.
        status: u16,
    },
    /// The response does not have the only status that the caller accepts
    /// ([`expect_status`](crate::ConfigBuilder::expect_status)).
    #[error(
        "the response has status {status}, not {expected}: a captive portal or a proxy may have \
         answered; correct the URL or the expected status, or use another path to the server"
    )]
    UnexpectedStatus {
        /// Its status code.
        status: u16,
        /// The one that is accepted.
        expected: u16,
    },
    /// Too few servers agree: no more than half of those that answered, or fewer than
    /// `min_servers`.
    #[error(
        "no majority: {answered} of {configured} servers answered and {agreeing} {}",
        majority_shortfall(*answered, *agreeing, *min_servers)
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
    #[error(
        "two majorities disagree: one has the offset within {first:.6} s, one within {second:.6} \
         s; add servers, or remove the wrong ones"
    )]
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
    #[error(
        "the response was received {} before the request was sent; check the times that the \
         caller gives",
        Span::new(*by)
    )]
    ReceivedBeforeSent {
        /// The difference.
        by: Duration,
    },
    /// The caller cancelled the measurement.
    #[error("the measurement was cancelled")]
    Cancelled,
    /// Kernel timestamps were required ([`Timestamping::Kernel`](crate::Timestamping::Kernel)), and
    /// the kernel did not provide both timestamps of a response.
    #[error(
        "the kernel gave no timestamps for the request and its response; use timestamps auto or \
         user"
    )]
    NoKernelTimestamps,
    /// The measurement was finished before any exchange had succeeded, or the time was over before
    /// the first request was due.
    #[error(
        "nothing was measured: the time was over before a response came; allow a longer duration"
    )]
    NothingMeasured,
}

/// What the agreeing servers lack for a majority.
fn majority_shortfall(answered: usize, agreeing: usize, min_servers: usize) -> String {
    let agree = if agreeing == 1 { "agrees" } else { "agree" };
    let rule = if agreeing < min_servers {
        format!("min_servers is {min_servers}")
    } else {
        "more than half of those that answered must".to_owned()
    };
    let remedy = if agreeing < answered { "; add servers, or remove the wrong ones" } else { "" };
    format!("{agree}; {rule}{remedy}")
}

/// What to do about a name that the resolver does not find. A resolver that lacks resources is
/// another matter, and an address of the wrong family is named by the source.
fn after_lookup(source: &IoError) -> &'static str {
    match (source.kind(), source.raw_os_error()) {
        (io::ErrorKind::NotFound, _) => "; allow the other family, or use another name",
        (_, None) => "; check the spelling and this machine's DNS, or use an address",
        _ => "",
    }
}

/// What to do about a connection that was not made.
fn after_connect(source: &IoError) -> &'static str {
    match source.kind() {
        io::ErrorKind::ConnectionRefused => {
            "; nothing listens on this port, or a firewall rejects it"
        }
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            "; check this machine's routes and the address"
        }
        io::ErrorKind::AddrNotAvailable => "; the source address is not one of this machine's",
        io::ErrorKind::TimedOut => "; check address and port, and the firewalls on the path",
        io::ErrorKind::PermissionDenied => {
            "; a local firewall, a sandbox or missing privileges forbid it"
        }
        // EAFNOSUPPORT, which has no kind either.
        _ if source.raw_os_error() == Some(97) => {
            "; this machine has no IPv6 (or no IPv4), or the source address is of the other family"
        }
        // ENODEV, which has no kind.
        _ if source.raw_os_error() == Some(19) => "; this machine has no such network interface",
        _ => "",
    }
}

/// How long was waited, to the tenth of a second: a busy machine notices a deadline some
/// milliseconds late.
fn waited(after: Duration) -> Duration {
    let late = if after < Duration::from_secs(1) { 0 } else { after.subsec_nanos() % 100_000_000 };
    after - Duration::from_nanos(late.into())
}

/// What to do about a deadline that passed.
const fn after_timeout(phase: Phase) -> &'static str {
    match phase {
        Phase::Resolve => "; check this machine's DNS, or use an address",
        Phase::Connect => "; check address and port, and the firewalls on the path",
        Phase::Tunnel => "; check that the proxy reaches the server",
        Phase::Handshake => "; check that the port speaks HTTPS",
        Phase::Send => {
            "; the other end does not read: check the scheme (http or https) and the port of the \
             URL"
        }
        Phase::Response => {
            "; no complete response head came: check the scheme (http or https) and the port of \
             the URL, or allow a longer timeout"
        }
    }
}

fn closed(received: usize) -> String {
    let after = match received {
        0 => "without a response".to_owned(),
        _ => format!("after {received} bytes of a response head"),
    };
    format!(
        "the server closed the connection {after}; check the scheme (http or https) and the port \
         of the URL"
    )
}

/// What the status of a proxy's own response means.
const fn proxy_trouble(status: u16) -> &'static str {
    match status {
        502..=504 => {
            "it cannot reach the server; check the server's URL, or ask the proxy's operator"
        }
        400 | 405 | 501 => "it does not support this request; use another method or a tunnel",
        403 => {
            "it does not allow this server or port (squid allows a tunnel to port 443 only); ask \
             the proxy's operator"
        }
        _ => "it does not allow this server or port; ask the proxy's operator",
    }
}

/// The age of a response according to its cache.
fn age_text(age: Option<Duration>) -> String {
    age.map_or("marked as a hit".to_owned(), |age| format!("Age: {} s", age.as_secs()))
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
            Self::Timeout { phase: Phase::Handshake, .. } => "timeout_handshake",
            Self::Timeout { phase: Phase::Send, .. } => "timeout_send",
            Self::Timeout { phase: Phase::Response, .. } => "timeout_response",
            Self::Closed { received: 0 } => "empty_reply",
            Self::Closed { .. } => "closed_early",
            Self::Io { .. } => "connection_broke",
            Self::NoHttps { .. } => "no_https",
            Self::Tls { fault, .. } => fault.kind(),
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
            Self::StampRejected { .. } => "stamp_rejected",
            Self::Inconsistent { .. } => "inconsistent",
            Self::ClockStepped { .. } => "clock_stepped",
            Self::ClockMismatch { .. } => "clock_mismatch",
            Self::ProxyRefused { .. } => "proxy_refused",
            Self::ProxyCredentials => "proxy_credentials",
            Self::ProxyScheme { .. } => "proxy_scheme",
            Self::Socks { .. } => "socks",
            Self::MethodRefused { .. } => "method_refused",
            Self::UnexpectedStatus { .. } => "unexpected_status",
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

    /// Whether the response to another method may not have this error.
    pub(crate) const fn may_depend_on_method(&self) -> bool {
        matches!(self, Self::NoDate { .. } | Self::MethodRefused { .. })
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

impl From<&io::Error> for IoError {
    /// With the same number, or else the same kind and text.
    fn from(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(number) => io::Error::from_raw_os_error(number).into(),
            None => io::Error::new(error.kind(), error.to_string()).into(),
        }
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
        let errno = match () {
            () if cfg!(target_os = "linux") => 111,
            () if cfg!(windows) => 10_061,
            () => 61,
        };
        io::Error::from_raw_os_error(errno)
    }

    #[test]
    fn an_io_error_keeps_kind_number_and_text() {
        let error =
            Error::Connect { address: ([192, 0, 2, 1], 80).into(), source: refused().into() };
        assert_eq!(
            error.to_string(),
            format!(
                "cannot connect to 192.0.2.1:80: {}; nothing listens on this port, or a firewall \
                 rejects it",
                IoError::from(refused())
            )
        );
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
        let after = Duration::from_nanos(1_010_045_614);
        let error = Error::Timeout { phase: Phase::Connect, after };
        assert!(error.to_string().starts_with("timed out after 1 s while "), "{error}");
        let gap = Error::Inconsistent { gap: Duration::from_nanos(250) };
        assert!(gap.to_string().contains(" by 250 ns: "), "{gap}");
    }

    #[test]
    fn only_a_refused_connection_is_refused() {
        let source = IoError::from(io::ErrorKind::ConnectionRefused);
        let broke = Error::Io { phase: Phase::Send, source };
        assert_eq!((broke.kind(), broke.is_refused()), ("connection_broke", false));
    }
}
