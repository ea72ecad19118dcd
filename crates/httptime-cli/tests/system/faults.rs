//! Faults of the machine: a full disk, no network, no resolver, a clock that is set, and suspend.

use std::thread;
use std::time::{Duration, Instant};

use httptime_testserver::LoopbackServer;
use serde_json::Value;

use crate::machine::{Finished, Machine};

const LIMIT: Duration = Duration::from_secs(60);
const URL: &str = "http://10.0.2.100/";

fn server() -> LoopbackServer {
    LoopbackServer::builder().server_header(Some("nginx".into())).start().expect("a loopback port")
}

/// Runs a command that must succeed.
pub(crate) fn run_command(machine: &Machine, command: &str) -> String {
    let run_command = machine.run(command, LIMIT);
    assert_eq!(run_command.status, 0, "{command}: {run_command:?}");
    run_command.stdout
}

/// Waits until the log of `run` contains this text after this position.
pub(crate) fn wait_for_log(machine: &Machine, after: usize, wanted: &str) {
    let deadline = Instant::now() + LIMIT;
    while !log(machine)[after..].contains(wanted) {
        assert!(Instant::now() < deadline, "{wanted}: {}", log(machine));
        thread::sleep(Duration::from_millis(200));
    }
}

pub(crate) fn log(machine: &Machine) -> String {
    machine.run("cat /tmp/log", LIMIT).stdout
}

/// Starts `httptime run`, which measures this server every other second and keeps its files under
/// `/small`.
fn start_run(machine: &Machine, url: &str) {
    let measure = "requests = 6\nduration = 1.5\ntimeout = 1.0";
    start_run_with(
        machine,
        &[url],
        &format!("[measure]\n{measure}\n[poll]\nshortest = 1\nlongest = 2"),
    );
}

pub(crate) fn start_run_with(machine: &Machine, urls: &[&str], more: &str) {
    let urls = urls.join("', '");
    run_command(
        machine,
        &format!(
            "mkdir -p /small\n\
             cat >/tmp/httptime.toml <<END\n\
             servers = ['{urls}']\n\
             state_file = '/small/state.toml'\n\
             textfile = '/small/httptime.prom'\n\
             {more}\n\
             END\n\
             httptime run --config /tmp/httptime.toml >>/tmp/log 2>&1 & echo $! >/tmp/pid"
        ),
    );
}

/// The number of measurements so far.
fn measured(machine: &Machine) -> usize {
    log(machine).matches("] offset ").count()
}

/// Waits for this number of further measurements.
fn wait_for_measurements(machine: &Machine, more: usize) {
    let (wanted, deadline) = (measured(machine) + more, Instant::now() + LIMIT);
    while measured(machine) < wanted {
        assert!(Instant::now() < deadline, "{}", log(machine));
        thread::sleep(Duration::from_millis(200));
    }
}

/// Stops the program and returns its log.
pub(crate) fn end_run(machine: &Machine) -> String {
    run_command(machine, "kill $(cat /tmp/pid)");
    wait_for_log(machine, 0, "] stopping");
    let deadline = Instant::now() + LIMIT;
    while machine.run("kill -0 $(cat /tmp/pid)", LIMIT).status == 0 {
        assert!(Instant::now() < deadline, "it does not end: {}", log(machine));
        thread::sleep(Duration::from_millis(50));
    }
    let log = log(machine);
    assert!(!log.contains("panicked"), "{log}");
    log
}

/// Measures with a few requests and verbose output.
fn query(machine: &Machine, arguments: &str) -> Finished {
    let command =
        format!("HTTPTIME_LOG=debug httptime query -n 6 -d 1.5 --timeout 4 --json {arguments}");
    let began = Instant::now();
    let run_command = machine.run(&command, LIMIT);
    println!("{arguments}: {:.1?} {run_command:?}", began.elapsed());
    run_command
}

fn kind(run_command: &Finished) -> String {
    let object: Value = serde_json::from_str(&run_command.stdout).expect("JSON");
    object["error"]["kind"].as_str().unwrap_or("none").to_owned()
}

