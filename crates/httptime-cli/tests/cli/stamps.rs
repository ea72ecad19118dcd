//! Stamps: what the program does with a server's time that is finer than a second.

use std::io;
use std::ops::ControlFlow;
use std::process::Output;
use std::time::Duration;

use httptime::Offset;
use httptime_sim::loopback::{BODY, ConnectionEnd, Request, Responder};
use httptime_sim::{SimStamp, StampDigits, StampTrap};
use httptime_testserver::LoopbackServer;
use serde_json::{Value, json};

use super::{QUICK, SKEW, json, program, query, server, text};

pub(crate) const MICROS: SimStamp = SimStamp::seconds(StampDigits::Micros);
const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn stamped(stamp: SimStamp) -> LoopbackServer {
    LoopbackServer::builder().skew(SKEW).stamp(stamp).start().expect("a loopback port")
}

/// A server whose stamps contradict their `Date`s.
pub(crate) fn tomorrow() -> LoopbackServer {
    stamped(MICROS.trapped(StampTrap::Ahead(Offset::from_nanos(86_400_000_000_000))))
}

/// Queries without limits on requests and time.
fn ask(url: &str, more: &[&str]) -> Output {
    program().args(["query", url]).args(more).output().expect("the program starts")
}

fn assert_truth_in_bounds(measured: &Value) {
    let bound = |index: usize| measured["bounds_seconds"][index].as_f64().expect("a bound");
    assert!((bound(0)..=bound(1)).contains(&SKEW.as_seconds()), "{measured}");
}

#[test]
fn a_stamped_server_is_measured_with_a_few_requests_in_no_time() {
    for (digits, quantum, requests) in
        [(StampDigits::Micros, 1e-6, 8), (StampDigits::Millis, 1e-3, 16)]
    {
        let output = ask(&stamped(SimStamp::seconds(digits)).url(), &["--json"]);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
        let measured = json(&output);
        assert_truth_in_bounds(&measured);
        let stamp =
            json!({ "header": "X-HTTPSTIME", "quantum_seconds": quantum, "rejected": null });
        assert_eq!(measured["stamp"], stamp, "{measured}");
        assert_eq!(
            (&measured["requests"], &measured["date_advanced"]),
            (&requests.into(), &true.into())
        );
        assert_eq!(measured["assumptions"]["lag_source"], "stamp", "{measured}");
        let elapsed = measured["elapsed_seconds"].as_f64().expect("a number");
        assert!(elapsed < 2.0, "{measured}");
    }
    let measured = json(&query(&server().url(), &["--json"]));
    assert_eq!(measured["stamp"], Value::Null, "{measured}");
}

#[test]
fn verbose_names_the_stamp_and_draws_what_each_answer_leaves_unknown() {
    let server = stamped(MICROS);
    let plain = ask(&server.url(), &[]);
    assert_eq!((text(&plain.stdout).lines().count(), text(&plain.stderr)), (1, String::new()));
    let output = ask(&server.url(), &["-v"]);
    let said = text(&output.stdout);
    assert!(said.ends_with("\nstamp: X-HTTPSTIME, 1 µs\n"), "{said}");
    assert!(said.contains("assumed lag ≤ 1 ms (stamp)"), "{said}");
    let drawn = text(&output.stderr);
    assert_eq!(drawn.lines().count(), 8, "{drawn}");
    for line in drawn.lines() {
        // A `Date` fills all of the 18 cells at first.
        let cells = line.matches('#').count();
        assert!(line.starts_with("answer ") && (1..18).contains(&cells), "{drawn}");
    }
}

#[test]
fn a_stamp_that_cannot_be_used_is_named_and_the_date_is_measured() {
    let newer = ("newer_than_date", " newer than the Date beside it");
    let older = ("older_than_date", " older than the Date beside it");
    let frozen = ("frozen", "it did not advance in ");
    let conflicting = ("conflicting", "a response has two with different values");
    for (trap, faults) in [
        (StampTrap::Ahead(Offset::from_nanos(86_400_000_000_000)), &[newer][..]),
        // A new second may begin between the first two responses.
        (StampTrap::Cached(HOUR), &[frozen, older]),
        (StampTrap::Accepted, &[frozen, older]),
        (StampTrap::Conflicting(HOUR), &[conflicting]),
    ] {
        let plain = query(&stamped(MICROS.trapped(trap)).url(), &[]);
        assert_eq!(plain.status.code(), Some(0), "{plain:?}");
        let measured = text(&plain.stdout);
        assert!(measured.starts_with("local clock is slow by 3"), "{measured}");
        assert_eq!(measured.lines().count(), 1, "{measured}");
        let said = text(&plain.stderr);
        assert!(said.starts_with("httptime: stamp not used: X-HTTPSTIME: "), "{trap:?}: {said}");
        assert!(faults.iter().any(|(_, words)| said.contains(words)), "{trap:?}: {said}");
        assert!(said.ends_with(" ignore it with --stamp-header \"\"\n"), "{said}");
        assert_eq!(said.lines().count(), 1, "{trap:?}: {said}");

        let machine = query(&stamped(MICROS.trapped(trap)).url(), &["--json"]);
        assert_eq!((machine.status.code(), text(&machine.stderr)), (Some(0), String::new()));
        let measured = json(&machine);
        assert_truth_in_bounds(&measured);
        let stamp = &measured["stamp"];
        assert_eq!(stamp["header"], "X-HTTPSTIME", "{measured}");
        let is_said = |(kind, words): &(&str, &str)| {
            let message = stamp["rejected"]["message"].as_str().expect("a message");
            stamp["rejected"]["kind"] == *kind && message.contains(words)
        };
        assert!(faults.iter().any(is_said), "{measured}");
        assert_ne!(measured["assumptions"]["lag_source"], "stamp", "{measured}");
    }
}

