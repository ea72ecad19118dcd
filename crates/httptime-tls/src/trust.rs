//! Certificates and keys from files, and the CA certificates of the system.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use httptime::{Error, IoError};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor};
use rustls::sign::CertifiedKey;
use rustls_native_certs::{CertificateResult, ErrorKind, load_certs_from_paths, load_native_certs};

use crate::certificate;

/// The CA certificates of the system. `environment`: whether `SSL_CERT_FILE` and `SSL_CERT_DIR`
/// count.
pub(crate) fn system(environment: bool) -> Result<Vec<TrustAnchor<'static>>, Error> {
    let variables: Vec<(&str, OsString)> = ["SSL_CERT_FILE", "SSL_CERT_DIR"]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
        .collect();
    let is_overridden = !variables.is_empty();
    let found = if environment || !is_overridden { load_native_certs() } else { default_places() };
    let anchors = anchors(&found.certs);
    if !anchors.is_empty() {
        return Ok(anchors);
    }
    let counting = if environment { &variables[..] } else { &[] };
    Err(invalid(nothing_found(counting, found.errors.first())))
}

/// Why there are no CA certificates. `variables`: those that are set, and name their place.
fn nothing_found(
    variables: &[(&str, OsString)],
    error: Option<&rustls_native_certs::Error>,
) -> String {
    let why = error.map_or(String::new(), |error| format!(" ({})", load_error(error, None)));
    if variables.is_empty() {
        return format!(
            "cacert is not given, and this system has no CA certificates{why}; install the package \
             ca-certificates, or name a file with the CA's certificate"
        );
    }
    let set: Vec<String> = variables
        .iter()
        .map(|(name, value)| format!("{name}={}", value.to_string_lossy()))
        .collect();
    format!(
        "cacert is not given, and the environment has {}, where no CA certificate was found{why}; \
         correct or unset it, or name a file with the CA's certificate",
        set.join(" and ")
    )
}

/// What is wrong, without Rust's words. `named`: the path that the message already has.
fn load_error(error: &rustls_native_certs::Error, named: Option<&Path>) -> String {
    match &error.kind {
        ErrorKind::Io { inner, path } if named == Some(path) => IoError::from(inner).to_string(),
        ErrorKind::Io { inner, path } => format!("{}: {}", path.display(), IoError::from(inner)),
        ErrorKind::Pem(error) => words(error),
        _ => error.to_string(),
    }
}

/// The system's certificates, where variables name others that do not count.
fn default_places() -> CertificateResult {
    let mut all = CertificateResult::default();
    #[cfg(all(unix, not(target_os = "macos")))]
    for directory in openssl_probe::candidate_cert_dirs() {
        let found = load_certs_from_paths(None, Some(directory));
        all.certs.extend(found.certs);
        all.errors.extend(found.errors);
    }
    #[cfg(not(all(unix, not(target_os = "macos"))))]
    all.certs.extend(load_native_certs().certs);
    all
}

/// The CA certificates in a file or in the files of a directory. `setting`: what names it.
pub(crate) fn from_path(
    setting: &str,
    file: Option<&Path>,
    directory: Option<&Path>,
) -> Result<Vec<TrustAnchor<'static>>, Error> {
    let named = file.or(directory);
    let path = named.unwrap_or(Path::new("")).display();
    let found = load_certs_from_paths(file, directory);
    let anchors = anchors(&found.certs);
    match found.errors.first() {
        // One bad file of many in a directory is no reason to fail.
        Some(error) if anchors.is_empty() || file.is_some() => {
            let why = load_error(error, named);
            Err(invalid(format!("{setting} {path} cannot be used: {why}")))
        }
        _ if anchors.is_empty() => Err(invalid(format!(
            "{setting} {path} has no certificate; allowed: PEM, which begins with \
             -----BEGIN CERTIFICATE-----"
        ))),
        _ => Ok(anchors),
    }
}

/// The CA certificates in this text. `setting`: what it is the value of.
pub(crate) fn from_pem(setting: &str, text: &str) -> Result<Vec<TrustAnchor<'static>>, Error> {
    let certificates = CertificateDer::pem_slice_iter(text.as_bytes());
    let certificates: Vec<CertificateDer<'static>> = certificates.filter_map(Result::ok).collect();
    let anchors = anchors(&certificates);
    if anchors.is_empty() {
        return Err(invalid(format!(
            "{setting} has no certificate; allowed: PEM, which begins with -----BEGIN \
             CERTIFICATE-----"
        )));
    }
    Ok(anchors)
}

