//! The result of a measurement.

use std::fmt;
use std::time::Duration;

use crate::agreement::Agreement;
use crate::error::Error;
use crate::estimate::Estimate;
use crate::method::Method;
use crate::server::{Lag, LagSource};
use crate::stamp::StampUse;
use crate::time::{CrossTimestamp, Interval, LocalInstant, Offset, Timestamp};
use crate::tls::CertificateCheck;

/// The assumptions on which the bounds of a measurement depend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assumptions {
    pub(crate) lag: Lag,
    pub(crate) drift_ppm: u32,
    pub(crate) min_servers: usize,
    pub(crate) certificates: Option<CertificateCheck>,
    pub(crate) proxy_certificates: Option<CertificateCheck>,
}

impl Assumptions {
    /// The limit of the server's lag (Λ): its `Date` is late by at most this. It is included in the
    /// upper bound.
    #[must_use]
    pub const fn lag(&self) -> Duration {
        self.lag.allowance()
    }

    /// The source of the limit of the lag.
    #[must_use]
    pub const fn lag_source(&self) -> LagSource {
        self.lag.source()
    }

    /// The number of caches for which [`CACHE_LAG`](crate::server::CACHE_LAG) is included.
    #[must_use]
    pub const fn caches(&self) -> u8 {
        self.lag.caches()
    }

    /// The limit of the frequency difference of the two clocks (ρ), in parts per million.
    #[must_use]
    pub const fn drift_ppm(&self) -> u32 {
        self.drift_ppm
    }

    /// How the certificates of the server were checked. `None` for plain HTTP, and if one of
    /// several servers has it. For several servers the check that proves least.
    #[must_use]
    pub const fn certificates(&self) -> Option<CertificateCheck> {
        self.certificates
    }

    /// How the certificates of the proxy were checked. `None` without a proxy, and for one that is
    /// reached over plain HTTP.
    #[must_use]
    pub const fn proxy_certificates(&self) -> Option<CertificateCheck> {
        self.proxy_certificates
    }

    /// How many servers had to answer and agree: 1 for a measurement of one server. With several,
    /// the bounds of more than half of those that answered must hold.
    #[must_use]
    pub const fn min_servers(&self) -> usize {
        self.min_servers
    }
}

/// The reason why a measurement ended.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// The target standard deviation was reached.
    Target,
    /// According to the schedule, more requests would not help.
    Enough,
    /// The limit of requests was reached.
    Requests,
    /// The time limit was reached.
    Duration,
    /// The server became unreachable. Its earlier responses are used.
    Lost(Error),
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target => f.write_str("target reached"),
            Self::Enough => f.write_str("more requests would not help"),
            Self::Requests => f.write_str("requests used up"),
            Self::Duration => f.write_str("time used up"),
            Self::Lost(error) => write!(f, "server lost: {error}"),
        }
    }
}

/// The offset of the local clock from a server's, with the bounds that contain it under the stated
/// [`Assumptions`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measurement {
    pub(crate) estimate: Estimate,
    pub(crate) bounds: Interval,
    pub(crate) requests: u32,
    pub(crate) observations: u32,
    pub(crate) checks: u32,
    pub(crate) date_advanced: bool,
    pub(crate) stamp: Option<StampUse>,
    pub(crate) sent_by_kernel: u32,
    pub(crate) received_by_kernel: u32,
    pub(crate) started: LocalInstant,
    pub(crate) at: LocalInstant,
    /// The local clocks at the beginning.
    pub(crate) begun: CrossTimestamp,
    pub(crate) round_trip_min: Duration,
    /// Three quarters of the latest 64 round trips are no longer than this.
    pub(crate) round_trip_quartile: Duration,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) assumptions: Assumptions,
    pub(crate) agreement: Agreement,
    pub(crate) server: Option<String>,
    /// `None` if a driver other than a session sent the requests, and for servers with different
    /// methods.
    pub(crate) method: Option<Method>,
    pub(crate) http_status: Option<u16>,
    pub(crate) end_reason: EndReason,
}

impl Measurement {
    /// The best single offset: server clock − local clock, positive when the local clock is slow.
    #[must_use]
    pub const fn offset(&self) -> Offset {
        self.estimate.offset()
    }

    /// The standard deviation of the offset's error, if the server's lag is small and the forward
    /// and return paths are equal. It is not a bound.
    #[must_use]
    pub const fn stddev(&self) -> Duration {
        self.estimate.stddev()
    }

    /// Offset and standard deviation together.
    #[must_use]
    pub const fn estimate(&self) -> Estimate {
        self.estimate
    }

    /// The bounds: they contain the true offset if the [`assumptions`](Self::assumptions) are true.
    #[must_use]
    pub const fn bounds(&self) -> Interval {
        self.bounds
    }

    /// Requests sent, with or without a response.
    #[must_use]
    pub const fn requests(&self) -> u32 {
        self.requests
    }

