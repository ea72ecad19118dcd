//! A real HTTP server on a loopback port, with a known clock error and known delays.
//! `httptime demo` measures it.
//!
//! ```
//! use std::time::Duration;
//! use httptime::Offset;
//! use httptime_sim::loopback::LoopbackServer;
//!
//! let server = LoopbackServer::builder()
//!     .skew(Offset::from_nanos(38_116_000_000))
//!     .delays(Duration::from_millis(10), Duration::from_millis(15))
//!     .start()?;
//! println!("measure {}, expect {}", server.url(), server.offset_now());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! By default it behaves correctly. [`Responder`] replaces its responses, and [`Service`] is the
//! accept loop for other services. It uses threads and blocking sockets. Dropping a server closes
//! its sockets and joins its threads.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use httpdate::HttpDate;
use httptime::{Offset, Timestamp};

mod clock;
mod head;
mod response;
mod service;

pub use self::head::{Head, HeadReader};
pub use self::response::{Response, has_body};
pub use self::service::{Connection, ConnectionEnd, Handler, Service, Stop};

use self::clock::ServerClock;
use crate::server::last_tick;
use crate::stamp::{self, SimStamp, StampTimes, StampWriter};

/// A running HTTP server on a loopback port. See the [module](self).
#[derive(Debug)]
pub struct LoopbackServer {
    service: Service<Server>,
}

impl LoopbackServer {
    /// The settings of a server that behaves correctly, with a correct clock and no delays.
    pub fn builder() -> LoopbackServerBuilder {
        LoopbackServerBuilder::default()
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

    /// The true offset now: server clock minus host clock. It includes the drift but not the lag.
    #[must_use]
    pub fn offset_now(&self) -> Offset {
        let clock = &self.server().clock;
        clock.offset_at(clock.host_now())
    }

    /// The true offset when the host's clock shows `host`.
    #[must_use]
    pub fn offset_at(&self, host: Timestamp) -> Offset {
        self.server().clock.offset_at(host)
    }

    /// The server's clock when the host's clock shows `host`.
    #[must_use]
    pub fn server_time_at(&self, host: Timestamp) -> Timestamp {
        self.server().clock.time_at(host)
    }

    /// Requests received so far. Each is counted before it is answered.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.server().requests.load(Ordering::SeqCst)
    }

    /// The head of the last request received, as text, blank line included.
    #[must_use]
    pub fn last_request(&self) -> Option<String> {
        self.server().last_request.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.service.accepted()
    }

    /// Connections that are open at the server. A connection that the server closes is not counted
    /// from just before its client can see the end.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.service.open()
    }

    /// Returns a function that tests whether a thread of this server still runs or its listener is
    /// still open. The function remains valid after the server is dropped, so that a test can check
    /// the drop.
    pub fn running_probe(&self) -> impl Fn() -> bool + use<> {
        self.service.running_probe()
    }

    fn server(&self) -> &Server {
        self.service.handler()
    }
}

/// The settings of a [`LoopbackServer`].
#[derive(Debug)]
#[must_use]
pub struct LoopbackServerBuilder {
    skew: Offset,
    drift_ppm: f64,
    ipv6: bool,
    port: u16,
    settings: Settings,
    answers: Box<dyn Responder>,
}

#[derive(Debug)]
struct Settings {
    lag: Duration,
    timer_resolution: Duration,
    before: Duration,
    processing: Duration,
    after: Duration,
    stamps: Option<Mutex<StampWriter>>,
    server_header: Option<String>,
    requests_per_connection: usize,
    announce_close: bool,
}

impl Default for LoopbackServerBuilder {
    fn default() -> Self {
        Self {
            skew: Offset::ZERO,
            drift_ppm: 0.0,
            ipv6: false,
            port: 0,
            settings: Settings {
                lag: Duration::ZERO,
                timer_resolution: Duration::ZERO,
                before: Duration::ZERO,
                processing: Duration::ZERO,
                after: Duration::ZERO,
                stamps: None,
                server_header: Some("httptime-sim".to_owned()),
                requests_per_connection: 0,
                announce_close: true,
            },
            answers: Box::new(WellBehaved),
        }
    }
}

impl LoopbackServerBuilder {
    /// Server clock minus host clock at the start. The host's clock is never changed.
    pub fn skew(mut self, skew: Offset) -> Self {
        self.skew = skew;
        self
    }

    /// The frequency error of the server's clock from the start on, in µs per second of the host's
    /// clock. Positive: the server's clock is fast.
    pub fn drift_ppm(mut self, ppm: f64) -> Self {
        self.drift_ppm = ppm;
        self
    }

    /// How long after the server clock's second its `Date` flips.
    pub fn lag(mut self, lag: Duration) -> Self {
        self.settings.lag = lag;
        self
    }

