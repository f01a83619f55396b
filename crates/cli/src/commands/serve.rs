//! `serve`: the private endpoint, and the gateway before it.

mod gateway;
mod logs;

use crate::commands::predict::{Precision, open_bundle};
use crate::commands::train::Container;
use crate::context::{Context, Wall, Where, open};
use crate::failure::{Failure, Kind};
use crate::output::Output;
use logs::Log;
use poststelle_lifecycle::EndpointName;
use poststelle_server::{App, Door, Entrance, Follow, Models, Opens, Settings, private, run as run_server};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Answer mails over HTTP
///
/// Speaks SageMaker's contract (GET /ping, POST /invocations in JSON, JSON Lines or CSV, GET /execution-parameters, multi-model
/// routes), KServe's Open Inference Protocol v2 and text-embeddings-inference's /predict; GET /metrics is for Prometheus.
/// With --endpoint it serves what `deploy` and approvals want served there, and switches without dropping a request. With
/// --gateway it opens the environment's public gateway (/v1) beside it, with keys, limits and feedback.
/// SIGTERM and SIGINT let open requests finish. Logs go to standard error; POSTSTELLE_LOG sets what is logged
/// (default `info`). Traces go where OTEL_EXPORTER_OTLP_ENDPOINT says.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    at: Where,
    /// The bundle: a directory or a model.tar.gz
    ///
    /// In SageMaker's hosting container it may be left out: then the model there is served, on all addresses.
    #[arg(value_name = "BUNDLE")]
    bundle: Option<PathBuf>,
    /// Follow an endpoint of the environment instead: serve what is deployed to it
    #[arg(long, value_name = "NAME", conflicts_with = "bundle")]
    endpoint: Option<EndpointName>,
    /// Open the environment's gateway, too, as `[env.NAME.gateway]` says
    #[arg(long)]
    gateway: bool,
    /// Address to listen on; 0.0.0.0 for all [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    host: Option<IpAddr>,
    /// Port to listen on, 0 for any free one [default: SAGEMAKER_BIND_TO_PORT, else 8080]
    #[arg(long)]
    port: Option<u16>,
    /// Unix socket to listen on instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["host", "port"])]
    socket: Option<PathBuf>,
    /// Load and unload the bundles below this folder by request, as SageMaker's multi-model endpoints do
    #[arg(long, value_name = "FOLDER")]
    models: Option<PathBuf>,
    /// Bundles loaded by request at one time, at most
    #[arg(long, value_name = "N", default_value_t = 16, requires = "models", value_parser = clap::value_parser!(u16).range(1..))]
    max_models: u16,
    /// Largest request body, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
    max_body: u32,
    /// Seconds in which a request is answered, or not at all [default: 60; 900 in batch transform]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    answer_within: Option<u32>,
    /// Threads that clean and compute [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    workers: Option<u16>,
    /// Tokens computed in one batch, at most; a single longer mail is a batch of its own
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(16..=65_536))]
    batch_tokens: u32,
    /// How to write logs
    #[arg(long, value_enum, default_value_t)]
    log: Log,
    /// What the encoder computes in
    #[arg(long, value_enum, default_value_t)]
    precision: Precision,
}

