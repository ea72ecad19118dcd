use std::time::Duration;

use fastrand::Rng;
use httptime::{Config, Measurement, Offset, Timestamp};
use httptime_clock::controller::{Controller, apply};
use httptime_clock::discipline::Discipline;
use httptime_clock::{Clock, Frequency, History, Policy, Reading, SimulatedClock};
use httptime_sim::fleet::FleetNode;
use httptime_sim::{Outcome, SimClock};

use super::{BEGINNING, FleetSettings, Habit, since_beginning};
use crate::row::ms;
use crate::week::Oscillator;

/// What is recorded about one machine.
#[derive(Debug, Clone, Default)]
pub(super) struct Records {
    /// Absolute errors of the measurements that count, in milliseconds.
    pub(super) errors: Vec<f32>,
    /// Offsets of the clock at regular instants, in milliseconds.
    pub(super) clock: Vec<f32>,
    pub(super) within_one: u32,
    pub(super) within_two: u32,
    pub(super) broken: u32,
    pub(super) measurements: u32,
    pub(super) failed: u32,
}

/// A machine of the fleet: its clock, and when it measures.
pub(super) struct Node {
    habit: Habit,
    /// The settings of a measurement, and those with an expected offset.
    configs: [Config; 2],
    controller: Controller<SimulatedClock>,
    oscillator: Oscillator,
    random: Rng,
    /// When the machine was started.
    started: Timestamp,
    /// When the next measurement begins.
    next: Option<Timestamp>,
    /// The clocks of the running measurement.
    measured: SimClock,
    failures: u32,
    /// The random share of the interval.
    jitter: f64,
    busy_spread: f64,
    /// The time that counts, from the start of the first machine.
    span: (Duration, Duration),
    records: Records,
}

impl Node {
    pub(super) fn new(
        habit: Habit,
        configs: &[Config; 2],
        span: (Duration, Duration),
        settings: &FleetSettings,
        seed: u64,
    ) -> Self {
        let mut random = Rng::with_seed(seed);
        let oscillator = Oscillator::new(&mut random);
        let offset = Offset::from_nanos(random.i64(-60_000_000_000..=60_000_000_000));
        let clock = SimulatedClock::new(BEGINNING, offset, oscillator.error(Duration::ZERO));
        // The day of the build may be later than the simulated day.
        let policy = Policy::default().floor(Timestamp::from_unix_nanos(0));
        let boot = settings.starts_within.mul_f64(random.f64());
        let started = BEGINNING.saturating_add(boot.into());
        Self {
            habit,
            configs: configs.clone(),
            controller: Controller::new(clock, policy, Discipline::default()),
            oscillator,
            random,
            started,
            next: Some(started),
            measured: SimClock::new(0),
            failures: 0,
            jitter: settings.jitter,
            busy_spread: settings.busy_spread,
            span,
            records: Records::default(),
        }
    }

    /// Advances the clock to the end of the time that counts.
    pub(super) fn close(mut self) -> Records {
        let end = BEGINNING.saturating_add(self.span.1.into());
        self.advance(end);
        self.records
    }

    fn clock(&self) -> &SimulatedClock {
        self.controller.clock()
    }

    fn advance(&mut self, until: Timestamp) {
        loop {
            let now = since_beginning(self.clock().true_time());
            let left = since_beginning(until).saturating_sub(now);
            if left.is_zero() {
                break;
            }
            let passed = now.as_nanos() % SCORED_EACH.as_nanos();
            let whole = SCORED_EACH - Duration::from_nanos(u64::try_from(passed).unwrap_or(0));
            let piece = left.min(whole);
            self.controller.clock_mut().advance(piece);
            if piece == whole {
                let now = now + piece;
                let error = self.oscillator.next_minute(&mut self.random, now);
                self.controller.clock_mut().set_oscillator_error(error);
                let is_end = self.habit != Habit::Storm || now == self.span.1;
                if is_end && now > self.span.0 && now <= self.span.1 {
                    self.records.clock.push(signed_ms(self.clock().true_offset()));
                }
            }
        }
    }

    /// How much faster than the true time the clock runs.
    fn frequency_error(&self) -> Frequency {
        let set = self.clock().frequency().expect("a simulated clock can be read");
        self.clock().oscillator_error().saturating_add(set)
    }

    fn record(&mut self, measurement: &Measurement, outcome: &Outcome) {
        let is_counted = since_beginning(self.clock().true_time()) >= self.span.0;
        let bounds = measurement.bounds();
        self.records.broken += u32::from(!bounds.contains(outcome.truth));
        if is_counted {
            let error = outcome.error(measurement.offset()).abs();
            self.records.errors.push(signed_ms(error.into()));
            self.records.within_one += u32::from(error <= measurement.stddev());
            self.records.within_two += u32::from(error <= 2 * measurement.stddev());
        }
    }

