use std::ffi::c_char;
use std::time::Duration;

use httptime::{Agreement, CrossTimestamp, LocalInstant, Offset, Timestamp};
use httptime_clock::{Action, Clock as _, Policy, Reading, SyncStatus, SystemClock};
use httptime_clock::{Evidence, History, Refusal};

use crate::boundary::{Output, Versioned, array, duration, guard, nanos, read, size, target};
use crate::cross_timestamp::{cross_timestamp, httptime_cross_timestamp};
use crate::failure::Failure;
use crate::measure::interval;
use crate::measurement::httptime_measurement;
use crate::options::{initialise, unknown};
use crate::status::{HTTPTIME_ERROR_CLOCK_STEPPED, httptime_status};
use crate::tls::HTTPTIME_CERTIFICATES_SERVER_TIME;

/// Correct only an error that the bounds prove.
pub const HTTPTIME_EVIDENCE_BOUNDS: i32 = 0;
/// Below the step threshold use the estimate, as an NTP client does.
pub const HTTPTIME_EVIDENCE_ESTIMATE: i32 = 1;

/// Do nothing: the measurement does not show that the clock is wrong.
pub const HTTPTIME_ACTION_LEAVE: i32 = 0;
/// Correct the clock gradually.
pub const HTTPTIME_ACTION_SLEW: i32 = 1;
/// Set the clock at once.
pub const HTTPTIME_ACTION_STEP: i32 = 2;
/// Do nothing; an operator should look at it.
pub const HTTPTIME_ACTION_REFUSE: i32 = 3;

/// Not refused.
pub const HTTPTIME_REFUSAL_NONE: i32 = 0;
/// The bounds are wider than the error that would be corrected.
pub const HTTPTIME_REFUSAL_BOUNDS_TOO_WIDE: i32 = 1;
/// The clock would show a time before the floor.
pub const HTTPTIME_REFUSAL_BEFORE_FLOOR: i32 = 2;
/// The correction exceeds the limit for one correction in this direction.
pub const HTTPTIME_REFUSAL_TOO_FAR: i32 = 3;
/// The sum of the steps since the start would exceed its limit.
pub const HTTPTIME_REFUSAL_ACCUMULATED: i32 = 4;
/// The server's Date was not seen to advance.
pub const HTTPTIME_REFUSAL_DATE_NOT_ADVANCED: i32 = 5;

/// The rules for correcting a clock. Filled by httptime_policy_init; then change what you need. A
/// negative limit means no limit.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct httptime_policy {
    /// sizeof(httptime_policy). httptime_policy_init sets it.
    pub struct_size: u32,
    /// HTTPTIME_EVIDENCE_*. Default: HTTPTIME_EVIDENCE_BOUNDS.
    pub evidence: i32,
    /// Larger errors are stepped, smaller ones slewed. Default: 128 ms. Negative: all are slewed.
    pub step_threshold_ns: i64,
    /// The limit of one forward correction. Default: 1000 s.
    pub max_forward_ns: i64,
    /// The limit of one backward correction. Default: 1000 s.
    pub max_backward_ns: i64,
    /// The limit of the first forward correction since the start. Default: 1800 s.
    pub max_startup_forward_ns: i64,
    /// The limit of the first backward correction since the start. Default: 1800 s.
    pub max_startup_backward_ns: i64,
    /// The limit of the sum of all steps since the start. Default: unlimited.
    pub max_accumulated_ns: i64,
    /// The earliest time that is set: ns since 1970. Default: the day on which the library was
    /// built.
    pub floor_ns: i64,
    /// How many independent servers must agree for a step beyond the limits of one correction. 2 or
    /// more. Default: 0, a majority of three or more.
    pub quorum: u32,
    /// Whether a step may exceed these limits if there are only one or two independent servers: 1
    /// or 0. A server that lies can then set any time that is not before the floor. Default: 0.
    pub trust_single: i32,
}

// SAFETY: integers; each field begins where the one before it ends.
unsafe impl Versioned for httptime_policy {
    const MIN_SIZE: usize = 16;

    fn initial() -> Self {
        let seconds = |seconds| nanos(Duration::from_secs(seconds));
        Self {
            struct_size: size::<Self>(),
            evidence: HTTPTIME_EVIDENCE_BOUNDS,
            step_threshold_ns: nanos(Duration::from_millis(128)),
            max_forward_ns: seconds(1000),
            max_backward_ns: seconds(1000),
            max_startup_forward_ns: seconds(1800),
            max_startup_backward_ns: seconds(1800),
            max_accumulated_ns: -1,
            floor_ns: httptime::build_day().as_unix_nanos(),
            quorum: 0,
            trust_single: 0,
        }
    }
}

