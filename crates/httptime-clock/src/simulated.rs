//! A clock in memory whose true error is known.

use std::time::Duration;

use httptime::{LocalInstant, Offset, Timestamp};

use crate::clock::{Clock, SLEW_RATE};
use crate::convert::{error_micros, error_of_micros, nearest_micros};
use crate::error::{ClockError, Operation};
use crate::frequency::Frequency;
use crate::status::{MAXIMUM_ERROR_GROWTH_PER_SECOND, MAXIMUM_ERROR_LIMIT, SyncStatus};

/// A clock in memory that behaves like the Linux kernel's. The caller advances the true time.
///
/// Its oscillator has a frequency error, to which the set frequency and a slew of 500 ppm are
/// added. It uses integer arithmetic and keeps the fractions of a nanosecond: however a period is
/// divided among calls of [`advance`](Self::advance), the clock ends at the same nanosecond. A call
/// takes the same time for a second as for a year.
///
/// There is one difference from the kernel, which takes up to 500 µs off the remaining slew at the
/// beginning of each second and spreads them over the second. Here both are continuous.
///
/// ```
/// use httptime::{Offset, Timestamp};
/// use httptime_clock::{Clock, ClockError, Frequency, SimulatedClock};
/// use std::time::Duration;
///
/// # fn main() -> Result<(), ClockError> {
/// let noon = Timestamp::from_unix_nanos(1_795_435_200_000_000_000);
/// // 38.116 s slow, and losing 20 µs more each second.
/// let behind = Offset::from_nanos(38_116_000_000);
/// let mut clock = SimulatedClock::new(noon, behind, Frequency::from_ppm(-20.0));
/// clock.advance(Duration::from_secs(100));
/// assert_eq!(clock.true_offset(), Offset::from_nanos(38_118_000_000));
/// clock.step(clock.true_offset())?;
/// assert_eq!(clock.now()?, clock.true_time());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SimulatedClock {
    true_time: Timestamp,
    wall: Timestamp,
    monotonic: LocalInstant,
    oscillator_error: Frequency,
    frequency: Frequency,
    /// The fraction of the oscillator's time below a nanosecond, 0 to [`PARTS`] − 1.
    oscillator_parts: i128,
    /// The same for the clock.
    clock_parts: i128,
    /// The remainder of the slew, in parts of a nanosecond.
    slew_parts: i128,
    synchronised: bool,
    maximum_error: Duration,
    estimated_error: Duration,
    steps: u32,
    slews: u32,
    failure: Option<fn(Operation) -> ClockError>,
    keeps_status: bool,
}

impl SimulatedClock {
    /// A clock that was just booted at `true_time`: slow by `offset`, with an oscillator that is
    /// too fast by `oscillator_error` (too slow, if negative), not synchronised.
    #[must_use]
    pub const fn new(true_time: Timestamp, offset: Offset, oscillator_error: Frequency) -> Self {
        Self {
            true_time,
            wall: true_time.saturating_add(Offset::ZERO.saturating_sub(offset)),
            monotonic: LocalInstant::from_nanos(0),
            oscillator_error,
            frequency: Frequency::ZERO,
            oscillator_parts: 0,
            clock_parts: 0,
            slew_parts: 0,
            synchronised: false,
            maximum_error: MAXIMUM_ERROR_LIMIT,
            estimated_error: MAXIMUM_ERROR_LIMIT,
            steps: 0,
            slews: 0,
            failure: None,
            keeps_status: true,
        }
    }

