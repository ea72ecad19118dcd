//! `httptime sync`: measure, correct, measure again.

use std::path::Path;
use std::process;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use httptime::Client;
use httptime::survey::Survey;
use httptime::{Interval, IoError, Measurement, Offset, Span, build_day};
use httptime_clock::History;
use httptime_clock::controller::{apply, slew_duration};
use httptime_clock::{Action, Clock, ClockError, Policy, Reading, SystemClock};

use crate::args::{Output, Sync};
use crate::correction::{Failure, Report, check_wall_clock};
use crate::measure_options::{Given, Misuse, check_quorum};
use crate::run::status_file::quorum;
use crate::run::textfile::{Metrics, StateMetrics, SyncMetrics, last_success};
use crate::status::document::Moment;
use crate::status::kernel_status;
use crate::{
    DONE, INTERRUPTED, NO_PRIVILEGE, NOT_MEASURED, OUTPUT_FAILED, REFUSED, USAGE, query, report,
    signals,
};

pub(crate) fn run(sync: &Sync) -> u8 {
    // The policy has its own floor and reports it.
    let ready =
        sync.servers.ready_to_correct(sync.servers.config().floor(None), Given::CommandLine);
    let (client, via) = match ready {
        Ok(ready) => ready,
        Err(error) => {
            report::failure(&error, &sync.output);
            return USAGE;
        }
    };
    let quorum = sync.quorum.map(|quorum| check_quorum(quorum, sync.servers.urls.len()));
    if let Some(Err(error)) = quorum {
        report::failure(&Misuse::of(error, Given::CommandLine), &sync.output);
        return USAGE;
    }
    let report = correct(sync, &client);
    report::sync(&report, via.as_ref(), &sync.output);
    if report.before.combined().is_err() {
        report::via(via.as_ref(), &sync.output);
    }
    let status = exit_code(&report);
    match &sync.textfile {
        Some(path) if !sync.dry_run => write_metrics(path, &report, status),
        _ => status,
    }
}

/// Writes the metrics. Returns the exit status.
fn write_metrics(path: &Path, report: &Report, status: u8) -> u8 {
    let mut metrics = Metrics::default();
    metrics.surveyed(&report.before);
    if let Ok(measurement) = report.before.combined() {
        metrics.measured(measurement);
    }
    let is_refused = matches!(report.action, Some(Action::Refuse(_)));
    let kernel = kernel_status();
    metrics.state = StateMetrics {
        is_synchronised: !is_refused && kernel.is_some_and(|kernel| kernel.is_synchronised),
        is_refused,
        failures_in_a_row: u64::from(report.action.is_none()),
        quorum: Some(quorum(&report.before)),
    };
    metrics.sync = Some(SyncMetrics {
        exit_status: status,
        ended_unix_seconds: Moment::now().unix_seconds,
        earlier_success_unix_seconds: last_success(path),
    });
    match metrics.write(path) {
        Ok(()) => status,
        Err(error) => {
            let path = path.display();
            report::print_error(&format!("cannot write {path}: {}", IoError::from(&error)));
            if status == DONE { OUTPUT_FAILED } else { status }
        }
    }
}

fn correct(sync: &Sync, client: &Client) -> Report {
    let before = sync.retry.survey(&sync.output, || query::survey(client, &sync.output));
    let policy = policy(sync);
    let mut report = Report {
        dry_run: sync.dry_run,
        votes_needed: policy.votes_needed(before.agreement().independent),
        before,
        action: None,
        failure: None,
        after: None,
    };
    let Ok(measurement) = report.before.combined() else { return report };
    let reading = Reading::from(measurement);
    let action = policy.decide(&reading, &History::default());
    report.action = Some(action);
    if sync.dry_run || matches!(action, Action::Refuse(_)) {
        return report;
    }
    report.failure = act(action, measurement).err();
    if report.failure.is_none() && (reading.is_unconfirmed || !matches!(action, Action::Leave)) {
        let after = verify(sync, client, action, &reading);
        if reading.is_unconfirmed {
            report.failure = confirm(&after).err();
        }
        report.after = Some(after);
    }
    report
}