#[test]
fn a_disk_that_is_full_or_read_only_leaves_the_old_state_whole_and_is_said_once() {
    let server = server();
    let machine = Machine::boot(&[server.address()]);
    machine.set_clock_behind(0.0);
    run_command(&machine, "mkdir /small && mount -t tmpfs -o size=32k small /small");
    start_run(&machine, URL);
    wait_for_measurements(&machine, 1);
    let faults = [
        // There is room for the new file's name but not for its content.
        (
            "dd if=/dev/zero of=/small/filler bs=4k 2>/dev/null; true",
            "rm /small/filler",
            "no space left on device",
        ),
        ("mount -o remount,ro /small", "mount -o remount,rw /small", "read-only file system"),
    ];
    for (break_command, repair_command, reason) in faults {
        let before = log(&machine).len();
        run_command(&machine, break_command);
        let said: Vec<String> = ["state file /small/state.toml", "textfile /small/httptime.prom"]
            .iter()
            .map(|file| format!("cannot write the {file}: {reason}"))
            .collect();
        said.iter().for_each(|said| wait_for_log(&machine, before, said));
        let whole = run_command(&machine, "cat /small/state.toml /small/httptime.prom");
        wait_for_measurements(&machine, 2);
        assert_eq!(run_command(&machine, "cat /small/state.toml /small/httptime.prom"), whole);
        assert_eq!(
            run_command(&machine, "ls -A /small | grep -v filler"),
            "httptime.prom\nstate.toml\n"
        );
        let log_now = log(&machine)[before..].to_owned();
        for said in &said {
            assert_eq!(log_now.matches(said.as_str()).count(), 1, "{log_now}");
        }
        let before = log(&machine).len();
        run_command(&machine, repair_command);
        said.iter().for_each(|said| wait_for_log(&machine, before, &format!("resolved: {said}")));
        assert_ne!(run_command(&machine, "cat /small/state.toml /small/httptime.prom"), whole);
        assert!(whole.starts_with("frequency_ppm = ") && whole.ends_with('\n'), "{whole}");
    }
    println!("{}", end_run(&machine));
    let state = run_command(&machine, "cat /small/state.toml");
    assert_eq!(state.lines().count(), 4, "{state}");
    assert_eq!(run_command(&machine, "ls -A /small"), "httptime.prom\nstate.toml\n");
}

#[test]
fn a_network_that_goes_away_is_named_and_measured_over_when_it_is_back() {
    let server = server();
    let machine = Machine::boot(&[server.address()]);
    machine.set_clock_behind(0.0);
    // The route is gone, or the device is gone with everything on it.
    for (down, up) in [
        ("ip link set eth0 down", "ip link set eth0 up"),
        ("ip address flush dev eth0", "ip address add 10.0.2.15/24 dev eth0"),
    ] {
        run_command(&machine, down);
        let query_done = query(&machine, URL);
        assert_eq!(kind(&query_done), "connect");
        assert!(query_done.stdout.contains("network is unreachable"), "{query_done:?}");
        run_command(&machine, up);
    }
    // A loopback device that is down loses all packets but keeps its routes.
    run_command(&machine, "ip link set lo down");
    assert_eq!(kind(&query(&machine, "http://127.0.0.1/")), "timeout_connect");
    run_command(&machine, "ip link set lo up");

    // During a request, or between two.
    let job =
        machine.start(&format!("httptime query --profile polite -d 8 --timeout 2 --json {URL}"));
    thread::sleep(Duration::from_secs(3));
    run_command(&machine, "ip link set eth0 down");
    let ended = job.wait(LIMIT).expect("it has a deadline");
    println!("down meanwhile: {ended:?}");
    let object: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let error = &object["servers"][0]["error"]["kind"];
    assert!(
        error == "timeout_response" || error == "connect" || error == "connection_broke",
        "{object}"
    );

    // `run` starts without a network, gets one, loses it and gets it back.
    start_run(&machine, URL);
    let mut before = 0;
    for _ in 0..2 {
        wait_for_log(
            &machine,
            before,
            &format!("{URL}: cannot connect to 10.0.2.100:80: network is unreachable"),
        );
        run_command(&machine, "ip link set eth0 up");
        wait_for_measurements(&machine, 2);
        run_command(&machine, "ip link set eth0 down");
        before = log(&machine).len();
    }
    run_command(&machine, "ip link set eth0 up");
    println!("{}", end_run(&machine));
}

