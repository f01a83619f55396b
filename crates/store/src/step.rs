//! Steps of pipelines: what ran with which inputs, what came of it.

use crate::database::{record, to_json};
use crate::{Store, StoreError};
use poststelle_lifecycle::{Digest, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use std::collections::BTreeMap;

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It began; a step that is still so when nobody runs it was killed.
    Running,
    /// It is done.
    Done,
    /// It was not run: another run had done it with the same inputs.
    Cached,
    /// It failed.
    Failed,
}

impl StepState {
    fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cached => "cached",
            Self::Failed => "failed",
        }
    }
}

/// One step of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The pipeline.
    pub pipeline: String,
    /// The run, counted from 1.
    pub run: u32,
    /// Its place in the run, from 0.
    pub position: u32,
    /// Its name.
    pub name: String,
    /// Digest of all it depends on.
    pub inputs: Digest,
    /// How far it is.
    pub state: StepState,
    /// What came of it, by name: digests, names, figures.
    pub outputs: BTreeMap<String, String>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
}

impl Store {
    /// Number of the last run of a pipeline; 0 before the first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn last_run(&self, pipeline: &str) -> Result<u32, StoreError> {
        let row = sqlx::query("SELECT COALESCE(MAX(run), 0) FROM step WHERE pipeline = $1")
            .bind(pipeline.to_owned())
            .fetch_one(&self.pool)
            .await?;
        Ok(u32::try_from(row.try_get::<i64, _>(0)?).unwrap_or(u32::MAX))
    }

    /// The steps of a run, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn steps(&self, pipeline: &str, run: u32) -> Result<Vec<Step>, StoreError> {
        let rows = sqlx::query("SELECT record FROM step WHERE pipeline = $1 AND run = $2 ORDER BY position")
            .bind(pipeline.to_owned())
            .bind(i64::from(run))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| record(row, "step of", pipeline)).collect()
    }

    /// What a step with the same inputs ended in before, the last time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn done(
        &self,
        pipeline: &str,
        name: &str,
        inputs: &Digest,
    ) -> Result<Option<Step>, StoreError> {
        let row = sqlx::query(
            "SELECT record FROM step WHERE pipeline = $1 AND name = $2 AND inputs = $3 AND state = 'done'
             ORDER BY run DESC LIMIT 1",
        )
        .bind(pipeline.to_owned())
        .bind(name.to_owned())
        .bind(inputs.to_string())
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| record(&row, "step of", pipeline)).transpose()
    }

    /// Writes a step down, as it is now.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_step(&self, step: &Step) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO step (pipeline, run, position, name, inputs, state, record) VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (pipeline, run, position) DO UPDATE SET name = excluded.name, inputs = excluded.inputs,
                 state = excluded.state, record = excluded.record",
        )
        .bind(step.pipeline.clone())
        .bind(i64::from(step.run))
        .bind(i64::from(step.position))
        .bind(step.name.clone())
        .bind(step.inputs.to_string())
        .bind(step.state.name())
        .bind(to_json(step))
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
