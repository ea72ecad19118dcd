//! The TLS of one connection.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use httptime::session::Layer;
use httptime::{Error, Peer, TlsFault};
use rustls::client::{ResolvesClientCert, UnbufferedClientConnection};
use rustls::sign::CertifiedKey;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedStatus, WriteTraffic,
};
use rustls::{ProtocolVersion, SignatureScheme, client::ClientConnectionData};

use crate::accepted::Accepted;
use crate::fault::{Situation, fault_of};

/// TLS on one connection.
pub(crate) struct TlsLayer {
    connection: UnbufferedClientConnection,
    peer: Peer,
    identity: Arc<Identity>,
    accepted: Arc<Accepted>,
    /// Received bytes that are not processed: the beginning of a record or message.
    incoming: Vec<u8>,
    /// Whether anything that looks like TLS was received.
    is_tls: bool,
    is_open: bool,
    has_ended: bool,
}

/// The certificate with which this machine identifies itself, if there is one.
#[derive(Debug)]
pub(crate) struct Identity {
    key: Option<Arc<CertifiedKey>>,
    /// The peer asked for a certificate.
    is_requested: AtomicBool,
}

impl Identity {
    pub(crate) const fn new(key: Option<Arc<CertifiedKey>>) -> Self {
        Self { key, is_requested: AtomicBool::new(false) }
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.is_requested.store(true, Ordering::Relaxed);
        self.key.clone()
    }

    /// Always, so that [`resolve`](Self::resolve) is called.
    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for TlsLayer {
    /// Without the bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, is_open, .. } = self;
        f.debug_struct("TlsLayer")
            .field("peer", peer)
            .field("is_open", is_open)
            .finish_non_exhaustive()
    }
}

impl TlsLayer {
    pub(crate) const fn new(
        connection: UnbufferedClientConnection,
        peer: Peer,
        identity: Arc<Identity>,
        accepted: Arc<Accepted>,
    ) -> Self {
        Self {
            connection,
            peer,
            identity,
            accepted,
            incoming: Vec::new(),
            is_tls: false,
            is_open: false,
            has_ended: false,
        }
    }

    const fn error(&self, fault: TlsFault) -> Error {
        Error::Tls { peer: self.peer, fault }
    }

    /// rustls's error as a fault of the peer.
    fn refusal(&self, error: &rustls::Error) -> Error {
        let is_tls12 = self.connection.protocol_version() == Some(ProtocolVersion::TLSv1_2);
        let situation = Situation {
            is_requested: self.identity.is_requested.load(Ordering::Relaxed),
            is_given: self.identity.key.is_some(),
            is_renegotiation: self.is_open && is_tls12,
        };
        self.error(fault_of(error, situation))
    }

    /// Processes what was received. Returns once more bytes are needed.
    fn advance(&mut self, plaintext: &mut Vec<u8>, wire: &mut Vec<u8>) -> Result<(), Error> {
        loop {
            let UnbufferedStatus { mut discard, state, .. } =
                self.connection.process_tls_records(&mut self.incoming);
            let step = match state {
                Ok(state) => take_step(state, plaintext, wire, &mut discard),
                Err(error) => Err(error),
            };
            let step = step.map_err(|error| self.refusal(&error))?;
            self.incoming.drain(..discard);
            match step {
                Step::Again => {}
                Step::Ended => self.has_ended = true,
                Step::NeedsBytes { is_open } => {
                    if is_open && !self.is_open {
                        self.is_open = true;
                        self.remember_chain()?;
                    }
                    return Ok(());
                }
            }
        }
    }

    /// The handshake is complete: the certificates count.
    fn remember_chain(&self) -> Result<(), Error> {
        let chain = self.connection.peer_certificates().unwrap_or_default();
        self.accepted.add(chain).map_err(|fault| self.error(fault))
    }

    /// Whether the first bytes are TLS; `false`: too few to decide.
    fn check_first_bytes(&mut self) -> Result<bool, Error> {
        match &self.incoming[..] {
            [] => Ok(false),
            // The types of records: RFC 8446, section 5.1.
            [20..=24, ..] => {
                self.is_tls = true;
                Ok(true)
            }
            bytes if bytes.starts_with(HTTP) => Err(self.error(TlsFault::PlainHttp)),
            bytes if HTTP.starts_with(bytes) => Ok(false),
            _ => Err(self.error(TlsFault::NotTls)),
        }
    }
}

