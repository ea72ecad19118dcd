//! A real HTTP server on a loopback port, with a known clock error, delays and bad manners to choose from.
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
//! Beside it: [`LoopbackProxy`], a forward proxy, and [`BlackHole`] and [`RefusedPort`], where no server is.
//! Threads and blocking sockets throughout. Dropping a server, or a proxy, closes its sockets and joins its threads.

use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use httpdate::HttpDate;
use httptime::{Offset, Timestamp};

mod behaviour;
mod clock;
mod head;
mod nowhere;
mod service;

pub use self::behaviour::Behaviour;
pub use self::nowhere::{BlackHole, RefusedPort};

use self::behaviour::{
    HTTP2_FRAMES, INTERIM_102, INTERIM_103, Names, Response, SSH_BANNER, TLS_ALERT,
};
use self::clock::ServerClock;
use self::head::{Head, HeadReader};
use self::service::{Connection, Ending, Handler, Service};

/// A running HTTP server on a loopback port. See the [module](self).
#[derive(Debug)]
pub struct LoopbackServer {
    service: Service<Server>,
}

impl LoopbackServer {
    /// The settings of a server that behaves, with a correct clock and no delays.
    #[must_use]
    pub fn builder() -> LoopbackServerBuilder {
        LoopbackServerBuilder::default()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.service.address()
    }

    /// Its URL, `http://127.0.0.1:PORT/`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address())
    }

    /// The truth, now: server clock minus host clock, drift included and lag not.
    #[must_use]
    pub fn offset_now(&self) -> Offset {
        let clock = &self.server().clock;
        clock.offset_at(clock.host_now())
    }

    /// The truth when the host's clock shows `host`.
    #[must_use]
    pub fn offset_at(&self, host: Timestamp) -> Offset {
        self.server().clock.offset_at(host)
    }

    /// What the server's clock shows when the host's shows `host`.
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

    /// Connections that the server has open now. One that it closes is not counted from just before its client
    /// can see the end.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.service.open()
    }

    fn server(&self) -> &Server {
        self.service.handler()
    }
}

/// The settings of a [`LoopbackServer`].
#[derive(Debug, Clone)]
#[must_use]
pub struct LoopbackServerBuilder {
    skew: Offset,
    drift_ppm: f64,
    ipv6: bool,
    answers: Answers,
}

#[derive(Debug, Clone)]
struct Answers {
    lag: Duration,
    before: Duration,
    after: Duration,
    server_header: Option<String>,
    script: Vec<Behaviour>,
    requests_per_connection: usize,
    announce_close: bool,
}

impl Default for LoopbackServerBuilder {
    fn default() -> Self {
        Self {
            skew: Offset::ZERO,
            drift_ppm: 0.0,
            ipv6: false,
            answers: Answers {
                lag: Duration::ZERO,
                before: Duration::ZERO,
                after: Duration::ZERO,
                server_header: Some("httptime-sim".to_owned()),
                script: Vec::new(),
                requests_per_connection: 0,
                announce_close: true,
            },
        }
    }
}

impl LoopbackServerBuilder {
    /// Server clock minus host clock at the start. Nothing touches the host's clock.
    pub fn skew(mut self, skew: Offset) -> Self {
        self.skew = skew;
        self
    }

    /// The server's clock is fast by so many µs per second of the host's clock, from the start on.
    pub fn drift_ppm(mut self, ppm: f64) -> Self {
        self.drift_ppm = ppm;
        self
    }

    /// How long after the server clock's second its `Date` flips.
    pub fn lag(mut self, lag: Duration) -> Self {
        self.answers.lag = lag;
        self
    }

    /// Waits for `before` from the request to reading the clock, and for `after` from there to the answer, as if
    /// these were the two ways of the path. Exact to some 20 µs on an idle machine.
    pub fn delays(mut self, before: Duration, after: Duration) -> Self {
        self.answers.before = before;
        self.answers.after = after;
        self
    }

