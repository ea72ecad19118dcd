//! `clock_adjtime(CLOCK_REALTIME, …)`, and `clock_settime` for kernels whose `clock_adjtime` cannot
//! step.

use std::mem::MaybeUninit;
use std::time::SystemTime;

use httptime::{Offset, Timestamp};

use super::field::{NANOS, Refusal, fit, offset_of_micros, split, target, widen};
use crate::convert::{error_micros, error_of_micros, nearest_micros};
use crate::frequency::Frequency;
use crate::status::SyncStatus;

pub(super) fn step(by: Offset) -> Result<(), Refusal> {
    match adjust(&Request::step(by)) {
        Err(refusal) if refusal.is_setoffset_unsupported() => {
            let now = Timestamp::from_system_time(SystemTime::now()).ok_or(Refusal::OutOfRange)?;
            set_time(target(now, by)?)
        }
        outcome => outcome.map(|_| ()),
    }
}

pub(super) fn slew(by: Offset) -> Result<(), Refusal> {
    adjust(&Request::slew(by)).map(|_| ())
}

pub(super) fn remaining_slew() -> Result<Offset, Refusal> {
    Ok(offset_of_micros(adjust(&Request::REMAINING_SLEW)?.offset))
}

pub(super) fn frequency() -> Result<Frequency, Refusal> {
    Ok(Frequency::from_scaled_ppm(fit(adjust(&Request::READ)?.freq)?))
}

pub(super) fn set_frequency(frequency: Frequency) -> Result<(), Refusal> {
    adjust(&Request::frequency(frequency)).map(|_| ())
}

pub(super) fn status() -> Result<SyncStatus, Refusal> {
    adjust(&Request::READ).map(|reply| reply.status())
}

pub(super) fn set_status(status: SyncStatus) -> Result<(), Refusal> {
    adjust(&Request::status(status)).map(|_| ())
}

/// The fields of `timex` that are set, with types that do not depend on the C library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Request {
    modes: libc::c_uint,
    offset: i64,
    freq: i64,
    maxerror: i64,
    esterror: i64,
    status: libc::c_int,
    seconds: i64,
    fraction: i64,
}

impl Request {
    /// Changes nothing.
    const READ: Self = Self {
        modes: 0,
        offset: 0,
        freq: 0,
        maxerror: 0,
        esterror: 0,
        status: 0,
        seconds: 0,
        fraction: 0,
    };

    /// Changes nothing, and needs no privileges.
    const REMAINING_SLEW: Self = Self { modes: libc::ADJ_OFFSET_SS_READ, ..Self::READ };

    /// The kernel adds the amount to its clock itself, so no time is lost between reading and
    /// setting. `ADJ_NANO` makes the fraction nanoseconds. As a side effect other programs also
    /// read nanoseconds; they check `STA_NANO`.
    const fn step(by: Offset) -> Self {
        let (seconds, fraction) = split::<NANOS>(by.as_nanos());
        Self { modes: libc::ADJ_SETOFFSET | libc::ADJ_NANO, seconds, fraction, ..Self::READ }
    }

    /// adjtime(3), in microseconds: it works together with a frequency, needs no `STA_PLL`, and
    /// does not change the frequency as `ADJ_OFFSET` does.
    const fn slew(by: Offset) -> Self {
        Self { modes: libc::ADJ_OFFSET_SINGLESHOT, offset: nearest_micros(by), ..Self::READ }
    }

    fn frequency(frequency: Frequency) -> Self {
        Self { modes: libc::ADJ_FREQUENCY, freq: widen(frequency.as_scaled_ppm()), ..Self::READ }
    }

    /// `status` is written completely, so `STA_PLL`, `STA_FLL`, `STA_PPSFREQ` and `STA_PPSTIME` are
    /// cleared: with any of them an `ADJ_OFFSET` of another program, or a pulse, would change the
    /// frequency that is set here. `STA_INS` and `STA_DEL` are also cleared: the kernel repeats the
    /// leap second each day while they are set.
    fn status(status: SyncStatus) -> Self {
        Self {
            modes: libc::ADJ_STATUS | libc::ADJ_MAXERROR | libc::ADJ_ESTERROR,
            maxerror: error_micros(status.maximum_error()),
            esterror: error_micros(status.estimated_error()),
            status: if status.is_synchronised() { 0 } else { libc::STA_UNSYNC },
            ..Self::READ
        }
    }
}

/// The kernel's reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reply {
    state: libc::c_int,
    offset: i64,
    freq: i64,
    maxerror: i64,
    esterror: i64,
}

impl Reply {
    /// `TIME_ERROR` and not only `STA_UNSYNC`: it also results from a missing or bad
    /// pulse-per-second signal, and other programs read it.
    fn status(self) -> SyncStatus {
        let status = if self.state == libc::TIME_ERROR {
            SyncStatus::unsynchronised
        } else {
            SyncStatus::synchronised
        };
        status(error_of_micros(self.maxerror), error_of_micros(self.esterror))
    }
}

impl Refusal {
    /// `ADJ_SETOFFSET` was added in Linux 2.6.39. Older kernels and some emulations of Linux refuse
    /// it with these errors. `EINVAL` can also mean the amount; then setting the clock is refused
    /// in the same way.
    const fn is_setoffset_unsupported(self) -> bool {
        matches!(self, Self::Errno { errno: libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP, .. })
    }
}

