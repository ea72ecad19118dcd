//! The session driven by hand, without sockets: rules that apply to every driver.

use std::io::{Error as IoError, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use httptime::session::{
    Action, ConnectionId, Event, Layer, PeerSecurity, Security, Session, Target,
};
use httptime::survey::Targets;
use httptime::{
    CertificateCheck, Config, CrossTimestamp, Error, LocalInstant, Measurement, Method, Offset,
    Peer, Timestamp, TlsFault, Url,
};

const WALL: i64 = 1_795_392_000_250_000_000;
const SKEW_NS: i64 = 38_116_000_000;

fn at(millis: i64) -> LocalInstant {
    LocalInstant::from_nanos(millis * 1_000_000)
}

fn cross_timestamp(now: LocalInstant) -> CrossTimestamp {
    CrossTimestamp::new(now, Timestamp::from_unix_nanos(WALL + now.as_nanos()), Duration::ZERO)
}

fn target(url: &str) -> Target {
    Target::new(Url::parse(url).expect("a URL")).expect("a target")
}

fn session(url: &str) -> Session {
    by(Method::Auto, url)
}

fn by(method: Method, url: &str) -> Session {
    let config = Config::builder().requests(8).lag(Duration::ZERO).build().expect("in range");
    let target = target(url).with_method(method).expect("a target");
    Session::new(target, &config, cross_timestamp(at(0)))
}

/// The response at `now` of a server that is ahead by the skew.
fn response(now: LocalInstant) -> Vec<u8> {
    let date = Timestamp::from_unix_nanos(WALL + now.as_nanos() + SKEW_NS);
    format!("HTTP/1.1 200 OK\r\nDate: {date}\r\n\r\n").into_bytes()
}

type Answer<'a> = dyn FnMut(&[u8], LocalInstant) -> Option<Vec<u8>> + 'a;

/// Connects at once and answers every request after 2 ms with `answer`, until the session is done.
fn run(mut session: Session, answer: &mut Answer<'_>) -> Result<Measurement, Error> {
    let mut now = at(0);
    for _ in 0..10_000 {
        match session.poll(now) {
            Action::Open { conn, .. } => session.opened(conn, now),
            Action::Transmit { conn } => {
                let request = session.output(conn).to_vec();
                session.sent(conn, request.len(), now);
                now = now.saturating_add(Duration::from_millis(1));
                let answer = answer(&request, now);
                now = now.saturating_add(Duration::from_millis(1));
                match answer {
                    Some(bytes) => session.received(conn, &bytes, now),
                    None => session.closed(conn, now),
                }
            }
            Action::Wait { until, .. } => now = now.max(until),
            Action::Done => return session.finish(cross_timestamp(now)),
            _ => {}
        }
    }
    panic!("it does not end");
}

fn measured(result: Result<Measurement, Error>) -> Measurement {
    let measurement = result.expect("measured");
    let truth = Offset::from_nanos(SKEW_NS);
    assert!(measurement.bounds().contains(truth), "{}", measurement.bounds());
    measurement
}

fn first(session: &mut Session, now: LocalInstant) -> ConnectionId {
    match session.poll(now) {
        Action::Open { conn, .. } => conn,
        other => panic!("{other:?}"),
    }
}

/// Answers the due request.
fn exchange(session: &mut Session, now: LocalInstant) -> LocalInstant {
    let mut now = now;
    for _ in 0..100 {
        match session.poll(now) {
            Action::Open { conn, .. } => session.opened(conn, now),
            Action::Transmit { conn } => {
                let count = session.output(conn).len();
                session.sent(conn, count, now);
                let stamped = now.saturating_add(Duration::from_millis(1));
                now = now.saturating_add(Duration::from_millis(2));
                session.received(conn, &response(stamped), now);
                return now;
            }
            Action::Wait { until, .. } => now = now.max(until),
            other => panic!("{other:?}"),
        }
    }
    panic!("no request is due");
}

#[test]
fn a_conversation_ends_with_a_measurement() {
    let mut answered = 0;
    let result = run(session("http://192.0.2.1/"), &mut |request, now| {
        assert!(request.starts_with(b"HEAD / HTTP/1.1\r\nHost: 192.0.2.1\r\n"));
        answered += 1;
        Some(response(now))
    });
    let measurement = measured(result);
    assert_eq!((answered, measurement.requests(), measurement.observations()), (8, 8, 8));
    assert!(measurement.bounds().width() < Duration::from_millis(50));
}

#[test]
fn a_name_is_resolved_once_and_a_literal_never() {
    let mut named = session("http://server.example/");
    assert_eq!(named.poll(at(0)), Action::Resolve { server: 0 });
    assert!(matches!(named.poll(at(1)), Action::Wait { precise: false, .. }));
    let address: SocketAddr = "192.0.2.7:80".parse().expect("an address");
    named.resolved(Ok(vec![address]), at(2));
    assert!(matches!(named.poll(at(2)), Action::Open { address: to, .. } if to == address));
    let mut literal = session("http://[2001:db8::1]:81/");
    let to = "[2001:db8::1]:81".parse().expect("an address");
    assert!(matches!(literal.poll(at(0)), Action::Open { address, .. } if address == to));
}

#[test]
fn a_resolver_that_never_answers_is_waited_for_no_longer_than_the_timeout() {
    let mut session = session("http://server.example/");
    assert_eq!(session.poll(at(0)), Action::Resolve { server: 0 });
    assert_eq!(session.poll(at(0)), Action::Wait { until: at(5000), precise: false });
    assert_eq!(session.poll(at(5000)), Action::Done);
    let error = session.finish(cross_timestamp(at(5000))).expect_err("nobody answered");
    assert_eq!(error.kind(), "timeout_resolve");
}

#[test]
fn every_address_is_tried_in_turn_under_one_deadline() {
    let mut session = session("http://server.example/");
    session.poll(at(0));
    let addresses: Vec<SocketAddr> =
        (1..=4).map(|host| SocketAddr::from(([192, 0, 2, host], 80))).collect();
    session.resolved(Ok(addresses.clone()), at(0));
    let mut now = at(0);
    let mut tried = Vec::new();
    for _ in 0..100 {
        match session.poll(now) {
            Action::Open { conn, address } => {
                tried.push(address);
                // The second address has no route, which is a less specific error than that of the
                // first; the others are silent.
                match tried.len() {
                    1 => session.failed(conn, ErrorKind::ConnectionRefused.into(), now),
                    2 => session.failed(conn, ErrorKind::NetworkUnreachable.into(), now),
                    _ => {}
                }
            }
            Action::Wait { until, .. } => now = until,
            Action::Done => break,
            _ => {}
        }
    }
    assert_eq!(tried, addresses);
    assert_eq!(now, at(5000));
    assert_eq!(session.finish(cross_timestamp(now)).expect_err("nobody").kind(), "timeout_connect");
}

#[test]
fn no_route_says_less_than_a_refusal() {
    for kinds in [
        [ErrorKind::ConnectionRefused, ErrorKind::NetworkUnreachable],
        [ErrorKind::NetworkUnreachable, ErrorKind::ConnectionRefused],
    ] {
        let mut session = session("http://server.example/");
        session.poll(at(0));
        let addresses = [1, 2].map(|host| SocketAddr::from(([192, 0, 2, host], 80)));
        session.resolved(Ok(addresses.to_vec()), at(0));
        for kind in kinds {
            let conn = first(&mut session, at(0));
            session.failed(conn, kind.into(), at(0));
        }
        assert_eq!(session.poll(at(0)), Action::Done);
        assert_eq!(
            session.finish(cross_timestamp(at(0))).expect_err("nobody").kind(),
            "connection_refused"
        );
    }
}

#[test]
fn a_connection_found_closed_when_it_is_used_again_is_no_failure() {
    let mut session = session("http://192.0.2.1/");
    let now = exchange(&mut session, at(0));
    while session.next_event().is_some() {}
    let mut now = now;
    let lost = loop {
        match session.poll(now) {
            Action::Transmit { conn } => {
                let count = session.output(conn).len();
                session.sent(conn, count, now);
                session.failed(conn, ErrorKind::ConnectionReset.into(), now);
                break now;
            }
            Action::Wait { until, .. } => now = until,
            other => panic!("{other:?}"),
        }
    };
    // There is no pause: another connection is opened at once for the next aim.
    let events: Vec<Event> = std::iter::from_fn(|| session.next_event()).collect();
    assert!(!events.iter().any(|event| matches!(event, Event::Lost { .. })), "{events:?}");
    let answered = exchange(&mut session, lost);
    assert!(answered.saturating_since(lost) < Duration::from_millis(1100));
}

#[test]
fn a_request_that_is_lost_is_sent_again_after_a_pause() {
    let mut session = session("http://192.0.2.1/");
    let now = exchange(&mut session, at(0));
    let conn = ConnectionId::from_index(0);
    let mut now = now;
    loop {
        match session.poll(now) {
            Action::Transmit { .. } => break,
            Action::Wait { until, .. } => now = until,
            other => panic!("{other:?}"),
        }
    }
    session.sent(conn, session.output(conn).len(), now);
    session.received(conn, b"HTTP/1.1 2", now);
    session.closed(conn, now);
    let retry = std::iter::from_fn(|| session.next_event()).find_map(|event| match event {
        Event::Lost { error, retry_at } => Some((error.kind(), retry_at)),
        _ => None,
    });
    assert_eq!(retry, Some(("closed_early", now.saturating_add(Duration::from_millis(100)))));
    assert!(matches!(session.poll(now), Action::Wait { until, .. } if until > now));
}

/// A response with status 429 that asks for no request in so many seconds.
fn refusal(now: LocalInstant, seconds: u32) -> Vec<u8> {
    let fields = format!("HTTP/1.1 429 Too Many Requests\r\nRetry-After: {seconds}\r\n");
    let usual = String::from_utf8(response(now)).expect("text");
    usual.replace("HTTP/1.1 200 OK\r\n", &fields).into_bytes()
}

#[test]
fn a_server_that_asks_for_a_pause_gets_no_request_meanwhile() {
    let mut requests = Vec::new();
    let result = run(session("http://192.0.2.1/"), &mut |_, now| {
        requests.push(now);
        Some(if requests.len() == 3 { refusal(now, 4) } else { response(now) })
    });
    let measurement = measured(result);
    assert_eq!((measurement.requests(), measurement.retry_after()), (8, None));
    let pause = requests[3].saturating_since(requests[2]);
    assert!(pause >= Duration::from_secs(4), "{pause:?}");
    // The others were not that far apart.
    assert!(requests[2].saturating_since(requests[1]) < Duration::from_secs(2));
}

#[test]
fn a_measurement_ends_with_a_pause_that_is_longer_and_reports_it() {
    let mut requests = 0;
    let result = run(session("http://192.0.2.1/"), &mut |_, now| {
        requests += 1;
        Some(if requests == 5 { refusal(now, 120) } else { response(now) })
    });
    let measurement = measured(result);
    assert_eq!((requests, measurement.requests(), measurement.observations()), (5, 5, 5));
    let left = measurement.retry_after().expect("asked for");
    assert!(left > Duration::from_secs(110) && left <= Duration::from_secs(120), "{left:?}");
}

#[test]
fn a_server_whose_round_trips_grow_is_busy_and_a_long_path_is_not() {
    let busy = |waits: fn(u32) -> u64| {
        let mut session = session("http://192.0.2.1/");
        let (mut now, mut requests) = (at(0), 0);
        loop {
            match session.poll(now) {
                Action::Open { conn, .. } => session.opened(conn, now),
                Action::Transmit { conn } => {
                    let count = session.output(conn).len();
                    session.sent(conn, count, now);
                    requests += 1;
                    let there = Duration::from_millis(1 + waits(requests));
                    let stamped = now.saturating_add(there);
                    now = stamped.saturating_add(Duration::from_millis(1));
                    session.received(conn, &response(stamped), now);
                }
                Action::Wait { until, .. } => now = now.max(until),
                Action::Done => break measured(session.finish(cross_timestamp(now))).is_busy(),
                _ => {}
            }
        }
    };
    assert!(busy(|requests| if requests > 4 { 12 } else { 0 }));
    assert!(!busy(|_| 12), "a long path");
    assert!(!busy(|requests| if requests == 4 { 12 } else { 0 }), "one of eight waited");
}

#[test]
fn a_server_that_closes_each_time_has_its_next_connection_opened_ahead() {
    let mut opened = 0;
    let mut session = session("http://192.0.2.1/");
    let mut now = at(0);
    let mut waiting_for = None;
    for _ in 0..1000 {
        match session.poll(now) {
            Action::Open { conn, .. } => {
                opened += 1;
                session.opened(conn, now.saturating_add(Duration::from_micros(200)));
            }
            Action::Transmit { conn } => {
                if let Some(due) = waiting_for {
                    assert_eq!(now, due, "it was sent when it was due");
                }
                let count = session.output(conn).len();
                session.sent(conn, count, now);
                let stamped = now.saturating_add(Duration::from_millis(1));
                now = now.saturating_add(Duration::from_millis(2));
                let date = response(stamped);
                let text = String::from_utf8(date).expect("text");
                let close = text.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
                session.received(conn, close.as_bytes(), now);
            }
            Action::Wait { until, precise } => {
                waiting_for = precise.then_some(until);
                now = now.max(until);
            }
            Action::Done => break,
            _ => {}
        }
    }
    let measurement = measured(session.finish(cross_timestamp(now)));
    assert_eq!(measurement.observations(), 8);
    assert!(opened >= 8, "{opened}");
}

#[test]
fn a_write_that_does_not_fit_is_continued_when_the_socket_is_writable() {
    let mut session = session("http://192.0.2.1/");
    let conn = first(&mut session, at(0));
    session.opened(conn, at(0));
    assert_eq!(session.poll(at(0)), Action::Transmit { conn });
    let whole = session.output(conn).to_vec();
    session.sent(conn, 10, at(0));
    assert!(session.is_waiting_to_write(conn));
    assert!(matches!(session.poll(at(1)), Action::Wait { until, .. } if until == at(5000)));
    session.writable(conn);
    assert_eq!(session.poll(at(2)), Action::Transmit { conn });
    assert_eq!(session.output(conn), &whole[10..]);
    session.sent(conn, whole.len() - 10, at(2));
    session.received(conn, &response(at(3)), at(4));
    assert_eq!(session.progress().observations(), 1);
    // The round trip is counted up to the first byte.
    assert_eq!(session.progress().round_trip_last(), Some(Duration::from_millis(4)));
}

/// A server may respond before it has read the whole request.
#[test]
fn the_rest_of_a_request_that_was_answered_early_is_not_for_a_closed_connection() {
    for answer in [&b"x"[..], b"HTTP/1.1 408 \r\n\r\n", &response(at(1))] {
        let mut session = session("http://192.0.2.1/");
        exchange(&mut session, at(0));
        let mut now = at(2);
        let conn = loop {
            match session.poll(now) {
                Action::Transmit { conn } => break conn,
                Action::Wait { until, .. } => now = now.max(until),
                other => panic!("{other:?}"),
            }
        };
        session.sent(conn, 10, now);
        session.writable(conn);
        session.received(conn, answer, now);
        assert_eq!(session.output(conn), b"");
        assert_eq!(session.poll(now), Action::Close { conn });
        let next = session.poll(now);
        assert!(!matches!(next, Action::Transmit { .. }), "{next:?}");
    }
}

#[test]
fn a_head_that_dribbles_counts_from_the_read_that_completes_it() {
    let mut session = session("http://192.0.2.1/");
    let conn = first(&mut session, at(0));
    session.opened(conn, at(0));
    session.poll(at(0));
    session.sent(conn, session.output(conn).len(), at(0));
    let head = response(at(1));
    let (start, end) = head.split_at(20);
    session.received(conn, start, at(2));
    session.received(conn, end, at(700));
    assert_eq!(session.progress().round_trip_last(), Some(Duration::from_millis(700)));
}

#[test]
fn a_tunnel_comes_before_the_request_and_its_refusal_has_a_name() -> Result<(), Error> {
    let proxy = Url::parse("http://user:secret@192.0.2.128:3128/")?;
    let url = Url::parse("http://server.example/")?;
    let target = || Target::via_proxy(url.clone(), proxy.clone(), true);
    let config = Config::default();
    for (answer, kind) in [
        (&b"HTTP/1.1 200 Connection established\r\n\r\n"[..], None),
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", Some("proxy_credentials")),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", Some("proxy_refused")),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Some("not_http")),
    ] {
        let mut session = Session::new(target()?, &config, cross_timestamp(at(0)));
        let conn = first(&mut session, at(0));
        session.opened(conn, at(0));
        assert_eq!(session.poll(at(0)), Action::Transmit { conn });
        assert!(session.output(conn).starts_with(b"CONNECT server.example:80 HTTP/1.1\r\n"));
        assert!(!format!("{session:?}").contains("secret"));
        session.sent(conn, session.output(conn).len(), at(0));
        session.received(conn, answer, at(1));
        let next = session.poll(at(1));
        match kind {
            None => {
                assert_eq!(next, Action::Transmit { conn });
                assert!(session.output(conn).starts_with(b"HEAD / HTTP/1.1\r\n"));
            }
            Some(kind) => {
                assert_eq!(next, Action::Close { conn });
                assert_eq!(session.poll(at(1)), Action::Done);
                assert_eq!(
                    session.finish(cross_timestamp(at(1))).expect_err("refused").kind(),
                    kind
                );
            }
        }
    }
    Ok(())
}

