#![expect(
    clippy::doc_markdown,
    rustdoc::broken_intra_doc_links,
    reason = "these comments are the text of --help, which shows backticks and brackets as they are"
)]

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use httptime::Offset;

use crate::https::HttpsOptions;
use crate::measure_options::{Limit, MeasureOptions, Route, Seconds, Servers, whole};
use crate::retry::Retry;
use crate::run::outputs::{DEFAULT_STATUS_FILE, check_textfile_name};
use crate::server_arg::ServerArg;

/// Measure the offset of this machine's clock over HTTP or HTTPS, and correct it
///
/// httptime compares the local clock with the Date header of an HTTP server. The offset is server
/// clock minus local clock: positive when the local clock is slow.
#[derive(Debug, Parser)]
#[command(
    name = "httptime",
    version,
    max_term_width = 100,
    after_help = "See 'httptime COMMAND --help' for details, and the manual httptime(1).",
    after_long_help = GENERAL
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure the offset and print it; change nothing
    Query(Query),
    /// Measure the offset once and correct the clock
    Sync(Sync),
    /// Keep the clock correct as a service, or feed chronyd
    Run(Run),
    /// Show whether the clock is synchronised, why not, and what the daemon knows
    Status(Status),
    /// Block until the clock is right, for boot order and scripts
    Wait(Wait),
    /// Find out why the clock is wrong; change nothing
    Doctor(Doctor),
    /// Measure hundreds of servers, and name those whose clock is wrong; change nothing
    Survey(Survey),
    /// Measure a server with a wrong clock inside this program; needs no network and no privileges
    Demo(Demo),
}

/// Measure the offset and print it; change nothing
///
/// Prints the offset with its standard deviation and its bounds.
///
/// With several URLs the majority decides, and servers that disagree with it are named. More than
/// half of the servers must answer and agree, or as many as --min-servers says.
#[derive(Debug, Parser)]
#[command(
    after_help = SHORT_HELP,
    after_long_help = "\
Examples:
  httptime query http://192.0.2.1/
  httptime query -v --lag 0.002 https://a.example/ https://b.example/ https://c.example/
  httptime query --json -x http://proxy.example:3128 -p https://time.example/

Without --proxy, the proxy is that of the environment variable http_proxy (https_proxy for https \
servers) or all_proxy, unless no_proxy names the server. The variables are read as curl reads them.

Exit status: 0 measured, 1 not measured, or the output could not be written, 2 wrong usage, \
130 Ctrl-C."
)]
pub(crate) struct Query {
    #[command(flatten)]
    pub(crate) servers: Servers,

    #[command(flatten)]
    pub(crate) retry: Retry,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// Measure the offset once and correct the clock
///
/// Measures, corrects the clock if the measurement proves it wrong, and measures again. Errors
/// above the step threshold are stepped, smaller ones slewed at 500 ppm (2 s for each millisecond).
/// Needs root or CAP_SYS_TIME.
///
/// Refuses times before this program was built, and measurements whose uncertainty is larger than
/// the error. Beyond the limits it refuses what one or two servers say, but not what a majority of
/// three or more agrees on.
#[derive(Debug, Parser)]
#[command(
    after_help = SHORT_HELP,
    after_long_help = "\
Examples:
  httptime sync --dry-run http://192.0.2.1/
  httptime sync --profile polite --max-forward 86400 a.example b.example c.example
  httptime sync --pin sha256//iKrmRRgh0mGgYwOwcnYC/EQTLR+60g4KlVWonyvVI40= https://192.0.2.1/

Without --proxy, the proxy is that of the environment variable http_proxy (https_proxy for https \
servers) or all_proxy, unless no_proxy names the server. The variables are read as curl reads them.

Exit status: 0 corrected or nothing to do, 1 not measured or not corrected, or the output \
could not be written, 2 wrong usage, 3 correction refused, 4 no privilege, 130 Ctrl-C."
)]
pub(crate) struct Sync {
    #[command(flatten)]
    pub(crate) servers: Servers,

    #[command(flatten)]
    pub(crate) retry: Retry,

