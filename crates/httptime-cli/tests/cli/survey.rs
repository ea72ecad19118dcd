//! `httptime survey`: many servers from one process.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use httptime::Offset;
use httptime_testserver::{Behaviour, LoopbackServer, Misbehave as _, RefusedPort};
use serde_json::Value;

use super::{json, program, text};

const QUICK: &[&str] = &["--requests", "6", "--duration", "4", "--timeout", "1"];
const SECOND: i64 = 1_000_000_000;

/// A file in a directory that is removed with it.
struct File(PathBuf);

impl File {
    fn new(name: &str, content: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("httptime-survey-{}-{number}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, content).expect("a file");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn survey() -> Command {
    let mut command = program();
    command.arg("survey").args(QUICK);
    command
}

fn done(command: &mut Command) -> Output {
    command.output().expect("the program starts")
}

fn skewed(seconds: f64) -> LoopbackServer {
    #[expect(clippy::cast_possible_truncation, reason = "a minute in nanoseconds")]
    let skew = Offset::from_nanos((seconds * 1e9) as i64);
    let builder = LoopbackServer::builder().skew(skew).server_header(Some("nginx".into()));
    builder.start().expect("a loopback port")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("a number: {value}"))
}

fn bounds_contain(value: &Value, truth: f64) -> bool {
    (number(&value[0])..=number(&value[1])).contains(&truth)
}

#[test]
fn the_servers_whose_clock_is_wrong_are_named_first() {
    let good: Vec<LoopbackServer> = (0..30).map(|_| skewed(0.0)).collect();
    let wrong = [skewed(38.116), skewed(-5.5), skewed(1.25)];
    let silent = LoopbackServer::builder().behaviour(Behaviour::Silent).start().expect("a port");
    let refused = RefusedPort::reserve().expect("a port");
    let lines: Vec<String> = good.iter().map(LoopbackServer::url).collect();
    let list = File::new("list", &format!("# nodes\n{}\n", lines.join("\n")));
    let targets: Vec<String> = wrong.iter().map(|it| format!("\"{}\"", it.address())).collect();
    let targets =
        format!(r#"[{{"targets": [{}], "labels": {{"rack": "r\"1"}}}}]"#, targets.join(", "));
    let targets = File::new("targets.json", &targets);
    let metrics = File::new("survey.prom", "");
    let output = done(
        survey()
            .arg("--json")
            .args(["--file", list.path(), "--file-sd", targets.path()])
            .args(["--textfile", metrics.path()])
            // One of them twice: it is measured once.
            .args([silent.url(), format!("http://{}/", refused.address()), good[0].url()]),
    );
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    let json = json(&output);
    let counts = r#"{"servers":35,"good":30,"suspect":0,"falseticker":3,"unknown":0,"failed":2}"#;
    assert_eq!(json["counts"].to_string(), counts);
    assert_eq!((&json["schema"], &json["reference"]), (&1.into(), &Value::Null));
    let servers = json["servers"].as_array().expect("a list");
    for (server, (truth, at)) in servers.iter().zip([(38.116, 0), (-5.5, 1), (1.25, 2)]) {
        assert_eq!(server["status"], "falseticker", "{server}");
        assert_eq!(server["url"], wrong[at].url(), "{server}");
        let labels = (&server["labels"]["rack"], &server["labels"]["target"]);
        assert_eq!(labels, (&"r\"1".into(), &wrong[at].address().to_string().into()));
        assert!(bounds_contain(&server["skew_bounds_seconds"], truth), "{server}");
        assert!((number(&server["skew_seconds"]) - truth).abs() < 0.2, "{server}");
        assert_eq!(server["skew_seconds"], server["offset_seconds"], "{server}");
    }
    for server in &servers[3..33] {
        assert_eq!(server["status"], "good", "{server}");
        assert!(bounds_contain(&server["skew_bounds_seconds"], 0.0), "{server}");
    }
    let kinds: Vec<&Value> = servers[33..].iter().map(|it| &it["error"]["kind"]).collect();
    assert!(kinds.contains(&&"timeout_response".into()), "{kinds:?}");
    assert!(kinds.contains(&&"connection_refused".into()), "{kinds:?}");

    let metrics = fs::read_to_string(&metrics.0).expect("metrics");
    let line = format!(
        "httptime_survey_falseticker{{url=\"{}\",rack=\"r\\\"1\",target=\"{}\"}} 1\n",
        wrong[0].url(),
        wrong[0].address()
    );
    assert!(metrics.contains(&line), "{metrics}");
    let refused = format!("httptime_survey_measured{{url=\"http://{}/\"}} 0\n", refused.address());
    assert!(metrics.contains(&refused) && metrics.contains("_exit_status 6\n"), "{metrics}");
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
    let manual = fs::read_to_string(manual).expect("docs/operations.md");
    let (_, section) = manual.split_once("\n## Find the nodes ").expect("the section");
    let (section, _) = section.split_once("\n## ").expect("its end");
    let documented = names(section);
    assert_eq!(names(&metrics), documented, "in the metrics, in the manual");
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').expect("a name and a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    text.split(|it: char| !it.is_ascii_lowercase() && it != '_')
        .filter(|word| word.starts_with("httptime_survey_"))
        .collect()
}

#[test]
fn a_reference_takes_the_place_of_the_local_clock() {
    let (reference, same, other) = (skewed(38.116), skewed(38.116), skewed(0.0));
    let urls = [same.url(), other.url()];
    let output = done(survey().args(["--reference", &reference.url()]).args(&urls));
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    let said = text(&output.stdout);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 4, "{said}");
    assert!(lines[0].starts_with("STATUS "), "{said}");
    assert!(lines[1].starts_with("falseticker ") && lines[1].contains(" -38."), "{said}");
    assert!(lines[1].ends_with(&other.url()), "{said}");
    assert!(lines[2].starts_with("good ") && lines[2].ends_with(&same.url()), "{said}");
    let summary = format!(": 1 falseticker, 1 good; threshold 1 s, reference {}", reference.url());
    assert!(lines[3].starts_with("2 servers in ") && lines[3].ends_with(&summary), "{said}");
    // Nothing is known without it.
    let refused = RefusedPort::reserve().expect("a port");
    let gone = format!("http://{}/", refused.address());
    let output = done(survey().args(["--reference", &gone, "--json"]).args(&urls));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let json = json(&output);
    assert_eq!(json["reference"]["error"]["kind"], "connection_refused");
    for server in json["servers"].as_array().expect("a list") {
        assert_eq!((&server["status"], &server["skew_seconds"]), (&"unknown".into(), &Value::Null));
        assert!(server["offset_seconds"].is_number(), "{server}");
    }
}

#[test]
fn a_skew_that_the_bounds_do_not_prove_is_a_suspect() {
    // Unknown software: its Date may be 2.02 s late, so a clock 1.5 s behind may be right.
    let skew = Offset::from_nanos(-3 * SECOND / 2);
    let server = LoopbackServer::builder().skew(skew).start().expect("a port");
    let status = |more: &[&str]| {
        let output = done(survey().args(["--json", &server.url()]).args(more));
        (output.status.code(), json(&output)["servers"][0]["status"].clone())
    };
    assert_eq!(status(&[]), (Some(1), "suspect".into()));
    assert_eq!(status(&["--lag", "0.002"]), (Some(6), "falseticker".into()));
    assert_eq!(status(&["--lag", "0.002", "--threshold", "2"]), (Some(0), "good".into()));
}

#[test]
fn a_list_that_cannot_be_used_is_named_with_its_line() {
    let list = File::new("list", "127.0.0.1:9\nftp://a/\n");
    for (arguments, said) in [
        (vec![], "there is no server to measure; name one, or give a list with --file"),
        (vec!["--file", list.path()], ", line 2: cannot use URL \"ftp://a/\""),
        (vec!["--file", "/nonexistent"], "cannot read /nonexistent: no such file"),
        (vec!["--file-sd", list.path()], "expected: [{\"targets\""),
        (vec!["--requests", "0", "127.0.0.1:9"], "--requests is 0; allowed: 1 to 1000"),
        (vec!["--at-once", "0", "127.0.0.1:9"], "allowed: a whole number, 1 or more"),
    ] {
        let mut command = program();
        let output = done(command.arg("survey").args(&arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        let complaint = text(&output.stderr);
        assert!(complaint.contains(said), "{arguments:?}: {complaint}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
    }
}
