use std::ffi::{c_char, c_void};
use std::net::IpAddr;
use std::ptr;

use httptime::estimate::EstimatorKind;
use httptime::net::Canceller;
use httptime::schedule::{Profile, ScheduleKind};
use httptime::stamp::DEFAULT_HEADER;
use httptime::{Config, Family, Method, Offset, Timestamp, Timestamping};

use crate::boundary::{
    Output, Versioned, checked_size, duration, guard, nanos, read, reference, size, target, text,
};
use crate::canceller::httptime_canceller;
use crate::failure::Failure;
use crate::progress::httptime_progress;
use crate::status::{HTTPTIME_ERROR_INVALID_CONFIG, httptime_status};
use crate::tls::{PeerOptions, TlsOptions};

/// At most 48 requests and about ten seconds, on one connection; up to 12 are checks, on another
/// one.
pub const HTTPTIME_PROFILE_BALANCED: i32 = 0;
/// At most one request a second and 24 in total, 8 of them checks.
pub const HTTPTIME_PROFILE_POLITE: i32 = 1;
/// At most 64 requests and six seconds, up to four requests and a check in flight at once; up to 12
/// are checks.
pub const HTTPTIME_PROFILE_FAST: i32 = 2;

/// The likelihood of each offset, given how round trips split. The most precise.
pub const HTTPTIME_ESTIMATOR_POSTERIOR: i32 = 0;
/// The middle of the intersection of all exchanges' intervals (Marzullo).
pub const HTTPTIME_ESTIMATOR_INTERSECTION: i32 = 1;
/// The same; each direction takes at least half of the shortest round trip.
pub const HTTPTIME_ESTIMATOR_SYMMETRIC: i32 = 2;
/// htpdate's bisection.
pub const HTTPTIME_ESTIMATOR_HTPDATE: i32 = 3;
/// The middle of the best single exchange (Cristian).
pub const HTTPTIME_ESTIMATOR_MIDPOINT: i32 = 4;
/// The last Date as received.
pub const HTTPTIME_ESTIMATOR_LAST_DATE: i32 = 5;

/// The profile's schedule.
pub const HTTPTIME_SCHEDULE_PROFILE: i32 = 0;
/// At equal intervals over the whole time.
pub const HTTPTIME_SCHEDULE_PERIODIC: i32 = 1;
/// Each request at the middle of the remaining uncertainty.
pub const HTTPTIME_SCHEDULE_BISECT: i32 = 2;
/// Several requests around the beginning of a second, and again at smaller intervals.
pub const HTTPTIME_SCHEDULE_SCAN: i32 = 3;
/// The schedule of htpdate -p, for the estimator of that name.
pub const HTTPTIME_SCHEDULE_HTPDATE: i32 = 4;

/// Every address of the resolver, in its order.
pub const HTTPTIME_FAMILY_ANY: i32 = 0;
/// IPv4 only.
pub const HTTPTIME_FAMILY_IPV4: i32 = 4;
/// IPv6 only.
pub const HTTPTIME_FAMILY_IPV6: i32 = 6;

/// Kernel timestamps of requests and responses where they exist, otherwise the program's, for each
/// request.
pub const HTTPTIME_TIMESTAMPING_AUTO: i32 = 0;
/// Kernel timestamps. A response without both of them is not used; without any, the measurement
/// fails with HTTPTIME_ERROR_NO_KERNEL_TIMESTAMPS.
pub const HTTPTIME_TIMESTAMPING_KERNEL: i32 = 1;
/// The program's timestamps. Kernel timestamps are not requested.
pub const HTTPTIME_TIMESTAMPING_USER: i32 = 2;

/// HEAD. If the first response to it has no Date, or if the server closes the connection without a
/// response, GET from then on.
pub const HTTPTIME_METHOD_AUTO: i32 = 0;
/// HEAD.
pub const HTTPTIME_METHOD_HEAD: i32 = 1;
/// GET. At most 64 KiB of a body are read: after a longer one, or one of unknown length, the
/// connection is closed.
pub const HTTPTIME_METHOD_GET: i32 = 2;
/// OPTIONS *, which most front servers answer by themselves. The path of the URL is not sent.
pub const HTTPTIME_METHOD_OPTIONS: i32 = 3;

/// For httptime_options.floor_ns: any Date is accepted.
pub const HTTPTIME_NO_FLOOR: i64 = i64::MIN;

/// The maximum number of servers in one call.
pub const HTTPTIME_MAX_SERVERS: usize = 16;

