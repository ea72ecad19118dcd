use super::{PosteriorTuning, Sample};
use crate::round_trips::{CLOCK_RESOLUTION_NS, MAX_ROUND_TRIPS, usize_to_f64};

/// A route that changed: all round trips from one exchange on, or up to it, are longer by the same
/// excess.
///
/// How the excess divides into the two paths cannot be observed, but it is the same in every
/// exchange. If it counted as queueing, each exchange would divide it differently, and many
/// exchanges together would give a wrong offset with a small standard deviation.
#[derive(Debug, Clone, Copy)]
pub(super) struct RouteChange {
    /// The time between the last exchange of one route and the first of the other.
    change: f64,
    /// Whether the longer route is the later one.
    later: bool,
    excess: f64,
}

/// The exchanges on one side of a possible change.
#[derive(Debug, Clone, Copy)]
struct Side {
    shortest: f64,
    sum: f64,
    len: usize,
}

impl RouteChange {
    /// The change that stands out most from the queueing on either side, if one does.
    pub(super) fn find(samples: &[Sample], tuning: &PosteriorTuning) -> Option<Self> {
        let mut trips = [(0.0, 0.0); MAX_ROUND_TRIPS];
        for (trip, sample) in trips.iter_mut().zip(samples) {
            *trip = (sample.at, sample.round_trip);
        }
        let trips = &mut trips[..samples.len()];
        trips.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
        let mut after = [Side::EMPTY; MAX_ROUND_TRIPS + 1];
        for rank in (0..trips.len()).rev() {
            after[rank] = after[rank + 1].with(trips[rank].1);
        }
        let min_exchanges = usize::try_from(tuning.min_route_exchanges).unwrap_or(usize::MAX);
        let mut before = Side::EMPTY;
        let mut best = (tuning.max_step_probability.ln(), None);
        for rank in 1..trips.len() {
            before = before.with(trips[rank - 1].1);
            let after = after[rank];
            if before.len.min(after.len) < min_exchanges {
                continue;
            }
            let step = after.shortest - before.shortest;
            let slow = if step > 0.0 { after.len } else { before.len };
            let queued = step.abs() / before.queueing().max(after.queueing());
            let log_probability = usize_to_f64(slow) * ((1.0 + queued).ln() - queued);
            if log_probability < best.0 {
                let change = 0.5 * (trips[rank - 1].0 + trips[rank].0);
                best =
                    (log_probability, Some(Self { change, later: step > 0.0, excess: step.abs() }));
            }
        }
        best.1
    }

    /// An exchange as it would have been on the shorter route, if this share of the excess is on
    /// the forward path.
    pub(super) fn on_shorter_route(&self, sample: Sample, share: f64) -> Sample {
        if (sample.at > self.change) != self.later {
            return sample;
        }
        Sample {
            lower: sample.lower + (1.0 - share) * self.excess,
            upper: sample.upper - share * self.excess,
            round_trip: (sample.round_trip - self.excess).max(1.0),
            ..sample
        }
    }
}

impl Side {
    const EMPTY: Self = Self { shortest: f64::INFINITY, sum: 0.0, len: 0 };

    fn with(self, round_trip: f64) -> Self {
        Self {
            shortest: self.shortest.min(round_trip),
            sum: self.sum + round_trip,
            len: self.len + 1,
        }
    }

    /// The mean excess over the shortest round trip is twice the mean queueing of one path, less
    /// what the shortest queued.
    fn queueing(&self) -> f64 {
        (0.5 * (self.sum / usize_to_f64(self.len) - self.shortest)).max(CLOCK_RESOLUTION_NS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(round_trips: &[f64]) -> Vec<Sample> {
        let seen = round_trips.iter().zip(0_u32..);
        seen.map(|(round_trip, at)| Sample {
            round_trip: *round_trip,
            at: f64::from(at),
            ..Sample::default()
        })
        .collect()
    }

    fn find(round_trips: &[f64]) -> Option<RouteChange> {
        RouteChange::find(&seen(round_trips), &PosteriorTuning::DEFAULT)
    }

    #[test]
    fn a_step_is_found_upwards_and_downwards_and_undone_on_its_side_only() {
        let up = [20e6, 21e6, 20.5e6, 22e6, 30e6, 31e6, 30.5e6, 33e6];
        let down: Vec<f64> = up.iter().rev().copied().collect();
        for (trips, later) in [(&up[..], true), (&down[..], false)] {
            let route_change = find(trips).expect("a step");
            assert_eq!(
                (route_change.change, route_change.later, route_change.excess),
                (3.5, later, 10e6)
            );
            let undone =
                seen(trips).into_iter().map(|seen| route_change.on_shorter_route(seen, 0.3));
            let longest = undone.map(|seen| seen.round_trip).fold(0.0, f64::max);
            assert_eq!(longest, 23e6);
        }
    }

    #[test]
    fn queueing_and_bursts_are_no_step() {
        let queueing = [20e6, 24e6, 21e6, 29e6, 22e6, 23e6, 26e6, 21e6, 35e6, 22e6];
        let burst = [20e6, 21e6, 22e6, 20e6, 90e6, 210e6, 40e6, 150e6];
        assert!(find(&queueing).is_none());
        assert!(find(&burst).is_none());
        assert!(find(&[20e6, 20e6, 20e6, 90e6, 90e6]).is_none(), "too few");
    }
}
