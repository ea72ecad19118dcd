use httptime::session::Session;
use httptime::survey::Sessions;
use httptime::{Config, Error, Interval, Measurement, Offset};

use crate::drive::{DriverStats, Simulation};
use crate::world::World;

/// The result of a simulated measurement, and the true offset.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// The library's result.
    pub result: Result<Measurement, Error>,
    /// The true offset at the instant to which the result refers; at the end, if there is no
    /// result. If a server has several clocks, that of the first one.
    pub truth: Offset,
    /// The true offset of each clock of the server at that instant. The first is
    /// [`truth`](Self::truth).
    pub truths: Vec<Offset>,
    /// Whether the client saw a `Date` later than the first one.
    pub has_advanced: bool,
    /// The effort of the measurement.
    pub stats: DriverStats,
}

/// The verdict on a simulated measurement.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The bounds contain the offset of at least one of the server's clocks.
    Held,
    /// The bounds contain none of the offsets, and no error reports it: silently wrong.
    Missed,
    /// An error reports that the server's `Date` or its stamp cannot be trusted.
    Caught,
    /// Another error: there is no result.
    Failed,
}

impl Outcome {
    /// The outcome of sessions in this world that have ended.
    pub(crate) fn of(
        world: &World,
        simulation: &Simulation,
        sessions: Result<Sessions, Error>,
    ) -> Self {
        let end = simulation.now();
        let finish = |sessions: Sessions| {
            sessions.finish(world.clock.cross_timestamp_at(end)).into_combined()
        };
        let result = sessions.and_then(finish);
        let at = result.as_ref().map_or(end, Measurement::at);
        let truth = world.clock.offset_at(at);
        let ahead = |ahead| truth.saturating_add(ahead);
        Self {
            truth,
            truths: world.server.clocks().map(ahead).collect(),
            has_advanced: simulation.has_advanced(),
            stats: simulation.stats(),
            result,
        }
    }

    /// Whether these bounds contain the offset of one of the server's clocks.
    #[must_use]
    pub fn is_held_by(&self, bounds: Interval) -> bool {
        self.truths.iter().any(|truth| bounds.contains(*truth))
    }

    /// The error of this offset: its distance from the offset of the nearest of the server's
    /// clocks.
    #[must_use]
    pub fn error(&self, offset: Offset) -> Offset {
        let errors = self.truths.iter().map(|truth| offset.saturating_sub(*truth));
        errors.min_by_key(|error| error.abs()).unwrap_or_else(|| offset.saturating_sub(self.truth))
    }

    /// The verdict on the result.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match &self.result {
            Ok(measurement) if self.is_held_by(measurement.bounds()) => Verdict::Held,
            // The result reports it, and no clock is corrected with it.
            Ok(measurement) if !measurement.has_date_advanced() => Verdict::Caught,
            Ok(_) => Verdict::Missed,
            Err(error) if DETECTED_KINDS.contains(&error.kind()) => Verdict::Caught,
            Err(_) => Verdict::Failed,
        }
    }
}

/// The kinds of error that report that a server's `Date` or stamp cannot be trusted, or that the
/// server stops answering. Add each new kind here: the accuracy table treats any other error in its
/// worlds as a fault of the simulation.
const DETECTED_KINDS: &[&str] = &[
    "cached",
    "date_frozen",
    "date_went_back",
    "inconsistent",
    "stamp_rejected",
    "timeout_response",
];

impl World {
    /// Runs one measurement. The same seed gives the same measurement.
    #[must_use]
    pub fn measure(&self, config: &Config, seed: u64) -> Outcome {
        self.measure_watched(config, seed, |_, _| ())
    }

    /// Runs one measurement, and calls `watch` after each response with the measurement and the
    /// true offset at that instant.
    #[must_use]
    pub fn measure_watched(
        &self,
        config: &Config,
        seed: u64,
        mut watch: impl FnMut(&Session, Offset),
    ) -> Outcome {
        let mut simulation = Simulation::new(std::slice::from_ref(self), seed);
        let sessions = simulation.sessions(config).map(|mut sessions| {
            simulation.run(&mut sessions, &mut |session, at| {
                watch(session, self.clock.offset_at(at));
            });
            sessions
        });
        Outcome::of(self, &simulation, sessions)
    }
}

#[cfg(test)]
mod tests {
    use httptime::Timestamp;
    use httptime::estimate::EstimatorKind;
    use httptime::schedule::{Plan, Schedule, ScheduleKind, View};

