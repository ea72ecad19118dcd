//! The measurement of one server, exchange by exchange.

use std::time::Duration;

mod connections;
mod stamps;

use self::connections::Connections;
use self::stamps::Stamps;
use crate::agreement::Agreement;
use crate::checks::{Check, CheckConnection, Checks, Scheduled};
use crate::config::Config;
use crate::error::Error;
use crate::estimate::{Estimate, Estimator};
use crate::evidence::drift;
use crate::limits::Limits;
use crate::measurement::{Assumptions, EndReason, Measurement};
use crate::observation::{Exchange, Observation};
use crate::progress::Progress;
use crate::schedule::{Plan, Schedule, View};
use crate::server::Lag;
use crate::stamp::StampFault;
use crate::time::{CrossTimestamp, Interval, LocalInstant, Offset, Timestamp};

/// What the driver must do next.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Send a request at this instant, or at once if it has passed.
    SendAt(LocalInstant),
    /// Wait for a response.
    AwaitReply,
    /// Send no more and call [`finish`](Measure::finish).
    Done,
}

/// The measurement of one server, exchange by exchange: it decides when to send, and uses the
/// responses.
///
/// ```text
///          ┌───────────── next(earliest) ──▶ SendAt │ AwaitReply │ Done
///  driver ─┼─ sent(at) ──▶
///          ├─ absorb(exchange) ──▶           or lost(error)
///          └─ finish(cross_timestamp) ──▶ Measurement
/// ```
///
/// It does not handle connections: a [`session`](crate::session) does, and contains a `Measure`.
/// Use it alone with an HTTP library that does not expose its sockets. It reads no clock and never
/// blocks.
#[derive(Debug)]
pub struct Measure {
    config: Config,
    progress: Progress,
    estimator: Box<dyn Estimator>,
    schedule: Box<dyn Schedule>,
    dates: Option<SeenDates>,
    server: String,
    sent_by_kernel: u32,
    received_by_kernel: u32,
    checks: Checks,
    stamps: Stamps,
    connections: Connections,
    /// The last planned request, until it has left or failed.
    planned: Option<PlannedRequest>,
    /// The latest check that has left.
    sent_check: Option<Check>,
    /// The number of consecutive missed aims.
    reschedules: u32,
    failures: u32,
    /// Requests in flight when a failure was counted, and still in flight: they may fail for the
    /// same reason.
    in_flight_at_failure: u32,
    /// The error of the latest request, until a request succeeds.
    failure: Option<Error>,
    /// The reason why no connection could be opened, until a request succeeds.
    connect_failure: Option<Error>,
    end_reason: Option<EndReason>,
    /// The error that ended the measurement without a result.
    fatal_error: Option<Error>,
}

/// A planned request.
#[derive(Debug, Clone, Copy)]
struct PlannedRequest {
    due: LocalInstant,
    check: Option<Check>,
}

/// The observed dates, to distinguish a clock that is stopped from one that contradicts itself.
#[derive(Debug, Clone, Copy)]
struct SeenDates {
    first: Timestamp,
    first_received: LocalInstant,
    latest: Timestamp,
}

impl Measure {
    /// A measurement that begins now. `cross_timestamp`: the local clocks now.
    #[must_use]
    pub fn new(config: &Config, cross_timestamp: CrossTimestamp) -> Self {
        let schedule = config.new_schedule();
        Self {
            config: config.clone(),
            progress: Progress::new(cross_timestamp, config.drift_ppm()),
            estimator: config.new_estimator(),
            dates: None,
            server: String::with_capacity(SERVER_CAPACITY),
            sent_by_kernel: 0,
            received_by_kernel: 0,
            checks: match (config.has_checks(), config.expected()) {
                (false, _) => Checks::none(),
                (true, None) => Checks::for_limits(
                    config.limits().requests(),
                    schedule.min_interval(),
                    schedule.check_tuning(),
                ),
                (true, Some(_)) => {
                    let requests = config.limits().requests();
                    Checks::for_expected_offset(requests, schedule.check_tuning())
                }
            },
            schedule,
            stamps: Stamps::new(config.shared_stamp_header(), config.limits().requests()),
            connections: Connections::new(),
            planned: None,
            sent_check: None,
            reschedules: 0,
            failures: 0,
            in_flight_at_failure: 0,
            failure: None,
            connect_failure: None,
            end_reason: None,
            fatal_error: None,
        }
    }

    /// Decides what to do next, if a request can leave at `earliest` or later. `earliest` is now,
    /// or the time at which a connection will be open.
    ///
    /// If it is called again after the returned instant has passed, and no request has left or
    /// failed since, it counts a missed aim if the request would now be too late: see
    /// [`is_missed`](Self::is_missed).
    pub fn next(&mut self, earliest: LocalInstant) -> Next {
        if self.fatal_error.is_some() {
            return Next::Done;
        }
        if self.planned.is_some_and(|planned| self.is_too_late(planned.due, earliest)) {
            self.reschedules += 1;
        }
        self.planned = None;
        let is_waiting = self.progress.in_flight() > 0;
        if self.end_reason.is_none() {
            match self.plan(earliest) {
                Ok(Some(planned)) => {
                    self.planned = Some(planned);
                    return Next::SendAt(planned.due);
                }
                Ok(None) => return Next::AwaitReply,
                Err(end_reason) => self.end_reason = Some(end_reason),
            }
        }
        if is_waiting { Next::AwaitReply } else { Next::Done }
    }

    /// Plans the next request: a check if one is due, otherwise a request of the schedule. `None`:
    /// wait for a response.
    fn plan(&mut self, earliest: LocalInstant) -> Result<Option<PlannedRequest>, EndReason> {
        if self.progress.requests() >= self.config.limits().requests() {
            return Err(EndReason::Requests);
        }
        if self.stamps.are_used() {
            return self.plan_stamped(earliest);
        }
        let check = |this: &Self, scheduled| {
            let check = this.plan_check(earliest, scheduled)?;
            Some(PlannedRequest { due: check.at, check: Some(check) })
        };
        let planned = match self.plan_scheduled(earliest) {
            Ok(None) => match check(self, Scheduled::Reply) {
                Some(planned) => planned,
                None => return Ok(None),
            },
            Ok(Some(due)) => {
                check(self, Scheduled::At(due)).unwrap_or(PlannedRequest { due, check: None })
            }
            Err(end_reason) => {
                let is_early = matches!(end_reason, EndReason::Target | EndReason::Enough);
                if is_early && self.checks.has_enough() {
                    return Err(end_reason);
                }
                match check(self, Scheduled::Nothing) {
                    Some(planned) => planned,
                    None if self.progress.in_flight() > 0 => return Ok(None),
                    // The uncertainty is too large for a check: the schedule gets the requests that
                    // were reserved for checks.
                    None if matches!(end_reason, EndReason::Requests)
                        && self.checks.remaining() > 0 =>
                    {
                        self.checks = Checks::none();
                        return self.plan(earliest);
                    }
                    None => return Err(end_reason),
                }
            }
        };
        self.within_duration(planned)
    }

