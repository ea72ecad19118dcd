use std::ffi::{c_char, c_void};
use std::ptr;

use httptime::config::{Config, ConfigBuilder};
use httptime::estimate::EstimatorKind;
use httptime::net::Canceller;
use httptime::schedule::{Profile, ScheduleKind};
use httptime::{Family, Offset, Timestamp};

use crate::boundary::{
    Output, Versioned, checked_size, duration, guard, nanos, read, reference, size, target, text,
};
use crate::canceller::httptime_canceller;
use crate::failure::Failure;
use crate::progress::httptime_progress;
use crate::status::httptime_status;

/// At most 24 requests and about ten seconds, on one connection.
pub const HTTPTIME_PROFILE_BALANCED: i32 = 0;
/// At most one request a second and 12 in all.
pub const HTTPTIME_PROFILE_POLITE: i32 = 1;
/// At most 64 requests and five seconds, up to four under way at once.
pub const HTTPTIME_PROFILE_FAST: i32 = 2;

/// How likely each offset is, given how round trips split. The most precise.
pub const HTTPTIME_ESTIMATOR_POSTERIOR: i32 = 0;
/// The middle of what all exchanges allow (Marzullo).
pub const HTTPTIME_ESTIMATOR_INTERSECTION: i32 = 1;
/// The same, with half of the shortest round trip known on each way.
pub const HTTPTIME_ESTIMATOR_SYMMETRIC: i32 = 2;
/// htpdate's bisection.
pub const HTTPTIME_ESTIMATOR_HTPDATE: i32 = 3;
/// The middle of the best single exchange (Cristian).
pub const HTTPTIME_ESTIMATOR_MIDPOINT: i32 = 4;
/// The last Date as it came.
pub const HTTPTIME_ESTIMATOR_LAST_DATE: i32 = 5;

/// As the profile has it.
pub const HTTPTIME_SCHEDULE_PROFILE: i32 = 0;
/// Evenly over the time allowed.
pub const HTTPTIME_SCHEDULE_PERIODIC: i32 = 1;
/// Each request at the middle of what is still unknown.
pub const HTTPTIME_SCHEDULE_BISECT: i32 = 2;
/// Several through one second's beginning, then closer.
pub const HTTPTIME_SCHEDULE_SCAN: i32 = 3;
/// The schedule of htpdate -p, for the estimator of that name.
pub const HTTPTIME_SCHEDULE_HTPDATE: i32 = 4;

/// Whatever addresses the resolver gives, in its order.
pub const HTTPTIME_FAMILY_ANY: i32 = 0;
/// IPv4 only.
pub const HTTPTIME_FAMILY_IPV4: i32 = 4;
/// IPv6 only.
pub const HTTPTIME_FAMILY_IPV6: i32 = 6;

/// For httptime_options.floor_ns: any Date is taken for possible.
pub const HTTPTIME_NO_FLOOR: i64 = i64::MIN;

/// The most servers that one call asks.
pub const HTTPTIME_MAX_SERVERS: usize = 16;

/// Shown what has been learnt, after each exchange. Called on the thread that called the library, with no lock held; it may
/// call the library. It must return (no longjmp, no C++ exception).
///
/// progress: gone when it returns; its struct_size is the library's. user_data: httptime_options.progress_data.
pub type httptime_progress_callback =
    Option<unsafe extern "C" fn(progress: *const httptime_progress, user_data: *mut c_void)>;

