//! Versions.

use crate::database::{record, to_json};
use crate::event::{Scene, append};
use crate::{ChangeError, Store, StoreError};
use poststelle_lifecycle::{
    Act, Change, Digest, Event, Lineage, ModelName, Promoted, Signature, Standing, Subject, Version,
    VersionId,
};
use sqlx::{Any, Row, Transaction};

/// What is to be registered; the store gives it its number.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// The model.
    pub model: ModelName,
    /// Digest of its artifact, which is stored already.
    pub artifact: Digest,
    /// Bytes of the artifact.
    pub size_bytes: u64,
    /// What it was made from.
    pub lineage: Lineage,
    /// Who vouches for the artifact.
    pub signature: Option<Signature>,
    /// Where it was promoted from.
    pub promoted: Option<Promoted>,
    /// Who registers it, when and why.
    pub act: Act,
}

impl Store {
    /// Registers a version under the model's next number. The same artifact again gives the version it already is, and
    /// false: a step that is repeated after a crash registers nothing twice.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn register(&self, scene: &Scene, new: NewVersion) -> Result<(Version, bool), StoreError> {
        let NewVersion {
            model,
            artifact,
            size_bytes,
            lineage,
            signature,
            promoted,
            act,
        } = new;
        let mut transaction = self.write().await?;
        let same = sqlx::query("SELECT record FROM version WHERE model = $1 AND artifact = $2")
            .bind(model.to_string())
            .bind(artifact.to_string())
            .fetch_optional(&mut *transaction)
            .await?;
        if let Some(row) = same {
            return Ok((record(&row, "version with artifact", &artifact)?, false));
        }
        let last: i64 = sqlx::query("SELECT COALESCE(MAX(number), 0) FROM version WHERE model = $1")
            .bind(model.to_string())
            .fetch_one(&mut *transaction)
            .await?
            .try_get(0)?;
        let number = u32::try_from(last + 1).map_err(|_| StoreError::Damaged {
            what: "the last version of",
            name: model.to_string(),
            reason: format!("its number is {last}"),
        })?;
        let id = VersionId { model, number };
        let version = Version {
            id: id.clone(),
            artifact: artifact.clone(),
            size_bytes,
            lineage: lineage.clone(),
            signature: signature.clone(),
            registered: act.clone(),
            promoted_from: promoted
                .as_ref()
                .map(|from| format!("{}/{}", from.environment, from.version)),
            standing: Standing::Registered,
        };
        sqlx::query("INSERT INTO version (model, number, artifact, record) VALUES ($1, $2, $3, $4)")
            .bind(id.model.to_string())
            .bind(i64::from(id.number))
            .bind(artifact.to_string())
            .bind(to_json(&version))
            .execute(&mut *transaction)
            .await?;
        let change = Change::Registered {
            artifact,
            lineage,
            signature,
            act,
            promoted,
        };
        append(&mut transaction, scene, Subject::Version(id), change).await?;
        transaction.commit().await?;
        Ok((version, true))
    }

    /// One version.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] among others.
    pub async fn version(&self, id: &VersionId) -> Result<Version, StoreError> {
        let mut transaction = self.pool.begin().await?;
        load(&mut transaction, id).await
    }

    /// Versions of one model or of all, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn versions(&self, model: Option<&ModelName>) -> Result<Vec<Version>, StoreError> {
        let rows = match model {
            Some(model) => {
                sqlx::query("SELECT record FROM version WHERE model = $1 ORDER BY number")
                    .bind(model.to_string())
                    .fetch_all(&self.pool)
                    .await?
            }
            None => {
                sqlx::query("SELECT record FROM version ORDER BY model, number")
                    .fetch_all(&self.pool)
                    .await?
            }
        };
        rows.iter()
            .map(|row| record(row, "version", "of a list"))
            .collect()
    }

    /// Loads a version, applies `change`, saves it and appends the event.
    ///
    /// # Errors
    /// [`ChangeError::Refused`] with what `change` said; then nothing is written.
    pub async fn change_version<E>(
        &self,
        scene: &Scene,
        id: &VersionId,
        change: impl FnOnce(Version) -> Result<(Version, Change), E>,
    ) -> Result<(Version, Event), ChangeError<E>> {
        let mut transaction = self.write().await?;
        let version = load(&mut transaction, id).await?;
        let (version, change) = change(version).map_err(ChangeError::Refused)?;
        save(&mut transaction, &version).await?;
        let event = append(&mut transaction, scene, Subject::Version(id.clone()), change).await?;
        transaction.commit().await?;
        Ok((version, event))
    }
}

pub(crate) async fn load(
    transaction: &mut Transaction<'_, Any>,
    id: &VersionId,
) -> Result<Version, StoreError> {
    let row = sqlx::query("SELECT record FROM version WHERE model = $1 AND number = $2")
        .bind(id.model.to_string())
        .bind(i64::from(id.number))
        .fetch_optional(&mut **transaction)
        .await?;
    let row = row.ok_or_else(|| StoreError::NotFound {
        what: "version",
        name: id.to_string(),
    })?;
    record(&row, "version", id)
}

pub(crate) async fn save(
    transaction: &mut Transaction<'_, Any>,
    version: &Version,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE version SET record = $1 WHERE model = $2 AND number = $3")
        .bind(to_json(version))
        .bind(version.id.model.to_string())
        .bind(i64::from(version.id.number))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}
