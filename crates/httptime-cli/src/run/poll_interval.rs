//! The wait until the next measurement.

use std::time::Duration;

use fastrand::Rng;

/// Doubles the wait while servers fail, and randomises it so that many clients do not measure at
/// the same time.
#[derive(Debug)]
pub(crate) struct PollInterval {
    shortest: Duration,
    longest: Duration,
    failures: u32,
    random: Rng,
}

impl PollInterval {
    pub(crate) fn new(shortest: Duration, longest: Duration, random: Rng) -> Self {
        Self { shortest, longest, failures: 0, random }
    }

    /// The wait after a measurement, if the next one is wanted in `interval`.
    pub(crate) fn measured(&mut self, interval: Duration) -> Duration {
        self.failures = 0;
        self.jitter(interval, 0.05)
    }

    /// The wait after a failure.
    pub(crate) fn failed(&mut self) -> Duration {
        let doubled = self.shortest.saturating_mul(1 << self.failures);
        self.failures = (self.failures + 1).min(MAX_DOUBLINGS);
        self.jitter(doubled.min(self.longest.max(self.shortest)), 0.25)
    }

    /// A random time within this share of the interval.
    fn jitter(&mut self, interval: Duration, share: f64) -> Duration {
        interval.mul_f64(1.0 + share * (2.0 * self.random.f64() - 1.0))
    }
}

/// At most 17 minutes with the default of 64 s: a network that comes up late is found soon.
const MAX_DOUBLINGS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_double_the_wait_up_to_a_quarter_of_an_hour_and_success_ends_that() {
        let seconds = Duration::from_secs;
        let mut poll_interval = PollInterval::new(seconds(64), seconds(3600), Rng::with_seed(1));
        for doubled in [64, 128, 256, 512, 1024, 1024] {
            let wait = poll_interval.failed();
            assert!(wait >= seconds(doubled).mul_f64(0.75), "{wait:?} for {doubled} s");
            assert!(wait <= seconds(doubled).mul_f64(1.25), "{wait:?} for {doubled} s");
        }
        let wait = poll_interval.measured(seconds(1000));
        assert!(wait >= seconds(950) && wait <= seconds(1050), "{wait:?}");
        assert!(poll_interval.failed() <= seconds(80));
    }
}
