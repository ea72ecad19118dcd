use std::time::Duration;

use super::{Estimate, Estimator, uniform_half_width};
use crate::observation::Observation;
use crate::time::Offset;

/// The `Date` of the last response against the clock when it came: what `date -s "$(curl -sI …)"` does.
///
/// Here to be compared with. It is low by half a second on average, and by the response's way back: the date's own
/// second had already begun, and nothing makes up for it. The standard deviation holds 68 % of its error, bias included: 0.68 of
/// a second (and the round trip). Its double holds all, as with any even distribution.
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
