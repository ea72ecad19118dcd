//! The evidence of each connection. A connection may lead to another server behind the name, so the
//! result leaves out what one proves that has not passed the checks.
//!
//! A clock that is ahead makes lower bounds that are too high, and a clock that is behind makes
//! upper bounds that are too low. A check before a flip finds the one, and a check after it the
//! other. So the lower end of a connection's evidence counts after the first, and the upper end
//! after the second.

use std::collections::VecDeque;

use crate::checks::Side;
use crate::evidence::{AgedEvidence, Evidence};
use crate::time::{Interval, LocalInstant, Offset};

/// What the responses on each of the latest connections prove.
#[derive(Debug)]
pub(super) struct Connections {
    known: VecDeque<Connection>,
    /// The open connections that must pass checks: by the time at which they began to open.
    untested: Vec<LocalInstant>,
}

#[derive(Debug, Clone, Copy)]
struct Connection {
    /// The time at which it began to open, if that is known.
    opened: Option<LocalInstant>,
    evidence: AgedEvidence,
    /// Whether it has carried requests of the schedule.
    is_scheduled: bool,
    has_passed_before: bool,
    has_passed_after: bool,
}

impl Connections {
    pub(super) fn new() -> Self {
        Self { known: VecDeque::with_capacity(KEPT), untested: Vec::with_capacity(KEPT) }
    }

    /// Forgets all evidence.
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }

    /// Adds what a response on the connection that began to open at `opened` proves.
    pub(super) fn add(&mut self, opened: Option<LocalInstant>, proved: AgedEvidence) {
        if let Some(known) = self.get(opened) {
            known.evidence.narrow(proved.evidence(), proved.at());
            return;
        }
        if self.known.len() == KEPT {
            self.merge_oldest();
        }
        self.known.push_back(Connection {
            opened,
            evidence: proved,
            is_scheduled: false,
            has_passed_before: false,
            has_passed_after: false,
        });
    }

    /// Records that the response was that of a check or of the schedule, and the check that the
    /// connection has passed with it.
    pub(super) fn record(
        &mut self,
        opened: Option<LocalInstant>,
        is_check: bool,
        passed: Option<Side>,
    ) {
        let Some(known) = self.get(opened) else { return };
        known.is_scheduled |= !is_check;
        known.has_passed_before |= passed == Some(Side::Before);
        known.has_passed_after |= passed == Some(Side::After);
    }

    fn get(&mut self, opened: Option<LocalInstant>) -> Option<&mut Connection> {
        self.known.iter_mut().find(|it| it.opened == opened)
    }

    /// Adds the evidence of the second connection to that of the first, which counts in any case,
    /// as far as it counts too. No more connections than are kept are open at once.
    fn merge_oldest(&mut self) {
        let Some(second) = self.known.remove(1) else { return };
        let ends = self.counted(1, &second);
        if let Some(first) = self.known.front_mut() {
            first.evidence.narrow(ends, second.evidence.at());
        }
    }

    pub(super) fn set_untested(&mut self, opened: impl Iterator<Item = LocalInstant>) {
        self.untested.clear();
        self.untested.extend(opened);
    }

    /// The number of untested connections.
    pub(super) fn untested(&self) -> usize {
        self.untested.len()
    }

    /// What counts of the evidence of the connection at this index.
    fn counted(&self, index: usize, connection: &Connection) -> Evidence {
        let evidence = connection.evidence.evidence();
        // The others are compared with the first. A server that closes each connection would have
        // no evidence at all.
        let is_closed = |opened| !self.untested.contains(&opened);
        let counts =
            index == 0 || connection.is_scheduled && connection.opened.is_none_or(is_closed);
        let lower = counts || connection.has_passed_before;
        let upper = counts || connection.has_passed_after;
        Evidence::new(
            if lower { evidence.lower } else { Offset::from_nanos(i64::MIN) },
            if upper { evidence.upper } else { Offset::from_nanos(i64::MAX) },
        )
    }

    /// The bounds at this instant, of the evidence that counts.
    pub(super) fn bounds(&self, at: LocalInstant, drift_ppm: u32) -> Option<Interval> {
        let mut all = self.known.front()?.evidence;
        for (index, connection) in self.known.iter().enumerate() {
            all.narrow(self.counted(index, connection), connection.evidence.at());
        }
        all.evidence().aged(at.saturating_since(all.at()), drift_ppm).interval()
    }
}

/// More than the number of connections that are open at once.
const KEPT: usize = 16;
