//! `httptime doctor`: finds out why the clock is wrong, and changes nothing.
//!
//! Each examination has a file: `gather` reads and asks, `findings` is a pure function from what
//! was read to what it means. [`verdict`] picks the cause. All examinations run beside each other
//! and have deadlines, so that the answer comes within [`LIMIT`] whatever hangs.

use std::time::{Duration, Instant, SystemTime};

use httptime::schedule::Profile;
use httptime::{Client, Config, Error, Scheme, Timestamp, Url};
use serde::Serialize;
use serde_json::json;

mod clock;
mod consumers;
mod deadline;
mod dns;
mod finding;
mod given;
mod ntp;
mod place;
mod probe;
mod proxies;
mod routes;
mod servers;
mod steering;
mod tls;
mod verdict;

use crate::args::Doctor;
use crate::environment::proxy_for;
use crate::measure_options::{Given, Misuse, ProxySource, Servers, Via};
use crate::server_arg::ServerArg;
use crate::{DONE, NOT_MEASURED, USAGE, report};
use finding::{Examination, Finding, Kind, Severity};
use place::Place;
use verdict::Verdict;

/// All facts, findings and the verdict.
#[derive(Debug, Serialize)]
struct Report {
    verdict: Verdict,
    findings: Vec<Finding>,
    facts: Facts,
    elapsed_seconds: f64,
}

/// `None`: the examination did not end, or was not needed.
#[derive(Debug, Default, Serialize)]
struct Facts {
    clock: Option<clock::Facts>,
    steering: Option<steering::Facts>,
    ntp: Option<Vec<ntp::Asked>>,
    dns: Option<dns::Facts>,
    routes: Option<routes::Facts>,
    proxies: Option<Vec<proxies::Asked>>,
    servers: Option<servers::Facts>,
    tls: Option<Vec<tls::Facts>>,
    consumers: Option<Vec<consumers::Consumer>>,
}

/// The result of a thread.
enum Part {
    Clock(clock::Facts),
    Steering(steering::Facts),
    Ntp(Vec<ntp::Asked>),
    Dns(dns::Facts),
    Routes(routes::Facts),
    Proxies(Vec<proxies::Asked>),
    Servers(Box<servers::Facts>),
}

/// The servers to examine, and how they are reached.
struct Subject {
    client: Client,
    via: Option<Via>,
    others: Vec<Client>,
    proxies: Proxies,
    /// The command that corrects the clock by them.
    sync: String,
}

/// The proxies to examine.
#[derive(Default)]
struct Proxies {
    routes: Vec<proxies::Route>,
    hops: Vec<proxies::Hop>,
}

pub(crate) fn run(doctor: &Doctor) -> u8 {
    let begun = Instant::now();
    let place = Place::new(&doctor.root);
    let subject = match given::servers(doctor, &place).map(|it| it.map(|it| subject(&it))) {
        None => None,
        Some(Ok(Ok(subject))) => Some(subject),
        Some(Ok(Err(misuse))) => return refused(&misuse, doctor),
        Some(Err(misuse)) => return refused(&misuse, doctor),
    };
    let sync = subject.as_ref().map_or(String::new(), |subject| subject.sync.clone());
    let of_environment = match subject {
        Some(_) => None,
        None => Some(environment_proxies(doctor)),
    };
    let (facts, missing) = gather(&place, subject, of_environment);
    let mut findings = findings(&facts, missing, &sync);
    if !place.has_system_files() {
        findings.insert(0, not_examined());
    }
    let is_measured =
        facts.servers.as_ref().is_some_and(|servers| servers.survey.combined().is_ok());
    let verdict = verdict::verdict(&findings, is_measured);
    let status = if verdict.cause.is_some() { NOT_MEASURED } else { DONE };
    let elapsed_seconds = begun.elapsed().as_secs_f64();
    let report = Report { verdict, findings, facts, elapsed_seconds };
    match doctor.json {
        true => report::object(&report),
        false => lines(&report).iter().for_each(|line| report::print(line)),
    }
    status
}

fn refused(misuse: &Misuse, doctor: &Doctor) -> u8 {
    report::failure(misuse, &crate::args::Output { json: doctor.json, verbose: false });
    USAGE
}

