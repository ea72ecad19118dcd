use std::fmt;
use std::time::Duration;

use super::scan::{HALF_A_SECOND, Sweep, narrowed_by_base, requests_in_window};
use super::{CheckTuning, Plan, Profile, Schedule, View, is_off_target};
use crate::error::Error;
use crate::time::{
    Interval, LocalInstant, Offset, duration_to_nanos, f64_to_nanos, nanos_to_duration,
    nanos_to_f64,
};

mod tuning;

pub use self::tuning::AdaptiveTuning;

/// Chooses the send time of each request so that its response tells the estimator as much as
/// possible. The [`Profile`] limits how many requests are sent in a second.
///
/// The server reads its clock for the `Date` at the stamp. A flip is the instant at which the
/// `Date` changes to the next second. A response shows only whether its stamp was before or after a
/// flip. To aim at an offset *a* is to choose the send time so that the stamp is exactly at a flip,
/// if the offset is *a* and nothing queues.
///
/// # Model
/// Numbers are the defaults of [`AdaptiveTuning`], which has a field for each.
///
/// ```text
/// State     m, σ  mean and standard deviation of the offset, from Estimator::aim
///           q     mean queueing of one path
///           W     remaining uncertainty: the offsets that are possible if each path takes at least
///                 half of the base round trip;  |W| is its width
///           F     expected interval of the offset, if there is one
/// Fallback  if σ > 1.2 |W|/√12:  m = middle of W,  σ = |W|/√12
/// Probe     if F is known and |W| ≥ 4 |F ∩ W|:  aim at the ends of F ∩ W, at most 4 times
/// Scan      else if σ ≥ 1.5 q and the profile scans:  k requests at one flip, each aimed at a
///           different offset, evenly over W
/// Aim       else:  aim at a = m + σ q / (σ + q)
/// End       if σ ≤ 500 ns, or if σ has not fallen by a tenth over the last 16 responses
/// ```
///
/// The term σ q / (σ + q) compensates for the queueing on the forward path. It was found by
/// simulation. Without queueing the rule is probabilistic bisection.
///
/// A scan needs more requests but fewer seconds. The profile sets k: with
/// [`Balanced`](Profile::Balanced) 6 requests for the first flip, 5 for the second, and 4 for each
/// later one. With [`Fast`](Profile::Fast) it is 24, 16 and 8. [`Polite`](Profile::Polite) does not
/// scan; it aims each request. If the limits or the connections allow fewer requests, k is that
/// number.
///
/// If σ < 1.5 q, noise (the queueing of a single exchange) limits the estimate. Then a profile with
/// several connections aims several requests at the same flip: one for each connection.
///
/// # When it ends
/// The schedule plans no more requests when σ is as small as the precision with which a clock can
/// be read. It also stops when many responses do not make σ smaller. Then the model does not fit,
/// or the estimator does not learn.
#[derive(Clone)]
pub struct Adaptive {
    tuning: AdaptiveTuning,
    /// The running scan, if there is one.
    sweep: Sweep,
    /// The sent requests that are aimed at the latest flip.
    burst: Burst,
    /// The same, with the planned request.
    planned: Burst,
    probes: Probes,
    gain: Gain,
}

/// The probes: requests that are aimed at the ends of the expected interval.
#[derive(Debug, Clone, Copy, Default)]
struct Probes {
    sent: u32,
    /// Whether the planned request is a probe.
    planned: bool,
}

/// Several requests in flight that are aimed at the same flip.
#[derive(Debug, Clone, Copy, Default)]
struct Burst {
    /// The planned send time of the first one.
    at: Option<LocalInstant>,
    /// The number of requests.
    aimed: u32,
}

/// The standard deviation when it last fell enough, and the number of observations at that time.
#[derive(Clone, Copy)]
struct Gain {
    stddev: f64,
    observations: u32,
}

/// The estimate of the offset. The floats are in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Belief {
    mean: Offset,
    stddev: f64,
    queueing: f64,
    /// Half of the difference between the shortest round trip and the base round trip.
    /// [`Progress::aim`](crate::Progress::aim) uses the shortest round trip, so its send time is
    /// early by this.
    early: f64,
    /// The remaining uncertainty, W. `None` if it is empty.
    window: Option<Interval>,
}