    /// Measure and print what would be done; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Step errors larger than this, in seconds; slew smaller ones
    #[arg(long, value_name = "S", default_value = "0.128", allow_negative_numbers = true)]
    pub(crate) step_threshold: Seconds,

    /// Refuse to set the clock forward by more than this, in seconds; inf: no limit
    #[arg(long, value_name = "S", default_value = "1800", allow_negative_numbers = true)]
    pub(crate) max_forward: Limit,

    /// Refuse to set the clock back by more than this, in seconds; inf: no limit
    #[arg(long, value_name = "S", default_value = "1800", allow_negative_numbers = true)]
    pub(crate) max_backward: Limit,

    /// How many independent servers must agree to exceed --max-forward and --max-backward [default:
    /// a majority of three or more]
    ///
    /// Servers at one address, and servers behind one proxy, count as one.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<usize>)]
    pub(crate) quorum: Option<usize>,

    /// Let one or two servers exceed --max-forward and --max-backward
    ///
    /// For a server that is always right, where no three are in reach. A server that lies can then
    /// set any time since this program was built.
    #[arg(long)]
    pub(crate) trust_single: bool,

    /// Never step: slew any error, however long that takes
    #[arg(long, conflicts_with = "step_threshold")]
    pub(crate) slew_only: bool,

    /// Write metrics for Prometheus' node_exporter; not in a dry run
    #[arg(long, value_name = "FILE", value_parser = textfile)]
    pub(crate) textfile: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// Keep the clock correct as a service, or feed chronyd
///
/// Measures again and again, and steps, slews and steers the clock, or sends samples to chronyd.
/// Made for a service manager: stays in the foreground, logs to stderr, reloads its configuration
/// at SIGHUP, measures at once at SIGUSR1, stops at SIGTERM.
#[derive(Debug, Parser)]
#[command(
    after_help = SHORT_HELP,
    after_long_help = "\
Examples:
  httptime run --check
  httptime run --config ./httptime.toml

HTTPTIME_LOG=debug in the environment logs more.

Exit status: 0 stopped by a signal, 1 failed, 2 wrong usage or configuration, 4 no privilege."
)]
pub(crate) struct Run {
    /// The configuration file; see httptime.toml(5)
    #[arg(short, long, value_name = "FILE", default_value = "/etc/httptime/httptime.toml")]
    pub(crate) config: PathBuf,

    /// Check the configuration and exit; prints nothing if it can be used
    #[arg(long)]
    pub(crate) check: bool,
}

/// Show whether the clock is synchronised, why not, and what the daemon knows
///
/// Reads the status file of 'httptime run' and the status of the kernel's clock: tracking and
/// sources as chronyc shows them. Changes nothing, sends nothing, needs no privileges.
#[derive(Debug, Parser)]
#[command(
    after_help = SHORT_HELP,
    after_long_help = "\
Examples:
  httptime status
  httptime status --watch 5
  httptime status --json | jq .synchronised

Exit status: 0 synchronised, 1 not synchronised, or the output could not be written, 2 wrong \
usage, 3 not synchronised because a correction is refused, 5 not synchronised and no daemon is \
running, 130 Ctrl-C."
)]
pub(crate) struct Status {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,

    /// Print again every S seconds, until Ctrl-C
    #[arg(long, value_name = "S", num_args = 0..=1, default_missing_value = "1",
        allow_negative_numbers = true)]
    pub(crate) watch: Option<Seconds>,

    /// The status file of 'httptime run'
    #[arg(long, value_name = "FILE", default_value = DEFAULT_STATUS_FILE)]
    pub(crate) file: PathBuf,
}

/// Block until the clock is right, for boot order and scripts
///
/// Waits until the kernel reports the clock as synchronised with a maximum error of at most
/// --within, and 'httptime run', if it is running, refuses no correction. Reports on stderr what
/// it waits for. Changes nothing, needs no privileges.
#[derive(Debug, Parser)]
#[command(
    after_help = SHORT_HELP,
    after_long_help = "\
Examples:
  httptime wait --timeout 60 && backup
  httptime wait --within 0.1 --timeout 180
  httptime wait --timeout 0 || echo the clock may be wrong

