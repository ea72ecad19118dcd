//! Runs the commands that come through the virtio port: a line of JSON in, a line of JSON out.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{io, path::PathBuf};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use crate::Outcome;

const STDOUT: &str = "/tmp/stdout";
const STDERR: &str = "/tmp/stderr";

/// Ends when the test does, whatever becomes of it: the machine then powers off.
pub(crate) fn run() -> Outcome {
    let path = port()?;
    let mut port = OpenOptions::new().read(true).write(true).open(&path)?;
    let mut lines = BufReader::new(port.try_clone()?);
    writeln!(port, "{}", json!({ "ready": true }))?;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let command: Value = serde_json::from_str(&line)?;
        let run = command["run"].as_str().ok_or("no command")?;
        let limit = Duration::from_millis(command["limit_ms"].as_u64().ok_or("no limit")?);
        let mut answer = execute(run, limit)?.to_string();
        answer.push('\n');
        port.write_all(answer.as_bytes())?;
    }
}

fn port() -> io::Result<PathBuf> {
    for entry in fs::read_dir("/dev")? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vport")) {
            return Ok(path);
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "no virtio port"))
}

/// Its output goes to files: a process that it leaves behind holds nothing up.
fn execute(run: &str, limit: Duration) -> io::Result<Value> {
    for file in [STDOUT, STDERR] {
        let _ = fs::remove_file(file);
    }
    let mut child = Command::new("/bin/sh")
        .args(["-c", run])
        .stdin(Stdio::null())
        .stdout(File::create(STDOUT)?)
        .stderr(File::create(STDERR)?)
        .process_group(0)
        .spawn()?;
    let status = wait(&mut child, limit)?;
    let text = |file| fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(json!({
        "status": status.and_then(|status| status.code()),
        "signal": status.and_then(|status| status.signal()),
        "timed_out": status.is_none(),
        "stdout": text(STDOUT)?,
        "stderr": text(STDERR)?,
    }))
}

/// How it ended; killed with all its group when it took too long.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}