fn anchors(certificates: &[CertificateDer<'_>]) -> Vec<TrustAnchor<'static>> {
    let anchor = |certificate| Some(webpki::anchor_from_trusted_cert(certificate).ok()?.to_owned());
    certificates.iter().filter_map(anchor).collect()
}

/// A client certificate with its chain, and its key.
pub(crate) fn client(
    settings: [&str; 2],
    certificate: &Path,
    key: &Path,
) -> Result<Arc<CertifiedKey>, Error> {
    let refuse = |setting: &str, path: &Path, why: &str| {
        Err(invalid(format!("{setting} {} cannot be used: {why}", path.display())))
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<CertificateDer<'static>>, pem::Error>>);
    let chain = match chain {
        Ok(chain) if chain.is_empty() => {
            return refuse(settings[0], certificate, "it has no certificate in PEM");
        }
        Ok(chain) => chain,
        Err(error) => return refuse(settings[0], certificate, &words(&error)),
    };
    let private = match PrivateKeyDer::from_pem_file(key) {
        Ok(private) => private,
        Err(_) if is_encrypted(key) => {
            return refuse(
                settings[1],
                key,
                "it has no unencrypted private key; decrypt it with openssl pkey",
            );
        }
        Err(pem::Error::NoItemsFound) => {
            return refuse(settings[1], key, "it has no private key in PEM");
        }
        Err(error) => return refuse(settings[1], key, &words(&error)),
    };
    let Ok(signing) = any_supported_type(&private) else {
        return refuse(
            settings[1],
            key,
            "its kind is not supported; use RSA from 2048 bits, P-256, P-384 or Ed25519",
        );
    };
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            refuse(settings[1], key, "it is not the key of the certificate")
        }
        _ => Ok(Arc::new(certified)),
    }
}

/// Whether the file has an encrypted key: `BEGIN ENCRYPTED PRIVATE KEY` (PKCS#8), or in the older
/// form `Proc-Type: 4,ENCRYPTED`.
fn is_encrypted(key: &Path) -> bool {
    let text = fs::read(key).unwrap_or_default();
    ["BEGIN ENCRYPTED PRIVATE KEY", "4,ENCRYPTED"]
        .iter()
        .any(|mark| text.windows(mark.len()).any(|part| part == mark.as_bytes()))
}

/// What is wrong, without byte lists and names of Rust.
fn words(error: &pem::Error) -> String {
    let text = |line: &[u8]| certificate::shortened(&String::from_utf8_lossy(line));
    match error {
        pem::Error::Io(error) => IoError::from(error).to_string(),
        pem::Error::NoItemsFound => "it has no certificate in PEM".to_owned(),
        pem::Error::MissingSectionEnd { end_marker } => {
            let label = text(end_marker);
            let label = label.trim_matches('-').trim_start_matches("END ");
            format!("its PEM is malformed: the line -----END {label}----- is missing")
        }
        pem::Error::IllegalSectionStart { line } => {
            format!("its PEM is malformed: the line {:?} begins nothing", text(line))
        }
        pem::Error::Base64Decode(_) => "its PEM is malformed: it is not base64".to_owned(),
        pem::Error::SectionTooLarge => "its PEM is too large".to_owned(),
        _ => "its PEM is malformed".to_owned(),
    }
}

pub(crate) const fn invalid(reason: String) -> Error {
    Error::InvalidConfig { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_name_no_certificates_are_in_the_message() {
        let found = load_certs_from_paths(Some(Path::new("/nowhere.pem")), None);
        let file = ("SSL_CERT_FILE", OsString::from("/nowhere.pem"));
        let directory = ("SSL_CERT_DIR", OsString::new());
        let message = nothing_found(&[file, directory], found.errors.first());
        assert_eq!(
            message,
            "cacert is not given, and the environment has SSL_CERT_FILE=/nowhere.pem and \
             SSL_CERT_DIR=, where no CA certificate was found (/nowhere.pem: no such file or \
             directory); correct or unset it, or name a file with the CA's certificate"
        );
        let message = nothing_found(&[], None);
        assert!(message.contains("this system has no CA certificates;"), "{message}");
    }
}
