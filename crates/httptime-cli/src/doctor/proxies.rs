//! The proxies: each asked to forward a request (absolute form) and to open a tunnel (`CONNECT`).
//! SOCKS5 and `https` proxies are asked as in a measurement.

use httptime::http::Request;
use httptime::{Client, Error, Phase, Scheme, Url};
use serde::Serialize;

use super::deadline;
use super::finding::{Examination::Proxies, Finding, Kind};
use super::probe::{self, Answer, Failure};

/// A proxy and the server that it is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) server: Url,
    pub(crate) proxy: Url,
    /// Where the proxy's name comes from.
    pub(crate) source: String,
    /// Whether the server needs a tunnel.
    pub(crate) needs_tunnel: bool,
}

/// A proxy that is not plain HTTP, and a client that asks it for a server that cannot exist.
#[derive(Debug)]
pub(crate) struct Hop {
    pub(crate) proxy: Url,
    pub(crate) source: String,
    pub(crate) client: Client,
}

/// A proxy and how it answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Asked {
    Http(Box<Facts>),
    Other(OtherFacts),
}

/// How a SOCKS5 or `https` proxy answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct OtherFacts {
    pub(crate) url: String,
    pub(crate) source: String,
    /// Why the server that cannot exist was not measured.
    pub(crate) error: Option<Error>,
}

/// How it answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Facts {
    pub(crate) url: String,
    pub(crate) source: String,
    pub(crate) has_credentials: bool,
    pub(crate) needs_tunnel: bool,
    /// Whether no server is given: only one that cannot exist was asked for.
    pub(crate) is_without_server: bool,
    /// The authority of the tunnel that was asked for.
    pub(crate) tunnel_to: String,
    pub(crate) forwarded: Result<Answer, Failure>,
    /// A server that cannot exist: a proxy that answers for it answers for any server.
    pub(crate) impossible: Result<Answer, Failure>,
    pub(crate) tunnel: Result<Answer, Failure>,
}

pub(crate) fn gather(routes: Vec<Route>, hops: Vec<Hop>) -> Vec<Asked> {
    let plain = routes.iter().filter(|route| is_plain(&route.proxy));
    let plain = plain.filter_map(facts).map(|facts| Asked::Http(Box::new(facts)));
    let others = hops.into_iter().map(|Hop { proxy, source, client }| {
        let error = client.measure().err();
        Asked::Other(OtherFacts { url: proxy.to_string(), source, error })
    });
    plain.chain(others).collect()
}

/// Whether it is reached by plain HTTP.
pub(crate) fn is_plain(proxy: &Url) -> bool {
    proxy.scheme() == Scheme::Http
}

fn facts(route: &Route) -> Option<Facts> {
    let Route { server, proxy, source, needs_tunnel } = route;
    let basic = proxy.authorization();
    let basic = basic.as_deref();
    let requests = vec![
        Request::head_via_proxy(&server.authority(), server.path(), basic).ok()?,
        Request::head_via_proxy(IMPOSSIBLE, "/", basic).ok()?,
        Request::connect(&server.authority_with_port(), basic).ok()?,
    ];
    let hop = proxy.clone();
    let answers = deadline::each(requests, probe::LIMIT * 2, move |it| probe::ask(&hop, it));
    let mut answers = answers.into_iter().map(|(_, answer)| answer.unwrap_or(Err(Failure::Silent)));
    Some(Facts {
        url: proxy.to_string(),
        source: source.clone(),
        has_credentials: proxy.credentials().is_some(),
        needs_tunnel: *needs_tunnel,
        is_without_server: server.host() == IMPOSSIBLE,
        tunnel_to: server.authority_with_port(),
        forwarded: answers.next()?,
        impossible: answers.next()?,
        tunnel: answers.next()?,
    })
}

/// What the answers mean.
pub(crate) fn findings(all: &[Asked]) -> Vec<Finding> {
    match all {
        [] => vec![Finding::good(Proxies, "no proxy is used")],
        all => all
            .iter()
            .flat_map(|asked| match asked {
                Asked::Http(facts) => of_one(facts),
                Asked::Other(facts) => vec![of_other(facts)],
            })
            .collect(),
    }
}

