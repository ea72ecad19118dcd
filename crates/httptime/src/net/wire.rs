//! A TCP connection that knows when its bytes left and came: by the kernel where it says, else by the process.
//!
//! Between a packet and the process lie the scheduler and the run queue. The kernel's stamps do not have them, so a busy
//! machine measures as well as an idle one. They narrow what the process saw and never replace it: a stamp outside the
//! process's own two times is not believed.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

use super::clock::Clock;
use super::kernel::{self, Departure, Enabled};
use crate::time::{ClockTie, LocalInstant, Timestamp};

/// A connection, and the two times of the exchange under way on it. What is layered on top (HTTP now, TLS one day) reads and
/// writes as on any stream.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    stamps: Option<Stamps>,
}

/// What the kernel has said about a connection.
#[derive(Debug)]
struct Stamps {
    segment: usize,
    /// The clocks as they last stood.
    tie: ClockTie,
    /// Bytes written since stamps were enabled, modulo 2³².
    written: u32,
    request: Request,
    /// When the last segment came that was read from.
    received: Option<Timestamp>,
}

/// Where the kernel stands with the first write of a request.
#[derive(Debug, Clone, Copy)]
enum Request {
    Unwritten,
    /// Its last byte has this key; nothing is known yet.
    Written(u32),
    Departed(Timestamp),
    /// It is longer than a segment: its stamp is not that of its first byte.
    Split,
}

/// When an exchange took place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    /// As the process saw it.
    pub(crate) sent: LocalInstant,
    pub(crate) received: LocalInstant,
    /// The request left no earlier than this, says the kernel.
    pub(crate) departed: Option<LocalInstant>,
    /// The response came no later than this, says the kernel.
    pub(crate) arrived: Option<LocalInstant>,
}

