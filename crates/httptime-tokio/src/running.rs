use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use httptime::LocalInstant;
use httptime::net::{cross_timestamp, now};
use httptime::session::{Action, ConnectionId, Event};
use httptime::survey::{Sessions, Survey};
use tokio::task::yield_now;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::resolve::{Lookup, Resolver};
use crate::socket::{Socket, SocketOptions};

/// A running survey: a stream of its events, which drives it. It makes progress only while it is
/// polled.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), httptime::Error> {
/// use httptime_tokio::Client;
///
/// let mut running = Client::builder().server("http://192.0.2.1/").build()?.start();
/// while let Some(update) = running.next().await {
///     println!("server {}: {:?}", update.server, update.event);
/// }
/// println!("{:?}", running.finish().combined());
/// # Ok(())
/// # }
/// ```
///
/// Call for the next event soon: a request that is due in the meantime is late and is rescheduled.
#[must_use = "it does nothing unless polled"]
pub struct RunningSurvey {
    sessions: Sessions,
    connections: Vec<Connection>,
    lookups: Vec<(usize, Lookup)>,
    /// Created when it is first needed, because that requires a runtime.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the timer is set for the present wait.
    is_sleeping: bool,
    options: SocketOptions,
    resolver: Resolver,
    space: Box<[u8]>,
}

/// An event and its server.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub struct Update {
    /// The number of the server, from 0 in the order of the builder.
    pub server: usize,
    /// The event.
    pub event: Event,
}

enum Connection {
    Closed,
    Opening(Pin<Box<dyn Future<Output = io::Result<Socket>> + Send>>),
    Open(Socket),
}

impl RunningSurvey {
    pub(crate) fn new(sessions: Sessions, options: SocketOptions, resolver: Resolver) -> Self {
        Self {
            connections: (0..sessions.connections()).map(|_| Connection::Closed).collect(),
            sessions,
            lookups: Vec::new(),
            timer: None,
            is_sleeping: false,
            options,
            resolver,
            space: vec![0; SPACE].into(),
        }
    }