fn of_other(facts: &OtherFacts) -> Finding {
    let proxy = format!("proxy {} (from {})", facts.url, facts.source);
    let Some(error) = &facts.error else {
        return Finding::good(Proxies, format!("{proxy} answers"));
    };
    let text = format!("{proxy}: {error}");
    match error {
        Error::ProxyCredentials | Error::ProxyScheme { .. } => {
            Finding::fault(Proxies, Kind::ProxyPassword, text)
        }
        Error::Socks { reason } if reason.contains("user name") => {
            Finding::fault(Proxies, Kind::ProxyPassword, text)
        }
        // It speaks SOCKS5, and has a reply for a server that cannot exist.
        Error::Socks { reason } if reason.contains("(reply ") => {
            Finding::good(Proxies, format!("{proxy} answers"))
        }
        Error::Socks { .. }
        | Error::Resolve { .. }
        | Error::Connect { .. }
        | Error::Tls { .. }
        | Error::NoHttps { .. }
        | Error::Timeout { phase: Phase::Resolve | Phase::Connect | Phase::Handshake, .. } => {
            direct(Finding::fault(Proxies, Kind::ProxyFails, text))
        }
        // It has no answer for that server, or one of its own.
        _ => Finding::good(Proxies, format!("{proxy} accepts connections")),
    }
}

fn of_one(facts: &Facts) -> Vec<Finding> {
    let proxy = format!("proxy {} (from {})", facts.url, facts.source);
    let answers = [&facts.forwarded, &facts.tunnel, &facts.impossible];
    let answered: Vec<&Answer> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
    let mut all = Vec::new();
    let Some(first) = answered.first() else {
        let why = facts.forwarded.as_ref().map_or_else(ToString::to_string, |_| String::new());
        let text = format!("{proxy} does not work: {why}");
        return vec![direct(Finding::fault(Proxies, Kind::ProxyFails, text))];
    };
    if let Some(name) = software(&answered) {
        all.push(Finding::note(Proxies, format!("{proxy} is {name}")));
    }
    if first.status == 407 || matches!(&facts.tunnel, Ok(answer) if answer.status == 407) {
        let asking = answered.iter().find(|answer| answer.status == 407);
        all.push(password(&proxy, facts, asking.map_or(&[][..], |answer| &answer.challenges)));
        return all;
    }
    if let Some(finding) = answers_itself(&proxy, facts) {
        all.push(direct(finding));
        return all;
    }
    if facts.is_without_server {
        let text = format!(
            "{proxy} answers with status {} for a server that cannot exist; name a server to test \
             more",
            first.status
        );
        all.push(Finding::good(Proxies, text));
        return all;
    }
    all.push(forwarding(&proxy, facts));
    all.push(tunnelling(&proxy, facts));
    all
}

fn password(proxy: &str, facts: &Facts, challenges: &[String]) -> Finding {
    let has_basic =
        challenges.is_empty() || challenges.iter().any(|it| it.eq_ignore_ascii_case("Basic"));
    if !has_basic {
        let schemes = challenges.join(" or ");
        return Finding::fault(
            Proxies,
            Kind::ProxyPassword,
            format!(
                "{proxy} wants {schemes} (status 407), which httptime does not have: run a local \
                 proxy that has it, such as px or cntlm"
            ),
        )
        .run("httptime query -x http://127.0.0.1:3128 URL      # px or cntlm on this machine");
    }
    let what = match facts.has_credentials {
        true => "rejects the user name and password in its URL",
        false => "wants a user name and password",
    };
    let url = facts.url.replacen("://", "://USER:PASSWORD@", 1);
    Finding::fault(Proxies, Kind::ProxyPassword, format!("{proxy} {what} (status 407)"))
        .run(format!("httptime query -x {url} URL"))
}

/// The proxy answers even for a server that cannot exist, as if it were that server. It is a web
/// server, a filter or a portal, and its clock is measured.
fn answers_itself(proxy: &str, facts: &Facts) -> Option<Finding> {
    let (Ok(impossible), Ok(forwarded)) = (&facts.impossible, &facts.forwarded) else {
        return None;
    };
    // A proxy that works has a page of its own for the server that cannot exist.
    let of = |answer: &Answer| (answer.status, answer.server.clone(), answer.location.clone());
    let is_the_same = of(impossible) == of(forwarded) && impossible.date.is_some();
    // 400 is what a proxy answers to a request that it does not understand, 5xx if it fails.
    let answers = is_the_same
        && match facts.is_without_server {
            true => matches!(impossible.status, 200..=399),
            false => matches!(impossible.status, 200..=399 | 401..=499),
        };
    answers.then(|| {
        Finding::fault(
            Proxies,
            Kind::ProxyAnswersItself,
            format!(
                "{proxy} answers by itself, with status {} even for a server that cannot exist: its \
                 clock is measured, not the server's",
                impossible.status
            ),
        )
    })
}

