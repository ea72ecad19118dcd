//! What a caller is willing to spend.

use std::time::Duration;

/// What a measurement may spend, and when it has enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub(crate) requests: u32,
    pub(crate) duration: Duration,
    pub(crate) target: Option<Duration>,
    pub(crate) timeout: Duration,
}

impl Limits {
    /// The most requests to send to one server.
    #[must_use]
    pub const fn requests(&self) -> u32 {
        self.requests
    }

    /// How long after the first request another one may be sent.
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
