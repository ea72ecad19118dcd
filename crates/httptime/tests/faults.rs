//! Measurements through a relay that injects network faults: each ends in time, with bounds that
//! contain the truth or with a named error, and leaks nothing. It is one test, so that nothing else
//! runs in the process: descriptors, threads and memory are counted.
//!
//! `HTTPTIME_FAULTS` is the number of measurements, `HTTPTIME_FAULTS_SEED` the first seed. A
//! failure prints its own seed. That seed with `HTTPTIME_FAULTS=1` repeats the measurement as far
//! as the sockets and the scheduler allow.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use httptime::Config;
use httptime::Timestamping;
use httptime::estimate::EstimatorKind;
use httptime::schedule::{Profile, ScheduleKind};
use httptime::survey::ServerReport;
use httptime::{Client, Error, Interval, Measurement, Offset};
use httptime_testserver::{
    Behaviour, Fault, Faults, LoopbackProxy, LoopbackRelay, LoopbackServer, LoopbackServerBuilder,
    Misbehave as _, ProxyOptions,
};

const FAULTS: usize = Fault::ALL.len();

const MS: Duration = Duration::from_millis(1);

/// The number of measurements at once, on any number of processors.
const CONCURRENT: usize = 64;

/// The time that the scheduler may add to a measurement's own deadline, with this many threads.
const GRACE: Duration = Duration::from_millis(500);

/// A measurement hangs if none has finished for this long.
const HANG_TIMEOUT: Duration = Duration::from_secs(20);

/// Enough measurements to meet every fault.
const MIN_MEASUREMENTS: u64 = 300;

/// The number of times that resources are counted.
const ROUNDS: u64 = 5;

/// The permitted growth of the resident memory after the first round.
const MEMORY_KIB: u64 = 4096;

/// A server with a known error, and a proxy that leads to it.
#[derive(Debug)]
struct Origin {
    server: LoopbackServer,
    proxy: LoopbackProxy,
    lag: Duration,
}

impl Origin {
    fn start(builder: LoopbackServerBuilder, lag: Duration) -> Self {
        let server = builder.lag(lag).start().expect("a server");
        let options = ProxyOptions::default().origin(server.address());
        let proxy = LoopbackProxy::start(options).expect("a proxy");
        Self { server, proxy, lag }
    }

    fn all() -> Vec<Self> {
        let with = LoopbackServer::builder;
        let skewed = |millis: i64| with().skew(Offset::from_nanos(millis * 1_000_000));
        vec![
            Self::start(skewed(38_116), Duration::ZERO),
            Self::start(skewed(38_116), Duration::ZERO),
            Self::start(skewed(38_116).ipv6(true), Duration::ZERO),
            Self::start(skewed(-750).drift_ppm(40.0).requests_per_connection(3), Duration::ZERO),
            Self::start(skewed(333).requests_per_connection(2).announce_close(false), 400 * MS),
            Self::start(skewed(86_400_500).behaviour(Behaviour::Http10Close), Duration::ZERO),
            Self::start(
                skewed(-3_600_250).behaviour(Behaviour::Interim103).delays(2 * MS, MS),
                Duration::ZERO,
            ),
            Self::start(skewed(0).behaviour(Behaviour::FoldedDate).delays(MS, 9 * MS), 3 * MS),
        ]
    }

    /// Whether the result is correct.
    fn has_valid_bounds(&self, measurement: &Measurement) -> bool {
        let truth = self.server.offset_at(measurement.local_time());
        let bounds = measurement.bounds();
        bounds.contains(truth) && bounds.contains(measurement.offset())
    }

    /// The distance of the truth from the bounds; zero inside.
    fn outside(&self, measurement: &Measurement) -> Duration {
        let truth = self.server.offset_at(measurement.local_time());
        measurement.bounds().clamp(truth).saturating_sub(truth).abs()
    }
}

