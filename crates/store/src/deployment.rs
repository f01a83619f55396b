//! Endpoints.

use crate::database::{record, to_json};
use crate::event::{Scene, append};
use crate::version::{self, load};
use crate::{ChangeError, Store, StoreError};
use poststelle_lifecycle::{
    Act, Deployment, DeploymentError, EndpointName, Event, MoveError, RolloutEnd, StandingName, Strategy,
    Subject, Switch, Version, VersionId,
};
use sqlx::{Any, Transaction};
use std::collections::HashMap;

impl Store {
    /// One endpoint; none where nothing was ever deployed to it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn deployment(&self, endpoint: &EndpointName) -> Result<Option<Deployment>, StoreError> {
        let row = sqlx::query("SELECT record FROM deployment WHERE endpoint = $1")
            .bind(endpoint.to_string())
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| record(&row, "endpoint", endpoint)).transpose()
    }

    /// All endpoints, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn deployments(&self) -> Result<Vec<Deployment>, StoreError> {
        let mut connection = self.pool.begin().await?;
        all(&mut connection).await
    }

    /// Starts to move an endpoint to a version; see [`Deployment::start`]. None where it is as asked already.
    ///
    /// # Errors
    /// [`ChangeError::Refused`].
    pub async fn start(
        &self,
        scene: &Scene,
        endpoint: &EndpointName,
        version: &VersionId,
        strategy: Strategy,
        act: Act,
    ) -> Result<Option<(Deployment, Event)>, ChangeError<DeploymentError>> {
        let mut transaction = self.write().await?;
        let standing = load(&mut transaction, version).await?.standing.name();
        let deployment = match self.locked(&mut transaction, endpoint).await? {
            Some(deployment) => deployment,
            None => Deployment::new(endpoint.clone(), version.model.clone()),
        };
        let switch = deployment
            .start(version.clone(), standing, strategy, act)
            .map_err(ChangeError::Refused)?;
        let event = save(&mut transaction, scene, switch).await?;
        transaction.commit().await?;
        Ok(event)
    }

    /// Ends the move to `version`; see [`Deployment::end`].
    ///
    /// # Errors
    /// [`ChangeError::Refused`].
    pub async fn end_rollout(
        &self,
        scene: &Scene,
        endpoint: &EndpointName,
        version: &VersionId,
        end: RolloutEnd,
        act: Act,
    ) -> Result<(Deployment, Event), ChangeError<DeploymentError>> {
        let mut transaction = self.write().await?;
        let deployment = self.there(&mut transaction, endpoint).await?;
        let changed = deployment.end(version, end, act).map_err(ChangeError::Refused)?;
        let event = save(&mut transaction, scene, Some(changed)).await?;
        transaction.commit().await?;
        Ok(event.expect("a change was given"))
    }

    /// Goes back to what an endpoint served before; see [`Deployment::roll_back`].
    ///
    /// # Errors
    /// [`ChangeError::Refused`].
    pub async fn roll_back(
        &self,
        scene: &Scene,
        endpoint: &EndpointName,
        act: Act,
    ) -> Result<(Deployment, Event), ChangeError<DeploymentError>> {
        let mut transaction = self.write().await?;
        let deployment = self.there(&mut transaction, endpoint).await?;
        let standing = standing_of(&mut transaction, &deployment).await?;
        let changed = deployment
            .roll_back(|version| name_of(&standing, version), act)
            .map_err(ChangeError::Refused)?;
        let event = save(&mut transaction, scene, Some(changed)).await?;
        transaction.commit().await?;
        Ok(event.expect("a change was given"))
    }

    /// Withdraws a version and takes it from every endpoint, in one transaction: there is no moment in which it is withdrawn
    /// and wanted somewhere.
    ///
    /// # Errors
    /// [`ChangeError::Refused`].
    pub async fn withdraw(
        &self,
        scene: &Scene,
        id: &VersionId,
        act: Act,
    ) -> Result<(Version, Vec<Event>), ChangeError<MoveError>> {
        let mut transaction = self.write().await?;
        let version = load(&mut transaction, id).await?;
        let (version, change) = version.withdraw(act.clone()).map_err(ChangeError::Refused)?;
        version::save(&mut transaction, &version).await?;
        let mut events = vec![append(&mut transaction, scene, Subject::Version(id.clone()), change).await?];
        for deployment in all(&mut transaction).await? {
            // Twice: it may serve and be moved to from elsewhere.
            let mut deployment = deployment;
            let standing = standing_of(&mut transaction, &deployment).await?;
            while let Some((changed, change)) =
                deployment
                    .clone()
                    .forget(id, |version| name_of(&standing, version), act.clone())
            {
                deployment = changed.clone();
                events.extend(
                    save(&mut transaction, scene, Some((changed, change)))
                        .await?
                        .map(|(_, event)| event),
                );
            }
        }
        transaction.commit().await?;
        Ok((version, events))
    }

    async fn locked(
        &self,
        transaction: &mut Transaction<'_, Any>,
        endpoint: &EndpointName,
    ) -> Result<Option<Deployment>, StoreError> {
        let row = sqlx::query("SELECT record FROM deployment WHERE endpoint = $1")
            .bind(endpoint.to_string())
            .fetch_optional(&mut **transaction)
            .await?;
        row.map(|row| record(&row, "endpoint", endpoint)).transpose()
    }

    async fn there(
        &self,
        transaction: &mut Transaction<'_, Any>,
        endpoint: &EndpointName,
    ) -> Result<Deployment, StoreError> {
        self.locked(transaction, endpoint)
            .await?
            .ok_or_else(|| StoreError::NotFound {
                what: "endpoint",
                name: endpoint.to_string(),
            })
    }
}

async fn all(transaction: &mut Transaction<'_, Any>) -> Result<Vec<Deployment>, StoreError> {
    let rows = sqlx::query("SELECT record FROM deployment ORDER BY endpoint")
        .fetch_all(&mut **transaction)
        .await?;
    rows.iter()
        .map(|row| record(row, "endpoint", "of a list"))
        .collect()
}

/// Where the versions stand that an endpoint could serve.
async fn standing_of(
    transaction: &mut Transaction<'_, Any>,
    deployment: &Deployment,
) -> Result<HashMap<VersionId, StandingName>, StoreError> {
    let mut standing = HashMap::new();
    for version in deployment.before.iter().chain(&deployment.serving) {
        let found = load(transaction, version).await?.standing.name();
        standing.insert(version.clone(), found);
    }
    Ok(standing)
}

/// A version nobody knows never was approved.
fn name_of(standing: &HashMap<VersionId, StandingName>, version: &VersionId) -> StandingName {
    standing.get(version).copied().unwrap_or(StandingName::Registered)
}

async fn save(
    transaction: &mut Transaction<'_, Any>,
    scene: &Scene,
    switch: Switch,
) -> Result<Option<(Deployment, Event)>, StoreError> {
    let Some((deployment, change)) = switch else {
        return Ok(None);
    };
    sqlx::query(
        "INSERT INTO deployment (endpoint, record) VALUES ($1, $2)
         ON CONFLICT (endpoint) DO UPDATE SET record = excluded.record",
    )
    .bind(deployment.endpoint.to_string())
    .bind(to_json(&deployment))
    .execute(&mut **transaction)
    .await?;
    let about = Subject::Endpoint(deployment.endpoint.clone());
    let event = append(transaction, scene, about, change).await?;
    Ok(Some((deployment, event)))
}
