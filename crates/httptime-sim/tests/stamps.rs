//! Measurements of servers with stamps: correct ones in every form, whose bounds must contain the
//! truth, and wrong ones, which must be rejected by name.
#![forbid(unsafe_code)]

use std::time::Duration;

use fastrand::Rng;
use httptime::schedule::Profile;
use httptime::{Config, Error, Measurement, Offset, Timestamp};
use httptime_sim::{
    Outcome, Path, SimBalance, SimClock, SimConnections, SimServer, SimStamp, SimWorker,
    StampDigits, StampTrap, Verdict, World,
};

const SEED: u64 = 20_261_128;
/// Measurements with each trap.
const RUNS: u64 = 200;
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const SECOND_NS: i64 = 1_000_000_000;

/// A random clock, path and profile.
struct Place {
    clock: SimClock,
    path: Path,
    round_trip: Duration,
    config: Config,
}

impl Place {
    /// `round_trip_ms`: the base round trip is between these, and drawn from a log-uniform
    /// distribution.
    fn random(random: &mut Rng, round_trip_ms: (f64, f64), lag: Option<Duration>) -> Self {
        let wall = 1_795_392_000 * SECOND_NS + random.i64(0..SECOND_NS);
        let clock = SimClock::new(random.i64(-100_000 * SECOND_NS..=100_000 * SECOND_NS))
            .starting_at(Timestamp::from_unix_nanos(wall))
            .drifting_ppb(random.i64(-99_900..=99_900));
        let (min, max) = round_trip_ms;
        let round_trip_ms = min * (max / min).powf(random.f64());
        let queueing_ms = round_trip_ms * random.f64() * random.f64();
        let path = Path::symmetric_ms(round_trip_ms, queueing_ms).forward_share(random.f64());
        let profile = Profile::ALL[random.usize(0..Profile::ALL.len())];
        let builder = Config::builder().profile(profile);
        let builder = match lag {
            Some(lag) => builder.lag(lag),
            None => builder,
        };
        let round_trip = Duration::from_secs_f64(round_trip_ms / 1e3);
        Self { clock, path, round_trip, config: builder.build().expect("in range") }
    }

    fn measure(&self, server: SimServer, connections: SimConnections, seed: u64) -> Outcome {
        World::new(self.clock, self.path, server)
            .with_connections(connections)
            .measure(&self.config, seed)
    }
}

/// Connections that stay open, or that the server closes after some responses.
fn connections(random: &mut Rng) -> SimConnections {
    let connections = SimConnections::new().handshake();
    match random.u8(0..6) {
        0 => connections.closing_after(1),
        1 => connections.closing_after(5),
        2 => connections.closing_after(1).closing_without_notice(),
        _ => connections,
    }
}

/// The reason why the stamps were not used: the fault in the result or in the error.
fn fault(result: &Result<Measurement, Error>) -> Option<&'static str> {
    match result {
        Ok(measurement) => measurement.stamp()?.rejected().map(|fault| fault.kind()),
        Err(Error::StampRejected { fault }) => Some(fault.kind()),
        Err(_) => None,
    }
}

/// More than seven thousand measurements.
#[test]
fn the_truth_is_inside_with_every_form_of_stamp() {
    println!("seed {SEED}");
    let mut random = Rng::with_seed(SEED);
    let (mut all, mut rejected) = (0, 0);
    for form in SimStamp::forms() {
        for run in 0..100 {
            let lag = if random.bool() { Some(Duration::ZERO) } else { None };
            let place = Place::random(&mut random, (0.05, 200.0), lag);
            let mut server = SimServer::exact().stamped(form);
            if random.bool() {
                server = server.processing(place.round_trip.mul_f64(random.f64()));
            }
            let connections = connections(&mut random);
            let outcome = place.measure(server, connections, random.u64(..));
            let name = format!("{form:?}, run {run}");
            assert_eq!(outcome.verdict(), Verdict::Held, "{name}: {:?}", outcome.result);
            let measurement = outcome.result.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(measurement.bounds().contains(measurement.offset()), "{name}");
            assert!(measurement.has_date_advanced(), "{name}");
            let stamp = measurement.stamp().unwrap_or_else(|| panic!("{name}: no stamp"));
            all += 1;
            if let Some(fault) = stamp.rejected() {
                // Long queues can look like a contradiction.
                assert_eq!(fault.kind(), "inconsistent", "{name}");
                rejected += 1;
            } else {
                assert!(measurement.requests() <= 24, "{name}: {}", measurement.requests());
            }
        }
    }
    println!("{rejected} of {all} rejected");
    assert!(200 * rejected <= all, "{rejected} of {all} rejected");
}

