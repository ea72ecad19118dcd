use crate::boundary::{Output, Versioned, duration, guard, guard_or, nanos, read, size};
use crate::failure::Failure;
use crate::status::httptime_status;

/// Both local clocks, read at one moment. It turns instants of the monotonic clock into wall time; a second one shows
/// whether the wall clock was set in between.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct httptime_tie {
    /// sizeof(httptime_tie), set by the caller.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// The monotonic clock: CLOCK_MONOTONIC in ns, as httptime_now.
    pub instant_ns: i64,
    /// The wall clock: ns since 1970-01-01T00:00:00Z.
    pub wall_ns: i64,
    /// How far apart the two readings may have been made.
    pub uncertainty_ns: i64,
}

// SAFETY: integers; each field begins where the one before it ends.
unsafe impl Versioned for httptime_tie {
    const SMALLEST: usize = 32;

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

/// The monotonic clock now, in ns. On Unix that is CLOCK_MONOTONIC itself: a program may as well call clock_gettime. All
/// instants of this library count on it.
///
/// Any thread, at any time.
#[unsafe(no_mangle)]
pub extern "C" fn httptime_now() -> i64 {
    guard_or(0, || httptime::net::now().as_nanos())
}

/// Reads both local clocks at one moment, as closely as several tries make it.
///
/// tie: its struct_size set by the caller; written only on HTTPTIME_OK. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_tie_now(tie: *mut httptime_tie) -> httptime_status {
    guard(|| {
        // SAFETY: the header says what the pointer points to.
        let output = unsafe { Output::new(tie, "tie") }?;
        let now = httptime::net::tie();
        output.write(&httptime_tie {
            instant_ns: now.instant().as_nanos(),
            wall_ns: now.wall().as_unix_nanos(),
            uncertainty_ns: nanos(now.uncertainty()),
            ..httptime_tie::initial()
        });
        Ok(())
    })
}

/// # Safety
/// `tie` is NULL, or points to one.
pub(crate) unsafe fn tie(
    tie: *const httptime_tie,
    name: &str,
) -> Result<httptime::ClockTie, Failure> {
    // SAFETY: as the caller says.
    let tie = unsafe { read(tie, name) }?;
    if tie.reserved != 0 {
        return Err(Failure::argument(format!("{name}.reserved is not 0")));
    }
    Ok(httptime::ClockTie::new(
        httptime::LocalInstant::from_nanos(tie.instant_ns),
        httptime::Timestamp::from_unix_nanos(tie.wall_ns),
        duration(tie.uncertainty_ns, "uncertainty_ns")?,
    ))
}

/// As [`tie`]; NULL stands for now.
///
/// # Safety
/// As for [`tie`].
pub(crate) unsafe fn tie_or_now(
    tie: *const httptime_tie,
    name: &str,
) -> Result<httptime::ClockTie, Failure> {
    if tie.is_null() {
        return Ok(httptime::net::tie());
    }
    // SAFETY: as the caller says.
    unsafe { self::tie(tie, name) }
}
