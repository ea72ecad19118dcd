//! The output of `httptime status` for people, in the order of `chronyc tracking` and `chronyc
//! sources`.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use super::document::{Document, Mode, Outcome, Server, ServerStatus, State, Votes};
use super::verdict::{Daemon, Observation, Verdict, bound_text};

/// The whole output, without the last newline.
pub(crate) fn text(
    observation: &Observation,
    verdict: &Verdict,
    remaining_slew: Option<f64>,
) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<16}: {value}");
    };
    line("Clock", &clock(verdict));
    if let Some(why) = &verdict.why {
        line(if verdict.is_synchronised() { "Warning" } else { "Why" }, why);
    }
    if let Some(remedy) = &verdict.remedy {
        line("What to do", remedy);
    }
    match observation.kernel {
        Some(kernel) => line(
            "Kernel status",
            &match kernel.is_synchronised {
                true => format!(
                    "synchronised, maximum error {}",
                    bound_text(kernel.maximum_error_seconds)
                ),
                false => "not synchronised".to_owned(),
            },
        ),
        None => line("Kernel status", "not reported by this system"),
    }
    let document = observation.document.as_ref().ok().and_then(Option::as_ref);
    line("Daemon", &daemon(verdict.daemon, document, observation));
    let Some(document) = document else { return text.trim_end().to_owned() };
    for (name, value) in tracking(document, observation, remaining_slew) {
        line(name, &value);
    }
    for warning in &document.warnings {
        line("Warning", warning);
    }
    if !document.servers.is_empty() {
        text.push('\n');
        text.push_str(&sources(document, observation));
    }
    text.trim_end().to_owned()
}

fn clock(verdict: &Verdict) -> String {
    match (verdict.is_synchronised(), verdict.maximum_error_seconds) {
        (true, Some(bound)) => format!("synchronised, error at most {}", bound_text(bound)),
        (true, None) => "synchronised".to_owned(),
        (false, _) => "NOT synchronised".to_owned(),
    }
}

fn daemon(daemon: Daemon, document: Option<&Document>, observation: &Observation) -> String {
    let Some(document) = document else { return daemon.name().to_owned() };
    let mode = match document.mode {
        Mode::Clock => "clock",
        Mode::Chrony => "chrony",
    };
    let what = match (daemon, document.state) {
        (Daemon::Running, State::Measuring) => {
            format!("measuring; waits for {}", document.waiting_for)
        }
        (Daemon::Running, _) => {
            let next = document.next_measurement.map_or(String::new(), |next| {
                let left = observation.now.seconds_until(next).max(0.0);
                format!(", in {left:.0} s")
            });
            format!("waits for {}{next}", document.waiting_for)
        }
        (_, _) => {
            let age = document.written.seconds_until(observation.now);
            format!("last report {}", ago(age))
        }
    };
    let pid = document.process.pid;
    format!("{}, process {pid}, mode {mode}; {what}", daemon.name())
}

