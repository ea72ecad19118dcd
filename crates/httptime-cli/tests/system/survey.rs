//! `httptime survey` of a thousand nginx: some have wrong clocks, some servers do not answer.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use httptime_testserver::RefusedPort;
use serde_json::Value;

use crate::daemon::{Daemon, fresh_directory};

/// Clocks that are wrong, in libfaketime's syntax, and how many servers have each.
const SKEWS: [(&str, f64); 5] = [
    ("+38.116s", 38.116),
    ("-38.116s", -38.116),
    ("+2.5s", 2.5),
    ("-1.7s", -1.7),
    ("+86400s", 86_400.0),
];
const SERVERS_WITH_EACH: usize = 4;
const SERVERS: usize = 1000;
const MAX_SECONDS: f64 = 15.0;
const MAX_KIB: u64 = 64 * 1024;

/// The output of a survey, and what the process needed.
struct Done {
    json: Value,
    status: Option<i32>,
    seconds: f64,
    peak_kib: u64,
    threads: u64,
}

fn survey(urls: &[String]) -> Done {
    let directory = fresh_directory("survey");
    let (list, out) = (directory.join("list"), directory.join("out"));
    fs::write(&list, urls.join("\n")).expect("a file");
    let begun = Instant::now();
    let mut process = Command::new(env!("CARGO_BIN_EXE_httptime"))
        .args(["survey", "--json", "--file"])
        .arg(&list)
        .env_remove("http_proxy")
        .stdout(fs::File::create(&out).expect("a file"))
        .stdin(Stdio::null())
        .spawn()
        .expect("the program starts");
    let (mut peak_kib, mut threads) = (0, 0);
    let status = loop {
        let status = fs::read_to_string(format!("/proc/{}/status", process.id()));
        let status = status.unwrap_or_default();
        let number = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|it| it.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        peak_kib = peak_kib.max(number("VmHWM:"));
        threads = threads.max(number("Threads:"));
        if let Some(status) = process.try_wait().expect("a child") {
            break status.code();
        }
        thread::sleep(Duration::from_millis(20));
    };
    let seconds = begun.elapsed().as_secs_f64();
    let text = fs::read_to_string(&out).expect("the output");
    let json = serde_json::from_str(&text).expect("one JSON object");
    fs::remove_dir_all(directory).expect("removed");
    Done { json, status, seconds, peak_kib, threads }
}

impl Done {
    /// Checks the limits, and the servers that answer against the truth. Returns how many failed.
    fn check(&self, name: &str, truths: &BTreeMap<String, f64>) -> usize {
        let (mut errors, mut failed) = (Vec::new(), 0);
        for server in self.json["servers"].as_array().expect("a list") {
            let url = server["url"].as_str().expect("a URL");
            let Some(truth) = truths.get(url) else {
                assert_eq!(server["status"], "failed", "{server}");
                failed += 1;
                continue;
            };
            let wrong = if *truth == 0.0 { "good" } else { "falseticker" };
            assert_eq!(server["status"], wrong, "{server}");
            let at = |end: usize| server["skew_bounds_seconds"][end].as_f64().expect("a bound");
            assert!((at(0)..=at(1)).contains(truth), "{truth} is outside: {server}");
            errors.push((server["skew_seconds"].as_f64().expect("a skew") - truth).abs());
        }
        errors.sort_by(f64::total_cmp);
        let part = |percent: usize| errors[(errors.len() - 1) * percent / 100] * 1e3;
        println!(
            "{name}: {} measured, {failed} failed in {:.1} s; error median {:.3} ms, 95 % {:.3} ms, largest {:.3} ms; \
             {} KiB, {} threads",
            errors.len(),
            self.seconds,
            part(50),
            part(95),
            part(100),
            self.peak_kib,
            self.threads
        );
        assert_eq!(errors.len(), truths.len(), "{name}");
        assert_eq!(self.status, Some(6), "{name}");
        assert!(self.seconds <= MAX_SECONDS, "{name}: {} s", self.seconds);
        assert!(self.peak_kib <= MAX_KIB, "{name}: {} KiB", self.peak_kib);
        assert_eq!(self.threads, 1, "{name}");
        // All clocks flip at once, and a busy machine makes requests late.
        assert!(part(50) <= 10.0, "{name}: median error {} ms", part(50));
        failed
    }
}

/// `127.X.Y.Z`, each number another one.
fn address(number: usize) -> String {
    format!("127.{}.{}.{}", 1 + number / 62_500, number / 250 % 250, 1 + number % 250)
}

#[test]
fn the_20_wrong_clocks_of_1000_are_found_also_if_300_do_not_answer() {
    let good = Daemon::nginx_on_all_addresses(None);
    let wrong = SKEWS.map(|(skew, truth)| (Daemon::nginx_on_all_addresses(Some(skew)), truth));
    let url = |number: usize, server: &Daemon| {
        format!("http://{}:{}/", address(number), server.address().port())
    };
    let mut truths = BTreeMap::new();
    for number in 0..SERVERS {
        let every = SERVERS / (SKEWS.len() * SERVERS_WITH_EACH);
        let (server, truth) = match number % every {
            7 => {
                let (server, truth) = &wrong[number / every % SKEWS.len()];
                (server, *truth)
            }
            _ => (&good, 0.0),
        };
        truths.insert(url(number, server), truth);
    }
    let skewed = |truths: &BTreeMap<String, f64>| truths.values().filter(|it| **it != 0.0).count();
    println!("{} of {} clocks are wrong", skewed(&truths), truths.len());
    let urls: Vec<String> = truths.keys().cloned().collect();
    assert_eq!(survey(&urls).check("1000 servers", &truths), 0);

    // The first 300 good ones are gone, or accept and never answer.
    let refused = RefusedPort::reserve().expect("a port");
    let mut silent = Vec::new();
    let mut urls = Vec::new();
    for (number, (url, _)) in
        truths.clone().into_iter().filter(|it| it.1 == 0.0).take(300).enumerate()
    {
        truths.remove(&url);
        if number % 2 == 0 {
            urls.push(format!("http://{}:{}/", address(number), refused.address().port()));
        } else {
            let listener = TcpListener::bind((address(number), 0)).expect("a port");
            urls.push(format!("http://{}/", listener.local_addr().expect("its address")));
            silent.push(listener);
        }
    }
    urls.extend(truths.keys().cloned());
    assert_eq!(survey(&urls).check("700 of 1000 servers", &truths), 300);
}
