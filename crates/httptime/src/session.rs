//! The connections and requests to one server, as a state machine without I/O.
//!
//! A driver owns sockets, timers and clocks. It calls [`poll`](Session::poll), performs the
//! [`Action`] that it returns, and reports what happens. The session makes every decision: when to
//! connect and to which address, when to send, how long to wait, what to retry and after which
//! pause, what a proxy's response means, when to stop.
//!
//! ```text
//! poll(now) -> Resolve | Open { conn, address } | Transmit { conn } | Close { conn }
//!              | Wait { until, .. } | Done
//!
//! resolved(addresses, now)   opened(conn, now)   sent(conn, count, at)   writable(conn)
//! received(conn, bytes, arrival)   closed(conn, now)   failed(conn, error, now)
//! finish(cross_timestamp)
//! ```
//!
//! # Rules for a driver
//!
//! 1. Call `poll` again and again until it returns `Wait` or `Done`. Perform each action that it
//!    returns.
//! 2. `Open`: start to connect without blocking. Report `opened` or `failed`. Also report `failed`
//!    if connecting fails at once.
//! 3. `Transmit`: first read the data that has arrived on that connection, report it, and call
//!    `poll` again. If `poll` still returns `Transmit`, read the clock, write
//!    [`output`](Session::output) once, and report `sent` with the number of bytes and the time
//!    *before* the write. If the write would block, report `sent` with 0 bytes. If bytes remain,
//!    report `writable` when the socket is writable again. `poll` returns the same `Transmit` until
//!    `sent` is reported.
//! 4. Read data whenever it arrives. Read the clock *after* each read, and report `received`. At
//!    the end of the stream close the socket and report `closed`. After an error close the socket
//!    and report `failed`.
//! 5. `Wait`: wait until a socket is ready or until the instant `until`. If the wait is `precise`,
//!    a request leaves at that instant, and an ordinary timer would be late. In this case set the
//!    timer 1 to 2 ms early. For the remaining time, check the sockets and the clock in a loop.
//!
//! The session ignores reports about a connection that it has closed. But it can open the
//! connection again, and the new socket has the same [`ConnectionId`]: a late report about the old
//! socket would then count for the new one. So a driver whose reports are delayed (by other threads
//! or a queue) must drop the reports of sockets that it has closed, and must empty the queue before
//! it transmits. [`survey`](crate::survey) has the same interface for several sessions.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

mod backoff;
mod connection;
mod event;
mod layer;
mod security;
mod socks;
mod target;
mod times;

pub use self::event::Event;
pub use self::layer::{Layer, Plain};
pub use self::security::{PeerSecurity, Security};
pub use self::target::Target;
pub use self::times::{Arrival, KernelTimestamps};

use self::backoff::Backoff;
use self::connection::{Connection, Opening, Outcome, ReceiveOutcome};
use self::event::Events;
use self::security::PeerSecurities;
use self::times::Times;
use crate::agreement::Responder;
use crate::checks::CheckConnection;
use crate::config::Config;
use crate::error::{Error, Phase};
use crate::estimate::Estimate;
use crate::family::Family;
use crate::http::ResponseHead;
use crate::measure::{Measure, Next};
use crate::measurement::Measurement;
use crate::method::Method;
use crate::observation::{Exchange, Observation};
use crate::progress::Progress;
use crate::suspicion::Suspicion;
use crate::time::{CrossTimestamp, LocalInstant};
use crate::timestamping::Timestamping;

/// A connection of a session. The driver has one socket for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    server: u16,
    slot: u16,
}

impl ConnectionId {
    /// The index of the server in the list of targets of a [`survey`](crate::survey). 0 if there is
    /// only one session.
    #[must_use]
    pub const fn server(self) -> usize {
        self.server as usize
    }

    /// The index of the connection among those of all servers. Each connection has a different
    /// index. All are below [`MAX_CONNECTIONS`] times the number of servers.
    #[must_use]
    pub const fn index(self) -> usize {
        self.server as usize * MAX_CONNECTIONS + self.slot as usize
    }

    /// The connection with this [`index`](Self::index).
    #[must_use]
    pub fn from_index(index: usize) -> Self {
        let small = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
        Self { server: small(index / MAX_CONNECTIONS), slot: small(index % MAX_CONNECTIONS) }
    }
}

/// What the driver must do next.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Resolve the host to connect to (the [hop](Target::hop): the proxy, or the server if there is
    /// no proxy). Report [`resolved`](Session::resolved).
    Resolve {
        /// The server.
        server: usize,
    },
    /// Start to open a TCP connection.
    Open {
        /// The connection.
        conn: ConnectionId,
        /// The address to connect to.
        address: SocketAddr,
    },
    /// Write [`output`](Session::output) now.
    Transmit {
        /// The connection.
        conn: ConnectionId,
    },
    /// Close the socket of this connection.
    Close {
        /// The connection.
        conn: ConnectionId,
    },
    /// Wait until a socket is ready or until this instant.
    Wait {
        /// The instant.
        until: LocalInstant,
        /// Whether a request leaves at that instant. If so, the wait must end within some
        /// microseconds of it.
        precise: bool,
    },
    /// There is nothing more to do: call [`finish`](Session::finish).
    Done,
}

