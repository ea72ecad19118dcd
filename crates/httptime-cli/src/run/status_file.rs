//! What the daemon reports in its status file. `status/document.rs` has the schema.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::{Duration, Instant};

use httptime::survey::{ServerReport, Survey};
use httptime::{Agreement, Error, IoError, Measurement, Offset};
use httptime_clock::Action;
use httptime_clock::state::replace_file;

use super::correction_target::Correction;
use super::failure_log::FailureLog;
use super::settings::{Mode, Settings};
use super::textfile::StateMetrics;
use crate::args::Run;
use crate::correction::remedy;
use crate::status::document::{
    self, Corrections, Counters, Document, Failure, FrequencyReport, LastCorrection,
    LastMeasurement, Moment, Outcome, Process, QuorumReport, Refused, SCHEMA, Sample, Server,
    ServerError, ServerStatus, State, Votes,
};
use crate::status::{self, moment, verdict::judge};

/// The report of this daemon, and the file that has it.
#[derive(Debug)]
pub(crate) struct StatusFile {
    document: Document,
    failures: FailureLog,
}

impl StatusFile {
    /// Nothing was measured yet.
    pub(crate) fn new(args: &Run, settings: &Settings) -> Self {
        let now = Moment::now();
        let document = Document {
            schema: SCHEMA,
            state: State::Waiting,
            waiting_for: "the first measurement".into(),
            written: now,
            expected_by_monotonic_seconds: Some(now.monotonic_seconds),
            process: Process {
                version: env!("CARGO_PKG_VERSION").into(),
                pid: std::process::id(),
                start_ticks: moment::own_start_ticks(),
                boot_id: moment::boot_id(),
                config: args.config.display().to_string(),
            },
            mode: match settings.mode {
                Mode::Clock => document::Mode::Clock,
                Mode::Chrony => document::Mode::Chrony,
            },
            next_measurement: Some(now),
            last_measurement: None,
            failure: None,
            refusal: None,
            frequency: None,
            corrections: Corrections::default(),
            counters: Counters::default(),
            quorum: None,
            votes: None,
            servers: Vec::new(),
            warnings: Vec::new(),
        };
        Self { document, failures: FailureLog::default() }
    }

    /// A measurement has started, which ends by this deadline.
    pub(crate) fn measuring(&mut self, deadline: Duration) {
        let seconds = deadline.as_secs_f64();
        let now = Moment::now();
        let document = &mut self.document;
        document.state = State::Measuring;
        document.waiting_for = format!("the end of a measurement, in {seconds:.0} s at the latest");
        document.expected_by_monotonic_seconds = Some(now.later(seconds).monotonic_seconds);
        document.next_measurement = None;
    }

    /// A measurement has ended, and the next one starts then.
    pub(crate) fn waiting(&mut self, until: Instant) {
        let next =
            Moment::now().later(until.saturating_duration_since(Instant::now()).as_secs_f64());
        let document = &mut self.document;
        let last = document.last_measurement.as_ref();
        document.state = State::Waiting;
        document.waiting_for = match (&document.failure, &document.refusal) {
            (Some(_), _) => "the next attempt, after a failed measurement",
            (None, Some(_)) => "the next measurement, after a refused correction",
            (None, None) if last.is_some_and(|last| last.is_unconfirmed) => {
                "the measurement that confirms the last correction"
            }
            (None, None) => "the next measurement",
        }
        .into();
        document.expected_by_monotonic_seconds = Some(next.monotonic_seconds);
        document.next_measurement = Some(next);
    }

    /// The daemon ends as it should.
    pub(crate) fn stopped(&mut self) {
        let document = &mut self.document;
        document.state = State::Stopped;
        document.waiting_for = "nothing: it was stopped".into();
        document.expected_by_monotonic_seconds = None;
        document.next_measurement = None;
    }

    /// The servers' results, whether they agree or not, and the warnings about them.
    pub(crate) fn surveyed(&mut self, survey: &Survey, warnings: Vec<String>, settings: &Settings) {
        let document = &mut self.document;
        let now = Moment::now();
        document.servers =
            survey.servers().iter().map(|it| server(it, &document.servers, now)).collect();
        let requests = survey.servers().iter().filter_map(|server| server.result().ok());
        document.counters.requests +=
            requests.map(|measured| u64::from(measured.requests())).sum::<u64>();
        document.quorum = Some(quorum(survey));
        let Agreement { agreeing, independent, .. } = survey.agreement();
        document.votes = (settings.mode == Mode::Clock).then(|| Votes {
            agreeing,
            independent,
            needed: settings.policy().votes_needed(independent),
        });
        document.warnings = warnings;
    }

