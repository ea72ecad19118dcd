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

/// The attributes that have a short name, the most specific one first. If none has, the first one.
fn name(name: AnyRef<'_>) -> der::Result<String> {
    let mut sets = SliceReader::new(name.value())?;
    let (mut parts, mut first) = (Vec::new(), None);
    while !sets.is_finished() {
        let mut set = contents(&mut sets)?;
        while !set.is_finished() {
            let mut attribute = contents(&mut set)?;
            let kind = AnyRef::decode(&mut attribute)?;
            let value = AnyRef::decode(&mut attribute)?;
            let value = String::from_utf8_lossy(value.value());
            if let Some((_, short)) = ATTRIBUTES.iter().find(|(oid, _)| *oid == kind.value()) {
                parts.push(format!("{short}={value}"));
            } else if first.is_none() {
                first = Some(value.into_owned());
            }
        }
    }
    parts.reverse();
    if parts.is_empty() {
        return Ok(first.unwrap_or_else(|| "without a name".to_owned()));
    }
    Ok(parts.join(","))
}

/// The text for a message: the peer decides how long a name is, and what is in it. Characters that
/// `{:?}` escapes, which shows other texts of a server, are left out.
pub(crate) fn shortened(text: &str) -> String {
    let shown: String = text.chars().filter(|char| is_printable(*char)).take(MAX_CHARS).collect();
    if shown.len() < text.len() && shown.chars().count() == MAX_CHARS {
        return format!("{shown}…");
    }
    shown
}

/// `false` for control and format characters, for example those that change the direction of text.
fn is_printable(char: char) -> bool {
    matches!(char, '"' | '\'' | '\\') || char.escape_debug().len() == 1
}

/// The object identifiers and their short names: those in 2.5.4 (X.520), and those of RFC 4519
/// and PKCS#9.
const ATTRIBUTES: &[(&[u8], &str)] = &[
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], "emailAddress"),
];
const MAX_CHARS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_message_is_short_and_printable() {
        assert_eq!(shortened("CN=a\u{7}b"), "CN=ab");
        assert_eq!(shortened("CN=\u{202e}a\u{200b}b\u{2066} \"é\\'"), "CN=ab \"é\\'");
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
