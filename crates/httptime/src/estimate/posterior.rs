use std::fmt;
use std::time::Duration;

use self::bases::Bases;
use self::mass::{Mass, mixture_stddev};
use self::route_change::RouteChange;
use super::{Estimate, Estimator};
use crate::evidence::Evidence;
use crate::observation::Observation;
use crate::round_trips::{CLOCK_RESOLUTION_NS, MAX_ROUND_TRIPS, RoundTrips, usize_to_f64};
use crate::time::{
    LocalInstant, Offset, duration_to_nanos, f64_to_nanos, nanos_to_duration, nanos_to_f64,
};

mod bases;
mod mass;
mod quick;
mod route_change;

/// The posterior distribution of the offset, from a model of how round trips split.
///
/// # Model
/// Exchange *i* has the round trip *rᵢ*, the interval *lowerᵢ* to *upperᵢ* (without lag), and the
/// age *aᵢ* at the instant of the estimate. The path has the base round trip *d* and the mean
/// queueing *q* per direction. Each direction takes *d*/2 plus its own queueing, which is
/// exponential with mean *q*. So the slack *sᵢ = rᵢ − d* is Gamma(2, *q*), and given *sᵢ* its part
/// on the forward path is uniform over [0, *sᵢ*]. With the ramp *R(x) = min(max(x, 0), 1)* the
/// likelihood of the offset θ is
///
/// ```text
/// L(θ | d, f, ℓ) = ∏ᵢ g(R((upperᵢ + f aᵢ − d/2 + ℓ − θ) / (sᵢ + ℓ)))
///                     · g(1 − R((lowerᵢ + f aᵢ + d/2 + sᵢ + ℓ − θ) / (sᵢ + ℓ)))
/// ```
///
/// for the hypothesis of a frequency error *f* and a lag of up to *ℓ*. Both are 0 in the plain
/// hypothesis. The ramps end in two hard ends, which make the error fall like 1/n (an NTP sample is
/// a location with noise: 1/√n).
///
/// - Base: *d* is integrated over (*r*min − 6 *q*/√n, *r*min]. *q* is integrated over a factor of
///   two on either side of its estimate, with a log-uniform prior. Of the slowest quarter of the
///   exchanges only the fact that they are slower is used (a censored sample).
/// - Odd exchanges: *g(p) = w + (1 − 2w) (φᵢ p + (1 − φᵢ) h(p))*, *w* = 0.0005. With probability
///   2*w* a response has no information, so that none can veto the others. φᵢ is the probability
///   that the slack is queueing and not a burst, a retransmission or a client that slept (prior
///   0.02, density 0.1 / (1 + 0.1 *x*)² of the slack in units of *q*). Such an exchange has no
///   information on how its slack splits: *h* is ½ between the hard ends, 0 and 1 beyond.
///
/// Each hypothesis *H* is integrated over θ to its evidence and multiplied by a weight. Only the
/// ratios of the weights matter; they do not add up to one:
///
/// | hypothesis | considered | weight |
/// |---|---|---|
/// | plain: *f* = 0, *ℓ* = 0 | if the hard ends do not contradict each other | 0.8 |
/// | frequency *f*, up to *M* = 100 ppm | from three exchanges on, once *M* times their span exceeds 0.02 *q* | density 0.2 (1 − \|*f*\|/*M*)/*M*, over the frequencies that the hard ends allow |
/// | a separate lag for each response, up to *ℓ* | from three exchanges on, if the limit of the [`Lag`](crate::server::Lag) exceeds *q*, and either exceeds 2 ms or the ends contradict each other | 0.05 · 0.4ᵏ for four *ℓ*, *k* = 0 to 3, in equal ratios from 2 *q* (or 1.1 times the contradiction, if that is more) to that limit, at most 25 ms |
/// | some exchanges are wrong | if the hard ends contradict each other | 0.05 |
///
/// Lag (uniform over [0, *ℓ*]) and forward slack (uniform over [0, *s*]) together have a
/// distribution of two parabolas with a straight line between them. It is approximated by one ramp
/// over *s + ℓ*: the error is at most 1/8, where *ℓ = s*.
///
/// While the plain hypothesis has more than 0.2 of the evidence, the estimate is its mean. When its
/// share falls below 0.9, the mean of the other hypotheses pulls the estimate, by at most two of
/// its standard deviations: a mean over all would depend on their far ends. Below 0.2 the estimate
/// is the mean over all hypotheses. The standard deviation is half of the width around the estimate
/// that contains 68.27 % of the distribution, with the weight 0.2 for the plain hypothesis, as much
/// as for all frequencies together: clocks often differ by some ppm.
///
/// If queueing explains a step in the round trips only with a probability below 10⁻⁶, the route has
/// changed. Then the hypotheses above are replaced by the plain one on the shorter route, averaged
/// over eight splits of the excess into forward and return path, with equal weights: the split
/// cannot be observed, but it is the same each time.
///
/// If the median round trip is 4 times the shortest and 20 ms longer, the server delays requests (a
/// rate limit, a queue of its own) before or after it stamps them. Then the excess of each round
/// trip over the shortest splits in the same way in all exchanges. The average is again over eight
/// splits, and also over the case that all of it is before the stamp, with the weight of the eight.
///
/// # Source
/// The ends are Cristian's ("Probabilistic clock synchronization", Distributed Computing 3, 1989,
/// doi 10.1007/BF01784024), with each direction at least half of the minimum. Exponential queueing
/// is the M/M/1 textbook path. Aiming at the posterior's middle is probabilistic bisection (Waeber,
/// Frazier, Henderson, "Bisection search with noisy responses", SIAM J. Control Optim. 51, 2013).
/// The combination is our own derivation.
///
/// # When it is wrong
/// - Forward and return path differ without queueing: the error is half of the difference, and
///   cannot be observed.
/// - The lag is constant: the error is the lag, and cannot be observed.
/// - The queueing never ends during the measurement: then *d* is too large and the ends are too
///   narrow.
///
/// The last 64 exchanges with the most information are stored. Nothing is allocated.
#[derive(Clone)]
pub struct Posterior {
    origin: Option<Origin>,
    samples: [Sample; MAX_ROUND_TRIPS],
    len: usize,
    trips: RoundTrips,
    /// The latest reception, and the largest limit of the lag.
    now: f64,
    lag: f64,
    belief: Belief,
}

