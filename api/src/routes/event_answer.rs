//! An event as it is answered.

use execution_ledger_domain::{Actor, Timestamp};
use execution_ledger_store::Recorded;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::state::App;

/// An event of the log. Free text is not inside it, only its digest.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventAnswer {
    /// Its place in the log.
    position: String,
    /// Its stream.
    stream: String,
    /// Its place in the stream, from 0.
    revision: u64,
    /// `category.fact`.
    #[serde(rename = "type")]
    type_name: String,
    /// Schema version of the data.
    version: u32,
    /// Its id.
    event_id: String,
    /// When the log took it.
    #[schema(value_type = String, format = DateTime)]
    recorded_at: Timestamp,
    /// Who caused it.
    #[schema(value_type = Object)]
    actor: Actor,
    /// The story that it belongs to: the root execution, or the request where there is none.
    correlation_id: String,
    /// The event or request that led to it.
    causation_id: String,
    /// The W3C trace context of the request that led to it, where that carried one.
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    /// What happened.
    #[schema(value_type = Object)]
    data: Box<RawValue>,
}

impl EventAnswer {
    pub(super) fn of(app: &App, recorded: &Recorded) -> Result<Self, Problem> {
        let metadata = recorded.parsed_metadata().map_err(|error| Problem::internal(&error))?;
        Ok(Self {
            position: app.position_text(recorded.position),
            stream: recorded.stream.as_str().to_owned(),
            revision: recorded.revision,
            type_name: recorded.type_name.clone(),
            version: recorded.version,
            event_id: recorded.id.to_string(),
            recorded_at: recorded.recorded_at,
            actor: metadata.actor,
            correlation_id: metadata.correlation_id,
            causation_id: metadata.causation_id,
            traceparent: metadata.traceparent,
            data: RawValue::from_string(recorded.data.clone())
                .map_err(|error| Problem::internal(&error))?,
        })
    }
}
