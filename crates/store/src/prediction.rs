//! What was answered and what it really was.
//!
//! These rows come with every mail and tell nothing of the model flow: they are no events, need no order among writers, and go when
//! their time is over or somebody asks for it.

use crate::database::{record, to_json};
use crate::{Store, StoreError};
use poststelle_lifecycle::{ClientName, Feedback, Predicted, PredictionId, Timestamp};
use sqlx::{Any, AssertSqlSafe, Transaction};
use std::fmt::Write;

/// Rows of one statement, at most: PostgreSQL and SQLite number some 32,000 values.
const ROWS: usize = 200;

/// Rows that were deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Predictions.
    pub predictions: u64,
    /// Feedback.
    pub feedback: u64,
    /// Answers kept for requests that are repeated.
    pub answers: u64,
}

impl Store {
    /// Keeps predictions, all or none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keep_predictions(&self, predictions: &[Predicted]) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for rows in predictions.chunks(ROWS) {
            let mut statement =
                "INSERT INTO prediction (id, client, external_id, at_ms, record) VALUES ".to_owned();
            for row in 0..rows.len() {
                let at = 5 * row;
                let comma = if row > 0 { ", " } else { "" };
                // Writing to a string does not fail.
                let _ = write!(
                    statement,
                    "{comma}(${}, ${}, ${}, ${}, ${})",
                    at + 1,
                    at + 2,
                    at + 3,
                    at + 4,
                    at + 5
                );
            }
            let mut query = sqlx::query(AssertSqlSafe(statement));
            for one in rows {
                query = query
                    .bind(one.id.to_string())
                    .bind(one.client.to_string())
                    .bind(one.external_id.clone())
                    .bind(one.at.as_millisecond())
                    .bind(to_json(one));
            }
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// One of a client's predictions.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn prediction(
        &self,
        client: &ClientName,
        id: &PredictionId,
    ) -> Result<Option<Predicted>, StoreError> {
        let row = sqlx::query("SELECT record FROM prediction WHERE id = $1 AND client = $2")
            .bind(id.to_string())
            .bind(client.to_string())
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| record(&row, "prediction", id)).transpose()
    }

    /// A client's predictions of the mail it calls so, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn predictions_of(
        &self,
        client: &ClientName,
        external_id: &str,
        limit: u32,
    ) -> Result<Vec<Predicted>, StoreError> {
        let rows = sqlx::query(
            "SELECT record FROM prediction WHERE client = $1 AND external_id = $2 ORDER BY at_ms DESC, id DESC LIMIT $3",
        )
        .bind(client.to_string())
        .bind(external_id.to_owned())
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| record(row, "prediction of", external_id))
            .collect()
    }

    /// Deletes one of a client's predictions, and the feedback that names it; false where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn erase_prediction(&self, client: &ClientName, id: &PredictionId) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let erased = sqlx::query("DELETE FROM prediction WHERE id = $1 AND client = $2")
            .bind(id.to_string())
            .bind(client.to_string())
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        sqlx::query("DELETE FROM feedback WHERE prediction = $1 AND client = $2")
            .bind(id.to_string())
            .bind(client.to_string())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(erased > 0)
    }

    /// Deletes all a client has of the mail it calls so: predictions and feedback.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn erase_mail(&self, client: &ClientName, external_id: &str) -> Result<Purged, StoreError> {
        let mut transaction = self.begin().await?;
        let (client, external_id) = (client.to_string(), external_id.to_owned());
        let of_predictions = "DELETE FROM feedback WHERE client = $1 AND (external_id = $2 OR prediction IN
            (SELECT id FROM prediction WHERE client = $1 AND external_id = $2))";
        let feedback = sqlx::query(of_predictions)
            .bind(client.clone())
            .bind(external_id.clone())
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        let predictions = sqlx::query("DELETE FROM prediction WHERE client = $1 AND external_id = $2")
            .bind(client)
            .bind(external_id)
            .execute(&mut *transaction)
            .await?
            .rows_affected();
        transaction.commit().await?;
        Ok(Purged {
            predictions,
            feedback,
            answers: 0,
        })
    }

    /// Keeps what a client says a mail really was.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keep_feedback(&self, feedback: &Feedback) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO feedback (id, client, prediction, external_id, at_ms, record) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(feedback.id.to_string())
        .bind(feedback.client.to_string())
        .bind(feedback.prediction.as_ref().map(ToString::to_string))
        .bind(feedback.external_id.clone())
        .bind(feedback.at.as_millisecond())
        .bind(to_json(feedback))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Feedback of every client, oldest first, at most `limit` after `since`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn feedback_since(&self, since: Timestamp, limit: u32) -> Result<Vec<Feedback>, StoreError> {
        let rows = sqlx::query("SELECT record FROM feedback WHERE at_ms >= $1 ORDER BY at_ms, id LIMIT $2")
            .bind(since.as_millisecond())
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| record(row, "feedback", "of a list"))
            .collect()
    }

    /// Deletes predictions and feedback from before `kept_since`, and answers kept for repeated requests from before
    /// `answers_since`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn purge(&self, kept_since: Timestamp, answers_since: Timestamp) -> Result<Purged, StoreError> {
        let mut transaction = self.begin().await?;
        let predictions = old(
            &mut transaction,
            "DELETE FROM prediction WHERE at_ms < $1",
            kept_since,
        )
        .await?;
        let feedback = old(
            &mut transaction,
            "DELETE FROM feedback WHERE at_ms < $1",
            kept_since,
        )
        .await?;
        let answers = old(
            &mut transaction,
            "DELETE FROM idempotency WHERE at_ms < $1",
            answers_since,
        )
        .await?;
        transaction.commit().await?;
        Ok(Purged {
            predictions,
            feedback,
            answers,
        })
    }
}

async fn old(
    transaction: &mut Transaction<'_, Any>,
    statement: &'static str,
    since: Timestamp,
) -> Result<u64, StoreError> {
    let done = sqlx::query(statement)
        .bind(since.as_millisecond())
        .execute(&mut **transaction)
        .await?;
    Ok(done.rows_affected())
}
