//! Tests of the machine with the wrong clock: it has the properties that other tests assume, and
//! the program measures correctly in it.

use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use httptime::Offset;
use httptime_testserver::LoopbackServer;

use crate::SKEW;
use crate::machine::{Comparison, Hardware, Machine};
use crate::program::Answer;

const LIMIT: Duration = Duration::from_secs(30);

fn honest_server() -> LoopbackServer {
    LoopbackServer::builder().server_header(Some("nginx".into())).start().expect("a loopback port")
}

/// Compares the clocks and prints the result.
fn compared(name: &str, machine: &Machine) -> Comparison {
    let compared = machine.offset();
    println!("{name}: {:+.6} s ± {:.3} ms", compared.offset, compared.bound * 1e3);
    assert!(compared.bound <= 1e-3, "{name}: {compared:?}");
    compared
}

/// Measures `url` with the program in the machine.
fn queried(machine: &Machine, url: &str) -> Answer {
    let done = machine.run(&format!("httptime query --profile fast --json {url}"), LIMIT);
    assert_eq!(done.status, 0, "{done:?}");
    Answer::read(&done.stdout)
}

#[test]
fn the_machine_boots_unsynchronised_and_is_gone_when_dropped() {
    let server = honest_server();
    let began = Instant::now();
    let machine = Machine::boot(&[server.address()]);
    let took = began.elapsed();
    println!("booted in {took:.1?}");
    assert!(took < Duration::from_secs(30), "{took:?}");

    let clock = machine.kernel_clock();
    println!("{clock:?}");
    assert!(!clock.synchronised, "{clock:?}");
    assert_eq!((clock.maxerror_us, clock.esterror_us), (16_000_000, 16_000_000));
    assert_eq!(clock.tick_us, 10_000);
    assert!(clock.frequency_ppm.abs() < 1e-9, "{clock:?}");

    let held = "(sleep 600 | nc 10.0.2.100 80) >/dev/null 2>&1 & exit 3";
    assert_eq!(machine.run(held, LIMIT).status, 3);
    let done = machine.run("echo out; echo err >&2; kill -9 $$", LIMIT);
    assert_eq!((done.status, &*done.stdout, &*done.stderr), (128 + 9, "out\n", "err\n"));
    let job = machine.start("echo here; exec sleep 600");
    let so_far = job.wait(Duration::from_millis(200)).expect_err("it sleeps");
    assert_eq!(so_far, "here\n");
    job.signal(15);
    assert_eq!(job.wait(LIMIT).expect("it was ended").status, 128 + 15);

    let process = format!("/proc/{}", machine.pid());
    assert!(Path::new(&process).exists());
    drop(machine);
    assert!(!Path::new(&process).exists());
    let deadline = Instant::now() + Duration::from_secs(5);
    while server.open_connections() > 0 {
        assert!(Instant::now() < deadline, "its connection outlives it");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_machine_s_own_program_refuses_to_work_anywhere_else() {
    // A command that only reads: it is refused in the same way as those that set a clock.
    let outside = Command::new(env!("CARGO_BIN_EXE_httptime-test-guest"))
        .arg("rtc")
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&outside.stderr);
    assert!(!outside.status.success() && said.contains("refused"), "{outside:?}");
}

#[test]
fn a_machine_38_seconds_behind_measures_that_through_its_one_port() {
    let server = honest_server();
    let machine = Machine::boot(&[server.address()]);
    machine.set_clock_behind(SKEW);
    let before = compared("before", &machine);
    assert!((before.offset - SKEW).abs() < 5e-3, "{before:?}");
    let ahead = machine.hardware_clock_ahead();
    println!("hardware clock ahead by {ahead:.3} s");
    assert!(ahead.abs() < 1.1, "{ahead}");

    let answer = queried(&machine, "http://10.0.2.100/");
    let after = compared("after", &machine);
    let truth = after.offset;
    println!(
        "the program: {:+.6} s, bounds {:+.6} to {:+.6} s",
        answer.offset, answer.bounds[0], answer.bounds[1]
    );
    assert!((answer.offset - truth).abs() < 5e-3, "{answer:?}, {after:?}");
    // The comparison is not exact either.
    let [lowest, highest] = answer.bounds;
    assert!(
        lowest <= truth + after.bound && truth - after.bound <= highest,
        "{answer:?}, {after:?}"
    );
    assert!(highest - lowest < 20e-3, "{answer:?}");
}

#[test]
fn nothing_but_the_one_port_can_be_reached_from_the_machine() {
    let server = honest_server();
    let other = honest_server();
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
    udp.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    let machine = Machine::boot(&[server.address()]);

    let get = |to: &str| {
        let command = format!("printf 'HEAD / HTTP/1.0\\r\\n\\r\\n' | timeout 3 nc {to}");
        machine.run(&command, LIMIT).stdout
    };
    let answer = get("10.0.2.100 80");
    assert!(answer.contains("Date:"), "{answer}");
    // 10.0.2.2 is the host's loopback interface for a machine with an open network.
    let ports = [format!("10.0.2.2 {}", other.address().port()), "10.0.2.100 81".to_owned()];
    for closed in ports {
        assert_eq!(get(&closed), "", "{closed}");
    }
    assert_eq!(other.connections(), 0);

    let port = udp.local_addr().expect("its address").port();
    let sent = machine.run(&format!("httptime-test-guest send-datagram 10.0.2.2:{port}"), LIMIT);
    assert_eq!(sent.status, 0, "{sent:?}");
    let arrived = udp.recv(&mut [0; 16]);
    assert!(arrived.is_err(), "{arrived:?}");
}

#[test]
fn a_second_server_is_a_second_address() {
    let lying = LoopbackServer::builder()
        .skew(Offset::from_nanos(-7_250_000_000))
        .server_header(Some("nginx".into()))
        .start()
        .expect("a loopback port");
    let honest = honest_server();
    let machine = Machine::boot(&[honest.address(), lying.address()]);
    let truth = compared("two servers", &machine).offset;
    let answer = queried(&machine, "http://10.0.2.101/");
    println!("the second: {:+.6} s", answer.offset);
    assert!((answer.offset - truth + 7.25).abs() < 5e-3, "{answer:?}, truth {truth}");
}

#[test]
fn a_machine_whose_oscillator_is_50_ppm_fast_gains_that_much() {
    let server = honest_server();
    let machine = Machine::boot_with(
        &[server.address()],
        &Hardware { fast_ppm: 50.0, ..Hardware::default() },
    );
    let began = Instant::now();
    let first = compared("first", &machine);
    thread::sleep(Duration::from_secs(10));
    let elapsed = began.elapsed().as_secs_f64();
    let second = compared("second", &machine);
    let ppm = (first.offset - second.offset) / elapsed * 1e6;
    println!("{ppm:+.1} ppm in {elapsed:.1} s");
    assert!((ppm - 50.0).abs() < 30.0, "{ppm} ppm");
    // No steering is involved.
    assert!(machine.kernel_clock().frequency_ppm.abs() < 1e-9);
}
