//! The estimate from stamps, compared with the best of as many exchanges of NTP on the same path.
#![forbid(unsafe_code)]

use httptime_benches::stamps::{self, StampCell};

const SEED: u64 = 20_261_124;
const RUNS: u32 = 400;
/// Of the RMS errors of so few measurements.
const NOISE: f64 = 1.05;

#[test]
fn stamps_of_all_server_times_are_as_accurate_as_ntp() {
    println!("seed {SEED}");
    let rows = stamps::run(&StampCell::all(), RUNS, SEED);
    assert_eq!(rows.len(), 6 * 3 * 4);
    // With only one of two times, half of the processing time is an error of each exchange.
    for row in rows.iter().filter(|row| row.names()[1] != "one, processed") {
        let ratio = row.ratio();
        assert!(ratio <= NOISE, "{}: {ratio:.2}", row.names().join(", "));
    }
}
