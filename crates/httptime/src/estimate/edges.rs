use std::time::Duration;

use crate::evidence::{AgedEvidence, Evidence, drift};
use crate::observation::Observation;
use crate::progress::TYPICAL_DRIFT_PPM;
use crate::round_trips::LatestRoundTrips;
use crate::time::{
    Interval, LocalInstant, Offset, duration_to_nanos, f64_to_nanos, nanos_to_duration,
};

/// Marzullo's intersection of every exchange's interval without lag, each widened by
/// [`TYPICAL_DRIFT_PPM`] times its age, and the two exchanges that determine its ends.
#[derive(Debug, Clone)]
pub(super) struct Edges {
    known: AgedEvidence,
    lower: Edge,
    upper: Edge,
    trips: LatestRoundTrips,
}

/// The exchange that determines an end.
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

    /// From the lower to the upper end. If they contradict each other: the gap between them.
    pub(super) fn interval(&self) -> Interval {
        self.known.evidence().hull()
    }

    /// The remaining width if each direction takes at least half of [`base`](Self::base). The error
    /// is the size of the contradiction, if there is one.
    pub(super) fn width_beyond_base(&self) -> Result<Duration, Duration> {
        let excess = self.known.evidence().width().saturating_sub(self.base().into());
        if excess >= Offset::ZERO { Ok(excess.abs()) } else { Err(excess.abs()) }
    }

    /// The round trip without queueing: a little less than the shortest one seen.
    pub(super) fn base(&self) -> Duration {
        nanos_to_duration(f64_to_nanos(
            (self.trips.trips().shortest() - self.trips.trips().shortest_excess()).max(0.0),
        ))
    }

    /// The width of the uniform distribution that matches the errors of the interval's middle, if
    /// the forward and return paths are equal.
    ///
    /// It is less than the remaining width, because the queueing at either end is more often short
    /// than long. It is more if the ends contradict each other or if one of them is old: then all
    /// later responses were consistent with it, as happens when the clocks drift apart.
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

    /// How much longer than [`base`](Self::base) the exchanges took that determine the lower and
    /// the upper end.
    pub(super) fn slacks(&self) -> (Duration, Duration) {
        let base = self.base();
        (self.lower.round_trip.saturating_sub(base), self.upper.round_trip.saturating_sub(base))
    }
}

// All constants were fitted in simulation, so that ±1 σ and ±2 σ contain 68 and 95 % over the plain
// worlds of httptime-sim.
/// The part of the remaining width that is improbable, in units of the mean queueing; at most half
/// of the width.
const MAX_TRIM_QUEUEING: u32 = 3;
/// The minimum of the spread, in units of the mean queueing.
const MIN_WIDTH_QUEUEING: f64 = 0.3;
/// The factor by which a contradiction widens the spread: if two exchanges are visibly wrong,
/// others are wrong invisibly.
const CONTRADICTION_FACTOR: u32 = 2;
/// The factor by which an end's age widens the spread, in units of [`TYPICAL_DRIFT_PPM`].
const DRIFT_FACTOR: u32 = 3;
