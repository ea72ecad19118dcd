//! A machine with a clock that is far off recovers without a human, and one liar cannot use that.
//! The daemon measures every ten minutes, so each recovery starts with what it noticed.

use std::thread;
use std::time::{Duration, Instant};

use httptime::Offset;
use httptime_testserver::LoopbackServer;

use crate::faults::{end_run, log, run_command, sleep, start_run_with, wait_for_log};
use crate::machine::Machine;

const FIRST: &str = "http://10.0.2.100/";
const SECOND: &str = "http://10.0.2.101/";
const THIRD: &str = "http://10.0.2.102/";
const LIAR: &str = "http://10.0.2.103/";
const DAY: f64 = 86_400.0;
/// 2069 is the last year that the machine's hardware clock can show.
const TO_2069: f64 = 42.9 * 365.25 * DAY;
/// The time from the return of the network to the right time.
const RECOVERED: Duration = Duration::from_secs(60);
/// The time from the return of the network to a measurement.
const NOTICED: Duration = Duration::from_secs(15);
const QUICK: &str = "[measure]\nrequests = 6\nduration = 1.5\ntimeout = 1.0\n\
                     [poll]\nshortest = 600\nlongest = 600\n";

/// A server whose clock is this many seconds ahead of the host's, on this port or any.
fn server(ahead: f64, port: u16) -> LoopbackServer {
    #[expect(clippy::cast_possible_truncation, reason = "decades, in nanoseconds")]
    let skew = Offset::from_nanos((ahead * 1e9) as i64);
    let builder = LoopbackServer::builder().skew(skew).server_header(Some("nginx".into()));
    builder.port(port).start().expect("a loopback port")
}

/// Starts `httptime run` without a network and with a clock that is this far behind.
fn start_cold(machine: &Machine, behind: f64, urls: &[&str], policy: &str) {
    machine.set_clock_behind(behind);
    run_command(machine, "ip link set eth0 down; rm -rf /small /tmp/log; touch /tmp/log");
    start_run_with(machine, urls, &format!("{QUICK}[policy]\n{policy}\n"));
    wait_for_log(machine, 0, "network is unreachable");
    // The repetition of a first failure has passed, too.
    wait_for_log(machine, 0, "next attempt in 1 s");
    wait_until(machine, "a second failure", RECOVERED, || {
        log(machine).matches("next attempt in ").count() >= 2
    });
}

/// Returns how long that took.
fn wait_until(machine: &Machine, what: &str, limit: Duration, done: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < limit, "{what}: {}", log(machine));
        thread::sleep(Duration::from_millis(200));
    }
    began.elapsed()
}

fn network_up(machine: &Machine) {
    run_command(machine, "ip link set eth0 up; ip route add default via 10.0.2.2 || true");
}

fn is_right(machine: &Machine, ahead: f64) -> bool {
    (machine.offset().offset + ahead).abs() < 0.5
}

