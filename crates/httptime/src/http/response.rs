//! Reads response heads from bytes that arrive in pieces.

use std::mem::MaybeUninit;
use std::sync::Arc;
use std::time::Duration;

use super::date::{excerpt, parse_date};
use super::{MAX_HEAD_BYTES, MAX_HEADERS, MAX_INTERIM, REQUEST_TIMEOUT};
use crate::error::Error;
use crate::server::{HeadMarks, HeadMarksReader};
use crate::stamp::{DEFAULT_HEADER, Stamp, StampFault};
use crate::time::{Offset, Timestamp};

/// Reads the successive responses on one connection. Has one buffer, which it reuses.
///
/// The driver reads into [`space`](Self::space), reports the number of bytes with
/// [`filled`](Self::filled), and calls [`head`](Self::head) until it returns one:
///
/// ```
/// use std::io::Read;
///
/// use httptime::Error;
/// use httptime::http::ResponseReader;
///
/// fn status(stream: &mut impl Read, reader: &mut ResponseReader) -> Result<u16, Error> {
///     loop {
///         let n = stream.read(reader.space()).expect("the driver maps these");
///         if n == 0 {
///             return Err(reader.eof());
///         }
///         reader.filled(n);
///         if let Some(head) = reader.head()? {
///             return Ok(head.status());
///         }
///     }
/// }
///
/// let mut reader = ResponseReader::new();
/// assert_eq!(status(&mut &b"HTTP/1.1 204 No Content\r
/// \r
/// "[..], &mut reader)?, 204);
/// let error = status(&mut &b"HTTP/1.1 204 No"[..], &mut reader).unwrap_err();
/// assert_eq!(error, Error::Closed { received: 15 });
/// # Ok::<(), Error>(())
/// ```
///
/// Nothing is allocated as long as the heads fit into 4 KiB. An error is final: every call returns
/// it until [`clear`](Self::clear).
#[derive(Debug, Clone)]
pub struct ResponseReader {
    /// Fully initialised; the received bytes are `buffer[..filled]`.
    buffer: Vec<u8>,
    filled: usize,
    scan: HeadScanner,
    /// `None`: the default.
    stamp_header: Option<Arc<str>>,
}

impl ResponseReader {
    /// A reader for a new connection.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffer: vec![0; INITIAL_BUFFER_BYTES],
            filled: 0,
            scan: HeadScanner::default(),
            stamp_header: None,
        }
    }

    /// Reads stamps from the header field of this name; from none if it is empty [default:
    /// [`X-HTTPSTIME`](DEFAULT_HEADER)].
    #[must_use]
    pub fn with_stamp_header(self, name: Arc<str>) -> Self {
        Self { stamp_header: Some(name), ..self }
    }

    /// Resets the reader for a new connection. Keeps the buffer.
    pub fn clear(&mut self) {
        self.filled = 0;
        self.scan = HeadScanner::default();
    }

    /// The space to read into: at least one byte. Drops the last head that was returned.
    #[must_use]
    pub fn space(&mut self) -> &mut [u8] {
        self.reserve(1);
        &mut self.buffer[self.filled..]
    }

    /// Reports that the first `n` bytes of [`space`](Self::space) have been filled (all of it, if
    /// it is smaller).
    pub fn filled(&mut self, n: usize) {
        self.filled = self.filled.saturating_add(n).min(self.buffer.len());
    }

    /// Adds bytes that are stored elsewhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.buffer[self.filled..][..bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }

    /// The head of the next final response, or `None` if more bytes are needed. After a call that
    /// returned a head, the next call looks for the following response.
    ///
    /// Interim (1xx) responses are skipped, including 101: no request of this library asks for an
    /// upgrade. Empty lines before a response are also skipped.
    ///
    /// # Errors
    /// [`Error::NotHttp`] as soon as the bytes cannot become an HTTP/1 response.
    /// [`Error::HeadTooLarge`] above [`MAX_HEAD_BYTES`] or [`MAX_HEADERS`].
    /// [`Error::EndlessInterim`] above [`MAX_INTERIM`]. [`Error::MalformedHead`].
    pub fn head(&mut self) -> Result<Option<ResponseHead<'_>>, Error> {
        Ok(self.next_response(false)?.map(|(head, _)| head))
    }

    /// As [`head`](Self::head), and skips the received part of the body. Also returns how many
    /// bytes of the body are still missing; `None` if that is unknown. `has_body`: whether the
    /// request allows the response to have one.
    pub(crate) fn next_response(
        &mut self,
        has_body: bool,
    ) -> Result<Option<(ResponseHead<'_>, Option<u64>)>, Error> {
        let stamp_header = self.stamp_header.as_deref().unwrap_or(DEFAULT_HEADER);
        let head = self.scan.next(&self.buffer[..self.filled], stamp_header)?;
        let Some(head) = head else { return Ok(None) };
        let body = if has_body { head.body } else { Some(0) };
        let left = body.map(|body| self.scan.skip(body, self.filled));
        let has_trailing_bytes = self.filled > self.scan.response;
        Ok(Some((ResponseHead { has_trailing_bytes, ..head }, left)))
    }

    /// Skips a body of which `left` bytes had not been received. Returns how many are still
    /// missing.
    pub(crate) fn skip(&mut self, left: u64) -> u64 {
        self.scan.skip(left, self.filled)
    }

    /// Whether bytes have been received that belong to no head that was returned.
    ///
    /// Directly after a head, they are a protocol error: a body after the response to `HEAD`, or an
    /// unsolicited response. Then the rest of the data on this connection cannot be trusted.
    #[must_use]
    pub const fn has_leftover(&self) -> bool {
        self.filled > self.scan.response
    }

    /// The error for a connection that closes now: [`Error::Closed`], with the number of bytes of
    /// the incomplete response.
    #[must_use]
    pub fn eof(&self) -> Error {
        Error::Closed { received: self.filled - self.scan.response }
    }

    fn reserve(&mut self, bytes: usize) {
        // After an error nothing is parsed any more, so nothing needs to be kept.
        let done = if self.scan.failed.is_some() { self.filled } else { self.scan.response };
        if done > 0 {
            self.buffer.copy_within(done..self.filled, 0);
            self.filled -= done;
            self.scan.discard_front(done);
        }
        let needed = self.filled + bytes;
        if needed > self.buffer.len() {
            self.buffer.resize(needed.max(2 * self.buffer.len()), 0);
        }
    }
}

impl Default for ResponseReader {
    fn default() -> Self {
        Self::new()
    }
}

/// The head of a final response: the fields that a measurement needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseHead<'a> {
    status: u16,
    minor_version: u8,
    dates: DateFields<'a>,
    stamps: StampFields<'a>,
    age: Option<Duration>,
    server: Option<&'a str>,
    content_type: Option<&'a str>,
    marks: HeadMarks,
    close: bool,
    keep_alive: bool,
    has_trailing_bytes: bool,
    challenges: Challenges,
    /// The `Retry-After` field of status 429 or 503.
    retry_after: Option<&'a [u8]>,
    /// The length of the body that follows if the request was not `HEAD` (RFC 9112, section 6.3);
    /// `None` if the head does not determine its end.
    body: Option<u64>,
}

