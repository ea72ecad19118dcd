//! The clients over HTTPS, against servers and proxies with sockets in this process.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::Duration;

use httptime::schedule::Profile;
use httptime::{CertificateCheck, Client, ClientBuilder, Config, EndReason, Error, Measurement};
use httptime::{Offset, Peer, TlsFault};
use httptime_testserver::tls::{
    Authority, Credentials, PemFile, TlsFront, Version, make_ca, server_config,
};
use httptime_testserver::{LoopbackProxy, LoopbackServer, ProxyOptions};
use httptime_tls::{TlsConfig, TlsConfigBuilder};

const SKEW: Offset = Offset::from_nanos(38_116_000_000);
const VERSIONS: [Version; 2] = [Version::Tls12, Version::Tls13];

/// A server with a clock that is ahead, and TLS in front of it.
struct SecureServer {
    server: LoopbackServer,
    front: TlsFront,
    root: Authority,
}

impl SecureServer {
    fn start(version: Version) -> Self {
        let root = Authority::root("Test Root");
        let credentials = root.issue(&["127.0.0.1", "a.example"]);
        Self::with(root, &credentials, version)
    }

    fn with(root: Authority, credentials: &Credentials, version: Version) -> Self {
        let server = LoopbackServer::builder().skew(SKEW).start().expect("a server");
        let config = server_config(credentials, version, None);
        let front = TlsFront::start(server.address(), config).expect("a front");
        Self { server, front, root }
    }

    fn tls(&self) -> TlsConfigBuilder {
        TlsConfig::builder().cacert_pem(self.root.pem())
    }

    fn client(&self, tls: TlsConfigBuilder) -> ClientBuilder {
        client(&self.front.url(), tls)
    }
}

fn client(url: &str, tls: TlsConfigBuilder) -> ClientBuilder {
    let config = Config::builder().requests(8).duration(Duration::from_secs(3)).build();
    Client::builder(url).tls(tls.build().expect("settings")).config(config.expect("in range"))
}

fn measure(builder: ClientBuilder) -> Result<Measurement, Error> {
    builder.build()?.measure()
}

fn measured(builder: ClientBuilder) -> Measurement {
    let measurement = measure(builder).expect("measured");
    assert!(measurement.bounds().contains(SKEW), "{measurement}");
    measurement
}

#[test]
fn a_server_is_measured_over_tls_on_one_connection() {
    for version in VERSIONS {
        let server = SecureServer::start(version);
        let measurement = measured(server.client(server.tls()));
        let check = measurement.assumptions().certificates();
        assert!(matches!(check, Some(CertificateCheck::ServerTime { .. })), "{check:?}");
        assert_eq!(measurement.assumptions().proxy_certificates(), None);
        assert_eq!(server.front.handshakes(), 1, "{version:?}: no reconnect");
        if cfg!(target_os = "linux") {
            let by_kernel = (measurement.sent_by_kernel(), measurement.received_by_kernel());
            let all = measurement.observations();
            assert_eq!(by_kernel, (all, all), "{version:?}");
        }
    }
}

#[test]
fn tokio_measures_over_tls() {
    let server = SecureServer::start(Version::Tls13);
    let tls = server.tls().build().expect("settings");
    let config = Config::builder().requests(4).build().expect("in range");
    let client = httptime_tokio::Client::builder().server(server.front.url()).tls(tls);
    let client = client.config(config).build().expect("settings");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let measurement = runtime.expect("a runtime").block_on(client.measure()).expect("measured");
    assert!(measurement.bounds().contains(SKEW), "{measurement}");
}

#[test]
fn a_server_that_cannot_be_verified_receives_no_request() {
    let root = Authority::root("Test Root");
    let other = Authority::root("Other Root").issue(&["127.0.0.1"]);
    let self_signed = Credentials::self_signed(&["127.0.0.1"], make_ca);
    let wrong_name = root.issue(&["b.example"]);
    for (credentials, kind) in [
        (&other, "tls_not_trusted"),
        (&self_signed, "tls_ca_certificate"),
        (&wrong_name, "tls_wrong_name"),
    ] {
        for version in VERSIONS {
            let server = SecureServer::with(Authority::root("Unused"), credentials, version);
            let tls = TlsConfig::builder().cacert_pem(root.pem());
            let error = measure(server.client(tls)).expect_err("not verified");
            assert_eq!(error.kind(), kind, "{version:?}");
            assert_eq!((server.server.requests(), server.front.handshakes()), (0, 0));
        }
    }
}

