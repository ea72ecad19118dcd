use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::toolchain::{Linking, PACKAGE, SONAME, compile, published, run, scratch, without_clock};

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
        // After `-x` the compiler would read the archive as source, so only the shared library is
        // used here.
        let name = format!("standards{standard}");
        let program = compile("standards.c", &name, Linking::Shared, &flags);
        let said = run(&mut Command::new(program));
        assert!(said.ends_with("cannot be used\n"), "{said}");
    }
}

#[test]
fn the_program_in_the_guide_and_that_in_the_header_compile() {
    let guide = fs::read_to_string(Path::new(PACKAGE).join("../../docs/c-api.md")).expect("it");
    let (_, program) = guide.split_once("```c\n").expect("a program");
    let (program, _) = program.split_once("```").expect("its end");
    let header = header();
    let lines = header.lines().take_while(|line| *line != " */");
    let shortest: String =
        lines.filter_map(|line| Some(format!("{}\n", line.strip_prefix(" *     ")?))).collect();
    assert!(shortest.contains("httptime_query"), "{shortest}");
    let body =
        format!("#include <httptime.h>\n#include <stdio.h>\nvoid f(void)\n{{\n{shortest}}}\n");
    for (name, text) in [("guide.c", program), ("shortest.c", &body)] {
        let file = scratch("guide").join(name);
        fs::write(&file, text).expect("a file");
        run(Command::new("gcc")
            .args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"])
            .arg(format!("-I{PACKAGE}/include"))
            .arg(file));
    }
}

#[test]
fn a_library_without_the_clock_exports_nothing_that_could_set_one() {
    let symbols =
        run(Command::new("nm").args(["-D", "--format=posix"]).arg(without_clock().join(SONAME)));
    for name in ["httptime_clock", "httptime_policy", "clock_adjtime", "clock_settime", "adjtime"] {
        assert!(!symbols.contains(name), "{symbols}");
    }
    assert!(symbols.contains("httptime_query"), "{symbols}");
}

/// `UPDATE=1` writes the record again: use it after a compatible change, or together with a new
/// SONAME.
#[cfg(feature = "system-tests")]
#[test]
fn the_abi_is_the_one_that_was_recorded() {
    // The functions of the header with empty bodies. They show how a C compiler represents the
    // types, independently of Rust's debugging information. The test above checks that the library
    // has exactly these functions.
    let declarations = header();
    let paragraphs = declarations.split("\n\n").map(|paragraph| {
        paragraph.lines().filter(|line| !line.starts_with("//")).collect::<Vec<_>>().join("\n")
    });
    let bodies: String = paragraphs
        .filter(|text| !text.starts_with("typedef"))
        .filter_map(|text| Some(format!("{} {{ __builtin_trap(); }}\n", text.strip_suffix(");")?)))
        .map(|text| text.replacen(" {", ") {", 1))
        .collect();
    assert_eq!(bodies.matches("__builtin_trap").count(), declared().len(), "{bodies}");
    let place = scratch("abi");
    fs::write(place.join("stub.c"), format!("#include \"httptime.h\"\n{bodies}")).expect("a file");
    run(Command::new("gcc")
        .args(["-g", "-w", "-shared", "-fPIC", "stub.c", "-o", "stub.so"])
        .arg(format!("-Wl,-soname,{SONAME}"))
        .arg(format!("-I{PACKAGE}/include"))
        .current_dir(&place));
    run(Command::new("abidw")
        .args(["--no-corpus-path", "--no-show-locs", "--no-comp-dir-path", "--no-elf-needed"])
        .args(["--out-file", "now.abi", "stub.so"])
        .current_dir(&place));
    let recorded = Path::new(PACKAGE).join("tests/c/httptime.abi");
    if std::env::var_os("UPDATE").is_some() {
        fs::copy(place.join("now.abi"), &recorded).expect("the record can be written");
    }
    run(Command::new("abidiff").arg(&recorded).arg(place.join("now.abi")));
}
