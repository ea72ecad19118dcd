//! Sockets, names and the machine's clocks: all of the crate that does I/O.

pub(crate) mod clock;
pub(crate) mod link;
pub(crate) mod resolve;
mod url;

pub use self::resolve::Family;
pub use self::url::Url;

use crate::time::ClockTie;

/// What the wall clock shows at an instant, as measurements of this process count instants.
///
/// Before acting on a [`Measurement`](crate::Measurement), hold it against the measurement's own: a wall clock that was
/// stepped in between is not the one that was measured.
#[must_use]
pub fn tie() -> ClockTie {
    clock::Clock::new().tie()
}