/// One of two servers behind a name has the certificate of someone else.
#[test]
fn a_certificate_that_is_refused_later_ends_the_measurement_and_is_reported() {
    let root = Authority::root("Test Root");
    let server = LoopbackServer::builder().server_header(Some("nginx".into())).start();
    let server = server.expect("a server");
    let fronts = [&root, &Authority::root("Other Root")].map(|issuer| {
        let config = server_config(&issuer.issue(&["jump.example"]), Version::Tls13, None);
        TlsFront::start(server.address(), config).expect("a front")
    });
    let addresses = fronts.each_ref().map(TlsFront::address).to_vec();
    let config = Config::builder().profile(Profile::Fast).requests(24).build().expect("in range");
    let client = Client::builder("https://jump.example/")
        .resolver(move |_, _| Ok(addresses.clone()))
        .tls(TlsConfig::builder().cacert_pem(root.pem()).build().expect("settings"))
        .config(config)
        .build()
        .expect("settings");
    let measurement = client.measure().expect("the responses before that count");
    assert!(measurement.bounds().contains(Offset::ZERO), "{measurement}");
    let EndReason::Lost(error) = measurement.end_reason() else {
        panic!("{:?}", measurement.end_reason())
    };
    assert_eq!(error.kind(), "tls_not_trusted");
}

#[test]
fn a_pinned_self_signed_certificate_is_measured_and_a_wrong_pin_is_not() {
    let credentials = Credentials::self_signed(&["jump"], make_ca);
    for version in VERSIONS {
        let server = SecureServer::with(Authority::root("Unused"), &credentials, version);
        let measurement = measured(server.client(TlsConfig::builder().pin(credentials.pin())));
        assert_eq!(measurement.assumptions().certificates(), Some(CertificateCheck::Pin));
        let wrong = Credentials::self_signed(&["jump"], make_ca).pin();
        let error = measure(server.client(TlsConfig::builder().pin(wrong)));
        let fault = TlsFault::WrongPin { pin: credentials.pin() };
        assert_eq!(error, Err(Error::Tls { peer: Peer::Server, fault }));
    }
}

#[test]
fn a_server_whose_time_is_outside_its_certificate_is_refused_after_measuring() {
    let root = Authority::root("Test Root");
    // Not yet valid at any time that this server can show.
    let credentials = root.issue_with(&["127.0.0.1"], |params| {
        params.not_before = httptime_testserver::tls::date_time_ymd(2200, 1, 1);
    });
    let server = SecureServer::with(root, &credentials, Version::Tls13);
    let error = measure(server.client(server.tls())).expect_err("outside");
    assert_eq!(error.kind(), "tls_date_outside");
    assert!(server.server.requests() > 0);
}

/// What most servers answer to a `ClientHello` on their port for plain HTTP.
fn refuse_one_request(listener: &TcpListener) -> io::Result<()> {
    let (mut client, _) = listener.accept()?;
    let _ = client.read(&mut [0; 1024])?;
    client.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
}

#[test]
fn plain_http_and_tls_on_each_others_ports_are_named() {
    let server = SecureServer::start(Version::Tls13);
    let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let url = format!("https://{}/", plain.local_addr().expect("its address"));
    let refusing = thread::spawn(move || refuse_one_request(&plain));
    let error = measure(client(&url, server.tls())).expect_err("plain HTTP");
    assert_eq!(error.kind(), "tls_plain_http");
    refusing.join().expect("no panic").expect("a client");
    let tls = format!("http://{}/", server.front.address());
    let error = measure(client(&tls, server.tls())).expect_err("TLS");
    assert_eq!(error.kind(), "not_http");
}

/// A proxy that speaks TLS and wants a password.
struct SecureProxy {
    proxy: LoopbackProxy,
    front: TlsFront,
    root: Authority,
}

impl SecureProxy {
    fn start() -> Self {
        let proxy = LoopbackProxy::start(ProxyOptions::default().credentials("user", "hunter2"));
        let proxy = proxy.expect("a proxy");
        let root = Authority::root("Proxy Root");
        let config = server_config(&root.issue(&["127.0.0.1"]), Version::Tls13, None);
        let front = TlsFront::start(proxy.address(), config).expect("a front");
        Self { proxy, front, root }
    }

    fn url(&self) -> String {
        format!("https://user:hunter2@{}/", self.front.address())
    }
}