    /// The server reads its clock from a timer that ticks once per `resolution`, as nginx with
    /// `timer_resolution` does: for the `Date` and for stamps [default: 0, at each request].
    pub fn timer_resolution(mut self, resolution: Duration) -> Self {
        self.settings.timer_resolution = resolution;
        self
    }

    /// Waits for `before` from the request to reading the clock, and for `after` from there to the
    /// response, as if these were the delays of the forward and the return path. Exact to some 20
    /// µs on an idle machine.
    pub fn delays(mut self, before: Duration, after: Duration) -> Self {
        self.settings.before = before;
        self.settings.after = after;
        self
    }

    /// Waits for `processing` from reading the clock for the `Date` to the departure of the
    /// response, which is before the delay of the return path [default: 0].
    pub fn processing(mut self, processing: Duration) -> Self {
        self.settings.processing = processing;
        self
    }

    /// Adds a stamp to each response [default: none].
    pub fn stamp(mut self, stamp: SimStamp) -> Self {
        self.settings.stamps = Some(Mutex::new(StampWriter::new(stamp)));
        self
    }

    /// The value of `Server` [default: `httptime-sim`]. `None` sends no such field.
    pub fn server_header(mut self, value: Option<String>) -> Self {
        self.settings.server_header = value;
        self
    }

    /// Replaces the responses.
    pub fn responder(mut self, answers: impl Responder) -> Self {
        self.answers = Box::new(answers);
        self
    }

    /// Closes each connection after this number of responses [default: 0, never].
    pub fn requests_per_connection(mut self, requests: usize) -> Self {
        self.settings.requests_per_connection = requests;
        self
    }

    /// Whether the last response contains `Connection: close` [default: true].
    pub fn announce_close(mut self, announce: bool) -> Self {
        self.settings.announce_close = announce;
        self
    }

    /// Listens on `::1` instead of `127.0.0.1`.
    pub fn ipv6(mut self, ipv6: bool) -> Self {
        self.ipv6 = ipv6;
        self
    }

    /// Listens on this port, for example to restart a server that was dropped [default: 0, any free
    /// port].
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Starts to listen.
    ///
    /// # Errors
    /// When the system assigns no port or thread. [`io::ErrorKind::InvalidInput`] when the server's
    /// `Date` would be outside 1970–2262 or the drift is not a finite number.
    pub fn start(self) -> io::Result<LoopbackServer> {
        let started = Timestamp::from_system_time(SystemTime::now());
        let date = started.and_then(|started| {
            let lag = Offset::from(self.settings.lag).as_nanos();
            let date =
                started.as_unix_nanos().checked_add(self.skew.as_nanos())?.checked_sub(lag)?;
            (date >= 0).then_some(started)
        });
        let Some(started) = date.filter(|_| self.drift_ppm.is_finite()) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("no server clock with skew {} s, drift {} ppm", self.skew, self.drift_ppm),
            ));
        };
        let server = Server {
            clock: ServerClock::new(self.skew, self.drift_ppm, started),
            settings: self.settings,
            answers: self.answers,
            requests: AtomicUsize::new(0),
            last_request: Mutex::new(None),
        };
        Ok(LoopbackServer { service: Service::start_on(self.port, self.ipv6, server)? })
    }
}

/// How a [`LoopbackServer`] responds. The default methods behave as a correct HTTP/1.1 server does.
pub trait Responder: fmt::Debug + Send + Sync + 'static {
    /// Bytes that the server sends on a new connection without waiting for a request; then it only
    /// reads. `now` is the server's time.
    fn unsolicited(&self, now: Timestamp) -> Option<Vec<u8>> {
        let _ = now;
        None
    }

    /// Responds to one request.
    ///
    /// # Errors
    /// Any error closes the connection.
    fn answer(&self, request: &Request<'_>) -> io::Result<ControlFlow<ConnectionEnd>> {
        let reading = request.read_clock()?;
        let response = request.response(200, &reading, BODY);
        request.wait_after(&reading)?;
        let body = if request.should_have_body(200) { BODY } else { b"" };
        request.connection().send(&[&response.head(), body].concat())?;
        Ok(ControlFlow::Continue(()))
    }
}

#[derive(Debug)]
struct WellBehaved;

impl Responder for WellBehaved {}

/// A request that a [`LoopbackServer`] has received.
#[derive(Debug)]
pub struct Request<'a> {
    settings: &'a Settings,
    clock: &'a ServerClock,
    connection: &'a Connection<'a>,
    head: &'a Head,
    accepted: Timestamp,
    received: Instant,
    closes: bool,
}

/// The readings of the server's clock for one response.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ClockReading {
    /// The time for the `Date`, including the lag.
    pub date: Timestamp,
    /// The instant at which the clock was last read: the response leaves.
    pub read: Instant,
    arrived: Timestamp,
    left: Timestamp,
}

