//! A fleet of machines that measure one server: how the error and the load grow with their number.
//!
//! `cargo run --release -p httptime-benches --bin fleet` writes the table and the plot;
//! `tests/fleet.rs` compares small fleets with `fleet.csv`.

use std::io::{self, Write};
use std::time::Duration;

use fastrand::Rng;
use httptime::schedule::Profile;
use httptime::{Config, Offset, Timestamp};
use httptime_sim::fleet::{FleetServer, ServerLoad, run_fleet};
use httptime_sim::{
    Path, SimClock, SimConnections, SimServer, SimStamp, StampDigits, World, clock_filter,
};

use self::node::{Node, Records};
use crate::cell::NTP_APART;
use crate::row::{length, ms, quantile};
use crate::suite::on_all_processors;
use crate::table;

mod node;

/// What the machines of a fleet do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// All start within three seconds, as after a power cut, and measure once.
    Storm,
    /// `httptime sync` from a crontab: at each full hour of the machine's clock.
    Cron,
    /// `httptime-sync.timer`, with its random delay.
    Timer,
    /// `httptime run`.
    Run,
    /// One machine has `httptime run`, and serves the others by NTP.
    Chrony,
}

/// A fleet to simulate.
#[derive(Debug, Clone, Copy)]
pub struct FleetCell {
    /// What its machines do.
    pub habit: Habit,
    /// Whether the server sends stamps of 1 µs.
    pub has_stamps: bool,
    /// The number of machines.
    pub nodes: usize,
}

impl FleetCell {
    /// The name in the table.
    #[must_use]
    pub fn name(&self) -> String {
        let name = match self.habit {
            Habit::Storm => "storm",
            Habit::Cron => "sync, cron",
            Habit::Timer => "sync, timer",
            Habit::Run => "run",
            Habit::Chrony => "chrony below one node",
        };
        if self.has_stamps { format!("{name}, stamps") } else { name.to_owned() }
    }

    /// All habits with fleets of these sizes.
    #[must_use]
    pub fn all(sizes: &[usize]) -> Vec<Self> {
        let habits = [
            (Habit::Storm, false),
            (Habit::Storm, true),
            (Habit::Cron, false),
            (Habit::Timer, false),
            (Habit::Run, false),
            (Habit::Run, true),
            (Habit::Chrony, false),
        ];
        let cell = |(habit, has_stamps)| {
            sizes.iter().map(move |nodes| Self { habit, has_stamps, nodes: *nodes })
        };
        habits.into_iter().flat_map(cell).collect()
    }

    /// The time from which clocks and measurements count, and the end, from the start of the
    /// first machine.
    fn span(&self, settings: &FleetSettings) -> (Duration, Duration) {
        match self.habit {
            Habit::Storm => (Duration::ZERO, STORM_LASTS),
            _ => (settings.settling, settings.settling + settings.scored),
        }
    }

    fn simulate(&self, settings: &FleetSettings) -> FleetRow {
        if self.habit == Habit::Chrony {
            return self.below_one_node(settings);
        }
        let (records, load) = self.run(settings);
        self.row(records, &load)
    }

    fn run(&self, settings: &FleetSettings) -> (Vec<Records>, ServerLoad) {
        let mut server = SimServer::exact();
        if self.has_stamps {
            server = server.stamped(SimStamp::seconds(StampDigits::Micros));
        }
        let world = world().with_server(server);
        let (from, until) = self.span(settings);
        let config = |requests| {
            let config = Config::builder().lag(Duration::from_millis(1)).requests(requests);
            config.build().expect("in range")
        };
        let usual = Profile::default().requests();
        let configs = [config(usual), config(settings.requests.unwrap_or(usual))];
        let mut nodes: Vec<_> = (0..self.nodes)
            .map(|number| {
                let seed = settings.seed ^ (number as u64 + 1).wrapping_mul(NODE);
                Node::new(self.habit, &configs, (from, until), settings, seed)
            })
            .collect();
        let load = run_fleet(&world, SERVER, &mut nodes, settings.seed);
        (nodes.into_iter().map(Node::close).collect(), load)
    }