/// The session with one server.
///
/// In this example, a driver without sockets reports one request and its response:
///
/// ```
/// use std::time::Duration;
///
/// use httptime::session::{Action, Session, Target};
/// use httptime::{CrossTimestamp, Config, LocalInstant, Timestamp, Url};
///
/// # fn main() -> Result<(), httptime::Error> {
/// let wall = Timestamp::from_unix_nanos(1_795_771_800_500_000_000);
/// let mut now = LocalInstant::from_nanos(0);
/// let begin = CrossTimestamp::new(now, wall, Duration::ZERO);
/// let target = Target::new(Url::parse("http://192.0.2.1/")?)?;
/// let mut session = Session::new(target, &Config::default(), begin);
///
/// let Action::Open { conn, address } = session.poll(now) else {
///     panic!("an address needs no resolver")
/// };
/// assert_eq!(address.to_string(), "192.0.2.1:80");
/// session.opened(conn, now);
/// assert_eq!(session.poll(now), Action::Transmit { conn });
/// session.sent(conn, session.output(conn).len(), now);
/// now = now.saturating_add(Duration::from_millis(3));
/// session.received(conn, b"HTTP/1.1 204 No Content\r
/// Date: Fri, 27 Nov 2026 09:30:38 GMT\r
/// \r
/// ", now);
/// assert_eq!(session.progress().observations(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Session {
    server: u16,
    target: Arc<Target>,
    config: Config,
    security: PeerSecurities,
    measure: Measure,
    /// The method of the next request.
    method: Method,
    /// The status of the last response that was used.
    http_status: Option<u16>,
    /// Why that response may not be the server's.
    suspicion: Option<Suspicion>,
    state: State,
    addresses: Vec<SocketAddr>,
    /// The index of the address that worked last.
    address: usize,
    connections: Vec<Connection>,
    /// The time at which the next request must leave: it is due then.
    due: Option<LocalInstant>,
    backoff: Backoff,
    /// The largest number of requests that were in flight at once.
    max_in_flight: usize,
    /// The time that the last opening of a connection took.
    opening_time: Option<Duration>,
    /// Whether the server keeps connections open, according to its latest response and to
    /// `silent_closes`.
    keeps_connections: bool,
    /// The number of connections that the server closed after a response without announcing it
    /// (with `Connection: close`).
    silent_closes: u32,
    check_connections: CheckConnections,
    /// When the latest connection began to open.
    latest_opening: LocalInstant,
    events: Events,
}

/// The separate connections for [checks](crate::checks).
#[derive(Debug, Clone, Copy, Default)]
struct CheckConnections {
    /// Whether the session has already tried to open one for the request that is due next.
    was_tried: bool,
    /// Whether checks no longer get a separate connection, because a check on one was not answered:
    /// the server may serve only one connection at a time.
    is_given_up: bool,
    /// The connection of the latest check.
    last: Option<usize>,
    /// The number of connections opened for checks. Each goes to the next address of the name.
    opened: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Resolving { asked: bool, deadline: Option<LocalInstant> },
    Running { begun: LocalInstant, deadline: LocalInstant },
    Ended(Result<(), Error>),
}

impl Session {
    /// A session with the server of `target`. `begin`: a reading of the two local clocks (monotonic
    /// and wall clock) at the start.
    ///
    /// If the server or proxy has an `https` URL and the target has no
    /// [security](Target::with_security), the session is done at once with [`Error::NoHttps`].
    #[must_use]
    pub fn new(target: impl Into<Arc<Target>>, config: &Config, begin: CrossTimestamp) -> Self {
        let target = target.into();
        let connections = vec![Connection::new(config.shared_stamp_header())];
        let security = PeerSecurities::new(&target, begin);
        let error = security.as_ref().err().cloned();
        let mut session = Self {
            server: 0,
            config: config.clone(),
            measure: Measure::new(config, begin),
            method: target.method().initial(),
            http_status: None,
            suspicion: None,
            state: State::Resolving { asked: false, deadline: None },
            addresses: Vec::new(),
            target,
            security: security.unwrap_or_else(|_| PeerSecurities::none(begin)),
            address: 0,
            connections,
            due: None,
            backoff: Backoff::default(),
            max_in_flight: 0,
            opening_time: None,
            keeps_connections: true,
            silent_closes: 0,
            check_connections: CheckConnections::default(),
            latest_opening: LocalInstant::from_nanos(i64::MIN),
            events: Events::new(),
        };
        if let Some(error) = error {
            session.end(Err(error));
        }
        session
    }

    /// The same session, as that of the server with the index `server` in a survey.
    pub(crate) fn numbered(mut self, server: usize) -> Self {
        self.server = u16::try_from(server).unwrap_or(u16::MAX);
        self
    }

    /// The server and how to reach it.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The requests so far, and the evidence: what their responses prove about the offset.
    #[must_use]
    pub const fn progress(&self) -> &Progress {
        self.measure.progress()
    }

