//! Accuracy in simulated worlds:
//! `cargo run --release -p httptime-benches --bin accuracy -- --help`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::PathBuf;

use clap::Parser;
use httptime_benches::{Suite, plots, run, summary, table};

/// Compares estimators and schedules with each other and with NTP in simulated worlds.
#[derive(Debug, Parser)]
struct Args {
    /// Measurements per cell
    #[arg(long, default_value_t = 2000, value_name = "N")]
    runs: u32,
    /// Seed: the same seed gives the same table
    #[arg(long, default_value_t = 20_261_124, value_name = "N")]
    seed: u64,
    /// Only the defaults, htpdate and NTP
    #[arg(long)]
    short: bool,
    /// Only this world
    #[arg(long, value_name = "NAME")]
    world: Option<String>,
    /// Write the table as CSV to this file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Print a summary as Markdown instead of the table
    #[arg(long)]
    summary: bool,
    /// Write error-requests.svg, error-seconds.svg and narrowing.svg to this directory
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let suite = if args.short { Suite::Short } else { Suite::Full };
    let mut cells = suite.cells();
    if let Some(name) = &args.world {
        cells.retain(|cell| cell.world.name() == name);
    }
    println!("seed {}, {} measurements per cell", args.seed, args.runs);
    let rows = run(&cells, args.runs, args.seed);
    let out = BufWriter::new(io::stdout().lock());
    if args.summary {
        summary::write(&rows, out)?;
    } else {
        table::write_text(&rows, out)?;
    }
    if let Some(file) = args.csv {
        table::write_csv(&rows, BufWriter::new(File::create(file)?))?;
    }
    if let Some(directory) = args.plots {
        fs::create_dir_all(&directory)?;
        plots::write(&directory, args.runs, args.seed)?;
    }
    Ok(())
}
