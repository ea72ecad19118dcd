use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use crate::time::{ClockTie, LocalInstant, Timestamp, nanos_to_duration};

/// The machine's clocks: the monotonic one, and the wall clock.
///
/// The origin of the monotonic one is the same for all in a process, so that instants of one measurement can be held against
/// those of another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        Self { origin: *ORIGIN.get_or_init(Instant::now) }
    }

    pub(crate) fn now(&self) -> LocalInstant {
        LocalInstant::from_nanos(0).saturating_add(self.origin.elapsed())
    }

    /// Reads the wall clock between two readings of the monotonic one, and keeps the tightest of several tries.
    pub(crate) fn tie(&self) -> ClockTie {
        let read = || {
            let before = self.now();
            let wall = SystemTime::now();
            let width = self.now().saturating_since(before);
            let instant = before.saturating_add(width / 2);
            // A clock outside 1678–2262 ends up at the far end; every date is then out of reach, and says so.
            let wall = Timestamp::from_system_time(wall).unwrap_or(FAR);
            ClockTie::new(instant, wall, width + RESOLUTION)
        };
        (1..TRIES).fold(read(), |best, _| {
            let tie = read();
            if tie.uncertainty() < best.uncertainty() { tie } else { best }
        })
    }
}

const TRIES: u32 = 5;
const RESOLUTION: Duration = nanos_to_duration(1);
const FAR: Timestamp = Timestamp::from_unix_nanos(i64::MAX);
