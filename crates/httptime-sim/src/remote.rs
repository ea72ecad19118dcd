//! The remote end of a session's connections: the events that follow from the sent bytes, and their
//! times.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fastrand::Rng;
use httptime::session::{ConnectionId, MAX_CONNECTIONS, Target};
use httptime::{Error, LocalInstant, Offset, Timestamp, Url};

use crate::connections::{SimHost, exponential_time, has_chance};
use crate::server::{Request, Times};
use crate::stamp;
use crate::world::World;

/// A server in virtual time, and the network in front of it.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) world: World,
    /// Random numbers for the delays and the server.
    pub(crate) random: Rng,
    /// Random numbers for the connections: a separate stream, so that they do not change any delay.
    faults: Rng,
    links: [Link; MAX_CONNECTIONS],
    /// Connections that were opened or attempted.
    opened: usize,
    /// The `Date` of each response, and when the client receives it.
    dates: Vec<(LocalInstant, Timestamp)>,
    /// The packets that have left for a server that other clients use too, which decides when it
    /// serves them. `None`: the server has no other client.
    departed: Option<Vec<Departed>>,
}

/// A packet on its way to a server that other clients use too.
#[derive(Debug)]
pub(crate) struct Departed {
    conn: ConnectionId,
    /// The number of the connection, which tells it from a later one in the same place.
    number: usize,
    /// When it arrives at the server.
    pub(crate) arrives: LocalInstant,
    /// The delay of the return path.
    back: Duration,
    pub(crate) packet: Packet,
}

impl Departed {
    /// The number of connections of its client that were opened before this one.
    pub(crate) fn number(&self) -> u64 {
        u64::try_from(self.number).unwrap_or(u64::MAX)
    }
}

#[derive(Debug)]
pub(crate) enum Packet {
    /// Opens a connection.
    Syn,
    Request(Vec<u8>),
}

/// The server's side of a connection.
#[derive(Debug, Default)]
struct Link {
    /// The received part of a request.
    request: Vec<u8>,
    is_tunnel: bool,
    /// When the server accepted it.
    accepted: Option<LocalInstant>,
    /// The number of connections that were opened before it.
    number: usize,
    /// The index of its address in the list of addresses of the name.
    address: usize,
    responses: u32,
    /// The server closes its end at this time.
    ends: Option<LocalInstant>,
    /// The server closes the connection at this time if no request arrives before.
    idle_until: Option<LocalInstant>,
    /// The arrival of the last bytes so far. Bytes that are sent later arrive later.
    last: Option<LocalInstant>,
}

/// A future event of a connection.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) at: LocalInstant,
    pub(crate) conn: ConnectionId,
    pub(crate) what: RemoteEvent,
}

#[derive(Debug)]
pub(crate) enum RemoteEvent {
    /// The name of the connection's server has been resolved to these addresses.
    Resolved(Vec<SocketAddr>),
    Opened,
    Failed(ErrorKind),
    Bytes(Vec<u8>),
    Writable,
    Closed,
    /// Closed after it was idle, possibly with an unsolicited response.
    TimedOut(Option<Vec<u8>>),
}

/// The outcome of an attempt to connect.
pub(crate) enum ConnectAttempt {
    Opened,
    Failed(ErrorKind),
    UnderWay,
}

