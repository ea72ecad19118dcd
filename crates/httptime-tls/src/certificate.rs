//! What is read from a certificate without verifying it: its key and names for messages. webpki
//! refuses certificates of version 1, which a pin accepts, so this uses another parser.

use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};

/// The public key (`SubjectPublicKeyInfo`). `None` if the certificate is malformed.
pub(crate) fn public_key(
    certificate: &CertificateDer<'_>,
) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let parsed = Certificate::from_der(certificate).ok()?;
    let key = parsed.tbs_certificate().subject_public_key_info().to_der().ok()?;
    Some(SubjectPublicKeyInfoDer::from(key))
}

/// The issuer as text: `CN=Example CA,O=Example`.
pub(crate) fn issuer(certificate: &CertificateDer<'_>) -> String {
    match Certificate::from_der(certificate) {
        Ok(parsed) => shortened(parsed.tbs_certificate().issuer().to_string()),
        Err(_) => "unreadable".to_owned(),
    }
}

/// The text for a message: the peer decides how long a name is.
fn shortened(text: String) -> String {
    let text: String = text.chars().filter(|char| !char.is_control()).collect();
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

const MAX_CHARS: usize = 200;
