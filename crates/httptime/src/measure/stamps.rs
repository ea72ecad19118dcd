//! The stamps of one server during a measurement: whether they are used, and when to ask for the
//! next one.
//!
//! With stamps no request waits for a flip of the `Date`. At least three exchanges at unequal
//! intervals, over two connections, show a stamp that comes from a cache, that is the time at which
//! the connection was accepted, or that is updated only now and then. More of them reduce the error
//! by queueing. If the quantum is larger than the queueing, the requests are aimed at the instants
//! at which the stamp changes.

use std::sync::Arc;
use std::time::Duration;

use crate::checks::{Check, CheckConnection};
use crate::observation::{Exchange, Observation};
use crate::schedule::View;
use crate::stamp::{Stamp, StampFault, StampUse};
use crate::time::LocalInstant;

#[derive(Debug)]
pub(super) struct Stamps {
    /// Empty: stamps are ignored.
    header: Arc<str>,
    seen: Option<SeenStamps>,
    rejected: Option<StampFault>,
    /// What the `Date`s alone prove, from all responses, in case that the stamps are rejected.
    by_date: Vec<Observation>,
    /// Whether a response has no `Date`, so that nothing can replace its stamp.
    lacks_date: bool,
    /// Whether a request has left that is to test the stamps over another connection.
    has_tested_connection: bool,
}

#[derive(Debug, Clone, Copy)]
struct SeenStamps {
    first: Stamp,
    latest: Stamp,
    latest_received: LocalInstant,
    number: u32,
}

impl Stamps {
    pub(super) fn new(header: Arc<str>) -> Self {
        Self {
            by_date: Vec::with_capacity(if header.is_empty() { 0 } else { MAX_REPLAYED }),
            header,
            seen: None,
            rejected: None,
            lacks_date: false,
            has_tested_connection: false,
        }
    }

    /// Whether the result so far is from stamps.
    pub(super) const fn are_used(&self) -> bool {
        self.seen.is_some() && self.rejected.is_none()
    }

    pub(super) fn have_advanced(&self) -> bool {
        self.are_used() && self.seen.is_some_and(|seen| seen.first != seen.latest)
    }

    /// The stamp of a response, if it is to be used. `lag`: the limit of the lag of the `Date`.
    pub(super) fn check(
        &self,
        exchange: &Exchange<'_>,
        lag: Duration,
    ) -> Result<Option<Stamp>, StampFault> {
        if self.header.is_empty() || self.rejected.is_some() {
            return Ok(None);
        }
        let Some(stamp) = exchange.stamp()? else { return Ok(None) };
        let round_trip = exchange.received().saturating_since(exchange.sent());
        stamp.check_against_date(exchange.date(), lag, round_trip)?;
        match self.seen {
            Some(seen) if !seen.first.has_form_of(stamp) => Err(StampFault::FormChanged),
            _ => Ok(Some(stamp)),
        }
    }

    /// The fault of a stamp that contradicts the earlier ones by `gap`.
    pub(super) fn contradiction(
        &self,
        stamp: Stamp,
        received: LocalInstant,
        gap: Duration,
    ) -> StampFault {
        match self.seen {
            Some(seen) if seen.latest == stamp => {
                StampFault::Frozen { elapsed: received.saturating_since(seen.latest_received) }
            }
            _ => StampFault::Inconsistent { gap },
        }
    }

    /// Records that a stamp was used.
    pub(super) fn record(&mut self, stamp: Stamp, received: LocalInstant) {
        let (first, number) = self.seen.map_or((stamp, 0), |seen| (seen.first, seen.number));
        self.seen = Some(SeenStamps {
            first,
            latest: stamp,
            latest_received: received,
            number: number.saturating_add(1),
        });
    }

    /// Records what the `Date` of a response proves.
    pub(super) fn record_by_date(&mut self, observation: Observation) {
        if !self.header.is_empty() && self.rejected.is_none() && self.by_date.len() < MAX_REPLAYED {
            self.by_date.push(observation);
        }
    }