    /// The next request to a server whose stamps are used.
    fn plan_stamped(&self, earliest: LocalInstant) -> Result<Option<PlannedRequest>, EndReason> {
        if self.progress.in_flight() > 0 {
            return Ok(None);
        }
        let limits = self.config.limits();
        let view = View::new(earliest, &self.progress, self.estimator.as_ref(), limits)
            .with_expected(self.config.expected());
        let reached = limits.target().is_some_and(|target| self.is_within(target));
        let Some((due, check)) = self.stamps.plan(&view, self.schedule.min_interval(), reached)
        else {
            return Err(if reached { EndReason::Target } else { EndReason::Enough });
        };
        self.within_duration(PlannedRequest { due, check })
    }

    fn within_duration(
        &self,
        planned: PlannedRequest,
    ) -> Result<Option<PlannedRequest>, EndReason> {
        let first = self.progress.first_sent().unwrap_or(planned.due);
        if planned.due.saturating_since(first) > self.config.limits().duration() {
            return Err(EndReason::Duration);
        }
        Ok(Some(planned))
    }

    /// The time of the schedule's next request, with requests reserved for the checks. If the
    /// `Date` has not yet advanced, the last request leaves only after it must have advanced: no
    /// clock is corrected with a result without that.
    fn plan_scheduled(
        &mut self,
        earliest: LocalInstant,
    ) -> Result<Option<LocalInstant>, EndReason> {
        let Some(advanced) = self.date_advance_deadline().filter(|advanced| *advanced > earliest)
        else {
            return self.ask_schedule(earliest);
        };
        let is_last = self.progress.requests() + 1 >= self.config.limits().requests();
        match self.ask_schedule(if is_last { advanced } else { earliest }) {
            Err(EndReason::Target | EndReason::Enough) if self.checks.has_enough() => {
                Ok(Some(advanced))
            }
            Err(EndReason::Duration) => Ok(Some(advanced)),
            planned => planned,
        }
    }

    /// The time by which the `Date` must have advanced. `None` if it has, or if that time is after
    /// the limit.
    fn date_advance_deadline(&self) -> Option<LocalInstant> {
        let dates = self.dates.filter(|dates| dates.first == dates.latest)?;
        let at = dates.first_received.saturating_add(MAX_SERVER_SECOND);
        let spent = at.saturating_since(self.progress.first_sent()?);
        (spent <= self.config.limits().duration()).then_some(at)
    }

    fn ask_schedule(&mut self, earliest: LocalInstant) -> Result<Option<LocalInstant>, EndReason> {
        let limits = self.scheduled_limits();
        if self.progress.requests() >= limits.requests() {
            return Err(EndReason::Requests);
        }
        if limits.target().is_some_and(|target| self.is_within(target)) {
            return Err(EndReason::Target);
        }
        let view = View::new(earliest, &self.progress, self.estimator.as_ref(), &limits)
            .with_expected(self.config.expected());
        match self.schedule.plan(&view) {
            Plan::SendAt(at) => {
                let first = self.progress.first_sent().unwrap_or(at);
                if at.saturating_since(first) > limits.duration() {
                    return Err(EndReason::Duration);
                }
                Ok(Some(at))
            }
            Plan::AwaitReply => Ok(None),
            Plan::Enough => Err(EndReason::Enough),
        }
    }

    fn plan_check(&self, earliest: LocalInstant, scheduled: Scheduled) -> Option<Check> {
        let limits = self.scheduled_limits();
        let view = View::new(earliest, &self.progress, self.estimator.as_ref(), &limits);
        self.checks.plan(&view, scheduled, self.schedule.min_interval())
    }

    /// The limits for the schedule: without the checks that are still to be sent.
    fn scheduled_limits(&self) -> Limits {
        let limits = *self.config.limits();
        let checks = self.checks.remaining();
        Limits { requests: limits.requests.saturating_sub(checks), ..limits }
    }

    /// The connection for the last planned request, if it is a check. If that connection is not
    /// open when the request is due, any other can be used.
    #[must_use]
    pub fn check_connection(&self) -> Option<CheckConnection> {
        Some(self.planned?.check?.connection)
    }

    /// Whether the connection that began to open at this time has passed a check on each side of a
    /// flip: its response was the predicted one, and any other would have contradicted the others.
    pub(crate) fn is_tested(&self, opened: LocalInstant) -> bool {
        self.connections.is_tested(opened)
    }

    /// Sets the open connections of the schedule, apart from the first one, that have carried
    /// requests. Each is given by the time at which it began to open.
    pub(crate) fn set_used_connections(&mut self, opened: impl Iterator<Item = LocalInstant>) {
        self.connections.set_used(opened);
        self.checks.set_untested_connections(self.connections.untested());
    }

    /// Computes the full estimate only if the cheap one is within the target.
    fn is_within(&self, target: Duration) -> bool {
        let within = |estimate: Option<Estimate>| estimate.is_some_and(|e| e.stddev() <= target);
        within(self.estimator.aim()) && within(self.estimator.estimate())
    }

    /// Reports that a request has left: its first byte was passed to the system no earlier than
    /// `at`.
    ///
    /// An instant before the first cross-timestamp is from another clock. It ends the measurement
    /// with [`ClockMismatch`](Error::ClockMismatch).
    pub fn sent(&mut self, at: LocalInstant) {
        self.reschedules = 0;
        match self.planned.take().and_then(|planned| planned.check) {
            Some(check) => {
                self.sent_check = Some(check);
                if self.stamps.are_used() {
                    self.stamps.record_connection_test();
                } else {
                    self.checks.record_sent(&check, self.progress.requests());
                }
                self.progress.sent_check(at);
            }
            None => self.progress.sent(at),
        }
        if let Err(error) = self.check_after_begin(at) {
            self.fatal_error.get_or_insert(error);
        }
    }

    /// Whether the request that [`next`](Self::next) planned for `due`, and that can leave `now` at
    /// the earliest, should be rescheduled by another call of `next`: it would yield little
    /// information, and another second costs less than a request.
    ///
    /// The schedule decides. A request is rescheduled at most three times in a row; `next` counts
    /// them until a request is [`sent`](Self::sent). A driver that does not call this method sends
    /// late requests.
    #[must_use]
    pub fn is_missed(&self, due: LocalInstant, now: LocalInstant) -> bool {
        self.reschedules < MAX_RESCHEDULES && self.is_too_late(due, now)
    }