impl Remote {
    pub(crate) fn new(world: World, seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed),
            faults: Rng::with_seed(seed ^ FAULTS),
            links: Default::default(),
            opened: 0,
            dates: Vec::new(),
            departed: None,
            world,
        }
    }

    /// Leaves it to the caller when the server accepts connections and serves requests: other
    /// clients use it too.
    pub(crate) fn share(&mut self) {
        self.departed = Some(Vec::new());
    }

    pub(crate) fn take_departed(&mut self) -> std::vec::IntoIter<Departed> {
        self.departed.as_mut().map(std::mem::take).unwrap_or_default().into_iter()
    }

    fn is_current(&mut self, it: &Departed) -> bool {
        self.link(it.conn).number == it.number
    }

    /// Whether the client has received, by `end`, a `Date` later than an earlier one.
    pub(crate) fn has_advanced(&self, end: LocalInstant) -> bool {
        let seen = || self.dates.iter().filter(|(at, _)| *at <= end);
        let first = seen().min_by_key(|(at, _)| *at);
        first.is_some_and(|(_, first)| seen().any(|(_, date)| date > first))
    }

    /// The target of the server with number `server` of a simulation.
    pub(crate) fn target(&self, server: usize) -> Result<Arc<Target>, Error> {
        static PLAIN: OnceLock<Arc<Target>> = OnceLock::new();
        let connections = &self.world.connections;
        let is_plain = connections.name.is_none() && connections.proxy.is_none() && server == 0;
        if let Some(plain) = PLAIN.get().filter(|_| is_plain) {
            return Ok(Arc::clone(plain));
        }
        let host = |name: &str, network: &str| match &connections.name {
            Some(_) => format!("{name}{server}.example"),
            None => format!("{network}.{}", server + 1),
        };
        let url = Url::parse(&format!("http://{}/", host("server", "192.0.2")))?;
        let target = match connections.proxy {
            None => Target::new(url)?,
            Some(proxy) => {
                let hop = Url::parse(&format!("http://{}:3128/", host("proxy", "203.0.113")))?;
                Target::via_proxy(url, hop, proxy.tunnel)?
            }
        };
        let target = Arc::new(target);
        Ok(if is_plain { Arc::clone(PLAIN.get_or_init(|| target)) } else { target })
    }

    /// Resolves the name: the addresses, and the time at which they are known.
    pub(crate) fn resolve(&mut self, server: usize, now: LocalInstant, pending: &mut Vec<Pending>) {
        let Some(name) = &self.world.connections.name else { return };
        let Some(takes) = name.takes else { return };
        let hosts = 0..u8::try_from(name.hosts.len()).unwrap_or(u8::MAX);
        let address = |host| SocketAddr::from((Ipv4Addr::new(198, 51, 100, host), 80));
        pending.push(Pending {
            at: now.saturating_add(exponential_time(takes, &mut self.faults)),
            conn: ConnectionId::from_index(server * MAX_CONNECTIONS),
            what: RemoteEvent::Resolved(hosts.map(address).collect()),
        });
    }

    fn link(&mut self, conn: ConnectionId) -> &mut Link {
        &mut self.links[conn.index() % MAX_CONNECTIONS]
    }

    /// Starts to open a connection.
    pub(crate) fn open(
        &mut self,
        conn: ConnectionId,
        address: SocketAddr,
        now: LocalInstant,
        pending: &mut Vec<Pending>,
    ) -> ConnectAttempt {
        let number = self.opened;
        self.opened += 1;
        let name = self.world.connections.name.as_ref();
        let address = match address {
            SocketAddr::V4(address) if name.is_some() => usize::from(address.ip().octets()[3]),
            _ => 0,
        };
        let host = name.and_then(|name| name.hosts.get(address)).copied();
        let host = host.unwrap_or(SimHost::Server);
        *self.link(conn) = Link { number, address, ..Link::default() };
        let connections = &self.world.connections;
        if host == SimHost::Unreachable {
            return ConnectAttempt::Failed(ErrorKind::NetworkUnreachable);
        }
        if host == SimHost::Silent {
            return ConnectAttempt::UnderWay;
        }
        let (there, back) = if connections.has_handshake {
            self.world.path.draw(now, &mut self.faults)
        } else {
            (Duration::ZERO, Duration::ZERO)
        };
        if let Some(departed) = &mut self.departed {
            let arrives = now.saturating_add(there);
            departed.push(Departed { conn, number, arrives, back, packet: Packet::Syn });
            return ConnectAttempt::UnderWay;
        }
        let accepted = now
            .saturating_add(there)
            .saturating_add(exponential_time(connections.accept_delay, &mut self.faults));
        let at = accepted.saturating_add(back);
        if host == SimHost::Refuses
            || connections.is_restarting(accepted)
            || has_chance(connections.refusing, &mut self.faults)
        {
            let what = RemoteEvent::Failed(ErrorKind::ConnectionRefused);
            pending.push(Pending { at, conn, what });
            return ConnectAttempt::UnderWay;
        }
        let is_closed_on_accept = has_chance(connections.closing_on_accept, &mut self.faults);
        let restart = connections.next_restart(accepted);
        let is_at_once = at == now;
        if !is_at_once {
            pending.push(Pending { at, conn, what: RemoteEvent::Opened });
        }
        let ends = if is_closed_on_accept { Some(accepted) } else { restart };
        let link = self.link(conn);
        link.accepted = Some(accepted);
        link.ends = ends;
        if let Some(ends) = ends {
            let (_, back) = self.world.path.draw(now, &mut self.faults);
            let at = ends.saturating_add(back).max(at).saturating_add(NANOSECOND);
            let what = self.broken();
            pending.push(Pending { at, conn, what });
        }
        self.begin_to_idle(conn, accepted, at, pending);
        if is_at_once { ConnectAttempt::Opened } else { ConnectAttempt::UnderWay }
    }

    /// A server that other clients use too has answered the packet that opens a connection.
    pub(crate) fn accept(&mut self, syn: &Departed, pending: &mut Vec<Pending>) {
        if self.is_current(syn) {
            self.link(syn.conn).accepted = Some(syn.arrives);
            let at = syn.arrives.saturating_add(syn.back);
            pending.push(Pending { at, conn: syn.conn, what: RemoteEvent::Opened });
        }
    }

    fn broken(&mut self) -> RemoteEvent {
        if self.faults.bool() {
            RemoteEvent::Closed
        } else {
            RemoteEvent::Failed(ErrorKind::ConnectionReset)
        }
    }

    /// The server is idle on this connection from `since` on. None of its actions is seen before
    /// `after`.
    fn begin_to_idle(
        &mut self,
        conn: ConnectionId,
        since: LocalInstant,
        after: LocalInstant,
        pending: &mut Vec<Pending>,
    ) {
        let Some(idle) = self.world.connections.idle else { return };
        let until = since.saturating_add(idle);
        let (_, back) = self.world.path.draw(since, &mut self.faults);
        let date = self.world.clock.server_time_at(until);
        let response = self.world.connections.sends_408.then(|| timeout_head(date));
        self.link(conn).idle_until = Some(until);
        let at = until.saturating_add(back).max(after).saturating_add(NANOSECOND);
        pending.push(Pending { at, conn, what: RemoteEvent::TimedOut(response) });
    }

    /// The client writes `output`. Returns the number of bytes that the system accepts.
    pub(crate) fn write(
        &mut self,
        conn: ConnectionId,
        output: &[u8],
        now: LocalInstant,
        pending: &mut Vec<Pending>,
    ) -> usize {
        let mut count = output.len();
        if has_chance(self.world.connections.blocking, &mut self.faults) {
            count = if self.faults.bool() { 0 } else { self.faults.usize(0..count) };
            let (there, back) = self.world.path.draw(now, &mut self.faults);
            let at = now.saturating_add(there).saturating_add(back);
            pending.push(Pending { at, conn, what: RemoteEvent::Writable });
        }
        let link = self.link(conn);
        link.request.extend_from_slice(&output[..count]);
        if link.request.ends_with(b"\r\n\r\n") {
            if self.world.connections.proxy.is_some_and(|proxy| proxy.tunnel)
                && !self.link(conn).is_tunnel
            {
                self.tunnel(conn, now, pending);
            } else {
                let request = std::mem::take(&mut self.link(conn).request);
                self.exchange(conn, request, now, pending);
            }
            self.link(conn).request.clear();
        }
        count
    }

    /// Asks a proxy for a tunnel.
    fn tunnel(&mut self, conn: ConnectionId, sent: LocalInstant, pending: &mut Vec<Pending>) {
        let Some(proxy) = self.world.connections.proxy else { return };
        let is_asked = self.link(conn).request.starts_with(b"CONNECT ");
        let (there, back) = self.world.path.draw(sent, &mut self.faults);
        let at = sent
            .saturating_add(there)
            .saturating_add(exponential_time(proxy.delay, &mut self.faults))
            .saturating_add(back);
        let status = match () {
            () if !is_asked => 400,
            () if has_chance(proxy.refusing, &mut self.faults) => proxy.status,
            () => 200,
        };
        let link = self.link(conn);
        link.is_tunnel = status == 200;
        link.idle_until = None;
        cancel_timeout(conn, pending);
        let bytes = format!("HTTP/1.1 {status} whatever\r\n\r\n").into_bytes();
        self.deliver(conn, bytes, at, pending);
    }

    /// Sends a request.
    fn exchange(
        &mut self,
        conn: ConnectionId,
        request: Vec<u8>,
        sent: LocalInstant,
        pending: &mut Vec<Pending>,
    ) {
        let (mut arrived, mut at) = self.travel(sent);
        let proxy = self.world.connections.proxy.filter(|proxy| !proxy.tunnel);
        if let Some(proxy) = proxy {
            let delay = exponential_time(proxy.delay, &mut self.faults);
            arrived = arrived.saturating_add(delay);
            at = at.saturating_add(delay);
        }
        let departed = Departed {
            conn,
            number: self.link(conn).number,
            arrives: arrived,
            back: at.saturating_since(arrived),
            packet: Packet::Request(request),
        };
        if let Some(queue) = &mut self.departed {
            queue.push(departed);
            return;
        }
        if is_over(self.link(conn).idle_until, arrived) {
            // The close is already pending.
            return;
        }
        let held = self.world.server.delay(arrived, &mut self.random);
        let processed = self.world.server.processes_for(&mut self.random);
        self.serve(&departed, held, processed, pending);
    }

    /// The server reads its clock for a request so long after its arrival, and answers so long
    /// after that.
    pub(crate) fn serve(
        &mut self,
        departed: &Departed,
        held: Duration,
        processed: Duration,
        pending: &mut Vec<Pending>,
    ) {
        let Departed { conn, arrives: arrived, back, .. } = *departed;
        let Packet::Request(request) = &departed.packet else { return };
        if !self.is_current(departed) {
            return;
        }
        let proxy = self.world.connections.proxy.filter(|proxy| !proxy.tunnel);
        let stamped = arrived.saturating_add(held);
        let left = stamped.saturating_add(processed);
        let at = left.saturating_add(back);
        let link = self.link(conn);
        if is_over(link.ends, stamped) {
            return;
        }
        link.idle_until = None;
        cancel_timeout(conn, pending);
        let connections = &self.world.connections;
        if has_chance(connections.not_answering, &mut self.faults) {
            return;
        }
        if has_chance(connections.resetting, &mut self.faults) {
            let at = self.link(conn).last.map_or(at, |last| last.max(at));
            let what = RemoteEvent::Failed(ErrorKind::ConnectionReset);
            pending.push(Pending { at, conn, what });
            return;
        }
        let to: &[u8] = if proxy.is_some() { b"http://" } else { b"/" };
        let is_head = request.starts_with(b"HEAD ");
        let asked = request.strip_prefix(if is_head { &b"HEAD "[..] } else { b"GET " });
        let is_good = asked.is_some_and(|asked| asked.starts_with(to));
        let status = match proxy {
            _ if !is_good => 400,
            Some(proxy) if has_chance(proxy.refusing, &mut self.faults) => proxy.status,
            _ => 200,
        };
        let link = self.link(conn);
        let request = Request {
            accepted: link.accepted.unwrap_or(arrived),
            arrived,
            at: stamped,
            left,
            connection: link.number,
            address: link.address,
            is_first: link.responses == 0,
        };
        let World { clock, server, .. } = &mut self.world;
        let Times { mut date, age, stamps } = server.respond(clock, request, &mut self.random);
        if status != 200 {
            // The date of the proxy itself, which must not be used.
            date = date.saturating_add(WRONG);
        }
        self.dates.push((at, date));
        let stamps = stamps.iter().map(|value| format!("{}: {value}\r\n", stamp::HEADER));
        let fields = stamps.collect::<String>() + self.world.server.other_fields();
        let link = self.link(conn);
        link.responses += 1;
        let responses = link.responses;
        let connections = &self.world.connections;
        let closes = connections.closing_after.is_some_and(|most| responses >= most);
        let announces_close = closes && !connections.is_closing_without_notice;
        let has_interim = has_chance(connections.interim, &mut self.faults);
        let has_body = has_chance(connections.with_unexpected_body, &mut self.faults);
        let is_dateless = connections.is_dateless || (is_head && connections.has_dateless_head);
        let date = Some(date).filter(|_| !is_dateless);
        let mut bytes = head(status, date, age, &fields, announces_close);
        if !is_head {
            let end = bytes.len() - b"\r\n".len();
            bytes.splice(end..end, format!("Content-Length: {}\r\n", BODY.len()).into_bytes());
            bytes.extend_from_slice(BODY);
        }
        if has_interim {
            bytes.splice(..0, INTERIM.iter().copied());
        }
        let is_cut = has_chance(connections.truncating, &mut self.faults);
        if is_cut {
            bytes.truncate(self.faults.usize(0..bytes.len()));
        } else if has_body {
            bytes.extend_from_slice(BODY);
        }
        let mut last = self.deliver(conn, bytes, at, pending);
        if closes || is_cut {
            self.link(conn).ends = Some(left);
            last = last.saturating_add(if self.faults.bool() { NANOSECOND } else { LINGER });
            pending.push(Pending { at: last, conn, what: RemoteEvent::Closed });
        } else {
            self.begin_to_idle(conn, left, last, pending);
        }
    }

    /// Delivers bytes from `at` on, possibly in pieces. Returns the arrival of the last one.
    fn deliver(
        &mut self,
        conn: ConnectionId,
        mut bytes: Vec<u8>,
        at: LocalInstant,
        pending: &mut Vec<Pending>,
    ) -> LocalInstant {
        let later = self.world.connections.segmented;
        let mut last = self.link(conn).last.map_or(at, |last| last.max(at));
        while !later.is_zero() && bytes.len() > 1 && self.faults.u8(0..4) > 0 {
            let rest = bytes.split_off(self.faults.usize(1..bytes.len()));
            let what = RemoteEvent::Bytes(std::mem::replace(&mut bytes, rest));
            pending.push(Pending { at: last, conn, what });
            last = last.saturating_add(exponential_time(later, &mut self.faults));
        }
        if !bytes.is_empty() {
            pending.push(Pending { at: last, conn, what: RemoteEvent::Bytes(bytes) });
        }
        // The bytes that the server sent before it broke the connection arrive before the break.
        let breaks = |it: &&mut Pending| {
            let is_break = matches!(it.what, RemoteEvent::Closed | RemoteEvent::Failed(_));
            it.conn == conn && is_break
        };
        for end in pending.iter_mut().filter(breaks) {
            end.at = end.at.max(last.saturating_add(NANOSECOND));
        }
        self.link(conn).last = Some(last);
        last
    }

    /// When the server stamps a message that is sent at `sent`, and when the client receives the
    /// response.
    pub(crate) fn travel(&mut self, sent: LocalInstant) -> (LocalInstant, LocalInstant) {
        self.world.travel(sent, &mut self.random)
    }
}

