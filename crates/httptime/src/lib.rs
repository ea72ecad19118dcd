//! Measures how far this machine's clock is from a server's, by the `Date` header of plain HTTP.
//!
//! For machines that NTP does not reach and some HTTP server or proxy does. The header counts whole seconds; requests aimed
//! at the instant at which it goes up give the offset to well below a millisecond on a quiet path. Every result carries
//! bounds that hold under stated [`Assumptions`]; what cannot be measured is an [`Error`] with
//! a name, never a guess.
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
//! An [`Offset`] is server clock − local clock, everywhere: positive when the local clock is slow.
//!
//! There are several ways to use it: blocking, on tokio, in an event loop of your own, from C. The module `guide` compares
//! them, with an example of each.
//!
//! # How it is made
//!
//! [`http`] turns bytes into a date, an [`Observation`] is what one exchange proves, [`Progress`] intersects
//! those into bounds, [`estimate`] says where in them the offset most likely lies, [`schedule`] when to ask next.
//! [`Measure`] does these in turn. A [`session`] is the whole conversation with one server around it: connections, retry,
//! deadlines, proxies. A [`survey`] is several sessions, of which [`select`] finds the majority. None of these does any
//! I/O: a driver moves the bytes, and decides nothing.
//!
//! # Features
//!
//! `net`, on by default: sockets, names and the blocking `Client`. Without it nothing here reads a clock or opens a socket;
//! drive the [`survey`] with your own I/O.
//!
//! `serde`, off by default: `Serialize` for results and errors, which is the documented JSON of the program `httptime`
//! (docs/json.md); `Serialize` and `Deserialize` for what is chosen by a name (estimator, schedule, profile, family,
//! timestamping, method).
//!
//! # In scope, and out of it
//!
//! In: HTTP/1.0 and 1.1, HTTP proxies, IPv4 and IPv6, several servers. Out: setting a clock, HTTPS, HTTP/2, redirects. Plain
//! HTTP is not authenticated, so whoever sits on the path can make up the time.
#![forbid(unsafe_code)]

mod checks;
#[cfg(feature = "net")]
mod client;
mod config;
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
mod measure;
mod measurement;
mod method;
mod names;
#[cfg(feature = "net")]
pub mod net;
mod observation;
mod progress;
mod round_trips;
pub mod schedule;
pub mod select;
pub mod server;
pub mod session;
pub mod survey;
mod time;
mod timestamping;
mod url;

pub use crate::checks::CheckConnection;
#[cfg(feature = "net")]
pub use crate::client::{Client, ClientBuilder, Update};
pub use crate::config::{Config, ConfigBuilder};
pub use crate::error::{Error, IoError, Phase};
pub use crate::family::Family;
pub use crate::limits::Limits;
pub use crate::measure::{Measure, Next};
pub use crate::measurement::{Assumptions, EndReason, Measurement};
pub use crate::method::Method;
pub use crate::observation::{Exchange, Observation};
pub use crate::progress::{Progress, TYPICAL_DRIFT_PPM};
pub use crate::time::{CrossTimestamp, Interval, LocalInstant, Offset, Timestamp};
pub use crate::timestamping::Timestamping;
pub use crate::url::Url;

// Compiles the example of README.md.
#[cfg(all(doctest, feature = "net"))]
#[doc = include_str!("../README.md")]
struct Readme;
