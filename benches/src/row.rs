use std::time::Duration;

use httptime::Measurement;
use httptime_sim::{NtpSample, Outcome};

/// The results of one cell.
#[derive(Debug, Clone)]
pub struct Row {
    /// World, estimator, schedule and limits.
    pub names: [String; 4],
    /// Number of measurements.
    pub runs: u32,
    /// Absolute errors in milliseconds, ascending.
    errors: Vec<f64>,
    squares: f64,
    widths: Vec<f64>,
    seconds: Vec<f64>,
    requests: Vec<f64>,
    within_one: u32,
    within_two: u32,
    /// Measurements whose bounds contained no clock of the server.
    pub violations: u32,
    /// Measurements that ended with an error that rejects the
    /// `Date`, or with a result that reports a `Date` that never advanced ([`Verdict::Caught`]).
    ///
    /// [`Verdict::Caught`]: httptime_sim::Verdict::Caught
    pub caught: u32,
}

/// One measurement.
pub(crate) enum Run {
    Measured {
        error: Duration,
        stddev: Duration,
        width: Duration,
        holds: bool,
        requests: u32,
        elapsed: Duration,
    },
    Ntp {
        error: Duration,
        elapsed: Duration,
    },
    Caught,
}

impl Run {
    pub(crate) fn measured(measurement: &Measurement, outcome: &Outcome) -> Self {
        let bounds = measurement.bounds();
        Self::Measured {
            error: outcome.error(measurement.offset()).abs(),
            stddev: measurement.stddev(),
            width: bounds.width(),
            holds: outcome.is_held_by(bounds),
            requests: measurement.requests(),
            elapsed: measurement.elapsed(),
        }
    }

    pub(crate) fn ntp(sample: Option<NtpSample>, elapsed: Duration) -> Self {
        let error = sample.map_or(Duration::MAX, |sample| sample.error.abs());
        Self::Ntp { error, elapsed }
    }
}

impl Row {
    pub(crate) const fn new(names: [String; 4], runs: u32) -> Self {
        Self {
            names,
            runs,
            errors: Vec::new(),
            squares: 0.0,
            widths: Vec::new(),
            seconds: Vec::new(),
            requests: Vec::new(),
            within_one: 0,
            within_two: 0,
            violations: 0,
            caught: 0,
        }
    }

    pub(crate) fn add(&mut self, run: Run) {
        let (error, elapsed) = match run {
            Run::Measured { error, stddev, width, holds, requests, elapsed } => {
                self.within_one += u32::from(error <= stddev);
                self.within_two += u32::from(error <= 2 * stddev);
                self.violations += u32::from(!holds);
                self.widths.push(ms(width));
                self.requests.push(f64::from(requests));
                (error, elapsed)
            }
            Run::Ntp { error, elapsed } => (error, elapsed),
            Run::Caught => {
                self.caught += 1;
                return;
            }
        };
        self.errors.push(ms(error));
        self.squares += ms(error).powi(2);
        self.seconds.push(elapsed.as_secs_f64());
    }

    pub(crate) fn close(&mut self) {
        for values in [&mut self.errors, &mut self.widths, &mut self.seconds, &mut self.requests] {
            values.sort_unstable_by(f64::total_cmp);
        }
    }

    /// The quantile of the absolute error at this share, in milliseconds.
    #[must_use]
    pub fn error(&self, share: f64) -> f64 {
        quantile(&self.errors, share)
    }

    /// Root mean square of the errors, in milliseconds.
    #[must_use]
    pub fn rms(&self) -> f64 {
        (self.squares / length(&self.errors)).sqrt()
    }

    /// Median width of the bounds, in milliseconds.
    #[must_use]
    pub fn width(&self) -> f64 {
        quantile(&self.widths, 0.5)
    }

    /// Median duration of a measurement.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        quantile(&self.seconds, 0.5)
    }

    /// Median number of requests.
    #[must_use]
    pub fn requests(&self) -> f64 {
        quantile(&self.requests, 0.5)
    }

    /// The shares of errors within one and within two standard deviations.
    #[must_use]
    pub fn within(&self) -> (f64, f64) {
        let of = |count: u32| f64::from(count) / length(&self.widths);
        (of(self.within_one), of(self.within_two))
    }

    /// Whether the measurement is by HTTP, and so has bounds and a standard deviation.
    #[must_use]
    pub fn has_bounds(&self) -> bool {
        !self.widths.is_empty() || self.caught > 0
    }

    /// The share of measurements with a result whose bounds contained no clock of the server.
    #[must_use]
    pub fn missed(&self) -> f64 {
        f64::from(self.violations) / f64::from(self.runs)
    }
}

pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

pub(crate) fn length(values: &[f64]) -> f64 {
    f64::from(u32::try_from(values.len()).unwrap_or(u32::MAX))
}

/// Quantile by nearest rank.
pub(crate) fn quantile(ascending: &[f64], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length"
    )]
    let rank = (share * length(ascending)) as usize;
    ascending.get(rank.min(ascending.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}
