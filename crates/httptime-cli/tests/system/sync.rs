//! `httptime sync` on a machine whose clock is wrong.

use std::thread;
use std::time::{Duration, Instant};

use httptime::Offset;
use httptime_testserver::LoopbackServer;
use serde_json::Value;

use crate::SKEW;
use crate::machine::{Finished, Machine};

const LIMIT: Duration = Duration::from_secs(60);
const URL: &str = "http://10.0.2.100/";

/// A server whose clock is this many seconds ahead of the host's.
fn server(ahead: f64) -> LoopbackServer {
    #[expect(clippy::cast_possible_truncation, reason = "years, in nanoseconds")]
    let skew = Offset::from_nanos((ahead * 1e9) as i64);
    LoopbackServer::builder()
        .skew(skew)
        .server_header(Some("nginx".into()))
        .start()
        .expect("a loopback port")
}

/// A machine that is this many seconds behind the host.
fn machine_behind(seconds: f64, servers: &[&LoopbackServer]) -> Machine {
    let addresses: Vec<_> = servers.iter().map(|server| server.address()).collect();
    let machine = Machine::boot(&addresses);
    machine.set_clock_behind(seconds);
    machine
}

/// Runs `httptime sync` and prints its output.
fn sync(machine: &Machine, arguments: &str) -> Finished {
    let done = machine.run(&format!("httptime sync {arguments}"), LIMIT);
    println!("sync {arguments}: {}\n{}{}", done.status, done.stdout, done.stderr);
    done
}

/// Checks that the clock and the kernel's state of it are unchanged.
fn assert_left_alone(machine: &Machine, seconds_behind: f64, case: &str) {
    let now = machine.offset();
    println!("{case}: {:+.6} s ± {:.3} ms", now.offset, now.bound * 1e3);
    assert!((now.offset - seconds_behind).abs() < 2e-3 + now.bound, "{case}: {now:?}");
    let kernel = machine.kernel_clock();
    assert!(!kernel.synchronised && kernel.maxerror_us >= 16_000_000, "{case}: {kernel:?}");
    assert!(kernel.frequency_ppm.abs() < 1e-9, "{case}: {kernel:?}");
}

#[test]
fn a_clock_38_seconds_behind_is_right_after_sync() {
    let honest = server(0.0);
    let machine = machine_behind(SKEW, &[&honest]);
    assert_left_alone(&machine, SKEW, "before");

    let done = sync(&machine, &format!("--dry-run {URL}"));
    assert_eq!(done.status, 0, "{done:?}");
    assert!(done.stdout.contains("decision: step by +38.1"), "{done:?}");
    assert_left_alone(&machine, SKEW, "after a dry run");

    let began = Instant::now();
    let done = sync(&machine, URL);
    assert_eq!(done.status, 0, "{done:?}");
    println!("took {:.1} s", began.elapsed().as_secs_f64());
    let after = machine.offset();
    println!("after: {:+.6} s ± {:.3} ms", after.offset, after.bound * 1e3);
    assert!(after.offset.abs() < 5e-3, "{after:?}");
    let kernel = machine.kernel_clock();
    println!("{kernel:?}");
    assert!(kernel.synchronised, "{kernel:?}");
    assert!(kernel.maxerror_us < 100_000, "{kernel:?}");

    // The kernel writes its time to the hardware clock once it considers the clock synchronised.
    let deadline = Instant::now() + Duration::from_secs(30);
    let ahead = loop {
        let ahead = machine.hardware_clock_ahead();
        if ahead.abs() < 1.1 || Instant::now() > deadline {
            break ahead;
        }
        thread::sleep(Duration::from_millis(500));
    };
    println!("hardware clock ahead by {ahead:.3} s");
    assert!(ahead.abs() < 1.1, "{ahead}");

    let done = sync(&machine, &format!("--json {URL}"));
    assert_eq!(done.status, 0, "{done:?}");
    let report: Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!(report["decision"]["action"], "leave", "{report}");
    let again = machine.offset();
    assert!((again.offset - after.offset).abs() < 3e-3, "{after:?} {again:?}");
}

