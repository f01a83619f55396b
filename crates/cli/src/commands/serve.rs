//! `serve`: the private endpoint.

use crate::commands::predict::{Precision, open_bundle};
use crate::commands::train::Container;
use crate::context::{Context, Wall, Where, open};
use crate::failure::{Failure, Kind};
use crate::output::Output;
use clap::ValueEnum;
use poststelle_lifecycle::EndpointName;
use poststelle_server::{Follow, Live, Settings, run as run_server};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// Answer mails over HTTP
///
/// Speaks SageMaker's contract: GET /ping, POST /invocations (JSON, JSON Lines, CSV), GET /execution-parameters.
/// With --endpoint it serves what `deploy` and approvals want served there, and switches without dropping a request.
/// SIGTERM and SIGINT let open requests finish. Logs go to standard error; POSTSTELLE_LOG sets what is logged
/// (default `info`).
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
    /// Address to listen on; 0.0.0.0 for all [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    host: Option<IpAddr>,
    /// Port to listen on, 0 for any free one [default: SAGEMAKER_BIND_TO_PORT, else 8080]
    #[arg(long)]
    port: Option<u16>,
    /// Largest request body, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
    max_body: u32,
    /// Threads that clean and compute [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    workers: Option<u16>,
    /// Tokens computed in one batch, at most; a single longer mail is a batch of its own
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(16..=65_536))]
    batch_tokens: u32,
    /// How to write logs
    #[arg(long, value_enum, default_value_t = Log::Text)]
    log: Log,
    /// What the encoder computes in
    #[arg(long, value_enum, default_value_t)]
    precision: Precision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Log {
    /// Lines for people
    Text,
    /// JSON objects for collectors
    Json,
}

pub fn run(args: Args, out: &mut Output) -> Result<(), Failure> {
    let Args {
        at,
        bundle,
        endpoint,
        host,
        port,
        max_body,
        workers,
        batch_tokens,
        log,
        precision,
    } = args;
    let port = match port {
        Some(port) => port,
        None => port_from_environment()?,
    };
    start_logs(log)?;
    let (bundle, host) = match (bundle, &endpoint) {
        (None, None) => {
            let model = Container::model().ok_or_else(|| Failure {
                kind: Kind::Misused,
                message: "`serve` needs a bundle, or --endpoint".to_owned(),
                hint: Some("`poststelle serve BUNDLE`".to_owned()),
            })?;
            (Some(model), host.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
        }
        (bundle, _) => (bundle, host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))),
    };
    let listener = TcpListener::bind((host, port)).map_err(|error| {
        Failure::misused(error).hint(format!(
            "{host}:{port} cannot be listened on; choose another --port"
        ))
    })?;
    let address = listener.local_addr()?;
    let mut settings = Settings {
        body_bytes: (max_body as usize) << 20,
        ..Settings::default()
    };
    settings.queue.waiting_bytes = settings.queue.waiting_bytes.max(2 * settings.body_bytes);
    settings.queue.batch_tokens = batch_tokens as usize;
    if let Some(workers) = workers {
        settings.queue.workers = workers.into();
    }
    let answers = format!("answers on http://{address}/invocations");
    match (bundle, endpoint) {
        (Some(bundle), _) => {
            let opened = open_bundle(&bundle, precision)?;
            out.note(format!("{} {answers}", bundle.display()));
            let live = Live::fixed(Arc::new(opened.predictor), settings.queue);
            run_server(listener, live, settings, std::future::pending()).map_err(Failure::broken)
        }
        (None, Some(endpoint)) => {
            let live = Live::new(settings.queue);
            let follow = follow(&at, endpoint.clone(), precision)?;
            let following = Arc::clone(&live);
            let beside = async move {
                match follow.await {
                    Ok(follow) => follow.run(following).await,
                    Err(failure) => {
                        tracing::error!(error = %failure, "cannot open the environment; nothing is served")
                    }
                }
            };
            out.note(format!("endpoint {endpoint} of `{}` {answers}", at.name()));
            run_server(listener, live, settings, beside).map_err(Failure::broken)
        }
        (None, None) => unreachable!("one of both was found"),
    }
}

/// Time between two looks at what an endpoint should serve.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What makes an endpoint follow its environment. The store is opened by the future, on the threads that will use it; once here, too, so
/// that a wrong configuration ends the command.
pub fn follow(
    at: &Where,
    endpoint: EndpointName,
    precision: Precision,
) -> Result<impl Future<Output = Result<Follow, Failure>> + Send + use<>, Failure> {
    let Context {
        config,
        name: environment,
        environment: settings,
        trusted,
        ..
    } = at.clone().open()?;
    let behaviour = settings.endpoint.get(&endpoint).cloned().unwrap_or_default();
    let cache = match &behaviour.cache {
        Some(cache) => config.path(cache),
        None => std::env::temp_dir().join(format!("poststelle-{environment}-{endpoint}")),
    };
    let opens = move |folder: &Path| {
        open_bundle(folder, precision)
            .map(|opened| opened.predictor)
            .map_err(|failure| failure.to_string())
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
            opens: Arc::new(opens),
            every: LOOK_EVERY,
        })
    })
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

fn start_logs(log: Log) -> Result<(), Failure> {
    let wanted = std::env::var_os("POSTSTELLE_LOG").unwrap_or_else(|| "info".into());
    let filter = EnvFilter::try_new(wanted.to_string_lossy()).map_err(|error| {
        Failure::misused(error).hint("POSTSTELLE_LOG is read as in `info,poststelle_server=debug`")
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match log {
        Log::Text => lines.init(),
        Log::Json => lines.json().init(),
    }
    Ok(())
}
