//! Certificates and keys from files, and the CA certificates of the system.

use std::path::Path;
use std::sync::Arc;

use httptime::Error;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor};
use rustls::sign::CertifiedKey;
use rustls_native_certs::{CertificateResult, load_certs_from_paths, load_native_certs};

/// The CA certificates of the system. `environment`: whether `SSL_CERT_FILE` and `SSL_CERT_DIR`
/// count.
pub(crate) fn system(environment: bool) -> Result<Vec<TrustAnchor<'static>>, Error> {
    let is_set = |name| std::env::var_os(name).is_some();
    let is_overridden = is_set("SSL_CERT_FILE") || is_set("SSL_CERT_DIR");
    let found = if environment || !is_overridden { load_native_certs() } else { default_places() };
    let anchors = anchors(&found.certs);
    if anchors.is_empty() {
        let why = found.errors.first().map_or(String::new(), |error| format!(" ({error})"));
        return Err(invalid(format!(
            "cacert is not given, and this system has no CA certificates{why}; install the package \
             ca-certificates, or name a file with the CA's certificate"
        )));
    }
    Ok(anchors)
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
    let path = file.or(directory).unwrap_or(Path::new("")).display();
    let found = load_certs_from_paths(file, directory);
    let anchors = anchors(&found.certs);
    match found.errors.first() {
        // One bad file of many in a directory is no reason to fail.
        Some(error) if anchors.is_empty() || file.is_some() => {
            Err(invalid(format!("{setting} {path} cannot be used: {error}")))
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
        Err(pem::Error::NoItemsFound) => {
            return refuse(
                settings[1],
                key,
                "it has no unencrypted private key in PEM; decrypt it with openssl pkey",
            );
        }
        Err(error) => return refuse(settings[1], key, &words(&error)),
    };
    let Ok(signing) = any_supported_type(&private) else {
        return refuse(settings[1], key, "its type is not supported; use RSA, ECDSA or Ed25519");
    };
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            refuse(settings[1], key, "it is not the key of the certificate")
        }
        _ => Ok(Arc::new(certified)),
    }
}

fn words(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        error => format!("its PEM is malformed ({error})"),
    }
}

pub(crate) const fn invalid(reason: String) -> Error {
    Error::InvalidConfig { reason }
}
