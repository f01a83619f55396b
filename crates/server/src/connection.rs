//! Accepts connections and serves HTTP on them, within bounds of number and time.
//!
//! A door is a socket: TCP, TCP with TLS, or a Unix socket. What is slow on one connection, a handshake, a head that trickles in, an answer
//! nobody takes, holds up no other and ends after a while.

mod linger;

use self::linger::{Linger, Unread, Watched};
use crate::app::App;
use crate::tls::Certificate;
use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio_io_timeout::TimeoutStream;

/// Bytes of a request's head, at most; a longer one is answered with 431.
const HEAD_BYTES: usize = 64 << 10;
/// Time for a TLS handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Pause after a connection could not be accepted, as when no file handles are left.
const PAUSE: Duration = Duration::from_millis(50);

/// A socket that listens.
pub enum Door {
    /// TCP.
    Tcp(TcpListener),
    /// TCP with TLS.
    Tls(TcpListener, Certificate),
    /// A Unix socket.
    Unix(UnixListener),
}

/// Who is at the other end; none at a Unix socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub Option<IpAddr>);

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Door {
    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) | Self::Tls(listener, _) => {
                let (stream, peer) = listener.accept().await?;
                // An answer is written whole; nothing is gained by waiting for more.
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), Peer(Some(peer.ip()))))
            }
            Self::Unix(listener) => Ok((Stream::Unix(listener.accept().await?.0), Peer(None))),
        }
    }
}

/// Serves what comes through a door until told to stop, then until the last connection has ended.
pub(crate) async fn serve(
    door: Door,
    name: &'static str,
    router: Router,
    app: Arc<App>,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(app.settings.connections));
    let graceful = GracefulShutdown::new();
    let open = app.metrics.connections(name);
    loop {
        let accepted = tokio::select! {
            accepted = async {
                // The semaphore is never closed.
                let place = Arc::clone(&places).acquire_owned().await.ok();
                door.accept().await.map(|accepted| (accepted, place))
            } => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let ((stream, peer), place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(door = name, %error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let connection = Connection {
            router: router.clone(),
            peer,
            head_within: app.settings.head_within,
            write_within: app.settings.write_within,
            watcher: graceful.watcher(),
        };
        let acceptor = match &door {
            Door::Tls(_, certificate) => Some(certificate.acceptor()),
            Door::Tcp(_) | Door::Unix(_) => None,
        };
        let open = open.clone();
        tokio::spawn(async move {
            open.inc();
            match (stream, acceptor) {
                (Stream::Tcp(stream), None) => connection.serve(stream).await,
                (Stream::Unix(stream), _) => connection.serve(stream).await,
                (Stream::Tcp(stream), Some(acceptor)) => {
                    match tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => connection.serve(stream).await,
                        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                        Err(_) => tracing::debug!("a TLS handshake took too long"),
                    }
                }
            }
            open.dec();
            drop(place);
        });
    }
    drop(door);
    graceful.shutdown().await;
}

struct Connection {
    router: Router,
    peer: Peer,
    head_within: Duration,
    write_within: Duration,
    watcher: Watcher,
}

impl Connection {
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Send + 'static) {
        let Self {
            router,
            peer,
            head_within,
            write_within,
            watcher,
        } = self;
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(write_within));
        let inner = TowerToHyperService::new(router);
        let unread = Unread::default();
        let stream = Linger::new(Box::pin(stream), unread.clone());
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(|body| Watched::new(body, unread.clone()));
            request.extensions_mut().insert(peer);
            inner.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head_within)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        // How a connection ends, its client knows: it hung up, or sent no HTTP, or was too slow.
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}
