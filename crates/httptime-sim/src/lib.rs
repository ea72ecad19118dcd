//! Worlds to measure in: [`loopback`], a real server on this machine with a known skew.
#![forbid(unsafe_code)]

pub mod loopback;
