//! The nodes that share the log.

use axum::Json;
use axum::extract::State;
use execution_ledger_domain::Timestamp;
use execution_ledger_process::nodes::NodeRow;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{May, ReadLog};
use crate::extract::Params;
use crate::problem::Problem;
use crate::state::App;

/// The nodes.
#[derive(Serialize, ToSchema)]
pub(super) struct NodeList {
    /// By name; empty where this ledger is alone with its log.
    nodes: Vec<NodeAnswer>,
}

/// A node, as the one that answers sees it.
#[derive(Serialize, ToSchema)]
pub(super) struct NodeAnswer {
    /// Its id.
    #[schema(value_type = String)]
    node_id: execution_ledger_domain::NodeId,
    /// Its host's name.
    name: String,
    /// Where the other nodes reach it.
    url: String,
    /// Version of its program.
    version: String,
    /// Whether it was heard of within its lease.
    alive: bool,
    /// Whether it does what is done once.
    leader: bool,
    /// Whether it is the one that answers.
    this: bool,
    /// Its last beat, by its own clock.
    #[schema(value_type = String)]
    last_beat_at: Timestamp,
    /// For how long nothing new was seen of it.
    silent_ms: u64,
    /// After how much silence it holds nothing any more.
    lease_ms: u64,
    /// How many leases it holds, as it said last.
    leases: u32,
    /// How many executions ran on it, as it said last.
    running: u32,
}

impl NodeAnswer {
    fn of(row: NodeRow) -> Self {
        let beat = row.beat;
        Self {
            node_id: beat.node,
            name: beat.name,
            url: beat.url,
            version: beat.version,
            alive: row.lives,
            leader: row.leads,
            this: row.me,
            last_beat_at: beat.at,
            silent_ms: row.silent_ms,
            lease_ms: beat.lease_ms,
            leases: beat.agents,
            running: beat.running,
        }
    }
}

/// The nodes that share the log, as this one sees them.
#[utoipa::path(
    get, path = "/api/nodes", operation_id = "list_nodes", tag = "system",
    responses((status = 200, description = "The nodes", body = NodeList)),
)]
pub(super) async fn list(
    _may: May<ReadLog>,
    State(app): State<App>,
    Params(()): Params<()>,
) -> Result<Json<NodeList>, Problem> {
    let nodes = app.station().map(execution_ledger_process::nodes::Station::nodes);
    let nodes = nodes.unwrap_or_default().into_iter().map(NodeAnswer::of).collect();
    Ok(Json(NodeList { nodes }))
}