    /// Advances the true time by `by`. Saturates at the year 2262.
    pub fn advance(&mut self, by: Duration) {
        let by = Offset::from(by);
        self.true_time = self.true_time.saturating_add(by);

        let by = i128::from(by.as_nanos());
        let ticked = by * (PARTS + i128::from(self.oscillator_error.as_scaled_ppm()))
            + self.oscillator_parts;
        self.oscillator_parts = ticked.rem_euclid(PARTS);
        let ticked = ticked.div_euclid(PARTS);

        let slewable = ticked * i128::from(SLEW_RATE.as_scaled_ppm());
        let slewed = self.slew_parts.clamp(-slewable, slewable);
        self.slew_parts -= slewed;
        let passed = ticked * (PARTS + i128::from(self.frequency.as_scaled_ppm()))
            + slewed
            + self.clock_parts;
        self.clock_parts = passed.rem_euclid(PARTS);
        let passed = saturating_nanos(passed.div_euclid(PARTS));

        let before = self.wall;
        self.wall = self.wall.saturating_add(Offset::from_nanos(passed));
        self.monotonic = LocalInstant::from_nanos(self.monotonic.as_nanos().saturating_add(passed));
        self.grow_maximum_error(before);
    }

    /// The machine sleeps for `by` of true time and wakes with a clock that is slower than before
    /// by `off_by` (faster, if negative), because sleep is measured with a clock of whole seconds.
    /// The monotonic clock stops during sleep.
    ///
    /// As in `timekeeping_inject_sleeptime64` (`kernel/time/timekeeping.c`): the frequency is kept,
    /// a slew is cancelled, and the clock is no longer synchronised. Saturates at the year 2262.
    pub fn sleep(&mut self, by: Duration, off_by: Offset) {
        let by = Offset::from(by);
        self.true_time = self.true_time.saturating_add(by);
        self.wall = self.wall.saturating_add(by.saturating_sub(off_by));
        self.clear_ntp_state();
    }

    /// Sets the frequency error of the oscillator from now on, for example for another temperature.
    /// Positive: too fast.
    pub const fn set_oscillator_error(&mut self, error: Frequency) {
        self.oscillator_error = error;
    }

    /// The frequency error of the oscillator. Positive: too fast.
    #[must_use]
    pub const fn oscillator_error(&self) -> Frequency {
        self.oscillator_error
    }

    /// The true time.
    #[must_use]
    pub const fn true_time(&self) -> Timestamp {
        self.true_time
    }

    /// True time − clock. Positive: the clock is slow.
    #[must_use]
    pub const fn true_offset(&self) -> Offset {
        Offset::between(self.wall, self.true_time)
    }

    /// The monotonic clock (`CLOCK_MONOTONIC`), zero at the beginning. Frequency and slews change
    /// it, steps do not.
    #[must_use]
    pub const fn monotonic(&self) -> LocalInstant {
        self.monotonic
    }

    /// The number of steps.
    #[must_use]
    pub const fn steps(&self) -> u32 {
        self.steps
    }

    /// The number of slews, including those that only cancelled one.
    #[must_use]
    pub const fn slews(&self) -> u32 {
        self.slews
    }

    /// From now on every change fails with the error that `failure` returns for it, and changes
    /// nothing. Reading still succeeds, as for a process without privileges.
    ///
    /// ```
    /// # use httptime::{Offset, Timestamp};
    /// # use httptime_clock::{Clock, ClockError, Frequency, SimulatedClock};
    /// # let start = Timestamp::from_unix_nanos(0);
    /// # let mut clock = SimulatedClock::new(start, Offset::ZERO, Frequency::ZERO);
    /// clock.fail_with(|operation| ClockError::NoPrivilege { operation });
    /// let stepped = clock.step(Offset::from_nanos(1));
    /// assert_eq!(stepped.map_err(|error| error.kind()), Err("no_privilege"));
    /// ```
    pub const fn fail_with(&mut self, failure: fn(Operation) -> ClockError) {
        self.failure = Some(failure);
    }

    /// Changes succeed again.
    pub const fn stop_failing(&mut self) {
        self.failure = None;
    }

    /// From now on the clock keeps no synchronisation status, as on Windows and OpenBSD: reading
    /// and setting it fails with [`ClockError::Unsupported`].
    pub const fn forget_status(&mut self) {
        self.keeps_status = false;
    }