    /// Responses used.
    #[must_use]
    pub const fn observations(&self) -> u32 {
        self.observations
    }

    /// How many of the [`requests`](Self::requests) were checks, whose response could be predicted.
    #[must_use]
    pub const fn checks(&self) -> u32 {
        self.checks
    }

    /// Whether the `Date`, or the stamp that was used, was seen to advance. If not, it may come
    /// from a stopped clock or from a cache: do not correct a clock with it.
    #[must_use]
    pub const fn has_date_advanced(&self) -> bool {
        self.date_advanced
    }

    /// The [stamps](crate::stamp) of the server: their header field and resolution, or the reason
    /// why they were not used. `None` if there were none, and for several servers that differ in
    /// this.
    #[must_use]
    pub const fn stamp(&self) -> Option<&StampUse> {
        self.stamp.as_ref()
    }

    /// How many of the [`observations`](Self::observations) have the kernel's timestamp of the
    /// request instead of the process's.
    #[must_use]
    pub const fn sent_by_kernel(&self) -> u32 {
        self.sent_by_kernel
    }

    /// How many of the [`observations`](Self::observations) have the kernel's timestamp of the
    /// response instead of the process's.
    #[must_use]
    pub const fn received_by_kernel(&self) -> u32 {
        self.received_by_kernel
    }

    /// The time from the first request sent to the last response used.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.at.saturating_since(self.started)
    }

    /// The shortest round trip.
    #[must_use]
    pub const fn round_trip_min(&self) -> Duration {
        self.round_trip_min
    }

    /// The round trip that three quarters of the latest 64 do not exceed.
    #[must_use]
    pub const fn round_trip_quartile(&self) -> Duration {
        self.round_trip_quartile
    }

    /// Whether requests waited: of at least eight round trips a quarter are more than four times as
    /// long as the shortest one, and longer by more than a millisecond. On a long path the shortest
    /// one is long too, so something is busy: the server, the path or this machine. The bounds
    /// hold, but they are wider than they could be.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let usual = (self.round_trip_min * BUSY_RATIO).max(self.round_trip_min + BUSY_EXCESS);
        self.observations >= BUSY_OBSERVATIONS && self.round_trip_quartile > usual
    }

    /// How long after its end no request should be sent, because the server asks for that: the
    /// `Retry-After` of a response with status 429 or 503. A [session](crate::session) has sent
    /// none since.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The assumptions of the bounds.
    #[must_use]
    pub const fn assumptions(&self) -> Assumptions {
        self.assumptions
    }

    /// How many of the configured servers agree on this: one of one for a measurement of one
    /// server.
    #[must_use]
    pub const fn agreement(&self) -> Agreement {
        self.agreement
    }

    /// The `Server` field of the last response that had one.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// The method of the requests. [`Auto`](Method::Auto) is replaced by the method of the
    /// responses that were used. `None` for several servers with different methods, and for a
    /// [`Measure`](crate::Measure) whose requests another library sent.
    #[must_use]
    pub const fn method(&self) -> Option<Method> {
        self.method
    }

    /// The status of the last response that was used. `None` where the
    /// [`method`](Self::method) is, and for several servers with different statuses.
    #[must_use]
    pub const fn http_status(&self) -> Option<u16> {
        self.http_status
    }

    /// The time at which the first request left.
    #[must_use]
    pub const fn started(&self) -> LocalInstant {
        self.started
    }

    /// The instant to which offset and bounds refer: the time at which the last used response was
    /// received.
    #[must_use]
    pub const fn at(&self) -> LocalInstant {
        self.at
    }

    /// The local wall clock at [`at`](Self::at).
    #[must_use]
    pub const fn local_time(&self) -> Timestamp {
        self.begun.wall_at(self.at)
    }

    /// The best estimate of the server's clock at [`at`](Self::at).
    #[must_use]
    pub const fn server_time(&self) -> Timestamp {
        self.local_time().saturating_add(self.offset())
    }

    /// The reason why no more requests were sent.
    #[must_use]
    pub const fn end_reason(&self) -> &EndReason {
        &self.end_reason
    }
}

/// How many times longer than the shortest round trip a quarter of them are, if something is
/// [busy](Measurement::is_busy).
const BUSY_RATIO: u32 = 4;
/// By how much they are longer at least.
const BUSY_EXCESS: Duration = Duration::from_millis(1);
/// A quarter of fewer can be a single late response, which proves nothing.
const BUSY_OBSERVATIONS: u32 = 8;

impl fmt::Display for Measurement {
    /// Offset, standard deviation and bounds in seconds [default precision: 9 digits]:
    /// `+38.116012 s, stddev 0.000030 s, bounds [+38.115512, +38.117650]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.estimate.fmt(f)?;
        f.write_str(", bounds ")?;
        self.bounds.fmt(f)
    }
}
