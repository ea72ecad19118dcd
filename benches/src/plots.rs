//! Plots: the error as a function of requests and seconds, and one measurement step by step.

use std::error::Error;
use std::path::Path;

mod chart;
mod errors;
mod fleet;
mod narrowing;

pub use self::fleet::write as fleet;

/// Writes `error-requests.svg`, `error-seconds.svg` and `narrowing.svg` to `dir`, with `runs`
/// measurements for each point of a curve. The same seed gives the same files.
///
/// # Errors
/// Errors of writing the files, and of the measurement which `narrowing.svg` shows.
pub fn write(dir: &Path, runs: u32, seed: u64) -> Result<(), Box<dyn Error>> {
    errors::against_requests(&dir.join("error-requests.svg"), runs, seed)?;
    errors::against_seconds(&dir.join("error-seconds.svg"), runs, seed)?;
    narrowing::write(&dir.join("narrowing.svg"), seed)
}
