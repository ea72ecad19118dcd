//! A million sessions in virtual time:
//! `cargo run --release -p httptime-benches --bin sessions -- --count 1000000`.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use httptime_sim::trials::Trial;

/// Measures random servers and faulty networks, and checks the invariants after each measurement
#[derive(Debug, Parser)]
struct Args {
    /// Number of sessions
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    count: u64,
    /// Number of the first session: the number of a session is its seed
    #[arg(long, default_value_t = 0, value_name = "N")]
    from: u64,
}

fn main() -> ExitCode {
    let Args { count, from } = Args::parse();
    println!("trials {from} to {}", from.saturating_add(count));
    let begun = Instant::now();
    let mut endings: BTreeMap<(bool, &str), u64> = BTreeMap::new();
    let mut stamps: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut requests, mut opened, mut polls, mut busiest, mut failures) = (0, 0, 0, 0, 0);
    for seed in from..from.saturating_add(count) {
        match Trial::random(seed).run() {
            Ok(ending) => {
                *endings.entry((!ending.is_measured, ending.name)).or_default() += 1;
                if let Some(stamp) = ending.stamps {
                    *stamps.entry(stamp).or_default() += 1;
                }
                requests += u64::from(ending.requests);
                opened += u64::from(ending.stats.opened);
                polls += u64::from(ending.stats.polls);
                busiest = busiest.max(ending.stats.max_polls_per_second);
            }
            Err(what) => {
                failures += 1;
                if failures <= SHOWN {
                    println!("{what}");
                }
            }
        }
    }
    for ((_, name), count) in endings {
        println!("{count:>9}  {name}");
    }
    for (stamp, count) in stamps {
        println!("{count:>9}  stamps: {stamp}");
    }
    println!(
        "{requests} requests of measurements, {opened} connections, {polls} polls, {busiest} in the busiest second"
    );
    println!("{failures} failures in {count} sessions, {:.1} s", begun.elapsed().as_secs_f64());
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Number of failures that are shown in full.
const SHOWN: u32 = 5;
