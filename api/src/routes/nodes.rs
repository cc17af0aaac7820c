//! The nodes that share the log.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use execution_ledger_domain::{AgentName, NodeId, Timestamp};
use execution_ledger_process::nodes::NodeRow;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::{May, ReadLog};
use crate::extract::Params;
use crate::problem::Problem;
use crate::state::App;

/// Agents of a node that are named: most.
const AGENTS_MAX: usize = 1_000;

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
    node_id: NodeId,
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
    /// Agents whose runs it starts, by name, as the log says: the first 1000.
    #[schema(value_type = Vec<String>)]
    agents: Vec<AgentName>,
}

impl NodeAnswer {
    fn of(row: NodeRow, hosted: &mut HashMap<NodeId, Vec<AgentName>>) -> Self {
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
            agents: hosted.remove(&beat.node).unwrap_or_default(),
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
    let Some(station) = app.station() else { return Ok(Json(NodeList { nodes: Vec::new() })) };
    let mut hosted: HashMap<_, Vec<_>> = HashMap::new();
    for (agent, node) in station.hosted() {
        let of_node = hosted.entry(node).or_default();
        if of_node.len() < AGENTS_MAX {
            of_node.push(agent);
        }
    }
    let nodes = station.nodes().into_iter().map(|row| NodeAnswer::of(row, &mut hosted));
    Ok(Json(NodeList { nodes: nodes.collect() }))
}
