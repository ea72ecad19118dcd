//! The client against real sockets: the loopback server with a known skew, behaving correctly and
//! incorrectly.

use std::thread;
use std::time::{Duration, Instant};

use httptime::Config;
use httptime::EndReason;
use httptime::net::Canceller;
use httptime::schedule::{Plan, Schedule, View};
use httptime::{Client, Error, Measurement, Method, Offset};
use httptime_testserver::{
    Behaviour, BlackHole, LoopbackProxy, LoopbackServer, Misbehave as _, ProxyOptions, RefusedPort,
};

const SKEW: Offset = Offset::from_nanos(38_116_000_000);
const TIMEOUT: Duration = Duration::from_millis(600);
const DURATION: Duration = Duration::from_secs(4);

fn quick() -> Config {
    Config::builder()
        .requests(7)
        .duration(DURATION)
        .timeout(TIMEOUT)
        .lag(Duration::from_millis(1))
        .build()
        .expect("in range")
}

fn measure(url: &str) -> Result<Measurement, Error> {
    Client::builder(url).config(quick()).build()?.measure()
}

fn server(behaviour: Behaviour) -> LoopbackServer {
    LoopbackServer::builder().skew(SKEW).behaviour(behaviour).start().expect("a loopback port")
}

/// Requests every 300 ms, whatever the responses: detects a clock that stops or jumps.
#[derive(Debug)]
struct Steady;

impl Schedule for Steady {
    fn name(&self) -> &'static str {
        "steady"
    }

    fn plan(&mut self, view: &View<'_>) -> Plan {
        if view.progress().scheduled_in_flight() > 0 {
            return Plan::AwaitReply;
        }
        let gap = Duration::from_millis(300);
        let due = view.progress().last_sent().map(|last| last.saturating_add(gap));
        Plan::SendAt(due.unwrap_or(view.earliest()).max(view.earliest()))
    }
}

fn steadily() -> Result<Config, Error> {
    Config::builder()
        .requests(10)
        .duration(DURATION)
        .timeout(TIMEOUT)
        .lag(Duration::from_millis(1))
        .schedule_with(|| Box::new(Steady))
        .build()
}

fn measure_steadily(url: &str) -> Result<Measurement, Error> {
    Client::builder(url).config(steadily()?).build()?.measure()
}