    /// Corrects the clock as the program does. Returns the wait for the next measurement of `run`.
    fn correct(&mut self, measurement: &Measurement) -> Duration {
        let clock = self.clock();
        let reading = Reading {
            at: clock.monotonic(),
            local_time: clock.now().expect("readable"),
            ..Reading::from(measurement)
        };
        if self.habit == Habit::Run {
            let wait = self.controller.absorb(&reading).expect("may be set").interval;
            // The program's random share: `PollInterval`.
            let spread = wait.mul_f64(1.0 + self.jitter * (2.0 * self.random.f64() - 1.0));
            if !measurement.is_busy() || self.busy_spread <= 0.0 {
                return spread;
            }
            let later = wait.mul_f64(self.busy_spread * self.random.f64());
            return (spread + later).min(LONGEST.max(spread));
        }
        let policy = Policy::default().floor(Timestamp::from_unix_nanos(0));
        let action = policy.decide(&reading, &History::default());
        apply(self.controller.clock_mut(), action, &reading).expect("may be set");
        Duration::ZERO
    }

    /// When the next measurement begins, after one that has ended now.
    fn following(&mut self, wait: Duration) -> Option<Timestamp> {
        let now = self.clock().true_time();
        match self.habit {
            Habit::Storm | Habit::Chrony => None,
            Habit::Run => Some(now.saturating_add(wait.into())),
            Habit::Timer => {
                // OnUnitActiveSec=1h counts from the last start.
                let ran = since_beginning(now).saturating_sub(since_beginning(self.started));
                let first = ran < FIRST_TIMER;
                let base = if first { FIRST_TIMER } else { HOUR };
                let from = if first { self.started } else { now };
                let wait = base + TIMER_DELAY.mul_f64(self.random.f64());
                Some(from.saturating_add(wait.into()))
            }
            Habit::Cron => {
                let shown = self.clock().now().expect("readable").as_unix_nanos();
                let left = HOUR_NS - shown.rem_euclid(HOUR_NS);
                let starts =
                    CRON_STARTS.0 + (CRON_STARTS.1 - CRON_STARTS.0).mul_f64(self.random.f64());
                let wait = Offset::from_nanos(left).saturating_add(starts.into());
                Some(now.saturating_add(wait))
            }
        }
    }
}

impl FleetNode for Node {
    fn next(&mut self) -> Option<Timestamp> {
        self.next.take().filter(|at| since_beginning(*at) < self.span.1)
    }

    fn begin(&mut self, at: Timestamp) -> (SimClock, Config) {
        self.advance(at);
        self.records.measurements += 1;
        self.controller.stop_slewing().expect("may be set");
        let clock = self.clock();
        #[expect(clippy::cast_possible_truncation, reason = "some ten thousand")]
        let drift_ppb = (-1e3 * self.frequency_error().as_ppm()).round() as i64;
        let expected = match self.habit {
            Habit::Run => self.controller.expected(clock.monotonic()),
            _ => None,
        };
        self.measured = SimClock::new(clock.true_offset().as_nanos())
            .starting_at(clock.now().expect("readable"))
            .drifting_ppb(drift_ppb);
        let [usual, with_expected] = &self.configs;
        let config = match expected {
            Some(expected) => with_expected.clone().with_expected(expected),
            None => usual.clone(),
        };
        (self.measured, config)
    }

    fn end(&mut self, at: Timestamp, outcome: &Outcome) {
        let wait = match &outcome.result {
            Ok(measurement) => {
                self.advance(self.measured.server_time_at(measurement.at()));
                self.record(measurement, outcome);
                self.failures = 0;
                self.correct(measurement)
            }
            Err(_) => {
                self.advance(at);
                self.records.failed += 1;
                self.failures += 1;
                MIN_RETRY_INTERVAL * (1 << (self.failures - 1).min(MAX_DOUBLINGS))
            }
        };
        self.next = self.following(wait);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "seven digits are enough")]
fn signed_ms(offset: Offset) -> f32 {
    let size = ms(offset.abs()) as f32;
    if offset < Offset::ZERO { -size } else { size }
}

/// The interval at which the offset of a clock is sampled, and its oscillator changes.
const SCORED_EACH: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const HOUR_NS: i64 = 3_600_000_000_000;
/// `OnBootSec` and `RandomizedDelaySec` of `httptime-sync.timer`.
const FIRST_TIMER: Duration = Duration::from_secs(60);
const TIMER_DELAY: Duration = Duration::from_secs(600);
/// The time that cron and the program need until the request leaves.
const CRON_STARTS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(60));
/// The longest interval of `run` by default.
const LONGEST: Duration = HOUR;
/// The same as in the program.
const MIN_RETRY_INTERVAL: Duration = Duration::from_secs(64);
const MAX_DOUBLINGS: u32 = 4;