    fn is_too_late(&self, due: LocalInstant, now: LocalInstant) -> bool {
        if let Some(check) = self.planned.and_then(|planned| planned.check) {
            return now > check.latest;
        }
        if self.stamps.are_used() {
            return false;
        }
        let limits = self.config.limits();
        let view = View::new(now, &self.progress, self.estimator.as_ref(), limits)
            .with_expected(self.config.expected());
        due < now && self.schedule.is_missed(&view, now.saturating_since(due))
    }

    /// Uses the response to a request.
    ///
    /// # Errors
    /// Each of these errors ends the measurement without a result: [`Cached`](Error::Cached),
    /// [`DateBeforeFloor`](Error::DateBeforeFloor), [`DateFrozen`](Error::DateFrozen),
    /// [`DateWentBack`](Error::DateWentBack), [`Inconsistent`](Error::Inconsistent),
    /// [`ReceivedBeforeSent`](Error::ReceivedBeforeSent), [`ClockMismatch`](Error::ClockMismatch),
    /// [`StampRejected`](Error::StampRejected). Afterwards [`next`](Self::next) returns
    /// [`Done`](Next::Done), and every later call returns the same error.
    pub fn absorb(&mut self, exchange: &Exchange<'_>) -> Result<Observation, Error> {
        self.check_not_failed()?;
        self.absorb_exchange(exchange).map_err(|error| self.fail(error))
    }

    fn absorb_exchange(&mut self, exchange: &Exchange<'_>) -> Result<Observation, Error> {
        self.check_after_begin(exchange.sent())?;
        let stampless = exchange.without_stamp();
        let mut by_date = self.observe(&stampless)?;
        let date = exchange.date();
        if let Some(floor) = self.config.floor().filter(|floor| date < *floor) {
            return Err(Error::DateBeforeFloor { date, floor });
        }
        let is_check = self.progress.is_check(exchange.handed_over());
        let check = self.sent_check.filter(|_| is_check);
        self.progress.answered(exchange.handed_over());
        let observation = match self.add_stamp(exchange, by_date.lag().allowance())? {
            Some(observation) => observation,
            None => {
                // A stamp that is not used does not stand in for a `Date`.
                if let Some(status) = exchange.dateless_status() {
                    return Err(Error::NoDate { status });
                }
                // The stamp may just have shown that the clock is late.
                by_date = by_date.with_lag(self.lag(&stampless));
                self.add_date(&by_date, exchange.opening_began())?;
                by_date
            }
        };
        self.stamps.record_by_date(by_date);
        let is_predicted = check.and_then(|check| Some(check.predicted()? == date));
        let passed = check
            .filter(|_| is_predicted == Some(true) && self.is_usual(&observation))
            .map(|check| check.side());
        self.connections.record(exchange.opening_began(), is_check, passed);
        if let (Some(check), Some(false)) = (check, is_predicted) {
            self.checks.repeat(&check);
        }
        self.remember_server(exchange.server());
        self.sent_by_kernel += u32::from(exchange.is_sent_by_kernel());
        self.received_by_kernel += u32::from(exchange.is_received_by_kernel());
        self.failures = 0;
        self.in_flight_at_failure = 0;
        self.failure = None;
        self.connect_failure = None;
        Ok(observation)
    }

    /// Whether a round trip is so short that a clock which differs passes no check with it.
    fn is_usual(&self, observation: &Observation) -> bool {
        let usual = self.progress.round_trip_median().unwrap_or_default();
        let near = self.progress.decisive_distance(observation.received()).unwrap_or_default();
        observation.round_trip() <= usual + near
    }

    fn observe(&self, exchange: &Exchange<'_>) -> Result<Observation, Error> {
        Observation::new(self.progress.cross_timestamp(), exchange, self.lag(exchange))
    }

    /// Adds the evidence of a `Date`. `opened`: when its connection began to open, if that is
    /// known.
    fn add_date(
        &mut self,
        observation: &Observation,
        opened: Option<LocalInstant>,
    ) -> Result<(), Error> {
        let (date, received) = (observation.date(), observation.received());
        let dates = *self.dates.get_or_insert(SeenDates {
            first: date,
            first_received: received,
            latest: date,
        });
        self.progress.add_evidence(observation).map_err(|error| {
            let elapsed = received.saturating_since(dates.first_received);
            if date < dates.latest {
                Error::DateWentBack { from: dates.latest, to: date }
            } else if date == dates.first {
                Error::DateFrozen { date, elapsed }
            } else {
                error
            }
        })?;
        self.connections.add(opened, self.progress.proved_by(observation));
        self.dates = Some(SeenDates { latest: dates.latest.max(date), ..dates });
        self.estimator.absorb(observation);
        Ok(())
    }

    /// Adds the evidence of a stamp. `None` if the response has none that is used: the `Date` is
    /// then to be added. `date_lag`: the limit of the lag of the `Date`.
    ///
    /// At the first fault the evidence of all stamps is replaced with that of the `Date`s.
    fn add_stamp(
        &mut self,
        exchange: &Exchange<'_>,
        date_lag: Duration,
    ) -> Result<Option<Observation>, Error> {
        let responses = self.progress.observations();
        let stamp = match self.stamps.check(exchange, date_lag) {
            Ok(Some(stamp)) => stamp,
            Ok(None) => return Ok(None),
            Err(fault) => return self.reject_stamps(fault, responses).map(|()| None),
        };
        self.stamps.record_missing_date(exchange);
        let observation = self.observe(exchange)?;
        match self.progress.add_evidence(&observation) {
            Ok(()) => {
                self.stamps.record(stamp, exchange);
                self.estimator.absorb(&observation);
                Ok(Some(observation))
            }
            Err(error) => {
                let Error::Inconsistent { gap } = error else { return Err(error) };
                let fault = self.stamps.contradiction(stamp, observation.received(), gap);
                self.reject_stamps(fault, responses).map(|()| None)
            }
        }
    }

    /// Replaces the evidence of the stamps of so many `responses` with that of their `Date`s.
    fn reject_stamps(&mut self, fault: StampFault, responses: u32) -> Result<(), Error> {
        let Some(by_date) = self.stamps.reject(fault, responses) else {
            return Err(Error::StampRejected { fault });
        };
        self.progress.forget_evidence();
        self.connections.clear();
        self.estimator = self.config.new_estimator();
        self.dates = None;
        let lag = self.lag_of_every_response();
        for observation in by_date {
            let observation = lag.map_or(observation, |lag| observation.with_lag(lag));
            self.add_date(&observation, None)?;
        }
        Ok(())
    }

    /// Reports that a request could not be sent, or that its response did not arrive. `was_sent`:
    /// whether [`sent`](Self::sent) was called for it.
    ///
    /// # Errors
    /// Returns `error` if there is no evidence yet; that is final. Otherwise the measurement
    /// continues. After three consecutive failures it ends with the evidence that it has. Lost
    /// requests that were in flight at the same time are one failure.
    pub fn lost(&mut self, was_sent: bool, error: Error) -> Result<(), Error> {
        self.check_not_failed()?;
        self.planned = None;
        if was_sent {
            self.progress.lost();
        }
        if self.progress.observations() == 0 {
            return Err(self.fail(error));
        }
        if was_sent && self.in_flight_at_failure > 0 {
            self.in_flight_at_failure -= 1;
            self.failure = Some(error);
            return Ok(());
        }
        self.in_flight_at_failure = self.progress.in_flight();
        self.count_failure(error)
    }