/// The earlier corrections of the clock. All zero: there were none, and there will be no further
/// decision.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct httptime_history {
    /// sizeof(httptime_history), set by the caller.
    pub struct_size: u32,
    /// Whether the clock has been corrected since the start. Until then the start-up limits apply.
    pub settled: i32,
    /// The sum of the sizes of all steps since the start.
    pub stepped_ns: i64,
    /// The time until the next decision, which limits the size of a slew. 0: there is none.
    pub horizon_ns: i64,
}

// SAFETY: integers; each field begins where the one before it ends.
unsafe impl Versioned for httptime_history {
    const MIN_SIZE: usize = 24;

    fn initial() -> Self {
        Self { struct_size: size::<Self>(), settled: 0, stepped_ns: 0, horizon_ns: 0 }
    }
}

/// The decision about the clock. Written by httptime_policy_decide; set struct_size before.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct httptime_decision {
    /// sizeof(httptime_decision), set by the caller.
    pub struct_size: u32,
    /// HTTPTIME_ACTION_*.
    pub action: i32,
    /// The size of the slew or step; positive: forward. Otherwise 0.
    pub by_ns: i64,
    /// The reason of a refusal: HTTPTIME_REFUSAL_*.
    pub refusal: i32,
    /// 0.
    pub reserved: u32,
    /// The refusal in words, with the values, ended by a NUL. Otherwise empty.
    pub reason: [c_char; 256],
}

// SAFETY: integers; each field begins where the one before it ends.
unsafe impl Versioned for httptime_decision {
    const MIN_SIZE: usize = 16;

    fn initial() -> Self {
        Self {
            struct_size: size::<Self>(),
            action: HTTPTIME_ACTION_LEAVE,
            by_ns: 0,
            refusal: HTTPTIME_REFUSAL_NONE,
            reserved: 0,
            reason: [0; 256],
        }
    }
}

/// Sets the default rules, including struct_size.
///
/// policy: need not be initialised. struct_size: sizeof(httptime_policy). Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_policy_init(
    policy: *mut httptime_policy,
    struct_size: u32,
) -> httptime_status {
    // SAFETY: the header requires that `struct_size` bytes can be written there.
    guard(|| unsafe { initialise(policy, struct_size, "policy") })
}

/// Decides what to do with the clock after a measurement. Changes nothing: use this function for a
/// dry run.
///
/// policy: NULL for the defaults. history: NULL for none. decision: its struct_size set by the
/// caller; written only on HTTPTIME_OK, which is also the status of a refusal. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_policy_decide(
    policy: *const httptime_policy,
    history: *const httptime_history,
    measurement: *const httptime_measurement,
    decision: *mut httptime_decision,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointers point to.
        let (policy, history, reading, output) = unsafe {
            (
                self::policy(policy)?,
                self::history(history)?,
                reading(measurement)?,
                Output::new(decision, "decision")?,
            )
        };
        output.write(&policy.decide(&reading, &history).into());
        Ok(())
    })
}

/// CHANGES THE SYSTEM'S CLOCK: applies a decision, and tells the kernel the clock's error
/// afterwards. A refusal changes nothing. Changes made before a failure remain.
///
/// If the measurement has HTTPTIME_CERTIFICATES_SERVER_TIME, the clock is corrected but not marked
/// as synchronised: measure again with clock_is_synchronised set, and apply that.
///
/// measurement, decision: of httptime_policy_decide. now: both clocks now, on the monotonic clock
/// of the measurement (httptime_cross_timestamp_now for one of httptime_query). Fails with
/// HTTPTIME_ERROR_CLOCK_STEPPED if the wall clock was set since the measurement, and with 70 to 74.
/// Needs root or CAP_SYS_TIME. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_clock_apply(
    measurement: *const httptime_measurement,
    decision: *const httptime_decision,
    now: *const httptime_cross_timestamp,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointers point to.
        let (reading, decision, now) = unsafe {
            (reading(measurement)?, read(decision, "decision")?, cross_timestamp(now, "now")?)
        };
        let by = Offset::from_nanos(decision.by_ns);
        let action = match decision.action {
            HTTPTIME_ACTION_LEAVE => Action::Leave,
            HTTPTIME_ACTION_SLEW => Action::Slew(by),
            HTTPTIME_ACTION_STEP => Action::Step(by),
            HTTPTIME_ACTION_REFUSE => return Ok(()),
            other => return Err(unknown("action", other)),
        };
        check_wall_clock(&reading, now)?;
        httptime_clock::controller::apply(&mut SystemClock::new(), action, &reading)?;
        Ok(())
    })
}