/// The clock was read for the first of the two times long before the response was received.
#[test]
fn the_drift_while_a_server_processes_a_request_is_allowed_for() {
    println!("seed {SEED}");
    let mut random = Rng::with_seed(SEED);
    let stamp = SimStamp::integer(StampDigits::Micros).prefixed().with_duration();
    for run in 0..RUNS {
        let place = Place::random(&mut random, (0.05, 0.2), Some(Duration::ZERO));
        let server = SimServer::exact().processing(SECOND / 2).stamped(stamp);
        let outcome = place.measure(server, SimConnections::new(), random.u64(..));
        assert_eq!(outcome.verdict(), Verdict::Held, "run {run}: {:?}", outcome.result);
    }
}

/// A server whose stamps are wrong.
struct Trap {
    name: &'static str,
    /// The base round trips, in milliseconds, for which the fault must be found.
    round_trip_ms: (f64, f64),
    /// The stated lag.
    lag: Option<Duration>,
    /// The faults that fit.
    faults: &'static [&'static str],
    server: fn(&mut Rng) -> SimServer,
    connections: fn(&mut Rng) -> SimConnections,
}

/// Measures with the trap. Returns the number of measurements that named the fault.
fn fall_into(trap: &Trap) -> u64 {
    println!("seed {SEED}");
    let mut random = Rng::with_seed(SEED);
    let mut named = 0;
    for run in 0..RUNS {
        let place = Place::random(&mut random, trap.round_trip_ms, trap.lag);
        let server = (trap.server)(&mut random);
        let connections = (trap.connections)(&mut random);
        let outcome = place.measure(server, connections, random.u64(..));
        let name = format!("{}, run {run}", trap.name);
        assert_ne!(outcome.verdict(), Verdict::Missed, "{name}: {:?}", outcome.result);
        assert_ne!(outcome.verdict(), Verdict::Failed, "{name}: {:?}", outcome.result);
        if let Some(fault) = fault(&outcome.result) {
            assert!(trap.faults.contains(&fault), "{name}: {fault}");
            named += 1;
        }
    }
    println!("{}: {named} of {RUNS} named", trap.name);
    named
}

fn micros() -> SimStamp {
    SimStamp::seconds(StampDigits::Micros)
}

fn any_form(random: &mut Rng) -> SimStamp {
    let forms: Vec<_> = SimStamp::forms().collect();
    forms[random.usize(0..forms.len())]
}

fn trapped(random: &mut Rng, trap: StampTrap) -> SimServer {
    SimServer::exact().stamped(any_form(random).trapped(trap))
}

fn ahead(random: &mut Rng, ahead: Duration) -> SimServer {
    trapped(random, StampTrap::Ahead(ahead.into()))
}

fn behind(random: &mut Rng, behind: Duration) -> SimServer {
    let ahead = Offset::ZERO.saturating_sub(behind.into());
    trapped(random, StampTrap::Ahead(ahead))
}

#[test]
fn a_stamp_from_a_cache_is_named() {
    let trap = Trap {
        name: "a cache that never forgets",
        round_trip_ms: (0.05, 50.0),
        lag: Some(MILLISECOND),
        faults: &["frozen", "inconsistent", "older_than_date"],
        server: |random| trapped(random, StampTrap::Cached(Duration::MAX)),
        connections,
    };
    assert_eq!(fall_into(&trap), RUNS);
}

#[test]
fn a_stamp_that_a_cache_keeps_for_a_second_is_named() {
    let trap = Trap {
        name: "a cache for a second",
        round_trip_ms: (0.05, 10.0),
        lag: Some(MILLISECOND),
        faults: &["frozen", "inconsistent", "older_than_date"],
        server: |random| trapped(random, StampTrap::Cached(SECOND)),
        connections,
    };
    // With a request per second, the cache is empty at each of them.
    assert!(fall_into(&trap) > RUNS / 2);
}

