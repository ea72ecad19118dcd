use std::ffi::c_char;
use std::io;
use std::time::Duration;

use httptime::Next;
use httptime::Phase;
use httptime::estimate::Estimator;
use httptime::select::Quorum;
use httptime::server::{HeadMarks, Lag};
use httptime::{
    CrossTimestamp, Error, Exchange, Interval, LocalInstant, Measure, Observation, Offset,
    Timestamp,
};

use crate::boundary::{
    Output, Versioned, duration, exclusive, free_handle, guard, hand_over, nanos, read, reference,
    size, slice, target, text,
};
use crate::cross_timestamp::{cross_timestamp, httptime_cross_timestamp};
use crate::failure::Failure;
use crate::measurement::httptime_measurement;
use crate::options::{Settings, estimator, httptime_options};
use crate::progress::httptime_progress;
use crate::stamp::httptime_stamp;
use crate::status::{
    HTTPTIME_ERROR_CLOSED_EARLY, HTTPTIME_ERROR_EMPTY_REPLY, HTTPTIME_ERROR_NOTHING_MEASURED,
    HTTPTIME_ERROR_TIMEOUT_CONNECT, HTTPTIME_ERROR_TIMEOUT_RESPONSE, httptime_status, is_error,
};

/// Send a request at the given instant, or at once if it has passed.
pub const HTTPTIME_NEXT_SEND: i32 = 1;
/// Wait for a response.
pub const HTTPTIME_NEXT_AWAIT: i32 = 2;
/// Send no more and call httptime_measure_finish.
pub const HTTPTIME_NEXT_DONE: i32 = 3;

/// The response was not the first one on its connection, and the connection goes to the server and
/// not to a proxy.
pub const HTTPTIME_EXCHANGE_REUSED_CONNECTION: u32 = 1;
/// A front server answers the request by itself (OPTIONS *), so it made the Date.
pub const HTTPTIME_EXCHANGE_ANSWERED_BY_FRONT: u32 = 2;
/// The path of the request has no file name extension ("/" or "/status", not "/index.html").
pub const HTTPTIME_EXCHANGE_NO_FILE_EXTENSION: u32 = 4;

/// One request and the head of its response, with the times at which the program sent and received
/// them. Begin with all of it zero.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct httptime_exchange {
    /// sizeof(httptime_exchange), set by the caller.
    pub struct_size: u32,
    /// Whether the response had an Age. If so and it is not zero, the response is refused.
    pub has_age: i32,
    /// The time at which the request's first byte left, or a little before: the monotonic clock,
    /// read before the write.
    pub sent_ns: i64,
    /// The time at which the complete head of the response had been received: the same clock, read
    /// after the read that completed the head. With an earlier time, for example that of the first
    /// bytes, the bounds can be wrong.
    pub received_ns: i64,
    /// The Date: ns since 1970. It does not count if the stamp stands in for it.
    pub date_ns: i64,
    /// The Age, if has_age.
    pub age_ns: i64,
    /// The Server field, or NULL for none. Used only during the call.
    pub server: *const c_char,
    /// httptime_head.marks of the response. 0 if its other fields and their order are not known:
    /// then a Server field that names a front server does not count.
    pub marks: u32,
    /// Zero or more of HTTPTIME_EXCHANGE_*, combined with |.
    pub flags: u32,
    /// httptime_head.stamp of the response.
    pub stamp: httptime_stamp,
}

// SAFETY: integers and pointers; each field begins where the one before it ends.
unsafe impl Versioned for httptime_exchange {
    const MIN_SIZE: usize = 40;

    fn initial() -> Self {
        Self {
            struct_size: size::<Self>(),
            has_age: 0,
            sent_ns: 0,
            received_ns: 0,
            date_ns: 0,
            age_ns: 0,
            server: std::ptr::null(),
            marks: 0,
            flags: 0,
            stamp: httptime_stamp::none(),
        }
    }
}

