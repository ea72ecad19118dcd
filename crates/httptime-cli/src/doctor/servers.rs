//! The servers: each measured, and asked once for the fields that show who answered.

use std::time::Duration;

use httptime::http::Request;
use httptime::net::Canceller;
use httptime::survey::{ServerReport, Survey};
use httptime::{Client, Error, Interval, Measurement, Offset, Suspicion, Url};
use httptime_clock::{Action, History, Policy, Reading, Refusal};
use serde::Serialize;

use super::deadline;
use super::finding::{Examination::Servers, Finding, Kind};
use super::probe::{self, Answer, Failure};
use crate::measure_options::Via;

/// What was measured and answered.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) survey: Survey,
    pub(crate) via: Option<Via>,
    /// One for each `http` server, in their order.
    pub(crate) heads: Vec<Head>,
    /// The same servers by the other scheme.
    pub(crate) others: Vec<Other>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Head {
    pub(crate) url: String,
    pub(crate) answer: Result<Answer, Failure>,
}

/// Whether a server also answers by the other scheme.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Other {
    pub(crate) url: String,
    pub(crate) works: bool,
    pub(crate) error: Option<String>,
}

/// The survey and the single requests, beside each other. `others`: a client for each server by the
/// other scheme.
pub(crate) fn gather(client: &Client, via: Option<&Via>, others: Vec<Client>) -> Facts {
    enum Part {
        Survey(Box<Survey>),
        Heads(Vec<Head>),
        Others(Vec<Other>),
    }
    let urls: Vec<Url> = client.urls().filter(|url| !url.is_https()).cloned().collect();
    let (measuring, route) = (client.clone(), via.cloned());
    let results = deadline::all(
        vec![
            Box::new(move || Part::Survey(Box::new(survey(&measuring)))),
            Box::new(move || Part::Heads(heads(urls, route.as_ref()))),
            Box::new(move || Part::Others(by_other_scheme(others))),
        ],
        LIMIT + SECOND,
    );
    let (mut measured, mut heads, mut others) = (None, Vec::new(), Vec::new());
    for part in results.into_iter().flatten() {
        match part {
            Part::Survey(survey) => measured = Some(*survey),
            Part::Heads(all) => heads = all,
            Part::Others(all) => others = all,
        }
    }
    let survey = measured.unwrap_or_else(|| cancelled(client));
    Facts { survey, via: via.cloned(), heads, others }
}

/// Ends after [`LIMIT`], with what was measured until then.
fn survey(client: &Client) -> Survey {
    let Ok(canceller) = Canceller::new() else { return client.survey(|_| {}) };
    let later = canceller.clone();
    let _ = std::thread::Builder::new().name("deadline".into()).spawn(move || {
        std::thread::sleep(LIMIT);
        later.finish();
    });
    client.survey_until(&canceller, |_| {})
}

fn cancelled(client: &Client) -> Survey {
    match Canceller::new() {
        Ok(canceller) => {
            canceller.cancel();
            client.survey_until(&canceller, |_| {})
        }
        Err(_) => client.survey(|_| {}),
    }
}

fn heads(urls: Vec<Url>, via: Option<&Via>) -> Vec<Head> {
    let forwarded = via.filter(|via| !via.is_tunnel() && !via.proxy.is_https());
    // A tunnel would be another request; the measurement shows its status.
    if via.is_some() && forwarded.is_none() {
        return Vec::new();
    }
    let proxy = forwarded.map(|via| via.proxy.clone());
    let asked = deadline::each(urls, LIMIT, move |url: &Url| {
        let basic = proxy.as_ref().and_then(Url::authorization);
        let request = match &proxy {
            Some(_) => Request::head_via_proxy(&url.authority(), url.path(), basic.as_deref()),
            None => Request::head(&url.authority(), url.path()),
        };
        let request = request.map_err(|error| Failure::NoConnection { reason: error.to_string() });
        request.and_then(|request| probe::ask(proxy.as_ref().unwrap_or(url), &request))
    });
    let head = |(url, answer): (Url, Option<_>)| Head {
        url: url.to_string(),
        answer: answer.unwrap_or(Err(Failure::Silent)),
    };
    asked.into_iter().map(head).collect()
}

fn by_other_scheme(clients: Vec<Client>) -> Vec<Other> {
    let jobs = clients.into_iter().map(|client| {
        let url = client.urls().next().map(Url::to_string).unwrap_or_default();
        (url, client)
    });
    let (urls, clients): (Vec<String>, Vec<Client>) = jobs.unzip();
    let results = deadline::each(clients, LIMIT, Client::measure);
    let other = |(url, (_, result)): (String, (Client, Option<Result<Measurement, Error>>))| {
        let error = match result {
            Some(Ok(_)) => None,
            Some(Err(error)) => Some(error.to_string()),
            None => Some("no answer".to_owned()),
        };
        Other { url, works: error.is_none(), error }
    };
    urls.into_iter().zip(results).map(other).collect()
}

