//! Who may call the gateway, and what for.
//!
//! A key is two texts in one: an id, which may be seen, and a secret of 32 random bytes, of which only the SHA-256 is kept. A secret
//! of that size cannot be guessed, so it needs no slow hash (NIST SP 800-63B, 5.1.2.2, speaks of what people choose).

use crate::{Act, ApiKeyId, ClientName, Digest};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// What a caller of the gateway may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Have mails labelled.
    Predict,
    /// Read predictions that were made for it.
    Read,
    /// Say what a mail really was.
    Feedback,
    /// Have predictions deleted.
    Erase,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 4] = [Self::Predict, Self::Read, Self::Feedback, Self::Erase];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Predict => "predict",
            Self::Read => "read",
            Self::Feedback => "feedback",
            Self::Erase => "erase",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no permission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the permission is `{found}`, expected `predict`, `read`, `feedback` or `erase`")]
pub struct UnknownPermission {
    /// The word.
    pub found: String,
}

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        let found = Self::ALL.into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| UnknownPermission {
            found: text.to_owned(),
        })
    }
}

/// A key of the gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Its first half, which may be seen.
    pub id: ApiKeyId,
    /// Whose it is: what one client's keys made belongs to all its keys, and to nobody else's.
    pub client: ClientName,
    /// What it is for.
    pub permissions: BTreeSet<Permission>,
    /// Requests a minute, where they differ from the environment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// SHA-256 of the secret half.
    pub secret: Digest,
    /// Who issued it.
    pub issued: Act,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Who ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Act>,
    /// The key it came after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<ApiKeyId>,
}

/// A key as its client sends it: `pst_`, the id, `_`, the secret as 64 hexadecimal digits.
pub struct KeyText {
    /// The half that may be seen.
    pub id: ApiKeyId,
    secret: String,
}

const KEY_PREFIX: &str = "pst_";

impl KeyText {
    /// From 40 bytes of good chance: 8 for the id, 32 for the secret.
    pub fn of_chance(bytes: &[u8; 40]) -> Self {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let id = ApiKeyId::try_from(hex(&bytes[..8])).expect("16 hexadecimal digits");
        Self {
            id,
            secret: hex(&bytes[8..]),
        }
    }

    /// Reads a key; none where a text has not that shape.
    pub fn read(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(KEY_PREFIX)?.split_once('_')?;
        let whole = secret.len() == 64
            && secret
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        Some(Self {
            id: id.parse().ok().filter(|_| whole)?,
            secret: secret.to_owned(),
        })
    }

    /// Whether a text means to be a key.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(KEY_PREFIX)
    }

    /// What is kept of its secret.
    pub fn digest(&self) -> Digest {
        Digest::of(self.secret.as_bytes())
    }

    /// The whole key, to be shown once.
    pub fn reveal(&self) -> String {
        format!("{KEY_PREFIX}{}_{}", self.id, self.secret)
    }
}

/// Shows the id alone.
impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KEY_PREFIX}{}_***", self.id)
    }
}

/// Whether a key is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyStanding {
    /// It is.
    Active,
    /// Its time is over.
    Expired,
    /// Somebody ended it.
    Revoked,
}

/// A key that cannot be changed any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key `{id}` is {standing}, expected an active one")]
pub struct KeyEnded {
    /// The key.
    pub id: ApiKeyId,
    /// How it stands.
    pub standing: KeyStanding,
}

impl fmt::Display for KeyStanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        })
    }
}

impl ApiKey {
    /// Whether it is good now.
    pub fn standing(&self, now: Timestamp) -> KeyStanding {
        if self.revoked.is_some() {
            KeyStanding::Revoked
        } else if self.expires.is_some_and(|end| end <= now) {
            KeyStanding::Expired
        } else {
            KeyStanding::Active
        }
    }

    /// Ends it at once.
    ///
    /// # Errors
    /// [`KeyEnded`] where it has ended.
    pub fn revoke(self, act: Act) -> Result<Self, KeyEnded> {
        self.active(act.at)?;
        Ok(Self {
            revoked: Some(act),
            ..self
        })
    }

    /// Issues its successor, with the same client and permissions; it is good until `until`, for whoever has it still in use.
    /// Where it would have ended sooner, it does.
    ///
    /// # Errors
    /// [`KeyEnded`] where it has ended.
    pub fn rotate(
        self,
        id: ApiKeyId,
        secret: Digest,
        expires: Option<Timestamp>,
        until: Timestamp,
        act: Act,
    ) -> Result<(Self, Self), KeyEnded> {
        self.active(act.at)?;
        let next = Self {
            id,
            secret,
            issued: act,
            expires,
            replaces: Some(self.id.clone()),
            ..self.clone()
        };
        let end = self.expires.map_or(until, |end| end.min(until));
        let last = Self {
            expires: Some(end),
            ..self
        };
        Ok((last, next))
    }

    fn active(&self, now: Timestamp) -> Result<(), KeyEnded> {
        match self.standing(now) {
            KeyStanding::Active => Ok(()),
            standing => Err(KeyEnded {
                id: self.id.clone(),
                standing,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(at: &str) -> Act {
        Act {
            by: "ada".parse().unwrap(),
            at: at.parse().unwrap(),
            reason: "for the CRM".parse().unwrap(),
        }
    }

    fn key(text: &KeyText) -> ApiKey {
        ApiKey {
            id: text.id.clone(),
            client: "crm".parse().unwrap(),
            permissions: BTreeSet::from([Permission::Predict]),
            requests_per_minute: None,
            secret: text.digest(),
            issued: act("2026-11-26T10:00:00Z"),
            expires: Some("2027-01-01T00:00:00Z".parse().unwrap()),
            revoked: None,
            replaces: None,
        }
    }

    #[test]
    fn a_key_is_read_as_it_was_shown_and_debug_hides_it() {
        let text = KeyText::of_chance(&[7; 40]);
        let read = KeyText::read(&text.reveal()).unwrap();
        assert_eq!(
            (read.id.as_str(), read.digest()),
            ("0707070707070707", text.digest())
        );
        assert!(!format!("{text:?}").contains("070707_07"), "{text:?}");
        let whole = text.reveal();
        for wrong in [
            "",
            "pst_",
            &whole[..whole.len() - 1],
            &whole.to_uppercase(),
            &whole[4..],
            "pst_a_b",
        ] {
            assert!(KeyText::read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_rotated_key_is_good_for_a_while_and_a_revoked_one_is_not() {
        let (first, second) = (KeyText::of_chance(&[1; 40]), KeyText::of_chance(&[2; 40]));
        let rotate = act("2026-11-27T10:00:00Z");
        let until = "2026-11-28T10:00:00Z".parse().unwrap();
        let (last, next) = key(&first)
            .rotate(second.id.clone(), second.digest(), None, until, rotate.clone())
            .unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(last.standing(at("2026-11-28T09:59:59Z")), KeyStanding::Active);
        assert_eq!(last.standing(until), KeyStanding::Expired);
        assert_eq!(
            (next.replaces.as_ref(), &next.client),
            (Some(&first.id), &last.client)
        );
        assert_eq!(next.permissions, last.permissions);
        let revoked = next.revoke(rotate.clone()).unwrap();
        assert_eq!(revoked.standing(rotate.at), KeyStanding::Revoked);
        let error = revoked.revoke(rotate).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the key `{}` is revoked, expected an active one", second.id)
        );
    }
}
