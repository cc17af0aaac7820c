//! `retry`: tries an execution again.

use clap::Args;
use execution_ledger_domain::ExecutionId;
use serde_json::json;

use super::accompany::accompany;
use super::task::{Execution, Which, text};
use super::{Exit, Failure, Global, block_on};
use crate::output::Output;

const AFTER_HELP: &str = "\
The same task with the same settings, narrowed by what its agent allows today,
as a new execution that names the old one. However that one ended: it may have
done a part of its work, or all of it. A turn of a chat is posted again instead.

Examples:
  execution-ledger retry 0193a1b2-...
  execution-ledger retry 0193a1b2-... --follow

Exit codes with --follow: 0 completed, 1 failed or refused, 130 cancelled or
left; the others as everywhere.
";

/// Try an ended execution again.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Retry {
    #[command(flatten)]
    which: Which,
    /// Follow the new one to its end.
    #[arg(long, short)]
    follow: bool,
    /// Lines as they were printed, also where an agent's own format is known.
    #[arg(long, requires = "follow")]
    raw: bool,
}

impl Retry {
    pub(super) fn execute(self, global: &Global, output: &Output) -> Result<Exit, Failure> {
        let client = global.client()?;
        // Drawn once, so that a repetition after a broken connection starts nothing twice.
        let key = uuid::Uuid::now_v7().to_string();
        block_on(async {
            let first = self.which.find(&client).await?;
            let accepted = client.change_once(&first.path(&["retry"]), &key, &json!({})).await?;
            let id = text(&accepted, "execution_id");
            let id: ExecutionId = id.parse().map_err(|_| {
                Failure::Fault("the server accepted the task but told no id".to_owned())
            })?;
            if !self.follow {
                if output.is_json() {
                    output.json(&accepted.ordered()?)?;
                } else {
                    output.line(&id.to_string())?;
                }
                return Ok(Exit::Success);
            }
            let execution = Execution { agent: first.agent, id: id.to_string() };
            if !output.is_json() {
                let status = text(&accepted, "status");
                output.remark(&format!("execution {id} on {} is {status}", execution.agent));
            }
            accompany(&client, &execution, self.raw, output).await
        })
    }
}
