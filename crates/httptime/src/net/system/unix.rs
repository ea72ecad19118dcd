use std::io;
pub(in crate::net) use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::time::{LocalInstant, nanos_to_duration};

/// The handle of a socket.
pub(in crate::net) fn as_fd(socket: &impl AsFd) -> BorrowedFd<'_> {
    socket.as_fd()
}

/// The monotonic clock: `CLOCK_MONOTONIC`.
pub(in crate::net) fn now() -> LocalInstant {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    LocalInstant::from_nanos(time.tv_sec.saturating_mul(1_000_000_000) + time.tv_nsec)
}

/// Wakes the thread that polls the [`WakeReceiver`].
#[derive(Debug)]
pub(in crate::net) struct WakeSender(UnixStream);

/// Becomes readable when it is woken.
#[derive(Debug)]
pub(in crate::net) struct WakeReceiver(UnixStream);

/// Two ends of a socket pair.
pub(in crate::net) fn wake_pair() -> io::Result<(WakeSender, WakeReceiver)> {
    let (sender, receiver) = UnixStream::pair()?;
    sender.set_nonblocking(true)?;
    receiver.set_nonblocking(true)?;
    Ok((WakeSender(sender), WakeReceiver(receiver)))
}

impl WakeSender {
    /// One `write`, which is allowed in a signal handler.
    pub(in crate::net) fn wake(&self) {
        // It can only fail when nobody waits any more, or when the buffer is full, which also wakes
        // the other end.
        let _ = rustix::io::write(&self.0, &[1]);
    }

    pub(in crate::net) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

impl WakeReceiver {
    pub(in crate::net) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Consumes the readiness.
    pub(in crate::net) fn clear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 64]);
    }
}

/// How early the timer is set. Linux wakes an ordinary process 50 µs late (`PR_SET_TIMERSLACK`), a
/// virtual machine often 0.2 ms and at times 0.7 ms.
pub(in crate::net) const TIMER_SLACK: Duration = Duration::from_millis(1);

/// The unit of the clocks.
pub(in crate::net) const CLOCK_RESOLUTION: Duration = nanos_to_duration(1);
