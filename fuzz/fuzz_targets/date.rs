//! `parse_date` does not panic on any bytes. A date that it accepts is formatted as a date that it
//! reads as the same instant, whatever the day of the week and with another name of the time zone.
#![no_main]

use httptime::http::parse_date;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| {
    let Ok(date) = parse_date(value) else { return };
    let nanos = date.as_unix_nanos();
    assert!(nanos >= 0 && nanos % 1_000_000_000 == 0, "{nanos}");
    let shown = date.to_string();
    assert_eq!(parse_date(shown.as_bytes()), Ok(date));
    for other in
        [shown.replace("GMT", "+0000"), shown.replace("GMT", "UTC"), format!("Mon{}", &shown[3..])]
    {
        assert_eq!(parse_date(other.as_bytes()), Ok(date), "{other}");
    }
});
