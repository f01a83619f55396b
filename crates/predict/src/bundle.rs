//! A bundle as a predictor.

use crate::{Classify, ModelError, Policy, PolicyError, Predictor, TaskPolicy};
use poststelle_labels::Schema;
use poststelle_mail::{Cleaner, Profile, Redact, UnknownProfile, UnknownRedact};
use poststelle_measure::Bands;
use poststelle_nn::Logits;
use poststelle_nn::bundle::{Bundle, Calibration, Encoded, Manifest};

impl Classify for Bundle {
    fn schema(&self) -> &Schema {
        Self::schema(self)
    }

    fn encode(&self, text: String) -> Result<Encoded, ModelError> {
        Self::encode(self, text).map_err(|error| ModelError(Box::new(error)))
    }

    fn logits(&self, texts: &[&Encoded]) -> Result<Vec<Logits>, ModelError> {
        Ok(self.logits_of(texts))
    }
}

/// Why a bundle cannot answer mails.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A way of cleaning this build does not know.
    #[error("the bundle's mails were cleaned in an unknown way")]
    Profile(#[from] UnknownProfile),
    /// A way of masking this build does not know.
    #[error("the bundle's mails were masked in an unknown way")]
    Redact(#[from] UnknownRedact),
    /// Its calibration makes no policy.
    #[error("the bundle's calibration cannot be used")]
    Policy(#[from] PolicyError),
}

/// The cleaner a bundle's mails went through.
///
/// # Errors
/// [`BundleError`] where this build does not know how that was.
pub fn cleaner(manifest: &Manifest) -> Result<Cleaner, BundleError> {
    let profile: Profile = manifest.clean_profile.parse()?;
    let redact: Redact = manifest.clean_redact.parse()?;
    Ok(Cleaner::new(profile).redacting(redact))
}

impl TryFrom<Bundle> for Predictor {
    type Error = BundleError;

    /// Joins a bundle's model with its own cleaning and calibration.
    fn try_from(bundle: Bundle) -> Result<Self, BundleError> {
        let manifest = bundle.manifest();
        let cleaner = cleaner(manifest)?;
        let policy = Policy::new(bundle.schema(), |task| {
            let Calibration {
                temperature,
                auto,
                suggest,
                ece: _,
            } = *manifest.calibration.get(task)?;
            Some(TaskPolicy {
                temperature,
                bands: Bands { auto, suggest },
            })
        })?;
        let languages = manifest.languages.clone();
        Ok(Self::new(bundle, cleaner, policy).of_languages(languages))
    }
}
