//! Invariants for every input: intervals, the majority, bounds, estimates, and the limits on
//! requests and time.
//!
//! The seed is fixed, so that every run is the same everywhere. `PROPTEST_RNG_SEED` and
//! `PROPTEST_CASES` change the seed and the number of cases.

use std::time::Duration;

use httptime::Config;
use httptime::Next;
use httptime::estimate::EstimatorKind;
use httptime::schedule::{Profile, ScheduleKind};
use httptime::select::{Quorum, combine, select};
use httptime::{
    CrossTimestamp, Error, Exchange, Interval, LocalInstant, Measure, Measurement, Offset,
    Timestamp,
};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;

const S: i64 = 1_000_000_000;
/// 2026-11-23T00:00:00Z.
const WALL_NS: i64 = 1_795_392_000 * S;
const YEAR_NS: i64 = 365 * 86_400 * S;

fn of(cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(0x6874_7470);
    }
    config
}

fn nanos(nanos: i64) -> Offset {
    Offset::from_nanos(nanos)
}

fn at(nanos: i64) -> LocalInstant {
    LocalInstant::from_nanos(nanos)
}

/// Often close together, sometimes at the ends of the range.
fn any_offset() -> impl Strategy<Value = Offset> {
    prop_oneof![
        4 => -20_i64..20,
        2 => any::<i64>(),
        1 => prop::sample::select(vec![i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX]),
    ]
    .prop_map(nanos)
}

fn any_interval() -> impl Strategy<Value = Interval> {
    (any_offset(), any_offset()).prop_map(|(one, other)| Interval::between(one, other))
}

fn any_duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0_u64..50).prop_map(Duration::from_nanos),
        any::<u64>().prop_map(Duration::from_nanos),
        Just(Duration::MAX),
    ]
}

fn is_inside(inner: Interval, outer: Interval) -> bool {
    outer.lower() <= inner.lower() && inner.upper() <= outer.upper()
}

