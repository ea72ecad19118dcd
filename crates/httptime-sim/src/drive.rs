//! The driver of virtual time: it moves bytes between sessions and simulated servers, and decides nothing.

use std::time::Duration;

use httptime::session::{Action, ConnectionId, Event, Session};
use httptime::survey::Sessions;
use httptime::{Config, Error, LocalInstant};

use crate::remote::{ConnectAttempt, NANOSECOND, Pending, Remote, RemoteEvent};
use crate::world::World;

/// What a simulated measurement took.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DriverStats {
    /// How long it lasted in virtual time.
    pub elapsed: Duration,
    /// How often the driver asked what to do.
    pub polls: u32,
    /// How often in the busiest second of virtual time, counted from the beginning.
    pub max_polls_per_second: u32,
    /// The most waits in a row that were over when they began, while nothing happened.
    pub empty_waits: u32,
    /// Connections that began to open.
    pub opened: u32,
}

/// Sessions under way, and their servers.
#[derive(Debug)]
pub(crate) struct Simulation {
    remotes: Vec<Remote>,
    pending: Vec<Pending>,
    now: LocalInstant,
    stats: DriverStats,
    /// Of the present second, and which one it is.
    polls: (u32, u64),
    empty_waits: u32,
}

impl Simulation {
    /// Servers, each in a world of its own, on one machine: its clocks and its client are the first world's.
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

    /// Runs the sessions to their ends; `watch` is shown each after each response. Gives up on those that do not end.
    pub(crate) fn run(
        &mut self,
        sessions: &mut Sessions,
        watch: &mut dyn FnMut(&Session, LocalInstant),
    ) {
        while self.stats.polls < MAX_POLLS {
            self.count_poll();
            // What has come before now is seen before the next decision, but not by a request that leaves late.
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
                Action::Wait { until, precise } => match self.wait(until, precise) {
                    Some(until) => until,
                    None => continue,
                },
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
    }

    fn transmit(&mut self, sessions: &mut Sessions, conn: ConnectionId) {
        // What has come is reported first; then the session decides again.
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

    /// Lets time pass; returns what to see next: all that happens before then.
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

    /// The first of those pending; of several at one instant, the one that was announced first.
    fn first(&mut self, which: impl Fn(&Pending) -> bool) -> Option<Pending> {
        let numbered = self.pending.iter().enumerate().filter(|(_, it)| which(it));
        let (index, _) = numbered.min_by_key(|(_, it)| it.at)?;
        Some(self.pending.remove(index))
    }

    /// The socket is gone.
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

/// Tells the servers of one simulation apart; the first has the seed itself.
const SERVER: u64 = 0x9e37_79b9_7f4a_7c15;
/// More than any measurement needs: what goes on for longer does not end.
const MAX_POLLS: u32 = 1_000_000;
