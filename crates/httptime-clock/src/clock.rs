//! The operations on a clock.

use httptime::{Offset, Timestamp};

use crate::error::ClockError;
use crate::frequency::Frequency;
use crate::status::SyncStatus;

/// A clock that can be read, set and steered.
///
/// The methods have the semantics of the Linux kernel. [`SystemClock`](crate::SystemClock)
/// documents the differences of other kernels. Only methods that take `&mut self` change the clock.
pub trait Clock {
    /// The time of the clock.
    ///
    /// # Errors
    ///
    /// [`ClockError::OutOfRange`] if it is outside 1678–2262.
    fn now(&self) -> Result<Timestamp, ClockError>;

    /// Sets the clock at once, forward by `by` (back, if negative).
    ///
    /// On Linux this also cancels a running [`slew`](Self::slew), marks the clock as not
    /// synchronised, and sets its errors to 16 s. The frequency does not change. So call
    /// [`set_status`](Self::set_status) after a step, not before it.
    ///
    /// # Errors
    ///
    /// A [`ClockError`]; the clock is then unchanged. [`ClockError::OutOfRange`] if the new time
    /// would be before 1970.
    fn step(&mut self, by: Offset) -> Result<(), ClockError>;

    /// Corrects the clock gradually until it is further ahead by `by` (behind, if negative). The
    /// clock never goes back.
    ///
    /// Replaces an earlier slew that is still running: its remainder is dropped, and
    /// [`Offset::ZERO`] only cancels. `by` is rounded to a microsecond, the kernel's unit. The rate
    /// is 500 ppm: a second takes 33 minutes. Returns at once.
    ///
    /// # Errors
    ///
    /// A [`ClockError`]; the clock is then unchanged.
    fn slew(&mut self, by: Offset) -> Result<(), ClockError>;

    /// The remainder of the last [`slew`](Self::slew).
    ///
    /// # Errors
    ///
    /// A [`ClockError`] if the kernel does not report it.
    fn remaining_slew(&self) -> Result<Offset, ClockError>;

    /// The frequency correction: how much faster than its oscillator the clock runs.
    ///
    /// # Errors
    ///
    /// A [`ClockError`] if the kernel does not report it.
    fn frequency(&self) -> Result<Frequency, ClockError>;

    /// Makes the clock run faster than its oscillator by `frequency`, until the next call. The
    /// kernel's limit is ±500 ppm; a larger `frequency` is [clamped](Frequency::clamped).
    ///
    /// # Errors
    ///
    /// A [`ClockError`]; the frequency is then unchanged.
    fn set_frequency(&mut self, frequency: Frequency) -> Result<(), ClockError>;

    /// The synchronisation status that the kernel reports to programs.
    ///
    /// # Errors
    ///
    /// A [`ClockError`] if the kernel does not report it.
    fn status(&self) -> Result<SyncStatus, ClockError>;

    /// Tells the kernel whether the clock is synchronised, and its error.
    ///
    /// Also disables the kernel's own disciplines: phase- and frequency-locked loop, pulse per
    /// second, leap second. The caller steers the clock, and a loop that another program left
    /// enabled would steer against it.
    ///
    /// # Errors
    ///
    /// A [`ClockError`]; the status is then unchanged.
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

/// The rate of [`Clock::slew`] on Linux (`MAX_TICKADJ` in `kernel/time/ntp.c`: 500 µs per second).
pub const SLEW_RATE: Frequency = Frequency::MAX;