/// The measured skew: server clock − local clock, with its bounds.
pub(crate) fn skew(survey: &Survey) -> Option<(Offset, Interval)> {
    survey.combined().ok().map(|measured| (measured.offset(), measured.bounds()))
}

/// What the facts mean. `sync`: the command that corrects the clock by these servers.
pub(crate) fn findings(facts: &Facts, sync: &str) -> Vec<Finding> {
    let combined = facts.survey.combined();
    let has_result = combined.is_ok();
    let mut all: Vec<Finding> =
        facts.survey.servers().iter().map(|server| one(server, facts, has_result)).collect();
    all.extend(portals(facts));
    all.extend(facts.others.iter().map(|other| {
        match &other.error {
            None if !has_result => Finding::warning(
                Servers,
                Kind::ServersFail,
                format!("{} works: use it in place of the other scheme", other.url),
            )
            .run(format!("httptime query {}", other.url)),
            None => Finding::note(Servers, format!("{}: works too", other.url)),
            Some(error) => Finding::note(Servers, format!("{}: {error}", other.url)),
        }
    }));
    match combined {
        Ok(measured) => all.push(clock(measured, sync)),
        Err(error) if facts.survey.servers().len() > 1 => {
            all.push(Finding::fault(Servers, Kind::ServersFail, error.to_string()));
        }
        Err(_) => {}
    }
    all
}

/// A server that was measured, or why it was not.
fn one(server: &ServerReport, facts: &Facts, has_result: bool) -> Finding {
    let url = server.url();
    match server.result() {
        Ok(measured) if server.is_selected() || !has_result => {
            Finding::good(Servers, format!("{url}: {}", described(measured)))
        }
        Ok(measured) => {
            let others = facts.survey.servers().iter().filter(|server| server.is_selected());
            let others: Vec<String> = others.map(|server| server.url().to_string()).collect();
            Finding::fault(
                Servers,
                Kind::Falseticker,
                format!(
                    "{url}: its clock is wrong: it disagrees with the majority: {}",
                    described(measured)
                ),
            )
            .run(format!("httptime query {}      # without it", others.join(" ")))
        }
        Err(error) => {
            let text = facts.via.as_ref().map_or(error.to_string(), |via| via.explained(error));
            let text = format!("{url}: {text}");
            match (kind_of(error), has_result) {
                (Kind::ServersFail, true) => Finding::warning(Servers, Kind::ServersFail, text),
                (kind, _) => Finding::fault(Servers, kind, text),
            }
        }
    }
}

/// The cause that an error of a measurement shows.
fn kind_of(error: &Error) -> Kind {
    match error.kind() {
        "timeout_resolve" => Kind::ResolverSilent,
        "resolve" => Kind::DnsWrong,
        "proxy_credentials" | "proxy_scheme" => Kind::ProxyPassword,
        "proxy_refused" | "timeout_tunnel" | "socks" => Kind::ProxyFails,
        "unexpected_status" => Kind::CaptivePortal,
        "tls_expired" | "tls_never_valid" | "tls_date_outside" | "tls_local_time_outside" => {
            Kind::TlsWindow
        }
        _ => Kind::ServersFail,
    }
}

fn described(measured: &Measurement) -> String {
    let assumed = measured.assumptions();
    let status = measured.http_status().map_or(String::new(), |it| format!("status {it}, "));
    format!(
        "{status}server {}, offset {:+.6} s, bounds {:.6} s, lag at most {:.3} s ({})",
        measured.server().unwrap_or("unnamed"),
        measured.offset(),
        measured.bounds(),
        assumed.lag().as_secs_f64(),
        assumed.lag_source()
    )
}

/// Captive portals and redirects, by what they answer.
fn portals(facts: &Facts) -> Vec<Finding> {
    let mut all = Vec::new();
    for server in facts.survey.servers() {
        let url = server.url();
        let shown = url.to_string();
        let head = facts.heads.iter().find(|head| head.url == shown);
        let answer = head.and_then(|head| head.answer.as_ref().ok());
        let suspicion = match server.result() {
            // The measurement may have used another method than HEAD.
            Ok(_) => server.suspicion(),
            Err(_) => answer.and_then(|it| of_answer(url, it, facts.via.is_some())),
        };
        let redirect = answer.filter(|answer| matches!(answer.status, 300..=399));
        match (portal(url, suspicion, answer), suspicion, redirect) {
            (Some(why), ..) => all.push(
                Finding::fault(
                    Servers,
                    Kind::CaptivePortal,
                    format!("{url}: {why}: a captive portal answers in the server's place"),
                )
                .run(format!("curl -sI {url}      # then log in at its Location with a browser"))
                .run(format!("httptime query --expect-status 204 {url}      # afterwards")),
            ),
            (None, _, Some(redirect)) => all.push(Finding::note(
                Servers,
                format!(
                    "{url}: redirect to {}; the measured clock is that of the server that redirects",
                    redirect.location.as_deref().unwrap_or("nowhere")
                ),
            )),
            (None, Some(suspicion), None) => all.push(Finding::warning(
                Servers,
                Kind::Status,
                format!("{url}: {suspicion} through the proxy, which may have answered by itself"),
            )),
            (None, None, None) => {}
        }
    }
    all
}

