//! Tests of the C interface from C: the header is current and compiles with every standard, the
//! library exports exactly the header's functions, and C programs call it correctly and
//! incorrectly. Needs gcc, g++ and binutils.
//!
//! With the feature `system-tests` also under valgrind and the sanitizers, installed, against
//! nginx, and compared with the recorded ABI. That needs valgrind, abigail-tools, nginx,
//! libfaketime, pkg-config, make, libcurl's header, libevent and cargo-c.

mod abi;
mod header;
mod programs;
mod toolchain;

#[cfg(feature = "system-tests")]
mod cost;
#[cfg(feature = "system-tests")]
#[expect(dead_code, reason = "these tests use only nginx, the program's tests use everything")]
#[path = "../../../httptime-cli/tests/system/daemon.rs"]
mod daemon;
#[cfg(feature = "system-tests")]
mod installed;
