//! Names of the model flow, each checked once, where it comes in.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Why a text is no such name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is `{found}`, expected {expected}")]
pub struct NameError {
    /// What it should name.
    pub what: &'static str,
    /// The text.
    pub found: String,
    /// What such a name looks like.
    pub expected: &'static str,
}

/// A name over a text that was checked; it is written and read as that text.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $expected:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                let check: fn(&str) -> bool = $check;
                if check(&text) {
                    Ok(Self(text))
                } else {
                    Err(NameError { what: $what, found: text, expected: $expected })
                }
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A model: what its versions are versions of.
    ModelName,
    "the model's name",
    "up to 63 lower-case letters, digits and hyphens, a letter or digit first",
    slug
);

name!(
    /// A place that answers mails.
    EndpointName,
    "the endpoint's name",
    "up to 63 lower-case letters, digits and hyphens, a letter or digit first",
    slug
);

name!(
    /// A world of its own: its store, artifacts, keys and data.
    EnvironmentName,
    "the environment's name",
    "up to 63 lower-case letters, digits and hyphens, a letter or digit first",
    slug
);

name!(
    /// Who acted: a person, or a program under its own name.
    Person,
    "who acts",
    "1 to 200 characters on one line",
    line
);

name!(
    /// Why somebody acted.
    Reason,
    "the reason",
    "1 to 2000 characters",
    |text| !text.trim().is_empty() && text.chars().count() <= 2000
);

name!(
    /// A gate, as verdicts and waivers name it: `macro_f1/queue`, `latency_ms`.
    GateName,
    "the gate's name",
    "1 to 200 characters on one line",
    line
);

name!(
    /// What bytes are, exactly: `sha256:` and 64 hexadecimal digits.
    Digest,
    "the digest",
    "`sha256:` and 64 lower-case hexadecimal digits",
    |text| text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
);

name!(
    /// Who calls the gateway: a system, under the name its keys were issued to, or that of its identity provider.
    ClientName,
    "the client's name",
    "1 to 200 characters on one line",
    line
);

name!(
    /// The half of an API key that may be seen.
    ApiKeyId,
    "the API key's id",
    "16 lower-case letters and digits",
    |text| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
);

name!(
    /// An answer to one mail.
    PredictionId,
    "the prediction's id",
    "`pred_` and 32 hexadecimal digits",
    |text| text.strip_prefix("pred_").is_some_and(hexadecimal)
);

name!(
    /// A report of what a mail really was.
    FeedbackId,
    "the feedback's id",
    "`fb_` and 32 hexadecimal digits",
    |text| text.strip_prefix("fb_").is_some_and(hexadecimal)
);

fn hexadecimal(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn slug(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 63
        && text.bytes().next().is_some_and(plain)
        && text.bytes().all(|byte| plain(byte) || byte == b'-')
}

fn line(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= 200 && !text.chars().any(char::is_control)
}

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self::of_hash(sha2::Sha256::digest(bytes).as_slice())
    }

    /// From the 32 bytes of a SHA-256.
    pub fn of_hash(hash: &[u8]) -> Self {
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("sha256:{hex}"))
    }

    /// The hexadecimal digits alone.
    pub fn hex(&self) -> &str {
        self.0.trim_start_matches("sha256:")
    }
}

/// A version: the model and its number, counted from 1; written `model@number`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VersionId {
    /// The model.
    pub model: ModelName,
    /// Its versions are numbered from 1.
    pub number: u32,
}

impl TryFrom<String> for VersionId {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        let wrong = |text: String| NameError {
            what: "the version",
            found: text,
            expected: "a model and a number, as in `mails@3`",
        };
        let Some((model, number)) = text.split_once('@') else {
            return Err(wrong(text));
        };
        match (model.parse(), number.parse()) {
            (Ok(model), Ok(number)) if number > 0 => Ok(Self { model, number }),
            _ => Err(wrong(text)),
        }
    }
}

impl FromStr for VersionId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::try_from(text.to_owned())
    }
}

impl From<VersionId> for String {
    fn from(id: VersionId) -> String {
        id.to_string()
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.model, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_where_they_come_in() {
        assert!("mails".parse::<ModelName>().is_ok());
        for wrong in ["", "-a", "Mails", "a b", "a/b", &"a".repeat(64)] {
            let error = wrong.parse::<ModelName>().unwrap_err();
            assert!(error.to_string().contains(wrong), "{error}");
        }
        let id: VersionId = "mails@3".parse().unwrap();
        assert_eq!(id.to_string(), "mails@3");
        for wrong in ["mails", "mails@0", "mails@x", "@3", "mails@-1"] {
            assert!(wrong.parse::<VersionId>().is_err(), "{wrong}");
        }
        assert!(" \n".parse::<Reason>().is_err() && "a\nb".parse::<Person>().is_err());
        let digest = Digest::of(b"");
        assert_eq!(
            digest.hex(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert!(digest.as_str().parse::<Digest>().is_ok() && "sha256:00".parse::<Digest>().is_err());
    }
}
