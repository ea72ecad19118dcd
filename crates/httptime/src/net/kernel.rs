//! Kernel timestamps of a connection: when bytes left for the network device, and when they arrived
//! from it.
//!
//! Linux provides them for TCP (`SO_TIMESTAMPING`, the kernel's
//! Documentation/networking/timestamping.rst). On other systems there are none, and the timestamps
//! of the process are used.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod unsupported;

#[cfg(target_os = "linux")]
pub(super) use self::linux::{enable, next_departure, read};
#[cfg(not(target_os = "linux"))]
pub(super) use self::unsupported::{enable, next_departure, read};

use crate::time::Timestamp;

/// What [`enable`] returns.
#[derive(Debug, Clone, Copy)]
pub(super) struct EnabledTimestamps {
    /// The maximum number of bytes in one segment.
    pub(super) segment: usize,
}

/// The event that the last byte of a write left for the network device.
#[derive(Debug, Clone, Copy)]
pub(super) struct TransmitTimestamp {
    /// The number of bytes written up to this one since timestamps were enabled, minus one, modulo
    /// 2³².
    pub(super) key: u32,
    /// The time, by the wall clock.
    pub(super) at: Timestamp,
}
