//! What each tuning constant is worth: `cargo run --release -p httptime-benches --bin fit -- --help`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{self, BufWriter};

use clap::Parser;
use httptime_benches::fit::{self, Constant, Effort};

/// Tries other values of each tuning constant in simulated worlds, and prints what each value is worth.
///
/// The errors are changes in percent of the geometric means over all worlds of a kind, with all profiles, compared with
/// today's value: of the median and the RMS error in plain worlds, in drifting, and in worlds with a hidden error.
/// within_1 and within_2 are the shares of the errors in plain worlds within one and two standard deviations; missed is
/// the share of measurements in broken worlds whose bounds missed the truth unnoticed. A change smaller than noise_% can
/// be chance. A value is better if a second seed confirms it.
#[derive(Debug, Parser)]
struct Args {
    /// Measurements per world, profile and value
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Simulated weeks per world and value of the discipline
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    weeks: u32,
    /// The same seed gives the same table
    #[arg(long, default_value_t = 20_261_124, value_name = "N")]
    seed: u64,
    /// Only this constant, or those of this module: posterior, adaptive, checks or discipline
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let mut constants = Constant::ALL.to_vec();
    if let Some(name) = &args.only {
        constants.retain(|constant| constant.is_called(name));
        if constants.is_empty() {
            let names: Vec<_> = Constant::ALL.iter().map(Constant::name).collect();
            return Err(
                format!("no constant is called {name}; there are {}", names.join(", ")).into()
            );
        }
    }
    let Args { runs, weeks, seed, .. } = args;
    println!("seed {seed}, {runs} measurements per world and profile, {weeks} weeks per world");
    let fitted = fit::fit(&constants, &Effort { runs, weeks, seed });
    fit::write_text(&fitted, BufWriter::new(io::stdout().lock()))?;
    Ok(())
}
