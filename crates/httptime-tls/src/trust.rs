//! Certificates and keys from files, and the CA certificates of the system.

use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
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
/// replace them.
pub(crate) fn system(environment: bool) -> Result<Vec<TrustAnchor<'static>>, Error> {
    let [file, directories] = [FILE_VARIABLE, DIRECTORY_VARIABLE].map(std::env::var_os);
    if environment {
        // An empty variable is not set, as in curl.
        let [file, directories] =
            [&file, &directories].map(|it| it.as_ref().filter(|it| !it.is_empty()));
        if file.is_some() || directories.is_some() {
            return of_variables(file, directories);
        }
    }
    let is_overridden = file.is_some() || directories.is_some();
    let found = if is_overridden { default_places() } else { load_native_certs() };
    let anchors = anchors(&found.certs);
    if !anchors.is_empty() {
        return Ok(anchors);
    }
    let why =
        found.errors.first().map_or(String::new(), |it| format!(" ({})", load_error(it, None)));
    Err(invalid(format!(
        "cacert is not given, and this system has no CA certificates{why}; install the package \
         ca-certificates, or name a file with the CA's certificate"
    )))
}

/// The CA certificates that the variables name. A file without any is an error, so that a wrong
/// name is noticed. Of the directories some may have none, as in OpenSSL.
fn of_variables(
    file: Option<&OsString>,
    directories: Option<&OsString>,
) -> Result<Vec<TrustAnchor<'static>>, Error> {
    let nothing = |name: &str, value: &OsString, why: String| {
        let value = value.to_string_lossy();
        let why = if why.is_empty() { why } else { format!(" ({why})") };
        invalid(format!(
            "cacert is not given, and the environment has {name}={value}, where no CA certificate \
             was found{why}; correct or unset it, or name a file with the CA's certificate"
        ))
    };
    let mut all = Vec::new();
    if let Some(file) = file {
        all = from_file(Path::new(file)).map_err(|why| nothing(FILE_VARIABLE, file, why))?;
        if all.is_empty() {
            return Err(nothing(FILE_VARIABLE, file, String::new()));
        }
    }
    let Some(directories) = directories else { return Ok(all) };
    let mut first_error = None;
    for directory in std::env::split_paths(directories) {
        let found = load_certs_from_paths(None, Some(&directory));
        all.extend(anchors(&found.certs));
        first_error = first_error.or(found.errors.into_iter().next());
    }
    if all.is_empty() {
        let why = first_error.map_or(String::new(), |error| load_error(&error, None));
        return Err(nothing(DIRECTORY_VARIABLE, directories, why));
    }
    Ok(all)
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
    let path = file.or(directory).unwrap_or(Path::new(""));
    let found = match file {
        Some(file) => from_file(file),
        None => from_directory(path),
    };
    let path = path.display();
    match found {
        Err(why) => Err(invalid(format!("{setting} {path} cannot be used: {why}"))),
        Ok(anchors) if anchors.is_empty() => Err(invalid(format!(
            "{setting} {path} has no certificate; allowed: PEM, which begins with \
             -----BEGIN CERTIFICATE-----"
        ))),
        Ok(anchors) => Ok(anchors),
    }
}

/// The CA certificates in a file, or what is wrong with it.
fn from_file(file: &Path) -> Result<Vec<TrustAnchor<'static>>, String> {
    let bytes = read(file)?;
    let certificates = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    certificates.map(|all| anchors(&all)).map_err(|error| words(&error))
}

/// Those in the files of a directory. One bad file of many is no reason to fail.
fn from_directory(directory: &Path) -> Result<Vec<TrustAnchor<'static>>, String> {
    let found = load_certs_from_paths(None, Some(directory));
    let anchors = anchors(&found.certs);
    match found.errors.first() {
        Some(error) if anchors.is_empty() => Err(load_error(error, Some(directory))),
        _ => Ok(anchors),
    }
}

