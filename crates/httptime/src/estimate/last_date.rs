use std::time::Duration;

use super::{Estimate, Estimator, uniform_half_width};
use crate::observation::Observation;
use crate::time::Offset;

/// The `Date` of the last response, compared with the clock at its arrival: what
/// `date -s "$(curl -sI …)"` does. For comparison.
///
/// The result is low by half a second on average, because the second of the date had already begun,
/// and also by the delay of the return path. Neither is compensated. The standard deviation
/// contains 68 % of the error, including the bias: 0.68 of a second (plus the round trip). Twice of
/// it contains everything, as for any uniform distribution.
#[derive(Debug, Clone, Default)]
pub struct LastDate {
    last: Option<(Offset, Duration)>,
}

impl Estimator for LastDate {
    fn name(&self) -> &'static str {
        "last_date"
    }

    fn absorb(&mut self, observation: &Observation) {
        self.last = Some((observation.lower(), observation.round_trip()));
    }

    fn estimate(&self) -> Option<Estimate> {
        let (offset, round_trip) = self.last?;
        Some(Estimate::new(offset, 2 * uniform_half_width(Duration::from_secs(1) + round_trip)))
    }
}
