use std::ffi::c_char;

use httptime::Url;
use httptime::http::{Request, ResponseReader, parse_date};

use crate::boundary::{
    Output, Versioned, array, exclusive, give, guard, guard_or, nanos, size, slice, take_back,
    target, text,
};
use crate::failure::Failure;
use crate::status::{HTTPTIME_ERROR_BUFFER_TOO_SMALL, httptime_status};

/// Writes the request for a date, to be sent to the server of a URL as it is, as often as wanted, over one connection.
///
/// url: "http://host:port/path", port and path only if needed. buffer: size bytes, written only on HTTPTIME_OK, with a NUL behind the request; the
/// length of the URL and 512 more are always enough. length: set to the length without the NUL. Fails with
/// HTTPTIME_ERROR_INVALID_URL and HTTPTIME_ERROR_BUFFER_TOO_SMALL. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_request(
    url: *const c_char,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header says what the pointer points to.
        let url = Url::parse(unsafe { text(url, "url") }?)?;
        let (buffer, length) = (target(buffer, "buffer")?, target(length, "length")?);
        let request = Request::head(&url.authority(), url.path())?;
        let bytes = request.as_bytes();
        if bytes.len() >= size {
            let needed = format!("the request needs {} bytes, not {size}", bytes.len() + 1);
            return Err(Failure::new(HTTPTIME_ERROR_BUFFER_TOO_SMALL, needed));
        }
        // SAFETY: the header says that `size` bytes can be written to the buffer; these and the NUL are no more.
        unsafe {
            buffer.cast::<u8>().as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            buffer.add(bytes.len()).write(0);
            length.write(bytes.len());
        }
        Ok(())
    })
}

/// Reads the value of a Date field ("Mon, 23 Nov 2026 09:37:12 GMT", or one of the two older forms), for programs that
/// have the head of a response taken apart already, as with curl.
///
/// value: length bytes, no NUL needed. date_ns: set to ns since 1970. Fails with HTTPTIME_ERROR_MALFORMED_DATE and
/// HTTPTIME_ERROR_DATE_OUT_OF_RANGE. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_parse_date(
    value: *const c_char,
    length: usize,
    date_ns: *mut i64,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header says what the pointer points to.
        let value = unsafe { slice(value.cast::<u8>(), length, "value") }?;
        let place = target(date_ns, "date_ns")?;
        let date = parse_date(value)?;
        // SAFETY: the header says that a number can be written there.
        unsafe { place.write(date.as_unix_nanos()) };
        Ok(())
    })
}

/// Turns the bytes that come on one connection into heads of responses. For one thread at a time, whichever.
#[derive(Debug)]
pub struct httptime_reader(ResponseReader);

/// The head of a response, as far as it matters for the time. Written by the library; set struct_size before.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct httptime_head {
    /// sizeof(httptime_head), set by the caller.
    pub struct_size: u32,
    /// The status code, 200-999: any will do, a 404 has a good Date.
    pub http_status: u32,
    /// The Date: ns since 1970.
    pub date_ns: i64,
    /// The Age, if has_age.
    pub age_ns: i64,
    /// Whether there is an Age: the response came through a cache.
    pub has_age: i32,
    /// Whether the server means to keep the connection open. If not, open another one for the next request.
    pub persistent: i32,
    /// Whether more bytes had come behind the head: then drop the connection, nothing on it can be relied on.
    pub has_trailing_bytes: i32,
    /// What the head shows of the servers that it passed: for httptime_exchange.marks.
    pub marks: u32,
    /// The first Server field, ended by a NUL; empty for none.
    pub server: [c_char; 136],
}

// SAFETY: integers; each field begins where the one before it ends.
unsafe impl Versioned for httptime_head {
    /// Up to the Date and the Age, without which a stored response would count.
    const SMALLEST: usize = 32;

    fn initial() -> Self {
        Self {
            struct_size: size::<Self>(),
            http_status: 0,
            date_ns: 0,
            age_ns: 0,
            has_age: 0,
            persistent: 0,
            has_trailing_bytes: 0,
            marks: 0,
            server: [0; 136],
        }
    }
}

/// Makes a reader for a new connection.
///
/// reader: set to the new handle, which is yours: httptime_reader_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_reader_new(reader: *mut *mut httptime_reader) -> httptime_status {
    guard(|| {
        give(httptime_reader(ResponseReader::new()), target(reader, "reader")?);
        Ok(())
    })
}

/// Takes in bytes that came on the connection, in whatever pieces.
///
/// bytes: length bytes, copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_reader_feed(
    reader: *mut httptime_reader,
    bytes: *const c_char,
    length: usize,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header says what the pointers point to.
        let (reader, bytes) =
            unsafe { (exclusive(reader, "reader")?, slice(bytes.cast::<u8>(), length, "bytes")?) };
        reader.0.feed(bytes);
        Ok(())
    })
}

/// The head of the next response, once it has come. Interim (1xx) responses are skipped.
///
/// head: its struct_size set by the caller; written when found. found: set to 1, or to 0 when more bytes are needed. Fails with
/// 30 to 37; after 30 to 33 nothing more can be read on this connection. On failure neither is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_reader_next(
    reader: *mut httptime_reader,
    head: *mut httptime_head,
    found: *mut i32,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header says what the pointers point to.
        let (reader, output) =
            unsafe { (exclusive(reader, "reader")?, Output::new(head, "head")?) };
        let found = target(found, "found")?;
        let head = reader.0.head()?;
        if let Some(head) = &head {
            output.write(&httptime_head {
                http_status: u32::from(head.status()),
                date_ns: head.date()?.as_unix_nanos(),
                age_ns: nanos(head.age().unwrap_or_default()),
                has_age: i32::from(head.age().is_some()),
                persistent: i32::from(head.is_persistent()),
                has_trailing_bytes: i32::from(head.has_trailing_bytes()),
                marks: head.marks().bits(),
                server: array(head.server().unwrap_or_default()),
                ..httptime_head::initial()
            });
        }
        // SAFETY: the header says that a number can be written there.
        unsafe { found.write(i32::from(head.is_some())) };
        Ok(())
    })
}

/// What it means that the connection ends here: HTTPTIME_ERROR_EMPTY_REPLY or HTTPTIME_ERROR_CLOSED_EARLY. Changes nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_reader_end(reader: *const httptime_reader) -> httptime_status {
    guard(|| {
        // SAFETY: the header says what the pointer points to.
        let reader = unsafe { crate::boundary::reference(reader, "reader") }?;
        Err(reader.0.eof().into())
    })
}

/// Forgets everything, for a new connection.
///
/// reader: NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_reader_clear(reader: *mut httptime_reader) {
    // SAFETY: the header says what the pointer points to.
    let reader = unsafe { reader.as_mut() };
    guard_or((), || reader.map_or((), |reader| reader.0.clear()));
}

/// Frees a reader.
///
/// reader: NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_reader_free(reader: *mut httptime_reader) {
    // SAFETY: the header says: NULL, or a handle of httptime_reader_new that nobody uses any more.
    unsafe { take_back(reader) }
}