proptest! {
    #![proptest_config(of(2000))]

    #[test]
    fn an_intersection_holds_what_both_hold_and_nothing_else(
        one in any_interval(), other in any_interval(), offset in any_offset(),
    ) {
        let common = one.intersection(other);
        prop_assert_eq!(common, other.intersection(one));
        prop_assert_eq!(one.intersection(one), Some(one));
        let inside = common.is_some_and(|common| common.contains(offset));
        prop_assert_eq!(inside, one.contains(offset) && other.contains(offset));
    }

    #[test]
    fn intersections_may_be_made_in_any_order(
        a in any_interval(), b in any_interval(), c in any_interval(),
    ) {
        let left = a.intersection(b).and_then(|common| common.intersection(c));
        let right = b.intersection(c).and_then(|common| common.intersection(a));
        prop_assert_eq!(left, right);
    }

    #[test]
    fn midpoint_and_clamped_offsets_lie_inside(one in any_interval(), offset in any_offset()) {
        prop_assert!(one.contains(one.midpoint()));
        prop_assert!(one.contains(one.clamp(offset)));
        prop_assert_eq!(one.clamp(offset) == offset, one.contains(offset));
    }

    #[test]
    fn widened_intervals_hold_the_narrow_ones(
        one in any_interval(), less in any_duration(), more in any_duration(),
    ) {
        let (less, more) = (less.min(more), less.max(more));
        prop_assert!(is_inside(one, one.widened(less)));
        prop_assert!(is_inside(one.widened(less), one.widened(more)));
    }

    #[test]
    fn two_cross_timestamps_of_an_unset_clock_show_no_step(
        instant in -YEAR_NS..YEAR_NS,
        wall in 0..50 * YEAR_NS,
        elapsed in 0..YEAR_NS,
        step in -YEAR_NS..YEAR_NS,
    ) {
        let wall = Timestamp::from_unix_nanos(wall);
        let cross_timestamp = CrossTimestamp::new(at(instant), wall, Duration::ZERO);
        let later = at(instant + elapsed);
        prop_assert_eq!(cross_timestamp.instant_at(cross_timestamp.wall_at(later)), later);
        let set = cross_timestamp.wall_at(later).saturating_add(nanos(step));
        let second = CrossTimestamp::new(later, set, Duration::ZERO);
        prop_assert_eq!(cross_timestamp.stepped_by(second), nanos(step));
    }

    #[test]
    fn a_majority_is_one_and_no_larger_one_exists(
        intervals in prop::collection::vec(any_interval(), 0..9), rotation in any::<Index>(),
    ) {
        let counted = |offset| intervals.iter().filter(|one| one.contains(offset)).count();
        let most = intervals.iter().map(|one| counted(one.lower())).max().unwrap_or(0);
        let quorum = Quorum::majority_of(intervals.len());
        let selected = select(&intervals, quorum);
        match &selected {
            Ok(selection) => {
                let bounds = selection.bounds();
                let survive = selection.survivors().iter().filter(|survives| **survives).count();
                prop_assert!(2 * survive > intervals.len());
                prop_assert_eq!(survive, most);
                let survivors: Vec<_> = intervals
                    .iter()
                    .zip(selection.survivors())
                    .filter_map(|(one, survives)| survives.then_some(*one))
                    .collect();
                let first = survivors.iter().map(|one| one.lower()).max().expect("a majority");
                prop_assert!(survivors.iter().all(|one| one.contains(first)), "one point in common");
                for end in [bounds.lower(), bounds.upper()] {
                    prop_assert!(2 * counted(end) > intervals.len(), "more than half agree on it");
                }
                prop_assert!(bounds.contains(first));
            }
            Err(Error::NothingMeasured) => prop_assert!(intervals.is_empty()),
            Err(Error::NoMajority { agreeing, .. }) => {
                prop_assert_eq!(*agreeing, most);
                prop_assert!(2 * most <= intervals.len());
            }
            Err(Error::AmbiguousMajority { first, second }) => {
                prop_assert_eq!(counted(first.midpoint()), most);
                prop_assert_eq!(counted(second.midpoint()), most);
            }
            Err(error) => prop_assert!(false, "{}", error),
        }
        if !intervals.is_empty() {
            let mut rotated = intervals.clone();
            rotated.rotate_left(rotation.index(intervals.len()));
            let again = select(&rotated, quorum).map(|selection| selection.bounds());
            prop_assert_eq!(
                again.map_err(|error| error.kind()),
                selected.map(|selection| selection.bounds()).map_err(|error| error.kind())
            );
        }
    }
}

/// A server that is right except for its offset and a constant drift, and requests to it.
#[derive(Debug, Clone)]
struct World {
    /// The offset at `at(0)`.
    offset_ns: i64,
    drift_ppm: i64,
    lag_allowed: Duration,
    requests: Vec<Request>,
}

#[derive(Debug, Clone, Copy)]
struct Request {
    sent_ns: i64,
    forward_ns: i64,
    back_ns: i64,
    lag_ns: i64,
}

impl Request {
    fn round_trip_ns(&self) -> i64 {
        self.forward_ns + self.back_ns
    }
}

impl World {
    /// The true offset at an instant, to a nanosecond.
    fn truth_ns(&self, at_ns: i64) -> i64 {
        let drifted = i128::from(at_ns) * i128::from(self.drift_ppm) / 1_000_000;
        self.offset_ns + i64::try_from(drifted).expect("minutes")
    }

