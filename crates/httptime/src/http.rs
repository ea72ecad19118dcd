//! HTTP/1 as far as a `Date` needs it: request bytes out, response head in. Sans-I/O.
//!
//! A [`Request`] is built once for each target and its bytes are sent again for every exchange. A [`ResponseReader`]
//! takes whatever comes back on one connection, in whatever pieces, and gives out one [`ResponseHead`] per response.
//!
//! ```
//! use httptime::Timestamp;
//! use httptime::http::{Request, ResponseReader, USER_AGENT};
//!
//! let request = Request::head("jump.example:8080", "/status")?;
//! let expected = format!(
//!     "HEAD /status HTTP/1.1\r\n\
//!      Host: jump.example:8080\r\n\
//!      User-Agent: {USER_AGENT}\r\n\
//!      Accept: */*\r\n\
//!      Cache-Control: no-cache\r\n\
//!      Connection: keep-alive\r\n\
//!      \r\n"
//! );
//! assert_eq!(request.as_bytes(), expected.as_bytes());
//!
//! let mut reader = ResponseReader::new();
//! reader.feed(b"HTTP/1.1 301 Moved Permanently\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 20");
//! assert!(reader.head()?.is_none());
//! reader.feed(b"26 09:37:12 GMT\r\n\r\n");
//! let head = reader.head()?.expect("the head is whole");
//! assert_eq!(head.status(), 301);
//! assert_eq!(Some(head.date()?), Timestamp::from_unix_seconds(1_795_426_632));
//! assert_eq!(head.server(), Some("nginx/1.22.1"));
//! assert!(head.is_persistent());
//! assert!(!reader.has_leftover());
//! # Ok::<(), httptime::Error>(())
//! ```
//!
//! In scope: `HEAD` in origin form and in absolute form (for HTTP proxies), `CONNECT`, HTTP/1.0 and HTTP/1.1 responses,
//! interim (1xx) responses, folded fields. Out of scope: bodies (the answer to `HEAD` has none, a connection on
//! which one comes all the same is to be dropped; a [`session`](crate::session) that sends `GET` skips them), redirects,
//! cookies, HTTP/2.

mod date;
mod request;
mod response;

pub use self::date::parse_date;
pub(crate) use self::request::Wording;
pub use self::request::{Request, USER_AGENT};
pub use self::response::{ResponseHead, ResponseReader};

/// The largest response head put up with, the interim (1xx) heads before it included.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The most header fields put up with in one head.
pub const MAX_HEADERS: usize = 100;

/// A server that says this gave up waiting before the request reached it (RFC 9110, section 15.5.9).
pub(crate) const REQUEST_TIMEOUT: u16 = 408;

/// The most interim (1xx) responses put up with before a final one.
pub const MAX_INTERIM: u32 = 16;
