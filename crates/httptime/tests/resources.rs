//! The resources that a measurement uses: memory and file descriptors. It is one test with sockets,
//! so that nothing else in the process opens any.

use std::time::Duration;

use httptime::Config;
use httptime::schedule::{Plan, Schedule, View};
use httptime::session::{Action, ConnectionId, Session, Target};
use httptime::{Client, CrossTimestamp, Error, LocalInstant, Method, Offset, Timestamp, Url};
use httptime_testserver::{Behaviour, LoopbackServer, Misbehave as _, RefusedPort};

/// Requests as fast as the responses arrive.
#[derive(Debug)]
struct Rapid;

impl Schedule for Rapid {
    fn name(&self) -> &'static str {
        "rapid"
    }

    fn plan(&mut self, view: &View<'_>) -> Plan {
        if view.progress().scheduled_in_flight() > 0 {
            return Plan::AwaitReply;
        }
        Plan::SendAt(view.earliest())
    }
}

fn measure(url: &str, requests: u32) -> Result<u32, Error> {
    let config = Config::builder().requests(requests).schedule_with(|| Box::new(Rapid)).build()?;
    Ok(Client::builder(url).config(config).build()?.measure()?.observations())
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Runs a session with a server 1 ms away that closes after this number of responses. Each response
/// has a body of this length if the method is `GET`. Returns the number of allocations before the
/// first response, the number after it, and the number of responses.
fn drive(method: Method, body: usize, closes_after: u32) -> Result<(u64, u64, u32), Error> {
    let at = |nanos: i64| LocalInstant::from_nanos(nanos);
    let wall = Timestamp::from_unix_nanos(1_795_392_000_000_000_000);
    let cross_timestamp = |now: LocalInstant| {
        CrossTimestamp::new(
            now,
            wall.saturating_add(Offset::from_nanos(now.as_nanos())),
            Duration::ZERO,
        )
    };
    let config = Config::builder().lag(Duration::ZERO).build()?;
    let target = Target::new(Url::parse("http://192.0.2.1/")?)?.with_method(method)?;
    let content = if method == Method::Get { "x".repeat(body) } else { String::new() };
    let mut session = Session::new(target, &config, cross_timestamp(at(0)));
    let (mut now, mut first, mut later, mut answered) = (at(0), 0, 0, 0);
    let mut pending: Option<(LocalInstant, ConnectionId, Vec<u8>)> = None;
    loop {
        let mut count = |session: &mut Session, call: &mut dyn FnMut(&mut Session)| {
            let counted = allocation_counter::measure(|| call(session)).count_total;
            *(if answered == 0 { &mut first } else { &mut later }) += counted;
        };
        let mut action = Action::Done;
        count(&mut session, &mut |session| action = session.poll(now));
        match action {
            Action::Open { conn, .. } => {
                count(&mut session, &mut |session| session.opened(conn, now));
            }
            Action::Transmit { conn } => {
                let length = session.output(conn).len();
                count(&mut session, &mut |session| session.sent(conn, length, now));
                let date = cross_timestamp(now.saturating_add(Duration::from_micros(500))).wall();
                let date = Timestamp::from_unix_nanos(
                    date.as_unix_nanos() / 1_000_000_000 * 1_000_000_000,
                );
                let close =
                    if (answered + 1) % closes_after == 0 { "Connection: close\r\n" } else { "" };
                let head = format!(
                    "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: {date}\r\n\
                     Content-Length: {body}\r\n{close}\r\n{content}"
                );
                pending = Some((now.saturating_add(Duration::from_millis(1)), conn, head.into()));
            }
            Action::Wait { until, .. } => {
                match pending.take_if(|(arrives, ..)| *arrives <= until) {
                    Some((arrives, conn, head)) => {
                        now = arrives;
                        count(&mut session, &mut |session| session.received(conn, &head, now));
                        answered += 1;
                    }
                    None => now = until,
                }
            }
            Action::Close { .. } => {}
            _ => {
                return session
                    .finish(cross_timestamp(now))
                    .map(|measurement| (first, later, measurement.observations()));
            }
        }
    }
}

#[test]
fn a_session_allocates_nothing_for_its_requests() -> Result<(), Error> {
    for (method, body) in [(Method::Head, 5), (Method::Get, 5), (Method::Get, 60_000)] {
        let (first, later, answered) = drive(method, body, u32::MAX)?;
        println!("allocations: {first} before the first of {answered} responses, {later} after");
        assert!(answered >= 20 && first > 0, "{answered} responses, {first} allocations");
        // The connections for checks need buffers: once, not for each request.
        assert!(later <= 10, "{later} after the first response by {method}, {body} bytes");
    }
    // A server that closes each time requires spare connections, and one more for checks: once, not
    // for each request.
    let (_, closing, answered) = drive(Method::Head, 0, 1)?;
    println!(
        "allocations with a server that closes: {closing} after the first of {answered} responses"
    );
    assert!(answered >= 20 && closing <= 10, "{closing} allocations");
    Ok(())
}

#[test]
fn requests_allocate_nothing_and_failures_leak_no_descriptor() -> Result<(), Error> {
    let server = LoopbackServer::builder().start().expect("a loopback port");
    let url = server.url();
    // Counted in this thread only, so the server's allocations do not count.
    let allocations = |requests| {
        let mut observations = 0;
        let counted = allocation_counter::measure(|| {
            observations = measure(&url, requests).expect("measured");
        });
        assert_eq!(observations, requests);
        counted.count_total
    };
    allocations(1);
    let (few, many) = (allocations(5), allocations(500));
    println!("allocations: {few} with 5 requests, {many} with 500");
    assert_eq!(few, many, "495 requests allocated {} times", many - few);

    let bad =
        [Behaviour::NoDate, Behaviour::EmptyReply, Behaviour::TlsAlert, Behaviour::CloseMidHead];
    let servers: Vec<_> = bad
        .into_iter()
        .map(|behaviour| LoopbackServer::builder().behaviour(behaviour).start().expect("a port"))
        .collect();
    let refused = RefusedPort::reserve().expect("a port");
    let mut urls: Vec<String> = servers.iter().map(LoopbackServer::url).collect();
    urls.push(format!("http://{}/", refused.address()));
    // The servers accept and close their ends a moment after the client has closed its own.
    let settles_at = |wanted: Option<usize>| {
        let open = || servers.iter().map(LoopbackServer::open_connections).sum::<usize>();
        for _ in 0..1000 {
            let quiet = open() + server.open_connections() == 0;
            if quiet && wanted.is_none_or(|wanted| open_descriptors() <= wanted) {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        open_descriptors()
    };
    let before = settles_at(None);
    for url in urls.iter().cycle().take(100) {
        measure(url, 3).expect_err("a bad server");
    }
    // A server's end may have existed before and not after. A leak would appear a hundredfold.
    let after = settles_at(Some(before));
    assert!(after <= before, "{after} descriptors after 100 failures, {before} before");
    Ok(())
}