/// The measurement of one server by a program whose HTTP library parses the responses (curl). A
/// program with plain sockets uses httptime_session. The functions read no clock, open no socket
/// and never block. One thread at a time.
///
/// Until httptime_measure_next returns HTTPTIME_NEXT_DONE: send at the instants that it returns,
/// and call httptime_measure_sent; after a response call httptime_measure_absorb, without one
/// httptime_measure_lost. Then call httptime_measure_finish. Instants are ns on CLOCK_MONOTONIC
/// (httptime_now), also in cross-timestamps. Another clock causes HTTPTIME_ERROR_CLOCK_MISMATCH if
/// it is detected.
#[derive(Debug)]
pub struct httptime_measure {
    /// `None` after it is finished.
    measure: Option<Measure>,
    /// The caller's reason that ended it.
    lost_reason: Option<httptime_status>,
}

impl httptime_measure {
    fn running(&mut self) -> Result<&mut Measure, Failure> {
        self.measure.as_mut().ok_or_else(finished)
    }
}

/// Starts a measurement.
///
/// options: NULL for the defaults; only profile, estimator, schedule, requests, drift_ppm, the
/// numbers in ns except timeout_ns, and whether stamp_header is "" are used here. begin: both
/// clocks now. measure: set to the new handle, which you must free with httptime_measure_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_measure_new(
    options: *const httptime_options,
    begin: *const httptime_cross_timestamp,
    measure: *mut *mut httptime_measure,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointers point to.
        let (settings, begin) =
            unsafe { (Settings::of(options)?, cross_timestamp(begin, "begin")?) };
        let place = target(measure, "measure")?;
        hand_over(
            httptime_measure {
                measure: Some(Measure::new(&settings.config, begin)),
                lost_reason: None,
            },
            place,
        );
        Ok(())
    })
}

/// Decides what to do next.
///
/// earliest_ns: when a request can leave: now, or when a connection will be open. next: set to
/// HTTPTIME_NEXT_*. at_ns: set to the time to send for HTTPTIME_NEXT_SEND, otherwise to
/// earliest_ns. Call it again only after each of the calls below, and when the request missed its
/// instant: while a request waits for its instant, it would plan another one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_measure_next(
    measure: *mut httptime_measure,
    earliest_ns: i64,
    next: *mut i32,
    at_ns: *mut i64,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointer points to.
        let measure = unsafe { exclusive(measure, "measure") }?;
        let (next, at) = (target(next, "next")?, target(at_ns, "at_ns")?);
        let (number, instant) = match measure.running()?.next(LocalInstant::from_nanos(earliest_ns))
        {
            Next::SendAt(instant) => (HTTPTIME_NEXT_SEND, instant.as_nanos()),
            Next::AwaitReply => (HTTPTIME_NEXT_AWAIT, earliest_ns),
            _ => (HTTPTIME_NEXT_DONE, earliest_ns),
        };
        // SAFETY: the header requires that numbers can be written there.
        unsafe {
            next.write(number);
            at.write(instant);
        }
        Ok(())
    })
}

/// Whether a request is too late to be sent: it would yield little information, and the next call
/// of httptime_measure_next reschedules it. Call this right before sending.
///
/// due_ns: as returned by httptime_measure_next. now_ns: the monotonic clock now. missed: set to 1
/// or 0. After three in a row it is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_measure_is_missed(
    measure: *const httptime_measure,
    due_ns: i64,
    now_ns: i64,
    missed: *mut i32,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointer points to.
        let measure = unsafe { reference(measure, "measure") }?;
        let missed = target(missed, "missed")?;
        let measure = measure.measure.as_ref().ok_or_else(finished)?;
        let (due, now) = (LocalInstant::from_nanos(due_ns), LocalInstant::from_nanos(now_ns));
        let is_missed = measure.is_missed(due, now);
        // SAFETY: the header requires that a number can be written there.
        unsafe { missed.write(i32::from(is_missed)) };
        Ok(())
    })
}

/// Reports that a request has left.
///
/// at_ns: when its first byte was passed to the system, or a little before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_measure_sent(
    measure: *mut httptime_measure,
    at_ns: i64,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointer points to.
        let measure = unsafe { exclusive(measure, "measure") }?;
        measure.running()?.sent(LocalInstant::from_nanos(at_ns));
        Ok(())
    })
}

/// Uses the response to a request.
///
/// exchange: used only during the call. Fails with 34, 38 to 43, 54 and 57: each ends the
/// measurement without a result. Then httptime_measure_next returns HTTPTIME_NEXT_DONE, and
/// httptime_measure_finish fails with the same status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_measure_absorb(
    measure: *mut httptime_measure,
    exchange: *const httptime_exchange,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointers point to.
        let (measure, exchange) =
            unsafe { (exclusive(measure, "measure")?, self::exchange(exchange)?) };
        measure.running()?.absorb(&exchange)?;
        Ok(())
    })
}

