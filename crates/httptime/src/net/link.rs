use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use log::debug;
use rustix::event::PollFlags;
use socket2::{Domain, Protocol, Socket, Type};

use super::clock::Clock;
use super::wire::{Times, Wire};
use crate::error::{Error, Phase};
use crate::http::{REQUEST_TIMEOUT, ResponseHead, ResponseReader};
use crate::time::LocalInstant;

/// Where a link goes and what it says there. One for all links to a server.
#[derive(Debug)]
pub(crate) struct Route {
    /// Addresses of the server, or of the proxy in front of it; at least one.
    pub(crate) addresses: Vec<SocketAddr>,
    /// What to ask the proxy for first, if it is to open a tunnel.
    pub(crate) connect: Option<Vec<u8>>,
    /// The request for the date.
    pub(crate) request: Vec<u8>,
    /// The longest wait for a connection (all addresses and the tunnel together), and for a response.
    pub(crate) timeout: Duration,
    /// Whether a proxy forwards the requests, and so may answer in the server's place.
    pub(crate) forwarded: bool,
    /// Whether to ask the kernel when bytes leave and come.
    pub(crate) stamped: bool,
}

impl Route {
    /// Why a response is not the server's but the proxy's, whose clock nobody asked for.
    pub(crate) fn refusal(&self, status: u16) -> Option<Error> {
        match status {
            407 if self.forwarded => Some(Error::ProxyCredentials),
            502..=504 if self.forwarded => Some(Error::ProxyRefused { status }),
            _ => None,
        }
    }
}

/// One connection to a server, opened and closed as often as need be; at most one request is under way on it.
///
/// Nothing here blocks: the caller waits until [`interest`](Self::interest) is met or [`deadline`](Self::deadline) has
/// passed, and calls [`advance`](Self::advance).
#[derive(Debug)]
pub(crate) struct Link {
    state: State,
    reader: ResponseReader,
    /// The address to try first: the one that worked last.
    address: usize,
    /// How long it last took to open.
    opening_time: Option<Duration>,
}

#[derive(Debug)]
enum State {
    Closed,
    Connecting {
        socket: TcpStream,
        opening: Opening,
    },
    Tunnelling {
        stream: TcpStream,
        opening: Opening,
        written: usize,
    },
    /// Open and idle; `fresh` until the first response.
    Ready {
        wire: Wire,
        fresh: bool,
    },
    Busy {
        wire: Wire,
        sent: LocalInstant,
        written: usize,
    },
}

/// The opening of a connection: every address is tried in turn under one deadline.
#[derive(Debug, Clone, Copy)]
struct Opening {
    begun: LocalInstant,
    deadline: LocalInstant,
    /// When to give up on the present address.
    attempt: LocalInstant,
    tried: usize,
}

/// What came of a call to [`Link::advance`].
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// Nothing yet.
    Nothing,
    /// The connection is open.
    Opened,
    /// It could not be opened.
    NotOpened(Error),
    /// It was closed while no request was under way.
    Dropped,
    /// The head of a response.
    Answered { times: Times, head: ResponseHead<'a> },
    /// No response will come for the request under way.
    Lost(Error),
}

impl Link {
    pub(crate) fn new() -> Self {
        Self { state: State::Closed, reader: ResponseReader::new(), address: 0, opening_time: None }
    }

