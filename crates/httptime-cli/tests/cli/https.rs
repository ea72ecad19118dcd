//! `https` URLs on the command line, in the configuration and in the environment.

use std::process::{Command, Output};

use httptime_testserver::tls::{
    Authority, Credentials, PemFile, TlsFront, Version, make_ca, server_config,
};
use httptime_testserver::{LoopbackProxy, LoopbackServer, ProxyOptions};

use super::{QUICK, checked, json, program, server, text};

/// A server with a clock that is ahead, behind TLS, and the CA of its certificate.
struct Secure {
    server: LoopbackServer,
    front: TlsFront,
    ca: PemFile,
}

impl Secure {
    fn start() -> Self {
        let root = Authority::root("Test Root");
        let (server, credentials) = (server(), root.issue(&["127.0.0.1"]));
        let front = front(&server, &credentials);
        Self { server, front, ca: PemFile::new(&root.pem()) }
    }

    fn ca(&self) -> String {
        self.ca.path().to_str().expect("UTF-8").to_owned()
    }
}

fn front(server: &LoopbackServer, credentials: &Credentials) -> TlsFront {
    let config = server_config(credentials, Version::Tls13, None);
    TlsFront::start(server.address(), config).expect("a front")
}

fn run(command: &mut Command) -> Output {
    command.args(QUICK).output().expect("the program starts")
}

fn query(url: &str, more: &[&str]) -> Output {
    run(program().args(["query", url]).args(more))
}

#[test]
fn a_server_with_a_ca_of_its_own_is_measured_and_the_assumption_is_named() {
    let secure = Secure::start();
    let (url, ca) = (secure.front.url(), secure.ca());
    let shown = query(&url, &["--cacert", &ca, "-v"]);
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    let said = text(&shown.stdout);
    assert!(said.starts_with("local clock is slow by 3"), "{said}");
    let kernel_trusts = said.contains("\ncertificate valid by the local clock\n");
    let window =
        "\ncertificate time taken from the server, valid Wed, 01 Jan 1975 00:00:00 GMT to ";
    assert!(kernel_trusts || said.contains(window), "{said}");

    let object = json(&query(&url, &["--cacert", &ca, "--json"]));
    let check = &object["assumptions"]["certificates"];
    let by = check["checked_by"].as_str().expect("a name");
    assert!(["local_clock", "server_time"].contains(&by), "{object}");
    assert_eq!(check["valid_from_unix_seconds"].is_null(), by == "local_clock", "{object}");
    assert!(object["assumptions"]["proxy_certificates"].is_null(), "{object}");
}

#[test]
fn a_server_that_is_not_trusted_is_named_with_its_issuer_and_the_remedy() {
    let secure = Secure::start();
    // Not the CAs of the system: it may have none.
    let other = PemFile::new(&Authority::root("Other Root").pem());
    let other = ["--cacert", other.path().to_str().expect("UTF-8")].map(str::to_owned);
    let refused = query(&secure.front.url(), &[&other[0], &other[1]]);
    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    assert!(said.contains("certificate is not trusted: "), "{said}");
    assert!(said.contains("(issuer: CN=Test Root)") && said.contains("pin its key"), "{said}");
    let failed = json(&query(&secure.front.url(), &["--json", &other[0], &other[1]]));
    assert_eq!(failed["error"]["kind"], "tls_not_trusted");
    assert_eq!(secure.server.requests(), 0);
}

#[test]
fn the_variables_of_openssl_replace_the_cas_of_the_system_and_the_option_replaces_them() {
    let secure = Secure::start();
    let with = |file: &str, more: &[&str]| {
        let mut command = program();
        command.args(["query", &secure.front.url()]).args(more).env("SSL_CERT_FILE", file);
        run(&mut command).status.code()
    };
    assert_eq!(with(&secure.ca(), &[]), Some(0));
    let other = PemFile::new(&Authority::root("Other Root").pem());
    assert_eq!(with(&secure.ca(), &["--cacert", other.path().to_str().expect("UTF-8")]), Some(1));
    assert_eq!(with("/nowhere.pem", &["--cacert", &secure.ca()]), Some(0));
    let mut command = program();
    let shown = run(command.args(["query", &secure.front.url()]).env("SSL_CERT_FILE", "/nowhere"));
    let said = text(&shown.stderr);
    assert!(said.contains("SSL_CERT_FILE=/nowhere, where no CA certificate was found ("), "{said}");
}

