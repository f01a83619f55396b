//! Ends a connection so that its client gets the answer, though it has not sent all of its request (RFC 9112, section 9.6).
//!
//! A socket closed with bytes unread is reset, and the reset takes the answer with it; and many clients read no answer until they have
//! sent everything. So what an answer did not wait for is read and thrown away for a while after it.

use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Time for the rest of a request, after its answer.
const WITHIN: Duration = Duration::from_secs(10);
/// Bytes thrown away at a time.
const PIECE: usize = 8 << 10;

/// Whether the last request of this connection was answered before all of it had arrived.
#[derive(Debug, Clone, Default)]
pub(super) struct Unread(Arc<AtomicBool>);

/// A request's body, which tells when it is dropped before its end.
#[derive(Debug)]
pub(super) struct Watched {
    body: Incoming,
    ended: bool,
    unread: Unread,
}

impl Watched {
    /// The body of a connection's next request, so that of the one before has been read to its end after all.
    pub(super) fn new(body: Incoming, unread: Unread) -> Self {
        unread.0.store(false, Ordering::Relaxed);
        Self {
            body,
            ended: false,
            unread,
        }
    }
}

impl Body for Watched {
    type Data = <Incoming as Body>::Data;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.ended = frame.is_none();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.ended && !self.body.is_end_stream() {
            self.unread.0.store(true, Ordering::Relaxed);
        }
    }
}

/// A stream that is shut down only when its client has sent all, or [`WITHIN`] has passed, if a request
/// was left unread.
pub(super) struct Linger<S> {
    stream: S,
    unread: Unread,
    until: Option<Pin<Box<Sleep>>>,
}

impl<S> Linger<S> {
    pub(super) fn new(stream: S, unread: Unread) -> Self {
        Self {
            stream,
            unread,
            until: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Linger<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Linger<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self {
            stream,
            unread,
            until,
        } = &mut *self;
        let until = match until {
            Some(until) => until,
            None => {
                // The client learns that no more comes, and may still send.
                ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
                if !unread.0.load(Ordering::Relaxed) {
                    return Poll::Ready(Ok(()));
                }
                until.insert(Box::pin(tokio::time::sleep(WITHIN)))
            }
        };
        let mut piece = [0; PIECE];
        while until.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut piece);
            // Whether it ends or breaks, the answer has been sent.
            match ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
