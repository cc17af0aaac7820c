//! What the server tells of itself: a log on standard error and, by setting, traces over OTLP.

use std::io::IsTerminal;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::{LogFormat, Settings};

/// How long sending a batch of traces may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last traces may take when the server ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);
/// The name under which traces are sent.
const SERVICE: &str = "execution-ledger";

/// Why it can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The sender of traces.
    #[error("setting otlp_endpoint: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// A log is set up already.
    #[error("the log is set up already: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Keeps traces going; sends the last ones when dropped.
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(traces) = self.traces.take()
            && let Err(error) = traces.shutdown_with_timeout(FLUSH_TIMEOUT)
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Sets up log and traces for the whole process.
pub fn start(settings: &Settings) -> Result<Telemetry, TelemetryError> {
    let traces = settings.otlp_endpoint.as_ref().map(|url| provider(url.as_str())).transpose()?;
    let tracer = traces.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(SERVICE))
            .with_filter(with_spans(settings.log_level.to_env_filter()))
    });
    tracing_subscriber::registry().with(log(settings)).with(tracer).try_init()?;
    Ok(Telemetry { traces })
}

/// The spans of requests and runs are made at debug level, so that they cost nothing where nobody
/// collects them; traces always want them.
fn with_spans(filter: EnvFilter) -> EnvFilter {
    ["execution_ledger_api::guard=debug", "execution_ledger_process::manager::trace=debug"]
        .iter()
        .filter_map(|directive| directive.parse().ok())
        .fold(filter, EnvFilter::add_directive)
}

fn log(settings: &Settings) -> Box<dyn Layer<Registry> + Send + Sync> {
    let filter = settings.log_level.to_env_filter();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
        LogFormat::Text => {
            let colour = std::io::stderr().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            lines.with_ansi(colour).with_filter(filter).boxed()
        }
    }
}

fn provider(endpoint: &str) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(endpoint)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let resource = Resource::builder()
        .with_service_name(SERVICE)
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build())
}