Exit status: 0 the clock is right, 1 not within --timeout, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM."
)]
pub(crate) struct Wait {
    /// The largest error that is right, in seconds
    #[arg(long, value_name = "S", default_value = "5", allow_negative_numbers = true)]
    pub(crate) within: Seconds,

    /// Give up after this time, in seconds; 0: check once [default: wait without limit]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub(crate) timeout: Option<Seconds>,

    /// The status file of 'httptime run'
    #[arg(long, value_name = "FILE", default_value = DEFAULT_STATUS_FILE)]
    pub(crate) file: PathBuf,
}

/// Measure a server with a wrong clock inside this program; needs no network and no privileges
///
/// Starts an HTTP server on the loopback interface, measures it, and prints the estimate beside the
/// truth.
#[derive(Debug, Parser)]
#[command(
    after_help = SHORT_HELP,
    after_long_help = "\
Examples:
  httptime demo
  httptime demo --skew -0.3 -v
  httptime demo --stamp

Exit status: 0 measured, 1 not measured, 2 wrong usage."
)]
pub(crate) struct Demo {
    /// How far the server's clock is ahead of the local one, in seconds; negative: behind
    #[arg(long, value_name = "S", default_value = "38.116", allow_negative_numbers = true,
        value_parser = offset)]
    pub(crate) skew: Offset,

    /// One-way delay of requests and of responses, in seconds
    #[arg(long, value_name = "S", default_value = "0", allow_negative_numbers = true)]
    pub(crate) delay: Seconds,

    /// The server sends a stamp, X-HTTPSTIME with its time in µs, beside the Date
    #[arg(long)]
    pub(crate) stamp: bool,

    #[command(flatten)]
    pub(crate) measure_options: MeasureOptions,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// Find out why the clock is wrong; change nothing
///
/// Examines the kernel's clock, the programs and cron lines that steer it, NTP, the resolver,
/// routes, proxies, the servers and their certificates, within 20 seconds. Ends with a verdict: the
/// cause, and the commands that remove it.
#[derive(Debug, Parser)]
#[command(
    after_help = SHORT_HELP,
    after_long_help = "\
Examples:
  httptime doctor
  httptime doctor http://192.0.2.1/
  httptime doctor --json -x http://proxy.example:3128 https://time.example/

Exit status: 0 no fault, 1 a fault was found, or the output could not be written, 2 wrong usage, \
130 Ctrl-C."
)]
pub(crate) struct Doctor {
    /// Server to ask: http[s]://host[:port][/path], or a bare host [default: those of
    /// /etc/httptime/httptime.toml]
    #[arg(value_name = "URL")]
    pub(crate) urls: Vec<ServerArg>,

    #[command(flatten)]
    pub(crate) route: Route,

    #[command(flatten)]
    pub(crate) https: HttpsOptions,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,

    /// Read files below this directory, for tests
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub(crate) root: PathBuf,
}

/// Measure hundreds of servers, and name those whose clock is wrong; change nothing
///
/// Measures each server for itself, all of them from one thread, and prints their skews, the
/// largest first. The skew is the server's clock minus the clock of the reference: positive when
/// the server's clock is ahead.
///
/// A server is a falseticker if its bounds prove a skew above --threshold, and a suspect if only
/// the estimate is above it.
#[derive(Debug, Parser)]
#[command(
    after_help = SHORT_HELP,
    after_long_help = "\
Examples:
  httptime survey --file nodes --lag 0.002
  httptime survey --reference http://192.0.2.1/ --threshold 0.5 a.example b.example
  httptime survey --every 300 --file-sd nodes.json --textfile httptime_survey.prom

Without --proxy, the proxy is that of the environment variable http_proxy (https_proxy for https \
servers) or all_proxy, unless no_proxy names the server. The variables are read as curl reads them.

