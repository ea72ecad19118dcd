//! What becomes of measurements of servers with a fault: the share that ended with an error that
//! says so, the share whose bounds hold, and the share that misses the truth while nobody is told.
#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use httptime::Config;
use httptime::schedule::Profile;
use httptime_sim::worlds::{self, NamedWorld, Truth};
use httptime_sim::{Outcome, SimConnections, SimHost, Verdict, World};

const SEEDS: std::ops::Range<u64> = 0..200;
const NO_TIME: Duration = Duration::ZERO;

/// What became of the measurements in one world with one profile.
#[derive(Debug, Default, Clone, Copy)]
struct Shares {
    caught: u32,
    held: u32,
    missed: u32,
    failed: u32,
    /// Errors within one standard deviation, and within two.
    within: [u32; 2],
    /// Those that have a result although no `Date` later than the first was seen.
    unproven: u32,
}

impl Shares {
    fn add(&mut self, outcome: &Outcome) {
        self.unproven += u32::from(outcome.result.is_ok() && !outcome.has_advanced);
        if let Ok(measurement) = &outcome.result {
            let error = outcome.error(measurement.offset()).abs();
            for (count, deviations) in self.within.iter_mut().zip([1, 2]) {
                *count += u32::from(error <= deviations * measurement.stddev());
            }
        }
        *match outcome.verdict() {
            Verdict::Caught => &mut self.caught,
            Verdict::Held => &mut self.held,
            Verdict::Missed => &mut self.missed,
            _ => &mut self.failed,
        } += 1;
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.caught + self.held + self.missed + self.failed;
        let counts = [self.caught, self.held, self.missed, self.failed, self.unproven];
        let share = |count, of| 100.0 * f64::from(count) / f64::from(of);
        let [caught, held, missed, failed, unproven] = counts.map(|count| share(count, all));
        let [one, two] = self.within.map(|count| share(count, self.held + self.missed));
        write!(
            f,
            "caught {caught:5.1} %  held {held:5.1} %  missed {missed:5.1} %  failed {failed:5.1} %  \
             Date never advanced {unproven:5.1} %  within one {one:5.1} %, two {two:5.1} %"
        )
    }
}

fn measure(world: &NamedWorld, profile: Profile) -> Shares {
    let config = Config::builder().profile(profile).lag(world.stated_lag()).build();
    let config = config.expect("in range");
    let shares = measure_in(|seed| world.world(seed), &config);
    println!("{:24} {:8} {shares}", world.name(), profile.name());
    shares
}

/// Measures in the world of each seed.
fn measure_in(world: impl Fn(u64) -> World, config: &Config) -> Shares {
    let mut shares = Shares::default();
    for seed in SEEDS {
        shares.add(&world(seed).measure(config, seed));
    }
    shares
}

/// The worlds of such a kind with each profile.
fn everywhere(is_meant: impl Fn(Truth) -> bool) -> Vec<(&'static NamedWorld, Profile, Shares)> {
    println!("seeds {SEEDS:?}");
    let worlds = worlds::ALL.iter().filter(|world| is_meant(world.truth()));
    let pairs = worlds.flat_map(|world| Profile::ALL.iter().map(move |profile| (world, *profile)));
    pairs.map(|(world, profile)| (world, profile, measure(world, profile))).collect()
}

#[test]
fn bounds_hold_with_hardly_an_alarm_where_what_they_assume_is_true() {
    let all = everywhere(|truth| truth != Truth::Broken);
    let (mut caught, mut count) = (0, 0);
    for (world, profile, shares) in all {
        assert_eq!(shares.missed + shares.failed, 0, "{}, {profile}: {shares}", world.name());
        caught += shares.caught;
        count += shares.caught + shares.held;
    }
    assert!(1_000 * caught <= count, "{caught} false alarms in {count} measurements");
}

/// Checks may look at new connections and at other addresses.
#[test]
fn bounds_hold_with_hardly_an_alarm_on_new_connections_and_several_addresses() {
    let (mut caught, mut count) = (0, 0);
    for world in worlds::ALL.iter().filter(|world| world.truth() == Truth::Plain) {
        for profile in Profile::ALL {
            let config = Config::builder().profile(*profile).lag(world.stated_lag()).build();
            let config = config.expect("in range");
            let hosts = vec![SimHost::Server, SimHost::Server, SimHost::Server];
            let connections = SimConnections::new().handshake().named(hosts, Some(NO_TIME));
            let shares = measure_in(
                |seed| {
                    let responses = [1, 5, 100][usize::try_from(seed % 3).expect("few")];
                    let connections = connections.clone().closing_after(responses);
                    world.world(seed).with_connections(connections)
                },
                &config,
            );
            assert_eq!(shares.missed + shares.failed, 0, "{}, {profile}: {shares}", world.name());
            caught += shares.caught;
            count += shares.caught + shares.held;
        }
    }
    assert!(1_000 * caught <= count, "{caught} false alarms in {count} measurements");
}

#[test]
fn a_fault_of_the_server_is_never_taken_for_one_of_the_network() {
    for (world, profile, shares) in everywhere(|truth| truth == Truth::Broken) {
        assert_eq!(shares.failed, 0, "{}, {profile}: {shares}", world.name());
    }
}

#[test]
fn the_share_that_is_caught_is_counted_apart_from_the_share_that_misses() {
    // A lag that is always the same cannot be seen; a lag that changes can.
    let balanced = |name| measure(worlds::named(name).expect("listed"), Profile::Balanced);
    let (constant, changing) = (balanced("lag-constant"), balanced("lag-understated"));
    assert_eq!((constant.caught, constant.missed), (0, 200), "{constant}");
    assert!(changing.caught > 80, "{changing}");
}
