//! The program against servers and proxies of other projects: nginx, Apache, Python's
//! `http.server`, tinyproxy and squid from Debian, with wrong clocks by libfaketime; and on a
//! machine whose own clock is wrong, under QEMU. All of them must be installed: the tests fail if
//! one is missing.

mod chrony;
#[expect(dead_code, reason = "the tests of httptime-tls use the servers with TLS")]
mod daemon;
mod doctor;
mod faults;
mod https;
mod keep;
mod machine;
mod machine_tests;
mod microseconds;
mod program;
mod recovery;
mod root;
mod site;
mod survey;
mod sync;
mod systemd;
mod units;

use std::thread;
use std::time::{Duration, Instant};

use daemon::Daemon;
use httptime::Offset;
use httptime_testserver::LoopbackServer;
use program::{Answer, refused};

const SKEW: f64 = 38.116;

/// Runs the program `runs` times, a few at once, each started at a random phase of the second.
fn runs(runs: usize, url: &str, arguments: &[&str]) -> Vec<Answer> {
    runs_at_once(4, runs, url, arguments)
}

fn runs_at_once(at_once: usize, runs: usize, url: &str, arguments: &[&str]) -> Vec<Answer> {
    let seed = 20_261_123;
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut answers = Vec::new();
    while answers.len() < runs {
        let phases: Vec<Duration> = (0..at_once.min(runs - answers.len()))
            .map(|_| Duration::from_millis(random.u64(0..1000)))
            .collect();
        thread::scope(|scope| {
            let started: Vec<_> = phases
                .iter()
                .map(|phase| {
                    scope.spawn(|| {
                        thread::sleep(*phase);
                        Answer::query(url, arguments)
                    })
                })
                .collect();
            answers.extend(started.into_iter().map(|run| run.join().expect("the program ran")));
        });
    }
    answers
}

/// Prints the errors and checks each of them, their median, and that every measurement's bounds
/// contain the truth.
fn check(name: &str, answers: &[Answer], truth: f64, largest: f64, median: Option<f64>) {
    let mut errors: Vec<f64> = answers.iter().map(|answer| (answer.offset - truth).abs()).collect();
    errors.sort_by(f64::total_cmp);
    let middle = errors[errors.len() / 2];
    let worst = errors[errors.len() - 1];
    let inside = answers.iter().filter(|answer| answer.contains(truth)).count();
    let requests = answers.iter().map(|answer| answer.requests).max().unwrap_or(0);
    let seconds = answers.iter().map(|answer| answer.elapsed).fold(0.0, f64::max);
    println!(
        "{name}: {} runs: error median {:.1} µs, largest {:.1} µs; truth inside {inside}; at most {requests} requests, \
         {seconds:.1} s",
        answers.len(),
        middle * 1e6,
        worst * 1e6,
    );
    assert_eq!(inside, answers.len(), "{name}: truth {truth} outside: {answers:#?}");
    assert!(worst <= largest, "{name}: error {worst} s");
    assert!(median.is_none_or(|limit| middle <= limit), "{name}: median error {middle} s");
    assert!(requests <= 48 && seconds <= 12.0, "{name}: {requests} requests in {seconds} s");
}

/// Half of the longest of 30 fetches. A forwarding proxy opens a connection for each request, so
/// nearly the whole round trip can lie before the server. No client can see that, and its estimate
/// is then off by up to this much.
fn half_a_fetch(proxy: &Daemon, url: &str) -> f64 {
    let fetches = (0..30).map(|_| {
        let start = Instant::now();
        daemon::fetch_via_proxy(proxy, url);
        start.elapsed().as_secs_f64()
    });
    fetches.fold(0.0, f64::max) / 2.0
}