#[test]
fn a_resolver_that_never_answers_ends_by_the_deadline_and_is_named() {
    let server = server();
    let machine = Machine::boot(&[server.address()]);
    machine.set_clock_behind(0.0);
    // Nothing answers on this address.
    run_command(&machine, "mkdir -p /etc; echo nameserver 10.0.2.2 >/etc/resolv.conf");
    let began = Instant::now();
    let query_done = query(&machine, "http://nowhere.example/");
    assert_eq!(kind(&query_done), "timeout_resolve");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let began = Instant::now();
    let sync = machine.run("httptime sync --dry-run --timeout 2 http://nowhere.example/", LIMIT);
    assert_eq!(sync.status, 1, "{sync:?}");
    assert!(sync.stderr.contains("timed out after 2 s while looking up the name"), "{sync:?}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());

    start_run(&machine, "http://nowhere.example/");
    let said = "http://nowhere.example/: timed out after 1 s while looking up the name";
    wait_for_log(&machine, 0, said);
    let before = log(&machine).len();
    wait_for_log(&machine, before, said);
    let threads = || -> usize {
        let count = run_command(&machine, "ls /proc/$(cat /tmp/pid)/task | wc -l");
        count.trim().parse().expect("a number")
    };
    println!("{} threads", threads());
    run_command(&machine, "echo 10.0.2.100 nowhere.example >/etc/hosts");
    wait_for_measurements(&machine, 2);
    // The resolver's threads end when the resolver gives up, after ten seconds. Then these remain:
    // the main thread, those for signals and for the watcher, and that of a measurement with its
    // look-up.
    let deadline = Instant::now() + LIMIT;
    while threads() > 5 {
        assert!(Instant::now() < deadline, "{} threads are left", threads());
        thread::sleep(Duration::from_millis(200));
    }
    println!("{}", end_run(&machine));
}

#[test]
fn a_name_with_an_ipv6_address_that_leads_nowhere_is_measured_over_ipv4() {
    let server = server();
    let machine = Machine::boot(&[server.address()]);
    machine.set_clock_behind(0.0);
    run_command(
        &machine,
        "mkdir -p /etc; echo multi on >/etc/host.conf; printf '2001:db8::1 both\\n10.0.2.100 both\\n' >/etc/hosts",
    );
    let both = |how: &str, six: &str| {
        let began = Instant::now();
        let run_command = query(&machine, "http://both/");
        assert_eq!(kind(&run_command), "none", "{how}: {run_command:?}");
        assert!(began.elapsed() < Duration::from_secs(12), "{how}: {:?}", began.elapsed());
        let complaints = run_command.stderr;
        let run_command = query(&machine, "-6 http://both/");
        assert!(run_command.stdout.contains(six), "{how}: {run_command:?}");
        assert_ne!(kind(&run_command), "none", "{how}: {run_command:?}");
        complaints
    };
    // QEMU's router claims all of IPv6.
    let conf = "/proc/sys/net/ipv6/conf/eth0";
    run_command(&machine, &format!("echo 0 >{conf}/accept_ra; ip -6 route del default; true"));
    both("no route", "cannot connect to [2001:db8::1]:80: network is unreachable");
    // With an address in the same network the resolver returns IPv6 first.
    run_command(
        &machine,
        &format!("echo 0 >{conf}/accept_dad; ip -6 address add 2001:db8::2/64 dev eth0"),
    );
    let complaints = both("nobody there", "[2001:db8::1]:80");
    assert!(complaints.contains("; trying the next address"), "IPv4 came first: {complaints}");
    run_command(&machine, "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6");
    both("no IPv6", "cannot connect to [2001:db8::1]:80: ");
    run_command(&machine, "echo 10.0.2.100 both >/etc/hosts");
    let four = query(&machine, "-6 http://both/");
    assert_eq!(kind(&four), "resolve");
}

/// Measures for six seconds, then not for ten minutes, whatever the result.
const MEASURE_RARELY: &str =
    "[measure]\nprofile = 'polite'\nduration = 6.0\n[poll]\nshortest = 600\nlongest = 600";

#[test]
fn a_clock_that_is_set_during_a_measurement_makes_it_an_error_and_run_measures_again() {
    let server = server();
    let machine = Machine::boot(&[server.address()]);
    machine.set_clock_behind(0.0);
    for step in ["3600000000000", "-7000000000", "-30000000"] {
        let command = format!(
            "(sleep 2; httptime-test-guest set-clock-forward {step}) & \
             httptime query --profile polite -d 5 --json {URL}"
        );
        let ended = machine.run(&command, LIMIT);
        println!("{step}: {ended:?}, {:?}", machine.offset());
        assert_eq!((ended.status, &*kind(&ended)), (1, "clock_stepped"), "{step}");
    }
    machine.set_clock_behind(0.0);

    start_run_with(&machine, &[URL], MEASURE_RARELY);
    thread::sleep(Duration::from_secs(2));
    // First during a measurement, then while the program waits.
    for said in ["the local clock was stepped by -3.", "the clock moved by -3."] {
        let before = log(&machine).len();
        // The command takes a moment, so the clock is set further back by that.
        run_command(&machine, "httptime-test-guest set-clock-forward -3200000000");
        wait_for_log(&machine, before, said);
        wait_for_log(&machine, before, "step by +3.");
    }
    println!("{}", end_run(&machine));
    // The clock is as correct as the machine could measure it, not as it was set.
    let after = machine.offset();
    assert!(after.offset.abs() < 0.5, "{after:?}");
}

/// Suspends the machine to RAM for a while. The monotonic clock stops meanwhile. QEMU supports this
/// once.
pub(crate) fn sleep(machine: &Machine) {
    const SLEEP_SECONDS: Duration = Duration::from_secs(6);
    let asleep = machine.start("echo mem >/sys/power/state");
    let deadline = Instant::now() + LIMIT;
    while machine.monitor("query-status")["status"] != "suspended" {
        let kernel = || machine.run("dmesg | tail -n 20", LIMIT).stdout;
        assert!(Instant::now() < deadline, "it does not go to sleep: {}", kernel());
        thread::sleep(Duration::from_millis(50));
    }
    thread::sleep(SLEEP_SECONDS);
    machine.monitor("system_wakeup");
    let woken = asleep.wait(LIMIT).expect("it wakes");
    assert_eq!(woken.status, 0, "{woken:?}");
}

#[test]
fn a_machine_that_sleeps_during_a_measurement_measures_again_when_it_wakes() {
    let server = server();
    let machine = Machine::boot(&[server.address()]);
    machine.set_clock_behind(0.0);
    start_run_with(&machine, &[URL], MEASURE_RARELY);
    let job = machine.start(&format!("httptime query --profile polite -d 8 --json {URL}"));
    thread::sleep(Duration::from_secs(3));
    sleep(&machine);
    let ended = job.wait(LIMIT).expect("it has a deadline");
    println!("slept meanwhile: {ended:?}");
    assert_eq!((ended.status, &*kind(&ended)), (1, "clock_stepped"));
    wait_for_log(&machine, 0, &format!("{URL}: the local clock was stepped by +"));
    wait_for_log(&machine, 0, "the clock moved by +");
    wait_for_log(&machine, 0, "] offset ");
    println!("{}", end_run(&machine));
}

#[test]
fn a_machine_that_sleeps_between_measurements_measures_when_it_wakes() {
    let server = server();
    let machine = Machine::boot(&[server.address()]);
    machine.set_clock_behind(0.0);
    start_run_with(&machine, &[URL], MEASURE_RARELY);
    wait_for_measurements(&machine, 1);
    sleep(&machine);
    let woken = machine.offset();
    wait_for_measurements(&machine, 1);
    let log = end_run(&machine);
    println!("on waking {woken:?}, then {:?}\n{log}", machine.offset());
    assert!(log.contains("the clock moved by +"), "{log}");
}

#[test]
fn a_virtual_machine_that_is_paused_contradicts_itself() {
    let server = server();
    let machine = Machine::boot(&[server.address()]);
    machine.set_clock_behind(0.0);
    let job = machine.start(&format!("httptime query --profile polite -d 8 --json {URL}"));
    thread::sleep(Duration::from_secs(4));
    // Only the server's time shows this inside the machine.
    machine.monitor("stop");
    thread::sleep(Duration::from_secs(4));
    machine.monitor("cont");
    let ended = job.wait(LIMIT).expect("it has a deadline");
    println!("paused meanwhile: {ended:?}, {:?}", machine.offset());
    assert_eq!((ended.status, &*kind(&ended)), (1, "inconsistent"));
}
