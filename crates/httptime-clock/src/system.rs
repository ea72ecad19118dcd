//! The kernel's clock.

use std::time::SystemTime;

use httptime::{Offset, Timestamp};

use crate::clock::{Clock, Frequency, SyncStatus};
use crate::error::{Attempt, ClockError};

#[cfg_attr(
    all(target_os = "linux", any(target_env = "gnu", target_env = "musl")),
    path = "system/linux.rs"
)]
#[cfg_attr(
    any(
        target_os = "macos",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "dragonfly"
    ),
    path = "system/bsd.rs"
)]
#[cfg_attr(
    not(any(
        all(target_os = "linux", any(target_env = "gnu", target_env = "musl")),
        target_os = "macos",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "dragonfly"
    )),
    path = "system/unsupported.rs"
)]
mod kernel;

/// The kernel's clock: the time that every program on the machine sees.
///
/// Reading needs no privileges; changing needs root, on Linux `CAP_SYS_TIME`.
///
/// | system | step | slew | frequency, status |
/// |---|---|---|---|
/// | Linux | at once and by exactly the amount (`ADJ_SETOFFSET`) | 500 ppm | yes |
/// | macOS | by reading, adding and setting: late by the time in between, about a microsecond | yes; what remains is not told | yes |
/// | FreeBSD, `DragonFly` BSD, NetBSD | as macOS | yes | yes |
/// | OpenBSD | as macOS; the kernel refuses to go back under a securelevel | yes | no |
///
/// On Linux a step makes the clock count as not synchronised and cancels a slew; elsewhere it leaves both as they are.
/// Another program that steers the clock (chronyd, ntpd, systemd-timesyncd) will undo what is done here, and is
/// undone by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SystemClock {
    _private: (),
}

impl SystemClock {
    /// The kernel's clock. Nothing is read or changed yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Result<Timestamp, ClockError> {
        Timestamp::from_system_time(SystemTime::now())
            .ok_or(ClockError::OutOfRange { attempted: Attempt::ReadTime })
    }

    fn step(&mut self, by: Offset) -> Result<(), ClockError> {
        kernel::step(by).map_err(|refusal| refusal.of(Attempt::Step(by)))
    }

    fn slew(&mut self, by: Offset) -> Result<(), ClockError> {
        kernel::slew(by).map_err(|refusal| refusal.of(Attempt::Slew(by)))
    }

    fn remaining_slew(&self) -> Result<Offset, ClockError> {
        kernel::remaining_slew().map_err(|refusal| refusal.of(Attempt::ReadSlew))
    }

    fn frequency(&self) -> Result<Frequency, ClockError> {
        kernel::frequency().map_err(|refusal| refusal.of(Attempt::ReadFrequency))
    }

    fn set_frequency(&mut self, frequency: Frequency) -> Result<(), ClockError> {
        kernel::set_frequency(frequency.clamped())
            .map_err(|refusal| refusal.of(Attempt::SetFrequency(frequency)))
    }

    fn status(&self) -> Result<SyncStatus, ClockError> {
        kernel::status().map_err(|refusal| refusal.of(Attempt::ReadStatus))
    }

    fn set_status(&mut self, status: SyncStatus) -> Result<(), ClockError> {
        kernel::set_status(status).map_err(|refusal| refusal.of(Attempt::SetStatus(status)))
    }
}

/// Why the kernel did not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// The system call failed with this error number.
    Errno { call: &'static str, errno: i32 },
    /// The amount does not fit into the system call's fields, or leads to a date that does not.
    OutOfRange,
}

impl Refusal {
    fn last_os_error(call: &'static str) -> Self {
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
        Self::Errno { call, errno }
    }

    fn of(self, attempted: Attempt) -> ClockError {
        match self {
            Self::OutOfRange => ClockError::OutOfRange { attempted },
            Self::Errno { call, errno } => match errno {
                libc::EPERM => ClockError::NoPrivilege { attempted },
                libc::EROFS | libc::EACCES => ClockError::ReadOnly { attempted, errno },
                libc::EINVAL => ClockError::OutOfRange { attempted },
                libc::ENOSYS | libc::EOPNOTSUPP => ClockError::Unsupported { attempted },
                _ => ClockError::Other { attempted, call, errno },
            },
        }
    }
}

