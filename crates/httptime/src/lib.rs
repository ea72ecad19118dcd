//! Measures the offset of this machine's clock from a server's with the `Date` header of HTTP.
//!
//! It is for machines that NTP does not reach but that reach an HTTP server or proxy. The header
//! counts whole seconds. Requests that are aimed at the instant at which it changes give the offset
//! to well below a millisecond on a quiet path. Every result has bounds that hold under stated
//! [`Assumptions`]. What cannot be measured is an [`Error`] with a name, never a guess.
//!
#![cfg_attr(feature = "net", doc = "```no_run")]
#![cfg_attr(not(feature = "net"), doc = "```ignore")]
//! use httptime::Client;
//!
//! fn main() -> Result<(), httptime::Error> {
//!     let measurement = Client::builder("http://192.0.2.1/").build()?.measure()?;
//!     println!("server - local: {:.6} s", measurement.offset());
//!     println!("bounds: {:.6}", measurement.bounds());
//!     println!("assumed: lag up to {:?}", measurement.assumptions().lag());
//!     Ok(())
//! }
//! ```
//!
//! An [`Offset`] is always server clock − local clock: positive when the local clock is slow.
//!
//! The library can be used in a blocking call, on tokio, in your own event loop, and from C. The
//! module `guide` compares these, with an example of each.
//!
//! # Structure
//!
//! [`http`] turns bytes into a date. An [`Observation`] is what one exchange proves. [`Progress`]
//! intersects the observations into bounds. [`estimate`] computes the most likely offset within
//! them. [`schedule`] decides when to send the next request. [`Measure`] combines these. A
//! [`session`] adds the connections to one server: retries, deadlines, proxies. A [`survey`]
//! consists of several sessions, among which [`select`] finds the majority. None of these does any
//! I/O: a driver moves the bytes and makes no decisions.
//!
//! docs/glossary.md has each term, its unit, and what RFC 5905, RFC 9110 and chrony call it.
//!
//! # Features
//!
//! `net` [default: on]: sockets, name resolution and the blocking `Client`. Without it the library
//! reads no clock and opens no socket; drive the [`survey`] with your own I/O.
//!
//! `serde` [default: off]: `Serialize` for results and errors, which gives the documented JSON of
//! the program `httptime` (docs/json.md); `Serialize` and `Deserialize` for named choices
//! (estimator, schedule, profile, family, timestamping, method).
//!
//! `many` [default: off]: `ManyClient`, which measures hundreds to thousands of servers in one
//! thread, each for itself.
//!
//! # Scope
//!
//! In scope: HTTP/1.0 and 1.1, HTTP proxies, IPv4 and IPv6, several servers. Out of scope: setting
//! a clock, HTTP/2, redirects. Plain HTTP is not authenticated, so anyone on the path can forge the
//! time. HTTPS needs a [`Security`](session::Security): the crate `httptime-tls` has one.
#![forbid(unsafe_code)]

mod agreement;
mod checks;
#[cfg(feature = "net")]
mod client;
mod config;
mod difference;
mod error;
pub mod estimate;
mod evidence;
mod family;
#[cfg(all(any(doc, doctest), feature = "net"))]
pub mod guide;
pub mod http;
#[cfg(feature = "serde")]
mod json;
mod limits;
#[cfg(all(feature = "many", unix))]
mod many;
mod measure;
mod measurement;
mod method;
mod names;
#[cfg(feature = "net")]
pub mod net;
mod observation;
mod progress;
mod range;
mod round_trips;
pub mod schedule;
pub mod select;
pub mod server;
pub mod session;
pub mod stamp;
pub mod survey;
mod suspicion;
mod time;
mod timestamping;
mod tls;
mod url;

pub use crate::agreement::Agreement;
pub use crate::checks::CheckConnection;
#[cfg(feature = "net")]
pub use crate::client::{Client, ClientBuilder, Update};
pub use crate::config::{Config, ConfigBuilder};
pub use crate::difference::Difference;
pub use crate::error::{Error, IoError, Phase};
pub use crate::family::Family;
pub use crate::limits::Limits;
#[cfg(all(feature = "many", unix))]
pub use crate::many::ManyClient;
pub use crate::measure::{Measure, Next};
pub use crate::measurement::{Assumptions, EndReason, Measurement};
pub use crate::method::Method;
pub use crate::observation::{Exchange, Observation};
pub use crate::progress::{Progress, TYPICAL_DRIFT_PPM};
#[doc(hidden)]
pub use crate::range::check_range;
pub use crate::stamp::{Stamp, StampFault, StampUse};
pub use crate::suspicion::Suspicion;
pub use crate::time::{CrossTimestamp, Interval, LocalInstant, Offset, Span, Timestamp, build_day};
pub use crate::timestamping::Timestamping;
pub use crate::tls::{CertificateCheck, Peer, TlsFault};
pub use crate::url::{Scheme, Url};

// Compiles the example of README.md.
#[cfg(all(doctest, feature = "net"))]
#[doc = include_str!("../README.md")]
struct Readme;
