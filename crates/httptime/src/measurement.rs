//! The finished result.

use std::fmt;
use std::time::Duration;

use crate::error::Error;
use crate::estimate::Estimate;
use crate::method::Method;
use crate::server::{Lag, LagSource};
use crate::time::{CrossTimestamp, Interval, LocalInstant, Offset, Timestamp};

/// What the bounds of a measurement take for granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assumptions {
    pub(crate) lag: Lag,
    pub(crate) drift_ppm: u32,
    pub(crate) min_servers: usize,
}

impl Assumptions {
    /// The server's `Date` is late by no more than this (Λ). It stands on the upper side of the bounds.
    #[must_use]
    pub const fn lag(&self) -> Duration {
        self.lag.allowance()
    }

    /// Why.
    #[must_use]
    pub const fn lag_source(&self) -> LagSource {
        self.lag.source()
    }

    /// For how many caches on the way [`CACHE_LAG`](crate::server::CACHE_LAG) is included.
    #[must_use]
    pub const fn caches(&self) -> u8 {
        self.lag.caches()
    }

    /// The two clocks come apart no faster than this, in parts per million (ρ).
    #[must_use]
    pub const fn drift_ppm(&self) -> u32 {
        self.drift_ppm
    }

    /// So many servers at least were demanded to answer and agree: 1 for a measurement of one server. Of several that answered,
    /// the bounds of more than half hold.
    #[must_use]
    pub const fn min_servers(&self) -> usize {
        self.min_servers
    }
}

/// Why a measurement ended.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndReason {
    /// The standard deviation asked for was reached.
    Target,
    /// The schedule saw nothing more to gain.
    Enough,
    /// The requests allowed were used up.
    Requests,
    /// The time allowed was used up.
    Duration,
    /// The server could no longer be asked. What it had answered before still holds.
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

/// How far the local clock is from one server's, with the bounds within which that is certain under the stated
/// [`Assumptions`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measurement {
    pub(crate) estimate: Estimate,
    pub(crate) bounds: Interval,
    pub(crate) requests: u32,
    pub(crate) observations: u32,
    pub(crate) checks: u32,
    pub(crate) date_advanced: bool,
    pub(crate) sent_by_kernel: u32,
    pub(crate) received_by_kernel: u32,
    pub(crate) started: LocalInstant,
    pub(crate) at: LocalInstant,
    /// How the local clocks stood at the beginning.
    pub(crate) begun: CrossTimestamp,
    pub(crate) round_trip_min: Duration,
    pub(crate) assumptions: Assumptions,
    pub(crate) server: Option<String>,
    /// `None` where a driver that is not a session's sent the requests, and for servers that were asked by different ones.
    pub(crate) method: Option<Method>,
    pub(crate) end_reason: EndReason,
}

impl Measurement {
    /// The best single offset: server clock − local clock, positive when the local clock is slow.
    #[must_use]
    pub const fn offset(&self) -> Offset {
        self.estimate.offset()
    }

    /// The standard deviation of the offset's error, given that the server's lag is small and the two ways of a
    /// round trip are alike. Not a bound.
    #[must_use]
    pub const fn stddev(&self) -> Duration {
        self.estimate.stddev()
    }

    /// Offset and standard deviation together.
    #[must_use]
    pub const fn estimate(&self) -> Estimate {
        self.estimate
    }

    /// The offset lies in here if the [`assumptions`](Self::assumptions) hold.
    #[must_use]
    pub const fn bounds(&self) -> Interval {
        self.bounds
    }

    /// Requests sent, answered or not.
    #[must_use]
    pub const fn requests(&self) -> u32 {
        self.requests
    }

    /// Responses used.
    #[must_use]
    pub const fn observations(&self) -> u32 {
        self.observations
    }

    /// How many of the [`requests`](Self::requests) were checks, whose answer was known before they were sent.
    #[must_use]
    pub const fn checks(&self) -> u32 {
        self.checks
    }

    /// Whether the `Date` was seen to advance. If not, it may come from a clock that stands still or from a cache: nothing is to
    /// be corrected by it.
    #[must_use]
    pub const fn has_date_advanced(&self) -> bool {
        self.date_advanced
    }

    /// How many of the [`observations`](Self::observations) go by the kernel's time of the request's leaving, not the
    /// process's.
    #[must_use]
    pub const fn sent_by_kernel(&self) -> u32 {
        self.sent_by_kernel
    }

    /// How many of the [`observations`](Self::observations) go by the kernel's time of the response's coming, not the
    /// process's.
    #[must_use]
    pub const fn received_by_kernel(&self) -> u32 {
        self.received_by_kernel
    }

    /// From the first request sent to the last response used.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        self.at.saturating_since(self.started)
    }

    /// The shortest round trip.
    #[must_use]
    pub const fn round_trip_min(&self) -> Duration {
        self.round_trip_min
    }

    /// What the bounds take for granted.
    #[must_use]
    pub const fn assumptions(&self) -> Assumptions {
        self.assumptions
    }

    /// The `Server` field of the last response that had one.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// By which method the server was asked, [`Auto`](Method::Auto) resolved: the responses used answer it. `None` for several servers
    /// that were asked by different methods, and for a [`Measure`](crate::Measure) whose requests somebody else sent.
    #[must_use]
    pub const fn method(&self) -> Option<Method> {
        self.method
    }

    /// When the first request left.
    #[must_use]
    pub const fn started(&self) -> LocalInstant {
        self.started
    }

    /// The instant to which offset and bounds refer: when the last response used was received.
    #[must_use]
    pub const fn at(&self) -> LocalInstant {
        self.at
    }

    /// What the local wall clock showed at [`at`](Self::at).
    #[must_use]
    pub const fn local_time(&self) -> Timestamp {
        self.begun.wall_at(self.at)
    }

    /// The best single guess of the server's clock at [`at`](Self::at).
    #[must_use]
    pub const fn server_time(&self) -> Timestamp {
        self.local_time().saturating_add(self.offset())
    }

    /// Why no more requests were sent.
    #[must_use]
    pub const fn end_reason(&self) -> &EndReason {
        &self.end_reason
    }
}

impl fmt::Display for Measurement {
    /// Offset, standard deviation and bounds in seconds, to the nanosecond unless a precision is asked for:
    /// `+38.116012 s, stddev 0.000030 s, bounds [+38.115512, +38.117650]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.estimate.fmt(f)?;
        f.write_str(", bounds ")?;
        self.bounds.fmt(f)
    }
}
