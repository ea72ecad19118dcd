//! The clock of a server: the host's clock plus a known error.

use std::time::SystemTime;

use httptime::{Offset, Timestamp};

/// Computes the server's time. It never sets the host's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerClock {
    skew: Offset,
    drift_ppm: f64,
    started: Timestamp,
}

impl ServerClock {
    /// Ahead of the host by `skew` at `started`. Gains `drift_ppm` µs on the host in each second.
    pub(super) fn new(skew: Offset, drift_ppm: f64, started: Timestamp) -> Self {
        Self { skew, drift_ppm, started }
    }

    /// Server clock minus host clock when the host shows `host`.
    pub(super) fn offset_at(&self, host: Timestamp) -> Offset {
        let elapsed = Offset::between(self.started, host);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "float to integer conversion saturates"
        )]
        let drift = (elapsed.as_seconds() * self.drift_ppm * 1e3).round() as i64;
        self.skew.saturating_add(Offset::from_nanos(drift))
    }

    /// The server's clock when the host's clock shows `host`.
    pub(super) fn time_at(&self, host: Timestamp) -> Timestamp {
        host.saturating_add(self.offset_at(host))
    }

    /// The host's clock. The start time if the host's clock is outside the range of timestamps
    /// (before 1678 or after 2262).
    pub(super) fn host_now(&self) -> Timestamp {
        Timestamp::from_system_time(SystemTime::now()).unwrap_or(self.started)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drift_adds_up_from_the_start() {
        let started = Timestamp::from_unix_seconds(1_795_426_632).expect("in range");
        let clock = ServerClock::new(Offset::from_nanos(-500), 100.0, started);
        assert_eq!(clock.offset_at(started), Offset::from_nanos(-500));
        let later = started.saturating_add(Offset::from_nanos(10_000_000_000));
        assert_eq!(clock.offset_at(later), Offset::from_nanos(1_000_000 - 500));
    }
}
