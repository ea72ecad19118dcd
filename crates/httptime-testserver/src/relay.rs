//! A relay in front of a server or proxy that injects network faults.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use httptime_sim::loopback::{Connection, ConnectionEnd, Handler, Service, Stop};
use socket2::SockRef;

use crate::faults::{COUNT, DateFinder, Fault, FaultDraws, Faults};

/// A TCP relay on a loopback port that injects [`Faults`] between a client and a server, or a
/// proxy.
///
/// ```
/// use httptime_testserver::{Fault, Faults, LoopbackRelay, LoopbackServer};
///
/// let server = LoopbackServer::builder().start()?;
/// let faults = Faults::default().seed(7).chance(Fault::Split, 0.5).chance(Fault::Reset, 0.1);
/// let relay = LoopbackRelay::start(server.address(), faults)?;
/// println!("measure {}, expect {}", relay.url(), server.offset_now());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Bytes that arrive while a piece is held back join the next one, so delays do not accumulate.
#[derive(Debug)]
pub struct LoopbackRelay {
    service: Service<Relay>,
}

impl LoopbackRelay {
    /// Starts to listen on a free port, and relays every connection to `upstream`, a loopback
    /// address. If nothing listens there, the connection closes at once.
    ///
    /// # Errors
    /// When the system assigns no port or thread, and [`io::ErrorKind::InvalidInput`] when
    /// `upstream` is not on this machine.
    pub fn start(upstream: SocketAddr, faults: Faults) -> io::Result<Self> {
        if !upstream.ip().is_loopback() {
            let reason = format!("{upstream} is not on the loopback interface");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let relay = Relay {
            upstream,
            faults,
            opened: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
            injected: [const { AtomicUsize::new(0) }; COUNT],
        };
        Ok(Self { service: Service::start(false, relay)? })
    }

    /// The address on which it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.service.address()
    }

    /// Its URL, `http://127.0.0.1:PORT/`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address())
    }

    /// The number of times that `fault` has been injected so far.
    #[must_use]
    pub fn injected(&self, fault: Fault) -> usize {
        self.service.handler().injected[fault as usize].load(Ordering::SeqCst)
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.service.accepted()
    }

    /// Connections that are open now.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.service.open()
    }
}

#[derive(Debug)]
struct Relay {
    upstream: SocketAddr,
    faults: Faults,
    opened: AtomicUsize,
    /// The latest connection of which a piece has been relayed.
    served: AtomicUsize,
    injected: [AtomicUsize; COUNT],
}

impl Handler for Relay {
    fn serve(&self, connection: &Connection<'_>) -> io::Result<ConnectionEnd> {
        let number = self.opened.fetch_add(1, Ordering::SeqCst) + 1;
        let mut draws = self.faults.draws(number);
        let far = connection.stop().connect(self.upstream)?;
        let pair = ConnectionPair::new(connection, &far);
        if draws.is_drawn(Fault::Reorder) {
            self.delay_end(&pair, number, draws.longest(Fault::Reorder))?;
        }
        let mut way = |direction| Forwarder {
            relay: self,
            pair: &pair,
            direction,
            number,
            draws: draws.fork(),
            dates: DateFinder::default(),
        };
        let (mut requests, mut responses) = (way(Direction::Request), way(Direction::Response));
        thread::scope(|scope| {
            scope.spawn(|| responses.run());
            requests.run();
        });
        let connection_end = pair.connection_end().unwrap_or(ConnectionEnd::Close);
        if connection_end == ConnectionEnd::Reset {
            SockRef::from(&*far).set_linger(Some(Duration::ZERO))?;
        }
        Ok(connection_end)
    }
}

impl Relay {
    fn delay_end(
        &self,
        pair: &ConnectionPair<'_>,
        number: usize,
        longest: Duration,
    ) -> io::Result<()> {
        let patience = Instant::now() + longest;
        while Instant::now() < patience {
            if self.served.load(Ordering::SeqCst) > number {
                self.count(Fault::Reorder);
                break;
            }
            pair.pause(SLICE)?;
        }
        Ok(())
    }

    fn count(&self, fault: Fault) {
        self.injected[fault as usize].fetch_add(1, Ordering::SeqCst);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Request,
    Response,
}

/// One direction of a connection.
struct Forwarder<'a> {
    relay: &'a Relay,
    pair: &'a ConnectionPair<'a>,
    direction: Direction,
    number: usize,
    draws: FaultDraws<'a>,
    dates: DateFinder,
}

