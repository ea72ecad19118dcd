//! The clock of a server: the host's, with a known error.

use std::time::SystemTime;

use httptime::{Offset, Timestamp};

/// Computes, never sets: the host's clock stays as it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerClock {
    skew: Offset,
    drift_ppm: f64,
    started: Timestamp,
}

impl ServerClock {
    /// Ahead of the host by `skew` at `started`, and by `drift_ppm` µs more with each second.
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

    /// What the server's clock shows when the host's shows `host`.
    pub(super) fn time_at(&self, host: Timestamp) -> Timestamp {
        host.saturating_add(self.offset_at(host))
    }

    /// What the host's clock shows; the start when that is beyond all reason (before 1678, after 2262).
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