/// How to measure. Filled by httptime_options_init, then changed where wanted. It is read during the call that it is given
/// to and not kept: it may be on the stack and shared by threads.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct httptime_options {
    /// sizeof(httptime_options). httptime_options_init sets it.
    pub struct_size: u32,
    /// What to spend: HTTPTIME_PROFILE_*. Default: HTTPTIME_PROFILE_BALANCED.
    pub profile: i32,
    /// HTTPTIME_ESTIMATOR_*. Default: HTTPTIME_ESTIMATOR_POSTERIOR.
    pub estimator: i32,
    /// HTTPTIME_SCHEDULE_*. Default: HTTPTIME_SCHEDULE_PROFILE.
    pub schedule: i32,
    /// Which addresses of a name to use: HTTPTIME_FAMILY_*. Default: HTTPTIME_FAMILY_ANY.
    pub family: i32,
    /// The most requests to send to one server, up to 1000. 0, the default: as many as the profile has.
    pub requests: u32,
    /// The two clocks come apart no faster than this, in parts per million; up to 10,000. Default: 100.
    pub drift_ppm: u32,
    /// Through the proxy: not 0 has it open a tunnel (CONNECT) instead of forwarding requests. Default: 0.
    pub tunnel: i32,
    /// How long after the first request another one may be sent, up to an hour. 0, the default: as the profile has it.
    pub duration_ns: i64,
    /// The longest wait for a name, a connection or a response: 1 ms to an hour. Default: 5 s. A call takes no longer than
    /// twice this and the duration together.
    pub timeout_ns: i64,
    /// Stop as soon as the standard deviation is no larger. 0, the default: never for that reason.
    pub target_ns: i64,
    /// The server's Date is late by no more than this, whatever its software; up to an hour. Negative, the default: by
    /// what its Server field says, 1.02 s for unknown software.
    pub lag_ns: i64,
    /// The earliest Date taken for possible, ns since 1970. Default: 2025-01-01. HTTPTIME_NO_FLOOR takes any.
    pub floor_ns: i64,
    /// "http://user:password@host:port", the password and the port only if needed, or NULL, the default, for none. The
    /// environment is not looked at. In user and password, / is %2F, ? is %3F, # is %23 and % is %25.
    pub proxy: *const c_char,
    /// Ends the call from elsewhere, or NULL, the default.
    pub canceller: *const httptime_canceller,
    /// Called after each exchange, or NULL, the default.
    pub progress: httptime_progress_callback,
    /// Handed to it.
    pub progress_data: *mut c_void,
}

// SAFETY: integers, pointers and a function pointer that may be NULL, all of which may have any bits; each field begins
// where the one before it ends.
unsafe impl Versioned for httptime_options {
    const SMALLEST: usize = 16;

    fn initial() -> Self {
        let config = Config::default();
        Self {
            struct_size: size::<Self>(),
            profile: HTTPTIME_PROFILE_BALANCED,
            estimator: HTTPTIME_ESTIMATOR_POSTERIOR,
            schedule: HTTPTIME_SCHEDULE_PROFILE,
            family: HTTPTIME_FAMILY_ANY,
            requests: 0,
            drift_ppm: config.drift_ppm(),
            tunnel: 0,
            duration_ns: 0,
            timeout_ns: nanos(config.limits().timeout()),
            target_ns: 0,
            lag_ns: -1,
            floor_ns: config.floor().map_or(HTTPTIME_NO_FLOOR, Timestamp::as_unix_nanos),
            proxy: ptr::null(),
            canceller: ptr::null(),
            progress: None,
            progress_data: ptr::null_mut(),
        }
    }
}

/// Fills in the defaults, struct_size too.
///
/// options: need not be initialised. struct_size: sizeof(httptime_options), by which the library knows the caller's header.
/// Fails with HTTPTIME_ERROR_INVALID_ARGUMENT for NULL and for a size that none of the headers had. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_options_init(
    options: *mut httptime_options,
    struct_size: u32,
) -> httptime_status {
    // SAFETY: the header says that `struct_size` bytes can be written there.
    guard(|| unsafe { initialise(options, struct_size, "options") })
}

/// # Safety
/// `to` is NULL, or `struct_size` bytes can be written there.
pub(crate) unsafe fn initialise<T: Versioned>(
    to: *mut T,
    struct_size: u32,
    name: &str,
) -> Result<(), Failure> {
    let place = target(to, name)?;
    checked_size::<T>(struct_size, name)?;
    // SAFETY: a structure begins with its size; it is as large as the caller says, and an output is told so.
    let output = unsafe {
        place.cast::<u32>().write(struct_size);
        Output::new(to, name)
    }?;
    output.write(&T::initial());
    Ok(())
}

/// What options come to. Without `Debug`: the proxy's text may hold a password.
pub(crate) struct Settings<'a> {
    pub(crate) config: Config,
    pub(crate) proxy: Option<&'a str>,
    pub(crate) tunnel: bool,
    pub(crate) family: Family,
    pub(crate) canceller: Option<&'a Canceller>,
    pub(crate) progress: Option<Watcher>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Watcher {
    pub(crate) callback: unsafe extern "C" fn(*const httptime_progress, *mut c_void),
    pub(crate) user_data: *mut c_void,
}

