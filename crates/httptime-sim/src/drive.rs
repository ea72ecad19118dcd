//! The driver of virtual time. It moves bytes between sessions and simulated servers. It makes no
//! decisions.

use std::time::Duration;

use httptime::session::{Action, ConnectionId, Event, Session};
use httptime::survey::Sessions;
use httptime::{Config, Error, LocalInstant};

use crate::remote::{ConnectAttempt, Departed, NANOSECOND, Pending, Remote, RemoteEvent};
use crate::world::World;

/// The effort of a simulated measurement.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DriverStats {
    /// Duration in virtual time.
    pub elapsed: Duration,
    /// How often the driver polled the session.
    pub polls: u32,
    /// The number of polls in the busiest second of virtual time, counted from the beginning.
    pub max_polls_per_second: u32,
    /// The largest number of consecutive waits that had expired before they began, while nothing
    /// happened.
    pub empty_waits: u32,
    /// Connections that were opened or attempted.
    pub opened: u32,
}

/// Running sessions and their servers.
#[derive(Debug)]
pub(crate) struct Simulation {
    remotes: Vec<Remote>,
    pending: Vec<Pending>,
    now: LocalInstant,
    stats: DriverStats,
    /// The number of polls in the present second, and the number of that second.
    polls: (u32, u64),
    empty_waits: u32,
}

impl Simulation {
    /// Creates servers, each in its own world, on one machine: its clocks and its client are those
    /// of the first world.
    pub(crate) fn new(worlds: &[World], seed: u64) -> Self {
        let seeds = (0..).map(|server: u64| seed ^ server.wrapping_mul(SERVER));
        let remotes =
            worlds.iter().zip(seeds).map(|(world, seed)| Remote::new(world.clone(), seed));
        Self {
            remotes: remotes.collect(),
            pending: Vec::new(),
            now: LocalInstant::from_nanos(0),
            stats: DriverStats::default(),
            polls: (0, 0),
            empty_waits: 0,
        }
    }

    pub(crate) fn sessions(&self, config: &Config) -> Result<Sessions, Error> {
        let targets = self.remotes.iter().enumerate();
        let targets = targets.map(|(server, remote)| remote.target(server));
        let targets = targets.collect::<Result<Vec<_>, _>>()?;
        Sessions::new(targets, config, self.remotes[0].world.clock.cross_timestamp_at(self.now))
    }

    pub(crate) const fn now(&self) -> LocalInstant {
        self.now
    }

    /// Whether the first server's `Date` was seen to advance.
    pub(crate) fn has_advanced(&self) -> bool {
        self.remotes.first().is_some_and(|remote| remote.has_advanced(self.now))
    }

    pub(crate) fn stats(&self) -> DriverStats {
        let elapsed = self.now.saturating_since(LocalInstant::from_nanos(0));
        DriverStats { elapsed, ..self.stats }
    }

    /// Runs the sessions until they end. `watch` is called with each one after each response. Gives
    /// up on sessions that do not end.
    pub(crate) fn run(
        &mut self,
        sessions: &mut Sessions,
        watch: &mut dyn FnMut(&Session, LocalInstant),
    ) {
        self.run_until(sessions, END_OF_TIME, watch);
    }

    /// Runs the sessions until they end, or until nothing more happens at or before `limit`.
    /// Returns when the next thing will happen; `None`: they have ended.
    pub(crate) fn run_until(
        &mut self,
        sessions: &mut Sessions,
        limit: LocalInstant,
        watch: &mut dyn FnMut(&Session, LocalInstant),
    ) -> Option<LocalInstant> {
        while self.stats.polls < MAX_POLLS {
            self.count_poll();
            // Data that arrived before now is reported before the next decision, except when a
            // request leaves late.
            let until = match sessions.poll(self.now) {
                Action::Resolve { server } => {
                    self.remotes[server].resolve(server, self.now, &mut self.pending);
                    continue;
                }
                Action::Open { conn, address } => {
                    self.stats.opened += 1;
                    let remote = &mut self.remotes[conn.server()];
                    match remote.open(conn, address, self.now, &mut self.pending) {
                        ConnectAttempt::Opened => sessions.opened(conn, self.now),
                        ConnectAttempt::Failed(kind) => {
                            sessions.failed(conn, kind.into(), self.now);
                        }
                        ConnectAttempt::UnderWay => {}
                    }
                    continue;
                }
                Action::Transmit { conn } => {
                    self.transmit(sessions, conn);
                    self.now
                }
                Action::Close { conn } => {
                    self.forget(conn);
                    continue;
                }
                Action::Wait { until, precise } => {
                    let next = self.next_event_before(until);
                    if next > limit {
                        return Some(next);
                    }
                    match self.wait(until, precise) {
                        Some(until) => until,
                        None => continue,
                    }
                }
                _ => break,
            };
            while let Some(pending) = self.take_before(until) {
                self.apply_event(sessions, pending);
                while let Some((server, event)) = sessions.next_event() {
                    if matches!(event, Event::Answered { .. }) {
                        watch(&sessions.sessions()[server], self.now);
                    }
                }
            }
        }
        None
    }

