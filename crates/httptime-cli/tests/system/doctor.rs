//! `httptime doctor` with proxies and an NTP server of other projects.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::chrony::FILES;
use crate::daemon::{Daemon, stop};
use stage::Stage;

#[path = "../cli/doctor/stage.rs"]
#[expect(dead_code, reason = "faults of the network are staged by the tests of the program")]
mod stage;

fn diagnosed(stage: &Stage, arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_httptime"));
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command.args(["doctor", "--json", "--root"]).arg(stage.root()).args(arguments);
    let output = command.output().expect("the program starts");
    serde_json::from_slice(&output.stdout).expect("one JSON object on stdout")
}

#[test]
fn doctor_names_real_proxies_and_finds_them_healthy() {
    let (stage, nginx) = (Stage::healthy(), Daemon::nginx("+0s"));
    for proxy in [Daemon::tinyproxy(), Daemon::squid(false)] {
        let report = diagnosed(&stage, &[&nginx.url(), "-x", &proxy.url()]);
        assert_eq!(report["verdict"]["cause"], Value::Null, "{report}");
        let findings = report["findings"].to_string();
        let named = format!("(from --proxy) is {}", proxy.name());
        assert!(findings.contains(&named), "{findings}");
        assert!(findings.contains("forwards requests (status "), "{findings}");
    }
    let proxy = Daemon::tinyproxy_with_credentials("user", "pass");
    let report = diagnosed(&stage, &[&nginx.url(), "-x", &proxy.url()]);
    assert_eq!(report["verdict"]["cause"], "proxy_password", "{report}");
}

/// Until a program listens on this port.
fn wait_for_udp(port: u16) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let is_bound = || {
        let table = fs::read_to_string("/proc/net/udp").expect("the table of sockets");
        table.contains(&format!("0100007F:{port:04X} "))
    };
    while !is_bound() {
        assert!(Instant::now() < deadline, "no program listens on port {port}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn doctor_asks_a_real_chronyd_for_its_time() {
    let (stage, nginx) = (Stage::healthy(), Daemon::nginx("+0s"));
    let port = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let port = port.expect("a port").port();
    // -x: it never touches the clock.
    stage.put(
        "server.conf",
        &format!(
            "local stratum 8\nport {port}\nbindaddress 127.0.0.1\nallow 127.0.0.1\ncmdport 0\n\
             bindcmdaddress /\npidfile {}\n",
            stage.root().join("chronyd.pid").display()
        ),
    );
    let mut chronyd = Command::new(format!("{FILES}/chronyd"))
        .args(["-x", "-d", "-u", "root", "-f"])
        .arg(stage.root().join("server.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("chronyd");
    wait_for_udp(port);
    stage.put("etc/chrony/chrony.conf", &format!("server 127.0.0.1 port {port} iburst\n"));
    let report = diagnosed(&stage, &[&nginx.url()]);
    stop(&mut chronyd);
    let outcome = &report["facts"]["ntp"][0]["outcome"];
    assert_eq!((&outcome["result"], &outcome["stratum"]), (&"answered".into(), &8.into()));
    let offset = outcome["offset_seconds"].as_f64().expect("a number");
    assert!(offset.abs() < 0.01, "{outcome}: it has this machine's clock");
    assert_eq!(report["verdict"]["cause"], Value::Null, "{report}");
}
