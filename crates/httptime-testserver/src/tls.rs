//! TLS for tests: certificates, and a front that adds TLS to any server on a loopback port.
#![expect(clippy::missing_panics_doc, reason = "a test without its certificates must fail")]

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rcgen::{BasicConstraints, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, ServerConnection};

pub use rcgen::{CertificateParams, date_time_ymd};

/// A certification authority.
pub struct Authority {
    params: CertificateParams,
    key: KeyPair,
    certificate: CertificateDer<'static>,
    /// Its own certificate and those above it, without the root. Empty for a root.
    chain: Vec<CertificateDer<'static>>,
}

/// A certificate with its chain, and its key.
pub struct Credentials {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

impl Authority {
    /// A root with this common name, valid 1975 to 4096.
    #[must_use]
    pub fn root(name: &str) -> Self {
        Self::root_with(name, |_| {})
    }

    /// A root with other parameters.
    #[must_use]
    pub fn root_with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let params = authority_params(name, change);
        let key = new_key();
        let certificate = params.self_signed(&key).expect("a certificate").into();
        Self { params, key, certificate, chain: Vec::new() }
    }

    /// An authority below this one.
    #[must_use]
    pub fn intermediate(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let params = authority_params(name, change);
        let key = new_key();
        let certificate: CertificateDer<'static> =
            params.signed_by(&key, &self.issuer()).expect("a certificate").into();
        let chain = [vec![certificate.clone()], self.chain.clone()].concat();
        Self { params, key, certificate, chain }
    }

    /// The same authority with another certificate by `issuer`. A server sends both, the new one
    /// first.
    #[must_use]
    pub fn renewed(&self, issuer: &Self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = self.params.clone();
        change(&mut params);
        let key = KeyPair::try_from(self.key.serialize_der()).expect("a key");
        let certificate: CertificateDer<'static> =
            params.signed_by(&key, &issuer.issuer()).expect("a certificate").into();
        let chain = [vec![certificate.clone()], self.chain.clone()].concat();
        Self { params, key, certificate, chain }
    }

    /// A certificate for these names and addresses, valid 1975 to 4096.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Credentials {
        self.issue_with(names, |_| {})
    }

    /// A certificate with other parameters.
    #[must_use]
    pub fn issue_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Credentials {
        let (params, key) = (params(names, change), new_key());
        let certificate = params.signed_by(&key, &self.issuer()).expect("a certificate").into();
        Credentials { chain: [vec![certificate], self.chain.clone()].concat(), key }
    }

    /// The certificate in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

impl Credentials {
    /// A certificate that is signed with its own key.
    #[must_use]
    pub fn self_signed(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (params, key) = (params(names, change), new_key());
        let certificate = params.self_signed(&key).expect("a certificate").into();
        Self { chain: vec![certificate], key }
    }

    /// The certificate, its chain and its key in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        let chain: String = self.chain.iter().map(|it| pem("CERTIFICATE", it)).collect();
        chain + &self.key.serialize_pem()
    }

    /// The pin of the key, in curl's syntax.
    #[must_use]
    pub fn pin(&self) -> String {
        let hash = ring::digest::digest(&ring::digest::SHA256, &self.key.subject_public_key_info());
        format!("sha256//{}", base64(hash.as_ref()))
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}

