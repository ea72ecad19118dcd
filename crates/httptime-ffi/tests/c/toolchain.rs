//! The library as a C programmer gets it, and the compiler.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, OnceLock, PoisonError};

pub(crate) const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");
pub(crate) const SONAME: &str = "libhttptime.so.0";

/// The directory of `libhttptime.so` and `libhttptime.a`, built with all features, including the
/// hook for tests.
pub(crate) fn library() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let place = scratch("lib");
        build(&["--all-features"], &place);
        place
    })
}

/// The same with the default features only, as published.
pub(crate) fn published() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let place = scratch("published");
        build(&[], &place);
        place
    })
}

/// The same without the feature `clock`.
pub(crate) fn without_clock() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let place = scratch("without-clock");
        build(&["--no-default-features"], &place);
        place
    })
}

fn build(arguments: &[&str], place: &Path) {
    // One after the other: all of them write their result to the same place.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    // The target directory of these tests, where their dependencies are already compiled.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("..");
    run(Command::new(env!("CARGO"))
        .args(["build", "--manifest-path"])
        .arg(Path::new(PACKAGE).join("Cargo.toml"))
        .args(arguments)
        .arg("--target-dir")
        .arg(&target));
    let built = target.join("debug");
    fs::copy(built.join("libhttptime_ffi.so"), place.join(SONAME)).expect("the shared library");
    fs::copy(built.join("libhttptime_ffi.a"), place.join("libhttptime.a")).expect("the archive");
    let link = place.join("libhttptime.so");
    let _ = fs::remove_file(&link);
    symlink(SONAME, link).expect("a link");
}

/// A directory of this name for files of this run.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c").join(name);
    fs::create_dir_all(&place).expect("a directory");
    place
}

/// How a program is linked to the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linking {
    Shared,
    Static,
}

/// A C program under `tests/c`, compiled.
pub(crate) fn compile(source: &str, name: &str, linking: Linking, flags: &[&str]) -> PathBuf {
    let compiler = if flags.iter().any(|flag| flag.contains("c++")) { "g++" } else { "gcc" };
    let program = scratch("bin").join(name);
    // The linker searches libraries in their order.
    let (libraries, flags): (Vec<&str>, Vec<&str>) =
        flags.iter().partition(|flag| flag.starts_with("-l"));
    let mut command = Command::new(compiler);
    command
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-O1"])
        .args(flags)
        .arg("-o")
        .arg(&program)
        .arg(format!("-I{PACKAGE}/include"))
        .arg(Path::new(PACKAGE).join("tests/c").join(source));
    match linking {
        Linking::Shared => {
            let place = library().display();
            command.arg(format!("-L{place}")).arg("-lhttptime").arg(format!("-Wl,-rpath,{place}"));
        }
        Linking::Static => {
            command.arg(library().join("libhttptime.a")).args(["-ldl", "-lm"]);
        }
    }
    run(command.args(libraries).arg("-lpthread"));
    program
}

/// Runs a command, which must succeed.
pub(crate) fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}{stderr}");
    format!("{stdout}{stderr}")
}

/// A command that cannot set the clock, even if root runs the tests: it has no `CAP_SYS_TIME`.
pub(crate) fn without_the_clock(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-sys_time", "--inh-caps", "-sys_time", "--no-new-privs"]);
    if !is_root() {
        command = Command::new("env");
    }
    command.arg(program);
    command
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}