#[test]
fn a_self_signed_certificate_is_measured_by_its_pin() {
    let (server, credentials) = (server(), Credentials::self_signed(&["jump"], make_ca));
    let front = front(&server, &credentials);
    let shown = query(&front.url(), &["--pin", &credentials.pin(), "-v"]);
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    assert!(text(&shown.stdout).contains("\npublic key pinned\n"));
    let wrong = Credentials::self_signed(&["jump"], make_ca).pin();
    let refused = query(&front.url(), &["--pin", &wrong]);
    let said = text(&refused.stderr);
    assert!(said.contains(&format!("not the pinned one, but {}; ", credentials.pin())), "{said}");
}

#[test]
fn a_clock_is_not_corrected_by_anyone_who_answers() {
    let (server, credentials) = (server(), Credentials::self_signed(&["jump"], make_ca));
    let front = front(&server, &credentials);
    let shown = query(&front.url(), &["-k"]);
    assert_eq!(shown.status.code(), Some(0));
    let said = text(&shown.stderr);
    assert!(said.contains("the certificate was not checked: anyone "), "{said}");

    let sync = |more: &[&str]| {
        run(program().args(["sync", "--dry-run", &front.url(), "--insecure"]).args(more))
    };
    let refused = sync(&[]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(
        said.starts_with("httptime: --insecure is set, so anyone on the path could "),
        "{said}"
    );
    assert!(said.contains("; use --cacert or --pin instead, or add --insecure-time"), "{said}");
    assert_eq!(sync(&["--insecure-time"]).status.code(), Some(0));
    // A pin is checked in any case.
    assert_eq!(sync(&["--pin", &credentials.pin()]).status.code(), Some(0));

    let file =
        |more: &str| checked("insecure", &format!("servers = ['https://a']\n[https]\n{more}\n"));
    let (code, said) = file("insecure = true");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(": https.insecure is set, so anyone on the path could "), "{said}");
    assert_eq!(file("insecure = true\ninsecure_time = true"), (Some(0), String::new()));
}

#[test]
fn an_https_url_has_the_proxy_of_https_proxy() {
    let secure = Secure::start();
    let proxy = LoopbackProxy::start(ProxyOptions::default()).expect("a proxy");
    let with = |variable: &str, url: &str| {
        let mut command = program();
        command.args(["query", url, "--json"]);
        if url.starts_with("https") {
            command.args(["--cacert", &secure.ca()]);
        }
        json(&run(command.env(variable, proxy.url())))
    };
    for variable in ["https_proxy", "HTTPS_PROXY", "all_proxy"] {
        let object = with(variable, &secure.front.url());
        assert_eq!(object["proxy"]["source"], variable, "{object}");
        assert!(object["offset_seconds"].is_number(), "{object}");
    }
    assert_eq!(proxy.tunnels(), 3);
    assert!(with("http_proxy", &secure.front.url())["proxy"].is_null());
    assert!(with("https_proxy", &secure.server.url())["proxy"].is_null());
}

