use std::ffi::c_char;
use std::mem;

use httptime::http::{Request, ResponseReader, parse_date};
use httptime::{Exchange, LocalInstant, Url};

use crate::boundary::{
    Output, Versioned, array, exclusive, free_handle, guard, guard_or, hand_over, nanos, size,
    slice, target, text,
};
use crate::failure::Failure;
use crate::options::{Settings, httptime_options};
use crate::stamp::httptime_stamp;
use crate::status::{HTTPTIME_ERROR_BUFFER_TOO_SMALL, httptime_status};

/// Writes the request for a date. Send it to the server of the URL unchanged, any number of times,
/// over one connection.
///
/// url: "http://host:port/path", port and path only if needed. buffer: size bytes, written only on
/// HTTPTIME_OK, with a NUL after the request; the length of the URL plus 512 is always enough.
/// length: set to the length without the NUL. Fails with HTTPTIME_ERROR_INVALID_URL and
/// HTTPTIME_ERROR_BUFFER_TOO_SMALL. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_request(
    url: *const c_char,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointer points to.
        let url = Url::parse(unsafe { text(url, "url") }?)?;
        let (buffer, length) = (target(buffer, "buffer")?, target(length, "length")?);
        let request = Request::head(&url.authority(), url.path())?;
        let bytes = request.as_bytes();
        if bytes.len() >= size {
            let needed = format!("the request needs {} bytes, not {size}", bytes.len() + 1);
            return Err(Failure::new(HTTPTIME_ERROR_BUFFER_TOO_SMALL, needed));
        }
        // SAFETY: the header requires that `size` bytes can be written to the buffer; these and the
        // NUL are no more.
        unsafe {
            buffer.cast::<u8>().as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            buffer.add(bytes.len()).write(0);
            length.write(bytes.len());
        }
        Ok(())
    })
}

/// Parses the value of a Date field ("Mon, 23 Nov 2026 09:37:12 GMT", or one of the two older
/// formats), for programs whose HTTP library has parsed the head of a response, such as curl.
///
/// value: length bytes, no NUL needed. date_ns: set to ns since 1970. Fails with
/// HTTPTIME_ERROR_MALFORMED_DATE and HTTPTIME_ERROR_DATE_OUT_OF_RANGE. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_parse_date(
    value: *const c_char,
    length: usize,
    date_ns: *mut i64,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointer points to.
        let value = unsafe { slice(value.cast::<u8>(), length, "value") }?;
        let place = target(date_ns, "date_ns")?;
        let date = parse_date(value)?;
        // SAFETY: the header requires that a number can be written there.
        unsafe { place.write(date.as_unix_nanos()) };
        Ok(())
    })
}

/// Turns the bytes that are received on one connection into heads of responses. One thread at a
/// time.
#[derive(Debug)]
pub struct httptime_reader(ResponseReader);

/// The head of a response: the fields that matter for the time. Written by the library; set
/// struct_size before.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct httptime_head {
    /// sizeof(httptime_head), set by the caller.
    pub struct_size: u32,
    /// The status code, 200-999. Any code is usable: a 404 has a correct Date.
    pub http_status: u32,
    /// The Date: ns since 1970. Without a Date, the second of the stamp.
    pub date_ns: i64,
    /// The Age, if has_age.
    pub age_ns: i64,
    /// Whether there is an Age, which means that the response came through a cache.
    pub has_age: i32,
    /// Whether the server keeps the connection open. If not, open another one for the next request.
    pub persistent: i32,
    /// The stamp: for httptime_exchange.stamp.
    pub stamp: httptime_stamp,
    /// Whether more bytes were received after the head. Then close the connection: its data cannot
    /// be trusted.
    pub has_trailing_bytes: i32,
    /// The marks of the servers that the response passed: for httptime_exchange.marks.
    pub marks: u32,
    /// The first Server field, ended by a NUL; empty for none.
    pub server: [c_char; 136],
}

// SAFETY: integers; each field begins where the one before it ends.
unsafe impl Versioned for httptime_head {
    /// Up to the stamp. Without the Age a stored response would be used. Without the stamp it would
    /// not show whether there is a Date.
    const MIN_SIZE: usize = 64;