impl<'a> ResponseHead<'a> {
    /// The status code, 200–999.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    #[must_use]
    pub const fn minor_version(&self) -> u8 {
        self.minor_version
    }

    /// The `Date`. Two fields with the same second count as one.
    ///
    /// # Errors
    /// [`Error::NoDate`], [`Error::ConflictingDates`], and the errors of [`parse_date`].
    /// [`Error::MalformedHead`] for status 408, which is not a response to a request: it was
    /// stamped before the request arrived, and would make the bounds wrong.
    pub fn date(&self) -> Result<Timestamp, Error> {
        if self.status == REQUEST_TIMEOUT {
            return Err(Error::MalformedHead { reason: "status 408 is no answer to a request" });
        }
        match self.dates {
            DateFields::None => Err(Error::NoDate { status: self.status }),
            DateFields::One(value) => parse_date(value),
            DateFields::Conflicting { first, second } => {
                Err(Error::ConflictingDates { first: excerpt(first), second: excerpt(second) })
            }
        }
    }

    /// The stamp ([`stamp`](crate::stamp)), if there is one. Two fields with the same value count
    /// as one.
    ///
    /// # Errors
    /// [`StampFault::Malformed`], [`StampFault::Conflicting`].
    pub fn stamp(&self) -> Result<Option<Stamp>, StampFault> {
        match self.stamps {
            StampFields::None => Ok(None),
            StampFields::One(value) => Stamp::parse(value).map(|stamp| {
                // Varnish formats a time that it rounds to the nearest millisecond.
                Some(if self.marks.has_varnish() { stamp.rounded() } else { stamp })
            }),
            StampFields::Conflicting => Err(StampFault::Conflicting),
        }
    }

    /// The `Age`, which is present if the response came through a cache.
    ///
    /// If there are several, the largest. A value that cannot be parsed also proves a cache, and
    /// counts as 2³¹ s, as does a larger one (RFC 9111, section 1.2.2).
    #[must_use]
    pub const fn age(&self) -> Option<Duration> {
        self.age
    }

    /// The first `Server` field, up to the first character that is not printable ASCII, at most 128
    /// characters; `None` if that is empty.
    #[must_use]
    pub const fn server(&self) -> Option<&'a str> {
        self.server
    }

    /// The first `Content-Type` field, as [`server`](Self::server).
    #[must_use]
    pub const fn content_type(&self) -> Option<&'a str> {
        self.content_type
    }

    /// The marks of the servers that the response passed: the number and position of `Server`
    /// fields, `Via`, and the marks of caches.
    #[must_use]
    pub const fn marks(&self) -> HeadMarks {
        self.marks
    }

    /// Whether the server keeps the connection open (RFC 9112, section 9.3): with HTTP/1.1 unless
    /// the head contains `close`; with HTTP/1.0 only if it contains `keep-alive` and not `close`.
    /// Both `Connection` and `Proxy-Connection` are read.
    #[must_use]
    pub const fn is_persistent(&self) -> bool {
        !self.close && (self.minor_version >= 1 || self.keep_alive)
    }

    /// How long the server asks to send it no request: `Retry-After` of status 429 (Too Many
    /// Requests) or 503 (Service Unavailable), RFC 9110, section 10.2.3. At most a day.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let value = self.retry_after.filter(|_| matches!(self.status, 429 | 503))?;
        let wait = match parse_decimal(value) {
            Some(seconds) => Duration::from_secs(seconds),
            None => {
                let wait = Offset::between(self.date().ok()?, parse_date(value).ok()?);
                if wait < Offset::ZERO { Duration::ZERO } else { wait.abs() }
            }
        };
        Some(wait.min(MAX_RETRY_AFTER))
    }

    /// Whether more bytes had been received after the head: see [`ResponseReader::has_leftover`].
    #[must_use]
    pub const fn has_trailing_bytes(&self) -> bool {
        self.has_trailing_bytes
    }

    /// The scheme that a proxy asks for, if it is one that this library does not have and the proxy
    /// does not offer `Basic`.
    pub(crate) const fn unsupported_challenge(&self) -> Option<&'static str> {
        if self.challenges.has_basic { None } else { self.challenges.other }
    }

    /// Parses a head from its status line to the empty line at its end.
    fn parse(bytes: &'a [u8], stamp_header: &str) -> Result<Self, Error> {
        let mut fields = [MaybeUninit::uninit(); MAX_HEADERS];
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default()
            .allow_obsolete_multiline_headers_in_responses(true)
            .parse_response_with_uninit_headers(&mut response, bytes, &mut fields)
            .map_err(parse_error)?;
        if parsed != httparse::Status::Complete(bytes.len()) {
            return Err(Error::MalformedHead { reason: "its end is unclear" });
        }
        let (Some(status @ 100..), Some(minor_version)) = (response.code, response.version) else {
            return Err(Error::MalformedHead { reason: "invalid status" });
        };
        let fields = response.headers.iter().map(|field| (field.name, field.value));
        Ok(Self::of_fields(status, minor_version, fields, stamp_header))
    }

    /// A head from another HTTP library: status code, and the names and values of its fields.
    ///
    /// Pass all fields in the order of the response: the order shows which server made the `Date`
    /// ([`server`](crate::server)). The function reads `Date`, `Age`, `Server`, `Via`,
    /// `Connection`, `Proxy-Connection`, `Retry-After`, [`X-HTTPSTIME`](DEFAULT_HEADER) and the
    /// marks of caches, in upper or lower case and every occurrence. The version counts as
    /// HTTP/1.1.
    ///
    /// ```
    /// use httptime::http::ResponseHead;
    ///
    /// let fields = [("date", &b"Mon, 23 Nov 2026 09:37:12 GMT"[..]), ("age", b"5")];
    /// let head = ResponseHead::from_fields(200, fields)?;
    /// assert_eq!(head.date()?.as_unix_nanos(), 1_795_426_632_000_000_000);
    /// assert_eq!(head.age(), Some(std::time::Duration::from_secs(5)));
    /// # Ok::<(), httptime::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::MalformedHead`] for a status that is not that of a final response: below 200 or
    /// above 999.
    pub fn from_fields(
        status: u16,
        fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, Error> {
        match status {
            200..=999 => {
                let trimmed = |(name, value): (&'a str, &'a [u8])| (name, value.trim_ascii());
                Ok(Self::of_fields(status, 1, fields.into_iter().map(trimmed), DEFAULT_HEADER))
            }
            100..=199 => Err(Error::MalformedHead { reason: "interim (1xx) status" }),
            _ => Err(Error::MalformedHead { reason: "invalid status" }),
        }
    }

    fn of_fields(
        status: u16,
        minor_version: u8,
        fields: impl Iterator<Item = (&'a str, &'a [u8])>,
        stamp_header: &str,
    ) -> Self {
        let mut head = Self {
            status,
            minor_version,
            dates: DateFields::None,
            stamps: StampFields::None,
            age: None,
            server: None,
            content_type: None,
            marks: HeadMarks::default(),
            close: false,
            keep_alive: false,
            has_trailing_bytes: false,
            challenges: Challenges::default(),
            retry_after: None,
            body: None,
        };
        let mut server = None;
        let mut body_length = BodyLength::default();
        let mut marks = HeadMarksReader::default();
        for (at, (field, value)) in fields.enumerate() {
            let is = |name: &str| field.eq_ignore_ascii_case(name);
            // The length is compared first: most fields are none of these.
            if field.len() == stamp_header.len() && is(stamp_header) {
                head.stamps = head.stamps.with(value);
            }
            match field.len() {
                4 if is("Date") => {
                    head.dates = head.dates.with(value);
                    marks.date(at);
                }
                6 if is("Server") => {
                    server = server.or(Some(value));
                    marks.server(at);
                }
                10 | 16 if is("Connection") || is("Proxy-Connection") => {
                    if field.len() == 10 {
                        marks.connection(at);
                    }
                    for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                        head.close |= token.eq_ignore_ascii_case(b"close");
                        head.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                3 if is("Age") => head.age = head.age.max(Some(parse_age(value))),
                3 if is("Via") => marks.via(value),
                7 | 14 | 15 if is("X-Cache") || is("X-Cache-Status") || is("CF-Cache-Status") => {
                    marks.cache(value);
                }
                18 if is("Proxy-Authenticate") => head.challenges.add(value),
                9 if is("X-Varnish") => marks.varnish(value),
                14 | 17 if is("Content-Length") || is("Transfer-Encoding") => {
                    body_length.add_field(field, value);
                }
                11 if is("Retry-After") => head.retry_after = Some(value),
                12 if is("Content-Type") => {
                    marks.content_type(at);
                    head.content_type = head.content_type.or_else(|| printable_prefix(value));
                }
                12 if is("Cache-Status") => marks.cache_status(value),
                _ => {}
            }
        }
        head.server = server.and_then(printable_prefix);
        head.marks = marks.marks();
        head.body = if matches!(status, 204 | 304) { Some(0) } else { body_length.known() };
        head
    }

    const fn is_interim(&self) -> bool {
        self.status < 200
    }
}

/// The schemes of authentication that a proxy offers (RFC 9110, section 11.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Challenges {
    has_basic: bool,
    /// The first other scheme of those that proxies use.
    other: Option<&'static str>,
}