/// Why a response may not be the server's.
fn of_answer(url: &Url, answer: &Answer, is_forwarded: bool) -> Option<Suspicion> {
    Suspicion::of(url, answer.status, answer.content_type.as_deref(), is_forwarded)
}

/// Why the response is a portal's.
fn portal(url: &Url, suspicion: Option<Suspicion>, answer: Option<&Answer>) -> Option<String> {
    let redirect = answer.filter(|answer| matches!(answer.status, 300..=399));
    let location = redirect.and_then(|redirect| redirect.location.as_ref());
    if let Some(portal @ Suspicion::Portal { .. }) = suspicion {
        let to = location.map_or(String::new(), |to| format!(", redirect to {to}"));
        return Some(format!("{portal}{to}"));
    }
    let (redirect, to) = (redirect?, location?);
    let foreign = Url::parse(to).is_ok_and(|to| to.host() != url.host());
    let lower = to.to_ascii_lowercase();
    let is_login = ["login", "portal", "captive", "hotspot", "guest", "splash", "wispr"]
        .iter()
        .any(|word| lower.contains(word));
    (foreign && is_login).then(|| format!("status {}, redirect to {to}", redirect.status))
}

/// The command that corrects the clock, with the option that it needs beyond the limits.
fn correcting(measured: &Measurement, sync: &str) -> String {
    match Policy::default().decide(&Reading::from(measured), &History::default()) {
        Action::Refuse(Refusal::TooFar { .. }) => {
            format!("{sync} --trust-single      # if you are sure that the server is right")
        }
        _ => sync.to_owned(),
    }
}

/// Whether the local clock is right, according to the measurement.
fn clock(measured: &Measurement, sync: &str) -> Finding {
    let (offset, bounds) = (measured.offset(), measured.bounds());
    let direction = if offset >= Offset::ZERO { "slow" } else { "fast" };
    let sync = correcting(measured, sync);
    let size = offset.abs().as_secs_f64();
    let text = format!("the clock is {direction} by {size:.3} s; bounds {bounds:.6} s");
    if bounds.contains(Offset::ZERO) {
        return Finding::good(
            Servers,
            format!("the clock is correct within the uncertainty: bounds {bounds:.6} s"),
        );
    }
    if offset.abs() < WRONG {
        return Finding::warning(Servers, Kind::ClockOff, text).run(sync);
    }
    let finding = Finding::fault(Servers, Kind::ClockOff, text).run(sync);
    match whole_hours(offset) {
        Some(hours) => Finding {
            text: format!(
                "{}: a difference of {hours} h: a clock that was set to local time as if it were \
                 UTC, here or on the server",
                finding.text
            ),
            ..finding
        },
        None => finding,
    }
}

/// A difference of whole hours, but for a minute.
fn whole_hours(offset: Offset) -> Option<i64> {
    let seconds = offset.as_nanos() / 1_000_000_000;
    let hours = (seconds + seconds.signum() * 1800) / 3600;
    (hours != 0 && hours.abs() <= 14 && (seconds - hours * 3600).abs() < 60).then_some(hours)
}

/// A smaller proved error is a warning: the step threshold of `sync`.
const WRONG: Duration = Duration::from_millis(128);
/// For everything that is asked of servers.
pub(crate) const LIMIT: Duration = Duration::from_secs(14);
const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    fn answer(status: u16, location: Option<&str>) -> Answer {
        Answer {
            status,
            date: None,
            server: None,
            via: None,
            location: location.map(str::to_owned),
            content_type: Some("text/html".into()),
            challenges: Vec::new(),
            agent: None,
        }
    }

    #[test]
    fn a_portal_is_told_from_an_ordinary_redirect() {
        let portal =
            |url: &Url, answer: &Answer| portal(url, of_answer(url, answer, false), Some(answer));
        let plain = url("http://a.example/");
        let login = Some("http://10.0.0.1/login?url=http://a.example/");
        assert!(portal(&plain, &answer(302, login)).is_some());
        assert!(portal(&plain, &answer(511, None)).is_some());
        assert!(portal(&url("http://a.example/generate_204"), &answer(200, None)).is_some());
        for (status, location) in [
            (301, Some("https://a.example/")),
            (301, Some("https://a.example/login")),
            (302, Some("http://www.a.example/")),
            (302, Some("/login")),
            (200, None),
            (404, None),
        ] {
            assert_eq!(portal(&plain, &answer(status, location)), None, "{location:?}");
        }
        assert_eq!(portal(&url("http://a.example/generate_204"), &answer(204, None)), None);
    }

    #[test]
    fn whole_hours_are_a_time_zone_and_other_differences_are_not() {
        let of = |seconds: i64| whole_hours(Offset::from_nanos(seconds * 1_000_000_000));
        assert_eq!([of(3600), of(-7195), of(19 * 60), of(7300)], [Some(1), Some(-2), None, None]);
        assert_eq!([of(0), of(38), of(30 * 3600)], [None; 3]);
    }
}
