//! `libhttptime`: [`httptime`] for programs in C.
//!
//! cbindgen makes the header `include/httptime.h` from this source: the documentation of an item
//! here is what a C programmer reads there. `docs/c-api.md` is the guide.
//!
//! Every function has the same three steps: it converts the arguments (`boundary.rs`), calls the
//! library, and writes the result only on success. A panic becomes [`HTTPTIME_ERROR_PANIC`].
#![deny(unsafe_op_in_unsafe_fn)]
#![expect(non_camel_case_types, reason = "the names are those of the header")]
#![expect(
    clippy::exhaustive_structs,
    reason = "C programs access every field; struct_size distinguishes versions"
)]
#![expect(
    clippy::missing_safety_doc,
    reason = "the rules for pointers are at the top of the header"
)]
#![expect(
    clippy::doc_markdown,
    reason = "rustdoc becomes the comments of the C header, which have no backticks"
)]

mod address;

mod boundary;

mod failure;

mod urls;

// In the order of the header.
mod version;

mod status;

mod message;

mod progress;

mod options;

mod stamp;

mod tls;

mod measurement;

mod survey;

mod query;

mod cross_timestamp;

mod canceller;

mod log;

mod timestamps;

mod event;

mod session;

mod http;

mod measure;

#[cfg(feature = "clock")]
mod clock;

#[cfg(test)]
mod tests;

pub use crate::address::*;
pub use crate::canceller::*;
#[cfg(feature = "clock")]
pub use crate::clock::*;
pub use crate::cross_timestamp::*;
pub use crate::event::*;
pub use crate::http::*;
pub use crate::log::*;
pub use crate::measure::*;
pub use crate::measurement::*;
pub use crate::message::*;
pub use crate::options::*;
pub use crate::progress::*;
pub use crate::query::*;
pub use crate::session::*;
pub use crate::stamp::*;
pub use crate::status::*;
pub use crate::survey::*;
pub use crate::timestamps::*;
pub use crate::tls::*;
pub use crate::version::*;

/// Panics, which gives [`HTTPTIME_ERROR_PANIC`].
#[cfg(feature = "test-hooks")]
#[expect(clippy::missing_panics_doc, reason = "the panic is caught")]
#[unsafe(no_mangle)]
pub extern "C" fn httptime_test_panic() -> httptime_status {
    boundary::guard(|| panic!("forced by a test"))
}