/// Checks the settings, as `query` does.
fn subject(servers: &Servers) -> Result<Subject, Misuse> {
    let config = |requests, duration| {
        config(requests, duration).map_err(|error| Misuse::of(error, Given::CommandLine))
    };
    let (client, via) = servers.client(config(REQUESTS, DURATION)?, Given::CommandLine)?;
    let urls: Vec<Url> = client.urls().cloned().collect();
    let others = urls.iter().filter_map(given::by_other_scheme);
    let others = others.filter_map(|url| {
        let alone = given::alone(servers, &url);
        Some(alone.client_of_some(config(2, SHORT).ok()?, Given::CommandLine).ok()?.0)
    });
    let others = others.collect();
    let mut proxies = Proxies::default();
    if let Some(via) = &via {
        let scheme = urls.first().map_or(Scheme::Http, Url::scheme);
        proxies.hops.extend(hop(servers, scheme, &via.proxy, &via.source.to_string()));
        // With several servers the first of each kind: the answers differ by kind only.
        for is_tunnel in [false, true] {
            let first = urls.iter().find(|url| (via.is_tunnel() || url.is_https()) == is_tunnel);
            proxies.routes.extend(first.map(|server| proxies::Route {
                server: server.clone(),
                proxy: via.proxy.clone(),
                source: via.source.to_string(),
                needs_tunnel: is_tunnel,
            }));
        }
    }
    let sync = given::sync_command(&urls, via.as_ref());
    Ok(Subject { client, via, others, proxies, sync })
}

fn config(requests: u32, duration: Duration) -> Result<Config, Error> {
    let builder = Config::builder().profile(Profile::Fast).floor(None);
    builder.requests(requests).duration(duration).timeout(TIMEOUT).build()
}

/// A server that cannot exist. A proxy is asked for it if no server is given.
fn impossible(scheme: Scheme) -> Option<Url> {
    Url::parse(&format!("{scheme}://{}/", proxies::IMPOSSIBLE)).ok()
}

/// How to ask a proxy that is not plain HTTP, which is used for servers of this scheme.
fn hop(servers: &Servers, scheme: Scheme, proxy: &Url, source: &str) -> Option<proxies::Hop> {
    if proxies::is_plain(proxy) {
        return None;
    }
    let through = given::alone(servers, &impossible(scheme)?);
    let client = through.client_of_some(config(1, SHORT).ok()?, Given::CommandLine).ok()?.0;
    Some(proxies::Hop { proxy: proxy.clone(), source: source.to_owned(), client })
}

/// The proxies that the environment names for any server: no server is given.
fn environment_proxies(doctor: &Doctor) -> Proxies {
    let servers = given::of_command_line(doctor);
    let mut all = Proxies::default();
    let mut seen = Vec::new();
    for scheme in [Scheme::Http, Scheme::Https] {
        let Some(server) = impossible(scheme) else { continue };
        let Some((text, variable)) = proxy_for(&server) else { continue };
        let Ok(proxy) = Url::parse(&ServerArg::from(text).url()) else { continue };
        if seen.contains(&proxy) {
            continue;
        }
        let source = ProxySource::Variable(variable).to_string();
        all.hops.extend(hop(&servers, scheme, &proxy, &source));
        seen.push(proxy.clone());
        all.routes.push(proxies::Route { server, proxy, source, needs_tunnel: false });
    }
    all
}

/// Runs all examinations. Returns those that did not end.
fn gather(
    place: &Place,
    subject: Option<Subject>,
    of_environment: Option<Proxies>,
) -> (Facts, Vec<Examination>) {
    let at = || place.clone();
    let mut examinations = Vec::new();
    let mut jobs: Vec<Box<dyn FnOnce() -> Part + Send>> = Vec::new();
    if place.has_system_files() {
        let (of_clock, of_steering, of_ntp, of_routes) = (at(), at(), at(), at());
        examinations.extend(BY_FILES);
        jobs.push(Box::new(move || Part::Clock(clock::gather(&of_clock))));
        jobs.push(Box::new(move || Part::Steering(steering::gather(&of_steering))));
        jobs.push(Box::new(move || Part::Ntp(ntp::gather(&of_ntp))));
        jobs.push(Box::new(move || Part::Routes(routes::gather(&of_routes))));
    }
    if let Some(Proxies { routes, hops }) = of_environment {
        examinations.push(Examination::Proxies);
        jobs.push(Box::new(move || Part::Proxies(proxies::gather(routes, hops))));
    }
    if let Some(Subject { client, via, others, proxies, .. }) = subject {
        examinations.extend([Examination::Dns, Examination::Proxies, Examination::Servers]);
        let (of_dns, hosts) = (at(), hosts(&client, via.as_ref()));
        jobs.push(Box::new(move || Part::Dns(dns::gather(&of_dns, hosts))));
        let Proxies { routes, hops } = proxies;
        jobs.push(Box::new(move || Part::Proxies(proxies::gather(routes, hops))));
        jobs.push(Box::new(move || {
            Part::Servers(Box::new(servers::gather(&client, via.as_ref(), others)))
        }));
    }
    let mut facts = Facts::default();
    let mut missing = Vec::new();
    for (examination, part) in examinations.into_iter().zip(deadline::all(jobs, LIMIT)) {
        match part {
            Some(Part::Clock(it)) => facts.clock = Some(it),
            Some(Part::Steering(it)) => facts.steering = Some(it),
            Some(Part::Ntp(it)) => facts.ntp = Some(it),
            Some(Part::Dns(it)) => facts.dns = Some(it),
            Some(Part::Routes(it)) => facts.routes = Some(it),
            Some(Part::Proxies(it)) => facts.proxies = Some(it),
            Some(Part::Servers(it)) => facts.servers = Some(*it),
            None => missing.push(examination),
        }
    }
    if let Some(servers) = &facts.servers {
        let local = Timestamp::from_system_time(SystemTime::now());
        facts.tls = local.map(|local| tls::gather(&servers.survey, local));
        let skew = servers::skew(&servers.survey);
        facts.consumers = skew.map(|(_, bounds)| consumers::gather(bounds));
    }
    (facts, missing)
}

