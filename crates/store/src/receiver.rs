//! Who is told of events, and how far they are.
//!
//! The events are the outbox. A receiver's place in them moves on when it has taken one, so each event is offered until it is
//! taken, in order, at least once. What is offered in vain too often is put aside (dead) and told to the person; it can be replayed.

use crate::{Store, StoreError};
use poststelle_lifecycle::{Event, Timestamp};
use sqlx::Row;

/// A receiver's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// Its name.
    pub name: String,
    /// The last event it took, or that was put aside for it.
    pub sequence: u64,
    /// How often the next one was offered in vain.
    pub attempts: u32,
    /// What it said the last time.
    pub error: Option<String>,
}

/// An event to offer.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// To whom.
    pub receiver: String,
    /// What.
    pub event: Event,
    /// How often it was offered in vain.
    pub attempts: u32,
}

/// An event that a receiver never took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// The receiver.
    pub receiver: String,
    /// The event.
    pub sequence: u64,
    /// What the receiver said the last time.
    pub error: String,
}

/// Longer than any wait between two offers: a wait that ends later was set by a clock that has jumped back.
const LONGEST_WAIT_MS: i64 = 3_600_000;

impl Store {
    /// The next event to offer to a receiver now; none where it has all, or must be left alone for a while. A receiver not
    /// known yet begins with the first event.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn next_delivery(
        &self,
        receiver: &str,
        now: Timestamp,
    ) -> Result<Option<Delivery>, StoreError> {
        let place = sqlx::query("SELECT sequence, attempts, due_ms FROM receiver WHERE name = $1")
            .bind(receiver.to_owned())
            .fetch_optional(&self.pool)
            .await?;
        let (sequence, attempts, due) = match place {
            Some(row) => (
                row.try_get::<i64, _>(0)?,
                row.try_get::<i64, _>(1)?,
                row.try_get::<i64, _>(2)?,
            ),
            None => (0, 0, 0),
        };
        let now = now.as_millisecond();
        if now < due && due <= now + LONGEST_WAIT_MS {
            return Ok(None);
        }
        let event = self.events(sequence.cast_unsigned(), 1).await?.pop();
        Ok(event.map(|event| Delivery {
            receiver: receiver.to_owned(),
            event,
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        }))
    }

    /// A receiver took an event.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delivered(&self, delivery: &Delivery) -> Result<(), StoreError> {
        self.place(&delivery.receiver, delivery.event.sequence, 0, 0, None)
            .await?;
        sqlx::query("DELETE FROM dead WHERE receiver = $1 AND sequence = $2")
            .bind(delivery.receiver.clone())
            .bind(delivery.event.sequence.cast_signed())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// A receiver did not take an event: it is offered again after `due`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn failed(&self, delivery: &Delivery, due: Timestamp, error: &str) -> Result<(), StoreError> {
        let before = delivery.event.sequence - 1;
        let attempts = delivery.attempts.saturating_add(1);
        self.place(
            &delivery.receiver,
            before,
            attempts,
            due.as_millisecond(),
            Some(error),
        )
        .await
    }

    /// A receiver never took an event: it is put aside, and the next one comes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn died(&self, delivery: &Delivery, now: Timestamp, error: &str) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO dead (receiver, sequence, died_ms, error) VALUES ($1, $2, $3, $4)
             ON CONFLICT (receiver, sequence) DO UPDATE SET died_ms = excluded.died_ms, error = excluded.error",
        )
        .bind(delivery.receiver.clone())
        .bind(delivery.event.sequence.cast_signed())
        .bind(now.as_millisecond())
        .bind(error.to_owned())
        .execute(&self.pool)
        .await?;
        self.place(&delivery.receiver, delivery.event.sequence, 0, 0, Some(error))
            .await
    }

    /// Offers everything after `sequence` to a receiver again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn replay(&self, receiver: &str, after: u64) -> Result<(), StoreError> {
        self.place(receiver, after, 0, 0, None).await
    }

    /// How far every receiver is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn receivers(&self) -> Result<Vec<Receiver>, StoreError> {
        let rows = sqlx::query("SELECT name, sequence, attempts, error FROM receiver ORDER BY name")
            .fetch_all(&self.pool)
            .await?;
        let receiver = |row: &sqlx::any::AnyRow| {
            Ok(Receiver {
                name: row.try_get(0)?,
                sequence: row.try_get::<i64, _>(1)?.cast_unsigned(),
                attempts: u32::try_from(row.try_get::<i64, _>(2)?).unwrap_or(u32::MAX),
                error: row.try_get(3)?,
            })
        };
        rows.iter().map(receiver).collect()
    }

    /// What was put aside.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn dead(&self) -> Result<Vec<Dead>, StoreError> {
        let rows = sqlx::query("SELECT receiver, sequence, error FROM dead ORDER BY receiver, sequence")
            .fetch_all(&self.pool)
            .await?;
        let dead = |row: &sqlx::any::AnyRow| {
            Ok(Dead {
                receiver: row.try_get(0)?,
                sequence: row.try_get::<i64, _>(1)?.cast_unsigned(),
                error: row.try_get(2)?,
            })
        };
        rows.iter().map(dead).collect()
    }

    async fn place(
        &self,
        name: &str,
        sequence: u64,
        attempts: u32,
        due_ms: i64,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO receiver (name, sequence, attempts, due_ms, error) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (name) DO UPDATE SET sequence = excluded.sequence, attempts = excluded.attempts,
                 due_ms = excluded.due_ms, error = excluded.error",
        )
        .bind(name.to_owned())
        .bind(sequence.cast_signed())
        .bind(i64::from(attempts))
        .bind(due_ms)
        .bind(error.map(str::to_owned))
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
