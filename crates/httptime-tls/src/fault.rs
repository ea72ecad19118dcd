//! The faults behind rustls's errors.

use httptime::TlsFault;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use crate::verifier::Refused;

/// What the connection knows when an error occurs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation {
    /// The peer asked for a client certificate.
    pub(crate) is_requested: bool,
    /// There is one.
    pub(crate) is_given: bool,
    /// The handshake of TLS 1.2 is complete, so the peer can only want another one.
    pub(crate) is_renegotiation: bool,
}

/// The fault that this error means.
pub(crate) fn fault_of(error: &Error, situation: Situation) -> TlsFault {
    match error {
        Error::InvalidCertificate(error) => certificate_fault(error),
        Error::NoCertificatesPresented => bad_certificate("it sent none"),
        Error::AlertReceived(alert) => alert_fault(*alert, situation),
        Error::PeerIncompatible(reason) => {
            TlsFault::NoCommonProtocol { reason: spaced(&format!("{reason:?}")) }
        }
        Error::NoApplicationProtocol => TlsFault::NoHttp1,
        Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge) => TlsFault::Violation {
            reason: "handshake message above 64 KiB, such as too many certificates".to_owned(),
        },
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
        CertificateError::BadSignature => TlsFault::BadSignature,
        CertificateError::BadEncoding => bad_certificate("it is malformed"),
        other => bad_certificate(&spaced(&format!("{other:?}"))),
    }
}

fn alert_fault(alert: AlertDescription, situation: Situation) -> TlsFault {
    let name = spaced(&format!("{alert:?}"));
    let Situation { is_requested, is_given, is_renegotiation } = situation;
    match alert {
        AlertDescription::HandshakeFailure | AlertDescription::NoRenegotiation
            if is_renegotiation =>
        {
            TlsFault::Renegotiation
        }
        AlertDescription::CertificateRequired if !is_given => TlsFault::ClientCertificateRequired,
        // TLS 1.2 has no alert of its own for a missing certificate.
        AlertDescription::HandshakeFailure | AlertDescription::BadCertificate
            if is_requested && !is_given =>
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
            if is_requested && is_given =>
        {
            TlsFault::ClientCertificateRefused { reason: name }
        }
        AlertDescription::NoApplicationProtocol => TlsFault::NoHttp1,
        AlertDescription::HandshakeFailure
        | AlertDescription::ProtocolVersion
        | AlertDescription::InsufficientSecurity
        | AlertDescription::InappropriateFallback => TlsFault::NoCommonProtocol { reason: name },
        _ => TlsFault::Alert { alert: name },
    }
}

fn bad_certificate(reason: &str) -> TlsFault {
    TlsFault::BadCertificate { reason: reason.to_owned() }
}

fn violation(reason: String) -> TlsFault {
    TlsFault::Violation { reason: spaced(&reason) }
}

/// rustls's names in words: `HandshakeFailure` is `handshake failure`.
pub(crate) fn spaced(name: &str) -> String {
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

    const NONE: Situation =
        Situation { is_requested: false, is_given: false, is_renegotiation: false };

    #[test]
    fn an_alert_is_named_in_words() {
        let fault = fault_of(&Error::AlertReceived(AlertDescription::UnrecognisedName), NONE);
        assert_eq!(fault, TlsFault::Alert { alert: "unrecognised name".to_owned() });
        let fault = fault_of(&Error::AlertReceived(AlertDescription::HandshakeFailure), NONE);
        assert_eq!(fault.kind(), "tls_no_common_protocol");
    }

    #[test]
    fn certificates_above_the_limit_are_named_with_it() {
        let error = Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge);
        let text = fault_of(&error, NONE);
        assert!(matches!(&text, TlsFault::Violation { reason } if reason.contains("64 KiB")));
    }

    #[test]
    fn a_bad_signature_is_about_the_key() {
        let error = Error::InvalidCertificate(CertificateError::BadSignature);
        assert_eq!(fault_of(&error, NONE), TlsFault::BadSignature);
    }

    #[test]
    fn a_server_without_http_1_is_named() {
        let alert = Error::AlertReceived(AlertDescription::NoApplicationProtocol);
        assert_eq!(fault_of(&alert, NONE), TlsFault::NoHttp1);
    }

    #[test]
    fn a_failed_handshake_on_an_open_connection_is_a_renegotiation() {
        let open = Situation { is_requested: true, is_renegotiation: true, ..NONE };
        for alert in [AlertDescription::HandshakeFailure, AlertDescription::NoRenegotiation] {
            assert_eq!(fault_of(&Error::AlertReceived(alert), open), TlsFault::Renegotiation);
        }
        let other = Error::AlertReceived(AlertDescription::InternalError);
        assert_eq!(fault_of(&other, open), TlsFault::Alert { alert: "internal error".to_owned() });
    }

    #[test]
    fn a_failed_handshake_is_about_the_client_certificate_if_the_server_asked_for_one() {
        let asked = Situation { is_requested: true, ..NONE };
        let given = Situation { is_given: true, ..asked };
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