/// The hard ends at one frequency and base, in nanoseconds from the origin.
type Ends = Evidence<f64>;

/// The origin of offsets and times, so that floats keep every nanosecond.
#[derive(Debug, Clone, Copy)]
struct Origin {
    offset: Offset,
    at: LocalInstant,
}

/// An observation, in nanoseconds from the origin.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    lower: f64,
    upper: f64,
    round_trip: f64,
    at: f64,
}

/// Mean and standard deviation, in nanoseconds from the origin.
#[derive(Debug, Clone, Copy, Default)]
struct Belief {
    mean: f64,
    stddev: f64,
}

/// A hypothesis to integrate over the offset.
#[derive(Debug, Clone, Copy)]
struct Hypothesis {
    frequency: f64,
    lag: f64,
    low: f64,
    high: f64,
    /// The centre of the moments.
    centre: f64,
}

impl fmt::Debug for Posterior {
    /// Only the number of exchanges: formatting floats would make small programs larger.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Posterior").field("exchanges", &self.len).finish_non_exhaustive()
    }
}

impl Default for Posterior {
    fn default() -> Self {
        Self {
            origin: None,
            samples: [Sample::default(); MAX_ROUND_TRIPS],
            len: 0,
            trips: RoundTrips::new(),
            now: 0.0,
            lag: 0.0,
            belief: Belief::default(),
        }
    }
}

impl Estimator for Posterior {
    fn name(&self) -> &'static str {
        "posterior"
    }

    fn absorb(&mut self, observation: &Observation) {
        let origin = *self
            .origin
            .get_or_insert(Origin { offset: observation.lower(), at: observation.received() });
        let sample = Sample::new(observation, origin);
        self.now = self.now.max(sample.at);
        self.lag = self.lag.max(nanos_to_f64(duration_to_nanos(observation.lag().allowance())));
        self.insert(sample);
        self.belief = self.quick_estimate();
    }

    fn aim(&self) -> Option<Estimate> {
        self.origin.map(|origin| self.belief.from(origin))
    }

    fn estimate(&self) -> Option<Estimate> {
        self.origin.map(|origin| self.full_estimate().from(origin))
    }
}

impl Sample {
    fn new(observation: &Observation, origin: Origin) -> Self {
        let relative =
            |offset: Offset| nanos_to_f64(offset.saturating_sub(origin.offset).as_nanos());
        let at = observation.received().as_nanos().saturating_sub(origin.at.as_nanos());
        Self {
            lower: relative(observation.lower()),
            upper: relative(observation.upper_without_lag()),
            round_trip: nanos_to_f64(duration_to_nanos(observation.round_trip()).max(1)),
            at: nanos_to_f64(at),
        }
    }
}

impl Belief {
    fn from(self, origin: Origin) -> Estimate {
        let offset = origin.offset.saturating_add(Offset::from_nanos(f64_to_nanos(self.mean)));
        let stddev: Duration = nanos_to_duration(f64_to_nanos(self.stddev.ceil()));
        Estimate::new(offset, stddev)
    }
}

/// Observations and the hard ends.
impl Posterior {
    fn samples(&self) -> &[Sample] {
        &self.samples[..self.len]
    }

    fn insert(&mut self, sample: Sample) {
        if self.len < MAX_ROUND_TRIPS {
            self.samples[self.len] = sample;
            self.len += 1;
            self.trips.insert(sample.round_trip);
        } else {
            let place = self.least_informative();
            self.trips.replace(self.samples[place].round_trip, sample.round_trip);
            self.samples[place] = sample;
        }
    }

    /// The exchange outside the fastest quarter whose ends matter least. If more exchanges are
    /// equally fast than the quarter can hold, each of those can be selected.
    fn least_informative(&self) -> usize {
        let Ends { lower: low, upper: high } = self.ends(0.0, 0.0);
        let slower = self.trips.ascending()[KEPT_FASTEST];
        let mut least = (f64::NEG_INFINITY, 0);
        for (place, sample) in self.samples().iter().enumerate() {
            let distance = (sample.upper - high).min(low - sample.lower);
            if distance > least.0 && sample.round_trip >= slower {
                least = (distance, place);
            }
        }
        least.1
    }

