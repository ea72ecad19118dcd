//! A small forward proxy for tests. It reaches loopback addresses only.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use httpdate::HttpDate;
use httptime_sim::loopback::{
    Connection, ConnectionEnd, Handler, Head, HeadReader, Response, Service, Stop,
};

/// A running HTTP forward proxy on a loopback port.
///
/// It forwards `HEAD` requests for `http://` URLs, returns the origin's head unchanged, and keeps
/// the connection to the origin open. It forwards `GET` and `OPTIONS` with the body, and closes
/// both connections afterwards. It opens tunnels (`CONNECT`). Origins are loopback addresses,
/// `localhost`, or any name if [`ProxyOptions::origin`] gives its address; no name is ever
/// resolved.
#[derive(Debug)]
pub struct LoopbackProxy {
    service: Service<Proxy>,
}

impl LoopbackProxy {
    /// Starts to listen on a free port.
    ///
    /// # Errors
    /// When the system assigns no port or thread.
    pub fn start(options: ProxyOptions) -> io::Result<Self> {
        let port = options.port;
        let proxy = Proxy {
            options,
            requests: AtomicUsize::new(0),
            tunnels: AtomicUsize::new(0),
            last_request: Mutex::new(None),
            stored: Mutex::new(HashMap::new()),
        };
        Ok(Self { service: Service::start_on(port, false, proxy)? })
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

    /// Requests received so far, including `CONNECT` and refused ones. Each is counted before it is
    /// answered.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.service.handler().requests.load(Ordering::SeqCst)
    }

    /// Tunnels opened so far.
    #[must_use]
    pub fn tunnels(&self) -> usize {
        self.service.handler().tunnels.load(Ordering::SeqCst)
    }

    /// The head of the last request received, as text, including the blank line.
    #[must_use]
    pub fn last_request(&self) -> Option<String> {
        lock(&self.service.handler().last_request).clone()
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.service.accepted()
    }
}

/// The behaviour of a [`LoopbackProxy`]. By default it forwards everything for everyone.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ProxyOptions {
    credentials: Option<String>,
    refuse_connect: bool,
    origin: Option<SocketAddr>,
    cache: Option<Duration>,
    agent: Option<String>,
    port: u16,
}

impl ProxyOptions {
    /// Responds with 407 unless the request has these credentials (`Basic`, RFC 7617).
    pub fn credentials(mut self, user: &str, password: &str) -> Self {
        self.credentials = Some(format!("Basic {}", BASE64.encode(format!("{user}:{password}"))));
        self
    }

    /// Responds with 403 to `CONNECT`.
    pub fn refuse_connect(mut self, refuse: bool) -> Self {
        self.refuse_connect = refuse;
        self
    }

    /// Forwards everything to this address, whatever host the request names. A name below `invalid`
    /// does not exist all the same.
    pub fn origin(mut self, origin: SocketAddr) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Names itself in the field `Proxy-Agent` of its responses to `CONNECT`, as gost does.
    pub fn agent(mut self, agent: &str) -> Self {
        self.agent = Some(agent.to_owned());
        self
    }

    /// Listens on this port [default: 0, any free port].
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Stores the first response for each URL and returns it to all later requests, with an `Age`
    /// that begins at `age` and grows.
    pub fn cache(mut self, age: Duration) -> Self {
        self.cache = Some(age);
        self
    }
}

#[derive(Debug)]
struct Proxy {
    options: ProxyOptions,
    requests: AtomicUsize,
    tunnels: AtomicUsize,
    last_request: Mutex<Option<String>>,
    stored: Mutex<HashMap<String, (Head, Instant)>>,
}