fn is_over(end: Option<LocalInstant>, at: LocalInstant) -> bool {
    end.is_some_and(|end| at >= end)
}

fn cancel_timeout(conn: ConnectionId, pending: &mut Vec<Pending>) {
    let is_timeout = |it: &Pending| it.conn == conn && matches!(it.what, RemoteEvent::TimedOut(_));
    pending.retain(|it| !is_timeout(it));
}

/// The head of a response.
fn head(
    status: u16,
    date: Option<Timestamp>,
    age: Option<Duration>,
    fields: &str,
    closes: bool,
) -> Vec<u8> {
    let date = date.map_or(String::new(), |date| format!("Date: {date}\r\n"));
    let age = age.map_or(String::new(), |age| format!("Age: {}\r\n", age.as_secs()));
    let close = if closes { "Connection: close\r\n" } else { "" };
    format!("HTTP/1.1 {status} OK\r\n{date}{age}{fields}{close}\r\n").into_bytes()
}

fn timeout_head(date: Timestamp) -> Vec<u8> {
    let nanos = date.as_unix_nanos();
    let date = Timestamp::from_unix_nanos(nanos - nanos.rem_euclid(1_000_000_000));
    head(408, Some(date), None, "", true)
}

pub(crate) const NANOSECOND: Duration = Duration::from_nanos(1);
/// Separates the draws for connections from those for delays.
const FAULTS: u64 = 0xc0_4e_c7_10_45_fa_17_5e;
const INTERIM: &[u8] =
    b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
const BODY: &[u8] = b"<html><body>a body that an answer to HEAD has not</body></html>\r\n";
/// The longest time that a server takes to close a connection.
const LINGER: Duration = Duration::from_micros(300);
const WRONG: Offset = Offset::from_nanos(300_000_000_000);