impl Forwarder<'_> {
    /// Relays until this direction ends. An error ends both directions, as on a broken connection.
    fn run(&mut self) {
        if self.forward_all().is_err() {
            self.pair.end(ConnectionEnd::Reset);
        }
    }

    fn forward_all(&mut self) -> io::Result<()> {
        let mut piece = Vec::new();
        loop {
            piece.clear();
            if read_more(self.from(), &mut piece)? == 0 {
                self.forward_end();
                return Ok(());
            }
            if self.pair.is_silent() {
                continue;
            }
            if let ControlFlow::Break(()) = self.relay(&mut piece)? {
                return Ok(());
            }
        }
    }

    fn forward_end(&self) {
        match (self.pair.is_silent(), self.direction) {
            // Otherwise the end of the line woke the reader: a FIN now would arrive before the RST.
            (false, _) if self.pair.connection_end().is_none() => self.close(),
            // There is no client any more.
            (true, Direction::Request) => {
                self.pair.end(ConnectionEnd::Close);
            }
            _ => {}
        }
    }

    /// Relays one piece, or the rest of it after the faults.
    fn relay(&mut self, piece: &mut Vec<u8>) -> io::Result<ControlFlow<()>> {
        self.hold(piece)?;
        let dates = self.dates.mark(piece);
        if self.draws.is_drawn(Fault::Corrupt) && self.draws.corrupt(piece, |at| !dates[at]) {
            self.relay.count(Fault::Corrupt);
        }
        if self.direction == Direction::Response
            && self.draws.is_drawn(Fault::CorruptDate)
            && self.draws.corrupt(piece, |at| dates[at])
        {
            self.relay.count(Fault::CorruptDate);
        }
        if let Some(fault) = self.draws.first_of(END_FAULTS) {
            let place = self.draws.place(piece.len());
            self.write(&piece[..place])?;
            let later = self.draws.time(fault);
            self.pair.pause(later)?;
            self.end(fault)?;
            return Ok(ControlFlow::Break(()));
        }
        self.deliver(piece)?;
        self.relay.served.fetch_max(self.number, Ordering::SeqCst);
        Ok(ControlFlow::Continue(()))
    }

    /// Delays a piece.
    fn hold(&mut self, piece: &mut Vec<u8>) -> io::Result<()> {
        let came = Instant::now();
        if self.draws.is_drawn(Fault::Coalesce) {
            self.coalesce(piece, came + self.draws.longest(Fault::Coalesce))?;
        }
        let mut due = came;
        if self.draws.is_drawn(Fault::Delay) {
            let (before, after) = self.draws.delays();
            due += if self.direction == Direction::Request { before } else { after };
            self.relay.count(Fault::Delay);
        }
        if self.draws.is_drawn(Fault::Jitter) {
            due += self.draws.time(Fault::Jitter);
            self.relay.count(Fault::Jitter);
        }
        self.pair.pause(due.saturating_duration_since(Instant::now()))
    }

    /// Reads until `deadline`, or until more bytes have joined the piece.
    fn coalesce(&self, piece: &mut Vec<u8>, deadline: Instant) -> io::Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        self.from().set_read_timeout(Some(left))?;
        // The next read returns the end of the stream again.
        let joined = read_more(self.from(), piece).unwrap_or(0) > 0;
        self.from().set_read_timeout(None)?;
        if joined {
            self.relay.count(Fault::Coalesce);
        }
        Ok(())
    }

    fn deliver(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.direction == Direction::Response && self.draws.is_drawn(Fault::Duplicate) {
            self.relay.count(Fault::Duplicate);
            // In one system call, so that both copies are read together.
            return self.write(&[piece, piece].concat());
        }
        if self.draws.is_drawn(Fault::Stall) {
            self.relay.count(Fault::Stall);
            let (first, rest) = piece.split_at(self.draws.place(piece.len()));
            self.write(first)?;
            let stall = self.draws.time(Fault::Stall);
            self.pair.pause(stall)?;
            self.write(rest)?;
        } else if self.draws.is_drawn(Fault::Split) {
            self.relay.count(Fault::Split);
            let mut written = 0;
            for cut in self.draws.cuts(piece.len()) {
                self.write(&piece[written..cut])?;
                written = cut;
                let gap = self.draws.time(Fault::Split);
                self.pair.pause(gap)?;
            }
            self.write(&piece[written..])?;
        } else {
            self.write(piece)?;
        }
        if self.direction == Direction::Response && self.draws.is_drawn(Fault::Replay) {
            let later = self.draws.time(Fault::Replay);
            self.pair.pause(later)?;
            self.relay.count(Fault::Replay);
            self.write(piece)?;
        }
        Ok(())
    }

    fn end(&self, fault: Fault) -> io::Result<()> {
        let whole = match fault {
            Fault::Reset => Some(ConnectionEnd::Reset),
            Fault::Truncate => Some(ConnectionEnd::Close),
            _ => None,
        };
        // The peers see the effect later: the connection is closed when both directions have ended.
        if whole.is_none_or(|connection_end| self.pair.end(connection_end)) {
            self.relay.count(fault);
        }
        match fault {
            Fault::HalfClose => self.close(),
            Fault::HalfOpen => {
                self.pair.fall_silent();
                // Until the client gives up, whether or not its requests are still read.
                let mut ignored = Vec::new();
                while read_more(self.pair.near, &mut ignored)? > 0 {
                    ignored.clear();
                }
                self.pair.end(ConnectionEnd::Close);
            }
            _ => {}
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        if self.pair.is_silent() || bytes.is_empty() { Ok(()) } else { self.to().write_all(bytes) }
    }

    fn close(&self) {
        let _ = self.to().shutdown(Shutdown::Write);
    }

    fn from(&self) -> &TcpStream {
        if self.direction == Direction::Request { self.pair.near } else { self.pair.far }
    }

    fn to(&self) -> &TcpStream {
        if self.direction == Direction::Request { self.pair.far } else { self.pair.near }
    }
}

