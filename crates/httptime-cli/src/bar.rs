use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use httptime::client::{Client, Update};
use httptime::session::Event;

use crate::args::Output;

/// Shows on stderr how what is unknown narrows: a line for each exchange under `--verbose`, else one line that is
/// rewritten, and only on a terminal.
#[derive(Debug)]
pub(crate) struct Bar {
    mode: Mode,
    limit: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Silent,
    Progress,
    Lines,
}

impl Bar {
    pub(crate) fn new(client: &Client, output: &Output) -> Self {
        let mode = match (output.verbose, io::stderr().is_terminal() && !output.json) {
            (true, _) => Mode::Lines,
            (false, true) => Mode::Progress,
            (false, false) => Mode::Silent,
        };
        Self { mode, limit: client.config().limits().requests() }
    }

    pub(crate) fn show(&mut self, update: &Update<'_>) {
        if !matches!(update.event(), Event::Answered { .. }) {
            return;
        }
        let progress = update.progress();
        let (Some(unknown), Some(rtt)) = (progress.unknown(), progress.round_trip_last()) else {
            return;
        };
        let requests = progress.requests();
        let width = unknown.width();
        // Nobody reads a progress line that cannot be written.
        let _ = match self.mode {
            Mode::Silent => Ok(()),
            Mode::Progress => {
                let limit = self.limit;
                write!(io::stderr(), "\r\x1b[K{requests}/{limit} requests, within {}", span(width))
            }
            Mode::Lines => writeln!(
                io::stderr(),
                "server {} request {requests:>2}  rtt {:>9}  {}  {:>9} wide around {:.6} s",
                update.server() + 1,
                span(rtt),
                drawn(width),
                span(width),
                unknown.midpoint()
            ),
        };
    }

    pub(crate) fn clear(&mut self) {
        if self.mode == Mode::Progress {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// The width on a logarithmic scale, a cell for each halving: full at a second, empty below 4 µs.
fn drawn(width: Duration) -> String {
    const CELLS: usize = 18;
    let filled =
        (1..=CELLS).filter(|halvings| width > Duration::from_secs(1) / (1 << halvings)).count();
    format!("[{}{}]", "#".repeat(filled), ".".repeat(CELLS - filled))
}

/// A length of time for people, three or four digits and a unit.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match duration.as_nanos() {
        0..1_000 => format!("{} ns", duration.as_nanos()),
        1_000..1_000_000 => format!("{:.1} µs", seconds * 1e6),
        1_000_000..1_000_000_000 => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}