    pub(crate) const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    pub(crate) const fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready { .. })
    }

    pub(crate) const fn is_busy(&self) -> bool {
        matches!(self.state, State::Busy { .. })
    }

    /// What is waited for; `None` when nothing is.
    pub(crate) const fn phase(&self) -> Option<Phase> {
        match &self.state {
            State::Closed | State::Ready { .. } => None,
            State::Connecting { .. } => Some(Phase::Connect),
            State::Tunnelling { .. } => Some(Phase::Tunnel),
            State::Busy { written: usize::MAX, .. } => Some(Phase::Response),
            State::Busy { .. } => Some(Phase::Send),
        }
    }

    pub(crate) const fn opening_time(&self) -> Option<Duration> {
        self.opening_time
    }

    /// What to wait for.
    pub(crate) fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match &self.state {
            State::Closed => None,
            State::Connecting { socket, .. } => Some((socket.as_fd(), PollFlags::OUT)),
            State::Tunnelling { stream, written: 0, .. } => Some((stream.as_fd(), PollFlags::OUT)),
            State::Tunnelling { stream, .. } => Some((stream.as_fd(), PollFlags::IN)),
            State::Ready { wire, .. } => Some((wire.as_fd(), PollFlags::IN)),
            // A request that did not fit into the send buffer at once is rare; asking for both costs nothing else.
            State::Busy { wire, written, .. } => Some((
                wire.as_fd(),
                if *written == usize::MAX { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT },
            )),
        }
    }

    /// When to call [`advance`](Self::advance) whether or not anything happened.
    pub(crate) fn deadline(&self, route: &Route) -> Option<LocalInstant> {
        match &self.state {
            State::Closed | State::Ready { .. } => None,
            State::Connecting { opening, .. } => Some(opening.attempt),
            State::Tunnelling { opening, .. } => Some(opening.deadline),
            State::Busy { sent, .. } => Some(sent.saturating_add(route.timeout)),
        }
    }

    /// Begins to open the connection.
    pub(crate) fn open(&mut self, route: &Route, now: LocalInstant) -> Event<'static> {
        let deadline = now.saturating_add(route.timeout);
        self.try_address(route, Opening { begun: now, deadline, attempt: now, tried: 0 }, now, None)
    }

    /// Tries the present address, and the ones after it for as long as they fail at once.
    fn try_address(
        &mut self,
        route: &Route,
        mut opening: Opening,
        now: LocalInstant,
        mut failure: Option<Error>,
    ) -> Event<'static> {
        self.state = State::Closed;
        let count = route.addresses.len();
        while opening.tried < count && now < opening.deadline {
            if opening.tried > 0 {
                self.address += 1;
                if let Some(error) = &failure {
                    debug!("{error}; trying the next address");
                }
            }
            opening.tried += 1;
            let address = route.addresses[self.address % count];
            let left = u32::try_from(count - opening.tried + 1).unwrap_or(u32::MAX);
            let share = opening.deadline.saturating_since(now) / left;
            opening.attempt = now.saturating_add(share);
            match begin_connect(address) {
                Ok(socket) => {
                    self.state = State::Connecting { socket, opening };
                    return Event::Nothing;
                }
                // It was not even tried: no route to it, say. What another had to say is worth more.
                Err(error) => failure = failure.or_else(|| Some(connect_error(address, &error))),
            }
        }
        Event::NotOpened(failure.unwrap_or(Error::Timeout {
            phase: Phase::Connect,
            after: now.saturating_since(opening.begun),
        }))
    }

    /// Sends the request if the connection still stands and nothing unasked for has come in; returns when its first
    /// byte left. `None`: the connection was not fit for it and is closed now.
    pub(crate) fn send(
        &mut self,
        route: &Route,
        clock: &Clock,
    ) -> Option<Result<LocalInstant, Error>> {
        let State::Ready { mut wire, fresh } = std::mem::replace(&mut self.state, State::Closed)
        else {
            return None;
        };
        // Whatever is here now is the end, a body after HEAD or an answer nobody asked for.
        if !wire.is_quiet() {
            return fresh.then(|| Err(self.read_unasked(&mut wire)));
        }
        wire.begin();
        let sent = clock.now();
        match write_some(&mut wire, &route.request) {
            Ok(count) => {
                let written = if count == route.request.len() { usize::MAX } else { count };
                self.state = State::Busy { wire, sent, written };
                Some(Ok(sent))
            }
            Err(error) => Some(Err(io_error(Phase::Send, &error))),
        }
    }

    /// Goes on: something may have happened to the socket, or a deadline passed.
    pub(crate) fn advance(&mut self, route: &Route, clock: &Clock, woken: bool) -> Event<'_> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Closed => Event::Nothing,
            State::Connecting { socket, opening } => {
                self.advance_connecting(route, clock, woken, socket, opening)
            }
            State::Tunnelling { stream, opening, written } => {
                self.advance_tunnelling(route, clock, woken, stream, opening, written)
            }
            State::Ready { mut wire, fresh } => {
                if !woken || wire.is_quiet() {
                    // Then it was the kernel that had something to say.
                    if woken {
                        wire.attend();
                    }
                    self.state = State::Ready { wire, fresh };
                    Event::Nothing
                } else if fresh {
                    Event::NotOpened(self.read_unasked(&mut wire))
                } else {
                    Event::Dropped
                }
            }
            State::Busy { wire, sent, written } => {
                self.advance_busy(route, clock, woken, wire, sent, written)
            }
        }
    }

    /// Why a server that says something, or hangs up, before it was asked anything is not one for us.
    fn read_unasked(&mut self, wire: &mut Wire) -> Error {
        match fill(&mut self.reader, wire, Phase::Connect).and_then(|_| self.reader.head()) {
            Err(error) => error,
            Ok(_) => Error::MalformedHead { reason: "it began before the request" },
        }
    }

    fn advance_connecting(
        &mut self,
        route: &Route,
        clock: &Clock,
        woken: bool,
        socket: TcpStream,
        opening: Opening,
    ) -> Event<'static> {
        let now = clock.now();
        let address = route.addresses[self.address % route.addresses.len()];
        if woken {
            return match socket.take_error() {
                Ok(None) => self.opened(route, clock, socket, opening),
                Ok(Some(error)) | Err(error) => {
                    self.try_address(route, opening, now, Some(connect_error(address, &error)))
                }
            };
        }
        if now >= opening.attempt {
            let after = now.saturating_since(opening.begun);
            let timeout = Error::Timeout { phase: Phase::Connect, after };
            return self.try_address(route, opening, now, Some(timeout));
        }
        self.state = State::Connecting { socket, opening };
        Event::Nothing
    }

    fn opened(
        &mut self,
        route: &Route,
        clock: &Clock,
        stream: TcpStream,
        opening: Opening,
    ) -> Event<'static> {
        self.reader.clear();
        if route.connect.is_some() {
            self.state = State::Tunnelling { stream, opening, written: 0 };
            return Event::Nothing;
        }
        self.ready(route, clock, stream, opening);
        Event::Opened
    }

    /// The way to the server is open, and nothing on it unanswered.
    fn ready(&mut self, route: &Route, clock: &Clock, stream: TcpStream, opening: Opening) {
        self.opening_time = Some(clock.now().saturating_since(opening.begun));
        let mut wire = Wire::new(stream);
        if route.stamped {
            if let Err(error) = wire.stamp(clock) {
                debug!("no kernel timestamps: {}", describe(&error));
            }
        }
        self.state = State::Ready { wire, fresh: true };
    }

    fn advance_tunnelling(
        &mut self,
        route: &Route,
        clock: &Clock,
        woken: bool,
        mut stream: TcpStream,
        opening: Opening,
        written: usize,
    ) -> Event<'static> {
        let now = clock.now();
        if now >= opening.deadline {
            let after = now.saturating_since(opening.begun);
            return Event::NotOpened(Error::Timeout { phase: Phase::Tunnel, after });
        }
        let connect = route.connect.as_deref().unwrap_or_default();
        if woken && written == 0 {
            // It is a few hundred bytes into an empty send buffer: a part of it going is as good as an error.
            return match write_some(&mut stream, connect) {
                Ok(count) if count == connect.len() => {
                    self.state = State::Tunnelling { stream, opening, written: count };
                    Event::Nothing
                }
                Ok(0) => {
                    self.state = State::Tunnelling { stream, opening, written: 0 };
                    Event::Nothing
                }
                Ok(_) => Event::NotOpened(io_error(Phase::Tunnel, &ErrorKind::WriteZero.into())),
                Err(error) => Event::NotOpened(io_error(Phase::Tunnel, &error)),
            };
        }
        if woken {
            match fill(&mut self.reader, &mut stream, Phase::Tunnel) {
                Ok(true) => {}
                Ok(false) => {
                    self.state = State::Tunnelling { stream, opening, written };
                    return Event::Nothing;
                }
                Err(error) => return Event::NotOpened(error),
            }
            match self.reader.head() {
                Ok(Some(head)) => {
                    return match head.status() {
                        200..=299 if head.is_followed() => Event::NotOpened(Error::MalformedHead {
                            reason: "it began before the request",
                        }),
                        200..=299 => {
                            self.reader.clear();
                            self.ready(route, clock, stream, opening);
                            Event::Opened
                        }
                        407 => Event::NotOpened(Error::ProxyCredentials),
                        status => Event::NotOpened(Error::ProxyRefused { status }),
                    };
                }
                Ok(None) => {}
                Err(error) => return Event::NotOpened(error),
            }
        }
        self.state = State::Tunnelling { stream, opening, written };
        Event::Nothing
    }

    fn advance_busy(
        &mut self,
        route: &Route,
        clock: &Clock,
        woken: bool,
        mut wire: Wire,
        sent: LocalInstant,
        mut written: usize,
    ) -> Event<'_> {
        let now = clock.now();
        if now >= sent.saturating_add(route.timeout) {
            let phase = if written == usize::MAX { Phase::Response } else { Phase::Send };
            return Event::Lost(Error::Timeout { phase, after: now.saturating_since(sent) });
        }
        if woken && written != usize::MAX {
            match write_some(&mut wire, &route.request[written..]) {
                Ok(count) if written + count == route.request.len() => written = usize::MAX,
                Ok(count) => written += count,
                Err(error) => return Event::Lost(io_error(Phase::Send, &error)),
            }
        }
        match woken.then(|| fill(&mut self.reader, &mut wire, Phase::Response)) {
            Some(Ok(true)) => {}
            quiet @ (None | Some(Ok(false))) => {
                if quiet.is_some() {
                    wire.attend();
                }
                self.state = State::Busy { wire, sent, written };
                return Event::Nothing;
            }
            Some(Err(error)) => return Event::Lost(error),
        }
        // After the read and not before: the last piece of a head that comes in pieces may have come in between, and
        // its date may be as young as that.
        let received = clock.now();
        match self.reader.head() {
            // It crossed the request on its way. The connection is closed, and the request sent again on another.
            Ok(Some(head)) if head.status() == REQUEST_TIMEOUT => {
                Event::Lost(head.date().err().unwrap_or(Error::Closed { received: 0 }))
            }
            Ok(Some(head)) => {
                let times = wire.times(sent, received, clock);
                // Bytes behind the head are a body that HEAD forbids: never to be read as the next response.
                if head.persistent() && !head.is_followed() && written == usize::MAX {
                    self.state = State::Ready { wire, fresh: false };
                }
                Event::Answered { times, head }
            }
            Ok(None) => {
                self.state = State::Busy { wire, sent, written };
                Event::Nothing
            }
            Err(error) => Event::Lost(error),
        }
    }
}

