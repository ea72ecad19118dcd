//! The arithmetic of a clock whose rate is set: the clock of Windows. Pure, so that it is tested on
//! every system.
//!
//! A rate is a number R of units in which the clock advances without an adjustment by R₀ (10⁷ on
//! most machines, so a unit is 0.1 ppm). The frequency is (R − R₀) ÷ R₀.

use std::time::{Duration, Instant};

use httptime::{Offset, Timestamp};

use super::field::{NANOS, Refusal};
use crate::frequency::Frequency;

/// A slew: the clock runs at another rate for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slew {
    /// Its number, so that the end of a slew that was replaced does not end its successor.
    pub(super) number: u64,
    /// The rate before and after it.
    pub(super) base: u64,
    /// The rate during it.
    pub(super) rate: u64,
    pub(super) duration: Duration,
    began: Instant,
    by: Offset,
}

impl Slew {
    /// `None` if there is nothing to slew, if it would take longer than 584 years, or if the unit
    /// is larger than 500 ppm.
    pub(super) fn new(
        by: Offset,
        base: u64,
        nominal: u64,
        began: Instant,
        number: u64,
    ) -> Option<Self> {
        let units = nominal / UNITS_PER_SLEW_UNIT;
        let rate = match by >= Offset::ZERO {
            true => base.checked_add(units)?,
            false => base.checked_sub(units)?,
        };
        if by == Offset::ZERO || units == 0 {
            return None;
        }
        // by ÷ (units ÷ R₀); i128 holds any product of two u64.
        let nanos = i128::from(by.as_nanos()).unsigned_abs() * u128::from(nominal);
        let nanos = u64::try_from(nanos / u128::from(units)).ok()?;
        Some(Self { number, base, rate, duration: Duration::from_nanos(nanos), began, by })
    }

    /// What it has still to correct.
    pub(super) fn remaining(&self, now: Instant) -> Offset {
        let passed = now.saturating_duration_since(self.began).min(self.duration);
        let left = (self.duration - passed).as_nanos();
        let whole = self.duration.as_nanos().max(1);
        // A part of `by`, so it fits.
        let size = i128::from(self.by.as_nanos()).unsigned_abs() * left / whole;
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        Offset::from_nanos(if self.by >= Offset::ZERO { size } else { -size })
    }

    /// The same slew of a clock that has another rate apart from it.
    pub(super) const fn on_base(self, base: u64) -> Self {
        let rate = if self.rate >= self.base {
            base.saturating_add(self.rate - self.base)
        } else {
            base.saturating_sub(self.base - self.rate)
        };
        Self { base, rate, ..self }
    }
}

/// The rate for a frequency, rounded to the nearest unit.
pub(super) fn adjusted(nominal: u64, frequency: Frequency) -> Result<u64, Refusal> {
    let scaled = i128::from(frequency.as_scaled_ppm()) * i128::from(nominal);
    let half = if scaled < 0 { -SCALED_PPM / 2 } else { SCALED_PPM / 2 };
    u64::try_from(i128::from(nominal) + (scaled + half) / SCALED_PPM)
        .map_err(|_| Refusal::OutOfRange)
}

/// The frequency of a rate, rounded to the nearest 2⁻¹⁶ ppm.
pub(super) fn frequency_of(adjusted: u64, nominal: u64) -> Result<Frequency, Refusal> {
    let nominal = i128::from(nominal).max(1);
    let scaled = (i128::from(adjusted) - nominal) * SCALED_PPM;
    let half = if scaled < 0 { -nominal / 2 } else { nominal / 2 };
    let scaled = i32::try_from((scaled + half) / nominal).map_err(|_| Refusal::OutOfRange)?;
    Ok(Frequency::from_scaled_ppm(scaled))
}

/// The next whole millisecond, and the time until then. `None` past 2262.
pub(super) fn whole_millisecond(at: Timestamp) -> Option<(Timestamp, Duration)> {
    let nanos = at.as_unix_nanos();
    let left = (MILLISECOND_NANOS - nanos.rem_euclid(MILLISECOND_NANOS)) % MILLISECOND_NANOS;
    let whole = Timestamp::from_unix_nanos(nanos.checked_add(left)?);
    Some((whole, Duration::from_nanos(u64::try_from(left).ok()?)))
}

