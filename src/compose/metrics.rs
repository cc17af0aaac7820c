//! Numbers for monitoring.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::ServeError;
use crate::config::Settings;

/// Installs the recorder of all metrics; `None` where they are switched off.
pub fn install(settings: &Settings) -> Result<Option<PrometheusHandle>, ServeError> {
    if !settings.metrics {
        return Ok(None);
    }
    PrometheusBuilder::new()
        .install_recorder()
        .map(Some)
        .map_err(|error| ServeError::Part(format!("metrics: {error}")))
}
