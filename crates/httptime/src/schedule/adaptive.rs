use std::fmt;
use std::time::Duration;

use super::scan::{HALF_A_SECOND, Sweep, carried, within};
use super::{Plan, Profile, Schedule, View, misses_its_aim};
use crate::time::{
    Interval, LocalInstant, Offset, duration_to_nanos, f64_to_nanos, nanos_to_duration,
    nanos_to_f64,
};

/// Aims each request at what the estimator believes, as densely as its [`Profile`] allows.
///
/// While much is unknown, several requests go through one flip, evenly over the window in which it can come: they
/// cost requests and save seconds ([`Polite`](Profile::Polite) bisects instead). Once the belief is about as narrow as
/// the queueing, each request is aimed at the belief's mean plus σ q / (σ + q), where σ is the belief's standard
/// deviation and q the mean queueing on the way there, which the aim has to make up for. (Probabilistic bisection,
/// with an aim found by simulation.)
///
/// Where the offset is [expected](crate::config::Config::with_expected), it first asks at the two ends of that.
///
/// It has enough when the belief is as narrow as a clock can be read, and when sixteen responses in a row have not
/// made it a tenth narrower: that is what a model that does not fit, or an estimator that does not learn, looks like.
#[derive(Debug, Clone)]
pub struct Adaptive {
    tuning: Tuning,
    sweep: Sweep,
    /// The requests so far that were aimed at one flip, and those including the one that is planned.
    volley: Volley,
    planned: Volley,
    probes: Probes,
    gain: Gain,
}

/// Requests at the ends of where the offset is expected.
#[derive(Debug, Clone, Copy, Default)]
struct Probes {
    sent: u32,
    /// Whether the request that is planned is one.
    planned: bool,
}

/// What tells the profiles apart.
#[derive(Debug, Clone, Copy)]
struct Tuning {
    /// Requests through the first flip, the second, and later ones while much is unknown; 0 bisects.
    scan: [u32; 3],
    /// Requests under way at once, each on its own connection.
    connections: u32,
    /// The least time between two requests.
    gap: Duration,
}

/// Requests aimed at one flip all at once.
#[derive(Debug, Clone, Copy, Default)]
struct Volley {
    at: Option<LocalInstant>,
    aimed: u32,
}

/// When the belief last became narrower.
#[derive(Clone, Copy)]
struct Gain {
    stddev: f64,
    observations: u32,
}

/// Where the offset is believed to be. In nanoseconds but for the interval.
#[derive(Debug, Clone, Copy)]
struct Belief {
    mean: Offset,
    stddev: f64,
    queueing: f64,
    /// Half of the round trip's excess over one without queueing: an aim by the shortest seen is this much early.
    early: f64,
    window: Option<Interval>,
}

