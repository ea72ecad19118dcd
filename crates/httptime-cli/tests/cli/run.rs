//! `httptime run` as a service manager sees it: ready, watchdog, reload, exit. The program feeds a
//! socket in the place of chronyd's. No clock is set.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use httptime::Offset;
use httptime_testserver::{LoopbackServer, RefusedPort};

use super::stamps::{MICROS, stamped, tomorrow};

mod faults;
mod status;

const SKEW: f64 = 38.116;
const LIMIT: Duration = Duration::from_secs(20);

/// `httptime run`, with the sockets that chronyd and the service manager would have. Dropping the
/// value kills the process.
struct Service {
    process: Option<Child>,
    directory: PathBuf,
    chronyd: UnixDatagram,
    /// The notifications to the service manager. A thread always receives them, because a sender to
    /// a full socket waits.
    manager: Receiver<String>,
    server: LoopbackServer,
}

impl Service {
    fn start(name: &str) -> Self {
        let builder = LoopbackServer::builder().skew(Offset::from_nanos(38_116_000_000));
        Self::start_with(name, builder.start().expect("a loopback port"))
    }

    fn start_with(name: &str, server: LoopbackServer) -> Self {
        Self::start_logging(name, server, "info")
    }

    /// With this level of the log.
    fn start_logging(name: &str, server: LoopbackServer, level: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("httptime-run-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).expect("a directory");
        let chronyd = UnixDatagram::bind(directory.join("chronyd")).expect("a socket");
        chronyd.set_read_timeout(Some(LIMIT)).expect("a timeout");
        let listening = UnixDatagram::bind(directory.join("manager")).expect("a socket");
        let (received, manager) = mpsc::channel();
        thread::spawn(move || {
            let mut message = [0; 4096];
            while let Ok(length @ 1..) = listening.recv(&mut message) {
                let _ = received.send(String::from_utf8_lossy(&message[..length]).into_owned());
            }
        });
        let mut service = Self { process: None, directory, chronyd, manager, server };
        service.configure("");
        let process = Command::new(env!("CARGO_BIN_EXE_httptime"))
            .arg("run")
            .arg("--config")
            .arg(service.directory.join("httptime.toml"))
            .env("NOTIFY_SOCKET", service.directory.join("manager"))
            .env("RUNTIME_DIRECTORY", &service.directory)
            .env("HTTPTIME_LOG", level)
            .env_remove("http_proxy")
            .env_remove("all_proxy")
            .stdin(Stdio::null())
            // A file takes all output, whether it is read or not.
            .stderr(File::create(service.directory.join("log")).expect("a file"))
            .spawn()
            .expect("the program starts");
        service.process = Some(process);
        service
    }

    fn configure(&self, more: &str) {
        fs::write(self.directory.join("httptime.toml"), self.configuration(more)).expect("a file");
    }

    fn configuration(&self, more: &str) -> String {
        let place = self.directory.display();
        format!(
            "servers = ['{}']\nmode = 'chrony'\ntextfile = '{place}/httptime.prom'\n{more}\n\
             [measure]\nrequests = 4\nduration = 2\n[chrony]\nsocket = '{place}/chronyd'\npoll = 1\n",
            self.server.url()
        )
    }

    /// Waits until the manager receives a notification that begins like this.
    fn wait_for_notification(&self, beginning: &str) {
        let deadline = Instant::now() + LIMIT;
        let mut received = Vec::new();
        while let Ok(text) = self.manager.recv_timeout(deadline.duration_since(Instant::now())) {
            if text.lines().any(|line| line.starts_with(beginning)) {
                return;
            }
            received.push(text);
        }
        panic!("no {beginning}: {received:?}");
    }

    /// Discards the samples that have already arrived.
    fn forget_samples(&self) {
        self.chronyd.set_nonblocking(true).expect("a mode");
        while self.chronyd.recv(&mut [0; 64]).is_ok() {}
        self.chronyd.set_nonblocking(false).expect("a mode");
    }

    /// The offset of the next sample.
    fn sampled(&self) -> f64 {
        let mut sample = [0; 64];
        // Linux does not resume a wait with a timeout after the process was stopped and continued
        // (signal(7)).
        let received = loop {
            match self.chronyd.recv(&mut sample) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received,
            }
        };
        let length = received.unwrap_or_else(|error| panic!("no sample: {error}: {}", self.log()));
        assert_eq!(length, 40);
        f64::from_ne_bytes(sample[16..24].try_into().expect("eight bytes"))
    }

