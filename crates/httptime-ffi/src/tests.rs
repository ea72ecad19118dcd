//! Calls the functions of the header from Rust, with NULL and with structures of other sizes, as
//! the C tests do, so that Miri checks them. Each structure has exactly as much memory as its size.
//! No socket is opened and no clock changed.

use std::alloc::{self, Layout};
use std::ffi::{CStr, c_char};
use std::mem::offset_of;
use std::ptr::{null, null_mut};

use crate::boundary::Versioned;
use crate::*;

const WALL_NS: i64 = 1_795_392_000_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;
/// Fast; the tests do not depend on the estimator.
const ESTIMATOR: i32 = HTTPTIME_ESTIMATOR_MIDPOINT;

/// Memory for a structure: its size, then zeros.
struct Memory {
    at: *mut u8,
    layout: Layout,
}

impl Memory {
    fn of(size: usize) -> Self {
        let layout = Layout::from_size_align(size, 8).expect("small");
        // SAFETY: no size here is 0; four bytes are there for the size.
        let at = unsafe {
            let at = alloc::alloc_zeroed(layout);
            at.cast::<u32>().write(u32::try_from(size).expect("small"));
            at
        };
        Self { at, layout }
    }

    fn pointer<T>(&self) -> *mut T {
        self.at.cast()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with that layout.
        unsafe { alloc::dealloc(self.at, self.layout) }
    }
}

fn cross_timestamp(instant_ns: i64) -> httptime_cross_timestamp {
    httptime_cross_timestamp {
        instant_ns,
        wall_ns: WALL_NS + instant_ns,
        ..httptime_cross_timestamp::initial()
    }
}

fn exchange(sent_ns: i64) -> httptime_exchange {
    httptime_exchange {
        sent_ns,
        received_ns: sent_ns + 2_000_000,
        date_ns: (WALL_NS + sent_ns) / SECOND_NS * SECOND_NS,
        server: c"nginx/1.22.1".as_ptr(),
        ..httptime_exchange::initial()
    }
}

fn new_measure() -> *mut httptime_measure {
    let mut measure = null_mut();
    let options = httptime_options { estimator: ESTIMATOR, ..httptime_options::initial() };
    // SAFETY: structures and a place on the stack.
    let status =
        unsafe { httptime_measure_new(&raw const options, &cross_timestamp(0), &raw mut measure) };
    assert_eq!(status, HTTPTIME_OK);
    measure
}

/// A measurement with one exchange.
fn begun_measure() -> *mut httptime_measure {
    let measure = new_measure();
    // SAFETY: a valid handle, and a structure on the stack.
    unsafe {
        assert_eq!(httptime_measure_sent(measure, 0), HTTPTIME_OK);
        assert_eq!(httptime_measure_absorb(measure, &exchange(0)), HTTPTIME_OK);
    }
    measure
}

fn new_reader() -> *mut httptime_reader {
    let mut reader = null_mut();
    // SAFETY: a place on the stack.
    assert_eq!(unsafe { httptime_reader_new(&raw mut reader) }, HTTPTIME_OK);
    reader
}

fn new_estimator() -> *mut httptime_estimator {
    let mut estimator = null_mut();
    // SAFETY: a structure and a place on the stack.
    let status =
        unsafe { httptime_estimator_new(ESTIMATOR, &cross_timestamp(0), -1, &raw mut estimator) };
    assert_eq!(status, HTTPTIME_OK);
    estimator
}

#[track_caller]
fn refused(statuses: &[httptime_status]) {
    assert!(statuses.iter().all(|s| *s == HTTPTIME_ERROR_INVALID_ARGUMENT), "{statuses:?}");
}

#[test]
fn null_is_refused_by_what_measures() {
    let url = c"http://127.0.0.1:1/".as_ptr();
    let urls = [url, null()];
    let mut measurement = httptime_measurement::initial();
    let mut survey = null_mut();
    let (urls, most) = (urls.as_ptr(), HTTPTIME_MAX_SERVERS);
    let out = &raw mut measurement;
    // SAFETY: NULL, or as the header defines, on the stack.
    unsafe {
        refused(&[
            httptime_options_init(null_mut(), 128),
            httptime_query(null(), 1, null(), out),
            httptime_query(urls, 1, null(), null_mut()),
            httptime_query(urls, 2, null(), out),
            httptime_query(urls, 0, null(), out),
            httptime_query(urls, most + 1, null(), out),
            httptime_query(urls, usize::MAX, null(), out),
            httptime_survey_run(null(), 1, null(), &raw mut survey),
            httptime_survey_run(urls, 2, null(), &raw mut survey),
            httptime_survey_run(urls, 1, null(), null_mut()),
            httptime_survey_combined(null(), out),
            httptime_survey_server(null(), 0, out),
            httptime_cross_timestamp_now(null_mut()),
            httptime_canceller_new(null_mut()),
        ]);
        assert_eq!(httptime_survey_count(null()), 0);
        assert_eq!(httptime_survey_is_selected(null(), 0), 0);
        assert!(httptime_survey_url(null(), 0).is_null());
        httptime_survey_free(null_mut());
        httptime_canceller_cancel(null());
        httptime_canceller_free(null_mut());
    }
    assert!(survey.is_null());
    assert_eq!(measurement.requests, 0);
}

#[test]
fn null_is_refused_by_what_reads_and_writes_http() {
    let (mut length, mut date, mut found) = (77_usize, 78_i64, 79_i32);
    let mut buffer = [0x5A; 600];
    let mut head = httptime_head::initial();
    let (url, to) = (c"http://127.0.0.1/".as_ptr(), (&raw mut buffer).cast::<c_char>());
    let reader = new_reader();
    // SAFETY: NULL, or as the header defines, on the stack; the reader is valid until it is freed.
    unsafe {
        refused(&[
            httptime_request(null(), to, 600, &raw mut length),
            httptime_request(url, null_mut(), 600, &raw mut length),
            httptime_request(url, to, 600, null_mut()),
            httptime_parse_date(null(), 0, &raw mut date),
            httptime_parse_date(c"x".as_ptr(), 1, null_mut()),
            httptime_parse_date(c"x".as_ptr(), usize::MAX, &raw mut date),
            httptime_reader_new(null_mut()),
            httptime_reader_feed(null_mut(), c"x".as_ptr(), 1),
            httptime_reader_next(null_mut(), &raw mut head, &raw mut found),
            httptime_reader_end(null()),
            httptime_reader_feed(reader, null(), 1),
            httptime_reader_next(reader, null_mut(), &raw mut found),
            httptime_reader_next(reader, &raw mut head, null_mut()),
        ]);
        httptime_reader_clear(null_mut());
        httptime_reader_free(null_mut());
        httptime_reader_free(reader);
    }
    assert_eq!((length, date, found), (77, 78, 79));
    assert!(buffer.iter().all(|byte| *byte == 0x5A));
}

#[test]
fn null_is_refused_by_the_measurement_without_sockets() {
    let (mut next, mut at) = (77_i32, 78_i64);
    let mut progress = httptime_progress::initial();
    let mut measurement = httptime_measurement::initial();
    let (mut place, out, begin) = (null_mut(), &raw mut measurement, cross_timestamp(0));
    let measure = new_measure();
    // SAFETY: NULL, or as the header defines, on the stack; the measure is valid until it is freed.
    unsafe {
        refused(&[
            httptime_measure_new(null(), null(), &raw mut place),
            httptime_measure_new(null(), &raw const begin, null_mut()),
            httptime_measure_next(null_mut(), 0, &raw mut next, &raw mut at),
            httptime_measure_sent(null_mut(), 0),
            httptime_measure_absorb(null_mut(), &exchange(0)),
            httptime_measure_lost(null_mut(), 0, HTTPTIME_ERROR_CONNECT),
            httptime_measure_progress(null(), &raw mut progress),
            httptime_measure_finish(null_mut(), &raw const begin, out),
            httptime_measure_next(measure, 0, null_mut(), &raw mut at),
            httptime_measure_next(measure, 0, &raw mut next, null_mut()),
            httptime_measure_absorb(measure, null()),
            httptime_measure_progress(measure, null_mut()),
            httptime_measure_finish(measure, null(), out),
            httptime_measure_finish(measure, &raw const begin, null_mut()),
        ]);
        httptime_measure_free(null_mut());
        httptime_measure_free(measure);
    }
    assert!(place.is_null());
    assert_eq!((next, at, progress.requests, measurement.requests), (77, 78, 0, 0));
}

