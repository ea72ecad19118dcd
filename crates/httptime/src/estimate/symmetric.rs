use std::time::Duration;

use super::edges::Edges;
use super::{Estimate, Estimator, uniform_half_width};
use crate::observation::Observation;
use crate::time::{Interval, Offset};

/// The middle of the intersection of all exchanges' intervals, if each direction takes at least
/// half of a round trip without queueing.
///
/// Cristian ("Probabilistic clock synchronization", Distributed Computing 3, 1989, doi
/// 10.1007/BF01784024): the uncertainty of a reading is the round trip minus twice the minimum
/// delay of one direction. Here that minimum is half of the shortest round trip (minus its
/// estimated queueing). Both ends of the interval of [`Intersection`](super::Intersection) move
/// inwards by it. The remaining width at an end is the queueing of the exchange that determined it,
/// of which on average half was in either direction: an end from a slow exchange has less weight.
///
/// The error is half of the difference of forward and return path without queueing. One exchange
/// that violates the model makes all later results wrong: [`Posterior`](super::Posterior) uses the
/// same model with a weight for every exchange.
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
        let stddev = uniform_half_width(edges.uniform_width());
        let Ok(left) = edges.width_beyond_base() else {
            return Some(Estimate::new(interval.midpoint(), stddev));
        };
        let (low, high) = edges.slacks();
        let inwards = |slack: Duration| Offset::from((edges.base() + slack.min(left)) / 2);
        let soft = Interval::between(
            interval.lower().saturating_add(inwards(low)),
            interval.upper().saturating_sub(inwards(high)),
        );
        Some(Estimate::new(soft.midpoint(), stddev))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::Exchange;
    use crate::server::Lag;
    use crate::time::{CrossTimestamp, LocalInstant, Timestamp};

    /// Arguments in microseconds; the local clock shows 5 s at zero.
    fn observation(sent: i64, received: i64, date: i64) -> Observation {
        let at = |micros: i64| LocalInstant::from_nanos(micros * 1000);
        let wall = Timestamp::from_unix_nanos(5_000_000_000);
        let cross_timestamp = CrossTimestamp::new(at(0), wall, Duration::ZERO);
        let date = Timestamp::from_unix_seconds(date).expect("in range");
        let exchange = Exchange::from_parts_unchecked(at(sent), at(received), date);
        Observation::new(cross_timestamp, &exchange, Lag::stated(Duration::ZERO)).expect("in order")
    }

    fn estimate(observations: &[Observation]) -> Estimate {
        let mut estimator = Symmetric::default();
        observations.iter().for_each(|observation| estimator.absorb(observation));
        estimator.estimate().expect("observations")
    }

    #[test]
    fn an_end_that_a_slow_exchange_made_counts_for_less() {
        // The second begins after a stamp at 0.999 s at the latest, and before one at 1.011 s at
        // the earliest.
        let quick = [observation(998_000, 1_000_000, 5), observation(1_010_000, 1_012_000, 6)];
        let slow = [observation(998_000, 1_000_000, 5), observation(1_002_000, 1_012_000, 6)];
        let (quick, slow) = (estimate(&quick), estimate(&slow));
        assert!(slow.offset() > quick.offset(), "{quick:?} {slow:?}");
    }

    #[test]
    fn a_contradiction_shows_in_the_standard_deviation() {
        let agreeing = [observation(999_000, 1_001_000, 5), observation(999_200, 1_001_200, 6)];
        let contradicting =
            [observation(1_009_000, 1_011_000, 5), observation(999_200, 1_001_200, 6)];
        assert!(estimate(&contradicting).stddev() > 3 * estimate(&agreeing).stddev());
    }
}
