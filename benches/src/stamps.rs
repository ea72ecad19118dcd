//! Stamps against NTP: the estimator with the stamps of N exchanges, and the best of N exchanges of
//! NTP with the same delays.

use std::io::{self, Write};
use std::time::Duration;

use httptime::estimate::EstimatorKind;
use httptime::server::Lag;
use httptime::{LocalInstant, Observation, Progress};
use httptime_sim::worlds::{self, NamedWorld};
use httptime_sim::{SimServer, SimStamp, StampDigits, World, shortest_delay};

use crate::cell::NTP_APART;
use crate::row::{Row, Run};
use crate::suite::on_all_processors;
use crate::table::significant;

/// A world, a stamp and a number of exchanges.
#[derive(Debug, Clone, Copy)]
pub struct StampCell {
    world: &'static NamedWorld,
    times: ServerTimes,
    exchanges: u32,
}

/// The server times in a stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ServerTimes {
    /// One, and the response leaves at once.
    One,
    /// One, and the response leaves later, by the mean queueing of the world on average.
    OneProcessed,
    /// Two, with the same processing time.
    TwoProcessed,
}

/// The errors of both methods in one cell.
#[derive(Debug)]
pub struct StampRow {
    cell: StampCell,
    stamps: Row,
    ntp: Row,
}

impl StampCell {
    /// The worlds with nothing but delays, and 1, 4, 8 and 32 exchanges.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let worlds = WORLDS.iter().filter_map(|name| worlds::named(name));
        let times = [ServerTimes::One, ServerTimes::OneProcessed, ServerTimes::TwoProcessed];
        worlds
            .flat_map(|world| times.map(|times| (world, times)))
            .flat_map(|(world, times)| EXCHANGES.map(|exchanges| Self { world, times, exchanges }))
            .collect()
    }

    fn server(self, queueing: Duration) -> SimServer {
        let stamp = SimStamp::integer(StampDigits::Micros).prefixed();
        match self.times {
            ServerTimes::One => SimServer::exact().stamped(stamp),
            ServerTimes::OneProcessed => SimServer::exact().processing(queueing).stamped(stamp),
            ServerTimes::TwoProcessed => {
                SimServer::exact().processing(queueing).stamped(stamp.with_duration())
            }
        }
    }

    fn measure(self, runs: u32, seed: u64) -> StampRow {
        let row = || Row::new([const { String::new() }; 4], runs);
        let mut both = StampRow { cell: self, stamps: row(), ntp: row() };
        for run in 0..runs {
            let seed = seed.wrapping_add(u64::from(run));
            let world = self.world.world(seed);
            let queueing = world.path().queueing();
            let world = world.with_server(self.server(queueing));
            both.stamps.add(estimate(&world, self.exchanges, seed));
            let samples = world.ntp(self.exchanges, NTP_APART, seed);
            both.ntp.add(Run::ntp(shortest_delay(&samples), self.exchanges * NTP_APART));
        }
        both.stamps.close();
        both.ntp.close();
        both
    }
}

impl StampRow {
    /// The world, the server times and the number of exchanges.
    #[must_use]
    pub fn names(&self) -> [String; 3] {
        let StampCell { world, times, exchanges } = self.cell;
        let times = match times {
            ServerTimes::One => "one",
            ServerTimes::OneProcessed => "one, processed",
            ServerTimes::TwoProcessed => "two, processed",
        };
        [world.name().to_owned(), times.to_owned(), exchanges.to_string()]
    }

    /// The RMS error with stamps divided by that of NTP.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.stamps.rms() / self.ntp.rms()
    }
}

/// The estimate from all exchanges together, without a schedule.
///
/// # Panics
/// When a stamp cannot be read, or when the bounds miss the truth.
fn estimate(world: &World, exchanges: u32, seed: u64) -> Run {
    let clock = world.clock();
    let stamped = world.stamped(exchanges, NTP_APART, seed);
    let last = stamped.last().expect("at least one").received();
    let begin = clock.cross_timestamp_at(LocalInstant::from_nanos(0));
    let mut estimator = EstimatorKind::Posterior.build();
    let mut progress = Progress::new(begin, DRIFT_PPM);
    for exchange in &stamped {
        let lag = Lag::stated(Duration::ZERO);
        let observation = Observation::new(begin, exchange, lag).expect("in order");
        assert!(observation.is_stamped(), "seed {seed}: no stamp");
        progress.absorb(&observation).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        estimator.absorb(&observation);
    }
    let estimate = estimator.estimate().expect("observed");
    let (bounds, truth) = (progress.bounds().expect("observed"), clock.offset_at(last));
    assert!(bounds.contains(truth), "seed {seed}: {truth} not in {bounds}");
    Run::Measured {
        error: estimate.offset().saturating_sub(truth).abs(),
        stddev: estimate.stddev(),
        width: bounds.width(),
        holds: true,
        requests: exchanges,
        elapsed: exchanges * NTP_APART,
    }
}

/// Measures each cell `runs` times, on all processors.
#[must_use]
pub fn run(cells: &[StampCell], runs: u32, seed: u64) -> Vec<StampRow> {
    on_all_processors(cells, |cell| cell.measure(runs, seed))
}

/// Writes the rows as Markdown, which `docs/accuracy.md` quotes.
///
/// # Errors
/// Errors of `out`.
pub fn write(rows: &[StampRow], mut out: impl Write) -> io::Result<()> {
    writeln!(
        out,
        "| world | server times | exchanges | RMS, ms | NTP best, RMS, ms | ratio | within one | within two | width of the bounds, ms |\n\
         |---|---|---|---|---|---|---|---|---|"
    )?;
    for row in rows {
        let [world, times, exchanges] = row.names();
        let (one, two) = row.stamps.within();
        writeln!(
            out,
            "| {world} | {times} | {exchanges} | {} | {} | {:.2} | {:.1} % | {:.1} % | {} |",
            significant(row.stamps.rms()),
            significant(row.ntp.rms()),
            row.ratio(),
            100.0 * one,
            100.0 * two,
            significant(row.stamps.width()),
        )?;
    }
    Ok(())
}

const WORLDS: [&str; 6] = ["lan", "metro", "regional", "wan", "satellite-quiet", "wan-jittery"];
const EXCHANGES: [u32; 4] = [1, 4, 8, 32];
/// The default of the bounds.
const DRIFT_PPM: u32 = 300;
