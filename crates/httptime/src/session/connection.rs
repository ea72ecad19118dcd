use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::layer::{Layer, Nested, Plain};
use super::security::PeerSecurities;
use super::target::{Target, credentials_refused};
use super::times::{Arrival, Times};
use crate::error::{Error, Phase};
use crate::http::{REQUEST_TIMEOUT, ResponseHead, ResponseReader};
use crate::method::Method;
use crate::time::LocalInstant;
use crate::tls::Peer;

/// One connection to a server, which is opened and closed as often as needed. At most one request
/// is in flight on it.
pub(super) struct Connection {
    state: State,
    layer: Box<dyn Layer>,
    /// The tunnel that the proxy must still open.
    tunnel: Option<Tunnel>,
    /// Whether the layer opens a tunnel by itself: a SOCKS5 proxy.
    is_socks: bool,
    reader: ResponseReader,
    /// Bytes to send; those before `written` have been written.
    wire: Vec<u8>,
    written: usize,
    /// The socket accepted no more bytes; waits for [`writable`](Self::writable).
    is_blocked: bool,
    /// The driver must still close its socket.
    is_to_close: bool,
    /// The output ends with a request that has not started to leave.
    has_request: bool,
    plaintext: Vec<u8>,
    address: SocketAddr,
    /// The error of an address that was tried before the present one.
    failure: Option<Error>,
    /// Opened for checks.
    is_for_checks: bool,
    /// The time at which it began to open.
    opening_began: LocalInstant,
    /// The time at which it became ready.
    ready_at: LocalInstant,
    /// The time at which the latest request was added to the output.
    requested_at: LocalInstant,
    /// Its method.
    method: Method,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    /// The driver must connect.
    Pending(Opening),
    Connecting(Opening),
    Tunnelling(Opening),
    Handshaking(Opening),
    Ready {
        is_fresh: bool,
    },
    Busy {
        sent: LocalInstant,
        is_fresh: bool,
        is_whole: bool,
    },
    /// The head of a response was used, and this number of bytes of its body is missing.
    Draining {
        since: LocalInstant,
        left: u64,
    },
}

/// A tunnel through the proxy.
struct Tunnel {
    /// The request for it. `None`: the layer has opened it.
    connect: Option<Vec<u8>>,
    /// The layer inside it. `None`: plain HTTP.
    layer: Option<Box<dyn Layer>>,
}

/// The opening of a connection: every address is tried in turn under one deadline.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening {
    pub(super) begun: LocalInstant,
    pub(super) deadline: LocalInstant,
    /// When to give up on the present address.
    pub(super) attempt: LocalInstant,
    /// The index of the present address.
    pub(super) index: usize,
    /// The number of tried addresses, including the present one.
    pub(super) tried: usize,
}

/// The outcome of an event on a connection.
#[derive(Debug)]
pub(super) enum Outcome {
    Nothing,
    /// The connection is ready for a request. Opening it took this long, with the address of this
    /// index.
    Opened {
        index: usize,
        took: Duration,
    },
    /// The present address does not answer.
    NoConnection {
        opening: Opening,
        error: Error,
    },
    /// The connection was open, but is unusable.
    Unusable(Error),
    /// It was closed while no request was in flight, after a response or before its first request.
    Dropped {
        was_used: bool,
    },
    /// A connection that had been used was closed before a byte of the response: the server had
    /// already closed it.
    Stale,
    /// A new connection was closed after a complete request of this method, before a byte of the
    /// response.
    Unanswered {
        method: Method,
        error: Error,
    },
    /// There will be no response to the request in flight.
    Lost(Error),
}

/// The outcome of received bytes.
#[derive(Debug)]
pub(super) enum ReceiveOutcome<'a> {
    /// The head of the response to a request of this method. `is_first`: it is the first response
    /// on this connection. `is_kept`: the connection can carry the next request once the body has
    /// been received.
    Answered {
        method: Method,
        times: Times,
        head: ResponseHead<'a>,
        is_first: bool,
        is_persistent: bool,
    },
    Other(Outcome),
}

impl From<Outcome> for ReceiveOutcome<'_> {
    fn from(outcome: Outcome) -> Self {
        Self::Other(outcome)
    }
}

