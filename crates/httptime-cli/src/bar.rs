//! The progress of a measurement on stderr.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use httptime::Progress;
use httptime::net::now;
use httptime::session::Event;
use httptime::{Client, Update};
use httptime::{Error, LocalInstant};

use crate::args::Output;

/// Shows how the uncertainty shrinks and which requests were lost. With `--verbose` there is a line
/// for each response and each loss. Otherwise there is one line that is rewritten, and only on a
/// terminal.
#[derive(Debug)]
pub(crate) struct Bar {
    mode: Mode,
    /// The limit of requests to all servers together.
    limit: u32,
    servers: Vec<Server>,
    /// The text that the line shows now.
    line: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Silent,
    Progress,
    Lines,
}

/// The state of one server.
#[derive(Debug, Clone, Default)]
struct Server {
    requests: u32,
    answers: u32,
    unknown: Option<Duration>,
    /// The reason why it does not answer now.
    last_failure: Option<String>,
}

impl Bar {
    pub(crate) fn new(client: &Client, output: &Output) -> Self {
        let mode = match (output.verbose, io::stderr().is_terminal() && !output.json) {
            (true, _) => Mode::Lines,
            (false, true) => Mode::Progress,
            (false, false) => Mode::Silent,
        };
        Self::of(mode, client.urls().count(), client.config().limits().requests())
    }

    fn of(mode: Mode, servers: usize, requests: u32) -> Self {
        let limit = requests.saturating_mul(u32::try_from(servers).unwrap_or(u32::MAX));
        Self { mode, limit, servers: vec![Server::default(); servers], line: String::new() }
    }

    pub(crate) fn show(&mut self, update: &Update<'_>) {
        if self.mode == Mode::Silent {
            return;
        }
        let text = self.text(update.server(), update.event(), update.progress(), now());
        if self.mode == Mode::Progress && text == self.line {
            return;
        }
        // A progress line that cannot be written is not an error.
        let _ = io::stderr().write_all(text.as_bytes());
        self.line = text;
    }

    pub(crate) fn clear(&mut self) {
        if self.mode == Mode::Progress {
            let _ = io::stderr().write_all(REWRITE.as_bytes());
        }
    }

    /// The text to write after this event.
    fn text(
        &mut self,
        server: usize,
        event: &Event,
        progress: &Progress,
        now: LocalInstant,
    ) -> String {
        let several = self.servers.len() > 1;
        let name = if several { format!("server {}: ", server + 1) } else { String::new() };
        let Some(seen) = self.servers.get_mut(server) else { return String::new() };
        seen.requests = progress.requests();
        seen.unknown = progress.remaining_uncertainty().map(|unknown| unknown.width());
        // Only the next event shows whether the request is retried.
        let lost = seen.last_failure.take();
        match event {
            Event::Answered { .. } => seen.answers += 1,
            Event::Lost { error, retry_at } => {
                let pause = retry_at.saturating_since(now).as_secs_f64();
                seen.last_failure =
                    Some(format!("{name}{}, retrying in {pause:.1} s", cause(error)));
            }
            Event::Fallback { error, method } => {
                seen.last_failure =
                    Some(format!("{name}{}, trying the method {method}", cause(error)));
            }
            Event::Ended { error: Some(error) } => {
                seen.last_failure = Some(format!("{name}{}, given up", cause(error)));
            }
            _ if self.mode == Mode::Progress => seen.last_failure.clone_from(&lost),
            _ => {}
        }
        match self.mode {
            Mode::Silent => String::new(),
            Mode::Progress => self.line(server),
            Mode::Lines => {
                Self::lines(&self.servers[server], server, several, event, lost, progress)
            }
        }
    }

    /// One line about all servers. The latest error is that of `server`, if it has one.
    fn line(&self, server: usize) -> String {
        let requests: u32 = self.servers.iter().map(|server| server.requests).sum();
        let mut line = format!("{requests}/{} requests", self.limit);
        if let Some(unknown) = self.servers.iter().filter_map(|server| server.unknown).min() {
            line += &format!(", within {}", span(unknown));
        }
        let others = self.servers.iter();
        let mut failures = self.servers[server..].iter().chain(others);
        if let Some(last_failure) = failures.find_map(|server| server.last_failure.as_ref()) {
            line += &format!("; {last_failure}");
        }
        // A line that the terminal wraps could not be erased.
        let line: String = line.chars().take(COLUMNS).collect();
        format!("{REWRITE}{line}")
    }

