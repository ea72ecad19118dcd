//! What a measurement reports about TLS. The core has no TLS: [`Security`] adds it.
//!
//! [`Security`]: crate::session::Security

use std::fmt;

use crate::time::Timestamp;

/// The other end of a TLS connection.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// The server whose clock is measured.
    Server,
    /// The proxy.
    Proxy,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Proxy => "proxy",
        })
    }
}

/// How the certificates of a server or a proxy were checked. All of them were checked before a
/// request was sent; this is about the validity dates.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateCheck {
    /// They are valid at the measured time of the server, at both ends of the bounds. An attacker
    /// who has the private key of a certificate that expired after the floor can show a time at
    /// which it was valid.
    ServerTime {
        /// The beginning of the time in which all of them are valid.
        valid_from: Timestamp,
        /// Its end.
        valid_to: Timestamp,
    },
    /// They are valid according to the local clock, which the caller knows to be right.
    LocalClock,
    /// The public key is one that the caller expects. This needs no clock.
    Pin,
    /// Nothing was checked: the other end can be anyone.
    Unchecked,
}

impl CertificateCheck {
    /// The stable name, for programs: `server_time`, `local_clock`, `pin` or `none`.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::ServerTime { .. } => "server_time",
            Self::LocalClock => "local_clock",
            Self::Pin => "pin",
            Self::Unchecked => "none",
        }
    }

    /// The one that proves less. The window of both is the time in which both are valid.
    pub(crate) fn weaker(self, other: Self) -> Self {
        match (self, other) {
            (
                Self::ServerTime { valid_from, valid_to },
                Self::ServerTime { valid_from: from, valid_to: to },
            ) => Self::ServerTime { valid_from: valid_from.max(from), valid_to: valid_to.min(to) },
            _ if self.strength() <= other.strength() => self,
            _ => other,
        }
    }

    const fn strength(self) -> u8 {
        match self {
            Self::Unchecked => 0,
            Self::ServerTime { .. } => 1,
            Self::LocalClock => 2,
            Self::Pin => 3,
        }
    }
}

impl fmt::Display for CertificateCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServerTime { valid_from, valid_to } => write!(
                f,
                "certificate time taken from the server, valid {valid_from} to {valid_to}"
            ),
            Self::LocalClock => f.write_str("certificate valid by the local clock"),
            Self::Pin => f.write_str("public key pinned"),
            Self::Unchecked => f.write_str("certificate not checked"),
        }
    }
}

/// The reasons for which a TLS connection is refused. Part of [`Error::Tls`](crate::Error::Tls),
/// which has the message.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsFault {
    /// No trusted CA has issued the certificate.
    NotTrusted {
        /// The issuer of the last certificate that the peer sent, as text.
        issuer: String,
    },
    /// The issuer has the name of a trusted CA, but the signature does not fit the key of that CA.
    WrongIssuerKey {
        /// The issuer of the last certificate that the peer sent, as text.
        issuer: String,
    },
    /// The certificate is for other names.
    WrongName {
        /// The name or address of the URL.
        host: String,
        /// The names and addresses in the certificate.
        names: Vec<String>,
    },
    /// The address of the URL is in the certificate as a DNS name, which stands for no address.
    AddressAsName {
        /// The address.
        host: String,
    },
    /// No subject alternative name of the certificate is a DNS name or an address. It has at most a
    /// common name, which names no host since RFC 6125.
    NoName {
        /// The name or address of the URL.
        host: String,
    },
    /// A CA certificate is used as that of a server.
    CaCertificate,
    /// The certificate expired before the earliest time that is accepted.
    Expired {
        /// The end of its validity.
        valid_to: Timestamp,
        /// The earliest time that is accepted.
        floor: Timestamp,
    },
    /// There is no time at which all certificates of the chain are valid.
    NeverValid {
        /// The beginning of the validity of one of them.
        valid_from: Timestamp,
        /// The end of the validity of another one, which is earlier.
        valid_to: Timestamp,
    },
    /// The measured time of the server is outside the validity of the certificate.
    DateOutside {
        /// The beginning of the validity.
        valid_from: Timestamp,
        /// Its end.
        valid_to: Timestamp,
        /// The measured time.
        date: Timestamp,
    },
    /// The local clock, which is known to be right, is outside the validity of the certificate.
    LocalTimeOutside {
        /// The beginning of the validity.
        valid_from: Timestamp,
        /// Its end.
        valid_to: Timestamp,
        /// The local time.
        local: Timestamp,
    },
    /// The public key is none of the pinned ones.
    WrongPin {
        /// The pin of the key: `sha256//` and base64.
        pin: String,
    },
    /// The certificate cannot be used for another reason.
    BadCertificate {
        /// The reason.
        reason: String,
    },
    /// The signature of the handshake does not fit the key in the certificate. A pin makes no
    /// difference.
    BadSignature,
    /// No version of TLS, or no algorithm, is common to both ends.
    NoCommonProtocol {
        /// What the peer answered.
        reason: String,
    },
    /// The peer does not offer HTTP/1.1 (ALPN).
    NoHttp1,
    /// The peer requires a client certificate, and none is configured.
    ClientCertificateRequired,
    /// The peer refuses the client certificate.
    ClientCertificateRefused {
        /// Its alert.
        reason: String,
    },
    /// The peer ended the connection with another alert.
    Alert {
        /// The alert.
        alert: String,
    },
    /// The peer ended an open connection of TLS 1.2 because the handshake was not repeated on it
    /// (renegotiation).
    Renegotiation,
    /// The peer answers in plain HTTP.
    PlainHttp,
    /// The peer sends something other than TLS.
    NotTls,
    /// The peer violates the protocol.
    Violation {
        /// What is wrong.
        reason: String,
    },
    /// The connections of a measurement have led to too many different certificates.
    TooManyCertificates {
        /// The number that is accepted.
        limit: usize,
    },
    /// The connection was closed within a record.
    CutOff,
    /// The connection was closed in the handshake.
    Closed,
}

