//! Whether the clock is synchronised, and if not, why and what to do. Pure: what was read is an
//! argument.
//!
//! The kernel's status decides whether the clock is synchronised and bounds its error, because it
//! also knows what happened after the last measurement: the kernel marks a clock that was set as
//! not synchronised, and raises the bound with time. A refusal overrules it: the servers show
//! another time than the clock, whatever the kernel reports.

use super::document::{Document, Mode, Moment, Outcome, State};
use crate::run::clock_watch::CLOCK_SET_THRESHOLD;

/// What `status` and `wait` can observe.
#[derive(Debug, Clone)]
pub(crate) struct Observation {
    /// `Ok(None)` if there is no file, an error if it cannot be used.
    pub(crate) document: Result<Option<Document>, String>,
    /// The last end of the service, if there is no file and the service manager has recorded it.
    pub(crate) end: Option<ServiceEnd>,
    /// The process in the document.
    pub(crate) process: ProcessState,
    /// `None` where it cannot be read.
    pub(crate) boot_id: Option<String>,
    pub(crate) now: Moment,
    /// `None` on a system whose kernel does not report it.
    pub(crate) kernel: Option<KernelStatus>,
}

/// How a service ended. The service manager removes the status file of a service that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceEnd {
    /// The name without `.service`.
    pub(crate) unit: String,
    /// `success`, or another result as `systemctl show --property=Result` names it.
    pub(crate) result: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcessState {
    Exists,
    Gone,
    /// The system does not show the processes of other users.
    Hidden,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct KernelStatus {
    pub(crate) is_synchronised: bool,
    pub(crate) maximum_error_seconds: f64,
}

/// What is known about the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Daemon {
    Running,
    /// It has ended as it should.
    Stopped,
    /// Its process is gone, or the machine was booted since.
    Dead,
    /// It should have written the file and has not.
    Stale,
    /// There is no file.
    Absent,
    /// The file cannot be read.
    Unknown,
}

/// The state of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Synchronised,
    /// The servers show another time, and the policy does not permit the correction.
    Refused,
    /// The daemon is running and has not measured yet.
    FirstMeasurement,
    /// The daemon is running and its measurements fail.
    Failing,
    /// Corrected, and not yet confirmed by the certificates at this time.
    Unconfirmed,
    /// Another program has set the clock since.
    ClockSet,
    /// chronyd gets samples and has not marked the clock as synchronised.
    Chronyd,
    /// Measured, but the kernel reports otherwise.
    KernelDisagrees,
    /// No daemon is running, and the clock is not synchronised.
    NoDaemon,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) condition: Condition,
    pub(crate) daemon: Daemon,
    /// A bound of the clock's error, if it is synchronised.
    pub(crate) maximum_error_seconds: Option<f64>,
    /// In words: why the clock is not synchronised, or what threatens that it is.
    pub(crate) why: Option<String>,
    /// In words: what to do.
    pub(crate) remedy: Option<String>,
}

impl Daemon {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Dead => "dead",
            Self::Stale => "stale",
            Self::Absent => "absent",
            Self::Unknown => "unknown",
        }
    }
}

impl Condition {
    /// The stable name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Synchronised => "synchronised",
            Self::Refused => "refused",
            Self::FirstMeasurement => "first_measurement",
            Self::Failing => "failing",
            Self::Unconfirmed => "unconfirmed",
            Self::ClockSet => "clock_set",
            Self::Chronyd => "chronyd",
            Self::KernelDisagrees => "kernel_disagrees",
            Self::NoDaemon => "no_daemon",
        }
    }
}

impl Verdict {
    pub(crate) fn is_synchronised(&self) -> bool {
        self.condition == Condition::Synchronised
    }

    /// Why the clock's error may be larger than this, and what to do; `None` if it is not.
    pub(crate) fn why_not_within(&self, seconds: f64) -> Option<String> {
        if !self.is_synchronised() {
            let why = self.why.as_deref().unwrap_or("the clock is not synchronised");
            let remedy = self.remedy.as_ref().map_or(String::new(), |it| format!("; {it}"));
            return Some(format!("{why}{remedy}"));
        }
        match self.maximum_error_seconds {
            Some(bound) if bound <= seconds => None,
            Some(bound) => Some(format!(
                "the clock is synchronised, but its error may be {}; --within is {seconds} s; set \
                 lag, or use a nearer server",
                bound_text(bound)
            )),
            None => Some("no bound of the clock's error is known".to_owned()),
        }
    }

