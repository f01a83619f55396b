//! The chain of events.

use crate::database::{record, to_json};
use crate::{Store, StoreError};
use poststelle_lifecycle::{Change, EnvironmentName, Event, Person, Subject, Timestamp};
use sqlx::{Any, Transaction};

/// Where, when and by whom something is changed.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The environment.
    pub environment: EnvironmentName,
    /// Now.
    pub at: Timestamp,
    /// Who.
    pub by: Person,
}

/// A subject as its column has it.
pub(crate) fn subject(subject: &Subject) -> String {
    match subject {
        Subject::Version(id) => format!("version/{id}"),
        Subject::Endpoint(name) => format!("endpoint/{name}"),
        Subject::ApiKey(id) => format!("api_key/{id}"),
    }
}

/// Appends to the chain, in the transaction that makes the change.
pub(crate) async fn append(
    transaction: &mut Transaction<'_, Any>,
    scene: &Scene,
    about: Subject,
    change: Change,
) -> Result<Event, StoreError> {
    let last = sqlx::query("SELECT record FROM event ORDER BY sequence DESC LIMIT 1")
        .fetch_optional(&mut **transaction)
        .await?;
    let last: Option<Event> = last.map(|row| record(&row, "event", "last")).transpose()?;
    let Scene { environment, at, by } = scene.clone();
    let event = Event::after(last.as_ref(), environment, at, by, about, change);
    sqlx::query("INSERT INTO event (sequence, id, subject, record) VALUES ($1, $2, $3, $4)")
        .bind(event.sequence.cast_signed())
        .bind(event.id.to_string())
        .bind(subject(&event.subject))
        .bind(to_json(&event))
        .execute(&mut **transaction)
        .await?;
    Ok(event)
}

impl Store {
    /// Events after `sequence`, at most `limit`, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events(&self, after: u64, limit: u32) -> Result<Vec<Event>, StoreError> {
        let rows = sqlx::query("SELECT record FROM event WHERE sequence > $1 ORDER BY sequence LIMIT $2")
            .bind(after.cast_signed())
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| record(row, "event", "of a list")).collect()
    }

    /// All events about one thing, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn history(&self, about: &Subject) -> Result<Vec<Event>, StoreError> {
        let name = subject(about);
        let rows = sqlx::query("SELECT record FROM event WHERE subject = $1 ORDER BY sequence")
            .bind(name.clone())
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| record(row, "event of", &name)).collect()
    }
}