    /// The estimate so far.
    #[must_use]
    pub fn estimate(&self) -> Option<Estimate> {
        self.measure.estimate()
    }

    /// Whether there is nothing more to do.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }

    /// Removes the oldest event from the queue and returns it. `None` if the queue is empty.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// Decides what to do next.
    pub fn poll(&mut self, now: LocalInstant) -> Action {
        self.check_timeouts(now);
        // A few steps are enough: each one ends the session, adds a request, or opens one of a few
        // connections.
        for _ in 0..MAX_STEPS {
            if let Some(action) = self.step(now) {
                return action;
            }
        }
        Action::Wait { until: now, precise: false }
    }

    /// Makes one decision. `None`: there is no action for the driver yet, so another step must
    /// follow.
    fn step(&mut self, now: LocalInstant) -> Option<Action> {
        if let Some(slot) = self.connections.iter_mut().position(Connection::take_close_request) {
            return Some(Action::Close { conn: self.id(slot) });
        }
        let deadline = match &mut self.state {
            State::Ended(_) => return Some(Action::Done),
            State::Resolving { asked: false, .. } if self.target.literal_address().is_some() => {
                let address = self.target.literal_address().into_iter().collect();
                self.resolved(Ok(address), now);
                return None;
            }
            State::Resolving { asked, deadline } => {
                let until =
                    *deadline.get_or_insert(now.saturating_add(self.config.limits().timeout()));
                return Some(if std::mem::replace(asked, true) {
                    Action::Wait { until, precise: false }
                } else {
                    Action::Resolve { server: self.server.into() }
                });
            }
            State::Running { deadline, .. } => *deadline,
        };
        if let Some(slot) = self.connections.iter().position(Connection::is_pending) {
            // No two connections have the same time.
            let next = self.latest_opening.saturating_add(Duration::from_nanos(1));
            let began = now.max(next);
            self.latest_opening = began;
            let address = self.connections[slot].connect(&self.addresses, began, now);
            return Some(Action::Open { conn: self.id(slot), address });
        }
        if let Some(slot) = self.connections.iter().position(Connection::has_output) {
            return Some(Action::Transmit { conn: self.id(slot) });
        }
        if self.connections.iter().any(Connection::has_request) {
            // A request waits because its socket accepts no bytes. It has no send time yet, so the
            // next request cannot be planned.
            return Some(self.wait(None, deadline));
        }
        let due = match self.due {
            Some(due) => due,
            None => match self.plan(now) {
                Next::SendAt(at) => *self.due.insert(at),
                Next::AwaitReply => return Some(self.wait(None, deadline)),
                Next::Done => {
                    self.end(Ok(()));
                    return None;
                }
            },
        };
        if self.is_after_deadline(due, deadline) {
            if self.progress().in_flight() > 0 {
                return Some(self.wait(None, deadline));
            }
            self.end(Ok(()));
            return None;
        }
        let ready = self.ready_slot();
        if let Some(slot) = ready.filter(|_| now >= due) {
            self.request(slot, due, now);
            return None;
        }
        let mut planned = ready.map(|_| (due, true));
        if self.should_open_for_check() {
            let open_at = self.backoff.earliest(due.saturating_sub(self.lead()));
            if now >= open_at {
                self.open_for_check(now);
                return None;
            }
            planned = planned.filter(|_| due < open_at).or(Some((open_at, false)));
        }
        if self.has_enough_open() {
            return Some(self.wait(planned, deadline));
        }
        let open_at = self.backoff.earliest(due.saturating_sub(self.lead()));
        if now < open_at {
            let opening = (open_at, false);
            return Some(self.wait(planned.filter(|_| due < open_at).or(Some(opening)), deadline));
        }
        let Some(slot) = self.free_slot() else { return Some(self.wait(planned, deadline)) };
        self.open(slot, now);
        None
    }

    /// Plans the next request.
    fn plan(&mut self, now: LocalInstant) -> Next {
        self.report_used();
        self.measure.next(self.earliest_send(now))
    }

    /// Whether the response to a request that is due at this time would arrive after the deadline
    /// of the session.
    fn is_after_deadline(&self, due: LocalInstant, deadline: LocalInstant) -> bool {
        let usual = self.progress().round_trip_median();
        usual.is_some_and(|usual| due.saturating_add(usual) >= deadline)
    }

    /// Adds the due request to the output of a ready connection. If it would leave too late, it is
    /// rescheduled.
    fn request(&mut self, slot: usize, due: LocalInstant, now: LocalInstant) {
        self.due = None;
        self.check_connections.was_tried = false;
        if self.measure.is_missed(due, now) {
            self.events.push(Event::Rescheduled { late: now.saturating_since(due) });
            return;
        }
        if self.measure.check_connection().is_some() {
            self.check_connections.last = Some(slot);
        }
        if let Err(error) = self.connections[slot].request(&self.target, self.method, now) {
            self.connections[slot].close();
            self.handle_loss(false, error, now);
        }
    }