    /// The kernel's action at each beginning of a second of the clock (`second_overflow` in
    /// `kernel/time/ntp.c`), for all seconds since `before`.
    fn grow_maximum_error(&mut self, before: Timestamp) {
        let second = |time: Timestamp| time.as_unix_nanos().div_euclid(1_000_000_000);
        let seconds = u32::try_from(second(self.wall) - second(before)).unwrap_or(u32::MAX);
        let grown = MAXIMUM_ERROR_GROWTH_PER_SECOND.saturating_mul(seconds);
        self.maximum_error = self.maximum_error.saturating_add(grown);
        if self.maximum_error > MAXIMUM_ERROR_LIMIT {
            self.maximum_error = MAXIMUM_ERROR_LIMIT;
            self.synchronised = false;
        }
    }

    /// The kernel's action whenever the clock is set (`ntp_clear` in `kernel/time/ntp.c`).
    const fn clear_ntp_state(&mut self) {
        self.slew_parts = 0;
        self.synchronised = false;
        self.maximum_error = MAXIMUM_ERROR_LIMIT;
        self.estimated_error = MAXIMUM_ERROR_LIMIT;
    }

    const fn check_keeps_status(&self, operation: Operation) -> Result<(), ClockError> {
        if self.keeps_status { Ok(()) } else { Err(ClockError::Unsupported { operation }) }
    }