/// Called after each exchange with the evidence so far, on the thread that called the library, with
/// no lock held; it may call the library. It must return (no longjmp, no C++ exception).
///
/// progress: valid during the call; its struct_size is the library's. user_data:
/// httptime_options.progress_data.
pub type httptime_progress_callback =
    Option<unsafe extern "C" fn(progress: *const httptime_progress, user_data: *mut c_void)>;

/// The settings of a measurement. Filled by httptime_options_init; then change what you need. They
/// are used only during the call: they may be on the stack and shared by threads.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct httptime_options {
    /// sizeof(httptime_options). httptime_options_init sets it.
    pub struct_size: u32,
    /// The profile: HTTPTIME_PROFILE_*. Default: HTTPTIME_PROFILE_BALANCED.
    pub profile: i32,
    /// HTTPTIME_ESTIMATOR_*. Default: HTTPTIME_ESTIMATOR_POSTERIOR.
    pub estimator: i32,
    /// HTTPTIME_SCHEDULE_*. Default: HTTPTIME_SCHEDULE_PROFILE.
    pub schedule: i32,
    /// The address family: HTTPTIME_FAMILY_*. Default: HTTPTIME_FAMILY_ANY.
    pub family: i32,
    /// The limit of requests to one server, up to 1000. 0, the default: the profile's.
    pub requests: u32,
    /// The limit of the frequency difference of the two clocks, in parts per million; up to 10,000.
    /// Default: 300.
    pub drift_ppm: u32,
    /// With a proxy: not 0 makes it open a tunnel (CONNECT) instead of forwarding requests.
    /// Default: 0.
    pub tunnel: i32,
    /// The source of the timestamps of requests and responses: HTTPTIME_TIMESTAMPING_*. Default:
    /// HTTPTIME_TIMESTAMPING_AUTO.
    pub timestamping: i32,
    /// How many servers must answer and agree, up to their number. 0, the default: more than half
    /// of them.
    pub min_servers: u32,
    /// The time from the first request until the last one may be sent, up to an hour. 0, the
    /// default: the profile's.
    pub duration_ns: i64,
    /// The longest wait for a name, a connection or a response: 1 ms to an hour. Default: 5 s. A
    /// call takes at most twice this plus the duration.
    pub timeout_ns: i64,
    /// Stop as soon as the standard deviation is at most this. 0, the default: never for this
    /// reason.
    pub target_ns: i64,
    /// The limit of the server's lag, which is how late its Date is, whatever its software; up to
    /// an hour. Negative, the default: derived from the response, 2.02 s for unknown software.
    pub lag_ns: i64,
    /// The earliest Date that is accepted, ns since 1970. Default: 2025-01-01. HTTPTIME_NO_FLOOR
    /// accepts any.
    pub floor_ns: i64,
    /// "http://user:password@host:port" or "https://...", the password and the port only if needed,
    /// or NULL, the default, for none. The environment is not read. In user and password, / is %2F,
    /// ? is %3F, # is %23 and % is %25.
    pub proxy: *const c_char,
    /// The local address of every connection ("192.0.2.7", "2001:db8::7"), or NULL, the default,
    /// for the system's choice.
    pub source_address: *const c_char,
    /// The network interface of every connection ("eth0"), or NULL, the default, for the system's
    /// choice. Linux only; on other systems connections fail.
    pub interface: *const c_char,
    /// Stops the call from another thread, or NULL, the default.
    pub canceller: *const httptime_canceller,
    /// Called after each exchange, or NULL, the default.
    pub progress: httptime_progress_callback,
    /// Passed to it.
    pub progress_data: *mut c_void,
    /// The value of User-Agent: up to 256 characters of printable ASCII; "" for no such field.
    /// NULL, the default: httptime and its version.
    pub user_agent: *const c_char,
    /// The method of the requests: HTTPTIME_METHOD_*. Default: HTTPTIME_METHOD_AUTO.
    pub method: i32,
    /// https: not 0 accepts every certificate of a server. Then anyone on the path can forge the
    /// time. Default: 0.
    pub insecure: i32,
    /// The header field from which stamps are read, which are a server's clock finer than a second;
    /// "": stamps are ignored. NULL, the default: X-HTTPSTIME.
    pub stamp_header: *const c_char,
    /// https: the file with the CA certificates to trust (PEM), or NULL, the default, for those of
    /// the system. The environment is not read.
    pub cacert: *const c_char,
    /// https: a directory of such files, or NULL, the default.
    pub capath: *const c_char,
    /// https: the file with the client certificate (PEM, with its chain), or NULL, the default.
    pub cert: *const c_char,
    /// https: the file with its private key (PEM, not encrypted), or NULL, the default, if the key
    /// is in the file of the certificate.
    pub key: *const c_char,
    /// https: the only public keys to accept, "sha256//BASE64", several separated by ";". They
    /// replace the check of chain, name and dates. NULL, the default: that check.
    pub pin: *const c_char,
    /// As cacert, for an https proxy.
    pub proxy_cacert: *const c_char,
    /// As capath, for an https proxy.
    pub proxy_capath: *const c_char,
    /// As cert, for an https proxy.
    pub proxy_cert: *const c_char,
    /// As key, for an https proxy.
    pub proxy_key: *const c_char,
    /// As pin, for an https proxy.
    pub proxy_pin: *const c_char,
    /// As insecure, for an https proxy: anyone on the path can read its password. Default: 0.
    pub proxy_insecure: i32,
    /// https: not 0 if the local clock is known to be right. Then it alone decides whether
    /// certificates are valid. 0, the default: the measured time of the server decides.
    pub clock_is_synchronised: i32,
}

