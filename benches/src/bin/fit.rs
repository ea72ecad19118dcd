//! What each tuning constant is worth: `cargo run --release -p httptime-benches --bin fit --
//! --help`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{self, BufWriter};

use clap::Parser;
use httptime_benches::fit::{self, Constant, FitSize};

/// Tries other values of each tuning constant in simulated worlds, and prints what each value is
/// worth.
///
/// Columns with a percent sign are changes from today's value. The first two are the median and the
/// RMS error in plain worlds, as geometric means over worlds and profiles. Then come the same for
/// the world drifting, and the RMS error in worlds with a hidden error. A mean change smaller than
/// the noise can be chance.
///
/// The last shares are those of the errors in plain worlds within one and two standard deviations,
/// and of the measurements in broken worlds whose bounds missed the truth unnoticed. The first row
/// of a constant has them for today's value.
///
/// A value is better if the errors are smaller by more than the noise with two seeds, no kind of
/// world is worse, and no more is missed.
#[derive(Debug, Parser)]
struct Args {
    /// Measurements per world, profile and value
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = at_least_one())]
    runs: u32,
    /// Simulated weeks per world and value of the discipline
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = at_least_one())]
    weeks: u32,
    /// The same seed gives the same table
    #[arg(long, default_value_t = 20_261_124, value_name = "N")]
    seed: u64,
    /// Only this constant, or those of this module: posterior, adaptive, checks or discipline
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

fn at_least_one() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
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
    let fitted = fit::fit(&constants, &FitSize { runs, weeks, seed });
    fit::write_text(&fitted, BufWriter::new(io::stdout().lock()))?;
    Ok(())
}