#[test]
fn delays_on_both_ways_are_compensated_at_every_phase_of_the_second() {
    let cases = [(0, 0), (25, 25), (100, 100), (45, 5)];
    let skews = [SKEW, -SKEW, 0.5, -0.3, 86_400.25];
    // The tests mostly wait, so all skews of a path run at once. Requests leave at random phases,
    // so responses arrive on both sides of the local second.
    for (before, after) in cases {
        let limit = f64::from(before - after) / 2e3 + 2e-3;
        thread::scope(|scope| {
            for skew in skews {
                scope.spawn(move || {
                    let delay = |ms: i32| Duration::from_millis(ms.unsigned_abs().into());
                    #[expect(clippy::cast_possible_truncation, reason = "a day in nanoseconds")]
                    let offset = Offset::from_nanos((skew * 1e9).round() as i64);
                    let server = LoopbackServer::builder()
                        .skew(offset)
                        .delays(delay(before), delay(after))
                        .server_header(Some("nginx".into()))
                        .start()
                        .expect("a loopback port");
                    let name = format!("delays {before}/{after} ms, skew {skew} s");
                    check(&name, &runs(4, &server.url(), &[]), skew, limit, None);
                });
            }
        });
    }
}

#[test]
fn apache_is_measured() {
    let apache = Daemon::apache("+38.116s");
    check("Apache", &runs(8, &apache.url(), &[]), SKEW, 2e-3, None);
}

#[test]
fn python_http_server_that_closes_each_time_is_measured() {
    // Under libfaketime a response takes 12 ms, so its clock is correct here. It serves one
    // connection at a time, so the measurements run one after the other.
    let python = Daemon::python();
    check("http.server", &runs_at_once(1, 4, &python.url(), &[]), 0.0, 2e-3, None);
}

#[test]
fn nginx_is_measured_through_real_proxies_in_absolute_form_and_by_connect() {
    let nginx = Daemon::nginx("+38.116s");
    let server = &nginx.url();
    thread::scope(|scope| {
        for proxy in [Daemon::tinyproxy(), Daemon::squid(false)] {
            scope.spawn(move || {
                let url = proxy.url();
                for tunnel in [&[][..], &["--proxytunnel"]] {
                    let mut arguments = vec!["--proxy", &url];
                    arguments.extend(tunnel);
                    let name = format!("through {} {tunnel:?}", proxy.name());
                    let answers = runs_at_once(1, 3, server, &arguments);
                    let unseen = half_a_fetch(&proxy, &format!("{server}stored"));
                    check(&name, &answers, SKEW, 1e-3 + unseen, None);
                }
            });
        }
    });
}

#[test]
fn proxy_credentials_in_the_url_are_used_and_missing_ones_named() {
    let nginx = Daemon::nginx("+38.116s");
    let proxy = Daemon::tinyproxy_with_credentials("user", "pass");
    let with = proxy.url().replace("http://", "http://user:p%61ss@");
    for tunnel in [&[][..], &["--proxytunnel"]] {
        let arguments = [&["--proxy", &with][..], tunnel].concat();
        let answers = runs_at_once(1, 2, &nginx.url(), &arguments);
        // How exact it is does not depend on credentials: see the test before this one.
        check("through tinyproxy with credentials", &answers, SKEW, f64::INFINITY, None);
        let url = proxy.url();
        let arguments = [&["--proxy", &url][..], tunnel].concat();
        let kind = refused(&nginx.url(), &arguments);
        assert!(kind == "proxy_credentials" || kind == "proxy_refused", "{kind}");
    }
}

#[test]
fn a_response_stored_by_a_caching_proxy_is_refused_by_name() {
    let nginx = Daemon::nginx("+38.116s");
    let squid = Daemon::squid(true);
    // The proxy stores the response, which then becomes a second old.
    daemon::fetch_via_proxy(&squid, &format!("{}stored", nginx.url()));
    thread::sleep(Duration::from_millis(2100));
    let url = format!("{}stored", nginx.url());
    assert_eq!(refused(&url, &["--proxy", &squid.url()]), "cached");
}

/// The system calls that Linux got after 3.2 and that the program or its C library would use.
const NEWER_CALLS: &str = "getrandom,statx,clone3,rseq,membarrier,faccessat2,openat2,close_range,\
                           renameat2,copy_file_range,preadv2,sendmmsg,epoll_pwait2";

#[test]
fn the_system_calls_of_linux_3_2_suffice() {
    let nginx = Daemon::nginx("+38.116s");
    let url = nginx.url();
    // A name starts a thread.
    for url in [&url, &url.replace("127.0.0.1", "localhost")] {
        let answer = Answer::query_without(NEWER_CALLS, url, &["-n", "16", "-4"]);
        check("the system calls of Linux 3.2", &[answer], SKEW, 5e-3, None);
    }
}
