use std::fmt;
use std::time::Duration;

use super::scan::{HALF_A_SECOND, Sweep, narrowed_by_base, requests_in_window};
use super::{Plan, Profile, Schedule, View, is_off_target};
use crate::time::{
    Interval, LocalInstant, Offset, duration_to_nanos, f64_to_nanos, nanos_to_duration,
    nanos_to_f64,
};

/// Aims each request according to the estimator's distribution, as densely as its [`Profile`]
/// permits.
///
/// Let σ be the standard deviation of the estimate and q the mean queueing on the forward path.
///
/// - While σ ≥ 1.5 q, several requests are sent around one flip, evenly over the window in which it
///   can be. They cost requests and save seconds. ([`Polite`](Profile::Polite) bisects instead.)
/// - Afterwards each request is aimed at the estimate plus σ q / (σ + q), which compensates for
///   queueing. (Probabilistic bisection; the aim was found by simulation.)
///
/// If an offset is [expected](crate::config::Config::with_expected), the first requests are aimed
/// at the two ends of that interval.
///
/// The schedule ends when σ is at the resolution of reading a clock, or when sixteen consecutive
/// responses have not reduced it by a tenth. The latter happens with a model that does not fit, or
/// with an estimator that does not learn.
#[derive(Debug, Clone)]
pub struct Adaptive {
    tuning: Tuning,
    sweep: Sweep,
    /// The requests so far that were aimed at one flip, and the same with the planned one.
    burst: Burst,
    planned: Burst,
    probes: Probes,
    gain: Gain,
}

/// Requests at the ends of the expected interval.
#[derive(Debug, Clone, Copy, Default)]
struct Probes {
    sent: u32,
    /// Whether the planned request is one.
    planned: bool,
}

/// The parameters that depend on the profile.
#[derive(Debug, Clone, Copy)]
struct Tuning {
    /// Requests around the first flip, the second, and later ones while the uncertainty is large; 0
    /// bisects.
    scan: [u32; 3],
    /// The number of requests in flight at once, each on its own connection.
    connections: u32,
    /// The minimum time between two requests.
    min_interval: Duration,
}

/// Requests that are aimed at one flip at the same time.
#[derive(Debug, Clone, Copy, Default)]
struct Burst {
    at: Option<LocalInstant>,
    aimed: u32,
}

/// The last reduction of the standard deviation.
#[derive(Clone, Copy)]
struct Gain {
    stddev: f64,
    observations: u32,
}

/// The estimate of the offset. In nanoseconds, except for the interval.
#[derive(Debug, Clone, Copy)]
struct Belief {
    mean: Offset,
    stddev: f64,
    queueing: f64,
    /// Half of the shortest round trip's excess over one without queueing: an aim that uses the
    /// shortest round trip is early by this.
    early: f64,
    window: Option<Interval>,
}

impl Adaptive {
    /// A schedule with the parameters of `profile`.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self {
            tuning: Tuning::of(profile),
            sweep: Sweep::default(),
            burst: Burst::default(),
            planned: Burst::default(),
            probes: Probes::default(),
            gain: Gain { stddev: f64::INFINITY, observations: 0 },
        }
    }

    /// Requests at the ends of the expected interval, while the uncertainty is much larger: two
    /// responses as expected reduce it to that interval.
    fn probe(&mut self, view: &View<'_>, belief: &Belief, from: LocalInstant) -> Option<Plan> {
        let window = belief.window?;
        let inside = view.expected()?.intersection(window)?;
        if self.probes.sent >= MAX_PROBES || window.width() < 4 * inside.width() {
            return None;
        }
        let queueing = nanos_to_duration(f64_to_nanos(4.0 * belief.queueing));
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

    /// Requests evenly over the window in which the flip can be. Their number is limited by the
    /// profile, by the remaining requests per second, and by what the connections can carry during
    /// the window.
    fn scan(
        &mut self,
        view: &View<'_>,
        belief: &Belief,
        window: Interval,
        from: LocalInstant,
    ) -> Plan {
        let Tuning { scan, connections, .. } = self.tuning;
        let aim = |offset, from| belief.aim(view, offset, from);
        let requests = |flips, width| {
            let wanted = match flips {
                0 => scan[0],
                1 => scan[1],
                _ => scan[2],
            };
            wanted.min(requests_in_window(view, width, connections)).min(affordable_requests(view))
        };
        match self.sweep.plan(view, &aim, window, from, connections, requests) {
            Some(plan) => {
                self.planned = Burst::default();
                plan
            }
            None => self.plan_aimed(view, belief, from),
        }
    }

    /// One request where its expected information is largest. If the noise of a single response
    /// matters, as many as there are connections.
    fn plan_aimed(&mut self, view: &View<'_>, belief: &Belief, from: LocalInstant) -> Plan {
        let progress = view.progress();
        let mut burst = Burst::default();
        if progress.scheduled_in_flight() > 0 {
            let same =
                self.burst.at.zip(progress.last_sent()).is_some_and(|(at, last)| {
                    last >= at && last.saturating_since(at) < HALF_A_SECOND
                });
            if !(same && self.burst.aimed < self.tuning.connections && belief.is_noise_limited()) {
                return Plan::AwaitReply;
            }
            burst = self.burst;
        }
        let Belief { stddev, queueing, .. } = *belief;
        let lead = stddev * queueing / (stddev + queueing);
        let offset = belief.mean.saturating_add(Offset::from_nanos(f64_to_nanos(lead)));
        let at = belief.aim(view, offset, from);
        self.sweep.abort();
        self.planned = Burst { at: burst.at.or(Some(at)), aimed: burst.aimed + 1 };
        Plan::SendAt(at)
    }
}

