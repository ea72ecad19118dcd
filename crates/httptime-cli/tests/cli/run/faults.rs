//! `httptime run` on a machine with a temporary fault.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{LIMIT, SKEW, Service};

/// Retries soon after a failure.
const SOON: &str = "[poll]\nshortest = 1";

/// Waits until `done`. Panics with the log if that takes too long.
fn until(service: &Service, what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < deadline, "{what}: {}", service.log());
        thread::sleep(Duration::from_millis(20));
    }
}

/// Checks the last measurement in the metrics against the truth.
fn assert_truth_in_bounds(service: &Service) {
    let metrics = fs::read_to_string(service.directory.join("httptime.prom")).expect("metrics");
    let bound = |name: &str| -> f64 {
        let name = format!("httptime_offset_{name}_bound_seconds ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name}: {metrics}"))
    };
    assert!((bound("lower")..=bound("upper")).contains(&SKEW), "{metrics}");
}

/// Sends SIGHUP to the service some thousand times a second, until the value is dropped.
struct ReloadStorm(std::process::Child);

impl ReloadStorm {
    fn over(service: &Service) -> Self {
        // The shell's own `kill`: a separate process for each signal would be too slow.
        let script = "while kill -HUP $0; do :; done";
        let storm = Command::new("sh")
            .args(["-c", script, &service.pid()])
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        Self(storm)
    }
}

impl Drop for ReloadStorm {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_storm_of_reloads_while_the_configuration_is_rewritten_keeps_it_from_nothing() {
    let service = Service::start("storm");
    service.wait_for_notification("READY=1");
    service.sampled();
    let file = service.directory.join("httptime.toml");
    let whole = service.configuration("");
    let half = &whole[..whole.len() / 2];
    let broken = format!("{whole}= 1\n");
    {
        let _storm = ReloadStorm::over(&service);
        // Removed, truncated, invalid, and replaced atomically.
        let states: [(Option<&str>, &str); 4] = [
            (None, "no such file or directory"),
            (Some(half), "httptime.toml: line "),
            (Some(&broken), "httptime.toml: line "),
            (Some(&whole), "reloaded "),
        ];
        for (text, expected) in states {
            let before = service.log().len();
            match text {
                None => fs::remove_file(&file).expect("it was there"),
                Some(text) => {
                    let beside = file.with_extension("new");
                    fs::write(&beside, text).expect("a file");
                    fs::rename(beside, &file).expect("the same folder");
                }
            }
            until(&service, expected, || service.log()[before..].contains(expected));
            // The first one may have started before. The second is measured during the signals.
            for _ in 0..2 {
                service.sampled();
                assert_truth_in_bounds(&service);
            }
        }
        // The file is rewritten in place repeatedly, so any prefix of it may be read.
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(3) {
            fs::write(&file, &whole).expect("a file");
        }
        service.sampled();
        assert_truth_in_bounds(&service);
    }
    let moved = service.configuration("").replace("httptime.prom", "moved.prom");
    fs::write(&file, moved).expect("a file");
    service.signal("-HUP");
    until(&service, "the last one", || service.directory.join("moved.prom").exists());
    let (status, log) = service.end();
    let reloads = log.matches("reloaded ").count() + log.matches("old settings").count();
    println!("{reloads} reloads");
    assert_eq!(status, Some(0));
    assert!(reloads > 1000, "{reloads} reloads");
    assert!(!log.contains("panicked") && !log.contains("cannot measure"), "{log}");
}

#[test]
fn a_textfile_that_cannot_be_written_is_said_once_and_written_when_it_can() {
    let service = Service::start("unwritable");
    service.wait_for_notification("READY=1");
    let folder = service.directory.join("metrics");
    let moved = service.configuration(SOON).replace("httptime.prom", "metrics/httptime.prom");
    fs::write(service.directory.join("httptime.toml"), moved).expect("a file");
    service.signal("-HUP");
    until(&service, "said", || service.log().contains("cannot write"));
    // Three more measurements of the same server.
    for _ in 0..4 {
        service.sampled();
    }
    assert_eq!(service.log().matches("cannot write").count(), 1, "{}", service.log());
    fs::create_dir(&folder).expect("a folder");
    until(&service, "written", || folder.join("httptime.prom").exists());
    until(&service, "said again", || service.log().contains("resolved: cannot write"));
    assert_eq!(fs::read_dir(&folder).expect("listed").count(), 1, "nothing beside it");
    assert_eq!(service.end().0, Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn out_of_descriptors_it_reports_it_continues_and_recovers() {
    let limit = |service: &Service, number: &str| {
        let nofile = format!("--nofile={number}:");
        let done = Command::new("prlimit").args(["--pid", &service.pid(), &nofile]).status();
        assert!(done.expect("prlimit of util-linux").success());
    };
    let service = Service::start("descriptors");
    service.wait_for_notification("READY=1");
    service.configure(SOON);
    service.signal("-HUP");
    service.wait_for_notification("READY=1");
    service.sampled();
    limit(&service, "3");
    for said in ["cannot connect to 127.0.0.1:", "cannot write "] {
        until(&service, said, || {
            let log = service.log().to_lowercase();
            log.lines().any(|line| line.contains(said) && line.contains("too many open files"))
        });
    }
    // Reading the configuration also needs a descriptor.
    service.signal("-HUP");
    until(&service, "kept", || service.log().contains("keeping the old settings"));
    limit(&service, "1024");
    let metrics = service.directory.join("httptime.prom");
    let before = fs::read_to_string(&metrics).expect("metrics");
    assert!(before.ends_with('\n'), "{before}");
    until(&service, "written again", || service.log().contains("resolved: cannot write"));
    service.sampled();
    let (status, log) = service.end();
    assert_eq!(status, Some(0), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}
