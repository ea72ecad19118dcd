use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use httptime::{LocalInstant, Offset};
use httptime_clock::Frequency;
use httptime_sim::Path;

/// The events of one machine in one week, by true time since its beginning. They are the same for
/// every method.
#[derive(Debug)]
pub(crate) struct Disturbances {
    /// The offset at the beginning.
    pub(crate) offset: Offset,
    /// The nights in which the machine sleeps, in order.
    pub(crate) sleeps: Vec<Sleep>,
    constant_ppm: f64,
    /// The time at which the daily wave crosses zero.
    dawn: Duration,
    /// The random walk, one value per minute.
    walk_ppm: Vec<f64>,
    outages: Vec<Range<Duration>>,
    loss: Range<Duration>,
    /// The increase of the forward delay from the middle of the week on.
    detour: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Sleep {
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    /// How much slower the clock is after the sleep than before it.
    pub(crate) off_by: Offset,
}

impl Disturbances {
    /// `calm`: no disturbance other than the oscillator.
    pub(crate) fn new(seed: u64, calm: bool) -> Self {
        let mut random = Rng::with_seed(seed ^ WEEK_OF);
        let mut walk = 0.0;
        let walk_ppm = (0..=WEEK.as_secs() / 60).map(|_| {
            walk += WANDER_PPM * normal(&mut random);
            walk
        });
        let walk_ppm = walk_ppm.collect();
        let between = |random: &mut Rng, least: Duration, most: Duration| {
            least + (most - least).mul_f64(random.f64())
        };
        let sleeps = (0..7).map(|day| Sleep {
            at: DAY * day + between(&mut random, 2 * HOUR, 5 * HOUR),
            lasts: between(&mut random, HOUR, 3 * HOUR),
            off_by: Offset::from_nanos(random.i64(-500_000_000..=500_000_000)),
        });
        let sleeps = sleeps.collect();
        let lasting = |begin: Duration, lasts: Duration| begin..begin + lasts;
        let outages = [1, 3, 5].map(|day| {
            lasting(DAY * day + between(&mut random, Duration::ZERO, 18 * HOUR), OUTAGE)
        });
        let disturbances = Self {
            offset: Offset::from_nanos(random.i64(-60_000_000_000..=60_000_000_000)),
            sleeps,
            constant_ppm: 2.0 * CONSTANT_PPM * random.f64() - CONSTANT_PPM,
            dawn: between(&mut random, Duration::ZERO, DAY),
            walk_ppm,
            outages: outages.into(),
            loss: lasting(between(&mut random, HOUR, WEEK - 2 * HOUR), 2 * HOUR),
            detour: Some(DETOUR),
        };
        if calm {
            let none = Duration::ZERO..Duration::ZERO;
            let (sleeps, outages) = (Vec::new(), Vec::new());
            return Self { sleeps, outages, loss: none, detour: None, ..disturbances };
        }
        disturbances
    }

    /// The frequency error of the oscillator. Positive: too fast.
    pub(crate) fn oscillator(&self, at: Duration) -> Frequency {
        let wave = wave_ppm(at, self.dawn);
        let minute = usize::try_from(at.as_secs() / 60).unwrap_or(usize::MAX);
        let walk = self.walk_ppm.get(minute).or(self.walk_ppm.last()).copied().unwrap_or(0.0);
        Frequency::from_ppm(self.constant_ppm + wave + walk)
    }

    /// Whether nothing answers.
    pub(crate) fn is_cut_off(&self, at: Duration) -> bool {
        self.outages.iter().any(|outage| outage.contains(&at))
    }

    /// The path after the events up to this time.
    pub(crate) fn of_path(&self, at: Duration, path: Path) -> Path {
        let path = if self.loss.contains(&at) { path.loss(0.2) } else { path };
        match self.detour.filter(|_| at >= WEEK / 2) {
            Some(more) => path.rerouted(LocalInstant::from_nanos(0), more),
            None => path,
        }
    }
}

/// The oscillator of a machine, minute by minute, so that a large fleet of them fits into memory.
#[derive(Debug, Clone)]
pub(crate) struct Oscillator {
    constant_ppm: f64,
    /// The time at which the daily wave crosses zero.
    dawn: Duration,
    walk_ppm: f64,
}

impl Oscillator {
    pub(crate) fn new(random: &mut Rng) -> Self {
        let constant_ppm = 2.0 * CONSTANT_PPM * random.f64() - CONSTANT_PPM;
        Self { constant_ppm, dawn: DAY.mul_f64(random.f64()), walk_ppm: 0.0 }
    }

    /// The frequency error at the next whole minute.
    pub(crate) fn next_minute(&mut self, random: &mut Rng, at: Duration) -> Frequency {
        self.walk_ppm += WANDER_PPM * normal(random);
        self.error(at)
    }

    /// The frequency error at a time since the beginning. Positive: too fast.
    pub(crate) fn error(&self, at: Duration) -> Frequency {
        Frequency::from_ppm(self.constant_ppm + wave_ppm(at, self.dawn) + self.walk_ppm)
    }
}

/// The change of the frequency by the daily temperature.
fn wave_ppm(at: Duration, dawn: Duration) -> f64 {
    let days = (at.as_secs_f64() - dawn.as_secs_f64()) / DAY.as_secs_f64();
    WAVE_PPM * (days * std::f64::consts::TAU).sin()
}

/// The sum of twelve uniform draws minus six: close enough to a normal distribution.
fn normal(random: &mut Rng) -> f64 {
    (0..12).map(|_| random.f64()).sum::<f64>() - 6.0
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// The simulated duration.
pub(crate) const WEEK: Duration = Duration::from_secs(7 * 86_400);
/// The largest constant part of the frequency error.
const CONSTANT_PPM: f64 = 30.0;
/// Amplitude of the frequency change by the daily temperature.
const WAVE_PPM: f64 = 1.0;
/// Step of the random walk per minute: 0.3 ppm in an hour.
const WANDER_PPM: f64 = 0.038_729_833;
const OUTAGE: Duration = Duration::from_secs(6 * 3600);
const DETOUR: Duration = Duration::from_millis(2);
/// Separates these draws from those of the worlds and the measurements.
const WEEK_OF: u64 = 0x7d5e_ed00_0000_0007;
