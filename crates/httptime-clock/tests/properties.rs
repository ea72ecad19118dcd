//! Invariants for every input: the limits of the policy, the values of a discipline, a simulated
//! clock, a saved state.
//!
//! The seed is fixed, so that every run is the same everywhere. `PROPTEST_RNG_SEED` and
//! `PROPTEST_CASES` change the seed and the number of cases.

use std::time::Duration;

use httptime::{Agreement, Interval, LocalInstant, Offset, Timestamp};
use httptime_clock::controller::Controller;
use httptime_clock::discipline::Discipline;
use httptime_clock::state::SavedState;
use httptime_clock::{Action, Clock, Frequency, Policy, Reading, SimulatedClock};
use httptime_clock::{Evidence, History};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const MS: i64 = 1_000_000;
const S: i64 = 1_000_000_000;
const NOW_NS: i64 = 1_900_000_000 * S;

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

/// Every order of magnitude, and the ends of the range.
fn any_nanos() -> impl Strategy<Value = i64> {
    let size = prop_oneof![
        1 => Just(0_i64),
        4 => 0..MS,
        8 => 0..S,
        8 => 0..3_000 * S,
        2 => any::<i64>().prop_map(|nanos| nanos & i64::MAX),
        1 => Just(i64::MAX),
    ];
    (any::<bool>(), size).prop_map(|(negative, size)| if negative { -size } else { size })
}

fn any_offset() -> impl Strategy<Value = Offset> {
    any_nanos().prop_map(Offset::from_nanos)
}

fn any_duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        10 => any_nanos().prop_map(|nanos| Duration::from_nanos(nanos.unsigned_abs())),
        1 => Just(Duration::MAX),
    ]
}

fn any_frequency() -> impl Strategy<Value = Frequency> {
    prop_oneof![-600 << 16..600 << 16, any::<i32>()].prop_map(Frequency::from_scaled_ppm)
}

/// No more agree than are independent, and no more are independent than configured.
fn any_agreement() -> impl Strategy<Value = Agreement> {
    (1_usize..=6, 0_usize..6, 0_usize..6).prop_map(|(configured, shared, others)| {
        let independent = configured.saturating_sub(shared).max(1);
        let agreeing = independent.saturating_sub(others).max(1);
        Agreement { agreeing, independent, configured }
    })
}

/// The estimate is within the bounds, as in every measurement.
fn any_reading() -> impl Strategy<Value = Reading> {
    let near = prop_oneof![4 => -100 * 86_400 * S..100 * 86_400 * S, 1 => any::<i64>()];
    (
        any_offset(),
        any_duration(),
        any_duration(),
        any_duration(),
        any_duration(),
        near,
        any_nanos(),
        any_agreement(),
    )
        .prop_map(|(offset, below, above, stddev, lag, since, at, agreement)| {
            let end = |by: Duration, sign: i64| {
                let by = Offset::from(by).as_nanos().saturating_mul(sign);
                offset.saturating_add(Offset::from_nanos(by))
            };
            Reading {
                offset,
                stddev,
                bounds: Interval::between(end(below, -1), end(above, 1)),
                lag,
                date_advanced: true,
                at: LocalInstant::from_nanos(at),
                local_time: Timestamp::from_unix_nanos(NOW_NS.saturating_add(since)),
                is_unconfirmed: false,
                agreement,
            }
        })
}

/// The settings of a policy, to compare with its decisions.
#[derive(Debug, Clone)]
struct Rules {
    threshold: Option<Duration>,
    forward: Option<Duration>,
    backward: Option<Duration>,
    startup_forward: Option<Duration>,
    startup_backward: Option<Duration>,
    accumulated: Option<Duration>,
    quorum: Option<usize>,
    trust_single: bool,
    slew_ppm: u32,
    evidence: Evidence,
}

const FLOOR: Timestamp = Timestamp::from_unix_nanos(NOW_NS - 86_400 * S);

