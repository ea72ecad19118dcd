//! The blocking driver: moves bytes between sockets and sessions, and waits. It makes no decisions.

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::cancel::{Canceller, StopRequest};
use super::clock;
use super::resolve::{PendingLookups, Resolver};
use super::socket::{Socket, SocketOptions};
use super::system::{BorrowedFd, TIMER_SLACK};
use crate::session::{Action, ConnectionId, Event, MAX_CONNECTIONS};
use crate::survey::{MAX_SERVERS, Sessions};
use crate::time::LocalInstant;

/// Sessions, and a socket for each of their connections.
#[derive(Debug)]
pub(crate) struct Driver<'a> {
    sessions: Sessions,
    sockets: Vec<Option<Socket>>,
    lookups: PendingLookups,
    options: &'a SocketOptions,
    resolver: &'a Resolver,
    canceller: Option<&'a Canceller>,
    space: Box<[u8]>,
}

impl<'a> Driver<'a> {
    pub(crate) fn new(
        sessions: Sessions,
        options: &'a SocketOptions,
        resolver: &'a Resolver,
        canceller: Option<&'a Canceller>,
    ) -> Self {
        Self {
            sockets: (0..sessions.connections()).map(|_| None).collect(),
            sessions,
            lookups: PendingLookups::default(),
            options,
            resolver,
            canceller,
            space: vec![0; READ_BUFFER_BYTES].into(),
        }
    }

    /// Runs the sessions until they end. Calls `watch` for every event.
    pub(crate) fn run(mut self, watch: &mut dyn FnMut(usize, Event, &Sessions)) -> Sessions {
        loop {
            match self.canceller.and_then(Canceller::stop_request) {
                None => {}
                Some(StopRequest::Cancel) => self.sessions.cancel(),
                Some(StopRequest::Finish) => self.sessions.stop(),
            }
            let action = self.sessions.poll(clock::now());
            while let Some((server, event)) = self.sessions.next_event() {
                watch(server, event, &self.sessions);
            }
            match action {
                Action::Resolve { server } => self.resolve(server),
                Action::Open { conn, address } => match Socket::connect(address, self.options) {
                    Ok(socket) => self.sockets[conn.index()] = Some(socket),
                    Err(error) => self.sessions.failed(conn, error, clock::now()),
                },
                Action::Transmit { conn } => self.transmit(conn),
                Action::Close { conn } => self.sockets[conn.index()] = None,
                Action::Wait { until, precise } => self.wait(until, precise),
                Action::Done => return self.sessions,
            }
        }
    }

    fn resolve(&mut self, server: usize) {
        let hop = self.sessions.sessions()[server].target().hop();
        if let Err(error) = self.lookups.start(server, hop.host(), hop.port(), self.resolver) {
            self.sessions.resolved(server, Err(error), clock::now());
        }
    }

    fn transmit(&mut self, conn: ConnectionId) {
        // Received data is reported first; then the sessions decide again.
        if self.receive(conn) {
            return;
        }
        let Some(socket) = &mut self.sockets[conn.index()] else { return };
        let at = clock::now();
        match socket.write(self.sessions.output(conn)) {
            Ok(count) => self.sessions.sent(conn, count, at),
            Err(error) => self.fail(conn, error),
        }
    }

    /// Reads once. Returns whether there was anything to report.
    fn receive(&mut self, conn: ConnectionId) -> bool {
        let Some(socket) = &mut self.sockets[conn.index()] else { return false };
        match socket.read(&mut self.space) {
            Ok(None) => return false,
            Ok(Some(0)) => {
                self.sockets[conn.index()] = None;
                self.sessions.closed(conn, clock::now());
            }
            Ok(Some(count)) => {
                let arrival = socket.arrival();
                self.sessions.received(conn, &self.space[..count], arrival);
            }
            Err(error) => self.fail(conn, error),
        }
        true
    }

    fn fail(&mut self, conn: ConnectionId, error: io::Error) {
        self.sockets[conn.index()] = None;
        self.sessions.failed(conn, error, clock::now());
    }

    /// Handles a ready socket.
    fn socket_ready(&mut self, conn: ConnectionId) {
        let Some(socket) = &mut self.sockets[conn.index()] else { return };
        if !socket.is_connecting() {
            self.sessions.writable(conn);
            self.receive(conn);
            return;
        }
        match socket.connected(self.options) {
            Ok(()) => self.sessions.opened(conn, clock::now()),
            Err(error) => self.fail(conn, error),
        }
    }

