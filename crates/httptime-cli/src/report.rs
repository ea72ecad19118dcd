use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use httptime::EndReason;
use httptime::server::LagSource;
use httptime::survey::{ServerReport, Survey};
use httptime::{Assumptions, CertificateCheck, Error, Interval, IoError, Measurement, Offset};
use httptime::{Span, StampFault, StampUse, Url};
use httptime_clock::{Action, Refusal};
use serde::Serialize;
use serde_json::{Value, json};

use crate::answers;
use crate::args::Output;
use crate::correction::{Failure, Report, decision_with_options, with_options};
use crate::measure_options::{Given, Misuse, ProxySource, Via};

/// Prints the result of a survey. Returns whether there is one.
pub(crate) fn survey(survey: &Survey, via: Option<&Via>, output: &Output) -> bool {
    if output.json {
        print_json(survey, via, answers::warnings(survey, via, Given::CommandLine));
        return survey.combined().is_ok();
    }
    rejected_stamps(survey, Given::CommandLine).for_each(|rejected| print_error(&rejected.line));
    let measured = lines(survey, via, "", output);
    if survey.combined().is_ok_and(|one| !one.has_date_advanced()) {
        let why = with_options(Refusal::DateNotAdvanced);
        print(&format!("do not correct a clock by this: {why}"));
    }
    measured
}

/// Prints the outcome of a correction.
pub(crate) fn sync(report: &Report, via: Option<&Via>, output: &Output) {
    if output.json {
        print_json(
            sync_json(report),
            via,
            answers::warnings(&report.before, via, Given::CommandLine),
        );
        return;
    }
    let rejected = rejected_stamps(&report.before, Given::CommandLine);
    rejected.for_each(|rejected| print_error(&rejected.line));
    if !lines(&report.before, via, "before: ", output) {
        return;
    }
    if let Some(action) = report.action {
        let only = if report.dry_run { " (dry run, nothing is changed)" } else { "" };
        let decided = decision_with_options(action);
        match action {
            Action::Refuse(_) => print_error(&format!("{decided}{only}")),
            _ => print(&format!("decision: {decided}{only}")),
        }
    }
    match &report.failure {
        Some(Failure::ClockSet(error)) => print_error(&error.to_string()),
        Some(Failure::Clock(error)) => print_error(&error.to_string()),
        Some(Failure::Unconfirmed(error)) => print_error(&unconfirmed(error)),
        None => {}
    }
    if let Some(after) = &report.after {
        lines(after, via, "after: ", output);
    }
}

/// Prints the outcome for people, with the result's line after `label`. Returns whether there is a
/// result.
fn lines(survey: &Survey, via: Option<&Via>, label: &str, output: &Output) -> bool {
    if survey.servers().len() > 1 {
        not_selected(survey, via).for_each(|line| print_error(&line));
    }
    match survey.combined() {
        Ok(measurement) => {
            print(&format!("{label}{}{}", sentence(measurement), majority(survey, measurement)));
            if output.verbose {
                print(&assumptions(measurement));
                print(&exchanges(measurement));
                if let Some(via) = via {
                    let tunnel = if via.is_tunnel() { ", tunnel" } else { "" };
                    print(&format!("through {via}{tunnel}"));
                }
                certificates(&measurement.assumptions()).for_each(|line| print(&line));
                used_stamps(survey).for_each(|line| print(&line));
            }
            answers::warnings(survey, via, Given::CommandLine)
                .iter()
                .for_each(|line| print_error(line));
            busy(measurement).iter().for_each(|line| print_error(line));
            for url in unchecked(survey) {
                print_error(&format!(
                    "{url}: the certificate was not checked: anyone on the path can forge this time"
                ));
            }
            if let EndReason::Lost(error) = measurement.end_reason() {
                let error = explained(error, via);
                print_error(&format!("stopped early, the result still holds: {error}"));
            }
            true
        }
        Err(error) => {
            match survey.servers() {
                [only] => print_error(&format!("{}: {}", only.url(), explained(error, via))),
                _ => print_error(&format!("{error}{}", remedy(error))),
            }
            false
        }
    }
}

/// Lines about requests that waited, and about a server that asks for fewer of them.
pub(crate) fn busy(measurement: &Measurement) -> Vec<String> {
    let grown = measurement.is_busy().then(|| {
        format!(
            "round trips grew from {} to {}: the server, the path or this machine is busy; the \
             bounds hold, but measure again later for narrower ones",
            Span::new(measurement.round_trip_min()),
            Span::new(measurement.round_trip_quartile()),
        )
    });
    let asked = measurement.retry_after().map(|wait| {
        format!(
            "the server asks for no request in the next {} (Retry-After); measure less often, or \
             use another server",
            Span::new(wait)
        )
    });
    grown.into_iter().chain(asked).collect()
}

