//! Holds nothing: the benches are under `benches/`.
#![forbid(unsafe_code)]
