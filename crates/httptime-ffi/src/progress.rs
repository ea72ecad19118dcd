use httptime::Progress;
use httptime::estimate::Estimate;

use crate::boundary::{Versioned, nanos, size};

/// The requests and the evidence so far. Written by the library.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct httptime_progress {
    /// sizeof(httptime_progress), set by the caller; in a callback, by the library.
    pub struct_size: u32,
    /// The number of the server, from 0 in the order of the URLs.
    pub server: u32,
    /// Requests sent, with or without a response.
    pub requests: u32,
    /// Responses used.
    pub observations: u32,
    /// The estimate so far: server - local. Positive: the local clock is slow.
    pub offset_ns: i64,
    /// Its standard deviation. Not a bound.
    pub stddev_ns: i64,
    /// The lower bound of the offset.
    pub lower_ns: i64,
    /// The upper bound of the offset.
    pub upper_ns: i64,
    /// The latest round trip.
    pub round_trip_ns: i64,
}

// SAFETY: integers; each field begins where the one before it ends.
unsafe impl Versioned for httptime_progress {
    const MIN_SIZE: usize = 48;

    fn initial() -> Self {
        Self {
            struct_size: size::<Self>(),
            server: 0,
            requests: 0,
            observations: 0,
            offset_ns: 0,
            stddev_ns: 0,
            lower_ns: 0,
            upper_ns: 0,
            round_trip_ns: 0,
        }
    }
}

impl httptime_progress {
    /// `None` before the first observation.
    pub(crate) fn new(
        server: u32,
        progress: &Progress,
        estimate: Option<Estimate>,
    ) -> Option<Self> {
        let (estimate, bounds) = (estimate?, progress.bounds()?);
        Some(Self {
            server,
            requests: progress.requests(),
            observations: progress.observations(),
            offset_ns: estimate.offset().as_nanos(),
            stddev_ns: nanos(estimate.stddev()),
            lower_ns: bounds.lower().as_nanos(),
            upper_ns: bounds.upper().as_nanos(),
            round_trip_ns: nanos(progress.round_trip_last().unwrap_or_default()),
            ..Self::initial()
        })
    }
}