/// The bytes of a file with certificates or a key.
fn read(file: &Path) -> Result<Vec<u8>, String> {
    // A read of a FIFO would wait for a writer, and one of a device might never end.
    let is_other = |found: &fs::Metadata| !found.is_file() && !found.is_dir();
    if fs::metadata(file).is_ok_and(|found| is_other(&found)) {
        return Err("it is not a regular file; copy it to one".to_owned());
    }
    let mut bytes = Vec::new();
    let opened = fs::File::open(file);
    let read = opened.and_then(|it| it.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(IoError::from(error).to_string()),
        Ok(length) if u64::try_from(length).is_ok_and(|it| it <= MAX_FILE_BYTES) => Ok(bytes),
        Ok(_) => Err(format!("it is larger than {} MiB; name another file", MAX_FILE_BYTES >> 20)),
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
    key: Option<&Path>,
) -> Result<Arc<CertifiedKey>, Error> {
    let refuse = |setting: &str, path: &Path, why: &str| {
        Err(invalid(format!("{setting} {} cannot be used: {why}", path.display())))
    };
    let bytes = match read(certificate) {
        Ok(bytes) => bytes,
        Err(why) => return refuse(settings[0], certificate, &why),
    };
    let chain = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, pem::Error>>();
    let chain = match chain {
        Ok(chain) if chain.is_empty() => {
            return refuse(settings[0], certificate, "it has no certificate in PEM");
        }
        Ok(chain) => chain,
        Err(error) => return refuse(settings[0], certificate, &words(&error)),
    };
    let is_given = key.is_some();
    let key = key.unwrap_or(certificate);
    let bytes = match read(key) {
        Ok(bytes) => bytes,
        Err(why) => return refuse(settings[1], key, &why),
    };
    let private = match PrivateKeyDer::from_pem_slice(&bytes) {
        Ok(private) => private,
        Err(_) if is_encrypted(&bytes) => {
            return refuse(
                settings[1],
                key,
                "it has no unencrypted private key; decrypt it with openssl pkey",
            );
        }
        Err(pem::Error::NoItemsFound) if !is_given => {
            let (path, [cert, key]) = (certificate.display(), settings);
            let reason = format!("{cert} {path} has no private key, and none is given; set {key}");
            return Err(invalid(reason));
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
fn is_encrypted(text: &[u8]) -> bool {
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

/// The names of OpenSSL's variables.
const FILE_VARIABLE: &str = "SSL_CERT_FILE";
const DIRECTORY_VARIABLE: &str = "SSL_CERT_DIR";
/// The CA certificates of a system have less than 1 MiB.
const MAX_FILE_BYTES: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_environment_without_certificates_is_an_error_beside_directories_too() {
        let found = |file: Option<&str>, directories: Option<&str>| {
            let [file, directories] = [file, directories].map(|it| it.map(OsString::from));
            of_variables(file.as_ref(), directories.as_ref()).map(|it| it.len())
        };
        let message = found(Some("/nowhere.pem"), Some("/etc/ssl/certs")).expect_err("no file");
        assert_eq!(
            message.to_string(),
            "invalid setting: cacert is not given, and the environment has \
             SSL_CERT_FILE=/nowhere.pem, where no CA \
             certificate was found (no such file or directory); correct or unset it, or name a \
             file with the CA's certificate"
        );
        let message = found(None, Some("/nowhere:/nowhere-else")).expect_err("no directory");
        let expected = "SSL_CERT_DIR=/nowhere:/nowhere-else, where no CA certificate was found \
                        (/nowhere: no such file or directory); ";
        assert!(message.to_string().contains(expected), "{message}");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/lib.rs");
        let message = found(Some(source), None).expect_err("no certificate").to_string();
        assert!(message.contains("/src/lib.rs, where no CA certificate was found;"), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_and_what_is_too_large_is_not_read() {
        let name = format!("httptime-trust-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let (fifo, large) = (folder.join("fifo"), folder.join("large"));
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.expect("mkfifo runs").success());
        let file = fs::File::create(&large).expect("a file");
        file.set_len(MAX_FILE_BYTES + 1).expect("a sparse file");
        for (path, expected) in [
            (&*fifo, "it is not a regular file; "),
            (Path::new("/dev/zero"), "it is not a regular file; "),
            (&*large, "it is larger than 16 MiB; "),
        ] {
            let error = from_path("cacert", Some(path), None).expect_err("no certificates");
            assert!(error.to_string().contains(expected), "{error}");
            for [certificate, key] in [[path, &folder], [path, path]] {
                let error = client(["cert", "key"], certificate, Some(key)).expect_err("refused");
                assert!(error.to_string().contains(expected), "{error}");
            }
        }
        fs::remove_dir_all(folder).expect("removed");
    }
}
