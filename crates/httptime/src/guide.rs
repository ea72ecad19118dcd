//! Which interface to use.
//!
//! | you have | use | you write |
//! |---|---|---|
//! | a thread that may block | [`Client`](crate::Client) | one call |
//! | tokio | the crate `httptime-tokio` | one `await`; dropping the future cancels |
//! | your own event loop, or a simulator | [`survey::Sessions`](crate::survey::Sessions) | sockets and timers: about 90 lines |
//! | an HTTP library that does not expose its sockets | [`Measure`](crate::Measure) and [`Exchange::from_headers`](crate::Exchange::from_headers) | requests at the instants it returns, and the time before and after each |
//! | a program in C | `libhttptime` (crate `httptime-ffi`) | one call, or `httptime_session_*` in your event loop |
//! | a clock to correct | the crate `httptime-clock` | a policy |
//!
//! The first three and C run the same sessions, with the same retries, pauses, deadlines, stale
//! connections, proxies and selection among several servers. [`Measure`](crate::Measure) alone has
//! none of these: it decides when to send and computes what the responses prove. Its accuracy is
//! that of the two times that you pass. An HTTP library that opens a connection or waits in a queue
//! between them widens the bounds; it does not make them wrong.
//!
//! # A thread that may block
//!
#![doc = concat!("```no_run\n", include_str!("../guide/measure.rs"), "```")]
//!
//! # Your own event loop
//!
//! The rules for a driver are [the session's](crate::session#rules-for-a-driver). This driver has
//! only sockets:
//!
#![doc = concat!("```no_run\n", include_str!("../guide/own_io.rs"), "```")]
//!
//! # An HTTP library that does not expose its sockets
//!
//! ```
//! use std::time::Duration;
//!
//! use httptime::Next;
//! use httptime::{CrossTimestamp, Config, Error, Exchange, LocalInstant, Measure, Timestamp};
//!
//! # struct Reply { status: u16, headers: Vec<(&'static str, &'static [u8])> }
//! # let mut now = LocalInstant::from_nanos(0);
//! # let wall = Timestamp::from_unix_nanos(1_795_771_800_500_000_000);
//! # let cross_timestamp = |now: LocalInstant| CrossTimestamp::new(now, wall, Duration::ZERO);
//! # let head = |_: &str| Reply {
//! #     status: 204,
//! #     headers: vec![("server", b"nginx"), ("date", b"Fri, 27 Nov 2026 09:30:38 GMT")],
//! # };
//! let config = Config::builder().requests(1).build()?;
//! let mut measure = Measure::new(&config, cross_timestamp(now));
//! while let Next::SendAt(at) = measure.next(now) {
//!     now = now.max(at); // wait until then
//!     let sent = now; // read the clock
//!     measure.sent(sent);
//!     let reply = head("http://192.0.2.1/");
//!     now = now.saturating_add(Duration::from_millis(3)); // read the clock
//!     let headers = reply.headers.iter().map(|(name, value)| (*name, *value));
//!     measure.absorb(&Exchange::from_headers(sent, now, reply.status, headers)?)?;
//! }
//! let wall = wall.saturating_add(Duration::from_millis(3).into());
//! let measurement = measure.finish(CrossTimestamp::new(now, wall, Duration::ZERO))?;
//! assert!(measurement.bounds().width() < Duration::from_millis(1100));
//! # Ok::<(), Error>(())
//! ```
