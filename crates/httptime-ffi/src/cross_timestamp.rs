use crate::boundary::{Output, Versioned, duration, guard, guard_or, nanos, read, size};
use crate::failure::Failure;
use crate::status::httptime_status;

/// A reading of both local clocks at one moment. It converts instants of the monotonic clock into
/// wall time. A second one shows whether the wall clock was set in between.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct httptime_cross_timestamp {
    /// sizeof(httptime_cross_timestamp), set by the caller.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// The monotonic clock: CLOCK_MONOTONIC in ns, as httptime_now.
    pub instant_ns: i64,
    /// The wall clock: ns since 1970-01-01T00:00:00Z.
    pub wall_ns: i64,
    /// The largest possible time between the two readings.
    pub uncertainty_ns: i64,
}

// SAFETY: integers; each field begins where the one before it ends.
unsafe impl Versioned for httptime_cross_timestamp {
    const MIN_SIZE: usize = 32;

    fn initial() -> Self {
        Self {
            struct_size: size::<Self>(),
            reserved: 0,
            instant_ns: 0,
            wall_ns: 0,
            uncertainty_ns: 0,
        }
    }
}

/// The monotonic clock now, in ns. On Unix it is CLOCK_MONOTONIC, so a program may also call
/// clock_gettime. All instants of this library are readings of it.
///
/// Any thread, at any time.
#[unsafe(no_mangle)]
pub extern "C" fn httptime_now() -> i64 {
    guard_or(0, || httptime::net::now().as_nanos())
}

/// Reads both local clocks at one moment. Uses the narrowest of several tries.
///
/// cross_timestamp: its struct_size set by the caller; written only on HTTPTIME_OK. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_cross_timestamp_now(
    cross_timestamp: *mut httptime_cross_timestamp,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointer points to.
        let output = unsafe { Output::new(cross_timestamp, "cross_timestamp") }?;
        let now = httptime::net::cross_timestamp();
        output.write(&httptime_cross_timestamp {
            instant_ns: now.instant().as_nanos(),
            wall_ns: now.wall().as_unix_nanos(),
            uncertainty_ns: nanos(now.uncertainty()),
            ..httptime_cross_timestamp::initial()
        });
        Ok(())
    })
}

/// # Safety
/// `cross_timestamp` must be NULL, or point to one.
pub(crate) unsafe fn cross_timestamp(
    cross_timestamp: *const httptime_cross_timestamp,
    name: &str,
) -> Result<httptime::CrossTimestamp, Failure> {
    // SAFETY: as the caller guarantees.
    let cross_timestamp = unsafe { read(cross_timestamp, name) }?;
    if cross_timestamp.reserved != 0 {
        return Err(Failure::argument(format!("{name}.reserved is not 0")));
    }
    Ok(httptime::CrossTimestamp::new(
        httptime::LocalInstant::from_nanos(cross_timestamp.instant_ns),
        httptime::Timestamp::from_unix_nanos(cross_timestamp.wall_ns),
        duration(cross_timestamp.uncertainty_ns, "uncertainty_ns")?,
    ))
}

/// As [`cross_timestamp`]; NULL means now.
///
/// # Safety
/// As for [`cross_timestamp`].
pub(crate) unsafe fn cross_timestamp_or_now(
    cross_timestamp: *const httptime_cross_timestamp,
    name: &str,
) -> Result<httptime::CrossTimestamp, Failure> {
    if cross_timestamp.is_null() {
        return Ok(httptime::net::cross_timestamp());
    }
    // SAFETY: as the caller guarantees.
    unsafe { self::cross_timestamp(cross_timestamp, name) }
}
