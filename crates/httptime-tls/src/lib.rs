//! HTTPS for [`httptime`]: [`TlsConfig`] provides TLS to the clients and sessions of that crate.
//!
//! ```no_run
//! use httptime::Client;
//! use httptime_tls::TlsConfig;
//!
//! # fn main() -> Result<(), httptime::Error> {
//! let tls = TlsConfig::builder().cacert("/etc/ssl/jump-host-ca.pem").build()?;
//! let measurement = Client::builder("https://192.0.2.1/").tls(tls).build()?.measure()?;
//! println!("server - local: {:.6} s", measurement.offset());
//! if let Some(certificates) = measurement.assumptions().certificates() {
//!     println!("assumed: {certificates}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Which clock judges a certificate
//!
//! A certificate is valid from one date to another. The clock that could tell whether it is valid
//! now is the one that is wrong. So:
//!
//! 1. In the handshake, before a byte of a request is sent, everything but the date is verified:
//!    the chain to a trusted CA, the name, the key usage, the signature. That must hold at a time t
//!    that is not before the *floor*, the latest of the day of the build and
//!    [`floor`](TlsConfigBuilder::floor). t is the floor or, if that is later, the beginning of the
//!    validity of a certificate of the chain. A chain that is valid at no such t is refused.
//! 2. After the measurement, each chain is verified again at both ends of the measured time of the
//!    server: `t_local + lower` and `t_local + upper`. The result reports the assumption and the
//!    window in which all chains are valid.
//! 3. If the caller knows that the local clock is right
//!    ([`clock_is_synchronised`](TlsConfigBuilder::clock_is_synchronised)), the chain is verified
//!    by it in the handshake, and there is no fallback.
//! 4. A [pin](TlsConfigBuilder::pin) needs no clock.
//!
//! What remains in case 2: an attacker who has the private key of a certificate that expired after
//! the floor can show a time at which it was valid. docs/threat-model.md has what limits that.
//!
//! # What it does not do
//!
//! It is not free of allocations: rustls allocates for each record, also while requests are timed.
//! The times are those of the kernel where it gives them, as without TLS.
//!
//! No resumption of sessions, no early data, no revocation lists and no OCSP. TLS 1.2 and 1.3 only.
//! Names are sent as SNI, addresses are not. The layer reads no clock; it uses the times that the
//! session passes on.
//!
//! No type of rustls is part of the API.
#![forbid(unsafe_code)]

mod accepted;
mod certificate;
mod chain;
mod config;
mod fault;
mod layer;
mod pin;
mod rules;
mod session;
mod trust;
mod verifier;

pub use self::config::{TlsConfig, TlsConfigBuilder};

// Compiles the example of README.md.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
