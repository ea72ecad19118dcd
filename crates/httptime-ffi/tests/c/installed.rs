//! The library installed into an empty directory and found with pkg-config only.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::daemon::Daemon;
use crate::toolchain::{PACKAGE, run, scratch, without_the_clock};

const TRUTH: f64 = 38.116;

fn examples() -> PathBuf {
    Path::new(PACKAGE).join("../../examples/c")
}

/// An empty directory.
fn prefix(name: &str) -> PathBuf {
    let prefix = scratch(name);
    fs::remove_dir_all(&prefix).expect("it is there");
    fs::create_dir_all(&prefix).expect("a directory");
    prefix
}

/// Builds the examples with the files under `prefix`, and measures nginx 38.116 s ahead with each.
fn try_examples(name: &str, prefix: &Path) {
    let out = scratch(&format!("{name}-examples"));
    run(Command::new("make")
        .arg("-B")
        .arg("-C")
        .arg(examples())
        .arg(format!("OUT={}", out.display()))
        .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"))
        .env_remove("MAKEFLAGS"));
    let nginx = Daemon::nginx("+38.116s");
    let (second, third) = (Daemon::nginx("+38.116s"), Daemon::nginx("+38.116s"));
    let url = nginx.url();
    let urls = [url.clone(), second.url(), third.url()];
    let three: Vec<&str> = urls.iter().map(String::as_str).collect();
    let port = url.trim_end_matches('/').rsplit(':').next().expect("a port").to_owned();
    // One at a time: all of them send at the same instants, when the server's second begins.
    for linked in ["", "-static"] {
        for (program, arguments) in [
            ("query", vec![url.as_str()]),
            ("eventloop", vec!["127.0.0.1", port.as_str()]),
            ("sync", vec![url.as_str()]),
            ("session_poll", three.clone()),
            ("session_libevent", three.clone()),
        ] {
            let path = out.join(format!("{program}{linked}"));
            // libevent is linked to the shared library only.
            if (program, linked) == ("session_libevent", "-static") {
                continue;
            }
            let said = run(without_the_clock(&path).args(arguments));
            let offset = said
                .split(' ')
                .find_map(|word| word.starts_with('+').then(|| word.parse::<f64>().ok())?);
            let error = offset.expect("an offset") - TRUTH;
            println!("{name} {program}{linked}: error {:+.1} µs: {}", error * 1e6, said.trim_end());
            assert!(error.abs() < 1e-3, "{said}");
        }
    }
}

#[test]
fn the_makefile_installs_what_the_examples_need() {
    let install = |name: &str, flags: &str| {
        let prefix = prefix(name);
        run(Command::new("make")
            .args(["-C", PACKAGE, "install"])
            .arg(format!("PREFIX={}", prefix.display()))
            .arg(format!("CARGO={}", env!("CARGO")))
            .arg(format!("CARGOFLAGS={flags}"))
            .arg(format!("CARGO_TARGET_DIR={}/ffi", env!("CARGO_TARGET_TMPDIR")))
            .env_remove("MAKEFLAGS"));
        prefix
    };
    let without = install("make-without-https", "--no-default-features --features clock");
    sizes(&without, "without HTTPS", 790);
    let prefix = install("make", "");
    sizes(&prefix, "with HTTPS", 1900);
    try_examples("make", &prefix);
}

#[test]
fn cargo_c_installs_what_the_examples_need() {
    let prefix = prefix("cargo-c");
    run(Command::new("cargo")
        .args(["cinstall", "--profile", "release-c", "--manifest-path"])
        .arg(Path::new(PACKAGE).join("Cargo.toml"))
        .arg("--prefix")
        .arg(&prefix)
        .args(["--libdir", "lib", "--target-dir"])
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("cargo-c")));
    let dynamic = run(Command::new("readelf").arg("-d").arg(prefix.join("lib/libhttptime.so")));
    assert!(dynamic.contains("[libhttptime.so.0]"), "{dynamic}");
    assert!(prefix.join("lib/libhttptime.so.0").exists());
    try_examples("cargo-c", &prefix);
}

/// The sizes in docs/c-api.md, and the limit in KiB that it promises.
fn sizes(prefix: &Path, build: &str, limit: u64) {
    let out = scratch("sizes");
    run(Command::new("make")
        .arg("-B")
        .arg("-C")
        .arg(examples())
        .arg(format!("OUT={}", out.display()))
        .arg(format!("{}/query-static", out.display()))
        .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"))
        .env_remove("MAKEFLAGS"));
    let stripped = |from: PathBuf, name: &str| {
        let to = out.join(name);
        run(Command::new("strip").arg("-o").arg(&to).arg(from));
        fs::metadata(to).expect("a file").len()
    };
    let shared = stripped(prefix.join("lib/libhttptime.so"), "shared");
    let program = stripped(out.join("query-static"), "program");
    println!("sizes {build}: shared library {shared} bytes, query-static {program} bytes");
    assert!(shared <= limit * 1024, "the shared library {build} has {shared} bytes");
    let guide = fs::read_to_string(Path::new(PACKAGE).join("../../docs/c-api.md"));
    let guide = guide.expect("docs/c-api.md");
    for (file, size) in [("shared library", shared), ("query-static", program)] {
        let row = format!("{file}, {build}, stripped");
        let line = guide.lines().find(|line| line.starts_with(&format!("| {row} |")));
        let stated =
            line.and_then(|line| line.split('|').nth(2)?.trim().split(' ').next()?.parse().ok());
        let stated: u64 = stated.unwrap_or_else(|| panic!("no row {row:?} in docs/c-api.md"));
        assert!(
            stated.abs_diff(size / 1024) * 20 <= stated,
            "docs/c-api.md says {stated} KiB for {row}; it is {} KiB",
            size / 1024
        );
    }
}
