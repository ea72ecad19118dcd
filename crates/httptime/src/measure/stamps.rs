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

use crate::checks::Check;
use crate::observation::{Exchange, Observation};
use crate::schedule::View;
use crate::session::MAX_CONNECTIONS;
use crate::stamp::{Stamp, StampFault, StampUse};
use crate::time::{LocalInstant, Timestamp};

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
    time_of_accept: TimeOfAccept,
}

/// Whether the stamps may have the time at which their connection was accepted. On a connection
/// that stays open such a stamp stands still.
#[derive(Debug, Clone, Copy)]
enum TimeOfAccept {
    /// Every connection has had only one stamp. They had been opening or open for up to `oldest`
    /// when a request left.
    Possible { oldest: Duration, latest: [Option<StampedConnection>; MAX_CONNECTIONS] },
    /// A connection has had two stamps.
    Excluded,
}

/// A connection, which began to open at this time, and the stamp of its responses.
#[derive(Debug, Clone, Copy)]
struct StampedConnection {
    opening_began: LocalInstant,
    receive: Timestamp,
}

impl TimeOfAccept {
    const POSSIBLE: Self =
        Self::Possible { oldest: Duration::ZERO, latest: [None; MAX_CONNECTIONS] };

    /// `previous`: the stamp of the response before.
    fn record(&mut self, stamp: Stamp, previous: Option<Stamp>, exchange: &Exchange<'_>) {
        let Self::Possible { oldest, latest } = self else { return };
        let Some(opening_began) = exchange.opening_began() else {
            if exchange.is_on_reused_connection()
                && previous.is_some_and(|it| it.receive() != stamp.receive())
            {
                *self = Self::Excluded;
            }
            return;
        };
        let known = latest.iter().flatten().find(|it| it.opening_began == opening_began);
        match known {
            Some(known) if known.receive != stamp.receive() => {
                *self = Self::Excluded;
                return;
            }
            Some(_) => {}
            None => {
                latest.rotate_right(1);
                latest[0] = Some(StampedConnection { opening_began, receive: stamp.receive() });
            }
        }
        *oldest = (*oldest).max(exchange.sent().saturating_since(opening_began));
    }
}

#[derive(Debug, Clone, Copy)]
struct SeenStamps {
    first: Stamp,
    latest: Stamp,
    latest_received: LocalInstant,
    number: u32,
}

impl Stamps {
    /// Stamps are ignored if `requests` are too few to test them.
    pub(super) fn new(header: Arc<str>, requests: u32) -> Self {
        let header = if requests < MIN_EXCHANGES { "".into() } else { header };
        Self {
            by_date: Vec::with_capacity(if header.is_empty() { 0 } else { MAX_REPLAYED }),
            header,
            seen: None,
            rejected: None,
            lacks_date: false,
            has_tested_connection: false,
            time_of_accept: TimeOfAccept::POSSIBLE,
        }
    }

    /// Whether the result so far is from stamps.
    pub(super) const fn are_used(&self) -> bool {
        self.seen.is_some() && self.rejected.is_none()
    }

    /// Whether stamps that contradict each other show that the server may read its clock only now
    /// and then, for the `Date` too.
    pub(super) const fn have_shown_a_late_clock(&self) -> bool {
        matches!(self.rejected, Some(StampFault::Frozen { .. } | StampFault::Inconsistent { .. }))
    }