impl Handler for Proxy {
    fn serve(&self, connection: &Connection<'_>) -> io::Result<ConnectionEnd> {
        let mut reader = HeadReader::default();
        let mut origin = None;
        while let Some(request) = reader.next(connection.stream())? {
            self.requests.fetch_add(1, Ordering::SeqCst);
            *lock(&self.last_request) = Some(request.text().to_owned());
            let method = request.word(0);
            if !self.is_authorized(&request) {
                let challenge = ("Proxy-Authenticate", "Basic realm=\"loopback\"");
                connection.send(&proxy_response(407, Some(challenge)))?;
            } else if method == "CONNECT" {
                if !self.options.refuse_connect {
                    return self.tunnel(connection, &request, reader);
                }
                connection.send(&proxy_response(403, None))?;
            } else if ["HEAD", "GET", "OPTIONS"].contains(&method) {
                let response = self.forward(connection, &request, &mut origin);
                let response =
                    response.unwrap_or_else(|status| proxy_response(status, None).into());
                connection.send(&response.bytes)?;
                if response.closes {
                    break;
                }
            } else {
                connection.send(&proxy_response(501, None))?;
            }
            if request.should_close() {
                break;
            }
        }
        Ok(ConnectionEnd::Close)
    }
}

impl Proxy {
    fn is_authorized(&self, request: &Head) -> bool {
        self.options
            .credentials
            .as_deref()
            .is_none_or(|wanted| request.field("proxy-authorization") == Some(wanted))
    }

    /// The response to return, or the status code of the proxy's own response.
    fn forward(
        &self,
        connection: &Connection<'_>,
        request: &Head,
        origin: &mut Option<Origin>,
    ) -> Result<Relayed, u16> {
        let url = request.word(1);
        let is_head = request.word(0) == "HEAD";
        let (authority, path) = split_url(url).ok_or(400_u16)?;
        let path =
            if request.word(0) == "OPTIONS" && url.ends_with(authority) { "*" } else { path };
        if let Some(age) = self.options.cache {
            if let Some((head, since)) = lock(&self.stored).get(url) {
                return Ok(aged(head, age.saturating_add(since.elapsed())));
            }
        }
        let address = self.locate(authority, 80)?;
        let message = forwarded_request(request, path, !is_head);
        if !is_head {
            // Over a separate connection, which ends with the body.
            let mut used = Origin::connect(connection.stop(), address)?;
            return used.exchange(&message).and_then(|it| used.rest(it.0)).map_err(|_| 502);
        }
        let mut reused = origin.take().filter(|origin| origin.address == address);
        let (relayed, head) = loop {
            let retry = reused.is_some();
            let mut used = match reused.take() {
                Some(used) => used,
                None => Origin::connect(connection.stop(), address)?,
            };
            match used.exchange(&message) {
                Ok((relayed, head)) => {
                    *origin = Some(used).filter(|_| !relayed.closes);
                    break (relayed, head);
                }
                // An origin may close an idle connection at any time.
                Err(_) if retry => {}
                Err(_) => return Err(502),
            }
        };
        if self.options.cache.is_some() {
            lock(&self.stored).insert(url.to_owned(), (head, Instant::now()));
        }
        Ok(relayed)
    }

    fn tunnel(
        &self,
        connection: &Connection<'_>,
        request: &Head,
        reader: HeadReader,
    ) -> io::Result<ConnectionEnd> {
        let origin = self
            .locate(request.word(1), 443)
            .and_then(|address| Origin::connect(connection.stop(), address));
        let origin = match origin {
            Ok(origin) => origin,
            Err(status) => {
                connection.send(&proxy_response(status, None))?;
                return Ok(ConnectionEnd::Close);
            }
        };
        self.tunnels.fetch_add(1, Ordering::SeqCst);
        let agent = self.options.agent.as_deref();
        let agent = agent.map_or(String::new(), |agent| format!("Proxy-Agent: {agent}\r\n"));
        let opened = format!("HTTP/1.1 200 Connection established\r\n{agent}\r\n");
        connection.send(opened.as_bytes())?;
        (&*origin.stream).write_all(&reader.into_rest())?;
        thread::scope(|scope| {
            scope.spawn(|| copy(connection.stream(), &origin.stream));
            copy(&origin.stream, connection.stream());
        });
        Ok(ConnectionEnd::Close)
    }

    fn locate(&self, authority: &str, default_port: u16) -> Result<SocketAddr, u16> {
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| 400_u16)?)
            }
            _ => (authority, default_port),
        };
        if host.ends_with(".invalid") {
            return Err(502);
        }
        if let Some(origin) = self.options.origin {
            return Ok(origin);
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let ip = if host == "localhost" {
            Ipv4Addr::LOCALHOST.into()
        } else if let Ok(ip) = host.parse::<Ipv6Addr>() {
            ip.into()
        } else {
            host.parse::<Ipv4Addr>().map_err(|_| 502_u16)?.into()
        };
        let address = SocketAddr::new(ip, port);
        if address.ip().is_loopback() { Ok(address) } else { Err(502) }
    }
}

