use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use httptime::session::{PeerSecurity, Security};
use httptime::{Error, Peer, Timestamp, build_day};
use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};

use crate::accepted::Accepted;
use crate::pin::Pin;
use crate::rules::{Anchors, Check, Clock, Rules, SystemAnchors};
use crate::session::PeerSession;
use crate::trust::{self, invalid};

/// The settings of TLS, for any number of measurements. Give it to `tls` of a client's builder.
///
/// The settings of the server and of the proxy are separate: a proxy that is trusted to pass on
/// requests must not be able to stand for the server.
#[derive(Clone)]
pub struct TlsConfig {
    server: Arc<Rules>,
    proxy: Arc<Rules>,
    floor: Timestamp,
    is_synchronised: Synchronised,
    config: Arc<ClientConfig>,
}

/// Whether the local clock is known to be right.
type Synchronised = Arc<dyn Fn() -> bool + Send + Sync>;

/// Builds a [`TlsConfig`].
#[derive(Clone)]
#[must_use]
pub struct TlsConfigBuilder {
    server: PeerSettings,
    proxy: PeerSettings,
    floor: Option<Timestamp>,
    is_synchronised: Synchronised,
    environment: bool,
}

/// The settings for one kind of peer.
#[derive(Debug, Clone, Default)]
struct PeerSettings {
    cacert: Option<PathBuf>,
    cacert_pem: Option<String>,
    capath: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    pin: Option<String>,
    insecure: bool,
}

impl TlsConfigBuilder {
    /// Trusts the CA certificates in this file (PEM) instead of those of the system [default:
    /// those of the system].
    ///
    /// A server's own certificate can be given instead, if it is self-signed and not a CA
    /// certificate.
    pub fn cacert(mut self, file: impl Into<PathBuf>) -> Self {
        self.server.cacert = Some(file.into());
        self
    }

    /// As [`cacert`](Self::cacert), with the text of the file.
    pub fn cacert_pem(mut self, pem: impl Into<String>) -> Self {
        self.server.cacert_pem = Some(pem.into());
        self
    }

    /// Trusts the CA certificates in the files of this directory instead of those of the system
    /// [default: those of the system]. With [`cacert`](Self::cacert) as well, both are trusted.
    pub fn capath(mut self, directory: impl Into<PathBuf>) -> Self {
        self.server.capath = Some(directory.into());
        self
    }

    /// Identifies this machine with this certificate (PEM, with its chain) if the server asks for
    /// one [default: none].
    pub fn certificate(mut self, file: impl Into<PathBuf>) -> Self {
        self.server.certificate = Some(file.into());
        self
    }

    /// The file with the private key of [`certificate`](Self::certificate) (PEM, not encrypted)
    /// [default: the file of the certificate].
    pub fn key(mut self, file: impl Into<PathBuf>) -> Self {
        self.server.key = Some(file.into());
        self
    }

    /// Accepts exactly the servers with one of these public keys, in curl's syntax:
    /// `sha256//BASE64[;sha256//BASE64…]` [default: none].
    ///
    /// A pin replaces the check of chain, name and dates. So it needs no CA and no clock, and suits
    /// a self-signed certificate. It must be changed when the server gets another key.
    pub fn pin(mut self, pins: impl Into<String>) -> Self {
        self.server.pin = Some(pins.into());
        self
    }

    /// Accepts every certificate of a server [default: false]. Then anyone on the path can forge
    /// the time, as with plain HTTP. A [pin](Self::pin) is still checked.
    pub const fn insecure(mut self, insecure: bool) -> Self {
        self.server.insecure = insecure;
        self
    }

    /// As [`cacert`](Self::cacert), for the proxy.
    pub fn proxy_cacert(mut self, file: impl Into<PathBuf>) -> Self {
        self.proxy.cacert = Some(file.into());
        self
    }