fn new_session(urls: &[*const c_char], options: &httptime_options) -> *mut httptime_session {
    let mut session = null_mut();
    // SAFETY: texts, a structure and a place on the stack.
    let status = unsafe {
        httptime_session_new(
            urls.as_ptr(),
            urls.len(),
            options,
            &cross_timestamp(0),
            &raw mut session,
        )
    };
    assert_eq!(status, HTTPTIME_OK);
    session
}

/// The first request of a session with these options.
fn first_request(options: &httptime_options) -> String {
    let session = new_session(&[c"http://192.0.2.1/".as_ptr()], options);
    let conn = poll(session, 0).conn;
    // SAFETY: a handle that is valid until the end, and places on the stack.
    unsafe {
        assert_eq!(httptime_session_opened(session, conn, 0), HTTPTIME_OK);
        assert_eq!(poll(session, 0).kind, HTTPTIME_SESSION_TRANSMIT);
        let (mut bytes, mut length) = (null(), 0);
        httptime_session_output(session, conn, &raw mut bytes, &raw mut length);
        let request = std::slice::from_raw_parts(bytes.cast::<u8>(), length).to_vec();
        httptime_session_free(session);
        String::from_utf8(request).expect("text")
    }
}

#[test]
fn the_user_agent_of_the_options_is_sent() {
    let mut options = httptime_options::initial();
    options.user_agent = c"curl/8.5.0".as_ptr();
    assert!(first_request(&options).contains("\r\nUser-Agent: curl/8.5.0\r\n"));
    options.user_agent = c"".as_ptr();
    assert!(!first_request(&options).contains("User-Agent"));
    options.user_agent = null();
    assert!(first_request(&options).contains("\r\nUser-Agent: httptime/"));
}

#[test]
fn the_method_of_the_options_is_used() {
    let mut options = httptime_options::initial();
    for (method, line) in [
        (HTTPTIME_METHOD_AUTO, "HEAD / HTTP/1.1"),
        (HTTPTIME_METHOD_HEAD, "HEAD / HTTP/1.1"),
        (HTTPTIME_METHOD_GET, "GET / HTTP/1.1"),
        (HTTPTIME_METHOD_OPTIONS, "OPTIONS * HTTP/1.1"),
    ] {
        options.method = method;
        let request = first_request(&options);
        assert!(request.starts_with(line), "{method}: {request}");
    }
}

fn poll(session: *mut httptime_session, now_ns: i64) -> httptime_session_action {
    let mut action = httptime_session_action::initial();
    // SAFETY: a valid handle, and a structure on the stack.
    let status = unsafe { httptime_session_poll(session, now_ns, &raw mut action) };
    assert_eq!(status, HTTPTIME_OK);
    action
}

#[test]
fn null_and_numbers_that_are_none_are_refused_by_a_session() {
    let url = c"http://192.0.2.1/".as_ptr();
    let most = u32::try_from(HTTPTIME_MAX_CONNECTIONS).expect("small");
    let (urls, begin) = ([url, null()], cross_timestamp(0));
    let mut place = null_mut();
    let session = new_session(&urls[..1], &httptime_options::initial());
    let mut action = httptime_session_action::initial();
    let mut event = httptime_event::initial();
    let mut progress = httptime_progress::initial();
    let (mut survey, mut timestamps) = (null_mut(), null_mut());
    let (mut bytes, mut length, mut found) = (url, 77_usize, 78_i32);
    let (mut buffer, mut count) = ([0_u8; 8], 79_i64);
    let (room, stamps) = (buffer.as_mut_ptr().cast(), &raw mut timestamps);
    let (begin, gone) = (&raw const begin, null_mut());
    // SAFETY: NULL, or as the header defines, on the stack; the session is valid until it is freed.
    unsafe {
        refused(&[
            httptime_session_new(null(), 1, null(), begin, &raw mut place),
            httptime_session_new(urls.as_ptr(), 2, null(), begin, &raw mut place),
            httptime_session_new(urls.as_ptr(), 0, null(), begin, &raw mut place),
            httptime_session_new(urls.as_ptr(), 1, null(), begin, null_mut()),
            httptime_session_poll(null_mut(), 0, &raw mut action),
            httptime_session_poll(session, 0, null_mut()),
            httptime_session_resolved(null_mut(), 0, null(), null(), 0),
            httptime_session_resolved(session, 1, null(), null(), 0),
            httptime_session_opened(null_mut(), 0, 0),
            httptime_session_opened(session, most, 0),
            httptime_session_connected(null_mut(), 0, 0, stamps, &raw mut found),
            httptime_session_connected(session, 0, -1, stamps, &raw mut found),
            httptime_session_connected(session, 0, 0, null_mut(), &raw mut found),
            httptime_session_connected(session, 0, 0, stamps, null_mut()),
            httptime_session_output(null(), 0, &raw mut bytes, &raw mut length),
            httptime_session_output(session, 4, &raw mut bytes, &raw mut length),
            httptime_session_output(session, 0, null_mut(), &raw mut length),
            httptime_session_output(session, 0, &raw mut bytes, null_mut()),
            httptime_session_sent(null_mut(), 0, 0, 0),
            httptime_session_sent(session, 0, 1, 0),
            httptime_session_writable(null_mut(), 0),
            httptime_session_writable(session, u32::MAX),
            httptime_session_received(null_mut(), 0, url, 1, 0, gone),
            httptime_session_received(session, 0, null(), 1, 0, gone),
            httptime_session_receive(session, 0, gone, &raw mut found),
            httptime_session_transmit(session, 0, gone, &raw mut found),
            httptime_session_closed(null_mut(), 0, 0),
            httptime_session_failed(null_mut(), 0, 0, 0),
            httptime_session_next_event(null_mut(), &raw mut event, &raw mut found),
            httptime_session_next_event(session, null_mut(), &raw mut found),
            httptime_session_next_event(session, &raw mut event, null_mut()),
            httptime_session_progress(null(), 0, &raw mut progress),
            httptime_session_progress(session, 1, &raw mut progress),
            httptime_session_progress(session, 0, null_mut()),
            httptime_session_stop(null_mut()),
            httptime_session_cancel(null_mut()),
            httptime_session_finish(null_mut(), begin, &raw mut survey),
            httptime_session_finish(session, begin, null_mut()),
            httptime_timestamps_enable(-1, stamps),
            httptime_timestamps_enable(0, null_mut()),
            httptime_timestamps_read(gone, room, 8, &raw mut count),
            httptime_timestamps_wrote(gone, 1, 1),
        ]);
        assert_eq!(httptime_session_is_waiting_to_write(null(), 0), 0);
        assert_eq!(httptime_session_is_waiting_to_write(session, most), 0);
        httptime_timestamps_free(null_mut());
        httptime_session_free(null_mut());
        httptime_session_free(session);
    }
    assert!(place.is_null() && survey.is_null() && timestamps.is_null());
    assert_eq!((bytes, length, found, count), (url, 77, 78, 79));
}

