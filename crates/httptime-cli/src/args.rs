use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use httptime::Timestamping;
use httptime::config::{Config, ConfigBuilder};
use httptime::estimate::EstimatorKind;
use httptime::schedule::{Profile, ScheduleKind};
use httptime::{Error, Offset};

use crate::written::Written;

/// Measures how far this machine's clock is from a server's, by the Date header of plain HTTP, and mends it.
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
/// With several URLs the majority decides, and servers that disagree with it are named.
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
/// Errors above the step threshold are mended at once, smaller ones gradually (500 ppm: 2 s for each millisecond). Needs root or
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
    #[arg(long, value_name = "S", default_value = "0.128", value_parser = seconds)]
    pub(crate) step_threshold: Duration,

    /// Refuse to set the clock forward by more than this, in seconds; no limit unless told
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) max_forward: Option<Duration>,

    /// Refuse to set the clock back by more than this, in seconds
    #[arg(long, value_name = "S", default_value = "1800", value_parser = seconds)]
    pub(crate) max_backward: Duration,

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

/// Whom to ask, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct Servers {
    /// Servers to ask: `http://host[:port][/path]`, or a bare host
    #[arg(value_name = "URL", required = true)]
    pub(crate) urls: Vec<Written>,

    #[command(flatten)]
    pub(crate) measuring: Measuring,

    /// HTTP proxy to go through: `http://[user:password@]host[:port]`; "" for none
    #[arg(short = 'x', long, value_name = "URL")]
    pub(crate) proxy: Option<Written>,

    /// Have the proxy open a tunnel (CONNECT), so that none of its caches can answer
    #[arg(short = 'p', long)]
    pub(crate) proxytunnel: bool,

    /// Use IPv4 addresses only
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,

    /// Use IPv6 addresses only
    #[arg(short = '6', long)]
    pub(crate) ipv6: bool,
}

/// Starts a server with a wrong clock inside this program, measures it, and prints the estimate beside the truth.
#[derive(Debug, Parser)]
pub(crate) struct Demo {
    /// How far the server's clock is ahead of the local one, in seconds (negative: behind)
    #[arg(long, value_name = "S", default_value = "38.116", allow_negative_numbers = true, value_parser = offset)]
    pub(crate) skew: Offset,

    /// One-way delay before and after stamping, in seconds
    #[arg(long, value_name = "S", default_value = "0", value_parser = seconds)]
    pub(crate) delay: Duration,

    #[command(flatten)]
    pub(crate) measuring: Measuring,

    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Output {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,

    /// Show how the bounds narrow, request by request, and what was assumed
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Measuring {
    /// How much to spend: polite (≤ 12 requests, one a second), balanced (≤ 24, 10.5 s) or fast (≤ 64, 5 s)
    #[arg(long, value_name = "NAME", default_value = "balanced")]
    profile: Profile,

    /// Most requests to each server, instead of the profile's
    #[arg(short = 'n', long, value_name = "N")]
    requests: Option<u32>,

    /// Longest time to go on asking, in seconds, instead of the profile's
    #[arg(short, long, value_name = "S", value_parser = seconds)]
    duration: Option<Duration>,

    /// Stop once the standard deviation is this small, in seconds
    #[arg(short, long, value_name = "S", value_parser = seconds)]
    target: Option<Duration>,

    /// Longest wait for a name, a connection or a response, in seconds; 5 unless told
    #[arg(long, value_name = "S", value_parser = seconds)]
    timeout: Option<Duration>,

    /// How late the server's Date may be, in seconds; by its Server header unless told, else 1.02
    #[arg(long, value_name = "S", value_parser = seconds)]
    lag: Option<Duration>,

    /// How fast the two clocks may come apart, in parts per million; 100 unless told
    #[arg(long, value_name = "PPM")]
    drift_ppm: Option<u32>,

    /// How to reckon the offset: `last_date`, midpoint, htpdate, intersection, symmetric or posterior; posterior unless
    /// told
    #[arg(long, value_name = "NAME")]
    estimator: Option<EstimatorKind>,

    /// When to send requests: periodic, bisect, scan, htpdate or adaptive; adaptive unless
    /// told
    #[arg(long, value_name = "NAME")]
    schedule: Option<ScheduleKind>,

    /// Who says when requests left and responses came: kernel (Linux), user, or auto, the kernel where it does
    #[arg(long, value_name = "WHO", default_value = "auto")]
    pub(crate) timestamps: Timestamping,
}

impl Measuring {
    /// The library's configuration; what was not asked for keeps the library's defaults.
    pub(crate) fn config(&self) -> Result<Config, Error> {
        self.builder().build()
    }

    pub(crate) fn builder(&self) -> ConfigBuilder {
        let mut builder = Config::builder().profile(self.profile);
        if let Some(requests) = self.requests {
            builder = builder.requests(requests);
        }
        if let Some(duration) = self.duration {
            builder = builder.duration(duration);
        }
        if let Some(target) = self.target {
            builder = builder.target(target);
        }
        if let Some(timeout) = self.timeout {
            builder = builder.timeout(timeout);
        }
        if let Some(lag) = self.lag {
            builder = builder.lag(lag);
        }
        if let Some(ppm) = self.drift_ppm {
            builder = builder.drift_ppm(ppm);
        }
        if let Some(kind) = self.estimator {
            builder = builder.estimator(kind);
        }
        // The profile comes with an adaptive schedule of its own.
        if let Some(kind) = self.schedule.filter(|kind| *kind != ScheduleKind::Adaptive) {
            builder = builder.schedule(kind);
        }
        builder
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// To the nanosecond; up to a century either way, so that no date leaves the range of the clocks.
fn offset(text: &str) -> Result<Offset, String> {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    let (negative, size) = match text.strip_prefix('-') {
        Some(size) => (true, size),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let size = seconds(size)?;
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
