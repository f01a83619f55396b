//! Where logs and traces go.

use crate::failure::Failure;
use clap::ValueEnum;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::io::IsTerminal;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Log {
    /// Lines for people
    #[default]
    Text,
    /// JSON objects for collectors
    Json,
}

/// Traces on their way; dropping it sends the last ones.
pub struct Traces(Option<SdkTracerProvider>);

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.take().map(|provider| provider.shutdown()) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Where OpenTelemetry's own variables say that traces go.
const COLLECTORS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// Starts both.
pub fn start(log: Log) -> Result<Traces, Failure> {
    let wanted = std::env::var_os("POSTSTELLE_LOG").unwrap_or_else(|| "info".into());
    let filter = EnvFilter::try_new(wanted.to_string_lossy()).map_err(|error| {
        Failure::misused(error).hint("POSTSTELLE_LOG is read as in `info,poststelle_server=debug`")
    })?;
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let lines = match log {
        Log::Text => lines.boxed(),
        Log::Json => lines.json().boxed(),
    };
    // A line says all of it; the spans around it are for traces.
    let lines = lines
        .with_filter(filter_fn(|about| about.is_event()))
        .with_filter(filter);
    let provider = traces()?;
    let spans = provider.as_ref().map(|provider| {
        let ours = filter_fn(|about| about.target().starts_with("poststelle"));
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("poststelle"))
            .with_filter(ours)
    });
    tracing_subscriber::registry().with(lines).with(spans).init();
    Ok(Traces(provider))
}

/// What sends traces, where a collector is named.
fn traces() -> Result<Option<SdkTracerProvider>, Failure> {
    if !COLLECTORS
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
    {
        return Ok(None);
    }
    // Another part of the process may have chosen one; any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = SpanExporter::builder().with_http().build().map_err(|error| {
        Failure::misused(error)
            .hint("OTEL_EXPORTER_OTLP_ENDPOINT names a collector, as in `http://127.0.0.1:4318`")
    })?;
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let name = std::env::var_os("OTEL_SERVICE_NAME").and_then(|name| name.into_string().ok());
    let resource = Resource::builder()
        .with_service_name(name.unwrap_or_else(|| "poststelle".to_owned()))
        .build();
    Ok(Some(
        SdkTracerProvider::builder()
            .with_resource(resource)
            .with_batch_exporter(exporter)
            .build(),
    ))
}