impl Wire {
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self { stream, stamps: None }
    }

    /// Whether it stands, and nothing has come that was not read.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self.stream.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Has the kernel stamp what goes over the connection, if it will. Only when all that was written has been answered.
    pub(crate) fn stamp(&mut self, clock: &Clock) -> io::Result<()> {
        let Enabled { segment } = kernel::enable(&self.stream)?;
        self.stamps = Some(Stamps {
            segment,
            tie: clock.tie(),
            written: 0,
            request: Request::Unwritten,
            received: None,
        });
        Ok(())
    }

    /// A request begins with the next write.
    pub(crate) fn begin(&mut self) {
        if let Some(stamps) = &mut self.stamps {
            stamps.request = Request::Unwritten;
            stamps.received = None;
        }
    }

    /// Hears what the kernel has to say about what was written. To be called when the connection is ready and there is
    /// nothing to read: what is not heard keeps it ready.
    pub(crate) fn attend(&mut self) {
        let Some(stamps) = &mut self.stamps else { return };
        for _ in 0..MAX_NOTICES {
            match kernel::next_departure(&self.stream) {
                None => return,
                Some(departure) => departure.into_iter().for_each(|it| stamps.departed(it)),
            }
        }
    }

    /// Narrows what the process saw of the exchange to what the kernel did, once the response is read.
    pub(crate) fn times(
        &mut self,
        sent: LocalInstant,
        received: LocalInstant,
        clock: &Clock,
    ) -> Times {
        if matches!(&self.stamps, Some(Stamps { request: Request::Written(_), .. })) {
            self.attend();
        }
        let by_process = Times { sent, received, departed: None, arrived: None };
        let Some(stamps) = &mut self.stamps else { return by_process };
        let departed = match stamps.request {
            Request::Departed(at) => Some(at),
            _ => None,
        };
        let before = std::mem::replace(&mut stamps.tie, clock.tie());
        by_process.narrowed(departed, stamps.received, before, stamps.tie)
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Read for Wire {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let Some(stamps) = &mut self.stamps else { return self.stream.read(space) };
        let (count, at) = kernel::read(&self.stream, space)?;
        // Of several reads the last one counts, even if it has no stamp.
        stamps.received = at;
        Ok(count)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.stream.write(bytes)?;
        let Some(stamps) = &mut self.stamps else { return Ok(count) };
        // The key has 32 bits; a write has fewer.
        stamps.written = stamps.written.wrapping_add(u32::try_from(count).unwrap_or(0));
        if matches!(stamps.request, Request::Unwritten) && count > 0 {
            let whole = count == bytes.len() && count <= stamps.segment;
            let key = stamps.written.wrapping_sub(1);
            stamps.request = if whole { Request::Written(key) } else { Request::Split };
            // Most devices have taken it by now.
            if let Some(departure) = kernel::next_departure(&self.stream).flatten() {
                stamps.departed(departure);
            }
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Stamps {
    /// Only the first time that the request left counts. Sent again, it may have been read already.
    fn departed(&mut self, departure: Departure) {
        if matches!(self.request, Request::Written(key) if key == departure.key) {
            self.request = Request::Departed(departure.at);
        }
    }
}

impl Times {
    /// Narrows what the process saw to the kernel's stamps, which are by the wall clock; `before` and `after` tie that to the
    /// monotonic one before and after all of the exchange.
    ///
    /// None is believed when the wall clock was stepped between the ties, or when one does not fit between the times of the
    /// process.
    fn narrowed(
        self,
        departed: Option<Timestamp>,
        arrived: Option<Timestamp>,
        before: ClockTie,
        after: ClockTie,
    ) -> Self {
        let doubt = before.uncertainty() + after.uncertainty();
        if before.stepped_by(after).abs() > doubt {
            return self;
        }
        let earliest = |at: Timestamp| after.instant_at(at).saturating_sub(doubt);
        let latest = |at: Timestamp| after.instant_at(at).saturating_add(doubt);
        let fits = |at: &Timestamp| latest(*at) >= self.sent && earliest(*at) <= self.received;
        if !departed.iter().chain(&arrived).all(fits) {
            return self;
        }
        let departed = departed.map(|at| earliest(at).max(self.sent));
        let arrived = arrived.map(|at| latest(at).min(self.received));
        if departed.zip(arrived).is_some_and(|(departed, arrived)| arrived < departed) {
            return self;
        }
        Self { departed, arrived, ..self }
    }

    pub(crate) const fn are_both_the_kernels(&self) -> bool {
        self.departed.is_some() && self.arrived.is_some()
    }
}

/// More than the kernel has to say of a request, so that it cannot keep us.
const MAX_NOTICES: u32 = 64;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::time::Offset;

    const WALL: i64 = 1_795_392_000_000_000_000;

    fn tie(micros: i64, stepped_ns: i64) -> ClockTie {
        let wall = Timestamp::from_unix_nanos(WALL + micros * 1_000 + stepped_ns);
        ClockTie::new(at(micros), wall, Duration::from_nanos(50))
    }

    fn at(micros: i64) -> LocalInstant {
        LocalInstant::from_nanos(micros * 1_000)
    }

    fn stamp(micros: i64) -> Option<Timestamp> {
        Some(tie(micros, 0).wall())
    }

    /// From 100 to 300 µs as the process saw it, by a clock that nobody stepped.
    fn narrowed(departed: Option<Timestamp>, arrived: Option<Timestamp>) -> Times {
        seen().narrowed(departed, arrived, tie(0, 0), tie(310, 0))
    }

    fn seen() -> Times {
        Times { sent: at(100), received: at(300), departed: None, arrived: None }
    }

    #[test]
    fn stamps_narrow_the_times_and_give_way_by_what_the_ties_leave_open() {
        let doubt = Duration::from_nanos(100);
        let departed = Some(at(120).saturating_sub(doubt));
        let arrived = Some(at(250).saturating_add(doubt));
        let both = Times { departed, arrived, ..seen() };
        assert_eq!(narrowed(stamp(120), stamp(250)), both);
        assert_eq!(narrowed(stamp(120), None), Times { arrived: None, ..both });
        assert_eq!(narrowed(None, stamp(250)), Times { departed: None, ..both });
        assert_eq!(narrowed(None, None), seen());
    }

    #[test]
    fn stamps_from_before_the_request_or_after_the_response_are_not_believed() {
        for (departed, arrived) in [
            (stamp(90), stamp(250)),
            (stamp(120), stamp(90)),
            (stamp(310), stamp(320)),
            (stamp(120), stamp(310)),
            (stamp(260), stamp(240)),
            (Some(Timestamp::from_unix_nanos(i64::MAX)), stamp(250)),
            (Some(Timestamp::from_unix_nanos(1)), None),
        ] {
            assert_eq!(narrowed(departed, arrived), seen(), "{departed:?} {arrived:?}");
        }
    }

    #[test]
    fn stamps_of_a_wall_clock_stepped_meanwhile_are_not_believed() {
        let by = |step_ns: i64, stamp: Option<Timestamp>| {
            stamp.map(|at| at.saturating_add(Offset::from_nanos(step_ns)))
        };
        let stepped = |departed, arrived, step_ns| {
            seen().narrowed(departed, arrived, tie(0, 0), tie(310, step_ns))
        };
        for step_ns in [-3_600_000_000_000, -10_000, -101, 101, 10_000, 3_600_000_000_000] {
            let (departed, arrived) = (stamp(120), stamp(250));
            // Before both, between them, and between them and the reading.
            for (departed, arrived) in [
                (by(step_ns, departed), by(step_ns, arrived)),
                (departed, by(step_ns, arrived)),
                (departed, arrived),
            ] {
                assert_eq!(stepped(departed, arrived, step_ns), seen(), "{step_ns} ns");
            }
        }
        // What the ties cannot see is within what the stamps give way by.
        let stamped = |micros| Some(at(micros));
        let unseen = stepped(stamp(120), stamp(250), 99);
        assert!(unseen.departed <= stamped(120) && unseen.arrived >= stamped(250), "{unseen:?}");
        // To and fro between them: it is the stamps that do not fit.
        for (departed, arrived) in
            [(by(1_000_000, stamp(120)), stamp(250)), (stamp(120), by(-200_000, stamp(250)))]
        {
            assert_eq!(stepped(departed, arrived, 0), seen());
        }
    }
}

/// Against real sockets, where the kernel gives stamps.
#[cfg(all(test, target_os = "linux"))]
mod kernel_tests {
    use std::net::TcpListener;
    use std::thread;
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use socket2::{SockFilter, SockRef};

    use super::*;

    /// Long beside what the scheduler does.
    const PAUSE: Duration = Duration::from_millis(30);
    const REQUEST: &[u8] = b"HEAD / HTTP/1.1\r\nHost: example\r\n\r\n";

    /// A stamped connection, and the other end of it.
    fn connected(clock: &Clock) -> io::Result<(Wire, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let near = TcpStream::connect(listener.local_addr()?)?;
        let (far, _) = listener.accept()?;
        far.set_nodelay(true)?;
        let mut wire = Wire::new(near);
        wire.stamp(clock)?;
        // The kernel begins to stamp what comes a moment after it was asked to.
        for _ in 0..1000 {
            (&far).write_all(b".")?;
            receive(&mut wire, 1)?;
            if wire.stamps.as_ref().is_some_and(|stamps| stamps.received.is_some()) {
                return Ok((wire, far));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(io::Error::other("the kernel gives no stamps"))
    }

    fn send(wire: &mut Wire, clock: &Clock) -> io::Result<LocalInstant> {
        wire.begin();
        let sent = clock.now();
        wire.write_all(REQUEST)?;
        Ok(sent)
    }

    /// Reads `count` bytes, however many pieces they come in.
    fn receive(wire: &mut Wire, count: usize) -> io::Result<()> {
        let mut space = [0; 256];
        let mut seen = 0;
        while seen < count {
            seen += wire.read(&mut space)?;
        }
        Ok(())
    }

    fn read_request(far: &mut TcpStream) -> io::Result<()> {
        far.read_exact(&mut [0; REQUEST.len()])
    }

    /// Has everything that comes for `stream` dropped, as if the network had lost it.
    fn lose_all(stream: &TcpStream) -> io::Result<()> {
        // BPF_RET: keep the first 0 bytes.
        let drop_it = SockFilter::new(0x06, 0, 0, 0);
        SockRef::from(stream).attach_filter(&[drop_it])
    }

    fn lose_nothing(stream: &TcpStream) -> io::Result<()> {
        SockRef::from(stream).detach_filter()
    }

    fn stamps(times: &Times) -> (LocalInstant, LocalInstant) {
        times.departed.zip(times.arrived).expect("the kernel gives both")
    }

    #[test]
    fn the_kernel_saw_what_the_process_slept_through() -> io::Result<()> {
        let clock = Clock::new();
        let (mut wire, mut far) = connected(&clock)?;
        for _ in 0..3 {
            let sent = send(&mut wire, &clock)?;
            read_request(&mut far)?;
            let read = clock.now();
            let answered = clock.now();
            far.write_all(b"answer")?;
            thread::sleep(PAUSE);
            receive(&mut wire, 6)?;
            let times = wire.times(sent, clock.now(), &clock);
            let (departed, arrived) = stamps(&times);
            assert!(sent < departed && departed < read, "{times:?}, read {read:?}");
            assert!(answered < arrived, "{times:?}, answered {answered:?}");
            assert!(arrived.saturating_since(answered) < PAUSE / 2, "{times:?}");
        }
        Ok(())
    }

    #[test]
    fn a_response_split_in_two_was_received_with_its_second_part() -> io::Result<()> {
        let clock = Clock::new();
        // Read in two pieces, then both at once.
        for joined in [false, true] {
            let (mut wire, mut far) = connected(&clock)?;
            let sent = send(&mut wire, &clock)?;
            read_request(&mut far)?;
            far.write_all(b"first")?;
            if !joined {
                receive(&mut wire, 5)?;
            }
            thread::sleep(PAUSE);
            let second = clock.now();
            far.write_all(b"second")?;
            thread::sleep(PAUSE);
            receive(&mut wire, if joined { 11 } else { 6 })?;
            let times = wire.times(sent, clock.now(), &clock);
            let (_, arrived) = stamps(&times);
            assert!(arrived > second, "{times:?}, {second:?}");
            assert!(arrived.saturating_since(second) < PAUSE / 2, "{times:?}");
        }
        Ok(())
    }

    #[test]
    fn a_request_sent_again_was_sent_the_first_time() -> io::Result<()> {
        let clock = Clock::new();
        let (mut wire, mut far) = connected(&clock)?;
        lose_all(&far)?;
        let sent = send(&mut wire, &clock)?;
        thread::sleep(PAUSE);
        let lost = clock.now();
        lose_nothing(&far)?;
        read_request(&mut far)?;
        let read = clock.now();
        assert!(read.saturating_since(lost) > PAUSE, "it was not lost");
        far.write_all(b"answer")?;
        receive(&mut wire, 6)?;
        // What is said of the second time is heard and makes no difference.
        wire.attend();
        let times = wire.times(sent, clock.now(), &clock);
        let (departed, arrived) = stamps(&times);
        assert!(departed < lost && arrived > read, "{times:?}");
        let next = send(&mut wire, &clock)?;
        read_request(&mut far)?;
        far.write_all(b"answer")?;
        receive(&mut wire, 6)?;
        let times = wire.times(next, clock.now(), &clock);
        let (departed, _) = stamps(&times);
        assert!(departed > next, "{times:?}");
        Ok(())
    }

    #[test]
    fn a_response_sent_again_was_received_when_it_came() -> io::Result<()> {
        let clock = Clock::new();
        let (mut wire, mut far) = connected(&clock)?;
        let sent = send(&mut wire, &clock)?;
        read_request(&mut far)?;
        lose_all(&wire.stream)?;
        let answered = clock.now();
        far.write_all(b"answer")?;
        thread::sleep(PAUSE);
        let lost = clock.now();
        lose_nothing(&wire.stream)?;
        receive(&mut wire, 6)?;
        let times = wire.times(sent, clock.now(), &clock);
        let (departed, arrived) = stamps(&times);
        assert!(departed < answered && arrived > lost, "{times:?}");
        Ok(())
    }

    #[test]
    fn a_request_longer_than_a_segment_or_written_in_parts_is_sent_when_the_process_says()
    -> io::Result<()> {
        let clock = Clock::new();
        let (mut wire, mut far) = connected(&clock)?;
        let segment = wire.stamps.as_ref().map_or(0, |stamps| stamps.segment);
        assert!(segment > 500, "{segment}");
        wire.begin();
        let sent = clock.now();
        let long = vec![b'x'; segment + 1];
        wire.write_all(&long)?;
        far.read_exact(&mut long.clone())?;
        far.write_all(b"answer")?;
        receive(&mut wire, 6)?;
        let times = wire.times(sent, clock.now(), &clock);
        assert_eq!((times.departed, times.arrived.is_some()), (None, true));
        // What is written after its first part belongs to the same request.
        wire.begin();
        let sent = clock.now();
        wire.write_all(&REQUEST[..9])?;
        thread::sleep(PAUSE);
        let second = clock.now();
        wire.write_all(&REQUEST[9..])?;
        read_request(&mut far)?;
        far.write_all(b"answer")?;
        receive(&mut wire, 6)?;
        let times = wire.times(sent, clock.now(), &clock);
        let (departed, _) = stamps(&times);
        assert!(departed > sent && departed < second, "{times:?}");
        Ok(())
    }

    #[test]
    fn what_the_kernel_says_late_does_not_keep_the_connection_ready() -> io::Result<()> {
        let clock = Clock::new();
        let (mut wire, mut far) = connected(&clock)?;
        // The first write's stamp is heard at once, the second's is not.
        send(&mut wire, &clock)?;
        wire.write_all(REQUEST)?;
        let ready = |wire: &Wire| {
            let mut fds = [PollFd::new(wire, PollFlags::IN)];
            poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).map(|_| fds[0].revents())
        };
        assert_eq!(ready(&wire)?, PollFlags::ERR);
        wire.attend();
        assert_eq!(ready(&wire)?, PollFlags::empty());
        far.read_exact(&mut [0; 2 * REQUEST.len()])?;
        Ok(())
    }

    /// As TLS does: records of its own in place of the bytes, and some of them before the first request.
    struct Records<S>(S);

    impl<S: Read + Write> Records<S> {
        fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
            let mut record = vec![u8::try_from(bytes.len()).expect("short")];
            record.extend(bytes.iter().map(|byte| byte ^ 0x5a));
            self.0.write_all(&record)
        }

        fn receive(&mut self) -> io::Result<Vec<u8>> {
            let mut length = [0];
            self.0.read_exact(&mut length)?;
            let mut record = vec![0; length[0].into()];
            self.0.read_exact(&mut record)?;
            Ok(record.iter().map(|byte| byte ^ 0x5a).collect())
        }
    }

    #[test]
    fn an_exchange_in_records_has_its_stamps_without_the_layers_knowing() -> io::Result<()> {
        let clock = Clock::new();
        let (wire, far) = connected(&clock)?;
        let (mut near, mut far) = (Records(wire), Records(far));
        near.send(b"hello")?;
        far.receive()?;
        far.send(b"hello yourself")?;
        near.receive()?;
        thread::sleep(PAUSE);
        near.0.begin();
        let sent = clock.now();
        near.send(REQUEST)?;
        assert_eq!(far.receive()?, REQUEST);
        let answered = clock.now();
        far.send(b"answer")?;
        thread::sleep(PAUSE);
        assert_eq!(near.receive()?, b"answer");
        let (departed, arrived) = stamps(&near.0.times(sent, clock.now(), &clock));
        assert!(sent < departed && departed < answered && answered < arrived);
        assert!(arrived.saturating_since(answered) < PAUSE / 2);
        Ok(())
    }

    #[test]
    fn a_connection_that_is_not_stamped_has_the_times_of_the_process() -> io::Result<()> {
        let clock = Clock::new();
        let (wire, mut far) = connected(&clock)?;
        let mut wire = Wire::new(wire.stream);
        let sent = send(&mut wire, &clock)?;
        read_request(&mut far)?;
        far.write_all(b"answer")?;
        receive(&mut wire, 6)?;
        let received = clock.now();
        let times = wire.times(sent, received, &clock);
        assert_eq!(times, Times { sent, received, departed: None, arrived: None });
        Ok(())
    }
}