    use std::time::Duration;

    use super::*;
    use crate::clock::SimClock;
    use crate::path::Path;
    use crate::server::SimServer;
    use fastrand::Rng;

    const SEED: u64 = 20_261_123;

    fn config(lag: Duration) -> Config {
        Config::builder().lag(lag).build().expect("in range")
    }

    /// A random time in this range with a log-uniform distribution, in milliseconds.
    fn log_uniform_ms(random: &mut Rng, least: f64, most: f64) -> f64 {
        least * (most / least).powf(random.f64())
    }

    #[test]
    fn bounds_contain_the_truth_in_every_one_of_a_hundred_thousand_measurements() {
        println!("seed {SEED}");
        let mut random = Rng::with_seed(SEED);
        let mut narrowest = Duration::MAX;
        for run in 0..100_000 {
            let most = Duration::from_nanos(random.u64(0..=1_020_000_000));
            let (server, lag) = match random.u8(0..4) {
                0 => (SimServer::exact(), Duration::ZERO),
                1 => (SimServer::lagging(most, most), most),
                2 => (SimServer::lagging(Duration::ZERO, most), most),
                _ => {
                    let period = Duration::from_millis(random.u64(4..=1000));
                    (SimServer::ticking(period, period.mul_f64(random.f64())), period)
                }
            };
            let clock = SimClock::new(random.i64(-100_000_000_000_000..=100_000_000_000_000))
                .starting_at(Timestamp::from_unix_nanos(
                    1_795_392_000_000_000_000 + random.i64(0..1_000_000_000),
                ))
                .drifting_ppb(random.i64(-99_900..=99_900));
            let round_trip = log_uniform_ms(&mut random, 0.2, 300.0);
            let queueing = round_trip * random.f64() * random.f64();
            let path = Path::symmetric_ms(round_trip, queueing)
                .forward_share(random.f64())
                .loss(if random.bool() { 0.02 } else { 0.0 });
            let kind = EstimatorKind::ALL[random.usize(0..EstimatorKind::ALL.len())];
            let config = Config::builder()
                .lag(lag)
                .estimator(kind)
                .requests(random.u32(1..=24))
                .build()
                .expect("in range");
            let seed = random.u64(..);
            let outcome = World::new(clock, path, server).measure(&config, seed);
            let measurement = outcome.result.unwrap_or_else(|error| panic!("run {run}: {error}"));
            let bounds = measurement.bounds();
            assert!(bounds.contains(outcome.truth), "run {run}: {} not in {bounds}", outcome.truth);
            assert!(bounds.contains(measurement.offset()), "run {run}");
            narrowest = narrowest.min(bounds.width());
        }
        // Infinitely wide bounds would contain everything.
        assert!(narrowest < Duration::from_millis(2), "{narrowest:?}");
    }

    #[test]
    fn a_lag_beyond_the_stated_one_can_put_the_truth_outside() {
        let server = SimServer::lagging(Duration::from_millis(500), Duration::from_millis(500));
        let world = World::new(SimClock::new(0), Path::symmetric_ms(1.0, 0.1), server);
        let outcome = world.measure(&config(Duration::from_millis(1)), SEED);
        assert!(!outcome.result.expect("measured").bounds().contains(outcome.truth));
    }

    #[test]
    fn a_lag_that_changes_beyond_the_stated_one_is_found_out_half_of_the_time() {
        let understated = crate::worlds::named("lag-understated").expect("listed");
        let config = config(understated.stated_lag());
        let found = (0..400).filter(|seed| {
            let outcome = understated.world(*seed).measure(&config, *seed);
            outcome.verdict() == Verdict::Caught
        });
        let found = found.count();
        assert!(found > 150, "{found} of 400");
    }

    #[test]
    fn htpdate_halves_its_error_with_each_request_where_nothing_queues() {
        for seed in 0..100 {
            let world =
                World::new(SimClock::new(0), Path::symmetric_ms(0.2, 0.0), SimServer::exact());
            let offset_ns = i64::try_from(seed).expect("small") * 7_654_321;
            let world = World { clock: SimClock::new(offset_ns), ..world };
            for requests in [4, 8, 12] {
                let config = Config::builder()
                    .lag(Duration::ZERO)
                    .requests(requests)
                    .duration(Duration::from_secs(60))
                    .estimator(EstimatorKind::Htpdate)
                    .schedule(ScheduleKind::Htpdate)
                    .build()
                    .expect("in range");
                let outcome = world.measure(&config, seed);
                let offset = outcome.result.expect("measured").offset();
                let error = offset.saturating_sub(outcome.truth).abs();
                let most =
                    Duration::from_secs(1) / 2_u32.pow(requests) + Duration::from_micros(200);
                assert!(error <= most, "{requests} requests, offset {offset_ns}: {error:?}");
            }
        }
    }