impl Challenges {
    /// Reads the schemes in the value of a `Proxy-Authenticate`. One value can have several.
    fn add(&mut self, value: &[u8]) {
        for challenge in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii_start) {
            let scheme = challenge.split(|byte| *byte == b' ').next().unwrap_or_default();
            self.has_basic |= scheme.eq_ignore_ascii_case(b"Basic");
            let known = SCHEMES.iter().find(|it| it.as_bytes().eq_ignore_ascii_case(scheme));
            self.other = self.other.or(known.copied());
        }
    }
}

/// What a head states about the length of its body.
#[derive(Debug, Clone, Copy, Default)]
enum BodyLength {
    /// The body ends when the connection closes.
    #[default]
    None,
    Known(u64),
    /// The body is chunked, or the fields contradict each other.
    Ambiguous,
}

impl BodyLength {
    fn add_field(&mut self, field: &str, value: &[u8]) {
        if field.eq_ignore_ascii_case("Transfer-Encoding") {
            *self = Self::Ambiguous;
        } else if field.eq_ignore_ascii_case("Content-Length") {
            *self = match (*self, parse_decimal(value)) {
                (Self::None, Some(length)) => Self::Known(length),
                (Self::Known(known), Some(length)) if known == length => *self,
                _ => Self::Ambiguous,
            };
        }
    }

    const fn known(self) -> Option<u64> {
        match self {
            Self::Known(length) => Some(length),
            Self::None | Self::Ambiguous => None,
        }
    }
}

/// The `Date` fields of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DateFields<'a> {
    None,
    One(&'a [u8]),
    Conflicting { first: &'a [u8], second: &'a [u8] },
}

impl<'a> DateFields<'a> {
    fn with(self, value: &'a [u8]) -> Self {
        match self {
            Self::None => Self::One(value),
            Self::One(first) if !is_same_date(first, value) => {
                Self::Conflicting { first, second: value }
            }
            known => known,
        }
    }
}

/// The stamps of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StampFields<'a> {
    None,
    One(&'a [u8]),
    Conflicting,
}

impl<'a> StampFields<'a> {
    fn with(self, value: &'a [u8]) -> Self {
        match self {
            Self::None => Self::One(value),
            Self::One(first) if first == value => self,
            Self::One(_) | Self::Conflicting => Self::Conflicting,
        }
    }
}

fn is_same_date(a: &[u8], b: &[u8]) -> bool {
    a == b || matches!((parse_date(a), parse_date(b)), (Ok(a), Ok(b)) if a == b)
}

fn parse_age(value: &[u8]) -> Duration {
    parse_decimal(value).map_or(MAX_AGE, Duration::from_secs).min(MAX_AGE)
}

