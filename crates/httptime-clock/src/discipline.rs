//! Learns the frequency error of the clock from successive measurements. Pure: the caller changes
//! the clock.

use std::time::Duration;

use httptime::{Interval, LocalInstant, Offset};

use crate::frequency::Frequency;
use crate::policy::Reading;

/// Estimates the offset and the frequency error of a clock from measurements that are minutes to
/// hours apart.
///
/// # Model
/// A Kalman filter (Kalman 1960; for clocks: Zucca and Tavella, "The clock model and its
/// relationship with the Allan and related variances", IEEE Trans. UFFC 52, 2005). The state is the
/// offset θ and the frequency error f, with covariance P. The frequency does a random walk of
/// variance q per unit of time; √q is 0.3 ppm in an hour. After the time τ:
///
/// ```text
/// θ ← θ + f τ
/// P₁₁ ← P₁₁ + 2 τ P₁₂ + τ² P₂₂ + q τ³/3
/// P₁₂ ← P₁₂ + τ P₂₂ + q τ²/2
/// P₂₂ ← P₂₂ + q τ
/// ```
///
/// A measurement of the offset z with the standard deviation σ has the variance R = e σ² + r²,
/// where r = 10 µs is the resolution of reading a clock. With the innovation ν = z − θ and S =
/// P₁₁ + R:
///
/// ```text
/// θ ← θ + ν P₁₁/S        f ← f + ν P₁₂/S
/// e ← e (1 + (ν²/S − 1)/8), at least 1 and at most 10⁶
/// ```
///
/// The factor e is learnt: it is how much larger than stated the variances have been. So the first
/// measurements find the frequency to a few parts per million, and later ones refine it as the time
/// between them grows.
///
/// # Outliers
/// A reading with ν²/S > 5² is held back. If the next one fits the prediction, it was an outlier
/// and is dropped. If the next one fits the held reading instead, the clock was stepped or slept,
/// or the route has changed: the offset is set to the new reading, and the frequency is kept. Each
/// held reading increases the variance of the frequency, so that a real change of the frequency is
/// learnt. After four in a row the filter restarts. If that does not help, each further restart
/// doubles the standard deviation of the frequency's prior, up to the kernel's whole range: so a
/// frequency that was learnt from a lying server does not stay.
///
/// # When it steers
/// After a restart the frequency has a prior with the standard deviation
/// [`INITIAL_FREQUENCY_STDDEV`], or that of [`start_from`](Self::start_from). Without measurements
/// the variance would grow with the random walk, so the prior ages by the same walk. Measurements
/// steer the clock once the variance P₂₂ is smaller than that of the aged prior. Noisy measurements
/// would never beat a prior that did not age: for readings of 7 ms an hour apart the filter settles
/// at 0.6 ppm, above a saved frequency's 0.5 ppm.
///
/// # Interval
/// The next measurement follows after the longest interval, at most twice the last one, for which
/// the predicted standard deviation √P₁₁ of the offset is at most the required accuracy.
#[derive(Debug, Clone)]
pub struct Discipline {
    shortest: Duration,
    longest: Duration,
    target_stddev: Duration,
    prior_stddev: f64,
    /// The factor e: how much larger than stated the variances have been; at least 1.
    excess: f64,
    filter: Option<Filter>,
    outliers: Outliers,
    /// The number of restarts since a reading last fitted.
    restarts: u32,
    interval: Duration,
}

/// The discipline's verdict on a measurement.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The first measurement, or the first after a restart.
    First,
    /// It fits the prediction and refines offset and frequency.
    Accepted,
    /// It is too far from the prediction and is held back until the next one.
    Outlier,
    /// The offset has jumped, which two readings in a row show. The frequency is kept.
    OffsetJumped,
}

/// The state: offset in nanoseconds and frequency in nanoseconds per nanosecond, with their
/// covariance.
#[derive(Debug, Clone, Copy)]
struct Filter {
    at: LocalInstant,
    offset: f64,
    frequency: f64,
    offset_variance: f64,
    covariance: f64,
    frequency_variance: f64,
    /// The variance that the frequency would have without any measurement since the filter started.
    prior_variance: f64,
}

