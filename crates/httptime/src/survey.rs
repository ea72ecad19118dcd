//! Several servers: runs many [sessions](crate::session) behind one interface, and combines their
//! results.
//!
//! [`Sessions`] is driven like a single [`Session`], with the same
//! [rules](crate::session#rules-for-a-driver). One server is a survey of one. When all sessions are
//! done, [`finish`](Sessions::finish) [selects](crate::select) among the servers and combines those
//! that agree.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

mod targets;

pub use self::targets::{Targets, TargetsBuilder};

use crate::agreement::{Agreement, Responder};
use crate::config::Config;
use crate::error::Error;
use crate::measurement::Measurement;
use crate::select::{Quorum, combine};
use crate::session::{
    Action, Arrival, ConnectionId, Event, MAX_CONNECTIONS, PRECISE_WITHIN, Session, Target,
};
use crate::suspicion::Suspicion;
use crate::time::{CrossTimestamp, LocalInstant};
use crate::tls::CertificateCheck;
use crate::url::Url;

/// The sessions with one server or several, as one state machine without I/O.
///
/// ```
/// use std::time::Duration;
///
/// use httptime::session::Action;
/// use httptime::survey::Targets;
/// use httptime::{CrossTimestamp, LocalInstant, Timestamp};
///
/// # fn main() -> Result<(), httptime::Error> {
/// let targets = Targets::builder().servers(["http://192.0.2.1/", "http://192.0.2.2/"]).build()?;
/// let now = LocalInstant::from_nanos(0);
/// let begin = CrossTimestamp::new(now, Timestamp::from_unix_nanos(0), Duration::ZERO);
/// let mut sessions = targets.sessions(begin);
/// let Action::Open { conn, .. } = sessions.poll(now) else {
///     panic!("an address needs no resolver")
/// };
/// assert_eq!((conn.server(), sessions.quorum().min_servers()), (0, 2));
/// // Report what happens on the connection, and continue until `poll` returns `Done`. Then:
/// assert!(sessions.finish(begin).combined().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Sessions {
    sessions: Vec<Session>,
    quorum: Quorum,
    drift_ppm: u32,
}

impl Sessions {
    /// A session for each target. `begin`: both local clocks now.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for no target, for more than [`MAX_SERVERS`], for a server that
    /// occurs twice (same host and port; the path does not count), and for a
    /// [`min_servers`](Config::min_servers) that is larger than their number.
    pub fn new(
        targets: impl IntoIterator<Item = Arc<Target>>,
        config: &Config,
        begin: CrossTimestamp,
    ) -> Result<Self, Error> {
        let sessions = targets.into_iter().map(|target| Session::new(target, config, begin));
        Self::from_sessions(sessions.collect(), config)
    }

