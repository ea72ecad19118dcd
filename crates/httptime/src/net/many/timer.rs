//! Wakes the thread at an instant. A wait for sockets takes a timeout in whole milliseconds, which
//! is too coarse for aimed requests. On Linux a timer of the kernel is one more thing to wait for.

use std::io;
use std::time::Duration;

use mio::{Poll, Token};

use super::LONGEST_WAIT;
use crate::time::LocalInstant;

#[cfg(target_os = "linux")]
pub(super) use self::linux::Timer;
#[cfg(not(target_os = "linux"))]
pub(super) use self::unsupported::Timer;

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::{AsRawFd, OwnedFd};

    use mio::Interest;
    use mio::unix::SourceFd;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    use super::*;
    use crate::time::NANOS_PER_SECOND;

    #[derive(Debug)]
    pub(in super::super) struct Timer {
        timer: OwnedFd,
        set: Option<LocalInstant>,
    }

    impl Timer {
        pub(in super::super) fn new(poll: &Poll, token: Token) -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            let fd = timer.as_raw_fd();
            poll.registry().register(&mut SourceFd(&fd), token, Interest::READABLE)?;
            Ok(Self { timer, set: None })
        }

        /// Sets the timer. Returns the timeout of the wait, which ends at the timer before.
        pub(in super::super) fn timeout(
            &mut self,
            until: LocalInstant,
            now: LocalInstant,
        ) -> io::Result<Duration> {
            if until <= now {
                return Ok(Duration::ZERO);
            }
            if self.set != Some(until) {
                let nanos = until.as_nanos();
                let it_value = Timespec {
                    tv_sec: nanos / NANOS_PER_SECOND,
                    tv_nsec: nanos % NANOS_PER_SECOND,
                };
                let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
                let at = Itimerspec { it_interval, it_value };
                timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &at)?;
                self.set = Some(until);
            }
            Ok(LONGEST_WAIT)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod unsupported {
    use super::*;

    #[derive(Debug)]
    pub(in super::super) struct Timer;

    impl Timer {
        pub(in super::super) fn new(_: &Poll, _: Token) -> io::Result<Self> {
            Ok(Self)
        }

        /// The timeout of the wait: up to a millisecond too long.
        pub(in super::super) fn timeout(
            &mut self,
            until: LocalInstant,
            now: LocalInstant,
        ) -> io::Result<Duration> {
            Ok(until.saturating_since(now).min(LONGEST_WAIT))
        }
    }
}
