use std::process::{Command, Output};

use serde_json::Value;

/// The output of the program with `--json`.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) offset: f64,
    pub(crate) bounds: [f64; 2],
    pub(crate) requests: u64,
    pub(crate) elapsed: f64,
    pub(crate) timestamps: Timestamps,
}

/// The number of responses used; of these, how many requests and responses have a timestamp of the
/// kernel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Timestamps {
    pub(crate) responses: u64,
    pub(crate) sent_by_kernel: u64,
    pub(crate) received_by_kernel: u64,
}

impl Answer {
    /// Measures with these arguments. Panics with the program's message if it fails.
    pub(crate) fn query(url: &str, arguments: &[&str]) -> Self {
        Self::read_output(&run(url, arguments))
    }

    /// Measures on a system where strace's `injection` applies to every second `setsockopt` of the
    /// program: on each connection that is the one that asks for timestamps.
    pub(crate) fn query_tampered(injection: &str, url: &str, arguments: &[&str]) -> Self {
        Self::read_output(&run_tampered(injection, url, arguments))
    }

    /// Measures on a system without these system calls.
    pub(crate) fn query_without(calls: &str, url: &str, arguments: &[&str]) -> Self {
        let mut strace = injecting(calls, "error=ENOSYS");
        Self::read_output(&finish(&mut strace, url, arguments))
    }

    /// Parses the program's output. Panics with the program's message if it failed.
    fn read_output(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{text}{complaints}");
        Self::read(&text)
    }

    /// Parses the output.
    pub(crate) fn read(text: &str) -> Self {
        let json: Value = serde_json::from_str(text).expect("one JSON object");
        let number = |value: &Value| value.as_f64().expect("a number");
        let count = |name: &str| json["timestamps"][name].as_u64().expect("a count");
        Self {
            offset: number(&json["offset_seconds"]),
            bounds: [number(&json["bounds_seconds"][0]), number(&json["bounds_seconds"][1])],
            requests: json["requests"].as_u64().expect("a count"),
            elapsed: number(&json["elapsed_seconds"]),
            timestamps: Timestamps {
                responses: count("responses"),
                sent_by_kernel: count("sent_by_kernel"),
                received_by_kernel: count("received_by_kernel"),
            },
        }
    }

    pub(crate) fn contains(&self, truth: f64) -> bool {
        (self.bounds[0]..=self.bounds[1]).contains(&truth)
    }
}

/// The kind of the error with which the program fails.
pub(crate) fn refused(url: &str, arguments: &[&str]) -> String {
    kind(&run(url, arguments))
}

/// As [`refused`], on a system as in [`Answer::query_tampered`].
pub(crate) fn refused_tampered(injection: &str, url: &str, arguments: &[&str]) -> String {
    kind(&run_tampered(injection, url, arguments))
}

fn kind(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let json: Value = serde_json::from_str(&text).expect("one JSON object");
    json["error"]["kind"].as_str().expect("a kind").to_owned()
}

fn run(url: &str, arguments: &[&str]) -> Output {
    finish(&mut Command::new(PROGRAM), url, arguments)
}

fn run_tampered(injection: &str, url: &str, arguments: &[&str]) -> Output {
    let mut strace = injecting("setsockopt", &format!("{injection}:when=2+2"));
    finish(&mut strace, url, arguments)
}

/// The program under strace, which tampers with these system calls.
fn injecting(calls: &str, injection: &str) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-o", "/dev/null", "-e", &format!("trace={calls}"), "-e"]);
    strace.arg(format!("inject={calls}:{injection}")).arg(PROGRAM);
    strace
}

fn finish(command: &mut Command, url: &str, arguments: &[&str]) -> Output {
    command
        .args(["query", "--json", url])
        .args(arguments)
        .env_remove("http_proxy")
        .output()
        .expect("the program starts")
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_httptime");