/// The only access to the kernel's clock discipline.
fn adjust(request: &Request) -> Result<Reply, Refusal> {
    // SAFETY: `timex` is a structure of integers, for which all bits zero is a value.
    let mut timex: libc::timex = unsafe { MaybeUninit::zeroed().assume_init() };
    timex.modes = request.modes;
    timex.offset = fit(request.offset)?;
    timex.freq = fit(request.freq)?;
    timex.maxerror = fit(request.maxerror)?;
    timex.esterror = fit(request.esterror)?;
    timex.status = request.status;
    timex.time.tv_sec = fit(request.seconds)?;
    timex.time.tv_usec = fit(request.fraction)?;
    // SAFETY: the pointer is to a whole `timex`, exclusively ours, and the kernel keeps it no
    // longer than the call.
    let state = unsafe { libc::clock_adjtime(libc::CLOCK_REALTIME, &raw mut timex) };
    if state == -1 {
        return Err(Refusal::last_os_error("clock_adjtime"));
    }
    Ok(Reply {
        state,
        offset: widen(timex.offset),
        freq: widen(timex.freq),
        maxerror: widen(timex.maxerror),
        esterror: widen(timex.esterror),
    })
}

/// Sets the clock to `to`.
fn set_time(to: Timestamp) -> Result<(), Refusal> {
    let (seconds, nanos) = split::<NANOS>(to.as_unix_nanos());
    // SAFETY: `timespec` is a structure of integers, for which all bits zero is a value.
    let mut timespec: libc::timespec = unsafe { MaybeUninit::zeroed().assume_init() };
    timespec.tv_sec = fit(seconds)?;
    timespec.tv_nsec = fit(nanos)?;
    // SAFETY: the pointer is to a whole `timespec`, which the kernel only reads during the call.
    match unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const timespec) } {
        0 => Ok(()),
        _ => Err(Refusal::last_os_error("clock_settime")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_step_is_a_whole_second_and_nanoseconds_forward() {
        let request = |nanos| {
            let request = Request::step(Offset::from_nanos(nanos));
            assert_eq!(request.modes, 0x0100 | 0x2000);
            (request.seconds, request.fraction)
        };
        assert_eq!(request(38_116_000_001), (38, 116_000_001));
        assert_eq!(request(-1), (-1, 999_999_999));
        assert_eq!(request(-1_000_000_000), (-1, 0));
        assert_eq!(request(i64::MIN), (-9_223_372_037, 145_224_192));
        assert_eq!(request(i64::MAX), (9_223_372_036, 854_775_807));
    }

    #[test]
    fn a_slew_is_the_old_adjtime_in_microseconds() {
        let request = Request::slew(Offset::from_nanos(-1_500_600));
        assert_eq!(request, Request { modes: 0x8001, offset: -1_501, ..Request::READ });
        assert_eq!(Request::slew(Offset::ZERO).offset, 0);
    }

    #[test]
    fn a_frequency_goes_in_the_kernels_unit_and_alone() {
        let request = Request::frequency(Frequency::from_ppm(-12.5));
        assert_eq!(request, Request { modes: 0x0002, freq: -819_200, ..Request::READ });
    }

    #[test]
    fn a_status_clears_every_bit_but_that_of_an_unsynchronised_clock() {
        let errors = [Duration::from_nanos(1_500_001), Duration::from_micros(700)];
        let synchronised = Request::status(SyncStatus::synchronised(errors[0], errors[1]));
        let expected = Request {
            modes: 0x0010 | 0x0004 | 0x0008,
            maxerror: 1_501,
            esterror: 700,
            ..Request::READ
        };
        assert_eq!(synchronised, expected);
        let not = Request::status(SyncStatus::UNSYNCHRONISED);
        assert_eq!((not.status, not.maxerror, not.esterror), (0x0040, 16_000_000, 16_000_000));
    }

    #[test]
    fn reading_asks_for_no_change() {
        assert_eq!(Request::READ.modes, 0);
        assert_eq!(Request::REMAINING_SLEW.modes, 0xa001);
    }

    #[test]
    fn the_clocks_state_says_whether_it_is_synchronised() {
        let reply = Reply { state: 5, offset: 0, freq: 0, maxerror: 2_000, esterror: 1_000 };
        let errors = (Duration::from_millis(2), Duration::from_millis(1));
        assert_eq!(reply.status(), SyncStatus::unsynchronised(errors.0, errors.1));
        for state in [libc::TIME_OK, libc::TIME_INS, libc::TIME_WAIT] {
            let status = Reply { state, ..reply }.status();
            assert_eq!(status, SyncStatus::synchronised(errors.0, errors.1));
        }
    }

    #[test]
    fn only_a_kernel_that_does_not_know_how_to_step_is_asked_to_set_the_time() {
        let falls_back =
            |errno| Refusal::Errno { call: "clock_adjtime", errno }.is_setoffset_unsupported();
        assert!(falls_back(libc::EINVAL) && falls_back(libc::ENOSYS));
        assert!(falls_back(libc::EOPNOTSUPP));
        assert!(!falls_back(libc::EPERM) && !falls_back(libc::EFAULT));
        assert!(!Refusal::OutOfRange.is_setoffset_unsupported());
    }
}
