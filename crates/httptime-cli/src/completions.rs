//! The completions of the shells in `dist/completions`, generated from the parser of the command
//! line. The program does not contain their generator, which would make it larger.

use std::path::Path;
use std::{env, fs};

use clap::CommandFactory as _;
use clap_complete::{Generator as _, Shell};

use crate::args::Args;

/// `UPDATE=1 cargo test -p httptime-cli completions` writes them again.
#[test]
fn the_completions_are_those_of_the_parser() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/completions");
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut generated = Vec::new();
        clap_complete::generate(shell, &mut Args::command(), "httptime", &mut generated);
        let file = directory.join(shell.file_name("httptime"));
        if env::var_os("UPDATE").is_some() {
            fs::write(&file, &generated).expect("written");
        }
        let checked_in = fs::read(&file).unwrap_or_default();
        assert!(checked_in == generated, "{} is old: run with UPDATE=1", file.display());
    }
}
