use std::fmt;
use std::time::Duration;

use self::bases::{Bases, MIN_SLACK};
use self::mass::{Mass, mixture_stddev};
use self::route_change::RouteChange;
pub use self::tuning::PosteriorTuning;
use super::{Estimate, Estimator};
use crate::error::Error;
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
mod tuning;

/// Estimates the offset from its posterior: the probability of each offset, given all exchanges.
///
/// # Model
/// Numbers are the defaults of [`PosteriorTuning`], which has a field for each.
///
/// **State.** The estimated quantity is the offset θ at the instant of the latest response. The
/// base round trip *d* (a round trip when nothing queues), the mean queueing *q* of one path, the
/// frequency and the lag are unknown too. The result is an average over their possible values. Each
/// estimate is computed again from all exchanges. (A Kalman filter would keep a state from one
/// response to the next.)
///
/// **Noise.** The forward path and the return path of exchange *i* each take *d*/2 plus queueing.
/// The queueing of each path is exponential with mean *q*. So the slack *sᵢ = rᵢ − d* of the round
/// trip *rᵢ* has the distribution Gamma(2, *q*): the sum of two exponentials. Given *sᵢ*, the part
/// of it on the forward path is uniform over [0, *sᵢ*].
///
/// **Likelihood.** The `Date` of exchange *i* allows the offsets from *lowerᵢ* to *upperᵢ*, if
/// there is no lag. *aᵢ* is the time from exchange *i* to the latest response. The ramp
/// *R(x) = min(max(x, 0), 1)* rises linearly from 0 to 1.
///
/// ```text
/// L(θ | d, f, ℓ) = ∏ᵢ g(R((upperᵢ + f aᵢ − d/2 + ℓ − θ) / (sᵢ + ℓ)))
///                   · g(1 − R((lowerᵢ + f aᵢ + d/2 + sᵢ + ℓ − θ) / (sᵢ + ℓ)))
/// g(p) = w + (1 − 2w) (φᵢ p + (1 − φᵢ) h(p))
/// ```
///
/// *f* is the difference of the two clocks' frequencies, and *ℓ* is the largest lag. Without *g*,
/// the likelihood would be 0 below the largest *lowerᵢ + f aᵢ + d/2*, and above the smallest
/// *upperᵢ + f aᵢ − d/2 + ℓ*. These two limits are the hard ends. If the first is above the second,
/// the hard ends contradict each other. Because of the hard ends the error falls like 1/n. (The
/// error of a mean of n NTP samples falls like 1/√n.)
///
/// With a [`stamp`](crate::stamp) of the quantum *κ* the server's clock was read within *κ* and
/// somewhere in the slack. The factor for this exchange is, up to a constant,
///
/// ```text
/// R((upperᵢ + f aᵢ − d/2 + ℓ − θ) / (sᵢ + ℓ)) − R((upperᵢ + f aᵢ − d/2 + ℓ − κ − θ) / (sᵢ + ℓ))
/// ```
///
/// It is the same as above if κ is one second. If κ is small, it is constant where the stamp is
/// possible, so that the estimate is the middle of the hard ends of the stamps, averaged over *d*.
///
/// *g* makes a wrong response possible:
///
/// - *w* = 0.0005. With probability 2*w* a response contains no information. So a single response
///   cannot exclude an offset that all others support.
/// - φᵢ is the probability that the slack is queueing. Otherwise the exchange is an outlier: a
///   burst, a retransmission, or a client that slept. The prior probability of an outlier is 0.02.
///   Its slack *x*, in units of *q*, has the density 0.1 / (1 + 0.1 *x*)². It is unknown how the
///   slack of an outlier divides into the two paths. So *h*(*p*) is ½ for 0 < *p* < 1; *h*(0) = 0
///   and *h*(1) = 1.
///
/// **Priors.** *r*₀ is the shortest of n round trips. *d* is between *r*₀ − 6 *q*/√n and *r*₀. *q*
/// is log-uniform between half and twice a first guess. The slowest quarter of the round trips is
/// censored: the model uses only that they are longer than the others, not by how much.
///
/// **Hypotheses.** The likelihood of each hypothesis is integrated over θ. The integral is its
/// evidence (marginal likelihood), and is multiplied by the weight of the hypothesis. The weights
/// are relative and do not add up to one.
///
/// | hypothesis | considered | weight |
/// |---|---|---|
/// | plain: *f* = 0, *ℓ* = 0 | unless the hard ends contradict each other | 0.8 |
/// | frequency *f*, up to *M* = 100 ppm | for three or more exchanges, if *M* times the time from the first to the last exceeds 0.02 *q* | density 0.2 (1 − \|*f*\|/*M*)/*M*, over the frequencies at which the hard ends do not contradict each other |
/// | a lag that differs from response to response, up to *ℓ* | for three or more exchanges. The allowed [`Lag`](crate::server::Lag) must exceed *q*. It must also exceed 2 ms, unless the hard ends contradict each other | 0.05 · 0.4ᵏ, *k* = 0 to 3, for four values of *ℓ* in geometric progression. The first is 2 *q*, or 1.1 times the width of the contradiction if that is more. The last is the allowed lag, at most 25 ms |
/// | some exchanges are wrong | if the hard ends contradict each other | 0.05 |
///
/// The lag is uniform over [0, *ℓ*] and the forward slack is uniform over [0, *s*]. The
/// distribution function of their sum is two parabolas with a straight line between them. The model
/// uses one ramp over *s + ℓ* instead. The difference is at most 1/8 (where *ℓ = s*).
///
/// **Result.** It depends on the share of the plain hypothesis in the weighted evidence of all
/// hypotheses.
///
/// - Above 0.9 the mean is that of the plain hypothesis.
/// - Between 0.9 and 0.2 the mean moves from that of the plain hypothesis towards that of the
///   others: further as the share falls, but by at most two standard deviations of the plain
///   hypothesis.
/// - Below 0.2 mean and standard deviation are those of all hypotheses together.
///
/// Above 0.2, 68.27 % of the probability of all hypotheses is within one standard deviation of the
/// mean. For this standard deviation the plain hypothesis has the weight 0.2 instead of 0.8: as
/// much as all frequencies together, because clocks are often some ppm apart.
///
/// # A route that changed
/// A step in the round trips is a change of the route if there are at least four exchanges on each
/// side of it, and if queueing causes such a step with a probability below 10⁻⁶. The excess is what
/// the longer route adds to a round trip. How it divides into the two paths cannot be observed, but
/// the division is the same in every exchange. The estimate is computed without the excess, and
/// with the plain hypothesis only. It is the average over eight divisions with equal weights.
///
/// # A server that holds requests back
/// If the median round trip is more than 4 times the shortest, and more than 20 ms longer, the
/// server holds requests back: it has a rate limit or a queue. It does this before or after the
/// stamp (the moment at which it reads its clock for the `Date`). The excess of an exchange is its
/// round trip less the shortest. The model assumes that the part of it before the stamp is the same
/// fraction in every exchange. The estimate is an average over nine fractions: eight as for a
/// changed route, and the case that all of the excess is before the stamp. This case has the weight
/// of the other eight together.
///
/// # Source
/// The hard ends are Cristian's ("Probabilistic clock synchronization", Distributed Computing 3,
/// 1989, doi 10.1007/BF01784024), who also assumes a minimum time for each path: here half of the
/// base round trip. Exponential queueing is that of the M/M/1 queue in any textbook. To send the
/// request so that it tests the middle of the posterior is probabilistic bisection (Waeber,
/// Frazier, Henderson, "Bisection search with noisy responses", SIAM J. Control Optim. 51, 2013).
/// The combination is our own derivation.
///
/// # When it is wrong
/// - The two paths take different times even when nothing queues: the error is half of the
///   difference, and cannot be observed.
/// - The lag is constant: the error is the lag, and cannot be observed.
/// - The queue is never empty during the measurement: *d* is too large and the standard deviation
///   too small.
///
/// It keeps the 64 exchanges with the most information, and allocates nothing.
#[derive(Clone)]
pub struct Posterior {
    tuning: PosteriorTuning,
    origin: Option<Origin>,
    samples: [Sample; MAX_ROUND_TRIPS],
    len: usize,
    trips: RoundTrips,
    /// The time of the latest response.
    now: f64,
    /// The largest allowed lag.
    lag: f64,
    belief: Belief,
}