/// Both ends of a connection, and the shared state of its two directions.
struct ConnectionPair<'a> {
    near: &'a TcpStream,
    far: &'a TcpStream,
    stop: &'a Stop,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    silent: bool,
    ended: Option<ConnectionEnd>,
}

impl<'a> ConnectionPair<'a> {
    fn new(connection: &'a Connection<'_>, far: &'a TcpStream) -> Self {
        Self {
            near: connection.stream(),
            far,
            stop: connection.stop(),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Waits. Returns an error when the connection ends or the service stops first.
    fn pause(&self, time: Duration) -> io::Result<()> {
        let deadline = Instant::now() + time;
        let mut state = self.lock();
        loop {
            if state.ended.is_some() {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.stop.check()?;
            let slice = left.min(SLICE);
            let waited = self.changed.wait_timeout(state, slice);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends both directions, wherever they wait. Returns `false` if they had already ended. The
    /// first ending counts.
    fn end(&self, connection_end: ConnectionEnd) -> bool {
        let mut state = self.lock();
        let first = state.ended.is_none();
        state.ended.get_or_insert(connection_end);
        drop(state);
        self.changed.notify_all();
        // This wakes the reader and sends nothing to either peer.
        let _ = self.near.shutdown(Shutdown::Read);
        let _ = self.far.shutdown(Shutdown::Read);
        first
    }

    fn connection_end(&self) -> Option<ConnectionEnd> {
        self.lock().ended
    }

    fn fall_silent(&self) {
        self.lock().silent = true;
    }

    fn is_silent(&self) -> bool {
        self.lock().silent
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads once and appends the bytes; 0 is the end.
fn read_more(mut from: &TcpStream, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = [0; 8192];
    let n = from.read(&mut buffer)?;
    bytes.extend_from_slice(&buffer[..n]);
    Ok(n)
}

/// Faults that end a connection, or one direction of it. Only one of them is used.
const END_FAULTS: &[Fault] = &[Fault::Reset, Fault::Truncate, Fault::HalfOpen, Fault::HalfClose];

/// The longest time until a pause notices that the service stops.
const SLICE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::testing::{Client, HEAD, date, drop_promptly, wait_for};
    use crate::{Behaviour, LoopbackServer, Misbehave as _, RefusedPort};

    const MS: Duration = Duration::from_millis(1);
    const HOUR: Duration = Duration::from_secs(3600);
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";

    fn server(behaviour: Behaviour) -> LoopbackServer {
        LoopbackServer::builder().behaviour(behaviour).start().expect("a server")
    }

    /// A server that always sends the same response.
    fn constant() -> LoopbackServer {
        server(Behaviour::Raw(ANSWER.to_vec()))
    }

    fn relay(server: &LoopbackServer, faults: Faults) -> LoopbackRelay {
        LoopbackRelay::start(server.address(), faults).expect("a relay")
    }

    fn always(fault: Fault) -> Faults {
        Faults::default().chance(fault, 1.0)
    }

    /// The bytes up to the end, and how the stream ended.
    fn until_end(client: &mut Client) -> (Vec<u8>, io::Result<()>) {
        let mut bytes = Vec::new();
        let end = client.stream.read_to_end(&mut bytes);
        (bytes, end.map(|_| ()))
    }

    #[test]
    fn without_faults_bytes_and_ends_go_through_as_they_are() {
        let builder = LoopbackServer::builder().requests_per_connection(100);
        let server = builder.start().expect("a server");
        let relay = relay(&server, Faults::default());
        let mut client = Client::new(relay.address());
        for _ in 0..100 {
            assert_eq!(client.ask().word(1), "200");
        }
        assert_eq!(client.rest(), b"");
        drop(client);
        let mut left = Client::new(relay.address());
        left.ask();
        assert_eq!((relay.connections(), server.connections()), (2, 2));
        drop(left);
        wait_for(|| relay.open_connections() == 0 && server.open_connections() == 0);
        assert!(Fault::ALL.iter().all(|fault| relay.injected(*fault) == 0));
    }

    #[test]
    fn a_connection_ends_when_nobody_is_behind_the_relay() {
        let port = RefusedPort::reserve().expect("a port");
        let relay = LoopbackRelay::start(port.address(), Faults::default()).expect("a relay");
        assert_eq!(until_end(&mut Client::new(relay.address())).0, b"");
    }

    #[test]
    fn it_goes_nowhere_but_to_this_machine() {
        let far = "192.0.2.1:80".parse().expect("an address");
        let refusal = LoopbackRelay::start(far, Faults::default()).expect_err("not loopback");
        assert_eq!(refusal.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn both_ways_take_their_delays_and_the_stamp_lies_between_them() {
        let server = server(Behaviour::Normal);
        let relay = relay(&server, Faults::default().delays(30 * MS, 10 * MS));
        let mut client = Client::new(relay.address());
        for asked in 1..=3 {
            let begun = Instant::now();
            client.send(HEAD);
            assert_eq!(server.requests(), asked - 1);
            wait_for(|| server.requests() == asked);
            assert!(begun.elapsed() >= 30 * MS);
            date(&client.head());
            assert!(begun.elapsed() >= 40 * MS);
        }
        assert_eq!(relay.injected(Fault::Delay), 6);
    }

    #[test]
    fn jitter_and_stalls_take_their_time_and_lose_nothing() {
        for fault in [Fault::Jitter, Fault::Stall] {
            let server = constant();
            let relay = relay(&server, always(fault).longest(fault, 40 * MS));
            let mut client = Client::new(relay.address());
            let begun = Instant::now();
            for _ in 0..10 {
                assert_eq!(client.ask().raw(), ANSWER);
            }
            // Twenty times half of it, on average.
            assert!(begun.elapsed() > 100 * MS, "{fault}: {:?}", begun.elapsed());
            assert_eq!(relay.injected(fault), 20);
        }
    }

    #[test]
    fn a_split_piece_comes_in_several_and_whole() {
        let server = constant();
        let relay = relay(&server, always(Fault::Split).longest(Fault::Split, 20 * MS));
        let mut client = Client::new(relay.address());
        client.send(HEAD);
        let (mut bytes, mut segments) = (Vec::new(), 0);
        while bytes.len() < ANSWER.len() {
            bytes.extend(client.segment());
            segments += 1;
        }
        assert_eq!(bytes, ANSWER);
        assert!(segments > 1);
    }

    #[test]
    fn two_pieces_are_joined_into_one() {
        // The second response arrives well before the relay gives up on it.
        let server = LoopbackServer::builder()
            .behaviour(Behaviour::Interim103)
            .delays(150 * MS, Duration::ZERO)
            .start()
            .expect("a server");
        let relay = relay(&server, always(Fault::Coalesce).longest(Fault::Coalesce, 600 * MS));
        let mut client = Client::new(relay.address());
        client.send(HEAD);
        let joined = String::from_utf8(client.segment()).expect("text");
        assert!(joined.contains(" 103 ") && joined.contains(" 200 "), "{joined}");
        assert_eq!(relay.injected(Fault::Coalesce), 1);
    }

    #[test]
    fn a_reset_breaks_the_connection_and_a_cut_closes_it_in_the_middle() {
        for fault in [Fault::Reset, Fault::Truncate] {
            let server = constant();
            let faults = Faults::default().chance(fault, 0.5).longest(fault, MS);
            let relay = relay(&server, faults);
            let mut lengths = Vec::new();
            for _ in 0..200 {
                let mut client = Client::new(relay.address());
                // Read before the request: the relay can inject a fault as soon as the request is
                // sent.
                let before = relay.injected(fault);
                client.send(HEAD);
                let _ = client.stream.shutdown(Shutdown::Write);
                let (bytes, end) = until_end(&mut client);
                assert!(ANSWER.starts_with(&bytes));
                let struck = relay.injected(fault) > before;
                let broken = matches!(&end, Err(e) if e.kind() == io::ErrorKind::ConnectionReset);
                assert_eq!(broken, struck && fault == Fault::Reset, "{fault}: {end:?}");
                lengths.push(bytes.len());
            }
            let amid = lengths.iter().filter(|length| (1..ANSWER.len()).contains(length));
            assert!(amid.count() > 10, "{fault}: {lengths:?}");
            assert!(lengths.contains(&0) && lengths.contains(&ANSWER.len()));
            wait_for(|| relay.open_connections() + server.open_connections() == 0);
        }
    }

    #[test]
    fn a_vanished_peer_sends_nothing_more_until_the_client_gives_up() {
        let mut answered_first = 0;
        for seed in 0..20 {
            let server = constant();
            let faults = Faults::default().seed(seed).chance(Fault::HalfOpen, 0.5);
            let relay = relay(&server, faults.longest(Fault::HalfOpen, Duration::ZERO));
            let mut client = Client::new(relay.address());
            client.stream.set_read_timeout(Some(30 * MS)).expect("a socket");
            let mut ask = || {
                client.send(HEAD);
                let (bytes, end) = until_end(&mut client);
                assert_eq!(end.map_err(|error| error.kind()), Err(io::ErrorKind::WouldBlock));
                bytes
            };
            while relay.injected(Fault::HalfOpen) == 0 {
                answered_first += usize::from(ask() == ANSWER);
            }
            // One more request, for the responses on their way.
            ask();
            let asked = server.requests();
            assert_eq!([ask(), ask()], [b"", b""]);
            assert_eq!(server.requests(), asked);
            assert_eq!((relay.open_connections(), server.open_connections()), (1, 1));
            drop(client);
            wait_for(|| relay.open_connections() + server.open_connections() == 0);
        }
        assert!(answered_first > 0);
    }

    #[test]
    fn a_way_can_be_closed_while_the_other_one_stays_open() {
        let server = constant();
        let (mut closed_to_server, mut closed_to_client) = (0, 0);
        for seed in 0..60 {
            let faults = Faults::default().seed(seed).chance(Fault::HalfClose, 0.5);
            let relay = relay(&server, faults.longest(Fault::HalfClose, Duration::ZERO));
            let mut client = Client::new(relay.address());
            client.stream.set_read_timeout(Some(30 * MS)).expect("a socket");
            client.send(HEAD);
            let (bytes, end) = until_end(&mut client);
            assert!(ANSWER.starts_with(&bytes));
            if end.is_err() {
                continue;
            }
            assert!(relay.injected(Fault::HalfClose) > 0);
            // A server that sees the end answers its requests and closes. One that does not see it
            // continues.
            let asked = server.requests();
            client.send(HEAD);
            wait_for(|| server.requests() > asked || server.open_connections() == 0);
            closed_to_client += usize::from(server.requests() > asked);
            closed_to_server += usize::from(server.requests() == asked);
            drop(client);
            wait_for(|| server.open_connections() == 0);
        }
        assert!(closed_to_server > 5 && closed_to_client > 5);
    }

    #[test]
    fn a_duplicate_comes_with_the_original_and_a_replay_later() {
        let server = constant();
        let duplicating = relay(&server, always(Fault::Duplicate));
        let mut client = Client::new(duplicating.address());
        client.send(HEAD);
        assert_eq!(client.segment(), [ANSWER, ANSWER].concat());
        let replaying = relay(&server, always(Fault::Replay).longest(Fault::Replay, MS));
        let mut client = Client::new(replaying.address());
        client.send(HEAD);
        assert_eq!(client.exactly(2 * ANSWER.len()), [ANSWER, ANSWER].concat());
        assert_eq!(server.requests(), 2);
    }

    #[test]
    fn one_bit_changes_and_only_a_lie_changes_a_date() {
        let server = constant();
        let dates = 22..ANSWER.len() - 4;
        for fault in [Fault::Corrupt, Fault::CorruptDate] {
            let relay = relay(&server, always(fault));
            let mut changed = 0;
            for _ in 0..200 {
                let mut client = Client::new(relay.address());
                client.send(HEAD);
                let _ = client.stream.shutdown(Shutdown::Write);
                let (bytes, _) = until_end(&mut client);
                // A corrupted request may get no response.
                if bytes.is_empty() && fault == Fault::Corrupt {
                    continue;
                }
                let different: Vec<usize> =
                    (0..ANSWER.len()).filter(|at| bytes[*at] != ANSWER[*at]).collect();
                let [at] = different[..] else { panic!("{different:?}") };
                assert_eq!((bytes[at] ^ ANSWER[at]).count_ones(), 1);
                assert_eq!(dates.contains(&at), fault == Fault::CorruptDate, "{fault} at {at}");
                changed += 1;
            }
            assert!(changed > 100);
        }
    }

    #[test]
    fn a_connection_waits_until_a_later_one_is_served() {
        let server = constant();
        let faults = Faults::default().seed(1).chance(Fault::Reorder, 0.5);
        let relay = relay(&server, faults.longest(Fault::Reorder, HOUR));
        // The clients connect one by one, and each sends a request at once.
        let mut clients: Vec<Client> = Vec::new();
        for opened in 1..=20 {
            clients.push(Client::new(relay.address()));
            wait_for(|| server.connections() == opened);
            clients[opened - 1].send(HEAD);
        }
        // A connection that was held back is released; those at the end have no later one.
        let answered: Vec<Cell<bool>> = clients.iter().map(|_| Cell::new(false)).collect();
        wait_for(|| {
            for (client, answered) in clients.iter().zip(&answered) {
                client.stream.set_nonblocking(true).expect("a socket");
                answered.set(answered.get() || matches!(client.stream.peek(&mut [0]), Ok(1)));
            }
            let last = answered.iter().rposition(Cell::get).unwrap_or(0);
            relay.injected(Fault::Reorder) > 2 && answered[..last].iter().all(Cell::get)
        });
    }

    #[test]
    fn the_same_seed_does_the_same_again() {
        let server = constant();
        let run = |seed| {
            let faults = Faults::default()
                .seed(seed)
                .chance(Fault::Corrupt, 0.3)
                .chance(Fault::Duplicate, 0.3)
                .chance(Fault::Truncate, 0.3);
            let relay = relay(&server, faults);
            let runs = (0..30).map(|_| {
                let mut client = Client::new(relay.address());
                client.send(HEAD);
                let _ = client.stream.shutdown(Shutdown::Write);
                until_end(&mut client).0
            });
            runs.collect::<Vec<_>>()
        };
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
    }

    #[test]
    fn dropping_ends_every_thread_promptly_whatever_it_is_doing() {
        let waiting = [
            always(Fault::Stall).longest(Fault::Stall, Duration::MAX),
            always(Fault::Coalesce).longest(Fault::Coalesce, HOUR),
            always(Fault::Reorder).longest(Fault::Reorder, HOUR),
            always(Fault::HalfOpen).longest(Fault::HalfOpen, MS),
            Faults::default().delays(Duration::MAX, Duration::MAX),
            Faults::default(),
        ];
        for faults in waiting {
            let server = constant();
            let relay = relay(&server, faults.clone());
            let mut clients = [(); 3].map(|()| Client::new(relay.address()));
            clients[1].send(HEAD);
            clients[2].send(HEAD);
            wait_for(|| relay.open_connections() == 3 && server.connections() == 3);
            let alive = relay.service.running_probe();
            drop_promptly(relay);
            assert!(!alive(), "a thread or the listener still exists: {faults:?}");
        }
    }
}