Exit status: 0 all servers were measured, and none is wrong, 1 a server was not measured or is a \
suspect, or the output could not be written, 2 wrong usage, 6 a server is a falseticker, \
130 Ctrl-C.",
    mut_arg("profile", |arg| arg.hide(true)),
    mut_arg("requests", |arg| {
        arg.help("Most requests to each server, 1 to 1000 [default: 12]").long_help(None::<&str>)
    }),
    mut_arg("duration", |arg| {
        arg.help("Send requests to a server for this long, in seconds, up to 3600 [default: 8]")
    }),
    mut_arg("target", |arg| {
        arg.help("Stop once the standard deviation is this small, in seconds [default: 0.0005]")
    })
)]
pub(crate) struct Survey {
    /// Server to measure: http[s]://host[:port][/path], or a bare host
    #[arg(value_name = "URL")]
    pub(crate) urls: Vec<ServerArg>,

    /// File with a server in each line; - for standard input
    ///
    /// Empty lines and those that begin with # are skipped.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,

    /// File with the targets of a Prometheus file_sd_configs entry, in JSON
    ///
    /// The labels of a target appear in the metrics and in the JSON. __scheme__ is used, other
    /// labels that begin with __ are not. The path is always /.
    #[arg(long, value_name = "FILE")]
    pub(crate) file_sd: Vec<PathBuf>,

    /// Server whose clock is right [default: the local clock is]
    #[arg(long, value_name = "URL")]
    pub(crate) reference: Option<ServerArg>,

    /// The largest skew that is not wrong, in seconds
    #[arg(long, value_name = "S", default_value = "1", allow_negative_numbers = true)]
    pub(crate) threshold: Seconds,

    /// Measure again every S seconds, until Ctrl-C; the files are read again, too
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub(crate) every: Option<Seconds>,

    /// Write metrics for Prometheus' node_exporter, with the URL and the labels of each server
    #[arg(long, value_name = "FILE", value_parser = textfile)]
    pub(crate) textfile: Option<PathBuf>,

    /// Print one JSON object for each survey
    #[arg(long)]
    pub(crate) json: bool,

    /// Most servers to measure at the same time [default: 1000]
    #[arg(long, value_name = "N", hide_short_help = true, allow_negative_numbers = true,
        value_parser = positive)]
    pub(crate) at_once: Option<NonZeroU32>,

    /// Most servers to start with in a second [default: 250]
    #[arg(long, value_name = "N", hide_short_help = true, allow_negative_numbers = true,
        value_parser = positive)]
    pub(crate) start_rate: Option<NonZeroU32>,

    #[command(flatten)]
    pub(crate) measure_options: MeasureOptions,

    #[command(flatten)]
    pub(crate) route: Route,

    #[command(flatten)]
    pub(crate) https: HttpsOptions,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Output {
    /// Print one JSON object, also on failure
    #[arg(long)]
    pub(crate) json: bool,

    /// Show each response, each lost request, and what was assumed
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

fn positive(text: &str) -> Result<NonZeroU32, &'static str> {
    text.parse().map_err(|_| "allowed: a whole number, 1 or more")
}

fn textfile(text: &str) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(text);
    check_textfile_name(&path).map(|()| path)
}

/// To the nanosecond; up to a century either way, so that no date leaves the range of the clocks.
fn offset(text: &str) -> Result<Offset, String> {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    const ALLOWED: &str = "allowed: a number of seconds, up to 3153600000 (100 years) either way";
    let (negative, size) = match text.strip_prefix('-') {
        Some(size) => (true, size),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let Seconds(size) = size.parse().map_err(|_| ALLOWED)?;
    if size > CENTURY {
        return Err(ALLOWED.into());
    }
    let size = Offset::from(size);
    Ok(if negative { Offset::ZERO.saturating_sub(size) } else { size })
}

const SHORT_HELP: &str = "More options and details: --help, and the manual httptime(1).";

const GENERAL: &str = "\
Examples:
  httptime query http://192.0.2.1/             measure, change nothing
  httptime sync --dry-run http://192.0.2.1/    what would be done to the clock
  httptime status                              is the clock right, and if not, why
  httptime demo                                needs no network and no privileges

Exit status:
  0    done; status, wait: the clock is synchronised
  1    not measured (the reason is on stderr or in the JSON object), or output not written
  2    wrong usage
  3    the correction was refused
  4    no privilege to change the clock
  5    status: not synchronised, and no daemon is running
  6    survey: the clock of a server is wrong
  130  stopped by Ctrl-C

HTTPTIME_LOG=debug in the environment shows what the library does.";