/// Drives a session with one server in virtual time: each response takes 2 ms, and every connection
/// closes after one. `stamp_field`: the name of the field with a stamp.
fn drive(session: *mut httptime_session, stamp_field: Option<&str>) -> i64 {
    let mut now = 0;
    // SAFETY: a valid handle, and what the header defines on the stack.
    unsafe {
        loop {
            let action = poll(session, now);
            let conn = action.conn;
            match action.kind {
                HTTPTIME_SESSION_OPEN => {
                    assert_eq!(action.address_length, 16);
                    assert!(!action.address.is_null());
                    now += 1_000_000;
                    assert_eq!(httptime_session_opened(session, conn, now), HTTPTIME_OK);
                }
                HTTPTIME_SESSION_TRANSMIT => {
                    let (mut bytes, mut length) = (null(), 0);
                    let status =
                        httptime_session_output(session, conn, &raw mut bytes, &raw mut length);
                    assert_eq!(status, HTTPTIME_OK);
                    assert_eq!(httptime_session_sent(session, conn, length, now), HTTPTIME_OK);
                    let second = (WALL_NS + now + 1_000_000) / SECOND_NS - WALL_NS / SECOND_NS;
                    now += 2_000_000;
                    let micros = (WALL_NS + now - 1_000_000) / 1_000;
                    let stamp = stamp_field.map(|name| format!("{name}: {micros}\r\n"));
                    let stamp = stamp.unwrap_or_default();
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nConnection: close\r\n{stamp}Date: Mon, 23 Nov 2026 \
                         00:00:{second:02} GMT\r\n\r\n"
                    );
                    let (head, length) = (head.as_ptr().cast(), head.len());
                    let status =
                        httptime_session_received(session, conn, head, length, now, null_mut());
                    assert_eq!(status, HTTPTIME_OK);
                    assert_eq!(httptime_session_closed(session, conn, now), HTTPTIME_OK);
                }
                HTTPTIME_SESSION_WAIT => now = action.until_ns.max(now),
                HTTPTIME_SESSION_CLOSE => {}
                HTTPTIME_SESSION_DONE => return now,
                kind => panic!("action {kind}"),
            }
        }
    }
}

fn survey_of(
    session: *mut httptime_session,
    end: httptime_cross_timestamp,
) -> *mut httptime_survey {
    let mut survey = null_mut();
    // SAFETY: a valid handle, a structure and a place on the stack.
    unsafe {
        assert_eq!(httptime_session_finish(session, &raw const end, &raw mut survey), HTTPTIME_OK);
        refused(&[httptime_session_finish(session, &raw const end, &raw mut survey)]);
        httptime_session_free(session);
    }
    survey
}

#[test]
fn a_session_measures_in_virtual_time_and_tells_what_happens() {
    let options = httptime_options { estimator: ESTIMATOR, ..httptime_options::initial() };
    let session = new_session(&[c"http://192.0.2.1/".as_ptr()], &options);
    let now = drive(session, None);
    let mut event = httptime_event::initial();
    let mut progress = httptime_progress::initial();
    let mut measurement = httptime_measurement::initial();
    let (mut kinds, mut found) = (Vec::new(), 1);
    // SAFETY: valid handles, and structures on the stack.
    unsafe {
        while found == 1 {
            let status = httptime_session_next_event(session, &raw mut event, &raw mut found);
            assert_eq!(status, HTTPTIME_OK);
            kinds.push(event.kind);
        }
        assert!(kinds.contains(&HTTPTIME_EVENT_ANSWERED), "{kinds:?}");
        assert_eq!((event.kind, event.status), (HTTPTIME_EVENT_ENDED, HTTPTIME_OK));
        let status = httptime_session_progress(session, 0, &raw mut progress);
        assert_eq!(status, HTTPTIME_OK);
        let survey = survey_of(session, cross_timestamp(now));
        assert_eq!(httptime_survey_combined(survey, &raw mut measurement), HTTPTIME_OK);
        httptime_survey_free(survey);
    }
    assert_eq!(progress.requests, measurement.requests);
    assert!(measurement.lower_ns <= 0 && 0 <= measurement.upper_ns);
    assert!(measurement.upper_ns - measurement.lower_ns < 4 * SECOND_NS);
}

#[test]
fn a_session_reads_stamps_from_the_header_field_of_the_options() {
    for (name, field, expected) in [
        (null(), "X-HTTPSTIME", HTTPTIME_STAMP_USED),
        (null(), "X-Time", HTTPTIME_STAMP_NONE),
        (c"X-Time".as_ptr(), "X-Time", HTTPTIME_STAMP_USED),
        (c"".as_ptr(), "X-HTTPSTIME", HTTPTIME_STAMP_NONE),
    ] {
        let initial = httptime_options::initial();
        let options = httptime_options { estimator: ESTIMATOR, stamp_header: name, ..initial };
        let session = new_session(&[c"http://192.0.2.1/".as_ptr()], &options);
        let now = drive(session, Some(field));
        let mut measurement = httptime_measurement::initial();
        let survey = survey_of(session, cross_timestamp(now));
        // SAFETY: a valid handle, and a structure on the stack.
        unsafe {
            assert_eq!(httptime_survey_combined(survey, &raw mut measurement), HTTPTIME_OK);
            httptime_survey_free(survey);
        }
        assert_eq!(measurement.stamp, expected, "{field}");
        assert!(measurement.lower_ns <= 0 && 0 <= measurement.upper_ns);
    }
}

/// One exchange whose head arrives in two pieces, 0.6 s apart; the Date is made right before the
/// second. The program reports the second piece at `reported_ns`. Returns the bounds; the true
/// offset is 0.
fn bounds_of_a_head_in_pieces(reported_ns: i64) -> (i64, i64) {
    let options = httptime_options { lag_ns: 0, ..httptime_options::initial() };
    let session = new_session(&[c"http://192.0.2.1/".as_ptr()], &options);
    let mut measurement = httptime_measurement::initial();
    let conn = poll(session, 0).conn;
    // SAFETY: valid handles, and what the header defines on the stack.
    unsafe {
        assert_eq!(httptime_session_opened(session, conn, 0), HTTPTIME_OK);
        let at = poll(session, 0).until_ns;
        assert_eq!(poll(session, at).kind, HTTPTIME_SESSION_TRANSMIT);
        let (mut bytes, mut length) = (null(), 0);
        httptime_session_output(session, conn, &raw mut bytes, &raw mut length);
        assert_eq!(httptime_session_sent(session, conn, length, FIRST_NS), HTTPTIME_OK);
        let second = (WALL_NS + SECOND_PIECE_NS) / SECOND_NS - WALL_NS / SECOND_NS;
        let rest = format!("Date: Mon, 23 Nov 2026 00:00:{second:02} GMT\r\n\r\n");
        for (piece, at) in [("HTTP/1.1 200 OK\r\n", FIRST_NS), (&rest, reported_ns)] {
            let (bytes, length) = (piece.as_ptr().cast(), piece.len());
            let status = httptime_session_received(session, conn, bytes, length, at, null_mut());
            assert_eq!(status, HTTPTIME_OK);
        }
        let survey = survey_of(session, cross_timestamp(SECOND_PIECE_NS));
        assert_eq!(httptime_survey_combined(survey, &raw mut measurement), HTTPTIME_OK);
        httptime_survey_free(survey);
    }
    (measurement.lower_ns, measurement.upper_ns)
}

const FIRST_NS: i64 = 600_000_000;
const SECOND_PIECE_NS: i64 = FIRST_NS + 600_000_000;

#[test]
fn of_a_head_in_pieces_the_time_of_the_last_read_gives_bounds_that_hold() {
    let (lower, upper) = bounds_of_a_head_in_pieces(SECOND_PIECE_NS);
    assert!(lower <= 0 && 0 <= upper, "[{lower}, {upper}]");
    // The time of the first bytes gives wrong bounds.
    let (lower, _) = bounds_of_a_head_in_pieces(FIRST_NS);
    assert!(lower > 0, "{lower}");
}