/// Consecutive readings that did not fit.
#[derive(Debug, Clone, Copy, Default)]
struct Outliers {
    count: u32,
    last: Option<(LocalInstant, f64)>,
}

impl Default for Discipline {
    /// 64 s to an hour between measurements; an accuracy of 1 ms.
    fn default() -> Self {
        Self::new(Duration::from_secs(64), Duration::from_secs(3600), Duration::from_millis(1))
    }
}

impl Discipline {
    /// A discipline that measures every `shortest` at first and at least every `longest`: as rarely
    /// as possible while the predicted offset has a standard deviation of at most `hold`.
    #[must_use]
    pub fn new(shortest: Duration, longest: Duration, target_stddev: Duration) -> Self {
        Self {
            shortest,
            longest: longest.max(shortest),
            target_stddev,
            prior_stddev: INITIAL_FREQUENCY_STDDEV.as_ppm() * PPM,
            excess: 1.0,
            filter: None,
            outliers: Outliers::default(),
            restarts: 0,
            interval: shortest,
        }
    }

    /// Changes the limits, and keeps the state.
    pub fn set_limits(&mut self, shortest: Duration, longest: Duration, target_stddev: Duration) {
        (self.shortest, self.longest, self.target_stddev) =
            (shortest, longest.max(shortest), target_stddev);
        self.interval = self.interval.clamp(self.shortest, self.longest);
    }

    /// Starts with a frequency that had the standard deviation `stddev` `age` ago. The random walk
    /// increases the deviation by the age. A frequency of unknown age (`None`) may have wandered
    /// any distance, so its deviation is [`INITIAL_FREQUENCY_STDDEV`].
    pub fn start_from(&mut self, stddev: Frequency, age: Option<Duration>) {
        let Some(age) = age else {
            self.prior_stddev = INITIAL_FREQUENCY_STDDEV.as_ppm() * PPM;
            return;
        };
        let stddev = stddev.as_ppm() * PPM;
        let aged = stddev * stddev
            + RESTART_STDDEV * RESTART_STDDEV
            + FREQUENCY_WANDER * age.as_secs_f64() * NANO;
        self.prior_stddev = aged.sqrt().min(INITIAL_FREQUENCY_STDDEV.as_ppm() * PPM);
    }

    /// Uses a measurement and returns the verdict on it.
    pub fn absorb(&mut self, reading: &Reading) -> Verdict {
        let offset = f64_of(reading.offset);
        let noise = reading.stddev.as_secs_f64() * NANO;
        let variance =
            self.excess * noise * noise + CLOCK_READING_STDDEV_NS * CLOCK_READING_STDDEV_NS;
        let Some(filter) = &mut self.filter else {
            return self.restart(reading.at, offset, variance, Verdict::First);
        };
        filter.predict(reading.at);
        let innovation = offset - filter.offset;
        let surprise = innovation.powi(2) / (filter.offset_variance + variance);
        if surprise <= OUTLIER_GATE * OUTLIER_GATE {
            filter.update(innovation, variance);
            self.excess =
                (self.excess * (1.0 + (surprise - 1.0) / EXCESS_MEMORY)).clamp(1.0, MAX_EXCESS);
            self.outliers = Outliers::default();
            self.restarts = 0;
            self.lengthen(noise);
            return Verdict::Accepted;
        }
        self.interval = self.shortest;
        let agrees = self.outliers.last.is_some_and(|(at, previous)| {
            let elapsed = nanos_between(at, reading.at);
            let expected = previous + filter.frequency * elapsed;
            let spread = 2.0 * variance + filter.frequency_variance * elapsed * elapsed;
            (offset - expected).powi(2) <= OUTLIER_GATE * OUTLIER_GATE * spread
        });
        if agrees {
            filter.offset = offset;
            filter.offset_variance = variance;
            filter.covariance = 0.0;
            self.outliers = Outliers::default();
            return Verdict::OffsetJumped;
        }
        self.outliers.count += 1;
        self.outliers.last = Some((reading.at, offset));
        if self.outliers.count >= MAX_OUTLIERS {
            let doubled = INITIAL_FREQUENCY_STDDEV.as_ppm()
                * f64::from(1 << self.restarts.min(MAX_DOUBLINGS));
            self.prior_stddev = doubled.min(MAX_FREQUENCY_ERROR_PPM) * PPM;
            self.restarts = self.restarts.saturating_add(1);
            return self.restart(reading.at, offset, variance, Verdict::First);
        }
        let more = PPM * f64::from(1 << self.outliers.count) / 2.0;
        filter.frequency_variance += more * more;
        filter.prior_variance += more * more;
        Verdict::Outlier
    }

