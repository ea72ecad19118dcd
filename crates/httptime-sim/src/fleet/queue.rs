use std::collections::VecDeque;
use std::time::Duration;

use httptime::Timestamp;

/// The resources of a shared server.
#[derive(Debug, Clone, Copy)]
pub struct FleetServer {
    cores: usize,
    service: Duration,
    accept: Duration,
    backlog: usize,
    has_event_loop: bool,
}

impl FleetServer {
    /// A server with so many cores (at least one). Each request keeps one of them busy for
    /// `service`, and the server reads its clock in the middle of that. It accepts connections at
    /// no cost, and 511 of them can wait for that: nginx's backlog.
    #[must_use]
    pub const fn new(cores: usize, service: Duration) -> Self {
        let (accept, backlog, has_event_loop) = (Duration::ZERO, 511, false);
        Self { cores, service, accept, backlog, has_event_loop }
    }

    /// To accept a connection keeps a core busy for `cost`. At most `backlog` connections wait for
    /// that. The packet that opens another one is dropped, and the client sends it again a second
    /// later.
    #[must_use]
    pub const fn accepting(self, cost: Duration, backlog: usize) -> Self {
        Self { accept: cost, backlog, ..self }
    }

    /// Each core has an event loop, as a worker of nginx: it takes all requests that have arrived,
    /// reads its clock once, and answers them one after the other. All requests of a connection go
    /// to the same core.
    #[must_use]
    pub const fn event_loop(self) -> Self {
        Self { has_event_loop: true, ..self }
    }
}

/// When the server does what with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Service {
    /// Reads its clock for the `Date`.
    pub(super) stamped: Timestamp,
    pub(super) left: Timestamp,
}

/// The queue in front of the cores: first come, first served.
#[derive(Debug)]
pub(super) struct Queue {
    server: FleetServer,
    cores: Vec<Core>,
    /// When each connection in the accept queue leaves it.
    accepts: VecDeque<Timestamp>,
}

/// A core, with the work that it has taken and the work that waits.
#[derive(Debug, Clone, Copy)]
struct Core {
    /// When the work that it has taken is done.
    free: Timestamp,
    /// The work that it will take then.
    waiting: Duration,
}

impl Core {
    /// Adds work that arrives at `at`. Returns when the core takes it, together with all that
    /// waits, and when it is done.
    fn take_all(&mut self, at: Timestamp, work: Duration) -> (Timestamp, Timestamp) {
        while at >= self.free && !self.waiting.is_zero() {
            self.free = self.free.saturating_add(self.waiting.into());
            self.waiting = Duration::ZERO;
        }
        if at >= self.free {
            self.free = at.saturating_add(work.into());
            return (at, self.free);
        }
        self.waiting += work;
        (self.free, self.free.saturating_add(self.waiting.into()))
    }

    /// The same where it takes one piece of work at a time.
    fn take_next(&mut self, at: Timestamp, work: Duration) -> (Timestamp, Timestamp) {
        let starts = at.max(self.free);
        self.free = starts.saturating_add(work.into());
        (starts, self.free)
    }
}

impl Queue {
    pub(super) fn new(server: FleetServer) -> Self {
        let never = Timestamp::from_unix_nanos(i64::MIN);
        let core = Core { free: never, waiting: Duration::ZERO };
        Self { server, cores: vec![core; server.cores.max(1)], accepts: VecDeque::new() }
    }

    /// What happens to a request that arrives at `at`, on this connection.
    pub(super) fn serve(&mut self, at: Timestamp, connection: u64) -> Service {
        let service = self.server.service;
        let (starts, left) = self.work(at, service, connection);
        let stamped = if self.server.has_event_loop {
            starts
        } else {
            starts.saturating_add((service / 2).into())
        };
        Service { stamped, left }
    }

    /// Whether a connection that arrives at `at` finds a place in the accept queue.
    pub(super) fn accept(&mut self, at: Timestamp, connection: u64) -> bool {
        while self.accepts.front().is_some_and(|leaves| *leaves <= at) {
            self.accepts.pop_front();
        }
        if self.accepts.len() >= self.server.backlog {
            return false;
        }
        let (leaves, _) = self.work(at, self.server.accept, connection);
        self.accepts.push_back(leaves);
        true
    }

    fn work(&mut self, at: Timestamp, work: Duration, connection: u64) -> (Timestamp, Timestamp) {
        if self.server.has_event_loop {
            let count = u64::try_from(self.cores.len()).unwrap_or(1);
            let core = usize::try_from(connection % count).unwrap_or(0);
            return self.cores[core].take_all(at, work);
        }
        let first = self.cores.iter_mut().min_by_key(|core| core.free);
        first.expect("a server has a core").take_next(at, work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(nanos: i64) -> Timestamp {
        Timestamp::from_unix_nanos(nanos)
    }

    #[test]
    fn a_request_waits_for_the_first_core_that_is_free() {
        let mut queue = Queue::new(FleetServer::new(2, Duration::from_nanos(50)));
        let left = [0, 10, 20, 30, 200].map(|arrival| queue.serve(at(arrival), 0).left);
        assert_eq!(left, [50, 60, 100, 110, 250].map(at));
    }

    #[test]
    fn an_event_loop_reads_its_clock_once_for_all_that_wait() {
        let server = FleetServer::new(1, Duration::from_nanos(50)).event_loop();
        let mut queue = Queue::new(server);
        let served = [0, 10, 20, 60, 500].map(|arrival| queue.serve(at(arrival), 0));
        // The second and the third wait for the first; the fourth for both of them.
        assert_eq!(served.map(|it| it.stamped), [0, 50, 50, 150, 500].map(at));
        assert_eq!(served.map(|it| it.left), [50, 100, 150, 200, 550].map(at));
    }

    #[test]
    fn a_worker_with_an_event_loop_has_its_own_connections() {
        let server = FleetServer::new(2, Duration::from_nanos(50)).event_loop();
        let mut queue = Queue::new(server);
        let left = [0, 1, 2, 2].map(|connection| queue.serve(at(0), connection).left);
        assert_eq!(left, [50, 50, 100, 150].map(at));
    }

    #[test]
    fn the_accept_queue_is_full_until_a_connection_leaves_it() {
        let server = FleetServer::new(1, Duration::ZERO).accepting(Duration::from_nanos(50), 2);
        let mut queue = Queue::new(server);
        // The first is accepted at once; two wait.
        let taken = [0, 0, 0, 0, 49, 50, 51].map(|arrival| queue.accept(at(arrival), 0));
        assert_eq!(taken, [true, true, true, false, false, true, false]);
    }
}
