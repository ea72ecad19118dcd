//! What becomes of measurements of servers with a fault: the share that ended with an error that
//! says so, the share whose bounds hold, and the share that misses the truth while nobody is told.
#![forbid(unsafe_code)]

use std::fmt;

use httptime::Config;
use httptime::schedule::Profile;
use httptime_sim::worlds::{self, NamedWorld, Truth};
use httptime_sim::{Outcome, Verdict};

const SEEDS: std::ops::Range<u64> = 0..200;

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

/// Who says how late the `Date` may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lag {
    /// The caller: the world's stated lag.
    Stated,
    /// The library, from the header fields.
    Derived,
}

fn measure(world: &NamedWorld, profile: Profile, lag: Lag) -> Shares {
    let builder = Config::builder().profile(profile);
    let builder = match lag {
        Lag::Stated => builder.lag(world.stated_lag()),
        Lag::Derived => builder,
    };
    let config = builder.build().expect("in range");
    let mut shares = Shares::default();
    for seed in SEEDS {
        shares.add(&world.world(seed).measure(&config, seed));
    }
    println!("{:24} {:8} {lag:?}: {shares}", world.name(), profile.name());
    shares
}

fn everywhere(truth: impl Fn(Truth) -> bool, check: impl Fn(&NamedWorld, Profile, Shares)) {
    println!("seeds {SEEDS:?}");
    for world in worlds::ALL.iter().filter(|world| truth(world.truth())) {
        for profile in Profile::ALL {
            check(world, *profile, measure(world, *profile, Lag::Stated));
        }
    }
}

#[test]
fn bounds_hold_without_an_alarm_where_what_they_assume_is_true() {
    everywhere(
        |truth| truth != Truth::Broken,
        |world, profile, shares| {
            let count = u32::try_from(SEEDS.count()).expect("few");
            assert_eq!(shares.held, count, "{}, {profile}: {shares}", world.name());
        },
    );
}

#[test]
fn a_fault_is_never_taken_for_one_of_the_network() {
    everywhere(
        |truth| truth == Truth::Broken,
        |world, profile, shares| {
            assert_eq!(shares.failed, 0, "{}, {profile}: {shares}", world.name());
        },
    );
}

/// The lag that is derived is that of the software which the fields name.
#[test]
fn fronts_and_caches_send_the_fields_by_which_they_can_be_told() {
    for name in ["proxy-passed-on", "first-late", "cached-second"] {
        for profile in Profile::ALL {
            measure(worlds::named(name).expect("listed"), *profile, Lag::Derived);
        }
    }
}