    /// The value of `Server`, `httptime-sim` by default. `None` sends none.
    pub fn server_header(mut self, value: Option<String>) -> Self {
        self.answers.server_header = value;
        self
    }

    /// How every request is answered.
    pub fn behaviour(self, behaviour: Behaviour) -> Self {
        self.script(vec![behaviour])
    }

    /// How each request is answered, over all connections in the order in which they come; the last one repeats.
    /// [`Behaviour::SshBanner`] does not wait for a request: it takes the connection that is opened when its turn
    /// comes.
    pub fn script(mut self, behaviours: Vec<Behaviour>) -> Self {
        self.answers.script = behaviours;
        self
    }

    /// Closes each connection after so many answers; 0, the default, never does.
    pub fn requests_per_connection(mut self, requests: usize) -> Self {
        self.answers.requests_per_connection = requests;
        self
    }

    /// Whether the last answer says `Connection: close`. It does by default.
    pub fn announce_close(mut self, announce: bool) -> Self {
        self.answers.announce_close = announce;
        self
    }

    /// Listens on `::1` instead of `127.0.0.1`.
    pub fn ipv6(mut self, ipv6: bool) -> Self {
        self.ipv6 = ipv6;
        self
    }

    /// Starts to listen on a free port.
    ///
    /// # Errors
    /// When the system gives no port or no thread, and [`io::ErrorKind::InvalidInput`] when the server's `Date`
    /// would be outside 1970–2262 or the drift is not a finite number.
    pub fn start(self) -> io::Result<LoopbackServer> {
        let started = Timestamp::from_system_time(SystemTime::now());
        let date = started.and_then(|started| {
            let lag = Offset::from(self.answers.lag).as_nanos();
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
            answers: self.answers,
            requests: AtomicUsize::new(0),
            turns: AtomicUsize::new(0),
            last_request: Mutex::new(None),
            stored: OnceLock::new(),
        };
        Ok(LoopbackServer { service: Service::start(self.ipv6, server)? })
    }
}

#[derive(Debug)]
struct Server {
    clock: ServerClock,
    answers: Answers,
    requests: AtomicUsize,
    /// Place in the script: requests, and connections that got a banner.
    turns: AtomicUsize,
    last_request: Mutex<Option<String>>,
    /// The `Date` of the first answer that is frozen or out of a cache, and when that was.
    stored: OnceLock<(Timestamp, Instant)>,
}

impl Handler for Server {
    fn serve(&self, connection: &Connection<'_>) -> io::Result<Ending> {
        if self.banner_is_next() {
            connection.send(SSH_BANNER)?;
            return connection.hold();
        }
        let mut reader = HeadReader::default();
        let mut answered = 0;
        while let Some(request) = reader.next(connection.stream())? {
            let received = Instant::now();
            self.requests.fetch_add(1, Ordering::SeqCst);
            *self.last_request.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(request.text().to_owned());
            answered += 1;
            let closes = request.closes() || answered == self.answers.requests_per_connection;
            let turn = self.turns.fetch_add(1, Ordering::SeqCst);
            if let ControlFlow::Break(ending) =
                self.answer(connection, &request, received, turn, closes)?
            {
                return Ok(ending);
            }
            if closes {
                break;
            }
        }
        Ok(Ending::Close)
    }
}

impl Server {
    fn answer(
        &self,
        connection: &Connection<'_>,
        request: &Head,
        received: Instant,
        turn: usize,
        closes: bool,
    ) -> io::Result<ControlFlow<Ending>> {
        let behaviour = self.behaviour(turn);
        match behaviour {
            Behaviour::Silent => return connection.hold().map(ControlFlow::Break),
            Behaviour::EmptyReply => return Ok(ControlFlow::Break(Ending::Close)),
            Behaviour::Interim103 => connection.send(INTERIM_103)?,
            _ => {}
        }
        pause(connection, received, self.answers.before)?;
        // The clock is read here and nowhere else; what follows takes some microseconds.
        let clock = self.clock.time_at(self.clock.host_now());
        let stamped = Instant::now();
        let wire = self.response(behaviour, request, clock, stamped, turn, closes);
        pause(connection, stamped, self.answers.after)?;
        self.transmit(connection, behaviour, &wire)
    }

