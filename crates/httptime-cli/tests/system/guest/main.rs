//! The program that the system tests use in their test machine and at the host's end of its only
//! port: an agent that runs commands, and commands that set the machine's clock. It is built with
//! the feature `system-tests` only and never installed.
#![forbid(unsafe_code)]

mod agent;
mod clock;
mod relay;

use std::net::UdpSocket;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::{env, fs};

/// A word on the kernel's command line that only a test machine has.
const MARK: &str = "httptime-test-machine";

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        // On the host. Nothing may be printed: standard error is also connected to the network.
        ["relay", to] => relay::run(to),
        _ if !is_test_machine() => Err("this is not a test machine: refused".into()),
        ["agent"] => agent::run(),
        ["compare-clocks", with, times] => clock::compare(with, times),
        ["set-clock-forward", nanos] => clock::set_forward(nanos),
        ["rtc"] => clock::rtc(),
        ["as-nobody", program, ..] => as_nobody(program, &words[2..]),
        ["send-datagram", to] => send_datagram(to),
        _ => Err(format!("not understood: {words:?}").into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if words.first() != Some(&"relay") {
                eprintln!("httptime-test-guest: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Whether this is a machine whose clock the tests may set.
fn is_test_machine() -> bool {
    fs::read_to_string("/proc/cmdline")
        .is_ok_and(|line| line.split_whitespace().any(|word| word == MARK))
}

/// Executes another program without privileges.
fn as_nobody(program: &str, arguments: &[&str]) -> Outcome {
    const NOBODY: u32 = 65_534;
    Err(Command::new(program).args(arguments).uid(NOBODY).gid(NOBODY).exec().into())
}

/// Busybox's `nc` does not support UDP.
fn send_datagram(to: &str) -> Outcome {
    UdpSocket::bind("0.0.0.0:0")?.send_to(b"hello", to)?;
    Ok(())
}