    fn initial() -> Self {
        Self {
            struct_size: size::<Self>(),
            http_status: 0,
            date_ns: 0,
            age_ns: 0,
            has_age: 0,
            persistent: 0,
            stamp: httptime_stamp::none(),
            has_trailing_bytes: 0,
            marks: 0,
            server: [0; 136],
        }
    }
}

/// Creates a reader for a new connection.
///
/// reader: set to the new handle, which you must free with httptime_reader_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_reader_new(reader: *mut *mut httptime_reader) -> httptime_status {
    guard(|| {
        hand_over(httptime_reader(ResponseReader::new()), target(reader, "reader")?);
        Ok(())
    })
}

/// Reads stamps from another header field [default: X-HTTPSTIME].
///
/// name: as httptime_options.stamp_header. Fails with HTTPTIME_ERROR_INVALID_CONFIG.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_reader_set_stamp_header(
    reader: *mut httptime_reader,
    name: *const c_char,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointer points to.
        let reader = unsafe { exclusive(reader, "reader") }?;
        // Checked as in the options.
        let options = httptime_options { stamp_header: name, ..httptime_options::initial() };
        // SAFETY: the header defines what the pointer points to; the others are NULL.
        let settings = unsafe { Settings::of(&raw const options) }?;
        let name = settings.config.stamp_header().unwrap_or_default().into();
        reader.0 = mem::take(&mut reader.0).with_stamp_header(name);
        Ok(())
    })
}

/// Adds bytes that were received on the connection, in pieces of any size.
///
/// bytes: length bytes, copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_reader_feed(
    reader: *mut httptime_reader,
    bytes: *const c_char,
    length: usize,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointers point to.
        let (reader, bytes) =
            unsafe { (exclusive(reader, "reader")?, slice(bytes.cast::<u8>(), length, "bytes")?) };
        reader.0.feed(bytes);
        Ok(())
    })
}

/// The head of the next response, when it is complete. Interim (1xx) responses are skipped.
///
/// head: its struct_size set by the caller; written if found. found: set to 1, or to 0 if more
/// bytes are needed. Fails with 30 to 37; after 30 to 33 nothing more can be read on this
/// connection. On failure neither is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_reader_next(
    reader: *mut httptime_reader,
    head: *mut httptime_head,
    found: *mut i32,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointers point to.
        let (reader, output) =
            unsafe { (exclusive(reader, "reader")?, Output::new(head, "head")?) };
        let found = target(found, "found")?;
        let head = reader.0.head()?;
        if let Some(head) = &head {
            // The times do not matter here.
            let at = LocalInstant::from_nanos(0);
            let exchange = Exchange::from_head(at, at, head)?;
            output.write(&httptime_head {
                http_status: u32::from(head.status()),
                date_ns: exchange.date().as_unix_nanos(),
                stamp: httptime_stamp::from_response(exchange.stamp(), head.date().is_err()),
                age_ns: nanos(head.age().unwrap_or_default()),
                has_age: i32::from(head.age().is_some()),
                persistent: i32::from(head.is_persistent()),
                has_trailing_bytes: i32::from(head.has_trailing_bytes()),
                marks: head.marks().bits(),
                server: array(head.server().unwrap_or_default()),
                ..httptime_head::initial()
            });
        }
        // SAFETY: the header requires that a number can be written there.
        unsafe { found.write(i32::from(head.is_some())) };
        Ok(())
    })
}

/// The error for a connection that closes now: HTTPTIME_ERROR_EMPTY_REPLY or
/// HTTPTIME_ERROR_CLOSED_EARLY. Changes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_reader_end(reader: *const httptime_reader) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointer points to.
        let reader = unsafe { crate::boundary::reference(reader, "reader") }?;
        Err(reader.0.eof().into())
    })
}

/// Resets the reader for a new connection.
///
/// reader: NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_reader_clear(reader: *mut httptime_reader) {
    // SAFETY: the header defines what the pointer points to.
    let reader = unsafe { reader.as_mut() };
    guard_or((), || reader.map_or((), |reader| reader.0.clear()));
}

/// Frees a reader.
///
/// reader: NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_reader_free(reader: *mut httptime_reader) {
    // SAFETY: the header requires NULL, or a handle of httptime_reader_new that is not used any
    // more.
    unsafe { free_handle(reader) }
}