    /// The exchange, with all instants later by `later_ns`.
    fn exchange(&self, request: &Request, later_ns: i64) -> Exchange<'static> {
        let stamped = request.sent_ns + request.forward_ns;
        let server = WALL_NS + stamped + self.truth_ns(stamped) - request.lag_ns;
        let date = Timestamp::from_unix_seconds(server.div_euclid(S)).expect("in range");
        let (sent, received) = (request.sent_ns, stamped + request.back_ns);
        Exchange::from_parts_unchecked(at(sent + later_ns), at(received + later_ns), date)
    }

    fn config(&self, kind: EstimatorKind) -> Config {
        let builder = Config::builder().estimator(kind).lag(self.lag_allowed).floor(None);
        builder.build().expect("in range")
    }

    fn cross_timestamp(&self, at_ns: i64, later_ns: i64) -> CrossTimestamp {
        let wall = Timestamp::from_unix_nanos(WALL_NS + at_ns);
        CrossTimestamp::new(at(at_ns + later_ns), wall, Duration::ZERO)
    }

    /// Absorbs the exchanges in this order. Shifts all instants, and all dates.
    fn measured(
        &self,
        kind: EstimatorKind,
        order: &[Request],
        later_ns: i64,
        ahead: Offset,
    ) -> Result<Measure, Error> {
        let mut measure = Measure::new(&self.config(kind), self.cross_timestamp(0, later_ns));
        for request in order {
            let exchange = self.exchange(request, later_ns);
            let date = exchange.date().saturating_add(ahead);
            measure.sent(exchange.sent());
            measure.absorb(&Exchange::from_parts_unchecked(
                exchange.sent(),
                exchange.received(),
                date,
            ))?;
        }
        Ok(measure)
    }

    fn finished(&self, measure: Measure, later_ns: i64) -> Result<Measurement, Error> {
        measure.finish(self.cross_timestamp(100 * S, later_ns))
    }
}

/// From a tenth of a millisecond to some seconds, more often short.
fn any_way() -> impl Strategy<Value = i64> {
    prop_oneof![0_i64..2, 1_000_i64..300_000, 1_000_000_i64..50_000_000, 0..3 * S]
}

fn any_world() -> impl Strategy<Value = World> {
    let offset = prop_oneof![-S..S, -10 * YEAR_NS..10 * YEAR_NS];
    let lag = prop_oneof![Just(0_i64), Just(1_000_000), Just(1_020_000_000)];
    (offset, -100_i64..=100, lag).prop_flat_map(|(offset_ns, drift_ppm, lag_ns)| {
        let request = (0..90 * S, any_way(), any_way(), 0..=lag_ns).prop_map(
            |(sent_ns, forward_ns, back_ns, lag_ns)| Request {
                sent_ns,
                forward_ns,
                back_ns,
                lag_ns,
            },
        );
        prop::collection::vec(request, 1..40).prop_map(move |requests| World {
            offset_ns,
            drift_ppm,
            lag_allowed: Duration::from_nanos(lag_ns.unsigned_abs()),
            requests,
        })
    })
}

fn any_estimator() -> impl Strategy<Value = EstimatorKind> {
    prop::sample::select(EstimatorKind::ALL)
}

/// The possible difference between bounds that were aged in different steps: each step rounds up to
/// a nanosecond.
fn rounding(world: &World) -> Duration {
    Duration::from_nanos(world.requests.len() as u64)
}

