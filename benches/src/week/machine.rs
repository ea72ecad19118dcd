use std::time::Duration;

use fastrand::Rng;
use httptime::{Config, Measurement, Offset, Timestamp};
use httptime_clock::{Clock, SimulatedClock};
use httptime_sim::worlds::NamedWorld;
use httptime_sim::{SimClock, SimServer, SimStamp, StampDigits, World};

use super::disturbances::{Disturbances, Sleep, WEEK};
use super::{KeptClock, SCORED_EACH, SETTLING};

/// A machine during its week, and the records of it.
pub(crate) struct Machine<'a> {
    disturbances: Disturbances,
    world: World,
    random: Rng,
    /// Number of sleeps so far.
    slept: usize,
    kept: &'a mut KeptClock,
}

impl<'a> Machine<'a> {
    pub(crate) fn new(world: &NamedWorld, calm: bool, seed: u64, kept: &'a mut KeptClock) -> Self {
        Self {
            disturbances: Disturbances::new(seed, calm),
            world: world.world(seed),
            random: Rng::with_seed(seed),
            slept: 0,
            kept,
        }
    }

    /// The server's responses have stamps.
    pub(crate) fn add_stamps(&mut self) {
        let stamp = SimStamp::seconds(StampDigits::Micros);
        self.world = self.world.clone().with_server(SimServer::exact().stamped(stamp));
    }

    /// The machine's clock, with its error at the beginning.
    pub(crate) fn clock(&self) -> SimulatedClock {
        SimulatedClock::new(
            BEGINNING,
            self.disturbances.offset,
            self.disturbances.oscillator(Duration::ZERO),
        )
    }

    pub(crate) fn is_over(clock: &SimulatedClock) -> bool {
        elapsed(clock) >= WEEK
    }

    /// The number of sleeps so far.
    pub(crate) const fn slept(&self) -> usize {
        self.slept
    }

    /// Advances the time. Returns early when the machine has slept, with the remaining time.
    pub(crate) fn advance(&mut self, clock: &mut SimulatedClock, time: Duration) -> Duration {
        let mut remains = time;
        while !remains.is_zero() {
            let now = elapsed(clock);
            let scored = SCORED_EACH - Duration::from_nanos(nanos(now) % nanos(SCORED_EACH));
            let sleep = self.disturbances.sleeps.get(self.slept).copied();
            let awake = sleep.map_or(Duration::MAX, |sleep| sleep.at.saturating_sub(now));
            let piece = remains.min(scored).min(awake);
            clock.advance(piece);
            remains -= piece;
            if piece == scored {
                self.score(clock);
                clock.set_oscillator_error(self.disturbances.oscillator(elapsed(clock)));
            }
            if let Some(Sleep { lasts, off_by, .. }) = sleep.filter(|_| piece == awake) {
                clock.sleep(lasts, off_by);
                clock.set_oscillator_error(self.disturbances.oscillator(elapsed(clock)));
                self.slept += 1;
                return remains;
            }
        }
        Duration::ZERO
    }

    /// Measures over the network in its present state, and advances the time by the duration of the
    /// measurement. `None`: no result.
    pub(crate) fn measure(
        &mut self,
        clock: &mut SimulatedClock,
        config: &Config,
    ) -> Option<Measurement> {
        let now = elapsed(clock);
        let seed = self.random.u64(..);
        self.kept.measurements += 1;
        if self.disturbances.is_cut_off(now) {
            self.kept.failed += 1;
            self.advance(clock, config.limits().timeout());
            return None;
        }
        let frequency_ppm = frequency_error_ppm(clock);
        #[expect(clippy::cast_possible_truncation, reason = "some ten thousand")]
        let drift_ppb = (-1e3 * frequency_ppm).round() as i64;
        let clocks = SimClock::new(clock.true_offset().as_nanos())
            .starting_at(clock.now().expect("a simulated clock can be read"))
            .drifting_ppb(drift_ppb);
        let path = self.disturbances.of_path(now, self.world.path());
        let outcome = self.world.clone().with_clock(clocks).with_path(path).measure(config, seed);
        let Ok(measurement) = outcome.result else {
            self.kept.failed += 1;
            self.advance(clock, config.limits().duration());
            return None;
        };
        self.kept.requests += measurement.requests();
        let took = Duration::from_nanos(measurement.at().as_nanos().unsigned_abs());
        let took = took.div_f64(1.0 + frequency_ppm * 1e-6);
        let slept = self.slept;
        self.advance(clock, took);
        if self.slept != slept {
            self.kept.failed += 1;
            return None;
        }
        let apart = clock.true_offset().saturating_sub(outcome.truth).abs();
        assert!(apart < Duration::from_micros(2), "two clocks are one: {apart:?}");
        Some(measurement)
    }

    /// A random duration in this range, for example the start-up time of a process.
    pub(crate) fn random_duration(&mut self, min: Duration, max: Duration) -> Duration {
        min + (max - min).mul_f64(self.random.f64())
    }

    /// Records a step that only a measurement called for.
    pub(crate) const fn count_unprovoked_step(&mut self) {
        self.kept.unprovoked += 1;
    }

    /// Adds the counters of the clock itself.
    pub(crate) fn close(self, clock: &SimulatedClock) {
        self.kept.steps += clock.steps();
    }

    fn score(&mut self, clock: &SimulatedClock) {
        if (SETTLING..=WEEK).contains(&elapsed(clock)) {
            self.kept.score(clock.true_offset(), frequency_error_ppm(clock));
        }
    }
}

/// The frequency error of the clock while it is not slewed, in ppm. Positive: too fast.
fn frequency_error_ppm(clock: &SimulatedClock) -> f64 {
    let set = clock.frequency().expect("a simulated clock can be read");
    clock.oscillator_error().saturating_add(set).as_ppm()
}

/// True time since the beginning.
fn elapsed(clock: &SimulatedClock) -> Duration {
    Offset::between(BEGINNING, clock.true_time()).abs()
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// 2026-11-23T00:00:00Z.
const BEGINNING: Timestamp = Timestamp::from_unix_nanos(1_795_392_000_000_000_000);