/// Runs every case in a separate thread and reports all failures.
fn all<T: Send>(cases: Vec<(&str, T)>, check: impl Fn(&T) -> Result<(), String> + Sync) {
    let failures: Vec<String> = thread::scope(|scope| {
        let check = &check;
        let threads: Vec<_> = cases
            .into_iter()
            .map(|(name, case)| (name, scope.spawn(move || check(&case))))
            .collect();
        let results = threads.into_iter().map(|(name, thread)| (name, thread.join()));
        results
            .filter_map(|(name, result)| match result {
                Ok(Ok(())) => None,
                Ok(Err(reason)) => Some(format!("{name}: {reason}")),
                Err(_) => Some(format!("{name}: panicked")),
            })
            .collect()
    });
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn every_kind_of_bad_answer_ends_within_the_deadline_with_its_own_error() {
    let date = |text: &str| Behaviour::FixedDate(text.into());
    let second = Duration::from_secs(1);
    let cases = vec![
        ("silent", (Behaviour::Silent, "timeout_response")),
        ("one byte a second", (Behaviour::Dribble { every: second }, "timeout_response")),
        ("endless headers", (Behaviour::EndlessHeaders, "head_too_large")),
        ("endless 1xx", (Behaviour::EndlessInterim, "endless_interim")),
        ("no Date", (Behaviour::NoDate, "no_date")),
        ("two Dates", (Behaviour::TwoDates, "conflicting_dates")),
        ("garbage", (date("yesterday"), "malformed_date")),
        ("empty Date", (date(""), "malformed_date")),
        ("year 9999", (date("Fri, 31 Dec 9999 23:59:59 GMT"), "date_out_of_range")),
        ("year 1970", (date("Thu, 01 Jan 1970 00:00:00 GMT"), "date_before_floor")),
        ("a zone", (date("Mon, 23 Nov 2026 09:37:12 CET"), "malformed_date")),
        ("an offset", (date("Mon, 23 Nov 2026 09:37:12 +0100"), "malformed_date")),
        ("NUL bytes", (Behaviour::NulBytes, "malformed_head")),
        ("TLS alert", (Behaviour::TlsAlert, "not_http")),
        ("HTTP/2", (Behaviour::Http2Preface, "not_http")),
        ("empty reply", (Behaviour::EmptyReply, "empty_reply")),
        ("close mid-head", (Behaviour::CloseMidHead, "closed_early")),
        ("SSH banner", (Behaviour::SshBanner, "not_http")),
        ("garbage bytes", (Behaviour::Raw(vec![0xff; 64]), "not_http")),
        ("stored response", (Behaviour::Cached { age: Some(second * 7) }, "cached")),
    ];
    all(cases, |(behaviour, kind)| {
        let server = server(behaviour.clone());
        let started = Instant::now();
        let result = measure(&server.url());
        let took = started.elapsed();
        // All servers but the silent ones are refused after their first response.
        let limit = TIMEOUT + Duration::from_millis(900);
        match result {
            Err(error) if error.kind() == *kind && took < limit => Ok(()),
            Err(error) => Err(format!("{} after {took:?}: {error}", error.kind())),
            Ok(measurement) => Err(format!("measured {measurement:?}")),
        }
    });
}

#[test]
fn a_server_that_gives_no_date_by_head_is_asked_by_get() {
    let cases = vec![
        ("no Date", Behaviour::NoDate),
        ("405", Behaviour::StatusWithoutDate(405)),
        ("501", Behaviour::StatusWithoutDate(501)),
        ("closed", Behaviour::EmptyReply),
    ];
    all(cases, |head| {
        let both = || Behaviour::ByMethod {
            head: Box::new(head.clone()),
            other: Box::new(Behaviour::Normal),
        };
        let server = server(both());
        let measurement = measure(&server.url()).map_err(|error| error.to_string())?;
        let asked = server.last_request().unwrap_or_default();
        let connections = if *head == Behaviour::EmptyReply { 2 } else { 1 };
        let refused = self::server(both());
        let only = Client::builder(refused.url()).method(Method::Head).config(quick());
        let error = only.build().and_then(|client| client.measure());
        let kind = if *head == Behaviour::EmptyReply { "empty_reply" } else { "no_date" };
        match error.map_err(|error| error.kind()) {
            Err(error) if error == kind && refused.requests() == 1 => {}
            other => return Err(format!("by HEAD alone: {other:?}")),
        }
        match measurement {
            _ if server.connections() != connections => {
                Err(format!("{} connections", server.connections()))
            }
            _ if !asked.starts_with("GET / HTTP/1.1\r\n") => Err(asked),
            right if right.method() == Some(Method::Get) && right.bounds().contains(SKEW) => Ok(()),
            wrong => Err(format!("{wrong:?}")),
        }
    });
}

#[test]
fn by_get_a_short_body_is_skipped_and_behind_a_long_one_the_connection_closed() {
    let cases = vec![
        ("none", (Behaviour::Status(204), true)),
        ("short", (Behaviour::Body(300), true)),
        ("in several reads", (Behaviour::Body(60_000), true)),
        ("long", (Behaviour::Body(1 << 20), false)),
        ("chunked", (Behaviour::ChunkedBody(300), false)),
        ("until the end", (Behaviour::Http10Close, false)),
    ];
    all(cases, |(behaviour, is_kept)| {
        let server = server(behaviour.clone());
        let client = Client::builder(server.url()).method(Method::Get).config(quick());
        let measurement = client
            .build()
            .and_then(|client| client.measure())
            .map_err(|error| error.to_string())?;
        if !measurement.bounds().contains(SKEW) {
            return Err(format!("{measurement:?}"));
        }
        match server.connections() {
            1 if *is_kept => Ok(()),
            many if !is_kept && many >= measurement.observations() as usize => Ok(()),
            // Another connection may have been opened in case the body takes longer.
            2..=3 if *behaviour == Behaviour::Body(60_000) => Ok(()),
            connections => Err(format!("{connections} connections")),
        }
    });
}

#[test]
fn a_date_that_stands_still_or_jumps_back_is_refused_by_name() {
    let hour = Duration::from_secs(3600);
    let cases = vec![
        ("frozen", (Behaviour::FrozenDate, "date_frozen")),
        ("stored without Age", (Behaviour::Cached { age: None }, "cached")),
        ("jumps", (Behaviour::JumpsBack { after_requests: 3, by: hour }, "date_went_back")),
    ];
    all(cases, |(behaviour, kind)| match measure_steadily(&server(behaviour.clone()).url()) {
        Err(error) if error.kind() == *kind => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn an_address_nobody_answers_at_is_an_error_within_the_deadline() {
    let refused = RefusedPort::reserve().expect("a port");
    let hole = BlackHole::start().expect("a full backlog");
    let cases = vec![
        ("refused", (format!("http://{}/", refused.address()), "connection_refused")),
        ("black hole", (format!("http://{}/", hole.address()), "timeout_connect")),
        ("no such name", ("http://no-such-name.invalid/".into(), "resolve")),
    ];
    all(cases, |(url, kind)| {
        let started = Instant::now();
        let error = measure(url).expect_err("nobody is there");
        let took = started.elapsed();
        // A resolver without a network may also not answer.
        let named = error.kind() == *kind || error.kind() == format!("timeout_{kind}");
        let in_time = took < TIMEOUT + Duration::from_millis(900);
        (named && in_time).then_some(()).ok_or(format!("{} after {took:?}", error.kind()))
    });
}

/// A second late.
#[derive(Debug)]
struct LateSchedule;

impl Schedule for LateSchedule {
    fn name(&self) -> &'static str {
        "late"
    }

    fn plan(&mut self, view: &View<'_>) -> Plan {
        if view.progress().scheduled_in_flight() > 0 {
            return Plan::AwaitReply;
        }
        Plan::SendAt(view.earliest().saturating_add(Duration::from_secs(1)))
    }
}

#[test]
fn time_that_is_over_before_a_request_is_due_is_no_failure_to_connect() -> Result<(), Error> {
    let server = server(Behaviour::Normal);
    let config = Config::builder()
        .duration(TIMEOUT / 4)
        .timeout(TIMEOUT / 4)
        .schedule_with(|| Box::new(LateSchedule))
        .build()?;
    let result = Client::builder(server.url()).config(config).build()?.measure();
    assert_eq!(result, Err(Error::NothingMeasured));
    assert_eq!(server.requests(), 0);
    Ok(())
}

#[test]
fn odd_but_valid_answers_are_measured() {
    let after = Duration::from_millis(3);
    let cases = vec![
        ("normal", Behaviour::Normal),
        ("HTTP/1.0", Behaviour::Http10Close),
        ("lower case", Behaviour::LowerCaseNames),
        ("mixed case", Behaviour::MixedCaseNames),
        ("folded", Behaviour::FoldedDate),
        ("103 first", Behaviour::Interim103),
        ("not found", Behaviour::Status(404)),
        ("unavailable", Behaviour::Status(503)),
        ("body after HEAD", Behaviour::BodyAfterHead),
        ("body after HEAD, later", Behaviour::BodyAfterHeadLater { after }),
        ("reset after each", Behaviour::ResetBetweenRequests),
    ];
    all(cases, |behaviour| {
        let server = server(behaviour.clone());
        let measurement = measure(&server.url()).map_err(|error| error.to_string())?;
        check_bisection(&measurement)
    });
}

/// Checks that bisection halved the second with each request and that the bounds contain the truth.
fn check_bisection(measurement: &Measurement) -> Result<(), String> {
    let error = measurement.offset().saturating_sub(SKEW).abs();
    let slack = measurement.round_trip_min() + Duration::from_millis(4);
    let halved = Duration::from_secs(1) / 2_u32.pow(measurement.observations() - 1) + slack;
    let right = measurement.bounds().contains(SKEW)
        && error < halved
        && measurement.observations() >= 4
        && matches!(measurement.end_reason(), EndReason::Requests | EndReason::Duration);
    right.then_some(()).ok_or(format!("error {error:?}, not {halved:?}: {measurement:?}"))
}

#[test]
fn a_server_that_closes_now_and_then_is_measured_through() {
    let cases = vec![("said", (3, true)), ("unsaid", (3, false)), ("each time", (1, false))];
    all(cases, |(requests, announced)| {
        let server = LoopbackServer::builder()
            .skew(SKEW)
            .requests_per_connection(*requests)
            .announce_close(*announced)
            .start()
            .expect("a loopback port");
        let measurement = measure(&server.url()).map_err(|error| error.to_string())?;
        if server.connections() < measurement.requests() as usize / requests {
            return Err(format!("{} connections", server.connections()));
        }
        check_bisection(&measurement)
    });
}

#[test]
fn a_connection_is_kept_across_requests() -> Result<(), Error> {
    let server = server(Behaviour::Normal);
    let measurement = measure(&server.url())?;
    assert_eq!((server.connections(), server.requests()), (1, measurement.requests() as usize));
    Ok(())
}

#[test]
fn every_address_of_a_name_is_tried_and_ipv6_is_spoken() {
    let v6 = LoopbackServer::builder().skew(SKEW).ipv6(true).start().expect("::1");
    let v4 = server(Behaviour::Normal);
    let port = |server: &LoopbackServer| server.address().port();
    let cases = vec![
        ("the IPv4 address of localhost", format!("http://localhost:{}/", port(&v4))),
        ("the IPv6 literal", v6.url()),
    ];
    all(cases, |url| check_bisection(&measure(url).map_err(|error| error.to_string())?));
}

#[test]
fn a_delayed_path_is_compensated_and_asymmetry_stays_inside_the_bounds() {
    let ms = Duration::from_millis;
    let cases = vec![("25/25", (25, 25)), ("100/100", (100, 100)), ("45/5", (45, 5))];
    all(cases, |(before, after): &(u64, u64)| {
        let server = LoopbackServer::builder()
            .skew(SKEW)
            .delays(ms(*before), ms(*after))
            .start()
            .expect("a loopback port");
        let measurement = measure(&server.url()).map_err(|error| error.to_string())?;
        let shortest = measurement.round_trip_min();
        if shortest < ms(before + after) {
            return Err(format!("round trip {shortest:?}"));
        }
        check_bisection(&measurement)
    });
}

#[test]
fn one_liar_among_three_is_named_and_not_followed() -> Result<(), Error> {
    let (one, two) = (server(Behaviour::Normal), server(Behaviour::Normal));
    let hour = Offset::from_nanos(3_600_000_000_000);
    let liar = LoopbackServer::builder().skew(SKEW.saturating_add(hour)).start().expect("a port");
    let client = Client::builder(one.url()).server(liar.url()).server(two.url()).config(quick());
    let survey = client.build()?.survey(|_| {});
    let selected: Vec<bool> = survey.servers().iter().map(|server| server.is_selected()).collect();
    assert_eq!(selected, [true, false, true]);
    let combined = survey.combined().map_err(Clone::clone)?;
    assert!(combined.bounds().contains(SKEW), "{combined:?}");
    Ok(())
}

#[test]
fn what_a_lost_server_had_said_still_counts_and_the_loss_is_named() -> Result<(), Error> {
    let mut script = vec![Behaviour::Normal; 6];
    script.push(Behaviour::EmptyReply);
    let server = LoopbackServer::builder().skew(SKEW).script(script).start().expect("a port");
    let measurement = measure_steadily(&server.url())?;
    assert_eq!(measurement.observations(), 6);
    assert!(measurement.bounds().contains(SKEW), "{measurement:?}");
    assert!(
        matches!(measurement.end_reason(), EndReason::Lost(error) if error.kind() == "empty_reply")
    );
    Ok(())
}

/// Several requests at once, as soon as there is a response.
#[derive(Debug)]
struct BurstSchedule;

impl Schedule for BurstSchedule {
    fn name(&self) -> &'static str {
        "volleys"
    }

    fn plan(&mut self, view: &View<'_>) -> Plan {
        let progress = view.progress();
        let at_once = if progress.observations() == 0 { 1 } else { 4 };
        if progress.scheduled_in_flight() < at_once {
            return Plan::SendAt(view.earliest());
        }
        Plan::AwaitReply
    }
}

/// Drops the server after this number of requests and starts it again a second later. Returns the
/// number of requests that it gets then.
fn restart_server(
    server: LoopbackServer,
    after_requests: usize,
    config: Config,
) -> Result<(Measurement, usize), Error> {
    let (url, port) = (server.url(), server.address().port());
    let client = Client::builder(url).config(config).build()?;
    thread::scope(|scope| {
        let measuring = scope.spawn(|| client.measure());
        let deadline = Instant::now() + DURATION;
        while server.requests() < after_requests && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        drop(server);
        thread::sleep(Duration::from_secs(1));
        let back = LoopbackServer::builder().skew(SKEW).port(port).start().expect("the same port");
        let measurement = measuring.join().expect("no panic")?;
        Ok((measurement, back.requests()))
    })
}

#[test]
fn a_server_that_is_away_for_a_second_is_measured_on_when_it_is_back() -> Result<(), Error> {
    let idle = (Duration::ZERO, steadily()?);
    // Four requests are lost at once.
    let busy = (
        Duration::from_millis(250),
        Config::builder()
            .requests(20)
            .duration(DURATION)
            .schedule_with(|| Box::new(BurstSchedule))
            .build()?,
    );
    for (delay, config) in [idle, busy] {
        let server = LoopbackServer::builder().skew(SKEW).delays(delay, Duration::ZERO);
        let server = server.start().expect("a port");
        let (measurement, requests) = restart_server(server, 5, config)?;
        assert!(requests > 0, "{measurement:?}");
        assert!(!matches!(measurement.end_reason(), EndReason::Lost(_)), "{measurement:?}");
        assert!(measurement.bounds().contains(SKEW), "{measurement:?}");
    }
    Ok(())
}

#[test]
fn a_server_that_stays_away_is_given_up_when_the_time_is_over_and_its_loss_named()
-> Result<(), Error> {
    let server = LoopbackServer::builder().skew(SKEW).start().expect("a port");
    let url = server.url();
    let begun = Instant::now();
    thread::scope(|scope| {
        let measuring = scope.spawn(|| measure_steadily(&url));
        // Its Date has advanced by then.
        while server.requests() < 6 && begun.elapsed() < DURATION {
            thread::sleep(Duration::from_millis(5));
        }
        drop(server);
        let measurement = measuring.join().expect("no panic")?;
        assert!(begun.elapsed() < DURATION + TIMEOUT + Duration::from_secs(1));
        assert!(
            matches!(measurement.end_reason(), EndReason::Lost(error) if error.kind() == "connection_refused"),
            "{measurement:?}"
        );
        assert!(measurement.bounds().contains(SKEW), "{measurement:?}");
        Ok(())
    })
}

fn measure_through(proxy: &str, tunnel: bool, url: &str) -> Result<Measurement, Error> {
    Client::builder(url).proxy(proxy).tunnel(tunnel).config(quick()).build()?.measure()
}

#[test]
fn a_proxy_is_used_in_absolute_form_and_by_connect_with_credentials() {
    let server = server(Behaviour::Normal);
    let options = ProxyOptions::default().credentials("user", "p@ss");
    let proxy = LoopbackProxy::start(options).expect("a port");
    let with = proxy.url().replace("http://", "http://user:p%40ss@");
    all(vec![("absolute form", false), ("tunnel", true)], |tunnel| {
        let tunnels = proxy.tunnels();
        let measurement =
            measure_through(&with, *tunnel, &server.url()).map_err(|error| error.to_string())?;
        if *tunnel && proxy.tunnels() == tunnels {
            return Err("no tunnel was opened".into());
        }
        check_bisection(&measurement)
    });
}

#[test]
fn what_a_proxy_refuses_is_an_error_of_its_own() {
    let server = server(Behaviour::Normal);
    let refused = RefusedPort::reserve().expect("a port");
    let unreachable = format!("http://{}/", refused.address());
    let start = |options| LoopbackProxy::start(options).expect("a port");
    let closed = start(ProxyOptions::default().credentials("user", "secret"));
    let untunnelled = start(ProxyOptions::default().refuse_connect(true));
    let caching = start(ProxyOptions::default().cache(Duration::from_secs(2)));
    let open = start(ProxyOptions::default());
    let cases = vec![
        ("407 to HEAD", (&closed, false, server.url(), "proxy_credentials")),
        ("407 to CONNECT", (&closed, true, server.url(), "proxy_credentials")),
        ("403 to CONNECT", (&untunnelled, true, server.url(), "proxy_refused")),
        ("a stored response", (&caching, false, server.url(), "cached")),
        ("no way to the server", (&open, false, unreachable.clone(), "proxy_refused")),
        ("no tunnel to the server", (&open, true, unreachable.clone(), "proxy_refused")),
    ];
    all(cases, |(proxy, tunnel, url, kind)| match measure_through(&proxy.url(), *tunnel, url) {
        Err(error) if error.kind() == *kind => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn a_cancelled_measurement_ends_at_once_wherever_it_is() {
    let hole = BlackHole::start().expect("a listener");
    let silent = server(Behaviour::Silent);
    let good = server(Behaviour::Normal);
    let cases = vec![
        ("connecting", vec![format!("http://{}/", hole.address())]),
        ("awaiting an answer", vec![silent.url()]),
        ("between two requests", vec![good.url()]),
        ("several", vec![good.url(), silent.url(), format!("http://{}/", hole.address())]),
    ];
    all(cases, |urls| {
        let builder = Client::builder(&urls[0]).config(Config::default());
        let client = urls[1..].iter().fold(builder, |builder, url| builder.server(url));
        let client = client.build().map_err(|error| error.to_string())?;
        let canceller = Canceller::new().map_err(|error| error.to_string())?;
        let (survey, late) = thread::scope(|scope| {
            let surveying = scope.spawn(|| {
                let survey = client.survey_until(&canceller, |_| {});
                (survey, Instant::now())
            });
            thread::sleep(Duration::from_millis(300));
            canceller.cancel();
            let cancelled = Instant::now();
            let (survey, ended) = surveying.join().expect("no panic");
            (survey, ended.saturating_duration_since(cancelled))
        });
        let all_say_so =
            survey.servers().iter().all(|server| server.result() == Err(&Error::Cancelled));
        if late > Duration::from_millis(50) {
            return Err(format!("{late:?} late"));
        }
        if survey.combined() != Err(&Error::Cancelled) || !all_say_so {
            return Err(format!("{survey:?}"));
        }
        Ok(())
    });
}

#[test]
fn what_is_begun_with_a_used_canceller_ends_at_once() -> Result<(), Error> {
    let canceller = Canceller::new().expect("two descriptors");
    canceller.cancel();
    let client = Client::builder("http://name.invalid/").build()?;
    let begun = Instant::now();
    assert_eq!(client.survey_until(&canceller, |_| {}).combined(), Err(&Error::Cancelled));
    assert!(begun.elapsed() < Duration::from_millis(50), "{:?}", begun.elapsed());
    Ok(())
}

#[test]
fn waiting_for_a_resolver_that_never_answers_can_be_cancelled()
-> Result<(), Box<dyn std::error::Error>> {
    let canceller = Canceller::new()?;
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let cancel = canceller.clone();
    let client = Client::builder("http://server.example/")
        .resolver(move |host, port| {
            assert_eq!((host, port), ("server.example", 80));
            cancel.cancel();
            // Until the test ends.
            let _ = held.lock().map(|held| held.recv());
            Err(std::io::ErrorKind::NotFound.into())
        })
        .build()?;
    let survey = client.survey_until(&canceller, |_| {});
    assert_eq!(survey.combined(), Err(&Error::Cancelled));
    drop(release);
    Ok(())
}