#[test]
fn an_old_cross_timestamp_is_an_error_of_a_session_and_of_a_measurement() {
    let urls = [c"http://192.0.2.1/".as_ptr()];
    let options = httptime_options { estimator: ESTIMATOR, ..httptime_options::initial() };
    // Another origin: the two clocks agree, but the instant is far from those of the requests.
    let origin = |instant_ns| httptime_cross_timestamp {
        instant_ns,
        wall_ns: WALL_NS,
        ..cross_timestamp(0)
    };
    let mut measurement = httptime_measurement::initial();
    // SAFETY: valid handles, and structures on the stack.
    unsafe {
        let session = new_session(&urls, &options);
        drive(session, None);
        let survey = survey_of(session, origin(1));
        let status = httptime_survey_combined(survey, &raw mut measurement);
        assert_eq!(status, HTTPTIME_ERROR_CLOCK_MISMATCH);
        httptime_survey_free(survey);

        let measure = new_measure();
        assert_eq!(httptime_measure_sent(measure, SECOND_NS), HTTPTIME_OK);
        assert_eq!(httptime_measure_absorb(measure, &exchange(SECOND_NS)), HTTPTIME_OK);
        let status = httptime_measure_finish(measure, &origin(1), &raw mut measurement);
        assert_eq!(status, HTTPTIME_ERROR_CLOCK_MISMATCH);
        httptime_measure_free(measure);

        let (mut next, mut at) = (0, 0);
        let mut measure = null_mut();
        let late = origin(5075 * SECOND_NS);
        assert_eq!(httptime_measure_new(null(), &raw const late, &raw mut measure), HTTPTIME_OK);
        assert_eq!(httptime_measure_sent(measure, SECOND_NS), HTTPTIME_OK);
        let status = httptime_measure_next(measure, SECOND_NS, &raw mut next, &raw mut at);
        assert_eq!((status, next), (HTTPTIME_OK, HTTPTIME_NEXT_DONE));
        let status = httptime_measure_finish(measure, &raw const late, &raw mut measurement);
        assert_eq!(status, HTTPTIME_ERROR_CLOCK_MISMATCH);
        httptime_measure_free(measure);
    }
    assert_eq!(measurement.requests, 0);
}

#[test]
fn a_response_without_the_kernels_times_is_not_used_when_only_those_are_wanted() {
    let timestamping = HTTPTIME_TIMESTAMPING_KERNEL;
    let options = httptime_options { timestamping, ..httptime_options::initial() };
    let session = new_session(&[c"http://192.0.2.1/".as_ptr()], &options);
    let now = drive(session, None);
    let mut measurement = httptime_measurement::initial();
    let survey = survey_of(session, cross_timestamp(now));
    // SAFETY: a valid handle, and a structure on the stack.
    unsafe {
        let status = httptime_survey_server(survey, 0, &raw mut measurement);
        assert_eq!(status, HTTPTIME_ERROR_NO_KERNEL_TIMESTAMPS);
        httptime_survey_free(survey);
    }
}

#[test]
fn a_request_that_is_due_is_not_missed_and_one_that_is_late_may_be() {
    let measure = new_measure();
    let (mut next, mut at, mut missed) = (0, 0, 9);
    // SAFETY: a valid handle, and numbers on the stack.
    unsafe {
        for sent in [0, 300_000_000, 600_000_000] {
            assert_eq!(httptime_measure_sent(measure, sent), HTTPTIME_OK);
            assert_eq!(httptime_measure_absorb(measure, &exchange(sent)), HTTPTIME_OK);
        }
        let now = 700_000_000;
        httptime_measure_next(measure, now, &raw mut next, &raw mut at);
        assert_eq!(next, HTTPTIME_NEXT_SEND);
        let status = httptime_measure_is_missed(measure, at, at, &raw mut missed);
        assert_eq!((status, missed), (HTTPTIME_OK, 0));
        let late = at + 450_000_000;
        let status = httptime_measure_is_missed(measure, at, late, &raw mut missed);
        assert_eq!((status, missed), (HTTPTIME_OK, 1));
        refused(&[
            httptime_measure_is_missed(null(), at, late, &raw mut missed),
            httptime_measure_is_missed(measure, at, late, null_mut()),
        ]);
        httptime_measure_free(measure);
    }
}

#[test]
fn null_is_refused_by_estimators_and_the_selection() {
    let (mut a, mut b, mut survivors) = (1_i64, 2_i64, [7_u8]);
    let (one, other, who) = (&raw mut a, &raw mut b, survivors.as_mut_ptr());
    let (mut place, begin) = (null_mut(), cross_timestamp(0));
    let estimator = new_estimator();
    // SAFETY: NULL, or as the header defines, on the stack; the estimator is valid until it is
    // freed.
    unsafe {
        refused(&[
            httptime_estimator_new(0, null(), -1, &raw mut place),
            httptime_estimator_new(0, &raw const begin, -1, null_mut()),
            httptime_estimator_absorb(null_mut(), &exchange(0)),
            httptime_estimator_estimate(null(), one, other),
            httptime_estimator_absorb(estimator, null()),
            httptime_estimator_estimate(estimator, null_mut(), other),
            httptime_estimator_estimate(estimator, one, null_mut()),
            httptime_select(null(), other, 1, one, other, who),
            httptime_select(one, null(), 1, one, other, who),
            httptime_select(one, other, 1, null_mut(), other, who),
            httptime_select(one, other, 1, one, null_mut(), who),
            httptime_select(one, other, 1, one, other, null_mut()),
            httptime_select(one, other, 0, one, other, who),
            httptime_select(one, other, usize::MAX, one, other, who),
        ]);
        httptime_estimator_free(null_mut());
        httptime_estimator_free(estimator);
    }
    assert!(place.is_null());
    assert_eq!((a, b, survivors), (1, 2, [7]));
}

#[cfg(feature = "clock")]
#[test]
fn null_is_refused_by_what_decides_about_the_clock() {
    let measurement = httptime_measurement::initial();
    let mut decision = httptime_decision::initial();
    // SAFETY: NULL, or as the header defines, on the stack. Nothing is done to a clock without its
    // arguments.
    unsafe {
        refused(&[
            httptime_policy_init(null_mut(), 128),
            httptime_policy_decide(null(), null(), null(), &raw mut decision),
            httptime_policy_decide(null(), null(), &raw const measurement, null_mut()),
            httptime_clock_remaining_slew(null_mut()),
        ]);
        let decided =
            httptime_policy_decide(null(), null(), &raw const measurement, &raw mut decision);
        assert_eq!(decided, HTTPTIME_OK);
    }
}

/// Passes a structure of each size to a function, up to that of a newer header.
fn in_every_size<T: Versioned>(smallest: usize, call: impl Fn(*mut T) -> httptime_status) {
    for size in (4..=size_of::<T>() + 24).step_by(4) {
        let memory = Memory::of(size);
        let possible = size >= smallest.max(T::MIN_SIZE) && size % 8 == 0;
        let refused = call(memory.pointer()) == HTTPTIME_ERROR_INVALID_ARGUMENT;
        assert_eq!(refused, !possible, "{} bytes of {}", size, std::any::type_name::<T>());
    }
}