    /// Makes the driver open a connection. The first address tried is the one that worked last.
    fn open(&mut self, slot: usize, now: LocalInstant) {
        let deadline = now.saturating_add(self.config.limits().timeout());
        let connection = &mut self.connections[slot];
        connection.take_failure();
        let index = self.address;
        connection.begin(Opening { begun: now, deadline, attempt: now, index, tried: 1 });
    }

    /// The connection for the due request, if one is ready. A check before a flip uses the
    /// connection that was opened for it, else an untested one; the check after it uses the same.
    fn ready_slot(&self) -> Option<usize> {
        let suited = match self.measure.check_connection() {
            Some(CheckConnection::Fresh) => {
                let is_suited = |it: &Connection| it.is_for_checks() && it.is_fresh();
                let fresh = self.connections.iter().position(is_suited);
                fresh.or_else(|| self.untested_slot())
            }
            Some(CheckConnection::Spare) => {
                self.check_connections.last.filter(|slot| self.connections[*slot].is_ready())
            }
            Some(CheckConnection::Shared) => self.untested_slot(),
            None => None,
        };
        suited.or_else(|| {
            let ready = self.connections.iter().enumerate().filter(|(_, it)| it.is_ready_for_any());
            // If the server closes each connection after a response, use the oldest: a server that
            // serves one connection at a time reads only from the one that it accepted first.
            let since = |it: &Connection| (!self.keeps_connections).then(|| it.ready_at());
            ready.min_by_key(|(slot, it)| (since(it), *slot)).map(|(slot, _)| slot)
        })
    }

    /// Whether a connection must still be opened for a check.
    fn should_open_for_check(&self) -> bool {
        self.can_open_for_check()
            && !self.check_connections.was_tried
            && self.measure.check_connection() == Some(CheckConnection::Fresh)
            && self.untested_slot().is_none()
    }

    /// Tells the measurement which connections must pass checks.
    fn report_used(&mut self) {
        let Self { measure, connections, .. } = self;
        measure.set_used_connections(to_test(connections).map(|(_, it)| it.opening_began()));
    }

    /// The untested connection that the next check uses in place of a separate one. If the name has
    /// several addresses, the first such check goes to another address.
    fn untested_slot(&self) -> Option<usize> {
        if self.addresses.len() > 1
            && self.check_connections.opened == 0
            && self.can_open_for_check()
        {
            return None;
        }
        to_test(&self.connections)
            .find(|(_, it)| it.is_ready() && !self.measure.is_tested(it.opening_began()))
            .map(|(slot, _)| slot)
    }

    /// Whether checks get a separate connection. Not if the server closes each connection after a
    /// response: then every connection is new, and a check can use any of them.
    const fn can_open_for_check(&self) -> bool {
        self.keeps_connections && !self.check_connections.is_given_up
    }

    /// Makes the driver open a connection for a check, to the next address of the name. If another
    /// check has left an open connection, that one is closed.
    fn open_for_check(&mut self, now: LocalInstant) {
        self.check_connections.was_tried = true;
        let used = self.connections.iter().position(|it| it.is_for_checks() && it.is_ready());
        let slot = used.or_else(|| self.free_slot()).or_else(|| self.spare_idle_slot());
        let Some(slot) = slot else { return };
        self.check_connections.opened += 1;
        let deadline = now.saturating_add(self.config.limits().timeout());
        let index = self.address + self.check_connections.opened;
        let tried = self.addresses.len();
        let opening = Opening { begun: now, deadline, attempt: now, index, tried };
        self.connections[slot].begin_for_check(opening);
    }

    /// An idle connection that can be closed because another one is ready.
    fn spare_idle_slot(&self) -> Option<usize> {
        let idle = |(slot, it): (usize, &Connection)| it.is_ready().then_some(slot);
        self.connections.iter().enumerate().filter_map(idle).nth(1)
    }

    fn has_enough_open(&self) -> bool {
        let is_usable =
            |it: &&Connection| !it.is_for_checks() && (it.is_ready() || it.is_opening());
        self.connections.iter().filter(is_usable).count() >= self.wanted_connections()
    }

    /// A closed connection.
    fn free_slot(&mut self) -> Option<usize> {
        let closed = self.connections.iter().position(Connection::is_closed);
        if closed.is_none() && self.connections.len() < MAX_CONNECTIONS {
            let stamp_header = self.config.shared_stamp_header();
            self.connections.push(Connection::new(stamp_header));
            return Some(self.connections.len() - 1);
        }
        closed
    }

    /// The number of connections that should be open when a request is due. If the server keeps
    /// connections open, one is enough. If it closes each connection after a response: the largest
    /// number of requests that were in flight at once, plus one. With fewer connections, requests
    /// at short intervals would wait until one is open.
    fn wanted_connections(&self) -> usize {
        if self.keeps_connections { 1 } else { (self.max_in_flight + 1).min(MAX_CONNECTIONS) }
    }

    /// A connection starts to open this long before its request is due.
    fn lead(&self) -> Duration {
        self.opening_time.map_or(FIRST_LEAD, |took| took * 3 + LEAD_MARGIN)
    }

