use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use httptime::Offset;
use httptime_testserver::{Behaviour, BlackHole, LoopbackServer, Misbehave as _};

use crate::toolchain::{Linking, compile, run, without_the_clock};

const SKEW: Offset = Offset::from_nanos(38_116_000_000);

/// Runs the suite against servers of its own; cancellation may take `limit`.
fn suite(launch: impl Fn(&Path) -> Command, program: &Path, limit: Duration) {
    let server = LoopbackServer::builder().skew(SKEW).start().expect("a loopback port");
    let silent = LoopbackServer::builder().behaviour(Behaviour::Silent).start().expect("a port");
    let hole = BlackHole::start().expect("a listener");
    let said = run(launch(program)
        .arg(server.url())
        .arg(silent.url())
        .arg(format!("http://{}/", hole.address()))
        .arg(limit.as_millis().to_string()));
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

#[cfg(feature = "system-tests")]
#[test]
fn valgrind_sees_no_error_and_no_leak() {
    let program = compile("suite.c", "suite-valgrind", Linking::Shared, HOOKS);
    let valgrind = |program: &Path| {
        let mut command = without_the_clock(Path::new("valgrind"));
        command.args(["--quiet", "--error-exitcode=9", "--leak-check=full"]);
        command.args(["--show-leak-kinds=definite,indirect,possible"]);
        command.args(["--errors-for-leak-kinds=definite,indirect,possible"]);
        command.arg(program);
        command
    };
    // It runs one thread at a time, tens of times slower.
    suite(valgrind, &program, CANCELLED_WITHIN * 20);
}

#[cfg(feature = "system-tests")]
#[test]
fn the_sanitizers_see_no_error_and_no_leak() {
    for (name, linking) in [("suite-asan", Linking::Shared), ("suite-asan-static", Linking::Static)]
    {
        let flags =
            [HOOKS, &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]].concat();
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
    // Two measurements of five seconds, and two that get no answer in six.
    assert!(begun.elapsed() < Duration::from_secs(24), "{:?}", begun.elapsed());
}