/// The date `by` after `now`, if the kernel can show it: none before 1970.
fn target(now: Timestamp, by: Offset) -> Result<Timestamp, Refusal> {
    now.as_unix_nanos()
        .checked_add(by.as_nanos())
        .filter(|nanos| *nanos >= 0)
        .map(Timestamp::from_unix_nanos)
        .ok_or(Refusal::OutOfRange)
}

/// Whole seconds, rounded down, and the units of a `1/PER_SECOND` second on top of them: never negative, which is what
/// kernels want of a negative amount too.
const fn split<const PER_SECOND: i64>(units: i64) -> (i64, i64) {
    (units.div_euclid(PER_SECOND), units.rem_euclid(PER_SECOND))
}

/// An offset of so many microseconds; saturates.
const fn offset_of_micros(micros: i64) -> Offset {
    Offset::from_nanos(micros.saturating_mul(1_000))
}

/// The value in the type of a kernel structure's field, which depends on the system.
fn fit<T: TryFrom<i64>>(value: i64) -> Result<T, Refusal> {
    T::try_from(value).map_err(|_| Refusal::OutOfRange)
}

/// The value of a kernel structure's field.
fn widen<T: Into<i64>>(value: T) -> i64 {
    value.into()
}

const NANOS: i64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_errno_has_its_name() {
        let attempted = Attempt::Step(Offset::from_nanos(38_116_000_000));
        let kind = |errno| Refusal::Errno { call: "clock_adjtime", errno }.of(attempted).kind();
        assert_eq!(kind(libc::EPERM), "no_privilege");
        assert_eq!(kind(libc::EROFS), "read_only");
        assert_eq!(kind(libc::EACCES), "read_only");
        assert_eq!(kind(libc::EINVAL), "out_of_range");
        assert_eq!(kind(libc::ENOSYS), "unsupported");
        assert_eq!(kind(libc::EOPNOTSUPP), "unsupported");
        assert_eq!(kind(libc::EFAULT), "clock_failed");
    }

    #[test]
    fn a_negative_amount_borrows_a_second() {
        assert_eq!(split::<NANOS>(0), (0, 0));
        assert_eq!(split::<NANOS>(38_116_000_001), (38, 116_000_001));
        assert_eq!(split::<NANOS>(-1), (-1, 999_999_999));
        assert_eq!(split::<NANOS>(-1_000_000_000), (-1, 0));
        assert_eq!(split::<NANOS>(-1_000_000_001), (-2, 999_999_999));
        assert_eq!(split::<NANOS>(i64::MAX), (9_223_372_036, 854_775_807));
        assert_eq!(split::<NANOS>(i64::MIN), (-9_223_372_037, 145_224_192));
        assert_eq!(split::<1_000_000>(-1), (-1, 999_999));
    }

    #[test]
    fn a_target_before_1970_or_past_2262_is_out_of_range() {
        let now = Timestamp::from_unix_nanos(5);
        assert_eq!(target(now, Offset::from_nanos(-5)), Ok(Timestamp::from_unix_nanos(0)));
        assert_eq!(target(now, Offset::from_nanos(-6)), Err(Refusal::OutOfRange));
        assert_eq!(target(now, Offset::from_nanos(i64::MAX)), Err(Refusal::OutOfRange));
    }

    #[test]
    fn what_does_not_fit_a_field_is_out_of_range() {
        assert_eq!(fit::<i32>(2_147_483_648), Err(Refusal::OutOfRange));
        assert_eq!(fit::<i64>(i64::MIN), Ok(i64::MIN));
        assert_eq!(offset_of_micros(-1_500), Offset::from_nanos(-1_500_000));
        assert_eq!(offset_of_micros(i64::MIN), Offset::from_nanos(i64::MIN));
    }

    // Only what reads is called here: what changes the clock is tried in a virtual machine.
    #[test]
    fn the_system_clock_shows_the_systems_time() -> Result<(), ClockError> {
        let before = SystemTime::now();
        let shown = SystemClock::new().now()?.to_system_time().expect("a representable date");
        let apart = shown.duration_since(before).unwrap_or_else(|back| back.duration());
        assert!(apart < std::time::Duration::from_secs(1), "{apart:?}");
        Ok(())
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn frequency_and_status_can_be_read_without_privileges() -> Result<(), ClockError> {
        let clock = SystemClock::new();
        let status = clock.status()?;
        assert!(status.maximum_error() <= crate::clock::MAXIMUM_ERROR_LIMIT, "{status}");
        let frequency = clock.frequency()?;
        assert_eq!(frequency.clamped(), frequency);
        Ok(())
    }
}
