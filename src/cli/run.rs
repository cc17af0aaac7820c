//! `run`: submits a task, follows it, ends as it ends.

use clap::Args;
use execution_ledger_domain::{AgentName, ExecutionId};
use serde_json::{Map, Value, json};

use super::accompany::accompany;
use super::task::{Execution, message, text};
use super::{Exit, Failure, Global, block_on};
use crate::output::Output;

const AFTER_HELP: &str = "\
The message is the second argument, or standard input where that is - or
missing.

While it runs, Ctrl-C asks the server to stop the run; a second Ctrl-C leaves it
to itself. With --json the output is the finished record, without its events
(`show --json` has them).

Examples:
  execution-ledger run demo \"Say hello\"
  execution-ledger run claude --model sonnet --max-cost-usd 0.50 < task.md
  execution-ledger run demo \"sleep 20\" --detach
  execution-ledger run demo \"Say hello\" --json | jq -r .response

Exit codes: 0 completed, 1 failed or refused, 130 cancelled or left; the others
as everywhere.
";

/// Give an agent a task and follow it to its end.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Run {
    /// The agent.
    agent: AgentName,
    /// The task; - or nothing: from standard input.
    message: Option<String>,
    /// Only submit it, and write its id.
    #[arg(long, short)]
    detach: bool,
    /// The model, one of the agent's.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// How long it may take, in seconds; at most what the agent may.
    #[arg(long, value_name = "S")]
    timeout_s: Option<u64>,
    /// What it may cost, in dollars.
    #[arg(long, value_name = "USD")]
    max_cost_usd: Option<f64>,
    /// How many turns it may take.
    #[arg(long, value_name = "N")]
    max_turns: Option<u32>,
    /// The tools that it may use, of the agent's; with commas between.
    #[arg(long, value_name = "TOOLS", value_delimiter = ',')]
    allowed_tools: Option<Vec<String>>,
    /// A system prompt, where the agent permits one.
    #[arg(long, value_name = "TEXT")]
    system_prompt: Option<String>,
    /// Continue this session of the agent's own.
    #[arg(long, value_name = "SESSION")]
    resume_session_id: Option<String>,
    /// The same key gives the same execution, however often it is submitted.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Lines as they were printed, also where an agent's own format is known.
    #[arg(long)]
    raw: bool,
}

impl Run {
    pub(super) fn execute(&self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let client = global.client()?;
        let body = self.body(message(self.message.as_deref())?);
        // Drawn once, so that a repetition after a broken connection starts nothing twice.
        let key = self.idempotency_key.clone();
        let key = key.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        block_on(async {
            let path = ["api", "agents", self.agent.as_str(), "task"];
            let accepted = client.change_once(&path, &key, &body).await?;
            let id = text(&accepted, "execution_id");
            let id: ExecutionId = id.parse().map_err(|_| {
                Failure::Fault("the server accepted the task but told no id".to_owned())
            })?;
            if self.detach {
                let done = if output.is_json() {
                    accepted.ordered().map_err(Failure::from).and_then(|it| output.json(&it))
                } else {
                    output.line(&id.to_string())
                };
                return done.map(|()| Exit::Success);
            }
            let execution = Execution { agent: self.agent.to_string(), id: id.to_string() };
            if !output.is_json() {
                output.remark(&format!(
                    "execution {id} on {} is {}",
                    self.agent,
                    text(&accepted, "status")
                ));
            }
            accompany(&client, &execution, self.raw, output).await
        })
    }

    fn body(&self, message: String) -> Value {
        let given = [
            ("model", self.model.as_ref().map(|v| json!(v))),
            ("timeout_s", self.timeout_s.map(|v| json!(v))),
            ("max_cost_usd", self.max_cost_usd.map(|v| json!(v))),
            ("max_turns", self.max_turns.map(|v| json!(v))),
            ("allowed_tools", self.allowed_tools.as_ref().map(|v| json!(v))),
            ("system_prompt", self.system_prompt.as_ref().map(|v| json!(v))),
            ("resume_session_id", self.resume_session_id.as_ref().map(|v| json!(v))),
        ];
        let mut body = Map::new();
        body.insert("message".to_owned(), Value::String(message));
        body.insert("async_mode".to_owned(), Value::Bool(true));
        for (name, value) in given {
            body.extend(value.map(|value| (name.to_owned(), value)));
        }
        Value::Object(body)
    }
}
