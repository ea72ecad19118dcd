//! The relative frequency of two clocks.

use std::fmt;

/// A relative frequency. **Positive makes the clock faster.**
///
/// A whole number of 2⁻¹⁶ ppm, the unit of the kernels' `timex.freq` (1.3 µs a day), so that the
/// value that is set is the value that is read. The range is ±32,767 ppm; a kernel's clock accepts
/// ±500 ppm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Frequency(i32);

impl Frequency {
    /// No faster and no slower.
    pub const ZERO: Self = Self(0);

    /// The maximum of a kernel: +500 ppm, 43 s a day (`MAXFREQ` in Linux's
    /// `include/linux/timex.h`).
    pub const MAX: Self = Self(500 * SCALE);

    /// The minimum of a kernel: −500 ppm.
    pub const MIN: Self = Self(-500 * SCALE);

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

    /// Parts per million, rounded to 2⁻¹⁶. Saturates; NaN becomes zero.
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

    /// The nearest frequency that a kernel accepts.
    #[must_use]
    pub fn clamped(self) -> Self {
        self.clamp(Self::MIN, Self::MAX)
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
    /// With a sign [default precision: 3 digits]: `+12.500 ppm`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(3);
        // In integers: formatting floats would make small programs larger.
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

/// Units of [`Frequency`] per ppm (`timex.freq` in adjtimex(2)).
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
        assert_eq!(Frequency::from_ppm(500.1).clamped(), Frequency::MAX);
        assert_eq!(Frequency::from_ppm(-500.1).clamped(), Frequency::MIN);
        assert_eq!(Frequency::MAX.as_scaled_ppm(), 32_768_000);
        let most = Frequency::from_scaled_ppm(i32::MAX);
        assert_eq!(most.saturating_add(Frequency::MAX), most);
    }

    #[test]
    fn a_frequency_is_shown_with_its_sign() {
        assert_eq!(Frequency::from_ppm(12.5).to_string(), "+12.500 ppm");
        assert_eq!(format!("{:.1}", Frequency::from_ppm(-0.25)), "-0.3 ppm");
    }
}