    /// The time from the earliest exchange to the latest.
    fn span(&self) -> f64 {
        self.now - self.samples().iter().map(|sample| sample.at).fold(self.now, f64::min)
    }

    /// The difference of the offset at an observation from the present one.
    fn shift(&self, sample: &Sample, frequency: f64) -> f64 {
        frequency * (sample.at - self.now)
    }

    fn ends(&self, frequency: f64, base: f64) -> Ends {
        let [ends] = self.ends_at([frequency], base);
        ends
    }

    fn ends_at<const N: usize>(&self, frequencies: [f64; N], base: f64) -> [Ends; N] {
        let mut all = [Ends::UNBOUNDED; N];
        for sample in self.samples() {
            for (ends, frequency) in all.iter_mut().zip(frequencies) {
                let shift = self.shift(sample, frequency);
                ends.narrow(Ends::new(sample.lower, sample.upper).shifted(-shift));
            }
        }
        all.map(|ends| ends.shrunk(0.5 * base))
    }

    /// The frequencies at which the ends do not contradict each other, if there are any. The width
    /// between the ends is concave in the frequency: golden-section search finds its maximum,
    /// bisection the limits on either side.
    fn frequencies(&self, base: f64) -> Option<(f64, f64)> {
        let width = |frequency: f64| self.ends(frequency, base).width();
        let (mut a, mut b) = (-MAX_FREQUENCY, MAX_FREQUENCY);
        let (mut left, mut right) = (b - GOLDEN_RATIO * (b - a), a + GOLDEN_RATIO * (b - a));
        let (mut at_left, mut at_right) = (width(left), width(right));
        for _ in 0..24 {
            if at_left > at_right {
                (b, right, at_right) = (right, left, at_left);
                left = b - GOLDEN_RATIO * (b - a);
                at_left = width(left);
            } else {
                (a, left, at_left) = (left, right, at_right);
                right = a + GOLDEN_RATIO * (b - a);
                at_right = width(right);
            }
        }
        let top = 0.5 * (a + b);
        if width(top) <= 0.0 {
            return None;
        }
        let edge = |mut inside: f64, mut outside: f64| {
            if width(outside) > 0.0 {
                return outside;
            }
            for _ in 0..14 {
                let middle = 0.5 * (inside + outside);
                if width(middle) > 0.0 {
                    inside = middle;
                } else {
                    outside = middle;
                }
            }
            inside
        };
        Some((edge(top, -MAX_FREQUENCY), edge(top, MAX_FREQUENCY)))
    }
}

/// The complete posterior.
impl Posterior {
    fn full_estimate(&self) -> Belief {
        if let Some(held) = self
            .is_holding_requests()
            .then(|| self.integrate_over_splits(HELD_BEFORE_STAMP_WEIGHT, &Self::without_hold))
            .flatten()
        {
            return held;
        }
        let route_change = RouteChange::find(self.samples());
        let rerouted = route_change.and_then(|route_change| {
            self.integrate_over_splits(0.0, &|route, share| {
                route.without_route_change(&route_change, share)
            })
        });
        rerouted.unwrap_or_else(|| self.full_on_one_route())
    }

    /// Whether most responses took so much longer than the fastest that no network explains it: the
    /// server delays requests.
    fn is_holding_requests(&self) -> bool {
        let (usual, shortest) = (self.trips.median(), self.trips.shortest());
        self.len >= 3 && usual > MIN_HELD_RATIO * shortest && usual - shortest > MIN_HELD_NS
    }

    /// The exchanges as if no request had been delayed, if this share of each one's excess over the
    /// fastest is before the stamp.
    fn without_hold(&self, share: f64) -> Self {
        let mut without_hold = Self { trips: RoundTrips::new(), ..self.clone() };
        let shortest = self.trips.shortest();
        for sample in &mut without_hold.samples[..self.len] {
            let held = sample.round_trip - shortest;
            sample.lower += (1.0 - share) * held;
            sample.upper -= share * held;
            sample.round_trip = shortest;
            without_hold.trips.insert(sample.round_trip);
        }
        without_hold
    }

    /// The average over the splits of the excess with equal weights, and over the case that all of
    /// it is before the stamp, with the weight `whole`. `remove_excess`: the exchanges without it,
    /// for this share before the stamp. `None` if none fits.
    fn integrate_over_splits(
        &self,
        whole: f64,
        remove_excess: &dyn Fn(&Self, f64) -> Self,
    ) -> Option<Belief> {
        let mut sum = Mass::default();
        let mut centre = None;
        let splits = (0..SPLITS).map(|rank| ((f64::from(rank) + 0.5) / f64::from(SPLITS), 1.0));
        let whole = (whole > 0.0).then_some((1.0, whole));
        for (share, weight) in splits.chain(whole) {
            let route = remove_excess(self, share);
            let bases: Bases<5> = Bases::from_round_trips(&route.trips);
            let ends = route.ends(0.0, bases.min_base());
            if ends.width() > 0.0 {
                let centre = *centre.get_or_insert(0.5 * (ends.lower + ends.upper));
                let plain = Hypothesis::plain(ends, centre);
                let queueing_probability = route.queueing_probabilities();
                sum.add(route.integrate::<64, 5>(&plain, &bases, &queueing_probability), weight);
            }
        }
        let centre = centre.filter(|_| sum.evidence > MIN_EVIDENCE)?;
        let (mean, stddev) = sum.mean_and_stddev();
        Some(Belief { mean: centre + mean, stddev })
    }

