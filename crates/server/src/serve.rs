//! Starts, runs and stops the server.

use crate::app::App;
use crate::connection::{self, Door};
use crate::gateway::Gateway;
use crate::{Problem, api, health, kserve, log, metrics, models, sagemaker, tei};
use axum::Router;
use axum::http::{StatusCode, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::future::Future;
use std::sync::Arc;
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;

/// Threads that parse and write large bodies.
const BODY_THREADS: usize = 2;

/// The private endpoint's routes.
///
/// | route | answer |
/// |---|---|
/// | `GET /ping` | 200, empty; 503 while no model is deployed |
/// | `POST /invocations` | one record per mail |
/// | `POST /endpoints/{any name}/invocations` | the same, for SageMaker's runtime clients |
/// | `GET /execution-parameters` | what batch transform may send |
/// | `/models`, `/models/{name}`, `/models/{name}/invoke` | SageMaker's multi-model endpoint |
/// | `/v2/…` | KServe's Open Inference Protocol |
/// | `POST /predict` (and `/`), `GET /info`, `GET /health` | as text-embeddings-inference answers |
/// | `GET /health/live`, `GET /health/ready` | whether it lives, whether it should be sent requests |
/// | `GET /metrics` | Prometheus |
pub fn private(app: &Arc<App>) -> Router {
    let tei = Router::new()
        .route("/", get(health::ready).post(tei::predict))
        .route("/predict", post(tei::predict));
    let routes = Router::new()
        .route("/ping", get(sagemaker::ping))
        .route("/invocations", post(sagemaker::invocations))
        .route("/endpoints/{endpoint}/invocations", post(sagemaker::invocations))
        .route("/execution-parameters", get(sagemaker::execution_parameters))
        .route("/models", get(models::list).post(models::load))
        .route("/models/{name}", get(models::show).delete(models::unload))
        .route("/models/{name}/invoke", post(models::invoke))
        .layer(map_response(unreadable::<sagemaker::Error>))
        .nest(
            "/v2",
            kserve::router().layer(map_response(unreadable::<kserve::Error>)),
        )
        .merge(tei.layer(map_response(unreadable::<tei::Error>)))
        .route("/info", get(tei::info))
        .route("/health", get(health::ready))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .with_state(Arc::clone(app));
    around(routes, app)
}

/// The gateway's routes: see its OpenAPI file.
pub fn public(gateway: &Arc<Gateway>) -> Router {
    around(
        api::router(gateway).layer(map_response(unreadable::<Problem>)),
        &gateway.app,
    )
}

/// What every route has around it.
fn around(routes: Router, app: &Arc<App>) -> Router {
    routes
        .fallback(async || Problem::NotFound)
        .method_not_allowed_fallback(async || Problem::Method)
        // The panic's own message may quote what it choked on, so it goes nowhere.
        .layer(CatchPanicLayer::custom(|_| Problem::Internal.into_response()))
        .layer(from_fn_with_state(Arc::clone(app), log::log))
}

/// Tells in a protocol's own shape what axum tells in plain text: that it cannot read a path or a query. No handler of ours answers so.
async fn unreadable<E: From<Problem> + IntoResponse>(response: Response) -> Response {
    let media = response.headers().get(header::CONTENT_TYPE);
    let is_plain = media.is_some_and(|media| media.as_bytes().starts_with(b"text/plain"));
    if response.status() != StatusCode::BAD_REQUEST || !is_plain {
        return response;
    }
    let problem = Problem::Parameter {
        name: "path or query",
        expected: "percent-encoded UTF-8, each parameter once",
    };
    E::from(problem).into_response()
}

/// A socket, and what is behind it.
pub struct Entrance {
    /// What it is called in logs and metrics.
    pub name: &'static str,
    /// The socket.
    pub door: Door,
    /// What is behind it.
    pub router: Router,
}

/// Serves until `stop` resolves, then lets open requests finish for `settings.drain_within`.
pub async fn serve(entrances: Vec<Entrance>, app: Arc<App>, stop: impl Future<Output = ()> + Send + 'static) {
    let (tell, told) = watch::channel(false);
    let mut open = tokio::task::JoinSet::new();
    for Entrance { name, door, router } in entrances {
        open.spawn(connection::serve(
            door,
            name,
            router,
            Arc::clone(&app),
            told.clone(),
        ));
    }
    stop.await;
    let within = app.settings.drain_within;
    tracing::info!(
        drain_s = within.as_secs(),
        "stopping: no new requests, open ones may finish"
    );
    app.drain();
    // The doors have ended where nobody listens.
    let _ = tell.send(true);
    let all = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(within, all).await.is_err() {
        tracing::warn!("stopped with requests still open");
    }
    tracing::info!("stopped");
}

/// Serves until the process is told to stop (SIGTERM, SIGINT), blocking this thread. `open` opens the doors on the threads that will
/// serve them; `beside` runs with them.
///
/// # Errors
/// That of the system when the threads cannot be started, or what `open` says.
pub fn run<E: From<std::io::Error>>(
    app: Arc<App>,
    open: impl Future<Output = Result<Vec<Entrance>, E>>,
    beside: impl Future<Output = ()> + Send + 'static,
) -> Result<(), E> {
    // Connections want little of a processor, and what they want must not compete with the queue's workers: a thread
    // that serves all of them, and few for bodies that take long to read or write.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(BODY_THREADS)
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        // Before anybody can know that this process serves and may be told to stop.
        let stop = stop_signal()?;
        let entrances = open.await?;
        tokio::spawn(beside);
        serve(entrances, app, stop).await;
        Ok(())
    });
    // Requests that outlived the draining are not waited for.
    runtime.shutdown_background();
    result
}

/// What resolves when this process is told to stop; it listens from now on.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn stop_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    })
}