#[test]
fn an_https_server_is_measured_through_the_tunnel_of_a_plain_and_of_a_secure_proxy() {
    let server = SecureServer::start(Version::Tls13);
    let plain = LoopbackProxy::start(ProxyOptions::default()).expect("a proxy");
    let measurement = measured(server.client(server.tls()).proxy(plain.url()));
    assert_eq!((plain.tunnels(), measurement.assumptions().proxy_certificates()), (1, None));

    let secure = SecureProxy::start();
    let tls = server.tls().proxy_cacert_pem(secure.root.pem());
    let measurement = measured(server.client(tls).proxy(secure.url()));
    let assumptions = measurement.assumptions();
    for check in [assumptions.certificates(), assumptions.proxy_certificates()] {
        assert!(matches!(check, Some(CertificateCheck::ServerTime { .. })), "{check:?}");
    }
    assert_eq!((secure.proxy.tunnels(), secure.front.handshakes()), (1, 1));
}

#[test]
fn a_plain_server_is_measured_through_a_secure_proxy_that_forwards() {
    let server = LoopbackServer::builder().skew(SKEW).start().expect("a server");
    let secure = SecureProxy::start();
    let tls = TlsConfig::builder().proxy_cacert_pem(secure.root.pem());
    let measurement = measured(client(&server.url(), tls).proxy(secure.url()));
    assert_eq!(measurement.assumptions().certificates(), None);
    assert!(measurement.assumptions().proxy_certificates().is_some());
    assert_eq!(secure.proxy.tunnels(), 0);
}

#[test]
fn a_proxy_that_cannot_be_verified_receives_no_password() {
    let server = SecureServer::start(Version::Tls13);
    let secure = SecureProxy::start();
    // The CA of the server is no CA of the proxy.
    let other = Authority::root("Other Root");
    for ca in [&other, &server.root] {
        let tls = server.tls().proxy_cacert_pem(ca.pem());
        for tunnel in [false, true] {
            let client = server.client(tls.clone()).proxy(secure.url()).tunnel(tunnel);
            let error = measure(client).expect_err("not verified");
            let Error::Tls { peer: Peer::Proxy, fault } = &error else { panic!("{error:?}") };
            assert_eq!(fault.kind(), "tls_not_trusted");
            assert!(error.to_string().starts_with("the proxy's certificate "), "{error}");
        }
    }
    assert_eq!((secure.proxy.requests(), secure.proxy.last_request()), (0, None));
}

#[test]
fn a_pinned_proxy_and_an_insecure_one_are_told_apart_in_the_result() {
    let server = LoopbackServer::builder().skew(SKEW).start().expect("a server");
    let secure = SecureProxy::start();
    let tls = TlsConfig::builder().proxy_insecure(true);
    let measurement = measured(client(&server.url(), tls).proxy(secure.url()));
    let check = measurement.assumptions().proxy_certificates();
    assert_eq!(check, Some(CertificateCheck::Unchecked));
}

#[test]
fn the_local_clock_judges_where_it_is_known_to_be_right() {
    let server = SecureServer::start(Version::Tls12);
    let measurement = measured(server.client(server.tls().clock_is_synchronised(|| true)));
    assert_eq!(measurement.assumptions().certificates(), Some(CertificateCheck::LocalClock));
}

#[test]
fn several_servers_have_the_check_that_proves_least() {
    let servers = [(); 3].map(|()| SecureServer::start(Version::Tls13));
    let roots: String = servers.iter().map(|server| server.root.pem()).collect();
    let builder = |tls: TlsConfigBuilder| {
        let [first, second, third] = &servers;
        client(&first.front.url(), tls).servers([second.front.url(), third.front.url()])
    };
    let tls = TlsConfig::builder().cacert_pem(roots);
    let check = measured(builder(tls)).assumptions().certificates();
    assert!(matches!(check, Some(CertificateCheck::ServerTime { .. })), "{check:?}");
    let check = measured(builder(TlsConfig::builder().insecure(true))).assumptions();
    assert_eq!(check.certificates(), Some(CertificateCheck::Unchecked));
    let plain = LoopbackServer::builder().skew(SKEW).start().expect("a server");
    let mixed = builder(TlsConfig::builder().insecure(true)).server(plain.url());
    assert_eq!(measured(mixed).assumptions().certificates(), None);
}

/// The file of a CA is read when the settings are built, and the system's CAs when they are needed.
#[test]
fn the_cas_of_the_system_are_needed_only_for_a_verified_server() {
    let file = PemFile::new(&Authority::root("Test Root").pem());
    let tls = TlsConfig::builder().cacert(file.path()).build().expect("a certificate");
    drop(file);
    assert!(Client::builder("https://192.0.2.1/").tls(tls).build().is_ok());
}