    /// Reports that a connection could not be opened and that the driver will retry after a pause.
    /// With the pause, the time limit ends the measurement of a server that does not come back, not
    /// the number of attempts.
    ///
    /// # Errors
    /// Returns `error` if there is no evidence yet; that is final.
    pub fn not_opened(&mut self, error: Error) -> Result<(), Error> {
        self.check_not_failed()?;
        self.planned = None;
        if self.progress.observations() == 0 {
            return Err(self.fail(error));
        }
        self.connect_failure = Some(error);
        Ok(())
    }

    /// Reports that the driver cannot use the response to a request.
    ///
    /// # Errors
    /// Returns `error` if it is the third consecutive failure and there is no evidence yet; that is
    /// final.
    pub fn discard(&mut self, error: Error) -> Result<(), Error> {
        self.check_not_failed()?;
        self.planned = None;
        self.progress.lost();
        self.count_failure(error)
    }

    /// Reports that the server had closed the connection before the request arrived. The request
    /// will be sent again. This is not a failure.
    pub fn unanswered(&mut self) {
        self.planned = None;
        self.progress.lost();
    }

    /// Reports that the response to a check on a separate connection did not arrive. This is not a
    /// failure: the server may serve one connection at a time.
    pub(crate) fn check_lost(&mut self) {
        self.planned = None;
        self.progress.check_lost();
    }

    /// For facts that the driver knows about its connections: [`Progress::set_reopening`].
    pub(crate) fn progress_mut(&mut self) -> &mut Progress {
        &mut self.progress
    }

    /// The time is over, whatever is still in flight.
    pub(crate) fn expire(&mut self) {
        self.end_reason.get_or_insert(EndReason::Duration);
    }

    /// Ends the measurement with the evidence so far, because of this error.
    pub(crate) fn give_up(&mut self, error: Error) {
        self.end_reason = Some(EndReason::Lost(error));
    }

    fn count_failure(&mut self, error: Error) -> Result<(), Error> {
        self.failures += 1;
        if self.failures < MAX_FAILURES {
            self.failure = Some(error);
        } else if self.progress.observations() == 0 {
            return Err(self.fail(error));
        } else {
            self.give_up(error);
        }
        Ok(())
    }

    /// The error that ended the measurement without a result, if there is one:
    /// [`finish`](Self::finish) will return it or its [`cause`](Self::cause).
    #[must_use]
    pub const fn failure(&self) -> Option<&Error> {
        self.fatal_error.as_ref()
    }

    /// The reason why there is no result at present. [`finish`](Self::finish) may find another one
    /// in the clocks.
    pub(crate) fn missing_result(&self) -> Option<Error> {
        let missing = || self.failure.clone().unwrap_or(Error::NothingMeasured);
        self.fatal_error.clone().or_else(|| (self.progress.observations() == 0).then(missing))
    }

    /// Ends the measurement without a result.
    fn fail(&mut self, error: Error) -> Error {
        self.fatal_error.get_or_insert(error).clone()
    }

    fn check_not_failed(&self) -> Result<(), Error> {
        self.fatal_error.clone().map_or(Ok(()), Err)
    }

    /// Checks that an instant is not before the first cross-timestamp.
    fn check_after_begin(&self, at: LocalInstant) -> Result<(), Error> {
        let begun = self.progress.cross_timestamp();
        let late = begun.instant().saturating_sub(begun.uncertainty());
        if at < late {
            let what = "the first cross-timestamp is later than a request";
            return Err(Error::ClockMismatch { what, by: begun.instant().saturating_since(at) });
        }
        Ok(())
    }

    /// Checks that the last cross-timestamp is not before the last request and response.
    fn check_before_end(&self, cross_timestamp: CrossTimestamp) -> Result<(), Error> {
        let latest = self.progress.last_sent().max(self.progress.at());
        let early = cross_timestamp.instant().saturating_add(cross_timestamp.uncertainty());
        if let Some(latest) = latest.filter(|latest| early < *latest) {
            let what = "the last cross-timestamp is earlier than a request or answer";
            return Err(Error::ClockMismatch {
                what,
                by: latest.saturating_since(cross_timestamp.instant()),
            });
        }
        Ok(())
    }

    /// The requests and the evidence so far.
    #[must_use]
    pub const fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The bounds of the evidence that counts in the result.
    fn counted_bounds(&self, at: LocalInstant) -> Option<Interval> {
        match self.stamps.are_used() {
            true => self.progress.bounds(),
            false => {
                let bounds = self.connections.bounds(at, self.config.drift_ppm())?;
                // Requests with gaps cannot test both sides of one flip: clocks that lie within the
                // decisive distance can each answer where the other would not contradict.
                let is_wide = !self.schedule.min_interval().is_zero() && self.checks.are_wanted();
                let undecided = is_wide.then(|| self.progress.undecided(at)).flatten();
                Some(undecided.map_or(bounds, |undecided| bounds.hull(undecided)))
            }
        }
    }

    /// The estimate so far, within the bounds. `None` if the measurement has failed. The bounds
    /// also limit the standard deviation: it is at most that of an error that is uniform up to the
    /// farther bound.
    #[must_use]
    pub fn estimate(&self) -> Option<Estimate> {
        if self.fatal_error.is_some() {
            return None;
        }
        let bounds = self.progress.bounds()?;
        let estimate = self.estimator.estimate()?;
        Some(estimate.within(bounds))
    }

    /// The cause of a failure with `error`. `cross_timestamp`: the local clocks at the end.
    ///
    /// While a machine sleeps, its monotonic clock stops and the server's clock continues, so dates
    /// from before and after contradict each other. The wall clock, which jumps when the machine
    /// wakes, shows that the server was not the cause.
    #[must_use]
    pub fn cause(&self, error: Error, cross_timestamp: CrossTimestamp) -> Error {
        match error {
            Error::Inconsistent { .. } => {
                self.wall_clock_shift(cross_timestamp).err().unwrap_or(error)
            }
            _ => error,
        }
    }

    /// How far the wall clock has moved against the monotonic clock since the beginning, and the
    /// uncertainty of that.
    fn wall_clock_shift(
        &self,
        cross_timestamp: CrossTimestamp,
    ) -> Result<(Offset, Duration), Error> {
        let begun = self.progress.cross_timestamp();
        let elapsed = cross_timestamp.instant().saturating_since(begun.instant());
        let uncertainty = begun.uncertainty().saturating_add(cross_timestamp.uncertainty());
        let by = begun.stepped_by(cross_timestamp);
        let allowed = drift(elapsed, self.config.drift_ppm()).saturating_add(uncertainty.into());
        if Offset::from(by.abs()) > allowed {
            return Err(Error::ClockStepped { by });
        }
        Ok((by, uncertainty))
    }