/// A number without a sign.
fn parse_decimal(value: &[u8]) -> Option<u64> {
    // `parse` would accept a sign.
    let text = std::str::from_utf8(value).ok()?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn printable_prefix(value: &[u8]) -> Option<&str> {
    let printable =
        value.iter().take(MAX_SERVER_BYTES).take_while(|byte| matches!(byte, b' '..=b'~'));
    let text = std::str::from_utf8(&value[..printable.count()]).ok()?.trim_ascii_end();
    (!text.is_empty()).then_some(text)
}

fn parse_error(error: httparse::Error) -> Error {
    let reason = match error {
        httparse::Error::TooManyHeaders => {
            return Error::HeadTooLarge { limit: MAX_HEADERS, what: "header fields" };
        }
        httparse::Error::HeaderName => "invalid field name",
        httparse::Error::HeaderValue => "invalid field value",
        httparse::Error::NewLine => "invalid line end",
        httparse::Error::Status => "invalid status",
        httparse::Error::Token => "invalid token",
        httparse::Error::Version => "invalid version",
    };
    Error::MalformedHead { reason }
}

/// The state of the search for the end of a head, as positions in the buffer.
#[derive(Debug, Clone, Default)]
struct HeadScanner {
    /// The start of the response, including its interim heads. Everything before has been returned.
    response: usize,
    /// The start of the current head.
    head: usize,
    /// No head ends at a line end before this position, so that no byte is searched twice.
    searched: usize,
    interims: u32,
    failed: Option<Error>,
}

impl HeadScanner {
    fn next<'a>(
        &mut self,
        bytes: &'a [u8],
        stamp_header: &str,
    ) -> Result<Option<ResponseHead<'a>>, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.advance(bytes, stamp_header).inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn advance<'a>(
        &mut self,
        bytes: &'a [u8],
        stamp_header: &str,
    ) -> Result<Option<ResponseHead<'a>>, Error> {
        let limit = self.response + MAX_HEAD_BYTES;
        let bytes = &bytes[..bytes.len().min(limit)];
        while let Some(end) = self.find_end(bytes)? {
            let head = ResponseHead::parse(&bytes[self.head..end], stamp_header)?;
            self.head = end;
            if !head.is_interim() {
                self.response = end;
                self.interims = 0;
                return Ok(Some(head));
            }
            self.interims += 1;
            if self.interims > MAX_INTERIM {
                return Err(Error::EndlessInterim { limit: MAX_INTERIM });
            }
        }
        if bytes.len() == limit {
            return Err(Error::HeadTooLarge { limit: MAX_HEAD_BYTES, what: "bytes" });
        }
        Ok(None)
    }

    /// The position after the empty line that ends the head. Line ends are CR LF or LF, as in
    /// `httparse`.
    fn find_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Error> {
        loop {
            match &bytes[self.head..] {
                [b'\n', ..] => self.head += 1,
                [b'\r', b'\n', ..] => self.head += 2,
                [] | [b'\r'] => return Ok(None),
                start if has_http_prefix(start)? => break,
                _ => return Ok(None),
            }
        }
        self.searched = self.searched.max(self.head);
        if let Some(end) = find_empty_line_end(&bytes[self.searched..]) {
            return Ok(Some(self.searched + end));
        }
        // An incomplete line end begins in the last two bytes.
        self.searched = self.searched.max(bytes.len().saturating_sub(2));
        Ok(None)
    }

    /// Skips the received part of a body after the last head that was returned. Returns how much of
    /// it is missing. `filled`: the end of the received bytes.
    fn skip(&mut self, body: u64, filled: usize) -> u64 {
        let come = filled.saturating_sub(self.response);
        let skipped = usize::try_from(body).map_or(come, |body| body.min(come));
        self.response += skipped;
        self.head = self.response;
        self.searched = self.searched.max(self.response);
        body - u64::try_from(skipped).unwrap_or(body)
    }

    /// The first `by` bytes were removed from the buffer.
    fn discard_front(&mut self, by: usize) {
        for position in [&mut self.response, &mut self.head, &mut self.searched] {
            *position = position.saturating_sub(by);
        }
    }
}

