//! Starts, runs and stops the server.

use crate::live::Live;
use crate::sagemaker::{App, execution_parameters, invocations, ping};
use crate::{Problem, Settings, log};
use axum::Router;
use axum::middleware::from_fn;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use std::future::Future;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tower_http::catch_panic::CatchPanicLayer;

/// Threads that parse and write large bodies.
const BODY_THREADS: usize = 2;

/// Why a server could not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The threads that serve connections could not be started.
    #[error("cannot start the server's threads")]
    Runtime(#[source] std::io::Error),
    /// The listening socket failed.
    #[error("cannot serve on the listening socket")]
    Listen(#[source] std::io::Error),
}

/// The private endpoint's routes.
///
/// | route | answer |
/// |---|---|
/// | `GET /ping` | 200, empty; 503 while no model is deployed |
/// | `POST /invocations` | one record per mail |
/// | `POST /endpoints/{any name}/invocations` | the same, for SageMaker's runtime clients |
/// | `GET /execution-parameters` | what batch transform may send |
pub fn router(live: Arc<Live>, settings: Settings) -> Router {
    Router::new()
        .route("/ping", get(ping))
        .route("/invocations", post(invocations))
        // As SageMaker's runtime clients call an endpoint.
        .route("/endpoints/{endpoint}/invocations", post(invocations))
        .route("/execution-parameters", get(execution_parameters))
        .fallback(async || Problem::NotFound)
        .method_not_allowed_fallback(async || Problem::Method)
        // The panic's own message may quote what it choked on, so it goes nowhere.
        .layer(CatchPanicLayer::custom(|_| Problem::Internal.into_response()))
        .layer(from_fn(log::log))
        .with_state(App { live, settings })
}

/// Serves until `stop` resolves, then lets open requests finish for `settings.drain_within`.
///
/// # Errors
/// [`ServeError::Listen`] when the socket fails.
pub async fn serve(
    listener: TcpListener,
    live: Arc<Live>,
    settings: Settings,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let app = router(live, settings);
    let (stopping, stopped) = oneshot::channel();
    let stop = async move {
        stop.await;
        tracing::info!(
            drain_s = settings.drain_within.as_secs(),
            "stopping: no new requests, open ones may finish"
        );
        // Its receiver lives as long as this server.
        let _ = stopping.send(());
    };
    let give_up = async move {
        // An error means the server ended before it was asked to; then there is nothing to give up.
        if stopped.await.is_ok() {
            tokio::time::sleep(settings.drain_within).await;
        } else {
            std::future::pending().await
        }
    };
    let served = axum::serve(listener, app).with_graceful_shutdown(stop);
    tokio::select! {
        result = served => result.map_err(ServeError::Listen)?,
        () = give_up => tracing::warn!("stopped with requests still open"),
    }
    tracing::info!("stopped");
    Ok(())
}

/// Serves on a bound socket until the process is told to stop (SIGTERM, SIGINT), blocking this thread; `beside` runs with it.
///
/// # Errors
/// [`ServeError`] when threads or socket fail.
pub fn run(
    listener: std::net::TcpListener,
    live: Arc<Live>,
    settings: Settings,
    beside: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    // Connections want little of a processor, and what they want must not compete with the queue's workers: a thread
    // that serves all of them, and few for bodies that take long to read or write.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(BODY_THREADS)
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)?;
    let result = runtime.block_on(async {
        listener.set_nonblocking(true).map_err(ServeError::Listen)?;
        let listener = TcpListener::from_std(listener).map_err(ServeError::Listen)?;
        tokio::spawn(beside);
        serve(listener, live, settings, stop_signal()).await
    });
    // Requests that outlived the draining are not waited for.
    runtime.shutdown_background();
    result
}

#[cfg(unix)]
async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = async |kind| match signal(kind) {
        Ok(mut signal) => drop(signal.recv().await),
        Err(_) => {
            tracing::warn!("cannot listen for a stop signal");
            std::future::pending().await
        }
    };
    tokio::select! {
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::interrupt()) => {}
    }
}

#[cfg(not(unix))]
async fn stop_signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