#[test]
fn what_came_before_the_connect_opens_no_tunnel() -> Result<(), Error> {
    let proxy = Url::parse("http://192.0.2.128:3128/")?;
    let target = Target::via_proxy(Url::parse("http://192.0.2.1/")?, proxy, true)?;
    for written in [None, Some(0), Some(10)] {
        let mut session = Session::new(target.clone(), &Config::default(), cross_timestamp(at(0)));
        let conn = first(&mut session, at(0));
        session.opened(conn, at(0));
        if let Some(count) = written {
            session.sent(conn, count, at(0));
        }
        session.received(conn, &response(at(1)), at(1));
        assert_eq!(session.poll(at(1)), Action::Close { conn });
        assert_eq!(session.poll(at(1)), Action::Done);
        let error = session.finish(cross_timestamp(at(1))).expect_err("no tunnel");
        assert_eq!(error.kind(), "malformed_head", "{error}");
    }
    Ok(())
}

#[test]
fn a_socket_that_is_gone_is_not_to_be_closed() {
    let mut session = session("http://192.0.2.1/");
    let conn = first(&mut session, at(0));
    session.opened(conn, at(0));
    session.poll(at(0));
    session.sent(conn, session.output(conn).len(), at(0));
    let close =
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nDate: Tue, 24 Nov 2026 00:00:38 GMT\r\n\r\n";
    session.received(conn, close, at(1));
    session.closed(conn, at(1));
    let next = session.poll(at(1));
    assert!(!matches!(next, Action::Close { .. }), "{next:?}");
}