    /// Reports that the clock was slewed or stepped by this much.
    pub fn corrected(&mut self, by: Offset) {
        let by = f64_of(by);
        if let Some(filter) = &mut self.filter {
            filter.offset -= by;
        }
        if let Some((_, previous)) = &mut self.outliers.last {
            *previous -= by;
        }
    }

    /// Reports that the clock's frequency was changed by this much.
    pub fn frequency_changed(&mut self, by: Frequency) {
        if let Some(filter) = &mut self.filter {
            filter.frequency -= by.as_ppm() * PPM;
        }
    }

    /// The frequency correction (negative: slower) and its standard deviation. `None` until
    /// measurements have made the frequency more certain than its prior, and while a reading is
    /// held back.
    #[must_use]
    pub fn frequency_correction(&self) -> Option<(Frequency, Frequency)> {
        let filter = self.filter.as_ref().filter(|_| self.outliers.count == 0)?;
        (filter.frequency_variance < filter.prior_variance)
            .then(|| (Frequency::from_ppm(filter.frequency / PPM), self.frequency_stddev()))
    }

    /// The standard deviation of the frequency at the latest measurement; before the first one,
    /// that of the prior.
    #[must_use]
    pub fn frequency_stddev(&self) -> Frequency {
        let stddev =
            self.filter.map_or(self.prior_stddev, |filter| filter.frequency_variance.sqrt());
        Frequency::from_ppm(stddev / PPM)
    }

    /// The expected offset at an instant, with four standard deviations on either side. `None`
    /// while a reading is held back.
    #[must_use]
    pub fn expected(&self, at: LocalInstant) -> Option<Interval> {
        let mut filter = self.filter.filter(|_| self.outliers.count == 0)?;
        filter.predict(at);
        let seconds = (4.0 * filter.offset_variance.sqrt() + CLOCK_READING_STDDEV_NS) / NANO;
        let half = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let offset = offset_of(filter.offset);
        Some(Interval::between(offset, offset).widened(half))
    }

    /// The time to wait for the next measurement.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    fn restart(
        &mut self,
        at: LocalInstant,
        offset: f64,
        offset_variance: f64,
        verdict: Verdict,
    ) -> Verdict {
        // The old frequency remains the mean of the prior, but not its variance.
        let frequency = self.filter.map_or(0.0, |filter| filter.frequency);
        let frequency_variance = self.prior_stddev * self.prior_stddev;
        self.filter = Some(Filter {
            at,
            offset,
            frequency,
            offset_variance,
            covariance: 0.0,
            frequency_variance,
            prior_variance: frequency_variance,
        });
        self.outliers = Outliers::default();
        self.interval = self.shortest;
        verdict
    }

    fn lengthen(&mut self, noise: f64) {
        let Some(filter) = &self.filter else { return };
        let allowed = (self.target_stddev.as_secs_f64() * NANO).max(2.0 * noise);
        let mut interval = self.interval.saturating_mul(2).min(self.longest);
        while interval > self.shortest && filter.uncertainty_after(interval) > allowed {
            interval /= 2;
        }
        self.interval = interval.max(self.shortest);
    }
}

impl Filter {
    fn predict(&mut self, at: LocalInstant) {
        let elapsed = nanos_between(self.at, at);
        self.at = self.at.max(at);
        self.offset += self.frequency * elapsed;
        self.offset_variance += elapsed
            * (2.0 * self.covariance + elapsed * self.frequency_variance)
            + FREQUENCY_WANDER * elapsed.powi(3) / 3.0;
        self.covariance +=
            elapsed * self.frequency_variance + FREQUENCY_WANDER * elapsed.powi(2) / 2.0;
        self.frequency_variance += FREQUENCY_WANDER * elapsed;
        self.prior_variance += FREQUENCY_WANDER * elapsed;
    }