    /// When the next pending event happens, at most `until`.
    pub(crate) fn next_event_before(&self, until: LocalInstant) -> LocalInstant {
        self.pending.iter().map(|it| it.at).fold(until, LocalInstant::min)
    }

    /// The packets that have left for a server that other clients use too.
    pub(crate) fn take_departed(&mut self) -> impl Iterator<Item = Departed> + '_ {
        self.remotes.iter_mut().flat_map(Remote::take_departed)
    }

    /// The first server, and the events that will happen on the connections to it.
    pub(crate) fn remote_mut(&mut self) -> (&mut Remote, &mut Vec<Pending>) {
        (&mut self.remotes[0], &mut self.pending)
    }

    fn transmit(&mut self, sessions: &mut Sessions, conn: ConnectionId) {
        // Received data is reported first; then the session decides again.
        let late = self.now.saturating_add(NANOSECOND);
        let has_come = self.first(|it| it.conn == conn && it.at < late);
        if let Some(has_come) = has_come {
            self.apply_event(sessions, has_come);
            return;
        }
        let output = sessions.output(conn);
        let remote = &mut self.remotes[conn.server()];
        let count = remote.write(conn, output, self.now, &mut self.pending);
        sessions.sent(conn, count, self.now);
    }

    /// Advances the time. Returns the instant before which events are to be reported next.
    fn wait(&mut self, until: LocalInstant, precise: bool) -> Option<LocalInstant> {
        let next = self.pending.iter().map(|it| it.at).min().filter(|next| *next < until);
        if next.is_none() && until <= self.now {
            self.empty_waits += 1;
            self.stats.empty_waits = self.stats.empty_waits.max(self.empty_waits);
        } else {
            self.empty_waits = 0;
        }
        let Some(next) = next else {
            if precise {
                let machine = &mut self.remotes[0];
                let late = machine.world.client.wake_up(&mut machine.random);
                self.now = self.now.max(until.saturating_add(late));
                return None;
            }
            self.now = self.now.max(until);
            return Some(until);
        };
        self.now = self.now.max(next);
        Some(next.saturating_add(NANOSECOND))
    }

    fn count_poll(&mut self) {
        let second = self.stats().elapsed.as_secs();
        if self.polls.1 != second {
            self.polls = (0, second);
        }
        self.polls.0 += 1;
        self.stats.polls += 1;
        self.stats.max_polls_per_second = self.stats.max_polls_per_second.max(self.polls.0);
    }

    fn take_before(&mut self, until: LocalInstant) -> Option<Pending> {
        self.first(|it| it.at < until)
    }

    /// The first pending event. If several have the same instant: the one that was announced first.
    fn first(&mut self, which: impl Fn(&Pending) -> bool) -> Option<Pending> {
        let numbered = self.pending.iter().enumerate().filter(|(_, it)| which(it));
        let (index, _) = numbered.min_by_key(|(_, it)| it.at)?;
        Some(self.pending.remove(index))
    }

    /// The socket is closed: removes its events.
    fn forget(&mut self, conn: ConnectionId) {
        self.pending.retain(|it| it.conn != conn);
    }

    fn apply_event(&mut self, sessions: &mut Sessions, pending: Pending) {
        let Pending { conn, what, at } = pending;
        match what {
            RemoteEvent::Resolved(addresses) => sessions.resolved(conn.server(), Ok(addresses), at),
            RemoteEvent::Opened => sessions.opened(conn, at),
            RemoteEvent::Writable => sessions.writable(conn),
            RemoteEvent::Bytes(bytes) => sessions.received(conn, &bytes, at),
            RemoteEvent::TimedOut(Some(bytes)) => {
                self.pending.push(Pending { at, conn, what: RemoteEvent::TimedOut(None) });
                sessions.received(conn, &bytes, at);
            }
            RemoteEvent::Failed(kind) => {
                self.forget(conn);
                sessions.failed(conn, kind.into(), at);
            }
            RemoteEvent::Closed | RemoteEvent::TimedOut(None) => {
                self.forget(conn);
                sessions.closed(conn, at);
            }
        }
    }
}

/// Separates the servers of one simulation. The first server uses the seed itself.
const SERVER: u64 = 0x9e37_79b9_7f4a_7c15;
const END_OF_TIME: LocalInstant = LocalInstant::from_nanos(i64::MAX);
/// More than any measurement needs: a session with more polls does not end.
const MAX_POLLS: u32 = 1_000_000;
