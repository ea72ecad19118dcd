//! A short version of the accuracy table, compared with `accuracy.csv`.
//!
//! After a change that is meant to change the table:
//! `UPDATE=1 cargo test -p httptime-benches --test accuracy`. Give the reason in the commit.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fs::File;

use httptime_benches::{Suite, run, table};
use httptime_sim::worlds::{self, Assumptions};

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/accuracy.csv");
const SEED: u64 = 20_261_124;
const RUNS: u32 = 500;
/// Other mathematical libraries round the last digits differently, which can change the aim of a
/// request.
const TOLERANCE: f64 = 1.05;
/// The same for the share of measurements whose bounds miss the truth.
const NOISE: f64 = 0.02;

#[test]
fn accuracy_is_not_lost_and_bounds_hold_where_their_assumptions_do() {
    println!("seed {SEED}");
    let rows = run(&Suite::Short.cells(), RUNS, SEED);
    if std::env::var_os("UPDATE").is_some() {
        table::write_csv(&rows, File::create(SNAPSHOT).expect("writable")).expect("written");
    }
    let mut reader = csv::Reader::from_path(SNAPSHOT).expect("the snapshot");
    let before: HashMap<Vec<String>, [f64; 3]> = reader
        .records()
        .map(|record| {
            let record = record.expect("well-formed");
            let number = |column: usize| record[column].parse().unwrap_or(f64::NAN);
            let missed = (1.0 - number(9)) * (1.0 - number(14));
            (record.iter().take(4).map(str::to_owned).collect(), [number(4), number(7), missed])
        })
        .collect();
    assert_eq!(before.len(), rows.len(), "cells were added or removed");
    for row in &rows {
        let [median, rms, missed] = before[row.names.as_slice()];
        let names = row.names.join(" ");
        let world = worlds::named(&row.names[0]).expect("listed");
        if world.assumptions() == Assumptions::Violated && row.has_bounds() {
            // The number of unreported errors matters more than their size. Where every measurement
            // was caught, the table has no coverage.
            let most = if missed.is_nan() { 0.0 } else { missed } + NOISE;
            assert!(row.missed() <= most, "{names}: missed {}, was {missed}", row.missed());
            continue;
        }
        assert!(
            row.error(0.5) <= TOLERANCE * median,
            "{names}: median {}, was {median}",
            row.error(0.5)
        );
        assert!(row.rms() <= TOLERANCE * rms, "{names}: RMS {}, was {rms}", row.rms());
        assert!(
            world.assumptions() == Assumptions::Violated || row.violations == 0,
            "{names}: bounds violated"
        );
    }
}
