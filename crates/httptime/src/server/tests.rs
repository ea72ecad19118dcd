use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::Config;
use crate::error::Error;
use crate::http::ResponseReader;
use crate::measure::Measure;
use crate::observation::Exchange;
use crate::time::{CrossTimestamp, LocalInstant, Timestamp};

/// The lag of a response with these lines after the status line, and whether the response is
/// refused.
fn judged(lines: &str, change: impl Fn(Exchange<'_>) -> Exchange<'_>) -> Result<Lag, Error> {
    let lines = lines.split('\n').map(|line| format!("{}\r\n", line.trim()));
    let text = format!("HTTP/1.1 200 OK\r\n{}\r\n", lines.collect::<String>());
    let mut reader = ResponseReader::new();
    reader.feed(text.as_bytes());
    let head = reader.head()?.expect("a whole head");
    let at = LocalInstant::from_nanos;
    let cross_timestamp = CrossTimestamp::new(at(0), Timestamp::from_unix_nanos(0), Duration::ZERO);
    let config = Config::builder().floor(None).build()?;
    let exchange = change(Exchange::from_head(at(0), at(10), &head)?);
    Ok(Measure::new(&config, cross_timestamp).absorb(&exchange)?.lag())
}

/// The limit in milliseconds.
fn millis(lines: &str) -> u128 {
    judged(lines, |exchange| exchange).expect(lines).allowance().as_millis()
}

fn source(lines: &str) -> LagSource {
    judged(lines, |exchange| exchange).expect(lines).source()
}

const NGINX: &str = "Server: nginx/1.22.1
    Date: Fri, 27 Nov 2026 16:02:02 GMT
    Content-Type: text/html
    Content-Length: 615
    Connection: keep-alive
    Accept-Ranges: bytes";

/// In front of `http.server` without a name, with `proxy_pass_header Date`.
const NGINX_PASSING: &str = "Server: nginx/1.22.1
    Content-Type: text/plain
    Connection: keep-alive
    Date: Fri, 27 Nov 2026 16:02:02 GMT";

const CADDY: &str = "Server: Caddy
    Date: Fri, 27 Nov 2026 16:02:02 GMT
    Content-Length: 2";

/// 2.6.2 in front of a server without a name.
const CADDY_PASSING: &str = "Content-Type: text/plain
    Date: Fri, 27 Nov 2026 16:02:02 GMT
    Server: Caddy";

/// 2.6.2 in front of uvicorn.
const CADDY_AND_UVICORN: &str = "Content-Length: 2
    Content-Type: text/plain
    Date: Fri, 27 Nov 2026 16:02:02 GMT
    Server: Caddy
    Server: uvicorn";

/// Its own `Date`, or that of a server without a name: they look the same.
const APACHE: &str = "Date: Fri, 27 Nov 2026 16:02:02 GMT
    Server: Apache/2.4.62 (Debian)
    Content-Type: text/plain";

/// Its own 404, for a client that asks to keep the connection.
const APACHE_OWN: &str = "Date: Fri, 27 Nov 2026 16:02:02 GMT
    Server: Apache/2.4.71 (Debian)
    Keep-Alive: timeout=5, max=100
    Connection: Keep-Alive
    Content-Type: text/html; charset=iso-8859-1";

/// In front of a server without a name.
const APACHE_PASSING: &str = "Date: Fri, 27 Nov 2026 16:02:02 GMT
    Server: Apache/2.4.71 (Debian)
    content-length: 2
    content-type: text/plain
    Keep-Alive: timeout=5, max=100
    Connection: Keep-Alive";

const UVICORN: &str = "date: Fri, 27 Nov 2026 16:02:02 GMT
    server: uvicorn
    content-length: 2";

const VARNISH_AND_UVICORN: &str = "date: Fri, 27 Nov 2026 16:02:02 GMT
    server: uvicorn
    content-length: 2
    X-Varnish: 32773
    Age: 0
    Via: 1.1 varnish (Varnish/7.1)
    Connection: keep-alive";

const LIGHTTPD: &str = "Content-Type: text/html
    Content-Length: 3388
    Date: Fri, 27 Nov 2026 16:02:02 GMT
    Server: lighttpd/1.4.69";

const ENVOY: &str = "date: Fri, 27 Nov 2026 16:02:02 GMT
    server: envoy
    x-envoy-upstream-service-time: 0";

const SQUID: &str = "Server: nginx/1.22.1
    Date: Fri, 27 Nov 2026 16:02:02 GMT
    Content-Type: text/html
    X-Cache: MISS from white
    X-Cache-Lookup: HIT from white:3128
    Via: 1.1 white (squid/5.7)
    Connection: keep-alive";

const TINYPROXY: &str = "Via: 1.1 proxy.example (tinyproxy/1.11.1)
    Server: nginx/1.22.1
    Date: Fri, 27 Nov 2026 16:02:02 GMT
    Content-Type: text/plain";

/// Two nginx, with `proxy_pass_header` for both fields: the origin may have written them earlier.
const NGINX_PASSING_BOTH: &str = "Content-Type: text/plain
    Content-Length: 1
    Connection: close
    Server: nginx/1.22.1
    Date: Fri, 27 Nov 2026 16:02:02 GMT";

const HAPROXY_AND_CADDY: &str = "content-type: text/plain; charset=utf-8
    server: Caddy
    date: Fri, 27 Nov 2026 16:02:02 GMT
    content-length: 2";

#[test]
fn a_product_counts_where_it_made_the_date() {
    assert_eq!((millis(NGINX), source(NGINX)), (1, LagSource::Product("nginx")));
    assert_eq!((millis(CADDY), source(CADDY)), (1, LagSource::Product("Caddy")));
    assert_eq!((millis(UVICORN), source(UVICORN)), (2020, LagSource::Product("uvicorn")));
    // Behind a forwarding proxy that stores nothing.
    assert_eq!((millis(SQUID), source(SQUID)), (1, LagSource::Product("nginx")));
    assert_eq!((millis(TINYPROXY), source(TINYPROXY)), (1, LagSource::Product("nginx")));
    assert_eq!(millis(HAPROXY_AND_CADDY), 1);
}

#[test]
fn a_date_passed_on_under_the_name_of_the_front_server_is_of_unknown_software() {
    for lines in [NGINX_PASSING, CADDY_PASSING, CADDY_AND_UVICORN, APACHE, ENVOY, LIGHTTPD] {
        assert_eq!(millis(lines), 2020, "{lines}");
    }
    assert_eq!(source(NGINX_PASSING), LagSource::Forwarded("nginx"));
    assert_eq!(source(NGINX_PASSING_BOTH), LagSource::Forwarded("nginx"));
    assert_eq!(source(CADDY_PASSING), LagSource::Forwarded("Caddy"));
    assert_eq!(source(CADDY_AND_UVICORN), LagSource::SeveralServerFields);
    assert_eq!(source(APACHE), LagSource::MayBeForwarded("Apache"));
    assert!(source(APACHE).is_provable() && source(LIGHTTPD).is_provable());
    assert!(!source(ENVOY).is_provable() && !source(NGINX_PASSING).is_provable());
    assert_eq!(source(ENVOY), LagSource::MayBeForwarded("envoy"));
    assert_eq!(source(LIGHTTPD), LagSource::MayBeForwarded("lighttpd"));
}

#[test]
fn two_names_are_not_one_wherever_they_stand() {
    let lines = "Server: nginx/1.22.1\nDate: Fri, 27 Nov 2026 16:02:02 GMT\nServer: nginx/1.22.1";
    assert_eq!((millis(lines), source(lines)), (2020, LagSource::SeveralServerFields));
}

#[test]
fn what_a_front_server_answers_by_itself_has_its_own_date() {
    let by_itself = |lines: &str| judged(lines, |exchange| exchange.answered_by_front());
    let lag = by_itself(APACHE).expect("fresh");
    assert_eq!((lag.allowance().as_millis(), lag.source()), (1, LagSource::Product("Apache")));
    // Not if a proxy has marked the response: the proxy may have answered.
    let passed = by_itself(&format!("{APACHE}\nVia: 1.1 proxy")).expect("fresh");
    assert_eq!(passed.source(), LagSource::MayBeForwarded("Apache"));
    // It is not known which requests these answer by themselves.
    assert_eq!(by_itself(ENVOY).expect("fresh").source(), LagSource::MayBeForwarded("envoy"));
}

#[test]
fn apache_sets_the_type_of_its_own_response_behind_connection() {
    let plain = |lines: &str| judged(lines, |exchange| exchange.without_file_extension());
    let own = plain(APACHE_OWN).expect("fresh");
    assert_eq!((own.allowance().as_millis(), own.source()), (1, LagSource::Product("Apache")));
    // From the file name it guesses the type of a response that it passes on.
    assert_eq!(source(APACHE_OWN), LagSource::MayBeForwarded("Apache"));
    let sorted = "Connection: close\nContent-Type: text/plain\n\
        Date: Fri, 27 Nov 2026 16:02:02 GMT\nServer: Apache";
    let proxied = format!("{APACHE_OWN}\nVia: 1.1 proxy");
    for lines in [APACHE_PASSING, APACHE, sorted, &proxied] {
        let source = plain(lines).expect("fresh").source();
        assert_eq!(source, LagSource::MayBeForwarded("Apache"), "{lines}");
    }
}

#[test]
fn the_first_response_of_lighttpd_on_a_connection_is_later_than_the_others() {
    let first = judged(LIGHTTPD, |exchange| exchange.answered_by_front()).expect("fresh");
    assert_eq!(first.allowance(), Duration::from_millis(2020));
    let kept = judged(LIGHTTPD, |exchange| exchange.answered_by_front().on_reused_connection());
    let kept = kept.expect("fresh");
    assert_eq!(kept.allowance(), Duration::from_millis(1020));
    assert_eq!(kept.source(), LagSource::Product("lighttpd"));
}

#[test]
fn allowances_add_up_along_the_chain() {
    let lag = judged(VARNISH_AND_UVICORN, |exchange| exchange).expect("fresh");
    assert_eq!(lag.allowance(), Duration::from_millis(2020 + 1020));
    assert_eq!((lag.source(), lag.caches()), (LagSource::Product("uvicorn"), 1));
    assert_eq!(lag.to_string(), "product uvicorn, 1 cache");
    // Each proxy may be a cache that rounds the age down.
    let chain = format!("{NGINX}\nAge: 0\nVia: 1.1 varnish, 1.1 squid\nVia: 1.1 another");
    assert_eq!(millis(&chain), 1 + 3 * 1020);
    assert_eq!(millis(&format!("{NGINX}\nAge: 0")), 1 + 1020);
    assert_eq!(millis(&format!("{NGINX}\nAge: 0\nX-Cache: HIT")), 1 + 1020);
    assert_eq!(millis(&format!("{NGINX}\nAge: 0\nX-Cache: HIT, HIT")), 1 + 2 * 1020);
    // Proxies that store nothing.
    assert_eq!(millis(&format!("{NGINX}\nVia: 1.1 proxy\nX-Cache: MISS")), 1);
}

#[test]
fn a_stored_response_without_an_age_is_refused() {
    for mark in [
        "X-Cache: HIT",
        "X-Cache: Hit from cloudfront",
        "X-Cache: RefreshHit from cloudfront",
        "X-Cache: TCP_MEM_HIT from a23-1.example (AkamaiGHost/1.2)",
        "X-Cache: MISS, HIT",
        "X-Cache: HIT from squid.example",
        "X-Cache-Status: HIT",
        "X-Cache-Status: STALE",
        "X-Cache-Status: UPDATING",
        "X-Cache-Status: REVALIDATED",
        "CF-Cache-Status: hit",
        "X-Varnish: 32770 3",
        "X-Varnish: 5, 32770 3",
        "Cache-Status: \"A cache\"; fwd=miss, ExampleCache; hit; ttl=30",
        "Cache-Status: ExampleCache;hit=?1",
        "Cache-Status: ExampleCache; fwd=miss; collapsed",
    ] {
        let lines = format!("{UVICORN}\n{mark}");
        let error = judged(&lines, |exchange| exchange).expect_err(mark);
        assert_eq!(error, Error::Cached { age: None }, "{mark}");
        // Nothing shows the age of a Date that nginx took from its cache and passed on.
        let passed = format!("{NGINX_PASSING}\n{mark}");
        assert!(judged(&passed, |exchange| exchange).is_err(), "{mark}");
        // But its own Date is new, wherever the rest of the response comes from.
        assert_eq!(millis(&format!("{NGINX}\n{mark}")), 1, "{mark}");
    }
    for mark in [
        "X-Cache: MISS",
        "X-Cache: MISS from white",
        "X-Cache: MISS from hit.example",
        "X-Cache: TCP_MISS",
        "X-Cache: Miss from cloudfront",
        "X-Cache: uncacheable, pass",
        "X-Cache:",
        "X-Cache-Lookup: HIT from proxy:3128",
        "X-Cache-Status: MISS",
        "X-Cache-Status: EXPIRED",
        "CF-Cache-Status: DYNAMIC",
        "X-Varnish: 32770",
        "X-Varnish: 5, 32770",
        "Cache-Status: hit; fwd=miss; stored",
        "Cache-Status: ExampleCache; hit=?0",
    ] {
        assert_eq!(millis(&format!("{UVICORN}\n{mark}")), 2020, "{mark}");
    }
}

#[test]
fn a_token_is_found_by_its_whole_name() {
    for (server, millis) in [
        ("NGINX", 1),
        ("SimpleHTTP/0.6 Python/3.11.2", 1),
        ("gunicorn", 1),
        ("gunicorn/20.1.0", 1),
        ("gunicorn/asgi", 1020),
        ("h2o/2.2.5", 2),
        ("Python/3.11 aiohttp/3.14.5", 1),
        ("WSGIServer/0.2 CPython/3.11.7", 1),
        ("WEBrick/1.8.1 (Ruby/3.1.2/2022-04-12)", 1),
        ("rclone/v1.60.1-DEV", 1),
        ("Icecast 2.4.4", 25),
        ("h2o/2.3.0-DEV", 2),
    ] {
        let lag = Lag::from_server_header(server);
        assert_eq!(lag.allowance(), Duration::from_millis(millis), "{server}");
    }
    for server in ["", "cloudflare", "nginxish/1.0", "(nginx)", "Python", "Python/3.11", "\u{e9}"] {
        assert_eq!(Lag::from_server_header(server), Lag::unknown(), "{server}");
    }
}

#[test]
fn marks_survive_as_a_number() {
    let bits = u32::from_be_bytes([FieldOrder::ServerThenDate as u8 | 0x10, 2, 3, 4]);
    let marks = HeadMarks::from_bits(bits);
    assert_eq!(
        (marks.order(), marks.via_count(), marks.cache_hits()),
        (FieldOrder::ServerThenDate, 3, 4)
    );
    assert!(marks.has_several_servers() && marks.has_late_content_type());
    assert_eq!(marks.bits(), bits);
    assert_eq!(HeadMarks::default().bits(), 0);
}

/// Lines that servers and proxies on the path add to a response.
const ADDED: &[&str] = &[
    "Via: 1.1 proxy",
    "Age: 0",
    "X-Cache: HIT",
    "X-Cache: MISS",
    "X-Varnish: 1 2",
    "Cache-Status: ExampleCache; hit",
    "Server: nginx",
    "Server: other",
];

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(0x6874_7470),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_a_proxy_adds_never_makes_the_allowance_smaller(
        begun in prop::sample::select(
            vec![
                NGINX, CADDY, APACHE, APACHE_OWN, APACHE_PASSING, UVICORN, LIGHTTPD, ENVOY,
                NGINX_PASSING, CADDY_PASSING,
            ],
        ),
        added in prop::collection::vec(prop::sample::select(ADDED), 0..6),
        is_reused in any::<bool>(),
        is_by_front in any::<bool>(),
        is_plain in any::<bool>(),
    ) {
        let circumstances = |mut exchange: Exchange<'_>| {
            if is_reused {
                exchange = exchange.on_reused_connection();
            }
            if is_plain {
                exchange = exchange.without_file_extension();
            }
            if is_by_front {
                exchange = exchange.answered_by_front();
            }
            exchange.lag()
        };
        let mut lines = begun.to_owned();
        let mut before = Duration::ZERO;
        for line in [""].iter().chain(&added) {
            if !line.is_empty() {
                lines = format!("{lines}\n{line}");
            }
            let text = lines.split('\n').map(|line| line.split_once(':').expect("a field"));
            let fields: Vec<_> =
                text.map(|(name, value)| (name.trim(), value.trim().as_bytes())).collect();
            let at = LocalInstant::from_nanos;
            let exchange = Exchange::from_headers(at(0), at(1), 200, fields).expect("one Date");
            let allowance = circumstances(exchange).allowance();
            prop_assert!(allowance >= before, "{lines}: {allowance:?} after {before:?}");
            before = allowance;
        }
    }
}