impl fmt::Debug for Connection {
    /// Without the bytes: they may contain a proxy's password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, address, .. } = self;
        f.debug_struct("Connection")
            .field("state", state)
            .field("address", address)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// `stamp_header`: see [`ResponseReader::with_stamp_header`].
    pub(super) fn new(stamp_header: Arc<str>) -> Self {
        Self {
            state: State::Closed,
            layer: Box::new(Plain),
            tunnel: None,
            is_socks: false,
            reader: ResponseReader::new().with_stamp_header(stamp_header),
            wire: Vec::with_capacity(BUFFER_BYTES),
            written: 0,
            is_blocked: false,
            is_to_close: false,
            has_request: false,
            plaintext: Vec::with_capacity(BUFFER_BYTES),
            failure: None,
            is_for_checks: false,
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            opening_began: LocalInstant::from_nanos(0),
            ready_at: LocalInstant::from_nanos(0),
            requested_at: LocalInstant::from_nanos(0),
            method: Method::Head,
        }
    }

    pub(super) const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    pub(super) const fn is_opening(&self) -> bool {
        matches!(
            self.state,
            State::Pending(_) | State::Connecting(_) | State::Tunnelling(_) | State::Handshaking(_)
        )
    }

    /// Whether it is ready for a request. Not while bytes of the layer wait to be written: they are
    /// not part of the exchange.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready { .. }) && !self.has_request && !self.has_unsent()
    }

    /// Whether it was opened for checks.
    pub(super) const fn is_for_checks(&self) -> bool {
        self.is_for_checks
    }

    /// Whether it is ready for its first request.
    pub(super) fn is_fresh(&self) -> bool {
        matches!(self.state, State::Ready { is_fresh: true }) && self.is_ready()
    }

    /// Whether it is ready for a request, and is not reserved for checks.
    pub(super) fn is_ready_for_any(&self) -> bool {
        self.is_ready() && !self.is_for_checks
    }

    /// Whether it is open and has carried requests.
    pub(super) const fn is_used(&self) -> bool {
        match self.state {
            State::Ready { is_fresh } | State::Busy { is_fresh, .. } => !is_fresh,
            State::Draining { .. } => true,
            _ => false,
        }
    }

    /// The time at which it began to open.
    pub(super) const fn opening_began(&self) -> LocalInstant {
        self.opening_began
    }

    /// The time at which it became ready.
    pub(super) const fn ready_at(&self) -> LocalInstant {
        self.ready_at
    }

    /// Whether it has a request that has not started to leave.
    pub(super) const fn has_request(&self) -> bool {
        self.has_request
    }

    pub(super) const fn is_busy(&self) -> bool {
        matches!(self.state, State::Busy { .. })
    }

    /// The start of the opening, while it is opening.
    pub(super) const fn opening_since(&self) -> Option<LocalInstant> {
        match self.state {
            State::Pending(opening)
            | State::Connecting(opening)
            | State::Tunnelling(opening)
            | State::Handshaking(opening) => Some(opening.begun),
            _ => None,
        }
    }

    /// The phase that it waits in; `None` if it does not wait.
    pub(super) fn phase(&self) -> Option<Phase> {
        match self.state {
            State::Ready { .. } if self.has_request => Some(Phase::Send),
            State::Closed | State::Ready { .. } | State::Draining { .. } => None,
            State::Pending(_) | State::Connecting(_) => Some(Phase::Connect),
            State::Tunnelling(_) => Some(Phase::Tunnel),
            State::Handshaking(_) if self.is_socks => Some(Phase::Tunnel),
            State::Handshaking(_) => Some(Phase::Handshake),
            State::Busy { .. } if self.has_unsent() => Some(Phase::Send),
            State::Busy { .. } => Some(Phase::Response),
        }
    }

    /// When to call [`expired`](Self::expired).
    pub(super) fn deadline(&self, timeout: Duration) -> Option<LocalInstant> {
        match self.state {
            State::Ready { .. } if self.has_request => {
                Some(self.requested_at.saturating_add(timeout))
            }
            State::Closed | State::Ready { .. } | State::Pending(_) => None,
            State::Connecting(opening) => Some(opening.attempt),
            State::Tunnelling(opening) | State::Handshaking(opening) => Some(opening.deadline),
            State::Busy { sent: since, .. } | State::Draining { since, .. } => {
                Some(since.saturating_add(timeout))
            }
        }
    }

    /// Whether the driver must close its socket. Returns true once.
    pub(super) fn take_close_request(&mut self) -> bool {
        std::mem::take(&mut self.is_to_close)
    }

    /// Whether there are bytes that the driver can write now.
    pub(super) fn has_output(&self) -> bool {
        !self.is_blocked && self.has_unsent()
    }

    /// Whether there are bytes that the driver can write only when the socket is writable.
    pub(super) fn is_waiting_to_write(&self) -> bool {
        self.is_blocked && self.has_unsent()
    }

    fn has_unsent(&self) -> bool {
        self.written < self.wire.len()
    }

    /// The bytes to write.
    pub(super) fn output(&self) -> &[u8] {
        &self.wire[self.written..]
    }

    pub(super) fn writable(&mut self) {
        self.is_blocked = false;
    }

    /// Makes the driver connect: see [`connect`](Self::connect).
    pub(super) fn begin(&mut self, opening: Opening) {
        self.close();
        self.is_for_checks = false;
        self.state = State::Pending(opening);
    }

    /// As [`begin`](Self::begin), for a check.
    pub(super) fn begin_for_check(&mut self, opening: Opening) {
        self.begin(opening);
        self.is_for_checks = true;
    }

    /// Whether the driver must connect.
    pub(super) const fn is_pending(&self) -> bool {
        matches!(self.state, State::Pending(_))
    }

    /// The driver starts to connect to one of `addresses`, which is returned. `began`: the time,
    /// which also identifies the connection.
    pub(super) fn connect(
        &mut self,
        addresses: &[SocketAddr],
        began: LocalInstant,
        now: LocalInstant,
    ) -> SocketAddr {
        if let State::Pending(mut opening) = self.state {
            // The remaining addresses share the remaining time.
            let left = (addresses.len() + 1).saturating_sub(opening.tried.max(1)).max(1);
            let share =
                opening.deadline.saturating_since(now) / u32::try_from(left).unwrap_or(u32::MAX);
            opening.attempt = now.saturating_add(share);
            self.address = addresses[opening.index % addresses.len()];
            self.opening_began = began;
            self.state = State::Connecting(opening);
        }
        self.address
    }

    /// The address of the connection, or of the last one.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Records that an address failed. The latest failure counts, except that "no route" does not
    /// replace the failure of an address that was reached.
    pub(super) fn note_failure(&mut self, error: Error) {
        if self.failure.is_none() || !is_unreachable(&error) {
            self.failure = Some(error);
        }
    }

    /// The reason why no address answered.
    pub(super) fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    /// Makes the driver close the socket, if there is one.
    pub(super) fn close(&mut self) {
        self.is_to_close |= !matches!(self.state, State::Closed | State::Pending(_));
        self.reset();
    }

    fn reset(&mut self) {
        self.state = State::Closed;
        self.tunnel = None;
        self.reader.clear();
        self.wire.clear();
        self.plaintext.clear();
        self.written = 0;
        self.is_blocked = false;
        self.has_request = false;
    }

    /// Adds a request of this method to the output of a ready connection.
    pub(super) fn request(
        &mut self,
        target: &Target,
        method: Method,
        now: LocalInstant,
    ) -> Result<(), Error> {
        if !self.has_unsent() {
            self.clear_buffers();
        }
        self.requested_at = now;
        self.has_request = true;
        self.method = method;
        self.layer.send(target.request(method), &mut self.wire)
    }

    fn clear_buffers(&mut self) {
        self.wire.clear();
        self.written = 0;
    }

    /// The TCP connection is open.
    pub(super) fn opened(
        &mut self,
        target: &Target,
        security: &mut PeerSecurities,
        now: LocalInstant,
    ) -> Outcome {
        let State::Connecting(opening) = self.state else { return Outcome::Nothing };
        match secured(target, security, now) {
            Ok((layer, tunnel)) => (self.layer, self.tunnel) = (layer, tunnel),
            Err(error) => return self.unusable(error),
        }
        self.is_socks = target.hop().is_socks();
        self.start_handshake(opening, now)
    }

    /// The path to the proxy or server is open, and no response is pending on it.
    fn start_handshake(&mut self, opening: Opening, now: LocalInstant) -> Outcome {
        self.clear_buffers();
        self.state = State::Handshaking(opening);
        if let Err(error) = self.layer.start(&mut self.wire) {
            return self.unusable(error);
        }
        self.advance_handshake(opening, now)
    }

    fn advance_handshake(&mut self, opening: Opening, now: LocalInstant) -> Outcome {
        if !self.layer.is_open() || self.has_unsent() {
            return Outcome::Nothing;
        }
        self.is_socks = false;
        match &self.tunnel {
            Some(Tunnel { connect: Some(connect), .. }) => {
                self.wire.clear();
                self.written = 0;
                self.state = State::Tunnelling(opening);
                return match self.layer.send(connect, &mut self.wire) {
                    Ok(()) => Outcome::Nothing,
                    Err(error) => self.unusable(error),
                };
            }
            Some(_) => return self.enter_tunnel(opening, now),
            None => {}
        }
        self.state = State::Ready { is_fresh: true };
        self.ready_at = now;
        Outcome::Opened { index: opening.index, took: now.saturating_since(opening.begun) }
    }

    /// The tunnel leads to the server: what comes now is for the server.
    fn enter_tunnel(&mut self, opening: Opening, now: LocalInstant) -> Outcome {
        if let Some(inner) = self.tunnel.take().and_then(|tunnel| tunnel.layer) {
            let outer = std::mem::replace(&mut self.layer, Box::new(Plain));
            self.layer = Box::new(Nested::new(outer, inner));
            return self.start_handshake(opening, now);
        }
        self.advance_handshake(opening, now)
    }

    fn unusable(&mut self, error: Error) -> Outcome {
        self.close();
        Outcome::Unusable(error)
    }

    /// `count` bytes of the output were written; the write started at `at`. Returns whether a
    /// request started with them.
    pub(super) fn sent(&mut self, count: usize, at: LocalInstant) -> (bool, Outcome) {
        self.written = self.written.saturating_add(count).min(self.wire.len());
        self.is_blocked = self.has_unsent();
        match &mut self.state {
            State::Ready { is_fresh } if self.has_request && count > 0 => {
                let is_fresh = *is_fresh;
                self.has_request = false;
                let is_whole = !self.is_blocked;
                self.state = State::Busy { sent: at, is_fresh, is_whole };
                return (true, Outcome::Nothing);
            }
            State::Busy { is_whole, .. } => *is_whole = false,
            State::Handshaking(opening) => {
                let opening = *opening;
                return (false, self.advance_handshake(opening, at));
            }
            _ => {}
        }
        (false, Outcome::Nothing)
    }

    /// Bytes were received. `has_success`: whether any response has been used.
    pub(super) fn received(
        &mut self,
        bytes: &[u8],
        has_success: bool,
        arrival: Arrival,
    ) -> ReceiveOutcome<'_> {
        match self.state {
            State::Closed | State::Pending(_) | State::Connecting(_) => {
                return Outcome::Nothing.into();
            }
            _ => {}
        }
        self.plaintext.clear();
        if let Err(error) = self.layer.receive(bytes, &mut self.plaintext, &mut self.wire) {
            return self.broken(error).into();
        }
        self.reader.feed(&self.plaintext);
        if self.layer.has_ended() && !self.has_response_bytes() {
            let outcome = self.closed(None, has_success, arrival.at);
            self.is_to_close = true;
            return outcome.into();
        }
        if self.plaintext.is_empty() {
            return match self.state {
                State::Handshaking(opening) => self.advance_handshake(opening, arrival.at).into(),
                _ => Outcome::Nothing.into(),
            };
        }
        match self.state {
            State::Tunnelling(opening) => self.open_tunnel(opening, arrival.at).into(),
            // Read before the request was written, but reported after it: the driver's reports are
            // delayed.
            State::Busy { sent, .. } if arrival.at < sent => {
                self.close();
                Outcome::Lost(Error::MalformedHead { reason: UNSOLICITED }).into()
            }
            State::Busy { sent, is_fresh, is_whole } => {
                self.answer(sent, is_fresh, is_whole, arrival)
            }
            State::Draining { since, left } => {
                let left = self.reader.skip(left);
                if self.reader.has_leftover() {
                    self.close();
                    return Outcome::Dropped { was_used: true }.into();
                }
                self.state = match left {
                    0 => State::Ready { is_fresh: false },
                    left => State::Draining { since, left },
                };
                self.ready_at = arrival.at;
                Outcome::Nothing.into()
            }
            State::Ready { is_fresh: false } => {
                self.close();
                Outcome::Dropped { was_used: true }.into()
            }
            _ => {
                let is_rejected = self.is_rejected(has_success, arrival.at);
                let error = match self.reader.head() {
                    Err(error) => error,
                    // The server states why it closes the connection.
                    Ok(Some(head)) if head.status() == REQUEST_TIMEOUT => {
                        self.close();
                        return match is_rejected {
                            true => Outcome::Unusable(Error::Closed { received: 0 }).into(),
                            false => Outcome::Dropped { was_used: false }.into(),
                        };
                    }
                    Ok(_) => Error::MalformedHead { reason: UNSOLICITED },
                };
                self.unusable(error).into()
            }
        }
    }

    /// Whether bytes of the response to the request in flight were received.
    const fn has_response_bytes(&self) -> bool {
        self.is_busy() && self.reader.has_leftover()
    }

    /// The connection cannot continue, in any state.
    fn broken(&mut self, error: Error) -> Outcome {
        let is_busy = self.is_busy();
        self.close();
        if is_busy { Outcome::Lost(error) } else { Outcome::Unusable(error) }
    }

    /// Handles what the proxy answers to the request for a tunnel.
    fn open_tunnel(&mut self, opening: Opening, now: LocalInstant) -> Outcome {
        let is_unsent = self.has_unsent();
        let error = match self.reader.head() {
            Ok(None) => return Outcome::Nothing,
            Ok(Some(head)) => match head.status() {
                // No tunnel was requested yet, so this response opened none.
                200..=299 if is_unsent || head.has_trailing_bytes() => {
                    Error::MalformedHead { reason: UNSOLICITED }
                }
                200..=299 => {
                    self.reader.clear();
                    return self.enter_tunnel(opening, now);
                }
                407 => credentials_refused(&head),
                status => Error::ProxyRefused { status },
            },
            Err(error) => error,
        };
        self.unusable(error)
    }

    fn answer(
        &mut self,
        sent: LocalInstant,
        is_first: bool,
        is_whole: bool,
        mut arrival: Arrival,
    ) -> ReceiveOutcome<'_> {
        let is_unsent = self.has_unsent();
        let method = self.method;
        // The other end sends nothing more.
        let ended = self.layer.has_ended().then(|| self.reader.eof());
        let (head, left) = match self.reader.next_response(method.has_body()) {
            Ok(None) if ended.is_none() => return Outcome::Nothing.into(),
            Ok(Some((head, left))) if head.status() != REQUEST_TIMEOUT => (head, left),
            // Only fields that the head does not borrow: the next connection clears the reader.
            refused => {
                self.state = State::Closed;
                self.is_to_close = true;
                self.wire.clear();
                self.written = 0;
                let error = match refused {
                    Err(error) => Some(error),
                    // The response and the request crossed: the server had timed out.
                    Ok(head) => head.and_then(|(head, _)| head.date().err()),
                };
                let closed = ended.unwrap_or(Error::Closed { received: 0 });
                return Outcome::Lost(error.unwrap_or(closed)).into();
            }
        };
        // The request took several writes or is not completely written: the kernel timestamp is not
        // that of its first byte.
        if let Some(kernel) = arrival.kernel.as_mut().filter(|_| !is_whole || is_unsent) {
            kernel.departed = None;
        }
        // Bytes after the head are a body that HEAD forbids, or more than the body. They must not
        // be read as the next response.
        let is_clean =
            head.is_persistent() && !head.has_trailing_bytes() && !is_unsent && ended.is_none();
        // Reading more of a body would cost more than another connection.
        let left = left.filter(|left| is_clean && *left <= MAX_BODY_BYTES);
        self.state = match left {
            Some(0) => State::Ready { is_fresh: false },
            Some(left) => State::Draining { since: arrival.at, left },
            None => State::Closed,
        };
        self.ready_at = arrival.at;
        if left.is_none() {
            self.is_to_close = true;
            self.wire.clear();
            self.written = 0;
        }
        let times = Times::new(sent, arrival);
        ReceiveOutcome::Answered { method, times, head, is_first, is_persistent: left.is_some() }
    }

    /// The other end closed the connection, or it broke (`error`). The driver has closed the
    /// socket.
    pub(super) fn closed(
        &mut self,
        error: Option<io::Error>,
        has_success: bool,
        now: LocalInstant,
    ) -> Outcome {
        let phase = self.phase();
        let is_rejected = self.is_rejected(has_success, now);
        let received = self.reader.eof();
        let cut_off = self.layer.cut_off();
        let is_untouched = matches!(received, Error::Closed { received: 0 }) && cut_off.is_none();
        let state = self.state;
        // The driver has closed the socket and has not opened another one.
        self.is_to_close = false;
        if matches!(state, State::Closed | State::Pending(_)) {
            return Outcome::Nothing;
        }
        self.reset();
        if let State::Connecting(opening) = state {
            let source = error.unwrap_or_else(|| ErrorKind::NotConnected.into()).into();
            let error = Error::Connect { address: self.address, source };
            return Outcome::NoConnection { opening, error };
        }
        let reason = |phase| match error {
            Some(source) => Error::Io { phase, source: source.into() },
            None => cut_off.unwrap_or(received),
        };
        match state {
            State::Closed | State::Pending(_) | State::Connecting(_) => Outcome::Nothing,
            State::Tunnelling(_) => Outcome::Unusable(reason(Phase::Tunnel)),
            State::Handshaking(_) => Outcome::Unusable(reason(Phase::Handshake)),
            State::Ready { .. } if is_rejected => Outcome::Unusable(reason(Phase::Connect)),
            State::Ready { is_fresh } => Outcome::Dropped { was_used: !is_fresh },
            State::Draining { .. } => Outcome::Dropped { was_used: true },
            State::Busy { is_fresh: false, .. } if is_untouched => Outcome::Stale,
            State::Busy { .. } if is_untouched && phase == Some(Phase::Response) => {
                Outcome::Unanswered { method: self.method, error: reason(Phase::Response) }
            }
            State::Busy { .. } => Outcome::Lost(reason(phase.unwrap_or(Phase::Response))),
        }
    }

    /// Whether a server that closes the connection now rejects clients. A server that closes an
    /// idle connection does not.
    fn is_rejected(&self, has_success: bool, now: LocalInstant) -> bool {
        matches!(self.state, State::Ready { is_fresh: true })
            && (!has_success || now.saturating_since(self.ready_at) < MIN_IDLE)
    }

    /// Its [`deadline`](Self::deadline) has passed.
    pub(super) fn expired(&mut self, now: LocalInstant) -> Outcome {
        let phase = self.phase().unwrap_or(Phase::Response);
        let state = self.state;
        let timeout = |since| Error::Timeout { phase, after: now.saturating_since(since) };
        match state {
            State::Ready { .. } if self.has_request => self.unusable(timeout(self.requested_at)),
            State::Closed | State::Ready { .. } | State::Pending(_) => Outcome::Nothing,
            State::Connecting(opening) => {
                self.close();
                Outcome::NoConnection { opening, error: timeout(opening.begun) }
            }
            State::Tunnelling(opening) | State::Handshaking(opening) => {
                self.unusable(timeout(opening.begun))
            }
            State::Busy { sent, .. } => {
                self.close();
                Outcome::Lost(timeout(sent))
            }
            State::Draining { .. } => {
                self.close();
                Outcome::Dropped { was_used: true }
            }
        }
    }
}

