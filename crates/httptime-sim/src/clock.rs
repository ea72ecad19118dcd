use std::time::Duration;

use httptime::{CrossTimestamp, LocalInstant, Offset, Timestamp};

/// A pair of clocks in virtual time: the local clock, and a server's clock with an offset and a
/// drift.
///
/// Virtual time is the local monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct SimClock {
    wall: Timestamp,
    offset_ns: i64,
    drift_ppb: i64,
}

impl SimClock {
    /// The server's clock is `offset_ns` nanoseconds ahead at virtual time zero and does not drift.
    /// The local clock begins at a whole second.
    #[must_use]
    pub const fn new(offset_ns: i64) -> Self {
        Self { wall: BEGINNING, offset_ns, drift_ppb: 0 }
    }

    /// Sets what the local wall clock shows at virtual time zero.
    #[must_use]
    pub const fn starting_at(mut self, wall: Timestamp) -> Self {
        self.wall = wall;
        self
    }

    /// Sets how much the server's clock gains on the local one, in parts per thousand million.
    #[must_use]
    pub const fn drifting_ppb(mut self, ppb: i64) -> Self {
        self.drift_ppb = ppb;
        self
    }

    /// The cross-timestamp of the local clocks at `instant`.
    #[must_use]
    pub const fn cross_timestamp_at(&self, instant: LocalInstant) -> CrossTimestamp {
        CrossTimestamp::new(instant, self.local_time_at(instant), Duration::ZERO)
    }

    /// The local wall clock.
    #[must_use]
    pub const fn local_time_at(&self, instant: LocalInstant) -> Timestamp {
        self.wall.saturating_add(Offset::from_nanos(instant.as_nanos()))
    }

    /// The server's clock.
    #[must_use]
    pub const fn server_time_at(&self, instant: LocalInstant) -> Timestamp {
        self.local_time_at(instant).saturating_add(self.offset_at(instant))
    }

    /// The true offset.
    #[must_use]
    pub const fn offset_at(&self, instant: LocalInstant) -> Offset {
        let drifted = instant.as_nanos().saturating_mul(self.drift_ppb) / 1_000_000_000;
        Offset::from_nanos(self.offset_ns.saturating_add(drifted))
    }
}

/// 2026-11-23T00:00:00Z.
const BEGINNING: Timestamp = Timestamp::from_unix_nanos(1_795_392_000_000_000_000);
