//! Policy, discipline and clock tied together: what a daemon does with each measurement.

use std::time::Duration;

use httptime::{Interval, LocalInstant, Offset, Timestamp};

use crate::clock::Clock;
use crate::discipline::{Discipline, Verdict};
use crate::error::ClockError;
use crate::frequency::Frequency;
use crate::policy::{Action, Evidence, History, Policy, Reading};
use crate::state::SavedState;
use crate::status::SyncStatus;

/// Keeps a clock right: takes in one measurement after another, and steps, slews and steers the clock.
///
/// Reads no other clock, opens no socket and waits for nothing, so the same code keeps a simulated clock right for a year in
/// a second.
#[derive(Debug, Clone)]
pub struct Controller<C> {
    clock: C,
    policy: Policy,
    discipline: Discipline,
    history: History,
    slewing: Offset,
    /// `None` before anything was measured or resumed.
    known: Option<Known>,
    /// Resumed and not measured since: how old the saved frequency is cannot be told yet.
    ageless: bool,
}

/// How well the clock's frequency was known, and when.
#[derive(Debug, Clone, Copy)]
struct Known {
    stddev: Frequency,
    at: Timestamp,
}

/// What came of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// What was done about the offset.
    pub action: Action,
    /// What the measurement was to the discipline.
    pub verdict: Verdict,
    /// The frequency that the clock now has; how much faster than its oscillator it is made to go.
    pub frequency: Frequency,
    /// The standard deviation of that, grown by the oscillator's wander up to this measurement.
    pub frequency_stddev: Frequency,
    /// How long to wait for the next measurement.
    pub interval: Duration,
}

impl<C: Clock> Controller<C> {
    /// Leaves the clock as it is until there is a measurement.
    #[must_use]
    pub fn new(clock: C, policy: Policy, discipline: Discipline) -> Self {
        let history = History::default();
        Self {
            clock,
            policy,
            discipline,
            history,
            slewing: Offset::ZERO,
            known: None,
            ageless: false,
        }
    }

    /// Goes on where a former run left off: with its frequency, and no earlier than it ended. Returns what had to be done about
    /// the time for that: to leave it, to step it, or to refuse, since the policy's limits hold for this step too.
    ///
    /// How old the frequency is, the clock cannot tell: without an RTC it starts at the time of some file, however long the
    /// machine was off. So the age is unknown until the first measurement, which gives the true time and with it the age.
    ///
    /// # Errors
    /// A [`ClockError`]; what was done before it stays done.
    pub fn resume(&mut self, saved: &SavedState) -> Result<Action, ClockError> {
        let behind = Offset::between(self.clock.now()?, saved.saved_at);
        self.clock.set_frequency(saved.frequency)?;
        self.known = Some(Known { stddev: saved.stddev, at: saved.measured_at });
        self.ageless = true;
        self.discipline.start_from(saved.stddev, None);
        if behind <= Offset::ZERO {
            return Ok(Action::Leave);
        }
        if let Some(refusal) = self.policy.too_far(behind, &self.history, false) {
            return Ok(Action::Refuse(refusal));
        }
        self.clock.step(behind)?;
        self.history.stepped = self.history.stepped.saturating_add(behind.abs());
        Ok(Action::Step(behind))
    }

    /// Ends a slew that is under way. To be called before a measurement: a clock that is being turned drifts faster than a
    /// measurement's bounds allow for. What remains of the slew, the measurement will find.
    ///
    /// # Errors
    /// A [`ClockError`]
    pub fn stop_slewing(&mut self) -> Result<(), ClockError> {
        if self.slewing == Offset::ZERO {
            return Ok(());
        }
        let remains = self.clock.remaining_slew()?;
        self.clock.slew(Offset::ZERO)?;
        self.discipline.corrected(self.slewing.saturating_sub(remains));
        self.slewing = Offset::ZERO;
        Ok(())
    }

    /// Where a measurement at this instant should find the offset, for it to be aimed there.
    #[must_use]
    pub fn expected(&self, at: LocalInstant) -> Option<Interval> {
        self.discipline.expected(at)
    }

