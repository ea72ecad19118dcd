use std::io;
use std::os::fd::AsFd;

use super::clock;
use super::kernel::{self, Departure, Enabled};
use crate::session::KernelTimes;
use crate::time::{ClockTie, Timestamp};

/// Asks the kernel when bytes leave and arrive on a TCP connection, for a driver with sockets of its own.
///
/// Linux tells (`SO_TIMESTAMPING`); elsewhere [`enable`](Self::enable) fails, and the process's own times are used. Between a
/// packet and the process lie the scheduler and the run queue; the kernel's times do not contain them, so a busy
/// machine measures as well as an idle one.
///
/// Use it like this, on a socket that does not block:
///
/// 1. [`enable`](Self::enable) when the connection is open, before anything is written.
/// 2. Call [`wrote`](Self::wrote) after each write.
/// 3. Read with [`read`](Self::read), whenever the socket is ready: for reading, or for an error.
/// 4. After each read, hand [`times`](Self::times) to [`received`](crate::session::Session::received) in an
///    [`Arrival`](crate::session::Arrival).
#[derive(Debug)]
pub struct SocketTimestamps {
    /// The most bytes that leave in one segment.
    segment: usize,
    /// Both clocks as they were last read.
    latest: ClockTie,
    /// The same, before the latest write.
    before: ClockTie,
    /// Bytes written so far, modulo 2³².
    written: u32,
    write: Write,
    /// When the last segment came that was read from.
    arrived: Option<Timestamp>,
}

/// What is known of the latest write.
#[derive(Debug, Clone, Copy)]
enum Write {
    /// Its last byte has this key; nothing is known yet.
    Written(u32),
    Departed(Timestamp),
    /// It is longer than a segment: the time of its last byte is not that of its first.
    Split,
}

impl SocketTimestamps {
    /// Has the kernel take timestamps of what leaves and arrives from now on. Everything written before must have been
    /// acknowledged.
    ///
    /// # Errors
    /// When the system cannot do it.
    pub fn enable(socket: impl AsFd) -> io::Result<Self> {
        let Enabled { segment } = kernel::enable(socket.as_fd())?;
        let now = clock::tie();
        Ok(Self {
            segment,
            latest: now,
            before: now,
            written: 0,
            write: Write::Split,
            arrived: None,
        })
    }

    /// `count` of `length` bytes were written.
    pub fn wrote(&mut self, socket: impl AsFd, count: usize, length: usize) {
        if count == 0 {
            return;
        }
        // The key has 32 bits; a write has fewer.
        self.written = self.written.wrapping_add(u32::try_from(count).unwrap_or(0));
        let is_whole = count == length && count <= self.segment;
        let key = self.written.wrapping_sub(1);
        self.write = if is_whole { Write::Written(key) } else { Write::Split };
        self.before = self.latest;
        self.arrived = None;
        // Most devices have taken it by now.
        if let Some(departure) = kernel::next_departure(socket.as_fd()).flatten() {
            self.departed(departure);
        }
    }

    /// Reads once.
    ///
    /// # Errors
    /// Those of the system. When there is nothing to read, what the kernel reports about writes is taken in: that keeps a
    /// socket ready otherwise.
    pub fn read(&mut self, socket: impl AsFd, space: &mut [u8]) -> io::Result<usize> {
        loop {
            match kernel::read(socket.as_fd(), space) {
                Ok((count, at)) => {
                    // Of several reads the last one counts, even if it has no timestamp.
                    self.arrived = at;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    if error.kind() == io::ErrorKind::WouldBlock {
                        self.take_reports(socket);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// What the kernel said about the latest write and the latest read. Reads both clocks.
    pub fn times(&mut self, socket: impl AsFd) -> KernelTimes {
        if matches!(self.write, Write::Written(_)) {
            self.take_reports(socket);
        }
        self.latest = clock::tie();
        let departed = match self.write {
            Write::Departed(at) => Some(at),
            Write::Written(_) | Write::Split => None,
        };
        KernelTimes::new(departed, self.arrived, self.before, self.latest)
    }

    fn take_reports(&mut self, socket: impl AsFd) {
        for _ in 0..MAX_REPORTS {
            match kernel::next_departure(socket.as_fd()) {
                None => return,
                Some(departure) => departure.into_iter().for_each(|it| self.departed(it)),
            }
        }
    }

    /// Only the first transmission counts. A retransmitted request may have been read already.
    fn departed(&mut self, departure: Departure) {
        if matches!(self.write, Write::Written(key) if key == departure.key) {
            self.write = Write::Departed(departure.at);
        }
    }
}

/// More than the kernel reports about one write.
const MAX_REPORTS: u32 = 64;
