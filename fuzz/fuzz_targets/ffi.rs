//! Calls the functions of the header as any C program could, in any order: with NULL, structures of
//! any size and content, and undefined numbers. Nothing crashes or panics. Outputs are written only
//! on success and only within the caller's memory. Each buffer is exactly as large as its stated
//! size, so that the sanitizer detects an excess of one byte.
//!
//! No function that opens a socket or changes a clock is called. Each unsafe block is sound because
//! the header's rules are kept: a pointer is NULL or has the stated size; a handle is NULL or
//! valid.
#![no_main]

#[expect(dead_code, reason = "it serves several targets")]
mod input;

use std::alloc::{self, Layout};
use std::ffi::{CStr, c_char, c_void};
use std::mem::offset_of;
use std::ptr;
use std::sync::Once;

use httptime_ffi::*;
use input::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The library's panic hook writes to its log. This hook also prints the failure here.
    static ONCE: Once = Once::new();
    ONCE.call_once(|| assert_eq!(unsafe { httptime_set_log(Some(show), ptr::null_mut(), 1) }, 0));
    let mut input = Input(data);
    let mut program = Program::default();
    for _ in 0..200 {
        if input.is_empty() {
            break;
        }
        program.call(&mut input);
    }
});

unsafe extern "C" fn show(_: i32, _: *const c_char, message: *const c_char, _: *mut c_void) {
    eprintln!("{}", unsafe { shown(message) });
}

/// The handles of a C program. NULL until they are created.
struct Program {
    reader: *mut httptime_reader,
    measure: *mut httptime_measure,
    estimator: *mut httptime_estimator,
    canceller: *mut httptime_canceller,
}

impl Default for Program {
    fn default() -> Self {
        Self {
            reader: ptr::null_mut(),
            measure: ptr::null_mut(),
            estimator: ptr::null_mut(),
            canceller: ptr::null_mut(),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        unsafe {
            httptime_reader_free(self.reader);
            httptime_measure_free(self.measure);
            httptime_estimator_free(self.estimator);
            httptime_canceller_free(self.canceller);
        }
    }
}

impl Program {
    fn call(&mut self, input: &mut Input<'_>) {
        match input.byte() % 24 {
            0 => texts(input),
            1 => request(input),
            2 => parse_date(input),
            3 => renew(&mut self.reader, input, httptime_reader_free, |_, place| unsafe {
                httptime_reader_new(place)
            }),
            4 | 5 => self.feed(input),
            6 => self.read_head(input),
            7 => self.end_reader(input),
            8 => init(input, httptime_options_init),
            9 => init(input, httptime_policy_init),
            10 => self.refused_query(input),
            11 => self.new_measure(input),
            12 | 13 => self.ask(input),
            14 => self.absorb(input),
            15 => self.lost(input),
            16 => self.progress(input),
            17 => self.finish(input),
            18 => renew(&mut self.estimator, input, httptime_estimator_free, |input, place| {
                let (kind, begin) = (number(input), cross_timestamp(input));
                unsafe { httptime_estimator_new(kind, begin.pointer(), input.nanos(), place) }
            }),
            19 => self.estimate(input),
            20 => renew(&mut self.canceller, input, httptime_canceller_free, |_, place| unsafe {
                httptime_canceller_new(place)
            }),
            21 => select(input),
            22 => decide(input),
            _ => odds(input),
        }
    }

    fn feed(&mut self, input: &mut Input<'_>) {
        let count = usize::from(input.u16() % 600);
        let bytes = bytes(input, count);
        let status =
            unsafe { httptime_reader_feed(self.reader, bytes.as_ptr().cast(), bytes.len()) };
        check(status);
        assert_eq!(status == HTTPTIME_OK, !self.reader.is_null());
        check_fails(unsafe { httptime_reader_feed(self.reader, ptr::null(), count) });
    }

