//! Measures with sockets and clocks of one's own: the library says when to send and is told what came.
//!
//! `cargo run -p httptime-examples --example own_io`. It starts a server 38.116 s ahead inside this process.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use httptime::http::{Request, ResponseReader};
use httptime::measure::Next;
use httptime::{ClockTie, Config, Exchange, LocalInstant, Measure, Offset, Timestamp};
use httptime_sim::loopback::LoopbackServer;

fn main() -> Result<(), Box<dyn Error>> {
    let skew = Offset::from_nanos(38_116_000_000);
    let server = LoopbackServer::builder().skew(skew).start()?;
    let mut stream = TcpStream::connect(server.address())?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;

    let clock = Clock(Instant::now());
    let request = Request::head(&server.address().to_string(), "/")?;
    let mut reader = ResponseReader::new();
    let mut measure = Measure::new(&Config::default(), clock.tie()?);
    while let Next::SendAt(at) = measure.next(clock.now()) {
        sleep(at.saturating_since(clock.now()));
        let sent = clock.now();
        if measure.is_missed(at, sent) {
            continue;
        }
        stream.write_all(request.as_bytes())?;
        measure.sent(sent);
        let exchange = loop {
            let count = stream.read(reader.space())?;
            let received = clock.now();
            if count == 0 {
                return Err(reader.eof().into());
            }
            reader.filled(count);
            if let Some(head) = reader.head()? {
                break Exchange::of(sent, received, &head)?;
            }
        };
        measure.absorb(&exchange)?;
    }
    let measurement = measure.finish(clock.tie()?)?;
    println!("measured {:.6} s, bounds {:.6}", measurement.offset(), measurement.bounds());
    println!("truth    {:.6} s", server.offset_now());
    Ok(())
}

/// The monotonic clock, from its first reading on, and the wall clock beside it.
struct Clock(Instant);

impl Clock {
    fn now(&self) -> LocalInstant {
        LocalInstant::from_nanos(0).saturating_add(self.0.elapsed())
    }

    /// Reads the wall clock between two readings of the monotonic one.
    fn tie(&self) -> Result<ClockTie, &'static str> {
        let before = self.now();
        let wall = SystemTime::now();
        let width = self.now().saturating_since(before);
        let wall = Timestamp::from_system_time(wall).ok_or("the clock is outside 1678-2262")?;
        Ok(ClockTie::new(before.saturating_add(width / 2), wall, width))
    }
}
