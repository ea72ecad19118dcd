//! The limits of a measurement.

use std::time::Duration;

/// The limits on requests and time, and the target at which a measurement stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub(crate) requests: u32,
    pub(crate) duration: Duration,
    pub(crate) target: Option<Duration>,
    pub(crate) timeout: Duration,
}

impl Limits {
    /// The limit of requests to one server.
    #[must_use]
    pub const fn requests(&self) -> u32 {
        self.requests
    }

    /// The time from the first request until the last one may be sent.
    #[must_use]
    pub const fn duration(&self) -> Duration {
        self.duration
    }

    /// The standard deviation at which to stop early.
    #[must_use]
    pub const fn target(&self) -> Option<Duration> {
        self.target
    }

    /// The longest wait for a name, a connection or a response.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }
}