    /// Computes the result. `cross_timestamp`: the local clocks at the end.
    ///
    /// # Errors
    /// - The error that ended the measurement, or its [`cause`](Self::cause).
    /// - [`ClockMismatch`](Error::ClockMismatch) if `cross_timestamp` is older than the last
    ///   request or response.
    /// - [`ClockStepped`](Error::ClockStepped) if the wall clock was set since the beginning.
    /// - Without evidence: the error of the last response, or
    ///   [`NothingMeasured`](Error::NothingMeasured) if there was none.
    /// - The error with which the server was lost, if that was before its `Date` advanced.
    pub fn finish(mut self, cross_timestamp: CrossTimestamp) -> Result<Measurement, Error> {
        if let Some(error) = self.fatal_error.clone() {
            return Err(self.cause(error, cross_timestamp));
        }
        if self.stamps.are_used() && !self.stamps.are_tested() {
            let responses = self.progress.observations();
            self.reject_stamps(StampFault::Untested, responses)?;
        }
        self.check_before_end(cross_timestamp)?;
        let (moved, uncertainty) = self.wall_clock_shift(cross_timestamp)?;
        let progress = &self.progress;
        let begun = progress.cross_timestamp();
        let missing = self.failure.clone().unwrap_or(Error::NothingMeasured);
        let Some(estimate) = self.estimate() else { return Err(missing) };
        let (Some(at), Some(started), Some(lag), Some(round_trip_min)) =
            (progress.at(), progress.first_sent(), progress.lag(), progress.round_trip_min())
        else {
            return Err(missing);
        };
        let age = self.stamps.connection_age();
        let Some(bounds) = self.counted_bounds(at) else { return Err(missing) };
        let (bounds, estimate) = (bounds.with_upper_raised(age), estimate.within(bounds));
        // The driver finished a measurement that had not ended: it had no more time, or a request
        // failed and no response came. A request that is lost shortly before the time limit does
        // not prove that the server is lost.
        let end_reason = match (self.end_reason, self.connect_failure, self.failure) {
            (None | Some(EndReason::Duration), Some(error), _) | (None, None, Some(error)) => {
                EndReason::Lost(error)
            }
            (end_reason, ..) => end_reason.unwrap_or(EndReason::Duration),
        };
        let date_advanced = self.stamps.have_advanced()
            || self.dates.is_some_and(|dates| dates.first != dates.latest);
        match &end_reason {
            // A stopped `Date` looks the same: a server that hangs shows both.
            EndReason::Lost(error) if !date_advanced => return Err(error.clone()),
            _ => {}
        }
        Ok(Measurement {
            estimate,
            bounds: bounds.widened(uncertainty.saturating_add(moved.abs())),
            requests: progress.requests(),
            observations: progress.observations(),
            checks: progress.checks(),
            date_advanced,
            stamp: self.stamps.report(),
            sent_by_kernel: self.sent_by_kernel,
            received_by_kernel: self.received_by_kernel,
            started,
            at,
            begun,
            round_trip_min,
            round_trip_quartile: progress.round_trip_quartile().unwrap_or_default(),
            retry_after: None,
            assumptions: Assumptions {
                lag: lag.increased(age),
                drift_ppm: self.config.drift_ppm(),
                min_servers: 1,
                certificates: None,
                proxy_certificates: None,
            },
            agreement: Agreement::SINGLE,
            server: (!self.server.is_empty()).then_some(self.server),
            method: None,
            http_status: None,
            end_reason,
        })
    }

    fn lag(&self, exchange: &Exchange<'_>) -> Lag {
        self.lag_of_every_response().unwrap_or_else(|| exchange.lag())
    }

    /// The limit of the lag, where it is the same for every response.
    fn lag_of_every_response(&self) -> Option<Lag> {
        let unknown = || self.stamps.have_shown_a_late_clock().then(Lag::unknown);
        self.config.lag().map(Lag::stated).or_else(unknown)
    }

    fn remember_server(&mut self, server: Option<&str>) {
        if let Some(server) = server.filter(|server| *server != self.server) {
            self.server.clear();
            self.server.push_str(server);
        }
    }
}

