use std::ops::RangeInclusive;

use httptime::{Error, check_range};

use super::{NANO, PPM};
use crate::frequency::Frequency;

/// The constants of [`Discipline`](super::Discipline).
///
/// [`Default`] has the values that the library uses. Sensitivities are what `cargo run --release -p
/// httptime-benches --bin fit` measured with other values, compared with this one: changes of the
/// median and the 95th percentile of the offset, of the RMS frequency error, and of the number of
/// requests. They are geometric means over simulated weeks in lan, metro, wan and wan-jittery.
/// Changes below 2 % are left out.
///
/// ```
/// use httptime_clock::discipline::{Discipline, Tuning};
///
/// let mut tuning = Tuning::default();
/// tuning.wander_ppm = 0.6;
/// let discipline = Discipline::default().with_tuning(tuning)?;
/// # Ok::<(), httptime::Error>(())
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tuning {
    /// Random walk of the frequency: the standard deviation of its change in an hour, in ppm. 0.001
    /// to 100.
    ///
    /// Reason: a crystal in a room does about that with the temperature. A random walk of variance
    /// Q a second has the Allan deviation √(Q τ / 3) (Zucca and Tavella 2005): 0.11 ppm at 1500 s,
    /// where RFC 5905 (A.1.1, `ALLAN`) has a computer clock's wander overtake the noise of
    /// measurements, and 0.85 ppm at a day. chrony assumes that a clock gains up to 1 ppm of
    /// frequency error between updates (`maxclockerror` [default: 1]).
    ///
    /// Sensitivity: at 0.15, median +14.5 %, 95 % +11.3 %, frequency error +23.8 %, requests
    /// +47.3 %; at 0.6, median −15.3 %, 95 % −18.2 %, frequency error −9.7 %, requests +32.9 %.
    pub wander_ppm: f64,
    /// Standard deviation of a frequency of which nothing is known, in ppm. 1 to 1000.
    ///
    /// Reason: crystals are sold to ±100 ppm.
    ///
    /// Sensitivity: at 25, median +2 %; at 100, median +3.5 %.
    pub initial_frequency_stddev_ppm: f64,
    /// What a restart of the machine, and its temperature then, change of a saved frequency: a
    /// standard deviation in ppm. 0 to 100.
    ///
    /// Reason: a machine that was off is colder. The simulated week has no restarts, so `fit`
    /// cannot judge it.
    ///
    /// Sensitivity: no change of 0.1 % or more. The weeks have no restart.
    pub restart_stddev_ppm: f64,
    /// How precisely a clock can be read at all: a standard deviation in ns. 1 to 10⁸.
    ///
    /// Reason: a measurement over the loopback interface is about that good.
    ///
    /// Sensitivity: every change below 2 %.
    pub reading_ns: f64,
    /// Standard deviations from the prediction beyond which a measurement is an outlier. 2 to 100.
    ///
    /// Reason: a measurement with normal errors exceeds 5 less than once in a million times.
    ///
    /// Sensitivity: at 2.5, 95 % −3.9 %, requests +9.1 %; at 10, frequency error +5.6 %, requests
    /// +2.6 %.
    pub outlier_gate: f64,
    /// Measurements over which the stated variances are compared with those seen. 1 to 1000.
    ///
    /// Reason: long enough that one measurement does not decide, short enough to follow a path that
    /// becomes busy.
    ///
    /// Sensitivity: at 4, median +2.3 %; at 16, median +3.1 %, 95 % −2.2 %.
    pub excess_memory: f64,
    /// How many times larger than stated the variances can be. 1 to 10¹².
    ///
    /// Reason: a standard deviation that is a thousand times too small is a defect, not noise.
    ///
    /// Sensitivity: no change of 0.1 % or more.
    pub max_excess: f64,
    /// Outliers in a row after which the filter restarts. 2 to 16.
    ///
    /// Reason: two decide about an offset that changed, and two more let the wider frequency adapt.
    ///
    /// Sensitivity: no change of 0.1 % or more.
    pub max_outliers: u32,
    /// What the first outlier adds to the standard deviation of the frequency (as variances), in
    /// ppm; each next one in a row adds twice as much. 0 to 100.
    ///
    /// Reason: a frequency that changed by some ppm is learnt before the filter restarts.
    ///
    /// Sensitivity: at 0.5, median +4 %; at 2, below 2 %.
    pub outlier_widening_ppm: f64,
    /// Half of the width in which the offset is [expected](super::Discipline::expected), in
    /// standard deviations. 1 to 20.
    ///
    /// Reason: an expectation that is wrong costs a request or two.
    ///
    /// Sensitivity: at 2, below 2 %; at 8, median +2.1 %, 95 % −2.2 %.
    pub expected_stddevs: f64,
    /// The predicted standard deviation of the offset that is accepted whatever the target: so many
    /// of the last measurement's. 0 to 100.
    ///
    /// Reason: it limits the requests where measurements are noisy.
    ///
    /// Sensitivity: at 1, median −8.1 %, 95 % −3.4 %, frequency error −7.6 %, requests +37.5 %; at
    /// 4, median +2 %, requests −7.9 %.
    pub noise_accepted: f64,
    /// The next interval is at most so many times the last. 2 to 16.
    ///
    /// Reason: with 2, an hour is reached from 64 s in six measurements.
    ///
    /// Sensitivity: at 3, 95 % −12.8 %, requests −4.3 %; at 4, 95 % −10.3 %, requests −5.6 %.
    pub interval_growth: u32,
}