    /// The exit status of `httptime status`.
    pub(crate) fn exit_status(&self) -> u8 {
        match self.condition {
            Condition::Synchronised => 0,
            Condition::Refused => 3,
            Condition::NoDaemon => NO_DAEMON,
            _ => 1,
        }
    }
}

/// The exit status of `httptime status` if no daemon is running and the clock is not synchronised.
pub(crate) const NO_DAEMON: u8 = 5;

/// A bound to the microsecond. What is shown is never smaller than the bound.
pub(crate) fn bound_text(seconds: f64) -> String {
    format!("{:.6} s", (seconds * 1e6).ceil() / 1e6)
}

/// The verdict on what was observed.
pub(crate) fn judge(observation: &Observation) -> Verdict {
    let daemon = daemon(observation);
    let document = observation.document.as_ref().ok().and_then(Option::as_ref);
    let bound = maximum_error(observation, document, daemon);
    let refusal = document.and_then(|it| it.refusal.as_ref());
    if let Some(refusal) = refusal.filter(|it| is_of_this_clock(observation, it.at)) {
        return Verdict {
            condition: Condition::Refused,
            daemon,
            maximum_error_seconds: None,
            why: Some(format!("a correction was refused: {}", refusal.reason)),
            remedy: Some(refusal.remedy.clone()),
        };
    }
    let condition = match (bound, document) {
        (Some(_), _) => Condition::Synchronised,
        (None, Some(document)) if daemon == Daemon::Running => not_yet(observation, document),
        (None, _) => Condition::NoDaemon,
    };
    let (why, remedy) = words(condition, daemon, observation);
    Verdict { condition, daemon, maximum_error_seconds: bound, why, remedy }
}

/// What is known about the daemon.
fn daemon(observation: &Observation) -> Daemon {
    let document = match &observation.document {
        Ok(Some(document)) => document,
        Ok(None) => {
            return match &observation.end {
                None => Daemon::Absent,
                Some(end) if end.result == "success" => Daemon::Stopped,
                Some(_) => Daemon::Dead,
            };
        }
        Err(_) => return Daemon::Unknown,
    };
    let now = observation.now.monotonic_seconds;
    if document.state == State::Stopped {
        Daemon::Stopped
    } else if !is_of_this_boot(observation, document) || observation.process == ProcessState::Gone {
        Daemon::Dead
    } else if document.expected_by_monotonic_seconds.is_some_and(|by| now > by + STALE_SECONDS) {
        Daemon::Stale
    } else {
        Daemon::Running
    }
}

fn is_of_this_boot(observation: &Observation, document: &Document) -> bool {
    let same = match (&observation.boot_id, &document.process.boot_id) {
        (Some(now), Some(then)) => now == then,
        _ => true,
    };
    same && document.written.monotonic_seconds <= observation.now.monotonic_seconds
}

/// Whether the clock was not set since this instant, and the machine not booted.
fn is_of_this_clock(observation: &Observation, at: Moment) -> bool {
    let document = observation.document.as_ref().ok().and_then(Option::as_ref);
    document.is_some_and(|document| is_of_this_boot(observation, document))
        && at.stepped_by(observation.now).abs() <= CLOCK_SET_THRESHOLD.as_secs_f64()
}

/// A bound of the clock's error, or `None` if the clock is not synchronised.
fn maximum_error(
    observation: &Observation,
    document: Option<&Document>,
    daemon: Daemon,
) -> Option<f64> {
    if let Some(kernel) = observation.kernel {
        return kernel.is_synchronised.then_some(kernel.maximum_error_seconds);
    }
    // Without the kernel's report, only a running daemon's last measurement is left. Its bound
    // grows as the kernel's would.
    let document = document.filter(|_| daemon == Daemon::Running)?;
    let last = document.last_measurement.as_ref().filter(|last| !last.is_unconfirmed)?;
    let is_corrected = matches!(last.outcome, Outcome::Leave | Outcome::Slew | Outcome::Step);
    let age = last.at.seconds_until(observation.now).max(0.0);
    let bound = last.maximum_error_seconds + age * GROWTH_PER_SECOND;
    (is_corrected && bound < LIMIT_SECONDS && is_of_this_clock(observation, document.written))
        .then_some(bound)
}

