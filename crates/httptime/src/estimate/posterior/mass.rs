use super::Belief;
use crate::round_trips::CLOCK_RESOLUTION_NS;

/// Evidence and unscaled moments of one or more hypotheses about a centre close by.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mass {
    pub(super) evidence: f64,
    first: f64,
    second: f64,
    third: f64,
    fourth: f64,
}

impl Mass {
    /// Adds a cell of a density: its value times its width, at this distance from the centre.
    pub(super) fn add_cell(&mut self, mass: f64, at: f64) {
        let square = at * at;
        self.evidence += mass;
        self.first += mass * at;
        self.second += mass * square;
        self.third += mass * at * square;
        self.fourth += mass * square * square;
    }

    pub(super) fn add(&mut self, other: Self, weight: f64) {
        self.evidence += weight * other.evidence;
        self.first += weight * other.first;
        self.second += weight * other.second;
        self.third += weight * other.third;
        self.fourth += weight * other.fourth;
    }

    /// The mean, and half of the width that contains as much as ±1 σ of a normal distribution.
    ///
    /// The undecided part of the distribution is flat, and a flat density contains 58 % within one
    /// standard deviation, not 68 %. The fourth moment shows how much flatter than a normal it is
    /// (excess −1.2 for a uniform density: × 1.18; −0.6 for a triangle: × 1.07).
    pub(super) fn mean_and_stddev(self) -> (f64, f64) {
        let mean = self.first / self.evidence;
        let second = self.second / self.evidence;
        let third = self.third / self.evidence;
        let fourth = self.fourth / self.evidence;
        let variance =
            (second - mean * mean).max(0.0) + CLOCK_RESOLUTION_NS * CLOCK_RESOLUTION_NS / 12.0;
        let central = fourth - 4.0 * mean * third + 6.0 * mean * mean * second - 3.0 * mean.powi(4);
        let flat = (3.0 - central / (variance * variance)).clamp(0.0, 1.3);
        (mean, variance.sqrt() * (1.0 + 0.08 * flat + 0.06 * flat * flat))
    }
}

/// Evidence and unscaled moments about a centre close by, as far as planning needs them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moments {
    pub(super) mass: f64,
    first: f64,
    second: f64,
}

impl Moments {
    pub(super) fn of<const T: usize>(density: &[f64; T], offsets: &[f64; T], centre: f64) -> Self {
        let step = offsets[1] - offsets[0];
        let mut sum = Self::default();
        for (value, offset) in density.iter().zip(offsets) {
            let at = offset - centre;
            sum.mass += value;
            sum.first += value * at;
            sum.second += value * at * at;
        }
        sum.second += sum.mass * step * step / 12.0;
        sum.scale(step);
        sum
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.mass += other.mass;
        self.first += other.first;
        self.second += other.second;
    }

    pub(super) fn scale(&mut self, by: f64) {
        self.mass *= by;
        self.first *= by;
        self.second *= by;
    }

    pub(super) fn belief(&self, centre: f64) -> Belief {
        if self.mass == 0.0 {
            // So far from the origin that floats do not distinguish one cell from the next.
            return Belief { mean: centre, stddev: CLOCK_RESOLUTION_NS };
        }
        let mean = self.first / self.mass;
        let variance = (self.second / self.mass - mean * mean).max(1.0);
        Belief { mean: centre + mean, stddev: variance.sqrt() }
    }
}

/// Half of the width, around the mean of the first of two normal parts, that contains 68.27 % of
/// both. The second part is at the distance `far` and has the standard deviation `wide`.
pub(super) fn mixture_stddev(share: f64, stddev: f64, far: f64, wide: f64) -> f64 {
    let held = |half: f64| {
        share * (normal_cdf(half / stddev) - normal_cdf(-half / stddev))
            + (1.0 - share) * (normal_cdf((half - far) / wide) - normal_cdf((-half - far) / wide))
    };
    let (mut low, mut high) = (0.5 * stddev, 4.0 * stddev + far.abs() + 2.0 * wide);
    for _ in 0..18 {
        let middle = 0.5 * (low + high);
        if held(middle) < 0.6827 {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// Page, "Approximations to the cumulative normal function", Applied Statistics 26 (1977): within
/// 0.0002.
fn normal_cdf(x: f64) -> f64 {
    1.0 / (1.0 + (-1.5976 * x - 0.070_565 * x * x * x).exp())
}
