//! Real servers on loopback ports for the tests of httptime. Not published.
//!
//! ```
//! use httptime::Offset;
//! use httptime_testserver::{Behaviour, LoopbackServer, Misbehave as _};
//!
//! let server = LoopbackServer::builder()
//!     .skew(Offset::from_nanos(38_116_000_000))
//!     .behaviour(Behaviour::Cached { age: None })
//!     .start()?;
//! println!("measure {}", server.url());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! [`LoopbackServer`] is the server of `httptime_sim::loopback`, which behaves correctly;
//! [`Misbehave`] adds faults to its responses. There are also: [`LoopbackProxy`], a forward proxy;
//! [`LoopbackRelay`], which injects network faults; the module `tls`, which adds TLS to any of
//! them; the module [`nginx`]; and [`BlackHole`] and [`RefusedPort`], where no server is. Dropping
//! any of them closes its sockets and joins its threads.
#![forbid(unsafe_code)]

mod behaviour;
mod faults;
pub mod nginx;
mod proxy;
mod relay;
mod script;
mod socks;
#[cfg(test)]
mod testing;
#[cfg(feature = "tls")]
pub mod tls;
mod unreachable;

pub use httptime_sim::loopback::{LoopbackServer, LoopbackServerBuilder};

pub use self::behaviour::Behaviour;
pub use self::faults::{Fault, Faults};
pub use self::proxy::{LoopbackProxy, ProxyOptions};
pub use self::relay::LoopbackRelay;
pub use self::script::Misbehave;
pub use self::socks::LoopbackSocks;
pub use self::unreachable::{BlackHole, RefusedPort};
