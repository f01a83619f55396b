//! Reads a request's body within bounds of size and time.

use crate::Problem;
use crate::app::App;
use crate::budget::Share;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, header};
use std::future::poll_fn;
use std::pin::Pin;
use tokio::time::timeout;

/// What a body of unknown length takes of the budget at a time.
const STEP: usize = 64 << 10;

/// A body, and its share of the budget.
#[derive(Debug)]
pub(crate) struct Read {
    pub bytes: Vec<u8>,
    pub share: Share,
}

/// The whole body, of at most `limit` bytes; one that is announced or becomes larger is refused at once.
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
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok())
        .unwrap_or(0);
    if announced > limit {
        return Err(Problem::TooLarge { limit });
    }
    let mut share = app.budget.take(announced)?;
    let mut paid = announced;
    let mut bytes = Vec::with_capacity(paid);
    let arrive = async {
        while let Some(data) = next(&mut body).await {
            let data = data?;
            let size = bytes.len() + data.len();
            if size > limit {
                return Err(Problem::TooLarge { limit });
            }
            if size > paid {
                let more = (size - paid).max(STEP);
                share.add(app.budget.take(more)?);
                paid += more;
            }
            bytes.extend_from_slice(&data);
        }
        Ok(())
    };
    match timeout(within, arrive).await {
        Err(_) => Err(Problem::ReadTimeout {
            seconds: within.as_secs(),
        }),
        Ok(Err(problem)) => Err(problem),
        Ok(Ok(())) => Ok(Read { bytes, share }),
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
