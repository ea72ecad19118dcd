//! Runs the commands that arrive through the virtio port: a line of JSON in, a line of JSON out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio, exit};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use crate::Outcome;

/// A command in its own process group. Its output goes to files, so that a process that it leaves
/// behind blocks nothing.
struct Job {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// Returns when the test ends, for whatever reason. Then the machine powers off.
pub(crate) fn run() -> Outcome {
    let mut port = BufReader::new(Port::open()?);
    let mut jobs = Vec::new();
    let mut answer = json!({ "ready": true });
    loop {
        port.get_mut().write_all((answer.to_string() + "\n").as_bytes())?;
        let mut line = String::new();
        if port.read_line(&mut line)? == 0 {
            return Ok(());
        }
        answer = run_order(&serde_json::from_str(&line)?, &mut jobs, port.get_ref())?;
    }
}

/// The machine's end of the virtio port. It waits in the kernel only in `poll`, and only in one
/// thread: Linux 6.1 does not wake a reader if another thread's `poll` saw its bytes first.
struct Port(File);

/// How often a port that has hung up is watched again, and after which pause: 3 s in all.
const HANG_UP_POLLS: u32 = 60;
const HANG_UP_PAUSE: Duration = Duration::from_millis(50);

impl Port {
    fn open() -> io::Result<Self> {
        let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).expect("a flag");
        let mut port = OpenOptions::new();
        port.read(true).write(true).custom_flags(nonblocking);
        Ok(Self(port.open(path()?)?))
    }

    /// Waits until the port is ready, or for this long. Exits when the test has gone. Otherwise a
    /// job would keep the machine running, and a later write would block without end.
    fn wait(&self, events: PollFlags, limit: Option<Duration>) -> io::Result<()> {
        let limit = limit.map(Timespec::try_from).transpose().expect("a short time");
        // For a moment after the machine has slept, the port looks as if the test had gone.
        for _ in 0..HANG_UP_POLLS {
            let mut watched = [PollFd::new(&self.0, events)];
            poll(&mut watched, limit.as_ref())?;
            // The kernel reports this event even if it is not requested.
            if !watched[0].revents().contains(PollFlags::HUP) {
                return Ok(());
            }
            sleep(HANG_UP_PAUSE);
        }
        exit(0)
    }
}

impl Read for Port {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait(PollFlags::IN, None)?;
        self.0.read(buffer)
    }
}

impl Write for Port {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait(PollFlags::OUT, None)?;
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn path() -> io::Result<PathBuf> {
    for entry in fs::read_dir("/dev")? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vport")) {
            return Ok(path);
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "no virtio port"))
}

/// Executes a request: `start` a command, `wait` this many milliseconds for the end of a job,
/// `signal` a job.
fn run_order(
    order: &Value,
    jobs: &mut Vec<Job>,
    port: &Port,
) -> Result<Value, Box<dyn std::error::Error>> {
    if let Some(command) = order["start"].as_str() {
        let job = Job::start(command, jobs.len())?;
        let answer = json!({ "job": jobs.len(), "pid": job.child.id() });
        jobs.push(job);
        return Ok(answer);
    }
    let number = usize::try_from(order["job"].as_u64().ok_or("no job")?)?;
    let job = jobs.get_mut(number).ok_or("no such job")?;
    if let Some(signal) = order["signal"].as_i64() {
        let signal = Signal::from_named_raw(i32::try_from(signal)?).ok_or("no such signal")?;
        let group = Pid::from_raw(i32::try_from(job.child.id())?).ok_or("no such process")?;
        kill_process_group(group, signal)?;
        return Ok(json!({}));
    }
    let limit = Duration::from_millis(order["wait_ms"].as_u64().ok_or("no order")?);
    Ok(job.wait(limit, port)?)
}

impl Job {
    fn start(command: &str, number: usize) -> io::Result<Self> {
        let stdout = PathBuf::from(format!("/tmp/{number}.out"));
        let stderr = PathBuf::from(format!("/tmp/{number}.err"));
        let child = Command::new("/bin/sh")
            .args(["-c", command])
            .stdin(Stdio::null())
            .stdout(File::create(&stdout)?)
            .stderr(File::create(&stderr)?)
            .process_group(0)
            .spawn()?;
        Ok(Self { child, stdout, stderr })
    }

    /// The output so far, and the exit status if the job has ended.
    fn wait(&mut self, limit: Duration, port: &Port) -> io::Result<Value> {
        let deadline = Instant::now() + limit;
        let mut ended = self.child.try_wait()?;
        while ended.is_none() && Instant::now() < deadline {
            port.wait(PollFlags::empty(), Some(Duration::from_millis(5)))?;
            ended = self.child.try_wait()?;
        }
        let text = |file| fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ok(json!({
            "status": ended.map(|how| how.code().unwrap_or(128 + how.signal().unwrap_or(0))),
            "stdout": text(&self.stdout)?,
            "stderr": text(&self.stderr)?,
        }))
    }
}