#[test]
fn what_the_policy_refuses_leaves_the_clock_alone() {
    // The first server's clock is the host's: a clock two hours behind it can be before the day of
    // the build, which is refused for another reason.
    let (true_time, early) = (server(0.0), server(-400.0 * 86_400.0));
    let machine = machine_behind(-7200.0, &[&true_time, &early]);
    let done = sync(&machine, URL);
    assert_eq!(done.status, 3, "{done:?}");
    assert!(done.stderr.contains("; --max-backward is 1800 s"), "{done:?}");
    assert_left_alone(&machine, -7200.0, "too far back");

    let done = sync(&machine, "http://10.0.2.101/");
    assert_eq!(done.status, 3, "{done:?}");
    assert!(done.stderr.contains("before the earliest time allowed"), "{done:?}");
    assert_left_alone(&machine, -7200.0, "before the build");

    machine.set_clock_behind(SKEW);
    let done = sync(&machine, &format!("--lag 60 {URL}"));
    assert_eq!(done.status, 3, "{done:?}");
    assert!(done.stderr.contains("is smaller than the uncertainty ("), "{done:?}");
    assert_left_alone(&machine, SKEW, "bounds too wide");
}

#[test]
fn one_lying_server_of_three_is_named_and_not_followed() {
    let (first, lying, third) = (server(0.0), server(3600.5), server(0.0));
    let machine = machine_behind(0.0, &[&first, &lying, &third]);
    let urls = "http://10.0.2.100/ http://10.0.2.101/ http://10.0.2.102/";
    let done = sync(&machine, urls);
    assert_eq!(done.status, 0, "{done:?}");
    assert!(
        done.stderr.contains(
            "http://10.0.2.101/: falseticker, disagrees with the majority: offset +3600."
        ),
        "{done:?}"
    );
    let now = machine.offset();
    assert!(now.offset.abs() < 5e-3, "{now:?}");
}

#[test]
fn without_privilege_sync_reports_it_and_leaves_the_clock_alone() {
    let honest = server(0.0);
    let machine = machine_behind(SKEW, &[&honest]);
    let done = machine.run(&format!("httptime-test-guest as-nobody httptime sync {URL}"), LIMIT);
    println!("{done:?}");
    assert_eq!(done.status, 4, "{done:?}");
    assert!(done.stderr.contains("CAP_SYS_TIME"), "{done:?}");
    assert_left_alone(&machine, SKEW, "as nobody");
}

#[test]
fn a_clock_that_someone_else_sets_meanwhile_is_left_as_they_set_it() {
    let honest = server(0.0);
    let machine = machine_behind(SKEW, &[&honest]);
    let command = format!(
        "(sleep 3; httptime-test-guest set-clock-forward 20000000000) & httptime sync {URL}"
    );
    let done = machine.run(&command, LIMIT);
    println!("{done:?}");
    assert_eq!(done.status, 1, "{done:?}");
    assert!(done.stderr.contains("clock was stepped"), "{done:?}");
    assert_left_alone(&machine, SKEW - 20.0, "set by someone else");
}

#[test]
fn a_small_error_is_slewed() {
    let honest = server(0.0);
    let machine = machine_behind(0.02, &[&honest]);
    let done = sync(&machine, URL);
    assert_eq!(done.status, 0, "{done:?}");
    assert!(done.stdout.contains("decision: slew by +0.0"), "{done:?}");
    let right_away = machine.offset();
    assert!(right_away.offset > 5e-3, "it is not set at once: {right_away:?}");
    let deadline = Instant::now() + LIMIT;
    while machine.offset().offset > 5e-3 {
        assert!(Instant::now() < deadline, "{:?}", machine.offset());
        thread::sleep(Duration::from_secs(2));
    }
}
