//! `serve`: the private endpoint.

use crate::commands::predict::{Precision, open_bundle};
use crate::failure::{Failure, Kind};
use crate::output::Output;
use clap::ValueEnum;
use poststelle_server::{Settings, run as run_server};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use tracing_subscriber::EnvFilter;

/// Answer mails over HTTP
///
/// Speaks SageMaker's contract: GET /ping, POST /invocations (JSON, JSON Lines, CSV), GET /execution-parameters.
/// SIGTERM and SIGINT let open requests finish. Logs go to standard error; POSTSTELLE_LOG sets what is logged
/// (default `info`).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The bundle: a directory or a model.tar.gz
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Address to listen on; 0.0.0.0 for all
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
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
        bundle,
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
    let opened = open_bundle(&bundle, precision)?;
    let listener = TcpListener::bind((host, port)).map_err(|error| {
        Failure::misused(error).hint(format!(
            "{host}:{port} cannot be listened on; choose another --port"
        ))
    })?;
    let address = listener.local_addr()?;
    out.note(format!(
        "{} answers on http://{address}/invocations",
        bundle.display()
    ));
    let mut settings = Settings {
        body_bytes: (max_body as usize) << 20,
        ..Settings::default()
    };
    settings.queue.waiting_bytes = settings.queue.waiting_bytes.max(2 * settings.body_bytes);
    settings.queue.batch_tokens = batch_tokens as usize;
    if let Some(workers) = workers {
        settings.queue.workers = workers.into();
    }
    run_server(listener, Arc::new(opened.predictor), settings).map_err(Failure::broken)
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
