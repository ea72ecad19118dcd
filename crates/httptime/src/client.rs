//! The blocking driver: the only place where the measure loop meets sockets and clocks.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use log::{debug, trace};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::config::Config;
use crate::error::Error;
use crate::estimate::Estimate;
use crate::http::Request;
use crate::measure::{Measure, Next};
use crate::measurement::Measurement;
use crate::net::cancel::Canceller;
use crate::net::clock::Clock;
use crate::net::link::{Event, Link, Route};
use crate::net::resolve::Resolving;
use crate::observation::Exchange;
use crate::progress::Progress;
use crate::select::combine;
use crate::time::{ClockTie, LocalInstant};
use crate::{Family, Timestamping, Url};

/// Measures one server or several over plain HTTP, blocking until it is done. Never touches a clock.
///
/// ```no_run
/// use httptime::Client;
///
/// let measurement = Client::builder("http://192.0.2.1/").build()?.measure()?;
/// println!("local clock is off by {} s, within {}", measurement.offset(), measurement.bounds());
/// # Ok::<(), httptime::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    servers: Vec<Url>,
    proxy: Option<Proxy>,
    family: Family,
    timestamping: Timestamping,
    config: Config,
}

#[derive(Debug, Clone)]
struct Proxy {
    url: Url,
    tunnel: bool,
}

/// Builds a [`Client`].
#[derive(Debug, Clone)]
pub struct ClientBuilder {
    // Parsed at once: `Debug` shows no password that a text would.
    servers: Vec<Result<Url, Error>>,
    proxy: Option<Result<Url, Error>>,
    tunnel: bool,
    family: Family,
    timestamping: Timestamping,
    config: Config,
}

impl ClientBuilder {
    /// One more server to ask. With several, the majority decides ([`select`](crate::select)), so each may be named once only.
    #[must_use]
    pub fn server(mut self, url: impl Into<String>) -> Self {
        self.servers.push(Url::parse(&url.into()));
        self
    }

    /// Goes through an HTTP proxy, `http://[user:password@]host[:port]`. The environment is not looked at.
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(Url::parse(&url.into()));
        self
    }

    /// Has the proxy open a tunnel (`CONNECT`) instead of forwarding requests in absolute form. Then no cache on the
    /// proxy can answer for the server.
    #[must_use]
    pub const fn tunnel(mut self, tunnel: bool) -> Self {
        self.tunnel = tunnel;
        self
    }

    /// Which addresses of a name to use.
    #[must_use]
    pub const fn family(mut self, family: Family) -> Self {
        self.family = family;
        self
    }

    /// Who says when requests left and responses came: the kernel where it does, unless told.
    #[must_use]
    pub const fn timestamping(mut self, timestamping: Timestamping) -> Self {
        self.timestamping = timestamping;
        self
    }

    /// How to measure.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Checks the URLs.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`] for the first that cannot be used, [`Error::InvalidConfig`] for too many servers and for one that is
    /// named twice (host and port; the path does not matter).
    pub fn build(self) -> Result<Client, Error> {
        if self.servers.len() > MAX_SERVERS {
            let reason =
                format!("{} servers; up to {MAX_SERVERS} can be asked", self.servers.len());
            return Err(Error::InvalidConfig { reason });
        }
        let servers = self
            .servers
            .into_iter()
            .map(|url| match url {
                Ok(server) if server.credentials().is_some() => Err(Error::InvalidUrl {
                    url: server.to_string(),
                    reason: "a Date needs no credentials; only a proxy's URL may have them",
                }),
                result => result,
            })
            .collect::<Result<Vec<_>, Error>>()?;
        for (index, url) in servers.iter().enumerate() {
            let place = url.authority_with_port();
            if servers[..index].iter().any(|other| other.authority_with_port() == place) {
                let reason = format!("{place} is named twice, and would have two votes");
                return Err(Error::InvalidConfig { reason });
            }
        }
        let tunnel = self.tunnel;
        let proxy = self.proxy.map(|url| url.map(|url| Proxy { url, tunnel }));
        Ok(Client {
            servers,
            proxy: proxy.transpose()?,
            family: self.family,
            timestamping: self.timestamping,
            config: self.config,
        })
    }
}