    /// The next event; `None` when every server is done. Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Update> {
        poll_fn(|cx| self.poll_update(cx)).await
    }

    /// The sessions, one for each server, with the evidence so far.
    #[must_use]
    pub const fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Ends every session that is not done, and returns the result of the evidence so far.
    #[must_use]
    pub fn finish(self) -> Survey {
        self.sessions.finish(cross_timestamp())
    }

    fn poll_update(&mut self, cx: &mut Context<'_>) -> Poll<Option<Update>> {
        loop {
            match self.sessions.poll(now()) {
                Action::Resolve { server } => {
                    let hop = self.sessions.sessions()[server].target().hop();
                    let lookup = self.resolver.lookup(hop.host(), hop.port());
                    self.lookups.push((server, lookup));
                }
                Action::Open { conn, address } => {
                    let opening = Box::pin(Socket::connect(address, self.options.clone()));
                    self.connections[conn.index()] = Connection::Opening(opening);
                }
                Action::Transmit { conn } => self.transmit(conn),
                Action::Close { conn } => self.connections[conn.index()] = Connection::Closed,
                idle => {
                    if let Some((server, event)) = self.sessions.next_event() {
                        return Poll::Ready(Some(Update { server, event }));
                    }
                    let Action::Wait { until, precise } = idle else { return Poll::Ready(None) };
                    ready!(self.poll_wait(until, precise, cx));
                }
            }
        }
    }

    fn transmit(&mut self, conn: ConnectionId) {
        // Received data is reported first; then the sessions decide again.
        if self.receive(conn) {
            return;
        }
        let Connection::Open(socket) = &mut self.connections[conn.index()] else { return };
        let at = now();
        match socket.write(self.sessions.output(conn)) {
            Ok(count) => self.sessions.sent(conn, count, at),
            Err(error) => self.fail(conn, error),
        }
    }

    /// Reads once. Returns whether there was anything to report.
    fn receive(&mut self, conn: ConnectionId) -> bool {
        let connection = &mut self.connections[conn.index()];
        let Connection::Open(socket) = connection else { return false };
        match socket.read(&mut self.space) {
            Ok(None) => return false,
            Ok(Some(0)) => {
                *connection = Connection::Closed;
                self.sessions.closed(conn, now());
            }
            Ok(Some(count)) => {
                let arrival = socket.arrival();
                self.sessions.received(conn, &self.space[..count], arrival);
            }
            Err(error) => self.fail(conn, error),
        }
        true
    }

    fn fail(&mut self, conn: ConnectionId, error: io::Error) {
        self.connections[conn.index()] = Connection::Closed;
        self.sessions.failed(conn, error, now());
    }

    /// Ready when something was reported, or when `until` may have been reached.
    fn poll_wait(&mut self, until: LocalInstant, precise: bool, cx: &mut Context<'_>) -> Poll<()> {
        let mut is_ready = self.poll_lookups(cx);
        let mut is_blocked = false;
        for conn in (0..self.connections.len()).map(ConnectionId::from_index) {
            is_ready |= self.poll_connection(conn, cx);
            is_blocked |= self.sessions.is_waiting_to_write(conn);
        }
        if !is_ready {
            ready!(self.poll_timer(until, precise, is_blocked, cx));
        }
        self.is_sleeping = false;
        for conn in (0..self.connections.len()).map(ConnectionId::from_index) {
            self.sessions.writable(conn);
        }
        Poll::Ready(())
    }

    fn poll_lookups(&mut self, cx: &mut Context<'_>) -> bool {
        let Self { sessions, lookups, .. } = self;
        let before = lookups.len();
        lookups.retain_mut(|(server, lookup)| match lookup.as_mut().poll(cx) {
            Poll::Pending => true,
            Poll::Ready(addresses) => {
                sessions.resolved(*server, addresses, now());
                false
            }
        });
        lookups.len() < before
    }

    /// Reports the events of a connection. Returns whether there were any.
    fn poll_connection(&mut self, conn: ConnectionId, cx: &mut Context<'_>) -> bool {
        loop {
            let connection = &mut self.connections[conn.index()];
            let readable = match connection {
                Connection::Closed => return false,
                Connection::Opening(opening) => match opening.as_mut().poll(cx) {
                    Poll::Pending => return false,
                    Poll::Ready(Ok(socket)) => {
                        *connection = Connection::Open(socket);
                        self.sessions.opened(conn, now());
                        return true;
                    }
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                },
                Connection::Open(socket) => socket.poll_readable(cx),
            };
            match readable {
                Poll::Pending => return false,
                // There was nothing to read: the next iteration registers the task to be woken when
                // there is.
                Poll::Ready(Ok(())) if !self.receive(conn) => {}
                Poll::Ready(Ok(())) => return true,
                Poll::Ready(Err(error)) => {
                    self.fail(conn, error);
                    return true;
                }
            }
        }
    }

    /// Sleeps. Before a precise instant it sleeps for less time and then yields.
    fn poll_timer(
        &mut self,
        until: LocalInstant,
        precise: bool,
        is_blocked: bool,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut left = until.saturating_since(now());
        if left.is_zero() {
            return Poll::Ready(());
        }
        if precise && left <= TIMER_SLACK {
            // The runtime runs the other tasks and its I/O driver, and then this task again.
            let _ = pin!(yield_now()).poll(cx);
            return Poll::Pending;
        }
        if precise {
            left -= TIMER_SLACK;
            left -= left / SLEEP_PART;
        }
        if is_blocked {
            left = left.min(BLOCKED);
        }
        let end = Instant::now() + left;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if !self.is_sleeping {
            timer.as_mut().reset(end);
        }
        // Every wait starts a new sleep. A sleep that has ended ends its wait.
        self.is_sleeping = timer.as_mut().poll(cx).is_pending();
        if self.is_sleeping { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Stream for RunningSurvey {
    type Item = Update;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Update>> {
        self.get_mut().poll_update(cx)
    }
}

impl fmt::Debug for RunningSurvey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}

/// The size of a read.
const SPACE: usize = 8192;
/// How early the timer is set. Tokio's timer ends up to 2 ms late: it counts milliseconds, and so
/// does `epoll_wait`. On Windows a wait ends with the system's tick, which is 15.625 ms unless a
/// program asked for a shorter one.
const TIMER_SLACK: Duration = Duration::from_millis(if cfg!(windows) { 17 } else { 2 });
/// This part of a long sleep is left for a second one. Linux may end `epoll_wait` late by a
/// thousandth of the timeout, with positive niceness by a two hundredth (`select_estimate_accuracy`
/// in fs/select.c).
const SLEEP_PART: u32 = 64;
/// The interval at which a write that would block is retried. It does not wait for the socket to be
/// writable: once the kernel has reported about a write (`EPOLLERR`), tokio considers the socket
/// closed for writing, and so always writable.
const BLOCKED: Duration = Duration::from_millis(1);