    fn pid(&self) -> String {
        self.process.as_ref().expect("started").id().to_string()
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("kill").args([name, &self.pid()]).status();
        assert!(kill.expect("kill runs").success());
    }

    /// The log so far.
    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).expect("a log")
    }

    /// Stops the program. Returns its exit status and its log.
    fn end(mut self) -> (Option<i32>, String) {
        self.signal("-TERM");
        self.wait_for_notification("STOPPING=1");
        let ended = self.process.take().expect("started").wait().expect("it ends");
        (ended.code(), self.log())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
        // An empty message stops the receiving thread.
        let _ = UnixDatagram::unbound()
            .and_then(|socket| socket.send_to(&[], self.directory.join("manager")));
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn it_notifies_when_ready_feeds_chronyd_writes_metrics_and_stops_on_request() {
    let service = Service::start("fed");
    service.wait_for_notification("READY=1");
    let offset = service.sampled();
    // Four requests leave an uncertainty of an eighth of a second, or a quarter if one of them was
    // late.
    assert!((offset - SKEW).abs() < 0.25, "{offset}");
    service.wait_for_notification("STATUS=offset +38.");
    // The metrics are written after the status.
    service.sampled();
    let metrics = fs::read_to_string(service.directory.join("httptime.prom")).expect("metrics");
    for metric in [
        "\nhttptime_offset_seconds 38.",
        "\nhttptime_measurements_total ",
        "\nhttptime_failures_total 0\n",
    ] {
        assert!(metrics.contains(metric), "{metrics}");
    }
    let (status, log) = service.end();
    // The cause above its effect.
    let place = |text: &str| log.find(text).unwrap_or_else(|| panic!("no {text}: {log}"));
    assert!(
        place("] offset +38.") < place("sample sent to chronyd; next measurement in "),
        "{log}"
    );
    assert_eq!(status, Some(0), "{log}");
}

#[test]
fn it_takes_over_a_new_configuration_and_keeps_the_old_one_when_that_is_wrong() {
    let service = Service::start("reloaded");
    service.wait_for_notification("READY=1");
    service.configure("mood = 'good'");
    service.signal("-HUP");
    service.wait_for_notification("RELOADING=1");
    service.wait_for_notification("READY=1");
    service.sampled();
    service.configure("state_file = '/nowhere/else'");
    service.signal("-HUP");
    service.wait_for_notification("READY=1");
    service.sampled();
    let (_, log) = service.end();
    assert!(log.contains("unknown key 'mood'") && log.contains("line 4"), "{log}");
    assert!(log.contains("keeping the old settings"), "{log}");
    assert!(log.contains("INFO  httptime::run] reloaded "), "{log}");
}

/// After a failure the program waits 64 s, twice as long each time. An operator who has corrected
/// the URL does not have to wait.
#[test]
fn a_reload_measures_at_once_however_long_the_pause_after_failures_is() {
    let service = Service::start("corrected");
    service.wait_for_notification("READY=1");
    service.sampled();
    let port = RefusedPort::reserve().expect("a port");
    let refused = format!("http://{}", port.address());
    let wrong = service.configuration("").replace(&service.server.url(), &refused);
    fs::write(service.directory.join("httptime.toml"), wrong).expect("a file");
    service.signal("-HUP");
    service.wait_for_notification("STATUS=cannot measure");
    service.forget_samples();
    service.configure("");
    service.signal("-HUP");
    service.sampled();
    let (status, log) = service.end();
    assert_eq!(status, Some(0), "{log}");
}

#[test]
fn it_continues_while_chronyd_is_away_and_reports_it() {
    let service = Service::start("away");
    service.wait_for_notification("READY=1");
    fs::remove_file(service.directory.join("chronyd")).expect("removed");
    service.wait_for_notification("STATUS=");
    let metrics = service.directory.join("httptime.prom");
    let deadline = Instant::now() + LIMIT;
    while !fs::read_to_string(&metrics).is_ok_and(|text| text.contains("failures_total 1")) {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(50));
    }
    let (status, log) = service.end();
    assert_eq!(status, Some(0));
    assert!(log.contains("refclock SOCK"), "{log}");
}

