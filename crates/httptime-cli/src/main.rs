//! `httptime`: how far this machine's clock is from a server's, over plain HTTP, and mending it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

mod args;
mod bar;
mod demo;
mod environment;
mod logging;
mod query;
mod report;
mod run;
mod servers;
mod service;
mod signals;
mod sync;

use args::{Args, Command};

/// Exit codes, as `httptime --help` names them. A broken command line is clap's 2, a Ctrl-C is 130.
const DONE: u8 = 0;
const NOT_MEASURED: u8 = 1;
const USAGE: u8 = 2;
const REFUSED: u8 = 3;
const NO_PRIVILEGE: u8 = 4;

fn main() -> ExitCode {
    let args = Args::parse();
    let stays = matches!(args.command, Command::Run(_));
    if !stays {
        signals::end_at_once();
    }
    logging::start(stays);
    ExitCode::from(match args.command {
        Command::Query(query) => query::run(&query),
        Command::Sync(sync) => sync::run(&sync),
        Command::Run(run) => run::run(&run),
        Command::Demo(demo) => demo::run(&demo),
    })
}
