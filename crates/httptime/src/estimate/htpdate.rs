use std::time::Duration;

use super::edges::Edges;
use super::{Estimate, Estimator, uniform_half_width};
use crate::observation::Observation;
use crate::time::{NANOS_PER_SECOND, Offset, duration_to_nanos};

/// Bisection of the sub-second phase as htpdate does it, at its best.
///
/// Each exchange compares the `Date` with the local second at the middle of the round trip. The first gives the
/// difference in whole seconds; each later one says whether the server's second begins before or after the phase asked
/// at, which moves by a step that begins at half a second and halves each time. It learns one bit from each
/// exchange and forgets all else: an answer that queueing has turned round is never put right, and how fine it gets is
/// how many exchanges there were.
///
/// Source: the published behaviour of htpdate -p (start phase 2⁻ᵖ s, halving nap, half of the last round trip), without its
/// known defects. It means something only with exchanges asked for where [`aim`](Estimator::aim) says, which
/// is what the schedule [`Htpdate`](crate::schedule::Htpdate) does. Here to be compared with.
///
/// htpdate itself says nothing of its error. The standard deviation here is what the step still leaves open, or what
/// [`Intersection`](super::Intersection) leaves of the same exchanges, and how far from its middle the phase has come: that is
/// where an answer turned round early shows.
#[derive(Debug, Clone, Default)]
pub struct Htpdate {
    state: Option<State>,
    /// Only for the standard deviation.
    edges: Option<Edges>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// Date less local second, of the first exchange.
    seconds: i64,
    /// The local phase at which the server's second is thought to begin.
    phase: Offset,
    step: Duration,
}

impl Estimator for Htpdate {
    fn name(&self) -> &'static str {
        "htpdate"
    }

    fn absorb(&mut self, observation: &Observation) {
        Edges::absorb(&mut self.edges, observation);
        // The upper end is date + 1 s − the wall clock when it was sent.
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

// Both fitted in simulation, to hold 68 and 95 % over the plain worlds of httptime-sim.
/// How much of what the intersection leaves counts.
const INTERSECTION_SHARE: f64 = 0.6;
/// How much of the distance from its middle.
const MIDPOINT_DISTANCE_SHARE: f64 = 0.9;
