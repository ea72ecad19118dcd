use super::PosteriorTuning;
use crate::round_trips::{RoundTrips, f64_to_usize, usize_to_f64};

/// `N` base round trips, with weights that add up to one.
pub(super) struct Bases<const N: usize> {
    pub(super) base: [f64; N],
    pub(super) weight: [f64; N],
}

impl<const N: usize> Bases<N> {
    /// Bases at and below the shortest round trip, denser towards it.
    ///
    /// Each is weighted by how well the slacks fit Gamma(2, q), where q is log-uniform. The slowest
    /// exchanges are a censored sample: known only to be slower, so that a retransmission has no
    /// influence.
    pub(super) fn from_round_trips(trips: &RoundTrips, tuning: &PosteriorTuning) -> Self {
        let queueing = trips.queueing();
        let shortest = trips.shortest();
        let furthest = (tuning.base_reach * queueing / trips.sqrt_len()).min(shortest).max(1.0);
        let mut bases = Self { base: [0.0; N], weight: [0.0; N] };
        let mut logs = [0.0; N];
        let exponent = tuning.queueing_spread.log2();
        let path = Path {
            ascending: trips.ascending(),
            queueing,
            factors: QUEUEING_FACTORS.map(|factor| factor.powf(exponent)),
            exact_share: tuning.exact_share,
        };
        for (rank, log) in logs.iter_mut().enumerate() {
            let along = (usize_to_f64(rank) + 0.5) / usize_to_f64(N);
            bases.base[rank] = shortest - furthest * along * along;
            *log = path.log_likelihood(bases.base[rank]) + along.ln();
        }
        let best = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        bases.weight = logs.map(|log| (log - best).exp());
        let total: f64 = bases.weight.iter().sum();
        bases.weight = bases.weight.map(|weight| weight / total);
        bases
    }

    /// The smallest base.
    pub(super) fn min_base(&self) -> f64 {
        self.base.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

/// What the likelihood of a base depends on.
struct Path<'a> {
    ascending: &'a [f64],
    /// First guess of the mean, and multiples of it to integrate over.
    queueing: f64,
    factors: [f64; QUEUEING_FACTORS.len()],
    exact_share: f64,
}

impl Path<'_> {
    /// ln of ∫ dq Π Gamma(2, q)(slack) over the faster exchanges × P(slower) for the others.
    fn log_likelihood(&self, base: f64) -> f64 {
        let Self { ascending, queueing, factors, exact_share } = *self;
        let len = ascending.len();
        let known = if len < 4 { len } else { f64_to_usize(usize_to_f64(len) * exact_share) };
        let known = known.max(1);
        let (mut sum, mut logs) = (0.0, 0.0);
        for some in ascending[..known].chunks(8) {
            // One logarithm for eight slacks.
            let mut product = 1.0_f64;
            for round_trip in some {
                let slack = round_trip - base + MIN_SLACK * queueing;
                sum += slack;
                product *= slack / queueing;
            }
            logs += product.ln();
        }
        let cut = ascending[known - 1] - base;
        let slower = usize_to_f64(len - known);
        let terms = factors.map(|factor| {
            let scale = factor * queueing;
            let beyond = cut / scale;
            -sum / scale - 2.0 * usize_to_f64(known) * factor.ln()
                + slower * ((1.0 + beyond).ln() - beyond)
        });
        let best = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        logs + best + terms.iter().map(|term| (term - best).exp()).sum::<f64>().ln()
    }
}

/// Mean queueing considered, as multiples of the first guess, if the spread is 2.
const QUEUEING_FACTORS: [f64; 7] = [0.5, 0.63, 0.79, 1.0, 1.26, 1.59, 2.0];
/// Added to each slack, in units of the queueing, so that none has the logarithm of 0.
pub(super) const MIN_SLACK: f64 = 0.02;
