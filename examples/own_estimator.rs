//! Defines a custom estimator, and compares it with the default one in a simulated world.
//!
//! `cargo run --release -p httptime-examples --example own_estimator`
#![forbid(unsafe_code)]

use httptime::Observation;
use httptime::estimate::{Estimate, Estimator, Posterior};
use httptime::{Config, Interval, Offset};
use httptime_sim::worlds;

/// Assumes equal forward and return delays in each exchange, with their queueing.
#[derive(Debug, Default)]
struct Halves(Option<(Offset, Offset)>);

impl Estimator for Halves {
    fn name(&self) -> &'static str {
        "halves"
    }

    fn absorb(&mut self, seen: &Observation) {
        let half = Offset::from(seen.round_trip() / 2);
        let low = seen.lower().saturating_add(half);
        let high = seen.upper_without_lag().saturating_sub(half);
        self.0 = Some(self.0.map_or((low, high), |ends| (ends.0.max(low), ends.1.min(high))));
    }

    fn estimate(&self) -> Option<Estimate> {
        let (low, high) = self.0?;
        let left = Interval::between(low, high);
        Some(Estimate::new(left.midpoint(), left.width()))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let regional = worlds::named("regional").ok_or("no such world")?;
    let config = || Config::builder().lag(regional.stated_lag());
    let own = config().estimator_with(|| Box::new(Halves::default())).build()?;
    let best = config().estimator_with(|| Box::new(Posterior::default())).build()?;
    for (name, config) in [("halves", own), ("posterior", best)] {
        let mut errors = Vec::new();
        for seed in 0..2000 {
            let outcome = regional.world(seed).measure(&config, seed);
            errors.push(outcome.result?.offset().saturating_sub(outcome.truth).abs());
        }
        errors.sort();
        println!("{name:10} median error {:?}, 95 % within {:?}", errors[1000], errors[1900]);
    }
    Ok(())
}