#[test]
fn a_clock_that_is_years_off_is_right_soon_after_the_network_is_there_and_a_liar_is_not_followed() {
    let honest = [server(0.0, 0), server(0.0, 0), server(0.0, 0)];
    // By its time a clock in 2069 is right.
    let liar = server(TO_2069, 0);
    let addresses: Vec<_> = honest.iter().chain([&liar]).map(LoopbackServer::address).collect();
    let machine = Machine::boot(&addresses);
    let now = run_command(&machine, "date +%s").trim().parse::<f64>().expect("seconds");
    let cases = [
        ("2069", -TO_2069, [FIRST, SECOND, THIRD]),
        ("2069, with a liar", -TO_2069, [FIRST, LIAR, THIRD]),
        ("1970, with a liar", now - DAY, [LIAR, SECOND, THIRD]),
        ("400 days ahead, with a liar", -400.0 * DAY, [FIRST, SECOND, LIAR]),
    ];
    for (case, behind, urls) in cases {
        start_cold(&machine, behind, &urls, "");
        network_up(&machine);
        let noticed =
            wait_until(&machine, "measured", NOTICED, || log(&machine).contains("] offset "));
        let right = wait_until(&machine, "right", RECOVERED, || is_right(&machine, 0.0));
        let log = end_run(&machine);
        println!("{case}: measured after {noticed:.1?}, right {right:.1?} later\n{log}");
        let falseticker = format!("{LIAR}: falseticker, disagrees with the majority");
        assert_eq!(log.contains(&falseticker), urls.contains(&LIAR), "{log}");
        assert_eq!(log.matches("] step by ").count(), 1, "{log}");
        assert!(machine.kernel_clock().synchronised, "{:?}", machine.kernel_clock());
    }

    // One server alone.
    for (case, behind) in [("2069", -TO_2069), ("400 days ahead", -400.0 * DAY)] {
        start_cold(&machine, behind, &[FIRST], "");
        network_up(&machine);
        let refused = "one server alone may not exceed it: name three independent servers, or set \
                       trust_single";
        wait_for_log(&machine, 0, refused);
        assert!(!is_right(&machine, 0.0) && !machine.kernel_clock().synchronised);
        run_command(
            &machine,
            "echo 'trust_single = true' >>/tmp/httptime.toml; kill -HUP $(cat /tmp/pid)",
        );
        wait_until(&machine, "right", RECOVERED, || is_right(&machine, 0.0));
        println!("{case}, one server\n{}", end_run(&machine));
    }
}

#[test]
fn a_machine_that_was_paused_or_slept_is_right_soon_after() {
    const PAUSED: f64 = 63_297.0;
    let mut servers = [server(0.0, 0), server(0.0, 0), server(0.0, 0)];
    let ports = [0, 1, 2].map(|index: usize| servers[index].address().port());
    let addresses: Vec<_> = servers.iter().map(LoopbackServer::address).collect();
    let machine = Machine::boot(&addresses);
    machine.set_clock_behind(0.0);
    let restart = |servers: &mut [LoopbackServer; 3], ahead: f64| {
        for (server, port) in servers.iter_mut().zip(ports) {
            // The old one must have stopped before the port is free.
            *server = self::server(0.0, 0);
            *server = self::server(ahead, port);
        }
    };
    let measured = || log(&machine).matches("] offset ").count();

    for (urls, single) in [(&[FIRST, SECOND, THIRD][..], false), (&[FIRST], true)] {
        run_command(&machine, "rm -rf /small /tmp/log; touch /tmp/log");
        start_run_with(&machine, urls, QUICK);
        wait_until(&machine, "measured", RECOVERED, || measured() >= 1);
        // The kernel writes the hardware clock when its own is marked as right. After that the
        // daemon reads it.
        thread::sleep(Duration::from_secs(12));
        // Nothing in the machine but its hardware clock shows the pause. The servers' clocks make
        // it long.
        machine.monitor("stop");
        thread::sleep(Duration::from_secs(6));
        restart(&mut servers, PAUSED);
        machine.monitor("cont");
        let right = wait_until(&machine, "right", RECOVERED, || is_right(&machine, PAUSED));
        let log = end_run(&machine);
        println!("paused, single {single}: right after {right:.1?}\n{log}");
        assert!(log.contains("the virtual machine was paused; measuring soon"), "{log}");
        assert!(machine.kernel_clock().synchronised, "{:?}", machine.kernel_clock());
        restart(&mut servers, 0.0);
        machine.set_clock_behind(0.0);
    }

    run_command(&machine, "rm -rf /small /tmp/log; touch /tmp/log");
    start_run_with(&machine, &[FIRST, SECOND, THIRD], QUICK);
    wait_until(&machine, "measured", RECOVERED, || measured() >= 1);
    sleep(&machine);
    // As a checkpoint would be that was made 75 minutes ago.
    run_command(&machine, "httptime-test-guest set-clock-forward -4500000000000");
    let right = wait_until(&machine, "right", RECOVERED, || is_right(&machine, 0.0));
    let log = end_run(&machine);
    println!("slept: right after {right:.1?}\n{log}");
    assert!(log.contains("s: the machine slept; measuring now"), "{log}");
}