    /// The earliest time at which a request can leave: now if a connection is ready, otherwise the
    /// estimated time at which one will be open. Never before the pause after a failure is over.
    fn earliest_send(&self, now: LocalInstant) -> LocalInstant {
        let held = self.backoff.earliest(now);
        if self.connections.iter().any(Connection::is_ready) {
            return held;
        }
        let took = self.opening_time.map_or(Duration::ZERO, |took| took * 3 / 2);
        let usable = self.connections.iter().filter(|it| !it.is_for_checks());
        let opening = usable.filter_map(Connection::opening_since).min();
        let can_open = self.connections.len() < MAX_CONNECTIONS
            || self.connections.iter().any(Connection::is_closed);
        match opening {
            Some(since) => held.max(since.saturating_add(took)),
            None if can_open => held.saturating_add(took),
            None => held,
        }
    }

    fn wait(&self, planned: Option<(LocalInstant, bool)>, deadline: LocalInstant) -> Action {
        let deadlines = self.connections.iter().filter_map(|it| it.deadline(self.timeout(it)));
        let until = deadlines.chain(planned.map(|(at, _)| at)).fold(deadline, LocalInstant::min);
        let precise = planned
            .is_some_and(|(at, precise)| precise && at.saturating_since(until) < PRECISE_WITHIN);
        Action::Wait { until, precise }
    }

    /// The timeout for a response. It is shorter on a connection for checks, so that a lost check
    /// does not delay the end of the session.
    fn timeout(&self, connection: &Connection) -> Duration {
        let timeout = self.config.limits().timeout();
        if !connection.is_for_checks() {
            return timeout;
        }
        let usual = self.progress().round_trip_median().unwrap_or_default();
        timeout.min(CHECK_TIMEOUT.max(usual * 4))
    }

    /// Ends the session if its deadline has passed, and each connection whose deadline has passed.
    fn check_timeouts(&mut self, now: LocalInstant) {
        match self.state {
            State::Resolving { deadline: Some(deadline), .. } if now >= deadline => {
                let after = self.config.limits().timeout();
                self.end(Err(Error::Timeout { phase: Phase::Resolve, after }));
            }
            State::Running { begun, deadline } if now >= deadline => {
                self.expire(now.saturating_since(begun), now);
            }
            _ => {}
        }
        for slot in 0..self.connections.len() {
            let is_late = |at: LocalInstant| now >= at;
            let connection = &self.connections[slot];
            if connection.deadline(self.timeout(connection)).is_some_and(is_late) {
                let outcome = self.connections[slot].expired(now);
                self.handle_outcome(slot, outcome, now);
            }
        }
    }

    /// The deadline of the session has passed: ends the session with the responses so far.
    fn expire(&mut self, after: Duration, now: LocalInstant) {
        let waiting = self.connections.iter().max_by_key(|it| (it.is_busy(), it.phase().is_some()));
        let phase = waiting.and_then(|it| Some((it.phase()?, it.is_busy())));
        // Report a timeout if a request is in flight, or if no response has been used and a
        // connection is still opening. A server that has answered did not fail if only a new
        // connection is late.
        let has_success = self.has_success();
        if let Some((phase, is_busy)) = phase.filter(|(_, is_busy)| *is_busy || !has_success) {
            self.handle_loss(is_busy, Error::Timeout { phase, after }, now);
        }
        self.measure.expire();
        self.end(Ok(()));
    }

    fn run(&mut self, now: LocalInstant) {
        let limits = self.config.limits();
        let deadline = now.saturating_add(limits.duration() + limits.timeout());
        self.state = State::Running { begun: now, deadline };
    }

    /// Reports the addresses of the [hop](Target::hop) in the resolver's order, or the resolver's
    /// error.
    pub fn resolved(&mut self, addresses: io::Result<Vec<SocketAddr>>, now: LocalInstant) {
        if !matches!(self.state, State::Resolving { .. }) {
            return;
        }
        let host = self.target.hop().host();
        let fail = |source: io::Error| Error::Resolve { host: host.into(), source: source.into() };
        let family = self.config.family();
        let addresses = addresses.map_err(fail).and_then(|mut addresses| {
            addresses.retain(|address| is_in_family(family, *address));
            if addresses.is_empty() {
                return Err(fail(io::Error::new(io::ErrorKind::NotFound, no_address_text(family))));
            }
            Ok(addresses)
        });
        match addresses {
            Ok(addresses) => {
                self.events.push(Event::Resolved { addresses: addresses.len() });
                self.addresses = addresses;
                self.run(now);
            }
            Err(error) => self.end(Err(error)),
        }
    }

    /// Reports that the TCP connection is open.
    pub fn opened(&mut self, conn: ConnectionId, now: LocalInstant) {
        let Some(slot) = self.slot(conn) else { return };
        let outcome = self.connections[slot].opened(&self.target, &mut self.security, now);
        self.handle_outcome(slot, outcome, now);
    }

    /// The bytes to write to this connection.
    #[must_use]
    pub fn output(&self, conn: ConnectionId) -> &[u8] {
        self.slot(conn).map_or(&[], |slot| self.connections[slot].output())
    }

