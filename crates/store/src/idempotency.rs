//! Requests that are done once however often they are sent (draft-ietf-httpapi-idempotency-key-header).

use crate::{Store, StoreError};
use poststelle_lifecycle::{ClientName, Timestamp};
use sqlx::Row;
use sqlx::any::AnyRow;

/// What is known of a request that says it may be a repeated one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repeated {
    /// It is the first, and the caller answers it.
    First,
    /// The first is being answered.
    UnderWay,
    /// The first had another body.
    Other,
    /// The first was answered so.
    Answered(String),
}

impl Store {
    /// Begins a request under a client's idempotency key, or finds what came of it. One that began before `given_up` and was never
    /// answered is begun again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin_once(
        &self,
        client: &ClientName,
        name: &str,
        fingerprint: &str,
        now: Timestamp,
        given_up: Timestamp,
    ) -> Result<Repeated, StoreError> {
        let begun = sqlx::query(
            "INSERT INTO idempotency (client, name, fingerprint, at_ms) VALUES ($1, $2, $3, $4)
             ON CONFLICT (client, name) DO UPDATE SET fingerprint = excluded.fingerprint, at_ms = excluded.at_ms
             WHERE idempotency.answer IS NULL AND idempotency.at_ms < $5",
        )
        .bind(client.to_string())
        .bind(name.to_owned())
        .bind(fingerprint.to_owned())
        .bind(now.as_millisecond())
        .bind(given_up.as_millisecond())
        .execute(&self.pool)
        .await?;
        if begun.rows_affected() > 0 {
            return Ok(Repeated::First);
        }
        let row = sqlx::query("SELECT fingerprint, answer FROM idempotency WHERE client = $1 AND name = $2")
            .bind(client.to_string())
            .bind(name.to_owned())
            .fetch_optional(&self.pool)
            .await?;
        // Purged between the two statements: whoever asks again is the first.
        let Some(row) = row else {
            return Ok(Repeated::UnderWay);
        };
        first_was(&row, fingerprint)
    }

    /// Keeps the answer to a request begun once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_once(&self, client: &ClientName, name: &str, answer: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE idempotency SET answer = $3 WHERE client = $1 AND name = $2")
            .bind(client.to_string())
            .bind(name.to_owned())
            .bind(answer.to_owned())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Forgets a request that came to nothing, so that it can be sent again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_once(&self, client: &ClientName, name: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM idempotency WHERE client = $1 AND name = $2 AND answer IS NULL")
            .bind(client.to_string())
            .bind(name.to_owned())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

fn first_was(row: &AnyRow, fingerprint: &str) -> Result<Repeated, StoreError> {
    let (first, answer): (String, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
    Ok(match answer {
        _ if first != fingerprint => Repeated::Other,
        None => Repeated::UnderWay,
        Some(answer) => Repeated::Answered(answer),
    })
}
