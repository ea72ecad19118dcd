//! The errors of passing a sample to chronyd. Each has a name and the observed values.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use httptime::{Offset, Timestamp};

/// The reasons for which a sample does not reach chronyd.
///
/// [`kind`](Self::kind) returns a stable name for programs. The message is for people and contains
/// the observed values.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChronyError {
    /// The path of the socket cannot be written in `chrony.conf`.
    #[error("cannot use the socket path {path:?}: {reason}")]
    InvalidPath {
        /// The path as given.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The polling interval is out of range.
    #[error("cannot use poll {poll}: it is not in {least} to {most}", least = crate::Poll::MIN, most = crate::Poll::MAX)]
    InvalidPoll {
        /// The exponent as given.
        poll: i8,
    },
    /// chronyd does not have this leap status.
    #[error("cannot use leap status {value}: it is not in 0 to 2")]
    InvalidLeap {
        /// The number as given.
        value: i32,
    },
    /// The offset is larger than chronyd accepts.
    #[error("chronyd drops an offset of {offset} s: it takes less than 4294967296 s either way")]
    OffsetTooLarge {
        /// The offset.
        offset: Offset,
    },
    /// The time of the sample, or the correct time that follows from its offset, is outside
    /// chronyd's range.
    #[error(
        "chronyd drops a sample of {taken_at} with offset {offset} s: the time is out of its range"
    )]
    TimeOutOfRange {
        /// The time of the sample, by the system clock.
        taken_at: Timestamp,
        /// Its offset.
        offset: Offset,
    },
    /// The sample is too old now.
    #[error("chronyd drops a sample {} s old: its limit is {} s", age.as_secs_f64(), limit.as_secs_f64())]
    TooOld {
        /// Its age.
        age: Duration,
        /// The limit of the age.
        limit: Duration,
    },
    /// The sample was taken later than now: the system clock was set back meanwhile.
    #[error("chronyd drops a sample from the future, here by {} s", by.as_secs_f64())]
    FromTheFuture {
        /// The difference.
        by: Duration,
    },
    /// There is no socket.
    #[error(
        "there is no socket {path:?}: chronyd creates it when it starts with a line \"refclock SOCK {}\"",
        path.display()
    )]
    SocketMissing {
        /// Its expected path.
        path: PathBuf,
    },
    /// No process reads from the socket: a chronyd that has exited left it behind.
    #[error("nobody reads from the socket {path:?}: chronyd is not running")]
    Refused {
        /// The socket.
        path: PathBuf,
    },
    /// The process has no permission to write to the socket.
    #[error(
        "no permission to write to the socket {path:?}; chronyd creates it for root or its own user"
    )]
    NoPermission {
        /// The socket.
        path: PathBuf,
    },
    /// chronyd has not read the previous samples: it hangs or is stopped.
    #[error("the queue of the socket {path:?} is full: chronyd does not read from it")]
    Full {
        /// The socket.
        path: PathBuf,
    },
    /// Sending failed with another error number.
    #[error("cannot send to the socket {path:?}: {}", io::Error::from_raw_os_error(*errno))]
    Io {
        /// The socket.
        path: PathBuf,
        /// The system's error number.
        errno: i32,
    },
}

impl ChronyError {
    /// The stable name of the error: lower case, words joined by `_`. A name is never reused for
    /// another error.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::InvalidPath { .. } => "invalid_path",
            Self::InvalidPoll { .. } => "invalid_poll",
            Self::InvalidLeap { .. } => "invalid_leap",
            Self::OffsetTooLarge { .. } => "offset_too_large",
            Self::TimeOutOfRange { .. } => "time_out_of_range",
            Self::TooOld { .. } => "sample_too_old",
            Self::FromTheFuture { .. } => "sample_from_the_future",
            Self::SocketMissing { .. } => "socket_missing",
            Self::Refused { .. } => "socket_refused",
            Self::NoPermission { .. } => "socket_no_permission",
            Self::Full { .. } => "socket_full",
            Self::Io { .. } => "socket_failed",
        }
    }
}
