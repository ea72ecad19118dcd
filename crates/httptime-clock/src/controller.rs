//! Combines policy, discipline and clock: what a daemon does with each measurement.

use std::time::Duration;

use httptime::{Interval, LocalInstant, Offset, Timestamp};

use crate::clock::Clock;
use crate::discipline::{Discipline, Verdict};
use crate::error::ClockError;
use crate::frequency::Frequency;
use crate::policy::{Action, Evidence, History, Policy, Reading};
use crate::state::SavedState;
use crate::status::SyncStatus;

/// Keeps a clock right: uses one measurement after another, and steps, slews and steers the clock.
///
/// It reads no other clock, opens no socket and never waits, so the same code can keep a simulated
/// clock for a year within a second.
#[derive(Debug, Clone)]
pub struct Controller<C> {
    clock: C,
    policy: Policy,
    discipline: Discipline,
    history: History,
    slewing: Offset,
    /// `None` before the first measurement and before a state was resumed.
    saved_frequency: Option<SavedFrequency>,
    /// Whether a state was resumed and nothing was measured since: the age of the saved frequency
    /// is not known yet.
    is_age_unknown: bool,
}

/// The standard deviation of the clock's frequency, and its time.
#[derive(Debug, Clone, Copy)]
struct SavedFrequency {
    stddev: Frequency,
    at: Timestamp,
}

/// The outcome of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// The action for the offset.
    pub action: Action,
    /// The discipline's verdict on the measurement.
    pub verdict: Verdict,
    /// The clock's frequency correction now: how much faster than its oscillator it runs.
    pub frequency: Frequency,
    /// The standard deviation of that, including the oscillator's wander up to this measurement.
    pub frequency_stddev: Frequency,
    /// The time to wait for the next measurement.
    pub interval: Duration,
    /// Whether the kernel was not told that the clock is right, because the reading is
    /// [unconfirmed](Reading::is_unconfirmed). Measure again at once, with certificates that the
    /// local clock judges.
    pub is_unconfirmed: bool,
}

impl<C: Clock> Controller<C> {
    /// A controller that leaves the clock unchanged until the first measurement.
    #[must_use]
    pub fn new(clock: C, policy: Policy, discipline: Discipline) -> Self {
        let history = History::default();
        Self {
            clock,
            policy,
            discipline,
            history,
            slewing: Offset::ZERO,
            saved_frequency: None,
            is_age_unknown: false,
        }
    }

    /// Continues from the state of a previous run: sets its frequency, and steps the clock to the
    /// time of that state if it shows an earlier one. Returns the action for the time: leave, step,
    /// or refuse, because the policy's limits also apply to this step.
    ///
    /// The clock does not show the age of the saved frequency: without an RTC it starts at the time
    /// of some file, however long the machine was off. So the age is unknown until the first
    /// measurement, which gives the true time and thus the age.
    ///
    /// # Errors
    /// A [`ClockError`]; changes made before it remain.
    pub fn resume(&mut self, saved: &SavedState) -> Result<Action, ClockError> {
        let behind = Offset::between(self.clock.now()?, saved.saved_at);
        self.clock.set_frequency(saved.frequency)?;
        self.saved_frequency = Some(SavedFrequency { stddev: saved.stddev, at: saved.measured_at });
        self.is_age_unknown = true;
        self.discipline.start_from(saved.stddev, None);
        if behind <= Offset::ZERO {
            return Ok(Action::Leave);
        }
        if let Some(refusal) = self.policy.check_saved_time(behind, &self.history) {
            return Ok(Action::Refuse(refusal));
        }
        let was_plausible = self.policy.is_plausible(self.clock.now()?);
        self.clock.step(behind)?;
        if was_plausible {
            self.history.hinted = behind.abs();
        }
        self.history.stepped = self.history.stepped.saturating_add(behind.abs());
        Ok(Action::Step(behind))
    }

    /// Cancels a running slew. Call this before a measurement: a clock that is being slewed drifts
    /// faster than the drift allowance of the bounds. The measurement includes the remainder of the
    /// slew.
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

    /// The interval in which a measurement at this instant should find the offset, for aiming its
    /// requests.
    #[must_use]
    pub fn expected(&self, at: LocalInstant) -> Option<Interval> {
        self.discipline.expected(at)
    }

