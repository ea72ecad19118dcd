//! Corrects the clock that [`httptime`] measures: steps it, slews it, steers its frequency, and
//! tells the kernel whether it is synchronised.
//!
//! ```no_run
//! use httptime::Offset;
//! use httptime_clock::{Clock, ClockError, SyncStatus, SystemClock};
//! use std::time::Duration;
//!
//! fn main() -> Result<(), ClockError> {
//!     let mut clock = SystemClock::new();
//!     // Measured: the clock is 38.116 s slow, give or take 2 ms.
//!     clock.step(Offset::from_nanos(38_116_000_000))?;
//!     let error = Duration::from_millis(2);
//!     clock.set_status(SyncStatus::synchronised(error, error))?;
//!     Ok(())
//! }
//! ```
//!
//! [`Clock`] has the operations. [`SystemClock`] applies them to the kernel's clock, which needs
//! root or `CAP_SYS_TIME`. [`SimulatedClock`] applies them to a clock in memory that behaves as
//! Linux does and whose true error is known. With it, code that steers a clock can be tested for a
//! simulated week in a moment.
//!
//! An [`Offset`](httptime::Offset) is true time − local clock, as in `httptime`: the amount to add
//! to the clock. Positive moves the clock forward.
//!
//! # Scope
//!
//! In scope: Linux (glibc, musl); macOS, FreeBSD, NetBSD, OpenBSD and `DragonFly` BSD within the
//! limits of their kernels; Windows 10 and later ([`SystemClock`] has a table). On other systems
//! the clock can only be read. Out of scope: measuring
//! (see `httptime`), the hardware clock (the Linux kernel sets it by itself once the clock is
//! synchronised), leap seconds (HTTP does not announce them), time zones.
//!
//! A clock is changed only by an explicit call of a method of [`Clock`] that takes `&mut self`.
#![deny(unsafe_op_in_unsafe_fn)]

mod clock;
pub mod controller;
mod convert;
pub mod discipline;
mod error;
mod frequency;
mod policy;
mod simulated;
pub mod state;
mod status;
mod system;

pub use crate::clock::{Clock, SLEW_RATE};
pub use crate::error::{ClockError, Operation};
pub use crate::frequency::Frequency;
pub use crate::policy::{Action, Direction, Evidence, History, Missing, Policy, Reading, Refusal};
pub use crate::simulated::SimulatedClock;
pub use crate::status::{MAXIMUM_ERROR_GROWTH_PER_SECOND, MAXIMUM_ERROR_LIMIT, SyncStatus};
pub use crate::system::SystemClock;

// Compiles the example of README.md.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
