//! Wrong inputs as an operator makes them, and the message of the program: the value, the option or
//! key, the side, and what to do next.

use httptime_testserver::{
    Behaviour, LoopbackProxy, LoopbackServer, Misbehave as _, ProxyOptions, RefusedPort,
};

use super::{QUICK, checked, program, query, text};

/// What the program prints on stderr, without its name in front.
fn complaint(arguments: &[&str]) -> String {
    let output = program().args(arguments).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
    let said = text(&output.stderr);
    let first = said.lines().next().unwrap_or_default();
    first.strip_prefix("httptime: ").unwrap_or(first).to_owned()
}

#[test]
fn urls() {
    for (url, reason) in [
        ("http:/host", "two slashes are missing after http:; write http://host"),
        ("http:host", "two slashes are missing after http:; write http://host"),
        ("ftp://host/", SCHEMES),
        (
            "socks5h://host/",
            "only a proxy can be reached by SOCKS5; write http://host or https://host",
        ),
        ("htp://host", SCHEMES),
        ("http://", "it has no host; write http://host"),
        ("http://host:0/", "its port is not in 1 to 65535"),
        ("http://host:65536/", "its port is not in 1 to 65535"),
        ("http://host:http/", "its port is not a number"),
        ("http://::1/", "an IPv6 address must be in brackets: http://[::1]/"),
        ("http://[::1/", "the bracket of its IPv6 address is not closed: http://[::1]/"),
        ("http://[host]/", "there is no IPv6 address in its brackets: http://[::1]/"),
        ("http://[::1]8080/", "only a colon and a port may follow its bracket: http://[::1]:8080/"),
        ("http://host/a b", "it contains a space or a control character; write a space as %20"),
        (
            "http://h\u{f6}rst/",
            "it has a character outside ASCII; write the host in its xn-- form, the path \
             percent-encoded",
        ),
        (
            "http://a,b/",
            "its host is neither a name nor an address: only letters, digits, -, . and _ are \
             allowed; give several URLs separately",
        ),
    ] {
        let expected = format!("cannot use URL {url:?}: {reason}");
        assert_eq!(complaint(&["query", url]), expected);
    }
}

#[test]
fn options() {
    let whole = "allowed: a whole number, 0 or more";
    let seconds = "allowed: a number of seconds, 0 or more, such as 0.5";
    for (option, value, reason) in [
        ("--requests <N>", "x", whole),
        ("--requests <N>", "-3", whole),
        ("--requests <N>", "2.5", whole),
        ("--min-servers <N>", "two", whole),
        ("--drift-ppm <PPM>", "300ppm", whole),
        ("--duration <S>", "5s", seconds),
        ("--duration <S>", "-1", seconds),
        ("--timeout <S>", "", seconds),
        ("--lag <S>", "1ms", seconds),
        ("--profile <NAME>", "quick", "allowed: polite, balanced, fast"),
        ("--method <NAME>", "POST", "allowed: auto, head, get, options"),
        ("--timestamps <WHO>", "hardware", "allowed: auto, kernel, user"),
        ("--source-address <ADDR>", "eth0", "allowed: an IPv4 or IPv6 address of this machine"),
    ] {
        let name = option.split(' ').next().expect("a name");
        let said = complaint(&["query", "http://host/", name, value]);
        assert_eq!(said, format!("error: invalid value '{value}' for '{option}': {reason}"));
    }
    for (arguments, expected) in [
        (&["--requests", "0"][..], "--requests is 0; allowed: 1 to 1000"),
        (&["--requests", "1001"], "--requests is 1001; allowed: 1 to 1000"),
        (&["--duration", "0"], "--duration is 0 s; allowed: more than 0, up to 3600 s"),
        (&["--duration", "7200"], "--duration is 7200 s; allowed: more than 0, up to 3600 s"),
        (&["--timeout", "0.0001"], "--timeout is 100 \u{b5}s; allowed: 1 ms to 3600 s"),
        (&["--lag", "4000"], "--lag is 4000 s; allowed: 0 to 3600 s"),
        (&["--target", "0"], "--target is 0 s; allowed: 1 ns or more"),
        (
            &["--stamp-header", "X Time"],
            "--stamp-header is \"X Time\"; allowed: a header field other than Date",
        ),
        (&["--drift-ppm", "20000"], "--drift-ppm is 20000; allowed: 0 to 10000"),
        (&["--min-servers", "0"], "--min-servers is 0; allowed: 1 to the number of servers"),
        (&["--min-servers", "2"], "--min-servers is 2; allowed: 1 to 1, the number of servers"),
        (
            &["-A", "caf\u{e9}"],
            "--user-agent has a character that is not printable ASCII; remove it",
        ),
        (
            &["http://host:80/x"],
            "the command line names host:80 twice, which would give it two votes; remove one",
        ),
        (&["--interface", ""], "--interface is empty; name one, such as eth0, or leave it out"),
        (
            &["--source-address", "127.0.0.1", "-6"],
            "--source-address is an IPv4 address, but only IPv6 is allowed; change one",
        ),
        (
            &["-x", "socks4://p:1080"],
            "--proxy: cannot use URL \"socks4://p:1080\": only http:// and https:// are \
             supported, for a proxy also socks5h://; write http://host",
        ),
    ] {
        assert_eq!(complaint(&[&["query", "http://host/"], arguments].concat()), expected);
    }
}