impl<'a> Settings<'a> {
    /// # Safety
    /// `options` is NULL, which stands for the defaults, or points to options whose pointers are NULL or valid for `'a`.
    pub(crate) unsafe fn of(options: *const httptime_options) -> Result<Self, Failure> {
        let options = if options.is_null() {
            httptime_options::initial()
        } else {
            // SAFETY: as the caller says.
            unsafe { read(options, "options") }?
        };
        let proxy = if options.proxy.is_null() {
            None
        } else {
            // SAFETY: as the caller says.
            Some(unsafe { text(options.proxy, "options.proxy") }?)
        };
        let canceller = if options.canceller.is_null() {
            None
        } else {
            // SAFETY: as the caller says.
            Some(&unsafe { reference(options.canceller, "options.canceller") }?.0)
        };
        Ok(Self {
            config: options.config()?,
            proxy,
            tunnel: options.tunnel != 0,
            family: match options.family {
                HTTPTIME_FAMILY_ANY => Family::Any,
                HTTPTIME_FAMILY_IPV4 => Family::V4,
                HTTPTIME_FAMILY_IPV6 => Family::V6,
                other => return Err(unknown("family", other)),
            },
            canceller,
            progress: options
                .progress
                .map(|callback| Watcher { callback, user_data: options.progress_data }),
        })
    }
}

impl httptime_options {
    fn config(&self) -> Result<Config, Failure> {
        let mut builder = Config::builder()
            .profile(profile(self.profile)?)
            .estimator(estimator(self.estimator)?)
            .drift_ppm(self.drift_ppm)
            .timeout(duration(self.timeout_ns, "timeout_ns")?);
        builder = self.schedule(builder)?;
        if self.requests != 0 {
            builder = builder.requests(self.requests);
        }
        if self.duration_ns != 0 {
            builder = builder.duration(duration(self.duration_ns, "duration_ns")?);
        }
        if self.target_ns != 0 {
            builder = builder.target(duration(self.target_ns, "target_ns")?);
        }
        if self.lag_ns >= 0 {
            builder = builder.lag(Offset::from_nanos(self.lag_ns).abs());
        }
        let floor =
            (self.floor_ns != HTTPTIME_NO_FLOOR).then(|| Timestamp::from_unix_nanos(self.floor_ns));
        Ok(builder.floor(floor).build()?)
    }

    fn schedule(&self, builder: ConfigBuilder) -> Result<ConfigBuilder, Failure> {
        Ok(match self.schedule {
            HTTPTIME_SCHEDULE_PROFILE => builder,
            HTTPTIME_SCHEDULE_PERIODIC => builder.schedule(ScheduleKind::Periodic),
            HTTPTIME_SCHEDULE_BISECT => builder.schedule(ScheduleKind::Bisect),
            HTTPTIME_SCHEDULE_SCAN => builder.schedule(ScheduleKind::Scan),
            HTTPTIME_SCHEDULE_HTPDATE => builder.schedule(ScheduleKind::Htpdate),
            other => return Err(unknown("schedule", other)),
        })
    }
}

fn profile(number: i32) -> Result<Profile, Failure> {
    Ok(match number {
        HTTPTIME_PROFILE_BALANCED => Profile::Balanced,
        HTTPTIME_PROFILE_POLITE => Profile::Polite,
        HTTPTIME_PROFILE_FAST => Profile::Fast,
        other => return Err(unknown("profile", other)),
    })
}

pub(crate) fn estimator(number: i32) -> Result<EstimatorKind, Failure> {
    Ok(match number {
        HTTPTIME_ESTIMATOR_POSTERIOR => EstimatorKind::Posterior,
        HTTPTIME_ESTIMATOR_INTERSECTION => EstimatorKind::Intersection,
        HTTPTIME_ESTIMATOR_SYMMETRIC => EstimatorKind::Symmetric,
        HTTPTIME_ESTIMATOR_HTPDATE => EstimatorKind::Htpdate,
        HTTPTIME_ESTIMATOR_MIDPOINT => EstimatorKind::Midpoint,
        HTTPTIME_ESTIMATOR_LAST_DATE => EstimatorKind::LastDate,
        other => return Err(unknown("estimator", other)),
    })
}

pub(crate) fn unknown(what: &str, number: i32) -> Failure {
    Failure::argument(format!("there is no {what} {number}"))
}