impl Request<'_> {
    /// The connection on which it arrived.
    #[must_use]
    pub fn connection(&self) -> &Connection<'_> {
        self.connection
    }

    /// Its head.
    #[must_use]
    pub fn head(&self) -> &Head {
        self.head
    }

    /// Waits for the delay of the forward path, then reads the server's clock; and again when the
    /// request has been processed.
    ///
    /// # Errors
    /// When the server stops first.
    pub fn read_clock(&self) -> io::Result<ClockReading> {
        let settings = self.settings;
        pause(self.connection, self.received, settings.before)?;
        // The clock is read only here; the rest takes some microseconds.
        let arrived = self.server_now();
        let mut reading =
            ClockReading { date: arrived, read: Instant::now(), arrived, left: arrived };
        if !settings.processing.is_zero() {
            pause(self.connection, reading.read, settings.processing)?;
            reading.left = self.server_now();
            reading.read = Instant::now();
        }
        let lag = Offset::ZERO.saturating_sub(Offset::from(settings.lag));
        reading.date = arrived.saturating_add(lag);
        Ok(reading)
    }

    /// The server's clock, or the last tick of its timer.
    fn server_now(&self) -> Timestamp {
        let now = self.clock.time_at(self.clock.host_now());
        last_tick(now, self.settings.timer_resolution, Duration::ZERO)
    }

    /// The response of a correct server: `Server`, `Date`, the stamp, the length of the body, and
    /// whether the connection closes.
    #[must_use]
    pub fn response(&self, status: u16, reading: &ClockReading, body: &[u8]) -> Response {
        let ClockReading { date, arrived, left, .. } = *reading;
        let mut response = Response::new(status, body);
        response.fields.insert(0, ("Date".to_owned(), http_date(date)));
        if let Some(stamps) = &self.settings.stamps {
            let times = StampTimes { accepted: self.accepted, arrived, date, left };
            let mut stamps = stamps.lock().unwrap_or_else(PoisonError::into_inner);
            for value in stamps.values(&times) {
                response.push(stamp::HEADER, &value);
            }
        }
        if let Some(server) = &self.settings.server_header {
            response.fields.insert(0, ("Server".to_owned(), server.clone()));
        }
        if self.closes && self.settings.announce_close {
            response.push("Connection", "close");
        }
        response
    }

    /// Whether a response with this status to this request has a body.
    #[must_use]
    pub fn should_have_body(&self, status: u16) -> bool {
        self.head.word(0) != "HEAD" && has_body(status)
    }

    /// Waits for the delay of the return path.
    ///
    /// # Errors
    /// When the server stops first.
    pub fn wait_after(&self, reading: &ClockReading) -> io::Result<()> {
        pause(self.connection, reading.read, self.settings.after)
    }
}

#[derive(Debug)]
struct Server {
    clock: ServerClock,
    settings: Settings,
    answers: Box<dyn Responder>,
    requests: AtomicUsize,
    last_request: Mutex<Option<String>>,
}

impl Handler for Server {
    fn serve(&self, connection: &Connection<'_>) -> io::Result<ConnectionEnd> {
        let accepted = self.clock.time_at(self.clock.host_now());
        if let Some(unsolicited) = self.answers.unsolicited(accepted) {
            connection.send(&unsolicited)?;
            return connection.hold();
        }
        let mut reader = HeadReader::default();
        let mut answered = 0;
        while let Some(head) = reader.next(connection.stream())? {
            let received = Instant::now();
            self.requests.fetch_add(1, Ordering::SeqCst);
            *self.last_request.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(head.text().to_owned());
            answered += 1;
            let closes = head.should_close() || answered == self.settings.requests_per_connection;
            let request = Request {
                settings: &self.settings,
                clock: &self.clock,
                connection,
                head: &head,
                accepted,
                received,
                closes,
            };
            if let ControlFlow::Break(ending) = self.answers.answer(&request)? {
                return Ok(ending);
            }
            if closes {
                break;
            }
        }
        Ok(ConnectionEnd::Close)
    }
}

/// Waits until `by` has passed since `since`.
fn pause(connection: &Connection<'_>, since: Instant, by: Duration) -> io::Result<()> {
    if by.is_zero() { Ok(()) } else { connection.stop().sleep_until(since.checked_add(by)) }
}

/// The time as the value of `Date`. Earlier times become 1970.
#[must_use]
pub fn http_date(time: Timestamp) -> String {
    let time = time.to_system_time().unwrap_or(UNIX_EPOCH).max(UNIX_EPOCH);
    HttpDate::from(time).to_string()
}

/// The body that [`LoopbackServer`] sends in response to `GET`.
pub const BODY: &[u8] = b"This server tells the time in its head.\n";
