use std::time::Duration;

use fastrand::Rng;
use httptime::{LocalInstant, Offset, Timestamp};

use crate::clock::SimClock;
use crate::connections::exponential_time;
use crate::stamp::{SimStamp, StampTimes, StampWriter};

/// How a simulated server produces its `Date`: which clocks it has, how late it reads them, and how
/// long a request waits before the server stamps it.
///
/// ```
/// use httptime::Offset;
/// use httptime_sim::{SimBalance, SimServer, SimWorker};
///
/// // Two machines behind one name, 50 ms apart, that answer in turn.
/// let ahead = SimWorker::exact().ahead(Offset::from_nanos(50_000_000));
/// let server = SimServer::exact().workers(&[SimWorker::exact(), ahead], SimBalance::RoundRobin);
/// ```
#[derive(Debug, Clone)]
pub struct SimServer {
    kind: Kind,
    workers: Vec<SimWorker>,
    balance: SimBalance,
    /// Requests so far.
    count: usize,
    /// The worker of each connection, by the connection's number.
    assigned: Vec<usize>,
    delay: Delay,
    processing: Duration,
    cache: Option<Cache>,
    stamps: Option<StampWriter>,
    fields: &'static str,
}

#[derive(Debug, Clone)]
enum Kind {
    Lagging { min: Duration, max: Duration },
    Ticking { period: Duration, phase: Duration },
    Caching { ttl: Duration, stored: Option<Timestamp> },
    FirstLate { phase: Duration, idle: Duration, turned: Option<Timestamp> },
}

/// The reasons for which a request waits before it is stamped.
#[derive(Debug, Clone, Copy)]
enum Delay {
    Nothing,
    RateLimit { every: Duration, max: Duration, free: Option<LocalInstant> },
    Busy { share: f64, max: Duration },
    Stall { from: LocalInstant, until: LocalInstant },
}

/// A cache that adds `Age` to every response.
#[derive(Debug, Clone)]
struct Cache {
    ttl: Duration,
    /// The response, and when it was stored according to the server's clock.
    stored: Option<(Times, Timestamp)>,
}

/// One of the processes or machines that answer for a server, with its own clock.
#[derive(Debug, Clone, Copy)]
pub struct SimWorker {
    ahead: Offset,
    frozen: Option<(LocalInstant, LocalInstant)>,
}

impl SimWorker {
    /// Its clock is the server's.
    #[must_use]
    pub const fn exact() -> Self {
        Self { ahead: Offset::ZERO, frozen: None }
    }

    /// Its clock is ahead of the server's by this much.
    #[must_use]
    pub const fn ahead(self, ahead: Offset) -> Self {
        Self { ahead, ..self }
    }

    /// Its clock stops from `from` until `until`, then jumps to the correct time. `from` may be
    /// before virtual time zero.
    #[must_use]
    pub const fn frozen(self, from: LocalInstant, until: LocalInstant) -> Self {
        Self { frozen: Some((from, until)), ..self }
    }

    /// The time of its clock.
    const fn shows(&self, clock: &SimClock, at: LocalInstant) -> Timestamp {
        let read = match self.frozen {
            Some((from, until))
                if from.as_nanos() <= at.as_nanos() && at.as_nanos() < until.as_nanos() =>
            {
                from
            }
            _ => at,
        };
        clock.server_time_at(read).saturating_add(self.ahead)
    }
}

/// Selects the worker that answers.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimBalance {
    /// In turn, by request.
    RoundRobin,
    /// At random, by request.
    Random,
    /// In turn, by connection: all requests of a connection go to the same worker.
    Connections,
    /// At random, by connection.
    RandomConnections,
    /// By address: the server's name has one address for each worker, in the same order.
    Addresses,
}

/// A request at the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    /// When its connection was accepted.
    pub(crate) accepted: LocalInstant,
    /// When it arrived.
    pub(crate) arrived: LocalInstant,
    /// When the server reads its clock for the `Date`.
    pub(crate) at: LocalInstant,
    /// When the response leaves.
    pub(crate) left: LocalInstant,
    /// The number of connections that were opened before this one.
    pub(crate) connection: usize,
    /// The index of the connection's address in the list of addresses of the server's name.
    pub(crate) address: usize,
    /// Whether it is the first request on its connection.
    pub(crate) is_first: bool,
}

