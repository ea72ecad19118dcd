//! How well a clock is kept for a week that contains everything: a wandering oscillator, outages,
//! sleep, loss and a route change. The same week is simulated for the usual alternatives.
//!
//! `cargo run --release -p httptime-benches --bin week` writes the table;
//! `tests/week.rs` compares a short version with `week.csv`.

use std::io::{self, Write};
use std::time::Duration;

use httptime::{Config, Measurement, Offset, Timestamp};
use httptime_clock::controller::Controller;
use httptime_clock::controller::apply;
use httptime_clock::discipline::{Discipline, Tuning};
use httptime_clock::{Action, Clock, Policy, Reading, SimulatedClock};
use httptime_clock::{Evidence, History};
use httptime_sim::worlds::NamedWorld;

use self::disturbances::WEEK;
use self::machine::Machine;
use crate::row::{length, ms, quantile};
use crate::suite::on_all_processors;
use crate::table;

mod disturbances;
mod machine;

pub(crate) use self::disturbances::Oscillator;

/// The method by which the clock is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockKeeper {
    /// None. The clock was right at the beginning.
    Nobody,
    /// `0 * * * * date -s "$(curl -sI … | grep Date)"`
    Crontab,
    /// `httptime sync` every hour.
    Sync,
    /// `httptime run`, which measures as soon as the machine wakes.
    Run(Evidence),
    /// The same with a server whose responses have stamps of 1 µs.
    RunStamped(Evidence),
}

impl ClockKeeper {
    /// All methods, the worst first.
    pub const ALL: [Self; 7] = [
        Self::Nobody,
        Self::Crontab,
        Self::Sync,
        Self::Run(Evidence::Bounds),
        Self::Run(Evidence::Estimate),
        Self::RunStamped(Evidence::Bounds),
        Self::RunStamped(Evidence::Estimate),
    ];

    /// The name in the table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "free running",
            Self::Crontab => "crontab, date -s",
            Self::Sync => "sync, hourly",
            Self::Run(Evidence::Estimate) => "run, estimate",
            Self::Run(_) => "run",
            Self::RunStamped(Evidence::Estimate) => "run, estimate, stamps",
            Self::RunStamped(_) => "run, stamps",
        }
    }

    fn keep(self, machine: &mut Machine<'_>, config: &Config, tuning: Tuning) -> SimulatedClock {
        match self {
            Self::Nobody => free_run(machine),
            Self::Crontab => hourly(machine, |machine, clock| set_to_date(machine, clock, config)),
            Self::Sync => hourly(machine, |machine, clock| sync(machine, clock, config)),
            Self::Run(evidence) => run(machine, config, evidence, tuning),
            Self::RunStamped(evidence) => {
                machine.add_stamps();
                run(machine, config, evidence, tuning)
            }
        }
    }
}

/// How well a clock was kept, over all weeks.
#[derive(Debug, Clone)]
pub struct KeptClock {
    /// The simulated world.
    pub world: &'static NamedWorld,
    /// The method.
    pub keeper: ClockKeeper,
    /// Number of weeks.
    pub weeks: u32,
    /// Measurements started.
    pub measurements: u32,
    /// Measurements without a result.
    pub failed: u32,
    /// Requests.
    pub requests: u32,
    /// Steps.
    pub steps: u32,
    /// Steps of `run` at any measurement other than the first after its start or after the machine
    /// woke.
    pub unprovoked: u32,
    /// Absolute offsets at regular instants, in milliseconds, ascending.
    offsets: Vec<f64>,
    offset_squares: f64,
    frequency_squares: f64,
}

impl KeptClock {
    const fn new(world: &'static NamedWorld, keeper: ClockKeeper, weeks: u32) -> Self {
        Self {
            world,
            keeper,
            weeks,
            measurements: 0,
            failed: 0,
            requests: 0,
            steps: 0,
            unprovoked: 0,
            offsets: Vec::new(),
            offset_squares: 0.0,
            frequency_squares: 0.0,
        }
    }

    fn score(&mut self, offset: Offset, frequency_error_ppm: f64) {
        let offset = ms(offset.abs());
        self.offsets.push(offset);
        self.offset_squares += offset.powi(2);
        self.frequency_squares += frequency_error_ppm.powi(2);
    }

    /// The quantile of the absolute offset at this share of the time, in milliseconds.
    #[must_use]
    pub fn offset(&self, share: f64) -> f64 {
        quantile(&self.offsets, share)
    }

