//! Whether NTP works: the configured servers, each asked properly.

use std::net::{SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use super::deadline;
use super::dns::look_up;
use super::finding::{Examination::Ntp, Finding, Kind};
use super::place::Place;

mod configured;
mod packet;

pub(crate) use configured::Server;
use packet::{NtpTime, Reply};

/// A configured server and what it answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Asked {
    #[serde(flatten)]
    pub(crate) server: Server,
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub(crate) enum Outcome {
    /// Server clock − local clock.
    Answered { offset_seconds: f64, delay_seconds: f64, stratum: u8 },
    /// The server refuses to serve (RFC 5905, section 7.4).
    Kiss { code: String },
    /// The server has no time itself.
    NotSynchronised,
    /// No answer to any of the requests.
    Silent,
    /// The machine answers that nothing listens on the port.
    Refused,
    /// The system of this machine did not send the request.
    NotSent { reason: String },
    /// The name has no address.
    NoAddress { reason: String },
    /// The resolver did not answer.
    ResolverSilent,
}

pub(crate) fn gather(place: &Place) -> Vec<Asked> {
    let servers = configured::servers(place);
    deadline::each(servers, LIMIT, |server| {
        let outcome = ask(server);
        Asked { server: server.clone(), outcome }
    })
    .into_iter()
    .map(|(server, asked)| asked.unwrap_or(Asked { server, outcome: Outcome::ResolverSilent }))
    .collect()
}

fn ask(server: &Server) -> Outcome {
    let addresses = match (server.host.as_str(), server.port).to_socket_addrs() {
        Ok(addresses) => addresses,
        Err(error) => return Outcome::NoAddress { reason: reason(&error) },
    };
    // One address is enough: the others of a pool are behind the same firewall.
    let mut outcome = Outcome::NoAddress { reason: "it has no address".into() };
    for address in addresses.take(MAX_ADDRESSES) {
        outcome = ask_address(address);
        if matches!(outcome, Outcome::Answered { .. } | Outcome::Silent) {
            break;
        }
    }
    outcome
}

fn ask_address(address: SocketAddr) -> Outcome {
    let local = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(local).and_then(|socket| socket.connect(address).map(|()| socket));
    let socket = match socket {
        Ok(socket) => socket,
        Err(error) => return Outcome::NotSent { reason: reason(&error) },
    };
    let mut last = Outcome::Silent;
    for _ in 0..TRIES {
        // A random cookie in place of the time: an answer to another request does not have it, and
        // it does not show this clock.
        let cookie = fastrand::u64(1..);
        let (sent, sent_at) = (Instant::now(), NtpTime::of(SystemTime::now()));
        if let Err(error) = socket.send(&packet::request(cookie)) {
            match error.kind() {
                std::io::ErrorKind::ConnectionRefused => return Outcome::Refused,
                _ => last = Outcome::NotSent { reason: reason(&error) },
            }
            continue;
        }
        match receive(&socket, cookie, sent) {
            Received::Reply(reply) => return outcome(&reply, sent_at, sent.elapsed()),
            Received::Refused => return Outcome::Refused,
            Received::Nothing => {}
        }
    }
    last
}

enum Received {
    Reply(Reply),
    Refused,
    Nothing,
}

fn receive(socket: &UdpSocket, cookie: u64, sent: Instant) -> Received {
    let mut buffer = [0; 512];
    loop {
        let left = TRY_TIMEOUT.saturating_sub(sent.elapsed());
        if left.is_zero() || socket.set_read_timeout(Some(left)).is_err() {
            return Received::Nothing;
        }
        match socket.recv(&mut buffer) {
            Ok(size) => {
                if let Some(reply) = packet::reply(&buffer[..size], cookie) {
                    return Received::Reply(reply);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                return Received::Refused;
            }
            Err(_) => return Received::Nothing,
        }
    }
}

/// Offset and delay of RFC 5905, section 8.
fn outcome(reply: &Reply, sent: NtpTime, took: Duration) -> Outcome {
    if let Some(code) = &reply.kiss {
        return Outcome::Kiss { code: code.clone() };
    }
    if !reply.is_synchronised {
        return Outcome::NotSynchronised;
    }
    let received = sent.seconds_to(reply.received);
    let transmitted = sent.seconds_to(reply.transmitted);
    let took = took.as_secs_f64();
    Outcome::Answered {
        offset_seconds: f64::midpoint(received, transmitted - took),
        delay_seconds: (took - (transmitted - received)).max(0.0),
        stratum: reply.stratum,
    }
}

fn reason(error: &std::io::Error) -> String {
    let text = httptime::IoError::from(error).to_string();
    text.replace("failed to lookup address information: ", "")
}

/// What the answers mean.
pub(crate) fn findings(asked: &[Asked]) -> Vec<Finding> {
    if asked.is_empty() {
        return vec![Finding::note(Ntp, "no NTP server is configured on this machine")];
    }
    let works = asked.iter().any(|asked| matches!(asked.outcome, Outcome::Answered { .. }));
    let mut all: Vec<Finding> = asked.iter().map(|asked| finding(asked, works)).collect();
    // One cause has one finding: the others only name their servers.
    if !works {
        let silent = asked.iter().filter(|asked| asked.outcome == Outcome::Silent);
        let silent: Vec<&str> = silent.map(|asked| asked.server.host.as_str()).collect();
        if silent.len() == asked.len() {
            all.push(
                Finding::fault(
                    Ntp,
                    Kind::NtpSilent,
                    format!(
                        "UDP port {} is dropped on the way, or the servers are gone: no answer from \
                         {} to {TRIES} requests each; NTP cannot work here",
                        asked[0].server.port,
                        silent.join(", ")
                    ),
                )
                .run("chronyc sources; chronyc ntpdata     # if you open UDP port 123 and keep NTP"),
            );
        }
    }
    all
}

fn finding(asked: &Asked, works: bool) -> Finding {
    let Server { host, file, .. } = &asked.server;
    let server = format!("{host} (from {file})");
    let bad = |kind, text| match works {
        true => Finding::warning(Ntp, kind, text),
        false => Finding::fault(Ntp, kind, text),
    };
    let other = format!("editor {file}      # name another NTP server");
    match &asked.outcome {
        Outcome::Answered { offset_seconds, delay_seconds, stratum } => Finding::good(
            Ntp,
            format!(
                "{server}: offset {offset_seconds:+.6} s, delay {delay_seconds:.6} s, stratum \
                 {stratum}"
            ),
        ),
        // The summary is the fault.
        Outcome::Silent => Finding::warning(
            Ntp,
            Kind::NtpSilent,
            format!("{server}: no answer to {TRIES} requests"),
        ),
        Outcome::Kiss { code } => {
            bad(Kind::NtpFails, format!("{server}: refuses to serve this machine ({code})"))
                .run(other)
        }
        Outcome::NotSynchronised => {
            bad(Kind::NtpFails, format!("{server}: answers, but has no time itself; use another"))
                .run(other)
        }
        Outcome::Refused => bad(
            Kind::NtpFails,
            format!("{server}: UDP port {} is closed; no NTP server runs there", asked.server.port),
        )
        .run(other),
        Outcome::NotSent { reason } => bad(
            Kind::NtpSilent,
            format!(
                "{server}: this machine did not send the request: {reason}; check its firewall"
            ),
        ),
        Outcome::NoAddress { reason } => {
            bad(Kind::NtpFails, format!("{server}: the name has no address: {reason}"))
                .run(look_up(host))
                .run(other)
        }
        Outcome::ResolverSilent => {
            bad(Kind::NtpFails, format!("{server}: the resolver did not answer")).run(look_up(host))
        }
    }
}

const TRIES: u32 = 3;
const TRY_TIMEOUT: Duration = Duration::from_millis(1500);
const MAX_ADDRESSES: usize = 2;
/// The time for one server, its name included.
const LIMIT: Duration = Duration::from_secs(12);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Severity;

    fn asked(outcome: Outcome) -> Asked {
        let server = Server { host: "a.example".into(), port: 123, file: "/etc/ntp.conf".into() };
        Asked { server, outcome }
    }

    const GOOD: Outcome =
        Outcome::Answered { offset_seconds: 0.1, delay_seconds: 0.01, stratum: 2 };

    fn worst(asked: &[Asked]) -> (Severity, Kind) {
        let all = findings(asked);
        let worst = all.iter().max_by_key(|finding| finding.severity).expect("a finding");
        (worst.severity, worst.kind)
    }

    #[test]
    fn silence_of_all_servers_is_a_dropped_port_and_silence_of_one_is_not() {
        let silent = || asked(Outcome::Silent);
        assert_eq!(worst(&[silent(), silent()]), (Severity::Fault, Kind::NtpSilent));
        assert_eq!(worst(&[silent(), asked(GOOD)]), (Severity::Warning, Kind::NtpSilent));
        assert_eq!(worst(&[asked(GOOD)]).0, Severity::Good);
        assert_eq!(worst(&[]).0, Severity::Note);
    }

    #[test]
    fn a_name_without_an_address_has_the_command_that_looks_it_up() {
        let reason = "name or service not known".into();
        let all = findings(&[asked(Outcome::NoAddress { reason })]);
        let commands = [
            "getent hosts a.example; cat /etc/resolv.conf",
            "editor /etc/ntp.conf      # name another NTP server",
        ];
        assert_eq!(
            (all[0].kind, &all[0].commands[..]),
            (Kind::NtpFails, &commands.map(str::to_owned)[..])
        );
    }

    #[test]
    fn other_failures_are_faults_only_if_no_server_works() {
        let not_sent = Outcome::NotSent { reason: "operation not permitted".into() };
        for (outcome, kind) in [
            (Outcome::Kiss { code: "DENY".into() }, Kind::NtpFails),
            (Outcome::NotSynchronised, Kind::NtpFails),
            (Outcome::Refused, Kind::NtpFails),
            (Outcome::ResolverSilent, Kind::NtpFails),
            (not_sent, Kind::NtpSilent),
        ] {
            assert_eq!(worst(&[asked(outcome.clone())]), (Severity::Fault, kind), "{outcome:?}");
            let beside = worst(&[asked(outcome.clone()), asked(GOOD)]);
            assert_eq!(beside, (Severity::Warning, kind), "{outcome:?}");
        }
    }
}