    /// Combines these sessions, which have `config`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_sessions(sessions: Vec<Session>, config: &Config) -> Result<Self, Error> {
        let quorum = check(sessions.iter().map(Session::target), config)?;
        Ok(Self::with_numbers(sessions, quorum, config.drift_ppm()))
    }

    fn with_numbers(sessions: Vec<Session>, quorum: Quorum, drift_ppm: u32) -> Self {
        let sessions = sessions.into_iter().enumerate();
        let sessions = sessions.map(|(server, session)| session.numbered(server)).collect();
        Self { sessions, quorum, drift_ppm }
    }

    /// The sessions, in the given order.
    #[must_use]
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// How many servers must answer and agree.
    #[must_use]
    pub const fn quorum(&self) -> Quorum {
        self.quorum
    }

    /// The limit of [`ConnectionId::index`], which is below it.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.sessions.len() * MAX_CONNECTIONS
    }

    /// Decides what to do next.
    pub fn poll(&mut self, now: LocalInstant) -> Action {
        let mut first: Option<LocalInstant> = None;
        let mut precise: Option<LocalInstant> = None;
        for session in &mut self.sessions {
            match session.poll(now) {
                Action::Done => {}
                Action::Wait { until, precise: is_precise } => {
                    first = Some(first.map_or(until, |first| first.min(until)));
                    if is_precise {
                        precise = Some(precise.map_or(until, |precise| precise.min(until)));
                    }
                }
                action => return action,
            }
        }
        let Some(until) = first else { return Action::Done };
        let near = until.saturating_add(PRECISE_WITHIN);
        Action::Wait { until, precise: precise.is_some_and(|precise| precise <= near) }
    }

    /// Whether there is nothing more to do.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.sessions.iter().all(Session::is_done)
    }

    /// The oldest event that has not been read, and the number of its server.
    pub fn next_event(&mut self) -> Option<(usize, Event)> {
        let mut numbered = self.sessions.iter_mut().enumerate();
        numbered.find_map(|(server, session)| Some((server, session.next_event()?)))
    }

    /// See [`Session::resolved`].
    pub fn resolved(
        &mut self,
        server: usize,
        addresses: io::Result<Vec<SocketAddr>>,
        now: LocalInstant,
    ) {
        if let Some(session) = self.sessions.get_mut(server) {
            session.resolved(addresses, now);
        }
    }

    /// See [`Session::opened`].
    pub fn opened(&mut self, conn: ConnectionId, now: LocalInstant) {
        self.with_session(conn, |session| session.opened(conn, now));
    }

    /// See [`Session::output`].
    #[must_use]
    pub fn output(&self, conn: ConnectionId) -> &[u8] {
        self.sessions.get(conn.server()).map_or(&[], |session| session.output(conn))
    }

    /// See [`Session::sent`].
    pub fn sent(&mut self, conn: ConnectionId, count: usize, at: LocalInstant) {
        self.with_session(conn, |session| session.sent(conn, count, at));
    }

    /// See [`Session::is_waiting_to_write`].
    #[must_use]
    pub fn is_waiting_to_write(&self, conn: ConnectionId) -> bool {
        self.sessions.get(conn.server()).is_some_and(|session| session.is_waiting_to_write(conn))
    }

    /// See [`Session::writable`].
    pub fn writable(&mut self, conn: ConnectionId) {
        self.with_session(conn, |session| session.writable(conn));
    }

    /// See [`Session::received`].
    pub fn received(&mut self, conn: ConnectionId, bytes: &[u8], arrival: impl Into<Arrival>) {
        self.with_session(conn, |session| session.received(conn, bytes, arrival));
    }

    /// See [`Session::closed`].
    pub fn closed(&mut self, conn: ConnectionId, now: LocalInstant) {
        self.with_session(conn, |session| session.closed(conn, now));
    }

    /// See [`Session::failed`].
    pub fn failed(&mut self, conn: ConnectionId, error: io::Error, now: LocalInstant) {
        self.with_session(conn, |session| session.failed(conn, error, now));
    }

    /// Ends every session that is not done. The results are computed from the evidence so far.
    pub fn stop(&mut self) {
        self.sessions.iter_mut().for_each(Session::stop);
    }

    /// Ends every session that is not done with [`Error::Cancelled`], which is then also the error
    /// of the survey.
    pub fn cancel(&mut self) {
        self.sessions.iter_mut().for_each(Session::cancel);
    }

    /// The result of each server, and the combined result. `end`: both local clocks now. Sessions
    /// that are not done are [stopped](Self::stop).
    #[must_use]
    pub fn finish(self, end: CrossTimestamp) -> Survey {
        let ended = self.sessions.into_iter().map(|session| {
            let (url, responder) = (session.target().url().clone(), session.responder());
            let suspicion = session.suspicion();
            Ended { url, responder, suspicion, result: session.finish(end) }
        });
        Survey::combine_reports(ended.collect(), self.quorum, self.drift_ppm)
    }

    fn with_session(&mut self, conn: ConnectionId, report: impl FnOnce(&mut Session)) {
        if let Some(session) = self.sessions.get_mut(conn.server()) {
            report(session);
        }
    }
}

/// Checks a set of servers. Returns how many of them must answer and agree.
fn check<'a>(targets: impl Iterator<Item = &'a Target>, config: &Config) -> Result<Quorum, Error> {
    let refuse = |reason| Err(Error::InvalidConfig { reason });
    let places: Vec<String> = targets.map(|target| target.url().authority_with_port()).collect();
    let count = places.len();
    if count == 0 {
        return refuse("servers is empty; name at least one".to_owned());
    }
    if count > MAX_SERVERS {
        return refuse(format!("servers names {count}; allowed: 1 to {MAX_SERVERS}"));
    }
    let twice = places.iter().enumerate().find(|(index, place)| places[..*index].contains(place));
    if let Some((_, place)) = twice {
        return refuse(format!(
            "servers names {place} twice, which would give it two votes; remove one"
        ));
    }
    let majority = Quorum::majority_of(count);
    let quorum = config.min_servers().map_or(majority, |least| majority.with_min_servers(least));
    if quorum.min_servers() > count {
        let least = quorum.min_servers();
        return refuse(format!(
            "min_servers is {least}; allowed: 1 to {count}, the number of servers"
        ));
    }
    Ok(quorum)
}

/// A session that has ended.
struct Ended {
    url: Url,
    responder: Responder,
    suspicion: Option<Suspicion>,
    result: Result<Measurement, Error>,
}

impl Ended {
    /// Who may have answered for it: no proxy, if the certificate of the server was checked.
    fn voter(&self) -> Responder {
        let check = self.result.as_ref().ok().and_then(|it| it.assumptions.certificates);
        let is_proved = check.is_some_and(|check| check != CertificateCheck::Unchecked);
        match &self.responder {
            Responder::Proxy(_) if is_proved => Responder::Itself,
            responder => responder.clone(),
        }
    }
}

