//! Estimators without the bounds to which a measurement limits them.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex};

use httptime::Config;
use httptime::Observation;
use httptime::estimate::{Estimate, Estimator, EstimatorKind};
use httptime::schedule::ScheduleKind;
use httptime_sim::worlds;

const SEED: u64 = 20_261_124;
const RUNS: u64 = 4000;

/// Wraps another estimator, and stores its latest estimate.
#[derive(Debug)]
struct RecordingEstimator {
    inner: Box<dyn Estimator>,
    latest: Arc<Mutex<Option<Estimate>>>,
}

impl Estimator for RecordingEstimator {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn absorb(&mut self, observation: &Observation) {
        self.inner.absorb(observation);
        *self.latest.lock().expect("no other thread") = self.inner.estimate();
    }

    fn estimate(&self) -> Option<Estimate> {
        self.inner.estimate()
    }
}

/// An error that is uniform over a second cannot do better: if the standard deviation is such that
/// ±1 σ contains 68 %, then ±2 σ contains all, not 95 %.
#[test]
fn the_errors_of_a_single_date_are_even_and_two_deviations_hold_them_all() {
    println!("seed {SEED}");
    for kind in [EstimatorKind::LastDate, EstimatorKind::Midpoint] {
        let latest = Arc::new(Mutex::new(None));
        let place = Arc::clone(&latest);
        let config = Config::builder()
            .lag(std::time::Duration::ZERO)
            .requests(4)
            .schedule(ScheduleKind::Periodic)
            .estimator_with(move || {
                Box::new(RecordingEstimator { inner: kind.build(), latest: Arc::clone(&place) })
            })
            .build()
            .expect("within the limits");
        let world = worlds::named("lan").expect("listed");
        let (mut one, mut two) = (0, 0);
        for seed in SEED..SEED + RUNS {
            let outcome = world.world(seed).measure(&config, seed);
            outcome.result.expect("measured");
            let estimate = latest.lock().expect("no other thread").take().expect("observed");
            let error = estimate.offset().saturating_sub(outcome.truth).abs();
            one += u64::from(error <= estimate.stddev());
            two += u64::from(error <= 2 * estimate.stddev());
        }
        println!("{}: {one} of {RUNS} within one, {two} within two", kind.name());
        assert!((RUNS * 63 / 100..=RUNS * 73 / 100).contains(&one), "{}: {one}", kind.name());
        assert_eq!(two, RUNS, "{}", kind.name());
    }
}