/// Reports that a request could not be sent, or that its response did not arrive.
///
/// was_sent: whether httptime_measure_sent was called for it. reason: an HTTPTIME_ERROR_*
/// (HTTPTIME_ERROR_TIMEOUT_RESPONSE, the result of httptime_reader_end). Returns reason if there is
/// no evidence yet: that is final. Otherwise HTTPTIME_OK: the measurement continues, and ends after
/// three consecutive failures with the evidence that it has. Lost requests that were in flight at
/// the same time are one failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_measure_lost(
    measure: *mut httptime_measure,
    was_sent: i32,
    reason: httptime_status,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointer points to.
        let measure = unsafe { exclusive(measure, "measure") }?;
        if !is_error(reason) {
            return Err(Failure::argument(format!(
                "reason is {reason}, which is no HTTPTIME_ERROR_* number"
            )));
        }
        let running = measure.running()?;
        let given = error(reason);
        running.lost(was_sent != 0, given.clone()).map_err(|error| {
            if error != given {
                return Failure::from(error);
            }
            let status = *measure.lost_reason.get_or_insert(reason);
            Failure { status, message: None }
        })
    })
}

/// The library's error for the caller's status, to be stored and shown.
fn error(reason: httptime_status) -> Error {
    let after = Duration::ZERO;
    match reason {
        HTTPTIME_ERROR_TIMEOUT_RESPONSE => Error::Timeout { phase: Phase::Response, after },
        HTTPTIME_ERROR_TIMEOUT_CONNECT => Error::Timeout { phase: Phase::Connect, after },
        HTTPTIME_ERROR_EMPTY_REPLY => Error::Closed { received: 0 },
        HTTPTIME_ERROR_CLOSED_EARLY => Error::Closed { received: 1 },
        _ => Error::Io {
            phase: Phase::Response,
            source: io::Error::other(crate::status::text(reason)).into(),
        },
    }
}

/// The requests and the evidence so far.
///
/// progress: its struct_size set by the caller; written only on HTTPTIME_OK. Fails with
/// HTTPTIME_ERROR_NOTHING_MEASURED before the first response.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_measure_progress(
    measure: *const httptime_measure,
    progress: *mut httptime_progress,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointers point to.
        let (measure, output) =
            unsafe { (reference(measure, "measure")?, Output::new(progress, "progress")?) };
        let measure = measure.measure.as_ref().ok_or_else(finished)?;
        let progress = httptime_progress::new(0, measure.progress(), measure.estimate());
        output.write(&progress.ok_or(NOTHING)?);
        Ok(())
    })
}

/// Ends the measurement and computes the result. Afterwards the handle can only be freed, also
/// after a failure.
///
/// end: both clocks now. measurement: its struct_size set by the caller; written only on
/// HTTPTIME_OK; its at_ns is on the caller's clock. Fails with the error that ended the
/// measurement, if there is one; with HTTPTIME_ERROR_CLOCK_MISMATCH if end is older than the last
/// request or response, or begin younger than the first; with HTTPTIME_ERROR_CLOCK_STEPPED if the
/// wall clock was set since the beginning; and with HTTPTIME_ERROR_NOTHING_MEASURED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_measure_finish(
    measure: *mut httptime_measure,
    end: *const httptime_cross_timestamp,
    measurement: *mut httptime_measurement,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointers point to.
        let (measure, end, output) = unsafe {
            (
                exclusive(measure, "measure")?,
                cross_timestamp(end, "end")?,
                Output::new(measurement, "measurement")?,
            )
        };
        measure.running()?;
        let finished = measure.measure.take().map(|measure| measure.finish(end));
        if let (Some(Err(_)), Some(status)) = (&finished, measure.lost_reason) {
            return Err(Failure { status, message: None });
        }
        output.write(&(&finished.ok_or(NOTHING)??).into());
        Ok(())
    })
}

/// Frees a measurement, finished or not.
///
/// measure: NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_measure_free(measure: *mut httptime_measure) {
    // SAFETY: the header requires NULL, or a handle of httptime_measure_new that is not used any
    // more.
    unsafe { free_handle(measure) }
}

