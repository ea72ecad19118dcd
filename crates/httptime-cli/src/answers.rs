//! Responses that may not be the server's: whose clock was measured, in words.

use httptime::Url;
use httptime::survey::Survey;

use crate::measure_options::Via;

/// A line for each measured server in whose place someone else may have answered.
pub(crate) fn warnings(survey: &Survey, via: Option<&Via>) -> Vec<String> {
    let servers = survey.servers().iter();
    let measured = servers.filter_map(|server| Some((server.url(), server.result().ok()?)));
    measured.filter_map(|(url, one)| warning(url, one.http_status()?, via)).collect()
}

fn warning(url: &Url, status: u16, via: Option<&Via>) -> Option<String> {
    if is_generate_204(url) && status != 204 {
        return Some(format!(
            "{url}: status {status} instead of 204: a captive portal or a proxy answered, and its \
             clock was measured; log in to the network, or refuse such responses with \
             --expect-status 204"
        ));
    }
    let via = via.filter(|via| !via.is_tunnel() && is_typical_of_proxies(status))?;
    Some(format!(
        "{url}: status {status} through {via}: the proxy may have answered by itself, and then its \
         clock was measured; use another URL, --proxytunnel, or --expect-status with the status of \
         the server"
    ))
}

/// Whether the path is one of those that only answer 204, by which systems detect a portal.
pub(crate) fn is_generate_204(url: &Url) -> bool {
    let path = url.path().split('?').next().unwrap_or_default();
    path.ends_with("/generate_204") || path.ends_with("/gen_204")
}

/// A redirect (to a login page), a refusal, or a failure: what proxies answer by themselves.
const fn is_typical_of_proxies(status: u16) -> bool {
    matches!(status, 300..=399 | 403 | 500..=599)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure_options::ProxySource;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    fn via(tunnel: bool) -> Via {
        Via::new(url("http://p:3128/"), ProxySource::Variable("http_proxy"), tunnel)
    }

    #[test]
    fn a_status_that_proxies_give_is_named_with_the_proxy_and_its_source() {
        let server = url("http://a.example/");
        for status in [301, 302, 403, 500, 511] {
            let said = warning(&server, status, Some(&via(false))).expect("a warning");
            let start = format!(
                "http://a.example/: status {status} through proxy http://p:3128/ (from environment \
                 variable http_proxy): the proxy may have answered by itself"
            );
            assert!(said.starts_with(&start), "{said}");
            assert_eq!(warning(&server, status, Some(&via(true))), None, "a tunnel");
            assert_eq!(warning(&server, status, None), None, "no proxy");
        }
        for status in [200, 204, 404, 405, 429] {
            assert_eq!(warning(&server, status, Some(&via(false))), None, "{status}");
        }
    }

    #[test]
    fn a_path_for_204_with_another_status_is_a_captive_portal() {
        for path in ["generate_204", "gen_204?x=1"] {
            let server = url(&format!("http://a.example/{path}"));
            for status in [200, 302, 511] {
                let said = warning(&server, status, None).expect("a warning");
                assert!(said.contains("a captive portal or a proxy answered"), "{said}");
            }
            assert_eq!(warning(&server, 204, None), None);
        }
        assert_eq!(warning(&url("http://a.example/generate_2040"), 200, None), None);
    }
}