/// The remaining seconds, and so flips, of the time limit.
fn remaining_flips(view: &View<'_>) -> u32 {
    let begun = view.progress().first_sent().unwrap_or(view.earliest());
    let spent = view.earliest().saturating_since(begun);
    let left = view.limits().duration().saturating_sub(spent).as_millis().div_ceil(1000).max(1);
    u32::try_from(left).unwrap_or(u32::MAX)
}

/// The number of requests around a flip at which the remaining requests last until the time limit.
/// There is a flip each second. Four flips are scanned, each on average half-way and one request
/// further; the later ones take one request each.
fn affordable_requests(view: &View<'_>) -> u32 {
    let (progress, limits) = (view.progress(), view.limits());
    let flips = remaining_flips(view);
    let scanned = flips.min(4);
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
        let Some(belief) = Belief::from_view(view) else {
            let waiting = progress.scheduled_in_flight() > 0;
            return if waiting { Plan::AwaitReply } else { Plan::SendAt(from) };
        };
        if self.gain.is_exhausted(belief.stddev, progress.observations()) {
            return Plan::Enough;
        }
        if let Some(plan) = self.probe(view, &belief, from) {
            return plan;
        }
        match belief.window {
            Some(window) if self.tuning.scan[0] > 0 && !belief.is_noise_limited() => {
                self.scan(view, &belief, window, from)
            }
            _ => self.plan_aimed(view, &belief, from),
        }
    }

    fn min_interval(&self) -> Duration {
        self.tuning.min_interval
    }

    /// With several requests at once, seconds cost more than requests: the flip is missed in any
    /// case, and the response may still be useful.
    fn is_missed(&self, view: &View<'_>, late: Duration) -> bool {
        self.tuning.connections == 1 && is_off_target(view, late)
    }
}

impl Belief {
    fn from_view(view: &View<'_>) -> Option<Self> {
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
        // An estimator with a larger uncertainty than the window itself is not used.
        let Some(window) = window else { return Some(belief) };
        let uniform = nanos_to_f64(duration_to_nanos(window.width())) / 12.0_f64.sqrt();
        if stddev <= 1.2 * uniform {
            return Some(belief);
        }
        Some(Self { mean: window.midpoint(), stddev: uniform, ..belief })
    }

    /// Whether the queueing of a single exchange matters compared with the uncertainty.
    fn is_noise_limited(&self) -> bool {
        self.stddev < 1.5 * self.queueing
    }

    /// When to send so that the stamp is on a flip, if the offset is `offset` and there is no
    /// queueing.
    fn aim(&self, view: &View<'_>, offset: Offset, from: LocalInstant) -> LocalInstant {
        let early = Offset::from_nanos(f64_to_nanos(self.early));
        view.progress().aim(offset.saturating_sub(early), from)
    }
}

impl fmt::Debug for Gain {
    /// Without its float: formatting floats would make small programs larger.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gain").field("observations", &self.observations).finish_non_exhaustive()
    }
}

impl Gain {
    fn is_exhausted(&mut self, stddev: f64, observations: u32) -> bool {
        if stddev < 0.9 * self.stddev {
            *self = Self { stddev, observations };
        }
        stddev <= MIN_STDDEV_NS || observations - self.observations >= MAX_RESPONSES_WITHOUT_GAIN
    }
}

impl Tuning {
    /// Found by simulation on paths from 0.2 to 200 ms.
    const fn of(profile: Profile) -> Self {
        match profile {
            Profile::Polite => Self { scan: [0; 3], connections: 1, min_interval: SECOND },
            Profile::Balanced => {
                Self { scan: [6, 5, 4], connections: 1, min_interval: Duration::ZERO }
            }
            Profile::Fast => {
                Self { scan: [24, 16, 8], connections: 4, min_interval: Duration::ZERO }
            }
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
/// The standard deviation at which only the resolution of reading the clocks remains, in
/// nanoseconds.
const MIN_STDDEV_NS: f64 = 500.0;
/// The limit of requests for an expected interval.
const MAX_PROBES: u32 = 4;
/// The limit of consecutive responses without an improvement.
const MAX_RESPONSES_WITHOUT_GAIN: u32 = 16;

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

    /// A measurement in virtual time, and its requests.
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

    /// Each direction takes half of the base plus a uniform delay of up to `jitter_ns`.
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

    /// The offset is expected within a millisecond of a value that is this far from the truth.
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