/// Why a clock with a running daemon is not synchronised.
fn not_yet(observation: &Observation, document: &Document) -> Condition {
    let Some(last) = &document.last_measurement else {
        return match document.failure {
            Some(_) => Condition::Failing,
            None => Condition::FirstMeasurement,
        };
    };
    if document.failure.is_some() {
        Condition::Failing
    } else if document.mode == Mode::Chrony {
        Condition::Chronyd
    } else if !is_of_this_clock(observation, document.written) {
        Condition::ClockSet
    } else if last.is_unconfirmed {
        Condition::Unconfirmed
    } else {
        Condition::KernelDisagrees
    }
}

/// Why, and what to do.
fn words(
    condition: Condition,
    daemon: Daemon,
    observation: &Observation,
) -> (Option<String>, Option<String>) {
    let document = observation.document.as_ref().ok().and_then(Option::as_ref);
    let failure = document.and_then(|it| it.failure.as_ref());
    let (why, remedy) = match condition {
        Condition::Synchronised if daemon == Daemon::Running => match failure {
            Some(failure) => (
                format!("measurements fail ({} in a row): {}", failure.count, failure.message),
                "the clock drifts until one succeeds; correct the fault, then send SIGUSR1 to \
                 measure at once"
                    .to_owned(),
            ),
            None => return (None, None),
        },
        // After `httptime sync` there is no daemon, and none is needed.
        Condition::Synchronised if daemon == Daemon::Absent => return (None, None),
        Condition::Synchronised | Condition::NoDaemon => daemon_words(daemon, observation),
        Condition::FirstMeasurement => {
            return (Some("the first measurement has not ended yet".to_owned()), None);
        }
        Condition::Failing => (
            failure.map_or_else(String::new, |it| {
                format!("measurements fail ({} in a row): {}", it.count, it.message)
            }),
            "correct the fault, then send SIGUSR1 to measure at once; httptime query -v URL shows \
             each request"
                .to_owned(),
        ),
        Condition::Unconfirmed => (
            "the clock was corrected, and a second measurement must confirm it by the \
             certificates at this time"
                .to_owned(),
            "if it fails, the log names the certificate".to_owned(),
        ),
        Condition::ClockSet => (
            "another program has set the clock since the last measurement".to_owned(),
            "the daemon measures again within 10 s; find the program and stop it".to_owned(),
        ),
        Condition::Chronyd => (
            "chronyd has not marked the clock as synchronised; it decides in mode chrony"
                .to_owned(),
            "see chronyc sources and chronyc tracking; chrony.conf needs rtcsync, and chronyd must \
             run without -x"
                .to_owned(),
        ),
        Condition::KernelDisagrees => (
            "the daemon has measured, but the kernel reports the clock as not synchronised"
                .to_owned(),
            "another program steers the clock: stop chronyd, ntpd and systemd-timesyncd, then \
             send SIGUSR1 to measure at once"
                .to_owned(),
        ),
        // The refusal has its own words.
        Condition::Refused => return (None, None),
    };
    (Some(why), Some(remedy))
}

fn daemon_words(daemon: Daemon, observation: &Observation) -> (String, String) {
    let document = observation.document.as_ref().ok().and_then(Option::as_ref);
    let pid = document.map_or(0, |it| it.process.pid);
    let unit = match (document.map(|it| it.mode), &observation.end) {
        (Some(Mode::Chrony), _) => "httptime-chrony",
        (None, Some(end)) => &end.unit,
        _ => "httptime",
    };
    let start = format!("start it: systemctl start {unit}");
    match daemon {
        Daemon::Running => (String::new(), String::new()),
        Daemon::Absent => (
            "no program keeps the clock correct: httptime run is not running".to_owned(),
            format!("{start}; or correct the clock once: httptime sync URL"),
        ),
        Daemon::Stopped => ("httptime run was stopped".to_owned(), start),
        Daemon::Dead => (
            match (document, &observation.end) {
                (None, Some(end)) => format!("{unit} has failed, with the result {}", end.result),
                _ => format!("httptime run (process {pid}) has ended without a last report"),
            },
            format!("see its log: journalctl -u {unit}; {start}"),
        ),
        Daemon::Stale => {
            let age = document.map_or(0.0, |it| it.written.seconds_until(observation.now));
            (
                format!("httptime run (process {pid}) has not reported for {age:.0} s: it hangs"),
                format!("restart it: systemctl restart {unit}"),
            )
        }
        Daemon::Unknown => (
            match &observation.document {
                Err(why) => why.clone(),
                Ok(_) => String::new(),
            },
            "make the file readable, or name the right one with --file".to_owned(),
        ),
    }
}

