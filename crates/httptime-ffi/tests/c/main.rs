//! The C interface from C: a header that is current and compiles everywhere, a library that exports what the header says and
//! nothing else, and programs in C that use it, right and wrong. Needs gcc, g++ and binutils.
//!
//! With the feature `system-tests` also under valgrind and the sanitizers, installed, against nginx, and held against the ABI
//! as it was. That needs valgrind, abigail-tools, nginx, libfaketime, pkg-config, make, libcurl's header, libevent and cargo-c.

mod abi;
mod header;
mod programs;
mod toolchain;

#[cfg(feature = "system-tests")]
mod cost;
#[cfg(feature = "system-tests")]
#[expect(dead_code, reason = "the program's tests use all of it, these only nginx")]
#[path = "../../../httptime-cli/tests/system/daemon.rs"]
mod daemon;
#[cfg(feature = "system-tests")]
mod installed;
