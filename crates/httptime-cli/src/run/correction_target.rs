//! Uses a measurement: corrects the clock, or sends it to chronyd.

use std::path::{Path, PathBuf};
use std::time::Duration;

use httptime::{Error, Interval, Measurement, Offset, Span};
use httptime_chrony::{ChronyError, Feed, Leap, Sample};
use httptime_clock::controller::Controller;
use httptime_clock::state::SavedState;
use httptime_clock::{Action, ClockError, Frequency, Reading, Refusal, SystemClock};
use log::{info, warn};
use thiserror::Error as ThisError;

use super::failure_log::FailureLog;
use super::settings::{Mode, Settings};
use crate::correction::{check_wall_clock, decision};

/// Keeps the clock right by way of measurements.
#[derive(Debug)]
pub(crate) enum CorrectionTarget {
    Clock { controller: Box<Controller<SystemClock>>, state_file: PathBuf, unsaved: FailureLog },
    Chrony { feed: Feed, delay: Option<Duration>, advised: Duration },
}

/// The outcome of a measurement.
#[derive(Debug, Clone)]
pub(crate) struct Correction {
    /// What was done.
    pub(crate) done: String,
    pub(crate) interval: Duration,
    pub(crate) stepped: bool,
    pub(crate) refused: bool,
    /// The policy's decision; `None` if chronyd decides.
    pub(crate) action: Option<Action>,
    /// Another measurement must confirm it, with certificates that the local clock judges.
    pub(crate) is_unconfirmed: bool,
    pub(crate) frequency: Option<Frequency>,
    pub(crate) frequency_stddev: Option<Frequency>,
}

/// The reason why a measurement was not used.
#[derive(Debug, ThisError)]
pub(crate) enum CorrectionError {
    #[error("measurement discarded: {0}")]
    ClockSet(Error),
    #[error(transparent)]
    Clock(#[from] ClockError),
    #[error(transparent)]
    Chrony(#[from] ChronyError),
    #[error(
        "sample not sent to chronyd: its uncertainty is ±{}, more than half of chrony.delay ({}); \
         raise chrony.delay and the delay in chrony.conf, or use a nearer server",
        Span::new(*.farthest), Span::new(*.delay)
    )]
    Delay { farthest: Duration, delay: Duration },
    #[error("sample not sent to chronyd: {0}")]
    Refused(String),
}

impl CorrectionError {
    /// Whether every later try will also fail.
    pub(crate) const fn is_forbidden(&self) -> bool {
        matches!(self, Self::Clock(ClockError::NoPrivilege { .. } | ClockError::ReadOnly { .. }))
    }
}

impl CorrectionTarget {
    /// Starts with the state of the previous run.
    pub(crate) fn start(settings: &Settings) -> Result<Self, CorrectionError> {
        if settings.mode == Mode::Chrony {
            let (feed, delay) = (settings.feed()?, settings.chrony_delay());
            return Ok(Self::Chrony { feed, delay, advised: Duration::ZERO });
        }
        let clock = SystemClock::new();
        let mut controller =
            Box::new(Controller::new(clock, settings.policy(), settings.poll.discipline()));
        let state_file = settings.state_file();
        if let Err(error) = settings.create_state_directory() {
            warn!("{error}; the frequency will not survive a restart");
        }
        match SavedState::load(&state_file) {
            Ok(Some(saved)) => {
                let resumed = controller.resume(&saved)?;
                let stddev = saved.stddev.as_ppm();
                info!(
                    "using the saved frequency {}, ± {stddev:.3} ppm when it was saved; \
                     the first measurement shows how old it is",
                    saved.frequency
                );
                let file = state_file.display();
                match resumed {
                    Action::Step(by) => warn!(
                        "stepped the clock by {by:.6} s to the time saved in {file}; if that time \
                         is wrong, delete the file"
                    ),
                    Action::Refuse(refusal) => {
                        warn!("did not step the clock to the time saved in {file}: {refusal}");
                    }
                    _ => {}
                }
            }
            Ok(None) => info!("no state file {} yet", state_file.display()),
            Err(error) => warn!("{error}; starting without the saved frequency"),
        }
        Ok(Self::Clock { controller, state_file, unsaved: FailureLog::default() })
    }

    /// Applies new settings. The knowledge of the clock is kept if the mode is unchanged.
    pub(crate) fn reload(&mut self, settings: &Settings) -> Result<(), ChronyError> {
        match (&mut *self, settings.mode) {
            (Self::Clock { controller, state_file, .. }, Mode::Clock) => {
                controller.set_policy(settings.policy());
                settings.poll.limit(controller.discipline_mut());
                *state_file = settings.state_file();
            }
            (Self::Chrony { feed, delay, .. }, Mode::Chrony) => {
                *feed = settings.feed()?;
                *delay = settings.chrony_delay();
            }
            (_, _) => warn!("mode has changed; restart httptime to apply it"),
        }
        Ok(())
    }

    /// The machine slept, or someone else set its clock: the start-up limits apply again.
    pub(crate) fn clock_moved(&mut self) {
        if let Self::Clock { controller, .. } = self {
            controller.clock_moved();
        }
    }

