//! The client on tokio's runtimes against real sockets, with correct and with faulty servers.

use std::future::{pending, poll_fn};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use futures_core::Stream;
use httptime::EndReason;
use httptime::schedule::{Plan, Schedule, View};
use httptime::session::Event;
use httptime::{Config, Error, Measurement, Offset};
use httptime_testserver::{
    Behaviour, BlackHole, LoopbackProxy, LoopbackServer, Misbehave as _, ProxyOptions,
};
use httptime_tokio::{Client, ClientBuilder, RunningSurvey, Update};
use tokio::time::{sleep, timeout};

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

fn server(behaviour: Behaviour) -> LoopbackServer {
    LoopbackServer::builder().skew(SKEW).behaviour(behaviour).start().expect("a loopback port")
}

fn client(url: impl Into<String>) -> ClientBuilder {
    Client::builder().server(url).config(quick())
}

/// Requests at this interval, whatever the responses.
#[derive(Debug)]
struct Steady(Duration);

impl Schedule for Steady {
    fn name(&self) -> &'static str {
        "steady"
    }

    fn plan(&mut self, view: &View<'_>) -> Plan {
        if view.progress().scheduled_in_flight() > 0 {
            return Plan::AwaitReply;
        }
        let due = view.progress().last_sent().map(|last| last.saturating_add(self.0));
        Plan::SendAt(due.unwrap_or(view.earliest()).max(view.earliest()))
    }
}

fn steadily(requests: u32, gap: Duration) -> Result<Config, Error> {
    Config::builder()
        .requests(requests)
        .duration(DURATION)
        .timeout(TIMEOUT)
        .lag(Duration::from_millis(1))
        .schedule_with(move || Box::new(Steady(gap)))
        .build()
}

/// Checks that bisection halved the second with each request and that the bounds contain the truth.
#[track_caller]
fn assert_holds(measurement: &Measurement) {
    let error = measurement.offset().saturating_sub(SKEW).abs();
    let slack = measurement.round_trip_min() + Duration::from_millis(4);
    let halved = Duration::from_secs(1) / 2_u32.pow(measurement.observations() - 1) + slack;
    assert!(measurement.bounds().contains(SKEW), "{measurement:?}");
    assert!(error < halved, "error {error:?}, not {halved:?}: {measurement:?}");
    assert!(measurement.observations() >= 4, "{measurement:?}");
    assert!(
        matches!(measurement.end_reason(), EndReason::Requests | EndReason::Duration),
        "{measurement:?}"
    );
}

/// Waits until the condition is true.
async fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "the wait timed out");
        sleep(Duration::from_millis(2)).await;
    }
}

async fn one_liar_among_three() -> Result<(), Error> {
    let (one, two) = (server(Behaviour::Normal), server(Behaviour::Http10Close));
    let hour = Offset::from_nanos(3_600_000_000_000);
    let liar = LoopbackServer::builder().skew(SKEW.saturating_add(hour)).start().expect("a port");
    let client = Client::builder().servers([one.url(), liar.url(), two.url()]).config(quick());
    let client = client.build()?;
    // In a task that the caller spawned: the future is `Send`.
    let survey = tokio::spawn(async move { client.survey().await }).await.expect("no panic");
    let selected: Vec<bool> = survey.servers().iter().map(|server| server.is_selected()).collect();
    assert_eq!(selected, [true, false, true]);
    assert!(survey.into_combined()?.bounds().contains(SKEW));
    Ok(())
}

