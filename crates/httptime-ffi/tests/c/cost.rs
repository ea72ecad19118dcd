//! Start-up time and memory of the library, compared with libcurl.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::toolchain::{PACKAGE, SONAME, run, scratch};

const RUNS: usize = 101;

fn compile(source: &str, arguments: &[&str]) -> PathBuf {
    let program = scratch("bin").join(source.trim_end_matches(".c"));
    run(Command::new("gcc")
        .args(["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror"])
        .arg("-o")
        .arg(&program)
        .arg(format!("-I{PACKAGE}/include"))
        .arg(Path::new(PACKAGE).join("tests/c").join(source))
        .args(arguments));
    program
}

/// The median of the wall times from start to end, and of the peak memory in KiB.
fn measure(program: &Path, url: &str) -> (Duration, u64) {
    let mut times = Vec::new();
    let mut memory: Vec<u64> = Vec::new();
    for _ in 0..RUNS {
        let begun = Instant::now();
        let said = run(Command::new(program).arg(url));
        times.push(begun.elapsed());
        memory.push(said.trim().parse().expect("KiB"));
    }
    times.sort();
    memory.sort_unstable();
    (times[RUNS / 2], memory[RUNS / 2])
}

#[test]
fn one_request_costs_less_than_with_libcurl() {
    // As published: optimised and stripped.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ffi");
    run(Command::new(env!("CARGO"))
        .args(["build", "--profile", "release-c", "--manifest-path"])
        .arg(Path::new(PACKAGE).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target));
    let place = scratch("cost");
    for name in [SONAME, "libhttptime.so"] {
        std::fs::copy(target.join("release-c/libhttptime_ffi.so"), place.join(name)).expect("it");
    }
    let place = place.display();
    let ours = compile(
        "cost_httptime.c",
        &[&format!("-L{place}"), "-lhttptime", &format!("-Wl,-rpath,{place}")],
    );
    let theirs = compile("cost_curl.c", &["-lcurl"]);
    let nginx = Daemon::nginx("+0");
    let (our_time, our_memory) = measure(&ours, &nginx.url());
    let (their_time, their_memory) = measure(&theirs, &nginx.url());
    println!("cost: libhttptime, one request: {our_time:?}, {our_memory} KiB (medians of {RUNS})");
    println!("cost: libcurl, one HEAD:        {their_time:?}, {their_memory} KiB");
    assert!(our_memory < their_memory && our_time < their_time);
}