    /// To be called before a measurement. Returns the expected interval of the offset.
    pub(crate) fn prepare(&mut self) -> Result<Option<Interval>, CorrectionError> {
        match self {
            Self::Clock { controller, .. } => {
                controller.stop_slewing()?;
                Ok(controller.expected(httptime::net::cross_timestamp().instant()))
            }
            // chronyd controls the clock.
            Self::Chrony { .. } => Ok(None),
        }
    }

    /// Uses a measurement.
    pub(crate) fn correct(
        &mut self,
        measurement: &Measurement,
    ) -> Result<Correction, CorrectionError> {
        check_wall_clock(measurement).map_err(CorrectionError::ClockSet)?;
        match self {
            Self::Clock { controller, state_file, unsaved } => {
                let outcome = controller.absorb(&Reading::from(measurement))?;
                unsaved.report(save(controller, state_file));
                Ok(Correction {
                    done: decision(outcome.action),
                    interval: outcome.interval,
                    stepped: matches!(outcome.action, Action::Step(_)),
                    refused: matches!(outcome.action, Action::Refuse(_)),
                    action: Some(outcome.action),
                    is_unconfirmed: outcome.is_unconfirmed,
                    frequency: Some(outcome.frequency),
                    frequency_stddev: Some(outcome.frequency_stddev),
                })
            }
            Self::Chrony { feed, delay, advised } => {
                // In mode clock the policy refuses it.
                if !measurement.has_date_advanced() {
                    let refusal = Refusal::DateNotAdvanced;
                    return Err(CorrectionError::Refused(refusal.to_string()));
                }
                let farthest = max_error(measurement);
                match *delay {
                    Some(delay) if 2 * farthest > delay => {
                        return Err(CorrectionError::Delay { farthest, delay });
                    }
                    None if farthest > *advised => {
                        *advised = 2 * farthest;
                        let line = feed.refclock_line(*advised, measurement.stddev());
                        info!("uncertainty ±{}; line for chrony.conf: {line}", Span::new(farthest));
                    }
                    _ => {}
                }
                let sample =
                    Sample::new(measurement.local_time(), measurement.offset(), Leap::None)?;
                feed.send(&sample, httptime::net::cross_timestamp().wall())?;
                // A little early, so that each of chronyd's intervals has one.
                let interval = feed.poll().interval().mul_f64(0.95);
                let done = "sample sent to chronyd".to_owned();
                Ok(Correction {
                    done,
                    interval,
                    stepped: false,
                    refused: false,
                    action: None,
                    is_unconfirmed: false,
                    frequency: None,
                    frequency_stddev: None,
                })
            }
        }
    }

    /// Saves the state of the clock.
    pub(crate) fn end(&mut self) {
        if let Self::Clock { controller, state_file, unsaved } = self {
            unsaved.report(save(controller, state_file));
        }
    }
}

fn save(controller: &Controller<SystemClock>, state_file: &Path) -> Result<(), String> {
    let state = controller.state().map_err(|error| error.to_string())?;
    state.map_or(Ok(()), |state| state.save(state_file)).map_err(|error| error.to_string())
}

/// The largest possible distance of the offset from the estimate.
fn max_error(measurement: &Measurement) -> Duration {
    let (offset, bounds) = (measurement.offset(), measurement.bounds());
    let distance = |bound: Offset| bound.saturating_sub(offset).abs();
    distance(bounds.lower()).max(distance(bounds.upper()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use httptime_sim::loopback::{LoopbackServer, LoopbackServerBuilder};
    use httptime_sim::{SimStamp, StampDigits};

    use super::*;

    #[test]
    fn chronyd_is_sent_no_sample_of_a_date_that_was_not_seen_to_advance() {
        let stamp = SimStamp::seconds(StampDigits::Micros);
        let builder = LoopbackServer::builder;
        for builder in [builder(), builder().stamp(stamp)] {
            assert_refused_until_it_has_advanced(builder);
        }
    }

    fn assert_refused_until_it_has_advanced(builder: LoopbackServerBuilder) {
        let server = builder.start().expect("a loopback port");
        let name = format!("httptime-keeper-{}", std::process::id());
        let socket = std::env::temp_dir().join(name);
        let chronyd = UnixDatagram::bind(&socket).expect("a socket");
        chronyd.set_nonblocking(true).expect("a mode");
        let results = [1, 2].map(|requests| {
            let text = format!(
                "servers = ['{}']\nproxy = ''\nmode = 'chrony'\n[measure]\nrequests = {requests}\n\
                 [chrony]\nsocket = '{}'\n",
                server.url(),
                socket.display()
            );
            let parsed = Settings::parse(Path::new("httptime.toml"), &text);
            let (settings, client, _) = parsed.expect("a configuration");
            let mut correction_target =
                CorrectionTarget::start(&settings).expect("nothing is opened");
            let survey = client.survey(|_| {});
            let correction = correction_target.correct(survey.combined().expect("measured"));
            (correction.map_err(|error| error.to_string()), chronyd.recv(&mut [0; 64]).is_ok())
        });
        std::fs::remove_file(&socket).expect("it was there");
        let [(refused, none), (correction, one)] = results;
        assert!(!none && one && correction.is_ok(), "{none} {one} {correction:?}");
        let error = refused.expect_err("one answer cannot advance");
        assert!(error.contains("the server's Date was not seen to advance"), "{error}");
    }
}
