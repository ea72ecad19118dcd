//! The limit of accuracy: the error of an oracle that knows the path exactly and receives one bit
//! per response, compared with the best of as many NTP exchanges.
//! `cargo run --release -p httptime-benches --bin limit [REQUESTS [QUEUEING_MS]]` [default: 32
//! requests, 0.05 ms as in the world lan]. It takes a minute. With `two` as the third argument the
//! oracle also looks two requests ahead: five minutes.
//!
//! The oracle knows the base round trip and the mean queueing. Its first requests halve the
//! interval to about 40 times the mean queueing without any loss. Then it keeps the exact posterior
//! and aims each request where the expected variance is smallest. A client must estimate base round
//! trip and queueing while it measures.
#![forbid(unsafe_code)]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of cells, and places among them"
)]

use fastrand::Rng;

const RUNS: u32 = 4000;
const EXCHANGES: u32 = 100_000;
/// Width of the interval after the requests in which nothing is lost, in units of the mean queueing
/// per direction.
const LEFT: f64 = 39.0;
const CELLS: usize = 192;
/// Candidates for looking two requests ahead: aims, counted as in [`Belief::best_aim`], and even
/// quantiles of the slack.
const COARSE_AIMS: [i32; 9] = [-2, 0, 1, 2, 3, 4, 5, 6, 8];
const COARSE_SLACKS: [f64; 4] = [0.609, 1.305, 2.118, 3.607];
const SEED: u64 = 20_261_124;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |otherwise: f64| {
        let given = arguments.next();
        given.map_or(otherwise, |text| text.parse().expect("a number"))
    };
    let (requests, queueing_ms) = (number(32.0) as u32, number(0.05));
    let two_ahead = std::env::args().nth(3).is_some_and(|word| word == "two");
    let mut random = Rng::with_seed(SEED);
    let slacks = gamma_quantiles();
    let ntp = (0..EXCHANGES).map(|_| best_exchange(&mut random, requests).abs()).collect();
    let second = 1000.0 / queueing_ms;
    let ours = (0..RUNS)
        .map(|_| oracle(&mut random, &slacks, second, requests, two_ahead).abs())
        .collect();
    let ((ours, median), (ntp, _)) = (rms_and_median(ours), rms_and_median(ntp));
    println!(
        "seed {SEED}, {RUNS} runs: RMS error {:.4} ms, median {:.4} ms; NTP's best of {requests} {:.4} ms, ratio {:.3}",
        ours * queueing_ms,
        median * queueing_ms,
        ntp * queueing_ms,
        ours / ntp
    );
}

fn rms_and_median(mut errors: Vec<f64>) -> (f64, f64) {
    errors.sort_by(f64::total_cmp);
    let squares: f64 = errors.iter().map(|error| error * error).sum();
    ((squares / errors.len() as f64).sqrt(), errors[errors.len() / 2])
}

/// The error of the exchange with the shortest round trip.
fn best_exchange(random: &mut Rng, requests: u32) -> f64 {
    let ways = (0..requests).map(|_| (exponential(random), exponential(random)));
    let best = ways.min_by(|one, other| (one.0 + one.1).total_cmp(&(other.0 + other.1)));
    best.map_or(0.0, |(there, back)| (there - back) / 2.0)
}

/// The error of the oracle's mean.
fn oracle(random: &mut Rng, slacks: &[f64], second: f64, requests: u32, two_ahead: bool) -> f64 {
    let halvings = (second / LEFT).log2().floor() as u32;
    let width = second / f64::from(1_u32 << halvings);
    let truth = width * (random.f64() - 0.5);
    let mut belief = Belief::even(-width / 2.0, width / 2.0);
    // The first request determines the second.
    for number in halvings + 1..requests {
        let last = number + 1 == requests;
        let at = if two_ahead && !last { belief.best_of_two() } else { belief.best_aim(slacks) };
        let (there, back) = (exponential(random), exponential(random));
        belief.learn(at, there + back, at + there >= truth);
    }
    belief.moments(|_| 1.0).1 - truth
}

/// A density over the instant of the flip.
struct Belief {
    low: f64,
    step: f64,
    density: [f64; CELLS],
}

impl Belief {
    fn even(low: f64, high: f64) -> Self {
        Self { low, step: (high - low) / CELLS as f64, density: [1.0; CELLS] }
    }

    fn place(&self, cell: usize) -> f64 {
        self.low + self.step * (cell as f64 + 0.5)
    }

    /// Mass, mean and variance, each place weighted by `likelihood`.
    fn moments(&self, likelihood: impl Fn(f64) -> f64) -> (f64, f64, f64) {
        let (mut mass, mut first, mut second) = (0.0, 0.0, 0.0);
        for (cell, density) in self.density.iter().enumerate() {
            let along = cell as f64 + 0.5;
            let part = density * likelihood(self.place(cell));
            mass += part;
            first += part * along;
            second += part * along * along;
        }
        let mean = first / mass.max(1e-300);
        let variance = (second / mass.max(1e-300) - mean * mean).max(0.0);
        (mass, self.low + self.step * mean, variance * self.step * self.step)
    }

