use std::time::{Duration, SystemTime};

use crate::time::{CrossTimestamp, LocalInstant, Timestamp, nanos_to_duration};

/// The monotonic clock now. On Unix it is `CLOCK_MONOTONIC`, so instants can be compared with those
/// of other processes and with those that a C program reads.
#[cfg(unix)]
#[must_use]
pub fn now() -> LocalInstant {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    LocalInstant::from_nanos(time.tv_sec.saturating_mul(1_000_000_000) + time.tv_nsec)
}

/// The monotonic clock now, counted from the first call in this process.
#[cfg(not(unix))]
#[must_use]
pub fn now() -> LocalInstant {
    use std::sync::OnceLock;
    use std::time::Instant;
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    LocalInstant::from_nanos(0).saturating_add(ORIGIN.get_or_init(Instant::now).elapsed())
}

/// Both local clocks now: the wall clock between two readings of the monotonic clock, the narrowest
/// of several tries.
///
/// Before you act on a [`Measurement`](crate::Measurement), compare this with the measurement's own
/// cross-timestamp: a wall clock that was stepped in between is not the one that was measured.
#[must_use]
pub fn cross_timestamp() -> CrossTimestamp {
    let read = || {
        let before = now();
        let wall = SystemTime::now();
        let width = now().saturating_since(before);
        let instant = before.saturating_add(width / 2);
        // A clock outside 1678–2262 is set to the far end. Then every date is out of range, which
        // is reported.
        let wall = Timestamp::from_system_time(wall).unwrap_or(FAR);
        CrossTimestamp::new(instant, wall, width + RESOLUTION)
    };
    (1..MAX_TRIES).fold(read(), |best, _| {
        let cross_timestamp = read();
        if cross_timestamp.uncertainty() < best.uncertainty() { cross_timestamp } else { best }
    })
}

const MAX_TRIES: u32 = 5;
const RESOLUTION: Duration = nanos_to_duration(1);
const FAR: Timestamp = Timestamp::from_unix_nanos(i64::MAX);