/// Computes the one best offset from exchanges, for programs that decide themselves when to send.
/// It computes no bounds, refuses no date except that of a stored response, and uses every stamp;
/// httptime_measure does more. One thread at a time.
#[derive(Debug)]
pub struct httptime_estimator {
    estimator: Box<dyn Estimator>,
    cross_timestamp: CrossTimestamp,
    lag: Option<Duration>,
}

/// Creates an estimator.
///
/// kind: HTTPTIME_ESTIMATOR_*. begin: both clocks now. lag_ns: as httptime_options.lag_ns.
/// estimator: set to the new handle, which you must free with httptime_estimator_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_estimator_new(
    kind: i32,
    begin: *const httptime_cross_timestamp,
    lag_ns: i64,
    estimator: *mut *mut httptime_estimator,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointer points to.
        let cross_timestamp = unsafe { cross_timestamp(begin, "begin") }?;
        let place = target(estimator, "estimator")?;
        let lag = (lag_ns >= 0).then(|| Offset::from_nanos(lag_ns).abs());
        hand_over(
            httptime_estimator { estimator: self::estimator(kind)?.build(), cross_timestamp, lag },
            place,
        );
        Ok(())
    })
}

/// Adds an exchange. Add them in the order in which they were made.
///
/// exchange: used only during the call. Fails with HTTPTIME_ERROR_CACHED for an Age above zero and
/// with HTTPTIME_ERROR_RECEIVED_BEFORE_SENT; the exchange is then not used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_estimator_absorb(
    estimator: *mut httptime_estimator,
    exchange: *const httptime_exchange,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointers point to.
        let (estimator, exchange) =
            unsafe { (exclusive(estimator, "estimator")?, self::exchange(exchange)?) };
        let lag = estimator.lag.map_or_else(|| exchange.lag(), Lag::stated);
        let observation = Observation::new(estimator.cross_timestamp, &exchange, lag)?;
        estimator.estimator.absorb(&observation);
        Ok(())
    })
}

/// The estimate from all exchanges so far.
///
/// offset_ns: set to server - local; positive: the local clock is slow. stddev_ns: set to the
/// standard deviation of its error; not a bound. Fails with HTTPTIME_ERROR_NOTHING_MEASURED before
/// the first exchange.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_estimator_estimate(
    estimator: *const httptime_estimator,
    offset_ns: *mut i64,
    stddev_ns: *mut i64,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointer points to.
        let estimator = unsafe { reference(estimator, "estimator") }?;
        let (offset, stddev) = (target(offset_ns, "offset_ns")?, target(stddev_ns, "stddev_ns")?);
        let estimate = estimator.estimator.estimate().ok_or(NOTHING)?;
        // SAFETY: the header requires that numbers can be written there.
        unsafe {
            offset.write(estimate.offset().as_nanos());
            stddev.write(nanos(estimate.stddev()));
        }
        Ok(())
    })
}

/// Frees an estimator.
///
/// estimator: NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_estimator_free(estimator: *mut httptime_estimator) {
    // SAFETY: the header requires NULL, or a handle of httptime_estimator_new that is not used any
    // more.
    unsafe { free_handle(estimator) }
}

