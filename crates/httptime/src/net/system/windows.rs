use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The names of Unix for the handles of Windows.
pub(in crate::net) use std::os::windows::io::{AsSocket as AsFd, BorrowedSocket as BorrowedFd};

use crate::time::{LocalInstant, nanos_to_duration};

/// The handle of a socket.
pub(in crate::net) fn as_fd(socket: &impl AsFd) -> BorrowedFd<'_> {
    socket.as_socket()
}

/// The monotonic clock (`QueryPerformanceCounter`), counted from the first call in this process.
pub(in crate::net) fn now() -> LocalInstant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    LocalInstant::from_nanos(0).saturating_add(ORIGIN.get_or_init(Instant::now).elapsed())
}

/// Wakes the thread that polls the [`WakeReceiver`].
#[derive(Debug)]
pub(in crate::net) struct WakeSender(UdpSocket);

/// Becomes readable when it is woken.
#[derive(Debug)]
pub(in crate::net) struct WakeReceiver(UdpSocket);

/// Two handles of one socket that sends to itself. `WSAPoll` waits for sockets only, and Windows
/// has no socket pairs. The socket is connected to its own address, so it receives nothing from
/// other sockets.
pub(in crate::net) fn wake_pair() -> io::Result<(WakeSender, WakeReceiver)> {
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    receiver.connect(receiver.local_addr()?)?;
    receiver.set_nonblocking(true)?;
    Ok((WakeSender(receiver.try_clone()?), WakeReceiver(receiver)))
}

impl WakeSender {
    pub(in crate::net) fn wake(&self) {
        // It can only fail when the buffer is full, which also wakes the receiver.
        let _ = self.0.send(&[1]);
    }

    pub(in crate::net) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

impl WakeReceiver {
    pub(in crate::net) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_socket()
    }

    /// Consumes the readiness.
    pub(in crate::net) fn clear(&self) {
        while self.0.recv(&mut [0; 64]).is_ok() {}
    }
}

/// How early the timer is set. `WSAPoll` waits for whole milliseconds, rounded up, and ends with
/// the system's tick, which is 15.625 ms unless a program asked for a shorter one.
pub(in crate::net) const TIMER_SLACK: Duration = Duration::from_millis(17);

/// The unit of the clocks: `GetSystemTimePreciseAsFileTime` and the usual performance counter count
/// 100 ns.
pub(in crate::net) const CLOCK_RESOLUTION: Duration = nanos_to_duration(100);