/// The times in a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) date: Timestamp,
    pub(crate) age: Option<Duration>,
    /// The values of the fields with a stamp.
    pub(crate) stamps: Vec<String>,
}

impl SimServer {
    /// Reads its clock for every response, like nginx and Apache.
    #[must_use]
    pub const fn exact() -> Self {
        Self::lagging(Duration::ZERO, Duration::ZERO)
    }

    /// Each `Date` is late by a random time between `least` and `most`.
    #[must_use]
    pub const fn lagging(min: Duration, max: Duration) -> Self {
        Self::of(Kind::Lagging { min, max })
    }

    /// A timer updates a stored `Date`, `phase` after each whole `period`, as in actix and Envoy.
    #[must_use]
    pub const fn ticking(period: Duration, phase: Duration) -> Self {
        Self::of(Kind::Ticking { period, phase })
    }

    /// A caching proxy that stores a response for `ttl` and reports it with `Age`.
    #[must_use]
    pub const fn caching(ttl: Duration) -> Self {
        Self::of(Kind::Caching { ttl, stored: None })
    }

    /// Like lighttpd: the `Date` changes `phase` after each whole second, but the first response of
    /// a connection has the `Date` of the last iteration of the server's event loop. The loop
    /// iterates at each request, and `idle` after each whole second.
    #[must_use]
    pub const fn first_late(phase: Duration, idle: Duration) -> Self {
        Self::of(Kind::FirstLate { phase, idle, turned: None })
    }

    const fn of(kind: Kind) -> Self {
        Self {
            kind,
            workers: Vec::new(),
            balance: SimBalance::RoundRobin,
            count: 0,
            assigned: Vec::new(),
            delay: Delay::Nothing,
            processing: Duration::ZERO,
            cache: None,
            stamps: None,
            fields: "",
        }
    }

    /// Replaces the single exact worker by these.
    #[must_use]
    pub fn workers(self, workers: &[SimWorker], balance: SimBalance) -> Self {
        Self { workers: workers.to_vec(), balance, ..self }
    }

    pub(crate) const fn is_cached(&self) -> bool {
        self.cache.is_some()
    }

    /// Adds a cache that stores responses for `ttl` and adds `Age` to all of them, as Varnish does.
    #[must_use]
    pub fn behind_cache(mut self, ttl: Duration) -> Self {
        self.cache = Some(Cache { ttl, stored: None });
        self
    }

    /// Adds a rate limit, as nginx's `limit_req`: one request passes per `every`, and others wait
    /// before they are stamped. Requests that would wait longer than `most` are refused at once,
    /// with a correct `Date`.
    #[must_use]
    pub const fn rate_limited(mut self, every: Duration, max: Duration) -> Self {
        self.delay = Delay::RateLimit { every, max, free: None };
        self
    }

    /// Adds an event loop that is busy for this share of the time, in periods of `most`. A request
    /// that arrives in such a period is stamped at its end.
    #[must_use]
    pub const fn busy(mut self, share: f64, max: Duration) -> Self {
        self.delay = Delay::Busy { share, max };
        self
    }

    /// Requests that arrive from `from` on are stamped and answered at `until`.
    #[must_use]
    pub const fn stalled(mut self, from: LocalInstant, until: LocalInstant) -> Self {
        self.delay = Delay::Stall { from, until };
        self
    }

    /// Each response leaves later than the clock was read for the `Date`, by this time on average:
    /// the server processes the request.
    #[must_use]
    pub const fn processing(mut self, mean: Duration) -> Self {
        self.processing = mean;
        self
    }

    /// Adds a stamp to each response.
    #[must_use]
    pub fn stamped(mut self, stamp: SimStamp) -> Self {
        self.stamps = Some(StampWriter::new(stamp));
        self
    }

    /// Adds these header fields to each response. Each includes its line end.
    #[must_use]
    pub const fn fields(mut self, fields: &'static str) -> Self {
        self.fields = fields;
        self
    }