#[test]
fn verbose_shows_why_the_uncertainty_grows_when_a_stamp_is_rejected() {
    let server = stamped(MICROS.trapped(StampTrap::Cached(HOUR)));
    let output = query(&server.url(), &["-v"]);
    let drawn = text(&output.stderr);
    let lines: Vec<&str> = drawn.lines().collect();
    assert!(lines[0].starts_with("answer  1 "), "{drawn}");
    assert_eq!(lines[1], "no usable stamp in answer 2, measuring by the Date", "{drawn}");
    assert!(lines[2].starts_with("answer  2 "), "{drawn}");
    let said = text(&output.stdout);
    assert!(!said.contains("stamp: "), "{said}");
}

#[test]
fn sync_names_a_rejected_stamp_once_and_decides_by_the_date() {
    let server = tomorrow();
    let mut command = program();
    command.args(["sync", "--dry-run", &server.url()]).args(QUICK);
    let output = command.output().expect("the program starts");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output.stderr).matches("stamp not used: ").count(), 1, "{output:?}");
    assert!(text(&output.stdout).contains("\ndecision: step by +3"), "{output:?}");
}

#[test]
fn of_several_servers_each_stamp_is_named_with_its_url() {
    let (good, bad) = (stamped(MICROS), tomorrow());
    let output = query(&good.url(), &[&bad.url(), "-v"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = text(&output.stdout);
    assert!(said.ends_with(&format!("\n{}: stamp: X-HTTPSTIME, 1 µs\n", good.url())), "{said}");
    let said = text(&output.stderr);
    let line = format!("httptime: {}: stamp not used: X-HTTPSTIME: ", bad.url());
    assert_eq!(said.matches("stamp not used").count(), 1, "{said}");
    assert!(said.lines().any(|said| said.starts_with(&line)), "{said}");
}

/// Sends the time in µs in the field `X-Time`.
#[derive(Debug)]
struct XTime;

impl Responder for XTime {
    fn answer(&self, request: &Request<'_>) -> io::Result<ControlFlow<ConnectionEnd>> {
        let reading = request.read_clock()?;
        let mut response = request.response(200, &reading, BODY);
        response.push("X-Time", &(reading.date.as_unix_nanos() / 1000).to_string());
        request.connection().send(&response.head())?;
        Ok(ControlFlow::Continue(()))
    }
}

#[test]
fn the_header_of_the_stamp_is_an_option() {
    let builder = LoopbackServer::builder().skew(SKEW).responder(XTime);
    let server = builder.start().expect("a loopback port");
    let measured = json(&query(&server.url(), &["--json", "--stamp-header", "x-time"]));
    assert_truth_in_bounds(&measured);
    assert_eq!(measured["stamp"]["header"], "x-time", "{measured}");
    assert_eq!(measured["stamp"]["rejected"], Value::Null, "{measured}");
    for (stamps, more) in [
        (&server, &[][..]),
        (&stamped(MICROS), &["--stamp-header", "X-Time"]),
        (&stamped(MICROS), &["--stamp-header", ""]),
        (&tomorrow(), &["--stamp-header="]),
    ] {
        let output = query(&stamps.url(), more);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
        let measured = json(&query(&stamps.url(), &[more, &["--json"]].concat()));
        assert_eq!(measured["stamp"], Value::Null, "{more:?}: {measured}");
        assert_ne!(measured["assumptions"]["lag_source"], "stamp", "{more:?}: {measured}");
    }
}

#[test]
fn with_fewer_than_three_requests_the_dates_are_measured() {
    let server = stamped(MICROS);
    let run = |command: &[&str], requests: &str| {
        let mut program = program();
        program.args(command).args([&server.url(), "--requests", requests]);
        program.output().expect("the program starts")
    };
    let reason = "the server's Date was not seen to advance: its clock may be stopped, or a \
                  cache may answer; allow at least 2 requests and 2 s (--requests, --duration)";
    let plain = run(&["query"], "1");
    let said = text(&plain.stdout);
    assert!(said.ends_with(&format!("\ndo not correct a clock by this: {reason}\n")), "{said}");
    let refused = run(&["sync", "--dry-run"], "1");
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let said = text(&refused.stderr);
    assert!(said.starts_with(&format!("httptime: refused: {reason}")), "{said}");
    let object = json(&run(&["sync", "--dry-run", "--json"], "1"));
    assert_eq!(object["decision"]["reason"], reason, "{object}");
    for requests in ["2", "3"] {
        let allowed = run(&["sync", "--dry-run"], requests);
        assert_eq!(allowed.status.code(), Some(0), "{requests}: {allowed:?}");
        let measured = json(&run(&["query", "--json"], requests));
        assert_eq!(measured["stamp"].is_null(), requests == "2", "{measured}");
    }
}

#[test]
fn the_demo_has_a_server_with_stamps() {
    let output = program().args(["demo", "--stamp", "-v"]).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = text(&output.stdout);
    assert!(said.contains("\nstamp: X-HTTPSTIME, 1 µs\n"), "{said}");
    assert!(said.contains("the truth is inside the bounds"), "{said}");
}
