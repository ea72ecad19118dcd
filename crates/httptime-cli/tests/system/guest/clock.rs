//! The test machine's clocks: compared with the host's, set, and read.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use serde_json::json;

use crate::Outcome;
use crate::relay::COMPARE_CLOCKS;

const SECOND: i64 = 1_000_000_000;

/// Exchanges readings with the relay at the other end and prints each: offset is the host's clock −
/// this one.
pub(crate) fn compare(with: &str, times: &str) -> Outcome {
    let mut stream = TcpStream::connect(with)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(COMPARE_CLOCKS)?;
    let mut exchanges = Vec::new();
    for _ in 0..times.parse()? {
        let sent = now();
        stream.write_all(b"?")?;
        let mut reading = [0; 8];
        stream.read_exact(&mut reading)?;
        let received = now();
        let delay = received - sent;
        let offset = i64::from_le_bytes(reading) - (sent + delay / 2);
        exchanges.push(json!({ "offset_ns": offset, "delay_ns": delay }));
        thread::sleep(Duration::from_millis(3));
    }
    println!("{}", json!(exchanges));
    Ok(())
}

/// Steps the clock. The caller has checked that this is a test machine.
pub(crate) fn set_forward(nanos: &str) -> Outcome {
    let to = now() + nanos.parse::<i64>()?;
    let time = Timespec { tv_sec: to.div_euclid(SECOND), tv_nsec: to.rem_euclid(SECOND) };
    clock_settime(ClockId::Realtime, time)?;
    Ok(())
}

/// Waits until the second of the hardware clock flips, and prints how far that clock is ahead of
/// the system clock.
pub(crate) fn rtc() -> Outcome {
    let read = || -> Result<i64, Box<dyn std::error::Error>> {
        Ok(fs::read_to_string("/sys/class/rtc/rtc0/since_epoch")?.trim().parse()?)
    };
    let first = read()?;
    let deadline = Instant::now() + Duration::from_secs(3);
    while Instant::now() < deadline {
        let second = read()?;
        if second != first {
            println!("{}", json!({ "rtc_minus_system_ns": second * SECOND - now() }));
            return Ok(());
        }
    }
    Err("the hardware clock stands still".into())
}

fn now() -> i64 {
    let time = clock_gettime(ClockId::Realtime);
    time.tv_sec * SECOND + time.tv_nsec
}
