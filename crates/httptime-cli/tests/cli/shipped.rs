//! The files that are installed beside the program: what an operator copies must work.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{program, text};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dist").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(shipped(name)).expect("a file")
}

/// The values of `HTTPTIME_SYNC`, also in comments.
fn examples(text: &str) -> Vec<Vec<String>> {
    let lines = text.lines().filter_map(|line| {
        let line = line.trim_start_matches(['#', ' ']);
        line.strip_prefix("HTTPTIME_SYNC=\"")?.strip_suffix('"')
    });
    lines.map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

#[test]
fn each_example_limits_how_far_forward_and_says_whether_few_servers_are_trusted() {
    let all = [read("httptime.default"), read("systemd/httptime-sync.service")];
    let all: Vec<Vec<String>> = all.iter().flat_map(|text| examples(text)).collect();
    assert_eq!(all.len(), 3, "{all:?}");
    for example in all {
        let has = |option: &str| example.iter().any(|word| word == option);
        let servers = example.iter().filter(|word| word.starts_with("http://")).count();
        assert!(has("--max-forward"), "{example:?}");
        assert_eq!(has("--trust-single"), servers < 3, "{example:?}");
        // Port 9 of this machine in place of the servers: the options must be known.
        let options = example.iter().filter(|word| !word.starts_with("http://"));
        let done = program()
            .args(["sync", "--dry-run", "--timeout", "1", "http://127.0.0.1:9/"])
            .args(options)
            .output()
            .expect("the program starts");
        assert_eq!(done.status.code(), Some(1), "{example:?}: {done:?}");
    }
}

/// `hostid` is derived from the address of the name of the machine: on Debian that is 127.0.1.1 for
/// all.
#[test]
fn cron_spreads_the_requests_by_the_machine_s_own_identity() {
    let line = read("cron.d/httptime");
    let line = line.lines().last().expect("a line");
    assert!(line.contains("/etc/machine-id") && !line.contains("hostid"), "{line}");
    let (_, seconds) = line.split_once("sleep ").expect("a wait");
    let (seconds, _) = seconds.split_once(" && ").expect("its end");
    // cron replaces a percent sign without a backslash by a new line.
    let script = format!("echo {}", seconds.replace("\\%", "%"));
    let of = |identity: &str| -> u32 {
        let read = "cat /etc/machine-id /proc/sys/kernel/hostname 2>/dev/null";
        let script = script.replace(read, &format!("echo {identity}"));
        let done = Command::new("sh").args(["-c", &script]).output().expect("a shell");
        text(&done.stdout).trim().parse().unwrap_or_else(|error| panic!("{error}: {done:?}"))
    };
    let waits: Vec<u32> = ["a", "b", "c", "d"].iter().map(|identity| of(identity)).collect();
    assert!(waits.iter().all(|wait| *wait < 600), "{waits:?}");
    assert!(waits.windows(2).all(|pair| pair[0] != pair[1]), "{waits:?}");
}

#[test]
fn the_service_that_syncs_once_starts_at_boot_and_tries_again() {
    let unit = read("systemd/httptime-sync.service");
    for line in ["Restart=on-failure", "RestartSec=30", "WantedBy=multi-user.target"] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
    // Only a service that repeats within itself holds time-sync.target.
    assert!(unit.contains("httptime sync --retry 1000 --retry-max-time 200 $"), "{unit}");
    let timer = read("systemd/httptime-sync.timer");
    assert!(timer.lines().any(|line| line == "Also=httptime-sync.service"), "{timer}");
}

/// cargo installs into a directory of the user, where `sudo` does not look.
#[test]
fn a_readme_that_installs_with_cargo_gives_sudo_the_whole_path() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut installing = 0;
    for readme in ["README.md", "../../README.md", "../../README.zh-CN.md"] {
        let text = fs::read_to_string(root.join(readme)).expect("a file");
        if text.contains("cargo install httptime-cli") {
            installing += 1;
            assert!(!text.contains("sudo httptime"), "{readme}");
        }
    }
    assert!(installing > 0, "none installs with cargo");
}

/// The words that bash offers for the last word of a command line.
fn offered_by_bash(words: &[&str]) -> Vec<String> {
    let script = r#"source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _httptime httptime "${@:$#}" "${@:$#-1:1}"; printf '%s\n' "${COMPREPLY[@]}""#;
    let done = Command::new("bash")
        .args(["-c", script, "bash"])
        .arg(shipped("completions/httptime.bash"))
        .args(words)
        .output()
        .expect("bash must be installed");
    assert!(done.stderr.is_empty(), "{done:?}");
    text(&done.stdout).split_whitespace().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_options() {
    let cases: [(&[&str], &[&str]); 3] = [
        (&["httptime", "st"], &["status"]),
        (&["httptime", "query", "--proxyt"], &["--proxytunnel"]),
        (&["httptime", "run", "--ch"], &["--check"]),
    ];
    for (words, offered) in cases {
        assert_eq!(offered_by_bash(words), offered, "{words:?}");
    }
}

/// Each command shows how it is used.
#[test]
fn the_examples_of_help_are_accepted_by_the_parser() {
    let mut tried = 0;
    let commands = ["", "query", "sync", "run", "status", "wait", "doctor", "survey", "demo"];
    for command in commands {
        let words = command.split_whitespace();
        let done = program().args(words).arg("--help").output().expect("the program starts");
        let help = text(&done.stdout);
        let (_, after) = help.split_once("Examples:\n").unwrap_or_else(|| panic!("{help}"));
        for example in after.lines().take_while(|line| !line.is_empty()) {
            // Up to a comment, a pipe or the next command.
            let line = example.trim_start().split("  ").next().unwrap_or_default();
            let words = line.split(' ').take_while(|word| !["|", "||", "&&"].contains(word));
            // With --help nothing is done, but what comes before it must be known.
            let mut given: Vec<&str> = words.skip(1).collect();
            given.push("--help");
            let done = program().args(&given).output().expect("the program starts");
            assert_eq!(done.status.code(), Some(0), "{example}: {done:?}");
            tried += 1;
        }
    }
    assert!(tried >= 20, "{tried}");
}
