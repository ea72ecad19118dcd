use super::edges::Edges;
use super::{Estimate, Estimator, uniform_half_width};
use crate::observation::Observation;

/// The middle of the intersection of all exchanges' intervals.
///
/// Marzullo's intersection (RFC 5905, section 11.2.1) of every exchange's interval without lag,
/// each widened by [`TYPICAL_DRIFT_PPM`](crate::progress::TYPICAL_DRIFT_PPM) times its age. The
/// offset is correct to half a round trip, however the round trip splits into forward and return
/// path, and needs no model of the path. The standard deviation assumes that forward and return
/// path are equal: it is computed from the remaining width beyond one round trip without queueing.
/// If a variable lag or drift reduces the width below that, or makes the intervals contradict each
/// other, the estimate is the middle and the missing width is added to the standard deviation.
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