    /// A line for a finished event: a response, or a loss that did not end the session.
    fn lines(
        seen: &Server,
        server: usize,
        several: bool,
        event: &Event,
        lost: Option<String>,
        progress: &Progress,
    ) -> String {
        let ended = matches!(event, Event::Ended { error: Some(_) });
        let mut text = match (lost, &seen.last_failure) {
            // With a single server the result reports it.
            (_, Some(given_up)) if ended && several => format!("{given_up}\n"),
            (Some(lost), _) if !ended => format!("{lost}\n"),
            _ => String::new(),
        };
        let answered = matches!(event, Event::Answered { .. });
        if let (true, Some(unknown), Some(rtt)) =
            (answered, progress.remaining_uncertainty(), progress.round_trip_last())
        {
            text += &format!(
                "server {} answer {:>2}  rtt {:>9}  {}  {:>9} wide around {:.6} s\n",
                server + 1,
                seen.answers,
                span(rtt),
                draw_width(unknown.width()),
                span(unknown.width()),
                unknown.midpoint()
            );
        }
        text
    }
}

/// The system's text if there is one: the result contains the address.
fn cause(error: &Error) -> String {
    error.io().map_or_else(|| error.to_string(), ToString::to_string)
}

/// The width on a logarithmic scale, one cell per halving: full at a second, empty below 4 µs.
fn draw_width(width: Duration) -> String {
    const CELLS: usize = 18;
    let filled =
        (1..=CELLS).filter(|halvings| width > Duration::from_secs(1) / (1 << halvings)).count();
    format!("[{}{}]", "#".repeat(filled), ".".repeat(CELLS - filled))
}

/// A duration for people: three or four digits and a unit.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match duration.as_nanos() {
        0..1_000 => format!("{} ns", duration.as_nanos()),
        1_000..1_000_000 => format!("{:.1} µs", seconds * 1e6),
        1_000_000..1_000_000_000 => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}

/// Returns to the beginning of the line and erases it.
const REWRITE: &str = "\r\x1b[K";
/// The width of the narrowest usual terminal, without the last column.
const COLUMNS: usize = 79;

#[cfg(test)]
mod tests {
    use std::io;

    use httptime::IoError;
    use httptime::net::cross_timestamp;

    use super::*;

    fn refused() -> Error {
        let source = IoError::from(io::Error::from(io::ErrorKind::ConnectionRefused));
        Error::Connect { address: ([192, 0, 2, 1], 80).into(), source }
    }

    fn lost() -> Event {
        Event::Lost { error: refused(), retry_at: LocalInstant::from_nanos(200_000_000) }
    }

    fn after(bar: &mut Bar, server: usize, event: &Event) -> String {
        bar.text(server, event, &Progress::new(cross_timestamp(), 100), LocalInstant::from_nanos(0))
    }

    const DROPPED: Event = Event::Dropped;

    #[test]
    fn a_lost_request_shows_in_the_line_until_there_is_an_answer_or_the_session_ends() {
        let mut bar = Bar::of(Mode::Progress, 2, 24);
        let shown = after(&mut bar, 1, &lost());
        assert_eq!(shown, "\r\x1b[K0/48 requests; server 2: connection refused, retrying in 0.2 s");
        assert_eq!(after(&mut bar, 0, &DROPPED), shown);
        assert_eq!(after(&mut bar, 1, &DROPPED), shown);
        let given_up = after(&mut bar, 1, &Event::Ended { error: Some(refused()) });
        assert!(given_up.ends_with("; server 2: connection refused, given up"), "{given_up}");
    }

    #[test]
    fn a_line_fits_a_terminal() {
        let mut bar = Bar::of(Mode::Progress, 1, 24);
        let error = Error::MalformedDate { value: "x".repeat(100) };
        let line = after(&mut bar, 0, &Event::Ended { error: Some(error) });
        assert_eq!(line.chars().count(), REWRITE.len() + COLUMNS);
    }

    #[test]
    fn verbose_lines_name_a_loss_when_it_is_retried_and_a_server_that_is_given_up() {
        let mut bar = Bar::of(Mode::Lines, 2, 24);
        assert_eq!(after(&mut bar, 1, &lost()), "");
        assert_eq!(
            after(&mut bar, 1, &DROPPED),
            "server 2: connection refused, retrying in 0.2 s\n"
        );
        assert_eq!(after(&mut bar, 1, &lost()), "");
        let ended = Event::Ended { error: Some(refused()) };
        assert_eq!(after(&mut bar, 1, &ended), "server 2: connection refused, given up\n");
    }
}