/// A line for each server outside the majority: its result, or the reason why it could not be
/// measured.
pub(crate) fn not_selected(survey: &Survey, via: Option<&Via>) -> impl Iterator<Item = String> {
    let what = match survey.combined() {
        Ok(_) => "falseticker, disagrees with the majority",
        Err(_) => "measured, but in no majority",
    };
    survey.servers().iter().filter(|server| !server.is_selected()).map(move |server| {
        let url = server.url();
        match server.result() {
            Ok(measurement) => {
                format!(
                    "{url}: {what}: offset {:.6} s, bounds {:.6} s",
                    measurement.offset(),
                    measurement.bounds()
                )
            }
            Err(error) => format!("{url}: {}", explained(error, via)),
        }
    })
}

/// A line for the server and for the proxy, if they have certificates.
pub(crate) fn certificates(assumed: &Assumptions) -> impl Iterator<Item = String> {
    let server = assumed.certificates().map(|check| check.to_string());
    let proxy = assumed.proxy_certificates().map(|check| format!("proxy: {check}"));
    server.into_iter().chain(proxy)
}

/// The selected https servers in whose place anyone could have answered.
fn unchecked(survey: &Survey) -> impl Iterator<Item = &Url> {
    let selected = survey.servers().iter().filter(|server| server.is_selected());
    let is_unchecked = |measurement: &Measurement| {
        measurement.assumptions().certificates() == Some(CertificateCheck::Unchecked)
    };
    selected.filter(move |it| it.result().is_ok_and(is_unchecked)).map(ServerReport::url)
}

/// Stamps of a server that are not used.
#[derive(Debug)]
pub(crate) struct RejectedStamps {
    pub(crate) url: String,
    /// The kind of the fault.
    pub(crate) kind: &'static str,
    /// For people.
    pub(crate) line: String,
}

/// The servers whose stamps are not used. `by`: who can ignore the stamps.
pub(crate) fn rejected_stamps(survey: &Survey, by: Given) -> impl Iterator<Item = RejectedStamps> {
    let ignore = match by {
        Given::CommandLine => "--stamp-header \"\"",
        Given::File => "stamp_header = \"\"",
    };
    stamps(survey).filter_map(move |(server, prefix, stamp)| {
        let fault = stamp.rejected()?;
        let remedy = match fault {
            StampFault::Untested => "allow at least 3 requests and a second",
            _ => "correct the stamp in the server's configuration",
        };
        let line = format!(
            "{prefix}stamp not used: {}: {fault}; the Date was measured instead: {remedy}, or \
             ignore it with {ignore}",
            stamp.header()
        );
        Some(RejectedStamps { url: server.url().to_string(), kind: fault.kind(), line })
    })
}

/// A line for each server whose clock was read from stamps.
fn used_stamps(survey: &Survey) -> impl Iterator<Item = String> {
    let used = stamps(survey).filter(|(_, _, stamp)| stamp.rejected().is_none());
    used.map(|(_, prefix, stamp)| format!("{prefix}stamp: {stamp}"))
}

/// The servers with stamps, and the beginning of a line about each: its URL if there are several.
fn stamps(survey: &Survey) -> impl Iterator<Item = (&ServerReport, String, &StampUse)> {
    let servers = survey.servers();
    servers.iter().filter_map(move |server| {
        let stamp = server.result().ok()?.stamp()?;
        let prefix = if servers.len() > 1 { format!("{}: ", server.url()) } else { String::new() };
        Some((server, prefix, stamp))
    })
}

/// An error of a server, and whether the proxy is to blame.
pub(crate) fn explained(error: &Error, via: Option<&Via>) -> String {
    via.map_or_else(|| error.to_string(), |via| via.explained(error))
}

/// Prints an error: the JSON object for it, or a line on stderr.
pub(crate) fn failure(misuse: &Misuse, output: &Output) {
    if output.json {
        let (kind, message) = (misuse.error.kind(), misuse.to_string());
        print_json(json!({ "error": { "kind": kind, "message": message } }), None, Vec::new());
    } else {
        print_error(&misuse.to_string());
    }
}

/// Reports after a failure that a proxy was used: it may come from the environment, where a user
/// does not expect it.
pub(crate) fn via(via: Option<&Via>, output: &Output) {
    if let (Some(Via { source: source @ ProxySource::Variable(_), .. }), false) = (via, output.json)
    {
        print_error(&format!(
            "the proxy comes from {source}; --proxy \"\" connects directly, no_proxy exempts a \
             server"
        ));
    }
}

/// Prints a line on stderr, after the program's name.
pub(crate) fn print_error(text: &str) {
    let _ = writeln!(io::stderr(), "httptime: {text}");
}

