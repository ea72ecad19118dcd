//! What an attacker in full control of every response can do to a clock that is kept. The attacker
//! knows the clock, the limits and the times of the requests, and can return any offset with the
//! best deviation and bounds. The tests run in virtual time; nothing is random.

use std::time::Duration;

use httptime::{Agreement, Interval, LocalInstant, Offset, Timestamp, build_day};
use httptime_clock::controller::Controller;
use httptime_clock::controller::Outcome;
use httptime_clock::discipline::Discipline;
use httptime_clock::{Action, Clock, Frequency, Policy, Reading, SimulatedClock};

const S: i64 = 1_000_000_000;
const DAY: Duration = Duration::from_secs(86_400);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// The offset that the attacker reports.
#[derive(Debug, Clone, Copy)]
enum FalseOffset {
    /// This offset in nanoseconds, each time.
    Always(i64),
    /// The same until it is refused; from then on only as much as is slewed.
    OnceRefusedOnlySlewed(i64),
    /// The offset of a clock that is right at first and then drifts, by up to this many parts per
    /// million after a day.
    Drift(f64),
}

/// A clock with the right time and frequency, a day after the earliest time that the policy
/// permits.
struct AttackedClock {
    controller: Controller<SimulatedClock>,
    begun: LocalInstant,
    refused: bool,
    largest_ppm: f64,
    agreement: Agreement,
}

impl AttackedClock {
    fn new(policy: Policy) -> Self {
        let now = build_day().saturating_add(DAY.into());
        let clock = SimulatedClock::new(now, Offset::ZERO, Frequency::ZERO);
        let begun = clock.monotonic();
        let controller = Controller::new(clock, policy, Discipline::default());
        let agreement = Agreement::SINGLE;
        Self { controller, begun, refused: false, largest_ppm: 0.0, agreement }
    }

    /// How far the clock is behind the true time, in seconds.
    fn behind(&self) -> f64 {
        self.controller.clock().true_offset().as_seconds()
    }

    fn shown(&self) -> Timestamp {
        self.controller.clock().now().expect("readable")
    }

    fn absorb_offset(&mut self, offset: Offset) -> Outcome {
        let clock = self.controller.clock();
        let (stddev, lag) = (Duration::from_micros(10), Duration::from_micros(20));
        let bounds = Interval::between(offset, offset).widened(lag);
        let (at, local_time) = (clock.monotonic(), self.shown());
        let reading = Reading {
            offset,
            stddev,
            bounds,
            lag,
            date_advanced: true,
            at,
            local_time,
            is_unconfirmed: false,
            agreement: self.agreement,
        };
        self.controller.absorb(&reading).expect("done")
    }

    fn offset_by(&self, false_offset: FalseOffset) -> Offset {
        let ppm = match false_offset {
            FalseOffset::OnceRefusedOnlySlewed(ns) if self.refused => {
                return Offset::from_nanos(ns.signum() * S / 10);
            }
            FalseOffset::Always(ns) | FalseOffset::OnceRefusedOnlySlewed(ns) => {
                return Offset::from_nanos(ns);
            }
            FalseOffset::Drift(ppm) => ppm,
        };
        // The integral of a rate that grows for a day and then stays constant.
        let clock = self.controller.clock();
        let seconds = clock.monotonic().saturating_since(self.begun).as_secs_f64();
        let day = DAY.as_secs_f64();
        let grown = seconds.min(day).powi(2) / (2.0 * day) + (seconds - day).max(0.0);
        let led = Offset::from(Duration::from_secs_f64(grown * ppm.abs() / 1e6));
        let led = if ppm < 0.0 { Offset::ZERO.saturating_sub(led) } else { led };
        clock.true_offset().saturating_add(led)
    }

