//! Shared code of the benches: thousands of simulated measurements and their outcomes.
//!
//! `cargo run --release -p httptime-benches --bin accuracy` writes the tables and plots;
//! `tests/accuracy.rs` compares a short version with `accuracy.csv`.
#![forbid(unsafe_code)]
#![expect(
    clippy::exhaustive_structs,
    clippy::exhaustive_enums,
    reason = "this crate is not published"
)]

mod cell;
pub mod endure;
pub mod fit;
pub mod fleet;
pub mod lag;
pub mod load;
pub mod plots;
mod row;
pub mod stamps;
mod suite;
pub mod summary;
pub mod table;
pub mod week;

pub use self::cell::{Cell, Method};
pub use self::row::Row;
pub use self::suite::{EQUAL_REQUESTS, Suite, run};
