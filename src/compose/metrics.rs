//! Numbers for monitoring.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::ServeError;
use crate::config::Settings;

/// Borders between durations that are counted apart, in seconds.
const SECONDS: [f64; 12] =
    [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Installs the recorder of all metrics; `None` where they are switched off.
pub fn install(settings: &Settings) -> Result<Option<PrometheusHandle>, ServeError> {
    if !settings.metrics {
        return Ok(None);
    }
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .map(Some)
        .map_err(|error| ServeError::Part(format!("metrics: {error}")))
}