#[test]
fn what_came_before_the_request_is_no_answer_and_nothing_is_sent() {
    for (unsolicited, kind) in
        [(&response(at(0))[..], "malformed_head"), (b"SSH-2.0-OpenSSH_9.2\r\n", "not_http")]
    {
        let mut session = session("http://192.0.2.1/");
        let conn = first(&mut session, at(0));
        session.opened(conn, at(0));
        session.received(conn, unsolicited, at(0));
        assert_eq!(session.poll(at(0)), Action::Close { conn });
        assert_eq!(session.poll(at(0)), Action::Done);
        assert_eq!(session.progress().requests(), 0);
        assert_eq!(session.finish(cross_timestamp(at(0))).expect_err("unasked").kind(), kind);
    }
}

#[test]
fn bytes_read_before_the_request_was_written_are_no_answer_to_it() {
    let mut session = session("http://192.0.2.1/");
    let now = exchange(&mut session, at(0));
    let conn = ConnectionId::from_index(0);
    let mut now = now;
    while !matches!(session.poll(now), Action::Transmit { .. }) {
        now = now.saturating_add(Duration::from_millis(1));
    }
    session.sent(conn, session.output(conn).len(), now);
    // Reported late by another thread.
    let before = now.saturating_sub(Duration::from_micros(14));
    session.received(conn, &response(before), before);
    assert_eq!(session.progress().observations(), 1);
    assert!(!session.is_done());
    let lost = std::iter::from_fn(|| session.next_event())
        .find_map(|event| if let Event::Lost { error, .. } = event { Some(error) } else { None });
    assert_eq!(lost.map(|error| error.kind()), Some("malformed_head"));
}

#[test]
fn a_session_can_be_stopped_with_what_it_has_or_cancelled() {
    let mut stopped = session("http://192.0.2.1/");
    let now = exchange(&mut stopped, at(0));
    stopped.stop();
    assert!(matches!(stopped.poll(now), Action::Close { .. }));
    assert_eq!(stopped.poll(now), Action::Done);
    assert_eq!(measured(stopped.finish(cross_timestamp(now))).observations(), 1);
    let mut cancelled = session("http://192.0.2.1/");
    let now = exchange(&mut cancelled, at(0));
    cancelled.cancel();
    assert_eq!(cancelled.finish(cross_timestamp(now)), Err(Error::Cancelled));
}

#[test]
fn the_last_event_says_why_there_is_no_result() {
    let ended = |session: &mut Session| {
        let events = std::iter::from_fn(|| session.next_event());
        events
            .filter_map(|event| if let Event::Ended { error } = event { Some(error) } else { None })
            .last()
    };
    let mut stopped = session("http://192.0.2.1/");
    stopped.stop();
    let mut of_another_clock =
        Session::new(target("http://192.0.2.1/"), &Config::default(), cross_timestamp(at(1000)));
    let conn = first(&mut of_another_clock, at(0));
    of_another_clock.opened(conn, at(0));
    of_another_clock.sent(conn, 0, at(0));
    of_another_clock.poll(at(0));
    of_another_clock.sent(conn, of_another_clock.output(conn).len(), at(0));
    of_another_clock.poll(at(0));
    for mut session in [stopped, of_another_clock] {
        let said = ended(&mut session).expect("ended");
        assert_eq!(said, session.finish(cross_timestamp(at(1000))).err());
        assert!(said.is_some());
    }
}

#[test]
fn reports_about_connections_that_are_gone_do_no_harm() {
    let mut session = session("http://192.0.2.1/");
    let now = exchange(&mut session, at(0));
    for index in [1, 3, 4, 5, 4000] {
        let conn = ConnectionId::from_index(index);
        session.opened(conn, now);
        session.sent(conn, 7, now);
        session.received(conn, b"bytes", now);
        session.writable(conn);
        session.closed(conn, now);
        session.failed(conn, IoError::other("gone"), now);
        assert!(session.output(conn).is_empty() && !session.is_waiting_to_write(conn));
    }
    let result = run(session, &mut |_, now| Some(response(now)));
    assert_eq!(measured(result).observations(), 8);
}