    /// Reports that `count` bytes of the [`output`](Self::output) were written. `at`: the time
    /// before the write.
    pub fn sent(&mut self, conn: ConnectionId, count: usize, at: LocalInstant) {
        let Some(slot) = self.slot(conn) else { return };
        let (is_request, outcome) = self.connections[slot].sent(count, at);
        if is_request {
            let busy = self.connections.iter().filter(|it| it.is_busy()).count();
            self.max_in_flight = self.max_in_flight.max(busy);
            self.measure.sent(at);
            self.events.push(Event::Sent { at });
        }
        self.handle_outcome(slot, outcome, at);
    }

    /// Whether the driver must report when this connection is [`writable`](Self::writable).
    #[must_use]
    pub fn is_waiting_to_write(&self, conn: ConnectionId) -> bool {
        self.slot(conn).is_some_and(|slot| self.connections[slot].is_waiting_to_write())
    }

    /// Reports that the connection is writable again.
    pub fn writable(&mut self, conn: ConnectionId) {
        if let Some(slot) = self.slot(conn) {
            self.connections[slot].writable();
        }
    }

    /// Reports bytes that were read from this connection. `arrival`: the time after the read.
    pub fn received(&mut self, conn: ConnectionId, bytes: &[u8], arrival: impl Into<Arrival>) {
        let (Some(slot), arrival) = (self.slot(conn), arrival.into()) else { return };
        let has_success = self.has_success();
        let opening_began = self.connections[slot].opening_began();
        let may_ignore_refusal = self.may_ignore_refusal();
        match self.connections[slot].received(bytes, has_success, arrival) {
            ReceiveOutcome::Answered { method, times, head, is_first, is_persistent } => {
                self.due = None;
                self.backoff.succeeded();
                self.keeps_connections = is_persistent && self.silent_closes < MAX_SILENT_CLOSES;
                let is_refused = self.config.timestamping() == Timestamping::Kernel
                    && !times.is_timed_by_kernel();
                if is_refused {
                    self.discard(arrival.at);
                } else {
                    let (connection, status) = ((opening_began, is_first), head.status());
                    if let Some(wait) = head.retry_after() {
                        self.backoff.asked(arrival.at.saturating_add(wait));
                    }
                    let suspicion = self.target.suspicion(status, head.content_type());
                    let expected = self.config.expect_status();
                    let absorbed = check_method(method, status, may_ignore_refusal)
                        .and_then(|()| self.target.check_answer(method, &head, expected))
                        .and_then(|()| {
                            absorb(&mut self.measure, &self.target, times, &head, connection)
                        });
                    match absorbed {
                        Ok(observation) => {
                            self.http_status = Some(status);
                            self.suspicion = suspicion;
                            self.events.push(Event::Answered { observation });
                        }
                        Err(error)
                            if error.may_depend_on_method() && self.is_fallback_due(method) =>
                        {
                            self.fall_back_to_get(error);
                        }
                        Err(error) => self.end(Err(error)),
                    }
                }
                if is_persistent && !self.keeps_connections {
                    self.connections[slot].close();
                }
                self.report_reopening();
            }
            ReceiveOutcome::Other(outcome) => self.handle_outcome(slot, outcome, arrival.at),
        }
    }

    /// Reports that the other end closed the connection. The driver has closed the socket.
    pub fn closed(&mut self, conn: ConnectionId, now: LocalInstant) {
        self.connection_gone(conn, None, now);
    }

    /// Reports that the connection could not be opened, or that it broke. The driver has closed the
    /// socket.
    pub fn failed(&mut self, conn: ConnectionId, error: io::Error, now: LocalInstant) {
        self.connection_gone(conn, Some(error), now);
    }

    fn connection_gone(&mut self, conn: ConnectionId, error: Option<io::Error>, now: LocalInstant) {
        let has_success = self.has_success();
        let Some(slot) = self.slot(conn) else { return };
        let outcome = self.connections[slot].closed(error, has_success, now);
        self.handle_outcome(slot, outcome, now);
    }

