//! Names of the cleaning profiles, as recipes, bundles and the command line write them.

use crate::Profile;
use std::fmt;
use std::str::FromStr;

/// A name that is no profile's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownProfile(String);

impl fmt::Display for UnknownProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cleaning profile `{}`: expected `request`, `author` or `decode`",
            self.0
        )
    }
}

impl std::error::Error for UnknownProfile {}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "request" => Ok(Self::Request),
            "author" => Ok(Self::Author),
            "decode" => Ok(Self::Decode),
            other => Err(UnknownProfile(other.to_owned())),
        }
    }
}