#[test]
fn a_session_lasts_no_longer_than_duration_and_timeout_whatever_the_server_does() {
    let config = Config::builder().duration(Duration::from_secs(3)).build().expect("in range");
    let targets = Targets::builder().server("http://192.0.2.1/").config(config).build();
    let mut sessions = targets.expect("a target").sessions(cross_timestamp(at(0)));
    let mut now = at(0);
    let mut answers = 0;
    loop {
        match sessions.poll(now) {
            Action::Open { conn, .. } => sessions.opened(conn, now),
            // One response; after that the server accepts everything and sends nothing.
            Action::Transmit { conn } => {
                sessions.sent(conn, sessions.output(conn).len(), now);
                if answers == 0 {
                    answers += 1;
                    sessions.received(conn, &response(now), now);
                }
            }
            Action::Wait { until, .. } => now = now.max(until),
            Action::Done => break,
            _ => {}
        }
    }
    assert!(now <= at(8000), "{now:?}");
    let measurement = sessions.finish(cross_timestamp(now)).into_combined().expect("one answer");
    assert_eq!(measurement.observations(), 1);
}

/// A layer like TLS: it has a handshake, records instead of the plain bytes, and unsolicited
/// records after the handshake.
#[derive(Debug)]
struct Records {
    key: u8,
    pending: Vec<u8>,
    is_open: bool,
    has_ended: bool,
}

fn record(key: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).expect("short");
    std::iter::once(length).chain(bytes.iter().map(|byte| byte ^ key)).collect()
}

/// The content of one whole record.
fn opened(key: u8, record: &[u8]) -> Vec<u8> {
    assert_eq!(usize::from(record[0]) + 1, record.len(), "one record");
    record[1..].iter().map(|byte| byte ^ key).collect()
}

fn cut_off(peer: Peer) -> Error {
    Error::Tls { peer, fault: TlsFault::CutOff }
}

impl Layer for Records {
    fn start(&mut self, wire: &mut Vec<u8>) -> Result<(), Error> {
        wire.extend(record(self.key, b"hello"));
        Ok(())
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        plaintext: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.pending.extend_from_slice(bytes);
        while let Some(end) = self.pending.first().map(|length| usize::from(*length) + 1) {
            if self.pending.len() < end {
                break;
            }
            let record: Vec<u8> = self.pending.drain(..end).collect();
            match &opened(self.key, &record)[..] {
                b"hello" => self.is_open = true,
                b"ticket" => {}
                b"update" => wire.extend(self::record(self.key, b"updated")),
                b"bye" => self.has_ended = true,
                b"wrong" => return Err(cut_off(Peer::Server)),
                text => plaintext.extend_from_slice(text),
            }
        }
        Ok(())
    }

    fn send(&mut self, plaintext: &[u8], wire: &mut Vec<u8>) -> Result<(), Error> {
        assert!(self.is_open, "nothing is sent before the handshake");
        wire.extend(record(self.key, plaintext));
        Ok(())
    }

    fn is_open(&self) -> bool {
        self.is_open
    }

    fn has_ended(&self) -> bool {
        self.has_ended
    }

    fn cut_off(&self) -> Option<Error> {
        let is_cut_off = !self.has_ended && (!self.is_open || !self.pending.is_empty());
        is_cut_off.then(|| cut_off(Peer::Server))
    }
}

const SERVER: u8 = 0x5a;
const PROXY: u8 = 0x33;
const CHECK: CertificateCheck = CertificateCheck::Pin;

/// Makes [`Records`], and remembers what it is asked.
#[derive(Debug, Clone, Default)]
struct RecordsSecurity {
    refuses: bool,
    local_times: Arc<Mutex<Vec<Timestamp>>>,
    judged: Arc<Mutex<Vec<(Peer, Timestamp, Timestamp)>>>,
}

#[derive(Debug)]
struct RecordsPeer {
    security: RecordsSecurity,
    peer: Peer,
}

impl Security for RecordsSecurity {
    fn peer(&self, peer: Peer, host: &str) -> Result<Box<dyn PeerSecurity>, Error> {
        assert_eq!(host, if peer == Peer::Proxy { "192.0.2.9" } else { "192.0.2.1" });
        Ok(Box::new(RecordsPeer { security: self.clone(), peer }))
    }

    fn by_local_clock(&self) -> Arc<dyn Security> {
        Arc::new(self.clone())
    }
}

impl PeerSecurity for RecordsPeer {
    fn layer(&mut self, local_time: Timestamp) -> Result<Box<dyn Layer>, Error> {
        self.security.local_times.lock().expect("no panic").push(local_time);
        let key = if self.peer == Peer::Proxy { PROXY } else { SERVER };
        Ok(Box::new(Records { key, pending: Vec::new(), is_open: false, has_ended: false }))
    }

    fn judge(&self, earliest: Timestamp, latest: Timestamp) -> Result<CertificateCheck, Error> {
        self.security.judged.lock().expect("no panic").push((self.peer, earliest, latest));
        if self.security.refuses { Err(cut_off(self.peer)) } else { Ok(CHECK) }
    }
}

fn secured(target: Target, security: &RecordsSecurity) -> Session {
    let config = Config::builder().requests(8).lag(Duration::ZERO).build().expect("in range");
    let target = target.with_security(Arc::new(security.clone()));
    Session::new(target, &config, cross_timestamp(at(0)))
}

fn through(proxy: &str, server: &str, tunnel: bool) -> Target {
    let url = |text| Url::parse(text).expect("a URL");
    Target::via_proxy(url(server), url(proxy), tunnel).expect("a target")
}

#[test]
fn a_layer_has_its_handshake_its_records_and_its_tickets() {
    let session = secured(target("https://192.0.2.1/"), &RecordsSecurity::default());
    let mut requests = 0;
    let result = run(session, &mut |bytes, now| {
        let plain = opened(SERVER, bytes);
        if plain == b"hello" {
            // And a ticket, whose last byte arrives with the next response.
            let ticket = record(SERVER, b"ticket");
            return Some([&record(SERVER, b"hello")[..], &ticket[..ticket.len() - 1]].concat());
        }
        assert!(plain.starts_with(b"HEAD / HTTP/1.1\r\nHost: 192.0.2.1\r\n"));
        requests += 1;
        let rest = if requests == 1 { record(SERVER, b"ticket").split_off(6) } else { Vec::new() };
        Some([rest, record(SERVER, &response(now))].concat())
    });
    assert_eq!(measured(result).observations(), 8);
}

#[test]
fn https_without_anyone_who_provides_tls_is_refused_by_name() {
    for target in [
        target("https://192.0.2.1/"),
        through("https://user:hunter2@192.0.2.9/", "http://192.0.2.1/", false),
    ] {
        let mut session = Session::new(target, &Config::default(), cross_timestamp(at(0)));
        assert_eq!(session.poll(at(0)), Action::Done);
        let error = session.finish(cross_timestamp(at(0))).expect_err("no TLS");
        assert_eq!(error.kind(), "no_https");
        let text = error.to_string();
        assert!(text.contains("built without HTTPS") && !text.contains("hunter2"), "{text}");
    }
    let error = Targets::builder().server("https://192.0.2.1/").build().expect_err("no TLS");
    assert_eq!(error.kind(), "no_https");
}

#[test]
fn in_the_tunnel_of_an_https_proxy_is_the_tls_of_the_server() {
    for proxy in ["http://user:hunter2@192.0.2.9/", "https://user:hunter2@192.0.2.9/"] {
        let is_secured = proxy.starts_with("https");
        // Without asking for a tunnel: a server with https always has one.
        let session =
            secured(through(proxy, "https://192.0.2.1/", false), &RecordsSecurity::default());
        let to_client = |bytes: &[u8]| if is_secured { record(PROXY, bytes) } else { bytes.into() };
        let mut seen: Vec<String> = Vec::new();
        let result = run(session, &mut |bytes, now| {
            let outer = if is_secured { opened(PROXY, bytes) } else { bytes.to_vec() };
            if outer == b"hello" || outer.starts_with(b"CONNECT ") {
                let is_hello = outer == b"hello";
                seen.push(String::from_utf8(outer).expect("text"));
                let answer = if is_hello { "hello" } else { "HTTP/1.1 200 OK\r\n\r\n" };
                return Some(to_client(answer.as_bytes()));
            }
            let inner = opened(SERVER, &outer);
            if inner == b"hello" {
                seen.push("inner hello".to_owned());
                return Some(to_client(&record(SERVER, b"hello")));
            }
            assert!(inner.starts_with(b"HEAD / HTTP/1.1\r\nHost: 192.0.2.1\r\n"));
            assert!(!String::from_utf8_lossy(&inner).contains("Proxy-Authorization"));
            Some(to_client(&record(SERVER, &response(now))))
        });
        let measurement = measured(result);
        let assumptions = measurement.assumptions();
        assert_eq!(assumptions.certificates(), Some(CHECK));
        assert_eq!(assumptions.proxy_certificates(), is_secured.then_some(CHECK));
        let connect =
            seen.iter().position(|it| it.starts_with("CONNECT 192.0.2.1:443 HTTP/1.1\r\n"));
        assert_eq!(connect, Some(usize::from(is_secured)), "{seen:?}");
        assert!(seen[usize::from(is_secured)].contains("\r\nProxy-Authorization: Basic "));
        assert_eq!(seen.last().map(String::as_str), Some("inner hello"));
    }
}

