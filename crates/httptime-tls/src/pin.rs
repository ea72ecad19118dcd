//! Pins: public keys that the caller expects.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

/// The SHA-256 of a public key (its `SubjectPublicKeyInfo`, DER).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pin([u8; SHA256_OUTPUT_LEN]);

impl Pin {
    pub(crate) fn of_key(subject_public_key_info: &[u8]) -> Self {
        let mut hash = [0; SHA256_OUTPUT_LEN];
        hash.copy_from_slice(digest(&SHA256, subject_public_key_info).as_ref());
        Self(hash)
    }

    /// Parses pins in curl's syntax: `sha256//BASE64`, several separated by `;`. The error is what
    /// is wrong.
    pub(crate) fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        text.split(';').map(Self::parse).collect()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let encoded = text.trim_ascii().strip_prefix(PREFIX).ok_or_else(|| {
            format!(
                "{text:?} does not begin with {PREFIX}; only the hash of a public key can be pinned"
            )
        })?;
        let hash = BASE64.decode(encoded).ok().and_then(|hash| hash.try_into().ok());
        let pin = hash.map(Self).ok_or_else(|| {
            format!("{text:?} is not {PREFIX} and 44 characters of base64, the SHA-256 of a key")
        })?;
        // A failed command in front of `openssl dgst` leaves this hash.
        if pin == Self::of_key(&[]) {
            return Err(format!(
                "{text:?} is the hash of nothing: the command that made it had no input; run the \
                 command again, and see its errors"
            ));
        }
        Ok(pin)
    }

    /// In curl's syntax.
    pub(crate) fn to_text(self) -> String {
        format!("{PREFIX}{}", BASE64.encode(self.0))
    }
}

const PREFIX: &str = "sha256//";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_as_curl_writes_them() {
        let one = Pin::of_key(b"one").to_text();
        let two = Pin::of_key(b"two").to_text();
        let pins = Pin::parse_list(&format!("{one};{two}")).expect("two pins");
        assert_eq!(pins, [Pin::of_key(b"one"), Pin::of_key(b"two")]);
        for text in ["", "one.pem", "sha256//", "sha256//AAAA", &one[..one.len() - 1], "sha1//AA=="]
        {
            assert!(Pin::parse_list(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_hash_of_nothing_is_refused_by_name() {
        let nothing = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert_eq!(Pin::of_key(b"").to_text(), nothing);
        let refused = Pin::parse_list(nothing).expect_err("no key");
        assert!(refused.contains("the hash of nothing"), "{refused}");
    }
}