#[test]
fn an_option_of_another_command_is_no_value() {
    let output = program().args(["query", "--dry-run", "http://host/"]).output();
    let said = text(&output.expect("the program starts").stderr);
    assert!(said.starts_with("error: unexpected argument '--dry-run' found\n"), "{said}");
    assert!(!said.contains("as a value"), "{said}");
}

#[test]
fn configurations() {
    for (name, more, expected) in [
        ("a", "mode = 'ntp'", "line 2, mode: unknown value 'ntp', expected 'clock' or 'chrony'"),
        (
            "b",
            "tunnel = 'yes'",
            "line 2, tunnel: invalid type: string \"yes\", expected true or false",
        ),
        ("c", "family = 'ipv5'", "line 2, family is \"ipv5\"; allowed: any, ipv4, ipv6"),
        ("d", "source_address = 'eth0'", "line 2, source_address: not an IPv4 or IPv6 address"),
        ("e", "min_servers = 3", "min_servers is 3; allowed: 1 to 1, the number of servers"),
        (
            "f",
            "[measure]\nlag = '5s'",
            "line 3, measure.lag: invalid type: string \"5s\", expected a number of seconds",
        ),
        (
            "g",
            "[measure]\nduration = -1",
            "line 3, measure.duration: -1 s; allowed: a number of seconds, 0 or more",
        ),
        (
            "h",
            "[measure]\nrequests = 'many'",
            "line 3, measure.requests: invalid type: string \"many\", expected a whole number, 0 \
             or more",
        ),
        ("i", "[measure]\nrequests = 0", "measure.requests is 0; allowed: 1 to 1000"),
        (
            "j",
            "[measure]\nprofile = 'quick'",
            "line 3, measure.profile is \"quick\"; allowed: polite, balanced, fast",
        ),
        (
            "stamp",
            "[measure]\nstamp_header = 'X-Time:'",
            "measure.stamp_header is \"X-Time:\"; allowed: a header field other than Date",
        ),
        ("k", "[poll]\nshortest = 0.1", "poll.shortest is 100 ms; allowed: 1 s or more"),
        (
            "l",
            "[poll]\nshortest = 100\nlongest = 50",
            "poll.longest is 50 s; allowed: poll.shortest (100 s) or more",
        ),
        (
            "m",
            "[poll]\nlongest = 1e6",
            "poll.longest is 1000000 s; allowed: up to 604800 s, which is a week",
        ),
        (
            "n",
            "[policy]\nfloor = 'yesterday'",
            "line 3, policy.floor: invalid type: string \"yesterday\", expected a date such as \
             2026-01-31",
        ),
        (
            "o",
            "[policy]\nfloor = 2026-01-01T00:00:00Z",
            "line 3, policy.floor: 2026-01-01T00:00:00Z; allowed: a date such as 2026-01-31",
        ),
        ("p", "[chrony]\npoll = 40", "chrony.poll is 40; allowed: 0 to 24"),
        (
            "q",
            "[chrony]\nsocket = 'sock'",
            "chrony.socket: cannot use the socket path sock: it is not absolute; begin it with a \
             slash",
        ),
        (
            "u",
            "poll = 5",
            "line 2, poll: invalid type: integer '5', expected a section; write [poll]",
        ),
        ("v", "[policy]\nslew_ppm = 1000", "policy.slew_ppm is 1000; allowed: 1 to 500"),
        (
            "w",
            "[measure]\nlag = 5ms",
            "line 3, measure.lag: write a text in quotes, and a number without a unit",
        ),
        (
            "x",
            "[measure]\nlag = 0,5",
            "line 3, measure.lag: unexpected text after the value; write decimals with a point, \
             such as 0.5",
        ),
        (
            "y",
            "[measure]\nlag = 1\nmin_servers = 1",
            "line 4: 'min_servers' is not a key of [measure]; move it above the first section",
        ),
        (
            "z",
            "family = 'ipv6'\nsource_address = '127.0.0.1'",
            "source_address is an IPv4 address, but only IPv6 is allowed; change one",
        ),
        ("r", "mode = 'clock", "line 2, mode: invalid literal string, a closing ' is missing"),
        ("s", "servers = ['b']", "line 2, servers: duplicate key"),
        (
            "t",
            "proxy = 'socks4://p'",
            "proxy in the configuration: cannot use URL \"socks4://p\": only http:// and https:// are \
             supported, for a proxy also socks5h://; write http://host",
        ),
    ] {
        let name = format!("wrong-{name}");
        let (code, said) = checked(&name, &format!("servers = ['a']\n{more}\n"));
        assert_eq!(code, Some(2), "{more}: {said}");
        let (_, shown) = said.split_once(&format!("{name}.toml: ")).unwrap_or_default();
        assert_eq!(shown.trim_end(), expected, "{more}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let (_, said) = checked("wrong-none", "mode = 'clock'\n");
    assert!(said.ends_with(".toml: the key 'servers' is missing\n"), "{said}");
}

#[test]
fn servers() {
    let date =
        "the Date header is outside the years 1678 to 2262: \"Fri, 31 Dec 9999 23:59:59 GMT\"";
    let not_http = |what: &str| format!("the answer is not HTTP/1: it {what}; check the scheme ");
    for (behaviour, expected) in [
        (Behaviour::Silent, "timed out after 1 s while waiting for the response; ".to_owned()),
        (Behaviour::EmptyReply, "the server closed the connection without a response; ".into()),
        (Behaviour::CloseMidHead, "the server closed the connection after ".into()),
        (Behaviour::NoDate, "the response (status 200) has no Date header; use another ".into()),
        (Behaviour::TwoDates, "the response has two Date headers that differ: \"".into()),
        (
            Behaviour::FixedDate("now".into()),
            "the Date header is not an HTTP date: \"now\"; ".into(),
        ),
        (Behaviour::FixedDate("Fri, 31 Dec 9999 23:59:59 GMT".into()), date.into()),
        (
            Behaviour::FixedDate("Thu, 01 Jan 1970 00:00:10 GMT".into()),
            "the server's Date is Thu, 01 Jan 1970 00:00:10 GMT, but no date before Wed, 01 Jan \
             2025 00:00:00 GMT is accepted; correct the server's clock or use another server"
                .into(),
        ),
        (
            Behaviour::Cached { age: Some(std::time::Duration::from_secs(30)) },
            "the response comes from a cache (Age: 30 s), so its Date is old; use a path that "
                .into(),
        ),
        (
            Behaviour::TlsAlert,
            not_http("looks like TLS, for which the URL must begin with https://"),
        ),
        (Behaviour::SshBanner, not_http("looks like SSH")),
        (Behaviour::Http2Preface, not_http("looks like HTTP/2")),
        (Behaviour::NulBytes, "the response head is malformed: invalid field value; ".into()),
        (Behaviour::EndlessHeaders, "the response head has more than ".into()),
        (
            Behaviour::EndlessInterim,
            "the server sent more than 16 interim (1xx) responses and no final one; use another "
                .into(),
        ),
    ] {
        let name = format!("{behaviour:?}");
        let server = LoopbackServer::builder().behaviour(behaviour).start().expect("a port");
        let output = query(&server.url(), &[]);
        assert_eq!(output.status.code(), Some(1), "{name}: {output:?}");
        let said = text(&output.stderr);
        let start = format!("httptime: {}: {expected}", server.url());
        assert!(said.starts_with(&start), "{name}: {said}");
    }
}

#[test]
fn proxies() {
    let failed = |proxy: &str, more: &[&str]| {
        let mut command = program();
        command.args(["query", "http://192.0.2.1/", "-x", proxy]).args(QUICK).args(more);
        let output = command.output().expect("the program starts");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        text(&output.stderr)
    };
    let dead = format!("http://{}/", RefusedPort::reserve().expect("a port").address());
    let said = failed(&dead, &[]);
    let start = format!("httptime: http://192.0.2.1/: proxy {dead} (from --proxy) failed: cannot ");
    assert!(said.starts_with(&start) && said.contains("connection refused; nothing "), "{said}");
    let options = ProxyOptions::default().credentials("user", "secret");
    let proxy = LoopbackProxy::start(options).expect("a port");
    for more in [&[][..], &["-p"]] {
        let said = failed(&proxy.url(), more);
        let reason = "(from --proxy) failed: the proxy wants a valid user name and password \
                      (status 407); give them in its URL: http://user:password@host:port\n";
        assert!(said.ends_with(reason), "{said}");
    }
    let behaviour = Behaviour::StatusWithoutDate(500);
    let no_date = LoopbackServer::builder().behaviour(behaviour).start().expect("a port");
    let said = failed(&no_date.url(), &[]);
    assert!(said.contains("(status 500) has no Date header, and the proxy may have"), "{said}");
    let ssh = LoopbackServer::builder().behaviour(Behaviour::SshBanner).start().expect("a port");
    let said = failed(&ssh.url(), &[]);
    let start = format!("httptime: http://192.0.2.1/: proxy {} (from --proxy) failed: ", ssh.url());
    assert!(said.starts_with(&start), "{said}");
    assert!(said.contains("looks like SSH; check the port of the proxy"), "{said}");
}

const SCHEMES: &str =
    "only http:// and https:// are supported, for a proxy also socks5h://; write http://host";
