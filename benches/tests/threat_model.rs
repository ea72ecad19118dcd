//! docs/threat-model.md names a test for each attack. This test checks that each of them exists and
//! is a test.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_attack_has_its_tests_and_each_of_them_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("docs/threat-model.md")).expect("the document");
    let mut attacks = 0;
    for row in text.lines().filter(|line| line.starts_with("| ") && line.ends_with(" |")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let &[attack, verdict, _, tests] = &cells[..] else { continue };
        if attack == "attack" {
            continue;
        }
        attacks += 1;
        assert!(["prevented", "bounded", "not prevented"].contains(&verdict), "{row}");
        for name in tests.split(", ") {
            let (place, test) = name.split_once(": `").expect(row);
            let test = test.strip_suffix('`').expect(row);
            let files = sources(&root.join("crates").join(place));
            assert!(files.iter().any(|file| is_test(file, test)), "{place} has no test {test}");
        }
    }
    assert!(attacks >= 40, "only {attacks} rows were understood");
}

/// Whether a function of that name has a test attribute.
fn is_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let declaration = format!("fn {name}(");
    lines.iter().position(|line| line.starts_with(&declaration)).is_some_and(|at| {
        let mut attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        attributes.any(|line| *line == "#[test]")
    })
}

/// All Rust files in and below a directory.
fn sources(directory: &PathBuf) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap_or_else(|_| panic!("{}", directory.display()));
    let paths = entries.map(|entry| entry.expect("readable").path());
    paths
        .flat_map(|path| match path.extension() {
            _ if path.is_dir() => sources(&path),
            Some(kind) if kind == "rs" => vec![fs::read_to_string(&path).expect("text")],
            _ => Vec::new(),
        })
        .collect()
}
