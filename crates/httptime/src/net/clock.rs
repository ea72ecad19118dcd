use std::time::SystemTime;

use super::system::{self, CLOCK_RESOLUTION};
use crate::time::{CrossTimestamp, LocalInstant, Timestamp};

/// The monotonic clock now. On Unix it is `CLOCK_MONOTONIC`, so instants can be compared with those
/// of other processes and with those that a C program reads. On Windows it is counted from the
/// first call in this process.
#[must_use]
pub fn now() -> LocalInstant {
    system::now()
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
        CrossTimestamp::new(instant, wall, width + CLOCK_RESOLUTION)
    };
    (1..MAX_TRIES).fold(read(), |best, _| {
        let cross_timestamp = read();
        if cross_timestamp.uncertainty() < best.uncertainty() { cross_timestamp } else { best }
    })
}

const MAX_TRIES: u32 = 5;
const FAR: Timestamp = Timestamp::from_unix_nanos(i64::MAX);