#[test]
fn an_https_proxy_forwards_plain_http_inside_its_tls() {
    let proxy = "https://user:hunter2@192.0.2.9/";
    let security = RecordsSecurity::default();
    let session = secured(through(proxy, "http://192.0.2.1/", false), &security);
    let result = run(session, &mut |bytes, now| {
        let plain = opened(PROXY, bytes);
        if plain == b"hello" {
            return Some(record(PROXY, b"hello"));
        }
        assert!(plain.starts_with(b"HEAD http://192.0.2.1/ HTTP/1.1\r\n"));
        Some(record(PROXY, &response(now)))
    });
    let assumptions = measured(result).assumptions();
    assert_eq!((assumptions.certificates(), assumptions.proxy_certificates()), (None, Some(CHECK)));
    let judged = security.judged.lock().expect("no panic");
    assert!(matches!(judged[..], [(Peer::Proxy, ..)]), "{judged:?}");
}

/// Answers with records: the handshake, then the response.
fn over_tls(bytes: &[u8], now: LocalInstant) -> Option<Vec<u8>> {
    let is_hello = opened(SERVER, bytes) == b"hello";
    Some(record(SERVER, &if is_hello { b"hello".to_vec() } else { response(now) }))
}

#[test]
fn certificates_are_judged_at_both_ends_of_the_measured_time_of_the_server() {
    let security = RecordsSecurity::default();
    let session = secured(target("https://192.0.2.1/"), &security);
    let measurement = measured(run(session, &mut over_tls));
    let local = measurement.local_time();
    let [lower, upper] = [measurement.bounds().lower(), measurement.bounds().upper()];
    let judged = security.judged.lock().expect("no panic").clone();
    let expected = (Peer::Server, local.saturating_add(lower), local.saturating_add(upper));
    assert_eq!(judged, [expected]);
    // The layer knew the local time at which it was made.
    assert_eq!(security.local_times.lock().expect("no panic")[..], [cross_timestamp(at(0)).wall()]);
}

#[test]
fn a_certificate_that_is_not_valid_at_the_measured_time_leaves_no_result() {
    let security = RecordsSecurity { refuses: true, ..RecordsSecurity::default() };
    let result = run(secured(target("https://192.0.2.1/"), &security), &mut over_tls);
    assert_eq!(result, Err(cut_off(Peer::Server)));
}

#[test]
fn a_connection_that_is_closed_in_the_handshake_or_within_a_record_is_cut_off() {
    let session = || secured(target("https://192.0.2.1/"), &RecordsSecurity::default());
    assert_eq!(run(session(), &mut |_, _| None), Err(cut_off(Peer::Server)));

    let mut session = session();
    let conn = first(&mut session, at(0));
    session.opened(conn, at(0));
    session.sent(conn, session.output(conn).len(), at(0));
    session.received(conn, &record(SERVER, b"hello"), at(1));
    assert_eq!(session.poll(at(1)), Action::Transmit { conn });
    session.sent(conn, session.output(conn).len(), at(1));
    session.received(conn, &record(SERVER, &response(at(2)))[..9], at(2));
    session.closed(conn, at(3));
    assert_eq!(session.finish(cross_timestamp(at(3))), Err(cut_off(Peer::Server)));
}

#[test]
fn a_handshake_that_takes_too_long_is_named() {
    let mut session = secured(target("https://192.0.2.1/"), &RecordsSecurity::default());
    let conn = first(&mut session, at(0));
    session.opened(conn, at(0));
    session.sent(conn, session.output(conn).len(), at(0));
    assert!(matches!(session.poll(at(0)), Action::Wait { .. }));
    session.poll(at(60_000));
    let error = session.finish(cross_timestamp(at(60_000))).expect_err("no answer");
    assert_eq!(error.kind(), "timeout_handshake");
}

/// A session whose first response was used, on an open connection.
fn after_one_response() -> (Session, ConnectionId) {
    let mut session = secured(target("https://192.0.2.1/"), &RecordsSecurity::default());
    let conn = first(&mut session, at(0));
    session.opened(conn, at(0));
    for millis in [0, 1] {
        assert_eq!(session.poll(at(millis)), Action::Transmit { conn });
        let answer = over_tls(session.output(conn), at(millis)).expect("an answer");
        session.sent(conn, session.output(conn).len(), at(millis));
        session.received(conn, &answer, at(millis + 1));
    }
    assert_eq!(session.progress().observations(), 1);
    (session, conn)
}

#[test]
fn a_server_that_says_goodbye_is_not_waited_for() {
    // Before the next request: an idle connection was closed.
    let (mut session, conn) = after_one_response();
    session.received(conn, &record(SERVER, b"bye"), at(3));
    assert_eq!(session.poll(at(3)), Action::Close { conn });
    assert!(session.progress().in_flight() == 0 && !session.is_done());

    // With a request in flight: the request is sent again on a new connection.
    let (mut session, conn) = after_one_response();
    let mut now = at(3);
    while let Action::Wait { until, .. } = session.poll(now) {
        now = until;
    }
    session.sent(conn, session.output(conn).len(), now);
    assert_eq!(session.progress().in_flight(), 1);
    session.received(conn, &record(SERVER, b"bye"), now);
    assert_eq!(session.progress().in_flight(), 0);
    assert_eq!(session.poll(now), Action::Close { conn });
    assert!(!session.is_done());

    // Within the head of a response: that one is lost.
    let (mut session, conn) = after_one_response();
    let mut now = at(3);
    while let Action::Wait { until, .. } = session.poll(now) {
        now = until;
    }
    session.sent(conn, session.output(conn).len(), now);
    let part = [record(SERVER, b"HTTP/1.1 200 OK\r\n"), record(SERVER, b"bye")].concat();
    session.received(conn, &part, now);
    let lost = std::iter::from_fn(|| session.next_event()).last();
    let Some(Event::Lost { error, .. }) = lost else { panic!("{lost:?}") };
    assert_eq!(error, Error::Closed { received: 17 });
    assert_eq!(session.poll(now), Action::Close { conn });

    // In the read that has the response: the response is used, and the connection is not.
    let (mut session, conn) = after_one_response();
    let mut now = at(3);
    while let Action::Wait { until, .. } = session.poll(now) {
        now = until;
    }
    session.sent(conn, session.output(conn).len(), now);
    let last = [record(SERVER, &response(now)), record(SERVER, b"bye")].concat();
    session.received(conn, &last, now.saturating_add(Duration::from_millis(1)));
    assert_eq!(session.progress().observations(), 2);
    assert_eq!(session.poll(now), Action::Close { conn });
}