/// CHANGES THE SYSTEM'S CLOCK: sets it at once. On Linux the clock is marked as not synchronised
/// afterwards: call httptime_clock_set_synchronised.
///
/// by_ns: how much forward; negative: back. Fails with 70 to 74; the clock is then unchanged. Needs
/// root or CAP_SYS_TIME. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn httptime_clock_step(by_ns: i64) -> httptime_status {
    guard(|| Ok(SystemClock::new().step(Offset::from_nanos(by_ns))?))
}

/// CHANGES THE SYSTEM'S CLOCK: slews it, at 500 ppm: a second takes 33 minutes. Replaces a running
/// slew; 0 cancels it. Returns at once.
///
/// by_ns: how much forward; negative: back (the clock never runs backward); rounded to a
/// microsecond. Fails with 70 to 74; the clock is then unchanged. Needs root or CAP_SYS_TIME. One
/// thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn httptime_clock_slew(by_ns: i64) -> httptime_status {
    guard(|| Ok(SystemClock::new().slew(Offset::from_nanos(by_ns))?))
}

/// The remainder of the last slew. Changes nothing and needs no privileges.
///
/// by_ns: set to how much forward. Fails with HTTPTIME_ERROR_UNSUPPORTED if the kernel does not
/// report it. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_clock_remaining_slew(by_ns: *mut i64) -> httptime_status {
    guard(|| {
        let place = target(by_ns, "by_ns")?;
        let remaining = SystemClock::new().remaining_slew()?.as_nanos();
        // SAFETY: the header requires that a number can be written there.
        unsafe { place.write(remaining) };
        Ok(())
    })
}

/// CHANGES THE STATUS OF THE SYSTEM'S CLOCK: tells the kernel that the clock is synchronised, as
/// timedatectl and node_exporter show it. From then on the kernel also writes the time to the
/// hardware clock.
///
/// maximum_error_ns: a bound of the clock's error. estimated_error_ns: its standard deviation.
/// Neither may be negative. Fails with 70 to 74; needs root or CAP_SYS_TIME. One thread at a time.
#[unsafe(no_mangle)]
pub extern "C" fn httptime_clock_set_synchronised(
    maximum_error_ns: i64,
    estimated_error_ns: i64,
) -> httptime_status {
    guard(|| {
        let maximum = duration(maximum_error_ns, "maximum_error_ns")?;
        let estimated = duration(estimated_error_ns, "estimated_error_ns")?;
        SystemClock::new().set_status(SyncStatus::synchronised(maximum, estimated))?;
        Ok(())
    })
}

impl From<Action> for httptime_decision {
    fn from(action: Action) -> Self {
        let (action, by, refusal) = match action {
            Action::Slew(by) => (HTTPTIME_ACTION_SLEW, by, None),
            Action::Step(by) => (HTTPTIME_ACTION_STEP, by, None),
            Action::Refuse(refusal) => (HTTPTIME_ACTION_REFUSE, Offset::ZERO, Some(refusal)),
            _ => (HTTPTIME_ACTION_LEAVE, Offset::ZERO, None),
        };
        Self {
            action,
            by_ns: by.as_nanos(),
            refusal: match refusal {
                None => HTTPTIME_REFUSAL_NONE,
                Some(Refusal::BoundsTooWide { .. }) => HTTPTIME_REFUSAL_BOUNDS_TOO_WIDE,
                Some(Refusal::BeforeFloor { .. }) => HTTPTIME_REFUSAL_BEFORE_FLOOR,
                Some(Refusal::Accumulated { .. }) => HTTPTIME_REFUSAL_ACCUMULATED,
                Some(Refusal::DateNotAdvanced) => HTTPTIME_REFUSAL_DATE_NOT_ADVANCED,
                Some(_) => HTTPTIME_REFUSAL_TOO_FAR,
            },
            reason: array(&refusal.map(|refusal| refusal.to_string()).unwrap_or_default()),
            ..Self::initial()
        }
    }
}

