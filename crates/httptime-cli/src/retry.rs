//! Repeats a measurement that failed, with curl's options.
#![allow(
    clippy::doc_markdown,
    rustdoc::broken_intra_doc_links,
    reason = "comments of options are the text of --help: no backticks, and brackets are optional parts"
)]

use std::thread;
use std::time::{Duration, Instant};

use httptime::survey::Survey;

use crate::args::Output;
use crate::measure_options::{Seconds, whole};
use crate::report;

/// How often, and for how long.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct Retry {
    /// Repeat a failed measurement up to N times, after 0.6 s and then after pauses of up to 10 s
    ///
    /// A server that is being restarted, or a network that comes up late, needs no second call.
    #[arg(
        long = "retry",
        value_name = "N",
        default_value_t = 0,
        overrides_with = "times",
        hide_short_help = true,
        allow_negative_numbers = true,
        value_parser = whole::<u32>
    )]
    times: u32,

    /// Do not repeat it later than this after the start, in seconds [default: no limit]
    #[arg(
        long = "retry-max-time",
        value_name = "S",
        overrides_with = "max_time",
        hide_short_help = true,
        allow_negative_numbers = true
    )]
    max_time: Option<Seconds>,
}

impl Retry {
    /// The pause after so many failures, this long after the start; `None`: give up.
    fn pause(&self, failures: u32, elapsed: Duration) -> Option<Duration> {
        if failures > self.times {
            return None;
        }
        let doubled = FIRST.saturating_mul(1 << (failures - 1).min(MAX_DOUBLINGS));
        let pause = doubled.min(LONGEST);
        let is_in_time = |max: Seconds| elapsed.saturating_add(pause) < max.0;
        self.max_time.is_none_or(is_in_time).then_some(pause)
    }

    /// Measures until there is a result. Reports the failures before the last one on stderr.
    pub(crate) fn survey(&self, output: &Output, mut survey: impl FnMut() -> Survey) -> Survey {
        let began = Instant::now();
        let mut failures = 0;
        loop {
            let result = survey();
            let Err(error) = result.combined() else { return result };
            failures += 1;
            let Some(pause) = self.pause(failures, began.elapsed()) else { return result };
            if !output.json {
                let pause = pause.as_secs_f64();
                report::print_error(&format!("{error}; trying again in {pause:.1} s"));
            }
            thread::sleep(pause);
        }
    }
}

/// As long as `run` waits after a first failure.
const FIRST: Duration = Duration::from_millis(600);
const LONGEST: Duration = Duration::from_secs(10);
/// More would exceed the longest pause.
const MAX_DOUBLINGS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_end_after_so_many_or_so_long() {
        let retry = |times, max_time: Option<u64>| Retry {
            times,
            max_time: max_time.map(|seconds| Seconds(Duration::from_secs(seconds))),
        };
        let second = Duration::from_secs(1);
        let pauses: Vec<Option<Duration>> =
            (1..=8).map(|failures| retry(7, None).pause(failures, second)).collect();
        let millis = |millis| Some(Duration::from_millis(millis));
        let expected = [600, 1200, 2400, 4800, 9600, 10_000, 10_000].map(millis);
        assert_eq!(pauses[..7], expected);
        assert_eq!(pauses[7], None);
        assert_eq!(retry(0, None).pause(1, second), None);
        assert_eq!(retry(9, Some(2)).pause(1, second), millis(600));
        assert_eq!(retry(9, Some(2)).pause(2, second), None, "it would be 2.2 s");
        assert_eq!(retry(u32::MAX, None).pause(u32::MAX, second), millis(10_000));
    }
}
