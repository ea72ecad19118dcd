//! `httptime sync`: measure, correct, measure again.

use httptime::client::{Client, Survey};
use httptime::config::Config;
use httptime::{Error, Measurement};
use httptime_clock::controller::{apply, slew_duration};
use httptime_clock::policy::History;
use httptime_clock::{Action, ClockError, Policy, Reading, SystemClock};

use crate::args::{Output, Sync};
use crate::servers::{client, still_shown};
use crate::{DONE, NO_PRIVILEGE, NOT_MEASURED, REFUSED, USAGE, query, report};

/// What was done and what came of it, to be printed.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) dry_run: bool,
    pub(crate) before: Survey,
    pub(crate) action: Option<Action>,
    pub(crate) failure: Option<Failure>,
    pub(crate) after: Option<Survey>,
}

/// Why the clock was not changed although it was to be.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It is not the clock that was measured any more.
    Moved(Error),
    Clock(ClockError),
}

pub(crate) fn run(sync: &Sync) -> u8 {
    // The policy has a floor of its own, and says so.
    let ready = sync.servers.measuring.builder().floor(None).build().and_then(|config| {
        let client = client(&sync.servers, &config)?;
        Ok((client, config))
    });
    let (client, config) = match ready {
        Ok(ready) => ready,
        Err(error) => {
            report::failure(&error, &sync.output);
            return USAGE;
        }
    };
    let report = correct(sync, &client, &config);
    report::sync(&report, &config, &sync.output);
    exit_code(&report)
}

fn correct(sync: &Sync, client: &Client, config: &Config) -> Report {
    let before = query::survey(client, config, &sync.output);
    let mut report =
        Report { dry_run: sync.dry_run, before, action: None, failure: None, after: None };
    let Ok(measurement) = report.before.combined() else { return report };
    let reading = Reading::from(measurement);
    let action = policy(sync).decide(&reading, &History::default());
    report.action = Some(action);
    if sync.dry_run || matches!(action, Action::Refuse(_)) {
        return report;
    }
    report.failure = act(action, measurement).err();
    if report.failure.is_none() && !matches!(action, Action::Leave) {
        report.after = Some(verify(sync, client, action));
    }
    report
}

fn act(action: Action, measurement: &Measurement) -> Result<(), Failure> {
    still_shown(measurement).map_err(Failure::Moved)?;
    apply(&mut SystemClock::new(), action, &Reading::from(measurement)).map_err(Failure::Clock)
}

/// Measures again, with fewer requests.
fn verify(sync: &Sync, client: &Client, action: Action) -> Survey {
    let mut builder = sync.servers.measuring.builder().floor(None).requests(VERIFYING);
    if let Action::Slew(_) = action {
        builder = builder.drift_ppm(client.config().drift_ppm().saturating_add(SLEWING_PPM));
    }
    let quiet = Output { json: true, verbose: false };
    match builder.build() {
        Ok(config) => query::survey(&client.clone().with_config(config.clone()), &config, &quiet),
        // As before, when the settings do not go with fewer requests.
        Err(_) => client.survey(|_| {}),
    }
}

fn policy(sync: &Sync) -> Policy {
    let threshold = (!sync.slew_only).then_some(sync.step_threshold);
    Policy::default()
        .step_threshold(threshold)
        .max_startup_forward(sync.max_forward)
        .max_startup_backward(Some(sync.max_backward))
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

/// What was decided, in words.
pub(crate) fn decision(action: Action) -> String {
    match action {
        Action::Leave => "nothing to do: the bounds do not show that the clock is wrong".into(),
        Action::Step(by) => format!("step by {by:.6} s"),
        Action::Slew(by) => {
            format!("slew by {by:.6} s, done in {:.0} s", slew_duration(by).as_secs_f64())
        }
        Action::Refuse(refusal) => format!("refused: {refusal}"),
        _ => "nothing".into(),
    }
}

/// Requests that verify a correction.
const VERIFYING: u32 = 10;
/// How fast the kernel turns a clock.
const SLEWING_PPM: u32 = 500;