    fn attacked(&mut self, time: Duration, false_offset: FalseOffset) {
        let end = self.controller.clock().monotonic().saturating_add(time);
        while self.controller.clock().monotonic() < end {
            self.controller.stop_slewing().expect("stopped");
            let outcome = self.absorb_offset(self.offset_by(false_offset));
            self.refused |= matches!(outcome.action, Action::Refuse(_));
            self.largest_ppm = self.largest_ppm.max(outcome.frequency.as_ppm().abs());
            self.controller.clock_mut().advance(outcome.interval);
        }
    }
}

const FALSE_OFFSETS: [FalseOffset; 9] = [
    FalseOffset::Always(S / 10),
    FalseOffset::Always(S / 2),
    FalseOffset::Always(60 * S),
    FalseOffset::Always(1000 * S),
    FalseOffset::OnceRefusedOnlySlewed(59 * S),
    FalseOffset::OnceRefusedOnlySlewed(60 * S),
    FalseOffset::OnceRefusedOnlySlewed(S / 2),
    FalseOffset::Drift(400.0),
    FalseOffset::Drift(1500.0),
];

impl FalseOffset {
    fn backward(self) -> Self {
        match self {
            Self::Always(ns) => Self::Always(-ns),
            Self::OnceRefusedOnlySlewed(ns) => Self::OnceRefusedOnlySlewed(-ns),
            Self::Drift(ppm) => Self::Drift(-ppm),
        }
    }
}

/// The limits in docs/threat-model.md: steps of up to `max_accumulated`, and 1000 ppm of the time,
/// half by slewing and half by the frequency.
#[test]
fn an_attacker_in_full_control_for_a_week_moves_a_clock_no_further_than_the_limits_say() {
    let minute = Some(Duration::from_secs(60));
    let policy = Policy::default()
        .max_startup_forward(minute)
        .max_startup_backward(minute)
        .max_forward(minute)
        .max_backward(minute)
        .max_accumulated(Some(Duration::from_secs(600)));
    // The last interval ends after the end of the week.
    let limit = 600.0 + (WEEK.as_secs_f64() + 3600.0) * 1000e-6;
    let mut worst: f64 = 0.0;
    for false_offset in
        FALSE_OFFSETS.into_iter().flat_map(|false_offset| [false_offset, false_offset.backward()])
    {
        let mut attacked = AttackedClock::new(policy.clone());
        attacked.attacked(WEEK, false_offset);
        let moved = attacked.behind().abs();
        println!("{false_offset:?}: {moved:.3} s of {limit:.3}, {:.1} ppm", attacked.largest_ppm);
        assert!(moved <= limit, "{false_offset:?}: {moved} s");
        worst = worst.max(moved);
    }
    assert!(worst > 0.9 * limit, "nobody came near: the limit is no measure, {worst} s");
}

#[test]
fn with_the_default_limits_only_the_floor_and_a_thousand_seconds_a_minute_bound_the_damage() {
    // At most one measurement per 64 s.
    let most = WEEK.as_secs_f64() / 64.0 * 1000.0 + 1000.0;
    let mut forward: f64 = 0.0;
    for false_offset in FALSE_OFFSETS {
        let mut attacked = AttackedClock::new(Policy::default());
        attacked.attacked(WEEK, false_offset);
        forward = forward.max(-attacked.behind());
        let mut back = AttackedClock::new(Policy::default());
        back.attacked(WEEK, false_offset.backward());
        println!(
            "{false_offset:?}: {:.0} s forward, {:.0} s back",
            -attacked.behind(),
            back.behind()
        );
        assert!(-attacked.behind() <= most && attacked.largest_ppm <= 500.0, "{false_offset:?}");
        assert!(back.shown() >= build_day(), "{false_offset:?}: {}", back.shown());
    }
    assert!(forward > 0.99 * most - 2000.0, "{forward} s of {most}");
    // The first correction is limited, too, unless the one server is trusted.
    let years = Offset::from_nanos(10 * 365 * 86_400 * S);
    let mut attacked = AttackedClock::new(Policy::default());
    assert!(matches!(attacked.absorb_offset(years).action, Action::Refuse(_)));
    let mut trusting = AttackedClock::new(Policy::default().trust_single(true));
    assert_eq!(trusting.absorb_offset(years).action, Action::Step(years));
}

