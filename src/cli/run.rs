//! `run`: submits a task, follows it, ends as it ends.

use clap::Args;
use execution_ledger_domain::{AgentName, ExecutionId};
use serde_json::Value;

use super::accompany::accompany;
use super::run_settings::RunSettings;
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
    #[command(flatten)]
    settings: RunSettings,
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
        let mut body = self.settings.task(message);
        let session = self.resume_session_id.as_deref();
        body.extend(session.map(|id| ("resume_session_id".to_owned(), Value::from(id))));
        Value::Object(body)
    }
}