    fn read_head(&mut self, input: &mut Input<'_>) {
        let head = Place::any::<httptime_head>(input);
        let mut found = Number::new(7, input);
        let status = unsafe { httptime_reader_next(self.reader, head.pointer(), found.place()) };
        let written = status == HTTPTIME_OK && found.value == 1;
        let nothing_new = status == HTTPTIME_OK && !written;
        head.check(if nothing_new { HTTPTIME_ERROR_NOTHING_MEASURED } else { status });
        found.check(status);
        assert!(status != HTTPTIME_OK || found.value == 0 || found.value == 1);
        if written {
            let http_status: u32 = head.field(offset_of!(httptime_head, http_status));
            assert!((200..=999).contains(&http_status), "{http_status}");
            if head.size == size_of::<httptime_head>() {
                head.text(offset_of!(httptime_head, server));
            }
        }
    }

    fn end_reader(&mut self, input: &mut Input<'_>) {
        let status = unsafe { httptime_reader_end(self.reader) };
        check_fails(status);
        if !self.reader.is_null() {
            assert!([HTTPTIME_ERROR_EMPTY_REPLY, HTTPTIME_ERROR_CLOSED_EARLY].contains(&status));
        }
        if input.bit() {
            unsafe { httptime_reader_clear(self.reader) };
        }
    }

    /// None of these URLs is usable, so no socket is opened.
    fn refused_query(&mut self, input: &mut Input<'_>) {
        let url = c_text([b"gopher:".to_vec(), some_bytes(input)].concat());
        let urls = [url.as_ptr().cast::<c_char>(); HTTPTIME_MAX_SERVERS];
        let options = self.options(input);
        let count = usize::from(input.byte() % 17);
        let urls = if input.bit() { urls.as_ptr() } else { ptr::null() };
        let out = Place::any::<httptime_measurement>(input);
        let status = unsafe { httptime_query(urls, count, options.pointer(), out.pointer()) };
        check_fails(status);
        out.check(status);
        assert!(status <= HTTPTIME_ERROR_INVALID_CONFIG, "{status}");
        let mut survey = ptr::null_mut();
        check_fails(unsafe {
            httptime_survey_run(urls, count, options.pointer(), &raw mut survey)
        });
        assert!(survey.is_null());
    }

    fn new_measure(&mut self, input: &mut Input<'_>) {
        let options = self.options(input);
        renew(&mut self.measure, input, httptime_measure_free, |input, place| {
            let begin = cross_timestamp(input);
            unsafe { httptime_measure_new(options.pointer(), begin.pointer(), place) }
        });
    }

    /// Sends a request as a driver does.
    fn ask(&mut self, input: &mut Input<'_>) {
        let earliest = input.nanos();
        let (mut next, mut at) = (Number::new(7, input), Number::new(7_i64, input));
        let status =
            unsafe { httptime_measure_next(self.measure, earliest, next.place(), at.place()) };
        next.check(status);
        at.check(status);
        if status == HTTPTIME_OK {
            assert!((HTTPTIME_NEXT_SEND..=HTTPTIME_NEXT_DONE).contains(&next.value));
            assert!(at.value >= earliest);
        }
        let at = if input.bit() { at.value } else { input.nanos() };
        check(unsafe { httptime_measure_sent(self.measure, at) });
    }

    fn absorb(&mut self, input: &mut Input<'_>) {
        let server = c_text(some_bytes(input));
        let exchange = exchange(input, &server);
        let status = unsafe { httptime_measure_absorb(self.measure, exchange.pointer()) };
        exchange.check_input(status);
    }

    fn lost(&mut self, input: &mut Input<'_>) {
        let (was_sent, why) = (number(input), number(input));
        // The status is returned unchanged. The library never produces these two by itself.
        let is_odd = ["other", "panic"].contains(&unsafe { shown(httptime_status_name(why)) });
        let why = if is_odd { HTTPTIME_ERROR_CLOSED_EARLY } else { why };
        let status = unsafe { httptime_measure_lost(self.measure, was_sent, why) };
        check(status);
        // Every later call returns the same final status.
        let again = unsafe { httptime_measure_lost(self.measure, was_sent, why) };
        let is_final = ![HTTPTIME_OK, HTTPTIME_ERROR_INVALID_ARGUMENT].contains(&status);
        assert!(!is_final || again == status, "{status}, then {again}");
    }

