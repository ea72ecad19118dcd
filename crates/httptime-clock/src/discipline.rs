//! Estimates the offset and the frequency error of a clock from one measurement to the next. It
//! does not change the clock: it returns by how much the caller should change it.

use std::time::Duration;

use httptime::{Error, Interval, LocalInstant, Offset};

use crate::frequency::Frequency;
use crate::policy::Reading;

mod tuning;

pub use self::tuning::{INITIAL_FREQUENCY_STDDEV, Tuning};

/// Estimates the offset and the frequency error of a clock from measurements that are minutes to
/// hours apart.
///
/// # Model
/// A Kalman filter over offset and frequency (Kalman 1960; for clocks: Zucca and Tavella, "The
/// clock model and its relationship with the Allan and related variances", IEEE Trans. UFFC 52,
/// 2005). Numbers are the defaults of [`Tuning`].
///
/// ```text
/// State        x = (θ, y): offset in ns, frequency error of the local clock in ns per ns (positive
///              if the local clock is slow);  P: covariance of x
/// Noise of y   random walk with variance Q per ns: dθ = y dt, dy = √Q dW;  Q = (0.3 ppm)² per hour
/// Prediction   over a time τ, with the matrix F = (1 τ; 0 1):
///              x⁻ = F x,  P⁻ = F P Fᵀ + Q (τ³/3 τ²/2; τ²/2 τ)
/// Measurement  z = θ + v,  v ~ N(0, R),  R = e σ² + (10 µs)²;  σ: its stated standard deviation
/// Update       ν = z − θ⁻,  S = P⁻θθ + R,  K = (P⁻θθ, P⁻θy) / S
///              x = x⁻ + K ν,  P = (I − K (1 0)) P⁻
/// Excess       e ← min(max(e (1 + (ν²/S − 1) / 8), 1), 10⁶)
/// Priors       θ: the first measurement, variance R;  y: 0, standard deviation 50 ppm;  e: 1
/// ```
///
/// The excess *e* is a factor by which the stated variances are too small. The filter learns it:
/// *e* grows if the measurements differ more from the prediction than their standard deviations
/// allow.
///
/// # Outliers
/// A measurement with ν² > 5² S is an outlier. It changes neither offset nor frequency, and is held
/// back until the next measurement. There are three cases. (Two values agree if they differ by at
/// most 5 standard deviations.)
///
/// - The next measurement agrees with the prediction. Then the outlier is forgotten.
/// - It agrees with the outlier. Then the clock was stepped, the machine slept, or the route has
///   changed. The filter sets the offset to this measurement, and keeps the frequency.
/// - It agrees with neither. Then it is an outlier too.
///
/// The frequency may really have changed. So each outlier in a row increases its standard
/// deviation: the first by 1 ppm, the second by 2 ppm, and the third by 4 ppm (added as variances).
///
/// After the fourth outlier in a row the filter restarts. It keeps the frequency, with a standard
/// deviation of 50 ppm. If it restarts again before it has accepted a measurement, the standard
/// deviation doubles, up to 1000 ppm. That is the whole range of the kernel's frequency, from −500
/// to 500 ppm. So the filter can correct any frequency that it learnt from a server whose clock was
/// wrong.
///
/// # When it changes the frequency
/// At the start the standard deviation of the frequency is [`INITIAL_FREQUENCY_STDDEV`], or a value
/// computed by [`start_from`](Self::start_from). This is the prior. The variance of the prior grows
/// by *Q* with time. [`frequency_correction`](Self::frequency_correction) returns a value once the
/// variance of the filter is below that of the prior at the same time. Then the measurements have
/// made the frequency more certain than it would be without them.
///
/// The comparison must include the growth. An example: measurements with a standard deviation of
/// 7 ms are an hour apart. The standard deviation of the frequency then settles at 0.6 ppm. The
/// prior of a saved frequency starts at 0.5 ppm. Without the growth of the prior, the frequency
/// would never be changed.
///
/// # When to measure again
/// The next interval is as long as possible, but at most twice the last one. At its end the
/// predicted standard deviation of the offset must be within the target. The target is
/// `target_stddev`, or twice the standard deviation of the last measurement if that is larger.
/// After an outlier and after a restart the interval is the shortest one.
#[derive(Debug, Clone)]
pub struct Discipline {
    tuning: Tuning,
    shortest: Duration,
    longest: Duration,
    target_stddev: Duration,
    prior_stddev: f64,
    /// The excess e, at least 1: the variances of the measurements divided by the stated ones.
    excess: f64,
    filter: Option<Filter>,
    outliers: Outliers,
    /// The number of restarts since the last accepted measurement.
    restarts: u32,
    interval: Duration,
}