proptest! {
    #![proptest_config(of(150))]

    #[test]
    fn bounds_hold_the_truth_and_do_not_depend_on_the_order(
        (world, order) in any_world().prop_flat_map(|world| {
            let order = Just(world.requests.clone()).prop_shuffle();
            (Just(world), order)
        }),
        kind in any_estimator(),
    ) {
        let one = world.measured(kind, &world.requests, 0, Offset::ZERO)?;
        let other = world.measured(kind, &order, 0, Offset::ZERO)?;
        let (one, other) = (world.finished(one, 0)?, world.finished(other, 0)?);
        prop_assert_eq!(one.at(), other.at());
        prop_assert!(is_inside(one.bounds(), other.bounds().widened(rounding(&world))));
        prop_assert!(is_inside(other.bounds(), one.bounds().widened(rounding(&world))));
        let truth = nanos(world.truth_ns(one.at().as_nanos()));
        prop_assert!(one.bounds().contains(truth), "{} in {}", truth, one.bounds());
        prop_assert_eq!(one.round_trip_min(), other.round_trip_min());
        prop_assert_eq!(one.observations(), other.observations());
    }

    /// Two estimators depend on the order and are left out: the last date, and htpdate's bisection,
    /// which continues from its earlier result.
    #[test]
    fn estimates_do_not_depend_on_the_order(
        (world, order) in any_world().prop_flat_map(|world| {
            let order = Just(world.requests.clone()).prop_shuffle();
            (Just(world), order)
        }),
        kind in prop::sample::select(vec![
            EstimatorKind::Midpoint,
            EstimatorKind::Intersection,
            EstimatorKind::Symmetric,
            EstimatorKind::Posterior,
        ]),
    ) {
        // If two exchanges have the shortest round trip, the first of them counts.
        let shortest = world.requests.iter().map(Request::round_trip_ns).min();
        let is_shortest = |one: &&Request| Some(one.round_trip_ns()) == shortest;
        let equal = world.requests.iter().filter(is_shortest).count();
        prop_assume!(kind != EstimatorKind::Midpoint || equal == 1);
        let estimate = |order| {
            let measure = world.measured(kind, order, 0, Offset::ZERO)?;
            Ok::<_, Error>(measure.estimate().expect("measured"))
        };
        let (one, other) = (estimate(&world.requests)?, estimate(&order)?);
        let apart = one.offset().saturating_sub(other.offset()).abs();
        // The posterior finds the possible frequencies by bisection, to a millionth of its
        // deviation.
        let allowed = rounding(&world) + one.stddev() / 1_000_000;
        prop_assert!(apart <= allowed, "{:?}: {:?} and {:?}", kind, one, other);
    }

    #[test]
    fn estimates_lie_in_the_bounds_and_have_a_deviation(
        world in any_world(), kind in any_estimator(),
    ) {
        for known in 1..=world.requests.len() {
            let measure = world.measured(kind, &world.requests[..known], 0, Offset::ZERO)?;
            let (estimate, bounds) = measure.estimate().zip(measure.progress().bounds()).expect("measured");
            prop_assert!(bounds.contains(estimate.offset()));
            prop_assert!(!estimate.stddev().is_zero());
            prop_assert!(estimate.stddev() < Duration::from_secs(60), "{:?}", estimate.stddev());
        }
    }

    #[test]
    fn more_evidence_never_widens_the_bounds_but_for_the_drift(world in any_world()) {
        let mut measure = world.measured(EstimatorKind::Midpoint, &[], 0, Offset::ZERO)?;
        let mut before: Option<(Interval, LocalInstant)> = None;
        for request in &world.requests {
            let exchange = world.exchange(request, 0);
            measure.sent(exchange.sent());
            let observation = measure.absorb(&exchange)?;
            let (bounds, now) =
                measure.progress().bounds().zip(measure.progress().at()).expect("measured");
            if let Some((bounds_before, then)) = before {
                // 300 ppm.
                let drift = (3 * now.saturating_since(then).as_nanos()).div_ceil(10_000);
                let aged = bounds_before.widened(Duration::from_nanos(u64::try_from(drift)?));
                prop_assert!(is_inside(bounds, aged), "{} in {}", bounds, aged);
            }
            let aged = observation.bounds().widened(Duration::from_millis(60));
            prop_assert!(is_inside(bounds, aged), "no wider than what one exchange proves");
            before = Some((bounds, now));
        }
    }

    #[test]
    fn a_shift_of_all_dates_shifts_the_offset_and_nothing_else(
        world in any_world(), kind in any_estimator(), seconds in -1_000_000_000_i64..1_000_000_000,
    ) {
        let ahead = nanos(seconds * S);
        let plain = world.measured(kind, &world.requests, 0, Offset::ZERO)?;
        let shifted = world.measured(kind, &world.requests, 0, ahead)?;
        let (plain, shifted) = (world.finished(plain, 0)?, world.finished(shifted, 0)?);
        prop_assert_eq!(shifted.offset(), plain.offset().saturating_add(ahead));
        prop_assert_eq!(shifted.bounds().lower(), plain.bounds().lower().saturating_add(ahead));
        prop_assert_eq!(shifted.bounds().upper(), plain.bounds().upper().saturating_add(ahead));
        prop_assert_eq!(shifted.stddev(), plain.stddev());
        prop_assert_eq!(shifted.at(), plain.at());
    }

    #[test]
    fn a_local_clock_that_is_ahead_by_more_has_an_offset_that_is_less_by_as_much(
        world in any_world(), kind in any_estimator(), ahead in -10 * YEAR_NS..10 * YEAR_NS,
    ) {
        // htpdate uses the seconds of the local clock.
        let ahead = nanos(if kind == EstimatorKind::Htpdate { ahead / S * S } else { ahead });
        let cross_timestamp = |at_ns| {
            let read = world.cross_timestamp(at_ns, 0);
            let wall = read.wall().saturating_add(ahead);
            CrossTimestamp::new(read.instant(), wall, read.uncertainty())
        };
        let mut measure = Measure::new(&world.config(kind), cross_timestamp(0));
        for request in &world.requests {
            let exchange = world.exchange(request, 0);
            measure.sent(exchange.sent());
            measure.absorb(&exchange)?;
        }
        let shifted = measure.finish(cross_timestamp(100 * S))?;
        let plain = world.measured(kind, &world.requests, 0, Offset::ZERO)?;
        let plain = world.finished(plain, 0)?;
        prop_assert_eq!(shifted.offset().saturating_add(ahead), plain.offset());
        prop_assert_eq!(shifted.bounds().lower().saturating_add(ahead), plain.bounds().lower());
        prop_assert_eq!(shifted.bounds().upper().saturating_add(ahead), plain.bounds().upper());
        prop_assert_eq!(shifted.stddev(), plain.stddev());
    }

    #[test]
    fn the_origin_of_the_monotonic_clock_does_not_matter(
        world in any_world(), kind in any_estimator(), later in -100 * YEAR_NS..100 * YEAR_NS,
    ) {
        let plain = world.measured(kind, &world.requests, 0, Offset::ZERO)?;
        let later_one = world.measured(kind, &world.requests, later, Offset::ZERO)?;
        let (plain, later_one) = (world.finished(plain, 0)?, world.finished(later_one, later)?);
        prop_assert_eq!(plain.estimate(), later_one.estimate());
        prop_assert_eq!(plain.bounds(), later_one.bounds());
        prop_assert_eq!(plain.at().as_nanos() + later, later_one.at().as_nanos());
    }

    #[test]
    fn servers_that_agree_are_combined_within_the_bounds_of_each(
        world in any_world(), cuts in prop::collection::vec(any::<Index>(), 1..5),
    ) {
        let measured: Vec<Measurement> = cuts
            .iter()
            .map(|cut| {
                let part = &world.requests[cut.index(world.requests.len())..];
                world.finished(world.measured(EstimatorKind::Posterior, part, 0, Offset::ZERO)?, 0)
            })
            .collect::<Result<_, Error>>()?;
        let quorum = Quorum::majority_of(measured.len());
        let (all, survivors) = combine(&measured.iter().collect::<Vec<_>>(), quorum)?;
        prop_assert!(survivors.iter().all(|survives| *survives));
        prop_assert!(all.bounds().contains(all.offset()));
        prop_assert!(all.bounds().contains(nanos(world.truth_ns(all.at().as_nanos()))));
        prop_assert!(!all.stddev().is_zero());
    }
}