    fn check_may_change(&self, operation: Operation) -> Result<(), ClockError> {
        self.failure.map_or(Ok(()), |failure| Err(failure(operation)))
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Result<Timestamp, ClockError> {
        Ok(self.wall)
    }

    fn step(&mut self, by: Offset) -> Result<(), ClockError> {
        let operation = Operation::Step(by);
        self.check_may_change(operation)?;
        let target = self.wall.as_unix_nanos().checked_add(by.as_nanos());
        // The kernel refuses dates before 1970.
        let target =
            target.filter(|nanos| *nanos >= 0).ok_or(ClockError::OutOfRange { operation })?;
        self.wall = Timestamp::from_unix_nanos(target);
        self.clear_ntp_state();
        self.steps += 1;
        Ok(())
    }

    fn slew(&mut self, by: Offset) -> Result<(), ClockError> {
        self.check_may_change(Operation::Slew(by))?;
        self.slew_parts = i128::from(nearest_micros(by)) * 1_000 * PARTS;
        self.slews += 1;
        Ok(())
    }

    fn remaining_slew(&self) -> Result<Offset, ClockError> {
        Ok(Offset::from_nanos(saturating_nanos(self.slew_parts / PARTS)))
    }

    fn frequency(&self) -> Result<Frequency, ClockError> {
        Ok(self.frequency)
    }

    fn set_frequency(&mut self, frequency: Frequency) -> Result<(), ClockError> {
        self.check_may_change(Operation::SetFrequency(frequency))?;
        self.frequency = frequency.clamped();
        Ok(())
    }

    fn status(&self) -> Result<SyncStatus, ClockError> {
        self.check_keeps_status(Operation::ReadStatus)?;
        let status =
            if self.synchronised { SyncStatus::synchronised } else { SyncStatus::unsynchronised };
        Ok(status(self.maximum_error, self.estimated_error))
    }

    fn set_status(&mut self, status: SyncStatus) -> Result<(), ClockError> {
        self.check_keeps_status(Operation::SetStatus(status))?;
        self.check_may_change(Operation::SetStatus(status))?;
        self.synchronised = status.is_synchronised();
        self.maximum_error = error_of_micros(error_micros(status.maximum_error()));
        self.estimated_error = error_of_micros(error_micros(status.estimated_error()));
        Ok(())
    }
}

/// Saturates at 292 years.
fn saturating_nanos(nanos: i128) -> i64 {
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

/// Parts per nanosecond: a clock with a frequency error of one unit of [`Frequency`] (2⁻¹⁶ ppm)
/// gains one part in each nanosecond.
const PARTS: i128 = 65_536 * 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23T00:00:00Z.
    const START: Timestamp = Timestamp::from_unix_nanos(1_795_392_000_000_000_000);
    const SECOND: Duration = Duration::from_secs(1);
    const WEEK: Duration = Duration::from_secs(7 * 86_400);

    fn clock(offset_ns: i64, oscillator_error_ppm: f64) -> SimulatedClock {
        let offset = Offset::from_nanos(offset_ns);
        SimulatedClock::new(START, offset, Frequency::from_ppm(oscillator_error_ppm))
    }

    fn error() -> SyncStatus {
        SyncStatus::synchronised(Duration::from_millis(2), Duration::from_millis(1))
    }

    #[test]
    fn a_clock_drifts_with_its_oscillator() -> Result<(), ClockError> {
        let mut clock = clock(0, 20.0);
        clock.advance(Duration::from_secs(100));
        assert_eq!(clock.true_offset(), Offset::from_nanos(-2_000_000));
        clock.set_oscillator_error(Frequency::from_ppm(-30.0));
        clock.advance(Duration::from_secs(100));
        assert_eq!(clock.true_offset(), Offset::from_nanos(1_000_000));
        assert_eq!(clock.now()?, START.saturating_add(Offset::from_nanos(199_999_000_000)));
        Ok(())
    }

    #[test]
    fn a_week_in_one_go_and_in_uneven_pieces_ends_at_the_same_nanosecond() -> Result<(), ClockError>
    {
        let mut whole = clock(0, -13.377);
        whole.set_frequency(Frequency::from_ppm(13.1))?;
        whole.slew(Offset::from_nanos(-77_777_777_000))?;
        whole.set_status(error())?;
        let mut pieces = whole.clone();
        let mut gone = Duration::ZERO;
        let mut piece = Duration::from_nanos(1);
        while gone + piece < WEEK {
            pieces.advance(piece);
            gone += piece;
            piece = (piece * 7 / 5 + Duration::from_nanos(3)).min(Duration::from_millis(7_919));
        }
        pieces.advance(WEEK - gone);
        whole.advance(WEEK);
        assert_eq!(pieces.true_offset(), whole.true_offset());
        assert_eq!(pieces.monotonic(), whole.monotonic());
        assert_eq!(pieces.remaining_slew()?, whole.remaining_slew()?);
        assert_eq!(pieces.status()?, whole.status()?);
        assert_eq!(pieces.clock_parts, whole.clock_parts);
        Ok(())
    }

    #[test]
    fn the_smallest_frequency_is_not_lost_to_rounding() {
        let mut clock = SimulatedClock::new(START, Offset::ZERO, Frequency::from_scaled_ppm(1));
        for _ in 0..65_536 {
            clock.advance(SECOND);
        }
        // 2^-16 ppm over 2^16 s.
        assert_eq!(clock.true_offset(), Offset::from_nanos(-1_000));
    }

    #[test]
    fn frequency_set_against_the_oscillator_multiplies_with_it() -> Result<(), ClockError> {
        let mut clock = clock(0, -100.0);
        clock.set_frequency(Frequency::from_ppm(100.0))?;
        clock.advance(Duration::from_secs(1_000));
        // (1 - 1e-4)(1 + 1e-4) = 1 - 1e-8.
        assert_eq!(clock.true_offset(), Offset::from_nanos(10_000));
        Ok(())
    }

    #[test]
    fn a_frequency_beyond_the_kernels_is_clamped() -> Result<(), ClockError> {
        let mut clock = clock(0, 0.0);
        clock.set_frequency(Frequency::from_ppm(-700.0))?;
        assert_eq!(clock.frequency()?, Frequency::MIN);
        clock.advance(SECOND);
        assert_eq!(clock.true_offset(), Offset::from_nanos(500_000));
        Ok(())
    }

    #[test]
    fn a_slew_goes_at_500_ppm_and_ends() -> Result<(), ClockError> {
        for sign in [1, -1] {
            let mut clock = clock(sign * 1_000_000, 0.0);
            clock.slew(clock.true_offset())?;
            clock.advance(SECOND);
            assert_eq!(clock.true_offset(), Offset::from_nanos(sign * 500_000));
            assert_eq!(clock.remaining_slew()?, Offset::from_nanos(sign * 500_000));
            clock.advance(WEEK);
            assert_eq!(clock.true_offset(), Offset::ZERO);
            assert_eq!(clock.remaining_slew()?, Offset::ZERO);
        }
        Ok(())
    }

    #[test]
    fn a_second_slew_replaces_what_remains_of_the_first_and_zero_cancels() -> Result<(), ClockError>
    {
        let mut clock = clock(0, 0.0);
        clock.slew(Offset::from_nanos(1_000_000_000))?;
        clock.advance(SECOND);
        clock.slew(Offset::from_nanos(-500_000))?;
        clock.advance(SECOND);
        assert_eq!(clock.true_offset(), Offset::ZERO);
        clock.slew(Offset::from_nanos(1_000_000_000))?;
        clock.slew(Offset::ZERO)?;
        clock.advance(SECOND);
        assert_eq!(clock.true_offset(), Offset::ZERO);
        assert_eq!((clock.slews(), clock.steps()), (4, 0));
        Ok(())
    }

    #[test]
    fn a_slew_is_rounded_to_microseconds_as_the_kernel_takes_it() -> Result<(), ClockError> {
        let mut clock = clock(0, 0.0);
        clock.slew(Offset::from_nanos(-2_501))?;
        assert_eq!(clock.remaining_slew()?, Offset::from_nanos(-3_000));
        Ok(())
    }

    #[test]
    fn a_step_cancels_the_slew_and_the_synchronisation_but_not_the_frequency()
    -> Result<(), ClockError> {
        let mut clock = clock(0, 0.0);
        clock.set_frequency(Frequency::from_ppm(7.0))?;
        clock.slew(Offset::from_nanos(1_000_000_000))?;
        clock.set_status(error())?;
        clock.step(Offset::from_nanos(-1))?;
        assert_eq!(clock.true_offset(), Offset::from_nanos(1));
        assert_eq!(clock.remaining_slew()?, Offset::ZERO);
        assert_eq!(clock.status()?, SyncStatus::UNSYNCHRONISED);
        assert_eq!(clock.frequency()?, Frequency::from_ppm(7.0));
        assert_eq!(clock.steps(), 1);
        Ok(())
    }

    #[test]
    fn a_step_leaves_the_monotonic_clock_alone() -> Result<(), ClockError> {
        let mut clock = clock(0, 0.0);
        clock.advance(SECOND);
        clock.step(Offset::from_nanos(-500_000_000))?;
        clock.advance(SECOND);
        assert_eq!(clock.monotonic(), LocalInstant::from_nanos(2_000_000_000));
        Ok(())
    }

    #[test]
    fn a_step_to_a_date_before_1970_or_past_2262_is_refused() {
        for by in [i64::MIN, -START.as_unix_nanos() - 1, i64::MAX] {
            let by = Offset::from_nanos(by);
            let mut clock = clock(0, 0.0);
            let refused = Err(ClockError::OutOfRange { operation: Operation::Step(by) });
            assert_eq!(clock.step(by), refused);
            assert_eq!((clock.true_offset(), clock.steps()), (Offset::ZERO, 0));
        }
    }

    #[test]
    fn the_maximum_error_grows_until_the_clock_counts_as_unsynchronised() -> Result<(), ClockError>
    {
        let mut clock = clock(0, 0.0);
        assert_eq!(clock.status()?, SyncStatus::UNSYNCHRONISED);
        clock.set_status(error())?;
        clock.advance(Duration::from_secs(10));
        assert_eq!(clock.status()?.maximum_error(), Duration::from_millis(7));
        assert_eq!(clock.status()?.estimated_error(), Duration::from_millis(1));
        // 2 ms + 31,996 s at 500 ppm is 16 s, and still synchronised.
        clock.advance(Duration::from_secs(31_986));
        assert_eq!(clock.status()?.maximum_error(), MAXIMUM_ERROR_LIMIT);
        assert!(clock.status()?.is_synchronised());
        clock.advance(Duration::from_nanos(999_999_999));
        assert!(clock.status()?.is_synchronised());
        clock.advance(Duration::from_nanos(1));
        assert_eq!(clock.status()?.maximum_error(), MAXIMUM_ERROR_LIMIT);
        assert!(!clock.status()?.is_synchronised());
        Ok(())
    }

    #[test]
    fn a_clock_told_to_fail_changes_nothing_and_can_be_read() -> Result<(), ClockError> {
        let mut clock = clock(5, 0.0);
        clock.fail_with(|operation| ClockError::ReadOnly { operation, errno: libc::EROFS });
        let by = Offset::from_nanos(1_000_000);
        assert_eq!(
            clock.step(by),
            Err(ClockError::ReadOnly { operation: Operation::Step(by), errno: libc::EROFS })
        );
        assert_eq!(clock.slew(by).map_err(|error| error.kind()), Err("read_only"));
        assert_eq!(
            clock.set_frequency(Frequency::MAX).map_err(|error| error.kind()),
            Err("read_only")
        );
        assert_eq!(clock.set_status(error()).map_err(|error| error.kind()), Err("read_only"));
        assert_eq!(clock.true_offset(), Offset::from_nanos(5));
        assert_eq!(clock.remaining_slew()?, Offset::ZERO);
        assert_eq!(clock.frequency()?, Frequency::ZERO);
        assert_eq!(clock.status()?, SyncStatus::UNSYNCHRONISED);
        clock.stop_failing();
        clock.step(Offset::from_nanos(5))?;
        assert_eq!(clock.true_offset(), Offset::ZERO);
        Ok(())
    }

    #[test]
    fn a_machine_that_slept_has_its_frequency_and_no_slew_and_its_monotonic_clock_stood_still()
    -> Result<(), ClockError> {
        let mut clock = clock(3_000, 20.0);
        clock.set_frequency(Frequency::from_ppm(-20.0))?;
        clock.slew(Offset::from_nanos(1_000_000))?;
        clock.set_status(error())?;
        let monotonic = clock.monotonic();
        clock.sleep(WEEK, Offset::from_nanos(400_000_000));
        assert_eq!(clock.true_offset(), Offset::from_nanos(400_003_000));
        assert_eq!(clock.true_time(), START.saturating_add(WEEK.into()));
        assert_eq!(clock.monotonic(), monotonic);
        assert_eq!(clock.remaining_slew()?, Offset::ZERO);
        assert_eq!(clock.frequency()?, Frequency::from_ppm(-20.0));
        assert_eq!(clock.status()?, SyncStatus::UNSYNCHRONISED);
        assert_eq!(clock.steps(), 0);
        clock.sleep(SECOND, Offset::from_nanos(-400_003_000));
        assert_eq!(clock.true_offset(), Offset::ZERO);
        Ok(())
    }

    #[test]
    fn the_longest_advance_saturates() {
        let mut clock = clock(0, 500.0);
        clock.advance(Duration::MAX);
        assert_eq!(clock.true_time(), Timestamp::from_unix_nanos(i64::MAX));
        assert_eq!(clock.true_offset(), Offset::ZERO);
    }

    #[test]
    fn a_borrowed_clock_is_a_clock() -> Result<(), ClockError> {
        fn correct(mut clock: impl Clock, by: Offset) -> Result<SyncStatus, ClockError> {
            clock.slew(Offset::ZERO)?;
            clock.step(by)?;
            clock.set_frequency(Frequency::from_ppm(1.0))?;
            clock.set_status(error())?;
            clock.remaining_slew()?;
            clock.frequency()?;
            clock.now()?;
            clock.status()
        }
        let mut clock = clock(9, 0.0);
        let borrowed: &mut dyn Clock = &mut clock;
        assert_eq!(correct(borrowed, Offset::from_nanos(9))?, error());
        assert_eq!(clock.true_offset(), Offset::ZERO);
        assert_eq!(clock.frequency()?, Frequency::from_ppm(1.0));
        Ok(())
    }
}
