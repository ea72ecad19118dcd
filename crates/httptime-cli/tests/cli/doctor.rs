//! `httptime doctor`: staged faults, each with its verdict.
//!
//! A fault of the network or of the resolver is made in a network namespace of the test, where
//! nothing else is changed: firewall rules, a port 123, and another `/etc/resolv.conf`.

use httptime::Offset;
use httptime_testserver::{
    Behaviour, BlackHole, LoopbackProxy, LoopbackServer, LoopbackSocks, Misbehave as _,
    ProxyOptions, RefusedPort,
};
use serde_json::Value;

use super::{json, program, text};
use stage::{Stage, inside};

mod answering;
mod stage;

fn correct() -> LoopbackServer {
    LoopbackServer::builder().start().expect("a port")
}

fn skewed(milliseconds: i64) -> LoopbackServer {
    let skew = Offset::from_nanos(milliseconds * 1_000_000);
    LoopbackServer::builder().skew(skew).start().expect("a port")
}

/// Runs the program. The verdict comes within 20 s, and the exit status tells whether there is a
/// fault.
fn diagnosed(stage: &Stage, arguments: &[&str], environment: &[(&str, &str)]) -> Value {
    let mut command = program();
    command.args(["doctor", "--json", "--root"]).arg(stage.root()).args(arguments);
    command.envs(environment.iter().copied());
    let output = command.output().expect("the program starts");
    let report = json(&output);
    let elapsed = report["elapsed_seconds"].as_f64().expect("a number");
    assert!(elapsed < 20.0, "{elapsed} s: {report}");
    let is_healthy = report["verdict"]["cause"].is_null();
    assert_eq!(output.status.code(), Some(if is_healthy { 0 } else { 1 }), "{output:?}");
    println!("{elapsed:.1} s: {}", report["verdict"]);
    report
}

fn cause(report: &Value) -> &str {
    report["verdict"]["cause"].as_str().unwrap_or_else(|| panic!("no fault found: {report}"))
}

fn commands(report: &Value) -> Vec<&str> {
    let commands = report["verdict"]["commands"].as_array().expect("a list");
    commands.iter().filter_map(Value::as_str).collect()
}

#[test]
fn a_healthy_machine_has_no_fault() {
    let (stage, server) = (Stage::healthy(), correct());
    let report = diagnosed(&stage, &[&server.url()], &[]);
    assert_eq!(report["verdict"]["cause"], Value::Null, "{report}");
    let said = report["verdict"]["text"].as_str().expect("a text");
    assert!(said.starts_with("the clock is correct within the uncertainty"), "{said}");
    assert_eq!(report["schema"], 1);
}

#[test]
fn people_get_a_line_for_each_finding_and_the_verdict_last() {
    let (stage, server) = (Stage::healthy(), skewed(38_116));
    let mut command = program();
    command.args(["doctor", &server.url(), "--root"]).arg(stage.root());
    let output = command.output().expect("the program starts");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), String::new()));
    let said = text(&output.stdout);
    assert!(said.contains("\nFAULT   servers    the clock is slow by 3"), "{said}");
    assert!(said.contains("\nwarning consumers  Prometheus, query page: rejects this"), "{said}");
    let end = format!("\n  httptime sync {}\n", server.url());
    assert!(said.contains("\nverdict: clock_off: the clock is slow by 3"), "{said}");
    assert!(said.ends_with(&end), "{said}");
}

#[test]
fn without_a_server_the_configuration_names_them() {
    let (stage, server) = (Stage::healthy(), skewed(38_116));
    assert_eq!(diagnosed(&stage, &[], &[])["verdict"]["cause"], Value::Null);
    let configuration = format!("servers = [\"{}\"]\nproxy = \"\"\n", server.url());
    stage.put("etc/httptime/httptime.toml", &configuration);
    assert_eq!(cause(&diagnosed(&stage, &[], &[])), "clock_off");
}

