//! The security of a session's connections to one peer.

use std::sync::Arc;

use httptime::session::{Layer, PeerSecurity};
use httptime::{CertificateCheck, Error, Peer, Timestamp, TlsFault};
use rustls::ClientConfig;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{ServerName, TrustAnchor};

use crate::accepted::Accepted;
use crate::chain::{Chain, OutsideOr, Window};
use crate::layer::{Identity, TlsLayer};
use crate::rules::{Check, Clock, Rules};
use crate::verifier::Verifier;

/// The connections of one session to one peer.
#[derive(Debug)]
pub(crate) struct PeerSession {
    pub(crate) peer: Peer,
    pub(crate) name: ServerName<'static>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) clock: Clock,
    /// Everything but the verifier and the client certificate.
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) accepted: Arc<Accepted>,
}

impl PeerSession {
    const fn error(&self, fault: TlsFault) -> Error {
        Error::Tls { peer: self.peer, fault }
    }

    /// The time in which all accepted chains are valid. It contains `earliest` and `latest`.
    fn judge_chains(
        &self,
        anchors: &[TrustAnchor<'_>],
        earliest: Timestamp,
        latest: Timestamp,
    ) -> Result<Window, TlsFault> {
        let all = Window {
            from: Timestamp::from_unix_nanos(i64::MIN),
            to: Timestamp::from_unix_nanos(i64::MAX),
        };
        let judge = |window: Window, chain: &Chain| {
            let verify = |date| {
                chain.verify_at(date, anchors, &self.name).map_err(|refusal| match refusal {
                    OutsideOr::Other(fault) => fault,
                    OutsideOr::Outside(Window { from, to }) => {
                        TlsFault::DateOutside { valid_from: from, valid_to: to, date }
                    }
                })
            };
            // The paths to an anchor can differ.
            let [first, last] = [verify(earliest)?, verify(latest)?].map(|it| it.window(anchors));
            Ok(Window { from: window.from.max(first.from), to: window.to.min(last.to) })
        };
        self.accepted.chains().iter().try_fold(all, judge)
    }
}

impl PeerSecurity for PeerSession {
    fn layer(&mut self, local_time: Timestamp) -> Result<Box<dyn Layer>, Error> {
        let identity = Arc::new(Identity::new(self.rules.client.clone()));
        let mut config = ClientConfig::clone(&self.config);
        config.client_auth_cert_resolver = Arc::clone(&identity) as _;
        let algorithms = config.crypto_provider().signature_verification_algorithms;
        config.dangerous().set_certificate_verifier(Arc::new(Verifier {
            rules: Arc::clone(&self.rules),
            algorithms,
            name: self.name.clone(),
            clock: self.clock,
            local: local_time,
        }));
        let connection = UnbufferedClientConnection::new(Arc::new(config), self.name.clone());
        let connection = connection.map_err(|error| {
            // The system has no random numbers, for example.
            self.error(TlsFault::Violation { reason: error.to_string() })
        })?;
        let accepted = Arc::clone(&self.accepted);
        Ok(Box::new(TlsLayer::new(connection, self.peer, identity, accepted)))
    }

    fn judge(&self, earliest: Timestamp, latest: Timestamp) -> Result<CertificateCheck, Error> {
        let anchors = match &self.rules.check {
            Check::Nothing => return Ok(CertificateCheck::Unchecked),
            Check::Pin(_) => return Ok(CertificateCheck::Pin),
            Check::Chain(anchors) => anchors.get()?,
        };
        let judged = self.judge_chains(anchors, earliest, latest);
        let Window { from, to } = judged.map_err(|fault| self.error(fault))?;
        Ok(match self.clock {
            // The handshakes have checked it, and the server does not contradict it.
            Clock::Local => CertificateCheck::LocalClock,
            Clock::Floor(_) => CertificateCheck::ServerTime { valid_from: from, valid_to: to },
        })
    }
}
