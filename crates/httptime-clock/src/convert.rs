//! Converts offsets and durations to the units of the kernels' structures, and back.

use std::time::Duration;

use httptime::Offset;

use crate::status::MAXIMUM_ERROR_LIMIT;

/// The nearest microsecond, halves away from zero.
pub(crate) const fn nearest_micros(offset: Offset) -> i64 {
    let nanos = offset.as_nanos();
    let rest = nanos % NANOS_PER_MICRO;
    let carry = if rest >= NANOS_PER_MICRO / 2 {
        1
    } else if rest <= -NANOS_PER_MICRO / 2 {
        -1
    } else {
        0
    };
    nanos / NANOS_PER_MICRO + carry
}

/// Microseconds, rounded up because an error must not become smaller, up to the kernel's limit.
pub(crate) fn error_micros(error: Duration) -> i64 {
    let limited = error.min(MAXIMUM_ERROR_LIMIT);
    let micros = limited.as_nanos().div_ceil(1_000);
    i64::try_from(micros).unwrap_or(i64::MAX)
}

/// An error from microseconds; zero for a negative number.
pub(crate) fn error_of_micros(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

const NANOS_PER_MICRO: i64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_the_nearest() {
        let micros = |nanos| nearest_micros(Offset::from_nanos(nanos));
        assert_eq!([micros(0), micros(499), micros(500), micros(1_499)], [0, 0, 1, 1]);
        assert_eq!([micros(-1), micros(-499), micros(-500), micros(-1_501)], [0, 0, -1, -2]);
        assert_eq!(micros(i64::MAX), 9_223_372_036_854_776);
        assert_eq!(micros(i64::MIN), -9_223_372_036_854_776);
    }

    #[test]
    fn an_error_is_never_told_smaller_than_it_is_and_never_larger_than_the_kernel_counts() {
        assert_eq!(error_micros(Duration::ZERO), 0);
        assert_eq!(error_micros(Duration::from_nanos(1)), 1);
        assert_eq!(error_micros(Duration::from_nanos(1_000)), 1);
        assert_eq!(error_micros(Duration::MAX), 16_000_000);
        assert_eq!(error_of_micros(16_000_000), Duration::from_secs(16));
        assert_eq!(error_of_micros(-1), Duration::ZERO);
    }
}
