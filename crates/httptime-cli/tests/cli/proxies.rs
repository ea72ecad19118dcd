//! Proxies and responses that are not the server's.

use httptime_testserver::{
    Behaviour, BlackHole, LoopbackProxy, LoopbackServer, LoopbackSocks, Misbehave as _,
    ProxyOptions,
};

use super::*;

fn behaving(behaviour: Behaviour) -> LoopbackServer {
    LoopbackServer::builder().behaviour(behaviour).start().expect("a port")
}

#[test]
fn a_tunnel_without_a_proxy_is_wrong_usage() {
    let url = server().url();
    for more in [&["-p"][..], &["--proxytunnel", "-x", ""]] {
        let output = query(&url, more);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = text(&output.stderr);
        assert!(
            said.contains("--proxytunnel needs a proxy, and there is none for these"),
            "{said}"
        );
    }
    // The environment has one, but not for this server.
    let mut command = program();
    command.args(["query", &url, "-p"]).args(QUICK);
    command.env("http_proxy", "http://192.0.2.1:3128").env("no_proxy", "127.0.0.0/8");
    assert_eq!(command.output().expect("the program starts").status.code(), Some(2));
}

#[test]
fn verbose_shows_the_proxy_and_the_variable_that_it_came_from() {
    let (origin, proxy) = (server(), LoopbackProxy::start(ProxyOptions::default()));
    let proxy = proxy.expect("a port");
    let mut command = program();
    command.args(["query", &origin.url(), "-v"]).args(QUICK).env("all_proxy", proxy.url());
    let said = text(&command.output().expect("the program starts").stdout);
    let line = format!("through proxy {} (from environment variable all_proxy)\n", proxy.url());
    assert!(said.contains(&line), "{said}");
    let said = text(&query(&origin.url(), &["-v", "-p", "-x", &proxy.url()]).stdout);
    let line = format!("through proxy {} (from --proxy), tunnel\n", proxy.url());
    assert!(said.contains(&line), "{said}");
}

