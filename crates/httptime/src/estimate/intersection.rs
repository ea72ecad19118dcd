use super::edges::Edges;
use super::{Estimate, Estimator, uniform_half_width};
use crate::observation::Observation;

/// The middle of what all exchanges together allow.
///
/// Marzullo's intersection (RFC 5905, section 11.2.1) of every exchange's interval, taken without lag and widened by
/// [`TYPICAL_DRIFT_PPM`](crate::progress::TYPICAL_DRIFT_PPM) times its age. The offset is right to half a round trip
/// however the round trip splits into its ways, and needs no model of the path. The standard deviation supposes that
/// the ways are alike, as everywhere: it is taken from what is left of the interval beyond one round trip without
/// queueing. When a lag that changes, or drift, leaves less than that or makes the intervals contradict
/// each other, the estimate lies in the middle, and what is missing stands in the standard deviation.
#[derive(Debug, Clone, Default)]
pub struct Intersection {
    edges: Option<Edges>,
}

impl Estimator for Intersection {
    fn name(&self) -> &'static str {
        "intersection"
    }

    fn absorb(&mut self, observation: &Observation) {
        Edges::absorb(&mut self.edges, observation);
    }

    fn estimate(&self) -> Option<Estimate> {
        let edges = self.edges.as_ref()?;
        Some(Estimate::new(edges.interval().midpoint(), uniform_half_width(edges.uniform_width())))
    }
}