    /// A measurement was used, or its correction was refused.
    pub(crate) fn measured(&mut self, measurement: &Measurement, correction: &Correction) {
        let document = &mut self.document;
        let now = Moment::now();
        let (outcome, by) = match correction.action {
            Some(Action::Step(by)) => (Outcome::Step, by),
            Some(Action::Slew(by)) => (Outcome::Slew, by),
            Some(Action::Refuse(_)) => (Outcome::Refuse, Offset::ZERO),
            Some(_) => (Outcome::Leave, Offset::ZERO),
            None => (Outcome::Sent, Offset::ZERO),
        };
        let offset = measurement.offset().as_seconds();
        let rms = document.last_measurement.as_ref().map(|last| last.rms_offset_seconds);
        document.last_measurement = Some(LastMeasurement {
            at: measured_at(measurement),
            offset_seconds: offset,
            stddev_seconds: measurement.stddev().as_secs_f64(),
            bounds_seconds: bounds(measurement),
            rms_offset_seconds: match (outcome, rms) {
                // It may not be this clock's error.
                (Outcome::Refuse, Some(rms)) => rms,
                _ => moving_rms(rms, offset),
            },
            rtt_min_seconds: measurement.round_trip_min().as_secs_f64(),
            requests: measurement.requests(),
            outcome,
            correction_seconds: by.as_seconds(),
            maximum_error_seconds: maximum_error(measurement, outcome),
            is_unconfirmed: correction.is_unconfirmed,
        });
        document.refusal = match correction.action {
            Some(Action::Refuse(refusal)) => Some(Refused {
                at: now,
                kind: refusal.kind().into(),
                reason: refusal.to_string(),
                remedy: remedy(&refusal),
            }),
            _ => None,
        };
        document.failure = None;
        document.frequency = correction.frequency.map(|frequency| FrequencyReport {
            correction_ppm: frequency.as_ppm(),
            stddev_ppm: correction.frequency_stddev.map_or(0.0, |stddev| stddev.as_ppm()),
        });
        document.counters.measurements += 1;
        document.counters.refusals += u64::from(outcome == Outcome::Refuse);
        document.corrections.steps += u64::from(outcome == Outcome::Step);
        document.corrections.slews += u64::from(outcome == Outcome::Slew);
        if matches!(outcome, Outcome::Step | Outcome::Slew) {
            document.corrections.last =
                Some(LastCorrection { at: now, kind: outcome, by_seconds: by.as_seconds() });
        }
    }

    /// A measurement failed, or could not be used.
    pub(crate) fn failed(&mut self, kind: Option<&str>, why: &str) {
        let document = &mut self.document;
        let before = document.failure.as_ref().map_or(0, |failure| failure.count);
        document.counters.failures += 1;
        document.failure = Some(Failure {
            at: Moment::now(),
            count: before + 1,
            kind: kind.map(Into::into),
            message: why.into(),
        });
    }

    /// The report, as it stands.
    pub(crate) const fn document(&self) -> &Document {
        &self.document
    }

    /// The same as metrics.
    pub(crate) fn metrics(&self) -> StateMetrics {
        let document = &self.document;
        let verdict = judge(&status::observe_own(document));
        StateMetrics {
            is_synchronised: verdict.is_synchronised(),
            is_refused: document.refusal.is_some(),
            failures_in_a_row: document.failure.as_ref().map_or(0, |failure| failure.count),
            quorum: document.quorum,
        }
    }

    /// Replaces the file, if the settings have one.
    pub(crate) fn write(&mut self, settings: &Settings) {
        let Some(path) = settings.status_file() else { return };
        self.document.written = Moment::now();
        let written = write(&path, &self.document, settings.is_default_status_file());
        self.failures.report(written.map_err(|error| {
            let remedy = match error.kind() {
                ErrorKind::NotFound => "create its directory, or ",
                _ => "",
            };
            format!(
                "cannot write the status file {}: {}; {remedy}set status_file (\"\" for none)",
                path.display(),
                IoError::from(&error)
            )
        }));
    }
}

