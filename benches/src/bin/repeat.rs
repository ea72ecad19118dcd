//! How accurate against a real server whose clock is known to be off by so much:
//! `cargo run --release -p httptime-benches --bin repeat -- http://127.0.0.1:8080/ --skew 38.116`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use httptime::{Client, Config, Offset};

/// Measures a server of known skew again and again, one measurement after the other.
#[derive(Debug, Parser)]
struct Args {
    /// The server
    url: String,
    /// By how much its clock is ahead of this one, in seconds
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    skew: f64,
    /// Measurements
    #[arg(long, default_value_t = 30, value_name = "N")]
    runs: u32,
    /// Most requests in each
    #[arg(long, default_value_t = 16, value_name = "N")]
    requests: u32,
    /// Longest time for each, in seconds
    #[arg(long, default_value_t = 20, value_name = "S")]
    duration: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let config = Config::builder()
        .requests(args.requests)
        .duration(Duration::from_secs(args.duration))
        .build()?;
    let size = Offset::from(Duration::try_from_secs_f64(args.skew.abs())?);
    let truth = if args.skew < 0.0 { Offset::ZERO.saturating_sub(size) } else { size };
    let mut errors_us = Vec::new();
    let mut outside = 0;
    for _ in 0..args.runs {
        let measurement =
            Client::builder(args.url.as_str()).config(config.clone()).build()?.measure()?;
        outside += u32::from(!measurement.bounds().contains(truth));
        errors_us.push(measurement.offset().saturating_sub(truth).as_seconds() * 1e6);
    }
    let bias = median(&mut errors_us);
    let mut sizes: Vec<f64> = errors_us.iter().map(|error| error.abs()).collect();
    let middle = median(&mut sizes);
    let most = sizes.last().copied().unwrap_or(f64::NAN);
    let p95 = sizes[(sizes.len() * 95).div_ceil(100) - 1];
    println!(
        "{} measurements: median error {middle:.1} us, p95 {p95:.1}, largest {most:.1}; median with sign \
         {bias:+.1} us; outside the bounds {outside}",
        args.runs
    );
    Ok(())
}

/// Sorts.
fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
