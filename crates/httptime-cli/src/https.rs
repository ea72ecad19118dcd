//! How to check the certificates of https servers and proxies: options, and keys of `[https]`.
#![allow(
    clippy::doc_markdown,
    rustdoc::broken_intra_doc_links,
    reason = "comments of options are the text of --help: no backticks, and brackets are optional parts"
)]

use std::path::PathBuf;

use httptime::{Error, Scheme, Timestamp, Url};
use humantime::parse_rfc3339;
use serde::Deserialize;

use crate::measure_options::{Given, Via};

/// How to check certificates.
#[derive(Debug, Clone, PartialEq, Eq, Default, clap::Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HttpsOptions {
    /// Trust the CA certificates in this file (PEM) instead of the system's
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub(crate) cacert: Option<PathBuf>,

    /// Trust the CA certificates in the files of this directory instead of the system's
    #[arg(long, value_name = "DIR", help_heading = HEADING, hide_short_help = true)]
    pub(crate) capath: Option<PathBuf>,

    /// Client certificate (PEM, with its chain), for a server that asks for one
    #[arg(long, value_name = "FILE", help_heading = HEADING, hide_short_help = true)]
    pub(crate) cert: Option<PathBuf>,

    /// Private key of the client certificate (PEM, not encrypted) [default: in the same file]
    #[arg(long, value_name = "FILE", help_heading = HEADING, hide_short_help = true)]
    pub(crate) key: Option<PathBuf>,

    /// Accept only the server with this public key, whatever its certificate says: sha256//BASE64,
    /// several separated by ;
    ///
    /// A pin needs no CA and no clock, and suits a self-signed certificate. The manual has the
    /// command that prints it.
    #[arg(long, value_name = "PINS", help_heading = HEADING)]
    pub(crate) pin: Option<String>,

    /// Accept every certificate of the server: anyone on the path can forge the time
    #[arg(short = 'k', long, help_heading = HEADING)]
    pub(crate) insecure: bool,

    /// Correct the clock although --insecure is given (sync)
    #[arg(long, help_heading = HEADING, hide_short_help = true)]
    pub(crate) insecure_time: bool,

    /// A day that has passed, such as 2026-01-31: certificates that expired before it are refused
    /// [default: the day on which this program was built]
    #[arg(
        long,
        value_name = "DATE",
        help_heading = HEADING,
        hide_short_help = true,
        value_parser = day
    )]
    #[serde(skip)]
    pub(crate) floor: Option<Timestamp>,

    /// As --cacert, for an https proxy
    #[arg(long, value_name = "FILE", help_heading = HEADING, hide_short_help = true)]
    pub(crate) proxy_cacert: Option<PathBuf>,

    /// As --capath, for an https proxy
    #[arg(long, value_name = "DIR", help_heading = HEADING, hide_short_help = true)]
    pub(crate) proxy_capath: Option<PathBuf>,

    /// As --cert, for an https proxy
    #[arg(long, value_name = "FILE", help_heading = HEADING, hide_short_help = true)]
    pub(crate) proxy_cert: Option<PathBuf>,

    /// As --key, for an https proxy
    #[arg(long, value_name = "FILE", help_heading = HEADING, hide_short_help = true)]
    pub(crate) proxy_key: Option<PathBuf>,

    /// As --pin, for an https proxy
    #[arg(long, value_name = "PINS", help_heading = HEADING, hide_short_help = true)]
    pub(crate) proxy_pin: Option<String>,

    /// As --insecure, for an https proxy: anyone on the path can read its password
    #[arg(long, help_heading = HEADING, hide_short_help = true)]
    pub(crate) proxy_insecure: bool,
}

impl HttpsOptions {
    /// Whether every certificate of a server is accepted.
    pub(crate) const fn accepts_everyone(&self) -> bool {
        self.insecure && self.pin.is_none()
    }