    /// Uses a measurement.
    ///
    /// # Errors
    /// A [`ClockError`]; changes made before it remain.
    pub fn absorb(&mut self, reading: &Reading) -> Result<Outcome, ClockError> {
        if std::mem::take(&mut self.is_age_unknown) {
            self.age_saved_frequency(reading);
        }
        let verdict = self.discipline.absorb(reading);
        self.correct_frequency()?;
        let interval = self.discipline.interval();
        let history = History { horizon: Some(interval), ..self.history };
        // A reading that may be an outlier is used only as far as its bounds prove it.
        let action = match verdict {
            Verdict::Outlier => {
                self.policy.clone().evidence(Evidence::Bounds).decide(reading, &history)
            }
            _ => self.policy.decide(reading, &history),
        };
        self.act(action, reading)?;
        let stddev = self.discipline.frequency_stddev();
        // After a refused correction, the time of the clock is not a basis for a later age.
        if self.saved_frequency.is_none() || !matches!(action, Action::Refuse(_)) {
            self.saved_frequency = Some(SavedFrequency { stddev, at: self.clock.now()? });
        }
        Ok(Outcome {
            action,
            verdict,
            frequency: self.clock.frequency()?,
            frequency_stddev: stddev,
            interval,
            is_unconfirmed: reading.is_unconfirmed && !matches!(action, Action::Refuse(_)),
        })
    }

    /// The state of the clock, to be saved; `None` before the first measurement if no state was
    /// resumed.
    ///
    /// # Errors
    /// A [`ClockError`]
    pub fn state(&self) -> Result<Option<SavedState>, ClockError> {
        let Some(SavedFrequency { stddev, at: measured_at }) = self.saved_frequency else {
            return Ok(None);
        };
        let saved_at = self.clock.now()?;
        let frequency = self.clock.frequency()?;
        Ok(Some(SavedState { frequency, stddev, measured_at, saved_at }))
    }

    /// Applies the start-up limits to the next correction: the machine slept, or someone else set
    /// its clock.
    pub const fn clock_moved(&mut self) {
        self.history.settled = false;
    }

    /// Sets the rules from now on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// The discipline, to change its limits.
    pub const fn discipline_mut(&mut self) -> &mut Discipline {
        &mut self.discipline
    }

    /// The clock, for reading.
    #[must_use]
    pub const fn clock(&self) -> &C {
        &self.clock
    }

    /// The clock, for changes outside the controller, for example when a simulation advances the
    /// time.
    pub const fn clock_mut(&mut self) -> &mut C {
        &mut self.clock
    }

    /// Ages the saved frequency by the true time of a first measurement, the latest that its bounds
    /// permit. A measurement that the policy refuses, or whose time is before the saved one, gives
    /// no age.
    fn age_saved_frequency(&mut self, reading: &Reading) {
        let Some(SavedFrequency { stddev, at }) = self.saved_frequency else { return };
        let refused = matches!(self.policy.decide(reading, &self.history), Action::Refuse(_));
        let latest = reading.local_time.saturating_add(reading.bounds.upper());
        let passed = Offset::between(at, latest);
        let age = (!refused && passed >= Offset::ZERO).then(|| passed.abs());
        self.discipline.start_from(stddev, age);
    }

    /// Sets the clock's frequency.
    fn correct_frequency(&mut self) -> Result<(), ClockError> {
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

/// Applies a policy's decision to the clock, and tells the kernel the clock's error afterwards,
/// unless the reading is [unconfirmed](Reading::is_unconfirmed). A refusal changes nothing. A
/// system that keeps no such status (OpenBSD, Windows) is not told.
///
/// # Errors
/// A [`ClockError`]; changes made before it remain.
pub fn apply(clock: &mut impl Clock, action: Action, reading: &Reading) -> Result<(), ClockError> {
    let corrected = match action {
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
    if reading.is_unconfirmed {
        return Ok(());
    }
    let remains = |offset: Offset| offset.saturating_sub(corrected).abs();
    let maximum = remains(reading.bounds.lower()).max(remains(reading.bounds.upper()));
    let estimated = remains(reading.offset).max(reading.stddev);
    match clock.set_status(SyncStatus::synchronised(maximum, estimated)) {
        Err(ClockError::Unsupported { .. }) => Ok(()),
        outcome => outcome,
    }
}

/// The time at which a slewed clock will be right, from the kernel's slew rate.
#[must_use]
pub fn slew_duration(by: Offset) -> Duration {
    by.abs().saturating_mul(2000)
}
