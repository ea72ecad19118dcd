//! Measures the offset of this machine's clock from a server's with the `Date` header of HTTP, in a
//! tokio program.
//!
//! [`httptime`] makes the measurement. This crate adds tokio's sockets and timers and makes no
//! decisions.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use httptime_tokio::Client;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let servers = ["http://192.0.2.1/", "http://192.0.2.2/", "http://192.0.2.3/"];
//! let client = Client::builder().servers(servers).build()?;
//! let measurement = tokio::time::timeout(Duration::from_secs(20), client.measure()).await??;
//! println!("server - local: {:.6} s, within {:.6}", measurement.offset(), measurement.bounds());
//! # Ok(())
//! # }
//! ```
//!
//! # Ending early
//!
//! Drop the future or the [`RunningSurvey`]: its sockets are closed at once. No task is spawned, so
//! none remains. Only the system's resolver finishes a running look-up
//! ([`ClientBuilder::resolver`]). To get the result of the evidence so far, call
//! [`RunningSurvey::finish`] instead.
//!
//! # Cost
//!
//! Tokio's timer ends a sleep up to two milliseconds late, and requests are aimed to some
//! microseconds. So in the last two milliseconds before a request the task does not sleep: it
//! yields to the other tasks and to the I/O driver until the instant. That uses a thread for at
//! most two milliseconds per request (16 requests: 32 ms in some ten seconds) and blocks no other
//! task. Another task that runs for milliseconds without awaiting delays requests. These are
//! rescheduled ([`Rescheduled`](httptime::session::Event::Rescheduled)), and the result stays
//! correct.
//!
//! On Windows the system's timer ends up to 16 ms late, so there it is the last 17 ms.
//!
//! Scope: Unix and Windows. The runtime must have I/O and time enabled.
#![forbid(unsafe_code)]

mod client;
mod resolve;
mod running;
mod socket;

pub use self::client::{Client, ClientBuilder};
pub use self::running::{RunningSurvey, Update};

// Compiles the example of README.md.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
