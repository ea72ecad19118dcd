//! `httptime wait`: blocks until the clock is right.

use std::thread;
use std::time::{Duration, Instant};

use crate::args::Wait;
use crate::status::observe;
use crate::status::verdict::{bound_text, judge};
use crate::{DONE, NOT_MEASURED, report};

/// A signal ends the program at once: see `signals.rs`.
pub(crate) fn run(wait: &Wait) -> u8 {
    let within = wait.within.0.as_secs_f64();
    let began = Instant::now();
    let mut reported = None;
    loop {
        let verdict = judge(&observe(&wait.file));
        let Some(why) = verdict.why_not_within(within) else {
            let bound = bound_text(verdict.maximum_error_seconds.unwrap_or(within));
            report::print_text(&format!("the clock is right: error at most {bound}"));
            return DONE;
        };
        let elapsed = began.elapsed();
        let Some(left) = wait.left(elapsed) else {
            report::print_error(&format!(
                "the clock is not right after {:.0} s: {why}",
                elapsed.as_secs_f64()
            ));
            return NOT_MEASURED;
        };
        // Each reason once: the log shows what the boot waits for.
        if reported != Some(verdict.condition) {
            report::print_error(&format!("waiting: {why}"));
            reported = Some(verdict.condition);
        }
        thread::sleep(left.min(PAUSE));
    }
}

impl Wait {
    /// The time left to wait; `None` if it is over.
    fn left(&self, elapsed: Duration) -> Option<Duration> {
        match self.timeout {
            None => Some(Duration::MAX),
            Some(timeout) => timeout.0.checked_sub(elapsed).filter(|left| !left.is_zero()),
        }
    }
}

/// How often to look. The file and the kernel's status are read in some microseconds, and the
/// status of the kernel sends no event.
const PAUSE: Duration = Duration::from_millis(500);