    #[test]
    fn scanning_spends_its_requests_in_half_the_seconds_of_bisection() {
        let world = World::new(SimClock::new(5), Path::symmetric_ms(2.0, 0.1), SimServer::exact());
        let run = |schedule, seed| {
            let config = Config::builder()
                .lag(Duration::ZERO)
                .requests(12)
                .duration(Duration::from_secs(60))
                .schedule(schedule)
                .build()
                .expect("in range");
            let outcome = world.measure(&config, seed);
            let measurement = outcome.result.expect("measured");
            let width = measurement.bounds().width();
            assert!(width < Duration::from_millis(100), "{schedule:?}: {width:?}");
            measurement.elapsed()
        };
        let (mut scan, mut bisect) = (Duration::ZERO, Duration::ZERO);
        for seed in 0..50 {
            scan += run(ScheduleKind::Scan, seed);
            bisect += run(ScheduleKind::Bisect, seed);
        }
        assert!(scan * 2 < bisect, "{scan:?} against {bisect:?}");
    }

    #[test]
    fn a_caching_proxy_is_refused_by_name() {
        let server = SimServer::caching(Duration::from_secs(60));
        let world = World::new(SimClock::new(0), Path::symmetric_ms(1.0, 0.1), server);
        let error = world.measure(&Config::default(), SEED).result.expect_err("cached");
        assert!(matches!(error, Error::Cached { .. }), "{error}");
    }

    #[test]
    fn the_same_seed_gives_the_same_measurement() {
        let world = World::new(SimClock::new(5), Path::symmetric_ms(20.0, 2.0), SimServer::exact());
        let run = |seed| world.measure(&Config::default(), seed).result.expect("measured");
        assert_eq!(run(1), run(1));
        assert_ne!(run(1).offset(), run(2).offset());
    }

    /// Sends two requests at a time.
    #[derive(Debug)]
    struct Pairs;

    impl Schedule for Pairs {
        fn name(&self) -> &'static str {
            "pairs"
        }

        fn plan(&mut self, view: &View<'_>) -> Plan {
            let progress = view.progress();
            let is_second = progress.requests() % 2 == 1;
            match progress.last_sent() {
                Some(last) if is_second => Plan::SendAt(last),
                _ if progress.scheduled_in_flight() > 0 => Plan::AwaitReply,
                _ => Plan::SendAt(view.earliest()),
            }
        }
    }

    #[test]
    fn of_two_answers_that_come_at_the_same_instant_none_is_lost() {
        let world = World::new(SimClock::new(5), Path::symmetric_ms(20.0, 0.0), SimServer::exact());
        let config = Config::builder().schedule_with(|| Box::new(Pairs)).requests(10).build();
        let mut answered = Vec::new();
        let outcome = world.measure_watched(&config.expect("in range"), SEED, |session, _| {
            answered.extend(session.progress().at());
        });
        let measurement = outcome.result.expect("measured");
        assert_eq!((measurement.requests(), measurement.observations()), (10, 10));
        let at_once = answered.chunks(2).filter(|pair| pair[0] == pair[1]).count();
        assert_eq!(at_once, 5, "{answered:?}");
    }

    #[test]
    fn a_watcher_sees_every_response_and_last_of_all_the_result() {
        let world = World::new(SimClock::new(5), Path::symmetric_ms(20.0, 2.0), SimServer::exact());
        let mut seen = Vec::new();
        let watch = |session: &Session, truth| seen.push((session.estimate(), truth));
        let outcome = world.measure_watched(&Config::default(), 1, watch);
        let measurement = outcome.result.expect("measured");
        assert_eq!(seen.len(), measurement.observations() as usize);
        let (estimate, truth) = seen.last().copied().expect("observed");
        assert_eq!(estimate.map(|e| e.offset()), Some(measurement.offset()));
        assert_eq!(truth, outcome.truth);
    }
}