    /// The error of a machine below one node: that of the node's clock and that of NTP.
    fn below_one_node(&self, settings: &FleetSettings) -> FleetRow {
        let upper = Self { habit: Habit::Run, nodes: 1, ..*self };
        let (records, load) = upper.run(settings);
        let offsets = records[0].clock.clone();
        let mut random = Rng::with_seed(settings.seed ^ BELOW);
        let mut row = self.row(records, &load);
        let clocks = (0..self.nodes).map(|_| {
            let samples = world().ntp(8, NTP_APART, random.u64(..));
            let ntp = clock_filter(&samples).expect("eight samples").error;
            let sign = if random.bool() { 1.0 } else { -1.0 };
            let upper = f64::from(offsets[random.usize(0..offsets.len())]);
            (upper + sign * ms(ntp.abs())).abs()
        });
        row.clock = clocks.collect();
        row.clock.sort_unstable_by(f64::total_cmp);
        row
    }

    fn row(&self, records: Vec<Records>, load: &ServerLoad) -> FleetRow {
        let mut row = FleetRow {
            cell: *self,
            load: load.clone(),
            errors: Vec::new(),
            clock: Vec::new(),
            within_one: 0,
            within_two: 0,
            broken: 0,
            measurements: 0,
            failed: 0,
        };
        for it in records {
            row.errors.extend(it.errors.into_iter().map(f64::from));
            row.clock.extend(it.clock.into_iter().map(f64::from).map(f64::abs));
            row.within_one += it.within_one;
            row.within_two += it.within_two;
            row.broken += it.broken;
            row.measurements += it.measurements;
            row.failed += it.failed;
        }
        row.errors.sort_unstable_by(f64::total_cmp);
        row.clock.sort_unstable_by(f64::total_cmp);
        row
    }
}

/// The settings of all fleets.
#[derive(Debug, Clone, Copy)]
pub struct FleetSettings {
    /// The same seed gives the same fleets.
    pub seed: u64,
    /// The time from the start that does not count, for fleets that measure again and again.
    pub settling: Duration,
    /// The time that counts.
    pub scored: Duration,
    /// The share of the interval of `run` by which the next measurement is randomly earlier or
    /// later.
    pub jitter: f64,
    /// After a measurement of a busy server the next one of `run` is later by up to so many
    /// intervals.
    pub busy_spread: f64,
    /// The limit of requests of `run` once it expects an offset [default: that of the profile].
    pub requests: Option<u32>,
    /// All machines start within this time.
    pub starts_within: Duration,
}

impl Default for FleetSettings {
    fn default() -> Self {
        let hour = Duration::from_secs(3600);
        Self {
            seed: 20_261_128,
            settling: hour,
            scored: 3 * hour,
            jitter: 0.25,
            busy_spread: 3.0,
            requests: None,
            starts_within: Duration::from_secs(3),
        }
    }
}

/// The outcome of one fleet.
#[derive(Debug, Clone)]
pub struct FleetRow {
    /// The fleet.
    pub cell: FleetCell,
    /// What it asked of the server.
    pub load: ServerLoad,
    /// Absolute errors of the measurements in milliseconds, ascending.
    errors: Vec<f64>,
    /// Absolute errors of the clocks at regular instants in milliseconds, ascending.
    clock: Vec<f64>,
    within_one: u32,
    within_two: u32,
    /// Measurements whose bounds did not contain the true offset.
    pub broken: u32,
    /// Measurements, including those that do not count.
    pub measurements: u32,
    /// Measurements without a result.
    pub failed: u32,
}

impl FleetRow {
    /// The quantile of the absolute error of a measurement at this share, in milliseconds.
    #[must_use]
    pub fn error(&self, share: f64) -> f64 {
        quantile(&self.errors, share)
    }

    /// The quantile of the absolute error of a clock at this share, in milliseconds.
    #[must_use]
    pub fn clock(&self, share: f64) -> f64 {
        quantile(&self.clock, share)
    }

