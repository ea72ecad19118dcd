//! The errors of passing a sample to chronyd. Each has a name and the observed values.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use httptime::{IoError, Offset, Span, Timestamp};

/// The reasons for which a sample does not reach chronyd.
///
/// [`kind`](Self::kind) returns a stable name for programs. The message is for people and contains
/// the observed values.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChronyError {
    /// The path of the socket cannot be written in `chrony.conf`.
    #[error("cannot use the socket path {}: {reason}", path.display())]
    InvalidPath {
        /// The path as given.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The polling interval is out of range.
    #[error(
        "poll is {poll}; allowed: {least} to {most}",
        least = crate::Poll::MIN, most = crate::Poll::MAX
    )]
    InvalidPoll {
        /// The exponent as given.
        poll: i8,
    },
    /// chronyd does not have this leap status.
    #[error("leap status is {value}; allowed: 0 to 2")]
    InvalidLeap {
        /// The number as given.
        value: i32,
    },
    /// The offset is larger than chronyd accepts.
    #[error(
        "chronyd would drop the offset {offset:.3} s: it accepts less than 4294967296 s either \
         way; check the server's clock"
    )]
    OffsetTooLarge {
        /// The offset.
        offset: Offset,
    },
    /// The time of the sample, or the correct time that follows from its offset, is outside
    /// chronyd's range.
    #[error(
        "chronyd would drop the sample of {taken_at} with offset {offset:.3} s: the time is out of \
         its range; check the server's clock and this machine's"
    )]
    TimeOutOfRange {
        /// The time of the sample, by the system clock.
        taken_at: Timestamp,
        /// Its offset.
        offset: Offset,
    },
    /// The sample is too old now.
    #[error(
        "chronyd would drop the sample: it is {} old, and the limit is {}; measure again",
        Span::new(*age), Span::new(*limit)
    )]
    TooOld {
        /// Its age.
        age: Duration,
        /// The limit of the age.
        limit: Duration,
    },
    /// The sample was taken later than now: the system clock was set back meanwhile.
    #[error(
        "chronyd would drop the sample: it is {} in the future, since the clock was set back; \
         measure again",
        Span::new(*by)
    )]
    FromTheFuture {
        /// The difference.
        by: Duration,
    },
    /// There is no socket.
    #[error(
        "there is no socket {}: write \"refclock SOCK {}\" into chrony.conf and restart chronyd",
        path.display(),
        path.display()
    )]
    SocketMissing {
        /// Its expected path.
        path: PathBuf,
    },
    /// No process reads from the socket: a chronyd that has exited left it behind.
    #[error("nothing reads from the socket {}: chronyd is not running; start it", path.display())]
    Refused {
        /// The socket.
        path: PathBuf,
    },
    /// The process has no permission to write to the socket.
    #[error(
        "no permission to write to the socket {}; run as root or as chronyd's user",
        path.display()
    )]
    NoPermission {
        /// The socket.
        path: PathBuf,
    },
    /// chronyd has not read the previous samples: it hangs or is stopped.
    #[error(
        "the queue of the socket {} is full: chronyd does not read from it; restart chronyd",
        path.display()
    )]
    Full {
        /// The socket.
        path: PathBuf,
    },
    /// This system has no chronyd and no such sockets.
    #[error(
        "cannot send to the socket {}: not supported on Windows: chronyd; use mode = \"clock\"",
        path.display()
    )]
    Unsupported {
        /// The socket.
        path: PathBuf,
    },
    /// Sending failed with another error number.
    #[error(
        "cannot send to the socket {}: {}",
        path.display(), IoError::from(io::Error::from_raw_os_error(*errno))
    )]
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
            Self::Unsupported { .. } => "socket_unsupported",
            Self::Io { .. } => "socket_failed",
        }
    }
}
