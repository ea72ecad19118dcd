//! Sockets, name resolution and the machine's clocks: the only part of the crate that does I/O. It
//! contains no rule of the protocol.

mod cancel;
mod clock;
mod driver;
mod kernel;
#[cfg(all(feature = "many", unix))]
mod many;
mod resolve;
mod socket;
mod system;
mod timestamps;

pub use self::cancel::{Canceller, DropGuard};
pub use self::clock::{cross_timestamp, now};
pub use self::timestamps::SocketTimestamps;

pub(crate) use self::driver::Driver;
#[cfg(all(feature = "many", unix))]
pub(crate) use self::many::ManyDriver;
pub(crate) use self::resolve::Resolver;
pub(crate) use self::socket::SocketOptions;