    /// The aim with the smallest expected variance, of 31 places from 4.5 standard deviations
    /// before the mean to 2.25 after it.
    fn best_aim(&self, slacks: &[f64]) -> f64 {
        let (_, mean, variance) = self.moments(|_| 1.0);
        let aims = (-10..=20).map(|rank| mean - f64::from(rank) * 0.225 * variance.sqrt());
        let expected = |at: f64| -> f64 {
            let after = slacks.iter().map(|slack| {
                let new = self.moments(|flip| new_second_probability(at, *slack, flip));
                let old = self.moments(|flip| 1.0 - new_second_probability(at, *slack, flip));
                new.0 * new.2 + old.0 * old.2
            });
            after.sum()
        };
        aims.map(|at| (expected(at), at))
            .min_by(|one, other| one.0.total_cmp(&other.0))
            .map_or(mean, |best| best.1)
    }

    /// The aim with the smallest expected variance after this request and the next, both over
    /// coarser slacks and aims.
    fn best_of_two(&self) -> f64 {
        let (_, mean, variance) = self.moments(|_| 1.0);
        let aims = |mean: f64, variance: f64| {
            COARSE_AIMS.map(|rank| mean - f64::from(rank) * 0.225 * variance.sqrt())
        };
        let after_one_more = |belief: &Self| -> f64 {
            let (_, mean, variance) = belief.moments(|_| 1.0);
            let expected = aims(mean, variance).map(|at| {
                let after = COARSE_SLACKS.iter().map(|slack| {
                    let new = belief.moments(|flip| new_second_probability(at, *slack, flip));
                    let old = belief.moments(|flip| 1.0 - new_second_probability(at, *slack, flip));
                    new.0 * new.2 + old.0 * old.2
                });
                after.sum::<f64>()
            });
            expected.into_iter().fold(f64::INFINITY, f64::min)
        };
        let expected = aims(mean, variance).map(|at| {
            let after = COARSE_SLACKS.iter().flat_map(|slack| {
                [true, false].map(|new| {
                    let mut next = Self { density: self.density, ..*self };
                    for cell in 0..CELLS {
                        let new_second_probability =
                            new_second_probability(at, *slack, self.place(cell));
                        next.density[cell] *=
                            if new { new_second_probability } else { 1.0 - new_second_probability };
                    }
                    after_one_more(&next)
                })
            });
            (after.sum::<f64>(), at)
        });
        let best = expected.into_iter().min_by(|one, other| one.0.total_cmp(&other.0));
        best.map_or(mean, |best| best.1)
    }

    fn learn(&mut self, at: f64, slack: f64, new: bool) {
        for cell in 0..CELLS {
            let new_second_probability = new_second_probability(at, slack, self.place(cell));
            self.density[cell] *=
                if new { new_second_probability } else { 1.0 - new_second_probability };
        }
        let most = self.density.iter().copied().fold(0.0, f64::max);
        let left = |density: &f64| *density > 1e-9 * most;
        let first = self.density.iter().position(left).unwrap_or(0);
        let last = self.density.iter().rposition(left).unwrap_or(CELLS - 1);
        let mut zoomed =
            Self::even(self.place(first) - self.step / 2.0, self.place(last) + self.step / 2.0);
        for cell in 0..CELLS {
            zoomed.density[cell] = self.between(zoomed.place(cell)) / most;
        }
        *self = zoomed;
    }

    /// The density at a place, interpolated linearly between the centres of cells.
    fn between(&self, place: f64) -> f64 {
        let along = ((place - self.low) / self.step - 0.5).clamp(0.0, (CELLS - 1) as f64);
        let below = (along as usize).min(CELLS - 2);
        let share = along - below as f64;
        self.density[below] * (1.0 - share) + self.density[below + 1] * share
    }
}

/// The probability that the response has the new second, for a request that would be stamped at
/// `at` without queueing, with this slack divided evenly between the two directions.
fn new_second_probability(at: f64, slack: f64, flip: f64) -> f64 {
    (1.0 - (flip - at) / slack).clamp(0.0, 1.0)
}

/// Sixteen even quantiles of the slack, Gamma(2, 1), by bisection.
fn gamma_quantiles() -> Vec<f64> {
    let quantile = |share: f64| {
        let (mut low, mut high) = (0.0, 50.0);
        for _ in 0..60 {
            let middle: f64 = 0.5 * (low + high);
            if 1.0 - (1.0 + middle) * (-middle).exp() < share {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    };
    (0..16).map(|rank| quantile((f64::from(rank) + 0.5) / 16.0)).collect()
}

fn exponential(random: &mut Rng) -> f64 {
    -(1.0 - random.f64()).ln()
}