/// The names that this machine looks up: with a proxy only the proxy's.
fn hosts(client: &Client, via: Option<&Via>) -> Vec<String> {
    match via {
        Some(via) => vec![via.proxy.host().to_owned()],
        None => client.urls().map(|url| url.host().to_owned()).collect(),
    }
}

/// All findings, in the order of the examinations.
fn findings(facts: &Facts, missing: Vec<Examination>, sync: &str) -> Vec<Finding> {
    let mut all = Vec::new();
    all.extend(facts.clock.iter().flat_map(clock::findings));
    all.extend(facts.steering.iter().flat_map(steering::findings));
    all.extend(facts.ntp.iter().flat_map(|it| ntp::findings(it)));
    all.extend(facts.dns.iter().flat_map(dns::findings));
    all.extend(facts.routes.iter().flat_map(|it| routes::findings(*it)));
    all.extend(facts.proxies.iter().flat_map(|it| proxies::findings(it)));
    all.extend(facts.servers.iter().flat_map(|it| servers::findings(it, sync)));
    all.extend(facts.tls.iter().flat_map(|it| tls::findings(it)));
    all.extend(facts.consumers.iter().flat_map(|it| consumers::findings(it)));
    if facts.servers.is_none() && missing.is_empty() {
        let text = "no server was measured: name one, httptime doctor URL";
        all.push(Finding::note(Examination::Servers, text));
    }
    all.extend(missing.into_iter().map(|examination| {
        let text = format!("did not end within {} s", LIMIT.as_secs());
        Finding::warning(examination, Kind::Incomplete, text)
    }));
    all
}

/// Without files that say so, nothing is known about the clock's kernel and its neighbours.
fn not_examined() -> Finding {
    Finding::note(
        Examination::Clock,
        "not supported on Windows: examining the kernel's clock, the programs that steer it, NTP \
         servers and routes; w32tm /query /status shows what the Windows Time service does",
    )
}

/// The report for people.
fn lines(report: &Report) -> Vec<String> {
    let mut all: Vec<String> = report
        .findings
        .iter()
        .map(|finding| {
            let severity = match finding.severity {
                Severity::Good => "ok",
                Severity::Note => "note",
                Severity::Warning => "warning",
                Severity::Fault => "FAULT",
            };
            let examination = json!(finding.examination);
            let examination = examination.as_str().unwrap_or_default();
            format!("{severity:<8}{examination:<10} {}", finding.text)
        })
        .collect();
    let cause = report
        .verdict
        .cause
        .map_or(String::new(), |cause| format!("{}: ", json!(cause).as_str().unwrap_or_default()));
    all.push(format!("verdict: {cause}{}", report.verdict.text));
    all.extend(report.verdict.commands.iter().map(|command| format!("  {command}")));
    all
}

impl Serialize for servers::Facts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        json!({ "survey": self.survey, "heads": self.heads, "by_other_scheme": self.others })
            .serialize(serializer)
    }
}

/// The examinations of files and of the kernel's reports.
const BY_FILES: [Examination; 4] =
    [Examination::Clock, Examination::Steering, Examination::Ntp, Examination::Routes];
/// For all examinations together.
const LIMIT: Duration = Duration::from_secs(17);
/// A measurement that finds an error of a tenth of a second, and is short.
const REQUESTS: u32 = 12;
const DURATION: Duration = Duration::from_secs(4);
const SHORT: Duration = Duration::from_millis(2200);
const TIMEOUT: Duration = Duration::from_secs(4);