fn begin_connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if is_in_progress(&error) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}

fn is_in_progress(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
        || error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
}

/// Reads once; `false` when there was nothing to read.
fn fill(reader: &mut ResponseReader, stream: &mut impl Read, phase: Phase) -> Result<bool, Error> {
    match read_some(stream, reader.space()) {
        Ok(0) => Err(reader.eof()),
        Ok(count) => {
            reader.filled(count);
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(io_error(phase, &error)),
    }
}

fn read_some(stream: &mut impl Read, space: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(space) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Writes what fits; nothing is no error.
fn write_some(stream: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match stream.write(bytes) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            result => return result,
        }
    }
}

fn connect_error(address: SocketAddr, error: &io::Error) -> Error {
    let refused = error.kind() == ErrorKind::ConnectionRefused;
    Error::Connect { address, refused, reason: describe(error) }
}

fn io_error(phase: Phase, error: &io::Error) -> Error {
    Error::Io { phase, reason: describe(error) }
}

/// The system's words without Rust's "(os error 111)".
fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_lowercase(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use rustix::event::{PollFd, Timespec, poll};
    use socket2::{Domain, Socket, Type};

    use super::*;

    fn route(addresses: Vec<SocketAddr>, timeout: Duration) -> Route {
        let request = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
        Route { addresses, connect: None, request, timeout, forwarded: false, stamped: true }
    }

    /// Opens a link to the first of these that answers.
    fn open(addresses: Vec<SocketAddr>, timeout: Duration) -> Result<SocketAddr, Error> {
        let route = route(addresses, timeout);
        let link = opened(&route, &Clock::new())?;
        Ok(route.addresses[link.address % route.addresses.len()])
    }

    fn opened(route: &Route, clock: &Clock) -> Result<Link, Error> {
        let mut link = Link::new();
        let mut event = link.open(route, clock.now());
        loop {
            match event {
                Event::Opened => return Ok(link),
                Event::NotOpened(error) => return Err(error),
                _ => {}
            }
            let left = link.deadline(route).map(|at| at.saturating_since(clock.now()));
            let left = Timespec::try_from(left.unwrap_or_default()).expect("short");
            let (fd, flags) = link.interest().expect("it is connecting");
            let ready = poll(&mut [PollFd::from_borrowed_fd(fd, flags)], Some(&left));
            event = match link.advance(route, clock, ready == Ok(1)) {
                Event::Opened => Event::Opened,
                Event::NotOpened(error) => Event::NotOpened(error),
                _ => Event::Nothing,
            };
        }
    }

    // The test server is not published, and these tests are.
    fn bound() -> io::Result<(Socket, SocketAddr)> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let address = socket.local_addr()?.as_socket();
        Ok((socket, address.ok_or(ErrorKind::AddrNotAvailable)?))
    }

    #[test]
    fn what_came_before_the_request_is_no_answer_and_nothing_is_sent() -> io::Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let route = route(vec![listener.local_addr()?], Duration::from_secs(10));
        let clock = Clock::new();
        let mut link = opened(&route, &clock).expect("it listens");
        let (mut server, _) = listener.accept()?;
        server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
        let (fd, flags) = link.interest().expect("it is open");
        let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
        assert_eq!(poll(&mut [PollFd::from_borrowed_fd(fd, flags)], Some(&patience)), Ok(1));
        let refused = link.send(&route, &clock).expect("it is fresh").expect_err("it was unasked");
        assert_eq!(refused, Error::MalformedHead { reason: "it began before the request" });
        assert!(link.is_closed());
        Ok(())
    }

    #[test]
    fn every_address_is_tried_in_turn_under_one_deadline() -> io::Result<()> {
        // Bound, and nobody listens.
        let (_reserved, refused) = bound()?;
        // The queue of connections to accept is full, so the system drops further SYNs.
        let (listener, hole) = bound()?;
        listener.listen(0)?;
        let connect = || TcpStream::connect_timeout(&hole, Duration::from_millis(40));
        let _queued: Vec<TcpStream> = std::iter::from_fn(|| connect().ok()).take(256).collect();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let good = listener.local_addr()?;
        let timeout = Duration::from_millis(300);
        assert_eq!(open(vec![refused, hole, refused, good], timeout), Ok(good));
        let error = open(vec![hole, refused], timeout).expect_err("nobody");
        assert_eq!(error.kind(), "connection_refused");
        // A connection cannot be broadcast: it fails at once, as one without a route does.
        let nowhere = "255.255.255.255:9".parse().expect("an address");
        for addresses in [vec![refused, nowhere], vec![nowhere, refused]] {
            let error = open(addresses, timeout).expect_err("nobody");
            assert_eq!(error.kind(), "connection_refused");
        }
        let error = open(vec![nowhere], timeout).expect_err("nowhere");
        assert_eq!(error.kind(), "connect");
        assert_eq!(open(vec![nowhere, good], timeout), Ok(good));
        let begun = std::time::Instant::now();
        let error = open(vec![refused, hole, hole], timeout).expect_err("nobody");
        assert_eq!(error.kind(), "timeout_connect");
        assert!(begun.elapsed() < 3 * timeout);
        Ok(())
    }
}