impl Adaptive {
    /// A schedule with the parameters of `profile`.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self::from_valid(AdaptiveTuning::of(profile))
    }

    /// A schedule with other constants, for work on the schedule. Begin with the constants of a
    /// profile, [`AdaptiveTuning::of`].
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] names a constant that is out of its range.
    pub fn with_tuning(tuning: AdaptiveTuning) -> Result<Self, Error> {
        tuning.check()?;
        Ok(Self::from_valid(tuning))
    }

    fn from_valid(tuning: AdaptiveTuning) -> Self {
        Self {
            tuning,
            sweep: Sweep::default(),
            burst: Burst::default(),
            planned: Burst::default(),
            probes: Probes::default(),
            gain: Gain { stddev: f64::INFINITY, observations: 0 },
        }
    }

    /// Plans a request that is aimed at an end of the expected interval, while the remaining
    /// uncertainty is much wider. If the expectation is right, the responses at the two ends reduce
    /// the remaining uncertainty to the expected interval.
    fn probe(&mut self, view: &View<'_>, belief: &Belief, from: LocalInstant) -> Option<Plan> {
        let window = belief.window?;
        let inside = view.expected()?.intersection(window)?;
        let AdaptiveTuning { max_probes, min_probe_ratio, probe_margin, .. } = self.tuning;
        if self.probes.sent >= max_probes || window.width() < min_probe_ratio * inside.width() {
            return None;
        }
        let queueing = nanos_to_duration(f64_to_nanos(probe_margin * belief.queueing));
        let near = inside.widened(inside.width() / 2 + queueing);
        let ends = [
            (inside.upper(), window.upper() > near.upper()),
            (inside.lower(), window.lower() < near.lower()),
        ];
        let open = ends.iter().filter(|(_, open)| *open);
        let at = open.map(|(end, _)| belief.aim(view, *end, from)).min()?;
        if view.progress().scheduled_in_flight() > 0 {
            return Some(Plan::AwaitReply);
        }
        self.sweep.abort();
        self.planned = Burst::default();
        self.probes.planned = true;
        Some(Plan::SendAt(at))
    }

    /// Plans the next request of a scan: several requests at equal intervals over the window in
    /// which the flip can be. Their number is that of the profile. It is smaller if the limits
    /// leave fewer requests for each second, or if the connections can carry fewer during the
    /// window.
    fn scan(
        &mut self,
        view: &View<'_>,
        belief: &Belief,
        window: Interval,
        from: LocalInstant,
    ) -> Plan {
        let AdaptiveTuning { scan, connections, scanned_flips, .. } = self.tuning;
        let aim = |offset, from| belief.aim(view, offset, from);
        let requests = |flips, width| {
            let wanted = match flips {
                0 => scan[0],
                1 => scan[1],
                _ => scan[2],
            };
            wanted
                .min(requests_in_window(view, width, connections))
                .min(affordable_requests(view, scanned_flips))
        };
        match self.sweep.plan(view, &aim, window, from, connections, requests) {
            Some(plan) => {
                self.planned = Burst::default();
                plan
            }
            None => self.plan_aimed(view, belief, from),
        }
    }

    /// Plans one aimed request. If noise limits the estimate (see
    /// [`is_noise_limited`](Self::is_noise_limited)), as many requests as there are connections can
    /// be in flight at once, all aimed at the same flip.
    fn plan_aimed(&mut self, view: &View<'_>, belief: &Belief, from: LocalInstant) -> Plan {
        let progress = view.progress();
        let mut burst = Burst::default();
        if progress.scheduled_in_flight() > 0 {
            let same =
                self.burst.at.zip(progress.last_sent()).is_some_and(|(at, last)| {
                    last >= at && last.saturating_since(at) < HALF_A_SECOND
                });
            if !(same
                && self.burst.aimed < self.tuning.connections
                && self.is_noise_limited(belief))
            {
                return Plan::AwaitReply;
            }
            burst = self.burst;
        }
        let Belief { stddev, queueing, .. } = *belief;
        let lead = self.tuning.lead * (stddev * queueing / (stddev + queueing));
        let offset = belief.mean.saturating_add(Offset::from_nanos(f64_to_nanos(lead)));
        let at = belief.aim(view, offset, from);
        self.sweep.abort();
        self.planned = Burst { at: burst.at.or(Some(at)), aimed: burst.aimed + 1 };
        Plan::SendAt(at)
    }

    /// Whether σ < 1.5 q: the queueing of a single exchange is then about as large as the standard
    /// deviation, and one response tells little.
    fn is_noise_limited(&self, belief: &Belief) -> bool {
        belief.stddev < self.tuning.noise_limit * belief.queueing
    }
}

