use std::time::Duration;

use super::edges::Edges;
use super::{Estimate, Estimator, uniform_half_width};
use crate::observation::Observation;
use crate::time::{NANOS_PER_SECOND, Offset, duration_to_nanos};

/// Bisection of the sub-second phase as in htpdate, without its known defects. For comparison.
///
/// Each exchange compares the `Date` with the local second at the middle of the round trip. The
/// first exchange gives the difference in whole seconds. Each later one shows whether the server's
/// second begins before or after the phase of the request. The phase then moves by a step that
/// begins at half a second and halves each time. The estimator learns one bit from each exchange
/// and keeps nothing else: a bit that queueing has inverted is never corrected, and the number of
/// exchanges determines the resolution.
///
/// Source: the published behaviour of htpdate -p (start phase 2⁻ᵖ s, halving step, half of the last
/// round trip). The estimator requires requests at the phase of [`aim`](Estimator::aim), which the
/// schedule [`Htpdate`](crate::schedule::Htpdate) sends.
///
/// htpdate itself reports no error. The standard deviation here is computed from three values: the
/// remaining step, the remaining width of [`Intersection`](super::Intersection) for the same
/// exchanges, and the distance of the phase from the middle of that width, which shows a bit that
/// was inverted early.
#[derive(Debug, Clone, Default)]
pub struct Htpdate {
    state: Option<State>,
    /// Used only for the standard deviation.
    edges: Option<Edges>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// Date minus local second, of the first exchange.
    seconds: i64,
    /// The local phase at which the server's second is estimated to begin.
    phase: Offset,
    step: Duration,
}

impl Estimator for Htpdate {
    fn name(&self) -> &'static str {
        "htpdate"
    }

    fn absorb(&mut self, observation: &Observation) {
        Edges::absorb(&mut self.edges, observation);
        // The upper end is date + 1 s − the wall clock at the time of sending.
        let wall = (observation.date().as_unix_nanos())
            .saturating_add(NANOS_PER_SECOND)
            .saturating_sub(observation.upper_without_lag().as_nanos());
        let round_trip = duration_to_nanos(observation.round_trip());
        let middle = wall.saturating_add(round_trip / 2);
        let date = observation.date().as_unix_nanos().div_euclid(NANOS_PER_SECOND);
        let seconds = date - middle.div_euclid(NANOS_PER_SECOND);
        let Some(state) = &mut self.state else {
            let phase = Offset::from_nanos(NANOS_PER_SECOND / 2);
            self.state = Some(State { seconds, phase, step: Duration::from_millis(250) });
            return;
        };
        let step = Offset::from(state.step);
        state.phase = if seconds == state.seconds {
            state.phase.saturating_add(step)
        } else {
            state.phase.saturating_sub(step)
        };
        state.step /= 2;
    }

    fn estimate(&self) -> Option<Estimate> {
        let State { seconds, phase, step } = self.state?;
        let offset = Offset::from_nanos((seconds + 1).saturating_mul(NANOS_PER_SECOND))
            .saturating_sub(phase);
        let edges = self.edges.as_ref()?;
        let open = (4 * step).max(edges.uniform_width().mul_f64(INTERSECTION_SHARE));
        let away = offset.saturating_sub(edges.interval().midpoint()).abs();
        Some(Estimate::new(
            offset,
            uniform_half_width(open) + away.mul_f64(MIDPOINT_DISTANCE_SHARE),
        ))
    }
}

// Both factors were fitted in simulation, so that ±1 σ and ±2 σ contain 68 and 95 % over the plain
// worlds of httptime-sim.
/// The factor of the remaining width of the intersection.
const INTERSECTION_SHARE: f64 = 0.6;
/// The factor of the distance from its middle.
const MIDPOINT_DISTANCE_SHARE: f64 = 0.9;
