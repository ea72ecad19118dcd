//! The driver for many servers in one thread: moves bytes between sockets and sessions, and waits.
//! It makes no decisions.
//!
//! All sockets report to one queue of the system (epoll, kqueue), only at changes. So each socket
//! is read until nothing is left. The reports of one wait are given to all sessions before any of
//! them is polled: a poll can close a socket and open another one with the same number, and a
//! report about the first must not count for the second.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::clock;
use super::resolve::{PendingLookups, Resolver};
use super::socket::{Socket, SocketOptions};
use crate::client::log_event;
use crate::config::Config;
use crate::error::Error;
use crate::many::admission::{Admission, Pace};
use crate::many::agenda::Agenda;
use crate::measurement::Measurement;
use crate::session::{Action, ConnectionId, MAX_CONNECTIONS, Session, Target};

mod timer;

use self::timer::Timer;

/// The sessions that run, and a socket for each of their connections.
#[derive(Debug)]
pub(crate) struct ManyDriver<'a> {
    targets: &'a [Arc<Target>],
    config: &'a Config,
    options: &'a SocketOptions,
    resolver: &'a Resolver,
    admission: Admission,
    agenda: Agenda,
    running: Vec<Option<Running>>,
    free: Vec<usize>,
    sockets: Vec<Option<Socket>>,
    /// Sockets from which more can be read.
    unread: Vec<ConnectionId>,
    poll: Poll,
    timer: Timer,
    lookups: PendingLookups,
    /// The number of sessions that wait for a look-up.
    resolving: usize,
    space: Box<[u8]>,
}

/// A session, and the number of its server among the targets.
#[derive(Debug)]
struct Running {
    target: usize,
    session: Session,
    is_resolving: bool,
}

type Done<'d> = &'d mut dyn FnMut(usize, Result<Measurement, Error>);

impl<'a> ManyDriver<'a> {
    pub(crate) fn new(
        targets: &'a [Arc<Target>],
        config: &'a Config,
        options: &'a SocketOptions,
        resolver: &'a Resolver,
        pace: Pace,
    ) -> io::Result<Self> {
        let admission = Admission::new(targets.len(), pace, clock::now());
        let slots = admission.slots();
        let poll = Poll::new()?;
        Ok(Self {
            targets,
            config,
            options,
            resolver,
            agenda: Agenda::new(slots),
            running: (0..slots).map(|_| None).collect(),
            free: (0..slots).rev().collect(),
            sockets: (0..slots * MAX_CONNECTIONS).map(|_| None).collect(),
            unread: Vec::new(),
            timer: Timer::new(&poll, TIMER)?,
            poll,
            lookups: PendingLookups::default(),
            resolving: 0,
            space: vec![0; READ_BUFFER_BYTES].into(),
            admission,
        })
    }

    /// Measures all servers. Calls `done` with the result of each.
    pub(crate) fn run(mut self, done: Done<'_>) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut reported = Vec::with_capacity(EVENTS);
        while !self.admission.is_done() {
            self.start_sessions();
            // Requests that are due and responses that have arrived take turns.
            for _ in 0..EVENTS {
                let Some(slot) = self.agenda.take_due(clock::now()) else { break };
                self.step(slot, done);
            }
            self.wait(&mut events)?;
            for conn in std::mem::take(&mut self.unread) {
                self.receive(conn, true);
                reported.push(conn.server());
            }
            for event in &events {
                match event.token() {
                    TIMER => {}
                    LOOKUPS => self.resolved(&mut reported),
                    Token(index) => {
                        let conn = ConnectionId::from_index(index);
                        // An error may be the kernel's report about a write.
                        let may_be_closed = event.is_read_closed();
                        self.socket_ready(conn, may_be_closed);
                        reported.push(conn.server());
                    }
                }
            }
            for slot in reported.drain(..) {
                self.step(slot, done);
            }
        }
        Ok(())
    }

    fn start_sessions(&mut self) {
        let mut left = LOOKUPS_AT_ONCE.saturating_sub(self.resolving);
        loop {
            let needs_lookup = |target: usize| self.targets[target].literal_address().is_none();
            let target =
                self.admission.start(clock::now(), |target| left > 0 || !needs_lookup(target));
            let Some(target) = target else { return };
            // There are as many slots as servers that can run at once.
            let Some(slot) = self.free.pop() else { return };
            left -= usize::from(needs_lookup(target));
            let begin = clock::cross_timestamp();
            let session = Session::new(Arc::clone(&self.targets[target]), self.config, begin);
            let session = session.numbered(slot);
            self.running[slot] = Some(Running { target, session, is_resolving: false });
            self.agenda.set(slot, clock::now());
        }
    }

    /// Does what a session wants until it waits or ends.
    fn step(&mut self, slot: usize, done: Done<'_>) {
        while let Some(running) = &mut self.running[slot] {
            let action = running.session.poll(clock::now());
            while let Some(event) = running.session.next_event() {
                log_event(running.target, &event);
            }
            match action {
                Action::Resolve { .. } => self.resolve(slot),
                Action::Open { conn, address } => match self.connect(conn, address) {
                    Ok(socket) => self.sockets[conn.index()] = Some(socket),
                    Err(error) => self.fail(conn, error),
                },
                Action::Transmit { conn } => self.transmit(conn),
                Action::Close { conn } => self.sockets[conn.index()] = None,
                Action::Wait { until, .. } => {
                    self.agenda.set(slot, until);
                    return;
                }
                Action::Done => self.end(slot, done),
            }
        }
    }