    fn progress(&mut self, input: &mut Input<'_>) {
        let progress = Place::any::<httptime_progress>(input);
        let status = unsafe { httptime_measure_progress(self.measure, progress.pointer()) };
        progress.check(status);
        if status == HTTPTIME_OK {
            progress.check_order(&[
                offset_of!(httptime_progress, lower_ns),
                offset_of!(httptime_progress, offset_ns),
                offset_of!(httptime_progress, upper_ns),
            ]);
        }
    }

    fn finish(&mut self, input: &mut Input<'_>) {
        let (end, out) = (cross_timestamp(input), Place::any::<httptime_measurement>(input));
        let status = unsafe { httptime_measure_finish(self.measure, end.pointer(), out.pointer()) };
        out.check(status);
        if status == HTTPTIME_OK {
            out.check_order(&[
                offset_of!(httptime_measurement, lower_ns),
                offset_of!(httptime_measurement, offset_ns),
                offset_of!(httptime_measurement, upper_ns),
            ]);
            if out.size == size_of::<httptime_measurement>() {
                out.text(offset_of!(httptime_measurement, server));
            }
            check_fails(unsafe {
                httptime_measure_finish(self.measure, end.pointer(), out.pointer())
            });
        }
    }

    fn estimate(&mut self, input: &mut Input<'_>) {
        let server = c_text(some_bytes(input));
        let exchange = exchange(input, &server);
        let status = unsafe { httptime_estimator_absorb(self.estimator, exchange.pointer()) };
        exchange.check_input(status);
        let (mut offset, mut stddev) = (Number::new(7_i64, input), Number::new(7_i64, input));
        let status =
            unsafe { httptime_estimator_estimate(self.estimator, offset.place(), stddev.place()) };
        offset.check(status);
        stddev.check(status);
        assert!(stddev.value >= 0);
    }

