//! Which session must be polled when. A survey of 16 polls all its sessions each time; with a
//! thousand that would take longer than the exchanges.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::LocalInstant;

/// A queue of the times at which sessions want to be polled, one for each session.
#[derive(Debug)]
pub(crate) struct Agenda {
    /// Has also entries that were replaced: they differ from `wanted`.
    queue: BinaryHeap<Reverse<(LocalInstant, usize)>>,
    wanted: Vec<Option<LocalInstant>>,
}

impl Agenda {
    pub(crate) fn new(sessions: usize) -> Self {
        Self { queue: BinaryHeap::with_capacity(sessions), wanted: vec![None; sessions] }
    }

    /// The session wants to be polled at this time, and not at an earlier one.
    pub(crate) fn set(&mut self, session: usize, at: LocalInstant) {
        if self.wanted[session].replace(at) == Some(at) {
            return;
        }
        if self.queue.len() >= MAX_ENTRIES * self.wanted.len() {
            let wanted = self.wanted.iter().enumerate();
            self.queue = wanted.filter_map(|(it, at)| Some(Reverse(((*at)?, it)))).collect();
            return;
        }
        self.queue.push(Reverse((at, session)));
    }

    /// The session does not want to be polled.
    pub(crate) fn clear(&mut self, session: usize) {
        self.wanted[session] = None;
    }

    /// The earliest of the times.
    pub(crate) fn next(&mut self) -> Option<LocalInstant> {
        while let Some(Reverse((at, session))) = self.queue.peek() {
            if self.wanted[*session] == Some(*at) {
                return Some(*at);
            }
            self.queue.pop();
        }
        None
    }

    /// Removes and returns a session whose time has come.
    pub(crate) fn take_due(&mut self, now: LocalInstant) -> Option<usize> {
        let at = self.next()?;
        if at > now {
            return None;
        }
        let Reverse((_, session)) = self.queue.pop()?;
        self.clear(session);
        Some(session)
    }
}

/// The queue is cleaned up when it has so many entries for each session.
const MAX_ENTRIES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: i64) -> LocalInstant {
        LocalInstant::from_nanos(nanos)
    }

    #[test]
    fn sessions_are_due_in_the_order_of_their_latest_times() {
        let mut agenda = Agenda::new(3);
        agenda.set(0, at(30));
        agenda.set(1, at(10));
        agenda.set(2, at(20));
        agenda.set(1, at(40));
        assert_eq!(agenda.next(), Some(at(20)));
        assert_eq!(agenda.take_due(at(19)), None);
        let due: Vec<usize> = std::iter::from_fn(|| agenda.take_due(at(40))).collect();
        assert_eq!(due, [2, 0, 1]);
        assert_eq!(agenda.next(), None);
    }

    #[test]
    fn a_session_that_ended_is_not_due() {
        let mut agenda = Agenda::new(2);
        agenda.set(0, at(1));
        agenda.set(1, at(2));
        agenda.clear(0);
        assert_eq!(agenda.take_due(at(9)), Some(1));
        assert_eq!(agenda.take_due(at(9)), None);
    }

    #[test]
    fn times_that_are_replaced_again_and_again_need_no_more_memory() {
        let mut agenda = Agenda::new(2);
        agenda.set(1, at(5));
        for nanos in (10..10_000).rev() {
            agenda.set(0, at(nanos));
            agenda.set(0, at(nanos));
        }
        assert!(agenda.queue.len() <= 2 * MAX_ENTRIES, "{}", agenda.queue.len());
        assert_eq!(agenda.take_due(at(5)), Some(1));
        assert_eq!(agenda.take_due(at(10)), Some(0));
        assert_eq!(agenda.next(), None);
    }
}
