//! The correct and incorrect ways in which a server can respond.

use std::time::Duration;

/// How a [`LoopbackServer`](crate::LoopbackServer) responds to a request.
///
/// Unless a variant states otherwise, the response is `200 OK` with a correct `Date`, and the
/// connection stays open after it.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Behaviour {
    /// A correct HTTP/1.1 response.
    #[default]
    Normal,
    /// HTTP/1.0, and the connection closes after each response, as with Python's `http.server`.
    Http10Close,
    /// Reads and never responds.
    Silent,
    /// A correct response, byte by byte.
    Dribble {
        /// The pause after each byte.
        every: Duration,
    },
    /// A head that begins correctly, with a `Date`, and never ends.
    EndlessHeaders,
    /// Interim responses (102) without end.
    EndlessInterim,
    /// No `Date`.
    NoDate,
    /// The correct `Date`, and after it a second one an hour ahead.
    TwoDates,
    /// This text as the `Date`: the year 9999, another time zone, garbage.
    FixedDate(String),
    /// Field names in lower case.
    LowerCaseNames,
    /// Field names in mixed case (`dAtE`).
    MixedCaseNames,
    /// The `Date` continues on a second line (`obs-fold`, which RFC 9112, section 5.2, forbids).
    FoldedDate,
    /// A field before the `Date` has NUL bytes in its value.
    NulBytes,
    /// The response of a TLS server to plain HTTP: a fatal alert, `15 03 01 00 02 02 28`. Then
    /// closes.
    TlsAlert,
    /// The response of an HTTP/2 server to HTTP/1: frames `SETTINGS` and `GOAWAY`. Then closes.
    Http2Preface,
    /// Closes without a response.
    EmptyReply,
    /// Closes in the middle of the `Date`.
    CloseMidHead,
    /// A body after the response to `HEAD`, which must have none, in the same segment. The body
    /// itself looks like a response, with a `Date` an hour ahead.
    BodyAfterHead,
    /// The same body in a separate segment.
    BodyAfterHeadLater {
        /// The pause between head and body.
        after: Duration,
    },
    /// Resets the connection (RST) after each response.
    ResetBetweenRequests,
    /// Every such response has the `Date` of the first one.
    FrozenDate,
    /// The `Date` goes back at some request, as if someone had set the server's clock.
    /// [`offset_now`](crate::LoopbackServer::offset_now) does not include this.
    JumpsBack {
        /// Number of responses before that.
        after_requests: usize,
        /// The step.
        by: Duration,
    },
    /// The banner of an SSH server as soon as the connection is open, then silence.
    SshBanner,
    /// A whole response, its `Date` an hour ahead, as soon as the connection is open; then silence.
    Unasked,
    /// A response that a cache stored at the first request: the `Date` does not advance.
    Cached {
        /// The age of the response at that time. `Age` begins with it and grows; `None` sends no
        /// `Age`.
        age: Option<Duration>,
    },
    /// A `103 Early Hints` at once, with a `Date` of 1994, then the final response.
    Interim103,
    /// A page of HTML, as that of a captive portal.
    Html,
    /// Another status code.
    Status(u16),
    /// Another status code, and no `Date`.
    StatusWithoutDate(u16),
    /// `HEAD` gets one response, every other request another.
    ByMethod {
        /// The response to `HEAD`.
        head: Box<Behaviour>,
        /// The response to other requests.
        other: Box<Behaviour>,
    },
    /// A body of this length that consists of responses with a `Date` an hour ahead.
    Body(usize),
    /// The same in chunks, without `Content-Length`.
    ChunkedBody(usize),
    /// These bytes instead of a response.
    Raw(Vec<u8>),
}

/// A TLS 1.0 record with the fatal alert `handshake_failure` (RFC 5246, section 7.2).
pub(crate) const TLS_ALERT: &[u8] = &[0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x28];

/// `SETTINGS` with `MAX_CONCURRENT_STREAMS` = 128, then `GOAWAY` with `PROTOCOL_ERROR` (RFC 9113,
/// sections 6.5 and 6.8).
pub(crate) const HTTP2_FRAMES: &[u8] = &[
    0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 128, // SETTINGS
    0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // GOAWAY
];

pub(crate) const SSH_BANNER: &[u8] = b"SSH-2.0-OpenSSH_9.2\r\n";

pub(crate) const INTERIM_103: &[u8] = b"HTTP/1.1 103 Early Hints\r\n\
    Link: </style.css>; rel=preload; as=style\r\n\
    Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";

pub(crate) const INTERIM_102: &[u8] = b"HTTP/1.1 102 Processing\r\n\r\n";