#[test]
fn without_a_server_the_proxies_of_the_environment_are_asked() {
    let stage = Stage::healthy();
    let closed = RefusedPort::reserve().expect("a port");
    let origin = correct();
    let socks = LoopbackSocks::start(origin.address(), None).expect("a port");
    let login = LoopbackSocks::start(origin.address(), Some(("user", "hunter2"))).expect("a port");
    let proxy = LoopbackProxy::start(ProxyOptions::default()).expect("a port");
    let page = LoopbackServer::builder().behaviour(Behaviour::Html).start().expect("a port");
    for (variable, value, expected) in [
        ("all_proxy", format!("socks5h://{}", socks.address()), None),
        ("all_proxy", format!("socks5h://{}", login.address()), Some("proxy_password")),
        ("all_proxy", format!("socks5h://{}", closed.address()), Some("proxy_fails")),
        ("https_proxy", format!("http://{}", closed.address()), Some("proxy_fails")),
        ("http_proxy", proxy.url(), None),
        ("http_proxy", page.url(), Some("proxy_answers_itself")),
    ] {
        let report = diagnosed(&stage, &[], &[(variable, &value)]);
        assert_eq!(report["verdict"]["cause"].as_str(), expected, "{variable} {value}: {report}");
        let source = format!("(from environment variable {variable})");
        assert!(report["findings"].to_string().contains(&source), "{report}");
    }
}

#[test]
fn a_firewall_that_drops_udp_port_123_is_the_cause() {
    if !inside("doctor::a_firewall_that_drops_udp_port_123_is_the_cause") {
        return;
    }
    let (stage, server) = (Stage::healthy(), correct());
    let _ntp = answering::ntp();
    stage.put("etc/chrony/chrony.conf", "server 127.0.0.1 iburst\n");
    let before = diagnosed(&stage, &[&server.url()], &[]);
    assert_eq!(before["facts"]["ntp"][0]["outcome"]["result"], "answered", "{before}");
    assert_eq!(before["verdict"]["cause"], Value::Null, "{before}");
    stage::drop_udp_123();
    let report = diagnosed(&stage, &[&server.url()], &[]);
    assert_eq!(cause(&report), "ntp_silent");
    let said = report["verdict"]["text"].as_str().expect("a text");
    assert!(said.starts_with("UDP port 123 is dropped on the way"), "{said}");
}

/// The case that this project began with.
#[test]
fn udp_is_dropped_and_a_gost_at_8888_leads_to_a_server_38_seconds_ahead() {
    if !inside("doctor::udp_is_dropped_and_a_gost_at_8888_leads_to_a_server_38_seconds_ahead") {
        return;
    }
    let (stage, server) = (Stage::healthy(), skewed(38_116));
    stage.unsynchronised();
    stage.put("etc/chrony/chrony.conf", "pool 127.0.0.1 iburst\n");
    let _ntp = answering::ntp();
    stage::drop_udp_123();
    let options = ProxyOptions::default().origin(server.address()).agent("gost/2.11.5").port(8888);
    let _gost = LoopbackProxy::start(options).expect("port 8888");
    let proxy = [("http_proxy", "http://127.0.0.1:8888")];
    let report = diagnosed(&stage, &["http://192.0.2.1/"], &proxy);
    assert_eq!(cause(&report), "ntp_silent");
    let said = report["verdict"]["text"].as_str().expect("a text");
    assert!(said.contains("Meanwhile the clock is slow by 3"), "{said}");
    let sync = "httptime sync -x http://127.0.0.1:8888/ http://192.0.2.1/";
    assert!(commands(&report).contains(&sync), "{report}");
    assert_eq!(report["verdict"]["also"][0], "clock_off", "{report}");
    let findings = report["findings"].to_string();
    assert!(findings.contains("(from environment variable http_proxy) is gost"), "{findings}");
    assert!(findings.contains("opens tunnels to 192.0.2.1:80"), "{findings}");
    assert!(findings.contains("Prometheus, query page: rejects this clock"), "{findings}");
    let offset = report["facts"]["servers"]["survey"]["offset_seconds"].as_f64();
    assert!(offset.is_some_and(|offset| (36.0..=39.2).contains(&offset)), "{offset:?}");
}

#[test]
fn a_nameserver_that_does_not_know_the_name_is_the_cause() {
    if !inside("doctor::a_nameserver_that_does_not_know_the_name_is_the_cause") {
        return;
    }
    let stage = Stage::healthy();
    stage.resolve_with("127.0.0.1");
    let _dns = answering::dns();
    let report = diagnosed(&stage, &["http://unknown.example/"], &[]);
    assert_eq!(cause(&report), "dns_wrong");
    let said = report["verdict"]["text"].as_str().expect("a text");
    assert!(said.contains("(nameserver 127.0.0.1)"), "{said}");
    // A filter answers with an address of nobody.
    let report = diagnosed(&stage, &["http://blocked.example/"], &[]);
    assert_eq!(cause(&report), "dns_wrong");
    let said = report["verdict"]["text"].as_str().expect("a text");
    assert!(said.contains("0.0.0.0 is no address of another machine"), "{said}");
}

