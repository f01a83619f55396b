//! Where logs and traces go.

use crate::failure::Failure;
use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::panic::PanicHookInfo;
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
        .with_ansi(AutoStream::choice(&std::io::stderr()) != ColorChoice::Never)
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
    std::panic::set_hook(Box::new(panicked));
    Ok(Traces(provider))
}

/// Logs where a thread panicked. What it says of it stays unsaid: a message like that of a slice quotes the text it was made of.
fn panicked(about: &PanicHookInfo) {
    let place = about.location().map(ToString::to_string);
    let thread = std::thread::current();
    tracing::error!(panic.at = place, thread = thread.name(), "a thread panicked");
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_told_of_without_the_text_it_choked_on() {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = tracing_subscriber::fmt()
            .json()
            .with_writer(move || writer.clone())
            .finish();
        let text = "für Quittenbrotzeit".to_owned();
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(panicked));
        let ended = tracing::subscriber::with_default(lines, || std::panic::catch_unwind(|| text[2..].len()));
        std::panic::set_hook(default);
        assert!(ended.is_err());
        let said = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let line: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert!(
            line["fields"]["panic.at"].as_str().unwrap().contains("logs.rs"),
            "{said}"
        );
        assert!(!said.contains("Quitten"), "{said}");
    }
}
