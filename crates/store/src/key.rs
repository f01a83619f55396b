//! Keys that vouch for artifacts: ed25519, RFC 8032.
//!
//! A secret key file holds 64 hexadecimal digits, the seed; a public key is 64 hexadecimal digits, too. What is signed is the
//! artifact's digest as text, `sha256:…`.

use ed25519_dalek::{Signer, SigningKey, Verifier, VerifyingKey};
use poststelle_lifecycle::{Digest, Signature};
use std::str::FromStr;

/// Why an artifact is not vouched for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A text is no key.
    #[error("this is no ed25519 key, expected 64 hexadecimal digits")]
    Key,
    /// There must be a signature.
    #[error("{artifact} is not signed, this environment asks for a signature by one of its keys")]
    Unsigned {
        /// The artifact.
        artifact: Digest,
    },
    /// Signed by nobody who is trusted here.
    #[error("{artifact} is signed by {key}, which is none of this environment's keys")]
    Stranger {
        /// The artifact.
        artifact: Digest,
        /// The key named.
        key: String,
    },
    /// The signature is of something else.
    #[error("the signature of {artifact} is not valid")]
    Invalid {
        /// The artifact.
        artifact: Digest,
    },
}

/// Signs.
pub struct SecretKey(SigningKey);

/// Verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl SecretKey {
    /// From 32 bytes of good chance.
    pub fn of_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// What others verify with.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Vouches for an artifact.
    pub fn sign(&self, artifact: &Digest) -> Signature {
        Signature {
            key: self.public().to_string(),
            signature: hex(&self.0.sign(artifact.as_str().as_bytes()).to_bytes()),
        }
    }
}

impl FromStr for SecretKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Ok(Self::of_seed(&bytes(text.trim()).ok_or(KeyError::Key)?))
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = bytes(text.trim()).ok_or(KeyError::Key)?;
        VerifyingKey::from_bytes(&bytes)
            .map(Self)
            .map_err(|_| KeyError::Key)
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(self.0.as_bytes()))
    }
}

impl PublicKey {
    /// Checks that one of `trusted` vouches for an artifact; where none is trusted, nothing is asked.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn check(trusted: &[Self], artifact: &Digest, signature: Option<&Signature>) -> Result<(), KeyError> {
        if trusted.is_empty() {
            return Ok(());
        }
        let artifact = artifact.clone();
        let Some(Signature { key, signature }) = signature else {
            return Err(KeyError::Unsigned { artifact });
        };
        let Some(by) = trusted.iter().find(|trusted| trusted.to_string() == *key) else {
            let key = key.clone();
            return Err(KeyError::Stranger { artifact, key });
        };
        let valid = bytes::<64>(signature).is_some_and(|bytes| {
            let signature = ed25519_dalek::Signature::from_bytes(&bytes);
            by.0.verify(artifact.as_str().as_bytes(), &signature).is_ok()
        });
        if valid {
            Ok(())
        } else {
            Err(KeyError::Invalid { artifact })
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    if hex.len() != 2 * N || !hex.is_ascii() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 1: the public key of a seed.
    #[test]
    fn keys_are_those_of_the_rfc() {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(seed.parse::<SecretKey>().unwrap().public().to_string(), public);
        assert!("9d".parse::<SecretKey>().is_err() && "zz".repeat(32).parse::<PublicKey>().is_err());
    }

    #[test]
    fn only_a_trusted_key_vouches_and_only_for_what_it_signed() {
        let (ours, theirs) = (SecretKey::of_seed(&[1; 32]), SecretKey::of_seed(&[2; 32]));
        let (artifact, other) = (Digest::of(b"a"), Digest::of(b"b"));
        let trusted = [ours.public()];
        let check = |artifact: &Digest, signature: Option<&Signature>| {
            PublicKey::check(&trusted, artifact, signature)
        };
        assert_eq!(check(&artifact, Some(&ours.sign(&artifact))), Ok(()));
        assert!(matches!(
            check(&other, Some(&ours.sign(&artifact))),
            Err(KeyError::Invalid { .. })
        ));
        assert!(matches!(
            check(&artifact, Some(&theirs.sign(&artifact))),
            Err(KeyError::Stranger { .. })
        ));
        assert!(matches!(check(&artifact, None), Err(KeyError::Unsigned { .. })));
        assert_eq!(PublicKey::check(&[], &artifact, None), Ok(()));
    }
}
