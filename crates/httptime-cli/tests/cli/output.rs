//! Standard streams that are closed, full or of the wrong kind.

use std::fs::{self, File};
use std::process::Stdio;
use std::time::{Duration, Instant};

use httptime_testserver::{Behaviour, LoopbackServer, Misbehave as _, RefusedPort};

use super::{QUICK, prepared, program, server, text};

#[test]
fn output_that_cannot_be_written_is_exit_code_1_and_said_once() {
    let server = server();
    let url = server.url();
    let quick = |command: &[&'static str]| {
        let mut arguments: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
        arguments.extend(QUICK.iter().map(|&word| word.to_owned()));
        arguments.push(url.clone());
        arguments
    };
    let mut cases: Vec<(Vec<String>, i32)> = vec![
        (quick(&["query"]), 1),
        (quick(&["query", "-v", "--json"]), 1),
        (quick(&["sync", "--dry-run"]), 1),
        (quick(&["sync", "--dry-run", "--json", "--max-forward", "1"]), 3),
        (vec!["demo".into(), "--requests".into(), "2".into()], 1),
    ];
    cases.extend(["--help", "--version", "help"].map(|word| (vec![word.to_owned()], 1)));
    for (arguments, code) in cases {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        for (stream, reason) in
            [(">/dev/full", "no space left on device"), ("1</dev/null", "bad file descriptor")]
        {
            // clap writes through Rust's own stdout, which ignores this error.
            if arguments.len() == 1 && stream == "1</dev/null" {
                continue;
            }
            let output =
                prepared(&format!("httptime {stream}"), &arguments).output().expect("a shell");
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{arguments:?} {stream}: {said}");
            let complaint = format!("httptime: cannot write to standard output: {reason}");
            assert_eq!(said.matches(&complaint).count(), 1, "{arguments:?} {stream}: {said}");
        }
    }
}

#[test]
fn a_standard_stream_that_is_closed_is_nobody_s_connection() {
    for closed in ["<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- 2>&-", "<&- >&- 2>&-"] {
        // The server never responds, so the program is still running when its descriptors are
        // inspected.
        let silent =
            LoopbackServer::builder().behaviour(Behaviour::Silent).start().expect("a port");
        let url = silent.url();
        let mut child =
            prepared(&format!("httptime {closed}"), &["query", &url, "-v", "--timeout", "60"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("a shell");
        let deadline = Instant::now() + Duration::from_secs(10);
        while silent.connections() == 0 {
            assert!(Instant::now() < deadline, "{closed}: it never connected");
            std::thread::sleep(Duration::from_millis(2));
        }
        let streams = [0, 1, 2].map(|number| {
            let link = fs::read_link(format!("/proc/{}/fd/{number}", child.id()));
            link.unwrap_or_else(|error| panic!("{closed}: {number}: {error}"))
        });
        child.kill().and_then(|()| child.wait()).expect("it runs");
        assert!(streams.iter().all(|to| to.ends_with("dev/null")), "{closed}: {streams:?}");
    }
}

#[test]
fn without_any_standard_stream_it_measures_and_reports_by_its_exit_code() {
    let server = server();
    let silent = LoopbackServer::builder().behaviour(Behaviour::Silent).start().expect("a port");
    for (url, code) in [(server.url(), 0), (silent.url(), 1)] {
        let arguments = [&["query", &url, "-v"], QUICK].concat();
        let status = prepared("httptime <&- >&- 2>&-", &arguments).status().expect("a shell");
        assert_eq!(status.code(), Some(code), "{url}");
    }
}

#[test]
fn complaints_that_cannot_be_written_change_nothing() {
    let server = server();
    let refused = RefusedPort::reserve().expect("a port");
    let refused = format!("http://{}/", refused.address());
    for (url, code) in [(server.url(), 0), (refused, 1)] {
        let mut command = program();
        command.args(["query", &url, "-v"]).args(QUICK).env("HTTPTIME_LOG", "trace");
        command.stderr(File::options().write(true).open("/dev/full").expect("a device"));
        let output = command.output().expect("the program starts");
        assert_eq!(output.status.code(), Some(code), "{url}");
        assert_eq!(output.stdout.is_empty(), code != 0, "{output:?}");
    }
}
