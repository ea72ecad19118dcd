//! Real servers over HTTPS: nginx and Apache with a clock that is ahead, `HAProxy`, lighttpd, squid
//! and `openssl s_server`. They must be installed.

#[expect(
    dead_code,
    reason = "these tests use the servers with TLS, the program's tests the others"
)]
#[path = "../../httptime-cli/tests/system/daemon.rs"]
mod daemon;

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use httpdate::fmt_http_date;
use httptime::session::Event;
use httptime::{CertificateCheck, Client, Config, Error, Measurement, Method, Offset};
use httptime_testserver::nginx::{Nginx, SKEW};
use httptime_testserver::tls::{Authority, PemFile};
use httptime_tls::{TlsConfig, TlsConfigBuilder};

use crate::daemon::Daemon;

/// Enough to see that it works. `HTTPTIME_RUNS=30` also compares the medians: on a busy machine
/// fewer runs are not enough for that.
const RUNS: usize = 4;
const RUNS_TO_COMPARE: usize = 30;
const REQUESTS: u32 = 16;
/// How much worse a measurement over TLS may be.
const TOLERANCE: Duration = Duration::from_micros(50);

/// A key and a self-signed certificate, as operators make them.
struct Files {
    directory: PathBuf,
}

impl Files {
    fn make(name: &str, arguments: &[&str]) -> Self {
        let name = format!("httptime-tls-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("a directory");
        let files = Self { directory };
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=jump"]);
        command.arg("-keyout").arg(files.key()).arg("-out").arg(files.certificate());
        let made = command.args(arguments).stderr(Stdio::null()).status().expect("openssl");
        assert!(made.success());
        files
    }

    fn key(&self) -> PathBuf {
        self.directory.join("key.pem")
    }

    fn certificate(&self) -> PathBuf {
        self.directory.join("certificate.pem")
    }

    /// The pin, by the commands in the manual.
    fn pin(&self) -> String {
        let certificate = self.certificate();
        let script = format!(
            "openssl x509 -in {} -pubkey -noout | openssl pkey -pubin -outform der | \
             openssl dgst -sha256 -binary | openssl base64",
            certificate.display()
        );
        let output = Command::new("sh").arg("-c").arg(script).output().expect("a shell");
        format!("sha256//{}", String::from_utf8_lossy(&output.stdout).trim())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn ssl(certificate: &Path, key: &Path, more: &str) -> String {
    format!(
        "ssl_certificate {}; ssl_certificate_key {}; {more}",
        certificate.display(),
        key.display()
    )
}

fn client(url: &str, tls: TlsConfigBuilder, requests: u32) -> Client {
    let config = Config::builder().requests(requests).build().expect("in range");
    let client = Client::builder(url).tls(tls.build().expect("settings"));
    client.config(config).build().expect("settings")
}

/// The errors of one kind of connection.
#[derive(Debug, Default)]
struct Errors {
    offsets: Vec<Duration>,
    widths: Vec<Duration>,
    opened: u32,
    dropped: u32,
}

impl Errors {
    fn add(&mut self, client: &Client) {
        let survey = client.survey(|update| match update.event() {
            Event::Opened { .. } => self.opened += 1,
            Event::Dropped => self.dropped += 1,
            _ => {}
        });
        let measurement = survey.into_combined().expect("measured");
        assert!(measurement.bounds().contains(SKEW), "{measurement}");
        let by_kernel = (measurement.sent_by_kernel(), measurement.received_by_kernel());
        let all = measurement.observations();
        assert_eq!(by_kernel, (all, all), "{measurement:?}");
        self.offsets.push(measurement.offset().saturating_sub(SKEW).abs());
        self.widths.push(measurement.bounds().width());
    }

    /// The medians of the errors and of the widths, each with its uncertainty.
    fn medians(&mut self, name: &str) -> [Median; 2] {
        let runs = self.offsets.len();
        let medians = [&mut self.offsets, &mut self.widths].map(|all| Median::of(all));
        let [offset, width] = &medians;
        let (opened, dropped) = (self.opened, self.dropped);
        println!(
            "{name}: {runs} runs: median error {offset:?}, median width of the bounds {width:?}; \
             {opened} connections opened, {dropped} dropped"
        );
        medians
    }
}

#[derive(Debug)]
struct Median {
    value: Duration,
    /// The standard error: half of the middle 68 % divided by the root of the number, times 1.25.
    uncertainty: Duration,
}

impl Median {
    fn of(values: &mut [Duration]) -> Self {
        values.sort();
        let at = |part: usize| values[(values.len() * part / 100).min(values.len() - 1)];
        let root = f64::from(u32::try_from(values.len()).expect("few")).sqrt();
        let uncertainty = ((at(84) - at(16)) / 2).mul_f64(1.25 / root);
        Self { value: at(50), uncertainty }
    }

    /// Not larger by more than the tolerance and twice what chance explains. The schedule leaves a
    /// different width each time: the median of 30 is uncertain by some 0.1 ms.
    fn is_as_good_as(&self, other: &Self) -> bool {
        let chance = self.uncertainty.as_secs_f64().hypot(other.uncertainty.as_secs_f64());
        self.value <= other.value + TOLERANCE + Duration::from_secs_f64(2.0 * chance)
    }
}

#[test]
fn nginx_is_measured_as_well_over_tls_as_over_plain_http() {
    let root = Authority::root("Test Root");
    let file = PemFile::new(&root.issue(&["127.0.0.1"]).pem());
    let settings = |more: &str| ssl(&file.path(), &file.path(), more);
    let [tls13, tls12] = ["TLSv1.3", "TLSv1.2"].map(|it| settings(&format!("ssl_protocols {it};")));
    let nginx = Nginx::start(&["", &tls13, &tls12]);
    let runs = std::env::var("HTTPTIME_RUNS").ok().and_then(|runs| runs.parse().ok());
    let runs = runs.unwrap_or(RUNS);

    let tls = || TlsConfig::builder().cacert_pem(root.pem());
    let secure = |index: usize| format!("https://{}/", nginx.address(index));
    let clients = [nginx.url(0), secure(1), secure(2)].map(|url| client(&url, tls(), REQUESTS));
    let mut all = [Errors::default(), Errors::default(), Errors::default()];
    for _ in 0..runs {
        for (client, errors) in clients.iter().zip(&mut all) {
            errors.add(client);
        }
    }
    let names = ["plain", "TLS 1.3", "TLS 1.2"];
    let [plain, over13, over12] = [0, 1, 2].map(|index| all[index].medians(names[index]));
    for (name, secure) in [("TLS 1.3", over13), ("TLS 1.2", over12)] {
        for (plain, secure) in plain.iter().zip(secure) {
            let is_as_good = runs < RUNS_TO_COMPARE || secure.is_as_good_as(plain);
            assert!(is_as_good, "{secure:?} over {name}, {plain:?} over plain HTTP");
        }
    }
}

#[test]
fn the_self_signed_certificate_of_openssl_needs_its_pin() {
    let files = Files::make("self-signed", &[]);
    let nginx = Nginx::start(&[&ssl(&files.certificate(), &files.key(), "")]);
    let url = format!("https://{}/", nginx.address(0));
    let measure = |tls| client(&url, tls, 2).measure();
    let measurement = measure(TlsConfig::builder().pin(files.pin())).expect("measured");
    assert!(measurement.bounds().contains(SKEW));
    assert_eq!(measurement.assumptions().certificates(), Some(CertificateCheck::Pin));

    let kind = |result: Result<Measurement, Error>| result.expect_err("not verified").kind();
    assert_eq!(kind(measure(TlsConfig::builder())), "tls_ca_certificate");
    let trusting = || TlsConfig::builder().cacert(files.certificate());
    assert_eq!(kind(measure(trusting())), "tls_ca_certificate", "trusted, and still a CA");
    let no_ca = Files::make("no-ca", &["-addext", "basicConstraints=CA:FALSE"]);
    let nginx = Nginx::start(&[&ssl(&no_ca.certificate(), &no_ca.key(), "")]);
    let url = format!("https://{}/", nginx.address(0));
    let trusting = TlsConfig::builder().cacert(no_ca.certificate());
    assert_eq!(kind(client(&url, trusting, 2).measure()), "tls_no_name", "a common name only");
}

/// A certificate of version 1, as `openssl x509 -req` makes it.
#[test]
fn a_certificate_of_version_1_is_accepted_by_its_pin() {
    let files = Files::make("version-1", &[]);
    let (request, old) = (files.directory.join("request.pem"), files.directory.join("old.pem"));
    let run = |arguments: &[&Path]| {
        let status = Command::new("openssl").args(arguments).stderr(Stdio::null()).status();
        assert!(status.expect("openssl").success(), "{arguments:?}");
    };
    let path = Path::new;
    run(&[
        path("req"),
        path("-new"),
        path("-key"),
        &files.key(),
        path("-subj"),
        path("/CN=jump"),
        path("-out"),
        &request,
    ]);
    run(&[
        path("x509"),
        path("-req"),
        path("-in"),
        &request,
        path("-signkey"),
        &files.key(),
        path("-out"),
        &old,
    ]);
    for protocol in ["TLSv1.2", "TLSv1.3"] {
        let more = format!("ssl_protocols {protocol};");
        let nginx = Nginx::start(&[&ssl(&old, &files.key(), &more)]);
        let url = format!("https://{}/", nginx.address(0));
        let measure = |tls| client(&url, tls, 2).measure();
        assert!(measure(TlsConfig::builder().pin(files.pin())).is_ok(), "{protocol}");
        let refused = measure(TlsConfig::builder()).expect_err("version 1");
        assert_eq!(refused.kind(), "tls_bad_certificate");
        assert!(refused.to_string().contains("version 1"), "{refused}");
    }
}

#[test]
fn nginx_that_wants_a_client_certificate_or_closes_connections_is_measured() {
    let root = Authority::root("Test Root");
    let server = PemFile::new(&root.issue(&["127.0.0.1"]).pem());
    let client_file = PemFile::new(&root.issue(&["client"]).pem());
    let ca = PemFile::new(&root.pem());
    let wants = format!("ssl_client_certificate {}; ssl_verify_client on;", ca.path().display());
    let settings = |more: &str| ssl(&server.path(), &server.path(), more);
    let (wanting, closing) = (settings(&wants), settings("keepalive_requests 2;"));
    let nginx = Nginx::start(&[&wanting, &closing]);
    let url = |index: usize| format!("https://{}/", nginx.address(index));
    let tls = || TlsConfig::builder().cacert_pem(root.pem());
    let with = tls().certificate(client_file.path());
    assert!(client(&url(0), with, 2).measure().expect("measured").bounds().contains(SKEW));
    let measurement = client(&url(1), tls(), 8).measure().expect("measured");
    assert!(measurement.bounds().contains(SKEW), "{measurement}");
}

/// Each of these servers sends tickets after the handshake, at another time and of another size.
#[test]
fn the_other_servers_are_measured_over_tls() {
    let root = Authority::root("Test Root");
    let pem = PemFile::new(&root.issue(&["127.0.0.1"]).pem());
    for (server, skew) in [
        (Daemon::apache_tls("+38.116s", &pem.path()), SKEW),
        (Daemon::haproxy_tls(&pem.path()), Offset::ZERO),
        (Daemon::lighttpd_tls(&pem.path()), Offset::ZERO),
    ] {
        let url = format!("https://{}/", server.address());
        let client = client(&url, TlsConfig::builder().cacert_pem(root.pem()), REQUESTS);
        let mut opened = 0;
        let survey = client.survey(|update| {
            opened += u32::from(matches!(update.event(), Event::Opened { .. }));
        });
        let measurement = survey.into_combined().expect("measured");
        println!("{}: {measurement}; {opened} connections", server.name());
        assert!(measurement.bounds().contains(skew), "{}: {measurement}", server.name());
        let by_kernel = (measurement.sent_by_kernel(), measurement.received_by_kernel());
        let all = measurement.observations();
        assert_eq!(by_kernel, (all, all), "{}: {measurement:?}", server.name());
        assert_eq!(opened, 1, "{}: no reconnect", server.name());
    }
}

#[test]
fn squid_with_tls_tunnels_tls_and_forwards_http_and_gets_no_password_if_it_is_not_verified() {
    let root = Authority::root("Test Root");
    let pem = PemFile::new(&root.issue(&["127.0.0.1"]).pem());
    let nginx = Nginx::start(&["", &ssl(&pem.path(), &pem.path(), "")]);
    let secure = format!("https://{}/", nginx.address(1));
    let tls = || TlsConfig::builder().cacert_pem(root.pem());
    let kind = |result: Result<Measurement, Error>| result.expect_err("refused").kind();
    for (url, forwards) in [(secure.as_str(), false), (&nginx.url(0), true)] {
        let squid = Daemon::squid_tls(&pem.path());
        let measure = |tls: TlsConfigBuilder, password: &str| {
            let proxy = format!("https://user:{password}@{}/", squid.address());
            let config = Config::builder().requests(4).build().expect("in range");
            let client = Client::builder(url).proxy(proxy).config(config);
            client.tls(tls.build().expect("settings")).build().expect("settings").measure()
        };
        let other = tls().proxy_cacert_pem(Authority::root("Other Root").pem());
        assert_eq!(kind(measure(other, "hunter2")), "tls_not_trusted");
        let log = squid.file("access.log");
        assert!(!log.contains("HEAD") && !log.contains("CONNECT"), "{log}");
        let with = tls().proxy_cacert_pem(root.pem());
        assert_eq!(kind(measure(with.clone(), "wrong")), "proxy_credentials");
        let measurement = measure(with, "hunter2").expect("measured");
        assert!(measurement.bounds().contains(SKEW), "{measurement}");
        assert_eq!(measurement.assumptions().certificates().is_none(), forwards);
        assert!(measurement.assumptions().proxy_certificates().is_some());
        let log = squid.file("access.log");
        let request = if forwards { "HEAD http://" } else { "CONNECT 127.0.0.1:" };
        assert!(log.contains(request), "{log}");
    }
}

/// `openssl s_server`, whose page has no `Date`.
struct OpenSsl(Child);

impl OpenSsl {
    /// Serves the files in the directory of `files`.
    fn start(files: &Files, arguments: &[&str]) -> (Self, String) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("its address");
        drop(listener);
        let mut command = Command::new("openssl");
        command.args(["s_server", "-quiet", "-accept", &address.to_string()]);
        command.current_dir(&files.directory);
        command.arg("-key").arg(files.key()).arg("-cert").arg(files.certificate());
        let process = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl");
        let server = Self(process);
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "openssl does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        (server, format!("https://{address}/"))
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn openssl_speaks_the_same_tls_and_its_refusals_are_named() {
    let files = Files::make("s-server", &[]);
    for (arguments, kind) in [
        // Its page has no Date: the handshake and the exchange succeeded.
        (&["-tls1_3"][..], "no_date"),
        (&["-tls1_2"], "no_date"),
        (&["-tls1_2", "-cipher", "AES256-SHA"], "tls_no_common_protocol"),
        (&["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "tls_no_common_protocol"),
        (&["-tls1_2", "-Verify", "1", "-verify_return_error"], "tls_client_certificate_required"),
        (&["-tls1_3", "-Verify", "1", "-verify_return_error"], "tls_client_certificate_required"),
    ] {
        let arguments = [&["-www"], arguments].concat();
        let (_server, url) = OpenSsl::start(&files, &arguments);
        let tls = TlsConfig::builder().pin(files.pin()).build().expect("settings");
        // It answers GET only.
        let client = Client::builder(url).tls(tls).method(Method::Get).build().expect("settings");
        let result = client.measure();
        assert_eq!(result.expect_err("no Date").kind(), kind, "{arguments:?}");
    }
}

/// It sends the file as it is, so one response is the truth: that with the present second.
#[test]
fn openssl_is_measured_by_a_response_in_a_file() {
    let files = Files::make("s-server-file", &[]);
    for version in ["-tls1_2", "-tls1_3"] {
        let (_server, url) = OpenSsl::start(&files, &["-HTTP", version]);
        let date = fmt_http_date(SystemTime::now());
        let response = format!("HTTP/1.0 200 OK\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n");
        fs::write(files.directory.join("now"), response).expect("written");
        let client = Client::builder(format!("{url}now")).method(Method::Get);
        let tls = TlsConfig::builder().pin(files.pin()).build().expect("settings");
        let config = Config::builder().requests(1).build().expect("in range");
        let client = client.tls(tls).config(config).build().expect("settings");
        let measurement = client.measure().expect("measured");
        println!("{version}: {measurement}");
        assert!(measurement.bounds().contains(Offset::ZERO), "{version}: {measurement}");
    }
}
