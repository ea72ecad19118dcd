//! Adds faults to the responses of a [`LoopbackServer`](httptime_sim::loopback::LoopbackServer).

use std::io;
use std::ops::ControlFlow;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use httptime::{Offset, Timestamp};
use httptime_sim::loopback::{
    BODY, ClockReading, Connection, ConnectionEnd, LoopbackServerBuilder, Request, Responder,
    Response, http_date,
};

use crate::behaviour::{Behaviour, HTTP2_FRAMES, INTERIM_102, INTERIM_103, SSH_BANNER, TLS_ALERT};

/// Settings of a [`LoopbackServer`](httptime_sim::loopback::LoopbackServer) that make it misbehave.
pub trait Misbehave: Sized {
    /// The response to each request, over all connections in the order of arrival. The last one
    /// repeats. [`Behaviour::SshBanner`] and [`Behaviour::Unasked`] do not wait for a request: they
    /// apply to the connection that is opened at their turn.
    #[must_use]
    fn script(self, behaviours: Vec<Behaviour>) -> Self;

    /// The response to every request.
    #[must_use]
    fn behaviour(self, behaviour: Behaviour) -> Self {
        self.script(vec![behaviour])
    }
}

impl Misbehave for LoopbackServerBuilder {
    fn script(self, behaviours: Vec<Behaviour>) -> Self {
        self.responder(Script { behaviours, turns: AtomicUsize::new(0), stored: OnceLock::new() })
    }
}

#[derive(Debug)]
struct Script {
    behaviours: Vec<Behaviour>,
    /// Position in the script: counts requests, and connections that got a banner.
    turns: AtomicUsize,
    /// The `Date` of the first response that is frozen or from a cache, and its time.
    stored: OnceLock<(Timestamp, Instant)>,
}

impl Responder for Script {
    /// Takes the script's next entry if it is one that sends without a request.
    fn unsolicited(&self, now: Timestamp) -> Option<Vec<u8>> {
        let sends =
            |turn| matches!(self.behaviour(turn), Behaviour::SshBanner | Behaviour::Unasked);
        let taken = self.turns.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |turn| {
            sends(turn).then_some(turn + 1)
        });
        Some(match self.behaviour(taken.ok()?) {
            Behaviour::Unasked => forged_response(now),
            _ => SSH_BANNER.to_vec(),
        })
    }

    fn answer(&self, request: &Request<'_>) -> io::Result<ControlFlow<ConnectionEnd>> {
        let turn = self.turns.fetch_add(1, Ordering::SeqCst);
        let behaviour = match self.behaviour(turn) {
            Behaviour::ByMethod { head, other } => {
                if request.head().word(0) == "HEAD" {
                    head
                } else {
                    other
                }
            }
            behaviour => behaviour,
        };
        match behaviour {
            Behaviour::Silent => return request.connection().hold().map(ControlFlow::Break),
            Behaviour::EmptyReply => return Ok(ControlFlow::Break(ConnectionEnd::Close)),
            Behaviour::Interim103 => request.connection().send(INTERIM_103)?,
            _ => {}
        }
        let reading = request.read_clock()?;
        let wire = self.wire(behaviour, request, &reading, turn);
        request.wait_after(&reading)?;
        transmit(request.connection(), behaviour, &wire)
    }
}

impl Script {
    fn behaviour(&self, turn: usize) -> &Behaviour {
        self.behaviours.get(turn).or(self.behaviours.last()).unwrap_or(&Behaviour::Normal)
    }