    /// Records whether a response whose stamp is used has no `Date`.
    pub(super) const fn record_missing_date(&mut self, exchange: &Exchange<'_>) {
        self.lacks_date |= exchange.dateless_status().is_some();
    }

    /// Rejects the stamps. Returns what the `Date`s of the `responses` prove; `None` if one had no
    /// `Date`, or if they were too many to keep.
    pub(super) fn reject(&mut self, fault: StampFault, responses: u32) -> Option<Vec<Observation>> {
        let is_complete = usize::try_from(responses).is_ok_and(|all| all == self.by_date.len());
        if self.lacks_date || !is_complete {
            return None;
        }
        self.rejected = Some(fault);
        Some(std::mem::take(&mut self.by_date))
    }

    /// What the measurement did with the stamps; `None` if there were none.
    pub(super) fn report(&self) -> Option<StampUse> {
        let (quantum, rejected) = (self.seen.map(|seen| seen.first.quantum()), self.rejected);
        (quantum.is_some() || rejected.is_some()).then(|| StampUse {
            header: Arc::clone(&self.header),
            quantum,
            rejected,
        })
    }

    /// The next request: when it is due, and whether it is a check on another connection. `None`:
    /// no more would help.
    pub(super) fn plan(
        &self,
        view: &View<'_>,
        min_interval: Duration,
        is_within_target: bool,
    ) -> Option<(LocalInstant, Option<Check>)> {
        let seen = self.seen?;
        let progress = view.progress();
        let is_coarse = seen.first.quantum() >= COARSE_QUANTUM;
        let wanted = match (view.expected().is_some() || is_within_target, is_coarse) {
            (true, false) => MIN_EXCHANGES,
            (true, true) => MIN_COARSE_EXCHANGES,
            (false, false) => FINE_EXCHANGES,
            (false, true) => COARSE_EXCHANGES,
        };
        if seen.number >= wanted {
            return None;
        }
        let gap = GAPS[progress.requests() as usize % GAPS.len()].max(min_interval);
        let from = progress.last_sent().map_or(view.earliest(), |last| last.saturating_add(gap));
        let from = from.max(view.earliest());
        if seen.number + 1 >= MIN_EXCHANGES && !self.has_tested_connection {
            let opening = progress.round_trip_median().unwrap_or_default() * 2 + OPENING_MARGIN;
            let at = from.max(view.earliest().saturating_add(opening));
            return Some((at, Some(Check::of_stamp(at, CheckConnection::Fresh))));
        }
        let aim = view.aim().filter(|_| is_coarse && seen.number >= MIN_EXCHANGES);
        let at = aim.map_or(from, |belief| {
            progress.aim_at_quantum(belief.offset(), seen.first.quantum(), from)
        });
        Some((at, None))
    }

    /// Records that the check over another connection has left.
    pub(super) const fn record_connection_test(&mut self) {
        self.has_tested_connection = true;
    }
}

/// Responses that are kept in case that the stamps are rejected.
const MAX_REPLAYED: usize = 32;
/// Exchanges over two connections: the fewest that show a stamp that stands still.
const MIN_EXCHANGES: u32 = 3;
/// As many as reduce the error of a quantum of 1 ms to about that of the queueing, if the offset is
/// roughly known.
const MIN_COARSE_EXCHANGES: u32 = 6;
/// The error by queueing falls by 1/n: more than eight requests gain little on a quiet path.
const FINE_EXCHANGES: u32 = 8;
const COARSE_EXCHANGES: u32 = 16;
/// A coarser stamp is aimed at.
const COARSE_QUANTUM: Duration = Duration::from_micros(100);
/// Between two requests, in turn. They share no divisor, so that a clock that is updated at regular
/// intervals is met at different phases.
const GAPS: [Duration; 3] =
    [Duration::from_millis(23), Duration::from_millis(37), Duration::from_millis(29)];
/// For opening a connection, in addition to two round trips.
const OPENING_MARGIN: Duration = Duration::from_millis(2);
