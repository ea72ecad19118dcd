//! Certificates: whether they are valid at the server's time and at the local time.

use httptime::survey::Survey;
use httptime::{CertificateCheck, Error, Timestamp, TlsFault};
use serde::Serialize;

use super::finding::{Examination::Tls, Finding, Kind};

/// The certificates of one `https` server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Facts {
    pub(crate) url: String,
    pub(crate) state: State,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub(crate) enum State {
    /// They are valid at the server's time.
    Valid {
        valid_from: String,
        valid_to: String,
        /// Whether they are valid at the local time too.
        at_local_time: bool,
    },
    /// They are valid by the local clock, or the key is pinned.
    Accepted,
    /// Nothing was checked.
    Unchecked,
    /// A window is violated.
    Outside { reason: String, by_local_clock: bool },
    /// Another failure of TLS, or no measurement.
    Failed { reason: String },
}

/// `local`: the local time.
pub(crate) fn gather(survey: &Survey, local: Timestamp) -> Vec<Facts> {
    let secure = survey.servers().iter().filter(|server| server.url().is_https());
    let of = |server: &httptime::survey::ServerReport| Facts {
        url: server.url().to_string(),
        state: match server.result() {
            Ok(measured) => state(measured.assumptions().certificates(), local),
            Err(error) => failed(error),
        },
    };
    secure.map(of).collect()
}

fn state(check: Option<CertificateCheck>, local: Timestamp) -> State {
    match check {
        Some(CertificateCheck::ServerTime { valid_from, valid_to }) => State::Valid {
            valid_from: valid_from.to_string(),
            valid_to: valid_to.to_string(),
            at_local_time: (valid_from..=valid_to).contains(&local),
        },
        Some(CertificateCheck::Unchecked) => State::Unchecked,
        _ => State::Accepted,
    }
}

fn failed(error: &Error) -> State {
    let reason = error.to_string();
    let Error::Tls { fault, .. } = error else { return State::Failed { reason } };
    match fault {
        TlsFault::LocalTimeOutside { .. } => State::Outside { reason, by_local_clock: true },
        TlsFault::DateOutside { .. } | TlsFault::Expired { .. } | TlsFault::NeverValid { .. } => {
            State::Outside { reason, by_local_clock: false }
        }
        _ => State::Failed { reason },
    }
}

/// What the facts mean.
pub(crate) fn findings(all: &[Facts]) -> Vec<Finding> {
    all.iter().filter_map(finding).collect()
}

fn finding(facts: &Facts) -> Option<Finding> {
    let url = &facts.url;
    Some(match &facts.state {
        State::Valid { valid_from, valid_to, at_local_time: true } => {
            Finding::good(Tls, format!("{url}: certificate valid {valid_from} to {valid_to}"))
        }
        State::Valid { valid_from, valid_to, .. } => Finding::fault(
            Tls,
            Kind::TlsWindow,
            format!(
                "{url}: the certificate is valid {valid_from} to {valid_to}, which the server's \
                 clock is in and the local clock is not: other programs cannot open HTTPS \
                 connections until the clock is correct"
            ),
        ),
        State::Accepted => Finding::good(Tls, format!("{url}: certificate accepted")),
        State::Unchecked => Finding::warning(
            Tls,
            Kind::TlsWindow,
            format!("{url}: the certificate was not checked (--insecure)"),
        ),
        State::Outside { reason, by_local_clock } => {
            let who = match by_local_clock {
                true => {
                    "the kernel calls the local clock synchronised, so the certificate has expired, \
                     or the clock is wrong all the same; ask a second server over http"
                }
                false => "the certificate must be renewed, or the server's clock is wrong",
            };
            Finding::fault(Tls, Kind::TlsWindow, format!("{url}: {reason}: {who}"))
                .run(format!("httptime query {}", url.replacen("https:", "http:", 1)))
        }
        // The server's finding has it.
        State::Failed { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Severity;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_nanos(seconds * 1_000_000_000)
    }

    fn severity(state: State) -> Severity {
        let facts = Facts { url: "https://a.example/".into(), state };
        finding(&facts).expect("a finding").severity
    }

    #[test]
    fn a_window_that_only_the_local_clock_misses_is_a_fault() {
        let check = CertificateCheck::ServerTime { valid_from: at(100), valid_to: at(200) };
        for (local, expected) in [(100, Severity::Good), (200, Severity::Good)] {
            assert_eq!(severity(state(Some(check), at(local))), expected);
        }
        for local in [99, 201] {
            assert_eq!(severity(state(Some(check), at(local))), Severity::Fault, "{local}");
        }
        assert_eq!(severity(state(Some(CertificateCheck::Pin), at(0))), Severity::Good);
    }
}