/// The bytes to return to the client.
struct Relayed {
    bytes: Vec<u8>,
    closes: bool,
}

impl From<Vec<u8>> for Relayed {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, closes: false }
    }
}

/// A connection to an origin.
struct Origin {
    address: SocketAddr,
    stream: Arc<TcpStream>,
    reader: HeadReader,
}

impl Origin {
    /// Connects, or returns the status code for the failure.
    fn connect(stop: &Stop, address: SocketAddr) -> Result<Self, u16> {
        let stream = stop.connect(address).map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionAborted => 503_u16,
            io::ErrorKind::TimedOut => 504,
            _ => 502,
        })?;
        Ok(Self { address, stream, reader: HeadReader::default() })
    }

    /// Sends a request. Returns all heads up to the final one, and the final one.
    fn exchange(&mut self, message: &[u8]) -> io::Result<(Relayed, Head)> {
        (&*self.stream).write_all(message)?;
        let mut bytes = Vec::new();
        loop {
            let head = self.reader.next(&self.stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            bytes.extend_from_slice(head.raw());
            if !head.word(1).starts_with('1') {
                return Ok((Relayed { bytes, closes: head.should_close() }, head));
            }
        }
    }

    /// The response with the bytes after its head, up to the end of the connection.
    fn rest(self, mut head: Relayed) -> io::Result<Relayed> {
        head.bytes.extend_from_slice(&self.reader.into_rest());
        (&*self.stream).take(MAX_BODY).read_to_end(&mut head.bytes)?;
        Ok(Relayed { closes: true, ..head })
    }
}

/// The request for the origin: only the path, and without the fields that are meant for the proxy.
fn forwarded_request(request: &Head, path: &str, closes: bool) -> Vec<u8> {
    let mut message = format!("{} {path} HTTP/1.1\r\n", request.word(0));
    let begins = |line: &str, name: &str| {
        line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
    };
    if closes {
        message.push_str("Connection: close\r\n");
    }
    for line in request.field_lines() {
        let is_replaced = closes && begins(line, "connection:");
        if !is_replaced && !begins(line, "proxy-") {
            let _ = write!(message, "{line}\r\n");
        }
    }
    message.push_str("\r\n");
    message.into_bytes()
}

/// Authority and path of an `http://` URL.
fn split_url(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("http://")?;
    let slash = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(slash);
    Some((authority, if path.is_empty() { "/" } else { path }))
}

fn aged(head: &Head, age: Duration) -> Relayed {
    let kept = head.raw().strip_suffix(b"\r\n").unwrap_or_default();
    let age = format!("Age: {}\r\n\r\n", age.as_secs());
    Relayed { bytes: [kept, age.as_bytes()].concat(), closes: head.should_close() }
}

/// A response of the proxy itself. Its `Date` is the host's time, not the requested server's.
fn proxy_response(status: u16, field: Option<(&str, &str)>) -> Vec<u8> {
    let mut response = Response::new(status, b"");
    response.push("Date", &HttpDate::from(SystemTime::now()).to_string());
    if let Some((name, value)) = field {
        response.push(name, value);
    }
    response.head()
}