    fn update(&mut self, innovation: f64, variance: f64) {
        let total = self.offset_variance + variance;
        let (on_offset, on_frequency) = (self.offset_variance / total, self.covariance / total);
        self.offset += on_offset * innovation;
        self.frequency += on_frequency * innovation;
        // Rounding must not make the variance negative.
        self.frequency_variance =
            (self.frequency_variance - on_frequency * self.covariance).max(0.0);
        self.covariance *= 1.0 - on_offset;
        self.offset_variance *= 1.0 - on_offset;
    }

    fn uncertainty_after(mut self, interval: Duration) -> f64 {
        let nanos = i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX);
        self.predict(LocalInstant::from_nanos(self.at.as_nanos().saturating_add(nanos)));
        self.offset_variance.sqrt()
    }
}

#[expect(clippy::cast_precision_loss, reason = "differences of a century keep a microsecond")]
fn f64_of(offset: Offset) -> f64 {
    offset.as_nanos() as f64
}

#[expect(clippy::cast_possible_truncation, reason = "float to integer conversion saturates")]
const fn offset_of(nanos: f64) -> Offset {
    Offset::from_nanos(nanos as i64)
}

fn nanos_between(earlier: LocalInstant, later: LocalInstant) -> f64 {
    later.saturating_since(earlier).as_secs_f64() * NANO
}

const NANO: f64 = 1e9;
const PPM: f64 = 1e-6;
/// The variance q of the frequency's random walk per nanosecond: 0.3 ppm in an hour. A crystal in a
/// room has about that with the temperature.
///
/// A random walk of variance q per second has the Allan deviation √(q τ / 3) (Zucca and Tavella
/// 2005). That is 0.11 ppm at 1500 s, where according to RFC 5905 (A.1.1, `ALLAN`) the wander of a
/// computer clock exceeds the noise of measurements, and 0.85 ppm at a day. chrony assumes that a
/// clock gains up to 1 ppm of frequency error between updates (`maxclockerror` [default: 1]).
const FREQUENCY_WANDER: f64 = 0.3 * 0.3 * PPM * PPM / 3.6e12;
/// The standard deviation of an unknown frequency: crystals are sold with ±100 ppm.
pub const INITIAL_FREQUENCY_STDDEV: Frequency = Frequency::from_scaled_ppm(50 << 16);
/// The largest possible frequency error in parts per million: from one end of the kernel's range to
/// the other.
const MAX_FREQUENCY_ERROR_PPM: f64 = 1000.0;
/// The number of doublings that exceeds it.
const MAX_DOUBLINGS: u32 = 8;
/// The standard deviation of the frequency change by a restart and its temperature change.
const RESTART_STDDEV: f64 = 0.5 * PPM;
/// The resolution r of reading a clock, in nanoseconds.
const CLOCK_READING_STDDEV_NS: f64 = 10_000.0;
/// A reading that is further away than this number of standard deviations is held back.
const OUTLIER_GATE: f64 = 5.0;
/// The number of readings over which the factor e is averaged.
const EXCESS_MEMORY: f64 = 8.0;
/// The limit of e: standard deviations that are a thousand times too small.
const MAX_EXCESS: f64 = 1e6;
/// The number of consecutive readings that are held back before a restart.
const MAX_OUTLIERS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_frequency_is_the_less_certain_the_longer_ago_it_was_saved() {
        for (hours, ppm) in [(0, 0.51), (1, 0.59), (168, 3.92), (1_000_000, 50.0)] {
            let mut discipline = Discipline::default();
            discipline
                .start_from(Frequency::from_ppm(0.1), Some(Duration::from_secs(hours * 3600)));
            let prior_stddev = discipline.prior_stddev / PPM;
            assert!((prior_stddev - ppm).abs() < 0.005, "{hours} h: {prior_stddev} ppm");
        }
    }

    #[test]
    fn a_frequency_of_unknown_age_is_unknown() {
        let mut discipline = Discipline::default();
        discipline.start_from(Frequency::from_ppm(0.1), None);
        assert_eq!(discipline.frequency_stddev(), INITIAL_FREQUENCY_STDDEV);
    }
}
