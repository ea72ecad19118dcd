//! The C interface from C: a header that is current and compiles everywhere, a library that exports what the header says and
//! nothing else, and programs in C that use it, right and wrong. Needs gcc, g++, binutils and valgrind; a missing one fails.

mod abi;
mod header;
mod programs;
mod toolchain;
