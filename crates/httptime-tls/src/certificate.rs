//! What is read from a certificate without verifying it: its key, and its issuer for messages.
//! webpki refuses certificates of version 1, which a pin accepts, so this does not use it.

use der::asn1::AnyRef;
use der::{Decode as _, Reader as _, SliceReader, Tag, Tagged as _};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};

/// The public key (`SubjectPublicKeyInfo`). `None` if the certificate is malformed.
pub(crate) fn public_key(
    certificate: &CertificateDer<'_>,
) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let (_, key) = issuer_and_key(certificate).ok()?;
    Some(SubjectPublicKeyInfoDer::from(key.to_vec()))
}

/// The issuer as text, as in RFC 4514: `CN=Example CA,O=Example`.
pub(crate) fn issuer(certificate: &CertificateDer<'_>) -> String {
    let issuer = issuer_and_key(certificate).and_then(|(issuer, _)| name(issuer));
    shortened(&issuer.unwrap_or_else(|_| "unreadable".to_owned()))
}

/// The fields of RFC 5280, section 4.1, up to the key. The version is missing in version 1.
fn issuer_and_key<'a>(certificate: &'a CertificateDer<'_>) -> der::Result<(AnyRef<'a>, &'a [u8])> {
    let mut outside = SliceReader::new(certificate)?;
    let mut signed = contents(&mut outside)?;
    let mut fields = contents(&mut signed)?;
    let first = AnyRef::decode(&mut fields)?;
    if first.tag() != Tag::Integer {
        // The serial number.
        AnyRef::decode(&mut fields)?;
    }
    // The algorithm of the signature.
    AnyRef::decode(&mut fields)?;
    let issuer = AnyRef::decode(&mut fields)?;
    // The validity and the subject.
    AnyRef::decode(&mut fields)?;
    AnyRef::decode(&mut fields)?;
    Ok((issuer, fields.tlv_bytes()?))
}

/// The contents of the next value.
fn contents<'a>(reader: &mut SliceReader<'a>) -> der::Result<SliceReader<'a>> {
    SliceReader::new(AnyRef::decode(reader)?.value())
}

/// The attributes that have a short name, the most specific one first.
fn name(name: AnyRef<'_>) -> der::Result<String> {
    let mut sets = SliceReader::new(name.value())?;
    let mut parts = Vec::new();
    while !sets.is_finished() {
        let mut set = contents(&mut sets)?;
        while !set.is_finished() {
            let mut attribute = contents(&mut set)?;
            let kind = AnyRef::decode(&mut attribute)?;
            let value = AnyRef::decode(&mut attribute)?;
            if let Some((_, short)) = ATTRIBUTES.iter().find(|(oid, _)| *oid == kind.value()) {
                parts.push(format!("{short}={}", String::from_utf8_lossy(value.value())));
            }
        }
    }
    parts.reverse();
    Ok(parts.join(","))
}

/// The text for a message: the peer decides how long a name is, and what is in it.
pub(crate) fn shortened(text: &str) -> String {
    let shown: String = text.chars().filter(|char| !char.is_control()).take(MAX_CHARS).collect();
    if shown.len() < text.len() && shown.chars().count() == MAX_CHARS {
        return format!("{shown}…");
    }
    shown
}

/// The object identifiers in 2.5.4 (X.520) and their short names.
const ATTRIBUTES: &[(&[u8], &str)] = &[
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
];
const MAX_CHARS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_message_is_short_and_printable() {
        assert_eq!(shortened("CN=a\u{7}b"), "CN=ab");
        assert_eq!(shortened(&"x".repeat(100)), "x".repeat(100));
        assert_eq!(shortened(&"ä".repeat(101)), format!("{}…", "ä".repeat(100)));
    }

    #[test]
    fn what_is_no_certificate_has_no_key() {
        for bytes in [&b""[..], b"\x30", b"\x30\x80", b"\x30\x03\x30\x01\x02", &[0xff; 50]] {
            let certificate = CertificateDer::from(bytes);
            assert!(public_key(&certificate).is_none(), "{bytes:?}");
            assert_eq!(issuer(&certificate), "unreadable");
        }
    }
}