    fn end(&mut self, slot: usize, done: Done<'_>) {
        let Some(running) = self.running[slot].take() else { return };
        self.resolving -= usize::from(running.is_resolving);
        done(running.target, running.session.finish(clock::cross_timestamp()));
        self.agenda.clear(slot);
        self.free.push(slot);
        self.admission.ended();
    }

    fn resolve(&mut self, slot: usize) {
        let Some(running) = &mut self.running[slot] else { return };
        let hop = self.targets[running.target].hop();
        let is_first = self.lookups.as_fd().is_none();
        let mut started = self.lookups.start(running.target, hop.host(), hop.port(), self.resolver);
        if let (true, Some(fd)) = (is_first, self.lookups.as_fd()) {
            let fd = fd.as_raw_fd();
            let registry = self.poll.registry();
            started = started
                .and_then(|()| registry.register(&mut SourceFd(&fd), LOOKUPS, Interest::READABLE));
        }
        match started {
            Ok(()) => {
                running.is_resolving = true;
                self.resolving += 1;
            }
            Err(error) => running.session.resolved(Err(error), clock::now()),
        }
    }

    fn resolved(&mut self, reported: &mut Vec<usize>) {
        self.lookups.clear_readiness();
        while let Some(answer) = self.lookups.take() {
            // Its session may have ended at the timeout, and another one may have the slot.
            let is_its =
                |it: &Option<Running>| it.as_ref().is_some_and(|it| it.target == answer.server);
            let Some(slot) = self.running.iter().position(is_its) else { continue };
            if let Some(running) = &mut self.running[slot] {
                running.is_resolving = false;
                self.resolving -= 1;
                running.session.resolved(answer.addresses, clock::now());
                reported.push(slot);
            }
        }
    }

    fn connect(&self, conn: ConnectionId, address: std::net::SocketAddr) -> io::Result<Socket> {
        let socket = Socket::connect(address, self.options)?;
        let fd = socket.as_fd().as_raw_fd();
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut SourceFd(&fd), Token(conn.index()), both)?;
        Ok(socket)
    }

    fn transmit(&mut self, conn: ConnectionId) {
        // Received data is reported first; then the session decides again.
        if self.receive(conn, true) {
            return;
        }
        let Some(running) = &mut self.running[conn.server()] else { return };
        let Some(socket) = &mut self.sockets[conn.index()] else { return };
        let at = clock::now();
        match socket.write(running.session.output(conn)) {
            Ok(count) => running.session.sent(conn, count, at),
            Err(error) => self.fail(conn, error),
        }
    }

    /// Reads until nothing is left, or a few times: one server must not keep the others waiting. A
    /// short read leaves nothing but the end of the stream, if that has been reported. Returns
    /// whether there was anything to report.
    fn receive(&mut self, conn: ConnectionId, may_be_closed: bool) -> bool {
        for count in 0..MAX_READS {
            let Some(running) = &mut self.running[conn.server()] else { return count > 0 };
            let Some(socket) = &mut self.sockets[conn.index()] else { return count > 0 };
            match socket.read(&mut self.space) {
                Ok(None) => return count > 0,
                Ok(Some(0)) => {
                    self.sockets[conn.index()] = None;
                    running.session.closed(conn, clock::now());
                    return true;
                }
                Ok(Some(bytes)) => {
                    let arrival = socket.arrival();
                    running.session.received(conn, &self.space[..bytes], arrival);
                    if bytes < READ_BUFFER_BYTES && !may_be_closed {
                        return true;
                    }
                }
                Err(error) => {
                    self.fail(conn, error);
                    return true;
                }
            }
        }
        self.unread.push(conn);
        true
    }

    fn fail(&mut self, conn: ConnectionId, error: io::Error) {
        self.sockets[conn.index()] = None;
        if let Some(running) = &mut self.running[conn.server()] {
            running.session.failed(conn, error, clock::now());
        }
    }

    /// Handles a report about a socket.
    fn socket_ready(&mut self, conn: ConnectionId, may_be_closed: bool) {
        let Some(running) = &mut self.running[conn.server()] else { return };
        let Some(socket) = &mut self.sockets[conn.index()] else { return };
        if !socket.is_connecting() {
            running.session.writable(conn);
            self.receive(conn, may_be_closed);
            return;
        }
        match socket.connected(self.options) {
            Ok(()) => running.session.opened(conn, clock::now()),
            Err(error) => self.fail(conn, error),
        }
    }

    /// Waits until a socket is ready, a name has its addresses, a session wants to be polled or the
    /// next one can be started.
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let until = self.agenda.next().into_iter().chain(self.admission.next_at()).min();
        let now = clock::now();
        let until = match until {
            Some(until) if self.unread.is_empty() => until,
            None if self.unread.is_empty() => now.saturating_add(LONGEST_WAIT),
            _ => now,
        };
        let timeout = self.timer.timeout(until, now)?;
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }
}

const TIMER: Token = Token(usize::MAX);
const LOOKUPS: Token = Token(usize::MAX - 1);
/// The maximum number of reports of one wait.
const EVENTS: usize = 64;
/// The maximum number of reads from one socket before the others have their turn.
const MAX_READS: usize = 16;
/// The size of a read.
const READ_BUFFER_BYTES: usize = 8192;
/// The maximum number of names that are looked up at once, each in a thread of its own. It is less
/// than the limit of [`Resolver`].
const LOOKUPS_AT_ONCE: usize = 16;
/// A wait ends after this time in any case.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
