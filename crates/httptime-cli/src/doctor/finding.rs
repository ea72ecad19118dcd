//! What an examination found.

use serde::Serialize;

/// One result of an examination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) examination: Examination,
    pub(crate) severity: Severity,
    pub(crate) kind: Kind,
    /// For people.
    pub(crate) text: String,
    /// What to run to remove the fault.
    pub(crate) commands: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    Good,
    Note,
    Warning,
    Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Examination {
    Clock,
    Steering,
    Ntp,
    Dns,
    Routes,
    Proxies,
    Servers,
    Tls,
    Consumers,
}

/// The names of the findings, in the order in which the verdict prefers them as the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A cron line sets the clock.
    CronSetsClock,
    /// Two programs or more steer the clock.
    SeveralSteer,
    /// The resolver does not answer.
    ResolverSilent,
    /// A name leads nowhere, or to this machine.
    DnsWrong,
    /// No default route.
    NoRoute,
    /// The proxy asks for a user name and password, or for another scheme.
    ProxyPassword,
    /// The proxy answers in the server's place.
    ProxyAnswersItself,
    /// The proxy does not answer, or opens no tunnel that is needed.
    ProxyFails,
    /// Someone on the path answers in the server's place.
    CaptivePortal,
    /// NTP servers do not answer: UDP port 123 is dropped.
    NtpSilent,
    /// NTP servers cannot be used for another reason.
    NtpFails,
    /// A certificate is not valid at the local time, or at the server's.
    TlsWindow,
    /// A server disagrees with the majority.
    Falseticker,
    /// The servers cannot be measured.
    ServersFail,
    /// The clock is wrong.
    ClockOff,
    /// The kernel's clock is not synchronised.
    NotSynchronised,
    /// No program keeps the clock correct.
    NothingSteers,
    /// The hardware clock is missing, wrong or keeps local time.
    HardwareClock,
    /// A redirect, or another status that needs attention.
    Status,
    /// An examination did not end in time, or could not be made.
    Incomplete,
    /// A service will reject this clock.
    ConsumerFails,
    /// Anything else worth knowing.
    Information,
}

impl Finding {
    pub(crate) fn new(
        examination: Examination,
        severity: Severity,
        kind: Kind,
        text: impl Into<String>,
    ) -> Self {
        Self { examination, severity, kind, text: text.into(), commands: Vec::new() }
    }

    pub(crate) fn good(examination: Examination, text: impl Into<String>) -> Self {
        Self::new(examination, Severity::Good, Kind::Information, text)
    }

    pub(crate) fn note(examination: Examination, text: impl Into<String>) -> Self {
        Self::new(examination, Severity::Note, Kind::Information, text)
    }

    pub(crate) fn warning(examination: Examination, kind: Kind, text: impl Into<String>) -> Self {
        Self::new(examination, Severity::Warning, kind, text)
    }

    pub(crate) fn fault(examination: Examination, kind: Kind, text: impl Into<String>) -> Self {
        Self::new(examination, Severity::Fault, kind, text)
    }

    /// The same with what to run.
    pub(crate) fn run(mut self, command: impl Into<String>) -> Self {
        self.commands.push(command.into());
        self
    }

    pub(crate) fn is_fault(&self) -> bool {
        self.severity == Severity::Fault
    }
}