    /// As [`cacert_pem`](Self::cacert_pem), for the proxy.
    pub fn proxy_cacert_pem(mut self, pem: impl Into<String>) -> Self {
        self.proxy.cacert_pem = Some(pem.into());
        self
    }

    /// As [`capath`](Self::capath), for the proxy.
    pub fn proxy_capath(mut self, directory: impl Into<PathBuf>) -> Self {
        self.proxy.capath = Some(directory.into());
        self
    }

    /// As [`certificate`](Self::certificate), for the proxy.
    pub fn proxy_certificate(mut self, file: impl Into<PathBuf>) -> Self {
        self.proxy.certificate = Some(file.into());
        self
    }

    /// As [`key`](Self::key), for the proxy.
    pub fn proxy_key(mut self, file: impl Into<PathBuf>) -> Self {
        self.proxy.key = Some(file.into());
        self
    }

    /// As [`pin`](Self::pin), for the proxy.
    pub fn proxy_pin(mut self, pins: impl Into<String>) -> Self {
        self.proxy.pin = Some(pins.into());
        self
    }

    /// As [`insecure`](Self::insecure), for the proxy. Then anyone on the path can read its
    /// password.
    pub const fn proxy_insecure(mut self, insecure: bool) -> Self {
        self.proxy.insecure = insecure;
        self
    }

    /// A time that has certainly passed [default: the day of the build]. An earlier one than the
    /// default has no effect. Certificates that expired before it are refused in the handshake.
    pub const fn floor(mut self, floor: Timestamp) -> Self {
        self.floor = Some(floor);
        self
    }

    /// Whether the local clock is known to be right, for example synchronised according to the
    /// kernel [default: never]. Called once for each session and peer.
    ///
    /// If it is, the local clock alone decides whether certificates are valid. If it is not, the
    /// measured time of the server decides.
    pub fn clock_is_synchronised(
        mut self,
        is_synchronised: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        self.is_synchronised = Arc::new(is_synchronised);
        self
    }

    /// Whether the environment variables `SSL_CERT_FILE` and `SSL_CERT_DIR` replace the places of
    /// the system's CA certificates [default: false].
    pub const fn environment(mut self, environment: bool) -> Self {
        self.environment = environment;
        self
    }

    /// Reads the files and checks the settings. The CA certificates of the system are read only
    /// when a session needs them.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`], which names the setting, for a file that cannot be used and for an
    /// invalid pin.
    pub fn build(self) -> Result<TlsConfig, Error> {
        let system = Arc::new(SystemAnchors::new(self.environment));
        let server = self.server.rules("", &system)?;
        let proxy = self.proxy.rules("proxy_", &system)?;
        let floor = self.floor.map_or(build_day(), |floor| floor.max(build_day()));
        Ok(TlsConfig {
            server: Arc::new(server),
            proxy: Arc::new(proxy),
            floor,
            is_synchronised: self.is_synchronised,
            config: Arc::new(client_config()?),
        })
    }
}

impl PeerSettings {
    /// `prefix` precedes the names of the settings in errors.
    fn rules(&self, prefix: &str, system: &Arc<SystemAnchors>) -> Result<Rules, Error> {
        let check = if let Some(pins) = &self.pin {
            let pins = Pin::parse_list(pins);
            Check::Pin(pins.map_err(|reason| invalid(format!("{prefix}pin {reason}")))?)
        } else if self.insecure {
            Check::Nothing
        } else {
            Check::Chain(self.anchors(prefix, system)?)
        };
        Ok(Rules { check, client: self.client(prefix)? })
    }