    /// Takes in a measurement and does what follows from it.
    ///
    /// # Errors
    /// A [`ClockError`]; what was done before it stays done.
    pub fn absorb(&mut self, reading: &Reading) -> Result<Outcome, ClockError> {
        if std::mem::take(&mut self.ageless) {
            self.tell_age(reading);
        }
        let verdict = self.discipline.absorb(reading);
        self.steer()?;
        let interval = self.discipline.interval();
        let history = History { horizon: Some(interval), ..self.history };
        // A reading that may be a freak is believed as far as its bounds go.
        let action = match verdict {
            Verdict::Outlier => {
                self.policy.clone().evidence(Evidence::Bounds).decide(reading, &history)
            }
            _ => self.policy.decide(reading, &history),
        };
        self.act(action, reading)?;
        let stddev = self.discipline.frequency_stddev();
        // A clock whose correction was refused shows a time that no later age can be counted from.
        if self.known.is_none() || !matches!(action, Action::Refuse(_)) {
            self.known = Some(Known { stddev, at: self.clock.now()? });
        }
        Ok(Outcome {
            action,
            verdict,
            frequency: self.clock.frequency()?,
            frequency_stddev: stddev,
            interval,
        })
    }

    /// What is known of the clock, to be saved; `None` before anything was measured or resumed.
    ///
    /// # Errors
    /// A [`ClockError`]
    pub fn state(&self) -> Result<Option<SavedState>, ClockError> {
        let Some(Known { stddev, at: measured_at }) = self.known else { return Ok(None) };
        let saved_at = self.clock.now()?;
        let frequency = self.clock.frequency()?;
        Ok(Some(SavedState { frequency, stddev, measured_at, saved_at }))
    }

    /// New rules from here on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// The discipline, for other limits.
    pub const fn discipline_mut(&mut self) -> &mut Discipline {
        &mut self.discipline
    }

    /// The clock, to be read.
    #[must_use]
    pub const fn clock(&self) -> &C {
        &self.clock
    }

    /// The clock, to be changed behind the controller's back, as a simulation does when time goes on.
    pub const fn clock_mut(&mut self) -> &mut C {
        &mut self.clock
    }

    /// Ages the saved frequency by the true time that a first measurement shows, the latest that its bounds allow. A measurement
    /// that the policy refuses, or that lies before the frequency was saved, shows no age.
    fn tell_age(&mut self, reading: &Reading) {
        let Some(Known { stddev, at }) = self.known else { return };
        let refused = matches!(self.policy.decide(reading, &self.history), Action::Refuse(_));
        let latest = reading.local_time.saturating_add(reading.bounds.upper());
        let passed = Offset::between(at, latest);
        let age = (!refused && passed >= Offset::ZERO).then(|| passed.abs());
        self.discipline.start_from(stddev, age);
    }

    /// Gives the clock the frequency that it should have.
    fn steer(&mut self) -> Result<(), ClockError> {
        if let Some((by, _)) = self.discipline.frequency_correction() {
            let before = self.clock.frequency()?;
            self.clock.set_frequency(before.saturating_add(by).clamped())?;
            let after = self.clock.frequency()?;
            self.discipline.frequency_changed(after.saturating_sub(before));
        }
        Ok(())
    }

    fn act(&mut self, action: Action, reading: &Reading) -> Result<(), ClockError> {
        apply(&mut self.clock, action, reading)?;
        match action {
            Action::Step(by) => {
                self.history.stepped = self.history.stepped.saturating_add(by.abs());
                self.history.settled = true;
                self.discipline.corrected(by);
            }
            Action::Slew(by) => {
                self.history.settled = true;
                self.slewing = by;
            }
            Action::Leave => self.history.settled = true,
            Action::Refuse(_) => {}
        }
        Ok(())
    }
}

/// Does to the clock what a policy has decided, and tells the kernel how right the clock is then. A refusal changes nothing.
///
/// # Errors
/// A [`ClockError`]; what was done before it stays done.
pub fn apply(clock: &mut impl Clock, action: Action, reading: &Reading) -> Result<(), ClockError> {
    let mended = match action {
        Action::Step(by) => {
            clock.step(by)?;
            by
        }
        Action::Slew(by) => {
            clock.slew(by)?;
            Offset::ZERO
        }
        Action::Leave => Offset::ZERO,
        Action::Refuse(_) => return Ok(()),
    };
    let remains = |offset: Offset| offset.saturating_sub(mended).abs();
    let maximum = remains(reading.bounds.lower()).max(remains(reading.bounds.upper()));
    let estimated = remains(reading.offset).max(reading.stddev);
    clock.set_status(SyncStatus::synchronised(maximum, estimated))
}

/// When a clock that is being turned will be right, from the rate at which kernels turn it.
#[must_use]
pub fn slew_duration(by: Offset) -> Duration {
    by.abs().saturating_mul(2000)
}
