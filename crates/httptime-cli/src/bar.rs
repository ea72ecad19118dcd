//! The progress of a measurement on stderr.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use httptime::Progress;
use httptime::net::now;
use httptime::session::Event;
use httptime::{Client, Update};
use httptime::{Error, LocalInstant, Span};
use terminal_size::{Width, terminal_size_of};

use crate::args::Output;
use crate::words::without_remedy;

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
    /// Of the terminal, if there is one.
    columns: Option<usize>,
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
    /// Whether its last answer was used by its stamp.
    is_stamped: bool,
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
        let columns = columns();
        Self {
            columns,
            ..Self::of(mode, client.urls().count(), client.config().limits().requests())
        }
    }

    fn of(mode: Mode, servers: usize, requests: u32) -> Self {
        let limit = requests.saturating_mul(u32::try_from(servers).unwrap_or(u32::MAX));
        let servers = vec![Server::default(); servers];
        Self { mode, limit, servers, line: String::new(), columns: None }
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
        let mut notice = seen.last_failure.take();
        match event {
            Event::Answered { observation } => {
                seen.answers += 1;
                // Explains why the uncertainty grows.
                if seen.is_stamped && !observation.is_stamped() {
                    let answer = seen.answers;
                    notice = Some(format!(
                        "{name}no usable stamp in answer {answer}, measuring by the Date"
                    ));
                }
                seen.is_stamped = observation.is_stamped();
            }
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
                seen.last_failure = Some(format!("{name}{}; given up", cause(error)));
            }
            _ if self.mode == Mode::Progress => seen.last_failure.clone_from(&notice),
            _ => {}
        }
        match self.mode {
            Mode::Silent => String::new(),
            Mode::Progress => self.line(server),
            Mode::Lines => self.lines(server, event, notice, progress),
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
        let room = self.columns.unwrap_or(USUAL_COLUMNS).saturating_sub(1);
        let line: String = line.chars().take(room).collect();
        format!("{REWRITE}{line}")
    }

    /// A line for a finished event: a response, or a loss that did not end the session.
    fn lines(
        &self,
        server: usize,
        event: &Event,
        notice: Option<String>,
        progress: &Progress,
    ) -> String {
        let (seen, several) = (&self.servers[server], self.servers.len() > 1);
        let columns = self.columns.unwrap_or(usize::MAX);
        let ended = matches!(event, Event::Ended { error: Some(_) });
        let mut text = match (notice, &seen.last_failure) {
            // With a single server the result reports it.
            (_, Some(given_up)) if ended && several => format!("{given_up}\n"),
            (Some(notice), _) if !ended => format!("{notice}\n"),
            _ => String::new(),
        };
        let answered = matches!(event, Event::Answered { .. });
        if let (true, Some(unknown), Some(rtt)) =
            (answered, progress.remaining_uncertainty(), progress.round_trip_last())
        {
            let name = if several { format!("server {} ", server + 1) } else { String::new() };
            let start = format!("{name}answer {:>2}  ", seen.answers);
            let rtt = format!("rtt {:>7}  ", span(rtt));
            let width = unknown.width();
            let end = format!("within {:>7} of {:.6} s", span(width), unknown.midpoint());
            let length = |text: &str| text.chars().count();
            let room = columns.saturating_sub(length(&start) + length(&end) + BRACKETS);
            // A narrow terminal gets the drawing rather than the round trip.
            let (rtt, room) = match room.checked_sub(length(&rtt)) {
                Some(room) if room >= MIN_CELLS => (rtt.as_str(), room),
                _ => ("", room),
            };
            text += &format!("{start}{rtt}{}{end}\n", draw_width(width, room));
        }
        text
    }
}

/// The system's text if there is one: the result contains the address.
fn cause(error: &Error) -> String {
    let whole = error.io().map_or_else(|| error.to_string(), ToString::to_string);
    without_remedy(&whole).to_owned()
}

/// The width on a logarithmic scale: full at a second, empty below 4 µs. With all cells each is a
/// halving; a narrow terminal gets fewer, and none for fewer than [`MIN_CELLS`].
fn draw_width(width: Duration, cells: usize) -> String {
    let cells = cells.min(CELLS);
    if cells < MIN_CELLS {
        return String::new();
    }
    let halvings =
        (1..=CELLS).filter(|halvings| width > Duration::from_secs(1) / (1 << halvings)).count();
    let filled = (halvings * cells).div_ceil(CELLS);
    format!("[{}{}]  ", "#".repeat(filled), ".".repeat(cells - filled))
}

/// The columns of the terminal that stderr is, as `COLUMNS` says or else the terminal. `None` if it
/// is none.
fn columns() -> Option<usize> {
    let stated = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let asked = || terminal_size_of(io::stderr()).map(|(Width(columns), _)| usize::from(columns));
    stated.or_else(asked).filter(|columns| *columns > 0)
}

/// Returns to the beginning of the line and erases it.
const REWRITE: &str = "\r\x1b[K";
/// Of a terminal that does not say how wide it is.
const USUAL_COLUMNS: usize = 80;
/// Of the drawing at its widest.
const CELLS: usize = 18;
/// With fewer, nothing could be seen.
const MIN_CELLS: usize = 6;
/// Around the cells, and the space behind them.
const BRACKETS: usize = 4;

fn span(duration: Duration) -> String {
    Span::new(duration).to_string()
}

#[cfg(test)]
mod tests {
    use std::io;

    use httptime::net::cross_timestamp;
    use httptime::server::Lag;
    use httptime::{Exchange, IoError, Observation, Stamp};

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
        assert!(given_up.ends_with("; server 2: connection refused; given up"), "{given_up}");
    }

    #[test]
    fn a_line_fits_a_terminal() {
        let mut bar = Bar::of(Mode::Progress, 1, 24);
        let error = Error::MalformedDate { value: "x".repeat(100) };
        let line = after(&mut bar, 0, &Event::Ended { error: Some(error) });
        assert_eq!(line.chars().count(), REWRITE.len() + USUAL_COLUMNS - 1);
    }

    /// An answer, with this stamp.
    fn answered(stamp: Option<Stamp>) -> Event {
        let clocks = cross_timestamp();
        let sent = clocks.instant();
        let mut exchange = Exchange::from_parts_unchecked(sent, sent, clocks.wall());
        if let Some(stamp) = stamp {
            exchange = exchange.with_stamp(stamp);
        }
        let observation = Observation::new(clocks, &exchange, Lag::unknown()).expect("in order");
        Event::Answered { observation }
    }

    #[test]
    fn verbose_lines_name_the_first_answer_after_one_with_a_stamp() {
        let mut bar = Bar::of(Mode::Lines, 1, 24);
        let stamp = Stamp::new(cross_timestamp().wall(), Duration::from_micros(1));
        assert_eq!(after(&mut bar, 0, &answered(None)), "");
        assert_eq!(after(&mut bar, 0, &answered(Some(stamp))), "");
        assert_eq!(
            after(&mut bar, 0, &answered(None)),
            "no usable stamp in answer 3, measuring by the Date\n"
        );
        assert_eq!(after(&mut bar, 0, &answered(None)), "");
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
        assert_eq!(after(&mut bar, 1, &ended), "server 2: connection refused; given up\n");
    }
}
