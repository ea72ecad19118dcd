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

    /// The first instant at which the server's clock shows this time or a later one.
    #[must_use]
    pub fn instant_at(&self, server_time: Timestamp) -> LocalInstant {
        let nanos = |time: Timestamp| i128::from(time.as_unix_nanos());
        let since = nanos(server_time) - nanos(self.wall) - i128::from(self.offset_ns);
        let billion = 1_000_000_000;
        let guess = since * billion / (billion + i128::from(self.drift_ppb));
        let saturated = i64::try_from(guess).unwrap_or(if guess < 0 { i64::MIN } else { i64::MAX });
        // The offset is rounded to a nanosecond, so the guess can be wrong by one or two.
        let mut instant = LocalInstant::from_nanos(saturated.saturating_sub(2));
        for _ in 0..4 {
            if self.server_time_at(instant) >= server_time {
                break;
            }
            instant = LocalInstant::from_nanos(instant.as_nanos().saturating_add(1));
        }
        instant
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_found_from_the_time_of_the_server_at_any_drift() {
        for ppb in [0, 99_900, -99_900, 7] {
            let clock = SimClock::new(-38_116_000_017).drifting_ppb(ppb);
            for nanos in [-1_000_000_007, 0, 1, 999_999_999, 3_600_000_000_001] {
                let time = clock.server_time_at(LocalInstant::from_nanos(nanos));
                let found = clock.instant_at(time);
                assert!(clock.server_time_at(found) >= time, "{nanos} at {ppb} ppb");
                let before = found.saturating_sub(Duration::from_nanos(1));
                assert!(clock.server_time_at(before) < time, "{nanos} at {ppb} ppb");
            }
        }
    }
}
