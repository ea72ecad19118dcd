//! The options for https, and the check of certificates in a result.

use httptime::CertificateCheck;
#[cfg(feature = "https")]
use httptime::Url;
#[cfg(feature = "https")]
use httptime_tls::TlsConfig;

#[cfg(feature = "https")]
use crate::failure::Failure;

/// Plain HTTP; also if one of several servers has it.
pub const HTTPTIME_CERTIFICATES_NONE: i32 = 0;
/// They are valid at the measured time of the server, at both ends of the bounds.
pub const HTTPTIME_CERTIFICATES_SERVER_TIME: i32 = 1;
/// They are valid according to the local clock.
pub const HTTPTIME_CERTIFICATES_LOCAL_CLOCK: i32 = 2;
/// The public key is a pinned one.
pub const HTTPTIME_CERTIFICATES_PIN: i32 = 3;
/// Nothing was checked: anyone could have answered.
pub const HTTPTIME_CERTIFICATES_UNCHECKED: i32 = 4;

/// The number of the header for a check.
pub(crate) const fn check_number(check: Option<CertificateCheck>) -> i32 {
    match check {
        Some(CertificateCheck::ServerTime { .. }) => HTTPTIME_CERTIFICATES_SERVER_TIME,
        Some(CertificateCheck::LocalClock) => HTTPTIME_CERTIFICATES_LOCAL_CLOCK,
        Some(CertificateCheck::Pin) => HTTPTIME_CERTIFICATES_PIN,
        Some(_) => HTTPTIME_CERTIFICATES_UNCHECKED,
        None => HTTPTIME_CERTIFICATES_NONE,
    }
}

/// The options of one kind of peer.
#[cfg_attr(not(feature = "https"), expect(dead_code, reason = "only that feature reads them"))]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PeerOptions<'a> {
    pub(crate) cacert: Option<&'a str>,
    pub(crate) capath: Option<&'a str>,
    pub(crate) cert: Option<&'a str>,
    pub(crate) key: Option<&'a str>,
    pub(crate) pin: Option<&'a str>,
    pub(crate) insecure: bool,
}

/// The options for https.
#[cfg_attr(not(feature = "https"), expect(dead_code, reason = "only that feature reads them"))]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TlsOptions<'a> {
    pub(crate) server: PeerOptions<'a>,
    pub(crate) proxy: PeerOptions<'a>,
    pub(crate) clock_is_synchronised: bool,
    pub(crate) floor: Option<httptime::Timestamp>,
}

impl TlsOptions<'_> {
    /// The TLS with these options. `None` if no URL needs it.
    #[cfg(feature = "https")]
    pub(crate) fn build(
        &self,
        urls: &[&str],
        proxy: Option<&str>,
    ) -> Result<Option<TlsConfig>, Failure> {
        let is_https = |url: &str| Url::parse(url).is_ok_and(|url| url.is_https());
        if !urls.iter().copied().chain(proxy).any(is_https) {
            return Ok(None);
        }
        let is_synchronised = self.clock_is_synchronised;
        let mut builder = TlsConfig::builder()
            .insecure(self.server.insecure)
            .proxy_insecure(self.proxy.insecure)
            .clock_is_synchronised(move || is_synchronised);
        if let Some(floor) = self.floor {
            builder = builder.floor(floor);
        }
        macro_rules! set {
            ($($peer:ident.$option:ident => $setter:ident),*) => {
                $(if let Some(value) = self.$peer.$option {
                    builder = builder.$setter(value);
                })*
            };
        }
        set! {
            server.cacert => cacert, server.capath => capath, server.cert => certificate,
            server.key => key, server.pin => pin,
            proxy.cacert => proxy_cacert, proxy.capath => proxy_capath,
            proxy.cert => proxy_certificate, proxy.key => proxy_key, proxy.pin => proxy_pin
        }
        Ok(Some(builder.build()?))
    }
}