/// The number of consecutive times that a late request is rescheduled.
const MAX_RESCHEDULES: u32 = 3;
/// The number of consecutive failures that ends a measurement.
const MAX_FAILURES: u32 = 3;
/// One second of a server's clock that is slow by the largest permitted drift, 10,000 ppm.
const MAX_SERVER_SECOND: Duration = Duration::from_millis(1_011);
/// Room for most `Server` fields without growing.
const SERVER_CAPACITY: usize = 128;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::schedule::ScheduleKind;
    use crate::server::UNKNOWN_LAG;
    use crate::time::{Interval, NANOS_PER_SECOND};

    const MS: i64 = 1_000_000;
    const WALL: Timestamp = Timestamp::from_unix_nanos(1_795_392_000 * NANOS_PER_SECOND);

    fn at(millis: i64) -> LocalInstant {
        LocalInstant::from_nanos(millis * 1_000_000)
    }

    fn cross_timestamp(millis: i64) -> CrossTimestamp {
        let wall = WALL.saturating_add(Offset::from_nanos(millis * 1_000_000));
        CrossTimestamp::new(at(millis), wall, Duration::ZERO)
    }

    fn date(seconds: i64) -> Timestamp {
        WALL.saturating_add(Offset::from_nanos(seconds * NANOS_PER_SECOND))
    }

    fn started() -> Measure {
        Measure::new(&Config::default(), cross_timestamp(0))
    }

    /// A request at `millis` that takes 10 ms, with a `Date` of `seconds`.
    fn exchange(measure: &mut Measure, millis: i64, seconds: i64) -> Result<Observation, Error> {
        measure.sent(at(millis));
        measure.absorb(&Exchange::from_parts_unchecked(at(millis), at(millis + 10), date(seconds)))
    }

    #[test]
    fn a_clock_stepped_meanwhile_is_an_error_and_no_result() -> Result<(), Error> {
        for step in [-2, 2, 3_600_000] {
            let mut measure = started();
            exchange(&mut measure, 0, 38)?;
            let stepped = CrossTimestamp::new(
                at(5_000),
                cross_timestamp(5_000 + step).wall(),
                Duration::ZERO,
            );
            let by = Offset::from_nanos(step * 1_000_000);
            assert_eq!(measure.finish(stepped), Err(Error::ClockStepped { by }));
        }
        Ok(())
    }

    #[test]
    fn a_machine_that_slept_is_not_taken_for_a_server_that_contradicts_itself() -> Result<(), Error>
    {
        let mut measure = started();
        exchange(&mut measure, 0, 38)?;
        // One second of the monotonic clock and seven of the server's.
        let contradiction = exchange(&mut measure, 1_000, 45).expect_err("six seconds too many");
        assert_eq!(contradiction.kind(), "inconsistent");
        let slept = CrossTimestamp::new(at(1_010), cross_timestamp(7_010).wall(), Duration::ZERO);
        let by = Offset::from_nanos(6_000_000_000);
        let cause = |error: &Error, cross_timestamp| measure.cause(error.clone(), cross_timestamp);
        assert_eq!(cause(&contradiction, slept), Error::ClockStepped { by });
        assert_eq!(cause(&contradiction, cross_timestamp(1_010)), contradiction);
        // An error that does not depend on the time stays the same.
        assert_eq!(cause(&Error::ProxyCredentials, slept), Error::ProxyCredentials);
        Ok(())
    }

    #[test]
    fn ties_that_differ_by_less_than_the_drift_widen_the_bounds() -> Result<(), Error> {
        let bounds = |nanos: i64| {
            let mut measure = started();
            exchange(&mut measure, 0, 38)?;
            let wall = cross_timestamp(5_000).wall().saturating_add(Offset::from_nanos(nanos));
            let cross_timestamp = CrossTimestamp::new(at(5_000), wall, Duration::from_nanos(7));
            Ok::<_, Error>(measure.finish(cross_timestamp)?.bounds())
        };
        assert_eq!(bounds(-1_000)?, bounds(0)?.widened(Duration::from_nanos(1_000)));
        Ok(())
    }

    #[test]
    fn ties_of_which_nothing_is_known_prove_nothing() -> Result<(), Error> {
        let mut measure = started();
        exchange(&mut measure, 0, 38)?;
        let cross_timestamp =
            CrossTimestamp::new(at(5_000), cross_timestamp(5_000).wall(), Duration::MAX);
        assert_eq!(measure.finish(cross_timestamp)?.bounds().upper(), Offset::from_nanos(i64::MAX));
        Ok(())
    }

    /// Measures a server whose second begins at `flip_ms` of each local second and that responds at
    /// once. Returns the times of the requests, and whether the `Date` was seen to advance.
    fn advances(config: &Config, flip_ms: i64) -> Result<(Vec<i64>, bool), Error> {
        let mut measure = Measure::new(config, cross_timestamp(0));
        let (mut now, mut sent) = (0, Vec::new());
        while let Next::SendAt(due) = measure.next(at(now)) {
            now = (due.as_nanos() + 999_999).div_euclid(1_000_000);
            sent.push(now);
            measure.sent(at(now));
            let date = date((now + 1_000 - flip_ms).div_euclid(1_000));
            measure.absorb(&Exchange::from_parts_unchecked(at(now), at(now + 1), date))?;
            now += 1;
        }
        Ok((sent, measure.finish(cross_timestamp(now))?.has_date_advanced()))
    }

    #[test]
    fn the_date_is_seen_to_advance_with_two_requests_and_with_a_target_reached_at_once()
    -> Result<(), Error> {
        let any = Some(Duration::from_secs(1));
        for (requests, target) in [(2, None), (3, None), (4, None), (8, None), (8, any)] {
            for schedule in ScheduleKind::ALL {
                for flip_ms in (0..1_000).step_by(7) {
                    let config = Config::builder().schedule(*schedule).requests(requests);
                    let config = match target {
                        Some(target) => config.target(target).build()?,
                        None => config.build()?,
                    };
                    let (sent, advanced) = advances(&config, flip_ms)?;
                    assert!(advanced, "{schedule} {requests} {target:?} {flip_ms}: {sent:?}");
                    let expected = Interval::between(Offset::ZERO, Offset::from_nanos(MS));
                    let expected = expected.widened(Duration::from_millis(40));
                    let (sent, advanced) = advances(&config.with_expected(expected), flip_ms)?;
                    assert!(advanced, "expected, {schedule} {requests} {flip_ms}: {sent:?}");
                }
            }
        }
        Ok(())
    }

    /// After a flip at the end of the first second, the aim at the next one is after the time
    /// limit.
    #[test]
    fn the_date_is_seen_to_advance_in_one_and_a_half_seconds() -> Result<(), Error> {
        for requests in [6, 48] {
            for flip_ms in 0..1_000 {
                let config = Config::builder().requests(requests);
                let config = config.duration(Duration::from_millis(1_500)).build()?;
                let (sent, advanced) = advances(&config, flip_ms)?;
                assert!(advanced, "{requests} {flip_ms}: {sent:?}");
            }
        }
        Ok(())
    }

    #[test]
    fn without_the_time_for_the_date_to_advance_the_last_request_goes_where_it_tells_most()
    -> Result<(), Error> {
        let config = Config::builder().requests(4).duration(Duration::from_millis(990)).build()?;
        let (sent, advanced) = advances(&config, 980)?;
        assert_eq!((sent.len(), advanced), (4, false), "{sent:?}");
        Ok(())
    }

    #[test]
    fn nothing_measured_is_an_error() {
        assert_eq!(started().finish(cross_timestamp(1)), Err(Error::NothingMeasured));
    }

    #[test]
    fn a_stored_response_is_refused_and_one_that_passed_a_cache_gets_a_second() -> Result<(), Error>
    {
        let mut measure = started();
        measure.sent(at(0));
        let fresh = Exchange::from_parts_unchecked(at(0), at(10), date(38)).with_server("nginx");
        let passed = fresh.with_age(Some(Duration::ZERO));
        assert_eq!(measure.absorb(&passed)?.lag().caches(), 1);
        let age = Some(Duration::from_secs(1));
        assert_eq!(measure.absorb(&fresh.with_age(age)), Err(Error::Cached { age }));
        Ok(())
    }

    #[test]
    fn the_largest_lag_seen_is_the_one_assumed() -> Result<(), Error> {
        let mut measure = started();
        measure.sent(at(0));
        measure.absorb(
            &Exchange::from_parts_unchecked(at(0), at(10), date(38))
                .with_server("nginx")
                .with_lag(Lag::from_server_header("nginx")),
        )?;
        measure.sent(at(20));
        measure.absorb(&Exchange::from_parts_unchecked(at(20), at(30), date(38)))?;
        let measurement = measure.finish(cross_timestamp(30))?;
        assert_eq!(measurement.assumptions().lag(), UNKNOWN_LAG);
        assert_eq!(measurement.server(), Some("nginx"));
        Ok(())
    }

    #[test]
    fn a_date_before_the_floor_is_refused() {
        let mut measure = started();
        let old = Timestamp::from_unix_nanos(0);
        let error =
            measure.absorb(&Exchange::from_parts_unchecked(at(0), at(10), old)).expect_err("1970");
        assert_eq!(error.kind(), "date_before_floor");
    }

    #[test]
    fn contradictions_have_the_name_of_their_kind() -> Result<(), Error> {
        let second = |measure: &mut Measure, millis, seconds| {
            exchange(measure, millis, seconds).expect_err("a contradiction").kind()
        };
        let begun = || -> Result<Measure, Error> {
            let mut measure = started();
            exchange(&mut measure, 0, 38)?;
            Ok(measure)
        };
        assert_eq!(second(&mut begun()?, 4_000, 38), "date_frozen");
        assert_eq!(second(&mut begun()?, 4_000, 37), "date_went_back");
        assert_eq!(second(&mut begun()?, 4_000, 46), "inconsistent");
        Ok(())
    }

    #[test]
    fn a_first_failure_is_final_and_later_ones_end_it_after_three_in_a_row() -> Result<(), Error> {
        let broken = || Error::Closed { received: 0 };
        assert_eq!(started().lost(false, broken()), Err(broken()));
        let mut measure = started();
        exchange(&mut measure, 0, 38)?;
        measure.lost(false, broken())?;
        measure.lost(false, broken())?;
        exchange(&mut measure, 980, 39)?;
        for _ in 0..3 {
            assert!(matches!(measure.next(at(1_040)), Next::SendAt(_)));
            measure.lost(false, broken())?;
        }
        assert_eq!(measure.next(at(1_040)), Next::Done);
        assert_eq!(
            measure.finish(cross_timestamp(1_040))?.end_reason(),
            &EndReason::Lost(broken())
        );
        Ok(())
    }

    #[test]
    fn requests_in_flight_together_are_lost_as_one() -> Result<(), Error> {
        let broken = || Error::Closed { received: 0 };
        let mut measure = started();
        exchange(&mut measure, 0, 38)?;
        exchange(&mut measure, 980, 39)?;
        for round in 0..3 {
            assert!(matches!(measure.next(at(1_000)), Next::SendAt(_)), "round {round}");
            for _ in 0..4 {
                measure.sent(at(1_000));
            }
            for _ in 0..4 {
                measure.lost(true, broken())?;
            }
        }
        assert_eq!(measure.next(at(1_000)), Next::Done);
        assert_eq!(
            measure.finish(cross_timestamp(1_040))?.end_reason(),
            &EndReason::Lost(broken())
        );
        Ok(())
    }

    #[test]
    fn a_server_that_is_lost_before_its_date_advanced_proved_nothing() -> Result<(), Error> {
        let broken = || Error::Closed { received: 0 };
        for lost in [3, 1] {
            let mut measure = started();
            for sent in [0, 100, 200, 300] {
                exchange(&mut measure, sent, 38)?;
            }
            for _ in 0..lost {
                measure.sent(at(400));
                measure.lost(true, broken())?;
            }
            assert_eq!(measure.finish(cross_timestamp(500)), Err(broken()), "{lost} lost");
        }
        Ok(())
    }

    #[test]
    fn a_server_that_is_away_is_waited_for_until_the_time_is_over() -> Result<(), Error> {
        let refused = || Error::Closed { received: 0 };
        assert_eq!(started().not_opened(refused()), Err(refused()));
        let connect_failure = || -> Result<Measure, Error> {
            let mut measure = started();
            exchange(&mut measure, 0, 38)?;
            exchange(&mut measure, 980, 39)?;
            for _ in 0..100 {
                assert!(matches!(measure.next(at(1_000)), Next::SendAt(_)));
                measure.not_opened(refused())?;
            }
            Ok(measure)
        };
        let mut back = connect_failure()?;
        exchange(&mut back, 1_100, 39)?;
        assert_eq!(back.finish(cross_timestamp(2_000))?.end_reason(), &EndReason::Duration);
        let mut unlucky = started();
        exchange(&mut unlucky, 0, 38)?;
        unlucky.sent(at(1_000));
        unlucky.lost(true, refused())?;
        assert_eq!(unlucky.next(at(60_000)), Next::Done);
        assert_eq!(unlucky.finish(cross_timestamp(60_000))?.end_reason(), &EndReason::Duration);
        let mut gone = connect_failure()?;
        assert_eq!(gone.next(at(60_000)), Next::Done);
        assert_eq!(gone.finish(cross_timestamp(60_000))?.end_reason(), &EndReason::Lost(refused()));
        Ok(())
    }

    #[test]
    fn answers_of_no_use_end_it_after_three_in_a_row_even_before_the_first_of_use()
    -> Result<(), Error> {
        let mut measure = started();
        for _ in 0..2 {
            measure.sent(at(0));
            measure.discard(Error::NoKernelTimestamps)?;
        }
        exchange(&mut measure, 20, 38)?;
        let mut hopeless = started();
        hopeless.discard(Error::NoKernelTimestamps)?;
        hopeless.discard(Error::NoKernelTimestamps)?;
        assert_eq!(hopeless.discard(Error::NoKernelTimestamps), Err(Error::NoKernelTimestamps));
        Ok(())
    }

    #[test]
    fn a_request_is_rescheduled_once_it_misses_by_more_than_is_unknown() -> Result<(), Error> {
        let mut measure = started();
        assert!(!measure.is_missed(at(0), at(900)));
        exchange(&mut measure, 0, 38)?;
        // A second divided by √12.
        assert!(!measure.is_missed(at(1_000), at(1_250)));
        assert!(measure.is_missed(at(1_000), at(1_350)));
        assert!(!measure.is_missed(at(1_000), at(900)));
        Ok(())
    }

    #[test]
    fn an_estimate_is_no_less_certain_than_the_bounds() -> Result<(), Error> {
        let config = Config::builder()
            .lag(Duration::ZERO)
            .estimator(crate::estimate::EstimatorKind::LastDate)
            .build()?;
        let mut measure = Measure::new(&config, cross_timestamp(0));
        exchange(&mut measure, 0, 38)?;
        exchange(&mut measure, 980, 39)?;
        let bounds = measure.progress().bounds().expect("observations");
        let estimate = measure.estimate().expect("observations");
        assert!(bounds.contains(estimate.offset()));
        assert!(estimate.stddev() < bounds.width(), "{estimate:?} {bounds}");
        Ok(())
    }

    #[test]
    fn a_request_is_rescheduled_three_times_in_a_row_at_most() -> Result<(), Error> {
        let mut measure = started();
        exchange(&mut measure, 0, 38)?;
        for _ in 0..2 {
            let mut reschedules = Vec::new();
            for _ in 0..5 {
                let Next::SendAt(due) = measure.next(at(20)) else { panic!("a request") };
                let late = due.saturating_add(Duration::from_millis(900));
                assert_eq!(measure.is_missed(due, late), measure.is_missed(due, late));
                reschedules.push(measure.is_missed(due, late));
                measure.next(late);
                // A further call does not count a second time.
                measure.next(late);
            }
            assert_eq!(reschedules, [true, true, true, false, false]);
            exchange(&mut measure, 900, 38)?;
        }
        Ok(())
    }

    #[test]
    fn what_the_kernel_saw_is_counted() -> Result<(), Error> {
        let mut measure = started();
        let stamps = [(true, true), (true, false), (false, false)];
        for ((sent, received), millis) in stamps.into_iter().zip([0, 20, 40]) {
            measure.sent(at(millis));
            let exchange = Exchange::from_parts_unchecked(at(millis), at(millis + 10), date(38))
                .with_kernel_timestamps(
                    sent.then(|| at(millis + 1)),
                    received.then(|| at(millis + 9)),
                );
            let observation = measure.absorb(&exchange)?;
            let ends = (at(millis + i64::from(sent)), at(millis + 10 - i64::from(received)));
            assert_eq!((observation.sent(), observation.received()), ends);
        }
        let measurement = measure.finish(cross_timestamp(50))?;
        assert_eq!((measurement.sent_by_kernel(), measurement.received_by_kernel()), (2, 1));
        Ok(())
    }

    #[test]
    fn one_finished_early_names_the_answer_that_was_missing() -> Result<(), Error> {
        let broken = || Error::Closed { received: 0 };
        let mut measure = started();
        exchange(&mut measure, 0, 38)?;
        exchange(&mut measure, 980, 39)?;
        measure.lost(false, broken())?;
        assert_eq!(
            measure.finish(cross_timestamp(1_040))?.end_reason(),
            &EndReason::Lost(broken())
        );
        let mut measure = started();
        exchange(&mut measure, 0, 38)?;
        assert_eq!(measure.finish(cross_timestamp(40))?.end_reason(), &EndReason::Duration);
        Ok(())
    }

    #[test]
    fn one_finished_early_without_an_answer_of_use_says_what_was_wrong_with_the_last() {
        let mut measure = started();
        measure.sent(at(0));
        assert_eq!(measure.discard(Error::NoKernelTimestamps), Ok(()));
        assert_eq!(measure.finish(cross_timestamp(40)), Err(Error::NoKernelTimestamps));
    }

    #[test]
    fn limits_end_it_once_nothing_is_in_flight() -> Result<(), Error> {
        let config = Config::builder().requests(2).build()?;
        let mut measure = Measure::new(&config, cross_timestamp(0));
        exchange(&mut measure, 0, 38)?;
        measure.sent(at(20));
        assert_eq!(measure.next(at(20)), Next::AwaitReply);
        measure.lost(true, Error::Closed { received: 0 })?;
        assert_eq!(measure.next(at(20)), Next::Done);
        assert_eq!(measure.finish(cross_timestamp(30))?.end_reason(), &EndReason::Requests);
        Ok(())
    }

    #[test]
    fn an_answer_that_proves_nothing_ends_the_measurement_in_any_case() -> Result<(), Error> {
        let day = |days: i64| Timestamp::from_unix_nanos(days * 86_400 * NANOS_PER_SECOND);
        let answer = |date| Exchange::from_parts_unchecked(at(4_000), at(4_010), date);
        let bad = [
            ("cached", answer(date(41)).with_age(Some(Duration::from_secs(5)))),
            ("date_before_floor", answer(day(1))),
            ("date_frozen", answer(date(38))),
            ("date_went_back", answer(date(37))),
            ("inconsistent", answer(date(46))),
            (
                "received_before_sent",
                Exchange::from_parts_unchecked(at(4_010), at(4_000), date(41)),
            ),
        ];
        for (kind, bad) in bad {
            let mut measure = started();
            exchange(&mut measure, 0, 38)?;
            measure.sent(at(4_000));
            measure.sent(at(4_001));
            let error = measure.absorb(&bad).expect_err(kind);
            assert_eq!(error.kind(), kind);
            assert_eq!(measure.next(at(4_020)), Next::Done, "{kind}");
            assert_eq!((measure.estimate(), measure.failure()), (None, Some(&error)), "{kind}");
            let good = Exchange::from_parts_unchecked(at(4_001), at(3_011), date(41));
            assert_eq!(measure.absorb(&good), Err(error.clone()), "{kind}: for good");
            assert_eq!(measure.finish(cross_timestamp(4_020)), Err(error), "{kind}");
        }
        Ok(())
    }

    #[test]
    fn a_loss_that_is_final_ends_the_measurement_too() {
        let broken = || Error::Closed { received: 0 };
        let mut measure = started();
        measure.sent(at(0));
        measure.sent(at(1));
        assert_eq!(measure.lost(true, broken()), Err(broken()));
        assert_eq!(measure.next(at(10)), Next::Done);
        assert_eq!(exchange(&mut measure, 1, 38), Err(broken()));
        assert_eq!(measure.finish(cross_timestamp(20)), Err(broken()));
    }

    #[test]
    fn a_cross_timestamp_of_another_clock_is_an_error_at_either_end() -> Result<(), Error> {
        // The process's clock counts seconds, CLOCK_MONOTONIC hours.
        let hours = 5_075_000;
        let mut begun = Measure::new(&Config::default(), cross_timestamp(hours));
        let error = exchange(&mut begun, 0, 38).expect_err("sent hours before it began");
        assert_eq!(error.kind(), "clock_mismatch");
        assert_eq!(begun.next(at(20)), Next::Done);
        assert_eq!(
            begun.finish(cross_timestamp(hours)).map_err(|e| e.kind()),
            Err("clock_mismatch")
        );

        let mut begun = Measure::new(&Config::default(), cross_timestamp(0));
        exchange(&mut begun, hours, hours / 1_000 + 38)?;
        assert_eq!(begun.finish(cross_timestamp(20)).map_err(|e| e.kind()), Err("clock_mismatch"));
        Ok(())
    }

    #[test]
    fn a_measurement_in_flight_can_be_shared_between_threads_and_moved() {
        fn shared<T: Send + Sync + 'static>() {}
        shared::<Measure>();
        shared::<Config>();
        shared::<Progress>();
        shared::<Box<dyn Estimator>>();
        shared::<Box<dyn Schedule>>();
        shared::<Measurement>();
        shared::<crate::http::ResponseReader>();
        shared::<Error>();
    }

    #[test]
    fn a_measurement_is_shown_in_one_line() -> Result<(), Error> {
        let config = Config::builder().lag(Duration::ZERO).build()?;
        let mut measure = Measure::new(&config, cross_timestamp(0));
        exchange(&mut measure, 0, 38)?;
        let shown = format!("{:.3}", measure.finish(cross_timestamp(10))?);
        assert_eq!(shown, "+38.495 s, stddev 0.343 s, bounds [+37.990, +39.000]");
        Ok(())
    }
}