#[test]
fn a_clock_led_far_ahead_is_led_back_by_honest_servers_and_not_by_one_alone() {
    let mut attacked = AttackedClock::new(Policy::default());
    for _ in 0..2 {
        let outcome = attacked.absorb_offset(Offset::from_nanos(900 * S));
        assert!(matches!(outcome.action, Action::Step(_)), "{outcome:?}");
        attacked.controller.clock_mut().advance(outcome.interval);
    }
    let honest = attacked.controller.clock().true_offset();
    let outcome = attacked.absorb_offset(honest);
    assert!(matches!(outcome.action, Action::Refuse(_)), "{outcome:?}");
    attacked.agreement = Agreement::of_independent(2, 3);
    let outcome = attacked.absorb_offset(honest);
    assert_eq!(outcome.action, Action::Step(honest));
}

#[test]
fn a_minority_of_liars_never_steps_a_clock_beyond_the_limits_and_a_majority_does() {
    let century = Offset::from_nanos(100 * 365 * 86_400 * S);
    for (agreeing, configured) in [(1, 3), (1, 5), (2, 5), (3, 6), (1, 1), (2, 2), (2, 3), (3, 5)] {
        let mut attacked = AttackedClock::new(Policy::default());
        attacked.absorb_offset(Offset::ZERO);
        attacked.agreement = Agreement::of_independent(agreeing, configured);
        let is_majority = configured >= 3 && 2 * agreeing > configured;
        let outcome = attacked.absorb_offset(century);
        assert_eq!(
            matches!(outcome.action, Action::Step(_)),
            is_majority,
            "{agreeing} of {configured}: {outcome:?}"
        );
    }
}

#[test]
fn a_frequency_learnt_from_an_attacker_stays_until_an_honest_server_answers() {
    for false_offset in [FalseOffset::Drift(400.0), FalseOffset::Drift(-400.0)] {
        let mut attacked = AttackedClock::new(Policy::default());
        attacked.attacked(2 * DAY, false_offset);
        let frequency = |attacked: &AttackedClock| {
            attacked.controller.clock().frequency().expect("readable").as_ppm().abs()
        };
        assert!(
            (390.0..=500.0).contains(&frequency(&attacked)),
            "{false_offset:?}: {}",
            frequency(&attacked)
        );
        let saved = attacked.controller.state().expect("readable").expect("learnt");
        assert_eq!(saved.frequency.as_ppm().abs(), frequency(&attacked), "a restart keeps it");
        // Without a server the clock drifts by the learnt frequency.
        let before = attacked.behind();
        attacked.controller.stop_slewing().expect("stopped");
        attacked.controller.clock_mut().advance(DAY);
        let drifted = (attacked.behind() - before).abs();
        assert!((33.0..=43.3).contains(&drifted), "{drifted} s in a day");
        let begun = attacked.controller.clock().monotonic();
        while frequency(&attacked) > 1.0 || attacked.behind().abs() > 0.005 {
            attacked.controller.stop_slewing().expect("stopped");
            let outcome = attacked.absorb_offset(attacked.controller.clock().true_offset());
            attacked.controller.clock_mut().advance(outcome.interval);
            let took = attacked.controller.clock().monotonic().saturating_since(begun);
            assert!(
                took < DAY,
                "{false_offset:?}: {} ppm, {} s",
                frequency(&attacked),
                attacked.behind()
            );
        }
        let took = attacked.controller.clock().monotonic().saturating_since(begun);
        println!(
            "{false_offset:?}: {drifted:.1} s in a day alone, corrected in {} s",
            took.as_secs()
        );
    }
}
