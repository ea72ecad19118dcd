//! Sockets, names and the machine's clocks: all of the crate that does I/O.

pub(crate) mod cancel;
pub(crate) mod clock;
mod kernel;
pub(crate) mod link;
pub(crate) mod resolve;
pub(crate) mod wire;

pub use self::cancel::Canceller;

use crate::time::{ClockTie, LocalInstant};

/// What the wall clock shows at an instant, as measurements of this process count instants.
///
/// Before acting on a [`Measurement`](crate::Measurement), hold it against the measurement's own: a wall clock that was
/// stepped in between is not the one that was measured.
#[must_use]
pub fn tie() -> ClockTie {
    clock::Clock::new().tie()
}

/// Now, as measurements of this process count instants.
#[must_use]
pub fn now() -> LocalInstant {
    clock::Clock::new().now()
}