#[test]
fn the_stamp_is_in_log_and_metrics_and_a_key_of_the_configuration_ignores_it() {
    let service = Service::start_with("stamped", stamped(MICROS));
    service.wait_for_notification("READY=1");
    let offset = service.sampled();
    assert!((offset - SKEW).abs() < 0.05, "{offset}");
    service.wait_for_notification("STATUS=offset +38.");
    // The metrics are written after the status.
    service.sampled();
    let metrics = || fs::read_to_string(service.directory.join("httptime.prom")).expect("metrics");
    let is_stamped = |value: u8| {
        let metric =
            format!("httptime_server_stamped{{url=\"{}\"}} {value}\n", service.server.url());
        metrics().contains(&metric)
    };
    assert!(is_stamped(1), "{}", metrics());
    let ignoring = service.configuration("").replace("[measure]", "[measure]\nstamp_header = ''");
    fs::write(service.directory.join("httptime.toml"), ignoring).expect("a file");
    service.signal("-HUP");
    let deadline = Instant::now() + LIMIT;
    while !is_stamped(0) {
        assert!(Instant::now() < deadline, "{}", metrics());
        thread::sleep(Duration::from_millis(50));
    }
    let (status, log) = service.end();
    assert_eq!(status, Some(0), "{log}");
    let (before, after) = log.split_once("reloaded ").expect("a reload");
    let measured = " s (stamp X-HTTPSTIME, 1 µs)\n";
    assert!(before.contains(measured) && !after.contains(measured), "{log}");
}

#[test]
fn the_detailed_log_has_each_request_with_its_server() {
    let server = LoopbackServer::builder().start().expect("a loopback port");
    let service = Service::start_logging("detailed", server, "debug");
    service.wait_for_notification("READY=1");
    service.sampled();
    let (url, requests) = (service.server.url(), service.server.requests());
    let (_, log) = service.end();
    // Few on a machine that is busy.
    assert!(requests >= 2, "{log}");
    assert!(log.matches(&format!("{url}: request sent")).count() >= requests, "{log}");
    assert!(log.contains(&format!("{url}: response used after ")), "{log}");
}

#[test]
fn a_server_that_is_back_in_half_a_second_is_waited_for() {
    let service = Service::start("restarted");
    service.wait_for_notification("READY=1");
    service.sampled();
    let port = RefusedPort::reserve().expect("a port");
    let address = port.address();
    let refused = format!("http://{address}/");
    let moved = service.configuration("").replace(&service.server.url(), &refused);
    let before = service.log().len();
    fs::write(service.directory.join("httptime.toml"), moved).expect("a file");
    service.signal("-HUP");
    let deadline = Instant::now() + LIMIT;
    while !service.log()[before..].contains("next attempt in 1 s") {
        assert!(Instant::now() < deadline, "{}", service.log());
        thread::sleep(Duration::from_millis(5));
    }
    drop(port);
    let skew = Offset::from_nanos(38_116_000_000);
    let server = LoopbackServer::builder().skew(skew).port(address.port()).start();
    let _server = server.expect("the same port");
    service.forget_samples();
    service.sampled();
    let (_, log) = service.end();
    assert_eq!(log[before..].matches("next attempt in ").count(), 1, "{log}");
}

#[test]
fn a_rejected_stamp_is_warned_of_once_and_again_after_a_reload() {
    let service = Service::start_with("rejected", tomorrow());
    service.wait_for_notification("READY=1");
    for _ in 0..3 {
        let offset = service.sampled();
        assert!((offset - SKEW).abs() < 0.25, "{offset}");
    }
    let warning = "WARN  httptime::run] stamp not used: X-HTTPSTIME: it is ";
    let log = service.log();
    assert_eq!(log.matches(warning).count(), 1, "{log}");
    assert!(
        log.contains("ignore it with stamp_header = \"\"; further repeats suppressed"),
        "{log}"
    );
    service.signal("-HUP");
    service.wait_for_notification("RELOADING=1");
    service.forget_samples();
    service.sampled();
    service.sampled();
    let (_, log) = service.end();
    assert_eq!(log.matches(warning).count(), 2, "{log}");
}
