//! `httptime`: how far this machine's clock is from a server's, over plain HTTP.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

mod args;
mod bar;
mod demo;
mod environment;
mod query;
mod report;
mod signals;

use args::{Args, Command};

/// Exit codes, as `httptime --help` names them. A broken command line is clap's 2, a Ctrl-C is 130.
const MEASURED: u8 = 0;
const NOT_MEASURED: u8 = 1;
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    signals::end_at_once();
    env_logger::Builder::from_env(env_logger::Env::new().filter("HTTPTIME_LOG")).init();
    ExitCode::from(match args.command {
        Command::Query(query) => query::run(&query),
        Command::Demo(demo) => demo::run(&demo),
    })
}
