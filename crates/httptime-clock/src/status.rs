//! What the kernel tells programs about the clock.

use std::fmt;
use std::time::Duration;

/// What the kernel tells programs that ask whether the clock is right.
///
/// The kernel keeps three values for that, and all of them count:
/// - `STA_UNSYNC`, not synchronised. While it is set, `adjtimex` returns `TIME_ERROR`, which is what `node_exporter`'s
///   `node_timex_sync_status` shows, and the kernel does not write its time to the hardware clock. While it is clear,
///   it does so every 11 minutes.
/// - `maxerror`, a bound of the error. `timedatectl` calls the clock synchronised while it is below 16 s, whatever
///   `STA_UNSYNC` says. The kernel adds 500 µs each second, and sets `STA_UNSYNC` once that takes it past 16 s: after
///   nearly 9 hours in which nobody has set it anew.
/// - `esterror`, an estimate of the error. The kernel only passes it on (`node_exporter`'s
///   `node_timex_estimated_error_seconds`).
///
/// Both errors are counted in microseconds (rounded up here) and limited to 16 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SyncStatus {
    synchronised: bool,
    maximum_error: Duration,
    estimated_error: Duration,
}

impl SyncStatus {
    /// Nobody keeps the clock right, as after the boot of the kernel or a step.
    pub const UNSYNCHRONISED: Self = Self {
        synchronised: false,
        maximum_error: MAXIMUM_ERROR_LIMIT,
        estimated_error: MAXIMUM_ERROR_LIMIT,
    };

    /// The clock is right to within `maximum_error` (a bound); `estimated_error` is its likely error (a standard
    /// deviation).
    ///
    /// From [`MAXIMUM_ERROR_LIMIT`] on, the kernel takes the clock for not synchronised within a second.
    #[must_use]
    pub const fn synchronised(maximum_error: Duration, estimated_error: Duration) -> Self {
        Self { synchronised: true, maximum_error, estimated_error }
    }

    /// Not synchronised, with these errors: what may be known of a clock that is no longer looked after.
    #[must_use]
    pub const fn unsynchronised(maximum_error: Duration, estimated_error: Duration) -> Self {
        Self { synchronised: false, maximum_error, estimated_error }
    }

    /// Whether somebody keeps the clock right.
    #[must_use]
    pub const fn is_synchronised(self) -> bool {
        self.synchronised
    }

    /// A bound of the clock's error.
    #[must_use]
    pub const fn maximum_error(self) -> Duration {
        self.maximum_error
    }

    /// The clock's likely error, a standard deviation.
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

/// The largest error the kernel counts to (`NTP_PHASE_LIMIT` in Linux's `include/linux/timex.h`). A clock whose maximum
/// error grows past it is not synchronised any more.
pub const MAXIMUM_ERROR_LIMIT: Duration = Duration::from_secs(16);

/// What the kernel adds to the maximum error at each second of the clock (`MAXFREQ` in Linux's
/// `include/linux/timex.h`: 500 ppm).
pub const MAXIMUM_ERROR_GROWTH_PER_SECOND: Duration = Duration::from_micros(500);
