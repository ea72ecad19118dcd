//! Measures how far this machine's clock is from a server's, by the `Date` header of plain HTTP.
#![forbid(unsafe_code)]

#[cfg(feature = "net")]
pub mod client;
pub mod config;
pub mod error;
pub mod estimate;
pub mod http;
pub mod measure;
pub mod measurement;
#[cfg(feature = "net")]
pub mod net;
pub mod observation;
pub mod progress;
pub mod schedule;
pub mod select;
pub mod server;
pub mod time;

#[cfg(feature = "net")]
pub use crate::client::Client;
pub use crate::config::Config;
pub use crate::error::Error;
pub use crate::measure::Measure;
pub use crate::measurement::Measurement;
pub use crate::observation::{Exchange, Observation};
pub use crate::time::{ClockTie, Interval, LocalInstant, Offset, Timestamp};