/// How the discipline has used a measurement.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The first measurement, or the first after a restart.
    First,
    /// It agrees with the prediction. It has updated offset and frequency.
    Accepted,
    /// It is too far from the prediction. It is held back until the next measurement.
    Outlier,
    /// The offset has jumped: this measurement and the outlier before it agree. The frequency is
    /// kept.
    OffsetJumped,
}

/// The state of the Kalman filter: offset in nanoseconds and frequency error in nanoseconds per
/// nanosecond, with their variances and covariance.
#[derive(Debug, Clone, Copy)]
struct Filter {
    at: LocalInstant,
    offset: f64,
    frequency: f64,
    offset_variance: f64,
    covariance: f64,
    frequency_variance: f64,
    /// The variance of the prior: the variance that the frequency would have without any
    /// measurement since the filter started.
    prior_variance: f64,
}

/// The outliers in a row.
#[derive(Debug, Clone, Copy, Default)]
struct Outliers {
    count: u32,
    /// The time and the offset of the last one.
    last: Option<(LocalInstant, f64)>,
}

impl Default for Discipline {
    /// The discipline with the limits 64 s and one hour between measurements, and with a standard
    /// deviation of the predicted offset of at most 1 ms.
    fn default() -> Self {
        Self::new(Duration::from_secs(64), Duration::from_secs(3600), Duration::from_millis(1))
    }
}

impl Discipline {
    /// A discipline that asks for a measurement every `shortest` at first, and at least every
    /// `longest`. Within these limits it asks as rarely as possible, but so often that the
    /// predicted offset has a standard deviation of at most `target_stddev`.
    #[must_use]
    pub fn new(shortest: Duration, longest: Duration, target_stddev: Duration) -> Self {
        Self {
            tuning: Tuning::DEFAULT,
            shortest,
            longest: longest.max(shortest),
            target_stddev,
            prior_stddev: Tuning::DEFAULT.initial_stddev(),
            excess: 1.0,
            filter: None,
            outliers: Outliers::default(),
            restarts: 0,
            interval: shortest,
        }
    }

    /// The same discipline with other constants, for work on the model. Call it before the first
    /// measurement.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] names a constant that is out of its range.
    pub fn with_tuning(self, tuning: Tuning) -> Result<Self, Error> {
        tuning.check()?;
        Ok(Self { tuning, prior_stddev: tuning.initial_stddev(), ..self })
    }

    /// Changes the three values that were given to [`new`](Self::new). The state of the filter is
    /// kept.
    pub fn set_limits(&mut self, shortest: Duration, longest: Duration, target_stddev: Duration) {
        (self.shortest, self.longest, self.target_stddev) =
            (shortest, longest.max(shortest), target_stddev);
        self.interval = self.interval.clamp(self.shortest, self.longest);
    }

    /// Sets the prior of the frequency from a saved frequency, with which the clock runs now.
    /// `stddev`: its standard deviation when it was saved. `age`: the time since then. The prior
    /// also includes the random walk over the age, and 0.5 ppm for a restart of the machine. It is
    /// at most [`INITIAL_FREQUENCY_STDDEV`], and is that if the age is unknown (`None`).
    pub fn start_from(&mut self, stddev: Frequency, age: Option<Duration>) {
        let initial = self.tuning.initial_stddev();
        let Some(age) = age else {
            self.prior_stddev = initial;
            return;
        };
        let stddev = stddev.as_ppm() * PPM;
        let restart = self.tuning.restart_stddev_ppm * PPM;
        let wander = self.tuning.wander() * age.as_secs_f64() * NANO;
        let aged = stddev * stddev + restart * restart + wander;
        self.prior_stddev = aged.sqrt().min(initial);
    }