    /// The header fields other than `Date`, `Age` and the stamp.
    pub(crate) const fn other_fields(&self) -> &'static str {
        self.fields
    }

    /// The offset of each worker's clock from the server's clock.
    pub(crate) fn clocks(&self) -> impl Iterator<Item = Offset> + '_ {
        let only_clock = self.workers.is_empty().then_some(Offset::ZERO);
        only_clock.into_iter().chain(self.workers.iter().map(|worker| worker.ahead))
    }

    /// How long a request that arrives at `arrived` waits before it is stamped. Draws no random
    /// number if requests do not wait.
    pub(crate) fn delay(&mut self, arrived: LocalInstant, random: &mut Rng) -> Duration {
        match &mut self.delay {
            Delay::Nothing => Duration::ZERO,
            Delay::RateLimit { every, max, free } => {
                let passes = free.map_or(arrived, |free| free.max(arrived));
                let wait = passes.saturating_since(arrived);
                if wait > *max {
                    return Duration::ZERO;
                }
                *free = Some(passes.saturating_add(*every));
                wait
            }
            Delay::Busy { share, max } => {
                let is_busy = random.f64() < *share;
                if is_busy { max.mul_f64(random.f64()) } else { Duration::ZERO }
            }
            Delay::Stall { from, until } if arrived >= *from => until.saturating_since(arrived),
            Delay::Stall { .. } => Duration::ZERO,
        }
    }

    /// How long after the reading of its clock for the `Date` the server sends the response. Draws
    /// no random number if that is at once.
    pub(crate) fn processes_for(&self, random: &mut Rng) -> Duration {
        exponential_time(self.processing, random)
    }

    /// The times in a response.
    pub(crate) fn respond(
        &mut self,
        clock: &SimClock,
        request: Request,
        random: &mut Rng,
    ) -> Times {
        let Some(cache) = &self.cache else {
            return self.read_clock(clock, request, random);
        };
        let now = clock.server_time_at(request.at);
        let ttl = cache.ttl;
        let stored = cache.stored.as_ref();
        let age = stored.map(|(times, since)| (times, Offset::between(*since, now)));
        match age {
            Some((times, age)) if age >= Offset::ZERO && age.abs() < ttl => {
                Times { age: Some(Duration::from_secs(age.abs().as_secs())), ..times.clone() }
            }
            _ => {
                // A request that was sent earlier can arrive later.
                let is_latest = stored.is_none_or(|(_, since)| *since <= now);
                let times = self.read_clock(clock, request, random);
                if is_latest {
                    self.cache = Some(Cache { ttl, stored: Some((times.clone(), now)) });
                }
                Times { age: Some(Duration::ZERO), ..times }
            }
        }
    }

    fn read_clock(&mut self, clock: &SimClock, request: Request, random: &mut Rng) -> Times {
        let worker = self.choose(request, random);
        let (read, age) = self.read_for_date(worker.shows(clock, request.at), request, random);
        let times = StampTimes {
            accepted: worker.shows(clock, request.accepted),
            arrived: worker.shows(clock, request.arrived),
            date: read,
            left: worker.shows(clock, request.left),
        };
        let stamps = self.stamps.as_mut().map(|writer| writer.values(&times)).unwrap_or_default();
        Times { date: whole_second(read), age, stamps }
    }

    /// The reading of the clock for the `Date`, and the age of a stored response.
    fn read_for_date(
        &mut self,
        now: Timestamp,
        request: Request,
        random: &mut Rng,
    ) -> (Timestamp, Option<Duration>) {
        match &mut self.kind {
            Kind::Lagging { min, max } => {
                let lag = *min + max.saturating_sub(*min).mul_f64(random.f64());
                (earlier(now, lag), None)
            }
            Kind::Ticking { period, phase } => (last_tick(now, *period, *phase), None),
            Kind::Caching { ttl, stored } => {
                let age = |stored| Offset::between(stored, now).abs();
                let fresh = stored.filter(|stored| age(*stored) < *ttl);
                match fresh {
                    Some(stored) => (stored, Some(Duration::from_secs(age(stored).as_secs()))),
                    None => {
                        *stored = Some(now);
                        (now, None)
                    }
                }
            }
            Kind::FirstLate { phase, idle, turned } => {
                let idle = last_tick(now, SECOND, *idle);
                let turn = turned.map_or(idle, |turned| turned.max(idle));
                *turned = Some(now.max(turn));
                // A request that was sent earlier can arrive later.
                let read = if request.is_first { turn.min(now) } else { now };
                (last_tick(read, SECOND, *phase), None)
            }
        }
    }

    /// The worker that answers the next request. Draws no random number if the selection is not
    /// random.
    fn choose(&mut self, request: Request, random: &mut Rng) -> SimWorker {
        let Request { connection, address, .. } = request;
        let workers = self.workers.len();
        if workers == 0 {
            return SimWorker::exact();
        }
        let chosen = match self.balance {
            SimBalance::RoundRobin => self.count % workers,
            SimBalance::Random => random.usize(0..workers),
            SimBalance::Connections => connection % workers,
            SimBalance::RandomConnections => {
                while self.assigned.len() <= connection {
                    self.assigned.push(random.usize(0..workers));
                }
                self.assigned[connection]
            }
            SimBalance::Addresses => address % workers,
        };
        self.count += 1;
        self.workers[chosen]
    }
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    time.saturating_add(Offset::ZERO.saturating_sub(by.into()))
}

