use super::edges::{DISTRUST, Edges};
use super::{Estimate, Estimator, uniform_half_width};
use crate::observation::Observation;
use crate::time::{Interval, Offset};

/// The middle of what all exchanges together allow if each way takes at least half of a round trip without queueing.
///
/// Cristian ("Probabilistic clock synchronization", Distributed Computing 3, 1989, doi 10.1007/BF01784024): a reading is
/// uncertain by the round trip less twice the least delay of one way, here half of the shortest round trip (less what
/// probably queued on it). Both ends of [`Intersection`](super::Intersection)'s interval move inwards by that. What is
/// left at an end is the queueing of the exchange that made it, of which half lay on either way on average: an end made
/// by a slow exchange counts for less.
///
/// It is wrong by half of what the two ways differ when nothing queues, and one exchange that breaks the model spoils
/// it for good: [`Posterior`](super::Posterior) is this with every exchange weighed.
#[derive(Debug, Clone, Default)]
pub struct Symmetric {
    edges: Option<Edges>,
}

impl Estimator for Symmetric {
    fn name(&self) -> &'static str {
        "symmetric"
    }

    fn absorb(&mut self, observation: &Observation) {
        Edges::absorb(&mut self.edges, observation);
    }

    fn estimate(&self) -> Option<Estimate> {
        let edges = self.edges.as_ref()?;
        let interval = edges.interval();
        let half = edges.base() / 2;
        let hard = match edges.beyond_base() {
            Ok(hard) => hard,
            Err(contradiction) => {
                let spread = edges.queueing() + DISTRUST * contradiction;
                return Some(Estimate::new(interval.midpoint(), uniform_half_width(spread)));
            }
        };
        let (low, high) = edges.slacks();
        let inwards = |slack: std::time::Duration| Offset::from(half + slack.min(hard) / 2);
        let soft = Interval::between(
            interval.lower().saturating_add(inwards(low)),
            interval.upper().saturating_sub(inwards(high)),
        );
        let spread = soft.width().max(edges.queueing());
        Some(Estimate::new(soft.midpoint(), uniform_half_width(spread)))
    }
}
