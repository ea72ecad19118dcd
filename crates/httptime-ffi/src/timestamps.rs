use std::ffi::c_void;
use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;

use httptime::net::SocketTimestamps;
use httptime::session::{Arrival, KernelTimestamps};
use log::debug;
use socket2::SockRef;

use crate::boundary::{exclusive, free_handle, guard, hand_over, slice_mut, target};
use crate::failure::Failure;
use crate::status::httptime_status;

/// A TCP connection of the program and its kernel timestamps: when bytes left and when they arrived
/// (SO_TIMESTAMPING, Linux only; on other systems only the program's own times exist). On a busy
/// machine the times of a program include the wait for a CPU; kernel timestamps do not. One thread
/// at a time.
#[derive(Debug)]
pub struct httptime_timestamps {
    fd: i32,
    /// `None` if the system has no kernel timestamps.
    kernel: Option<SocketTimestamps>,
}

impl httptime_timestamps {
    /// `is_asked`: whether to enable kernel timestamps.
    pub(crate) fn new(fd: i32, is_asked: bool) -> Result<Self, Failure> {
        check(fd)?;
        let kernel = is_asked.then(|| SocketTimestamps::enable(socket(fd)));
        if let Some(Err(error)) = &kernel {
            debug!("no kernel timestamps: {error}");
        }
        Ok(Self { fd, kernel: kernel.and_then(Result::ok) })
    }

    /// The kernel timestamps of the latest request and the latest read. Reads both clocks.
    pub(crate) fn times(&mut self) -> Option<KernelTimestamps> {
        let socket = socket(self.fd);
        self.kernel.as_mut().map(|kernel| kernel.times(socket))
    }

    /// Reads once; `None` if there was nothing to read.
    pub(crate) fn read(&mut self, space: &mut [u8]) -> io::Result<Option<usize>> {
        let socket = socket(self.fd);
        let count = match &mut self.kernel {
            Some(kernel) => kernel.read(socket, space),
            None => (&*SockRef::from(&socket)).read(space),
        };
        nothing_is_no_error(count)
    }

    /// The arrival of the bytes that were just read.
    pub(crate) fn arrival(&mut self) -> Arrival {
        let at = httptime::net::now();
        Arrival::new(at, self.times())
    }

    /// Writes as much as fits.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let socket = socket(self.fd);
        let count = SockRef::from(&socket).send_with_flags(bytes, libc::MSG_NOSIGNAL);
        let count = nothing_is_no_error(count)?.unwrap_or(0);
        self.wrote(count, bytes.len());
        Ok(count)
    }

    fn wrote(&mut self, count: usize, length: usize) {
        let socket = socket(self.fd);
        if let Some(kernel) = &mut self.kernel {
            kernel.wrote(socket, count, length);
        }
    }
}

/// Enables kernel timestamps of a connection if the system supports them. Call it when the
/// connection is open, before anything is written; not with HTTPTIME_TIMESTAMPING_USER.
/// httptime_session_connected does it.
///
/// fd: a non-blocking TCP socket; it must stay open until the handle is freed. timestamps: set to
/// the new handle, which you must free with httptime_timestamps_free. If the system has no such
/// timestamps, the handle is still valid and returns none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_timestamps_enable(
    fd: i32,
    timestamps: *mut *mut httptime_timestamps,
) -> httptime_status {
    guard(|| {
        let place = target(timestamps, "timestamps")?;
        hand_over(httptime_timestamps::new(fd, true)?, place);
        Ok(())
    })
}

/// Reads from the connection, instead of recv(). Call it when the socket is ready: for reading, or
/// for an error, with which the kernel reports its timestamps.
///
/// buffer: size bytes, at least 1. count: set to the number of bytes read, to 0 at the end of the
/// stream, or to a negated error number: -EAGAIN if there is nothing to read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_timestamps_read(
    timestamps: *mut httptime_timestamps,
    buffer: *mut c_void,
    size: usize,
    count: *mut i64,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointers point to.
        let (timestamps, buffer) = unsafe {
            (exclusive(timestamps, "timestamps")?, slice_mut(buffer.cast::<u8>(), size, "buffer")?)
        };
        let place = target(count, "count")?;
        let count = match timestamps.read(buffer) {
            Ok(Some(count)) => i64::try_from(count).unwrap_or(i64::MAX),
            Ok(None) => -i64::from(libc::EAGAIN),
            Err(error) => -i64::from(error.raw_os_error().unwrap_or(libc::EIO)),
        };
        // SAFETY: the header requires that a number can be written there.
        unsafe { place.write(count) };
        Ok(())
    })
}

/// Reports that bytes were written to the connection. Call it after each send().
///
/// count: how many were written. length: how many were to be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_timestamps_wrote(
    timestamps: *mut httptime_timestamps,
    count: usize,
    length: usize,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointer points to.
        let timestamps = unsafe { exclusive(timestamps, "timestamps") }?;
        timestamps.wrote(count, length);
        Ok(())
    })
}

/// Frees the handle. The socket stays open.
///
/// timestamps: NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_timestamps_free(timestamps: *mut httptime_timestamps) {
    // SAFETY: the header requires NULL, or a handle of httptime_timestamps_enable that is not used
    // any more.
    unsafe { free_handle(timestamps) }
}

/// The error of a connecting socket, if there is one.
pub(crate) fn take_error(fd: i32) -> Result<Option<io::Error>, Failure> {
    check(fd)?;
    Ok(SockRef::from(&socket(fd)).take_error().unwrap_or_else(Some))
}

fn check(fd: i32) -> Result<(), Failure> {
    if fd < 0 { Err(Failure::argument(format!("fd is {fd}"))) } else { Ok(()) }
}

/// The caller's socket, for one call. `fd` is not negative.
fn socket<'a>(fd: i32) -> BorrowedFd<'a> {
    // SAFETY: not -1. The header requires that it stays open until the handle is freed, and all
    // uses are before that. A number that is not an open descriptor gives errors of the system and
    // nothing worse.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

fn nothing_is_no_error(count: io::Result<usize>) -> io::Result<Option<usize>> {
    match count {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) =>
        {
            Ok(None)
        }
        count => count.map(Some),
    }
}
