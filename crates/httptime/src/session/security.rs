//! The interface of TLS: who makes the layers of a session, and who judges the certificates.

use std::fmt;
use std::sync::Arc;

use super::layer::{Layer, Plain};
use super::target::Target;
use crate::error::Error;
use crate::measurement::Measurement;
use crate::time::{CrossTimestamp, LocalInstant, Timestamp};
use crate::tls::{CertificateCheck, Peer};

/// TLS for sessions: the settings, from which each session gets the security of its peers.
///
/// The crate `httptime-tls` has an implementation. [`Target::with_security`] and
/// [`TargetsBuilder::tls`](crate::survey::TargetsBuilder::tls) use it.
pub trait Security: fmt::Debug + Send + Sync {
    /// The security of all connections of one session to `peer`. `host`: the name or address in its
    /// URL.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] if the settings do not suffice for this peer.
    fn peer(&self, peer: Peer, host: &str) -> Result<Box<dyn PeerSecurity>, Error>;

    /// The same settings, but the local clock judges the dates of certificates. For a clock that
    /// was just corrected.
    fn by_local_clock(&self) -> Arc<dyn Security>;
}

/// The security of all connections of one session to one peer.
pub trait PeerSecurity: fmt::Debug + Send + Sync {
    /// A layer for a new connection. `local_time`: the local wall clock now.
    ///
    /// The layer must verify chain, name and usage of the certificate before it is
    /// [open](Layer::is_open): then nothing is sent to a peer that is not verified.
    ///
    /// # Errors
    /// Closes the connection.
    fn layer(&mut self, local_time: Timestamp) -> Result<Box<dyn Layer>, Error>;

    /// Judges the dates of all certificates that the layers have accepted, after the measurement.
    /// The server's clock was between `earliest` and `latest` at that time.
    ///
    /// # Errors
    /// [`Error::Tls`]: the measurement has no result.
    fn judge(&self, earliest: Timestamp, latest: Timestamp) -> Result<CertificateCheck, Error>;
}

/// The security of a session. A peer with an `http` URL has none.
#[derive(Debug)]
pub(super) struct PeerSecurities {
    server: Option<Box<dyn PeerSecurity>>,
    proxy: Option<Box<dyn PeerSecurity>>,
    /// From monotonic to wall clock.
    begin: CrossTimestamp,
}

impl PeerSecurities {
    pub(super) fn new(target: &Target, begin: CrossTimestamp) -> Result<Self, Error> {
        let server = target.security_of(Peer::Server)?;
        Ok(Self { server, proxy: target.security_of(Peer::Proxy)?, begin })
    }

    /// Of a session that cannot start.
    pub(super) const fn none(begin: CrossTimestamp) -> Self {
        Self { server: None, proxy: None, begin }
    }

    /// A layer for a new connection to this peer.
    pub(super) fn layer(&mut self, peer: Peer, now: LocalInstant) -> Result<Box<dyn Layer>, Error> {
        let security = match peer {
            Peer::Server => &mut self.server,
            Peer::Proxy => &mut self.proxy,
        };
        match security {
            Some(security) => security.layer(self.begin.wall_at(now)),
            None => Ok(Box::new(Plain)),
        }
    }

    /// Judges the certificates at both ends of the measured server time.
    pub(super) fn judge(&self, mut measured: Measurement) -> Result<Measurement, Error> {
        let local = measured.local_time();
        let [earliest, latest] = [measured.bounds.lower(), measured.bounds.upper()]
            .map(|offset| local.saturating_add(offset));
        let judge = |security: &Option<Box<dyn PeerSecurity>>| {
            security.as_ref().map(|security| security.judge(earliest, latest)).transpose()
        };
        measured.assumptions.certificates = judge(&self.server)?;
        measured.assumptions.proxy_certificates = judge(&self.proxy)?;
        Ok(measured)
    }
}
