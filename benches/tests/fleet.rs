//! Small fleets, compared with `fleet.csv`.
//!
//! After a change that is meant to change the table:
//! `UPDATE=1 cargo test -p httptime-benches --test fleet`. Give the reason in the commit.
#![forbid(unsafe_code)]

mod snapshot;

use std::fs::File;
use std::time::Duration;

use httptime_benches::fleet::{self, FleetCell, FleetSettings};

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fleet.csv");
/// Other mathematical libraries round the last digits differently, which can change the aim of a
/// request.
const TOLERANCE: f64 = 0.2;

#[test]
fn fleets_are_as_accurate_as_they_were_and_no_bound_is_broken() {
    let hour = Duration::from_secs(3600);
    let settings = FleetSettings { settling: hour, scored: hour, ..FleetSettings::default() };
    println!("{settings:?}");
    let rows = fleet::run(&FleetCell::all(&[10, 100]), &settings);
    if std::env::var_os("UPDATE").is_some() {
        fleet::write_csv(&rows, File::create(SNAPSHOT).expect("writable")).expect("written");
    }
    for row in &rows {
        let name = row.cell.name();
        assert_eq!(row.broken, 0, "{name}: bounds without the true offset");
        assert_eq!(row.failed, 0, "{name}: measurements without a result");
    }
    let now: Vec<_> = rows.iter().map(|row| (row.cell.name(), fleet::fields(row))).collect();
    snapshot::check(SNAPSHOT, &fleet::COLUMNS, &now, TOLERANCE);
}
