//! Simulated worlds to measure in: clocks, paths and servers in virtual time; and a real server on
//! the loopback interface with a known skew.
//!
//! ```
//! use httptime::Config;
//! use httptime_sim::{Path, SimClock, SimServer, World};
//!
//! # fn main() -> Result<(), httptime::Error> {
//! let clock = SimClock::new(38_116_000_000);
//! let world = World::new(clock, Path::symmetric_ms(20.0, 2.0), SimServer::exact());
//! let outcome = world.measure(&Config::default(), 1);
//! let measurement = outcome.result?;
//! assert!(measurement.bounds().contains(outcome.truth));
//! # Ok(())
//! # }
//! ```
//!
//! [`worlds`] contains named worlds for comparisons. [`loopback`] contains the real server, which
//! `httptime demo` measures.
#![forbid(unsafe_code)]

mod client;
mod clock;
mod connections;
mod drive;
pub mod fleet;
pub mod loopback;
mod measure;
mod ntp;
mod path;
mod remote;
mod server;
mod stamp;
mod survey;
pub mod trials;
mod world;
pub mod worlds;

pub use self::client::SimClient;
pub use self::clock::SimClock;
pub use self::connections::{SimConnections, SimHost, SimProxy};
pub use self::drive::DriverStats;
pub use self::measure::{Outcome, Verdict};
pub use self::ntp::{NtpSample, clock_filter, shortest_delay};
pub use self::path::Path;
pub use self::server::{SimBalance, SimServer, SimWorker};
pub use self::stamp::{SimStamp, StampDigits, StampTrap};
pub use self::survey::{SurveyOutcome, survey};
pub use self::world::World;

// Compiles the example of README.md.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
