//! A controller keeps a simulated clock right, in virtual time.

use std::time::Duration;

use fastrand::Rng;
use httptime::{Agreement, Interval, Offset, Timestamp};
use httptime_clock::Evidence;
use httptime_clock::controller::Controller;
use httptime_clock::controller::Outcome;
use httptime_clock::discipline::Discipline;
use httptime_clock::discipline::{INITIAL_FREQUENCY_STDDEV, Verdict};
use httptime_clock::state::SavedState;
use httptime_clock::{Action, Clock, ClockError, Frequency, Policy, Reading, SimulatedClock};

const MS: i64 = 1_000_000;
const S: i64 = 1_000_000_000;

/// A time well after the build.
fn today() -> Timestamp {
    Timestamp::from_unix_nanos(1_900_000_000 * S)
}

fn clock(offset_ns: i64, error_ppm: f64) -> SimulatedClock {
    SimulatedClock::new(today(), Offset::from_nanos(offset_ns), Frequency::from_ppm(error_ppm))
}

/// A machine with regular measurements of this noise.
struct Machine {
    controller: Controller<SimulatedClock>,
    noise_ns: f64,
    random: Rng,
}

impl Machine {
    fn new(clock: SimulatedClock, policy: Policy, discipline: Discipline, seed: u64) -> Self {
        let controller = Controller::new(clock, policy, discipline);
        Self { controller, noise_ns: 0.1e6, random: Rng::with_seed(seed) }
    }

    /// A measurement with an error of `error_ns` in addition to its noise.
    fn reading(&mut self, error_ns: i64) -> Reading {
        let normal = normal(&mut self.random);
        #[expect(clippy::cast_possible_truncation, reason = "a few milliseconds")]
        let error_ns = (normal * self.noise_ns) as i64 + error_ns;
        let clock = self.controller.clock();
        let truth = clock.true_offset();
        let offset = truth.saturating_add(Offset::from_nanos(error_ns));
        let radius = Duration::from_nanos((error_ns.abs() + MS).unsigned_abs());
        Reading {
            offset,
            stddev: Duration::from_secs_f64(self.noise_ns / 1e9),
            bounds: Interval::between(truth, truth).widened(radius),
            lag: Duration::from_millis(1),
            date_advanced: true,
            at: clock.monotonic(),
            local_time: clock.now().expect("readable"),
            is_unconfirmed: false,
            agreement: Agreement::SINGLE,
        }
    }

    fn absorb(&mut self, error_ns: i64) -> Outcome {
        self.controller.stop_slewing().expect("stopped");
        let reading = self.reading(error_ns);
        self.controller.absorb(&reading).expect("done")
    }

    fn wait(&mut self, time: Duration) {
        self.controller.clock_mut().advance(time);
    }

    /// Measures at the intervals that the controller requests, for this long. Returns the last
    /// outcome.
    fn run(&mut self, time: Duration) -> Outcome {
        let end = self.controller.clock().true_time().saturating_add(time.into());
        loop {
            let outcome = self.absorb(0);
            self.wait(outcome.interval);
            if self.controller.clock().true_time() >= end {
                return outcome;
            }
        }
    }

    fn offset(&self) -> Duration {
        self.controller.clock().true_offset().abs()
    }

