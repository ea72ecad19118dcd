use std::ffi::c_char;

use httptime::CertificateCheck;
use httptime::EndReason;
use httptime::Measurement;
use httptime::StampUse;
use httptime::server::LagSource;

use crate::boundary::{Versioned, array, nanos, size};
use crate::options::{HTTPTIME_METHOD_AUTO, method_number};
use crate::stamp::{HTTPTIME_STAMP_NONE, number_of_use};
use crate::tls::{HTTPTIME_CERTIFICATES_NONE, check_number};

/// The target standard deviation was reached.
pub const HTTPTIME_END_REASON_TARGET: i32 = 1;
/// More requests would not help.
pub const HTTPTIME_END_REASON_ENOUGH: i32 = 2;
/// The limit of requests was reached.
pub const HTTPTIME_END_REASON_REQUESTS: i32 = 3;
/// The time limit was reached.
pub const HTTPTIME_END_REASON_DURATION: i32 = 4;
/// The server became unreachable. Its earlier responses are used.
pub const HTTPTIME_END_REASON_LOST: i32 = 5;

/// The caller stated the limit of the lag.
pub const HTTPTIME_LAG_STATED: i32 = 1;
/// The software in the Server field made the Date, and the limit is that of the software.
pub const HTTPTIME_LAG_PRODUCT: i32 = 2;
/// The software is unknown: 2.02 s.
pub const HTTPTIME_LAG_UNKNOWN: i32 = 3;
/// The order of the fields shows that the software in the Server field did not make the Date, or
/// that a proxy has sorted them: 2.02 s.
pub const HTTPTIME_LAG_FORWARDED: i32 = 4;
/// The software in the Server field can pass on the Date of another server, and nothing shows
/// whether it did: 2.02 s.
pub const HTTPTIME_LAG_MAY_BE_FORWARDED: i32 = 5;
/// There are several Server fields: 2.02 s.
pub const HTTPTIME_LAG_SEVERAL_SERVER_FIELDS: i32 = 6;
/// The server's clock was read from stamps: 1 ms.
pub const HTTPTIME_LAG_STAMP: i32 = 7;

/// The offset of the local clock from a server's. Written by the library; set struct_size before.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct httptime_measurement {
    /// sizeof(httptime_measurement), set by the caller.
    pub struct_size: u32,
    /// The reason why no more requests were sent: HTTPTIME_END_REASON_*.
    pub end_reason: i32,
    /// The best single offset: server - local. Positive: the local clock is slow.
    pub offset_ns: i64,
    /// The standard deviation of the offset's error, if the server's lag is small and the forward
    /// and return paths are equal. Not a bound.
    pub stddev_ns: i64,
    /// The lower bound of the offset, if the assumptions below are true.
    pub lower_ns: i64,
    /// The upper bound of the offset, if the assumptions below are true.
    pub upper_ns: i64,
    /// The instant to which offset and bounds refer, on the monotonic clock: see httptime_now.
    pub at_ns: i64,
    /// The local wall clock at that instant: ns since 1970-01-01T00:00:00Z.
    pub local_time_ns: i64,
    /// The time from the first request sent to the last response used.
    pub elapsed_ns: i64,
    /// The shortest round trip.
    pub round_trip_min_ns: i64,
    /// Assumption: the server's Date, or its stamp if that is used, is late by at most this.
    pub lag_ns: i64,
    /// The source of that limit: HTTPTIME_LAG_*.
    pub lag_source: i32,
    /// Assumption: the frequencies of the two clocks differ by at most this, in parts per million.
    pub drift_ppm: u32,
    /// Requests sent, with or without a response.
    pub requests: u32,
    /// Responses used.
    pub observations: u32,
    /// How many of these have the kernel's timestamp of the request.
    pub sent_by_kernel: u32,
    /// How many of these have the kernel's timestamp of the response.
    pub received_by_kernel: u32,
    /// How many of the requests were checks, whose response could be predicted.
    pub checks: u32,
    /// Whether the server's Date, or its stamp if that is used, was seen to advance: 1 or 0. If
    /// not, the server's clock may be stopped: do not correct a clock with it.
    pub date_advanced: i32,
    /// The Server field of the last response that had one, ended by a NUL; empty for none, and for
    /// several servers.
    pub server: [c_char; 136],
    /// The method of the requests: HTTPTIME_METHOD_*. HTTPTIME_METHOD_AUTO for several servers with
    /// different methods, and if the requests were not the library's.
    pub method: i32,
    /// The number of caches on the path for which the lag includes 1.02 s each.
    pub caches: u32,
    /// HTTPTIME_STAMP_USED if the result is from stamps; otherwise the reason why not, another
    /// HTTPTIME_STAMP_*. HTTPTIME_STAMP_NONE also for several servers that differ in this.
    pub stamp: i32,
    /// How the validity dates of the server's certificates were checked: HTTPTIME_CERTIFICATES_*.
    /// For several servers the check that proves least.
    pub certificates: i32,
    /// The resolution of the stamps; 0 if none could be read.
    pub stamp_quantum_ns: i64,
    /// With HTTPTIME_CERTIFICATES_SERVER_TIME: the beginning of the time in which all certificates
    /// are valid, ns since 1970. Else 0.
    pub valid_from_ns: i64,
    /// Its end; the largest number for a later time. Else 0.
    pub valid_to_ns: i64,
    /// The same as certificates, for the proxy.
    pub proxy_certificates: i32,
    /// How many of the independent servers agree on this. Servers at one address and servers behind
    /// one proxy count as one.
    pub servers_agreeing: u32,
    /// How many of the configured servers are independent of each other.
    pub servers_independent: u32,
    /// How many servers are configured. 0: unknown, then httptime_policy_decide assumes one.
    pub servers_configured: u32,
}

