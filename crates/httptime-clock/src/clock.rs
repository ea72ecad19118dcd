//! What there is to do with a clock.

use httptime::{Offset, Timestamp};

use crate::error::ClockError;
use crate::frequency::Frequency;
use crate::status::SyncStatus;

/// A clock that can be read, set and steered.
///
/// The methods mean what the Linux kernel does; where another kernel differs, its [`SystemClock`](crate::SystemClock)
/// says so. Only those that take `&mut self` change anything.
pub trait Clock {
    /// What the clock shows.
    ///
    /// # Errors
    ///
    /// [`ClockError::OutOfRange`] when it shows a date outside 1678–2262.
    fn now(&self) -> Result<Timestamp, ClockError>;

    /// Sets the clock at once, `by` forward (back, when negative).
    ///
    /// On Linux this also cancels a [`slew`](Self::slew) under way and marks the clock as not synchronised, its errors as
    /// 16 s; the frequency stays. So [`set_status`](Self::set_status) belongs after a step, not before it.
    ///
    /// # Errors
    ///
    /// A [`ClockError`]; the clock is then as it was. [`ClockError::OutOfRange`] when it would show a date before 1970.
    fn step(&mut self, by: Offset) -> Result<(), ClockError>;

    /// Turns the clock gradually until it is `by` further ahead (behind, when negative). It never goes back.
    ///
    /// Replaces an earlier slew that is still under way: what remained of that is not done any more, and
    /// [`Offset::ZERO`] only cancels. The kernel counts in microseconds, so `by` is rounded to the nearest, and it goes at
    /// 500 ppm: a second takes 33 minutes. Returns at once.
    ///
    /// # Errors
    ///
    /// A [`ClockError`]; the clock is then as it was.
    fn slew(&mut self, by: Offset) -> Result<(), ClockError>;

    /// What is still to be done of the last [`slew`](Self::slew).
    ///
    /// # Errors
    ///
    /// A [`ClockError`] where the kernel does not tell.
    fn remaining_slew(&self) -> Result<Offset, ClockError>;

    /// How much faster than its oscillator the clock is made to go.
    ///
    /// # Errors
    ///
    /// A [`ClockError`] where the kernel does not tell.
    fn frequency(&self) -> Result<Frequency, ClockError>;

    /// Makes the clock go `frequency` faster than its oscillator, until it is set to something else. The kernel goes no
    /// further than ±500 ppm; beyond that, `frequency` is [clamped](Frequency::clamped).
    ///
    /// # Errors
    ///
    /// A [`ClockError`]; the frequency is then as it was.
    fn set_frequency(&mut self, frequency: Frequency) -> Result<(), ClockError>;

    /// What the kernel tells those who ask whether the clock is right.
    ///
    /// # Errors
    ///
    /// A [`ClockError`] where the kernel does not tell.
    fn status(&self) -> Result<SyncStatus, ClockError>;

    /// Tells the kernel whether, and how well, the clock is synchronised.
    ///
    /// Also takes the kernel's own disciplines out of use: phase- and frequency-locked loop, pulse per second, leap
    /// second. Whoever calls this steers the clock, and a loop that another program left behind would steer against it.
    ///
    /// # Errors
    ///
    /// A [`ClockError`]; the status is then as it was.
    fn set_status(&mut self, status: SyncStatus) -> Result<(), ClockError>;
}

impl<C: Clock + ?Sized> Clock for &mut C {
    fn now(&self) -> Result<Timestamp, ClockError> {
        (**self).now()
    }

    fn step(&mut self, by: Offset) -> Result<(), ClockError> {
        (**self).step(by)
    }

    fn slew(&mut self, by: Offset) -> Result<(), ClockError> {
        (**self).slew(by)
    }

    fn remaining_slew(&self) -> Result<Offset, ClockError> {
        (**self).remaining_slew()
    }

    fn frequency(&self) -> Result<Frequency, ClockError> {
        (**self).frequency()
    }

    fn set_frequency(&mut self, frequency: Frequency) -> Result<(), ClockError> {
        (**self).set_frequency(frequency)
    }

    fn status(&self) -> Result<SyncStatus, ClockError> {
        (**self).status()
    }

    fn set_status(&mut self, status: SyncStatus) -> Result<(), ClockError> {
        (**self).set_status(status)
    }
}

/// How fast [`Clock::slew`] turns the clock on Linux (`MAX_TICKADJ` in `kernel/time/ntp.c`: 500 µs a second).
pub const SLEW_RATE: Frequency = Frequency::MAX;