/// The fate of a request.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// A response after this time, with a date that differs from the local clock by this many
    /// seconds.
    Date { round_trip_ns: i64, seconds: i64 },
    /// There is no response.
    Lost { after_ns: i64 },
    /// The request could not be sent.
    Unsent,
}

fn any_answer() -> impl Strategy<Value = Answer> {
    let date = |seconds: std::ops::Range<i64>| {
        (any_way(), seconds)
            .prop_map(|(round_trip_ns, seconds)| Answer::Date { round_trip_ns, seconds })
    };
    prop_oneof![
        20 => date(0..1),
        4 => date(-1..2),
        1 => date(-9..9_999),
        2 => any_way().prop_map(|after_ns| Answer::Lost { after_ns }),
        1 => Just(Answer::Unsent),
    ]
}

proptest! {
    #![proptest_config(of(400))]

    /// A driver that is sometimes late, and a server that sends anything.
    #[test]
    fn no_more_is_sent_and_for_no_longer_than_allowed_whatever_the_answers(
        answers in prop::collection::vec((any_answer(), any_way()), 1..60),
        kind in any_estimator(),
        schedule in prop::sample::select(ScheduleKind::ALL),
        profile in prop::option::of(prop::sample::select(Profile::ALL)),
        requests in 1_u32..40,
        duration_ms in 1_u64..20_000,
    ) {
        let duration = Duration::from_millis(duration_ms);
        let builder = Config::builder().estimator(kind).schedule(schedule);
        let builder = builder.lag(Duration::from_secs(1));
        let builder = profile.map_or(builder.clone(), |profile| builder.profile(profile));
        let config = builder.requests(requests).duration(duration).build()?;
        let wall = Timestamp::from_unix_nanos(WALL_NS);
        let mut measure = Measure::new(&config, CrossTimestamp::new(at(0), wall, Duration::ZERO));
        let (mut now, mut first, mut in_flight) = (0, None, Vec::new());
        let mut answers = answers.iter().cycle();
        let mut sent = 0;
        for _ in 0..1_000 {
            let next = measure.next(at(now));
            prop_assert_eq!(next, measure.next(at(now)), "asked again, it returns the same");
            match next {
                Next::SendAt(when) => {
                    let (answer, late) = answers.next().expect("endless");
                    prop_assert!(when >= at(now));
                    prop_assert!(
                        when.saturating_since(first.unwrap_or(when)) <= duration,
                        "nothing is planned for later than is allowed"
                    );
                    now = when.as_nanos() + late % 1_000_000;
                    if let Answer::Unsent = answer {
                        if measure.lost(false, Error::Closed { received: 0 }).is_err() {
                            return Ok(());
                        }
                        continue;
                    }
                    measure.sent(at(now));
                    first = first.or(Some(at(now)));
                    sent += 1;
                    prop_assert!(sent <= requests);
                    in_flight.push((now, *answer));
                }
                Next::AwaitReply => {
                    prop_assert!(!in_flight.is_empty());
                    let (left, answer) = in_flight.remove(0);
                    let survives = match answer {
                        Answer::Date { round_trip_ns, seconds } => {
                            now = now.max(left + round_trip_ns);
                            let date = (WALL_NS + left + round_trip_ns / 2).div_euclid(S) + seconds;
                            let date = Timestamp::from_unix_seconds(date).expect("in range");
                            let exchange =
                                Exchange::from_parts_unchecked(at(left), at(now), date);
                            measure.absorb(&exchange).map(drop)
                        }
                        Answer::Lost { after_ns } => {
                            now = now.max(left + after_ns);
                            measure.lost(true, Error::Closed { received: 0 })
                        }
                        Answer::Unsent => Ok(()),
                    };
                    if survives.is_err() {
                        return Ok(());
                    }
                }
                Next::Done => {
                    prop_assert_eq!(measure.progress().requests(), sent);
                    return Ok(());
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
        prop_assert!(false, "it never ends");
    }
}