    /// Whether enough requests have left to show a stamp that stands still.
    pub(super) fn are_tested(&self) -> bool {
        self.has_tested_connection && self.seen.is_some_and(|seen| seen.number >= MIN_EXCHANGES)
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

    /// By how much the stamps can be older than the requests, in addition to their lag.
    pub(super) fn connection_age(&self) -> Duration {
        match self.time_of_accept {
            TimeOfAccept::Possible { oldest, .. } if self.are_used() => oldest,
            _ => Duration::ZERO,
        }
    }

    /// Records that the stamp of a response was used.
    pub(super) fn record(&mut self, stamp: Stamp, exchange: &Exchange<'_>) {
        let received = exchange.received();
        self.time_of_accept.record(stamp, self.seen.map(|seen| seen.latest), exchange);
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
            (true, false) => FEW_FINE_EXCHANGES,
            (true, true) => FEW_COARSE_EXCHANGES,
            (false, false) => FINE_EXCHANGES,
            (false, true) => COARSE_EXCHANGES,
        };
        if seen.number >= wanted {
            return None;
        }
        let gap = min_interval + GAPS[progress.requests() as usize % GAPS.len()];
        let from = progress.last_sent().map_or(view.earliest(), |last| last.saturating_add(gap));
        let from = from.max(view.earliest());
        if seen.number + 1 >= MIN_EXCHANGES && !self.has_tested_connection {
            // From the last response, and not from now: a driver may ask again and again.
            let opening = progress.round_trip_median().unwrap_or_default() * 3 + OPENING_MARGIN;
            let last = progress.last_sent().unwrap_or(view.earliest());
            let at = from.max(last.saturating_add(opening));
            return Some((at, Some(Check::of_stamp(at))));
        }
        let aim = view.aim().filter(|_| is_coarse && seen.number >= MIN_EXCHANGES);
        let at =
            aim.map_or(from, |belief| progress.aim_at_change(belief.offset(), seen.first, from));
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
/// If the offset is roughly known, as to a daemon. In the simulated weeks of docs/accuracy.md three
/// leave an error in wan that is a quarter larger, and five gain little.
const FEW_FINE_EXCHANGES: u32 = 4;
/// The same for a quantum of 1 ms: two more, which reduce its error to about that of the queueing.
const FEW_COARSE_EXCHANGES: u32 = 6;
/// The error by queueing falls by 1/n: more than eight requests gain little on a quiet path.
const FINE_EXCHANGES: u32 = 8;
const COARSE_EXCHANGES: u32 = 16;
/// A coarser stamp is aimed at.
const COARSE_QUANTUM: Duration = Duration::from_micros(100);
/// Between two requests, in turn. They meet a clock that is updated every 2 or 4 ms at four
/// different phases: each is half a millisecond more than a multiple of 2 ms, and 2.5 ms more than
/// one of 4 ms.
const GAPS: [Duration; 3] =
    [Duration::from_micros(22_500), Duration::from_micros(38_500), Duration::from_micros(30_500)];
/// For opening a connection, in addition to two round trips.
const OPENING_MARGIN: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::CheckConnection;
    use crate::config::Config;
    use crate::error::Error;
    use crate::measure::{Measure, Next};
    use crate::measurement::{EndReason, Measurement};
    use crate::server::{HeadMarks, LagSource};
    use crate::time::{CrossTimestamp, Interval, NANOS_PER_SECOND, Offset, Timestamp};

    const MS: i64 = 1_000_000;
    const US: i64 = 1_000;
    const WALL_NS: i64 = 1_795_392_000 * NANOS_PER_SECOND;
    /// The server's clock less ours.
    const OFFSET_NS: i64 = 38_116_027_000;
    const ROUND_TRIP_NS: i64 = 10 * MS;
    /// The marks of a head that nginx wrote by itself.
    const SERVER_THEN_DATE: u32 = 0x0301_0000;

    fn at(nanos: i64) -> LocalInstant {
        LocalInstant::from_nanos(nanos)
    }

    fn clocks(nanos: i64) -> CrossTimestamp {
        let wall = Timestamp::from_unix_nanos(WALL_NS + nanos);
        CrossTimestamp::new(at(nanos), wall, Duration::ZERO)
    }

    /// A response: the server's clock in nanoseconds since 1970, and the number of the request.
    struct Asked {
        server_ns: i64,
        number: usize,
    }

    struct Measured {
        result: Result<Measurement, Error>,
        sent: Vec<i64>,
        checks: Vec<Option<CheckConnection>>,
    }

    /// Measures a server on a path whose two directions take equal times. `add_stamp` adds the
    /// stamp to the exchange.
    fn measure(
        config: &Config,
        add_stamp: impl Fn(Exchange<'static>, Asked) -> Exchange<'static>,
    ) -> Measured {
        measure_from(7 * MS, config, add_stamp)
    }

    /// The same, with the first request at this instant.
    fn measure_from(
        start_ns: i64,
        config: &Config,
        add_stamp: impl Fn(Exchange<'static>, Asked) -> Exchange<'static>,
    ) -> Measured {
        let mut measure = Measure::new(config, clocks(0));
        let (mut now, mut sent, mut checks) = (start_ns, Vec::new(), Vec::new());
        while let Next::SendAt(due) = measure.next(at(now)) {
            let left = due.max(at(now));
            checks.push(measure.check_connection());
            measure.sent(left);
            let received = left.as_nanos() + ROUND_TRIP_NS;
            let server_ns = WALL_NS + left.as_nanos() + ROUND_TRIP_NS / 2 + OFFSET_NS;
            let date = Timestamp::from_unix_nanos(server_ns).floor_to_second();
            let exchange = Exchange::from_parts_unchecked(left, at(received), date)
                .with_server("nginx/1.22.1");
            let exchange = add_stamp(exchange, Asked { server_ns, number: sent.len() });
            sent.push(left.as_nanos());
            now = received;
            if measure.absorb(&exchange).is_err() {
                break;
            }
        }
        Measured { result: measure.finish(clocks(now + MS)), sent, checks }
    }

    fn stamp_of(server_ns: i64, quantum_ns: i64) -> Stamp {
        let quantum = Duration::from_nanos(quantum_ns.unsigned_abs());
        let receive = server_ns.div_euclid(quantum_ns) * quantum_ns;
        Stamp::new(Timestamp::from_unix_nanos(receive), quantum)
    }

    fn error_ns(measurement: &Measurement) -> i64 {
        (measurement.offset().as_nanos() - OFFSET_NS).abs()
    }

    fn assert_bounds_hold(measurement: &Measurement) {
        assert!(measurement.bounds().contains(Offset::from_nanos(OFFSET_NS)), "{measurement}");
    }

    #[test]
    fn stamps_of_a_microsecond_need_eight_exchanges_over_two_connections_and_no_second() {
        let measured =
            measure(&Config::default(), |it, asked| it.with_stamp(stamp_of(asked.server_ns, US)));
        let result = measured.result.expect("a result");
        assert_bounds_hold(&result);
        assert!(error_ns(&result) <= 2 * US, "{result}");
        assert_eq!((result.requests(), result.checks()), (8, 1));
        assert_eq!(result.end_reason(), &EndReason::Enough);
        assert!(result.elapsed() < Duration::from_millis(320), "{:?}", result.elapsed());
        assert!(result.has_date_advanced());
        assert_eq!(measured.checks[2], Some(CheckConnection::Fresh));
        let gaps = measured.sent.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.min() >= Some(20 * MS), "{:?}", measured.sent);
        let width = i64::try_from(result.bounds().width().as_nanos()).expect("small");
        assert!(width <= ROUND_TRIP_NS + MS + 500 * US, "{width} ns");
        assert_eq!(result.assumptions().lag_source(), LagSource::Stamp);
        let stamp = result.stamp().expect("stamps");
        assert_eq!(stamp.to_string(), "X-HTTPSTIME, 1 µs");
    }

    #[test]
    fn an_expected_offset_needs_four_exchanges() {
        let expected = Interval::between(Offset::ZERO, Offset::from_nanos(2 * OFFSET_NS));
        let config = Config::default().with_expected(expected);
        for (quantum, requests) in [(US, 4), (MS, 6)] {
            let measured =
                measure(&config, |it, asked| it.with_stamp(stamp_of(asked.server_ns, quantum)));
            let result = measured.result.expect("a result");
            assert_bounds_hold(&result);
            assert_eq!(result.requests(), requests);
        }
    }

    #[test]
    fn stamps_of_a_millisecond_are_aimed_at_their_changes() {
        let measured =
            measure(&Config::default(), |it, asked| it.with_stamp(stamp_of(asked.server_ns, MS)));
        let result = measured.result.expect("a result");
        assert_bounds_hold(&result);
        assert_eq!(result.requests(), 16);
        // A sixteenth of the quantum; without an aim the mean error is about 1/32.
        assert!(error_ns(&result) <= 10 * US, "{} ns", error_ns(&result));
    }

    #[test]
    fn stamps_that_are_not_tested_are_not_used() {
        let short = Config::builder().duration(Duration::from_millis(40)).build().expect("short");
        let measured = measure(&short, |it, asked| it.with_stamp(stamp_of(asked.server_ns, US)));
        let result = measured.result.expect("a result");
        assert_bounds_hold(&result);
        let rejected = result.stamp().and_then(|stamps| stamps.rejected());
        assert_eq!(rejected, Some(StampFault::Untested));
        for requests in [1, 2, 3] {
            let config = Config::builder().requests(requests).build().expect("in range");
            let measured =
                measure(&config, |it, asked| it.with_stamp(stamp_of(asked.server_ns, US)));
            let result = measured.result.expect("a result");
            assert_bounds_hold(&result);
            assert_eq!(result.stamp().is_some(), requests == 3);
            assert_eq!(result.bounds().width() > Duration::from_millis(500), requests < 3);
        }
    }

    /// If each request has a connection of its own, no response shows whether its stamp has the
    /// time of accept or of arrival.
    #[test]
    fn stamps_on_new_connections_only_widen_the_bounds_by_the_age_of_the_connections() {
        let width = |is_kept: bool| {
            let age = 20 * MS;
            let measured = measure(&Config::default(), |it, asked| {
                let began = if is_kept { 0 } else { it.sent().as_nanos() - age };
                it.on_connection_opened_at(at(began)).with_stamp(stamp_of(asked.server_ns, US))
            });
            measured.result.expect("a result").bounds().width()
        };
        assert_eq!(width(false), width(true) + Duration::from_millis(20));
    }

    #[test]
    fn with_two_times_the_time_of_processing_is_no_uncertainty() {
        let processing = 4 * MS;
        let measured = measure(&Config::default(), |it, asked| {
            let stamp = stamp_of(asked.server_ns - processing / 2, US);
            let transmit = stamp.receive().saturating_add(Offset::from_nanos(processing));
            it.with_stamp(stamp.with_transmit(transmit))
        });
        let result = measured.result.expect("a result");
        assert_bounds_hold(&result);
        // The server's clock may be too fast by a thousandth.
        assert_eq!(result.round_trip_min(), Duration::from_micros(6_004));
        assert!(error_ns(&result) <= 2 * US, "{result}");
    }

    #[test]
    fn rounded_and_truncated_stamps_are_both_within_the_bounds() {
        for (is_rounded, shift) in [(true, MS / 2), (false, MS / 2), (true, 0), (false, 0)] {
            let measured = measure(&Config::default(), |it, asked| {
                let stamp = stamp_of(asked.server_ns + shift, MS);
                it.with_stamp(if is_rounded { stamp.rounded() } else { stamp })
            });
            let result = measured.result.expect("a result");
            assert_bounds_hold(&result);
            let is_right = is_rounded == (shift > 0);
            assert_eq!(error_ns(&result) < 50 * US, is_right, "{is_rounded} {shift}: {result}");
        }
    }

    /// The kind of the fault with which the stamps are rejected. The `Date`s replace them.
    fn rejected(add_stamp: impl Fn(Exchange<'static>, Asked) -> Exchange<'static>) -> &'static str {
        let measured = measure(&Config::default(), add_stamp);
        let result = measured.result.expect("a result from the Dates");
        assert_bounds_hold(&result);
        assert!(result.requests() > 16 && result.has_date_advanced(), "{result}");
        assert_ne!(result.assumptions().lag_source(), LagSource::Stamp);
        result.stamp().and_then(StampUse::rejected).expect("rejected").kind()
    }

    #[test]
    fn a_stamp_that_cannot_be_true_is_named_and_the_dates_are_used() {
        let day = 86_400 * NANOS_PER_SECOND;
        let second = NANOS_PER_SECOND;
        let fixed = stamp_of(WALL_NS + OFFSET_NS + 12 * MS, US);
        for (expected, kind) in [
            (
                "newer_than_date",
                rejected(|it, asked| it.with_stamp(stamp_of(asked.server_ns + day, US))),
            ),
            (
                "older_than_date",
                rejected(|it, asked| it.with_stamp(stamp_of(asked.server_ns - day, US))),
            ),
            ("frozen", rejected(|it, _| it.with_stamp(fixed))),
            (
                "form_changed",
                rejected(|it, asked| {
                    let quantum = if asked.number == 2 { MS } else { US };
                    it.with_stamp(stamp_of(asked.server_ns, quantum))
                }),
            ),
            (
                "inconsistent",
                rejected(|it, asked| {
                    let late = if asked.number == 2 { 20 * MS } else { 0 };
                    it.with_stamp(stamp_of(asked.server_ns - late, US))
                }),
            ),
            // A clock that is updated every 500 ms, for the `Date` too.
            (
                "longer_than_round_trip",
                rejected(|it, asked| {
                    let stamp = stamp_of(asked.server_ns, US);
                    let transmit = Offset::from_nanos(second / 2);
                    it.with_stamp(stamp.with_transmit(stamp.receive().saturating_add(transmit)))
                }),
            ),
        ] {
            assert_eq!(kind, expected);
        }
    }

    #[test]
    fn a_clock_that_is_updated_every_half_second_gives_no_bounds_without_the_truth() {
        let starts = (7..1_000).step_by(17);
        for (start, lead) in starts.flat_map(|it| (0..500).step_by(49).map(move |lead| (it, lead)))
        {
            let measured = measure_from(start * MS, &Config::default(), |it, asked| {
                let shown =
                    (asked.server_ns + lead * MS).div_euclid(500 * MS) * 500 * MS - lead * MS;
                let date = Timestamp::from_unix_nanos(shown).floor_to_second();
                Exchange::from_parts_unchecked(it.sent(), it.received(), date)
                    .with_server("nginx/1.22.1")
                    .with_marks(HeadMarks::from_bits(SERVER_THEN_DATE))
                    .with_stamp(stamp_of(shown, MS))
            });
            if let Ok(result) = measured.result {
                assert!(result.stamp().and_then(StampUse::rejected).is_some(), "{lead}: {result}");
                assert_bounds_hold(&result);
            }
        }
    }

    #[test]
    fn stamps_that_are_switched_off_or_under_another_name_are_not_used() {
        for header in [None, Some("")] {
            let config = Config::builder().stamp_header(header).build().expect("valid");
            let measured =
                measure(&config, |it, asked| it.with_stamp(stamp_of(asked.server_ns, US)));
            let result = measured.result.expect("a result");
            assert_bounds_hold(&result);
            assert_eq!((result.stamp(), result.requests() > 16), (None, true));
        }
        for name in ["Date", "a b", "é", "x:", &"x".repeat(65)] {
            let error = Config::builder().stamp_header(Some(name)).build().expect_err(name);
            assert_eq!(error.kind(), "invalid_config", "{name}");
        }
    }

    #[test]
    fn a_late_contradiction_is_an_error_with_its_name() {
        let config = Config::builder().requests(200).build().expect("valid");
        let mut measured = Measure::new(&config, clocks(0));
        let mut ask = |number: i64, late: i64| {
            let sent = number * 30 * MS;
            measured.sent(at(sent));
            let server_ns = WALL_NS + sent + ROUND_TRIP_NS / 2 + OFFSET_NS;
            let date = Timestamp::from_unix_nanos(server_ns).floor_to_second();
            let exchange = Exchange::from_parts_unchecked(at(sent), at(sent + ROUND_TRIP_NS), date);
            measured.absorb(&exchange.with_stamp(stamp_of(server_ns - late, US)))
        };
        for number in 0..40 {
            assert!(ask(number, 0).is_ok(), "{number}");
        }
        let error = ask(41, 200 * MS).expect_err("200 ms late");
        assert_eq!(error.kind(), "stamp_rejected");
    }
}
