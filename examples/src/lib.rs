//! Empty: the examples are the files beside this crate's manifest.
#![forbid(unsafe_code)]
