//! Reads a request's body within bounds of size and time.

use crate::Problem;
use crate::app::App;
use crate::budget::Share;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, header};
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::timeout;

/// Time given to throw away the rest of a body that is too large.
const DISCARD_WITHIN: Duration = Duration::from_secs(10);
/// What a body of unknown length takes of the budget at a time.
const STEP: usize = 64 << 10;

/// A body, and its share of the budget.
#[derive(Debug)]
pub(crate) struct Read {
    pub bytes: Vec<u8>,
    pub share: Share,
}

/// The whole body, of at most `limit` bytes.
///
/// What exceeds the limit is read and thrown away for a while before the refusal, because many clients read no answer
/// until they have sent everything; a body announced as more than twice the limit is refused at once.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    app: &App,
    limit: usize,
) -> Result<Read, Problem> {
    let encoding = headers
        .get(header::CONTENT_ENCODING)
        .map(|encoding| encoding.as_bytes());
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
        return Err(Problem::Encoding);
    }
    let within = app.settings.read_within;
    let too_large = Problem::TooLarge { limit };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok())
        .unwrap_or(0);
    if announced > 2 * limit {
        return Err(too_large);
    }
    let mut share = app.budget.take(announced.min(limit))?;
    let mut paid = announced.min(limit);
    let mut bytes = Vec::with_capacity(paid);
    let arrive = async {
        while let Some(data) = next(&mut body).await {
            let data = data?;
            let size = bytes.len() + data.len();
            if announced > limit || size > limit {
                return Ok(false);
            }
            if size > paid {
                let more = (size - paid).max(STEP);
                share.add(app.budget.take(more)?);
                paid += more;
            }
            bytes.extend_from_slice(&data);
        }
        Ok(true)
    };
    match timeout(within, arrive).await {
        Err(_) => Err(Problem::ReadTimeout {
            seconds: within.as_secs(),
        }),
        Ok(Err(problem)) => Err(problem),
        Ok(Ok(true)) => Ok(Read { bytes, share }),
        Ok(Ok(false)) => {
            drop((bytes, share));
            let discard = async {
                let mut left = 2 * limit;
                while let Some(Ok(data)) = next(&mut body).await {
                    left = left.saturating_sub(data.len());
                    if left == 0 {
                        break;
                    }
                }
            };
            // Whether it ended, broke or took too long, the answer is the same.
            let _ = timeout(DISCARD_WITHIN, discard).await;
            Err(too_large)
        }
    }
}

/// The next piece of a body; trailers are empty pieces.
async fn next(body: &mut Body) -> Option<Result<Bytes, Problem>> {
    let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
    Some(
        frame
            .map(|frame| frame.into_data().unwrap_or_default())
            .map_err(|_| Problem::Broken),
    )
}
