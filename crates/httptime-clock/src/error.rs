//! The errors of a clock. Each has a name and the attempted operation.

use std::fmt;
use std::io;

use httptime::{IoError, Offset};

use crate::frequency::Frequency;
use crate::status::SyncStatus;

/// The operation that failed.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Reading the time.
    ReadTime,
    /// Reading how much of a slew remains.
    ReadSlew,
    /// Reading the frequency.
    ReadFrequency,
    /// Reading the synchronisation status.
    ReadStatus,
    /// Stepping the clock by this much.
    Step(Offset),
    /// Slewing the clock by this much.
    Slew(Offset),
    /// Setting this frequency.
    SetFrequency(Frequency),
    /// Setting this synchronisation status.
    SetStatus(SyncStatus),
}

impl fmt::Display for Operation {
    /// The text fits after "cannot".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadTime => f.write_str("read the clock"),
            Self::ReadSlew => f.write_str("read the clock's remaining slew"),
            Self::ReadFrequency => f.write_str("read the clock's frequency"),
            Self::ReadStatus => f.write_str("read the clock's synchronisation status"),
            Self::Step(by) => write!(f, "step the clock by {by:.6} s"),
            Self::Slew(by) => write!(f, "slew the clock by {by:.6} s"),
            Self::SetFrequency(frequency) => write!(f, "set the clock's frequency to {frequency}"),
            Self::SetStatus(status) => write!(f, "mark the clock as {status}"),
        }
    }
}

/// The reasons for which a clock cannot be read or changed.
///
/// [`kind`](Self::kind) returns a stable name for programs. The message is for people and contains
/// the observed values.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// The process has no permission (`EPERM`): it is neither root nor has `CAP_SYS_TIME`, or a
    /// container's seccomp profile forbids the call. On Windows: it has no
    /// `SeSystemtimePrivilege`.
    #[error("cannot {operation}: not permitted; {REQUIRED_PRIVILEGE}")]
    NoPrivilege {
        /// The operation.
        operation: Operation,
    },
    /// The clock is read-only here (`EROFS`, `EACCES`), for example in a sandbox or container.
    #[error(
        "cannot {operation}: a sandbox or container makes the clock read-only ({}); run outside \
         it, on the host",
        system(*errno)
    )]
    ReadOnly {
        /// The operation.
        operation: Operation,
        /// The system's error number.
        errno: i32,
    },
    /// The amount is out of the clock's range (`EINVAL`, or more than its fields can hold).
    #[error(
        "cannot {operation}: the result is outside what the system clock can show; check the \
         server's clock"
    )]
    OutOfRange {
        /// The operation, with the amount.
        operation: Operation,
    },
    /// This kernel does not have the operation (`ENOSYS`, `EOPNOTSUPP`).
    #[error(
        "cannot {operation}: this kernel does not support it; correct the clock by other means"
    )]
    Unsupported {
        /// The operation.
        operation: Operation,
    },
    /// A system call failed with another error number.
    #[error("cannot {operation}: {call}: {}", system(*errno))]
    Other {
        /// The operation.
        operation: Operation,
        /// The system call.
        call: &'static str,
        /// The system's error number.
        errno: i32,
    },
}

/// What a process needs to change the clock.
const REQUIRED_PRIVILEGE: &str = if cfg!(windows) {
    "run it as administrator"
} else {
    "run as root or with CAP_SYS_TIME, in a container also with a seccomp profile that allows it"
};

/// The system's words for an error number.
fn system(errno: i32) -> IoError {
    io::Error::from_raw_os_error(errno).into()
}

impl ClockError {
    /// The stable name of the error: lower case, words joined by `_`. A name is never reused for
    /// another error.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NoPrivilege { .. } => "no_privilege",
            Self::ReadOnly { .. } => "read_only",
            Self::OutOfRange { .. } => "out_of_range",
            Self::Unsupported { .. } => "unsupported",
            Self::Other { .. } => "clock_failed",
        }
    }

    /// The operation that failed.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        match *self {
            Self::NoPrivilege { operation }
            | Self::ReadOnly { operation, .. }
            | Self::OutOfRange { operation }
            | Self::Unsupported { operation }
            | Self::Other { operation, .. } => operation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_was_attempted_and_what_it_needs() {
        let operation = Operation::Step(Offset::from_nanos(-38_116_000_000));
        let message = ClockError::NoPrivilege { operation }.to_string();
        assert!(message.starts_with("cannot step the clock by -38.116000 s: "), "{message}");
        assert!(message.ends_with(REQUIRED_PRIVILEGE), "{message}");
        let operation = Operation::SetFrequency(Frequency::from_ppm(12.5));
        let other = ClockError::Other { operation, call: "clock_adjtime", errno: libc::EFAULT };
        assert_eq!(
            other.to_string(),
            format!(
                "cannot set the clock's frequency to +12.500 ppm: clock_adjtime: {}",
                system(libc::EFAULT)
            )
        );
    }
}
