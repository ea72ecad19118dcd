//! What a hostile server, path or environment can do to the program: docs/threat-model.md.

use std::process::Output;
use std::time::Duration;

use httptime::Offset;
use httptime_sim::StampTrap;
use httptime_testserver::{Behaviour, LoopbackProxy, LoopbackServer, Misbehave as _, ProxyOptions};

use super::stamps::{MICROS, stamped};
use super::{QUICK, json, program, query, server, text};

/// Without a `Server` field that is known, the `Date` may be late by two seconds, and does not
/// contradict the stamp.
#[test]
fn a_false_stamp_that_agrees_with_its_date_is_measured_as_a_true_one() {
    let ahead = StampTrap::Ahead(Offset::from_nanos(500_000_000));
    let server = stamped(MICROS.trapped(ahead));
    let measured = json(&query(&server.url(), &["--json"]));
    let bound = |index: usize| measured["bounds_seconds"][index].as_f64().expect("a bound");
    assert!(bound(0) > 38.5 && (bound(0)..=bound(1)).contains(&38.616), "{measured}");
    let measured = json(&query(&server.url(), &["--json", "--stamp-header", ""]));
    let bound = |index: usize| measured["bounds_seconds"][index].as_f64().expect("a bound");
    assert!((bound(0)..=bound(1)).contains(&38.116), "{measured}");
}

/// A delay moves the estimate by at most the round trip that it causes. The bounds are then as wide
/// as that, and so wider than the error.
#[test]
fn an_error_smaller_than_the_delay_on_the_path_is_not_corrected() {
    let delayed = |skew_ms: i64, before_ms: u64, after_ms: u64| {
        let ms = Duration::from_millis;
        LoopbackServer::builder()
            .skew(Offset::from_nanos(skew_ms * 1_000_000))
            .delays(ms(before_ms), ms(after_ms))
            .start()
            .expect("a loopback port")
    };
    for (skew_ms, before_ms, after_ms, action, code) in
        [(0, 1200, 0, "leave", 0), (0, 0, 1200, "leave", 0), (900, 600, 600, "refuse", 3)]
    {
        let server = delayed(skew_ms, before_ms, after_ms);
        let output = program()
            .args(["sync", "--dry-run", "--json", &server.url(), "--lag", "0.001"])
            .args(["--requests", "8", "--duration", "12", "--timeout", "3"])
            .output()
            .expect("the program starts");
        let object = json(&output);
        assert_eq!(object["decision"]["action"], action, "{before_ms}/{after_ms}: {object}");
        assert_eq!(output.status.code(), Some(code), "{object}");
    }
}

/// Text from a server is shown on terminals and in journals. It must not contain control
/// characters.
#[test]
fn only_printable_text_of_a_server_reaches_a_terminal() {
    // 9B is CSI on an eight-bit terminal, and so is C2 9B in UTF-8. 202E reverses the direction of
    // the rest of the line.
    let hostile = "Mon\u{9b}31m \u{202e}";
    for raw in [
        format!("HTTP/1.1 200 OK\r\nDate: {hostile}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nDate: {hostile}\r\nDate: \u{9b}2J\r\n\r\n"),
        "HTTP/1.1 200 \u{9b}2J\r\nServer: \x1b]0;owned\x07\r\n\r\n".into(),
        "\x1b]0;owned\x07\u{9b}2J".into(),
    ] {
        let liar = LoopbackServer::builder().behaviour(Behaviour::Raw(raw.clone().into()));
        let liar = liar.start().expect("a loopback port");
        for more in [&[][..], &["-v"], &["--json"]] {
            let output = query(&liar.url(), more);
            assert_eq!(output.status.code(), Some(1), "{raw:?}");
            let said = text(&output.stdout) + &text(&output.stderr);
            let unprintable = said.chars().find(|c| *c != '\n' && !(' '..='~').contains(c));
            assert_eq!(unprintable, None, "{raw:?}: {said:?}");
        }
    }
    let named = LoopbackServer::builder().server_header(Some("nginx\u{9b}31m".into()));
    let output = query(&named.start().expect("a loopback port").url(), &["--json"]);
    assert_eq!(json(&output)["servers"][0]["server"], "nginx");
}

/// The environment of a CGI program contains the client's header fields in capitals.
#[test]
fn a_proxy_in_capitals_is_a_header_of_some_client_and_not_believed() {
    let (honest, proxy) = (server(), LoopbackProxy::start(ProxyOptions::default()));
    let proxy = proxy.expect("a loopback port");
    let mut command = program();
    command.args(["query", &honest.url(), "--requests", "1"]).env("HTTP_PROXY", proxy.url());
    assert_eq!(command.output().expect("the program starts").status.code(), Some(0));
    assert_eq!((proxy.connections(), honest.requests()), (0, 1));
}

#[test]
fn the_proxys_password_is_in_no_output_and_no_log() {
    let (honest, secret) = (server(), "hunter2");
    for wanted in [secret, "another"] {
        let options = ProxyOptions::default().credentials("user", wanted);
        let proxy = LoopbackProxy::start(options).expect("a loopback port");
        let url = proxy.url().replace("http://", &format!("http://user:{secret}@"));
        let output = program()
            .args(["query", "-v", &honest.url()])
            .args(QUICK)
            .env("http_proxy", &url)
            .env("HTTPTIME_LOG", "trace")
            .output()
            .expect("the program starts");
        assert_eq!(output.status.code(), Some(i32::from(wanted != secret)), "{output:?}");
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(said.contains("TRACE") || said.contains("DEBUG"), "nothing is logged: {said}");
        assert!(!said.contains(secret) && !said.contains("dXNlcjpodW50ZXIy"), "{said}");
    }
}