impl TlsFault {
    /// The stable name, as in [`Error::kind`](crate::Error::kind).
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NotTrusted { .. } | Self::WrongIssuerKey { .. } => "tls_not_trusted",
            Self::WrongName { .. } | Self::AddressAsName { .. } => "tls_wrong_name",
            Self::NoName { .. } => "tls_no_name",
            Self::CaCertificate => "tls_ca_certificate",
            Self::Expired { .. } => "tls_expired",
            Self::NeverValid { .. } => "tls_never_valid",
            Self::DateOutside { .. } => "tls_date_outside",
            Self::LocalTimeOutside { .. } => "tls_local_time_outside",
            Self::WrongPin { .. } => "tls_wrong_pin",
            Self::BadCertificate { .. } | Self::BadSignature => "tls_bad_certificate",
            Self::NoCommonProtocol { .. } | Self::NoHttp1 => "tls_no_common_protocol",
            Self::ClientCertificateRequired => "tls_client_certificate_required",
            Self::ClientCertificateRefused { .. } => "tls_client_certificate_refused",
            Self::Alert { .. } | Self::Renegotiation => "tls_alert",
            Self::PlainHttp => "tls_plain_http",
            Self::NotTls => "tls_not_tls",
            Self::Violation { .. } | Self::TooManyCertificates { .. } => "tls_violation",
            Self::CutOff => "tls_cut_off",
            Self::Closed => "tls_closed",
        }
    }

    /// Whether the peer has shown a certificate that was refused: it is another peer, or someone on
    /// the path.
    pub(crate) const fn is_refused_certificate(&self) -> bool {
        matches!(
            self,
            Self::NotTrusted { .. }
                | Self::WrongName { .. }
                | Self::NoName { .. }
                | Self::CaCertificate
                | Self::Expired { .. }
                | Self::NeverValid { .. }
                | Self::LocalTimeOutside { .. }
                | Self::WrongPin { .. }
                | Self::WrongIssuerKey { .. }
                | Self::AddressAsName { .. }
                | Self::BadSignature
                | Self::BadCertificate { .. }
        )
    }

    /// The message about this peer.
    pub(crate) fn message(&self, peer: Peer) -> String {
        match self {
            Self::NotTrusted { issuer } => format!(
                "the {peer}'s certificate is not trusted: no trusted CA has issued it (issuer: \
                 {issuer}); add its CA's certificate, or pin its key"
            ),
            Self::WrongIssuerKey { issuer } => format!(
                "the {peer}'s certificate is not trusted: its CA ({issuer}) has another key than \
                 the trusted one, or an unsupported key (RSA below 2048 bits); add the right CA's \
                 certificate"
            ),
            Self::WrongName { host, names } => format!(
                "the {peer}'s certificate is not for {host}, but for {}; use one of these in the \
                 URL, or pin its key",
                listed(names)
            ),
            Self::AddressAsName { host } => format!(
                "the {peer}'s certificate has {host} as a DNS name, but an address needs an IP \
                 entry; issue one with subjectAltName IP:{host}, or pin its key"
            ),
            Self::NoName { host } => format!(
                "the {peer}'s certificate names no host: it has no DNS name and no address \
                 (subjectAltName); issue one for {host}, or pin its key"
            ),
            Self::CaCertificate => format!(
                "the {peer} uses a CA certificate (CA:TRUE) as its own; issue one without CA:TRUE, \
                 or pin its key"
            ),
            Self::Expired { valid_to, floor } => format!(
                "the {peer}'s certificate, or one of its chain, expired on {valid_to}, and no time \
                 before {floor} is accepted; renew it"
            ),
            Self::NeverValid { valid_from, valid_to } => format!(
                "the {peer}'s certificates are at no time all valid: one begins on {valid_from}, \
                 and another ended on {valid_to}; renew them"
            ),
            Self::DateOutside { valid_from, valid_to, date } => format!(
                "the server's clock shows {date}; the {peer}'s certificate is valid {valid_from} \
                 to {valid_to}; correct one of them"
            ),
            Self::LocalTimeOutside { valid_from, valid_to, local } => format!(
                "the local clock, which is synchronised, shows {local}; the {peer}'s certificate \
                 is valid {valid_from} to {valid_to}; renew it"
            ),
            Self::WrongPin { pin } => format!(
                "the {peer}'s key is not the pinned one, but {pin}; ask its operator, and pin the \
                 new one"
            ),
            Self::BadCertificate { reason } => format!(
                "the {peer}'s certificate cannot be used: {reason}; issue another one, or pin its \
                 key"
            ),
            Self::BadSignature => format!(
                "the {peer} does not have its certificate's private key, or the key is \
                 unsupported (RSA below 2048 bits); install the right key, or use {KEYS}"
            ),
            Self::NoCommonProtocol { reason } => format!(
                "no TLS version or algorithm in common with the {peer} ({reason}); allow there TLS \
                 1.2 or 1.3, ECDHE with AES-GCM or ChaCha20, {KEYS}"
            ),
            Self::NoHttp1 => format!(
                "the {peer} does not offer HTTP/1.1 in the TLS handshake (ALPN); allow http/1.1 on \
                 the {peer}"
            ),
            Self::ClientCertificateRequired => {
                format!("the {peer} requires a client certificate; give one, with its key")
            }
            Self::ClientCertificateRefused { reason } => format!(
                "the {peer} refuses the client certificate ({reason}); give one that it accepts"
            ),
            Self::Alert { alert } => format!(
                "the {peer} ended the TLS connection ({alert}); check the host name in the URL, \
                 and the log of the {peer}"
            ),
            Self::Renegotiation => format!(
                "the {peer} wants to renegotiate, for example for a client certificate for this \
                 path, which is not supported; let it ask on the whole {peer}, or use another path"
            ),
            Self::PlainHttp => format!(
                "the {peer} answers in plain HTTP; use http://, or the port of HTTPS, usually 443"
            ),
            Self::NotTls => {
                format!("the {peer}'s answer is not TLS; check the port, HTTPS is usually on 443")
            }
            Self::Violation { reason } => format!(
                "the {peer} violates TLS: {reason}; use another server, or look for a device on \
                 the path that changes the data"
            ),
            Self::TooManyCertificates { limit } => format!(
                "the servers behind the {peer}'s name have more than {limit} different \
                 certificates; use the name of one of them, or its address and a pin of its key"
            ),
            Self::CutOff => format!(
                "the connection was closed within a TLS record of the {peer}; if it happens again, \
                 look for a device on the path that cuts connections"
            ),
            Self::Closed => format!(
                "the {peer} closed the connection in the TLS handshake; check that the port \
                 speaks HTTPS"
            ),
        }
    }
}

