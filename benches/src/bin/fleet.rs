//! Fleets of machines that measure one server:
//! `cargo run --release -p httptime-benches --bin fleet -- --help`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;
use httptime_benches::fleet::{self, FleetCell, FleetSettings};
use httptime_benches::plots;

/// Simulates fleets of machines that measure one server with two cores: the errors of their
/// measurements and clocks, and the load of the server
#[derive(Debug, Parser)]
struct Args {
    /// Sizes of the fleets
    #[arg(long, value_name = "N", value_delimiter = ',', default_values = ["1", "10", "100", "1000", "10000"],
        value_parser = clap::value_parser!(u32).range(1..))]
    nodes: Vec<u32>,
    /// Only fleets whose name contains this
    #[arg(long, value_name = "NAME", default_value = "")]
    fleet: String,
    /// Seed: the same seed gives the same table
    #[arg(long, default_value_t = 20_261_128, value_name = "N")]
    seed: u64,
    /// Hours that are left out, and hours that count
    #[arg(long, value_name = "HOURS", num_args = 2, default_values = ["1", "3"])]
    hours: Vec<u32>,
    /// Random share of the interval of `run`
    #[arg(long, default_value_t = FleetSettings::default().jitter, value_name = "SHARE")]
    jitter: f64,
    /// After a measurement of a busy server the next one of `run` is later by up to so many
    /// intervals
    #[arg(long, default_value_t = FleetSettings::default().busy_spread, value_name = "INTERVALS")]
    busy_spread: f64,
    /// Limit of the requests of `run` once it expects an offset [default: that of the profile]
    #[arg(long, value_name = "N")]
    requests: Option<u32>,
    /// All machines start within this time, in seconds
    #[arg(long, default_value_t = 3, value_name = "S")]
    starts_within: u64,
    /// Write the table as CSV to this file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the plot to this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let sizes: Vec<_> =
        args.nodes.iter().map(|nodes| usize::try_from(*nodes)).collect::<Result<_, _>>()?;
    let mut cells = FleetCell::all(&sizes);
    cells.retain(|cell| cell.name().contains(&args.fleet));
    let hours = |number: usize| Duration::from_secs(3600) * args.hours[number];
    let settings = FleetSettings {
        seed: args.seed,
        settling: hours(0),
        scored: hours(1),
        jitter: args.jitter,
        busy_spread: args.busy_spread,
        requests: args.requests,
        starts_within: Duration::from_secs(args.starts_within),
    };
    println!("seed {}, {} h left out, {} h count", args.seed, args.hours[0], args.hours[1]);
    let begun = Instant::now();
    let rows = fleet::run(&cells, &settings);
    fleet::write_text(&rows, BufWriter::new(io::stdout().lock()))?;
    println!("{:.0} s", begun.elapsed().as_secs_f64());
    if let Some(file) = args.csv {
        fleet::write_csv(&rows, BufWriter::new(File::create(file)?))?;
    }
    if let Some(file) = args.svg {
        plots::fleet(&file, &rows)?;
    }
    Ok(())
}