impl Tuning {
    /// The values that the library uses.
    pub const DEFAULT: Self = Self {
        wander_ppm: 0.3,
        initial_frequency_stddev_ppm: 50.0,
        restart_stddev_ppm: 0.5,
        reading_ns: 10_000.0,
        outlier_gate: 5.0,
        excess_memory: 8.0,
        max_excess: 1e6,
        max_outliers: 4,
        outlier_widening_ppm: 1.0,
        expected_stddevs: 4.0,
        noise_accepted: 2.0,
        interval_growth: 2,
    };

    /// Variance that the frequency gains in a nanosecond.
    pub(super) const fn wander(&self) -> f64 {
        self.wander_ppm * self.wander_ppm * PPM * PPM / (3600.0 * NANO)
    }

    /// Standard deviation of an unknown frequency, as a fraction.
    pub(super) const fn initial_stddev(&self) -> f64 {
        self.initial_frequency_stddev_ppm * PPM
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let within = |name: &str, value: f64, range: RangeInclusive<f64>| {
            check_range(&format!("{name} of the discipline"), value, range)
        };
        within("wander_ppm", self.wander_ppm, 1e-3..=100.0)?;
        within("initial_frequency_stddev_ppm", self.initial_frequency_stddev_ppm, 1.0..=1000.0)?;
        within("restart_stddev_ppm", self.restart_stddev_ppm, 0.0..=100.0)?;
        within("reading_ns", self.reading_ns, 1.0..=1e8)?;
        within("outlier_gate", self.outlier_gate, 2.0..=100.0)?;
        within("excess_memory", self.excess_memory, 1.0..=1000.0)?;
        within("max_excess", self.max_excess, 1.0..=1e12)?;
        within("max_outliers", self.max_outliers.into(), 2.0..=16.0)?;
        within("outlier_widening_ppm", self.outlier_widening_ppm, 0.0..=100.0)?;
        within("expected_stddevs", self.expected_stddevs, 1.0..=20.0)?;
        within("noise_accepted", self.noise_accepted, 0.0..=100.0)?;
        within("interval_growth", self.interval_growth.into(), 2.0..=16.0)
    }
}

impl Default for Tuning {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Standard deviation of a frequency of which nothing is known:
/// [`Tuning::initial_frequency_stddev_ppm`] by default.
pub const INITIAL_FREQUENCY_STDDEV: Frequency = Frequency::from_scaled_ppm(50 << 16);

#[cfg(test)]
mod tests {
    use super::super::Discipline;
    use super::*;

    #[test]
    fn a_constant_out_of_its_range_is_refused_by_name() {
        for (name, set) in [
            ("wander_ppm", (|tuning| tuning.wander_ppm = f64::NAN) as fn(&mut Tuning)),
            ("outlier_gate", |tuning| tuning.outlier_gate = 0.0),
            ("max_outliers", |tuning| tuning.max_outliers = 17),
        ] {
            let mut tuning = Tuning::default();
            set(&mut tuning);
            let error = Discipline::default().with_tuning(tuning).expect_err("out of range");
            assert!(error.to_string().contains(name), "{error}");
        }
        assert!(Discipline::default().with_tuning(Tuning::default()).is_ok());
        let initial = Frequency::from_ppm(Tuning::DEFAULT.initial_frequency_stddev_ppm);
        assert_eq!(initial, INITIAL_FREQUENCY_STDDEV);
    }
}
