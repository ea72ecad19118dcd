//! Accuracy against a real server of known skew, with kernel timestamps and with timestamps of the
//! process, on an idle machine and on a busy one:
//! `cargo run --release -p httptime-benches --bin repeat -- http://127.0.0.1:8080/ --skew 38.116 --load spinners`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use httptime::schedule::Profile;
use httptime::{Client, Config, Offset, Timestamping};
use httptime_benches::load::Load;

/// Measures a server of known skew repeatedly, one measurement after the other, with each kind of
/// timestamps in turn
#[derive(Debug, Parser)]
struct Args {
    /// The servers, measured in turn
    #[arg(required = true)]
    urls: Vec<String>,
    /// How far its clock is ahead of this one, in seconds
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    skew: f64,
    /// Measurements with each kind of timestamps
    #[arg(long, default_value_t = 30, value_name = "N")]
    runs: u32,
    /// Profile: polite, balanced or fast
    #[arg(long, value_name = "PROFILE")]
    profile: Option<Profile>,
    /// Maximum requests per measurement [default: 16; with --profile, the profile's]
    #[arg(long, value_name = "N")]
    requests: Option<u32>,
    /// Maximum time per measurement, in seconds [default: 20; with --profile, the profile's]
    #[arg(long, value_name = "S")]
    duration: Option<u64>,
    /// Timestamps: auto, kernel or user; several are used in turn
    #[arg(long, value_delimiter = ',', default_value = "auto,user", value_name = "WHO")]
    timestamps: Vec<Timestamping>,
    /// Load on the machine: idle, spinners (one of equal priority for each processor) or stops
    /// (this process is stopped and continued every 5 to 50 ms)
    #[arg(long, default_value = "idle", value_name = "LOAD")]
    load: Load,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let config = match args.profile {
        Some(profile) => Config::builder().profile(profile),
        None => Config::builder().requests(16).duration(Duration::from_secs(20)),
    };
    let config = match args.requests {
        Some(requests) => config.requests(requests),
        None => config,
    };
    let config = match args.duration {
        Some(seconds) => config.duration(Duration::from_secs(seconds)),
        None => config,
    };
    let size = Offset::from(Duration::try_from_secs_f64(args.skew.abs())?);
    let truth = if args.skew < 0.0 { Offset::ZERO.saturating_sub(size) } else { size };
    let of =
        |url: &String| args.timestamps.iter().map(|who| Series::new(url.clone(), *who)).collect();
    let mut results: Vec<Series> =
        args.urls.iter().flat_map(|url| -> Vec<Series> { of(url) }).collect();
    let load = args.load.start()?;
    for _ in 0..args.runs {
        for series in &mut results {
            let config = config.clone().timestamping(series.whose).build()?;
            let client = Client::builder(series.url.as_str()).config(config).build()?;
            let measurement = client.measure()?;
            series.outside += u32::from(!measurement.bounds().contains(truth));
            series.seconds += measurement.elapsed().as_secs_f64();
            series.responses += measurement.observations();
            series.by_kernel += measurement.sent_by_kernel().min(measurement.received_by_kernel());
            series.widths_us.push(measurement.bounds().width().as_secs_f64() * 1e6);
            let error_us = measurement.offset().saturating_sub(truth).as_seconds() * 1e6;
            eprintln!("{} {} {error_us:+.1} µs", series.url, series.whose);
            series.errors_us.push(error_us);
        }
    }
    drop(load);
    println!(
        "| server | load | times | measurements | median error | 95 % within | largest | standard deviation | median with sign | width of the bounds, median | \
         outside | by the kernel | s each |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for series in results {
        series.print(args.load);
    }
    Ok(())
}

/// The measurements with one kind of timestamps.
struct Series {
    url: String,
    whose: Timestamping,
    errors_us: Vec<f64>,
    widths_us: Vec<f64>,
    outside: u32,
    responses: u32,
    by_kernel: u32,
    seconds: f64,
}

impl Series {
    const fn new(url: String, whose: Timestamping) -> Self {
        Self {
            url,
            whose,
            errors_us: Vec::new(),
            widths_us: Vec::new(),
            outside: 0,
            responses: 0,
            by_kernel: 0,
            seconds: 0.0,
        }
    }

    fn print(mut self, load: Load) {
        let bias = median(&mut self.errors_us);
        let mut sizes: Vec<f64> = self.errors_us.iter().map(|error| error.abs()).collect();
        let middle = median(&mut sizes);
        let most = sizes.last().copied().unwrap_or(f64::NAN);
        let p95 = sizes[(sizes.len() * 95).div_ceil(100) - 1];
        let stddev = stddev(&self.errors_us);
        println!(
            "| {} | {load} | {} | {} | {middle:.1} µs | {p95:.1} µs | {most:.1} µs | {stddev:.1} µs | {bias:+.1} µs | {:.0} µs | {} | {} of {} | {:.1} |",
            self.url,
            self.whose,
            sizes.len(),
            median(&mut self.widths_us),
            self.outside,
            self.by_kernel,
            self.responses,
            self.seconds / f64::from(u32::try_from(sizes.len()).unwrap_or(u32::MAX)),
        );
    }
}

/// Standard deviation about the mean.
fn stddev(values: &[f64]) -> f64 {
    let count = f64::from(u32::try_from(values.len()).unwrap_or(u32::MAX));
    let mean = values.iter().sum::<f64>() / count;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()
}

/// Median. Sorts the values.
fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