impl Rules {
    fn policy(&self) -> Policy {
        Policy::default()
            .step_threshold(self.threshold)
            .max_forward(self.forward)
            .max_backward(self.backward)
            .max_startup_forward(self.startup_forward)
            .max_startup_backward(self.startup_backward)
            .max_accumulated(self.accumulated)
            .quorum(self.quorum)
            .trust_single(self.trust_single)
            .floor(FLOOR)
            .slew_ppm(self.slew_ppm)
            .evidence(self.evidence)
    }
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let limit = || prop::option::of(any_duration());
    let evidence = prop::sample::select(vec![Evidence::Bounds, Evidence::Estimate]);
    let servers = (prop::option::of(2_usize..5), any::<bool>());
    (limit(), limit(), limit(), limit(), limit(), limit(), servers, 0_u32..700, evidence).prop_map(
        |(
            threshold,
            forward,
            backward,
            startup_forward,
            startup_backward,
            accumulated,
            (quorum, trust_single),
            slew_ppm,
            evidence,
        )| Rules {
            threshold,
            forward,
            backward,
            startup_forward,
            startup_backward,
            accumulated,
            quorum,
            trust_single,
            slew_ppm,
            evidence,
        },
    )
}

fn any_history() -> impl Strategy<Value = History> {
    let hinted = prop_oneof![2 => Just(Duration::ZERO), 1 => any_duration()];
    (any::<bool>(), hinted, any_duration(), prop::option::of(any_duration())).prop_map(
        |(settled, hinted, stepped, horizon)| History { settled, hinted, stepped, horizon },
    )
}

proptest! {
    #![proptest_config(of(10_000))]

    #[test]
    fn a_policy_never_acts_outside_its_limits_without_a_quorum(
        rules in any_rules(), reading in any_reading(), history in any_history(),
    ) {
        let action = rules.policy().decide(&reading, &history);
        let (Action::Slew(by) | Action::Step(by)) = action else { return Ok(()) };
        let error = reading.offset;
        prop_assert!(by.abs() <= error.abs(), "no more than the error");
        prop_assert!(by.as_nanos().signum() * error.as_nanos().signum() >= 0, "no other direction");
        prop_assert!(reading.local_time.saturating_add(error) >= FLOOR);
        let limit = match (error >= Offset::ZERO, history.settled) {
            (true, true) => rules.forward,
            (false, true) => rules.backward,
            (true, false) => rules.startup_forward,
            (false, false) => rules.startup_backward,
        };
        let undone = match (error < Offset::ZERO, history.settled) {
            (true, false) => history.hinted,
            _ => Duration::ZERO,
        };
        let is_within = limit.is_none_or(|limit| error.abs().saturating_sub(undone) <= limit);
        let may_exceed = matches!(action, Action::Step(_))
            && has_quorum(rules.quorum, rules.trust_single, reading.agreement);
        prop_assert!(is_within || may_exceed, "the limit of its direction");
        match action {
            Action::Step(by) => {
                prop_assert_eq!(by, error);
                prop_assert!(rules.threshold.is_some_and(|threshold| error.abs() > threshold));
                let sum = history.stepped.saturating_add(by.abs());
                prop_assert!(rules.accumulated.is_none_or(|limit| sum <= limit));
            }
            _ => {
                let ppm = rules.slew_ppm.clamp(1, 500);
                let most = history.horizon.map(|horizon| horizon.saturating_mul(ppm) / 1_000_000);
                prop_assert!(most.is_none_or(|most| by.abs() <= most), "the slew rate");
            }
        }
    }

    #[test]
    fn only_what_the_bounds_prove_wrong_is_stepped_and_under_bounds_evidence_slewed(
        rules in any_rules(), reading in any_reading(), history in any_history(),
    ) {
        let action = rules.policy().decide(&reading, &history);
        let proved = !reading.bounds.contains(Offset::ZERO)
            && reading.bounds.width() <= reading.offset.abs();
        if let Action::Step(_) = action {
            prop_assert!(proved);
        }
        if let (Action::Slew(_), Evidence::Bounds) = (action, rules.evidence) {
            prop_assert!(proved);
        }
        if reading.bounds.contains(Offset::ZERO) && rules.evidence == Evidence::Bounds {
            prop_assert_eq!(action, Action::Leave);
        }
    }
}