/// The position after the first empty line that follows another line.
fn find_empty_line_end(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 32;
    // Tests all places of a block at once, without branches, so that the compiler uses vector
    // instructions.
    let begins_nowhere = |block: &&[u8]| {
        let begins = |at: usize| {
            let [first, second, third] = [block[at], block[at + 1], block[at + 2]];
            (first == b'\n') & ((second == b'\n') | ((second == b'\r') & (third == b'\n')))
        };
        !(0..BLOCK).fold(false, |any, at| any | begins(at))
    };
    let blocks = bytes.windows(BLOCK + 2).step_by(BLOCK).take_while(begins_nowhere).count();
    (blocks * BLOCK..bytes.len()).find_map(|at| match bytes[at..] {
        [b'\n', b'\n', ..] => Some(at + 2),
        [b'\n', b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

/// Whether the bytes begin an HTTP/1 response; `false` while there are too few of them.
fn has_http_prefix(bytes: &[u8]) -> Result<bool, Error> {
    let agrees = |start: &[Option<u8>]| {
        bytes.iter().zip(start).all(|(byte, expected)| expected.is_none_or(|e| *byte == e))
    };
    if bytes.iter().zip(b"HTTP/1.").all(|(byte, expected)| byte == expected) {
        return Ok(true);
    }
    match OTHER_PROTOCOLS.iter().find(|(start, _)| agrees(start)) {
        Some((start, looks_like)) if bytes.len() >= start.len() => {
            Err(Error::NotHttp { looks_like })
        }
        Some(_) => Ok(false),
        None => Err(Error::NotHttp { looks_like: "does not begin with HTTP/1" }),
    }
}

/// The first bytes of other protocols (`None`: any byte), and their names.
const OTHER_PROTOCOLS: &[(&[Option<u8>], &str)] = &[
    // A TLS record, RFC 8446, section 5.1: an alert, a handshake.
    (&[Some(0x15), Some(0x03)], TLS),
    (&[Some(0x16), Some(0x03)], TLS),
    (&[Some(b'S'), Some(b'S'), Some(b'H'), Some(b'-')], "looks like SSH"),
    // RFC 9113: the preface of a client, section 3.4; the SETTINGS frame of a server, section 6.5.
    (&[Some(b'P'), Some(b'R'), Some(b'I'), Some(b' '), Some(b'*'), Some(b' ')], HTTP2),
    (&[Some(0), Some(0), None, Some(4)], HTTP2),
    (&[Some(b'H'), Some(b'T'), Some(b'T'), Some(b'P'), Some(b'/'), Some(b'2')], HTTP2),
];
const TLS: &str = "looks like TLS, for which the URL must begin with https://";
const HTTP2: &str = "looks like HTTP/2";

/// Enough for the head of nearly every response.
const INITIAL_BUFFER_BYTES: usize = 4096;
/// RFC 9111, section 1.2.2.
const MAX_AGE: Duration = Duration::from_secs(1 << 31);
/// A longer `Retry-After` is more likely a mistake than a wish.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(86_400);
/// Stored bytes of a `Server` field.
const MAX_SERVER_BYTES: usize = 128;
/// Schemes of authentication that proxies ask for, other than `Basic`.
const SCHEMES: &[&str] = &["Negotiate", "NTLM", "Kerberos", "Digest", "Bearer"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    const NGINX: &[u8] = b"HTTP/1.1 404 Not Found\r\n\
        Server: nginx/1.22.1\r\n\
        Date: Mon, 23 Nov 2026 09:37:12 GMT\r\n\
        Content-Type: text/html\r\n\
        Content-Length: 153\r\n\
        Connection: keep-alive\r\n\
        \r\n";
    const APACHE: &[u8] = b"HTTP/1.1 200 OK\r\n\
        Date: Mon, 23 Nov 2026 09:37:12 GMT\r\n\
        Server: Apache/2.4.62 (Debian)\r\n\
        Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
        ETag: \"29cd-62bd\"\r\n\
        Accept-Ranges: bytes\r\n\
        Vary: Accept-Encoding\r\n\
        Connection: close\r\n\
        \r\n";

    proptest! {
        #![proptest_config(ProptestConfig {
            rng_seed: RngSeed::Fixed(0x6874_7470),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// Reads byte by byte, as a simple reader of RFC 9112 would, instead of in blocks.
        #[test]
        fn the_first_empty_line_is_found_wherever_it_lies(
            line in prop::collection::vec(prop::sample::select(b"ab\r".to_vec()), 0..100),
            rest in prop::collection::vec(prop::sample::select(b"abcd\r\n".to_vec()), 0..100),
        ) {
            let bytes = [line, rest].concat();
            let one_by_one = (0..bytes.len()).find_map(|at| {
                let ends = [&b"\n\n"[..], b"\n\r\n"];
                ends.iter().find(|end| bytes[at..].starts_with(end)).map(|end| at + end.len())
            });
            prop_assert_eq!(find_empty_line_end(&bytes), one_by_one);
        }
    }

    #[test]
    fn the_head_of_nginx_is_understood() {
        check(NGINX, |head| {
            assert_eq!((head.status(), head.minor_version()), (404, 1));
            assert_eq!(head.date(), Ok(monday()));
            assert_eq!(head.server(), Some("nginx/1.22.1"));
            assert_eq!(head.age(), None);
            assert!(head.is_persistent());
        });
    }

    #[test]
    fn the_head_of_apache_is_understood() {
        check(APACHE, |head| {
            assert_eq!(head.status(), 200);
            assert_eq!(head.date(), Ok(monday()));
            assert_eq!(head.server(), Some("Apache/2.4.62 (Debian)"));
            assert!(!head.is_persistent());
        });
    }

    #[test]
    fn a_head_cut_anywhere_needs_more_and_then_is_the_same() {
        let interim = b"\r\nHTTP/1.1 103 Early Hints\nLink: x\n\n";
        for whole in [NGINX, APACHE, &[&interim[..], NGINX].concat()] {
            let mut once = ResponseReader::new();
            once.feed(whole);
            let expected = once.head();
            assert!(matches!(expected, Ok(Some(_))));
            for cut in 0..whole.len() {
                let mut reader = ResponseReader::new();
                reader.feed(&whole[..cut]);
                assert_eq!(reader.head(), Ok(None), "cut at {cut}");
                assert_eq!(reader.eof(), Error::Closed { received: cut });
                reader.feed(&whole[cut..]);
                assert_eq!(reader.head(), expected, "cut at {cut}");
            }
        }
    }

    #[test]
    fn a_head_may_come_byte_by_byte() {
        let mut reader = ResponseReader::new();
        for byte in &NGINX[..NGINX.len() - 1] {
            reader.space()[0] = *byte;
            reader.filled(1);
            assert_eq!(reader.head(), Ok(None));
        }
        reader.feed(b"\n");
        assert_eq!(reader.head().map(|head| head.is_some()), Ok(true));
        assert!(!reader.has_leftover());
    }

    #[test]
    fn each_form_of_a_date_is_read_under_any_case_of_its_name() {
        for field in [
            "Date: Mon, 23 Nov 2026 09:37:12 GMT",
            "date: Monday, 23-Nov-26 09:37:12 GMT",
            "DATE:Mon Nov 23 09:37:12 2026",
            "dAtE:\t Mon, 23 Nov 2026 09:37:12 GMT \t",
            "Date: Mon, 23 Nov 2026\r\n 09:37:12 GMT",
            "Date:\r\n\tMon, 23 Nov 2026 09:37:12 GMT",
        ] {
            check(&with_fields(&[field]), |head| assert_eq!(head.date(), Ok(monday()), "{field}"));
        }
    }

    #[test]
    fn a_busy_server_asks_for_a_pause_in_seconds_or_until_a_date() {
        let asked = |status: u16, value: &'static str| {
            let date = ("Date", &b"Mon, 23 Nov 2026 09:37:12 GMT"[..]);
            let fields = [date, ("retry-after", value.as_bytes())];
            let head = ResponseHead::from_fields(status, fields).expect("a final response");
            head.retry_after().map(|wait| wait.as_secs())
        };
        assert_eq!(asked(429, "120"), Some(120));
        assert_eq!(asked(503, "Mon, 23 Nov 2026 09:38:12 GMT"), Some(60));
        assert_eq!(asked(503, "Mon, 23 Nov 2026 09:37:02 GMT"), Some(0));
        assert_eq!(asked(503, "99999999999"), Some(86_400));
        assert_eq!([asked(429, "soon"), asked(429, "-1"), asked(429, "")], [None; 3]);
        assert_eq!([asked(200, "120"), asked(301, "120"), asked(404, "120")], [None; 3]);
    }

    #[test]
    fn the_date_of_a_408_is_not_that_of_an_answer() {
        let bytes = b"HTTP/1.1 408 Request Timeout\r\nDate: Mon, 23 Nov 2026 09:37:12 GMT\r\n\r\n";
        let mut reader = ResponseReader::new();
        reader.feed(bytes);
        let head = reader.head().expect("it is a head").expect("it is whole");
        assert_eq!(head.date().map_err(|error| error.kind()), Err("malformed_head"));
    }

    #[test]
    fn a_date_that_is_not_there_or_no_date_has_its_own_error() {
        for (field, kind) in [
            ("X-Date: Mon, 23 Nov 2026 09:37:12 GMT", "no_date"),
            ("Date:", "malformed_date"),
            ("Date: 0", "malformed_date"),
            ("Date: Mon, 23 Nov 2026 09:37:12 CET", "malformed_date"),
            ("Date: Mon, 23 Nov 2026 10:37:12 +0100", "malformed_date"),
            ("Date: \u{e9}", "malformed_date"),
            ("Date: Fri, 31 Dec 9999 23:59:59 GMT", "date_out_of_range"),
        ] {
            check(&with_fields(&[field]), |head| {
                assert_eq!(head.date().map_err(|error| error.kind()), Err(kind), "{field}");
            });
        }
        check(&with_fields(&["Date: Thu, 01 Jan 1970 00:00:00 GMT"]), |head| {
            assert_eq!(head.date(), Ok(Timestamp::from_unix_nanos(0)));
        });
    }

    #[test]
    fn two_dates_are_one_if_they_name_the_same_second_and_an_error_if_not() {
        let date = "Date: Mon, 23 Nov 2026 09:37:12 GMT";
        let same = "date: Monday, 23-Nov-26 09:37:12 GMT";
        let other = "Date: Mon, 23 Nov 2026 09:37:13 GMT";
        check(&with_fields(&[date, date]), |head| assert_eq!(head.date(), Ok(monday())));
        check(&with_fields(&[date, same, date]), |head| assert_eq!(head.date(), Ok(monday())));
        for fields in [&[date, other][..], &[date, same, other], &[date, other, date]] {
            check(&with_fields(fields), |head| {
                let error = Error::ConflictingDates {
                    first: date[6..].to_owned(),
                    second: other[6..].to_owned(),
                };
                assert_eq!(head.date(), Err(error));
            });
        }
        check(&with_fields(&[date, "Date: ?"]), |head| {
            assert_eq!(head.date().map_err(|error| error.kind()), Err("conflicting_dates"));
        });
    }

    #[test]
    fn a_stamp_is_read_from_its_field_and_two_different_ones_are_a_fault() {
        let stamp = "X-HTTPSTIME: 1795426632.285965";
        let read = Stamp::parse(b"1795426632.285965");
        check(&with_fields(&[stamp]), |head| assert_eq!(head.stamp(), read.map(Some)));
        let again = "x-httpstime: 1795426632.285965";
        check(&with_fields(&[stamp, again]), |head| assert_eq!(head.stamp(), read.map(Some)));
        check(&with_fields(&[]), |head| assert_eq!(head.stamp(), Ok(None)));
        let varnish = "X-Varnish: 2";
        let rounded = read.map(|stamp| Some(stamp.rounded()));
        check(&with_fields(&[varnish, stamp]), |head| assert_eq!(head.stamp(), rounded));
        let other = "X-HTTPSTIME: 1795426632.285966";
        check(&with_fields(&[stamp, other, stamp]), |head| {
            assert_eq!(head.stamp(), Err(StampFault::Conflicting));
        });
        check(&with_fields(&["X-HTTPSTIME: now"]), |head| {
            assert_eq!(head.stamp(), Err(StampFault::Malformed));
        });
    }

    #[test]
    fn stamps_are_read_from_the_field_that_the_user_names() {
        let response = with_fields(&["X-Timer: S1795426632.285965,VS0,VE1", "X-HTTPSTIME: ?"]);
        for (name, has_stamp) in [("X-TIMER", true), ("", false)] {
            let mut reader = ResponseReader::new().with_stamp_header(name.into());
            reader.feed(&response);
            let head = reader.head().expect("well-formed").expect("whole");
            assert_eq!(head.stamp().map(|stamp| stamp.is_some()), Ok(has_stamp), "{name}");
        }
    }

    #[test]
    fn an_age_that_cannot_be_read_is_a_large_one() {
        let large = Duration::from_secs(2_147_483_648);
        for (fields, age) in [
            (&[][..], None),
            (&["Age: 0"], Some(Duration::ZERO)),
            (&["age: 17"], Some(Duration::from_secs(17))),
            (&["Age: 2147483649"], Some(large)),
            (&["Age: 99999999999999999999999"], Some(large)),
            (&["Age:"], Some(large)),
            (&["Age: -1"], Some(large)),
            (&["Age: +1"], Some(large)),
            (&["Age: 1.5"], Some(large)),
            (&["Age: 0, 0"], Some(large)),
            (&["Age: \u{663}"], Some(large)),
            (&["Age: 17", "Age: 0"], Some(Duration::from_secs(17))),
        ] {
            check(&with_fields(fields), |head| assert_eq!(head.age(), age, "{fields:?}"));
        }
    }

    #[test]
    fn a_server_is_named_by_printable_ascii_of_bounded_length() {
        let long = format!("Server: {}", "x".repeat(1000));
        for (fields, server) in [
            (&["Server: nginx", "Server: other"][..], Some("nginx")),
            (&["Server:"], None),
            (&["Server: \u{202e}xnign"], None),
            (&["Server: caf\u{e9}/1"], Some("caf")),
            (&["Server: a\r\n b"], Some("a")),
            (&["Server: a \tb"], Some("a")),
            (&[&long], Some(&long[8..136])),
        ] {
            check(&with_fields(fields), |head| assert_eq!(head.server(), server, "{fields:?}"));
        }
    }

    #[test]
    fn persistence_follows_the_version_and_the_connection_tokens() {
        for (version, fields, persistent) in [
            ("1.1", &[][..], true),
            ("1.1", &["Connection: close"], false),
            ("1.1", &["connection: Upgrade , CLOSE"], false),
            ("1.1", &["Connection: keep-alive", "Connection: close"], false),
            ("1.1", &["Connection: close", "Connection: keep-alive"], false),
            ("1.1", &["Connection: keep-alive,\r\n close"], false),
            ("1.1", &["Connection: closed, not-close"], true),
            ("1.1", &["Proxy-Connection: close"], false),
            ("1.0", &[], false),
            ("1.0", &["Connection: Keep-Alive"], true),
            ("1.0", &["Proxy-Connection: keep-alive"], true),
            ("1.0", &["Connection: keep-alive, close"], false),
            ("1.0", &["Keep-Alive: timeout=5"], false),
        ] {
            let fields = fields.iter().map(|field| format!("{field}\r\n")).collect::<String>();
            check(format!("HTTP/{version} 200 OK\r\n{fields}\r\n").as_bytes(), |head| {
                assert_eq!(head.is_persistent(), persistent, "HTTP/{version} {fields:?}");
            });
        }
    }

    #[test]
    fn bare_line_feeds_end_lines_and_heads() {
        let text = "HTTP/1.0 200\nDate: Mon, 23 Nov 2026 09:37:12 GMT\n";
        for end in ["\n", "\r\n"] {
            check(format!("{text}{end}").as_bytes(), |head| {
                assert_eq!(head.date(), Ok(monday()));
                assert_eq!(head.minor_version(), 0);
            });
        }
    }

    #[test]
    fn empty_lines_before_a_response_are_skipped() {
        check(&[b"\r\n\n\r\n", NGINX].concat(), |head| assert_eq!(head.status(), 404));
    }

    #[test]
    fn a_head_that_breaks_the_grammar_is_malformed() {
        for text in [
            &b"HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov\0 2026 09:37:12 GMT\r\n\r\n"[..],
            b"HTTP/1.1 200 O\0K\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nDate : x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n folded: first\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
            b"HTTP/1.1 20 OK\r\n\r\n",
            b"HTTP/1.1 099 Low\r\n\r\n",
            b"HTTP/1.1 200OK\r\n\r\n",
            b"HTTP/1.7 200 OK\r\n\r\n",
            b"HTTP/1.1\n\n",
        ] {
            let shown = String::from_utf8_lossy(text);
            assert_eq!(failure(text).map(|error| error.kind()), Some("malformed_head"), "{shown}");
        }
    }

    #[test]
    fn what_is_not_http_is_named_as_soon_as_it_shows() {
        for (bytes, needed, looks_like) in [
            (
                &b"\x15\x03\x01\x00\x02\x02\x28"[..],
                2,
                "looks like TLS, for which the URL must begin with https://",
            ),
            (
                b"\x16\x03\x03\x00\x7a",
                2,
                "looks like TLS, for which the URL must begin with https://",
            ),
            (b"SSH-2.0-OpenSSH_9.2\r\n", 4, "looks like SSH"),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 6, "looks like HTTP/2"),
            (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", 4, "looks like HTTP/2"),
            (b"HTTP/2 200\r\n", 6, "looks like HTTP/2"),
            (b"HTTP/3 200\r\n", 6, "does not begin with HTTP/1"),
            (b"<html>", 1, "does not begin with HTTP/1"),
            (b"http/1.1 200 OK\r\n", 1, "does not begin with HTTP/1"),
            (b"SMTP", 2, "does not begin with HTTP/1"),
            (b"\r\n\r\n220 mail", 5, "does not begin with HTTP/1"),
            (b"\rHTTP/1.1", 2, "does not begin with HTTP/1"),
        ] {
            let error = Error::NotHttp { looks_like };
            assert_eq!(failure(bytes), Some(error.clone()), "{bytes:?}");
            assert_eq!(failure(&bytes[..needed]), Some(error), "{bytes:?}");
            assert_eq!(failure(&bytes[..needed - 1]), None, "{bytes:?}");
        }
    }

    #[test]
    fn interim_responses_are_skipped_up_to_a_limit() {
        let interim = b"HTTP/1.1 100 Continue\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n";
        let upgrade = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
        check(&[interim, &upgrade[..], NGINX].concat(), |head| {
            assert_eq!(head.date(), Ok(monday()));
        });
        let most = interim.repeat(16);
        check(&[&most, NGINX].concat(), |head| assert_eq!(head.status(), 404));
        assert_eq!(failure(&most), None);
        let error = Error::EndlessInterim { limit: 16 };
        assert_eq!(failure(&[&most, &interim[..], NGINX].concat()), Some(error));
    }

    #[test]
    fn the_count_of_interim_responses_begins_again_with_each_response() {
        let response = [&b"HTTP/1.1 100 Continue\r\n\r\n".repeat(16), NGINX].concat();
        let mut reader = ResponseReader::new();
        for _ in 0..3 {
            reader.feed(&response);
            assert_eq!(reader.head().map(|head| head.is_some()), Ok(true));
        }
    }

    #[test]
    fn a_hundred_fields_are_read_and_one_more_is_refused() {
        let fields = vec!["A: b"; 99];
        check(&with_fields(&[&fields[..], &["Age: 7"]].concat()), |head| {
            assert_eq!(head.age(), Some(Duration::from_secs(7)));
        });
        let error = Error::HeadTooLarge { limit: 100, what: "header fields" };
        assert_eq!(failure(&with_fields(&[&fields[..], &["C: d"; 2]].concat())), Some(error));
    }

    #[test]
    fn a_head_of_the_largest_size_is_read_and_a_larger_one_is_refused() {
        let empty = with_fields(&["A: "]).len();
        let of_size = |size: usize| with_fields(&[&format!("A: {}", "x".repeat(size - empty))]);
        assert_eq!(of_size(MAX_HEAD_BYTES).len(), MAX_HEAD_BYTES);
        check(&of_size(MAX_HEAD_BYTES), |head| assert_eq!(head.status(), 200));
        assert_eq!(failure(&of_size(MAX_HEAD_BYTES + 1)), Some(too_large()));
    }

    #[test]
    fn interim_heads_count_towards_the_size() {
        let interim = b"HTTP/1.1 100 Continue\r\nA: ".to_vec();
        let interim = [&interim[..], &b"x".repeat(40_000), b"\r\n\r\n"].concat();
        check(&[&interim, NGINX].concat(), |head| assert_eq!(head.status(), 404));
        assert_eq!(failure(&[&interim[..], &interim, NGINX].concat()), Some(too_large()));
    }

    #[test]
    fn endless_bytes_without_an_end_are_refused_exactly_at_the_limit() {
        for filler in [&b"x"[..], b"A: b\r\n", b"A\n", b"\r\n"] {
            let start: &[u8] = if filler == b"\r\n" { b"" } else { b"HTTP/1.1 200 OK\r\nA: " };
            let mut bytes = start.iter().chain(filler.iter().cycle());
            let mut reader = ResponseReader::new();
            for _ in 1..MAX_HEAD_BYTES {
                reader.space()[0] = *bytes.next().expect("endless");
                reader.filled(1);
                assert_eq!(reader.head(), Ok(None));
            }
            reader.space()[0] = *bytes.next().expect("endless");
            reader.filled(1);
            assert_eq!(reader.head(), Err(too_large()));
        }
    }

    #[test]
    fn no_byte_is_searched_twice() {
        let mut bytes = b"HTTP/1.1 200 OK\r\nA: ".to_vec();
        bytes.resize(MAX_HEAD_BYTES - 1, b'x');
        let mut reader = ResponseReader::new();
        for (at, byte) in bytes.iter().enumerate() {
            reader.feed(&[*byte]);
            assert_eq!(reader.head(), Ok(None));
            let behind = at + 1 - reader.scan.searched;
            assert!(behind <= 2, "{behind} bytes are searched again at {at}");
        }
    }

    #[test]
    fn bytes_behind_a_head_are_leftover() {
        let mut reader = ResponseReader::new();
        reader.feed(&[NGINX, b"<html>"].concat());
        assert_eq!(reader.head().map(|head| head.map(|h| h.has_trailing_bytes())), Ok(Some(true)));
        assert!(reader.has_leftover());
        assert_eq!(reader.eof(), Error::Closed { received: 6 });
        let error = Error::NotHttp { looks_like: "does not begin with HTTP/1" };
        assert_eq!(reader.head(), Err(error));
    }

    #[test]
    fn a_body_is_skipped_in_whatever_pieces_it_comes() {
        let head = with_fields(&["Content-Length: 5"]);
        let wire = [&head, &b"HTTP/"[..], &head, b"\r\n\r\nX", NGINX].concat();
        for size in 1..=wire.len() {
            let mut reader = ResponseReader::new();
            let (mut left, mut body_length) = (0, Vec::new());
            for piece in wire.chunks(size) {
                reader.feed(piece);
                loop {
                    left = reader.skip(left);
                    if left > 0 {
                        break;
                    }
                    let Some((head, rest)) = reader.next_response(true).expect("well-formed")
                    else {
                        break;
                    };
                    body_length.push(head.body);
                    left = rest.expect("a length");
                }
            }
            assert_eq!(body_length, [Some(5), Some(5), Some(153)], "in pieces of {size}");
            assert_eq!((left, reader.has_leftover()), (153, false));
        }
    }

    #[test]
    fn the_length_of_a_body_is_known_or_not() {
        for (status, fields, length) in [
            ("200 OK", &["Content-Length: 5"][..], Some(5)),
            ("200 OK", &["content-length: 5", "Content-Length: 5"], Some(5)),
            ("204 No Content", &[], Some(0)),
            ("304 Not Modified", &["Content-Length: 5"], Some(0)),
            ("200 OK", &[], None),
            ("200 OK", &["Transfer-Encoding: chunked"], None),
            ("200 OK", &["Transfer-Encoding: chunked", "Content-Length: 5"], None),
            ("200 OK", &["Content-Length: 5", "Transfer-Encoding: gzip"], None),
            ("200 OK", &["Content-Length: 5", "Content-Length: 6"], None),
            ("200 OK", &["Content-Length: 5, 5"], None),
            ("200 OK", &["Content-Length: -5"], None),
            ("200 OK", &["Content-Length: 99999999999999999999"], None),
        ] {
            let head = String::from_utf8(with_fields(fields)).expect("text");
            check(head.replace("200 OK", status).as_bytes(), |head| {
                assert_eq!(head.body, length, "{status} {fields:?}");
            });
        }
    }

    #[test]
    fn a_second_response_can_be_read_after_the_first() {
        for room_between in [false, true] {
            let mut reader = ResponseReader::new();
            reader.feed(&[NGINX, APACHE].concat());
            assert_eq!(reader.head().map(|head| head.map(|h| h.status())), Ok(Some(404)));
            assert!(reader.has_leftover());
            if room_between {
                assert!(!reader.space().is_empty());
            }
            assert_eq!(reader.head().map(|head| head.map(|h| h.status())), Ok(Some(200)));
            assert!(!reader.has_leftover());
            assert_eq!(reader.head(), Ok(None));
            assert_eq!(reader.eof(), Error::Closed { received: 0 });
        }
    }

    #[test]
    fn an_error_stays_until_the_reader_is_cleared_and_keeps_no_bytes() {
        let mut reader = ResponseReader::new();
        reader.feed(b"<html>");
        let error = Err(Error::NotHttp { looks_like: "does not begin with HTTP/1" });
        assert_eq!(reader.head(), error);
        for _ in 0..1000 {
            reader.feed(NGINX);
            assert_eq!(reader.head(), error);
        }
        assert_eq!(reader.buffer.len(), INITIAL_BUFFER_BYTES);
        reader.clear();
        assert!(!reader.has_leftover());
        reader.feed(NGINX);
        assert_eq!(reader.head().map(|head| head.is_some()), Ok(true));
    }

    #[test]
    fn the_buffer_stays_the_same_over_many_responses() {
        let mut reader = ResponseReader::new();
        let buffer = reader.buffer.as_ptr();
        for _ in 0..1000 {
            for piece in NGINX.chunks(100) {
                reader.space()[..piece.len()].copy_from_slice(piece);
                reader.filled(piece.len());
            }
            assert_eq!(reader.head().map(|head| head.is_some()), Ok(true));
        }
        assert_eq!((reader.buffer.as_ptr(), reader.buffer.len()), (buffer, INITIAL_BUFFER_BYTES));
    }

    #[test]
    fn more_filled_than_there_is_space_for_is_cut() {
        let mut reader = ResponseReader::new();
        reader.filled(usize::MAX);
        assert_eq!(reader.eof(), Error::Closed { received: INITIAL_BUFFER_BYTES });
    }

    #[test]
    fn mangled_responses_never_panic_and_give_the_same_in_pieces() {
        let mut random = Lcg(20_261_123);
        let interim = &b"HTTP/1.1 100 Continue\r\n\r\n"[..];
        let mut heads = 0;
        let mut errors = 0;
        for _ in 0..5_000 {
            let mut bytes = [interim, NGINX, b"\r\n", APACHE, NGINX].concat();
            for _ in 0..random.below(6) {
                let at = random.below(bytes.len());
                match random.below(4) {
                    0 => bytes[at] = random.byte(),
                    1 => bytes.insert(at, random.byte()),
                    2 => bytes.truncate(at + 1),
                    _ => drop(bytes.drain(at..(at + random.below(30)).min(bytes.len()))),
                }
                if bytes.is_empty() {
                    bytes.push(random.byte());
                }
            }
            assert_same_in_pieces(&bytes, &mut random, &mut heads, &mut errors);
        }
        // With fewer the comparison would prove nothing.
        assert!(heads > 5_000 && errors > 1_000, "{heads} heads, {errors} errors");
    }

    #[test]
    fn random_bytes_never_panic_and_give_the_same_in_pieces() {
        let mut random = Lcg(38);
        let mut counts = (0, 0);
        for _ in 0..5_000 {
            // Few different bytes, so that line ends and prefixes occur.
            let starts: [&[u8]; 4] = [b"", b"HTTP/1.", b"HTTP/1.1 200 \r\n", b"HTTP/1.1 199\n"];
            let mut bytes = starts[random.below(4)].to_vec();
            let alphabet = b"\r\n\n\r: \tAHTP/1.02-SS\0\x03\x04\x16\xff,";
            for _ in 0..random.below(120) {
                bytes.push(alphabet[random.below(alphabet.len())]);
            }
            assert_same_in_pieces(&bytes, &mut random, &mut counts.0, &mut counts.1);
        }
        assert!(counts.0 > 100 && counts.1 > 1_000, "{counts:?}");
    }

    fn assert_same_in_pieces(
        bytes: &[u8],
        random: &mut Lcg,
        heads: &mut usize,
        errors: &mut usize,
    ) {
        let mut whole = ResponseReader::new();
        let mut expected = Vec::new();
        whole.feed(bytes);
        drain(&mut whole, &mut expected);
        let mut pieces = ResponseReader::new();
        let mut seen = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + random.below(rest.len().min(40)));
            pieces.feed(piece);
            drain(&mut pieces, &mut seen);
            rest = after;
        }
        seen.dedup_by(|later, earlier| later.starts_with("Err") && later == earlier);
        assert_eq!(seen, expected, "{:?}", String::from_utf8_lossy(bytes));
        *heads += expected.iter().filter(|shown| shown.starts_with("Ok")).count();
        *errors += expected.iter().filter(|shown| shown.starts_with("Err")).count();
    }

    /// Reads all available heads.
    fn drain(reader: &mut ResponseReader, seen: &mut Vec<String>) {
        loop {
            match reader.head() {
                Ok(None) => break,
                Ok(Some(head)) => {
                    let single = ResponseHead { has_trailing_bytes: false, ..head };
                    seen.push(format!("Ok {single:?} {:?}", head.date()));
                }
                Err(error) => {
                    seen.push(format!("Err {error}"));
                    break;
                }
            }
        }
    }

    /// Reads one response and checks it.
    fn check(response: &[u8], look: impl FnOnce(ResponseHead<'_>)) {
        let mut reader = ResponseReader::new();
        reader.feed(response);
        let head = reader.head().expect("well-formed").expect("whole");
        assert!(!head.has_trailing_bytes());
        look(head);
        assert!(!reader.has_leftover());
    }

    /// The error that the bytes cause, which is the same at once and byte by byte.
    fn failure(bytes: &[u8]) -> Option<Error> {
        let mut reader = ResponseReader::new();
        reader.feed(bytes);
        let at_once = reader.head().err();
        reader.clear();
        let bytewise = bytes.iter().find_map(|byte| {
            reader.feed(&[*byte]);
            reader.head().err()
        });
        assert_eq!(bytewise, at_once);
        at_once
    }

    fn with_fields(fields: &[&str]) -> Vec<u8> {
        format!("HTTP/1.1 200 OK\r\n{}\r\n\r\n", fields.join("\r\n"))
            .replace("OK\r\n\r\n\r\n", "OK\r\n\r\n")
            .into_bytes()
    }

    fn too_large() -> Error {
        Error::HeadTooLarge { limit: MAX_HEAD_BYTES, what: "bytes" }
    }

    /// Mon, 23 Nov 2026 09:37:12 GMT.
    fn monday() -> Timestamp {
        Timestamp::from_unix_seconds(1_795_426_632).expect("within the range")
    }

    /// Knuth's MMIX generator: good enough for mangling bytes.
    struct Lcg(u64);

    impl Lcg {
        fn byte(&mut self) -> u8 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            self.0.to_be_bytes()[0]
        }

        fn below(&mut self, limit: usize) -> usize {
            (usize::from(self.byte()) << 8 | usize::from(self.byte())) % limit
        }
    }
}