// SAFETY: integers; each field begins where the one before it ends.
unsafe impl Versioned for httptime_measurement {
    /// Up to the bounds: an offset is not returned without them.
    const MIN_SIZE: usize = 40;

    fn initial() -> Self {
        Self {
            struct_size: size::<Self>(),
            end_reason: 0,
            offset_ns: 0,
            stddev_ns: 0,
            lower_ns: 0,
            upper_ns: 0,
            at_ns: 0,
            local_time_ns: 0,
            elapsed_ns: 0,
            round_trip_min_ns: 0,
            lag_ns: 0,
            lag_source: 0,
            drift_ppm: 0,
            requests: 0,
            observations: 0,
            sent_by_kernel: 0,
            received_by_kernel: 0,
            checks: 0,
            date_advanced: 0,
            server: [0; 136],
            method: HTTPTIME_METHOD_AUTO,
            caches: 0,
            stamp: HTTPTIME_STAMP_NONE,
            certificates: HTTPTIME_CERTIFICATES_NONE,
            stamp_quantum_ns: 0,
            valid_from_ns: 0,
            valid_to_ns: 0,
            proxy_certificates: HTTPTIME_CERTIFICATES_NONE,
            servers_agreeing: 0,
            servers_independent: 0,
            servers_configured: 0,
        }
    }
}

impl From<&Measurement> for httptime_measurement {
    fn from(measurement: &Measurement) -> Self {
        let assumptions = measurement.assumptions();
        let agreement = measurement.agreement();
        let count = |servers: usize| u32::try_from(servers).unwrap_or(u32::MAX);
        let (valid_from_ns, valid_to_ns) = match assumptions.certificates() {
            Some(CertificateCheck::ServerTime { valid_from, valid_to }) => {
                (valid_from.as_unix_nanos(), valid_to.as_unix_nanos())
            }
            _ => (0, 0),
        };
        Self {
            struct_size: size::<Self>(),
            end_reason: match measurement.end_reason() {
                EndReason::Target => HTTPTIME_END_REASON_TARGET,
                EndReason::Enough => HTTPTIME_END_REASON_ENOUGH,
                EndReason::Requests => HTTPTIME_END_REASON_REQUESTS,
                EndReason::Duration => HTTPTIME_END_REASON_DURATION,
                EndReason::Lost(_) => HTTPTIME_END_REASON_LOST,
                _ => 0,
            },
            offset_ns: measurement.offset().as_nanos(),
            stddev_ns: nanos(measurement.stddev()),
            lower_ns: measurement.bounds().lower().as_nanos(),
            upper_ns: measurement.bounds().upper().as_nanos(),
            at_ns: measurement.at().as_nanos(),
            local_time_ns: measurement.local_time().as_unix_nanos(),
            elapsed_ns: nanos(measurement.elapsed()),
            round_trip_min_ns: nanos(measurement.round_trip_min()),
            lag_ns: nanos(assumptions.lag()),
            lag_source: match assumptions.lag_source() {
                LagSource::Stated => HTTPTIME_LAG_STATED,
                LagSource::Stamp => HTTPTIME_LAG_STAMP,
                LagSource::Product(_) => HTTPTIME_LAG_PRODUCT,
                LagSource::Unknown => HTTPTIME_LAG_UNKNOWN,
                LagSource::Forwarded(_) => HTTPTIME_LAG_FORWARDED,
                LagSource::MayBeForwarded(_) => HTTPTIME_LAG_MAY_BE_FORWARDED,
                LagSource::SeveralServerFields => HTTPTIME_LAG_SEVERAL_SERVER_FIELDS,
                _ => 0,
            },
            drift_ppm: assumptions.drift_ppm(),
            requests: measurement.requests(),
            observations: measurement.observations(),
            sent_by_kernel: measurement.sent_by_kernel(),
            received_by_kernel: measurement.received_by_kernel(),
            checks: measurement.checks(),
            date_advanced: measurement.has_date_advanced().into(),
            server: array(measurement.server().unwrap_or_default()),
            method: method_number(measurement.method()),
            caches: assumptions.caches().into(),
            stamp: number_of_use(measurement.stamp()),
            certificates: check_number(assumptions.certificates()),
            stamp_quantum_ns: nanos(
                measurement.stamp().and_then(StampUse::quantum).unwrap_or_default(),
            ),
            valid_from_ns,
            valid_to_ns,
            proxy_certificates: check_number(assumptions.proxy_certificates()),
            servers_agreeing: count(agreement.agreeing),
            servers_independent: count(agreement.independent),
            servers_configured: count(agreement.configured),
        }
    }
}