    fn handle_outcome(&mut self, slot: usize, outcome: Outcome, now: LocalInstant) {
        let is_for_checks = self.connections[slot].is_for_checks();
        match outcome {
            Outcome::Nothing => {}
            Outcome::Unusable(error) if is_refused_certificate(&error) && self.has_success() => {
                let retry_at = self.backoff.failed(now);
                self.events.push(Event::Lost { error: error.clone(), retry_at });
                self.measure.give_up(error);
                self.end(Ok(()));
            }
            Outcome::Opened { took, .. } if is_for_checks => {
                let address = self.connections[slot].address();
                self.events.push(Event::Opened { address, took });
            }
            // Not a failure: the check can use another connection.
            Outcome::NoConnection { .. } | Outcome::Unusable(_) | Outcome::Dropped { .. }
                if is_for_checks =>
            {
                self.events.push(Event::Dropped);
            }
            Outcome::Stale | Outcome::Lost(_) if is_for_checks => {
                self.check_connections.is_given_up |= matches!(outcome, Outcome::Lost(_));
                self.due = None;
                self.measure.check_lost();
                self.events.push(Event::Dropped);
            }
            Outcome::Opened { index, took } => {
                self.backoff.opened();
                self.address = index;
                self.opening_time = Some(took);
                self.report_reopening();
                let address = self.connections[slot].address();
                self.events.push(Event::Opened { address, took });
            }
            Outcome::NoConnection { opening, error } => {
                let connection = &mut self.connections[slot];
                connection.note_failure(error.clone());
                if opening.tried < self.addresses.len() && now < opening.deadline {
                    self.events.push(Event::NextAddress { error });
                    let (index, tried) = (opening.index + 1, opening.tried + 1);
                    connection.begin(Opening { index, tried, ..opening });
                } else if let Some(error) = connection.take_failure() {
                    self.handle_loss(false, error, now);
                }
            }
            Outcome::Unusable(error) => self.handle_loss(false, error, now),
            Outcome::Dropped { was_used } => {
                self.due = None;
                self.count_silent_closes(u32::from(was_used));
                self.events.push(Event::Dropped);
            }
            Outcome::Stale => {
                self.due = None;
                self.count_silent_closes(1);
                self.measure.unanswered();
                self.events.push(Event::Dropped);
            }
            Outcome::Unanswered { method, error } if self.is_fallback_due(method) => {
                self.fall_back_to_get(error);
            }
            Outcome::Unanswered { error, .. } | Outcome::Lost(error) => {
                self.handle_loss(true, error, now);
            }
        }
    }

    /// Whether `GET` must be tried because a request with this method failed, or is tried already.
    fn is_fallback_due(&self, method: Method) -> bool {
        let is_open = !self.has_success() || self.method == Method::Get;
        self.target.method() == Method::Auto && method == Method::Head && is_open
    }

    /// Whether a refusal of `HEAD` is not used although it has a `Date`. It is if no other request
    /// may be sent.
    fn may_ignore_refusal(&self) -> bool {
        let may_send = self.progress().requests() < self.config.limits().requests();
        self.is_fallback_due(Method::Head) && (may_send || self.method == Method::Get)
    }

    /// Uses `GET` from now on. If more requests with `HEAD` were in flight and fail too, their
    /// failures do not count.
    fn fall_back_to_get(&mut self, error: Error) {
        self.due = None;
        if self.method == Method::Get {
            self.measure.unanswered();
            return;
        }
        self.method = Method::Get;
        self.events.push(Event::Fallback { error: error.clone(), method: Method::Get });
        if let Err(error) = self.measure.discard(error) {
            self.end(Err(error));
        }
    }

    /// Counts connections that the server closed after a response without announcing it.
    fn count_silent_closes(&mut self, connections: u32) {
        self.silent_closes += connections;
        self.keeps_connections &= self.silent_closes < MAX_SILENT_CLOSES;
        self.report_reopening();
    }

    /// Tells the schedule how often requests can leave.
    fn report_reopening(&mut self) {
        match self.opening_time {
            Some(took) if !self.keeps_connections => {
                self.measure.progress_mut().set_reopening(took, SOCKETS);
            }
            _ => self.measure.progress_mut().clear_reopening(),
        }
    }

    /// Handles a lost request (`was_sent`), or a connection that could not be opened or used.
    fn handle_loss(&mut self, was_sent: bool, error: Error, now: LocalInstant) {
        self.due = None;
        let retry_at = self.backoff.failed(now);
        self.events.push(Event::Lost { error: error.clone(), retry_at });
        let lost =
            if was_sent { self.measure.lost(true, error) } else { self.measure.not_opened(error) };
        if let Err(error) = lost {
            self.end(Err(error));
        }
    }

    /// Discards a response that has no kernel timestamps, because the configuration requires them.
    /// The kernel starts to take timestamps a moment after the driver has requested them, so one
    /// such response does not yet end the session.
    fn discard(&mut self, now: LocalInstant) {
        let error = Error::NoKernelTimestamps;
        let retry_at = self.backoff.failed(now);
        self.events.push(Event::Lost { error: error.clone(), retry_at });
        if let Err(error) = self.measure.discard(error) {
            self.end(Err(error));
        }
    }

    /// Ends the session now. The result is computed from the evidence so far.
    pub fn stop(&mut self) {
        self.end(Ok(()));
    }

    /// Ends the session now without a result: [`Error::Cancelled`].
    pub fn cancel(&mut self) {
        self.end(Err(Error::Cancelled));
    }

    fn end(&mut self, result: Result<(), Error>) {
        if self.is_done() {
            return;
        }
        self.report_used();
        let error = result.clone().err().or_else(|| self.measure.missing_result());
        self.events.push(Event::Ended { error });
        self.state = State::Ended(result);
        self.connections.iter_mut().for_each(Connection::close);
    }

