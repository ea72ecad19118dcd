//! The local clock: what the kernel reports, the hardware clock, the time zone, and the last
//! correction.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httptime_clock::{Clock as _, SystemClock};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::finding::{Examination::Clock, Finding, Kind};
use super::place::Place;

/// What was read.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(crate) struct Facts {
    pub(crate) kernel: Option<Kernel>,
    /// Hardware clock − local clock, in seconds. `None`: there is no hardware clock.
    pub(crate) rtc_offset_seconds: Option<f64>,
    pub(crate) rtc_keeps_local_time: bool,
    pub(crate) time_zone: Option<String>,
    /// Part of the status that the daemon writes.
    pub(crate) last_correction: Option<Value>,
}

/// The kernel's report about its clock.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Kernel {
    pub(crate) synchronised: bool,
    pub(crate) maximum_error_seconds: f64,
}

pub(crate) fn gather(place: &Place) -> Facts {
    Facts {
        kernel: kernel(place),
        rtc_offset_seconds: rtc_offset(place),
        rtc_keeps_local_time: place
            .text("etc/adjtime")
            .is_some_and(|text| text.lines().nth(2).is_some_and(|line| line.trim() == "LOCAL")),
        time_zone: time_zone(place),
        last_correction: last_correction(place),
    }
}

fn kernel(place: &Place) -> Option<Kernel> {
    if !place.is_this_machine() {
        if let Some(staged) = place.text("kernel-clock.json") {
            return serde_json::from_str(&staged).ok();
        }
    }
    let status = SystemClock::new().status().ok()?;
    Some(Kernel {
        synchronised: status.is_synchronised(),
        maximum_error_seconds: status.maximum_error().as_secs_f64(),
    })
}

fn rtc_offset(place: &Place) -> Option<f64> {
    let text = place.text("sys/class/rtc/rtc0/since_epoch")?;
    let rtc = Duration::from_secs(text.trim().parse().ok()?);
    let local = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(rtc.as_secs_f64() - local.as_secs_f64())
}

fn time_zone(place: &Place) -> Option<String> {
    let link = fs::read_link(place.path("etc/localtime")).ok();
    let linked = link.and_then(|path| {
        let text = path.to_str()?;
        text.split_once("zoneinfo/").map(|(_, zone)| zone.to_owned())
    });
    linked.or_else(|| place.text("etc/timezone").map(|text| text.trim().to_owned()))
}

fn last_correction(place: &Place) -> Option<Value> {
    let status: Value = serde_json::from_str(&place.text("run/httptime/status.json")?).ok()?;
    let names = ["last_correction", "correction", "last_result"];
    names.iter().find_map(|name| status.get(name)).filter(|value| !value.is_null()).cloned()
}

/// What the facts mean.
pub(crate) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut all = Vec::new();
    all.push(match facts.kernel {
        Some(Kernel { synchronised: true, maximum_error_seconds }) => Finding::good(
            Clock,
            format!(
                "the kernel's clock is synchronised; maximum error {maximum_error_seconds:.3} s"
            ),
        ),
        Some(Kernel { maximum_error_seconds, .. }) => Finding::fault(
            Clock,
            Kind::NotSynchronised,
            format!(
                "the kernel's clock is not synchronised (maximum error {maximum_error_seconds:.3} \
                 s): no program has corrected it since the start, or for hours"
            ),
        )
        .run("timedatectl"),
        None => Finding::warning(Clock, Kind::Incomplete, "the kernel does not report its status"),
    });
    match facts.rtc_offset_seconds {
        None => all.push(Finding::note(
            Clock,
            "no hardware clock: after a start the time is wrong until it is corrected",
        )),
        Some(offset) if !facts.rtc_keeps_local_time && offset.abs() > RTC_TOLERANCE_SECONDS => {
            all.push(
                Finding::warning(
                    Clock,
                    Kind::HardwareClock,
                    format!("the hardware clock is {offset:+.0} s from the local clock"),
                )
                .run("hwclock --systohc      # after the clock is correct"),
            );
        }
        Some(_) => all.push(Finding::good(Clock, "the hardware clock agrees with the local clock")),
    }
    if facts.rtc_keeps_local_time {
        all.push(
            Finding::warning(
                Clock,
                Kind::HardwareClock,
                "the hardware clock keeps local time (/etc/adjtime): after a start the clock can be \
                 wrong by whole hours",
            )
            .run("timedatectl set-local-rtc 0"),
        );
    }
    if let Some(zone) = &facts.time_zone {
        all.push(Finding::note(Clock, format!("time zone {zone}; it does not change the clock")));
    }
    if let Some(last) = &facts.last_correction {
        all.push(Finding::note(Clock, format!("last correction by httptime: {last}")));
    }
    all
}

/// The hardware clock has whole seconds, and the kernel writes it every 11 minutes.
const RTC_TOLERANCE_SECONDS: f64 = 2.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(facts: &Facts) -> Vec<Kind> {
        let bad = |finding: &Finding| finding.severity >= super::super::finding::Severity::Warning;
        findings(facts).into_iter().filter(bad).map(|finding| finding.kind).collect()
    }

    fn synchronised() -> Facts {
        let kernel = Kernel { synchronised: true, maximum_error_seconds: 0.1 };
        Facts { kernel: Some(kernel), rtc_offset_seconds: Some(0.4), ..Facts::default() }
    }

    #[test]
    fn a_synchronised_clock_beside_its_hardware_clock_has_no_fault() {
        assert_eq!(kinds(&synchronised()), []);
    }

    #[test]
    fn each_fault_of_the_clock_has_its_name() {
        let kernel = Kernel { synchronised: false, maximum_error_seconds: 16.0 };
        let facts = Facts { kernel: Some(kernel), ..synchronised() };
        assert_eq!(kinds(&facts), [Kind::NotSynchronised]);
        let facts = Facts { rtc_offset_seconds: Some(-38.0), ..synchronised() };
        assert_eq!(kinds(&facts), [Kind::HardwareClock]);
        let local = Facts { rtc_keeps_local_time: true, rtc_offset_seconds: Some(7200.0), ..facts };
        assert_eq!(kinds(&local), [Kind::HardwareClock], "only that it keeps local time");
        assert_eq!(kinds(&Facts { kernel: None, ..synchronised() }), [Kind::Incomplete]);
    }
}
