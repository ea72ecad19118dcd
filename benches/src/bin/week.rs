//! How well a clock is kept for a week:
//! `cargo run --release -p httptime-benches --bin week -- --help`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use httptime_benches::week::{self, ClockKeeper, SCORED_EACH, SETTLING, Weeks};
use httptime_sim::worlds;

/// Simulates clocks for weeks with outages, sleep and temperature changes: kept by httptime, free
/// running, and stepped every hour
#[derive(Debug, Parser)]
struct Args {
    /// Weeks, each with its own disturbances
    #[arg(long, default_value_t = 20, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..))]
    weeks: u32,
    /// Seed: the same seed gives the same table
    #[arg(long, default_value_t = 20_261_124, value_name = "N")]
    seed: u64,
    /// Only these worlds
    #[arg(long, value_name = "NAME", default_values = ["lan", "metro", "wan", "wan-jittery"])]
    world: Vec<String>,
    /// Without outages, sleep, loss and the new route
    #[arg(long)]
    calm: bool,
    /// The assumed limit of the server's lag, in seconds: 0.001 for nginx and Apache, 2.02 for an
    /// unknown server
    #[arg(long, default_value_t = 0.001, value_name = "S")]
    lag: f64,
    /// Write the table as CSV to this file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let world = |name: &String| worlds::named(name).ok_or(format!("no world is called {name}"));
    let worlds = args.world.iter().map(world).collect::<Result<Vec<_>, _>>()?;
    println!(
        "seed {}, {} weeks, the first {} s of each left out, scored every {} s",
        args.seed,
        args.weeks,
        SETTLING.as_secs(),
        SCORED_EACH.as_secs()
    );
    let lag = Duration::try_from_secs_f64(args.lag)?;
    let weeks = Weeks { number: args.weeks, seed: args.seed, calm: args.calm, lag };
    let rows = week::run_weeks(&worlds, &ClockKeeper::ALL, &weeks);
    week::write_text(&rows, BufWriter::new(io::stdout().lock()))?;
    for row in rows.iter().filter(|row| row.unprovoked > 0) {
        let (world, keeper) = (row.world.name(), row.keeper.name());
        println!(
            "{world}, {keeper}: {} steps neither at the start nor after sleep",
            row.unprovoked
        );
    }
    if let Some(file) = args.csv {
        week::write_csv(&rows, BufWriter::new(File::create(file)?))?;
    }
    Ok(())
}
