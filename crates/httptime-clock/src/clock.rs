//! What there is to do with a clock, and the units for it.

use std::fmt;
use std::time::Duration;

use httptime::{Offset, Timestamp};

use crate::error::ClockError;

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

/// A relative frequency. **Positive makes the clock faster.**
///
/// A whole number of 2⁻¹⁶ ppm, the unit of the kernels' `timex.freq` (1.3 µs a day), so that what is set is what is read.
/// Holds up to ±32,767 ppm; a kernel's clock takes ±500 ppm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Frequency(i32);

impl Frequency {
    /// No faster and no slower.
    pub const ZERO: Self = Self(0);

    /// The fastest a kernel makes its clock: +500 ppm, 43 s a day (`MAXFREQ` in Linux's `include/linux/timex.h`).
    pub const FASTEST: Self = Self(500 * SCALE);

    /// The slowest a kernel makes its clock: −500 ppm.
    pub const SLOWEST: Self = Self(-500 * SCALE);

    /// A frequency in units of 2⁻¹⁶ ppm.
    #[must_use]
    pub const fn from_scaled_ppm(scaled_ppm: i32) -> Self {
        Self(scaled_ppm)
    }

    /// Units of 2⁻¹⁶ ppm.
    #[must_use]
    pub const fn as_scaled_ppm(self) -> i32 {
        self.0
    }

    /// Parts per million, rounded to 2⁻¹⁶. Saturates; what is not a number is zero.
    #[must_use]
    pub fn from_ppm(ppm: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "float to integer conversion saturates"
        )]
        {
            Self((ppm * f64::from(SCALE)).round() as i32)
        }
    }

    /// Parts per million. Exact.
    #[must_use]
    pub fn as_ppm(self) -> f64 {
        f64::from(self.0) / f64::from(SCALE)
    }

    /// The nearest frequency that a kernel takes.
    #[must_use]
    pub fn clamped(self) -> Self {
        self.clamp(Self::SLOWEST, Self::FASTEST)
    }

    /// The sum; saturates at ±32,767 ppm.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference; saturates at ±32,767 ppm.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Frequency {
    /// With a sign, to a thousandth unless a precision is asked for: `+12.500 ppm`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(3);
        // In integers: whoever links this into a small program does not want the formatting of floats.
        let unit = 10_u64.pow(u32::try_from(digits).unwrap_or(9).min(9));
        let scale = u64::from(SCALE.unsigned_abs());
        let rounded = (u64::from(self.0.unsigned_abs()) * unit + scale / 2) / scale;
        let (whole, part) = (rounded / unit, rounded % unit);
        let sign = if self.0 < 0 { '-' } else { '+' };
        if unit == 1 {
            return write!(f, "{sign}{whole} ppm");
        }
        write!(f, "{sign}{whole}.{part:0digits$} ppm", digits = digits.min(9))
    }
}

/// What the kernel tells programs that ask whether the clock is right.
///
/// The kernel keeps three values for that, and all of them count:
/// - `STA_UNSYNC`, not synchronised. While it is set, `adjtimex` returns `TIME_ERROR`, which is what `node_exporter`'s
///   `node_timex_sync_status` shows, and the kernel does not write its time to the hardware clock. While it is clear,
///   it does so every 11 minutes.
/// - `maxerror`, a bound of the error. `timedatectl` calls the clock synchronised while it is below 16 s, whatever
///   `STA_UNSYNC` says. The kernel adds 500 µs each second, and sets `STA_UNSYNC` once that takes it past 16 s: after
///   nearly 9 hours in which nobody has set it anew.
/// - `esterror`, an estimate of the error. The kernel only passes it on (`node_exporter`'s
///   `node_timex_estimated_error_seconds`).
///
/// Both errors are counted in microseconds (rounded up here) and limited to 16 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SyncStatus {
    synchronised: bool,
    maximum_error: Duration,
    estimated_error: Duration,
}

impl SyncStatus {
    /// Nobody keeps the clock right, as after the boot of the kernel or a step.
    pub const UNSYNCHRONISED: Self = Self {
        synchronised: false,
        maximum_error: MAXIMUM_ERROR_LIMIT,
        estimated_error: MAXIMUM_ERROR_LIMIT,
    };