#[test]
fn a_structure_of_another_size_is_filled_within_what_it_has() {
    let measure = begun_measure();
    // SAFETY: the structure is as large as its size field; handles are valid until they are freed;
    // the rest is on the stack.
    unsafe {
        in_every_size::<httptime_options>(0, |to| {
            httptime_options_init(to, to.cast::<u32>().read())
        });
        in_every_size::<httptime_cross_timestamp>(0, |to| httptime_cross_timestamp_now(to));
        in_every_size::<httptime_progress>(0, |to| httptime_measure_progress(measure, to));
        httptime_measure_free(measure);
        in_every_size::<httptime_measurement>(0, |to| {
            let measure = begun_measure();
            let status = httptime_measure_finish(measure, &cross_timestamp(SECOND_NS), to);
            httptime_measure_free(measure);
            status
        });
        in_every_size::<httptime_session_action>(0, |to| {
            let session =
                new_session(&[c"http://192.0.2.1/".as_ptr()], &httptime_options::initial());
            let status = httptime_session_poll(session, 0, to);
            httptime_session_free(session);
            status
        });
        in_every_size::<httptime_event>(0, |to| {
            let session =
                new_session(&[c"http://192.0.2.1/".as_ptr()], &httptime_options::initial());
            poll(session, 0);
            let status = httptime_session_next_event(session, to, &mut 0);
            httptime_session_free(session);
            status
        });
        in_every_size::<httptime_head>(0, |to| {
            let reader = new_reader();
            assert_eq!(httptime_reader_feed(reader, RESPONSE.as_ptr(), length()), HTTPTIME_OK);
            let status = httptime_reader_next(reader, to, &mut 0);
            httptime_reader_free(reader);
            status
        });
    }
}

#[test]
fn of_a_structure_of_another_size_no_more_is_read_than_it_has() {
    // SAFETY: the structure is as large as its size field; handles are valid until they are freed;
    // the rest is on the stack.
    unsafe {
        let begin = |options: *const httptime_options, begin: *const httptime_cross_timestamp| {
            let mut measure = null_mut();
            let status = httptime_measure_new(options, begin, &raw mut measure);
            httptime_measure_free(measure);
            status
        };
        in_every_size::<httptime_options>(0, |from| begin(from, &cross_timestamp(0)));
        in_every_size::<httptime_cross_timestamp>(0, |from| begin(null(), from));
        in_every_size::<httptime_exchange>(0, |from| {
            let estimator = new_estimator();
            let status = httptime_estimator_absorb(estimator, from);
            httptime_estimator_free(estimator);
            status
        });
    }
}

#[cfg(feature = "clock")]
#[test]
fn rules_history_and_decision_may_have_another_size() {
    let measurement = httptime_measurement::initial();
    let up_to_advanced = offset_of!(httptime_measurement, date_advanced) + size_of::<i32>();
    let decision = || httptime_decision::initial();
    // SAFETY: the structure is as large as its size field; the rest is on the stack.
    unsafe {
        in_every_size::<httptime_policy>(0, |to| httptime_policy_init(to, to.cast::<u32>().read()));
        in_every_size::<httptime_policy>(0, |policy| {
            httptime_policy_decide(policy, null(), &raw const measurement, &mut decision())
        });
        in_every_size::<httptime_history>(0, |history| {
            httptime_policy_decide(null(), history, &raw const measurement, &mut decision())
        });
        in_every_size::<httptime_measurement>(up_to_advanced, |measurement| {
            httptime_policy_decide(null(), null(), measurement, &mut decision())
        });
        in_every_size::<httptime_decision>(0, |decision| {
            httptime_policy_decide(null(), null(), &raw const measurement, decision)
        });
    }
}

#[test]
fn a_message_is_cut_to_the_buffer_and_ends_there() {
    let mut date = 0;
    // SAFETY: what is read and written is on the stack, and as long as stated.
    unsafe {
        let status = httptime_parse_date(c"never".as_ptr(), 5, &raw mut date);
        assert_eq!(status, HTTPTIME_ERROR_MALFORMED_DATE);
        let whole = httptime_error_message(null_mut(), 0);
        assert!(whole > 5);
        for size in [0, 1, 5, whole, whole + 1, whole + 9] {
            let mut buffer = vec![0x5A_u8; size].into_boxed_slice();
            assert_eq!(httptime_error_message(buffer.as_mut_ptr().cast(), size), whole);
            if size > 0 {
                let text = CStr::from_bytes_until_nul(&buffer).expect("it ends");
                assert_eq!(text.count_bytes(), whole.min(size - 1));
            }
        }
    }
}

#[test]
fn a_message_shows_no_password() {
    let mut options = httptime_options::initial();
    options.proxy = c"http://user:12/hunter2@127.0.0.1:1".as_ptr();
    let (urls, secret) = ([c"http://127.0.0.1:1/".as_ptr()], [options.proxy]);
    let mut measurement = httptime_measurement::initial();
    let mut buffer = [0_u8; 1024];
    let mut length = 0;
    let request = buffer.as_mut_ptr().cast();
    // SAFETY: what is read and written is on the stack, and as long as stated.
    let hidden = |status: httptime_status| unsafe {
        assert_eq!(status, HTTPTIME_ERROR_INVALID_URL);
        let mut message = [0_u8; 1024];
        httptime_error_message(message.as_mut_ptr().cast(), message.len());
        let message = CStr::from_bytes_until_nul(&message).expect("it ends").to_string_lossy();
        assert!(message.contains("***@127.0.0.1:1") && !message.contains("hunter2"), "{message}");
    };
    // SAFETY: as above.
    unsafe {
        hidden(httptime_query(urls.as_ptr(), 1, &raw const options, &raw mut measurement));
        hidden(httptime_query(secret.as_ptr(), 1, null(), &raw mut measurement));
        hidden(httptime_request(options.proxy, request, 1024, &raw mut length));
    }
}

#[test]
fn a_request_fits_exactly_or_is_not_written() {
    // SAFETY: what is read and written is on the heap and the stack, and as long as stated.
    let write = |size: usize| unsafe {
        let mut buffer = vec![0x5A_u8; size].into_boxed_slice();
        let mut length = 0;
        let (url, to) = (c"http://127.0.0.1/".as_ptr(), buffer.as_mut_ptr().cast());
        (httptime_request(url, to, size, &raw mut length), length, buffer)
    };
    let (status, length, _) = write(600);
    assert_eq!(status, HTTPTIME_OK);
    let (status, _, buffer) = write(length + 1);
    assert_eq!(status, HTTPTIME_OK);
    assert_eq!(buffer.last(), Some(&0));
    let (status, untouched, buffer) = write(length);
    assert_eq!((status, untouched), (HTTPTIME_ERROR_BUFFER_TOO_SMALL, 0));
    assert!(buffer.iter().all(|byte| *byte == 0x5A));
}