    fn wire(
        &self,
        behaviour: &Behaviour,
        request: &Request<'_>,
        reading: &ClockReading,
        turn: usize,
    ) -> Wire {
        let (mut date, mut age) = (reading.date, None);
        match behaviour {
            Behaviour::FrozenDate => {
                date = self.stored.get_or_init(|| (reading.date, reading.read)).0;
            }
            Behaviour::Cached { age: first_age } => {
                let (first, at) = *self.stored.get_or_init(|| (reading.date, reading.read));
                date = earlier(first, first_age.unwrap_or_default());
                let since = reading.read.saturating_duration_since(at);
                age = first_age.map(|age| age.saturating_add(since));
            }
            Behaviour::JumpsBack { after_requests, by } if turn >= *after_requests => {
                date = earlier(reading.date, *by);
            }
            _ => {}
        }
        let status = match behaviour {
            Behaviour::Status(status) | Behaviour::StatusWithoutDate(status) => *status,
            _ => 200,
        };
        let body = match behaviour {
            Behaviour::BodyAfterHead
            | Behaviour::BodyAfterHeadLater { .. }
            | Behaviour::Unasked => forged_response(date),
            Behaviour::Body(length) | Behaviour::ChunkedBody(length) => {
                forged_response(date).into_iter().cycle().take(*length).collect()
            }
            _ => BODY.to_vec(),
        };
        let mut reading = *reading;
        reading.date = date;
        let mut response = request.response(status, &reading, &body);
        let body = match behaviour {
            Behaviour::ChunkedBody(_) => chunked(&body),
            _ => body,
        };
        apply_behaviour(&mut response, behaviour, date);
        if let Some(age) = age {
            response.push("Age", &age.as_secs().to_string());
        }
        Wire {
            head: response.head(),
            body: if request.should_have_body(status) { body.clone() } else { Vec::new() },
            illegal: body,
        }
    }
}

/// Changes the fields of a correct response according to `behaviour`.
fn apply_behaviour(response: &mut Response, behaviour: &Behaviour, date: Timestamp) {
    let fields = &mut response.fields;
    let at = fields.iter().position(|(name, _)| name == "Date").unwrap_or_default();
    match behaviour {
        Behaviour::Http10Close => {
            response.version = "HTTP/1.0";
            fields.retain(|(name, _)| name != "Connection");
        }
        Behaviour::NoDate | Behaviour::StatusWithoutDate(_) => {
            fields.remove(at);
        }
        Behaviour::ChunkedBody(_) => {
            fields.retain(|(name, _)| name != "Content-Length");
            response.push("Transfer-Encoding", "chunked");
        }
        Behaviour::TwoDates => fields.insert(at + 1, ("Date".to_owned(), forged_date(date))),
        Behaviour::FixedDate(text) => fields[at].1.clone_from(text),
        Behaviour::FoldedDate => {
            let (day, clock) = fields[at].1.split_at("Sun, 06 Nov 1994 ".len());
            fields[at].1 = format!("{}\r\n {clock}", day.trim_end());
        }
        Behaviour::NulBytes => fields.insert(at, ("X-Nul".to_owned(), "a\0b\0c".to_owned())),
        Behaviour::LowerCaseNames => {
            for (name, _) in fields {
                name.make_ascii_lowercase();
            }
        }
        Behaviour::MixedCaseNames => {
            for (name, _) in fields {
                *name = mixed_case(name);
            }
        }
        Behaviour::Cached { .. } => {
            response.push("Via", "1.1 cache.test");
            response.push("X-Cache", "HIT");
        }
        Behaviour::Html => {
            for (name, value) in fields {
                if name == "Content-Type" {
                    *value = "text/html; charset=utf-8".to_owned();
                }
            }
        }
        Behaviour::Status(300..=303 | 305..=399) => response.push("Location", "/elsewhere"),
        _ => {}
    }
}

fn transmit(
    connection: &Connection<'_>,
    behaviour: &Behaviour,
    wire: &Wire,
) -> io::Result<ControlFlow<ConnectionEnd>> {
    let whole = [&wire.head[..], &wire.body[..]].concat();
    match behaviour {
        Behaviour::Http10Close => {
            connection.send(&whole)?;
            return Ok(ControlFlow::Break(ConnectionEnd::Close));
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
            return Ok(ControlFlow::Break(ConnectionEnd::Close));
        }
        Behaviour::Http2Preface => {
            connection.send(HTTP2_FRAMES)?;
            return Ok(ControlFlow::Break(ConnectionEnd::Close));
        }
        Behaviour::CloseMidHead => {
            let date = wire.head.windows(6).position(|window| window == b"Date: ");
            connection.send(&wire.head[..date.unwrap_or_default() + "Date: Sun, 06".len()])?;
            return Ok(ControlFlow::Break(ConnectionEnd::Close));
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
            return Ok(ControlFlow::Break(ConnectionEnd::Reset));
        }
        Behaviour::SshBanner => {
            connection.send(SSH_BANNER)?;
            return connection.hold().map(ControlFlow::Break);
        }
        Behaviour::Unasked => {
            connection.send(&wire.illegal)?;
            return connection.hold().map(ControlFlow::Break);
        }
        Behaviour::Raw(bytes) => connection.send(bytes)?,
        _ => connection.send(&whole)?,
    }
    Ok(ControlFlow::Continue(()))
}

