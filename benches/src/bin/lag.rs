//! Measures how late a server's `Date` flips: `cargo run --release -p httptime-benches --bin lag --
//! http://127.0.0.1:8080/`.
//!
//! Run it on the server itself, or on a machine near it whose clock is correct. An error of that
//! clock is added to every lag. The arithmetic is in `httptime_benches::lag`. docs/servers.md
//! describes how to read the result and how to send it in.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use httptime::Url;
use httptime::http::{Request, ResponseReader};
use httptime_benches::lag::{self, Aim, Answer, Fields, Flip, Lags};
use httptime_clock::{Clock, SystemClock};

/// Measures how late a server's Date flips after the second of this machine's clock, which is
/// assumed to be correct. Sends requests around second boundaries, on new and on kept connections
/// in turn: at most 20 requests a second, and 50 more with --burst.
#[derive(Debug, Parser)]
struct Args {
    /// The server: http:// only
    url: String,
    /// How long to measure
    #[arg(long, default_value_t = 60, value_name = "S",
        value_parser = clap::value_parser!(u64).range(8..=600))]
    seconds: u64,
    /// Also measure right after this many requests in a row, at most 50 [default: only after
    /// silence]
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "N",
        value_parser = clap::value_parser!(u32).range(0..=50))]
    burst: u32,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match measure(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lag: {}: {error}", Url::redacted(&args.url));
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> Result<(), Box<dyn Error>> {
    let url = Url::parse(&args.url)?;
    let address = (url.host(), url.port())
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| format!("{} has no address", url.host()))?;
    let request = Request::head(&url.authority(), url.path())?;
    println!(
        "{url} at {address}: HEAD for {} s, at most {PROBES} requests around a second boundary{}",
        args.seconds,
        if args.burst > 0 {
            format!(" and {} in a row before it", args.burst)
        } else {
            String::new()
        }
    );
    println!(
        "This machine's clock is assumed to be right; its error is added to every lag. {}",
        clock()
    );
    let mut meter = Meter::new(address, request);
    let mut series = vec![Series::new(Kind::First, 0), Series::new(Kind::Reused, 0)];
    if args.burst > 0 {
        series
            .extend([Series::new(Kind::First, args.burst), Series::new(Kind::Reused, args.burst)]);
    }
    // The first response decides whether there is anything to measure.
    meter.ask()?;
    let begun = (Instant::now(), wall_ns());
    let end = begun.0 + Duration::from_secs(args.seconds);
    let stopped = run(&mut meter, &mut series, end);
    let moved_ns = wall_ns() - begun.1 - i64::try_from(begun.0.elapsed().as_nanos())?;
    report(&meter, &series);
    if let Some(reason) = stopped {
        println!("Ended early: {reason}.");
    }
    if moved_ns.abs() > i64::try_from(args.seconds)? * MAX_SLEW_NS {
        println!(
            "This machine's clock was set by {} ms meanwhile: measure again.",
            lag::figure(lag::millis(moved_ns))
        );
    }
    Ok(())
}

/// The kernel's report on the local clock.
fn clock() -> String {
    match SystemClock::new().status() {
        Ok(status) => format!("According to the kernel: {status}."),
        Err(error) => format!("The kernel does not tell how right it is: {error}."),
    }
}

/// Measures in windows, each series in turn, until the end or a reason to stop.
fn run(meter: &mut Meter, series: &mut [Series], end: Instant) -> Option<String> {
    loop {
        for series in &mut *series {
            if Instant::now() >= end {
                return None;
            }
            if !series.is_impossible() {
                match series.window(meter) {
                    Ok(()) => meter.failures = 0,
                    Err(StopReason::Refused(status)) => {
                        return Some(format!(
                            "the server began to refuse requests, status {status}"
                        ));
                    }
                    Err(StopReason::Failed(error)) => {
                        meter.failures += 1;
                        if meter.failures == MAX_FAILURES {
                            return Some(format!(
                                "{MAX_FAILURES} failures in a row, the last: {error}"
                            ));
                        }
                        thread::sleep(Duration::from_secs(1));
                    }
                }
            }
        }
    }
}

