//! No bytes make `parse_date` panic, and a date it takes is shown as a date that it takes for the same.
#![no_main]

use httptime::http::parse_date;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| {
    let Ok(date) = parse_date(value) else { return };
    let nanos = date.as_unix_nanos();
    assert!(nanos >= 0 && nanos % 1_000_000_000 == 0, "{nanos}");
    assert_eq!(parse_date(date.to_string().as_bytes()), Ok(date));
});
