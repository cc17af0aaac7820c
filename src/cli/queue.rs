//! `queue`: who holds the slots, and who waits for what.

use clap::Args;
use execution_ledger_domain::{AgentName, ExecutionId};
use reqwest::Method;
use serde_json::{Value, json};

use super::agent_sheet::{PLACES, places};
use super::task::{Which, execution_id, text};
use super::{Exit, Failure, Global, block_on};
use crate::client::{Answer, Client, Ordered};
use crate::output::{Align, Output, Sheet, Tone, neutral_line};

/// Agents whose queues are shown at once: most.
const AGENTS_MAX: usize = 1_000;

const AFTER_HELP: &str = "\
Without an agent: those of all agents where something runs or waits. What waits
stands in the order in which it starts, with what it waits for: slots taken,
agent paused, behind others, retry backoff, and so on.

Examples:
  execution-ledger queue
  execution-ledger queue demo
  execution-ledger queue --to-front 0193a1b2-...
  execution-ledger queue --json | jq '.queues[].queue[].reason'
";

/// Show who holds the slots and who waits for what; move one to the front.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Queue {
    /// The agent [default: all where something runs or waits].
    agent: Option<AgentName>,
    /// Move this execution to the front of its agent's queue, before showing nothing else.
    #[arg(long, value_name = "EXECUTION", value_parser = execution_id)]
    to_front: Option<ExecutionId>,
}

impl Queue {
    pub(super) fn execute(self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let client = global.client()?;
        block_on(async {
            match self.to_front {
                Some(id) => move_to_front(&client, Which::new(id, self.agent), output).await,
                None => show(&client, self.agent, output).await,
            }
        })
    }
}

async fn move_to_front(client: &Client, which: Which, output: &Output) -> Result<Exit, Failure> {
    let execution = which.find(client).await?;
    let path = execution.path(&["move_to_front"]);
    let answer = client.change(Method::POST, &path, Some(&json!({}))).await?;
    if output.is_json() {
        output.json(&answer.ordered()?)?;
        return Ok(Exit::Success);
    }
    let place = match answer.get("place").and_then(Value::as_u64) {
        None | Some(0) => "is being started".to_owned(),
        Some(place) => {
            let why = neutral_line(&text(&answer, "reason")).replace('_', " ");
            format!("stands at place {place} ({why})")
        }
    };
    output.line(&format!("{} {place}", execution.id))?;
    Ok(Exit::Success)
}

async fn show(client: &Client, agent: Option<AgentName>, output: &Output) -> Result<Exit, Failure> {
    let names = match agent {
        Some(agent) => vec![agent.to_string()],
        None => busy(client).await?,
    };
    let mut capacities: Vec<Answer> = Vec::new();
    for name in names.iter().take(AGENTS_MAX) {
        capacities.push(client.get(&["api", "agents", name, "capacity"], &[]).await?);
    }
    if output.is_json() {
        let queues = capacities.iter().map(Answer::ordered).collect::<Result<_, _>>()?;
        output.json(&Ordered::Fields(vec![("queues".to_owned(), Ordered::List(queues))]))?;
        return Ok(Exit::Success);
    }
    let heads: Vec<_> = std::iter::once(("AGENT", Align::Left)).chain(PLACES).collect();
    let mut sheet = Sheet::new(&heads);
    for capacity in &capacities {
        let agent = text(capacity, "agent");
        for row in places(capacity) {
            sheet.row(std::iter::once((agent.clone(), Tone::Plain)).chain(row).collect());
        }
    }
    if sheet.is_empty() {
        output.remark("nothing runs or waits");
    } else {
        output.sheet(&sheet)?;
    }
    for capacity in &capacities {
        more_than_shown(capacity, output);
    }
    if names.len() > AGENTS_MAX {
        output.remark(&format!("only the first {AGENTS_MAX} agents are shown"));
    }
    Ok(Exit::Success)
}

/// The agents where something runs or waits.
async fn busy(client: &Client) -> Result<Vec<String>, Failure> {
    let answer = client.get(&["api", "agents"], &[]).await?;
    let agents = answer.get("agents").and_then(Value::as_array).into_iter().flatten();
    let busy = |agent: &&Value| {
        let count = |field: &str| agent.get(field).and_then(Value::as_u64).unwrap_or(0);
        count("running") + count("chatting") + count("pending") > 0
    };
    Ok(agents.filter(busy).map(|agent| text(agent, "name")).collect())
}

fn more_than_shown(capacity: &Value, output: &Output) {
    let pending = capacity.get("pending").and_then(Value::as_u64).unwrap_or(0);
    let shown = capacity.get("queue").and_then(Value::as_array).map_or(0, Vec::len) as u64;
    if pending > shown {
        let agent = neutral_line(&text(capacity, "agent")).into_owned();
        output.remark(&format!("{} more wait for {agent}", pending - shown));
    }
}