impl Adaptive {
    /// A schedule that spends as `profile` says.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self {
            tuning: Tuning::of(profile),
            sweep: Sweep::default(),
            volley: Volley::default(),
            planned: Volley::default(),
            probes: Probes::default(),
            gain: Gain { stddev: f64::INFINITY, observations: 0 },
        }
    }

    /// At the ends of where the offset is expected, while what is unknown goes far beyond them: two answers as expected, and
    /// nothing else is unknown any more.
    fn probe(&mut self, view: &View<'_>, belief: &Belief, from: LocalInstant) -> Option<Plan> {
        let window = belief.window?;
        let inside = view.expected()?.intersection(window)?;
        if self.probes.sent >= PROBES || window.width() < 4 * inside.width() {
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
        self.sweep.interrupt();
        self.planned = Volley::default();
        self.probes.planned = true;
        Some(Plan::SendAt(at))
    }

    /// Evenly through the window in which the flip can come, as many as the profile says, as the limits leave for each
    /// second, and as the connections can carry while the window lasts.
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
            wanted.min(carried(view, width, connections)).min(affordable(view))
        };
        match self.sweep.plan(view, &aim, window, from, connections, requests) {
            Some(plan) => {
                self.planned = Volley::default();
                plan
            }
            None => self.aimed(view, belief, from),
        }
    }

    /// One request where it tells most; when the noise of a single answer counts, as many as there are connections.
    fn aimed(&mut self, view: &View<'_>, belief: &Belief, from: LocalInstant) -> Plan {
        let progress = view.progress();
        let mut volley = Volley::default();
        if progress.scheduled_in_flight() > 0 {
            let same =
                self.volley.at.zip(progress.last_sent()).is_some_and(|(at, last)| {
                    last >= at && last.saturating_since(at) < HALF_A_SECOND
                });
            if !(same && self.volley.aimed < self.tuning.connections && belief.is_late()) {
                return Plan::AwaitReply;
            }
            volley = self.volley;
        }
        let Belief { stddev, queueing, .. } = *belief;
        let lead = stddev * queueing / (stddev + queueing);
        let offset = belief.mean.saturating_add(Offset::from_nanos(f64_to_nanos(lead)));
        let at = belief.aim(view, offset, from);
        self.sweep.interrupt();
        self.planned = Volley { at: volley.at.or(Some(at)), aimed: volley.aimed + 1 };
        Plan::SendAt(at)
    }
}

/// Seconds, and so flips, that are left of the time allowed.
fn flips_left(view: &View<'_>) -> u32 {
    let begun = view.progress().first_sent().unwrap_or(view.earliest());
    let spent = view.earliest().saturating_since(begun);
    let left = view.limits().duration().saturating_sub(spent).as_millis().div_ceil(1000).max(1);
    u32::try_from(left).unwrap_or(u32::MAX)
}

/// Requests to plan through a flip so that they last as long as the time does. A flip comes each second; four are
/// scanned, half-way on average and one request past it; those after take one request each.
fn affordable(view: &View<'_>) -> u32 {
    let (progress, limits) = (view.progress(), view.limits());
    let flips = flips_left(view);
    let scanned = flips.min(4);
    let requests = limits.requests().saturating_sub(progress.requests());
    let spare = requests.saturating_sub(flips - scanned);
    (spare.saturating_mul(2) / scanned).saturating_sub(2)
}

impl Default for Adaptive {
    /// With the default profile.
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
        if self.sweep.settle(progress.scheduled()) {
            self.volley = self.planned;
            self.probes.sent += u32::from(self.probes.planned);
        }
        self.probes.planned = false;
        let from = progress.last_sent().map_or(view.earliest(), |last| {
            last.saturating_add(self.tuning.gap).max(view.earliest())
        });
        let Some(belief) = Belief::read(view) else {
            let waiting = progress.scheduled_in_flight() > 0;
            return if waiting { Plan::AwaitReply } else { Plan::SendAt(from) };
        };
        if self.gain.exhausted(belief.stddev, progress.observations()) {
            return Plan::Enough;
        }
        if let Some(plan) = self.probe(view, &belief, from) {
            return plan;
        }
        match belief.window {
            Some(window) if self.tuning.scan[0] > 0 && !belief.is_late() => {
                self.scan(view, &belief, window, from)
            }
            _ => self.aimed(view, &belief, from),
        }
    }

    fn gap(&self) -> Duration {
        self.tuning.gap
    }

    /// Where several go out at once, seconds are dearer than requests: the flip is missed either way, and the answer may tell
    /// something.
    fn is_missed(&self, view: &View<'_>, late: Duration) -> bool {
        self.tuning.connections == 1 && misses_its_aim(view, late)
    }
}