fn forwarding(proxy: &str, facts: &Facts) -> Finding {
    match &facts.forwarded {
        Ok(answer) if matches!(answer.status, 403 | 500..=599) => Finding::warning(
            Proxies,
            Kind::ProxyFails,
            format!(
                "{proxy} answers the forwarded request with status {}: it may not reach the server, \
                 or not allow it",
                answer.status
            ),
        ),
        Ok(answer) => {
            Finding::good(Proxies, format!("{proxy} forwards requests (status {})", answer.status))
        }
        Err(failure) => Finding::warning(
            Proxies,
            Kind::ProxyFails,
            format!("{proxy} does not forward requests: {failure}"),
        ),
    }
}

fn tunnelling(proxy: &str, facts: &Facts) -> Finding {
    let to = &facts.tunnel_to;
    let what = match &facts.tunnel {
        Ok(answer) if matches!(answer.status, 200..=299) => {
            return Finding::good(Proxies, format!("{proxy} opens tunnels to {to}"));
        }
        Ok(answer) if answer.status == 403 && !to.ends_with(":443") => {
            "status 403; squid, for example, allows port 443 only (SSL_ports)".to_owned()
        }
        Ok(answer) => format!("status {}", answer.status),
        Err(failure) => failure.to_string(),
    };
    let text = format!("{proxy} opens no tunnel to {to}: {what}");
    match facts.needs_tunnel {
        true => Finding::fault(Proxies, Kind::ProxyFails, text)
            .run("httptime query http://SERVER/      # without --proxytunnel"),
        false => Finding::note(Proxies, text),
    }
}

fn direct(finding: Finding) -> Finding {
    finding
        .run("httptime query -x \"\" URL      # without the proxy")
        .run("env | grep -i _proxy      # where it is set; no_proxy exempts a server")
}

/// The name of a known proxy in the fields of its answers.
fn software(answered: &[&Answer]) -> Option<&'static str> {
    let names: Vec<String> =
        answered.iter().flat_map(|answer| answer.names()).map(str::to_ascii_lowercase).collect();
    ["gost", "tinyproxy", "squid", "privoxy", "haproxy", "envoy", "trafficserver"]
        .into_iter()
        .find(|known| names.iter().any(|name| name.contains(known)))
}

