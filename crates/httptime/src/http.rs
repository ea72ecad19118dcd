//! The part of HTTP/1 that is needed for a `Date`: formats requests and parses response heads,
//! without I/O.
//!
//! A [`Request`] is built once for each target, and its bytes are sent for every exchange. A
//! [`ResponseReader`] takes the bytes that are received on one connection, in pieces of any size,
//! and returns one [`ResponseHead`] per response.
//!
//! ```
//! use httptime::Timestamp;
//! use httptime::http::{Request, ResponseReader, USER_AGENT};
//!
//! let request = Request::head("jump.example:8080", "/status")?;
//! let expected = format!(
//!     "HEAD /status HTTP/1.1\r
//! \
//!      Host: jump.example:8080\r
//! \
//!      User-Agent: {USER_AGENT}\r
//! \
//!      Accept: */*\r
//! \
//!      Cache-Control: no-cache\r
//! \
//!      Connection: keep-alive\r
//! \
//!      \r
//! "
//! );
//! assert_eq!(request.as_bytes(), expected.as_bytes());
//!
//! let mut reader = ResponseReader::new();
//! reader.feed(b"HTTP/1.1 301 Moved Permanently\r
//! Server: nginx/1.22.1\r
//! Date: Mon, 23 Nov 20");
//! assert!(reader.head()?.is_none());
//! reader.feed(b"26 09:37:12 GMT\r
//! \r
//! ");
//! let head = reader.head()?.expect("the head is whole");
//! assert_eq!(head.status(), 301);
//! assert_eq!(Some(head.date()?), Timestamp::from_unix_seconds(1_795_426_632));
//! assert_eq!(head.server(), Some("nginx/1.22.1"));
//! assert!(head.is_persistent());
//! assert!(!reader.has_leftover());
//! # Ok::<(), httptime::Error>(())
//! ```
//!
//! In scope: `HEAD` in origin form and in absolute form (for HTTP proxies), `CONNECT`, HTTP/1.0 and
//! HTTP/1.1 responses, interim (1xx) responses, folded fields. Out of scope: bodies (the response
//! to `HEAD` has none, and a connection on which one arrives must be closed; a
//! [`session`](crate::session) that sends `GET` skips them), redirects, cookies, HTTP/2.

mod date;
mod request;
mod response;

pub use self::date::parse_date;
pub(crate) use self::request::RequestSpec;
pub use self::request::{Request, USER_AGENT};
pub use self::response::{ResponseHead, ResponseReader};

/// The largest response head that is accepted, including the interim (1xx) heads before it.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The largest number of header fields in one head that is accepted.
pub const MAX_HEADERS: usize = 100;

/// The server timed out before the request arrived (RFC 9110, section 15.5.9).
pub(crate) const REQUEST_TIMEOUT: u16 = 408;

/// The largest number of interim (1xx) responses before a final one that is accepted.
pub const MAX_INTERIM: u32 = 16;