#[test]
fn bytes_of_the_layer_are_sent_before_a_request_and_do_not_begin_it() {
    let (mut session, conn) = after_one_response();
    session.received(conn, &record(SERVER, b"update"), at(3));
    assert_eq!(session.poll(at(3)), Action::Transmit { conn });
    assert_eq!(session.output(conn), record(SERVER, b"updated"));
    // The socket accepts one byte only: another connection is opened for the request.
    session.sent(conn, 1, at(3));
    let mut now = at(3);
    while let Action::Wait { until, .. } = session.poll(now) {
        now = until;
    }
    assert_eq!(session.output(conn), &record(SERVER, b"updated")[1..]);
    assert_eq!(session.progress().in_flight(), 0);
    session.writable(conn);
    session.sent(conn, session.output(conn).len(), now);
    assert_eq!(session.progress().in_flight(), 0, "that was no request");
    while let Action::Wait { until, .. } = session.poll(now) {
        now = until;
    }
    assert_eq!(session.poll(now), Action::Transmit { conn });
    session.sent(conn, session.output(conn).len(), now);
    assert_eq!(session.progress().in_flight(), 1);
}

/// The same with a body that itself looks like a response.
fn response_with_body(now: LocalInstant) -> Vec<u8> {
    let body = response(now.saturating_add(Duration::from_secs(3600)));
    let length = format!("\r\nContent-Length: {}\r\n\r\n", body.len());
    let head = String::from_utf8(response(now)).expect("text");
    [head.replace("\r\n\r\n", &length).into_bytes(), body].concat()
}

fn method_of(request: &[u8]) -> String {
    let method: Vec<u8> = request.iter().copied().take_while(|byte| *byte != b' ').collect();
    String::from_utf8(method).expect("text")
}

#[test]
fn a_server_whose_answer_to_head_has_no_date_is_asked_by_get() {
    for status in ["200 OK", "404 Not Found", "405 Method Not Allowed", "501 Not Implemented"] {
        let mut methods = Vec::new();
        let result = run(session("http://192.0.2.1/"), &mut |request, now| {
            methods.push(method_of(request));
            let is_head = request.starts_with(b"HEAD /");
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            Some(if is_head { head.into_bytes() } else { response_with_body(now) })
        });
        let measurement = measured(result);
        assert_eq!((measurement.requests(), measurement.observations()), (8, 7), "{status}");
        assert_eq!(measurement.method(), Some(Method::Get));
        assert_eq!(methods[..2], ["HEAD", "GET"], "{status}");
        assert_eq!(methods.iter().filter(|method| *method == "GET").count(), 7, "{status}");
    }
}

/// A filter on the path may have refused `HEAD`, and its clock may be another one.
#[test]
fn a_refusal_of_head_is_not_measured_although_it_has_a_date() {
    for status in ["405 Method Not Allowed", "501 Not Implemented"] {
        let result = run(session("http://192.0.2.1/"), &mut |request, now| {
            let is_head = request.starts_with(b"HEAD /");
            let wrong = response(now.saturating_add(Duration::from_secs(3600)));
            let wrong = String::from_utf8(wrong).expect("text").replace("200 OK", status);
            Some(if is_head { wrong.into_bytes() } else { response_with_body(now) })
        });
        let measurement = measured(result);
        assert_eq!((measurement.requests(), measurement.observations()), (8, 7), "{status}");
        assert_eq!(measurement.method(), Some(Method::Get));
    }
}

#[test]
fn a_server_that_refuses_get_too_or_only_one_request_is_measured_by_its_refusals() {
    for (requests, method) in [(8, Method::Get), (1, Method::Head)] {
        let config = Config::builder().requests(requests).lag(Duration::ZERO).build();
        let config = config.expect("in range");
        let session = Session::new(target("http://192.0.2.1/"), &config, cross_timestamp(at(0)));
        let result = run(session, &mut |_, now| {
            let head = String::from_utf8(response(now)).expect("text");
            let refusal = head.replace("200 OK", "405 Method Not Allowed");
            let empty = refusal.replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n");
            Some(empty.into_bytes())
        });
        let measurement = measured(result);
        let of = (measurement.method(), measurement.http_status());
        assert_eq!(of, (Some(method), Some(405)));
    }
}

#[test]
fn a_server_that_closes_instead_of_answering_head_is_asked_by_get() {
    let mut methods = Vec::new();
    let result = run(session("http://192.0.2.1/"), &mut |request, now| {
        methods.push(method_of(request));
        (!request.starts_with(b"HEAD /")).then(|| response_with_body(now))
    });
    assert_eq!(measured(result).observations(), 7);
    assert_eq!(methods.iter().filter(|method| *method == "HEAD").count(), 1, "{methods:?}");
}

#[test]
fn a_server_that_answers_get_no_better_ends_with_what_was_wrong_with_that() {
    for (answer, kind) in
        [(Some(&b"HTTP/1.1 200 OK\r\n\r\n"[..]), "no_date"), (None, "empty_reply")]
    {
        let mut methods = Vec::new();
        let result = run(session("http://192.0.2.1/"), &mut |request, _| {
            methods.push(method_of(request));
            answer.map(<[u8]>::to_vec)
        });
        assert_eq!(result.expect_err("no date at all").kind(), kind);
        assert_eq!(methods, ["HEAD", "GET"], "{kind}");
    }
}

#[test]
fn a_fallback_is_told_and_waits_for_nothing() {
    let mut session = session("http://192.0.2.1/");
    let conn = first(&mut session, at(0));
    session.opened(conn, at(0));
    assert_eq!(session.poll(at(0)), Action::Transmit { conn });
    session.sent(conn, session.output(conn).len(), at(0));
    session.received(conn, b"HTTP/1.1 501 Not Implemented\r\n\r\n", at(2));
    let told = std::iter::from_fn(|| session.next_event()).last();
    let Some(Event::Fallback { error, method }) = told else { panic!("{told:?}") };
    assert_eq!((error.kind(), method), ("method_refused", Method::Get));
    assert_eq!(session.poll(at(2)), Action::Transmit { conn });
    assert!(session.output(conn).starts_with(b"GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n"));
}

#[test]
fn with_one_request_allowed_there_is_no_fallback_and_the_reason_is_named() {
    let config = Config::builder().requests(1).build().expect("in range");
    let session = Session::new(target("http://192.0.2.1/"), &config, cross_timestamp(at(0)));
    let result = run(session, &mut |_, _| Some(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()));
    assert_eq!(result.expect_err("no second request").kind(), "no_date");
}

#[test]
fn a_server_that_answered_head_once_is_not_asked_by_get() {
    let mut answers = 0;
    let result = run(session("http://192.0.2.1/"), &mut |request, now| {
        assert!(request.starts_with(b"HEAD /"));
        answers += 1;
        let good = response(now);
        Some(if answers < 3 { good } else { b"HTTP/1.1 200 OK\r\n\r\n".to_vec() })
    });
    assert_eq!(result.expect_err("no date").kind(), "no_date");
}

#[test]
fn a_method_that_was_asked_for_is_the_only_one() {
    for (method, line) in [
        (Method::Head, "HEAD / HTTP/1.1"),
        (Method::Get, "GET / HTTP/1.1"),
        (Method::Options, "OPTIONS * HTTP/1.1"),
    ] {
        for answer in [Some(&b"HTTP/1.1 501 No\r\nContent-Length: 0\r\n\r\n"[..]), None] {
            let mut requests = 0;
            let result = run(by(method, "http://192.0.2.1/"), &mut |request, _| {
                assert!(request.starts_with(line.as_bytes()));
                requests += 1;
                answer.map(<[u8]>::to_vec)
            });
            let kind = if answer.is_some() { "no_date" } else { "empty_reply" };
            assert_eq!((result.expect_err("no date").kind(), requests), (kind, 1), "{method}");
        }
        let result = run(by(method, "http://192.0.2.1/"), &mut |_, now| {
            Some(if method == Method::Head { response(now) } else { response_with_body(now) })
        });
        let measurement = measured(result);
        assert_eq!((measurement.method(), measurement.observations()), (Some(method), 8));
    }
}

