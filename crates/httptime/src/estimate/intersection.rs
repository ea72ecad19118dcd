use std::time::Duration;

use super::{Estimate, Estimator, uniform_stddev};
use crate::observation::Observation;
use crate::progress::{TYPICAL_DRIFT_PPM, drift};
use crate::time::{Interval, LocalInstant, Offset};

/// The middle of what all exchanges together allow.
///
/// Marzullo's intersection (RFC 5905, section 11.2.1) of every exchange's interval, taken without lag and widened by
/// [`TYPICAL_DRIFT_PPM`] times its age. It is right to half a round trip however the round trip splits into its ways,
/// and needs no model of the path. When a lag that changes, or drift, makes the intervals contradict each other, the
/// estimate lies in the middle of the contradiction, whose width then stands in the standard deviation.
#[derive(Debug, Clone, Default)]
pub struct Intersection {
    edges: Option<Edges>,
}

#[derive(Debug, Clone, Copy)]
struct Edges {
    lower: Offset,
    upper: Offset,
    at: LocalInstant,
    shortest: Duration,
}

impl Edges {
    fn aged(self, at: LocalInstant) -> Self {
        let by = drift(at.saturating_since(self.at), TYPICAL_DRIFT_PPM);
        let (lower, upper) = (self.lower.saturating_sub(by), self.upper.saturating_add(by));
        Self { lower, upper, at, ..self }
    }
}

impl Estimator for Intersection {
    fn name(&self) -> &'static str {
        "intersection"
    }

    fn absorb(&mut self, observation: &Observation) {
        let seen = Edges {
            lower: observation.lower(),
            upper: observation.upper_without_lag(),
            at: observation.received(),
            shortest: observation.round_trip(),
        };
        self.edges = Some(self.edges.map_or(seen, |before| {
            let at = before.at.max(seen.at);
            let (before, seen) = (before.aged(at), seen.aged(at));
            Edges {
                lower: before.lower.max(seen.lower),
                upper: before.upper.min(seen.upper),
                at,
                shortest: before.shortest.min(seen.shortest),
            }
        }));
    }

    fn estimate(&self) -> Option<Estimate> {
        let Edges { lower, upper, shortest, .. } = self.edges?;
        let interval = Interval::between(lower, upper);
        let contradiction = if lower <= upper { Duration::ZERO } else { shortest };
        let spread = interval.width().saturating_add(contradiction);
        Some(Estimate::new(interval.midpoint(), uniform_stddev(spread)))
    }
}
