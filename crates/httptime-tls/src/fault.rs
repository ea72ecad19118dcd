//! The faults behind rustls's errors.

use httptime::TlsFault;
use rustls::{AlertDescription, CertificateError, Error};

use crate::verifier::Refused;

/// What the connection knows about client certificates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientCertificate {
    /// The peer asked for one.
    pub(crate) is_requested: bool,
    /// There is one.
    pub(crate) is_given: bool,
}

/// The fault that this error means.
pub(crate) fn fault_of(error: &Error, client: ClientCertificate) -> TlsFault {
    match error {
        Error::InvalidCertificate(error) => certificate_fault(error),
        Error::NoCertificatesPresented => bad_certificate("it sent none"),
        Error::AlertReceived(alert) => alert_fault(*alert, client),
        Error::PeerIncompatible(reason) => {
            TlsFault::NoCommonProtocol { reason: spaced(&format!("{reason:?}")) }
        }
        Error::NoApplicationProtocol => no_common("no common application protocol"),
        Error::InvalidMessage(reason) => violation(format!("{reason:?}")),
        Error::PeerMisbehaved(reason) => violation(format!("{reason:?}")),
        Error::InappropriateMessage { got_type, .. } => {
            violation(format!("unexpected record {got_type:?}"))
        }
        Error::InappropriateHandshakeMessage { got_type, .. } => {
            violation(format!("unexpected message {got_type:?}"))
        }
        Error::DecryptError => violation("a record was changed on the way".to_owned()),
        other => violation(other.to_string()),
    }
}

fn certificate_fault(error: &CertificateError) -> TlsFault {
    match error {
        CertificateError::Other(other) => match other.0.downcast_ref::<Refused>() {
            Some(Refused(fault)) => fault.clone(),
            None => bad_certificate(&other.to_string()),
        },
        CertificateError::BadSignature => bad_certificate("the peer does not have its private key"),
        CertificateError::BadEncoding => bad_certificate("it is malformed"),
        other => bad_certificate(&spaced(&format!("{other:?}"))),
    }
}

fn alert_fault(alert: AlertDescription, client: ClientCertificate) -> TlsFault {
    let name = spaced(&format!("{alert:?}"));
    match alert {
        AlertDescription::CertificateRequired if !client.is_given => {
            TlsFault::ClientCertificateRequired
        }
        // TLS 1.2 has no alert of its own for a missing certificate.
        AlertDescription::HandshakeFailure | AlertDescription::BadCertificate
            if client.is_requested && !client.is_given =>
        {
            TlsFault::ClientCertificateRequired
        }
        AlertDescription::HandshakeFailure
        | AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateRequired
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError
            if client.is_requested && client.is_given =>
        {
            TlsFault::ClientCertificateRefused { reason: name }
        }
        AlertDescription::HandshakeFailure
        | AlertDescription::ProtocolVersion
        | AlertDescription::InsufficientSecurity
        | AlertDescription::InappropriateFallback
        | AlertDescription::NoApplicationProtocol => no_common(&name),
        _ => TlsFault::Alert { alert: name },
    }
}

fn bad_certificate(reason: &str) -> TlsFault {
    TlsFault::BadCertificate { reason: reason.to_owned() }
}

fn no_common(reason: &str) -> TlsFault {
    TlsFault::NoCommonProtocol { reason: reason.to_owned() }
}

fn violation(reason: String) -> TlsFault {
    TlsFault::Violation { reason: spaced(&reason) }
}

/// rustls's names in words: `HandshakeFailure` is `handshake failure`.
fn spaced(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 8);
    let mut was_lower = false;
    for char in name.chars() {
        if char.is_ascii_uppercase() && was_lower {
            words.push(' ');
        }
        was_lower = char.is_ascii_lowercase();
        words.push(char.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: ClientCertificate = ClientCertificate { is_requested: false, is_given: false };

    #[test]
    fn an_alert_is_named_in_words() {
        let fault = fault_of(&Error::AlertReceived(AlertDescription::UnrecognisedName), NONE);
        assert_eq!(fault, TlsFault::Alert { alert: "unrecognised name".to_owned() });
        let fault = fault_of(&Error::AlertReceived(AlertDescription::HandshakeFailure), NONE);
        assert_eq!(fault.kind(), "tls_no_common_protocol");
    }

    #[test]
    fn a_failed_handshake_is_about_the_client_certificate_if_the_server_asked_for_one() {
        let asked = ClientCertificate { is_requested: true, ..NONE };
        let given = ClientCertificate { is_requested: true, is_given: true };
        for (alert, without, with) in [
            (
                AlertDescription::HandshakeFailure,
                "tls_client_certificate_required",
                "tls_client_certificate_refused",
            ),
            (
                AlertDescription::CertificateRequired,
                "tls_client_certificate_required",
                "tls_client_certificate_refused",
            ),
            (AlertDescription::UnknownCA, "tls_alert", "tls_client_certificate_refused"),
        ] {
            let error = Error::AlertReceived(alert);
            assert_eq!(fault_of(&error, asked).kind(), without);
            assert_eq!(fault_of(&error, given).kind(), with);
        }
    }
}
