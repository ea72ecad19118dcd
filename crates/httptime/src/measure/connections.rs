//! The evidence of each connection. A connection may lead to another server behind the name, so the
//! result leaves out the evidence of one that has passed no check.

use std::collections::VecDeque;

use crate::evidence::AgedEvidence;
use crate::time::{Interval, LocalInstant};

/// What the responses on each of the latest connections prove.
#[derive(Debug)]
pub(super) struct Connections {
    /// Each with the time at which its connection began to open, if that is known.
    evidence: VecDeque<(Option<LocalInstant>, AgedEvidence)>,
    /// The open connections that have carried requests of the schedule and have passed no check.
    untested: Vec<LocalInstant>,
}

impl Connections {
    pub(super) fn new() -> Self {
        Self { evidence: VecDeque::with_capacity(KEPT), untested: Vec::with_capacity(KEPT) }
    }

    /// Forgets all evidence.
    pub(super) fn clear(&mut self) {
        self.evidence.clear();
    }

    /// Adds what a response on the connection that began to open at `opened` proves.
    pub(super) fn add(&mut self, opened: Option<LocalInstant>, proved: AgedEvidence) {
        if let Some((_, known)) = self.evidence.iter_mut().find(|(its, _)| *its == opened) {
            known.narrow(proved.evidence(), proved.at());
            return;
        }
        if self.evidence.len() == KEPT {
            self.merge_oldest();
        }
        self.evidence.push_back((opened, proved));
    }

    /// A connection that is open has evidence that is newer than that of closed ones, unless it is
    /// the first: so of the two oldest one at least counts in any case.
    fn merge_oldest(&mut self) {
        let Some((opened, first)) = self.evidence.pop_front() else { return };
        match self.evidence.front_mut() {
            Some((next, second)) => {
                second.narrow(first.evidence(), first.at());
                *next = opened;
            }
            None => self.evidence.push_front((opened, first)),
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

    /// The bounds at this instant without the evidence of untested connections. `None` if that
    /// would leave nothing out, or nothing.
    pub(super) fn tested_bounds(&self, at: LocalInstant, drift_ppm: u32) -> Option<Interval> {
        let is_tested = |opened: &Option<LocalInstant>| {
            opened.is_none_or(|opened| !self.untested.contains(&opened))
        };
        let mut tested = self.evidence.iter().filter(|(opened, _)| is_tested(opened));
        if tested.clone().count() == self.evidence.len() {
            return None;
        }
        let mut all = tested.next()?.1;
        for (_, evidence) in tested {
            all.narrow(evidence.evidence(), evidence.at());
        }
        let age = at.saturating_since(all.at());
        all.evidence().aged(age, drift_ppm).interval()
    }
}

/// More than the number of connections that are open at once.
const KEPT: usize = 16;
