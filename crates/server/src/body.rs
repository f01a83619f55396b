//! Reads a request's body within bounds of size and time.

use crate::{Problem, Settings};
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, header};
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::timeout;

/// Time given to throw away the rest of a body that is too large.
const DISCARD_WITHIN: Duration = Duration::from_secs(10);

/// The whole body.
///
/// What exceeds the limit is read and thrown away for a while before the refusal, because many clients read no answer
/// until they have sent everything; a body announced as more than twice the limit is refused at once.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    settings: &Settings,
) -> Result<Vec<u8>, Problem> {
    let limit = settings.body_bytes;
    let too_large = Problem::TooLarge { limit };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok())
        .unwrap_or(0);
    if announced > 2 * limit {
        return Err(too_large);
    }
    let mut bytes = Vec::with_capacity(announced.min(limit));
    let arrive = async {
        while let Some(data) = next(&mut body).await {
            let data = data?;
            if announced > limit || bytes.len() + data.len() > limit {
                return Ok(false);
            }
            bytes.extend_from_slice(&data);
        }
        Ok(true)
    };
    match timeout(settings.read_within, arrive).await {
        Err(_) => Err(Problem::ReadTimeout {
            seconds: settings.read_within.as_secs(),
        }),
        Ok(Err(problem)) => Err(problem),
        Ok(Ok(true)) => Ok(bytes),
        Ok(Ok(false)) => {
            drop(bytes);
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