/// Something to show while a measurement goes on.
#[non_exhaustive]
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    /// Which server, counted from 0 in the order of the builder.
    pub server: usize,
    /// What has been learnt from it, the newest exchange included.
    pub progress: &'a Progress,
    /// The estimate so far.
    pub estimate: Option<Estimate>,
}

/// What became of each server, and what they say together.
#[derive(Debug, Clone)]
pub struct Survey {
    servers: Vec<ServerReport>,
    combined: Result<Measurement, Error>,
    drift_ppm: u32,
}

/// What became of one server.
#[derive(Debug, Clone)]
pub struct ServerReport {
    url: Url,
    result: Result<Measurement, Error>,
    selected: bool,
}

impl Survey {
    /// Each server, in the order of the builder.
    #[must_use]
    pub fn servers(&self) -> &[ServerReport] {
        &self.servers
    }

    /// What the selected servers say together; with one server, what that one says.
    ///
    /// # Errors
    /// The error of the only server, [`Error::AllFailed`], or why [`select`](crate::select::select) found no
    /// majority among those that answered.
    pub const fn combined(&self) -> Result<&Measurement, &Error> {
        self.combined.as_ref()
    }

    /// The drift allowance ρ of the measurements, in parts per million: of the assumptions, the one that a failure has too.
    #[must_use]
    pub const fn drift_ppm(&self) -> u32 {
        self.drift_ppm
    }
}

impl ServerReport {
    /// Its URL.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Its own measurement.
    ///
    /// # Errors
    /// Why it could not be measured.
    pub const fn result(&self) -> Result<&Measurement, &Error> {
        self.result.as_ref()
    }

    /// Whether it is part of the majority. Measured and not selected: a falseticker, or there is no majority.
    #[must_use]
    pub const fn is_selected(&self) -> bool {
        self.selected
    }
}

