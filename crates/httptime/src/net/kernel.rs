//! What the kernel saw of a connection: when bytes left for the network device, and when they came from it.
//!
//! Linux tells for TCP (`SO_TIMESTAMPING`, the kernel's Documentation/networking/timestamping.rst). Elsewhere nothing here
//! ever gives a stamp, and everything goes on by the times of the process.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod unsupported;

#[cfg(target_os = "linux")]
pub(super) use self::linux::{enable, next_departure, read};
#[cfg(not(target_os = "linux"))]
pub(super) use self::unsupported::{enable, next_departure, read};

use crate::time::Timestamp;

/// What [`enable`] found.
#[derive(Debug, Clone, Copy)]
pub(super) struct EnabledTimestamps {
    /// The most bytes that leave in one segment.
    pub(super) segment: usize,
}

/// The last byte of a write left for the network device.
#[derive(Debug, Clone, Copy)]
pub(super) struct TransmitTimestamp {
    /// How many bytes had been written up to that one since stamps were enabled, less one, modulo 2³².
    pub(super) key: u32,
    /// When, by the wall clock.
    pub(super) at: Timestamp,
}