/// Whether these servers may exceed the limits, written in another way than in the policy.
fn has_quorum(quorum: Option<usize>, trust_single: bool, agreement: Agreement) -> bool {
    let Agreement { agreeing, independent, .. } = agreement;
    match (quorum, independent) {
        (_, 1 | 2) if trust_single => true,
        (Some(quorum), _) => agreeing >= quorum,
        (None, independent) => independent >= 3 && 2 * agreeing > independent,
    }
}

proptest! {
    #![proptest_config(of(10_000))]

    /// All readings are proved, and more than half of them are beyond the limit.
    #[test]
    fn a_clock_is_stepped_beyond_the_limits_if_and_only_if_there_is_a_quorum(
        error in prop_oneof![S..6_000 * S, S..200 * 365 * 86_400 * S],
        is_back in any::<bool>(),
        limit in 0_u64..3_000,
        agreement in any_agreement(),
        quorum in prop_oneof![3 => Just(None), 1 => (2_usize..5).prop_map(Some)],
        trust_single in prop::bool::weighted(0.2),
        settled in any::<bool>(),
    ) {
        let limit = Some(Duration::from_secs(limit));
        let policy = Policy::default()
            .max_forward(limit)
            .max_backward(limit)
            .max_startup_forward(limit)
            .max_startup_backward(limit)
            .floor(Timestamp::from_unix_nanos(i64::MIN))
            .quorum(quorum)
            .trust_single(trust_single);
        let offset = Offset::from_nanos(if is_back { -error } else { error });
        let reading = Reading {
            offset,
            stddev: Duration::ZERO,
            bounds: Interval::between(offset, offset).widened(Duration::from_millis(1)),
            lag: Duration::ZERO,
            date_advanced: true,
            at: LocalInstant::from_nanos(0),
            local_time: Timestamp::from_unix_nanos(NOW_NS),
            is_unconfirmed: false,
            agreement,
        };
        let action = policy.decide(&reading, &History { settled, ..History::default() });
        let is_within = limit.is_some_and(|limit| offset.abs() <= limit);
        let may = is_within || has_quorum(quorum, trust_single, agreement);
        prop_assert_eq!(action == Action::Step(offset), may, "{:?}", action);
        prop_assert_eq!(matches!(action, Action::Refuse(_)), !may, "{:?}", action);
    }
}

/// One event of a discipline.
#[derive(Debug, Clone, Copy)]
enum Event {
    Reading(Reading),
    Corrected(Offset),
    FrequencyChanged(Frequency),
    Limits(Duration, Duration, Duration),
    StartFrom(Frequency, Option<Duration>),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => any_reading().prop_map(Event::Reading),
        1 => any_offset().prop_map(Event::Corrected),
        1 => any_frequency().prop_map(Event::FrequencyChanged),
        1 => (any_duration(), any_duration(), any_duration())
            .prop_map(|(shortest, longest, hold)| Event::Limits(shortest, longest, hold)),
        1 => (any_frequency(), prop::option::of(any_duration()))
            .prop_map(|(stddev, age)| Event::StartFrom(stddev, age)),
    ]
}

/// Whether the values of a discipline are valid: an interval within its limits, and a standard
/// deviation. NaN would be shown as zero.
fn is_sane(discipline: &Discipline, shortest: Duration, longest: Duration) -> bool {
    let interval = discipline.interval();
    let frequency_correction = discipline.frequency_correction();
    let inside = format!("{discipline:?}");
    frequency_correction.is_none_or(|(_, stddev)| stddev >= Frequency::ZERO)
        && !(inside.contains("NaN") || inside.contains("inf"))
        && interval >= shortest
        && interval <= longest.max(shortest)
}

