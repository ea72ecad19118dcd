//! Load on the machine during a measurement.

use std::fmt;
use std::io;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::thread;

/// A kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// No load.
    Idle,
    /// A process of equal priority spins for each processor.
    Spinners,
    /// This process is stopped and continued at random moments, every 5 to 50 ms.
    Stops,
}

/// A running load. Dropping it stops it.
#[derive(Debug)]
pub struct Running(Vec<Child>);

impl Load {
    /// Starts the load.
    ///
    /// # Errors
    /// When a process cannot be started.
    pub fn start(self) -> io::Result<Running> {
        let mut running = Running(Vec::new());
        let count = if self == Self::Spinners { thread::available_parallelism()?.get() } else { 1 };
        let script = match self {
            Self::Idle => return Ok(running),
            Self::Spinners => SPIN.to_owned(),
            Self::Stops => STOP.replace("PID", &std::process::id().to_string()),
        };
        for _ in 0..count {
            // Stops by itself if this process does not stop it.
            let child = Command::new("timeout")
                .args(["3600", "bash", "-c", &script])
                .stdin(Stdio::null())
                .spawn()?;
            running.0.push(child);
        }
        Ok(running)
    }
}

impl FromStr for Load {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "idle" => Ok(Self::Idle),
            "spinners" => Ok(Self::Spinners),
            "stops" => Ok(Self::Stops),
            _ => Err("choose idle, spinners or stops"),
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle",
            Self::Spinners => "spinners",
            Self::Stops => "stops",
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // SIGTERM, which `timeout` passes on.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }
}

const SPIN: &str = "while :; do :; done";
/// Stops together with the process that it stops and continues, or when it is told to. It never
/// exits while that process is stopped.
const STOP: &str = "\
trap 'kill -CONT PID; exit' TERM
pause() { sleep $(printf '0.%03d' $((5 + RANDOM % 46))); }
while kill -STOP PID; do pause; kill -CONT PID; pause; done 2>/dev/null";