    /// The remaining frequency error of the clock. Positive: too fast.
    fn frequency_error_ppm(&self) -> f64 {
        let clock = self.controller.clock();
        clock.oscillator_error().as_ppm() + clock.frequency().expect("readable").as_ppm()
    }
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_clock_38_s_slow_and_50_ppm_fast_is_stepped_once_and_steered() {
    for seed in 1..=20 {
        let mut machine =
            Machine::new(clock(38_116 * MS, 50.0), Policy::default(), Discipline::default(), seed);
        let first = machine.absorb(0);
        assert!(matches!(first.action, Action::Step(_)), "seed {seed}: {first:?}");
        machine.wait(first.interval);
        machine.run(2 * HOUR);
        assert_eq!(machine.controller.clock().steps(), 1, "seed {seed}");
        assert!(machine.frequency_error_ppm().abs() < 0.5, "seed {seed}");
        assert!(machine.offset() < Duration::from_millis(3), "seed {seed}: {:?}", machine.offset());
    }
}

#[test]
fn the_frequency_is_found_to_3_ppm_in_two_minutes_of_polls_every_4_to_16_s() {
    for seed in 1..=20 {
        let discipline =
            Discipline::new(Duration::from_secs(4), Duration::from_secs(16), Duration::ZERO);
        let mut machine = Machine::new(clock(0, -50.0), Policy::default(), discipline, seed);
        machine.run(Duration::from_secs(120));
        let error = machine.frequency_error_ppm();
        assert!(error.abs() < 3.0, "seed {seed}: {error} ppm");
        assert!(machine.offset() < Duration::from_millis(5), "seed {seed}");
    }
}

#[test]
fn the_interval_grows_from_the_shortest_to_the_longest_as_the_frequency_becomes_known() {
    let mut machine = Machine::new(clock(0, 20.0), Policy::default(), Discipline::default(), 1);
    assert_eq!(machine.absorb(0).interval, Duration::from_secs(64));
    machine.wait(Duration::from_secs(64));
    let settled = machine.run(12 * HOUR);
    assert!(settled.interval > Duration::from_secs(1000), "{settled:?}");
}

#[test]
fn a_freak_is_held_back_and_forgotten() {
    let mut machine = Machine::new(clock(0, 20.0), Policy::default(), Discipline::default(), 2);
    machine.run(HOUR);
    let before = machine.controller.clock().frequency().expect("readable");
    let outlier = machine.absorb(40 * MS);
    assert_eq!(outlier.verdict, Verdict::Outlier);
    assert_eq!(outlier.action, Action::Leave, "its bounds do not exclude that the clock is right");
    assert_eq!(outlier.interval, Duration::from_secs(64), "asked again soon");
    machine.wait(outlier.interval);
    assert_eq!(machine.absorb(0).verdict, Verdict::Accepted);
    let after = machine.controller.clock().frequency().expect("readable");
    assert!((before.as_ppm() - after.as_ppm()).abs() < 1.0, "{before} {after}");
}

/// Someone sets the clock, or the machine slept and woke with another time.
#[test]
fn a_step_from_outside_is_corrected_and_the_frequency_kept() {
    for by in [-3 * S, S / 2] {
        let mut machine = Machine::new(clock(0, 20.0), Policy::default(), Discipline::default(), 3);
        machine.run(2 * HOUR);
        let before = machine.controller.clock().frequency().expect("readable");
        machine.controller.clock_mut().step(Offset::from_nanos(by)).expect("stepped");
        let outcome = machine.absorb(0);
        assert!(matches!(outcome.action, Action::Step(_)), "{outcome:?}");
        machine.wait(outcome.interval);
        machine.run(HOUR);
        let after = machine.controller.clock().frequency().expect("readable");
        assert!((before.as_ppm() - after.as_ppm()).abs() < 1.0, "{before} {after}");
        assert!(machine.offset() < Duration::from_millis(3));
    }
}

/// All offsets have the same error from here on: half of the additional delay of the new route,
/// which is in one direction.
#[test]
fn a_new_route_moves_the_offset_and_not_the_frequency() {
    let policy = Policy::default().evidence(Evidence::Estimate);
    let mut machine = Machine::new(clock(0, 20.0), policy, Discipline::default(), 4);
    machine.run(2 * HOUR);
    let before = machine.controller.clock().frequency().expect("readable");
    let outcomes: Vec<_> = (0..3)
        .map(|_| {
            let outcome = machine.absorb(6 * MS);
            machine.wait(outcome.interval);
            outcome
        })
        .collect();
    let verdicts: Vec<_> = outcomes.iter().map(|outcome| outcome.verdict).collect();
    assert_eq!(verdicts, [Verdict::Outlier, Verdict::OffsetJumped, Verdict::Accepted]);
    assert_eq!(outcomes[0].action, Action::Leave, "it might be a freak: {outcomes:?}");
    assert!(matches!(outcomes[1].action, Action::Slew(_)), "it is not: {outcomes:?}");
    let after = machine.controller.clock().frequency().expect("readable");
    assert!((before.as_ppm() - after.as_ppm()).abs() < 1.0, "{before} {after}");
}

#[test]
fn a_frequency_that_changes_is_learnt_again() {
    for change in [5.0, -40.0] {
        let mut machine = Machine::new(clock(0, 20.0), Policy::default(), Discipline::default(), 5);
        machine.run(2 * HOUR);
        let error = Frequency::from_ppm(20.0 + change);
        machine.controller.clock_mut().set_oscillator_error(error);
        machine.run(2 * HOUR);
        assert!(machine.frequency_error_ppm().abs() < 1.0, "{}", machine.frequency_error_ppm());
    }
}

/// No crystal has such an error. A frequency that was learnt from a lying server can have it, and
/// so can a kernel whose tick someone has changed.
#[test]
fn a_frequency_far_beyond_a_crystals_is_learnt_too() {
    for ppm in [-450.0, -300.0, 300.0, 450.0] {
        let mut machine = Machine::new(clock(0, ppm), Policy::default(), Discipline::default(), 11);
        machine.run(2 * HOUR);
        assert!(
            machine.frequency_error_ppm().abs() < 1.0,
            "{ppm}: {}",
            machine.frequency_error_ppm()
        );
        assert!(machine.offset() < Duration::from_millis(5), "{ppm}: {:?}", machine.offset());
    }
}

#[test]
fn a_small_error_is_slewed_and_the_rest_found_again_when_the_slew_is_cut_short() {
    let mut machine =
        Machine::new(clock(100 * MS, 0.0), Policy::default(), Discipline::default(), 6);
    let outcome = machine.absorb(0);
    assert_eq!(outcome.action, Action::Slew(Offset::from_nanos(32 * MS)), "500 ppm of 64 s");
    for _ in 0..5 {
        machine.wait(Duration::from_secs(64));
        machine.absorb(0);
    }
    assert_eq!(machine.controller.clock().steps(), 0);
    assert!(machine.offset() < Duration::from_millis(3), "{:?}", machine.offset());
    assert!(machine.frequency_error_ppm().abs() < 5.0, "{}", machine.frequency_error_ppm());
}

#[test]
fn a_clock_without_a_status_is_corrected_like_any_other() {
    let mut clock = clock(38_116 * MS, 50.0);
    clock.forget_status();
    let mut machine = Machine::new(clock, Policy::default(), Discipline::default(), 1);
    let first = machine.absorb(0);
    assert!(matches!(first.action, Action::Step(_)), "{first:?}");
    assert!(machine.offset() < Duration::from_millis(3), "{:?}", machine.offset());
    let kind = machine.controller.clock().status().map_err(|error| error.kind());
    assert_eq!(kind, Err("unsupported"));
}

#[test]
fn a_refusal_leaves_clock_and_status_alone() {
    let mut machine =
        Machine::new(clock(-7200 * S, 0.0), Policy::default(), Discipline::default(), 7);
    let outcome = machine.absorb(0);
    assert!(matches!(outcome.action, Action::Refuse(_)), "{outcome:?}");
    let clock = machine.controller.clock();
    assert_eq!((clock.steps(), clock.slews()), (0, 0));
    assert!(!clock.status().expect("readable").is_synchronised());
}

#[test]
fn a_corrected_clock_is_called_synchronised_with_the_bounds_as_its_largest_error() {
    let mut machine =
        Machine::new(clock(38_116 * MS, 0.0), Policy::default(), Discipline::default(), 8);
    machine.absorb(0);
    let status = machine.controller.clock().status().expect("readable");
    assert!(status.is_synchronised());
    let largest = status.maximum_error();
    assert!(largest >= machine.offset() && largest < Duration::from_millis(2), "{largest:?}");
}

/// A saved frequency with a standard deviation of 0.1 ppm when it was saved.
fn saved(frequency_ppm: f64) -> SavedState {
    SavedState {
        frequency: Frequency::from_ppm(frequency_ppm),
        stddev: Frequency::from_ppm(0.1),
        measured_at: today(),
        saved_at: today(),
    }
}

/// The sum of twelve uniform draws minus six: close to a normal distribution with a variance of 1.
fn normal(random: &mut Rng) -> f64 {
    (0..12).map(|_| random.f64()).sum::<f64>() - 6.0
}

/// The root mean square frequency error over 90 days of a machine that resumed with 0.1 ppm. Its
/// oscillator follows the random walk that the discipline assumes: 0.3 ppm in an hour.
fn frequency_error_after_resume(noise_ms: f64, seed: u64) -> f64 {
    let mut machine = Machine::new(clock(0, -10.0), Policy::default(), Discipline::default(), seed);
    machine.noise_ns = noise_ms * 1e6;
    machine.controller.resume(&saved(10.0)).expect("resumed");
    let mut walk = Rng::with_seed(seed + 1000);
    let end = today().saturating_add((90 * 24 * HOUR).into());
    let (mut squares, mut hours) = (0.0, 0.0);
    while machine.controller.clock().true_time() < end {
        let wait = machine.absorb(0).interval;
        machine.wait(wait);
        let passed = wait.as_secs_f64() / 3600.0;
        let clock = machine.controller.clock_mut();
        let ppm = clock.oscillator_error().as_ppm() + 0.3 * passed.sqrt() * normal(&mut walk);
        clock.set_oscillator_error(Frequency::from_ppm(ppm));
        squares += machine.frequency_error_ppm().powi(2) * passed;
        hours += passed;
    }
    (squares / hours).sqrt()
}

/// The steady state of the filter is 0.57 ppm for readings of 7 ms and 0.8 ppm for 30 ms. A
/// frequency that was saved at 0.1 ppm and has just restarted has 0.51 ppm.
#[test]
fn a_frequency_that_was_saved_as_well_known_is_steered_by_noisy_readings() {
    for (noise_ms, ppm) in [(0.1, 0.5), (7.0, 1.0), (30.0, 1.5)] {
        for seed in 1..=5 {
            let error = frequency_error_after_resume(noise_ms, seed);
            println!("{noise_ms} ms, seed {seed}: {error:.3} ppm");
            assert!(error < ppm, "{noise_ms} ms, seed {seed}: {error} ppm");
        }
    }
}

/// Without an RTC the clock starts at the time of a file: before the saved time, at it, or a little
/// later.
#[test]
fn without_an_rtc_the_age_of_a_saved_frequency_is_what_the_first_measurement_shows() {
    let off = Offset::from_nanos(400 * 86_400 * S);
    for shown in [-3600, 0, 60] {
        let start = today().saturating_add(Offset::from_nanos(shown * S)).saturating_add(off);
        let clock = SimulatedClock::new(start, off, Frequency::from_ppm(-25.0));
        let policy = Policy::default().trust_single(true);
        let mut machine = Machine::new(clock, policy, Discipline::default(), 12);
        machine.controller.resume(&saved(10.0)).expect("resumed");
        let first = machine.absorb(0);
        assert!(matches!(first.action, Action::Step(_)), "{first:?}");
        let stddev = first.frequency_stddev.as_ppm();
        // 0.3 ppm times the square root of 9600 hours.
        assert!((29.0..30.0).contains(&stddev), "{shown} s: {stddev} ppm");
        machine.wait(first.interval);
        machine.run(Duration::from_secs(600));
        let error = machine.frequency_error_ppm();
        assert!(error.abs() < 2.0, "{shown} s: {error} ppm");
    }
}

/// A daemon that is restarted each day and measures once at each start, or not at all, learns
/// nothing about the frequency.
#[test]
fn a_frequency_that_is_saved_again_is_no_younger_for_it() {
    let mut state = saved(10.0);
    for day in 1..=30 {
        let mut clock = clock(0, -10.0);
        clock.advance(day * 24 * HOUR);
        let mut machine = Machine::new(clock, Policy::default(), Discipline::default(), 13);
        machine.controller.resume(&state).expect("resumed");
        let idle = machine.controller.state().expect("readable").expect("resumed");
        assert_eq!((idle.stddev, idle.measured_at), (state.stddev, state.measured_at));
        assert_ne!(idle.saved_at, state.saved_at);
        machine.absorb(0);
        state = machine.controller.state().expect("readable").expect("measured");
    }
    // 30 restarts of 0.5 ppm and 720 hours of 0.3 ppm.
    let stddev = state.stddev.as_ppm();
    assert!((8.4..8.6).contains(&stddev), "{stddev} ppm");
}

/// A refused correction is no evidence of how long the machine was off.
#[test]
fn a_refused_measurement_and_one_before_the_time_saved_show_no_age() {
    for (ahead, max_backward, measured) in [(7200, 3600, -3600), (7200, 86_400, 3600)] {
        let policy = Policy::default()
            .max_startup_backward(Some(Duration::from_secs(max_backward)))
            .max_backward(Some(Duration::from_secs(max_backward)));
        let mut machine = Machine::new(clock(-ahead * S, 0.0), policy, Discipline::default(), 14);
        let measured_at = today().saturating_add(Offset::from_nanos(measured * S));
        let state = SavedState { measured_at, ..saved(0.0) };
        machine.controller.resume(&state).expect("resumed");
        let first = machine.absorb(0);
        assert_eq!(matches!(first.action, Action::Refuse(_)), max_backward == 3600, "{first:?}");
        assert_eq!(first.frequency_stddev, INITIAL_FREQUENCY_STDDEV, "{first:?}");
    }
}

#[test]
fn a_restart_goes_on_with_the_frequency_and_never_before_the_time_saved() {
    let mut machine = Machine::new(clock(0, 30.0), Policy::default(), Discipline::default(), 9);
    assert_eq!(machine.controller.state().expect("readable"), None, "nothing learnt yet");
    machine.run(2 * HOUR);
    let saved = machine.controller.state().expect("readable").expect("learnt");
    assert!(saved.stddev < Frequency::from_ppm(1.0), "{saved:?}");

    // A machine without a battery starts in the past.
    let stopped = SimulatedClock::new(
        saved.saved_at.saturating_add(Offset::from_nanos(60 * S)),
        Offset::from_nanos(400 * 86_400 * S),
        Frequency::from_ppm(30.0),
    );
    let mut controller = Controller::new(stopped, Policy::default(), Discipline::default());
    assert!(matches!(controller.resume(&saved).expect("resumed"), Action::Step(_)));
    assert_eq!(controller.clock().now().expect("readable"), saved.saved_at);
    assert_eq!(controller.clock().frequency().expect("readable"), saved.frequency);

    // A clock that kept its time is not changed.
    let ahead = clock(0, 30.0);
    let mut controller = Controller::new(ahead, Policy::default(), Discipline::default());
    let earlier = SavedState { saved_at: Timestamp::from_unix_nanos(0), ..saved };
    assert_eq!(controller.resume(&earlier).expect("resumed"), Action::Leave);
    assert_eq!(controller.clock().steps(), 0);
}

/// Anyone who can write the file can step the clock up to the time in it: within the limits, like
/// every other step.
#[test]
fn a_saved_time_beyond_the_limits_is_refused_and_one_within_counts() {
    let minute = Duration::from_secs(60);
    let saved = |ahead: i64| SavedState {
        frequency: Frequency::ZERO,
        stddev: Frequency::from_ppm(1.0),
        measured_at: today(),
        saved_at: today().saturating_add(Offset::from_nanos(ahead * S)),
    };
    let resumed = |policy: Policy, ahead: i64| {
        let mut controller = Controller::new(clock(0, 0.0), policy, Discipline::default());
        let action = controller.resume(&saved(ahead)).expect("resumed");
        (controller, action)
    };
    for (policy, ahead) in [
        (Policy::default().max_saved_forward(Some(minute)), 61),
        (Policy::default().max_accumulated(Some(minute)), 86_400),
    ] {
        let (controller, action) = resumed(policy, ahead);
        assert!(matches!(action, Action::Refuse(_)), "{action:?}");
        assert_eq!(controller.clock().steps(), 0);
    }
    let policy = Policy::default().max_accumulated(Some(minute));
    let (mut controller, action) = resumed(policy, 50);
    assert_eq!(action, Action::Step(Offset::from_nanos(50 * S)));
    // The clock is now 50 s ahead. A step back would make it 100 s in total.
    let (at, local_time) =
        (controller.clock().monotonic(), controller.clock().now().expect("shown"));
    let offset = controller.clock().true_offset();
    let (stddev, lag) = (Duration::from_millis(1), Duration::from_millis(1));
    let bounds = Interval::between(offset, offset).widened(lag);
    let reading = Reading {
        offset,
        stddev,
        bounds,
        lag,
        date_advanced: true,
        at,
        local_time,
        is_unconfirmed: false,
        agreement: Agreement::SINGLE,
    };
    let action = controller.absorb(&reading).expect("decided").action;
    assert!(matches!(action, Action::Refuse(_)), "{action:?}");
}

/// The file was saved while the clock was 43 years ahead.
#[test]
fn a_saved_time_in_the_future_is_undone_by_one_server_if_the_clock_was_right_else_by_a_quorum() {
    let decades = 43 * 365 * 86_400 * S;
    let state =
        SavedState { saved_at: today().saturating_add(Offset::from_nanos(decades)), ..saved(0.0) };
    let resumed = |behind_ns: i64| {
        let clock = clock(behind_ns, 0.0);
        let mut machine = Machine::new(clock, Policy::default(), Discipline::default(), 15);
        let action = machine.controller.resume(&state).expect("resumed");
        assert!(matches!(action, Action::Step(_)), "{action:?}");
        machine
    };
    // The hardware clock was right, or behind by an hour.
    for behind in [0, 3600 * S] {
        let mut machine = resumed(behind);
        let outcome = machine.absorb(0);
        assert!(matches!(outcome.action, Action::Step(_)), "{behind}: {outcome:?}");
        assert!(machine.offset() < Duration::from_millis(3));
    }
    // Without a hardware clock the machine started in 1970: nothing shows that the file is wrong.
    let mut machine = resumed(1_900_000_000 * S);
    let refused = machine.absorb(0).action;
    assert!(matches!(refused, Action::Refuse(_)), "{refused:?}");
    let agreement = Agreement::of_independent(2, 3);
    let reading = Reading { agreement, ..machine.reading(0) };
    let outcome = machine.controller.absorb(&reading).expect("done");
    assert!(matches!(outcome.action, Action::Step(_)), "{outcome:?}");
    assert!(machine.offset() < Duration::from_millis(3));
}

#[test]
fn the_start_up_limits_apply_again_after_a_sleep_until_the_clock_is_correct() {
    let hours = 17 * 3600 * S;
    let policy = Policy::default().max_startup_forward(None);
    let mut machine = Machine::new(clock(0, 0.0), policy, Discipline::default(), 16);
    machine.run(HOUR);
    for is_known in [false, true] {
        machine.controller.clock_mut().step(Offset::from_nanos(-hours)).expect("set");
        if is_known {
            machine.controller.clock_moved();
        }
        let outcome = machine.absorb(0);
        assert_eq!(matches!(outcome.action, Action::Step(_)), is_known, "{outcome:?}");
        if !is_known {
            machine.controller.clock_mut().step(Offset::from_nanos(hours)).expect("set");
        }
    }
    assert!(machine.offset() < Duration::from_millis(3));
    machine.controller.clock_mut().step(Offset::from_nanos(-hours)).expect("set");
    let outcome = machine.absorb(0);
    assert!(matches!(outcome.action, Action::Refuse(_)), "they do not apply twice: {outcome:?}");
}

#[test]
fn a_clock_that_may_not_be_set_is_an_error_with_a_name() {
    let mut machine =
        Machine::new(clock(38_116 * MS, 0.0), Policy::default(), Discipline::default(), 10);
    machine.controller.clock_mut().fail_with(|operation| ClockError::NoPrivilege { operation });
    let reading = machine.reading(0);
    let error = machine.controller.absorb(&reading).expect_err("not allowed");
    assert_eq!(error.kind(), "no_privilege");
    assert_eq!(machine.controller.clock().steps(), 0);
}

/// The certificates were valid by the measured time alone, so another measurement must confirm it.
#[test]
fn an_unconfirmed_reading_corrects_the_clock_and_only_a_confirmed_one_marks_it() {
    let clock = clock(38_116 * MS, 0.0);
    let mut machine = Machine::new(clock, Policy::default(), Discipline::default(), 1);
    let is_marked = |machine: &Machine| {
        machine.controller.clock().status().expect("readable").is_synchronised()
    };
    let reading = Reading { is_unconfirmed: true, ..machine.reading(0) };
    let outcome = machine.controller.absorb(&reading).expect("done");
    assert!(matches!(outcome.action, Action::Step(_)), "{outcome:?}");
    assert!(outcome.is_unconfirmed && !is_marked(&machine));

    let reading = Reading { is_unconfirmed: true, ..machine.reading(0) };
    let outcome = machine.controller.absorb(&reading).expect("done");
    assert!(outcome.is_unconfirmed && !is_marked(&machine), "nothing to correct is no proof");

    let outcome = machine.absorb(0);
    assert!(!outcome.is_unconfirmed && is_marked(&machine));
}
