//! A request with an `Idempotency-Key` is done once, however often it is sent.
//!
//! The first one is done and its answer kept for a day; the same one again gets that answer. What failed is forgotten, so that it can be
//! sent again.
//!
//! Source: draft-ietf-httpapi-idempotency-key-header-07.

use crate::access::Caller;
use crate::gateway::{Gateway, before};
use crate::problem::Problem;
use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use poststelle_store::Repeated;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// Tells that an answer is the first one's.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Characters of a key, at most.
const KEY_LENGTH: usize = 255;
/// Time after which a request that began and never ended is given up: its process was killed.
const GIVEN_UP: Duration = Duration::from_secs(120);

/// A request that is done once.
pub(crate) struct Once<'a> {
    gateway: &'a Gateway,
    caller: &'a Caller,
    /// The key, where there is one.
    name: Option<String>,
    /// What the first one was answered.
    first: Option<String>,
}

impl<'a> Once<'a> {
    /// Begins a request, or finds that it was done.
    ///
    /// # Errors
    /// [`Problem::UnderWay`], [`Problem::KeyReused`], [`Problem::StoreAway`]; [`Problem::Parameter`] for a key that is none.
    pub async fn begin(
        gateway: &'a Gateway,
        caller: &'a Caller,
        headers: &HeaderMap,
        resource: &str,
        fingerprint: &str,
    ) -> Result<Self, Problem> {
        let none = Self {
            gateway,
            caller,
            name: None,
            first: None,
        };
        let Some(key) = headers.get("idempotency-key") else {
            return Ok(none);
        };
        let key = key.to_str().ok().filter(|key| {
            !key.is_empty() && key.len() <= KEY_LENGTH && key.bytes().all(|byte| byte.is_ascii_graphic())
        });
        let key = key.ok_or(Problem::Parameter {
            name: "Idempotency-Key",
            expected: "1 to 255 visible ASCII characters",
        })?;
        let name = format!("{resource}/{key}");
        let now = gateway.clock.now();
        let begun = gateway
            .store
            .begin_once(&caller.client, &name, fingerprint, now, before(now, GIVEN_UP))
            .await;
        let repeated = begun.map_err(|error| {
            tracing::error!(%error, "cannot look up an idempotency key");
            Problem::StoreAway
        })?;
        let first = match repeated {
            Repeated::First => None,
            Repeated::UnderWay => return Err(Problem::UnderWay),
            Repeated::Other => return Err(Problem::KeyReused),
            Repeated::Answered(answer) => Some(answer),
        };
        Ok(Self {
            name: Some(name),
            first,
            ..none
        })
    }

    /// What the first one was answered, where this is a later one.
    pub fn first(&self) -> Option<&str> {
        self.first.as_deref()
    }

    /// Answers with what the first one was answered, or does what is to be done. `status` is that of success.
    ///
    /// # Errors
    /// Those of `work`; the request is then forgotten.
    pub async fn answer<T: Serialize>(
        self,
        status: StatusCode,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<Response, Problem> {
        if let Some(first) = &self.first {
            let value: Value = serde_json::from_str(first).map_err(|_| Problem::Internal)?;
            return Ok(replayed((status, Json(value)).into_response()));
        }
        let done = work.await;
        self.end(|| done.as_ref().ok()).await;
        Ok((status, Json(done?)).into_response())
    }

    /// Keeps the answer, or forgets a request that has none because it failed.
    pub async fn end<T: Serialize>(&self, answer: impl FnOnce() -> Option<T>) {
        let Some(name) = &self.name else { return };
        let (store, client) = (&self.gateway.store, &self.caller.client);
        let kept = match answer().and_then(|answer| serde_json::to_string(&answer).ok()) {
            Some(answer) => store.end_once(client, name, &answer).await,
            None => store.forget_once(client, name).await,
        };
        if let Err(error) = kept {
            tracing::error!(%error, "cannot keep the answer under its idempotency key");
        }
    }
}

/// Marks an answer as the first one's.
pub(crate) fn replayed(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