#[test]
fn a_proxy_that_may_have_answered_by_itself_is_named() {
    let proxy = behaving(Behaviour::Status(403));
    let output = query("http://192.0.2.1/", &["-x", &proxy.url()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = text(&output.stderr);
    let start = format!(
        "httptime: http://192.0.2.1/: status 403 through proxy {} (from --proxy): the proxy may \
         have answered by itself, and then its clock was measured; ",
        proxy.url()
    );
    assert!(said.starts_with(&start), "{said}");
    let warnings = &json(&query("http://192.0.2.1/", &["-x", &proxy.url(), "--json"]))["warnings"];
    assert!(warnings[0].as_str().is_some_and(|it| it.contains("status 403")), "{warnings}");
    let direct = json(&query(&proxy.url(), &["--json"]));
    assert_eq!(direct["warnings"], Value::Array(Vec::new()), "no proxy: the server's own status");
}

#[test]
fn a_path_that_only_gives_204_shows_a_captive_portal() {
    for (behaviour, seen) in [
        (Behaviour::Status(302), "status 302 instead of 204"),
        (Behaviour::Normal, "status 200 instead of 204"),
        (Behaviour::Html, "status 200 with a page of HTML instead of 204"),
    ] {
        let portal = behaving(behaviour);
        let url = format!("{}generate_204", portal.url());
        let said = text(&query(&url, &[]).stderr);
        let start = format!("httptime: {url}: {seen}: a captive portal or a proxy answered, and");
        assert!(said.starts_with(&start), "{said}");
        let object = json(&query(&url, &["--json"]));
        assert_eq!(object["servers"][0]["suspicion"], "captive_portal", "{object}");
    }
    let honest = behaving(Behaviour::Status(204));
    let said = text(&query(&format!("{}generate_204", honest.url()), &[]).stderr);
    assert_eq!(said, "");
    // HEAD is refused, perhaps by someone on the path.
    let head = Box::new(Behaviour::Status(405));
    let no_head = behaving(Behaviour::ByMethod { head, other: Box::new(Behaviour::Status(204)) });
    let output = query(&format!("{}generate_204", no_head.url()), &["--json"]);
    let object = json(&output);
    assert_eq!((&object["method"], &object["http_status"]), (&"get".into(), &204.into()));
    assert_eq!(object["servers"][0]["suspicion"], Value::Null, "{object}");
}

#[test]
fn another_status_than_the_expected_one_measures_nothing() {
    let (portal, honest) = (behaving(Behaviour::Status(302)), behaving(Behaviour::Status(204)));
    let expect = ["--expect-status", "204"];
    assert_eq!(query(&honest.url(), &expect).status.code(), Some(0));
    let output = query(&portal.url(), &expect);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains("the response has status 302, not 204: a captive portal"), "{said}");
    let output = query(&portal.url(), &["--expect-status", "204", "--json"]);
    assert_eq!(json(&output)["error"]["kind"], "unexpected_status");
    // A server that refuses HEAD is asked with GET.
    let head = Box::new(Behaviour::Status(405));
    let no_head = behaving(Behaviour::ByMethod { head, other: Box::new(Behaviour::Status(204)) });
    let output = query(&no_head.url(), &["--expect-status", "204", "--json"]);
    assert_eq!(json(&output)["method"], "get", "{output:?}");
    let output = query(&honest.url(), &["--expect-status", "99"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains("--expect-status is 99; allowed: 200 to 599"), "{said}");
}

#[test]
fn a_scheme_of_authentication_that_is_missing_here_is_named_with_a_remedy() {
    let refusal = |challenges: &str| {
        let head = format!(
            "HTTP/1.1 407 Proxy Authentication Required\r\n{challenges}Content-Length: 0\r\n\r\n"
        );
        behaving(Behaviour::Raw(head.into_bytes()))
    };
    for (challenges, kind, scheme) in [
        ("Proxy-Authenticate: NTLM\r\n", "proxy_scheme", "NTLM"),
        ("Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n", "proxy_scheme", "Nego"),
        ("Proxy-Authenticate: NTLM, basic realm=\"a\"\r\n", "proxy_credentials", "user name"),
        ("", "proxy_credentials", "user name"),
    ] {
        let proxy = refusal(challenges);
        for more in [&[][..], &["-p"]] {
            let url = proxy.url();
            let arguments = [&["-x", &url, "--json"], more].concat();
            let error = &json(&query("http://192.0.2.1/", &arguments))["error"];
            assert_eq!(error["kind"], kind, "{challenges}: {error}");
            let message = error["message"].as_str().expect("a text");
            assert!(message.contains(scheme), "{message}");
        }
    }
}

#[test]
fn a_proxy_that_opens_no_tunnel_to_this_port_is_explained_by_the_rule_of_squid() {
    let options = ProxyOptions::default().refuse_connect(true);
    let proxy = LoopbackProxy::start(options).expect("a port");
    let said = text(&query("http://192.0.2.1/", &["-p", "-x", &proxy.url()]).stderr);
    assert!(said.contains("(squid allows a tunnel to port 443 only)"), "{said}");
}

#[test]
fn a_socks5_proxy_leads_to_the_server_and_resolves_its_name() {
    let origin = server();
    let proxy = LoopbackSocks::start(origin.address(), None).expect("a port");
    for scheme in ["socks5", "socks5h"] {
        let mut command = program();
        command.args(["query", "--json", "http://no.such.name.invalid/"]).args(QUICK);
        command.env("all_proxy", format!("{scheme}://{}", proxy.address()));
        let said = json(&command.output().expect("the program starts"));
        let offset = said["offset_seconds"].as_f64().expect("measured");
        assert!((36.0..=39.2).contains(&offset), "{said}");
        assert_eq!(said["proxy"]["source"], "all_proxy");
    }
    assert!(proxy.tunnels() >= 2);
    let asked = origin.last_request().expect("it was asked");
    assert!(asked.starts_with("HEAD / HTTP/1.1\r\nHost: no.such.name.invalid\r\n"), "{asked}");
}

#[test]
fn a_socks5_proxy_with_a_password_names_what_is_missing() {
    let origin = server();
    let login = Some(("user", "hunter2"));
    let proxy = LoopbackSocks::start(origin.address(), login).expect("a port");
    let through = |credentials: &str| {
        let url = format!("socks5h://{credentials}{}", proxy.address());
        query("http://a.example/", &["-x", &url, "-v"])
    };
    let output = through("user:hunter2@");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = text(&output.stdout);
    let shown = format!("through proxy socks5h://{}/ (from --proxy), tunnel\n", proxy.address());
    assert!(said.contains(&shown) && !said.contains("hunter2"), "{said}");
    for (credentials, reason) in [
        ("", "failed: the SOCKS5 proxy wants a user name and password; give them in its URL"),
        ("user:wrong@", "failed: the SOCKS5 proxy rejects the user name and password"),
    ] {
        let output = through(credentials);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(text(&output.stderr).contains(reason), "{output:?}");
    }
}

#[test]
fn a_port_that_does_not_speak_socks5_is_named() {
    let ssh = behaving(Behaviour::SshBanner);
    let url = format!("socks5://{}", ssh.address());
    let error = &json(&query("http://a.example/", &["-x", &url, "--json"]))["error"];
    assert_eq!(error["kind"], "socks", "{error}");
    let hole = BlackHole::start().expect("a listener");
    let url = format!("socks5://{}", hole.address());
    let error = &json(&query("http://a.example/", &["-x", &url, "--json"]))["error"];
    let kind = error["kind"].as_str().expect("a kind");
    assert!(["timeout_tunnel", "timeout_connect"].contains(&kind), "{error}");
    let dead = RefusedPort::reserve().expect("a port");
    let origin = dead.address();
    let proxy = LoopbackSocks::start(origin, None).expect("a port");
    let url = format!("socks5://{}", proxy.address());
    let error = &json(&query("http://a.example/", &["-x", &url, "--json"]))["error"];
    let message = error["message"].as_str().expect("a text");
    assert!(message.contains("the server refuses it (reply 5)"), "{error}");
}

#[cfg(feature = "https")]
#[test]
fn https_goes_through_a_socks5_proxy() {
    use httptime_testserver::tls::{Authority, PemFile, TlsFront, Version, server_config};

    let (origin, root) = (server(), Authority::root("Test Root"));
    let config = server_config(&root.issue(&["time.example"]), Version::Tls13, None);
    let front = TlsFront::start(origin.address(), config).expect("a front");
    let address = front.url().replace("https://", "").replace('/', "");
    let address = address.parse().expect("an address");
    let proxy = LoopbackSocks::start(address, None).expect("a port");
    let (ca, url) = (PemFile::new(&root.pem()), format!("socks5h://{}", proxy.address()));
    let ca = ca.path();
    let more = ["-x", &url, "--cacert", ca.to_str().expect("UTF-8"), "--json"];
    let said = json(&query("https://time.example/", &more));
    let offset = said["offset_seconds"].as_f64().unwrap_or_else(|| panic!("{said}"));
    assert!((36.0..=39.2).contains(&offset), "{said}");
}