    /// Root mean square of the offset, in milliseconds.
    #[must_use]
    pub fn rms(&self) -> f64 {
        (self.offset_squares / length(&self.offsets)).sqrt()
    }

    /// Root mean square of the frequency error, in ppm.
    #[must_use]
    pub fn rms_ppm(&self) -> f64 {
        (self.frequency_squares / length(&self.offsets)).sqrt()
    }
}

/// Which weeks to simulate.
#[derive(Debug, Clone, Copy)]
pub struct Weeks {
    /// Number of weeks.
    pub number: u32,
    /// The same seed gives the same weeks, for each method and in each world.
    pub seed: u64,
    /// Whether the oscillator's wander is the only disturbance.
    pub calm: bool,
    /// The assumed limit of a server's lag, where the world does not define a larger one.
    pub lag: Duration,
}

/// Simulates each method in each world, on all processors.
///
/// # Panics
/// When the library refuses the settings.
#[must_use]
pub fn run_weeks(
    worlds: &[&'static NamedWorld],
    keepers: &[ClockKeeper],
    weeks: &Weeks,
) -> Vec<KeptClock> {
    run_weeks_with(worlds, keepers, weeks, Tuning::default())
}

/// The same with other constants of the discipline.
///
/// # Panics
/// When the library refuses the settings.
#[must_use]
pub fn run_weeks_with(
    worlds: &[&'static NamedWorld],
    keepers: &[ClockKeeper],
    weeks: &Weeks,
    tuning: Tuning,
) -> Vec<KeptClock> {
    let cells: Vec<_> =
        worlds.iter().flat_map(|world| keepers.iter().map(|keeper| (*world, *keeper))).collect();
    on_all_processors(&cells, |&(world, keeper)| {
        let lag = weeks.lag.max(world.stated_lag());
        let config = Config::builder().lag(lag).build().expect("within the limits");
        let mut kept = KeptClock::new(world, keeper, weeks.number);
        for week in 0..weeks.number {
            let seed = weeks.seed.wrapping_add(u64::from(week));
            let mut machine = Machine::new(world, weeks.calm, seed, &mut kept);
            let clock = keeper.keep(&mut machine, &config, tuning);
            machine.close(&clock);
        }
        kept.offsets.sort_unstable_by(f64::total_cmp);
        kept
    })
}

fn free_run(machine: &mut Machine<'_>) -> SimulatedClock {
    let mut clock = machine.clock();
    clock = SimulatedClock::new(clock.true_time(), Offset::ZERO, clock.oscillator_error());
    while !Machine::is_over(&clock) {
        machine.advance(&mut clock, WEEK);
    }
    clock
}

/// Runs a job at each full hour of the clock, as cron does: not twice in the same hour, and not for
/// hours in which the machine slept.
fn hourly(
    machine: &mut Machine<'_>,
    mut job: impl FnMut(&mut Machine<'_>, &mut SimulatedClock),
) -> SimulatedClock {
    let mut clock = machine.clock();
    let shown = |clock: &SimulatedClock| clock.now().expect("readable").as_unix_nanos();
    let mut done = shown(&clock).div_euclid(HOUR_NS);
    // An administrator who sets this up runs it once.
    job(machine, &mut clock);
    while !Machine::is_over(&clock) {
        let due = done.max(shown(&clock).div_euclid(HOUR_NS)) + 1;
        let wait = Duration::from_nanos((due * HOUR_NS - shown(&clock)).unsigned_abs());
        let starts = machine.random_duration(MIN_START, MAX_START);
        if machine.advance(&mut clock, wait + starts).is_zero() && !Machine::is_over(&clock) {
            done = due;
            job(machine, &mut clock);
        }
    }
    clock
}

/// Sends one request, and sets the clock to the `Date` when the response arrives.
fn set_to_date(machine: &mut Machine<'_>, clock: &mut SimulatedClock, config: &Config) {
    let one = Config::builder().requests(1).lag(config.lag().unwrap_or_default());
    let one = one.build().expect("within the limits");
    if let Some(measurement) = machine.measure(clock, &one) {
        // The lower bound of a single response is its date minus its time of arrival.
        clock.step(measurement.bounds().lower()).expect("may be set");
    }
}

/// Does what the program does, without the few requests that check the result.
fn sync(machine: &mut Machine<'_>, clock: &mut SimulatedClock, config: &Config) {
    if let Some(measurement) = machine.measure(clock, config) {
        let reading = reading(&measurement, clock);
        let action = policy().decide(&reading, &History::default());
        apply(clock, action, &reading).expect("may be set");
    }
}

fn run(
    machine: &mut Machine<'_>,
    config: &Config,
    evidence: Evidence,
    tuning: Tuning,
) -> SimulatedClock {
    let policy = policy().evidence(evidence);
    let discipline = Discipline::default().with_tuning(tuning).expect("in range");
    let mut controller = Controller::new(machine.clock(), policy, discipline);
    let mut failures = 0;
    // Number of sleeps up to the last measurement.
    let mut known = None;
    while !Machine::is_over(controller.clock()) {
        controller.stop_slewing().expect("may be set");
        let config = match controller.expected(controller.clock().monotonic()) {
            Some(expected) => config.clone().with_expected(expected),
            None => config.clone(),
        };
        let wait = match machine.measure(controller.clock_mut(), &config) {
            Some(measurement) => {
                let reading = reading(&measurement, controller.clock());
                let outcome = controller.absorb(&reading).expect("may be set");
                if matches!(outcome.action, Action::Step(_)) && known == Some(machine.slept()) {
                    machine.count_unprovoked_step();
                }
                known = Some(machine.slept());
                failures = 0;
                outcome.interval
            }
            None => {
                failures += 1;
                MIN_RETRY_INTERVAL * (1 << (failures - 1).min(MAX_DOUBLINGS))
            }
        };
        // The rest of the wait is dropped after a sleep.
        machine.advance(controller.clock_mut(), wait);
    }
    controller.clock().clone()
}

/// The default policy without its floor: the day of the build may be later than the simulated week.
fn policy() -> Policy {
    Policy::default().floor(Timestamp::from_unix_nanos(0))
}

/// The measurement in terms of the simulated clock.
fn reading(measurement: &Measurement, clock: &SimulatedClock) -> Reading {
    Reading {
        at: clock.monotonic(),
        local_time: clock.now().expect("readable"),
        ..Reading::from(measurement)
    }
}

/// Names of the columns. Counts are per week.
pub const COLUMNS: [&str; 11] = [
    "world",
    "keeper",
    "median_ms",
    "p95_ms",
    "max_ms",
    "rms_ms",
    "rms_ppm",
    "measurements",
    "failed",
    "requests",
    "steps",
];

/// The fields of one row.
#[must_use]
pub fn fields(kept: &KeptClock) -> Vec<String> {
    let counted = |count: u32| format!("{:.1}", f64::from(count) / f64::from(kept.weeks));
    let mut fields = vec![kept.world.name().to_owned(), kept.keeper.name().to_owned()];
    fields.extend([0.5, 0.95, 1.0].map(|share| table::significant(kept.offset(share))));
    fields.extend([kept.rms(), kept.rms_ppm()].map(table::significant));
    fields.extend([kept.measurements, kept.failed, kept.requests, kept.steps].map(counted));
    fields
}

/// Writes CSV.
///
/// # Errors
/// Errors of `out`.
pub fn write_csv(rows: &[KeptClock], out: impl Write) -> io::Result<()> {
    table::write_csv_records(&COLUMNS, rows.iter().map(fields), out)
}

/// Writes aligned columns, with a blank line between worlds.
///
/// # Errors
/// Errors of `out`.
pub fn write_text(rows: &[KeptClock], out: impl Write) -> io::Result<()> {
    let records: Vec<_> = rows.iter().map(fields).collect();
    table::write_text_records(&COLUMNS, 2, &records, out)
}

/// The time that is not scored: at first the clock is wrong by up to a minute and its frequency is
/// unknown.
pub const SETTLING: Duration = Duration::from_secs(3600);
/// The interval at which offset and frequency error are sampled.
pub const SCORED_EACH: Duration = Duration::from_secs(10);
const HOUR_NS: i64 = 3_600_000_000_000;
/// The time that cron, a shell and curl need until the request leaves.
const MIN_START: Duration = Duration::from_millis(20);
const MAX_START: Duration = Duration::from_millis(60);
/// The wait after the first failure. It doubles with each further one.
const MIN_RETRY_INTERVAL: Duration = Duration::from_secs(64);
/// The same as in the program.
const MAX_DOUBLINGS: u32 = 4;