#[test]
fn a_server_named_twice_is_exit_code_2() {
    let mut command = program();
    command.args(["query", "a.example", "b.example", "http://A.example:80/x"]);
    let output = command.output().expect("the program starts");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains("the command line names a.example:80 twice"), "{said}");
}

/// Proxies whose password is not percent-encoded, so that it ends at the wrong character.
const UNENCODED: [&str; 5] = [
    "http://user:hunter2/x@127.0.0.1:1",
    "http://user:12/hunter2@127.0.0.1:1",
    "user:x?hunter2@127.0.0.1:1",
    "http://user:x#hunter2@127.0.0.1:1",
    "user:hunter2://x@127.0.0.1:1",
];

fn assert_hidden(case: &str, output: &Output) -> String {
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{case}: {said}");
    assert!(!said.contains("hunter2"), "{case}: {said}");
    said
}

#[test]
fn a_password_that_is_not_percent_encoded_is_not_shown() {
    for proxy in UNENCODED {
        for more in [&[][..], &["--json"]] {
            let mut command = program();
            command.args(["query", "http://127.0.0.1:1/", "-x", proxy]).args(more);
            let said = assert_hidden(proxy, &command.output().expect("the program starts"));
            if !proxy.contains("2://") {
                assert!(said.contains("percent-encode"), "{said}");
            }
            let mut command = program();
            command.args(["query", "http://127.0.0.1:1/"]).args(more);
            command.env("http_proxy", proxy).env("HTTPTIME_LOG", "trace");
            assert_hidden(proxy, &command.output().expect("the program starts"));
            let mut command = program();
            command.args(["query", proxy]).args(more);
            assert_hidden(proxy, &command.output().expect("the program starts"));
        }
    }
}

#[test]
fn a_command_line_that_cannot_be_read_is_quoted_without_a_password() {
    for url in UNENCODED.into_iter().chain(["http://user:hunter2@127.0.0.1:1", "--x:hunter2@host"])
    {
        let joined = |option: &str| format!("{option}{url}");
        for arguments in [
            vec![url.to_owned()],
            vec!["run".into(), url.into()],
            vec!["run".into(), joined("--check=")],
            vec!["query".into(), "a".into(), "--lag".into(), url.into()],
            vec!["query".into(), "a".into(), joined("--lag=")],
            vec!["query".into(), "a".into(), joined("-n")],
            vec!["query".into(), "a".into(), "--profile".into(), url.into()],
            vec!["query".into(), "a".into(), joined("--prxy=")],
            vec!["query".into(), "a".into(), joined("--json=")],
            vec!["query".into(), "a".into(), joined("-X")],
            vec!["query".into(), "a".into(), joined("--")],
            vec!["query".into(), joined("--proxy="), joined("--proxy=")],
            vec!["sync".into(), "a".into(), joined("--step-threshold="), "--slew-only".into()],
            vec!["demo".into(), url.into()],
            vec!["demo".into(), "--skew".into(), url.into()],
        ] {
            let output = program().args(&arguments).output().expect("the program starts");
            assert_hidden(&format!("{arguments:?}"), &output);
        }
    }
}

#[test]
fn a_configuration_that_cannot_be_read_is_quoted_without_a_password() {
    for (name, line) in [
        ("url", "proxy = 'http://user:hunter2/x@127.0.0.1:1'"),
        ("server", "servers = ['http://user:hunter2/x@127.0.0.1:1']"),
        ("list", "proxy = ['http://user:hunter2@127.0.0.1:1']"),
        ("open", "proxy = 'http://user:hunter2@127.0.0.1:1"),
        ("bare", "proxy = http://user:hunter2@127.0.0.1:1"),
        ("twice", "proxy = 'http://a'\nproxy = 'http://user:hunter2@127.0.0.1:1'"),
        ("bool", "tunnel = 'http://user:hunter2@127.0.0.1:1'"),
        ("mode", "mode = 'http://user:hunter2@127.0.0.1:1'"),
        ("profile", "[measure]\nprofile = 'http://user:hunter2@127.0.0.1:1'"),
        ("seconds", "[measure]\nlag = 'http://user:hunter2@127.0.0.1:1'"),
        ("key", "'http://user:hunter2@127.0.0.1:1' = 1"),
        ("key-like", "proxi = 'http://user:hunter2@127.0.0.1:1'"),
        ("table", "proxy.x = 'http://user:hunter2@127.0.0.1:1'"),
        ("lines", "tunnel = \"\"\"http://user:hunter2\nx@127.0.0.1:1\"\"\""),
        ("open-lines", "proxy = \"\"\"http://user:hunter2\nx@127.0.0.1:1"),
        ("escape", "proxy = \"http://user:hunter2\\d@127.0.0.1:1\""),
        ("end", "proxy = 'http://user:hunter2@127.0.0.1:1' x"),
        ("control", "proxy = 'http://user:hunter2\u{1}@127.0.0.1:1'"),
    ] {
        let servers = if name == "server" { "" } else { "servers = ['a']\n" };
        let path =
            std::env::temp_dir().join(format!("httptime-{}-{name}.toml", std::process::id()));
        std::fs::write(&path, format!("{servers}{line}\n")).expect("a temporary file");
        let output = program().args(["run", "--check", "--config"]).arg(&path).output();
        std::fs::remove_file(&path).expect("it is there");
        assert_hidden(name, &output.expect("the program starts"));
    }
}
