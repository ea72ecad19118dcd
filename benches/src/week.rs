//! How right a clock is kept for a week in which nothing is left out: an oscillator that wanders, outages, sleep, loss and
//! a new route; beside what else is done about clocks.
//!
//! `cargo run --release -p httptime-benches --bin week` writes the table; `tests/week.rs` holds a short version against
//! `week.csv`.

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

/// Who looks after the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockKeeper {
    /// Nobody; it was right at the beginning.
    Nobody,
    /// `0 * * * * date -s "$(curl -sI … | grep Date)"`
    Crontab,
    /// `httptime sync` every hour.
    Sync,
    /// `httptime run`, which asks at once when the machine wakes.
    Run(Evidence),
}

impl ClockKeeper {
    /// All of them, the worst first.
    pub const ALL: [Self; 5] = [
        Self::Nobody,
        Self::Crontab,
        Self::Sync,
        Self::Run(Evidence::Bounds),
        Self::Run(Evidence::Estimate),
    ];

    /// As the table has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "free running",
            Self::Crontab => "crontab, date -s",
            Self::Sync => "sync, hourly",
            Self::Run(Evidence::Estimate) => "run, estimate",
            Self::Run(_) => "run",
        }
    }

    fn keep(self, machine: &mut Machine<'_>, config: &Config, tuning: Tuning) -> SimulatedClock {
        match self {
            Self::Nobody => free_run(machine),
            Self::Crontab => hourly(machine, |machine, clock| set_to_date(machine, clock, config)),
            Self::Sync => hourly(machine, |machine, clock| sync(machine, clock, config)),
            Self::Run(evidence) => run(machine, config, evidence, tuning),
        }
    }
}

/// How right a clock was kept, over all weeks.
#[derive(Debug, Clone)]
pub struct KeptClock {
    /// Where.
    pub world: &'static NamedWorld,
    /// By whom.
    pub keeper: ClockKeeper,
    /// How many weeks.
    pub weeks: u32,
    /// Measurements begun.
    pub measurements: u32,
    /// Measurements without a result.
    pub failed: u32,
    /// Requests.
    pub requests: u32,
    /// Steps.
    pub steps: u32,
    /// Steps of `run` on any measurement but the first since the start or since the machine woke.
    pub unprovoked: u32,
    /// Offsets at regular instants, in milliseconds, without sign, ascending.
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

    /// The offset below which the clock was for this share of the time, in milliseconds.
    #[must_use]
    pub fn offset(&self, share: f64) -> f64 {
        quantile(&self.offsets, share)
    }

    /// Root of the mean square of the offset, in milliseconds.
    #[must_use]
    pub fn rms(&self) -> f64 {
        (self.offset_squares / length(&self.offsets)).sqrt()
    }

    /// Root of the mean square of the frequency error, in ppm.
    #[must_use]
    pub fn rms_ppm(&self) -> f64 {
        (self.frequency_squares / length(&self.offsets)).sqrt()
    }
}

/// Which weeks to live through.
#[derive(Debug, Clone, Copy)]
pub struct Weeks {
    /// How many.
    pub number: u32,
    /// The same seed gives the same weeks, to each keeper and in each world.
    pub seed: u64,
    /// Nothing happens in them but that the oscillator wanders.
    pub calm: bool,
    /// How late a server's `Date` may be as far as the keepers know, where the world does not say more.
    pub lag: Duration,
}

/// Lets each keeper keep a clock in each world, on all processors.
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

/// Does something at each full hour that the clock shows, as cron does it: not twice in the same hour, and not for hours in
/// which the machine slept.
fn hourly(
    machine: &mut Machine<'_>,
    mut job: impl FnMut(&mut Machine<'_>, &mut SimulatedClock),
) -> SimulatedClock {
    let mut clock = machine.clock();
    let shown = |clock: &SimulatedClock| clock.now().expect("readable").as_unix_nanos();
    let mut done = shown(&clock).div_euclid(HOUR_NS);
    // Whoever sets this up runs it once.
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

/// One request; the clock is set to the `Date` when that has come.
fn set_to_date(machine: &mut Machine<'_>, clock: &mut SimulatedClock, config: &Config) {
    let one = Config::builder().requests(1).lag(config.lag().unwrap_or_default());
    let one = one.build().expect("within the limits");
    if let Some(measurement) = machine.measure(clock, &one) {
        // The lower end of a single response's bounds is its date less when it came.
        clock.step(measurement.bounds().lower()).expect("may be set");
    }
}

/// What the program does, but for the few requests with which it looks at the result.
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
    // Sleeps up to the last measurement.
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
        // What remains after sleep is not waited for.
        machine.advance(controller.clock_mut(), wait);
    }
    controller.clock().clone()
}

/// The default, but for the floor: the day of the build, which may be later than the week.
fn policy() -> Policy {
    Policy::default().floor(Timestamp::from_unix_nanos(0))
}

/// The measurement, as the simulated clock has it.
fn reading(measurement: &Measurement, clock: &SimulatedClock) -> Reading {
    Reading {
        at: clock.monotonic(),
        local_time: clock.now().expect("readable"),
        ..Reading::from(measurement)
    }
}

/// Names of the columns. What is counted is per week.
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

/// One row's fields.
#[must_use]
pub fn fields(kept: &KeptClock) -> Vec<String> {
    let counted = |count: u32| format!("{:.1}", f64::from(count) / f64::from(kept.weeks));
    let mut fields = vec![kept.world.name().to_owned(), kept.keeper.name().to_owned()];
    fields.extend([0.5, 0.95, 1.0].map(|share| table::significant(kept.offset(share))));
    fields.extend([kept.rms(), kept.rms_ppm()].map(table::significant));
    fields.extend([kept.measurements, kept.failed, kept.requests, kept.steps].map(counted));
    fields
}

/// With commas.
///
/// # Errors
/// Those of `out`.
pub fn write_csv(rows: &[KeptClock], out: impl Write) -> io::Result<()> {
    table::write_csv_records(&COLUMNS, rows.iter().map(fields), out)
}

/// Aligned, a blank line between worlds.
///
/// # Errors
/// Those of `out`.
pub fn write_text(rows: &[KeptClock], out: impl Write) -> io::Result<()> {
    let records: Vec<_> = rows.iter().map(fields).collect();
    table::write_text_records(&COLUMNS, 2, &records, out)
}

/// What is not scored: the first of a clock that is up to a minute wrong and of unknown frequency.
pub const SETTLING: Duration = Duration::from_secs(3600);
/// The time between two instants at which offset and frequency error are taken.
pub const SCORED_EACH: Duration = Duration::from_secs(10);
const HOUR_NS: i64 = 3_600_000_000_000;
/// How long cron, a shell and curl take until the request leaves.
const MIN_START: Duration = Duration::from_millis(20);
const MAX_START: Duration = Duration::from_millis(60);
/// After a failure, twice as long each time.
const MIN_RETRY_INTERVAL: Duration = Duration::from_secs(64);
/// As in the program's pace.
const MAX_DOUBLINGS: u32 = 4;