    /// The clock is right to within `maximum_error` (a bound); `estimated_error` is its likely error (a standard
    /// deviation).
    ///
    /// From [`MAXIMUM_ERROR_LIMIT`] on, the kernel takes the clock for not synchronised within a second.
    #[must_use]
    pub const fn synchronised(maximum_error: Duration, estimated_error: Duration) -> Self {
        Self { synchronised: true, maximum_error, estimated_error }
    }

    /// Not synchronised, with these errors: what may be known of a clock that is no longer looked after.
    #[must_use]
    pub const fn unsynchronised(maximum_error: Duration, estimated_error: Duration) -> Self {
        Self { synchronised: false, maximum_error, estimated_error }
    }

    /// Whether somebody keeps the clock right.
    #[must_use]
    pub const fn is_synchronised(self) -> bool {
        self.synchronised
    }

    /// A bound of the clock's error.
    #[must_use]
    pub const fn maximum_error(self) -> Duration {
        self.maximum_error
    }

    /// The clock's likely error, a standard deviation.
    #[must_use]
    pub const fn estimated_error(self) -> Duration {
        self.estimated_error
    }
}

impl fmt::Display for SyncStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}synchronised, error at most {:?} and about {:?}",
            if self.synchronised { "" } else { "not " },
            self.maximum_error,
            self.estimated_error
        )
    }
}

/// The largest error the kernel counts to (`NTP_PHASE_LIMIT` in Linux's `include/linux/timex.h`). A clock whose maximum
/// error grows past it is not synchronised any more.
pub const MAXIMUM_ERROR_LIMIT: Duration = Duration::from_secs(16);

/// What the kernel adds to the maximum error at each second of the clock (`MAXFREQ` in Linux's
/// `include/linux/timex.h`: 500 ppm).
pub const MAXIMUM_ERROR_GROWTH_PER_SECOND: Duration = Duration::from_micros(500);

/// How fast [`Clock::slew`] turns the clock on Linux (`MAX_TICKADJ` in `kernel/time/ntp.c`: 500 µs a second).
pub const SLEW_RATE: Frequency = Frequency(500 * SCALE);

/// Units of [`Frequency`] to one ppm (`timex.freq` in adjtimex(2)).
const SCALE: i32 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frequency_is_read_as_it_was_set() {
        for ppm in [0.0, 1.0, -1.0, 12.5, -499.999_984_741_210_94, 500.0] {
            assert_eq!(Frequency::from_ppm(ppm).as_ppm().to_bits(), f64::to_bits(ppm), "{ppm}");
        }
        assert_eq!(Frequency::from_ppm(1.0).as_scaled_ppm(), 65_536);
        assert_eq!(Frequency::from_ppm(1.0 / 65_536.0).as_scaled_ppm(), 1);
    }

    #[test]
    fn a_frequency_saturates_and_is_clamped_to_what_a_kernel_takes() {
        assert_eq!(Frequency::from_ppm(1e9).as_scaled_ppm(), i32::MAX);
        assert_eq!(Frequency::from_ppm(f64::NEG_INFINITY).as_scaled_ppm(), i32::MIN);
        assert_eq!(Frequency::from_ppm(f64::NAN), Frequency::ZERO);
        assert_eq!(Frequency::from_ppm(500.1).clamped(), Frequency::FASTEST);
        assert_eq!(Frequency::from_ppm(-500.1).clamped(), Frequency::SLOWEST);
        assert_eq!(Frequency::FASTEST.as_scaled_ppm(), 32_768_000);
        let most = Frequency::from_scaled_ppm(i32::MAX);
        assert_eq!(most.saturating_add(Frequency::FASTEST), most);
    }

    #[test]
    fn a_frequency_is_shown_with_its_sign() {
        assert_eq!(Frequency::from_ppm(12.5).to_string(), "+12.500 ppm");
        assert_eq!(format!("{:.1}", Frequency::from_ppm(-0.25)), "-0.3 ppm");
    }
}
