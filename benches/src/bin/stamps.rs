//! The accuracy of stamps compared with NTP on the same path, in simulated worlds:
//! `cargo run --release -p httptime-benches --bin stamps`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{self, BufWriter};

use clap::Parser;
use httptime_benches::stamps::{self, StampCell};

/// Compares the estimate from the stamps of 1, 4, 8 and 32 exchanges with the best of as many NTP
/// exchanges with the same delays.
///
/// Stamps have a resolution of 1 µs. A server that processes a request takes the mean queueing of
/// the world for it on average; its stamp has one time (the arrival of the request) or two.
#[derive(Debug, Parser)]
struct Args {
    /// Measurements per row
    #[arg(long, default_value_t = 2000, value_name = "N")]
    runs: u32,
    /// Seed: the same seed gives the same table
    #[arg(long, default_value_t = 20_261_124, value_name = "N")]
    seed: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Args { runs, seed } = Args::parse();
    println!("seed {seed}, {runs} measurements per row\n");
    let rows = stamps::run(&StampCell::all(), runs, seed);
    stamps::write(&rows, BufWriter::new(io::stdout().lock()))?;
    Ok(())
}