#[test]
fn through_a_forwarding_proxy_options_has_no_path_and_through_a_tunnel_an_asterisk()
-> Result<(), Error> {
    let (url, proxy) =
        (Url::parse("http://server.example/x")?, Url::parse("http://192.0.2.128:3128/")?);
    for tunnel in [false, true] {
        let target = Target::via_proxy(url.clone(), proxy.clone(), tunnel)?;
        let target = target.with_method(Method::Options)?;
        assert!(target.is_answered_by_front());
        let config = Config::builder().requests(2).lag(Duration::ZERO).build()?;
        let mut lines = Vec::new();
        let result =
            run(Session::new(target, &config, cross_timestamp(at(0))), &mut |request, now| {
                let request = String::from_utf8(request.to_vec()).expect("text");
                lines.push(request.lines().next().unwrap_or_default().to_owned());
                let is_connect = request.starts_with("CONNECT");
                Some(if is_connect {
                    b"HTTP/1.1 200 OK\r\n\r\n".to_vec()
                } else {
                    response_with_body(now)
                })
            });
        measured(result);
        let expected = if tunnel {
            ["CONNECT server.example:80 HTTP/1.1", "OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1"]
                .to_vec()
        } else {
            ["OPTIONS http://server.example HTTP/1.1"; 2].to_vec()
        };
        assert_eq!(lines, expected);
    }
    Ok(())
}

#[test]
fn what_a_proxy_may_say_of_a_method_by_itself_is_not_used() -> Result<(), Error> {
    for (method, status, is_refused) in [
        (Method::Options, 400, true),
        (Method::Options, 405, true),
        (Method::Options, 501, true),
        (Method::Options, 403, false),
        (Method::Get, 501, true),
        (Method::Get, 405, false),
        (Method::Head, 501, false),
    ] {
        for is_proxied in [false, true] {
            let proxy = is_proxied.then(|| Url::parse("http://192.0.2.128/")).transpose()?;
            let target =
                Target::with_optional_proxy(Url::parse("http://192.0.2.1/")?, proxy, false)?;
            let config = Config::builder().requests(3).lag(Duration::ZERO).build()?;
            let session =
                Session::new(target.with_method(method)?, &config, cross_timestamp(at(0)));
            let result = run(session, &mut |_, now| {
                let head = String::from_utf8(response(now)).expect("text");
                let fields = "\r\nContent-Length: 0\r\n\r\n";
                let head = head.replace("200", &status.to_string()).replace("\r\n\r\n", fields);
                Some(head.into_bytes())
            });
            match result {
                Err(error) => assert_eq!(
                    (error, is_proxied && is_refused),
                    (Error::ProxyRefused { status }, true),
                    "{method} {status}"
                ),
                Ok(_) => assert!(!(is_proxied && is_refused), "{method} {status}"),
            }
        }
    }
    Ok(())
}

/// A session with `GET` whose first request was sent at 0.
fn session_by_get() -> (Session, ConnectionId) {
    let mut session = by(Method::Get, "http://192.0.2.1/");
    let conn = first(&mut session, at(0));
    session.opened(conn, at(0));
    assert_eq!(session.poll(at(0)), Action::Transmit { conn });
    session.sent(conn, session.output(conn).len(), at(0));
    (session, conn)
}

#[test]
fn a_body_that_is_long_or_of_unknown_length_is_not_read() {
    for fields in [
        "Content-Length: 1048576\r\n",
        "Content-Length: 65537\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 4, 4\r\n",
        "",
    ] {
        let (mut session, conn) = session_by_get();
        let head = String::from_utf8(response(at(1))).expect("text");
        let head = head.replace("\r\n\r\n", &format!("\r\n{fields}\r\n"));
        session.received(conn, head.as_bytes(), at(2));
        assert_eq!(session.poll(at(2)), Action::Close { conn }, "{fields}");
        session.received(conn, &response(at(3_600_000)), at(3));
        assert_eq!(session.progress().observations(), 1, "{fields}");
        assert_eq!(session.progress().round_trip_last(), Some(Duration::from_millis(2)));
    }
}

#[test]
fn a_short_body_is_skipped_whenever_it_comes_and_the_connection_kept() {
    let bytes = response_with_body(at(1));
    let head = bytes.windows(4).position(|it| it == b"\r\n\r\n").expect("a head") + 4;
    for split in head..=bytes.len() {
        let (mut session, conn) = session_by_get();
        let (first, rest) = bytes.split_at(split);
        session.received(conn, first, at(2));
        for (byte, later) in rest.iter().zip(3..) {
            assert!(!matches!(
                session.poll(at(later)),
                Action::Transmit { .. } | Action::Close { .. }
            ));
            session.received(conn, std::slice::from_ref(byte), at(later));
        }
        assert_eq!(session.progress().round_trip_last(), Some(Duration::from_millis(2)));
        let mut now = at(100);
        loop {
            match session.poll(now) {
                Action::Transmit { conn: again } => break assert_eq!(again, conn),
                Action::Wait { until, .. } => now = now.max(until),
                // Opened in case the body takes longer.
                Action::Open { .. } if split < bytes.len() => {}
                other => panic!("{other:?} with {split} bytes at first"),
            }
        }
        assert_eq!(session.progress().observations(), 1);
    }
}

#[test]
fn more_than_the_body_is_an_answer_that_nobody_asked_for() {
    let bytes = response_with_body(at(1));
    for at_once in [true, false] {
        let (mut session, conn) = session_by_get();
        if at_once {
            session.received(conn, &[&bytes[..], b"x"].concat(), at(2));
        } else {
            let (most, last) = bytes.split_at(bytes.len() - 1);
            session.received(conn, most, at(2));
            session.received(conn, &[last, &response(at(3_600_000))].concat(), at(3));
        }
        assert_eq!(session.poll(at(3)), Action::Close { conn }, "at once: {at_once}");
        assert_eq!(session.progress().observations(), 1);
    }
}