/// # Safety
/// `policy` must be NULL or point to one.
unsafe fn policy(policy: *const httptime_policy) -> Result<Policy, Failure> {
    let policy = if policy.is_null() {
        httptime_policy::initial()
    } else {
        // SAFETY: as the caller guarantees.
        unsafe { read(policy, "policy") }?
    };
    let limit = |nanos: i64| (nanos >= 0).then(|| Offset::from_nanos(nanos).abs());
    Ok(Policy::default()
        .evidence(match policy.evidence {
            HTTPTIME_EVIDENCE_BOUNDS => Evidence::Bounds,
            HTTPTIME_EVIDENCE_ESTIMATE => Evidence::Estimate,
            other => return Err(unknown("evidence", other)),
        })
        .step_threshold(limit(policy.step_threshold_ns))
        .max_forward(limit(policy.max_forward_ns))
        .max_backward(limit(policy.max_backward_ns))
        .max_startup_forward(limit(policy.max_startup_forward_ns))
        .max_startup_backward(limit(policy.max_startup_backward_ns))
        .max_accumulated(limit(policy.max_accumulated_ns))
        .floor(Timestamp::from_unix_nanos(policy.floor_ns))
        .quorum(quorum(policy.quorum)?)
        .trust_single(policy.trust_single != 0))
}

fn quorum(servers: u32) -> Result<Option<usize>, Failure> {
    match usize::try_from(servers).unwrap_or(usize::MAX) {
        0 => Ok(None),
        1 => Err(Failure::argument("quorum is 1; allowed: 0, or 2 or more; see trust_single")),
        servers => Ok(Some(servers)),
    }
}

/// # Safety
/// `history` must be NULL or point to one.
unsafe fn history(history: *const httptime_history) -> Result<History, Failure> {
    if history.is_null() {
        return Ok(History::default());
    }
    // SAFETY: as the caller guarantees.
    let history = unsafe { read(history, "history") }?;
    let horizon = duration(history.horizon_ns, "horizon_ns")?;
    Ok(History {
        settled: history.settled != 0,
        hinted: Duration::ZERO,
        stepped: duration(history.stepped_ns, "stepped_ns")?,
        horizon: (!horizon.is_zero()).then_some(horizon),
    })
}

/// # Safety
/// `measurement` must be NULL or point to one.
unsafe fn reading(measurement: *const httptime_measurement) -> Result<Reading, Failure> {
    // SAFETY: as the caller guarantees.
    let measurement = unsafe { read(measurement, "measurement") }?;
    if usize::try_from(measurement.struct_size).is_ok_and(|size| size < UP_TO_DATE_ADVANCED) {
        return Err(Failure::argument("measurement does not reach to its date_advanced"));
    }
    Ok(Reading {
        offset: Offset::from_nanos(measurement.offset_ns),
        stddev: duration(measurement.stddev_ns, "stddev_ns")?,
        bounds: interval(measurement.lower_ns, measurement.upper_ns)?,
        lag: duration(measurement.lag_ns, "lag_ns")?,
        date_advanced: measurement.date_advanced != 0,
        at: LocalInstant::from_nanos(measurement.at_ns),
        local_time: Timestamp::from_unix_nanos(measurement.local_time_ns),
        is_unconfirmed: [measurement.certificates, measurement.proxy_certificates]
            .contains(&HTTPTIME_CERTIFICATES_SERVER_TIME),
        agreement: agreement(&measurement),
    })
}

/// A measurement that another library made may not say how many servers agree: then it is one.
fn agreement(measurement: &httptime_measurement) -> Agreement {
    let count = |servers: u32| usize::try_from(servers).unwrap_or(usize::MAX);
    match measurement.servers_configured {
        0 => Agreement::SINGLE,
        configured => Agreement {
            agreeing: count(measurement.servers_agreeing),
            independent: count(measurement.servers_independent),
            configured: count(configured),
        },
    }
}

