//! Decides which server is measured next, and when: only so many at once, and only so many started
//! in a second.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::time::LocalInstant;

/// How many servers are measured at once, and how fast they are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    at_once: usize,
    interval: Duration,
}

impl Pace {
    pub(crate) const DEFAULT: Self = Self { at_once: 1000, interval: Duration::from_millis(4) };

    pub(crate) const fn with_at_once(self, servers: NonZeroU32) -> Self {
        let servers = servers.get() as usize;
        Self { at_once: if servers < MAX_AT_ONCE { servers } else { MAX_AT_ONCE }, ..self }
    }

    pub(crate) const fn with_starts_per_second(self, servers: NonZeroU32) -> Self {
        let interval = Duration::from_nanos(1_000_000_000 / servers.get() as u64);
        Self { interval, ..self }
    }
}

/// The servers in their order, and which of them have been started.
#[derive(Debug)]
pub(crate) struct Admission {
    pace: Pace,
    servers: usize,
    started: usize,
    running: usize,
    /// The earliest time of the next start.
    earliest: LocalInstant,
    /// Whether the next server must wait until another one has its addresses.
    is_held: bool,
}

impl Admission {
    pub(crate) const fn new(servers: usize, pace: Pace, now: LocalInstant) -> Self {
        Self { pace, servers, started: 0, running: 0, earliest: now, is_held: false }
    }

    /// The number of servers that can run at the same time.
    pub(crate) fn slots(&self) -> usize {
        self.pace.at_once.min(self.servers)
    }

    /// The server to start now, if there is one. `may_start`: whether it can be, or has to wait for
    /// a name server that is busy with others.
    pub(crate) fn start(
        &mut self,
        now: LocalInstant,
        may_start: impl FnOnce(usize) -> bool,
    ) -> Option<usize> {
        if !self.has_room() || now < self.earliest {
            return None;
        }
        let server = self.started;
        self.is_held = !may_start(server);
        if self.is_held {
            return None;
        }
        self.started += 1;
        self.running += 1;
        // A late start does not delay the others, and does not make many of them start at once.
        let regular = self.earliest.saturating_add(self.pace.interval);
        self.earliest = regular.max(now.saturating_sub(self.pace.interval));
        Some(server)
    }

    /// A server has its result.
    pub(crate) const fn ended(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// When the next server can be started. `None`: only after another one has ended or has its
    /// addresses, or never.
    pub(crate) fn next_at(&self) -> Option<LocalInstant> {
        (self.has_room() && !self.is_held).then_some(self.earliest)
    }

    /// Whether every server has its result.
    pub(crate) const fn is_done(&self) -> bool {
        self.running == 0 && self.started == self.servers
    }

    const fn has_room(&self) -> bool {
        self.started < self.servers && self.running < self.pace.at_once
    }
}

/// [`ConnectionId`](crate::session::ConnectionId) numbers the servers that run with 16 bits.
const MAX_AT_ONCE: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> LocalInstant {
        LocalInstant::from_nanos(millis * 1_000_000)
    }

    fn pace(at_once: u32, a_second: u32) -> Pace {
        let number = |number| NonZeroU32::new(number).expect("not zero");
        Pace::DEFAULT.with_at_once(number(at_once)).with_starts_per_second(number(a_second))
    }

    #[test]
    fn servers_start_in_order_at_equal_intervals() {
        let mut admission = Admission::new(3, pace(10, 100), at(0));
        let mut started = Vec::new();
        for millis in 0..40 {
            if let Some(server) = admission.start(at(millis), |_| true) {
                started.push((millis, server));
            }
        }
        assert_eq!(started, [(0, 0), (10, 1), (20, 2)]);
        assert_eq!(admission.next_at(), None);
        for _ in 0..3 {
            assert!(!admission.is_done());
            admission.ended();
        }
        assert!(admission.is_done());
    }

    #[test]
    fn no_more_than_the_limit_run_at_once() {
        let mut admission = Admission::new(5, pace(2, 1000), at(0));
        assert_eq!(admission.slots(), 2);
        assert_eq!(admission.start(at(0), |_| true), Some(0));
        assert_eq!(admission.start(at(1), |_| true), Some(1));
        assert_eq!((admission.start(at(2), |_| true), admission.next_at()), (None, None));
        admission.ended();
        assert_eq!(admission.next_at(), Some(at(2)));
        assert_eq!(admission.start(at(50), |_| true), Some(2));
    }

    #[test]
    fn a_thread_that_was_late_does_not_start_all_that_it_missed_at_once() {
        let mut admission = Admission::new(100, pace(100, 100), at(0));
        assert_eq!(admission.start(at(0), |_| true), Some(0));
        let late = (0..100).filter(|_| admission.start(at(700), |_| true).is_some()).count();
        assert_eq!(late, 3);
    }

    #[test]
    fn a_server_that_waits_for_the_resolver_holds_the_others_and_needs_no_timer() {
        let mut admission = Admission::new(2, pace(10, 1000), at(0));
        assert_eq!(admission.start(at(0), |_| false), None);
        assert_eq!(admission.next_at(), None);
        assert_eq!(admission.start(at(1), |server| server == 0), Some(0));
        assert!(admission.next_at().is_some());
    }
}
