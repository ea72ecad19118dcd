//! `httptime status` and `wait` beside `httptime run`. The kernel's status is that of this machine,
//! so a test does not know whether its clock is synchronised.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use httptime_testserver::{Behaviour, LoopbackServer, Misbehave as _, RefusedPort};
use serde_json::{Value, json};

use super::{LIMIT, SKEW, Service};

fn program(arguments: &[&str], file: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_httptime"));
    command.args(arguments).arg("--file").arg(file).output().expect("the program starts")
}

/// The output of `status --json`, and its exit status.
fn status(file: &Path) -> (Value, i32) {
    let output = program(&["status", "--json"], file);
    let object = serde_json::from_slice(&output.stdout).expect("one JSON object on stdout");
    (object, output.status.code().expect("an exit status"))
}

/// Waits until `status --json` is like this.
fn until(service: &Service, what: &str, is: impl Fn(&Value) -> bool) -> (Value, i32) {
    let file = service.directory.join("status.json");
    let deadline = Instant::now() + LIMIT;
    loop {
        let (object, code) = status(&file);
        if is(&object) {
            return (object, code);
        }
        assert!(Instant::now() < deadline, "{what}: {object:#}\n{}", service.log());
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_status_can_be_read_while_it_measures_waits_fails_is_stopped_and_killed() {
    let mut service = Service::start("status");
    let (object, _) = until(&service, "measuring", |it| it["status_file"]["state"] == "measuring");
    assert_eq!((&object["schema"], &object["daemon"]), (&1.into(), &"running".into()));

    let measured = |it: &Value| it["status_file"]["last_measurement"].is_object();
    let (object, code) = until(&service, "measured", measured);
    let file = &object["status_file"];
    let last = &file["last_measurement"];
    let offset = last["offset_seconds"].as_f64().expect("seconds");
    assert!((offset - SKEW).abs() < 0.25, "{object:#}");
    assert_eq!((&last["outcome"], &file["mode"]), (&"sent".into(), &"chrony".into()));
    let server = &file["servers"][0];
    assert_eq!((&server["status"], &server["reach"]), (&"selected".into(), &1.into()), "{object}");
    assert_eq!(
        file["quorum"],
        json!({"servers": 1, "answered": 1, "agreeing": 1,
        "min_servers": 1, "is_reached": true})
    );
    assert_eq!((&file["votes"], &file["warnings"]), (&Value::Null, &json!([])), "mode chrony");
    let synchronised = object["synchronised"].as_bool().expect("a flag");
    assert_eq!(code == 0, synchronised, "{object:#}");
    assert_eq!(object["condition"] == "chronyd", !synchronised, "{object:#}");
    let text = program(&["status"], &service.directory.join("status.json"));
    let text = String::from_utf8(text.stdout).expect("UTF-8");
    assert!(text.contains("\nLast offset     : +38."), "{text}");
    assert!(text.contains(&format!("\n* {}", service.server.url())), "{text}");

    let port = RefusedPort::reserve().expect("a port");
    let refused = format!("http://{}", port.address());
    let wrong = service.configuration("").replace(&service.server.url(), &refused);
    fs::write(service.directory.join("httptime.toml"), wrong).expect("a file");
    service.signal("-HUP");
    let (object, _) = until(&service, "failing", |it| it["status_file"]["failure"].is_object());
    let failure = &object["status_file"]["failure"];
    assert_eq!((&failure["count"], &failure["kind"]), (&1.into(), &"connection_refused".into()));
    assert_eq!(object["status_file"]["servers"][0]["status"], "failed");

    let process = service.process.as_mut().expect("started");
    process.kill().expect("it is running");
    process.wait().expect("it ends");
    let (object, code) = until(&service, "dead", |it| it["daemon"] == "dead");
    assert_eq!(code, if object["synchronised"] == true { 0 } else { 5 }, "{object:#}");
    assert!(object["why"].as_str().is_some_and(|why| why.contains("ended without a last report")));
}

#[test]
fn a_portal_that_answers_in_the_servers_place_is_logged_once_and_is_in_the_status() {
    let portal = LoopbackServer::builder().behaviour(Behaviour::Html);
    let service = Service::start_with("portal", portal.start().expect("a loopback port"));
    service.wait_for_notification("READY=1");
    let url = format!("{}generate_204", service.server.url());
    let asking = service.configuration("").replace(&service.server.url(), &url);
    fs::write(service.directory.join("httptime.toml"), asking).expect("a file");
    service.signal("-HUP");
    let warned =
        |it: &Value| it["status_file"]["warnings"].as_array().is_some_and(|it| !it.is_empty());
    let (object, _) = until(&service, "warned", warned);
    let warning = object["status_file"]["warnings"][0].as_str().expect("a text").to_owned();
    let start = format!(
        "{url}: status 200 with a page of HTML instead of 204: a captive portal or a proxy \
         answered, and its clock was measured"
    );
    assert!(warning.starts_with(&start) && warning.contains("measure.expect_status"), "{warning}");
    let measurements = |it: &Value| it["status_file"]["counters"]["measurements"].as_u64();
    let first = measurements(&object);
    until(&service, "measured twice more", |it| measurements(it) >= first.map(|it| it + 2));
    let log = service.log();
    assert_eq!(log.matches(&warning).count(), 1, "{log}");
    let text = program(&["status"], &service.directory.join("status.json"));
    let text = String::from_utf8(text.stdout).expect("UTF-8");
    assert!(text.contains(&format!("\nWarning         : {warning}\n")), "{text}");
}

#[test]
fn a_daemon_that_ends_as_it_should_leaves_that_in_its_file() {
    let mut service = Service::start("ended");
    service.wait_for_notification("READY=1");
    service.signal("-TERM");
    service.wait_for_notification("STOPPING=1");
    service.process.take().expect("started").wait().expect("it ends");
    let (object, _) = status(&service.directory.join("status.json"));
    assert_eq!(
        (&object["daemon"], &object["status_file"]["state"]),
        (&"stopped".into(), &"stopped".into())
    );
    assert_eq!(object["status_file"]["expected_by_monotonic_seconds"], Value::Null);
}

/// A unit test of `run.rs` has the length of the pause that this ends.
#[test]
fn sigusr1_measures_at_once_and_each_measurement_is_a_line_in_the_statistics() {
    let service = Service::start("asked");
    service.wait_for_notification("READY=1");
    let logs = service.directory.join("logs");
    fs::create_dir(&logs).expect("a directory");
    let port = RefusedPort::reserve().expect("a port");
    let refused = format!("http://{}", port.address());
    let more = format!("log_dir = '{}'", logs.display());
    let wrong = service.configuration(&more).replace(&service.server.url(), &refused);
    fs::write(service.directory.join("httptime.toml"), wrong).expect("a file");
    service.signal("-HUP");
    let failures = |it: &Value| it["status_file"]["failure"]["count"].as_u64().unwrap_or(0);
    // A first failure that comes at once is repeated after 0.6 s.
    until(&service, "failing", |it| failures(it) >= 2);
    service.signal("-USR1");
    until(&service, "measured again", |it| failures(it) >= 3);

    let lines = |name: &str| fs::read_to_string(logs.join(name)).unwrap_or_default();
    let deadline = Instant::now() + LIMIT;
    while lines("measurements.log").lines().count() < 3 {
        assert!(Instant::now() < deadline, "{}", service.log());
        thread::sleep(Duration::from_millis(20));
    }
    let measurements = lines("measurements.log");
    assert!(measurements.starts_with("# date time(UTC) status "), "{measurements}");
    assert!(measurements.ends_with(&format!("connection_refused {refused}/\n")), "{measurements}");
    assert_eq!(lines("tracking.log"), "", "nothing was measured");
    assert!(service.log().contains("measuring now: SIGUSR1"), "{}", service.log());
}

#[test]
fn each_metric_of_the_alert_rules_is_written_and_each_one_that_is_written_is_documented() {
    let mut service = Service::start("metrics");
    until(&service, "measured", |it| it["status_file"]["last_measurement"].is_object());
    service.signal("-TERM");
    service.process.take().expect("started").wait().expect("it ends");
    let path = service.directory.join("httptime.prom");
    let mut written = fs::read_to_string(&path).expect("metrics");
    // A failed run of `sync` changes nothing.
    let refused = RefusedPort::reserve().expect("a port");
    let url = format!("http://{}/", refused.address());
    let mut sync = Command::new(env!("CARGO_BIN_EXE_httptime"));
    sync.args(["sync", "--proxy", "", "--timeout", "1", &url, "--textfile"]).arg(&path);
    assert_eq!(sync.output().expect("the program starts").status.code(), Some(1));
    written.push_str(&fs::read_to_string(&path).expect("metrics"));

    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
    let manual = fs::read_to_string(manual).expect("docs/operations.md");
    let (_, section) = manual.split_once("\n## Metrics and alerts\n").expect("the section");
    let (table, rules) = section.split_once("```yaml\n").expect("the rules");
    let (rules, _) = rules.split_once("```").expect("their end");
    let missing: Vec<String> =
        metrics_in(rules).difference(&metrics_in(&written)).cloned().collect();
    assert_eq!(missing, Vec::<String>::new(), "{written}");
    let is_in_table = |name: &String| table.contains(&format!("`{name}"));
    let undocumented: Vec<String> =
        metrics_in(&written).into_iter().filter(|name| !is_in_table(name)).collect();
    assert_eq!(undocumented, Vec::<String>::new());
}

/// The names in a text that begin with `httptime_`.
fn metrics_in(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_lowercase() && c != '_')
        .filter(|word| word.starts_with("httptime_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn waiting_ends_with_its_timeout_and_names_the_reason_or_with_a_signal_at_once() {
    let none = Path::new("/nonexistent/status.json");
    // No clock is this good.
    let never = ["wait", "--within", "0", "--timeout", "0"];
    let output = program(&never, none);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(said.starts_with("httptime: the clock is not right after 0 s: "), "{said}");
    let began = Instant::now();
    let mut waiting = Command::new(env!("CARGO_BIN_EXE_httptime"))
        .args(["wait", "--within", "0"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // It has started to wait when it reports the reason.
    let mut first = [0; 1];
    std::io::Read::read_exact(&mut waiting.stderr.take().expect("piped"), &mut first)
        .expect("it reports");
    let pid = waiting.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
    assert_eq!(waiting.wait().expect("it ends").code(), Some(143));
    assert!(began.elapsed() < LIMIT);
}