/// Finds the majority among the bounds of several servers (RFC 5905, section 11.2.1). The bounds
/// must refer to about the same instant: widen the older ones by the drift allowance.
///
/// lower_ns, upper_ns: count numbers each. count: 1 to 1024. common_lower_ns, common_upper_ns: set
/// to the interval that more than half of the bounds have in common; it contains the true offset if
/// more than half of them do. survivors: count bytes, each set to 1 or, for a falseticker, 0. Fails
/// with HTTPTIME_ERROR_NO_MAJORITY and HTTPTIME_ERROR_AMBIGUOUS_MAJORITY. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_select(
    lower_ns: *const i64,
    upper_ns: *const i64,
    count: usize,
    common_lower_ns: *mut i64,
    common_upper_ns: *mut i64,
    survivors: *mut u8,
) -> httptime_status {
    guard(|| {
        if !(1..=MAX_INTERVALS).contains(&count) {
            let reason = format!("count is {count}; allowed: 1 to {MAX_INTERVALS}");
            return Err(Failure::argument(reason));
        }
        // SAFETY: the header defines what the pointers point to.
        let (lower, upper) =
            unsafe { (slice(lower_ns, count, "lower_ns")?, slice(upper_ns, count, "upper_ns")?) };
        let common_lower = target(common_lower_ns, "common_lower_ns")?;
        let common_upper = target(common_upper_ns, "common_upper_ns")?;
        let survivors = target(survivors, "survivors")?;
        let intervals = lower
            .iter()
            .zip(upper)
            .map(|(lower, upper)| interval(*lower, *upper))
            .collect::<Result<Vec<_>, _>>()?;
        let selection = httptime::select::select(&intervals, Quorum::majority_of(count))?;
        // SAFETY: the header requires that two numbers and `count` bytes can be written there.
        unsafe {
            common_lower.write(selection.bounds().lower().as_nanos());
            common_upper.write(selection.bounds().upper().as_nanos());
            for (index, survives) in selection.survivors().iter().enumerate() {
                survivors.add(index).write(u8::from(*survives));
            }
        }
        Ok(())
    })
}

fn finished() -> Failure {
    Failure::argument("the measurement is finished; begin another")
}

pub(crate) fn interval(lower_ns: i64, upper_ns: i64) -> Result<Interval, Failure> {
    Interval::new(Offset::from_nanos(lower_ns), Offset::from_nanos(upper_ns)).ok_or_else(|| {
        Failure::argument(format!("the lower bound {lower_ns} is above the upper one {upper_ns}"))
    })
}

/// # Safety
/// `exchange` must be NULL, or point to one whose server is NULL or a text that is valid for `'a`.
unsafe fn exchange<'a>(exchange: *const httptime_exchange) -> Result<Exchange<'a>, Failure> {
    // SAFETY: as the caller guarantees.
    let given = unsafe { read(exchange, "exchange") }?;
    if given.flags & !EXCHANGE_FLAGS != 0 {
        return Err(Failure::argument(format!("exchange.flags is {}", given.flags)));
    }
    let server = if given.server.is_null() {
        None
    } else {
        // SAFETY: as the caller guarantees.
        Some(unsafe { text(given.server, "exchange.server") }?)
    };
    let age = (given.has_age != 0).then(|| duration(given.age_ns, "age_ns")).transpose()?;
    let mut exchange = Exchange::from_parts_unchecked(
        LocalInstant::from_nanos(given.sent_ns),
        LocalInstant::from_nanos(given.received_ns),
        Timestamp::from_unix_nanos(given.date_ns),
    )
    .with_age(age)
    .with_server(server.filter(|server| !server.is_empty()))
    .with_marks(HeadMarks::from_bits(given.marks));
    exchange = match given.stamp.checked()? {
        Ok(None) => exchange,
        Ok(Some(stamp)) if given.stamp.lacks_date() => {
            exchange.with_stamp(stamp).without_date(STATUS_OK)
        }
        Ok(Some(stamp)) => exchange.with_stamp(stamp),
        Err(_) if given.date_ns < 0 => {
            return Err(Failure::argument("exchange.date_ns is before 1970"));
        }
        Err(fault) => exchange.with_stamp_fault(fault),
    };
    if given.flags & HTTPTIME_EXCHANGE_REUSED_CONNECTION != 0 {
        exchange = exchange.on_reused_connection();
    }
    if given.flags & HTTPTIME_EXCHANGE_NO_FILE_EXTENSION != 0 {
        exchange = exchange.without_file_extension();
    }
    if given.flags & HTTPTIME_EXCHANGE_ANSWERED_BY_FRONT != 0 {
        exchange = exchange.answered_by_front();
    }
    Ok(exchange)
}

const NOTHING: Failure = Failure { status: HTTPTIME_ERROR_NOTHING_MEASURED, message: None };
const EXCHANGE_FLAGS: u32 = HTTPTIME_EXCHANGE_REUSED_CONNECTION
    | HTTPTIME_EXCHANGE_ANSWERED_BY_FRONT
    | HTTPTIME_EXCHANGE_NO_FILE_EXTENSION;
/// The structure does not have the status of the response. A text for people names it.
const STATUS_OK: u16 = 200;
const MAX_INTERVALS: usize = 1024;
