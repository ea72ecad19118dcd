use crate::round_trips::{RoundTrips, usize_to_f64};

/// `N` base round trips, with weights that add up to one.
pub(super) struct Bases<const N: usize> {
    pub(super) base: [f64; N],
    pub(super) weight: [f64; N],
}

impl<const N: usize> Bases<N> {
    /// Bases at and below the shortest round trip, denser towards it.
    ///
    /// Each is weighted by how well the slacks fit Gamma(2, q). Of the slowest quarter only the
    /// fact that they are slower is used (a censored sample, so that a retransmission has no
    /// influence). q is log-uniform over a factor of four.
    pub(super) fn from_round_trips(trips: &RoundTrips) -> Self {
        let queueing = trips.queueing();
        let shortest = trips.shortest();
        let furthest = (6.0 * queueing / trips.sqrt_len()).min(shortest).max(1.0);
        let mut bases = Self { base: [0.0; N], weight: [0.0; N] };
        let mut logs = [0.0; N];
        for (rank, log) in logs.iter_mut().enumerate() {
            let along = (usize_to_f64(rank) + 0.5) / usize_to_f64(N);
            bases.base[rank] = shortest - furthest * along * along;
            *log = log_likelihood(trips.ascending(), bases.base[rank], queueing) + along.ln();
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

/// ln of ∫ dq Π Gamma(2, q)(slack) over the faster three quarters × P(slower) for the others.
fn log_likelihood(ascending: &[f64], base: f64, queueing: f64) -> f64 {
    let known = if ascending.len() < 4 { ascending.len() } else { ascending.len() * 3 / 4 };
    let known = known.max(1);
    let (mut sum, mut logs) = (0.0, 0.0);
    for some in ascending[..known].chunks(8) {
        // One logarithm for eight slacks.
        let mut product = 1.0_f64;
        for round_trip in some {
            let slack = round_trip - base + 0.02 * queueing;
            sum += slack;
            product *= slack / queueing;
        }
        logs += product.ln();
    }
    let cut = ascending[known - 1] - base;
    let slower = usize_to_f64(ascending.len() - known);
    let terms = QUEUEING_FACTORS.map(|factor| {
        let scale = factor * queueing;
        let beyond = cut / scale;
        -sum / scale - 2.0 * usize_to_f64(known) * factor.ln()
            + slower * ((1.0 + beyond).ln() - beyond)
    });
    let best = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    logs + best + terms.iter().map(|term| (term - best).exp()).sum::<f64>().ln()
}

/// The mean queueing, as multiples of the first estimate.
const QUEUEING_FACTORS: [f64; 7] = [0.5, 0.63, 0.79, 1.0, 1.26, 1.59, 2.0];
