//! macOS and the BSDs: `clock_settime`, `adjtime`, and `ntp_adjtime` where there is one.

#[cfg(not(target_os = "openbsd"))]
use std::mem::MaybeUninit;
use std::ptr;
use std::time::SystemTime;

use httptime::{Offset, Timestamp};

use super::field::{NANOS, Refusal, fit, offset_of_micros, split, target, widen};
use crate::convert::nearest_micros;
#[cfg(not(target_os = "openbsd"))]
use crate::convert::{error_micros, error_of_micros};
use crate::frequency::Frequency;
use crate::status::SyncStatus;

pub(super) fn step(by: Offset) -> Result<(), Refusal> {
    let now = Timestamp::from_system_time(SystemTime::now()).ok_or(Refusal::OutOfRange)?;
    let (seconds, nanos) = split::<NANOS>(target(now, by)?.as_unix_nanos());
    let timespec = libc::timespec { tv_sec: fit(seconds)?, tv_nsec: fit(nanos)? };
    // SAFETY: the pointer is to a whole `timespec`, which the kernel only reads during the call.
    match unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const timespec) } {
        0 => Ok(()),
        _ => Err(Refusal::last_os_error("clock_settime")),
    }
}

pub(super) fn slew(by: Offset) -> Result<(), Refusal> {
    let (seconds, micros) = split::<MICROS>(nearest_micros(by));
    let delta = libc::timeval { tv_sec: fit(seconds)?, tv_usec: fit(micros)? };
    // SAFETY: the first pointer is to a whole `timeval`, only read; the second may be null.
    match unsafe { libc::adjtime(&raw const delta, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(Refusal::last_os_error("adjtime")),
    }
}

/// macOS reads the first argument whether it is null or not, so the remainder cannot be read
/// without setting a slew.
pub(super) fn remaining_slew() -> Result<Offset, Refusal> {
    if cfg!(target_os = "macos") {
        return Err(Refusal::Errno { call: "adjtime", errno: libc::ENOSYS });
    }
    let mut left = libc::timeval { tv_sec: 0, tv_usec: 0 };
    // SAFETY: the first pointer may be null, for no change; the second is to a whole `timeval`,
    // exclusively ours.
    match unsafe { libc::adjtime(ptr::null(), &raw mut left) } {
        0 => {
            let micros = widen(left.tv_sec).saturating_mul(MICROS) + widen(left.tv_usec);
            Ok(offset_of_micros(micros))
        }
        _ => Err(Refusal::last_os_error("adjtime")),
    }
}

#[cfg(not(target_os = "openbsd"))]
pub(super) fn frequency() -> Result<Frequency, Refusal> {
    let (_, timex) = adjust(nothing())?;
    Ok(Frequency::from_scaled_ppm(fit(widen(timex.freq))?))
}

#[cfg(not(target_os = "openbsd"))]
pub(super) fn set_frequency(frequency: Frequency) -> Result<(), Refusal> {
    let mut timex = nothing();
    timex.modes = libc::MOD_FREQUENCY;
    timex.freq = fit(widen(frequency.as_scaled_ppm()))?;
    adjust(timex).map(|_| ())
}

#[cfg(not(target_os = "openbsd"))]
pub(super) fn status() -> Result<SyncStatus, Refusal> {
    let (state, timex) = adjust(nothing())?;
    let status = if state == libc::TIME_ERROR {
        SyncStatus::unsynchronised
    } else {
        SyncStatus::synchronised
    };
    Ok(status(error_of_micros(widen(timex.maxerror)), error_of_micros(widen(timex.esterror))))
}

/// `status` is written as a whole, for the reasons given for Linux.
#[cfg(not(target_os = "openbsd"))]
pub(super) fn set_status(status: SyncStatus) -> Result<(), Refusal> {
    let mut timex = nothing();
    timex.modes = libc::MOD_STATUS | libc::MOD_MAXERROR | libc::MOD_ESTERROR;
    timex.maxerror = fit(error_micros(status.maximum_error()))?;
    timex.esterror = fit(error_micros(status.estimated_error()))?;
    timex.status = if status.is_synchronised() { 0 } else { libc::STA_UNSYNC };
    adjust(timex).map(|_| ())
}

#[cfg(target_os = "openbsd")]
pub(super) fn frequency() -> Result<Frequency, Refusal> {
    Err(Refusal::Errno { call: "ntp_adjtime", errno: libc::ENOSYS })
}

#[cfg(target_os = "openbsd")]
pub(super) fn set_frequency(_: Frequency) -> Result<(), Refusal> {
    Err(Refusal::Errno { call: "ntp_adjtime", errno: libc::ENOSYS })
}

#[cfg(target_os = "openbsd")]
pub(super) fn status() -> Result<SyncStatus, Refusal> {
    Err(Refusal::Errno { call: "ntp_adjtime", errno: libc::ENOSYS })
}

#[cfg(target_os = "openbsd")]
pub(super) fn set_status(_: SyncStatus) -> Result<(), Refusal> {
    Err(Refusal::Errno { call: "ntp_adjtime", errno: libc::ENOSYS })
}

#[cfg(not(target_os = "openbsd"))]
fn nothing() -> libc::timex {
    // SAFETY: `timex` is a structure of integers, for which all bits zero is a value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

#[cfg(not(target_os = "openbsd"))]
fn adjust(mut timex: libc::timex) -> Result<(libc::c_int, libc::timex), Refusal> {
    // SAFETY: the pointer is to a whole `timex`, exclusively ours, and the kernel keeps it no
    // longer than the call.
    match unsafe { libc::ntp_adjtime(&raw mut timex) } {
        -1 => Err(Refusal::last_os_error("ntp_adjtime")),
        state => Ok((state, timex)),
    }
}

const MICROS: i64 = 1_000_000;
