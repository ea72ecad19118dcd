use std::time::Duration;

use crate::evidence::{AgedEvidence, Evidence, drift};
use crate::observation::Observation;
use crate::progress::TYPICAL_DRIFT_PPM;
use crate::round_trips::LatestRoundTrips;
use crate::time::{
    Interval, LocalInstant, Offset, duration_to_nanos, f64_to_nanos, nanos_to_duration,
};

/// Marzullo's intersection of every exchange's interval, taken without lag and widened by [`TYPICAL_DRIFT_PPM`] times
/// its age, and the two exchanges that make its ends.
#[derive(Debug, Clone)]
pub(super) struct Edges {
    known: AgedEvidence,
    lower: Edge,
    upper: Edge,
    trips: LatestRoundTrips,
}

/// The exchange that makes an end.
#[derive(Debug, Clone, Copy)]
struct Edge {
    round_trip: Duration,
    received: LocalInstant,
}

impl Edges {
    pub(super) fn absorb(edges: &mut Option<Self>, observation: &Observation) {
        let edge = Edge { round_trip: observation.round_trip(), received: observation.received() };
        let proved = Evidence::new(observation.lower(), observation.upper_without_lag());
        let edges = edges.get_or_insert_with(|| Self {
            known: AgedEvidence::new(proved, edge.received, TYPICAL_DRIFT_PPM),
            lower: edge,
            upper: edge,
            trips: LatestRoundTrips::new(),
        });
        edges.trips.insert(duration_to_nanos(edge.round_trip));
        let narrowed = edges.known.narrow(proved, edge.received);
        if narrowed.lower {
            edges.lower = edge;
        }
        if narrowed.upper {
            edges.upper = edge;
        }
    }

    /// From one end to the other; when they contradict each other, the contradiction.
    pub(super) fn interval(&self) -> Interval {
        self.known.evidence().hull()
    }

    /// What is left between the ends if each way takes at least half of [`base`](Self::base), or else by how much they
    /// then contradict each other.
    pub(super) fn width_beyond_base(&self) -> Result<Duration, Duration> {
        let excess = self.known.evidence().width().saturating_sub(self.base().into());
        if excess >= Offset::ZERO { Ok(excess.abs()) } else { Err(excess.abs()) }
    }

    /// A round trip when nothing queues: a little less than the shortest one seen.
    pub(super) fn base(&self) -> Duration {
        nanos_to_duration(f64_to_nanos(
            (self.trips.trips().shortest() - self.trips.trips().shortest_excess()).max(0.0),
        ))
    }

    /// The width of an even distribution that holds as much as the errors of the interval's middle do, if the ways are alike.
    ///
    /// Less than is left between the ends, since near either queueing is more often short than long; more where the ends
    /// contradict each other, or where one of them is old: all answers since then said the same, as they do when the clocks
    /// drift apart.
    pub(super) fn uniform_width(&self) -> Duration {
        let queueing = nanos_to_duration(f64_to_nanos(self.trips.trips().queueing()));
        let width = match self.width_beyond_base() {
            Ok(excess) => {
                let trim = (excess / 2).min(MAX_TRIM_QUEUEING * queueing);
                (excess - trim).max(queueing.mul_f64(MIN_WIDTH_QUEUEING))
            }
            Err(contradiction) => {
                queueing.mul_f64(MIN_WIDTH_QUEUEING) + CONTRADICTION_FACTOR * contradiction
            }
        };
        let oldest = self.lower.received.min(self.upper.received);
        width
            + DRIFT_FACTOR
                * drift(self.known.at().saturating_since(oldest), TYPICAL_DRIFT_PPM).abs()
    }

    /// How much longer than [`base`](Self::base) the exchanges that make the lower and the upper end took.
    pub(super) fn slacks(&self) -> (Duration, Duration) {
        let base = self.base();
        (self.lower.round_trip.saturating_sub(base), self.upper.round_trip.saturating_sub(base))
    }
}

// All fitted in simulation, to hold 68 and 95 % over the plain worlds of httptime-sim.
/// How much of what is left between the ends is as good as ruled out, in units of the mean queueing; half of it at most.
const MAX_TRIM_QUEUEING: u32 = 3;
/// The least that is unknown, in units of the mean queueing.
const MIN_WIDTH_QUEUEING: f64 = 0.3;
/// How much wider than a contradiction the truth may lie about it: where two exchanges are seen to be wrong, others are
/// wrong unseen.
const CONTRADICTION_FACTOR: u32 = 2;
/// How much an end's age counts, in units of [`TYPICAL_DRIFT_PPM`].
const DRIFT_FACTOR: u32 = 3;
