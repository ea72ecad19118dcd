//! Four weeks in two worlds, compared with `week.csv`.
//!
//! After a change that is meant to change the table:
//! `UPDATE=1 cargo test -p httptime-benches --test week`. Give the reason in the commit.
#![forbid(unsafe_code)]

mod snapshot;

use std::fs::File;
use std::time::Duration;

use httptime_benches::week::{self, ClockKeeper, KeptClock, Weeks};
use httptime_sim::worlds;

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/week.csv");
const WEEKS: Weeks =
    Weeks { number: 4, seed: 20_261_124, calm: false, lag: Duration::from_millis(1) };
/// Other mathematical libraries round the last digits differently, which can change the aim of a
/// request.
const TOLERANCE: f64 = 0.05;

#[test]
fn a_clock_is_kept_as_it_was_and_better_than_by_what_else_is_done() {
    println!("{WEEKS:?}");
    let worlds = ["lan", "wan"].map(|name| worlds::named(name).expect("listed"));
    let rows = week::run_weeks(&worlds, &ClockKeeper::ALL, &WEEKS);
    for rows in rows.chunks(ClockKeeper::ALL.len()) {
        let [nobody, crontab, sync, run @ ..] = rows else { panic!("{rows:?}") };
        assert!(crontab.rms() < nobody.rms(), "{}", names(crontab));
        assert!(sync.rms() < crontab.rms(), "{}", names(sync));
        for run in run {
            assert!(run.rms() <= sync.rms(), "{}: {} ms", names(run), run.rms());
            assert_eq!(run.unprovoked, 0, "{}: stepped a clock that was right", names(run));
        }
    }
    if std::env::var_os("UPDATE").is_some() {
        week::write_csv(&rows, File::create(SNAPSHOT).expect("writable")).expect("written");
    }
    let now: Vec<_> = rows.iter().map(|row| (names(row), week::fields(row))).collect();
    snapshot::check(SNAPSHOT, &week::COLUMNS, &now, TOLERANCE);
}

fn names(row: &KeptClock) -> String {
    format!("{}, {}", row.world.name(), row.keeper.name())
}