    fn response(
        &self,
        behaviour: &Behaviour,
        request: &Head,
        clock: Timestamp,
        stamped: Instant,
        turn: usize,
        closes: bool,
    ) -> Wire {
        let stamp = clock.saturating_add(minus(self.answers.lag));
        let (mut date, mut age) = (stamp, None);
        match behaviour {
            Behaviour::FrozenDate => date = self.stored.get_or_init(|| (stamp, stamped)).0,
            Behaviour::Cached { age: first_age } => {
                let (first, at) = *self.stored.get_or_init(|| (stamp, stamped));
                date = first.saturating_add(minus(first_age.unwrap_or_default()));
                age =
                    first_age.map(|age| age.saturating_add(stamped.saturating_duration_since(at)));
            }
            Behaviour::JumpsBack { after_requests, by } if turn >= *after_requests => {
                date = stamp.saturating_add(minus(*by));
            }
            _ => {}
        }

        let mut fields = Vec::with_capacity(8);
        if let Some(server) = &self.answers.server_header {
            fields.push(("Server", server.clone()));
        }
        match behaviour {
            Behaviour::NoDate => {}
            Behaviour::TwoDates => {
                fields.push(("Date", http_date(date)));
                fields.push(("Date", forged_date(date)));
            }
            Behaviour::FixedDate(text) => fields.push(("Date", text.clone())),
            Behaviour::FoldedDate => {
                let text = http_date(date);
                let (day, clock) = text.split_at(text.len() - "08:49:37 GMT".len());
                fields.push(("Date", format!("{}\r\n {clock}", day.trim_end())));
            }
            Behaviour::NulBytes => {
                fields.push(("X-Nul", "a\0b\0c".to_owned()));
                fields.push(("Date", http_date(date)));
            }
            _ => fields.push(("Date", http_date(date))),
        }
        if let Behaviour::Cached { .. } = behaviour {
            fields.push(("Via", "1.1 cache.test".to_owned()));
            fields.push(("X-Cache", "HIT".to_owned()));
        }
        if let Some(age) = age {
            fields.push(("Age", age.as_secs().to_string()));
        }

        let status = if let Behaviour::Status(status) = behaviour { *status } else { 200 };
        let body = match behaviour {
            Behaviour::BodyAfterHead | Behaviour::BodyAfterHeadLater { .. } => {
                forged_response(date)
            }
            _ => BODY.to_vec(),
        };
        if status != 204 && status != 304 {
            fields.push(("Content-Type", "text/plain".to_owned()));
            fields.push(("Content-Length", body.len().to_string()));
        }
        if (300..400).contains(&status) && status != 304 {
            fields.push(("Location", "/elsewhere".to_owned()));
        }
        let http10 = *behaviour == Behaviour::Http10Close;
        if closes && self.answers.announce_close && !http10 {
            fields.push(("Connection", "close".to_owned()));
        }
        let response = Response {
            version: if http10 { "HTTP/1.0" } else { "HTTP/1.1" },
            status,
            names: match behaviour {
                Behaviour::LowerCaseNames => Names::Lower,
                Behaviour::MixedCaseNames => Names::Mixed,
                _ => Names::Usual,
            },
            fields,
        };
        let bodiless = request.word(0) == "HEAD" || status == 204 || status == 304;
        Wire {
            head: response.head(),
            body: if bodiless { Vec::new() } else { body.clone() },
            illegal: body,
        }
    }

