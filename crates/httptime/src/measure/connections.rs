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
    /// The open connections that must still pass checks: by the time at which they began to open.
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

    /// Whether this connection has passed a check on each side of a flip.
    pub(super) fn is_tested(&self, opened: LocalInstant) -> bool {
        let known = self.known.iter().find(|it| it.opened == Some(opened));
        known.is_some_and(|it| it.has_passed_before && it.has_passed_after)
    }

    /// Sets the open connections that must pass checks, if they have not passed them.
    pub(super) fn set_used(&mut self, opened: impl Iterator<Item = LocalInstant>) {
        let mut untested = std::mem::take(&mut self.untested);
        untested.clear();
        untested.extend(opened.filter(|opened| !self.is_tested(*opened)));
        self.untested = untested;
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

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Option<LocalInstant> = Some(at(0));
    const SECOND: Option<LocalInstant> = Some(at(1));

    const fn at(seconds: i64) -> LocalInstant {
        LocalInstant::from_nanos(seconds * 1_000_000_000)
    }

    /// The first connection proves 0 to 100, the second one 40 to 60.
    fn two(is_check: bool) -> Connections {
        let mut all = Connections::new();
        for (opened, lower, upper) in [(FIRST, 0, 100), (SECOND, 40, 60)] {
            let ends = Evidence::new(Offset::from_nanos(lower), Offset::from_nanos(upper));
            all.add(opened, AgedEvidence::new(ends, at(2), 0));
            all.record(opened, is_check, None);
        }
        all
    }

    fn bounds(all: &Connections) -> (i64, i64) {
        let bounds = all.bounds(at(2), 0).expect("evidence");
        (bounds.lower().as_nanos(), bounds.upper().as_nanos())
    }

    #[test]
    fn each_end_of_an_open_connection_counts_after_the_check_on_its_side() {
        let mut all = two(false);
        all.set_used(SECOND.into_iter());
        assert_eq!((bounds(&all), all.untested()), ((0, 100), 1));
        all.record(SECOND, true, Some(Side::Anywhere));
        assert_eq!(bounds(&all), (0, 100), "far from a flip every clock passes");
        all.record(SECOND, true, Some(Side::Before));
        assert_eq!(bounds(&all), (40, 100));
        all.record(SECOND, true, Some(Side::After));
        assert_eq!(bounds(&all), (40, 60));
    }

    #[test]
    fn what_a_server_proves_that_closes_each_connection_counts_but_no_failed_check() {
        assert_eq!(bounds(&two(false)), (40, 60));
        assert_eq!(bounds(&two(true)), (0, 100));
    }

    #[test]
    fn of_many_connections_the_oldest_are_merged_as_far_as_they_count() {
        let mut all = two(false);
        all.record(SECOND, true, Some(Side::Before));
        all.set_used(SECOND.into_iter());
        for second in 2..100 {
            let wide = Evidence::new(Offset::from_nanos(-1000), Offset::from_nanos(1000));
            all.add(Some(at(second)), AgedEvidence::new(wide, at(2), 0));
        }
        assert_eq!((bounds(&all), all.known.len()), ((40, 100), KEPT));
    }
}