/// The hard ends for one frequency and one base round trip, in nanoseconds from the origin.
type Ends = Evidence<f64>;

/// The origin from which offsets and times are counted. Differences from it are small, so a float
/// can represent every nanosecond.
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
    /// The resolution of the server's clock if it is finer than a second: the exchange has a stamp.
    quantum: Option<f64>,
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
    /// The offset about which the moments of the distribution are computed.
    centre: f64,
}

impl fmt::Debug for Posterior {
    /// Writes only the number of exchanges: formatting floats would make small programs larger.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Posterior").field("exchanges", &self.len).finish_non_exhaustive()
    }
}

impl Default for Posterior {
    fn default() -> Self {
        Self::from_valid(PosteriorTuning::DEFAULT)
    }
}

impl Posterior {
    /// An estimator with other constants, for work on the model.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] names a constant that is out of its range.
    pub fn with_tuning(tuning: PosteriorTuning) -> Result<Self, Error> {
        tuning.check()?;
        Ok(Self::from_valid(tuning))
    }

    fn from_valid(tuning: PosteriorTuning) -> Self {
        Self {
            tuning,
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
            quantum: observation
                .is_stamped()
                .then(|| nanos_to_f64(duration_to_nanos(observation.quantum()))),
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

    /// The index of the exchange to replace: outside the fastest quarter, the one whose nearer end
    /// is furthest from the hard ends. If exchanges inside and outside that quarter are equally
    /// fast, those inside can be replaced too.
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

    /// Whether the largest frequency considered moves the offset between the earliest exchange and
    /// the latest by more than `min_effect` times the mean queueing.
    fn is_frequency_observable(&self, min_effect: f64) -> bool {
        let earliest = self.samples().iter().map(|sample| sample.at).fold(self.now, f64::min);
        (self.now - earliest) * self.tuning.max_frequency > min_effect * self.trips.queueing()
    }

    /// The offset at the time of an observation less the offset at the latest response.
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

    /// The lowest and the highest frequency at which the hard ends do not contradict each other, if
    /// there are any. The width between the ends is a concave function of the frequency.
    /// Golden-section search finds its maximum. Bisection finds the limit on each side of that.
    fn frequencies(&self, base: f64) -> Option<(f64, f64)> {
        let width = |frequency: f64| self.ends(frequency, base).width();
        let limit = self.tuning.max_frequency;
        let (mut a, mut b) = (-limit, limit);
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
        Some((edge(top, -limit), edge(top, limit)))
    }
}

/// The complete posterior, for the estimate. (`quick.rs` has a cheaper one, for aiming.)
impl Posterior {
    fn full_estimate(&self) -> Belief {
        let before_stamp = self.tuning.held_before_stamp_weight;
        if let Some(held) = self
            .is_holding_requests()
            .then(|| self.integrate_over_splits(before_stamp, &Self::without_hold))
            .flatten()
        {
            return held;
        }
        let route_change = RouteChange::find(self.samples(), &self.tuning);
        let rerouted = route_change.and_then(|route_change| {
            self.integrate_over_splits(0.0, &|route, share| {
                route.without_route_change(&route_change, share)
            })
        });
        rerouted.unwrap_or_else(|| self.full_on_one_route())
    }

    /// Whether the server holds requests back: the median round trip is so much longer than the
    /// shortest that no network explains it.
    fn is_holding_requests(&self) -> bool {
        let (usual, shortest) = (self.trips.median(), self.trips.shortest());
        let PosteriorTuning { min_held_ratio, min_held_ns, .. } = self.tuning;
        self.len >= 3 && usual > min_held_ratio * shortest && usual - shortest > min_held_ns
    }

    /// The exchanges without the time for which the server held them back. That time is the excess
    /// over the shortest round trip; this share of it is assumed to be before the stamp.
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

    /// The average over the divisions of the excess. Eight divisions have the weight 1. The case
    /// that all of the excess is before the stamp has the weight `whole`. `remove_excess` returns
    /// the exchanges without the excess, for one share before the stamp. `None` if the hard ends
    /// contradict each other in every case.
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
            let bases: Bases<5> = Bases::from_round_trips(&route.trips, &self.tuning);
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

    /// The exchanges as they would have been on the shorter route, if this share of the excess is
    /// on the forward path.
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
        let bases: Bases<10> = Bases::from_round_trips(&self.trips, &self.tuning);
        let queueing_probability = self.queueing_probabilities();
        let ends = self.ends(0.0, bases.min_base());
        let centre = 0.5 * (ends.lower + ends.upper);
        let mut plain_mass = Mass::default();
        if ends.width() > 0.0 {
            let plain = Hypothesis::plain(ends, centre);
            plain_mass = self.integrate::<64, 10>(&plain, &bases, &queueing_probability);
        }
        let mut others = Mass::default();
        let coarse: Bases<5> = Bases::from_round_trips(&self.trips, &self.tuning);
        self.add_frequencies(&mut others, centre, bases.min_base(), &coarse, &queueing_probability);
        self.add_lags(&mut others, ends, centre, &coarse, &queueing_probability);
        if ends.width() < 0.0 {
            // No offset fits all exchanges, so some are wrong. Integrate over the offsets around
            // the contradiction.
            let pad = 0.5 * -ends.width() + self.trips.queueing();
            let around = Ends::new(ends.upper - pad, ends.lower + pad);
            let contradicting = Hypothesis::plain(around, centre);
            let mass = self.integrate::<64, 10>(&contradicting, &bases, &queueing_probability);
            others.add(mass, self.tuning.contradiction_weight);
        }
        combine(plain_mass, others, ends, &self.tuning)
    }

    /// Adds hypotheses with a frequency other than 0, evenly over those that the hard ends allow.
    /// The prior is triangular and falls to zero at ±`max_frequency`.
    fn add_frequencies(
        &self,
        sum: &mut Mass,
        centre: f64,
        min_base: f64,
        bases: &Bases<5>,
        queueing_probability: &[f64; MAX_ROUND_TRIPS],
    ) {
        let PosteriorTuning { max_frequency, min_frequency_effect, plain_weight, .. } = self.tuning;
        if self.len < 3 || !self.is_frequency_observable(min_frequency_effect) {
            return;
        }
        let Some((min, max)) = self.frequencies(min_base) else { return };
        let step = (max - min) / f64::from(FREQUENCIES);
        for rank in 0..FREQUENCIES {
            let frequency = min + step * (f64::from(rank) + 0.5);
            let ends = self.ends(frequency, min_base);
            if ends.width() > 0.0 {
                let with_frequency = Hypothesis { frequency, ..Hypothesis::plain(ends, centre) };
                let prior = (1.0 - plain_weight) * step / max_frequency
                    * (1.0 - frequency.abs() / max_frequency);
                sum.add(
                    self.integrate::<24, 5>(&with_frequency, bases, queueing_probability),
                    prior,
                );
            }
        }
    }

    /// Adds hypotheses in which each response has a different lag. The responses cannot exclude
    /// them if each request is aimed into the remaining uncertainty, where every response is
    /// possible. So these hypotheses are always considered if the server is allowed such a lag.
    fn add_lags(
        &self,
        sum: &mut Mass,
        ends: Ends,
        centre: f64,
        bases: &Bases<5>,
        queueing_probability: &[f64; MAX_ROUND_TRIPS],
    ) {
        let queueing = self.trips.queueing();
        let tuning = &self.tuning;
        let max_lag = self.lag.min(tuning.max_lag_ns);
        let contradiction = (-ends.width()).max(0.0);
        let possible = max_lag > queueing && (max_lag > tuning.min_lag_ns || contradiction > 0.0);
        if self.len < 3 || !possible {
            return;
        }
        let to_contradiction = tuning.contradiction_margin * contradiction;
        let mut lag = (tuning.first_lag * queueing).max(to_contradiction).min(max_lag);
        let ratio = (max_lag / lag).cbrt();
        let mut prior = tuning.lag_weight;
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
            prior *= tuning.lag_weight_ratio;
        }
    }

