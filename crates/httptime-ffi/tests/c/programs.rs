use std::path::Path;
#[cfg(feature = "system-tests")]
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use httptime::Offset;
use httptime_sim::{SimStamp, StampDigits, StampTrap};
#[cfg(feature = "https")]
use httptime_testserver::tls::{Authority, PemFile, TlsFront, Version, server_config};
use httptime_testserver::{Behaviour, BlackHole, LoopbackServer, Misbehave as _};
#[cfg(feature = "system-tests")]
use httptime_testserver::{LoopbackProxy, ProxyOptions};

use crate::toolchain::{Linking, compile, run, without_the_clock};

const SKEW: Offset = Offset::from_nanos(38_116_000_000);

/// Runs the suite against its own servers. Cancellation may take `limit`.
fn suite(launch: impl Fn(&Path) -> Command, program: &Path, limit: Duration) {
    let server = LoopbackServer::builder().skew(SKEW).start().expect("a loopback port");
    let silent = LoopbackServer::builder().behaviour(Behaviour::Silent).start().expect("a port");
    let hole = BlackHole::start().expect("a listener");
    let stamped = |stamp| LoopbackServer::builder().skew(SKEW).stamp(stamp).start();
    let micros = SimStamp::integer(StampDigits::Micros).prefixed().with_duration();
    let cached = StampTrap::Cached(Duration::from_secs(3600));
    let frozen = stamped(micros.trapped(cached)).expect("a loopback port");
    let stamped = stamped(micros).expect("a loopback port");
    let said = run(launch(program)
        .arg(server.url())
        .arg(silent.url())
        .arg(format!("http://{}/", hole.address()))
        .arg(limit.as_millis().to_string())
        .arg(stamped.url())
        .arg(frozen.url()));
    println!("{said}");
    assert!(said.ends_with("0 failures\n"), "{said}");
    assert!(!said.contains("panicked"), "the library printed: {said}");
}

const HOOKS: &[&str] = &["-std=c17", "-DHAVE_TEST_HOOKS"];
const CANCELLED_WITHIN: Duration = Duration::from_millis(100);

#[test]
fn the_suite_passes_with_the_shared_library() {
    let program = compile("suite.c", "suite-shared", Linking::Shared, HOOKS);
    suite(without_the_clock, &program, CANCELLED_WITHIN);
}

#[test]
fn the_suite_passes_with_the_static_library() {
    let program = compile("suite.c", "suite-static", Linking::Static, HOOKS);
    suite(without_the_clock, &program, CANCELLED_WITHIN);
}

/// Three servers 38.116 s ahead: one announces that it closes each connection, one closes without
/// announcing it, and one sends its responses byte by byte.
fn awkward_servers() -> [LoopbackServer; 3] {
    let skewed = || LoopbackServer::builder().skew(SKEW);
    [
        skewed().requests_per_connection(1).announce_close(true).start(),
        skewed().requests_per_connection(2).announce_close(false).start(),
        skewed().behaviour(Behaviour::Dribble { every: Duration::from_millis(2) }).start(),
    ]
    .map(|server| server.expect("a loopback port"))
}

/// Runs a program that measures the servers in its own event loop. Its bounds must contain the
/// truth.
fn measures(command: &mut Command, servers: &[LoopbackServer]) {
    measures_urls(command, servers.iter().map(LoopbackServer::url).collect());
}

fn measures_urls(command: &mut Command, urls: Vec<String>) {
    let said = run(command.args(urls));
    println!("{said}");
    let numbers = said.split([' ', ',', '\n']).filter_map(|word| word.parse::<f64>().ok());
    let [offset, lower, upper] = numbers.collect::<Vec<_>>()[..] else { panic!("{said}") };
    let truth = SKEW.as_seconds();
    assert!(lower <= truth && truth <= upper, "{said}");
    assert!((offset - truth).abs() < 0.1, "{said}");
}

const WITH_POLL: &str = "../../../../examples/c/session_poll.c";

#[test]
fn an_event_loop_measures_servers_that_close_and_one_that_dribbles() {
    let program = compile(WITH_POLL, "session-poll", Linking::Shared, &["-std=c11"]);
    measures(&mut without_the_clock(&program), &awkward_servers());
}

/// An event loop passes on bytes: it need not know that they are TLS.
#[cfg(feature = "https")]
fn measures_over_tls(program: &Path) {
    let root = Authority::root("Test Root");
    let ca = PemFile::new(&root.pem());
    let secured = |server: &LoopbackServer| {
        let config = server_config(&root.issue(&["127.0.0.1"]), Version::Tls13, None);
        TlsFront::start(server.address(), config).expect("a port")
    };
    let servers = awkward_servers();
    let fronts: Vec<TlsFront> = servers.iter().map(secured).collect();
    let urls: Vec<String> = fronts.iter().map(TlsFront::url).collect();
    measures_urls(without_the_clock(program).env("HTTPTIME_CACERT", ca.path()), urls.clone());
    let output = without_the_clock(program).args(urls).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
}