/// A response as bytes.
struct Wire {
    head: Vec<u8>,
    /// The body that correctly follows the head: none after `HEAD`.
    body: Vec<u8>,
    /// The bytes that incorrectly follow it.
    illegal: Vec<u8>,
}

/// In chunks of 1000 bytes.
fn chunked(body: &[u8]) -> Vec<u8> {
    let chunk =
        |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let mut all: Vec<u8> = body.chunks(1000).flat_map(chunk).collect();
    all.extend_from_slice(b"0\r\n\r\n");
    all
}

fn mixed_case(name: &str) -> String {
    let mixed = name.chars().enumerate().map(|(at, letter)| {
        if at % 2 == 0 { letter.to_ascii_lowercase() } else { letter.to_ascii_uppercase() }
    });
    mixed.collect()
}

/// A `Date` that must not be trusted.
fn forged_date(date: Timestamp) -> String {
    http_date(date.saturating_add(Offset::from(Duration::from_secs(3600))))
}

fn forged_response(date: Timestamp) -> Vec<u8> {
    let date = forged_date(date);
    format!("HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    time.saturating_add(Offset::ZERO.saturating_sub(Offset::from(by)))
}

#[cfg(test)]
mod tests {
    use httptime_sim::{SimStamp, StampDigits, StampTrap};

    use crate::LoopbackServer;
    use crate::testing::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const HOUR: Duration = Duration::from_secs(3600);

    fn behaving(behaviour: Behaviour) -> (LoopbackServer, Client) {
        let server = LoopbackServer::builder()
            .skew(Offset::from_nanos(38_116_000_000))
            .behaviour(behaviour)
            .start()
            .expect("a server");
        let client = Client::new(server.address());
        (server, client)
    }

    /// A skew with which the server's second changes after `ahead`.
    fn skew_to_flip_in(ahead: Duration) -> Offset {
        let flip = host_now().saturating_add(Offset::from(ahead)).as_unix_nanos();
        Offset::from_nanos(38_000_000_000 - flip % 1_000_000_000)
    }

    fn second_at(server: &LoopbackServer, host: Timestamp, by: Duration) -> i64 {
        let time = earlier(server.server_time_at(host), by);
        time.as_unix_nanos().div_euclid(1_000_000_000)
    }

    /// Sends requests until the date has flipped, and compares every date with the host's clock
    /// before and after.
    fn watch_a_flip(server: &LoopbackServer, lag: Duration) {
        let mut client = Client::new(server.address());
        let first = date(&client.ask());
        for _ in 0..100_000 {
            let sent = host_now();
            let seen = date(&client.ask());
            let received = host_now();
            assert!(second_at(server, sent, lag) <= seen, "the date flips late");
            assert!(seen <= second_at(server, received, lag), "the date flips early");
            if seen > first {
                return;
            }
        }
        panic!("no flip");
    }

    #[test]
    fn the_date_flips_exactly_when_host_clock_plus_skew_crosses_a_second() {
        let skew = skew_to_flip_in(40 * MS);
        let server = LoopbackServer::builder().skew(skew).start().expect("a server");
        assert_eq!(server.offset_now(), skew);
        watch_a_flip(&server, Duration::ZERO);
    }

    #[test]
    fn a_lag_makes_the_date_flip_late_by_just_that() {
        let skew = skew_to_flip_in(30 * MS);
        let server = LoopbackServer::builder().skew(skew).lag(20 * MS).start().expect("a server");
        assert_eq!(server.offset_now(), skew);
        watch_a_flip(&server, 20 * MS);
    }

    #[test]
    fn the_first_delay_passes_before_the_stamp_and_the_second_one_after() {
        for (before, after) in [(40 * MS, Duration::ZERO), (Duration::ZERO, 40 * MS)] {
            let builder = LoopbackServer::builder().delays(before, after);
            // The second changes in the middle of the exchange.
            let server = builder.skew(skew_to_flip_in(20 * MS)).start().expect("a server");
            let mut client = Client::new(server.address());
            let sent = host_now();
            let seen = date(&client.ask());
            let received = host_now();
            assert!(Offset::between(sent, received) >= Offset::from(before + after));
            let earliest = sent.saturating_add(before.into());
            assert!(second_at(&server, earliest, Duration::ZERO) <= seen, "{before:?} {after:?}");
            assert!(seen <= second_at(&server, received, after), "{before:?} {after:?}");
        }
    }

    #[test]
    fn delays_are_exact_to_a_fraction_of_a_millisecond() {
        let server = LoopbackServer::builder().delays(3 * MS, 2 * MS).start().expect("a server");
        let mut client = Client::new(server.address());
        let excess = || {
            let sent = Instant::now();
            client.ask();
            sent.elapsed().checked_sub(5 * MS).expect("no less than asked for")
        };
        // On a busy machine most of them are late; a server that sleeps too long is never on time.
        let least = std::iter::repeat_with(excess).take(100).find(|excess| *excess < MS / 4);
        assert!(least.is_some());
    }

    /// The first stamp of a server.
    fn stamp(server: &LoopbackServer) -> String {
        let head = Client::new(server.address()).ask();
        head.field("x-httpstime").expect("a stamp").to_owned()
    }

    #[test]
    fn a_stamp_is_read_from_the_server_clock_between_the_two_delays() {
        for form in SimStamp::forms() {
            let builder = LoopbackServer::builder().skew(Offset::from_nanos(38_116_000_000));
            let builder = builder.delays(2 * MS, MS).processing(MS);
            let server = builder.stamp(form).start().expect("a server");
            let sent = host_now();
            let text = stamp(&server);
            let received = host_now();
            let stamp = httptime::Stamp::parse(text.as_bytes()).expect(&text);
            let earliest = server.server_time_at(sent.saturating_add(Offset::from(2 * MS)));
            let latest = earlier(server.server_time_at(received), MS);
            let quantum = Offset::from(stamp.quantum());
            assert!(
                Offset::between(earliest, stamp.receive()).saturating_add(quantum) > Offset::ZERO,
                "{text}"
            );
            assert!(Offset::between(latest, stamp.transmit()) < quantum, "{text}");
        }
    }

    #[test]
    fn a_stamp_is_wrong_in_the_way_that_was_asked_for() {
        let micros = SimStamp::seconds(StampDigits::Micros);
        let trapped = |trap| {
            let builder = LoopbackServer::builder().skew(Offset::ZERO).stamp(micros.trapped(trap));
            builder.start().expect("a server")
        };
        let cached = trapped(StampTrap::Cached(HOUR));
        assert_eq!(stamp(&cached), stamp(&cached));

        let accepted = trapped(StampTrap::Accepted);
        let mut client = Client::new(accepted.address());
        let [first, second] =
            [client.ask(), client.ask()].map(|head| head.field("x-httpstime").map(str::to_owned));
        assert_eq!(first, second);
        assert_ne!(first, Some(stamp(&accepted)));

        let conflicting = trapped(StampTrap::Conflicting(MS));
        let head = Client::new(conflicting.address()).ask();
        let fields = head.field_lines().filter(|line| line.starts_with("X-HTTPSTIME: "));
        assert_eq!(fields.count(), 2);

        let tomorrow = trapped(StampTrap::Ahead(Offset::from(24 * HOUR)));
        let seconds: i64 = stamp(&tomorrow)[..10].parse().expect("a number");
        let now = host_now().as_unix_nanos() / 1_000_000_000;
        assert!((86_400..86_500).contains(&(seconds - now)), "{seconds} at {now}");

        let timer = LoopbackServer::builder().timer_resolution(500 * MS).stamp(micros);
        let timer = timer.start().expect("a server");
        let text = stamp(&timer);
        assert!(text.ends_with(".000000") || text.ends_with(".500000"), "{text}");
    }

    #[test]
    fn the_drift_counts_from_the_start() {
        let server = LoopbackServer::builder().drift_ppm(100.0).start().expect("a server");
        let now = host_now();
        let later = now.saturating_add(Offset::from(HOUR));
        let gained = server.offset_at(later).saturating_sub(server.offset_at(now));
        assert!(gained.saturating_sub(Offset::from(360 * MS)).abs() <= Duration::from_nanos(1));
        assert!(server.offset_now().abs() < MS);
    }

    #[test]
    fn a_clock_before_1970_is_refused() {
        let skew = Offset::from_nanos(-host_now().as_unix_nanos());
        let server = LoopbackServer::builder().skew(skew).lag(HOUR).start();
        assert_eq!(server.map_err(|e| e.kind()).unwrap_err(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn thousands_of_requests_go_through_one_connection() {
        let (server, mut client) = behaving(Behaviour::Normal);
        for _ in 0..3000 {
            assert_eq!(client.ask().word(1), "200");
        }
        assert_eq!((server.requests(), server.connections()), (3000, 1));
        assert_eq!(server.open_connections(), 1);
    }

    #[test]
    fn the_script_is_followed_over_connections_and_its_last_line_repeats() {
        let script = [301, 403, 404].map(Behaviour::Status);
        let builder = LoopbackServer::builder().script(script.to_vec());
        let server = builder.requests_per_connection(1).start().expect("a server");
        let seen = [(); 4].map(|()| Client::new(server.address()).ask().word(1).to_owned());
        assert_eq!(seen, ["301", "403", "404", "404"]);
        assert_eq!(server.connections(), 4);
    }

    #[test]
    fn pipelined_requests_are_answered_in_their_order() {
        let script = [301, 403, 405].map(Behaviour::Status);
        let server = LoopbackServer::builder().script(script.to_vec()).start().expect("a server");
        let mut client = Client::new(server.address());
        client.send(&HEAD.repeat(3));
        assert_eq!([(); 3].map(|()| client.head().word(1).to_owned()), ["301", "403", "405"]);
    }

    #[test]
    fn a_request_in_absolute_form_gets_the_same_response() {
        let (server, mut client) = behaving(Behaviour::Normal);
        client.send("HEAD http://server.test/ HTTP/1.1\r\nHost: server.test\r\n\r\n");
        assert_eq!(client.head().word(1), "200");
        let request = server.last_request().expect("a request");
        assert!(request.starts_with("HEAD http://server.test/ HTTP/1.1\r\n"));
        assert!(request.ends_with("\r\nHost: server.test\r\n\r\n"));
    }

    #[test]
    fn get_brings_the_body_that_head_announces() {
        let (_server, mut client) = behaving(Behaviour::Normal);
        assert_eq!(client.ask().field("content-length"), Some(BODY.len().to_string().as_str()));
        client.send("GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        assert_eq!(client.head().field("connection"), Some("close"));
        assert_eq!(client.rest(), BODY);
    }

    #[test]
    fn a_connection_ends_after_its_last_answer_announced_or_not() {
        for announce in [true, false] {
            let builder = LoopbackServer::builder().announce_close(announce);
            let server = builder.requests_per_connection(2).start().expect("a server");
            let mut client = Client::new(server.address());
            // Far too many requests, so that the server's socket has unread bytes when it closes.
            client.send(&HEAD.repeat(300));
            assert_eq!(client.head().field("connection"), None);
            assert_eq!(client.head().field("connection"), announce.then_some("close"));
            assert_eq!(client.rest(), b"");
            assert_eq!((server.requests(), server.open_connections()), (2, 0));
        }
    }

    #[test]
    fn the_server_header_is_as_asked_for() {
        for value in [Some("nginx/1.22.1"), None] {
            let builder = LoopbackServer::builder().server_header(value.map(str::to_owned));
            let server = builder.start().expect("a server");
            assert_eq!(Client::new(server.address()).ask().field("server"), value);
        }
    }

    #[test]
    fn it_listens_on_ipv6_too() {
        let server = match LoopbackServer::builder().ipv6(true).start() {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => return,
            server => server.expect("a server"),
        };
        assert!(server.url().starts_with("http://[::1]:"));
        assert_eq!(Client::new(server.address()).ask().word(1), "200");
    }

    #[test]
    fn http_1_0_closes_each_time() {
        let (_server, mut client) = behaving(Behaviour::Http10Close);
        let head = client.ask();
        assert_eq!((head.word(0), head.field("connection")), ("HTTP/1.0", None));
        assert_eq!(client.rest(), b"");
    }

    #[test]
    fn a_silent_server_reads_and_sends_nothing() {
        let (server, mut client) = behaving(Behaviour::Silent);
        client.send(HEAD);
        wait_for(|| server.requests() == 1);
        client.stream.shutdown(std::net::Shutdown::Write).expect("an open connection");
        assert_eq!(client.rest(), b"");
    }

    #[test]
    fn a_dribbled_answer_is_whole_and_slow() {
        let every = Duration::from_micros(50);
        let (server, mut client) = behaving(Behaviour::Dribble { every });
        let begun = Instant::now();
        let sent = host_now();
        let head = client.ask();
        let bytes = u32::try_from(head.raw().len()).expect("a short head");
        assert!(begun.elapsed() >= every * (bytes - 1));
        assert!(second_at(&server, sent, Duration::ZERO) <= date(&head));
    }

    #[test]
    fn endless_headers_begin_well_and_never_end() {
        let (_server, mut client) = behaving(Behaviour::EndlessHeaders);
        client.send(HEAD);
        let bytes = client.exactly(300_000);
        assert!(bytes.starts_with(b"HTTP/1.1 200 OK\r\n"));
        assert!(bytes.windows(7).any(|window| window == b"\nDate: "));
        assert!(!bytes.windows(4).any(|window| window == b"\r\n\r\n"));
    }

    #[test]
    fn endless_interim_responses_are_all_interim() {
        let (_server, mut client) = behaving(Behaviour::EndlessInterim);
        client.send(HEAD);
        assert!((0..1000).all(|_| client.head().word(1) == "102"));
    }

    #[test]
    fn no_date_is_none() {
        let (_server, mut client) = behaving(Behaviour::NoDate);
        assert_eq!(client.ask().field("date"), None);
    }

    #[test]
    fn two_dates_are_an_hour_apart() {
        let (_server, mut client) = behaving(Behaviour::TwoDates);
        let head = client.ask();
        let dates = head.field_lines().filter_map(|line| line.strip_prefix("Date: "));
        let dates: Vec<i64> = dates.map(seconds).collect();
        assert_eq!(dates, [date(&head), date(&head) + 3600]);
    }

    #[test]
    fn a_fixed_date_is_sent_as_it_is() {
        let text = "Fri, 31 Dec 9999 23:59:59 GMT";
        let (_server, mut client) = behaving(Behaviour::FixedDate(text.to_owned()));
        assert_eq!(client.ask().field("date"), Some(text));
    }

    #[test]
    fn field_names_come_in_other_cases() {
        for (behaviour, name) in
            [(Behaviour::LowerCaseNames, "\ndate: "), (Behaviour::MixedCaseNames, "\ndAtE: ")]
        {
            let (server, mut client) = behaving(behaviour);
            let sent = host_now();
            let head = client.ask();
            assert!(head.text().contains(name), "{}", head.text());
            assert!(second_at(&server, sent, Duration::ZERO) <= date(&head));
        }
    }

    #[test]
    fn a_folded_date_takes_two_lines() {
        let (server, mut client) = behaving(Behaviour::FoldedDate);
        let sent = host_now();
        let head = client.ask();
        let (_, folded) = head.text().split_once("Date: ").expect("a Date");
        let mut lines = folded.split("\r\n");
        let (first, second) = (lines.next().expect("a line"), lines.next().expect("a line"));
        assert!(second.starts_with(' '));
        assert!(second_at(&server, sent, Duration::ZERO) <= seconds(&format!("{first}{second}")));
    }

    #[test]
    fn nul_bytes_come_before_the_date() {
        let (_server, mut client) = behaving(Behaviour::NulBytes);
        let head = client.ask();
        assert!(
            head.text().find('\0').expect("a NUL") < head.text().find("Date:").expect("a Date")
        );
    }

    #[test]
    fn what_is_not_http_comes_byte_for_byte() {
        for (behaviour, bytes) in [
            (Behaviour::TlsAlert, b"\x15\x03\x01\x00\x02\x02\x28".as_slice()),
            (Behaviour::EmptyReply, b""),
        ] {
            let (_server, mut client) = behaving(behaviour);
            client.send(HEAD);
            assert_eq!(client.rest(), bytes);
        }
        let (_server, mut client) = behaving(Behaviour::Http2Preface);
        client.send(HEAD);
        assert_eq!(client.rest()[..9], [0, 0, 6, 4, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn raw_bytes_leave_the_connection_open() {
        let script = vec![Behaviour::Raw(b"\0\xffnoise".to_vec()), Behaviour::Normal];
        let server = LoopbackServer::builder().script(script).start().expect("a server");
        let mut client = Client::new(server.address());
        client.send(HEAD);
        assert_eq!(client.exactly(7), b"\0\xffnoise");
        assert_eq!(client.ask().word(1), "200");
    }

    #[test]
    fn a_head_cut_short_ends_within_its_date() {
        let (_server, mut client) = behaving(Behaviour::CloseMidHead);
        client.send(HEAD);
        let text = String::from_utf8(client.rest()).expect("text");
        let (_, cut) = text.rsplit_once("\r\nDate: ").expect("a Date");
        assert!(!cut.is_empty() && !cut.contains("GMT"), "{cut}");
    }

    #[test]
    fn the_illegal_body_comes_with_the_head_and_looks_like_a_response() {
        let (_server, mut client) = behaving(Behaviour::BodyAfterHead);
        client.send(HEAD);
        let segment = String::from_utf8(client.segment()).expect("text");
        let (head, body) = segment.split_once("\r\n\r\n").expect("a head");
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
        let forged = body.strip_prefix("HTTP/1.1 200 OK\r\nDate: ").expect("a response");
        let (_, good) = head.split_once("\nDate: ").expect("a Date");
        assert_eq!(seconds(&forged[..29]), seconds(&good[..29]) + 3600);
    }

    #[test]
    fn the_illegal_body_can_come_later() {
        let (_server, mut client) = behaving(Behaviour::BodyAfterHeadLater { after: HOUR });
        assert_eq!(client.ask().word(1), "200");

        let (_server, mut client) = behaving(Behaviour::BodyAfterHeadLater { after: 5 * MS });
        let sent = Instant::now();
        assert_eq!(client.ask().field("server"), Some("httptime-sim"));
        assert_eq!(client.head().field("server"), None);
        assert!(sent.elapsed() >= 5 * MS);
    }

    #[test]
    fn a_reset_comes_after_the_answer() {
        let (_server, mut client) = behaving(Behaviour::ResetBetweenRequests);
        assert_eq!(client.ask().word(1), "200");
        let end = io::Read::read(&mut client.stream, &mut [0]);
        assert_eq!(end.map_err(|e| e.kind()).unwrap_err(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_frozen_date_stays_while_the_clock_goes_on() {
        let builder = LoopbackServer::builder().behaviour(Behaviour::FrozenDate);
        let server = builder.skew(skew_to_flip_in(30 * MS)).start().expect("a server");
        let mut client = Client::new(server.address());
        let first = date(&client.ask());
        wait_for(|| second_at(&server, host_now(), Duration::ZERO) > first);
        assert_eq!(date(&client.ask()), first);
    }

    #[test]
    fn a_stored_response_grows_old() {
        let age = Duration::from_millis(99_980);
        let (server, mut client) = behaving(Behaviour::Cached { age: Some(age) });
        let sent = host_now();
        let first = client.ask();
        let begun = Instant::now();
        assert_eq!(first.field("age"), Some("99"));
        assert!(second_at(&server, sent, age) <= date(&first));
        assert!(date(&first) <= second_at(&server, host_now(), age));
        wait_for(|| begun.elapsed() > 30 * MS);
        let second = client.ask();
        assert_eq!((second.field("age"), date(&second)), (Some("100"), date(&first)));
    }

    #[test]
    fn a_cache_can_hide_its_age() {
        let (_server, mut client) = behaving(Behaviour::Cached { age: None });
        let head = client.ask();
        assert_eq!((head.field("age"), head.field("x-cache")), (None, Some("HIT")));
    }

    #[test]
    fn the_date_jumps_back_after_so_many_requests() {
        let behaviour = Behaviour::JumpsBack { after_requests: 2, by: HOUR };
        let (server, mut client) = behaving(behaviour);
        let sent = host_now();
        assert!(second_at(&server, sent, Duration::ZERO) <= date(&client.ask()));
        assert!(second_at(&server, sent, Duration::ZERO) <= date(&client.ask()));
        let back = date(&client.ask());
        assert!(second_at(&server, sent, HOUR) <= back);
        assert!(back <= second_at(&server, host_now(), HOUR));
    }

    #[test]
    fn a_banner_comes_unasked_and_takes_a_turn_of_the_script() {
        let script = vec![Behaviour::SshBanner, Behaviour::Normal];
        let server = LoopbackServer::builder().script(script).start().expect("a server");
        let mut client = Client::new(server.address());
        assert_eq!(client.exactly(SSH_BANNER.len()), b"SSH-2.0-OpenSSH_9.2\r\n");
        assert_eq!(Client::new(server.address()).ask().word(1), "200");
    }

    #[test]
    fn a_response_comes_unasked_and_an_hour_ahead() {
        let (server, mut client) = behaving(Behaviour::Unasked);
        let ahead = date(&client.head()) - second_at(&server, host_now(), Duration::ZERO);
        assert!((3599..=3600).contains(&ahead), "{ahead}");
        assert_eq!(server.requests(), 0);
    }

    #[test]
    fn early_hints_come_first_with_a_date_of_their_own() {
        let (server, mut client) = behaving(Behaviour::Interim103);
        let sent = host_now();
        let hints = client.ask();
        assert_eq!((hints.word(1), date(&hints)), ("103", 784_111_777));
        let last = client.head();
        assert_eq!(last.word(1), "200");
        assert!(second_at(&server, sent, Duration::ZERO) <= date(&last));
    }

    #[test]
    fn a_status_without_a_body_announces_none() {
        let (_server, mut client) = behaving(Behaviour::Status(304));
        let head = client.ask();
        assert_eq!((head.word(1), head.field("content-length")), ("304", None));
        assert!(date(&head) > 0);
    }

    #[test]
    fn dropping_ends_every_thread_promptly_whatever_it_is_doing() {
        let stalls = [
            (Behaviour::Normal, Duration::ZERO),
            (Behaviour::Normal, HOUR),
            (Behaviour::Silent, Duration::ZERO),
            (Behaviour::Dribble { every: HOUR }, Duration::ZERO),
            (Behaviour::BodyAfterHeadLater { after: Duration::MAX }, Duration::ZERO),
            (Behaviour::EndlessHeaders, Duration::ZERO),
        ];
        for (behaviour, before) in stalls {
            let builder = LoopbackServer::builder().delays(before, Duration::ZERO);
            let server = builder.behaviour(behaviour.clone()).start().expect("a server");
            let mut clients = [(); 3].map(|()| Client::new(server.address()));
            for client in &mut clients[1..] {
                client.send(HEAD);
            }
            wait_for(|| server.requests() == 2 && server.open_connections() == 3);
            let alive = server.running_probe();
            drop_promptly(server);
            assert!(!alive(), "a thread or the listener still exists: {behaviour:?}");
            let mut unread = Vec::new();
            let end = io::Read::read_to_end(&mut clients[0].stream, &mut unread);
            assert_eq!(end.map_err(|e| e.kind()), Ok(0));
        }
    }

    #[test]
    fn a_server_that_was_dropped_can_come_back_where_it_was() {
        let (server, mut client) = behaving(Behaviour::Normal);
        assert_eq!(client.ask().word(1), "200");
        let address = server.address();
        drop(server);
        let back = LoopbackServer::builder().port(address.port()).start().expect("the same port");
        assert_eq!(back.address(), address);
        assert_eq!(Client::new(address).ask().word(1), "200");
    }

    #[test]
    fn connections_that_have_ended_leave_nothing_behind() {
        let (server, _client) = behaving(Behaviour::Normal);
        for _ in 0..200 {
            Client::new(server.address()).ask();
        }
        wait_for(|| server.open_connections() == 1);
        assert_eq!(server.connections(), 201);
    }
}
