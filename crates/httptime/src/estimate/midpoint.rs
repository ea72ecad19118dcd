use std::time::Duration;

use super::{Estimate, Estimator, uniform_half_width};
use crate::observation::Observation;
use crate::time::Interval;

/// The middle of the exchange with the shortest round trip.
///
/// Cristian, "Probabilistic clock synchronization", Distributed Computing 3 (1989), doi
/// 10.1007/BF01784024, for a clock that is read in whole seconds: the middle of the second, at the
/// middle of the round trip. The standard deviation contains 68 % of a uniform distribution over
/// the second and the round trip; twice of it contains everything.
#[derive(Debug, Clone, Default)]
pub struct Midpoint {
    best: Option<(Interval, Duration)>,
}

impl Estimator for Midpoint {
    fn name(&self) -> &'static str {
        "midpoint"
    }

    fn absorb(&mut self, observation: &Observation) {
        let round_trip = observation.round_trip();
        if self.best.is_none_or(|(_, best)| round_trip < best) {
            let interval = Interval::between(observation.lower(), observation.upper_without_lag());
            self.best = Some((interval, round_trip));
        }
    }

    fn estimate(&self) -> Option<Estimate> {
        let (interval, _) = self.best?;
        Some(Estimate::new(interval.midpoint(), uniform_half_width(interval.width())))
    }
}
