//! What differs between Unix and Windows for a driver: the handles of sockets, how a thread that
//! polls is woken, the monotonic clock, and how late a timer ends.

#[cfg_attr(unix, path = "system/unix.rs")]
#[cfg_attr(windows, path = "system/windows.rs")]
mod platform;

#[cfg(not(any(unix, windows)))]
compile_error!("the feature net needs Unix or Windows");

pub(super) use self::platform::{
    AsFd, BorrowedFd, CLOCK_RESOLUTION, TIMER_SLACK, WakeReceiver, WakeSender, as_fd, now,
    wake_pair,
};

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::TcpListener;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn is_ready(receiver: &WakeReceiver) -> io::Result<bool> {
        let mut fds = [PollFd::from_borrowed_fd(receiver.as_fd(), PollFlags::IN)];
        Ok(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? > 0)
    }

    #[test]
    fn a_woken_thread_stays_ready_until_the_readiness_is_consumed() -> io::Result<()> {
        let (sender, receiver) = wake_pair()?;
        assert!(!is_ready(&receiver)?);
        let clone = sender.try_clone()?;
        drop(sender);
        clone.wake();
        clone.wake();
        // On Windows a datagram to this machine arrives a moment later.
        let mut fds = [PollFd::from_borrowed_fd(receiver.as_fd(), PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 20, tv_nsec: 0 }))?;
        assert!(is_ready(&receiver)?);
        assert!(is_ready(&receiver)?, "looking does not consume it");
        receiver.clear();
        assert!(!is_ready(&receiver)?);
        receiver.clear();
        Ok(())
    }

    #[test]
    fn the_handle_of_a_socket_can_be_polled() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut fds = [PollFd::from_borrowed_fd(as_fd(&listener), PollFlags::IN)];
        assert_eq!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?, 0);
        Ok(())
    }
}