/// The first of these names, and how many there are in total.
fn listed(names: &[String]) -> String {
    let shown = names.get(..MAX_NAMES).unwrap_or(names).join(", ");
    match names.len().saturating_sub(MAX_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The keys that this program can verify.
const KEYS: &str = "RSA from 2048 bits, P-256, P-384 or Ed25519";
/// The number of names in a message. Certificates of large sites have hundreds.
const MAX_NAMES: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: i64) -> Timestamp {
        Timestamp::from_unix_nanos(nanos)
    }

    #[test]
    fn the_weaker_check_is_the_one_that_proves_less() {
        let window =
            |from, to| CertificateCheck::ServerTime { valid_from: at(from), valid_to: at(to) };
        assert_eq!(window(1, 5).weaker(window(2, 6)), window(2, 5));
        for (one, other, weaker) in [
            (CertificateCheck::Pin, window(1, 5), window(1, 5)),
            (window(1, 5), CertificateCheck::LocalClock, window(1, 5)),
            (CertificateCheck::Pin, CertificateCheck::LocalClock, CertificateCheck::LocalClock),
            (window(1, 5), CertificateCheck::Unchecked, CertificateCheck::Unchecked),
        ] {
            assert_eq!(one.weaker(other), weaker);
            assert_eq!(other.weaker(one), weaker);
        }
    }

    #[test]
    fn no_pin_is_advised_where_it_makes_no_difference() {
        for (fault, part) in [
            (TlsFault::BadSignature, "the proxy does not have its certificate's private key, or "),
            (
                TlsFault::WrongIssuerKey { issuer: "CN=Example CA".into() },
                "its CA (CN=Example CA) has another key than the trusted one, or an unsupported",
            ),
            (TlsFault::NoHttp1, "allow http/1.1 on the proxy"),
            (TlsFault::Renegotiation, "let it ask on the whole proxy"),
        ] {
            let message = fault.message(Peer::Proxy);
            assert!(message.contains(part) && !message.contains("pin"), "{message}");
            // The texts of a C structure have 192 bytes, and "failed: " may come before.
            assert!(message.len() < 184, "{message}");
        }
    }

    #[test]
    fn a_message_shows_the_first_names_of_many() {
        let names = (1..=8).map(|number| format!("{number}.example")).collect();
        let fault = TlsFault::WrongName { host: "a.example".into(), names };
        let message = fault.message(Peer::Proxy);
        assert!(message.contains("the proxy's certificate is not for a.example"), "{message}");
        assert!(message.contains("5.example and 3 more; "), "{message}");
    }
}
