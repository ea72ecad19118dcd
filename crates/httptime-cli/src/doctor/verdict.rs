//! The verdict: the cause among all findings, and the commands that remove it.

use serde::Serialize;

use super::finding::{Finding, Kind, Severity};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    /// `None`: no fault was found.
    pub(crate) cause: Option<Kind>,
    /// For people.
    pub(crate) text: String,
    /// What to run, in this order.
    pub(crate) commands: Vec<String>,
    /// Other faults, in the order of their importance.
    pub(crate) also: Vec<Kind>,
}

/// The cause is the fault that stands first in [`Kind`]: the other faults are mostly its
/// consequences. A wrong clock is named beside its cause, with the command that corrects it.
///
/// `is_measured`: whether the servers could be measured.
pub(crate) fn verdict(findings: &[Finding], is_measured: bool) -> Verdict {
    let is_fault = |finding: &&Finding| {
        // Without a measurement a missing route is the cause, not an observation.
        finding.is_fault()
            || (finding.kind == Kind::NoRoute && is_unmeasured(findings, is_measured))
    };
    let mut faults: Vec<&Finding> = findings.iter().filter(is_fault).collect();
    // Stable: findings of one kind keep their order.
    faults.sort_by_key(|finding| finding.kind);
    let Some(cause) = faults.first() else {
        return healthy(findings, is_measured);
    };
    let mut text = cause.text.clone();
    let mut commands = cause.commands.clone();
    if let Some(off) = faults.iter().find(|it| it.kind == Kind::ClockOff && it.kind != cause.kind) {
        text = format!("{text}. Meanwhile {}", off.text);
        commands.extend(off.commands.iter().cloned());
    }
    let unsteered = findings.iter().find(|finding| finding.kind == Kind::NothingSteers);
    let is_clock = matches!(cause.kind, Kind::ClockOff | Kind::NotSynchronised);
    if let Some(unsteered) = unsteered.filter(|_| is_clock) {
        text = format!("{text}: {}", unsteered.text);
        commands.extend(unsteered.commands.iter().cloned());
    }
    let mut also: Vec<Kind> = faults.iter().map(|fault| fault.kind).collect();
    also.dedup();
    also.retain(|kind| *kind != cause.kind);
    Verdict { cause: Some(cause.kind), text, commands, also }
}

/// Whether servers were asked and none could be measured.
fn is_unmeasured(findings: &[Finding], is_measured: bool) -> bool {
    !is_measured && findings.iter().any(|finding| finding.kind == Kind::ServersFail)
}

fn healthy(findings: &[Finding], is_measured: bool) -> Verdict {
    let warnings = findings.iter().filter(|it| it.severity == Severity::Warning).count();
    let clock = match is_measured {
        true => "the clock is correct within the uncertainty",
        false => "no fault found, but no server was measured: name one, httptime doctor URL",
    };
    let text = match warnings {
        0 => clock.to_owned(),
        1 => format!("{clock}; 1 warning above"),
        some => format!("{clock}; {some} warnings above"),
    };
    Verdict { cause: None, text, commands: Vec::new(), also: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Examination;

    fn fault(kind: Kind) -> Finding {
        Finding::fault(Examination::Servers, kind, format!("{kind:?}")).run(format!("fix {kind:?}"))
    }

    #[test]
    fn the_cause_is_named_before_its_consequences() {
        let story = [Kind::NotSynchronised, Kind::ClockOff, Kind::NtpSilent].map(fault);
        let verdict = verdict(&story, true);
        assert_eq!(verdict.cause, Some(Kind::NtpSilent));
        assert_eq!(verdict.text, "NtpSilent. Meanwhile ClockOff");
        assert_eq!(verdict.commands, ["fix NtpSilent", "fix ClockOff"]);
        assert_eq!(verdict.also, [Kind::ClockOff, Kind::NotSynchronised]);
    }

    #[test]
    fn a_clock_that_no_program_keeps_is_named() {
        let unsteered = Finding::warning(Examination::Steering, Kind::NothingSteers, "nobody");
        let of = verdict(&[fault(Kind::ClockOff), unsteered.run("start one")], true);
        assert_eq!(of.cause, Some(Kind::ClockOff));
        assert_eq!(of.text, "ClockOff: nobody");
        assert_eq!(of.commands, ["fix ClockOff", "start one"]);
    }

    #[test]
    fn a_missing_route_is_the_cause_only_if_nothing_was_measured() {
        let route = Finding::warning(Examination::Routes, Kind::NoRoute, "no route");
        let failed = fault(Kind::ServersFail);
        assert_eq!(verdict(&[failed, route.clone()], false).cause, Some(Kind::NoRoute));
        assert_eq!(verdict(std::slice::from_ref(&route), true).cause, None);
        assert_eq!(verdict(&[route], false).cause, None, "no server was asked");
    }

    #[test]
    fn without_a_fault_the_clock_is_correct_or_unknown() {
        assert!(verdict(&[], true).text.starts_with("the clock is correct"));
        assert!(verdict(&[], false).text.contains("no server was measured"));
    }
}
