//! Models that are loaded and unloaded by request, as SageMaker's multi-model endpoints do.
//!
//! Only what lies below one folder can be loaded, however its path is written.
//!
//! Source: Amazon SageMaker Developer Guide, "Build Your Own Container for SageMaker AI Multi-Model Endpoints".

use crate::app::App;
use crate::follow::Opens;
use crate::live::Live;
use crate::sagemaker::{self, Error};
use crate::{Problem, body};
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

/// A name of a model, at most.
const NAME_BYTES: usize = 256;
/// A request to load a model, at most.
const LOAD_BYTES: usize = 64 << 10;

/// The models of a multi-model endpoint.
pub struct Models {
    folder: PathBuf,
    most: usize,
    opens: Opens,
    loaded: RwLock<BTreeMap<String, Loaded>>,
}

#[derive(Clone)]
struct Loaded {
    url: String,
    live: Arc<Live>,
}

/// What `POST /models` sends.
#[derive(Deserialize)]
pub(crate) struct Load {
    model_name: String,
    url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    model_name: String,
    model_url: String,
}

impl Models {
    /// None is loaded yet; bundles below `folder` can be, `most` at one time.
    pub fn new(folder: PathBuf, most: usize, opens: Opens) -> Self {
        Self {
            folder,
            most,
            opens,
            loaded: RwLock::default(),
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Loaded>> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: &str) -> Result<Loaded, Problem> {
        self.read().get(name).cloned().ok_or(Problem::UnknownModel)
    }

    /// What answers under a name.
    pub(crate) fn live(&self, name: &str) -> Option<Arc<Live>> {
        self.read().get(name).map(|loaded| Arc::clone(&loaded.live))
    }

    /// All that are loaded, by name.
    pub(crate) fn all(&self) -> Vec<(String, Arc<Live>)> {
        self.read()
            .iter()
            .map(|(name, loaded)| (name.clone(), Arc::clone(&loaded.live)))
            .collect()
    }

    /// The directory of a model.
    fn directory(&self, url: &str) -> Result<PathBuf, Problem> {
        let wrong = |reason: &str| Problem::ModelUrl {
            reason: reason.to_owned(),
        };
        let path = url.strip_prefix("file://").unwrap_or(url);
        let folder = self
            .folder
            .canonicalize()
            .map_err(|_| wrong("the folder of models is not there"))?;
        // Resolves `..` and links, so what is compared is where the model really lies.
        let path = folder
            .join(path)
            .canonicalize()
            .map_err(|_| wrong("it is not there"))?;
        if !path.starts_with(&folder) || path == folder {
            return Err(wrong("it lies elsewhere"));
        }
        Ok(path)
    }
}

fn models(app: &App) -> Result<&Models, Problem> {
    app.models.as_ref().ok_or(Problem::NotFound)
}

/// Answers `POST /models`: loads one.
///
/// # Errors
/// `model_loaded` 409, `models_full` 507, `invalid_model` 400.
pub(crate) async fn load(State(app): State<Arc<App>>, request: Request) -> Result<StatusCode, Error> {
    let models = models(&app)?;
    let (head, body) = request.into_parts();
    let read = body::read(&head.headers, body, &app, LOAD_BYTES).await?;
    let Load { model_name, url } =
        serde_json::from_slice(&read.bytes).map_err(|error| Problem::Malformed {
            format: "JSON",
            line: error.line(),
            column: error.column(),
        })?;
    if model_name.is_empty() || model_name.len() > NAME_BYTES {
        return Err(Error::from(Problem::Parameter {
            name: "model_name",
            expected: "1 to 256 bytes",
        }));
    }
    let room = || {
        let loaded = models.read();
        if loaded.contains_key(&model_name) {
            Err(Problem::ModelLoaded)
        } else if loaded.len() >= models.most {
            Err(Problem::ModelsFull { most: models.most })
        } else {
            Ok(())
        }
    };
    room()?;
    let directory = models.directory(&url)?;
    let opens = Arc::clone(&models.opens);
    let opened = tokio::task::spawn_blocking(move || opens(&directory)).await;
    let predictor = opened
        .map_err(|_| Problem::Internal)?
        .map_err(|reason| Problem::ModelUrl { reason })?;
    room()?;
    let live = Live::new(app.settings.queue, Arc::clone(&app.metrics));
    live.serve(Some(model_name.clone()), Arc::new(predictor));
    let mut loaded = models.loaded.write().unwrap_or_else(PoisonError::into_inner);
    loaded.entry(model_name).or_insert(Loaded { url, live });
    Ok(StatusCode::OK)
}

/// Answers `GET /models`.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Json<Value>, Error> {
    let loaded = models(&app)?.read();
    let shown: Vec<Shown> = loaded.iter().map(|(name, loaded)| shown(name, loaded)).collect();
    Ok(Json(json!({ "models": shown })))
}

/// Answers `GET /models/{name}`.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Error> {
    let loaded = models(&app)?.find(&name)?;
    Ok(Json(json!(shown(&name, &loaded))))
}

/// Answers `DELETE /models/{name}`: unloads it once its requests are answered.
pub(crate) async fn unload(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<StatusCode, Error> {
    let models = models(&app)?;
    let removed = models
        .loaded
        .write()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&name);
    removed.ok_or(Problem::UnknownModel)?.live.nothing();
    Ok(StatusCode::OK)
}

/// Answers `POST /models/{name}/invoke` as `/invocations` does.
pub(crate) async fn invoke(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Error> {
    let live = models(&app)?.find(&name)?.live;
    sagemaker::invoke(&app, &live, request).await
}

fn shown(name: &str, loaded: &Loaded) -> Shown {
    Shown {
        model_name: name.to_owned(),
        model_url: loaded.url.clone(),
    }
}