/// The last tick of a timer that ticks `phase` after each whole `period`.
pub(crate) fn last_tick(now: Timestamp, period: Duration, phase: Duration) -> Timestamp {
    let period = i64::try_from(period.as_nanos()).unwrap_or(i64::MAX).max(1);
    let since = earlier(now, phase).as_unix_nanos().rem_euclid(period);
    earlier(now, Duration::from_nanos(since.unsigned_abs()))
}

fn whole_second(time: Timestamp) -> Timestamp {
    let nanos = time.as_unix_nanos();
    Timestamp::from_unix_nanos(nanos - nanos.rem_euclid(1_000_000_000))
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: SimClock = SimClock::new(0);

    fn at_ms(millis: i64) -> LocalInstant {
        LocalInstant::from_nanos(millis * 1_000_000)
    }

    fn on(connection: usize, millis: i64) -> Request {
        let at = at_ms(millis);
        Request {
            accepted: at_ms(0),
            arrived: at,
            at,
            left: at,
            connection,
            address: 0,
            is_first: false,
        }
    }

    /// The `Date`, in seconds since virtual time zero.
    fn date(server: &mut SimServer, request: Request, random: &mut Rng) -> i64 {
        let Times { date, .. } = server.respond(&CLOCK, request, random);
        Offset::between(CLOCK.server_time_at(at_ms(0)), date).as_nanos() / 1_000_000_000
    }

    /// An exact worker, and one whose clock is 10 s ahead.
    fn two(balance: SimBalance) -> SimServer {
        let ahead = SimWorker::exact().ahead(Offset::from_nanos(10_000_000_000));
        SimServer::exact().workers(&[SimWorker::exact(), ahead], balance)
    }

    #[test]
    fn two_clocks_answer_in_turn_or_at_random_by_request_or_by_connection() {
        let random = &mut Rng::with_seed(1);
        let dates = |balance, random: &mut Rng| {
            let server = &mut two(balance);
            (0..1000).map(|n| date(server, on(n / 10, 500), random)).collect::<Vec<_>>()
        };
        let in_turn = dates(SimBalance::RoundRobin, random);
        assert!(in_turn.chunks(2).all(|pair| pair == [0, 10]), "{in_turn:?}");
        let by_connection = dates(SimBalance::Connections, random);
        let is_in_turn = |(n, dates): (usize, &[i64])| dates == [[0; 10], [10; 10]][n % 2];
        assert!(by_connection.chunks(10).enumerate().all(is_in_turn), "{by_connection:?}");
        for (balance, run) in [(SimBalance::Random, 1), (SimBalance::RandomConnections, 10)] {
            let dates = dates(balance, random);
            assert!(dates.chunks(run).all(|of| of.iter().all(|date| *date == of[0])));
            let ahead = dates.iter().filter(|date| **date == 10).count();
            assert!((300..700).contains(&ahead), "{balance:?}: {ahead} of 1000");
            let changes = dates.windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert!((300 / run..700 / run).contains(&changes), "{balance:?}: {changes} changes");
        }
    }

    #[test]
    fn each_address_of_a_name_has_its_own_clock() {
        let random = &mut Rng::with_seed(1);
        let server = &mut two(SimBalance::Addresses);
        let mut ask = |address| date(server, Request { address, ..on(0, 500) }, random);
        assert_eq!([0, 0, 1, 1, 0].map(&mut ask), [0, 0, 10, 10, 0]);
    }

    #[test]
    fn a_frozen_clock_stands_still_and_then_jumps() {
        let random = &mut Rng::with_seed(1);
        let worker = SimWorker::exact().frozen(at_ms(-2_000), at_ms(7_000));
        let mut server = SimServer::exact().workers(&[worker], SimBalance::RoundRobin);
        let dates = [0, 3_000, 6_999, 7_000, 8_000].map(|ms| date(&mut server, on(0, ms), random));
        assert_eq!(dates, [-2, -2, -2, 7, 8]);
    }

    #[test]
    fn a_cache_in_front_adds_its_second_to_the_lag_of_the_origin() {
        let random = &mut Rng::with_seed(1);
        let origin = SimServer::ticking(SECOND, Duration::from_millis(900));
        let mut server = origin.behind_cache(SECOND);
        let mut ask = |ms| {
            let Times { date, age, .. } = server.respond(&CLOCK, on(0, ms), random);
            (Offset::between(date, CLOCK.server_time_at(at_ms(ms))).as_nanos() / 1_000_000, age)
        };
        // Stored just before the origin's tick, and kept until just before the next one.
        assert_eq!(ask(5_890), (1_890, Some(Duration::ZERO)));
        assert_eq!(ask(6_889), (2_889, Some(Duration::ZERO)));
        assert_eq!(ask(6_890), (1_890, Some(Duration::ZERO)));
    }

    #[test]
    fn the_first_response_of_a_connection_has_the_date_of_the_last_turn() {
        let random = &mut Rng::with_seed(1);
        // The date changes at .400. An idle loop iterates at .300, just before.
        let mut server =
            SimServer::first_late(Duration::from_millis(400), Duration::from_millis(300));
        let first = |ms| Request { is_first: true, ..on(0, ms) };
        // The last iteration was at 5.300, when the date of 4.400 was valid: 1.89 s after its
        // second.
        assert_eq!(date(&mut server, first(6_290), random), 4);
        // On a kept connection the date is that of the last change.
        assert_eq!(date(&mut server, on(0, 6_290), random), 5);
        assert_eq!(date(&mut server, on(0, 6_410), random), 6);
        // A request causes an iteration, so that the next connection's first response is nearly
        // correct.
        assert_eq!(date(&mut server, first(6_420), random), 6);
    }

    #[test]
    fn a_rate_limit_delays_the_stamp_until_it_refuses() {
        let random = &mut Rng::with_seed(1);
        let mut server = SimServer::exact().rate_limited(SECOND, SECOND);
        let waits = [0, 300, 301, 1_500, 5_000].map(|ms| server.delay(at_ms(ms), random));
        assert_eq!(waits.map(|wait| wait.as_millis()), [0, 700, 0, 500, 0]);
    }

    #[test]
    fn a_busy_loop_delays_a_share_of_the_stamps() {
        let random = &mut Rng::with_seed(1);
        let max = Duration::from_millis(17);
        let mut server = SimServer::exact().busy(0.5, max);
        let waits: Vec<_> = (0..1000).map(|ms| server.delay(at_ms(ms), random)).collect();
        let late = waits.iter().filter(|wait| !wait.is_zero()).count();
        assert!((400..600).contains(&late), "{late} of 1000");
        assert!(waits.iter().max().is_some_and(|wait| *wait <= max));
    }

    #[test]
    fn a_stall_answers_all_that_came_meanwhile_when_it_is_over() {
        let random = &mut Rng::with_seed(1);
        let mut server = SimServer::exact().stalled(at_ms(100), at_ms(900));
        let waits = [99, 100, 500, 900, 950].map(|ms| server.delay(at_ms(ms), random).as_millis());
        assert_eq!(waits, [0, 800, 400, 0, 0]);
    }
}
