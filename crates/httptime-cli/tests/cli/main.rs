//! The program as a user sees it: output, exit codes, signals, the environment.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use httptime::Offset;
use httptime_testserver::{Behaviour, LoopbackServer, Misbehave as _, RefusedPort};
use serde_json::Value;

mod attacks;
#[cfg(target_os = "linux")]
mod doctor;
// The system's words for its errors are in the table, too.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod errors;
#[cfg(feature = "https")]
mod https;
mod output;
mod proxies;
mod run;
mod shipped;
mod stamps;
mod survey;
mod wrong_inputs;

const SKEW: Offset = Offset::from_nanos(38_116_000_000);
const QUICK: &[&str] = &["--requests", "4", "--duration", "3", "--timeout", "1"];

const PROGRAM: &str = env!("CARGO_BIN_EXE_httptime");

fn program() -> Command {
    without_proxies(Command::new(PROGRAM))
}

/// Starts the program from a shell that first runs `prepared`.
fn prepared(prepared: &str, arguments: &[&str]) -> Command {
    let mut shell = without_proxies(Command::new("sh"));
    shell
        .args(["-c", &prepared.replace("httptime", "exec \"$0\" \"$@\""), PROGRAM])
        .args(arguments);
    shell
}

fn without_proxies(mut command: Command) -> Command {
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
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
    // Progress is shown on terminals only.
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
    assert!(said.contains("assumed lag ≤ 2.02 s (unknown software), drift ≤ 300 ppm"), "{said}");
    assert!(
        said.contains("4 responses to HEAD, HTTP status 200; none of the requests was a check; "),
        "{said}"
    );
}

#[test]
fn verbose_lines_fit_a_narrow_terminal_and_keep_the_drawing() {
    let (one, two) = (server(), server());
    for urls in [&[one.url()][..], &[one.url(), two.url()]] {
        let mut command = program();
        command.arg("query").args(urls).args(QUICK).arg("-v").env("COLUMNS", "60");
        let output = command.output().expect("the program starts");
        let drawn = text(&output.stderr);
        assert!(drawn.lines().count() >= 4, "{drawn}");
        for line in drawn.lines() {
            assert!(line.chars().count() <= 60 && (urls.len() > 1 || line.contains('#')), "{line}");
        }
    }
}

#[test]
fn the_method_is_an_option_and_named_with_the_result() {
    let dateless = || {
        let (head, other) = (Box::new(Behaviour::NoDate), Box::new(Behaviour::Normal));
        let behaviour = Behaviour::ByMethod { head, other };
        LoopbackServer::builder().skew(SKEW).behaviour(behaviour).start().expect("a port")
    };
    let server = dateless();
    let output = query(&server.url(), &["-v"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).contains("3 responses to GET, HTTP status 200;"), "{output:?}");
    let said = text(&output.stderr);
    assert!(
        said.starts_with("the response (status 200) has no Date header, trying the method get\n"),
        "{said}"
    );
    let said = json(&query(&server.url(), &["--json"]));
    assert_eq!((&said["method"], &said["servers"][0]["method"]), (&"get".into(), &"get".into()));
    let output = query(&server.url(), &["--json", "--method", "head"]);
    assert_eq!(
        (output.status.code(), &json(&output)["error"]["kind"]),
        (Some(1), &"no_date".into())
    );
    let said = json(&query(&self::server().url(), &["--json"]));
    assert_eq!(said["method"], "head");
    let output = query(&server.url(), &["--json", "--method", "options"]);
    assert_eq!(json(&output)["method"], "options");
    assert!(server.last_request().is_some_and(|asked| asked.starts_with("OPTIONS * HTTP/1.1\r\n")));
    let output = program().args(["demo", "--json", "--method", "get", "-n", "2"]).output();
    assert_eq!(json(&output.expect("the program starts"))["method"], "get");
    assert_eq!(query(&server.url(), &["--method", "POST"]).status.code(), Some(2));
}

