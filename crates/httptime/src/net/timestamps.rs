use std::io;

use super::clock;
use super::kernel::{self, EnabledTimestamps, TransmitTimestamp};
use super::system::{AsFd, as_fd};
use crate::session::KernelTimestamps;
use crate::time::{CrossTimestamp, Timestamp};

/// Kernel timestamps of a TCP connection, for a driver with its own sockets.
///
/// Linux provides them (`SO_TIMESTAMPING`). On other systems [`enable`](Self::enable) fails, and
/// the timestamps of the process are used. These include delays of the scheduler and the run queue.
/// Kernel timestamps do not, so a busy machine measures as well as an idle one.
///
/// Use it on a non-blocking socket:
///
/// 1. [`enable`](Self::enable) when the connection is open, before anything is written.
/// 2. Call [`wrote`](Self::wrote) after each write.
/// 3. Read with [`read`](Self::read) whenever the socket is ready, for reading or for an error.
/// 4. After each read, pass [`times`](Self::times) to
///    [`received`](crate::session::Session::received) in an [`Arrival`](crate::session::Arrival).
///
/// ```no_run
/// use std::io::Write;
/// use std::net::TcpStream;
///
/// use httptime::net::{SocketTimestamps, now};
/// use httptime::session::Arrival;
///
/// # fn main() -> std::io::Result<()> {
/// let mut socket = TcpStream::connect("192.0.2.1:80")?;
/// let mut timestamps = SocketTimestamps::enable(&socket)?;
/// let request = b"HEAD / HTTP/1.1\r
/// Host: 192.0.2.1\r
/// \r
/// ";
/// let count = socket.write(request)?;
/// timestamps.wrote(&socket, count, request.len());
/// let mut space = [0; 4096];
/// let count = timestamps.read(&socket, &mut space)?;
/// let arrival = Arrival::new(now(), Some(timestamps.times(&socket)));
/// println!("{count} bytes, {arrival:?}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SocketTimestamps {
    /// The maximum number of bytes in one segment.
    segment: usize,
    /// The latest reading of both clocks.
    latest: CrossTimestamp,
    /// The reading of both clocks before the latest write.
    before: CrossTimestamp,
    /// Bytes written so far, modulo 2³².
    written: u32,
    write: LatestWrite,
    /// The arrival of the last segment that was read.
    arrived: Option<Timestamp>,
}

/// The state of the latest write.
#[derive(Debug, Clone, Copy)]
enum LatestWrite {
    /// Its last byte has this key; there is no report yet.
    Written(u32),
    Departed(Timestamp),
    /// It is longer than a segment, so the timestamp of its last byte is not that of its first.
    Split,
}

impl SocketTimestamps {
    /// Enables kernel timestamps of everything that leaves and arrives from now on. Everything
    /// written before must have been acknowledged.
    ///
    /// # Errors
    /// When the system does not support it.
    pub fn enable(socket: impl AsFd) -> io::Result<Self> {
        let EnabledTimestamps { segment } = kernel::enable(as_fd(&socket))?;
        let now = clock::cross_timestamp();
        Ok(Self {
            segment,
            latest: now,
            before: now,
            written: 0,
            write: LatestWrite::Split,
            arrived: None,
        })
    }

    /// Reports that `count` of `length` bytes were written.
    pub fn wrote(&mut self, socket: impl AsFd, count: usize, length: usize) {
        if count == 0 {
            return;
        }
        // The key has 32 bits; a write is shorter.
        self.written = self.written.wrapping_add(u32::try_from(count).unwrap_or(0));
        let is_whole = count == length && count <= self.segment;
        let key = self.written.wrapping_sub(1);
        self.write = if is_whole { LatestWrite::Written(key) } else { LatestWrite::Split };
        self.before = self.latest;
        self.arrived = None;
        // By now most devices have sent it.
        if let Some(departure) = kernel::next_departure(as_fd(&socket)).flatten() {
            self.departed(departure);
        }
    }