    fn without_route_change(&self, route_change: &RouteChange, share: f64) -> Self {
        let mut route = Self { trips: RoundTrips::new(), ..self.clone() };
        for sample in &mut route.samples[..self.len] {
            *sample = route_change.on_shorter_route(*sample, share);
            route.trips.insert(sample.round_trip);
        }
        route
    }

    /// The posterior for a single route.
    fn full_on_one_route(&self) -> Belief {
        let bases: Bases<10> = Bases::from_round_trips(&self.trips);
        let queueing_probability = self.queueing_probabilities();
        let ends = self.ends(0.0, bases.min_base());
        let centre = 0.5 * (ends.lower + ends.upper);
        let mut plain_mass = Mass::default();
        if ends.width() > 0.0 {
            let plain = Hypothesis::plain(ends, centre);
            plain_mass = self.integrate::<64, 10>(&plain, &bases, &queueing_probability);
        }
        let mut others = Mass::default();
        let coarse: Bases<5> = Bases::from_round_trips(&self.trips);
        self.add_frequencies(&mut others, centre, bases.min_base(), &coarse, &queueing_probability);
        self.add_lags(&mut others, ends, centre, &coarse, &queueing_probability);
        if ends.width() < 0.0 {
            // Nothing fits: integrate around the contradiction, with some exchanges completely
            // wrong.
            let pad = 0.5 * -ends.width() + self.trips.queueing();
            let around = Ends::new(ends.upper - pad, ends.lower + pad);
            let contradicting = Hypothesis::plain(around, centre);
            others
                .add(self.integrate::<64, 10>(&contradicting, &bases, &queueing_probability), 0.05);
        }
        combine(plain_mass, others, ends)
    }

    /// Adds hypotheses of a frequency error, over the frequencies that the ends allow. The prior is
    /// triangular and zero at ±[`MAX_FREQUENCY`].
    fn add_frequencies(
        &self,
        sum: &mut Mass,
        centre: f64,
        min_base: f64,
        bases: &Bases<5>,
        queueing_probability: &[f64; MAX_ROUND_TRIPS],
    ) {
        let is_frequency_observable = self.span() * MAX_FREQUENCY > 0.02 * self.trips.queueing();
        if self.len < 3 || !is_frequency_observable {
            return;
        }
        let Some((min, max)) = self.frequencies(min_base) else { return };
        let step = (max - min) / f64::from(FREQUENCIES);
        for rank in 0..FREQUENCIES {
            let frequency = min + step * (f64::from(rank) + 0.5);
            let ends = self.ends(frequency, min_base);
            if ends.width() > 0.0 {
                let with_frequency = Hypothesis { frequency, ..Hypothesis::plain(ends, centre) };
                let prior = (1.0 - PLAIN_WEIGHT) * step / MAX_FREQUENCY
                    * (1.0 - frequency.abs() / MAX_FREQUENCY);
                sum.add(
                    self.integrate::<24, 5>(&with_frequency, bases, queueing_probability),
                    prior,
                );
            }
        }
    }

    /// Adds hypotheses of a separate lag for each response. A schedule that always sends within the
    /// remaining uncertainty never sees such a lag, so it is never excluded if the server can have
    /// it.
    fn add_lags(
        &self,
        sum: &mut Mass,
        ends: Ends,
        centre: f64,
        bases: &Bases<5>,
        queueing_probability: &[f64; MAX_ROUND_TRIPS],
    ) {
        let queueing = self.trips.queueing();
        let max_lag = self.lag.min(MAX_LAG_NS);
        let contradiction = (-ends.width()).max(0.0);
        let possible = max_lag > queueing && (max_lag > MIN_LAG_NS || contradiction > 0.0);
        if self.len < 3 || !possible {
            return;
        }
        let mut lag = (2.0 * queueing).max(1.1 * contradiction).min(max_lag);
        let ratio = (max_lag / lag).cbrt();
        let mut prior = LAG_WEIGHT;
        for _ in 0..4 {
            let mut reach = ends.upper + lag;
            if contradiction > 0.0 {
                reach = reach.max(ends.lower + queueing);
            }
            let ends = Ends::new(ends.lower, reach);
            let with_lag = Hypothesis { lag, ..Hypothesis::plain(ends, centre) };
            sum.add(self.integrate::<48, 5>(&with_lag, bases, queueing_probability), prior);
            if ratio < 1.05 {
                break;
            }
            lag *= ratio;
            prior *= 0.4;
        }
    }

