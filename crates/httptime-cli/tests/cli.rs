//! The program as a user meets it: output, exit codes, signals, the environment.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use httptime::Offset;
use httptime_sim::loopback::{Behaviour, LoopbackServer, RefusedPort};
use serde_json::Value;

const SKEW: Offset = Offset::from_nanos(38_116_000_000);
const QUICK: &[&str] = &["--requests", "4", "--duration", "3", "--timeout", "1"];

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_httptime"));
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"] {
        command.env_remove(name);
    }
    command
}

fn query(url: &str, more: &[&str]) -> Output {
    program().args(["query", url]).args(QUICK).args(more).output().expect("the program starts")
}

fn server() -> LoopbackServer {
    LoopbackServer::builder().skew(SKEW).start().expect("a loopback port")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("one JSON object on stdout")
}

#[test]
fn people_get_one_line_and_exit_code_0() {
    let output = query(&server().url(), &[]);
    assert_eq!(output.status.code(), Some(0));
    let line = text(&output.stdout);
    assert_eq!(line.lines().count(), 1, "{line}");
    for part in ["local clock is slow by 3", " s, ± 0.", "; bounds +", "; 4 requests in "] {
        assert!(line.contains(part), "{line}");
    }
    // Progress is for terminals.
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn verbose_draws_the_narrowing_and_names_what_was_assumed() {
    let output = query(&server().url(), &["-v"]);
    let drawn = text(&output.stderr);
    let cells = |line: &str| line.matches('#').count();
    let widths: Vec<usize> = drawn.lines().map(cells).collect();
    assert_eq!(widths.len(), 4, "{drawn}");
    assert!(widths.is_sorted_by(|wide, narrow| wide >= narrow) && widths[0] > widths[3], "{drawn}");
    let said = text(&output.stdout);
    assert!(said.contains("assumed lag ≤ 1.02 s (unknown software), drift ≤ 100 ppm"), "{said}");
}

#[test]
fn json_has_every_field_of_its_schema() {
    let server = server();
    let output = query(&server.url(), &["--json"]);
    assert_eq!(output.status.code(), Some(0));
    let json = json(&output);
    assert_eq!(json["schema"], 1);
    let number = |value: &Value| value.as_f64().expect("a number");
    let (lower, upper) = (number(&json["bounds_seconds"][0]), number(&json["bounds_seconds"][1]));
    assert!((lower..=upper).contains(&38.116), "{json}");
    assert!((lower..=upper).contains(&number(&json["offset_seconds"])), "{json}");
    assert!(number(&json["stddev_seconds"]) > 0.0 && number(&json["rtt_min_seconds"]) > 0.0);
    assert!(number(&json["elapsed_seconds"]) < 4.0);
    assert_eq!(json["requests"], 4);
    assert_eq!(json["assumptions"]["lag_seconds"], 1.02);
    assert_eq!(json["assumptions"]["drift_ppm"], 100);
    let only = &json["servers"][0];
    assert_eq!(only["url"], server.url());
    assert_eq!((&only["status"], &only["error"]), (&"selected".into(), &Value::Null));
    assert_eq!((&only["requests"], &only["server"]), (&4.into(), &"httptime-sim".into()));
    assert!(only["offset_seconds"].is_number() && only["bounds_seconds"].is_array(), "{only}");
}

#[test]
fn failure_is_exit_code_1_and_an_object_or_a_line() {
    let refused = RefusedPort::reserve().expect("a port");
    let url = format!("http://{}/", refused.address());
    let plain = query(&url, &[]);
    assert_eq!((plain.status.code(), text(&plain.stdout)), (Some(1), String::new()));
    let line = text(&plain.stderr);
    let start = format!("httptime: {url}: cannot connect to 127.0.0.1:");
    assert!(line.starts_with(&start), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    let machine = query(&url, &["--json"]);
    assert_eq!((machine.status.code(), text(&machine.stderr)), (Some(1), String::new()));
    let object = json(&machine);
    assert_eq!(object["error"]["kind"], "connection_refused");
    assert!(object["error"]["message"].is_string());
    assert_eq!(object["servers"][0]["status"], "failed");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [
        &["query"][..],
        &["query", "ftp://a/"],
        &["query", "https://a/"],
        &["query", "http://a/", "--requests", "0"],
        &["query", "http://a/", "--duration", "-1"],
        &["query", "http://a/", "--estimator", "magic"],
        &["query", "http://a/", "-4", "-6"],
        &["query", "http://a/", "--proxy", "socks5://b/"],
        &["nonsense"],
    ] {
        let output = program().args(arguments).output().expect("the program starts");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
    let output = program().args(["query", "--json", "ftp://a/"]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(json(&output)["error"]["kind"], "invalid_url");
}

#[test]
fn a_falseticker_is_named() {
    let hour = Offset::from_nanos(3_600_000_000_000);
    let liar = LoopbackServer::builder().skew(hour).start().expect("a loopback port");
    let (one, two) = (server(), server());
    let output = query(&one.url(), &[&liar.url(), &two.url(), "--json"]);
    let json = json(&output);
    let status: Vec<_> = (0..3).map(|index| json["servers"][index]["status"].clone()).collect();
    assert_eq!(status, ["selected", "falseticker", "selected"], "{json}");
    let plain = query(&one.url(), &[&liar.url(), &two.url()]);
    let said = text(&plain.stderr);
    assert!(said.contains(&format!("{}: falseticker", liar.url())), "{said}");
}

#[test]
fn ctrl_c_ends_at_once_with_130() {
    let silent = LoopbackServer::builder().behaviour(Behaviour::Silent).start().expect("a port");
    let mut child: Child = program()
        .args(["query", &silent.url(), "--timeout", "60"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    // It is under way once its request has come.
    let deadline = Instant::now() + Duration::from_secs(10);
    while silent.connections() == 0 {
        assert!(Instant::now() < deadline, "it never connected");
        std::thread::yield_now();
    }
    let interrupted = Instant::now();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill").success());
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(interrupted.elapsed() < Duration::from_secs(2));
}

#[test]
fn the_environment_names_a_proxy_and_the_exceptions_from_it() {
    // The "proxy" is an origin server of another time: what it answers shows who was asked.
    let (far, near) = (LoopbackServer::builder().start().expect("a port"), server());
    let ask = |no_proxy: &str, more: &[&str]| {
        let output = program()
            .args(["query", "--json", &far.url()])
            .args(QUICK)
            .args(more)
            .env("http_proxy", near.url())
            .env("no_proxy", no_proxy)
            .output()
            .expect("the program starts");
        json(&output)["offset_seconds"].as_f64().expect("measured")
    };
    assert!(ask("", &[]) > 30.0);
    assert!(ask("localhost,127.0.0.1", &[]) < 1.5);
    assert!(ask("", &["--proxy", ""]) < 1.5);
}

#[test]
fn a_reader_that_goes_away_is_no_reason_to_panic() {
    let server = server();
    let mut child = program()
        .args(["query", &server.url(), "--requests", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn demo_prints_the_estimate_beside_the_truth() {
    for skew in ["38.116", "-0.3"] {
        let output = program()
            .args(["demo", "--skew", skew, "--requests", "6"])
            .output()
            .expect("the program starts");
        assert_eq!(output.status.code(), Some(0));
        let said = text(&output.stdout);
        assert!(said.contains("the truth is inside the bounds"), "{said}");
        assert!(said.contains(skew.trim_start_matches('-')), "{said}");
    }
}