    /// Uses a measurement. Returns how it was used.
    pub fn absorb(&mut self, reading: &Reading) -> Verdict {
        let offset = f64_of(reading.offset);
        let noise = reading.stddev.as_secs_f64() * NANO;
        let tuning = self.tuning;
        let variance = self.excess * noise * noise + tuning.reading_ns * tuning.reading_ns;
        let gate = tuning.outlier_gate * tuning.outlier_gate;
        let Some(filter) = &mut self.filter else {
            return self.restart(reading.at, offset, variance, Verdict::First);
        };
        filter.predict(reading.at, tuning.wander());
        let innovation = offset - filter.offset;
        let surprise = innovation.powi(2) / (filter.offset_variance + variance);
        if surprise <= gate {
            filter.update(innovation, variance);
            let grown = self.excess * (1.0 + (surprise - 1.0) / tuning.excess_memory);
            self.excess = grown.max(1.0).min(tuning.max_excess);
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
            (offset - expected).powi(2) <= gate * spread
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
        if self.outliers.count >= tuning.max_outliers {
            let doublings = f64::from(1 << self.restarts.min(MAX_DOUBLINGS));
            let doubled = tuning.initial_frequency_stddev_ppm * doublings;
            self.prior_stddev = doubled.min(MAX_FREQUENCY_ERROR_PPM) * PPM;
            self.restarts = self.restarts.saturating_add(1);
            return self.restart(reading.at, offset, variance, Verdict::First);
        }
        let doublings = f64::from(1 << self.outliers.count);
        let more = tuning.outlier_widening_ppm * PPM * doublings / 2.0;
        filter.frequency_variance += more * more;
        filter.prior_variance += more * more;
        Verdict::Outlier
    }

    /// Reports that the caller has slewed or stepped the clock by this much.
    pub fn corrected(&mut self, by: Offset) {
        let by = f64_of(by);
        if let Some(filter) = &mut self.filter {
            filter.offset -= by;
        }
        if let Some((_, previous)) = &mut self.outliers.last {
            *previous -= by;
        }
    }

    /// Reports that the caller has changed the clock's frequency by this much.
    pub fn frequency_changed(&mut self, by: Frequency) {
        if let Some(filter) = &mut self.filter {
            filter.frequency -= by.as_ppm() * PPM;
        }
    }

    /// The frequency correction and its standard deviation. A negative correction makes the clock
    /// slower. `None` until measurements have made the frequency more certain than its prior, and
    /// while an outlier is held back.
    #[must_use]
    pub fn frequency_correction(&self) -> Option<(Frequency, Frequency)> {
        let filter = self.filter.as_ref().filter(|_| self.outliers.count == 0)?;
        (filter.frequency_variance < filter.prior_variance)
            .then(|| (Frequency::from_ppm(filter.frequency / PPM), self.frequency_stddev()))
    }

    /// The standard deviation of the frequency at the latest measurement. Before the first
    /// measurement, it is that of the prior.
    #[must_use]
    pub fn frequency_stddev(&self) -> Frequency {
        let stddev =
            self.filter.map_or(self.prior_stddev, |filter| filter.frequency_variance.sqrt());
        Frequency::from_ppm(stddev / PPM)
    }

    /// The interval in which the offset is expected at an instant: four standard deviations on each
    /// side of the prediction, plus 10 µs. `None` before the first measurement, and while an
    /// outlier is held back.
    #[must_use]
    pub fn expected(&self, at: LocalInstant) -> Option<Interval> {
        let mut filter = self.filter.filter(|_| self.outliers.count == 0)?;
        filter.predict(at, self.tuning.wander());
        let half = self.tuning.expected_stddevs * filter.offset_variance.sqrt();
        let seconds = (half + self.tuning.reading_ns) / NANO;
        let half = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        let offset = offset_of(filter.offset);
        Some(Interval::between(offset, offset).widened(half))
    }

    /// The time from the latest measurement to the next one.
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
        // The new prior of the frequency has the old mean, but a new variance.
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
        let allowed =
            (self.target_stddev.as_secs_f64() * NANO).max(self.tuning.noise_accepted * noise);
        let grown = self.interval.saturating_mul(self.tuning.interval_growth);
        let (mut interval, wander) = (grown.min(self.longest), self.tuning.wander());
        while interval > self.shortest && filter.uncertainty_after(interval, wander) > allowed {
            interval /= 2;
        }
        self.interval = interval.max(self.shortest);
    }
}

impl Filter {
    /// Advances the state to a later instant. `wander`: the variance that the frequency gains in a
    /// nanosecond.
    fn predict(&mut self, at: LocalInstant, wander: f64) {
        let elapsed = nanos_between(self.at, at);
        self.at = self.at.max(at);
        self.offset += self.frequency * elapsed;
        self.offset_variance += elapsed
            * (2.0 * self.covariance + elapsed * self.frequency_variance)
            + wander * elapsed.powi(3) / 3.0;
        self.covariance += elapsed * self.frequency_variance + wander * elapsed.powi(2) / 2.0;
        self.frequency_variance += wander * elapsed;
        self.prior_variance += wander * elapsed;
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

    /// The standard deviation of the predicted offset after this interval.
    fn uncertainty_after(mut self, interval: Duration, wander: f64) -> f64 {
        let nanos = i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX);
        self.predict(LocalInstant::from_nanos(self.at.as_nanos().saturating_add(nanos)), wander);
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
/// The largest possible frequency error, in parts per million: from one end of the kernel's range
/// to the other. Not a tuning constant.
const MAX_FREQUENCY_ERROR_PPM: f64 = 1000.0;
/// The maximum number of doublings at a restart. 50 ppm, doubled 8 times, is more than
/// [`MAX_FREQUENCY_ERROR_PPM`].
const MAX_DOUBLINGS: u32 = 8;

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