/// RFC 6761: a name below `invalid` never exists.
pub(crate) const IMPOSSIBLE: &str = "httptime-doctor.invalid";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Severity;

    fn answer(status: u16) -> Result<Answer, Failure> {
        Ok(Answer {
            status,
            date: Some("Mon, 23 Nov 2026 09:37:12 GMT".into()),
            server: None,
            via: None,
            location: None,
            content_type: None,
            challenges: Vec::new(),
            agent: None,
        })
    }

    fn facts(forwarded: u16, impossible: u16, tunnel: u16) -> Facts {
        Facts {
            url: "http://p:3128/".into(),
            source: "http_proxy".into(),
            has_credentials: false,
            needs_tunnel: false,
            is_without_server: false,
            tunnel_to: "a.example:80".into(),
            forwarded: answer(forwarded),
            impossible: answer(impossible),
            tunnel: answer(tunnel),
        }
    }

    fn worst(facts: Facts) -> (Severity, Kind) {
        let all = findings(&[Asked::Http(Box::new(facts))]);
        let worst = all.iter().max_by_key(|finding| finding.severity).expect("a finding");
        (worst.severity, worst.kind)
    }

    #[test]
    fn a_proxy_that_forwards_is_good_with_or_without_tunnels() {
        for (forwarded, impossible, tunnel) in
            [(204, 502, 200), (200, 503, 403), (301, 404, 200), (404, 302, 405), (403, 502, 200)]
        {
            let (severity, kind) = worst(facts(forwarded, impossible, tunnel));
            assert!(severity < Severity::Fault, "{forwarded} {impossible} {tunnel}: {kind:?}");
        }
        let needed = Facts { needs_tunnel: true, ..facts(200, 502, 403) };
        assert_eq!(worst(needed), (Severity::Fault, Kind::ProxyFails));
    }

    #[test]
    fn a_proxy_that_answers_for_a_server_that_cannot_exist_answers_itself() {
        for (forwarded, impossible) in [(200, 200), (302, 302), (404, 404), (403, 403)] {
            let of = worst(facts(forwarded, impossible, 405));
            assert_eq!(of, (Severity::Fault, Kind::ProxyAnswersItself), "{forwarded} {impossible}");
        }
    }

    #[test]
    fn a_password_is_asked_for_by_its_scheme() {
        let asking = |challenges: &[&str]| {
            let mut facts = facts(407, 407, 407);
            for answer in [&mut facts.forwarded, &mut facts.tunnel].into_iter().flatten() {
                answer.challenges = challenges.iter().map(|&it| it.to_owned()).collect();
            }
            let all = findings(&[Asked::Http(Box::new(facts))]);
            assert_eq!((all.len(), all[0].kind), (1, Kind::ProxyPassword));
            all[0].clone()
        };
        let basic = asking(&["Negotiate", "Basic"]);
        assert_eq!(basic.commands, ["httptime query -x http://USER:PASSWORD@p:3128/ URL"]);
        assert!(asking(&[]).text.contains("wants a user name and password"));
        assert!(asking(&["Negotiate", "NTLM"]).text.contains("wants Negotiate or NTLM"));
        let only_tunnel = worst(Facts { tunnel: answer(407), ..facts(200, 502, 200) });
        assert_eq!(only_tunnel, (Severity::Fault, Kind::ProxyPassword));
    }

    #[test]
    fn a_dead_proxy_is_a_fault_with_its_reason() {
        let dead = || Err(Failure::NoConnection { reason: "connection refused".into() });
        let facts =
            Facts { forwarded: dead(), impossible: dead(), tunnel: dead(), ..facts(0, 0, 0) };
        let all = findings(&[Asked::Http(Box::new(facts))]);
        assert_eq!((all[0].kind, all[0].severity), (Kind::ProxyFails, Severity::Fault));
        assert!(all[0].text.ends_with("does not work: connection refused"), "{}", all[0].text);
    }

    #[test]
    fn without_a_server_only_a_page_for_one_that_cannot_exist_is_a_fault() {
        for (status, severity) in [
            (200, Severity::Fault),
            (302, Severity::Fault),
            (404, Severity::Good),
            (503, Severity::Good),
        ] {
            let facts = Facts { is_without_server: true, ..facts(status, status, 403) };
            assert_eq!(worst(facts).0, severity, "{status}");
        }
    }

    #[test]
    fn a_socks5_or_https_proxy_is_judged_by_its_answer_for_a_server_that_cannot_exist() {
        let of = |error| {
            let (url, source) = ("socks5h://p:1080/".into(), "all_proxy".into());
            let all = findings(&[Asked::Other(OtherFacts { url, source, error })]);
            (all[0].severity, all[0].kind)
        };
        let refused = std::io::Error::from_raw_os_error(111);
        let address = ([127, 0, 0, 1], 9).into();
        let fails = (Severity::Fault, Kind::ProxyFails);
        assert_eq!(of(Some(Error::Connect { address, source: refused.into() })), fails);
        assert_eq!(
            of(Some(Error::Socks { reason: "does not speak SOCKS5; check its port" })),
            fails
        );
        let password = (Severity::Fault, Kind::ProxyPassword);
        assert_eq!(of(Some(Error::Socks { reason: "wants a user name and password" })), password);
        assert_eq!(of(Some(Error::ProxyCredentials)), password);
        for works in [
            None,
            Some(Error::Socks { reason: "cannot reach the server (reply 4); check its name" }),
            Some(Error::ProxyRefused { status: 503 }),
        ] {
            assert_eq!(of(works).0, Severity::Good);
        }
    }

    #[test]
    fn known_software_is_named_by_its_own_fields() {
        let named = |agent: Option<&str>, via: Option<&str>| {
            let mut answer = answer(200).expect("an answer");
            answer.agent = agent.map(str::to_owned);
            answer.via = via.map(str::to_owned);
            software(&[&answer])
        };
        assert_eq!(named(Some("gost/2.11.5"), None), Some("gost"));
        assert_eq!(named(None, Some("1.1 tinyproxy (tinyproxy/1.11.1)")), Some("tinyproxy"));
        assert_eq!(named(None, Some("1.1 host (squid/5.7)")), Some("squid"));
        assert_eq!(named(None, Some("1.1 host")), None);
    }
}