/// The number of flips in the remaining time: one a second.
fn remaining_flips(view: &View<'_>) -> u32 {
    let begun = view.progress().first_sent().unwrap_or(view.earliest());
    let spent = view.earliest().saturating_since(begun);
    let left = view.limits().duration().saturating_sub(spent).as_millis().div_ceil(1000).max(1);
    u32::try_from(left).unwrap_or(u32::MAX)
}

/// The number of requests to plan for one scan, so that the remaining requests are enough for the
/// remaining time. It is assumed that the next few flips (`scanned_flips`) are scanned, and that
/// each later flip takes one request. A scan stops after the flip. So on average it sends half of
/// its planned requests before the flip, and one after it.
fn affordable_requests(view: &View<'_>, scanned_flips: u32) -> u32 {
    let (progress, limits) = (view.progress(), view.limits());
    let flips = remaining_flips(view);
    let scanned = flips.min(scanned_flips);
    let requests = limits.requests().saturating_sub(progress.requests());
    let spare = requests.saturating_sub(flips - scanned);
    (spare.saturating_mul(2) / scanned).saturating_sub(2)
}

impl Default for Adaptive {
    /// The schedule of the default profile.
    fn default() -> Self {
        Self::new(Profile::default())
    }
}

impl Schedule for Adaptive {
    fn name(&self) -> &'static str {
        "adaptive"
    }

    fn plan(&mut self, view: &View<'_>) -> Plan {
        let progress = view.progress();
        if self.sweep.confirm_sent(progress.scheduled()) {
            self.burst = self.planned;
            self.probes.sent += u32::from(self.probes.planned);
        }
        self.probes.planned = false;
        let from = progress.last_sent().map_or(view.earliest(), |last| {
            last.saturating_add(self.tuning.min_interval).max(view.earliest())
        });
        let Some(belief) = Belief::from_view(view, self.tuning.max_relative_stddev) else {
            let waiting = progress.scheduled_in_flight() > 0;
            return if waiting { Plan::AwaitReply } else { Plan::SendAt(from) };
        };
        if self.gain.is_exhausted(belief.stddev, progress.observations(), &self.tuning) {
            return Plan::Enough;
        }
        if let Some(plan) = self.probe(view, &belief, from) {
            return plan;
        }
        match belief.window {
            Some(window) if self.tuning.scan[0] > 0 && !self.is_noise_limited(&belief) => {
                self.scan(view, &belief, window, from)
            }
            _ => self.plan_aimed(view, &belief, from),
        }
    }

    fn min_interval(&self) -> Duration {
        self.tuning.min_interval
    }

    fn check_tuning(&self) -> CheckTuning {
        self.tuning.checks
    }

    /// With several connections a late request is sent at once and never rescheduled. It has missed
    /// its flip in either case, its response may still contain information, and with several
    /// connections time is more valuable than requests.
    fn is_missed(&self, view: &View<'_>, late: Duration) -> bool {
        self.tuning.connections == 1 && is_off_target(view, late)
    }
}

impl Belief {
    fn from_view(view: &View<'_>, max_relative_stddev: f64) -> Option<Self> {
        let progress = view.progress();
        let estimate = view.aim()?;
        let unknown = progress.remaining_uncertainty()?;
        let shortest = progress.round_trip_min()?;
        let base = progress.round_trip_base()?;
        let window = narrowed_by_base(unknown, base);
        let stddev = nanos_to_f64(duration_to_nanos(estimate.stddev()));
        let belief = Self {
            mean: estimate.offset(),
            stddev,
            queueing: nanos_to_f64(duration_to_nanos(progress.queueing()?)),
            early: nanos_to_f64(duration_to_nanos(shortest.saturating_sub(base))) / 2.0,
            window,
        };
        // If the estimator is clearly less certain than a uniform distribution over the window, use
        // that distribution.
        let Some(window) = window else { return Some(belief) };
        let uniform = nanos_to_f64(duration_to_nanos(window.width())) / 12.0_f64.sqrt();
        if stddev <= max_relative_stddev * uniform {
            return Some(belief);
        }
        Some(Self { mean: window.midpoint(), stddev: uniform, ..belief })
    }