/// The settings of a measurement, drawn from its seed.
fn config(random: &mut Rng, lag: Duration, timestamping: Timestamping) -> Config {
    let millis = |random: &mut Rng, range: Range<u64>| Duration::from_millis(random.u64(range));
    let builder = Config::builder();
    let builder = match random.usize(0..10) {
        0 => builder.profile(Profile::Polite),
        1..=2 => builder.profile(Profile::Balanced),
        3..=4 => builder.profile(Profile::Fast),
        other => builder.schedule(ScheduleKind::ALL[other % ScheduleKind::ALL.len()]),
    };
    let builder = if random.u8(0..8) == 0 { builder.target(20 * MS) } else { builder };
    builder
        .requests(random.u32(3..13))
        .duration(millis(random, 500..2000))
        .timeout(millis(random, 100..500))
        .estimator(EstimatorKind::ALL[random.usize(0..EstimatorKind::ALL.len())])
        .lag(lag + MS)
        .timestamping(timestamping)
        .build()
        .expect("in range")
}

/// A quarter of the responses are lies that the measurement cannot detect.
fn lying(faults: Faults) -> Faults {
    faults.chance(Fault::CorruptDate, 0.15).chance(Fault::Replay, 0.15)
}

/// Most kinds of faults do not occur, some occur rarely; there are no lies.
fn faults(random: &mut Rng, kinds: impl Fn(Fault) -> bool) -> Faults {
    let mut faults = Faults::default().seed(random.u64(..));
    if random.bool() {
        let way = |random: &mut Rng| Duration::from_micros(random.u64(0..15_000));
        faults = faults.delays(way(random), way(random));
    }
    let drawn = |fault: &Fault| *fault != Fault::Delay && !fault.is_lie() && kinds(*fault);
    for fault in Fault::ALL.iter().copied().filter(drawn) {
        let chances = match fault {
            // These two need another piece or connection.
            Fault::Reorder => [0.0, 0.0, 0.5, 0.5],
            Fault::Coalesce => [0.0, 0.0, 0.2, 0.8],
            _ => [0.0, 0.0, 0.02, 0.1],
        };
        faults = faults.chance(fault, chances[random.usize(0..4)]);
    }
    faults
        .longest(Fault::Jitter, 20 * MS)
        .longest(Fault::Stall, 700 * MS)
        .longest(Fault::Reorder, 300 * MS)
}

/// The end of a measurement.
#[derive(Debug)]
struct Outcome {
    /// The name under which it is counted.
    name: &'static str,
    /// The violation, if there is one.
    wrong: Option<String>,
    /// The distance of the truth from the bounds of the result.
    outside: Duration,
    /// How much longer than permitted it took.
    late: Duration,
    injected: [usize; FAULTS],
}

/// The route to a server: direct, or through its proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    Straight,
    Forwarded,
    Tunnelled,
}

/// Runs `measure`. Also returns how much longer than permitted it took.
fn timed<T>(client: &Client, measure: impl FnOnce() -> T) -> (T, Duration) {
    let limits = client.config().limits();
    let allowed = limits.duration() + limits.timeout();
    let begun = Instant::now();
    let result = measure();
    (result, begun.elapsed().saturating_sub(allowed))
}

fn injected(relays: &[LoopbackRelay]) -> [usize; FAULTS] {
    std::array::from_fn(|index| relays.iter().map(|relay| relay.injected(Fault::ALL[index])).sum())
}

