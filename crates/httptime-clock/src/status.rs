//! The kernel's report to programs about the clock.

use std::fmt;
use std::time::Duration;

/// The kernel's report to programs that ask whether the clock is right.
///
/// The kernel has three values for this, and all of them matter:
/// - `STA_UNSYNC`: not synchronised. While it is set, `adjtimex` returns `TIME_ERROR`, which
///   `node_exporter` shows as `node_timex_sync_status`, and the kernel does not write its time to
///   the hardware clock. While it is clear, the kernel does so every 11 minutes.
/// - `maxerror`: a bound of the error. `timedatectl` reports the clock as synchronised while it is
///   below 16 s, whatever `STA_UNSYNC` is. The kernel adds 500 µs each second, and sets
///   `STA_UNSYNC` when it exceeds 16 s: after nearly 9 hours in which no program has set it.
/// - `esterror`: an estimate of the error. The kernel only passes it on (`node_exporter`'s
///   `node_timex_estimated_error_seconds`).
///
/// Both errors are in microseconds (rounded up here) and limited to 16 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SyncStatus {
    synchronised: bool,
    maximum_error: Duration,
    estimated_error: Duration,
}

impl SyncStatus {
    /// No program keeps the clock right, as after the kernel has booted or after a step.
    pub const UNSYNCHRONISED: Self = Self {
        synchronised: false,
        maximum_error: MAXIMUM_ERROR_LIMIT,
        estimated_error: MAXIMUM_ERROR_LIMIT,
    };

    /// The clock's error is at most `maximum_error` (a bound); `estimated_error` is its standard
    /// deviation.
    ///
    /// From [`MAXIMUM_ERROR_LIMIT`] on, the kernel considers the clock not synchronised within a
    /// second.
    #[must_use]
    pub const fn synchronised(maximum_error: Duration, estimated_error: Duration) -> Self {
        Self { synchronised: true, maximum_error, estimated_error }
    }

    /// Not synchronised, with these errors: what may be known about a clock that no program
    /// corrects any more.
    #[must_use]
    pub const fn unsynchronised(maximum_error: Duration, estimated_error: Duration) -> Self {
        Self { synchronised: false, maximum_error, estimated_error }
    }

    /// Whether a program keeps the clock right.
    #[must_use]
    pub const fn is_synchronised(self) -> bool {
        self.synchronised
    }

    /// A bound of the clock's error.
    #[must_use]
    pub const fn maximum_error(self) -> Duration {
        self.maximum_error
    }

    /// The standard deviation of the clock's error.
    #[must_use]
    pub const fn estimated_error(self) -> Duration {
        self.estimated_error
    }
}

impl fmt::Display for SyncStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}synchronised, error at most {:?} and about {:?}",
            if self.synchronised { "" } else { "not " },
            self.maximum_error,
            self.estimated_error
        )
    }
}

/// The kernel's limit of the maximum error (`NTP_PHASE_LIMIT` in Linux's `include/linux/timex.h`).
/// A clock whose maximum error exceeds it is no longer synchronised.
pub const MAXIMUM_ERROR_LIMIT: Duration = Duration::from_secs(16);

/// The increase of the maximum error at each second of the clock (`MAXFREQ` in Linux's
/// `include/linux/timex.h`: 500 ppm).
pub const MAXIMUM_ERROR_GROWTH_PER_SECOND: Duration = Duration::from_micros(500);