impl Client {
    /// A client for the server at `url`: `http://host[:port][/path]`.
    #[must_use]
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            servers: vec![Url::parse(&url.into())],
            proxy: None,
            tunnel: false,
            family: Family::default(),
            timestamping: Timestamping::default(),
            config: Config::default(),
        }
    }

    /// The same servers by the same ways, measured otherwise.
    #[must_use]
    pub fn with_config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// How it measures.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Measures. With several servers, the answer of their majority.
    ///
    /// # Errors
    /// Any of [`Error`] but those about settings.
    pub fn measure(&self) -> Result<Measurement, Error> {
        self.survey(|_| {}).combined
    }

    /// Measures every server, in turns on this thread, and selects among them. `watch` is called after each exchange.
    ///
    /// The first request leaves when the names are resolved, for which there is one
    /// [`timeout`](crate::limits::Limits::timeout). After that it takes no longer than that timeout and
    /// [`duration`](crate::limits::Limits::duration) together.
    pub fn survey(&self, watch: impl FnMut(Update<'_>)) -> Survey {
        self.survey_unless(None, watch)
    }

    /// As [`survey`](Self::survey), and ends at once when `canceller` says so: every server that is not done by then has
    /// failed with [`Error::Cancelled`], and so has the whole.
    pub fn survey_until(&self, canceller: &Canceller, watch: impl FnMut(Update<'_>)) -> Survey {
        self.survey_unless(Some(canceller), watch)
    }

    fn survey_unless(
        &self,
        canceller: Option<&Canceller>,
        mut watch: impl FnMut(Update<'_>),
    ) -> Survey {
        let clock = Clock::new();
        let mut sessions = self.sessions(&clock, canceller);
        let limits = self.config.limits();
        let deadline = clock.now().saturating_add(limits.duration() + limits.timeout());
        drive(&clock, &mut sessions, deadline, canceller, &mut watch);
        let tie = clock.tie();
        let results = sessions.into_iter().map(|session| session.finish(tie)).collect();
        self.conclude(results)
    }

    fn sessions(&self, clock: &Clock, canceller: Option<&Canceller>) -> Vec<Session> {
        let timeout = self.config.limits().timeout();
        let begun = clock.now();
        let hop = |server| self.proxy.as_ref().map_or(server, |proxy| &proxy.url);
        let lookups: Vec<Resolving> =
            self.servers.iter().map(|url| Resolving::start(hop(url), self.family)).collect();
        let addresses: Vec<_> = lookups
            .into_iter()
            .map(|lookup| {
                let spent = clock.now().saturating_since(begun);
                lookup.wait(timeout.saturating_sub(spent), timeout, canceller)
            })
            .collect();
        let tie = clock.tie();
        let stamped = self.timestamping != Timestamping::User;
        let forwarded = self.proxy.as_ref().is_some_and(|proxy| !proxy.tunnel);
        let session = |(index, (url, addresses)): (usize, (&Url, Result<Vec<_>, Error>))| {
            let route = addresses.and_then(|addresses| {
                let (connect, request) = self.requests(url)?;
                Ok(Route { addresses, connect, request, timeout, forwarded, stamped })
            });
            Session::new(index, route, self.timestamping, Measure::new(&self.config, tie))
        };
        self.servers.iter().zip(addresses).enumerate().map(session).collect()
    }

    /// The bytes for the proxy, if it is to open a tunnel, and those for the date.
    fn requests(&self, url: &Url) -> Result<(Option<Vec<u8>>, Vec<u8>), Error> {
        let (authority, path) = (url.authority(), url.path());
        let Some(proxy) = &self.proxy else {
            return Ok((None, Request::head(&authority, path)?.as_bytes().to_vec()));
        };
        let basic = proxy.url.authorization();
        let basic = basic.as_deref();
        if !proxy.tunnel {
            return Ok((
                None,
                Request::head_via_proxy(&authority, path, basic)?.as_bytes().to_vec(),
            ));
        }
        let connect = Request::connect(&url.authority_with_port(), basic)?.as_bytes().to_vec();
        Ok((Some(connect), Request::head(&authority, path)?.as_bytes().to_vec()))
    }

    fn conclude(&self, results: Vec<Result<Measurement, Error>>) -> Survey {
        let measured: Vec<&Measurement> = results.iter().flatten().collect();
        let selection = match (&results[..], measured.is_empty()) {
            ([only], _) => only.clone().map(|measurement| (measurement, vec![true])),
            (several, _) if several.contains(&Err(Error::Cancelled)) => Err(Error::Cancelled),
            (several, true) => Err(Error::AllFailed {
                servers: several.len(),
                last: Box::new(
                    several
                        .iter()
                        .rev()
                        .find_map(|r| r.clone().err())
                        .unwrap_or(Error::NothingMeasured),
                ),
            }),
            (_, false) => combine(&measured),
        };
        let (combined, survivors) = match selection {
            Ok((measurement, survivors)) => (Ok(measurement), survivors),
            Err(error) => (Err(error), Vec::new()),
        };
        let mut survivors = survivors.into_iter();
        let servers = self.servers.iter().zip(results).map(|(url, result)| ServerReport {
            url: url.clone(),
            selected: result.is_ok() && survivors.next().unwrap_or(false),
            result,
        });
        let drift_ppm = self.config.drift_ppm();
        Survey { servers: servers.collect(), combined, drift_ppm }
    }
}

/// One server under way: its measure loop, its links, and the request that is due next.
#[derive(Debug)]
struct Session {
    index: usize,
    measure: Measure,
    route: Result<Route, Error>,
    timestamping: Timestamping,
    links: Vec<Link>,
    due: Option<LocalInstant>,
    /// After a failure, not before this.
    hold: Option<LocalInstant>,
    failures: u32,
    done: bool,
}

impl Session {
    fn new(
        index: usize,
        route: Result<Route, Error>,
        timestamping: Timestamping,
        measure: Measure,
    ) -> Self {
        let done = route.is_err();
        Self {
            index,
            measure,
            route,
            timestamping,
            links: vec![Link::new()],
            due: None,
            hold: None,
            failures: 0,
            done,
        }
    }

    fn finish(self, tie: ClockTie) -> Result<Measurement, Error> {
        match self.route {
            Ok(_) => self.measure.finish(tie),
            Err(error) => Err(self.measure.cause(error, tie)),
        }
    }

    /// Gives up for good; nothing that was measured counts.
    fn fail(&mut self, error: Error) {
        self.route = Err(error);
        self.end();
    }

    fn end(&mut self) {
        self.done = true;
        self.links.clear();
    }

    /// Does all that can be done without waiting; returns the next instant at which there is something to do.
    fn drive(&mut self, clock: &Clock) -> Option<LocalInstant> {
        // Bounded: every turn ends, sends, or opens one of a handful of links.
        for _ in 0..MAX_TURNS {
            if self.done {
                return None;
            }
            let now = clock.now();
            let due = match self.due {
                Some(due) => due,
                None => match self.measure.next(self.earliest(now)) {
                    Next::SendAt(at) => *self.due.insert(at),
                    Next::AwaitReply => return self.wake(None),
                    Next::Done => {
                        self.end();
                        return None;
                    }
                },
            };
            let Ok(route) = &self.route else { return None };
            if let Some(link) = self.links.iter_mut().find(|link| link.is_ready()) {
                if now < due {
                    return self.wake(Some(due));
                }
                self.due = None;
                if self.measure.is_missed(due, now) {
                    trace!("server {}: missed by {:?}", self.index, now.saturating_since(due));
                    continue;
                }
                match link.send(route, clock) {
                    None => debug!("server {}: connection had gone stale", self.index),
                    Some(Ok(sent)) => {
                        trace!("server {}: sent {:?} late", self.index, sent.saturating_since(due));
                        self.measure.sent(sent);
                    }
                    Some(Err(error)) => self.lose(false, error, now),
                }
                continue;
            }
            if self.links.len() < MAX_LINKS && self.links.iter().all(Link::is_busy) {
                self.links.push(Link::new());
            }
            let Some(link) = self.links.iter_mut().find(|link| link.is_closed()) else {
                return self.wake(None);
            };
            // A request aimed at an instant that has passed while nothing was open is aimed anew when something is.
            let open_at = due.saturating_sub(lead(link)).max(self.hold.unwrap_or(now));
            if now < open_at {
                return self.wake(Some(open_at));
            }
            match link.open(route, now) {
                Event::NotOpened(error) => self.lose(false, error, now),
                _ => return self.wake(None),
            }
        }
        self.wake(Some(clock.now()))
    }

    /// When a request can leave: now, or when a connection will be open.
    fn earliest(&self, now: LocalInstant) -> LocalInstant {
        let opening = self.links.iter().find(|link| !link.is_busy());
        let held = now.max(self.hold.unwrap_or(now));
        match opening {
            Some(link) if !link.is_ready() => {
                held.saturating_add(link.opening_time().map_or(Duration::ZERO, |_| lead(link)))
            }
            _ => held,
        }
    }

    fn wake(&self, planned: Option<LocalInstant>) -> Option<LocalInstant> {
        let Ok(route) = &self.route else { return None };
        let deadlines = self.links.iter().filter_map(|link| link.deadline(route));
        deadlines.chain(planned).min()
    }

    /// A link's socket is ready (`woken`), or time has passed.
    fn advance(
        &mut self,
        which: usize,
        clock: &Clock,
        woken: bool,
        watch: &mut dyn FnMut(Update<'_>),
    ) {
        let now = clock.now();
        let Ok(route) = &self.route else { return };
        match self.links[which].advance(route, clock, woken) {
            Event::Nothing => {}
            Event::Opened => {
                // A request aimed at an instant that has passed meanwhile is aimed anew.
                self.due = self.due.filter(|due| *due > now);
                self.hold = None;
            }
            Event::Dropped => {
                debug!("server {}: idle connection was closed", self.index);
                self.due = None;
            }
            Event::NotOpened(error) => self.lose(false, error, now),
            Event::Lost(error) => self.lose(true, error, now),
            Event::Answered { times, .. }
                if self.timestamping == Timestamping::Kernel && !times.are_both_the_kernels() =>
            {
                // The kernel begins to stamp a moment after it was asked to, so the first is not given up for.
                self.hold_off(&Error::NotStamped, now);
                if let Err(error) = self.measure.discard(Error::NotStamped) {
                    self.fail(error);
                }
            }
            Event::Answered { times, head } => {
                self.due = None;
                self.failures = 0;
                let absorbed = route.refusal(head.status()).map_or_else(|| head.date(), Err);
                let absorbed = absorbed.and_then(|date| {
                    let exchange = Exchange::new(times.sent, times.received, date)
                        .with_kernel_times(times.departed, times.arrived)
                        .with_age(head.age())
                        .with_server(head.server());
                    self.measure.absorb(&exchange)
                });
                match absorbed {
                    Ok(observation) => {
                        trace!("server {}: {observation:?}", self.index);
                        watch(Update {
                            server: self.index,
                            progress: self.measure.progress(),
                            estimate: self.measure.estimate(),
                        });
                    }
                    Err(error) => self.fail(error),
                }
            }
        }
    }

    fn lose(&mut self, was_sent: bool, error: Error, now: LocalInstant) {
        self.hold_off(&error, now);
        let lost =
            if was_sent { self.measure.lost(true, error) } else { self.measure.not_opened(error) };
        if let Err(error) = lost {
            self.fail(error);
        }
    }

    fn hold_off(&mut self, error: &Error, now: LocalInstant) {
        debug!("server {}: {error}", self.index);
        self.due = None;
        // Another request that was under way as well: still the same failure.
        if self.hold.is_some_and(|hold| now < hold) {
            return;
        }
        self.hold = Some(now.saturating_add(RETRY_AFTER * 2_u32.saturating_pow(self.failures)));
        self.failures += 1;
    }

    /// The time is over: whatever is still under way will not be waited for.
    fn expire(&mut self, timeout: Duration, now: LocalInstant) {
        let waiting = self.links.iter().max_by_key(|link| (link.is_busy(), link.phase().is_some()));
        let phase = waiting.and_then(|link| Some((link.phase()?, link.is_busy())));
        // When nothing was, there is nothing to name either: it was too early for the next request.
        if let Some((phase, busy)) = phase {
            self.lose(busy, Error::Timeout { phase, after: timeout }, now);
        }
        self.end();
    }
}

/// How long before a request is due its connection begins to open.
fn lead(link: &Link) -> Duration {
    link.opening_time().map_or(FIRST_LEAD, |took| took * 3 + SPARE_LEAD)
}

/// Runs all sessions to their ends, or to `deadline`.
fn drive(
    clock: &Clock,
    sessions: &mut [Session],
    deadline: LocalInstant,
    canceller: Option<&Canceller>,
    watch: &mut dyn FnMut(Update<'_>),
) {
    let begun = clock.now();
    loop {
        let wake = sessions.iter_mut().filter_map(|session| session.drive(clock)).min();
        if sessions.iter().all(|session| session.done) {
            return;
        }
        let wake = wake.map_or(deadline, |wake| wake.min(deadline));
        let ready = wait(clock, sessions, wake, canceller);
        let now = clock.now();
        if canceller.is_some_and(Canceller::is_cancelled) {
            sessions.iter_mut().filter(|s| !s.done).for_each(|s| s.fail(Error::Cancelled));
            return;
        }
        if now >= deadline {
            let spent = now.saturating_since(begun);
            sessions.iter_mut().filter(|s| !s.done).for_each(|s| s.expire(spent, now));
            return;
        }
        for (index, session) in sessions.iter_mut().enumerate() {
            for which in 0..MAX_LINKS {
                if !session.done && which < session.links.len() {
                    session.advance(which, clock, ready & bit(index, which) != 0, watch);
                }
            }
        }
    }
}

/// Waits until a socket is ready or `wake` has come; returns which are ready.
///
/// A timer wakes a process later than a request may leave that is aimed to some tens of microseconds: so the timer is set
/// a little early, and the rest is spent asking.
fn wait(
    clock: &Clock,
    sessions: &[Session],
    wake: LocalInstant,
    canceller: Option<&Canceller>,
) -> u64 {
    let mut interests: [Option<(u64, BorrowedFd<'_>, PollFlags)>; MAX_INTERESTS] =
        [None; MAX_INTERESTS];
    let mut count = 0;
    if let Some(canceller) = canceller {
        interests[count] = Some((0, canceller.as_fd(), PollFlags::IN));
        count += 1;
    }
    for (index, session) in sessions.iter().enumerate() {
        for (which, link) in session.links.iter().enumerate() {
            if let Some((fd, flags)) = link.interest() {
                interests[count] = Some((bit(index, which), fd, flags));
                count += 1;
            }
        }
    }
    let remaining = |early: Duration| wake.saturating_sub(early).saturating_since(clock.now());
    let Some(first) = interests[0] else {
        std::thread::sleep(remaining(TIMER_SLACK));
        while !remaining(Duration::ZERO).is_zero() {
            std::hint::spin_loop();
        }
        return 0;
    };
    let mut fds: [PollFd<'_>; MAX_INTERESTS] = std::array::from_fn(|position| {
        let (_, fd, flags) = interests[position].unwrap_or(first);
        PollFd::from_borrowed_fd(fd, flags)
    });
    loop {
        let sleep = remaining(TIMER_SLACK);
        let part = if sleep > SHORT_SLEEP { sleep / SLEEP_PART } else { sleep };
        let timeout = Timespec::try_from(part).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
        // An interrupted wait is like a short one.
        let ready = poll(&mut fds[..count], Some(&timeout)).unwrap_or(0);
        if ready > 0 {
            return fds[..count].iter().zip(interests).fold(0, |bits, (fd, interest)| {
                let bit = interest.map_or(0, |(bit, ..)| bit);
                if fd.revents().is_empty() { bits } else { bits | bit }
            });
        }
        if remaining(Duration::ZERO).is_zero() {
            return 0;
        }
    }
}

const fn bit(server: usize, link: usize) -> u64 {
    1 << (server * MAX_LINKS + link)
}

/// The most servers one client asks. A bit for each of their links fits into a `u64`.
const MAX_SERVERS: usize = 16;
/// The most connections to one server.
const MAX_LINKS: usize = 4;
/// All links, and the canceller.
const MAX_INTERESTS: usize = MAX_SERVERS * MAX_LINKS + 1;
/// A bound on the work done between two waits.
const MAX_TURNS: u32 = 16;
/// How early the timer is set. Linux wakes an ordinary process 50 µs late (`PR_SET_TIMERSLACK`), a virtual machine
/// often 0.2 ms and at times 0.7 ms.
const TIMER_SLACK: Duration = Duration::from_millis(1);
/// A longer wait than this is made of several, each a part of what is left. Linux may end `poll` later than it was asked to by
/// a thousandth of the timeout, with positive niceness by a two hundredth (`select_estimate_accuracy` in fs/select.c); and
/// when the process was stopped meanwhile (SIGSTOP, a debugger, a frozen cgroup), by as long as it was stopped.
const SHORT_SLEEP: Duration = Duration::from_millis(2);
/// What part: stopped for up to three quarters of the time, it still is not late.
const SLEEP_PART: u32 = 4;
/// How long before a request is due its connection begins to open, when nobody knows how long that takes.
const FIRST_LEAD: Duration = Duration::from_secs(1);
/// Added to three times what it took before.
const SPARE_LEAD: Duration = Duration::from_millis(20);
/// The pause after a first failure; doubled by each in a row.
const RETRY_AFTER: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn pauses_double_with_each_failure_and_not_with_each_request_that_shares_one() {
        let at = |millis: i64| LocalInstant::from_nanos(millis * 1_000_000);
        let tie = ClockTie::new(at(0), Timestamp::from_unix_nanos(0), Duration::ZERO);
        let measure = Measure::new(&Config::default(), tie);
        let mut session = Session::new(0, Err(Error::NothingMeasured), Timestamping::User, measure);
        let mut held_after = |millis| {
            session.hold_off(&Error::Closed { received: 0 }, at(millis));
            session.hold
        };
        assert_eq!([0, 0, 1, 2].map(&mut held_after), [Some(at(100)); 4]);
        assert_eq!([100, 150].map(&mut held_after), [Some(at(300)); 2]);
        assert_eq!(held_after(300), Some(at(700)));
    }
}