/// How much later than expected a write may be: the daemon looks at its timers every 10 s.
const STALE_SECONDS: f64 = 30.0;
/// The increase of the kernel's maximum error (`MAXFREQ` in Linux's `include/linux/timex.h`).
const GROWTH_PER_SECOND: f64 = 500e-6;
/// From here on a kernel marks a clock as not synchronised (`NTP_PHASE_LIMIT`, the same file).
const LIMIT_SECONDS: f64 = 16.0;

#[cfg(test)]
mod tests {
    use super::super::document::tests::example;
    use super::super::document::{Failure, Refused};
    use super::*;

    /// 20 s after the example was written, with a synchronised kernel and a process that exists.
    fn observed(change: impl FnOnce(&mut Document)) -> Observation {
        let mut document = example();
        change(&mut document);
        Observation {
            now: document.written.later(20.0),
            document: Ok(Some(document)),
            end: None,
            process: ProcessState::Exists,
            boot_id: None,
            kernel: Some(KernelStatus { is_synchronised: true, maximum_error_seconds: 0.012 }),
        }
    }

    fn unsynchronised(change: impl FnOnce(&mut Document)) -> Observation {
        let kernel = KernelStatus { is_synchronised: false, maximum_error_seconds: 16.0 };
        Observation { kernel: Some(kernel), ..observed(change) }
    }

    fn none(kernel: bool) -> Observation {
        let mut observation = if kernel { observed(|_| {}) } else { unsynchronised(|_| {}) };
        observation.document = Ok(None);
        observation
    }

    fn refuse(document: &mut Document) {
        document.refusal = Some(Refused {
            at: document.written,
            kind: "too_far".into(),
            reason: "would set the clock back 7200 s; max_startup_backward is 1800 s".into(),
            remedy: "raise max_startup_backward".into(),
        });
    }

    fn fail(document: &mut Document) {
        document.failure = Some(Failure {
            at: document.written,
            count: 3,
            kind: Some("connect".into()),
            message: "cannot connect".into(),
        });
    }

    /// Condition, daemon and exit status.
    fn of(observation: &Observation) -> (Condition, Daemon, u8) {
        let verdict = judge(observation);
        (verdict.condition, verdict.daemon, verdict.exit_status())
    }

    #[test]
    fn a_synchronised_clock_is_one_by_the_kernel_with_its_bound() {
        let verdict = judge(&observed(|_| {}));
        assert_eq!((verdict.condition, verdict.exit_status()), (Condition::Synchronised, 0));
        assert_eq!((verdict.maximum_error_seconds, verdict.why), (Some(0.012), None));
        assert_eq!(judge(&observed(|_| {})).why_not_within(0.012), None);
        let why = judge(&observed(|_| {})).why_not_within(0.011).expect("too wide");
        assert!(why.contains("may be 0.012000 s; --within is 0.011 s"), "{why}");
    }

    #[test]
    fn a_bound_is_never_shown_smaller_than_it_is() {
        assert_eq!(bound_text(0.012_000_4), "0.012001 s");
        assert_eq!(bound_text(2.5), "2.500000 s");
    }

    #[test]
    fn a_refusal_overrules_the_kernel_until_the_clock_is_set() {
        let mut observation = observed(refuse);
        assert_eq!(of(&observation), (Condition::Refused, Daemon::Running, 3));
        let verdict = judge(&observation);
        assert!(verdict.why_not_within(1e9).is_some());
        assert_eq!(verdict.remedy.as_deref(), Some("raise max_startup_backward"));
        // A later write of the same refusal does not count as a new one.
        observation.now.unix_seconds -= 7200.0;
        assert_eq!(of(&observation), (Condition::Synchronised, Daemon::Running, 0));
        // It also overrules the kernel when the daemon is gone.
        let gone = Observation { process: ProcessState::Gone, ..observed(refuse) };
        assert_eq!(of(&gone), (Condition::Refused, Daemon::Dead, 3));
    }

