//! The rules as a verifier of rustls.

use std::fmt;
use std::sync::Arc;

use httptime::{Timestamp, TlsFault};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};
use webpki::RawPublicKeyEntity;

use crate::certificate;
use crate::rules::{Check, Clock, Rules};

/// Verifies the certificates of one connection.
#[derive(Debug)]
pub(crate) struct Verifier {
    pub(crate) rules: Arc<Rules>,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
    pub(crate) name: ServerName<'static>,
    pub(crate) clock: Clock,
    pub(crate) local: Timestamp,
}

/// A fault on its way through rustls.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) TlsFault);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.kind())
    }
}

impl std::error::Error for Refused {}

impl From<TlsFault> for Refused {
    fn from(fault: TlsFault) -> Self {
        Self(fault)
    }
}

impl From<Refused> for rustls::Error {
    fn from(refused: Refused) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.rules
            .verify(leaf, intermediates, &self.name, self.clock, self.local)
            .map_err(Refused)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match &self.rules.check {
            Check::Chain(_) => {
                verify_tls12_signature(message, certificate, signed, &self.algorithms)
            }
            Check::Pin(_) | Check::Nothing => {
                self.verify_with_key(message, &public_key(certificate)?, signed)
            }
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match &self.rules.check {
            Check::Chain(_) => {
                verify_tls13_signature(message, certificate, signed, &self.algorithms)
            }
            // A certificate that webpki cannot read may have a good key.
            Check::Pin(_) | Check::Nothing => verify_tls13_signature_with_raw_key(
                message,
                &public_key(certificate)?,
                signed,
                &self.algorithms,
            ),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl Verifier {
    /// rustls's function for TLS 1.2 with a key in place of a certificate.
    fn verify_with_key(
        &self,
        message: &[u8],
        key: &SubjectPublicKeyInfoDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let bad = || rustls::Error::InvalidCertificate(CertificateError::BadSignature);
        let key = RawPublicKeyEntity::try_from(key).map_err(|_| bad())?;
        let offered = self.algorithms.mapping.iter();
        let mut algorithms =
            offered.filter(|(scheme, _)| *scheme == signed.scheme).flat_map(|(_, all)| *all);
        let is_valid =
            algorithms.any(|it| key.verify_signature(*it, message, signed.signature()).is_ok());
        if is_valid { Ok(HandshakeSignatureValid::assertion()) } else { Err(bad()) }
    }
}

fn public_key(
    certificate: &CertificateDer<'_>,
) -> Result<SubjectPublicKeyInfoDer<'static>, rustls::Error> {
    certificate::public_key(certificate)
        .ok_or(rustls::Error::InvalidCertificate(CertificateError::BadEncoding))
}