#[test]
fn the_time_of_accept_is_named_on_connections_that_stay_open() {
    let trap = Trap {
        name: "time of accept, kept",
        round_trip_ms: (0.05, 10.0),
        lag: Some(MILLISECOND),
        faults: &["frozen", "inconsistent", "older_than_date"],
        server: |random| trapped(random, StampTrap::Accepted),
        connections: |_| SimConnections::new().handshake(),
    };
    assert_eq!(fall_into(&trap), RUNS);
}

#[test]
fn the_time_of_accept_never_puts_the_truth_outside() {
    fall_into(&Trap {
        name: "time of accept",
        round_trip_ms: (0.05, 200.0),
        lag: Some(MILLISECOND),
        faults: &["frozen", "inconsistent", "older_than_date"],
        server: |random| trapped(random, StampTrap::Accepted),
        connections,
    });
}

/// A server whose stamps and `Date`s have the time of a timer, as those of nginx with
/// `timer_resolution`.
fn with_timer(random: &mut Rng, period: Duration) -> SimServer {
    let phase = period.mul_f64(random.f64());
    SimServer::ticking(period, phase).stamped(any_form(random).with_date())
}

#[test]
fn a_clock_that_is_updated_by_a_timer_has_the_lag_that_is_stated() {
    let mut random = Rng::with_seed(SEED);
    for run in 0..RUNS {
        let period = MILLISECOND * random.u32(4..=1000);
        let place = Place::random(&mut random, (0.05, 200.0), Some(period));
        let server = with_timer(&mut random, period);
        let outcome = place.measure(server, connections(&mut random), random.u64(..));
        assert_eq!(outcome.verdict(), Verdict::Held, "run {run}, {period:?}: {:?}", outcome.result);
    }
}

#[test]
fn a_clock_that_is_updated_by_a_timer_is_named() {
    let trap = Trap {
        name: "timer_resolution",
        round_trip_ms: (0.05, 2.0),
        lag: None,
        faults: &["frozen", "inconsistent"],
        server: |random| {
            let period = MILLISECOND * [100, 500, 1000][random.usize(0..3)];
            with_timer(random, period).fields("Server: nginx/1.22.1\r\n")
        },
        connections,
    };
    assert_eq!(fall_into(&trap), RUNS);
}

#[test]
fn two_different_values_are_named() {
    let trap = Trap {
        name: "two values",
        round_trip_ms: (0.05, 200.0),
        lag: Some(MILLISECOND),
        faults: &["conflicting"],
        server: |random| trapped(random, StampTrap::Conflicting(MILLISECOND)),
        connections,
    };
    assert_eq!(fall_into(&trap), RUNS);
}

#[test]
fn a_fraction_without_its_zeros_never_puts_the_truth_outside() {
    let mut trap = Trap {
        name: "no zeros, microseconds",
        round_trip_ms: (0.05, 200.0),
        lag: Some(MILLISECOND),
        faults: &["malformed", "form_changed", "inconsistent", "newer_than_date"],
        server: |_| SimServer::exact().stamped(micros().trapped(StampTrap::Unpadded)),
        connections,
    };
    // One in ten stamps has lost a zero.
    assert!(fall_into(&trap) > RUNS / 4);
    trap.name = "no zeros, nanoseconds";
    trap.server = |_| {
        let nanos = SimStamp::seconds(StampDigits::Nanos);
        SimServer::exact().stamped(nanos.trapped(StampTrap::Unpadded))
    };
    assert!(fall_into(&trap) > RUNS / 4);
    trap.name = "no zeros, milliseconds";
    trap.server = |_| {
        let millis = SimStamp::seconds(StampDigits::Millis);
        SimServer::exact().stamped(millis.trapped(StampTrap::Unpadded))
    };
    assert!(fall_into(&trap) > RUNS / 4);
}

#[test]
fn a_stamp_that_is_older_than_the_date_is_named() {
    let trap = Trap {
        name: "five seconds old",
        round_trip_ms: (0.05, 200.0),
        lag: Some(MILLISECOND),
        faults: &["older_than_date"],
        server: |random| behind(random, 5 * SECOND),
        connections,
    };
    assert_eq!(fall_into(&trap), RUNS);
}