/// Prints the estimate and the true offset.
pub(crate) fn truth(skew: Offset, measurement: &Measurement) {
    let error = measurement.offset().saturating_sub(skew);
    let direction = if skew >= Offset::ZERO { "ahead" } else { "behind" };
    let sign = if error >= Offset::ZERO { "+" } else { "-" };
    let inside = if measurement.bounds().contains(skew) { "inside" } else { "OUTSIDE" };
    print(&format!(
        "truth: the server is set {} s {direction}; error {sign}{}; the truth is {inside} the bounds",
        unsigned(skew, 6),
        Span::new(error.abs())
    ));
}

/// The result in one line.
fn sentence(measurement: &Measurement) -> String {
    let offset = measurement.offset();
    let digits = digits(measurement);
    let direction = if offset >= Offset::ZERO { "slow" } else { "fast" };
    let size = Offset::from(offset.abs());
    let bounds = measurement.bounds();
    format!(
        "local clock is {direction} by {} s, ± {} s; bounds {}; {} request{} in {:.1} s",
        unsigned(size, digits),
        unsigned(measurement.stddev().into(), digits),
        rounded_outwards(bounds, digits),
        measurement.requests(),
        if measurement.requests() == 1 { "" } else { "s" },
        measurement.elapsed().as_secs_f64(),
    )
}

/// How many of several servers agree, and how many were required.
fn majority(survey: &Survey, measurement: &Measurement) -> String {
    let servers = survey.servers();
    if servers.len() == 1 {
        return String::new();
    }
    let selected = servers.iter().filter(|server| server.is_selected()).count();
    let needed = measurement.assumptions().min_servers();
    let agree = if selected == 1 { "agrees" } else { "agree" };
    format!("; {selected} of {} servers {agree}, min_servers is {needed}", servers.len())
}

/// The advice when too few servers answered, although all of those agree.
fn remedy(error: &Error) -> String {
    match error {
        Error::NoMajority { agreeing, answered, min_servers, .. }
            if agreeing == answered && agreeing < min_servers =>
        {
            format!("; --min-servers {agreeing} accepts what these say")
        }
        _ => String::new(),
    }
}

fn assumptions(measurement: &Measurement) -> String {
    let assumed = measurement.assumptions();
    format!(
        "server {}; assumed lag ≤ {} ({}), drift ≤ {} ppm; shortest round trip {}; the bounds \
         reach up to {} from the estimate",
        measurement.server().unwrap_or("unnamed"),
        Span::new(assumed.lag()),
        lag_reason(&assumed),
        assumed.drift_ppm(),
        Span::new(measurement.round_trip_min()),
        Span::new(radius(measurement.bounds(), measurement.offset())),
    )
}

/// The source of the assumed lag, and how to reduce it.
fn lag_reason(assumed: &Assumptions) -> String {
    let source = assumed.lag_source();
    let caches = match assumed.caches() {
        0 => String::new(),
        1 => ", 1 cache".to_owned(),
        caches => format!(", {caches} caches"),
    };
    let remedy = match source {
        _ if source.is_provable() => ": try --method options, or set --lag",
        LagSource::MayBeForwarded(_) | LagSource::Forwarded(_) | LagSource::SeveralServerFields => {
            ": set --lag if you know it"
        }
        _ => "",
    };
    format!("{source}{caches}{remedy}")
}

fn exchanges(measurement: &Measurement) -> String {
    let method = measurement
        .method()
        .map_or(String::new(), |method| format!(" to {}", method.to_string().to_uppercase()));
    let status =
        measurement.http_status().map_or(String::new(), |it| format!(", HTTP status {it}"));
    let checks = match measurement.checks() {
        0 => "none of the requests was a check".to_owned(),
        1 => "1 of the requests was a check".to_owned(),
        checks => format!("{checks} of the requests were checks"),
    };
    format!(
        "{} responses{method}{status}; {checks}; kernel timestamps of {} requests and {} responses",
        measurement.observations(),
        measurement.sent_by_kernel(),
        measurement.received_by_kernel(),
    )
}

/// Microseconds, or nanoseconds if the deviation is below a microsecond.
fn digits(measurement: &Measurement) -> usize {
    if measurement.stddev().as_nanos() < 1_000 { 9 } else { 6 }
}

/// The distance of the farther bound from the estimate.
fn radius(bounds: Interval, offset: Offset) -> Duration {
    let below = offset.saturating_sub(bounds.lower()).abs();
    below.max(bounds.upper().saturating_sub(offset).abs())
}

fn unsigned(offset: Offset, digits: usize) -> String {
    format!("{offset:.digits$}").trim_start_matches(['+', '-']).to_owned()
}