pub fn run(args: Args, out: &mut Output) -> Result<(), Failure> {
    let Args {
        at,
        bundle,
        endpoint,
        gateway,
        host,
        port,
        socket,
        models,
        max_models,
        max_body,
        answer_within,
        workers,
        batch_tokens,
        log,
        precision,
    } = args;
    let _traces = logs::start(log)?;
    let models = models.or_else(|| is_true("SAGEMAKER_MULTI_MODEL").then(Container::models));
    let (bundle, endpoint, host) = match (bundle, endpoint) {
        (None, None) if models.is_some() && is_true("SAGEMAKER_MULTI_MODEL") => {
            (None, None, host.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
        }
        (None, None) if models.is_none() => {
            let model = Container::model().ok_or_else(|| Failure {
                kind: Kind::Misused,
                message: "`serve` needs a bundle, or --endpoint".to_owned(),
                hint: Some("`poststelle serve BUNDLE`".to_owned()),
            })?;
            (
                Some(model),
                None,
                host.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            )
        }
        (bundle, endpoint) => (bundle, endpoint, host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))),
    };
    let socket = match socket {
        Some(path) => Socket::unix(&path)?,
        None => Socket::tcp(host, port.map_or_else(port_from_environment, Ok)?)?,
    };
    let batch_transform = is_true("SAGEMAKER_BATCH");
    let within = answer_within.unwrap_or(if batch_transform {
        BATCH_WITHIN_S
    } else {
        ONLINE_WITHIN_S
    });
    let mut settings = Settings {
        body_bytes: (max_body as usize) << 20,
        batch_transform,
        answer_within: Duration::from_secs(within.into()),
        ..Settings::default()
    };
    settings.bodies_bytes = settings.bodies_bytes.max(2 * settings.body_bytes);
    settings.queue.waiting_bytes = settings.queue.waiting_bytes.max(2 * settings.body_bytes);
    settings.queue.batch_tokens = batch_tokens as usize;
    if let Some(workers) = workers {
        settings.queue.workers = workers.into();
    }
    if let Some(name) = endpoint.as_ref() {
        settings.model_name = name.to_string();
    }
    let opens = opens(precision);
    let app = match models {
        Some(folder) => App::with_models(
            settings,
            Models::new(folder, max_models.into(), Arc::clone(&opens)),
        ),
        None => App::new(settings),
    };
    let what = match (&bundle, &endpoint) {
        (Some(bundle), _) => {
            let opened = open_bundle(bundle, precision)?;
            app.live.serve(None, Arc::new(opened.predictor));
            bundle.display().to_string()
        }
        (None, Some(endpoint)) => format!("endpoint {endpoint} of `{}`", at.name()),
        (None, None) => "what is loaded".to_owned(),
    };
    let following = match endpoint {
        Some(endpoint) => Some(follow(&at, endpoint, opens)?),
        None => None,
    };
    let gateway = gateway.then(|| gateway::Opening::of(&at)).transpose()?;
    let live = Arc::clone(&app.live);
    let beside = async move {
        match following {
            None => std::future::pending().await,
            Some(follow) => match follow.await {
                Ok(follow) => follow.run(live).await,
                Err(failure) => {
                    tracing::error!(error = %failure, "cannot open the environment; nothing is served");
                }
            },
        }
    };
    let served = Arc::clone(&app);
    let open = async move {
        let address = socket.url();
        let mut entrances = vec![Entrance {
            name: "private",
            door: socket.open()?,
            router: private(&served),
        }];
        let public = gateway.as_ref().map(gateway::Opening::url);
        if let Some(gateway) = gateway {
            entrances.push(gateway.open(served).await?);
        }
        match log {
            Log::Text => {
                out.note(format!("{what} answers on {address}"));
                if let Some(public) = public {
                    out.note(format!("its gateway answers on {public}"));
                }
            }
            Log::Json => tracing::info!(serves = what, address, gateway = public, "ready"),
        }
        Ok::<_, Failure>(entrances)
    };
    run_server(app, open, beside)
}

/// Seconds in which a request is answered, unless told otherwise: what SageMaker waits for an answer.
const ONLINE_WITHIN_S: u32 = 60;
/// The same in batch transform, whose requests hold a piece of a file.
const BATCH_WITHIN_S: u32 = 15 * 60;

/// A socket that is bound, so that a wrong address ends the command at once.
enum Socket {
    Tcp(TcpListener, SocketAddr),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener, PathBuf),
}