// SAFETY: integers, pointers and a function pointer that may be NULL, all of which may have any
// bits; each field begins where the one before it ends.
unsafe impl Versioned for httptime_options {
    const MIN_SIZE: usize = 16;

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
            timestamping: HTTPTIME_TIMESTAMPING_AUTO,
            min_servers: 0,
            duration_ns: 0,
            timeout_ns: nanos(config.limits().timeout()),
            target_ns: 0,
            lag_ns: -1,
            floor_ns: config.floor().map_or(HTTPTIME_NO_FLOOR, Timestamp::as_unix_nanos),
            proxy: ptr::null(),
            source_address: ptr::null(),
            interface: ptr::null(),
            canceller: ptr::null(),
            progress: None,
            progress_data: ptr::null_mut(),
            user_agent: ptr::null(),
            method: HTTPTIME_METHOD_AUTO,
            insecure: 0,
            stamp_header: ptr::null(),
            cacert: ptr::null(),
            capath: ptr::null(),
            cert: ptr::null(),
            key: ptr::null(),
            pin: ptr::null(),
            proxy_cacert: ptr::null(),
            proxy_capath: ptr::null(),
            proxy_cert: ptr::null(),
            proxy_key: ptr::null(),
            proxy_pin: ptr::null(),
            proxy_insecure: 0,
            clock_is_synchronised: 0,
        }
    }
}

/// Sets the defaults, including struct_size.
///
/// options: need not be initialised. struct_size: sizeof(httptime_options), from which the library
/// knows the version of the caller's header. Fails with HTTPTIME_ERROR_INVALID_ARGUMENT for NULL
/// and for a size that no version of the header had. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_options_init(
    options: *mut httptime_options,
    struct_size: u32,
) -> httptime_status {
    // SAFETY: the header requires that `struct_size` bytes can be written there.
    guard(|| unsafe { initialise(options, struct_size, "options") })
}

/// # Safety
/// `to` must be NULL, or `struct_size` bytes must be writable there.
pub(crate) unsafe fn initialise<T: Versioned>(
    to: *mut T,
    struct_size: u32,
    name: &str,
) -> Result<(), Failure> {
    let place = target(to, name)?;
    checked_size::<T>(struct_size, name)?;
    // SAFETY: a structure begins with its size; it is as large as the caller guarantees, and an
    // output gets that size.
    let output = unsafe {
        place.cast::<u32>().write(struct_size);
        Output::new(to, name)
    }?;
    output.write(&T::initial());
    Ok(())
}

/// The checked options. Without `Debug`: the proxy's text may contain a password.
pub(crate) struct Settings<'a> {
    pub(crate) config: Config,
    pub(crate) proxy: Option<&'a str>,
    pub(crate) tunnel: bool,
    pub(crate) method: Method,
    pub(crate) user_agent: Option<&'a str>,
    pub(crate) source_address: Option<IpAddr>,
    pub(crate) interface: Option<&'a str>,
    pub(crate) canceller: Option<&'a Canceller>,
    pub(crate) progress: Option<ProgressCallback>,
    pub(crate) tls: TlsOptions<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct ProgressCallback {
    pub(crate) callback: unsafe extern "C" fn(*const httptime_progress, *mut c_void),
    pub(crate) user_data: *mut c_void,
}

