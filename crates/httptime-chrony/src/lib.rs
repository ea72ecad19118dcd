//! Feeds a running chronyd with what [`httptime`] measures, through its `SOCK` reference clock.
//!
//! chronyd then keeps the clock right, and serves NTP to machines that HTTP does not reach.
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
//! An [`Offset`](httptime::Offset) is true time − local clock, as in `httptime` and as chronyd wants it.
//!
//! # What chronyd says to a sample
//!
//! Nothing. It drops what it does not like without a word, so [`Sample`] and [`Feed`] refuse what they know it would
//! drop, each with an error of its own. That a sample was sent means that it lies in chronyd's queue; `chronyc sources`
//! shows what became of it.
//!
//! # In scope, and out of it
//!
//! In: samples for `refclock SOCK`, which ntpd-rs reads too, and the line of `chrony.conf` for it. Out: measuring,
//! `SHM` and the other reference clocks, chronyd's command protocol, setting any clock.
#![cfg(unix)]
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
