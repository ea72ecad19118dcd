//! The kernel's clock.

use std::time::SystemTime;

use httptime::{Offset, Timestamp};

use crate::clock::Clock;
use crate::error::{ClockError, Operation};
use crate::frequency::Frequency;
use crate::status::SyncStatus;

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
#[cfg_attr(windows, path = "system/windows.rs")]
#[cfg_attr(
    not(any(
        windows,
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

mod field;
#[cfg(any(windows, test))]
mod rate;

/// The kernel's clock: the time that every program on the machine reads.
///
/// Reading needs no privileges. Changing needs root, on Linux `CAP_SYS_TIME`, on Windows the
/// privilege `SeSystemtimePrivilege`, which administrators have.
///
/// | system | step | slew | frequency, status |
/// |---|---|---|---|
/// | Linux | at once and by exactly the amount (`ADJ_SETOFFSET`) | 500 ppm | yes |
/// | macOS | reads, adds and sets: late by the time in between, about a microsecond | yes; the remainder is not reported | yes |
/// | FreeBSD, `DragonFly` BSD, NetBSD | as macOS | yes | yes |
/// | OpenBSD | as macOS; the kernel refuses to go back under a securelevel | yes | no |
/// | Windows 10, Server 2016 and later | `SetSystemTime`, called at a whole millisecond: late by the duration of the call | 500 ppm, while the process runs | frequency: yes, in units of 0.1 ppm on most machines; status: no |
///
/// On Linux a step marks the clock as not synchronised and cancels a slew. On other systems both
/// are unchanged. If another program steers the clock (chronyd, ntpd, systemd-timesyncd), the two
/// undo each other's corrections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SystemClock {
    _private: (),
}

impl SystemClock {
    /// Whether a slew continues after the process has ended. On Windows it does not, and a process
    /// that is killed during a slew leaves a clock that is 500 ppm wrong: wait until
    /// [`remaining_slew`](Clock::remaining_slew) is zero, or end the slew, before you exit.
    pub const SLEW_OUTLIVES_PROCESS: bool = cfg!(not(windows));

    /// The kernel's clock. Nothing is read or changed yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Result<Timestamp, ClockError> {
        Timestamp::from_system_time(SystemTime::now())
            .ok_or(ClockError::OutOfRange { operation: Operation::ReadTime })
    }

    fn step(&mut self, by: Offset) -> Result<(), ClockError> {
        kernel::step(by).map_err(|refusal| refusal.of(Operation::Step(by)))
    }

    fn slew(&mut self, by: Offset) -> Result<(), ClockError> {
        kernel::slew(by).map_err(|refusal| refusal.of(Operation::Slew(by)))
    }

    fn remaining_slew(&self) -> Result<Offset, ClockError> {
        kernel::remaining_slew().map_err(|refusal| refusal.of(Operation::ReadSlew))
    }

    fn frequency(&self) -> Result<Frequency, ClockError> {
        kernel::frequency().map_err(|refusal| refusal.of(Operation::ReadFrequency))
    }

    fn set_frequency(&mut self, frequency: Frequency) -> Result<(), ClockError> {
        kernel::set_frequency(frequency.clamped())
            .map_err(|refusal| refusal.of(Operation::SetFrequency(frequency)))
    }

    fn status(&self) -> Result<SyncStatus, ClockError> {
        kernel::status().map_err(|refusal| refusal.of(Operation::ReadStatus))
    }

    fn set_status(&mut self, status: SyncStatus) -> Result<(), ClockError> {
        kernel::set_status(status).map_err(|refusal| refusal.of(Operation::SetStatus(status)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Only reading is tested here; changes of the clock are tested in a virtual machine.
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
        assert!(status.maximum_error() <= crate::status::MAXIMUM_ERROR_LIMIT, "{status}");
        let frequency = clock.frequency()?;
        assert_eq!(frequency.clamped(), frequency);
        Ok(())
    }
}