impl Belief {
    fn read(view: &View<'_>) -> Option<Self> {
        let progress = view.progress();
        let estimate = view.aim()?;
        let unknown = progress.remaining_uncertainty()?;
        let shortest = progress.round_trip_min()?;
        let base = progress.round_trip_base()?;
        let window = within(unknown, base);
        let stddev = nanos_to_f64(duration_to_nanos(estimate.stddev()));
        let belief = Self {
            mean: estimate.offset(),
            stddev,
            queueing: nanos_to_f64(duration_to_nanos(progress.queueing()?)),
            early: nanos_to_f64(duration_to_nanos(shortest.saturating_sub(base))) / 2.0,
            window,
        };
        // An estimator that makes less of the observations than the window itself does is no guide.
        let Some(window) = window else { return Some(belief) };
        let uniform = nanos_to_f64(duration_to_nanos(window.width())) / 12.0_f64.sqrt();
        if stddev <= 1.2 * uniform {
            return Some(belief);
        }
        Some(Self { mean: window.midpoint(), stddev: uniform, ..belief })
    }

    /// Whether the queueing of a single exchange is as large as what is unknown.
    fn is_late(&self) -> bool {
        self.stddev < 1.5 * self.queueing
    }

    /// When to send so that the stamp falls on a flip if the offset is `offset` and nothing queues.
    fn aim(&self, view: &View<'_>, offset: Offset, from: LocalInstant) -> LocalInstant {
        let early = Offset::from_nanos(f64_to_nanos(self.early));
        view.progress().aim(offset.saturating_sub(early), from)
    }
}

impl fmt::Debug for Gain {
    /// Without its float, whose formatting a small program would have to carry.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gain").field("observations", &self.observations).finish_non_exhaustive()
    }
}

impl Gain {
    fn exhausted(&mut self, stddev: f64, observations: u32) -> bool {
        if stddev < 0.9 * self.stddev {
            *self = Self { stddev, observations };
        }
        stddev <= READABLE_NS || observations - self.observations >= PATIENCE
    }
}

impl Tuning {
    /// Found by simulation on paths from 0.2 to 200 ms.
    const fn of(profile: Profile) -> Self {
        match profile {
            Profile::Polite => Self { scan: [0; 3], connections: 1, gap: SECOND },
            Profile::Balanced => Self { scan: [6, 5, 4], connections: 1, gap: Duration::ZERO },
            Profile::Fast => Self { scan: [24, 16, 8], connections: 4, gap: Duration::ZERO },
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
/// A standard deviation below which only the reading of the clocks is left, in nanoseconds.
const READABLE_NS: f64 = 500.0;
/// Requests spent on an expectation.
const PROBES: u32 = 4;
/// Responses in a row that may bring nothing.
const PATIENCE: u32 = 16;

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

    /// A measurement in virtual time, and what it did.
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

    /// Each way takes half of the base and, evenly distributed, up to `jitter_ns` more.
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
        let (mut now, mut under_way, mut sent) = (0, Vec::new(), Vec::new());
        let mut most_outstanding = 0;
        loop {
            let next = measure.next(LocalInstant::from_nanos(now));
            let again = measure.next(LocalInstant::from_nanos(now));
            assert_eq!(next, again, "a plan that was not kept changes nothing");
            let first = under_way.iter().copied().min_by_key(|(_, received, _)| *received);
            match (next, first) {
                (Next::SendAt(at), first)
                    if first.is_none_or(|(_, received, _)| at.as_nanos() <= received) =>
                {
                    now = now.max(at.as_nanos());
                    measure.sent(LocalInstant::from_nanos(now));
                    let stamped = now + way();
                    let server = wall.as_unix_nanos() + stamped + OFFSET_NS;
                    under_way.push((now, stamped + way(), server.div_euclid(1_000_000_000)));
                    sent.push(now);
                    most_outstanding = most_outstanding.max(under_way.len());
                }
                (_, Some(reply @ (left, received, seconds))) => {
                    under_way.retain(|other| *other != reply);
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
    fn balanced_has_one_request_and_one_check_under_way_and_keeps_to_48_requests_and_12_seconds() {
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
    fn fast_has_several_requests_under_way_on_a_long_path_but_no_more_than_four_and_a_check() {
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

    /// The offset is expected within a millisecond of one that is so far off the truth.
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