#[tokio::test]
async fn one_liar_among_three_is_not_followed_on_a_current_thread_runtime() -> Result<(), Error> {
    one_liar_among_three().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_liar_among_three_is_not_followed_on_a_multi_thread_runtime() -> Result<(), Error> {
    one_liar_among_three().await
}

#[tokio::test]
async fn servers_that_close_each_time_or_now_and_then_are_measured_through() -> Result<(), Error> {
    let start = |(requests, announced)| {
        let server = LoopbackServer::builder().skew(SKEW).requests_per_connection(requests);
        server.announce_close(announced).start().expect("a loopback port")
    };
    let [said, unsaid, each] = [(3, true), (3, false), (1, false)].map(start);
    let clients = [client(said.url()), client(unsaid.url()), client(each.url())];
    let [said, unsaid, each] = clients.map(|client| client.build());
    let (said, unsaid, each) = (said?, unsaid?, each?);
    // In one task, at the same time.
    let (said, unsaid, each) = tokio::join!(said.measure(), unsaid.measure(), each.measure());
    for measurement in [said?, unsaid?, each?] {
        assert_holds(&measurement);
    }
    Ok(())
}

#[tokio::test]
async fn two_measurements_at_once_by_one_client_do_not_disturb_each_other() -> Result<(), Error> {
    let server = server(Behaviour::Normal);
    let client = client(server.url()).build()?;
    let (one, two) = tokio::join!(client.measure(), client.measure());
    assert_holds(&one?);
    assert_holds(&two?);
    assert_eq!(server.connections(), 2);
    Ok(())
}

#[tokio::test]
async fn a_head_in_pieces_is_measured_and_one_that_takes_too_long_is_an_error() -> Result<(), Error>
{
    let [quickly, slowly] = [100, 1_000_000]
        .map(|micros| server(Behaviour::Dribble { every: Duration::from_micros(micros) }));
    let (quickly, slowly) = (client(quickly.url()).build()?, client(slowly.url()).build()?);
    let (measured, failed) = tokio::join!(quickly.measure(), slowly.measure());
    assert!(measured?.bounds().contains(SKEW));
    assert_eq!(failed.map_err(|error| error.kind()), Err("timeout_response"));
    Ok(())
}

#[tokio::test]
async fn a_server_that_refuses_for_a_second_is_measured_on_when_it_is_back() -> Result<(), Error> {
    let server = server(Behaviour::Normal);
    let port = server.address().port();
    let client = client(server.url()).config(steadily(10, Duration::from_millis(300))?).build()?;
    let restart = async {
        until(|| server.requests() >= 4).await;
        drop(server);
        sleep(Duration::from_secs(1)).await;
        LoopbackServer::builder().skew(SKEW).port(port).start().expect("the same port")
    };
    let (measurement, back) = tokio::join!(client.measure(), restart);
    let measurement = measurement?;
    assert!(back.requests() > 0, "{measurement:?}");
    assert!(!matches!(measurement.end_reason(), EndReason::Lost(_)), "{measurement:?}");
    assert!(measurement.bounds().contains(SKEW), "{measurement:?}");
    Ok(())
}

#[tokio::test]
async fn a_proxy_is_used_in_absolute_form_and_by_connect_with_credentials() -> Result<(), Error> {
    let server = server(Behaviour::Normal);
    let options = ProxyOptions::default().credentials("user", "p@ss");
    let proxy = LoopbackProxy::start(options).expect("a port");
    let with = proxy.url().replace("http://", "http://user:p%40ss@");
    let forwarded = client(server.url()).proxy(&with).build()?;
    let tunnelled = client(server.url()).proxy(&with).tunnel(true).build()?;
    let refused = client(server.url()).proxy(proxy.url()).tunnel(true).build()?;
    let results = tokio::join!(forwarded.measure(), tunnelled.measure(), refused.measure());
    assert_holds(&results.0?);
    assert_holds(&results.1?);
    assert_eq!(results.2, Err(Error::ProxyCredentials));
    assert!(proxy.tunnels() > 0);
    Ok(())
}

#[tokio::test]
async fn a_black_hole_is_left_at_the_callers_deadline_or_by_its_own() -> Result<(), Error> {
    let hole = BlackHole::start().expect("a listener");
    let client = client(format!("http://{}/", hole.address())).build()?;
    let (left, own) = tokio::join!(timeout(TIMEOUT / 4, client.measure()), client.measure());
    assert!(left.is_err(), "{left:?}");
    assert_eq!(own.map_err(|error| error.kind()), Err("timeout_connect"));
    Ok(())
}

#[tokio::test]
async fn dropping_the_future_closes_every_socket() -> Result<(), Error> {
    let slow = Behaviour::Dribble { every: Duration::from_secs(1) };
    let servers = [Behaviour::Normal, Behaviour::Silent, slow].map(server);
    let client = Client::builder().servers(servers.iter().map(LoopbackServer::url)).build()?;
    let open = || servers.iter().map(LoopbackServer::open_connections).collect::<Vec<_>>();
    let survey = client.survey();
    tokio::select! {
        biased;
        _ = survey => panic!("it takes seconds"),
        () = until(|| open() == [1, 1, 1]) => {}
    }
    // Each server has read the end of its connections.
    until(|| open() == [0, 0, 0]).await;
    Ok(())
}

#[tokio::test]
async fn dropping_the_task_drops_a_lookup_in_flight() -> Result<(), Error> {
    let held = Arc::new(());
    let lookup = Arc::clone(&held);
    let client = client("http://name.test/").resolver(move |host, port| {
        assert_eq!((host.as_str(), port), ("name.test", 80));
        let held = Arc::clone(&lookup);
        async move {
            let _held = held;
            pending().await
        }
    });
    let client = client.build()?;
    let task = tokio::spawn({
        let client = client.clone();
        async move { client.measure().await }
    });
    until(|| Arc::strong_count(&held) == 3).await;
    task.abort();
    assert!(task.await.is_err_and(|error| error.is_cancelled()));
    assert_eq!(Arc::strong_count(&held), 2);
    // No wait exceeds the timeout.
    let error = client.measure().await.map_err(|error| error.kind());
    assert_eq!(error, Err("timeout_resolve"));
    Ok(())
}

#[tokio::test]
async fn names_are_found_by_the_system_or_by_the_callers_resolver() -> Result<(), Error> {
    let server = server(Behaviour::Normal);
    let address: SocketAddr = server.address();
    let localhost = client(format!("http://localhost:{}/", address.port())).build()?;
    let named = client("http://name.test/").resolver(move |_, _| async move { Ok(vec![address]) });
    let named = named.build()?;
    let (localhost, named) = tokio::join!(localhost.measure(), named.measure());
    assert_holds(&localhost?);
    assert_holds(&named?);
    Ok(())
}

#[tokio::test]
async fn the_source_address_and_the_interface_are_those_asked_for() -> Result<(), Error> {
    let server = server(Behaviour::Normal);
    let source = client(server.url()).source_address([127, 0, 0, 2].into()).build()?;
    let family = client(server.url()).source_address([0_u16; 8].into()).build()?;
    let interface = client(server.url()).interface("no-such-name").build()?;
    let results = tokio::join!(source.measure(), family.measure(), interface.measure());
    assert_holds(&results.0?);
    assert_eq!(results.1.map_err(|error| error.kind()), Err("connect"));
    assert_eq!(results.2.map_err(|error| error.kind()), Err("connect"));
    Ok(())
}

#[tokio::test]
async fn events_come_in_the_order_in_which_things_happen() -> Result<(), Error> {
    let server = server(Behaviour::Normal);
    let mut running = client(server.url()).build()?.start();
    let (mut names, mut answers) = (Vec::new(), 0);
    while let Some(Update { server, event, .. }) = running.next().await {
        assert_eq!(server, 0);
        let name = match event {
            Event::Resolved { addresses: 1 } => "resolved",
            Event::Opened { .. } => "opened",
            Event::Sent { .. } => "sent",
            Event::Answered { .. } => {
                answers += 1;
                // The evidence has been updated when the event arrives.
                assert_eq!(running.sessions().sessions()[0].progress().observations(), answers);
                "answered"
            }
            Event::Ended { error: None } => "ended",
            Event::Rescheduled { .. } => continue,
            other => panic!("{other:?}"),
        };
        names.push(name);
    }
    let asked = ["sent", "answered"].repeat(answers as usize);
    let expected = [&["resolved", "opened"], &asked[..], &["ended"]].concat();
    assert_eq!(names, expected);
    assert!(running.next().await.is_none());
    assert_holds(&running.finish().into_combined()?);
    Ok(())
}

#[tokio::test]
async fn what_was_measured_by_the_deadline_can_be_kept() -> Result<(), Error> {
    let server = server(Behaviour::Normal);
    let mut running = client(server.url()).config(steadily(1000, TIMEOUT / 6)?).build()?.start();
    let all = async { while running.next().await.is_some() {} };
    assert!(timeout(TIMEOUT, all).await.is_err());
    let measurement = running.finish().into_combined()?;
    assert!(measurement.observations() > 1 && measurement.bounds().contains(SKEW));
    until(|| server.open_connections() == 0).await;
    Ok(())
}

#[tokio::test]
async fn other_tasks_run_while_the_instant_of_a_request_is_awaited() -> Result<(), Error> {
    let server = server(Behaviour::Normal);
    let turns = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&turns);
    let other = tokio::spawn(async move {
        loop {
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    // The interval is so short that the timer is not used.
    let client =
        client(server.url()).config(steadily(100, Duration::from_micros(1500))?).build()?;
    let mut running = client.start();
    let (mut before, mut waits) = (0, Vec::new());
    while let Some(Update { event, .. }) = running.next().await {
        let now = turns.load(Ordering::Relaxed);
        match event {
            Event::Answered { .. } => before = now,
            Event::Sent { .. } => waits.push(now - before),
            _ => {}
        }
    }
    other.abort();
    // On a busy machine some requests are late and do not wait.
    waits.sort_unstable();
    assert!(waits.len() > 50 && waits[waits.len() / 2] > 10, "{waits:?}");
    assert!(running.finish().into_combined()?.observations() > 50);
    Ok(())
}

/// The next event, and the number of polls until it.
async fn counted(running: &mut RunningSurvey) -> (Option<Update>, usize) {
    let mut polls = 0;
    let update = poll_fn(|cx| {
        polls += 1;
        Pin::new(&mut *running).poll_next(cx)
    });
    (update.await, polls)
}

#[tokio::test]
async fn the_kernels_reports_about_writes_are_taken_in_and_wake_nobody() -> Result<(), Error> {
    let delay = Duration::from_millis(60);
    let server = LoopbackServer::builder().skew(SKEW).delays(delay, Duration::ZERO);
    let server = server.start().expect("a port");
    let client = client(server.url()).config(steadily(10, Duration::from_millis(100))?).build()?;
    let mut running = client.start();
    while let (Some(Update { event, .. }), polls) = counted(&mut running).await {
        if matches!(event, Event::Answered { .. }) {
            assert!(polls <= 8, "{polls} polls for an answer");
        }
    }
    let measurement = running.finish().into_combined()?;
    // The kernel starts to take timestamps a moment after they were requested.
    if cfg!(target_os = "linux") {
        let by_kernel = measurement.sent_by_kernel().min(measurement.received_by_kernel());
        assert!(by_kernel + 2 >= measurement.observations(), "{measurement:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_request_that_the_socket_does_not_take_at_once_is_written_without_spinning()
-> Result<(), Error> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    // More than the buffers of both ends can hold.
    let length = 16 << 20;
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        let mut space = vec![0; 1 << 20];
        let mut answer = |stream: &mut std::net::TcpStream| -> std::io::Result<()> {
            let mut end = [0; 4];
            while end != *b"\r\n\r\n" {
                let count = stream.read(&mut space)?;
                if count == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                for byte in &space[count.saturating_sub(4)..count] {
                    end.rotate_left(1);
                    end[3] = *byte;
                }
            }
            let date = httpdate(SystemTime::now());
            stream.write_all(format!("HTTP/1.1 200 OK\r\nDate: {date}\r\n\r\n").as_bytes())
        };
        std::thread::sleep(Duration::from_millis(300));
        answer(&mut stream)?;
        std::thread::sleep(Duration::from_millis(300));
        answer(&mut stream)
    });
    let url = format!("http://{address}/{}", "x".repeat(length));
    let config = Config::builder()
        .requests(2)
        // The second request cannot wait for the Date to advance: the last millisecond would be
        // spent polling.
        .duration(Duration::from_secs(1))
        .timeout(Duration::from_secs(8))
        .schedule_with(|| Box::new(Steady(Duration::ZERO)))
        .build()?;
    let mut running = client(url).config(config).build()?.start();
    let (mut answers, mut polls, begun) = (0, 0, Instant::now());
    while let (Some(Update { event, .. }), more) = counted(&mut running).await {
        answers += usize::from(matches!(event, Event::Answered { .. }));
        polls += more;
    }
    // At most one retry per millisecond.
    let most = begun.elapsed().as_millis() + 50;
    // The URL is too long for the message.
    let error = running.finish().into_combined().err().map(|error| error.kind());
    assert_eq!((answers, error), (2, None));
    assert!(polls as u128 <= most, "{polls} polls, not {most}");
    server.join().expect("no panic").expect("two requests");
    Ok(())
}

fn httpdate(time: SystemTime) -> String {
    let time = httptime::Timestamp::from_system_time(time).expect("in range");
    httptime_sim::loopback::http_date(time)
}