proptest! {
    #![proptest_config(of(1000))]

    #[test]
    fn a_discipline_stays_sane_whatever_comes(events in prop::collection::vec(any_event(), 1..40)) {
        let (mut shortest, mut longest) = (Duration::from_secs(64), Duration::from_secs(3600));
        let mut discipline = Discipline::default();
        for event in events {
            let mut at = LocalInstant::from_nanos(0);
            match event {
                Event::Reading(reading) => {
                    discipline.absorb(&reading);
                    at = reading.at;
                }
                Event::Corrected(by) => discipline.corrected(by),
                Event::FrequencyChanged(by) => discipline.frequency_changed(by),
                Event::Limits(least, most, hold) => {
                    (shortest, longest) = (least, most);
                    discipline.set_limits(least, most, hold);
                }
                Event::StartFrom(stddev, age) => discipline.start_from(stddev, age),
            }
            prop_assert!(is_sane(&discipline, shortest, longest), "{:?}", discipline);
            for later in [0, S, 86_400 * S, i64::MAX] {
                let later = at.saturating_add(Duration::from_nanos(later.unsigned_abs()));
                let _ = discipline.expected(later);
            }
        }
    }

    #[test]
    fn a_controller_keeps_the_frequency_in_the_kernels_limits_and_the_clock_after_the_floor(
        rules in any_rules(), readings in prop::collection::vec(any_reading(), 1..20),
    ) {
        let start = Timestamp::from_unix_nanos(NOW_NS);
        let clock = SimulatedClock::new(start, Offset::ZERO, Frequency::ZERO);
        let mut controller = Controller::new(clock, rules.policy(), Discipline::default());
        for reading in readings {
            controller.clock_mut().advance(Duration::from_secs(64));
            prop_assert!(controller.stop_slewing().is_ok());
            let clock = controller.clock();
            let reading =
                Reading { at: clock.monotonic(), local_time: clock.now().expect("it shows"), ..reading };
            let steps = clock.steps();
            let Ok(outcome) = controller.absorb(&reading) else { return Ok(()) };
            let clock = controller.clock();
            prop_assert!(clock.now().expect("it shows") >= FLOOR);
            prop_assert_eq!(outcome.frequency, outcome.frequency.clamped());
            prop_assert_eq!(matches!(outcome.action, Action::Step(_)), clock.steps() > steps);
            prop_assert!(outcome.frequency_stddev >= Frequency::ZERO);
        }
    }

    #[test]
    fn a_simulated_clock_does_not_care_how_time_is_divided(
        offset in -1_000 * S..1_000 * S,
        error in -400_i32 << 16..400 << 16,
        set in any_frequency(),
        slew in any_offset(),
        pieces in prop::collection::vec(0_u64..400_000_000_000, 1..30),
    ) {
        let start = Timestamp::from_unix_nanos(NOW_NS);
        let error = Frequency::from_scaled_ppm(error);
        let mut whole = SimulatedClock::new(start, Offset::from_nanos(offset), error);
        prop_assert!(whole.set_frequency(set).is_ok() && whole.slew(slew).is_ok());
        let mut divided = whole.clone();
        for piece in &pieces {
            let before = divided.now().expect("it shows");
            divided.advance(Duration::from_nanos(*piece));
            prop_assert!(divided.now().expect("it shows") >= before, "it never goes back");
        }
        whole.advance(Duration::from_nanos(pieces.iter().sum()));
        prop_assert_eq!(format!("{whole:?}"), format!("{divided:?}"));
    }
}

proptest! {
    #![proptest_config(of(100))]

    #[test]
    fn a_saved_state_is_read_as_it_was(
        frequency in any_frequency(), stddev in 0..i32::MAX,
        measured_at in any::<i64>(), saved_at in any::<i64>(),
    ) {
        let state = SavedState {
            frequency: frequency.clamped(),
            stddev: Frequency::from_scaled_ppm(stddev),
            measured_at: Timestamp::from_unix_nanos(measured_at),
            saved_at: Timestamp::from_unix_nanos(saved_at),
        };
        let file = format!("httptime-properties-{}.toml", std::process::id());
        let path = std::env::temp_dir().join(file);
        state.save(&path).expect("saved");
        let read = SavedState::load(&path);
        std::fs::remove_file(&path).expect("there");
        prop_assert_eq!(read.expect("read"), Some(state));
    }
}