    /// For each exchange, the probability that its slack is queueing.
    fn queueing_probabilities(&self) -> [f64; MAX_ROUND_TRIPS] {
        let queueing = self.trips.queueing();
        let base = self.trips.shortest() - 0.5 * queueing / self.trips.sqrt_len();
        let mut probabilities = [1.0; MAX_ROUND_TRIPS];
        for (probability, sample) in probabilities.iter_mut().zip(self.samples()) {
            let slack = (sample.round_trip - base) / queueing;
            if slack > 1e-3 {
                let queued = (1.0 - OUTLIER_PRIOR) * slack * (-slack).exp();
                let not_queued = OUTLIER_PRIOR * 0.1 / ((1.0 + 0.1 * slack) * (1.0 + 0.1 * slack));
                *probability = queued / (queued + not_queued);
            }
        }
        probabilities
    }

    /// Integrates a hypothesis over `T` cells of the offset and `N` bases.
    fn integrate<const T: usize, const N: usize>(
        &self,
        hypothesis: &Hypothesis,
        bases: &Bases<N>,
        queueing_probability: &[f64; MAX_ROUND_TRIPS],
    ) -> Mass {
        let Hypothesis { low, high, centre, .. } = *hypothesis;
        let offsets: [f64; T] = cells(low, high);
        let mut density = [0.0; T];
        for (base, weight) in bases.base.iter().zip(&bases.weight) {
            if *weight > 1e-4 {
                let likelihood = self.likelihood(hypothesis, *base, &offsets, queueing_probability);
                for (sum, value) in density.iter_mut().zip(&likelihood) {
                    *sum += weight * value;
                }
            }
        }
        let step = (high - low) / usize_to_f64(T);
        let mut mass = Mass::default();
        for (value, offset) in density.iter().zip(&offsets) {
            mass.add_cell(value * step, offset - centre);
        }
        mass
    }

    fn likelihood<const T: usize>(
        &self,
        hypothesis: &Hypothesis,
        base: f64,
        offsets: &[f64; T],
        queueing_probability: &[f64; MAX_ROUND_TRIPS],
    ) -> [f64; T] {
        let Hypothesis { frequency, lag, low, high, .. } = *hypothesis;
        let mut likelihood = [1.0; T];
        for (sample, queueing_probability) in self.samples().iter().zip(queueing_probability) {
            let shift = self.shift(sample, frequency);
            let slack = sample.round_trip - base;
            let per_slack = 1.0 / (slack + lag + 1.0);
            let ramp = |share: f64| {
                let plateau = f64::from(u8::from(share > 0.0)) + f64::from(u8::from(share >= 1.0));
                HALF_UNINFORMATIVE
                    + (1.0 - 2.0 * HALF_UNINFORMATIVE)
                        * (queueing_probability * share
                            + 0.5 * (1.0 - queueing_probability) * plateau)
            };
            // The stamp is before the end of its second.
            let full = sample.upper - shift - 0.5 * base + lag;
            if full < high + slack + lag {
                for (value, offset) in likelihood.iter_mut().zip(offsets) {
                    *value *= ramp(((full - offset) * per_slack).clamp(0.0, 1.0));
                }
            }
            // The stamp is after its beginning.
            let empty = sample.lower - shift + 0.5 * base + slack + lag;
            if empty > low {
                for (value, offset) in likelihood.iter_mut().zip(offsets) {
                    *value *= ramp(1.0 - ((empty - offset) * per_slack).clamp(0.0, 1.0));
                }
            }
        }
        likelihood
    }
}

impl Hypothesis {
    const fn plain(ends: Ends, centre: f64) -> Self {
        Self { frequency: 0.0, lag: 0.0, low: ends.lower, high: ends.upper, centre }
    }
}

/// The plain hypothesis (no frequency error, no lag) gives the mean while it is plausible. As it
/// becomes less plausible, the other hypotheses pull the mean by at most [`MAX_PULL_STDDEVS`] of
/// its standard deviations. The standard deviation includes the others as if they were as probable
/// a priori as the plain one: most clocks differ by some ppm, and then the mean of the plain
/// hypothesis is wrong.
fn combine(plain: Mass, others: Mass, ends: Ends) -> Belief {
    let centre = 0.5 * (ends.lower + ends.upper);
    let mut sum = others;
    sum.add(plain, PLAIN_WEIGHT);
    if sum.evidence < MIN_EVIDENCE {
        return Belief {
            mean: centre,
            stddev: (0.5 * ends.width().abs()).max(CLOCK_RESOLUTION_NS),
        };
    }
    let share = |weight: f64| {
        weight * plain.evidence / (weight * plain.evidence + others.evidence).max(MIN_EVIDENCE)
    };
    let plain_share = share(PLAIN_WEIGHT);
    if plain_share > MIN_PLAIN_SHARE && others.evidence > 0.0 {
        let (mean, stddev) = plain.mean_and_stddev();
        let (other_mean, other_stddev) = others.mean_and_stddev();
        let pull = pull_strength(plain_share) * (1.0 - plain_share) * (other_mean - mean);
        let mean = mean + pull.max(-MAX_PULL_STDDEVS * stddev).min(MAX_PULL_STDDEVS * stddev);
        let plain_share_in_stddev = share(PLAIN_WEIGHT_IN_STDDEV);
        let stddev = mixture_stddev(plain_share_in_stddev, stddev, other_mean - mean, other_stddev);
        return Belief { mean: centre + mean, stddev };
    }
    let (mean, stddev) = sum.mean_and_stddev();
    Belief { mean: centre + mean, stddev }
}