    /// The send time, not before `from`, for which the stamp is at a flip if the offset is `offset`
    /// and nothing queues.
    fn aim(&self, view: &View<'_>, offset: Offset, from: LocalInstant) -> LocalInstant {
        let early = Offset::from_nanos(f64_to_nanos(self.early));
        view.progress().aim(offset.saturating_sub(early), from)
    }
}

impl fmt::Debug for Adaptive {
    /// Leaves out the tuning: it consists of floats, and formatting floats would make small
    /// programs larger.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adaptive")
            .field("sweep", &self.sweep)
            .field("burst", &self.burst)
            .field("probes", &self.probes)
            .field("gain", &self.gain)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Gain {
    /// Leaves out the float: formatting floats would make small programs larger.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gain").field("observations", &self.observations).finish_non_exhaustive()
    }
}

impl Gain {
    fn is_exhausted(&mut self, stddev: f64, observations: u32, tuning: &AdaptiveTuning) -> bool {
        if stddev < tuning.min_gain_ratio * self.stddev {
            *self = Self { stddev, observations };
        }
        let without_gain = observations - self.observations;
        stddev <= tuning.min_stddev_ns || without_gain >= tuning.max_responses_without_gain
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::estimate::EstimatorKind;
    use crate::measure::Next;
    use crate::measurement::EndReason;
    use crate::{CrossTimestamp, Exchange, Measure, Measurement, Timestamp};

    const MS: i64 = 1_000_000;
    const OFFSET_NS: i64 = 38_116_000_123;

    /// A measurement in simulated time, and the times of its requests.
    struct Run {
        measurement: Measurement,
        sent: Vec<i64>,
        most_outstanding: usize,
    }

    impl Run {
        fn error_ns(&self) -> i64 {
            (self.measurement.offset().as_nanos() - OFFSET_NS).abs()
        }

        fn shortest_gap_ns(&self) -> Option<i64> {
            self.sent.windows(2).map(|pair| pair[1] - pair[0]).min()
        }

        fn lasted_ns(&self) -> i64 {
            self.sent[self.sent.len() - 1] - self.sent[0]
        }
    }

    /// Runs a measurement. Each path takes half of `base_ns` plus a uniform delay of up to
    /// `jitter_ns`.
    fn run(config: &Config, base_ns: i64, jitter_ns: i64, seed: u64) -> Run {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut way = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            base_ns / 2 + i64::try_from(state >> 1).unwrap_or(0) % jitter_ns
        };
        let wall = Timestamp::from_unix_nanos(1_795_392_000_123_456_789);
        let cross_timestamp = |now| {
            let at = LocalInstant::from_nanos(now);
            CrossTimestamp::new(at, wall.saturating_add(Offset::from_nanos(now)), Duration::ZERO)
        };
        let mut measure = Measure::new(config, cross_timestamp(0));
        let (mut now, mut in_flight, mut sent) = (0, Vec::new(), Vec::new());
        let mut most_outstanding = 0;
        loop {
            let next = measure.next(LocalInstant::from_nanos(now));
            let again = measure.next(LocalInstant::from_nanos(now));
            assert_eq!(next, again, "a plan that was not kept changes nothing");
            let first = in_flight.iter().copied().min_by_key(|(_, received, _)| *received);
            match (next, first) {
                (Next::SendAt(at), first)
                    if first.is_none_or(|(_, received, _)| at.as_nanos() <= received) =>
                {
                    now = now.max(at.as_nanos());
                    measure.sent(LocalInstant::from_nanos(now));
                    let stamped = now + way();
                    let server = wall.as_unix_nanos() + stamped + OFFSET_NS;
                    in_flight.push((now, stamped + way(), server.div_euclid(1_000_000_000)));
                    sent.push(now);
                    most_outstanding = most_outstanding.max(in_flight.len());
                }
                (_, Some(reply @ (left, received, seconds))) => {
                    in_flight.retain(|other| *other != reply);
                    now = now.max(received);
                    let date = Timestamp::from_unix_seconds(seconds).expect("in range");
                    let (left, now) =
                        (LocalInstant::from_nanos(left), LocalInstant::from_nanos(now));
                    measure
                        .absorb(&Exchange::from_parts_unchecked(left, now, date))
                        .expect("consistent");
                }
                (_, None) => {
                    let measurement = measure.finish(cross_timestamp(now)).expect("measured");
                    return Run { measurement, sent, most_outstanding };
                }
            }
        }
    }

