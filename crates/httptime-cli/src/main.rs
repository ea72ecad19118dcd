//! `httptime`: measures the offset of this machine's clock from a server's by HTTP or HTTPS, and
//! corrects the clock.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

mod answers;
mod args;
mod bar;
#[cfg(test)]
mod completions;
mod correction;
mod demo;
mod doctor;
mod environment;
mod https;
mod logging;
mod measure_options;
mod no_proxy;
mod query;
mod report;
mod retry;
mod run;
mod server_arg;
mod service;
mod signals;
mod status;
#[cfg(unix)]
mod survey;
#[cfg(not(unix))]
#[path = "survey/unsupported.rs"]
mod survey;
mod sync;
mod usage;
mod wait;
mod words;
mod worker;

use args::{Args, Command};

/// Exit codes, as in `httptime --help`. clap uses 2 for a wrong command line; Ctrl-C gives 130.
const DONE: u8 = 0;
const NOT_MEASURED: u8 = 1;
const USAGE: u8 = 2;
const REFUSED: u8 = 3;
const NO_PRIVILEGE: u8 = 4;
/// After Ctrl-C.
const INTERRUPTED: i32 = 130;
const FALSETICKER: u8 = 6;
/// [`DONE`], except that the output could not be written.
const OUTPUT_FAILED: u8 = 1;

fn main() -> ExitCode {
    let status = match Args::try_parse() {
        Ok(args) => run_command(&args),
        // clap returns help and version here, too.
        Err(answer) => {
            let answer = usage::redacted(answer);
            let shown = answer.print();
            if let (Err(error), false) = (shown, answer.use_stderr()) {
                report::output_failed(&error);
            }
            u8::try_from(answer.exit_code()).unwrap_or(USAGE)
        }
    };
    ExitCode::from(if status == DONE && !report::is_written() { OUTPUT_FAILED } else { status })
}

fn run_command(args: &Args) -> u8 {
    let stays = matches!(args.command, Command::Run(_));
    if !stays {
        signals::end_at_once();
    }
    logging::start(stays);
    match &args.command {
        Command::Query(query) => query::run(query),
        Command::Sync(sync) => sync::run(sync),
        Command::Run(run) => run::run(run),
        Command::Status(status) => status::run(status),
        Command::Wait(wait) => wait::run(wait),
        Command::Doctor(doctor) => doctor::run(doctor),
        Command::Demo(demo) => demo::run(demo),
        Command::Survey(survey) => survey::run(survey),
    }
}
