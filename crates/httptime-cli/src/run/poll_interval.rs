//! The wait until the next measurement.

use std::time::Duration;

use fastrand::Rng;

/// Doubles the wait while servers fail, and randomises it so that many clients do not measure at
/// the same time.
#[derive(Debug)]
pub(crate) struct PollInterval {
    shortest: Duration,
    longest: Duration,
    /// Whether measurements are wanted regularly.
    is_regular: bool,
    failures: u32,
    /// Whether a first failure was repeated soon.
    is_repeated: bool,
    random: Rng,
}

impl PollInterval {
    pub(crate) fn new(shortest: Duration, longest: Duration, random: Rng) -> Self {
        Self { shortest, longest, is_regular: false, failures: 0, is_repeated: false, random }
    }

    /// The same for measurements that are wanted regularly.
    pub(crate) fn regular(self) -> Self {
        Self { is_regular: true, ..self }
    }

    /// The wait after a measurement, if the next one is wanted in `interval`.
    pub(crate) fn measured(&mut self, interval: Duration) -> Duration {
        (self.failures, self.is_repeated) = (0, false);
        self.jitter(interval, if self.is_regular { REGULAR_SPREAD } else { SPREAD })
    }

    /// The same if the server was busy: longer by a random time, so that the machines that made it
    /// busy measure at different times.
    pub(crate) fn measured_busy(&mut self, interval: Duration) -> Duration {
        let wait = self.measured(interval);
        if self.is_regular {
            return wait;
        }
        let later = interval.mul_f64(BUSY_SPREAD * self.random.f64());
        wait.saturating_add(later).min(self.longest.max(wait))
    }

    /// The wait after a failure, `after` the start of the measurement. A server that refuses at
    /// once may just be restarting, so the first such failure is repeated soon.
    pub(crate) fn failed(&mut self, after: Duration) -> Duration {
        if self.failures == 0 && !self.is_repeated && after < RESTART_PAUSE {
            self.is_repeated = true;
            return RESTART_PAUSE;
        }
        let doubled = self.shortest.saturating_mul(1 << self.failures);
        self.failures = (self.failures + 1).min(MAX_DOUBLINGS);
        self.jitter(doubled.min(self.longest.max(self.shortest)), 0.25)
    }

    /// Whether the latest measurement failed.
    pub(crate) const fn is_failing(&self) -> bool {
        self.failures > 0 || self.is_repeated
    }

    /// Starts again with the shortest wait: the failures had a cause that may be gone.
    pub(crate) const fn forget_failures(&mut self) {
        if self.is_failing() {
            (self.failures, self.is_repeated) = (0, true);
        }
    }

    /// A random time within this share of the interval.
    fn jitter(&mut self, interval: Duration, share: f64) -> Duration {
        interval.mul_f64(1.0 + share * (2.0 * self.random.f64() - 1.0))
    }
}

/// Machines that started together, as after a power cut, measure at different times after a few
/// measurements. In the simulated fleets of docs/scale.md, a twentieth keeps them together for
/// hours.
const SPREAD: f64 = 0.25;
/// chronyd expects a sample in each of its polls.
const REGULAR_SPREAD: f64 = 0.05;
/// After a measurement of a busy server the next one is later by up to so many intervals.
const BUSY_SPREAD: f64 = 3.0;
/// From the start of a measurement that failed at once to the next try.
const RESTART_PAUSE: Duration = Duration::from_millis(600);
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
            let wait = poll_interval.failed(seconds(5));
            assert!(wait >= seconds(doubled).mul_f64(0.75), "{wait:?} for {doubled} s");
            assert!(wait <= seconds(doubled).mul_f64(1.25), "{wait:?} for {doubled} s");
        }
        let wait = poll_interval.measured(seconds(1000));
        assert!(wait >= seconds(750) && wait <= seconds(1250), "{wait:?}");
        assert!(poll_interval.failed(seconds(5)) <= seconds(80));
    }

    #[test]
    fn machines_that_start_together_spread_over_the_interval() {
        let seconds = Duration::from_secs;
        // When each of 1000 machines measures for the tenth time.
        let tenth = |regular: bool| -> Vec<Duration> {
            let times = (0..1000).map(|number| {
                let random = Rng::with_seed(number);
                let usual = PollInterval::new(seconds(64), seconds(3600), random);
                let mut poll_interval = if regular { usual.regular() } else { usual };
                (0..10).map(|_| poll_interval.measured(seconds(1000))).sum()
            });
            times.collect()
        };
        let near = |times: &[Duration]| {
            times.iter().filter(|time| time.abs_diff(seconds(10_000)) < seconds(100)).count()
        };
        let (spread, regular) = (near(&tenth(false)), near(&tenth(true)));
        assert!(spread < 300 && regular > 600, "{spread} and {regular} within 200 s");
    }

    #[test]
    fn a_first_failure_at_once_is_repeated_within_a_second_and_only_once() {
        let seconds = Duration::from_secs;
        let mut poll_interval = PollInterval::new(seconds(64), seconds(3600), Rng::with_seed(1));
        for _ in 0..2 {
            assert!(!poll_interval.is_failing());
            assert!(poll_interval.failed(Duration::from_millis(3)) < seconds(1));
            assert!(poll_interval.is_failing());
            for doubled in [64, 128] {
                let wait = poll_interval.failed(Duration::from_millis(3));
                assert!(wait >= seconds(doubled).mul_f64(0.75), "{wait:?} for {doubled} s");
            }
            poll_interval.forget_failures();
            assert!(poll_interval.failed(Duration::from_millis(3)) <= seconds(80));
            poll_interval.measured(seconds(64));
        }
    }

    #[test]
    fn after_a_busy_server_the_wait_is_longer_up_to_the_longest() {
        let seconds = Duration::from_secs;
        let waits = |interval: u64| -> Vec<Duration> {
            let each = (0..1000).map(|number| {
                let random = Rng::with_seed(number);
                let mut poll_interval = PollInterval::new(seconds(64), seconds(3600), random);
                poll_interval.measured_busy(seconds(interval))
            });
            each.collect()
        };
        let (soon, late) = (waits(64), waits(3600));
        assert!(soon.iter().all(|wait| *wait >= seconds(48) && *wait <= seconds(272)));
        let long = soon.iter().filter(|wait| **wait > seconds(160)).count();
        assert!((400..600).contains(&long), "{long} of 1000");
        assert!(late.iter().all(|wait| *wait <= seconds(4500)));
        let mut regular = PollInterval::new(seconds(64), seconds(64), Rng::with_seed(1)).regular();
        assert!(regular.measured_busy(seconds(64)) < seconds(68));
    }

    /// In virtual time, at 200 moments of the second day.
    #[test]
    fn servers_that_were_down_for_a_day_are_asked_within_22_minutes_of_their_return() {
        let seconds = Duration::from_secs;
        let mut latest = Duration::ZERO;
        for number in 0..200 {
            let random = Rng::with_seed(number);
            let mut poll_interval = PollInterval::new(seconds(64), seconds(3600), random);
            let back = seconds(86_400 + 60 * number);
            let mut now = Duration::ZERO;
            while now < back {
                now += poll_interval.failed(seconds(5));
            }
            latest = latest.max(now - back);
        }
        assert!(latest <= seconds(1024).mul_f64(1.25), "{latest:?}");
        assert!(latest > seconds(600), "the limit is no measure: {latest:?}");
    }
}