    /// Waits until a socket is ready or `until` is reached, and reports what is ready.
    fn wait(&mut self, until: LocalInstant, precise: bool) {
        let ready = self.ready(until, precise);
        if ready & RESOLVED != 0 {
            self.lookups.clear_readiness();
            while let Some(answer) = self.lookups.take() {
                self.sessions.resolved(answer.server, answer.addresses, clock::now());
            }
        }
        for index in (0..self.sockets.len()).filter(|index| ready & bit(*index) != 0) {
            self.socket_ready(ConnectionId::from_index(index));
        }
    }

    /// The ready sockets, one bit for each; none if `until` was reached first.
    ///
    /// A timer wakes a process tens of microseconds late, which is too late for an aimed request.
    /// So before a precise instant the timer is set a little early, and the remaining time is spent
    /// polling.
    fn ready(&self, until: LocalInstant, precise: bool) -> u128 {
        let early = if precise { TIMER_SLACK } else { Duration::ZERO };
        let remaining = |early| until.saturating_sub(early).saturating_since(clock::now());
        let mut interests: [Option<Interest<'_>>; MAX_INTERESTS] = [None; MAX_INTERESTS];
        let mut count = 0;
        for interest in self.interests() {
            interests[count] = Some(interest);
            count += 1;
        }
        let Some(first) = interests[0] else {
            std::thread::sleep(remaining(early));
            while !remaining(Duration::ZERO).is_zero() {
                std::hint::spin_loop();
            }
            return 0;
        };
        let mut fds: [PollFd<'_>; MAX_INTERESTS] = std::array::from_fn(|position| {
            let (_, fd, flags) = interests[position].unwrap_or(first);
            PollFd::from_borrowed_fd(fd, flags)
        });
        loop {
            let sleep = remaining(early);
            let part = if sleep > MAX_SINGLE_SLEEP { sleep / SLEEP_DIVISOR } else { sleep };
            let timeout = Timespec::try_from(part).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
            // An interrupted wait is treated as a short one.
            let ready = poll(&mut fds[..count], Some(&timeout)).unwrap_or(0);
            if ready > 0 {
                return fds[..count].iter().zip(interests).fold(0, |bits, (fd, interest)| {
                    let bit = interest.map_or(0, |(bit, ..)| bit);
                    if fd.revents().is_empty() { bits } else { bits | bit }
                });
            }
            if remaining(Duration::ZERO).is_zero() {
                return 0;
            }
        }
    }

    /// The events to wait for.
    fn interests(&self) -> impl Iterator<Item = Interest<'_>> {
        let sockets = self.sockets.iter().enumerate().filter_map(|(index, socket)| {
            let socket = socket.as_ref()?;
            let flags = if socket.is_connecting() {
                PollFlags::OUT
            } else if self.sessions.is_waiting_to_write(ConnectionId::from_index(index)) {
                PollFlags::IN | PollFlags::OUT
            } else {
                PollFlags::IN
            };
            Some((bit(index), socket.as_fd(), flags))
        });
        let canceller =
            self.canceller.map(|canceller| (CANCELLED, canceller.as_fd(), PollFlags::IN));
        let lookups = self.lookups.as_fd().map(|fd| (RESOLVED, fd, PollFlags::IN));
        canceller.into_iter().chain(lookups).chain(sockets)
    }
}

/// A bit, and the event that sets it.
type Interest<'a> = (u128, BorrowedFd<'a>, PollFlags);

const fn bit(index: usize) -> u128 {
    1 << index
}

const RESOLVED: u128 = 1 << (MAX_SERVERS * MAX_CONNECTIONS);
const CANCELLED: u128 = RESOLVED << 1;
/// All connections, the resolver and the canceller.
const MAX_INTERESTS: usize = MAX_SERVERS * MAX_CONNECTIONS + 2;
/// The size of a read.
const READ_BUFFER_BYTES: usize = 8192;
/// A longer wait is divided into several, each a part of the remaining time. There are two reasons.
/// Linux may end `poll` late by a thousandth of the timeout, or with positive niceness by a two
/// hundredth (`select_estimate_accuracy` in fs/select.c). After the process was stopped (SIGSTOP, a
/// debugger, a frozen cgroup), `poll` ends late by the duration of the stop.
const MAX_SINGLE_SLEEP: Duration = Duration::from_millis(2);
/// The divisor of the remaining time: a process that was stopped for up to three quarters of the
/// time is still not late.
const SLEEP_DIVISOR: u32 = 4;