    /// Computes the result. If the session is not done, it is [stopped](Self::stop) first. `end`: a
    /// reading of the two local clocks at the end.
    ///
    /// # Errors
    /// The error with which the session failed, or an error of [`Measure::finish`]. [`Error::Tls`]
    /// if the measured time of the server is outside the validity of its certificate.
    pub fn finish(mut self, end: CrossTimestamp) -> Result<Measurement, Error> {
        self.stop();
        match self.state {
            State::Ended(Err(error)) => Err(self.measure.cause(error, end)),
            _ => {
                let method = Some(self.method);
                let measured = self.measure.finish(end)?;
                let http_status = self.http_status;
                let asked = self.backoff.asked_until().filter(|until| *until > end.instant());
                let retry_after = asked.map(|until| until.saturating_since(end.instant()));
                self.security.judge(Measurement { method, http_status, retry_after, ..measured })
            }
        }
    }

    /// Why the last response that was used may not be the server's.
    pub(crate) const fn suspicion(&self) -> Option<Suspicion> {
        self.suspicion
    }

    /// Who answers: the proxy, or the machine at the address that worked last.
    pub(crate) fn responder(&self) -> Responder {
        match self.target.proxy() {
            Some(proxy) => Responder::Proxy(proxy.authority_with_port()),
            None => self.addresses.get(self.address).map_or(Responder::Itself, |address| {
                Responder::Address(address.ip().to_canonical())
            }),
        }
    }

    /// Whether any response has been used.
    const fn has_success(&self) -> bool {
        self.progress().observations() > 0
    }

    /// The index of a connection of this session.
    fn slot(&self, conn: ConnectionId) -> Option<usize> {
        let slot = usize::from(conn.slot);
        (conn.server == self.server && slot < self.connections.len()).then_some(slot)
    }

    fn id(&self, slot: usize) -> ConnectionId {
        ConnectionId { server: self.server, slot: u16::try_from(slot).unwrap_or(u16::MAX) }
    }
}

/// The connections of the schedule that have carried requests, apart from the first one: they must
/// pass checks, because they may lead to another server behind the name.
fn to_test(connections: &[Connection]) -> impl Iterator<Item = (usize, &Connection)> {
    let all = connections.iter().enumerate();
    let others = all.filter(|(_, it)| !it.is_for_checks() && !it.is_closed()).skip(1);
    others.filter(|(_, it)| it.is_used())
}

/// Refuses a refusal of `HEAD`. Someone on the path may have made it, whose clock is another one.
const fn check_method(method: Method, status: u16, may_ignore_refusal: bool) -> Result<(), Error> {
    match (method, status) {
        (Method::Head, 405 | 501) if may_ignore_refusal => Err(Error::MethodRefused { status }),
        _ => Ok(()),
    }
}

/// Adds a response to the measurement. `connection`: when its connection began to open, and whether
/// this is the first response on it.
fn absorb(
    measure: &mut Measure,
    target: &Target,
    times: Times,
    head: &ResponseHead<'_>,
    (opening_began, is_first): (LocalInstant, bool),
) -> Result<Observation, Error> {
    let mut exchange = Exchange::from_head(times.sent, times.received, head)?
        .with_kernel_timestamps(times.departed, times.arrived)
        .on_connection_opened_at(opening_began);
    // A proxy that forwards requests has its own connections to the server, so a reused connection
    // to the proxy shows nothing about them.
    if !is_first && !target.is_forwarded() {
        exchange = exchange.on_reused_connection();
    }
    if !target.has_extension() {
        exchange = exchange.without_file_extension();
    }
    if target.is_answered_by_front() && !target.is_forwarded() {
        exchange = exchange.answered_by_front();
    }
    measure.absorb(&exchange)
}

/// Whether a later connection leads to someone else than the first: that is reported always.
const fn is_refused_certificate(error: &Error) -> bool {
    matches!(error, Error::Tls { fault, .. } if fault.is_refused_certificate())
}

const fn is_in_family(family: Family, address: SocketAddr) -> bool {
    match family {
        Family::Any => true,
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    }
}

const fn no_address_text(family: Family) -> &'static str {
    match family {
        Family::Any => "it has no address",
        Family::V4 => "it has no IPv4 address",
        Family::V6 => "it has no IPv6 address",
    }
}

/// The maximum number of connections to one server.
pub const MAX_CONNECTIONS: usize = 4;
/// The same number as [`MAX_CONNECTIONS`], in the type for a division.
const SOCKETS: u32 = 4;
/// The maximum number of [steps](Session::step) in one call of [`Session::poll`].
const MAX_STEPS: u32 = 64;
/// The minimum timeout for the response to a check on a separate connection.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection starts to open this long before its request is due, if it is not known how long
/// opening takes.
const FIRST_LEAD: Duration = Duration::from_secs(1);
/// If the opening time is known, a connection starts to open three times that plus this margin
/// before its request is due.
const LEAD_MARGIN: Duration = Duration::from_millis(20);
/// If the server has closed this number of connections after a response without announcing it, each
/// connection carries only one request from then on.
const MAX_SILENT_CLOSES: u32 = 2;
/// If a request leaves within this time of the end of a wait, the wait must be precise: an ordinary
/// timer could end too late for the request.
pub(crate) const PRECISE_WITHIN: Duration = Duration::from_millis(2);