#[test]
fn a_measurement_goes_through_with_times_of_the_callers() {
    let (mut next, mut at, mut sent) = (0, 0, 0);
    let mut measurement = httptime_measurement::initial();
    let measure = new_measure();
    // SAFETY: a handle that is valid until it is freed, and structures on the stack.
    unsafe {
        loop {
            let status = httptime_measure_next(measure, sent, &raw mut next, &raw mut at);
            assert_eq!(status, HTTPTIME_OK);
            if next != HTTPTIME_NEXT_SEND || at > 3 * SECOND_NS {
                break;
            }
            assert_eq!(httptime_measure_sent(measure, at), HTTPTIME_OK);
            assert_eq!(httptime_measure_absorb(measure, &exchange(at)), HTTPTIME_OK);
            sent = at + 2_000_000;
        }
        let end = cross_timestamp(sent);
        let status = httptime_measure_finish(measure, &raw const end, &raw mut measurement);
        assert_eq!(status, HTTPTIME_OK);
        refused(&[httptime_measure_finish(measure, &raw const end, &raw mut measurement)]);
        httptime_measure_free(measure);
    }
    assert!(measurement.requests > 0);
    assert!(measurement.lower_ns <= 0 && 0 <= measurement.upper_ns);
    let server = measurement.server.map(|byte| byte.to_ne_bytes()[0]);
    assert_eq!(CStr::from_bytes_until_nul(&server), Ok(c"nginx/1.22.1"));
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no socket pair that does not block")]
fn a_canceller_is_made_used_and_freed() {
    let mut canceller = null_mut();
    // SAFETY: a place on the stack, then a handle that is valid until it is freed.
    unsafe {
        assert_eq!(httptime_canceller_new(&raw mut canceller), HTTPTIME_OK);
        httptime_canceller_cancel(canceller);
        httptime_canceller_cancel(canceller);
        httptime_canceller_free(canceller);
    }
}

const RESPONSE: &CStr =
    c"HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 00:00:01 GMT\r\nServer: s\r\n\r\n";

fn length() -> usize {
    RESPONSE.count_bytes()
}

#[test]
fn selection_hands_out_bounds_that_one_overlapping_liar_cannot_break() {
    // The true offset is 3; the last server is a falseticker.
    let (lower, upper) = ([0_i64, 2, 9], [10_i64, 12, 11]);
    let (mut common_lower, mut common_upper, mut survivors) = (0_i64, 0_i64, [0_u8; 3]);
    // SAFETY: three numbers, two numbers and three bytes.
    let status = unsafe {
        httptime_select(
            lower.as_ptr(),
            upper.as_ptr(),
            3,
            &raw mut common_lower,
            &raw mut common_upper,
            survivors.as_mut_ptr(),
        )
    };
    assert_eq!((status, survivors), (HTTPTIME_OK, [1; 3]));
    assert_eq!((common_lower, common_upper), (2, 11));
}

#[test]
fn an_answer_that_proves_nothing_ends_a_measurement_in_c_too() {
    let aged = |sent_ns, has_age| httptime_exchange {
        has_age,
        age_ns: 5 * SECOND_NS,
        ..exchange(sent_ns)
    };
    let mut measure = null_mut();
    let (mut next, mut at, mut result) = (0, 0, httptime_measurement::initial());
    // SAFETY: each points to what the header defines.
    unsafe {
        assert_eq!(
            httptime_measure_new(null(), &cross_timestamp(0), &raw mut measure),
            HTTPTIME_OK
        );
        for (sent, has_age, status) in [(0, 0, HTTPTIME_OK), (5_000_000, 1, HTTPTIME_ERROR_CACHED)]
        {
            assert_eq!(httptime_measure_sent(measure, sent), HTTPTIME_OK);
            assert_eq!(httptime_measure_absorb(measure, &aged(sent, has_age)), status);
        }
        httptime_measure_next(measure, 10_000_000, &raw mut next, &raw mut at);
        assert_eq!(next, HTTPTIME_NEXT_DONE);
        let finished =
            httptime_measure_finish(measure, &cross_timestamp(20_000_000), &raw mut result);
        assert_eq!(finished, HTTPTIME_ERROR_CACHED);
        httptime_measure_free(measure);
    }
}

/// Reads one response with a reader.
fn read_head(reader: *mut httptime_reader, response: &str) -> (httptime_status, httptime_head) {
    let (mut head, mut found) = (httptime_head::initial(), 0);
    // SAFETY: a valid handle, and what the header defines on the stack.
    let status = unsafe {
        httptime_reader_clear(reader);
        let bytes = response.as_ptr().cast();
        assert_eq!(httptime_reader_feed(reader, bytes, response.len()), HTTPTIME_OK);
        httptime_reader_next(reader, &raw mut head, &raw mut found)
    };
    assert_eq!(status == HTTPTIME_OK, found == 1);
    (status, head)
}

/// The head of a response with these fields.
fn head_of(fields: &[&str]) -> (httptime_status, httptime_head) {
    let reader = new_reader();
    let read = read_head(reader, &format!("HTTP/1.1 200 OK\r\n{}\r\n\r\n", fields.join("\r\n")));
    // SAFETY: a valid handle, which is not used any more.
    unsafe { httptime_reader_free(reader) };
    read
}

const DATE: &str = "Date: Mon, 23 Nov 2026 00:00:01 GMT";
const MS: i64 = 1_000_000;

#[test]
fn a_head_has_the_stamp_of_its_response() {
    let date = WALL_NS + SECOND_NS;
    let read = |fields: &[&str]| {
        let (status, head) = head_of(fields);
        assert_eq!(status, HTTPTIME_OK, "{fields:?}");
        let httptime_stamp { state, flags, receive_ns, transmit_ns, quantum_ns } = head.stamp;
        (head.date_ns - date, state, flags, [receive_ns, transmit_ns, quantum_ns])
    };
    let (used, at) = (HTTPTIME_STAMP_USED, date + 250 * MS);
    assert_eq!(read(&[DATE]), (0, HTTPTIME_STAMP_NONE, 0, [0; 3]));
    let of_micros = "X-HTTPSTIME: 1795392001.250000";
    assert_eq!(read(&[DATE, of_micros]), (0, used, 0, [at, at, 1_000]));
    let of_two_times = "x-httpstime: t=1795392001250000 D=1500";
    assert_eq!(read(&[DATE, of_two_times]), (0, used, 0, [at, at + 1_500_000, 1_000]));
    let of_millis = "X-HTTPSTIME: 1795392001.250";
    let rounded = HTTPTIME_STAMP_FLAG_ROUNDED;
    assert_eq!(read(&[DATE, "X-Varnish: 7", of_millis]), (0, used, rounded, [at, at, MS]));
    let no_date = HTTPTIME_STAMP_FLAG_NO_DATE;
    assert_eq!(read(&[of_micros]), (0, used, no_date, [at, at, 1_000]));
    // The second in which the response left.
    let of_a_long_time = "X-HTTPSTIME: 1795392001.250000 D=1000000";
    let times = [at, at + SECOND_NS, 1_000];
    assert_eq!(read(&[of_a_long_time]), (SECOND_NS, used, no_date, times));
    let malformed = "X-HTTPSTIME: 1795392001.25";
    assert_eq!(read(&[DATE, malformed]), (0, HTTPTIME_STAMP_MALFORMED, 0, [0; 3]));
    let conflicting = (0, HTTPTIME_STAMP_CONFLICTING, 0, [0; 3]);
    assert_eq!(read(&[DATE, of_micros, of_millis]), conflicting);
    assert_eq!(head_of(&[malformed]).0, HTTPTIME_ERROR_NO_DATE);
}

#[test]
fn a_reader_reads_stamps_from_the_header_field_that_is_set() {
    let reader = new_reader();
    let response = format!("HTTP/1.1 200 OK\r\n{DATE}\r\nX-Time: 1795392001250\r\n\r\n");
    // SAFETY: a handle that is valid until it is freed, and texts.
    let set = |name| unsafe { httptime_reader_set_stamp_header(reader, name) };
    let state = || read_head(reader, &response).1.stamp.state;
    assert_eq!(state(), HTTPTIME_STAMP_NONE);
    for (name, expected) in [
        (c"x-time".as_ptr(), HTTPTIME_STAMP_USED),
        (null(), HTTPTIME_STAMP_NONE),
        (c"X-Time".as_ptr(), HTTPTIME_STAMP_USED),
        (c"".as_ptr(), HTTPTIME_STAMP_NONE),
    ] {
        assert_eq!((set(name), state()), (HTTPTIME_OK, expected));
    }
    for name in [c"Date", c"two words"] {
        assert_eq!(set(name.as_ptr()), HTTPTIME_ERROR_INVALID_CONFIG, "{name:?}");
    }
    // SAFETY: as above.
    unsafe {
        refused(&[
            httptime_reader_set_stamp_header(null_mut(), c"X-Time".as_ptr()),
            httptime_reader_set_stamp_header(reader, c"\xff".as_ptr()),
        ]);
        httptime_reader_free(reader);
    }
}

/// The true offset of the server with stamps.
const STAMPED_NS: i64 = 250_127_000;

/// The server's clock 1 ms after a request left.
fn server_clock(sent_ns: i64) -> i64 {
    WALL_NS + sent_ns + MS + STAMPED_NS
}

/// An exchange with a server with this stamp.
fn stamped(sent_ns: i64, stamp: httptime_stamp) -> httptime_exchange {
    let date_ns = server_clock(sent_ns) / SECOND_NS * SECOND_NS;
    httptime_exchange { date_ns, stamp, ..exchange(sent_ns) }
}

fn stamp_of(clock_ns: i64, quantum_ns: i64) -> httptime_stamp {
    let receive_ns = clock_ns / quantum_ns * quantum_ns;
    let state = HTTPTIME_STAMP_USED;
    httptime_stamp {
        state,
        receive_ns,
        transmit_ns: receive_ns,
        quantum_ns,
        ..httptime_stamp::none()
    }
}

/// A measurement of up to twelve exchanges, each made from the time at which the request leaves.
fn measure_stamps(
    stamp_header: Option<&CStr>,
    exchange: impl Fn(i64) -> httptime_exchange,
) -> (httptime_status, httptime_measurement) {
    let options = httptime_options {
        estimator: ESTIMATOR,
        requests: 12,
        stamp_header: stamp_header.map_or(null(), CStr::as_ptr),
        ..httptime_options::initial()
    };
    let (mut measure, mut measurement) = (null_mut(), httptime_measurement::initial());
    let (mut next, mut at, mut now) = (0, 0, 0);
    // SAFETY: a handle that is valid until it is freed, and structures on the stack.
    let status = unsafe {
        let begin = cross_timestamp(0);
        let status = httptime_measure_new(&raw const options, &raw const begin, &raw mut measure);
        assert_eq!(status, HTTPTIME_OK);
        loop {
            let status = httptime_measure_next(measure, now, &raw mut next, &raw mut at);
            assert_eq!(status, HTTPTIME_OK);
            if next == HTTPTIME_NEXT_DONE {
                break;
            }
            assert_eq!(httptime_measure_sent(measure, at), HTTPTIME_OK);
            now = at + 2 * MS;
            let status = httptime_measure_absorb(measure, &exchange(at));
            assert!([HTTPTIME_OK, HTTPTIME_ERROR_STAMP_REJECTED].contains(&status), "{status}");
        }
        let end = cross_timestamp(now);
        let status = httptime_measure_finish(measure, &raw const end, &raw mut measurement);
        httptime_measure_free(measure);
        status
    };
    if status == HTTPTIME_OK {
        let httptime_measurement { lower_ns, upper_ns, .. } = measurement;
        assert!((lower_ns..=upper_ns).contains(&STAMPED_NS), "{measurement:?}");
    }
    (status, measurement)
}

#[test]
fn a_measurement_without_sockets_uses_the_stamps_of_the_heads() {
    for date in [true, false] {
        let (status, measurement) = measure_stamps(None, |sent| {
            let clock = server_clock(sent);
            let of_date = (clock / SECOND_NS) - WALL_NS / SECOND_NS;
            let date = format!("Date: Mon, 23 Nov 2026 00:00:{of_date:02} GMT\r\n")
                .repeat(usize::from(date));
            let micros = clock / 1_000;
            let (status, head) = head_of(&[&format!("{date}X-HTTPSTIME: {micros}")]);
            assert_eq!(status, HTTPTIME_OK);
            httptime_exchange { date_ns: head.date_ns, ..stamped(sent, head.stamp) }
        });
        assert_eq!(status, HTTPTIME_OK);
        let stamp = (measurement.stamp, measurement.stamp_quantum_ns);
        assert_eq!(stamp, (HTTPTIME_STAMP_USED, 1_000), "{measurement:?}");
        assert_eq!((measurement.lag_source, measurement.lag_ns), (HTTPTIME_LAG_STAMP, MS));
        assert_eq!((measurement.date_advanced, measurement.servers_configured), (1, 1));
        assert!(measurement.elapsed_ns < SECOND_NS, "{measurement:?}");
        assert!((measurement.offset_ns - STAMPED_NS).abs() < MS, "{measurement:?}");
        assert!(measurement.upper_ns - measurement.lower_ns < 4 * MS, "{measurement:?}");
    }
}

#[test]
fn a_loop_that_asks_every_millisecond_what_to_do_measures_stamps_as_soon() {
    let (mut measure, mut measurement) = (null_mut(), httptime_measurement::initial());
    let (mut next, mut at, mut now) = (0, 0, 0);
    let (options, begin) = (httptime_options::initial(), cross_timestamp(0));
    // SAFETY: a handle that is valid until it is freed, and structures on the stack.
    unsafe {
        let new = httptime_measure_new(&raw const options, &raw const begin, &raw mut measure);
        assert_eq!(new, HTTPTIME_OK);
        loop {
            let status = httptime_measure_next(measure, now, &raw mut next, &raw mut at);
            assert_eq!(status, HTTPTIME_OK);
            if next == HTTPTIME_NEXT_DONE {
                break;
            }
            if at <= now {
                assert_eq!(httptime_measure_sent(measure, now), HTTPTIME_OK);
                let exchange = stamped(now, stamp_of(server_clock(now), 1_000));
                now += 2 * MS;
                assert_eq!(httptime_measure_absorb(measure, &raw const exchange), HTTPTIME_OK);
            } else {
                now += MS;
            }
        }
        let end = cross_timestamp(now);
        let status = httptime_measure_finish(measure, &raw const end, &raw mut measurement);
        assert_eq!(status, HTTPTIME_OK);
        httptime_measure_free(measure);
    }
    assert_eq!((measurement.requests, measurement.checks), (8, 1), "{measurement:?}");
    assert!(now < SECOND_NS, "{now}");
}

#[test]
fn a_stamp_that_is_not_used_stands_in_for_no_date() {
    let no_date = HTTPTIME_STAMP_FLAG_NO_DATE;
    let stamp = httptime_stamp { flags: no_date, ..stamp_of(server_clock(0), 1_000) };
    let options = httptime_options { stamp_header: c"".as_ptr(), ..httptime_options::initial() };
    let (mut measure, begin) = (null_mut(), cross_timestamp(0));
    // SAFETY: a handle that is valid until it is freed, and structures on the stack.
    unsafe {
        let new = httptime_measure_new(&raw const options, &raw const begin, &raw mut measure);
        assert_eq!(new, HTTPTIME_OK);
        assert_eq!(httptime_measure_sent(measure, 0), HTTPTIME_OK);
        let status = httptime_measure_absorb(measure, &stamped(0, stamp));
        assert_eq!(status, HTTPTIME_ERROR_NO_DATE);
        httptime_measure_free(measure);
    }
}

#[test]
fn stamps_that_the_options_ignore_are_not_used() {
    let exchange = |sent| stamped(sent, stamp_of(server_clock(sent), 1_000));
    let (status, ignored) = measure_stamps(Some(c""), exchange);
    assert_eq!((status, ignored.stamp), (HTTPTIME_OK, HTTPTIME_STAMP_NONE), "{ignored:?}");
    assert_eq!(ignored.stamp_quantum_ns, 0);
    assert_ne!(ignored.lag_source, HTTPTIME_LAG_STAMP);
    let (status, named) = measure_stamps(Some(c"X-Time"), exchange);
    assert_eq!((status, named.stamp), (HTTPTIME_OK, HTTPTIME_STAMP_USED), "{named:?}");
    let options =
        httptime_options { stamp_header: c"two words".as_ptr(), ..httptime_options::initial() };
    let mut measure = null_mut();
    // SAFETY: structures and a place on the stack.
    let status =
        unsafe { httptime_measure_new(&raw const options, &cross_timestamp(0), &raw mut measure) };
    assert_eq!((status, measure.is_null()), (HTTPTIME_ERROR_INVALID_CONFIG, true));
}

#[test]
fn a_measurement_names_the_reason_why_it_did_not_use_the_stamps() {
    let fault = |stamp: &dyn Fn(i64) -> httptime_stamp| {
        let (status, measurement) = measure_stamps(None, |sent| stamped(sent, stamp(sent)));
        assert_eq!(status, HTTPTIME_OK, "{measurement:?}");
        assert_ne!(measurement.lag_source, HTTPTIME_LAG_STAMP);
        assert_eq!(measurement.observations, 12);
        (measurement.stamp, measurement.stamp_quantum_ns)
    };
    let unread = |state| httptime_stamp { state, ..httptime_stamp::none() };
    for state in [HTTPTIME_STAMP_MALFORMED, HTTPTIME_STAMP_CONFLICTING] {
        assert_eq!(fault(&|_| unread(state)), (state, 0));
        // The first two responses have a stamp.
        let later =
            |sent| if sent < 50 * MS { stamp_of(server_clock(sent), MS) } else { unread(state) };
        assert_eq!(fault(&later), (state, MS));
    }
    let day = 86_400 * SECOND_NS;
    let by = |late: i64| fault(&|sent| stamp_of(server_clock(sent) - late, 1_000)).0;
    assert_eq!(by(day), HTTPTIME_STAMP_OLDER_THAN_DATE);
    assert_eq!(by(-day), HTTPTIME_STAMP_NEWER_THAN_DATE);
    assert_eq!(fault(&|_| stamp_of(server_clock(0), 1)), (HTTPTIME_STAMP_FROZEN, 1));
    let slow = |sent| {
        let stamp = stamp_of(server_clock(sent), 1_000);
        httptime_stamp { transmit_ns: stamp.receive_ns + 50 * MS, ..stamp }
    };
    assert_eq!(fault(&slow), (HTTPTIME_STAMP_LONGER_THAN_ROUND_TRIP, 0));
}

#[test]
fn rejected_stamps_of_responses_without_a_date_are_an_error() {
    let measured = |flags| {
        measure_stamps(None, |sent| {
            // The second response shows another number of digits.
            let quantum = if sent < 10 * MS { 1_000 } else { MS };
            let stamp = stamp_of(server_clock(sent), quantum);
            let flags = if sent < 10 * MS { flags } else { 0 };
            stamped(sent, httptime_stamp { flags, ..stamp })
        })
    };
    let (status, measurement) = measured(0);
    assert_eq!((status, measurement.stamp), (HTTPTIME_OK, HTTPTIME_STAMP_FORM_CHANGED));
    assert_eq!(measured(HTTPTIME_STAMP_FLAG_NO_DATE).0, HTTPTIME_ERROR_STAMP_REJECTED);
}

#[test]
fn without_a_date_the_second_of_the_stamp_is_compared_with_the_floor() {
    let second = server_clock(0) / SECOND_NS * SECOND_NS;
    let no_date = HTTPTIME_STAMP_FLAG_NO_DATE;
    let stamp = httptime_stamp { flags: no_date, ..stamp_of(server_clock(0), 1_000) };
    let exchange = httptime_exchange { date_ns: 0, ..stamped(0, stamp) };
    for (floor_ns, expected) in
        [(second, HTTPTIME_OK), (second + 1, HTTPTIME_ERROR_DATE_BEFORE_FLOOR)]
    {
        let options = httptime_options { floor_ns, ..httptime_options::initial() };
        let (mut measure, begin) = (null_mut(), cross_timestamp(0));
        // SAFETY: a handle that is valid until it is freed, and structures on the stack.
        unsafe {
            let new = httptime_measure_new(&raw const options, &raw const begin, &raw mut measure);
            assert_eq!(new, HTTPTIME_OK);
            assert_eq!(httptime_measure_sent(measure, 0), HTTPTIME_OK);
            assert_eq!(httptime_measure_absorb(measure, &raw const exchange), expected);
            httptime_measure_free(measure);
        }
    }
}

#[test]
fn a_head_that_does_not_reach_to_the_stamp_is_refused() {
    let end = offset_of!(httptime_head, stamp) + size_of::<httptime_stamp>();
    let reader = new_reader();
    for (size, expected) in [(end - 8, HTTPTIME_ERROR_INVALID_ARGUMENT), (end, HTTPTIME_OK)] {
        let memory = Memory::of(size);
        // SAFETY: a handle that is valid until it is freed; the structure is as large as its size.
        let status = unsafe { httptime_reader_next(reader, memory.pointer(), &mut 0) };
        assert_eq!(status, expected);
    }
    // SAFETY: as above.
    unsafe { httptime_reader_free(reader) };
}

/// The offset that an estimator computes from one exchange.
fn estimate(exchange: &httptime_exchange) -> i64 {
    let estimator = new_estimator();
    let (mut offset, mut stddev) = (0, 0);
    // SAFETY: a handle that is valid until it is freed, and what the header defines on the stack.
    unsafe {
        assert_eq!(httptime_estimator_absorb(estimator, exchange), HTTPTIME_OK);
        let status = httptime_estimator_estimate(estimator, &raw mut offset, &raw mut stddev);
        assert_eq!(status, HTTPTIME_OK);
        httptime_estimator_free(estimator);
    }
    offset
}

#[test]
fn an_estimator_uses_the_stamp_of_an_exchange_and_whether_it_is_rounded() {
    let exact = estimate(&stamped(0, stamp_of(server_clock(0), 1_000)));
    assert!((exact - STAMPED_NS).abs() < MS, "{exact}");
    let truncated = stamp_of(server_clock(0), MS);
    let rounded = httptime_stamp { flags: HTTPTIME_STAMP_FLAG_ROUNDED, ..truncated };
    assert_eq!(estimate(&stamped(0, truncated)) - estimate(&stamped(0, rounded)), MS / 2);
    // The second of the stamp, and not the date of the exchange, stands in for the Date.
    let no_date = httptime_stamp { flags: HTTPTIME_STAMP_FLAG_NO_DATE, ..truncated };
    let without = httptime_exchange { date_ns: 0, ..stamped(0, no_date) };
    assert_eq!(estimate(&without), estimate(&stamped(0, truncated)));
}

#[test]
fn a_stamp_that_no_head_has_is_refused() {
    let good = stamp_of(server_clock(0), 1_000);
    let (unread, no_date) = (HTTPTIME_STAMP_MALFORMED, HTTPTIME_STAMP_FLAG_NO_DATE);
    let estimator = new_estimator();
    // SAFETY: a handle that is valid until it is freed, and a structure on the stack.
    let absorb = |stamp| unsafe { httptime_estimator_absorb(estimator, &stamped(0, stamp)) };
    assert_eq!(absorb(good), HTTPTIME_OK);
    assert_eq!(absorb(httptime_stamp { flags: no_date, ..good }), HTTPTIME_OK);
    for stamp in [
        httptime_stamp { state: -1, ..good },
        httptime_stamp { state: HTTPTIME_STAMP_FORM_CHANGED, ..good },
        httptime_stamp { state: HTTPTIME_STAMP_NONE, flags: no_date, ..good },
        httptime_stamp { state: unread, flags: no_date, ..good },
        httptime_stamp { flags: 4, ..good },
        httptime_stamp { quantum_ns: 0, ..good },
        httptime_stamp { quantum_ns: -1, ..good },
        httptime_stamp { quantum_ns: SECOND_NS, ..good },
        httptime_stamp { transmit_ns: good.receive_ns - 1, ..good },
        httptime_stamp { flags: no_date, receive_ns: 0, transmit_ns: 0, ..good },
    ] {
        assert_eq!(absorb(stamp), HTTPTIME_ERROR_INVALID_ARGUMENT, "{stamp:?}");
    }
    let unread = stamped(0, httptime_stamp { state: unread, ..httptime_stamp::none() });
    // SAFETY: as above.
    unsafe {
        refused(&[httptime_estimator_absorb(
            estimator,
            &httptime_exchange { date_ns: -SECOND_NS, ..unread },
        )]);
        assert_eq!(httptime_estimator_absorb(estimator, &unread), HTTPTIME_OK);
        httptime_estimator_free(estimator);
    }
}
