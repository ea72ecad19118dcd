//! `Url::parse` does not panic on any text. An accepted URL is formatted as it was. A request for
//! it is a single request: nothing in a URL or in a proxy's credentials ends a line. No message
//! shows the text before the last `@`. A `no_proxy` list that names a host matches it, whatever
//! else the list contains.
#![no_main]

#[path = "../../crates/httptime-cli/src/environment.rs"]
#[expect(dead_code, reason = "a file of the program, of which only a part is used here")]
mod environment;

#[path = "../../crates/httptime-cli/src/no_proxy.rs"]
mod no_proxy;

use httptime::http::Request;
use httptime::{Client, Error, Url};
use libfuzzer_sys::fuzz_target;

// The URL of a server. After the first line break follows a proxy's URL, and after the second a
// `no_proxy` list.
fuzz_target!(|text: &str| {
    let (server, rest) = text.split_once('\n').unwrap_or((text, ""));
    let (proxy, exempt) = rest.split_once('\n').unwrap_or((rest, ""));
    let built = Client::builder(server).proxy(proxy).build();
    let (server, proxy) = (check(server), check(proxy));
    if let Some(server) = &server {
        check_exempt(exempt, server.host());
    }
    if let (Some(server), Some(proxy)) = (&server, &proxy) {
        let is_plain = !server.is_https() && !proxy.is_https() && !server.is_socks();
        // A user name or password of SOCKS5 can be too long.
        let is_usable = server.credentials().is_none() && is_plain;
        assert!(built.is_ok() == is_usable || (is_usable && proxy.is_socks()), "{built:?}");
        let (authority, path) = (server.authority(), server.path());
        let secret = proxy.credentials();
        if let Ok(request) = Request::head_via_proxy(&authority, path, secret) {
            assert_is_one(&request, "HEAD http://");
        }
        if let Ok(request) = Request::connect(&server.authority_with_port(), secret) {
            assert_is_one(&request, "CONNECT ");
        }
    } else {
        assert!(built.is_err());
    }
});

fn check(text: &str) -> Option<Url> {
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => {
            // A message fits on one line of a log.
            assert!(!error.to_string().chars().any(char::is_control), "{error:?}");
            let Error::InvalidUrl { url: shown, .. } = &error else { panic!("{error:?}") };
            match text.rsplit_once('@') {
                Some((_, rest)) => assert_eq!(shown, &format!("***@{rest}")),
                None => assert_eq!(shown, text),
            }
            return None;
        }
    };
    let again = Url::parse(&url.to_string()).expect("what it prints, it can read");
    assert_eq!(again.to_string(), url.to_string());
    assert_eq!(
        (again.host(), again.port(), again.path()),
        (url.host(), url.port(), url.path()),
        "{text:?}"
    );
    assert_eq!(again.credentials(), None, "the printed form has no password");
    // No message shows the text before the last @: the message is the same without it.
    if let Some((_, rest)) = text.rsplit_once('@') {
        let scheme = url.scheme();
        let bare = Url::parse(&format!("{scheme}://{rest}")).expect("a host remains");
        assert_eq!((bare.to_string(), format!("{bare:?}")), (url.to_string(), format!("{url:?}")));
    }
    let request = Request::head(&url.authority(), url.path()).expect("a URL can be asked for");
    assert_is_one(&request, "HEAD /");
    let tunnel = Request::connect(&url.authority_with_port(), None).expect("it has a port");
    assert_is_one(&tunnel, "CONNECT ");
    Some(url)
}

fn check_exempt(list: &str, host: &str) {
    assert!(no_proxy::is_listed("*", host, 80));
    // A comma would end the entry, and an entry of dots names no host.
    if !host.contains(',') && !host.trim_matches('.').is_empty() {
        let list = format!("{list},{host}");
        assert!(no_proxy::is_listed(&list, host, 80), "{list:?} {host:?}");
    }
}

fn assert_is_one(request: &Request, begins: &str) {
    let text = std::str::from_utf8(request.as_bytes()).expect("ASCII");
    let head = text.strip_suffix("\r\n\r\n").expect("an empty line at the end");
    assert!(text.starts_with(begins), "{text:?}");
    for line in head.split("\r\n") {
        assert!(!line.is_empty() && !line.contains(['\r', '\n', '\0']), "{text:?}");
    }
}
