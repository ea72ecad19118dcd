//! What a peer's certificate must fulfil.

use std::fmt;
use std::sync::{Arc, OnceLock};

use httptime::{Error, Timestamp, TlsFault};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor};
use rustls::sign::CertifiedKey;

use crate::certificate;
use crate::chain::{Chain, OutsideOr};
use crate::pin::Pin;
use crate::trust;

/// The rules for one kind of peer.
pub(crate) struct Rules {
    pub(crate) check: Check,
    /// The certificate and key with which this machine identifies itself.
    pub(crate) client: Option<Arc<CertifiedKey>>,
}

/// What is checked.
#[derive(Debug)]
pub(crate) enum Check {
    /// Chain, name and dates.
    Chain(Anchors),
    /// The public key: one of these.
    Pin(Vec<Pin>),
    Nothing,
}

/// The CA certificates that are trusted.
pub(crate) enum Anchors {
    Given(Vec<TrustAnchor<'static>>),
    System(Arc<SystemAnchors>),
}

/// Those of the system, loaded when they are first needed.
pub(crate) struct SystemAnchors {
    loaded: OnceLock<Result<Vec<TrustAnchor<'static>>, Error>>,
    /// Whether `SSL_CERT_FILE` and `SSL_CERT_DIR` count.
    environment: bool,
}

impl SystemAnchors {
    pub(crate) const fn new(environment: bool) -> Self {
        Self { loaded: OnceLock::new(), environment }
    }
}

/// The clock by which the dates are checked in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// None is trusted: no date before this one counts.
    Floor(Timestamp),
    /// The local one.
    Local,
}

impl Rules {
    /// Loads what is loaded late.
    pub(crate) fn prepare(&self) -> Result<(), Error> {
        match &self.check {
            Check::Chain(anchors) => anchors.get().map(|_| ()),
            Check::Pin(_) | Check::Nothing => Ok(()),
        }
    }

    /// Checks what a peer sent, at the local time `local`.
    pub(crate) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        clock: Clock,
        local: Timestamp,
    ) -> Result<(), TlsFault> {
        let anchors = match &self.check {
            Check::Nothing => return Ok(()),
            Check::Pin(pins) => return verify_pin(leaf, pins),
            Check::Chain(anchors) => anchors.get().unwrap_or_default(),
        };
        let chain = Chain::new(leaf, intermediates);
        match clock {
            Clock::Floor(floor) => chain.verify_since(floor, anchors, name),
            Clock::Local => match chain.verify_at(local, anchors, name) {
                Ok(_) => Ok(()),
                Err(OutsideOr::Other(fault)) => Err(fault),
                Err(OutsideOr::Outside(window)) => Err(TlsFault::LocalTimeOutside {
                    valid_from: window.from,
                    valid_to: window.to,
                    local,
                }),
            },
        }
    }
}

impl fmt::Debug for Rules {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("check", &self.check).finish_non_exhaustive()
    }
}

impl Anchors {
    pub(crate) fn get(&self) -> Result<&[TrustAnchor<'static>], Error> {
        match self {
            Self::Given(anchors) => Ok(anchors),
            Self::System(system) => {
                let load = || trust::system(system.environment);
                system.loaded.get_or_init(load).as_deref().map_err(Clone::clone)
            }
        }
    }
}

impl fmt::Debug for Anchors {
    /// Only what they are: there are hundreds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(anchors) => write!(f, "Given({})", anchors.len()),
            Self::System(_) => f.write_str("System"),
        }
    }
}

fn verify_pin(leaf: &CertificateDer<'_>, pins: &[Pin]) -> Result<(), TlsFault> {
    let Some(key) = certificate::public_key(leaf) else {
        return Err(TlsFault::BadCertificate { reason: "it is malformed".to_owned() });
    };
    let pin = Pin::of_key(&key);
    if pins.contains(&pin) { Ok(()) } else { Err(TlsFault::WrongPin { pin: pin.to_text() }) }
}