/// Copies bytes until one end closes; then shuts the other end down.
pub(crate) fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let mut buffer = [0; 8192];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..n]).is_err() {
            let _ = from.shutdown(Shutdown::Both);
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The longest body that is forwarded.
const MAX_BODY: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Client, date, drop_promptly, wait_for};
    use crate::{Behaviour, BlackHole, LoopbackServer, Misbehave as _, RefusedPort};

    fn origin() -> LoopbackServer {
        LoopbackServer::builder().start().expect("a server")
    }

    fn proxy(options: ProxyOptions) -> (LoopbackProxy, Client) {
        let proxy = LoopbackProxy::start(options).expect("a proxy");
        let client = Client::new(proxy.address());
        (proxy, client)
    }

    fn request(url: &str, fields: &str) -> String {
        format!("HEAD {url} HTTP/1.1\r\nHost: server.test\r\n{fields}\r\n")
    }

    #[test]
    fn the_origins_head_comes_back_as_it_was() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT".to_owned();
        let raw = b"HTTP/1.1 418 odd\r\nDATE:x\r\n\r\n".to_vec();
        let script = vec![Behaviour::FixedDate(date.clone()), Behaviour::Raw(raw.clone())];
        let origin = LoopbackServer::builder().script(script).start().expect("a server");
        let (proxy, mut client) = proxy(ProxyOptions::default());
        client.send(&request(&origin.url(), "Proxy-Connection: keep-alive\r\nX-Own: 1\r\n"));
        assert_eq!(client.head().field("date"), Some(date.as_str()));
        let seen = origin.last_request().expect("a request");
        assert_eq!(seen, "HEAD / HTTP/1.1\r\nHost: server.test\r\nX-Own: 1\r\n\r\n");
        client.send(&request(&origin.url(), ""));
        assert_eq!(client.head().raw(), raw);
        assert_eq!((proxy.requests(), proxy.connections(), origin.connections()), (2, 1, 1));
    }

    #[test]
    fn what_is_asked_by_another_method_than_head_comes_back_with_its_body() {
        let origin = origin();
        let (_proxy, mut client) = proxy(ProxyOptions::default());
        let get = request(&origin.url(), "").replace("HEAD ", "GET ");
        client.send(&get);
        assert_eq!(client.head().word(1), "200");
        assert_eq!(client.rest(), httptime_sim::loopback::BODY);
        let asked = origin.last_request().expect("a request");
        assert!(asked.starts_with("GET / HTTP/1.1\r\n"), "{asked}");
        let (_other, mut client) = proxy(ProxyOptions::default());
        let options = request(origin.url().trim_end_matches('/'), "").replace("HEAD ", "OPTIONS ");
        client.send(&options);
        assert_eq!(client.head().word(1), "200");
        let asked = origin.last_request().expect("a request");
        assert!(asked.starts_with("OPTIONS * HTTP/1.1\r\n"), "{asked}");
    }

    #[test]
    fn interim_responses_are_passed_on() {
        let builder = LoopbackServer::builder().behaviour(Behaviour::Interim103);
        let origin = builder.start().expect("a server");
        let (_proxy, mut client) = proxy(ProxyOptions::default());
        client.send(&request(&origin.url(), ""));
        assert_eq!([client.head().word(1), client.head().word(1)], ["103", "200"]);
    }

    #[test]
    fn an_origin_that_closed_unannounced_is_connected_to_again() {
        let builder = LoopbackServer::builder().requests_per_connection(1).announce_close(false);
        let origin = builder.start().expect("a server");
        let (_proxy, mut client) = proxy(ProxyOptions::default());
        for requests in 1..=3 {
            client.send(&request(&origin.url(), ""));
            assert_eq!(client.head().word(1), "200");
            assert_eq!(origin.connections(), requests);
        }
    }

    #[test]
    fn a_close_that_the_origin_announced_holds_for_the_client_too() {
        let builder = LoopbackServer::builder().requests_per_connection(1);
        let origin = builder.start().expect("a server");
        let (_proxy, mut client) = proxy(ProxyOptions::default());
        client.send(&request(&origin.url(), ""));
        assert_eq!(client.head().field("connection"), Some("close"));
        assert_eq!(client.rest(), b"");
    }

    #[test]
    fn any_name_leads_to_the_given_origin_and_without_one_none_is_resolved() {
        let origin = origin();
        let (_proxy, mut client) = proxy(ProxyOptions::default().origin(origin.address()));
        client.send(&request("http://server.test", ""));
        assert_eq!(client.head().word(1), "200");
        let (_proxy, mut client) = proxy(ProxyOptions::default());
        for other_url in ["http://server.test/", "http://192.0.2.1/", "http://[2001:db8::1]:80/"] {
            client.send(&request(other_url, ""));
            assert_eq!(client.head().word(1), "502");
        }
        client.send(&request(&origin.url().replace("127.0.0.1", "localhost"), ""));
        assert_eq!(client.head().word(1), "200");
    }

    #[test]
    fn credentials_are_asked_for_and_taken() {
        let origin = origin();
        // RFC 7617, section 2.
        let options = ProxyOptions::default().credentials("Aladdin", "open sesame");
        let (_proxy, mut client) = proxy(options);
        for wrong in ["", "Proxy-Authorization: Basic QWxhZGRpbg==\r\n"] {
            client.send(&request(&origin.url(), wrong));
            let refusal = client.head();
            assert_eq!(refusal.word(1), "407");
            assert_eq!(refusal.field("proxy-authenticate"), Some("Basic realm=\"loopback\""));
            assert!(date(&refusal) > 0);
        }
        let right = "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
        client.send(&request(&origin.url(), right));
        assert_eq!(client.head().word(1), "200");
        let seen = origin.last_request().expect("a request");
        assert!(!seen.contains("Proxy-Authorization"), "{seen}");
    }

    #[test]
    fn a_tunnel_passes_bytes_both_ways_until_it_is_closed() {
        let origin = origin();
        let (proxy, mut client) = proxy(ProxyOptions::default());
        // The first request is in the same segment as the CONNECT.
        let connect = format!("CONNECT {} HTTP/1.1\r\n\r\n", origin.address());
        client.send(&(connect + &request("/", "")));
        assert_eq!(client.head().text(), "HTTP/1.1 200 Connection established\r\n\r\n");
        assert_eq!(client.head().field("server"), Some("httptime-sim"));
        assert_eq!(client.ask().word(1), "200");
        assert_eq!((proxy.tunnels(), proxy.requests(), origin.requests()), (1, 1, 2));
        client.stream.shutdown(Shutdown::Write).expect("an open connection");
        assert_eq!(client.rest(), b"");
        wait_for(|| origin.open_connections() == 0);
    }

    #[test]
    fn a_tunnel_can_be_refused() {
        let origin = origin();
        let (proxy, mut client) = proxy(ProxyOptions::default().refuse_connect(true));
        client.send(&format!("CONNECT {} HTTP/1.1\r\n\r\n", origin.address()));
        assert_eq!(client.head().word(1), "403");
        client.send(&request(&origin.url(), ""));
        assert_eq!(client.head().word(1), "200");
        assert_eq!(proxy.tunnels(), 0);
    }

    #[test]
    fn a_cache_asks_once_and_tells_the_age() {
        let origin = origin();
        let age = Duration::from_millis(49_980);
        let (_proxy, mut client) = proxy(ProxyOptions::default().cache(age));
        client.send(&request(&origin.url(), ""));
        let first = client.head();
        let begun = Instant::now();
        assert_eq!(first.field("age"), None);
        wait_for(|| begun.elapsed() > Duration::from_millis(25));
        client.send(&request(&origin.url(), ""));
        let stored = client.head();
        assert_eq!((stored.field("age"), date(&stored)), (Some("50"), date(&first)));
        assert_eq!(origin.requests(), 1);
    }

    #[test]
    fn an_origin_that_is_not_there_is_a_bad_gateway() {
        let port = RefusedPort::reserve().expect("a port");
        let (_proxy, mut client) = proxy(ProxyOptions::default().origin(port.address()));
        client.send(&request("http://server.test/", ""));
        assert_eq!(client.head().word(1), "502");
        client.send("CONNECT server.test:80 HTTP/1.1\r\n\r\n");
        assert_eq!(client.head().word(1), "502");
    }

    #[test]
    fn dropping_ends_every_thread_promptly_whatever_it_waits_for() {
        let hole = BlackHole::start().expect("a listener");
        let silent = LoopbackServer::builder().behaviour(Behaviour::Silent);
        let silent = silent.start().expect("a server");
        for origin in [hole.address(), silent.address()] {
            let (proxy, mut client) = proxy(ProxyOptions::default().origin(origin));
            let mut tunnel = Client::new(proxy.address());
            client.send(&request("http://server.test/", ""));
            tunnel.send("CONNECT server.test:80 HTTP/1.1\r\n\r\n");
            wait_for(|| proxy.requests() == 2);
            wait_for(|| origin == hole.address() || silent.connections() == 2);
            let alive = proxy.service.running_probe();
            drop_promptly(proxy);
            assert!(!alive(), "a thread or the listener still exists");
        }
    }
}