/// Whether the wall clock is still the one that was measured: it advances as the monotonic clock
/// does, except for a possible slew.
fn check_wall_clock(reading: &Reading, now: CrossTimestamp) -> Result<(), Failure> {
    let measured = CrossTimestamp::new(reading.at, reading.local_time, Duration::ZERO);
    let by = measured.stepped_by(now);
    let slewed = now.instant().saturating_since(reading.at) / SLEW_RATE_DIVISOR;
    if by.abs() > WALL_CLOCK_TOLERANCE + now.uncertainty() + slewed {
        let reason = format!(
            "the local clock was stepped by {by:.3} s since the measurement; measure again"
        );
        return Err(Failure::new(HTTPTIME_ERROR_CLOCK_STEPPED, reason));
    }
    Ok(())
}

/// A decision needs the fields up to this one.
const UP_TO_DATE_ADVANCED: usize =
    std::mem::offset_of!(httptime_measurement, date_advanced) + size_of::<i32>();
/// The largest difference between wall clock and monotonic clock that does not count as a step.
const WALL_CLOCK_TOLERANCE: Duration = Duration::from_millis(1);
/// A slew changes the clock by one part in this number.
const SLEW_RATE_DIVISOR: u32 = 2000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{HTTPTIME_ERROR_INVALID_ARGUMENT, HTTPTIME_OK};

    #[test]
    fn the_default_rules_are_those_of_the_clock_crate() {
        let defaults = httptime_policy::initial();
        // SAFETY: a structure on the stack.
        let ours = unsafe { policy(&raw const defaults) }.expect("valid");
        assert_eq!(ours, Policy::default());
    }

    #[test]
    fn a_quorum_or_trust_lets_a_step_exceed_the_limits() {
        let back = |agreeing, configured, quorum, trust_single| {
            let hours = -7200 * 1_000_000_000;
            let mut measurement = httptime_measurement::initial();
            (measurement.offset_ns, measurement.lower_ns) = (hours, hours - 1_000_000);
            (measurement.upper_ns, measurement.date_advanced) = (hours + 1_000_000, 1);
            measurement.local_time_ns = httptime::build_day().as_unix_nanos() - 2 * hours;
            (measurement.servers_agreeing, measurement.servers_configured) = (agreeing, configured);
            measurement.servers_independent = configured;
            let policy = httptime_policy { quorum, trust_single, ..httptime_policy::initial() };
            let mut decision = httptime_decision::initial();
            // SAFETY: structures on the stack.
            let status = unsafe {
                httptime_policy_decide(&policy, std::ptr::null(), &measurement, &mut decision)
            };
            (status, decision.action, decision.refusal)
        };
        let stepped = (HTTPTIME_OK, HTTPTIME_ACTION_STEP, HTTPTIME_REFUSAL_NONE);
        let refused = (HTTPTIME_OK, HTTPTIME_ACTION_REFUSE, HTTPTIME_REFUSAL_TOO_FAR);
        assert_eq!(back(2, 3, 0, 0), stepped);
        assert_eq!(back(2, 3, 3, 0), refused);
        assert_eq!(back(1, 3, 0, 1), refused);
        assert_eq!(back(0, 0, 0, 0), refused, "not stated: one server");
        assert_eq!(back(0, 0, 0, 1), stepped);
        assert_eq!(back(2, 3, 1, 0).0, HTTPTIME_ERROR_INVALID_ARGUMENT);
    }

    #[test]
    fn a_wall_clock_that_was_set_since_the_measurement_is_noticed() {
        let seconds = |seconds: i64| seconds * 1_000_000_000;
        let reading = Reading {
            offset: Offset::ZERO,
            stddev: Duration::ZERO,
            bounds: interval(0, 0).expect("in order"),
            lag: Duration::ZERO,
            date_advanced: true,
            at: LocalInstant::from_nanos(seconds(10)),
            local_time: Timestamp::from_unix_nanos(seconds(1000)),
            is_unconfirmed: false,
            agreement: Agreement::SINGLE,
        };
        let now = |instant: i64, wall: i64| {
            let (instant, wall) =
                (LocalInstant::from_nanos(instant), Timestamp::from_unix_nanos(wall));
            check_wall_clock(&reading, CrossTimestamp::new(instant, wall, Duration::ZERO))
        };
        assert!(now(seconds(15), seconds(1005)).is_ok());
        assert!(now(seconds(15), seconds(1005) + 3_000_000).is_ok());
        for wall in [seconds(1005) + 4_000_000, seconds(1004), i64::MIN, i64::MAX] {
            let failure = now(seconds(15), wall).expect_err("it was set");
            assert_eq!(failure.status, HTTPTIME_ERROR_CLOCK_STEPPED);
        }
    }
}