    /// Why a clock must not be corrected by servers that anyone can stand for.
    pub(crate) const fn refusal(&self, by: Given) -> Option<&'static str> {
        match (self.accepts_everyone() && !self.insecure_time, by) {
            (false, _) => None,
            (true, Given::CommandLine) => Some(
                "insecure is set, so anyone on the path could set this clock; use --cacert or \
                 --pin instead, or add --insecure-time",
            ),
            (true, Given::File) => Some(
                "insecure is set, so anyone on the path could set this clock; set cacert or pin \
                 instead, or also insecure_time",
            ),
        }
    }

    /// Refuses settings that nothing uses: a user who gives one believes that it has an effect.
    pub(crate) fn check(&self, urls: &[Url], via: Option<&Via>) -> Result<(), Error> {
        let refuse = |reason| Err(Error::InvalidConfig { reason });
        let first_given = |settings: &[(&'static str, bool)]| {
            settings.iter().find(|(_, is_given)| *is_given).map(|(setting, _)| *setting)
        };
        let for_servers = first_given(&[
            ("pin", self.pin.is_some()),
            ("cacert", self.cacert.is_some()),
            ("capath", self.capath.is_some()),
            ("cert", self.cert.is_some()),
            ("key", self.key.is_some()),
            ("insecure", self.insecure),
        ]);
        let for_proxy = first_given(&[
            ("proxy_pin", self.proxy_pin.is_some()),
            ("proxy_cacert", self.proxy_cacert.is_some()),
            ("proxy_capath", self.proxy_capath.is_some()),
            ("proxy_cert", self.proxy_cert.is_some()),
            ("proxy_key", self.proxy_key.is_some()),
            ("proxy_insecure", self.proxy_insecure),
        ]);
        if let Some(setting) = for_servers.filter(|_| !urls.iter().any(Url::is_https)) {
            return refuse(format!(
                "{setting} is for https servers, but no server's URL begins with https://; write \
                 https:// before the host, or leave this setting out"
            ));
        }
        // The other settings may be meant for the https servers alone. A pin says which key every
        // server has.
        let plain = urls.iter().find(|url| !url.is_https());
        if let (Some(url), true) = (plain, self.pin.is_some()) {
            return refuse(format!(
                "pin is for https servers, but {url} is asked by plain HTTP; write https:// before \
                 its host, or leave this server or this setting out"
            ));
        }
        let Some(setting) = for_proxy else { return Ok(()) };
        match via {
            Some(via) if via.proxy.scheme() == Scheme::Https => Ok(()),
            Some(via) => refuse(format!(
                "{setting} is for an https proxy, but {via} is none; write https:// before its \
                 host, or leave this setting out"
            )),
            None => refuse(format!(
                "{setting} is for an https proxy, and there is no proxy for these servers; name \
                 one, or leave this setting out"
            )),
        }
    }

    /// The TLS with these settings.
    #[cfg(feature = "https")]
    pub(crate) fn tls(&self) -> Result<httptime_tls::TlsConfig, Error> {
        use httptime_clock::{Clock as _, SyncStatus, SystemClock};

        let is_synchronised = || SystemClock::new().status().is_ok_and(SyncStatus::is_synchronised);
        let mut builder = httptime_tls::TlsConfig::builder()
            .environment(true)
            .clock_is_synchronised(is_synchronised)
            .insecure(self.insecure)
            .proxy_insecure(self.proxy_insecure);
        macro_rules! set {
            ($($option:ident => $setter:ident),*) => {
                $(if let Some(value) = &self.$option {
                    builder = builder.$setter(value.clone());
                })*
            };
        }
        set! {
            cacert => cacert, capath => capath, cert => certificate, key => key, pin => pin,
            floor => floor, proxy_cacert => proxy_cacert, proxy_capath => proxy_capath,
            proxy_cert => proxy_certificate, proxy_key => proxy_key, proxy_pin => proxy_pin
        }
        builder.build()
    }
}

/// The beginning of a day, UTC.
pub(crate) fn day(text: &str) -> Result<Timestamp, String> {
    let midnight = parse_rfc3339(&format!("{text}T00:00:00Z")).ok();
    let midnight = midnight.and_then(Timestamp::from_system_time);
    midnight.ok_or_else(|| "allowed: a date in 1970 to 2262, such as 2026-01-31".to_owned())
}

/// The names of the settings, which are also keys of `[https]`.
pub(crate) const SETTINGS: &[&str] = &[
    "cacert",
    "capath",
    "cert",
    "key",
    "pin",
    "insecure",
    "proxy_cacert",
    "proxy_capath",
    "proxy_cert",
    "proxy_key",
    "proxy_pin",
    "proxy_insecure",
];

const HEADING: &str = "HTTPS";