    fn transmit(
        &self,
        connection: &Connection<'_>,
        behaviour: &Behaviour,
        wire: &Wire,
    ) -> io::Result<ControlFlow<Ending>> {
        let whole = [&wire.head[..], &wire.body[..]].concat();
        match behaviour {
            Behaviour::Http10Close => {
                connection.send(&whole)?;
                return Ok(ControlFlow::Break(Ending::Close));
            }
            Behaviour::Dribble { every } => {
                for byte in &whole {
                    connection.send(std::slice::from_ref(byte))?;
                    connection.stop().sleep_until(Instant::now().checked_add(*every))?;
                }
            }
            Behaviour::EndlessHeaders => {
                connection.send(&wire.head[..wire.head.len() - "\r\n".len()])?;
                let filler = format!("X-Filler: {}\r\n", "z".repeat(100)).repeat(16);
                loop {
                    connection.send(filler.as_bytes())?;
                }
            }
            Behaviour::EndlessInterim => {
                let many = INTERIM_102.repeat(16);
                loop {
                    connection.send(&many)?;
                }
            }
            Behaviour::TlsAlert => {
                connection.send(TLS_ALERT)?;
                return Ok(ControlFlow::Break(Ending::Close));
            }
            Behaviour::Http2Preface => {
                connection.send(HTTP2_FRAMES)?;
                return Ok(ControlFlow::Break(Ending::Close));
            }
            Behaviour::CloseMidHead => {
                let date = wire.head.windows(6).position(|window| window == b"Date: ");
                connection.send(&wire.head[..date.unwrap_or_default() + "Date: Sun, 06".len()])?;
                return Ok(ControlFlow::Break(Ending::Close));
            }
            Behaviour::BodyAfterHead => {
                connection.send(&[&wire.head[..], &wire.illegal[..]].concat())?;
            }
            Behaviour::BodyAfterHeadLater { after } => {
                connection.send(&wire.head)?;
                connection.stop().sleep_until(Instant::now().checked_add(*after))?;
                connection.send(&wire.illegal)?;
            }
            Behaviour::ResetBetweenRequests => {
                connection.send(&whole)?;
                return Ok(ControlFlow::Break(Ending::Reset));
            }
            Behaviour::SshBanner => {
                connection.send(SSH_BANNER)?;
                return connection.hold().map(ControlFlow::Break);
            }
            Behaviour::Raw(bytes) => connection.send(bytes)?,
            _ => connection.send(&whole)?,
        }
        Ok(ControlFlow::Continue(()))
    }

    fn behaviour(&self, turn: usize) -> &Behaviour {
        let script = &self.answers.script;
        script.get(turn).or(script.last()).unwrap_or(&Behaviour::Normal)
    }

    /// Whether the script's next turn is a banner; if so it is taken.
    fn banner_is_next(&self) -> bool {
        let taken = self.turns.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |turn| {
            (*self.behaviour(turn) == Behaviour::SshBanner).then_some(turn + 1)
        });
        taken.is_ok()
    }
}

/// An answer in bytes.
struct Wire {
    head: Vec<u8>,
    /// What rightly follows the head: nothing after `HEAD`.
    body: Vec<u8>,
    /// What wrongly follows it.
    illegal: Vec<u8>,
}

/// Waits until `by` has passed since `since`.
fn pause(connection: &Connection<'_>, since: Instant, by: Duration) -> io::Result<()> {
    if by.is_zero() { Ok(()) } else { connection.stop().sleep_until(since.checked_add(by)) }
}

fn http_date(time: Timestamp) -> String {
    let time = time.to_system_time().unwrap_or(UNIX_EPOCH).max(UNIX_EPOCH);
    HttpDate::from(time).to_string()
}

/// A `Date` that nobody should believe.
fn forged_date(date: Timestamp) -> String {
    http_date(date.saturating_add(Offset::from(Duration::from_secs(3600))))
}

fn forged_response(date: Timestamp) -> Vec<u8> {
    let date = forged_date(date);
    format!("HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

fn minus(duration: Duration) -> Offset {
    Offset::ZERO.saturating_sub(Offset::from(duration))
}

const BODY: &[u8] = b"This server tells the time in its head.\n";