#[test]
fn a_body_that_does_not_come_holds_nothing_up() {
    let (mut session, conn) = session_by_get();
    let bytes = response_with_body(at(1));
    session.received(conn, &bytes[..bytes.len() - 1], at(2));
    let (mut now, mut sent, mut closed) = (at(2), 0, false);
    for _ in 0..200 {
        match session.poll(now) {
            Action::Open { conn, .. } => session.opened(conn, now),
            Action::Transmit { conn: other } => {
                assert_ne!(other, conn);
                sent += 1;
                session.sent(other, session.output(other).len(), now);
                now = now.saturating_add(Duration::from_millis(1));
                let answer = response_with_body(now);
                now = now.saturating_add(Duration::from_millis(1));
                session.received(other, &answer, now);
            }
            Action::Close { conn: other } => closed |= other == conn,
            Action::Wait { until, .. } => now = now.max(until),
            Action::Done => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(sent, 7);
    assert!(closed);
    assert_eq!(measured(session.finish(cross_timestamp(now))).observations(), 8);
}

/// The limits of the lag, in milliseconds, for the responses of a server that sends `fields` after
/// its status line, where `{date}` is the `Date`. The server closes the connection after two
/// responses.
fn lags(target: Target, fields: &str) -> Vec<u128> {
    let config = Config::builder().requests(4).build().expect("in range");
    let mut session = Session::new(target, &config, cross_timestamp(at(0)));
    let (mut now, mut answered, mut lags) = (at(0), 0, Vec::new());
    for _ in 0..10_000 {
        match session.poll(now) {
            Action::Open { conn, .. } => session.opened(conn, now),
            Action::Transmit { conn } => {
                session.sent(conn, session.output(conn).len(), now);
                let date = Timestamp::from_unix_nanos(WALL + now.as_nanos() + SKEW_NS).to_string();
                now = now.saturating_add(Duration::from_millis(2));
                answered += 1;
                let fields = fields.replace("{date}", &date);
                let close = if answered % 2 == 0 { "Connection: close\r\n" } else { "" };
                let head =
                    format!("HTTP/1.1 200 OK\r\n{fields}\r\n{close}Content-Length: 0\r\n\r\n");
                session.received(conn, head.as_bytes(), now);
            }
            Action::Wait { until, .. } => now = now.max(until),
            Action::Done => break,
            _ => {}
        }
        while let Some(event) = session.next_event() {
            if let Event::Answered { observation } = event {
                lags.push(observation.lag().allowance().as_millis());
            }
        }
    }
    lags
}

#[test]
fn what_a_front_server_answers_by_itself_and_later_on_a_connection_has_its_own_lag() {
    let by = |method| target("http://192.0.2.1/").with_method(method).expect("a target");
    let lighttpd = "Date: {date}\r\nServer: lighttpd/1.4.69";
    let of_lighttpd = lags(by(Method::Options), lighttpd);
    assert_eq!(of_lighttpd, [2020, 1020, 2020, 1020], "first and second of each connection");
    assert!(lags(by(Method::Head), lighttpd).iter().all(|lag| *lag == 2020));
    let apache = "Date: {date}\r\nServer: Apache";
    assert!(lags(by(Method::Options), apache).iter().all(|lag| *lag == 1));
    assert!(lags(by(Method::Head), apache).iter().all(|lag| *lag == 2020));
}

#[test]
fn of_a_path_with_a_file_name_extension_the_type_shows_nothing() {
    let own = "Date: {date}\r\nServer: Apache\r\nConnection: Keep-Alive\r\nContent-Type: text/html";
    for (path, millis) in [("", 1), ("status", 1), ("a.b/", 1), ("?a.b", 1), ("a/b.html?c", 2020)] {
        let of_path = lags(target(&format!("http://192.0.2.1/{path}")), own);
        // The second response has another `Connection` after the type.
        assert_eq!((of_path[0], of_path[1]), (millis, 2020), "{path}");
    }
}

#[test]
fn through_a_forwarding_proxy_nothing_is_concluded_from_connections_and_methods() {
    let url = |text| Url::parse(text).expect("a URL");
    let via = |tunnel| {
        let proxy = url("http://192.0.2.128:3128/");
        let target = Target::via_proxy(url("http://192.0.2.1/"), proxy, tunnel).expect("a target");
        target.with_method(Method::Options).expect("a target")
    };
    let apache = "Date: {date}\r\nServer: Apache";
    assert!(lags(via(false), apache).iter().all(|lag| *lag == 2020));
}

/// Measures with checks. Connections to the first `good` addresses succeed, others fail with
/// `fate`. Returns the addresses that were tried.
fn checked(good: usize, fate: Option<ErrorKind>) -> (Measurement, Vec<SocketAddr>) {
    let config = Config::builder().lag(Duration::ZERO).build().expect("in range");
    let mut session =
        Session::new(target("http://server.example/"), &config, cross_timestamp(at(0)));
    let addresses: Vec<SocketAddr> =
        ["192.0.2.1:80", "192.0.2.2:80"].map(|it| it.parse().expect("an address")).to_vec();
    let (mut now, mut tried) = (at(0), Vec::new());
    for _ in 0..10_000 {
        match session.poll(now) {
            Action::Resolve { .. } => session.resolved(Ok(addresses.clone()), now),
            Action::Open { conn, address } => {
                tried.push(address);
                if addresses[..good].contains(&address) {
                    session.opened(conn, now);
                } else if let Some(kind) = fate {
                    session.failed(conn, kind.into(), now);
                }
            }
            Action::Transmit { conn } => {
                let count = session.output(conn).len();
                session.sent(conn, count, now);
                let stamped = now.saturating_add(Duration::from_millis(1));
                now = now.saturating_add(Duration::from_millis(2));
                session.received(conn, &response(stamped), now);
            }
            Action::Wait { until, .. } => now = now.max(until),
            Action::Done => return (measured(session.finish(cross_timestamp(now))), tried),
            _ => {}
        }
    }
    panic!("it does not end");
}

#[test]
fn checks_go_over_connections_of_their_own_to_each_address_of_the_name() {
    let (measurement, tried) = checked(2, None);
    assert!(measurement.checks() >= 6, "{}", measurement.checks());
    let second = tried.iter().filter(|address| address.to_string() == "192.0.2.2:80").count();
    assert!(second >= 1 && tried.len() - second >= 2, "{tried:?}");
}

#[test]
fn an_address_that_takes_no_connection_for_a_check_costs_nothing() {
    let (all, _) = checked(2, None);
    for fate in [Some(ErrorKind::ConnectionRefused), None] {
        let (measurement, tried) = checked(1, fate);
        assert!(tried.iter().any(|address| address.to_string() == "192.0.2.2:80"), "{tried:?}");
        assert!(measurement.checks() >= 6, "{}", measurement.checks());
        assert!(measurement.elapsed() <= all.elapsed() + Duration::from_secs(1));
        let ended = measurement.end_reason().to_string();
        assert!(!ended.contains("lost"), "{ended}");
    }
}

/// A server that serves one connection at a time: it accepts others and does not answer on them.
#[test]
fn a_check_that_is_not_answered_is_no_failure_and_no_other_connection_is_opened_for_one() {
    let config = Config::builder().lag(Duration::ZERO).build().expect("in range");
    let mut session = Session::new(target("http://192.0.2.1/"), &config, cross_timestamp(at(0)));
    let (mut now, mut opened, mut served) = (at(0), 0, None);
    for _ in 0..10_000 {
        match session.poll(now) {
            Action::Open { conn, .. } => {
                opened += 1;
                served = served.or(Some(conn));
                session.opened(conn, now);
            }
            Action::Transmit { conn } => {
                let count = session.output(conn).len();
                session.sent(conn, count, now);
                if served == Some(conn) {
                    let stamped = now.saturating_add(Duration::from_millis(1));
                    now = now.saturating_add(Duration::from_millis(2));
                    session.received(conn, &response(stamped), now);
                }
            }
            Action::Wait { until, .. } => now = now.max(until),
            Action::Done => {
                let measurement = measured(session.finish(cross_timestamp(now)));
                assert_eq!(opened, 2);
                assert!(measurement.checks() >= 4, "{}", measurement.checks());
                assert!(measurement.elapsed() <= Duration::from_millis(12_000));
                return;
            }
            _ => {}
        }
    }
    panic!("it does not end");
}

/// An HTTP/1.0 server with one thread: it answers on the connection that was opened first, closes
/// it, and accepts the next.
#[test]
fn connections_are_used_in_the_order_in_which_they_were_opened() {
    let config = Config::builder().lag(Duration::ZERO).build().expect("in range");
    let mut session = Session::new(target("http://192.0.2.1/"), &config, cross_timestamp(at(0)));
    let (mut now, mut queue, mut asked) = (at(0), Vec::<ConnectionId>::new(), Vec::new());
    for _ in 0..10_000 {
        match session.poll(now) {
            Action::Open { conn, .. } => {
                queue.push(conn);
                session.opened(conn, now);
            }
            Action::Transmit { conn } => {
                let count = session.output(conn).len();
                session.sent(conn, count, now);
                asked.push(conn);
                while let Some(served) = queue.first().copied().filter(|it| asked.contains(it)) {
                    let stamped = now.saturating_add(Duration::from_millis(1));
                    now = now.saturating_add(Duration::from_millis(2));
                    let date = Timestamp::from_unix_nanos(WALL + stamped.as_nanos() + SKEW_NS);
                    let head = format!("HTTP/1.0 200 OK\r\nDate: {date}\r\n\r\n");
                    session.received(served, head.as_bytes(), now);
                    queue.remove(0);
                    asked.retain(|it| *it != served);
                }
            }
            Action::Close { conn } => queue.retain(|it| *it != conn),
            Action::Wait { until, .. } => now = now.max(until),
            Action::Done => {
                let measurement = measured(session.finish(cross_timestamp(now)));
                assert_eq!(measurement.requests(), measurement.observations(), "none was lost");
                assert!(measurement.observations() >= 20, "{}", measurement.observations());
                return;
            }
            _ => {}
        }
    }
    panic!("it does not end");
}