#[test]
fn a_secure_proxy_is_verified_by_its_own_options() {
    let secure = Secure::start();
    let root = Authority::root("Proxy Root");
    let proxy = LoopbackProxy::start(ProxyOptions::default().credentials("user", "hunter2"));
    let proxy = proxy.expect("a proxy");
    let config = server_config(&root.issue(&["127.0.0.1"]), Version::Tls13, None);
    let front = TlsFront::start(proxy.address(), config).expect("a front");
    let url = format!("https://user:hunter2@{}", front.address());
    let ca = PemFile::new(&root.pem());
    let with = |more: &[&str]| {
        query(&secure.front.url(), &[&["-x", &url, "--cacert", &secure.ca()], more].concat())
    };
    // With the CA of the server in place of the system's, which may have none.
    let refused = with(&["--proxy-cacert", &secure.ca()]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("(from --proxy) failed: the proxy's certificate is not "), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    assert_eq!(proxy.requests(), 0);
    let shown = with(&["--proxy-cacert", ca.path().to_str().expect("UTF-8"), "-v"]);
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    assert!(text(&shown.stdout).contains("\nproxy: certificate "));
}

#[test]
fn wrong_settings_of_https_are_named_by_option_and_by_key() {
    for (arguments, expected) in [
        (&["--cacert", "/nowhere"][..], "httptime: --cacert /nowhere cannot be used: "),
        (&["--proxy-pin", "x"], "httptime: --proxy-pin \"x\" does not begin with sha256//"),
        (
            &["--key", "/nowhere"],
            "httptime: --key is given without the certificate that it belongs to; give --cert\n",
        ),
    ] {
        let output = query("https://192.0.2.1/", arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = text(&output.stderr);
        assert!(said.starts_with(expected), "{said}");
    }
    let ca = PemFile::new(&Authority::root("Test Root").pem());
    let path = ca.path();
    let output = query("https://192.0.2.1/", &["--cert", path.to_str().expect("UTF-8")]);
    let said = text(&output.stderr);
    assert!(said.ends_with(" has no private key, and none is given; give --key\n"), "{said}");
    let (code, said) = checked("https", "servers = ['https://a']\n[https]\npin = 'x'\n");
    assert_eq!(code, Some(2));
    assert!(said.contains("https.pin \"x\" does not begin with sha256//"), "{said}");
}

#[test]
fn settings_of_https_that_nothing_uses_are_refused() {
    const PIN: &str = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let ca = PemFile::new(&Authority::root("Test Root").pem());
    let ca = ca.path();
    let ca = ca.to_str().expect("UTF-8");
    let (plain, secure) = ("localhost:80", "https://192.0.2.1/");
    let none = "is for https servers, but no server's URL begins with https://; write https:// ";
    for (arguments, expected) in [
        (&["query", plain, "--pin", PIN][..], format!("--pin {none}")),
        (&["sync", "--dry-run", plain, "--pin", PIN], format!("--pin {none}")),
        (&["survey", plain, "--pin", PIN], format!("--pin {none}")),
        (&["doctor", plain, "--pin", PIN], format!("--pin {none}")),
        (&["query", plain, "--cacert", ca], format!("--cacert {none}")),
        (&["query", plain, "-k"], format!("--insecure {none}")),
        (
            &["query", secure, plain, "--pin", PIN],
            "--pin is for https servers, but http://localhost/ is asked by plain HTTP; ".to_owned(),
        ),
        (
            &["query", secure, "--proxy-pin", PIN],
            "--proxy-pin is for an https proxy, and there is no proxy for ".to_owned(),
        ),
        (
            &["query", secure, "--proxy-insecure", "-x", "http://192.0.2.2:3128"],
            "--proxy-insecure is for an https proxy, but proxy http://192.0.2.2:3128/ (from \
             --proxy) is none; write https:// before "
                .to_owned(),
        ),
    ] {
        let output = program().args(arguments).output().expect("the program starts");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.starts_with(&format!("httptime: {expected}")), "{arguments:?}: {said}");
    }
    for (servers, code) in
        [("'http://a'", Some(2)), ("'http://a', 'https://b'", Some(2)), ("'https://b'", Some(0))]
    {
        let file = format!("servers = [{servers}]\nmin_servers = 1\n[https]\npin = '{PIN}'\n");
        let (found, said) = checked("unused", &file);
        assert_eq!(found, code, "{servers}: {said}");
        assert_eq!(said.contains(": https.pin is for https servers, but "), code == Some(2));
    }
    // The settings for https servers may leave plain ones as they are.
    let mixed = format!("servers = ['http://a', 'https://b']\n[https]\ncacert = '{ca}'\n");
    assert_eq!(checked("mixed", &mixed), (Some(0), String::new()));
}
