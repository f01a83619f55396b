//! Keys of the gateway.

use crate::database::{record, to_json};
use crate::event::{Scene, append};
use crate::{ChangeError, Store, StoreError};
use poststelle_lifecycle::{Act, ApiKey, ApiKeyId, Change, Digest, KeyEnded, Subject, Timestamp};
use sqlx::{Any, Transaction};

/// The key after the one that is rotated.
#[derive(Debug, Clone)]
pub struct NextKey {
    /// Its id.
    pub id: ApiKeyId,
    /// SHA-256 of its secret.
    pub secret: Digest,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// How long the last one is good beside it.
    pub overlap_until: Timestamp,
}

impl Store {
    /// Keeps a new key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn issue_key(&self, scene: &Scene, key: &ApiKey) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        insert(&mut transaction, scene, key).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// One key; none where there is no such.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_key(&self, id: &ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
        let row = sqlx::query("SELECT record FROM api_key WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| record(&row, "API key", id)).transpose()
    }

    /// All keys, by client.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        let rows = sqlx::query("SELECT record FROM api_key ORDER BY client, id")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| record(row, "API key", "of a list"))
            .collect()
    }

    /// Ends a key at once.
    ///
    /// # Errors
    /// [`ChangeError::Refused`].
    pub async fn revoke_key(
        &self,
        scene: &Scene,
        id: &ApiKeyId,
        act: Act,
    ) -> Result<ApiKey, ChangeError<KeyEnded>> {
        let mut transaction = self.write().await?;
        let key = there(&mut transaction, id).await?;
        let key = key.revoke(act.clone()).map_err(ChangeError::Refused)?;
        update(&mut transaction, &key).await?;
        let about = Subject::ApiKey(id.clone());
        append(&mut transaction, scene, about, Change::KeyRevoked { act }).await?;
        transaction.commit().await?;
        Ok(key)
    }

    /// Issues a key's successor; see [`ApiKey::rotate`].
    ///
    /// # Errors
    /// [`ChangeError::Refused`].
    pub async fn rotate_key(
        &self,
        scene: &Scene,
        id: &ApiKeyId,
        next: NextKey,
        act: Act,
    ) -> Result<ApiKey, ChangeError<KeyEnded>> {
        let mut transaction = self.write().await?;
        let key = there(&mut transaction, id).await?;
        let NextKey {
            id: next,
            secret,
            expires,
            overlap_until,
        } = next;
        let (last, next) = key
            .rotate(next, secret, expires, overlap_until, act.clone())
            .map_err(ChangeError::Refused)?;
        update(&mut transaction, &last).await?;
        let replaced = Change::KeyReplaced {
            by: next.id.clone(),
            expires: last.expires.unwrap_or(overlap_until),
            act,
        };
        append(&mut transaction, scene, Subject::ApiKey(last.id), replaced).await?;
        insert(&mut transaction, scene, &next).await?;
        transaction.commit().await?;
        Ok(next)
    }
}

async fn insert(
    transaction: &mut Transaction<'_, Any>,
    scene: &Scene,
    key: &ApiKey,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO api_key (id, client, record) VALUES ($1, $2, $3)")
        .bind(key.id.to_string())
        .bind(key.client.to_string())
        .bind(to_json(key))
        .execute(&mut **transaction)
        .await?;
    let issued = Change::KeyIssued {
        client: key.client.clone(),
        permissions: key.permissions.clone(),
        expires: key.expires,
        replaces: key.replaces.clone(),
        act: key.issued.clone(),
    };
    append(transaction, scene, Subject::ApiKey(key.id.clone()), issued).await?;
    Ok(())
}

async fn update(transaction: &mut Transaction<'_, Any>, key: &ApiKey) -> Result<(), StoreError> {
    sqlx::query("UPDATE api_key SET record = $2 WHERE id = $1")
        .bind(key.id.to_string())
        .bind(to_json(key))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn there(transaction: &mut Transaction<'_, Any>, id: &ApiKeyId) -> Result<ApiKey, StoreError> {
    let row = sqlx::query("SELECT record FROM api_key WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(&mut **transaction)
        .await?;
    let row = row.ok_or_else(|| StoreError::NotFound {
        what: "API key",
        name: id.to_string(),
    })?;
    record(&row, "API key", id)
}
