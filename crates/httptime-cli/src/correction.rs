//! A correction of the clock and its outcome.

use std::time::Duration;

use httptime::net::cross_timestamp;
use httptime::survey::Survey;
use httptime::{CrossTimestamp, Error, Measurement, Span};
use httptime_clock::controller::slew_duration;
use httptime_clock::{Action, ClockError, Direction, Missing, Refusal};

/// A correction and its outcome, for output.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) dry_run: bool,
    pub(crate) before: Survey,
    pub(crate) action: Option<Action>,
    /// How many independent servers must agree for a correction beyond the limits.
    pub(crate) votes_needed: Option<usize>,
    pub(crate) failure: Option<Failure>,
    pub(crate) after: Option<Survey>,
}

/// The reason why a correction was not made.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The clock is no longer the one that was measured.
    ClockSet(Error),
    Clock(ClockError),
    /// The corrected clock could not judge the certificates, so the clock is not marked as
    /// synchronised.
    Unconfirmed(Error),
}

/// The decision on this measurement in words.
pub(crate) fn decision(action: Action) -> String {
    match action {
        Action::Leave => "nothing to do: the clock is correct within the uncertainty".into(),
        Action::Step(by) => format!("step by {by:.6} s"),
        Action::Slew(by) => {
            format!("slew by {by:.6} s, which takes {}", Span::new(slew_duration(by)))
        }
        Action::Refuse(refusal) => format!("refused: {refusal}"),
        _ => "nothing to do".into(),
    }
}

/// The same with the names of the options of `httptime sync`.
pub(crate) fn decision_with_options(action: Action) -> String {
    match action {
        Action::Refuse(refusal) => format!("refused: {}", with_options(refusal)),
        _ => decision(action),
    }
}

/// The reason of a refusal with the names of the options of `httptime sync`, where it has one.
pub(crate) fn with_options(refusal: Refusal) -> String {
    let text = refusal.to_string();
    match refusal {
        Refusal::DateNotAdvanced => format!("{text} (--requests, --duration)"),
        Refusal::BoundsTooWide { .. } => text.replace("set lag ", "set --lag "),
        Refusal::TooFar { direction, .. } => {
            let option = limit_option(direction);
            text.replace(direction.limit_name(), option).replace("trust_single", "--trust-single")
        }
        _ => text,
    }
}

/// What to do about a refusal.
pub(crate) fn remedy(refusal: &Refusal) -> String {
    match refusal {
        Refusal::DateNotAdvanced => {
            "allow at least 2 requests and 2 s (requests, duration); if it stays, use another server"
                .into()
        }
        Refusal::BoundsTooWide { .. } => {
            "set lag if the server's software is known, or use a nearer server".into()
        }
        Refusal::BeforeFloor { .. } => {
            "use another server; its clock was never set. If this time is right, set floor".into()
        }
        Refusal::TooFar { missing: Missing::Servers { needed: Some(_), .. }, .. } => {
            "repair or replace the servers that fail or disagree; the log names them".into()
        }
        Refusal::TooFar { missing: Missing::Servers { .. }, .. } => {
            "compare with another clock. If the servers are right: name three independent servers, \
             or set trust_single, or correct the clock once with httptime sync and its option \
             --trust-single"
                .into()
        }
        Refusal::TooFar { direction, .. } => format!(
            "compare with another clock. If the servers are right: name three or more independent \
             ones, raise {}, or correct the clock once with httptime sync and its option {}",
            direction.limit_name(),
            limit_option(*direction)
        ),
        Refusal::Accumulated { .. } => {
            "find out why the clock is stepped so often (two programs that correct it, or a \
             paused virtual machine), then restart httptime run"
                .into()
        }
        _ => "see the section Refusals of docs/operations.md".into(),
    }
}

/// The option of `httptime sync` for a limit.
const fn limit_option(direction: Direction) -> &'static str {
    match direction {
        Direction::Backward | Direction::StartupBackward => "--max-backward",
        _ => "--max-forward",
    }
}

/// Whether the wall clock still is the one that was measured.
///
/// # Errors
/// [`Error::ClockStepped`] if it was set since the measurement.
pub(crate) fn check_wall_clock(measurement: &Measurement) -> Result<(), Error> {
    let measured = CrossTimestamp::new(measurement.at(), measurement.local_time(), Duration::ZERO);
    let now = cross_timestamp();
    let elapsed = now.instant().saturating_since(measured.instant());
    let allowed = WALL_CLOCK_TOLERANCE + now.uncertainty() + elapsed / 2000;
    let by = measured.stepped_by(now);
    if by.abs() > allowed { Err(Error::ClockStepped { by }) } else { Ok(()) }
}

/// The largest difference between wall clock and monotonic clock that does not count as a step.
const WALL_CLOCK_TOLERANCE: Duration = Duration::from_millis(1);