    /// For each exchange, the probability that its slack is queueing.
    fn queueing_probabilities(&self) -> [f64; MAX_ROUND_TRIPS] {
        let queueing = self.trips.queueing();
        let PosteriorTuning { outlier_prior, outlier_decay, expected_excess, .. } = self.tuning;
        let base = self.trips.shortest() - expected_excess * queueing / self.trips.sqrt_len();
        let mut probabilities = [1.0; MAX_ROUND_TRIPS];
        for (probability, sample) in probabilities.iter_mut().zip(self.samples()) {
            let slack = (sample.round_trip - base) / queueing;
            if slack > 1e-3 {
                let queued = (1.0 - outlier_prior) * slack * (-slack).exp();
                let decayed = 1.0 + outlier_decay * slack;
                let not_queued = outlier_prior * outlier_decay / (decayed * decayed);
                *probability = queued / (queued + not_queued);
            }
        }
        probabilities
    }

    /// Integrates the likelihood of a hypothesis over `T` cells of the offset and `N` base round
    /// trips.
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
        let uninformative = self.tuning.half_uninformative;
        let informative = 1.0 - 2.0 * uninformative;
        let mut likelihood = [1.0; T];
        for (sample, queueing_probability) in self.samples().iter().zip(queueing_probability) {
            let shift = self.shift(sample, frequency);
            let slack = sample.round_trip - base;
            if let Some(quantum) = sample.quantum {
                let queueing = self.trips.queueing();
                let position = StampPosition::new(sample.upper - shift, slack, base, lag, queueing);
                // The density of the position. The scale keeps the product in range.
                let scale = quantum.max(queueing) / position.width.max(quantum);
                for (value, offset) in likelihood.iter_mut().zip(offsets) {
                    let share = position.share(*offset, quantum);
                    *value *= scale * (uninformative + informative * share);
                }
                continue;
            }
            let per_slack = 1.0 / (slack + lag + 1.0);
            let ramp = |share: f64| {
                let plateau = f64::from(u8::from(share > 0.0)) + f64::from(u8::from(share >= 1.0));
                let unexplained = 0.5 * (1.0 - queueing_probability) * plateau;
                uninformative + informative * (queueing_probability * share + unexplained)
            };
            // The server stamped before the second of the `Date` ended.
            let full = sample.upper - shift - 0.5 * base + lag;
            if full < high + slack + lag {
                for (value, offset) in likelihood.iter_mut().zip(offsets) {
                    *value *= ramp(((full - offset) * per_slack).clamp(0.0, 1.0));
                }
            }
            // The server stamped after the second of the `Date` began.
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

/// Where in the slack of an exchange the server can have read its clock for a stamp.
#[derive(Debug, Clone, Copy)]
struct StampPosition {
    /// The offset at which the server read its clock at the very beginning of the slack, if the
    /// clock showed the end of the quantum.
    highest: f64,
    width: f64,
}

impl StampPosition {
    fn new(upper: f64, slack: f64, base: f64, lag: f64, queueing: f64) -> Self {
        let margin = MIN_SLACK * queueing;
        Self {
            highest: upper - 0.5 * base + lag + 0.5 * margin,
            width: slack.max(0.0) + lag + margin,
        }
    }

    /// The probability of the stamp for this offset, relative to the largest.
    fn share(&self, offset: f64, quantum: f64) -> f64 {
        let per_width = 1.0 / self.width;
        let part = |high: f64| ((high - offset) * per_width).clamp(0.0, 1.0);
        let largest = (quantum * per_width).min(1.0);
        (part(self.highest) - part(self.highest - quantum)) / largest
    }
}

impl Hypothesis {
    const fn plain(ends: Ends, centre: f64) -> Self {
        Self { frequency: 0.0, lag: 0.0, low: ends.lower, high: ends.upper, centre }
    }
}

/// Computes the estimate from the evidence of all hypotheses. The documentation of [`Posterior`]
/// describes the rules under Result.
fn combine(plain: Mass, others: Mass, ends: Ends, tuning: &PosteriorTuning) -> Belief {
    let centre = 0.5 * (ends.lower + ends.upper);
    let mut sum = others;
    sum.add(plain, tuning.plain_weight);
    if sum.evidence < MIN_EVIDENCE {
        return Belief {
            mean: centre,
            stddev: (0.5 * ends.width().abs()).max(CLOCK_RESOLUTION_NS),
        };
    }
    let share = |weight: f64| {
        weight * plain.evidence / (weight * plain.evidence + others.evidence).max(MIN_EVIDENCE)
    };
    let plain_share = share(tuning.plain_weight);
    if plain_share > tuning.min_plain_share && others.evidence > 0.0 {
        let (mean, stddev) = plain.mean_and_stddev();
        let (other_mean, other_stddev) = others.mean_and_stddev();
        let pull = pull_strength(plain_share, tuning) * (1.0 - plain_share) * (other_mean - mean);
        let max_pull = tuning.max_pull_stddevs * stddev;
        let mean = mean + pull.max(-max_pull).min(max_pull);
        let plain_share_in_stddev = share(tuning.plain_weight_in_stddev);
        let stddev = mixture_stddev(plain_share_in_stddev, stddev, other_mean - mean, other_stddev);
        return Belief { mean: centre + mean, stddev };
    }
    let (mean, stddev) = sum.mean_and_stddev();
    Belief { mean: centre + mean, stddev }
}

/// How far the other hypotheses move the mean, from 0 (not at all) to 1 (to the mean of all
/// hypotheses). `share`: the share of the plain hypothesis in the evidence.
fn pull_strength(share: f64, tuning: &PosteriorTuning) -> f64 {
    let PosteriorTuning { pull_start_share: start, min_plain_share: end, .. } = tuning;
    ((start / share).ln() / (start / end).ln()).clamp(0.0, 1.0)
}

/// The middles of `T` cells of equal width from `low` to `high`.
fn cells<const T: usize>(low: f64, high: f64) -> [f64; T] {
    let step = (high - low) / usize_to_f64(T);
    let mut offsets = [0.0; T];
    for (rank, offset) in offsets.iter_mut().enumerate() {
        *offset = low + step * (usize_to_f64(rank) + 0.5);
    }
    offsets
}

/// The number of exchanges that are kept because they are the fastest.
const KEPT_FASTEST: usize = MAX_ROUND_TRIPS / 4 + 1;
/// The number of ways to divide an excess. A resolution, not a tuning constant.
const SPLITS: u32 = 8;
/// The number of frequencies other than 0. A resolution, not a tuning constant.
const FREQUENCIES: u32 = 8;
/// Evidence below this is so close to the smallest float that it is not precise.
const MIN_EVIDENCE: f64 = 1e-250;
/// The reciprocal of the golden ratio.
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

    /// Exchanges, and the true offset. Each request is sent so that the server stamps it at a flip
    /// if the offset is the posterior's mean.
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
        // Every round trip takes 2 ms, and the true offset is 0. `after_flip_us` is the time from
        // the flip to the stamp; it is negative if the stamp is before the flip.
        let mut ask = |number: i64, after_flip_us: i64| {
            let stamped = number * NANOS_PER_SECOND + after_flip_us * 1_000;
            let date = (WALL_NS + stamped).div_euclid(NANOS_PER_SECOND);
            posterior.absorb(&observation(stamped - 1_000_000, stamped + 1_000_000, date));
            posterior.ends(0.0, posterior.trips.shortest()).width()
        };
        for number in 1..=64 {
            ask(number, if number % 2 == 0 { 300_000 } else { -300_000 });
        }
        // One stamp 10 µs before a flip and one 10 µs after it, then 100 far from a flip.
        ask(65, -10);
        let known = ask(66, 10);
        let kept = (67..167).map(|number| ask(number, 400_000)).fold(0.0, f64::max);
        assert!(known < 1e6 && kept <= known, "{known} ns, then {kept} ns");
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

    /// Numbers of every order of magnitude, up to the largest in an `Observation`.
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

        /// Includes observations that a measurement would reject: the estimator is public, so other
        /// programs can add them.
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