/// Creates the directory of the default file: outside a service manager nobody else does.
fn write(path: &Path, document: &Document, is_default: bool) -> io::Result<()> {
    let mut text = serde_json::to_string_pretty(document)?;
    text.push('\n');
    match (replace_file(path, text.as_bytes()), path.parent()) {
        (Err(error), Some(folder)) if is_default && error.kind() == ErrorKind::NotFound => {
            fs::create_dir(folder)?;
            replace_file(path, text.as_bytes())
        }
        (written, _) => written,
    }
}

fn server(report: &ServerReport, before: &[Server], now: Moment) -> Server {
    let url = report.url().to_string();
    let before = before.iter().find(|server| server.url == url);
    let reach = before.map_or(0, |server| server.reach) << 1;
    match report.result() {
        Ok(measurement) => Server {
            url,
            status: match report.is_selected() {
                true => ServerStatus::Selected,
                false => ServerStatus::Falseticker,
            },
            reach: reach | 1,
            sample: Some(Sample {
                at: Moment { unix_seconds: measured_at(measurement).unix_seconds, ..now },
                offset_seconds: measurement.offset().as_seconds(),
                stddev_seconds: measurement.stddev().as_secs_f64(),
                bounds_seconds: bounds(measurement),
                rtt_min_seconds: measurement.round_trip_min().as_secs_f64(),
                requests: measurement.requests(),
                http_status: measurement.http_status(),
            }),
            error: None,
        },
        Err(error) => Server {
            url,
            status: ServerStatus::Failed,
            reach,
            sample: before.and_then(|server| server.sample.clone()),
            error: Some(ServerError { kind: error.kind().into(), message: error.to_string() }),
        },
    }
}

/// How many servers answered and agree, and how many must.
pub(crate) fn quorum(survey: &Survey) -> QuorumReport {
    QuorumReport {
        servers: survey.servers().len(),
        answered: survey.servers().iter().filter(|server| server.result().is_ok()).count(),
        agreeing: agreeing(survey),
        min_servers: min_servers(survey),
        is_reached: survey.combined().is_ok(),
    }
}

/// The servers in the largest group that agrees.
fn agreeing(survey: &Survey) -> usize {
    match survey.combined() {
        Err(Error::NoMajority { agreeing, .. }) => *agreeing,
        Err(_) => 0,
        Ok(_) => survey.servers().iter().filter(|server| server.is_selected()).count(),
    }
}

fn min_servers(survey: &Survey) -> Option<usize> {
    match survey.combined() {
        Ok(measurement) => Some(measurement.assumptions().min_servers()),
        Err(Error::NoMajority { min_servers, .. }) => Some(*min_servers),
        Err(_) => None,
    }
}

/// The instant to which the offset refers, on the servers' clock.
fn measured_at(measurement: &Measurement) -> Moment {
    Moment {
        unix_seconds: Offset::from_nanos(measurement.server_time().as_unix_nanos()).as_seconds(),
        monotonic_seconds: Offset::from_nanos(measurement.at().as_nanos()).as_seconds(),
    }
}

fn bounds(measurement: &Measurement) -> [f64; 2] {
    [measurement.bounds().lower(), measurement.bounds().upper()].map(Offset::as_seconds)
}

/// The distance of the farther bound from what was corrected at once.
fn maximum_error(measurement: &Measurement, outcome: Outcome) -> f64 {
    let corrected = match outcome {
        Outcome::Step => measurement.offset(),
        _ => Offset::ZERO,
    };
    let distance = |bound: Offset| bound.saturating_sub(corrected).abs().as_secs_f64();
    distance(measurement.bounds().lower()).max(distance(measurement.bounds().upper()))
}

/// Square root of the moving mean of the squares.
fn moving_rms(before: Option<f64>, offset: f64) -> f64 {
    let (square, weight) = (offset * offset, RMS_WEIGHT);
    before.map_or(square, |rms| (1.0 - weight) * rms * rms + weight * square).sqrt()
}

/// The weight of the newest offset in the mean square (chrony's `reference.c` has the same).
const RMS_WEIGHT: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rms_offset_follows_the_newest_offsets_slowly() {
        assert!((moving_rms(None, -3.0) - 3.0).abs() < 1e-12);
        let after = (0..100).fold(moving_rms(None, 38.0), |rms, _| moving_rms(Some(rms), 0.001));
        assert!((0.001..0.3).contains(&after), "{after}");
    }
}
