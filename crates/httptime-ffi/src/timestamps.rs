use std::ffi::c_void;
use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;

use httptime::net::SocketTimestamps;
use httptime::session::{Arrival, KernelTimestamps};
use log::debug;
use socket2::SockRef;

use crate::boundary::{exclusive, give, guard, slice_mut, take_back, target};
use crate::failure::Failure;
use crate::status::httptime_status;

/// A TCP connection of the program's, and what the kernel says about it: when bytes left and when they came (SO_TIMESTAMPING,
/// Linux only; elsewhere the times of the program are all there is). On a busy machine the times of a program contain the wait
/// for a CPU; the kernel's do not. For one thread at a time, whichever.
#[derive(Debug)]
pub struct httptime_timestamps {
    fd: i32,
    /// `None` where the system cannot do it.
    kernel: Option<SocketTimestamps>,
}

impl httptime_timestamps {
    /// `is_asked`: whether to ask the kernel.
    pub(crate) fn new(fd: i32, is_asked: bool) -> Result<Self, Failure> {
        check(fd)?;
        let kernel = is_asked.then(|| SocketTimestamps::enable(socket(fd)));
        if let Some(Err(error)) = &kernel {
            debug!("no kernel timestamps: {error}");
        }
        Ok(Self { fd, kernel: kernel.and_then(Result::ok) })
    }

    /// What the kernel said about the latest request and the latest read. Reads both clocks.
    pub(crate) fn times(&mut self) -> Option<KernelTimestamps> {
        let socket = socket(self.fd);
        self.kernel.as_mut().map(|kernel| kernel.times(socket))
    }

    /// Reads once; `None` when there was nothing to read.
    pub(crate) fn read(&mut self, space: &mut [u8]) -> io::Result<Option<usize>> {
        let socket = socket(self.fd);
        let count = match &mut self.kernel {
            Some(kernel) => kernel.read(socket, space),
            None => (&*SockRef::from(&socket)).read(space),
        };
        nothing_is_no_error(count)
    }

    /// When what was just read arrived.
    pub(crate) fn arrival(&mut self) -> Arrival {
        let at = httptime::net::now();
        Arrival::new(at, self.times())
    }

    /// Writes what fits.
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

/// Has the kernel take timestamps of a connection, where it can. Call it when the connection is open, before anything is
/// written; not with HTTPTIME_TIMESTAMPING_USER. httptime_session_connected does it.
///
/// fd: a TCP socket that does not block; it stays open until the handle is freed. timestamps: set to the new handle, which is
/// yours: httptime_timestamps_free. Where the system has no such timestamps the handle works all the same and gives none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_timestamps_enable(
    fd: i32,
    timestamps: *mut *mut httptime_timestamps,
) -> httptime_status {
    guard(|| {
        let place = target(timestamps, "timestamps")?;
        give(httptime_timestamps::new(fd, true)?, place);
        Ok(())
    })
}

/// Reads from the connection, instead of recv(). Call it when the socket is ready: for reading, or for an error, which is how the
/// kernel reports its timestamps.
///
/// buffer: size bytes, at least 1. count: set to the number of bytes read, to 0 at the end of the stream, or to an error number,
/// negated: -EAGAIN when there is nothing to read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_timestamps_read(
    timestamps: *mut httptime_timestamps,
    buffer: *mut c_void,
    size: usize,
    count: *mut i64,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header says what the pointers point to.
        let (timestamps, buffer) = unsafe {
            (exclusive(timestamps, "timestamps")?, slice_mut(buffer.cast::<u8>(), size, "buffer")?)
        };
        let place = target(count, "count")?;
        let count = match timestamps.read(buffer) {
            Ok(Some(count)) => i64::try_from(count).unwrap_or(i64::MAX),
            Ok(None) => -i64::from(libc::EAGAIN),
            Err(error) => -i64::from(error.raw_os_error().unwrap_or(libc::EIO)),
        };
        // SAFETY: the header says that a number can be written there.
        unsafe { place.write(count) };
        Ok(())
    })
}

/// Bytes were written to the connection. Call it after each send().
///
/// count: how many were written. length: how many were to be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_timestamps_wrote(
    timestamps: *mut httptime_timestamps,
    count: usize,
    length: usize,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header says what the pointer points to.
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
    // SAFETY: the header says: NULL, or a handle of httptime_timestamps_enable that nobody uses any more.
    unsafe { take_back(timestamps) }
}

/// Why a socket that was connecting is not open, if it is not.
pub(crate) fn take_error(fd: i32) -> Result<Option<io::Error>, Failure> {
    check(fd)?;
    Ok(SockRef::from(&socket(fd)).take_error().unwrap_or_else(Some))
}

fn check(fd: i32) -> Result<(), Failure> {
    if fd < 0 { Err(Failure::argument(format!("fd is {fd}"))) } else { Ok(()) }
}

/// The caller's socket, for one call. `fd` is not negative.
fn socket<'a>(fd: i32) -> BorrowedFd<'a> {
    // SAFETY: not -1; the header says that it stays open until the handle is freed, and all uses lie before that. A number that
    // is no open descriptor gives errors of the system and nothing worse.
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