/// The lines of `chronyc tracking`, as far as there is something to show.
fn tracking(
    document: &Document,
    observation: &Observation,
    remaining_slew: Option<f64>,
) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(quorum) = document.quorum {
        let agree = if quorum.agreeing == 1 { "agrees" } else { "agree" };
        let needed =
            quorum.min_servers.map_or(String::new(), |needed| format!("; min_servers is {needed}"));
        lines.push((
            "Reference",
            format!(
                "{} of {} servers {agree}, {} answered{needed}",
                quorum.agreeing, quorum.servers, quorum.answered
            ),
        ));
    }
    if let Some(votes) = document.votes {
        lines.push(("Votes", self::votes(votes)));
    }
    if let Some(last) = &document.last_measurement {
        let age = last.at.seconds_until(observation.now);
        lines.push(("Ref time (UTC)", format!("{}, {}", utc(last.at.unix_seconds), ago(age))));
        if let (Mode::Clock, Some(slew)) = (document.mode, remaining_slew) {
            let way = if slew >= 0.0 { "slow" } else { "fast" };
            let size = slew.abs();
            lines.push(("System time", format!("{size:.6} s {way}, still to be slewed")));
        }
        let [lower, upper] = outwards(last.bounds_seconds);
        let way = if last.offset_seconds >= 0.0 { "slow" } else { "fast" };
        lines.push((
            "Last offset",
            format!(
                "{:+.6} s (the clock was {way}), ± {:.6} s; bounds {lower:+.6} to {upper:+.6} s",
                last.offset_seconds, last.stddev_seconds
            ),
        ));
        lines.push(("RMS offset", format!("{:.6} s", last.rms_offset_seconds)));
        lines.push(("Last result", outcome(last.outcome, last.correction_seconds)));
    }
    if let Some(refusal) = &document.refusal {
        let age = refusal.at.seconds_until(observation.now);
        lines.push(("Refused", format!("{} ({}), {}", refusal.reason, refusal.kind, ago(age))));
    }
    if let Some(failure) = &document.failure {
        let age = failure.at.seconds_until(observation.now);
        lines.push(("Failure", format!("{}, {}", failure.message, ago(age))));
    }
    if let Some(correction) = &document.corrections.last {
        let age = correction.at.seconds_until(observation.now);
        let what = outcome(correction.kind, correction.by_seconds);
        lines.push(("Last correction", format!("{what}, {}", ago(age))));
    }
    if let Some(frequency) = document.frequency {
        // As chronyc: how fast the clock would be without the correction.
        let way = if frequency.correction_ppm > 0.0 { "slow" } else { "fast" };
        let size = frequency.correction_ppm.abs();
        lines
            .push(("Frequency", format!("{size:.3} ppm {way}, ± {:.3} ppm", frequency.stddev_ppm)));
    }
    let (counters, corrections) = (document.counters, &document.corrections);
    lines.push((
        "Since the start",
        format!(
            "measurements {}, failures {}, refusals {}, steps {}, slews {}",
            counters.measurements,
            counters.failures,
            counters.refusals,
            corrections.steps,
            corrections.slews
        ),
    ));
    lines
}

fn votes(votes: Votes) -> String {
    let Votes { agreeing, independent, needed } = votes;
    let needed = match needed {
        Some(needed) => format!("{needed} must, to exceed the limits of a correction"),
        None => "too few to exceed the limits of a correction (trust_single)".to_owned(),
    };
    let agree = if agreeing == 1 { "agrees" } else { "agree" };
    format!("{agreeing} of {independent} independent servers {agree}; {needed}")
}

fn outcome(outcome: Outcome, by: f64) -> String {
    match outcome {
        Outcome::Leave => "nothing to do: the clock is correct within the uncertainty".into(),
        Outcome::Slew => format!("slew by {by:+.6} s"),
        Outcome::Step => format!("step by {by:+.6} s"),
        Outcome::Refuse => "refused".into(),
        Outcome::Sent => "sample sent to chronyd".into(),
    }
}

/// A line for each server.
fn sources(document: &Document, observation: &Observation) -> String {
    let width = document.servers.iter().map(|server| server.url.chars().count()).max();
    let width = width.unwrap_or(0).max(6);
    let mut text =
        format!("S {:<width$} Reach  LastRx  Offset and bounds, or the error\n", "Server");
    for server in &document.servers {
        let mark = match server.status {
            ServerStatus::Selected => '*',
            ServerStatus::Falseticker => 'x',
            ServerStatus::Failed => '?',
        };
        let age = server.sample.as_ref().map_or_else(
            || "-".to_owned(),
            |sample| span_short(sample.at.seconds_until(observation.now)),
        );
        let _ = writeln!(
            text,
            "{mark} {:<width$} {:>5o} {age:>7}  {}",
            server.url,
            server.reach,
            result(server)
        );
    }
    text.push_str("* selected, x falseticker (disagrees with the majority), ? failed");
    text
}

