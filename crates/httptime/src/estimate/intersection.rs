use std::time::Duration;

use super::{Estimate, Estimator, uniform_stddev};
use crate::observation::Observation;
use crate::time::{Interval, Offset};

/// The middle of what all exchanges together allow.
///
/// Marzullo's intersection (RFC 5905, section 11.2.1) of every exchange's interval, taken without lag. It is right to
/// half a round trip however the round trip splits into its ways, and needs no model of the path. When a lag that
/// changes, or drift, makes the intervals contradict each other, the estimate lies in the middle of the
/// contradiction, whose width then stands in the standard deviation.
#[derive(Debug, Clone, Default)]
pub struct Intersection {
    edges: Option<(Offset, Offset)>,
    shortest: Duration,
}

impl Estimator for Intersection {
    fn name(&self) -> &'static str {
        "intersection"
    }

    fn absorb(&mut self, observation: &Observation) {
        let (lower, upper) = (observation.lower(), observation.upper_without_lag());
        let round_trip = observation.round_trip();
        (self.edges, self.shortest) = match self.edges {
            None => (Some((lower, upper)), round_trip),
            Some((l, u)) => (Some((l.max(lower), u.min(upper))), self.shortest.min(round_trip)),
        };
    }

    fn estimate(&self) -> Option<Estimate> {
        let (lower, upper) = self.edges?;
        let interval = Interval::between(lower, upper);
        let spread = if lower <= upper {
            interval.width()
        } else {
            interval.width().saturating_add(self.shortest)
        };
        Some(Estimate::new(interval.midpoint(), uniform_stddev(spread)))
    }
}