/// The weight of the other hypotheses in the mean, from the plain one's share of the evidence: 0 to
/// 1.
fn pull_strength(share: f64) -> f64 {
    ((PULL_START_SHARE / share).ln() / (PULL_START_SHARE / MIN_PLAIN_SHARE).ln()).clamp(0.0, 1.0)
}

/// The middles of even cells from `low` to `high`.
fn cells<const T: usize>(low: f64, high: f64) -> [f64; T] {
    let step = (high - low) / usize_to_f64(T);
    let mut offsets = [0.0; T];
    for (rank, offset) in offsets.iter_mut().enumerate() {
        *offset = low + step * (usize_to_f64(rank) + 0.5);
    }
    offsets
}

/// The exchanges kept for their speed, whatever their ends tell.
const KEPT_FASTEST: usize = MAX_ROUND_TRIPS / 4 + 1;
const MIN_HELD_RATIO: f64 = 4.0;
const MIN_HELD_NS: f64 = 20e6;
/// Most servers that delay requests stamp them when they respond: as probable as all other splits
/// together.
const HELD_BEFORE_STAMP_WEIGHT: f64 = 8.0;
/// The number of splits of a longer route.
const SPLITS: u32 = 8;
/// The number of frequencies besides zero.
const FREQUENCIES: u32 = 8;
/// Half of the probability that a response has no information.
const HALF_UNINFORMATIVE: f64 = 5e-4;
/// The prior probability of a slack that is not queueing.
const OUTLIER_PRIOR: f64 = 0.02;
/// The largest frequency error: two crystals at the limit of their tolerance.
const MAX_FREQUENCY: f64 = 100e-6;
/// The weight of the plain hypothesis in the mean; the frequencies have the rest to one.
const PLAIN_WEIGHT: f64 = 0.8;
/// The same in the standard deviation: as much as all frequencies together.
const PLAIN_WEIGHT_IN_STDDEV: f64 = 1.0 - PLAIN_WEIGHT;
/// The plain hypothesis's share below which the mean is that over all hypotheses.
const MIN_PLAIN_SHARE: f64 = 0.2;
/// The plain hypothesis's share below which the others begin to pull its mean, and the limit of the
/// pull in its standard deviations. Found by simulation: each reduces the error in drifting by a
/// tenth and costs 2 % in lan.
const PULL_START_SHARE: f64 = 0.9;
const MAX_PULL_STDDEVS: f64 = 2.0;
/// The weight of the smallest lag; each following one × 0.4. In addition to [`PLAIN_WEIGHT`], not a
/// part of the rest to one.
const LAG_WEIGHT: f64 = 0.05;
/// A limit of the lag up to this needs no hypothesis, in nanoseconds.
const MIN_LAG_NS: f64 = 2e6;
/// The largest lag that varies between responses, in nanoseconds: two kernel ticks at 100 a second,
/// with a margin.
const MAX_LAG_NS: f64 = 25e6;
/// Smaller evidence has lost its precision.
const MIN_EVIDENCE: f64 = 1e-250;
/// The golden ratio.
const GOLDEN_RATIO: f64 = 0.618_033_988_75;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;
    use crate::estimate::Intersection;
    use crate::observation::Exchange;
    use crate::server::Lag;
    use crate::time::{CrossTimestamp, NANOS_PER_SECOND, Timestamp};

    /// xorshift64: good enough to draw delays.
    struct Random(u64);

    impl Random {
        fn seeded(seed: u64) -> Self {
            Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
        }

        /// Uniform over 0 to 1.
        fn unit(&mut self) -> f64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            f64::from(u32::try_from(self.0 >> 32).unwrap_or(0)) / 4_294_967_296.0
        }

        fn exponential(&mut self, mean: f64) -> f64 {
            -mean * (1.0 - self.unit()).ln()
        }
    }

    #[derive(Clone, Copy)]
    struct Path {
        base: f64,
        queueing: f64,
    }

    const LAN: Path = Path { base: 0.2e6, queueing: 0.05e6 };
    const METRO: Path = Path { base: 2e6, queueing: 0.3e6 };
    const WALL_NS: i64 = 1_795_392_000_000_000_000;

    fn cross_timestamp() -> CrossTimestamp {
        let wall = Timestamp::from_unix_nanos(WALL_NS);
        CrossTimestamp::new(LocalInstant::from_nanos(0), wall, Duration::ZERO)
    }

    fn observation(sent_ns: i64, received_ns: i64, date_seconds: i64) -> Observation {
        let date = Timestamp::from_unix_seconds(date_seconds).expect("in range");
        let (sent, received) =
            (LocalInstant::from_nanos(sent_ns), LocalInstant::from_nanos(received_ns));
        let lag = Lag::stated(Duration::from_millis(1));
        Observation::new(
            cross_timestamp(),
            &Exchange::from_parts_unchecked(sent, received, date),
            lag,
        )
        .expect("in order")
    }

    /// Exchanges that are each aimed at the posterior's mean for the flip, and the true offset.
    fn exchanges(path: Path, number: usize, seed: u64) -> (Vec<Observation>, i64) {
        let mut random = Random::seeded(seed);
        let offset_ns = f64_to_nanos((random.unit() - 0.5) * 60e9);
        let (mut posterior, mut seen, mut now) = (Posterior::default(), Vec::new(), 0);
        for _ in 0..number {
            let aim = posterior.aim().map_or(0, |aim| aim.offset().as_nanos());
            let ahead = aim + f64_to_nanos(path.base / 2.0 + path.queueing / 2.0);
            let wait = (-(now + ahead)).rem_euclid(NANOS_PER_SECOND);
            let sent = now + wait;
            let stamped = sent + f64_to_nanos(path.base / 2.0 + random.exponential(path.queueing));
            now = stamped + f64_to_nanos(path.base / 2.0 + random.exponential(path.queueing));
            let date = (WALL_NS + stamped + offset_ns).div_euclid(NANOS_PER_SECOND);
            let observation = observation(sent, now, date);
            posterior.absorb(&observation);
            seen.push(observation);
        }
        (seen, offset_ns)
    }

    fn estimate(mut estimator: impl Estimator, seen: &[Observation]) -> Estimate {
        for observation in seen {
            estimator.absorb(observation);
        }
        estimator.estimate().expect("observations")
    }

    fn error_ns(estimate: Estimate, offset_ns: i64) -> i64 {
        (estimate.offset().as_nanos() - offset_ns).abs()
    }

    fn median(mut values: Vec<i64>) -> i64 {
        values.sort_unstable();
        values[values.len() / 2]
    }

    #[test]
    fn the_standard_deviation_holds_two_errors_of_three_and_its_double_nineteen_of_twenty() {
        for path in [LAN, METRO] {
            let (mut within_one, mut within_two) = (0, 0);
            for seed in 1..=400 {
                let (seen, offset_ns) = exchanges(path, 20, seed);
                let estimate = estimate(Posterior::default(), &seen);
                let stddev_ns = duration_to_nanos(estimate.stddev());
                within_one += u32::from(error_ns(estimate, offset_ns) <= stddev_ns);
                within_two += u32::from(error_ns(estimate, offset_ns) <= 2 * stddev_ns);
            }
            println!("of 400: {within_one} within one, {within_two} within two");
            assert!((270..=330).contains(&within_one), "{within_one} of 400 within one");
            assert!(within_two >= 376, "{within_two} of 400 within two");
        }
    }

    #[test]
    fn its_median_error_is_smaller_than_that_of_the_intersection() {
        for path in [LAN, METRO] {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for seed in 1..=400 {
                let (seen, offset_ns) = exchanges(path, 24, seed);
                ours.push(error_ns(estimate(Posterior::default(), &seen), offset_ns));
                theirs.push(error_ns(estimate(Intersection::default(), &seen), offset_ns));
            }
            let (ours, theirs) = (median(ours), median(theirs));
            println!("median error {ours} ns, of the intersection {theirs} ns");
            assert!(ours < theirs, "{ours} ns against {theirs} ns");
        }
    }

    #[test]
    fn a_shift_of_all_times_shifts_the_result_exactly() {
        let (seen, _) = exchanges(METRO, 20, 5);
        let plain = estimate(Posterior::default(), &seen);
        let (later_ns, date_s) = (86_400_123_456_789, 77_000);
        let shifted: Vec<_> = seen
            .iter()
            .map(|seen| {
                let date = seen.date().as_unix_nanos() / NANOS_PER_SECOND + date_s;
                let sent = seen.sent().as_nanos() + later_ns;
                observation(sent, seen.received().as_nanos() + later_ns, date)
            })
            .collect();
        let shifted = estimate(Posterior::default(), &shifted);
        let by = shifted.offset().saturating_sub(plain.offset());
        assert_eq!(by, Offset::from_nanos(date_s * NANOS_PER_SECOND - later_ns));
        assert_eq!(shifted.stddev(), plain.stddev());
    }

    #[test]
    fn the_order_of_observations_received_at_one_time_does_not_matter() {
        let (mut seen, _) = exchanges(METRO, 20, 6);
        let date = |of: &Observation| of.date().as_unix_nanos() / NANOS_PER_SECOND;
        let (one, other) = (seen[18], seen[19]);
        let at = other.received().as_nanos();
        let late = at - one.received().as_nanos();
        seen[18] = observation(at - 3_000_000, at, date(&other));
        assert!(late > 0);
        let forth = estimate(Posterior::default(), &seen);
        seen.swap(18, 19);
        let back = estimate(Posterior::default(), &seen);
        assert!(error_ns(forth, back.offset().as_nanos()) <= 1, "{forth:?} {back:?}");
    }

    #[test]
    fn observations_that_contradict_each_other_give_a_number_and_no_panic() {
        for seed in 1..=100 {
            let mut random = Random::seeded(seed);
            let mut posterior = Posterior::default();
            let scale = 10_f64.powf(18.0 * random.unit());
            let mut now = 0;
            for _ in 0..100 {
                let sent = now + f64_to_nanos(random.unit() * 2e9);
                now = sent + f64_to_nanos(random.unit() * scale.min(1e11));
                let date =
                    f64_to_nanos((random.unit() - 0.5) * scale / 1e9) + WALL_NS / NANOS_PER_SECOND;
                posterior.absorb(&observation(sent, now, date));
                let (quick, full) = (posterior.belief, posterior.full_estimate());
                for belief in [quick, full] {
                    assert!(belief.mean.is_finite(), "seed {seed}: {belief:?}");
                    assert!(
                        belief.stddev.is_finite() && belief.stddev > 0.0,
                        "seed {seed}: {belief:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn more_evidence_than_it_keeps_still_narrows_the_estimate() {
        let (seen, offset_ns) = exchanges(METRO, 300, 9);
        let few = estimate(Posterior::default(), &seen[..24]);
        let many = estimate(Posterior::default(), &seen);
        assert!(many.stddev() < few.stddev(), "{many:?} {few:?}");
        assert!(error_ns(many, offset_ns) < 5 * duration_to_nanos(many.stddev()), "{many:?}");
    }

    #[test]
    fn of_equal_round_trips_the_one_that_tells_least_is_given_up() {
        let mut posterior = Posterior::default();
        // Every round trip takes 2 ms, and the true offset is 0. The arguments are the time of the
        // stamp before or after the flip.
        let mut ask = |number: i64, after_flip_us: i64| {
            let stamped = number * NANOS_PER_SECOND + after_flip_us * 1_000;
            let date = (WALL_NS + stamped).div_euclid(NANOS_PER_SECOND);
            posterior.absorb(&observation(stamped - 1_000_000, stamped + 1_000_000, date));
            posterior.ends(0.0, 0.0).width()
        };
        for number in 1..=64 {
            ask(number, if number % 2 == 0 { 300_000 } else { -300_000 });
        }
        // Both sides of a flip, within 20 µs, and then 100 without information.
        ask(65, -10);
        let known = ask(66, 10);
        let kept = (67..167).map(|number| ask(number, 400_000)).fold(0.0, f64::max);
        assert!(known < 2_100_000.0 && kept <= known, "{known} ns, then {kept} ns");
    }

    #[test]
    fn extremes_of_the_range_saturate() {
        let mut posterior = Posterior::default();
        for (sent, received, date) in
            [(0, 1, 0), (i64::MIN, i64::MAX, 9_000_000_000), (i64::MAX, i64::MAX, -9_000_000_000)]
        {
            posterior.absorb(&observation(sent, received, date));
            assert!(
                posterior.full_estimate().mean.is_finite() && posterior.belief.mean.is_finite()
            );
        }
    }

    #[test]
    fn taking_in_and_aiming_allocate_nothing() {
        let (seen, _) = exchanges(METRO, 100, 3);
        let mut posterior = Posterior::default();
        let counted = allocation_counter::measure(|| {
            for observation in &seen {
                posterior.absorb(observation);
                assert!(posterior.aim().is_some() && posterior.estimate().is_some());
            }
        });
        assert_eq!(counted.count_total, 0);
    }

    /// Every order of magnitude, up to what an `Observation` can hold.
    fn any_nanos() -> impl Strategy<Value = i64> {
        prop_oneof![
            0_i64..1_000,
            0_i64..100_000_000,
            0..3_600 * NANOS_PER_SECOND,
            any::<i64>().prop_map(|nanos| nanos & i64::MAX),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 200,
            rng_seed: RngSeed::Fixed(0x6874_7470),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// Also observations that no measurement would pass on: an estimator is public.
        #[test]
        fn any_observations_leave_a_mean_and_a_deviation_that_are_numbers(
            observations in prop::collection::vec(
                (any_nanos(), any_nanos(), -2_i64..3, any_nanos()),
                1..80,
            ),
        ) {
            let wall = Timestamp::from_unix_nanos(1_795_392_000 * NANOS_PER_SECOND);
            let start = LocalInstant::from_nanos(0);
            let cross_timestamp = CrossTimestamp::new(start, wall, Duration::ZERO);
            let mut posterior = Posterior::default();
            for (sent, round_trip, seconds, lag) in observations {
                let sent = LocalInstant::from_nanos(sent);
                let received = sent.saturating_add(Duration::from_nanos(round_trip.unsigned_abs()));
                let offset = Offset::from_nanos(seconds * NANOS_PER_SECOND);
                let date = cross_timestamp.wall_at(sent).saturating_add(offset);
                let lag = Lag::stated(Duration::from_nanos(lag.unsigned_abs()));
                let exchange = Exchange::from_parts_unchecked(sent, received, date);
                posterior.absorb(&Observation::new(cross_timestamp, &exchange, lag).expect("in order"));
                for belief in [posterior.belief, posterior.full_estimate()] {
                    prop_assert!(belief.mean.is_finite(), "{:?}", belief);
                    prop_assert!(belief.stddev.is_finite() && belief.stddev > 0.0, "{:?}", belief);
                }
            }
        }
    }
}