/// The result of each server, and the combined result.
#[derive(Debug, Clone)]
pub struct Survey {
    servers: Vec<ServerReport>,
    combined: Result<Measurement, Error>,
    agreement: Agreement,
    drift_ppm: u32,
}

/// The result of one server.
#[derive(Debug, Clone)]
pub struct ServerReport {
    url: Url,
    result: Result<Measurement, Error>,
    selected: bool,
    suspicion: Option<Suspicion>,
}

impl Survey {
    fn combine_reports(ended: Vec<Ended>, quorum: Quorum, drift_ppm: u32) -> Self {
        let measured: Vec<&Measurement> =
            ended.iter().filter_map(|server| server.result.as_ref().ok()).collect();
        let error = ended.iter().rev().find_map(|server| server.result.as_ref().err());
        let is_cancelled = ended.iter().any(|server| server.result == Err(Error::Cancelled));
        let selection = match (&ended[..], error) {
            ([only], _) => only.result.clone().map(|measurement| (measurement, vec![true])),
            _ if is_cancelled => Err(Error::Cancelled),
            (several, Some(last)) if measured.is_empty() => {
                Err(Error::AllFailed { servers: several.len(), last: Box::new(last.clone()) })
            }
            _ => combine(&measured, quorum),
        };
        let (mut combined, survivors) = match selection {
            Ok((measurement, survivors)) => (Ok(measurement), survivors),
            Err(error) => (Err(error), Vec::new()),
        };
        let mut survivors = survivors.into_iter();
        let selected = ended.into_iter().map(|server| {
            let is_selected = server.result.is_ok() && survivors.next().unwrap_or(false);
            (server, is_selected)
        });
        let selected: Vec<(Ended, bool)> = selected.collect();
        let votes = selected.iter().map(|(server, selected)| (server.voter(), *selected));
        let agreement = Agreement::count(&votes.collect::<Vec<_>>());
        if let Ok(measurement) = &mut combined {
            measurement.agreement = agreement;
        }
        let servers = selected.into_iter().map(|(server, selected)| ServerReport {
            url: server.url,
            suspicion: server.suspicion.filter(|_| server.result.is_ok()),
            result: server.result,
            selected,
        });
        Self { servers: servers.collect(), combined, agreement, drift_ppm }
    }

    /// The same error for every server: none could be measured.
    #[cfg(feature = "net")]
    pub(crate) fn failed(urls: impl Iterator<Item = Url>, config: &Config, error: &Error) -> Self {
        let report = |url| {
            let result = Err(error.clone());
            ServerReport { url, result, selected: false, suspicion: None }
        };
        let servers: Vec<ServerReport> = urls.map(report).collect();
        let agreement = Agreement::of_independent(0, servers.len());
        let drift_ppm = config.drift_ppm();
        Self { servers, combined: Err(error.clone()), agreement, drift_ppm }
    }

    /// The servers, in the given order.
    #[must_use]
    pub fn servers(&self) -> &[ServerReport] {
        &self.servers
    }

    /// The combined result of the selected servers. With one server, its result.
    ///
    /// # Errors
    /// The error of the only server, [`Error::AllFailed`], [`Error::Cancelled`], or the reason why
    /// [`select`](crate::select::select) found no majority among those that answered.
    pub const fn combined(&self) -> Result<&Measurement, &Error> {
        self.combined.as_ref()
    }

    /// As [`combined`](Self::combined), by value.
    ///
    /// # Errors
    /// As [`combined`](Self::combined).
    pub fn into_combined(self) -> Result<Measurement, Error> {
        self.combined
    }

    /// How many independent servers agree on the result. None of them does if there is no result.
    #[must_use]
    pub const fn agreement(&self) -> Agreement {
        self.agreement
    }

    /// The drift allowance ρ of the measurements, in parts per million. It is the only assumption
    /// that a failed survey also has.
    #[must_use]
    pub const fn drift_ppm(&self) -> u32 {
        self.drift_ppm
    }
}

impl ServerReport {
    /// The URL.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// The server's own measurement.
    ///
    /// # Errors
    /// The reason why it could not be measured.
    pub const fn result(&self) -> Result<&Measurement, &Error> {
        self.result.as_ref()
    }

    /// Whether the server is part of the majority. A server that was measured but not selected is a
    /// falseticker, or there is no majority.
    #[must_use]
    pub const fn is_selected(&self) -> bool {
        self.selected
    }

    /// Why the server's responses may be those of someone else. `None` also if it was not measured.
    #[must_use]
    pub const fn suspicion(&self) -> Option<Suspicion> {
        self.suspicion
    }
}

/// The maximum number of servers in one survey.
pub const MAX_SERVERS: usize = 16;