/// How a server speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// The settings of a server.
///
/// With `client`, it requires a certificate of this authority.
#[must_use]
pub fn server_config(
    credentials: &Credentials,
    version: Version,
    client: Option<&Authority>,
) -> Arc<ServerConfig> {
    let provider = Arc::new(default_provider());
    let version = match version {
        Version::Tls12 => &TLS12,
        Version::Tls13 => &TLS13,
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .expect("a version of ring");
    let builder = match client {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.certificate.clone()).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let mut config = builder
        .with_single_cert(credentials.chain.clone(), credentials.private_key())
        .expect("a certificate and its key");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A file that is removed when it is dropped.
#[derive(Debug)]
pub struct PemFile(PathBuf);

impl PemFile {
    /// A file with this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("httptime-test-{}-{number}.pem", std::process::id()));
        fs::write(&path, text).expect("a temporary file");
        Self(path)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.0.clone()
    }
}

impl Drop for PemFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Accepts TLS on a loopback port, and passes the plaintext on to a server.
pub struct TlsFront {
    address: SocketAddr,
    is_stopped: Arc<AtomicBool>,
    handshakes: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl TlsFront {
    /// Starts it. `upstream`: a server or proxy on a loopback port.
    ///
    /// # Errors
    /// An error of the system.
    pub fn start(upstream: SocketAddr, config: Arc<ServerConfig>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let is_stopped = Arc::new(AtomicBool::new(false));
        let handshakes = Arc::new(AtomicUsize::new(0));
        let thread = {
            let (is_stopped, handshakes) = (Arc::clone(&is_stopped), Arc::clone(&handshakes));
            thread::spawn(move || accept(&listener, upstream, &config, &is_stopped, &handshakes))
        };
        Ok(Self { address, is_stopped, handshakes, thread: Some(thread) })
    }

    /// Its address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https://127.0.0.1:PORT/`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}/", self.address)
    }

    /// The number of handshakes that were completed.
    #[must_use]
    pub fn handshakes(&self) -> usize {
        self.handshakes.load(Ordering::Relaxed)
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn accept(
    listener: &TcpListener,
    upstream: SocketAddr,
    config: &Arc<ServerConfig>,
    is_stopped: &Arc<AtomicBool>,
    handshakes: &Arc<AtomicUsize>,
) {
    let mut threads = Vec::new();
    while let Ok((client, _)) = listener.accept() {
        if is_stopped.load(Ordering::Relaxed) {
            break;
        }
        threads.retain(|thread: &JoinHandle<()>| !thread.is_finished());
        let (config, is_stopped) = (Arc::clone(config), Arc::clone(is_stopped));
        let handshakes = Arc::clone(handshakes);
        threads.push(thread::spawn(move || {
            let _ = serve(client, upstream, config, &is_stopped, &handshakes);
        }));
    }
    threads.into_iter().for_each(|thread| drop(thread.join()));
}

/// Passes bytes on until one side closes the connection.
fn serve(
    mut client: TcpStream,
    upstream: SocketAddr,
    config: Arc<ServerConfig>,
    is_stopped: &AtomicBool,
    handshakes: &AtomicUsize,
) -> io::Result<()> {
    let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut server = TcpStream::connect(upstream)?;
    for socket in [&client, &server] {
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
    }
    let mut buffer = [0; 16 * 1024];
    let (mut was_handshaking, mut to_server) = (true, Vec::new());
    while !is_stopped.load(Ordering::Relaxed) {
        let mut is_idle = true;
        match tls.read_tls(&mut client) {
            Ok(0) => break,
            Ok(_) => {
                is_idle = false;
                let processed = tls.process_new_packets();
                if processed.is_err() {
                    // The alert.
                    let _ = tls.write_tls(&mut client);
                    break;
                }
                to_server.clear();
                match tls.reader().read_to_end(&mut to_server) {
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => break,
                    _ => server.write_all(&to_server)?,
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if was_handshaking && !tls.is_handshaking() {
            was_handshaking = false;
            handshakes.fetch_add(1, Ordering::Relaxed);
        }
        match server.read(&mut buffer) {
            Ok(0) => {
                tls.send_close_notify();
                while tls.wants_write() && tls.write_tls(&mut client).is_ok() {}
                break;
            }
            Ok(count) => {
                is_idle = false;
                tls.writer().write_all(&buffer[..count])?;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        while tls.wants_write() {
            match tls.write_tls(&mut client) {
                Ok(_) => is_idle = false,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if is_idle {
            thread::sleep(POLL);
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    Ok(())
}

fn params(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).expect("names");
    change(&mut params);
    params
}

fn authority_params(name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    params(&[], |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        change(params);
    })
}

/// Makes a certificate a CA's.
pub fn make_ca(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("random numbers")
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", base64(der))
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The pause while nothing happens.
const POLL: Duration = Duration::from_micros(200);
