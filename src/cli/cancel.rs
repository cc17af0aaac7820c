//! `cancel`: stops executions.

use clap::Args;
use execution_ledger_domain::{AgentName, ExecutionId};
use reqwest::Method;
use serde_json::{Value, json};

use super::task::{Which, execution_id, text};
use super::{Exit, Failure, Global, block_on};
use crate::output::{Output, neutral_line};

const AFTER_HELP: &str = "\
A run is sent SIGINT and, after its agent's grace period, SIGKILL with all its
processes; it is `running` until its end was seen. What waits is never started.
What has ended stays as it is.

Examples:
  execution-ledger cancel 0193a1b2-...
  execution-ledger list --status running --json \\
    | jq -r '.executions[].execution_id' | xargs execution-ledger cancel
";

/// Stop executions.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Cancel {
    /// The executions' ids.
    #[arg(required = true, value_name = "EXECUTION", num_args = 1..=1000)]
    #[arg(value_parser = execution_id)]
    ids: Vec<ExecutionId>,
    /// The agent that runs them; found by the id where it is not given.
    #[arg(long, value_name = "NAME")]
    agent: Option<AgentName>,
}

impl Cancel {
    pub(super) fn execute(self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let client = global.client()?;
        let mut exit = Exit::Success;
        for id in self.ids {
            let which = Which::new(id, self.agent.clone());
            let answer = block_on(async {
                let execution = which.find(&client).await?;
                let path = execution.path(&["terminate"]);
                Ok(client.change(Method::POST, &path, Some(&json!({}))).await?)
            });
            match answer {
                Ok(answer) => told(id, &answer, output)?,
                Err(failure) => {
                    output.explain(&failure);
                    exit = failure.exit();
                    if exit == Exit::Unreachable {
                        return Ok(exit);
                    }
                }
            }
        }
        Ok(exit)
    }
}

fn told(id: ExecutionId, answer: &Value, output: &Output) -> Result<(), Failure> {
    if output.is_json() {
        let status = answer.get("status").cloned().unwrap_or_default();
        return output.json_line(&json!({"execution_id": id, "status": status}));
    }
    let words = match text(answer, "status").as_str() {
        "cancelling" => "is being stopped".to_owned(),
        "cancelled" => "is cancelled; it was not started".to_owned(),
        "already_finished" => "had ended already".to_owned(),
        other => neutral_line(other).into_owned(),
    };
    output.line(&format!("{id} {words}"))
}