#[test]
fn a_stamp_of_tomorrow_is_named() {
    let trap = Trap {
        name: "tomorrow",
        round_trip_ms: (0.05, 200.0),
        lag: Some(MILLISECOND),
        faults: &["newer_than_date"],
        server: |random| ahead(random, 86_400 * SECOND),
        connections,
    };
    assert_eq!(fall_into(&trap), RUNS);
}

/// A proxy that adds a fresh stamp to a stored response, as squid does.
#[test]
fn a_fresh_stamp_beside_an_old_date_is_named() {
    let mut random = Rng::with_seed(SEED);
    for _ in 0..RUNS {
        let place = Place::random(&mut random, (0.05, 200.0), None);
        let server = SimServer::lagging(5 * SECOND, 5 * SECOND).stamped(any_form(&mut random));
        let outcome = place.measure(server, connections(&mut random), random.u64(..));
        assert_eq!(fault(&outcome.result), Some("newer_than_date"), "{:?}", outcome.result);
    }
}

#[test]
fn clocks_of_two_workers_are_named_or_one_of_them_is_in_the_bounds() {
    for balance in [SimBalance::RoundRobin, SimBalance::Random, SimBalance::Connections] {
        let mut random = Rng::with_seed(SEED);
        let mut missed = 0;
        for _ in 0..RUNS {
            let place = Place::random(&mut random, (0.05, 20.0), Some(MILLISECOND));
            let apart = Offset::from_nanos(random.i64(1..SECOND_NS));
            let workers = [SimWorker::exact(), SimWorker::exact().ahead(apart)];
            let server = SimServer::exact().workers(&workers, balance).stamped(micros());
            let outcome = place.measure(server, connections(&mut random), random.u64(..));
            assert_ne!(outcome.verdict(), Verdict::Failed, "{:?}", outcome.result);
            missed += u64::from(outcome.verdict() == Verdict::Missed);
        }
        println!("{balance:?}: {missed} of {RUNS} missed");
        assert!(20 * missed <= RUNS, "{balance:?}: {missed} of {RUNS} missed");
    }
}

#[test]
fn a_server_without_a_date_is_measured_by_its_stamps() {
    let mut random = Rng::with_seed(SEED);
    for run in 0..RUNS {
        let place = Place::random(&mut random, (0.05, 200.0), None);
        let server = SimServer::exact().stamped(any_form(&mut random));
        let connections = connections(&mut random).dateless();
        let outcome = place.measure(server, connections, random.u64(..));
        let measurement = outcome.result.unwrap_or_else(|error| panic!("run {run}: {error}"));
        assert_eq!(measurement.stamp().and_then(|stamp| stamp.rejected()), None, "run {run}");
        assert!(measurement.bounds().contains(outcome.truth), "run {run}");
    }
}

#[test]
fn without_a_date_a_wrong_stamp_is_an_error() {
    let mut random = Rng::with_seed(SEED);
    for run in 0..RUNS {
        let place = Place::random(&mut random, (0.05, 10.0), None);
        let server = trapped(&mut random, StampTrap::Cached(Duration::MAX));
        let connections = connections(&mut random).dateless();
        let outcome = place.measure(server, connections, random.u64(..));
        let error = outcome.result.expect_err("cached");
        assert_eq!(error.kind(), "stamp_rejected", "run {run}: {error}");
    }
}

#[test]
fn stamps_that_are_not_wanted_change_nothing() {
    let mut random = Rng::with_seed(SEED);
    for run in 0..RUNS {
        let place = Place::random(&mut random, (0.05, 200.0), Some(MILLISECOND));
        let config = Config::builder().lag(MILLISECOND).stamp_header(None).build();
        let place = Place { config: config.expect("in range"), ..place };
        let connections = connections(&mut random);
        let seed = random.u64(..);
        let stamped = SimServer::exact().stamped(any_form(&mut random));
        let ignored = place.measure(stamped, connections.clone(), seed).result;
        let plain = place.measure(SimServer::exact(), connections, seed).result;
        let (ignored, plain) = (ignored.expect("measured"), plain.expect("measured"));
        assert_eq!(ignored, plain, "run {run}");
        assert_eq!(ignored.stamp(), None, "run {run}");
    }
}