    /// Reads once.
    ///
    /// # Errors
    /// Errors of the system. If there is nothing to read, the kernel's reports about writes are
    /// read: otherwise they would keep the socket ready.
    pub fn read(&mut self, socket: impl AsFd, space: &mut [u8]) -> io::Result<usize> {
        loop {
            match kernel::read(as_fd(&socket), space) {
                Ok((count, at)) => {
                    // Of several reads the last one counts, even if it has no timestamp.
                    self.arrived = at;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    if error.kind() == io::ErrorKind::WouldBlock {
                        self.read_transmit_reports(socket);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// The kernel timestamps of the latest write and the latest read. Reads both clocks.
    pub fn times(&mut self, socket: impl AsFd) -> KernelTimestamps {
        if matches!(self.write, LatestWrite::Written(_)) {
            self.read_transmit_reports(socket);
        }
        self.latest = clock::cross_timestamp();
        let departed = match self.write {
            LatestWrite::Departed(at) => Some(at),
            LatestWrite::Written(_) | LatestWrite::Split => None,
        };
        KernelTimestamps::new(departed, self.arrived, self.before, self.latest)
    }

    fn read_transmit_reports(&mut self, socket: impl AsFd) {
        for _ in 0..MAX_REPORTS {
            match kernel::next_departure(as_fd(&socket)) {
                None => return,
                Some(departure) => departure.into_iter().for_each(|it| self.departed(it)),
            }
        }
    }

    /// Only the first transmission counts: when a request is retransmitted, the server may have
    /// read it already.
    fn departed(&mut self, departure: TransmitTimestamp) {
        if matches!(self.write, LatestWrite::Written(key) if key == departure.key) {
            self.write = LatestWrite::Departed(departure.at);
        }
    }
}

/// More reports than the kernel makes about one write.
const MAX_REPORTS: u32 = 64;

/// Tests with real sockets.
#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use socket2::{SockFilter, SockRef};

    use super::*;
    use crate::time::LocalInstant;

    /// A connection with timestamps, and the timestamps of the current exchange.
    struct Wire {
        stream: TcpStream,
        timestamps: SocketTimestamps,
    }

    #[derive(Debug)]
    struct Times {
        departed: Option<LocalInstant>,
        arrived: Option<LocalInstant>,
    }

    impl Wire {
        fn times(&mut self) -> Times {
            let kernel = self.timestamps.times(&self.stream);
            let instant = |at: Timestamp| kernel.after.instant_at(at);
            Times { departed: kernel.departed.map(instant), arrived: kernel.arrived.map(instant) }
        }
    }

    impl Read for Wire {
        fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
            self.timestamps.read(&self.stream, space)
        }
    }

    impl Write for Wire {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.stream.write(bytes)?;
            self.timestamps.wrote(&self.stream, count, bytes.len());
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Much longer than the delays of the scheduler.
    const PAUSE: Duration = Duration::from_millis(30);
    const REQUEST: &[u8] = b"HEAD / HTTP/1.1\r\nHost: example\r\n\r\n";

    /// A connection with timestamps, and its other end.
    fn connected() -> io::Result<(Wire, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let near = TcpStream::connect(listener.local_addr()?)?;
        let (far, _) = listener.accept()?;
        far.set_nodelay(true)?;
        let mut wire = Wire { timestamps: SocketTimestamps::enable(&near)?, stream: near };
        // The kernel starts to take timestamps of received data a moment after they were requested.
        for _ in 0..1000 {
            (&far).write_all(b".")?;
            receive(&mut wire, 1)?;
            if wire.timestamps.arrived.is_some() {
                return Ok((wire, far));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(io::Error::other("the kernel gives no timestamps"))
    }

    fn send(wire: &mut Wire) -> io::Result<LocalInstant> {
        let sent = clock::now();
        wire.write_all(REQUEST)?;
        Ok(sent)
    }

    /// Reads `count` bytes, in any number of pieces.
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

    /// Drops everything that arrives for `stream`, as if the network had lost it.
    fn drop_incoming(stream: &TcpStream) -> io::Result<()> {
        // BPF_RET: keep the first 0 bytes.
        let drop_it = SockFilter::new(0x06, 0, 0, 0);
        SockRef::from(stream).attach_filter(&[drop_it])
    }

    fn accept_incoming(stream: &TcpStream) -> io::Result<()> {
        SockRef::from(stream).detach_filter()
    }

    fn both(times: &Times) -> (LocalInstant, LocalInstant) {
        times.departed.zip(times.arrived).expect("the kernel gives both")
    }

    #[test]
    fn the_kernel_saw_what_the_process_slept_through() -> io::Result<()> {
        let (mut wire, mut far) = connected()?;
        for _ in 0..3 {
            let sent = send(&mut wire)?;
            read_request(&mut far)?;
            let read = clock::now();
            let answered = clock::now();
            far.write_all(b"answer")?;
            thread::sleep(PAUSE);
            receive(&mut wire, 6)?;
            let times = wire.times();
            let (departed, arrived) = both(&times);
            assert!(sent < departed && departed < read, "{times:?}, read {read:?}");
            assert!(answered < arrived, "{times:?}, answered {answered:?}");
            assert!(arrived.saturating_since(answered) < PAUSE / 2, "{times:?}");
        }
        Ok(())
    }

    #[test]
    fn a_response_split_in_two_was_received_with_its_second_part() -> io::Result<()> {
        // Read in two pieces, then both at once.
        for joined in [false, true] {
            let (mut wire, mut far) = connected()?;
            send(&mut wire)?;
            read_request(&mut far)?;
            far.write_all(b"first")?;
            if !joined {
                receive(&mut wire, 5)?;
            }
            thread::sleep(PAUSE);
            let second = clock::now();
            far.write_all(b"second")?;
            thread::sleep(PAUSE);
            receive(&mut wire, if joined { 11 } else { 6 })?;
            let times = wire.times();
            let (_, arrived) = both(&times);
            assert!(arrived > second, "{times:?}, {second:?}");
            assert!(arrived.saturating_since(second) < PAUSE / 2, "{times:?}");
        }
        Ok(())
    }

    #[test]
    fn a_request_sent_again_was_sent_the_first_time() -> io::Result<()> {
        let (mut wire, mut far) = connected()?;
        drop_incoming(&far)?;
        send(&mut wire)?;
        thread::sleep(PAUSE);
        let lost = clock::now();
        accept_incoming(&far)?;
        read_request(&mut far)?;
        let read = clock::now();
        assert!(read.saturating_since(lost) > PAUSE, "it was not lost");
        far.write_all(b"answer")?;
        receive(&mut wire, 6)?;
        // The reports about the second transmission are read and change nothing.
        wire.timestamps.read_transmit_reports(&wire.stream);
        let times = wire.times();
        let (departed, arrived) = both(&times);
        assert!(departed < lost && arrived > read, "{times:?}");
        let next = send(&mut wire)?;
        read_request(&mut far)?;
        far.write_all(b"answer")?;
        receive(&mut wire, 6)?;
        let times = wire.times();
        let (departed, _) = both(&times);
        assert!(departed > next, "{times:?}");
        Ok(())
    }

    #[test]
    fn a_response_sent_again_was_received_when_it_came() -> io::Result<()> {
        let (mut wire, mut far) = connected()?;
        send(&mut wire)?;
        read_request(&mut far)?;
        drop_incoming(&wire.stream)?;
        let answered = clock::now();
        far.write_all(b"answer")?;
        thread::sleep(PAUSE);
        let lost = clock::now();
        accept_incoming(&wire.stream)?;
        receive(&mut wire, 6)?;
        let times = wire.times();
        let (departed, arrived) = both(&times);
        assert!(departed < answered && arrived > lost, "{times:?}");
        Ok(())
    }

    #[test]
    fn a_write_longer_than_a_segment_has_no_departure() -> io::Result<()> {
        let (mut wire, mut far) = connected()?;
        let segment = wire.timestamps.segment;
        assert!(segment > 500, "{segment}");
        let long = vec![b'x'; segment + 1];
        wire.write_all(&long)?;
        far.read_exact(&mut long.clone())?;
        far.write_all(b"answer")?;
        receive(&mut wire, 6)?;
        let times = wire.times();
        assert_eq!((times.departed, times.arrived.is_some()), (None, true));
        Ok(())
    }

    #[test]
    fn a_late_report_does_not_keep_the_connection_ready() -> io::Result<()> {
        let (mut wire, mut far) = connected()?;
        // The report about the first write is read at once; the helper does not know about the
        // second write.
        send(&mut wire)?;
        wire.stream.write_all(REQUEST)?;
        let ready = |wire: &Wire| {
            let mut fds = [PollFd::new(&wire.stream, PollFlags::IN)];
            poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).map(|_| fds[0].revents())
        };
        assert_eq!(ready(&wire)?, PollFlags::ERR);
        wire.timestamps.read_transmit_reports(&wire.stream);
        assert_eq!(ready(&wire)?, PollFlags::empty());
        far.read_exact(&mut [0; 2 * REQUEST.len()])?;
        Ok(())
    }
}