/// One server, with all kinds of faults or with all except the lies.
fn measure_one(origins: &[Origin], seed: u64, lies: bool) -> Outcome {
    let mut random = Rng::with_seed(seed);
    let origin = &origins[random.usize(0..origins.len())];
    let paths = [Path::Straight, Path::Straight, Path::Forwarded, Path::Tunnelled];
    let path = paths[random.usize(0..paths.len())];
    // A proxy answers a request that it does not understand by itself, with its own clock.
    let not_understood = |fault| fault == Fault::Corrupt && path == Path::Forwarded;
    let faults = faults(&mut random, |fault| lies || !not_understood(fault));
    let faults = if lies { lying(faults) } else { faults };
    let relay = match path {
        Path::Straight => LoopbackRelay::start(origin.server.address(), faults),
        _ => LoopbackRelay::start(origin.proxy.address(), faults),
    };
    let relay = relay.expect("a port");
    let builder = match path {
        Path::Straight => Client::builder(relay.url()),
        _ => {
            let tunnel = path == Path::Tunnelled;
            Client::builder(origin.server.url()).proxy(relay.url()).tunnel(tunnel)
        }
    };
    let timestamping = Timestamping::ALL[random.usize(0..Timestamping::ALL.len())];
    let config = config(&mut random, origin.lag, timestamping);
    // Sometimes with two names at once: then connections can overtake each other.
    let twice = path == Path::Straight && random.bool();
    let other_name = format!("http://localhost:{}/", relay.address().port());
    let builder = if twice { builder.server(other_name) } else { builder };
    let client = builder.config(config).build().expect("usable");
    let (survey, late) = timed(&client, || client.survey(|_| {}));
    let results = || survey.servers().iter().map(ServerReport::result).chain([survey.combined()]);
    let right = results().all(|result| match result {
        Ok(measurement) => origin.has_valid_bounds(measurement),
        Err(error) => !is_contradiction(error),
    });
    let (name, outside) = match survey.combined() {
        Ok(measurement) if origin.has_valid_bounds(measurement) => ("measured", Duration::ZERO),
        Ok(measurement) => ("measured, not within the bounds", origin.outside(measurement)),
        Err(error) => (name(error), Duration::ZERO),
    };
    let wrong = (!right && !lies)
        .then(|| format!("{path:?}, {timestamping:?}, {}: {survey:?}", origin.server.offset_now()));
    Outcome { name, wrong, outside, late, injected: injected(&[relay]) }
}

/// An error that must not occur for a server whose responses are not lies.
const fn is_contradiction(error: &Error) -> bool {
    match error {
        Error::Inconsistent { .. }
        | Error::DateWentBack { .. }
        | Error::DateFrozen { .. }
        | Error::Cached { .. }
        | Error::AmbiguousMajority { .. } => true,
        // The servers that answered agree, and too few answered: there is no contradiction.
        Error::NoMajority { answered, agreeing, .. } => *agreeing < *answered,
        _ => false,
    }
}

fn name(error: &Error) -> &'static str {
    match error {
        Error::AllFailed { last, .. } => last.kind(),
        error => error.kind(),
    }
}

/// Three servers with the same time: one behind a path that lies, and two behind paths that do not.
fn measure_three(origins: &[Origin], seed: u64) -> Outcome {
    let mut random = Rng::with_seed(seed);
    let liar = random.usize(0..3);
    let relays: Vec<LoopbackRelay> = (0..3)
        .map(|index| {
            let faults = faults(&mut random, |_| true);
            let faults = if index == liar { lying(faults) } else { faults };
            LoopbackRelay::start(origins[index].server.address(), faults).expect("a port")
        })
        .collect();
    let config = config(&mut random, Duration::ZERO, Timestamping::default());
    let builder = Client::builder(relays[0].url()).server(relays[1].url()).server(relays[2].url());
    let client = builder.config(config).build().expect("usable");
    let (survey, late) = timed(&client, || client.survey(|_| {}));
    let honest = || survey.servers().iter().enumerate().filter(|(index, _)| *index != liar);
    let bounds =
        || honest().filter_map(|(_, report)| Some(report.result().as_ref().ok()?.bounds()));
    let answered = bounds().count();
    let mut wrong = honest().any(|(_, report)| match report.result() {
        Ok(measurement) => !origins[0].has_valid_bounds(measurement),
        Err(error) => is_contradiction(error),
    });
    let name = match survey.combined() {
        Err(error) => name(error),
        Ok(single) if answered == 0 && origins[0].has_valid_bounds(single) => {
            "measured, of all only the one lied about"
        }
        Ok(_) if answered == 0 => "measured, of all only the one lied about, and wrong",
        Ok(combined) => {
            let has_valid_bounds = origins[0].has_valid_bounds(combined);
            let hull = bounds().reduce(|one, other| {
                Interval::between(one.lower().min(other.lower()), one.upper().max(other.upper()))
            });
            // Two servers are a majority against the one behind the lying path; one is not.
            wrong |= !honest().any(|(_, report)| report.is_selected())
                || !hull.is_some_and(|hull| is_within(combined.bounds(), hull))
                || (answered == 2 && !has_valid_bounds);
            if has_valid_bounds {
                "measured"
            } else {
                "measured, within an honest server's bounds only"
            }
        }
    };
    let outside = match survey.combined() {
        Ok(combined) if answered > 0 => origins[0].outside(combined),
        _ => Duration::ZERO,
    };
    let wrong = wrong.then(|| format!("server {liar} is behind the lies: {survey:?}"));
    Outcome { name, wrong, outside, late, injected: injected(&relays) }
}

