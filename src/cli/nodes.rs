//! `nodes`: the ledgers that share a log on a KurrentDB.

use clap::Args;
use serde_json::Value;

use super::{Exit, Failure, Global, block_on};
use crate::output::{Align, Output, Sheet, Tone, neutral_line};

/// Characters of a node's id that tell it from others of its host.
const ID_CHARS: usize = 6;
/// Milliseconds of a second.
const MS: u64 = 1_000;

const AFTER_HELP: &str = "\
As the node that is asked sees them: it names itself with *. A node that was
not heard of for longer than its lease holds nothing any more: others have its
agents, and its runs have stopped. Alone with its log, a ledger has no list.

Examples:
  execution-ledger nodes
  execution-ledger nodes --json | jq '.nodes[] | select(.leader).url'
";

/// Show the nodes that share the log.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Nodes {}

impl Nodes {
    pub(super) fn execute(self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let Self {} = self;
        let client = global.client()?;
        block_on(async {
            let answer = client.get(&["api", "nodes"], &[]).await?;
            if output.is_json() {
                output.json(&answer.ordered()?)?;
                return Ok(Exit::Success);
            }
            let none = Vec::new();
            let nodes = answer.get("nodes").and_then(Value::as_array).unwrap_or(&none);
            if nodes.is_empty() {
                output.line("This ledger is alone with its log.")?;
                return Ok(Exit::Success);
            }
            output.sheet(&sheet(nodes))?;
            Ok(Exit::Success)
        })
    }
}

fn sheet(nodes: &[Value]) -> Sheet {
    let mut sheet = Sheet::new(&[
        ("NODE", Align::Left),
        ("STATE", Align::Left),
        ("URL", Align::Left),
        ("VERSION", Align::Left),
        ("HEARD", Align::Right),
        ("LEASES", Align::Right),
        ("RUNNING", Align::Right),
    ]);
    for node in nodes {
        let text =
            |field: &str| neutral_line(node[field].as_str().unwrap_or_default()).into_owned();
        let number = |field: &str| node[field].as_u64().unwrap_or_default();
        let alive = node["alive"] == true;
        let this = if node["this"] == true { "*" } else { "" };
        let (state, tone) = match (alive, node["leader"] == true) {
            (true, true) => ("leader", Tone::Good),
            (true, false) => ("live", Tone::Plain),
            (false, _) => ("lost", Tone::Bad),
        };
        let id = text("node_id");
        let id: String = id.chars().skip(id.chars().count().saturating_sub(ID_CHARS)).collect();
        sheet.row(vec![
            (format!("{}-{id}{this}", text("name")), Tone::Plain),
            (state.to_owned(), tone),
            (text("url"), Tone::Plain),
            (text("version"), Tone::Plain),
            (format!("{} s ago", number("silent_ms") / MS), Tone::Plain),
            (number("leases").to_string(), Tone::Plain),
            (number("running").to_string(), Tone::Plain),
        ]);
    }
    sheet
}