#[test]
fn the_user_agent_is_an_option() {
    let server = server();
    for (more, sent) in [
        (&["-A", "curl/8.5.0"][..], Some("User-Agent: curl/8.5.0\r\n")),
        (&["--user-agent", ""], None),
        (&[], Some("User-Agent: httptime/")),
    ] {
        assert_eq!(query(&server.url(), more).status.code(), Some(0), "{more:?}");
        let asked = server.last_request().expect("it was asked");
        match sent {
            Some(sent) => assert!(asked.contains(sent), "{more:?}: {asked}"),
            None => assert!(!asked.contains("User-Agent"), "{more:?}: {asked}"),
        }
    }
    let refused = query(&server.url(), &["-A", "caf\u{e9}"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("--user-agent has a character"), "{refused:?}");
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
    assert_eq!(json["assumptions"]["lag_seconds"], 2.02);
    assert_eq!(json["assumptions"]["drift_ppm"], 300);
    assert_eq!(json["assumptions"]["min_servers"], 1);
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
        &["query", "https://a/", "--cacert", "/nowhere.pem"],
        &["query", "https://a/", "--pin", "sha256//x"],
        &["query", "https://a/", "--floor", "soon"],
        &["sync", "https://a/", "-k"],
        &["query", "http://a/", "--requests", "0"],
        &["query", "http://a/", "--duration", "-1"],
        &["query", "http://a/", "--estimator", "magic"],
        &["query", "http://a/", "-4", "-6"],
        &["query", "http://a/", "--min-servers", "0"],
        &["query", "http://a/", "--min-servers", "2"],
        &["query", "http://a/", "--source-address", "b"],
        &["query", "http://a/", "--proxy", "socks4://b/"],
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
fn of_two_servers_both_must_answer_unless_fewer_are_enough() {
    let (alive, dead) = (server(), RefusedPort::reserve().expect("a port"));
    let dead = format!("http://{}/", dead.address());
    let strict = query(&alive.url(), &[&dead, "--json"]);
    assert_eq!(strict.status.code(), Some(1), "{strict:?}");
    assert_eq!(json(&strict)["error"]["kind"], "no_majority");
    let plain = query(&alive.url(), &[&dead]);
    assert_eq!((plain.status.code(), text(&plain.stdout)), (Some(1), String::new()));
    let said = text(&plain.stderr);
    assert!(said.contains(&format!("{}: measured, but in no majority", alive.url())), "{said}");
    assert!(said.contains("min_servers is 2; --min-servers 1 accepts what these say"), "{said}");
    let lenient = query(&alive.url(), &[&dead, "--min-servers", "1", "--json"]);
    assert_eq!(lenient.status.code(), Some(0), "{lenient:?}");
    assert_eq!(json(&lenient)["assumptions"]["min_servers"], 1);
    let plain = query(&alive.url(), &[&dead, "--min-servers", "1"]);
    let said = text(&plain.stdout);
    assert!(said.ends_with("; 1 of 2 servers agrees, min_servers is 1\n"), "{said}");
}

#[test]
fn of_three_servers_one_may_be_dead() {
    let (one, two) = (server(), server());
    let dead = RefusedPort::reserve().expect("a port");
    let dead = format!("http://{}/", dead.address());
    let output = query(&one.url(), &[&dead, &two.url(), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(json(&output)["assumptions"]["min_servers"], 2);
    let all = query(&one.url(), &[&dead, &two.url(), "--min-servers", "3"]);
    assert_eq!(all.status.code(), Some(1), "{all:?}");
}

#[test]
fn source_address_and_interface_are_those_of_every_connection() {
    let server = server();
    let ask = |more: &[&str]| {
        let output = query(&server.url(), &[more, &["--json"]].concat());
        let object = json(&output);
        let message = object["error"]["message"].as_str().unwrap_or_default().to_owned();
        (output.status.code(), message)
    };
    assert_eq!(ask(&["--source-address", "127.0.0.2"]), (Some(0), String::new()));
    let (code, message) = ask(&["--source-address", "192.0.2.1"]);
    assert!(code == Some(1) && message.contains("assign requested address"), "{message}");
    let (code, message) = ask(&["--interface", "no-such"]);
    assert!(code == Some(1) && message.contains("no such device"), "{message}");
}

#[test]
fn verbose_numbers_the_answers_of_each_server_without_a_gap() {
    let (one, two) = (server(), server());
    // This profile sends several requests at once.
    let mut command = program();
    command.args(["query", &one.url(), &two.url(), "-v", "--profile", "fast", "-n", "24"]);
    let output = command.output().expect("the program starts");
    let (said, drawn) = (text(&output.stdout), text(&output.stderr));
    assert!(said.contains(" of the requests were checks; kernel timestamps of "), "{said}");
    for server in ["server 1 answer ", "server 2 answer "] {
        let numbers: Vec<u32> = drawn
            .lines()
            .filter_map(|line| line.strip_prefix(server)?.split_whitespace().next()?.parse().ok())
            .collect();
        let last = u32::try_from(numbers.len()).expect("few");
        assert!(last > 4, "{drawn}");
        assert_eq!(numbers, (1..=last).collect::<Vec<_>>(), "{drawn}");
    }
}

#[test]
fn verbose_names_a_server_that_is_given_up() {
    let options = [QUICK, &["-v", "--min-servers", "1"]].concat();
    let silent = LoopbackServer::builder().behaviour(Behaviour::Silent).start().expect("a port");
    let honest = server();
    let mut command = program();
    command.args(["query", &honest.url(), &silent.url()]).args(options);
    let output = command.output().expect("the program starts");
    let said = text(&output.stderr);
    let line = said.lines().find(|line| line.starts_with("server 2: timed out after 1 s "));
    assert!(line.is_some_and(|line| line.ends_with("; given up")), "{said}");
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
    // The measurement is running once its request has arrived.
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
    // The "proxy" is an origin server with a different time, so its response shows which server
    // received the request.
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
    assert!(ask("10.0.0.0/8,127.0.0.0/8", &[]) < 1.5);
    let port = far.address().port();
    assert!(ask(&format!("127.0.0.1:{port}"), &[]) < 1.5);
    assert!(ask("127.0.0.1:80", &[]) > 30.0);
    assert!(ask("", &["--proxy", ""]) < 1.5);
}

#[test]
fn a_failure_names_the_proxy_that_was_asked_without_its_password() {
    let dead = RefusedPort::reserve().expect("a port").address();
    let mut command = program();
    command.args(["query", "http://192.0.2.1/"]).args(QUICK);
    command.env("http_proxy", format!("http://user:hunter2@{dead}"));
    let output = command.output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = text(&output.stderr);
    let blamed = format!(
        "http://192.0.2.1/: proxy http://{dead}/ (from environment variable http_proxy) failed: \
         cannot connect to {dead}: "
    );
    assert!(said.contains(&blamed), "{said}");
    assert!(said.contains("--proxy \"\" connects directly"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
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
fn with_too_few_descriptors_it_names_that_or_measures_all_the_same() {
    let (server, other) = (server(), server());
    let (url, other) = (server.url(), other.url());
    let refused = RefusedPort::reserve().expect("a port").address().port();
    let named = format!("http://localhost:{refused}/");
    let cases: [&[&str]; 3] = [&[&url], &[&named], &[&url, &other]];
    let (mut measured, mut exhausted) = (0, 0);
    // With fewer descriptors the system cannot load the program.
    for limit in 4..7 {
        for command in [&["query"][..], &["sync", "--dry-run"]] {
            for urls in cases {
                let arguments = [command, urls, &["--json"], QUICK].concat();
                let script = format!("ulimit -n {limit}; httptime");
                let output = prepared(&script, &arguments).output().expect("a shell");
                let complaints = text(&output.stderr);
                assert!(!complaints.contains("panicked"), "{limit}: {complaints}");
                let object = json(&output);
                let survey = if command.len() == 1 { &object } else { &object["before"] };
                exhausted += usize::from(survey.to_string().contains("too many open files"));
                match (output.status.code(), survey["error"]["kind"].as_str()) {
                    (Some(0), None) => measured += 1,
                    (
                        Some(1),
                        Some("connect" | "connection_refused" | "resolve" | "no_majority"),
                    ) => {}
                    other => panic!("{limit}: {other:?}: {object} {complaints}"),
                }
            }
        }
    }
    // Two servers need a connection each. Four descriptors are one too few for that.
    assert!(measured > 0 && exhausted > 0, "{measured} measured, {exhausted} out of descriptors");
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

/// Exit code and stderr of `httptime run --check` with this configuration.
fn checked(name: &str, configuration: &str) -> (Option<i32>, String) {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.toml"));
    fs::write(&file, configuration).expect("a file");
    let output = check(&file);
    fs::remove_file(&file).expect("it was there");
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code(), text(&output.stderr))
}

fn check(file: &Path) -> Output {
    let mut command = program();
    command.args(["run", "--check", "--config"]).arg(file).output().expect("the program starts")
}

/// A file of the repository that is installed beside the program.
fn installed(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_example_configuration_can_be_used_as_it_is_and_with_all_it_shows() {
    let example = installed("dist/httptime.toml");
    assert_eq!(checked("example", &example), (Some(0), String::new()));
    let shown: Vec<&str> = example.lines().map(|line| uncommented(line).unwrap_or(line)).collect();
    assert_ne!(shown.join("\n"), example.trim_end(), "nothing is commented out");
    let mut shown = shown.join("\n");
    // A check wants the directories to be there.
    for directory in [
        "/var/lib/prometheus/node-exporter",
        "/var/lib/httptime",
        "/run/httptime",
        "/var/log/httptime",
    ] {
        assert!(shown.contains(directory), "{directory}: {shown}");
        shown = shown.replace(directory, &std::env::temp_dir().display().to_string());
    }
    // The settings of the section https need https servers.
    let shown = shown.replace(
        "http://192.0.2.1/\", \"http://192.0.2.2/\", \"http://192.0.2.3/",
        "https://192.0.2.1/\", \"https://192.0.2.2/\", \"https://192.0.2.3/",
    );
    assert_eq!(checked("example-whole", &shown), (Some(0), String::new()));
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let (code, said) = checked("unknown", "servers = ['a']\n[policy]\nmax_foreward = 1\n");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("unknown.toml: line 3: "), "{said}");
    assert!(said.contains("unknown key 'max_foreward', expected one of "), "{said}");
}

#[test]
fn a_configuration_that_is_missing_or_names_no_server_is_exit_code_2() {
    let missing = check(Path::new("/nonexistent/httptime.toml"));
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("/nonexistent/httptime.toml"), "{missing:?}");
    let (code, said) = checked("empty", "servers = []\n");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("servers"), "{said}");
}

#[test]
fn the_manual_has_every_key_of_the_parser_and_of_the_example_and_no_other() {
    let documented = documented_keys(&installed("man/httptime.toml.5"));
    for section in ["", "measure", "poll", "policy", "chrony", "https"] {
        let header = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
        let (_, said) = checked("keys", &format!("servers = ['a']\n{header}no_such_key = 1\n"));
        let (_, expected) = said.split_once("expected one of ").expect("what the parser takes");
        let of_section = |(in_section, _): &&(String, String)| in_section == section;
        let mut keys: BTreeSet<&str> =
            documented.iter().filter(of_section).map(|(_, key)| key.as_str()).collect();
        if section.is_empty() {
            keys.extend(documented.iter().map(|(section, _)| section.as_str()));
            keys.remove("");
        }
        let accepted: BTreeSet<&str> =
            expected.split(", ").map(|key| key.trim().trim_matches('\'')).collect();
        assert_eq!(keys, accepted, "[{section}]");
    }
    let mut section = String::new();
    for line in installed("dist/httptime.toml").lines() {
        let line = uncommented(line).unwrap_or(line);
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            assert!(documented.contains(&(section.clone(), key.to_owned())), "[{section}] {key}");
        }
    }
}

/// The long options in the `--help` of a command.
fn options(command: &str) -> BTreeSet<String> {
    let output = program().args([command, "--help"]).output().expect("the program starts");
    let help = text(&output.stdout);
    let mut options = BTreeSet::new();
    for line in help.lines().map(str::trim_start).filter(|line| line.starts_with('-')) {
        let long = line.split([' ', ',', '=']).find_map(|word| word.strip_prefix("--"));
        options.extend(long.map(str::to_owned));
    }
    assert!(options.contains("help"), "{help}");
    options
}

#[test]
fn a_failed_measurement_is_repeated_as_often_and_as_long_as_allowed() {
    let port = RefusedPort::reserve().expect("a port");
    let (address, again) = (port.address(), "; trying again in 0.6 s");
    let url = format!("http://{address}/");
    for more in [&[][..], &["--retry", "9", "--retry-max-time", "0"]] {
        let output = query(&url, more);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(!text(&output.stderr).contains(again), "{output:?}");
    }
    let output = query(&url, &["--retry", "1"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(text(&output.stderr).matches("trying again").count(), 1, "{output:?}");
    let mut process = program();
    let process = process.args(["query", &url, "--retry", "9"]).args(QUICK);
    let mut process =
        process.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut said = String::new();
    let mut stderr = BufReader::new(process.stderr.take().expect("a pipe"));
    stderr.read_line(&mut said).expect("text");
    assert!(said.trim_end().ends_with(again), "{said}");
    drop(port);
    let server = LoopbackServer::builder().skew(SKEW).port(address.port());
    let _server = server.start().expect("the port is free now");
    let output = process.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn the_configuration_has_each_option_of_query_by_its_name() {
    let mut keys: BTreeSet<String> = documented_keys(&installed("man/httptime.toml.5"))
        .into_iter()
        .map(|(_, key)| key.replace('_', "-"))
        .collect();
    // Settings that exist only on the command line, or have another name there.
    keys.extend(["json", "verbose", "help", "ipv4", "ipv6", "proxytunnel"].map(str::to_owned));
    // The daemon repeats by itself.
    keys.extend(["retry", "retry-max-time"].map(str::to_owned));
    let missing: Vec<_> = options("query").difference(&keys).cloned().collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn the_manual_has_each_option_of_help_and_no_other() {
    let manual = installed("man/httptime.1").replace('\\', "");
    let described: BTreeSet<String> = manual
        .lines()
        .filter(|line| line.starts_with(".B"))
        .flat_map(|line| line.split([' ', '"', ',']))
        .filter_map(|word| word.strip_prefix("--").map(str::to_owned))
        .collect();
    let mut listed: BTreeSet<String> =
        ["query", "sync", "run", "status", "wait", "doctor", "survey", "demo"]
            .into_iter()
            .flat_map(options)
            .collect();
    listed.insert("version".into());
    assert_eq!(listed, described);
}

#[test]
fn help_texts_have_no_markup_and_the_short_one_is_shorter() {
    for command in ["query", "sync", "run", "status", "wait", "doctor", "demo"] {
        let text = |option| {
            let output = program().args([command, option]).output().expect("the program starts");
            String::from_utf8(output.stdout).expect("UTF-8")
        };
        let (short, long) = (text("-h"), text("--help"));
        assert!(!long.contains('`') && !short.contains('`'), "{command}: {long}");
        assert!(short.lines().count() < long.lines().count(), "{command}: {short}");
    }
}

/// The setting in a comment.
fn uncommented(line: &str) -> Option<&str> {
    let setting = line.strip_prefix("# ")?;
    let (key, _) = setting.split_once(" = ")?;
    key.chars().all(|c| c.is_ascii_lowercase() || c == '_').then_some(setting)
}

/// Section and name of each key that a manual page in this format describes.
fn documented_keys(page: &str) -> BTreeSet<(String, String)> {
    let mut section = String::new();
    let mut keys = BTreeSet::new();
    for line in page.lines() {
        if let Some(name) = line.strip_prefix(".SS ") {
            section = name.strip_prefix('[').map_or("", |name| name.trim_end_matches(']')).into();
        } else if let Some(setting) = line.strip_prefix(".BR ") {
            if let Some((key, _)) = setting.split_once(" \" = ") {
                keys.insert((section.clone(), key.to_owned()));
            }
        }
    }
    keys
}

#[test]
fn a_dry_run_of_sync_says_what_would_be_done() {
    let server = server();
    let run = |more: &[&str]| {
        let mut command = program();
        command.args(["sync", "--dry-run", &server.url()]).args(QUICK).args(more);
        command.output().expect("the program starts")
    };
    let machine = run(&["--json"]);
    assert_eq!(machine.status.code(), Some(0), "{machine:?}");
    let object = json(&machine);
    assert_eq!((&object["schema"], &object["dry_run"]), (&1.into(), &true.into()), "{object}");
    assert_eq!(object["decision"]["action"], "step", "{object}");
    let by = object["decision"]["by_seconds"].as_f64().expect("a number");
    assert_eq!(object["before"]["offset_seconds"].as_f64(), Some(by), "{object}");
    assert!((by - 38.116).abs() < 1.5, "{object}");
    assert!(object["error"].is_null() && object["after"].is_null(), "{object}");
    let plain = run(&["--slew-only"]);
    let said = text(&plain.stdout);
    assert!(said.starts_with("before: local clock is slow by 3"), "{said}");
    assert!(said.contains("\ndecision: slew by +3"), "{said}");
    assert!(said.ends_with(" (dry run, nothing is changed)\n"), "{said}");
}

#[test]
fn a_date_that_was_not_seen_to_advance_corrects_no_clock_and_query_reports_it() {
    let server = server();
    let run = |command: &[&str], requests: &str, more: &[&str]| {
        let mut program = program();
        program.args(command).args([&server.url(), "--requests", requests]).args(more);
        program.output().expect("the program starts")
    };
    let reason = "the server's Date was not seen to advance";
    let plain = run(&["query"], "1", &[]);
    let said = text(&plain.stdout);
    assert_eq!((plain.status.code(), said.lines().count()), (Some(0), 2), "{said}");
    assert!(said.contains(&format!("\ndo not correct a clock by this: {reason}")), "{said}");
    assert_eq!(json(&run(&["query"], "1", &["--json"]))["date_advanced"], false);
    let refused = run(&["sync", "--dry-run"], "1", &[]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert!(text(&refused.stderr).starts_with(&format!("httptime: refused: {reason}")));
    // The second request waits for the next second.
    assert_eq!(json(&run(&["query"], "2", &["--json"]))["date_advanced"], true);
    assert_eq!(run(&["sync", "--dry-run"], "2", &[]).status.code(), Some(0));
}

/// A server that refuses the connection: the clock is not changed.
#[test]
fn a_sync_that_fails_writes_that_into_its_metrics_and_keeps_the_time_of_the_last_success() {
    let file = format!("httptime-sync-{}.prom", std::process::id());
    let path = std::env::temp_dir().join(file);
    fs::write(&path, "httptime_last_success_timestamp_seconds 1790000000.000000000\n")
        .expect("a file");
    let refused = RefusedPort::reserve().expect("a port");
    let sync = |more: &[&str]| {
        let mut command = program();
        command.args(["sync", &format!("http://{}/", refused.address()), "--textfile"]).arg(&path);
        command.args(QUICK).args(more).output().expect("the program starts")
    };
    assert_eq!(sync(&["--dry-run"]).status.code(), Some(1));
    let before = fs::read_to_string(&path).expect("a file");
    assert_eq!(before.lines().count(), 1, "a dry run changes nothing: {before}");
    assert_eq!(sync(&[]).status.code(), Some(1));
    let metrics = fs::read_to_string(&path).expect("a file");
    fs::remove_file(&path).expect("it was there");
    for line in [
        "httptime_last_success_timestamp_seconds 1790000000.000000000",
        "httptime_sync_exit_status 1",
        "httptime_servers 1",
        "httptime_servers_answered 0",
        "httptime_quorum 0",
        "httptime_failures_in_a_row 1",
    ] {
        assert!(metrics.contains(&format!("\n{line}\n")), "{line}: {metrics}");
    }
    assert!(!metrics.contains("_total"), "{metrics}");
    let other =
        program().args(["sync", "http://127.0.0.1:9/", "--textfile", "/tmp/x.txt"]).output();
    let other = other.expect("the program starts");
    assert_eq!(other.status.code(), Some(2));
    assert!(text(&other.stderr).contains("a name that ends in .prom"), "{other:?}");
}

#[test]
fn what_sync_refuses_is_exit_code_3_and_named() {
    // Ahead: two hours behind can be before the day of the build, which is refused first.
    let ahead = Offset::from_nanos(7_200_000_000_000);
    let server = LoopbackServer::builder().skew(ahead).start().expect("a loopback port");
    let run = |max_forward: &str, more: &[&str]| {
        let mut command = program();
        command.args(["sync", "--dry-run", &server.url(), "--max-forward", max_forward]);
        command.args(QUICK).args(more);
        command.output().expect("the program starts")
    };
    let machine = run("1800", &["--json"]);
    assert_eq!(machine.status.code(), Some(3), "{machine:?}");
    let object = json(&machine);
    assert_eq!(object["decision"]["action"], "refuse", "{object}");
    let reason = object["decision"]["reason"].as_str().expect("a reason");
    assert_eq!(
        reason,
        "would set the clock forward 7200 s; --max-forward is 1800 s; one server alone may not \
         exceed it: name three independent servers, or set --trust-single"
    );
    let plain = run("1800", &[]);
    assert_eq!(plain.status.code(), Some(3), "{plain:?}");
    assert!(
        text(&plain.stderr).starts_with("httptime: refused: would set the clock forward 7"),
        "{plain:?}"
    );
    assert_eq!(run("7300", &[]).status.code(), Some(0));
    assert_eq!(run("1800", &["--trust-single"]).status.code(), Some(0));
}

/// Two servers at one address could be one machine, which would have two votes of three.
#[test]
fn servers_at_one_address_count_as_one_beyond_the_limits() {
    let server = |ipv6: bool| {
        let builder = LoopbackServer::builder().skew(Offset::from_nanos(7_200_000_000_000));
        builder.ipv6(ipv6).start().expect("a loopback port")
    };
    let servers = [server(false), server(false), server(true)];
    let run = |more: &[&str]| {
        let mut command = program();
        command.args(["sync", "--dry-run", "--max-forward", "1800"]).args(QUICK).args(more);
        command.args(servers.iter().map(LoopbackServer::url));
        command.output().expect("the program starts")
    };
    let refused = run(&[]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let said = text(&refused.stderr);
    assert!(
        said.contains(
            "; --max-forward is 1800 s; the 3 servers share addresses or a proxy and count as 2; \
             name three independent servers, or set --trust-single"
        ),
        "{said}"
    );
    assert_eq!(run(&["--quorum", "2"]).status.code(), Some(0));
    for (quorum, said) in [
        ("1", "--quorum is 1; allowed: 2 or more"),
        ("4", "--quorum is 4; allowed: 2 to the number of servers, which is 3"),
    ] {
        let wrong = run(&["--quorum", quorum]);
        assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
        assert!(text(&wrong.stderr).contains(said), "{wrong:?}");
    }
}
