//! Waits for what changes the clock or the network from outside, in a thread of its own: sockets
//! and timers. `clock_watch.rs` decides.

use std::time::Duration;

/// What the watcher saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// The clock may have been set, or the machine may have slept: compare the clocks.
    Clock,
    /// The virtual machine was paused for so long.
    Paused(Duration),
    /// There is a new link, address or route.
    Network,
}

#[cfg(target_os = "linux")]
pub(crate) use linux::{slept, start};
#[cfg(not(target_os = "linux"))]
pub(crate) use unsupported::{slept, start};

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::io;
    use std::os::fd::OwnedFd;
    use std::sync::mpsc::SyncSender;
    use std::time::{Duration, Instant};

    use log::debug;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::Errno;
    use rustix::net::netlink::SocketAddrNetlink;
    use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
    use rustix::time::{
        ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, clock_gettime,
        timerfd_create, timerfd_settime,
    };

    use super::super::clock_watch::{HardwareClockWatch, HardwareReading, announces_network};
    use super::Sign;
    use crate::worker;

    /// How long the machine has slept since it booted.
    pub(crate) fn slept() -> Duration {
        // Read first, so that the difference is never larger than the sleep.
        let since_boot = clock(ClockId::Boottime);
        since_boot.saturating_sub(clock(ClockId::Monotonic))
    }

    /// Starts the thread. What the system does not offer is not watched: the program still compares
    /// its clocks every few seconds.
    ///
    /// # Errors
    /// The system's error if no thread can be started.
    pub(crate) fn start<E: Send + 'static>(
        events: SyncSender<E>,
        seen: fn(Sign) -> E,
        lost: fn(String) -> E,
    ) -> io::Result<()> {
        let mut hardware = HardwareClockWatch::default();
        let _ = read_hardware_clock().map(|first| hardware.paused(first));
        let watcher = Watcher {
            timer: offered("timer that ends when the clock is set", timer()),
            network: offered("routing socket", network()),
            hardware,
            read_at: Instant::now(),
        };
        worker::start("watcher", events, lost, move |events| watcher.run(events, seen))
    }

    fn offered(what: &str, opened: rustix::io::Result<OwnedFd>) -> Option<OwnedFd> {
        opened.inspect_err(|error| debug!("no {what}: {error}")).ok()
    }

    struct Watcher {
        timer: Option<OwnedFd>,
        network: Option<OwnedFd>,
        hardware: HardwareClockWatch,
        /// When the hardware clock was read last.
        read_at: Instant,
    }

    impl Watcher {
        fn run<E>(mut self, events: &SyncSender<E>, seen: fn(Sign) -> E) {
            loop {
                for sign in self.wait().into_iter().flatten() {
                    if events.send(seen(sign)).is_err() {
                        return;
                    }
                }
            }
        }

        /// Waits until there is something to see.
        fn wait(&mut self) -> [Option<Sign>; 3] {
            let left = HARDWARE_CLOCK_TICK.saturating_sub(self.read_at.elapsed());
            let timeout = Timespec::try_from(left).ok();
            let watched = [&self.timer, &self.network];
            let mut fds: Vec<PollFd<'_>> =
                watched.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
            // An interrupted wait is treated as a short one.
            let _ = poll(&mut fds, timeout.as_ref());
            let paused = (self.read_at.elapsed() >= HARDWARE_CLOCK_TICK).then(|| {
                self.read_at = Instant::now();
                self.hardware.paused(read_hardware_clock()?).map(Sign::Paused)
            });
            [
                self.is_clock_set().then_some(Sign::Clock),
                self.has_new_network().then_some(Sign::Network),
                paused.flatten(),
            ]
        }

        fn is_clock_set(&self) -> bool {
            let Some(timer) = &self.timer else { return false };
            rustix::io::read(timer, &mut [0; 8]) == Err(Errno::CANCELED)
        }

        /// Reads all messages that have arrived.
        fn has_new_network(&self) -> bool {
            let Some(network) = &self.network else { return false };
            let mut buffer = vec![0; MESSAGES_BYTES];
            let mut found = false;
            loop {
                match recv(network, &mut buffer[..], RecvFlags::empty()) {
                    Ok((length, _)) => found |= announces_network(&buffer[..length]),
                    // Some were lost.
                    Err(Errno::NOBUFS) => found = true,
                    Err(Errno::INTR) => {}
                    Err(_) => return found,
                }
            }
        }
    }

    /// A timer in the far future. Reading it fails with `ECANCELED` once after the wall clock was
    /// set, also after a sleep (`timerfd_create(2)`).
    fn timer() -> rustix::io::Result<OwnedFd> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
        let at = |tv_sec| Timespec { tv_sec, tv_nsec: 0 };
        let end = Itimerspec { it_interval: at(0), it_value: at(i64::MAX) };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&timer, flags, &end)?;
        Ok(timer)
    }

    /// A socket that receives the changes of links, addresses and routes (rtnetlink(7)).
    fn network() -> rustix::io::Result<OwnedFd> {
        const LINK: u32 = 0x1;
        const IPV4_ADDRESS: u32 = 0x10;
        const IPV4_ROUTE: u32 = 0x40;
        const IPV6_ADDRESS: u32 = 0x100;
        const IPV6_ROUTE: u32 = 0x400;
        let groups = LINK | IPV4_ADDRESS | IPV4_ROUTE | IPV6_ADDRESS | IPV6_ROUTE;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, groups))?;
        Ok(socket)
    }

    /// `None` without a hardware clock, or without the right to read it.
    fn read_hardware_clock() -> Option<HardwareReading> {
        let since_boot = clock(ClockId::Boottime);
        let hardware_seconds = fs::read_to_string(HARDWARE_CLOCK).ok()?.trim().parse().ok()?;
        let wall_seconds = clock_gettime(ClockId::Realtime).tv_sec;
        Some(HardwareReading { hardware_seconds, wall_seconds, since_boot })
    }

    fn clock(id: ClockId) -> Duration {
        Duration::try_from(clock_gettime(id)).unwrap_or_default()
    }

    /// Whole seconds since 1970 (Documentation/ABI/testing/rtc-cdev of Linux).
    const HARDWARE_CLOCK: &str = "/sys/class/rtc/rtc0/since_epoch";
    const HARDWARE_CLOCK_TICK: Duration = Duration::from_secs(5);
    const MESSAGES_BYTES: usize = 16_384;
}

#[cfg(not(target_os = "linux"))]
mod unsupported {
    use std::io;
    use std::sync::mpsc::SyncSender;
    use std::time::Duration;

    use super::Sign;

    /// Not known here: a sleep looks like a clock that was set.
    pub(crate) const fn slept() -> Duration {
        Duration::ZERO
    }

    /// Watches nothing.
    pub(crate) fn start<E: Send + 'static>(
        _: SyncSender<E>,
        _: fn(Sign) -> E,
        _: fn(String) -> E,
    ) -> io::Result<()> {
        Ok(())
    }
}