fn result(server: &Server) -> String {
    match (&server.error, &server.sample) {
        (Some(error), _) => error.message.clone(),
        (None, Some(sample)) => {
            let [lower, upper] = outwards(sample.bounds_seconds);
            format!("{:+.6} s [{lower:+.6}, {upper:+.6}]", sample.offset_seconds)
        }
        (None, None) => String::new(),
    }
}

/// Bounds to the microsecond. What is shown contains the exact ones.
fn outwards([lower, upper]: [f64; 2]) -> [f64; 2] {
    [(lower * 1e6).floor() / 1e6, (upper * 1e6).ceil() / 1e6]
}

fn ago(seconds: f64) -> String {
    format!("{} ago", span_short(seconds))
}

/// A time that is read and not computed with.
fn span_short(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    match seconds {
        ..120.0 => format!("{seconds:.0} s"),
        ..7200.0 => format!("{:.0} min", seconds / 60.0),
        ..172_800.0 => format!("{:.0} h", seconds / 3600.0),
        _ => format!("{:.0} d", seconds / 86_400.0),
    }
}

fn utc(unix_seconds: f64) -> String {
    let since = Duration::try_from_secs_f64(unix_seconds).unwrap_or_default();
    let text = humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string();
    text.replace('T', " ").trim_end_matches('Z').to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::document::tests::example;
    use super::super::verdict::{KernelStatus, ProcessState, judge};
    use super::*;

    fn observed(kernel: KernelStatus) -> Observation {
        let document = example();
        Observation {
            now: document.written.later(20.0),
            document: Ok(Some(document)),
            end: None,
            process: ProcessState::Exists,
            boot_id: None,
            kernel: Some(kernel),
        }
    }

    #[test]
    fn tracking_and_sources_are_shown_for_people() {
        let kernel = KernelStatus { is_synchronised: true, maximum_error_seconds: 0.012 };
        let observation = observed(kernel);
        let text = text(&observation, &judge(&observation), Some(0.000_1));
        let expected = "\
Clock           : synchronised, error at most 0.012000 s
Kernel status   : synchronised, maximum error 0.012000 s
Daemon          : running, process 4711, mode clock; waits for the next measurement, in 44 s
Reference       : 1 of 3 servers agrees, 2 answered; min_servers is 1
Votes           : 1 of 3 independent servers agrees; 2 must, to exceed the limits of a correction
Ref time (UTC)  : 2026-11-18 11:06:38, 22 s ago
System time     : 0.000100 s slow, still to be slewed
Last offset     : +0.000213 s (the clock was slow), ± 0.000110 s; bounds -0.000250 to +0.001402 s
RMS offset      : 0.000300 s
Last result     : slew by +0.000213 s
Last correction : slew by +0.000213 s, 22 s ago
Frequency       : 12.345 ppm fast, ± 0.210 ppm
Since the start : measurements 9, failures 1, refusals 0, steps 1, slews 7

S Server            Reach  LastRx  Offset and bounds, or the error
* http://192.0.2.1/   377    22 s  +0.000213 s [-0.000288, +0.001414]
x http://192.0.2.2/   377    22 s  +3600.100000 s [+3600.099499, +3600.101201]
? http://192.0.2.3/     0       -  cannot connect to 192.0.2.3:80: connection refused
* selected, x falseticker (disagrees with the majority), ? failed";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_clock_that_is_not_synchronised_comes_with_the_reason_and_what_to_do() {
        let kernel = KernelStatus { is_synchronised: false, maximum_error_seconds: 16.0 };
        let mut observation = observed(kernel);
        observation.document = Ok(None);
        let text = text(&observation, &judge(&observation), None);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "Clock           : NOT synchronised");
        assert!(lines[1].starts_with("Why             : no program keeps the clock"), "{text}");
        assert!(lines[2].starts_with("What to do      : start it: systemctl"), "{text}");
        assert_eq!(lines[4], "Daemon          : absent", "{text}");
    }
}