impl<'a> Settings<'a> {
    /// # Safety
    /// `options` must be NULL, which means the defaults, or point to options whose pointers are
    /// NULL or valid for `'a`.
    pub(crate) unsafe fn of(options: *const httptime_options) -> Result<Self, Failure> {
        let options = if options.is_null() {
            httptime_options::initial()
        } else {
            // SAFETY: as the caller guarantees.
            unsafe { read(options, "options") }?
        };
        // SAFETY: as the caller guarantees.
        let (proxy, user_agent, source_address, interface, stamp_header) = unsafe {
            (
                optional(options.proxy, "options.proxy")?,
                optional(options.user_agent, "options.user_agent")?,
                optional(options.source_address, "options.source_address")?,
                optional(options.interface, "options.interface")?,
                optional(options.stamp_header, "options.stamp_header")?,
            )
        };
        // SAFETY: as the caller guarantees.
        let (server, proxy_peer) = unsafe {
            (
                PeerOptions {
                    cacert: optional(options.cacert, "options.cacert")?,
                    capath: optional(options.capath, "options.capath")?,
                    cert: optional(options.cert, "options.cert")?,
                    key: optional(options.key, "options.key")?,
                    pin: optional(options.pin, "options.pin")?,
                    insecure: options.insecure != 0,
                },
                PeerOptions {
                    cacert: optional(options.proxy_cacert, "options.proxy_cacert")?,
                    capath: optional(options.proxy_capath, "options.proxy_capath")?,
                    cert: optional(options.proxy_cert, "options.proxy_cert")?,
                    key: optional(options.proxy_key, "options.proxy_key")?,
                    pin: optional(options.proxy_pin, "options.proxy_pin")?,
                    insecure: options.proxy_insecure != 0,
                },
            )
        };
        let canceller = if options.canceller.is_null() {
            None
        } else {
            // SAFETY: as the caller guarantees.
            Some(&unsafe { reference(options.canceller, "options.canceller") }?.0)
        };
        Ok(Self {
            config: options.config(stamp_header)?,
            proxy,
            tunnel: options.tunnel != 0,
            method: from_table("method", options.method, METHODS)?,
            user_agent,
            source_address: source_address.map(address).transpose()?,
            interface,
            canceller,
            progress: options
                .progress
                .map(|callback| ProgressCallback { callback, user_data: options.progress_data }),
            tls: TlsOptions {
                server,
                proxy: proxy_peer,
                clock_is_synchronised: options.clock_is_synchronised != 0,
                floor: options.floor(),
            },
        })
    }
}

/// # Safety
/// `pointer` must be NULL, or point to a text with a NUL at its end that is valid for `'a`.
unsafe fn optional<'a>(pointer: *const c_char, name: &str) -> Result<Option<&'a str>, Failure> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller guarantees.
    unsafe { text(pointer, name) }.map(Some)
}

fn address(text: &str) -> Result<IpAddr, Failure> {
    text.parse().map_err(|_| {
        let reason = format!("source_address is {text:?}; allowed: an IPv4 or IPv6 address");
        Failure::new(HTTPTIME_ERROR_INVALID_CONFIG, reason)
    })
}

impl httptime_options {
    /// The tables below have the meaning of the header's numbers; `ConfigBuilder` checks the
    /// values.
    fn config(&self, stamp_header: Option<&str>) -> Result<Config, Failure> {
        let mut builder = Config::builder()
            .stamp_header(Some(stamp_header.unwrap_or(DEFAULT_HEADER)))
            .profile(from_table("profile", self.profile, PROFILES)?)
            .estimator(estimator(self.estimator)?)
            .family(from_table("family", self.family, FAMILIES)?)
            .timestamping(from_table("timestamping", self.timestamping, TIMESTAMPINGS)?)
            .drift_ppm(self.drift_ppm)
            .timeout(duration(self.timeout_ns, "timeout_ns")?);
        if let Some(schedule) = from_table("schedule", self.schedule, SCHEDULES)? {
            builder = builder.schedule(schedule);
        }
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
        if self.min_servers != 0 {
            builder = builder.min_servers(usize::try_from(self.min_servers).unwrap_or(usize::MAX));
        }
        Ok(builder.floor(self.floor()).build()?)
    }

    fn floor(&self) -> Option<Timestamp> {
        (self.floor_ns != HTTPTIME_NO_FLOOR).then(|| Timestamp::from_unix_nanos(self.floor_ns))
    }
}

pub(crate) fn estimator(number: i32) -> Result<EstimatorKind, Failure> {
    from_table("estimator", number, ESTIMATORS)
}

