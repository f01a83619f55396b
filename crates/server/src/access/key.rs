//! API keys: found in the store, kept for moments, compared in constant time.
//!
//! A key that is revoked is refused some seconds later, wherever it is used. While the store is away, keys that were seen lately are
//! still good, so that mail is labelled.

use super::Caller;
use crate::Problem;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use poststelle_lifecycle::{ApiKey, ApiKeyId, Digest, KeyStanding, KeyText, Timestamp};
use poststelle_store::Store;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

/// How long a key is not looked up again.
const FRESH: Duration = Duration::from_secs(2);
/// How long a key is good while the store is away.
const STALE: Duration = Duration::from_secs(300);
/// Keys kept, at most.
const KEPT: usize = 10_000;
/// Lookups a second of keys that were not seen lately: whoever guesses ids must not wear out the store.
const LOOKUPS: NonZeroU32 = NonZeroU32::new(100).expect("not zero");

pub(crate) struct Keys {
    store: Store,
    kept: Mutex<HashMap<ApiKeyId, Kept>>,
    lookups: DefaultDirectRateLimiter,
}

#[derive(Clone)]
struct Kept {
    key: Option<ApiKey>,
    seen: Instant,
}

impl Keys {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            kept: Mutex::default(),
            lookups: RateLimiter::direct(Quota::per_second(LOOKUPS)),
        }
    }

    /// Whose key it is.
    ///
    /// # Errors
    /// [`Problem::Unauthorized`], with one reason for an unknown id and a wrong secret; [`Problem::StoreAway`].
    pub async fn authenticate(&self, text: &KeyText, now: Timestamp) -> Result<Caller, Problem> {
        let refuse = |reason| Problem::Unauthorized { reason };
        let found = self.find(&text.id).await?;
        let sent = text.digest();
        // Compared with something where there is no such key, so that time does not tell which ids there are.
        let nothing = Digest::of(b"");
        let expected = found.as_ref().map_or(&nothing, |key| &key.secret);
        let same = bool::from(expected.as_str().as_bytes().ct_eq(sent.as_str().as_bytes()));
        let Some(key) = found.filter(|_| same) else {
            return Err(refuse("there is no such key"));
        };
        match key.standing(now) {
            KeyStanding::Active => Ok(Caller {
                client: key.client,
                key: key.id.to_string(),
                permissions: key.permissions,
                requests_per_minute: key.requests_per_minute,
            }),
            KeyStanding::Expired => Err(refuse("the key has expired")),
            KeyStanding::Revoked => Err(refuse("the key was revoked")),
        }
    }

    async fn find(&self, id: &ApiKeyId) -> Result<Option<ApiKey>, Problem> {
        let kept = self.lock().get(id).cloned();
        if let Some(kept) = &kept
            && kept.seen.elapsed() < FRESH
        {
            return Ok(kept.key.clone());
        }
        if kept.as_ref().is_none_or(|kept| kept.key.is_none()) && self.lookups.check().is_err() {
            return Err(Problem::RateLimited { retry_s: 1 });
        }
        match self.store.find_key(id).await {
            Ok(key) => {
                let mut all = self.lock();
                if all.len() >= KEPT {
                    all.clear();
                }
                let seen = Instant::now();
                all.insert(
                    id.clone(),
                    Kept {
                        key: key.clone(),
                        seen,
                    },
                );
                Ok(key)
            }
            Err(error) => match kept.filter(|kept| kept.key.is_some() && kept.seen.elapsed() < STALE) {
                Some(kept) => Ok(kept.key),
                None => {
                    tracing::warn!(%error, "cannot look up a key");
                    Err(Problem::StoreAway)
                }
            },
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ApiKeyId, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
