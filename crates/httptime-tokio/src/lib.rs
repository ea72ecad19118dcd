//! Measures how far this machine's clock is from a server's, by the `Date` header of plain HTTP, in a tokio program.
//!
//! The measurement is [`httptime`]'s; here are tokio's sockets and timers for it, and nothing that decides.
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
//! Drop the future, or the [`RunningSurvey`]: its sockets are closed at once. No task is spawned, so none is left behind; only
//! the system's resolver finishes a lookup that it has begun ([`ClientBuilder::resolver`]). To keep what was measured by then,
//! call [`RunningSurvey::finish`] instead.
//!
//! # What it costs
//!
//! Tokio's timer ends a sleep up to two milliseconds late, and a request is aimed to some microseconds. So in the last
//! two milliseconds before a request the task no longer sleeps: it yields to the other tasks and to the I/O driver
//! until the instant has come. That keeps a thread busy for at most two milliseconds per request (16 requests: 32 ms in
//! some ten seconds), and holds up nobody. A task that itself runs for milliseconds without awaiting delays requests; they are
//! rescheduled ([`Rescheduled`](httptime::session::Event::Rescheduled)), and what is measured stays right.
//!
//! In scope: Unix. The runtime needs I/O and time enabled.
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