/// Whether a connection has been used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    First,
    Reused,
}

/// Measurements of one kind: on new or kept connections, after silence or after a burst.
struct Series {
    kind: Kind,
    burst: u32,
    aim: Aim,
    windows: u32,
    missed: u32,
    flips: Vec<Flip>,
    tally: Tally,
}

impl Series {
    fn new(kind: Kind, burst: u32) -> Self {
        Self {
            kind,
            burst,
            aim: Aim::unknown(),
            windows: 0,
            missed: 0,
            flips: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Whether the server closes every connection, so that none can be kept.
    const fn is_impossible(&self) -> bool {
        matches!(self.kind, Kind::Reused) && self.windows >= 2 && self.tally.answers == 0
    }

    /// Sends requests around one flip.
    fn window(&mut self, meter: &mut Meter) -> Result<(), StopReason> {
        let earliest_ns = wall_ns() + if self.burst > 0 { BURST_LEAD_NS } else { LEAD_NS };
        let window = self.aim.window(earliest_ns, i64::from(PROBES));
        if self.burst > 0 {
            sleep_until(window.start_ns - BURST_LEAD_NS + LEAD_NS);
            for _ in 0..self.burst {
                let (answer, kind) = meter.ask()?;
                if kind == self.kind {
                    self.tally.add(&answer);
                }
            }
        }
        sleep_until(window.start_ns - LEAD_NS);
        let mut left = PROBES;
        if self.kind == Kind::Reused && meter.connection.is_none() {
            meter.ask()?;
            left -= 1;
        }
        let (mut answers, mut after_flip) = (Vec::new(), 0);
        for number in 0..left {
            if self.kind == Kind::First {
                meter.connection = None;
            }
            sleep_until(window.start_ns + i64::from(number) * window.spacing_ns);
            let (answer, kind) = meter.ask()?;
            if kind != self.kind {
                continue;
            }
            answers.push(answer);
            self.tally.add(&answer);
            after_flip += u32::from(!lag::flips(&answers).is_empty());
            if after_flip > PROBES_AFTER_FLIP {
                break;
            }
        }
        let flip = lag::flips(&answers).first().copied();
        self.aim.learn(flip);
        self.tally.went_back += lag::went_back(&answers);
        // The first windows of a series only search for the flip. They are wider than the lag to be
        // measured.
        if self.windows >= AIMING_WINDOWS {
            self.missed += u32::from(flip.is_none());
            self.flips.extend(flip);
        }
        self.windows += 1;
        Ok(())
    }

    fn print(&self) {
        let kind = if self.kind == Kind::First { "new connection" } else { "kept connection" };
        let when = if self.burst > 0 { "after a burst" } else { "idle" };
        print!("{kind}, {when}: ");
        if self.is_impossible() {
            println!("none, the server closes every connection");
            return;
        }
        match Lags::of(&self.flips) {
            None => print!("no flip seen"),
            Some(lags) => print!(
                "{} boundaries, lag {} ms, each ±{} ms or less",
                lags.boundaries,
                lags.cell(),
                lag::figure(lags.resolution_ms)
            ),
        }
        println!("; {} windows without a flip; {}", self.missed, self.tally);
    }
}

/// Counts over single responses.
struct Tally {
    answers: u32,
    early: u32,
    earliest_ns: i64,
    stalest_ns: i64,
    went_back: usize,
}

impl Default for Tally {
    fn default() -> Self {
        Self { answers: 0, early: 0, earliest_ns: 0, stalest_ns: i64::MIN, went_back: 0 }
    }
}

impl Tally {
    fn add(&mut self, answer: &Answer) {
        self.answers += 1;
        self.early += u32::from(answer.early_ns() > 0);
        self.earliest_ns = self.earliest_ns.max(answer.early_ns());
        self.stalest_ns = self.stalest_ns.max(answer.stale_ns());
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { answers, early, went_back, .. } = self;
        let [stalest, earliest] =
            [self.stalest_ns, self.earliest_ns].map(|ns| lag::figure(lag::millis(ns)));
        write!(f, "{answers} answers: ")?;
        match self.stalest_ns {
            ..=0 => write!(f, "none proves a lag")?,
            _ => write!(f, "one proves a lag of {stalest} ms")?,
        }
        match early {
            0 => write!(f, ", none early")?,
            _ => write!(f, ", {early} EARLY by up to {earliest} ms")?,
        }
        if *went_back > 0 {
            write!(f, ", the Date went back {went_back} times (several workers or servers)")?;
        }
        Ok(())
    }
}

/// The reason to stop.
enum StopReason {
    Refused(u16),
    Failed(Box<dyn Error>),
}

impl<E: Error + 'static> From<E> for StopReason {
    fn from(error: E) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl From<StopReason> for Box<dyn Error> {
    fn from(stop: StopReason) -> Self {
        match stop {
            StopReason::Refused(status) => format!("the server refuses, status {status}").into(),
            StopReason::Failed(error) => error,
        }
    }
}

/// The connection to the server, and what all its responses have in common.
struct Meter {
    address: SocketAddr,
    request: Request,
    reader: ResponseReader,
    connection: Option<Connection>,
    raw: Vec<u8>,
    failures: u32,
    opened: u32,
    closed_by_server: u32,
    longest: u32,
    statuses: BTreeMap<u16, u32>,
    orders: BTreeMap<String, u32>,
    servers: BTreeMap<String, u32>,
    marks: BTreeMap<String, u32>,
}

struct Connection {
    stream: TcpStream,
    answered: u32,
}

impl Meter {
    fn new(address: SocketAddr, request: Request) -> Self {
        Self {
            address,
            request,
            reader: ResponseReader::new(),
            connection: None,
            raw: Vec::new(),
            failures: 0,
            opened: 0,
            closed_by_server: 0,
            longest: 0,
            statuses: BTreeMap::new(),
            orders: BTreeMap::new(),
            servers: BTreeMap::new(),
            marks: BTreeMap::new(),
        }
    }

    /// One request and its response, on the open connection if there is one.
    fn ask(&mut self) -> Result<(Answer, Kind), StopReason> {
        if let Some(connection) = self.connection.take() {
            // The server may have closed a kept connection in the meantime. That is no failure: a
            // new one is opened.
            if let Ok(answer) = self.ask_on(connection)? {
                return Ok((answer, Kind::Reused));
            }
            self.closed_by_server += 1;
        }
        let stream = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        self.opened += 1;
        let answer = self.ask_on(Connection { stream, answered: 0 })??;
        Ok((answer, Kind::First))
    }

    /// The inner error: the connection broke before a response.
    fn ask_on(&mut self, mut connection: Connection) -> Result<io::Result<Answer>, StopReason> {
        self.reader.clear();
        self.raw.clear();
        let sent_ns = wall_ns();
        if let Err(error) = connection.stream.write_all(self.request.as_bytes()) {
            return Ok(Err(error));
        }
        let (status, date, is_kept, received_ns) = loop {
            let space = self.reader.space();
            let length = match connection.stream.read(space) {
                Ok(0) => return Ok(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(length) => length,
                Err(error) => return Ok(Err(error)),
            };
            let received_ns = wall_ns();
            self.raw.extend_from_slice(&space[..length]);
            self.reader.filled(length);
            if let Some(head) = self.reader.head()? {
                let is_kept = head.is_persistent() && !head.has_trailing_bytes();
                break (head.status(), head.date(), is_kept, received_ns);
            }
        };
        let is_refusal = matches!(status, 403 | 429 | 503);
        if is_refusal && (status == 429 || self.statuses.keys().any(|earlier| *earlier != status)) {
            return Err(StopReason::Refused(status));
        }
        let date_s = date?.as_unix_nanos().div_euclid(1_000_000_000);
        connection.answered += 1;
        self.longest = self.longest.max(connection.answered);
        if is_kept {
            self.connection = Some(connection);
        } else {
            self.closed_by_server += 1;
        }
        *self.statuses.entry(status).or_default() += 1;
        self.record_software();
        Ok(Ok(Answer { sent_ns, received_ns, date_s }))
    }

    /// Keeps the header fields that identify the software.
    fn record_software(&mut self) {
        let Some(fields) = Fields::parse(&self.raw) else { return };
        *self.orders.entry(fields.order()).or_default() += 1;
        let servers = match fields.values("Server") {
            values if values.is_empty() => "no Server field".to_owned(),
            values => values.join(" | "),
        };
        *self.servers.entry(servers).or_default() += 1;
        for name in ["Via", "Age", "X-Cache", "X-Powered-By"] {
            for value in fields.values(name) {
                *self.marks.entry(format!("{name}: {value}")).or_default() += 1;
            }
        }
    }
}

fn report(meter: &Meter, series: &[Series]) {
    println!();
    for (what, counts) in
        [("Server", &meter.servers), ("Fields", &meter.orders), ("Passed on by", &meter.marks)]
    {
        let mut counts: Vec<_> = counts.iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (text, count) in counts.iter().take(MAX_SHOWN) {
            println!("{what}: {text} ({count} answers)");
        }
        if counts.len() > MAX_SHOWN {
            println!("{what}: {} others", counts.len() - MAX_SHOWN);
        }
    }
    for (status, count) in &meter.statuses {
        println!("Status: {status} ({count} answers)");
    }
    println!(
        "Connections: {} opened, {} at most on one, {} closed by the server",
        meter.opened, meter.longest, meter.closed_by_server
    );
    println!();
    for series in series {
        series.print();
    }
    println!();
    let idle = |kind: Kind| {
        let series = series.iter().find(|series| series.kind == kind && series.burst == 0)?;
        Lags::of(&series.flips)
    };
    let (kept, first) = (idle(Kind::Reused), idle(Kind::First));
    let boundaries =
        kept.map_or(0, |lags| lags.boundaries) + first.map_or(0, |lags| lags.boundaries);
    let server = meter.servers.iter().max_by_key(|(_, count)| **count);
    let order = meter.orders.iter().max_by_key(|(_, count)| **count);
    println!("For docs/servers.md (add the version, the system and how it is set up):");
    println!(
        "{}",
        lag::table_row(
            server.map_or("", |(name, _)| name),
            kept.as_ref(),
            first.as_ref(),
            &format!("{boundaries} boundaries; fields {}", order.map_or("", |(names, _)| names)),
        )
    );
}

fn wall_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn sleep_until(at_ns: i64) {
    if let Ok(wait) = u64::try_from(at_ns - wall_ns()) {
        thread::sleep(Duration::from_nanos(wait));
    }
}

/// Maximum requests around one boundary.
const PROBES: u32 = 20;
/// Requests sent after a flip has been seen: only they show a `Date` that goes back.
const PROBES_AFTER_FLIP: u32 = 4;
/// Windows of each series that only search for the flip.
const AIMING_WINDOWS: u32 = 4;
/// Time from the opening of a kept connection to the window.
const LEAD_NS: i64 = 50_000_000;
/// Time from the start of a burst to the window.
const BURST_LEAD_NS: i64 = 300_000_000;
const TIMEOUT: Duration = Duration::from_secs(2);
const MAX_FAILURES: u32 = 5;
/// The most that a slewed clock moves in a second (500 ppm).
const MAX_SLEW_NS: i64 = 500_000;
/// Maximum number of servers, field orders and marks that are shown.
const MAX_SHOWN: usize = 4;