    fn anchors(&self, prefix: &str, system: &Arc<SystemAnchors>) -> Result<Anchors, Error> {
        if self.cacert.is_none() && self.cacert_pem.is_none() && self.capath.is_none() {
            return Ok(Anchors::System(Arc::clone(system)));
        }
        let mut anchors = Vec::new();
        if let Some(file) = &self.cacert {
            anchors.extend(trust::from_path(&format!("{prefix}cacert"), Some(file), None)?);
        }
        if let Some(pem) = &self.cacert_pem {
            anchors.extend(trust::from_pem(&format!("{prefix}cacert_pem"), pem)?);
        }
        if let Some(directory) = &self.capath {
            anchors.extend(trust::from_path(&format!("{prefix}capath"), None, Some(directory))?);
        }
        Ok(Anchors::Given(anchors))
    }

    fn client(&self, prefix: &str) -> Result<Option<Arc<CertifiedKey>>, Error> {
        let Some(certificate) = &self.certificate else {
            return match self.key {
                Some(_) => Err(invalid(format!(
                    "{prefix}key is given without the certificate that it belongs to; set {prefix}cert"
                ))),
                None => Ok(None),
            };
        };
        let settings = [&*format!("{prefix}cert"), &*format!("{prefix}key")];
        trust::client(settings, certificate, self.key.as_deref()).map(Some)
    }
}

impl TlsConfig {
    /// The CA certificates of the system, no pins, no client certificate; the local clock is not
    /// trusted.
    pub fn builder() -> TlsConfigBuilder {
        TlsConfigBuilder {
            server: PeerSettings::default(),
            proxy: PeerSettings::default(),
            floor: None,
            is_synchronised: Arc::new(|| false),
            environment: false,
        }
    }

    /// Whether every certificate of a server is accepted.
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        matches!(self.server.check, Check::Nothing)
    }
}

impl Security for TlsConfig {
    fn peer(&self, peer: Peer, host: &str) -> Result<Box<dyn PeerSecurity>, Error> {
        let rules = match peer {
            Peer::Proxy => &self.proxy,
            _ => &self.server,
        };
        rules.prepare()?;
        let is_synchronised = (self.is_synchronised)();
        Ok(Box::new(PeerSession {
            peer,
            name: server_name(host)?,
            rules: Arc::clone(rules),
            clock: if is_synchronised { Clock::Local } else { Clock::Floor(self.floor) },
            config: Arc::clone(&self.config),
            accepted: Arc::new(Accepted::default()),
        }))
    }

    fn by_local_clock(&self) -> Arc<dyn Security> {
        Arc::new(Self { is_synchronised: Arc::new(|| true), ..self.clone() })
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, proxy, floor, .. } = self;
        f.debug_struct("TlsConfig")
            .field("server", server)
            .field("proxy", proxy)
            .field("floor", floor)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TlsConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, proxy, floor, environment, .. } = self;
        f.debug_struct("TlsConfigBuilder")
            .field("server", server)
            .field("proxy", proxy)
            .field("floor", floor)
            .field("environment", environment)
            .finish_non_exhaustive()
    }
}

/// The name for which the certificate must be. An IPv6 zone is no part of it.
fn server_name(host: &str) -> Result<ServerName<'static>, Error> {
    let address = host.split('%').next().unwrap_or(host);
    ServerName::try_from(address.to_owned()).map_err(|_| {
        invalid(format!(
            "servers: {host:?} is no name that a certificate can have; use another one"
        ))
    })
}

/// What is the same for every connection.
fn client_config() -> Result<ClientConfig, Error> {
    let provider = Arc::new(default_provider());
    let failed = |error: rustls::Error| invalid(format!("TLS cannot be used: {error}"));
    // Each connection has a verifier that replaces this one. It trusts nobody.
    let nobody = RootCertStore::empty();
    let builder = ClientConfig::builder_with_details(provider, Arc::new(StoppedClock));
    let builder = builder.with_safe_default_protocol_versions().map_err(failed)?;
    let mut config = builder.with_root_certificates(nobody).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The clock of rustls, which needs one to store tickets. No ticket is used, and the verifier does
/// not use it, so it can stand still.
#[derive(Debug)]
struct StoppedClock;

impl TimeProvider for StoppedClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::ZERO))
    }
}