    /// Every combination of what can be observed.
    fn all() -> impl Iterator<Item = (usize, Observation)> {
        (0..1 << 11).map(|number| {
            let is = |bit: usize| number & (1 << bit) != 0;
            let mut observation = if is(0) { observed(|_| {}) } else { unsynchronised(|_| {}) };
            let document = observation.document.as_mut().ok().and_then(Option::as_mut);
            let document = document.expect("there is one");
            if is(1) {
                refuse(document);
            }
            if is(2) {
                fail(document);
            }
            if is(3) {
                document.last_measurement = None;
            }
            if is(4) {
                document.mode = Mode::Chrony;
            }
            if is(5) {
                document.state = State::Stopped;
            }
            if let (true, Some(last)) = (is(6), &mut document.last_measurement) {
                last.is_unconfirmed = true;
            }
            if is(7) {
                observation.process = ProcessState::Gone;
            }
            if is(8) {
                observation.now.unix_seconds += 60.0;
            }
            if is(9) {
                observation.now = observation.now.later(1e6);
            }
            match (is(10), is(1)) {
                (true, true) => observation.document = Ok(None),
                (true, false) => observation.document = Err("malformed".into()),
                (false, _) => {}
            }
            (number, observation)
        })
    }

    #[test]
    fn no_combination_is_synchronised_against_the_kernel_or_a_refusal_or_without_a_reason() {
        for (number, observation) in all() {
            let verdict = judge(&observation);
            let kernel = observation.kernel.expect("it reports");
            let document = observation.document.as_ref().ok().and_then(Option::as_ref);
            let is_refused = document
                .and_then(|it| it.refusal.as_ref())
                .is_some_and(|refusal| refusal.at.stepped_by(observation.now).abs() < 1.0);
            let expected = kernel.is_synchronised && !is_refused;
            assert_eq!(verdict.is_synchronised(), expected, "{number:011b}: {verdict:?}");
            assert_eq!(verdict.exit_status() == 0, expected, "{number:011b}");
            let bound = expected.then_some(kernel.maximum_error_seconds);
            assert_eq!(verdict.maximum_error_seconds, bound, "{number:011b}");
            if !expected {
                assert!(verdict.why.is_some_and(|why| !why.is_empty()), "{number:011b}");
                let knows = verdict.remedy.is_some_and(|remedy| !remedy.is_empty());
                assert!(knows || verdict.condition == Condition::FirstMeasurement, "{number:011b}");
            }
        }
    }

    #[test]
    fn without_a_daemon_the_kernel_alone_decides() {
        assert_eq!(of(&none(true)), (Condition::Synchronised, Daemon::Absent, 0));
        assert_eq!(judge(&none(true)).why, None);
        assert_eq!(of(&none(false)), (Condition::NoDaemon, Daemon::Absent, 5));
        let said = judge(&none(false));
        assert!(said.why.is_some_and(|why| why.contains("not running")));
        assert!(said.remedy.is_some_and(|remedy| remedy.contains("systemctl start httptime")));
    }

    #[test]
    fn a_service_whose_file_was_removed_was_stopped_or_has_failed() {
        let ended = |result: &str, kernel| {
            let end = ServiceEnd { unit: "httptime-chrony".into(), result: result.into() };
            Observation { end: Some(end), ..none(kernel) }
        };
        assert_eq!(of(&ended("success", false)), (Condition::NoDaemon, Daemon::Stopped, 5));
        assert_eq!(of(&ended("success", true)), (Condition::Synchronised, Daemon::Stopped, 0));
        assert_eq!(of(&ended("exit-code", false)), (Condition::NoDaemon, Daemon::Dead, 5));
        let verdict = judge(&ended("watchdog", false));
        assert_eq!(
            verdict.why.as_deref(),
            Some("httptime-chrony has failed, with the result watchdog")
        );
        let remedy = verdict.remedy.expect("what to do");
        assert!(remedy.contains("journalctl -u httptime-chrony; start it"), "{remedy}");
    }