impl Socket {
    fn tcp(host: IpAddr, port: u16) -> Result<Self, Failure> {
        let listener = TcpListener::bind((host, port)).map_err(|error| {
            Failure::misused(error).hint(format!(
                "{host}:{port} cannot be listened on; choose another --port"
            ))
        })?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self::Tcp(listener, address))
    }

    /// A Unix socket for this user and group; one that a killed server left behind is replaced.
    #[cfg(unix)]
    fn unix(path: &Path) -> Result<Self, Failure> {
        use std::os::unix::fs::{FileTypeExt, PermissionsExt};
        use std::os::unix::net::{UnixListener, UnixStream};
        let said = |error: std::io::Error| {
            Failure::misused(error).hint(format!(
                "`{}` cannot be listened on; choose another --socket",
                path.display()
            ))
        };
        let left = path
            .symlink_metadata()
            .is_ok_and(|about| about.file_type().is_socket());
        // Nobody listens there any more. Any other error, such as a lack of permission, may be a server that lives.
        let dead = |error: std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
        if left && UnixStream::connect(path).is_err_and(dead) {
            std::fs::remove_file(path).map_err(said)?;
        }
        let listener = UnixListener::bind(path).map_err(said)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(said)?;
        listener.set_nonblocking(true)?;
        Ok(Self::Unix(listener, path.to_path_buf()))
    }

    #[cfg(not(unix))]
    fn unix(_: &Path) -> Result<Self, Failure> {
        Err(Failure::refused("this system has no Unix sockets"))
    }

    fn url(&self) -> String {
        match self {
            Self::Tcp(_, address) => format!("http://{address}/invocations"),
            #[cfg(unix)]
            Self::Unix(_, path) => format!("unix:{}", path.display()),
        }
    }

    /// The door, on the threads that serve it.
    fn open(self) -> Result<Door, Failure> {
        Ok(match self {
            Self::Tcp(listener, _) => Door::Tcp(tokio::net::TcpListener::from_std(listener)?),
            #[cfg(unix)]
            Self::Unix(listener, _) => Door::Unix(tokio::net::UnixListener::from_std(listener)?),
        })
    }
}

/// What opens a bundle's directory to answer with.
pub fn opens(precision: Precision) -> Opens {
    Arc::new(move |folder: &Path| {
        open_bundle(folder, precision)
            .map(|opened| opened.predictor)
            .map_err(|failure| failure.to_string())
    })
}

/// Time between two looks at what an endpoint should serve.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What makes an endpoint follow its environment. The store is opened by the future, on the threads that will use it; once here, too, so
/// that a wrong configuration ends the command.
pub fn follow(
    at: &Where,
    endpoint: EndpointName,
    opens: Opens,
) -> Result<impl Future<Output = Result<Follow, Failure>> + Send + use<>, Failure> {
    let Context {
        config,
        name: environment,
        environment: settings,
        trusted,
        ..
    } = at.clone().unattended().open()?;
    let behaviour = settings.endpoint.get(&endpoint).cloned().unwrap_or_default();
    let cache = match &behaviour.cache {
        Some(cache) => config.path(cache),
        None => std::env::temp_dir().join(format!("poststelle-{environment}-{endpoint}")),
    };
    Ok(async move {
        let (store, blobs) = open(&config, &settings).await?;
        Ok(Follow {
            store,
            blobs,
            trusted,
            environment,
            endpoint,
            approvals: behaviour.on_approval.map(|strategy| (settings.model, strategy)),
            cache,
            clock: Arc::new(Wall),
            opens,
            every: LOOK_EVERY,
        })
    })
}

/// Whether a variable of SageMaker's says yes; its tools write `true` and `True`.
fn is_true(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// The port SageMaker wants, or the usual one.
fn port_from_environment() -> Result<u16, Failure> {
    let Some(value) = std::env::var_os("SAGEMAKER_BIND_TO_PORT").filter(|value| !value.is_empty()) else {
        return Ok(8080);
    };
    value
        .to_str()
        .and_then(|value| value.parse().ok())
        .ok_or_else(|| {
            let found = value.to_string_lossy();
            let message = format!("SAGEMAKER_BIND_TO_PORT is `{found}`, expected a port, 0 to 65535");
            Failure {
                kind: Kind::Misused,
                message,
                hint: None,
            }
        })
}
