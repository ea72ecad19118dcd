use super::mass::Moments;
use super::{Belief, Ends, Posterior, PosteriorTuning, StampPosition, cells};
use crate::round_trips::{f64_to_usize, usize_to_f64};

/// The cheap posterior, for aiming: one base round trip, no lag.
impl Posterior {
    /// Without a frequency error; over a few frequencies too if those explain the exchanges well
    /// enough.
    pub(super) fn quick_estimate(&self) -> Belief {
        let base = self.trips.shortest() - self.trips.shortest_excess();
        let (frequency, ends) = self.plausible_ends(base);
        let centre = 0.5 * (ends.lower + ends.upper);
        let plain = self.quick_moments::<48>(frequency, ends, base, centre);
        let PosteriorTuning {
            plain_weight, aim_min_frequency_effect, aim_min_frequency_share, ..
        } = self.tuning;
        if self.len < MIN_EXCHANGES_FOR_FREQUENCY
            || !self.is_frequency_observable(aim_min_frequency_effect)
            || frequency != 0.0
        {
            return plain.belief(centre);
        }
        let mut with_frequency = Moments::default();
        for (frequency, ends) in
            QUICK_FREQUENCIES.into_iter().zip(self.ends_at(QUICK_FREQUENCIES, base))
        {
            if ends.width() > 0.0 {
                with_frequency.add(&self.quick_moments::<12>(frequency, ends, base, centre));
            }
        }
        let number = usize_to_f64(QUICK_FREQUENCIES.len());
        with_frequency.scale((1.0 - plain_weight) / number / plain_weight);
        if with_frequency.mass > aim_min_frequency_share * plain.mass {
            with_frequency.add(&plain);
            return with_frequency.belief(centre);
        }
        plain.belief(centre)
    }

    fn quick_moments<const T: usize>(
        &self,
        frequency: f64,
        ends: Ends,
        base: f64,
        centre: f64,
    ) -> Moments {
        let Ends { lower: low, upper: high } = ends;
        let offsets: [f64; T] = cells(low, high);
        let mut density = [1.0_f64; T];
        let per_cell = usize_to_f64(T) / ends.width();
        let max_slack = self.tuning.aim_max_slack * self.trips.queueing();
        let least = self.tuning.aim_min_likelihood;
        for sample in self.samples() {
            let slack = sample.round_trip - base;
            if slack > max_slack {
                continue;
            }
            let shift = self.shift(sample, frequency);
            if let Some(quantum) = sample.quantum {
                let (upper, queueing) = (sample.upper - shift, self.trips.queueing());
                let position = StampPosition::new(upper, slack, base, 0.0, queueing);
                for (value, offset) in density.iter_mut().zip(&offsets) {
                    *value *= position.share(*offset, quantum).max(least);
                }
                continue;
            }
            let per_slack = 1.0 / (slack + 1.0);
            let full = sample.upper - shift - 0.5 * base;
            let empty = sample.lower - shift + 0.5 * base + slack;
            if full < high + slack {
                // Before these cells the probability is one.
                let falls = f64_to_usize((full - slack - low) * per_cell - 2.0).min(T);
                for (value, offset) in density[falls..].iter_mut().zip(&offsets[falls..]) {
                    *value *= ((full - offset) * per_slack).max(least).min(1.0);
                }
            } else if empty > low {
                // After these, too.
                let risen = f64_to_usize((empty - low) * per_cell + 2.0).min(T);
                for (value, offset) in density[..risen].iter_mut().zip(&offsets[..risen]) {
                    *value *= (1.0 - (empty - offset) * per_slack).max(least).min(1.0);
                }
            }
        }
        Moments::of(&density, &offsets, centre)
    }

    /// The ends without a frequency error. If they contradict each other: those at the middle of
    /// the frequencies at which they do not.
    fn plausible_ends(&self, base: f64) -> (f64, Ends) {
        let ends = self.ends(0.0, base);
        if ends.width() > 0.0 {
            return (0.0, ends);
        }
        let queueing = self.trips.queueing();
        let shortest = self.trips.shortest();
        let reach = self.tuning.aim_base_reach * queueing / self.trips.sqrt_len();
        let wide = shortest - reach.min(0.9 * shortest);
        let frequency = self.frequencies(wide).map_or(0.0, |(min, max)| 0.5 * (min + max));
        let ends = self.ends(frequency, wide);
        if ends.width() > 0.0 {
            return (frequency, ends);
        }
        (frequency, Ends::new(ends.upper - queueing, ends.lower + queueing))
    }
}

/// Frequencies that the cheap posterior considers beside none: resolution, not tuning.
const QUICK_FREQUENCIES: [f64; 4] = [-60e-6, -25e-6, 25e-6, 60e-6];
/// Fewer exchanges cannot tell a frequency from queueing.
const MIN_EXCHANGES_FOR_FREQUENCY: usize = 6;
