//! A system on which the clock can only be read.

use httptime::Offset;

use super::field::Refusal;
use crate::frequency::Frequency;
use crate::status::SyncStatus;

pub(super) fn step(_: Offset) -> Result<(), Refusal> {
    Err(Refusal::Errno { call: "clock_settime", errno: libc::ENOSYS })
}

pub(super) fn slew(_: Offset) -> Result<(), Refusal> {
    Err(Refusal::Errno { call: "adjtime", errno: libc::ENOSYS })
}

pub(super) fn remaining_slew() -> Result<Offset, Refusal> {
    Err(Refusal::Errno { call: "adjtime", errno: libc::ENOSYS })
}

pub(super) fn frequency() -> Result<Frequency, Refusal> {
    Err(Refusal::Errno { call: "ntp_adjtime", errno: libc::ENOSYS })
}

pub(super) fn set_frequency(_: Frequency) -> Result<(), Refusal> {
    Err(Refusal::Errno { call: "ntp_adjtime", errno: libc::ENOSYS })
}

pub(super) fn status() -> Result<SyncStatus, Refusal> {
    Err(Refusal::Errno { call: "ntp_adjtime", errno: libc::ENOSYS })
}

pub(super) fn set_status(_: SyncStatus) -> Result<(), Refusal> {
    Err(Refusal::Errno { call: "ntp_adjtime", errno: libc::ENOSYS })
}