#[test]
fn a_resolver_that_hangs_is_the_cause() {
    if !inside("doctor::a_resolver_that_hangs_is_the_cause") {
        return;
    }
    let stage = Stage::healthy();
    stage.resolve_with("127.0.0.1");
    let _silent = std::net::UdpSocket::bind("127.0.0.1:53").expect("port 53 of the namespace");
    stage.put("etc/chrony/chrony.conf", "pool ntp.example iburst\n");
    let report = diagnosed(&stage, &["http://time.example/"], &[]);
    assert_eq!(cause(&report), "resolver_silent");
    let said = report["verdict"]["text"].as_str().expect("a text");
    assert!(said.starts_with("time.example: the resolver failed after 1"), "{said}");
}

#[test]
fn a_proxy_that_needs_a_password_is_the_cause() {
    let (stage, server) = (Stage::healthy(), correct());
    let options = ProxyOptions::default().credentials("user", "hunter2").origin(server.address());
    let proxy = LoopbackProxy::start(options).expect("a port");
    let url = proxy.url();
    let report = diagnosed(&stage, &["http://192.0.2.1/"], &[("http_proxy", &url)]);
    assert_eq!(cause(&report), "proxy_password");
    let port = proxy.address().port();
    let command = format!("httptime query -x http://USER:PASSWORD@127.0.0.1:{port}/ URL");
    assert_eq!(commands(&report), [command.as_str()]);
    // With the password, no fault, and it is shown nowhere.
    let url = format!("http://user:hunter2@127.0.0.1:{port}");
    let report = diagnosed(&stage, &["http://192.0.2.1/", "-x", &url], &[]);
    assert_eq!(report["verdict"]["cause"], Value::Null, "{report}");
    assert!(!report.to_string().contains("hunter2"), "{report}");
}

#[test]
fn a_proxy_that_answers_itself_is_the_cause() {
    let stage = Stage::healthy();
    for status in [200, 403] {
        let behaviour = Behaviour::Status(status);
        let filter = LoopbackServer::builder().behaviour(behaviour).start().expect("a port");
        let report = diagnosed(&stage, &["http://192.0.2.1/", "-x", &filter.url()], &[]);
        assert_eq!(cause(&report), "proxy_answers_itself", "{status}");
    }
}

#[test]
fn a_captive_portal_is_the_cause() {
    let stage = Stage::healthy();
    for behaviour in [Behaviour::Status(302), Behaviour::Html] {
        let portal = LoopbackServer::builder().behaviour(behaviour).start().expect("a port");
        let report = diagnosed(&stage, &[&format!("{}generate_204", portal.url())], &[]);
        assert_eq!(cause(&report), "captive_portal");
    }
    // A server that refuses HEAD and answers GET is none.
    let head = Box::new(Behaviour::Status(405));
    let both = Behaviour::ByMethod { head, other: Box::new(Behaviour::Status(204)) };
    let honest = LoopbackServer::builder().behaviour(both).start().expect("a port");
    let report = diagnosed(&stage, &[&format!("{}generate_204", honest.url())], &[]);
    assert_eq!(report["verdict"]["cause"], Value::Null, "{report}");
    let login = b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/login?x=1\r\n\
                  Date: Mon, 23 Nov 2026 09:37:12 GMT\r\nContent-Length: 0\r\n\r\n";
    let behaviour = Behaviour::Raw(login.to_vec());
    let portal = LoopbackServer::builder().behaviour(behaviour).start().expect("a port");
    assert_eq!(cause(&diagnosed(&stage, &[&portal.url()], &[])), "captive_portal");
}

#[test]
fn a_server_three_seconds_off_among_three_is_named() {
    let stage = Stage::healthy();
    let (one, two, wrong) = (correct(), correct(), skewed(-3000));
    let urls = [one.url(), wrong.url(), two.url()];
    let report = diagnosed(&stage, &[&urls[0], &urls[1], &urls[2]], &[]);
    assert_eq!(cause(&report), "falseticker");
    let said = report["verdict"]["text"].as_str().expect("a text");
    assert!(said.starts_with(&format!("{}: its clock is wrong", wrong.url())), "{said}");
    let without = format!("httptime query {} {}      # without it", one.url(), two.url());
    assert_eq!(commands(&report), [without.as_str()]);
}