/// Rounds bounds outwards, so that the printed bounds contain the exact ones.
pub(crate) fn rounded_outwards(bounds: Interval, digits: usize) -> String {
    let unit = 10_i64.pow(9 - u32::try_from(digits).unwrap_or(9).min(9));
    let lower = bounds.lower().as_nanos().div_euclid(unit).saturating_mul(unit);
    let upper = bounds.upper().as_nanos();
    let upper = upper.saturating_add((unit - upper.rem_euclid(unit)) % unit);
    let (lower, upper) = (Offset::from_nanos(lower), Offset::from_nanos(upper));
    format!("{lower:.digits$} to {upper:.digits$} s")
}

/// Why the clock is not marked as synchronised.
pub(crate) fn unconfirmed(error: &Error) -> String {
    format!(
        "the clock is not marked as synchronised, because the certificates could not be verified \
         by it: {error}"
    )
}

fn sync_json(report: &Report) -> Value {
    let decision = report.action.map(|action| {
        let (name, by, refusal) = match action {
            Action::Leave => ("leave", None, None),
            Action::Step(by) => ("step", Some(by), None),
            Action::Slew(by) => ("slew", Some(by), None),
            Action::Refuse(refusal) => ("refuse", None, Some(refusal)),
            _ => ("unknown", None, None),
        };
        let kind = refusal.map(|refusal| refusal.kind());
        let reason = refusal.map(with_options);
        json!({
            "action": name,
            "by_seconds": by,
            "kind": kind,
            "reason": reason,
            "votes_needed": report.votes_needed,
        })
    });
    let error = report.failure.as_ref().map(|failure| match failure {
        Failure::ClockSet(error) => json!(error),
        Failure::Clock(error) => json!({ "kind": error.kind(), "message": error.to_string() }),
        Failure::Unconfirmed(error) => {
            json!({ "kind": "unconfirmed", "message": unconfirmed(error) })
        }
    });
    json!({
        "dry_run": report.dry_run,
        "before": report.before,
        "decision": decision,
        "error": error,
        "after": report.after,
    })
}

/// The JSON object with its version.
#[derive(Serialize)]
struct Versioned<T> {
    schema: u32,
    #[serde(flatten)]
    object: T,
    /// The proxy that was used, if any.
    proxy: Option<Value>,
    /// Responses that may not be the server's, for people.
    warnings: Vec<String>,
}

/// Prints the object.
fn print_json(object: impl Serialize, via: Option<&Via>, warnings: Vec<String>) {
    let proxy = via.map(|via| {
        let source = match via.source {
            ProxySource::Option => "option",
            ProxySource::Configuration => "configuration",
            ProxySource::Variable(name) => name,
        };
        json!({ "url": via.proxy, "source": source })
    });
    let text = serde_json::to_string(&Versioned { schema: SCHEMA, object, proxy, warnings });
    print(&text.expect("keys are texts and nothing fails to be written"));
}

/// Prints an object with the version of the format.
pub(crate) fn object(object: impl Serialize) {
    #[derive(Serialize)]
    struct Plain<T> {
        schema: u32,
        #[serde(flatten)]
        object: T,
    }
    let text = serde_json::to_string(&Plain { schema: SCHEMA, object });
    print(&text.expect("keys are texts and nothing fails to be written"));
}

/// Prints a line on stdout.
pub(crate) fn print(line: &str) {
    print_text(line);
}

/// Prints lines on stdout. Returns whether they could be written.
pub(crate) fn print_text(text: &str) -> bool {
    match write_to_stdout(format!("{text}\n").as_bytes()) {
        Ok(()) => true,
        Err(error) => {
            output_failed(&error);
            false
        }
    }
}

/// Reports once that the output could not be written. A reader that has exited (`| head -0`) is not
/// an error.
pub(crate) fn output_failed(error: &io::Error) {
    if error.kind() != ErrorKind::BrokenPipe && !OUTPUT_FAILED.swap(true, Ordering::Relaxed) {
        print_error(&format!("cannot write to standard output: {}", IoError::from(error)));
    }
}

/// Whether all output was written.
pub(crate) fn is_written() -> bool {
    !OUTPUT_FAILED.load(Ordering::Relaxed)
}

/// Does not use [`io::stdout`], which ignores the error of a descriptor that is not open for
/// writing.
#[cfg(unix)]
fn write_to_stdout(mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(io::stdout(), bytes))?;
        bytes = &bytes[written..];
    }
    Ok(())
}

#[cfg(not(unix))]
fn write_to_stdout(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

static OUTPUT_FAILED: AtomicBool = AtomicBool::new(false);

/// The version of the JSON object. Fields may be added in a version; none is removed or changes its
/// meaning.
const SCHEMA: u32 = 1;
