//! A machine with a clock that is far off recovers without a human, and one liar cannot use that.
//! The daemon measures every ten minutes, so each recovery starts with what it noticed.

use std::thread;
use std::time::{Duration, Instant};

use httptime::Offset;
use httptime_testserver::LoopbackServer;

use crate::faults::{end_run, log, run_command, sleep, start_run_with, wait_for_log};
use crate::machine::{Hardware, Machine};

const FIRST: &str = "http://10.0.2.100/";
const SECOND: &str = "http://10.0.2.101/";
const THIRD: &str = "http://10.0.2.102/";
const LIAR: &str = "http://10.0.2.103/";
const OLD_LIAR: &str = "http://10.0.2.104/";
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

/// Waits until one server alone is refused, and the log says how to allow it.
fn wait_for_refusal(machine: &Machine) {
    let refused = "one server alone may not exceed it: name three independent servers, or set \
                   trust_single";
    wait_for_log(machine, 0, refused);
}

fn trust_single(machine: &Machine) {
    let trust = "echo 'trust_single = true' >>/tmp/httptime.toml; kill -HUP $(cat /tmp/pid)";
    run_command(machine, trust);
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
    for (case, behind) in
        [("2069", -TO_2069), ("1970", now - DAY), ("400 days ahead", -400.0 * DAY)]
    {
        start_cold(&machine, behind, &[FIRST], "");
        network_up(&machine);
        wait_for_refusal(&machine);
        assert!(!is_right(&machine, 0.0) && !machine.kernel_clock().synchronised);
        trust_single(&machine);
        wait_until(&machine, "right", RECOVERED, || is_right(&machine, 0.0));
        println!("{case}, one server\n{}", end_run(&machine));
    }
}

#[test]
fn a_machine_that_was_paused_slept_or_was_reset_is_right_soon_after_and_a_liar_is_not_followed() {
    const PAUSED: f64 = 63_297.0;
    /// The age of the state to which the machine returns when it wakes.
    const OLD: f64 = 4500.0;
    let mut servers = [server(0.0, 0), server(0.0, 0), server(0.0, 0)];
    let ports = [0, 1, 2].map(|index: usize| servers[index].address().port());
    // By their time the clock is right after the pause, and after the return to the old state.
    let liars = [server(0.0, 0), server(-OLD, 0)];
    let addresses: Vec<_> = servers.iter().chain(&liars).map(LoopbackServer::address).collect();
    let hardware = Hardware { has_checkpoints: true, ..Hardware::default() };
    let machine = Machine::boot_with(&addresses, &hardware);
    machine.set_clock_behind(0.0);
    let restart = |servers: &mut [LoopbackServer; 3], ahead: f64| {
        for (server, port) in servers.iter_mut().zip(ports) {
            // The old one must have stopped before the port is free.
            *server = self::server(0.0, 0);
            *server = self::server(ahead, port);
        }
    };
    let start = |urls: &[&str]| {
        run_command(&machine, "rm -rf /small /tmp/log; touch /tmp/log");
        start_run_with(&machine, urls, &format!("{QUICK}[policy]\n"));
        let measured = || log(&machine).contains("] offset ");
        wait_until(&machine, "measured", RECOVERED, measured);
    };
    let recovered = |case: &str, urls: &[&str], ahead: f64, liar: &str| {
        if let [_] = urls {
            wait_for_refusal(&machine);
            assert!(!is_right(&machine, ahead), "{}", log(&machine));
            trust_single(&machine);
        }
        let right = wait_until(&machine, "right", RECOVERED, || {
            if let [_] = urls {
                // After a person has allowed it. On a busy host the short measurement may not see
                // the Date advance, and the next one would come after ten minutes.
                run_command(&machine, "kill -USR1 $(cat /tmp/pid)");
            }
            is_right(&machine, ahead)
        });
        let log = end_run(&machine);
        println!("{case}, {} servers: right after {right:.1?}\n{log}", urls.len());
        let falseticker = format!("{liar}: falseticker, disagrees with the majority");
        assert_eq!(log.contains(&falseticker), urls.contains(&liar), "{log}");
        assert!(machine.kernel_clock().synchronised, "{:?}", machine.kernel_clock());
        log
    };

    for urls in [&[FIRST, LIAR, THIRD][..], &[FIRST]] {
        start(urls);
        // The kernel writes the hardware clock when its own is marked as right. After that the
        // daemon reads it.
        thread::sleep(Duration::from_secs(12));
        // Nothing in the machine but its hardware clock shows the pause. The servers' clocks make
        // it long.
        machine.monitor("stop");
        thread::sleep(Duration::from_secs(6));
        restart(&mut servers, PAUSED);
        machine.monitor("cont");
        let log = recovered("paused", urls, PAUSED, LIAR);
        assert!(log.contains("the virtual machine was paused; measuring soon"), "{log}");
        restart(&mut servers, 0.0);
        machine.set_clock_behind(0.0);
    }

    // As a checkpoint would be that was made 75 minutes ago: once the machine also slept.
    for (urls, seen) in [
        (&[FIRST, SECOND, OLD_LIAR][..], "s: the machine slept; measuring now"),
        (&[FIRST], "measuring now"),
    ] {
        start(urls);
        if urls.len() > 1 {
            sleep(&machine);
        }
        run_command(&machine, "httptime-test-guest set-clock-forward -4500000000000");
        let log = recovered("75 minutes behind", urls, 0.0, OLD_LIAR);
        assert!(log.contains(seen), "{log}");
    }

    let urls = &[FIRST, SECOND, THIRD];
    start(urls);
    machine.monitor_line("savevm before");
    thread::sleep(Duration::from_secs(8));
    machine.monitor_line("loadvm before");
    assert!(machine.offset().offset > 5.0, "the clock is that of the checkpoint");
    recovered("returned to a checkpoint", urls, 0.0, LIAR);
}
