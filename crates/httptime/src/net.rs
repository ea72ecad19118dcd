//! Sockets, names and the machine's clocks: all of the crate that does I/O.

pub(crate) mod clock;
pub(crate) mod link;
pub(crate) mod resolve;
mod url;

pub use self::resolve::Family;
pub use self::url::Url;
