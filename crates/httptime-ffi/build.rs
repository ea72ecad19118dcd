//! Sets the SONAME of the shared library. A major version, or a minor one while the major one is 0,
//! may change the ABI: see docs/c-api.md.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let elf = ["linux", "android", "freebsd", "netbsd", "openbsd", "dragonfly"];
    let system = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if elf.contains(&system.as_str()) {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libhttptime.so.0");
    }
}
