//! Bytes of bodies in memory at one time.
//!
//! A body takes its share before it is read and gives it back when its answer is written or given up, so what many clients send together
//! cannot take more memory than was planned for.

use crate::Problem;
use axum::body::{Body, Bytes, HttpBody};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is counted in.
const UNIT: usize = 1024;

#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Semaphore>);

/// A share of the budget; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Share(OwnedSemaphorePermit);

impl Budget {
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(
            (bytes / UNIT).min(Semaphore::MAX_PERMITS),
        )))
    }

    /// Takes a share.
    ///
    /// # Errors
    /// [`Problem::Busy`] where there is not that much left.
    pub fn take(&self, bytes: usize) -> Result<Share, Problem> {
        let units = u32::try_from(bytes / UNIT + 1).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.0).try_acquire_many_owned(units);
        permit.map(Share).map_err(|_| Problem::Busy { retry_s: 1 })
    }
}

impl Share {
    /// Joins another share.
    pub fn add(&mut self, other: Self) {
        self.0.merge(other.0);
    }
}

/// An answer that keeps its request's share until it is written.
struct Held {
    bytes: Option<Bytes>,
    _share: Share,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.bytes.take().map(|bytes| Ok(hyper::body::Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        hyper::body::SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// A body that keeps a share until it is written.
pub(crate) fn held(bytes: Vec<u8>, share: Share) -> Body {
    Body::new(Held {
        bytes: Some(bytes.into()),
        _share: share,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_it_has_and_takes_it_back() {
        let budget = Budget::new(10 << 10);
        let mut first = budget.take(4000).unwrap();
        first.add(budget.take(4000).unwrap());
        assert_eq!(budget.take(4000).unwrap_err(), Problem::Busy { retry_s: 1 });
        drop(first);
        assert!(budget.take(8000).is_ok());
    }
}