    fn options(&self, input: &mut Input<'_>) -> Place {
        let options = if input.bit() {
            Place::any::<httptime_options>(input)
        } else {
            let options = Place::of_size::<httptime_options>(size_of::<httptime_options>());
            let size = u32::try_from(options.size).expect("small");
            check_ok(unsafe { httptime_options_init(options.pointer(), size) });
            options.put(offset_of!(httptime_options, profile), i32::from(input.byte() % 4));
            options.put(offset_of!(httptime_options, estimator), i32::from(input.byte() % 7));
            options.put(offset_of!(httptime_options, schedule), i32::from(input.byte() % 6));
            options.put(offset_of!(httptime_options, requests), u32::from(input.byte()));
            options.put(offset_of!(httptime_options, lag_ns), input.nanos());
            options.put(offset_of!(httptime_options, target_ns), input.nanos());
            options.put(offset_of!(httptime_options, floor_ns), input.nanos());
            options
        };
        options.put(offset_of!(httptime_options, proxy), ptr::null::<c_char>());
        options.put(offset_of!(httptime_options, source_address), ptr::null::<c_char>());
        options.put(offset_of!(httptime_options, interface), ptr::null::<c_char>());
        options.put(offset_of!(httptime_options, user_agent), ptr::null::<c_char>());
        options.put(offset_of!(httptime_options, stamp_header), ptr::null::<c_char>());
        for offset in [
            offset_of!(httptime_options, cacert),
            offset_of!(httptime_options, capath),
            offset_of!(httptime_options, cert),
            offset_of!(httptime_options, key),
            offset_of!(httptime_options, pin),
            offset_of!(httptime_options, proxy_cacert),
            offset_of!(httptime_options, proxy_capath),
            offset_of!(httptime_options, proxy_cert),
            offset_of!(httptime_options, proxy_key),
            offset_of!(httptime_options, proxy_pin),
        ] {
            options.put(offset, ptr::null::<c_char>());
        }
        options.put(offset_of!(httptime_options, canceller), self.canceller);
        options.put(offset_of!(httptime_options, progress), ptr::null::<c_void>());
        options
    }
}

/// Frees a handle and creates another one; NULL if that fails.
fn renew<T>(
    handle: &mut *mut T,
    input: &mut Input<'_>,
    free: unsafe extern "C" fn(*mut T),
    make: impl FnOnce(&mut Input<'_>, *mut *mut T) -> httptime_status,
) {
    unsafe { free(*handle) };
    *handle = ptr::null_mut();
    let is_null = input.byte() == u8::MAX;
    let status = make(input, if is_null { ptr::null_mut() } else { handle });
    check(status);
    assert_eq!(status == HTTPTIME_OK, !handle.is_null());
}

fn texts(input: &mut Input<'_>) {
    let status = number(input);
    let text = unsafe { shown(httptime_strerror(status)) };
    let name = unsafe { shown(httptime_status_name(status)) };
    assert!(!text.is_empty() && !name.is_empty());
    assert_eq!(text == "unknown status", name == "unknown");

    let whole = unsafe { httptime_error_message(ptr::null_mut(), 0) };
    let mut buffer = vec![0xEE_u8; usize::from(input.byte())].into_boxed_slice();
    let length = unsafe { httptime_error_message(buffer.as_mut_ptr().cast(), buffer.len()) };
    assert_eq!(length, whole);
    if !buffer.is_empty() {
        let text = CStr::from_bytes_until_nul(&buffer).expect("it ends");
        let kept = text.to_str().expect("UTF-8").len();
        assert!(kept <= whole);
        // A four-byte character does not fit into three bytes.
        assert!(kept == whole || kept + 4 >= buffer.len());
    }
}

fn request(input: &mut Input<'_>) {
    let url = c_text([b"http://".to_vec(), some_bytes(input)].concat());
    let size = if input.bit() { url.len() + 512 } else { usize::from(input.byte()) };
    let mut buffer = vec![0xEE_u8; size].into_boxed_slice();
    let mut length = Number::new(usize::MAX, input);
    let (from, to) = (url.as_ptr().cast(), buffer.as_mut_ptr().cast());
    let status = unsafe { httptime_request(from, to, size, length.place()) };
    length.check(status);
    if status == HTTPTIME_OK {
        let text = CStr::from_bytes_until_nul(&buffer).expect("it ends").to_str().expect("ASCII");
        assert_eq!(text.len(), length.value);
        assert!(text.starts_with("HEAD /") && text.ends_with("\r\n\r\n"), "{text:?}");
    } else {
        assert!(buffer.iter().all(|byte| *byte == 0xEE));
        assert!(status != HTTPTIME_ERROR_BUFFER_TOO_SMALL || size < url.len() + 512);
    }
}

fn parse_date(input: &mut Input<'_>) {
    let value = some_bytes(input).into_boxed_slice();
    let mut date = Number::new(7_i64, input);
    let status = unsafe { httptime_parse_date(value.as_ptr().cast(), value.len(), date.place()) };
    date.check(status);
    assert!(status != HTTPTIME_OK || date.value % 1_000_000_000 == 0);
}

fn init<T>(input: &mut Input<'_>, init: unsafe extern "C" fn(*mut T, u32) -> httptime_status) {
    let place = Place::any::<T>(input);
    // The structure need not be initialised, so its size is at most the size stated now.
    let size = place.said();
    place.put(0, 0xEEEE_EEEE_u32);
    let before = place.contents();
    let status = unsafe { init(place.pointer(), size) };
    check(status);
    if status == HTTPTIME_OK {
        assert_eq!(place.field::<u32>(0), size);
        assert!(place.contents()[size_of::<T>().min(place.size)..].iter().all(|byte| *byte == 0));
    } else {
        assert_eq!(place.contents(), before);
    }
}

fn select(input: &mut Input<'_>) {
    let count = usize::from(input.byte() % 12);
    let lower: Vec<i64> = (0..count).map(|_| input.nanos()).collect();
    let upper: Vec<i64> = (0..count).map(|_| input.nanos()).collect();
    let mut survivors = vec![0xEE_u8; count].into_boxed_slice();
    let (mut common_lower, mut common_upper) = (Number::new(7, input), Number::new(7, input));
    let said = if input.byte() == u8::MAX { usize::MAX } else { count };
    let skewed = usize::from(input.byte() == u8::MAX);
    let status = unsafe {
        httptime_select(
            lower.as_ptr().byte_add(skewed),
            upper.as_ptr(),
            said,
            common_lower.place(),
            common_upper.place(),
            survivors.as_mut_ptr(),
        )
    };
    common_lower.check(status);
    common_upper.check(status);
    if status != HTTPTIME_OK {
        assert!(survivors.iter().all(|byte| *byte == 0xEE));
        return;
    }
    assert_eq!(skewed, 0);
    assert!(common_lower.value <= common_upper.value);
    assert!(2 * survivors.iter().filter(|survives| **survives == 1).count() > count);
    for (index, survives) in survivors.iter().enumerate() {
        // The bounds reach from the first to the last point that is common to more than half of the
        // servers.
        let overlaps = lower[index] <= common_upper.value && common_lower.value <= upper[index];
        assert!(*survives <= 1 && (*survives == 0 || overlaps));
    }
}

fn decide(input: &mut Input<'_>) {
    let policy = Place::any::<httptime_policy>(input);
    let history = Place::any::<httptime_history>(input);
    let measurement = Place::any::<httptime_measurement>(input);
    if input.bit() {
        measurement.put(offset_of!(httptime_measurement, offset_ns), input.nanos());
        measurement.put(offset_of!(httptime_measurement, stddev_ns), input.nanos());
        measurement.put(offset_of!(httptime_measurement, lower_ns), input.nanos());
        measurement.put(offset_of!(httptime_measurement, upper_ns), input.nanos());
        measurement.put(offset_of!(httptime_measurement, lag_ns), input.nanos());
        policy.put(offset_of!(httptime_policy, evidence), i32::from(input.byte() % 3));
    }
    let decision = Place::any::<httptime_decision>(input);
    let status = unsafe {
        httptime_policy_decide(
            policy.pointer(),
            history.pointer(),
            measurement.pointer(),
            decision.pointer(),
        )
    };
    decision.check(status);
    if status != HTTPTIME_OK {
        return;
    }
    let action: i32 = decision.field(offset_of!(httptime_decision, action));
    let by: i64 = decision.field(offset_of!(httptime_decision, by_ns));
    match action {
        HTTPTIME_ACTION_LEAVE | HTTPTIME_ACTION_REFUSE => assert_eq!(by, 0),
        HTTPTIME_ACTION_SLEW | HTTPTIME_ACTION_STEP => {
            let offset: i64 = measurement.field(offset_of!(httptime_measurement, offset_ns));
            assert!(by.unsigned_abs() <= offset.unsigned_abs());
        }
        other => panic!("there is no action {other}"),
    }
    if decision.size == size_of::<httptime_decision>() {
        let refusal: i32 = decision.field(offset_of!(httptime_decision, refusal));
        let reason = decision.text(offset_of!(httptime_decision, reason));
        let refused = action == HTTPTIME_ACTION_REFUSE;
        assert_eq!(refused, refusal != HTTPTIME_REFUSAL_NONE);
        assert_eq!(refused, !reason.is_empty());
    }
}

fn odds(input: &mut Input<'_>) {
    let level = number(input);
    if !(HTTPTIME_LOG_OFF..=HTTPTIME_LOG_TRACE).contains(&level) {
        check_fails(unsafe { httptime_set_log(None, ptr::null_mut(), level) });
    }
    let now = Place::any::<httptime_cross_timestamp>(input);
    now.check(unsafe { httptime_cross_timestamp_now(now.pointer()) });
    let index = usize::from(input.byte());
    unsafe {
        assert_eq!(httptime_survey_count(ptr::null()), 0);
        assert_eq!(httptime_survey_is_selected(ptr::null(), index), 0);
        assert!(httptime_survey_url(ptr::null(), index).is_null());
        httptime_survey_free(ptr::null_mut());
    }
}

/// A cross-timestamp, which the library accepts more often than not.
fn cross_timestamp(input: &mut Input<'_>) -> Place {
    if input.byte() == u8::MAX {
        return Place::any::<httptime_cross_timestamp>(input);
    }
    let place = Place::of_size::<httptime_cross_timestamp>(size_of::<httptime_cross_timestamp>());
    place.put(offset_of!(httptime_cross_timestamp, instant_ns), input.nanos());
    let wall = 1_795_392_000_000_000_000_i64.saturating_add(input.nanos());
    place.put(offset_of!(httptime_cross_timestamp, wall_ns), wall);
    place.put(offset_of!(httptime_cross_timestamp, uncertainty_ns), input.nanos());
    place
}

/// An exchange, with pointers that are NULL or point to texts.
fn exchange(input: &mut Input<'_>, server: &[u8]) -> Place {
    let place = if input.byte() == u8::MAX {
        Place::any::<httptime_exchange>(input)
    } else {
        let place = Place::of_size::<httptime_exchange>(size_of::<httptime_exchange>());
        let sent = input.nanos();
        place.put(offset_of!(httptime_exchange, sent_ns), sent);
        let received = sent.saturating_add(input.nanos());
        place.put(offset_of!(httptime_exchange, received_ns), received);
        let date = 1_795_392_000_000_000_000_i64.saturating_add(input.nanos());
        place.put(offset_of!(httptime_exchange, date_ns), date);
        place.put(offset_of!(httptime_exchange, has_age), i32::from(input.byte() % 2));
        place
    };
    let server = if input.bit() { server.as_ptr() } else { ptr::null() };
    place.put(offset_of!(httptime_exchange, server), server);
    if input.bit() {
        place.put(
            offset_of!(httptime_exchange, marks),
            u32::from_be_bytes([(); 4].map(|()| input.byte() % 6)),
        );
        place.put(offset_of!(httptime_exchange, flags), u32::from(input.byte() % 9));
    }
    place
}

/// A number near those of the header, and sometimes any number.
fn number(input: &mut Input<'_>) -> i32 {
    match input.byte() {
        u8::MAX => i32::from_le_bytes(std::array::from_fn(|_| input.byte())),
        byte => i32::from(byte.cast_signed()),
    }
}

fn bytes(input: &mut Input<'_>, count: usize) -> Box<[u8]> {
    let (now, later) = input.0.split_at(count.min(input.0.len()));
    input.0 = later;
    now.into()
}

fn some_bytes(input: &mut Input<'_>) -> Vec<u8> {
    let count = usize::from(input.byte() % 80);
    bytes(input, count).into_vec()
}

/// Ends the text with a NUL at the latest.
fn c_text(mut text: Vec<u8>) -> Box<[u8]> {
    text.push(0);
    text.into_boxed_slice()
}

/// # Safety
/// The text must end with a NUL and must stay valid for the lifetime.
unsafe fn shown<'a>(text: *const c_char) -> &'a str {
    unsafe { CStr::from_ptr(text) }.to_str().expect("UTF-8")
}

/// Checks that the status is one of the header's and that nothing panicked.
fn check(status: httptime_status) {
    let name = unsafe { shown(httptime_status_name(status)) };
    assert!(name != "unknown" && name != "panic" && name != "other", "{status}");
}

fn check_ok(status: httptime_status) {
    assert_eq!(status, HTTPTIME_OK);
}

fn check_fails(status: httptime_status) {
    check(status);
    assert_ne!(status, HTTPTIME_OK);
}

/// A number as an output, or NULL.
struct Number<T> {
    value: T,
    before: T,
    missing: bool,
}

impl<T: Copy + PartialEq + std::fmt::Debug> Number<T> {
    fn new(value: T, input: &mut Input<'_>) -> Self {
        Self { value, before: value, missing: input.byte() == u8::MAX }
    }

    fn place(&mut self) -> *mut T {
        if self.missing { ptr::null_mut() } else { &raw mut self.value }
    }

    fn check(&self, status: httptime_status) {
        check(status);
        if status == HTTPTIME_OK {
            assert!(!self.missing);
        } else {
            assert_eq!(self.value, self.before);
        }
    }
}

/// A structure that begins with its size, in a heap allocation of exactly that size.
struct Place {
    memory: *mut u8,
    layout: Layout,
    /// The distance from the start of the allocation: not 0 for a structure that is not aligned.
    skew: usize,
    /// The bytes that exist. The stated size may be larger only where no structure can be so large.
    size: usize,
    before: Vec<u8>,
    /// The size that the library knows.
    known: usize,
    missing: bool,
}

impl Place {
    /// A structure of any size and any content, and sometimes NULL.
    fn any<T>(input: &mut Input<'_>) -> Self {
        let choice = input.byte();
        let said = match choice % 8 {
            0..4 => size_of::<T>(),
            4 | 5 => usize::from(input.byte()) * 8,
            6 => usize::from(input.u16()),
            _ => usize::try_from(u32::from_le_bytes(std::array::from_fn(|_| input.byte())))
                .expect("32 bits fit"),
        };
        let size = if said > MAX_SIZE { 4 } else { said.max(4) };
        let skew = if choice == 0xF8 { usize::from(input.byte() % 8) } else { 0 };
        let mut place = Self::new::<T>(size, skew);
        place.missing = choice == u8::MAX;
        let count = usize::from(input.byte());
        for (index, byte) in bytes(input, count.min(size)).iter().enumerate() {
            place.put(index, *byte);
        }
        place.put(0, u32::try_from(said).expect("32 bits"));
        place.before = place.contents();
        place
    }

    /// A structure of zeros, except for its size.
    fn of_size<T>(size: usize) -> Self {
        let place = Self::new::<T>(size, 0);
        place.put(0, u32::try_from(size).expect("small"));
        place
    }

    fn new<T>(size: usize, skew: usize) -> Self {
        let layout = Layout::from_size_align(size + skew, 8).expect("small");
        let memory = unsafe { alloc::alloc_zeroed(layout) };
        assert!(!memory.is_null());
        let (known, before) = (size_of::<T>(), Vec::new());
        Self { memory, layout, skew, size, before, known, missing: false }
    }

    fn pointer<T>(&self) -> *mut T {
        if self.missing { ptr::null_mut() } else { unsafe { self.memory.add(self.skew).cast() } }
    }

    fn said(&self) -> u32 {
        self.field(0)
    }

    /// Writes a value at this offset, if it fits.
    fn put<V>(&self, at: usize, value: V) {
        if at + size_of::<V>() <= self.size {
            unsafe { self.memory.add(self.skew + at).cast::<V>().write_unaligned(value) }
        }
    }

    fn field<V: Copy>(&self, at: usize) -> V {
        assert!(at + size_of::<V>() <= self.size);
        unsafe { self.memory.add(self.skew + at).cast::<V>().read_unaligned() }
    }

    fn contents(&self) -> Vec<u8> {
        unsafe { std::slice::from_raw_parts(self.memory.add(self.skew), self.size) }.to_vec()
    }

    fn text(&self, at: usize) -> String {
        let contents = self.contents();
        let text = CStr::from_bytes_until_nul(&contents[at..]).expect("it ends");
        text.to_str().expect("UTF-8").to_owned()
    }

    /// Checks an output: on failure it is unchanged; on success its size is unchanged and the bytes
    /// that the library does not know are zero.
    fn check(&self, status: httptime_status) {
        check(status);
        let after = self.contents();
        if status == HTTPTIME_OK {
            assert!(!self.missing && self.skew == 0 && self.size % 8 == 0);
            assert_eq!(after[..4], self.before[..4]);
            assert!(after[self.known.min(self.size)..].iter().all(|byte| *byte == 0));
        } else {
            assert_eq!(after, self.before);
        }
    }

    /// Checks that these numbers ascend.
    fn check_order(&self, fields: &[usize]) {
        let numbers: Vec<i64> = fields.iter().map(|at| self.field(*at)).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
    }

    /// Checks an input, which must be unchanged.
    fn check_input(&self, status: httptime_status) {
        check(status);
        if status == HTTPTIME_OK {
            assert!(!self.missing && self.skew == 0 && self.size % 8 == 0);
            let known = self.known.min(self.size);
            assert!(self.contents()[known..].iter().all(|byte| *byte == 0));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        unsafe { alloc::dealloc(self.memory, self.layout) }
    }
}

/// Larger than any structure of the header.
const MAX_SIZE: usize = 4096;
