//! How far masking goes, as recipes, bundles and the command line write it.

use std::fmt;
use std::str::FromStr;

/// Where personal details are masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Redact {
    /// Nowhere.
    #[default]
    Off,
    /// In what is kept: a model reads mails as they are, and whoever writes one down masks it first
    /// with [`CleanText::redacted`](crate::CleanText::redacted).
    ///
    /// A model trained so still holds words of its mails in its vocabulary.
    Storage,
    /// In all that leaves the cleaner, so that a model never reads them, in training or in serving.
    Everything,
}

impl Redact {
    /// True when a text is masked before it is written down.
    pub fn in_storage(self) -> bool {
        self != Self::Off
    }

    /// True when a model reads masked text.
    pub fn in_reading(self) -> bool {
        self == Self::Everything
    }
}

/// A name that is no level's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownRedact(String);

impl fmt::Display for UnknownRedact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "masking of personal details `{}`: expected `off`, `storage` or `everything`",
            self.0
        )
    }
}

impl std::error::Error for UnknownRedact {}

impl FromStr for Redact {
    type Err = UnknownRedact;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "off" => Ok(Self::Off),
            "storage" => Ok(Self::Storage),
            "everything" => Ok(Self::Everything),
            other => Err(UnknownRedact(other.to_owned())),
        }
    }
}