    fn of(profile: Profile) -> Config {
        Config::builder().profile(profile).build().expect("in range")
    }

    #[test]
    fn polite_never_sends_twice_within_a_second() {
        for seed in 1..50 {
            let run = run(&of(Profile::Polite), 2 * MS, MS, seed);
            assert!(run.shortest_gap_ns() >= Some(1000 * MS), "seed {seed}: {:?}", run.sent);
            assert_eq!((run.sent.len(), run.most_outstanding), (24, 1), "seed {seed}");
            assert!(run.error_ns() < 2 * MS, "seed {seed}: {} ns", run.error_ns());
        }
    }

    #[test]
    fn balanced_has_one_request_and_one_check_in_flight_and_keeps_to_48_requests_and_12_seconds() {
        for seed in 1..50 {
            for base_ns in [MS / 5, 20 * MS, 100 * MS] {
                let run = run(&of(Profile::Balanced), base_ns, base_ns / 10, seed);
                assert!(run.most_outstanding <= 2, "seed {seed}");
                assert!(run.sent.len() <= 48, "seed {seed}: {} requests", run.sent.len());
                assert!(run.lasted_ns() <= 12_000 * MS, "seed {seed}: {} ns", run.lasted_ns());
                assert!(run.error_ns() < base_ns / 4, "seed {seed}: {} ns", run.error_ns());
            }
        }
    }

    #[test]
    fn fast_has_several_requests_in_flight_on_a_long_path_but_no_more_than_four_and_a_check() {
        for seed in 1..50 {
            let run = run(&of(Profile::Fast), 100 * MS, 10 * MS, seed);
            assert!((2..=5).contains(&run.most_outstanding), "seed {seed}");
            assert!(run.error_ns() < 10 * MS, "seed {seed}: {} ns", run.error_ns());
        }
    }

    #[test]
    fn few_requests_are_spent_as_well_as_bisection_would() {
        let config = Config::builder().requests(7).build().expect("in range");
        for seed in 1..50 {
            let run = run(&config, MS, MS / 10, seed);
            assert!(run.error_ns() < 1000 * MS / 64, "seed {seed}: {} ns", run.error_ns());
        }
    }

    /// A configuration that expects the offset within a millisecond of a value. The value differs
    /// from the true offset by `off_ns`.
    fn expecting(off_ns: i64, requests: u32) -> Config {
        let at = |nanos| Offset::from_nanos(OFFSET_NS + off_ns + nanos);
        let config = Config::builder().requests(requests).lag(Duration::ZERO).build();
        config.expect("in range").with_expected(Interval::between(at(-MS), at(MS)))
    }

    #[test]
    fn what_is_expected_is_found_with_few_requests_and_in_few_seconds() {
        for seed in 1..50 {
            let run = run(&expecting(0, 6), MS, MS / 10, seed);
            assert!(run.error_ns() < MS, "seed {seed}: {} ns", run.error_ns());
            let width = run.measurement.bounds().width();
            assert!(width < Duration::from_millis(5), "seed {seed}: {width:?}");
            assert!(run.lasted_ns() < 4000 * MS, "seed {seed}: {} ns", run.lasted_ns());
        }
    }

    #[test]
    fn a_wrong_expectation_costs_a_few_requests_and_nothing_else() {
        for seed in 1..50 {
            for off_ns in [-400 * MS, -3 * MS, 3 * MS, 100 * MS, 5_000_000 * MS] {
                let run = run(&expecting(off_ns, 12), MS, MS / 10, seed);
                assert!(run.error_ns() < 1000 * MS / 256, "seed {seed}: {} ns", run.error_ns());
                let truth = Offset::from_nanos(OFFSET_NS);
                assert!(run.measurement.bounds().contains(truth), "seed {seed}, off {off_ns}");
            }
        }
    }

    #[test]
    fn it_has_enough_when_more_requests_do_not_help_whatever_the_estimator() {
        for kind in EstimatorKind::ALL {
            let config = Config::builder()
                .requests(1000)
                .duration(Duration::from_secs(3600))
                .estimator(*kind)
                .build()
                .expect("in range");
            let run = run(&config, 2 * MS, MS, 7);
            let ended = run.measurement.end_reason();
            assert!(matches!(ended, EndReason::Enough), "{kind:?}: {ended:?}");
            assert!(run.sent.len() < 300, "{kind:?}: {} requests", run.sent.len());
        }
    }
}
