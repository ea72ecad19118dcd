//! `httptime run` feeds a real chronyd, which serves the time to others by NTP. No clock is
//! controlled (`-x`).

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use httptime::Offset;
use httptime_testserver::LoopbackServer;

use crate::SKEW;
use crate::daemon::{fresh_directory, stop};

/// The place where `.ci/test-files` puts chronyd and chronyc.
pub(crate) const FILES: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/../machine");
const CLOSE: f64 = 2e-3;

/// A process and its directory. Dropping the value stops it.
pub(crate) struct Running {
    process: Child,
    log: PathBuf,
}

impl Running {
    fn start(command: &mut Command, log: PathBuf) -> Self {
        let to = fs::File::create(&log).expect("a file");
        let also = to.try_clone().expect("a file");
        let process = command.stdin(Stdio::null()).stdout(to).stderr(also).spawn();
        Self { process: process.expect("it starts"), log }
    }

    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        stop(&mut self.process);
    }
}

/// chronyd that listens on a socket and for NTP clients, and does not control the clock.
fn chronyd(directory: &Path, port: u16) -> Running {
    let place = directory.display();
    let config = format!(
        "refclock SOCK {place}/httptime.sock refid HTTP poll 3 filter 1 delay 0.05 precision 0.001\n\
         port {port}\nbindaddress 127.0.0.1\nallow 127.0.0.1\n"
    );
    chronyd_with(directory, &config)
}

/// chronyd with this configuration, which does not control the clock.
pub(crate) fn chronyd_with(directory: &Path, config: &str) -> Running {
    let place = directory.display();
    // chronyd requires a directory for its command socket that other users cannot enter.
    let commands = directory.join("commands");
    fs::create_dir(&commands).expect("a directory");
    fs::set_permissions(&commands, fs::Permissions::from_mode(0o750)).expect("permissions");
    let config = format!(
        "{config}cmdport 0\nbindcmdaddress {}/chronyd.sock\npidfile {place}/pid\nuser root\n",
        commands.display()
    );
    let file = directory.join("chrony.conf");
    fs::write(&file, config).expect("a file");
    let mut command = Command::new(format!("{FILES}/chronyd"));
    command.args(["-x", "-d", "-f"]).arg(file);
    Running::start(&mut command, directory.join("chronyd.log"))
}

/// `httptime run` that measures this server and feeds the chronyd of the directory. `measure`:
/// lines of the section.
pub(crate) fn feed(directory: &Path, url: &str, poll: u8, measure: &str) -> Running {
    let place = directory.display();
    let config = format!(
        "servers = ['{url}']\nmode = 'chrony'\n[measure]\n{measure}\n\
         [chrony]\nsocket = '{place}/httptime.sock'\npoll = {poll}\ndelay = 0.05\n"
    );
    let file = directory.join("httptime.toml");
    fs::write(&file, config).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_httptime"));
    command.arg("run").arg("--config").arg(file).env_remove("http_proxy");
    command.env("RUNTIME_DIRECTORY", directory);
    Running::start(&mut command, directory.join("run.log"))
}

pub(crate) fn chronyc(directory: &Path, question: &str) -> Output {
    let socket = directory.join("commands/chronyd.sock");
    let mut command = Command::new(format!("{FILES}/chronyc"));
    command.arg("-h").arg(socket).args(["-c", question]).output().expect("chronyc runs")
}

/// The report of an NTP client about the machine's time. The client controls no clock.
fn ntp_client(directory: &Path, port: u16) -> String {
    let output = Command::new("timeout")
        .args(["30", &format!("{FILES}/chronyd"), "-Q", "-x", "-f", "/dev/null"])
        .arg(format!("pidfile {}/client.pid", directory.display()))
        .args(["cmdport 0", "bindcmdaddress /", "user root"])
        .arg(format!("server 127.0.0.1 port {port} iburst maxsamples 1"))
        .output()
        .expect("chronyd runs");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn chronyd_fed_by_run_follows_and_serves_the_time_to_others() {
    let server = LoopbackServer::builder()
        .skew(Offset::from_nanos(38_116_000_000))
        .server_header(Some("nginx".into()))
        .start()
        .expect("a loopback port");
    let directory = fresh_directory("chrony");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = socket.local_addr().expect("its address").port();
    drop(socket);
    let chronyd = chronyd(&directory, port);

    let run = feed(&directory, &server.url(), 3, "duration = 6");

    // Reference, stratum, …, "system time": how far the clock is from NTP time; positive: slow.
    let deadline = Instant::now() + Duration::from_secs(120);
    let tracking = loop {
        let said = chronyc(&directory, "tracking");
        let line = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        let fields: Vec<String> = line.split(',').map(str::to_owned).collect();
        // A client rejects a server whose distance is more than three seconds (`maxdistance`).
        // chronyd reports a larger one until it has enough samples for a frequency.
        let dispersion = fields.get(11).and_then(|seconds| seconds.parse::<f64>().ok());
        let known = dispersion.is_some_and(|seconds| seconds < 0.5);
        if known && fields[1] == "HTTP" {
            break fields;
        }
        let logs = || format!("{line}\n{}\n{}", chronyd.said(), run.said());
        assert!(Instant::now() < deadline, "not selected: {}", logs());
        thread::sleep(Duration::from_millis(500));
    };
    println!("tracking: {}", tracking.join(","));
    let slow: f64 = tracking[4].parse().expect("seconds");
    assert!((slow.abs() - SKEW).abs() < CLOSE, "{tracking:?}");
    // The same skew, as `httptime status` shows it.
    let status = |json: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_httptime"));
        let output = command.args(["status", "--file"]).arg(directory.join("status.json"));
        String::from_utf8(output.args(json).output().expect("it runs").stdout).expect("UTF-8")
    };
    println!("{}", status(&[]));
    let object: serde_json::Value = serde_json::from_str(&status(&["--json"])).expect("JSON");
    let offset = &object["status_file"]["last_measurement"]["offset_seconds"];
    let offset = offset.as_f64().expect("seconds");
    println!("chronyc tracking {slow:+.6} s, httptime status {offset:+.6} s");
    assert!((offset - slow.abs()).abs() < CLOSE, "{object:#}");
    let sources = chronyc(&directory, "sources");
    let sources = String::from_utf8_lossy(&sources.stdout).into_owned();
    println!("sources: {sources}");
    assert!(sources.starts_with("#,*,HTTP"), "{sources}");

    let client = ntp_client(&directory, port);
    println!("{client}");
    let wrong = client.split("System clock wrong by ").nth(1).expect("an answer by NTP");
    let wrong: f64 = wrong.split_whitespace().next().expect("a number").parse().expect("seconds");
    assert!((wrong - SKEW).abs() < CLOSE, "{client}");
    println!("{}", run.said());
    drop((run, chronyd));
    fs::remove_dir_all(directory).expect("removed");
}
