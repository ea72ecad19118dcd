use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use httptime::Offset;

use crate::measure_options::{MeasureOptions, Seconds, Servers};

/// Measures how far this machine's clock is from a server's, by the Date header of plain HTTP, and corrects it.
///
/// An offset is server clock minus local clock: positive when the local clock is slow.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure and print; changes nothing
    Query(Query),
    /// Measure, and correct this machine's clock
    Sync(Sync),
    /// Stay, and keep this machine's clock right, or feed chronyd
    Run(Run),
    /// Measure a skewed server inside this program: needs no network and no privileges
    Demo(Demo),
}

/// Measures the offset and prints it with its standard deviation and bounds. Changes nothing.
///
/// With several URLs the majority decides, and servers that disagree with it are named. More than half of them must answer and
/// agree, or as many as `--min-servers` says.
#[derive(Debug, Parser)]
#[command(after_help = concat!(
    "A proxy is also taken from http_proxy or all_proxy in the environment, unless no_proxy names the server, as curl \
     reads them.\n\n",
    "Exit status: 0 measured, 1 could not measure or not write the answer, 2 wrong usage, 130 Ctrl-C."
))]
pub(crate) struct Query {
    #[command(flatten)]
    pub(crate) servers: Servers,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// Measures the offset, corrects this machine's clock if the measurement proves it wrong, and measures again.
///
/// Errors above the step threshold are stepped, smaller ones gradually (500 ppm: 2 s for each millisecond). Needs root or
/// `CAP_SYS_TIME`. Refused are corrections beyond the limits, times before this program was built, and measurements
/// whose bounds are wider than the error.
#[derive(Debug, Parser)]
#[command(after_help = concat!(
    "Exit status: 0 done or nothing to do, 1 could not measure or not write the answer, 2 wrong usage, 3 refused, 4 no privilege, 130 Ctrl-C."
))]
pub(crate) struct Sync {
    #[command(flatten)]
    pub(crate) servers: Servers,

    /// Measure and say what would be done; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Step errors larger than this, in seconds; slew smaller ones
    #[arg(long, value_name = "S", default_value = "0.128")]
    pub(crate) step_threshold: Seconds,

    /// Refuse to set the clock forward by more than this, in seconds [default: no limit]
    #[arg(long, value_name = "S")]
    pub(crate) max_forward: Option<Seconds>,

    /// Refuse to set the clock back by more than this, in seconds
    #[arg(long, value_name = "S", default_value = "1800")]
    pub(crate) max_backward: Seconds,

    /// Never step: slew whatever the error, however long that takes
    #[arg(long, conflicts_with = "step_threshold")]
    pub(crate) slew_only: bool,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// Measures again and again, steps, slews and steers the clock, or tells chronyd. For a service manager: stays in the
/// foreground, logs to stderr, reloads at SIGHUP, ends at SIGTERM.
#[derive(Debug, Parser)]
#[command(after_help = concat!(
    "HTTPTIME_LOG=debug in the environment shows more.\n\n",
    "Exit status: 0 ended by a signal, 1 failed, 2 wrong usage or configuration, 4 no privilege."
))]
pub(crate) struct Run {
    /// The configuration
    #[arg(short, long, value_name = "FILE", default_value = "/etc/httptime/httptime.toml")]
    pub(crate) config: PathBuf,

    /// Check the configuration and end
    #[arg(long)]
    pub(crate) check: bool,
}

/// Starts a server with a wrong clock inside this program, measures it, and prints the estimate beside the truth.
#[derive(Debug, Parser)]
pub(crate) struct Demo {
    /// How far the server's clock is ahead of the local one, in seconds (negative: behind)
    #[arg(long, value_name = "S", default_value = "38.116", allow_negative_numbers = true, value_parser = offset)]
    pub(crate) skew: Offset,

    /// One-way delay before and after stamping, in seconds
    #[arg(long, value_name = "S", default_value = "0")]
    pub(crate) delay: Seconds,

    #[command(flatten)]
    pub(crate) measure_options: MeasureOptions,

    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Output {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,

    /// Show how the bounds narrow, which requests were lost, and what was assumed
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// To the nanosecond; up to a century either way, so that no date leaves the range of the clocks.
fn offset(text: &str) -> Result<Offset, String> {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    let (negative, size) = match text.strip_prefix('-') {
        Some(size) => (true, size),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let Seconds(size) = size.parse()?;
    if size > CENTURY {
        return Err("more than a century".into());
    }
    let size = Offset::from(size);
    Ok(if negative { Offset::ZERO.saturating_sub(size) } else { size })
}

const EXIT_CODES: &str = "\
Exit status:
  0    done
  1    could not measure (the reason is on stderr, or in the JSON object), or not write the answer
  2    wrong usage
  3    a correction was refused
  4    no privilege to change the clock
  130  ended by Ctrl-C

HTTPTIME_LOG=debug in the environment shows what the library does.";
