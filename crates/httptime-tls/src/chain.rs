//! Certificate chains and the times at which they are valid.

use std::net::IpAddr;
use std::time::Duration;

use httptime::{Timestamp, TlsFault};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage};

use crate::{certificate, fault};

/// The certificates that a peer sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain {
    leaf: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
}

/// The time in which a chain is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

impl Chain {
    pub(crate) fn new(leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Self {
        Self {
            leaf: leaf.clone().into_owned(),
            intermediates: intermediates.iter().map(|it| it.clone().into_owned()).collect(),
        }
    }

    /// Verifies everything but the present date: there is a time, not before `floor`, at which the
    /// chain leads to an anchor, and the leaf is a server's with this name.
    ///
    /// That time is the latest of `floor` and the beginning of each certificate's validity.
    pub(crate) fn verify_since(
        &self,
        floor: Timestamp,
        anchors: &[TrustAnchor<'_>],
        name: &ServerName<'_>,
    ) -> Result<(), TlsFault> {
        let earliest = unix_time(floor).unwrap_or(EPOCH);
        let mut time = earliest;
        for _ in 0..MAX_STEPS {
            time = match self.path_error(time, anchors) {
                None => return self.verify_name(name),
                Some(Error::CertNotValidYet { not_before, .. }) if not_before > time => not_before,
                Some(Error::CertExpired { not_after, .. }) if time == earliest => {
                    return Err(TlsFault::Expired { valid_to: timestamp(not_after), floor });
                }
                Some(Error::CertExpired { not_after, .. }) => {
                    let (valid_from, valid_to) = (timestamp(time), timestamp(not_after));
                    return Err(TlsFault::NeverValid { valid_from, valid_to });
                }
                Some(error) => return Err(self.fault(&error, name)),
            };
        }
        Err(TlsFault::BadCertificate { reason: "it has too many issuers".to_owned() })
    }

    /// Verifies everything at this time. Returns the part of the chain that leads to an anchor
    /// then. The error is a window if only the time is wrong.
    pub(crate) fn verify_at(
        &self,
        time: Timestamp,
        anchors: &[TrustAnchor<'_>],
        name: &ServerName<'_>,
    ) -> Result<Self, OutsideOr<TlsFault>> {
        let outside = || OutsideOr::Outside(self.window(anchors));
        let Some(time) = unix_time(time) else { return Err(outside()) };
        match self.path(time, anchors) {
            Ok(path) => {
                self.verify_name(name).map_err(OutsideOr::Other)?;
                Ok(path)
            }
            Err(Error::CertNotValidYet { .. } | Error::CertExpired { .. }) => Err(outside()),
            Err(error) => Err(OutsideOr::Other(self.fault(&error, name))),
        }
    }

    /// The time in which the chain is valid, if there is one.
    ///
    /// webpki reports the date of the certificate that is not valid at a given time. Starting
    /// before all dates, each report is a later beginning, until the chain is valid; likewise from
    /// the end.
    pub(crate) fn window(&self, anchors: &[TrustAnchor<'_>]) -> Window {
        let (mut from, mut to) = (EPOCH, unix_seconds(u64::MAX));
        for _ in 0..MAX_STEPS {
            match self.path_error(from, anchors) {
                Some(Error::CertNotValidYet { not_before, .. }) if not_before > from => {
                    from = not_before;
                }
                _ => break,
            }
        }
        for _ in 0..MAX_STEPS {
            match self.path_error(to, anchors) {
                Some(Error::CertExpired { not_after, .. }) if not_after < to => to = not_after,
                _ => break,
            }
        }
        Window { from: timestamp(from), to: timestamp(to) }
    }

    /// Why the chain does not lead to an anchor at this time.
    fn path_error(&self, time: UnixTime, anchors: &[TrustAnchor<'_>]) -> Option<Error> {
        self.path(time, anchors).err()
    }

    /// The part of the chain that leads to an anchor at this time.
    fn path(&self, time: UnixTime, anchors: &[TrustAnchor<'_>]) -> Result<Self, Error> {
        let leaf = EndEntityCert::try_from(&self.leaf)?;
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        let (all, usage) = (&self.intermediates, KeyUsage::server_auth());
        let path = leaf.verify_for_usage(algorithms, anchors, all, time, usage, None, None)?;
        let intermediates = path.intermediate_certificates().map(|it| it.der().into_owned());
        Ok(Self { leaf: self.leaf.clone(), intermediates: intermediates.collect() })
    }

    fn verify_name(&self, name: &ServerName<'_>) -> Result<(), TlsFault> {
        let verified = EndEntityCert::try_from(&self.leaf)
            .and_then(|leaf| leaf.verify_is_valid_for_subject_name(name));
        verified.map_err(|error| self.fault(&error, name))
    }

    fn fault(&self, error: &Error, name: &ServerName<'_>) -> TlsFault {
        let bad = |reason: &str| TlsFault::BadCertificate { reason: reason.to_owned() };
        let last = self.intermediates.last().unwrap_or(&self.leaf);
        match error {
            Error::UnknownIssuer => TlsFault::NotTrusted { issuer: certificate::issuer(last) },
            Error::InvalidSignatureForPublicKey => {
                TlsFault::WrongIssuerKey { issuer: certificate::issuer(last) }
            }
            Error::CertNotValidForName(context) => name_fault(name, &context.presented),
            Error::CaUsedAsEndEntity => TlsFault::CaCertificate,
            Error::EndEntityUsedAsCa => bad("one of its issuers is not a CA (no CA:TRUE)"),
            Error::UnsupportedCertVersion => bad("it is an X.509 certificate of version 1, not 3"),
            Error::RequiredEkuNotFoundContext(_) => {
                bad("its extended key usage does not allow servers (serverAuth)")
            }
            Error::UnsupportedSignatureAlgorithmContext(_)
            | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => bad(
                "it or an issuer has an unsupported signature algorithm, such as SHA-1 or RSA with \
                 less than 2048 bits",
            ),
            Error::NameConstraintViolation => bad("a CA of the chain may not issue for this name"),
            Error::PathLenConstraintViolated => {
                bad("the chain is longer than one of its CAs allows")
            }
            Error::UnsupportedCriticalExtension => bad("it has an unknown critical extension"),
            Error::MaximumPathDepthExceeded => {
                bad("the chain has too many intermediate certificates; allowed: 6")
            }
            Error::MaximumPathBuildCallsExceeded
            | Error::MaximumSignatureChecksExceeded
            | Error::MaximumNameConstraintComparisonsExceeded => {
                bad("its chain is too complex; send only the certificates that lead to the CA")
            }
            Error::BadDerTime => bad("one of its dates is malformed"),
            Error::InvalidCertValidity => {
                bad("the end of its validity, or of an issuer's, is before the beginning")
            }
            other => bad(&format!("it is malformed ({})", fault::spaced(&format!("{other:?}")))),
        }
    }
}

/// The result of a check at a time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OutsideOr<T> {
    /// The time is outside this window.
    Outside(Window),
    Other(T),
}

/// The fault of a certificate with these names, as webpki presents them.
fn name_fault(name: &ServerName<'_>, presented: &[String]) -> TlsFault {
    let host = name.to_str().into_owned();
    let names: Vec<&str> = presented.iter().filter_map(|name| plain_name(name)).collect();
    let address = host.parse::<IpAddr>().ok();
    if names.is_empty() {
        TlsFault::NoName { host }
    } else if names.iter().any(|name| address.is_some() && name.parse().ok() == address) {
        TlsFault::AddressAsName { host }
    } else {
        let names = names.into_iter().map(certificate::shortened).collect();
        TlsFault::WrongName { host, names }
    }
}

/// The name in `DnsName("a.example")` or `IpAddress(192.0.2.1)`. `None`: a URL has no such name.
fn plain_name(presented: &str) -> Option<&str> {
    let inside = match presented.strip_prefix("DnsName(\"") {
        Some(name) => name.strip_suffix("\")"),
        None => presented.strip_prefix("IpAddress(")?.strip_suffix(')'),
    };
    inside.filter(|name| !name.is_empty())
}

/// `None` before 1970, which no certificate can express in practice.
fn unix_time(time: Timestamp) -> Option<UnixTime> {
    let seconds = time.as_unix_nanos().div_euclid(NANOS_PER_SECOND);
    u64::try_from(seconds).ok().map(unix_seconds)
}

const fn unix_seconds(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

/// The latest timestamp for a time that is later.
fn timestamp(time: UnixTime) -> Timestamp {
    let latest = Timestamp::from_unix_nanos(i64::MAX);
    i64::try_from(time.as_secs()).ok().and_then(Timestamp::from_unix_seconds).unwrap_or(latest)
}

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const EPOCH: UnixTime = unix_seconds(0);
/// More than the number of certificates in a path, which webpki limits to 6 intermediates.
const MAX_STEPS: usize = 16;
