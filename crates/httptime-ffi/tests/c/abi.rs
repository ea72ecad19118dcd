use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::toolchain::{Linking, PACKAGE, SONAME, compile, published, run};

fn header() -> String {
    fs::read_to_string(Path::new(PACKAGE).join("include/httptime.h")).expect("the header")
}

/// The functions that the header declares.
fn declared() -> BTreeSet<String> {
    header()
        .lines()
        .filter(|line| !line.starts_with("//") && !line.starts_with(['#', ' ', '*']))
        .filter(|line| !line.starts_with("typedef"))
        .filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next().map(str::to_owned))
        .filter(|name| name.starts_with("httptime_"))
        .collect()
}

#[test]
fn the_shared_library_exports_what_the_header_declares_and_nothing_else() {
    let symbols = run(Command::new("nm")
        .args(["-D", "--defined-only", "--format=posix"])
        .arg(published().join(SONAME)));
    let exported: BTreeSet<String> =
        symbols.lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect();
    assert_eq!(exported, declared());
}

#[test]
fn the_shared_library_has_its_soname() {
    let dynamic = run(Command::new("readelf").arg("-d").arg(published().join(SONAME)));
    let named = dynamic.lines().filter(|line| line.contains("(SONAME)"));
    let names: Vec<&str> = named.filter_map(|line| line.rsplit('[').next()).collect();
    assert_eq!(names, [format!("{SONAME}]")]);
}

#[test]
fn the_suite_calls_every_function() {
    let suite = fs::read_to_string(Path::new(PACKAGE).join("tests/c/suite.c")).expect("the suite");
    let missing: Vec<String> =
        declared().into_iter().filter(|name| !suite.contains(name.as_str())).collect();
    assert!(missing.is_empty() && declared().len() > 40, "{missing:?}");
}

#[test]
fn the_header_is_clean_under_every_standard() {
    for (compiler, standard) in
        [("c", "c99"), ("c", "c11"), ("c", "c17"), ("c", "c2x"), ("c++", "c++17")]
    {
        let standard = format!("-std={standard}");
        let flags = if compiler == "c" {
            vec![standard.as_str()]
        } else {
            vec![standard.as_str(), "-x", "c++"]
        };
        // Behind `-x` the archive would be taken for source: only the shared library for that.
        let name = format!("standards{standard}");
        let program = compile("standards.c", &name, Linking::Shared, &flags);
        let said = run(&mut Command::new(program));
        assert!(said.ends_with("cannot be used\n"), "{said}");
    }
}