/// Marks the clock as synchronised after a measurement by whose certificates it was judged.
fn confirm(after: &Survey) -> Result<(), Failure> {
    let measurement = after.combined().map_err(|error| Failure::Unconfirmed(error.clone()))?;
    act(Action::Leave, measurement)
}

fn act(action: Action, measurement: &Measurement) -> Result<(), Failure> {
    check_wall_clock(measurement).map_err(Failure::ClockSet)?;
    let mut clock = SystemClock::new();
    apply(&mut clock, action, &Reading::from(measurement)).map_err(Failure::Clock)?;
    match action {
        Action::Slew(by) if !SystemClock::SLEW_OUTLIVES_PROCESS => {
            complete_slew(&mut clock, by).map_err(Failure::Clock)
        }
        _ => Ok(()),
    }
}

/// Waits until the slew is complete. Ctrl-C stops it: the clock must not run at the wrong rate
/// after the program has ended.
fn complete_slew(clock: &mut SystemClock, by: Offset) -> Result<(), ClockError> {
    let interrupted = signals::interruption();
    let needed = Span::new(slew_duration(by));
    report::print_error(&format!("slewing for {needed}; this program must run until then"));
    while clock.remaining_slew()? != Offset::ZERO {
        if interrupted.load(Ordering::SeqCst) {
            clock.slew(Offset::ZERO)?;
            process::exit(INTERRUPTED);
        }
        thread::sleep(SLEW_PAUSE);
    }
    clock.slew(Offset::ZERO)
}

/// Measures again with a few requests, which are aimed at the expected offset.
fn verify(sync: &Sync, client: &Client, action: Action, reading: &Reading) -> Survey {
    let (expected, slew_ppm) = match action {
        Action::Slew(by) => (Interval::between(Offset::ZERO, by), SLEW_RATE_PPM),
        _ => (Interval::between(Offset::ZERO, Offset::ZERO), 0),
    };
    let config = client.config();
    let drift_ppm = config.drift_ppm().saturating_add(slew_ppm);
    let requests = config.limits().requests().min(VERIFY_REQUESTS);
    let builder = sync.servers.config().floor(None);
    let config = match builder.requests(requests).drift_ppm(drift_ppm).build() {
        Ok(config) => config.with_expected(expected.widened(4 * reading.stddev + MILLISECOND)),
        // Out of range: uses the same settings as before.
        Err(_) => config.clone(),
    };
    let quiet = Output { json: true, verbose: false };
    let client = client.clone().with_config(config);
    let client = if reading.is_unconfirmed { client.by_local_clock() } else { client };
    query::survey(&client, &quiet)
}

fn policy(sync: &Sync) -> Policy {
    let threshold = (!sync.slew_only).then_some(sync.step_threshold.0);
    let policy = match sync.servers.https.floor {
        Some(floor) => Policy::default().floor(floor.max(build_day())),
        None => Policy::default(),
    };
    policy
        .step_threshold(threshold)
        .quorum(sync.quorum)
        .trust_single(sync.trust_single)
        .max_startup_forward(sync.max_forward.0)
        .max_startup_backward(sync.max_backward.0)
}

fn exit_code(report: &Report) -> u8 {
    match (&report.failure, &report.action) {
        (Some(Failure::Clock(ClockError::NoPrivilege { .. } | ClockError::ReadOnly { .. })), _) => {
            NO_PRIVILEGE
        }
        (Some(_), _) | (None, None) => NOT_MEASURED,
        (None, Some(Action::Refuse(_))) => REFUSED,
        (None, Some(_)) => DONE,
    }
}

/// The number of requests that verify a correction.
const VERIFY_REQUESTS: u32 = 8;
/// How often to look whether a slew is complete.
const SLEW_PAUSE: Duration = Duration::from_millis(100);
const MILLISECOND: Duration = Duration::from_millis(1);
/// The rate at which the kernel slews a clock.
const SLEW_RATE_PPM: u32 = 500;
