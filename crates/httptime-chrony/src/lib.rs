//! Sends the measurements of [`httptime`] to a running chronyd, through its `SOCK` reference clock.
//!
//! chronyd then corrects the clock and serves NTP to machines that HTTP does not reach.
//!
//! ```no_run
//! use httptime::{Offset, Timestamp};
//! use httptime_chrony::{ChronyError, Feed, Leap, Poll, Sample};
//! use std::time::{Duration, SystemTime};
//!
//! fn main() -> Result<(), ChronyError> {
//!     let feed = Feed::new("/run/chrony/httptime.sock", Poll::new(6)?)?;
//!     // Measured: bounds no farther than 9 ms from the offset, standard deviation 300 µs.
//!     println!("{}", feed.refclock_line(Duration::from_millis(9), Duration::from_micros(300)));
//!
//!     let Some(now) = Timestamp::from_system_time(SystemTime::now()) else { return Ok(()) };
//!     feed.send(&Sample::new(now, Offset::from_nanos(38_116_012_345), Leap::None)?, now)
//! }
//! ```
//!
//! An [`Offset`](httptime::Offset) is true time − local clock, as in `httptime` and in chronyd's
//! format.
//!
//! # What chronyd reports about a sample
//!
//! Nothing: chronyd silently drops samples that it does not accept. So [`Sample`] and [`Feed`]
//! refuse samples that chronyd is known to drop, each with a separate error. A sample that was sent
//! is in chronyd's queue; `chronyc sources` shows whether chronyd uses it.
//!
//! # Scope
//!
//! In scope: samples for `refclock SOCK`, which ntpd-rs also reads, and the line of `chrony.conf`
//! for it. Out of scope: measuring, `SHM` and the other reference clocks, chronyd's command
//! protocol, setting any clock. On Windows, which has no chronyd, sending fails.
#![forbid(unsafe_code)]

mod error;
mod feed;
mod sample;

pub use crate::error::ChronyError;
pub use crate::feed::{Feed, Poll};
pub use crate::sample::{Leap, SAMPLE_BYTES, Sample};

// Compiles the example of README.md.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