/// Whether `inner` is within `outer`, which may be older by the duration of a measurement.
fn is_within(inner: Interval, outer: Interval) -> bool {
    outer.widened(MS).intersection(inner) == Some(inner)
}

/// The counts of many measurements.
#[derive(Debug, Default)]
struct Tally {
    outcomes: BTreeMap<&'static str, usize>,
    injected: [usize; FAULTS],
    late: Vec<Duration>,
    worst: Duration,
    wrong: Vec<String>,
}

impl Tally {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        *self.outcomes.entry(outcome.name).or_default() += 1;
        for (sum, count) in self.injected.iter_mut().zip(outcome.injected) {
            *sum += count;
        }
        self.worst = self.worst.max(outcome.outside);
        self.late.push(outcome.late);
        if outcome.late > GRACE {
            self.wrong.push(format!("seed {seed}: {:?} too late, {}", outcome.late, outcome.name));
        }
        if let Some(wrong) = outcome.wrong {
            self.wrong.push(format!("seed {seed}: {wrong}"));
        }
    }

    fn show(&mut self, what: &str, took: Duration) {
        let count: usize = self.outcomes.values().sum();
        println!("{what}: {count} measurements in {took:.1?}");
        for (name, count) in &self.outcomes {
            println!("  {count:6}  {name}");
        }
        for (fault, count) in Fault::ALL.iter().zip(self.injected) {
            println!("  {count:6}  times {fault}");
        }
        println!("  truth outside the bounds by up to {:.1?}", self.worst);
        self.late.sort_unstable();
        let late = |part: usize| self.late[(self.late.len() - 1) * part / 1000];
        println!(
            "  late: 900 of 1000 by up to {:.1?}, 999 by {:.1?}, all by {:.1?}",
            late(900),
            late(999),
            late(1000)
        );
    }
}

/// Runs these measurements, many at once, and adds up the outcomes.
fn run(
    measurements: Range<u64>,
    tally: &mut Tally,
    measure: impl Fn(u64) -> Outcome + Send + Sync + 'static,
) {
    let measure = Arc::new(measure);
    let next = Arc::new(AtomicU64::new(measurements.start));
    let (sender, outcomes) = mpsc::channel();
    let workers: Vec<_> = (0..CONCURRENT)
        .map(|_| {
            let (measure, next, sender) = (Arc::clone(&measure), Arc::clone(&next), sender.clone());
            thread::spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= measurements.end {
                        break;
                    }
                    if sender.send((seed, measure(seed))).is_err() {
                        break;
                    }
                }
            })
        })
        .collect();
    drop(sender);
    let mut missing: Vec<u64> = measurements.clone().collect();
    while !missing.is_empty() {
        let outcome = outcomes.recv_timeout(HANG_TIMEOUT);
        let Ok((seed, outcome)) = outcome else { panic!("no end of the measurements {missing:?}") };
        missing.retain(|other| *other != seed);
        tally.add(seed, outcome);
    }
    for worker in workers {
        worker.join().expect("no panic");
    }
}