    /// The shares of measurements within one and within two standard deviations.
    #[must_use]
    pub fn within(&self) -> (f64, f64) {
        let of = |count: u32| f64::from(count) / length(&self.errors);
        (of(self.within_one), of(self.within_two))
    }

    /// Requests in a second, on average.
    #[must_use]
    pub fn requests_per_second(&self) -> f64 {
        float(self.load.requests()) / self.load.duration().as_secs_f64().max(1.0)
    }
}

/// Simulates each fleet, on all processors.
///
/// # Panics
/// When the library refuses the settings.
#[must_use]
pub fn run(cells: &[FleetCell], settings: &FleetSettings) -> Vec<FleetRow> {
    on_all_processors(cells, |cell| cell.simulate(settings))
}

/// Names of the columns. `error` is that of a measurement, `clock` that of a clock.
pub const COLUMNS: [&str; 18] = [
    "fleet",
    "nodes",
    "error_median_ms",
    "error_p95_ms",
    "error_max_ms",
    "within_1",
    "within_2",
    "broken",
    "clock_median_ms",
    "clock_p95_ms",
    "clock_max_ms",
    "measurements",
    "failed",
    "requests",
    "requests_s",
    "peak_s",
    "peak_10ms",
    "wait_max_ms",
];

/// The fields of one row.
#[must_use]
pub fn fields(row: &FleetRow) -> Vec<String> {
    let mut fields = vec![row.cell.name(), row.cell.nodes.to_string()];
    fields.extend([0.5, 0.95, 1.0].map(|share| table::significant(row.error(share))));
    let (one, two) = row.within();
    fields.extend([one, two].map(|share| format!("{share:.3}")));
    fields.push(row.broken.to_string());
    fields.extend([0.5, 0.95, 1.0].map(|share| table::significant(row.clock(share))));
    fields.extend([row.measurements, row.failed].map(|count| count.to_string()));
    fields.push(row.load.requests().to_string());
    fields.push(table::significant(row.requests_per_second()));
    fields.extend([row.load.peak_second(), row.load.peak_hundredth()].map(|it| it.to_string()));
    fields.push(table::significant(ms(row.load.max_wait())));
    fields
}

/// Writes CSV.
///
/// # Errors
/// Errors of `out`.
pub fn write_csv(rows: &[FleetRow], out: impl Write) -> io::Result<()> {
    table::write_csv_records(&COLUMNS, rows.iter().map(fields), out)
}

/// Writes aligned columns, with a blank line between habits.
///
/// # Errors
/// Errors of `out`.
pub fn write_text(rows: &[FleetRow], out: impl Write) -> io::Result<()> {
    let records: Vec<_> = rows.iter().map(fields).collect();
    table::write_text_records(&COLUMNS, 1, &records, out)
}

/// The path of each machine to the server: *lan* of the accuracy table.
fn world() -> World {
    World::new(SimClock::new(0), Path::symmetric_ms(0.2, 0.05), SimServer::exact())
        .with_connections(SimConnections::new().handshake())
}

#[expect(clippy::cast_precision_loss, reason = "a count of requests")]
const fn float(count: u64) -> f64 {
    count as f64
}

/// nginx with two workers, 50 µs for a request and 20 µs for a connection.
const SERVER: FleetServer = FleetServer::new(2, Duration::from_micros(50))
    .accepting(Duration::from_micros(20), 511)
    .event_loop();
/// From the start of the first machine until the clocks are compared.
const STORM_LASTS: Duration = Duration::from_secs(60);
/// 2026-11-23T00:17:00Z.
const BEGINNING: Timestamp = Timestamp::from_unix_nanos(1_795_393_020_000_000_000);
/// Separates the random numbers of the machines.
const NODE: u64 = 0x9e37_79b9_7f4a_7c15;
const BELOW: u64 = 0x62_65_6c_6f_77;

fn since_beginning(at: Timestamp) -> Duration {
    Offset::between(BEGINNING, at).abs()
}
