//! The systemd units and the other files that are installed beside the program.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::daemon::fresh_directory;

const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/dist/systemd");

fn units() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(UNITS)
        .expect("units")
        .map(|unit| unit.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    names
}

#[test]
fn systemd_takes_the_units() {
    let directory = fresh_directory("units");
    for unit in units() {
        let text = fs::read_to_string(Path::new(UNITS).join(&unit)).expect("a unit");
        // Nothing is installed here: the units get another program, no manual, and no chronyd to
        // require.
        let text: String = text
            .replace("/usr/bin/httptime", env!("CARGO_BIN_EXE_httptime"))
            .lines()
            .filter(|line| !line.starts_with("Documentation=") && !line.starts_with("Requires="))
            .map(|line| line.to_owned() + "\n")
            .collect();
        fs::write(directory.join(&unit), text).expect("a file");
    }
    for unit in units() {
        let output = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(directory.join(&unit))
            .output()
            .expect("systemd must be installed");
        let said = String::from_utf8_lossy(&output.stderr);
        let ours: Vec<&str> = said.lines().filter(|line| line.contains("httptime")).collect();
        assert!(output.status.success() && ours.is_empty(), "{unit}: {said}");
    }
    fs::remove_dir_all(directory).expect("removed");
}

#[test]
fn systemd_rates_the_services_as_hardened() {
    for unit in units().iter().filter(|unit| unit.ends_with(".service")) {
        let output = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
            .arg(Path::new(UNITS).join(unit))
            .output()
            .expect("systemd must be installed");
        let said = String::from_utf8_lossy(&output.stdout);
        println!("{}", said.lines().last().unwrap_or_default());
        assert!(output.status.success(), "{unit}: {said}");
    }
}