/// The low and the high half of a `FILETIME`: units of 100 ns since 1601. Exact for whole
/// milliseconds; no date of a [`Timestamp`] after 1970 is out of range.
pub(super) fn filetime(at: Timestamp) -> (u32, u32) {
    let since_1970 = u64::try_from(at.as_unix_nanos() / FILETIME_NANOS).unwrap_or(0);
    let units = FILETIME_OF_1970 + since_1970;
    let halves = units.to_le_bytes();
    let [a, b, c, d, e, f, g, h] = halves;
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

/// 500 ppm is a 2000th, the rate at which Linux slews.
const UNITS_PER_SLEW_UNIT: u64 = 2_000;
/// The scaled ppm of [`Frequency`] in one.
const SCALED_PPM: i128 = 65_536 * 1_000_000;
const MILLISECOND_NANOS: i64 = NANOS / 1_000;
const FILETIME_NANOS: i64 = 100;
/// 369 years with 89 leap days, in units of 100 ns.
const FILETIME_OF_1970: u64 = (369 * 365 + 89) * 86_400 * 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const NOMINAL: u64 = 10_000_000;
    const MILLISECOND: Offset = Offset::from_nanos(1_000_000);

    fn slew(by: Offset, base: u64) -> Slew {
        Slew::new(by, base, NOMINAL, Instant::now(), 7).expect("something to slew")
    }

    #[test]
    fn a_frequency_becomes_the_nearest_rate_and_back() -> Result<(), Refusal> {
        let rate = |ppm| adjusted(NOMINAL, Frequency::from_ppm(ppm));
        assert_eq!((rate(0.0)?, rate(12.34)?, rate(-12.34)?), (NOMINAL, 10_000_123, 9_999_877));
        assert_eq!((rate(500.0)?, rate(-500.0)?), (10_005_000, 9_995_000));
        assert_eq!(rate(0.06)?, NOMINAL + 1, "rounded to the nearest 0.1 ppm");
        for ppm in [0.0, 0.1, -0.1, 12.3, -499.9, 500.0] {
            let back = frequency_of(rate(ppm)?, NOMINAL)?;
            assert_eq!(back, Frequency::from_ppm(ppm), "{ppm}");
        }
        Ok(())
    }

    #[test]
    fn a_rate_that_is_no_frequency_is_out_of_range() {
        assert_eq!(frequency_of(NOMINAL * 2, NOMINAL), Err(Refusal::OutOfRange));
        assert_eq!(frequency_of(0, NOMINAL), Err(Refusal::OutOfRange));
        assert_eq!(frequency_of(1, 0), Ok(Frequency::ZERO), "a system without a rate");
        assert_eq!(adjusted(u64::MAX, Frequency::MAX), Err(Refusal::OutOfRange));
    }

    #[test]
    fn a_slew_of_a_millisecond_takes_two_seconds_at_500_ppm() {
        let forward = slew(MILLISECOND, 10_000_123);
        assert_eq!((forward.rate, forward.duration), (10_005_123, Duration::from_secs(2)));
        let back = slew(Offset::ZERO.saturating_sub(MILLISECOND), 10_000_123);
        assert_eq!((back.rate, back.duration), (9_995_123, Duration::from_secs(2)));
        // 3,579,545 Hz: 500 ppm is no whole number of units. At the smaller rate it takes longer.
        let coarse = Slew::new(MILLISECOND, 3_579_545, 3_579_545, Instant::now(), 0);
        let coarse = coarse.expect("something to slew");
        let corrected = coarse.duration.as_secs_f64() * 1_789.0 / 3_579_545.0;
        assert_eq!(coarse.rate, 3_579_545 + 1_789);
        assert!((corrected - 0.001).abs() < 1e-9, "{corrected}");
    }

    #[test]
    fn nothing_to_slew_and_a_rate_without_units_are_no_slew() {
        let none = |by, nominal| Slew::new(by, nominal, nominal, Instant::now(), 0).is_none();
        assert!(none(Offset::ZERO, NOMINAL));
        assert!(none(MILLISECOND, 1_999));
        assert!(none(MILLISECOND, 0));
    }

    #[test]
    fn the_remainder_of_a_slew_falls_to_zero_and_stays_there() {
        let began = Instant::now();
        for (by, half) in [(1_000_000, 500_000), (-1_000_000, -500_000)] {
            let slew = Slew::new(Offset::from_nanos(by), NOMINAL, NOMINAL, began, 0).expect("some");
            let after = |seconds| slew.remaining(began + Duration::from_secs(seconds)).as_nanos();
            assert_eq!((after(0), after(1), after(2), after(9)), (by, half, 0, 0));
        }
        let huge = Slew::new(Offset::from_nanos(i64::MIN), NOMINAL, NOMINAL, began, 0);
        assert_eq!(huge, None, "584 years times 2000 do not fit");
    }

    #[test]
    fn a_frequency_that_is_set_during_a_slew_shifts_its_rate() {
        let forward = slew(MILLISECOND, NOMINAL);
        let shifted = forward.on_base(NOMINAL + 100);
        assert_eq!((shifted.base, shifted.rate), (NOMINAL + 100, NOMINAL + 5_100));
        assert_eq!(shifted.duration, forward.duration);
        let back = slew(Offset::ZERO.saturating_sub(MILLISECOND), NOMINAL);
        assert_eq!(back.on_base(NOMINAL + 100).rate, NOMINAL - 4_900);
    }

    #[test]
    fn a_step_is_made_at_the_next_whole_millisecond() {
        let next = |nanos| {
            let (whole, wait) = whole_millisecond(Timestamp::from_unix_nanos(nanos))?;
            Some((whole.as_unix_nanos(), wait.as_nanos()))
        };
        assert_eq!(next(5_000_000), Some((5_000_000, 0)));
        assert_eq!(next(5_000_001), Some((6_000_000, 999_999)));
        assert_eq!(next(5_999_900), Some((6_000_000, 100)));
        assert_eq!(next(i64::MAX), None);
    }

    #[test]
    fn a_filetime_counts_100_ns_since_1601() {
        // 2026-11-23T09:37:12.345Z, computed by Python's datetime.
        let (low, high) = filetime(Timestamp::from_unix_nanos(1_795_426_632_345_000_000));
        let units = u64::from(high) << 32 | u64::from(low);
        assert_eq!(units, 134_399_002_323_450_000);
        let (low, high) = filetime(Timestamp::from_unix_nanos(0));
        assert_eq!(u64::from(high) << 32 | u64::from(low), 116_444_736_000_000_000);
    }
}