#[cfg(feature = "https")]
#[test]
fn an_event_loop_measures_over_tls() {
    let program = compile(WITH_POLL, "session-poll-tls", Linking::Shared, &["-std=c11"]);
    measures_over_tls(&program);
}

#[cfg(all(feature = "system-tests", feature = "https"))]
#[test]
fn libevent_measures_over_tls() {
    measures_over_tls(&libevent("session-libevent-tls", &[]));
}

#[cfg(feature = "system-tests")]
#[test]
fn libevent_measures_servers_that_close_and_one_that_dribbles_and_through_a_proxy() {
    let program = libevent("session-libevent", &[]);
    measures(&mut without_the_clock(&program), &awkward_servers());
    let proxy = LoopbackProxy::start(ProxyOptions::default()).expect("a port");
    measures(
        without_the_clock(&program).env("HTTPTIME_PROXY", proxy.url()),
        &awkward_servers()[..2],
    );
    assert!(proxy.requests() > 0);
}

#[cfg(feature = "system-tests")]
#[test]
fn in_an_event_loop_neither_valgrind_nor_the_sanitizers_see_an_error() {
    let programs = |name: &str, flags: &[&str]| {
        let flags = [&["-std=c11"], flags].concat();
        let with_poll = compile(WITH_POLL, &format!("{name}-poll"), Linking::Shared, &flags);
        [with_poll, libevent(&format!("{name}-libevent"), &flags)]
    };
    for program in programs("session-valgrind", &[]) {
        measures(&mut valgrind(&program), &awkward_servers());
    }
    for program in programs("session-asan", SANITIZERS) {
        measures(&mut without_the_clock(&program), &awkward_servers());
    }
}

#[cfg(feature = "system-tests")]
fn libevent(name: &str, flags: &[&str]) -> PathBuf {
    let flags = [&["-std=c11", "-levent"], flags].concat();
    compile("../../../../examples/c/session_libevent.c", name, Linking::Shared, &flags)
}

#[cfg(feature = "system-tests")]
fn valgrind(program: &Path) -> Command {
    let mut command = without_the_clock(Path::new("valgrind"));
    command.args(["--quiet", "--error-exitcode=9", "--leak-check=full"]);
    command.args(["--show-leak-kinds=definite,indirect,possible"]);
    command.args(["--errors-for-leak-kinds=definite,indirect,possible"]);
    command.arg(program);
    command
}

#[cfg(feature = "system-tests")]
const SANITIZERS: &[&str] = &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

#[cfg(feature = "system-tests")]
#[test]
fn valgrind_sees_no_error_and_no_leak() {
    let program = compile("suite.c", "suite-valgrind", Linking::Shared, HOOKS);
    // valgrind runs one thread at a time, tens of times slower.
    suite(valgrind, &program, CANCELLED_WITHIN * 20);
}

#[cfg(feature = "system-tests")]
#[test]
fn the_sanitizers_see_no_error_and_no_leak() {
    for (name, linking) in [("suite-asan", Linking::Shared), ("suite-asan-static", Linking::Static)]
    {
        let flags = [HOOKS, SANITIZERS].concat();
        let program = compile("suite.c", name, linking, &flags);
        suite(without_the_clock, &program, CANCELLED_WITHIN);
    }
}

#[test]
fn a_program_of_an_older_header_runs_with_this_library() {
    let server = LoopbackServer::builder().skew(SKEW).start().expect("a loopback port");
    let old = format!("-I{}/tests/c/old", env!("CARGO_MANIFEST_DIR"));
    let program = compile("old.c", "old", Linking::Shared, &["-std=c99", &old]);
    let said = run(without_the_clock(&program).arg(server.url()));
    assert!(said.ends_with("0 failures\n"), "{said}");
}

#[test]
fn a_program_that_is_interrupted_a_thousand_times_a_second_measures_as_well_and_as_soon() {
    let server = LoopbackServer::builder().skew(SKEW).start().expect("a loopback port");
    let silent = LoopbackServer::builder().behaviour(Behaviour::Silent).start().expect("a port");
    let hole = BlackHole::start().expect("a listener");
    let program = compile("storm.c", "storm", Linking::Shared, &["-std=c17"]);
    let begun = Instant::now();
    let said = run(without_the_clock(&program)
        .arg(server.url())
        .arg(server.url().replace("127.0.0.1", "localhost"))
        .arg(silent.url())
        .arg(format!("http://{}/", hole.address())));
    println!("{said}");
    assert!(said.ends_with("0 failures\n"), "{said}");
    // Two measurements of five seconds, and two that get no response within six.
    assert!(begun.elapsed() < Duration::from_secs(24), "{:?}", begun.elapsed());
}