impl Layer for TlsLayer {
    fn start(&mut self, wire: &mut Vec<u8>) -> Result<(), Error> {
        self.advance(&mut Vec::new(), wire)
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        plaintext: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.incoming.extend_from_slice(bytes);
        if !self.is_tls && !self.check_first_bytes()? {
            return Ok(());
        }
        self.advance(plaintext, wire)?;
        if self.incoming.len() > MAX_MESSAGE_BYTES {
            let reason = "it sends a message without an end".to_owned();
            return Err(self.error(TlsFault::Violation { reason }));
        }
        Ok(())
    }

    fn send(&mut self, plaintext: &[u8], wire: &mut Vec<u8>) -> Result<(), Error> {
        let status = self.connection.process_tls_records(&mut []);
        let result = match status.state {
            Ok(ConnectionState::WriteTraffic(traffic)) => encrypt(traffic, plaintext, wire),
            Ok(_) => Err(rustls::Error::HandshakeNotComplete),
            Err(error) => Err(error),
        };
        result.map_err(|error| self.refusal(&error))
    }

    fn is_open(&self) -> bool {
        self.is_open
    }

    fn has_ended(&self) -> bool {
        self.has_ended
    }

    fn cut_off(&self) -> Option<Error> {
        let is_partial = !self.incoming.is_empty();
        match (self.is_open, is_partial) {
            (true, _) if self.has_ended => None,
            (true, false) => None,
            (_, true) => Some(self.error(TlsFault::CutOff)),
            (false, false) => Some(self.error(TlsFault::Closed)),
        }
    }
}

/// What to do after a state of the connection.
enum Step {
    /// Process again.
    Again,
    /// The peer sends nothing more.
    Ended,
    /// Wait for more bytes. `is_open`: data can be sent.
    NeedsBytes { is_open: bool },
}

fn take_step(
    state: ConnectionState<'_, '_, ClientConnectionData>,
    plaintext: &mut Vec<u8>,
    wire: &mut Vec<u8>,
    discard: &mut usize,
) -> Result<Step, rustls::Error> {
    match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let record = record?;
                *discard += record.discard;
                plaintext.extend_from_slice(record.payload);
            }
            Ok(Step::Again)
        }
        ConnectionState::EncodeTlsData(data) => encode(data, wire).map(|()| Step::Again),
        ConnectionState::TransmitTlsData(data) => {
            // The session sends what is in `wire` before anything else.
            data.done();
            Ok(Step::Again)
        }
        ConnectionState::PeerClosed => Ok(Step::Ended),
        ConnectionState::WriteTraffic(_) => Ok(Step::NeedsBytes { is_open: true }),
        _ => Ok(Step::NeedsBytes { is_open: false }),
    }
}

fn encode(
    mut data: EncodeTlsData<'_, ClientConnectionData>,
    wire: &mut Vec<u8>,
) -> Result<(), rustls::Error> {
    let begin = wire.len();
    let size = match data.encode(&mut []) {
        Ok(size) => size,
        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
            wire.resize(begin + required_size, 0);
            data.encode(&mut wire[begin..]).map_err(|_| rustls::Error::EncryptError)?
        }
        Err(EncodeError::AlreadyEncoded) => 0,
    };
    wire.truncate(begin + size);
    Ok(())
}

fn encrypt(
    mut traffic: WriteTraffic<'_, ClientConnectionData>,
    plaintext: &[u8],
    wire: &mut Vec<u8>,
) -> Result<(), rustls::Error> {
    let begin = wire.len();
    let mut space = plaintext.len() + RECORD_OVERHEAD;
    loop {
        wire.resize(begin + space, 0);
        match traffic.encrypt(plaintext, &mut wire[begin..]) {
            Ok(size) => {
                wire.truncate(begin + size);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size }))
                if required_size > space =>
            {
                space = required_size;
            }
            Err(_) => {
                wire.truncate(begin);
                return Err(rustls::Error::EncryptError);
            }
        }
    }
}

const HTTP: &[u8] = b"HTTP/";
/// More than a record adds to its contents in TLS 1.2 and 1.3.
const RECORD_OVERHEAD: usize = 64;
/// rustls accepts handshake messages of up to 64 KiB.
const MAX_MESSAGE_BYTES: usize = 128 * 1024;