/// The layer of a new connection, and the tunnel that it needs.
fn secured(
    target: &Target,
    security: &mut PeerSecurities,
    now: LocalInstant,
) -> Result<(Box<dyn Layer>, Option<Tunnel>), Error> {
    let socks = target.socks()?;
    let connect = target.connect().map(<[u8]>::to_vec);
    let has_tunnel = socks.is_some() || connect.is_some();
    let layer: Box<dyn Layer> = match socks {
        Some(socks) => Box::new(socks),
        None => security.layer(target.hop_peer(), now)?,
    };
    if !has_tunnel {
        return Ok((layer, None));
    }
    let inner = target.url().is_https().then(|| security.layer(Peer::Server, now)).transpose()?;
    Ok((layer, Some(Tunnel { connect, layer: inner })))
}

/// Whether a connection failed without an attempt: there is no route, or the system does not permit
/// it.
fn is_unreachable(error: &Error) -> bool {
    matches!(error, Error::Connect { source, .. } if matches!(
        source.kind(),
        ErrorKind::NetworkUnreachable
            | ErrorKind::HostUnreachable
            | ErrorKind::AddrNotAvailable
            | ErrorKind::PermissionDenied
            | ErrorKind::Unsupported
    ))
}

/// The longest body that is read to keep a connection, in bytes.
const MAX_BODY_BYTES: u64 = 64 * 1024;
const UNSOLICITED: &str = "it began before the request was sent";
/// The size of a request, and of most responses.
const BUFFER_BYTES: usize = 4096;
/// A new connection that stays open for this long without a request was not rejected.
const MIN_IDLE: Duration = Duration::from_secs(1);
