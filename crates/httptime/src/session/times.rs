use crate::time::{CrossTimestamp, LocalInstant, Timestamp};

/// The kernel timestamps of a request and its response, and both clocks before and after.
///
/// Kernel timestamps are readings of the wall clock. The two cross-timestamps convert them to the
/// monotonic clock, and show whether the wall clock was stepped in between.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelTimestamps {
    /// The time at which the last write of the request left for the network device. Only the first
    /// transmission counts.
    pub departed: Option<Timestamp>,
    /// The time at which the latest segment that was read arrived from the network device.
    pub arrived: Option<Timestamp>,
    /// Both clocks before the request was written.
    pub before: CrossTimestamp,
    /// Both clocks after the response was read.
    pub after: CrossTimestamp,
}

impl KernelTimestamps {
    /// The kernel's two timestamps, and both clocks before and after.
    #[must_use]
    pub const fn new(
        departed: Option<Timestamp>,
        arrived: Option<Timestamp>,
        before: CrossTimestamp,
        after: CrossTimestamp,
    ) -> Self {
        Self { departed, arrived, before, after }
    }
}

/// The time at which bytes were read: the clock after the read, and the kernel timestamps if they
/// were requested.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The monotonic clock, read after the bytes were.
    pub at: LocalInstant,
    /// The kernel timestamps.
    pub kernel: Option<KernelTimestamps>,
}

impl Arrival {
    /// Bytes that were read by `at`, and their kernel timestamps.
    #[must_use]
    pub const fn new(at: LocalInstant, kernel: Option<KernelTimestamps>) -> Self {
        Self { at, kernel }
    }
}

impl From<LocalInstant> for Arrival {
    fn from(at: LocalInstant) -> Self {
        Self::new(at, None)
    }
}

/// The times of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// According to the process.
    pub(super) sent: LocalInstant,
    pub(super) received: LocalInstant,
    /// According to the kernel, the request left no earlier than this.
    pub(super) departed: Option<LocalInstant>,
    /// According to the kernel, the response arrived no later than this.
    pub(super) arrived: Option<LocalInstant>,
}

impl Times {
    pub(super) fn new(sent: LocalInstant, arrival: Arrival) -> Self {
        let by_process = Self { sent, received: arrival.at, departed: None, arrived: None };
        arrival.kernel.map_or(by_process, |kernel| by_process.narrowed(kernel))
    }

    /// Narrows the times of the process to the kernel timestamps.
    ///
    /// No timestamp is used if the wall clock was stepped between the two cross-timestamps, or if
    /// one is not within the times of the process.
    fn narrowed(self, kernel: KernelTimestamps) -> Self {
        let KernelTimestamps { departed, arrived, before, after } = kernel;
        let uncertainty = before.uncertainty() + after.uncertainty();
        if before.stepped_by(after).abs() > uncertainty {
            return self;
        }
        let earliest = |at: Timestamp| after.instant_at(at).saturating_sub(uncertainty);
        let latest = |at: Timestamp| after.instant_at(at).saturating_add(uncertainty);
        let fits = |at: &Timestamp| latest(*at) >= self.sent && earliest(*at) <= self.received;
        if !departed.iter().chain(&arrived).all(fits) {
            return self;
        }
        let departed = departed.map(|at| earliest(at).max(self.sent));
        let arrived = arrived.map(|at| latest(at).min(self.received));
        if departed.zip(arrived).is_some_and(|(departed, arrived)| arrived < departed) {
            return self;
        }
        Self { departed, arrived, ..self }
    }

    pub(super) const fn is_timed_by_kernel(&self) -> bool {
        self.departed.is_some() && self.arrived.is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::time::Offset;

    const WALL: i64 = 1_795_392_000_000_000_000;

    fn cross_timestamp(micros: i64, stepped_ns: i64) -> CrossTimestamp {
        let wall = Timestamp::from_unix_nanos(WALL + micros * 1_000 + stepped_ns);
        CrossTimestamp::new(at(micros), wall, Duration::from_nanos(50))
    }

    fn at(micros: i64) -> LocalInstant {
        LocalInstant::from_nanos(micros * 1_000)
    }

    fn stamp(micros: i64) -> Option<Timestamp> {
        Some(cross_timestamp(micros, 0).wall())
    }

    /// From 100 to 300 µs according to the process; the wall clock is not stepped.
    fn narrowed(departed: Option<Timestamp>, arrived: Option<Timestamp>) -> Times {
        seen().narrowed(KernelTimestamps::new(
            departed,
            arrived,
            cross_timestamp(0, 0),
            cross_timestamp(310, 0),
        ))
    }

    fn seen() -> Times {
        Times { sent: at(100), received: at(300), departed: None, arrived: None }
    }

    #[test]
    fn kernel_timestamps_narrow_the_times_by_all_but_the_uncertainty_of_both_cross_timestamps() {
        let uncertainty = Duration::from_nanos(100);
        let departed = Some(at(120).saturating_sub(uncertainty));
        let arrived = Some(at(250).saturating_add(uncertainty));
        let both = Times { departed, arrived, ..seen() };
        assert_eq!(narrowed(stamp(120), stamp(250)), both);
        assert_eq!(narrowed(stamp(120), None), Times { arrived: None, ..both });
        assert_eq!(narrowed(None, stamp(250)), Times { departed: None, ..both });
        assert_eq!(narrowed(None, None), seen());
    }

    #[test]
    fn timestamps_before_the_request_or_after_the_response_are_not_used() {
        for (departed, arrived) in [
            (stamp(90), stamp(250)),
            (stamp(120), stamp(90)),
            (stamp(310), stamp(320)),
            (stamp(120), stamp(310)),
            (stamp(260), stamp(240)),
            (Some(Timestamp::from_unix_nanos(i64::MAX)), stamp(250)),
            (Some(Timestamp::from_unix_nanos(1)), None),
        ] {
            assert_eq!(narrowed(departed, arrived), seen(), "{departed:?} {arrived:?}");
        }
    }

    #[test]
    fn timestamps_of_a_wall_clock_stepped_in_between_are_not_used() {
        let by = |step_ns: i64, stamp: Option<Timestamp>| {
            stamp.map(|at| at.saturating_add(Offset::from_nanos(step_ns)))
        };
        let stepped = |departed, arrived, step_ns| {
            seen().narrowed(KernelTimestamps::new(
                departed,
                arrived,
                cross_timestamp(0, 0),
                cross_timestamp(310, step_ns),
            ))
        };
        for step_ns in [-3_600_000_000_000, -10_000, -101, 101, 10_000, 3_600_000_000_000] {
            let (departed, arrived) = (stamp(120), stamp(250));
            // Before both, between them, and between them and the reading.
            for (departed, arrived) in [
                (by(step_ns, departed), by(step_ns, arrived)),
                (departed, by(step_ns, arrived)),
                (departed, arrived),
            ] {
                assert_eq!(stepped(departed, arrived, step_ns), seen(), "{step_ns} ns");
            }
        }
        // A step that is too small to be detected is covered by the uncertainty.
        let stamped = |micros| Some(at(micros));
        let unseen = stepped(stamp(120), stamp(250), 99);
        assert!(unseen.departed <= stamped(120) && unseen.arrived >= stamped(250), "{unseen:?}");
        // Stepped back and forth in between: the timestamps do not fit.
        for (departed, arrived) in
            [(by(1_000_000, stamp(120)), stamp(250)), (stamp(120), by(-200_000, stamp(250)))]
        {
            assert_eq!(stepped(departed, arrived, 0), seen());
        }
    }
}
