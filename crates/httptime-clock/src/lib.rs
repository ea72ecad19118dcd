//! Sets the clock that [`httptime`] measures: steps it, slews it, steers its frequency, and tells the kernel whether it
//! is synchronised.
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
//! [`Clock`] is what there is to do with a clock. [`SystemClock`] does it to the kernel's, which needs root or
//! `CAP_SYS_TIME`; [`SimulatedClock`] to one in memory, which behaves as Linux does and whose true error is known, so that
//! what steers a clock can be tried for a simulated week in a moment.
//!
//! An [`Offset`](httptime::Offset) is true time − local clock, as in `httptime`: it is what must be added to the
//! clock. Positive moves the clock forward.
//!
//! # In scope, and out of it
//!
//! In: Linux (glibc, musl); macOS, FreeBSD, NetBSD, OpenBSD and `DragonFly` BSD as far as their kernels go; elsewhere the
//! clock can only be read. Out: measuring (that is `httptime`), the hardware clock (the Linux kernel sets it by itself
//! once the clock is synchronised), leap seconds (nothing in HTTP announces one), time zones.
//!
//! Nothing here changes a clock but an explicit call of one of [`Clock`]'s methods that take `&mut self`.
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
pub use crate::policy::{
    Action, Direction, Evidence, History, Policy, Reading, Refusal, build_day,
};
pub use crate::simulated::SimulatedClock;
pub use crate::status::{MAXIMUM_ERROR_GROWTH_PER_SECOND, MAXIMUM_ERROR_LIMIT, SyncStatus};
pub use crate::system::SystemClock;

// Compiles the example of README.md.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