/// The resources of a process. Zero where there is no `/proc`.
#[derive(Debug, Clone, Copy)]
struct Resources {
    descriptors: usize,
    threads: usize,
    memory_kib: u64,
}

impl Resources {
    fn now() -> Self {
        let entries = |directory| fs::read_dir(directory).map_or(0, Iterator::count);
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory = resident.and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok());
        Self {
            descriptors: entries("/proc/self/fd"),
            threads: entries("/proc/self/task"),
            memory_kib: memory.unwrap_or(0),
        }
    }
}

/// Waits until the servers have closed the connections that the clients closed. Then the numbers of
/// descriptors and threads must be the same as before. Returns the resident memory in KiB.
fn wait_until_released(before: Resources, origins: &[Origin]) -> u64 {
    let begun = Instant::now();
    loop {
        let now = Resources::now();
        let quiet = origins.iter().all(|origin| origin.server.open_connections() == 0);
        if quiet && now.descriptors <= before.descriptors && now.threads <= before.threads {
            return now.memory_kib;
        }
        assert!(begun.elapsed() < HANG_TIMEOUT, "{now:?}; before, {before:?}");
        thread::sleep(2 * MS);
    }
}

fn number(variable: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(variable) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number"))
}

#[test]
fn faults_end_in_true_bounds_or_a_named_error_in_time_and_leave_nothing_behind() {
    let count = number("HTTPTIME_FAULTS", MIN_MEASUREMENTS);
    let seed = number("HTTPTIME_FAULTS_SEED", 20_261_125);
    println!("{count} measurements and a third as many more, seed {seed}");
    let origins = Arc::new(Origin::all());
    let start = Resources::now();
    let mut wrong = Vec::new();

    let mut honest = Tally::default();
    let began = Instant::now();
    let one = |lies| {
        let origins = Arc::clone(&origins);
        move |seed| measure_one(&origins, seed, lies)
    };
    let round = |number| seed + count * number / ROUNDS;
    let mut memory_kib = Vec::new();
    for number in 0..ROUNDS {
        run(round(number)..round(number + 1), &mut honest, one(false));
        memory_kib.push(wait_until_released(start, &origins));
    }
    honest.show("all faults but lies", began.elapsed());

    let mut lied_to = Tally::default();
    let began = Instant::now();
    run(seed..seed + count.div_ceil(6), &mut lied_to, one(true));
    lied_to.show("all faults, lies too", began.elapsed());

    let mut outvoted = Tally::default();
    let began = Instant::now();
    let three = Arc::clone(&origins);
    run(seed..seed + count.div_ceil(6), &mut outvoted, move |seed| measure_three(&three, seed));
    outvoted.show("three servers, lies about one", began.elapsed());
    memory_kib.push(wait_until_released(start, &origins));
    println!("before: {start:?}; resident after each round, in KiB: {memory_kib:?}");

    for tally in [&mut honest, &mut lied_to, &mut outvoted] {
        wrong.append(&mut tally.wrong);
    }
    assert!(
        wrong.is_empty(),
        "{} of them, such as {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(5)]
    );
    let (warm, grown) = (memory_kib[0], memory_kib.into_iter().max().unwrap_or(0));
    assert!(grown <= warm + MEMORY_KIB, "{grown} KiB; {warm} after the first round");
    if count < MIN_MEASUREMENTS {
        return;
    }
    for (fault, count) in Fault::ALL.iter().zip(honest.injected) {
        assert_eq!(count == 0, fault.is_lie(), "{count} times {fault}");
    }
    for fault in Fault::ALL.iter().filter(|fault| fault.is_lie()) {
        assert!(lied_to.injected[*fault as usize] > 0, "never {fault}");
    }
    let measured = honest.outcomes.get("measured").copied().unwrap_or(0);
    assert!(measured as u64 > count / 3, "only {measured} of {count} measured");
}