    #[test]
    fn a_dead_daemon_is_found_by_its_process_its_boot_or_its_silence() {
        let gone = Observation { process: ProcessState::Gone, ..unsynchronised(|_| {}) };
        assert_eq!(of(&gone), (Condition::NoDaemon, Daemon::Dead, 5));
        let mut booted = unsynchronised(|document| document.process.boot_id = Some("a".into()));
        booted.boot_id = Some("b".into());
        assert_eq!(of(&booted), (Condition::NoDaemon, Daemon::Dead, 5));
        let remedy = judge(&booted).remedy.expect("what to do");
        assert!(remedy.ends_with("systemctl start httptime"), "{remedy}");
        booted.document.as_mut().expect("read").as_mut().expect("there").mode = Mode::Chrony;
        let remedy = judge(&booted).remedy.expect("what to do");
        assert!(remedy.ends_with("systemctl start httptime-chrony"), "{remedy}");
        booted.boot_id = Some("a".into());
        assert_eq!(judge(&booted).daemon, Daemon::Running);
        // Written at a later time of the monotonic clock: before the machine was booted.
        let mut booted = unsynchronised(|_| {});
        booted.now = booted.now.later(-1000.0);
        assert_eq!(judge(&booted).daemon, Daemon::Dead);
        let mut silent = unsynchronised(|_| {});
        let expected = example().expected_by_monotonic_seconds.expect("it waits");
        silent.process = ProcessState::Hidden;
        silent.now.monotonic_seconds = expected + 29.0;
        assert_eq!(judge(&silent).daemon, Daemon::Running);
        silent.now.monotonic_seconds = expected + 31.0;
        assert_eq!(of(&silent), (Condition::NoDaemon, Daemon::Stale, 5));
    }

    #[test]
    fn a_stopped_daemon_is_named_also_while_the_clock_is_still_synchronised() {
        let stop = |document: &mut Document| {
            document.state = State::Stopped;
            document.expected_by_monotonic_seconds = None;
        };
        let mut observation = observed(stop);
        observation.process = ProcessState::Gone;
        assert_eq!(of(&observation), (Condition::Synchronised, Daemon::Stopped, 0));
        assert_eq!(judge(&observation).why.as_deref(), Some("httptime run was stopped"));
        observation.kernel = unsynchronised(|_| {}).kernel;
        assert_eq!(of(&observation), (Condition::NoDaemon, Daemon::Stopped, 5));
    }

    #[test]
    fn a_running_daemon_says_why_the_clock_is_not_synchronised() {
        let condition = |change: fn(&mut Document)| judge(&unsynchronised(change)).condition;
        let last = |document: &mut Document| document.last_measurement = None;
        assert_eq!(condition(last), Condition::FirstMeasurement);
        assert_eq!(condition(fail), Condition::Failing);
        assert_eq!(condition(|it| it.mode = Mode::Chrony), Condition::Chronyd);
        assert_eq!(condition(|_| {}), Condition::KernelDisagrees);
        let unconfirmed = |document: &mut Document| {
            document.last_measurement.as_mut().expect("measured").is_unconfirmed = true;
        };
        assert_eq!(condition(unconfirmed), Condition::Unconfirmed);
        let mut set = unsynchronised(|_| {});
        set.now.unix_seconds += 0.03;
        assert_eq!(judge(&set).condition, Condition::ClockSet);
        for condition in [last, fail] {
            let said = judge(&unsynchronised(condition));
            assert!(said.exit_status() == 1 && said.why.is_some());
        }
        let said = judge(&observed(fail));
        assert!(said.is_synchronised(), "the kernel's bound still holds");
        let why = said.why.expect("a warning");
        assert_eq!(why, "measurements fail (3 in a row): cannot connect");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_and_the_kernel_decides() {
        let mut observation = observed(|_| {});
        observation.document = Err("cannot read /run/x: permission denied".into());
        let verdict = judge(&observation);
        assert_eq!((verdict.condition, verdict.daemon), (Condition::Synchronised, Daemon::Unknown));
        assert!(verdict.why.is_some_and(|why| why.contains("permission denied")));
    }

    #[test]
    fn without_the_kernels_report_the_last_measurement_bounds_the_error() {
        let mut observation = observed(|_| {});
        observation.kernel = None;
        let bound = judge(&observation).maximum_error_seconds.expect("synchronised");
        let last = example().last_measurement.expect("measured");
        let age = last.at.seconds_until(observation.now);
        assert!((bound - (last.maximum_error_seconds + age * 500e-6)).abs() < 1e-12, "{bound}");
        observation.process = ProcessState::Gone;
        assert_eq!(of(&observation), (Condition::NoDaemon, Daemon::Dead, 5));
    }
}
