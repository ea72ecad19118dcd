use std::ffi::c_void;
use std::io;
use std::os::fd::BorrowedFd;

use httptime::net::SocketTimestamps;
use httptime::session::KernelTimes;

use crate::boundary::{exclusive, give, guard, slice_mut, take_back, target};
use crate::failure::Failure;
use crate::status::{HTTPTIME_ERROR_UNSUPPORTED, httptime_status};

/// What the kernel says about one TCP connection: when bytes left and when they came (SO_TIMESTAMPING). Linux only. On a busy
/// machine the times of a program contain the wait for a CPU; the kernel's do not. For one thread at a time, whichever.
#[derive(Debug)]
pub struct httptime_timestamps {
    fd: i32,
    timestamps: SocketTimestamps,
}

impl httptime_timestamps {
    /// What the kernel said about the latest request and the latest read. Reads both clocks.
    pub(crate) fn times(&mut self) -> KernelTimes {
        self.timestamps.times(socket(self.fd))
    }
}

/// Has the kernel take timestamps of a connection. Call it when the connection is open, before anything is written.
///
/// fd: a TCP socket that does not block; it stays open until the handle is freed. timestamps: set to the new handle, which is
/// yours: httptime_timestamps_free. Fails with HTTPTIME_ERROR_UNSUPPORTED where the system cannot do it: then go on without.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_timestamps_enable(
    fd: i32,
    timestamps: *mut *mut httptime_timestamps,
) -> httptime_status {
    guard(|| {
        let place = target(timestamps, "timestamps")?;
        if fd < 0 {
            return Err(Failure::argument(format!("fd is {fd}")));
        }
        let timestamps = SocketTimestamps::enable(socket(fd))
            .map_err(|error| Failure::new(HTTPTIME_ERROR_UNSUPPORTED, error.to_string()))?;
        give(httptime_timestamps { fd, timestamps }, place);
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
        let count = match timestamps.timestamps.read(socket(timestamps.fd), buffer) {
            Ok(count) => i64::try_from(count).unwrap_or(i64::MAX),
            Err(error) => -i64::from(error_number(&error)),
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
        timestamps.timestamps.wrote(socket(timestamps.fd), count, length);
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

/// The caller's socket, for one call. `fd` is not negative.
fn socket<'a>(fd: i32) -> BorrowedFd<'a> {
    // SAFETY: not -1; the header says that it stays open until the handle is freed, and all uses lie before that. A number that
    // is no open descriptor gives errors of the system and nothing worse.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

fn error_number(error: &io::Error) -> i32 {
    match (error.raw_os_error(), error.kind()) {
        (Some(number), _) => number,
        (None, io::ErrorKind::WouldBlock) => libc::EAGAIN,
        (None, _) => libc::EIO,
    }
}