#[test]
fn chronyd_and_ntpd_that_fight_are_the_cause() {
    let (stage, server) = (Stage::healthy(), correct());
    // Real processes with these names, seen in the real /proc.
    stage.show_real_processes();
    let _running = [stage.process("chronyd"), stage.process("ntpd")];
    let report = diagnosed(&stage, &[&server.url()], &[]);
    assert_eq!(cause(&report), "several_steer");
    let said = report["verdict"]["text"].as_str().expect("a text");
    assert!(said.contains("chronyd (process ") && said.contains("ntpd (process "), "{said}");
    assert!(commands(&report).contains(&"systemctl disable --now ntp"), "{report}");
}

#[test]
fn chronyd_and_httptime_fight_unless_one_feeds_the_other() {
    let (stage, server) = (Stage::healthy(), correct());
    stage.put("proc/71/comm", "httptime\n");
    stage.put("proc/71/cmdline", "/usr/bin/httptime\0run\0--config\0/etc/httptime/httptime.toml\0");
    stage.put("etc/httptime/httptime.toml", "servers = [\"a\"]\n");
    let url = server.url();
    assert_eq!(cause(&diagnosed(&stage, &[&url], &[])), "several_steer");
    stage.put("etc/httptime/httptime.toml", "servers = [\"a\"]\nmode = \"chrony\"\n");
    assert_eq!(diagnosed(&stage, &[&url], &[])["verdict"]["cause"], Value::Null);
}

#[test]
fn a_cron_line_that_sets_the_clock_is_the_cause() {
    let (stage, server) = (Stage::healthy(), correct());
    let line = "0 * * * * root date -s \"$(curl -sI http://jump/ | grep -i ^date)\"\n";
    stage.put("etc/cron.d/time", &format!("# the clock\n{line}"));
    let report = diagnosed(&stage, &[&server.url()], &[]);
    assert_eq!(cause(&report), "cron_sets_clock");
    let said = report["verdict"]["text"].as_str().expect("a text");
    assert!(said.starts_with("/etc/cron.d/time, line 2: date -s sets the clock"), "{said}");
    assert_eq!(commands(&report)[0], "sed -i '2s/^/#/' /etc/cron.d/time");
}

#[test]
fn a_clock_that_is_not_synchronised_is_the_cause() {
    let (stage, server) = (Stage::healthy(), correct());
    stage.unsynchronised();
    let report = diagnosed(&stage, &[&server.url()], &[]);
    assert_eq!(cause(&report), "not_synchronised");
}

#[cfg(feature = "https")]
#[test]
fn a_certificate_that_is_not_valid_at_the_local_time_is_the_cause() {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use httptime_testserver::tls::{
        Authority, PemFile, TlsFront, Version, date_time_ymd, server_config,
    };

    let stage = Stage::healthy();
    let root = Authority::root("Test Root");
    // The server is 400 days ahead, and its certificate was issued there.
    let days = |days: u64| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        date_time_ymd(1970, 1, 1) + Duration::from_secs(now + days * 86_400)
    };
    let credentials = root.issue_with(&["127.0.0.1"], |params| {
        params.not_before = days(390);
        params.not_after = days(480);
    });
    let skew = Offset::from_nanos(400 * 86_400 * 1_000_000_000);
    let server = LoopbackServer::builder().skew(skew).start().expect("a port");
    let config = server_config(&credentials, Version::Tls13, None);
    let front = TlsFront::start(server.address(), config).expect("a front");
    let ca = PemFile::new(&root.pem());
    let ca = ca.path();
    let ca = ca.to_str().expect("UTF-8");
    let report = diagnosed(&stage, &[&front.url(), "--cacert", ca], &[]);
    assert_eq!(cause(&report), "tls_window");
}

#[test]
fn a_dead_server_a_silent_one_and_a_wrong_setting_are_told_apart() {
    let stage = Stage::healthy();
    let port = RefusedPort::reserve().expect("a port");
    let report = diagnosed(&stage, &[&format!("http://{}/", port.address())], &[]);
    assert_eq!(cause(&report), "servers_fail");
    let hole = BlackHole::start().expect("a listener");
    let hole = format!("http://{}/", hole.address());
    assert_eq!(cause(&diagnosed(&stage, &[&hole], &[])), "servers_fail");
    let through = ["http://192.0.2.1/", "-x", &hole];
    assert_eq!(cause(&diagnosed(&stage, &through, &[])), "proxy_fails");
    for arguments in [&["doctor", "ftp://a.example/"][..], &["doctor", "-p", "http://a.example/"]] {
        let output = program().args(arguments).output().expect("the program starts");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}
