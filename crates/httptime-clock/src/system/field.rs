//! Amounts in the fields of the kernels' structures, and the reasons for which a kernel refuses
//! them.

use httptime::{Offset, Timestamp};

use crate::error::{ClockError, Operation};

/// The reason why the kernel refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The system call failed with this error number.
    Errno { call: &'static str, errno: i32 },
    /// The amount does not fit into the fields of the system call, or leads to a date that does
    /// not.
    OutOfRange,
}

impl Refusal {
    pub(super) fn last_os_error(call: &'static str) -> Self {
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
        Self::Errno { call, errno }
    }

    pub(super) fn of(self, operation: Operation) -> ClockError {
        match self {
            Self::OutOfRange => ClockError::OutOfRange { operation },
            Self::Errno { call, errno } => match errno {
                _ if codes::NO_PRIVILEGE.contains(&errno) => ClockError::NoPrivilege { operation },
                _ if codes::READ_ONLY.contains(&errno) => ClockError::ReadOnly { operation, errno },
                _ if codes::OUT_OF_RANGE.contains(&errno) => ClockError::OutOfRange { operation },
                _ if codes::UNSUPPORTED.contains(&errno) => ClockError::Unsupported { operation },
                _ => ClockError::Other { operation, call, errno },
            },
        }
    }
}

/// The system's error numbers that have a name.
#[cfg(not(windows))]
mod codes {
    pub(super) const NO_PRIVILEGE: &[i32] = &[libc::EPERM];
    pub(super) const READ_ONLY: &[i32] = &[libc::EROFS, libc::EACCES];
    pub(super) const OUT_OF_RANGE: &[i32] = &[libc::EINVAL];
    pub(super) const UNSUPPORTED: &[i32] = &[libc::ENOSYS, libc::EOPNOTSUPP];
}

/// The system's error numbers that have a name.
#[cfg(windows)]
pub(super) mod codes {
    use windows_sys::Win32::Foundation::{
        ERROR_ACCESS_DENIED, ERROR_CALL_NOT_IMPLEMENTED, ERROR_INVALID_PARAMETER,
        ERROR_NOT_ALL_ASSIGNED, ERROR_NOT_SUPPORTED, ERROR_PRIVILEGE_NOT_HELD, WIN32_ERROR,
    };

    /// The number as the standard library has it.
    pub(in crate::system) const fn code(error: WIN32_ERROR) -> i32 {
        i32::from_ne_bytes(error.to_ne_bytes())
    }

    pub(super) const NO_PRIVILEGE: &[i32] =
        &[code(ERROR_PRIVILEGE_NOT_HELD), code(ERROR_NOT_ALL_ASSIGNED), code(ERROR_ACCESS_DENIED)];
    pub(super) const READ_ONLY: &[i32] = &[];
    pub(super) const OUT_OF_RANGE: &[i32] = &[code(ERROR_INVALID_PARAMETER)];
    pub(super) const UNSUPPORTED: &[i32] =
        &[code(ERROR_CALL_NOT_IMPLEMENTED), code(ERROR_NOT_SUPPORTED)];
}

/// The date `by` after `now`, if the kernel can represent it: none before 1970.
pub(super) fn target(now: Timestamp, by: Offset) -> Result<Timestamp, Refusal> {
    now.as_unix_nanos()
        .checked_add(by.as_nanos())
        .filter(|nanos| *nanos >= 0)
        .map(Timestamp::from_unix_nanos)
        .ok_or(Refusal::OutOfRange)
}

/// Whole seconds, rounded down, and the remaining units of `1/PER_SECOND` seconds. These are never
/// negative, which kernels also require for a negative amount.
pub(super) const fn split<const PER_SECOND: i64>(units: i64) -> (i64, i64) {
    (units.div_euclid(PER_SECOND), units.rem_euclid(PER_SECOND))
}

/// An offset in microseconds; saturates.
pub(super) const fn offset_of_micros(micros: i64) -> Offset {
    Offset::from_nanos(micros.saturating_mul(1_000))
}

/// The value in the type of a kernel structure's field, which depends on the system.
pub(super) fn fit<T: TryFrom<i64>>(value: i64) -> Result<T, Refusal> {
    T::try_from(value).map_err(|_| Refusal::OutOfRange)
}

/// The value of a kernel structure's field.
pub(super) fn widen<T: Into<i64>>(value: T) -> i64 {
    value.into()
}

pub(super) const NANOS: i64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(windows))]
    #[test]
    fn every_errno_has_its_name() {
        let operation = Operation::Step(Offset::from_nanos(38_116_000_000));
        let kind = |errno| Refusal::Errno { call: "clock_adjtime", errno }.of(operation).kind();
        assert_eq!(kind(libc::EPERM), "no_privilege");
        assert_eq!(kind(libc::EROFS), "read_only");
        assert_eq!(kind(libc::EACCES), "read_only");
        assert_eq!(kind(libc::EINVAL), "out_of_range");
        assert_eq!(kind(libc::ENOSYS), "unsupported");
        assert_eq!(kind(libc::EOPNOTSUPP), "unsupported");
        assert_eq!(kind(libc::EFAULT), "clock_failed");
    }

    #[cfg(windows)]
    #[test]
    fn every_error_of_windows_has_its_name() {
        let operation = Operation::Step(Offset::from_nanos(38_116_000_000));
        let kind = |errno| Refusal::Errno { call: "SetSystemTime", errno }.of(operation).kind();
        assert_eq!(
            (kind(5), kind(1300), kind(1314)),
            ("no_privilege", "no_privilege", "no_privilege")
        );
        assert_eq!((kind(87), kind(50), kind(120)), ("out_of_range", "unsupported", "unsupported"));
        assert_eq!(kind(1), "clock_failed", "not EPERM");
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
}
