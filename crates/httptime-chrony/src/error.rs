//! Why a sample does not reach chronyd, each reason with a name and the values seen.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use httptime::{IoError, Offset, Span, Timestamp};

/// Everything that keeps a sample from chronyd.
///
/// [`kind`](Self::kind) gives each a stable name for machines; the message is for people and carries the values.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChronyError {
    /// The socket's path cannot stand in `chrony.conf`.
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
    /// The leap status is none of chronyd's.
    #[error("leap status is {value}; allowed: 0 to 2")]
    InvalidLeap {
        /// The number as given.
        value: i32,
    },
    /// The offset is more than chronyd takes.
    #[error(
        "chronyd would drop the offset {offset:.3} s: it accepts less than 4294967296 s either \
         way; check the server's clock"
    )]
    OffsetTooLarge {
        /// The offset.
        offset: Offset,
    },
    /// The sample's time, or the right one that its offset leads to, is out of chronyd's range.
    #[error(
        "chronyd would drop the sample of {taken_at} with offset {offset:.3} s: the time is out of \
         its range; check the server's clock and this machine's"
    )]
    TimeOutOfRange {
        /// When the sample was taken, by the system clock.
        taken_at: Timestamp,
        /// Its offset.
        offset: Offset,
    },
    /// The sample is too old by now.
    #[error(
        "chronyd would drop the sample: it is {} old, and the limit is {}; measure again",
        Span::new(*age), Span::new(*limit)
    )]
    TooOld {
        /// How old it is.
        age: Duration,
        /// How old it may be.
        limit: Duration,
    },
    /// The sample was taken later than now: the system clock was set back meanwhile.
    #[error(
        "chronyd would drop the sample: it is {} in the future, since the clock was set back; \
         measure again",
        Span::new(*by)
    )]
    FromTheFuture {
        /// By how much.
        by: Duration,
    },
    /// There is no socket.
    #[error(
        "there is no socket {}: write \"refclock SOCK {}\" into chrony.conf and restart chronyd",
        path.display(),
        path.display()
    )]
    SocketMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// Nobody reads from the socket: it is what a chronyd that is gone left behind.
    #[error("nothing reads from the socket {}: chronyd is not running; start it", path.display())]
    Refused {
        /// The socket.
        path: PathBuf,
    },
    /// The process may not write to the socket.
    #[error(
        "no permission to write to the socket {}; run as root or as chronyd's user",
        path.display()
    )]
    NoPermission {
        /// The socket.
        path: PathBuf,
    },
    /// chronyd has not read the samples sent before: it hangs or is stopped.
    #[error(
        "the queue of the socket {} is full: chronyd does not read from it; restart chronyd",
        path.display()
    )]
    Full {
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
    /// The stable name of the error: lower case, words joined by `_`. Names are never reused for something else.
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
