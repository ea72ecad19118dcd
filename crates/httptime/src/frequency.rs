//! How fast the clocks come apart, according to the responses themselves.
//!
//! At the frequency error f an observation at tᵢ proves lowerᵢ − f (tᵢ − t) ≤ θ(t) ≤ upperᵢ − f (tᵢ − t). The width that all of
//! them leave is a concave function of f. If the forward path never takes less than a, and the return path never less than b, the
//! width at the true frequency is at least a + b; frequencies that leave less are ruled out.

use std::time::Duration;

use crate::evidence::Evidence;
use crate::observation::Observation;
use crate::time::{LocalInstant, Offset, duration_to_nanos, nanos_to_f64};

/// The ends that the latest observations prove.
#[derive(Debug, Clone)]
pub(crate) struct LatestEnds {
    ends: [End; CAPACITY],
    len: usize,
    next: usize,
}

/// The ends of one observation, without lag.
#[derive(Debug, Clone, Copy)]
struct End {
    lower: Offset,
    upper: Offset,
    lag: Duration,
    at: LocalInstant,
}

impl LatestEnds {
    pub(crate) const fn new() -> Self {
        let none = End {
            lower: Offset::ZERO,
            upper: Offset::ZERO,
            lag: Duration::ZERO,
            at: LocalInstant::from_nanos(0),
        };
        Self { ends: [none; CAPACITY], len: 0, next: 0 }
    }

    pub(crate) fn insert(&mut self, observation: &Observation) {
        self.ends[self.next] = End {
            lower: observation.lower(),
            upper: observation.upper_without_lag(),
            lag: observation.lag().allowance(),
            at: observation.received(),
        };
        self.next = (self.next + 1) % CAPACITY;
        self.len = (self.len + 1).min(CAPACITY);
    }

    fn ends(&self) -> &[End] {
        &self.ends[..self.len]
    }

    /// The width that they leave at a frequency, in nanoseconds.
    fn width(&self, ppm: f64) -> f64 {
        let Some(first) = self.ends().first() else { return f64::INFINITY };
        let mut all = Evidence::<f64>::NONE;
        for end in self.ends() {
            let relative =
                |offset: Offset| nanos_to_f64(offset.saturating_sub(first.lower).as_nanos());
            let since = nanos_to_f64(end.at.as_nanos().saturating_sub(first.at.as_nanos()));
            all.narrow(
                Evidence::new(relative(end.lower), relative(end.upper)).moved(-ppm * 1e-6 * since),
            );
        }
        all.width()
    }

    /// The largest width that they leave at a frequency error of up to this, in nanoseconds: negative where they contradict each
    /// other at each of them. `None` while there are too few to say.
    pub(crate) fn width_within(&self, ppm: u32) -> Option<f64> {
        let ppm = f64::from(ppm);
        (self.len >= FEWEST).then(|| self.width(self.widest(-ppm, ppm)))
    }

    /// The largest frequency error, either way, that leaves as much as `shortest`, where none of up to `allowed_ppm` does. `None`
    /// where one does, and where no frequency at all explains the responses.
    pub(crate) fn excess_ppm(&self, shortest: Duration, allowed_ppm: u32) -> Option<u32> {
        let needed = nanos_to_f64(duration_to_nanos(shortest));
        if self.width_within(allowed_ppm)? >= needed {
            return None;
        }
        let top = self.widest(-LARGEST_PPM, LARGEST_PPM);
        if self.width(top) < needed {
            return None;
        }
        // Bisection to the end on the far side of zero.
        let (mut inside, mut outside) = (top, LARGEST_PPM.copysign(top));
        for _ in 0..STEPS {
            let middle = f64::midpoint(inside, outside);
            if self.width(middle) >= needed { inside = middle } else { outside = middle }
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the largest"
        )]
        Some(inside.abs().ceil() as u32)
    }

    /// The frequency between these two that leaves most: golden section, since the width is concave.
    fn widest(&self, mut low: f64, mut high: f64) -> f64 {
        for _ in 0..STEPS {
            let (left, right) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
            if self.width(left) < self.width(right) { low = left } else { high = right }
        }
        f64::midpoint(low, high)
    }

    /// What they prove of the offset at the latest of them, if the clocks come apart no faster than that.
    pub(crate) fn bounds(&self, drift_ppm: u32, at: LocalInstant) -> Option<Evidence> {
        let aged = |end: &End| {
            let upper = end.upper.saturating_add(end.lag.into());
            let age = at.saturating_since(end.at);
            Evidence::new(end.lower, upper).aged(age, drift_ppm)
        };
        let mut ends = self.ends().iter().map(aged);
        let mut all = ends.next()?;
        for evidence in ends {
            all.narrow(evidence);
        }
        Some(all)
    }
}

const CAPACITY: usize = 64;
/// Two flips and something between them.
const FEWEST: usize = 6;
/// Beyond the largest drift that can be allowed for.
const LARGEST_PPM: f64 = 12_000.0;
/// 1 ppm of 24,000 by golden section and by bisection.
const STEPS: u32 = 24;
/// (√5 − 1) / 2.
const GOLDEN: f64 = 0.618_033_988_749_894_9;