/// The meaning of a number of the header.
fn from_table<T: Copy>(what: &str, number: i32, table: &[(i32, T)]) -> Result<T, Failure> {
    let found = table.iter().find(|(known, _)| *known == number);
    found.map(|(_, value)| *value).ok_or_else(|| unknown(what, number))
}

/// The number of the header for a method; HTTPTIME_METHOD_AUTO for none.
pub(crate) fn method_number(method: Option<Method>) -> i32 {
    let known = METHODS.iter().find(|(_, known)| Some(*known) == method);
    known.map_or(HTTPTIME_METHOD_AUTO, |(number, _)| *number)
}

pub(crate) fn unknown(what: &str, number: i32) -> Failure {
    Failure::argument(format!("{what} is {number}, which is none of the header's numbers"))
}

const PROFILES: &[(i32, Profile)] = &[
    (HTTPTIME_PROFILE_BALANCED, Profile::Balanced),
    (HTTPTIME_PROFILE_POLITE, Profile::Polite),
    (HTTPTIME_PROFILE_FAST, Profile::Fast),
];

const ESTIMATORS: &[(i32, EstimatorKind)] = &[
    (HTTPTIME_ESTIMATOR_POSTERIOR, EstimatorKind::Posterior),
    (HTTPTIME_ESTIMATOR_INTERSECTION, EstimatorKind::Intersection),
    (HTTPTIME_ESTIMATOR_SYMMETRIC, EstimatorKind::Symmetric),
    (HTTPTIME_ESTIMATOR_HTPDATE, EstimatorKind::Htpdate),
    (HTTPTIME_ESTIMATOR_MIDPOINT, EstimatorKind::Midpoint),
    (HTTPTIME_ESTIMATOR_LAST_DATE, EstimatorKind::LastDate),
];

/// The adaptive schedule is that of the profile.
const SCHEDULES: &[(i32, Option<ScheduleKind>)] = &[
    (HTTPTIME_SCHEDULE_PROFILE, None),
    (HTTPTIME_SCHEDULE_PERIODIC, Some(ScheduleKind::Periodic)),
    (HTTPTIME_SCHEDULE_BISECT, Some(ScheduleKind::Bisect)),
    (HTTPTIME_SCHEDULE_SCAN, Some(ScheduleKind::Scan)),
    (HTTPTIME_SCHEDULE_HTPDATE, Some(ScheduleKind::Htpdate)),
];

const FAMILIES: &[(i32, Family)] = &[
    (HTTPTIME_FAMILY_ANY, Family::Any),
    (HTTPTIME_FAMILY_IPV4, Family::V4),
    (HTTPTIME_FAMILY_IPV6, Family::V6),
];

const TIMESTAMPINGS: &[(i32, Timestamping)] = &[
    (HTTPTIME_TIMESTAMPING_AUTO, Timestamping::Auto),
    (HTTPTIME_TIMESTAMPING_KERNEL, Timestamping::Kernel),
    (HTTPTIME_TIMESTAMPING_USER, Timestamping::User),
];

const METHODS: &[(i32, Method)] = &[
    (HTTPTIME_METHOD_AUTO, Method::Auto),
    (HTTPTIME_METHOD_HEAD, Method::Head),
    (HTTPTIME_METHOD_GET, Method::Get),
    (HTTPTIME_METHOD_OPTIONS, Method::Options),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Debug;

    use super::*;

    fn check<T: Copy + PartialEq + Debug>(all: &[T], table: &[(i32, T)]) {
        for one in all {
            assert!(table.iter().any(|(_, value)| value == one), "{one:?} has no number");
        }
        let numbers: BTreeSet<i32> = table.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers.len(), table.len(), "a number stands for two of {table:?}");
    }

    #[test]
    fn every_choice_of_the_library_has_a_number_of_its_own() {
        check(Profile::ALL, PROFILES);
        check(EstimatorKind::ALL, ESTIMATORS);
        check(Family::ALL, FAMILIES);
        check(Timestamping::ALL, TIMESTAMPINGS);
        check(Method::ALL, METHODS);
        let kind = |kind: &ScheduleKind| (*kind != ScheduleKind::Adaptive).then_some(*kind);
        check(&ScheduleKind::ALL.iter().map(kind).collect::<Vec<_>>(), SCHEDULES);
    }

    #[test]
    fn the_default_options_are_the_default_config() {
        let config = httptime_options::initial().config(None).expect("valid");
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    }
}
